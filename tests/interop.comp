// The kernels of a host runtime, tests/interop.h: with PRODUCE the words of A, else the consumer.
#version 450
layout(local_size_x = 64) in;
layout(std430, set = 0, binding = 0) readonly buffer From { uint from[]; };
layout(std430, set = 0, binding = 1) writeonly buffer To { uint to[]; };
layout(push_constant) uniform Arguments { uint at, words; };

void main()
{
    const uint i = gl_GlobalInvocationID.x;
    if (i >= words)
        return;
#ifdef PRODUCE
    to[at + i] = i * 2654435761u ^ (i >> 5);
#else
    to[i] = from[at + i] ^ 0x5a5a5a5au;
#endif
}
