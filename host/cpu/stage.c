/*
 * Staging of A: flipped and widened once, K padded with zeros. One text compiled for three
 * instruction sets, so that the compiler vectorises it.
 */
#include <string.h>
#include "cpu.h"

/* Sum of 'count' bytes after the flip. Signed bytes are summed as unsigned ones 128 higher. */
static inline __attribute__((always_inline)) uint32_t sum_bytes(const uint8_t *a, size_t count,
                                                                uint8_t flip, bool is_signed)
{
    uint32_t sum = 0;
    const uint8_t to_unsigned = is_signed ? flip ^ 0x80 : flip;
    for (size_t i = 0; i < count; i++)
        sum += (uint8_t)(a[i] ^ to_unsigned);
    return is_signed ? sum - 128u * (uint32_t)count : sum;
}

static inline __attribute__((always_inline)) void bytes(uint8_t *target, const uint8_t *a,
                                                        size_t count, size_t padded, uint8_t flip)
{
    for (size_t i = 0; i < count; i++)
        target[i] = a[i] ^ flip;
    memset(target + count, 0, padded - count);
}

static inline __attribute__((always_inline)) void
shorts(int16_t *target, const uint8_t *a, size_t count, size_t padded, uint8_t flip, bool is_signed)
{
    if (is_signed)
        for (size_t i = 0; i < count; i++)
            target[i] = (int8_t)(a[i] ^ flip);
    else
        for (size_t i = 0; i < count; i++)
            target[i] = a[i] ^ flip;
    memset(target + count, 0, (padded - count) * sizeof(*target));
}

#define VARIANT(suffix, attributes)                                                         \
    attributes uint32_t cpu_stage_bytes##suffix(void *staged, const uint8_t *restrict a,    \
                                                size_t count, size_t padded, uint8_t flip,  \
                                                bool is_signed, bool sum)                   \
    {                                                                                       \
        bytes(staged, a, count, padded, flip);                                              \
        return sum ? sum_bytes(a, count, flip, is_signed) : 0;                              \
    }                                                                                       \
    attributes uint32_t cpu_stage_shorts##suffix(void *staged, const uint8_t *restrict a,   \
                                                 size_t count, size_t padded, uint8_t flip, \
                                                 bool is_signed, bool sum)                  \
    {                                                                                       \
        shorts(staged, a, count, padded, flip, is_signed);                                  \
        return sum ? sum_bytes(a, count, flip, is_signed) : 0;                              \
    }

VARIANT(, )
#if defined(__x86_64__)
VARIANT(_avx2, __attribute__((target("avx2"))))
VARIANT(_avx512,
        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512"))))
#endif
