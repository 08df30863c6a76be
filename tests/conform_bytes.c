/* The case groups of rows for maps and pools. */
#include "conform_make.h"

/* ---- maps ------------------------------------------------------------------------------------ */

/* Strides of one tensor: its dimensions lie in any order, 'gaps' between them. */
static void make_strides(struct random *r, const struct qdot_map *m, bool any_order, bool gaps,
                         size_t stride[QDOT_MAP_RANK])
{
    size_t order[QDOT_MAP_RANK], reach = 1;
    for (size_t i = 0; i < m->rank; i++)
        order[i] = m->rank - 1 - i;
    for (size_t i = 0; i < m->rank && any_order; i++) {
        const size_t other = random_between(r, i, m->rank - 1), d = order[i];
        order[i] = order[other];
        order[other] = d;
    }
    for (size_t i = 0; i < m->rank; i++) {
        const size_t d = order[i];
        const size_t gap = gaps && random_below(r, 2) ? random_below(r, 5) : 0;
        stride[d] = reach + gap;
        reach = stride[d] * m->dims[d];
    }
}

/* At most about 'most' elements. */
static void make_dims(struct random *r, struct qdot_map *m, size_t rank, size_t most)
{
    m->rank = rank;
    for (size_t i = 0, count = 1; i < rank; i++) {
        const size_t left = most / count, longest = i + 1 < rank && left > 9 ? 9 : left;
        m->dims[i] = random_between(r, 1, longest ? longest : 1);
        count *= m->dims[i];
    }
    const size_t other = random_below(r, rank), d = m->dims[other]; /* the long one anywhere */
    m->dims[other] = m->dims[rank - 1];
    m->dims[rank - 1] = d;
}

static void make_map(const struct geometry *g, struct random *r, struct conform_case *c,
                     bool any_order, bool gaps)
{
    struct qdot_map *m = &c->map;
    make_dims(r, m, random_between(r, 1, QDOT_MAP_RANK),
              g->small              ? 200
              : random_below(r, 16) ? 4000
                                    : 60000);
    m->operands = random_below(r, 3) == 2 ? 2 : 1;
    c->a_fill = c->b_fill = FILL_ANY;
    c->table = random_below(r, 2);
    make_strides(r, m, any_order, gaps, m->a_stride);
    make_strides(r, m, any_order && random_below(r, 2), gaps && random_below(r, 2), m->out_stride);
    if (m->operands == 2)
        make_strides(r, m, any_order, gaps, m->b_stride);
}

/* Makes some dimensions of the operands repeat. */
static void repeat(struct random *r, struct qdot_map *m)
{
    for (size_t i = 0; i < m->rank; i++) {
        const size_t which = random_below(r, 4);
        if (which == 0)
            m->a_stride[i] = 0;
        else if (which == 1)
            m->b_stride[i] = 0;
    }
}

bool map_tails(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    const size_t most = g->small ? 40 : 2 * g->nr + 20;
    if (index >= 3 * most)
        return false;
    const bool one = index < 2 * most;
    c->map = (struct qdot_map){.rank = 1,
                               .dims = {index % most + 1},
                               .a_stride = {1},
                               .b_stride = {!one},
                               .out_stride = {1},
                               .operands = one ? 1 : 2};
    c->a_fill = c->b_fill = FILL_ANY;
    c->table = index < most;
    c->place = random_below(r, 4) ? PLACE_BUFFERS : PLACE_HOST_END;
    c->runs = 2;
    return true;
}

bool map_tables(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    (void)r;
    if (index >= 2)
        return false;
    c->a_fill = c->b_fill = FILL_COUNTED;
    c->table = true;
    c->map = (struct qdot_map){.rank = 2,
                               .dims = {256, index ? 256 : 2},
                               .a_stride = {1, 0},
                               .b_stride = {0, index},
                               .out_stride = {index ? 256 : 2, 1},
                               .operands = index ? 2 : 1};
    if (g->small && index)
        c->map.dims[0] = 4;
    return true;
}

