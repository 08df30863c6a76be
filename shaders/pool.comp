// Pools. An invocation has four neighbouring channels of a pixel of the output, or where channels are planes
// (pixel: 1) four neighbouring pixels. Bytes are taken as unsigned ones, of s8 with the top bit flipped. The
// padding has no part in it.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4467], 4462, 32);
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4466], 4461, 32);
#include "bytes.glsl"

layout(constant_id = 3) const bool AVERAGE = false; // else the largest

layout(push_constant) uniform Arguments
{
    uint count; // of invocations' work
    uint a_offset, out_offset; // bytes
    uint pixel, lda, ldo;      // bytes of a pixel, and from one to the next
    uint h, w, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left;
    uint flip; // in each byte
    // of averages
    float a_scale;
    int a_zero;
    uint all_taps; // 0: those that are inside
    int least;     // of the outputs
    uint half_more; // half of taps more
};

shared int steps[256]; // qdot_average_steps

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

vec4 sum_of(uint plane, uvec2 y, uvec2 x, uint n)
{
    precise vec4 sum = vec4(0);
    for (uint i = 0; i < y.y; i++) {
        uint at = plane + ((y.x + i * dilation_h) * w + x.x) * lda;
        for (uint j = 0; j < x.y; j++, at += dilation_w * lda) {
            precise vec4 term = a_scale * vec4(ivec4(load(at, n)) - a_zero);
            sum += term;
        }
    }
    return sum;
}

// sum / taps in binary32, as an integer with the bits of its magnitude and its sign. The device's division
// is not exact: it estimates a quotient of 25 bits, which what is left over corrects. The last bit is half a
// place, and never all that there is: a quotient of 25 bits times taps has more than a sum.
int divide(float sum, uint taps)
{
    const uint x = floatBitsToUint(sum) & 0x7fffffff, m = x & 0x7fffff | 0x800000;
    const int shift = 23 - findMSB(taps), exponent = int(x >> 23);
    const uint s = taps << shift, up = m < s ? 25 : 24;
    if (x == 0)
        return 0;
    uint q = uint(uintBitsToFloat(floatBitsToUint(float(m) / float(s)) + (up << 23)));
    int left = int((m << up) - q * s);
    for (; left < 0; left += int(s))
        q--;
    for (; left >= int(s); left -= int(s))
        q++;
    const int magnitude = int((q + 1) / 2 + (uint(exponent + shift - int(up)) << 23));
    return sum < 0 ? -magnitude : magnitude;
}

// The output whose place that is among the steps.
uint find(float sum, uint taps)
{
    if (half_more != 0)
        sum += float(taps / 2) * (sum < 0 ? -1.0 : 1.0);
    const int at = divide(sum, taps);
    uint below = 0;
    for (uint step = 128; step > 0; step /= 2)
        below += at >= steps[below + step - 1] ? step : 0;
    return uint(least + int(below)) & 255;
}

// The outputs of n channels.
uvec4 pooled(uint plane, uvec2 y, uvec2 x, uint n)
{
    uvec4 values = uvec4(0);
    if (AVERAGE) {
        const vec4 sum = sum_of(plane, y, x, n);
        for (uint j = 0; j < n; j++)
            values[j] = find(sum[j], all_taps != 0 ? all_taps : y.y * x.y);
    } else {
        values = largest(plane, y, x, n);
        for (uint j = 0; j < n; j++)
            values[j] = entry(values[j], 0);
    }
    return values;
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
            put(out_offset + (row * ow + first + j) * ldo, pooled(plane, y, x, 1).x);
        }
    } else {
        const uvec2 x = span(above % ow, w, kw, stride_w, dilation_w, pad_left);
        const uvec4 values = pooled(plane + first, y, x, n);
        for (uint j = 0; j < n; j++)
            put(out_offset + above * ldo + first + j, values[j]);
    }
    put_end();
}

void main()
{
    if (AVERAGE)
        for (uint i = gl_LocalInvocationID.x; i < 256; i += gl_WorkGroupSize.x)
            steps[i] = int(table[i]);
    stage();
    const uint step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    for (uint i = gl_GlobalInvocationID.x; i < count; i += step)
        work(i);
}
