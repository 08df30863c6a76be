/* One case of a map or a pool: its operands, the run, the comparison. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform_places.h"

enum part { A, B, OUT, PARTS };

static const char *const part_names[] = {"a", "b", "out"};

struct bytes_job {
    const struct conform_case *c;
    struct outcome *outcome;
    struct random random;
    size_t m[RUNS_MAX], units;
    size_t out_h, out_w; /* of a pool */
    size_t lda, ldo;
    struct places places;
    struct guarded table;
    struct qdot_average average;
    int32_t a_zero;
    struct qdot_op *op;
};

/* ---- layout ---------------------------------------------------------------------------------- */

size_t map_reach(const struct qdot_map *map, const size_t *stride, size_t units)
{
    size_t bytes = 1;
    for (size_t d = 0; d < map->rank; d++)
        bytes += ((d ? map->dims[d] : units) - 1) * stride[d];
    return bytes;
}

static const size_t *strides_of(const struct qdot_map *map, enum part part)
{
    return part == A ? map->a_stride : part == B ? map->b_stride : map->out_stride;
}

static size_t part_bytes(const struct bytes_job *job, enum part part, size_t m)
{
    const struct conform_case *c = job->c;
    const struct qdot_conv *v = &c->conv;
    if (c->kind != QDOT_MAP)
        return part == B   ? 0
               : part == A ? (m * v->height * v->width - 1) * job->lda + v->channels
                           : (m * job->out_h * job->out_w - 1) * job->ldo + v->channels;
    if (part == B && c->map.operands < 2)
        return 0;
    return map_reach(&c->map, strides_of(&c->map, part), m);
}

static bool allocate(struct bytes_job *job)
{
    const struct conform_case *c = job->c;
    const bool two = c->kind == QDOT_MAP && c->map.operands == 2;
    if ((c->table || two) && !guarded_alloc(&job->table, two ? 65536 : 256, places_at_end(c)))
        return false;
    for (size_t i = 0; i < c->runs; i++) {
        job->m[i] = i == 0 ? job->units : random_between(&job->random, 1, job->units);
        for (enum part part = A; part < PARTS; part++)
            if (!places_add(&job->places, &job->random, i, part, part_bytes(job, part, job->m[i]),
                            1))
                return false;
    }
    return places_complete(&job->places, &job->random);
}

static void find_expected(struct bytes_job *job, size_t run)
{
    const struct conform_case *c = job->c;
    struct place_of *parts = job->places.of[run];
    if (c->kind == QDOT_MAP) {
        struct qdot_map map = c->map;
        map.table = job->table.memory;
        ref_map(&map, job->m[run], parts[A].g.memory, parts[B].g.memory, parts[OUT].expected);
        return;
    }
    struct ref_pool pool = {.conv = c->conv,
                            .type = c->a_type,
                            .a = parts[A].g.memory,
                            .table = job->table.memory,
                            .lda = job->lda,
                            .averages = c->kind == QDOT_AVERAGE_POOL,
                            .average = job->average,
                            .out_type = c->out_type,
                            .rounding = c->rounding,
                            .a_zero = job->a_zero,
                            .out_zero = c->out_zero,
                            .clamp_lo = c->clamp_lo,
                            .clamp_hi = c->clamp_hi};
    pool.conv.batch = job->m[run];
    if (c->clamp_lo == 0 && c->clamp_hi == 0)
        ref_range(c->out_type, &pool.clamp_lo, &pool.clamp_hi);
    ref_pool_run(&pool, parts[OUT].expected, job->ldo);
}

/* Of an input that is one value, a whole window's average over half of an odd number, or next to it. */
static float half_way(struct random *r, const struct conform_case *c, float a_scale, int32_t a_zero)
{
    const size_t taps = c->conv.kernel_h * c->conv.kernel_w;
    const int32_t value = c->a_type == QDOT_S8 ? (int8_t)c->a_byte : c->a_byte;
    const float term = a_scale * (float)(value - a_zero);
    float sum = 0;
    for (size_t i = 0; i < taps; i++)
        sum += term;
    const float halves = 0.5f + (float)random_below(r, 100);
    const float scale = term == 0 ? 1 : fabsf(sum) / (float)taps / halves;
    return nextafterf(scale, (const float[]){scale, 0, FLT_MAX}[random_below(r, 3)]);
}

