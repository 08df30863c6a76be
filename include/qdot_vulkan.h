/*
 * qdot on a host's Vulkan: its device and queue as a struct qdot_device, its buffers as struct
 * qdot_buffer; runs recorded into its command buffers, or submitted between its semaphores.
 * docs/interop.md has an example.
 *
 * Nothing is destroyed that is not qdot's. The host's handles outlive the qdot objects made of them:
 * instance and device until qdot_close, a VkBuffer until its qdot_buffer_destroy. qdot allocates
 * memory, pipelines, descriptor pools, fences and command pools of its own from the device.
 *
 * Order. qdot submits to the adopted queue in the order of the calls, but holds small runs back
 * (qdot.h): qdot_flush, before the host submits what comes after them, unless semaphores of
 * qdot_vulkan_run say so. Each run begins with a barrier after all that is before it in the queue,
 * so that it sees what the host's command buffers there wrote. Behind a run qdot has none: what the
 * host submits or records after it needs a barrier from VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT and
 * VK_ACCESS_SHADER_WRITE_BIT (of the output; of scale_out and zero_out TRANSFER), or a semaphore.
 *
 * An op's workspace is one: all its runs, recorded ones included, execute in one queue, or one after
 * the other by semaphores. qdot_sync and all that waits in qdot.h wait for runs that qdot submitted,
 * not for those that the host did.
 *
 * Thread safety is as in qdot.h; qdot_vulkan_run and qdot_vulkan_record are runs of their op.
 */
#ifndef QDOT_VULKAN_H
#define QDOT_VULKAN_H

#include <vulkan/vulkan_core.h>
#include "qdot.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qdot_vulkan_desc {
    size_t size;
    /* What qdot_vulkan_needs asks about. */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr; /* NULL: that of libvulkan.so.1 */
    VkInstance instance;
    uint32_t api_version; /* of the instance's VkApplicationInfo; at least VK_API_VERSION_1_1 */
    VkPhysicalDevice physical;
    /* What qdot_vulkan_adopt needs besides. */
    VkDevice device;
    const char *const *extensions; /* enabled on the device, as in its VkDeviceCreateInfo, */
    uint32_t extension_count;      /* which is all that qdot believes of it */
    const void *features;          /* its pNext chain; NULL: no features */
    uint32_t queue_family;         /* of 'queue'; computes */
    VkQueue queue;
    /* Called around each use of the queue, which any call but qdot_vulkan_record may make; the host
     * does not hold its lock when it calls qdot. NULL: the host itself keeps its uses of the queue
     * apart from qdot's calls. */
    void *lock_ctx;
    void (*lock_queue)(void *ctx);
    void (*unlock_queue)(void *ctx);
};

/* What to create a device with. Nothing is required beyond version 1.1 and a queue that computes;
 * what is optional makes more and faster rows, and is listed as far as the device has it. The chain
 * lies in the structure itself, which is not to be moved or copied while it is used. A host that has
 * structures for several features in one (VkPhysicalDeviceVulkan12Features) sets the same members
 * there instead: qdot_vulkan_adopt finds them in either. */
struct qdot_vulkan_needs {
    size_t size;
    uint32_t api_version; /* least of instance and device */
    uint32_t required_count, optional_count;
    const char *required[8], *optional[8]; /* device extensions */
    VkPhysicalDeviceFeatures2 features;    /* for the pNext of VkDeviceCreateInfo; optional */
    uint64_t memory[64];                   /* of the chain */
};
QDOT_API int qdot_vulkan_needs(const struct qdot_vulkan_desc *host, struct qdot_vulkan_needs *needs,
                               struct qdot_error *err);

/* 'desc' may be NULL; its 'device' is left NULL. */
QDOT_API int qdot_vulkan_adopt(const struct qdot_vulkan_desc *host,
                               const struct qdot_device_desc *desc, struct qdot_device **device,
                               struct qdot_error *err);

/* The part [offset_bytes, offset_bytes + bytes) of a buffer of the device, bound to memory, made with
 * VK_BUFFER_USAGE_STORAGE_BUFFER_BIT; for a_zero, row_scale, scale, zero and qdot_buffer_read also with
 * TRANSFER_SRC, for scale_out, zero_out and qdot_buffer_write with TRANSFER_DST; of the queue's family, or shared with it.
 * Shaders see whole words: the word in which the part ends is to lie in the VkBuffer, and bytes
 * beside the part keep their values but must not be written at the same time. Any offset will do
 * (minStorageBufferOffsetAlignment is qdot's concern); 4-byte elements are aligned in the whole. */
QDOT_API int qdot_vulkan_buffer(struct qdot_device *device, VkBuffer handle, size_t offset_bytes,
                                size_t bytes, struct qdot_buffer **buffer, struct qdot_error *err);

/* A run into a command buffer of the host, primary or secondary, in recording state and outside of
 * render passes; all operands are buffers, no events. First comes a barrier: everything before it in
 * the queue is done and visible. The state of the compute bind point, descriptor set 0 and push
 * constants are lost. Fails before anything is recorded, or not at all.
 *
 * The recording holds the run's descriptors: destroy it when the command buffer will not be executed
 * any more, and before op and buffers. One command buffer may be submitted many times, an op recorded
 * many times, also in one command buffer. destroy takes NULL. */
struct qdot_vulkan_recording;
QDOT_API int qdot_vulkan_record(struct qdot_op *op, const struct qdot_run *run,
                                VkCommandBuffer commands, struct qdot_vulkan_recording **recording,
                                struct qdot_error *err);
QDOT_API void qdot_vulkan_recording_destroy(struct qdot_vulkan_recording *recording);

/* A value of a timeline semaphore; of a binary one the value is ignored. */
struct qdot_vulkan_point {
    VkSemaphore semaphore;
    uint64_t value;
};

/* qdot_op_run, submitted at once: begins when each of the waits is reached, and signals when it is
 * done; at most 16 of each. Timeline semaphores need the feature enabled. With host memory as the
 * output the call itself waits. */
QDOT_API int qdot_vulkan_run(struct qdot_op *op, const struct qdot_run *run,
                             const struct qdot_vulkan_point *waits, uint32_t wait_count,
                             const struct qdot_vulkan_point *signals, uint32_t signal_count,
                             struct qdot_error *err);

/* The buffer under a buffer, of a host's the whole; VK_NULL_HANDLE of other backends. */
QDOT_API VkBuffer qdot_vulkan_handle(const struct qdot_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
