// C = A * B by matrix units, from packed panels that are as wide as tiles (coop.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "interface.glsl"

layout(std430, set = 0, binding = 0) readonly buffer PackedA
{
    uvec4 packed_a[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "product.glsl"
#include "coop.glsl"

// Groups g to g + DEPTH of the tile's rows and columns; zeros past the last group.
void fetch(uint g)
{
    const uint from_a = ((first_tile + gl_WorkGroupID.y) * groups + g) * TALL;
    const uint from_b = (gl_WorkGroupID.x * groups + g) * WIDE;
    FOR(i, LOADS_A) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        next_a[i] = uvec4(0);
        if (g + word / TALL < groups)
            next_a[i] = packed_a[from_a + word];
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
    const uint quad = gl_LocalInvocationID.x % QUADS, down = gl_WorkGroupSize.x / QUADS;
    const uint column = gl_WorkGroupID.x * WIDE + quad * 4;
    if (column >= n)
        return;
    const columns4 columns = load_columns(column);
    for (uint r = gl_LocalInvocationID.x / QUADS; r < STRIP; r += down) {
        const uint row = (first_tile + gl_WorkGroupID.y) * TALL + row_of(strip, r);
        if (row < m)
            store_row(sums_of(r, quad), row, column, columns);
    }
}

void main()
{
    const uint begin = gl_WorkGroupID.z * slice;
    multiply_tile(begin, min(begin + slice, groups));
}
