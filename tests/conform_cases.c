/* Cases: random numbers, what makers share, and the table of groups. */
#include <string.h>
#include "checks.h"
#include "conform_make.h"

/* ---- random numbers: splitmix64 -------------------------------------------------------------- */

uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t random_below(struct random *r, size_t bound)
{
    return (size_t)(random_next(r) % bound);
}

size_t random_between(struct random *r, size_t lo, size_t hi)
{
    return lo + random_below(r, hi - lo + 1);
}

uint64_t random_seed(uint64_t seed, const char *name, size_t index)
{
    struct random r = {seed};
    uint64_t hash = random_next(&r);
    for (const char *c = name; *c; c++) {
        r.state = hash ^ (uint8_t)*c;
        hash = random_next(&r);
    }
    r.state = hash ^ index;
    return random_next(&r);
}

/* ---- parts of cases -------------------------------------------------------------------------- */

static size_t at_least_one(size_t x)
{
    return x > 0 ? x : 1;
}

size_t make_edge(size_t tile, size_t i)
{
    const size_t edges[EDGES] = {1, at_least_one(tile - 1), tile, tile + 1, 2 * tile + 3};
    return edges[i];
}

void make_types(struct conform_case *c, size_t mix)
{
    static const enum qdot_type outputs[4] = {QDOT_S32, QDOT_F32, QDOT_S8, QDOT_U8};
    c->a_type = mix & 1 ? QDOT_S8 : QDOT_U8;
    c->b_type = mix & 2 ? QDOT_U8 : QDOT_S8;
    c->out_type = outputs[mix / 4 % 4];
}

void make_output(struct random *r, struct conform_case *c)
{
    if (c->out_type == QDOT_S32)
        return;
    c->scale = (enum scales)PICK(r, SCALE_ONE, SCALE_ONE, SCALE_EACH, SCALE_EACH, SCALE_HALF);
    if (c->out_type == QDOT_F32) {
        c->row_scale = random_below(r, 2) ? FLOATS_ANY : FLOATS_NONE;
        c->bias_f = random_below(r, 2) ? FLOATS_ANY : FLOATS_NONE;
        return;
    }
    int32_t base = c->out_type == QDOT_S8 ? -128 : 0;
    c->out_zero = base + (int32_t)random_below(r, 256);
    if (random_below(r, 3) == 0) {
        c->clamp_lo = base + (int32_t)random_below(r, 200);
        c->clamp_hi = c->clamp_lo + (int32_t)random_below(r, (size_t)(base + 256 - c->clamp_lo));
    }
}

enum zero make_zero(struct random *r)
{
    return (enum zero)PICK(r, ZERO_NONE, ZERO_ONE, ZERO_HIGH, ZERO_LOW, ZERO_EACH, ZERO_EACH);
}

void make_rest(struct random *r, struct conform_case *c)
{
    c->a_fill = (enum fill)PICK(r, FILL_MIXED, FILL_MIXED, FILL_ANY, FILL_EXTREME);
    c->b_fill = (enum fill)PICK(r, FILL_MIXED, FILL_MIXED, FILL_ANY, FILL_EXTREME);
    c->a_zero = make_zero(r);
    c->b_zero = make_zero(r);
    c->b_transposed = random_below(r, 2);
    c->bias = random_below(r, 2);
    c->place = random_below(r, 2) ? PLACE_HOST_END : PLACE_HOST_START;
    if (random_below(r, 3) == 0) {
        c->a_gap = random_below(r, 9);
        c->b_gap = random_below(r, 9);
        c->out_gap = random_below(r, 9);
    }
    make_output(r, c);
}

/* The output type that goes with a rounding where one is enough. The last two are one program. */
static const enum qdot_type rounding_types[] = {
    [QDOT_ROUND_RNE_ZERO_FIRST] = QDOT_U8, [QDOT_ROUND_Q31_DOUBLE_AWAY] = QDOT_S8,
    [QDOT_ROUND_Q31_DOUBLE_UP] = QDOT_S8,  [QDOT_ROUND_Q31_SINGLE_UP] = QDOT_U8,
    [QDOT_ROUND_MANT24_UP] = QDOT_U8,
};

/* A rounding other than the usual one: ties of small sums, everything extreme, usual numbers with a
 * clamp. */
