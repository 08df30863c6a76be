/* Ops: the descriptor is checked here and only here; creation, run. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "internal.h"

/* ---- the descriptor -------------------------------------------------------------------------- */

static bool in_range(enum qdot_type type, int32_t value)
{
    return type == QDOT_U8 ? value >= 0 && value <= 255 : value >= -128 && value <= 127;
}

static const char *range_text(enum qdot_type type)
{
    return type == QDOT_U8 ? "0 to 255" : "-128 to 127";
}

static int check_gemm(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    size_t unused;
    if (d->m == 0 || d->n == 0 || d->k == 0)
        return qdot_fail(err, QDOT_INVALID, "%s: expected at least 1",
                         d->m == 0   ? "m"
                         : d->n == 0 ? "n"
                                     : "k");
    if (!qdot_mul_size(d->m, d->k, &unused))
        return qdot_fail(err, QDOT_INVALID, "m, k: %zu x %zu elements overflow 63 bits", d->m,
                         d->k);
    if (!qdot_mul_size(d->k, d->n, &unused))
        return qdot_fail(err, QDOT_INVALID, "k, n: %zu x %zu elements overflow 63 bits", d->k,
                         d->n);
    if (!qdot_mul_size(d->m, d->n, &unused) || !qdot_mul_size(unused, 4, &unused))
        return qdot_fail(err, QDOT_INVALID, "m, n: %zu x %zu elements of 4 bytes overflow 63 bits",
                         d->m, d->n);
    const size_t columns = d->b_transposed ? d->k : d->n, rows = d->b_transposed ? d->n : d->k;
    p->ldb = d->ldb ? d->ldb : columns;
    if (p->ldb < columns)
        return qdot_fail(err, QDOT_INVALID, "ldb: expected at least %zu, got %zu", columns, p->ldb);
    if (!qdot_mul_size(p->ldb, rows, &unused))
        return qdot_fail(err, QDOT_INVALID, "ldb: %zu rows of %zu overflow 63 bits", rows, p->ldb);
    p->b_transposed = d->b_transposed != 0;
    p->m = p->units = d->m;
    p->n = d->n;
    p->k = p->a_bytes = d->k;
    p->unit_rows = 1;
    return QDOT_OK;
}

/* Its weights are a B [n,k], so b_transposed in what follows. */
static int check_conv(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    const struct qdot_geometry *g = &p->conv;
    const char *given = d->m ? "m" : d->n ? "n" : d->k ? "k" : d->ldb ? "ldb" : NULL;
    if (d->b_transposed)
        given = "b_transposed";
    if (d->a_zero_per_row || d->row_scale)
        given = d->row_scale ? "row_scale" : "a_zero_per_row";
    if (given)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0 with QDOT_CONV", given);
    if (!d->b && !d->packed)
        return qdot_fail(err, QDOT_INVALID, "b: expected the weights of the convolution, got NULL");
    int status = qdot_check_conv(&d->conv, &p->conv, err);
    if (status != QDOT_OK)
        return status;
    p->units = g->batch;
    p->unit_rows = g->oh * g->ow;
    p->m = p->units * p->unit_rows;
    p->n = g->o;
    p->k = p->ldb = g->kh * g->kw * g->cg;
    p->a_bytes = g->h * g->w * g->c;
    p->b_transposed = true;
    return QDOT_OK;
}

static int check_types(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    p->a_type = d->a_type ? d->a_type : QDOT_U8;
    p->b_type = d->b_type ? d->b_type : QDOT_S8;
    p->out_type = d->out_type ? d->out_type : QDOT_S32;
    if (p->a_type != QDOT_U8 && p->a_type != QDOT_S8)
        return qdot_fail(err, QDOT_INVALID, "a_type: expected u8 or s8, got %d", (int)d->a_type);
    if (p->b_type != QDOT_U8 && p->b_type != QDOT_S8)
        return qdot_fail(err, QDOT_INVALID, "b_type: expected u8 or s8, got %d", (int)d->b_type);
    switch (p->out_type) {
    case QDOT_U8:
    case QDOT_S8:
        p->out_bytes = 1;
        return QDOT_OK;
    case QDOT_S32:
    case QDOT_F32:
        p->out_bytes = 4;
        return QDOT_OK;
    default:
        return qdot_fail(err, QDOT_INVALID, "out_type: expected s32, f32, s8 or u8, got %d",
                         (int)d->out_type);
    }
}

