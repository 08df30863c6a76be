/*
 * The known-answer self-test that admits a row on a device: two small problems that between them
 * touch every term of the sum, both kinds of narrow rounding, saturation, the float steps and the
 * tails of every dimension, with operands at the ends of their ranges. The answers come from plain
 * loops over the definition in qdot.h. Drivers advertise what they lack and compile what they
 * cannot run; this is what the dispatcher believes instead.
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "selftest.h"

struct test {
    size_t m, n, k;
    struct qdot_op_desc desc;
    uint8_t *a, *b;
    int16_t *a_less, *b_less; /* less their zero points: [m][k] and [n][k] */
    int32_t *a_zero, *b_zero, *bias;
    float *scale, *row_scale, *bias_f;
    uint8_t *out, *want;
};

static void answer(const struct test *t, size_t i, size_t j)
{
    const struct qdot_op_desc *d = &t->desc;
    const int16_t *a = t->a_less + i * t->k, *b = t->b_less + j * t->k;
    int32_t sum = 0; /* of few products: it cannot overflow */
    for (size_t k = 0; k < t->k; k++)
        sum += a[k] * b[k];
    const uint32_t acc = (uint32_t)t->bias[j] + (uint32_t)sum;
    uint8_t *want = t->want + (i * t->n + j) * (d->out_type == QDOT_U8 ? 1 : 4);
    if (d->out_type == QDOT_S32) {
        memcpy(want, &acc, 4);
        return;
    }
    volatile float real = (float)(int32_t)acc; /* volatile: each step rounds, none is fused */
    real = real * t->scale[j];
    if (d->out_type == QDOT_F32) {
        real = real * t->row_scale[i];
        real = real + t->bias_f[j];
        const float result = real;
        memcpy(want, &result, 4);
        return;
    }
    double rounded = nearbyint((double)real) + d->out_zero;
    rounded = rounded < d->clamp_lo ? d->clamp_lo : rounded > d->clamp_hi ? d->clamp_hi : rounded;
    *want = (uint8_t)(int)rounded;
}

static void fill(struct test *t)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < t->m * t->k; i++)
        t->a[i] = byte(&state);
    for (size_t i = 0; i < t->k * t->n; i++)
        t->b[i] = byte(&state);
    for (size_t i = 0; i < t->m; i++) {
        t->a_zero[i] = value(byte(&state), t->desc.a_type);
        t->row_scale[i] = i == 0 ? 0x1p-120f : 0.37f; /* row 0: subnormal products */
    }
    for (size_t j = 0; j < t->n; j++) {
        t->b_zero[j] = value(byte(&state), t->desc.b_type);
        t->bias[j] = (int32_t)next(&state) - (1 << 23);
        t->bias_f[j] = j % 3 == 0 ? 0x1p-140f : -1.25f;
        t->scale[j] = j % 2 ? 0x1p-17f : -1.7e-5f; /* powers of two give ties */
    }
    const struct qdot_op_desc *d = &t->desc;
    for (size_t k = 0; k < t->k; k++) {
        for (size_t i = 0; i < t->m; i++)
            t->a_less[i * t->k + k] = (int16_t)(value(t->a[i * t->k + k], d->a_type) -
                                                (d->a_zero_per_row ? t->a_zero[i] : d->a_zero));
        for (size_t j = 0; j < t->n; j++)
            t->b_less[j * t->k + k] =
                (int16_t)(value(t->b[k * t->n + j], d->b_type) - t->b_zero[j]);
    }
}

static int run_test(struct qdot_device *device, const struct qdot_row *row, struct test *t,
                    char *reason, size_t reason_bytes)
{
    struct qdot_problem p;
    struct qdot_error err = {0};
    struct qdot_op *op;
    static const char *const names[] = {[QDOT_U8] = "u8", [QDOT_S32] = "s32", [QDOT_F32] = "f32"};
    const bool floating = t->desc.out_type == QDOT_F32;
    t->desc.m = t->m;
    t->desc.n = t->n;
    t->desc.k = t->k;
    t->desc.b = t->b;
    t->desc.b_zero = t->b_zero;
    t->desc.b_zero_count = t->n;
    t->desc.bias = t->bias;
    t->desc.scale = t->scale;
    t->desc.scale_count = t->n;
    t->desc.row_scale = floating;
    t->desc.bias_f = floating ? t->bias_f : NULL;
    fill(t);
    int status = checked(device, row, &t->desc, &p, &err);
    const size_t bytes = t->m * t->n * (t->desc.out_type == QDOT_U8 ? 1 : 4);
    memset(t->out, 0xaa, bytes);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++)
            answer(t, i, j);
    struct qdot_run run = {.a = {.host = t->a}, .out = {.host = t->out}};
    if (t->desc.a_zero_per_row)
        run.a_zero.host = t->a_zero;
    if (t->desc.row_scale)
        run.row_scale.host = t->row_scale;
    if (status == QDOT_OK)
        status = qdot_op_build(device, row, &t->desc, &p, &op, &err);
    if (status == QDOT_OK) {
        status = qdot_op_run(op, &run, &err);
        qdot_op_destroy(op);
    }
    if (status != QDOT_OK) {
        snprintf(reason, reason_bytes, "self-test: %.160s", err.text);
        return status;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (t->out[i] != t->want[i]) {
            snprintf(reason, reason_bytes,
                     "self-test: %s output, byte %zu is 0x%02x, expected 0x%02x",
                     names[t->desc.out_type], i, t->out[i], t->want[i]);
            return QDOT_UNSUPPORTED;
        }
    }
    return QDOT_OK;
}

int qdot_selftest(struct qdot_device *device, const struct qdot_row *row, char *reason,
                  size_t reason_bytes)
{
    struct test t = {
        .m = row->mr + 1u, .n = row->nr + 3u, .k = 2u * row->kr + 2u * row->pass + 41u};
    const size_t words = 6 * (t.m + t.n) + 2 * t.m * t.n;
    fenv_t callers; /* the answers need round-to-nearest and subnormals, whatever the thread has */
    int32_t *memory = qdot_alloc(device, words * 4 + 3 * (t.m * t.k + t.k * t.n));
    if (!memory) {
        snprintf(reason, reason_bytes, "self-test: no memory");
        return QDOT_NO_MEMORY;
    }
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    t.a_zero = memory;
    t.b_zero = t.a_zero + t.m;
    t.bias = t.b_zero + t.n;
    t.scale = (float *)(void *)(t.bias + t.n);
    t.bias_f = t.scale + t.n;
    t.row_scale = t.bias_f + t.n;
    t.out = (uint8_t *)(t.row_scale + t.m);
    t.want = t.out + t.m * t.n * 4;
    t.a_less = (int16_t *)(void *)(t.want + t.m * t.n * 4);
    t.b_less = t.a_less + t.m * t.k;
    t.a = (uint8_t *)(t.b_less + t.n * t.k);
    t.b = t.a + t.m * t.k;
    t.desc = (struct qdot_op_desc){.a_type = QDOT_U8,
                                   .b_type = QDOT_S8,
                                   .out_type = QDOT_U8,
                                   .a_zero = 131,
                                   .out_zero = 3,
                                   .clamp_lo = 1,
                                   .clamp_hi = 250};
    int status = run_test(device, row, &t, reason, reason_bytes);
    t.desc = (struct qdot_op_desc){
        .a_type = QDOT_S8, .b_type = QDOT_U8, .out_type = QDOT_F32, .a_zero_per_row = 1};
    if (status == QDOT_OK)
        status = run_test(device, row, &t, reason, reason_bytes);
    fesetenv(&callers);
    qdot_release(device, memory);
    return status;
}
