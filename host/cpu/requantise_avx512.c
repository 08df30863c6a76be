/*
 * The roundings that tiles do not have, of sums in memory, by AVX-512: four vectors of 16 sums at a
 * time, of one row, or of two or four where there are few columns.
 */
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#include "requantise_avx512.h"

/* Of 16 columns. */
struct terms {
    struct cpu_fixed fixed;
    __m512 scale;
    __mmask16 columns;
};

INLINE struct terms terms_of(const struct cpu_sums *s, size_t first, const bool floats)
{
    const struct cpu_output *o = s->output;
    const size_t column = s->column + first, left = s->columns > first ? s->columns - first : 0;
    struct terms t = {.columns = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1)};
    if (floats)
        t.scale = _mm512_maskz_loadu_ps(t.columns, o->scale + column);
    else
        t.fixed = fixed_of(_mm512_maskz_loadu_epi32(t.columns, o->multiplier + column),
                           _mm512_maskz_loadu_epi32(t.columns, o->shift + column));
    return t;
}

INLINE __m512i zero_first(__m512i acc, const struct terms *t, __m512 zero)
{
    const __m512 x = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), t->scale), zero);
    return _mm512_cvtps_epi32(_mm512_min_ps(x, _mm512_set1_ps(65536.0f)));
}

/* 32 bits to 8 as in narrow of tile_avx512vnni.c. */
INLINE __m512i to_bytes(const __m512i *v, const bool u8, __m512i zero, __m512i lo, __m512i hi)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero);
    const __m512i second = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), zero);
    const __m512i bytes =
        u8 ? _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(first, second), lo), hi)
           : _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(first, second), lo), hi);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* 'count' rows, which may be fewer than there is room for, of 64 / at_once bytes each. */
INLINE void store_rows(uint8_t *out, const ptrdiff_t *rows, size_t count, __mmask64 mask,
                       __m512i bytes, const int at_once)
{
    const __mmask32 mask32 = (__mmask32)mask;
    const __mmask16 mask16 = (__mmask16)mask;
    if (at_once == 1) {
        _mm512_mask_storeu_epi8(out + rows[0], mask, bytes);
    } else if (at_once == 2) {
        _mm256_mask_storeu_epi8(out + rows[0], mask32, _mm512_castsi512_si256(bytes));
        if (count > 1)
            _mm256_mask_storeu_epi8(out + rows[1], mask32, _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        _mm_mask_storeu_epi8(out + rows[0], mask16, _mm512_castsi512_si128(bytes));
        if (count > 1)
            _mm_mask_storeu_epi8(out + rows[1], mask16, _mm512_extracti32x4_epi32(bytes, 1));
        if (count > 2)
            _mm_mask_storeu_epi8(out + rows[2], mask16, _mm512_extracti32x4_epi32(bytes, 2));
        if (count > 3)
            _mm_mask_storeu_epi8(out + rows[3], mask16, _mm512_extracti32x4_epi32(bytes, 3));
    }
}

INLINE void all_rows(const struct cpu_sums *s, const enum qdot_rounding rounding, const bool u8,
                     const int at_once)
{
    const struct cpu_output *o = s->output;
    const struct cpu_sums all = *s; /* in registers: stores of bytes could alias it */
    const bool floats = rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    const int vectors = 4 / at_once;
    const __m512i zero = _mm512_set1_epi16(floats ? 0 : (int16_t)o->zero);
    const __m512i lo = _mm512_set1_epi8((char)o->clamp_lo);
    const __m512i hi = _mm512_set1_epi8((char)o->clamp_hi);
    const __m512 zero_f = _mm512_set1_ps((float)o->zero);
    const __mmask64 mask = all.columns >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << all.columns) - 1;
    struct terms terms[4];
    UNROLL(4)
    for (int j = 0; j < vectors; j++)
        terms[j] = terms_of(s, (size_t)j * 16, floats);
    for (size_t i = 0; i < all.rows; i += (size_t)at_once) {
        const size_t left = all.rows - i;
        __m512i v[4];
        UNROLL(4)
        for (int q = 0; q < 4; q++) {
            const size_t r = (size_t)(q / vectors) < left ? i + (size_t)(q / vectors) : i;
            const int j = q % vectors;
            const __m512i acc =
                _mm512_maskz_loadu_epi32(terms[j].columns, all.sum + r * all.step + (size_t)j * 16);
            v[q] = floats ? zero_first(acc, &terms[j], zero_f)
                          : rounded(acc, &terms[j].fixed, rounding);
        }
        store_rows(all.out, all.out_rows + i, left, mask, to_bytes(v, u8, zero, lo, hi), at_once);
    }
}

/* A copy for each is small, and wants its terms in registers. */
#define ALL_ROWS(name, rounding)                      \
    static TARGET void name(const struct cpu_sums *s) \
    {                                                 \
        const bool u8 = s->output->type == QDOT_U8;   \
        if (u8 && s->columns > 32)                    \
            all_rows(s, rounding, true, 1);           \
        else if (u8 && s->columns > 16)               \
            all_rows(s, rounding, true, 2);           \
        else if (u8)                                  \
            all_rows(s, rounding, true, 4);           \
        else if (s->columns > 32)                     \
            all_rows(s, rounding, false, 1);          \
        else if (s->columns > 16)                     \
            all_rows(s, rounding, false, 2);          \
        else                                          \
            all_rows(s, rounding, false, 4);          \
    }
ALL_ROWS(zero_first_rows, QDOT_ROUND_RNE_ZERO_FIRST)
ALL_ROWS(double_away_rows, QDOT_ROUND_Q31_DOUBLE_AWAY)
ALL_ROWS(double_up_rows, QDOT_ROUND_Q31_DOUBLE_UP)
ALL_ROWS(single_up_rows, QDOT_ROUND_Q31_SINGLE_UP)

TARGET void cpu_requantise_avx512(const struct cpu_sums *s)
{
    const enum qdot_rounding rounding = s->output->rounding;
    if (rounding == QDOT_ROUND_RNE_ZERO_FIRST)
        zero_first_rows(s);
    else if (!s->output->shifts_right)
        cpu_requantise(s);
    else if (rounding == QDOT_ROUND_Q31_DOUBLE_AWAY)
        double_away_rows(s);
    else if (rounding == QDOT_ROUND_Q31_DOUBLE_UP)
        double_up_rows(s);
    else
        single_up_rows(s);
}
