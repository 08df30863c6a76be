/* One case: where its operands lie, what is in them, and what the reference makes of them. */
#include <stdlib.h>
#include <string.h>
#include "conform_job.h"

/* ---- layout ---------------------------------------------------------------------------------- */

static size_t matrix_bytes(size_t rows, size_t columns, size_t ld, enum qdot_type type)
{
    return ((rows - 1) * ld + columns) * ref_size(type);
}

static size_t slot_bytes(const struct job *job, enum slot slot, size_t m)
{
    const struct conform_case *c = job->c;
    switch (slot) {
    case SLOT_A:
        return matrix_bytes(m * job->a_rows, job->a_columns, job->lda, c->a_type);
    case SLOT_A_ZERO:
        return c->a_zero == ZERO_EACH ? 4 * m : 0;
    case SLOT_ROW_SCALE:
        return c->row_scale ? 4 * m : 0;
    case SLOT_B:
        if (!c->b_at_run)
            return 0;
        return matrix_bytes(c->b_transposed ? c->n : c->k, c->b_transposed ? c->k : c->n, job->ldb,
                            c->b_type);
    case SLOT_OUT:
        return matrix_bytes(m * job->out_rows, c->n, job->ldo, c->out_type);
    default:
        return c->chain ? 4 * m * job->out_rows * job->n2 : 0;
    }
}

static bool four_bytes(const struct job *job, enum slot slot)
{
    if (slot == SLOT_OUT)
        return ref_size(job->c->out_type) == 4;
    return slot != SLOT_A && slot != SLOT_B;
}

/* Buffers get odd gaps between their parts and, when not up against a page, around them. */
static void place_part(struct job *job, enum slot slot, struct part *part)
{
    const struct conform_case *c = job->c;
    if (part->bytes == 0)
        return;
    if (job_on_host(c)) {
        part->area = job->area_count++;
        job->areas[part->area].bytes = part->bytes;
        return;
    }
    part->area = c->place == PLACE_SHARED ? 0 : slot;
    struct area *area = &job->areas[part->area];
    size_t gap = random_below(&job->random, 16);
    if (area->bytes == 0 && job_wrapped(c))
        gap = 0;
    size_t offset = area->bytes + gap;
    if (four_bytes(job, slot))
        offset = (offset + 3) / 4 * 4;
    part->offset = offset;
    area->bytes = offset + part->bytes;
    job->area_count = SLOTS;
}

static void plan_shapes(struct job *job)
{
    const struct conform_case *c = job->c;
    const struct qdot_conv *v = &c->conv;
    job->a_rows = job->out_rows = 1;
    job->a_columns = c->k;
    if (c->kind == QDOT_CONV) {
        ref_conv_output(v, &job->out_h, &job->out_w);
        job->a_rows = v->height * v->width;
        job->out_rows = job->out_h * job->out_w;
        job->a_columns = v->channels;
    }
    job->lda = job->a_columns + c->a_gap;
    job->ldb = (c->b_transposed ? c->k : c->n) + c->b_gap;
    job->ldo = c->n + c->out_gap;
    job->n2 = c->chain ? random_between(&job->random, 1, 40) : 0;
    if (!c->chain || c->kind != QDOT_CONV)
        return;
    /* 1x1 over what the first gave, by groups of one channel where the first has such */
    bool depthwise = v->channels == v->groups;
    job->n2 = depthwise ? c->n : job->n2;
    job->conv2 = (struct qdot_conv){.batch = c->m,
                                    .height = job->out_h,
                                    .width = job->out_w,
                                    .channels = c->n,
                                    .out_channels = job->n2,
                                    .kernel_h = 1,
                                    .kernel_w = 1,
                                    .stride_h = 1,
                                    .stride_w = 1,
                                    .dilation_h = 1,
                                    .dilation_w = 1,
                                    .groups = depthwise ? c->n : 1,
                                    .layout = v->layout};
}

