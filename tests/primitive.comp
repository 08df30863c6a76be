#version 450
// One expression of primitive_list.glsl, chosen by a specialisation constant, on operands from memory or
// on such constants. A value is two words, sign or zero extended; a float is one.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
#if defined(PRIMITIVE_BYTES) || defined(PRIMITIVE_VECTOR_DOTS)
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#endif
#ifdef PRIMITIVE_SHORTS
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#endif
#ifdef PRIMITIVE_LONGS
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif

#ifdef PRIMITIVE_FLOATS // rounding to nearest even; infinities and signs of zero are kept
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4467], 4462, 32);
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4466], 4461, 32);
#endif
#ifdef PRIMITIVE_DENORMS // and subnormals
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4464], 4459, 32);
#endif

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint NUMBER = 0;
layout(constant_id = 1) const bool FOLDED = false;
// Operands of eight: a, b and c of each, two words a value.
#define WORD(n) layout(constant_id = n) const uint W##n = 0;
#define SIX(n0, n1, n2, n3, n4, n5) WORD(n0) WORD(n1) WORD(n2) WORD(n3) WORD(n4) WORD(n5)
SIX(2, 3, 4, 5, 6, 7)
SIX(8, 9, 10, 11, 12, 13)
SIX(14, 15, 16, 17, 18, 19)
SIX(20, 21, 22, 23, 24, 25)
SIX(26, 27, 28, 29, 30, 31)
SIX(32, 33, 34, 35, 36, 37)
SIX(38, 39, 40, 41, 42, 43)
SIX(44, 45, 46, 47, 48, 49)

layout(std430, binding = 0) readonly buffer A { uvec2 operands_a[]; };
layout(std430, binding = 1) readonly buffer B { uvec2 operands_b[]; };
layout(std430, binding = 2) readonly buffer C { uvec2 operands_c[]; };
layout(std430, binding = 3) writeonly buffer R { uvec2 results[]; };

// ---- what expressions call ---------------------------------------------------------------------

int high_signed(int a, int b)
{
    int high, low;
    imulExtended(a, b, high, low);
    return high;
}

int low_signed(int a, int b)
{
    int high, low;
    imulExtended(a, b, high, low);
    return low;
}

uint high_unsigned(uint a, uint b)
{
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}

uint sum_of_carry(uint a, uint b)
{
    uint carry;
    uint sum = uaddCarry(a, b, carry);
    return carry == (sum < a ? 1u : 0u) ? sum : ~sum; // wrong where the carry is
}

// The halves of b * 2^32 + a, to which a negative c is added, one xor the other.
int sum_if_negative(int a, int b, int c)
{
    uvec2 x = uvec2(a, b);
    if (c < 0) {
        uint carry;
        x.x = uaddCarry(x.x, uint(c), carry);
        x.y = x.y + 0xffffffffu + carry; // in this order Mesa makes it a sum of 64 bits
    }
    return int(x.x ^ x.y);
}

int add_saturated(int a, int b)
{
    int sum = a + b;
    return ((a ^ sum) & (b ^ sum)) < 0 ? (a < 0 ? int(0x80000000u) : 0x7fffffff) : sum;
}

int dot_extracted(uint a, uint b)
{
    int sum = 0;
    for (int i = 0; i < 4; i++)
        sum += bitfieldExtract(int(a), 8 * i, 8) * bitfieldExtract(int(b), 8 * i, 8);
    return sum;
}

int dot_shifted(uint a, uint b)
{
    int sum = 0;
    for (int i = 24; i >= 0; i -= 8)
        sum += (int(a << i) >> 24) * (int(b << i) >> 24);
    return sum;
}

uint dot_masked(uint a, uint b)
{
    return (a & 255u) * (b & 255u) + (a >> 8 & 255u) * (b >> 8 & 255u) +
           (a >> 16 & 255u) * (b >> 16 & 255u) + (a >> 24) * (b >> 24);
}

int dot_mixed(uint a, uint b)
{
    ivec4 x = ivec4(uvec4(a, a >> 8, a >> 16, a >> 24) & 255u);
    ivec4 y = ivec4(b << 24, b << 16, b << 8, b) >> 24;
    ivec4 products = x * y;
    return products.x + products.y + products.z + products.w;
}

float product_and_sum(float a, float b, float c)
{
    precise float product = a * b;
    precise float sum = product + c;
    return sum;
}

#ifdef PRIMITIVE_DOTS // of packed bytes; the literal is PackedVectorFormat4x8Bit
#define DOT(name, number, type, parameters) \
    spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = number) \
    type name parameters;
