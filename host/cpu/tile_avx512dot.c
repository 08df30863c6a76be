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
#define PREFETCH_BYTES 1024 /* of each row of A */

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

static inline __attribute__((always_inline)) TARGET void tile(const struct cpu_tile *t,
                                                              const int rows, const int columns)
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
    for (size_t g = t->groups; g > 0; g--, at += 64, b += NR * 64) {
        __m512i bj[NR];
        UNROLL(4)
        for (int j = 0; j < columns; j++)
            bj[j] = _mm512_loadu_si512(b + j * 64);
        UNROLL(4)
        for (int i = 0; i < rows; i++) {
            const uint8_t *row = a[i] + at;
            const __m512i ai = _mm512_xor_si512(_mm512_loadu_si512(row), flips);
            _mm_prefetch((const char *)row + PREFETCH_BYTES, _MM_HINT_T0);
            UNROLL(4)
            for (int j = 0; j < columns; j++)
                c[i][j] = _mm512_dpbusd_epi32(c[i][j], ai, bj[j]);
        }
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        uint32_t sum[NR];
        const __m128i more = t->more
                                 ? _mm_loadu_si128((const __m128i *)(const void *)(t->acc + i * NR))
                                 : _mm_set1_epi32(t->row_add ? t->row_add[i] : 0);
        const __m128i v = _mm_add_epi32(add_lanes(c[i]), more);
        if (t->last) {
            _mm_storeu_si128((__m128i *)(void *)sum, v);
            cpu_finish_row(t, (size_t)i, sum, NR);
        } else {
            _mm_storeu_si128((__m128i *)(void *)(t->acc + i * NR), v);
        }
    }
}

#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        if (t->columns == 1)                                 \
            tile(t, rows, 1);                                \
        else                                                 \
            tile(t, rows, NR);                               \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)

const struct cpu_kernel cpu_kernel_4x4k64_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4},
    .stage = cpu_stage_bytes_avx512,
    .sum = cpu_sum_avx512,
    .a_bytes = 1,
    .flips = true,
};
