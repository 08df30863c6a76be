// Expressions of primitive_vulkan.c and primitive.comp, which both include this: C takes an expression
// as text, GLSL as code. A line is
//   P(number, result, a, b, c, expected, detail, domain, expression)
// with the types of primitive.h; the number is unique in its section, and all of them are there.

#if defined(PRIMITIVE_INTEGERS)
P(0, S32, S32, S32, NONE, math_add, 0, ANY, a + b)
P(1, S32, S32, S32, NONE, math_sub, 0, ANY, a - b)
P(2, S32, S32, S32, NONE, math_mul, 0, ANY, a * b)
P(3, S32, S32, S32, S32, math_mad, 0, ANY, a * b + c)
P(4, S32, S32, S32, NONE, math_mul_high, 0, ANY, high_signed(a, b))
P(5, U32, U32, U32, NONE, math_mul_high, 0, ANY, high_unsigned(a, b))
P(6, S32, S32, S32, NONE, math_mul, 0, ANY, low_signed(a, b))
P(7, S32, S32, S32, NONE, math_product_right, 0, ANY,
  (high_signed(a, b) << 1) | int(uint(low_signed(a, b)) >> 31))
P(8, S32, S32, S32, NONE, math_left, 0, SHIFT, a << b)
P(9, S32, S32, S32, NONE, math_right, 0, SHIFT, a >> b)
P(10, U32, U32, U32, NONE, math_right, 0, SHIFT, a >> b)
P(11, U32, U32, U32, NONE, math_mul, 0, ANY, a * b)
P(12, S32, S32, S32, NONE, math_min, 0, ANY, min(a, b))
P(13, S32, S32, S32, NONE, math_max, 0, ANY, max(a, b))
P(14, S32, S32, S32, S32, math_clamp, 0, ANY, clamp(a, min(b, c), max(b, c)))
P(15, U32, U32, U32, U32, math_clamp, 0, ANY, clamp(a, min(b, c), max(b, c)))
P(16, S32, S32, NONE, NONE, math_abs, 0, ANY, abs(a))
P(17, S32, S32, NONE, NONE, math_bits, 0, ANY, bitCount(a))
P(18, S32, U32, NONE, NONE, math_zeros, 0, ANY, 31 - findMSB(a))
P(19, S32, U32, U32, NONE, math_byte, SIGNED_A, BYTE_OF, bitfieldExtract(int(a), int(b), 8))
P(20, S32, U32, U32, NONE, math_byte, 0, BYTE_OF, int(bitfieldExtract(a, int(b), 8)))
P(21, S32, U32, U32, NONE, math_dot, SIGNED_BOTH, BYTES, dot_extracted(a, b))
P(22, S32, U32, U32, NONE, math_dot, SIGNED_BOTH, BYTES, dot_shifted(a, b))
P(23, U32, U32, U32, NONE, math_dot, SIGNED_NONE, BYTES, dot_masked(a, b))
P(24, S32, U32, U32, NONE, math_dot, SIGNED_B, BYTES, dot_mixed(a, b))
P(25, S8, S32, NONE, NONE, math_sat, 0, ANY, clamp(a, -128, 127))
P(26, U8, S32, NONE, NONE, math_sat, 0, ANY, clamp(a, 0, 255))
P(27, S16, S32, NONE, NONE, math_sat, 0, ANY, clamp(a, -32768, 32767))
P(28, S32, S32, S32, NONE, math_add_sat, 0, ANY, add_saturated(a, b))
P(29, U32, U32, U32, NONE, math_add, 0, ANY, sum_of_carry(a, b))
P(30, S32, U32, NONE, NONE, math_same, 0, ANY, int(a))
P(31, U32, S32, NONE, NONE, math_same, 0, ANY, uint(a))
P(32, S32, S32, S32, S32, math_sum_if_negative, 0, ANY, sum_if_negative(a, b, c))
#endif

// Rounding to nearest even is asked for.
#if defined(PRIMITIVE_FLOATS)
P(0, F32, S32, NONE, NONE, math_float, TO_NEAREST, ANY, float(a))
P(1, F32, U32, NONE, NONE, math_float, TO_NEAREST, ANY, float(a))
P(2, F32, F32, F32, NONE, math_fadd, 0, ANY, a + b)
P(3, F32, F32, F32, NONE, math_fmul, 0, ANY, a * b)
P(4, F32, F32, F32, F32, math_fmul_fadd, 0, ANY, product_and_sum(a, b, c))
P(5, F32, F32, NONE, NONE, math_rint, 0, NEAR, roundEven(a))
P(6, F32, F32, NONE, NONE, math_trunc, 0, NEAR, trunc(a))
P(7, F32, F32, NONE, NONE, math_floor, 0, NEAR, floor(a))
P(8, S8, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR,
  int(clamp(roundEven(a), -128.0, 127.0)))
P(9, U8, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR, int(clamp(roundEven(a), 0.0, 255.0)))
P(10, S16, F32, NONE, NONE, math_to_int_sat, TO_ZERO, NEAR, int(clamp(a, -32768.0, 32767.0)))
P(11, S8, S32, F32, NONE, math_requantise, TO_NEAREST, FINITE,
  int(clamp(roundEven(float(a) * b), -128.0, 127.0)))
