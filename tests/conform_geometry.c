/* Geometries of convolutions: at random, and at their limits. */
#include "conform_make.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

struct qdot_conv geometry_single(enum qdot_layout layout)
{
    return (struct qdot_conv){.batch = 1,
                              .height = 1,
                              .width = 1,
                              .channels = 1,
                              .out_channels = 1,
                              .kernel_h = 1,
                              .kernel_w = 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .groups = 1,
                              .layout = layout};
}

void geometry_channels(struct qdot_conv *v, size_t groups, size_t cg, size_t og)
{
    v->groups = groups;
    v->channels = groups * cg;
    v->out_channels = groups * og;
}

/* About the tile of the row, which may want one input channel a group. */
static void any_channels(const struct geometry *g, struct random *r, struct qdot_conv *v)
{
    size_t columns = random_between(r, 1, 2 * g->nr + 3);
    if (g->depthwise) {
        size_t og = PICK(r, 1, 1, 1, 1, 1, 2, 3, 4);
        geometry_channels(v, larger(columns / og, 1), 1, og);
        if (random_below(r, 8) == 0)
            geometry_channels(v, 1, 1, columns);
    } else if (random_below(r, 8) == 0) {
        geometry_channels(v, random_between(r, 1, 24), 1, PICK(r, 1, 1, 2, 3));
    } else {
        size_t cg = PICK(r, 1, 2, 3, 4, 5, 8, 16, g->kr, g->kr + 1, random_between(r, 1, 40),
                         random_between(r, 1, 140));
        geometry_channels(v, PICK(r, 1, 1, 1, 1, 1, 2, 3), cg,
                          PICK(r, columns, columns, g->nr, g->nr + 1, 1, 2, 5));
    }
}

void geometry_square(struct qdot_conv *v, size_t kernel, size_t stride, size_t pad)
{
    v->kernel_h = v->kernel_w = kernel;
    v->stride_h = v->stride_w = stride;
    v->pad_top = v->pad_left = v->pad_bottom = v->pad_right = pad;
}

/* One axis; called for both. */
static void any_axis(struct random *r, size_t *size, size_t *kernel, size_t *stride,
                     size_t *dilation, size_t *before, size_t *after, size_t *output_pad)
{
    *size = random_below(r, 6) ? random_between(r, 1, 14) : random_between(r, 15, 70);
    *kernel = PICK(r, 1, 1, 2, 3, 3, 3, 4, 5, 7);
    *stride = PICK(r, 1, 1, 1, 2, 2, 3, 5);
    *dilation = PICK(r, 1, 1, 1, 1, 2, 3);
    size_t span = (*kernel - 1) * *dilation + 1;
    *before = PICK(r, 0, 0, 1, random_below(r, span + 1));
    *after = PICK(r, 0, *before, *before, random_below(r, span + 1));
    if (random_below(r, 3) == 0)
        *output_pad = random_below(r, larger(*stride, *dilation));
}

/* An input that has an output: one too small grows. */
static void make_valid(struct qdot_conv *v)
{
    if (!v->transposed)
        v->output_pad_h = v->output_pad_w = 0;
    for (;;) {
        size_t height, width;
        ref_conv_output(v, &height, &width);
        if (height && width)
            return;
        v->height += height == 0;
        v->width += width == 0;
    }
}

static size_t products(const struct qdot_conv *v)
{
    size_t height, width;
    ref_conv_output(v, &height, &width);
    return v->batch * height * width * v->out_channels * v->kernel_h * v->kernel_w *
           (v->channels / v->groups);
}

void geometry_fit(const struct geometry *g, struct qdot_conv *v)
{
    size_t limit = g->small ? 6000 : 600000;
    make_valid(v);
    for (size_t round = 0; round < 64 && products(v) > limit; round++) {
        size_t cg = v->channels / v->groups, og = v->out_channels / v->groups, groups = v->groups;
        v->batch = (v->batch + 1) / 2;
        if (v->height >= v->width)
            v->height = (v->height + 1) / 2;
        else
            v->width = (v->width + 1) / 2;
        if (round % 4 == 3)
            geometry_channels(v, (groups + 1) / 2, (cg + 1) / 2, (og + 1) / 2);
        make_valid(v);
    }
}

