/* Max pools: descriptor and run are checked. */
#include "internal.h"

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

int qdot_check_pool(const struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err)
{
    struct qdot_conv c = desc->conv;
    const struct qdot_geometry *g = &p->conv;
    const char *given = desc->map.rank || desc->map.operands ? "map.rank, map.operands"
                        : desc->clamp_lo || desc->clamp_hi   ? "clamp_lo, clamp_hi"
                        : c.groups                           ? "conv.groups"
                        : c.transposed                       ? "conv.transposed"
                        : c.output_pad_h || c.output_pad_w   ? "conv.output_pad_h, _w"
                                                             : NULL;
    if (given)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0 with QDOT_MAX_POOL", given);
    int status = qdot_check_no_product(desc, err);
    if (status != QDOT_OK)
        return status;
    p->a_type = desc->a_type ? desc->a_type : QDOT_U8;
    if (p->a_type != QDOT_U8 && p->a_type != QDOT_S8)
        return qdot_fail(err, QDOT_INVALID, "a_type: expected u8 or s8, got %d", (int)p->a_type);
    if (desc->out_type && desc->out_type != p->a_type)
        return qdot_fail(err, QDOT_INVALID, "out_type: expected a_type = %d, got %d",
                         (int)p->a_type, (int)desc->out_type);
    if (c.out_channels && c.out_channels != c.channels)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.out_channels: expected 0 or channels = %zu, got %zu", c.channels,
                         c.out_channels);
    c.out_channels = c.channels;
    status = qdot_check_conv(&c, &p->conv, err);
    if (status != QDOT_OK)
        return status;
    const size_t y = empty_window(g->oh, g->h, g->kh, g->stride_h, g->dilation_h, c.pad_top);
    const size_t x = empty_window(g->ow, g->w, g->kw, g->stride_w, g->dilation_w, c.pad_left);
    if (y != SIZE_MAX || x != SIZE_MAX)
        return qdot_fail(err, QDOT_INVALID,
                         "conv.pad_%s: the window of output %s %zu is wholly in the padding",
                         y != SIZE_MAX ? "top, bottom" : "left, right",
                         y != SIZE_MAX ? "row" : "column", y != SIZE_MAX ? y : x);
    p->out_type = p->b_type = p->a_type;
    p->out_bytes = 1;
    p->table = desc->map.table ? 256 : 0;
    p->units = g->batch;
    p->unit_rows = g->oh * g->ow;
    p->m = p->units * p->unit_rows;
    p->n = g->c;
    p->k = g->kh * g->kw;
    p->a_bytes = g->h * g->w * g->c;
    return QDOT_OK;
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
