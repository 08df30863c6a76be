/* The case groups of convolution rows. */
#include "conform_make.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool conv_edge(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= GEOMETRIES * VARIANTS)
        return false;
    geometry_limit(g, r, index / VARIANTS, index % VARIANTS, &c->conv);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    if (index / VARIANTS == GEOMETRY_WORDS ||
        random_below(r, 2)) { /* as most networks have it: rows have quicker ways then */
        c->b_type = QDOT_S8;
        c->b_zero = ZERO_NONE;
    }
    return true;
}

bool conv_signs(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= SIGNS)
        return false;
    geometry_any(g, r, &c->conv);
    make_signs(r, c, index);
    return true;
}

bool conv_zeros(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const enum zero modes[5] = {ZERO_ONE, ZERO_LOW, ZERO_HIGH, ZERO_NONE, ZERO_EACH};
    if (index >= 4 * 5 * 4 * 2)
        return false;
    geometry_any(g, r, &c->conv);
    c->a_zero = modes[index % 4];
    c->b_zero = modes[index / 4 % 5];
    make_types(c, index / 20 % 4 + 4 * random_below(r, 4));
    make_output(r, c);
    c->bias = index / 80;
    c->a_fill = c->b_fill = random_below(r, 2) ? FILL_MIXED : FILL_EXTREME;
    return true;
}

bool conv_output(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 4 * OUTPUTS * 3)
        return false;
    size_t kind = index / 4 % OUTPUTS;
    if (make_few_products(kind))
        geometry_few(g, r, &c->conv);
    else
        geometry_any(g, r, &c->conv);
    make_rounding(r, c, index & 3, kind);
    return true;
}

bool conv_strides(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 4 * 16)
        return false;
    geometry_any(g, r, &c->conv);
    if (c->conv.layout == QDOT_NCHW) /* in which there are no gaps */
        c->conv.layout = QDOT_NHWC;
    make_types(c, index / 4);
    make_output(r, c);
    c->a_gap = index & 1 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->out_gap = index & 2 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->a_zero = make_zero(r);
    c->b_zero = make_zero(r);
    if (index / 4 % 4 == 0 && !g->depthwise) { /* what a row may read where it lies */
        struct qdot_conv *v = &c->conv;
        geometry_square(v, random_between(r, 2, 3), random_between(r, 1, 2), 0);
        geometry_channels(v, 1, 4 * random_between(r, 1, 9), v->out_channels);
        v->height = random_between(r, 3, 8);
        v->width = random_between(r, 3, 8);
        v->dilation_h = v->dilation_w = 1;
        v->transposed = 0;
        v->output_pad_h = v->output_pad_w = 0;
        c->b_zero = ZERO_NONE;
    }
    c->place = random_below(r, 2) ? PLACE_HOST_END : PLACE_HOST_START;
    return true;
}

/* Long sums: many channels, or, of a depthwise row, which may hold a kernel in little memory, 31x31. */
static void long_geometry(const struct geometry *g, size_t sum, struct qdot_conv *v)
{
    if (g->depthwise) {
        geometry_channels(v, 2, 1, 1);
        v->kernel_h = v->kernel_w = 1 + sum % 31;
    } else {
        v->kernel_h = v->kernel_w = sum % 9 ? 1 : 3;
        geometry_channels(v, 1, sum / (v->kernel_h * v->kernel_w), 1 + smaller(g->nr, 2));
    }
    v->height = v->kernel_h;
    v->width = v->kernel_w + 1;
}

/* Accumulators past 2^24, where (float)acc itself rounds, and past 2^32, where they wrap: the bias
 * sees to that where the sum is not long enough. */
bool conv_large(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 32)
        return false;
    bool wrapping = index % 5 == 0;
    size_t sum = random_between(r, 2000, 5000);
    sum = index % 5 == 1 ? sum / 9 * 9 : sum;
    sum = wrapping ? 70000 + index : sum;                      /* 70020 is 9 * 7780 */
    sum = index == 8 ? 9 * 27000 : index == 28 ? 200000 : sum; /* shaders end loops at 65,535 */
    if (g->depthwise)
        sum = index % 2 ? 30 : sum; /* every other 31x31 */
    if (g->small)
        sum = g->depthwise ? 6 : 603;
    c->conv = geometry_single(index % 3 == 2 ? QDOT_NCHW : QDOT_NHWC);
    long_geometry(g, sum, &c->conv);
    make_types(c, index / 2);
    c->a_fill = c->b_fill = wrapping ? FILL_CONSTANT : FILL_ANY;
    c->a_byte = c->a_type == QDOT_U8 ? 0xff : 0x80;
    c->b_byte = c->b_type == QDOT_U8 ? 0xff : 0x80;
    c->bias = c->wide_bias = true;
    c->a_zero = wrapping ? (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH) : make_zero(r);
    c->b_zero = wrapping ? (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH) : make_zero(r);
    make_output(r, c);
    return true;
}

bool conv_runs(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 24)
        return false;
    geometry_any(g, r, &c->conv);
    c->conv.batch = random_between(r, 2, 5);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    c->runs = RUNS_MAX;
    return true;
}

