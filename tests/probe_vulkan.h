/* Vulkan for checks of a device by shaders of the tests' own, independent of the library. */
#ifndef PROBE_VULKAN_H
#define PROBE_VULKAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define PROBE_VK_INSTANCE_CALLS(X)              \
    X(vkDestroyInstance)                        \
    X(vkEnumeratePhysicalDevices)               \
    X(vkGetPhysicalDeviceProperties)            \
    X(vkGetPhysicalDeviceProperties2)           \
    X(vkGetPhysicalDeviceFeatures2)             \
    X(vkGetPhysicalDeviceMemoryProperties)      \
    X(vkGetPhysicalDeviceQueueFamilyProperties) \
    X(vkEnumerateDeviceExtensionProperties)     \
    X(vkCreateDevice)                           \
    X(vkGetDeviceProcAddr)

#define PROBE_VK_DEVICE_CALLS(X)     \
    X(vkDestroyDevice)               \
    X(vkGetDeviceQueue)              \
    X(vkCreateBuffer)                \
    X(vkDestroyBuffer)               \
    X(vkGetBufferMemoryRequirements) \
    X(vkAllocateMemory)              \
    X(vkFreeMemory)                  \
    X(vkBindBufferMemory)            \
    X(vkMapMemory)                   \
    X(vkCreateShaderModule)          \
    X(vkDestroyShaderModule)         \
    X(vkCreateDescriptorSetLayout)   \
    X(vkDestroyDescriptorSetLayout)  \
    X(vkCreatePipelineLayout)        \
    X(vkDestroyPipelineLayout)       \
    X(vkCreateComputePipelines)      \
    X(vkDestroyPipeline)             \
    X(vkCreateDescriptorPool)        \
    X(vkDestroyDescriptorPool)       \
    X(vkAllocateDescriptorSets)      \
    X(vkUpdateDescriptorSets)        \
    X(vkCreateCommandPool)           \
    X(vkDestroyCommandPool)          \
    X(vkAllocateCommandBuffers)      \
    X(vkBeginCommandBuffer)          \
    X(vkEndCommandBuffer)            \
    X(vkCmdBindPipeline)             \
    X(vkCmdBindDescriptorSets)       \
    X(vkCmdPushConstants)            \
    X(vkCmdDispatch)                 \
    X(vkCmdPipelineBarrier)          \
    X(vkCreateFence)                 \
    X(vkDestroyFence)                \
    X(vkQueueSubmit)                 \
    X(vkWaitForFences)

/* What shaders may use; all that the device has is switched on. */
enum {
    PROBE_VK_INT8 = 1 << 0,
    PROBE_VK_INT16 = 1 << 1,
    PROBE_VK_INT64 = 1 << 2,
    PROBE_VK_BYTES = 1 << 3,  /* in storage buffers */
    PROBE_VK_SHORTS = 1 << 4, /* likewise */
    PROBE_VK_DOT = 1 << 5,
    PROBE_VK_FLOATS = 1 << 6, /* rounding to nearest even, and infinities kept, can be asked for */
    PROBE_VK_DENORMS = 1 << 7,
    PROBE_VK_SCALAR = 1 << 8,   /* the scalar layout of blocks */
    PROBE_VK_MATRIX = 1 << 9,   /* cooperative matrices of s8: claimed, not switched on */
    PROBE_VK_SUBGROUP = 1 << 10 /* subgroup operations in compute shaders */
};

struct probe_vk {
    PFN_vkGetInstanceProcAddr get;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family, memory_type, subgroup;
    unsigned features;
    VkPhysicalDeviceLimits limits;
    uint64_t max_allocation;
#define FIELD(name) PFN_##name name;
    PROBE_VK_INSTANCE_CALLS(FIELD)
    PROBE_VK_DEVICE_CALLS(FIELD)
#undef FIELD
};

/* The index-th device of version 1.1 with a compute queue, which is how qdot counts them. */
bool probe_vk_open(struct probe_vk *vk, size_t index, char *reason, size_t reason_bytes);
void probe_vk_close(struct probe_vk *vk);

enum { PROBE_VK_BUFFERS = 4 };

struct probe_vk_run {
    const unsigned char *spirv;
    size_t spirv_bytes;
    const uint32_t *constants; /* specialisation constants 0, 1, ... */
    uint32_t constant_count;
    struct {
        void *memory;         /* copied in, and back */
        size_t bytes, offset; /* offset: where the descriptor begins in its buffer */
    } buffers[PROBE_VK_BUFFERS];
    uint32_t buffer_count;
    const void *pushed;
    uint32_t pushed_bytes;
    uint32_t groups;
};

/* VK_SUCCESS, or the code of the call that failed and its name. */
VkResult probe_vk_run(struct probe_vk *vk, const struct probe_vk_run *run, const char **call);

#endif
