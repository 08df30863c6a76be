/* The reference of maps and max pools. */
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

void ref_pool_run(const struct ref_pool *p, uint8_t *out, size_t ldo)
{
    const struct qdot_conv *v = &p->conv;
    size_t oh, ow;
    ref_conv_output(v, &oh, &ow);
    for (size_t n = 0; n < v->batch; n++)
        for (size_t c = 0; c < v->channels; c++)
            for (size_t y = 0; y < oh; y++)
                for (size_t x = 0; x < ow; x++) {
                    uint8_t most = (uint8_t)largest(p, n, c, y, x);
                    out[element(v, oh, ow, ldo, n, c, y, x)] = p->table ? p->table[most] : most;
                }
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
