/*
 * The self-test of rows for maps and for pools: copies, tables of one and of two operands, broadcast and
 * transposed, outputs with gaps; windows with padding, strides and dilations in both layouts, averages by
 * all formulas. The answers come from plain loops over qdot.h.
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "selftest.h"

enum { BYTES = 4096, TABLE = 65536 };

struct data {
    uint8_t a[BYTES], b[BYTES], out[BYTES], want[BYTES], table[TABLE];
};

static const struct qdot_map maps[] = {
    {.rank = 1, .dims = {1003}, .a_stride = {1}, .out_stride = {1}},
    {.rank = 1, .dims = {1029}, .a_stride = {1}, .b_stride = {1}, .out_stride = {1}, .operands = 2},
    /* transposed */
    {.rank = 3,
     .dims = {2, 37, 11},
     .a_stride = {407, 1, 37},
     .out_stride = {407, 11, 1},
     .operands = 1},
    /* broadcast, of a part into a part */
    {.rank = 4,
     .dims = {3, 5, 7, 9},
     .a_stride = {0, 70, 10, 1},
     .b_stride = {9, 0, 0, 1},
     .out_stride = {700, 140, 20, 2},
     .operands = 2},
    {.rank = 2, .dims = {19, 6}, .a_stride = {13, 2}, .out_stride = {1, 40}},
};

static const struct qdot_op_desc pools[] = {
    {.conv = {.batch = 2,
              .height = 9,
              .width = 7,
              .channels = 19,
              .kernel_h = 3,
              .kernel_w = 3,
              .stride_h = 2,
              .stride_w = 2,
              .pad_top = 1,
              .pad_left = 1,
              .pad_right = 2}},
    {.conv = {.batch = 2,
              .height = 12,
              .width = 13,
              .channels = 5,
              .kernel_h = 2,
              .kernel_w = 3,
              .stride_w = 2,
              .dilation_w = 2,
              .pad_left = 2,
              .pad_bottom = 1,
              .layout = QDOT_NCHW},
     .a_type = QDOT_S8},
};

/* What pools become for an average, one after the other, each of both. */
static const struct qdot_op_desc averages[] = {
    {.average = {0.0371f, 0.0289f, 0}, .a_zero = 101, .out_zero = 67, .rounding = 1},
    {.average = {0.0371f, 0.0289f, 1}, .a_zero = 113, .out_zero = 5, .clamp_lo = 7, .clamp_hi = 99},
    {.average = {1, 2, 0}, .a_zero = 3, .out_zero = 98, .rounding = 1, .out_type = QDOT_U8},
    {.a_zero = 0},
};

/* ---- answers --------------------------------------------------------------------------------- */

static void answer_map(const struct qdot_map *m, bool table, struct data *d)
{
    size_t count = 1;
    for (size_t i = 0; i < m->rank; i++)
        count *= m->dims[i];
    for (size_t i = 0; i < count; i++) {
        size_t a = 0, b = 0, out = 0, rest = i;
        for (size_t j = m->rank; j-- > 0; rest /= m->dims[j]) {
            a += rest % m->dims[j] * m->a_stride[j];
            b += rest % m->dims[j] * m->b_stride[j];
            out += rest % m->dims[j] * m->out_stride[j];
        }
        d->want[out] = m->operands == 2 ? d->table[d->a[a] * 256 + d->b[b]]
                       : table          ? d->table[d->a[a]]
                                        : d->a[a];
    }
}

static size_t element(const struct qdot_geometry *g, size_t h, size_t w, size_t n, size_t y,
                      size_t x, size_t c)
{
    return g->nchw ? ((n * g->c + c) * h + y) * w + x : ((n * h + y) * w + x) * g->c + c;
}

static uint8_t largest(const struct qdot_problem *p, const struct data *d, size_t n, size_t oy,
                       size_t ox, size_t c)
{
    const struct qdot_geometry *g = &p->conv;
    int32_t most = INT32_MIN;
    for (size_t i = 0; i < g->kh * g->kw; i++) {
        const size_t y = oy * g->stride_h + i / g->kw * g->dilation_h - (size_t)g->pad_top;
        const size_t x = ox * g->stride_w + i % g->kw * g->dilation_w - (size_t)g->pad_left;
        if (y >= g->h || x >= g->w) /* what is negative is large */
            continue;
        const int32_t v = value(d->a[element(g, g->h, g->w, n, y, x, c)], p->a_type);
        most = v > most ? v : most;
    }
    return (uint8_t)most;
}

