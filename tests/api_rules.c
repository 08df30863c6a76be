/* Every documented rule of qdot.h, broken once: its status, and a text that names the field. */
#include "api.h"
#include <math.h>

enum { M = 3, N = 5, K = 7 };

static const uint8_t a_bytes[M * K + 64], b_bytes[N * K + 64];
static const int32_t zeros[N] = {1, 2, 3, 4, 5};
static const int32_t bad_u8[N] = {0, 0, 256, 0, 0}, bad_s8[N] = {0, 0, -129, 0, 0};
static const float ones[N] = {1, 1, 1, 1, 1};
static const float with_nan[N] = {1, 1, NAN, 1, 1}, with_infinity[N] = {1, 1, INFINITY, 1, 1};
static const float too_large[N] = {1, 1, 0x1p96f, 1, 1}, subnormal[N] = {1, 1, 0x1p-127f, 1, 1};

static const float too_large_24[N] = {1, 1, 0x1p8f, 1, 1}, negative_24[N] = {1, 1, -1, 1, 1};
static const float too_small_24[N] = {1, 1, 0x1.fffffep-33f, 1, 1}, zero_24[N] = {1, 1, 0, 1, 1};
static const int32_t multipliers[N] = {1 << 30, 0, INT32_MAX, 1 << 30, 1 << 30};
static const int32_t small_multiplier[N] = {1 << 30, 0, 1 << 30, (1 << 30) - 1, 1 << 30};
static const int32_t negative_multiplier[N] = {1 << 30, 0, 1 << 30, INT32_MIN, 1 << 30};
static const int32_t shifts[N] = {-31, 30, 0, 1, -1};
static const int32_t low_shift[N] = {0, 0, 0, -32, 0}, high_shift[N] = {0, 0, 0, 31, 0};