DOT(OpSDot, 4450, int, (uint a, uint b, spirv_literal int format))
DOT(OpUDot, 4451, uint, (uint a, uint b, spirv_literal int format))
DOT(OpSUDot, 4452, int, (uint a, uint b, spirv_literal int format))
DOT(OpSDotAccSat, 4453, int, (uint a, uint b, int c, spirv_literal int format))
DOT(OpUDotAccSat, 4454, uint, (uint a, uint b, uint c, spirv_literal int format))
DOT(OpSUDotAccSat, 4455, int, (uint a, uint b, int c, spirv_literal int format))
#endif

#ifdef PRIMITIVE_VECTOR_DOTS
#define DOT(name, number, type, parameters) \
    spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6017], id = number) \
    type name parameters;
DOT(OpSDot, 4450, int, (i8vec4 a, i8vec4 b))
DOT(OpUDot, 4451, uint, (u8vec4 a, u8vec4 b))
DOT(OpSUDot, 4452, int, (i8vec4 a, u8vec4 b))
DOT(OpSDotAccSat, 4453, int, (i8vec4 a, i8vec4 b, int c))
DOT(OpUDotAccSat, 4454, uint, (u8vec4 a, u8vec4 b, uint c))
DOT(OpSUDotAccSat, 4455, int, (i8vec4 a, u8vec4 b, int c))
#endif

#ifdef PRIMITIVE_BYTES
int dot_unpacked(uint a, uint b)
{
    i8vec4 x = unpack8(int(a)), y = unpack8(int(b));
    return int(x.x) * int(y.x) + int(x.y) * int(y.y) + int(x.z) * int(y.z) + int(x.w) * int(y.w);
}
#endif

// ---- values ------------------------------------------------------------------------------------

#define LOAD_NONE(name, words)
#define LOAD_S32(name, words) int name = int((words).x);
#define LOAD_U32(name, words) uint name = (words).x;
#define LOAD_F32(name, words) float name = uintBitsToFloat((words).x);
#define LOAD_S8(name, words) int8_t name = int8_t(int((words).x));
#define LOAD_U8(name, words) uint8_t name = uint8_t((words).x);
#define LOAD_S16(name, words) int16_t name = int16_t(int((words).x));
#define LOAD_U16(name, words) uint16_t name = uint16_t((words).x);
#define LOAD_S64(name, words) int64_t name = int64_t(packUint2x32(words));
#define LOAD_U64(name, words) uint64_t name = packUint2x32(words);
#define WORDS_S32(value) uvec2(uint(int(value)), 0)
#define WORDS_U32(value) uvec2(uint(value), 0)
#define WORDS_F32(value) uvec2(floatBitsToUint(value), 0)
#define WORDS_S8(value) WORDS_S32(value)
#define WORDS_U8(value) WORDS_U32(value)
#define WORDS_S16(value) WORDS_S32(value)
#define WORDS_U16(value) WORDS_U32(value)
#define WORDS_S64(value) unpackUint2x32(uint64_t(value))
#define WORDS_U64(value) unpackUint2x32(value)

uvec2 evaluate(uvec2 words_a, uvec2 words_b, uvec2 words_c)
{
    switch (NUMBER) {
#define P(number, r, ta, tb, tc, expected, detail, domain, expression) \
    case number: {                                                     \
        LOAD_##ta(a, words_a) LOAD_##tb(b, words_b) LOAD_##tc(c, words_c) \
        return WORDS_##r(expression);                                  \
    }
#include "primitive_list.glsl"
    }
    return uvec2(0);
}

#define FOLD(i, a0, a1, b0, b1, c0, c1) \
    results[i] = evaluate(uvec2(W##a0, W##a1), uvec2(W##b0, W##b1), uvec2(W##c0, W##c1));

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (!FOLDED) {
        results[i] = evaluate(operands_a[i], operands_b[i], operands_c[i]);
    } else if (i == 0) {
        FOLD(0, 2, 3, 4, 5, 6, 7)
        FOLD(1, 8, 9, 10, 11, 12, 13)
        FOLD(2, 14, 15, 16, 17, 18, 19)
        FOLD(3, 20, 21, 22, 23, 24, 25)
        FOLD(4, 26, 27, 28, 29, 30, 31)
        FOLD(5, 32, 33, 34, 35, 36, 37)
        FOLD(6, 38, 39, 40, 41, 42, 43)
        FOLD(7, 44, 45, 46, 47, 48, 49)
    }
}
