/* One case of a map or a max pool: its operands, the run, the comparison. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"
#include "guard.h"

enum part { A, B, OUT, PARTS };

static const char *const part_names[] = {"a", "b", "out"};

struct region {
    struct guarded g; /* of host memory; of a device buffer what it is written from and read into */
    uint8_t *expected;
    size_t bytes, offset; /* in the buffer */
};

struct bytes_job {
    const struct conform_case *c;
    struct outcome *outcome;
    struct random random;
    size_t m[RUNS_MAX], units;
    size_t out_h, out_w; /* of a pool */
    size_t lda, ldo;
    struct region places[RUNS_MAX][PARTS];
    struct guarded table, whole; /* whole: of a device buffer for all */
    size_t whole_bytes;
    struct qdot_buffer *buffer, *buffers[RUNS_MAX][PARTS];
    struct qdot_device *own;
    struct qdot_op *op;
};

static enum verdict fail(struct bytes_job *job, const char *what, const char *why)
{
    snprintf(job->outcome->reason, sizeof(job->outcome->reason), "%s: %s", what, why);
    return VERDICT_FAIL;
}

static enum verdict refused(struct bytes_job *job, const char *call, const struct qdot_error *err)
{
    fail(job, call, err->text);
    return err->status == QDOT_UNSUPPORTED ? VERDICT_NOT_RUN : VERDICT_FAIL;
}

static bool in_buffers(const struct conform_case *c)
{
    return c->place == PLACE_BUFFERS || c->place == PLACE_SHARED;
}

static bool wrapped(const struct conform_case *c)
{
    return c->place == PLACE_WRAPPED_END || c->place == PLACE_WRAPPED_START;
}

/* ---- layout ---------------------------------------------------------------------------------- */

static size_t reach(const struct qdot_map *map, const size_t *stride, size_t m)
{
    size_t bytes = 1;
    for (size_t d = 0; d < map->rank; d++)
        bytes += ((d ? map->dims[d] : m) - 1) * stride[d];
    return bytes;
}

static size_t part_bytes(const struct bytes_job *job, enum part part, size_t m)
{
    const struct conform_case *c = job->c;
    const struct qdot_conv *v = &c->conv;
    if (c->kind == QDOT_MAX_POOL)
        return part == B   ? 0
               : part == A ? (m * v->height * v->width - 1) * job->lda + v->channels
                           : (m * job->out_h * job->out_w - 1) * job->ldo + v->channels;
    if (part == B && c->map.operands < 2)
        return 0;
    return reach(&c->map,
                 part == A   ? c->map.a_stride
                 : part == B ? c->map.b_stride
                             : c->map.out_stride,
                 m);
}

static bool allocate(struct bytes_job *job)
{
    const struct conform_case *c = job->c;
    const bool end = c->place == PLACE_HOST_END || c->place == PLACE_WRAPPED_END;
    const bool two = c->kind == QDOT_MAP && c->map.operands == 2;
    size_t at = 0;
    if ((c->table || two) && !guarded_alloc(&job->table, two ? 65536 : 256, end))
        return false;
    for (size_t i = 0; i < c->runs; i++) {
        job->m[i] = i == 0 ? job->units : random_between(&job->random, 1, job->units);
        for (enum part part = A; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            region->bytes = part_bytes(job, part, job->m[i]);
            if (region->bytes == 0)
                continue;
            if (!guarded_alloc(&region->g, region->bytes, end) ||
                !(region->expected = malloc(region->bytes)))
                return false;
            at += random_below(&job->random, 16);
            region->offset = at;
            at += region->bytes;
        }
    }
    job->whole_bytes = at + random_below(&job->random, 16);
    return !in_buffers(c) || guarded_alloc(&job->whole, job->whole_bytes, true);
}

static void find_expected(struct bytes_job *job, size_t run)
{
    const struct conform_case *c = job->c;
    struct region *parts = job->places[run];
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
                            .lda = job->lda};
    pool.conv.batch = job->m[run];
    ref_pool_run(&pool, parts[OUT].expected, job->ldo);
}

