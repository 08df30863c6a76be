/*
 * AVX2, exact. vpmaddubsw would saturate in between (255 * 127 * 2 > 32767), so A is staged as 16-bit
 * pairs, B is widened, and vpmaddwd sums pairs in 32 bits: at most 2 * 255 * 128, exact. That is a
 * vpmaddwd and a vpaddd for 16 products. Where two vpmaddwd begin in a clock the limit is 64
 * operations a clock; with the additions, in registers alone, Zen 5 does 57. Of the 26 vector
 * instructions for a group of a tile that reads bytes 2 widen B: where many tiles lie below each
 * other they find it widened.
 *
 * No exact sequence on vpmaddubsw is shorter. For a pair of products to fit into 16 bits one factor must
 * lose a bit, so that each product takes two vpmaddubsw: as many multiplications as vpmaddwd, and
 * no fewer additions, for 16-bit sums must be widened by vpmaddwd and added as well.
 */
#define TARGET __attribute__((target("avx2")))
#define GROUP_BYTES 4
#define LOAD_B(p, j, wide)                                                 \
    ((wide) ? _mm256_loadu_si256((const __m256i *)(const void *)(p) + (j)) \
            : _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p) + (j))))
#define FLIP(a, flips) (a)
#define DOT(c, a, b) _mm256_add_epi32(c, _mm256_madd_epi16(a, b))
/* An addition is all that a sum waits for; one row has little work for each turn of a loop. */
#define CHAINS(rows) ((rows) == 1 ? 4 : 1)
#include "tile_ymm.h"

#define WIDE_GROUPS 256 /* widened at once: 16 KiB, which stay in L1 with a tile of A */
#define LEAST_TILES 4   /* for which widening pays */
#define MOST_TILES 16   /* whose sums wait while the next groups are widened */

static TARGET void widen(uint8_t *wide, const uint8_t *b, size_t b_step, size_t groups)
{
    for (; groups > 0; groups--, b += b_step, wide += WIDE_BYTES) {
        store_i(wide, LOAD_B(b, 0, false));
        store_i(wide + 32, LOAD_B(b, 1, false));
    }
}

/* By name: a test reads its loop. */
static __attribute__((noinline)) TARGET void wide_tile(const struct cpu_tile *t)
{
    tile(t, MR, true);
}

/* At most MOST_TILES tiles: part by part of K, each a run's, or several whole runs. */
static TARGET void some_tiles(const struct cpu_tile *t, size_t tiles)
{
    _Alignas(64) uint8_t wide[WIDE_GROUPS * WIDE_BYTES];
    int32_t sums[MOST_TILES * MR * NR];
    struct cpu_tile part = *t;
    const size_t run_bytes = t->groups * t->b_step + t->b_skip;
    part.b = wide;
    part.b_skip = 0;
    for (size_t r = 0; r < t->run_count; r += part.run_count) {
        part.run_count = t->groups < WIDE_GROUPS ? WIDE_GROUPS / t->groups : 1;
        if (part.run_count > t->run_count - r)
            part.run_count = t->run_count - r;
        for (size_t g = 0; g < t->groups; g += part.groups) {
            part.groups = t->groups - g < WIDE_GROUPS ? t->groups - g : WIDE_GROUPS;
            for (size_t i = 0; i < part.run_count; i++)
                widen(wide + i * part.groups * WIDE_BYTES,
                      t->b + (r + i) * run_bytes + g * t->b_step, t->b_step, part.groups);
            part.last =
                t->last && r + part.run_count == t->run_count && g + part.groups == t->groups;
            struct cpu_tile now = part;
            now.a = t->a + g * GROUP_BYTES;
            now.runs = t->runs + r;
            now.acc = t->last && !t->more ? sums : t->acc;
            for (size_t i = 0; i < tiles; i++) {
                now.next_a = now.a + now.a_rows[i + 1 < tiles ? MR : 0];
                wide_tile(&now);
                cpu_go_on(&now, NR, MR, 1);
            }
            part.more = true;
        }
    }
}

static TARGET bool together(struct cpu_tile *t, size_t height, size_t tiles, size_t panel_bytes)
{
    if (panel_bytes || height < MR || tiles < LEAST_TILES || t->run_count * t->groups == 0)
        return false;
    for (size_t count; tiles > 0; tiles -= count) {
        count = tiles < MOST_TILES ? tiles : MOST_TILES;
        some_tiles(t, count);
        cpu_go_on(t, NR, count * MR, count);
    }
    return true;
}

const struct cpu_kernel cpu_kernel_6x16_avx2 = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .together = together,
    .requantise = cpu_requantise_avx2,
    .stage = cpu_stage_shorts_avx2,
    .sum = cpu_sum_avx2,
    .a_bytes = 2,
};
