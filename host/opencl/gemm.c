/*
 * Ops: one slab of rows of A at a time is packed on the device and multiplied, all in one in-order
 * queue, so that a slab's buffers are used again without waiting.
 */
#include <stdio.h>
#include <string.h>
#include "opencl.h"

#define CHUNK 1024 /* k of one sgemm: sums of 1024 products of at most 2^14 are exact in float */
#define SEGMENT 16 /* groups that a work-item packs: pack.cl */
#define LOCAL_X 16 /* work-group, where the device allows it */
#define LOCAL_Y 4

/* As in output.cl. */
enum { TERM_BIAS, TERM_B_NEG, TERM_COL_SUM, TERM_SCALE, TERM_BIAS_F, TERM_BIAS_GIVEN, TERMS };
enum { WITH_ROW_SUM = 1, WITH_A_ZERO = 2, WITH_ROW_SCALE = 4 };

struct kernel {
    cl_kernel handle;
    const char *name;
    size_t local[2];
    cl_uint arguments; /* set so far */
    cl_int code;       /* of the first clSetKernelArg that failed */
};

enum { PACK_A, PACK_B, FOLD_BIAS, MULTIPLY, ACCUMULATE, KERNELS };

struct ocl_op {
    struct ocl_plan plan;
    struct kernel kernels[KERNELS]; /* an op's own: arguments are state of the kernel */
    cl_mem memory[OCL_MEMORIES];
};

/* Where a matrix lies on the device, in elements. */
struct place {
    cl_mem memory;
    size_t offset, ld;
};

/* ---- kernels --------------------------------------------------------------------------------- */

static int make_kernel(const struct ocl_device *ocl, cl_program program, const char *name,
                       struct kernel *kernel, struct qdot_error *err)
{
    char call[64];
    cl_int code;
    size_t limit = 0;
    kernel->handle = ocl->cl.clCreateKernel(program, name, &code);
    kernel->name = name;
    snprintf(call, sizeof(call), "clCreateKernel(%s)", name);
    int status = ocl_check(code, call, err);
    if (status != QDOT_OK)
        return status;
    code = ocl->cl.clGetKernelWorkGroupInfo(kernel->handle, ocl->id, CL_KERNEL_WORK_GROUP_SIZE,
                                            sizeof(limit), &limit, NULL);
    status = ocl_check(code, "clGetKernelWorkGroupInfo", err);
    if (status != QDOT_OK)
        return status;
    if (limit > ocl->max_group || limit == 0)
        limit = ocl->max_group;
    size_t *local = kernel->local;
    local[0] = LOCAL_X;
    local[1] = LOCAL_Y;
    while (local[0] > ocl->max_item[0] || (local[0] > 1 && local[0] * local[1] > limit))
        local[0] /= 2;
    while (local[1] > ocl->max_item[1] || (local[1] > 1 && local[0] * local[1] > limit))
        local[1] /= 2;
    return QDOT_OK;
}

static void set_argument(const struct ocl_device *ocl, struct kernel *kernel, size_t bytes,
                         const void *value)
{
    if (kernel->code == CL_SUCCESS)
        kernel->code = ocl->cl.clSetKernelArg(kernel->handle, kernel->arguments++, bytes, value);
}
#define ARGUMENT(type, value) set_argument(ocl, kernel, sizeof(type), &(const type){value})

/* Of at least x by y work-items; the kernels return beyond. */
static int launch(const struct ocl_device *ocl, struct kernel *kernel, size_t x, size_t y,
                  struct qdot_error *err)
{
    const size_t *local = kernel->local;
    const size_t global[2] = {(x + local[0] - 1) / local[0] * local[0],
                              (y + local[1] - 1) / local[1] * local[1]};
    cl_int code = kernel->code;
    const bool set = code == CL_SUCCESS;
    if (set)
        code = ocl->cl.clEnqueueNDRangeKernel(ocl->queue, kernel->handle, 2, NULL, global, local, 0,
                                              NULL, NULL);
    kernel->arguments = 0;
    kernel->code = CL_SUCCESS;
    if (code == CL_SUCCESS)
        return QDOT_OK;
    char call[64];
    snprintf(call, sizeof(call), "%s(%s)", set ? "clEnqueueNDRangeKernel" : "clSetKernelArg",
             kernel->name);
    return ocl_check(code, call, err);
}

