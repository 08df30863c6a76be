/* One case: laid out as its place says, run, compared with the reference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conform_job.h"

static const char *const slot_names[SLOTS] = {"A", "a_zero", "row_scale", "B", "out", "second out"};

enum verdict conform_fail(struct outcome *outcome, const char *what, const char *why)
{
    snprintf(outcome->reason, sizeof(outcome->reason), "%s: %s", what, why);
    return VERDICT_FAIL;
}

enum verdict conform_refused(struct outcome *outcome, const char *call,
                             const struct qdot_error *err)
{
    conform_fail(outcome, call, err->text[0] ? err->text : qdot_status_text(err->status));
    return err->status == QDOT_UNSUPPORTED ? VERDICT_REFUSED : VERDICT_FAIL;
}

enum verdict conform_open_own(const struct target *target, const struct conform_case *c,
                              struct qdot_device **own, struct outcome *outcome)
{
    struct qdot_error err = {0};
    struct qdot_device_info info = {.size = sizeof(info)};
    if (!c->threads)
        return VERDICT_PASS;
    if (qdot_device_info(target->device, &info, &err))
        return conform_refused(outcome, "qdot_device_info", &err);
    struct qdot_device_desc desc = {.size = sizeof(desc),
                                    .device = info.name,
                                    .cache_dir = "",
                                    .thread_count = c->threads,
                                    .cache_percent = c->cache_percent};
    if (target->tasks)
        desc.threads = (struct qdot_threads){c->threads, NULL, conform_parallel_for};
    return qdot_open(&desc, own, &err) ? conform_refused(outcome, "qdot_open", &err) : VERDICT_PASS;
}

enum verdict job_fail(struct job *job, const char *what, const char *why)
{
    return conform_fail(job->outcome, what, why);
}

static enum verdict refused(struct job *job, const char *call, const struct qdot_error *err)
{
    return conform_refused(job->outcome, call, err);
}

/* ---- the row --------------------------------------------------------------------------------- */

/* Saves the packed B of job->op and makes the op anew from it; a second save must be equal. */
static enum verdict reload(struct job *job, struct qdot_device *device,
                           const struct qdot_op_desc *given)
{
    struct qdot_error err = {0};
    struct guarded first = {0}, second = {0};
    size_t bytes = 0;
    enum verdict verdict = VERDICT_PASS;
    int status = qdot_op_packed_bytes(job->op, &bytes, &err);
    if (status || !guarded_alloc(&first, bytes, true) || !guarded_alloc(&second, bytes, false)) {
        verdict = status ? refused(job, "qdot_op_packed_bytes", &err) : VERDICT_FAIL;
        goto done;
    }
    if (qdot_op_save_packed(job->op, first.memory, bytes, &err)) {
        verdict = refused(job, "qdot_op_save_packed", &err);
        goto done;
    }
    qdot_op_destroy(job->op);
    job->op = NULL;
    struct qdot_op_desc desc = *given;
    desc.b = NULL;
    desc.ldb = 0;
    desc.b_transposed = 0;
    desc.packed = first.memory;
    desc.packed_bytes = bytes;
    if (qdot_op_create(device, &desc, &job->op, &err)) {
        verdict = refused(job, "qdot_op_create from packed B", &err);
        goto done;
    }
    if (qdot_op_save_packed(job->op, second.memory, bytes, &err))
        verdict = refused(job, "second qdot_op_save_packed", &err);
    else if (memcmp(first.memory, second.memory, bytes))
        verdict = job_fail(job, "packed B", "saved twice, the bytes differ");
done:
    guarded_free(&first); /* copied, says qdot.h: a later use of it faults */
    guarded_free(&second);
    return verdict;
}

