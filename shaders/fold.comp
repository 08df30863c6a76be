// The bias of a run that brought its own B.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 2) buffer Terms
{
    uint terms[];
};
layout(push_constant) uniform Arguments
{
    uint n, k, terms_ld;
    uint a_zero;
};

void main()
{
    const uint step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    for (uint j = gl_GlobalInvocationID.x; j < n; j += step)
        terms[TERM_BIAS * terms_ld + j] = terms[TERM_BIAS_GIVEN * terms_ld + j] -
                                          a_zero * terms[TERM_COL_SUM * terms_ld + j] -
                                          k * a_zero * terms[TERM_B_NEG * terms_ld + j];
}