void job_plan(struct job *job)
{
    const struct conform_case *c = job->c;
    plan_shapes(job);
    for (size_t i = 0; i < c->runs; i++) {
        struct run *run = &job->runs[i];
        run->m = i == 0 || c->chain ? c->m : random_between(&job->random, 1, c->m);
        for (enum slot slot = SLOT_A; slot < SLOTS; slot++) {
            run->parts[slot].bytes = slot_bytes(job, slot, run->m);
            if (c->chain && slot == SLOT_OUT && i > 0)
                run->parts[slot] = job->runs[0].parts[slot]; /* written again: order matters */
            else
                place_part(job, slot, &run->parts[slot]);
        }
    }
    if (!job_on_host(c) && !job_wrapped(c))
        for (size_t i = 0; i < job->area_count; i++)
            if (job->areas[i].bytes > 0)
                job->areas[i].bytes += random_below(&job->random, 16);
}

uint8_t *job_memory(const struct job *job, const struct part *part)
{
    return part->bytes == 0 ? NULL : job->areas[part->area].g.memory + part->offset;
}

bool job_allocate(struct job *job)
{
    const struct conform_case *c = job->c;
    bool end = job_at_end(c);
    size_t each = 4 * c->n;
    for (size_t i = 0; i < job->area_count; i++) {
        struct area *area = &job->areas[i];
        if (area->bytes == 0)
            continue;
        if (!guarded_alloc(&area->g, area->bytes, end))
            return false;
        area->expected = malloc(area->g.page_bytes);
        if (!area->expected)
            return false;
    }
    size_t b_bytes = matrix_bytes(c->b_transposed ? c->n : c->k, c->b_transposed ? c->k : c->n,
                                  job->ldb, c->b_type);
    size_t b2_rows =
        c->kind == QDOT_CONV && c->chain ? job->conv2.channels / job->conv2.groups : c->n;
    bool many_scales = c->scale != SCALE_NONE && c->scale != SCALE_ONE;
    return (c->b_at_run || guarded_alloc(&job->b, b_bytes, end)) &&
           (!c->b_zero || guarded_alloc(&job->b_zero, c->b_zero == ZERO_EACH ? each : 4, end)) &&
           (!c->bias || guarded_alloc(&job->bias, each, end)) &&
           (!c->scale || guarded_alloc(&job->scale, many_scales ? each : 4, end)) &&
           (!case_has_multipliers(c) || guarded_alloc(&job->shift, many_scales ? each : 4, end)) &&
           (!c->bias_f || guarded_alloc(&job->bias_f, each, end)) &&
           (!c->chain || guarded_alloc(&job->b2, b2_rows * job->n2, end));
}

void job_fill(struct job *job)
{
    const struct conform_case *c = job->c;
    struct random *r = &job->random;
    fill_bytes(r, job->b.memory, job->b.bytes, c->b_type, c->b_fill, c->b_byte);
    fill_bytes(r, job->b2.memory, job->b2.bytes, QDOT_S8, FILL_MIXED, 0);
    fill_zeros(r, (int32_t *)job->b_zero.memory, job->b_zero.bytes / 4, c->b_type, c->b_zero);
    if (c->a_zero != ZERO_NONE && c->a_zero != ZERO_EACH)
        fill_zeros(r, &job->a_zero, 1, c->a_type, c->a_zero);
    fill_bias(r, (int32_t *)job->bias.memory, job->bias.bytes / 4, c->wide_bias);
    if (case_has_multipliers(c))
        fill_multipliers(r, (int32_t *)job->scale.memory, (int32_t *)job->shift.memory,
                         job->scale.bytes / 4, c);
    else
        fill_scales(r, (float *)job->scale.memory, job->scale.bytes / 4, c);
    fill_floats(r, (float *)job->bias_f.memory, job->bias_f.bytes / 4, c->bias_f, 5);
    for (size_t i = 0; i < c->runs; i++) {
        const struct run *run = &job->runs[i];
        const struct part *p = run->parts;
        fill_bytes(r, job_memory(job, &p[SLOT_A]), p[SLOT_A].bytes, c->a_type, c->a_fill,
                   c->a_byte);
        fill_bytes(r, job_memory(job, &p[SLOT_B]), p[SLOT_B].bytes, c->b_type, c->b_fill,
                   c->b_byte);
        fill_zeros(r, (int32_t *)job_memory(job, &p[SLOT_A_ZERO]), p[SLOT_A_ZERO].bytes / 4,
                   c->a_type, c->a_zero);
        fill_floats(r, (float *)job_memory(job, &p[SLOT_ROW_SCALE]), p[SLOT_ROW_SCALE].bytes / 4,
                    c->row_scale, 0);
    }
    for (size_t i = 0; i < job->area_count; i++)
        if (job->areas[i].bytes > 0)
            memcpy(job->areas[i].expected, job->areas[i].g.pages, job->areas[i].g.page_bytes);
}

