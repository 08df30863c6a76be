/* Runs kernels_cl/reference.cl. It loads libOpenCL on its own, sharing nothing with the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ref.h"

#ifndef CONFORM_OPENCL

struct ref_opencl *ref_opencl_open(char *device, size_t device_bytes, char *reason,
                                   size_t reason_bytes)
{
    (void)device;
    (void)device_bytes;
    snprintf(reason, reason_bytes, "built without the OpenCL headers");
    return NULL;
}

int ref_opencl_gemm(struct ref_opencl *r, const struct ref_problem *p, void *out, size_t ldo,
                    char *reason, size_t reason_bytes)
{
    (void)r;
    (void)p;
    (void)out;
    (void)ldo;
    snprintf(reason, reason_bytes, "built without the OpenCL headers");
    return -1;
}

void ref_opencl_close(struct ref_opencl *r)
{
    (void)r;
}

#else

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>

extern const unsigned char ref_kernel_source[];
extern const size_t ref_kernel_source_size;

enum { GROUP = 16 }; /* work-items along a row; a fixed size, since PoCL compiles for each anew */

#define CALLS(X)                 \
    X(clGetPlatformIDs)          \
    X(clGetDeviceIDs)            \
    X(clGetDeviceInfo)           \
    X(clCreateContext)           \
    X(clReleaseContext)          \
    X(clCreateCommandQueue)      \
    X(clReleaseCommandQueue)     \
    X(clCreateProgramWithSource) \
    X(clBuildProgram)            \
    X(clReleaseProgram)          \
    X(clCreateKernel)            \
    X(clReleaseKernel)           \
    X(clSetKernelArg)            \
    X(clCreateBuffer)            \
    X(clReleaseMemObject)        \
    X(clEnqueueNDRangeKernel)    \
    X(clEnqueueReadBuffer)

struct ref_opencl {
    void *library;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
#define FIELD(name) __typeof__(&name) name;
    CALLS(FIELD)
#undef FIELD
};

