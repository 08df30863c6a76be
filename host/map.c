/*
 * Maps: descriptor and run are checked, dimensions brought into the order that backends go by. Tables, of
 * pools too.
 */
#include <stdio.h>
#include <string.h>
#include "internal.h"

/* ---- maps ------------------------------------------------------------------------------------ */

static const char *const tensor_names[] = {"a", "b", "out"};

static int check_sizes(const struct qdot_map *m, struct qdot_error *err)
{
    size_t count = 1;
    if (m->rank < 1 || m->rank > QDOT_MAP_RANK)
        return qdot_fail(err, QDOT_INVALID, "map.rank: expected 1 to %d, got %zu", QDOT_MAP_RANK,
                         m->rank);
    if (m->operands < 0 || m->operands > 2)
        return qdot_fail(err, QDOT_INVALID, "map.operands: expected 1 or 2, got %d", m->operands);
    if (m->operands == 2 && !m->table)
        return qdot_fail(err, QDOT_INVALID, "map.table: expected one with two operands, got NULL");
    for (size_t d = 0; d < m->rank; d++) {
        if (m->dims[d] == 0)
            return qdot_fail(err, QDOT_INVALID, "map.dims[%zu]: expected at least 1", d);
        if (!qdot_mul_size(count, m->dims[d], &count))
            return qdot_fail(err, QDOT_INVALID, "map.dims: the elements overflow 63 bits");
        if (m->operands < 2 && m->b_stride[d])
            return qdot_fail(err, QDOT_INVALID, "map.b_stride[%zu]: expected 0 with one operand",
                             d);
    }
    return QDOT_OK;
}

/* Dimensions of more than one element, by falling stride of out. */
static void sort_dimensions(const struct qdot_map *m, struct qdot_mapping *s)
{
    for (size_t d = 0; d < m->rank; d++) {
        if (m->dims[d] == 1)
            continue;
        size_t at = s->rank++;
        for (; at > 0 && s->stride[QDOT_MAP_OUT][at - 1] < m->out_stride[d]; at--) {
            s->dims[at] = s->dims[at - 1];
            for (int t = 0; t < QDOT_MAP_TENSORS; t++)
                s->stride[t][at] = s->stride[t][at - 1];
        }
        s->dims[at] = m->dims[d];
        s->stride[QDOT_MAP_A][at] = m->a_stride[d];
        s->stride[QDOT_MAP_B][at] = m->b_stride[d];
        s->stride[QDOT_MAP_OUT][at] = m->out_stride[d];
        if (s->counted < QDOT_MAP_RANK && at <= s->counted)
            s->counted++;
        if (d == 0)
            s->counted = at;
    }
}

/* No tensor is longer than 63 bits can say, no two elements of out are in one place. */
static int check_strides(const struct qdot_mapping *s, struct qdot_error *err)
{
    for (int t = 0; t < QDOT_MAP_TENSORS; t++) {
        size_t reach = 1; /* of the dimensions so far */
        for (size_t d = s->rank; d-- > 0;) {
            const size_t stride = s->stride[t][d];
            size_t more;
            if (t == QDOT_MAP_OUT && stride < reach)
                return qdot_fail(
                    err, QDOT_INVALID,
                    "map.out_stride: expected at least %zu where dims is %zu, got %zu: "
                    "elements would share bytes",
                    reach, s->dims[d], stride);
            if (!qdot_mul_size(stride, s->dims[d] - 1, &more) || more > (size_t)PTRDIFF_MAX - reach)
                return qdot_fail(err, QDOT_INVALID,
                                 "map.%s_stride: %zu elements %zu bytes apart overflow 63 bits",
                                 tensor_names[t], s->dims[d], stride);
            reach += more;
        }
    }
    return QDOT_OK;
}

/* Dimension d and the next one are one, for all tensors from 'first' on. A run may have less of what
 * is counted, so that what is around it must stay apart. */
static bool merges(const struct qdot_mapping *s, size_t d, int first)
{
    if (d + 1 == s->counted)
        return false;
    for (int t = first; t < QDOT_MAP_TENSORS; t++)
        if (s->stride[t][d] != s->stride[t][d + 1] * s->dims[d + 1])
            return false;
    return true;
}

