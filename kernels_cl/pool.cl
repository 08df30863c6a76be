/*
 * Max pools, and with AVERAGE average pools. A work-item has four neighbouring channels of a pixel of the
 * output, or where channels are planes (pixel: 1) four neighbouring pixels. Bytes are taken as unsigned
 * ones, of s8 with the top bit flipped. The padding has no part in it.
 */
#pragma OPENCL FP_CONTRACT OFF

struct pool {
    uint pixel, lda, ldo; /* bytes of a pixel, and from one to the next */
    uint h, w, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left;
    uint flip;
    /* of averages */
    float scale;
    int zero;
    uint taps; /* 0: those that are inside */
    int least; /* of the outputs */
    uint half_more; /* half of taps more */
};

/* Taps of a window along one axis that are inside: the first pixel, and how many. */
uint2 span(uint output, uint size, uint taps, uint stride, uint dilation, int pad)
{
    const int begin = (int) (output * stride) - pad;
    const uint before = begin < 0 ? ((uint) -begin + dilation - 1) / dilation : 0;
    const uint first = (uint) (begin + (int) (before * dilation));
    return (uint2)(first, min(taps - before, (size - 1 - first) / dilation + 1));
}

/* n bytes, at most 4. */
uchar4 load(global const uchar *from, uint n)
{
    if (n == 4 && ((ulong) from & 3) == 0)
        return as_uchar4(*(global const uint *) from);
    return (uchar4)(from[0], n > 1 ? from[1] : 0, n > 2 ? from[2] : 0, n > 3 ? from[3] : 0);
}

#ifndef AVERAGE
#define STAGED 64 /* words of a table */

/* Of n channels. */
uint4 pooled(global const uchar *plane, const struct pool *g, uint2 y, uint2 x, uint n,
             local const uint *table, uint use_table)
{
    uchar4 most = 0;
    for (uint i = 0; i < y.s1; i++) {
        global const uchar *from = plane + ((y.s0 + i * g->dilation_h) * g->w + x.s0) * g->lda;
        for (uint j = 0; j < x.s1; j++, from += g->dilation_w * g->lda)
            most = max(most, load(from, n) ^ (uchar4)((uchar) g->flip));
    }
    most ^= (uchar4)((uchar) g->flip);
    local const uchar *entries = (local const uchar *) table;
    if (use_table)
        return (uint4)(entries[most.s0], entries[most.s1], entries[most.s2], entries[most.s3]);
    return convert_uint4(most);
}

#else
#define STAGED 256 /* qdot_average_steps */

/* sum / taps in binary32, as an integer with the bits of its magnitude and its sign. The device's
 * division is not exact: it estimates a quotient of 25 bits, which what is left over corrects. The last bit
 * is half a place, and never all that there is: a quotient of 25 bits times taps has more than a sum. */
int divide(float sum, uint taps)
{
    const uint x = as_uint(sum) & 0x7fffffff, m = (x & 0x7fffff) | 0x800000;
    const int shift = (int) clz(taps) - 8, exponent = (int) (x >> 23);
    const uint s = taps << shift, up = m < s ? 25 : 24;
    if (x == 0)
        return 0;
    uint q = (uint) as_float(as_uint((float) m / (float) s) + (up << 23));
    int left = as_int((m << up) - q * s);
    for (; left < 0; left += s)
        q--;
    for (; left >= (int) s; left -= s)
        q++;
    const int magnitude = (int) ((q + 1) / 2 + ((uint) (exponent + shift - (int) up) << 23));
    return sum < 0 ? -magnitude : magnitude;
}

/* The output whose place that is among the steps. */
uint find(const struct pool *g, local const int *steps, float sum, uint taps)
{
    if (g->half_more)
        sum += (float) (taps / 2) * (sum < 0 ? -1.0f : 1.0f);
    const int at = divide(sum, taps);
    uint below = 0;
    for (uint step = 128; step > 0; step /= 2)
        below += at >= steps[below + step - 1] ? step : 0;
    return (uint) (g->least + (int) below) & 255;
}

uint4 pooled(global const uchar *plane, const struct pool *g, uint2 y, uint2 x, uint n,
             local const uint *staged, uint scaled)
{
    const uint taps = g->taps ? g->taps : y.s1 * x.s1;
    local const int *steps = (local const int *) staged;
    float4 sum = 0;
    for (uint i = 0; i < y.s1; i++) {
        global const uchar *from = plane + ((y.s0 + i * g->dilation_h) * g->w + x.s0) * g->lda;
        for (uint j = 0; j < x.s1; j++, from += g->dilation_w * g->lda) {
            const int4 v = convert_int4(load(from, n) ^ (uchar4)((uchar) g->flip)) - g->zero;
            sum += g->scale * convert_float4(v);
        }
    }
    uint4 found = 0;
    found.s0 = find(g, steps, sum.s0, taps);
    if (n > 1)
        found.s1 = find(g, steps, sum.s1, taps);
    if (n > 2)
        found.s2 = find(g, steps, sum.s2, taps);
    if (n > 3)
        found.s3 = find(g, steps, sum.s3, taps);
    return found;
}
#endif

kernel void pool(global const uchar *a, ulong a_offset, global uchar *out, ulong out_offset,
                 global const uint *terms, uint use_terms, uint count, uint8 sizes, uint8 steps,
                 uint8 average)
{
    const struct pool g = {sizes.s6, steps.s4, steps.s5, sizes.s0, sizes.s1, sizes.s2, sizes.s3,
                           sizes.s4, sizes.s5, steps.s0, steps.s1, steps.s2, steps.s3,
                           (int) steps.s6, (int) steps.s7, sizes.s7, as_float(average.s0),
                           (int) average.s1, average.s2, (int) average.s3, average.s4};
    local uint staged[STAGED];
    if (use_terms)
        for (uint i = get_local_id(0); i < STAGED; i += get_local_size(0))
            staged[i] = terms[i];
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
            values[j] = pooled(plane, &g, y, x, 1, staged, use_terms).s0;
        }
        out += out_offset + (row * g.ow + first) * g.ldo;
    } else {
        const uint2 x = span(above % g.ow, g.w, g.kw, g.stride_w, g.dilation_w, g.pad_left);
        vstore4(pooled(plane + first, &g, y, x, n, staged, use_terms), 0, values);
        out += out_offset + above * g.ldo + first;
    }
    const uint step = planes ? g.ldo : 1;
    if (n == 4 && step == 1 && ((ulong) out & 3) == 0) {
        *(global uint *) out = values[0] | values[1] << 8 | values[2] << 16 | values[3] << 24;
        return;
    }
    for (uint j = 0; j < n; j++)
        out[j * step] = (uchar) values[j];
}
