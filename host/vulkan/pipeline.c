/* Shader modules to pipelines: one a device, shader and set of constants; the driver's cache. */
#include <stdio.h>
#include <string.h>
#include "vk.h"

#define EMBEDDED(name)                 \
    extern const unsigned char name[]; \
    extern const size_t name##_size
EMBEDDED(qdot_vk_gemm);
EMBEDDED(qdot_vk_gemm_int_dot);
EMBEDDED(qdot_vk_gemm_float);
EMBEDDED(qdot_vk_gemm_tiled);
EMBEDDED(qdot_vk_gemm_tiled_dot_4);
EMBEDDED(qdot_vk_gemm_tiled_dot_8);
EMBEDDED(qdot_vk_gemv);
EMBEDDED(qdot_vk_gemv_dot);
EMBEDDED(qdot_vk_pack);
EMBEDDED(qdot_vk_sums);
EMBEDDED(qdot_vk_fold);
EMBEDDED(qdot_vk_reduce);
EMBEDDED(qdot_vk_conv);
EMBEDDED(qdot_vk_conv_int_dot);
EMBEDDED(qdot_vk_conv_tiled);
EMBEDDED(qdot_vk_conv_tiled_dot_4);
EMBEDDED(qdot_vk_conv_tiled_dot_8);
EMBEDDED(qdot_vk_depthwise);
EMBEDDED(qdot_vk_gemm_coop);
EMBEDDED(qdot_vk_conv_coop);
EMBEDDED(qdot_vk_input);
EMBEDDED(qdot_vk_window_sums);
EMBEDDED(qdot_vk_elements);
EMBEDDED(qdot_vk_range);
EMBEDDED(qdot_vk_parameters);
EMBEDDED(qdot_vk_map);
EMBEDDED(qdot_vk_pool);

struct vk_pipeline {
    struct vk_pipeline *next;
    enum vk_shader shader;
    uint32_t constants[VK_CONSTANTS];
    VkPipeline handle;
};

VkShaderModuleCreateInfo vk_shader_code(enum vk_shader shader)
{
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    const unsigned char *code = NULL;
    switch (shader) {
#define CASE(id, name)               \
    case id:                         \
        code = name;                 \
        info.codeSize = name##_size; \
        break;
        CASE(VK_SHADER_GEMM, qdot_vk_gemm)
        CASE(VK_SHADER_GEMM_INT_DOT, qdot_vk_gemm_int_dot)
        CASE(VK_SHADER_GEMM_FLOAT, qdot_vk_gemm_float)
        CASE(VK_SHADER_GEMM_TILED, qdot_vk_gemm_tiled)
        CASE(VK_SHADER_GEMM_TILED_DOT_4, qdot_vk_gemm_tiled_dot_4)
        CASE(VK_SHADER_GEMM_TILED_DOT_8, qdot_vk_gemm_tiled_dot_8)
        CASE(VK_SHADER_GEMV, qdot_vk_gemv)
        CASE(VK_SHADER_GEMV_DOT, qdot_vk_gemv_dot)
        CASE(VK_SHADER_PACK, qdot_vk_pack)
        CASE(VK_SHADER_SUMS, qdot_vk_sums)
        CASE(VK_SHADER_FOLD, qdot_vk_fold)
        CASE(VK_SHADER_REDUCE, qdot_vk_reduce)
        CASE(VK_SHADER_CONV, qdot_vk_conv)
        CASE(VK_SHADER_CONV_INT_DOT, qdot_vk_conv_int_dot)
        CASE(VK_SHADER_CONV_TILED, qdot_vk_conv_tiled)
        CASE(VK_SHADER_CONV_TILED_DOT_4, qdot_vk_conv_tiled_dot_4)
        CASE(VK_SHADER_CONV_TILED_DOT_8, qdot_vk_conv_tiled_dot_8)
        CASE(VK_SHADER_DEPTHWISE, qdot_vk_depthwise)
        CASE(VK_SHADER_GEMM_COOP, qdot_vk_gemm_coop)
        CASE(VK_SHADER_CONV_COOP, qdot_vk_conv_coop)
        CASE(VK_SHADER_INPUT, qdot_vk_input)
        CASE(VK_SHADER_WINDOW_SUMS, qdot_vk_window_sums)
        CASE(VK_SHADER_ELEMENTS, qdot_vk_elements)
        CASE(VK_SHADER_RANGE, qdot_vk_range)
        CASE(VK_SHADER_PARAMETERS, qdot_vk_parameters)
        CASE(VK_SHADER_MAP, qdot_vk_map)
        CASE(VK_SHADER_POOL, qdot_vk_pool)
#undef CASE
    }
    info.pCode = (const uint32_t *)(const void *)code; /* embedded at a word's alignment */
    return info;
}

