/* Convolutions: ConvInteger, QLinearConv, and Conv of quantised operands; one or two dimensions. */
#include <stdlib.h>
#include <string.h>
#include "product.h"
#include "window.h"

/* Images of a run where the batch is not known beforehand; more are several runs. */
#define IMAGES 4096

struct conv {
    struct product product; /* first: product_op */
    struct window window;
    int64_t group;
    size_t images; /* of one run at most */
};

/* ---- what is claimed --------------------------------------------------------------------------- */

static OrtStatus *read_attributes(const struct group *g, struct conv *p, bool *fit)
{
    p->group = 1;
    TRY(window_read(g, g->values[W].rank - 2, &p->window, fit));
    TRY(group_int(g, "group", &p->group));
    *fit = *fit && p->group > 0;
    return NULL;
}

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    struct conv p;
    *yes = (v[W].rank == 3 || v[W].rank == 4) && (v[X].rank == 0 || v[X].rank == v[W].rank) &&
           value_may_be_one(&v[X_ZERO]);
    if (*yes)
        TRY(product_types_fit(g, 0, yes));
    if (*yes)
        TRY(read_attributes(g, &p, yes));
    const bool out_fits =
        is_int8(g->out.type) || g->out.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    *yes = *yes && out_fits && product_counts_fit(g, v[W].dims[0]);
    return NULL;
}

/* ---- geometry ---------------------------------------------------------------------------------- */

/* out: rows and columns of the output */
static OrtStatus *geometry(const struct step *s, const struct tensor *x, const struct tensor *w,
                           struct qdot_conv *g, size_t out[2])
{
    const struct conv *p = s->impl;
    const struct window *v = &p->window;
    const size_t first = 2 - v->dimensions; /* a line is a picture of one row */
    int64_t in[4] = {1, 1, 1, 1}, kernel[4] = {1, 1, 1, 1};
    if (x->rank != w->rank || w->rank != v->dimensions + 2)
        return fail(s->provider->ort, "%s: expected X and W of rank %zu, got %zu and %zu",
                    s->op->name, v->dimensions + 2, x->rank, w->rank);
    for (size_t i = 0; i < x->rank; i++) {
        const size_t to = i < 2 ? i : i + first;
        in[to] = x->dims[!s->channels_last || i == 0 ? i : i == 1 ? x->rank - 1 : i - 1];
        kernel[to] = w->dims[i];
    }
    if (in[1] != kernel[1] * p->group)
        return fail(s->provider->ort, "%s: expected %lld channels, got %lld", s->op->name,
                    (long long)(kernel[1] * p->group), (long long)in[1]);
    memset(g, 0, sizeof(*g));
    g->layout = s->channels_last ? QDOT_NHWC : QDOT_NCHW;
    g->channels = (size_t)in[1];
    g->height = (size_t)in[2];
    g->width = (size_t)in[3];
    g->out_channels = (size_t)kernel[0];
    g->kernel_h = (size_t)kernel[2];
    g->kernel_w = (size_t)kernel[3];
    g->stride_h = (size_t)v->strides[0];
    g->stride_w = (size_t)v->strides[1];
    g->dilation_h = (size_t)v->dilations[0];
    g->dilation_w = (size_t)v->dilations[1];
    g->groups = (size_t)p->group;
    window_pads(v, 0, in[2], kernel[2], &g->pad_top, &g->pad_bottom);
    window_pads(v, 1, in[3], kernel[3], &g->pad_left, &g->pad_right);
    struct qdot_error err = {0};
    if (qdot_conv_output(g, &out[0], &out[1], &err))
        return fail_qdot(s->provider->ort, &err);
    g->batch = product_units(s, p->images, g->channels * g->height * g->width,
                             g->out_channels * out[0] * out[1]);
    return NULL;
}

/* ---- the op ------------------------------------------------------------------------------------ */

/* ONNX's weights are [o, c, h, w] whatever the order of X. */
static uint8_t *channels_last(const struct qdot_conv *g, const uint8_t *weights)
{
    const size_t taps = g->kernel_h * g->kernel_w, channels = g->channels / g->groups;
    uint8_t *ordered = malloc(g->out_channels * channels * taps);
    for (size_t o = 0; o < g->out_channels && ordered; o++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t i = 0; i < channels; i++)
                ordered[(o * taps + tap) * channels + i] = weights[(o * channels + i) * taps + tap];
    return ordered;
}

