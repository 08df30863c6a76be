/* Convolution in the API: every rule broken once, its geometry by hand, its packed weights. */
#include "api.h"
#include <stdio.h>
#include "guard.h"

/* 2 images of 5 x 6 pixels, 4 channels, in 2 groups, to 6 channels, by 3 x 2 taps */
enum { BATCH = 2, H = 5, W = 6, C = 4, O = 6, KH = 3, KW = 2, G = 2 };
enum { WEIGHTS = O * KH * KW * C / G, OH = H - KH + 1, OW = W - KW + 1 };
enum { A_BYTES = BATCH * H * W * C, OUTPUTS = BATCH * OH * OW * O };

static const uint8_t weights[WEIGHTS];
static const int32_t zeros[O], bad_zeros[O] = {0, 0, 128, 0, 0, 0};
static const float ones[O] = {1, 1, 1, 1, 1, 1};

static struct qdot_op_desc good_op(void)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = QDOT_CONV,
                                 .conv = {.batch = BATCH,
                                          .height = H,
                                          .width = W,
                                          .channels = C,
                                          .out_channels = O,
                                          .kernel_h = KH,
                                          .kernel_w = KW,
                                          .groups = G},
                                 .b = weights};
}

/* ---- the descriptor -------------------------------------------------------------------------- */

#define HUGE ((size_t)1 << 31)

/* X(name, text that the error must contain, what breaks the rule), rules of the geometry */
#define GEOMETRY_RULES(X)                                                                    \
    X(height_zero, "conv.height", v->height = 0)                                             \
    X(width_zero, "conv.width", v->width = 0)                                                \
    X(channels_zero, "conv.channels", v->channels = 0)                                       \
    X(out_channels_zero, "conv.out_channels", v->out_channels = 0)                           \
    X(kernel_h_zero, "conv.kernel_h", v->kernel_h = 0)                                       \
    X(kernel_w_zero, "conv.kernel_w", v->kernel_w = 0)                                       \
    X(batch_huge, "conv.batch", v->batch = HUGE)                                             \
    X(height_huge, "conv.height", v->height = HUGE)                                          \
    X(width_huge, "conv.width", v->width = SIZE_MAX)                                         \
    X(channels_huge, "conv.channels", v->channels = HUGE)                                    \
    X(out_channels_huge, "conv.out_channels", v->out_channels = HUGE)                        \
    X(kernel_h_huge, "conv.kernel_h", v->kernel_h = HUGE)                                    \
    X(kernel_w_huge, "conv.kernel_w", v->kernel_w = HUGE)                                    \
    X(stride_h_huge, "conv.stride_h", v->stride_h = HUGE)                                    \
    X(stride_w_huge, "conv.stride_w", v->stride_w = SIZE_MAX)                                \
    X(dilation_h_huge, "conv.dilation_h", v->dilation_h = SIZE_MAX)                          \
    X(dilation_w_huge, "conv.dilation_w", v->dilation_w = HUGE)                              \
    X(pad_top_huge, "conv.pad_top", v->pad_top = SIZE_MAX)                                   \
    X(pad_left_huge, "conv.pad_left", v->pad_left = HUGE)                                    \
    X(pad_bottom_huge, "conv.pad_bottom", v->pad_bottom = SIZE_MAX / 2)                      \
    X(pad_right_huge, "conv.pad_right", v->pad_right = HUGE)                                 \
    X(groups_huge, "conv.groups", v->groups = SIZE_MAX)                                      \
    X(groups_channels, "conv.groups", (v->groups = 3, v->out_channels = 6))                  \
    X(groups_out_channels, "conv.groups", (v->groups = 4, v->out_channels = 6))              \
    X(groups_many, "conv.groups", v->groups = C * O)                                         \
    X(layout, "conv.layout", v->layout = (enum qdot_layout)2)                                \
    X(empty_height, "conv.height", v->kernel_h = H + 1)                                      \
    X(empty_width, "conv.width", v->kernel_w = W + 1)                                        \
    X(empty_dilated, "conv.height", v->dilation_h = 3)                                       \
    X(empty_padded, "conv.width", (v->kernel_w = W + 4, v->pad_left = 2, v->pad_right = 1))  \
    X(empty_far, "conv.height", v->kernel_h = v->dilation_h = HUGE - 1)                      \
    X(empty_transposed, "conv.height",                                                       \
      (v->transposed = 1, v->pad_top = 4, v->pad_bottom = H + KH - 1 - 4))                   \
    X(empty_transposed_far, "conv.width",                                                    \
      (v->transposed = 1, v->pad_left = v->pad_right = HUGE - 1))                            \
    X(output_pad_h, "conv.output_pad_h", v->output_pad_h = 1)                                \
    X(output_pad_w, "conv.output_pad_w", (v->output_pad_w = 1, v->stride_w = 3))             \
    X(output_pad_h_large, "conv.output_pad_h",                                               \
      (v->transposed = 1, v->stride_h = 2, v->stride_w = 3, v->output_pad_h = 2))            \
    X(output_pad_w_large, "conv.output_pad_w",                                               \
      (v->transposed = 1, v->dilation_w = 3, v->output_pad_w = 3, v->stride_h = 5))          \
    X(output_pad_default, "conv.output_pad_h", (v->transposed = 1, v->output_pad_h = 1))     \
    X(output_pad_huge, "conv.output_pad_w", (v->transposed = 1, v->output_pad_w = SIZE_MAX)) \
    X(input_overflow, "input", (v->height = v->width = HUGE - 1, v->channels = 4))           \
    X(output_overflow, "output",                                                             \
      (v->height = v->width = (size_t)1 << 30, v->out_channels = 2, v->channels = 2))        \
    X(output_overflow_transposed, "output",                                                  \
      (v->transposed = 1, v->stride_h = v->stride_w = HUGE - 1, v->height = v->width = 100)) \
    X(batch_overflow, "conv", (v->batch = v->height = v->width = (size_t)1 << 21))           \
    X(weights_overflow, "weights",                                                           \
      (v->transposed = 1, v->kernel_h = v->kernel_w = (size_t)1 << 29, v->channels = 32,     \
       v->out_channels = 2, v->pad_top = v->pad_left = (size_t)1 << 29))

