// The sum of the four products of packed bytes: the one difference between two rows of a table.
// FORM says how A's and B's bytes are taken (interface.glsl); without INT_DOT they are signed.
#include "interface.glsl"
layout(constant_id = 3) const uint FORM = SS;
#ifdef INT_DOT
#extension GL_EXT_spirv_intrinsics : require
// OpSDot, OpUDot and OpSUDot of packed bytes; the literal is PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4450) int sdot4(uint a, uint b, spirv_literal int format);
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4451) uint udot4(uint a, uint b, spirv_literal int format);
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4452) int sudot4(uint a, uint b, spirv_literal int format);
#define DOT4(a, b) \
    (FORM == SS ? sdot4(a, b, 0) : FORM == US ? sudot4(b, a, 0) : int(udot4(a, b, 0)))
#else
#define DOT4(a, b) dot4_portable(a, b)
#endif

uvec4 multiply4(uint a, uvec4 b)
{
    return uvec4(ivec4(DOT4(a, b.x), DOT4(a, b.y), DOT4(a, b.z), DOT4(a, b.w)));
}