static int check_b(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    if (d->b && d->packed)
        return qdot_fail(err, QDOT_INVALID, "packed: expected NULL when b is given");
    if (!d->packed && d->packed_bytes)
        return qdot_fail(err, QDOT_INVALID, "packed: expected %zu bytes, got NULL",
                         d->packed_bytes);
    if (d->packed_keep && !d->packed)
        return qdot_fail(err, QDOT_INVALID, "packed_keep: expected 0 without packed");
    p->b_at_run = !d->b && !d->packed;
    return QDOT_OK;
}

static int check_zeros(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    if (!in_range(p->a_type, d->a_zero))
        return qdot_fail(err, QDOT_INVALID, "a_zero: expected %s, got %d", range_text(p->a_type),
                         (int)d->a_zero);
    if (d->a_zero_per_row && d->a_zero)
        return qdot_fail(err, QDOT_INVALID, "a_zero: expected 0 with a_zero_per_row, got %d",
                         (int)d->a_zero);
    if (d->b_zero_count > 1 && d->b_zero_count != p->n)
        return qdot_fail(err, QDOT_INVALID, "b_zero_count: expected 0, 1 or n = %zu, got %zu", p->n,
                         d->b_zero_count);
    if (!d->b_zero != !d->b_zero_count)
        return qdot_fail(err, QDOT_INVALID, "b_zero: expected b_zero_count = %zu values, got %s",
                         d->b_zero_count, d->b_zero ? "a pointer" : "NULL");
    for (size_t j = 0; j < d->b_zero_count; j++)
        if (!in_range(p->b_type, d->b_zero[j]))
            return qdot_fail(err, QDOT_INVALID, "b_zero[%zu]: expected %s, got %d", j,
                             range_text(p->b_type), (int)d->b_zero[j]);
    p->a_zero = d->a_zero;
    p->a_zero_per_row = d->a_zero_per_row != 0;
    return QDOT_OK;
}

/* Scales below 2^-126 are subnormal, which devices may flush; from 2^96 on acc * scale could be
 * infinite and infinity * 0 a NaN, whose bits differ between devices. */
static int check_scale(const struct qdot_op_desc *d, const struct qdot_problem *p,
                       struct qdot_error *err)
{
    const bool floating = p->out_type != QDOT_S32;
    if (d->scale_count > 1 && d->scale_count != p->n)
        return qdot_fail(err, QDOT_INVALID, "scale_count: expected 0, 1 or n = %zu, got %zu", p->n,
                         d->scale_count);
    if (!d->scale != !d->scale_count)
        return qdot_fail(err, QDOT_INVALID, "scale: expected scale_count = %zu values, got %s",
                         d->scale_count, d->scale ? "a pointer" : "NULL");
    if (d->scale_count && !floating)
        return qdot_fail(err, QDOT_INVALID, "scale: expected none with an s32 output");
    for (size_t j = 0; j < d->scale_count; j++) {
        /* By its bits: with denormals-are-zero set a comparison takes a subnormal for 0. */
        uint32_t s;
        memcpy(&s, &d->scale[j], sizeof(s));
        s &= 0x7fffffff;
        if (s && (s < (uint32_t)1 << 23 || s >= (uint32_t)(127 + 96) << 23))
            return qdot_fail(err, QDOT_INVALID,
                             "scale[%zu]: expected 0 or a magnitude in [2^-126, 2^96), got %g", j,
                             (double)d->scale[j]);
    }
    return QDOT_OK;
}