static void merge_dimensions(struct qdot_mapping *s, int first)
{
    for (size_t d = s->rank - 1; d-- > 0;) {
        if (!merges(s, d, first))
            continue;
        if (d == s->counted)
            s->per *= s->dims[d + 1];
        s->dims[d] *= s->dims[d + 1];
        for (int t = 0; t < QDOT_MAP_TENSORS; t++)
            s->stride[t][d] = s->stride[t][d + 1];
        s->rank--;
        for (size_t i = d + 1; i < s->rank; i++) {
            s->dims[i] = s->dims[i + 1];
            for (int t = 0; t < QDOT_MAP_TENSORS; t++)
                s->stride[t][i] = s->stride[t][i + 1];
        }
        if (s->counted > d && s->counted < QDOT_MAP_RANK)
            s->counted--;
    }
}

int qdot_check_map(const struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err)
{
    const struct qdot_map *m = &desc->map;
    struct qdot_mapping *s = &p->map;
    const char *given = desc->a_type                       ? "a_type"
                        : desc->out_type                   ? "out_type"
                        : desc->clamp_lo || desc->clamp_hi ? "clamp_lo, clamp_hi"
                                                           : NULL;
    if (given)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0 with this kind of op", given);
    int status = qdot_check_no_product(desc, err);
    if (status == QDOT_OK)
        status = check_sizes(m, err);
    if (status != QDOT_OK)
        return status;
    *s = (struct qdot_mapping){.counted = SIZE_MAX, .per = 1, .operands = m->operands == 2 ? 2 : 1};
    sort_dimensions(m, s);
    status = check_strides(s, err);
    if (status != QDOT_OK)
        return status;
    if (s->rank == 0) { /* one element */
        s->rank = s->dims[0] = 1;
        for (int t = 0; t < QDOT_MAP_TENSORS; t++)
            s->stride[t][0] = 1;
    }
    merge_dimensions(s, QDOT_MAP_A);
    if (s->counted == SIZE_MAX) { /* every run has all of it */
        s->counted = 0;
        s->per = s->dims[0];
    }
    p->a_type = p->b_type = p->out_type = QDOT_U8;
    p->table = !m->table ? 0 : s->operands == 2 ? 65536 : 256;
    p->units = p->m = m->dims[0];
    p->unit_rows = p->n = 1;
    p->a_bytes = 1;
    for (size_t d = 1; d < m->rank; d++)
        p->a_bytes *= m->dims[d];
    p->out_bytes = p->a_bytes;
    return QDOT_OK;
}

struct qdot_mapping qdot_map_of_run(const struct qdot_problem *p, size_t m)
{
    struct qdot_mapping s = p->map;
    s.dims[s.counted] = m * s.per;
    return s;
}

size_t qdot_map_bytes(const struct qdot_mapping *s, int tensor)
{
    size_t bytes = 1;
    if (tensor == QDOT_MAP_B && s->operands < 2)
        return 0;
    for (size_t d = 0; d < s->rank; d++)
        bytes += (s->dims[d] - 1) * s->stride[tensor][d];
    return bytes;
}

struct qdot_mapping qdot_map_output(const struct qdot_mapping *map)
{
    struct qdot_mapping s = *map;
    merge_dimensions(&s, QDOT_MAP_OUT);
    return s;
}

bool qdot_map_is_line(const struct qdot_mapping *s)
{
    bool line = s->rank == 1;
    for (int t = 0; t < QDOT_MAP_TENSORS; t++)
        line = line && (s->stride[t][0] == 1 || (t == QDOT_MAP_B && s->operands < 2));
    return line;
}

bool qdot_map_is_whole(const struct qdot_mapping *s)
{
    const struct qdot_mapping out = qdot_map_output(s);
    return out.rank == 1 && out.stride[QDOT_MAP_OUT][0] == 1;
}