static void fill_average(struct bytes_job *job)
{
    const struct conform_case *c = job->c;
    struct random *r = &job->random;
    struct qdot_average *v = &job->average;
    const int wide = c->scale == SCALE_EXTREME ? 125 : 9;
    const float near[] = {1, 0.5f, 2, 0.25f, 4, 0.125f, 3, 1.5f};
    if (c->scale == SCALE_NONE)
        return;
    fill_zeros(r, &job->a_zero, 1, c->a_type, c->a_zero);
    v->count_padding = c->count_padding;
    /* mantissas of any bits, or of few: ties */
    v->a_scale = c->scale == SCALE_HALF ? 1 : 1 + (float)random_below(r, 1 << 23) / 0x1p23f;
    v->out_scale = near[random_below(r, 8)];
    if (c->scale != SCALE_HALF)
        v->out_scale *= v->a_scale * (0.5f + (float)random_below(r, 1 << 23) / 0x1p23f);
    if (c->scale == SCALE_EACH) {
        v->out_scale = half_way(r, c, v->a_scale, job->a_zero);
        return;
    }
    const int exponent = (int)random_below(r, 2 * (size_t)wide + 1) - wide;
    const int other = c->scale == SCALE_EXTREME && random_below(r, 2)
                          ? (int)random_below(r, 2 * (size_t)wide + 1) - wide
                          : exponent;
    v->a_scale = ldexpf(v->a_scale, exponent < 126 ? exponent : 126);
    v->out_scale = ldexpf(v->out_scale, other < -120 ? -120 : other > 123 ? 123 : other);
}