/* X(name, text that the error must contain, what breaks the rule) on a good u8 x s8 -> s32 op */
#define OP_RULES(X)                                                                            \
    X(size, "size", d->size = sizeof(*d) + 8)                                                  \
    X(kind, "kind", d->kind = (enum qdot_op_kind)7)                                            \
    X(m_zero, "m", d->m = 0)                                                                   \
    X(n_zero, "n", d->n = 0)                                                                   \
    X(k_zero, "k", d->k = 0)                                                                   \
    X(mk_overflow, "m, k", d->m = SIZE_MAX / 4)                                                \
    X(mn_overflow, "m, n", (d->m = d->n = (size_t)1 << 31, d->b = NULL))                       \
    X(kn_overflow, "k, n", (d->n = d->k = (size_t)1 << 32, d->m = 1, d->b = NULL))             \
    X(huge, "k, n", (d->n = SIZE_MAX, d->m = 1, d->b = NULL))                                  \
    X(a_type, "a_type", d->a_type = QDOT_S32)                                                  \
    X(a_type_unknown, "a_type", d->a_type = (enum qdot_type)77)                                \
    X(b_type, "b_type", d->b_type = QDOT_F32)                                                  \
    X(out_type, "out_type", d->out_type = (enum qdot_type)77)                                  \
    X(ldb, "ldb", d->ldb = N - 1)                                                              \
    X(ldb_transposed, "ldb", (d->b_transposed = 1, d->ldb = K - 1))                            \
    X(ldb_overflow, "ldb", d->ldb = SIZE_MAX / 2)                                              \
    X(b_and_packed, "packed", (d->packed = b_bytes, d->packed_bytes = sizeof(b_bytes)))        \
    X(packed_null, "packed", (d->b = NULL, d->packed_bytes = 100))                             \
    X(a_zero_low, "a_zero", d->a_zero = -1)                                                    \
    X(a_zero_high, "a_zero", d->a_zero = 256)                                                  \
    X(a_zero_s8_low, "a_zero", (d->a_type = QDOT_S8, d->a_zero = -129))                        \
    X(a_zero_s8_high, "a_zero", (d->a_type = QDOT_S8, d->a_zero = 128))                        \
    X(a_zero_twice, "a_zero", (d->a_zero = 1, d->a_zero_per_row = 1))                          \
    X(b_zero_count, "b_zero_count", (d->b_zero = zeros, d->b_zero_count = 2))                  \
    X(b_zero_null, "b_zero", d->b_zero_count = N)                                              \
    X(b_zero_no_count, "b_zero", d->b_zero = zeros)                                            \
    X(b_zero_s8, "b_zero[2]", (d->b_zero = bad_s8, d->b_zero_count = N))                       \
    X(b_zero_u8, "b_zero[2]", (d->b_type = QDOT_U8, d->b_zero = bad_u8, d->b_zero_count = N))  \
    X(scale_count, "scale_count", (narrow(d), d->scale = ones, d->scale_count = 2))            \
    X(scale_null, "scale", (narrow(d), d->scale_count = N))                                    \
    X(scale_no_count, "scale", (narrow(d), d->scale = ones))                                   \
    X(scale_s32, "scale", (d->scale = ones, d->scale_count = 1))                               \
    X(scale_nan, "scale[2]", (narrow(d), d->scale = with_nan, d->scale_count = N))             \
    X(scale_inf, "scale[2]", (narrow(d), d->scale = with_infinity, d->scale_count = N))        \
    X(scale_large, "scale[2]", (narrow(d), d->scale = too_large, d->scale_count = N))          \
    X(scale_subnormal, "scale[2]", (narrow(d), d->scale = subnormal, d->scale_count = N))      \
    X(row_scale_s32, "row_scale", d->row_scale = 1)                                            \
    X(row_scale_s8, "row_scale", (narrow(d), d->row_scale = 1))                                \
    X(bias_f_s32, "bias_f", d->bias_f = ones)                                                  \
    X(bias_f_s8, "bias_f", (narrow(d), d->bias_f = ones))                                      \
    X(bias_f_nan, "bias_f[2]", (d->out_type = QDOT_F32, d->bias_f = with_nan))                 \
    X(bias_f_inf, "bias_f[2]", (d->out_type = QDOT_F32, d->bias_f = with_infinity))            \
    X(out_zero_s32, "out_zero", d->out_zero = 1)                                               \
    X(out_zero_f32, "out_zero", (d->out_type = QDOT_F32, d->out_zero = 1))                     \
    X(out_zero_s8, "out_zero", (narrow(d), d->out_zero = 128))                                 \
    X(out_zero_u8, "out_zero", (d->out_type = QDOT_U8, d->out_zero = -1))                      \
    X(clamp_s32, "clamp", d->clamp_hi = 6)                                                     \
    X(clamp_order, "clamp", (narrow(d), d->clamp_lo = 6, d->clamp_hi = 5))                     \
    X(clamp_low, "clamp", (narrow(d), d->clamp_lo = -129, d->clamp_hi = 5))                    \
    X(clamp_high, "clamp", (narrow(d), d->clamp_lo = 0, d->clamp_hi = 128))                    \
    X(rounding, "rounding", (narrow(d), d->rounding = (enum qdot_rounding)9))                  \
    X(rounding_below, "rounding", (narrow(d), d->rounding = (enum qdot_rounding) - 1))         \
    X(rounding_s32, "rounding", d->rounding = QDOT_ROUND_MANT24_UP)                            \
    X(rounding_f32, "rounding", (fixed(d), d->out_type = QDOT_F32))                            \
    X(multiplier_rne, "multiplier", (fixed(d), d->rounding = QDOT_ROUND_RNE))                  \
    X(multiplier_s32, "multiplier", (narrow(d), d->out_type = 0, d->multiplier = multipliers)) \
    X(multiplier_mant24, "multiplier", (fixed(d), d->rounding = QDOT_ROUND_MANT24_UP))         \
    X(multiplier_count_rne, "multiplier_count", (narrow(d), d->multiplier_count = 1))          \
    X(shift_rne, "shift", (narrow(d), d->shift = shifts))                                      \
    X(multiplier_missing, "multiplier:", (fixed(d), d->multiplier = NULL))                     \
    X(shift_missing, "shift:", (fixed(d), d->shift = NULL))                                    \
    X(multiplier_none, "multiplier_count", (fixed(d), d->multiplier_count = 0))                \
    X(multiplier_count, "multiplier_count", (fixed(d), d->multiplier_count = 2))               \
    X(multiplier_small, "multiplier[3]", (fixed(d), d->multiplier = small_multiplier))         \
    X(multiplier_negative, "multiplier[3]", (fixed(d), d->multiplier = negative_multiplier))   \
    X(shift_low, "shift[3]", (fixed(d), d->shift = low_shift))                                 \
    X(shift_high, "shift[3]", (fixed(d), d->shift = high_shift))                               \
    X(scale_q31, "scale", (fixed(d), d->scale = ones, d->scale_count = 1))                     \
    X(scale_mant24_large, "scale[2]", (mant24(d), d->scale = too_large_24))                    \
    X(scale_mant24_small, "scale[2]", (mant24(d), d->scale = too_small_24))                    \
    X(scale_mant24_negative, "scale[2]", (mant24(d), d->scale = negative_24))                  \
    X(scale_mant24_zero, "scale[2]", (mant24(d), d->scale = zero_24))                          \
    X(kernel_unknown, "kernel", d->kernel = "gemm_1x1_nonsense")                               \
    X(kernel_elsewhere, "kernel", d->kernel = "nowhere/gemm_12x16")

