/*
 * The 256-bit micro-kernels, 6 x 16: 12 accumulators, 2 registers of B, 1 of A, 1 to spare: all 16
 * ymm. The text that includes this defines
 *   TARGET        the target attribute
 *   GROUP_BYTES   bytes of one row's staged group of A (a 4-byte broadcast)
 *   LOAD_B(p, j)  columns [8 * j, 8 * j + 8) of the group at p
 *   DOT(c, a, b)  c + products of the group
 * and gets tile_1 to tile_6.
 */
#include "finish_ymm.h"

#define NR 16
#define MR 6

static inline __attribute__((always_inline)) TARGET void tile(const struct cpu_tile *t,
                                                              const int rows)
{
    __m256i c0[MR], c1[MR];
    const uint8_t *a[MR], *b = t->b;
    const size_t b_step = t->b_step;
    __m256i *acc = (__m256i *)(void *)t->acc;
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        a[i] = t->a + t->a_rows[i];
        c0[i] = t->more ? _mm256_loadu_si256(acc + 2 * i)
                        : _mm256_set1_epi32(t->row_add ? t->row_add[i] : 0);
        c1[i] = t->more ? _mm256_loadu_si256(acc + 2 * i + 1) : c0[i];
    }
    for (size_t r = 0; r < t->run_count; r++) {
        ptrdiff_t at = t->runs[r];
        const ptrdiff_t end = at + (ptrdiff_t)(t->groups * GROUP_BYTES);
        for (; at != end; at += GROUP_BYTES, b += b_step) {
            const __m256i b0 = LOAD_B(b, 0), b1 = LOAD_B(b, 1);
            UNROLL(6)
            for (int i = 0; i < rows; i++) {
                int32_t group;
                memcpy(&group, a[i] + at, 4);
                const __m256i ai = _mm256_set1_epi32(group);
                c0[i] = DOT(c0[i], ai, b0);
                c1[i] = DOT(c1[i], ai, b1);
            }
        }
        b += t->b_skip;
    }
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        if (t->last) {
            finish_row(t, (size_t)i, c0[i], c1[i]);
        } else {
            _mm256_storeu_si256(acc + 2 * i, c0[i]);
            _mm256_storeu_si256(acc + 2 * i + 1, c1[i]);
        }
    }
}

#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        tile(t, rows);                                       \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
