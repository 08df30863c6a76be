/*
 * What the first Vulkan device's compiler makes of the rows: every pipeline that an op of a row may
 * have, built from the library's own modules and constants, and what
 * VK_KHR_pipeline_executable_properties tells of it, a file a pipeline in the directory given. Drivers
 * compile for GPUs that are not there (ci/codegen.sh, which reads the files), so nothing here is run on one.
 *
 * A file has lines "row NAME", "tile MR NR PASS INVOCATIONS", "needs FEATURE,FEATURE", "owns yes|no"
 * (whether the device says that it has the instruction in the row's form), "for cpu|gpu|any", "step
 * NUMBER" (0 multiplies), "out TYPE"; then "stat VALUE NAME" of each statistic, then the
 * assembly after a line "text NAME". The file "control" is of a kernel that must be seen to spill.
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

static void write_statistics(const struct compiler *c, VkPipeline pipeline, FILE *file)
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
        const VkPipelineExecutableStatisticValueKHR *v = &list[i].value;
        if (list[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
            fprintf(file, "stat %.0f %s\n", v->f64, list[i].name);
        else
            fprintf(file, "stat %llu %s\n", (unsigned long long)v->u64, list[i].name);
    }
}

static void write_texts(const struct compiler *c, VkPipeline pipeline, FILE *file)
{
    VkPipelineExecutableInternalRepresentationKHR list[32];
    uint32_t count = sizeof(list) / sizeof(list[0]);
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    for (uint32_t i = 0; i < count; i++)
        list[i] = (VkPipelineExecutableInternalRepresentationKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
    check(c->vkGetPipelineExecutableInternalRepresentationsKHR(c->device, &which, &count, list),
          "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++)
        if (!(list[i].pData = calloc(1, list[i].dataSize + 1)))
            check(VK_ERROR_OUT_OF_HOST_MEMORY, "calloc");
    check(c->vkGetPipelineExecutableInternalRepresentationsKHR(c->device, &which, &count, list),
          "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) {
        /* of the last stage: "Assembly", "NAK assembly", "IR3 Assembly", "GEN Assembly" */
        if (list[i].isText && strstr(list[i].name, "ssembly"))
            fprintf(file, "text %s\n%s\n", list[i].name, (const char *)list[i].pData);
        free(list[i].pData);
    }
}

static void write_pipeline(const struct compiler *c, const VkShaderModuleCreateInfo *code,
                           const uint32_t *values, FILE *file)
{
    VkPipeline pipeline = compile(c, code, values);
    write_statistics(c, pipeline, file);
    write_texts(c, pipeline, file);
    c->vk.vkDestroyPipeline(c->device, pipeline, NULL);
}

static FILE *open_file(const char *directory, const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(2);
    }
    return file;
}

static void close_file(FILE *file)
{
    if (ferror(file) || fclose(file) != 0) {
        perror("vk_codegen");
        exit(2);
    }
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* The device's flags for the form of a row. */
static bool owns_instruction(const struct compiler *c, const struct qdot_row *row)
{
    if (!(row->needs & VK_INT_DOT))
        return row->needs & VK_COOP;
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

static void write_heading(const struct compiler *c, const struct qdot_op *op,
                          const struct vk_step_pipeline *steps, size_t step, FILE *file)
{
    const struct qdot_row *row = op->row;
    const struct vk_row *impl = row->impl;
    const unsigned with = row->niche ? row->niche->with : 0;
    const char *between = "needs ";
    fprintf(file, "row %s\ntile %u %u %u %u\n", row->name, row->mr, row->nr, impl->depth * 4,
            steps[VK_MULTIPLY].constants[0]);
    for (const struct qdot_feature *f = qdot_vulkan_backend.features; f->name; f++)
        if (row->needs & f->bit) {
            fprintf(file, "%s%s", between, f->name);
            between = ",";
        }
    fprintf(file, "%s\nowns %s\nfor %s\nstep %zu\nout %d\n", row->needs ? "" : "needs",
            owns_instruction(c, row) ? "yes" : "no",
            with & VK_CPU   ? "cpu"
            : with & VK_GPU ? "gpu"
                            : "any",
            step, (int)op->p.out_type);
}

static void write_row(struct compiler *c, const struct qdot_row *row, const char *directory)
{
    static const enum qdot_type outputs[] = {QDOT_U8, QDOT_S32, QDOT_F32};
    for (size_t o = 0; o < sizeof(outputs) / sizeof(outputs[0]); o++) {
        struct vk_step_pipeline steps[VK_STEPS] = {0};
        struct vk_op impl = {0};
        struct qdot_op op = sample(c, row, outputs[o], &impl);
        (row->op == QDOT_CONV ? vk_conv_steps : vk_gemm_steps)(&op, steps);
        for (size_t i = 0; i < VK_STEPS; i++) {
            if (!steps[i].needed || (o > 0 && i != VK_MULTIPLY))
                continue;
            char name[128];
            snprintf(name, sizeof(name), "%s.%zu.%d", row->name, i, (int)outputs[o]);
            FILE *file = open_file(directory, name);
            const VkShaderModuleCreateInfo code = vk_shader_code(steps[i].shader);
            write_heading(c, &op, steps, i == VK_MULTIPLY ? 0 : i + 1, file);
            write_pipeline(c, &code, steps[i].constants, file);
            close_file(file);
        }
    }
}

static void write_control(const struct compiler *c, const char *directory)
{
    const VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = vk_spill_spv_size,
                                           .pCode = (const uint32_t *)(const void *)vk_spill_spv};
    const uint32_t values[VK_CONSTANTS] = {16, 1, QDOT_S32, FORM_SS, 64, 16};
    FILE *file = open_file(directory, "control");
    fprintf(file, "row control\ntile 64 64 64 16\nneeds\nowns no\nfor gpu\nstep 0\nout 3\n");
    write_pipeline(c, &code, values, file);
    close_file(file);
}

int main(int argc, char **argv)
{
    struct compiler c = {0};
    VkPhysicalDeviceProperties properties;
    if (argc != 2) {
        fprintf(stderr, "usage: vk_codegen DIRECTORY\n");
        return 2;
    }
    open_device(&c);
    make_layout(&c);
    c.vk.vkGetPhysicalDeviceProperties(c.physical, &properties);
    printf("%s\n", properties.deviceName);
    for (size_t i = 0; i < VK_ROWS; i++)
        if (vk_rows[i].op <= QDOT_CONV && /* no product, no inner loop to look at */
            (!(vk_rows[i].needs & VK_COOP) || (c.found.features & VK_COOP)))
            write_row(&c, &vk_rows[i], argv[1]);
    write_control(&c, argv[1]);
    c.vk.vkDestroyDevice(c.device, NULL);
    c.vk.vkDestroyInstance(c.instance, NULL);
    return 0;
}
