/* Group primitive on Vulkan: words, vectors and bytes from memory, at every offset of a buffer that
 * the device allows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "probe_vulkan.h"

enum { ITEMS = 256, LOCAL = 64, OFFSETS = 3 };

extern const unsigned char check_load_spv[], check_load_bytes_spv[];
extern const size_t check_load_spv_size, check_load_bytes_spv_size;

static const struct {
    const char *text;
    unsigned needs;
} kinds[] = {
    {"uint", 0},
    {"uvec4", 0},
    {"uint8_t, four from any byte on", PROBE_VK_BYTES},
    {"int8_t", PROBE_VK_BYTES},
    {"uint16_t", PROBE_VK_BYTES},
    {"u8vec4", PROBE_VK_BYTES},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const size_t offsets[OFFSETS] = {0, 1, 7}; /* in steps that the device allows */

struct state {
    struct probe_vk vk;
    uint64_t seed;
    char name[96];
};

static const char *name_of(void *state, size_t index)
{
    struct state *s = state;
    if (index >= KINDS * OFFSETS)
        return NULL;
    snprintf(s->name, sizeof(s->name), "%s, %llu bytes into a buffer", kinds[index / OFFSETS].text,
             (unsigned long long)(offsets[index % OFFSETS] *
                                  s->vk.limits.minStorageBufferOffsetAlignment));
    return s->name;
}

static uint32_t expected(size_t kind, const uint8_t *memory, size_t i)
{
    uint32_t word;
    memcpy(&word, memory + (kind == 2 || kind == 3 ? i : 4 * i), sizeof(word));
    if (kind == 3)
        word = (word & 0xff) | (word & 0x80 ? 0xffffff00u : 0);
    return word;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct state *s = state;
    const size_t kind = index / OFFSETS;
    const unsigned all = PROBE_VK_BYTES | PROBE_VK_SHORTS | PROBE_VK_INT8 | PROBE_VK_INT16;
    uint8_t memory[ITEMS * 4 + 4];
    uint32_t results[ITEMS] = {0};
    const uint32_t constant = (uint32_t)kind;
    struct random random = {random_seed(s->seed, "load", index)};
    const char *call = "";
    if (kinds[kind].needs && (s->vk.features & all) != all)
        return check_refuse(outcome, "needs types of 8 and 16 bits in buffers");
    fill_bytes(&random, memory, sizeof(memory), QDOT_U8, FILL_ANY, 0);
    const struct probe_vk_run args = {
        .spirv = kinds[kind].needs ? check_load_bytes_spv : check_load_spv,
        .spirv_bytes = kinds[kind].needs ? check_load_bytes_spv_size : check_load_spv_size,
        .constants = &constant,
        .constant_count = 1,
        .buffers = {{memory, sizeof(memory),
                     offsets[index % OFFSETS] *
                         (size_t)s->vk.limits.minStorageBufferOffsetAlignment},
                    {results, sizeof(results), 0}},
        .buffer_count = 2,
        .groups = ITEMS / LOCAL,
    };
    const VkResult code = probe_vk_run(&s->vk, &args, &call);
    if (code != VK_SUCCESS)
        return check_fail(outcome, "%s: error %d", call, (int)code);
    for (size_t i = 0; i < ITEMS; i++) {
        const uint32_t right = expected(kind, memory, i);
        if (results[i] == right)
            continue;
        snprintf(outcome->index, sizeof(outcome->index), "[%zu]", i);
        snprintf(outcome->got, sizeof(outcome->got), "0x%08x", results[i]);
        snprintf(outcome->expected, sizeof(outcome->expected), "0x%08x", right);
        return check_fail(outcome, "a wrong value");
    }
    return VERDICT_PASS;
}

static void *open_device(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s || !probe_vk_open(&s->vk, target->index, reason, reason_bytes)) {
        free(s);
        return NULL;
    }
    s->seed = target->seed;
    return s;
}

static void close_device(void *state)
{
    struct state *s = state;
    probe_vk_close(&s->vk);
    free(s);
}

const struct check_set check_load_vulkan[] = {
    {"device/load", "primitive", "words, vectors and bytes from memory, at offsets", "vulkan",
     open_device, name_of, run, close_device, NULL},
    {.name = NULL},
};
