/* Groups advertised, limits and build on Vulkan: what a device says of itself, tried. What lies past
 * a limit is undefined in Vulkan, and so is a module that is not valid: neither is tried. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "probe_vulkan.h"

struct state {
    struct probe_vk vk;
    char device[24];
    const struct check *checks;
};

struct check {
    const char *name;
    enum verdict (*run)(struct state *s, struct outcome *outcome);
};

#define MODULE(name)                         \
    extern const unsigned char name##_spv[]; \
    extern const size_t name##_spv_size;
MODULE(check_limits_128)
MODULE(check_limits_256)
MODULE(check_subgroup)

enum kind { ROTATE, SHARED, PUSH, GROUPS, FLOATS, SUBGROUPS, MIXED };

struct job {
    enum kind kind;
    uint32_t local, words, groups;
    uint32_t *source, *result;
    size_t source_words, result_words;
    bool long_push; /* 256 bytes */
};

static bool dispatch(struct state *s, const struct job *job, struct outcome *outcome)
{
    const uint32_t constants[3] = {job->local, job->kind, job->words};
    uint32_t pushed[64];
    const char *call = "";
    for (uint32_t i = 0; i < 64; i++)
        pushed[i] = 0x01010101u * i + 7;
    struct probe_vk_run run = {
        .spirv = check_limits_128_spv,
        .spirv_bytes = check_limits_128_spv_size,
        .constants = constants,
        .constant_count = 3,
        .buffers = {{job->source, job->source_words * 4, 0},
                    {job->result, job->result_words * 4, 0}},
        .buffer_count = 2,
        .pushed = pushed,
        .pushed_bytes = job->long_push ? 256 : 128,
        .groups = job->groups,
    };
    if (job->long_push) {
        run.spirv = check_limits_256_spv;
        run.spirv_bytes = check_limits_256_spv_size;
    } else if (job->kind == SUBGROUPS) {
        run.spirv = check_subgroup_spv;
        run.spirv_bytes = check_subgroup_spv_size;
    }
    const VkResult code = probe_vk_run(&s->vk, &run, &call);
    if (code != VK_SUCCESS)
        check_fail(outcome, "%s: error %d", call, (int)code);
    return code == VK_SUCCESS;
}

static enum verdict wrong_word(struct outcome *outcome, size_t i, uint32_t got, uint32_t expected)
{
    snprintf(outcome->index, sizeof(outcome->index), "[%zu]", i);
    snprintf(outcome->got, sizeof(outcome->got), "0x%08x", got);
    snprintf(outcome->expected, sizeof(outcome->expected), "0x%08x", expected);
    return check_fail(outcome, "a wrong value");
}

#define CHECK(name) static enum verdict name(struct state *s, struct outcome *outcome)

/* ---- advertised ------------------------------------------------------------------------------ */

CHECK(subgroup_size)
{
    uint32_t zero = 0, result[2 * 128] = {0};
    const uint32_t local = s->vk.limits.maxComputeWorkGroupInvocations < 128
                               ? s->vk.limits.maxComputeWorkGroupInvocations
                               : 128;
    const struct job job = {.kind = SUBGROUPS,
                            .local = local,
                            .words = 1,
                            .groups = 1,
                            .source = &zero,
                            .source_words = 1,
                            .result = result,
                            .result_words = 2 * (size_t)local};
    if (!(s->vk.features & PROBE_VK_SUBGROUP))
        return check_refuse(outcome, "the device has no arithmetic over subgroups");
    if (!dispatch(s, &job, outcome))
        return VERDICT_FAIL;
    for (uint32_t i = 0; i < local; i++) {
        if (result[2 * i] != s->vk.subgroup)
            return wrong_word(outcome, 2 * i, result[2 * i], s->vk.subgroup);
        if (result[2 * i + 1] != s->vk.subgroup && local % s->vk.subgroup == 0) {
            wrong_word(outcome, 2 * i + 1, result[2 * i + 1], s->vk.subgroup);
            return check_fail(outcome, "subgroupAdd over another number of invocations");
        }
    }
    return VERDICT_PASS;
}

