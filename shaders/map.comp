// Maps: bytes by a table of one or of two operands, and copies. Where all tensors are lines an invocation has
// 16 bytes of the output; else 4 elements that follow one another there, where it has no gaps one word.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "bytes.glsl"

layout(constant_id = 3) const uint LINE = 0;

layout(std430, set = 0, binding = 0) readonly buffer A4
{
    uvec4 a_fours[];
};
layout(std430, set = 0, binding = 1) readonly buffer B
{
    uint b_words[];
};
layout(std430, set = 0, binding = 1) readonly buffer B4
{
    uvec4 b_fours[];
};
layout(std430, set = 0, binding = 3) writeonly buffer Output4
{
    uvec4 fours[];
};
layout(push_constant) uniform Arguments
{
    uint count;
    uint a_offset, b_offset, out_offset; // bytes
    uint whole;                          // the output has no gaps
    uint rank, dims[6], a_stride[6], b_stride[6], out_stride[6];
};

const bool PAIRS = TABLE == 65536;

uint a_byte(uint at)
{
    return byte_of(a_words[at / 4], at);
}

uint b_byte(uint at)
{
    return PAIRS ? byte_of(b_words[at / 4], at) : 0;
}

uint entries(uint a, uint b)
{
    if (TABLE == 0)
        return a;
    uint bits = 0;
    for (int j = 0; j < 32; j += 8)
        bits |= entry(bitfieldExtract(a, j, 8), bitfieldExtract(b, j, 8)) << j;
    return bits;
}

uvec4 entries(uvec4 a, uvec4 b)
{
    return uvec4(entries(a.x, b.x), entries(a.y, b.y), entries(a.z, b.z), entries(a.w, b.w));
}

// The output's word; bytes before the first one are far by wrapping.
void line_word(uint word)
{
    const uint first = word * 4 - out_offset;
    if (first < count && count - first >= 4) {
        const uint at = a_offset + first, other = b_offset + first;
        const uint a = four_of(a_words[at / 4], a_words[(at + 3) / 4], at);
        const uint b = PAIRS ? four_of(b_words[other / 4], b_words[(other + 3) / 4], other) : 0;
        words[word] = entries(a, b);
        return;
    }
    for (uint j = 0; j < 4; j++)
        if (first + j < count)
            put(word * 4 + j, entry(a_byte(a_offset + first + j), b_byte(b_offset + first + j)));
    put_end();
}

void line_four(uint four)
{
    const uint first = four * 16 - out_offset;
    const bool aligned = (a_offset + first) % 16 == 0 && (!PAIRS || (b_offset + first) % 16 == 0);
    if (first < count && count - first >= 16 && aligned) {
        const uvec4 a = a_fours[(a_offset + first) / 16];
        fours[four] = entries(a, PAIRS ? b_fours[(b_offset + first) / 16] : a);
        return;
    }
    for (uint j = 0; j < 4; j++)
        line_word(four * 4 + j);
}

// Elements [begin, end), in the order of the output.
void elements(uint begin, uint end)
{
    uint a = 0, b = 0, at = 0, left = 0;
    const uint last = rank - 1;
    for (uint i = begin; i < end; i++) {
        if (left == 0) { // where it is
            uint rest = i;
            a = a_offset;
            b = b_offset;
            at = out_offset;
            for (int d = int(last); d >= 0; d--) {
                const uint index = rest % dims[d];
                rest /= dims[d];
                a += index * a_stride[d];
                b += index * b_stride[d];
                at += index * out_stride[d];
            }
            left = dims[last] - i % dims[last];
        }
        put(at, entry(a_byte(a), b_byte(b)));
        a += a_stride[last];
        b += b_stride[last];
        at += out_stride[last];
        left--;
    }
    put_end();
}

void main()
{
    stage();
    const uint step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    if (LINE != 0) {
        const uint end = (out_offset + count + 15) / 16;
        for (uint i = out_offset / 16 + gl_GlobalInvocationID.x; i < end; i += step)
            line_four(i);
        return;
    }
    const uint before = whole != 0 ? out_offset % 4 : 0, end = (before + count + 3) / 4;
    for (uint i = gl_GlobalInvocationID.x; i < end; i += step)
        elements(max(i * 4, before) - before, min(i * 4 + 4 - before, count));
}
