/* The contents of operands. */
#include <float.h>
#include <math.h>
#include <string.h>
#include "conform.h"

void fill_bytes(struct random *r, void *memory, size_t bytes, enum qdot_type type, enum fill fill,
                uint8_t constant)
{
    static const uint8_t extremes[4] = {0x80, 0x7f, 0x00, 0xff};
    uint8_t *out = memory;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t bits = random_next(r);
        uint8_t any = (uint8_t)(bits >> 8), extreme = extremes[bits >> 16 & 3];
        switch (fill) {
        case FILL_MIXED:
            out[i] = bits & 1 ? extreme : any;
            break;
        case FILL_EXTREME:
            out[i] = extreme;
            break;
        case FILL_ANY:
            out[i] = any;
            break;
        case FILL_SMALL:
            out[i] = (uint8_t)((bits >> 8) % 7 - (type == QDOT_S8 ? 3 : 0));
            break;
        case FILL_COUNTED:
            out[i] = (uint8_t)i;
            break;
        case FILL_CONSTANT:
            out[i] = constant;
        }
    }
}

void fill_zeros(struct random *r, int32_t *zeros, size_t count, enum qdot_type type, enum zero mode)
{
    int32_t lo = type == QDOT_U8 ? 0 : -128;
    for (size_t i = 0; i < count; i++) {
        bool extreme = mode == ZERO_EACH && random_below(r, 4) == 0;
        size_t offset = random_below(r, 256);
        if (mode == ZERO_LOW || (extreme && offset < 128))
            offset = 0;
        else if (mode == ZERO_HIGH || extreme)
            offset = 255;
        zeros[i] = lo + (int32_t)offset;
    }
}

void fill_bias(struct random *r, int32_t *bias, size_t count, bool wide)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)(random_next(r) >> 32);
        int32_t value;
        memcpy(&value, &bits, sizeof(value));
        if (wide && (bits & 3) == 0) /* the ends, so that few products pass them */
            value = value < 0 ? INT32_MIN + (value >> 24 & 15) : INT32_MAX - (value >> 24 & 15);
        bias[i] = wide ? value : value >> 15;
    }
}

/* Sign, one of the 2^23 mantissas, and this exponent. */
static float any_float(struct random *r, int exponent)
{
    uint64_t bits = random_next(r);
    float mantissa = 1.0f + (float)(bits >> 9 & 0x7fffff) / 8388608.0f;
    return ldexpf(bits & 1 ? -mantissa : mantissa, exponent);
}

static float extreme_scale(struct random *r)
{
    switch (random_below(r, 8)) {
    case 0:
        return 0.0f;
    case 1:
        return -0.0f;
    case 2:
        return FLT_MIN;
    case 3:
        return -FLT_MIN;
    case 4:
        return nextafterf(0x1p96f, 0);
    case 5:
        return -nextafterf(0x1p96f, 0);
    default:
        return any_float(r, (int)random_between(r, 0, 126 + 95) - 126);
    }
}

/* Products are about 2^13, their sum between 2^13 sqrt(K) and 2^14 K: some results saturate. */
static int usual_exponent(struct random *r, const struct conform_case *c)
{
    int log2_k = 0;
    while (c->k >> (log2_k + 1))
        log2_k++;
    return -(int)random_between(r, (size_t)(6 + log2_k / 2), (size_t)(9 + log2_k));
}

/* In [2^-32, 2^8), which has no zeros and no signs. */
static float positive_scale(struct random *r, float scale, bool extreme)
{
    if (!extreme)
        return fabsf(scale);
    switch (random_below(r, 4)) {
    case 0:
        return 0x1p-32f;
    case 1:
        return nextafterf(0x1p8f, 0);
    default:
        return fabsf(any_float(r, (int)random_between(r, 0, 32 + 7) - 32));
    }
}

void fill_scales(struct random *r, float *scales, size_t count, const struct conform_case *c)
{
    static const float halves[8] = {0.5f, -0.5f, 0.25f, 1.5f, -1.5f, 2.5f, 0.75f, -0.125f};
    int exponent = usual_exponent(r, c);
    for (size_t i = 0; i < count; i++) {
        switch (c->scale) {
        case SCALE_HALF:
            scales[i] = halves[random_below(r, 8)];
            break;
        case SCALE_EXTREME:
            scales[i] = extreme_scale(r);
            break;
        case SCALE_ONE:
            scales[i] = fabsf(any_float(r, exponent));
            break;
        default:
            scales[i] = any_float(r, exponent + (int)random_below(r, 3) - 1);
        }
        if (c->rounding == QDOT_ROUND_MANT24_UP)
            scales[i] = positive_scale(r, scales[i], c->scale == SCALE_EXTREME);
    }
}

void fill_multipliers(struct random *r, int32_t *multipliers, int32_t *shifts, size_t count,
                      const struct conform_case *c)
{
    static const int32_t round[3] = {1 << 30, 3 << 29, 5 << 28}, ends[2] = {1 << 30, INT32_MAX};
    int exponent = usual_exponent(r, c);
    /* Kernels may be quicker where all scales are below 1/4. */
    int32_t most = (const int32_t[]){-2, -2, -1, 30}[random_below(r, 4)];
    for (size_t i = 0; i < count; i++) {
        size_t kind = random_below(r, 16);
        multipliers[i] = (1 << 30) + (int32_t)(random_next(r) & 0x3fffffff);
        if (c->scale == SCALE_HALF) {
            multipliers[i] = round[kind % 3];
            shifts[i] = (most < 1 ? most : 1) - (int32_t)random_below(r, 6);
        } else if (c->scale == SCALE_EXTREME) {
            multipliers[i] = kind < 1 ? 0 : kind < 9 ? ends[kind % 2] : multipliers[i];
            shifts[i] = (int32_t)random_below(r, (size_t)(most + 32)) - 31;
        } else {
            shifts[i] = exponent + (int)random_below(r, 3);
        }
    }
}

void fill_floats(struct random *r, float *values, size_t count, enum floats mode, int exponent)
{
    for (size_t i = 0; i < count; i++) {
        size_t kind = mode == FLOATS_EXTREME ? random_below(r, 9) : 8;
        switch (kind) {
        case 0:
            values[i] = 0.0f;
            break;
        case 1:
            values[i] = -0.0f;
            break;
        case 2:
            values[i] = FLT_TRUE_MIN;
            break;
        case 3:
            values[i] = -FLT_MIN;
            break;
        case 4:
            values[i] = any_float(r, -127 - (int)random_below(r, 22)); /* subnormal */
            break;
        case 5:
            values[i] = FLT_MAX;
            break;
        case 6:
            values[i] = -FLT_MAX;
            break;
        case 7:
            values[i] = any_float(r, (int)random_between(r, 0, 252) - 126);
            break;
        default:
            values[i] = any_float(r, exponent + (int)random_below(r, 5) - 2);
        }
    }
}
