/* OpenCL for checks of a device by kernels of the tests' own, independent of the library. */
#ifndef PROBE_OPENCL_H
#define PROBE_OPENCL_H

#include <stdbool.h>
#include <stddef.h>
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#define PROBE_CL_CALLS(X)        \
    X(clGetPlatformIDs)          \
    X(clGetDeviceIDs)            \
    X(clGetDeviceInfo)           \
    X(clCreateContext)           \
    X(clReleaseContext)          \
    X(clCreateCommandQueue)      \
    X(clReleaseCommandQueue)     \
    X(clCreateProgramWithSource) \
    X(clCreateProgramWithBinary) \
    X(clBuildProgram)            \
    X(clGetProgramInfo)          \
    X(clGetProgramBuildInfo)     \
    X(clReleaseProgram)          \
    X(clCreateKernel)            \
    X(clGetKernelWorkGroupInfo)  \
    X(clReleaseKernel)           \
    X(clSetKernelArg)            \
    X(clCreateBuffer)            \
    X(clReleaseMemObject)        \
    X(clEnqueueNDRangeKernel)    \
    X(clEnqueueReadBuffer)       \
    X(clEnqueueWriteBuffer)      \
    X(clFinish)

struct probe_cl {
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    char *extensions;
    bool subnormals; /* kept, as the device says */
    char log[1024];  /* of the last build, its beginning */
#define FIELD(name) __typeof__(&name) name;
    PROBE_CL_CALLS(FIELD)
#undef FIELD
};

/* The index-th device of all platforms in the loader's order, which is how qdot counts them. False
 * and a reason when there is none. */
bool probe_cl_open(struct probe_cl *cl, size_t index, char *reason, size_t reason_bytes);
void probe_cl_close(struct probe_cl *cl);
bool probe_cl_lists(const struct probe_cl *cl, const char *extension);
cl_ulong probe_cl_number(const struct probe_cl *cl, cl_device_info what,
                         size_t bytes); /* 0: unknown */

/* A built program; NULL, a code and cl->log where the compiler refuses it. */
cl_program probe_cl_build(struct probe_cl *cl, const char *source, const char *options,
                          cl_int *code);
void probe_cl_log(struct probe_cl *cl, cl_program program);

enum { PROBE_CL_BUFFERS = 6 };

/* A kernel's arguments are buffers, then 'count' as a uint. What it leaves in the last buffer is
 * read back. */
struct probe_cl_run {
    const char *kernel;
    struct {
        void *memory;
        size_t bytes;
    } buffers[PROBE_CL_BUFFERS];
    size_t buffer_count;
    cl_uint count;
    size_t global, local; /* local 0: the driver's choice */
    size_t local_bytes;   /* other than 0: one more argument, of local memory */
};

/* CL_SUCCESS, or the code of the call that failed and its name. */
cl_int probe_cl_run(struct probe_cl *cl, cl_program program, const struct probe_cl_run *run,
                    const char **call);

#endif