static int check_output(const struct qdot_op_desc *d, struct qdot_problem *p,
                        struct qdot_error *err)
{
    const bool narrow = p->out_type == QDOT_U8 || p->out_type == QDOT_S8;
    int status = check_scale(d, p, err);
    if (status != QDOT_OK)
        return status;
    if (p->out_type != QDOT_F32 && (d->row_scale || d->bias_f))
        return qdot_fail(err, QDOT_INVALID, "%s: expected none without an f32 output",
                         d->row_scale ? "row_scale" : "bias_f");
    for (size_t j = 0; d->bias_f && j < p->n; j++)
        if (!isfinite(d->bias_f[j]))
            return qdot_fail(err, QDOT_INVALID, "bias_f[%zu]: expected a finite value, got %g", j,
                             (double)d->bias_f[j]);
    status = qdot_check_rounding(d, p, err);
    if (status != QDOT_OK)
        return status;
    p->row_scale = d->row_scale != 0;
    if (!narrow) {
        if (d->out_zero || d->clamp_lo || d->clamp_hi)
            return qdot_fail(err, QDOT_INVALID, "%s: expected 0 without an s8 or u8 output",
                             d->out_zero ? "out_zero" : "clamp_lo, clamp_hi");
        return QDOT_OK;
    }
    if (!in_range(p->out_type, d->out_zero))
        return qdot_fail(err, QDOT_INVALID, "out_zero: expected %s, got %d",
                         range_text(p->out_type), (int)d->out_zero);
    p->out_zero = d->out_zero;
    p->clamp_lo = d->clamp_lo;
    p->clamp_hi = d->clamp_hi;
    if (d->clamp_lo == 0 && d->clamp_hi == 0) {
        p->clamp_lo = p->out_type == QDOT_U8 ? 0 : -128;
        p->clamp_hi = p->out_type == QDOT_U8 ? 255 : 127;
    }
    if (!in_range(p->out_type, p->clamp_lo) || !in_range(p->out_type, p->clamp_hi) ||
        p->clamp_lo > p->clamp_hi)
        return qdot_fail(err, QDOT_INVALID,
                         "clamp_lo, clamp_hi: expected lo <= hi within %s, got %d, %d",
                         range_text(p->out_type), (int)d->clamp_lo, (int)d->clamp_hi);
    return QDOT_OK;
}

int qdot_check_desc(const struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err)
{
    memset(p, 0, sizeof(*p));
    if (!desc)
        return qdot_fail(err, QDOT_INVALID, "desc: expected a descriptor, got NULL");
    if (desc->size != 0 && desc->size != sizeof(*desc))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*desc),
                         desc->size);
    if ((int)desc->kind < QDOT_GEMM || desc->kind > QDOT_AVERAGE_POOL)
        return qdot_fail(err, QDOT_INVALID, "kind: expected an enum qdot_op_kind, got %d",
                         (int)desc->kind);
    p->op = desc->kind;
    if (qdot_served_by(p->op) == QDOT_QUANTIZE)
        return qdot_check_elements(desc, p, err);
    if (p->op == QDOT_MAP)
        return qdot_check_map(desc, p, err);
    if (qdot_is_pool(p->op))
        return qdot_check_pool(desc, p, err);
    int status = p->op == QDOT_CONV ? check_conv(desc, p, err) : check_gemm(desc, p, err);
    if (status == QDOT_OK)
        status = check_types(desc, p, err);
    if (status == QDOT_OK)
        status = check_b(desc, p, err);
    if (status == QDOT_OK)
        status = check_zeros(desc, p, err);
    if (status == QDOT_OK)
        status = check_output(desc, p, err);
    return status;
}

/* ---- creation -------------------------------------------------------------------------------- */

/* Values of 4 bytes for the columns: one for each, one for all, or none and 'otherwise'. */
static void spread(const struct qdot_packed *packed, const void *values, size_t value_count,
                   const void *otherwise, void *to)
{
    const size_t columns = packed->part_columns;
    const void *one = value_count ? values : otherwise;
    for (size_t part = 0; part < packed->parts; part++) {
        char *at = (char *)to + part * packed->part_pad * 4;
        if (value_count > 1)
            memcpy(at, (const char *)values + part * columns * 4, columns * 4);
        for (size_t j = 0; value_count <= 1 && j < columns; j++)
            memcpy(at + j * 4, one, 4);
    }
}

/* No |acc * scale| is larger. Differences from zero points are at most 255; a sum may wrap, but not
 * beyond 2^31. The hundredth more is for what these floats round away. */
