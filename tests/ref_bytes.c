/* The reference of maps and pools. */
#include <math.h>
#include "ref.h"

void ref_map(const struct qdot_map *m, size_t units, const uint8_t *a, const uint8_t *b,
             uint8_t *out)
{
    size_t at[QDOT_MAP_RANK] = {0};
    for (;;) {
        size_t ia = 0, ib = 0, io = 0;
        for (size_t d = 0; d < m->rank; d++) {
            ia += at[d] * m->a_stride[d];
            ib += at[d] * m->b_stride[d];
            io += at[d] * m->out_stride[d];
        }
        out[io] = !m->table          ? a[ia]
                  : m->operands == 2 ? m->table[256 * a[ia] + b[ib]]
                                     : m->table[a[ia]];
        size_t d = m->rank;
        while (d > 0 && ++at[d - 1] == (d == 1 ? units : m->dims[d - 1]))
            at[--d] = 0;
        if (d == 0)
            return;
    }
}

/* The element of a tensor of so many rows and columns; ld: of a pixel. */
static size_t element(const struct qdot_conv *v, size_t h, size_t w, size_t ld, size_t n, size_t c,
                      size_t y, size_t x)
{
    if (v->layout == QDOT_NCHW)
        return ((n * v->channels + c) * h + y) * w + x;
    return ((n * h + y) * w + x) * ld + c;
}

/* Of one window; -1000: it has no element of the input. */
static int largest(const struct ref_pool *p, size_t n, size_t c, size_t oy, size_t ox)
{
    const struct qdot_conv *v = &p->conv;
    int most = -1000;
    for (size_t i = 0; i < v->kernel_h; i++)
        for (size_t j = 0; j < v->kernel_w; j++) {
            size_t y = oy * v->stride_h + i * v->dilation_h;
            size_t x = ox * v->stride_w + j * v->dilation_w;
            if (y < v->pad_top || x < v->pad_left || y - v->pad_top >= v->height ||
                x - v->pad_left >= v->width)
                continue;
            uint8_t byte = p->a[element(v, v->height, v->width, p->lda, n, c, y - v->pad_top,
                                        x - v->pad_left)];
            int value = p->type == QDOT_S8 && byte > 127 ? byte - 256 : byte;
            most = value > most ? value : most;
        }
    return most;
}

/* To 24 bits, ties to even, of any exponent. */
static double round24(double x)
{
    int exponent;
    if (fabs(x) > 0x1p-120 && fabs(x) < 0x1p120)
        return (double)(float)x;
    double mantissa = frexp(x, &exponent);
    return ldexp(rint(ldexp(mantissa, 24)), exponent - 24);
}

/* Doubles have more than twice the bits of a float and two: rounded twice is rounded once. */
static int average(const struct ref_pool *p, size_t n, size_t c, size_t oy, size_t ox)
{
    const struct qdot_conv *v = &p->conv;
    const struct qdot_average *f = &p->average;
    int scaled = f->a_scale != 0, taps = 0, whole = 0;
    double sum = 0;
    for (size_t i = 0; i < v->kernel_h; i++)
        for (size_t j = 0; j < v->kernel_w; j++) {
            size_t y = oy * v->stride_h + i * v->dilation_h;
            size_t x = ox * v->stride_w + j * v->dilation_w;
            if (y < v->pad_top || x < v->pad_left || y - v->pad_top >= v->height ||
                x - v->pad_left >= v->width)
                continue;
            uint8_t byte = p->a[element(v, v->height, v->width, p->lda, n, c, y - v->pad_top,
                                        x - v->pad_left)];
            int value = p->type == QDOT_S8 && byte > 127 ? byte - 256 : byte;
            taps++;
            whole += value;
            sum = scaled ? round24(sum + round24((double)f->a_scale * (value - p->a_zero))) : 0;
        }
    if (!scaled)
        return (whole > 0 ? whole + taps / 2 : whole - taps / 2) / taps;
    if (f->count_padding)
        taps = (int)(v->kernel_h * v->kernel_w);
    double out = round24(round24(sum / taps) / (double)f->out_scale);
    out =
        p->rounding == QDOT_ROUND_RNE ? rint(out) + p->out_zero : rint(round24(out + p->out_zero));
    return out < -1000 ? -1000 : out > 1000 ? 1000 : (int)out;
}

static uint8_t pooled(const struct ref_pool *p, size_t n, size_t c, size_t y, size_t x)
{
    if (p->averages) {
        int value = average(p, n, c, y, x);
        value = value < p->clamp_lo ? p->clamp_lo : value > p->clamp_hi ? p->clamp_hi : value;
        return (uint8_t)value;
    }
    uint8_t most = (uint8_t)largest(p, n, c, y, x);
    return p->table ? p->table[most] : most;
}

void ref_pool_run(const struct ref_pool *p, uint8_t *out, size_t ldo)
{
    const struct qdot_conv *v = &p->conv;
    size_t oh, ow;
    ref_conv_output(v, &oh, &ow);
    for (size_t n = 0; n < v->batch; n++)
        for (size_t c = 0; c < v->channels; c++)
            for (size_t y = 0; y < oh; y++)
                for (size_t x = 0; x < ow; x++)
                    out[element(v, oh, ow, ldo, n, c, y, x)] = pooled(p, n, c, y, x);
}

int ref_pool_valid(const struct qdot_conv *v)
{
    size_t size[2] = {v->height, v->width}, kernel[2] = {v->kernel_h, v->kernel_w};
    size_t stride[2] = {v->stride_h, v->stride_w}, dilation[2] = {v->dilation_h, v->dilation_w};
    size_t pad[2] = {v->pad_top, v->pad_left}, outputs[2];
    ref_conv_output(v, &outputs[0], &outputs[1]);
    for (int axis = 0; axis < 2; axis++) {
        for (size_t o = 0; o < outputs[axis]; o++) {
            int inside = 0;
            for (size_t i = 0; i < kernel[axis]; i++) {
                size_t at = o * stride[axis] + i * dilation[axis];
                inside |= at >= pad[axis] && at - pad[axis] < size[axis];
            }
            if (!inside)
                return 0;
        }
    }
    return outputs[0] > 0 && outputs[1] > 0;
}
