/* OpenCL devices: enumeration, open and close, buffers, the backend's hooks. */
#include <stdio.h>
#include <string.h>
#include "opencl.h"

/* cl_khr_integer_dot_product; older headers lack them. */
#ifndef CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR
#define CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR 0x1073
#endif
#ifndef CL_DEVICE_INTEGER_DOT_PRODUCT_INPUT_4x8BIT_PACKED_KHR
#define CL_DEVICE_INTEGER_DOT_PRODUCT_INPUT_4x8BIT_PACKED_KHR (1 << 0)
#endif

/* cl_nv_device_attribute_query */
#define CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV 0x4001
#define VENDOR_AMD 0x1002

/* cl_intel_required_subgroup_size */
#define CL_DEVICE_SUB_GROUP_SIZES_INTEL 0x4108

#define MAX_PLATFORMS 32
#define MAX_DEVICES 32 /* of one platform */

/* ---- enumeration ----------------------------------------------------------------------------- */

/* The loader and its drivers start at the first call in the process, and ocl-icd with PoCL 3.1
 * gives a second thread an empty list meanwhile. The lock is the process's because the loader is.
 */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

static int find_locked(const struct ocl_api *cl, size_t index, cl_platform_id *platform,
                       cl_device_id *id, size_t *total)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    *total = 0;
    /* No platform is an error code of the loader's extension, not an empty list. */
    if (cl->clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count) != CL_SUCCESS)
        return QDOT_END;
    for (cl_uint i = 0; i < platform_count && i < MAX_PLATFORMS; i++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint count = 0;
        if (cl->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &count) !=
            CL_SUCCESS)
            continue;
        if (count > MAX_DEVICES)
            count = MAX_DEVICES;
        if (index - *total < count) {
            *platform = platforms[i];
            *id = ids[index - *total];
            return QDOT_OK;
        }
        *total += count;
    }
    return QDOT_END;
}

/* The index-th device over all platforms in the loader's order. QDOT_END past the last, *total is
 * then how many there are. */
static int find(const struct ocl_api *cl, size_t index, cl_platform_id *platform, cl_device_id *id,
                size_t *total)
{
    pthread_mutex_lock(&starting);
    const int status = find_locked(cl, index, platform, id, total);
    pthread_mutex_unlock(&starting);
    return status;
}

static void device_text(const struct ocl_api *cl, cl_device_id id, cl_device_info what, char *text,
                        size_t bytes)
{
    char full[1024] = "";
    if (cl->clGetDeviceInfo(id, what, sizeof(full), full, NULL) != CL_SUCCESS)
        full[0] = '\0';
    full[sizeof(full) - 1] = '\0';
    snprintf(text, bytes, "%s", full[0] ? full : "?");
}

static void describe_device(const struct ocl_api *cl, cl_platform_id platform, cl_device_id id,
                            struct qdot_device_info *info)
{
    cl_uint units = 0;
    cl_ulong memory = 0;
    char name[64] = "", version[64];
    device_text(cl, id, CL_DEVICE_NAME, info->description, sizeof(info->description));
    device_text(cl, id, CL_DRIVER_VERSION, version, sizeof(version));
    if (cl->clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(name) - 1, name, NULL) !=
        CL_SUCCESS)
        snprintf(name, sizeof(name), "?");
    snprintf(info->driver, sizeof(info->driver), "%s %s", name, version);
    if (cl->clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL) ==
        CL_SUCCESS)
        info->compute_units = units;
    if (cl->clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL) ==
        CL_SUCCESS)
        info->memory_bytes = memory;
    info->available = 1;
}