/* Gaps of the output have any bytes, and keep them. */
static void fill(struct bytes_job *job)
{
    const struct conform_case *c = job->c;
    for (size_t i = 0; i < job->table.bytes; i++)
        job->table.memory[i] = (uint8_t)random_next(&job->random);
    if (c->kind == QDOT_AVERAGE_POOL)
        fill_average(job);
    for (size_t i = 0; i < c->runs; i++) {
        for (enum part part = A; part < PARTS; part++) {
            struct place_of *region = &job->places.of[i][part];
            const enum fill how = part == A ? c->a_fill : part == B ? c->b_fill : FILL_ANY;
            fill_bytes(&job->random, region->g.memory, region->bytes, c->a_type, how,
                       part == A ? c->a_byte : c->b_byte);
            if (region->bytes)
                memcpy(region->expected, region->g.memory, region->bytes);
        }
        find_expected(job, i);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Of a convolution's fields those of 1 may be left 0. */
static void leave_out(struct bytes_job *job, struct qdot_conv *v)
{
    size_t *const ones[] = {&v->batch, &v->stride_h, &v->stride_w, &v->dilation_h, &v->dilation_w};
    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
        if (*ones[i] == 1 && random_below(&job->random, 2))
            *ones[i] = 0;
    v->groups = 0;
    v->out_channels = random_below(&job->random, 2) ? 0 : v->channels;
}

static enum verdict create(struct bytes_job *job, const struct target *target,
                           struct qdot_device *device)
{
    const struct conform_case *c = job->c;
    struct qdot_error err = {0};
    struct qdot_op_desc desc = {
        .size = sizeof(desc),
        .kind = c->kind,
        .conv = c->conv,
        .map = c->map,
        .a_type = c->a_type == QDOT_U8 && random_below(&job->random, 2) ? 0 : c->a_type,
        .kernel = target->kernel,
    };
    desc.map.table = job->table.memory;
    if (c->map.operands == 1 && random_below(&job->random, 2))
        desc.map.operands = 0;
    if (c->kind != QDOT_MAP)
        leave_out(job, &desc.conv);
    if (c->kind == QDOT_AVERAGE_POOL) {
        desc.average = job->average;
        desc.out_type = c->out_type == c->a_type && random_below(&job->random, 2) ? 0 : c->out_type;
        desc.rounding = c->rounding;
        desc.a_zero = job->a_zero;
        desc.out_zero = c->out_zero;
        desc.clamp_lo = c->clamp_lo;
        desc.clamp_hi = c->clamp_hi;
    }
    if (qdot_op_create(device, &desc, &job->op, &err))
        return conform_refused(job->outcome, "qdot_op_create", &err);
    if (strcmp(qdot_op_row(job->op), target->kernel) != 0)
        return conform_fail(job->outcome, "another row was taken", qdot_op_row(job->op));
    guarded_free(&job->table); /* not referenced afterwards, says qdot.h: a later use faults */
    return VERDICT_PASS;
}

static enum verdict run_all(struct bytes_job *job, struct qdot_device *device)
{
    const struct conform_case *c = job->c;
    const bool pixels = c->kind != QDOT_MAP && c->conv.layout == QDOT_NHWC;
    struct qdot_error err = {0};
    for (size_t i = 0; i < c->runs; i++) {
        const struct qdot_run run = {.size = sizeof(run),
                                     .m = i == 0 ? 0 : job->m[i],
                                     .a = places_input(&job->places, i, A),
                                     .b = places_input(&job->places, i, B),
                                     .lda = pixels && (c->a_gap || i % 2) ? job->lda : 0,
                                     .ldo = pixels && (c->out_gap || i % 2) ? job->ldo : 0,
                                     .out = places_output(&job->places, i, OUT)};
        if (qdot_op_run(job->op, &run, &err))
            return conform_fail(job->outcome, "qdot_op_run", err.text);
    }
    return places_fetch(&job->places, device);
}

/* ---- the comparison -------------------------------------------------------------------------- */

/* An index of so many dimensions, [i][j]..., as a text. */
static void print_index(char *text, size_t bytes, const size_t *index, size_t rank)
{
    FILE *file = fmemopen(text, bytes, "w");
    for (size_t d = 0; file && d < rank; d++)
        fprintf(file, "[%zu]", index[d]);
    if (file)
        fclose(file);
}

/* The element of a map's tensor that is at this byte, the first if it repeats; false: a gap is. */
static bool map_index(const struct qdot_map *map, enum part part, size_t units, size_t byte,
                      size_t index[QDOT_MAP_RANK])
{
    const size_t *stride = strides_of(map, part);
    memset(index, 0, QDOT_MAP_RANK * sizeof(*index));
    for (;;) {
        size_t at = 0, d = map->rank;
        for (size_t i = 0; i < map->rank; i++)
            at += index[i] * stride[i];
        if (at == byte)
            return true;
        while (d > 0 && ++index[d - 1] == (d == 1 ? units : map->dims[d - 1]))
            index[--d] = 0;
        if (d == 0)
            return false;
    }
}

/* Likewise of a pool: image, row, column and channel, or of NCHW image, channel, row and column. */
static bool pool_index(const struct bytes_job *job, enum part part, size_t byte,
                       size_t index[QDOT_MAP_RANK])
{
    const struct qdot_conv *v = &job->c->conv;
    const size_t h = part == OUT ? job->out_h : v->height, w = part == OUT ? job->out_w : v->width;
    const bool nchw = v->layout == QDOT_NCHW;
    const size_t ld = part == OUT ? job->ldo : job->lda;
    const size_t sizes[] = {SIZE_MAX, nchw ? v->channels : h, nchw ? h : w, nchw ? w : ld};
    for (size_t d = 4; d-- > 0; byte /= sizes[d])
        index[d] = byte % sizes[d];
    return nchw || index[3] < v->channels;
}

static void say(void *ctx, size_t run, size_t part, const uint8_t *got, size_t at)
{
    const struct bytes_job *job = ctx;
    const struct conform_case *c = job->c;
    const bool map = c->kind == QDOT_MAP;
    struct outcome *o = job->outcome;
    size_t index[QDOT_MAP_RANK];
    char element[96] = "";
    const bool is_element = map ? map_index(&c->map, (enum part)part, job->m[run], at, index)
                                : pool_index(job, (enum part)part, at, index);
    if (is_element)
        print_index(element, sizeof(element), index, map ? c->map.rank : 4);
    else
        snprintf(element, sizeof(element), ", byte %zu", at);
    snprintf(o->reason, sizeof(o->reason), "%s",
             part < OUT   ? "an input was changed"
             : is_element ? "a wrong value"
                          : "a gap was changed");
    snprintf(o->index, sizeof(o->index), "run %zu, %s%s", run, part_names[part], element);
    snprintf(o->got, sizeof(o->got), "0x%02x", got[at]);
    snprintf(o->expected, sizeof(o->expected), "0x%02x", job->places.of[run][part].expected[at]);
}

/* Of the first run's output. */
static size_t elements(const struct bytes_job *job)
{
    size_t count = job->units;
    for (size_t d = 1; d < job->c->map.rank; d++)
        count *= job->c->map.dims[d];
    return job->c->kind == QDOT_MAP ? count
                                    : count * job->out_h * job->out_w * job->c->conv.channels;
}

static enum verdict run(struct bytes_job *job, const struct target *target)
{
    struct qdot_device *device;
    enum verdict verdict = places_open(&job->places, target, &device);
    if (verdict == VERDICT_PASS)
        verdict = create(job, target, device);
    if (verdict == VERDICT_PASS)
        verdict = places_make_buffers(&job->places, device);
    if (verdict == VERDICT_PASS)
        verdict = run_all(job, device);
    if (verdict != VERDICT_PASS)
        return verdict;
    if (elements(job) >= target->fault_k)
        places_plant(&job->places, target->fault);
    return places_compare(&job->places, job, say);
}

enum verdict conform_run_bytes(const struct target *target, const struct conform_case *c,
                               struct outcome *outcome)
{
    struct bytes_job job = {
        .c = c,
        .outcome = outcome,
        .random = {c->data},
        .places = {.c = c, .outcome = outcome, .names = part_names, .parts = PARTS, .out = OUT}};
    enum verdict verdict = VERDICT_NOT_RUN;
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    job.units = c->kind == QDOT_MAP ? c->map.dims[0] : c->conv.batch;
    if (c->kind != QDOT_MAP)
        ref_conv_output(&c->conv, &job.out_h, &job.out_w);
    job.lda = c->conv.channels + c->a_gap;
    job.ldo = c->conv.channels + c->out_gap;
    if (!allocate(&job)) {
        conform_fail(outcome, "this program's operands", "out of memory");
    } else {
        fill(&job);
        verdict = run(&job, target);
    }
    qdot_op_destroy(job.op);
    guarded_free(&job.table);
    places_free(&job.places);
    return verdict;
}
