// The sum of the four signed products of packed bytes: the one difference between two rows of a
// table.
#ifdef INT_DOT
#extension GL_EXT_spirv_intrinsics : require
// OpSDot of packed bytes; the literal is PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4450) int sdot4(uint a, uint b, spirv_literal int format);
#define DOT4(a, b) sdot4(a, b, 0)
#else
#define DOT4(a, b) dot4_portable(a, b)
#endif
#include "interface.glsl"

uvec4 multiply4(uint a, uvec4 b)
{
    return uvec4(ivec4(DOT4(a, b.x), DOT4(a, b.y), DOT4(a, b.z), DOT4(a, b.w)));
}