void geometry_any(const struct geometry *g, struct random *r, struct qdot_conv *v)
{
    *v = geometry_single(random_below(r, 3) ? QDOT_NHWC : QDOT_NCHW);
    v->batch = PICK(r, 1, 1, 2, 3);
    any_channels(g, r, v);
    any_axis(r, &v->height, &v->kernel_h, &v->stride_h, &v->dilation_h, &v->pad_top, &v->pad_bottom,
             &v->output_pad_h);
    any_axis(r, &v->width, &v->kernel_w, &v->stride_w, &v->dilation_w, &v->pad_left, &v->pad_right,
             &v->output_pad_w);
    switch (random_below(r, 8)) {
    case 0: /* what most networks have */
    case 1: {
        size_t kernel = PICK(r, 1, 3, 3, 5, 7);
        geometry_square(v, kernel, PICK(r, 1, 1, 2), kernel / 2);
        v->dilation_h = v->dilation_w = 1;
        if (!g->depthwise && random_below(r, 2))
            geometry_channels(v, 1, 4 * random_between(r, 1, 16), v->out_channels);
        break;
    }
    case 2:
        geometry_square(v, 1, 1, 0);
        break;
    case 3: /* no padding, whole words of channels: what a row may read where it lies */
        geometry_square(v, random_between(r, 2, 3), PICK(r, 1, 1, 2), 0);
        v->dilation_h = v->dilation_w = 1;
        if (!g->depthwise)
            geometry_channels(v, 1, 4 * random_between(r, 1, 16), v->out_channels);
        break;
    case 4: /* 1-D */
        v->height = v->kernel_h = v->stride_h = v->dilation_h = 1;
        v->pad_top = v->pad_bottom = v->output_pad_h = 0;
        break;
    default:
        break;
    }
    v->transposed = random_below(r, 4) == 0;
    if (v->output_pad_h >= larger(v->stride_h, v->dilation_h))
        v->output_pad_h = 0;
    if (v->output_pad_w >= larger(v->stride_w, v->dilation_w))
        v->output_pad_w = 0;
    geometry_fit(g, v);
}

void geometry_few(const struct geometry *g, struct random *r, struct qdot_conv *v)
{
    size_t og = random_between(r, 1, g->nr + 1);
    *v = geometry_single(random_below(r, 2) ? QDOT_NHWC : QDOT_NCHW);
    v->height = random_between(r, 1, 5);
    v->width = random_between(r, 1, 9);
    if (random_below(r, 2) || g->depthwise) {
        v->kernel_w = random_between(r, 1, 5);
        v->pad_left = v->pad_right = v->kernel_w / 2;
        geometry_channels(v, g->depthwise ? og : 1, 1, g->depthwise ? 1 : og);
    } else {
        geometry_channels(v, random_between(r, 1, 2), random_between(r, 1, 5), og);
    }
    geometry_fit(g, v);
}