bool conv_buffers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 48)
        return false;
    geometry_any(g, r, &c->conv);
    make_types(c, index % 16);
    make_rest(r, c);
    c->place = index / 16 % 2 ? PLACE_SHARED : PLACE_BUFFERS;
    c->runs = random_between(r, 1, RUNS_MAX);
    return true;
}

bool conv_chain(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 12)
        return false;
    geometry_any(g, r, &c->conv);
    make_types(c, (index & 3) + 8 + 4 * (index / 4 % 2));
    make_rest(r, c);
    c->scale = SCALE_ONE;
    c->clamp_lo = c->clamp_hi = 0;
    c->a_gap = c->out_gap = 0;
    c->place = PLACE_BUFFERS;
    c->chain = true;
    c->runs = 2;
    return true;
}

/* Nothing is read or written outside any operand, all kinds of operands present. */
static void memory_case(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    geometry_limit(g, r, index % GEOMETRIES, index / GEOMETRIES * 5 + index % 5, &c->conv);
    make_types(c, index % 16);
    make_rest(r, c);
    c->b_zero = index % 2 ? ZERO_EACH : ZERO_ONE;
    c->bias = true;
    if (c->out_type == QDOT_F32)
        c->bias_f = FLOATS_ANY;
    if (c->out_type != QDOT_S32)
        c->scale = SCALE_EACH;
    c->a_gap = index % 7 == 6 ? 5 : 0;
    c->out_gap = index % 7 == 5 ? 5 : 0;
}

bool conv_memory(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 2 * GEOMETRIES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

bool conv_wrapped(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 2 * GEOMETRIES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = 1 + index % 3 / 2;
    return true;
}

/* Everything at random, to reach the combinations that nobody thought of. */
bool conv_random(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 20000)
        return false;
    geometry_any(g, r, &c->conv);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, true);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_below(r, 4) ? 1 : 2;
    c->wide_bias = random_below(r, 4) == 0;
    c->packed = random_below(r, 8) == 0;
    return true;
}

bool conv_packed(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 16)
        return false;
    geometry_any(g, r, &c->conv);
    make_types(c, index);
    make_rest(r, c);
    c->packed = true;
    return true;
}

/* Millions of products each: work enough that all threads take part. Height, width, groups,
 * channels and output channels of a group, kernel, stride, batch, NCHW? */
bool conv_threads(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    enum { THREADS = 3, SHAPES = 6 };
    static const size_t threads[THREADS] = {1, 2, 5};
    static const size_t all[SHAPES][9] = {
        {40, 41, 1, 64, 96, 1, 1, 1, 0}, {28, 29, 1, 33, 41, 3, 1, 1, 0},
        {56, 57, 7, 5, 9, 3, 1, 1, 0},   {41, 43, 1, 64, 40, 3, 2, 1, 1},
        {1, 997, 1, 64, 48, 3, 1, 1, 0}, {14, 14, 1, 16, 64, 3, 1, 6, 0},
    };
    static const size_t depthwise[SHAPES][9] = {
        {56, 57, 161, 1, 1, 3, 1, 1, 0},  {57, 59, 320, 1, 1, 3, 2, 1, 0},
        {9, 11, 960, 1, 1, 3, 1, 9, 0},   {56, 57, 160, 1, 1, 3, 1, 1, 1},
        {1, 4097, 200, 1, 1, 3, 1, 1, 0}, {31, 37, 70, 1, 4, 5, 1, 1, 0},
    };
    if (index >= THREADS * SHAPES)
        return false;
    size_t shape = index / THREADS;
    const size_t *s = g->depthwise ? depthwise[shape] : all[shape];
    struct qdot_conv *v = &c->conv;
    *v = geometry_single(s[8] ? QDOT_NCHW : QDOT_NHWC);
    geometry_channels(v, s[2], s[3], s[4]);
    geometry_square(v, s[5], s[6], s[5] / 2);
    v->height = s[0];
    v->width = s[1];
    v->batch = s[7];
    if (s[0] == 1) {
        v->kernel_h = 1;
        v->pad_top = v->pad_bottom = 0;
    }
    if (g->small)
        geometry_fit(g, v);
    make_types(c, shape * 5 + index % THREADS);
    make_rest(r, c);
    make_any_rounding(r, c, false);
    c->threads = threads[index % THREADS];
    c->runs = 2;
    return true;
}

/* A window that with all its lines and channels is larger than local memory: taps far apart, most of
 * them in the padding. */
static void sparse_geometry(const struct geometry *g, size_t index, struct random *r,
                            struct qdot_conv *v)
{
    *v = geometry_single(index % 3 == 1 ? QDOT_NCHW : QDOT_NHWC);
    const size_t groups = index % 2 + 1;
    geometry_channels(v, g->depthwise ? 70 : groups,
                      g->depthwise ? 1 : random_between(r, 3500, 4500) / groups,
                      g->depthwise ? 1 : random_between(r, 1, 9));
    v->kernel_h = v->kernel_w = 3;
    v->dilation_h = random_between(r, 48, 60);
    v->pad_top = v->pad_bottom = v->dilation_h - random_below(r, 3);
    v->pad_left = v->pad_right = 1;
    v->height = random_between(r, 5, 8);
    v->width = random_between(r, 1, 3);
    v->transposed = index == 5;
    v->stride_h = index == 5 ? 3 : 1;
}

