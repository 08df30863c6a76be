/* Group primitive on Vulkan: primitive.comp, compiled for each section of primitive_list.glsl. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "primitive.h"
#include "probe_vulkan.h"

#define P(number, r, a, b, c, expected, detail, domain, ...) \
    {#__VA_ARGS__, r, a, b, c, expected, detail, domain, false, NULL},

#define PRIMITIVE_INTEGERS
static const struct primitive integers[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_INTEGERS
#define PRIMITIVE_FLOATS
static const struct primitive floats[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_FLOATS
#define PRIMITIVE_DOTS
static const struct primitive dots[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_DOTS
#define PRIMITIVE_BYTES
static const struct primitive bytes[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_BYTES
#define PRIMITIVE_VECTOR_DOTS
static const struct primitive vector_dots[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_VECTOR_DOTS
#define PRIMITIVE_SHORTS
static const struct primitive shorts[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_SHORTS
#define PRIMITIVE_LONGS
static const struct primitive longs[] = {
#include "primitive_list.glsl"
    {.text = NULL},
};
#undef PRIMITIVE_LONGS

#define MODULE(name)                                 \
    extern const unsigned char check_##name##_spv[]; \
    extern const size_t check_##name##_spv_size;
MODULE(integers)
MODULE(floats)
MODULE(denorms)
MODULE(dots)
MODULE(bytes)
MODULE(vector_dots)
MODULE(shorts)
MODULE(longs)

/* ---- the cases ------------------------------------------------------------------------------- */

enum { WORD = 8, LOCAL = 64, CONSTANTS = 2 + 6 * 8, CONSTANT_RESULTS = 8 };

struct arithmetic {
    struct probe_vk vk;
    const struct primitive *list;
    unsigned needs;
    const char *needs_text;
    const unsigned char *spirv;
    size_t spirv_bytes;
    struct check_target target;
    bool subnormals;
};

/* Values as the shader has them: two words each. */
static int64_t *widen(const struct operands *o, size_t which, enum scalar type)
{
    int64_t *words = calloc(o->count, WORD);
    for (size_t i = 0; words && type && i < o->count; i++)
        words[i] = scalar_load(o->memory[which], i, type);
    return words;
}

static void fold(const struct operands *o, uint32_t *constants)
{
    for (size_t i = 0; i < CONSTANT_RESULTS; i++)
        for (size_t j = 0; j < 3; j++) {
            const uint64_t value = (uint64_t)o->folded[i][j];
            constants[2 + 6 * i + 2 * j] = (uint32_t)value;
            constants[2 + 6 * i + 2 * j + 1] = (uint32_t)(value >> 32);
        }
}

/* What the shader left, of the result's own size and side by side. */
static void narrow(int64_t *words, size_t count, enum scalar type)
{
    for (size_t i = 0; i < count; i++) {
        const int64_t value = words[i];
        memcpy((uint8_t *)words + i * scalar_bytes(type), &value, scalar_bytes(type));
    }
}

static enum verdict run_form(struct arithmetic *s, size_t index, const struct operands *o,
                             int64_t *const words[4], enum form form, struct outcome *outcome)
{
    const struct primitive *p = &s->list[index];
    const size_t count = form == FORM_FOLDED ? CONSTANT_RESULTS : o->count;
    uint32_t constants[CONSTANTS] = {(uint32_t)index, form == FORM_FOLDED};
    const char *call = "";
    fold(o, constants);
    memset(words[3], 0xaa, o->count * WORD);
    struct probe_vk_run run = {
        .spirv = s->spirv,
        .spirv_bytes = s->spirv_bytes,
        .constants = constants,
        .constant_count = CONSTANTS,
        .buffer_count = 4,
        .groups = form == FORM_FOLDED ? 1 : (uint32_t)(o->count / LOCAL),
    };
    for (size_t j = 0; j < 4; j++) {
        run.buffers[j].memory = words[j];
        run.buffers[j].bytes = o->count * WORD;
    }
    const VkResult code = probe_vk_run(&s->vk, &run, &call);
    if (code != VK_SUCCESS)
        return check_fail(outcome, "%s: error %d", call, (int)code);
    narrow(words[3], count, p->r);
    return primitive_compare(p, o, form, words[3], count, s->subnormals, outcome) ? VERDICT_PASS
                                                                                  : VERDICT_FAIL;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct arithmetic *s = state;
    const struct primitive *p = &s->list[index];
    const enum scalar types[3] = {p->a, p->b, p->c};
    struct operands o = {0};
    int64_t *words[4] = {NULL, NULL, NULL, NULL};
    if ((s->vk.features & s->needs) != s->needs)
        return check_refuse(outcome, "needs %s", s->needs_text);
    bool made = operands_make(&o, p, s->target.seed, s->target.small, s->subnormals);
    for (size_t j = 0; j < 4; j++) {
        words[j] = made ? widen(&o, j, j < 3 ? types[j] : NONE) : NULL;
        made = made && words[j];
    }
    enum verdict verdict = made ? VERDICT_PASS : check_fail(outcome, "out of memory");
    if (verdict == VERDICT_PASS)
        verdict = run_form(s, index, &o, words, FORM_SCALAR, outcome);
    if (verdict == VERDICT_PASS)
        verdict = run_form(s, index, &o, words, FORM_FOLDED, outcome);
    for (size_t j = 0; j < 4; j++)
        free(words[j]);
    operands_free(&o);
    return verdict;
}

