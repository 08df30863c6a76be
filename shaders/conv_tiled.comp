// Convolution from the copy of the input and packed panels that are as wide as tiles: a tile of output
// pixels and channels a work-group (tiled.glsl). k goes over taps and their words.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "dot.glsl"

layout(std430, set = 0, binding = 0) readonly buffer Copy
{
    uint copy[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "window.glsl"
#define MR 4 // pixels that are stored together
#include "tile.glsl"
#include "tiled.glsl"

shared uint windows[SIDE]; // of the tile's pixels

// Columns of B as they are padded.
uint first_column()
{
    return gl_WorkGroupID.x * SIDE;
}

// The words of groups g to g + DEPTH that this invocation brings; zeros past the last group.
void fetch(uint g)
{
    const uint groups = kernel_h * kernel_w * part_words;
    const uint from_b = (gl_WorkGroupID.x * groups + g) * QUADS;
    FOR(i, LOADS) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        const uint group = g + word / QUADS, tap = group / part_words, row = word % QUADS * 4;
        next_a[i] = next_b[i] = uvec4(0);
        if (group < groups) {
            const uint at = tap / kernel_w * tap_h + tap % kernel_w * tap_w + group % part_words;
            next_a[i] = uvec4(copy[windows[row] + at], copy[windows[row + 1] + at],
                              copy[windows[row + 2] + at], copy[windows[row + 3] + at]);
            next_b[i] = packed_b[from_b + word];
        }
    }
}

void main()
{
    const uint x = gl_LocalInvocationID.x % ACROSS, y = gl_LocalInvocationID.x / ACROSS;
    const uint part = first_column() / part_pad, columns = first_column() % part_pad;
    const uint tile = (first_tile + gl_WorkGroupID.y) * SIDE;
    for (uint i = gl_LocalInvocationID.x; i < SIDE; i += gl_WorkGroupSize.x)
        windows[i] = window_at(min(tile + i, pixels - 1)) + part * part_words;
    barrier();
    sum_up(0, kernel_h * kernel_w * part_words, x, y);
    FOR(j, BLOCKS) {
        const uint column = columns + (j * ACROSS + x) * 4;
        if (column >= part_quads * 4)
            continue;
        // A count that no compiler knows keeps this a loop.
        for (uint i = 0; i < min(BLOCKS, pixels + BLOCKS); i++) {
            const uint pixel = tile + (i * ACROSS + y) * 4;
            const uvec4 four[MR] = uvec4[](acc[j][4 * i], acc[j][4 * i + 1], acc[j][4 * i + 2],
                                           acc[j][4 * i + 3]);
            if (pixel < pixels)
                store_tile(four, pixel, min(pixels - pixel, MR), part, column);
        }
    }
}
