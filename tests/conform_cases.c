#include <string.h>
#include "conform.h"

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

#define PICK(r, ...)   \
    ((const size_t[]){ \
        __VA_ARGS__})[random_below(r, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))]

static size_t at_least_one(size_t x)
{
    return x > 0 ? x : 1;
}

/* The edges of a tile: one below, on and above it, and more than two of them. */
enum { EDGES = 5, DEPTHS = 6 };

static size_t edge(size_t tile, size_t i)
{
    const size_t edges[EDGES] = {1, at_least_one(tile - 1), tile, tile + 1, 2 * tile + 3};
    return edges[i];
}

static size_t depth(const struct geometry *g, size_t i)
{
    const size_t depths[DEPTHS] = {1, g->kr, g->kr + 1, 67, 256, 4 * g->kr - 1};
    size_t k = depths[i];
    return g->small && k > 40 ? 37 : k;
}

/* mixes: the 16 combinations of signs and outputs in turn */
static void types(struct conform_case *c, size_t mix)
{
    static const enum qdot_type outputs[4] = {QDOT_S32, QDOT_F32, QDOT_S8, QDOT_U8};
    c->a_type = mix & 1 ? QDOT_S8 : QDOT_U8;
    c->b_type = mix & 2 ? QDOT_U8 : QDOT_S8;
    c->out_type = outputs[mix / 4 % 4];
}

static bool int8_output(const struct conform_case *c)
{
    return c->out_type == QDOT_S8 || c->out_type == QDOT_U8;
}

static void random_output(struct random *r, struct conform_case *c)
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

static enum zero random_zero(struct random *r)
{
    return (enum zero)PICK(r, ZERO_NONE, ZERO_ONE, ZERO_HIGH, ZERO_LOW, ZERO_EACH, ZERO_EACH);
}

/* Any of everything on the shape that is there. */
static void random_rest(struct random *r, struct conform_case *c)
{
    c->a_fill = (enum fill)PICK(r, FILL_MIXED, FILL_MIXED, FILL_ANY, FILL_EXTREME);
    c->b_fill = (enum fill)PICK(r, FILL_MIXED, FILL_MIXED, FILL_ANY, FILL_EXTREME);
    c->a_zero = random_zero(r);
    c->b_zero = random_zero(r);
    c->b_transposed = random_below(r, 2);
    c->bias = random_below(r, 2);
    c->place = random_below(r, 2) ? PLACE_HOST_END : PLACE_HOST_START;
    if (random_below(r, 3) == 0) {
        c->a_gap = random_below(r, 9);
        c->b_gap = random_below(r, 9);
        c->out_gap = random_below(r, 9);
    }
    random_output(r, c);
}

/* A shape of a few tiles with all three edges ragged. */
static void ragged(const struct geometry *g, struct random *r, struct conform_case *c)
{
    size_t limit = g->small ? 24 : 200;
    c->m = random_between(r, 1, 2 * g->mr + 3);
    c->n = random_between(r, 1, 2 * g->nr + 3);
    c->k = random_between(r, 1, limit);
    if (g->small) {
        c->m = c->m > 40 ? 40 : c->m;
        c->n = c->n > 40 ? 40 : c->n;
    }
}

/* ---- the groups ------------------------------------------------------------------------------ */

static bool make_edge(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * DEPTHS)
        return false;
    c->m = edge(g->mr, index % EDGES);
    c->n = edge(g->nr, index / EDGES % EDGES);
    c->k = depth(g, index / (EDGES * EDGES) % DEPTHS);
    types(c, random_below(r, 16));
    random_rest(r, c);
    return true;
}