/* The value of a byte is (byte ^ flip) - sign in the operand's form. */
static void set_form(const struct ocl_device *ocl, struct kernel *kernel, enum qdot_type type,
                     enum qdot_type form)
{
    const cl_uint sign = (form ? form : type) == QDOT_S8 ? 128 : 0;
    ARGUMENT(cl_uint, qdot_flip(type, form) ^ sign);
    ARGUMENT(cl_int, (cl_int)sign);
}

static int pack_a(struct qdot_op *op, const struct place *a, size_t begin, size_t rows, bool sums,
                  struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct kernel *kernel = &impl->kernels[PACK_A];
    const size_t padded = (rows + op->row->mr - 1) / op->row->mr * op->row->mr;
    ARGUMENT(cl_mem, a->memory);
    ARGUMENT(cl_ulong, a->offset);
    ARGUMENT(cl_ulong, a->ld);
    ARGUMENT(cl_ulong, 1);
    ARGUMENT(cl_uint, (cl_uint)begin);
    ARGUMENT(cl_uint, (cl_uint)(begin + rows));
    ARGUMENT(cl_uint, (cl_uint)(begin + padded));
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    set_form(ocl, kernel, op->p.a_type, op->row->a_form);
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_mem, impl->memory[OCL_ROW_SUM]);
    ARGUMENT(cl_ulong, 0);
    ARGUMENT(cl_uint, sums);
    return launch(ocl, kernel, padded, (impl->plan.groups + SEGMENT - 1) / SEGMENT, err);
}

/* 'type' is that of the bytes given, which are already in the row's form when B was packed here. */
static int pack_b(struct qdot_op *op, const struct place *b, bool transposed, enum qdot_type type,
                  bool sums, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct kernel *kernel = &impl->kernels[PACK_B];
    ARGUMENT(cl_mem, b->memory);
    ARGUMENT(cl_ulong, b->offset);
    ARGUMENT(cl_ulong, transposed ? b->ld : 1);
    ARGUMENT(cl_ulong, transposed ? 1 : b->ld);
    ARGUMENT(cl_uint, 0);
    ARGUMENT(cl_uint, (cl_uint)op->p.n);
    ARGUMENT(cl_uint, (cl_uint)op->packed.n_pad);
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    set_form(ocl, kernel, type, op->row->b_form);
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, TERM_COL_SUM * impl->plan.terms_ld);
    ARGUMENT(cl_uint, sums);
    return launch(ocl, kernel, op->packed.n_pad, (impl->plan.groups + SEGMENT - 1) / SEGMENT, err);
}

static int fill(const struct qdot_op *op, enum ocl_memory memory, size_t offset, size_t bytes,
                struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const cl_uint zero = 0;
    return ocl_check(ocl->cl.clEnqueueFillBuffer(ocl->queue, impl->memory[memory], &zero,
                                                 sizeof(zero), offset, bytes, 0, NULL, NULL),
                     "clEnqueueFillBuffer", err);
}

/* B of a run: its panels, col_sum and bias'. */
static int take_b(struct qdot_op *op, const struct place *b, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct kernel *kernel = &impl->kernels[FOLD_BIAS];
    const size_t ld = impl->plan.terms_ld;
    int status = fill(op, OCL_TERMS, TERM_COL_SUM * ld * 4, ld * 4, err);
    if (status == QDOT_OK)
        status = pack_b(op, b, op->p.b_transposed, op->p.b_type, true, err);
    if (status != QDOT_OK)
        return status;
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, ld);
    ARGUMENT(cl_uint, (cl_uint)op->p.n);
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    ARGUMENT(cl_int, op->p.a_zero + qdot_shift(op->p.a_type, op->row->a_form));
    return launch(ocl, kernel, op->p.n, 1, err);
}

