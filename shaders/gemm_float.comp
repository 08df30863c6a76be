// C = A * B from packed panels in floats: an invocation computes MR rows of 8 columns. A product of
// bytes is at most 2^14, and the products of BLOCK groups of four add up to at most 2^24: floats hold
// them exactly, fused or not, in any order. Where no instruction multiplies packed bytes, a product of
// floats costs least. The tile is large because drivers on CPUs load word by word for each lane.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;

#define MR 16 // as in the table of host/vulkan/plan.c
#define NR 16
#define BLOCK 256 // groups of k

layout(std430, set = 0, binding = 0) readonly buffer PackedA
{
    uvec4 packed_a[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "product.glsl"

// Four words as floats: their first bytes, their second bytes and so on.
void unpack(uvec4 w, out vec4 f[4])
{
    for (int i = 0; i < 4; i++)
        f[i] = vec4(bitfieldExtract(ivec4(w), i * 8, 8));
}

#define ROW(i, a, c)                                                          \
    left[i] += a[0].c * v[0] + a[1].c * v[1] + a[2].c * v[2] + a[3].c * v[3]; \
    right[i] += a[0].c * w[0] + a[1].c * w[1] + a[2].c * w[2] + a[3].c * w[3];
#define ROWS(i)                        \
    unpack(packed_a[at_a + i / 4], a); \
    ROW(i, a, x) ROW(i + 1, a, y) ROW(i + 2, a, z) ROW(i + 3, a, w)

void store(uvec4 acc[MR], uint row, uint column)
{
    if (column >= n)
        return;
    const columns4 columns = load_columns(column);
    const uint rows = min(m - row, MR);
    for (uint i = 0; i < rows; i++)
        store_row(acc[i], row + i, column, columns);
}

void main()
{
    const uint column = gl_GlobalInvocationID.x * 8;
    const uint tile = first_tile + gl_GlobalInvocationID.y, row = tile * MR;
    if (column >= n || row >= m)
        return;
    uint at_a = tile * groups * (MR / 4);
    uint at_b = column / NR * groups * (NR / 4) + column % NR / 4;
    uvec4 acc[MR], acc_right[MR];
    for (int i = 0; i < MR; i++)
        acc[i] = acc_right[i] = uvec4(0);
    for (uint g = 0; g < groups;) {
        const uint end = min(groups, g + BLOCK);
        vec4 left[MR], right[MR], a[4], v[4], w[4];
        for (int i = 0; i < MR; i++)
            left[i] = right[i] = vec4(0);
        for (; g < end; g++, at_a += MR / 4, at_b += NR / 4) {
            unpack(packed_b[at_b], v);
            unpack(packed_b[at_b + 1], w);
            ROWS(0) ROWS(4) ROWS(8) ROWS(12)
        }
        for (int i = 0; i < MR; i++) {
            acc[i] += uvec4(ivec4(left[i]));
            acc_right[i] += uvec4(ivec4(right[i]));
        }
    }
    store(acc, row, column);
    store(acc_right, row, column + 4);
}