static float most_of(const struct qdot_problem *p, const struct qdot_op_desc *d)
{
    int32_t bias = 0, scale = 0; /* floats that are not negative compare as their bits do */
    for (size_t n = 0; d->bias && n < p->n; n++) {
        const int32_t size = d->bias[n] < 0 ? ~d->bias[n] : d->bias[n];
        bias = size > bias ? size : bias;
    }
    for (size_t n = 0; n < d->scale_count; n++) {
        int32_t bits;
        memcpy(&bits, &d->scale[n], 4);
        bits &= 0x7fffffff;
        scale = bits > scale ? bits : scale;
    }
    const float sum = (float)p->k * 65025.0f + (float)bias + 1.0f;
    float factor = 1.0f;
    if (d->scale_count)
        memcpy(&factor, &scale, 4);
    return (sum < 0x1p31f ? sum : 0x1p31f) * factor * 1.01f;
}

static int make_terms(struct qdot_op *op, const struct qdot_op_desc *d, struct qdot_error *err)
{
    static const int32_t no_int = 0;
    static const float no_scale = 1.0f, no_bias_f = -0.0f;
    const struct qdot_packed *packed = &op->packed;
    const size_t n_pad = packed->n_pad;
    const int32_t shift = qdot_shift(op->p.b_type, op->row->b_form);
    struct qdot_terms *t = &op->terms;
    size_t bytes;
    int32_t *memory = NULL;
    if (qdot_mul_size(n_pad, 5 * sizeof(int32_t), &bytes))
        memory = qdot_alloc(op->device, bytes);
    if (!memory)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the terms of %zu columns", n_pad);
    t->bias = memory;
    t->b_neg = memory + n_pad;
    t->col_sum = memory + 2 * n_pad;
    t->scale = (float *)(void *)(memory + 3 * n_pad);
    t->bias_f = (float *)(void *)(memory + 4 * n_pad);
    spread(packed, d->bias, d->bias ? op->p.n : 0, &no_int, t->bias);
    spread(packed, d->b_zero, d->b_zero_count, &no_int, t->b_neg);
    t->multiplier = memory + 3 * n_pad;
    t->shift = memory + 4 * n_pad;
    if (d->multiplier_count) {
        spread(packed, d->multiplier, d->multiplier_count, &no_int, t->multiplier);
        spread(packed, d->shift, d->multiplier_count, &no_int, t->shift);
    } else {
        spread(packed, d->scale, d->scale_count, &no_scale, t->scale);
        spread(packed, d->bias_f, d->bias_f ? op->p.n : 0, &no_bias_f, t->bias_f);
    }
    if (qdot_is_fixed(&op->p))
        qdot_fixed_terms(d, t, n_pad);
    const int32_t first = -((d->b_zero_count ? d->b_zero[0] : 0) + shift);
    int32_t any = 0, others = 0;
    for (size_t part = 0; part < packed->parts && (shift || d->b_zero_count); part++) {
        int32_t *b_neg = t->b_neg + part * packed->part_pad;
        for (size_t j = 0; j < packed->part_columns; j++) {
            b_neg[j] = -(b_neg[j] + shift);
            any |= b_neg[j];
            others |= b_neg[j] ^ first;
        }
    }
    t->any_b_neg = any != 0;
    t->one_b_neg = others == 0;
    t->most = most_of(&op->p, d);
    return QDOT_OK;
}

static int make_product(struct qdot_op *op, const struct qdot_op_desc *desc, bool cache,
                        struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    if (!qdot_packed_layout(op->row, p, &op->packed))
        return qdot_fail(err, QDOT_INVALID, "k, n: packing %zu x %zu overflows 63 bits", p->k,
                         p->n);
    const int status = make_terms(op, desc, err);
    return status == QDOT_OK && !p->b_at_run ? qdot_packed_make(op, desc, cache, err) : status;
}

