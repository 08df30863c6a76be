/*
 * Max pools. A work-item has four neighbouring channels of a pixel of the output, or where channels are
 * planes (pixel: 1) four neighbouring pixels. Bytes are compared as unsigned ones, of s8 with the top
 * bit flipped. The padding has no part in it.
 */
struct pool {
    uint pixel, lda, ldo; /* bytes of a pixel, and from one to the next */
    uint h, w, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left;
    uint flip;
};

/* Taps of a window along one axis that are inside: the first pixel, and how many. */
uint2 span(uint output, uint size, uint taps, uint stride, uint dilation, int pad)
{
    const int begin = (int) (output * stride) - pad;
    const uint before = begin < 0 ? ((uint) -begin + dilation - 1) / dilation : 0;
    const uint first = (uint) (begin + (int) (before * dilation));
    return (uint2)(first, min(taps - before, (size - 1 - first) / dilation + 1));
}

/* Of n channels, at most 4. */
uint4 largest(global const uchar *plane, const struct pool *g, uint2 y, uint2 x, uint channel, uint n)
{
    uchar4 most = 0;
    for (uint i = 0; i < y.s1; i++) {
        global const uchar *from =
            plane + ((y.s0 + i * g->dilation_h) * g->w + x.s0) * g->lda + channel;
        for (uint j = 0; j < x.s1; j++, from += g->dilation_w * g->lda) {
            uchar4 v = 0;
            if (n == 4 && ((ulong) from & 3) == 0)
                v = as_uchar4(*(global const uint *) from);
            else
                v = (uchar4)(from[0], n > 1 ? from[1] : 0, n > 2 ? from[2] : 0, n > 3 ? from[3] : 0);
            most = max(most, v ^ (uchar4)((uchar) g->flip));
        }
    }
    return convert_uint4(most ^ (uchar4)((uchar) g->flip));
}

kernel void max_pool(global const uchar *a, ulong a_offset, global uchar *out, ulong out_offset,
                     global const uchar *table, uint use_table, uint count, uint8 sizes,
                     uint8 steps)
{
    const struct pool g = {sizes.s6, steps.s4, steps.s5, sizes.s0, sizes.s1, sizes.s2, sizes.s3,
                           sizes.s4, sizes.s5, steps.s0, steps.s1, steps.s2, steps.s3,
                           (int) steps.s6, (int) steps.s7, sizes.s7};
    local uint staged[64];
    local const uchar *entries = (local const uchar *) staged;
    if (use_table)
        for (uint i = get_local_id(0); i < 64; i += get_local_size(0))
            staged[i] = ((global const uint *) table)[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint item = get_global_id(0);
    if (item >= count)
        return;
    const bool planes = g.pixel == 1;
    const uint line = planes ? g.ow : g.pixel, quads = (line + 3) / 4;
    const uint above = item / quads, first = item % quads * 4, n = min(line - first, 4u);
    const uint row = planes ? above : above / g.ow;
    const uint2 y = span(row % g.oh, g.h, g.kh, g.stride_h, g.dilation_h, g.pad_top);
    global const uchar *plane = a + a_offset + row / g.oh * g.h * g.w * g.lda;
    uint values[4] = {0, 0, 0, 0};
    if (planes) {
        for (uint j = 0; j < n; j++) {
            const uint2 x = span(first + j, g.w, g.kw, g.stride_w, g.dilation_w, g.pad_left);
            values[j] = largest(plane, &g, y, x, 0, 1).s0;
        }
        out += out_offset + (row * g.ow + first) * g.ldo;
    } else {
        const uint2 x = span(above % g.ow, g.w, g.kw, g.stride_w, g.dilation_w, g.pad_left);
        vstore4(largest(plane, &g, y, x, first, n), 0, values);
        out += out_offset + above * g.ldo + first;
    }
    for (uint j = 0; j < 4 && use_table; j++)
        values[j] = entries[values[j]];
    const uint step = planes ? g.ldo : 1;
    if (n == 4 && step == 1 && ((ulong) out & 3) == 0) {
        *(global uint *) out = values[0] | values[1] << 8 | values[2] << 16 | values[3] << 24;
        return;
    }
    for (uint j = 0; j < n; j++)
        out[j * step] = (uchar) values[j];
}
