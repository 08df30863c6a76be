/* qdot_opencl.h: a host's context, queue, buffers and events. */
#include <string.h>
#include "opencl.h"
#include "qdot_opencl.h"

/* ---- devices --------------------------------------------------------------------------------- */

/* Is the device one of the context's? */
static int check_context(struct qdot_device *device, cl_context context, cl_device_id id,
                         struct qdot_error *err)
{
    const struct ocl_device *ocl = device->impl;
    size_t bytes = 0;
    bool found = false;
    int status = ocl_check(ocl->cl.clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &bytes),
                           "clGetContextInfo(CL_CONTEXT_DEVICES)", err);
    if (status != QDOT_OK)
        return status;
    cl_device_id *ids = qdot_alloc(device, bytes);
    if (!ids)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of the context's devices");
    status = ocl_check(ocl->cl.clGetContextInfo(context, CL_CONTEXT_DEVICES, bytes, ids, NULL),
                       "clGetContextInfo(CL_CONTEXT_DEVICES)", err);
    for (size_t i = 0; i < bytes / sizeof(*ids) && status == QDOT_OK; i++)
        found = found || ids[i] == id;
    qdot_release(device, ids);
    if (status == QDOT_OK && !found)
        return qdot_fail(err, QDOT_INVALID, "device: expected a device of the context");
    return status;
}

static int check_queue(const struct ocl_device *ocl, const struct qdot_opencl_desc *host,
                       struct qdot_error *err)
{
    cl_context context = NULL;
    cl_device_id id = NULL;
    cl_command_queue_properties properties = 0;
    const struct {
        cl_command_queue_info what;
        size_t bytes;
        void *value;
        const char *call;
    } queries[] = {
        {CL_QUEUE_CONTEXT, sizeof(context), &context, "clGetCommandQueueInfo(CL_QUEUE_CONTEXT)"},
        {CL_QUEUE_DEVICE, sizeof(id), &id, "clGetCommandQueueInfo(CL_QUEUE_DEVICE)"},
        {CL_QUEUE_PROPERTIES, sizeof(properties), &properties,
         "clGetCommandQueueInfo(CL_QUEUE_PROPERTIES)"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        const int status =
            ocl_check(ocl->cl.clGetCommandQueueInfo(host->queue, queries[i].what, queries[i].bytes,
                                                    queries[i].value, NULL),
                      queries[i].call, err);
        if (status != QDOT_OK)
            return status;
    }
    if (context != host->context || id != host->device)
        return qdot_fail(err, QDOT_INVALID, "queue: expected one of the context and device");
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return qdot_fail(err, QDOT_UNSUPPORTED,
                         "queue: expected one in order; with NULL qdot makes its own");
    return QDOT_OK;
}

int ocl_take_handles(struct qdot_device *device, const void *host, struct qdot_error *err)
{
    const struct qdot_opencl_desc *given = host;
    struct ocl_device *ocl = device->impl;
    int status = check_context(device, given->context, given->device, err);
    if (status == QDOT_OK && given->queue)
        status = check_queue(ocl, given, err);
    if (status == QDOT_OK)
        status = ocl_check(ocl->cl.clGetDeviceInfo(given->device, CL_DEVICE_PLATFORM,
                                                   sizeof(ocl->platform), &ocl->platform, NULL),
                           "clGetDeviceInfo(CL_DEVICE_PLATFORM)", err);
    if (status != QDOT_OK)
        return status;
    ocl->id = given->device;
    status = ocl_check(ocl->cl.clRetainDevice(given->device), "clRetainDevice", err);
    if (status != QDOT_OK)
        return status;
    ocl->retained = given->device;
    status = ocl_check(ocl->cl.clRetainContext(given->context), "clRetainContext", err);
    if (status != QDOT_OK)
        return status;
    ocl->context = given->context;
    if (given->queue)
        status = ocl_check(ocl->cl.clRetainCommandQueue(given->queue), "clRetainCommandQueue", err);
    if (status == QDOT_OK)
        ocl->queue = given->queue;
    return status;
}

int qdot_opencl_adopt(const struct qdot_opencl_desc *opencl, const struct qdot_device_desc *desc,
                      struct qdot_device **device, struct qdot_error *err)
{
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected a pointer, got NULL");
    *device = NULL;
    if (!opencl)
        return qdot_fail(err, QDOT_INVALID, "opencl: expected handles, got NULL");
    if (opencl->size != 0 && opencl->size != sizeof(*opencl))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*opencl),
                         opencl->size);
    if (!opencl->context || !opencl->device)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a handle, got NULL",
                         opencl->context ? "device" : "context");
    return qdot_adopt(&qdot_opencl_backend, opencl, desc, device, err);
}

/* ---- buffers --------------------------------------------------------------------------------- */