/* Where it cannot be asked for, does it happen all the same? Where it can, group primitive asks. */
CHECK(float_controls)
{
    /* 1 + 2^-24 is half-way, 1 + 3 * 2^-24 the next one; half of the smallest normal */
    uint32_t source[4] = {0x3f800001, 0x33800000, 0x00800000, 0x3f000000}, result[2] = {0};
    const struct job job = {.kind = FLOATS,
                            .local = 1,
                            .words = 1,
                            .groups = 1,
                            .source = source,
                            .source_words = 4,
                            .result = result,
                            .result_words = 2};
    if (!dispatch(s, &job, outcome))
        return VERDICT_FAIL;
    const bool nearest = result[0] == 0x3f800002, kept = result[1] == 0x00400000;
    if (nearest && !(s->vk.features & PROBE_VK_FLOATS))
        return check_note(outcome, "sums round to nearest even, which is not claimed");
    if (kept && !(s->vk.features & PROBE_VK_DENORMS))
        return check_note(outcome, "subnormals are kept, which is not claimed");
    return VERDICT_PASS;
}

CHECK(dot_flags)
{
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &p};
    if (!(s->vk.features & PROBE_VK_DOT))
        return VERDICT_PASS;
    s->vk.vkGetPhysicalDeviceProperties2(s->vk.physical, &all);
    const VkBool32 flags[] = {
        p.integerDotProduct8BitUnsignedAccelerated,
        p.integerDotProduct8BitSignedAccelerated,
        p.integerDotProduct8BitMixedSignednessAccelerated,
        p.integerDotProduct4x8BitPackedUnsignedAccelerated,
        p.integerDotProduct4x8BitPackedSignedAccelerated,
        p.integerDotProduct4x8BitPackedMixedSignednessAccelerated,
        p.integerDotProductAccumulatingSaturating8BitUnsignedAccelerated,
        p.integerDotProductAccumulatingSaturating8BitSignedAccelerated,
        p.integerDotProductAccumulatingSaturating8BitMixedSignednessAccelerated,
        p.integerDotProductAccumulatingSaturating4x8BitPackedUnsignedAccelerated,
        p.integerDotProductAccumulatingSaturating4x8BitPackedSignedAccelerated,
        p.integerDotProductAccumulatingSaturating4x8BitPackedMixedSignednessAccelerated,
    };
    size_t fast = 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        fast += flags[i] != VK_FALSE;
    return check_note(outcome, "%zu of 12 dot products of bytes are claimed to be accelerated",
                      fast);
}

/* Cooperative matrices are tried by the library's rows, whose self-test is what they must pass. */
CHECK(matrices)
{
    struct qdot_error err = {0};
    struct qdot_device *device = NULL;
    const struct qdot_device_desc desc = {
        .size = sizeof(desc), .device = s->device, .cache_dir = ""};
    char refusal[192] = "no row for them";
    size_t admitted = 0;
    if (!(s->vk.features & PROBE_VK_MATRIX))
        return VERDICT_PASS;
    if (qdot_open(&desc, &device, &err))
        return check_fail(outcome, "qdot_open: %s", err.text);
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row_name(device, i, row.name, &err))
            break;
        if (!strstr(row.name, "coop"))
            continue;
        if (qdot_device_row(device, i, &row, &err)) {
            snprintf(refusal, sizeof(refusal), "%.190s", err.text);
            break;
        }
        admitted += row.admitted != 0;
        if (!row.admitted)
            snprintf(refusal, sizeof(refusal), "%s", row.reason);
    }
    qdot_close(device);
    return admitted ? VERDICT_PASS
                    : check_fail(outcome, "claimed, and no row for cooperative matrices works: %s",
                                 refusal);
}

static const struct check advertised[] = {
    {"the size of a subgroup", subgroup_size},
    {"rounding and subnormals", float_controls},
    {"integer dot products: flags", dot_flags},
    {"cooperative matrices", matrices},
    {NULL, NULL},
};

/* ---- limits ---------------------------------------------------------------------------------- */

