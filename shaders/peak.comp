// The benchmark's peak: sums of products in registers, no memory in the loop. With INT_DOT four
// products a step by the dot product of packed bytes, else one 32-bit product. b changes all the
// time, because a product that does not change would be computed once.
#version 450
#ifdef INT_DOT
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4450) int sdot4(uint a, uint b, spirv_literal int format);
#define PRODUCT(a, b) sdot4(a, b, 0)
#define CHANGE 0x15151515u
#else
#define PRODUCT(a, b) (int(a) * int(b))
#define CHANGE 21u
#endif
layout(local_size_x = 64) in;

layout(std430, set = 0, binding = 0) writeonly buffer Out
{
    int result[];
};
layout(push_constant) uniform Parameters
{
    uint steps, seed;
};

void main()
{
    const uint a0 = seed, a1 = seed * 3u, a2 = seed * 5u, a3 = seed * 7u, a4 = seed * 11u;
    uint b = seed ^ gl_LocalInvocationID.x;
    int c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0, c8 = 0, c9 = 0;
    for (uint i = 0; i < steps; i++) {
        c0 += PRODUCT(a0, b);
        c1 += PRODUCT(a1, b);
        c2 += PRODUCT(a2, b);
        c3 += PRODUCT(a3, b);
        c4 += PRODUCT(a4, b);
        b ^= CHANGE;
        c5 += PRODUCT(a0, b);
        c6 += PRODUCT(a1, b);
        c7 += PRODUCT(a2, b);
        c8 += PRODUCT(a3, b);
        c9 += PRODUCT(a4, b);
        b += CHANGE;
    }
    result[gl_GlobalInvocationID.x] = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9;
}
