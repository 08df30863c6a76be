/* Quantize and its kin in the API: every rule broken once, and what conform does not look at. */
#include "api.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { OUTER = 2, AXIS = 3, INNER = 5, COUNT = OUTER * AXIS * INNER };

static const float scales[COUNT] = {0.5f, 0.25f, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    1,    1,     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const int32_t zeros[COUNT] = {3, 0, 255};
static const int32_t bad_zeros[AXIS] = {0, 256, 0};
static const float bad_scales[][AXIS] = {
    {1, 0, 1}, {1, -1, 1}, {1, INFINITY, 1}, {1, NAN, 1}, {1, 0x1p-127f, 1}};

static struct qdot_op_desc good_op(void)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = QDOT_QUANTIZE,
                                 .quantize = {.outer = OUTER,
                                              .axis = AXIS,
                                              .inner = INNER,
                                              .scale = scales,
                                              .scale_count = AXIS,
                                              .zero = zeros,
                                              .zero_count = AXIS}};
}

/* ---- the descriptor -------------------------------------------------------------------------- */

/* X(name, text that the error must contain, what breaks the rule) */
#define RULES(X)                                                                         \
    X(m, "m:", d->m = 1)                                                                 \
    X(n, "n:", d->n = 1)                                                                 \
    X(k, "k:", d->k = 1)                                                                 \
    X(a_type, "a_type", d->a_type = QDOT_U8)                                             \
    X(b_type, "b_type", d->b_type = QDOT_S8)                                             \
    X(out_type, "out_type", d->out_type = QDOT_U8)                                       \
    X(b, "b:", d->b = scales)                                                            \
    X(ldb, "ldb", d->ldb = 1)                                                            \
    X(b_transposed, "b_transposed", d->b_transposed = 1)                                 \
    X(packed, "packed", d->packed = scales)                                              \
    X(packed_bytes, "packed", d->packed_bytes = 1)                                       \
    X(a_zero, "a_zero", d->a_zero = 1)                                                   \
    X(a_zero_per_row, "a_zero", d->a_zero_per_row = 1)                                   \
    X(b_zero, "b_zero", d->b_zero = zeros)                                               \
    X(bias, "bias:", d->bias = zeros)                                                    \
    X(scale, "scale:", d->scale = scales)                                                \
    X(multiplier, "multiplier", d->multiplier_count = 1)                                 \
    X(shift, "multiplier", d->shift = zeros)                                             \
    X(row_scale, "row_scale", d->row_scale = 1)                                          \
    X(bias_f, "bias_f", d->bias_f = scales)                                              \
    X(out_zero, "out_zero", d->out_zero = 1)                                             \
    X(rounding, "rounding", d->rounding = QDOT_ROUND_MANT24_UP)                          \
    X(type_f32, "quantize.type", q->type = QDOT_F32)                                     \
    X(type_s32, "quantize.type", q->type = QDOT_S32)                                     \
    X(type_unknown, "quantize.type", q->type = (enum qdot_type)9)                        \
    X(type_negative, "quantize.type", q->type = (enum qdot_type) - 1)                    \
    X(sizes, "quantize.outer, axis, inner", q->outer = (size_t)1 << 60)                  \
    X(sizes_of_floats, "quantize.outer, axis, inner", q->inner = SIZE_MAX / 16)          \
    X(group, "quantize.group", q->group = AXIS + 1)                                      \
    X(scales_few, "quantize.scale_count", q->scale_count = AXIS - 1)                     \
    X(scales_many, "quantize.scale_count", q->scale_count = COUNT)                       \
    X(scales_none, "quantize.scale_count", q->scale_count = q->zero_count = 0)           \
    X(scales_of_groups, "quantize.scale_count", q->group = 2)                            \
    X(zeros_few, "quantize.zero_count", q->zero_count = 1)                               \
    X(zeros_none, "quantize.zero_count", q->zero_count = 0)                              \
    X(scale_zero, "quantize.scale[1]", q->scale = bad_scales[0])                         \
    X(scale_negative, "quantize.scale[1]", q->scale = bad_scales[1])                     \
    X(scale_infinite, "quantize.scale[1]", q->scale = bad_scales[2])                     \
    X(scale_nan, "quantize.scale[1]", q->scale = bad_scales[3])                          \
    X(scale_subnormal, "quantize.scale[1]", q->scale = bad_scales[4])                    \
    X(zero_beyond, "quantize.zero[1]", q->zero = bad_zeros)                              \
    X(zero_beyond_s8, "quantize.zero[2]", q->type = QDOT_S8)                             \
    X(zero_beyond_u4, "quantize.zero[2]", q->type = QDOT_U4)                             \
    X(clamp_order, "clamp_lo", (d->clamp_lo = 3, d->clamp_hi = 2))                       \
    X(clamp_beyond, "clamp_lo", d->clamp_hi = 256)                                       \
    X(clamp_beyond_s4, "clamp_lo",                                                       \
      (q->type = QDOT_S4, q->zero_count = 0, q->zero = NULL, d->clamp_lo = -9))          \
    X(s32_zero, "quantize.zero_count", (d->kind = QDOT_DEQUANTIZE, q->type = QDOT_S32))  \
    X(back_clamp, "clamp_lo", (d->kind = QDOT_DEQUANTIZE, d->clamp_hi = 9))              \
    X(back_reciprocal, "reciprocal", (d->kind = QDOT_DEQUANTIZE, q->reciprocal = 1))     \
    X(dynamic_scale, "quantize.scale", d->kind = QDOT_DYNAMIC_QUANTIZE)                  \
    X(dynamic_zero, "quantize.zero", (d->kind = QDOT_DYNAMIC_QUANTIZE, q->scale = NULL)) \
    X(dynamic_type, "quantize.type", (dynamic(d), q->type = QDOT_S8))                    \
    X(dynamic_group, "quantize.group", (dynamic(d), q->group = 2))                       \
    X(dynamic_outer, "quantize.outer", dynamic(d))                                       \
    X(dynamic_clamp, "clamp_lo", (dynamic(d), d->clamp_hi = 3))                          \
    X(kernel_of_products, "kernel", d->kernel = "gemm_12x16")

