// Convolution by matrix units, from the copy of the input, whose parts are whole groups of 16 channels,
// and packed panels that are as wide as tiles (coop.glsl). k goes over taps and their groups.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "interface.glsl"

layout(std430, set = 0, binding = 0) readonly buffer Copy
{
    uvec4 copy[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "window.glsl"
#define MR 4 // pixels that are stored together
#include "tile.glsl"
#include "coop.glsl"

shared uint windows[TALL]; // of the tile's pixels, in groups

// Groups g to g + DEPTH of the tile's pixels and columns; zeros past the last group.
void fetch(uint g)
{
    const uint part_groups = part_words / 4, groups = kernel_h * kernel_w * part_groups;
    const uint from_b = (gl_WorkGroupID.x * groups + g) * WIDE;
    FOR(i, LOADS_A) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        const uint group = g + word / TALL, tap = group / part_groups;
        next_a[i] = uvec4(0);
        if (group < groups)
            next_a[i] = copy[windows[word % TALL] + group % part_groups +
                             (tap / kernel_w * tap_h + tap % kernel_w * tap_w) / 4];
    }
    FOR(i, LOADS_B) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        next_b[i] = uvec4(0);
        if (g + word / WIDE < groups)
            next_b[i] = packed_b[from_b + word];
    }
}

void store_strip(uint strip)
{
    const uint first = gl_WorkGroupID.x * WIDE, part = first / part_pad;
    for (uint at = gl_LocalInvocationID.x; at < STRIP / MR * QUADS; at += gl_WorkGroupSize.x) {
        const uint quad = at % QUADS, r = at / QUADS * MR, column = first % part_pad + quad * 4;
        const uint pixel = (first_tile + gl_WorkGroupID.y) * TALL + row_of(strip, r);
        if (column >= part_quads * 4 || pixel >= pixels)
            continue;
        const uvec4 four[MR] = uvec4[](sums_of(r, quad), sums_of(r + 1, quad),
                                       sums_of(r + 2, quad), sums_of(r + 3, quad));
        store_tile(four, pixel, min(pixels - pixel, MR), part, column);
    }
}

void main()
{
    const uint part = gl_WorkGroupID.x * WIDE / part_pad;
    const uint tile = (first_tile + gl_WorkGroupID.y) * TALL;
    for (uint i = gl_LocalInvocationID.x; i < TALL; i += gl_WorkGroupSize.x)
        windows[i] = (window_at(min(tile + i, pixels - 1)) + part * part_words) / 4;
    barrier();
    multiply_tile(0, kernel_h * kernel_w * part_words / 4);
}
