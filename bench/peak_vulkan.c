/* Loops of products on a Vulkan device: shaders/peak.comp, by 32-bit products and by packed dots. */
#include <stdio.h>
#include <string.h>
#include "peak.h"

#ifdef BENCH_VULKAN
#include <dlfcn.h>
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

extern const unsigned char bench_peak_spv[], bench_peak_int_dot_spv[];
extern const size_t bench_peak_spv_size, bench_peak_int_dot_spv_size;

enum {
    LOCAL = 64,        /* invocations of a work-group, as in the shader */
    PRODUCTS = 10,     /* of a step */
    STEPS = 8192,      /* llvmpipe ends loops after 65535 */
    GROUPS_MAX = 65535 /* every device's limit of work-groups is this or more */
};
#define TARGET_NS 60000000u /* of one launch */

#define INSTANCE_FUNCTIONS(X)                   \
    X(vkDestroyInstance)                        \
    X(vkEnumeratePhysicalDevices)               \
    X(vkGetPhysicalDeviceQueueFamilyProperties) \
    X(vkGetPhysicalDeviceFeatures2)             \
    X(vkEnumerateDeviceExtensionProperties)     \
    X(vkCreateDevice)                           \
    X(vkDestroyDevice)                          \
    X(vkGetDeviceQueue)                         \
    X(vkQueueSubmit)                            \
    X(vkQueueWaitIdle)                          \
    X(vkCreateBuffer)                           \
    X(vkDestroyBuffer)                          \
    X(vkGetBufferMemoryRequirements)            \
    X(vkAllocateMemory)                         \
    X(vkFreeMemory)                             \
    X(vkBindBufferMemory)                       \
    X(vkCreateShaderModule)                     \
    X(vkDestroyShaderModule)                    \
    X(vkCreateDescriptorSetLayout)              \
    X(vkDestroyDescriptorSetLayout)             \
    X(vkCreatePipelineLayout)                   \
    X(vkDestroyPipelineLayout)                  \
    X(vkCreateComputePipelines)                 \
    X(vkDestroyPipeline)                        \
    X(vkCreateDescriptorPool)                   \
    X(vkDestroyDescriptorPool)                  \
    X(vkAllocateDescriptorSets)                 \
    X(vkUpdateDescriptorSets)                   \
    X(vkCreateCommandPool)                      \
    X(vkDestroyCommandPool)                     \
    X(vkResetCommandPool)                       \
    X(vkAllocateCommandBuffers)                 \
    X(vkBeginCommandBuffer)                     \
    X(vkEndCommandBuffer)                       \
    X(vkCmdBindPipeline)                        \
    X(vkCmdBindDescriptorSets)                  \
    X(vkCmdPushConstants)                       \
    X(vkCmdDispatch)

struct gpu {
#define X(name) PFN_##name name;
    INSTANCE_FUNCTIONS(X)
#undef X
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkCommandPool command_pool;
    VkCommandBuffer commands;
    bool int_dot;
};

/* ---- device ---------------------------------------------------------------------------------- */

static bool open_instance(struct gpu *g)
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    PFN_vkGetInstanceProcAddr get;
    if (!symbol)
        return false;
    memcpy(&get, &symbol, sizeof(symbol)); /* C has no conversion from object to function */
    const PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app};
    if (!create || create(&info, NULL, &g->instance) != VK_SUCCESS)
        return false;
    bool all = true;
#define X(name)                                    \
    g->name = (PFN_##name)get(g->instance, #name); \
    all = all && g->name;
    INSTANCE_FUNCTIONS(X)
#undef X
    return all;
}

static bool has_int_dot(const struct gpu *g)
{
    VkExtensionProperties list[512];
    uint32_t count = sizeof(list) / sizeof(list[0]);
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &dot};
    const VkResult listed =
        g->vkEnumerateDeviceExtensionProperties(g->physical, NULL, &count, list);
    if (listed != VK_SUCCESS && listed != VK_INCOMPLETE)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME) == 0) {
            g->vkGetPhysicalDeviceFeatures2(g->physical, &features);
            return dot.shaderIntegerDotProduct;
        }
    }
    return false;
}

