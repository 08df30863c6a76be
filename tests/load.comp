#version 450
// Words from a buffer, read as KIND says; with BYTES also by types of 8 and 16 bits, at any byte.
#ifdef BYTES
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#endif
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0;
layout(std430, binding = 0) readonly buffer Words { uint words[]; };
layout(std430, binding = 0) readonly buffer Quads { uvec4 quads[]; };
#ifdef BYTES
layout(std430, binding = 0) readonly buffer Bytes { uint8_t bytes[]; };
layout(std430, binding = 0) readonly buffer SignedBytes { int8_t signed_bytes[]; };
layout(std430, binding = 0) readonly buffer Shorts { uint16_t shorts[]; };
layout(std430, binding = 0) readonly buffer Fours { u8vec4 fours[]; };
#endif
layout(std430, binding = 1) writeonly buffer Result { uint result[]; };

void main()
{
    uint i = gl_GlobalInvocationID.x, value = 0;
    if (KIND == 0)
        value = words[i];
    if (KIND == 1) {
        uvec4 quad = quads[i / 4];
        value = i % 4 == 0 ? quad.x : i % 4 == 1 ? quad.y : i % 4 == 2 ? quad.z : quad.w;
    }
#ifdef BYTES
    if (KIND == 2) // at any byte
        value = uint(bytes[i]) | uint(bytes[i + 1]) << 8 | uint(bytes[i + 2]) << 16 |
                uint(bytes[i + 3]) << 24;
    if (KIND == 3)
        value = uint(int(signed_bytes[i]));
    if (KIND == 4)
        value = uint(shorts[2 * i]) | uint(shorts[2 * i + 1]) << 16;
    if (KIND == 5)
        value = uint(fours[i].x) | uint(fours[i].y) << 8 | uint(fours[i].z) << 16 |
                uint(fours[i].w) << 24;
#endif
    result[i] = value;
}
