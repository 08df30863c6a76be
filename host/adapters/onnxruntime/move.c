/* Transpose and Concat: values go elsewhere, and from one quantisation to another by a table. */
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"
#include "table.h"

/* ---- Transpose --------------------------------------------------------------------------------- */

struct transpose {
    size_t rank; /* 0: no permutation was given, dimensions are reversed */
    int64_t order[MAX_RANK];
};

static OrtStatus *claims_transpose(const struct group *g, bool *yes)
{
    const size_t rank = g->values[X].rank;
    *yes = linear_fits(g) && rank > 0 && rank <= QDOT_MAP_RANK;
    return NULL;
}

static OrtStatus *compile_transpose(struct step *s, const struct group *g)
{
    struct transpose *p = s->impl = calloc(1, sizeof(*p));
    if (!p)
        return fail(g->ort, "no memory for a permutation");
    p->rank = MAX_RANK;
    return group_ints(g, "perm", p->order, &p->rank);
}

static OrtStatus *compute_transpose(struct step *s, struct call *c)
{
    const struct transpose *p = s->impl;
    const struct tensor *x = &c->in[X];
    struct qdot_map map = {.rank = x->rank};
    size_t steps[MAX_RANK], step = 1;
    int64_t dims[MAX_RANK];
    struct qdot_output out;
    struct linear l;
    uint8_t table[256];
    bool done = false;
    if (x->rank < 1 || x->rank > QDOT_MAP_RANK || (p->rank && p->rank != x->rank))
        return fail(c->ort, "%s: expected a tensor of rank %zu, got %zu", s->op->name, p->rank,
                    x->rank);
    for (size_t i = x->rank; i-- > 0;) {
        steps[i] = step;
        step *= (size_t)x->dims[i];
    }
    step = 1;
    for (size_t i = x->rank; i-- > 0;) {
        const int64_t from = p->rank ? p->order[i] : (int64_t)(x->rank - 1 - i);
        if (from < 0 || (size_t)from >= x->rank)
            return fail(c->ort, "%s: expected a permutation of %zu dimensions", s->op->name,
                        x->rank);
        dims[i] = x->dims[from];
        map.dims[i] = (size_t)dims[i];
        map.a_stride[i] = steps[from];
        map.out_stride[i] = step;
        step *= map.dims[i];
    }
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &l));
    const bool changes = table_make(&l, 1, -FLT_MAX, FLT_MAX, table);
    for (int on_host = 0; on_host < 2 && !done; on_host++) {
        TRY(device_place(s, c, on_host, dims, x->rank, &out));
        if (x->count == 0)
            return NULL;
        const struct qdot_input from = input_at(x, 0);
        TRY(device_map(s, c, 0, &map, changes ? table : NULL, &from, &out, &done));
    }
    return done ? NULL : device_refused(s);
}

/* ---- Concat ------------------------------------------------------------------------------------ */

static OrtStatus *claims_concat(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    const ONNXTensorElementDataType real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    *yes = is_int8(g->out.type) && v[Y_SCALE].type == real && value_may_be_one(&v[Y_SCALE]) &&
           value_may_be_one(&v[Y_ZERO]) && (!v[Y_ZERO].info || v[Y_ZERO].type == g->out.type) &&
           g->slot_count > SLOTS;
    for (size_t i = SLOTS; i < g->slot_count && *yes; i += 3)
        *yes = v[i].type == g->out.type && v[i].rank > 0 && v[i + 1].type == real &&
               value_may_be_one(&v[i + 1]) && value_may_be_one(&v[i + 2]) &&
               (!v[i + 2].info || v[i + 2].type == v[i].type);
    return NULL;
}

static OrtStatus *compile_concat(struct step *s, const struct group *g)
{
    int64_t *axis = s->impl = calloc(1, sizeof(*axis));
    if (!axis)
        return fail(g->ort, "no memory for a step");
    return group_int(g, "axis", axis);
}

