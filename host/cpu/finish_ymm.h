/* The output stage of a tile of 16 columns whose sums, bias included, are in memory, two 256-bit
 * vectors a row. The text that includes this defines TARGET, the target attribute. */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

static inline TARGET __m256i load_i(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline TARGET void store_i(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

/* Zero points of B, or of A by row, are taken off. */
static TARGET void correct(const struct cpu_tile *t, const int rows, __m256i (*sum)[2])
{
    const struct cpu_output *o = t->output;
    for (int i = 0; i < rows; i++) {
        const int32_t a_zero = o->a_zero ? o->a_zero[t->row + (size_t)i] : 0;
        const uint32_t by_neg = o->b_neg ? (uint32_t)t->row_sum[i] - o->k * (uint32_t)a_zero : 0;
        const __m256i neg = _mm256_set1_epi32((int32_t)by_neg), by_sum = _mm256_set1_epi32(-a_zero);
        for (int j = 0; j < 2; j++) {
            const size_t column = t->column + (size_t)j * 8;
            if (o->b_neg)
                sum[i][j] =
                    _mm256_add_epi32(sum[i][j], _mm256_mullo_epi32(neg, load_i(o->b_neg + column)));
            if (o->a_zero)
                sum[i][j] = _mm256_add_epi32(
                    sum[i][j], _mm256_mullo_epi32(by_sum, load_i(o->col_sum + column)));
        }
    }
}

static TARGET void finish_wide(const struct cpu_tile *t, const int rows, const __m256i (*sum)[2])
{
    const struct cpu_output *o = t->output;
    const size_t column = t->column;
    for (int i = 0; i < rows; i++) {
        __m256i v[2] = {sum[i][0], sum[i][1]};
        const __m256 factor =
            _mm256_set1_ps(o->row_scale ? o->row_scale[t->row + (size_t)i] : 1.0f);
        for (size_t j = 0; o->type == QDOT_F32 && j < 2; j++) {
            const __m256 x =
                _mm256_mul_ps(_mm256_cvtepi32_ps(v[j]), _mm256_loadu_ps(o->scale + column + 8 * j));
            v[j] = _mm256_castps_si256(_mm256_add_ps(_mm256_mul_ps(x, factor),
                                                     _mm256_loadu_ps(o->bias_f + column + 8 * j)));
        }
        uint8_t *const out = t->out + t->out_rows[i];
        if (t->columns == 16) {
            store_i(out, v[0]);
            store_i(out + 32, v[1]);
        } else {
            memcpy(out, v, t->columns * 4);
        }
    }
}

/*
 * Two rows, which may be the same. Converting gives INT_MIN for what is far below, rightly, and above
 * the bound; packing saturates to 16 bits, the zero point is added with saturation, packing saturates
 * to 8 bits, and a clamp that is narrower is one of bytes. Each saturation is monotonic and lies
 * outside the clamp, so the result is clamp(rne(x) + zero), rounded to nearest even, the mode cpu.c
 * sets.
 */
static inline __attribute__((always_inline)) TARGET __m256i narrow(const struct cpu_output *o,
                                                                   size_t column,
                                                                   const __m256i *first,
                                                                   const __m256i *second)
{
    const __m256 scale[2] = {_mm256_loadu_ps(o->scale + column),
                             _mm256_loadu_ps(o->scale + column + 8)};
    const __m256 bound = _mm256_set1_ps(65536.0f);
    const __m256i zero = _mm256_set1_epi16((int16_t)o->zero);
    const __m256i lo = _mm256_set1_epi8((char)o->clamp_lo);
    const __m256i hi = _mm256_set1_epi8((char)o->clamp_hi);
    /* Packs work within 128-bit lanes: the lanes' four-column pieces are put in order at the end. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i v[4], bytes;
    UNROLL(4)
    for (int q = 0; q < 4; q++) {
        const __m256 x = _mm256_cvtepi32_ps(q < 2 ? first[q] : second[q - 2]);
        v[q] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_mul_ps(x, scale[q % 2]), bound));
    }
    v[0] = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), zero);
    v[2] = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), zero);
    if (o->type == QDOT_U8)
        bytes = _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(v[0], v[2]), lo), hi);
    else
        bytes = _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(v[0], v[2]), lo), hi);
    return _mm256_permutevar8x32_epi32(bytes, order);
}

/* Any output and any number of columns. */
static __attribute__((noinline)) TARGET void finish(const struct cpu_tile *t, const int rows,
                                                    __m256i (*sum)[2])
{
    const struct cpu_output *o = t->output;
    if (o->b_neg || o->a_zero)
        correct(t, rows, sum);
    if (o->type == QDOT_S32 || o->type == QDOT_F32) {
        finish_wide(t, rows, (const __m256i(*)[2])sum);
        return;
    }
    for (int i = 0; i < rows; i++) {
        const __m256i bytes = narrow(o, t->column, sum[i], sum[i]);
        memcpy(t->out + t->out_rows[i], &bytes, t->columns);
    }
}