/* The code less what it demands of floats, which a device that cannot meet it must not see: a copy. */
static uint32_t *without_float_controls(const struct qdot_device *device,
                                        VkShaderModuleCreateInfo *info)
{
    enum { HEADER = 5, EXTENSION = 10, EXECUTION_MODE = 16, CAPABILITY = 17 };
    enum { KEEP_INFINITIES = 4461, ROUND_TO_NEAREST = 4462, OF_KEEP = 4466, OF_ROUND = 4467 };
    static const char name[] = "SPV_KHR_float_controls";
    const uint32_t *code = info->pCode;
    const size_t words = info->codeSize / 4;
    uint32_t *copy = qdot_alloc(device, info->codeSize);
    size_t used = HEADER;
    if (!copy)
        return NULL;
    memcpy(copy, code, HEADER * 4);
    for (size_t at = HEADER, length; at < words; at += length) {
        const uint32_t operation = code[at] & 0xffff, *operands = code + at + 1;
        length = code[at] >> 16;
        if ((operation == CAPABILITY && (operands[0] == OF_KEEP || operands[0] == OF_ROUND)) ||
            (operation == EXECUTION_MODE &&
             (operands[1] == KEEP_INFINITIES || operands[1] == ROUND_TO_NEAREST)) ||
            (operation == EXTENSION && memcmp(operands, name, sizeof(name)) == 0))
            continue;
        memcpy(copy + used, code + at, length * 4);
        used += length;
    }
    info->pCode = copy;
    info->codeSize = used * 4;
    return copy;
}

static int build(struct qdot_device *device, const struct vk_pipeline *entry, VkPipeline *pipeline,
                 struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    VkShaderModuleCreateInfo module_create = vk_shader_code(entry->shader);
    VkShaderModule module;
    uint32_t *copy = NULL;
    if (!(device->features & VK_FLOAT_CONTROLS) &&
        !(copy = without_float_controls(device, &module_create)))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a copy of the shader");
    int status = vk_check(vkd->vk.vkCreateShaderModule(vkd->device, &module_create, NULL, &module),
                          "vkCreateShaderModule", err);
    qdot_release(device, copy);
    if (status != QDOT_OK)
        return status;
    VkSpecializationMapEntry map[VK_CONSTANTS]; /* a shader need not have all of them */
    for (uint32_t i = 0; i < VK_CONSTANTS; i++)
        map[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    const VkSpecializationInfo constants = {VK_CONSTANTS, map, sizeof(entry->constants),
                                            entry->constants};
    const bool matrix = entry->constants[CONSTANT_M] != 0;
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = vkd->coop.subgroup};
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = matrix && vkd->coop.asks ? &size : NULL,
                  .flags =
                      matrix ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = vkd->layout};
    VkPipeline made;
    status =
        vk_check(vkd->vk.vkCreateComputePipelines(vkd->device, vkd->cache, 1, &info, NULL, &made),
                 "vkCreateComputePipelines", err);
    vkd->vk.vkDestroyShaderModule(vkd->device, module, NULL);
    if (status == QDOT_OK)
        *pipeline = made;
    return status;
}

int vk_pipeline(struct qdot_device *device, const struct vk_step_pipeline *step,
                VkPipeline *pipeline, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    int status = QDOT_OK;
    pthread_mutex_lock(&vkd->pipeline_lock);
    struct vk_pipeline *entry = vkd->pipelines;
    while (entry && (entry->shader != step->shader ||
                     memcmp(entry->constants, step->constants, sizeof(step->constants)) != 0))
        entry = entry->next;
    if (!entry) {
        entry = qdot_alloc(device, sizeof(*entry));
        if (entry) {
            entry->shader = step->shader;
            memcpy(entry->constants, step->constants, sizeof(step->constants));
            status = build(device, entry, &entry->handle, err);
        } else {
            status = qdot_fail(err, QDOT_NO_MEMORY, "no memory for the pipeline");
        }
        if (status == QDOT_OK) {
            entry->next = vkd->pipelines;
            vkd->pipelines = entry;
        } else {
            qdot_release(device, entry);
        }
    }
    if (status == QDOT_OK)
        *pipeline = entry->handle;
    pthread_mutex_unlock(&vkd->pipeline_lock);
    return status;
}

/* ---- the driver's cache ---------------------------------------------------------------------- */

/* Everything that the driver's data depends on. */
static void make_key(const struct vk_device *vkd, char *key, size_t bytes)
{
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &id};
    vkd->vk.vkGetPhysicalDeviceProperties2(vkd->physical, &all);
    const VkPhysicalDeviceProperties *p = &all.properties;
    const uint8_t *const uuids[] = {p->pipelineCacheUUID, id.deviceUUID, id.driverUUID};
    int used = snprintf(key, bytes, "vulkan\n%s\n%s\n%u %u %u %u\n", qdot_version(), p->deviceName,
                        p->vendorID, p->deviceID, p->driverVersion, p->apiVersion);
    for (size_t i = 0; i < sizeof(uuids) / sizeof(uuids[0]) * VK_UUID_SIZE; i++)
        if (used >= 0 && (size_t)used < bytes)
            used += snprintf(key + used, bytes - (size_t)used, "%02x",
                             uuids[i / VK_UUID_SIZE][i % VK_UUID_SIZE]);
}

