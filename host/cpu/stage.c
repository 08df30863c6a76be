/* Staging of A: flipped and widened once, K padded with zeros. */
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "cpu.h"

/* Sum of a row after the flip. Signed bytes are summed as unsigned ones 128 higher. */
static inline __attribute__((always_inline)) uint32_t sum_row(const struct cpu_stage *s,
                                                              const uint8_t *a)
{
    uint32_t sum = 0;
    const uint8_t to_unsigned = s->is_signed ? s->flip ^ 0x80 : s->flip;
    for (size_t i = 0; i < s->count; i++)
        sum += (uint8_t)(a[i] ^ to_unsigned);
    return s->is_signed ? sum - 128u * (uint32_t)s->count : sum;
}

static inline __attribute__((always_inline)) void
bytes_row(const struct cpu_stage *s, uint8_t *target, const uint8_t *restrict a)
{
    for (size_t i = 0; i < s->count; i++)
        target[i] = a[i] ^ s->flip;
    memset(target + s->count, 0, s->padded - s->count);
}

static inline __attribute__((always_inline)) void
shorts_row(const struct cpu_stage *s, int16_t *target, const uint8_t *restrict a)
{
    if (s->is_signed)
        for (size_t i = 0; i < s->count; i++)
            target[i] = (int8_t)(a[i] ^ s->flip);
    else
        for (size_t i = 0; i < s->count; i++)
            target[i] = a[i] ^ s->flip;
    memset(target + s->count, 0, (s->padded - s->count) * sizeof(*target));
}

/* One text for several instruction sets, so that the compiler vectorises it. */
#define VARIANT(name, row, type, attributes)                                       \
    attributes void name(const struct cpu_stage *given)                            \
    {                                                                              \
        const struct cpu_stage s = *given;                                         \
        for (size_t i = 0; i < s.rows; i++) {                                      \
            const uint8_t *a = s.a + i * s.lda;                                    \
            row(&s, (type *)(void *)(s.staged + i * s.stride), a);                 \
            if (s.row_sum)                                                         \
                s.row_sum[i] = (int32_t)((uint32_t)s.row_sum[i] + sum_row(&s, a)); \
        }                                                                          \
    }

VARIANT(cpu_stage_bytes, bytes_row, uint8_t, )
VARIANT(cpu_stage_shorts, shorts_row, int16_t, )
#if defined(__x86_64__)
VARIANT(cpu_stage_shorts_avx2, shorts_row, int16_t, __attribute__((target("avx2"))))
VARIANT(cpu_stage_bytes_avx2, bytes_row, uint8_t, __attribute__((target("avx2"))))

/* Whole cache lines of the staged row are written, which its stride has room for. */
__attribute__((target("avx512f,avx512bw"))) void cpu_stage_bytes_avx512(const struct cpu_stage *s)
{
    const __m512i flips = _mm512_set1_epi8((char)s->flip);
    const __m512i to_unsigned = _mm512_set1_epi8((char)(s->is_signed ? 0x80 : 0));
    const size_t whole = s->count / 64 * 64;
    const __mmask64 mask = ((__mmask64)1 << (s->count - whole)) - 1; /* of the end of the row */
    const __m512i end_flips = _mm512_maskz_mov_epi8(mask, flips);
    for (size_t r = 0; r < s->rows; r++) {
        const uint8_t *a = s->a + r * s->lda;
        uint8_t *target = s->staged + r * s->stride;
        size_t i = 0;
        for (; i < whole; i += 64)
            _mm512_storeu_si512(target + i, _mm512_xor_si512(_mm512_loadu_si512(a + i), flips));
        if (i < s->padded)
            _mm512_storeu_si512(target + i,
                                _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + i), end_flips));
        if (!s->row_sum)
            continue;
        __m512i sums = _mm512_setzero_si512(); /* zeros after the end are 0x80 here, taken off */
        for (i = 0; i < s->padded; i += 64)
            sums = _mm512_add_epi64(
                sums, _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(target + i), to_unsigned),
                                      _mm512_setzero_si512()));
        uint32_t sum = (uint32_t)_mm512_reduce_add_epi64(sums);
        if (s->is_signed)
            sum -= 128u * (uint32_t)i;
        s->row_sum[r] = (int32_t)((uint32_t)s->row_sum[r] + sum);
    }
}
#endif
