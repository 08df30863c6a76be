/*
 * Convolution of groups with one input channel, from the padded copy (conv_input.cl), which has a
 * channel of its own for every output channel, and panels [tap][16 channels] of bytes: a work-item
 * computes MR pixels of 16 channels.
 *
 * Zero points of B are added to the weights instead of to the sums. Products fit in 16 bits: a
 * weight less its zero point is at most 255 in magnitude, an input of the form s8 at most 128.
 */
#define POINT(i)                                                                                   \
    global const char16 *a##i = input + input_at(&s, p) * cell + panel;                            \
    if (first + i < last)                                                                          \
        p = next_point(&s, p);
#define STEP(i) acc##i += as_uint16(convert_int16(convert_short16(a##i[at]) * w));
#define MULTIPLY(ROWS)                                                                             \
    for (uint i = 0; i < kh; i++)                                                                  \
        for (uint j = 0; j < kw; j++, b++) {                                                       \
            const short16 w = convert_short16(*b) + b_neg;                                         \
            const ulong at = (ulong) (i * tap_h + j * tap_w) * cell;                               \
            ROWS(STEP)                                                                             \
        }

kernel void depthwise(global const char16 *input, global const char16 *packed_b, SLIDE_PARAMETERS,
                      STAGE_PARAMETERS)
{
    const uint panel = get_global_id(0) % panels, first = get_global_id(0) / panels * MR;
    if (first >= m)
        return;
    const uint column = panel * NR, cell = words / 4, last = m - 1;
    const struct slide s = SLIDE;
    const struct point begins = point_of(&s, first);
    struct point p = begins;
    const short16 b_neg = convert_short16(vload16(0, terms + TERM_B_NEG * terms_ld + column));
    global const char16 *b = packed_b + (ulong) panel * kh * kw;
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
    global out_t *to = stage.out + column * channel_step;
    p = begins;
    for (uint r = 0; r < rows; r++, p = next_point(&s, p))
        put16(to + output_at(&s, p), channel_step, output16(&stage, acc[r], 0, 0, column),
              n - column);
}