/* ---- one slab -------------------------------------------------------------------------------- */

struct slab {
    size_t begin, end; /* rows */
    struct place out, a_zero, row_scale;
    cl_uint with;
};

/* STAGE_PARAMETERS of output.cl. */
static void set_stage(const struct qdot_op *op, const struct slab *s, struct kernel *kernel)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    ARGUMENT(cl_mem, s->out.memory);
    ARGUMENT(cl_ulong, s->out.offset);
    ARGUMENT(cl_ulong, s->out.ld);
    ARGUMENT(cl_uint, (cl_uint)s->end);
    ARGUMENT(cl_uint, (cl_uint)p->n);
    ARGUMENT(cl_uint, (cl_uint)p->k);
    ARGUMENT(cl_uint, s->with);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, impl->plan.terms_ld);
    ARGUMENT(cl_mem, impl->memory[OCL_ROW_SUM]);
    ARGUMENT(cl_mem, s->a_zero.memory);
    ARGUMENT(cl_ulong, s->a_zero.offset);
    ARGUMENT(cl_mem, s->row_scale.memory);
    ARGUMENT(cl_ulong, s->row_scale.offset);
    ARGUMENT(cl_int, p->clamp_lo - p->out_zero);
    ARGUMENT(cl_int, p->clamp_hi - p->out_zero);
    ARGUMENT(cl_int, p->out_zero);
}

static int multiply_packed(struct qdot_op *op, const struct slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct kernel *kernel = &impl->kernels[MULTIPLY];
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    set_stage(op, s, kernel);
    return launch(ocl, kernel, op->packed.n_pad / op->row->nr,
                  (s->end - s->begin + op->row->mr - 1) / op->row->mr, err);
}

static int multiply_float(struct qdot_op *op, const struct slab *s, struct qdot_error *err)
{
    struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const size_t rows = s->end - s->begin, k_ld = impl->plan.groups * 4, ld = impl->plan.terms_ld;
    struct kernel *kernel = &impl->kernels[ACCUMULATE];
    for (size_t k = 0; k < op->p.k; k += CHUNK) {
        const size_t depth = op->p.k - k < CHUNK ? op->p.k - k : CHUNK;
        int status =
            ocl_check(ocl->cl.sgemm(CLBLAST_ROW_MAJOR, CLBLAST_NO, CLBLAST_YES, rows, op->p.n,
                                    depth, 1.0f, impl->memory[OCL_A], k, k_ld, impl->memory[OCL_B],
                                    k, k_ld, 0.0f, impl->memory[OCL_C], 0, ld, &ocl->queue, NULL),
                      "CLBlastSgemm", err);
        if (status != QDOT_OK)
            return status;
        ARGUMENT(cl_mem, impl->memory[OCL_C]);
        ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
        ARGUMENT(cl_uint, (cl_uint)rows);
        ARGUMENT(cl_ulong, ld);
        ARGUMENT(cl_uint, k == 0);
        status = launch(ocl, kernel, ld / 16, rows, err);
        if (status != QDOT_OK)
            return status;
    }
    kernel = &impl->kernels[MULTIPLY];
    ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    set_stage(op, s, kernel);
    return launch(ocl, kernel, ld / 16, rows, err);
}

/* ---- prepare --------------------------------------------------------------------------------- */

