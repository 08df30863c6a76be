/* Kernels of an op: their arguments, the stage's among them, and launches. */
#include <stdio.h>
#include "opencl.h"

/* What the compiler put into local memory may be more than the row's own; only some drivers tell. */
static int check_local(const struct ocl_device *ocl, const struct ocl_kernel *kernel,
                       struct qdot_error *err)
{
    cl_ulong bytes = 0;
    const cl_int code = ocl->cl.clGetKernelWorkGroupInfo(
        kernel->handle, ocl->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof(bytes), &bytes, NULL);
    if (code != CL_SUCCESS || bytes <= ocl->max_local)
        return ocl_check(code, "clGetKernelWorkGroupInfo", err);
    return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %llu bytes of local memory, the device has %llu",
                     kernel->name, (unsigned long long)bytes, (unsigned long long)ocl->max_local);
}

int ocl_kernel_make(const struct ocl_device *ocl, cl_program program, const char *name, size_t x,
                    size_t y, struct ocl_kernel *kernel, struct qdot_error *err)
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
    if (status == QDOT_OK)
        status = check_local(ocl, kernel, err);
    if (status != QDOT_OK)
        return status;
    if (limit > ocl->max_group || limit == 0)
        limit = ocl->max_group;
    size_t *local = kernel->local;
    local[0] = x;
    local[1] = y;
    while (local[0] > ocl->max_item[0] || (local[0] > 1 && local[0] * local[1] > limit))
        local[0] /= 2;
    while (local[1] > ocl->max_item[1] || (local[1] > 1 && local[0] * local[1] > limit))
        local[1] /= 2;
    return QDOT_OK;
}

void ocl_argument(const struct ocl_device *ocl, struct ocl_kernel *kernel, size_t bytes,
                  const void *value)
{
    if (kernel->code == CL_SUCCESS)
        kernel->code = ocl->cl.clSetKernelArg(kernel->handle, kernel->arguments++, bytes, value);
}
int ocl_launch(const struct ocl_device *ocl, struct ocl_kernel *kernel, size_t x, size_t y,
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

static cl_uint sign_of(enum qdot_type type, enum qdot_type form)
{
    return (form ? form : type) == QDOT_S8 ? 128 : 0;
}

cl_uint ocl_flip(enum qdot_type type, enum qdot_type form)
{
    return qdot_flip(type, form) ^ sign_of(type, form);
}

void ocl_set_form(const struct ocl_device *ocl, struct ocl_kernel *kernel, enum qdot_type type,
                  enum qdot_type form)
{
    ARGUMENT(cl_uint, ocl_flip(type, form));
    ARGUMENT(cl_int, (cl_int)sign_of(type, form));
}

cl_mem ocl_row_sums(const struct ocl_op *impl)
{
    return impl->memory[impl->memory[OCL_ROW_SUM] ? OCL_ROW_SUM : OCL_TERMS];
}

void ocl_set_stage(const struct qdot_op *op, const struct ocl_slab *s, size_t m, size_t n,
                   struct ocl_kernel *kernel)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    ARGUMENT(cl_mem, s->out.memory);
    ARGUMENT(cl_ulong, s->out.offset);
    ARGUMENT(cl_ulong, s->out.ld);
    ARGUMENT(cl_uint, (cl_uint)m);
    ARGUMENT(cl_uint, (cl_uint)n);
    ARGUMENT(cl_uint, (cl_uint)p->k);
    ARGUMENT(cl_uint, s->with);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, impl->plan.terms_ld);
    ARGUMENT(cl_mem, ocl_row_sums(impl));
    ARGUMENT(cl_mem, s->a_zero.memory);
    ARGUMENT(cl_ulong, s->a_zero.offset);
    ARGUMENT(cl_mem, s->row_scale.memory);
    ARGUMENT(cl_ulong, s->row_scale.offset);
    ARGUMENT(cl_int, p->clamp_lo - p->out_zero);
    ARGUMENT(cl_int, p->clamp_hi - p->out_zero);
    ARGUMENT(cl_int, p->out_zero);
}

int ocl_fill(const struct qdot_op *op, enum ocl_memory memory, size_t offset, size_t bytes,
             struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const cl_uint zero = 0;
    return ocl_check(ocl->cl.clEnqueueFillBuffer(ocl->queue, impl->memory[memory], &zero,
                                                 sizeof(zero), offset, bytes, 0, NULL, NULL),
                     "clEnqueueFillBuffer", err);
}
