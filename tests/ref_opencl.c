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

int ref_opencl_run(struct ref_opencl *r, const struct ref_problem *p, void *out, size_t ldo,
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
    cl_kernel gemm, conv;
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
        r->gemm = r->clCreateKernel(r->program, "reference_gemm", &code);
    }
    if (!code)
        r->conv = r->clCreateKernel(r->program, "reference_conv", &code);
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
    if (r->gemm)
        r->clReleaseKernel(r->gemm);
    if (r->conv)
        r->clReleaseKernel(r->conv);
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

struct operand {
    const void *memory;
    size_t bytes;
};

/* A, B and out of a problem, in elements, and how its kernel is called. */
struct launch {
    cl_kernel kernel;
    size_t a_rows, a_columns, lda, b_bytes, out_rows, out_columns, ldo;
    struct operand values[6]; /* what its own arguments are */
    cl_long4 shape[4];
    cl_long2 pads;
    cl_int2 form;
};

static void launch_gemm(const struct ref_opencl *r, const struct ref_problem *p, size_t ldo,
                        struct launch *l)
{
    size_t b_rows = p->b_transposed ? p->n : p->k, b_columns = p->b_transposed ? p->k : p->n;
    *l = (struct launch){
        .kernel = r->gemm,
        .a_rows = p->m,
        .a_columns = p->k,
        .lda = p->lda,
        .b_bytes = matrix_bytes(b_rows, b_columns, p->ldb, p->b_type),
        .out_rows = p->m,
        .out_columns = p->n,
        .ldo = ldo,
        .shape = {{{(cl_long)p->m, (cl_long)p->n, (cl_long)p->k, 0}},
                  {{(cl_long)p->lda, p->b_transposed ? 1 : (cl_long)p->ldb,
                    p->b_transposed ? (cl_long)p->ldb : 1, (cl_long)ldo}}},
    };
    for (size_t i = 0; i < 2; i++)
        l->values[i] = (struct operand){&l->shape[i], sizeof(l->shape[i])};
}

static void launch_conv(const struct ref_opencl *r, const struct ref_problem *p, size_t ldo,
                        struct launch *l)
{
    const struct qdot_conv *c = p->conv;
    size_t out_h, out_w, cg = c->channels / c->groups, og = c->out_channels / c->groups;
    int nchw = c->layout == QDOT_NCHW;
    ref_conv_output(c, &out_h, &out_w);
    *l = (struct launch){
        .kernel = r->conv,
        .a_rows = p->m * c->height * c->width,
        .a_columns = c->channels,
        .lda = nchw ? c->channels : p->lda,
        .b_bytes = c->out_channels * c->kernel_h * c->kernel_w * cg,
        .out_rows = p->m * out_h * out_w,
        .out_columns = c->out_channels,
        .ldo = nchw ? c->out_channels : ldo,
        .shape = {{{(cl_long)c->height, (cl_long)c->width, (cl_long)c->channels, (cl_long)p->lda}},
                  {{(cl_long)out_h, (cl_long)out_w, (cl_long)c->out_channels, (cl_long)ldo}},
                  {{(cl_long)c->kernel_h, (cl_long)c->kernel_w, (cl_long)cg, (cl_long)og}},
                  {{(cl_long)c->stride_h, (cl_long)c->stride_w, (cl_long)c->dilation_h,
                    (cl_long)c->dilation_w}}},
        .pads = {{(cl_long)c->pad_top, (cl_long)c->pad_left}},
        .form = {{nchw, c->transposed != 0}},
    };
    for (size_t i = 0; i < 4; i++)
        l->values[i] = (struct operand){&l->shape[i], sizeof(l->shape[i])};
    l->values[4] = (struct operand){&l->pads, sizeof(l->pads)};
    l->values[5] = (struct operand){&l->form, sizeof(l->form)};
}

int ref_opencl_run(struct ref_opencl *r, const struct ref_problem *p, void *out, size_t ldo,
                   char *reason, size_t reason_bytes)
{
    struct launch l;
    if (p->conv)
        launch_conv(r, p, ldo, &l);
    else
        launch_gemm(r, p, ldo, &l);
    int fixed = p->multiplier_count > 0;
    size_t scales = fixed ? p->multiplier_count : p->scale_count;
    size_t out_bytes = matrix_bytes(l.out_rows, l.out_columns, l.ldo, p->out_type);
    const struct operand operands[] = {
        {p->a, matrix_bytes(l.a_rows, l.a_columns, l.lda, p->a_type)},
        {p->b, l.b_bytes},
        {p->a_zero, p->a_zero_count * 4},
        {p->b_zero, p->b_zero_count * 4},
        {p->bias, p->bias ? p->n * 4 : 0},
        {fixed ? (const void *)p->multiplier : (const void *)p->scale, scales * 4},
        {p->shift, p->multiplier_count * 4},
        {p->row_scale, p->row_scale ? p->m * 4 : 0},
        {p->bias_f, p->bias_f ? p->n * 4 : 0},
        {out, out_bytes}, /* copied in as well, for the gaps between its rows */
    };
    enum { OPERANDS = sizeof(operands) / sizeof(operands[0]) };
    int type_range = p->clamp_lo == 0 && p->clamp_hi == 0;
    int32_t lo = type_range ? (p->out_type == QDOT_U8 ? 0 : -128) : p->clamp_lo;
    int32_t hi = type_range ? (p->out_type == QDOT_U8 ? 255 : 127) : p->clamp_hi;
    cl_int4 types = {{p->a_type, p->b_type, p->out_type, p->rounding}};
    cl_int4 counts = {{(cl_int)p->a_zero_count, (cl_int)p->b_zero_count, (cl_int)scales, 0}};
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
            code = r->clSetKernelArg(l.kernel, (cl_uint)i, sizeof(cl_mem), &buffers[i]);
    }
    const struct operand values[] = {{&types, sizeof(types)},
                                     {&counts, sizeof(counts)},
                                     {&present, sizeof(present)},
                                     {&output, sizeof(output)},
                                     l.values[0],
                                     l.values[1],
                                     l.values[2],
                                     l.values[3],
                                     l.values[4],
                                     l.values[5]};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]) && values[i].memory && !code; i++) {
        call = "clSetKernelArg";
        code =
            r->clSetKernelArg(l.kernel, (cl_uint)(OPERANDS + i), values[i].bytes, values[i].memory);
    }
    if (!code) {
        size_t global[2] = {(l.out_columns + GROUP - 1) / GROUP * GROUP, l.out_rows};
        size_t local[2] = {GROUP, 1};
        call = "clEnqueueNDRangeKernel";
        code = r->clEnqueueNDRangeKernel(r->queue, l.kernel, 2, NULL, global, local, 0, NULL, NULL);
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
