/*
 * AVX2 micro-kernel: 6 x 16, exact. vpmaddubsw would saturate in between (255 * 127 * 2 > 32767),
 * so A is staged as 16-bit pairs, B widened on load, and vpmaddwd sums pairs in 32 bits. 12
 * accumulators, 2 registers of B, 1 of A, 1 product: all 16 ymm.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx2")))
#define NR 16
#define MR 6

static inline __attribute__((always_inline)) TARGET void
tile(const int rows, size_t groups, const void *a, const void *b, int32_t *acc, bool more)
{
    __m256i c0[MR], c1[MR];
    const char *pa = a, *pb = b;
    __m256i *out = (__m256i *)(void *)acc;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        c0[i] = more ? _mm256_loadu_si256(out + 2 * i) : _mm256_setzero_si256();
        c1[i] = more ? _mm256_loadu_si256(out + 2 * i + 1) : _mm256_setzero_si256();
    }
    for (size_t g = 0; g < groups; g++, pa += rows * 4, pb += NR * 2) {
        const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)pb));
        const __m256i b1 =
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(pb + 16)));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            int32_t pair;
            memcpy(&pair, pa + 4 * i, 4);
            const __m256i ai = _mm256_set1_epi32(pair);
            c0[i] = _mm256_add_epi32(c0[i], _mm256_madd_epi16(ai, b0));
            c1[i] = _mm256_add_epi32(c1[i], _mm256_madd_epi16(ai, b1));
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm256_storeu_si256(out + 2 * i, c0[i]);
        _mm256_storeu_si256(out + 2 * i + 1, c1[i]);
    }
}

#define TILE(rows)                                                                            \
    TARGET static void tile_##rows(size_t groups, const void *a, const void *b, int32_t *acc, \
                                   bool more)                                                 \
    {                                                                                         \
        tile(rows, groups, a, b, acc, more);                                                  \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

const struct cpu_kernel cpu_kernel_6x16_avx2 = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .stage = cpu_stage_shorts,
    .a_bytes = 2,
    .output = cpu_output_avx2,
};
