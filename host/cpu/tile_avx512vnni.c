/*
 * AVX-512 VNNI micro-kernel: 6 x 64. 24 accumulators, 4 registers of B, 1 broadcast of A: 29 of 32
 * zmm. A group of 4 k is 24 vpdpbusd (12 clocks on two ports) against 4 loads of B and 6
 * broadcasts: 256 bytes of B in 12 clocks, which L2 delivers with the prefetch ahead. vpdpbusd
 * multiplies u8 x s8 and adds four products into 32 bits without saturation.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define NR 64
#define MR 6
#define PREFETCH_BYTES 2048 /* eight groups of B ahead */

static inline __attribute__((always_inline)) TARGET __mmask16 mask_of(size_t columns, int j)
{
    const size_t first = (size_t)j * 16;
    return columns >= first + 16 ? 0xffff
           : columns <= first    ? 0
                                 : (__mmask16)((1u << (columns - first)) - 1);
}

/* Four vectors of 16 sums each become one row of the output. cvtepi32_ps and cvtps_epi32 round to
 * nearest even, the mode cpu.c sets. Masked-off columns are not touched. */
static inline __attribute__((always_inline)) TARGET void
finish_row(const struct cpu_tile *t, const size_t i, const __m512i *sums, const int vectors)
{
    const struct cpu_output *o = t->output;
    const size_t column = t->column, row = t->row + i;
    uint8_t *out = o->out + row * o->ldo_bytes;
    __m512i v[4];
    UNROLL(4)
    for (int j = vectors; j < 4; j++)
        v[j] = _mm512_setzero_si512();
    UNROLL(4)
    for (int j = 0; j < vectors; j++)
        v[j] = _mm512_add_epi32(sums[j], _mm512_loadu_si512(o->bias + column + j * 16));
    if (o->b_neg) {
        uint32_t sum = (uint32_t)t->row_sum[i];
        if (o->a_zero)
            sum -= o->k * (uint32_t)o->a_zero[row];
        const __m512i factor = _mm512_set1_epi32((int32_t)sum);
        UNROLL(4)
        for (int j = 0; j < vectors; j++)
            v[j] = _mm512_add_epi32(
                v[j], _mm512_mullo_epi32(factor, _mm512_loadu_si512(o->b_neg + column + j * 16)));
    }
    if (o->a_zero) {
        const __m512i factor = _mm512_set1_epi32(-o->a_zero[row]);
        UNROLL(4)
        for (int j = 0; j < vectors; j++)
            v[j] = _mm512_add_epi32(
                v[j], _mm512_mullo_epi32(factor, _mm512_loadu_si512(o->col_sum + column + j * 16)));
    }
    if (o->type == QDOT_S32) {
        UNROLL(4)
        for (int j = 0; j < vectors; j++)
            _mm512_mask_storeu_epi32(out + (column + (size_t)j * 16) * 4, mask_of(t->columns, j),
                                     v[j]);
        return;
    }
    __m512 x[4];
    UNROLL(4)
    for (int j = 0; j < vectors; j++)
        x[j] = _mm512_mul_ps(_mm512_cvtepi32_ps(v[j]), _mm512_loadu_ps(o->scale + column + j * 16));
    if (o->type == QDOT_F32) {
        const __m512 factor = _mm512_set1_ps(o->row_scale ? o->row_scale[row] : 1.0f);
        UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            x[j] = _mm512_add_ps(_mm512_mul_ps(x[j], factor),
                                 _mm512_loadu_ps(o->bias_f + column + j * 16));
            _mm512_mask_storeu_ps(out + (column + (size_t)j * 16) * 4, mask_of(t->columns, j),
                                  x[j]);
        }
        return;
    }
    const __m512 lo = _mm512_set1_ps(o->lo), hi = _mm512_set1_ps(o->hi);
    const __m512i zero = _mm512_set1_epi32(o->zero);
    UNROLL(4)
    for (int j = 0; j < vectors; j++)
        v[j] =
            _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(x[j], lo), hi)), zero);
    /* Values are in the output's range already: the packs only narrow. They work within 128-bit
     * lanes, so that the lanes' four-column pieces have to be put in order at the end. */
    const __m512i words0 = _mm512_packs_epi32(v[0], v[1]), words1 = _mm512_packs_epi32(v[2], v[3]);
    const __m512i bytes = o->type == QDOT_U8 ? _mm512_packus_epi16(words0, words1)
                                             : _mm512_packs_epi16(words0, words1);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __mmask64 mask = t->columns >= NR ? ~(__mmask64)0 : ((__mmask64)1 << t->columns) - 1;
    _mm512_mask_storeu_epi8(out + column, mask, _mm512_permutexvar_epi32(order, bytes));
}