/* and of what else a convolution's descriptor must leave alone */
#define OP_RULES(X)                                                               \
    X(m, "m", d->m = 1)                                                           \
    X(n, "n", d->n = O)                                                           \
    X(k, "k", d->k = 1)                                                           \
    X(ldb, "ldb", d->ldb = WEIGHTS)                                               \
    X(b_transposed, "b_transposed", d->b_transposed = 1)                          \
    X(a_zero_per_row, "a_zero_per_row", d->a_zero_per_row = 1)                    \
    X(row_scale, "row_scale", (d->out_type = QDOT_F32, d->row_scale = 1))         \
    X(no_weights, "b", d->b = NULL)                                               \
    X(weights_twice, "packed", (d->packed = weights, d->packed_bytes = 64))       \
    X(a_zero, "a_zero", d->a_zero = 256)                                          \
    X(b_zero_count, "b_zero_count", (d->b_zero = zeros, d->b_zero_count = O / G)) \
    X(b_zero, "b_zero[2]", (d->b_zero = bad_zeros, d->b_zero_count = O))          \
    X(scale_count, "scale_count",                                                 \
      (d->out_type = QDOT_U8, d->scale = ones, d->scale_count = O / G))           \
    X(clamp, "clamp", (d->out_type = QDOT_U8, d->clamp_lo = -1))                  \
    X(kernel, "kernel", d->kernel = "conv_1x1_nonsense")

#define BREAK_GEOMETRY(name, text, code)            \
    static void break_v_##name(struct qdot_conv *v) \
    {                                               \
        code;                                       \
    }
GEOMETRY_RULES(BREAK_GEOMETRY)

