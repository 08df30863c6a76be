/*
 * The reference of the ops on elements. Quotients and products of floats come from binary64, where a
 * second rounding to binary32 changes none of them; integers from floor.
 */
#include <float.h>
#include <math.h>
#include <string.h>
#include "ref.h"

size_t ref_bits(enum qdot_type type)
{
    switch (type) {
    case QDOT_U4:
    case QDOT_S4:
        return 4;
    case QDOT_U16:
    case QDOT_S16:
        return 16;
    default:
        return 8 * ref_size(type);
    }
}

void ref_range(enum qdot_type type, int32_t *lo, int32_t *hi)
{
    int64_t values = (int64_t)1 << ref_bits(type);
    int is_unsigned = type == QDOT_U8 || type == QDOT_U16 || type == QDOT_U4;
    *lo = (int32_t)(is_unsigned ? 0 : -values / 2);
    *hi = (int32_t)(*lo + (values - 1));
}

size_t ref_parameters(const struct ref_elements *e)
{
    size_t blocks = e->group ? (e->axis - 1) / e->group + 1 : 0;
    return e->group ? e->outer * blocks * e->inner : e->each ? e->axis : 1;
}

size_t ref_parameter(const struct ref_elements *e, size_t i)
{
    size_t inner = i % e->inner, axis = i / e->inner % e->axis, outer = i / e->inner / e->axis;
    size_t blocks = e->group ? (e->axis - 1) / e->group + 1 : 0;
    if (e->group)
        return outer * blocks * e->inner + axis / e->group * e->inner + inner;
    return e->each ? axis : 0;
}

int32_t ref_get(const void *memory, enum qdot_type type, size_t i)
{
    const uint8_t *bytes = memory;
    uint32_t value = 0;
    int32_t lo, hi;
    size_t bits = ref_bits(type);
    ref_range(type, &lo, &hi);
    if (bits == 4)
        value = i % 2 ? bytes[i / 2] / 16 : bytes[i / 2] % 16;
    for (size_t b = 0; b < bits / 8; b++)
        value |= (uint32_t)bytes[i * (bits / 8) + b] << 8 * b;
    return (int32_t)((int64_t)value > hi ? (int64_t)value - ((int64_t)1 << bits) : value);
}

void ref_put(void *memory, enum qdot_type type, size_t i, int32_t value)
{
    uint8_t *bytes = memory;
    size_t bits = ref_bits(type);
    if (bits == 4)
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] % 16 + (value & 15) * 16 : value & 15);
    for (size_t b = 0; b < bits / 8; b++)
        bytes[i * (bits / 8) + b] = (uint8_t)((uint32_t)value >> 8 * b);
}

static double to_even(double value)
{
    double below = floor(value), rest = value - below;
    return rest > 0.5 || (rest == 0.5 && fmod(below, 2) != 0) ? below + 1 : below;
}

/* x / scale to an integer; a NaN is less than everything. */
static double nearest(float x, float scale, int reciprocal)
{
    float quotient = (float)((double)x / (double)scale);
    if (reciprocal) {
        float factor = (float)(1.0 / (double)scale);
        quotient = (float)((double)x * (double)factor);
    }
    if (isnan(quotient))
        return -INFINITY;
    return isinf(quotient) ? (double)quotient : to_even((double)quotient);
}

static double bounded(double value, double lo, double hi)
{
    return value < lo ? lo : value > hi ? hi : value;
}

static float dequantized(int32_t value, int32_t zero, float scale)
{
    float whole = (float)((int64_t)value - zero);
    return (float)((double)whole * (double)scale);
}

static void find_range(const struct ref_elements *e, size_t row, float *scale, int32_t *zero)
{
    size_t rows = ref_parameters(e), count = e->outer * e->axis * e->inner / rows;
    const float *x = (const float *)e->x + row * count;
    double lo = 0, hi = 0;
    for (size_t i = 0; i < count; i++) {
        if (x[i] < lo)
            lo = x[i];
        if (x[i] > hi)
            hi = x[i];
    }
    lo = bounded(lo, -(double)FLT_MAX, 0);
    hi = bounded(hi, 0, FLT_MAX);
    volatile float low = (float)lo, high = (float)hi;
    float range = high - low; /* it may have more than 53 bits: the processor's own */
    if (range > FLT_MAX)
        range = FLT_MAX;
    *scale = 1;
    *zero = 0;
    if (range < 0x1p-118f)
        return;
    *scale = (float)((double)range / 255.0);
    *zero = (int32_t)bounded(nearest((float)-lo, *scale, 0), 0, 255);
}

void ref_elements_run(const struct ref_elements *e, void *out, float *scale_out, int32_t *zero_out)
{
    size_t count = e->outer * e->axis * e->inner;
    int dynamic = e->kind == QDOT_DYNAMIC_QUANTIZE;
    const float *x = e->x;
    for (size_t i = 0; dynamic && i < ref_parameters(e); i++)
        find_range(e, i, &scale_out[i], &zero_out[i]);
    for (size_t i = 0; i < count; i++) {
        size_t at = ref_parameter(e, i);
        float scale = dynamic ? scale_out[at] : e->scale ? e->scale[at] : 1;
        int32_t zero = dynamic ? zero_out[at] : e->zero ? e->zero[at] : 0;
        float value = 0;
        if (e->kind == QDOT_DEQUANTIZE) {
            value = dequantized(ref_get(e->x, e->type, i), zero, scale);
        } else {
            double whole = nearest(x[i], scale, e->reciprocal) + zero;
            int32_t q = (int32_t)bounded(whole, e->clamp_lo, e->clamp_hi);
            if (e->kind == QDOT_QUANTIZE || dynamic) {
                ref_put(out, e->type, i, q);
                continue;
            }
            value = dequantized(q, zero, scale);
            if (e->kind == QDOT_FAKE_QUANTIZE_GRADIENT) {
                value = 0;
                if (whole >= e->clamp_lo && whole <= e->clamp_hi)
                    memcpy(&value, (const uint8_t *)e->dy + 4 * i, 4);
            }
        }
        memcpy((uint8_t *)out + 4 * i, &value, 4);
    }
}
