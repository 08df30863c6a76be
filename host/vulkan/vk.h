/*
 * The Vulkan backend. (Not called vulkan.h: host/ is on the include path, before the real one.)
 *
 *   loader.c    libvulkan, opened at run time; names of result codes
 *   device.c    enumeration, open and close, buffers; the backend's table of hooks
 *   memory.c    buffers and their memory; copies between host and device
 *   pipeline.c  shader modules to pipelines, their cache
 *   plan.c      rows; sizes of one op, limits of a device
 *   gemm.c      prepare and run
 */
#ifndef QDOT_VULKAN_INTERNAL_H
#define QDOT_VULKAN_INTERNAL_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>
#include "internal.h"

/* ---- loader.c -------------------------------------------------------------------------------- */

#define VK_INSTANCE_FUNCTIONS(X)                \
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

#define VK_DEVICE_FUNCTIONS(X)        \
    X(vkDestroyDevice)                \
    X(vkGetDeviceQueue)               \
    X(vkQueueSubmit)                  \
    X(vkQueueWaitIdle)                \
    X(vkCreateBuffer)                 \
    X(vkDestroyBuffer)                \
    X(vkGetBufferMemoryRequirements)  \
    X(vkAllocateMemory)               \
    X(vkFreeMemory)                   \
    X(vkBindBufferMemory)             \
    X(vkMapMemory)                    \
    X(vkFlushMappedMemoryRanges)      \
    X(vkInvalidateMappedMemoryRanges) \
    X(vkCreateFence)                  \
    X(vkDestroyFence)                 \
    X(vkResetFences)                  \
    X(vkWaitForFences)                \
    X(vkCreateCommandPool)            \
    X(vkDestroyCommandPool)           \
    X(vkAllocateCommandBuffers)       \
    X(vkBeginCommandBuffer)           \
    X(vkEndCommandBuffer)             \
    X(vkCmdBindPipeline)              \
    X(vkCmdBindDescriptorSets)        \
    X(vkCmdPushConstants)             \
    X(vkCmdDispatch)                  \
    X(vkCmdCopyBuffer)                \
    X(vkCmdPipelineBarrier)           \
    X(vkCreateShaderModule)           \
    X(vkDestroyShaderModule)          \
    X(vkCreatePipelineCache)          \
    X(vkDestroyPipelineCache)         \
    X(vkGetPipelineCacheData)         \
    X(vkCreatePipelineLayout)         \
    X(vkDestroyPipelineLayout)        \
    X(vkCreateComputePipelines)       \
    X(vkDestroyPipeline)              \
    X(vkCreateDescriptorSetLayout)    \
    X(vkDestroyDescriptorSetLayout)   \
    X(vkCreateDescriptorPool)         \
    X(vkDestroyDescriptorPool)        \
    X(vkAllocateDescriptorSets)       \
    X(vkUpdateDescriptorSets)

struct vk_api {
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr;
#define X(name) PFN_##name name;
    VK_INSTANCE_FUNCTIONS(X)
    VK_DEVICE_FUNCTIONS(X)
#undef X
};

/* An instance and the functions of it; false and a reason when there is none. The library stays
 * loaded: drivers leave threads and thread-local data behind. */
bool vk_load(struct vk_api *api, VkInstance *instance, char *reason, size_t reason_bytes);
/* The functions of a device, false and the name of one that is missing. */
bool vk_load_device(struct vk_api *api, VkDevice device, const char **missing);
/* QDOT_OK for VK_SUCCESS; else err names the call and its code. */
int vk_check(VkResult code, const char *call, struct qdot_error *err);

/* ---- device.c -------------------------------------------------------------------------------- */

enum { VK_INT_DOT = 1 };

/* A command buffer, its pool and the fence of its submission. */
struct vk_commands {
    VkCommandPool pool;
    VkCommandBuffer buffer;
    VkFence fence;
    bool pending; /* submitted and not waited for */
};

struct vk_memory {
    VkDeviceMemory handle;
    void *mapped; /* NULL: not visible to the host */
    bool coherent;
};

struct vk_staging {
    struct vk_commands commands;
    struct vk_memory memory;
    VkBuffer buffer;
};

struct vk_pipeline;

struct vk_device {
    struct vk_api vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t family;
    VkQueue queue;
    pthread_mutex_t queue_lock;
    VkPhysicalDeviceLimits limits;
    VkPhysicalDeviceMemoryProperties memories;
    uint64_t max_alloc;
    struct vk_staging staging;
    pthread_mutex_t staging_lock;
    pthread_mutex_t pipeline_lock; /* pipelines, and the cache while they are built */
    struct vk_pipeline *pipelines;
    VkPipelineCache cache;
    uint64_t cache_hash; /* of what was read */
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
};

int vk_commands_create(struct qdot_device *device, struct vk_commands *commands,
                       struct qdot_error *err);
