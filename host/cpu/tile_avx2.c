/*
 * AVX2, exact: vpmaddubsw would saturate in between (255 * 127 * 2 > 32767), so A is staged as
 * 16-bit pairs, B is widened on load, and vpmaddwd sums pairs in 32 bits.
 */
#define TARGET __attribute__((target("avx2")))
#define GROUP_BYTES 4
#define LOAD_B(p, j) \
    _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)((p) + 16 * (j))))
#define DOT(c, a, b) _mm256_add_epi32(c, _mm256_madd_epi16(a, b))
#include "tile_ymm.h"

const struct cpu_kernel cpu_kernel_6x16_avx2 = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .stage = cpu_stage_shorts_avx2,
    .sum = cpu_sum_avx2,
    .a_bytes = 2,
};