bool map_strides(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 120)
        return false;
    make_map(g, r, c, index % 2, true);
    c->place = random_below(r, 2) ? PLACE_BUFFERS : PLACE_HOST_END;
    return true;
}

bool map_broadcast(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 80)
        return false;
    make_map(g, r, c, index % 4 == 0, false);
    if (c->map.operands < 2) {
        c->map.operands = 2;
        make_strides(r, &c->map, false, false, c->map.b_stride);
    }
    repeat(r, &c->map);
    c->runs = random_between(r, 1, 2);
    return true;
}

/* Out in order, of an operand in any; squares and larger sides too. */
bool map_transpose(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    struct qdot_map *m = &c->map;
    if (index >= 100)
        return false;
    make_dims(r, m, 2 + index % 5, g->small ? 200 : 9000);
    if (index % 5 == 0 && !g->small)
        for (size_t i = 0; i < 2; i++)
            m->dims[i] = random_between(r, 1, 150);
    m->operands = 1;
    c->a_fill = FILL_ANY;
    c->table = random_below(r, 2);
    make_strides(r, m, true, false, m->a_stride);
    make_strides(r, m, false, false, m->out_stride);
    c->place = random_below(r, 2) ? PLACE_BUFFERS : PLACE_HOST_END;
    return true;
}

static void make_any_map(const struct geometry *g, struct random *r, struct conform_case *c)
{
    make_map(g, r, c, random_below(r, 2), random_below(r, 2));
    if (c->map.operands == 2 && random_below(r, 2))
        repeat(r, &c->map);
}

bool map_memory(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 60)
        return false;
    make_any_map(g, r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

bool map_buffers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 60)
        return false;
    make_any_map(g, r, c);
    c->place = index % 3 ? PLACE_BUFFERS : PLACE_SHARED;
    c->runs = random_between(r, 1, RUNS_MAX);
    return true;
}

bool map_wrapped(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 40)
        return false;
    make_any_map(g, r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = random_between(r, 1, 2);
    return true;
}

bool map_random(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 300)
        return false;
    make_any_map(g, r, c);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_between(r, 1, 3);
    return true;
}

