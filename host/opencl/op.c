/*
 * Ops: prepare, run. One slab at a time, of rows of A or of images, is brought into the kernels'
 * form on the device and multiplied, all in one in-order queue, so that a slab's buffers are used
 * again without waiting.
 */
#include <stdio.h>
#include <string.h>
#include "opencl.h"

static enum ocl_kind kind_of(const struct qdot_op *op)
{
    return ((const struct ocl_row *)op->row->impl)->kind;
}

static bool is_float(const struct qdot_op *op)
{
    return kind_of(op) == OCL_ROW_FLOAT;
}

/* The name in the program; NULL: the op has none of this kind. */
static const char *name_of(const struct qdot_op *op, enum ocl_kernels kernel)
{
    static const char *const multiply[] = {
        [OCL_ROW_TILE] = "gemm",   [OCL_ROW_GEMV] = "gemv", [OCL_ROW_DEPTHWISE] = "depthwise",
        [OCL_ROW_BLOCK] = "block", [OCL_ROW_MMA] = "mma",
    };
    const bool conv = op->row->op == QDOT_CONV;
    const struct ocl_row *row = op->row->impl;
    const enum ocl_kind kind = row->kind;
    if (op->row->op == QDOT_QUANTIZE)
        return ocl_elements_kernel(op, kernel);
    if (!qdot_is_product(op->row->op))
        return ocl_bytes_kernel(op, kernel);
    switch (kernel) {
    case OCL_PACK_A:
        return conv || kind == OCL_ROW_GEMV ? NULL : "pack_a";
    case OCL_PACK_B:
        return conv ? NULL : "pack_b";
    case OCL_FOLD_BIAS:
        return conv ? NULL : "fold_bias";
    case OCL_COPY_INPUT:
        return conv ? "copy_input" : NULL;
    case OCL_SUM_INPUT:
        return conv && kind != OCL_ROW_DEPTHWISE ? "sum_input" : NULL;
    case OCL_ACCUMULATE:
        return kind == OCL_ROW_FLOAT ? "accumulate" : NULL;
    case OCL_OUTPUT:
        return kind == OCL_ROW_FLOAT || row->split ? "output" : NULL;
    case OCL_MULTIPLY:
        return conv && kind == OCL_ROW_TILE ? "conv" : multiply[kind];
    default:
        return NULL;
    }
}

/* ---- prepare --------------------------------------------------------------------------------- */

static int make_kernels(struct qdot_op *op, cl_program program, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_row *row = op->row->impl;
    struct ocl_op *impl = op->impl;
    /* Those of convolutions count in one dimension, so that few panels leave no work-item idle. */
    static const size_t gemm_lanes[2] = {16, 4}, flat_lanes[2] = {64, 1};
    int status = QDOT_OK;
    for (enum ocl_kernels i = 0; i < OCL_KERNELS && status == QDOT_OK; i++) {
        const bool shared = i == OCL_MULTIPLY && row->lanes[0];
        const size_t *local = shared                     ? row->lanes
                              : op->row->op == QDOT_GEMM ? gemm_lanes
                                                         : flat_lanes;
        const char *name = name_of(op, i);
        struct ocl_kernel *kernel = &impl->kernels[i];
        if (!name)
            continue;
        status = ocl_kernel_make(ocl, program, name, local[0], local[1], kernel, err);
        if (status == QDOT_OK && shared &&
            kernel->local[0] * kernel->local[1] < local[0] * local[1])
            status = qdot_fail(err, QDOT_UNSUPPORTED,
                               "%s: the device runs it in work-groups of %zu x %zu at most", name,
                               kernel->local[0], kernel->local[1]);
    }
    return status;
}

static int make_memory(struct qdot_op *op, enum ocl_memory i, size_t bytes, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    cl_int code;
    cl_mem memory = ocl->cl.clCreateBuffer(ocl->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (code == CL_SUCCESS)
        impl->memory[i] = memory;
    return ocl_check(code, "clCreateBuffer", err);
}

static int upload_terms(struct qdot_op *op, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const struct qdot_terms *t = &op->terms;
    const size_t ld = impl->plan.terms_ld, bytes = impl->plan.bytes[OCL_TERMS];
    const void *const arrays[OCL_TERM_COUNT] = {t->bias,  t->b_neg,  t->col_sum,
                                                t->scale, t->bias_f, t->bias};
    int32_t *all = qdot_alloc(op->device, bytes);
    if (!all)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the terms of %zu columns", ld);
    for (size_t i = 0; i < OCL_TERM_COUNT; i++)
        memcpy(all + i * ld, arrays[i], op->packed.n_pad * 4);
    int status = ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, impl->memory[OCL_TERMS],
                                                        CL_TRUE, 0, bytes, all, 0, NULL, NULL),
                           "clEnqueueWriteBuffer", err);
    qdot_release(op->device, all);
    return status;
}

