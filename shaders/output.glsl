// The output stage: the terms of host/internal.h added to accumulators, then the output type.
//
// Float steps are rounded to nearest, infinities and zeros' signs kept: pipeline.c leaves these demands
// out where a device cannot meet them, and then only S32 is asked of it. Devices may flush subnormal
// operands and results to zero, and few can be forbidden to. Floats that may be subnormal therefore travel as bits, and steps near the subnormals are done by integer
// arithmetic. (float)acc * scale is none of them: scale is 0 or at least 2^-126.
//
// The push constants of a shader that includes this begin with OUTPUT_ARGUMENTS (interface.glsl).

#extension GL_EXT_spirv_intrinsics : require
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4467], 4462, 32);
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4466], 4461, 32);

#define U8 1
#define S8 2
#define S32 3
#define F32 4
#define PARTIAL 5 // of a slice of k, for reduce.comp: no terms yet
layout(constant_id = 2) const uint OUT = S32;

#define RNE 0
#define RNE_ZERO_FIRST 1
#define Q31_DOUBLE_AWAY 2
#define Q31_DOUBLE_UP 3
#define Q31_SINGLE_UP 4
layout(constant_id = 6) const uint ROUNDING = RNE; // of U8 and S8

layout(std430, set = 0, binding = 2) readonly buffer Terms
{
    uint terms[];
};
layout(std430, set = 0, binding = 3) buffer Output
{
    uint words[];
};
// Rounded to 24 bits as an integer, because the rounding of the conversion itself is the device's.
float to_float(uint acc)
{
    const bool negative = int(acc) < 0;
    uint u = negative ? 0 - acc : acc;
    if (u >= 0x1000000u) {
        const int shift = findMSB(u) - 23;
        const uint middle = 1u << (shift - 1), rest = u & (2 * middle - 1);
        u >>= shift;
        u += uint(rest > middle || (rest == middle && (u & 1) != 0));
        u <<= shift;
    }
    const float x = float(u);
    return negative ? -x : x;
}

// Mantissa with its top bit at 23 and the exponent that goes with it, below 1 for subnormals.
void split(uint x, out uint mantissa, out int exponent)
{
    mantissa = x & 0x7fffff;
    exponent = int(x >> 23 & 255);
    if (exponent > 0) {
        mantissa |= 0x800000;
    } else {
        const int shift = 23 - findMSB(mantissa);
        mantissa <<= shift;
        exponent = 1 - shift;
    }
}

// x * y rounded to nearest even, of finite floats. The product of mantissas is kept as two halves
// of 24 bits, 'high' with its top bit set; 'shift' bits of high are below the last place.
uint multiply_exactly(uint x, uint y)
{
    const uint sign = (x ^ y) & 0x80000000u;
    if ((x & 0x7fffffff) == 0 || (y & 0x7fffffff) == 0)
        return sign;
    uint a, b, top, bottom;
    int a_exponent, b_exponent;
    split(x, a, a_exponent);
    split(y, b, b_exponent);
    umulExtended(a, b, top, bottom);
    uint high = top << 8 | bottom >> 24, low = bottom & 0xffffff;
    int exponent = a_exponent + b_exponent - 126;
    if ((high & 0x800000) == 0) {
        high = high << 1 | low >> 23;
        low = low << 1 & 0xffffff;
        exponent--;
    }
    if (exponent >= 255)
        return sign | 0x7f800000;
    const int shift = max(1 - exponent, 0);
    exponent = max(exponent, 1);
    if (shift > 24)
        return sign; // less than half of the last place
    uint mantissa = high >> shift;
    bool up;
    if (shift == 0) {
        up = low > 0x800000 || (low == 0x800000 && (mantissa & 1) != 0);
    } else {
        const uint middle = 1u << (shift - 1), rest = high & (2 * middle - 1);
        up = rest > middle || (rest == middle && (low != 0 || (mantissa & 1) != 0));
    }
    mantissa += uint(up);
    // Without the top bit at 23 (a subnormal) this is the mantissa; a carry moves the exponent on.
    return sign | (mantissa + (uint(exponent - 1) << 23));
}