static int describe(size_t index, struct qdot_device_info *info, struct qdot_error *err)
{
    struct ocl_api cl;
    cl_platform_id platform;
    cl_device_id id;
    size_t total;
    (void)err;
    if (!ocl_load(&cl, info->reason, sizeof(info->reason)))
        return index == 0 ? QDOT_OK : QDOT_END;
    if (find(&cl, index, &platform, &id, &total) != QDOT_OK) {
        if (index > 0 || total > 0)
            return QDOT_END;
        snprintf(info->reason, sizeof(info->reason),
                 "no OpenCL device: install a driver (pocl-opencl-icd runs on the CPU)");
        return QDOT_OK;
    }
    describe_device(&cl, platform, id, info);
    return QDOT_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int has_extension(struct qdot_device *device, const char *name, bool *found,
                         struct qdot_error *err)
{
    const struct ocl_device *ocl = device->impl;
    const size_t length = strlen(name);
    size_t bytes = 0;
    *found = false;
    int status = ocl_check(ocl->cl.clGetDeviceInfo(ocl->id, CL_DEVICE_EXTENSIONS, 0, NULL, &bytes),
                           "clGetDeviceInfo(CL_DEVICE_EXTENSIONS)", err);
    if (status != QDOT_OK)
        return status;
    char *list = qdot_alloc(device, bytes + 1);
    if (!list)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of extensions");
    status = ocl_check(ocl->cl.clGetDeviceInfo(ocl->id, CL_DEVICE_EXTENSIONS, bytes, list, NULL),
                       "clGetDeviceInfo(CL_DEVICE_EXTENSIONS)", err);
    const char *at = list;
    for (; status == QDOT_OK && !*found && (at = strstr(at, name)) != NULL; at += length)
        *found = (at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0');
    qdot_release(device, list);
    return status;
}

/* A number of the device; 0 where it does not know the question. */
static cl_ulong number(const struct ocl_device *ocl, cl_device_info what, size_t bytes)
{
    cl_ulong value = 0; /* little-endian, as the device: query_limits */
    return ocl->cl.clGetDeviceInfo(ocl->id, what, bytes, &value, NULL) == CL_SUCCESS ? value : 0;
}

/* Intel's matrix units work with the smallest sub-groups that the device has. */
static uint32_t find_dpas(const struct ocl_device *ocl)
{
    size_t sizes[16] = {0}, least = SIZE_MAX;
    if (ocl->cl.clGetDeviceInfo(ocl->id, CL_DEVICE_SUB_GROUP_SIZES_INTEL, sizeof(sizes), sizes,
                                NULL) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i] && sizes[i] < least)
            least = sizes[i];
    return least == 8 ? OCL_DPAS8 : least == 16 ? OCL_DPAS16 : 0;
}

/* Dot products that no extension tells of: instructions that a vendor's compiler takes. */
static void find_instructions(struct qdot_device *device, bool nvidia)
{
    const struct ocl_device *ocl = device->impl;
    if (!(number(ocl, CL_DEVICE_TYPE, sizeof(cl_device_type)) & CL_DEVICE_TYPE_GPU))
        return;
    device->features |= OCL_GPU;
    if (number(ocl, CL_DEVICE_VENDOR_ID, sizeof(cl_uint)) == VENDOR_AMD)
        device->features |= OCL_AMD_DOT | OCL_AMD_MATRIX;
    const cl_ulong major = number(ocl, CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, sizeof(cl_uint));
    const cl_ulong minor = number(ocl, CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV, sizeof(cl_uint));
    if (nvidia && major * 10 + minor >= 61)
        device->features |= OCL_DP4A;
    if (nvidia && major >= 8)
        device->features |= OCL_MMA;
}

static int find_features(struct qdot_device *device, struct qdot_error *err)
{
    static const char *const names[] = {
        "cl_khr_integer_dot_product",
        "cl_arm_integer_dot_product_int8",
        "cl_qcom_dot_product8",
        "cl_nv_device_attribute_query",
        "cl_intel_subgroup_matrix_multiply_accumulate",
    };
    enum { NAMES = sizeof(names) / sizeof(names[0]) };
    struct ocl_device *ocl = device->impl;
    bool listed[NAMES];
    for (size_t i = 0; i < NAMES; i++) {
        int status = has_extension(device, names[i], &listed[i], err);
        if (status != QDOT_OK)
            return status;
    }
    /* PoCL 7.1 answers the query without the extension, others list what they lack: both are
     * asked. */
    if (listed[0] && (number(ocl, CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR, 8) &
                      CL_DEVICE_INTEGER_DOT_PRODUCT_INPUT_4x8BIT_PACKED_KHR))
        device->features |= OCL_KHR_DOT;
    device->features |= (listed[1] ? OCL_ARM_DOT : 0) | (listed[2] ? OCL_QCOM_DOT : 0);
    find_instructions(device, listed[3]);
    if (listed[4])
        device->features |= find_dpas(ocl);
#ifdef QDOT_EMULATE
    device->features |= OCL_INSTRUCTIONS;
#endif
    ocl_load_clblast(&ocl->cl);
    if (ocl->cl.sgemm)
        device->features |= OCL_CLBLAST;
    return QDOT_OK;
}

static int query_limits(struct ocl_device *ocl, struct qdot_error *err)
{
    cl_bool available = CL_FALSE, compiler = CL_FALSE, little = CL_FALSE;
    cl_device_fp_config floats = 0;
    cl_uint dimensions = 0;
    size_t items[16] = {0};
    struct {
        cl_device_info what;
        size_t bytes;
        void *value;
        const char *name;
    } const queries[] = {
#define QUERY(what, value) {what, sizeof(value), &(value), "clGetDeviceInfo(" #what ")"}
        QUERY(CL_DEVICE_AVAILABLE, available),
        QUERY(CL_DEVICE_COMPILER_AVAILABLE, compiler),
        QUERY(CL_DEVICE_ENDIAN_LITTLE, little),
        QUERY(CL_DEVICE_SINGLE_FP_CONFIG, floats),
        QUERY(CL_DEVICE_MAX_WORK_GROUP_SIZE, ocl->max_group),
        QUERY(CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, dimensions),
        QUERY(CL_DEVICE_MAX_WORK_ITEM_SIZES, items),
        QUERY(CL_DEVICE_MAX_MEM_ALLOC_SIZE, ocl->max_alloc),
        QUERY(CL_DEVICE_LOCAL_MEM_SIZE, ocl->max_local),
#undef QUERY
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        int status = ocl_check(ocl->cl.clGetDeviceInfo(ocl->id, queries[i].what, queries[i].bytes,
                                                       queries[i].value, NULL),
                               queries[i].name, err);
        if (status != QDOT_OK)
            return status;
    }
    if (!available || !compiler)
        return qdot_fail(err, QDOT_NO_DEVICE, "the device reports that %s is not available",
                         available ? "its compiler" : "it");
    ocl->max_item[0] = items[0];
    ocl->max_item[1] = dimensions > 1 ? items[1] : 1;
    ocl->flushes = !(floats & CL_FP_DENORM);
    if (!little)
        snprintf(ocl->defect, sizeof(ocl->defect), "needs a little-endian device");
    else if (!(floats & CL_FP_ROUND_TO_NEAREST))
        snprintf(ocl->defect, sizeof(ocl->defect), "needs floats that round to nearest");
    else if (ocl->max_group == 0 || ocl->max_item[0] == 0 || ocl->max_item[1] == 0)
        snprintf(ocl->defect, sizeof(ocl->defect), "the device reports work-groups of no items");
    return QDOT_OK;
}

static int begin(struct qdot_device *device, struct qdot_error *err)
{
    char reason[128];
    struct ocl_device *ocl = qdot_alloc(device, sizeof(*ocl));
    if (!ocl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    if (pthread_mutex_init(&ocl->lock, NULL)) {
        qdot_release(device, ocl);
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device's lock");
    }
    device->impl = ocl;
    if (!ocl_load(&ocl->cl, reason, sizeof(reason)))
        return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no 'opencl': %s", reason);
    return QDOT_OK;
}

static int make_queue(struct ocl_device *ocl, struct qdot_error *err)
{
    cl_int code;
    ocl->queue = ocl->cl.clCreateCommandQueue(ocl->context, ocl->id, 0, &code);
    return ocl_check(code, "clCreateCommandQueue", err);
}

static int ocl_open(struct qdot_device *device, size_t index, struct qdot_error *err)
{
    size_t total;
    cl_int code;
    int status = begin(device, err);
    if (status != QDOT_OK)
        return status;
    struct ocl_device *ocl = device->impl;
    if (find(&ocl->cl, index, &ocl->platform, &ocl->id, &total) != QDOT_OK)
        return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no 'opencl:%zu'", index);
    status = query_limits(ocl, err);
    if (status != QDOT_OK)
        return status;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)ocl->platform, 0};
    ocl->context = ocl->cl.clCreateContext(properties, 1, &ocl->id, NULL, NULL, &code);
    status = ocl_check(code, "clCreateContext", err);
    if (status == QDOT_OK)
        status = make_queue(ocl, err);
    if (status == QDOT_OK)
        status = find_features(device, err);
    return status;
}