/* A convolution as a caller may write it, defaults left 0, and the size of its output. */
static enum verdict write_conv(struct job *job, struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    struct qdot_conv *v = &desc->conv;
    size_t *const ones[] = {&v->batch,      &v->stride_h,   &v->stride_w,
                            &v->dilation_h, &v->dilation_w, &v->groups};
    size_t height, width;
    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
        if (*ones[i] == 1 && random_below(&job->random, 2))
            *ones[i] = 0;
    desc->m = desc->n = desc->k = desc->ldb = 0;
    if (qdot_conv_output(v, &height, &width, &err))
        return refused(job, "qdot_conv_output", &err);
    if (height != job->out_h || width != job->out_w)
        return job_fail(job, "qdot_conv_output", "another size than by the formula");
    return VERDICT_PASS;
}

static enum verdict create(struct job *job, struct qdot_device **device)
{
    const struct conform_case *c = job->c;
    struct qdot_error err = {0};
    const bool fixed = case_has_multipliers(c);
    const enum verdict opened = conform_open_own(job->target, c, &job->own, job->outcome);
    *device = job->own ? job->own : job->target->device;
    if (opened != VERDICT_PASS)
        return opened;
    struct qdot_op_desc desc = {
        .size = sizeof(desc),
        .kind = c->kind,
        .conv = c->conv,
        .m = c->m,
        .n = c->n,
        .k = c->k,
        .a_type = c->a_type,
        .b_type = c->b_type,
        .out_type = c->out_type,
        .b = job->b.memory,
        .ldb = c->b_gap || random_below(&job->random, 2) ? job->ldb : 0,
        .b_transposed = c->b_transposed,
        .a_zero = job->a_zero,
        .a_zero_per_row = c->a_zero == ZERO_EACH,
        .b_zero = (const int32_t *)job->b_zero.memory,
        .b_zero_count = job->b_zero.bytes / 4,
        .bias = (const int32_t *)job->bias.memory,
        .scale = fixed ? NULL : (const float *)job->scale.memory,
        .scale_count = fixed ? 0 : job->scale.bytes / 4,
        .multiplier = fixed ? (const int32_t *)job->scale.memory : NULL,
        .shift = (const int32_t *)job->shift.memory,
        .multiplier_count = job->shift.bytes / 4,
        .row_scale = c->row_scale != FLOATS_NONE,
        .bias_f = (const float *)job->bias_f.memory,
        .out_zero = c->out_zero,
        .clamp_lo = c->clamp_lo,
        .clamp_hi = c->clamp_hi,
        .rounding = c->rounding,
        .kernel = job->target->kernel,
    };
    if (c->kind == QDOT_CONV && write_conv(job, &desc) != VERDICT_PASS)
        return VERDICT_FAIL;
    if (qdot_op_create(*device, &desc, &job->op, &err))
        return refused(job, "qdot_op_create", &err);
    if (strcmp(qdot_op_row(job->op), job->target->kernel) != 0)
        return job_fail(job, "another row was taken", qdot_op_row(job->op));
    if (c->packed) {
        enum verdict verdict = reload(job, *device, &desc);
        if (verdict != VERDICT_PASS)
            return verdict;
    }
    bool conv = c->kind == QDOT_CONV;
    struct qdot_op_desc second = {.size = sizeof(second),
                                  .kind = c->kind,
                                  .conv = job->conv2,
                                  .m = conv ? 0 : c->m,
                                  .n = conv ? 0 : job->n2,
                                  .k = conv ? 0 : c->n,
                                  .a_type = c->out_type,
                                  .b_type = QDOT_S8,
                                  .b = job->b2.memory,
                                  .kernel = job->target->kernel};
    if (c->chain && qdot_op_create(*device, &second, &job->op2, &err))
        return refused(job, "qdot_op_create", &err);
    /* The descriptor's operands are not referenced afterwards, says qdot.h: a later use faults. */
    guarded_free(&job->b);
    guarded_free(&job->b_zero);
    guarded_free(&job->bias);
    guarded_free(&job->scale);
    guarded_free(&job->shift);
    guarded_free(&job->bias_f);
    guarded_free(&job->b2);
    return VERDICT_PASS;
}

