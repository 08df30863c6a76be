/*
 * The OpenCL backend.
 *
 *   loader.c   libOpenCL and CLBlast, opened at run time; names of error codes
 *   device.c   enumeration, open and close, buffers; the backend's table of hooks
 *   program.c  kernel texts to programs, their cache
 *   plan.c     rows; sizes of one op, limits of a device
 *   gemm.c     prepare and run
 */
#ifndef QDOT_OPENCL_INTERNAL_H
#define QDOT_OPENCL_INTERNAL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>
#include "internal.h"

/* ---- loader.c -------------------------------------------------------------------------------- */

#define OCL_FUNCTIONS(X)         \
    X(clGetPlatformIDs)          \
    X(clGetPlatformInfo)         \
    X(clGetDeviceIDs)            \
    X(clGetDeviceInfo)           \
    X(clCreateContext)           \
    X(clReleaseContext)          \
    X(clCreateCommandQueue)      \
    X(clReleaseCommandQueue)     \
    X(clFlush)                   \
    X(clFinish)                  \
    X(clCreateBuffer)            \
    X(clReleaseMemObject)        \
    X(clCreateProgramWithSource) \
    X(clCreateProgramWithBinary) \
    X(clBuildProgram)            \
    X(clGetProgramInfo)          \
    X(clGetProgramBuildInfo)     \
    X(clReleaseProgram)          \
    X(clCreateKernel)            \
    X(clReleaseKernel)           \
    X(clSetKernelArg)            \
    X(clGetKernelWorkGroupInfo)  \
    X(clEnqueueNDRangeKernel)    \
    X(clEnqueueReadBuffer)       \
    X(clEnqueueReadBufferRect)   \
    X(clEnqueueWriteBuffer)      \
    X(clEnqueueWriteBufferRect)  \
    X(clEnqueueFillBuffer)

/* CLBlast's C interface, the two functions used. */
enum { CLBLAST_ROW_MAJOR = 101, CLBLAST_NO = 111, CLBLAST_YES = 112 };
typedef int ocl_clblast_sgemm(int layout, int a_transpose, int b_transpose, size_t m, size_t n,
                              size_t k, float alpha, cl_mem a, size_t a_offset, size_t a_ld,
                              cl_mem b, size_t b_offset, size_t b_ld, float beta, cl_mem c,
                              size_t c_offset, size_t c_ld, cl_command_queue *queue,
                              cl_event *event);
typedef int ocl_clblast_clear(void);

struct ocl_api {
#define X(name) __typeof__(name) *name;
    OCL_FUNCTIONS(X)
#undef X
    ocl_clblast_sgemm *sgemm; /* NULL: no CLBlast here */
    ocl_clblast_clear *clear_cache;
};

/* False and a reason when there is no loader. Libraries stay loaded: PoCL crashes when unloaded. */
bool ocl_load(struct ocl_api *api, char *reason, size_t reason_bytes);
void ocl_load_clblast(struct ocl_api *api);
/* QDOT_OK for CL_SUCCESS; else err names the call and its code. */
int ocl_check(cl_int code, const char *call, struct qdot_error *err);

/* ---- device.c -------------------------------------------------------------------------------- */

enum { OCL_KHR_DOT = 1, OCL_CLBLAST = 2 };

struct ocl_program {
    struct ocl_program *next;
    char options[160];
    cl_program program;
};

struct ocl_device {
    struct ocl_api cl;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue; /* in order, shared by all ops: OpenCL's queues are thread-safe */
    pthread_mutex_t lock;   /* programs, clblast_used */
    struct ocl_program *programs;
    bool clblast_used;
    bool flushes;     /* subnormals */
    char defect[128]; /* why no row can run here; empty: none */
    size_t max_group, max_item[2];
    uint64_t max_alloc;
};

/* ---- program.c ------------------------------------------------------------------------------- */

/* The program of a row and an output type, built once a device; it lives as the device. */
int ocl_program(struct qdot_device *device, const struct qdot_row *row, enum qdot_type out_type,
                cl_program *program, struct qdot_error *err);
void ocl_programs_free(struct qdot_device *device);

/* ---- plan.c ---------------------------------------------------------------------------------- */

enum ocl_kind { OCL_ROW_PORTABLE, OCL_ROW_KHR_DOT, OCL_ROW_FLOAT }; /* -D ROW= of kernels_cl */

struct ocl_row {
    enum ocl_kind kind;
    size_t a_bytes, b_bytes; /* of one element in the device's panels */
};

/* Buffers of an op, in bytes; 0: not needed. */
enum ocl_memory {
    OCL_A_IN, /* operands of a run given as host memory */
    OCL_B_IN,
    OCL_A_ZERO,
    OCL_ROW_SCALE,
    OCL_OUT,
    OCL_A,     /* packed, one slab */
    OCL_B,     /* packed */
    OCL_TERMS, /* arrays by column, as kernels_cl/output.cl numbers them */
    OCL_ROW_SUM,
    OCL_C,   /* CLBlast: sums of one chunk of k, one slab */
    OCL_ACC, /* CLBlast: sums of all chunks, one slab */
    OCL_MEMORIES
};

struct ocl_plan {
    size_t groups;   /* of 4 k */
    size_t terms_ld; /* n rounded up to 16 */
    size_t slab;     /* rows of A packed at a time */
    size_t bytes[OCL_MEMORIES];
};

enum { OCL_ROWS = 3 };
extern const struct qdot_row ocl_rows[OCL_ROWS];

bool ocl_plan(const struct qdot_row *row, const struct qdot_problem *p, struct ocl_plan *plan);
bool ocl_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
              char *reason, size_t reason_bytes);

/* ---- gemm.c ---------------------------------------------------------------------------------- */

int ocl_prepare(struct qdot_op *op, struct qdot_error *err);
void ocl_unprepare(struct qdot_op *op);
int ocl_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
int ocl_read_packed(struct qdot_op *op, void *panels, int32_t *col_sum, struct qdot_error *err);

#endif
