/* CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED, each an op of the library. */
#include <stdlib.h>
#include <string.h>
#include "delegate.h"

/* ---- what is taken ----------------------------------------------------------------------------- */

static const TfLiteAffineQuantization *quantization_of(const TfLiteTensor *t)
{
    return t->quantization.type == kTfLiteAffineQuantization ? t->quantization.params : NULL;
}

/* s8 and constant, with one scale or one for each of 'n' channels, which are dimension 'axis'. */
static bool weights_fit(const TfLiteTensor *w, int dims, int axis)
{
    const TfLiteAffineQuantization *q;
    if (!w || w->type != kTfLiteInt8 || !is_constant(w) || w->sparsity || w->dims->size != dims)
        return false;
    q = quantization_of(w);
    if (!q || !q->scale || !q->zero_point || q->zero_point->size < 1)
        return false;
    for (int i = 0; i < q->zero_point->size; i++)
        if (q->zero_point->data[i] != 0)
            return false;
    for (int i = 0; i < q->scale->size; i++)
        if (!(q->scale->data[i] >= 0))
            return false;
    return q->scale->size == 1 ||
           (q->scale->size == w->dims->data[axis] && q->quantized_dimension == axis);
}

static bool bias_fits(const TfLiteTensor *bias, int n)
{
    return !bias || (bias->type == kTfLiteInt32 && is_constant(bias) && bias->dims->size == 1 &&
                     bias->dims->data[0] == n);
}

static bool range_fits(TfLiteFusedActivation activation, const TfLiteTensor *out)
{
    int32_t lo, hi;
    return activation_range(activation, out, &lo, &hi) && lo <= hi && (lo || hi);
}

static bool convolution_fits(TfLiteContext *context, const TfLiteNode *node, int axis)
{
    const TfLiteTensor *x = tensor_at(context, node->inputs, 0);
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    const TfLiteTensor *out = tensor_at(context, node->outputs, 0);
    return is_quantised(x, 4) && is_quantised(out, 4) && weights_fit(w, 4, axis) &&
           bias_fits(tensor_at(context, node->inputs, 2), w->dims->data[axis]) &&
           out->dims->data[3] == w->dims->data[axis];
}

static bool conv_claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteConvParams *p = node->builtin_data;
    if (!p || !convolution_fits(context, node, 0))
        return false;
    const int channels = context->tensors[node->inputs->data[0]].dims->data[3];
    const int *const w = context->tensors[node->inputs->data[1]].dims->data;
    return w[3] > 0 && channels % w[3] == 0 && w[0] % (channels / w[3]) == 0 &&
           range_fits(p->activation, tensor_at(context, node->outputs, 0));
}

static bool depthwise_claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteDepthwiseConvParams *p = node->builtin_data;
    if (!p || !convolution_fits(context, node, 3))
        return false;
    const int channels = context->tensors[node->inputs->data[0]].dims->data[3];
    const int *const w = context->tensors[node->inputs->data[1]].dims->data;
    return w[0] == 1 && w[3] % channels == 0 &&
           range_fits(p->activation, tensor_at(context, node->outputs, 0));
}

static bool connected_claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteFullyConnectedParams *p = node->builtin_data;
    const TfLiteTensor *x = tensor_at(context, node->inputs, 0);
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    const TfLiteTensor *out = tensor_at(context, node->outputs, 0);
    return p && x && out && is_quantised(x, x->dims->size) && is_quantised(out, out->dims->size) &&
           weights_fit(w, 2, 0) && p->weights_format == kTfLiteFullyConnectedWeightsFormatDefault &&
           bias_fits(tensor_at(context, node->inputs, 2), w->dims->data[0]) &&
           x->bytes % (size_t)w->dims->data[1] == 0 && range_fits(p->activation, out);
}

/* ---- the op ------------------------------------------------------------------------------------ */

/* Multipliers as the runtime makes them: of a FULLY_CONNECTED with one scale it multiplies the first two as
 * floats. */
static bool make_multipliers(const TfLiteTensor *x, const TfLiteTensor *w, const TfLiteTensor *out,
                             bool connected, int32_t *multiplier, int32_t *shift)
{
    const TfLiteAffineQuantization *q = quantization_of(w);
    for (int i = 0; i < q->scale->size; i++) {
        const double product = connected && q->scale->size == 1
                                   ? (double)(x->params.scale * q->scale->data[i])
                                   : (double)x->params.scale * (double)q->scale->data[i];
        if (qdot_multiplier(product / (double)out->params.scale, &multiplier[i], &shift[i], NULL))
            return false;
    }
    return true;
}