/* Drivers should check the data on their own; not all of them do. */
static bool is_ours(const struct vk_device *vkd, const void *data, size_t bytes)
{
    VkPhysicalDeviceProperties p;
    VkPipelineCacheHeaderVersionOne header;
    if (bytes < sizeof(header))
        return false;
    memcpy(&header, data, sizeof(header));
    vkd->vk.vkGetPhysicalDeviceProperties(vkd->physical, &p);
    return header.headerSize >= sizeof(header) && header.headerSize <= bytes &&
           header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           header.vendorID == p.vendorID && header.deviceID == p.deviceID &&
           memcmp(header.pipelineCacheUUID, p.pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

static int cache_open(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    char key[512];
    void *data = NULL;
    size_t bytes = 0;
    VkPipelineCache made;
    make_key(vkd, key, sizeof(key));
    const bool kept = qdot_cache_read(device, key, &data, &bytes);
    const bool ours = kept && is_ours(vkd, data, bytes);
    const VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                            .initialDataSize = ours ? bytes : 0,
                                            .pInitialData = ours ? data : NULL};
    const VkPipelineCacheCreateInfo empty = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    if (ours)
        vkd->cache_hash = qdot_hash(data, bytes, 0);
    VkResult code = vkd->vk.vkCreatePipelineCache(vkd->device, &info, NULL, &made);
    if (code != VK_SUCCESS && ours)
        code = vkd->vk.vkCreatePipelineCache(vkd->device, &empty, NULL, &made);
    if (kept)
        qdot_release(device, data);
    int status = vk_check(code, "vkCreatePipelineCache", err);
    if (status == QDOT_OK)
        vkd->cache = made;
    return status;
}

static void cache_save(struct qdot_device *device)
{
    const struct vk_device *vkd = device->impl;
    char key[512];
    size_t bytes = 0;
    if (!device->cache_dir || !vkd->pipelines ||
        vkd->vk.vkGetPipelineCacheData(vkd->device, vkd->cache, &bytes, NULL) != VK_SUCCESS ||
        bytes == 0)
        return;
    void *data = qdot_alloc(device, bytes);
    if (data &&
        vkd->vk.vkGetPipelineCacheData(vkd->device, vkd->cache, &bytes, data) == VK_SUCCESS &&
        qdot_hash(data, bytes, 0) != vkd->cache_hash) {
        make_key(vkd, key, sizeof(key));
        qdot_cache_write(device, key, data, bytes);
    }
    qdot_release(device, data);
}

/* ---- open and close -------------------------------------------------------------------------- */

int vk_pipelines_open(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    VkDescriptorSetLayoutBinding bindings[VK_BINDINGS];
    for (uint32_t i = 0; i < VK_BINDINGS; i++)
        bindings[i] =
            (VkDescriptorSetLayoutBinding){.binding = i,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .descriptorCount = 1,
                                           .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = VK_BINDINGS,
        .pBindings = bindings};
    VkDescriptorSetLayout set_layout;
    int status = vk_check(vkd->vk.vkCreateDescriptorSetLayout(vkd->device, &set, NULL, &set_layout),
                          "vkCreateDescriptorSetLayout", err);
    if (status != QDOT_OK)
        return status;
    vkd->set_layout = set_layout;
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, VK_PUSH_BYTES};
    const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .setLayoutCount = 1,
                                             .pSetLayouts = &vkd->set_layout,
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &push};
    VkPipelineLayout layout;
    status = vk_check(vkd->vk.vkCreatePipelineLayout(vkd->device, &info, NULL, &layout),
                      "vkCreatePipelineLayout", err);
    if (status != QDOT_OK)
        return status;
    vkd->layout = layout;
    return cache_open(device, err);
}

void vk_pipelines_close(struct qdot_device *device)
{
    struct vk_device *vkd = device->impl;
    if (vkd->cache) {
        cache_save(device);
        vkd->vk.vkDestroyPipelineCache(vkd->device, vkd->cache, NULL);
    }
    while (vkd->pipelines) {
        struct vk_pipeline *entry = vkd->pipelines;
        vkd->pipelines = entry->next;
        vkd->vk.vkDestroyPipeline(vkd->device, entry->handle, NULL);
        qdot_release(device, entry);
    }
    if (vkd->layout)
        vkd->vk.vkDestroyPipelineLayout(vkd->device, vkd->layout, NULL);
    if (vkd->set_layout)
        vkd->vk.vkDestroyDescriptorSetLayout(vkd->device, vkd->set_layout, NULL);
}