void qdot_map_copy(const struct qdot_mapping *map, const uint8_t *from, uint8_t *out)
{
    const struct qdot_mapping s = qdot_map_output(map);
    const size_t *stride = s.stride[QDOT_MAP_OUT], last = s.rank - 1;
    const bool line = stride[last] == 1;
    const size_t each = line ? s.dims[last] : 1, dims = line ? last : s.rank;
    size_t index[QDOT_MAP_RANK] = {0}, at = 0;
    for (;;) {
        memcpy(out + at, from + at, each);
        size_t d = dims;
        for (; d > 0; d--) {
            at += stride[d - 1];
            if (++index[d - 1] < s.dims[d - 1])
                break;
            at -= s.dims[d - 1] * stride[d - 1];
            index[d - 1] = 0;
        }
        if (d == 0)
            return;
    }
}

int qdot_check_map_run(const struct qdot_op *op, const struct qdot_run *r, struct qdot_error *err)
{
    const struct qdot_mapping s = qdot_map_of_run(&op->p, r->m);
    const struct qdot_input out = {r->out.host, r->out.buffer, r->out.offset_bytes};
    const struct {
        const char *name;
        const struct qdot_input *in;
        size_t bytes;
    } operands[] = {
        {"a", &r->a, qdot_map_bytes(&s, QDOT_MAP_A)},
        {"b", &r->b, qdot_map_bytes(&s, QDOT_MAP_B)},
        {"out", &out, qdot_map_bytes(&s, QDOT_MAP_OUT)},
        {"a_zero", &r->a_zero, 0},
        {"row_scale", &r->row_scale, 0},
        {"scale", &r->scale, 0},
        {"zero", &r->zero, 0},
        {"scale_out", &(struct qdot_input){r->scale_out.host, r->scale_out.buffer, 0}, 0},
        {"zero_out", &(struct qdot_input){r->zero_out.host, r->zero_out.buffer, 0}, 0},
    };
    if (r->lda || r->ldo)
        return qdot_fail(err, QDOT_INVALID, "%s: expected 0: the descriptor has the strides",
                         r->lda ? "lda" : "ldo");
    for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++) {
        const size_t bytes = operands[i].bytes;
        const int status =
            qdot_check_input(op, operands[i].name, bytes > 0, operands[i].in, bytes, 1, err);
        if (status != QDOT_OK)
            return status;
    }
    const struct qdot_memory memory[] = {
        {"out", out.host, out.buffer, out.offset_bytes, operands[2].bytes},
        {"a", r->a.host, r->a.buffer, r->a.offset_bytes, operands[0].bytes},
        {"b", r->b.host, r->b.buffer, r->b.offset_bytes, operands[1].bytes},
    };
    return qdot_check_apart(memory, 1, 3, err);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

#define MAX_BYTES (((size_t)1 << 31) - 64)

static bool is_small(const char *name, size_t bytes, char *reason, size_t reason_bytes)
{
    if (bytes <= MAX_BYTES)
        return true;
    snprintf(reason, reason_bytes, "%s: %zu bytes from the first to the last, at most %zu", name,
             bytes, MAX_BYTES);
    return false;
}

bool qdot_bytes_fit(const struct qdot_problem *p, size_t bytes[QDOT_MAP_TENSORS], char *reason,
                    size_t reason_bytes)
{
    const bool map = p->op == QDOT_MAP;
    bytes[QDOT_MAP_A] = p->units * p->a_bytes;
    bytes[QDOT_MAP_B] = 0;
    bytes[QDOT_MAP_OUT] = p->m * p->n;
    for (int t = 0; t < QDOT_MAP_TENSORS && map; t++)
        bytes[t] = qdot_map_bytes(&p->map, t);
    for (int t = 0; t < QDOT_MAP_TENSORS; t++)
        if (!is_small(tensor_names[t], bytes[t], reason, reason_bytes))
            return false;
    return !map || is_small("elements", p->units * p->a_bytes, reason, reason_bytes);
}

/* ---- tables ---------------------------------------------------------------------------------- */

int qdot_take_table(struct qdot_op *op, const struct qdot_op_desc *desc, struct qdot_error *err)
{
    const size_t bytes = op->p.table;
    if (bytes == 0)
        return QDOT_OK;
    op->table = qdot_alloc_raw(op->device, bytes);
    if (!op->table)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a table of %zu entries", bytes);
    memcpy(op->table, desc->map.table, bytes);
    return QDOT_OK;
}
