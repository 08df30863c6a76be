/* Vulkan for checks of a device by shaders of the tests' own, independent of the library. */
#include "probe_vulkan.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES_MAX = 32, FAMILIES_MAX = 32, EXTENSIONS_MAX = 1024 };

/* ---- the instance ---------------------------------------------------------------------------- */

static bool load_instance(struct probe_vk *vk, char *reason, size_t reason_bytes)
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "qdot conform",
                                           .apiVersion = VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    memcpy(&vk->get, &symbol, sizeof(symbol));
    PFN_vkCreateInstance create =
        vk->get ? (PFN_vkCreateInstance)vk->get(NULL, "vkCreateInstance") : NULL;
    if (!create || create(&info, NULL, &vk->instance) != VK_SUCCESS) {
        vk->instance = VK_NULL_HANDLE;
        snprintf(reason, reason_bytes, "no instance of Vulkan 1.2");
        return false;
    }
#define LOAD(name)                                              \
    vk->name = (PFN_##name)vk->get(vk->instance, #name);        \
    if (!vk->name) {                                            \
        snprintf(reason, reason_bytes, "Vulkan has no " #name); \
        return false;                                           \
    }
    PROBE_VK_INSTANCE_CALLS(LOAD)
#undef LOAD
    return true;
}

static uint32_t compute_family(const struct probe_vk *vk, VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    vk->vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && families[i].queueCount > 0)
            return i;
    return UINT32_MAX;
}

static bool find(struct probe_vk *vk, size_t index, VkPhysicalDeviceProperties *properties)
{
    VkPhysicalDevice devices[DEVICES_MAX];
    uint32_t count = DEVICES_MAX;
    const VkResult code = vk->vkEnumeratePhysicalDevices(vk->instance, &count, devices);
    if (code != VK_SUCCESS && code != VK_INCOMPLETE)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        vk->vkGetPhysicalDeviceProperties(devices[i], properties);
        vk->physical = devices[i];
        vk->family = compute_family(vk, devices[i]);
        if (properties->apiVersion < VK_API_VERSION_1_1 || vk->family == UINT32_MAX)
            continue;
        if (index-- == 0)
            return true;
    }
    return false;
}

/* ---- features -------------------------------------------------------------------------------- */

struct features {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDevice16BitStorageFeatures shorts;
    VkPhysicalDevice8BitStorageFeatures bytes;
    VkPhysicalDeviceShaderFloat16Int8Features int8;
    VkPhysicalDeviceScalarBlockLayoutFeatures scalar;
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot;
};

struct wanted {
    const char *names[8];
    uint32_t name_count;
    void *last;
};

static bool lists(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].extensionName, name) == 0)
            return true;
    return false;
}

/* One more structure in the chain, where its extension is there or the version has it. */
static void chain(struct wanted *w, void *structure, bool there, const char *name)
{
    VkBaseOutStructure *next = structure, *last = w->last;
    if (!there)
        return;
    last->pNext = next;
    w->last = next;
    if (name)
        w->names[w->name_count++] = name;
}

static bool create_device(struct probe_vk *vk, const struct features *f, const struct wanted *w)
{
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = vk->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &f->base,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = w->name_count,
                                     .ppEnabledExtensionNames = w->names};
    VkDevice made;
    if (vk->vkCreateDevice(vk->physical, &info, NULL, &made) != VK_SUCCESS)
        return false;
    vk->device = made;
    bool complete = true;
#define LOAD(name)                                               \
    vk->name = (PFN_##name)vk->vkGetDeviceProcAddr(made, #name); \
    complete = complete && vk->name;
    PROBE_VK_DEVICE_CALLS(LOAD)
#undef LOAD
    if (complete)
        vk->vkGetDeviceQueue(made, vk->family, 0, &vk->queue);
    return complete;
}

static void query_properties(struct probe_vk *vk, uint32_t version, bool listed)
{
    VkPhysicalDeviceFloatControlsProperties floats = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &maintenance};
    const bool controls = version >= VK_API_VERSION_1_2 || listed;
    subgroup.pNext = controls ? &floats : NULL;
    vk->vkGetPhysicalDeviceProperties2(vk->physical, &all);
    vk->limits = all.properties.limits;
    vk->max_allocation = maintenance.maxMemoryAllocationSize;
    vk->subgroup = subgroup.subgroupSize;
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT))
        vk->features |= PROBE_VK_SUBGROUP;
    if (floats.shaderRoundingModeRTEFloat32 && floats.shaderSignedZeroInfNanPreserveFloat32)
        vk->features |= PROBE_VK_FLOATS;
    if (floats.shaderDenormPreserveFloat32)
        vk->features |= PROBE_VK_DENORMS;
}

