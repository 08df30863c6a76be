/*
 * The ops on elements, quantize and its kin: descriptor and run are checked, scales and zeros taken.
 * qdot.h has the formulas.
 */
#include <float.h>
#include <stdio.h>
#include <string.h>
#include "internal.h"

/* ---- types ----------------------------------------------------------------------------------- */

struct range {
    int32_t lo, hi;
};

static struct range range_of(enum qdot_type type)
{
    static const struct range ranges[] = {
        [QDOT_U8] = {0, 255},
        [QDOT_S8] = {-128, 127},
        [QDOT_S16] = {-32768, 32767},
        [QDOT_U16] = {0, 65535},
        [QDOT_S4] = {-8, 7},
        [QDOT_U4] = {0, 15},
        [QDOT_S32] = {INT32_MIN, INT32_MAX},
    };
    return ranges[type];
}

static bool inside(enum qdot_type type, int32_t value)
{
    const struct range r = range_of(type);
    return value >= r.lo && value <= r.hi;
}

size_t qdot_type_bytes(enum qdot_type type, size_t count)
{
    switch (type) {
    case QDOT_S4:
    case QDOT_U4:
        return count / 2 + count % 2;
    case QDOT_S16:
    case QDOT_U16:
        return count * 2;
    case QDOT_S32:
    case QDOT_F32:
        return count * 4;
    default:
        return count;
    }
}

static size_t alignment_of(enum qdot_type type)
{
    const size_t two = qdot_type_bytes(type, 2);
    return two < 4 ? 1 : two / 2;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

struct unused {
    const char *name;
    bool given;
};

static int check_fields(const struct unused *fields, size_t count, struct qdot_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].given)
            return qdot_fail(err, QDOT_INVALID, "%s: expected 0 with this kind of op",
                             fields[i].name);
    return QDOT_OK;
}

int qdot_check_no_product(const struct qdot_op_desc *d, struct qdot_error *err)
{
    const struct unused fields[] = {
        {"m", d->m != 0},
        {"n", d->n != 0},
        {"k", d->k != 0},
        {"b_type", d->b_type != QDOT_TYPE_DEFAULT},
        {"b", d->b != NULL},
        {"ldb", d->ldb != 0},
        {"b_transposed", d->b_transposed != 0},
        {"packed", d->packed || d->packed_bytes},
        {"a_zero", d->a_zero || d->a_zero_per_row},
        {"b_zero", d->b_zero || d->b_zero_count},
        {"bias", d->bias != NULL},
        {"scale", d->scale || d->scale_count},
        {"multiplier", d->multiplier || d->shift || d->multiplier_count},
        {"row_scale", d->row_scale != 0},
        {"bias_f", d->bias_f != NULL},
        {"out_zero", d->out_zero != 0},
        {"rounding", d->rounding != QDOT_ROUND_RNE},
    };
    return check_fields(fields, sizeof(fields) / sizeof(fields[0]), err);
}

static int check_unused(const struct qdot_op_desc *d, const struct qdot_quantize *q,
                        struct qdot_error *err)
{
    const bool whole = d->kind == QDOT_DEQUANTIZE || d->kind == QDOT_DYNAMIC_QUANTIZE;
    const bool dynamic = d->kind == QDOT_DYNAMIC_QUANTIZE;
    const struct unused fields[] = {
        {"a_type", d->a_type != QDOT_TYPE_DEFAULT},
        {"out_type", d->out_type != QDOT_TYPE_DEFAULT},
        {"clamp_lo, clamp_hi", whole && (d->clamp_lo || d->clamp_hi)},
        {"quantize.scale", dynamic && q->scale},
        {"quantize.zero", dynamic && (q->zero || q->zero_count)},
        {"quantize.reciprocal", whole && q->reciprocal},
        {"quantize.group", dynamic && q->group},
    };
    const int status = qdot_check_no_product(d, err);
    return status == QDOT_OK ? check_fields(fields, sizeof(fields) / sizeof(fields[0]), err)
                             : status;
}