/* A device that the enumeration does not have (a part of one) keeps the backend's bare name. */
static void name_adopted(struct qdot_device *device)
{
    const struct ocl_device *ocl = device->impl;
    cl_platform_id platform;
    cl_device_id id;
    size_t total;
    for (size_t i = 0; find(&ocl->cl, i, &platform, &id, &total) == QDOT_OK; i++)
        if (id == ocl->id)
            snprintf(device->info.name, sizeof(device->info.name), "opencl:%zu", i);
}

static int ocl_adopt(struct qdot_device *device, const void *host, struct qdot_error *err)
{
    int status = begin(device, err);
    if (status == QDOT_OK)
        status = ocl_take_handles(device, host, err);
    if (status != QDOT_OK)
        return status;
    struct ocl_device *ocl = device->impl;
    describe_device(&ocl->cl, ocl->platform, ocl->id, &device->info);
    name_adopted(device);
    status = query_limits(ocl, err);
    if (status == QDOT_OK && !ocl->queue)
        status = make_queue(ocl, err);
    if (status == QDOT_OK)
        status = find_features(device, err);
    return status;
}

static void ocl_close(struct qdot_device *device)
{
    struct ocl_device *ocl = device->impl;
    if (!ocl)
        return;
    if (ocl->queue)
        ocl->cl.clFinish(ocl->queue);
    ocl_programs_free(device);
    /* CLBlast keeps programs, and with them our context, in a cache of the process. */
    if (ocl->clblast_used)
        ocl->cl.clear_cache();
    if (ocl->queue)
        ocl->cl.clReleaseCommandQueue(ocl->queue);
    if (ocl->context)
        ocl->cl.clReleaseContext(ocl->context);
    if (ocl->retained)
        ocl->cl.clReleaseDevice(ocl->retained);
    pthread_mutex_destroy(&ocl->lock);
    qdot_release(device, ocl);
    device->impl = NULL;
}

