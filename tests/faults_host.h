/* A host runtime for tests/faults.c: handles that it made past the fault layer, so that only qdot's
 * calls are counted and fail. It lives as long as the process. */
#ifndef FAULTS_HOST_H
#define FAULTS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include "qdot.h"

bool host_open(const char *device); /* "opencl:0", "vulkan:0": the first of that kind */
int host_adopt(const struct qdot_device_desc *desc, struct qdot_device **device,
               struct qdot_error *err);
/* One of two buffers of the host. */
int host_wrap(struct qdot_device *device, size_t which, size_t bytes, struct qdot_buffer **buffer,
              struct qdot_error *err);
/* By the host's events, or in its command buffer and by its semaphore; done on return. */
int host_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);

#endif
