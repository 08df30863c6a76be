/*
 * The known-answer self-test of rows for convolution, as selftest.c is for the others: two small
 * convolutions with padding on all sides, strides, dilation, groups and tails of channels, one of
 * them transposed, operands at the ends of their ranges. The answers come from plain loops over the
 * comment on struct qdot_conv.
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "selftest.h"

struct test {
    struct qdot_op_desc desc;
    size_t oh, ow, k;
    uint8_t *x, *weights;
    int32_t *zero, *bias, *acc;
    float *scale;
    uint8_t *out, *want;
};

/* Adds input pixel (y, x) under tap (i, j) to output pixel (oy, ox) of image 0, NHWC. */
static void add_tap(const struct test *t, size_t y, size_t x, size_t i, size_t j, size_t oy,
                    size_t ox)
{
    const struct qdot_op_desc *d = &t->desc;
    const struct qdot_conv *c = &d->conv;
    const size_t cg = c->channels / c->groups, og = c->out_channels / c->groups;
    for (size_t o = 0; o < c->out_channels; o++) {
        for (size_t n = 0; n < cg; n++) {
            const uint8_t a = t->x[(y * c->width + x) * c->channels + o / og * cg + n];
            const uint8_t b = t->weights[((o * c->kernel_h + i) * c->kernel_w + j) * cg + n];
            uint32_t *acc = (uint32_t *)&t->acc[(oy * t->ow + ox) * c->out_channels + o];
            *acc +=
                (uint32_t)((value(a, d->a_type) - d->a_zero) * (value(b, d->b_type) - t->zero[o]));
        }
    }
}

static void answer(const struct test *t)
{
    const struct qdot_op_desc *d = &t->desc;
    const struct qdot_conv *c = &d->conv;
    const size_t pixels = t->oh * t->ow, taps = c->kernel_h * c->kernel_w;
    for (size_t i = 0; i < pixels * c->out_channels; i++)
        t->acc[i] = t->bias[i % c->out_channels];
    /* Every output, every tap; which pixel lies under it decides. Wrapped differences are too large
     * to be inside. */
    for (size_t at = 0; at < pixels * taps; at++) {
        const size_t oy = at / taps / t->ow, ox = at / taps % t->ow;
        const size_t i = at % taps / c->kernel_w, j = at % taps % c->kernel_w;
        if (c->transposed) {
            const size_t y = oy + c->pad_top - i * c->dilation_h;
            const size_t x = ox + c->pad_left - j * c->dilation_w;
            if (y % c->stride_h == 0 && y / c->stride_h < c->height && x % c->stride_w == 0 &&
                x / c->stride_w < c->width)
                add_tap(t, y / c->stride_h, x / c->stride_w, i, j, oy, ox);
        } else {
            const size_t y = oy * c->stride_h + i * c->dilation_h - c->pad_top;
            const size_t x = ox * c->stride_w + j * c->dilation_w - c->pad_left;
            if (y < c->height && x < c->width)
                add_tap(t, y, x, i, j, oy, ox);
        }
    }
    if (d->out_type == QDOT_S32)
        memcpy(t->want, t->acc, pixels * c->out_channels * 4);
    for (size_t i = 0; i < pixels * c->out_channels && d->out_type == QDOT_U8; i++) {
        volatile float real = (float)t->acc[i]; /* volatile: each step rounds, none is fused */
        real = real * t->scale[i % c->out_channels];
        double rounded = nearbyint((double)real) + d->out_zero;
        rounded = rounded < d->clamp_lo   ? d->clamp_lo
                  : rounded > d->clamp_hi ? d->clamp_hi
                                          : rounded;
        t->want[i] = (uint8_t)(int)rounded;
    }
}