static OrtStatus *make(const struct step *s, const struct tensor *in, bool anew)
{
    struct conv *p = s->impl;
    struct qdot_op_desc shape;
    uint8_t *ordered = NULL;
    memset(&shape, 0, sizeof(shape));
    product_set_types(&shape, s, in);
    shape.kind = QDOT_CONV;
    size_t size[2];
    TRY(geometry(s, &in[X], &in[W], &shape.conv, size));
    const size_t n = shape.conv.out_channels;
    if (s->channels_last && !s->packed && shape.conv.kernel_h * shape.conv.kernel_w > 1) {
        ordered = channels_last(&shape.conv, in[W].data);
        if (!ordered)
            return fail(s->provider->ort, "no memory for the weights of %zu channels", n);
    }
    OrtStatus *const status =
        product_make(&p->product, s, in, &shape, n, ordered ? ordered : in[W].data, anew);
    free(ordered);
    return status;
}

static bool is_known(const struct value *v)
{
    bool known = v->rank > 0;
    for (size_t i = 1; i < v->rank; i++)
        known = known && v->dims[i] > 0;
    return known;
}

static OrtStatus *compile(struct step *s, const struct group *g)
{
    struct conv *p = s->impl = calloc(1, sizeof(*p));
    const struct value *x = &g->values[X];
    bool fit;
    if (!p)
        return fail(g->ort, "no memory for a convolution");
    product_start(&p->product);
    TRY(read_attributes(g, p, &fit));
    p->images = x->rank && x->dims[0] > 0 && x->dims[0] < IMAGES ? (size_t)x->dims[0] : IMAGES;
    p->product.fixed = product_is_constant(s, false) && s->in[W].tensor.count > 0;
    if (!p->product.fixed || !is_known(x))
        return NULL;
    struct tensor in[SLOTS];
    for (size_t i = 0; i < SLOTS; i++)
        in[i] = s->in[i].tensor;
    in[X].type = x->type;
    in[X].rank = x->rank;
    memcpy(in[X].dims, x->dims, sizeof(x->dims));
    s->in[W].given_up = true;
    return make(s, in, true);
}

/* ---- a call ------------------------------------------------------------------------------------ */

static OrtStatus *run_all(struct step *s, struct call *c)
{
    struct conv *p = s->impl;
    struct qdot_conv g;
    struct qdot_error err = {0};
    size_t size[2];
    struct qdot_output out;
    TRY(geometry(s, &c->in[X], &c->in[W], &g, size));
    int64_t dims[4];
    const size_t images = (size_t)c->in[X].dims[0];
    window_shape(&p->window, s->channels_last, images, g.out_channels, size[0], size[1], dims);
    TRY(call_place(c, 0, dims, c->in[X].rank, &out));
    if (images == 0)
        return NULL;
    if (!p->product.fixed || !p->product.op || memcmp(&g, &p->product.shape.conv, sizeof(g)) != 0) {
        if (s->in[W].given_up) /* the shape was known, and the runtime keeps to it */
            return fail(c->ort, "%s: an input of another shape than the model says", s->op->name);
        TRY(call_fetch(s, c, 1u << X)); /* what the op is made of */
        TRY(make(s, c->in, !s->in[W].constant));
    }
    const size_t x_bytes = g.channels * g.height * g.width;
    const size_t out_bytes = g.out_channels * size[0] * size[1] * type_bytes(s->out_type);
    struct qdot_run r = {.size = sizeof(r), .threads_ctx = c};
    TRY(product_workspace(&p->product, c, &r));
    for (size_t i = 0; i < images; i += g.batch) {
        r.m = images - i < g.batch ? images - i : g.batch;
        r.a = input_at(&c->in[X], i * x_bytes);
        r.out = output_at(&out, i * out_bytes);
        if (qdot_op_run(p->product.op, &r, &err))
            return fail_qdot(c->ort, &err);
    }
    return NULL;
}

static OrtStatus *compute(struct step *s, struct call *c)
{
    struct conv *p = s->impl;
    pthread_mutex_lock(&p->product.lock);
    OrtStatus *const status = run_all(s, c);
    pthread_mutex_unlock(&p->product.lock);
    return status;
}

static void release(struct step *s)
{
    struct conv *p = s->impl;
    if (p)
        product_release(&p->product);
    free(p);
}

const struct kind conv_kind = {.claims = claims,
                               .compile = compile,
                               .compute = compute,
                               .release = release,
                               .channels_last = true,
                               .anywhere = true};
/* Its outputs have four bytes: the library writes them in either order for less than a transpose. */
const struct kind conv_integer_kind = {
    .claims = claims, .compile = compile, .compute = compute, .release = release, .anywhere = true};