static size_t or_one(size_t value)
{
    return value ? value : 1;
}

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static int check_type(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    struct qdot_elements *e = &p->elements;
    const enum qdot_type type = d->quantize.type ? d->quantize.type : QDOT_U8;
    const bool known = (int)type > 0 && type <= QDOT_U4 && type != QDOT_F32;
    if (d->kind == QDOT_DYNAMIC_QUANTIZE && type != QDOT_U8)
        return qdot_fail(err, QDOT_INVALID, "quantize.type: expected u8, got %d", (int)type);
    if (!known || (type == QDOT_S32 && d->kind != QDOT_DEQUANTIZE))
        return qdot_fail(err, QDOT_INVALID,
                         "quantize.type: expected u8, s8, u16, s16, u4%s s4%s, got %d",
                         d->kind == QDOT_DEQUANTIZE ? "," : " or",
                         d->kind == QDOT_DEQUANTIZE ? " or s32" : "", (int)type);
    e->type = type;
    p->a_type = d->kind == QDOT_DEQUANTIZE ? type : QDOT_F32;
    p->out_type = d->kind == QDOT_QUANTIZE || d->kind == QDOT_DYNAMIC_QUANTIZE ? type : QDOT_F32;
    p->b_type = QDOT_F32; /* of a gradient */
    return QDOT_OK;
}

static int check_shape(const struct qdot_op_desc *d, struct qdot_problem *p, struct qdot_error *err)
{
    const struct qdot_quantize *q = &d->quantize;
    struct qdot_elements *e = &p->elements;
    size_t count;
    e->outer = or_one(q->outer);
    e->axis = or_one(q->axis);
    e->inner = or_one(q->inner);
    e->group = q->group;
    if (!qdot_mul_size(e->outer, e->axis, &count) || !qdot_mul_size(count, e->inner, &count) ||
        !qdot_mul_size(count, 4, &count))
        return qdot_fail(
            err, QDOT_INVALID,
            "quantize.outer, axis, inner: %zu x %zu x %zu elements of 4 bytes overflow "
            "63 bits",
            e->outer, e->axis, e->inner);
    if (q->group > e->axis)
        return qdot_fail(err, QDOT_INVALID, "quantize.group: expected at most axis = %zu, got %zu",
                         e->axis, q->group);
    p->units = e->outer > 1 ? e->outer : e->axis;
    e->unit = e->outer > 1 ? e->axis * e->inner : e->inner;
    p->a_bytes = qdot_type_bytes(p->a_type, e->unit);
    p->out_bytes = qdot_type_bytes(p->out_type, e->unit);
    p->m = p->units;
    p->n = p->unit_rows = 1;
    return QDOT_OK;
}

/* Which parameters are whose, as lines. */
static int check_granularity(const struct qdot_op_desc *d, struct qdot_problem *p,
                             struct qdot_error *err)
{
    const struct qdot_quantize *q = &d->quantize;
    struct qdot_elements *e = &p->elements;
    const size_t groups = q->group ? divide_up(e->axis, q->group) : 0;
    const size_t many = q->group ? e->outer * groups * e->inner : e->axis;
    e->parameters = or_one(q->scale_count);
    e->span = e->line = e->outer * e->axis * e->inner;
    e->repeat = 1;
    if (q->scale_count > 1 || q->group) {
        if (q->scale_count != many)
            return qdot_fail(err, QDOT_INVALID, "quantize.scale_count: expected %s%zu, got %zu",
                             q->group ? "" : "0, 1 or axis = ", many, q->scale_count);
        e->span = e->axis * e->inner;
        if (q->group) {
            e->each = e->inner > 1;
            e->line = e->each ? e->inner : q->group;
            e->repeat = e->each ? q->group : 1;
            e->span_step = groups * e->inner;
            e->step = e->inner;
        } else {
            e->each = e->inner == 1;
            e->line = e->each ? e->axis : e->inner;
            e->step = !e->each;
        }
    }
    if (d->kind == QDOT_DYNAMIC_QUANTIZE && e->parameters > 1 && e->outer > 1)
        return qdot_fail(err, QDOT_INVALID,
                         "quantize.outer: expected 1 with a range for each of axis, got %zu",
                         e->outer);
    if (q->zero_count && (e->type == QDOT_S32 || q->zero_count != e->parameters))
        return qdot_fail(err, QDOT_INVALID, "quantize.zero_count: expected 0%s, got %zu",
                         e->type == QDOT_S32 ? " with s32" : " or as many as scales",
                         q->zero_count);
    if (q->scale && !q->scale_count)
        return qdot_fail(err, QDOT_INVALID, "quantize.scale_count: expected the count of scales");
    if (q->zero && !q->zero_count)
        return qdot_fail(err, QDOT_INVALID, "quantize.zero_count: expected the count of zeros");
    const bool dynamic = d->kind == QDOT_DYNAMIC_QUANTIZE;
    e->reciprocal = q->reciprocal != 0;
    e->scale_at_run = !dynamic && q->scale_count && !q->scale;
    e->zero_at_run = q->zero_count && !q->zero;
    e->zeros = q->zero_count || dynamic;
    return QDOT_OK;
}