/* ---- the reference --------------------------------------------------------------------------- */

static uint8_t *part_expected(const struct job *job, const struct part *part)
{
    const struct area *area = &job->areas[part->area];
    return area->expected + (area->g.memory - area->g.pages) + part->offset;
}

static struct ref_problem problem(const struct job *job, const struct run *run)
{
    const struct conform_case *c = job->c;
    const struct part *p = run->parts;
    bool each = c->a_zero == ZERO_EACH, fixed = case_has_multipliers(c);
    return (struct ref_problem){
        .conv = c->kind == QDOT_CONV ? &c->conv : NULL,
        .m = run->m,
        .n = c->n,
        .k = c->k,
        .a_type = c->a_type,
        .b_type = c->b_type,
        .out_type = c->out_type,
        .a = job_memory(job, &p[SLOT_A]),
        .lda = job->lda,
        .b = c->b_at_run ? job_memory(job, &p[SLOT_B]) : job->b.memory,
        .ldb = job->ldb,
        .b_transposed = c->b_transposed,
        .a_zero = each ? (const int32_t *)job_memory(job, &p[SLOT_A_ZERO]) : &job->a_zero,
        .a_zero_count = c->a_zero == ZERO_NONE ? 0
                        : each                 ? run->m
                                               : 1,
        .b_zero = (const int32_t *)job->b_zero.memory,
        .b_zero_count = job->b_zero.bytes / 4,
        .bias = (const int32_t *)job->bias.memory,
        .scale = fixed ? NULL : (const float *)job->scale.memory,
        .scale_count = fixed ? 0 : job->scale.bytes / 4,
        .rounding = c->rounding,
        .multiplier = fixed ? (const int32_t *)job->scale.memory : NULL,
        .shift = (const int32_t *)job->shift.memory,
        .multiplier_count = job->shift.bytes / 4,
        .row_scale = (const float *)job_memory(job, &p[SLOT_ROW_SCALE]),
        .bias_f = (const float *)job->bias_f.memory,
        .out_zero = c->out_zero,
        .clamp_lo = c->clamp_lo,
        .clamp_hi = c->clamp_hi,
    };
}

static struct ref_problem second_problem(const struct job *job, const void *a)
{
    const struct conform_case *c = job->c;
    return (struct ref_problem){
        .conv = c->kind == QDOT_CONV ? &job->conv2 : NULL,
        .m = c->m,
        .n = job->n2,
        .k = c->n,
        .a_type = c->out_type,
        .b_type = QDOT_S8,
        .out_type = QDOT_S32,
        .a = a,
        .lda = c->n,
        .b = job->b2.memory,
        .ldb = job->n2,
    };
}

/* One run by both references, where there are two: the second writes into the area. */
static enum verdict reference(struct job *job, const struct ref_problem *p, const struct part *out,
                              size_t ldo, const struct ref_problem *second_view)
{
    char reason[256];
    if (ref_run(p, part_expected(job, out), ldo))
        return job_fail(job, "ref.c", "out of memory");
    if (job->target->opencl && ref_opencl_run(job->target->opencl, second_view,
                                              job_memory(job, out), ldo, reason, sizeof(reason)))
        return job_fail(job, "reference.cl", reason);
    return VERDICT_PASS;
}

/* What all areas must hold in the end; with target->opencl, reference.cl writes into the areas. */
enum verdict job_reference(struct job *job)
{
    const struct conform_case *c = job->c;
    enum verdict verdict = VERDICT_PASS;
    for (size_t i = 0; i < c->runs && verdict == VERDICT_PASS; i++) {
        const struct part *p = job->runs[i].parts;
        struct ref_problem first = problem(job, &job->runs[i]);
        verdict = reference(job, &first, &p[SLOT_OUT], job->ldo, &first);
        if (!c->chain || verdict != VERDICT_PASS)
            continue;
        /* each reference goes on from its own result */
        struct ref_problem second = second_problem(job, part_expected(job, &p[SLOT_OUT]));
        struct ref_problem view = second_problem(job, job_memory(job, &p[SLOT_OUT]));
        verdict = reference(job, &second, &p[SLOT_OUT2], job->n2, &view);
    }
    return verdict;
}
