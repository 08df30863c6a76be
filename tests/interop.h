/*
 * What the tests that play a host runtime share: the host's kernels make A, word by word, and take
 * the output, around a run of qdot; what must be there in the end is told by the reference.
 */
#ifndef INTEROP_H
#define INTEROP_H

#include "api.h"
#include "ref.h"

enum {
    INTEROP_PROBLEMS = 3,
    INTEROP_A = 37 * 68,       /* bytes of the largest A */
    INTEROP_OUT = 37 * 52 * 4, /* of the largest output; both whole words */
    INTEROP_MASK = 0x5a5a5a5a  /* the consumer's word is the output's, with these bits turned */
};

/* The producer's word. */
static inline uint32_t interop_word(uint32_t i)
{
    return i * 2654435761u ^ (i >> 5);
}

struct interop_problem {
    struct qdot_op_desc desc;
    size_t m, a_bytes, out_bytes; /* m: units of a run */
    uint8_t want[INTEROP_OUT];    /* the output, not the consumer's */
};

static const int32_t interop_zeros[52] = {3, -7, 100, -128, 0, 1, 2, 3, 4, 5};
static float interop_scales[52];
static int32_t interop_bias[52];
static uint8_t interop_b[68 * 52 + 3 * 3 * 8 * 20];

/* A product to bytes, one to sums with B that has no zero point, and a convolution. */
static inline void interop_problem(size_t which, struct interop_problem *p)
{
    static uint8_t a[INTEROP_A + 4];
    static const struct qdot_conv conv = {.batch = 2,
                                          .height = 9,
                                          .width = 7,
                                          .channels = 8,
                                          .out_channels = 20,
                                          .kernel_h = 3,
                                          .kernel_w = 3,
                                          .stride_h = 1,
                                          .stride_w = 1,
                                          .dilation_h = 1,
                                          .dilation_w = 1,
                                          .pad_top = 1,
                                          .pad_left = 1,
                                          .pad_bottom = 1,
                                          .pad_right = 1,
                                          .groups = 1};
    const int32_t a_zero = 77;
    for (uint32_t i = 0; i < INTEROP_A / 4; i++) {
        const uint32_t word = interop_word(i);
        memcpy(a + 4 * i, &word, 4);
    }
    for (size_t i = 0; i < sizeof(interop_b); i++)
        interop_b[i] = (uint8_t)(i * 73 + i / 5);
    for (size_t i = 0; i < 52; i++) {
        interop_scales[i] = 0.0009f + 0.00003f * (float)i;
        interop_bias[i] = (int32_t)i * 1000 - 20000;
    }
    memset(p, 0, sizeof(*p));
    p->desc = (struct qdot_op_desc){.size = sizeof(p->desc),
                                    .b = interop_b,
                                    .a_zero = which == 1 ? 0 : a_zero,
                                    .bias = interop_bias,
                                    .out_type = which == 1 ? QDOT_S32 : QDOT_U8};
    if (which == 2) {
        p->desc.kind = QDOT_CONV;
        p->desc.conv = conv;
    } else {
        p->desc.m = 37;
        p->desc.n = 52;
        p->desc.k = 68;
    }
    const size_t n = which == 2 ? 20 : 52;
    if (which != 1) {
        p->desc.scale = interop_scales;
        p->desc.scale_count = n;
        p->desc.b_zero = interop_zeros;
        p->desc.b_zero_count = n;
        p->desc.out_zero = 5;
    }
    p->m = which == 2 ? conv.batch : 37;
    p->a_bytes = which == 2 ? 2 * 9 * 7 * 8 : 37 * 68;
    p->out_bytes = which == 2 ? 2 * 9 * 7 * 20 : which == 1 ? INTEROP_OUT : 37 * 52;
    const struct ref_problem r = {.conv = which == 2 ? &conv : NULL,
                                  .m = p->m,
                                  .n = n,
                                  .k = 68,
                                  .a_type = QDOT_U8,
                                  .b_type = QDOT_S8,
                                  .out_type = p->desc.out_type,
                                  .a = a,
                                  .b = interop_b,
                                  .lda = which == 2 ? 8 : 68,
                                  .ldb = 52,
                                  .a_zero = &a_zero,
                                  .a_zero_count = which != 1,
                                  .b_zero = interop_zeros,
                                  .b_zero_count = which == 1 ? 0 : n,
                                  .bias = interop_bias,
                                  .scale = interop_scales,
                                  .scale_count = which == 1 ? 0 : n,
                                  .out_zero = p->desc.out_zero};
    assert_int_equal(ref_run(&r, p->want, n), 0);
}

static inline void interop_must(int status, const struct qdot_error *err, const char *what)
{
    if (status)
        fail_msg("%s: %s", what, err->text);
}

/* What the consumer left of the output. */
static inline void interop_check(const struct interop_problem *p, const uint8_t *consumed)
{
    for (size_t i = 0; i < p->out_bytes; i++)
        if (consumed[i] != (p->want[i] ^ 0x5a))
            fail_msg("byte %zu of %zu is %u, expected %u", i, p->out_bytes, consumed[i] ^ 0x5a,
                     p->want[i]);
}

#endif