static int run_test(struct qdot_device *device, const struct qdot_row *row, struct test *t,
                    char *reason, size_t reason_bytes)
{
    struct qdot_problem p;
    struct qdot_error err = {0};
    struct qdot_op *op;
    const struct qdot_conv *c = &t->desc.conv;
    uint32_t state = 12345;
    t->desc.b = t->weights;
    t->desc.b_zero = t->zero;
    t->desc.bias = t->bias;
    t->desc.scale = t->scale;
    t->desc.b_zero_count = t->desc.scale_count = c->out_channels;
    int status = qdot_conv_output(c, &t->oh, &t->ow, &err);
    const size_t weights = c->out_channels * c->kernel_h * c->kernel_w * (c->channels / c->groups);
    for (size_t i = 0; i < c->height * c->width * c->channels; i++)
        t->x[i] = byte(&state);
    for (size_t i = 0; i < weights; i++)
        t->weights[i] = byte(&state);
    for (size_t i = 0; i < c->out_channels; i++) {
        t->zero[i] = value(byte(&state), t->desc.b_type);
        t->bias[i] = (int32_t)next(&state) - (1 << 23);
        t->scale[i] = i % 2 ? 0x1p-17f : -1.7e-5f; /* powers of two give ties */
    }
    if (status == QDOT_OK)
        status = checked(device, row, &t->desc, &p, &err);
    if (status != QDOT_OK) {
        snprintf(reason, reason_bytes, "self-test: %.160s", err.text);
        return status;
    }
    const size_t bytes = t->oh * t->ow * c->out_channels * (t->desc.out_type == QDOT_U8 ? 1 : 4);
    answer(t);
    memset(t->out, 0xaa, bytes);
    const struct qdot_run run = {.a = {.host = t->x}, .out = {.host = t->out}};
    status = qdot_op_build(device, row, &t->desc, &p, &op, &err);
    if (status == QDOT_OK) {
        status = qdot_op_run(op, &run, &err);
        qdot_op_destroy(op);
    }
    if (status != QDOT_OK) {
        snprintf(reason, reason_bytes, "self-test: %.160s", err.text);
        return status;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (t->out[i] != t->want[i]) {
            snprintf(reason, reason_bytes,
                     "self-test: %sconvolution, byte %zu is 0x%02x, expected 0x%02x",
                     c->transposed ? "transposed " : "", i, t->out[i], t->want[i]);
            return QDOT_UNSUPPORTED;
        }
    }
    return QDOT_OK;
}

int qdot_selftest_conv(struct qdot_device *device, const struct qdot_row *row, char *reason,
                       size_t reason_bytes)
{
    enum { H = 6, W = 7, KH = 3, KW = 2, OUTPUTS_MAX = 20 * 20 };
    /* Two groups, the columns of each one more than a panel, k of more than two passes; depthwise
     * with a multiplier of 2. */
    const size_t channels = row->depthwise ? row->nr / 2u + 1u : 2u * (5u + row->pass / 2u);
    const size_t outs = row->depthwise ? 2 * channels : 2u * (row->nr + 1u);
    const size_t x_bytes = H * W * channels, w_bytes = outs * KH * KW * channels;
    const size_t words = outs * (3 + OUTPUTS_MAX);
    struct test t = {0};
    fenv_t callers; /* the answers need round-to-nearest and subnormals, whatever the thread has */
    int32_t *memory =
        qdot_alloc(device, words * 4 + 2 * outs * OUTPUTS_MAX * 4 + x_bytes + w_bytes);
    if (!memory) {
        snprintf(reason, reason_bytes, "self-test: no memory");
        return QDOT_NO_MEMORY;
    }
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    t.zero = memory;
    t.bias = t.zero + outs;
    t.scale = (float *)(void *)(t.bias + outs);
    t.acc = (int32_t *)(void *)(t.scale + outs);
    t.out = (uint8_t *)(t.acc + outs * OUTPUTS_MAX);
    t.want = t.out + outs * OUTPUTS_MAX * 4;
    t.x = t.want + outs * OUTPUTS_MAX * 4;
    t.weights = t.x + x_bytes;
    t.desc = (struct qdot_op_desc){.kind = QDOT_CONV,
                                   .conv = {.height = H,
                                            .width = W,
                                            .channels = channels,
                                            .out_channels = outs,
                                            .kernel_h = KH,
                                            .kernel_w = KW,
                                            .stride_h = 1,
                                            .stride_w = 2,
                                            .dilation_h = 2,
                                            .dilation_w = 1,
                                            .pad_top = 1,
                                            .pad_left = 2,
                                            .pad_bottom = 2,
                                            .pad_right = 1,
                                            .groups = row->depthwise ? channels : 2},
                                   .a_type = QDOT_U8,
                                   .b_type = QDOT_S8,
                                   .out_type = QDOT_U8,
                                   .a_zero = 131,
                                   .out_zero = 3,
                                   .clamp_lo = 1,
                                   .clamp_hi = 250};
    const struct qdot_op_desc plain = t.desc;
    int status = run_test(device, row, &t, reason, reason_bytes);
    t.desc = plain;
    /* Whole groups of channels, which kernels may read otherwise. */
    if (!row->depthwise && row->pass)
        t.desc.conv.channels = row->pass;
    t.desc.conv.transposed = 1;
    t.desc.conv.stride_h = 2;
    t.desc.a_type = QDOT_S8;
    t.desc.b_type = QDOT_U8;
    t.desc.a_zero = -77;
    if (status == QDOT_OK)
        status = run_test(device, row, &t, reason, reason_bytes);
    fesetenv(&callers);
    qdot_release(device, memory);
    return status;
}