/* Of VK_KHR_cooperative_matrix, which Debian 12's headers do not have. */
struct matrix_features {
    VkStructureType type;
    void *next;
    VkBool32 matrix, robust;
};

struct matrix_shape {
    VkStructureType type;
    void *next;
    uint32_t m, n, k;
    int32_t a, b, c, result;
    VkBool32 saturates;
    int32_t scope;
};

typedef VkResult(VKAPI_PTR *list_shapes)(VkPhysicalDevice, uint32_t *, struct matrix_shape *);

/* Products of s8 that add to s32, of a subgroup: a feature that is on, and a shape. */
static bool claims_matrices(const struct probe_vk *vk)
{
    enum { FEATURES = 1000506000, SHAPE, SINT8 = 3, SINT32 = 5, SUBGROUP = 3, SHAPES = 64 };
    struct matrix_features found = {.type = (VkStructureType)FEATURES};
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                     .pNext = &found};
    struct matrix_shape shapes[SHAPES];
    uint32_t count = SHAPES;
    list_shapes list =
        (list_shapes)vk->get(vk->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    vk->vkGetPhysicalDeviceFeatures2(vk->physical, &all);
    for (size_t i = 0; i < SHAPES; i++)
        shapes[i] = (struct matrix_shape){.type = (VkStructureType)SHAPE};
    if (!found.matrix || !list || list(vk->physical, &count, shapes) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (shapes[i].a == SINT8 && shapes[i].b == SINT8 && shapes[i].c == SINT32 &&
            shapes[i].result == SINT32 && !shapes[i].saturates && shapes[i].scope == SUBGROUP)
            return true;
    return false;
}

static bool open_device(struct probe_vk *vk, uint32_t version, const VkExtensionProperties *list,
                        uint32_t count)
{
    struct features f = {
        .base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .shorts.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .bytes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
        .int8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .scalar.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SCALAR_BLOCK_LAYOUT_FEATURES,
        .dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
    };
    struct wanted w = {.last = &f.base};
    const bool v12 = version >= VK_API_VERSION_1_2;
    const bool dot = lists(list, count, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    const bool controls = lists(list, count, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME);
    chain(&w, &f.shorts, true, NULL);
    chain(&w, &f.bytes, v12, NULL);
    chain(&w, &f.int8, v12, NULL);
    chain(&w, &f.scalar, v12, NULL);
    chain(&w, &f.dot, dot, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    if (controls)
        w.names[w.name_count++] = VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME;
    vk->vkGetPhysicalDeviceFeatures2(vk->physical, &f.base);
    f.base.features.robustBufferAccess = VK_FALSE;
    query_properties(vk, version, controls);
    const struct {
        VkBool32 has;
        unsigned feature;
    } found[] = {
        {f.int8.shaderInt8, PROBE_VK_INT8},
        {f.base.features.shaderInt16, PROBE_VK_INT16},
        {f.base.features.shaderInt64, PROBE_VK_INT64},
        {f.bytes.storageBuffer8BitAccess, PROBE_VK_BYTES},
        {f.shorts.storageBuffer16BitAccess, PROBE_VK_SHORTS},
        {f.scalar.scalarBlockLayout, PROBE_VK_SCALAR},
        {f.dot.shaderIntegerDotProduct, PROBE_VK_DOT},
        {v12 && lists(list, count, "VK_KHR_cooperative_matrix") && claims_matrices(vk),
         PROBE_VK_MATRIX},
    };
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        vk->features |= found[i].has ? found[i].feature : 0;
    return create_device(vk, &f, &w);
}

/* Memory that the host sees as it is. */
static bool find_memory(struct probe_vk *vk)
{
    const VkMemoryPropertyFlags needed =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memories;
    vk->vkGetPhysicalDeviceMemoryProperties(vk->physical, &memories);
    for (uint32_t i = 0; i < memories.memoryTypeCount; i++)
        if ((memories.memoryTypes[i].propertyFlags & needed) == needed) {
            vk->memory_type = i;
            return true;
        }
    return false;
}

bool probe_vk_open(struct probe_vk *vk, size_t index, char *reason, size_t reason_bytes)
{
    VkPhysicalDeviceProperties properties;
    uint32_t count = EXTENSIONS_MAX;
    *vk = (struct probe_vk){0};
    snprintf(reason, reason_bytes, "there is no Vulkan device %zu that opens", index);
    VkExtensionProperties *list = calloc(EXTENSIONS_MAX, sizeof(*list));
    bool opened = list && load_instance(vk, reason, reason_bytes) && find(vk, index, &properties);
    if (opened) {
        const VkResult code =
            vk->vkEnumerateDeviceExtensionProperties(vk->physical, NULL, &count, list);
        opened = (code == VK_SUCCESS || code == VK_INCOMPLETE) &&
                 open_device(vk, properties.apiVersion, list, count) && find_memory(vk);
    }
    free(list);
    if (!opened)
        probe_vk_close(vk);
    return opened;
}

void probe_vk_close(struct probe_vk *vk)
{
    if (vk->device && vk->vkDestroyDevice)
        vk->vkDestroyDevice(vk->device, NULL);
    if (vk->instance && vk->vkDestroyInstance)
        vk->vkDestroyInstance(vk->instance, NULL);
    *vk = (struct probe_vk){0};
}

/* ---- one dispatch ---------------------------------------------------------------------------- */

struct dispatch {
    VkBuffer buffers[PROBE_VK_BUFFERS];
    VkDeviceMemory memories[PROBE_VK_BUFFERS];
    uint8_t *mapped[PROBE_VK_BUFFERS];
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool sets;
    VkDescriptorSet set;
    VkPipelineLayout layout;
    VkShaderModule module;
    VkPipeline pipeline;
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence fence;
};

#define TRY(name, ...)                               \
    do {                                             \
        const VkResult code = vk->name(__VA_ARGS__); \
        if (code != VK_SUCCESS) {                    \
            *call = #name;                           \
            return code;                             \
        }                                            \
    } while (0)

/* A creation that fails leaves anything where the handle would be. */
#define MAKE(field, name, ...)                                       \
    do {                                                             \
        const VkResult made_code = vk->name(__VA_ARGS__, &d->field); \
        if (made_code != VK_SUCCESS) {                               \
            d->field = VK_NULL_HANDLE;                               \
            *call = #name;                                           \
            return made_code;                                        \
        }                                                            \
    } while (0)

static VkResult make_buffer(struct probe_vk *vk, struct dispatch *d, size_t i, const void *from,
                            size_t bytes, size_t offset, const char **call)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = offset + bytes,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    VkMemoryRequirements needs;
    void *mapped;
    MAKE(buffers[i], vkCreateBuffer, vk->device, &info, NULL);
    vk->vkGetBufferMemoryRequirements(vk->device, d->buffers[i], &needs);
    const VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                         .allocationSize = needs.size,
                                         .memoryTypeIndex = vk->memory_type};
    MAKE(memories[i], vkAllocateMemory, vk->device, &memory, NULL);
    TRY(vkBindBufferMemory, vk->device, d->buffers[i], d->memories[i], 0);
    TRY(vkMapMemory, vk->device, d->memories[i], 0, VK_WHOLE_SIZE, 0, &mapped);
    d->mapped[i] = mapped;
    memcpy(d->mapped[i] + offset, from, bytes);
    return VK_SUCCESS;
}

static VkResult make_set(struct probe_vk *vk, struct dispatch *d, const struct probe_vk_run *run,
                         const char **call)
{
    VkDescriptorSetLayoutBinding bindings[PROBE_VK_BUFFERS];
    VkDescriptorBufferInfo infos[PROBE_VK_BUFFERS];
    VkWriteDescriptorSet writes[PROBE_VK_BUFFERS];
    for (uint32_t i = 0; i < run->buffer_count; i++)
        bindings[i] =
            (VkDescriptorSetLayoutBinding){.binding = i,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .descriptorCount = 1,
                                           .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = run->buffer_count,
        .pBindings = bindings};
    MAKE(set_layout, vkCreateDescriptorSetLayout, vk->device, &layout, NULL);
    const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       .descriptorCount = run->buffer_count};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = 1,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    MAKE(sets, vkCreateDescriptorPool, vk->device, &pool, NULL);
    const VkDescriptorSetAllocateInfo set = {.sType =
                                                 VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                             .descriptorPool = d->sets,
                                             .descriptorSetCount = 1,
                                             .pSetLayouts = &d->set_layout};
    MAKE(set, vkAllocateDescriptorSets, vk->device, &set);
    for (uint32_t i = 0; i < run->buffer_count; i++) {
        infos[i] =
            (VkDescriptorBufferInfo){d->buffers[i], run->buffers[i].offset, run->buffers[i].bytes};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = d->set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &infos[i]};
    }
    vk->vkUpdateDescriptorSets(vk->device, run->buffer_count, writes, 0, NULL);
    return VK_SUCCESS;
}

