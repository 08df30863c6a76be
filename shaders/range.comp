// The largest of x and of -x in each piece of each row: positive floats compare as their bits do. NaN has no
// part in it, infinities count as the largest floats.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "exact.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 0) readonly buffer Input
{
    uint inputs[];
};
layout(std430, set = 0, binding = 3) writeonly buffer Ranges
{
    uvec2 ranges[];
};
layout(push_constant) uniform Arguments
{
    uint offset, row; // elements
    uint rows, pieces;
};

shared uvec2 parts[gl_WorkGroupSize.x];

void main()
{
    const uint lane = gl_LocalInvocationID.x, each = (row + pieces - 1) / pieces;
    for (uint group = gl_WorkGroupID.x; group < rows * pieces; group += gl_NumWorkGroups.x) {
        const uint begin = min(group % pieces * each, row), end = min(begin + each, row);
        const uint at = offset + group / pieces * row;
        uvec2 part = uvec2(0);
        for (uint i = begin + lane; i < end; i += gl_WorkGroupSize.x) {
            const uint x = inputs[at + i], magnitude = x & 0x7fffffff;
            if (magnitude <= INFINITE)
                part[x >> 31] = max(part[x >> 31], min(magnitude, LARGEST));
        }
        parts[lane] = part;
        barrier();
        for (uint width = gl_WorkGroupSize.x / 2; width > 0; width /= 2) {
            if (lane < width)
                parts[lane] = max(parts[lane], parts[lane + width]);
            barrier();
        }
        if (lane == 0)
            ranges[group] = parts[0];
        barrier(); // before the next one's parts
    }
}
