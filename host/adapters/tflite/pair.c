/* ADD: both operands times 2^20, scaled to a common scale, added, and scaled to the output's; each scaling
 * by a fixed-point multiplier, rounded as the option 'rounding' says. Of two bytes that is a byte: a table. */
#include <stdlib.h>
#include "delegate.h"

enum { LEFT_SHIFT = 20 };

struct factor {
    int32_t multiplier, shift;
};

static bool same_shape(const TfLiteTensor *a, const TfLiteTensor *b)
{
    bool same = a->dims->size == b->dims->size;
    for (int i = 0; i < a->dims->size && same; i++)
        same = a->dims->data[i] == b->dims->data[i];
    return same;
}

static bool claims(TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteAddParams *p = node->builtin_data;
    const TfLiteTensor *a = tensor_at(context, node->inputs, 0);
    const TfLiteTensor *b = tensor_at(context, node->inputs, 1);
    const TfLiteTensor *out = tensor_at(context, node->outputs, 0);
    int32_t lo, hi;
    return p && a && b && out && is_quantised(a, a->dims->size) && is_quantised(b, b->dims->size) &&
           is_quantised(out, out->dims->size) && same_shape(a, b) && same_shape(a, out) &&
           !is_constant(a) && !is_constant(b) && activation_range(p->activation, out, &lo, &hi);
}

/* x * multiplier * 2^(shift - 31), shift not above 0. */
static int32_t scaled_by(int32_t x, struct factor f, enum qdot_rounding rounding)
{
    const int64_t product = (int64_t)x * f.multiplier;
    const int right = -f.shift;
    if (rounding == QDOT_ROUND_Q31_SINGLE_UP)
        return (int32_t)((product + ((int64_t)1 << (30 + right))) >> (31 + right));
    /* The first step: gemmlowp's rounds ties away from 0, TensorFlow Lite's on vectors up. */
    const int64_t nudge = rounding == QDOT_ROUND_Q31_DOUBLE_AWAY && product < 0
                              ? 1 - ((int64_t)1 << 30)
                              : (int64_t)1 << 30;
    const int64_t high = rounding == QDOT_ROUND_Q31_DOUBLE_AWAY
                             ? (product + nudge) / ((int64_t)1 << 31)
                             : (product + nudge) >> 31;
    if (right == 0)
        return (int32_t)high;
    const int64_t half = (int64_t)1 << (right - 1);
    const bool down = rounding == QDOT_ROUND_Q31_DOUBLE_AWAY && high < 0;
    return (int32_t)((high + half - down) >> right);
}

static bool make_factor(double scale, struct factor *f)
{
    return qdot_multiplier(scale, &f->multiplier, &f->shift, NULL) == QDOT_OK && f->shift <= 0;
}

static TfLiteStatus make(struct step *s, TfLiteContext *context, const TfLiteNode *node)
{
    const TfLiteAddParams *p = node->builtin_data;
    const enum qdot_rounding rounding = s->delegate->rounding[OP_ADD];
    const TfLiteTensor *in[2] = {&context->tensors[s->in[0]], &context->tensors[s->in[1]]};
    const TfLiteTensor *out = &context->tensors[s->out];
    const float larger =
        in[0]->params.scale > in[1]->params.scale ? in[0]->params.scale : in[1]->params.scale;
    const double twice = 2 * (double)larger;
    struct factor f[2], last;
    int32_t scaled[2][256], lo, hi; /* of each value of an operand: its share of the sum */
    if (!make_factor((double)in[0]->params.scale / twice, &f[0]) ||
        !make_factor((double)in[1]->params.scale / twice, &f[1]) ||
        !make_factor(twice / ((1 << LEFT_SHIFT) * (double)out->params.scale), &last)) {
        context->ReportError(context, "qdot: ADD: the output's scale is too small");
        return kTfLiteDelegateError;
    }
    uint8_t *table = malloc(256 * 256);
    if (!table)
        return kTfLiteDelegateError;
    activation_range(p->activation, out, &lo, &hi);
    for (size_t i = 0; i < 2; i++)
        for (int32_t value = 0; value < 256; value++)
            scaled[i][value] = scaled_by(
                ((int8_t)value - in[i]->params.zero_point) * (1 << LEFT_SHIFT), f[i], rounding);
    for (size_t i = 0; i < 256 * 256; i++) {
        const int32_t sum = scaled[0][i / 256] + scaled[1][i % 256];
        const int32_t value = scaled_by(sum, last, rounding) + out->params.zero_point;
        table[i] = (uint8_t)(value < lo ? lo : value > hi ? hi : value);
    }
    const struct qdot_op_desc desc = {.kind = QDOT_MAP,
                                      .map = {.rank = 1,
                                              .dims = {out->bytes},
                                              .a_stride = {1},
                                              .b_stride = {1},
                                              .out_stride = {1},
                                              .operands = 2,
                                              .table = table}};
    const TfLiteStatus status = op_make(s, context, &desc);
    free(table);
    return status;
}

const struct kind add_kind = {"ADD", OP_ADD, claims, make, op_run, op_release};