static void narrow(struct qdot_op_desc *d)
{
    d->out_type = QDOT_S8;
}

static void fixed(struct qdot_op_desc *d)
{
    narrow(d);
    d->rounding = QDOT_ROUND_Q31_DOUBLE_UP;
    d->multiplier = multipliers;
    d->shift = shifts;
    d->multiplier_count = N;
}

static void mant24(struct qdot_op_desc *d)
{
    narrow(d);
    d->rounding = QDOT_ROUND_MANT24_UP;
    d->scale_count = N;
}

#define BREAK_OP(name, text, code)                      \
    static void break_op_##name(struct qdot_op_desc *d) \
    {                                                   \
        code;                                           \
    }
OP_RULES(BREAK_OP)

static struct qdot_op_desc good_op(void)
{
    return (struct qdot_op_desc){
        .size = sizeof(struct qdot_op_desc), .m = M, .n = N, .k = K, .b = b_bytes};
}

static void test_op_rules(void **state)
{
    static const struct {
        const char *name, *field;
        void (*break_it)(struct qdot_op_desc *d);
    } rules[] = {
#define OP_ROW(name, text, code) {#name, text, break_op_##name},
        OP_RULES(OP_ROW)};
    (void)state;
    struct qdot_device *device = api_open();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_op_desc desc = good_op();
        struct qdot_op *op = (struct qdot_op *)&desc; /* must become NULL */
        struct qdot_error err = {0};
        rules[i].break_it(&desc);
        int status = qdot_op_create(device, &desc, &op, &err);
        api_expect(rules[i].name, status, QDOT_INVALID, &err, rules[i].field);
        assert_null(op);
        assert_int_equal(qdot_op_create(device, &desc, &op, NULL), QDOT_INVALID);
        size_t count = 99;
        assert_int_not_equal(qdot_explain(device, &desc, NULL, 0, &count, &err),
                             QDOT_DEVICE_FAILED);
    }
    qdot_close(device);
}

static void test_op_good(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op *op;
    struct qdot_op_desc desc = good_op();
    desc.size = 0; /* today's */
    assert_int_equal(qdot_op_create(device, &desc, &op, &err), QDOT_OK);
    assert_non_null(strchr(qdot_op_row(op), '/'));
    assert_ptr_equal(qdot_op_device(op), device);
    qdot_op_destroy(op);
    assert_int_equal(qdot_op_create(device, NULL, &op, &err), QDOT_INVALID);
    assert_non_null(strstr(err.text, "desc"));
    desc = good_op();
    assert_int_equal(qdot_op_create(NULL, &desc, &op, &err), QDOT_INVALID);
    assert_non_null(strstr(err.text, "device"));
    assert_int_equal(qdot_op_create(device, &desc, NULL, &err), QDOT_INVALID);
    assert_non_null(strstr(err.text, "op"));
    qdot_close(device);
}

