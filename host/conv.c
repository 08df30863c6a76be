/*
 * The geometry of a convolution: checked, its defaults filled in, and the two special cases that
 * nobody after this file sees: weights in other orders than OHWI, and transposed convolution, which
 * becomes a convolution of stride 1 over an input with gaps, with its taps in reverse.
 */
#include <string.h>
#include "internal.h"

#define DIMENSION_MAX ((size_t)INT32_MAX)

static size_t or_one(size_t value)
{
    return value ? value : 1;
}

/* Outputs along one axis; 0 when there is none. Every argument is at most DIMENSION_MAX, so that
 * nothing here overflows 64 bits. */
static uint64_t outputs(uint64_t size, uint64_t kernel, uint64_t stride, uint64_t dilation,
                        uint64_t before, uint64_t after, bool transposed, uint64_t output_pad)
{
    const uint64_t span = (kernel - 1) * dilation + 1;
    if (transposed) {
        const uint64_t full = (size - 1) * stride + span + output_pad;
        return full > before + after ? full - before - after : 0;
    }
    const uint64_t padded = size + before + after;
    return padded >= span ? (padded - span) / stride + 1 : 0;
}

int qdot_check_conv(const struct qdot_conv *c, struct qdot_geometry *g, struct qdot_error *err)
{
    const struct {
        const char *name;
        size_t value, least;
    } fields[] = {
        {"batch", c->batch, 0},           {"height", c->height, 1},
        {"width", c->width, 1},           {"channels", c->channels, 1},
        {"kernel_h", c->kernel_h, 1},     {"kernel_w", c->kernel_w, 1},
        {"stride_h", c->stride_h, 0},     {"stride_w", c->stride_w, 0},
        {"dilation_h", c->dilation_h, 0}, {"dilation_w", c->dilation_w, 0},
        {"pad_top", c->pad_top, 0},       {"pad_left", c->pad_left, 0},
        {"pad_bottom", c->pad_bottom, 0}, {"pad_right", c->pad_right, 0},
        {"groups", c->groups, 0},         {"out_channels", c->out_channels, 1},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].value < fields[i].least || fields[i].value > DIMENSION_MAX)
            return qdot_fail(err, QDOT_INVALID, "conv.%s: expected %zu to %zu, got %zu",
                             fields[i].name, fields[i].least, DIMENSION_MAX, fields[i].value);
    *g = (struct qdot_geometry){
        .batch = or_one(c->batch),
        .h = c->height,
        .w = c->width,
        .c = c->channels,
        .o = c->out_channels,
        .kh = c->kernel_h,
        .kw = c->kernel_w,
        .stride_h = or_one(c->stride_h),
        .stride_w = or_one(c->stride_w),
        .dilation_h = or_one(c->dilation_h),
        .dilation_w = or_one(c->dilation_w),
        .insert_h = 1,
        .insert_w = 1,
        .pad_top = (ptrdiff_t)c->pad_top,
        .pad_left = (ptrdiff_t)c->pad_left,
        .groups = or_one(c->groups),
        .nchw = c->layout == QDOT_NCHW,
        .transposed = c->transposed != 0,
    };
    if (c->layout != QDOT_NHWC && c->layout != QDOT_NCHW)
        return qdot_fail(err, QDOT_INVALID, "conv.layout: expected QDOT_NHWC or QDOT_NCHW, got %d",
                         (int)c->layout);
    if (g->c % g->groups || g->o % g->groups)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.groups: expected a divisor of channels = %zu and out_channels = "
                         "%zu, got %zu",
                         g->c, g->o, g->groups);
    if (!g->transposed && (c->output_pad_h || c->output_pad_w))
        return qdot_fail(
            err, QDOT_INVALID, "conv.output_pad_%c: expected 0 when not transposed, got %zu",
            c->output_pad_h ? 'h' : 'w', c->output_pad_h ? c->output_pad_h : c->output_pad_w);
    if (c->output_pad_h && c->output_pad_h >= g->stride_h && c->output_pad_h >= g->dilation_h)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.output_pad_h: expected less than the stride or the dilation, got "
                         "%zu",
                         c->output_pad_h);
    if (c->output_pad_w && c->output_pad_w >= g->stride_w && c->output_pad_w >= g->dilation_w)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.output_pad_w: expected less than the stride or the dilation, got "
                         "%zu",
                         c->output_pad_w);
    const uint64_t oh = outputs(g->h, g->kh, g->stride_h, g->dilation_h, c->pad_top, c->pad_bottom,
                                g->transposed, c->output_pad_h);
    const uint64_t ow = outputs(g->w, g->kw, g->stride_w, g->dilation_w, c->pad_left, c->pad_right,
                                g->transposed, c->output_pad_w);
    if (oh == 0 || ow == 0)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.%s: the output is empty: a kernel of %zu, dilated by %zu, on %zu "
                         "with padding %zu and %zu",
                         oh == 0 ? "height" : "width", oh == 0 ? g->kh : g->kw,
                         oh == 0 ? g->dilation_h : g->dilation_w, oh == 0 ? g->h : g->w,
                         oh == 0 ? c->pad_top : c->pad_left,
                         oh == 0 ? c->pad_bottom : c->pad_right);
    g->oh = (size_t)oh;
    g->ow = (size_t)ow;
    g->cg = g->c / g->groups;
    g->og = g->o / g->groups;
    if (g->transposed) {
        g->insert_h = g->stride_h;
        g->insert_w = g->stride_w;
        g->stride_h = g->stride_w = 1;
        g->pad_top = (ptrdiff_t)((g->kh - 1) * g->dilation_h) - g->pad_top;
        g->pad_left = (ptrdiff_t)((g->kw - 1) * g->dilation_w) - g->pad_left;
    }
    size_t in, out, k;
    if (!qdot_mul_size(g->h, g->w, &in) || !qdot_mul_size(in, g->c, &in) ||
        !qdot_mul_size(in, g->batch, &in))
        return qdot_fail(err, QDOT_INVALID,
                         "conv: an input of %zu x %zu x %zu x %zu elements overflows 63 bits",
                         g->batch, g->h, g->w, g->c);
    if (!qdot_mul_size(g->oh, g->ow, &out) || !qdot_mul_size(out, g->o, &out) ||
        !qdot_mul_size(out, g->batch, &out) || !qdot_mul_size(out, 4, &out))
        return qdot_fail(err, QDOT_INVALID,
                         "conv: an output of %zu x %zu x %zu x %zu elements of 4 bytes overflows "
                         "63 bits",
                         g->batch, g->oh, g->ow, g->o);
    if (!qdot_mul_size(g->kh, g->kw, &k) || !qdot_mul_size(k, g->cg, &k) ||
        !qdot_mul_size(k, g->o, &k))
        return qdot_fail(err, QDOT_INVALID,
                         "conv: weights of %zu x %zu x %zu x %zu elements overflow 63 bits", g->o,
                         g->kh, g->kw, g->cg);
    return QDOT_OK;
}

