/*
 * The 256-bit micro-kernels, 6 x 16: 12 accumulators, 2 registers of B, 1 of A, and 1 that A is
 * XORed with or products wait in: all 16 ymm. The text that includes this defines
 *   TARGET              the target attribute
 *   GROUP_BYTES         bytes of one row's staged group of A (a 4-byte broadcast)
 *   LOAD_B(p, j, wide)  columns [8 * j, 8 * j + 8) of the group at p, as packed or widened
 *   FLIP(a, f)          a with its bytes flipped by f, where the tile does that
 *   DOT(c, a, b)        c + products of the group
 *   CHAINS(rows)        sums of each output, where so few rows would wait for DOT
 * and gets tile_1 to tile_6.
 */
#include "finish_ymm.h"

#define NR 16
#define MR 6
#define WIDE_BYTES 64       /* of a widened group of B */
#define FEW_ROWS 3          /* make reading B all of the work, */
#define PREFETCH_BYTES 4096 /* so far ahead */

/* One group of K: c[i] += a[i] at 'at' times the group of B. */
static inline __attribute__((always_inline)) TARGET void
group(__m256i (*c)[2], const uint8_t *const *a, const ptrdiff_t at, const uint8_t *b,
      const __m256i flips, const int rows, const bool wide)
{
    const __m256i b0 = LOAD_B(b, 0, wide), b1 = LOAD_B(b, 1, wide);
    (void)flips, (void)wide; /* not in every text */
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        int32_t bytes;
        memcpy(&bytes, a[i] + at, 4);
        const __m256i ai = FLIP(_mm256_set1_epi32(bytes), flips);
        c[i][0] = DOT(c[i][0], ai, b0);
        c[i][1] = DOT(c[i][1], ai, b1);
        if (rows > FEW_ROWS) { /* clang would move the sums round, one of them through memory */
            OWN_REGISTER(c[i][0]);
            OWN_REGISTER(c[i][1]);
        }
    }
}

/* Sums to where they belong. */
static inline __attribute__((always_inline)) TARGET void leave(const struct cpu_tile *t,
                                                               const int rows, __m256i (*c)[2])
{
    const struct cpu_output *o = t->output;
    uint8_t *const out = t->out;
    const ptrdiff_t *const out_rows = t->out_rows;
    if (!t->last) {
        UNROLL(6)
        for (int i = 0; i < rows; i++) {
            store_i(t->acc + i * NR, c[i][0]);
            store_i(t->acc + i * NR + 8, c[i][1]);
        }
    } else if (o->b_neg || o->a_zero || o->type == QDOT_F32 || t->columns < NR) {
        __m256i sum[MR][2]; /* a copy, so that c itself can live in registers */
        UNROLL(6)
        for (int i = 0; i < rows; i++) {
            sum[i][0] = c[i][0];
            sum[i][1] = c[i][1];
        }
        finish(t, rows, sum);
    } else if (o->type == QDOT_S32) {
        UNROLL(6)
        for (int i = 0; i < rows; i++) {
            store_i(out + out_rows[i], c[i][0]);
            store_i(out + out_rows[i] + 32, c[i][1]);
        }
    } else {
        UNROLL(3)
        for (int i = 0; i < rows; i += 2) {
            const int second = i + 1 < rows ? i + 1 : i;
            const __m256i bytes = narrow(o, t->column, c[i], c[second]);
            _mm_storeu_si128((__m128i *)(void *)(out + out_rows[i]), _mm256_castsi256_si128(bytes));
            if (second > i)
                _mm_storeu_si128((__m128i *)(void *)(out + out_rows[second]),
                                 _mm256_extracti128_si256(bytes, 1));
        }
    }
}

static inline __attribute__((always_inline)) TARGET void tile(const struct cpu_tile *t,
                                                              const int rows, const bool wide)
{
    const int chains = CHAINS(rows);
    const ptrdiff_t b_bytes = wide ? WIDE_BYTES : (ptrdiff_t)t->b_step;
    __m256i c[4][MR][2];
    const uint8_t *a[MR], *b = t->b, *next = t->next, *next_a = t->next_a;
    const size_t next_step = t->next_step;
    const __m256i flips = _mm256_set1_epi8((char)t->flip);
    const int32_t *from = t->more ? t->acc : t->output->bias + t->column;
    const size_t from_step = t->more ? NR : 0;
    UNROLL(6)
    for (int i = 0; i < rows; i++, from += from_step) {
        a[i] = t->a + t->a_rows[i];
        UNROLL(2)
        for (int j = 0; j < 2; j++) {
            c[0][i][j] = load_i(from + 8 * j);
            OWN_REGISTER(c[0][i][j]);
            UNROLL(3)
            for (int s = 1; s < chains; s++) {
                c[s][i][j] = _mm256_setzero_si256();
                OWN_REGISTER(c[s][i][j]);
            }
        }
    }
    if (t->row_add && !t->more) {
        UNROLL(6)
        for (int i = 0; i < rows; i++) {
            const __m256i add = _mm256_set1_epi32(t->row_add[i]);
            c[0][i][0] = _mm256_add_epi32(c[0][i][0], add);
            c[0][i][1] = _mm256_add_epi32(c[0][i][1], add);
        }
    }
    for (size_t r = 0; r < t->run_count; r++) {
        ptrdiff_t at = t->runs[r];
        const ptrdiff_t end = at + (ptrdiff_t)t->groups * GROUP_BYTES;
        const ptrdiff_t whole = end - (ptrdiff_t)(t->groups % (size_t)chains) * GROUP_BYTES;
        for (; chains > 1 && at != whole; at += chains * GROUP_BYTES, b += chains * b_bytes) {
            UNROLL(4)
            for (int s = 0; s < chains; s++) {
                _mm_prefetch((const char *)b + PREFETCH_BYTES + s * b_bytes, _MM_HINT_T0);
                group(c[s], a, at + s * GROUP_BYTES, b + s * b_bytes, flips, rows, wide);
            }
        }
        for (; at != end; at += GROUP_BYTES, b += b_bytes) {
            if (rows <= FEW_ROWS) {
                _mm_prefetch((const char *)b + PREFETCH_BYTES, _MM_HINT_T0);
            } else {
                _mm_prefetch((const char *)next, _MM_HINT_T1);
                next += next_step;
                _mm_prefetch((const char *)next_a, _MM_HINT_T0);
                next_a += 32;
            }
            group(c[0], a, at, b, flips, rows, wide);
        }
        b += t->b_skip;
    }
    UNROLL(6)
    for (int i = 0; i < rows; i++) {
        UNROLL(3)
        for (int s = 1; s < chains; s++) {
            c[0][i][0] = _mm256_add_epi32(c[0][i][0], c[s][i][0]);
            c[0][i][1] = _mm256_add_epi32(c[0][i][1], c[s][i][1]);
        }
    }
    leave(t, rows, c[0]);
}

#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        tile(t, rows, false);                                \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