/* Packed B to the device; for CLBlast from bytes to floats there, so the host keeps its bytes. */
static int upload_b(struct qdot_op *op, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const enum ocl_memory to = is_float(op) ? OCL_B_IN : OCL_B;
    int status = QDOT_OK;
    if (is_float(op))
        status = qdot_packed_own(op, err);
    if (status == QDOT_OK && is_float(op))
        status = make_memory(op, OCL_B_IN, op->packed.panels_bytes, err);
    if (status != QDOT_OK)
        return status;
    status = ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, impl->memory[to], CL_TRUE, 0,
                                                    op->packed.panels_bytes,
                                                    qdot_packed_panels(&op->packed), 0, NULL, NULL),
                       "clEnqueueWriteBuffer", err);
    if (status != QDOT_OK)
        return status;
    if (!is_float(op)) {
        qdot_packed_drop(op->device, &op->packed);
        return QDOT_OK;
    }
    const struct ocl_place b = {impl->memory[OCL_B_IN], 0, op->p.k};
    status = ocl_pack_b(op, &b, true, op->row->b_form, false, err);
    if (status == QDOT_OK)
        status = ocl_check(ocl->cl.clFinish(ocl->queue), "clFinish", err);
    ocl->cl.clReleaseMemObject(impl->memory[OCL_B_IN]);
    impl->memory[OCL_B_IN] = NULL;
    return status;
}

int ocl_prepare(struct qdot_op *op, struct qdot_error *err)
{
    cl_program program;
    char reason[192] = "";
    struct ocl_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    /* Self-test and measurement build ops without asking fits first. */
    if (!ocl_fits(op->device, op->row, &op->p, reason, sizeof(reason)) ||
        !ocl_plan(op->row, &op->p, &impl->plan, reason, sizeof(reason)))
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %s", op->name, reason);
    /* One program has all types of elements, and all averages. */
    const bool product = qdot_is_product(op->row->op);
    int status = ocl_program(op->device, op->row, product ? op->p.out_type : QDOT_F32,
                             product ? op->p.rounding : QDOT_ROUND_RNE, &program, err);
    if (status == QDOT_OK)
        status = make_kernels(op, program, err);
    for (enum ocl_memory i = 0; i < OCL_MEMORIES && status == QDOT_OK; i++) {
        const size_t bytes = impl->plan.bytes[i];
        if (bytes == 0 || (i == OCL_ROW_SUM && !op->terms.any_b_neg))
            continue;
        status = make_memory(op, i, bytes, err);
        if (i != OCL_B && i != OCL_TERMS && i != OCL_TAPS)
            op->workspace_bytes += bytes;
    }
    if (op->row->op == QDOT_QUANTIZE)
        return status == QDOT_OK ? ocl_upload_parameters(op, err) : status;
    if (!qdot_is_product(op->row->op))
        return status == QDOT_OK ? ocl_upload_table(op, err) : status;
    if (status == QDOT_OK)
        status = upload_terms(op, err);
    if (status == QDOT_OK && impl->plan.taps)
        status = ocl_upload_taps(op, err);
    if (status == QDOT_OK && is_float(op))
        status = ocl_warm_clblast(op, err);
    if (status == QDOT_OK && !op->p.b_at_run)
        status = upload_b(op, err);
    return status;
}

void ocl_unprepare(struct qdot_op *op)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    if (!impl)
        return;
    ocl->cl.clFinish(ocl->queue);
    for (size_t i = 0; i < OCL_KERNELS; i++)
        if (impl->kernels[i].handle)
            ocl->cl.clReleaseKernel(impl->kernels[i].handle);
    for (size_t i = 0; i < OCL_MEMORIES; i++)
        if (impl->memory[i])
            ocl->cl.clReleaseMemObject(impl->memory[i]);
    qdot_release(op->device, impl->gaps);
    qdot_release(op->device, impl);
    op->impl = NULL;
}

int ocl_read_packed(struct qdot_op *op, void *panels, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, impl->memory[OCL_B], CL_TRUE, 0,
                                                 op->packed.panels_bytes, panels, 0, NULL, NULL),
                     "clEnqueueReadBuffer", err);
}

/* ---- run ------------------------------------------------------------------------------------- */

