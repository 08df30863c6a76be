// Convolution of groups with one input channel: from a copy that has a channel for every column,
// and panels [tap][NR columns] of bytes, an invocation computes MR output pixels of 4 columns. Zero
// points of B are added to the weights instead of to the sums.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;

#define MR 4 // as in the table of host/vulkan/plan.c
#define NR 16

layout(std430, set = 0, binding = 0) readonly buffer Copy
{
    uint copy[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uint packed_b[];
};
#include "window.glsl"
#include "tile.glsl"

ivec4 signed4(uint word)
{
    const int v = int(word);
    return ivec4(bitfieldExtract(v, 0, 8), bitfieldExtract(v, 8, 8), bitfieldExtract(v, 16, 8),
                 v >> 24);
}

#define STEP(i) acc[i] += uvec4(signed4(copy[windows[i] + tap]) * w);

void main()
{
    const uint quad = gl_GlobalInvocationID.x, column = quad * 4;
    const uint tile = first_tile + gl_GlobalInvocationID.y, pixel = tile * MR;
    if (quad >= part_quads || pixel >= pixels)
        return;
    const uint rows = min(pixels - pixel, MR);
    const ivec4 b_neg = ivec4(load_terms(TERM_B_NEG, column));
    uint b = column / NR * kernel_h * kernel_w * (NR / 4) + column % NR / 4;
    uint windows[MR];
    uvec4 acc[MR];
    find_windows(pixel, rows, windows);
    for (int i = 0; i < MR; i++)
        acc[i] = uvec4(0);
    for (uint i = 0; i < kernel_h; i++) {
        for (uint j = 0; j < kernel_w; j++) {
            const uint tap = quad + i * tap_h + j * tap_w;
            const ivec4 w = signed4(packed_b[b]) + b_neg;
            STEP(0)
            STEP(1)
            STEP(2)
            STEP(3)
            b += NR / 4;
        }
    }
    store_tile(acc, pixel, rows, 0, column);
}