static enum verdict make_buffers(struct job *job, struct qdot_device *device)
{
    struct qdot_error err = {0};
    for (size_t i = 0; i < job->area_count; i++) {
        struct area *area = &job->areas[i];
        if (area->bytes == 0)
            continue;
        void *host = job_wrapped(job->c) ? area->g.memory : NULL;
        if (qdot_buffer_create(device, area->bytes, host, &area->buffer, &err))
            return refused(job, "qdot_buffer_create", &err);
        if (!host && qdot_buffer_write(area->buffer, 0, area->g.memory, area->bytes, &err))
            return refused(job, "qdot_buffer_write", &err);
        area->got = malloc(area->bytes);
        if (!area->got)
            return job_fail(job, "malloc", "out of memory");
    }
    return VERDICT_PASS;
}

static struct qdot_input input(const struct job *job, const struct part *part)
{
    if (part->bytes == 0)
        return (struct qdot_input){0};
    if (job_on_host(job->c))
        return (struct qdot_input){.host = job_memory(job, part)};
    return (struct qdot_input){.buffer = job->areas[part->area].buffer,
                               .offset_bytes = part->offset};
}

static struct qdot_output output(const struct job *job, const struct part *part)
{
    if (job_on_host(job->c))
        return (struct qdot_output){.host = job_memory(job, part)};
    return (struct qdot_output){.buffer = job->areas[part->area].buffer,
                                .offset_bytes = part->offset};
}

