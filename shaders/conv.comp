// Convolution from the copy of the input and packed panels: an invocation computes MR output pixels
// of 4 columns. Both rows of the table are this text; DOT4 is the only difference.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "dot.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;

#define MR 8 // as in the table of host/vulkan/plan.c
#define NR 16

layout(std430, set = 0, binding = 0) readonly buffer Copy
{
    uint copy[];
};
layout(std430, set = 0, binding = 1) readonly buffer PackedB
{
    uvec4 packed_b[];
};
#include "window.glsl"
#include "tile.glsl"

#define ROWS_1(F) F(0)
#define ROWS_4(F) F(0) F(1) F(2) F(3)
#define ROWS_8(F) ROWS_4(F) F(4) F(5) F(6) F(7)
#define STEP(i) acc[i] += multiply4(copy[windows[i] + at], w);
#define MULTIPLY(ROWS)                                                  \
    for (uint i = 0; i < kernel_h; i++) {                               \
        for (uint j = 0; j < kernel_w; j++) {                           \
            const uint tap = part * part_words + i * tap_h + j * tap_w; \
            for (uint at = tap; at < tap + part_words; at++) {          \
                const uvec4 w = packed_b[b];                            \
                ROWS(STEP)                                              \
                b += NR / 4;                                            \
            }                                                           \
        }                                                               \
    }

void main()
{
    const uint quad = gl_GlobalInvocationID.x, part = quad / part_quads;
    const uint tile = first_tile + gl_GlobalInvocationID.y, pixel = tile * MR;
    if (part >= parts || pixel >= pixels)
        return;
    const uint column = quad % part_quads * 4, padded = part * part_pad + column;
    const uint rows = min(pixels - pixel, MR);
    uint b = padded / NR * kernel_h * kernel_w * part_words * (NR / 4) + padded % NR / 4;
    uint windows[MR];
    uvec4 acc[MR];
    find_windows(pixel, rows, windows);
    for (int i = 0; i < MR; i++)
        acc[i] = uvec4(0);
    if (rows > 4) {
        MULTIPLY(ROWS_8)
    } else if (rows > 1) {
        MULTIPLY(ROWS_4)
    } else {
        MULTIPLY(ROWS_1)
    }
    store_tile(acc, pixel, rows, part, column);
}