static int ocl_sync(struct qdot_device *device, struct qdot_error *err)
{
    struct ocl_device *ocl = device->impl;
    return ocl_check(ocl->cl.clFinish(ocl->queue), "clFinish", err);
}

/* ---- buffers --------------------------------------------------------------------------------- */

static int buffer_create(struct qdot_buffer *buffer, void *host, struct qdot_error *err)
{
    struct ocl_device *ocl = buffer->device->impl;
    cl_device_type type = 0;
    cl_int code = ocl->cl.clGetDeviceInfo(ocl->id, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    int status = ocl_check(code, "clGetDeviceInfo(CL_DEVICE_TYPE)", err);
    if (status != QDOT_OK)
        return status;
    /* Other devices may work on a copy of the memory, which then is not used in place. */
    if (host && !(type & CL_DEVICE_TYPE_CPU))
        return qdot_fail(err, QDOT_UNSUPPORTED,
                         "host: only an OpenCL device that is the CPU uses host memory in place");
    if (buffer->bytes > ocl->max_alloc)
        return qdot_fail(err, QDOT_NO_MEMORY, "bytes: %zu are more than the device's %llu",
                         buffer->bytes, (unsigned long long)ocl->max_alloc);
    cl_mem memory =
        ocl->cl.clCreateBuffer(ocl->context, CL_MEM_READ_WRITE | (host ? CL_MEM_USE_HOST_PTR : 0),
                               buffer->bytes, host, &code);
    status = ocl_check(code, "clCreateBuffer", err);
    if (status == QDOT_OK)
        buffer->impl = memory;
    return status;
}

static int buffer_write(struct qdot_buffer *buffer, size_t offset, const void *memory, size_t bytes,
                        struct qdot_error *err)
{
    struct ocl_device *ocl = buffer->device->impl;
    return ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, buffer->impl, CL_TRUE,
                                                  buffer->base + offset, bytes, memory, 0, NULL,
                                                  NULL),
                     "clEnqueueWriteBuffer", err);
}

static int buffer_read(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                       struct qdot_error *err)
{
    struct ocl_device *ocl = buffer->device->impl;
    return ocl_check(ocl->cl.clEnqueueReadBuffer(ocl->queue, buffer->impl, CL_TRUE,
                                                 buffer->base + offset, bytes, memory, 0, NULL,
                                                 NULL),
                     "clEnqueueReadBuffer", err);
}

static void buffer_destroy(struct qdot_buffer *buffer)
{
    struct ocl_device *ocl = buffer->device->impl;
    if (!buffer->impl)
        return;
    ocl->cl.clFinish(ocl->queue);
    ocl->cl.clReleaseMemObject(buffer->impl);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static const struct qdot_feature features[] = {
    {OCL_DPAS16, "dpas16"},   {OCL_DPAS8, "dpas8"},       {OCL_AMD_MATRIX, "amd_matrix"},
    {OCL_MMA, "mma"},         {OCL_DP4A, "dp4a"},         {OCL_AMD_DOT, "amd_dot"},
    {OCL_ARM_DOT, "arm_dot"}, {OCL_QCOM_DOT, "qcom_dot"}, {OCL_KHR_DOT, "khr_dot"},
    {OCL_GPU, "gpu"},         {OCL_CLBLAST, "clblast"},   {0, NULL},
};

const struct qdot_backend qdot_opencl_backend = {
    .name = "opencl",
    .rows = ocl_rows,
    .row_count = OCL_ROWS,
    .features = features,
    .measures = true,
    .describe = describe,
    .open = ocl_open,
    .adopt = ocl_adopt,
    .close = ocl_close,
    .sync = ocl_sync,
    .event_wait = ocl_event_wait,
    .event_release = ocl_event_release,
    .fits = ocl_fits,
    .prepare = ocl_prepare,
    .unprepare = ocl_unprepare,
    .run = ocl_run,
    .read_packed = ocl_read_packed,
    .buffer_create = buffer_create,
    .buffer_wrap = ocl_buffer_wrap,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .buffer_destroy = buffer_destroy,
};
