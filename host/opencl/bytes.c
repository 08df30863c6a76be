/* Maps and pools: what an op needs, its runs. */
#include <string.h>
#include "opencl.h"

enum { TABLE = 1, PAIRS = 2, WORDS = 4 }; /* kernels_cl/map.cl */
enum { STEPS = 256 };                     /* of an average */

/* ---- creation -------------------------------------------------------------------------------- */

bool ocl_plan_bytes(const struct qdot_problem *p, struct ocl_plan *plan, char *reason,
                    size_t reason_bytes)
{
    size_t bytes[QDOT_MAP_TENSORS];
    const bool fit = qdot_bytes_fit(p, bytes, reason, reason_bytes);
    plan->bytes[OCL_A_IN] = bytes[QDOT_MAP_A];
    plan->bytes[OCL_B_IN] = bytes[QDOT_MAP_B];
    plan->bytes[OCL_OUT] = bytes[QDOT_MAP_OUT];
    plan->bytes[OCL_TERMS] = p->op == QDOT_AVERAGE_POOL ? STEPS * 4
                             : p->table                 ? p->table
                                                        : 4; /* kernels are given one */
    return fit;
}

const char *ocl_bytes_kernel(const struct qdot_op *op, enum ocl_kernels kernel)
{
    if (kernel != OCL_BYTES)
        return NULL;
    return op->p.op != QDOT_MAP ? "pool" : qdot_map_is_line(&op->p.map) ? "map_line" : "map";
}

int ocl_upload_table(struct qdot_op *op, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const size_t bytes = impl->plan.bytes[OCL_OUT];
    if (op->p.op == QDOT_MAP && !qdot_map_is_whole(&op->p.map)) {
        impl->gaps = qdot_alloc_raw(op->device, bytes);
        if (!impl->gaps)
            return qdot_fail(err, QDOT_NO_MEMORY, "no memory for an output of %zu bytes", bytes);
        op->workspace_bytes += bytes;
    }
    int32_t steps[STEPS];
    const bool average = op->p.op == QDOT_AVERAGE_POOL;
    if (average)
        qdot_average_steps(&op->p, steps);
    else if (!op->table)
        return QDOT_OK;
    return ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, impl->memory[OCL_TERMS], CL_TRUE, 0,
                                                  average ? sizeof(steps) : op->p.table,
                                                  average ? (const void *)steps : op->table, 0,
                                                  NULL, NULL),
                     "clEnqueueWriteBuffer", err);
}

/* ---- maps ------------------------------------------------------------------------------------ */

static void set_place(const struct ocl_device *ocl, struct ocl_kernel *kernel,
                      const struct ocl_place *place)
{
    ARGUMENT(cl_mem, place->memory);
    ARGUMENT(cl_ulong, place->offset);
}

/* The last ones of a vector. */
static void set_vector(const struct ocl_device *ocl, struct ocl_kernel *kernel,
                       const size_t *values, size_t count)
{
    cl_uint8 vector = {{1, 1, 1, 1, 1, 1, 1, 1}};
    for (size_t i = 0; i < count; i++)
        vector.s[8 - count + i] = (cl_uint)values[i];
    ocl_argument(ocl, kernel, sizeof(vector), &vector);
}

static int launch_map(struct qdot_op *op, const struct qdot_mapping *s, const struct ocl_place *a,
                      const struct ocl_place *b, const struct ocl_place *out,
                      struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_BYTES];
    size_t count = 1;
    for (size_t d = 0; d < s->rank; d++)
        count *= s->dims[d];
    set_place(ocl, kernel, a);
    set_place(ocl, kernel, b);
    set_place(ocl, kernel, out);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_uint, (cl_uint)count);
    ARGUMENT(cl_uint, (op->table ? TABLE : 0u) | (s->operands == 2 ? PAIRS : 0u) |
                          (qdot_map_is_whole(s) ? WORDS : 0u));
    if (qdot_map_is_line(&op->p.map))
        return ocl_launch(ocl, kernel, (count + 15) / 16, 1, err);
    ARGUMENT(cl_uint, (cl_uint)s->rank);
    set_vector(ocl, kernel, s->dims, s->rank);
    for (int t = 0; t < QDOT_MAP_TENSORS; t++)
        set_vector(ocl, kernel, s->stride[t], s->rank);
    return ocl_launch(ocl, kernel, (count + 3) / 4, 1, err);
}

