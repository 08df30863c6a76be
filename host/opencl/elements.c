/* Quantize and its kin: what an op needs, its runs. */
#include <stdio.h>
#include "opencl.h"

#define PIECES ((size_t)256) /* of a row, at most: each is a work-group of kernels_cl/elements.cl */
#define PIECE ((size_t)4096) /* elements of one, at least */
enum { RECIPROCAL = 1, GRADIENT = 2 };

/* ---- sizes ----------------------------------------------------------------------------------- */

static size_t pieces_of(const struct qdot_problem *p, size_t m)
{
    const size_t row = m * p->elements.unit / qdot_parameters(p, m);
    const size_t pieces = row / PIECE + 1;
    return pieces < PIECES ? pieces : PIECES;
}

bool ocl_plan_elements(const struct qdot_problem *p, struct ocl_plan *plan, char *reason,
                       size_t reason_bytes)
{
    const struct qdot_elements *e = &p->elements;
    const size_t count = p->units * e->unit, parameters = e->parameters * 4;
    const bool dynamic = p->op == QDOT_DYNAMIC_QUANTIZE;
    size_t *bytes = plan->bytes;
    bytes[OCL_A_IN] = qdot_type_bytes(p->a_type, count);
    bytes[OCL_B_IN] = p->op == QDOT_FAKE_QUANTIZE_GRADIENT ? count * 4 : 0;
    bytes[OCL_OUT] = qdot_type_bytes(p->out_type, count);
    bytes[OCL_ROW_SCALE] = dynamic || e->scale_at_run ? parameters : 0;
    bytes[OCL_A_ZERO] = dynamic || e->zero_at_run ? parameters : 0;
    bytes[OCL_TERMS] = dynamic ? 0 : parameters * 2; /* scales, then zeros */
    if (dynamic)
        bytes[OCL_ACC] = e->parameters * pieces_of(p, p->units) * 8;
    if (dynamic && e->parameters > UINT32_MAX / PIECES) {
        snprintf(reason, reason_bytes, "%zu rows: at most %zu", e->parameters, UINT32_MAX / PIECES);
        return false;
    }
    return true;
}

/* ---- creation -------------------------------------------------------------------------------- */

const char *ocl_elements_kernel(const struct qdot_op *op, enum ocl_kernels kernel)
{
    const enum qdot_op_kind kind = op->p.op;
    switch (kernel) {
    case OCL_ELEMENTS:
        return kind == QDOT_DEQUANTIZE                                  ? "dequantize"
               : kind == QDOT_QUANTIZE || kind == QDOT_DYNAMIC_QUANTIZE ? "quantize"
                                                                        : "fake_quantize";
    case OCL_RANGE:
        return kind == QDOT_DYNAMIC_QUANTIZE ? "find_range" : NULL;
    case OCL_PARAMETERS:
        return kind == QDOT_DYNAMIC_QUANTIZE ? "find_parameters" : NULL;
    default:
        return NULL;
    }
}

static int write(const struct qdot_op *op, enum ocl_memory memory, size_t offset, const void *from,
                 size_t bytes, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    return ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, impl->memory[memory], CL_TRUE, offset,
                                                  bytes, from, 0, NULL, NULL),
                     "clEnqueueWriteBuffer", err);
}

int ocl_upload_parameters(struct qdot_op *op, struct qdot_error *err)
{
    const size_t bytes = op->p.elements.parameters * 4;
    int status = QDOT_OK;
    if (op->scale)
        status = write(op, OCL_TERMS, 0, op->scale, bytes, err);
    if (status == QDOT_OK && op->zero)
        status = write(op, OCL_TERMS, bytes, op->zero, bytes, err);
    return status;
}

/* ---- run ------------------------------------------------------------------------------------- */

/* Where operands are: offsets in bytes. */
struct places {
    struct ocl_place x, dy, out, scale, zero;
};

static int take(const struct qdot_op *op, const struct qdot_input *in, enum ocl_memory memory,
                size_t bytes, struct ocl_place *place, struct qdot_error *err)
{
    return ocl_take_input(op, in, memory, 1, bytes, bytes, 1, place, err);
}

static struct ocl_place output_place(const struct qdot_op *op, const struct qdot_output *out,
                                     enum ocl_memory memory)
{
    const struct ocl_op *impl = op->impl;
    return out->buffer
               ? (struct ocl_place){out->buffer->impl, out->buffer->base + out->offset_bytes, 0}
               : (struct ocl_place){impl->memory[memory], 0, 0};
}

