/* AVX-VNNI micro-kernel: 6 x 16, vpdpbusd on ymm. 12 accumulators, 2 registers of B, 1 of A. */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx2,avxvnni")))
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
    for (size_t g = 0; g < groups; g++, pa += rows * 4, pb += NR * 4) {
        const __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)pb);
        const __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(pb + 32));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            int32_t quad;
            memcpy(&quad, pa + 4 * i, 4);
            const __m256i ai = _mm256_set1_epi32(quad);
            c0[i] = _mm256_dpbusd_avx_epi32(c0[i], ai, b0);
            c1[i] = _mm256_dpbusd_avx_epi32(c1[i], ai, b1);
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

const struct cpu_kernel cpu_kernel_6x16_avxvnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .stage = cpu_stage_bytes,
    .a_bytes = 1,
    .output = cpu_output_avx2,
};
