/*
 * What the first Vulkan device's compiler makes of the rows: every pipeline that an op of a row may
 * have, built from the library's own modules and constants, and what
 * VK_KHR_pipeline_executable_properties tells of it. RADV compiles for GPUs that are not there
 * (ci/codegen_vulkan.sh), so nothing here is run on one. Prints a table, one line a row of what its
 * multiplying pipelines have at most, and leaves with 1 when a pipeline spills (of a row for CPUs it may), or when a row has no
 * dot product of packed bytes although the device says that it has one in the row's form.
 *
 * The last line is a control: a kernel of so many accumulators that it must be seen to spill.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vulkan/vk.h"

#define EXTENSIONS(X)                       \
    X(vkGetPipelineExecutablePropertiesKHR) \
    X(vkGetPipelineExecutableStatisticsKHR) \
    X(vkGetPipelineExecutableInternalRepresentationsKHR)

struct compiler {
    struct vk_api vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkPipelineLayout layout;
    struct vk_device vkd; /* what the library finds of it: */
    struct qdot_device found;
#define X(name) PFN_##name name;
    EXTENSIONS(X)
#undef X
};

/* Of one pipeline, or the most of several. */
struct found {
    unsigned dots, vgprs, sgprs, spilled, scratch, lds, code;
    unsigned subgroups; /* a SIMD has room for: the least */
};

extern const unsigned char vk_spill_spv[];
extern const size_t vk_spill_spv_size;

static void check(VkResult result, const char *call)
{
    if (result == VK_SUCCESS)
        return;
    fprintf(stderr, "vk_codegen: %s: error %d\n", call, (int)result);
    exit(2);
}

static void *allocate(void *ctx, size_t bytes, size_t alignment)
{
    (void)ctx;
    return aligned_alloc(alignment, bytes);
}

static void release(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static void open_device(struct compiler *c)
{
    char reason[128];
    uint32_t count = 1;
    if (!vk_load(&c->vk, &c->instance, reason, sizeof(reason))) {
        fprintf(stderr, "vk_codegen: %s\n", reason);
        exit(2);
    }
    const VkResult listed = c->vk.vkEnumeratePhysicalDevices(c->instance, &count, &c->physical);
    if ((listed != VK_SUCCESS && listed != VK_INCOMPLETE) || count == 0)
        check(VK_ERROR_INITIALIZATION_FAILED, "vkEnumeratePhysicalDevices");
    struct vk_wanted wanted;
    struct qdot_error err;
    c->vkd = (struct vk_device){.vk = c->vk, .instance = c->instance, .physical = c->physical};
    c->found.impl = &c->vkd;
    c->found.allocator = (struct qdot_allocator){.alloc = allocate, .release = release};
    vk_query_limits(&c->vkd);
    if (vk_want(&c->found, &wanted, &err) != QDOT_OK) {
        fprintf(stderr, "vk_codegen: %s\n", err.text);
        exit(2);
    }
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = wanted.features,
        .pipelineExecutableInfo = VK_TRUE};
    const char *names[8] = {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME};
    memcpy(names + 1, wanted.names, sizeof(wanted.names));
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &executables,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = 1 + wanted.name_count,
                                     .ppEnabledExtensionNames = names};
    const char *missing = "a function";
    check(c->vk.vkCreateDevice(c->physical, &info, NULL, &c->device), "vkCreateDevice");
    check(vk_load_device(&c->vk, c->device, &missing) ? VK_SUCCESS : VK_ERROR_FEATURE_NOT_PRESENT,
          missing);
#define X(name)                                                        \
    c->name = (PFN_##name)c->vk.vkGetDeviceProcAddr(c->device, #name); \
    check(c->name ? VK_SUCCESS : VK_ERROR_FEATURE_NOT_PRESENT, #name);
    EXTENSIONS(X)
#undef X
}

/* As the library's: host/vulkan/pipeline.c. */
static void make_layout(struct compiler *c)
{
    VkDescriptorSetLayoutBinding bindings[VK_BINDINGS];
    for (uint32_t i = 0; i < VK_BINDINGS; i++)
        bindings[i] =
            (VkDescriptorSetLayoutBinding){.binding = i,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .descriptorCount = 1,
                                           .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = VK_BINDINGS,
        .pBindings = bindings};
    VkDescriptorSetLayout set;
    check(c->vk.vkCreateDescriptorSetLayout(c->device, &set_info, NULL, &set),
          "vkCreateDescriptorSetLayout");
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, VK_PUSH_BYTES};
    const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .setLayoutCount = 1,
                                             .pSetLayouts = &set,
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &push};
    check(c->vk.vkCreatePipelineLayout(c->device, &info, NULL, &c->layout),
          "vkCreatePipelineLayout");
}

/* ---- one pipeline ---------------------------------------------------------------------------- */

