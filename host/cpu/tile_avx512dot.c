/*
 * AVX-512 VNNI micro-kernel for few columns: 4 x 4, groups of 64 k. Sums run along K in the lanes
 * of a register and are added up at the end, so that one column costs one column and not a panel of
 * 64. A streams through once, read in place, and is flipped on the way.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define NR 4
#define MR 4
#define FAR_BYTES 16384 /* of A that are prefetched ahead where it is not in L2 */

/* Lane sums of four registers as the lanes of one. */
static inline __attribute__((always_inline)) TARGET __m128i add_lanes(const __m512i *v)
{
    __m256i half[4];
    UNROLL(4)
    for (int i = 0; i < 4; i++)
        half[i] =
            _mm256_add_epi32(_mm512_castsi512_si256(v[i]), _mm512_extracti64x4_epi64(v[i], 1));
    const __m256i sums =
        _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]), _mm256_hadd_epi32(half[2], half[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

/* Row i of the tile, its lanes added up. */
static inline __attribute__((always_inline)) TARGET void finish(const struct cpu_tile *t, size_t i,
                                                                __m128i v)
{
    uint32_t sum[NR];
    if (t->more)
        v = _mm_add_epi32(v, _mm_loadu_si128((const __m128i *)(const void *)(t->acc + i * NR)));
    else
        v = _mm_add_epi32(v, _mm_set1_epi32(t->row_add ? t->row_add[i] : 0));
    if (!t->last) {
        _mm_storeu_si128((__m128i *)(void *)(t->acc + i * NR), v);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)sum, v);
    cpu_finish_rows(t, i, 1, sum, NR);
}

/* The sums of a column of rows, where there is no b_neg. */
static inline __attribute__((always_inline)) TARGET void finish_line(const struct cpu_tile *t,
                                                                     const int rows, __m128i v)
{
    const struct cpu_output *o = t->output;
    const __mmask8 mask = (__mmask8)((1u << rows) - 1);
    uint32_t out[MR];
    if (t->row_add)
        v = _mm_add_epi32(v, _mm_maskz_loadu_epi32(mask, t->row_add));
    v = _mm_add_epi32(v, _mm_set1_epi32(o->bias[t->column]));
    if (o->a_zero)
        v = _mm_sub_epi32(v, _mm_mullo_epi32(_mm_maskz_loadu_epi32(mask, o->a_zero + t->row),
                                             _mm_set1_epi32(o->col_sum[t->column])));
    if (o->type != QDOT_S32) {
        __m128 x = _mm_mul_ps(_mm_cvtepi32_ps(v), _mm_set1_ps(o->scale[t->column]));
        if (o->type == QDOT_F32) {
            if (o->row_scale)
                x = _mm_mul_ps(x, _mm_maskz_loadu_ps(mask, o->row_scale + t->row));
            x = _mm_add_ps(x, _mm_set1_ps(o->bias_f[t->column]));
            v = _mm_castps_si128(x);
        } else {
            x = _mm_min_ps(_mm_max_ps(x, _mm_set1_ps(o->lo)), _mm_set1_ps(o->hi));
            v = _mm_add_epi32(_mm_cvtps_epi32(x), _mm_set1_epi32(o->zero));
        }
    }
    _mm_storeu_si128((__m128i *)(void *)out, v);
    for (int i = 0; i < rows; i++) {
        uint8_t *to = t->out + t->out_rows[i];
        if (o->type == QDOT_S32 || o->type == QDOT_F32)
            memcpy(to, &out[i], 4);
        else
            *to = (uint8_t)out[i];
    }
}

/* One column: A passes by once, row after row, in the order in which it lies. Four sums of a row, as
 * one would wait for itself. */
static inline __attribute__((always_inline)) TARGET void line(const struct cpu_tile *t,
                                                              const int rows, const size_t ahead)
{
    const __m512i flips = _mm512_set1_epi8((char)t->flip);
    const size_t b_step = t->b_step;
    __m512i total[MR];
    UNROLL(4)
    for (int i = 0; i < MR; i++)
        total[i] = _mm512_setzero_si512();
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        const uint8_t *a = t->a + t->a_rows[i] + t->runs[0], *b = t->b;
        __m512i c[4];
        UNROLL(4)
        for (int s = 0; s < 4; s++) {
            c[s] = _mm512_setzero_si512();
            OWN_REGISTER(c[s]);
        }
        size_t g = t->groups;
        for (; g >= 4; g -= 4, a += 4 * 64, b += 4 * b_step) {
            UNROLL(4)
            for (int s = 0; s < 4; s++) {
                if (ahead)
                    _mm_prefetch((const char *)a + s * 64 + ahead, _MM_HINT_T0);
                c[s] = _mm512_dpbusd_epi32(c[s],
                                           _mm512_xor_si512(_mm512_loadu_si512(a + s * 64), flips),
                                           _mm512_loadu_si512(b + (size_t)s * b_step));
            }
        }
        for (; g > 0; g--, a += 64, b += b_step)
            c[0] = _mm512_dpbusd_epi32(c[0], _mm512_xor_si512(_mm512_loadu_si512(a), flips),
                                       _mm512_loadu_si512(b));
        total[i] = _mm512_add_epi32(_mm512_add_epi32(c[0], c[1]), _mm512_add_epi32(c[2], c[3]));
    }
    const __m128i v = add_lanes(total);
    if (!t->more && t->last && !t->output->b_neg && t->output->rounding == QDOT_ROUND_RNE) {
        finish_line(t, rows, v);
        return;
    }
    int32_t sum[MR];
    _mm_storeu_si128((__m128i *)(void *)sum, v);
    for (int i = 0; i < rows; i++)
        finish(t, (size_t)i, _mm_cvtsi32_si128(sum[i]));
}

