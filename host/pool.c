/* Pools: descriptor and run are checked; what averages are to devices that do not divide exactly. */
#include <string.h>
#include "internal.h"

/* ---- windows --------------------------------------------------------------------------------- */

/* A window along one axis that is wholly in the padding; SIZE_MAX: none is. Only where taps are further
 * apart than the input is long does it take looking at windows one by one. */
static size_t empty_window(size_t outputs, size_t size, size_t kernel, size_t stride,
                           size_t dilation, size_t pad)
{
    if ((outputs - 1) * stride >= pad + size)
        return (pad + size + stride - 1) / stride;
    for (size_t i = 0; i < outputs && i * stride < pad; i++) {
        const size_t before = pad - i * stride;
        const size_t tap = (before + dilation - 1) / dilation; /* the first that is not before */
        if (tap >= kernel || tap * dilation - before >= size)
            return i;
        if (dilation <= size) /* and those to come begin later */
            break;
    }
    return SIZE_MAX;
}

/* What is left 0: of all pools, and of each of the two. */
static int check_unused(const struct qdot_op_desc *d, bool scaled, struct qdot_error *err)
{
    const struct qdot_conv *c = &d->conv;
    const bool max = d->kind == QDOT_MAX_POOL;
    const char *given = d->map.rank || d->map.operands                ? "map.rank, map.operands"
                        : c->groups                                   ? "conv.groups"
                        : c->transposed                               ? "conv.transposed"
                        : c->output_pad_h || c->output_pad_w          ? "conv.output_pad_h, _w"
                        : max && (d->clamp_lo || d->clamp_hi)         ? "clamp_lo, clamp_hi"
                        : max && (scaled || d->average.count_padding) ? "average"
                        : !max && d->map.table                        ? "map.table"
                        : !scaled && d->average.count_padding         ? "average.count_padding"
                                                                      : NULL;
    if (given)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0 with %s", given,
                         max                        ? "QDOT_MAX_POOL"
                         : d->average.count_padding ? "QDOT_AVERAGE_POOL without scales"
                                                    : "QDOT_AVERAGE_POOL");
    struct qdot_op_desc rest = *d;
    if (!max && scaled) {
        rest.a_zero = rest.out_zero = 0;
        rest.rounding = QDOT_ROUND_RNE;
    }
    return qdot_check_no_product(&rest, err);
}

static int check_types(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    p->a_type = d->a_type ? d->a_type : QDOT_U8;
    p->out_type = d->out_type ? d->out_type : p->a_type;
    p->b_type = p->a_type;
    p->out_bytes = 1;
    if (p->a_type != QDOT_U8 && p->a_type != QDOT_S8)
        return qdot_fail(err, QDOT_INVALID, "a_type: expected u8 or s8, got %d", (int)p->a_type);
    if (p->op == QDOT_MAX_POOL && p->out_type != p->a_type)
        return qdot_fail(err, QDOT_INVALID, "out_type: expected a_type = %d, got %d",
                         (int)p->a_type, (int)p->out_type);
    if (p->out_type != QDOT_U8 && p->out_type != QDOT_S8)
        return qdot_fail(err, QDOT_INVALID, "out_type: expected u8 or s8, got %d",
                         (int)p->out_type);
    return QDOT_OK;
}

static int check_windows(const struct qdot_op_desc *d, struct qdot_problem *p,
                         struct qdot_error *err)
{
    struct qdot_conv c = d->conv;
    const struct qdot_geometry *g = &p->conv;
    if (c.out_channels && c.out_channels != c.channels)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.out_channels: expected 0 or channels = %zu, got %zu", c.channels,
                         c.out_channels);
    c.out_channels = c.channels;
    const int status = qdot_check_conv(&c, &p->conv, err);
    if (status != QDOT_OK)
        return status;
    const size_t y = empty_window(g->oh, g->h, g->kh, g->stride_h, g->dilation_h, c.pad_top);
    const size_t x = empty_window(g->ow, g->w, g->kw, g->stride_w, g->dilation_w, c.pad_left);
    if (y != SIZE_MAX || x != SIZE_MAX)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.pad_%s: the window of output %s %zu is wholly in the padding",
                         y != SIZE_MAX ? "top, bottom" : "left, right",
                         y != SIZE_MAX ? "row" : "column", y != SIZE_MAX ? y : x);
    p->units = g->batch;
    p->unit_rows = g->oh * g->ow;
    p->m = p->units * p->unit_rows;
    p->n = g->c;
    p->k = g->kh * g->kw;
    p->a_bytes = g->h * g->w * g->c;
    return QDOT_OK;
}