static int check_values(const struct qdot_op_desc *d, struct qdot_problem *p,
                        struct qdot_error *err)
{
    const struct qdot_quantize *q = &d->quantize;
    const struct qdot_elements *e = &p->elements;
    for (size_t i = 0; q->scale && i < q->scale_count; i++) {
        uint32_t bits; /* with denormals-are-zero set a comparison takes a subnormal for 0 */
        memcpy(&bits, &q->scale[i], sizeof(bits));
        if (bits < (uint32_t)1 << 23 || bits >= (uint32_t)255 << 23)
            return qdot_fail(err, QDOT_INVALID,
                             "quantize.scale[%zu]: expected a number from 2^-126 on, got %g", i,
                             (double)q->scale[i]);
    }
    const struct range r = range_of(e->type);
    for (size_t i = 0; q->zero && i < q->zero_count; i++)
        if (!inside(e->type, q->zero[i]))
            return qdot_fail(err, QDOT_INVALID, "quantize.zero[%zu]: expected %d to %d, got %d", i,
                             (int)r.lo, (int)r.hi, (int)q->zero[i]);
    p->clamp_lo = d->clamp_lo;
    p->clamp_hi = d->clamp_hi;
    if (d->clamp_lo == 0 && d->clamp_hi == 0) {
        p->clamp_lo = r.lo;
        p->clamp_hi = r.hi;
    }
    if (!inside(e->type, p->clamp_lo) || !inside(e->type, p->clamp_hi) || p->clamp_lo > p->clamp_hi)
        return qdot_fail(err, QDOT_INVALID,
                         "clamp_lo, clamp_hi: expected lo <= hi within %d to %d, got %d, %d",
                         (int)r.lo, (int)r.hi, (int)d->clamp_lo, (int)d->clamp_hi);
    return QDOT_OK;
}

int qdot_check_elements(const struct qdot_op_desc *desc, struct qdot_problem *p,
                        struct qdot_error *err)
{
    int status = check_unused(desc, &desc->quantize, err);
    if (status == QDOT_OK)
        status = check_type(desc, p, err);
    if (status == QDOT_OK)
        status = check_shape(desc, p, err);
    if (status == QDOT_OK)
        status = check_granularity(desc, p, err);
    if (status == QDOT_OK)
        status = check_values(desc, p, err);
    return status;
}

/* ---- parameters ------------------------------------------------------------------------------ */

size_t qdot_parameters(const struct qdot_problem *p, size_t m)
{
    const struct qdot_elements *e = &p->elements;
    if (e->parameters == 1)
        return 1;
    if (e->outer > 1)
        return e->group ? m * e->span_step : e->axis;
    return e->group ? divide_up(m, e->group) * e->inner : m;
}

int qdot_take_parameters(struct qdot_op *op, const struct qdot_op_desc *desc,
                         struct qdot_error *err)
{
    const struct qdot_quantize *q = &desc->quantize;
    const struct qdot_elements *e = &op->p.elements;
    const bool dynamic = op->p.op == QDOT_DYNAMIC_QUANTIZE;
    if (!dynamic && !e->scale_at_run && !(op->scale = qdot_alloc(op->device, e->parameters * 4)))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for %zu scales", e->parameters);
    if (!dynamic && !e->zero_at_run && !(op->zero = qdot_alloc(op->device, e->parameters * 4)))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for %zu zeros", e->parameters);
    if (q->scale)
        memcpy(op->scale, q->scale, e->parameters * 4);
    else if (op->scale)
        op->scale[0] = 1.0f;
    if (q->zero)
        memcpy(op->zero, q->zero, e->parameters * 4);
    return QDOT_OK;
}

void qdot_dynamic_parameters(float most, float least, float *scale, int32_t *zero)
{
    most = most < FLT_MAX ? most : FLT_MAX;
    least = least < FLT_MAX ? least : FLT_MAX;
    float range = most + least;
    range = range < FLT_MAX ? range : FLT_MAX;
    *scale = 1.0f;
    *zero = 0;
    if (range < 0x1p-118f)
        return;
    *scale = range / 255.0f;
    const float quotient = least / *scale; /* at most a little above 255 */
    const float rounded = quotient + 0x1.8p23f;
    *zero = (int32_t)(rounded - 0x1.8p23f);
    *zero = *zero > 255 ? 255 : *zero;
}

/* ---- the run --------------------------------------------------------------------------------- */

int qdot_check_input(const struct qdot_op *op, const char *name, bool wanted,
                     const struct qdot_input *in, size_t bytes, size_t alignment,
                     struct qdot_error *err)
{
    if (wanted)
        return qdot_check_memory(op, name, in->host, in->buffer, in->offset_bytes, bytes, alignment,
                                 err);
    if (in->host || in->buffer)
        return qdot_fail(err, QDOT_INVALID, "%s: expected none: the descriptor does not ask for it",
                         name);
    return QDOT_OK;
}