static int find_places(const struct qdot_op *op, const struct qdot_run *run, struct places *at,
                       struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_elements *e = &p->elements;
    const struct ocl_op *impl = op->impl;
    const size_t count = run->m * e->unit, parameters = qdot_parameters(p, run->m) * 4;
    const bool dynamic = p->op == QDOT_DYNAMIC_QUANTIZE;
    int status = take(op, &run->a, OCL_A_IN, qdot_type_bytes(p->a_type, count), &at->x, err);
    at->dy = at->x; /* any, where there is none */
    if (status == QDOT_OK && p->op == QDOT_FAKE_QUANTIZE_GRADIENT)
        status = take(op, &run->b, OCL_B_IN, count * 4, &at->dy, err);
    at->out = output_place(op, &run->out, OCL_OUT);
    at->scale = (struct ocl_place){impl->memory[OCL_TERMS], 0, 0};
    at->zero = (struct ocl_place){impl->memory[OCL_TERMS], e->parameters * 4, 0};
    if (dynamic) {
        at->scale = output_place(op, &run->scale_out, OCL_ROW_SCALE);
        at->zero = output_place(op, &run->zero_out, OCL_A_ZERO);
    }
    if (status == QDOT_OK && e->scale_at_run)
        status = take(op, &run->scale, OCL_ROW_SCALE, parameters, &at->scale, err);
    if (status == QDOT_OK && e->zero_at_run)
        status = take(op, &run->zero, OCL_A_ZERO, parameters, &at->zero, err);
    return status;
}

static void set_place(const struct ocl_device *ocl, struct ocl_kernel *kernel,
                      const struct ocl_place *place)
{
    ARGUMENT(cl_mem, place->memory);
    ARGUMENT(cl_ulong, place->offset);
}

/* Ranges of rows, and what they make of scales and zeros. */
static int find_parameters(struct qdot_op *op, const struct places *at, size_t m,
                           struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const size_t rows = qdot_parameters(&op->p, m), pieces = pieces_of(&op->p, m);
    struct ocl_kernel *kernel = &impl->kernels[OCL_RANGE];
    set_place(ocl, kernel, &at->x);
    ARGUMENT(cl_ulong, m * op->p.elements.unit / rows);
    ARGUMENT(cl_uint, (cl_uint)pieces);
    ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
    int status = ocl_launch(ocl, kernel, rows * pieces * kernel->local[0], 1, err);
    if (status != QDOT_OK)
        return status;
    kernel = &impl->kernels[OCL_PARAMETERS];
    ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
    ARGUMENT(cl_uint, (cl_uint)rows);
    ARGUMENT(cl_uint, (cl_uint)pieces);
    set_place(ocl, kernel, &at->scale);
    set_place(ocl, kernel, &at->zero);
    return ocl_launch(ocl, kernel, rows, 1, err);
}

static int launch(struct qdot_op *op, const struct places *at, size_t count, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    const struct qdot_elements *e = &p->elements;
    const bool gradient = p->op == QDOT_FAKE_QUANTIZE_GRADIENT;
    struct ocl_kernel *kernel = &impl->kernels[OCL_ELEMENTS];
    set_place(ocl, kernel, &at->x);
    if (gradient || p->op == QDOT_FAKE_QUANTIZE)
        set_place(ocl, kernel, &at->dy);
    set_place(ocl, kernel, &at->out);
    set_place(ocl, kernel, &at->scale);
    set_place(ocl, kernel, &at->zero);
    ARGUMENT(cl_ulong, count);
    ARGUMENT(cl_uint, (cl_uint)e->type);
    ARGUMENT(cl_int, p->clamp_lo);
    ARGUMENT(cl_int, p->clamp_hi);
    ARGUMENT(cl_uint, (e->reciprocal ? RECIPROCAL : 0u) | (gradient ? GRADIENT : 0u));
    ARGUMENT(cl_ulong, e->span);
    ARGUMENT(cl_ulong, e->line);
    ARGUMENT(cl_ulong, e->repeat);
    ARGUMENT(cl_ulong, e->span_step);
    ARGUMENT(cl_ulong, e->step);
    ARGUMENT(cl_uint, e->each);
    return ocl_launch(ocl, kernel, count / 4 + (count % 4 != 0), 1, err);
}

/* Host memory has its result when the run returns. */
static int give(const struct qdot_op *op, const struct qdot_output *out,
                const struct ocl_place *place, size_t bytes, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    if (out->buffer)
        return ocl_check(ocl->cl.clFlush(ocl->queue), "clFlush", err);
    return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, place->memory, CL_TRUE, 0, bytes,
                                                 out->host, 0, NULL, NULL),
                     "clEnqueueReadBuffer", err);
}

int ocl_run_elements(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    const size_t count = run->m * op->p.elements.unit;
    const size_t parameters = qdot_parameters(&op->p, run->m) * 4;
    const bool dynamic = op->p.op == QDOT_DYNAMIC_QUANTIZE;
    struct places at;
    int status = find_places(op, run, &at, err);
    if (status == QDOT_OK && dynamic)
        status = find_parameters(op, &at, run->m, err);
    if (status == QDOT_OK)
        status = launch(op, &at, count, err);
    if (status == QDOT_OK && run->event)
        status = ocl_event_set(run->event, err);
    if (status == QDOT_OK && dynamic)
        status = give(op, &run->scale_out, &at.scale, parameters, err);
    if (status == QDOT_OK && dynamic)
        status = give(op, &run->zero_out, &at.zero, parameters, err);
    if (status == QDOT_OK)
        status = give(op, &run->out, &at.out, qdot_type_bytes(op->p.out_type, count), err);
    return status;
}