/* What has gaps is read with them, and put where it belongs without. */
static int give_map(struct qdot_op *op, const struct qdot_run *run, const struct qdot_mapping *s,
                    struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    if (run->out.buffer)
        return ocl_check(ocl->cl.clFlush(ocl->queue), "clFlush", err);
    const int status = ocl_check(
        ocl->cl.clEnqueueReadBuffer(ocl->queue, impl->memory[OCL_OUT], CL_TRUE, 0,
                                    qdot_map_bytes(s, QDOT_MAP_OUT),
                                    impl->gaps ? impl->gaps : run->out.host, 0, NULL, NULL),
        "clEnqueueReadBuffer", err);
    if (status == QDOT_OK && impl->gaps)
        qdot_map_copy(s, impl->gaps, run->out.host);
    return status;
}

int ocl_run_map(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    const struct qdot_mapping s = qdot_map_of_run(&op->p, run->m);
    const struct ocl_op *impl = op->impl;
    const size_t a_bytes = qdot_map_bytes(&s, QDOT_MAP_A), b_bytes = qdot_map_bytes(&s, QDOT_MAP_B);
    struct ocl_place a, out = {impl->memory[OCL_OUT], 0, 0};
    if (run->out.buffer)
        out = (struct ocl_place){run->out.buffer->impl,
                                 run->out.buffer->base + run->out.offset_bytes, 0};
    int status = ocl_take_input(op, &run->a, OCL_A_IN, 1, a_bytes, a_bytes, 1, &a, err);
    struct ocl_place b = a; /* any, where there is none */
    if (status == QDOT_OK && b_bytes)
        status = ocl_take_input(op, &run->b, OCL_B_IN, 1, b_bytes, b_bytes, 1, &b, err);
    if (status == QDOT_OK)
        status = launch_map(op, &s, &a, &b, &out, err);
    if (status == QDOT_OK && run->event)
        status = ocl_event_set(run->event, err);
    return status == QDOT_OK ? give_map(op, run, &s, err) : status;
}

/* ---- pools ----------------------------------------------------------------------------------- */

int ocl_pool(struct qdot_op *op, size_t m, const struct ocl_place *a, const struct ocl_place *out,
             struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_BYTES];
    const struct qdot_geometry *g = &op->p.conv;
    const cl_uint8 sizes = {{(cl_uint)g->h, (cl_uint)g->w, (cl_uint)g->oh, (cl_uint)g->ow,
                             (cl_uint)g->kh, (cl_uint)g->kw, g->nchw ? 1 : (cl_uint)g->c,
                             op->p.a_type == QDOT_S8 ? 0x80 : 0}};
    const cl_uint8 steps = {{(cl_uint)g->stride_h, (cl_uint)g->stride_w, (cl_uint)g->dilation_h,
                             (cl_uint)g->dilation_w, g->nchw ? 1 : (cl_uint)a->ld,
                             g->nchw ? 1 : (cl_uint)out->ld, (cl_uint)g->pad_top,
                             (cl_uint)g->pad_left}};
    const size_t items = qdot_pool_items(&op->p, m);
    set_place(ocl, kernel, a);
    set_place(ocl, kernel, out);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_uint, op->table || op->p.op == QDOT_AVERAGE_POOL);
    ARGUMENT(cl_uint, (cl_uint)items);
    ocl_argument(ocl, kernel, sizeof(sizes), &sizes);
    ocl_argument(ocl, kernel, sizeof(steps), &steps);
    const struct qdot_averaging *v = &op->p.average;
    cl_uint8 average = {{0, (cl_uint)op->p.a_zero + (op->p.a_type == QDOT_S8 ? 128 : 0),
                         v->count_padding ? (cl_uint)op->p.k : 0, (cl_uint)op->p.clamp_lo,
                         !v->scaled}};
    memcpy(&average.s[0], &v->a_scale, sizeof(average.s[0]));
    ocl_argument(ocl, kernel, sizeof(average), &average);
    return ocl_launch(ocl, kernel, items, 1, err);
}