/* Gaps of the output have any bytes, and keep them. */
static void fill(struct bytes_job *job)
{
    const struct conform_case *c = job->c;
    for (size_t i = 0; i < job->table.bytes; i++)
        job->table.memory[i] = (uint8_t)random_next(&job->random);
    for (size_t i = 0; i < c->runs; i++) {
        for (enum part part = A; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            const enum fill how = c->kind == QDOT_MAX_POOL && part == A ? c->a_fill : FILL_ANY;
            fill_bytes(&job->random, region->g.memory, region->bytes, c->a_type, how, 0);
            for (size_t j = 0; c->counted && j < region->bytes; j++)
                region->g.memory[j] = (uint8_t)j;
            if (region->bytes)
                memcpy(region->expected, region->g.memory, region->bytes);
        }
        find_expected(job, i);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static enum verdict open_own(struct bytes_job *job, const struct target *target,
                             struct qdot_device **device)
{
    struct qdot_error err = {0};
    struct qdot_device_info info = {.size = sizeof(info)};
    *device = target->device;
    if (!job->c->threads)
        return VERDICT_PASS;
    if (qdot_device_info(*device, &info, &err))
        return refused(job, "qdot_device_info", &err);
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = info.name,
                                    .cache_dir = "",
                                    .thread_count = job->c->threads};
    if (target->tasks)
        open.threads = (struct qdot_threads){job->c->threads, NULL, conform_parallel_for};
    if (qdot_open(&open, &job->own, &err))
        return refused(job, "qdot_open", &err);
    *device = job->own;
    return VERDICT_PASS;
}

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
    if (c->kind == QDOT_MAX_POOL)
        leave_out(job, &desc.conv);
    if (qdot_op_create(device, &desc, &job->op, &err))
        return refused(job, "qdot_op_create", &err);
    if (strcmp(qdot_op_row(job->op), target->kernel) != 0)
        return fail(job, "another row was taken", qdot_op_row(job->op));
    guarded_free(&job->table); /* not referenced afterwards, says qdot.h: a later use faults */
    return VERDICT_PASS;
}

static enum verdict make_buffers(struct bytes_job *job, struct qdot_device *device)
{
    struct qdot_error err = {0};
    const struct conform_case *c = job->c;
    if (in_buffers(c)) {
        for (size_t i = 0; i < c->runs; i++)
            for (enum part part = A; part < PARTS; part++)
                if (job->places[i][part].bytes)
                    memcpy(job->whole.memory + job->places[i][part].offset,
                           job->places[i][part].g.memory, job->places[i][part].bytes);
        if (qdot_buffer_create(device, job->whole_bytes, NULL, &job->buffer, &err) ||
            qdot_buffer_write(job->buffer, 0, job->whole.memory, job->whole_bytes, &err))
            return refused(job, "buffer", &err);
    }
    for (size_t i = 0; i < c->runs && wrapped(c); i++)
        for (enum part part = A; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            if (region->bytes && qdot_buffer_create(device, region->bytes, region->g.memory,
                                                    &job->buffers[i][part], &err))
                return refused(job, "qdot_buffer_create", &err);
        }
    return VERDICT_PASS;
}

static struct qdot_output operand(const struct bytes_job *job, size_t run, enum part part)
{
    const struct region *region = &job->places[run][part];
    if (region->bytes == 0)
        return (struct qdot_output){0};
    if (in_buffers(job->c))
        return (struct qdot_output){.buffer = job->buffer, .offset_bytes = region->offset};
    if (wrapped(job->c))
        return (struct qdot_output){.buffer = job->buffers[run][part]};
    return (struct qdot_output){.host = region->g.memory};
}

static struct qdot_input input(const struct bytes_job *job, size_t run, enum part part)
{
    const struct qdot_output o = operand(job, run, part);
    return (struct qdot_input){o.host, o.buffer, o.offset_bytes};
}