static enum verdict run_all(struct job *job, struct qdot_device *device)
{
    const struct conform_case *c = job->c;
    struct qdot_error err = {0};
    bool planes = c->kind == QDOT_CONV && c->conv.layout == QDOT_NCHW; /* no leading dimensions */
    for (size_t i = 0; i < c->runs; i++) {
        const struct run *run = &job->runs[i];
        const struct part *p = run->parts;
        struct qdot_run args = {
            .size = sizeof(args),
            .m = i == 0 ? 0 : run->m, /* the first run is of the descriptor's m */
            .a = input(job, &p[SLOT_A]),
            .lda = !planes && (c->a_gap || i % 2) ? job->lda : 0,
            .out = output(job, &p[SLOT_OUT]),
            .ldo = !planes && (c->out_gap || i % 2) ? job->ldo : 0,
            .a_zero = input(job, &p[SLOT_A_ZERO]),
            .row_scale = input(job, &p[SLOT_ROW_SCALE]),
            .b = input(job, &p[SLOT_B]),
        };
        if (qdot_op_run(job->op, &args, &err))
            return job_fail(job, "qdot_op_run", err.text);
        struct qdot_run second = {.size = sizeof(second),
                                  .a = input(job, &p[SLOT_OUT]),
                                  .out = output(job, &p[SLOT_OUT2])};
        if (c->chain && qdot_op_run(job->op2, &second, &err))
            return job_fail(job, "qdot_op_run of the second op", err.text);
    }
    if (job_on_host(c))
        return VERDICT_PASS;
    if (qdot_sync(device, &err))
        return job_fail(job, "qdot_sync", err.text);
    for (size_t i = 0; i < job->area_count; i++) {
        struct area *area = &job->areas[i];
        if (area->bytes > 0 && qdot_buffer_read(area->buffer, 0, area->got, area->bytes, &err))
            return job_fail(job, "qdot_buffer_read", err.text);
    }
    return VERDICT_PASS;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static void print_value(char *text, size_t bytes, const uint8_t *at, enum qdot_type type)
{
    uint32_t bits = 0;
    int32_t integer;
    float value;
    memcpy(&bits, at, ref_size(type));
    memcpy(&integer, &bits, sizeof(integer));
    memcpy(&value, &bits, sizeof(value));
    if (type == QDOT_F32)
        snprintf(text, bytes, "%a (0x%08x)", (double)value, bits);
    else if (type == QDOT_S32)
        snprintf(text, bytes, "%d", integer);
    else
        snprintf(text, bytes, "%d", type == QDOT_U8 ? (int)bits : (int)(int8_t)bits);
}

/* [row][column] of a GEMM, [image][row][column][channel] of a convolution. */
static void print_index(char *text, size_t bytes, const struct job *job, size_t element, size_t ld)
{
    size_t row = element / ld, column = element % ld;
    if (job->c->kind != QDOT_CONV) {
        snprintf(text, bytes, "[%zu][%zu]", row, column);
        return;
    }
    size_t image = row / job->out_rows, pixel = row % job->out_rows;
    if (job->c->conv.layout == QDOT_NCHW) { /* ld planes an image, without gaps */
        pixel = element % job->out_rows;
        column = element / job->out_rows % ld;
    }
    snprintf(text, bytes, "[%zu][%zu][%zu][%zu]", image, pixel / job->out_w, pixel % job->out_w,
             column);
}

static enum verdict mismatch(struct job *job, const struct area *area, const uint8_t *expected,
                             const uint8_t *got, size_t at)
{
    const struct conform_case *c = job->c;
    struct outcome *o = job->outcome;
    snprintf(o->reason, sizeof(o->reason), "a byte outside every operand was changed");
    snprintf(o->index, sizeof(o->index), "byte %zu", at);
    print_value(o->got, sizeof(o->got), got + at, QDOT_U8);
    print_value(o->expected, sizeof(o->expected), expected + at, QDOT_U8);
    for (size_t i = 0; i < c->runs; i++) {
        for (enum slot slot = SLOT_A; slot < SLOTS; slot++) {
            const struct part *part = &job->runs[i].parts[slot];
            if (part->bytes == 0 || &job->areas[part->area] != area || at < part->offset ||
                at >= part->offset + part->bytes)
                continue;
            enum qdot_type type = slot == SLOT_OUT    ? c->out_type
                                  : slot == SLOT_OUT2 ? QDOT_S32
                                                      : QDOT_U8;
            size_t ld = slot == SLOT_OUT ? job->ldo : slot == SLOT_OUT2 ? job->n2 : part->bytes;
            size_t n = slot == SLOT_OUT ? c->n : ld;
            size_t element = (at - part->offset) / ref_size(type);
            if (slot < SLOT_OUT) {
                snprintf(o->reason, sizeof(o->reason), "an input was changed");
                snprintf(o->index, sizeof(o->index), "run %zu, %s, byte %zu", i, slot_names[slot],
                         at - part->offset);
                return VERDICT_FAIL;
            }
            snprintf(o->reason, sizeof(o->reason), "%s",
                     element % ld < n ? "a wrong value" : "a gap between rows was changed");
            char index[96];
            print_index(index, sizeof(index), job, element, ld);
            snprintf(o->index, sizeof(o->index), "run %zu, %s%s", i, slot_names[slot], index);
            size_t value = part->offset + element * ref_size(type);
            print_value(o->got, sizeof(o->got), got + value, type);
            print_value(o->expected, sizeof(o->expected), expected + value, type);
            return VERDICT_FAIL;
        }
    }
    return VERDICT_FAIL;
}

static enum verdict compare(struct job *job)
{
    for (size_t i = 0; i < job->area_count; i++) {
        struct area *area = &job->areas[i];
        if (area->bytes == 0)
            continue;
        size_t before = (size_t)(area->g.memory - area->g.pages);
        uint8_t *expected = area->expected + before;
        const uint8_t *got = area->got ? area->got : area->g.memory;
        if (memcmp(got, expected, area->bytes) != 0) {
            size_t at = 0;
            while (got[at] == expected[at])
                at++;
            return mismatch(job, area, expected, got, at);
        }
        /* around the operand, in its pages; the operand itself may lag behind a device buffer */
        memcpy(expected, area->g.memory, area->bytes);
        if (memcmp(area->expected, area->g.pages, area->g.page_bytes) != 0)
            return job_fail(job, "memory next to an operand was changed", "its page differs");
    }
    return VERDICT_PASS;
}

/* The outputs as nothing right. */
static void spoil(struct job *job)
{
    for (size_t i = 0; i < job->c->runs; i++) {
        const struct part *out = &job->runs[i].parts[SLOT_OUT];
        uint8_t *memory = job_memory(job, out);
        for (size_t j = 0; j < out->bytes; j++)
            memory[j] = (uint8_t)~memory[j];
    }
}

/* All the runs again, each time into outputs that are wrong before. */
static enum verdict again(struct job *job, struct qdot_device *device)
{
    for (size_t i = 0; i < job->c->repeats; i++) {
        spoil(job);
        enum verdict verdict = run_all(job, device);
        if (verdict == VERDICT_PASS)
            verdict = compare(job);
        if (verdict != VERDICT_PASS) {
            char text[sizeof(job->outcome->reason)];
            snprintf(text, sizeof(text), "%.600s, in repeat %zu", job->outcome->reason, i + 1);
            memcpy(job->outcome->reason, text, sizeof(text));
            return verdict;
        }
    }
    return VERDICT_PASS;
}

void conform_plant(enum fault fault, const struct guarded *out, bool at_end, uint8_t *got)
{
    switch (fault) {
    case FAULT_WRONG:
        *got ^= 1;
        break;
    case FAULT_OUTSIDE:
        if (out->page_bytes > out->bytes)
            out->pages[at_end ? 0 : out->page_bytes - 1] ^= 1;
        break;
    case FAULT_CRASH: /* a true one: a driver's handler may swallow what raise() sends */
        *(volatile uint8_t *)(out->pages + out->page_bytes) = 0;
        break;
    case FAULT_HANG:
        for (;;)
            pause();
    case FAULT_EXIT:
        _exit(0);
    case FAULT_NONE:
        break;
    }
}

static void plant(struct job *job)
{
    const struct part *out = &job->runs[0].parts[SLOT_OUT];
    const struct area *area = &job->areas[out->area];
    if (job->c->k >= job->target->fault_k)
        conform_plant(job->target->fault, &area->g, job_at_end(job->c),
                      (area->got ? area->got : area->g.memory) + out->offset);
}

static void clean(struct job *job)
{
    qdot_op_destroy(job->op);
    qdot_op_destroy(job->op2);
    for (size_t i = 0; i < RUNS_MAX * SLOTS; i++) {
        struct area *area = &job->areas[i];
        qdot_buffer_destroy(area->buffer);
        free(area->expected);
        free(area->got);
        guarded_free(&area->g);
    }
    guarded_free(&job->b);
    guarded_free(&job->b_zero);
    guarded_free(&job->bias);
    guarded_free(&job->scale);
    guarded_free(&job->shift);
    guarded_free(&job->bias_f);
    guarded_free(&job->b2);
    qdot_close(job->own);
}

enum verdict conform_run(const struct target *target, const struct conform_case *c,
                         struct outcome *outcome)
{
    if (c->kind == QDOT_QUANTIZE)
        return conform_run_elements(target, c, outcome);
    if (c->kind > QDOT_QUANTIZE)
        return conform_run_bytes(target, c, outcome);
    struct job job = {.target = target, .c = c, .outcome = outcome, .random = {c->data}};
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    job_plan(&job);
    enum verdict verdict = VERDICT_FAIL;
    struct qdot_device *device = NULL;
    if (!job_allocate(&job)) {
        job_fail(&job, "this program's operands", "out of memory");
        verdict = VERDICT_NOT_RUN;
    } else {
        job_fill(&job);
        verdict = job_reference(&job);
        if (verdict == VERDICT_PASS && target->device)
            verdict = create(&job, &device);
        if (verdict == VERDICT_PASS && target->device && !job_on_host(c))
            verdict = make_buffers(&job, device);
        if (verdict == VERDICT_PASS && target->device)
            verdict = run_all(&job, device);
        if (verdict == VERDICT_PASS)
            plant(&job);
        if (verdict == VERDICT_PASS)
            verdict = compare(&job);
        if (verdict == VERDICT_PASS && target->device)
            verdict = again(&job, device);
    }
    clean(&job);
    return verdict;
}