int ocl_take_input(const struct qdot_op *op, const struct qdot_input *in, enum ocl_memory memory,
                   size_t rows, size_t columns, size_t ld, size_t bytes, struct ocl_place *place,
                   struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    if (in->buffer) {
        *place =
            (struct ocl_place){in->buffer->impl, (in->buffer->base + in->offset_bytes) / bytes, ld};
        return QDOT_OK;
    }
    *place = (struct ocl_place){impl->memory[memory], 0, columns};
    if (ld == columns || rows == 1)
        return ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, place->memory, CL_TRUE, 0,
                                                      rows * columns * bytes, in->host, 0, NULL,
                                                      NULL),
                         "clEnqueueWriteBuffer", err);
    const size_t origin[3] = {0, 0, 0}, region[3] = {columns * bytes, rows, 1};
    return ocl_check(ocl->cl.clEnqueueWriteBufferRect(ocl->queue, place->memory, CL_TRUE, origin,
                                                      origin, region, columns * bytes, 0,
                                                      ld * bytes, 0, in->host, 0, NULL, NULL),
                     "clEnqueueWriteBufferRect", err);
}

static int give_output(const struct qdot_op *op, const struct qdot_run *run,
                       const struct ocl_place *place, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const size_t bytes = op->p.out_bytes, n = op->p.n, rows = run->m * op->p.unit_rows;
    if (run->out.buffer)
        return ocl_check(ocl->cl.clFlush(ocl->queue), "clFlush", err);
    if (run->ldo == n || rows == 1)
        return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, place->memory, CL_TRUE, 0,
                                                     rows * n * bytes, run->out.host, 0, NULL,
                                                     NULL),
                         "clEnqueueReadBuffer", err);
    const size_t origin[3] = {0, 0, 0}, region[3] = {n * bytes, rows, 1};
    return ocl_check(ocl->cl.clEnqueueReadBufferRect(ocl->queue, place->memory, CL_TRUE, origin,
                                                     origin, region, n * bytes, 0, run->ldo * bytes,
                                                     0, run->out.host, 0, NULL, NULL),
                     "clEnqueueReadBufferRect", err);
}

int ocl_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    if (op->row->op == QDOT_QUANTIZE)
        return ocl_run_elements(op, run, err);
    if (op->row->op == QDOT_MAP)
        return ocl_run_map(op, run, err);
    const struct ocl_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const bool conv = p->op != QDOT_GEMM; /* a pool is laid out as one */
    /* Any memory does for the arguments that 'with' says not to read. */
    const struct ocl_place unused = {impl->memory[OCL_TERMS], 0, 0};
    struct ocl_place b;
    struct ocl_slab s = {
        .out = {impl->memory[OCL_OUT], 0, p->n}, .a_zero = unused, .row_scale = unused};
    s.with = (op->terms.any_b_neg ? OCL_WITH_ROW_SUM : 0) |
             (p->a_zero_per_row ? OCL_WITH_A_ZERO : 0) | (p->row_scale ? OCL_WITH_ROW_SCALE : 0);
    if (run->out.buffer)
        s.out = (struct ocl_place){run->out.buffer->impl,
                                   (run->out.buffer->base + run->out.offset_bytes) / p->out_bytes,
                                   run->ldo};
    int status = ocl_take_input(op, &run->a, OCL_A_IN, conv ? run->m * g->h * g->w : run->m,
                                conv ? g->c : p->k, run->lda, 1, &s.a, err);
    if (status == QDOT_OK && p->a_zero_per_row)
        status = ocl_take_input(op, &run->a_zero, OCL_A_ZERO, 1, run->m, run->m, 4, &s.a_zero, err);
    if (status == QDOT_OK && p->row_scale)
        status = ocl_take_input(op, &run->row_scale, OCL_ROW_SCALE, 1, run->m, run->m, 4,
                                &s.row_scale, err);
    if (status == QDOT_OK && p->b_at_run) {
        const size_t rows = p->b_transposed ? p->n : p->k, columns = p->b_transposed ? p->k : p->n;
        status = ocl_take_input(op, &run->b, OCL_B_IN, rows, columns, p->ldb, 1, &b, err);
        if (status == QDOT_OK)
            status = ocl_take_b(op, &b, err);
    }
    if (status == QDOT_OK && qdot_is_pool(p->op)) {
        status = ocl_pool(op, run->m, &s.a, &s.out, err);
        s.end = run->m;
    }
    for (; s.end < run->m && status == QDOT_OK; s.begin = s.end) {
        s.end = run->m - s.begin < impl->plan.slab ? run->m : s.begin + impl->plan.slab;
        status = conv ? ocl_conv(op, &s, err) : ocl_gemm(op, &s, err);
    }
    if (status == QDOT_OK && run->event)
        status = ocl_event_set(run->event, err);
    if (status == QDOT_OK)
        status = give_output(op, run, &s.out, err);
    return status;
}
