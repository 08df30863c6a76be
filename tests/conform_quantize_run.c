/* One case of quantize and its kin: its operands, the run, the comparison. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"
#include "guard.h"

/* ---- operands -------------------------------------------------------------------------------- */

enum part { X, DY, SCALE, ZERO, OUT, SCALE_OUT, ZERO_OUT, PARTS };

static const char *const part_names[] = {"a", "b", "scale", "zero", "out", "scale_out", "zero_out"};

struct region {
    struct guarded g; /* of host memory; of a device buffer what it is written from and read into */
    uint8_t *expected;
    size_t bytes, offset; /* in the buffer */
};

struct elements_job {
    const struct conform_case *c;
    struct outcome *outcome;
    struct random random;
    size_t m[RUNS_MAX];
    struct region places[RUNS_MAX][PARTS];
    struct guarded scale, zero; /* of the descriptor */
    int32_t lo, hi;
    struct guarded whole; /* of a device buffer for all */
    size_t whole_bytes;
    struct qdot_buffer *buffer, *buffers[RUNS_MAX][PARTS];
    struct qdot_device *own;
    struct qdot_op *op;
};

static enum verdict fail(struct elements_job *job, const char *what, const char *why)
{
    snprintf(job->outcome->reason, sizeof(job->outcome->reason), "%s: %s", what, why);
    return VERDICT_FAIL;
}

static bool in_buffers(const struct conform_case *c)
{
    return c->place == PLACE_BUFFERS || c->place == PLACE_SHARED;
}

static bool wrapped(const struct conform_case *c)
{
    return c->place == PLACE_WRAPPED_END || c->place == PLACE_WRAPPED_START;
}

/* The formula's problem for m units; without the operands. */
static struct ref_elements problem(const struct elements_case *e, size_t m)
{
    return (struct ref_elements){.kind = e->kind,
                                 .type = e->type,
                                 .outer = e->outer > 1 ? m : 1,
                                 .axis = e->outer > 1 ? e->axis : m,
                                 .inner = e->inner,
                                 .group = e->group,
                                 .each = e->each,
                                 .reciprocal = e->reciprocal};
}

static size_t type_bytes(enum qdot_type type, size_t count)
{
    return (count * ref_bits(type) + 7) / 8;
}

