/*
 * One text for several instruction sets, so that the compiler vectorises it: lines of elements.
 * Who includes it has defined TARGET; KERNEL, the name of its struct cpu_elements_kernel; and LANES, which
 * are four vectors.
 *
 * Bounds are integers, so that clamping before rounding gives the same; a NaN fails the first
 * comparison and becomes the lower one. Then adding CPU_ROUND_MAGIC rounds to nearest even.
 */
#include <string.h>
#include "quantize.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE int32_t rounded_bits(float x)
{
    const float sum = x + CPU_ROUND_MAGIC;
    int32_t bits;
    memcpy(&bits, &sum, sizeof(bits));
    return bits - CPU_ROUND_BITS;
}

/* The integer nearest to x / scale, between lo and hi. With 'reciprocal' factor is 1 / scale. */
INLINE int32_t rounded(float x, float factor, float lo, float hi, const bool reciprocal)
{
    float quotient = reciprocal ? x * factor : x / factor;
    quotient = quotient > lo ? quotient : lo;
    quotient = quotient < hi ? quotient : hi;
    return rounded_bits(quotient);
}

/* What the parameters of an element make of the bounds. */
struct parameter {
    float scale, factor, lo, hi;
    int32_t zero;
};

INLINE struct parameter parameter_at(const struct cpu_line *l, size_t i, int32_t margin,
                                     const bool reciprocal)
{
    const int32_t zero = l->zero[i];
    const float scale = l->scale[i];
    return (struct parameter){scale, reciprocal ? 1.0f / scale : scale,
                              (float)(l->lo - zero - margin), (float)(l->hi - zero + margin), zero};
}

/* for each i of line l: with its parameter p, and x, as 'x_type', to out, as 'out_type' */
#define FOR_LINE(x_type, out_type, margin)                                                     \
    const x_type *restrict x = l->x;                                                           \
    out_type *restrict out = l->out;                                                           \
    const size_t count = l->count;                                                             \
    const struct cpu_line line = *l;                                                           \
    const struct parameter shared = parameter_at(&line, 0, margin, reciprocal);                \
    for (size_t i = 0; i < count; i++) {                                                       \
        const struct parameter p = each ? parameter_at(&line, i, margin, reciprocal) : shared; \
        out[i] = (out_type)LINE_VALUE;                                                         \
    }

#define LINE_VALUE (rounded(x[i], p.factor, p.lo, p.hi, reciprocal) + p.zero)
INLINE void quantize_bytes(const struct cpu_line *l, const bool each,
                           const bool reciprocal){FOR_LINE(float, uint8_t, 0)} INLINE
    void quantize_shorts(const struct cpu_line *l, const bool each, const bool reciprocal)
{
    FOR_LINE(float, uint16_t, 0)
}
#undef LINE_VALUE

/* (float)(q - zero) * scale; 17 bits at most before the product, or any of s32 and no zero */
#define LINE_VALUE ((float)((int32_t)x[i] - p.zero) * p.factor)
#define DEQUANTIZE(name, type)                                               \
    INLINE void dequantize_##name(const struct cpu_line *l, const bool each) \
    {                                                                        \
        const bool reciprocal = false;                                       \
        FOR_LINE(type, float, 0)                                             \
    }
DEQUANTIZE(u8, uint8_t)
DEQUANTIZE(s8, int8_t)
DEQUANTIZE(s32, int32_t)
DEQUANTIZE(s16, int16_t)
DEQUANTIZE(u16, uint16_t)
#undef LINE_VALUE

#define LINE_VALUE ((float)rounded(x[i], p.factor, p.lo, p.hi, reciprocal) * p.scale)
INLINE void fake(const struct cpu_line *l, const bool each, const bool reciprocal)
{
    FOR_LINE(float, float, 0)
}
#undef LINE_VALUE

/* Bits of dy, or none: by integers, as a NaN passes unchanged. Bounds further by 1 tell what is
 * outside. */