/* With 'cache' packed B comes from the caller's cache, where the device has one. */
static int build(struct qdot_device *device, const struct qdot_row *row,
                 const struct qdot_op_desc *desc, const struct qdot_problem *p, bool cache,
                 struct qdot_op **out, struct qdot_error *err)
{
    *out = NULL;
    struct qdot_op *op = qdot_alloc(device, sizeof(*op));
    if (!op)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->device = device;
    op->row = row;
    op->p = *p;
    op->threads = device->threads;
    op->workspace_at_run = desc->workspace_at_run != 0;
    snprintf(op->name, sizeof(op->name), "%s/%s", device->backend->name, row->name);
    int status = row->op == QDOT_QUANTIZE   ? qdot_take_parameters(op, desc, err)
                 : qdot_is_product(row->op) ? make_product(op, desc, cache, err)
                                            : qdot_take_table(op, desc, err);
    if (status == QDOT_OK)
        status = device->backend->prepare(op, err);
    if (status != QDOT_OK) {
        qdot_op_destroy(op);
        return status;
    }
    *out = op;
    return QDOT_OK;
}

int qdot_op_build(struct qdot_device *device, const struct qdot_row *row,
                  const struct qdot_op_desc *desc, const struct qdot_problem *p,
                  struct qdot_op **op, struct qdot_error *err)
{
    return build(device, row, desc, p, false, op, err);
}

int qdot_op_create(struct qdot_device *device, const struct qdot_op_desc *desc, struct qdot_op **op,
                   struct qdot_error *err)
{
    struct qdot_problem p;
    struct qdot_device *chosen;
    const struct qdot_row *row;
    if (!op)
        return qdot_fail(err, QDOT_INVALID, "op: expected a pointer, got NULL");
    *op = NULL;
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    int status = qdot_check_desc(desc, &p, err);
    if (status == QDOT_OK)
        status = qdot_select(device, desc, &p, &chosen, &row, err);
    if (status == QDOT_OK)
        status = build(chosen, row, desc, &p, true, op, err);
    return status;
}

void qdot_op_destroy(struct qdot_op *op)
{
    if (!op)
        return;
    const struct qdot_device *device = op->device;
    device->backend->unprepare(op);
    qdot_release(device, op->terms.bias);
    qdot_release(device, op->scale);
    qdot_release(device, op->zero);
    qdot_release(device, op->table);
    qdot_packed_drop(device, &op->packed);
    qdot_release(device, op);
}

const char *qdot_op_row(const struct qdot_op *op)
{
    return op ? op->name : NULL;
}

struct qdot_device *qdot_op_device(const struct qdot_op *op)
{
    return op ? op->device : NULL;
}

size_t qdot_op_workspace_bytes(const struct qdot_op *op)
{
    if (!op)
        return 0;
    return op->workspace_at_run ? op->run_bytes : op->workspace_bytes;
}

/* ---- run ------------------------------------------------------------------------------------- */

int qdot_check_memory(const struct qdot_op *op, const char *name, const void *host,
                      const struct qdot_buffer *buffer, size_t offset, size_t bytes,
                      size_t alignment, struct qdot_error *err)
{
    if (!host && !buffer)
        return qdot_fail(err, QDOT_INVALID, "%s: expected host memory or a buffer, got neither",
                         name);
    if (host && (buffer || offset))
        return qdot_fail(err, QDOT_INVALID, "%s: expected no buffer and no offset with host memory",
                         name);
    if ((uintptr_t)host & (alignment - 1)) /* a division is long beside a small product */
        return qdot_fail(err, QDOT_INVALID, "%s: expected memory aligned to %zu bytes", name,
                         alignment);
    if (host)
        return QDOT_OK;
    if (buffer->device != op->device)
        return qdot_fail(err, QDOT_INVALID, "%s: a buffer of device %s, expected one of %s", name,
                         buffer->device->info.name, op->device->info.name);
    if ((buffer->base + offset) & (alignment - 1))
        return qdot_fail(err, QDOT_INVALID,
                         "%s: expected an offset that is a multiple of %zu, got %zu", name,
                         alignment, buffer->base + offset);
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return qdot_fail(err, QDOT_INVALID, "%s: %zu + %zu bytes go past the buffer's %zu", name,
                         offset, bytes, buffer->bytes);
    return QDOT_OK;
}

/* rows x columns elements with 'ld' between rows, of 'bytes' each, a power of two. Leading dimensions
 * are called by the first letter of their matrix: lda, ldb, ldo. */