/* 'desc' has the geometry and the weights. */
static TfLiteStatus make_op(struct step *s, TfLiteContext *context, const TfLiteNode *node,
                            TfLiteFusedActivation activation, struct qdot_op_desc *desc)
{
    const TfLiteTensor *x = tensor_at(context, node->inputs, 0);
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    const TfLiteTensor *bias = tensor_at(context, node->inputs, 2);
    const TfLiteTensor *out = tensor_at(context, node->outputs, 0);
    const size_t count = (size_t)quantization_of(w)->scale->size;
    int32_t *multiplier = calloc(2 * count, sizeof(*multiplier));
    const bool good = multiplier && make_multipliers(x, w, out, s->kind == &connected_kind,
                                                     multiplier, multiplier + count);
    desc->a_type = desc->b_type = desc->out_type = QDOT_S8;
    desc->a_zero = x->params.zero_point;
    desc->bias = bias ? bias->data.i32 : NULL;
    desc->multiplier = multiplier;
    desc->shift = multiplier + count;
    desc->multiplier_count = count;
    desc->out_zero = out->params.zero_point;
    activation_range(activation, out, &desc->clamp_lo, &desc->clamp_hi);
    desc->rounding = s->delegate->rounding[s->kind->op];
    desc->workspace_at_run = 1;
    if (!good)
        context->ReportError(context, "qdot: no multipliers");
    const TfLiteStatus status = good ? op_make(s, context, desc) : kTfLiteDelegateError;
    free(multiplier);
    return status;
}

static struct qdot_conv geometry(const int *x, const int *kernel, const int *out)
{
    return (struct qdot_conv){.batch = (size_t)x[0],
                              .height = (size_t)x[1],
                              .width = (size_t)x[2],
                              .channels = (size_t)x[3],
                              .out_channels = (size_t)out[3],
                              .kernel_h = (size_t)kernel[1],
                              .kernel_w = (size_t)kernel[2]};
}

static TfLiteStatus conv_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteConvParams *p = node->builtin_data;
    const int *const x = context->tensors[s->in[0]].dims->data;
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    const int *const kernel = w->dims->data;
    struct qdot_op_desc desc = {.kind = QDOT_CONV, .b = w->data.data};
    struct qdot_conv *g = &desc.conv;
    *g = geometry(x, kernel, context->tensors[s->out].dims->data);
    g->groups = (size_t)(x[3] / kernel[3]);
    g->stride_h = (size_t)p->stride_height;
    g->stride_w = (size_t)p->stride_width;
    g->dilation_h = (size_t)p->dilation_height_factor;
    g->dilation_w = (size_t)p->dilation_width_factor;
    padding_of(p->padding, x[1], kernel[1], p->stride_height, p->dilation_height_factor,
               &g->pad_top, &g->pad_bottom);
    padding_of(p->padding, x[2], kernel[2], p->stride_width, p->dilation_width_factor, &g->pad_left,
               &g->pad_right);
    return make_op(s, context, node, p->activation, &desc);
}

/* Weights are [1, h, w, o] there, [o, h, w] here. */
static TfLiteStatus depthwise_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteDepthwiseConvParams *p = node->builtin_data;
    const int *const x = context->tensors[s->in[0]].dims->data;
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    const int *const kernel = w->dims->data;
    const size_t taps = (size_t)kernel[1] * (size_t)kernel[2], n = (size_t)kernel[3];
    int8_t *weights = malloc(taps * n);
    if (!weights)
        return kTfLiteDelegateError;
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t o = 0; o < n; o++)
            weights[o * taps + tap] = w->data.int8[tap * n + o];
    struct qdot_op_desc desc = {.kind = QDOT_CONV, .b = weights};
    struct qdot_conv *g = &desc.conv;
    *g = geometry(x, kernel, context->tensors[s->out].dims->data);
    g->groups = (size_t)x[3];
    g->stride_h = (size_t)p->stride_height;
    g->stride_w = (size_t)p->stride_width;
    g->dilation_h = (size_t)p->dilation_height_factor;
    g->dilation_w = (size_t)p->dilation_width_factor;
    padding_of(p->padding, x[1], kernel[1], p->stride_height, p->dilation_height_factor,
               &g->pad_top, &g->pad_bottom);
    padding_of(p->padding, x[2], kernel[2], p->stride_width, p->dilation_width_factor, &g->pad_left,
               &g->pad_right);
    const TfLiteStatus status = make_op(s, context, node, p->activation, &desc);
    free(weights);
    return status;
}

static TfLiteStatus connected_make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteFullyConnectedParams *p = node->builtin_data;
    const TfLiteTensor *w = tensor_at(context, node->inputs, 1);
    struct qdot_op_desc desc = {.b = w->data.data, .b_transposed = 1};
    desc.n = (size_t)w->dims->data[0];
    desc.k = (size_t)w->dims->data[1];
    desc.m = context->tensors[s->in[0]].bytes / desc.k;
    return make_op(s, context, node, p->activation, &desc);
}

const struct kind conv_kind = {"CONV_2D", OP_CONV_2D, conv_claims, conv_make, op_run, op_release};
const struct kind depthwise_kind = {
    "DEPTHWISE_CONV_2D", OP_DEPTHWISE_CONV_2D, depthwise_claims, depthwise_make, op_run,
    op_release};
const struct kind connected_kind = {
    "FULLY_CONNECTED", OP_FULLY_CONNECTED, connected_claims, connected_make, op_run, op_release};