/* A buffer that no machine can hold is a status, not a crash. */
static void test_op_too_large(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op *op;
    struct qdot_op_desc desc = good_op();
    desc.b = NULL;
    desc.m = 1;
    desc.n = 64;
    desc.k = (size_t)1 << 45; /* 2^51 bytes: more than any address space has */
    int status = qdot_op_create(device, &desc, &op, &err);
    assert_true(status == QDOT_NO_MEMORY || status == QDOT_UNSUPPORTED);
    assert_null(op);
    assert_true(err.text[0] != '\0');
    qdot_close(device);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* The functions that made those descriptors wrong once made good ones. */
static void test_good_roundings(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    for (int i = 0; i < 2; i++) {
        struct qdot_op_desc desc = good_op();
        struct qdot_op *op = NULL;
        struct qdot_error err = {0};
        if (i == 0) {
            fixed(&desc);
        } else {
            mant24(&desc);
            desc.scale = ones;
        }
        assert_int_equal(qdot_op_create(device, &desc, &op, &err), QDOT_OK);
        qdot_op_destroy(op);
    }
    qdot_close(device);
}

static void test_multiplier(void **state)
{
    static const struct {
        double scale;
        int32_t multiplier, shift;
    } cases[] = {
        {0, 0, 0},
        {1, 1 << 30, 1},
        {0.5, 1 << 30, 0},
        {0.75, 3 << 29, 0},
        {0x1p-32, 1 << 30, -31},
        {0x1.fffffffp-33, 0, 0},
        {0x1.fffffffffffffp-33, 1 << 30, -31}, /* which rounds up to 2^-32 */
        {0x1p-1074, 0, 0},
        {0x1.00000001p-1, 1 << 30, 0},
        {0x1.00000002p-1, (1 << 30) + 1, 0}, /* a tie: away from 0 */
        {0x1.fffffff8p-1, INT32_MAX - 1, 0},
        {0x1.fffffffep-1, 1 << 30, 1}, /* another: to the next power of 2 */
        {0x1.fffffffffffffp29, INT32_MAX, 30},
        {0.0123, 1690499128, -6},
    };
    (void)state;
    struct qdot_error err = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t multiplier = 7, shift = 7;
        assert_int_equal(qdot_multiplier(cases[i].scale, &multiplier, &shift, &err), QDOT_OK);
        if (multiplier != cases[i].multiplier || shift != cases[i].shift)
            fail_msg("%a: %d, %d, expected %d, %d", cases[i].scale, (int)multiplier, (int)shift,
                     (int)cases[i].multiplier, (int)cases[i].shift);
    }
    int32_t unchanged = 7;
    const double bad[] = {-1, 0x1p30, INFINITY, NAN};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        api_expect("scale", qdot_multiplier(bad[i], &unchanged, &unchanged, &err), QDOT_INVALID,
                   &err, "scale");
    api_expect("multiplier", qdot_multiplier(1, NULL, &unchanged, &err), QDOT_INVALID, &err,
               "multiplier");
    api_expect("shift", qdot_multiplier(1, &unchanged, NULL, &err), QDOT_INVALID, &err, "shift");
    assert_int_equal(unchanged, 7);
}

/* X(name, text, what breaks the rule) on a good run of an op with a_zero_per_row and row_scale */
#define RUN_RULES(X)                                                                         \
    X(size, "size", r->size = sizeof(*r) + 8)                                                \
    X(m, "m", r->m = M + 1)                                                                  \
    X(a_missing, "a", r->a.host = NULL)                                                      \
    X(a_twice, "a", r->a.buffer = f->buffer)                                                 \
    X(a_offset, "a", r->a.offset_bytes = 4)                                                  \
    X(lda, "lda", r->lda = K - 1)                                                            \
    X(lda_overflow, "lda", r->lda = SIZE_MAX / 2)                                            \
    X(out_missing, "out", r->out.host = NULL)                                                \
    X(out_twice, "out", r->out.buffer = f->buffer)                                           \
    X(ldo, "ldo", r->ldo = N - 1)                                                            \
    X(ldo_overflow, "ldo", r->ldo = SIZE_MAX / 8)                                            \
    X(a_zero_missing, "a_zero", r->a_zero.host = NULL)                                       \
    X(row_scale_missing, "row_scale", r->row_scale.host = NULL)                              \
    X(a_zero_unaligned, "a_zero", r->a_zero.host = (const char *)zeros + 1)                  \
    X(out_unaligned, "out", r->out.host = (char *)r->out.host + 2)                           \
    X(b_not_wanted, "b", r->b.host = b_bytes)                                                \
    X(a_past_end, "a", (r->a.host = NULL, r->a.buffer = f->buffer, r->a.offset_bytes = 236)) \
    X(a_far_past_end, "a",                                                                   \
      (r->a.host = NULL, r->a.buffer = f->buffer, r->a.offset_bytes = SIZE_MAX - 3))         \
    X(out_past_end, "out",                                                                   \
      (r->out.host = NULL, r->out.buffer = f->buffer, r->out.offset_bytes = 200))            \
    X(out_misaligned, "out",                                                                 \
      (r->out.host = NULL, r->out.buffer = f->buffer, r->out.offset_bytes = 2))              \
    X(a_zero_misaligned, "a_zero",                                                           \
      (r->a_zero.host = NULL, r->a_zero.buffer = f->buffer, r->a_zero.offset_bytes = 1))     \
    X(a_elsewhere, "a", (r->a.host = NULL, r->a.buffer = f->foreign))