int qdot_conv_output(const struct qdot_conv *conv, size_t *height, size_t *width,
                     struct qdot_error *err)
{
    struct qdot_geometry g;
    if (!conv || !height || !width)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         !conv     ? "conv"
                         : !height ? "height"
                                   : "width");
    const int status = qdot_check_conv(conv, &g, err);
    if (status != QDOT_OK)
        return status;
    *height = g.oh;
    *width = g.ow;
    return QDOT_OK;
}

bool qdot_weights_in_order(const struct qdot_geometry *g)
{
    return !g->transposed && (!g->nchw || (g->kh == 1 && g->kw == 1));
}

void qdot_order_weights(const struct qdot_geometry *g, const uint8_t *weights, uint8_t *ordered)
{
    const size_t taps = g->kh * g->kw;
    for (size_t o = 0; o < g->o; o++) {
        for (size_t tap = 0; tap < taps; tap++) {
            const size_t from = g->transposed ? taps - 1 - tap : tap;
            for (size_t c = 0; c < g->cg; c++) {
                size_t at = (o * taps + from) * g->cg + c; /* OHWI */
                if (g->nchw && g->transposed)              /* [channels, og, kh, kw] */
                    at = ((o / g->og * g->cg + c) * g->og + o % g->og) * taps + from;
                else if (g->nchw)
                    at = (o * g->cg + c) * taps + from;
                ordered[(o * taps + tap) * g->cg + c] = weights[at];
            }
        }
    }
}
