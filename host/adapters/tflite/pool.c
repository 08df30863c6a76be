/* MAX_POOL_2D, an op of the library, and AVERAGE_POOL_2D, here: what lies in the padding does not count; an
 * average is rounded to the nearest, ties away from 0. */
#include <stdlib.h>
#include <string.h>
#include "delegate.h"

struct pool {
    int batch, h, w, channels, oh, ow;
    int window_h, window_w, stride_h, stride_w, top, left;
    int32_t lo, hi;
    int32_t *sum; /* of one output pixel */
};

static bool claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *p = node->builtin_data;
    const TfLiteTensor *x = tensor_at(context, node->inputs, 0);
    const TfLiteTensor *out = tensor_at(context, node->outputs, 0);
    int32_t lo, hi;
    return p && is_quantised(x, 4) && is_quantised(out, 4) &&
           x->params.scale == out->params.scale && x->params.zero_point == out->params.zero_point &&
           activation_range(p->activation, out, &lo, &hi) && p->stride_height > 0 &&
           p->stride_width > 0 && p->filter_height > 0 && p->filter_width > 0;
}

/* ---- the greatest ------------------------------------------------------------------------------ */

static TfLiteStatus max_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *p = node->builtin_data;
    const int *const x = context->tensors[s->in[0]].dims->data;
    struct qdot_op_desc desc = {.kind = QDOT_MAX_POOL, .a_type = QDOT_S8};
    struct qdot_conv *g = &desc.conv;
    uint8_t table[256];
    int32_t lo, hi;
    *g = (struct qdot_conv){.batch = (size_t)x[0],
                            .height = (size_t)x[1],
                            .width = (size_t)x[2],
                            .channels = (size_t)x[3],
                            .kernel_h = (size_t)p->filter_height,
                            .kernel_w = (size_t)p->filter_width,
                            .stride_h = (size_t)p->stride_height,
                            .stride_w = (size_t)p->stride_width};
    padding_of(p->padding, x[1], p->filter_height, p->stride_height, 1, &g->pad_top,
               &g->pad_bottom);
    padding_of(p->padding, x[2], p->filter_width, p->stride_width, 1, &g->pad_left, &g->pad_right);
    activation_range(p->activation, &context->tensors[s->out], &lo, &hi);
    for (int i = 0; i < 256; i++) {
        const int32_t value = (int8_t)i;
        table[i] = (uint8_t)(value < lo ? lo : value > hi ? hi : value);
    }
    desc.map.table = lo > -128 || hi < 127 ? table : NULL;
    return op_make(s, context, &desc);
}

/* ---- averages ---------------------------------------------------------------------------------- */

static TfLiteStatus make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *params = node->builtin_data;
    const int *const x = context->tensors[s->in[0]].dims->data;
    const TfLiteTensor *out = &context->tensors[s->out];
    struct pool *p = s->impl = calloc(1, sizeof(*p));
    size_t top, left, behind;
    if (!p)
        return kTfLiteDelegateError;
    padding_of(params->padding, x[1], params->filter_height, params->stride_height, 1, &top,
               &behind);
    padding_of(params->padding, x[2], params->filter_width, params->stride_width, 1, &left,
               &behind);
    *p = (struct pool){.batch = x[0],
                       .h = x[1],
                       .w = x[2],
                       .channels = x[3],
                       .oh = out->dims->data[1],
                       .ow = out->dims->data[2],
                       .window_h = params->filter_height,
                       .window_w = params->filter_width,
                       .stride_h = params->stride_height,
                       .stride_w = params->stride_width,
                       .top = (int)top,
                       .left = (int)left,
                       .sum = calloc((size_t)x[3], sizeof(*p->sum))};
    activation_range(params->activation, out, &p->lo, &p->hi);
    return p->sum ? kTfLiteOk : kTfLiteDelegateError;
}

struct span {
    int first, end;
};

/* What of a window is inside. */
static struct span inside(int at, int stride, int before, int window, int size)
{
    const int first = at * stride - before, end = first + window;
    return (struct span){first < 0 ? 0 : first, end > size ? size : end};
}

static void add_pixel(int32_t *sum, const int8_t *x, int channels)
{
    for (int c = 0; c < channels; c++)
        sum[c] += x[c];
}

static void finish(const struct pool *p, int count, int8_t *out)
{
    for (int c = 0; c < p->channels; c++) {
        int32_t value = p->sum[c];
        if (count > 1)
            value = (value > 0 ? value + count / 2 : value - count / 2) / count;
        out[c] = (int8_t)(value < p->lo ? p->lo : value > p->hi ? p->hi : value);
    }
}

static void pool_pixel(const struct pool *p, const int8_t *image, struct span y, struct span x,
                       int8_t *out)
{
    memset(p->sum, 0, (size_t)p->channels * sizeof(*p->sum));
    for (int i = y.first; i < y.end; i++)
        for (int j = x.first; j < x.end; j++)
            add_pixel(p->sum, image + ((size_t)i * (size_t)p->w + (size_t)j) * (size_t)p->channels,
                      p->channels);
    finish(p, (y.end - y.first) * (x.end - x.first), out);
}

static TfLiteStatus run(struct step *s, TfLiteContext *context, const int8_t *const *in,
                        int8_t *out)
{
    const struct pool *p = s->impl;
    const int8_t *image = in[0];
    const size_t channels = (size_t)p->channels;
    (void)context;
    for (int n = 0; n < p->batch; n++, image += (size_t)p->h * (size_t)p->w * channels)
        for (int i = 0; i < p->oh; i++)
            for (int j = 0; j < p->ow; j++, out += channels)
                pool_pixel(p, image, inside(i, p->stride_h, p->top, p->window_h, p->h),
                           inside(j, p->stride_w, p->left, p->window_w, p->w), out);
    return kTfLiteOk;
}

static void release(struct step *s)
{
    struct pool *p = s->impl;
    if (p)
        free(p->sum);
    free(p);
}

const struct kind average_kind = {
    "AVERAGE_POOL_2D", OP_AVERAGE_POOL_2D, claims, make, run, release};
const struct kind max_kind = {"MAX_POOL_2D", OP_MAX_POOL_2D, claims, max_make, op_run, op_release};