struct fixture {
    struct qdot_device *device, *other;
    struct qdot_buffer *buffer, *foreign; /* 256 bytes */
    struct qdot_op *op;
};

#define BREAK_RUN(name, text, code)                                           \
    static void break_run_##name(struct qdot_run *r, const struct fixture *f) \
    {                                                                         \
        (void)f;                                                              \
        code;                                                                 \
    }
RUN_RULES(BREAK_RUN)

static void test_run_rules(void **state)
{
    static const struct {
        const char *name, *field;
        void (*break_it)(struct qdot_run *r, const struct fixture *f);
    } rules[] = {
#define RUN_ROW(name, text, code) {#name, text, break_run_##name},
        RUN_RULES(RUN_ROW)};
    (void)state;
    struct fixture f = {.device = api_open(), .other = api_open()};
    struct qdot_error err = {0};
    assert_int_equal(qdot_buffer_create(f.device, 256, NULL, &f.buffer, &err), QDOT_OK);
    assert_int_equal(qdot_buffer_create(f.other, 256, NULL, &f.foreign, &err), QDOT_OK);
    struct qdot_op_desc desc = good_op();
    desc.out_type = QDOT_F32;
    desc.a_zero_per_row = desc.row_scale = 1;
    assert_int_equal(qdot_op_create(f.device, &desc, &f.op, &err), QDOT_OK);
    float out[M * N], poison[M * N];
    memset(poison, 0xAA, sizeof(poison));
    const struct qdot_run good = {.size = sizeof(good),
                                  .a.host = a_bytes,
                                  .out.host = out,
                                  .a_zero.host = zeros,
                                  .row_scale.host = ones};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_run run = good;
        memset(&err, 0, sizeof(err));
        memcpy(out, poison, sizeof(out));
        rules[i].break_it(&run, &f);
        int status = qdot_op_run(f.op, &run, &err);
        api_expect(rules[i].name, status, QDOT_INVALID, &err, rules[i].field);
        assert_memory_equal(out, poison, sizeof(out));
    }
    struct qdot_run run = good;
    run.size = 0;
    assert_int_equal(qdot_op_run(f.op, &run, &err), QDOT_OK);
    assert_int_equal(qdot_op_run(NULL, &run, &err), QDOT_INVALID);
    assert_int_equal(qdot_op_run(f.op, NULL, &err), QDOT_INVALID);
    qdot_op_destroy(f.op);

    desc = good_op();
    desc.b = NULL;
    assert_int_equal(qdot_op_create(f.device, &desc, &f.op, &err), QDOT_OK);
    run = (struct qdot_run){.size = sizeof(run), .a.host = a_bytes, .out.host = out};
    api_expect("b missing", qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err, "b");
    run.b.host = b_bytes;
    run.a_zero.host = zeros;
    api_expect("a_zero not wanted", qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err, "a_zero");
    run.a_zero.host = NULL;
    run.row_scale.host = ones;
    api_expect("row_scale not wanted", qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err,
               "row_scale");
    size_t bytes;
    api_expect("packed of an op without B", qdot_op_packed_bytes(f.op, &bytes, &err),
               QDOT_UNSUPPORTED, &err, "B");
    api_expect("save of an op without B", qdot_op_save_packed(f.op, out, sizeof(out), &err),
               QDOT_UNSUPPORTED, &err, "B");
    qdot_op_destroy(f.op);
    qdot_buffer_destroy(f.buffer);
    qdot_buffer_destroy(f.foreign);
    qdot_close(f.device);
    qdot_close(f.other);
}

