/* OpenCL for checks of a device by kernels of the tests' own, independent of the library. */
#include "probe_opencl.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLATFORMS_MAX = 32, DEVICES_MAX = 32 };

/* What is preloaded in the place of the loader (oclgrind, a fault layer) comes first; such a layer
 * may lack some of the functions. */
static bool load(struct probe_cl *cl, char *reason, size_t reason_bytes)
{
    const bool preloaded = dlsym(RTLD_DEFAULT, "clGetPlatformIDs") != NULL;
    const bool whole = dlsym(RTLD_DEFAULT, "clGetKernelArgInfo") != NULL;
    void *library = preloaded && whole
                        ? RTLD_DEFAULT
                        : dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library && !preloaded) {
        snprintf(reason, reason_bytes, "libOpenCL.so.1 not found: install ocl-icd-libopencl1");
        return false;
    }
#define LOAD(name)                                                        \
    {                                                                     \
        void *symbol = preloaded ? dlsym(RTLD_DEFAULT, #name) : NULL;     \
        symbol = symbol ? symbol : dlsym(library, #name);                 \
        memcpy(&cl->name, &symbol, sizeof(symbol));                       \
    }                                                                     \
    if (!cl->name) {                                                      \
        snprintf(reason, reason_bytes, "libOpenCL.so.1 lacks %s", #name); \
        return false;                                                     \
    }
    PROBE_CL_CALLS(LOAD)
#undef LOAD
    return true;
}

static bool find(struct probe_cl *cl, size_t index, cl_platform_id *platform)
{
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0;
    size_t total = 0;
    if (cl->clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count))
        return false;
    for (cl_uint i = 0; i < platform_count && i < PLATFORMS_MAX; i++) {
        cl_device_id ids[DEVICES_MAX];
        cl_uint count = 0;
        if (cl->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, DEVICES_MAX, ids, &count))
            continue;
        count = count < DEVICES_MAX ? count : DEVICES_MAX;
        if (index - total < count) {
            *platform = platforms[i];
            cl->id = ids[index - total];
            return true;
        }
        total += count;
    }
    return false;
}

static bool read_extensions(struct probe_cl *cl)
{
    size_t bytes = 0;
    if (cl->clGetDeviceInfo(cl->id, CL_DEVICE_EXTENSIONS, 0, NULL, &bytes))
        return false;
    cl->extensions = calloc(bytes + 1, 1);
    return cl->extensions &&
           !cl->clGetDeviceInfo(cl->id, CL_DEVICE_EXTENSIONS, bytes, cl->extensions, NULL);
}

bool probe_cl_open(struct probe_cl *cl, size_t index, char *reason, size_t reason_bytes)
{
    cl_platform_id platform = NULL;
    cl_int code = CL_SUCCESS;
    *cl = (struct probe_cl){0};
    if (!load(cl, reason, reason_bytes))
        return false;
    if (!find(cl, index, &platform)) {
        snprintf(reason, reason_bytes, "there is no OpenCL device %zu", index);
        return false;
    }
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)platform, 0};
    const char *call = "clCreateContext";
    cl->context = cl->clCreateContext(properties, 1, &cl->id, NULL, NULL, &code);
    if (!code) {
        call = "clCreateCommandQueue";
        cl->queue = cl->clCreateCommandQueue(cl->context, cl->id, 0, &code);
    }
    if (!code && !read_extensions(cl)) {
        call = "clGetDeviceInfo(CL_DEVICE_EXTENSIONS)";
        code = CL_INVALID_VALUE;
    }
    if (code) {
        snprintf(reason, reason_bytes, "%s: error %d", call, (int)code);
        probe_cl_close(cl);
        return false;
    }
    const cl_ulong floats =
        probe_cl_number(cl, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(cl_device_fp_config));
    cl->subnormals = (floats & CL_FP_DENORM) != 0;
    return true;
}

void probe_cl_close(struct probe_cl *cl)
{
    if (cl->queue)
        cl->clReleaseCommandQueue(cl->queue);
    if (cl->context)
        cl->clReleaseContext(cl->context);
    free(cl->extensions);
    *cl = (struct probe_cl){0};
}