void vk_commands_destroy(struct qdot_device *device, struct vk_commands *commands);
/* Waits for the last submission, begins recording after everything that the queue has. */
int vk_commands_begin(struct qdot_device *device, struct vk_commands *commands,
                      struct qdot_error *err);
int vk_commands_submit(struct qdot_device *device, struct vk_commands *commands,
                       struct qdot_error *err);
int vk_commands_wait(struct qdot_device *device, struct vk_commands *commands,
                     struct qdot_error *err);
/* Everything written before is seen by everything after, the host included if 'host'. */
void vk_barrier(const struct vk_device *vkd, VkCommandBuffer buffer, bool host);
VkBuffer vk_handle(const struct qdot_buffer *buffer);

/* ---- memory.c -------------------------------------------------------------------------------- */

enum vk_kind { VK_KIND_DEVICE, VK_KIND_HOST };

/* Of at least 'bytes', whole words. */
int vk_buffer_create(struct qdot_device *device, size_t bytes, VkBuffer *buffer,
                     struct qdot_error *err);
/* One allocation under all buffers that are not NULL; offsets are where they lie in it. */
int vk_memory_create(struct qdot_device *device, enum vk_kind kind, const VkBuffer *buffers,
                     size_t count, size_t *offsets, struct vk_memory *memory,
                     struct qdot_error *err);
void vk_memory_destroy(struct qdot_device *device, struct vk_memory *memory);
/* What the host wrote is there for the device, and the other way round. */
int vk_memory_flush(struct qdot_device *device, const struct vk_memory *memory,
                    struct qdot_error *err);
int vk_memory_invalidate(struct qdot_device *device, const struct vk_memory *memory,
                         struct qdot_error *err);
/* Copies after everything that the queue has, and waits. */
int vk_upload(struct qdot_device *device, VkBuffer buffer, size_t offset, const void *memory,
              size_t bytes, struct qdot_error *err);
int vk_download(struct qdot_device *device, VkBuffer buffer, size_t offset, void *memory,
                size_t bytes, struct qdot_error *err);
void vk_staging_destroy(struct qdot_device *device);

/* ---- pipeline.c ------------------------------------------------------------------------------ */

#define VK_BINDINGS 4 /* what any device of Vulkan has a stage; shaders/interface.glsl */
#define VK_PUSH_BYTES 64

enum vk_shader {
    VK_SHADER_GEMM,
    VK_SHADER_GEMM_INT_DOT,
    VK_SHADER_PACK,
    VK_SHADER_SUMS,
    VK_SHADER_FOLD
};

int vk_pipelines_open(struct qdot_device *device, struct qdot_error *err);
void vk_pipelines_close(struct qdot_device *device);
/* The pipeline of a shader, a work-group and specialisation constant 2, built once a device. */
int vk_pipeline(struct qdot_device *device, enum vk_shader shader, uint32_t local_x,
                uint32_t local_y, uint32_t constant, VkPipeline *pipeline, struct qdot_error *err);

/* ---- plan.c ---------------------------------------------------------------------------------- */

struct vk_row {
    enum vk_shader shader;
};

/* Buffers of an op, in bytes; 0: not needed. */
enum vk_buffer {
    VK_A, /* packed */
    VK_B, /* packed */
    VK_TERMS,
    VK_FIRST_HOST,
    VK_A_IN = VK_FIRST_HOST, /* operands of a run given as host memory */
    VK_B_IN,
    VK_ROWS_IN, /* zero points, then factors of rows */
    VK_OUT,
    VK_BUFFERS
};

/* Arrays of VK_TERMS: shaders/interface.glsl. */
enum { TERM_BIAS, TERM_B_NEG, TERM_COL_SUM, TERM_SCALE, TERM_BIAS_F, TERM_BIAS_GIVEN, TERMS };
enum { ROW_SUM, ROW_A_ZERO, ROW_SCALE, ROW_ARRAYS };

struct vk_plan {
    size_t terms_ld;           /* n_pad */
    size_t a_ld, b_ld, out_ld; /* in VK_A_IN, VK_B_IN, VK_OUT: rows begin at whole words */
    size_t bytes[VK_BUFFERS];
};

enum { VK_ROWS = 2 };
extern const struct qdot_row vk_rows[VK_ROWS];

bool vk_plan(const struct qdot_row *row, const struct qdot_problem *p, struct vk_plan *plan);
bool vk_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
             char *reason, size_t reason_bytes);

/* ---- gemm.c ---------------------------------------------------------------------------------- */

int vk_prepare(struct qdot_op *op, struct qdot_error *err);
void vk_unprepare(struct qdot_op *op);
int vk_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
int vk_read_packed(struct qdot_op *op, void *panels, int32_t *col_sum, struct qdot_error *err);

#endif
