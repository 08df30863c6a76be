/*
 * The input of a convolution as its kernels read it: [image][line][column][group][word], 4 channels
 * a word in the operand form, with the padding that taps reach written out as the zero point, so
 * that no kernel after this one asks where a tap lies. Channels past a group's last are zero.
 */

/* The input line or column under a point of the padded copy, or -1: padding, or the gap between two
 * inputs of a transposed convolution. */
int source_of(uint at, int pad, uint insert, uint size)
{
    const long point = (long) at - pad;
    if (point < 0 || (uint) point % insert != 0)
        return -1;
    const uint source = (uint) point / insert;
    return source < size ? (int) source : -1;
}

/* Each channel of the input serves 'multiplier' of the copy. Most often 1: the division is worth a
 * branch. */
uint channel_of(uint channel, uint multiplier)
{
    return multiplier == 1 ? channel : channel / multiplier;
}

/* Up to 4 channels of a pixel; zeros past 'depth'. */
uchar4 load_channels(global const uchar *pixel, ulong step, uint channel, uint multiplier,
                     int depth)
{
    uchar4 bytes = 0;
    if (depth > 0)
        bytes.x = pixel[channel_of(channel, multiplier) * step];
    if (depth > 1)
        bytes.y = pixel[channel_of(channel + 1, multiplier) * step];
    if (depth > 2)
        bytes.z = pixel[channel_of(channel + 2, multiplier) * step];
    if (depth > 3)
        bytes.w = pixel[channel_of(channel + 3, multiplier) * step];
    return bytes;
}

#define SEGMENT 16 /* words a work-item */

/*
 * One work-item writes SEGMENT words of one group of one pixel. A byte's value in the operand form
 * is (byte ^ flip) - sign, as in pack.cl; zero is the zero point's. Steps are in bytes.
 */
kernel void copy_input(global const uchar *source, ulong offset, ulong image_step, ulong line_step,
                       ulong pixel_step, ulong channel_step, uint height, uint width, uint begin,
                       uint images, uint lines, uint columns, uint groups, uint words,
                       uint channels, uint multiplier, int pad_top, int pad_left, uint insert_h,
                       uint insert_w, uint flip, int sign, int zero, global a_group *copy)
{
    const uint segments = (words + SEGMENT - 1) / SEGMENT, y = get_global_id(1);
    const uint cell = get_global_id(0) / segments;
    if (cell >= columns * groups || y >= images * lines)
        return;
    const uint first = get_global_id(0) % segments * SEGMENT, last = min(first + SEGMENT, words);
    const int line = source_of(y % lines, pad_top, insert_h, height);
    const int column = source_of(cell / groups, pad_left, insert_w, width);
    const bool inside = line >= 0 && column >= 0;
    const uint channel = cell % groups * channels;
    global const uchar *pixel = source + offset;
    if (inside)
        pixel += (begin + y / lines) * image_step + line * line_step + column * pixel_step;
    global a_group *to = copy + ((ulong) y * columns * groups + cell) * words + first;
    uint i = first;
    if (channel_step == 1 && multiplier == 1)
        for (; i + 4 <= last && i * 4 + 16 <= channels; i += 4, to += 4) {
            int16 v = zero;
            if (inside)
                v = convert_int16(vload16(0, pixel + channel + i * 4) ^ (uchar16) ((uchar) flip)) -
                    sign;
            STORE_A4(v, to);
        }
    for (; i < last; i++, to++) {
        const int depth = (int) channels - (int) (i * 4);
        int4 v = zero;
        if (inside) {
            const uchar4 bytes =
                load_channels(pixel, channel_step, channel + i * 4, multiplier, depth);
            v = convert_int4(bytes ^ (uchar4) ((uchar) flip)) - sign;
        }
        v &= (int4) (0, 1, 2, 3) < (int4) depth;
        *to = MAKE_A(v);
    }
}

/* Sums over the channels of every (pixel, group) of the copy, for zero points of B. */
kernel void sum_input(global const a_group *copy, uint words, ulong cells, global uint *sums)
{
    const ulong cell = get_global_id(0);
    if (cell >= cells)
        return;
    uint sum = 0;
    for (uint i = 0; i < words; i++)
        sum = sum4(WIDEN_A(copy[cell * words + i]), sum);
    sums[cell] = sum;
}