INLINE uint32_t passed(float x, uint32_t dy, const struct parameter p, const struct cpu_line *l,
                       const bool reciprocal)
{
    const int32_t n = rounded(x, p.factor, p.lo, p.hi, reciprocal) + p.zero;
    return n >= l->lo && n <= l->hi ? dy : 0;
}
#define LINE_VALUE passed(x[i], dy[i], p, &line, reciprocal)
INLINE void gradient(const struct cpu_line *l, const bool each, const bool reciprocal)
{
    const uint32_t *restrict dy = (const uint32_t *)(const void *)l->dy;
    FOR_LINE(float, uint32_t, 1)
}
#undef LINE_VALUE

#define VARIANT(name, text, ...)                      \
    TARGET static void name(const struct cpu_line *l) \
    {                                                 \
        text(l, __VA_ARGS__);                         \
    }
#define VARIANTS(text)                          \
    VARIANT(text##_shared, text, false, false)  \
    VARIANT(text##_shared_r, text, false, true) \
    VARIANT(text##_each, text, true, false)     \
    VARIANT(text##_each_r, text, true, true)
VARIANTS(quantize_bytes)
VARIANTS(quantize_shorts)
VARIANTS(fake)
VARIANTS(gradient)
#define DEQUANTIZES(type)                                         \
    VARIANT(dequantize_##type##_shared, dequantize_##type, false) \
    VARIANT(dequantize_##type##_each, dequantize_##type, true)
DEQUANTIZES(u8)
DEQUANTIZES(s8)
DEQUANTIZES(s32)
DEQUANTIZES(s16)
DEQUANTIZES(u16)

/* Lanes of their own, which a compiler may do at once: the order of comparisons does not matter. A NaN
 * is larger than nothing. */
TARGET static void range(const float *x, size_t count, float *most, float *least)
{
    float high[LANES], low[LANES];
    for (size_t j = 0; j < LANES; j++) {
        high[j] = *most;
        low[j] = -*least;
    }
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
        }
    for (size_t j = 0; i + j < count; j++) {
        high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
    }
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; j++) {
            high[j] = high[j + half] > high[j] ? high[j + half] : high[j];
            low[j] = low[j + half] < low[j] ? low[j + half] : low[j];
        }
    *most = high[0];
    *least = -low[0];
}

TARGET static void pack(const uint8_t *values, size_t count, uint8_t *packed)
{
    const size_t pairs = count / 2;
    for (size_t i = 0; i < pairs; i++)
        packed[i] = (uint8_t)((values[2 * i] & 15) | values[2 * i + 1] << 4);
    if (count % 2)
        packed[pairs] = values[count - 1] & 15;
}

TARGET static void unpack(const uint8_t *packed, size_t count, uint8_t *values, bool is_signed)
{
    const uint8_t sign = is_signed ? 8 : 0;
    const size_t pairs = count / 2;
    for (size_t i = 0; i < pairs; i++) {
        values[2 * i] = (uint8_t)(((packed[i] & 15) ^ sign) - sign);
        values[2 * i + 1] = (uint8_t)((packed[i] >> 4 ^ sign) - sign);
    }
    if (count % 2)
        values[count - 1] = (uint8_t)(((packed[pairs] & 15) ^ sign) - sign);
}

#define TABLE(text)                       \
    {                                     \
        {text##_shared, text##_shared_r}, \
        {                                 \
            text##_each, text##_each_r    \
        }                                 \
    }
#define DEQUANTIZE_TABLE(type)                               \
    {                                                        \
        dequantize_##type##_shared, dequantize_##type##_each \
    }

const struct cpu_elements_kernel KERNEL = {
    .quantize = {TABLE(quantize_bytes), TABLE(quantize_shorts)},
    .dequantize =
        {
            [QDOT_U8] = DEQUANTIZE_TABLE(u8),
            [QDOT_S8] = DEQUANTIZE_TABLE(s8),
            [QDOT_S32] = DEQUANTIZE_TABLE(s32),
            [QDOT_S16] = DEQUANTIZE_TABLE(s16),
            [QDOT_U16] = DEQUANTIZE_TABLE(u16),
        },
    .fake = TABLE(fake),
    .gradient = TABLE(gradient),
    .range = range,
    .pack = pack,
    .unpack = unpack,
};
