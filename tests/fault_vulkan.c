/* The functions of Vulkan that the library calls, before those of the loader. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
#include "fault_layer.h"

/* What a failed creation leaves where the handle would be: not to be used. */
#define POISON ((uint64_t)0x5a5a5a5a5a5a5a50u)

/* The function behind ours; the loader's own exports find the device that a handle belongs to. */
static void *find(const char *name)
{
    void *library = dlopen(FAULT_LIBVULKAN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!symbol) {
        fprintf(stderr, "fault layer: no %s in " FAULT_LIBVULKAN "\n", name);
        abort();
    }
    return symbol;
}

#define REAL(name)                                  \
    static PFN_##name real;                         \
    static pthread_once_t once = PTHREAD_ONCE_INIT; \
    pthread_once(&once, find_##name);               \
    memcpy(&real, &found_##name, sizeof(real));
#define FINDER(name)                \
    static void *found_##name;      \
    static void find_##name(void)   \
    {                               \
        found_##name = find(#name); \
    }

#define OBJECT(handle) ((const void *)(uintptr_t)(handle))

/* The n-th does nothing, but for waits, which have been done even where they say not. */
#define CALL(name, parameters, arguments)                                  \
    FINDER(name)                                                           \
    static VKAPI_ATTR VkResult VKAPI_CALL our_##name parameters            \
    {                                                                      \
        int code;                                                          \
        REAL(name)                                                         \
        return fault_here(#name, &code) ? (VkResult)code : real arguments; \
    }
#define CREATE(name, type, parameters, arguments)               \
    FINDER(name)                                                \
    static VKAPI_ATTR VkResult VKAPI_CALL our_##name parameters \
    {                                                           \
        int code;                                               \
        REAL(name)                                              \
        if (fault_here(#name, &code)) {                         \
            *made = (type)(uintptr_t)POISON;                    \
            return (VkResult)code;                              \
        }                                                       \
        const VkResult truth = real arguments;                  \
        if (truth == VK_SUCCESS)                                \
            fault_add(OBJECT(*made), #name);                    \
        return truth;                                           \
    }
#define DESTROY(name, type)                                                              \
    FINDER(name)                                                                         \
    static VKAPI_ATTR void VKAPI_CALL our_##name(VkDevice device, type object,           \
                                                 const VkAllocationCallbacks *allocator) \
    {                                                                                    \
        REAL(name)                                                                       \
        if (object != VK_NULL_HANDLE)                                                    \
            fault_remove(OBJECT(object));                                                \
        real(device, object, allocator);                                                 \
    }
#define MAKER(name, type)                                        \
    CREATE(vkCreate##name, type,                                 \
           (VkDevice device, const Vk##name##CreateInfo *info,   \
            const VkAllocationCallbacks *allocator, type *made), \
           (device, info, allocator, made))                      \
    DESTROY(vkDestroy##name, type)

/* ---- instances and devices ------------------------------------------------------------------- */

CREATE(vkCreateInstance, VkInstance,
       (const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *made),
       (info, allocator, made))
FINDER(vkDestroyInstance)
static VKAPI_ATTR void VKAPI_CALL our_vkDestroyInstance(VkInstance instance,
                                                        const VkAllocationCallbacks *allocator)
{
    REAL(vkDestroyInstance)
    fault_remove(instance);
    real(instance, allocator);
}
CALL(vkEnumeratePhysicalDevices, (VkInstance instance, uint32_t *count, VkPhysicalDevice *list),
     (instance, count, list))
CALL(vkEnumerateDeviceExtensionProperties,
     (VkPhysicalDevice physical, const char *layer, uint32_t *count, VkExtensionProperties *list),
     (physical, layer, count, list))
CREATE(vkCreateDevice, VkDevice,
       (VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
        const VkAllocationCallbacks *allocator, VkDevice *made),
       (physical, info, allocator, made))
FINDER(vkDestroyDevice)
static VKAPI_ATTR void VKAPI_CALL our_vkDestroyDevice(VkDevice device,
                                                      const VkAllocationCallbacks *allocator)
{
    REAL(vkDestroyDevice)
    fault_remove(device);
    real(device, allocator);
}

/* ---- objects --------------------------------------------------------------------------------- */

MAKER(Buffer, VkBuffer)
MAKER(Fence, VkFence)
MAKER(CommandPool, VkCommandPool)
MAKER(ShaderModule, VkShaderModule)
MAKER(PipelineCache, VkPipelineCache)
MAKER(PipelineLayout, VkPipelineLayout)
MAKER(DescriptorSetLayout, VkDescriptorSetLayout)
MAKER(DescriptorPool, VkDescriptorPool)
CREATE(vkCreateComputePipelines, VkPipeline,
       (VkDevice device, VkPipelineCache cache, uint32_t count,
        const VkComputePipelineCreateInfo *info, const VkAllocationCallbacks *allocator,
        VkPipeline *made),
       (device, cache, count, info, allocator, made))
DESTROY(vkDestroyPipeline, VkPipeline)
CALL(vkAllocateCommandBuffers,
     (VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *made),
     (device, info, made))
CALL(vkAllocateDescriptorSets,
     (VkDevice device, const VkDescriptorSetAllocateInfo *info, VkDescriptorSet *made),
     (device, info, made))
CALL(vkGetPipelineCacheData, (VkDevice device, VkPipelineCache cache, size_t *bytes, void *data),
     (device, cache, bytes, data))
CALL(vkBeginCommandBuffer, (VkCommandBuffer buffer, const VkCommandBufferBeginInfo *info),
     (buffer, info))
CALL(vkEndCommandBuffer, (VkCommandBuffer buffer), (buffer))
CALL(vkResetFences, (VkDevice device, uint32_t count, const VkFence *fences),
     (device, count, fences))
CALL(vkGetFenceStatus, (VkDevice device, VkFence fence), (device, fence))
CALL(vkQueueSubmit, (VkQueue queue, uint32_t count, const VkSubmitInfo *info, VkFence fence),
     (queue, count, info, fence))

FINDER(vkCmdDispatch)
static VKAPI_ATTR void VKAPI_CALL our_vkCmdDispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y,
                                                    uint32_t z)
{
    REAL(vkCmdDispatch)
    if (!fault_now(FAULT_DROP))
        real(buffer, x, y, z);
}

/* ---- memory: with the lie 'shadow', what host and device see is another until told ------------ */

struct mapping {
    VkDeviceMemory memory;
    size_t bytes, last; /* last: where the buffer that was bound last begins; there are results */
    uint8_t *truth, *shown;
};

enum { MAPPINGS = 256 };
static struct mapping mappings[MAPPINGS];
static pthread_mutex_t mapping_lock = PTHREAD_MUTEX_INITIALIZER;

static struct mapping *mapping_of(VkDeviceMemory memory)
{
    size_t i = 0;
    while (i < MAPPINGS && mappings[i].memory != memory)
        i++;
    if (i == MAPPINGS)
        abort();
    return &mappings[i];
}

FINDER(vkAllocateMemory)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkAllocateMemory(VkDevice device,
                                                           const VkMemoryAllocateInfo *info,
                                                           const VkAllocationCallbacks *allocator,
                                                           VkDeviceMemory *made)
{
    int code;
    REAL(vkAllocateMemory)
    if (fault_here("vkAllocateMemory", &code)) {
        *made = (VkDeviceMemory)(uintptr_t)POISON;
        return (VkResult)code;
    }
    const VkResult truth = real(device, info, allocator, made);
    if (truth != VK_SUCCESS)
        return truth;
    fault_add(OBJECT(*made), "vkAllocateMemory");
    pthread_mutex_lock(&mapping_lock);
    *mapping_of(VK_NULL_HANDLE) =
        (struct mapping){.memory = *made, .bytes = (size_t)info->allocationSize};
    pthread_mutex_unlock(&mapping_lock);
    return truth;
}

FINDER(vkFreeMemory)
static VKAPI_ATTR void VKAPI_CALL our_vkFreeMemory(VkDevice device, VkDeviceMemory memory,
                                                   const VkAllocationCallbacks *allocator)
{
    REAL(vkFreeMemory)
    if (memory == VK_NULL_HANDLE)
        return;
    fault_remove(OBJECT(memory));
    pthread_mutex_lock(&mapping_lock);
    struct mapping *m = mapping_of(memory);
    if (m->shown != m->truth)
        free(m->shown);
    *m = (struct mapping){0};
    pthread_mutex_unlock(&mapping_lock);
    real(device, memory, allocator);
}

FINDER(vkBindBufferMemory)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkBindBufferMemory(VkDevice device, VkBuffer buffer,
                                                             VkDeviceMemory memory,
                                                             VkDeviceSize offset)
{
    int code;
    REAL(vkBindBufferMemory)
    if (fault_here("vkBindBufferMemory", &code))
        return (VkResult)code;
    pthread_mutex_lock(&mapping_lock);
    mapping_of(memory)->last = (size_t)offset;
    pthread_mutex_unlock(&mapping_lock);
    return real(device, buffer, memory, offset);
}

FINDER(vkMapMemory)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkMapMemory(VkDevice device, VkDeviceMemory memory,
                                                      VkDeviceSize offset, VkDeviceSize bytes,
                                                      VkMemoryMapFlags flags, void **mapped)
{
    int code;
    REAL(vkMapMemory)
    if (fault_here("vkMapMemory", &code))
        return (VkResult)code;
    const VkResult truth = real(device, memory, offset, bytes, flags, mapped);
    if (truth != VK_SUCCESS)
        return truth;
    pthread_mutex_lock(&mapping_lock);
    struct mapping *m = mapping_of(memory);
    m->truth = m->shown = *mapped;
    if (lie_text("shadow")) {
        m->shown = malloc(m->bytes);
        if (!m->shown)
            abort();
        memset(m->shown, 0xa5, m->bytes);
        *mapped = m->shown;
    }
    pthread_mutex_unlock(&mapping_lock);
    return truth;
}

/* The ranges are always whole memories. */
static void copy_ranges(uint32_t count, const VkMappedMemoryRange *ranges, bool to_device)
{
    pthread_mutex_lock(&mapping_lock);
    for (uint32_t i = 0; i < count; i++) {
        const struct mapping *m = mapping_of(ranges[i].memory);
        if (ranges[i].offset != 0 || ranges[i].size != VK_WHOLE_SIZE)
            abort();
        if (m->shown != m->truth)
            memcpy(to_device ? m->truth : m->shown, to_device ? m->shown : m->truth, m->bytes);
    }
    pthread_mutex_unlock(&mapping_lock);
}

FINDER(vkFlushMappedMemoryRanges)
static VKAPI_ATTR VkResult VKAPI_CALL
our_vkFlushMappedMemoryRanges(VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges)
{
    int code;
    REAL(vkFlushMappedMemoryRanges)
    if (fault_here("vkFlushMappedMemoryRanges", &code))
        return (VkResult)code;
    copy_ranges(count, ranges, true);
    return real(device, count, ranges);
}

FINDER(vkInvalidateMappedMemoryRanges)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkInvalidateMappedMemoryRanges(
    VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges)
{
    int code;
    REAL(vkInvalidateMappedMemoryRanges)
    if (fault_here("vkInvalidateMappedMemoryRanges", &code))
        return (VkResult)code;
    const VkResult truth = real(device, count, ranges);
    copy_ranges(count, ranges, false);
    return truth;
}

/* ---- waits ----------------------------------------------------------------------------------- */

FINDER(vkQueueWaitIdle)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkQueueWaitIdle(VkQueue queue)
{
    int code;
    REAL(vkQueueWaitIdle)
    const VkResult truth = real(queue);
    return fault_here("vkQueueWaitIdle", &code) ? (VkResult)code : truth;
}

FINDER(vkWaitForFences)
static VKAPI_ATTR VkResult VKAPI_CALL our_vkWaitForFences(VkDevice device, uint32_t count,
                                                          const VkFence *fences, VkBool32 all,
                                                          uint64_t timeout)
{
    int code;
    REAL(vkWaitForFences)
    const VkResult truth = real(device, count, fences, all, timeout);
    if (fault_here("vkWaitForFences", &code))
        return (VkResult)code;
    if (fault_now(FAULT_CORRUPT)) {
        pthread_mutex_lock(&mapping_lock);
        for (size_t i = 0; i < MAPPINGS; i++)
            if (mappings[i].truth)
                mappings[i].truth[mappings[i].last] ^= 1;
        pthread_mutex_unlock(&mapping_lock);
    }
    return truth;
}

/* ---- lies ------------------------------------------------------------------------------------ */

static void lie_limits(VkPhysicalDeviceLimits *l)
{
    unsigned long long n;
    if (lie("shared", &n))
        l->maxComputeSharedMemorySize = (uint32_t)n;
    if (lie("invocations", &n))
        l->maxComputeWorkGroupInvocations = l->maxComputeWorkGroupSize[0] = (uint32_t)n;
    if (lie("groups", &n))
        l->maxComputeWorkGroupCount[0] = l->maxComputeWorkGroupCount[1] = (uint32_t)n;
    if (lie("groups_down", &n))
        l->maxComputeWorkGroupCount[1] = (uint32_t)n;
    if (lie("range", &n))
        l->maxStorageBufferRange = (uint32_t)n;
    if (lie("align", &n))
        l->minStorageBufferOffsetAlignment = n;
}

FINDER(vkGetPhysicalDeviceProperties)
static VKAPI_ATTR void VKAPI_CALL
our_vkGetPhysicalDeviceProperties(VkPhysicalDevice physical, VkPhysicalDeviceProperties *properties)
{
    unsigned long long n;
    REAL(vkGetPhysicalDeviceProperties)
    real(physical, properties);
    lie_limits(&properties->limits);
    if (lie("type", &n))
        properties->deviceType = (VkPhysicalDeviceType)n;
}

FINDER(vkGetPhysicalDeviceProperties2)
static VKAPI_ATTR void VKAPI_CALL our_vkGetPhysicalDeviceProperties2(
    VkPhysicalDevice physical, VkPhysicalDeviceProperties2 *properties)
{
    unsigned long long n;
    REAL(vkGetPhysicalDeviceProperties2)
    real(physical, properties);
    lie_limits(&properties->properties.limits);
    VkBaseOutStructure *next = properties->pNext;
    for (; next && lie("alloc", &n); next = next->pNext)
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES)
            ((VkPhysicalDeviceMaintenance3Properties *)(void *)next)->maxMemoryAllocationSize = n;
}

FINDER(vkGetPhysicalDeviceFeatures2)
static VKAPI_ATTR void VKAPI_CALL
our_vkGetPhysicalDeviceFeatures2(VkPhysicalDevice physical, VkPhysicalDeviceFeatures2 *features)
{
    unsigned long long n;
    REAL(vkGetPhysicalDeviceFeatures2)
    real(physical, features);
    VkBaseOutStructure *next = features->pNext;
    for (; next && lie("dot", &n); next = next->pNext)
        if (next->sType ==
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR)
            ((VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR *)(void *)next)
                ->shaderIntegerDotProduct = (VkBool32)n;
}

FINDER(vkGetPhysicalDeviceMemoryProperties)
static VKAPI_ATTR void VKAPI_CALL our_vkGetPhysicalDeviceMemoryProperties(
    VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties *properties)
{
    REAL(vkGetPhysicalDeviceMemoryProperties)
    real(physical, properties);
    for (uint32_t i = 0; lie_text("shadow") && i < properties->memoryTypeCount; i++)
        properties->memoryTypes[i].propertyFlags &=
            ~(VkMemoryPropertyFlags)VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
}

/* ---- by name --------------------------------------------------------------------------------- */

#define OURS(X)                             \
    X(vkCreateInstance)                     \
    X(vkDestroyInstance)                    \
    X(vkEnumeratePhysicalDevices)           \
    X(vkEnumerateDeviceExtensionProperties) \
    X(vkGetPhysicalDeviceProperties)        \
    X(vkGetPhysicalDeviceProperties2)       \
    X(vkGetPhysicalDeviceFeatures2)         \
    X(vkGetPhysicalDeviceMemoryProperties)  \
    X(vkCreateDevice)                       \
    X(vkDestroyDevice)                      \
    X(vkCreateBuffer)                       \
    X(vkDestroyBuffer)                      \
    X(vkCreateFence)                        \
    X(vkDestroyFence)                       \
    X(vkCreateCommandPool)                  \
    X(vkDestroyCommandPool)                 \
    X(vkCreateShaderModule)                 \
    X(vkDestroyShaderModule)                \
    X(vkCreatePipelineCache)                \
    X(vkDestroyPipelineCache)               \
    X(vkCreatePipelineLayout)               \
    X(vkDestroyPipelineLayout)              \
    X(vkCreateDescriptorSetLayout)          \
    X(vkDestroyDescriptorSetLayout)         \
    X(vkCreateDescriptorPool)               \
    X(vkDestroyDescriptorPool)              \
    X(vkCreateComputePipelines)             \
    X(vkDestroyPipeline)                    \
    X(vkAllocateCommandBuffers)             \
    X(vkAllocateDescriptorSets)             \
    X(vkGetPipelineCacheData)               \
    X(vkBeginCommandBuffer)                 \
    X(vkEndCommandBuffer)                   \
    X(vkResetFences)                        \
    X(vkGetFenceStatus)                     \
    X(vkQueueSubmit)                        \
    X(vkCmdDispatch)                        \
    X(vkAllocateMemory)                     \
    X(vkFreeMemory)                         \
    X(vkBindBufferMemory)                   \
    X(vkMapMemory)                          \
    X(vkFlushMappedMemoryRanges)            \
    X(vkInvalidateMappedMemoryRanges)       \
    X(vkQueueWaitIdle)                      \
    X(vkWaitForFences)                      \
    X(vkGetDeviceProcAddr)

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL our_vkGetDeviceProcAddr(VkDevice device,
                                                                        const char *name);

static PFN_vkVoidFunction ours(const char *name)
{
#define X(function)                   \
    if (strcmp(name, #function) == 0) \
        return (PFN_vkVoidFunction)our_##function;
    OURS(X)
#undef X
    return NULL;
}

FINDER(vkGetDeviceProcAddr)
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL our_vkGetDeviceProcAddr(VkDevice device,
                                                                        const char *name)
{
    REAL(vkGetDeviceProcAddr)
    const PFN_vkVoidFunction truth = real(device, name);
    return truth && ours(name) ? ours(name) : truth;
}

FINDER(vkGetInstanceProcAddr)
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
                                                               const char *name)
{
    REAL(vkGetInstanceProcAddr)
    const PFN_vkVoidFunction truth = real(instance, name);
    return truth && ours(name) ? ours(name) : truth;
}
