/*
 * What the two files of the AVX-512 depthwise kernel share.
 *
 * A quad is 4 neighbouring points of a line, their bytes interleaved: 4 zmm with a dword by channel,
 * so that vpdpbusd adds the products of four taps of a channel. Unpacking works within 128-bit
 * pieces, so register j of a quad has channels 16 l + 4 j .. + 3 in its piece l. Packing the four
 * registers of sums to bytes undoes just that. Weights, bias and scale are put into this order once
 * a call.
 */
#ifndef QDOT_DEPTHWISE_AVX512_H
#define QDOT_DEPTHWISE_AVX512_H

#include <immintrin.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define NR 64
#define QUAD 256  /* bytes */
#define OUTPUTS 8 /* at a time: lines of quads have room for as many */

/* Where a block has at most 32 channels, the upper half of each register has them too, of an output
 * half a line further on. */
#define HALF 32

/* What the lines of one call have in common. Vectors are in the order of a quad. */
struct depthwise_work {
    size_t terms; /* quads under one output */
    const struct cpu_output *output;
    const __m512i *weights; /* [terms][shared][4] */
    const __m512i *ones;    /* likewise: 1 under every tap; when b_neg is wanted */
    const __m512i *bias, *b_neg;
    const __m512 *scale, *bias_f;
    const __m512i *multiplier, *shift; /* of roundings by integers, in the place of these */
    __mmask64 channels;
};

/* One line of outputs, or a block of it. */
struct depthwise_line {
    const uint8_t *const *quads; /* [terms]: under the first output */
    uint8_t *out;
    size_t out_step; /* bytes between its outputs */
    size_t count;
    size_t apart; /* bytes to the outputs of the upper halves; 0: they are channels 32 to 63 */
    size_t count_apart; /* of those */
};
typedef void depthwise_line_fn(const struct depthwise_work *w, const struct depthwise_line *l);

/* The function that computes lines for this output; 'shared' outputs are served by a quad: 2 that
 * lie a point apart, or 1. */
depthwise_line_fn *cpu_depthwise_line(const struct cpu_output *o, size_t shared);

#endif