static bool open_device(struct gpu *g, uint32_t index)
{
    VkPhysicalDevice list[64];
    VkQueueFamilyProperties families[32];
    uint32_t count = 64, family_count = 32, family = 0;
    const VkResult listed = g->vkEnumeratePhysicalDevices(g->instance, &count, list);
    if ((listed != VK_SUCCESS && listed != VK_INCOMPLETE) || index >= count)
        return false;
    g->physical = list[index];
    g->vkGetPhysicalDeviceQueueFamilyProperties(g->physical, &family_count, families);
    while (family < family_count && !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        family++;
    if (family == family_count)
        return false;
    g->int_dot = has_int_dot(g);
    const float priority = 1;
    const char *const extension = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
        .shaderIntegerDotProduct = VK_TRUE};
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = g->int_dot ? &dot : NULL,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = g->int_dot,
                                     .ppEnabledExtensionNames = &extension};
    if (g->vkCreateDevice(g->physical, &info, NULL, &g->device) != VK_SUCCESS)
        return false;
    g->vkGetDeviceQueue(g->device, family, 0, &g->queue);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = family};
    if (g->vkCreateCommandPool(g->device, &pool, NULL, &g->command_pool) != VK_SUCCESS)
        return false;
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = g->command_pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    return g->vkAllocateCommandBuffers(g->device, &commands, &g->commands) == VK_SUCCESS;
}

/* The output: a word for each invocation. */
static bool make_output(struct gpu *g)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = (VkDeviceSize)GROUPS_MAX * LOCAL * 4,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    if (g->vkCreateBuffer(g->device, &info, NULL, &g->buffer) != VK_SUCCESS)
        return false;
    VkMemoryRequirements needs;
    g->vkGetBufferMemoryRequirements(g->device, g->buffer, &needs);
    uint32_t type = 0;
    while (type < 31 && !(needs.memoryTypeBits >> type & 1))
        type++;
    const VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                         .allocationSize = needs.size,
                                         .memoryTypeIndex = type};
    if (g->vkAllocateMemory(g->device, &memory, NULL, &g->memory) != VK_SUCCESS ||
        g->vkBindBufferMemory(g->device, g->buffer, g->memory, 0) != VK_SUCCESS)
        return false;
    const VkDescriptorSetLayoutBinding binding = {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1,
                                                  VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    const VkDescriptorSetLayoutCreateInfo set_layout = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 1,
        .pBindings = &binding};
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = 1,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    if (g->vkCreateDescriptorSetLayout(g->device, &set_layout, NULL, &g->set_layout) !=
            VK_SUCCESS ||
        g->vkCreateDescriptorPool(g->device, &pool, NULL, &g->pool) != VK_SUCCESS)
        return false;
    const VkDescriptorSetAllocateInfo set = {.sType =
                                                 VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                             .descriptorPool = g->pool,
                                             .descriptorSetCount = 1,
                                             .pSetLayouts = &g->set_layout};
    const VkPushConstantRange constants = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 8};
    const VkPipelineLayoutCreateInfo layout = {.sType =
                                                   VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &g->set_layout,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &constants};
    if (g->vkAllocateDescriptorSets(g->device, &set, &g->set) != VK_SUCCESS ||
        g->vkCreatePipelineLayout(g->device, &layout, NULL, &g->layout) != VK_SUCCESS)
        return false;
    const VkDescriptorBufferInfo whole = {g->buffer, 0, VK_WHOLE_SIZE};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = g->set,
                                        .descriptorCount = 1,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = &whole};
    g->vkUpdateDescriptorSets(g->device, 1, &write, 0, NULL);
    return true;
}

