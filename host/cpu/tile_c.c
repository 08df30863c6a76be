/* The portable micro-kernel: 4 x 16, pairs of 16-bit A against bytes of B, plain C. */
#include <string.h>
#include "cpu.h"

#define NR 16

static inline __attribute__((always_inline)) void tile(const int rows, size_t groups, const void *a,
                                                       const void *b, int32_t *acc, bool more)
{
    uint32_t sum[4][NR];
    const int16_t *pa = a;
    const int8_t *pb = b;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < NR; j++)
            sum[i][j] = more ? (uint32_t)acc[i * NR + j] : 0;
    for (size_t g = 0; g < groups; g++, pa += rows * 2, pb += NR * 2)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < NR; j++)
                sum[i][j] += (uint32_t)(pa[i * 2] * pb[j * 2] + pa[i * 2 + 1] * pb[j * 2 + 1]);
    for (int i = 0; i < rows; i++)
        memcpy(acc + i * NR, sum[i], sizeof(sum[i]));
}

#define TILE(rows)                                                                                \
    static void tile_##rows(size_t groups, const void *a, const void *b, int32_t *acc, bool more) \
    {                                                                                             \
        tile(rows, groups, a, b, acc, more);                                                      \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)

const struct cpu_kernel cpu_kernel_4x16 = {
    .tile = {tile_1, tile_2, tile_3, tile_4},
    .stage = cpu_stage_shorts,
    .a_bytes = 2,
    .output = cpu_output_base,
};
