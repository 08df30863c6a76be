// The input of a convolution to its copy (interface.glsl): an invocation writes a word.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "load.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 1) writeonly buffer Copy
{
    uint copy[];
};
layout(push_constant) uniform Arguments
{
    uint offset, image_step, line_step, column_step, channel_step; // bytes of the source
    uint height, width;                                            // of the source
    uint images, lines, columns, parts, words;                     // of the copy
    uint channels;   // of a part
    uint multiplier; // channels of the copy for each one of the source
    int pad_top, pad_left;
    uint insert_h, insert_w;
    uint flip, zero; // of four bytes
};

const uint NONE = 0xffffffffu;

// The line or column of the source under one of the copy; NONE: padding, or the gap between two
// inputs. Sums are exact as uint: 'at' is below 2^30, 'pad' above -2^31.
uint source_of(uint at, int pad, uint insert, uint size)
{
    if (pad > 0 && at < uint(pad))
        return NONE;
    const uint point = at - uint(pad);
    return point % insert == 0 && point / insert < size ? point / insert : NONE;
}

uint load_word(uint pixel_at, uint part, uint word, uint depth)
{
    const uint channel = part * channels + word * 4;
    if (multiplier == 1 && channel_step == 1)
        return load_bytes(pixel_at + channel, depth);
    if (multiplier == 1)
        return load_apart(pixel_at + channel * channel_step, channel_step, depth);
    uint v = 0;
    for (uint i = 0; i < depth; i++)
        v |= load_byte(pixel_at + (channel + i) / multiplier * channel_step) << i * 8;
    return v;
}

void main()
{
    const uint index = gl_GlobalInvocationID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x +
                       gl_GlobalInvocationID.x;
    const uint cells = parts * words, line_words = columns * cells;
    const uint y = index / line_words, x = index % line_words;
    if (y >= images * lines)
        return;
    // Neighbouring invocations read neighbours: channels, or, of planes, columns.
    const bool planes = channel_step != 1;
    const uint column = planes ? x % columns : x / cells, cell = planes ? x / columns : x % cells;
    const uint part = cell / words, word = cell % words, depth = min(channels - word * 4, 4);
    const uint source_y = source_of(y % lines, pad_top, insert_h, height);
    const uint source_x = source_of(column, pad_left, insert_w, width);
    uint v = zero;
    if (source_y != NONE && source_x != NONE)
        v = load_word(offset + y / lines * image_step + source_y * line_step +
                          source_x * column_step,
                      part, word, depth) ^
            flip;
    copy[y * line_words + column * cells + cell] = v & (0xffffffffu >> (32 - depth * 8));
}
