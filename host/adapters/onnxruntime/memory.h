/* Memory of a device in which the runtime keeps tensors. */
#ifndef ADAPTER_MEMORY_H
#define ADAPTER_MEMORY_H

#include "adapter.h"

/* What went between host and device, all sessions together. */
struct copies {
    uint64_t in, out, bytes_in, bytes_out; /* to the device, and from it */
};

/* One OpenCL or Vulkan device with its memory, for all sessions of the process. *out is NULL on failure. */
OrtStatus *memory_create(const OrtApi *ort, const char *device, int32_t id, struct shared *shared,
                         struct memory **out);
void memory_release(struct memory *m); /* after all that was allocated; NULL is fine */
const char *memory_name(const struct memory *m);
const OrtMemoryInfo *memory_info(const struct memory *m);
OrtAllocator *memory_allocator(struct memory *m); /* released with m */
/* The device, opened the first time; its cache directory is the first caller's. */
OrtStatus *memory_device(struct memory *m, const char *cache_dir, struct qdot_device **device);

/* What lies at this address: false where that is none of ours. */
bool memory_find(struct memory *m, const void *address, struct qdot_buffer **buffer,
                 size_t *offset);
OrtStatus *memory_write(struct memory *m, struct qdot_buffer *to, size_t offset, const void *from,
                        size_t bytes);
OrtStatus *memory_read(struct memory *m, struct qdot_buffer *from, size_t offset, void *to,
                       size_t bytes);
/* Between buffers of the device; they may not overlap. */
OrtStatus *memory_copy(struct memory *m, struct qdot_buffer *to, size_t to_offset,
                       struct qdot_buffer *from, size_t from_offset, size_t bytes);
/* The bytes 0 to 255 on the device. */
OrtStatus *memory_bytes(struct memory *m, struct qdot_buffer **bytes);
struct copies memory_copies(struct memory *m);
/* Bytes that go to the device as the host operand of an op. */
void memory_count(struct memory *m, size_t bytes);

#endif
