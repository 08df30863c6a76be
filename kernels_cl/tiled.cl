/*
 * What kernels share in which a work-group of 256 computes a tile of MR x NR outputs: where A comes
 * from, and where outputs go. PASS groups of KR k of both operands at a time are in local memory, twice:
 * while one pass is multiplied, the next is on its way, 16 bytes a load.
 *
 * Of a matrix product both are packed panels, which lie in local memory as they come. Of a convolution
 * (-D CONV) A is gathered from the padded copy (conv_input.cl): a work-item brings what its one pixel of
 * the tile has, 16 k at a time. 'taps' has for every group of k, or 16 k of it, the distance from a
 * pixel's first word, up to the end of a pass.
 *
 * -D SPLIT: products with few tiles and much k. Slices of k have work-groups of their own, which leave
 * their sums for sums.cl.
 */
#define LANES 256
#define PASS (64 / KR)
#define A_WORDS (MR * KR / 16) /* of 16 bytes, in a group of a panel */
#define B_WORDS (NR * KR / 16)
#define A_LOADS (PASS * A_WORDS / LANES) /* of a work-item in a pass */
#define B_LOADS (PASS * B_WORDS / LANES)
#define PASS_WORDS (PASS * (A_WORDS + B_WORDS)) /* A before B */
#define SHARED_ROWS 64 /* of outputs, that are in local memory at a time */
#ifdef EMULATE
#define FOR(i, count) for (uint i = 0; i < (count); i++)
#else
#define FOR(i, count) _Pragma("unroll") for (uint i = 0; i < (count); i++)
#endif

#ifdef CONV
#define TILE_PARAMETERS                                                                            \
    global const uint *copy, global const uint4 *packed_b, global const uint *sums,                \
        global const uint *taps, uint part_panels, SLIDE_PARAMETERS
#define TILE_BEGINS                                                                                \
    const uint groups = kh * kw * words / (KR / 4), first = 0, last = groups;                      \
    const uint panel = get_group_id(0) % panels;                                                   \
    const uint tile = get_group_id(0) / panels, part = panel / part_panels;                        \
    const struct slide slide = SLIDE;                                                              \
    const struct point point = point_of(&slide, min(tile * MR + lane % MR, m - 1));                \
    global const uint *a_from = copy + (input_at(&slide, point) + part) * words;

#if KR >= 16
#define ROW_WORDS (KR / 16) /* of 16 bytes, in a group of one row */
#define TAPS_OF(group, unit) ((group) * ROW_WORDS + (unit))
#else
#define TAPS_OF(group, unit) ((group) + (unit) * (16 / KR))
#endif

/* 16 k of a pixel, which lie side by side where a pixel has whole 16 of them. */
uint4 gather(global const uint *pixel, global const uint *taps, uint words)
{
#if KR >= 16
    return *(global const uint4 *) (pixel + *taps);
#else
    const uint4 at = *(global const uint4 *) taps;
    if (words % 4 == 0)
        return *(global const uint4 *) (pixel + at.x);
    return (uint4) (pixel[at.x], pixel[at.y], pixel[at.z], pixel[at.w]);
#endif
}

/* To where packing puts them: groups of KR, the rows of one side by side. */
void put_pixel(local uint4 *words, uint i, uint4 a)
{
#if KR >= 16
    words[(i / MR / ROW_WORDS * MR + i % MR) * ROW_WORDS + i / MR % ROW_WORDS] = a;
#else
    local uint *to = (local uint *) words + i / MR * 4 * MR + i % MR;
    to[0] = a.x;
    to[MR] = a.y;
    to[2 * MR] = a.z;
    to[3 * MR] = a.w;
#endif
}

#define FETCH_A(group, i)                                                                          \
    ((group) < last ? gather(a_from, taps + TAPS_OF(group, (lane + (i) * LANES) / MR), words)      \
                    : (uint4) 0)