static bool is_float(const struct qdot_op *op)
{
    return ((const struct ocl_row *)op->row->impl)->kind == OCL_ROW_FLOAT;
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
    const void *const arrays[TERMS] = {t->bias, t->b_neg, t->col_sum, t->scale, t->bias_f, t->bias};
    int32_t *all = qdot_alloc(op->device, bytes);
    if (!all)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the terms of %zu columns", ld);
    for (size_t i = 0; i < TERMS; i++)
        memcpy(all + i * ld, arrays[i], op->p.n * 4);
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
        qdot_release(op->device, op->packed.blob);
        op->packed.blob = NULL;
        return QDOT_OK;
    }
    const struct place b = {impl->memory[OCL_B_IN], 0, op->p.k};
    status = pack_b(op, &b, true, op->row->b_form, false, err);
    if (status == QDOT_OK)
        status = ocl_check(ocl->cl.clFinish(ocl->queue), "clFinish", err);
    ocl->cl.clReleaseMemObject(impl->memory[OCL_B_IN]);
    impl->memory[OCL_B_IN] = NULL;
    return status;
}

/* CLBlast compiles on its first use of a device, which is not to be a run's. */
static int warm_clblast(struct qdot_op *op, struct qdot_error *err)
{
    struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    pthread_mutex_lock(&ocl->lock);
    ocl->clblast_used = true;
    pthread_mutex_unlock(&ocl->lock);
    int status = fill(op, OCL_A, 0, 4, err);
    if (status == QDOT_OK)
        status = fill(op, OCL_B, 0, 4, err);
    if (status == QDOT_OK)
        status = fill(op, OCL_C, 0, impl->plan.bytes[OCL_C], err);
    if (status != QDOT_OK)
        return status;
    status = ocl_check(ocl->cl.sgemm(CLBLAST_ROW_MAJOR, CLBLAST_NO, CLBLAST_YES, 1, 1, 1, 1.0f,
                                     impl->memory[OCL_A], 0, 1, impl->memory[OCL_B], 0, 1, 0.0f,
                                     impl->memory[OCL_C], 0, 1, &ocl->queue, NULL),
                       "CLBlastSgemm", err);
    if (status == QDOT_OK)
        status = ocl_check(ocl->cl.clFinish(ocl->queue), "clFinish", err);
    return status;
}

int ocl_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    cl_program program;
    char reason[192] = "";
    struct ocl_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    /* Self-test and measurement build ops without asking fits first. */
    if (!ocl_fits(op->device, op->row, &op->p, reason, sizeof(reason)) ||
        !ocl_plan(op->row, &op->p, &impl->plan))
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %s", op->name, reason);
    int status = ocl_program(op->device, op->row, op->p.out_type, &program, err);

    const char *const names[KERNELS] = {"pack_a", "pack_b", "fold_bias",
                                        is_float(op) ? "output" : "gemm",
                                        is_float(op) ? "accumulate" : NULL};
    for (size_t i = 0; i < KERNELS && status == QDOT_OK; i++)
        if (names[i])
            status = make_kernel(ocl, program, names[i], &impl->kernels[i], err);

    for (enum ocl_memory i = 0; i < OCL_MEMORIES && status == QDOT_OK; i++) {
        const size_t bytes = impl->plan.bytes[i];
        if (bytes == 0)
            continue;
        status = make_memory(op, i, bytes, err);
        if (i != OCL_B && i != OCL_TERMS)
            op->workspace_bytes += bytes;
    }
    if (status == QDOT_OK)
        status = upload_terms(op, err);
    if (status == QDOT_OK && is_float(op))
        status = warm_clblast(op, err);
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
    for (size_t i = 0; i < KERNELS; i++)
        if (impl->kernels[i].handle)
            ocl->cl.clReleaseKernel(impl->kernels[i].handle);
    for (size_t i = 0; i < OCL_MEMORIES; i++)
        if (impl->memory[i])
            ocl->cl.clReleaseMemObject(impl->memory[i]);
    qdot_release(op->device, impl);
    op->impl = NULL;
}

int ocl_read_packed(struct qdot_op *op, void *panels, int32_t *col_sum, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    memcpy(col_sum, op->terms.col_sum, op->packed.n_pad * sizeof(*col_sum));
    return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, impl->memory[OCL_B], CL_TRUE, 0,
                                                 op->packed.panels_bytes, panels, 0, NULL, NULL),
                     "clEnqueueReadBuffer", err);
}

