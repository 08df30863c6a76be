/*
 * qdot on a host's OpenCL: its context, device and queue as a struct qdot_device, its buffers as
 * struct qdot_buffer, its events around a run. docs/interop.md has an example.
 *
 * qdot retains what it is given and releases it when its own object is closed or destroyed; nothing
 * is destroyed that is not qdot's. It calls OpenCL through the loader that the process already has
 * (clGetPlatformIDs is there), else through libOpenCL.so.1, opened at run time: handles must be of
 * that loader, or of a driver that both loaders know, as every driver behind an ICD loader is.
 *
 * Order. Runs are commands of the adopted queue, so what the host enqueued there before is done
 * before a run, and what it enqueues later begins after: no events are needed in one queue. With
 * several queues there are the events of qdot_opencl_run. A run whose operands are all buffers waits
 * for nothing; host memory is copied by blocking commands. qdot_sync, and closing and destroying
 * devices, ops and buffers, wait for all that the queue has, the host's commands included.
 *
 * The functions work as well on OpenCL devices from qdot_open. Thread safety is as in qdot.h;
 * qdot_opencl_run is a run of its op.
 */
#ifndef QDOT_OPENCL_H
#define QDOT_OPENCL_H

#include <CL/cl.h>
#include "qdot.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qdot_opencl_desc {
    size_t size;
    cl_context context;     /* of any number of devices */
    cl_device_id device;    /* one of them, or a part of one */
    cl_command_queue queue; /* of this context and device, in order. An out-of-order queue is
                               QDOT_UNSUPPORTED: give NULL, and qdot makes a queue of its own in the
                               context, which events join to the host's */
};

/* 'desc' may be NULL; its 'device' is left NULL. Adopting the same handles twice makes two devices. */
QDOT_API int qdot_opencl_adopt(const struct qdot_opencl_desc *opencl,
                               const struct qdot_device_desc *desc, struct qdot_device **device,
                               struct qdot_error *err);

/* The part [offset_bytes, offset_bytes + bytes) of a buffer of the device's context, sub-buffers
 * included. What the host does with the memory is in its queue's order or by events; offsets of
 * a run count from offset_bytes, and 4-byte elements are aligned in the whole. CL_MEM_READ_ONLY
 * memory is for inputs only, CL_MEM_WRITE_ONLY for outputs. */
QDOT_API int qdot_opencl_buffer(struct qdot_device *device, cl_mem memory, size_t offset_bytes,
                                size_t bytes, struct qdot_buffer **buffer, struct qdot_error *err);

/* qdot_op_run that begins when the events are complete and, where 'event' is not NULL, gives one
 * that is complete when the run is: the caller's, to release; NULL on failure. Events to wait for
 * are of the device's context. With host memory among the operands the call itself waits for them. */
QDOT_API int qdot_opencl_run(struct qdot_op *op, const struct qdot_run *run, const cl_event *waits,
                             cl_uint wait_count, cl_event *event, struct qdot_error *err);

/* What an OpenCL device or buffer works with, not retained; NULL of others. A buffer that wraps a
 * part of a host's memory gives the whole. */
QDOT_API cl_context qdot_opencl_context(const struct qdot_device *device);
QDOT_API cl_device_id qdot_opencl_device(const struct qdot_device *device);
QDOT_API cl_command_queue qdot_opencl_queue(const struct qdot_device *device);
QDOT_API cl_mem qdot_opencl_memory(const struct qdot_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