static inline __attribute__((always_inline)) TARGET void tile(const struct cpu_tile *t,
                                                              const int rows, const size_t ahead)
{
    __m512i c[MR][NR];
    const uint8_t *b = t->b;
    ptrdiff_t at = t->runs[0]; /* the only one: the row serves no convolution */
    const uint8_t *a[MR];
    const __m512i flips = _mm512_set1_epi8((char)t->flip);
    UNROLL(4)
    for (int i = 0; i < MR; i++) {
        if (i < rows)
            a[i] = t->a + t->a_rows[i];
        UNROLL(4)
        for (int j = 0; j < NR; j++) {
            c[i][j] = _mm512_setzero_si512();
            OWN_REGISTER(c[i][j]);
        }
    }
    for (size_t g = t->groups; g > 0; g--, at += 64, b += t->b_step) {
        __m512i bj[NR];
        UNROLL(4)
        for (int j = 0; j < NR; j++)
            bj[j] = _mm512_loadu_si512(b + j * 64);
        UNROLL(4)
        for (int i = 0; i < rows; i++) {
            const uint8_t *row = a[i] + at;
            const __m512i ai = _mm512_xor_si512(_mm512_loadu_si512(row), flips);
            if (ahead)
                _mm_prefetch((const char *)row + ahead, _MM_HINT_T0);
            UNROLL(4)
            for (int j = 0; j < NR; j++)
                c[i][j] = _mm512_dpbusd_epi32(c[i][j], ai, bj[j]);
        }
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++)
        finish(t, (size_t)i, add_lanes(c[i]));
}

static inline __attribute__((always_inline)) TARGET void either(const struct cpu_tile *t,
                                                                const int rows, const bool far)
{
    if (t->columns == 1 && far)
        line(t, rows, FAR_BYTES);
    else if (t->columns == 1)
        line(t, rows, 0);
    else if (far)
        tile(t, rows, FAR_BYTES);
    else
        tile(t, rows, 0);
}

#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        either(t, rows, t->far);                             \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)

/* Without a way back to the caller between tiles: A comes faster than that takes. */
TARGET static bool together(struct cpu_tile *t, size_t height, size_t count, size_t panel_bytes)
{
    const bool far = t->far;
    if (panel_bytes || height != MR)
        return false;
    for (; count > 0; count--) {
        either(t, MR, far);
        cpu_go_on(t, NR, MR, 1);
    }
    return true;
}

const struct cpu_kernel cpu_kernel_4x4k64_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4},
    .together = together,
    .stage = cpu_stage_bytes_avx512,
    .sum = cpu_sum_avx512,
    .a_bytes = 1,
    .flips = true,
};
