// Rows of A, or columns of B, to panels (interface.glsl), padded with zeros in k and in rows.
// Element (i, k) is byte offset + i * row_stride + k * k_stride of the source. Loops stride over
// the grid, so that no size is bound by the number of work-groups.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TILE = 8;

layout(std430, set = 0, binding = 0) readonly buffer Source
{
    uint source[];
};
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

uint load_byte(uint at)
{
    return source[at >> 2] >> (at % 4 * 8) & 255;
}

// 'depth' bytes, touching only words that hold one of them.
uint load_bytes(uint at, uint depth)
{
    const uint shift = at % 4 * 8;
    uint v = source[at >> 2] >> shift;
    if (at % 4 + depth > 4)
        v |= source[(at >> 2) + 1] << (32 - shift);
    return v;
}

uint load_group(uint row, uint g)
{
    const uint depth = min(k - g * 4, 4), at = offset + row * row_stride + g * 4 * k_stride;
    uint v = 0;
    if (k_stride == 1) {
        v = load_bytes(at, depth);
    } else {
        v = load_byte(at);
        if (depth > 1)
            v |= load_byte(at + k_stride) << 8;
        if (depth > 2)
            v |= load_byte(at + 2 * k_stride) << 16;
        if (depth > 3)
            v |= load_byte(at + 3 * k_stride) << 24;
    }
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
