/* The portable micro-kernel: 4 x 16, 16-bit A against bytes of B, plain C. */
#include <string.h>
#include "cpu.h"

#define NR 16

static inline __attribute__((always_inline)) void tile(const struct cpu_tile *t, const size_t rows)
{
    uint32_t sum[4][NR], done[4][NR];
    const int8_t *b = (const int8_t *)t->b;
    const uint8_t *a[4];
    memset(sum, 0, sizeof(sum));
    for (size_t i = 0; i < rows; i++)
        a[i] = t->a + t->a_rows[i];
    for (size_t r = 0; r < t->run_count; r++) {
        ptrdiff_t at = t->runs[r];
        for (size_t g = t->groups; g > 0; g--, at += 2, b += t->b_step) {
            int16_t wide[NR]; /* once for all rows: 16-bit products vectorise on any machine */
            for (size_t j = 0; j < NR; j++)
                wide[j] = b[j];
            UNROLL(4)
            for (size_t i = 0; i < rows; i++) {
                int16_t factor;
                memcpy(&factor, a[i] + at, 2);
                for (size_t j = 0; j < NR; j++)
                    sum[i][j] += (uint32_t)(factor * wide[j]);
            }
        }
        b += t->b_skip;
    }
    /* A copy that may have its address taken; the sums themselves stay in registers. */
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < NR; j++)
            done[i][j] = sum[i][j] + (uint32_t)(t->more      ? t->acc[i * NR + j]
                                                : t->row_add ? t->row_add[i]
                                                             : 0);
    for (size_t i = 0; i < rows; i++) {
        if (t->last)
            cpu_finish_row(t, i, done[i], NR);
        else
            memcpy(t->acc + i * NR, done[i], sizeof(done[i]));
    }
}

#define TILE(rows)                                    \
    static void tile_##rows(const struct cpu_tile *t) \
    {                                                 \
        tile(t, rows);                                \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)

const struct cpu_kernel cpu_kernel_4x16 = {
    .tile = {tile_1, tile_2, tile_3, tile_4},
    .stage = cpu_stage_shorts,
    .sum = cpu_sum,
    .a_bytes = 2,
};
