// Rows of A, or columns of B, to panels (interface.glsl), padded with zeros in k and in rows.
// Element (i, k) is byte offset + i * row_stride + k * k_stride of the source. Loops stride over
// the grid, so that no size is bound by the number of work-groups.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "load.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TILE = 8;

layout(std430, set = 0, binding = 1) writeonly buffer Panels
{
    uint panels[];
};
layout(push_constant) uniform Arguments
{
    uint offset, row_stride, k_stride;
    uint rows, rows_pad, k, groups;
    uint flip; // of four bytes
};

uint load_group(uint row, uint g)
{
    const uint depth = min(k - g * 4, 4), at = offset + row * row_stride + g * 4 * k_stride;
    const uint v = k_stride == 1 ? load_bytes(at, depth) : load_apart(at, k_stride, depth);
    return (v ^ flip) & (0xffffffffu >> (32 - depth * 8));
}

void main()
{
    const uvec2 step = gl_NumWorkGroups.xy * gl_WorkGroupSize.xy;
    for (uint row = gl_GlobalInvocationID.y; row < rows_pad; row += step.y) {
        for (uint g = gl_GlobalInvocationID.x; g < groups; g += step.x)
            panels[(row / TILE * groups + g) * TILE + row % TILE] =
                row < rows ? load_group(row, g) : 0;
    }
}