static VkPipeline compile(const struct compiler *c, const VkShaderModuleCreateInfo *code,
                          const uint32_t *values)
{
    VkShaderModule module;
    VkPipeline pipeline;
    VkSpecializationMapEntry map[VK_CONSTANTS];
    for (uint32_t i = 0; i < VK_CONSTANTS; i++)
        map[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    const VkSpecializationInfo constants = {VK_CONSTANTS, map, VK_CONSTANTS * 4, values};
    const bool matrix = values[CONSTANT_M] != 0;
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = c->vkd.coop.subgroup};
    check(c->vk.vkCreateShaderModule(c->device, code, NULL, &module), "vkCreateShaderModule");
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                 VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = matrix && c->vkd.coop.asks ? &size : NULL,
                  .flags =
                      matrix ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = c->layout};
    check(c->vk.vkCreateComputePipelines(c->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline),
          "vkCreateComputePipelines");
    c->vk.vkDestroyShaderModule(c->device, module, NULL);
    return pipeline;
}

static void read_statistics(const struct compiler *c, VkPipeline pipeline, struct found *found)
{
    VkPipelineExecutableStatisticKHR list[64];
    uint32_t count = sizeof(list) / sizeof(list[0]);
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    for (uint32_t i = 0; i < count; i++)
        list[i] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    check(c->vkGetPipelineExecutableStatisticsKHR(c->device, &which, &count, list),
          "vkGetPipelineExecutableStatisticsKHR");
    for (uint32_t i = 0; i < count; i++) {
        const unsigned value = (unsigned)list[i].value.u64;
        const char *name = list[i].name;
        if (strcmp(name, "VGPRs") == 0)
            found->vgprs = value;
        else if (strcmp(name, "SGPRs") == 0)
            found->sgprs = value;
        else if (strncmp(name, "Spilled", 7) == 0)
            found->spilled += value;
        else if (strncmp(name, "Scratch", 7) == 0)
            found->scratch = value;
        else if (strncmp(name, "LDS", 3) == 0)
            found->lds = value;
        else if (strcmp(name, "Code size") == 0)
            found->code = value;
        else if (strcmp(name, "Subgroups per SIMD") == 0)
            found->subgroups = value;
    }
}

