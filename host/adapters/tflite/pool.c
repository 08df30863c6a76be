/* MAX_POOL_2D and AVERAGE_POOL_2D, ops of the library: what lies in the padding does not count; an average
 * is rounded to the nearest, ties away from 0. */
#include "delegate.h"

#define MOST_TAPS 65536 /* of an average of the library's */

static bool max_claims(TfLiteContext *context, const TfLiteNode *node)
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

static bool average_claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *p = node->builtin_data;
    return max_claims(context, node) && p->filter_height <= MOST_TAPS / p->filter_width;
}

static struct qdot_conv windows_of(const struct step *s, const TfLiteContext *context,
                                   const TfLitePoolParams *p)
{
    const int *const x = context->tensors[s->in[0]].dims->data;
    struct qdot_conv g = {.batch = (size_t)x[0],
                          .height = (size_t)x[1],
                          .width = (size_t)x[2],
                          .channels = (size_t)x[3],
                          .kernel_h = (size_t)p->filter_height,
                          .kernel_w = (size_t)p->filter_width,
                          .stride_h = (size_t)p->stride_height,
                          .stride_w = (size_t)p->stride_width};
    padding_of(p->padding, x[1], p->filter_height, p->stride_height, 1, &g.pad_top, &g.pad_bottom);
    padding_of(p->padding, x[2], p->filter_width, p->stride_width, 1, &g.pad_left, &g.pad_right);
    return g;
}

static TfLiteStatus max_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *p = node->builtin_data;
    struct qdot_op_desc desc = {
        .kind = QDOT_MAX_POOL, .conv = windows_of(s, context, p), .a_type = QDOT_S8};
    uint8_t table[256];
    int32_t lo, hi;
    activation_range(p->activation, &context->tensors[s->out], &lo, &hi);
    for (int i = 0; i < 256; i++) {
        const int32_t value = (int8_t)i;
        table[i] = (uint8_t)(value < lo ? lo : value > hi ? hi : value);
    }
    desc.map.table = lo > -128 || hi < 127 ? table : NULL;
    return op_make(s, context, &desc);
}

static TfLiteStatus average_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLitePoolParams *p = node->builtin_data;
    struct qdot_op_desc desc = {
        .kind = QDOT_AVERAGE_POOL, .conv = windows_of(s, context, p), .a_type = QDOT_S8};
    activation_range(p->activation, &context->tensors[s->out], &desc.clamp_lo, &desc.clamp_hi);
    return op_make(s, context, &desc);
}

const struct kind average_kind = {
    "AVERAGE_POOL_2D", OP_AVERAGE_POOL_2D, average_claims, average_make, op_run, op_release};
const struct kind max_kind = {"MAX_POOL_2D", OP_MAX_POOL_2D, max_claims,
                              max_make,      op_run,         op_release};
