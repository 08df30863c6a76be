/* Making an op of the library from what a step is given; matrix.c and conv.c run it. */
#include "product.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum qdot_type type_for_qdot(ONNXTensorElementDataType type)
{
    switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
        return QDOT_U8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
        return QDOT_S8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
        return QDOT_S32;
    default:
        return QDOT_F32;
    }
}

/* ---- what is claimed --------------------------------------------------------------------------- */

static bool is_type_or_absent(const struct value *v, ONNXTensorElementDataType type)
{
    return !v->info || v->type == type;
}

OrtStatus *product_types_fit(const struct group *g, int64_t axis, bool *fit)
{
    const struct value *v = g->values;
    const ONNXTensorElementDataType s8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    const ONNXTensorElementDataType real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    *fit = is_int8(v[X].type) && is_int8(v[W].type) && is_type_or_absent(&v[X_ZERO], v[X].type) &&
           is_type_or_absent(&v[W_ZERO], v[W].type) && is_type_or_absent(&v[X_SCALE], real) &&
           is_type_or_absent(&v[W_SCALE], real) && is_type_or_absent(&v[Y_SCALE], real) &&
           is_type_or_absent(&v[Y_ZERO], g->out.type) &&
           is_type_or_absent(&v[BIAS], ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) &&
           value_may_be_one(&v[X_SCALE]) && value_may_be_one(&v[Y_SCALE]) &&
           value_may_be_one(&v[Y_ZERO]);
    if (!*fit || !g->op->floating)
        return NULL;
    /* The runtime has a kernel for these only; others it computes as floats. */
    *fit = v[X].type == g->out.type && (v[X].type != s8 || v[W].type == s8) &&
           value_may_be_one(&v[X_ZERO]);
    int64_t given = 1;
    TRY(g->record ? group_int(g, W_AXIS, &given) : node_int(g->ort, g->w_from, "axis", &given));
    if (given < 0)
        given += (int64_t)v[W].rank;
    *fit = *fit && (given == axis || value_may_be_one(&v[W_SCALE]));
    return NULL;
}

static bool may_be(const struct value *v, int64_t n)
{
    int64_t count = 1;
    for (size_t i = 0; i < v->rank; i++) {
        if (v->dims[i] < 0)
            return true;
        count *= v->dims[i];
    }
    return count == 1 || n < 0 || count == n;
}

bool product_counts_fit(const struct group *g, int64_t n)
{
    const struct value *v = g->values;
    return may_be(&v[W_SCALE], n) && may_be(&v[W_ZERO], n) && may_be(&v[BIAS], n);
}

bool product_is_constant(const struct step *s, bool a_zero_by_call)
{
    for (size_t i = W; i < SLOTS; i++)
        if (s->in[i].given && !s->in[i].constant)
            return false;
    return (!s->in[X_SCALE].given || s->in[X_SCALE].constant) &&
           (a_zero_by_call || !s->in[X_ZERO].given || s->in[X_ZERO].constant);
}

/* ---- parameters -------------------------------------------------------------------------------- */

static float float_at(const struct tensor *t, size_t i)
{
    return ((const float *)t->data)[t->count == 1 ? 0 : i];
}

static OrtStatus *check_count(const struct step *s, const char *name, const struct tensor *t,
                              size_t n)
{
    if (!t->type || t->count == 1 || t->count == n)
        return NULL;
    return fail(s->provider->ort, "%s %s: expected 1 or %zu values, got %zu", s->op->name, name, n,
                t->count);
}

/* The factor from sum to output, by the runtime's own steps and so with its roundings. One that makes nothing of any
 * sum (of channels whose weights are all but 0) is 0: the library takes no subnormal ones. */
static float factor(const struct product *p, const struct tensor *in, size_t i)
{
    float scale = p->alpha * float_at(&in[X_SCALE], 0);
    scale *= float_at(&in[W_SCALE], i);
    if (!in[Y_SCALE].type)
        return scale;
    scale /= float_at(&in[Y_SCALE], 0);
    return fabsf(scale) < 0x1p-40f ? 0 : scale;
}

static OrtStatus *make_parameters(const struct product *p, const struct step *s,
                                  const struct tensor *in, size_t n, struct parameters *out)
{
    const size_t scales = in[X_SCALE].type ? in[W_SCALE].count : 0;
    const size_t zeros = in[W_ZERO].type ? in[W_ZERO].count : 0;
    memset(out, 0, sizeof(*out));
    TRY(check_count(s, "scale of the weights", &in[W_SCALE], n));
    TRY(check_count(s, "zero point of the weights", &in[W_ZERO], n));
    TRY(check_count(s, "bias", &in[BIAS], n));
    TRY(check_count(s, "scale of the input", &in[X_SCALE], 1));
    TRY(check_count(s, "scale of the output", &in[Y_SCALE], 1));
    TRY(check_count(s, "zero point of the output", &in[Y_ZERO], 1));
    out->scale = calloc(scales + zeros + n, sizeof(int32_t));
    if (!out->scale)
        return fail(s->provider->ort, "no memory for the parameters of %zu columns", n);
    out->n = n;
    out->scale_count = scales;
    out->b_zero_count = zeros;
    out->b_zero = (int32_t *)(void *)(out->scale + scales);
    for (size_t i = 0; i < scales; i++)
        out->scale[i] = factor(p, in, i);
    for (size_t i = 0; i < zeros; i++)
        out->b_zero[i] = tensor_int(&in[W_ZERO], i);
    if (in[BIAS].type) {
        out->bias = out->b_zero + zeros;
        for (size_t i = 0; i < n; i++)
            out->bias[i] = tensor_int(&in[BIAS], in[BIAS].count == 1 ? 0 : i);
    }
    out->out_zero = in[Y_ZERO].type ? tensor_int(&in[Y_ZERO], 0) : 0;
    return NULL;
}

