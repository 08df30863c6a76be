// Sums over the taps and channels of every window: an invocation sums a part of one.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 1) readonly buffer Copy
{
    uint copy[];
};
layout(std430, set = 0, binding = 2) buffer Terms
{
    uint terms[];
};
#include "window.glsl"

void main()
{
    const uint index = gl_GlobalInvocationID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x +
                       gl_GlobalInvocationID.x;
    const uint pixel = index / parts, part = index % parts;
    if (pixel >= pixels)
        return;
    const uint window = window_at(pixel) + part * part_words;
    int sum = 0;
    for (uint i = 0; i < kernel_h; i++) {
        for (uint j = 0; j < kernel_w; j++) {
            const uint tap = window + i * tap_h + j * tap_w;
            for (uint at = tap; at < tap + part_words; at++)
                sum += dot4_portable(copy[at], 0x01010101u);
        }
    }
    terms[TERMS * terms_ld + part * rows_ld + pixel] = uint(sum);
}