/* Large enough that all 7 threads have a part. */
bool map_threads(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    struct qdot_map *m = &c->map;
    if (g->small || index >= 32)
        return false;
    m->rank = 3;
    m->dims[0] = random_between(r, 1, 5);
    m->dims[1] = random_between(r, 100, 400);
    m->dims[2] = random_between(r, 100, 400);
    m->operands = index % 2 ? 2 : 1;
    c->a_fill = c->b_fill = FILL_ANY;
    c->table = index / 2 % 2;
    make_strides(r, m, index / 4 % 2, false, m->a_stride);
    make_strides(r, m, false, index / 8 % 2, m->out_stride);
    if (index % 2)
        make_strides(r, m, random_below(r, 2), false, m->b_stride);
    c->threads = (const size_t[]){1, 2, 3, 7}[index / 8 % 4];
    c->runs = 2;
    return true;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static void make_axis(struct random *r, size_t most, size_t *size, size_t *kernel, size_t *stride,
                      size_t *dilation, size_t *before, size_t *after)
{
    *kernel = random_between(r, 1, random_below(r, 4) ? 3 : 7);
    *dilation = random_below(r, 3) ? 1 : random_between(r, 1, 4);
    *stride = random_between(r, 1, random_below(r, 4) ? 2 : 5);
    const size_t span = (*kernel - 1) * *dilation;
    *before = random_below(r, 2) ? random_below(r, span + 1) : 0;
    *after = random_below(r, 2) ? random_below(r, span + *stride + 1) : 0;
    *size = random_between(r, 1, most);
    if (*size + *before + *after < span + 1)
        *size = span + 1;
}

/* Geometries that qdot.h allows; none after many tries is one of a single tap. */
static void make_windows(const struct geometry *g, struct random *r, struct qdot_conv *v)
{
    const size_t most = g->small ? 9 : random_below(r, 4) ? 20 : 70;
    const size_t many = g->small ? 20 : 2 * g->nr + 20;
    v->batch = random_between(r, 1, 3);
    v->channels = random_below(r, 2) ? random_between(r, 1, 8) : random_between(r, 1, many);
    v->out_channels = v->channels;
    v->groups = 1;
    v->layout = random_below(r, 2) ? QDOT_NCHW : QDOT_NHWC;
    for (int i = 0; i < 100; i++) {
        make_axis(r, most, &v->height, &v->kernel_h, &v->stride_h, &v->dilation_h, &v->pad_top,
                  &v->pad_bottom);
        make_axis(r, most, &v->width, &v->kernel_w, &v->stride_w, &v->dilation_w, &v->pad_left,
                  &v->pad_right);
        if (ref_pool_valid(v))
            return;
    }
    v->kernel_h = v->kernel_w = 1;
    v->pad_top = v->pad_left = v->pad_bottom = v->pad_right = 0;
}

/* What an average's output is made of. */
static void make_average(struct random *r, struct conform_case *c)
{
    c->out_type = random_below(r, 4) ? c->a_type : random_below(r, 2) ? QDOT_S8 : QDOT_U8;
    int32_t lo = c->out_type == QDOT_S8 ? -128 : 0;
    if (random_below(r, 4) == 0) {
        c->clamp_lo = lo + (int32_t)random_below(r, 200);
        c->clamp_hi = c->clamp_lo + (int32_t)random_below(r, (size_t)(lo + 256 - c->clamp_lo));
    }
    c->scale = (enum scales)PICK(r, SCALE_NONE, SCALE_ONE, SCALE_ONE, SCALE_HALF, SCALE_EXTREME);
    if (c->scale == SCALE_NONE)
        return;
    c->rounding = random_below(r, 3) ? QDOT_ROUND_RNE_ZERO_FIRST : QDOT_ROUND_RNE;
    c->count_padding = random_below(r, 3) == 0;
    c->a_zero = (enum zero)random_below(r, ZERO_HIGH + 1);
    c->out_zero = random_below(r, 4) ? lo + (int32_t)random_below(r, 256) : 0;
}

static void make_pool(const struct geometry *g, struct random *r, struct conform_case *c)
{
    make_windows(g, r, &c->conv);
    c->a_type = random_below(r, 2) ? QDOT_S8 : QDOT_U8;
    c->a_fill = (enum fill)random_below(r, FILL_SMALL + 1);
    if (g->kind == QDOT_MAX_POOL)
        c->table = random_below(r, 3) == 0;
    else
        make_average(r, c);
}

static void make_gaps(struct random *r, struct conform_case *c)
{
    if (c->conv.layout == QDOT_NCHW)
        return;
    c->a_gap = random_below(r, 2) ? random_below(r, 9) : 0;
    c->out_gap = random_below(r, 2) ? random_below(r, 9) : 0;
}

bool pool_edge(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 200)
        return false;
    make_pool(g, r, c);
    return true;
}

bool pool_tails(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    const size_t most = g->small ? 12 : 2 * g->nr + 8;
    if (index >= 2 * most)
        return false;
    make_pool(g, r, c);
    c->conv = (struct qdot_conv){.batch = 1,
                                 .height = 4,
                                 .width = index < most ? 5 : index % most + 1,
                                 .channels = index < most ? index + 1 : 2,
                                 .kernel_h = 3,
                                 .kernel_w = random_between(r, 1, 3),
                                 .stride_h = 2,
                                 .stride_w = random_between(r, 1, 2),
                                 .dilation_h = 1,
                                 .dilation_w = 1,
                                 .groups = 1,
                                 .layout = index < most ? QDOT_NHWC : QDOT_NCHW};
    c->conv.pad_right = c->conv.kernel_w - 1;
    c->conv.out_channels = c->conv.channels;
    c->place = random_below(r, 2) ? PLACE_BUFFERS : PLACE_HOST_END;
    return true;
}

bool pool_strides(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 80)
        return false;
    make_pool(g, r, c);
    c->conv.layout = QDOT_NHWC;
    make_gaps(r, c);
    c->place = random_below(r, 2) ? PLACE_BUFFERS : PLACE_HOST_END;
    return true;
}

