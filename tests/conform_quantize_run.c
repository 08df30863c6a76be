/* One case of quantize and its kin: its operands, the run, the comparison. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform_places.h"

/* ---- operands -------------------------------------------------------------------------------- */

enum part { X, DY, SCALE, ZERO, OUT, SCALE_OUT, ZERO_OUT, PARTS };

static const char *const part_names[] = {"a", "b", "scale", "zero", "out", "scale_out", "zero_out"};

struct elements_job {
    const struct conform_case *c;
    struct outcome *outcome;
    struct random random;
    size_t m[RUNS_MAX];
    struct places places;
    struct guarded scale, zero; /* of the descriptor */
    int32_t lo, hi;
    struct qdot_op *op;
};

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
    struct place_of *x = &job->places.of[run][X], *dy = &job->places.of[run][DY];
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
    struct place_of *x = &job->places.of[run][X], *dy = &job->places.of[run][DY];
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

/* Of elements of this part: what an offset into a buffer is a multiple of. */
static size_t alignment_of(const struct elements_case *e, enum part part)
{
    const bool narrow =
        (part == X && e->kind == QDOT_DEQUANTIZE) ||
        (part == OUT && (e->kind == QDOT_QUANTIZE || e->kind == QDOT_DYNAMIC_QUANTIZE));
    const size_t bits = narrow ? ref_bits(e->type) : 32;
    return bits < 8 ? 1 : bits / 8;
}

static bool allocate(struct elements_job *job)
{
    const struct conform_case *c = job->c;
    const struct elements_case *e = &c->elements;
    const bool end = places_at_end(c);
    const size_t units = e->outer > 1 ? e->outer : e->axis;
    const struct ref_elements p = problem(e, units);
    const size_t parameters = ref_parameters(&p) * 4;
    if ((e->scale && !e->scale_at_run && !guarded_alloc(&job->scale, parameters, end)) ||
        (e->zero && !e->zero_at_run && !guarded_alloc(&job->zero, parameters, end)))
        return false;
    for (size_t i = 0; i < c->runs; i++) {
        job->m[i] = i == 0 ? units : random_between(&job->random, 1, units);
        for (enum part part = X; part < PARTS; part++)
            if (!places_add(&job->places, &job->random, i, part, part_bytes(e, part, job->m[i]),
                            alignment_of(e, part)))
                return false;
    }
    return places_complete(&job->places, &job->random);
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
        struct place_of *parts = job->places.of[i];
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
        return conform_refused(job->outcome, "qdot_op_create", &err);
    if (strcmp(qdot_op_row(job->op), target->kernel) != 0)
        return conform_fail(job->outcome, "another row was taken", qdot_op_row(job->op));
    guarded_free(&job->scale); /* not referenced afterwards, says qdot.h: a later use faults */
    guarded_free(&job->zero);
    return VERDICT_PASS;
}

static enum verdict run_all(struct elements_job *job, struct qdot_device *device)
{
    struct qdot_error err = {0};
    for (size_t i = 0; i < job->c->runs; i++) {
        const struct qdot_run run = {
            .size = sizeof(run),
            .m = i == 0 ? 0 : job->m[i],
            .a = places_input(&job->places, i, X),
            .b = places_input(&job->places, i, DY),
            .scale = places_input(&job->places, i, SCALE),
            .zero = places_input(&job->places, i, ZERO),
            .out = places_output(&job->places, i, OUT),
            .scale_out = places_output(&job->places, i, SCALE_OUT),
            .zero_out = places_output(&job->places, i, ZERO_OUT),
        };
        if (qdot_op_run(job->op, &run, &err))
            return conform_fail(job->outcome, "qdot_op_run", err.text);
    }
    return places_fetch(&job->places, device);
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

static void say(void *ctx, size_t run, size_t part, const uint8_t *got, size_t at)
{
    const struct elements_job *job = ctx;
    const struct elements_case *e = &job->c->elements;
    const uint8_t *expected = job->places.of[run][part].expected;
    struct outcome *o = job->outcome;
    const bool whole = e->kind == QDOT_QUANTIZE || e->kind == QDOT_DYNAMIC_QUANTIZE;
    const enum qdot_type type = part == ZERO_OUT                   ? QDOT_S32
                                : part == OUT && whole             ? e->type
                                : part == SCALE_OUT || part == OUT ? QDOT_F32
                                                                   : QDOT_U8;
    size_t element = at * 8 / ref_bits(type);
    if (ref_bits(type) == 4 && (got[at] & 15) == (expected[at] & 15))
        element++;
    char x[48] = "";
    if (part == OUT)
        print_value(x, sizeof(x), job->places.of[run][X].expected,
                    e->kind == QDOT_DEQUANTIZE ? e->type : QDOT_F32, element);
    snprintf(o->reason, sizeof(o->reason), "%s",
             part < OUT ? "an input was changed" : "a wrong value");
    snprintf(o->index, sizeof(o->index), "run %zu, %s[%zu]%s%s", run, part_names[part], element,
             *x ? ", a = " : "", x);
    print_value(o->got, sizeof(o->got), got, type, element);
    print_value(o->expected, sizeof(o->expected), expected, type, element);
}

static enum verdict run(struct elements_job *job, const struct target *target)
{
    const struct elements_case *e = &job->c->elements;
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
    if (e->outer * e->axis * e->inner >= target->fault_k)
        places_plant(&job->places, target->fault);
    return places_compare(&job->places, job, say);
}

enum verdict conform_run_elements(const struct target *target, const struct conform_case *c,
                                  struct outcome *outcome)
{
    struct elements_job job = {
        .c = c,
        .outcome = outcome,
        .random = {c->data},
        .places = {.c = c, .outcome = outcome, .names = part_names, .parts = PARTS, .out = OUT}};
    enum verdict verdict = VERDICT_NOT_RUN;
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    if (!allocate(&job)) {
        conform_fail(outcome, "this program's operands", "out of memory");
    } else {
        fill(&job);
        verdict = run(&job, target);
    }
    qdot_op_destroy(job.op);
    guarded_free(&job.scale);
    guarded_free(&job.zero);
    places_free(&job.places);
    return verdict;
}