static uint32_t largest_group(const struct state *s)
{
    const VkPhysicalDeviceLimits *l = &s->vk.limits;
    return l->maxComputeWorkGroupSize[0] < l->maxComputeWorkGroupInvocations
               ? l->maxComputeWorkGroupSize[0]
               : l->maxComputeWorkGroupInvocations;
}

CHECK(group_at_limit)
{
    const uint32_t local = largest_group(s);
    uint32_t source = 0x01020304, *result = calloc(local, 4);
    const struct job job = {.kind = ROTATE,
                            .local = local,
                            .words = local,
                            .groups = 1,
                            .source = &source,
                            .source_words = 1,
                            .result = result,
                            .result_words = local};
    if (!result)
        return check_fail(outcome, "out of memory");
    enum verdict verdict = dispatch(s, &job, outcome) ? VERDICT_PASS : VERDICT_FAIL;
    for (uint32_t i = 0; i < local && verdict == VERDICT_PASS; i++)
        if (result[i] != source + (i + 1) % local)
            verdict = wrong_word(outcome, i, result[i], source + (i + 1) % local);
    free(result);
    return verdict;
}

CHECK(shared_at_limit)
{
    const uint32_t words = s->vk.limits.maxComputeSharedMemorySize / 4;
    uint32_t source = 77, result[64] = {0};
    const struct job job = {.kind = SHARED,
                            .local = 64,
                            .words = words,
                            .groups = 1,
                            .source = &source,
                            .source_words = 1,
                            .result = result,
                            .result_words = 64};
    if (!dispatch(s, &job, outcome))
        return VERDICT_FAIL;
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t sum = 0;
        for (uint32_t j = i; j < words; j += 64)
            sum += 77 + words - 1 - j;
        if (result[i] != sum)
            return wrong_word(outcome, i, result[i], sum);
    }
    return VERDICT_PASS;
}

static enum verdict push(struct state *s, bool longer, struct outcome *outcome)
{
    uint32_t source = 0, result[64] = {0};
    const struct job job = {.kind = PUSH,
                            .local = 32,
                            .words = 1,
                            .groups = 1,
                            .source = &source,
                            .source_words = 1,
                            .result = result,
                            .result_words = 64,
                            .long_push = longer};
    if (!dispatch(s, &job, outcome))
        return VERDICT_FAIL;
    for (uint32_t i = 0; i < (longer ? 64 : 32); i++)
        if (result[i] != 0x01010101u * i + 7)
            return wrong_word(outcome, i, result[i], 0x01010101u * i + 7);
    return VERDICT_PASS;
}

CHECK(push_128)
{
    return push(s, false, outcome);
}

CHECK(push_256)
{
    return s->vk.limits.maxPushConstantsSize >= 256
               ? push(s, true, outcome)
               : check_refuse(outcome, "the device has %u bytes of push constants",
                              s->vk.limits.maxPushConstantsSize);
}

/* As many as any device has; more where they cost no more than this. */
CHECK(groups_at_limit)
{
    const uint32_t limit = s->vk.limits.maxComputeWorkGroupCount[0];
    const uint32_t groups = limit < 65535 ? limit : 65535;
    uint32_t source = 0x5a5a5a5a, *result = calloc(groups, 4);
    const struct job job = {.kind = GROUPS,
                            .local = 1,
                            .words = 1,
                            .groups = groups,
                            .source = &source,
                            .source_words = 1,
                            .result = result,
                            .result_words = groups};
    if (!result)
        return check_fail(outcome, "out of memory");
    enum verdict verdict = dispatch(s, &job, outcome) ? VERDICT_PASS : VERDICT_FAIL;
    for (uint32_t i = 0; i < groups && verdict == VERDICT_PASS; i++)
        if (result[i] != (i ^ source))
            verdict = wrong_word(outcome, i, result[i], i ^ source);
    free(result);
    return verdict;
}

