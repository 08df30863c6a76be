/*
 * XNNPACK's convolution of int8, NHWC: rounds as rne on x86, as mant24-up on ARM. On stdin int32: batch, height, width;
 * channels and outputs of a group, groups; height and width of the kernel; stride; dilation; pads top, left, bottom,
 * right; zeros of input and output; a float, the scale; then the input, weights [out][kh][kw][in], biases. On stdout
 * int8 outputs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <xnnpack.h>

struct head {
    uint32_t batch, height, width, channels, outs, groups, kh, kw, stride, dilation, top, left,
        bottom, right;
    int32_t zero, out_zero;
    float scale;
};

static uint32_t outer(uint32_t size, uint32_t pads, uint32_t kernel, const struct head *h)
{
    return (size + pads - (kernel - 1) * h->dilation - 1) / h->stride + 1;
}

static void *given(size_t count, size_t size)
{
    char *to = calloc(count * size + XNN_EXTRA_BYTES, 1);
    if (to && fread(to, size, count, stdin) == count)
        return to;
    free(to);
    return NULL;
}

int main(void)
{
    struct head h;
    if (xnn_initialize(NULL) != xnn_status_success || fread(&h, sizeof(h), 1, stdin) != 1)
        return 1;
    const size_t in_channels = (size_t)h.channels * h.groups, outs = (size_t)h.outs * h.groups;
    const size_t count = (size_t)h.batch * outer(h.height, h.top + h.bottom, h.kh, &h) *
                         outer(h.width, h.left + h.right, h.kw, &h) * outs;
    int8_t *input = given((size_t)h.batch * h.height * h.width * in_channels, 1);
    int8_t *weights = given(outs * h.kh * h.kw * h.channels, 1);
    int32_t *bias = given(outs, sizeof(*bias));
    int8_t *out = malloc(count + XNN_EXTRA_BYTES);
    xnn_operator_t op = NULL;
    const int good =
        input && weights && bias && out &&
        xnn_create_convolution2d_nhwc_qs8(h.top, h.right, h.bottom, h.left, h.kh, h.kw, h.stride,
                                          h.stride, h.dilation, h.dilation, h.groups, h.channels,
                                          h.outs, in_channels, outs, (int8_t)h.zero, h.scale, 1.0f,
                                          weights, bias, (int8_t)h.out_zero, 1.0f, INT8_MIN,
                                          INT8_MAX, 0, &op) == xnn_status_success &&
        xnn_setup_convolution2d_nhwc_qs8(op, h.batch, h.height, h.width, input, out, NULL) ==
            xnn_status_success &&
        xnn_run_operator(op, NULL) == xnn_status_success && fwrite(out, 1, count, stdout) == count;
    xnn_delete_operator(op);
    free(input);
    free(weights);
    free(bias);
    free(out);
    return !good;
}