static size_t part_bytes(const struct elements_case *e, enum part part, size_t m)
{
    const struct ref_elements p = problem(e, m);
    const size_t count = p.outer * p.axis * p.inner, parameters = ref_parameters(&p) * 4;
    const bool dynamic = e->kind == QDOT_DYNAMIC_QUANTIZE;
    switch (part) {
    case X:
        return e->kind == QDOT_DEQUANTIZE ? type_bytes(e->type, count) : count * 4;
    case DY:
        return e->kind == QDOT_FAKE_QUANTIZE_GRADIENT ? count * 4 : 0;
    case SCALE:
        return e->scale_at_run ? parameters : 0;
    case ZERO:
        return e->zero_at_run ? parameters : 0;
    case OUT:
        return e->kind == QDOT_QUANTIZE || dynamic ? type_bytes(e->type, count) : count * 4;
    default:
        return dynamic ? parameters : 0;
    }
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void fill_scales_of(struct elements_job *job, struct guarded *g)
{
    struct random *r = &job->random;
    float *scale = (float *)(void *)g->memory;
    for (size_t i = 0; i < g->bytes / 4; i++) {
        const uint32_t any = (uint32_t)random_next(r) & 0x7fffff;
        const uint32_t extremes[] = {1, 2, 3, 126, 127, 240, 252, 253, 254};
        scale[i] = float_of((uint32_t)random_between(r, 117, 130) << 23 | any);
        if (job->c->elements.steps == STEPS_POWERS)
            scale[i] = float_of((uint32_t)random_between(r, 117, 130) << 23);
        if (job->c->elements.steps == STEPS_EXTREME)
            scale[i] = float_of(extremes[random_below(r, 9)] << 23 |
                                (const uint32_t[]){0, 1, 0x7fffff, any}[random_below(r, 4)]);
    }
}

static void fill_zeros_of(struct elements_job *job, struct guarded *g)
{
    int32_t *zero = (int32_t *)(void *)g->memory, lo, hi;
    ref_range(job->c->elements.type, &lo, &hi);
    for (size_t i = 0; i < g->bytes / 4; i++) {
        const size_t how = random_below(&job->random, 8);
        zero[i] = how == 0   ? lo
                  : how == 1 ? hi
                             : lo + (int32_t)random_below(&job->random, (size_t)(hi - lo) + 1);
    }
}

/* Near what the parameters make interesting: halves, the ends of the range, and their neighbours. */
static float value_of(struct elements_job *job, float scale, int32_t zero)
{
    static const float special[] = {NAN,       -NAN,       INFINITY,         -INFINITY, 0.0f,
                                    -0.0f,     FLT_MAX,    -FLT_MAX,         FLT_MIN,   -FLT_MIN,
                                    0x1p-149f, -0x1p-149f, 0x1.fffffcp-127f, 0x1p-130f, -0x1p-127f};
    struct random *r = &job->random;
    const enum values values = job->c->elements.values;
    int32_t lo, hi;
    ref_range(job->c->elements.type, &lo, &hi);
    if (values == VALUES_BITS || random_below(r, 16) == 0)
        return float_of((uint32_t)random_next(r));
    if (random_below(r, 16) == 0)
        return special[random_below(r, sizeof(special) / sizeof(special[0]))];
    const size_t how = random_below(r, 4);
    double whole = how == 0   ? lo - zero
                   : how == 1 ? hi - zero
                              : lo - zero + (double)random_below(r, (size_t)(hi - lo) + 1);
    if (values == VALUES_MIXED && random_below(r, 2))
        whole += (double)random_below(r, 1 << 20) * 0x1p-20;
    else
        whole += random_below(r, 2) ? 0.5 : -0.5;
    float x = (float)(whole * (double)scale);
    for (size_t steps = random_below(r, values == VALUES_NEAR_TIES ? 4 : 2); steps > 0; steps--)
        x = nextafterf(x, random_below(r, 2) ? INFINITY : -INFINITY);
    return x;
}

/* Of dynamic quantize a row may be of one value, or of ordinary ones only. */
static float dynamic_value(struct elements_job *job, size_t row, float before)
{
    struct random *r = &job->random;
    static const float ones[] = {0, -0.0f, NAN, INFINITY, -INFINITY, 0x1p-140f, 0x1p-118f, -3.5f};
    const struct elements_case *e = &job->c->elements;
    if (e->values == VALUES_ONE)
        return ones[(row + e->steps) % 8];
    if (e->values == VALUES_NEAR_TIES) /* a scale of 1/2, or of a power of two below */
        return (float)((double)random_below(r, 511) - 255) *
               (e->steps == STEPS_EXTREME ? 0x1p-119f : 0.25f);
    if (e->values == VALUES_BITS || e->steps == STEPS_EXTREME)
        return value_of(job, before, 3);
    return (float)((double)random_next(r) * 0x1p-62 - 1.5);
}

/* -3 to 3 in halves; of dequantize 0 to 3. */
static void fill_small(struct elements_job *job, size_t run, size_t count)
{
    const struct elements_case *e = &job->c->elements;
    struct region *x = &job->places[run][X], *dy = &job->places[run][DY];
    for (size_t i = 0; i < count; i++) {
        const float half = ((float)random_below(&job->random, 13) - 6) * 0.5f;
        const float whole = (float)(i % 5 + 1);
        if (e->kind == QDOT_DEQUANTIZE)
            ref_put(x->g.memory, e->type, i, (int32_t)random_below(&job->random, 4));
        else
            memcpy(x->g.memory + 4 * i, &half, 4);
        if (dy->bytes)
            memcpy(dy->g.memory + 4 * i, &whole, 4);
    }
}

static void fill_x(struct elements_job *job, size_t run, const struct ref_elements *p)
{
    const struct elements_case *e = &job->c->elements;
    struct region *x = &job->places[run][X], *dy = &job->places[run][DY];
    const size_t count = p->outer * p->axis * p->inner;
    if (e->values == VALUES_SMALL) {
        fill_small(job, run, count);
        return;
    }
    for (size_t i = 0; i < dy->bytes; i++)
        dy->g.memory[i] = (uint8_t)random_next(&job->random);
    for (size_t i = 0; i < x->bytes && e->kind == QDOT_DEQUANTIZE; i++)
        x->g.memory[i] = (uint8_t)random_next(&job->random);
    for (size_t i = 0; i < count && e->kind != QDOT_DEQUANTIZE; i++) {
        const size_t k = ref_parameter(p, i);
        ((float *)(void *)x->g.memory)[i] =
            e->kind == QDOT_DYNAMIC_QUANTIZE
                ? dynamic_value(job, k, 0.1f)
                : value_of(job, p->scale ? p->scale[k] : 1, p->zero ? p->zero[k] : 0);
    }
}

/* ---- layout ---------------------------------------------------------------------------------- */

static bool allocate(struct elements_job *job)
{
    const struct conform_case *c = job->c;
    const struct elements_case *e = &c->elements;
    const bool end = c->place == PLACE_HOST_END || c->place == PLACE_WRAPPED_END;
    const size_t units = e->outer > 1 ? e->outer : e->axis;
    const struct ref_elements p = problem(e, units);
    const size_t parameters = ref_parameters(&p) * 4;
    size_t at = 0;
    if ((e->scale && !e->scale_at_run && !guarded_alloc(&job->scale, parameters, end)) ||
        (e->zero && !e->zero_at_run && !guarded_alloc(&job->zero, parameters, end)))
        return false;
    for (size_t i = 0; i < c->runs; i++) {
        job->m[i] = i == 0 ? units : random_between(&job->random, 1, units);
        for (enum part part = X; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            region->bytes = part_bytes(e, part, job->m[i]);
            if (region->bytes == 0)
                continue;
            if (!guarded_alloc(&region->g, region->bytes, end) ||
                !(region->expected = malloc(region->bytes)))
                return false;
            const bool loose =
                (part == X && e->kind == QDOT_DEQUANTIZE) ||
                (part == OUT && (e->kind == QDOT_QUANTIZE || e->kind == QDOT_DYNAMIC_QUANTIZE));
            const size_t bits = loose ? ref_bits(e->type) : 32;
            const size_t alignment = bits < 8 ? 1 : bits / 8;
            at += random_below(&job->random, 16);
            at = (at + alignment - 1) / alignment * alignment;
            region->offset = at;
            at += region->bytes;
        }
    }
    job->whole_bytes = at + random_below(&job->random, 16);
    return !in_buffers(c) || guarded_alloc(&job->whole, job->whole_bytes, true);
}

static void choose_range(struct elements_job *job)
{
    const struct elements_case *e = &job->c->elements;
    ref_range(e->type, &job->lo, &job->hi);
    if (!e->narrow)
        return;
    const size_t values = (size_t)(job->hi - job->lo) + 1;
    job->lo += (int32_t)random_below(&job->random, values / 2);
    job->hi -= (int32_t)random_below(&job->random, values / 4);
    if (job->lo == 0 && job->hi == 0) /* which means the type's */
        ref_range(e->type, &job->lo, &job->hi);
}

static void fill(struct elements_job *job)
{
    const struct elements_case *e = &job->c->elements;
    choose_range(job);
    fill_scales_of(job, &job->scale);
    fill_zeros_of(job, &job->zero);
    for (size_t i = 0; i < job->c->runs; i++) {
        struct region *parts = job->places[i];
        fill_scales_of(job, &parts[SCALE].g);
        fill_zeros_of(job, &parts[ZERO].g);
        struct ref_elements p = problem(e, job->m[i]);
        const struct guarded *scale = e->scale_at_run ? &parts[SCALE].g : &job->scale;
        const struct guarded *zero = e->zero_at_run ? &parts[ZERO].g : &job->zero;
        p.scale = (const float *)(const void *)scale->memory;
        p.zero = (const int32_t *)(const void *)zero->memory;
        fill_x(job, i, &p);
        for (enum part part = X; part < PARTS; part++)
            if (parts[part].bytes)
                memcpy(parts[part].expected, parts[part].g.memory, parts[part].bytes);
        p.x = parts[X].g.memory;
        p.dy = parts[DY].g.memory;
        p.clamp_lo = job->lo;
        p.clamp_hi = job->hi;
        memset(parts[OUT].expected, 0, parts[OUT].bytes);
        ref_elements_run(&p, parts[OUT].expected, (float *)(void *)parts[SCALE_OUT].expected,
                         (int32_t *)(void *)parts[ZERO_OUT].expected);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static enum verdict refused(struct elements_job *job, const char *call,
                            const struct qdot_error *err)
{
    fail(job, call, err->text);
    return err->status == QDOT_UNSUPPORTED ? VERDICT_REFUSED : VERDICT_FAIL;
}

static enum verdict open_own(struct elements_job *job, const struct target *target,
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

static enum verdict create(struct elements_job *job, const struct target *target,
                           struct qdot_device *device)
{
    const struct elements_case *e = &job->c->elements;
    struct qdot_error err = {0};
    const bool dynamic = e->kind == QDOT_DYNAMIC_QUANTIZE;
    const struct ref_elements p = problem(e, e->outer > 1 ? e->outer : e->axis);
    const size_t parameters = ref_parameters(&p);
    const bool none = random_below(&job->random, 2); /* ones may be left 0 */
    struct qdot_op_desc desc = {
        .size = sizeof(desc),
        .kind = e->kind,
        .quantize = {.type = e->type == QDOT_U8 && none ? QDOT_TYPE_DEFAULT : e->type,
                     .outer = e->outer == 1 && none ? 0 : e->outer,
                     .axis = e->axis == 1 && none ? 0 : e->axis,
                     .inner = e->inner == 1 && none ? 0 : e->inner,
                     .group = e->group,
                     .scale = (const float *)(const void *)job->scale.memory,
                     .scale_count = e->scale || (dynamic && parameters > 1) ? parameters : 0,
                     .zero = (const int32_t *)(const void *)job->zero.memory,
                     .zero_count = e->zero ? parameters : 0,
                     .reciprocal = e->reciprocal},
        .clamp_lo = e->narrow ? job->lo : 0,
        .clamp_hi = e->narrow ? job->hi : 0,
        .kernel = target->kernel,
    };
    if (qdot_op_create(device, &desc, &job->op, &err))
        return refused(job, "qdot_op_create", &err);
    if (strcmp(qdot_op_row(job->op), target->kernel) != 0)
        return fail(job, "another row was taken", qdot_op_row(job->op));
    guarded_free(&job->scale); /* not referenced afterwards, says qdot.h: a later use faults */
    guarded_free(&job->zero);
    return VERDICT_PASS;
}

static enum verdict make_buffers(struct elements_job *job, struct qdot_device *device)
{
    struct qdot_error err = {0};
    const struct conform_case *c = job->c;
    if (in_buffers(c)) {
        for (size_t i = 0; i < c->runs; i++)
            for (enum part part = X; part < PARTS; part++)
                if (job->places[i][part].bytes)
                    memcpy(job->whole.memory + job->places[i][part].offset,
                           job->places[i][part].g.memory, job->places[i][part].bytes);
        if (qdot_buffer_create(device, job->whole_bytes, NULL, &job->buffer, &err) ||
            qdot_buffer_write(job->buffer, 0, job->whole.memory, job->whole_bytes, &err))
            return refused(job, "buffer", &err);
    }
    for (size_t i = 0; i < c->runs && wrapped(c); i++)
        for (enum part part = X; part < PARTS; part++) {
            struct region *region = &job->places[i][part];
            if (region->bytes && qdot_buffer_create(device, region->bytes, region->g.memory,
                                                    &job->buffers[i][part], &err))
                return refused(job, "qdot_buffer_create", &err);
        }
    return VERDICT_PASS;
}

static struct qdot_output operand(const struct elements_job *job, size_t run, enum part part)
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

static struct qdot_input input(const struct elements_job *job, size_t run, enum part part)
{
    const struct qdot_output o = operand(job, run, part);
    return (struct qdot_input){o.host, o.buffer, o.offset_bytes};
}

static enum verdict run_all(struct elements_job *job, struct qdot_device *device)
{
    struct qdot_error err = {0};
    for (size_t i = 0; i < job->c->runs; i++) {
        const struct qdot_run run = {
            .size = sizeof(run),
            .m = i == 0 ? 0 : job->m[i],
            .a = input(job, i, X),
            .b = input(job, i, DY),
            .scale = input(job, i, SCALE),
            .zero = input(job, i, ZERO),
            .out = operand(job, i, OUT),
            .scale_out = operand(job, i, SCALE_OUT),
            .zero_out = operand(job, i, ZERO_OUT),
        };
        if (qdot_op_run(job->op, &run, &err))
            return fail(job, "qdot_op_run", err.text);
    }
    if ((in_buffers(job->c) || wrapped(job->c)) && qdot_sync(device, &err))
        return fail(job, "qdot_sync", err.text);
    if (in_buffers(job->c) &&
        qdot_buffer_read(job->buffer, 0, job->whole.memory, job->whole_bytes, &err))
        return fail(job, "qdot_buffer_read", err.text);
    for (size_t i = 0; i < job->c->runs && wrapped(job->c); i++)
        for (enum part part = X; part < PARTS; part++)
            if (job->buffers[i][part] &&
                qdot_buffer_read(job->buffers[i][part], 0, job->places[i][part].g.memory,
                                 job->places[i][part].bytes, &err))
                return fail(job, "qdot_buffer_read", err.text);
    return VERDICT_PASS;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static void print_value(char *text, size_t bytes, const uint8_t *memory, enum qdot_type type,
                        size_t i)
{
    float value;
    if (type != QDOT_F32) {
        snprintf(text, bytes, "%d", (int)ref_get(memory, type, i));
        return;
    }
    memcpy(&value, memory + 4 * i, 4);
    snprintf(text, bytes, "%a", (double)value);
}

static enum verdict mismatch(struct elements_job *job, size_t run, enum part part,
                             const uint8_t *got, const uint8_t *expected)
{
    const struct elements_case *e = &job->c->elements;
    const struct region *region = &job->places[run][part];
    struct outcome *o = job->outcome;
    const bool whole = e->kind == QDOT_QUANTIZE || e->kind == QDOT_DYNAMIC_QUANTIZE;
    const enum qdot_type type = part == ZERO_OUT                   ? QDOT_S32
                                : part == OUT && whole             ? e->type
                                : part == SCALE_OUT || part == OUT ? QDOT_F32
                                                                   : QDOT_U8;
    size_t at = 0;
    while (got[at] == expected[at])
        at++;
    size_t element = at * 8 / ref_bits(type);
    if (ref_bits(type) == 4 && (got[at] & 15) == (expected[at] & 15))
        element++;
    char x[48] = "";
    if (part == OUT)
        print_value(x, sizeof(x), region->bytes ? job->places[run][X].expected : NULL,
                    e->kind == QDOT_DEQUANTIZE ? e->type : QDOT_F32, element);
    snprintf(o->reason, sizeof(o->reason), "%s",
             part < OUT ? "an input was changed" : "a wrong value");
    snprintf(o->index, sizeof(o->index), "run %zu, %s[%zu]%s%s", run, part_names[part], element,
             *x ? ", a = " : "", x);
    print_value(o->got, sizeof(o->got), got, type, element);
    print_value(o->expected, sizeof(o->expected), expected, type, element);
    return VERDICT_FAIL;
}

static bool poisoned(const struct guarded *g, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (g->pages[i] != GUARD_POISON)
            return false;
    return true;
}

static enum verdict compare(struct elements_job *job)
{
    const bool whole = in_buffers(job->c);
    for (size_t i = 0; i < job->c->runs; i++)
        for (enum part part = X; part < PARTS; part++) {
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

static void plant(struct elements_job *job, const struct target *target)
{
    const struct elements_case *e = &job->c->elements;
    const bool end = job->c->place == PLACE_HOST_END || job->c->place == PLACE_WRAPPED_END;
    struct region *out = &job->places[0][OUT];
    if (e->outer * e->axis * e->inner >= target->fault_k)
        conform_plant(target->fault, &out->g, end,
                      in_buffers(job->c) ? job->whole.memory + out->offset : out->g.memory);
}

static void clean(struct elements_job *job)
{
    qdot_op_destroy(job->op);
    qdot_buffer_destroy(job->buffer);
    for (size_t i = 0; i < RUNS_MAX; i++)
        for (enum part part = X; part < PARTS; part++) {
            qdot_buffer_destroy(job->buffers[i][part]);
            guarded_free(&job->places[i][part].g);
            free(job->places[i][part].expected);
        }
    guarded_free(&job->scale);
    guarded_free(&job->zero);
    guarded_free(&job->whole);
    qdot_close(job->own);
}

enum verdict conform_run_elements(const struct target *target, const struct conform_case *c,
                                  struct outcome *outcome)
{
    struct elements_job job = {.c = c, .outcome = outcome, .random = {c->data}};
    struct qdot_device *device = NULL;
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    enum verdict verdict = VERDICT_FAIL;
    if (!allocate(&job)) {
        fail(&job, "this program's operands", "out of memory");
        verdict = VERDICT_NOT_RUN;
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
            plant(&job, target);
            verdict = compare(&job);
        }
    }
    clean(&job);
    return verdict;
}