#define BREAK_OP(name, text, code)                     \
    static void break_d_##name(struct qdot_op_desc *d) \
    {                                                  \
        code;                                          \
    }
OP_RULES(BREAK_OP)

static void refuse(struct qdot_device *device, const char *name, const struct qdot_op_desc *desc,
                   const char *field)
{
    struct qdot_error err = {0};
    struct qdot_op *op = (struct qdot_op *)&err; /* must become NULL */
    size_t count;
    api_expect(name, qdot_op_create(device, desc, &op, &err), QDOT_INVALID, &err, field);
    assert_null(op);
    assert_int_equal(qdot_op_create(device, desc, &op, NULL), QDOT_INVALID);
    if (!desc->kernel)
        assert_int_equal(qdot_explain(device, desc, NULL, 0, &count, &err), QDOT_INVALID);
}

static void test_geometry_rules(void **state)
{
    static const struct {
        const char *name, *field;
        void (*break_it)(struct qdot_conv *v);
    } rules[] = {
#define GEOMETRY_ROW(name, text, code) {#name, text, break_v_##name},
        GEOMETRY_RULES(GEOMETRY_ROW)};
    (void)state;
    struct qdot_device *device = api_open();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_op_desc desc = good_op();
        struct qdot_error err = {0};
        size_t height = 77, width = 78;
        rules[i].break_it(&desc.conv);
        refuse(device, rules[i].name, &desc, rules[i].field);
        api_expect(rules[i].name, qdot_conv_output(&desc.conv, &height, &width, &err), QDOT_INVALID,
                   &err, rules[i].field);
        assert_int_equal(height, 77);
        assert_int_equal(width, 78);
    }
    qdot_close(device);
}

static void test_op_rules(void **state)
{
    static const struct {
        const char *name, *field;
        void (*break_it)(struct qdot_op_desc *d);
    } rules[] = {
#define OP_ROW(name, text, code) {#name, text, break_d_##name},
        OP_RULES(OP_ROW)};
    (void)state;
    struct qdot_device *device = api_open();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_op_desc desc = good_op();
        rules[i].break_it(&desc);
        refuse(device, rules[i].name, &desc, rules[i].field);
    }
    qdot_close(device);
}

/* Right sizes that no machine holds are a status. */
static void test_too_large(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_op_desc desc = good_op();
    struct qdot_error err = {0};
    struct qdot_op *op;
    size_t bytes = 64;
    void *some = calloc(1, bytes);
    assert_non_null(some);
    desc.packed = some; /* nobody reads 2^51 weights; nor these, which are no packed weights */
    desc.packed_bytes = bytes;
    desc.b = NULL;
    desc.conv.height = desc.conv.kernel_h = desc.conv.width = desc.conv.kernel_w = (size_t)1 << 24;
    desc.conv.batch = 1;
    int status = qdot_op_create(device, &desc, &op, &err);
    assert_true(status == QDOT_BAD_PACKED || status == QDOT_NO_MEMORY ||
                status == QDOT_UNSUPPORTED);
    assert_null(op);
    assert_true(err.text[0] != '\0');
    free(some);
    qdot_close(device);
}

/* ---- the size of the output ------------------------------------------------------------------ */