/* ---- devices and buffers --------------------------------------------------------------------- */

static void *no_alloc(void *ctx, size_t bytes, size_t alignment)
{
    (void)ctx;
    (void)bytes;
    (void)alignment;
    return NULL;
}

#define OPEN_RULES(X)                                                         \
    X(size, QDOT_INVALID, "size", d->size = 1)                                \
    X(name, QDOT_INVALID, "device", d->device = "gpu")                        \
    X(name_longer, QDOT_INVALID, "device", d->device = "cpux")                \
    X(name_index, QDOT_INVALID, "device", d->device = "vulkan:x")             \
    X(name_negative, QDOT_INVALID, "device", d->device = "opencl:-1")         \
    X(name_far, QDOT_NO_DEVICE, "cpu:7", d->device = "cpu:7")                 \
    X(name_very_far, QDOT_NO_DEVICE, "opencl:999", d->device = "opencl:999")  \
    X(disable, QDOT_INVALID, "disable", d->disable = "avx2,warpdrive")        \
    X(threads, QDOT_INVALID, "threads", d->threads.threads = 2)               \
    X(thread_count, QDOT_INVALID, "thread_count", d->thread_count = SIZE_MAX) \
    X(cache_percent, QDOT_INVALID, "cache_percent", d->cache_percent = 1001)  \
    X(allocator, QDOT_INVALID, "allocator", d->allocator.alloc = no_alloc)    \
    X(budget, QDOT_INVALID, "budget_us", d->budget_us = UINT64_MAX)

#define BREAK_OPEN(name, status, text, code)                  \
    static void break_open_##name(struct qdot_device_desc *d) \
    {                                                         \
        code;                                                 \
    }
OPEN_RULES(BREAK_OPEN)

static void test_open_rules(void **state)
{
    static const struct {
        const char *name, *field;
        int status;
        void (*break_it)(struct qdot_device_desc *d);
    } rules[] = {
#define OPEN_ROW(name, status, text, code) {#name, text, status, break_open_##name},
        OPEN_RULES(OPEN_ROW)};
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_device_desc desc = {
            .size = sizeof(desc), .device = api_device(), .cache_dir = ""};
        struct qdot_device *device = (struct qdot_device *)&desc;
        struct qdot_error err = {0};
        rules[i].break_it(&desc);
        int status = qdot_open(&desc, &device, &err);
        api_expect(rules[i].name, status, rules[i].status, &err, rules[i].field);
        assert_null(device);
    }
    struct qdot_error err = {0};
    api_expect("device NULL", qdot_open(NULL, NULL, &err), QDOT_INVALID, &err, "device");
}

/* With caches of a hundredth K is cut, and the sums wait in the workspace. What an op gives with
 * them is for qdot conform. */
static void test_cache_percent(void **state)
{
    (void)state;
    size_t workspace[2];
    uint8_t *b = calloc(64, 4096);
    assert_non_null(b);
    for (size_t i = 0; i < 2; i++) {
        struct qdot_device_desc desc = {.size = sizeof(desc),
                                        .device = "cpu",
                                        .cache_dir = "",
                                        .thread_count = 1,
                                        .cache_percent = i ? 1 : 1000};
        struct qdot_op_desc op_desc = {.m = 64, .n = 64, .k = 4096, .b = b};
        struct qdot_device *device;
        struct qdot_op *op;
        assert_int_equal(qdot_open(&desc, &device, NULL), QDOT_OK);
        assert_int_equal(qdot_op_create(device, &op_desc, &op, NULL), QDOT_OK);
        workspace[i] = qdot_op_workspace_bytes(op);
        qdot_op_destroy(op);
        qdot_close(device);
    }
    free(b);
    assert_true(workspace[0] < workspace[1]);
}

