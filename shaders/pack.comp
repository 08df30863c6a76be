// Rows of A, or columns of B, to panels (interface.glsl), padded with zeros in k and in rows.
// Element (i, k) is byte offset + i * row_stride + k * k_stride of the source. Loops stride over
// the grid, so that no size is bound by the number of work-groups.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"
#include "load.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TILE = 8;
layout(constant_id = 5) const uint GROUP = 1;

layout(std430, set = 0, binding = 1) writeonly buffer Panels
{
    uint panels[];
};
layout(push_constant) uniform Arguments
{
    uint offset, row_stride, k_stride;
    uint rows, rows_pad, k, words;
    uint flip; // of four bytes
};

uint load_word(uint row, uint w)
{
    const uint depth = min(k - w * 4, 4), at = offset + row * row_stride + w * 4 * k_stride;
    const uint v = k_stride == 1 ? load_bytes(at, depth) : load_apart(at, k_stride, depth);
    return (v ^ flip) & (0xffffffffu >> (32 - depth * 8));
}

void main()
{
    const uvec2 step = gl_NumWorkGroups.xy * gl_WorkGroupSize.xy;
    for (uint row = gl_GlobalInvocationID.y; row < rows_pad; row += step.y) {
        for (uint w = gl_GlobalInvocationID.x; w < words; w += step.x)
            panels[word_at(row / TILE, words, TILE, row % TILE, w, GROUP)] =
                row < rows && w * 4 < k ? load_word(row, w) : 0;
    }
}
