// C = A * B from packed panels: an invocation computes MR rows of 4 columns. Both rows of the table
// are this text; DOT4 is the only difference.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "dot.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;

#define MR 8 // as in the table of host/vulkan/plan.c
#define NR 16

layout(std430, set = 0, binding = 0) readonly buffer PackedA
{
    uvec4 packed_a[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "product.glsl"

void main()
{
    const uint column = gl_GlobalInvocationID.x * 4;
    const uint tile = first_tile + gl_GlobalInvocationID.y, row = tile * MR;
    if (column >= n || row >= m)
        return;
    const uint rows = min(m - row, MR);
    uint a = tile * groups * (MR / 4);
    uint b = column / NR * groups * (NR / 4) + column % NR / 4;
    uvec4 acc0 = uvec4(0), acc1 = uvec4(0), acc2 = uvec4(0), acc3 = uvec4(0);
    uvec4 acc4 = uvec4(0), acc5 = uvec4(0), acc6 = uvec4(0), acc7 = uvec4(0);
    if (rows > 4) {
        for (uint g = 0; g < groups; g++, a += MR / 4, b += NR / 4) {
            const uvec4 low = packed_a[a], high = packed_a[a + 1], w = packed_b[b];
            acc0 += multiply4(low.x, w);
            acc1 += multiply4(low.y, w);
            acc2 += multiply4(low.z, w);
            acc3 += multiply4(low.w, w);
            acc4 += multiply4(high.x, w);
            acc5 += multiply4(high.y, w);
            acc6 += multiply4(high.z, w);
            acc7 += multiply4(high.w, w);
        }
    } else if (rows > 1) {
        for (uint g = 0; g < groups; g++, a += MR / 4, b += NR / 4) {
            const uvec4 low = packed_a[a], w = packed_b[b];
            acc0 += multiply4(low.x, w);
            acc1 += multiply4(low.y, w);
            acc2 += multiply4(low.z, w);
            acc3 += multiply4(low.w, w);
        }
    } else {
        for (uint g = 0; g < groups; g++, a += MR / 4, b += NR / 4)
            acc0 += multiply4(packed_a[a].x, packed_b[b]);
    }
    const uvec4 acc[MR] = uvec4[](acc0, acc1, acc2, acc3, acc4, acc5, acc6, acc7);
    const columns4 columns = load_columns(column);
    for (uint i = 0; i < rows; i++)
        store_row(acc[i], row + i, column, columns);
}
