// C = A * B from packed panels that are as wide as tiles: a tile a work-group (tiled.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "dot.glsl"

layout(std430, set = 0, binding = 0) readonly buffer PackedA
{
    uvec4 packed_a[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "product.glsl"
#include "tiled.glsl"

// The words of groups g to g + DEPTH that this invocation brings; zeros past the last group.
void fetch(uint g)
{
    const uint from_a = ((first_tile + gl_WorkGroupID.y) * groups + g) * QUADS;
    const uint from_b = (gl_WorkGroupID.x * groups + g) * QUADS;
    FOR(i, LOADS) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        const bool there = g + word / QUADS < groups;
        next_a[i] = next_b[i] = uvec4(0);
        if (there) {
            next_a[i] = packed_a[from_a + word];
            next_b[i] = packed_b[from_b + word];
        }
    }
}

void store(uint x, uint y)
{
    const uint row = (first_tile + gl_WorkGroupID.y) * SIDE + y * 4;
    FOR(j, BLOCKS) {
        const uint column = gl_WorkGroupID.x * SIDE + (j * ACROSS + x) * 4;
        if (column >= n)
            continue;
        const columns4 columns = load_columns(column);
        // A count that no compiler knows keeps this a loop.
        for (uint i = 0; i < min(EDGE, m + EDGE); i++) {
            const uint down = row + i / 4 * ACROSS * 4 + i % 4;
            if (down < m)
                store_row(acc[j][i], down, column, columns);
        }
    }
}

void main()
{
    const uint x = gl_LocalInvocationID.x % ACROSS, y = gl_LocalInvocationID.x / ACROSS;
    const uint begin = gl_WorkGroupID.z * slice;
    sum_up(begin, min(begin + slice, groups), x, y);
    store(x, y);
}
