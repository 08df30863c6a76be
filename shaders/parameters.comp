// Scales and zeros of dynamic quantize, of what range.comp found.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "exact.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 0) readonly buffer Ranges
{
    uvec2 ranges[];
};
layout(std430, set = 0, binding = 2) writeonly buffer Parameters
{
    uint parameters[]; // scales, then zeros
};
layout(push_constant) uniform Arguments
{
    uint rows, pieces;
    uint zeros; // where they begin
};

void main()
{
    for (uint row = gl_GlobalInvocationID.x; row < rows;
         row += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
        uvec2 all = uvec2(0);
        for (uint i = 0; i < pieces; i++)
            all = max(all, ranges[row * pieces + i]);
        const uint range = add_positive(all.x, all.y);
        const uint scale = range != 0 ? divide_by_255(range) : floatBitsToUint(1.0);
        parameters[row] = scale;
        parameters[zeros + row] = range != 0 ? min(divide(all.y, scale), 255) : 0;
    }
}
