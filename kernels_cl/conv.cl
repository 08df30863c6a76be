/*
 * Convolution from the padded copy (conv_input.cl) and packed panels: a work-item computes MR
 * pixels of 16 output channels. Pixels are counted over images, lines and columns, so that a tile
 * crosses the ends of lines; where each of its rows lies in the copy is found once, and a tap is at
 * the same distance from all of them.
 */

#define POINT(i)                                                                                   \
    global const a_group *a##i = input + (input_at(&s, p) + part) * words;                         \
    if (first + i < last)                                                                          \
        p = next_point(&s, p);
#define STEP(i) acc##i = dot16(a##i[at], w, acc##i);
#define MULTIPLY(ROWS)                                                                             \
    for (uint i = 0; i < kh; i++)                                                                  \
        for (uint j = 0; j < kw; j++) {                                                            \
            const uint tap = (i * tap_h + j * tap_w) * words;                                      \
            for (uint at = tap; at < tap + words; at++, b += NR) {                                 \
                const uint16 w = vload16(0, b);                                                    \
                ROWS(STEP)                                                                         \
            }                                                                                      \
        }

kernel void conv(global const a_group *input, global const uint *packed_b, global const uint *sums,
                 uint part_panels, SLIDE_PARAMETERS, STAGE_PARAMETERS)
{
    const uint panel = get_global_id(0) % panels, first = get_global_id(0) / panels * MR;
    if (first >= m)
        return;
    const uint part = panel / part_panels, column = panel % part_panels * NR, last = m - 1;
    const struct slide s = SLIDE;
    const struct point begins = point_of(&s, first);
    struct point p = begins;
    global const uint *b = packed_b + (ulong) panel * kh * kw * words * NR;
    ROWS_8(POINT)
    uint16 acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0, acc4 = 0, acc5 = 0, acc6 = 0, acc7 = 0;
    const uint rows = min(m - first, (uint) MR);
    if (rows > 4) {
        MULTIPLY(ROWS_8)
    } else if (rows > 1) {
        MULTIPLY(ROWS_4)
    } else {
        MULTIPLY(ROWS_1)
    }
    const uint16 acc[MR] = {acc0, acc1, acc2, acc3, acc4, acc5, acc6, acc7};
    const struct stage stage = STAGE;
    global out_t *to = stage.out + (part * n + column) * channel_step;
    p = begins;
    for (uint r = 0; r < rows; r++, p = next_point(&s, p)) {
        const ulong cell = input_at(&s, p) + part;
        const uint sum = with & WITH_ROW_SUM ? window_sum(sums + cell, kh, kw, tap_h, tap_w) : 0;
        put16(to + output_at(&s, p), channel_step, output16(&stage, acc[r], sum, 0, panel * NR),
              n - column);
    }
}