static void test_output_size(void **state)
{
    /* size, kernel, stride, dilation, before, after, transposed, output padding -> outputs; by the
     * arithmetic of ONNX's documentation */
    static const size_t rows[][9] = {
        {224, 7, 2, 1, 3, 3, 0, 0, 112}, {112, 3, 2, 1, 1, 1, 0, 0, 56},
        {56, 3, 1, 1, 1, 1, 0, 0, 56},   {56, 1, 2, 0, 0, 0, 0, 0, 28},
        {55, 1, 2, 1, 0, 0, 0, 0, 28},   {5, 5, 1, 1, 0, 0, 0, 0, 1},
        {5, 3, 1, 2, 0, 0, 0, 0, 1},     {1, 3, 0, 1, 1, 1, 0, 0, 1},
        {1, 3, 7, 1, 9, 0, 0, 0, 2},     {7, 2, 3, 2, 0, 1, 0, 0, 2},
        {1, 1, 1, 1, 0, 0, 0, 0, 1},     {6, 3, 9, 1, 0, 0, 0, 0, 1},
        {7, 4, 2, 1, 1, 1, 1, 0, 14},    {7, 3, 2, 1, 1, 1, 1, 1, 14},
        {7, 3, 2, 1, 1, 1, 1, 0, 13},    {5, 2, 3, 1, 0, 0, 1, 2, 16},
        {4, 3, 1, 3, 2, 1, 1, 2, 9},     {1, 1, 0, 0, 0, 0, 1, 0, 1},
        {9, 3, 1, 1, 5, 5, 1, 0, 1},     {3, 1, 4, 1, 0, 0, 1, 3, 12},
    };
    (void)state;
    struct qdot_error err = {0};
    size_t height, width;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const size_t *r = rows[i], *q = rows[(i + 1) % (sizeof(rows) / sizeof(rows[0]))];
        struct qdot_conv v = {.height = r[0],
                              .kernel_h = r[1],
                              .stride_h = r[2],
                              .dilation_h = r[3],
                              .pad_top = r[4],
                              .pad_bottom = r[5],
                              .transposed = (int)r[6],
                              .output_pad_h = r[7],
                              .channels = 1,
                              .out_channels = 1};
        q = q[6] == r[6] ? q : r; /* the other axis is another row */
        v.width = q[0];
        v.kernel_w = q[1];
        v.stride_w = q[2];
        v.dilation_w = q[3];
        v.pad_left = q[4];
        v.pad_right = q[5];
        v.output_pad_w = q[7];
        if (qdot_conv_output(&v, &height, &width, &err))
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(height, r[8]);
        assert_int_equal(width, q[8]);
    }
    struct qdot_conv good = good_op().conv;
    api_expect("no conv", qdot_conv_output(NULL, &height, &width, &err), QDOT_INVALID, &err,
               "conv");
    api_expect("no height", qdot_conv_output(&good, NULL, &width, &err), QDOT_INVALID, &err,
               "height");
    api_expect("no width", qdot_conv_output(&good, &height, NULL, &err), QDOT_INVALID, &err,
               "width");
    assert_int_equal(qdot_conv_output(&good, &height, &width, NULL), QDOT_OK);
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct fixture {
    struct qdot_device *device, *other;
    struct qdot_buffer *buffer, *foreign; /* A_BYTES and a little */
    struct qdot_op *op;
};

/* X(name, text, what breaks the rule) on a good run of BATCH images to s32, NHWC */
#define RUN_RULES(X)                                                                       \
    X(size, "size", r->size = sizeof(*r) - 8)                                              \
    X(m, "m", r->m = BATCH + 1)                                                            \
    X(m_huge, "m", r->m = SIZE_MAX)                                                        \
    X(a_missing, "a", r->a.host = NULL)                                                    \
    X(a_twice, "a", r->a.buffer = f->buffer)                                               \
    X(a_offset, "a", r->a.offset_bytes = 4)                                                \
    X(lda, "lda", r->lda = C - 1)                                                          \
    X(lda_overflow, "lda", r->lda = SIZE_MAX / 4)                                          \
    X(out_missing, "out", r->out.host = NULL)                                              \
    X(ldo, "ldo", r->ldo = O - 1)                                                          \
    X(ldo_overflow, "ldo", r->ldo = SIZE_MAX / 16)                                         \
    X(out_unaligned, "out", r->out.host = (char *)r->out.host + 1)                         \
    X(b_not_wanted, "b", r->b.host = weights)                                              \
    X(a_zero_not_wanted, "a_zero", r->a_zero.host = zeros)                                 \
    X(row_scale_not_wanted, "row_scale", r->row_scale.host = ones)                         \
    X(a_past_end, "a", (r->a.host = NULL, r->a.buffer = f->buffer, r->a.offset_bytes = 9)) \
    X(a_gap_past_end, "a", (r->a.host = NULL, r->a.buffer = f->buffer, r->lda = C + 1))    \
    X(out_past_end, "out", (r->out.host = NULL, r->out.buffer = f->buffer))                \
    X(a_elsewhere, "a", (r->a.host = NULL, r->a.buffer = f->foreign))