P(12, U8, S32, F32, NONE, math_requantise, TO_NEAREST, FINITE,
  int(clamp(roundEven(float(a) * b), 0.0, 255.0)))
P(13, S32, F32, NONE, NONE, math_same, 0, ANY, floatBitsToInt(a))
#endif

#if defined(PRIMITIVE_DOTS)
P(0, S32, U32, U32, NONE, math_dot, SIGNED_BOTH, BYTES, OpSDot(a, b, 0))
P(1, U32, U32, U32, NONE, math_dot, SIGNED_NONE, BYTES, OpUDot(a, b, 0))
P(2, S32, U32, U32, NONE, math_dot, SIGNED_A, BYTES, OpSUDot(a, b, 0))
P(3, S32, U32, U32, S32, math_dot_sat, SIGNED_BOTH, BYTES, OpSDotAccSat(a, b, c, 0))
P(4, U32, U32, U32, U32, math_dot_sat, SIGNED_NONE, BYTES, OpUDotAccSat(a, b, c, 0))
P(5, S32, U32, U32, S32, math_dot_sat, SIGNED_A, BYTES, OpSUDotAccSat(a, b, c, 0))
P(6, S32, U32, U32, S32, math_dot_add, SIGNED_BOTH, BYTES, OpSDot(a, b, 0) + c)
#endif

// 8-bit integers in shaders.
#if defined(PRIMITIVE_BYTES)
P(0, S8, S8, S8, NONE, math_mul, 0, ANY, a * b)
P(1, S8, S8, S8, NONE, math_add, 0, ANY, a + b)
P(2, U8, U8, U8, NONE, math_mul, 0, ANY, a * b)
P(3, S32, S8, S8, NONE, math_mul, 0, ANY, int(a) * int(b))
P(4, S32, U8, U8, NONE, math_mul, 0, ANY, int(a) * int(b))
P(5, S32, U8, S8, NONE, math_mul, 0, ANY, int(a) * int(b))
P(6, S8, S32, NONE, NONE, math_same, 0, ANY, int8_t(a))
P(7, U8, S32, NONE, NONE, math_same, 0, ANY, uint8_t(a))
P(8, S8, S8, S8, NONE, math_min, 0, ANY, min(a, b))
P(9, U8, U8, U8, NONE, math_max, 0, ANY, max(a, b))
P(10, S32, U32, U32, NONE, math_dot, SIGNED_BOTH, BYTES, dot_unpacked(a, b))
P(11, U32, U32, NONE, NONE, math_same, 0, BYTES, pack32(unpack8(a)))
P(12, S8, F32, NONE, NONE, math_to_int_sat, TO_ZERO, NEAR, int8_t(clamp(a, -128.0, 127.0)))
#endif

// Dot products of vectors of those.
#if defined(PRIMITIVE_VECTOR_DOTS)
P(0, S32, U32, U32, NONE, math_dot, SIGNED_BOTH, BYTES,
  OpSDot(i8vec4(unpack8(int(a))), i8vec4(unpack8(int(b)))))
P(1, U32, U32, U32, NONE, math_dot, SIGNED_NONE, BYTES,
  OpUDot(u8vec4(unpack8(a)), u8vec4(unpack8(b))))
P(2, S32, U32, U32, NONE, math_dot, SIGNED_A, BYTES,
  OpSUDot(i8vec4(unpack8(int(a))), u8vec4(unpack8(b))))
P(3, S32, U32, U32, S32, math_dot_sat, SIGNED_BOTH, BYTES,
  OpSDotAccSat(i8vec4(unpack8(int(a))), i8vec4(unpack8(int(b))), c))
P(4, U32, U32, U32, U32, math_dot_sat, SIGNED_NONE, BYTES,
  OpUDotAccSat(u8vec4(unpack8(a)), u8vec4(unpack8(b)), c))
P(5, S32, U32, U32, S32, math_dot_sat, SIGNED_A, BYTES,
  OpSUDotAccSat(i8vec4(unpack8(int(a))), u8vec4(unpack8(b)), c))
#endif

#if defined(PRIMITIVE_SHORTS)
P(0, S16, S16, S16, NONE, math_mul, 0, ANY, a * b)
P(1, S16, S16, S16, NONE, math_add, 0, ANY, a + b)
P(2, S32, S16, S16, NONE, math_mul, 0, ANY, int(a) * int(b))
P(3, U16, U16, U16, NONE, math_mul, 0, ANY, a * b)
P(4, S16, S32, NONE, NONE, math_same, 0, ANY, int16_t(a))
#endif

#if defined(PRIMITIVE_LONGS)
P(0, S64, S64, S64, NONE, math_mul, 0, ANY, a * b)
P(1, S64, S64, S64, NONE, math_add, 0, ANY, a + b)
P(2, S64, S64, S64, NONE, math_right, 0, SHIFT, a >> b)
P(3, U64, U64, U64, NONE, math_right, 0, SHIFT, a >> b)
P(4, S32, S32, S32, NONE, math_product_right, 0, ANY, int((int64_t(a) * int64_t(b)) >> 31))
P(5, S32, S32, S32, NONE, math_fixed, 0, ANY, int((int64_t(a) * int64_t(b) + 1073741824) >> 31))
P(6, S64, S32, S32, NONE, math_mul, 0, ANY, int64_t(a) * int64_t(b))
#endif