bool probe_cl_lists(const struct probe_cl *cl, const char *extension)
{
    const size_t length = strlen(extension);
    for (const char *at = cl->extensions; (at = strstr(at, extension)) != NULL; at += length)
        if ((at == cl->extensions || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

cl_ulong probe_cl_number(const struct probe_cl *cl, cl_device_info what, size_t bytes)
{
    cl_ulong value = 0; /* of a little-endian host */
    return cl->clGetDeviceInfo(cl->id, what, bytes, &value, NULL) == CL_SUCCESS ? value : 0;
}

void probe_cl_log(struct probe_cl *cl, cl_program program)
{
    size_t bytes = 0;
    char *log = NULL;
    cl->log[0] = '\0';
    if (!cl->clGetProgramBuildInfo(program, cl->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes))
        log = calloc(bytes + 1, 1);
    if (log && !cl->clGetProgramBuildInfo(program, cl->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL))
        snprintf(cl->log, sizeof(cl->log), "%s", log);
    free(log);
}

cl_program probe_cl_build(struct probe_cl *cl, const char *source, const char *options,
                          cl_int *code)
{
    const size_t bytes = strlen(source);
    cl->log[0] = '\0';
    cl_program program = cl->clCreateProgramWithSource(cl->context, 1, &source, &bytes, code);
    if (*code)
        return NULL;
    *code = cl->clBuildProgram(program, 1, &cl->id, options, NULL, NULL);
    if (*code == CL_SUCCESS)
        return program;
    probe_cl_log(cl, program);
    cl->clReleaseProgram(program);
    return NULL;
}

static cl_int set_arguments(struct probe_cl *cl, const struct probe_cl_run *run, cl_kernel kernel,
                            cl_mem *buffers, const char **call)
{
    cl_int code = CL_SUCCESS;
    cl_uint at = 0;
    for (size_t i = 0; i < run->buffer_count && !code; i++, at++) {
        *call = "clCreateBuffer";
        buffers[i] = cl->clCreateBuffer(cl->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                        run->buffers[i].bytes, run->buffers[i].memory, &code);
        if (!code) {
            *call = "clSetKernelArg";
            code = cl->clSetKernelArg(kernel, at, sizeof(cl_mem), &buffers[i]);
        }
    }
    *call = code ? *call : "clSetKernelArg";
    if (!code)
        code = cl->clSetKernelArg(kernel, at++, sizeof(run->count), &run->count);
    if (!code && run->local_bytes)
        code = cl->clSetKernelArg(kernel, at, run->local_bytes, NULL);
    return code;
}

cl_int probe_cl_run(struct probe_cl *cl, cl_program program, const struct probe_cl_run *run,
                    const char **call)
{
    cl_mem buffers[PROBE_CL_BUFFERS] = {0};
    const size_t last = run->buffer_count - 1;
    cl_int code = CL_SUCCESS;
    *call = "clCreateKernel";
    cl_kernel kernel = cl->clCreateKernel(program, run->kernel, &code);
    if (code)
        return code;
    code = set_arguments(cl, run, kernel, buffers, call);
    if (!code) {
        *call = "clEnqueueNDRangeKernel";
        code = cl->clEnqueueNDRangeKernel(cl->queue, kernel, 1, NULL, &run->global,
                                          run->local ? &run->local : NULL, 0, NULL, NULL);
    }
    if (!code) {
        *call = "clEnqueueReadBuffer";
        code =
            cl->clEnqueueReadBuffer(cl->queue, buffers[last], CL_TRUE, 0, run->buffers[last].bytes,
                                    run->buffers[last].memory, 0, NULL, NULL);
    } else {
        cl->clFinish(cl->queue);
    }
    for (size_t i = 0; i < run->buffer_count; i++)
        if (buffers[i])
            cl->clReleaseMemObject(buffers[i]);
    cl->clReleaseKernel(kernel);
    return code;
}
