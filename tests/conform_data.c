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

void fill_scales(struct random *r, float *scales, size_t count, const struct conform_case *c)
{
    static const float halves[8] = {0.5f, -0.5f, 0.25f, 1.5f, -1.5f, 2.5f, 0.75f, -0.125f};
    /* Products are about 2^13, their sum between 2^13 sqrt(K) and 2^14 K: some results saturate. */
    int log2_k = 0;
    while (c->k >> (log2_k + 1))
        log2_k++;
    int exponent = -(int)random_between(r, (size_t)(6 + log2_k / 2), (size_t)(9 + log2_k));
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