/* Every signs and output mix, on all pairs of extremes and on random data. */
static bool make_signs(const struct geometry *g, size_t index, struct random *r,
                       struct conform_case *c)
{
    static const uint8_t extremes[4] = {0x80, 0x7f, 0x00, 0xff};
    enum { FILLS = 16 + 3 };
    if (index >= 16 * FILLS)
        return false;
    size_t fill = index / 16;
    types(c, index % 16);
    ragged(g, r, c);
    if (fill < 16) {
        c->a_fill = c->b_fill = FILL_CONSTANT;
        c->a_byte = extremes[fill % 4];
        c->b_byte = extremes[fill / 4];
    } else {
        c->a_fill = c->b_fill = (enum fill[]){FILL_MIXED, FILL_EXTREME, FILL_ANY}[fill - 16];
    }
    c->scale = c->out_type == QDOT_S32 ? SCALE_NONE : fill % 2 ? SCALE_ONE : SCALE_EACH;
    c->place = index % 2 ? PLACE_HOST_END : PLACE_HOST_START;
    return true;
}

static bool make_zeros(const struct geometry *g, size_t index, struct random *r,
                       struct conform_case *c)
{
    static const enum zero modes[5] = {ZERO_NONE, ZERO_ONE, ZERO_LOW, ZERO_HIGH, ZERO_EACH};
    if (index >= 5 * 5 * 4 * 2)
        return false;
    ragged(g, r, c);
    c->a_zero = modes[index % 5];
    c->b_zero = modes[index / 5 % 5];
    size_t signs = index / 25 % 4;
    types(c, signs + 4 * random_below(r, 4));
    random_output(r, c);
    c->bias = index / 100;
    c->b_transposed = random_below(r, 2);
    c->a_fill = c->b_fill = random_below(r, 2) ? FILL_MIXED : FILL_EXTREME;
    return true;
}