/* Each dimension in turn past what a kernel is likely to block by. */
bool conv_blocks(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (g->small || index >= 18)
        return false;
    struct qdot_conv *v = &c->conv;
    if (index >= 12) {
        sparse_geometry(g, index - 12, r, v);
        make_types(c, random_below(r, 16));
        make_rest(r, c);
        make_any_rounding(r, c, true);
        return true;
    }
    *v = geometry_single(index % 5 == 4 ? QDOT_NCHW : QDOT_NHWC);
    size_t few = g->depthwise ? 1 : random_between(r, 2, 9);
    geometry_channels(v, g->depthwise ? 5 : 1, few, random_between(r, 1, 9));
    geometry_square(v, index < 6 ? 3 : 1, 1, index < 6);
    v->height = random_between(r, 1, 4);
    v->width = random_between(r, 1, 9);
    switch (index % 6) {
    case 0:
        v->width = random_between(r, 700, 1500);
        break;
    case 1:
        v->height = random_between(r, 300, 600);
        break;
    case 2:
        v->batch = random_between(r, 50, 90);
        break;
    case 3: /* input channels */
        geometry_channels(v, g->depthwise ? random_between(r, 600, 1200) : 1,
                          g->depthwise ? 1 : random_between(r, 600, 1200), 5);
        break;
    case 4: /* output channels */
        geometry_channels(v, 1, few, random_between(r, 1200, 2500));
        break;
    default: /* groups */
        geometry_channels(v, random_between(r, 60, 120), few, 3);
    }
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, true);
    return true;
}

/* A window of several lines, whose runs of K are cut where caches are small. */
bool conv_caches(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 48)
        return false;
    struct qdot_conv *v = &c->conv;
    if (index % 3 == 0) {
        geometry_any(g, r, v);
    } else {
        *v = geometry_single(index % 5 == 4 ? QDOT_NCHW : QDOT_NHWC);
        geometry_channels(v, g->depthwise ? random_between(r, 1, 200) : 1,
                          g->depthwise ? 1 : random_between(r, 16, 64), random_between(r, 1, 70));
        geometry_square(v, random_between(r, 2, 5), random_between(r, 1, 2), random_below(r, 3));
        v->height = random_between(r, 3, 9);
        v->width = random_between(r, 3, 9);
        geometry_fit(g, v);
    }
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, false);
    make_caches(r, c, index);
    return true;
}

/* Layers with their pixels cut to keep it short: height and width, channels a group, output channels a
 * group, groups, kernel, stride. */
bool conv_layers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const size_t layers[][7] = {
        {56, 3, 64, 1, 7, 2},    /* ResNet-50: the first */
        {14, 64, 64, 1, 3, 1},   /* 3x3 */
        {14, 128, 64, 1, 3, 2},  /* 3x3, half of its output channels */
        {14, 256, 64, 1, 1, 1},  /* 1x1 */
        {14, 256, 512, 1, 1, 2}, /* 1x1 of a shortcut */
        {32, 3, 32, 1, 3, 2},    /* MobileNet: the first */
        {28, 32, 16, 1, 1, 1},   /* a projection */
        {14, 144, 24, 1, 1, 1},  /* another */
        {14, 4, 4, 32, 3, 1},    /* ResNeXt-50: groups */
        {7, 64, 32, 1, 4, 2, 1}, /* DCGAN: transposed */
        {28, 1, 1, 32, 3, 1},    /* MobileNet: depthwise from here on */
        {28, 1, 1, 96, 3, 2},    {14, 1, 1, 384, 3, 1},
        {7, 1, 1, 960, 3, 1},    {14, 1, 1, 240, 5, 1}, /* EfficientNet */
        {28, 1, 1, 144, 5, 2},
    };
    enum { LAYERS = sizeof(layers) / sizeof(layers[0]), DEPTHWISE = 10 };
    size_t at = g->depthwise ? index + DEPTHWISE : index;
    if (g->small || at >= LAYERS)
        return false;
    const size_t *l = layers[at];
    struct qdot_conv *v = &c->conv;
    *v = geometry_single(QDOT_NHWC);
    geometry_channels(v, l[3], l[1], l[2]);
    geometry_square(v, l[4], l[5], l[6] ? 1 : l[4] / 2);
    v->height = v->width = l[0];
    v->transposed = l[6] != 0;
    make_types(c, (index & 1) + 4 * (index % 4));
    c->a_fill = c->b_fill = FILL_ANY;
    c->a_zero = c->a_type == QDOT_U8 ? ZERO_ONE : ZERO_NONE;
    c->bias = true;
    make_output(r, c);
    return true;
}