static const char *name_of(void *state, size_t index)
{
    const struct arithmetic *s = state;
    return s->list[index].text;
}

static struct arithmetic *open_list(const struct check_target *target, const struct primitive *list,
                                    unsigned needs, const char *needs_text, char *reason,
                                    size_t reason_bytes)
{
    struct arithmetic *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    s->list = list;
    s->needs = needs;
    s->needs_text = needs_text;
    s->target = *target;
    if (probe_vk_open(&s->vk, target->index, reason, reason_bytes))
        return s;
    free(s);
    return NULL;
}

static void close_list(void *state)
{
    struct arithmetic *s = state;
    probe_vk_close(&s->vk);
    free(s);
}

#define OPEN(list, needs, text)                                                                    \
    static void *open_##list(const struct check_target *target, char *reason, size_t reason_bytes) \
    {                                                                                              \
        struct arithmetic *s = open_list(target, list, needs, text, reason, reason_bytes);         \
        if (s) {                                                                                   \
            s->spirv = check_##list##_spv;                                                         \
            s->spirv_bytes = check_##list##_spv_size;                                              \
        }                                                                                          \
        return s;                                                                                  \
    }
OPEN(integers, 0, "")
OPEN(dots, PROBE_VK_DOT, "shaderIntegerDotProduct")
OPEN(bytes, PROBE_VK_INT8, "shaderInt8")
OPEN(vector_dots, PROBE_VK_DOT | PROBE_VK_INT8, "shaderIntegerDotProduct with shaderInt8")
OPEN(shorts, PROBE_VK_INT16, "shaderInt16")
OPEN(longs, PROBE_VK_INT64, "shaderInt64")

static void *open_floats(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct arithmetic *s =
        open_list(target, floats, PROBE_VK_FLOATS,
                  "shaderRoundingModeRTEFloat32 and shaderSignedZeroInfNanPreserveFloat32", reason,
                  reason_bytes);
    if (s) {
        s->subnormals = s->vk.features & PROBE_VK_DENORMS;
        s->spirv = s->subnormals ? check_denorms_spv : check_floats_spv;
        s->spirv_bytes = s->subnormals ? check_denorms_spv_size : check_floats_spv_size;
    }
    return s;
}

#define SET(name, about, list)                                                                    \
    {                                                                                             \
        "device/" name, "primitive", about, "vulkan", open_##list, name_of, run, close_list, NULL \
    }

const struct check_set check_primitive_vulkan[] = {
    SET("dot", "dot products of packed bytes, plain and saturating", dots),
    SET("dot_vector", "dot products of vectors of bytes, plain and saturating", vector_dots),
    SET("integer", "32-bit integers: products, high words, bytes, saturation", integers),
    SET("int8", "8-bit integers", bytes),
    SET("int16", "16-bit integers", shorts),
    SET("int64", "64-bit integers: products and shifts", longs),
    SET("float", "floats: conversions, rounding, nothing fused", floats),
    {.name = NULL},
};
