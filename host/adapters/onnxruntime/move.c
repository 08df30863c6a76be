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
    *yes = linear_fits(g) && g->values[X].rank > 0;
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

struct lines {
    const uint8_t *x;
    uint8_t *y;
    const uint8_t *table; /* NULL: none */
    size_t rank;
    size_t dims[MAX_RANK];  /* of the output, those that go together as one */
    size_t steps[MAX_RANK]; /* in X, from one index of them to the next */
    size_t edge;  /* of the last dimension but one done at once: a tile has that many lines */
    size_t tiles; /* of each such dimension */
};

typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(1)));

/* 16 lines of 16 values, which lie 'step' apart in x: interleaved four times, each with that 8 behind. */
static inline void turn_16(const uint8_t *x, size_t step, uint8_t *y, size_t count)
{
    bytes16 v[16], t[16];
    for (size_t i = 0; i < 16; i++)
        memcpy(&v[i], x + i * step, 16);
    for (int pass = 0; pass < 4; pass++) {
        for (size_t i = 0; i < 8; i++) {
            t[2 * i] = __builtin_shufflevector(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                               21, 6, 22, 7, 23);
            t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                   28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, t, sizeof(v));
    }
    for (size_t i = 0; i < 16; i++)
        memcpy(y + i * count, &v[i], 16);
}

static void turn(const uint8_t *x, size_t step, uint8_t *y, size_t lines, size_t count)
{
    const size_t whole_lines = lines & ~(size_t)15, whole = count & ~(size_t)15;
    for (size_t j = 0; j < whole; j += 16)
        for (size_t i = 0; i < whole_lines; i += 16)
            turn_16(x + j * step + i, step, y + i * count + j, count);
    for (size_t j = 0; j < count; j++)
        for (size_t i = j < whole ? whole_lines : 0; i < lines; i++)
            y[i * count + j] = x[j * step + i];
}

/* Lines of the output along its last dimension, whose values lie 'step' apart in X; the lines begin
 * 'next' apart there. Where that is less, X is read in its own order. */
static void copy_lines(const uint8_t *x, size_t step, size_t next, uint8_t *y, size_t lines,
                       size_t count)
{
    if (step == 1)
        for (size_t i = 0; i < lines; i++)
            memcpy(y + i * count, x + i * next, count);
    else if (next == 1)
        turn(x, step, y, lines, count);
    else
        for (size_t i = 0; i < lines; i++)
            for (size_t j = 0; j < count; j++)
                y[i * count + j] = x[i * next + j * step];
}

static void do_tiles(void *arg, size_t begin, size_t end)
{
    const struct lines *l = arg;
    const size_t last = l->rank - 1, count = l->dims[last];
    for (size_t tile = begin; tile < end; tile++) {
        const size_t first = tile % l->tiles * l->edge, outer = tile / l->tiles;
        const size_t rest = l->dims[last - 1] - first;
        size_t at = first * l->steps[last - 1], index = outer;
        for (size_t i = last - 1; i-- > 0;) {
            at += index % l->dims[i] * l->steps[i];
            index /= l->dims[i];
        }
        const size_t lines = rest < l->edge ? rest : l->edge;
        uint8_t *const y = l->y + (outer * l->dims[last - 1] + first) * count;
        copy_lines(l->x + at, l->steps[last], l->steps[last - 1], y, lines, count);
        if (l->table)
            table_apply(l->table, y, y, lines * count);
    }
}

/* Dimensions that follow one another in X as well become one; there are two at least. */
static void join(struct lines *l)
{
    size_t rank = 0;
    for (size_t i = 0; i < l->rank; i++) {
        if (rank && l->steps[rank - 1] == l->steps[i] * l->dims[i]) {
            l->dims[rank - 1] *= l->dims[i];
            l->steps[rank - 1] = l->steps[i];
        } else if (l->dims[i] != 1 || (i + 1 == l->rank && rank == 0)) {
            l->dims[rank] = l->dims[i];
            l->steps[rank++] = l->steps[i];
        }
    }
    if (rank == 1) {
        l->dims[1] = l->dims[0];
        l->steps[1] = l->steps[0];
        l->dims[0] = 1;
        l->steps[0] = 0;
        rank = 2;
    }
    l->rank = rank;
    l->edge = (4096 / l->dims[rank - 1] + 16) & ~(size_t)15;
    l->tiles = (l->dims[rank - 2] + l->edge - 1) / l->edge;
}