bool pool_memory(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 60)
        return false;
    make_pool(g, r, c);
    make_gaps(r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

bool pool_buffers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 60)
        return false;
    make_pool(g, r, c);
    make_gaps(r, c);
    c->place = index % 3 ? PLACE_BUFFERS : PLACE_SHARED;
    c->runs = random_between(r, 1, RUNS_MAX);
    return true;
}

bool pool_wrapped(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 40)
        return false;
    make_pool(g, r, c);
    make_gaps(r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = random_between(r, 1, 2);
    return true;
}

bool pool_random(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 200)
        return false;
    make_pool(g, r, c);
    make_gaps(r, c);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_between(r, 1, 3);
    return true;
}

bool pool_threads(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (g->small || index >= 32)
        return false;
    make_pool(g, r, c);
    const bool wide = index % 2;
    c->conv = (struct qdot_conv){.batch = 2,
                                 .height = random_between(r, 30, 60),
                                 .width = wide ? random_between(r, 60, 3000) : 30,
                                 .channels = wide ? 3 : random_between(r, 30, 200),
                                 .kernel_h = 3,
                                 .kernel_w = 3,
                                 .stride_h = 2,
                                 .stride_w = random_between(r, 1, 2),
                                 .dilation_h = 1,
                                 .dilation_w = 1,
                                 .pad_top = 1,
                                 .pad_left = 1,
                                 .groups = 1,
                                 .layout = index / 2 % 2 ? QDOT_NCHW : QDOT_NHWC};
    c->conv.out_channels = c->conv.channels;
    c->threads = (const size_t[]){1, 2, 3, 7}[index / 4 % 4];
    c->runs = 2;
    return true;
}

/* Elements of one value: sums that are exact, and the largest; half way between outputs, and next to it. */
bool pool_values(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    if (index >= 160)
        return false;
    make_pool(g, r, c);
    switch (index % 4) {
    case 0: /* few values, of which many sums are half way */
        c->a_fill = FILL_SMALL;
        c->scale = SCALE_HALF;
        break;
    case 1:
        c->a_fill = FILL_SMALL;
        c->scale = SCALE_NONE;
        c->a_zero = ZERO_NONE;
        c->out_zero = 0;
        c->rounding = QDOT_ROUND_RNE;
        c->count_padding = false;
        break;
    case 2:
        c->a_fill = FILL_CONSTANT;
        c->a_byte = values[random_below(r, 5)];
        break;
    default: /* that shows the last bit of an average */
        c->conv.pad_top = c->conv.pad_left = c->conv.pad_bottom = c->conv.pad_right = 0;
        c->conv.kernel_h = c->conv.kernel_w = index % 8 == 3 ? 3 : 7;
        c->conv.height = c->conv.width = c->conv.kernel_h * 5;
        c->a_fill = FILL_CONSTANT;
        c->a_byte = (uint8_t)random_below(r, 256);
        c->scale = SCALE_EACH;
        c->rounding = QDOT_ROUND_RNE;
        c->out_zero = c->out_type == QDOT_S8 ? 0 : 128;
        c->clamp_lo = c->clamp_hi = 0;
        c->count_padding = false;
    }
    return true;
}

/* The averages of whole pictures, and of windows that overlap by most of their taps. */
bool pool_large(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    const size_t most = g->small ? 9 : index % 4 ? 64 : 127;
    if (index >= 24)
        return false;
    make_pool(g, r, c);
    struct qdot_conv *v = &c->conv;
    *v = geometry_single(index / 2 % 2 ? QDOT_NCHW : QDOT_NHWC);
    v->height = random_between(r, 7, most);
    v->width = index % 8 == 7 && !g->small ? 500 : random_between(r, 7, most);
    v->kernel_h = v->height - index % 2;
    v->kernel_w = v->width < 200 ? v->width - index % 3 : 120;
    v->channels = v->out_channels = random_between(r, 1, g->small ? 5 : 70);
    v->pad_left = index % 3;
    c->place = PLACE_BUFFERS;
    return true;
}
