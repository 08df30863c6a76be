// Sums over k of packed rows: one work-group a row, its parts added up in shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TILE = 8;
layout(constant_id = 3) const uint FORM = SS;
layout(constant_id = 5) const uint GROUP = 1;

layout(std430, set = 0, binding = 1) readonly buffer Panels
{
    uint panels[];
};
layout(std430, set = 0, binding = 2) buffer Terms
{
    uint terms[];
};
layout(push_constant) uniform Arguments
{
    uint rows, words;
    uint target; // word of 'terms' for row 0
};

int sum4(uint v)
{
    if (FORM == SS)
        return dot4_portable(v, 0x01010101u);
    const uint pairs = (v & 0xff00ffu) + (v >> 8 & 0xff00ffu);
    return int((pairs & 0xffff) + (pairs >> 16));
}

shared int parts[gl_WorkGroupSize.x];

void main()
{
    const uint lane = gl_LocalInvocationID.x;
    for (uint row = gl_WorkGroupID.x; row < rows; row += gl_NumWorkGroups.x) {
        int sum = 0;
        for (uint w = lane; w < words; w += gl_WorkGroupSize.x)
            sum += sum4(panels[word_at(row / TILE, words, TILE, row % TILE, w, GROUP)]);
        parts[lane] = sum;
        barrier();
        for (uint width = gl_WorkGroupSize.x / 2; width > 0; width /= 2) {
            if (lane < width)
                parts[lane] += parts[lane + width];
            barrier();
        }
        if (lane == 0)
            terms[target + row] = uint(parts[0]);
        barrier(); // before the next row's parts
    }
}
