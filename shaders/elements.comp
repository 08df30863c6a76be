// Quantize and its kin. An invocation has a word of the output: its bytes belong to nobody else but, in the
// first and the last word, to the caller.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4467], 4462, 32);
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4466], 4461, 32);
#include "exact.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TYPE = 1; // quantised
layout(constant_id = 3) const uint KIND = 2;
layout(constant_id = 4) const uint ROUNDS = 0; // are products of floats rounded to nearest?

#define U8 1 // enum qdot_type
#define S8 2
#define S32 3
#define S16 5
#define U16 6
#define S4 7
#define U4 8
#define DEQUANTIZE 3 // enum qdot_op_kind
#define FAKE_QUANTIZE 5
#define GRADIENT 6

layout(std430, set = 0, binding = 0) readonly buffer Input
{
    uint inputs[];
};
layout(std430, set = 0, binding = 0) readonly buffer Input4
{
    uvec4 inputs4[];
};
layout(std430, set = 0, binding = 1) readonly buffer Gradients
{
    uint gradients[];
};
layout(std430, set = 0, binding = 2) readonly buffer Parameters
{
    uint parameters[]; // scales, then zeros
};
layout(std430, set = 0, binding = 3) buffer Output
{
    uint words[];
};
layout(push_constant) uniform Arguments
{
    uint count;
    uint in_offset, dy_offset; // elements; of bytes and halves of bytes in_offset is in bytes
    uint out_offset;           // bytes
    uint zeros;                // where they begin
    int lo, hi;
    uint reciprocal;
    uint span, line, repeat, span_step, step_, each; // struct qdot_elements of host/internal.h
};

const bool FOUR_BITS = TYPE == S4 || TYPE == U4, TWO_BYTES = TYPE == S16 || TYPE == U16;
const bool FLOATS = KIND == DEQUANTIZE || KIND == FAKE_QUANTIZE || KIND == GRADIENT;

// The parameter of an element.
uint parameter_of(uint i)
{
    if (each == 0 && step_ == 0 && span_step == 0)
        return 0;
    const uint in_span = i % span, index = in_span / line;
    return i / span * span_step + index / repeat * step_ + (each != 0 ? in_span % line : 0);
}

// Before it is clamped; of a NaN an integer that is below every range.
int quantised(uint x, uint scale, int zero)
{
    const uint magnitude = x & 0x7fffffff;
    if (magnitude > INFINITE)
        return -2 * int(MOST);
    const uint n = reciprocal != 0 ? multiply_inverse(magnitude, scale) : divide(magnitude, scale);
    return (x >> 31 != 0 ? -int(n) : int(n)) + zero;
}

// A difference is 0 or at least 1 and the scale no subnormal: no product is one.
uint dequantised(int difference, uint scale)
{
    if (difference == 0)
        return 0;
    const uint sign = uint(difference) & 0x80000000u;
    uint u = sign != 0 ? 0 - uint(difference) : uint(difference);
    if (u >= 0x1000000u) { // rounded to 24 bits as an integer: the conversion's rounding is the device's
        const int shift = findMSB(u) - 23;
        const uint middle = 1u << (shift - 1), rest = u & (2 * middle - 1);
        u >>= shift;
        u += uint(rest > middle || (rest == middle && (u & 1) != 0));
        u <<= shift;
    }
    if (ROUNDS != 0) {
        precise float real = float(u) * uintBitsToFloat(scale);
        return sign | floatBitsToUint(real);
    }
    uint s;
    int exponent;
    split(scale, s, exponent);
    const int top = findMSB(u);
    exponent += top + 127;
    const uint high = product(top > 23 ? u >> (top - 23) : u << (23 - top), s, exponent);
    return sign | min(high + (uint(exponent - 1) << 23), INFINITE);
}

int load_quantised(uint i)
{
    if (TYPE == S32)
        return int(inputs[in_offset + i]);
    const uint at = in_offset + (FOUR_BITS ? i / 2 : TWO_BYTES ? i * 2 : i);
    const int bits = FOUR_BITS ? 4 : TWO_BYTES ? 16 : 8;
    const int shift = int(at % 4) * 8 + (FOUR_BITS ? int(i & 1) * 4 : 0);
    if (TYPE == S8 || TYPE == S16 || TYPE == S4)
        return bitfieldExtract(int(inputs[at / 4]), shift, bits);
    return int(bitfieldExtract(inputs[at / 4], shift, bits));
}

uint to_float(uint i)
{
    const uint at = parameter_of(i), scale = parameters[at];
    const int zero = int(parameters[zeros + at]);
    if (KIND == DEQUANTIZE)
        return dequantised(load_quantised(i) - zero, scale);
    const int q = quantised(inputs[in_offset + i], scale, zero), inside = clamp(q, lo, hi);
    if (KIND == GRADIENT)
        return q == inside ? gradients[dy_offset + i] : 0;
    return dequantised(inside - zero, scale);
}

uint to_integer(uint i, uint x)
{
    const uint at = parameter_of(i);
    return uint(clamp(quantised(x, parameters[at], int(parameters[zeros + at])), lo, hi));
}

// Exactly the bytes of 'mask'.
void store(uint word, uint mask, uint bits)
{
    if (mask == 0xffffffffu) {
        words[word] = bits;
    } else if (mask != 0) {
        atomicAnd(words[word], ~mask);
        atomicOr(words[word], bits & mask);
    }
}

// The word's values; those before the first one are large by wrapping. Of an odd number of 4-bit values
// there is one more, 0.
void pack(uint word)
{
    const uint bits = FOUR_BITS ? 4 : TWO_BYTES ? 16 : 8, values = 32 / bits;
    const uint first = word * values - out_offset * 8 / bits, at = in_offset + first;
    const uint ones = 0xffffffffu >> (32 - bits), end = FOUR_BITS ? (count + 1) / 2 * 2 : count;
    uint all = 0, mask = 0;
    if (values == 4 && at % 4 == 0 && first < count && count - first >= 4) {
        const uvec4 x = inputs4[at / 4];
        for (int j = 0; j < 4; j++)
            all |= (to_integer(first + j, x[j]) & 255) << (8 * j);
        words[word] = all;
        return;
    }
    for (uint j = 0; j < values; j++) {
        const uint i = first + j;
        if (i < count)
            all |= (to_integer(i, inputs[at + j]) & ones) << (bits * j);
        if (i < end)
            mask |= ones << (bits * j);
    }
    store(word, mask, all);
}

void main()
{
    const uint step = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    const uint bytes = FOUR_BITS ? (count + 1) / 2 : TWO_BYTES ? count * 2 : count;
    const uint end = FLOATS ? count : (out_offset + bytes + 3) / 4;
    for (uint word = gl_GlobalInvocationID.x; word < end; word += step) {
        if (FLOATS)
            words[out_offset / 4 + word] = to_float(word);
        else
            pack(word);
    }
}
