/* libOpenCL and CLBlast at run time, and the names of error codes. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "opencl.h"

static bool load(void *library, const char *name, void *pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(pointer, &symbol, sizeof(symbol)); /* C has no conversion from object to function */
    return symbol != NULL;
}

bool ocl_load(struct ocl_api *api, char *reason, size_t reason_bytes)
{
    /* A loader that the process already has, or a tool preloaded in its place (oclgrind), is also
     * the one that CLBlast finds: two at once would mix their handles. */
    const bool present = dlsym(RTLD_DEFAULT, "clGetPlatformIDs") != NULL;
    void *library =
        present ? RTLD_DEFAULT : dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    memset(api, 0, sizeof(*api));
    if (!present && !library) {
        snprintf(reason, reason_bytes, "no libOpenCL.so.1: install ocl-icd-libopencl1");
        return false;
    }
#define X(name)                                                         \
    if (!load(library, #name, &api->name)) {                            \
        snprintf(reason, reason_bytes, "libOpenCL.so.1 has no " #name); \
        return false;                                                   \
    }
    OCL_FUNCTIONS(X)
#undef X
    return true;
}

void ocl_load_clblast(struct ocl_api *api)
{
    void *library = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library || !load(library, "CLBlastSgemm", &api->sgemm) ||
        !load(library, "CLBlastClearCache", &api->clear_cache))
        api->sgemm = NULL;
}

#define CODES(X)                                    \
    X(CL_DEVICE_NOT_FOUND)                          \
    X(CL_DEVICE_NOT_AVAILABLE)                      \
    X(CL_COMPILER_NOT_AVAILABLE)                    \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE)             \
    X(CL_OUT_OF_RESOURCES)                          \
    X(CL_OUT_OF_HOST_MEMORY)                        \
    X(CL_MEM_COPY_OVERLAP)                          \
    X(CL_BUILD_PROGRAM_FAILURE)                     \
    X(CL_MISALIGNED_SUB_BUFFER_OFFSET)              \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST) \
    X(CL_INVALID_VALUE)                             \
    X(CL_INVALID_PLATFORM)                          \
    X(CL_INVALID_DEVICE)                            \
    X(CL_INVALID_CONTEXT)                           \
    X(CL_INVALID_QUEUE_PROPERTIES)                  \
    X(CL_INVALID_COMMAND_QUEUE)                     \
    X(CL_INVALID_HOST_PTR)                          \
    X(CL_INVALID_MEM_OBJECT)                        \
    X(CL_INVALID_BINARY)                            \
    X(CL_INVALID_BUILD_OPTIONS)                     \
    X(CL_INVALID_PROGRAM)                           \
    X(CL_INVALID_PROGRAM_EXECUTABLE)                \
    X(CL_INVALID_KERNEL_NAME)                       \
    X(CL_INVALID_KERNEL_DEFINITION)                 \
    X(CL_INVALID_KERNEL)                            \
    X(CL_INVALID_ARG_INDEX)                         \
    X(CL_INVALID_ARG_VALUE)                         \
    X(CL_INVALID_ARG_SIZE)                          \
    X(CL_INVALID_KERNEL_ARGS)                       \
    X(CL_INVALID_WORK_DIMENSION)                    \
    X(CL_INVALID_WORK_GROUP_SIZE)                   \
    X(CL_INVALID_WORK_ITEM_SIZE)                    \
    X(CL_INVALID_GLOBAL_OFFSET)                     \
    X(CL_INVALID_EVENT_WAIT_LIST)                   \
    X(CL_INVALID_EVENT)                             \
    X(CL_INVALID_OPERATION)                         \
    X(CL_INVALID_BUFFER_SIZE)                       \
    X(CL_INVALID_GLOBAL_WORK_SIZE)

static const char *code_name(cl_int code)
{
    switch (code) {
#define X(name) \
    case name:  \
        return #name;
        CODES(X)
#undef X
    }
    return "an unlisted code";
}

int ocl_check(cl_int code, const char *call, struct qdot_error *err)
{
    if (code == CL_SUCCESS)
        return QDOT_OK;
    const bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
                        code == CL_OUT_OF_HOST_MEMORY;
    return qdot_fail(err, memory ? QDOT_NO_MEMORY : QDOT_DEVICE_FAILED, "%s: %s (%d)", call,
                     code_name(code), (int)code);
}
