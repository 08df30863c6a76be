/* What a device is made with: the extensions and features that rows use, as far as it has them, the
 * bits of the backend that say so, and the shape of products of its matrix units. */
#include <string.h>
#include "vk.h"

#define LINK(member)                                \
    do {                                            \
        wanted->member.pNext = wanted->features;    \
        wanted->features = (void *)&wanted->member; \
    } while (0)

static bool lists(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].extensionName, name) == 0)
            return true;
    return false;
}

static void query(const struct vk_device *vkd, void *features, void *properties)
{
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                     .pNext = features};
    VkPhysicalDeviceProperties2 more = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                        .pNext = properties};
    if (features)
        vkd->vk.vkGetPhysicalDeviceFeatures2(vkd->physical, &all);
    if (properties)
        vkd->vk.vkGetPhysicalDeviceProperties2(vkd->physical, &more);
}

static bool on_cpu(const struct vk_device *vkd)
{
    VkPhysicalDeviceProperties properties;
    vkd->vk.vkGetPhysicalDeviceProperties(vkd->physical, &properties);
    return properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
}

/* ---- dot products ---------------------------------------------------------------------------- */

/* Which dot products of packed bytes the device has instructions for, as it says: enough to order
 * rows before they are measured. */
static uint32_t want_dot(const struct vk_device *vkd, struct vk_wanted *wanted)
{
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR fast = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR};
    wanted->dot = (VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR};
    query(vkd, &wanted->dot, &fast);
    if (!wanted->dot.shaderIntegerDotProduct)
        return 0;
    LINK(dot);
    wanted->names[wanted->name_count++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    return VK_INT_DOT | (fast.integerDotProduct4x8BitPackedSignedAccelerated ? VK_SIGNED_DOT : 0u) |
           (fast.integerDotProduct4x8BitPackedUnsignedAccelerated ? VK_UNSIGNED_DOT : 0u) |
           (fast.integerDotProduct4x8BitPackedMixedSignednessAccelerated ? VK_MIXED_DOT : 0u);
}

/* ---- floats ---------------------------------------------------------------------------------- */

static bool pins_floats(const struct vk_device *vkd)
{
    VkPhysicalDeviceFloatControlsProperties floats = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
    query(vkd, NULL, &floats);
    return floats.shaderRoundingModeRTEFloat32 && floats.shaderSignedZeroInfNanPreserveFloat32;
}

/* ---- matrix units ---------------------------------------------------------------------------- */

/* s8 by s8 to s32, of a subgroup, of a shape that tiles are made of; sums that saturate are wrong. */
static bool usable(const VkCooperativeMatrixPropertiesKHR *p)
{
    const bool type =
        p->AType == VK_COMPONENT_TYPE_SINT8_KHR && p->BType == VK_COMPONENT_TYPE_SINT8_KHR &&
        p->CType == VK_COMPONENT_TYPE_SINT32_KHR && p->ResultType == VK_COMPONENT_TYPE_SINT32_KHR;
    return type && !p->saturatingAccumulation && p->scope == VK_SCOPE_SUBGROUP_KHR &&
           (p->MSize == 8 || p->MSize == 16 || p->MSize == 32) &&
           (p->NSize == 8 || p->NSize == 16 || p->NSize == 32) &&
           (p->KSize == 8 || p->KSize == 16 || p->KSize == 32 || p->KSize == 64);
}

