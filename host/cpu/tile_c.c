/*
 * The portable micro-kernel: 12 x 16, 16-bit A against bytes of B, plain C.
 *
 * The sum along K of products of 16-bit numbers is what compilers vectorise best on any machine: SSE2
 * has an instruction (pmaddwd) for eight products and their sums by two. So a column of B is
 * widened to a line along K, once for all rows of the tile, and blocks of 2 x 4 such sums stay in
 * registers.
 */
#include <string.h>
#include "cpu.h"

#define MR 12
#define NR 16
#define KR 8
#define MOST_ROWS (4 * MR) /* that share widened B */
#define DEPTH 256 /* of K at a time: below 2^31 / (255 * 128), so that sums fit into an int */
#define BLOCK_ROWS 2
#define BLOCK_COLUMNS 4

/* clang would take vectors of four products, and with them half of pmaddwd. */
#if defined(__clang__)
#define VECTORS_OF_8 PRAGMA(clang loop vectorize_width(8) interleave_count(1))
#else
#define VECTORS_OF_8
#endif

/* 'groups' groups of a panel: column j from wide + j * DEPTH on. */
static void widen(int16_t *restrict wide, const int8_t *restrict b, size_t b_step, size_t groups)
{
    for (; groups > 0; groups--, b += b_step, wide += KR)
        for (size_t j = 0; j < NR; j++)
            for (size_t k = 0; k < KR; k++)
                wide[j * DEPTH + k] = b[j * KR + k];
}

static inline __attribute__((always_inline)) void block(const int16_t *const *rows,
                                                        const int16_t *wide, size_t groups,
                                                        uint32_t *sum, const size_t count)
{
    const int16_t *a[BLOCK_ROWS];
    int32_t s[BLOCK_ROWS][BLOCK_COLUMNS];
    UNROLL(2)
    for (size_t i = 0; i < count; i++) {
        a[i] = rows[i];
        UNROLL(4)
        for (size_t j = 0; j < BLOCK_COLUMNS; j++)
            s[i][j] = 0;
    }
    VECTORS_OF_8
    for (size_t k = 0; k < groups * KR; k++) {
        UNROLL(2)
        for (size_t i = 0; i < count; i++) {
            UNROLL(4)
            for (size_t j = 0; j < BLOCK_COLUMNS; j++)
                s[i][j] += a[i][k] * wide[j * DEPTH + k];
        }
    }
    UNROLL(2)
    for (size_t i = 0; i < count; i++) {
        UNROLL(4)
        for (size_t j = 0; j < BLOCK_COLUMNS; j++)
            sum[i * NR + j] += (uint32_t)s[i][j];
    }
}

/* Rows of A times widened groups of B, added to the sums. */
static void multiply(const int16_t *const *a, size_t rows, const int16_t *wide, size_t groups,
                     uint32_t *sum)
{
    const size_t whole = rows / BLOCK_ROWS * BLOCK_ROWS;
    for (size_t i = 0; i < whole; i += BLOCK_ROWS)
        for (size_t j = 0; j < NR; j += BLOCK_COLUMNS)
            block(a + i, wide + j * DEPTH, groups, sum + i * NR + j, BLOCK_ROWS);
    for (size_t j = 0; whole < rows && j < NR; j += BLOCK_COLUMNS)
        block(a + whole, wide + j * DEPTH, groups, sum + whole * NR + j, 1);
}

static void tile(const struct cpu_tile *t, size_t rows)
{
    int16_t wide[NR * DEPTH];
    uint32_t sum[MOST_ROWS * NR];
    const int16_t *a[MOST_ROWS];
    const int8_t *b = (const int8_t *)t->b;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < NR; j++)
            sum[i * NR + j] = (uint32_t)(t->more      ? t->acc[i * NR + j]
                                         : t->row_add ? t->row_add[i]
                                                      : 0);
    for (size_t r = 0; r < t->run_count; r++) {
        for (size_t g = 0, count; g < t->groups; g += count, b += count * t->b_step) {
            count = t->groups - g < DEPTH / KR ? t->groups - g : DEPTH / KR;
            for (size_t i = 0; i < rows; i++)
                a[i] = (const int16_t *)(const void *)(t->a + t->a_rows[i] + t->runs[r]) + g * KR;
            widen(wide, b, t->b_step, count);
            multiply(a, rows, wide, count, sum);
        }
        b += t->b_skip;
    }
    if (t->last)
        cpu_finish_rows(t, 0, rows, sum, NR);
    else
        memcpy(t->acc, sum, rows * NR * sizeof(*sum));
}

static bool together(struct cpu_tile *t, size_t height, size_t tiles, size_t panel_bytes)
{
    if (panel_bytes)
        return false;
    for (size_t left = tiles * height, rows; left > 0; left -= rows) {
        rows = left < MOST_ROWS ? left : MOST_ROWS;
        tile(t, rows);
        cpu_go_on(t, NR, rows, 0); /* B is not prefetched */
    }
    return true;
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
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)

const struct cpu_kernel cpu_kernel_12x16 = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10,
             tile_11, tile_12},
    .together = together,
    .stage = cpu_stage_shorts,
    .sum = cpu_sum,
    .a_bytes = 2,
};