/* What the standard requires of every device. */
CHECK(least)
{
    const VkPhysicalDeviceLimits *l = &s->vk.limits;
    const struct {
        const char *name;
        uint64_t value, least;
    } required[] = {
        {"maxStorageBufferRange", l->maxStorageBufferRange, 1 << 27},
        {"maxPushConstantsSize", l->maxPushConstantsSize, 128},
        {"maxComputeSharedMemorySize", l->maxComputeSharedMemorySize, 16384},
        {"maxComputeWorkGroupCount[0]", l->maxComputeWorkGroupCount[0], 65535},
        {"maxComputeWorkGroupCount[1]", l->maxComputeWorkGroupCount[1], 65535},
        {"maxComputeWorkGroupInvocations", l->maxComputeWorkGroupInvocations, 128},
        {"maxComputeWorkGroupSize[0]", l->maxComputeWorkGroupSize[0], 128},
        {"maxPerStageDescriptorStorageBuffers", l->maxPerStageDescriptorStorageBuffers, 4},
        {"maxMemoryAllocationSize", s->vk.max_allocation, 1 << 30},
    };
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (required[i].value < required[i].least)
            return check_fail(outcome, "%s is %llu, every device has %llu", required[i].name,
                              (unsigned long long)required[i].value,
                              (unsigned long long)required[i].least);
    const VkDeviceSize align = l->minStorageBufferOffsetAlignment;
    if (align == 0 || align > 256 || (align & (align - 1)))
        return check_fail(outcome, "minStorageBufferOffsetAlignment is %llu",
                          (unsigned long long)align);
    return VERDICT_PASS;
}

static const struct check limits[] = {
    {"limits that every device has", least},
    {"the largest work-group", group_at_limit},
    {"all shared memory", shared_at_limit},
    {"128 bytes of push constants", push_128},
    {"256 bytes of push constants", push_256},
    {"as many work-groups as one dispatch has", groups_at_limit},
    {NULL, NULL},
};

/* ---- build ----------------------------------------------------------------------------------- */

CHECK(built_twice)
{
    enum { WORDS = 256 };
    uint32_t source[WORDS], result[WORDS];
    const struct job job = {.kind = MIXED,
                            .local = 64,
                            .words = 1,
                            .groups = WORDS / 64,
                            .source = source,
                            .source_words = WORDS,
                            .result = result,
                            .result_words = WORDS};
    for (int time = 0; time < 2; time++) {
        for (uint32_t i = 0; i < WORDS; i++)
            source[i] = i * 2654435761u;
        memset(result, 0xaa, sizeof(result));
        if (!dispatch(s, &job, outcome))
            return VERDICT_FAIL;
        for (uint32_t i = 0; i < WORDS; i++) {
            uint32_t x = i * 2654435761u;
            for (int k = 0; k < 9; k++) {
                const uint32_t byte = x >> 16 & 0xff;
                x = x * 0x01000193u + (byte > 127 ? byte | 0xffffff00u : byte) + (x >> 7);
            }
            if (result[i] != x)
                return wrong_word(outcome, i, result[i], x);
        }
    }
    return VERDICT_PASS;
}

static const struct check builds[] = {
    {"a pipeline made twice", built_twice},
    {NULL, NULL},
};

/* ---- the sets -------------------------------------------------------------------------------- */

static const char *name_of(void *state, size_t index)
{
    const struct state *s = state;
    return s->checks[index].name;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct state *s = state;
    return s->checks[index].run(s, outcome);
}

static void *open_checks(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s || !probe_vk_open(&s->vk, target->index, reason, reason_bytes)) {
        free(s);
        return NULL;
    }
    s->checks = target->cases;
    snprintf(s->device, sizeof(s->device), "%s", target->device);
    return s;
}

static void close_checks(void *state)
{
    struct state *s = state;
    probe_vk_close(&s->vk);
    free(s);
}

const struct check_set check_vulkan[] = {
    {"device/advertised", "advertised", "what is claimed, tried; what works and is not claimed",
     "vulkan", open_checks, name_of, run, close_checks, advertised},
    {"device/limits", "limits", "what every device has, and at each limit it runs", "vulkan",
     open_checks, name_of, run, close_checks, limits},
    {"device/build", "build", "two pipelines of a module are the same", "vulkan", open_checks,
     name_of, run, close_checks, builds},
    {.name = NULL},
};