static bool same_parameters(const struct parameters *a, const struct parameters *b)
{
    return a->a_zero == b->a_zero && a->out_zero == b->out_zero && a->n == b->n &&
           a->scale_count == b->scale_count && a->b_zero_count == b->b_zero_count &&
           !a->bias == !b->bias &&
           memcmp(a->scale, b->scale,
                  (a->scale_count + a->b_zero_count + (a->bias ? a->n : 0)) * 4) == 0;
}

size_t product_units(const struct step *s, size_t most, size_t x, size_t outputs)
{
    const size_t out_bytes = outputs * type_bytes(s->out_type);
    const size_t largest = x > out_bytes ? x : out_bytes;
    const size_t fit = largest ? s->provider->most_bytes / largest : most;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

/* ---- the op ------------------------------------------------------------------------------------ */

void product_start(struct product *p)
{
    pthread_mutex_init(&p->lock, NULL);
    p->alpha = 1.0f;
}

void product_release(struct product *p)
{
    qdot_op_destroy(p->op);
    free(p->parameters.scale);
    free(p->bias_f);
    pthread_mutex_destroy(&p->lock);
}

void product_set_types(struct qdot_op_desc *shape, const struct step *s, const struct tensor *in)
{
    shape->size = sizeof(*shape);
    shape->a_type = type_for_qdot(in[X].type);
    shape->b_type = type_for_qdot(in[W].type);
    shape->out_type = type_for_qdot(s->out_type);
}

static OrtStatus *create_op(struct product *p, const struct step *s, const void *weights)
{
    const struct parameters *q = &p->parameters;
    struct qdot_error err = {0};
    struct qdot_op_desc desc = p->shape;
    desc.b = s->packed ? NULL : weights;
    desc.packed = s->packed;
    desc.packed_bytes = s->packed_bytes;
    desc.packed_keep = s->packed != NULL;
    desc.a_zero = q->a_zero;
    desc.b_zero = q->b_zero_count ? q->b_zero : NULL;
    desc.b_zero_count = q->b_zero_count;
    desc.bias = q->bias;
    desc.scale = q->scale_count ? q->scale : NULL;
    desc.scale_count = q->scale_count;
    desc.out_zero = q->out_zero;
    desc.bias_f = p->bias_f;
    desc.workspace_at_run = 1;
    if (qdot_op_create(s->provider->device, &desc, &p->op, &err))
        return fail(s->provider->ort, "%s: %s", s->op->name, err.text);
    return NULL;
}

bool product_is(const struct op *op)
{
    return op->kind == &matrix_kind || op->kind == &conv_kind || op->kind == &conv_integer_kind;
}

struct qdot_op *product_op(const struct step *s)
{
    return ((const struct product *)s->impl)->op;
}

OrtStatus *product_workspace(const struct product *p, struct call *c, struct qdot_run *run)
{
    run->workspace_bytes = qdot_op_workspace_bytes(p->op);
    return run->workspace_bytes ? call_scratch(c, run->workspace_bytes, &run->workspace) : NULL;
}

OrtStatus *product_make(struct product *p, const struct step *s, const struct tensor *in,
                        const struct qdot_op_desc *shape, size_t n, const void *weights, bool anew)
{
    struct parameters made;
    TRY(make_parameters(p, s, in, n, &made));
    /* By row, the zero points of A come with each run. */
    if (in[X_ZERO].type && !shape->a_zero_per_row) {
        if (in[X_ZERO].count != 1) {
            free(made.scale);
            return fail(s->provider->ort, "%s zero point of the input: expected 1, got %zu",
                        s->op->name, in[X_ZERO].count);
        }
        made.a_zero = tensor_int(&in[X_ZERO], 0);
    }
    if (p->op && !anew && same_parameters(&made, &p->parameters) &&
        memcmp(shape, &p->shape, sizeof(*shape)) == 0) {
        free(made.scale);
        return NULL;
    }
    qdot_op_destroy(p->op);
    p->op = NULL;
    free(p->parameters.scale);
    p->parameters = made;
    p->shape = *shape;
    return create_op(p, s, weights);
}