static OrtStatus *turn_on_device(struct step *s, struct call *c, const struct lines *l,
                                 const int64_t *dims, bool *done)
{
    const struct qdot_input x = input_at(&c->in[X], 0);
    struct qdot_output out;
    struct qdot_map map = {.rank = l->rank};
    size_t step = 1;
    *done = false;
    if (l->rank > QDOT_MAP_RANK)
        return NULL;
    for (size_t i = l->rank; i-- > 0;) {
        map.dims[i] = l->dims[i];
        map.a_stride[i] = l->steps[i];
        map.out_stride[i] = step;
        step *= l->dims[i];
    }
    TRY(call_place(c, 0, dims, c->in[X].rank, &out));
    return device_map(s, c, 0, &map, l->table, &x, &out, done);
}

static OrtStatus *compute_transpose(struct step *s, struct call *c)
{
    const struct transpose *p = s->impl;
    const struct tensor *x = &c->in[X];
    struct lines lines = {.rank = x->rank};
    int64_t dims[MAX_RANK];
    struct linear l;
    uint8_t table[256];
    size_t steps[MAX_RANK], step = 1;
    bool done;
    void *y;
    if (x->rank < 1 || (p->rank && p->rank != x->rank))
        return fail(c->ort, "%s: expected a tensor of rank %zu, got %zu", s->op->name, p->rank,
                    x->rank);
    for (size_t i = x->rank; i-- > 0;) {
        steps[i] = step;
        step *= (size_t)x->dims[i];
    }
    for (size_t i = 0; i < x->rank; i++) {
        const int64_t from = p->rank ? p->order[i] : (int64_t)(x->rank - 1 - i);
        if (from < 0 || (size_t)from >= x->rank)
            return fail(c->ort, "%s: expected a permutation of %zu dimensions", s->op->name,
                        x->rank);
        dims[i] = x->dims[from];
        lines.dims[i] = (size_t)dims[i];
        lines.steps[i] = steps[from];
    }
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &l));
    if (table_make(&l, 1, -FLT_MAX, FLT_MAX, table))
        lines.table = table;
    if (x->count == 0)
        return call_output(c, 0, dims, x->rank, &y);
    join(&lines);
    if (x->buffer) {
        TRY(turn_on_device(s, c, &lines, dims, &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, dims, x->rank, &y));
    lines.x = x->data;
    lines.y = y;
    const size_t tile = lines.edge * lines.dims[lines.rank - 1];
    const size_t tiles =
        x->count / (lines.dims[lines.rank - 1] * lines.dims[lines.rank - 2]) * lines.tiles;
    return call_share(c, tiles, 65536 / tile + 1, do_tiles, &lines);
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

static void put_part(const struct part *p, const uint8_t *x, uint8_t *out, size_t outer,
                     size_t line)
{
    for (size_t j = 0; j < outer; j++, x += p->bytes) {
        uint8_t *const y = out + j * line + p->at;
        if (p->changes)
            table_apply(p->table, x, y, p->bytes);
        else
            memcpy(y, x, p->bytes);
    }
}

static OrtStatus *part_on_device(struct step *s, struct call *c, const struct part *p,
                                 const struct qdot_output *out, size_t outer, size_t line,
                                 bool *done)
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

static OrtStatus *concat_on_device(struct step *s, struct call *c, const int64_t *dims,
                                   size_t outer, size_t line, bool *done)
{
    struct qdot_output out;
    size_t at = 0;
    TRY(call_place(c, 0, dims, c->in[SLOTS].rank, &out));
    *done = true;
    for (size_t i = SLOTS; i < s->slot_count && *done; i += 3) {
        const struct part p = part_of(s, c->in, i, at, outer);
        if (p.bytes)
            TRY(part_on_device(s, c, &p, &out, outer, line, done));
        at += p.bytes;
    }
    return NULL;
}

static OrtStatus *compute_concat(struct step *s, struct call *c)
{
    const struct tensor *in = c->in;
    int64_t dims[MAX_RANK];
    size_t outer = 0, line = 0, at = 0;
    bool there = false;
    void *out;
    TRY(concat_shape(s, c, dims, &outer));
    TRY(fetch_parameters(s, c));
    for (size_t i = SLOTS; i < s->slot_count && outer; i += 3) {
        line += in[i].count / outer;
        there = there || in[i].buffer;
    }
    if (there && line) {
        TRY(concat_on_device(s, c, dims, outer, line, &there));
        if (there)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, dims, in[SLOTS].rank, &out));
    for (size_t i = SLOTS; i < s->slot_count && outer; i += 3) {
        const struct part p = part_of(s, in, i, at, outer);
        put_part(&p, in[i].data, out, outer, line);
        at += p.bytes;
    }
    return NULL;
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
