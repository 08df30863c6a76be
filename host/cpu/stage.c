/* Staging of A: flipped and widened once, K padded with zeros; and the sums of its rows. */
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "cpu.h"

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
#define STAGE(name, row, type, attributes)                                       \
    attributes void name(const struct cpu_stage *given)                          \
    {                                                                            \
        const struct cpu_stage s = *given;                                       \
        for (size_t i = 0; i < s.rows; i++)                                      \
            row(&s, (type *)(void *)(s.staged + i * s.stride), s.a + i * s.lda); \
    }
#define SUM(name, attributes)                                                                   \
    attributes void name(const uint8_t *a, size_t lda, size_t rows, size_t count, uint8_t flip, \
                         uint32_t *sum)                                                         \
    {                                                                                           \
        for (size_t r = 0; r < rows; r++) {                                                     \
            uint32_t total = 0;                                                                 \
            for (size_t i = 0; i < count; i++)                                                  \
                total += (uint8_t)(a[r * lda + i] ^ flip);                                      \
            sum[r] = total;                                                                     \
        }                                                                                       \
    }

STAGE(cpu_stage_bytes, bytes_row, uint8_t, )
STAGE(cpu_stage_shorts, shorts_row, int16_t, )
SUM(cpu_sum, )
#if defined(__x86_64__)
STAGE(cpu_stage_shorts_avx2, shorts_row, int16_t, __attribute__((target("avx2"))))
STAGE(cpu_stage_bytes_avx2, bytes_row, uint8_t, __attribute__((target("avx2"))))
SUM(cpu_sum_avx2, __attribute__((target("avx2"))))

/* Whole cache lines of the staged row are written, which its stride has room for. */
__attribute__((target("avx512f,avx512bw"))) void cpu_stage_bytes_avx512(const struct cpu_stage *s)
{
    const __m512i flips = _mm512_set1_epi8((char)s->flip);
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
    }
}

__attribute__((target("avx512f,avx512bw"))) void
cpu_sum_avx512(const uint8_t *a, size_t lda, size_t rows, size_t count, uint8_t flip, uint32_t *sum)
{
    const __m512i flips = _mm512_set1_epi8((char)flip), zero = _mm512_setzero_si512();
    const size_t whole = count / 64 * 64;
    const __mmask64 mask = ((__mmask64)1 << (count - whole)) - 1; /* of the end of the row */
    const __m512i end_flips = _mm512_maskz_mov_epi8(mask, flips);
    for (size_t r = 0; r < rows; r++, a += lda) {
        __m512i sums = _mm512_sad_epu8(
            _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + whole), end_flips), zero);
        for (size_t i = 0; i < whole; i += 64)
            sums = _mm512_add_epi64(
                sums, _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(a + i), flips), zero));
        sum[r] = (uint32_t)_mm512_reduce_add_epi64(sums);
    }
}
#endif

/* ---- transposition --------------------------------------------------------------------------- */

#if defined(__SSE2__)
/* 16 x 16 bytes. Four times, rows i and i + 8 are interleaved: the bits of a byte's place turn round
 * by one each time, so that after four row and column have changed places. */
static void transpose_16(const uint8_t *from, size_t from_ld, uint8_t *to, size_t to_ld,
                         uint8_t flip)
{
    const __m128i flips = _mm_set1_epi8((char)flip);
    __m128i v[16], w[16];
    for (size_t i = 0; i < 16; i++)
        v[i] = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(from + i * from_ld)),
                             flips);
    UNROLL(4)
    for (int pass = 0; pass < 4; pass++) {
        UNROLL(8)
        for (int i = 0; i < 8; i++) {
            w[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 8]);
            w[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 8]);
        }
        UNROLL(16)
        for (int i = 0; i < 16; i++)
            v[i] = w[i];
    }
    for (size_t i = 0; i < 16; i++)
        _mm_storeu_si128((__m128i *)(void *)(to + i * to_ld), v[i]);
}
#endif

void cpu_transpose(const uint8_t *from, size_t from_ld, size_t rows, size_t columns, uint8_t *to,
                   size_t to_ld, uint8_t flip)
{
    size_t whole_rows = 0, whole_columns = 0;
#if defined(__SSE2__)
    whole_rows = rows / 16 * 16;
    whole_columns = columns / 16 * 16;
    for (size_t i = 0; i < whole_rows; i += 16)
        for (size_t j = 0; j < whole_columns; j += 16)
            transpose_16(from + i * from_ld + j, from_ld, to + j * to_ld + i, to_ld, flip);
#endif
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            to[j * to_ld + i] = from[i * from_ld + j] ^ flip;
}