static inline __attribute__((always_inline)) TARGET void tile(const struct cpu_tile *t,
                                                              const int rows, const int vectors)
{
    __m512i c[MR][4];
    const uint8_t *a = t->a, *b = t->b, *next = t->next, *next_a = t->next_a;
    const size_t next_step = t->next_step, stride = t->a_stride, stride3 = 3 * stride,
                 stride5 = 5 * stride;
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < vectors; j++)
            c[i][j] =
                t->more ? _mm512_loadu_si512(t->acc + i * NR + j * 16) : _mm512_setzero_si512();
    }
    size_t g = t->groups;
    /* One row alone has too few sums to hide the latency of vpdpbusd: four groups at a time. */
    if (rows == 1 && g >= 4) {
        __m512i d[4][4];
        UNROLL(4)
        for (int s = 0; s < 4; s++) {
            UNROLL(4)
            for (int j = 0; j < vectors; j++) {
                d[s][j] = _mm512_setzero_si512();
                OWN_REGISTER(d[s][j]);
            }
        }
        for (; g >= 4; g -= 4, a += 16, b += 4 * NR * 4) {
            UNROLL(4)
            for (int s = 0; s < 4; s++) {
                int32_t group;
                memcpy(&group, a + 4 * s, 4);
                const __m512i as = _mm512_set1_epi32(group);
                UNROLL(4)
                for (int j = 0; j < vectors; j++) {
                    const uint8_t *bj = b + s * NR * 4 + j * 64;
                    _mm_prefetch((const char *)bj + 2 * PREFETCH_BYTES, _MM_HINT_T0);
                    d[s][j] = _mm512_dpbusd_epi32(d[s][j], as, _mm512_loadu_si512(bj));
                }
            }
        }
        UNROLL(4)
        for (int s = 0; s < 4; s++) {
            UNROLL(4)
            for (int j = 0; j < vectors; j++)
                c[0][j] = _mm512_add_epi32(c[0][j], d[s][j]);
        }
    }
    for (; g > 0; g--, a += 4, b += NR * 4) {
        __m512i bj[4];
        UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            bj[j] = _mm512_loadu_si512(b + j * 64);
            _mm_prefetch((const char *)b + PREFETCH_BYTES + j * 64, _MM_HINT_T0);
        }
        _mm_prefetch((const char *)next, _MM_HINT_T1);
        _mm_prefetch((const char *)next + 64, _MM_HINT_T1);
        next += next_step;
        _mm_prefetch((const char *)next_a, _MM_HINT_T0);
        next_a += 32;
        UNROLL(6)
        for (int i = 0; i < rows; i++) {
            const size_t offset = i == 3 ? stride3 : i == 5 ? stride5 : (size_t)i * stride;
            int32_t group;
            memcpy(&group, a + offset, 4);
            const __m512i ai = _mm512_set1_epi32(group);
            UNROLL(4)
            for (int j = 0; j < vectors; j++)
                c[i][j] = _mm512_dpbusd_epi32(c[i][j], ai, bj[j]);
        }
    }
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        if (t->last) {
            finish_row(t, (size_t)i, c[i], vectors);
        } else {
            UNROLL(4)
            for (int j = 0; j < vectors; j++)
                _mm512_storeu_si512(t->acc + i * NR + j * 16, c[i][j]);
        }
    }
}

/* The last panel may have few columns: only their registers are computed. */
#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        if (t->columns > 48)                                 \
            tile(t, rows, 4);                                \
        else if (t->columns > 32)                            \
            tile(t, rows, 3);                                \
        else if (t->columns > 16)                            \
            tile(t, rows, 2);                                \
        else                                                 \
            tile(t, rows, 1);                                \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

const struct cpu_kernel cpu_kernel_6x64_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .stage = cpu_stage_bytes_avx512,
    .a_bytes = 1,
};