/* ---- averages -------------------------------------------------------------------------------- */

static int32_t least_of(enum qdot_type type)
{
    return type == QDOT_S8 ? -128 : 0;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Both times the power of two that brings a_scale to [1, 2): no number on the way is a subnormal or
 * overflows then. Of an output scale 2^64 times as large or as small every average is 0, or saturates. */
static void normalise_scales(struct qdot_averaging *v)
{
    const uint32_t a = bits_of(v->a_scale), out = bits_of(v->out_scale);
    int32_t exponent = (int32_t)(out >> 23) - (int32_t)(a >> 23);
    exponent = exponent < -64 ? -64 : exponent > 64 ? 64 : exponent;
    v->a_scale = float_of((a & 0x7fffff) | 127u << 23);
    v->out_scale = float_of((out & 0x7fffff) | (uint32_t)(exponent + 127) << 23);
}

static int check_average_scale(const char *name, float scale, struct qdot_error *err)
{
    const uint32_t bits = bits_of(scale);
    if (bits >= (uint32_t)1 << 23 && bits < (uint32_t)255 << 23)
        return QDOT_OK;
    return qdot_fail(err, QDOT_INVALID, "average.%s: expected a number from 2^-126 on, got %g",
                     name, (double)scale);
}

static int check_zero(const char *name, int32_t zero, enum qdot_type type, struct qdot_error *err)
{
    const int32_t lo = least_of(type), hi = lo + 255;
    if (zero >= lo && zero <= hi)
        return QDOT_OK;
    return qdot_fail(err, QDOT_INVALID, "%s: expected %d to %d, got %d", name, (int)lo, (int)hi,
                     (int)zero);
}

static int check_scales(const struct qdot_op_desc *d, struct qdot_problem *p,
                        struct qdot_error *err)
{
    struct qdot_averaging *v = &p->average;
    int status = check_average_scale("a_scale", d->average.a_scale, err);
    if (status == QDOT_OK)
        status = check_average_scale("out_scale", d->average.out_scale, err);
    if (status == QDOT_OK)
        status = check_zero("a_zero", d->a_zero, p->a_type, err);
    if (status == QDOT_OK)
        status = check_zero("out_zero", d->out_zero, p->out_type, err);
    if (status == QDOT_OK && d->rounding != QDOT_ROUND_RNE &&
        d->rounding != QDOT_ROUND_RNE_ZERO_FIRST)
        status = qdot_fail(err, QDOT_INVALID, "rounding: expected rne or rne-zero-first, got %d",
                           (int)d->rounding);
    v->a_scale = d->average.a_scale;
    v->out_scale = d->average.out_scale;
    if (status == QDOT_OK)
        normalise_scales(v);
    return status;
}

static int check_average(const struct qdot_op_desc *d, bool scaled, struct qdot_problem *p,
                         struct qdot_error *err)
{
    struct qdot_averaging *v = &p->average;
    const int32_t lo = least_of(p->out_type), hi = lo + 255;
    *v = (struct qdot_averaging){.scaled = scaled,
                                 .count_padding = d->average.count_padding != 0,
                                 .a_scale = 1,
                                 .out_scale = 1};
    p->a_zero = d->a_zero;
    p->out_zero = d->out_zero;
    p->rounding = d->rounding;
    p->clamp_lo = d->clamp_lo || d->clamp_hi ? d->clamp_lo : lo;
    p->clamp_hi = d->clamp_lo || d->clamp_hi ? d->clamp_hi : hi;
    if (p->clamp_lo < lo || p->clamp_hi > hi || p->clamp_lo > p->clamp_hi)
        return qdot_fail(err, QDOT_INVALID,
                         "clamp_lo, clamp_hi: expected lo <= hi within %d to %d, got %d, %d",
                         (int)lo, (int)hi, (int)d->clamp_lo, (int)d->clamp_hi);
    if (p->k > QDOT_AVERAGE_TAPS)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.kernel_h, kernel_w: expected at most %d taps, got %zu x %zu",
                         QDOT_AVERAGE_TAPS, p->conv.kh, p->conv.kw);
    return scaled ? check_scales(d, p, err) : QDOT_OK;
}