#define PUT_A(to, i, a) put_pixel(to, lane + (i) * LANES, a)
/* Neighbours store neighbours: columns, or pixels where a column has a plane of them. */
#define STORED_ROW(i) (channel_step == 1 ? (i) / (NR / 16) : (i) % SHARED_ROWS)
#define STORED_COLUMN(i) (channel_step == 1 ? (i) % (NR / 16) * 16 : (i) / SHARED_ROWS * 16)
#define STORE(row, at, acc)                                                                        \
    const uint pixel = tile * MR + (row), column = panel % part_panels * NR + (at);                \
    if (pixel < m && column < n) {                                                                 \
        const struct point p = point_of(&slide, pixel);                                            \
        const ulong cell = input_at(&slide, p) + part;                                             \
        const uint sum = with & WITH_ROW_SUM ? window_sum(sums + cell, kh, kw, tap_h, tap_w) : 0;  \
        put16(stage.out + (part * n + column) * channel_step + output_at(&slide, p), channel_step, \
              output16(&stage, acc, sum, 0, panel * NR + (at)), n - column);                       \
    }
#else
#ifdef SPLIT
#define TILE_PARAMETERS                                                                            \
    global const uint4 *packed_a, global const uint4 *packed_b, uint begin, uint panels,           \
        uint slice_groups, global uint *partial
#define SLICE (get_group_id(0) / panels)
#define TILE_BEGINS                                                                                \
    const uint groups = (k + KR - 1) / KR, first = SLICE * slice_groups;                           \
    const uint last = min(first + slice_groups, groups), panel = get_group_id(0) % panels;         \
    PANEL_BEGINS
#define STORE_ROW(acc, row, column)                                                                \
    vstore16(acc, 0, partial + ((ulong) SLICE * (m - begin) + (row) - begin) * terms_ld + (column))
#else
#define TILE_PARAMETERS global const uint4 *packed_a, global const uint4 *packed_b, uint begin
#define TILE_BEGINS                                                                                \
    const uint groups = (k + KR - 1) / KR, first = 0, last = groups, panel = get_group_id(0);      \
    PANEL_BEGINS
#define STORE_ROW(acc, row, column) store16(&stage, acc, row, column)
#endif
#define PANEL_BEGINS                                                                               \
    const uint tile = get_group_id(1);                                                             \
    global const uint4 *a_from = packed_a + (ulong) tile * groups * A_WORDS + lane;
#define FETCH_A(group, i) FETCH(a_from, A_WORDS, group, i)
#define PUT_A(to, i, a) (to)[lane + (i) * LANES] = a
#define STORED_ROW(i) ((i) / (NR / 16))
#define STORED_COLUMN(i) ((i) % (NR / 16) * 16)
#define STORE(line, at, acc)                                                                       \
    const uint row = begin + tile * MR + (line), column = panel * NR + (at);                       \
    if (row < m && column < n)                                                                     \
        STORE_ROW(acc, row, column);
#endif

#define FETCH(from, WORDS, group, i)                                                               \
    ((group) + (lane + (i) * LANES) / (WORDS) < last                                               \
         ? (from)[(ulong) (group) * (WORDS) + (i) * LANES]                                         \
         : (uint4) 0)
#define FETCH_PASS(group)                                                                          \
    FOR(i, A_LOADS)                                                                                \
        next_a[i] = FETCH_A(group, i);                                                             \
    FOR(i, B_LOADS)                                                                                \
        next_b[i] = FETCH(b_from, B_WORDS, group, i);
#define PUT_PASS(to)                                                                               \
    FOR(i, A_LOADS)                                                                                \
        PUT_A(to, i, next_a[i]);                                                                   \
    FOR(i, B_LOADS)                                                                                \
        (to)[PASS * A_WORDS + lane + i * LANES] = next_b[i];

/* The loop over passes: what is between PASSES and END_PASSES multiplies what is in 'held'. */
#define PASSES                                                                                     \
    TILE_BEGINS                                                                                    \
    global const uint4 *b_from = packed_b + (ulong) panel * groups * B_WORDS + lane;               \
    uint4 next_a[A_LOADS], next_b[B_LOADS];                                                        \
    FETCH_PASS(first)                                                                              \
    for (uint pass = first, turn = 0; pass < last; pass += PASS, turn ^= PASS_WORDS) {             \
        local uint4 *held = parts + turn;                                                          \
        PUT_PASS(held)                                                                             \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        FETCH_PASS(pass + PASS)
#define END_PASSES }
