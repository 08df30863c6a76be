#version 450
layout(local_size_x = 64) in;
layout(std430, binding = 0) buffer Source { uint source[]; };
layout(std430, binding = 1) buffer Target { uint target[]; };

void main()
{
    target[gl_GlobalInvocationID.x] = source[gl_GlobalInvocationID.x] + 1u;
}