static int check_out(const struct qdot_op *op, const char *name, bool wanted,
                     const struct qdot_output *out, size_t bytes, size_t alignment,
                     struct qdot_error *err)
{
    const struct qdot_input in = {out->host, out->buffer, out->offset_bytes};
    return qdot_check_input(op, name, wanted, &in, bytes, alignment, err);
}

static bool overlap(const struct qdot_memory *a, const struct qdot_memory *b)
{
    if (!a->bytes || !b->bytes || a->buffer != b->buffer)
        return false;
    const uintptr_t x = (uintptr_t)a->host + a->offset, y = (uintptr_t)b->host + b->offset;
    return x < y + b->bytes && y < x + a->bytes;
}

int qdot_check_apart(const struct qdot_memory *memory, size_t outputs, size_t count,
                     struct qdot_error *err)
{
    for (size_t i = 0; i < outputs; i++)
        for (size_t j = i + 1; j < count; j++)
            if (overlap(&memory[i], &memory[j]))
                return qdot_fail(err, QDOT_INVALID, "%s: expected memory apart from that of %s",
                                 memory[i].name, memory[j].name);
    return QDOT_OK;
}

static int check_apart(const struct qdot_op *op, const struct qdot_run *r, size_t a_bytes,
                       size_t out_bytes, size_t parameter_bytes, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_elements *e = &p->elements;
    const size_t found = p->op == QDOT_DYNAMIC_QUANTIZE ? parameter_bytes : 0;
    const struct qdot_memory memory[] = {
        {"out", r->out.host, r->out.buffer, r->out.offset_bytes, out_bytes},
        {"scale_out", r->scale_out.host, r->scale_out.buffer, r->scale_out.offset_bytes, found},
        {"zero_out", r->zero_out.host, r->zero_out.buffer, r->zero_out.offset_bytes, found},
        {"a", r->a.host, r->a.buffer, r->a.offset_bytes, a_bytes},
        {"b", r->b.host, r->b.buffer, r->b.offset_bytes,
         p->op == QDOT_FAKE_QUANTIZE_GRADIENT ? a_bytes : 0},
        {"scale", r->scale.host, r->scale.buffer, r->scale.offset_bytes,
         e->scale_at_run ? parameter_bytes : 0},
        {"zero", r->zero.host, r->zero.buffer, r->zero.offset_bytes,
         e->zero_at_run ? parameter_bytes : 0},
    };
    return qdot_check_apart(memory, 3, sizeof(memory) / sizeof(memory[0]), err);
}

int qdot_check_elements_run(const struct qdot_op *op, const struct qdot_run *run,
                            struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_elements *e = &p->elements;
    const bool dynamic = p->op == QDOT_DYNAMIC_QUANTIZE;
    const size_t count = run->m * e->unit, parameters = qdot_parameters(p, run->m) * 4;
    const size_t a_bytes = qdot_type_bytes(p->a_type, count);
    const size_t out_bytes = qdot_type_bytes(p->out_type, count);
    if (run->lda || run->ldo)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0: elements have no gaps",
                         run->lda ? "lda" : "ldo");
    int status = qdot_check_input(op, "a", true, &run->a, a_bytes, alignment_of(p->a_type), err);
    if (status == QDOT_OK)
        status = check_out(op, "out", true, &run->out, out_bytes, alignment_of(p->out_type), err);
    if (status == QDOT_OK)
        status = qdot_check_input(op, "b", p->op == QDOT_FAKE_QUANTIZE_GRADIENT, &run->b, a_bytes,
                                  4, err);
    if (status == QDOT_OK)
        status = qdot_check_input(op, "scale", e->scale_at_run, &run->scale, parameters, 4, err);
    if (status == QDOT_OK)
        status = qdot_check_input(op, "zero", e->zero_at_run, &run->zero, parameters, 4, err);
    if (status == QDOT_OK)
        status = check_out(op, "scale_out", dynamic, &run->scale_out, parameters, 4, err);
    if (status == QDOT_OK)
        status = check_out(op, "zero_out", dynamic, &run->zero_out, parameters, 4, err);
    if (status == QDOT_OK)
        status = qdot_check_input(op, "a_zero", false, &run->a_zero, 0, 4, err);
    if (status == QDOT_OK)
        status = qdot_check_input(op, "row_scale", false, &run->row_scale, 0, 4, err);
    return status == QDOT_OK ? check_apart(op, run, a_bytes, out_bytes, parameters, err) : status;
}
