/*
 * The roundings that tiles do not have, of sums in memory, by AVX2: 16 columns at a time.
 *
 * P = acc * M of requantise.c takes two vpmuldq, of the even and of the odd columns. What all
 * columns add to P is added there; then only its upper half is wanted, as all are shifted right by
 * R >= 2: (P + 2^(30 + R)) >> (31 + R) = (H + 2^(R - 2)) >> (R - 1), with H = P >> 32.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m256i load_i(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Of 8 columns. */
struct terms {
    __m256i multiplier, multiplier_odd, add, shift;
};

INLINE struct terms terms_of(const struct cpu_output *o, size_t column)
{
    const __m256i one = _mm256_set1_epi32(1), m = load_i(o->multiplier + column);
    const __m256i shift = _mm256_sub_epi32(_mm256_setzero_si256(), load_i(o->shift + column));
    return (struct terms){m, _mm256_srli_epi64(m, 32),
                          _mm256_sllv_epi32(one, _mm256_sub_epi32(shift, _mm256_set1_epi32(2))),
                          _mm256_sub_epi32(shift, one)};
}

INLINE __m256i rounded(__m256i acc, const struct terms *t, const enum qdot_rounding rounding)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30);
    const __m256i negative = _mm256_set1_epi64x((int64_t)1 << 31);
    const __m256i acc_odd = _mm256_srli_epi64(acc, 32);
    __m256i even = _mm256_mul_epi32(acc, t->multiplier);
    __m256i odd = _mm256_mul_epi32(acc_odd, t->multiplier_odd);
    if (rounding != QDOT_ROUND_Q31_SINGLE_UP) {
        even = _mm256_add_epi64(even, half);
        odd = _mm256_add_epi64(odd, half);
    }
    if (rounding == QDOT_ROUND_Q31_DOUBLE_AWAY) {
        even = _mm256_sub_epi64(even, _mm256_and_si256(acc, negative));
        odd = _mm256_sub_epi64(odd, _mm256_and_si256(acc_odd, negative));
    }
    const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    return _mm256_srav_epi32(_mm256_add_epi32(high, t->add), t->shift);
}

/* With the bound of narrow in finish_ymm.h. */
INLINE __m256i zero_first(__m256i acc, const float *scale, float zero)
{
    const __m256 x = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(scale)),
                                   _mm256_set1_ps(zero));
    return _mm256_cvtps_epi32(_mm256_min_ps(x, _mm256_set1_ps(65536.0f)));
}

/* 32 bits to 8, two rows, as there. */
INLINE __m256i to_bytes(const __m256i *v, const bool u8, __m256i zero, __m256i lo, __m256i hi)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i first = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), zero);
    const __m256i second = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), zero);
    const __m256i bytes =
        u8 ? _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(first, second), lo), hi)
           : _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(first, second), lo), hi);
    return _mm256_permutevar8x32_epi32(bytes, order);
}

INLINE void put(uint8_t *out, __m128i bytes, size_t columns)
{
    if (columns == 16)
        _mm_storeu_si128((__m128i *)(void *)out, bytes);
    else
        memcpy(out, &bytes, columns);
}

INLINE void all_rows(const struct cpu_sums *s, const enum qdot_rounding rounding, const bool u8)
{
    const struct cpu_output *o = s->output;
    const bool floats = rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    const float *scale = o->scale + s->column, zero_f = (float)o->zero;
    const __m256i zero = _mm256_set1_epi16(floats ? 0 : (int16_t)o->zero);
    const __m256i lo = _mm256_set1_epi8((char)o->clamp_lo);
    const __m256i hi = _mm256_set1_epi8((char)o->clamp_hi);
    const struct terms terms[2] = {terms_of(o, s->column), terms_of(o, s->column + 8)};
    const struct cpu_sums all = *s; /* in registers: stores of bytes could alias it */
    for (size_t i = 0; i < all.rows; i += 2) {
        const size_t second = i + 1 < all.rows ? i + 1 : i;
        const int32_t *const from[2] = {all.sum + i * all.step, all.sum + second * all.step};
        __m256i v[4];
        UNROLL(4)
        for (int q = 0; q < 4; q++) {
            const __m256i acc = load_i(from[q / 2] + q % 2 * 8);
            v[q] = floats ? zero_first(acc, scale + q % 2 * 8, zero_f)
                          : rounded(acc, &terms[q % 2], rounding);
        }
        const __m256i bytes = to_bytes(v, u8, zero, lo, hi);
        put(all.out + all.out_rows[i], _mm256_castsi256_si128(bytes), all.columns);
        put(all.out + all.out_rows[second], _mm256_extracti128_si256(bytes, 1), all.columns);
    }
}

INLINE void either_type(const struct cpu_sums *s, const enum qdot_rounding rounding)
{
    if (s->output->type == QDOT_U8)
        all_rows(s, rounding, true);
    else
        all_rows(s, rounding, false);
}

TARGET void cpu_requantise_avx2(const struct cpu_sums *s)
{
    const enum qdot_rounding rounding = s->output->rounding;
    if (rounding == QDOT_ROUND_RNE_ZERO_FIRST)
        either_type(s, QDOT_ROUND_RNE_ZERO_FIRST);
    else if (!s->output->shifts_right)
        cpu_requantise(s);
    else if (rounding == QDOT_ROUND_Q31_DOUBLE_AWAY)
        either_type(s, QDOT_ROUND_Q31_DOUBLE_AWAY);
    else if (rounding == QDOT_ROUND_Q31_DOUBLE_UP)
        either_type(s, QDOT_ROUND_Q31_DOUBLE_UP);
    else
        either_type(s, QDOT_ROUND_Q31_SINGLE_UP);
}