/* The largest shape: it has the most products for each byte loaded. */
static int find_shape(struct qdot_device *device, struct vk_coop *coop, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkd->vk.vkGetInstanceProcAddr(
            vkd->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    uint32_t count = 0;
    if (!get || get(vkd->physical, &count, NULL) != VK_SUCCESS || count == 0)
        return QDOT_OK;
    VkCooperativeMatrixPropertiesKHR *list = qdot_alloc(device, count * sizeof(*list));
    if (!list)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of matrix shapes");
    for (uint32_t i = 0; i < count; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    const VkResult code = get(vkd->physical, &count, list);
    for (uint32_t i = 0; i < count && (code == VK_SUCCESS || code == VK_INCOMPLETE); i++) {
        const VkCooperativeMatrixPropertiesKHR *p = &list[i];
        if (usable(p) && p->MSize * p->NSize * p->KSize > coop->m * coop->n * coop->k)
            *coop = (struct vk_coop){.m = p->MSize, .n = p->NSize, .k = p->KSize};
    }
    qdot_release(device, list);
    return QDOT_OK;
}

/* The subgroups of kernels for matrix units: full, and the smallest where there is a choice. */
static bool find_subgroup(const struct vk_wanted *wanted,
                          const VkPhysicalDeviceSubgroupSizeControlPropertiesEXT *sizes,
                          struct vk_coop *coop)
{
    coop->subgroup = sizes->minSubgroupSize;
    coop->asks = sizes->minSubgroupSize != sizes->maxSubgroupSize;
    coop->most_subgroups = sizes->maxComputeWorkgroupSubgroups;
    const bool may_ask = wanted->subgroups.subgroupSizeControl &&
                         (sizes->requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    return wanted->subgroups.computeFullSubgroups && (may_ask || !coop->asks) &&
           coop->subgroup >= 8 && coop->subgroup <= 64;
}

static int want_matrix(struct qdot_device *device, struct vk_wanted *wanted, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    struct vk_coop coop = {0};
    wanted->matrix = (VkPhysicalDeviceCooperativeMatrixFeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    wanted->subgroups = (VkPhysicalDeviceSubgroupSizeControlFeaturesEXT){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
        .pNext = &wanted->matrix};
    wanted->memory_model = (VkPhysicalDeviceVulkanMemoryModelFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .pNext = &wanted->subgroups};
    wanted->int8 = (VkPhysicalDeviceShaderFloat16Int8Features){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .pNext = &wanted->memory_model};
    query(vkd, &wanted->int8, &sizes);
    int status = wanted->matrix.cooperativeMatrix ? find_shape(device, &coop, err) : QDOT_OK;
    /* Drivers on a CPU (llvmpipe of Mesa 26.2) keep a row in an invocation; where these are not as
     * many, its compiler dies. */
    if ((device->features & VK_CPU) && sizes.minSubgroupSize != coop.m)
        return status;
    if (coop.m == 0 || !find_subgroup(wanted, &sizes, &coop) ||
        !wanted->memory_model.vulkanMemoryModel || !wanted->int8.shaderInt8)
        return status;
    vkd->coop = coop;
    device->features |= VK_COOP;
    LINK(matrix);
    LINK(subgroups);
    LINK(memory_model);
    LINK(int8);
    wanted->names[wanted->name_count++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    wanted->names[wanted->name_count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    return status;
}

/* ---- what is wanted -------------------------------------------------------------------------- */

int vk_want(struct qdot_device *device, struct vk_wanted *wanted, struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    uint32_t count = 0;
    *wanted = (struct vk_wanted){0};
    device->features |= on_cpu(vkd) ? VK_CPU : VK_GPU;
    int status =
        vk_check(vkd->vk.vkEnumerateDeviceExtensionProperties(vkd->physical, NULL, &count, NULL),
                 "vkEnumerateDeviceExtensionProperties", err);
    if (status != QDOT_OK || count == 0)
        return status;
    VkExtensionProperties *list = qdot_alloc(device, count * sizeof(*list));
    if (!list)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of extensions");
    const VkResult code =
        vkd->vk.vkEnumerateDeviceExtensionProperties(vkd->physical, NULL, &count, list);
    status = vk_check(code == VK_INCOMPLETE ? VK_SUCCESS : code,
                      "vkEnumerateDeviceExtensionProperties", err);
    if (status == QDOT_OK && lists(list, count, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME))
        device->features |= want_dot(vkd, wanted);
    const bool listed = lists(list, count, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME);
    if (status == QDOT_OK && (listed || vkd->version >= VK_API_VERSION_1_2) && pins_floats(vkd)) {
        device->features |= VK_FLOAT_CONTROLS;
        if (listed) /* before version 1.2 */
            wanted->names[wanted->name_count++] = VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME;
    }
    /* The memory model and bytes in shaders are of version 1.2. */
    if (status == QDOT_OK && vkd->version >= VK_API_VERSION_1_2 &&
        lists(list, count, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) &&
        lists(list, count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
        status = want_matrix(device, wanted, err);
    qdot_release(device, list);
    return status;
}

/* ---- what a host enabled --------------------------------------------------------------------- */

static bool names(const struct vk_enabled *enabled, const char *name)
{
    for (uint32_t i = 0; i < enabled->name_count; i++)
        if (enabled->names[i] && strcmp(enabled->names[i], name) == 0)
            return true;
    return false;
}

/* Of the chain: structures of one extension each, and those that have all of a version. */
struct features {
    bool dot, matrix, size_control, full_subgroups, memory_model, int8;
};

static struct features find_enabled(const void *chain)
{
    struct features found = {0};
    for (const VkBaseInStructure *at = chain; at; at = at->pNext) {
        const void *s = at;
        switch ((int)at->sType) {
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR: {
            const VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR *f = s;
            found.dot |= f->shaderIntegerDotProduct;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR: {
            const VkPhysicalDeviceCooperativeMatrixFeaturesKHR *f = s;
            found.matrix |= f->cooperativeMatrix;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT: {
            const VkPhysicalDeviceSubgroupSizeControlFeaturesEXT *f = s;
            found.size_control |= f->subgroupSizeControl;
            found.full_subgroups |= f->computeFullSubgroups;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES: {
            const VkPhysicalDeviceVulkanMemoryModelFeatures *f = s;
            found.memory_model |= f->vulkanMemoryModel;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES: {
            const VkPhysicalDeviceShaderFloat16Int8Features *f = s;
            found.int8 |= f->shaderInt8;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES: {
            const VkPhysicalDeviceVulkan12Features *f = s;
            found.memory_model |= f->vulkanMemoryModel;
            found.int8 |= f->shaderInt8;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES: {
            const VkPhysicalDeviceVulkan13Features *f = s;
            found.dot |= f->shaderIntegerDotProduct;
            found.size_control |= f->subgroupSizeControl;
            found.full_subgroups |= f->computeFullSubgroups;
            break;
        }
        default:
            break;
        }
    }
    return found;
}

void vk_grant(struct qdot_device *device, const struct vk_enabled *enabled)
{
    struct vk_device *vkd = device->impl;
    const struct features f = find_enabled(enabled->features);
    const bool is_1_3 = vkd->version >= VK_API_VERSION_1_3;
    if (!f.dot || !(is_1_3 || names(enabled, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)))
        device->features &=
            ~(uint32_t)(VK_INT_DOT | VK_SIGNED_DOT | VK_UNSIGNED_DOT | VK_MIXED_DOT);
    if (vkd->version < VK_API_VERSION_1_2 &&
        !names(enabled, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME))
        device->features &= ~(uint32_t)VK_FLOAT_CONTROLS;
    if (!f.matrix || !f.full_subgroups || !f.memory_model || !f.int8 ||
        (vkd->coop.asks && !f.size_control) ||
        !names(enabled, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) ||
        !(is_1_3 || names(enabled, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))) {
        device->features &= ~(uint32_t)VK_COOP;
        vkd->coop = (struct vk_coop){0};
    }
}