uint multiply(uint x, uint y)
{
    precise float product = uintBitsToFloat(x) * uintBitsToFloat(y);
    const uint bits = floatBitsToUint(product);
    // Exponents: operands at least 1, the result at least 2, so that nothing was near a subnormal.
    if ((x & 0x7f800000) != 0 && (y & 0x7f800000) != 0 && (bits & 0x7f800000) > 0x00800000)
        return bits;
    return multiply_exactly(x, y);
}

// |x| < 2^-87 times 2^64, which is exact and never subnormal.
float scale_up(uint x)
{
    const float magnitude = (x & 0x7f800000) == 0
                                ? float(x & 0x7fffff) * uintBitsToFloat((127u - 85u) << 23)
                                : uintBitsToFloat((x & 0x7fffffff) + (64u << 23));
    return (x & 0x80000000u) != 0 ? -magnitude : magnitude;
}

// x + y of floats below 2^-87, as the sum of their multiples by 2^64. All are multiples of 2^-85,
// so that a sum below 2^-62, which is 2^-126 before the scaling, is exact.
uint add_exactly(uint x, uint y)
{
    precise float sum = scale_up(x) + scale_up(y);
    const uint bits = floatBitsToUint(sum), magnitude = bits & 0x7fffffff;
    if (magnitude == 0)
        return x & y & 0x80000000u;
    if (magnitude >= (127u - 62u) << 23)
        return bits - (64u << 23);
    return (bits & 0x80000000u) |
           uint(uintBitsToFloat(magnitude) * uintBitsToFloat((127u + 85u) << 23));
}

// From 2^-87 on in one operand, a subnormal other one is under a quarter of its last place, and a
// difference is a multiple of 2^-111: the device's own sum is right.
uint add(uint x, uint y)
{
    if (max(x & 0x7fffffff, y & 0x7fffffff) < (127u - 87u) << 23)
        return add_exactly(x, y);
    precise float sum = uintBitsToFloat(x) + uintBitsToFloat(y);
    return floatBitsToUint(sum);
}

uvec4 load_terms(uint term, uint column)
{
    const uint i = term * terms_ld + column;
    return uvec4(terms[i], terms[i + 1], terms[i + 2], terms[i + 3]);
}

uint load_row(uint array, uint row)
{
    return terms[TERMS * terms_ld + array * rows_ld + row];
}

// Exactly the bytes of 'mask': other invocations, or the caller, have the rest of the word.
void store_bytes(uint word, uint mask, uint bits)
{
    if (mask == 0xffffffffu) {
        words[word] = bits;
    } else if (mask != 0) {
        atomicAnd(words[word], ~mask);
        atomicOr(words[word], bits & mask);
    }
}

// The lowest bytes of a word.
uint byte_mask(uint count)
{
    return count == 0 ? 0 : 0xffffffffu >> (32 - count * 8);
}

// 'count' bytes, up to 8, from byte 'at' of the output on.
void store_run(uint at, uint count, uint low, uint high)
{
    const uint first = byte_mask(min(count, 4)), second = byte_mask(count - min(count, 4));
    const uint word = at / 4, shift = at % 4 * 8;
    store_bytes(word, first << shift, low << shift);
    if (shift == 0) {
        store_bytes(word + 1, second, high);
    } else {
        store_bytes(word + 1, first >> (32 - shift) | second << shift,
                    low >> (32 - shift) | high << shift);
        store_bytes(word + 2, second >> (32 - shift), high >> (32 - shift));
    }
}

// Elements [at, at + count) of the output.
void store4(uint at, uint count, uvec4 value)
{
    if (OUT == S32 || OUT == F32 || OUT == PARTIAL) {
        words[at] = value.x;
        if (count > 1)
            words[at + 1] = value.y;
        if (count > 2)
            words[at + 2] = value.z;
        if (count > 3)
            words[at + 3] = value.w;
    } else {
        store_run(at, count, value.x | value.y << 8 | value.z << 16 | value.w << 24, 0);
    }
}

// The bit of a number of 64 bits; .y is the upper half.
uvec2 bit64(int i)
{
    const uint bit = 1u << (i & 31);
    return i < 32 ? uvec2(bit, 0) : uvec2(0, bit);
}

