// The input of a convolution to its copy (interface.glsl): an invocation writes a word at a time.
// Loops stride over the grid, so that no size is bound by the number of work-groups.
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
    uint channels;                                                 // of a part
    uint multiplier; // channels of the copy for each one of the source
    int pad_top, pad_left;
    uint insert_h, insert_w;
    uint flip, zero; // of four bytes
};

const uint NONE = 0xffffffffu;

// The line or column of the source under one of the copy; NONE: padding, or the gap between two
// inputs. The difference is exact as uint: 'at' is below 2^30, 'pad' above -2^31.
uint source_of(uint at, int pad, uint insert, uint size)
{
    if (pad > 0 && at < uint(pad))
        return NONE;
    uint point = at - uint(pad);
    if (insert > 1) {
        if (point % insert != 0)
            return NONE;
        point /= insert;
    }
    return point < size ? point : NONE;
}

uint load_word(uint at, uint channel, uint depth)
{
    if (multiplier == 1 && channel_step == 1)
        return load_bytes(at + channel, depth);
    if (multiplier == 1)
        return load_apart(at + channel * channel_step, channel_step, depth);
    uint v = 0;
    for (uint i = 0; i < depth; i++)
        v |= load_byte(at + (channel + i) / multiplier * channel_step) << i * 8;
    return v;
}

void main()
{
    const uvec2 step = gl_NumWorkGroups.xy * gl_WorkGroupSize.xy;
    const uint cells = parts * words, line_words = columns * cells;
    for (uint y = gl_GlobalInvocationID.y; y < images * lines; y += step.y) {
        const uint source_y = source_of(y % lines, pad_top, insert_h, height);
        const uint line_at = offset + y / lines * image_step + source_y * line_step;
        for (uint x = gl_GlobalInvocationID.x; x < line_words; x += step.x) {
            // Neighbouring invocations read neighbours: channels, or, of planes, columns.
            const bool planes = channel_step != 1;
            const uint column = planes ? x % columns : x / cells;
            const uint cell = planes ? x / columns : x % cells;
            const uint word = cell % words, depth = min(channels - min(word * 4, channels), 4);
            const uint source_x = source_of(column, pad_left, insert_w, width);
            uint v = zero;
            if (source_y != NONE && source_x != NONE && depth > 0)
                v = load_word(line_at + source_x * column_step, cell / words * channels + word * 4,
                              depth) ^
                    flip;
            copy[y * line_words + column * cells + cell] =
                depth > 0 ? v & (0xffffffffu >> (32 - depth * 8)) : 0;
        }
    }
}