static int check_operand(const struct qdot_op *op, const char *name, const void *host,
                         const struct qdot_buffer *buffer, size_t offset, size_t rows,
                         size_t columns, size_t ld, size_t bytes, struct qdot_error *err)
{
    size_t need;
    if (ld < columns)
        return qdot_fail(err, QDOT_INVALID, "ld%c: expected at least %zu, got %zu", *name, columns,
                         ld);
    if (!qdot_mul_size(rows, ld, &need) || !qdot_mul_size(need, bytes, &need))
        return qdot_fail(err, QDOT_INVALID, "ld%c: %zu rows of %zu overflow 63 bits", *name, rows,
                         ld);
    /* the last row ends with its last element */
    return qdot_check_memory(op, name, host, buffer, offset, need - (ld - columns) * bytes, bytes,
                             err);
}

static int check_input(const struct qdot_op *op, const char *name, bool wanted,
                       const struct qdot_input *in, size_t rows, size_t columns, size_t ld,
                       size_t bytes, struct qdot_error *err)
{
    if (wanted)
        return check_operand(op, name, in->host, in->buffer, in->offset_bytes, rows, columns, ld,
                             bytes, err);
    if (in->host || in->buffer)
        return qdot_fail(err, QDOT_INVALID, "%s: expected none: the descriptor does not ask for it",
                         name);
    return QDOT_OK;
}

/* The input or output of a convolution: 'pixels' of 'channels' each. In NCHW there is no distance
 * between pixels to speak of. */
static int check_image(const struct qdot_op *op, const char *name, const void *host,
                       const struct qdot_buffer *buffer, size_t offset, size_t pixels,
                       size_t channels, size_t *ld, size_t bytes, struct qdot_error *err)
{
    if (op->p.conv.nchw && *ld)
        return qdot_fail(err, QDOT_INVALID, "ld%c: expected 0 with QDOT_NCHW, got %zu", *name, *ld);
    *ld = *ld ? *ld : channels;
    return check_operand(op, name, host, buffer, offset, pixels, channels, *ld, bytes, err);
}

static int check_conv_run(const struct qdot_op *op, struct qdot_run *run, struct qdot_error *err)
{
    const struct qdot_geometry *g = &op->p.conv;
    int status = check_image(op, "a", run->a.host, run->a.buffer, run->a.offset_bytes,
                             run->m * g->h * g->w, g->c, &run->lda, 1, err);
    if (status == QDOT_OK)
        status = check_image(op, "out", run->out.host, run->out.buffer, run->out.offset_bytes,
                             run->m * g->oh * g->ow, g->o, &run->ldo, op->p.out_bytes, err);
    return status;
}

static int check_gemm_run(const struct qdot_op *op, struct qdot_run *run, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    run->lda = run->lda ? run->lda : p->k;
    run->ldo = run->ldo ? run->ldo : p->n;
    int status = check_input(op, "a", true, &run->a, run->m, p->k, run->lda, 1, err);
    if (status == QDOT_OK)
        status = check_operand(op, "out", run->out.host, run->out.buffer, run->out.offset_bytes,
                               run->m, p->n, run->ldo, p->out_bytes, err);
    return status;
}

/* Of a max pool too, which is checked as a convolution. */
static int check_product_run(const struct qdot_op *op, struct qdot_run *run, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const char *other = run->scale.host || run->scale.buffer           ? "scale"
                        : run->zero.host || run->zero.buffer           ? "zero"
                        : run->scale_out.host || run->scale_out.buffer ? "scale_out"
                        : run->zero_out.host || run->zero_out.buffer   ? "zero_out"
                                                                       : NULL;
    if (other)
        return qdot_fail(err, QDOT_INVALID, "%s: expected none: the op %s", other,
                         qdot_is_product(p->op) ? "is a product" : "has no use for it");
    int status = p->op == QDOT_GEMM ? check_gemm_run(op, run, err) : check_conv_run(op, run, err);
    if (status == QDOT_OK)
        status =
            check_input(op, "a_zero", p->a_zero_per_row, &run->a_zero, 1, run->m, run->m, 4, err);
    if (status == QDOT_OK)
        status =
            check_input(op, "row_scale", p->row_scale, &run->row_scale, 1, run->m, run->m, 4, err);
    if (status == QDOT_OK)
        status = check_input(op, "b", p->b_at_run, &run->b, p->b_transposed ? p->n : p->k,
                             p->b_transposed ? p->k : p->n, p->ldb, 1, err);
    return status;
}