static enum verdict run_all(struct bytes_job *job, struct qdot_device *device)
{
    const struct conform_case *c = job->c;
    const bool pixels = c->kind == QDOT_MAX_POOL && c->conv.layout == QDOT_NHWC;
    struct qdot_error err = {0};
    for (size_t i = 0; i < c->runs; i++) {
        const struct qdot_run run = {.size = sizeof(run),
                                     .m = i == 0 ? 0 : job->m[i],
                                     .a = input(job, i, A),
                                     .b = input(job, i, B),
                                     .lda = pixels && (c->a_gap || i % 2) ? job->lda : 0,
                                     .ldo = pixels && (c->out_gap || i % 2) ? job->ldo : 0,
                                     .out = operand(job, i, OUT)};
        if (qdot_op_run(job->op, &run, &err))
            return fail(job, "qdot_op_run", err.text);
    }
    if ((in_buffers(c) || wrapped(c)) && qdot_sync(device, &err))
        return fail(job, "qdot_sync", err.text);
    if (in_buffers(c) &&
        qdot_buffer_read(job->buffer, 0, job->whole.memory, job->whole_bytes, &err))
        return fail(job, "qdot_buffer_read", err.text);
    for (size_t i = 0; i < c->runs && wrapped(c); i++)
        for (enum part part = A; part < PARTS; part++)
            if (job->buffers[i][part] &&
                qdot_buffer_read(job->buffers[i][part], 0, job->places[i][part].g.memory,
                                 job->places[i][part].bytes, &err))
                return fail(job, "qdot_buffer_read", err.text);
    return VERDICT_PASS;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static enum verdict mismatch(struct bytes_job *job, size_t run, enum part part, const uint8_t *got,
                             const uint8_t *expected)
{
    struct outcome *o = job->outcome;
    size_t at = 0;
    while (got[at] == expected[at])
        at++;
    snprintf(o->reason, sizeof(o->reason), "%s",
             part < OUT ? "an input was changed" : "a wrong value, or a gap that was changed");
    snprintf(o->index, sizeof(o->index), "run %zu, %s, byte %zu", run, part_names[part], at);
    snprintf(o->got, sizeof(o->got), "0x%02x", got[at]);
    snprintf(o->expected, sizeof(o->expected), "0x%02x", expected[at]);
    return VERDICT_FAIL;
}

static bool poisoned(const struct guarded *g, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (g->pages[i] != GUARD_POISON)
            return false;
    return true;
}

static enum verdict compare(struct bytes_job *job)
{
    const bool whole = in_buffers(job->c);
    for (size_t i = 0; i < job->c->runs; i++)
        for (enum part part = A; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            uint8_t *got = whole ? job->whole.memory + region->offset : region->g.memory;
            if (region->bytes == 0)
                continue;
            if (memcmp(got, region->expected, region->bytes) != 0)
                return mismatch(job, i, part, got, region->expected);
            memset(got, GUARD_POISON, region->bytes);
            const size_t before = (size_t)(region->g.memory - region->g.pages);
            if (!poisoned(&region->g, 0, before) ||
                !poisoned(&region->g, before + region->bytes, region->g.page_bytes))
                return fail(job, "memory next to an operand was changed", part_names[part]);
        }
    if (whole && !poisoned(&job->whole, 0, job->whole.page_bytes))
        return fail(job, "a byte outside every operand", "was changed");
    return VERDICT_PASS;
}

static void plant(struct bytes_job *job, enum fault fault)
{
    struct region *out = &job->places[0][OUT];
    uint8_t *got = in_buffers(job->c) ? job->whole.memory + out->offset : out->g.memory;
    if (fault == FAULT_WRONG)
        got[0] ^= 1;
    if (fault == FAULT_CRASH)
        *(volatile uint8_t *)(out->g.pages + out->g.page_bytes) = 0;
}

static void clean(struct bytes_job *job)
{
    qdot_op_destroy(job->op);
    qdot_buffer_destroy(job->buffer);
    for (size_t i = 0; i < RUNS_MAX; i++)
        for (enum part part = A; part < PARTS; part++) {
            qdot_buffer_destroy(job->buffers[i][part]);
            guarded_free(&job->places[i][part].g);
            free(job->places[i][part].expected);
        }
    guarded_free(&job->table);
    guarded_free(&job->whole);
    qdot_close(job->own);
}

enum verdict conform_run_bytes(const struct target *target, const struct conform_case *c,
                               struct outcome *outcome)
{
    struct bytes_job job = {.c = c, .outcome = outcome, .random = {c->data}};
    struct qdot_device *device = NULL;
    enum verdict verdict = VERDICT_FAIL;
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    job.units = c->kind == QDOT_MAP ? c->map.dims[0] : c->conv.batch;
    if (c->kind == QDOT_MAX_POOL)
        ref_conv_output(&c->conv, &job.out_h, &job.out_w);
    job.lda = c->conv.channels + c->a_gap;
    job.ldo = c->conv.channels + c->out_gap;
    if (!allocate(&job)) {
        fail(&job, "mmap or malloc", "out of memory");
    } else {
        fill(&job);
        verdict = open_own(&job, target, &device);
        if (verdict == VERDICT_PASS)
            verdict = create(&job, target, device);
        if (verdict == VERDICT_PASS)
            verdict = make_buffers(&job, device);
        if (verdict == VERDICT_PASS)
            verdict = run_all(&job, device);
        if (verdict == VERDICT_PASS) {
            plant(&job, target->fault);
            verdict = compare(&job);
        }
    }
    clean(&job);
    return verdict;
}