/* Dot products in the texts that the driver gives. */
static void read_assembly(const struct compiler *c, VkPipeline pipeline, struct found *found)
{
    VkPipelineExecutableInternalRepresentationKHR list[8];
    uint32_t count = sizeof(list) / sizeof(list[0]);
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    for (uint32_t i = 0; i < count; i++)
        list[i] = (VkPipelineExecutableInternalRepresentationKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
    check(c->vkGetPipelineExecutableInternalRepresentationsKHR(c->device, &which, &count, list),
          "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++)
        list[i].pData = calloc(1, list[i].dataSize + 1);
    check(c->vkGetPipelineExecutableInternalRepresentationsKHR(c->device, &which, &count, list),
          "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) {
        const char *at = strcmp(list[i].name, "Assembly") == 0 ? list[i].pData : NULL;
        for (; at && *at; at++)
            found->dots += strncmp(at, "v_dot", 5) == 0 || strncmp(at, "v_wmma", 6) == 0 ||
                           strncmp(at, "imma", 4) == 0;
        free(list[i].pData);
    }
}

static struct found examine(const struct compiler *c, const VkShaderModuleCreateInfo *code,
                            const uint32_t *values)
{
    struct found found = {0};
    VkPipeline pipeline = compile(c, code, values);
    read_statistics(c, pipeline, &found);
    read_assembly(c, pipeline, &found);
    c->vk.vkDestroyPipeline(c->device, pipeline, NULL);
    return found;
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* The device's flags for the form of a row. */
static bool owns_dot(const struct compiler *c, const struct qdot_row *row)
{
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &dot};
    c->vk.vkGetPhysicalDeviceProperties2(c->physical, &all);
    if (row->a_form != row->b_form)
        return dot.integerDotProduct4x8BitPackedMixedSignednessAccelerated;
    return row->a_form == QDOT_S8 ? dot.integerDotProduct4x8BitPackedSignedAccelerated
                                  : dot.integerDotProduct4x8BitPackedUnsignedAccelerated;
}

static void at_least(unsigned *most, unsigned value)
{
    if (value > *most)
        *most = value;
}

static void add(struct found *all, const struct found *one, bool multiplies)
{
    at_least(&all->spilled, one->spilled);
    at_least(&all->scratch, one->scratch);
    if (!multiplies)
        return;
    if (all->code == 0 || one->dots < all->dots)
        all->dots = one->dots;
    if (all->code == 0 || one->subgroups < all->subgroups)
        all->subgroups = one->subgroups;
    at_least(&all->vgprs, one->vgprs);
    at_least(&all->sgprs, one->sgprs);
    at_least(&all->lds, one->lds);
    at_least(&all->code, one->code);
}

/* An op that needs every pipeline: B comes with the run, its zero point is not 0. */
static struct qdot_op sample(struct compiler *c, const struct qdot_row *row, enum qdot_type out,
                             struct vk_op *impl)
{
    const size_t groups = row->depthwise ? 64 : 1;
    struct qdot_op op = {.device = &c->found, .row = row, .impl = impl};
    op.p = (struct qdot_problem){.op = row->op,
                                 .m = 4096,
                                 .n = row->op == QDOT_CONV ? 64 : 4096,
                                 .k = row->op == QDOT_CONV ? 576 / groups : 4096,
                                 .a_type = QDOT_U8,
                                 .b_type = QDOT_S8,
                                 .out_type = out,
                                 .b_at_run = row->op == QDOT_GEMM,
                                 .a_zero_per_row = row->op == QDOT_GEMM};
    op.p.conv = (struct qdot_geometry){.batch = 1,
                                       .h = 64,
                                       .w = 64,
                                       .c = 64,
                                       .oh = 64,
                                       .ow = 64,
                                       .o = 64,
                                       .kh = 3,
                                       .kw = 3,
                                       .stride_h = 1,
                                       .stride_w = 1,
                                       .dilation_h = 1,
                                       .dilation_w = 1,
                                       .insert_h = 1,
                                       .insert_w = 1,
                                       .groups = groups,
                                       .cg = 64 / groups,
                                       .og = 64 / groups};
    op.terms.any_b_neg = true;
    if (!qdot_packed_layout(row, &op.p, &op.packed))
        exit(2);
    return op;
}

static struct found examine_row(struct compiler *c, const struct qdot_row *row)
{
    static const enum qdot_type outputs[] = {QDOT_S32, QDOT_U8, QDOT_F32};
    struct found all = {0};
    for (size_t o = 0; o < sizeof(outputs) / sizeof(outputs[0]); o++) {
        struct vk_step_pipeline steps[VK_STEPS] = {0};
        struct vk_op impl = {0};
        struct qdot_op op = sample(c, row, outputs[o], &impl);
        (row->op == QDOT_CONV ? vk_conv_steps : vk_gemm_steps)(&op, steps);
        for (size_t i = 0; i < VK_STEPS; i++) {
            if (!steps[i].needed || (o > 0 && i != VK_MULTIPLY))
                continue;
            const VkShaderModuleCreateInfo code = vk_shader_code(steps[i].shader);
            const struct found one = examine(c, &code, steps[i].constants);
            add(&all, &one, i == VK_MULTIPLY);
        }
    }
    return all;
}

static void print(const char *name, const struct found *f, const char *verdict)
{
    printf("%-24s %5u %6u %6u %8u %8u %7u %10u %7u  %s\n", name, f->dots, f->vgprs, f->sgprs,
           f->spilled, f->scratch, f->lds, f->subgroups, f->code, verdict);
}

static bool control(const struct compiler *c)
{
    const VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = vk_spill_spv_size,
                                           .pCode = (const uint32_t *)(const void *)vk_spill_spv};
    const uint32_t values[VK_CONSTANTS] = {16, 1, QDOT_S32, FORM_SS, 64, 16};
    const struct found found = examine(c, &code, values);
    print("(16x16 each)", &found, found.spilled ? "control: spills, as it must" : "FAIL: no spill");
    return found.spilled > 0;
}

int main(void)
{
    struct compiler c = {0};
    VkPhysicalDeviceProperties properties;
    bool passed = true;
    open_device(&c);
    make_layout(&c);
    c.vk.vkGetPhysicalDeviceProperties(c.physical, &properties);
    printf("%s\n%-24s %5s %6s %6s %8s %8s %7s %10s %7s\n", properties.deviceName, "row", "dots",
           "vgprs", "sgprs", "spilled", "scratch", "lds", "subgroups", "code");
    for (size_t i = 0; i < VK_ROWS; i++) {
        const struct qdot_row *row = &vk_rows[i];
        if ((row->needs & VK_COOP) && !(c.found.features & VK_COOP))
            continue;
        const struct found found = examine_row(&c, row);
        const bool claims = row->needs & (VK_INT_DOT | VK_COOP);
        const bool owns = (row->needs & VK_COOP) || owns_dot(&c, row);
        const bool for_cpus = row->niche && (row->niche->with & VK_CPU);
        const char *verdict = for_cpus                         ? "for CPUs"
                              : found.spilled || found.scratch ? "FAIL: spills"
                              : claims && owns && !found.dots  ? "FAIL: no dot product"
                              : claims && !owns && found.dots  ? "FAIL: a dot product unlisted"
                              : claims && !owns                ? "the device has none of this form"
                                                               : "";
        passed = passed && strncmp(verdict, "FAIL", 4) != 0;
        print(row->name, &found, verdict);
        fflush(stdout);
    }
    passed = control(&c) && passed;
    c.vk.vkDestroyDevice(c.device, NULL);
    c.vk.vkDestroyInstance(c.instance, NULL);
    return passed ? 0 : 1;
}