static void close_gpu(struct gpu *g)
{
    if (g->device) { /* every function is there, and takes a null handle */
        g->vkDestroyCommandPool(g->device, g->command_pool, NULL);
        g->vkDestroyPipelineLayout(g->device, g->layout, NULL);
        g->vkDestroyDescriptorPool(g->device, g->pool, NULL);
        g->vkDestroyDescriptorSetLayout(g->device, g->set_layout, NULL);
        g->vkDestroyBuffer(g->device, g->buffer, NULL);
        g->vkFreeMemory(g->device, g->memory, NULL);
        g->vkDestroyDevice(g->device, NULL);
    }
    if (g->instance && g->vkDestroyInstance)
        g->vkDestroyInstance(g->instance, NULL);
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Time of one launch; 0: it failed. */
static uint64_t launch(const struct gpu *g, VkPipeline pipeline, uint32_t groups)
{
    const uint32_t parameters[2] = {STEPS, 0x01030507u};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    if (g->vkResetCommandPool(g->device, g->command_pool, 0) != VK_SUCCESS ||
        g->vkBeginCommandBuffer(g->commands, &begin) != VK_SUCCESS)
        return 0;
    g->vkCmdBindPipeline(g->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    g->vkCmdBindDescriptorSets(g->commands, VK_PIPELINE_BIND_POINT_COMPUTE, g->layout, 0, 1,
                               &g->set, 0, NULL);
    g->vkCmdPushConstants(g->commands, g->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                          sizeof(parameters), parameters);
    g->vkCmdDispatch(g->commands, groups, 1, 1);
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &g->commands};
    if (g->vkEndCommandBuffer(g->commands) != VK_SUCCESS)
        return 0;
    const uint64_t start = bench_now_ns();
    if (g->vkQueueSubmit(g->queue, 1, &submit, VK_NULL_HANDLE) != VK_SUCCESS ||
        g->vkQueueWaitIdle(g->queue) != VK_SUCCESS)
        return 0;
    return bench_now_ns() - start;
}

/* GOPS of one shader; 0 when it does not work here: the other remains. */
static double measure(const struct gpu *g, const unsigned char *spirv, size_t bytes,
                      double ops_a_product)
{
    VkShaderModule module;
    VkPipeline pipeline = VK_NULL_HANDLE;
    uint64_t best = 0;
    uint32_t groups = 16;
    const VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = bytes,
                                           .pCode = (const uint32_t *)(const void *)spirv};
    if (g->vkCreateShaderModule(g->device, &code, NULL, &module) != VK_SUCCESS)
        return 0;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = g->layout};
    if (g->vkCreateComputePipelines(g->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline) ==
        VK_SUCCESS) {
        do
            best = launch(g, pipeline, groups);
        while (best && best < TARGET_NS && groups <= GROUPS_MAX / 2 && (groups *= 2));
        for (int i = 0; i < 3 && best; i++) {
            const uint64_t time = launch(g, pipeline, groups);
            best = time < best ? time : best;
        }
    }
    g->vkDestroyPipeline(g->device, pipeline, NULL);
    g->vkDestroyShaderModule(g->device, module, NULL);
    return best ? ops_a_product * PRODUCTS * STEPS * LOCAL * groups / (double)best : 0;
}

int peak_vulkan(const char *device, struct peak *peak, struct qdot_error *err)
{
    struct gpu g = {0};
    unsigned index = 0;
    peak->gops = 0;
    if (sscanf(device, "vulkan:%u", &index) != 1)
        return bench_fail(err, QDOT_INVALID, "'%s': expected vulkan:N", device);
    if (open_instance(&g) && open_device(&g, index) && make_output(&g)) {
        peak->gops = measure(&g, bench_peak_spv, bench_peak_spv_size, 2);
        snprintf(peak->name, sizeof(peak->name), "32-bit multiply, add");
        const double dot =
            g.int_dot ? measure(&g, bench_peak_int_dot_spv, bench_peak_int_dot_spv_size, 8) : 0;
        if (dot > peak->gops) {
            peak->gops = dot;
            snprintf(peak->name, sizeof(peak->name), "packed integer dot product");
        }
    }
    close_gpu(&g);
    return QDOT_OK;
}

#else

int peak_vulkan(const char *device, struct peak *peak, struct qdot_error *err)
{
    (void)device;
    (void)err;
    peak->gops = 0;
    return QDOT_OK;
}

#endif