/* With scales that no power of two was taken from. */
static uint8_t average(const struct qdot_problem *p, const struct qdot_average *v,
                       const struct data *d, size_t n, size_t oy, size_t ox, size_t c)
{
    const struct qdot_geometry *g = &p->conv;
    const bool first = p->rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    int32_t taps = 0, whole = 0;
    float sum = 0;
    for (size_t i = 0; i < g->kh * g->kw; i++) {
        const size_t y = oy * g->stride_h + i / g->kw * g->dilation_h - (size_t)g->pad_top;
        const size_t x = ox * g->stride_w + i % g->kw * g->dilation_w - (size_t)g->pad_left;
        if (y >= g->h || x >= g->w)
            continue;
        const int32_t q = value(d->a[element(g, g->h, g->w, n, y, x, c)], p->a_type);
        whole += q;
        sum += v->a_scale * (float)(q - p->a_zero);
        taps++;
    }
    int32_t out = (whole > 0 ? whole + taps / 2 : whole - taps / 2) / taps;
    if (p->average.scaled) {
        const float divided = sum / (float)(v->count_padding ? (int32_t)p->k : taps) / v->out_scale;
        out = first ? (int32_t)rintf(divided + (float)p->out_zero)
                    : (int32_t)rintf(divided) + p->out_zero;
    }
    return (uint8_t)(out < p->clamp_lo ? p->clamp_lo : out > p->clamp_hi ? p->clamp_hi : out);
}

static void answer_pool(const struct qdot_problem *p, const struct qdot_op_desc *desc,
                        struct data *d)
{
    const bool table = desc->map.table != NULL;
    const struct qdot_geometry *g = &p->conv;
    for (size_t i = 0; i < g->batch * g->oh * g->ow * g->c; i++) {
        const size_t c = i % g->c, x = i / g->c % g->ow, y = i / g->c / g->ow % g->oh;
        const size_t n = i / g->c / g->ow / g->oh;
        const uint8_t pooled = p->op == QDOT_MAX_POOL ? largest(p, d, n, y, x, c)
                                                      : average(p, &desc->average, d, n, y, x, c);
        d->want[element(g, g->oh, g->ow, n, y, x, c)] = table ? d->table[pooled] : pooled;
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static int run_test(struct qdot_device *device, const struct qdot_row *row,
                    const struct qdot_op_desc *desc, struct data *d, struct qdot_error *err)
{
    struct qdot_problem p;
    struct qdot_op *op;
    struct qdot_run run = {.a = {.host = d->a}, .out = {.host = d->out}};
    if (desc->map.operands == 2)
        run.b.host = d->b;
    memset(d->out, 0xaa, BYTES);
    memset(d->want, 0xaa, BYTES);
    int status = qdot_check_desc(desc, &p, err);
    char reason[192];
    if (status != QDOT_OK)
        return status;
    if (!device->backend->fits(device, row, &p, reason, sizeof(reason)))
        return QDOT_OK; /* averages of floats where those are not rounded as they must be */
    if (desc->kind == QDOT_MAP)
        answer_map(&desc->map, desc->map.table != NULL, d);
    else
        answer_pool(&p, desc, d);
    status = qdot_op_build(device, row, desc, &p, &op, err);
    if (status == QDOT_OK) {
        status = qdot_op_run(op, &run, err);
        qdot_op_destroy(op);
    }
    for (size_t i = 0; i < BYTES && status == QDOT_OK; i++)
        if (d->out[i] != d->want[i])
            status = qdot_fail(err, QDOT_UNSUPPORTED, "byte %zu is 0x%02x, expected 0x%02x", i,
                               d->out[i], d->want[i]);
    return status;
}

static int run_tests(struct qdot_device *device, const struct qdot_row *row, struct data *d,
                     struct qdot_error *err)
{
    const bool map = row->op == QDOT_MAP, average = row->op == QDOT_AVERAGE_POOL;
    const size_t count = map       ? sizeof(maps) / sizeof(maps[0])
                         : average ? sizeof(averages) / sizeof(averages[0])
                                   : sizeof(pools) / sizeof(pools[0]);
    int status = QDOT_OK;
    for (size_t i = 0; i < 2 * count && status == QDOT_OK; i++) {
        struct qdot_op_desc desc = {0};
        if (map)
            desc.map = maps[i / 2];
        else if (average)
            desc = averages[i / 2];
        else
            desc = pools[i / 2];
        if (average) {
            desc.conv = pools[i % 2].conv;
            desc.a_type = pools[i % 2].a_type;
        }
        desc.kind = row->op;
        if (!average && (i % 2 || desc.map.operands == 2))
            desc.map.table = d->table;
        status = run_test(device, row, &desc, d, err);
    }
    return status;
}

int qdot_selftest_map(struct qdot_device *device, const struct qdot_row *row, char *reason,
                      size_t reason_bytes)
{
    struct data *d = qdot_alloc(device, sizeof(*d));
    struct qdot_error err = {0};
    uint32_t state = 12345;
    fenv_t callers;
    if (!d) {
        snprintf(reason, reason_bytes, "self-test: no memory");
        return QDOT_NO_MEMORY;
    }
    for (size_t i = 0; i < BYTES; i++) {
        d->a[i] = byte(&state);
        d->b[i] = byte(&state);
    }
    for (size_t i = 0; i < TABLE; i++)
        d->table[i] = (uint8_t)next(&state);
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    const int status = run_tests(device, row, d, &err);
    fesetenv(&callers);
    if (status != QDOT_OK)
        snprintf(reason, reason_bytes, "self-test: %.160s", err.text);
    qdot_release(device, d);
    return status;
}
