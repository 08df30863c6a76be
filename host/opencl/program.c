/* Kernel texts to programs: one a device and set of options, binaries kept in the cache. */
#include <stdio.h>
#include <string.h>
#include "opencl.h"

/* Everything that a binary depends on. */
static void make_key(struct ocl_device *ocl, const struct ocl_source *source, const char *options,
                     char *key, size_t bytes)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < source->count; i++)
        hash = qdot_hash(source->text[i], source->bytes[i], hash);
    int used = snprintf(key, bytes, "opencl\n%s\n%s\n%016llx\n", qdot_version(), options,
                        (unsigned long long)hash);
    const cl_platform_info platform[] = {CL_PLATFORM_NAME, CL_PLATFORM_VERSION};
    const cl_device_info device[] = {CL_DEVICE_NAME, CL_DEVICE_VERSION, CL_DRIVER_VERSION};
    for (size_t i = 0; i < 5; i++) {
        char text[256] = "";
        const cl_int code =
            i < 2 ? ocl->cl.clGetPlatformInfo(ocl->platform, platform[i], sizeof(text), text, NULL)
                  : ocl->cl.clGetDeviceInfo(ocl->id, device[i - 2], sizeof(text), text, NULL);
        if (code == CL_SUCCESS && used >= 0 && (size_t)used < bytes)
            used += snprintf(key + used, bytes - (size_t)used, "%.255s\n", text);
    }
}

/* The first line of the log, which is the compiler's first complaint. */
static int build_failed(struct qdot_device *device, cl_program program, cl_int code,
                        const char *options, struct qdot_error *err)
{
    struct ocl_device *ocl = device->impl;
    size_t bytes = 0;
    char *log = NULL;
    const char *line = "no log";
    if (ocl->cl.clGetProgramBuildInfo(program, ocl->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) ==
        CL_SUCCESS)
        log = qdot_alloc(device, bytes + 1);
    if (log && ocl->cl.clGetProgramBuildInfo(program, ocl->id, CL_PROGRAM_BUILD_LOG, bytes, log,
                                             NULL) == CL_SUCCESS) {
        line = log + strspn(log, " \r\n");
        log[line - log + (ptrdiff_t)strcspn(line, "\r\n")] = '\0';
    }
    int status = ocl_check(code, "clBuildProgram", err);
    qdot_fail(err, status, "clBuildProgram (%d) with %s: %.300s", (int)code, options, line);
    qdot_release(device, log);
    return status;
}

/* From a kept binary; NULL when there is none or the driver refuses it. */
static cl_program from_binary(struct qdot_device *device, const char *key, const char *options)
{
    struct ocl_device *ocl = device->impl;
    void *data;
    size_t bytes;
    cl_int code, loaded;
    if (!qdot_cache_read(device, key, &data, &bytes))
        return NULL;
    const unsigned char *binary = data;
    cl_program program = ocl->cl.clCreateProgramWithBinary(ocl->context, 1, &ocl->id, &bytes,
                                                           &binary, &loaded, &code);
    qdot_release(device, data);
    if (code != CL_SUCCESS)
        return NULL;
    if (loaded != CL_SUCCESS ||
        ocl->cl.clBuildProgram(program, 1, &ocl->id, options, NULL, NULL) != CL_SUCCESS) {
        ocl->cl.clReleaseProgram(program);
        return NULL;
    }
    return program;
}

static void keep_binary(struct qdot_device *device, cl_program program, const char *key)
{
    struct ocl_device *ocl = device->impl;
    size_t bytes = 0;
    if (!device->cache_dir ||
        ocl->cl.clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(bytes), &bytes, NULL) !=
            CL_SUCCESS ||
        bytes == 0)
        return;
    unsigned char *binary = qdot_alloc(device, bytes);
    if (binary && ocl->cl.clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary,
                                           NULL) == CL_SUCCESS)
        qdot_cache_write(device, key, binary, bytes);
    qdot_release(device, binary);
}

static int build(struct qdot_device *device, const struct qdot_row *row, const char *options,
                 cl_program *program, struct qdot_error *err)
{
    struct ocl_device *ocl = device->impl;
    struct ocl_source source = ocl_source(row);
    char key[1536];
    cl_int code;
    make_key(ocl, &source, options, key, sizeof(key));
    *program = from_binary(device, key, options);
    if (*program)
        return QDOT_OK;
    *program = ocl->cl.clCreateProgramWithSource(ocl->context, source.count, source.text,
                                                 source.bytes, &code);
    int status = ocl_check(code, "clCreateProgramWithSource", err);
    if (status != QDOT_OK)
        return status;
    code = ocl->cl.clBuildProgram(*program, 1, &ocl->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        status = build_failed(device, *program, code, options, err);
        ocl->cl.clReleaseProgram(*program);
        return status;
    }
    keep_binary(device, *program, key);
    return QDOT_OK;
}

int ocl_program(struct qdot_device *device, const struct qdot_row *row, enum qdot_type out_type,
                enum qdot_rounding rounding, cl_program *program, struct qdot_error *err)
{
    struct ocl_device *ocl = device->impl;
    char options[OCL_OPTIONS];
    ocl_options(row, out_type, rounding, ocl->flushes, options);
    int status = QDOT_OK;
    pthread_mutex_lock(&ocl->lock);
    struct ocl_program *entry = ocl->programs;
    while (entry &&
           (entry->row != row || entry->out_type != out_type || entry->rounding != rounding))
        entry = entry->next;
    if (!entry) {
        entry = qdot_alloc(device, sizeof(*entry));
        status = entry ? build(device, row, options, &entry->program, err)
                       : qdot_fail(err, QDOT_NO_MEMORY, "no memory for the program");
        if (status == QDOT_OK) {
            entry->row = row;
            entry->out_type = out_type;
            entry->rounding = rounding;
            entry->next = ocl->programs;
            ocl->programs = entry;
        } else {
            qdot_release(device, entry);
        }
    }
    if (status == QDOT_OK)
        *program = entry->program;
    pthread_mutex_unlock(&ocl->lock);
    return status;
}

void ocl_programs_free(struct qdot_device *device)
{
    struct ocl_device *ocl = device->impl;
    while (ocl->programs) {
        struct ocl_program *entry = ocl->programs;
        ocl->programs = entry->next;
        ocl->cl.clReleaseProgram(entry->program);
        qdot_release(device, entry);
    }
}