/* The shape of the output; outer: how often the parts follow one another. */
static OrtStatus *concat_shape(const struct step *s, const struct call *c, int64_t *dims,
                               size_t *outer)
{
    const struct tensor *first = &c->in[SLOTS];
    const int64_t given = *(const int64_t *)s->impl;
    const int64_t axis = given < 0 ? given + (int64_t)first->rank : given;
    bool fit = axis >= 0 && (size_t)axis < first->rank;
    memcpy(dims, first->dims, sizeof(first->dims));
    for (size_t i = SLOTS + 3; i < s->slot_count && fit; i += 3) {
        const struct tensor *part = &c->in[i];
        fit = part->rank == first->rank;
        for (size_t j = 0; j < first->rank && fit; j++)
            fit = (int64_t)j == axis || part->dims[j] == first->dims[j];
        dims[axis] += part->dims[axis];
    }
    if (!fit)
        return fail(c->ort, "%s: the parts do not fit each other along axis %lld", s->op->name,
                    (long long)given);
    *outer = 1;
    for (int64_t i = 0; i < axis; i++)
        *outer *= (size_t)dims[i];
    return NULL;
}

/* Part i of the output, which begins 'at' in each of its lines. */
struct part {
    size_t slot, at, bytes; /* of one line */
    bool changes;
    uint8_t table[256];
};

static struct part part_of(const struct step *s, const struct tensor *in, size_t slot, size_t at,
                           size_t outer)
{
    const struct linear l = {
        .x_scale = *(const float *)in[slot + 1].data,
        .y_scale = *(const float *)in[Y_SCALE].data,
        .x_zero = in[slot + 2].type ? tensor_int(&in[slot + 2], 0) : 0,
        .y_zero = in[Y_ZERO].type ? tensor_int(&in[Y_ZERO], 0) : 0,
        .x_type = in[slot].type,
        .y_type = s->out_type,
    };
    struct part p = {.slot = slot, .at = at, .bytes = in[slot].count / outer};
    p.changes = table_make(&l, 1, -FLT_MAX, FLT_MAX, p.table);
    return p;
}

static OrtStatus *put_part(struct step *s, struct call *c, const struct part *p,
                           const struct qdot_output *out, size_t outer, size_t line, bool *done)
{
    const struct qdot_input x = input_at(&c->in[p->slot], 0);
    const struct qdot_output y = output_at(out, p->at);
    const struct qdot_map map = {
        .rank = 2, .dims = {outer, p->bytes}, .a_stride = {p->bytes, 1}, .out_stride = {line, 1}};
    return device_map(s, c, (p->slot - SLOTS) / 3, &map, p->changes ? p->table : NULL, &x, &y,
                      done);
}

/* Scales and zero points on the host; the parts where they are. */
static OrtStatus *fetch_parameters(struct step *s, struct call *c)
{
    bool fetch = false;
    for (size_t i = 0; i < s->slot_count; i++)
        fetch = fetch || (c->in[i].buffer && (i < SLOTS || (i - SLOTS) % 3 != 0));
    return fetch ? call_fetch(s, c, 0) : NULL;
}

static OrtStatus *put_parts(struct step *s, struct call *c, const struct qdot_output *out,
                            size_t outer, size_t line, bool *done)
{
    size_t at = 0;
    *done = true;
    for (size_t i = SLOTS; i < s->slot_count && *done; i += 3) {
        const struct part p = part_of(s, c->in, i, at, outer);
        if (p.bytes)
            TRY(put_part(s, c, &p, out, outer, line, done));
        at += p.bytes;
    }
    return NULL;
}

static OrtStatus *compute_concat(struct step *s, struct call *c)
{
    const struct tensor *in = c->in;
    int64_t dims[MAX_RANK];
    size_t outer = 0, line = 0;
    struct qdot_output out;
    bool done = false;
    TRY(concat_shape(s, c, dims, &outer));
    TRY(fetch_parameters(s, c));
    for (size_t i = SLOTS; i < s->slot_count && outer; i += 3)
        line += in[i].count / outer;
    for (int on_host = 0; on_host < 2 && !done; on_host++) {
        TRY(device_place(s, c, on_host, dims, in[SLOTS].rank, &out));
        if (line == 0)
            return NULL;
        TRY(put_parts(s, c, &out, outer, line, &done));
    }
    return done ? NULL : device_refused(s);
}

static void release(struct step *s)
{
    free(s->impl);
}

const struct kind transpose_kind = {.claims = claims_transpose,
                                    .compile = compile_transpose,
                                    .compute = compute_transpose,
                                    .release = release,
                                    .anywhere = true};
const struct kind concat_kind = {.claims = claims_concat,
                                 .compile = compile_concat,
                                 .compute = compute_concat,
                                 .release = release,
                                 .anywhere = true};