static void make_other_rounding(struct random *r, struct conform_case *c, size_t kind)
{
    c->rounding = (enum qdot_rounding)(1 + kind / 3);
    c->out_type = rounding_types[c->rounding];
    int32_t base = c->out_type == QDOT_S8 ? -128 : 0;
    c->out_zero = base + (int32_t)random_below(r, 256);
    switch (kind % 3) {
    case 0:
        c->a_fill = c->b_fill = FILL_SMALL;
        c->scale = SCALE_HALF;
        c->out_zero = base + (int32_t)random_between(r, 96, 160);
        break;
    case 1:
        c->scale = SCALE_EXTREME;
        c->bias = c->wide_bias = true;
        break;
    default:
        c->scale = (enum scales)PICK(r, SCALE_ONE, SCALE_EACH);
        c->clamp_lo = base + (int32_t)random_below(r, 100);
        c->clamp_hi = base + (int32_t)random_between(r, 100, 255);
        c->a_zero = make_zero(r);
        c->b_zero = make_zero(r);
    }
}

void make_any_rounding(struct random *r, struct conform_case *c, bool few)
{
    if (ref_size(c->out_type) == 4 || random_below(r, 2))
        return;
    do
        c->rounding = (enum qdot_rounding)random_between(r, 1, 5);
    while (few && rounding_types[c->rounding] != c->out_type);
}

bool make_few_products(size_t kind)
{
    return kind < 2 || (kind >= 12 && kind % 3 == 0);
}

void make_rounding(struct random *r, struct conform_case *c, size_t signs, size_t kind)
{
    make_types(c, signs + 4 * (kind < 6 || kind >= 12 ? 2 + random_below(r, 2) : 1));
    c->a_fill = c->b_fill = FILL_MIXED;
    c->bias = random_below(r, 2);
    if (kind >= 12) {
        make_other_rounding(r, c, kind - 12);
        return;
    }
    int32_t base = c->out_type == QDOT_S8 ? -128 : 0;
    switch (kind) {
    case 0: /* ties, sums small enough not to saturate */
    case 1:
        c->a_fill = c->b_fill = FILL_SMALL;
        c->scale = SCALE_HALF;
        c->out_zero = base + (int32_t)random_between(r, 96, 160);
        break;
    case 2: /* saturation at both ends */
        c->scale = random_below(r, 2) ? SCALE_HALF : SCALE_NONE;
        c->out_zero = base + (int32_t)PICK(r, 0, 1, 127, 128, 254, 255);
        break;
    case 3: /* any clamp, a single value among them */
        c->scale = random_below(r, 2) ? SCALE_ONE : SCALE_EACH;
        c->clamp_lo = base + (int32_t)PICK(r, 0, 1, 100, 127, 128, 129, 254);
        c->clamp_hi = random_below(r, 4) == 0 ? c->clamp_lo : base + 255;
        c->out_zero = base + (int32_t)random_below(r, 256);
        break;
    case 4:
        c->scale = SCALE_EXTREME;
        c->out_zero = base + (int32_t)random_below(r, 256);
        break;
    case 5:
        c->scale = SCALE_EACH;
        c->b_zero = ZERO_EACH;
        c->a_zero = ZERO_EACH;
        break;
    case 6: /* f32 from here on */
        c->scale = SCALE_EACH;
        c->bias_f = FLOATS_ANY;
        break;
    case 7:
        c->scale = SCALE_EACH;
        c->bias_f = c->row_scale = FLOATS_ANY;
        break;
    case 8: /* subnormal results */
        c->scale = SCALE_EXTREME;
        c->row_scale = FLOATS_EXTREME;
        break;
    case 9:
        c->scale = SCALE_EXTREME;
        c->bias_f = FLOATS_EXTREME;
        c->row_scale = random_below(r, 2) ? FLOATS_EXTREME : FLOATS_NONE;
        break;
    case 10: /* zero sums times negative factors: -0 must survive, and +0 appear, as IEEE says */
        c->a_fill = FILL_CONSTANT;
        c->a_byte = 0;
        c->bias = false;
        c->scale = SCALE_EXTREME;
        c->row_scale = random_below(r, 2) ? FLOATS_ANY : FLOATS_NONE;
        c->bias_f = random_below(r, 2) ? FLOATS_EXTREME : FLOATS_NONE;
        break;
    default:
        c->scale = (enum scales)PICK(r, SCALE_NONE, SCALE_ONE);
        c->row_scale = random_below(r, 2) ? FLOATS_ANY : FLOATS_NONE;
        c->bias_f = random_below(r, 2) ? FLOATS_ANY : FLOATS_NONE;
    }
}

