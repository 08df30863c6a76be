// C = A * B for few rows, bound by reading B: a work-group computes MR rows of one panel of columns.
// An invocation has 4 columns and every SLICES-th group of k, so that a work-group reads B in one
// piece, 16 bytes each; the slices are added up in shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "dot.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

#define MR 4 // as in the table of host/vulkan/plan.c
#define NR 16
#define QUADS (NR / 4)
#define LANES gl_WorkGroupSize.x
#define SLICES (LANES / QUADS)

layout(std430, set = 0, binding = 0) readonly buffer PackedA
{
    uvec4 packed_a[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "product.glsl"

shared uvec4 parts[MR * LANES];

void main()
{
    const uint lane = gl_LocalInvocationID.x, quad = lane % QUADS, slice = lane / QUADS;
    const uint tile = first_tile + gl_WorkGroupID.y, rows = min(m - tile * MR, MR);
    const uint of_a = tile * groups, of_b = gl_WorkGroupID.x * groups * QUADS + quad;
    uvec4 acc[MR];
    for (int i = 0; i < MR; i++)
        acc[i] = uvec4(0);
    uint g = slice;
    // Four groups at once, so that their loads are under way together.
    for (; g + 3 * SLICES < groups; g += 4 * SLICES) {
        uvec4 a[4], w[4];
        for (int i = 0; i < 4; i++) {
            a[i] = packed_a[of_a + g + i * SLICES];
            w[i] = packed_b[of_b + (g + i * SLICES) * QUADS];
        }
        for (int i = 0; i < 4; i++) {
            acc[0] += multiply4(a[i].x, w[i]);
            if (rows > 1) {
                acc[1] += multiply4(a[i].y, w[i]);
                acc[2] += multiply4(a[i].z, w[i]);
                acc[3] += multiply4(a[i].w, w[i]);
            }
        }
    }
    for (; g < groups; g += SLICES) {
        const uvec4 a = packed_a[of_a + g], w = packed_b[of_b + g * QUADS];
        for (int i = 0; i < MR; i++)
            acc[i] += multiply4(a[i], w);
    }
    for (uint i = 0; i < MR; i++)
        parts[i * LANES + lane] = acc[i];
    barrier();
    for (uint width = LANES / 2; width >= QUADS; width /= 2) {
        if (lane < width) {
            for (uint i = 0; i < rows; i++)
                parts[i * LANES + lane] += parts[i * LANES + lane + width];
        }
        barrier();
    }
    // One invocation a row and 4 columns.
    const uint column = gl_WorkGroupID.x * NR + quad * 4;
    if (slice < rows && column < n)
        store_row(parts[slice * LANES + quad], tile * MR + slice, column, load_columns(column));
}