// Without uaddCarry: of a sum with it Mesa 26 may make one of 64 bits, which ends the process on 16 lanes.
uvec2 add64(uvec2 x, uvec2 y)
{
    const uint low = x.x + y.x;
    return uvec2(low, x.y + y.y + uint(low < y.x));
}

// Signed x >> bits, 1 to 62, saturated to 32 bits.
int shift64(uvec2 x, int bits)
{
    const int high = int(x.y);
    if (bits >= 32)
        return high >> (bits - 32);
    if (high >> (bits - 1) != high >> 31)
        return (high >> 31) ^ 0x7fffffff;
    return int(x.y << (32 - bits) | x.x >> bits);
}

// The roundings by integers are one shift of 64 bits, which host/cpu/requantise.c proves right.
int by_integers(uint acc, int multiplier, int shift)
{
    const bool once = ROUNDING == Q31_SINGLE_UP;
    const int moved = once ? int(acc) : int(acc << max(shift, 0));
    const int bits = 31 - (once ? shift : min(shift, 0));
    int high, low;
    imulExtended(moved, multiplier, high, low);
    uvec2 x = uvec2(low, high);
    if (!once)
        x = add64(x, bit64(30));
    if (once || shift < 0)
        x = add64(x, bit64(bits - 1));
    if (ROUNDING == Q31_DOUBLE_AWAY && shift < 0 && moved < 0)
        x = add64(x, uvec2(0x80000000u, 0xffffffffu)); // -2^31
    return shift64(x, bits);
}

// The terms of 4 columns, as far as they are needed. Roundings by integers have their multipliers for
// scales and their shifts for bias_f.
struct columns4 {
    uvec4 bias, col_sum, b_neg, scale, bias_f;
};

columns4 load_columns(uint column)
{
    const uvec4 none = uvec4(0);
    return columns4(OUT != PARTIAL ? load_terms(TERM_BIAS, column) : none,
                    (with & WITH_A_ZERO) != 0 ? load_terms(TERM_COL_SUM, column) : none,
                    (with & WITH_ROW_SUM) != 0 ? load_terms(TERM_B_NEG, column) : none,
                    OUT != S32 && OUT != PARTIAL ? load_terms(TERM_SCALE, column) : none,
                    OUT == F32 || OUT != PARTIAL && ROUNDING >= Q31_DOUBLE_AWAY
                        ? load_terms(TERM_BIAS_F, column)
                        : none);
}

// Sums of 4 columns to outputs, in the lowest byte where they are of 8 bits: with the terms of the
// columns, and row_sum, a_zero and row_scale of their row where 'with' says that they are there.
uvec4 finish4(uvec4 acc, columns4 columns, uint row_sum, uint a_zero, uint row_scale)
{
    if (OUT == PARTIAL)
        return acc;
    acc += columns.bias - a_zero * columns.col_sum + row_sum * columns.b_neg;
    if (OUT == S32)
        return acc;
    uvec4 value;
    for (int j = 0; j < 4; j++) {
        if (ROUNDING >= Q31_DOUBLE_AWAY) {
            const int x = by_integers(acc[j], int(columns.scale[j]), int(columns.bias_f[j]));
            value[j] = uint(clamp(x, lo, hi) + zero) & 255;
            continue;
        }
        precise float x = to_float(acc[j]) * uintBitsToFloat(columns.scale[j]);
        if (OUT == F32) {
            uint bits = floatBitsToUint(x);
            if ((with & WITH_ROW_SCALE) != 0)
                bits = multiply(bits, row_scale);
            value[j] = add(bits, columns.bias_f[j]);
        } else if (ROUNDING == RNE_ZERO_FIRST) {
            x += float(zero);
            value[j] = uint(int(roundEven(clamp(x, float(lo + zero), float(hi + zero))))) & 255;
        } else {
            // Bounds are integers, so clamping first gives the same and stays in range.
            value[j] = uint(int(roundEven(clamp(x, float(lo), float(hi)))) + zero) & 255;
        }
    }
    return value;
}