static VkResult make_pipeline(struct probe_vk *vk, struct dispatch *d,
                              const struct probe_vk_run *run, const char **call)
{
    enum { CONSTANTS_MAX = 256 };
    VkSpecializationMapEntry entries[CONSTANTS_MAX];
    uint32_t *words = malloc(run->spirv_bytes); /* aligned, which bytes in a program are not */
    if (!words) {
        *call = "malloc";
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    memcpy(words, run->spirv, run->spirv_bytes);
    const VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                             .codeSize = run->spirv_bytes,
                                             .pCode = words};
    const VkResult made = vk->vkCreateShaderModule(vk->device, &module, NULL, &d->module);
    free(words);
    if (made != VK_SUCCESS) {
        d->module = VK_NULL_HANDLE;
        *call = "vkCreateShaderModule";
        return made;
    }
    const VkPushConstantRange pushed = {VK_SHADER_STAGE_COMPUTE_BIT, 0, run->pushed_bytes};
    const VkPipelineLayoutCreateInfo layout = {.sType =
                                                   VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &d->set_layout,
                                               .pushConstantRangeCount = run->pushed_bytes ? 1 : 0,
                                               .pPushConstantRanges = &pushed};
    MAKE(layout, vkCreatePipelineLayout, vk->device, &layout, NULL);
    for (uint32_t i = 0; i < run->constant_count && i < CONSTANTS_MAX; i++)
        entries[i] = (VkSpecializationMapEntry){i, 4 * i, 4};
    const VkSpecializationInfo constants = {run->constant_count, entries, 4 * run->constant_count,
                                            run->constants};
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = d->module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = d->layout};
    MAKE(pipeline, vkCreateComputePipelines, vk->device, VK_NULL_HANDLE, 1, &info, NULL);
    return VK_SUCCESS;
}

