/*
 * The self-test of rows for quantize and its kin: every op and every type once, with ties, saturation,
 * what is not a number and what is subnormal. The answers come from plain loops over qdot.h.
 */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "selftest.h"

enum { OUTER = 2, AXIS = 5, INNER = 29, COUNT = OUTER * AXIS * INNER, PARAMETERS = 4 * INNER };

/* Of a parameter for each of axis, or of 'group' of it and each inner one. */
struct test {
    enum qdot_op_kind kind;
    enum qdot_type type;
    bool reciprocal;
    size_t group;
    bool at_run;
};

struct data {
    float x[COUNT], dy[COUNT], scale[OUTER * PARAMETERS];
    int32_t zero[OUTER * PARAMETERS], q[COUNT];
    uint8_t in[COUNT * 4], out[COUNT * 4], want[COUNT * 4];
    float scale_out[AXIS], want_scale[AXIS];
    int32_t zero_out[AXIS], want_zero[AXIS];
};

static const struct test tests[] = {
    {QDOT_QUANTIZE, QDOT_U8, false, 0, false},
    {QDOT_QUANTIZE, QDOT_S8, true, 0, true},
    {QDOT_QUANTIZE, QDOT_U16, false, 0, true},
    {QDOT_QUANTIZE, QDOT_S16, true, 2, false},
    {QDOT_QUANTIZE, QDOT_U4, false, 2, true},
    {QDOT_QUANTIZE, QDOT_S4, false, 0, false},
    {QDOT_DEQUANTIZE, QDOT_U8, false, 2, false},
    {QDOT_DEQUANTIZE, QDOT_S8, false, 0, false},
    {QDOT_DEQUANTIZE, QDOT_U16, false, 0, true},
    {QDOT_DEQUANTIZE, QDOT_S16, false, 2, true},
    {QDOT_DEQUANTIZE, QDOT_U4, false, 0, false},
    {QDOT_DEQUANTIZE, QDOT_S4, false, 2, false},
    {QDOT_DEQUANTIZE, QDOT_S32, false, 0, false},
    {QDOT_DYNAMIC_QUANTIZE, QDOT_U8, false, 0, false},
    {QDOT_FAKE_QUANTIZE, QDOT_S8, false, 0, false},
    {QDOT_FAKE_QUANTIZE, QDOT_U4, true, 2, false},
    {QDOT_FAKE_QUANTIZE_GRADIENT, QDOT_U8, false, 0, true},
    {QDOT_FAKE_QUANTIZE_GRADIENT, QDOT_S16, true, 2, false},
};

static bool is_signed(enum qdot_type type)
{
    return type == QDOT_S8 || type == QDOT_S16 || type == QDOT_S4;
}

static int bits_of(enum qdot_type type)
{
    return type == QDOT_U4 || type == QDOT_S4     ? 4
           : type == QDOT_U16 || type == QDOT_S16 ? 16
           : type == QDOT_S32                     ? 32
                                                  : 8;
}

static size_t parameter_of(const struct test *t, size_t i)
{
    const size_t inner = i % INNER, axis = i / INNER % AXIS, outer = i / INNER / AXIS;
    if (t->group)
        return (outer * ((AXIS + t->group - 1) / t->group) + axis / t->group) * INNER + inner;
    return axis;
}

/* As integer, before it is clamped. */
static double rounded(const struct test *t, float x, float scale, int32_t zero)
{
    volatile float quotient = x / scale, factor = 1.0f / scale; /* volatile: each step rounds */
    if (t->reciprocal)
        quotient = x * factor;
    return isnan(quotient) ? -INFINITY : nearbyint((double)quotient) + zero;
}

static void put(uint8_t *memory, enum qdot_type type, size_t i, int32_t value)
{
    const int bits = bits_of(type);
    if (bits == 4)
        memory[i / 2] = (uint8_t)(i % 2 ? memory[i / 2] | (value & 15) << 4 : value & 15);
    else
        memcpy(memory + i * (size_t)bits / 8, &value, (size_t)bits / 8); /* little-endian */
}

static void answer_dynamic(const struct test *t, struct data *d, size_t row, size_t count)
{
    const float *x = d->x + row * count;
    float most = 0, least = 0;
    for (size_t i = 0; i < count; i++) {
        most = x[i] > most ? x[i] : most;
        least = x[i] < least ? x[i] : least;
    }
    most = fminf(most, FLT_MAX);
    least = fmaxf(least, -FLT_MAX);
    volatile float range = fminf(most - least, FLT_MAX), scale = range / 255.0f;
    if (range < 0x1p-118f)
        scale = 1;
    d->want_scale[row] = scale;
    d->want_zero[row] = range < 0x1p-118f ? 0 : (int32_t)fmin(rounded(t, -least, scale, 0), 255);
    for (size_t i = 0; i < count; i++)
        put(d->want, QDOT_U8, row * count + i,
            (int32_t)fmax(fmin(rounded(t, x[i], scale, d->want_zero[row]), 255), 0));
}

static void answer(const struct test *t, struct data *d, size_t i, int32_t lo, int32_t hi)
{
    const size_t k = parameter_of(t, i);
    const float scale = d->scale[k];
    const int32_t zero = t->type == QDOT_S32 ? 0 : d->zero[k];
    const double n = rounded(t, d->x[i], scale, zero);
    const int32_t q = t->kind == QDOT_DEQUANTIZE ? d->q[i] : (int32_t)fmax(fmin(n, hi), lo);
    float value = (float)(q - zero) * scale;
    if (t->kind == QDOT_FAKE_QUANTIZE_GRADIENT)
        value = n >= lo && n <= hi ? d->dy[i] : 0;
    if (t->kind == QDOT_QUANTIZE)
        put(d->want, t->type, i, q);
    else
        memcpy(d->want + 4 * i, &value, 4);
}

