/* The functions of OpenCL that the library calls, before those of libOpenCL.so.1. */
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault_layer.h"

#ifndef CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR
#define CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR 0x1073
#endif

/* The function behind ours. */
static void *find(const char *name)
{
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!symbol) {
        fprintf(stderr, "fault layer: no %s in libOpenCL.so.1\n", name);
        abort();
    }
    return symbol;
}

#define REAL(name)                                  \
    static __typeof__(name) *real;                  \
    static pthread_once_t once = PTHREAD_ONCE_INIT; \
    pthread_once(&once, find_##name);               \
    memcpy(&real, &found_##name, sizeof(real));
#define FINDER(name)                \
    static void *found_##name;      \
    static void find_##name(void)   \
    {                               \
        found_##name = find(#name); \
    }

/* The n-th does nothing; after releases and waits, which have been done even where they say not. */
#define CALL(name, parameters, arguments)                                \
    FINDER(name)                                                         \
    CL_API_ENTRY cl_int CL_API_CALL name parameters                      \
    {                                                                    \
        int code;                                                        \
        REAL(name)                                                       \
        return fault_here(#name, &code) ? (cl_int)code : real arguments; \
    }
#define WAIT(name, parameters, arguments)                       \
    FINDER(name)                                                \
    CL_API_ENTRY cl_int CL_API_CALL name parameters             \
    {                                                           \
        int code;                                               \
        REAL(name)                                              \
        const cl_int truth = real arguments;                    \
        return fault_here(#name, &code) ? (cl_int)code : truth; \
    }
#define RELEASE(name, type)                                     \
    FINDER(name)                                                \
    CL_API_ENTRY cl_int CL_API_CALL name(type object)           \
    {                                                           \
        int code;                                               \
        REAL(name)                                              \
        fault_remove(object);                                   \
        const cl_int truth = real(object);                      \
        return fault_here(#name, &code) ? (cl_int)code : truth; \
    }
/* One more to release. */
#define RETAIN(name, type)                            \
    FINDER(name)                                      \
    CL_API_ENTRY cl_int CL_API_CALL name(type object) \
    {                                                 \
        int code;                                     \
        REAL(name)                                    \
        if (fault_here(#name, &code))                 \
            return (cl_int)code;                      \
        const cl_int truth = real(object);            \
        if (truth == CL_SUCCESS)                      \
            fault_add(object, #name);                 \
        return truth;                                 \
    }
#define CREATE(name, type, parameters, arguments) \
    FINDER(name)                                  \
    CL_API_ENTRY type CL_API_CALL name parameters \
    {                                             \
        int fault;                                \
        REAL(name)                                \
        if (fault_here(#name, &fault)) {          \
            if (code)                             \
                *code = (cl_int)fault;            \
            return NULL;                          \
        }                                         \
        type made = real arguments;               \
        if (made)                                 \
            fault_add(made, #name);               \
        return made;                              \
    }

CALL(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *count), (n, ids, count))
CALL(clGetPlatformInfo,
     (cl_platform_id id, cl_platform_info what, size_t bytes, void *value, size_t *need),
     (id, what, bytes, value, need))
CALL(clGetDeviceIDs,
     (cl_platform_id id, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *count),
     (id, type, n, ids, count))
CREATE(clCreateContext, cl_context,
       (const cl_context_properties *properties, cl_uint n, const cl_device_id *ids,
        void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *data,
        cl_int *code),
       (properties, n, ids, notify, data, code))
CALL(clGetContextInfo,
     (cl_context context, cl_context_info what, size_t bytes, void *value, size_t *need),
     (context, what, bytes, value, need))
RETAIN(clRetainContext, cl_context)
RELEASE(clReleaseContext, cl_context)
RETAIN(clRetainDevice, cl_device_id)
RELEASE(clReleaseDevice, cl_device_id)
CREATE(clCreateCommandQueue, cl_command_queue,
       (cl_context context, cl_device_id id, cl_command_queue_properties properties, cl_int *code),
       (context, id, properties, code))
CALL(clGetCommandQueueInfo,
     (cl_command_queue queue, cl_command_queue_info what, size_t bytes, void *value, size_t *need),
     (queue, what, bytes, value, need))
RETAIN(clRetainCommandQueue, cl_command_queue)
RELEASE(clReleaseCommandQueue, cl_command_queue)
CALL(clFlush, (cl_command_queue queue), (queue))
WAIT(clFinish, (cl_command_queue queue), (queue))
WAIT(clWaitForEvents, (cl_uint n, const cl_event *events), (n, events))
CALL(clGetEventInfo, (cl_event event, cl_event_info what, size_t bytes, void *value, size_t *need),
     (event, what, bytes, value, need))
RELEASE(clReleaseEvent, cl_event)
CREATE(clCreateBuffer, cl_mem,
       (cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *code),
       (context, flags, bytes, host, code))
CALL(clGetMemObjectInfo, (cl_mem memory, cl_mem_info what, size_t bytes, void *value, size_t *need),
     (memory, what, bytes, value, need))
RETAIN(clRetainMemObject, cl_mem)
RELEASE(clReleaseMemObject, cl_mem)
CREATE(clCreateProgramWithSource, cl_program,
       (cl_context context, cl_uint n, const char **texts, const size_t *bytes, cl_int *code),
       (context, n, texts, bytes, code))
CREATE(clCreateProgramWithBinary, cl_program,
       (cl_context context, cl_uint n, const cl_device_id *ids, const size_t *bytes,
        const unsigned char **binaries, cl_int *loaded, cl_int *code),
       (context, n, ids, bytes, binaries, loaded, code))
CALL(clBuildProgram,
     (cl_program program, cl_uint n, const cl_device_id *ids, const char *options,
      void(CL_CALLBACK *notify)(cl_program, void *), void *data),
     (program, n, ids, options, notify, data))
CALL(clGetProgramInfo,
     (cl_program program, cl_program_info what, size_t bytes, void *value, size_t *need),
     (program, what, bytes, value, need))
CALL(clGetProgramBuildInfo,
     (cl_program program, cl_device_id id, cl_program_build_info what, size_t bytes, void *value,
      size_t *need),
     (program, id, what, bytes, value, need))
RELEASE(clReleaseProgram, cl_program)
CREATE(clCreateKernel, cl_kernel, (cl_program program, const char *name, cl_int *code),
       (program, name, code))
RELEASE(clReleaseKernel, cl_kernel)
CALL(clSetKernelArg, (cl_kernel kernel, cl_uint i, size_t bytes, const void *value),
     (kernel, i, bytes, value))
CALL(clEnqueueWriteBuffer,
     (cl_command_queue queue, cl_mem memory, cl_bool wait, size_t offset, size_t bytes,
      const void *host, cl_uint n, const cl_event *events, cl_event *event),
     (queue, memory, wait, offset, bytes, host, n, events, event))
CALL(clEnqueueWriteBufferRect,
     (cl_command_queue queue, cl_mem memory, cl_bool wait, const size_t *to, const size_t *from,
      const size_t *region, size_t row, size_t slice, size_t host_row, size_t host_slice,
      const void *host, cl_uint n, const cl_event *events, cl_event *event),
     (queue, memory, wait, to, from, region, row, slice, host_row, host_slice, host, n, events,
      event))
CALL(clEnqueueFillBuffer,
     (cl_command_queue queue, cl_mem memory, const void *pattern, size_t pattern_bytes,
      size_t offset, size_t bytes, cl_uint n, const cl_event *events, cl_event *event),
     (queue, memory, pattern, pattern_bytes, offset, bytes, n, events, event))

/* Events that are asked for are objects as well. */
#define WITH_EVENT(name)                                                          \
    FINDER(name)                                                                  \
    CL_API_ENTRY cl_int CL_API_CALL name(cl_command_queue queue, cl_uint n,       \
                                         const cl_event *events, cl_event *event) \
    {                                                                             \
        int code;                                                                 \
        REAL(name)                                                                \
        if (fault_here(#name, &code))                                             \
            return (cl_int)code;                                                  \
        const cl_int truth = real(queue, n, events, event);                       \
        if (truth == CL_SUCCESS && event)                                         \
            fault_add(*event, #name);                                             \
        return truth;                                                             \
    }
WITH_EVENT(clEnqueueMarkerWithWaitList)
WITH_EVENT(clEnqueueBarrierWithWaitList)

/* ---- results and launches -------------------------------------------------------------------- */

FINDER(clEnqueueReadBuffer)
CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue queue, cl_mem memory,
                                                    cl_bool wait, size_t offset, size_t bytes,
                                                    void *host, cl_uint n, const cl_event *events,
                                                    cl_event *event)
{
    int code;
    REAL(clEnqueueReadBuffer)
    if (fault_here("clEnqueueReadBuffer", &code))
        return (cl_int)code;
    const cl_int truth = real(queue, memory, wait, offset, bytes, host, n, events, event);
    if (fault_now(FAULT_CORRUPT) && bytes > 0)
        *(uint8_t *)host ^= 1;
    return truth;
}

FINDER(clEnqueueReadBufferRect)
CL_API_ENTRY cl_int CL_API_CALL clEnqueueReadBufferRect(cl_command_queue queue, cl_mem memory,
                                                        cl_bool wait, const size_t *from,
                                                        const size_t *to, const size_t *region,
                                                        size_t row, size_t slice, size_t host_row,
                                                        size_t host_slice, void *host, cl_uint n,
                                                        const cl_event *events, cl_event *event)
{
    int code;
    REAL(clEnqueueReadBufferRect)
    if (fault_here("clEnqueueReadBufferRect", &code))
        return (cl_int)code;
    const cl_int truth = real(queue, memory, wait, from, to, region, row, slice, host_row,
                              host_slice, host, n, events, event);
    if (fault_now(FAULT_CORRUPT))
        *(uint8_t *)host ^= 1;
    return truth;
}

FINDER(clEnqueueNDRangeKernel)
CL_API_ENTRY cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                                       cl_uint dimensions, const size_t *offset,
                                                       const size_t *global, const size_t *local,
                                                       cl_uint n, const cl_event *events,
                                                       cl_event *event)
{
    int code;
    REAL(clEnqueueNDRangeKernel)
    if (fault_here("clEnqueueNDRangeKernel", &code))
        return (cl_int)code;
    if (fault_now(FAULT_DROP))
        return CL_SUCCESS;
    return real(queue, kernel, dimensions, offset, global, local, n, events, event);
}

/* ---- lies ------------------------------------------------------------------------------------ */

static void put(void *value, size_t bytes, unsigned long long number)
{
    if (value)
        memcpy(value, &number, bytes < sizeof(number) ? bytes : sizeof(number));
}

/* One more extension at the end of the list. */
static cl_int more_extensions(const char *more, size_t bytes, char *value, size_t *need)
{
    const size_t length = strcspn(more, ",");
    if (need)
        *need += length + 1;
    if (value && strlen(value) + length + 2 <= bytes)
        sprintf(value + strlen(value), " %.*s", (int)length, more);
    return CL_SUCCESS;
}

FINDER(clGetDeviceInfo)
CL_API_ENTRY cl_int CL_API_CALL clGetDeviceInfo(cl_device_id id, cl_device_info what, size_t bytes,
                                                void *value, size_t *need)
{
    int code;
    unsigned long long number;
    REAL(clGetDeviceInfo)
    if (fault_here("clGetDeviceInfo", &code))
        return (cl_int)code;
    const cl_int truth = real(id, what, bytes, value, need);
    const char *more = lie_text("extension");
    if (what == CL_DEVICE_EXTENSIONS && more)
        return more_extensions(more, bytes, value, need);
    if (what == CL_DEVICE_MAX_WORK_GROUP_SIZE && lie("group", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_MAX_WORK_ITEM_SIZES && value && lie("item", &number))
        ((size_t *)value)[0] = ((size_t *)value)[1] = (size_t)number;
    if (what == CL_DEVICE_MAX_MEM_ALLOC_SIZE && lie("alloc", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_LOCAL_MEM_SIZE && lie("local", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_TYPE && lie("type", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_VENDOR_ID && lie("vendor", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_SINGLE_FP_CONFIG && lie("floats", &number))
        put(value, bytes, number);
    if (what == CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR && lie("dot", &number)) {
        put(value, bytes, number);
        return CL_SUCCESS;
    }
    return truth;
}

FINDER(clGetKernelWorkGroupInfo)
CL_API_ENTRY cl_int CL_API_CALL clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id id,
                                                         cl_kernel_work_group_info what,
                                                         size_t bytes, void *value, size_t *need)
{
    int code;
    unsigned long long number;
    REAL(clGetKernelWorkGroupInfo)
    if (fault_here("clGetKernelWorkGroupInfo", &code))
        return (cl_int)code;
    const cl_int truth = real(kernel, id, what, bytes, value, need);
    if (what == CL_KERNEL_WORK_GROUP_SIZE && lie("kernel_group", &number))
        put(value, bytes, number);
    return truth;
}