static void dynamic(struct qdot_op_desc *d)
{
    d->kind = QDOT_DYNAMIC_QUANTIZE;
    d->quantize.scale = NULL;
    d->quantize.zero = NULL;
    d->quantize.zero_count = 0;
}

static void test_descriptor(void **state)
{
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op *op;
    int status;
    (void)state;
#define BREAK(name, text, what)                                                     \
    {                                                                               \
        struct qdot_op_desc desc = good_op(), *d = &desc;                           \
        struct qdot_quantize *q = &d->quantize;                                     \
        (void)q;                                                                    \
        what;                                                                       \
        err = (struct qdot_error){0};                                               \
        status = qdot_op_create(device, d, &op, &err);                              \
        if (status == QDOT_UNSUPPORTED && strcmp(#name, "kernel_of_products") == 0) \
            status = err.status = QDOT_INVALID;                                     \
        api_expect(#name, status, QDOT_INVALID, &err, text);                        \
        assert_null(op);                                                            \
    }
    RULES(BREAK)
#undef BREAK
    qdot_close(device);
}

/* 2^40 elements are a right descriptor, whether there is memory for them or not. */
static void test_large(void **state)
{
    struct qdot_op_desc desc = {.size = sizeof(desc),
                                .kind = QDOT_DEQUANTIZE,
                                .quantize = {.axis = (size_t)1 << 30, .inner = (size_t)1 << 10}};
    struct qdot_error err = {0};
    char text[192];
    (void)state;
    assert_int_equal(qdot_problem_text(&desc, text, sizeof(text), &err), QDOT_OK);
    assert_string_equal(text, "dequantize 1x1073741824x1024 u8");
}

/* ---- the run --------------------------------------------------------------------------------- */

static void test_run(void **state)
{
    float x[COUNT + 1] = {0}, other[COUNT] = {0};
    uint8_t out[COUNT];
    struct qdot_op_desc desc = good_op();
    struct qdot_error err = {0};
    struct qdot_buffer *buffer;
    (void)state;
    desc.quantize.scale = NULL;
    desc.quantize.zero = NULL;
    struct api_made made = api_make(&desc);
    const struct qdot_run good = {.size = sizeof(good),
                                  .a.host = x,
                                  .out.host = out,
                                  .scale.host = scales,
                                  .zero.host = zeros};
    assert_int_equal(qdot_op_run(made.op, &good, &err), QDOT_OK);
    API_BROKEN("a:", run.a.host = NULL)
    API_BROKEN("a:", run.a.host = (const char *)x + 2)
    API_BROKEN("out:", run.out.host = NULL)
    API_BROKEN("scale:", run.scale.host = NULL)
    API_BROKEN("scale:", run.scale.host = (const char *)scales + 1)
    API_BROKEN("zero:", run.zero.host = NULL)
    API_BROKEN("b:", run.b.host = other)
    API_BROKEN("scale_out", run.scale_out.host = other)
    API_BROKEN("zero_out", run.zero_out.host = other)
    API_BROKEN("a_zero", run.a_zero.host = zeros)
    API_BROKEN("row_scale", run.row_scale.host = other)
    API_BROKEN("lda", run.lda = INNER)
    API_BROKEN("ldo", run.ldo = INNER)
    API_BROKEN("m:", run.m = OUTER + 1)
    API_BROKEN("out:", run.out.host = x)
    API_BROKEN("out:", run.out.host = (char *)x + sizeof(x) - 5)
    assert_int_equal(qdot_buffer_create(made.device, COUNT * 4, NULL, &buffer, &err), QDOT_OK);
    API_BROKEN("a:", (run.a.host = NULL, run.a.buffer = buffer, run.a.offset_bytes = 4))
    API_BROKEN("a:", (run.a.host = NULL, run.a.buffer = buffer, run.a.offset_bytes = 2))
    API_BROKEN("out:", (run.a.host = NULL, run.a.buffer = buffer, run.out.host = NULL,
                        run.out.buffer = buffer, run.out.offset_bytes = COUNT))
    qdot_buffer_destroy(buffer);
    size_t bytes;
    api_expect("packed", qdot_op_packed_bytes(made.op, &bytes, &err), QDOT_UNSUPPORTED, &err, "op");
    api_unmake(&made);
}

/* What a dynamic run leaves in buffers is what the next ops take, without the host seeing it. */
static void test_found_on_device(void **state)
{
    enum { ROWS = 7, K = 33 };
    float x[ROWS * K], back[ROWS * K], scale[ROWS];
    uint8_t q[ROWS * K];
    int32_t zero[ROWS];
    struct qdot_error err = {0};
    struct qdot_op_desc desc = {.size = sizeof(desc),
                                .kind = QDOT_DYNAMIC_QUANTIZE,
                                .quantize = {.axis = ROWS, .inner = K, .scale_count = ROWS}};
    (void)state;
    for (size_t i = 0; i < ROWS * K; i++)
        x[i] = (float)(i % 17) - 5.5f * (float)(i / K);
    struct api_made made = api_make(&desc);
    struct qdot_op *op;
    struct qdot_buffer *b = NULL;
    enum { SCALE = 0, ZERO = ROWS * 4, Q = 2 * ROWS * 4, BYTES = Q + ROWS * K };
    desc.kind = QDOT_DEQUANTIZE;
    desc.quantize.zero_count = ROWS;
    if (qdot_op_create(made.device, &desc, &op, &err) ||
        qdot_buffer_create(made.device, BYTES, NULL, &b, &err))
        fail_msg("%s", err.text);
    const struct qdot_run there = {.size = sizeof(there),
                                   .a.host = x,
                                   .out = {.buffer = b, .offset_bytes = Q},
                                   .scale_out = {.buffer = b, .offset_bytes = SCALE},
                                   .zero_out = {.buffer = b, .offset_bytes = ZERO}};
    const struct qdot_run back_again = {.size = sizeof(back_again),
                                        .a = {.buffer = b, .offset_bytes = Q},
                                        .out.host = back,
                                        .scale = {.buffer = b, .offset_bytes = SCALE},
                                        .zero = {.buffer = b, .offset_bytes = ZERO}};
    if (qdot_op_run(made.op, &there, &err) || qdot_op_run(op, &back_again, &err) ||
        qdot_buffer_read(b, SCALE, scale, sizeof(scale), &err) ||
        qdot_buffer_read(b, ZERO, zero, sizeof(zero), &err) ||
        qdot_buffer_read(b, Q, q, sizeof(q), &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ROWS * K; i++) {
        assert_true(back[i] == (float)(q[i] - zero[i / K]) * scale[i / K]);
        assert_true(fabsf(back[i] - x[i]) <= scale[i / K]);
    }
    qdot_buffer_destroy(b);
    qdot_op_destroy(op);
    api_unmake(&made);
}

/* An odd number of 4-bit values: the first is in the low half, the last half is 0. */
static void test_four_bits(void **state)
{
    const float x[5] = {1, -2, 7, -8, 100}, want[5] = {1, -2, 7, -8, 7};
    const uint8_t packed[3] = {0xe1, 0x87, 0x07};
    uint8_t out[4] = {0xaa, 0xaa, 0xaa, 0xaa};
    float back[5];
    struct qdot_error err = {0};
    struct qdot_op_desc desc = {
        .size = sizeof(desc), .kind = QDOT_QUANTIZE, .quantize = {.type = QDOT_S4, .inner = 5}};
    (void)state;
    struct api_made made = api_make(&desc);
    const struct qdot_run run = {.size = sizeof(run), .a.host = x, .out.host = out};
    assert_int_equal(qdot_op_run(made.op, &run, &err), QDOT_OK);
    assert_memory_equal(out, packed, 3);
    assert_int_equal(out[3], 0xaa);
    api_unmake(&made);
    desc.kind = QDOT_DEQUANTIZE;
    made = api_make(&desc);
    const struct qdot_run second = {.size = sizeof(second), .a.host = out, .out.host = back};
    out[2] |= 0x50; /* of the half that is no value */
    assert_int_equal(qdot_op_run(made.op, &second, &err), QDOT_OK);
    assert_memory_equal(back, want, sizeof(want));
    api_unmake(&made);
}

/* Division and multiplication by the reciprocal differ, here by one. */
static void test_reciprocal(void **state)
{
    static const float step = 0.3f;
    uint8_t out[2][256];
    float x[256];
    struct qdot_error err = {0};
    (void)state;
    for (int i = 0; i < 256; i++)
        x[i] = ((float)i + 0.5f) * step;
    for (int reciprocal = 0; reciprocal < 2; reciprocal++) {
        const struct qdot_op_desc desc = {
            .size = sizeof(desc),
            .kind = QDOT_QUANTIZE,
            .quantize = {.inner = 256, .scale = &step, .scale_count = 1, .reciprocal = reciprocal}};
        struct api_made made = api_make(&desc);
        const struct qdot_run run = {.size = sizeof(run), .a.host = x, .out.host = out[reciprocal]};
        assert_int_equal(qdot_op_run(made.op, &run, &err), QDOT_OK);
        api_unmake(&made);
    }
    assert_memory_not_equal(out[0], out[1], 256);
}

/* What qdot.h says of ranges that formulas cannot do anything with. */
static void test_ranges(void **state)
{
    const struct {
        float x[2], scale;
        int32_t zero;
        uint8_t q[2];
    } cases[] = {
        {{0, -0.0f}, 1, 0, {0, 0}},
        {{NAN, NAN}, 1, 0, {0, 0}},
        {{NAN, 255}, 1, 0, {0, 255}},
        {{-255, -255}, 1, 255, {0, 0}},
        {{INFINITY, 0}, FLT_MAX / 255, 0, {255, 0}},
        {{-INFINITY, 0}, FLT_MAX / 255, 255, {0, 255}},
        {{-FLT_MAX, FLT_MAX}, FLT_MAX / 255, 255, {0, 255}},
        {{0x1p-119f, 0}, 1, 0, {0, 0}},
        {{0x1p-118f, 0}, 0x1p-118f / 255, 0, {255, 0}},
    };
    (void)state;
    const struct qdot_op_desc desc = {
        .size = sizeof(desc), .kind = QDOT_DYNAMIC_QUANTIZE, .quantize = {.inner = 2}};
    struct api_made made = api_make(&desc);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qdot_error err = {0};
        float scale = 0;
        int32_t zero = -1;
        uint8_t q[2];
        const struct qdot_run run = {.size = sizeof(run),
                                     .a.host = cases[i].x,
                                     .out.host = q,
                                     .scale_out.host = &scale,
                                     .zero_out.host = &zero};
        assert_int_equal(qdot_op_run(made.op, &run, &err), QDOT_OK);
        assert_memory_equal(&scale, &cases[i].scale, 4);
        assert_int_equal(zero, cases[i].zero);
        assert_memory_equal(q, cases[i].q, 2);
    }
    api_unmake(&made);
}

/* A caller that flushes subnormals and rounds down gets the same bits. */
static void test_callers_floats(void **state)
{
#if defined(__x86_64__)
    static const float step = 0x1p-126f;
    const float x[4] = {0x1.8p-127f, 0x1p-127f, 0x1.00001p-127f, 0x1.4p-124f};
    const uint8_t want[4] = {1, 0, 1, 5};
    uint8_t out[4];
    struct qdot_error err = {0};
    const struct qdot_op_desc desc = {.size = sizeof(desc),
                                      .kind = QDOT_QUANTIZE,
                                      .quantize = {.inner = 4, .scale = &step, .scale_count = 1}};
    struct api_made made = api_make(&desc);
    const struct qdot_run run = {.size = sizeof(run), .a.host = x, .out.host = out};
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040 | 0x2000);
    const int status = qdot_op_run(made.op, &run, &err);
    _mm_setcsr(before);
    assert_int_equal(status, QDOT_OK);
    assert_memory_equal(out, want, sizeof(want));
    api_unmake(&made);
#endif
    (void)state;
}

/* Every allocation of creation fails once: nothing leaks, nothing is half made. */
static void test_no_memory(void **state)
{
    struct api_counter counter = {0};
    struct qdot_device_desc open = {
        .size = sizeof(open),
        .device = api_device(),
        .cache_dir = "",
        .budget_us = 1,
        .allocator = {&counter, api_counted_alloc, api_counted_release}};
    struct qdot_device *device;
    struct qdot_error err = {0};
    (void)state;
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    const size_t open_live = counter.live;
    for (enum qdot_op_kind kind = QDOT_QUANTIZE; kind <= QDOT_FAKE_QUANTIZE_GRADIENT; kind++) {
        int status = QDOT_NO_MEMORY;
        for (size_t n = 1; status == QDOT_NO_MEMORY && n < 200; n++) {
            struct qdot_op_desc desc = good_op();
            struct qdot_op *op = NULL;
            desc.kind = kind;
            if (kind == QDOT_DYNAMIC_QUANTIZE) {
                dynamic(&desc);
                desc.quantize.outer = 1;
            }
            counter.fail_at = counter.calls + n;
            status = qdot_op_create(device, &desc, &op, &err);
            counter.fail_at = 0;
            qdot_op_destroy(op);
        }
        assert_int_equal(status, QDOT_OK);
    }
    if (api_on_cpu())
        assert_int_equal(counter.live, open_live);
    qdot_close(device);
    assert_int_equal(counter.live, 0);
}

/* A device that does not round products to nearest is none the worse: its self-test has every op. */
static void test_unpinned_floats(void **state)
{
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .disable = "float_controls"};
    struct qdot_device *device;
    struct qdot_error err = {0};
    size_t found = 0;
    (void)state;
    if (strncmp(api_device(), "vulkan", 6) != 0)
        skip();
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row(device, i, &row, &err))
            break;
        if (row.kind != QDOT_QUANTIZE)
            continue;
        found++;
        if (!row.admitted)
            fail_msg("%s: %s", row.name, row.reason);
    }
    assert_int_equal(found, 1);
    qdot_close(device);
}

/* Of two devices' rows "auto" takes one by time, as for products. */
static void test_auto(void **state)
{
    struct qdot_device_desc open = {.size = sizeof(open), .cache_dir = "", .budget_us = 100000};
    struct qdot_device *device;
    struct qdot_error err = {0};
    struct qdot_candidate candidates[64];
    size_t count = 0, chosen = 0;
    struct qdot_op_desc desc = good_op();
    (void)state;
    if (qdot_open(&open, &device, &err) ||
        qdot_explain(device, &desc, candidates, 64, &count, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count && i < 64; i++) {
        assert_non_null(strstr(candidates[i].row, "quantize"));
        chosen += candidates[i].chosen != 0;
    }
    assert_int_equal(chosen, 1);
    dynamic(&desc);
    desc.quantize.outer = 1;
    struct qdot_op *op;
    assert_int_equal(qdot_op_create(device, &desc, &op, &err), QDOT_OK);
    qdot_op_destroy(op);
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_found_on_device),
        cmocka_unit_test(test_four_bits),
        cmocka_unit_test(test_reciprocal),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_callers_floats),
        cmocka_unit_test(test_unpinned_floats),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_auto),
    };
    return cmocka_run_group_tests_name("elements", tests, NULL, NULL);
}