static int check_workspace(const struct qdot_op *op, const struct qdot_run *run,
                           struct qdot_error *err)
{
    const size_t bytes = op->workspace_at_run ? op->run_bytes : 0;
    if (!op->workspace_at_run && (run->workspace || run->workspace_bytes))
        return qdot_fail(err, QDOT_INVALID,
                         "workspace: expected none: the descriptor does not ask for it");
    if (run->workspace_bytes < bytes || (bytes && !run->workspace))
        return qdot_fail(err, QDOT_INVALID, "workspace: expected %zu bytes, got %zu%s", bytes,
                         run->workspace_bytes, run->workspace ? "" : " at NULL");
    if ((uintptr_t)run->workspace % QDOT_ALIGNMENT)
        return qdot_fail(err, QDOT_INVALID, "workspace: expected memory aligned to %d bytes",
                         QDOT_ALIGNMENT);
    return QDOT_OK;
}

/* A caller's handle may be for kernels to read only, or to write only. */
static int check_access(const struct qdot_run *run, struct qdot_error *err)
{
    const struct {
        const char *name;
        const struct qdot_buffer *buffer;
        bool written;
    } operands[] = {{"a", run->a.buffer, false},
                    {"a_zero", run->a_zero.buffer, false},
                    {"row_scale", run->row_scale.buffer, false},
                    {"b", run->b.buffer, false},
                    {"scale", run->scale.buffer, false},
                    {"zero", run->zero.buffer, false},
                    {"out", run->out.buffer, true},
                    {"scale_out", run->scale_out.buffer, true},
                    {"zero_out", run->zero_out.buffer, true}};
    for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++) {
        const struct qdot_buffer *buffer = operands[i].buffer;
        if (buffer && (operands[i].written ? buffer->read_only : buffer->write_only))
            return qdot_fail(err, QDOT_INVALID, "%s: the buffer is for kernels to %s only",
                             operands[i].name, operands[i].written ? "read" : "write");
    }
    return QDOT_OK;
}

static bool has_buffers(const struct qdot_run *run)
{
    return run->a.buffer || run->b.buffer || run->out.buffer || run->a_zero.buffer ||
           run->row_scale.buffer || run->scale.buffer || run->zero.buffer ||
           run->scale_out.buffer || run->zero_out.buffer;
}

int qdot_check_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_run *full,
                   struct qdot_error *err)
{
    if (!op || !run)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL", op ? "run" : "op");
    if (run->size != 0 && run->size != sizeof(*run))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*run), run->size);
    const struct qdot_problem *p = &op->p;
    *full = *run;
    full->m = run->m ? run->m : p->units;
    if (full->m > p->units)
        return qdot_fail(err, QDOT_INVALID, "m: expected at most %zu, got %zu", p->units, full->m);
    int status = op->row->op == QDOT_QUANTIZE ? qdot_check_elements_run(op, full, err)
                 : p->op == QDOT_MAP          ? qdot_check_map_run(op, full, err)
                                              : check_product_run(op, full, err);
    if (status == QDOT_OK && qdot_is_pool(p->op))
        status = qdot_check_pool_apart(op, full, err);
    if (status == QDOT_OK && (op->workspace_at_run || run->workspace || run->workspace_bytes))
        status = check_workspace(op, run, err);
    if (status == QDOT_OK && has_buffers(run))
        status = check_access(run, err);
    if (status == QDOT_OK && (run->wait_count || run->event))
        status = qdot_check_events(op->device, run, err);
    if (status == QDOT_OK && !op->device->pool) /* a pool of our own is its own context */
        op->threads.ctx = run->threads_ctx ? run->threads_ctx : op->device->threads.ctx;
    return status;
}

int qdot_op_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    struct qdot_run full;
    const int status = qdot_check_run(op, run, &full, err);
    return status == QDOT_OK ? op->device->backend->run(op, &full, err) : status;
}
