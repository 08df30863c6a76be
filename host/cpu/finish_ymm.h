/* The output stage of one row of 16 columns in two 256-bit registers. The text that includes this
 * defines TARGET, the target attribute. */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

static inline TARGET __m256i load_i(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* The float steps; cvtepi32_ps and cvtps_epi32 round to nearest even, the mode cpu.c sets. */
static inline __attribute__((always_inline)) TARGET void
finish_row(const struct cpu_tile *t, const size_t i, __m256i v0, __m256i v1)
{
    const struct cpu_output *o = t->output;
    const size_t column = t->column, row = t->row + i;
    uint8_t *out = t->out + t->out_rows[i];
    const bool whole = t->columns == 16;
    v0 = _mm256_add_epi32(v0, load_i(o->bias + column));
    v1 = _mm256_add_epi32(v1, load_i(o->bias + column + 8));
    if (o->b_neg) {
        uint32_t sum = (uint32_t)t->row_sum[i];
        if (o->a_zero)
            sum -= o->k * (uint32_t)o->a_zero[row];
        const __m256i factor = _mm256_set1_epi32((int32_t)sum);
        v0 = _mm256_add_epi32(v0, _mm256_mullo_epi32(factor, load_i(o->b_neg + column)));
        v1 = _mm256_add_epi32(v1, _mm256_mullo_epi32(factor, load_i(o->b_neg + column + 8)));
    }
    if (o->a_zero) {
        const __m256i factor = _mm256_set1_epi32(-o->a_zero[row]);
        v0 = _mm256_add_epi32(v0, _mm256_mullo_epi32(factor, load_i(o->col_sum + column)));
        v1 = _mm256_add_epi32(v1, _mm256_mullo_epi32(factor, load_i(o->col_sum + column + 8)));
    }
    if (o->type == QDOT_S32 || o->type == QDOT_F32) {
        if (o->type == QDOT_F32) {
            const __m256 factor = _mm256_set1_ps(o->row_scale ? o->row_scale[row] : 1.0f);
            __m256 x0 = _mm256_mul_ps(_mm256_cvtepi32_ps(v0), _mm256_loadu_ps(o->scale + column));
            __m256 x1 =
                _mm256_mul_ps(_mm256_cvtepi32_ps(v1), _mm256_loadu_ps(o->scale + column + 8));
            x0 = _mm256_add_ps(_mm256_mul_ps(x0, factor), _mm256_loadu_ps(o->bias_f + column));
            x1 = _mm256_add_ps(_mm256_mul_ps(x1, factor), _mm256_loadu_ps(o->bias_f + column + 8));
            v0 = _mm256_castps_si256(x0);
            v1 = _mm256_castps_si256(x1);
        }
        int32_t part[16];
        int32_t *target = whole ? (int32_t *)(void *)out : part;
        _mm256_storeu_si256((__m256i *)(void *)target, v0);
        _mm256_storeu_si256((__m256i *)(void *)(target + 8), v1);
        if (!whole)
            memcpy(out, part, t->columns * 4);
        return;
    }
    const __m256 lo = _mm256_set1_ps(o->lo), hi = _mm256_set1_ps(o->hi);
    const __m256i zero = _mm256_set1_epi32(o->zero);
    __m256 x0 = _mm256_mul_ps(_mm256_cvtepi32_ps(v0), _mm256_loadu_ps(o->scale + column));
    __m256 x1 = _mm256_mul_ps(_mm256_cvtepi32_ps(v1), _mm256_loadu_ps(o->scale + column + 8));
    x0 = _mm256_min_ps(_mm256_max_ps(x0, lo), hi);
    x1 = _mm256_min_ps(_mm256_max_ps(x1, lo), hi);
    v0 = _mm256_add_epi32(_mm256_cvtps_epi32(x0), zero);
    v1 = _mm256_add_epi32(_mm256_cvtps_epi32(x1), zero);
    /* Values are in the output's range already: the packs only narrow. */
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v0, v1), 0xd8);
    const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
    const __m128i bytes =
        o->type == QDOT_U8 ? _mm_packus_epi16(low, high) : _mm_packs_epi16(low, high);
    uint8_t part[16];
    _mm_storeu_si128((__m128i *)(void *)(whole ? out : part), bytes);
    if (!whole)
        memcpy(out, part, t->columns);
}