static void fill(const struct test *t, struct data *d, int32_t lo, int32_t hi)
{
    static const float special[] = {NAN,      INFINITY,   -INFINITY, -0.0f,
                                    0x1p127f, -0x1p-126f, 0x1p-127f, 0x1.8p-140f};
    uint32_t state = 12345;
    const int32_t values = hi - lo + 1;
    const bool rows = t->kind == QDOT_DYNAMIC_QUANTIZE;
    for (size_t i = 0; i < OUTER * PARAMETERS; i++) {
        d->scale[i] = i % 3 == 0 ? 0.25f : i % 3 == 1 ? 0.0371f : 0x1p-126f;
        d->zero[i] = bits_of(t->type) == 32 ? 0 : lo + (int32_t)(next(&state) % (uint32_t)values);
    }
    for (size_t i = 0; i < COUNT; i++) {
        const size_t k = parameter_of(t, i);
        const int32_t halves = (int32_t)(next(&state) % 70000) - 35000;
        d->x[i] = (float)(bits_of(t->type) == 16 ? 4 * halves : halves % 1200) / 2 * d->scale[k];
        if (next(&state) % 4 == 0 && (!rows || i / (COUNT / AXIS) != 2))
            d->x[i] = special[next(&state) % (rows && i / (COUNT / AXIS) % 2 ? 1 : 8)];
        d->dy[i] = (float)halves;
        d->q[i] = bits_of(t->type) == 32 ? (int32_t)(next(&state) * 257u)
                                         : lo + (int32_t)(next(&state) % (uint32_t)values);
        if (t->kind == QDOT_DEQUANTIZE)
            put(d->in, t->type, i, d->q[i]);
    }
    memset(d->out, 0xaa, sizeof(d->out));
    memset(d->want, 0xaa, sizeof(d->want));
}

static int run_test(struct qdot_device *device, const struct qdot_row *row, const struct test *t,
                    struct data *d, struct qdot_error *err)
{
    const int bits = bits_of(t->type);
    const int32_t lo = is_signed(t->type) ? -(1 << (bits - 1)) : 0;
    const int32_t hi = bits == 32 ? 0 : lo + (1 << bits) - 1;
    const bool rows = t->kind == QDOT_DYNAMIC_QUANTIZE, back = t->kind == QDOT_DEQUANTIZE;
    const size_t count = t->group ? OUTER * ((AXIS + t->group - 1) / t->group) * INNER : AXIS;
    struct qdot_problem p;
    struct qdot_op *op;
    fill(t, d, lo, hi);
    struct qdot_op_desc desc = {
        .kind = t->kind,
        .quantize = {.type = t->type,
                     .outer = rows ? 1 : OUTER,
                     .axis = AXIS,
                     .inner = rows ? COUNT / AXIS : INNER,
                     .group = t->group,
                     .scale = rows || t->at_run ? NULL : d->scale,
                     .scale_count = count,
                     .zero = rows || t->at_run || bits == 32 ? NULL : d->zero,
                     .zero_count = rows || bits == 32 ? 0 : count,
                     .reciprocal = t->reciprocal}};
    struct qdot_run run = {.a = {.host = back ? (void *)d->in : d->x}, .out = {.host = d->out}};
    if (t->at_run) {
        run.scale.host = d->scale;
        run.zero.host = d->zero;
    }
    if (t->kind == QDOT_FAKE_QUANTIZE_GRADIENT)
        run.b.host = d->dy;
    if (rows) {
        run.scale_out.host = d->scale_out;
        run.zero_out.host = d->zero_out;
    }
    for (size_t i = 0; i < COUNT && !rows; i++)
        answer(t, d, i, lo, hi);
    for (size_t i = 0; i < AXIS && rows; i++)
        answer_dynamic(t, d, i, COUNT / AXIS);
    int status = qdot_check_desc(&desc, &p, err);
    if (status == QDOT_OK)
        status = qdot_op_build(device, row, &desc, &p, &op, err);
    if (status == QDOT_OK) {
        status = qdot_op_run(op, &run, err);
        qdot_op_destroy(op);
    }
    if (status != QDOT_OK)
        return status;
    for (size_t i = 0; i < sizeof(d->out); i++)
        if (d->out[i] != d->want[i])
            return qdot_fail(err, QDOT_UNSUPPORTED,
                             "op %d, type %d, byte %zu is 0x%02x, expected "
                             "0x%02x",
                             (int)t->kind, (int)t->type, i, d->out[i], d->want[i]);
    if (rows && (memcmp(d->scale_out, d->want_scale, sizeof(d->want_scale)) != 0 ||
                 memcmp(d->zero_out, d->want_zero, sizeof(d->want_zero)) != 0))
        return qdot_fail(err, QDOT_UNSUPPORTED, "scales or zeros of dynamic quantize");
    return QDOT_OK;
}

int qdot_selftest_elements(struct qdot_device *device, const struct qdot_row *row, char *reason,
                           size_t reason_bytes)
{
    struct data *d = qdot_alloc(device, sizeof(*d));
    struct qdot_error err = {0};
    fenv_t callers; /* the answers need round-to-nearest and subnormals, whatever the thread has */
    int status = QDOT_OK;
    if (!d) {
        snprintf(reason, reason_bytes, "self-test: no memory");
        return QDOT_NO_MEMORY;
    }
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]) && status == QDOT_OK; i++)
        status = run_test(device, row, &tests[i], d, &err);
    fesetenv(&callers);
    if (status != QDOT_OK)
        snprintf(reason, reason_bytes, "self-test: %.160s", err.text);
    qdot_release(device, d);
    return status;
}