/* ---- run ------------------------------------------------------------------------------------- */

/* Where an input of rows x columns elements is: in the caller's buffer, or copied from host memory
 * into the op's. */
static int take_input(const struct qdot_op *op, const struct qdot_input *in, enum ocl_memory memory,
                      size_t rows, size_t columns, size_t ld, size_t bytes, struct place *place,
                      struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    if (in->buffer) {
        *place = (struct place){in->buffer->impl, in->offset_bytes / bytes, ld};
        return QDOT_OK;
    }
    *place = (struct place){impl->memory[memory], 0, columns};
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
                       const struct place *place, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const size_t bytes = op->p.out_bytes, n = op->p.n;
    if (run->out.buffer)
        return ocl_check(ocl->cl.clFlush(ocl->queue), "clFlush", err);
    if (run->ldo == n || run->m == 1)
        return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, place->memory, CL_TRUE, 0,
                                                     run->m * n * bytes, run->out.host, 0, NULL,
                                                     NULL),
                         "clEnqueueReadBuffer", err);
    const size_t origin[3] = {0, 0, 0}, region[3] = {n * bytes, run->m, 1};
    return ocl_check(ocl->cl.clEnqueueReadBufferRect(ocl->queue, place->memory, CL_TRUE, origin,
                                                     origin, region, n * bytes, 0, run->ldo * bytes,
                                                     0, run->out.host, 0, NULL, NULL),
                     "clEnqueueReadBufferRect", err);
}

int ocl_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    const struct ocl_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    /* Any memory does for the arguments that 'with' says not to read. */
    const struct place unused = {impl->memory[OCL_TERMS], 0, 0};
    struct place a, b;
    struct slab s = {
        .out = {impl->memory[OCL_OUT], 0, p->n}, .a_zero = unused, .row_scale = unused};
    s.with = (op->terms.any_b_neg ? WITH_ROW_SUM : 0) | (p->a_zero_per_row ? WITH_A_ZERO : 0) |
             (p->row_scale ? WITH_ROW_SCALE : 0);
    if (run->out.buffer)
        s.out =
            (struct place){run->out.buffer->impl, run->out.offset_bytes / p->out_bytes, run->ldo};
    int status = take_input(op, &run->a, OCL_A_IN, run->m, p->k, run->lda, 1, &a, err);
    if (status == QDOT_OK && p->a_zero_per_row)
        status = take_input(op, &run->a_zero, OCL_A_ZERO, 1, run->m, run->m, 4, &s.a_zero, err);
    if (status == QDOT_OK && p->row_scale)
        status =
            take_input(op, &run->row_scale, OCL_ROW_SCALE, 1, run->m, run->m, 4, &s.row_scale, err);
    if (status == QDOT_OK && p->b_at_run) {
        const size_t rows = p->b_transposed ? p->n : p->k, columns = p->b_transposed ? p->k : p->n;
        status = take_input(op, &run->b, OCL_B_IN, rows, columns, p->ldb, 1, &b, err);
        if (status == QDOT_OK)
            status = take_b(op, &b, err);
    }
    if (status == QDOT_OK && op->terms.any_b_neg)
        status = fill(op, OCL_ROW_SUM, 0, run->m * 4, err);
    for (; s.end < run->m && status == QDOT_OK; s.begin = s.end) {
        s.end = run->m - s.begin < impl->plan.slab ? run->m : s.begin + impl->plan.slab;
        status = pack_a(op, &a, s.begin, s.end - s.begin, op->terms.any_b_neg, err);
        if (status == QDOT_OK)
            status = is_float(op) ? multiply_float(op, &s, err) : multiply_packed(op, &s, err);
    }
    if (status == QDOT_OK)
        status = give_output(op, run, &s.out, err);
    return status;
}