static VkResult submit(struct probe_vk *vk, struct dispatch *d, const struct probe_vk_run *run,
                       const char **call)
{
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = vk->family};
    MAKE(pool, vkCreateCommandPool, vk->device, &pool, NULL);
    const VkCommandBufferAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    MAKE(commands, vkAllocateCommandBuffers, vk->device, &allocate);
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    TRY(vkBeginCommandBuffer, d->commands, &begin);
    vk->vkCmdBindPipeline(d->commands, VK_PIPELINE_BIND_POINT_COMPUTE, d->pipeline);
    vk->vkCmdBindDescriptorSets(d->commands, VK_PIPELINE_BIND_POINT_COMPUTE, d->layout, 0, 1,
                                &d->set, 0, NULL);
    if (run->pushed_bytes)
        vk->vkCmdPushConstants(d->commands, d->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                               run->pushed_bytes, run->pushed);
    vk->vkCmdDispatch(d->commands, run->groups, 1, 1);
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vk->vkCmdPipelineBarrier(d->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                             VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    TRY(vkEndCommandBuffer, d->commands);
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &d->commands};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    MAKE(fence, vkCreateFence, vk->device, &fence, NULL);
    TRY(vkQueueSubmit, vk->queue, 1, &info, d->fence);
    TRY(vkWaitForFences, vk->device, 1, &d->fence, VK_TRUE, UINT64_MAX);
    return VK_SUCCESS;
}

static void clean(struct probe_vk *vk, struct dispatch *d)
{
    vk->vkDestroyFence(vk->device, d->fence, NULL);
    vk->vkDestroyCommandPool(vk->device, d->pool, NULL);
    vk->vkDestroyPipeline(vk->device, d->pipeline, NULL);
    vk->vkDestroyShaderModule(vk->device, d->module, NULL);
    vk->vkDestroyPipelineLayout(vk->device, d->layout, NULL);
    vk->vkDestroyDescriptorPool(vk->device, d->sets, NULL);
    vk->vkDestroyDescriptorSetLayout(vk->device, d->set_layout, NULL);
    for (size_t i = 0; i < PROBE_VK_BUFFERS; i++) {
        vk->vkDestroyBuffer(vk->device, d->buffers[i], NULL);
        vk->vkFreeMemory(vk->device, d->memories[i], NULL);
    }
}

VkResult probe_vk_run(struct probe_vk *vk, const struct probe_vk_run *run, const char **call)
{
    struct dispatch d = {0};
    VkResult code = VK_SUCCESS;
    for (size_t i = 0; i < run->buffer_count && code == VK_SUCCESS; i++)
        code = make_buffer(vk, &d, i, run->buffers[i].memory, run->buffers[i].bytes,
                           run->buffers[i].offset, call);
    if (code == VK_SUCCESS)
        code = make_set(vk, &d, run, call);
    if (code == VK_SUCCESS)
        code = make_pipeline(vk, &d, run, call);
    if (code == VK_SUCCESS)
        code = submit(vk, &d, run, call);
    for (size_t i = 0; i < run->buffer_count && code == VK_SUCCESS; i++)
        memcpy(run->buffers[i].memory, d.mapped[i] + run->buffers[i].offset, run->buffers[i].bytes);
    clean(vk, &d);
    return code;
}