#define BREAK_RUN(name, text, code)                                         \
    static void break_r_##name(struct qdot_run *r, const struct fixture *f) \
    {                                                                       \
        (void)f;                                                            \
        code;                                                               \
    }
RUN_RULES(BREAK_RUN)

static void test_run_rules(void **state)
{
    static const struct {
        const char *name, *field;
        void (*break_it)(struct qdot_run *r, const struct fixture *f);
    } rules[] = {
#define RUN_ROW(name, text, code) {#name, text, break_r_##name},
        RUN_RULES(RUN_ROW)};
    (void)state;
    struct fixture f = {.device = api_open(), .other = api_open()};
    struct qdot_error err = {0};
    uint8_t a[A_BYTES] = {0};
    int32_t out[OUTPUTS], poison[OUTPUTS];
    assert_int_equal(qdot_buffer_create(f.device, A_BYTES + 8, NULL, &f.buffer, &err), QDOT_OK);
    assert_int_equal(qdot_buffer_create(f.other, A_BYTES + 8, NULL, &f.foreign, &err), QDOT_OK);
    struct qdot_op_desc desc = good_op();
    if (qdot_op_create(f.device, &desc, &f.op, &err))
        fail_msg("%s", err.text);
    memset(out, 0xAA, sizeof(out));
    memset(poison, 0xAA, sizeof(poison));
    const struct qdot_run good = {.size = sizeof(good), .a.host = a, .out.host = out};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct qdot_run run = good;
        rules[i].break_it(&run, &f);
        api_expect(rules[i].name, qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err,
                   rules[i].field);
        assert_memory_equal(out, poison, sizeof(out));
    }
    struct qdot_run run = good;
    run.size = 0;
    run.lda = C;
    run.ldo = O;
    assert_int_equal(qdot_op_run(f.op, &run, &err), QDOT_OK);
    assert_memory_not_equal(out, poison, sizeof(out));
    qdot_op_destroy(f.op);

    /* planes have no leading dimension, not even the right one */
    desc.conv.layout = QDOT_NCHW;
    if (qdot_op_create(f.device, &desc, &f.op, &err))
        fail_msg("%s", err.text);
    memset(out, 0xAA, sizeof(out));
    run = good;
    run.lda = C;
    api_expect("lda of NCHW", qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err, "lda");
    run = good;
    run.ldo = O;
    api_expect("ldo of NCHW", qdot_op_run(f.op, &run, &err), QDOT_INVALID, &err, "ldo");
    assert_memory_equal(out, poison, sizeof(out));
    assert_int_equal(qdot_op_run(f.op, &good, &err), QDOT_OK);
    qdot_op_destroy(f.op);
    qdot_buffer_destroy(f.buffer);
    qdot_buffer_destroy(f.foreign);
    qdot_close(f.other);
    qdot_close(f.device);
}

static void fill(uint8_t *bytes, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * step + i / 7);
}

/* A run of fewer images writes those and no more. */
static void test_fewer_images(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    uint8_t a[A_BYTES], b[WEIGHTS];
    int32_t all[OUTPUTS], some[OUTPUTS];
    fill(a, sizeof(a), 37);
    fill(b, sizeof(b), 91);
    for (enum qdot_layout layout = QDOT_NHWC; layout <= QDOT_NCHW; layout++) {
        struct qdot_op_desc desc = good_op();
        struct qdot_op *op;
        desc.conv.layout = layout;
        desc.b = b;
        if (qdot_op_create(device, &desc, &op, &err))
            fail_msg("%s", err.text);
        struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = all};
        assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
        memset(some, 0xAA, sizeof(some));
        run.m = 1;
        run.out.host = some;
        assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
        assert_memory_equal(some, all, sizeof(some) / BATCH);
        for (size_t i = OUTPUTS / BATCH; i < OUTPUTS; i++)
            assert_int_equal(some[i], (int32_t)0xAAAAAAAA);
        qdot_op_destroy(op);
    }
    qdot_close(device);
}

