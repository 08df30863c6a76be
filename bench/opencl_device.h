/* An OpenCL device of the benchmark's own, beside the library's: for peak loops and peers. */
#ifndef BENCH_OPENCL_DEVICE_H
#define BENCH_OPENCL_DEVICE_H

#ifdef BENCH_OPENCL

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>
#include <stdbool.h>
#include "qdot.h"

#define BENCH_CL_FUNCTIONS(X)    \
    X(clGetPlatformIDs)          \
    X(clGetDeviceIDs)            \
    X(clGetDeviceInfo)           \
    X(clCreateContext)           \
    X(clReleaseContext)          \
    X(clCreateCommandQueue)      \
    X(clReleaseCommandQueue)     \
    X(clFinish)                  \
    X(clCreateBuffer)            \
    X(clReleaseMemObject)        \
    X(clCreateProgramWithSource) \
    X(clBuildProgram)            \
    X(clReleaseProgram)          \
    X(clCreateKernel)            \
    X(clReleaseKernel)           \
    X(clSetKernelArg)            \
    X(clEnqueueNDRangeKernel)    \
    X(clEnqueueReadBuffer)       \
    X(clEnqueueWriteBuffer)

struct opencl_device {
#define X(name) __typeof__(name) *name;
    BENCH_CL_FUNCTIONS(X)
#undef X
    cl_device_id id;
    cl_context context;
    cl_command_queue queue; /* in order */
    bool is_cpu;
};

/* name: "opencl:N" as the library counts. */
int opencl_open(const char *name, struct opencl_device *device, struct qdot_error *err);
void opencl_close(struct opencl_device *device); /* a zeroed one is fine */

#endif
#endif