static int load(struct ref_opencl *r, char *reason, size_t reason_bytes)
{
    /* oclgrind comes preloaded, and must not be mixed with the loader that it stands in for. */
    int preloaded = dlsym(RTLD_DEFAULT, "clGetPlatformIDs") != NULL;
    r->library = dlopen(preloaded ? NULL : "libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!r->library) {
        snprintf(reason, reason_bytes, "libOpenCL.so.1 not found: install ocl-icd-libopencl1");
        return -1;
    }
#define LOAD(name)                                                        \
    *(void **)&r->name = dlsym(r->library, #name);                        \
    if (!r->name) {                                                       \
        snprintf(reason, reason_bytes, "libOpenCL.so.1 lacks %s", #name); \
        return -1;                                                        \
    }
    CALLS(LOAD)
#undef LOAD
    return 0;
}

static int usable(struct ref_opencl *r, cl_device_id device)
{
    cl_device_fp_config config = 0;
    cl_device_fp_config needed = CL_FP_DENORM | CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN;
    cl_bool little = CL_FALSE;
    if (r->clGetDeviceInfo(device, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(config), &config, NULL))
        return 0;
    if (r->clGetDeviceInfo(device, CL_DEVICE_ENDIAN_LITTLE, sizeof(little), &little, NULL))
        return 0;
    return little && (config & needed) == needed;
}

static cl_device_id find_device(struct ref_opencl *r)
{
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    if (r->clGetPlatformIDs(16, platforms, &platform_count))
        return NULL;
    for (cl_uint i = 0; i < platform_count && i < 16; i++) {
        cl_device_id devices[16];
        cl_uint count = 0;
        if (r->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 16, devices, &count))
            continue;
        for (cl_uint j = 0; j < count && j < 16; j++)
            if (usable(r, devices[j]))
                return devices[j];
    }
    return NULL;
}

struct ref_opencl *ref_opencl_open(char *device, size_t device_bytes, char *reason,
                                   size_t reason_bytes)
{
    struct ref_opencl *r = calloc(1, sizeof(*r));
    if (!r) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    if (load(r, reason, reason_bytes))
        goto fail;
    cl_device_id id = find_device(r);
    if (!id) {
        snprintf(reason, reason_bytes,
                 "no OpenCL device that keeps subnormals and rounds to nearest");
        goto fail;
    }
    if (r->clGetDeviceInfo(id, CL_DEVICE_NAME, device_bytes, device, NULL))
        snprintf(device, device_bytes, "OpenCL");

    cl_int code = CL_SUCCESS;
    const char *call = "clCreateContext";
    const char *source = (const char *)ref_kernel_source;
    r->context = r->clCreateContext(NULL, 1, &id, NULL, NULL, &code);
    if (!code) {
        call = "clCreateCommandQueue";
        r->queue = r->clCreateCommandQueue(r->context, id, 0, &code);
    }
    if (!code) {
        call = "clCreateProgramWithSource";
        r->program = r->clCreateProgramWithSource(r->context, 1, &source,
                                                  &(size_t){ref_kernel_source_size}, &code);
    }
    if (!code) {
        call = "clBuildProgram";
        code = r->clBuildProgram(r->program, 1, &id, "-cl-std=CL1.2", NULL, NULL);
    }
    if (!code) {
        call = "clCreateKernel";
        r->kernel = r->clCreateKernel(r->program, "reference", &code);
    }
    if (!code)
        return r;
    snprintf(reason, reason_bytes, "%s: error %d", call, (int)code);
fail:
    ref_opencl_close(r);
    return NULL;
}

void ref_opencl_close(struct ref_opencl *r)
{
    if (!r)
        return;
    if (r->kernel)
        r->clReleaseKernel(r->kernel);
    if (r->program)
        r->clReleaseProgram(r->program);
    if (r->queue)
        r->clReleaseCommandQueue(r->queue);
    if (r->context)
        r->clReleaseContext(r->context);
    if (r->library)
        dlclose(r->library);
    free(r);
}

static size_t matrix_bytes(size_t rows, size_t columns, size_t ld, enum qdot_type type)
{
    return ((rows - 1) * ld + columns) * ref_size(type);
}

int ref_opencl_gemm(struct ref_opencl *r, const struct ref_problem *p, void *out, size_t ldo,
                    char *reason, size_t reason_bytes)
{
    size_t b_rows = p->b_transposed ? p->n : p->k;
    size_t b_columns = p->b_transposed ? p->k : p->n;
    size_t out_bytes = matrix_bytes(p->m, p->n, ldo, p->out_type);
    const struct {
        const void *memory;
        size_t bytes;
    } operands[] = {
        {p->a, matrix_bytes(p->m, p->k, p->lda, p->a_type)},
        {p->b, matrix_bytes(b_rows, b_columns, p->ldb, p->b_type)},
        {p->a_zero, p->a_zero_count * 4},
        {p->b_zero, p->b_zero_count * 4},
        {p->bias, p->bias ? p->n * 4 : 0},
        {p->scale, p->scale_count * 4},
        {p->row_scale, p->row_scale ? p->m * 4 : 0},
        {p->bias_f, p->bias_f ? p->n * 4 : 0},
        {out, out_bytes}, /* copied in as well, for the gaps between its rows */
    };
    enum { OPERANDS = sizeof(operands) / sizeof(operands[0]) };
    int type_range = p->clamp_lo == 0 && p->clamp_hi == 0;
    int32_t lo = type_range ? (p->out_type == QDOT_U8 ? 0 : -128) : p->clamp_lo;
    int32_t hi = type_range ? (p->out_type == QDOT_U8 ? 255 : 127) : p->clamp_hi;
    cl_int4 types = {{p->a_type, p->b_type, p->out_type, 0}};
    cl_long4 shape = {{(cl_long)p->m, (cl_long)p->n, (cl_long)p->k, 0}};
    cl_long4 steps = {{(cl_long)p->lda, p->b_transposed ? 1 : (cl_long)p->ldb,
                       p->b_transposed ? (cl_long)p->ldb : 1, (cl_long)ldo}};
    cl_int4 counts = {
        {(cl_int)p->a_zero_count, (cl_int)p->b_zero_count, (cl_int)p->scale_count, 0}};
    cl_int4 present = {{p->bias != NULL, p->row_scale != NULL, p->bias_f != NULL, 0}};
    cl_int4 output = {{p->out_zero, lo, hi, 0}};

    cl_mem buffers[OPERANDS] = {0};
    const char *call = "clCreateBuffer";
    cl_int code = CL_SUCCESS;
    for (size_t i = 0; i < OPERANDS && !code; i++) {
        uint32_t absent = 0;
        int present_here = operands[i].bytes > 0;
        size_t bytes = present_here ? operands[i].bytes : sizeof(absent);
        /* the call takes no pointer to const, and only reads */
        union {
            const void *from;
            void *to;
        } memory = {.from = present_here ? operands[i].memory : &absent};
        buffers[i] = r->clCreateBuffer(r->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes,
                                       memory.to, &code);
        if (!code)
            code = r->clSetKernelArg(r->kernel, (cl_uint)i, sizeof(cl_mem), &buffers[i]);
    }
    const struct {
        const void *value;
        size_t bytes;
    } values[] = {{&types, sizeof(types)},     {&shape, sizeof(shape)},
                  {&steps, sizeof(steps)},     {&counts, sizeof(counts)},
                  {&present, sizeof(present)}, {&output, sizeof(output)}};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]) && !code; i++) {
        call = "clSetKernelArg";
        code =
            r->clSetKernelArg(r->kernel, (cl_uint)(OPERANDS + i), values[i].bytes, values[i].value);
    }
    if (!code) {
        size_t global[2] = {(p->n + GROUP - 1) / GROUP * GROUP, p->m}, local[2] = {GROUP, 1};
        call = "clEnqueueNDRangeKernel";
        code =
            r->clEnqueueNDRangeKernel(r->queue, r->kernel, 2, NULL, global, local, 0, NULL, NULL);
    }
    if (!code) {
        call = "clEnqueueReadBuffer";
        code = r->clEnqueueReadBuffer(r->queue, buffers[OPERANDS - 1], CL_TRUE, 0, out_bytes, out,
                                      0, NULL, NULL);
    }
    for (size_t i = 0; i < OPERANDS; i++)
        if (buffers[i])
            r->clReleaseMemObject(buffers[i]);
    if (code)
        snprintf(reason, reason_bytes, "%s: error %d", call, (int)code);
    return code ? -1 : 0;
}

#endif
