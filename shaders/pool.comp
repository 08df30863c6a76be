// Max pools. An invocation has four neighbouring channels of a pixel of the output, or where channels are
// planes (pixel: 1) four neighbouring pixels. Bytes are compared as unsigned ones, of s8 with the top bit
// flipped. The padding has no part in it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "bytes.glsl"

layout(push_constant) uniform Arguments
{
    uint count; // of invocations' work
    uint a_offset, out_offset; // bytes
    uint pixel, lda, ldo;      // bytes of a pixel, and from one to the next
    uint h, w, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left;
    uint flip; // in each byte
};

// Taps of a window along one axis that are inside: the first pixel, and how many.
uvec2 span(uint index, uint size, uint taps, uint stride, uint dilation, int pad)
{
    const int begin = int(index * stride) - pad;
    const uint before = begin < 0 ? (uint(-begin) + dilation - 1) / dilation : 0;
    const uint first = uint(begin + int(before * dilation));
    return uvec2(first, min(taps - before, (size - 1 - first) / dilation + 1));
}

// n bytes, at most 4.
uvec4 load(uint at, uint n)
{
    const uint low = a_words[at / 4], high = a_words[(at + n - 1) / 4];
    const uint bits = four_of(low, high, at) ^ flip;
    return uvec4(bits & 255, bits >> 8 & 255, bits >> 16 & 255, bits >> 24);
}

// Of n channels; what is beyond is of no use.
uvec4 largest(uint plane, uvec2 y, uvec2 x, uint n)
{
    uvec4 most = uvec4(0);
    for (uint i = 0; i < y.y; i++) {
        uint at = plane + ((y.x + i * dilation_h) * w + x.x) * lda;
        for (uint j = 0; j < x.y; j++, at += dilation_w * lda)
            most = max(most, load(at, n));
    }
    return most ^ (flip & 255);
}

void work(uint item)
{
    const bool planes = pixel == 1;
    const uint line = planes ? ow : pixel, quads = (line + 3) / 4;
    const uint above = item / quads, first = item % quads * 4, n = min(line - first, 4);
    const uint row = planes ? above : above / ow;
    const uvec2 y = span(row % oh, h, kh, stride_h, dilation_h, pad_top);
    const uint plane = a_offset + row / oh * h * w * lda;
    if (planes) {
        for (uint j = 0; j < n; j++) {
            const uvec2 x = span(first + j, w, kw, stride_w, dilation_w, pad_left);
            put(out_offset + (row * ow + first + j) * ldo, entry(largest(plane, y, x, 1).x, 0));
        }
    } else {
        const uvec2 x = span(above % ow, w, kw, stride_w, dilation_w, pad_left);
        const uvec4 most = largest(plane + first, y, x, n);
        for (uint j = 0; j < n; j++)
            put(out_offset + above * ldo + first + j, entry(most[j], 0));
    }
    put_end();
}

void main()
{
    stage();
    const uint step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    for (uint i = gl_GlobalInvocationID.x; i < count; i += step)
        work(i);
}