int ocl_buffer_wrap(struct qdot_buffer *buffer, void *handle, struct qdot_error *err)
{
    const struct ocl_device *ocl = buffer->device->impl;
    cl_context context = NULL;
    cl_mem_object_type type = 0;
    cl_mem_flags flags = 0;
    size_t bytes = 0;
    const struct {
        cl_mem_info what;
        size_t bytes;
        void *value;
        const char *call;
    } queries[] = {
        {CL_MEM_CONTEXT, sizeof(context), &context, "clGetMemObjectInfo(CL_MEM_CONTEXT)"},
        {CL_MEM_TYPE, sizeof(type), &type, "clGetMemObjectInfo(CL_MEM_TYPE)"},
        {CL_MEM_FLAGS, sizeof(flags), &flags, "clGetMemObjectInfo(CL_MEM_FLAGS)"},
        {CL_MEM_SIZE, sizeof(bytes), &bytes, "clGetMemObjectInfo(CL_MEM_SIZE)"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        const int status =
            ocl_check(ocl->cl.clGetMemObjectInfo(handle, queries[i].what, queries[i].bytes,
                                                 queries[i].value, NULL),
                      queries[i].call, err);
        if (status != QDOT_OK)
            return status;
    }
    if (context != ocl->context)
        return qdot_fail(err, QDOT_INVALID, "memory: expected a buffer of the device's context");
    if (type != CL_MEM_OBJECT_BUFFER)
        return qdot_fail(err, QDOT_INVALID, "memory: expected a buffer, got an image or a pipe");
    if (buffer->base > bytes || buffer->bytes > bytes - buffer->base)
        return qdot_fail(err, QDOT_INVALID,
                         "offset_bytes, bytes: %zu + %zu goes past the memory's %zu bytes",
                         buffer->base, buffer->bytes, bytes);
    buffer->read_only = flags & CL_MEM_READ_ONLY;
    buffer->write_only = flags & CL_MEM_WRITE_ONLY;
    const int status = ocl_check(ocl->cl.clRetainMemObject(handle), "clRetainMemObject", err);
    if (status == QDOT_OK)
        buffer->impl = handle;
    return status;
}

int qdot_opencl_buffer(struct qdot_device *device, cl_mem memory, size_t offset_bytes, size_t bytes,
                       struct qdot_buffer **buffer, struct qdot_error *err)
{
    return qdot_buffer_wrap(device, &qdot_opencl_backend, "memory", memory, offset_bytes, bytes,
                            buffer, err);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static int wait_for(const struct ocl_device *ocl, const cl_event *waits, cl_uint count,
                    struct qdot_error *err)
{
    const cl_int code = ocl->cl.clEnqueueBarrierWithWaitList(ocl->queue, count, waits, NULL);
    if (code == CL_INVALID_CONTEXT || code == CL_INVALID_EVENT_WAIT_LIST)
        return qdot_fail(err, QDOT_INVALID,
                         "waits: expected events of the device's context (code %d)", (int)code);
    return ocl_check(code, "clEnqueueBarrierWithWaitList", err);
}

int qdot_opencl_run(struct qdot_op *op, const struct qdot_run *run, const cl_event *waits,
                    cl_uint wait_count, cl_event *event, struct qdot_error *err)
{
    struct qdot_run full;
    if (event)
        *event = NULL;
    if (op && op->device->backend != &qdot_opencl_backend)
        return qdot_fail(err, QDOT_INVALID, "op: expected one of an OpenCL device, got %s",
                         op->name);
    if (!waits != !wait_count)
        return qdot_fail(err, QDOT_INVALID, "waits: expected wait_count = %u events, got %s",
                         wait_count, waits ? "a pointer" : "NULL");
    int status = qdot_check_run(op, run, &full, err);
    if (status != QDOT_OK)
        return status;
    const struct ocl_device *ocl = op->device->impl;
    if (wait_count)
        status = wait_for(ocl, waits, wait_count, err);
    if (status == QDOT_OK)
        status = ocl_run(op, &full, err);
    if (status == QDOT_OK && event)
        status = ocl_mark(ocl, event, err);
    if (status == QDOT_OK && event)
        status = ocl_check(ocl->cl.clFlush(ocl->queue), "clFlush", err);
    if (status != QDOT_OK && event && *event) {
        ocl->cl.clReleaseEvent(*event);
        *event = NULL;
    }
    return status;
}

/* ---- handles --------------------------------------------------------------------------------- */

static const struct ocl_device *opencl_of(const struct qdot_device *device)
{
    return device && device->backend == &qdot_opencl_backend ? device->impl : NULL;
}

cl_context qdot_opencl_context(const struct qdot_device *device)
{
    const struct ocl_device *ocl = opencl_of(device);
    return ocl ? ocl->context : NULL;
}

cl_device_id qdot_opencl_device(const struct qdot_device *device)
{
    const struct ocl_device *ocl = opencl_of(device);
    return ocl ? ocl->id : NULL;
}

cl_command_queue qdot_opencl_queue(const struct qdot_device *device)
{
    const struct ocl_device *ocl = opencl_of(device);
    return ocl ? ocl->queue : NULL;
}

cl_mem qdot_opencl_memory(const struct qdot_buffer *buffer)
{
    return buffer && opencl_of(buffer->device) ? buffer->impl : NULL;
}