/* The output for sum / taps; without scales sum has half of taps more, away from 0. */
static int32_t output_of(const struct qdot_problem *p, float average)
{
    const struct qdot_averaging *v = &p->average;
    const bool zero_first = p->rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    float x = average / v->out_scale + (zero_first ? (float)p->out_zero : 0.0f);
    x = x < -1024.0f ? -1024.0f : x > 1024.0f ? 1024.0f : x;
    const int32_t q = !v->scaled
                          ? (int32_t)x
                          : (int32_t)((x + 0x1.8p23f) - 0x1.8p23f) + (zero_first ? 0 : p->out_zero);
    return q < p->clamp_lo ? p->clamp_lo : q > p->clamp_hi ? p->clamp_hi : q;
}

void qdot_average_steps(const struct qdot_problem *p, int32_t steps[256])
{
    const int64_t most = bits_of(2048.0f); /* no average is that large */
    int64_t begin = -most;
    for (int32_t i = 0; i < 256; i++) {
        const int32_t q = p->clamp_lo + i;
        int64_t end = q < p->clamp_hi ? most : INT32_MAX;
        begin = q < p->clamp_hi ? begin : INT32_MAX;
        while (begin < end) { /* the first above q is in [begin, end] */
            const int64_t middle = begin + (end - begin) / 2;
            const float magnitude = float_of((uint32_t)(middle < 0 ? -middle : middle));
            if (output_of(p, middle < 0 ? -magnitude : magnitude) > q)
                end = middle;
            else
                begin = middle + 1;
        }
        steps[i] = (int32_t)begin;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

int qdot_check_pool(const struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err)
{
    const bool scaled =
        bits_of(desc->average.a_scale) != 0 || bits_of(desc->average.out_scale) != 0;
    int status = check_unused(desc, scaled, err);
    if (status == QDOT_OK)
        status = check_types(desc, p, err);
    if (status == QDOT_OK)
        status = check_windows(desc, p, err);
    if (status == QDOT_OK && p->op == QDOT_AVERAGE_POOL)
        status = check_average(desc, scaled, p, err);
    p->table = desc->map.table ? 256 : 0;
    return status;
}

int qdot_check_pool_apart(const struct qdot_op *op, const struct qdot_run *r,
                          struct qdot_error *err)
{
    const struct qdot_geometry *g = &op->p.conv;
    const struct qdot_memory memory[] = {
        {"out", r->out.host, r->out.buffer, r->out.offset_bytes,
         (r->m * g->oh * g->ow - 1) * r->ldo + g->c},
        {"a", r->a.host, r->a.buffer, r->a.offset_bytes, (r->m * g->h * g->w - 1) * r->lda + g->c},
    };
    return qdot_check_apart(memory, 1, 2, err);
}

size_t qdot_pool_items(const struct qdot_problem *p, size_t m)
{
    const struct qdot_geometry *g = &p->conv;
    const size_t rows = m * g->oh;
    return g->nchw || g->c == 1 ? rows * g->c * ((g->ow + 3) / 4) : rows * g->ow * ((g->c + 3) / 4);
}