/* ---- packed weights -------------------------------------------------------------------------- */

static void test_packed(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op *op;
    struct guarded packed;
    size_t bytes = 0;
    uint8_t a[A_BYTES], b[WEIGHTS];
    int32_t want[OUTPUTS], got[OUTPUTS];
    char row[64];
    fill(a, sizeof(a), 53);
    fill(b, sizeof(b), 29);
    struct qdot_op_desc desc = good_op();
    desc.b = b;
    struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = want};
    if (qdot_op_create(device, &desc, &op, &err) || qdot_op_run(op, &run, &err) ||
        qdot_op_packed_bytes(op, &bytes, &err))
        fail_msg("%s", err.text);
    assert_true(guarded_alloc(&packed, bytes, true));
    assert_int_equal(qdot_op_save_packed(op, packed.memory, bytes, &err), QDOT_OK);
    strcpy(row, qdot_op_row(op));
    qdot_op_destroy(op);

    desc.b = NULL;
    desc.packed = packed.memory;
    desc.packed_bytes = bytes;
    desc.kernel = row;
    run.out.host = got;
    if (qdot_op_create(device, &desc, &op, &err) || qdot_op_run(op, &run, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(got, want, sizeof(want));
    qdot_op_destroy(op);

    /* batch, pixels, strides and pads are not in the packed weights */
    struct qdot_op_desc free_of = desc;
    free_of.conv.batch = 1;
    free_of.conv.height = 9;
    free_of.conv.stride_w = free_of.conv.pad_left = 2;
    if (qdot_op_create(device, &free_of, &op, &err))
        fail_msg("%s", err.text);
    qdot_op_destroy(op);

    /* of as many weights, but not these */
    struct qdot_op_desc others[6] = {desc, desc, desc, desc, desc, desc};
    others[0].conv.groups = 1;
    others[0].conv.channels = C / G;
    others[1].conv.kernel_h = KW;
    others[1].conv.kernel_w = KH;
    others[2].conv.kernel_h = 1;
    others[2].conv.channels = C * KH;
    others[3].conv.out_channels = O * 2;
    others[3].conv.kernel_w = 1;
    others[4].b_type = QDOT_U8;
    others[5].conv.transposed = 1;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char name[32];
        snprintf(name, sizeof(name), "packed of another op, %zu", i);
        api_expect(name, qdot_op_create(device, &others[i], &op, &err), QDOT_BAD_PACKED, &err,
                   "packed");
        assert_null(op);
    }
    struct qdot_op_desc gemm = {.size = sizeof(gemm),
                                .m = 1,
                                .n = O,
                                .k = KH * KW * C / G,
                                .packed = packed.memory,
                                .packed_bytes = bytes};
    api_expect("packed, for a GEMM", qdot_op_create(device, &gemm, &op, &err), QDOT_BAD_PACKED,
               &err, "packed");
    for (size_t i = 0; i < bytes; i += i < 96 ? 1 : 7) {
        packed.memory[i] ^= 0x20;
        api_expect("altered", qdot_op_create(device, &desc, &op, &err), QDOT_BAD_PACKED, &err,
                   "packed");
        packed.memory[i] ^= 0x20;
    }
    guarded_free(&packed);
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry_rules), cmocka_unit_test(test_op_rules),
        cmocka_unit_test(test_too_large),      cmocka_unit_test(test_output_size),
        cmocka_unit_test(test_run_rules),      cmocka_unit_test(test_fewer_images),
        cmocka_unit_test(test_packed),
    };
    return cmocka_run_group_tests_name("convolution", tests, NULL, NULL);
}