void make_signs(struct random *r, struct conform_case *c, size_t index)
{
    static const uint8_t extremes[4] = {0x80, 0x7f, 0x00, 0xff};
    size_t fill = index / 16;
    make_types(c, index % 16);
    if (fill < 16) {
        c->a_fill = c->b_fill = FILL_CONSTANT;
        c->a_byte = extremes[fill % 4];
        c->b_byte = extremes[fill / 4];
    } else {
        c->a_fill = c->b_fill = (enum fill[]){FILL_MIXED, FILL_EXTREME, FILL_ANY}[fill - 16];
    }
    c->scale = c->out_type == QDOT_S32 ? SCALE_NONE : fill % 2 ? SCALE_ONE : SCALE_EACH;
    c->place = random_below(r, 2) ? PLACE_HOST_END : PLACE_HOST_START;
}

void make_caches(struct random *r, struct conform_case *c, size_t index)
{
    c->cache_percent = (const size_t[]){1, 2, 7, 1000}[index % 4];
    c->threads = random_between(r, 1, 3);
    c->runs = 2;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define G QDOT_GEMM
#define C QDOT_CONV
#define Q QDOT_QUANTIZE
#define M QDOT_MAP
#define P QDOT_MAX_POOL
#define A QDOT_AVERAGE_POOL

const struct conform_group conform_groups[] = {
    {G, "edge", "sizes below, at and above the row's tile, else random", gemm_edge, 0, 0, 0, 0},
    {G, "signs", "every mix of signs and output, all pairs of extremes", gemm_signs, 0, 0, 0, 0},
    {G, "zeros", "zero points: none, scalar, extreme, per row and column", gemm_zeros, 0, 0, 0, 0},
    {G, "output", "all roundings: ties, saturation, clamps; subnormals", gemm_output, 0, 216, 0, 0},
    {G, "strides", "gaps between the rows of A, B and out; B transposed", gemm_strides, 0, 0, 0, 0},
    {G, "one_shot", "B comes with each run, not packed before", gemm_one_shot, 0, 0, 0, 0},
    {G, "large", "sums past 2^24, where floats round, and past 2^32", gemm_large, 0, 0, 0, 0},
    {G, "runs", "several runs of one op, of different M", gemm_runs, 0, 0, 0, 0},
    {G, "buffers", "device buffers, odd offsets, runs before one sync", gemm_buffers, 0, 0, 0, 0},
    {G, "chain", "one op reads what another wrote, no sync between", gemm_chain, 0, 0, 0, 0},
    {G, "memory", "operands against unmapped pages: no byte outside them", gemm_memory, 0, 0, 0, 0},
    {G, "wrapped", "buffers made over host memory against unmapped pages", gemm_wrapped, 0, 0, 0,
     true},
    {G, "random", "everything at random", gemm_random, 0, 0, 0, 0},
    {G, "blocks", "shapes larger than cache blocks", gemm_blocks, 0, 0, 0, 0},
    {G, "packed", "B packed, saved, loaded and run", gemm_packed, 0, 0, 0, 0},
    {G, "threads", "1, 2, 3 and 7 threads give the same bits", gemm_threads, 0, 0, true, 0},
    {G, "caches", "work cut for caches of 1, 2, 7 and 1000 percent", gemm_caches, 0, 0, true, 0},
    {G, "determinism", "100 runs of one op give the same bits", gemm_repeat, 0, 0, 0, 0},
    {G, "thread_counts", "1 to 16 threads, ten runs each", gemm_counts, 0, 0, true, 0},
    {G, "layers", "layers of ResNet-50 and BERT", gemm_layers, 0, 0, 0, 0},

    {C, "edge", "pads, strides, dilations, groups at their limits", conv_edge, 0, 0, 0, 0},
    {C, "signs", "every mix of signs and output, all pairs of extremes", conv_signs, 0, 0, 0, 0},
    {C, "zeros", "zero points: none, scalar, extreme, per output channel", conv_zeros, 0, 0, 0, 0},
    {C, "output", "all roundings: ties, saturation, clamps; subnormals", conv_output, 0, 216, 0, 0},
    {C, "strides", "gaps between the pixels of input and output", conv_strides, 0, 0, 0, 0},
    {C, "large", "sums past 2^24, where floats round, and past 2^32", conv_large, 0, 0, 0, 0},
    {C, "runs", "several runs of one op, fewer images than its batch", conv_runs, 0, 0, 0, 0},
    {C, "buffers", "device buffers, odd offsets, runs before one sync", conv_buffers, 0, 0, 0, 0},
    {C, "chain", "one op reads what another wrote, no sync between", conv_chain, 0, 0, 0, 0},
    {C, "memory", "operands against unmapped pages: no byte outside them", conv_memory, 0, 0, 0, 0},
    {C, "wrapped", "buffers made over host memory against unmapped pages", conv_wrapped, 0, 0, 0,
     true},
    {C, "random", "geometry and everything else at random", conv_random, 500, 50, 0, 0},
    {C, "blocks", "shapes larger than cache blocks", conv_blocks, 0, 0, 0, 0},
    {C, "packed", "weights packed, saved, loaded and run", conv_packed, 0, 0, 0, 0},
    {C, "threads", "1, 2 and 5 threads give the same bits", conv_threads, 0, 0, true, 0},
    {C, "caches", "work cut for caches of 1, 2, 7 and 1000 percent", conv_caches, 0, 0, true, 0},
    {C, "determinism", "100 runs of one op give the same bits", conv_repeat, 0, 0, 0, 0},
    {C, "thread_counts", "1 to 16 threads, ten runs each", conv_counts, 0, 0, true, 0},
    {C, "layers", "layers of ResNet, MobileNet, EfficientNet, DCGAN", conv_layers, 0, 0, 0, 0},

    {Q, "values", "ties and near them, saturation, NaN, subnormals", elements_values, 0, 0, 0, 0},
    {Q, "parameters", "one, by axis, by group; zeros; ranges", elements_parameters, 0, 0, 0, 0},
    {Q, "tails", "few elements, odd ones, odd lines", elements_tails, 0, 0, 0, 0},
    {Q, "dynamic", "ranges of any kind, none and infinite ones too", elements_dynamic, 0, 0, 0, 0},
    {Q, "memory", "host operands that touch unmapped pages", elements_memory, 0, 0, 0, 0},
    {Q, "buffers", "device buffers, odd offsets, runs before one sync", elements_buffers, 0, 0, 0,
     0},
    {Q, "wrapped", "buffers over host memory near unmapped pages", elements_wrapped, 0, 0, 0, true},
    {Q, "random", "everything at random", elements_random, 0, 0, 0, 0},
    {Q, "threads", "1, 2, 3 and 7 threads", elements_threads, 0, 0, true, 0},

    {M, "tails", "few elements, odd ones, at any offset", map_tails, 0, 0, 0, 0},
    {M, "tables", "every entry of a table, of one and two operands", map_tables, 0, 0, 0, 0},
    {M, "strides", "gaps in every dimension, which stay untouched", map_strides, 0, 0, 0, 0},
    {M, "broadcast", "operands repeated along any dimensions", map_broadcast, 0, 0, 0, 0},
    {M, "transpose", "dimensions in any order, up to six", map_transpose, 0, 0, 0, 0},
    {M, "memory", "host operands that touch unmapped pages", map_memory, 0, 0, 0, 0},
    {M, "buffers", "device buffers, odd offsets, runs before one sync", map_buffers, 0, 0, 0, 0},
    {M, "wrapped", "buffers over host memory near unmapped pages", map_wrapped, 0, 0, 0, true},
    {M, "random", "everything at random", map_random, 0, 0, 0, 0},
    {M, "threads", "1, 2, 3 and 7 threads", map_threads, 0, 0, true, 0},

    {P, "edge", "pads, strides, dilations at their limits", pool_edge, 0, 0, 0, 0},
    {P, "tails", "every number of channels, or of columns", pool_tails, 0, 0, 0, 0},
    {P, "strides", "gaps between the pixels of input and output", pool_strides, 0, 0, 0, 0},
    {P, "memory", "host operands that touch unmapped pages", pool_memory, 0, 0, 0, 0},
    {P, "buffers", "device buffers, odd offsets, runs before one sync", pool_buffers, 0, 0, 0, 0},
    {P, "wrapped", "buffers over host memory near unmapped pages", pool_wrapped, 0, 0, 0, true},
    {P, "random", "everything at random", pool_random, 0, 0, 0, 0},
    {P, "threads", "1, 2, 3 and 7 threads", pool_threads, 0, 0, true, 0},

    {A, "edge", "pads, strides, dilations at their limits", pool_edge, 0, 0, 0, 0},
    {A, "values", "sums of one value; ties of all roundings", pool_values, 0, 0, 0, 0},
    {A, "tails", "every number of channels, or of columns", pool_tails, 0, 0, 0, 0},
    {A, "large", "whole pictures, windows of up to 127 x 127", pool_large, 0, 0, 0, 0},
    {A, "strides", "gaps between the pixels of input and output", pool_strides, 0, 0, 0, 0},
    {A, "memory", "host operands that touch unmapped pages", pool_memory, 0, 0, 0, 0},
    {A, "buffers", "device buffers, odd offsets, runs before one sync", pool_buffers, 0, 0, 0, 0},
    {A, "wrapped", "buffers over host memory near unmapped pages", pool_wrapped, 0, 0, 0, true},
    {A, "random", "everything at random", pool_random, 0, 0, 0, 0},
    {A, "threads", "1, 2, 3 and 7 threads", pool_threads, 0, 0, true, 0},
};
const size_t conform_group_count = sizeof(conform_groups) / sizeof(conform_groups[0]);

#undef G
#undef C
#undef Q
#undef M
#undef P
#undef A

/* Results of no group of cases. */
static const struct {
    const char *name, *about;
} other_groups[] = {
    {"all", "a row or a device as a whole"},
    {"open", "opening the device, before the first case"},
    {"close", "closing it, after the last"},
    {"self-test", "listing the row, with the library's own test of it"},
    {"devices", "listing the devices"},
    {CONFORM_GIVEN, "the case that --problem gives"},
};

bool group_about(const char *name, const char **products, const char **convolutions)
{
    bool found = false;
    *products = *convolutions = "";
    for (size_t i = 0; i < conform_group_count; i++)
        if (strcmp(conform_groups[i].name, name) == 0) {
            const char **about = conform_groups[i].kind == QDOT_CONV ? convolutions : products;
            *about = **about ? *about : conform_groups[i].about;
            found = true;
        }
    if (!found && checks_group_about(name)) {
        *products = checks_group_about(name);
        found = true;
    }
    for (size_t i = 0; i < sizeof(other_groups) / sizeof(other_groups[0]); i++)
        if (strcmp(other_groups[i].name, name) == 0) {
            *products = other_groups[i].about;
            found = true;
        }
    return found;
}

bool conform_group_applies(const struct conform_group *group, const struct geometry *g,
                           const char *backend)
{
    if (group->kind != g->kind || (g->kind > QDOT_CONV && strcmp(backend, "reference") == 0))
        return false; /* reference.cl has products only */
    if (group->cpu_only)
        return strcmp(backend, "cpu") == 0;
    if (group->wraps)
        return strcmp(backend, "opencl") == 0 || strcmp(backend, "cpu") == 0 ||
               strcmp(backend, "reference") == 0;
    return true;
}

bool conform_make(const struct conform_group *group, const struct geometry *g, uint64_t seed,
                  size_t index, struct conform_case *c)
{
    struct random r = {random_seed(seed, group->name, index)};
    *c = (struct conform_case){.kind = group->kind, .runs = 1};
    if (!group->make(g, index, &r, c))
        return false;
    c->data = random_next(&r);
    if (case_has_multipliers(c) && c->scale == SCALE_NONE)
        c->scale = SCALE_ONE;
    if (c->kind == QDOT_CONV) {
        const struct qdot_conv *v = &c->conv;
        c->m = v->batch;
        c->n = v->out_channels;
        c->k = v->kernel_h * v->kernel_w * (v->channels / v->groups);
        /* what only a GEMM has */
        c->a_zero = c->a_zero == ZERO_EACH ? ZERO_ONE : c->a_zero;
        c->row_scale = FLOATS_NONE;
        c->b_transposed = c->b_at_run = false;
        c->b_gap = 0;
        if (v->layout == QDOT_NCHW)
            c->a_gap = c->out_gap = 0;
    } else if (g->small && c->kind == QDOT_GEMM) {
        c->m = c->m > 40 ? 40 : c->m;
        c->n = c->n > 40 ? 40 : c->n;
    }
    return true;
}

size_t conform_count(const struct conform_group *group, const struct geometry *g)
{
    struct conform_case c;
    size_t count = 0;
    while (conform_make(group, g, 0, count, &c))
        count++;
    return count;
}

/* A limit is for the usual run; the long one has 20 times as many on a GPU and all on a CPU. */
size_t conform_limit(const struct conform_group *group, const char *backend, bool all)
{
    bool gpu = strcmp(backend, "cpu") != 0 && strcmp(backend, "reference") != 0;
    size_t limit = gpu ? group->gpu : group->cpu;
    if (all)
        limit = gpu ? 20 * limit : 0;
    return limit ? limit : SIZE_MAX;
}