void geometry_limit(const struct geometry *g, struct random *r, size_t kind, size_t i,
                    struct qdot_conv *v)
{
    *v = geometry_single(i % 3 == 2 ? QDOT_NCHW : QDOT_NHWC);
    any_channels(g, r, v);
    geometry_square(v, 1 + i % 4, 1 + i / 4 % 2, 0);
    v->height = 5;
    v->width = random_between(r, 4, 2 * g->mr + 3);
    size_t pad = 1 + i % 3, columns = make_edge(g->nr, i % EDGES);
    switch (kind) {
    case 0: /* one output pixel */
        v->dilation_h = 1 + i % 2;
        v->height = (v->kernel_h - 1) * v->dilation_h + 1;
        v->width = v->kernel_w;
        break;
    case 1: /* a kernel larger than the input */
        geometry_square(v, 5, 1, 3);
        v->height = 1 + i % 3;
        v->width = 1 + i / 3 % 4;
        break;
    case 2: /* padding on one side only */
        v->pad_top = pad;
        break;
    case 3:
        v->pad_left = pad;
        break;
    case 4:
        v->pad_bottom = pad;
        break;
    case 5:
        v->pad_right = pad;
        break;
    case 6: /* a stride larger than the kernel, input left over */
        geometry_square(v, 1 + i % 2, 3 + i % 3, i / 6);
        v->width = 17 + i;
        break;
    case 7: /* taps that meet nothing but padding */
        geometry_square(v, 3, 1, 6);
        v->dilation_h = v->dilation_w = 6;
        v->height = v->width = 1 + i % 5;
        break;
    case 8: /* outputs that meet nothing but padding */
        geometry_square(v, 2 + i % 2, 1 + i % 3, 2 * (2 + i % 2));
        v->height = v->width = 1 + i % 4;
        break;
    case 9: /* groups of one channel */
        geometry_channels(v, columns, 1, 1);
        geometry_square(v, 3, 1 + i % 2, 1);
        break;
    case 10: /* depthwise with a multiplier */
        geometry_channels(v, larger(columns / 2, 1), 1, 2 + i % 3);
        geometry_square(v, 3, 1 + i % 2, 1);
        break;
    case 11: /* few channels, as a first layer has */
        geometry_channels(v, g->depthwise ? 1 + i % 5 : 1, g->depthwise ? 1 : 1 + i % 5, columns);
        geometry_square(v, i % 2 ? 3 : 7, 2, i % 2 ? 1 : 3);
        v->height = 7;
        break;
    case 12: /* output channels of each group at the tile's edges */
        geometry_channels(v, 1 + i % 3, g->depthwise ? 1 : g->kr + i % 2, columns);
        break;
    case 13: /* 1-D, along either axis */
        *(i % 2 ? &v->height : &v->width) = 1;
        *(i % 2 ? &v->kernel_h : &v->kernel_w) = 1;
        *(i % 2 ? &v->pad_left : &v->pad_top) = pad;
        break;
    case 14: /* rows of the output at the tile's edges */
        geometry_square(v, i % 2 ? 3 : 1, 1, i % 2);
        v->width = make_edge(g->mr, i % EDGES);
        v->batch = 1 + i / 6;
        break;
    case 15: /* images of few pixels */
        geometry_square(v, 1 + i % 3, 1, i % 3);
        v->batch = 5;
        v->height = 1 + i % 2;
        v->width = 1 + i / 2 % 2;
        break;
    case 16: /* 1x1 with strides, with padding */
        geometry_square(v, 1, 1 + i % 3, i % 2);
        v->batch = 2;
        break;
    case 17: /* strides and dilations that differ */
        v->kernel_h = 2;
        v->kernel_w = 3;
        v->stride_h = 1 + i % 3;
        v->stride_w = 1 + (i + 1) % 3;
        v->dilation_h = 1 + i / 3 % 2;
        v->dilation_w = 1 + i / 6;
        v->width = 15;
        break;
    case 18: /* the kernel is the whole input */
        v->kernel_h = v->height = 1 + i % 5;
        v->kernel_w = v->width = 1 + i / 2;
        v->batch = 3;
        break;
    case GEOMETRY_WORDS: /* whole words of channels, lines enough: taps in the padding are left out */
        geometry_square(v, i % 2 ? 3 : 5, 1 + i / 2 % 2, i % 2 ? 1 : 2);
        v->height = 9;
        if (i >= 8) { /* two whole tiles of rows along the border, and a panel */
            geometry_square(v, 3, 1, 1);
            v->height = 2 * g->mr + 2;
            v->width = 4;
            columns = g->nr + i % 2;
        }
        *(i / 4 == 0 ? &v->pad_left : &v->pad_right) = i % 2;
        if (!g->depthwise)
            geometry_channels(v, 1, 4 * (1 + i % 4), columns);
        break;
    case 20: /* transposed from here on: the usual doubling */
        geometry_square(v, 2 + i % 3, 2, (1 + i % 3) / 2);
        v->output_pad_h = v->output_pad_w = i % 3 == 1;
        break;
    case 21: /* output padding by the dilation, on one axis */
        geometry_square(v, 2 + i % 2, 1 + i % 2, 0);
        v->dilation_h = v->dilation_w = 3;
        *(i % 2 ? &v->output_pad_h : &v->output_pad_w) = 1 + i % 2;
        break;
    case 22: /* padding larger than the kernel, so that input is left out */
        geometry_square(v, 1 + i % 3, 1 + i % 2, 3);
        v->height = 9;
        v->width = 9 + i;
        break;
    case 23: /* strides larger than the kernel: outputs that nothing is added to */
        geometry_square(v, 1 + i % 2, 3 + i % 2, 0);
        v->output_pad_h = i % 3;
        break;
    case 24: /* padding on one side only */
        geometry_square(v, 3, 2, 0);
        *(i % 4 == 0   ? &v->pad_top
          : i % 4 == 1 ? &v->pad_left
          : i % 4 == 2 ? &v->pad_bottom
                       : &v->pad_right) = 1 + i / 4;
        break;
    default: /* strides and dilations that differ */
        v->kernel_h = 3;
        v->kernel_w = 2;
        v->stride_h = 1 + i % 3;
        v->stride_w = 1 + (i + 1) % 3;
        v->dilation_h = 1 + i / 3 % 2;
        v->dilation_w = 1 + i / 6;
        v->pad_top = v->pad_right = 1;
    }
    v->transposed = kind >= 20;
    geometry_fit(g, v);
}
