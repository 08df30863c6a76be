/* Staging of A: flipped and widened once, K padded with zeros. */
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
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

/* Whole cache lines of the staged row are written, which its stride has room for. */
__attribute__((target("avx512f,avx512bw"))) uint32_t
cpu_stage_bytes_avx512(void *staged, const uint8_t *restrict a, size_t count, size_t padded,
                       uint8_t flip, bool is_signed, bool sum)
{
    uint8_t *target = staged;
    const __m512i flips = _mm512_set1_epi8((char)flip);
    const __m512i to_unsigned = _mm512_set1_epi8((char)(is_signed ? 0x80 : 0));
    __m512i sums = _mm512_setzero_si512();
    for (size_t i = 0; i < padded; i += 64) {
        const __mmask64 mask = count >= i + 64 ? ~(__mmask64)0
                               : count <= i    ? 0
                                               : ((__mmask64)1 << (count - i)) - 1;
        const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + i),
                                               _mm512_maskz_mov_epi8(mask, flips));
        _mm512_storeu_si512(target + i, bytes);
        if (sum)
            sums = _mm512_add_epi64(
                sums,
                _mm512_sad_epu8(_mm512_xor_si512(bytes, _mm512_maskz_mov_epi8(mask, to_unsigned)),
                                _mm512_setzero_si512()));
    }
    const uint32_t total = (uint32_t)_mm512_reduce_add_epi64(sums);
    return is_signed ? total - 128u * (uint32_t)count : total;
}
#endif
