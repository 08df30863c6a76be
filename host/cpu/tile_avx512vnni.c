/*
 * AVX-512 VNNI micro-kernel: 6 x 64. 24 accumulators, 4 registers of B, 1 broadcast of A: 29 of 32
 * zmm. A group of 4 k is 24 vpdpbusd (12 clocks on two ports) against 4 loads of B and 6
 * broadcasts: 256 bytes of B in 12 clocks, which L2 delivers with the prefetch ahead.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define NR 64
#define MR 6
#define PREFETCH_BYTES 2048 /* eight groups of B ahead */

static inline __attribute__((always_inline)) TARGET void
tile(const int rows, size_t groups, const void *a, const void *b, int32_t *acc, bool more)
{
    __m512i c[MR][4];
    const char *pa = a, *pb = b;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            c[i][j] = more ? _mm512_loadu_si512(acc + i * NR + j * 16) : _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++, pa += rows * 4, pb += NR * 4) {
        __m512i bj[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            bj[j] = _mm512_loadu_si512(pb + j * 64);
            _mm_prefetch(pb + PREFETCH_BYTES + j * 64, _MM_HINT_T0);
        }
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            int32_t quad;
            memcpy(&quad, pa + 4 * i, 4);
            const __m512i ai = _mm512_set1_epi32(quad);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                c[i][j] = _mm512_dpbusd_epi32(c[i][j], ai, bj[j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_si512(acc + i * NR + j * 16, c[i][j]);
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

const struct cpu_kernel cpu_kernel_6x64_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .stage = cpu_stage_bytes,
    .a_bytes = 1,
    .output = cpu_output_avx512,
};