/* Roundings that decide: ties, saturation, clamps, signs of zero, subnormals, no fused add. */
static bool make_output(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    enum { KINDS = 12 };
    if (index >= 4 * KINDS * 3)
        return false;
    size_t kind = index / 4 % KINDS;
    ragged(g, r, c);
    types(c, (index & 3) + 4 * (kind < 6 ? 2 + random_below(r, 2) : 1));
    c->a_fill = c->b_fill = FILL_MIXED;
    c->bias = random_below(r, 2);
    int32_t base = c->out_type == QDOT_S8 ? -128 : 0;
    switch (kind) {
    case 0: /* ties, sums small enough not to saturate */
    case 1:
        c->a_fill = c->b_fill = FILL_SMALL;
        c->k = random_between(r, 1, 5);
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
    return true;
}

static bool make_strides(const struct geometry *g, size_t index, struct random *r,
                         struct conform_case *c)
{
    if (index >= 8 * 2 * 4)
        return false;
    ragged(g, r, c);
    types(c, index % 16);
    random_output(r, c);
    c->a_gap = index & 1 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->b_gap = index & 2 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->out_gap = index & 4 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->b_transposed = index / 8 % 2;
    c->a_zero = random_zero(r);
    c->b_zero = random_zero(r);
    c->place = index / 16 % 2 ? PLACE_HOST_END : PLACE_HOST_START;
    return true;
}

static bool make_one_shot(const struct geometry *g, size_t index, struct random *r,
                          struct conform_case *c)
{
    if (index >= 16 * 3)
        return false;
    if (index < 16) {
        c->m = edge(g->mr, index % EDGES);
        c->n = edge(g->nr, index / 3 % EDGES);
        c->k = depth(g, index % DEPTHS);
    } else {
        ragged(g, r, c);
    }
    types(c, index % 16);
    random_rest(r, c);
    c->b_at_run = true;
    c->runs = random_between(r, 1, 3);
    if (index >= 32)
        c->place = index % 2 ? PLACE_BUFFERS : PLACE_SHARED;
    return true;
}

/* Accumulators past 2^24, where (float)acc itself rounds, and past 2^32, where they wrap. */
static bool make_large(const struct geometry *g, size_t index, struct random *r,
                       struct conform_case *c)
{
    if (index >= 16 * 2)
        return false;
    types(c, index % 16);
    c->m = random_between(r, 1, g->mr < 8 ? g->mr + 1 : 8);
    c->n = random_between(r, 1, g->nr < 16 ? g->nr + 1 : 16);
    c->k = index < 16 ? random_between(r, 2000, 5000) : 70000;
    if (index == 31)
        c->k = 250000; /* compilers of shaders have been seen to end loops early */
    if (g->small)
        c->k = 601;
    c->a_fill = c->b_fill = index < 16 ? FILL_ANY : FILL_CONSTANT;
    c->a_byte = c->a_type == QDOT_U8 ? 0xff : 0x80;
    c->b_byte = c->b_type == QDOT_U8 ? 0xff : 0x80;
    c->bias = c->wide_bias = true;
    c->a_zero = index < 16 ? random_zero(r) : (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH);
    c->b_zero = index < 16 ? random_zero(r) : (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH);
    random_output(r, c);
    if (c->out_type != QDOT_S32 && index % 2)
        c->scale = int8_output(c) ? SCALE_ONE : SCALE_NONE;
    return true;
}

static bool make_runs(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    if (index >= 24)
        return false;
    ragged(g, r, c);
    c->m += g->small ? 2 : g->mr;
    types(c, random_below(r, 16));
    random_rest(r, c);
    c->runs = RUNS_MAX;
    return true;
}

static bool make_buffers(const struct geometry *g, size_t index, struct random *r,
                         struct conform_case *c)
{
    if (index >= 48)
        return false;
    ragged(g, r, c);
    types(c, index % 16);
    random_rest(r, c);
    c->place = index / 16 % 2 ? PLACE_SHARED : PLACE_BUFFERS;
    c->runs = random_between(r, 1, RUNS_MAX);
    c->b_at_run = index % 5 == 4;
    return true;
}

static bool make_chain(const struct geometry *g, size_t index, struct random *r,
                       struct conform_case *c)
{
    if (index >= 12)
        return false;
    ragged(g, r, c);
    types(c, (index & 3) + 8 + 4 * (index / 4 % 2));
    random_rest(r, c);
    c->scale = SCALE_ONE;
    c->clamp_lo = c->clamp_hi = 0;
    c->a_gap = c->out_gap = 0;
    c->place = PLACE_BUFFERS;
    c->chain = true;
    c->runs = 2;
    return true;
}

/* Nothing is read or written outside any operand, all kinds of operands present. */
static void memory_case(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    c->m = edge(g->mr, index % EDGES);
    c->n = edge(g->nr, index / EDGES % EDGES);
    c->k = depth(g, index % DEPTHS);
    types(c, index % 16);
    random_rest(r, c);
    c->a_zero = index % 3 ? ZERO_EACH : ZERO_NONE;
    c->b_zero = index % 2 ? ZERO_EACH : ZERO_ONE;
    c->bias = true;
    if (c->out_type == QDOT_F32)
        c->row_scale = c->bias_f = FLOATS_ANY;
    if (c->out_type != QDOT_S32)
        c->scale = SCALE_EACH;
    c->b_at_run = index % 4 == 3;
    c->a_gap = index % 7 == 6 ? 5 : 0;
    c->out_gap = index % 7 == 5 ? 5 : 0;
}

static bool make_memory(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

static bool make_wrapped(const struct geometry *g, size_t index, struct random *r,
                         struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = 1 + index % 3 / 2;
    return true;
}

/* Everything at random, to reach the combinations that nobody thought of. */
static bool make_random(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    if (index >= 600)
        return false;
    ragged(g, r, c);
    types(c, random_below(r, 16));
    random_rest(r, c);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_between(r, 1, 3);
    c->b_at_run = random_below(r, 4) == 0;
    c->wide_bias = random_below(r, 4) == 0;
    c->packed = !c->b_at_run && random_below(r, 4) == 0;
    return true;
}

static bool make_packed(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    if (index >= 16)
        return false;
    ragged(g, r, c);
    types(c, index);
    random_rest(r, c);
    c->packed = true;
    return true;
}

static bool make_threads(const struct geometry *g, size_t index, struct random *r,
                         struct conform_case *c)
{
    static const size_t threads[4] = {1, 2, 3, 7};
    if (index >= 4 * 6)
        return false;
    size_t shape = index / 4;
    /* most of them large enough that a row would want all 7 threads */
    c->m = g->small ? 21 : (const size_t[]){1, 5 * g->mr + 1, 333, 64, 37, 200}[shape];
    c->n = g->small ? 37 : (const size_t[]){997, 7 * g->nr + 1, 129, 256, 1, 65}[shape];
    c->k = g->small ? 19 : (const size_t[]){3000, 901, 300, 512, 777, 333}[shape];
    types(c, shape * 3 + index % 4);
    random_rest(r, c);
    c->b_at_run = shape % 2;
    c->threads = threads[index % 4];
    c->runs = 2;
    return true;
}

/* Each dimension in turn past what a kernel is likely to block by, the others a few ragged tiles.
 */
static bool make_blocks(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    if (g->small || index >= 12)
        return false;
    ragged(g, r, c);
    types(c, random_below(r, 16));
    random_rest(r, c);
    if (index % 3 == 0)
        c->m = random_between(r, 600, 1500);
    else if (index % 3 == 1)
        c->n = random_between(r, 3000, 6000);
    else
        c->k = random_between(r, 3000, 9000);
    c->b_at_run = index / 3 % 2;
    return true;
}

/* ResNet-50: first convolution, a 1x1, a 3x3 and the classifier, as GEMMs of their im2col form.
 * BERT base: a projection and the two halves of a feed-forward block. M is cut to keep it short. */
static bool make_layers(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    static const size_t layers[][3] = {{196, 64, 147},  {49, 512, 256},  {49, 128, 1152},
                                       {1, 1000, 2048}, {128, 768, 768}, {16, 3072, 768},
                                       {16, 768, 3072}};
    if (g->small || index >= sizeof(layers) / sizeof(layers[0]))
        return false;
    c->m = layers[index][0];
    c->n = layers[index][1];
    c->k = layers[index][2];
    types(c, (index & 1) + 4 * (index % 4));
    c->a_fill = FILL_ANY;
    c->b_fill = FILL_ANY;
    c->a_zero = c->a_type == QDOT_U8 ? ZERO_ONE : ZERO_NONE;
    c->bias = true;
    random_output(r, c);
    return true;
}

const struct conform_group conform_groups[] = {
    {"edge", "shapes at the edges of the row's tile, everything else random", make_edge, 0, 0},
    {"signs", "every mix of signs and output, all pairs of extreme values", make_signs, 0, 0},
    {"zeros", "zero points: none, scalar, extreme, per row and column", make_zeros, 0, 0},
    {"output", "ties, saturation, clamps, subnormals, no fused add", make_output, 0, 0},
    {"strides", "gaps between the rows of A, B and out; B transposed", make_strides, 0, 0},
    {"one_shot", "B given with each run", make_one_shot, 0, 0},
    {"large", "sums past 2^24, where (float)acc rounds, and past 2^32", make_large, 0, 0},
    {"runs", "several runs of one op, M varying", make_runs, 0, 0},
    {"buffers", "device buffers at odd offsets, runs before one sync", make_buffers, 0, 0},
    {"chain", "one op reads what another wrote, no sync between", make_chain, 0, 0},
    {"memory", "host operands that touch unmapped pages", make_memory, 0, 0},
    {"wrapped", "buffers over host memory, touching unmapped pages", make_wrapped, 0, true},
    {"random", "everything at random", make_random, 0, 0},
    {"blocks", "shapes larger than cache blocks", make_blocks, 0, 0},
    {"packed", "packed B saved, loaded and run", make_packed, 0, 0},
    {"threads", "1, 2, 3 and 7 threads", make_threads, true, 0},
    {"layers", "layers of ResNet-50 and BERT", make_layers, 0, 0},
};
const size_t conform_group_count = sizeof(conform_groups) / sizeof(conform_groups[0]);

bool conform_group_applies(const struct conform_group *group, const char *backend)
{
    if (group->cpu_only)
        return strcmp(backend, "cpu") == 0;
    if (group->wraps)
        return strcmp(backend, "cpu") == 0 || strcmp(backend, "opencl") == 0;
    return true;
}

bool conform_make(const struct conform_group *group, const struct geometry *g, uint64_t seed,
                  size_t index, struct conform_case *c)
{
    struct random r = {random_seed(seed, group->name, index)};
    *c = (struct conform_case){.runs = 1};
    if (!group->make(g, index, &r, c))
        return false;
    c->data = random_next(&r);
    if (g->small) {
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
