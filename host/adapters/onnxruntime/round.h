/* Rounding to the nearest integer, ties to even, in a way that compilers make vectors of. */
#ifndef ADAPTER_ROUND_H
#define ADAPTER_ROUND_H

#include <stdint.h>
#include <string.h>

#define ROUND_LIMIT 0x1p21f /* |v| must not be larger */

static inline int32_t round_even(float v)
{
    const float shifted = v + 0x1.8p23f; /* its last bit is worth one */
    int32_t bits;
    memcpy(&bits, &shifted, sizeof(bits));
    return bits - 0x4b400000;
}

static inline float bound(float v, float low, float high)
{
    v = v > low ? v : low;
    return v < high ? v : high;
}

static inline uint8_t saturate(int32_t v, int32_t least)
{
    v = v > least ? v : least;
    return (uint8_t)(v < least + 255 ? v : least + 255);
}

#endif
