/* AVX-VNNI: vpdpbusd on ymm, u8 x s8, four products summed exactly into 32 bits. */
#define TARGET __attribute__((target("avx2,avxvnni")))
#define GROUP_BYTES 4
#define LOAD_B(p, j, wide) _mm256_loadu_si256((const __m256i *)(const void *)((p) + 32 * (j)))
#define FLIP(a, flips) _mm256_xor_si256(a, flips)
#define DOT(c, a, b) _mm256_dpbusd_avx_epi32(c, a, b)
/* vpdpbusd takes 4 or 5 clocks and two begin in each: fewer than 8 sums wait for each other. */
#define CHAINS(rows) ((rows) > 3 ? 1 : (rows) > 1 ? 2 : 4)
#include "tile_ymm.h"

const struct cpu_kernel cpu_kernel_6x16_avxvnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .requantise = cpu_requantise_avx2,
    .stage = cpu_stage_bytes_avx2,
    .sum = cpu_sum_avx2,
    .a_bytes = 1,
    .flips = true,
};