static void test_buffer_rules(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_buffer *buffer = NULL;
    uint8_t bytes[32] = {0};
    api_expect("no bytes", qdot_buffer_create(device, 0, NULL, &buffer, &err), QDOT_INVALID, &err,
               "bytes");
    assert_null(buffer);
    api_expect("no device", qdot_buffer_create(NULL, 8, NULL, &buffer, &err), QDOT_INVALID, &err,
               "device");
    api_expect("no buffer", qdot_buffer_create(device, 8, NULL, NULL, &err), QDOT_INVALID, &err,
               "buffer");
    assert_int_not_equal(qdot_buffer_create(device, SIZE_MAX, NULL, &buffer, &err), QDOT_OK);
    assert_null(buffer);
    int status = qdot_buffer_create(device, (size_t)1 << 50, NULL, &buffer, &err);
    assert_true(status == QDOT_NO_MEMORY || status == QDOT_UNSUPPORTED);
    assert_null(buffer);

    assert_int_equal(qdot_buffer_create(device, 16, NULL, &buffer, &err), QDOT_OK);
    api_expect("write past", qdot_buffer_write(buffer, 8, bytes, 9, &err), QDOT_INVALID, &err,
               "bytes");
    api_expect("read past", qdot_buffer_read(buffer, 17, bytes, 0, &err), QDOT_INVALID, &err,
               "offset");
    api_expect("read overflow", qdot_buffer_read(buffer, 8, bytes, SIZE_MAX - 4, &err),
               QDOT_INVALID, &err, "bytes");
    api_expect("write NULL", qdot_buffer_write(buffer, 0, NULL, 4, &err), QDOT_INVALID, &err,
               "memory");
    api_expect("write nowhere", qdot_buffer_write(NULL, 0, bytes, 4, &err), QDOT_INVALID, &err,
               "buffer");
    assert_int_equal(qdot_buffer_write(buffer, 16, bytes, 0, &err), QDOT_OK);
    for (size_t i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(i + 1);
    assert_int_equal(qdot_buffer_write(buffer, 0, bytes, 16, &err), QDOT_OK);
    assert_int_equal(qdot_buffer_write(buffer, 5, bytes, 3, &err), QDOT_OK);
    uint8_t back[9];
    assert_int_equal(qdot_buffer_read(buffer, 3, back, 9, &err), QDOT_OK);
    assert_memory_equal(back, ((uint8_t[]){4, 5, 1, 2, 3, 9, 10, 11, 12}), 9);
    qdot_buffer_destroy(buffer);
    qdot_close(device);
}

static void test_auto_has_no_buffers(void **state)
{
    (void)state;
    struct qdot_device_desc desc = {.size = sizeof(desc), .cache_dir = ""};
    struct qdot_device *device;
    struct qdot_buffer *buffer;
    struct qdot_error err = {0};
    assert_int_equal(qdot_open(&desc, &device, &err), QDOT_OK);
    api_expect("buffer of auto", qdot_buffer_create(device, 8, NULL, &buffer, &err), QDOT_INVALID,
               &err, "device");
    assert_null(buffer);
    qdot_close(device);
}

static void test_null_is_fine(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    qdot_close(NULL);
    qdot_op_destroy(NULL);
    qdot_buffer_destroy(NULL);
    assert_null(qdot_device_child(NULL, 0));
    assert_int_equal(qdot_sync(NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_device_info(NULL, NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_device_row(NULL, 0, NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_explain(NULL, NULL, NULL, 0, NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_devices(NULL, 0, NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_op_packed_bytes(NULL, NULL, &err), QDOT_INVALID);
    assert_int_equal(qdot_op_save_packed(NULL, NULL, 0, &err), QDOT_INVALID);
}

static void test_texts(void **state)
{
    (void)state;
    for (int i = QDOT_OK; i <= QDOT_END; i++)
        for (int j = QDOT_OK; j < i; j++)
            assert_string_not_equal(qdot_status_text(i), qdot_status_text(j));
    assert_non_null(qdot_status_text(-1));
    assert_non_null(qdot_status_text(12345));
    assert_string_equal(qdot_version(), QDOT_TEST_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op_rules),     cmocka_unit_test(test_good_roundings),
        cmocka_unit_test(test_multiplier),   cmocka_unit_test(test_op_good),
        cmocka_unit_test(test_op_too_large), cmocka_unit_test(test_run_rules),
        cmocka_unit_test(test_open_rules),   cmocka_unit_test(test_cache_percent),
        cmocka_unit_test(test_buffer_rules), cmocka_unit_test(test_auto_has_no_buffers),
        cmocka_unit_test(test_null_is_fine), cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
