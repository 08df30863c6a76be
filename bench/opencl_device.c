#include "opencl_device.h"
#include "peak.h" /* outside: without OpenCL this file must not be empty */

#ifdef BENCH_OPENCL

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 32 };

static bool load(struct opencl_device *device)
{
    /* The library has it open already; PoCL crashes when it is unloaded. */
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol;
    if (!library)
        return false;
#define X(name)                     \
    symbol = dlsym(library, #name); \
    if (!symbol)                    \
        return false;               \
    memcpy(&device->name, &symbol, sizeof(symbol));
    BENCH_CL_FUNCTIONS(X)
#undef X
    return true;
}

/* The index-th device over all platforms, in the loader's order, which is the library's. */
static bool find(struct opencl_device *device, size_t index)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    if (device->clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count) != CL_SUCCESS)
        return false;
    for (cl_uint i = 0; i < platform_count && i < MAX_PLATFORMS; i++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint count = 0;
        if (device->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &count) !=
            CL_SUCCESS)
            continue;
        if (count > MAX_DEVICES)
            count = MAX_DEVICES;
        if (index < count) {
            device->id = ids[index];
            return true;
        }
        index -= count;
    }
    return false;
}

int opencl_open(const char *name, struct opencl_device *device, struct qdot_error *err)
{
    const char *colon = strchr(name, ':');
    cl_device_type type = 0;
    cl_int code;
    memset(device, 0, sizeof(*device));
    if (!load(device))
        return bench_fail(err, QDOT_NO_DEVICE, "no libOpenCL.so.1: install ocl-icd-libopencl1");
    if (!find(device, colon ? strtoul(colon + 1, NULL, 10) : 0))
        return bench_fail(err, QDOT_NO_DEVICE, "no OpenCL device '%s'", name);
    if (device->clGetDeviceInfo(device->id, CL_DEVICE_TYPE, sizeof(type), &type, NULL) ==
        CL_SUCCESS)
        device->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    device->context = device->clCreateContext(NULL, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return bench_fail(err, QDOT_DEVICE_FAILED, "clCreateContext on '%s': %d", name, code);
    device->queue = device->clCreateCommandQueue(device->context, device->id, 0, &code);
    if (code != CL_SUCCESS) {
        device->queue = NULL;
        opencl_close(device);
        return bench_fail(err, QDOT_DEVICE_FAILED, "clCreateCommandQueue on '%s': %d", name, code);
    }
    return QDOT_OK;
}

void opencl_close(struct opencl_device *device)
{
    if (device->queue)
        device->clReleaseCommandQueue(device->queue);
    if (device->context)
        device->clReleaseContext(device->context);
    device->queue = NULL;
    device->context = NULL;
}

#endif
