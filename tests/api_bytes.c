/* Maps and pools in the API: every rule broken once, and what conform does not look at. */
#include "api.h"
#include <math.h>
#include <stdio.h>

static const uint8_t table[65536] = {0};
static const int32_t zeros[1] = {0};
static const float scales[1] = {1};

/* Of two operands: [2,3,4], the second one repeated along the first dimension. */
static struct qdot_op_desc good_map(void)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = QDOT_MAP,
                                 .map = {.rank = 3,
                                         .dims = {2, 3, 4},
                                         .a_stride = {12, 4, 1},
                                         .b_stride = {0, 4, 1},
                                         .out_stride = {20, 5, 1},
                                         .operands = 2,
                                         .table = table}};
}

static struct qdot_op_desc good_pool(void)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = QDOT_MAX_POOL,
                                 .conv = {.batch = 2,
                                          .height = 5,
                                          .width = 6,
                                          .channels = 3,
                                          .kernel_h = 2,
                                          .kernel_w = 3,
                                          .pad_left = 2}};
}

/* Without scales, then with them. */
static struct qdot_op_desc good_average(void)
{
    struct qdot_op_desc desc = good_pool();
    desc.kind = QDOT_AVERAGE_POOL;
    return desc;
}

static struct qdot_op_desc good_scaled(void)
{
    struct qdot_op_desc desc = good_average();
    desc.average = (struct qdot_average){.a_scale = 0.5f, .out_scale = 3};
    desc.a_zero = desc.out_zero = 255;
    return desc;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

/* X(name, text that the error must contain, what breaks the rule) */
#define SHARED_RULES(X)                                         \
    X(m, "m:", d->m = 1)                                        \
    X(n, "n:", d->n = 1)                                        \
    X(k, "k:", d->k = 1)                                        \
    X(b_type, "b_type", d->b_type = QDOT_S8)                    \
    X(b, "b:", d->b = table)                                    \
    X(ldb, "ldb", d->ldb = 1)                                   \
    X(b_transposed, "b_transposed", d->b_transposed = 1)        \
    X(packed, "packed", d->packed = table)                      \
    X(a_zero, "a_zero", d->a_zero = 1)                          \
    X(b_zero, "b_zero", d->b_zero = zeros)                      \
    X(bias, "bias:", d->bias = zeros)                           \
    X(scale, "scale:", d->scale = scales)                       \
    X(multiplier, "multiplier", d->multiplier_count = 1)        \
    X(row_scale, "row_scale", d->row_scale = 1)                 \
    X(bias_f, "bias_f", d->bias_f = scales)                     \
    X(out_zero, "out_zero", d->out_zero = 1)                    \
    X(rounding, "rounding", d->rounding = QDOT_ROUND_MANT24_UP) \
    X(kernel_of_products, "kernel", d->kernel = "gemm_12x16")

#define MAP_RULES(X)                                                                        \
    X(a_type, "a_type", d->a_type = QDOT_U8)                                                \
    X(out_type, "out_type", d->out_type = QDOT_U8)                                          \
    X(clamp, "clamp_lo", d->clamp_hi = 1)                                                   \
    X(rank_0, "map.rank", m->rank = 0)                                                      \
    X(rank_7, "map.rank", m->rank = 7)                                                      \
    X(operands_3, "map.operands", m->operands = 3)                                          \
    X(operands_less, "map.operands", m->operands = -1)                                      \
    X(table, "map.table", m->table = NULL)                                                  \
    X(dims_0, "map.dims[1]", m->dims[1] = 0)                                                \
    X(dims_many, "map.dims:", (m->dims[0] = (size_t)1 << 32, m->dims[1] = (size_t)1 << 31)) \
    X(b_of_one, "map.b_stride[1]", m->operands = 1)                                         \
    X(out_repeated, "map.out_stride", m->out_stride[1] = 0)                                 \
    X(out_shares, "map.out_stride", m->out_stride[1] = 3)                                   \
    X(out_between, "map.out_stride", m->out_stride[0] = 13)                                 \
    X(out_equal, "map.out_stride", m->out_stride[0] = 5)                                    \
    X(a_far, "map.a_stride", m->a_stride[2] = SIZE_MAX)                                     \
    X(a_far_in_all, "map.a_stride",                                                         \
      (m->a_stride[1] = (size_t)1 << 61, m->a_stride[2] = (size_t)1 << 61))                 \
    X(b_far, "map.b_stride", m->b_stride[2] = SIZE_MAX / 4)                                 \
    X(out_far, "map.out_stride", m->out_stride[0] = (size_t)PTRDIFF_MAX)

#define POOL_RULES(X)                                                                       \
    X(a_type, "a_type", d->a_type = QDOT_S32)                                               \
    X(rank, "map.rank", d->map.rank = 1)                                                    \
    X(operands, "map.operands", d->map.operands = 1)                                        \
    X(channels, "conv.channels", v->channels = 0)                                           \
    X(out_channels, "conv.out_channels", v->out_channels = 6)                               \
    X(groups, "conv.groups", v->groups = 3)                                                 \
    X(transposed, "conv.transposed", v->transposed = 1)                                     \
    X(output_pad, "conv.output_pad", v->output_pad_w = 1)                                   \
    X(kernel, "conv.kernel_h", v->kernel_h = 0)                                             \
    X(empty, "conv.height", v->kernel_h = 6)                                                \
    X(layout, "conv.layout", v->layout = (enum qdot_layout)2)                               \
    X(window_left, "conv.pad_left", v->pad_left = 3)                                        \
    X(window_right, "conv.pad_left, right", (v->pad_left = 0, v->pad_right = 3))            \
    X(window_top, "conv.pad_top", v->pad_top = 2)                                           \
    X(window_bottom, "conv.pad_top, bottom: the window of output row 5", v->pad_bottom = 2) \
    X(window_around, "conv.pad_top",                                                        \
      (v->height = 2, v->dilation_h = 3, v->pad_top = v->pad_bottom = 1))

#define MAX_RULES(X)                                  \
    X(out_type, "out_type", d->out_type = QDOT_S8)    \
    X(clamp, "clamp_lo", d->clamp_hi = 1)             \
    X(a_scale, "average", d->average.a_scale = 1)     \
    X(out_scale, "average", d->average.out_scale = 1) \
    X(count_padding, "average", d->average.count_padding = 1)

#define AVERAGE_RULES(X)                                                                          \
    X(out_type, "out_type", d->out_type = QDOT_S32)                                               \
    X(table, "map.table", d->map.table = table)                                                   \
    X(clamp_wide, "clamp_lo", d->clamp_hi = 256)                                                  \
    X(clamp_crossed, "clamp_lo", (d->clamp_lo = 3, d->clamp_hi = 2))                              \
    X(clamp_of_out, "clamp_lo", (d->out_type = QDOT_S8, d->clamp_hi = 200))                       \
    X(taps, "conv.kernel_h", (v->height = v->kernel_h = 65537, v->pad_left = 0, v->kernel_w = 1)) \
    X(a_scale_nan, "average.a_scale", d->average.a_scale = NAN)                                   \
    X(a_scale_less, "average.a_scale", (d->average.a_scale = -1, d->average.out_scale = 1))       \
    X(a_scale_small, "average.a_scale",                                                           \
      (d->average.a_scale = 0x1p-127f, d->average.out_scale = 1))                                 \
    X(a_scale_none, "average.a_scale", (d->average.a_scale = 0, d->average.out_scale = 1))        \
    X(out_scale_none, "average.out_scale", (d->average.a_scale = 1, d->average.out_scale = 0))    \
    X(out_scale_large, "average.out_scale",                                                       \
      (d->average.a_scale = 1, d->average.out_scale = INFINITY))

#define UNSCALED_RULES(X) X(count_padding, "average.count_padding", d->average.count_padding = 1)

#define SCALED_RULES(X)                                                  \
    X(a_zero, "a_zero", d->a_zero = 256)                                 \
    X(a_zero_s8, "a_zero", d->a_type = QDOT_S8)                          \
    X(out_zero, "out_zero", d->out_zero = -1)                            \
    X(out_zero_s8, "out_zero", d->out_type = QDOT_S8)                    \
    X(rounding, "rounding", d->rounding = QDOT_ROUND_Q31_DOUBLE_AWAY)    \
    X(rounding_less, "rounding", d->rounding = (enum qdot_rounding) - 1) \
    X(bias, "bias:", d->bias = zeros)

static void test_descriptor(void **state)
{
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op *op;
    int status;
    (void)state;
#define BREAK(name, text, what)                                                     \
    {                                                                               \
        struct qdot_op_desc desc = good(), *d = &desc;                              \
        struct qdot_map *m = &d->map;                                               \
        struct qdot_conv *v = &d->conv;                                             \
        (void)m, (void)v;                                                           \
        what;                                                                       \
        err = (struct qdot_error){0};                                               \
        status = qdot_op_create(device, d, &op, &err);                              \
        if (status == QDOT_UNSUPPORTED && strcmp(#name, "kernel_of_products") == 0) \
            status = err.status = QDOT_INVALID;                                     \
        api_expect(#name, status, QDOT_INVALID, &err, text);                        \
        assert_null(op);                                                            \
    }
    struct qdot_op_desc (*good)(void) = good_map;
    SHARED_RULES(BREAK)
    MAP_RULES(BREAK)
    good = good_pool;
    SHARED_RULES(BREAK)
    POOL_RULES(BREAK)
    MAX_RULES(BREAK)
    good = good_average;
    SHARED_RULES(BREAK)
    POOL_RULES(BREAK)
    AVERAGE_RULES(BREAK)
    UNSCALED_RULES(BREAK)
    good = good_scaled;
    POOL_RULES(BREAK)
    AVERAGE_RULES(BREAK)
    SCALED_RULES(BREAK)
#undef BREAK
    qdot_close(device);
}

/* Windows that look empty and are not: taps far apart, with an input between them. */
static void test_windows(void **state)
{
    const struct qdot_conv good[] = {
        {.height = 2, .width = 1, .kernel_h = 2, .dilation_h = 3, .pad_top = 2},
        {.height = 1, .width = 1, .kernel_h = 3, .dilation_h = 5, .pad_top = 5, .pad_bottom = 5},
        {.height = 7, .width = 1, .kernel_h = 3, .stride_h = 2, .pad_bottom = 2},
    };
    struct qdot_error err = {0};
    char text[192];
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct qdot_op_desc desc = {.size = sizeof(desc), .kind = QDOT_MAX_POOL, .conv = good[i]};
        desc.conv.channels = desc.conv.kernel_w = 1;
        if (qdot_problem_text(&desc, text, sizeof(text), &err))
            fail_msg("%zu: %s", i, err.text);
    }
}

static void expect_text(const struct qdot_op_desc *desc, const char *expected)
{
    struct qdot_error err = {0};
    char text[192];
    assert_int_equal(qdot_problem_text(desc, text, sizeof(text), &err), QDOT_OK);
    assert_string_equal(text, expected);
}

/* Dimensions that lie side by side are one; 2^40 elements are a right descriptor. */
static void test_texts(void **state)
{
    struct qdot_op_desc desc = good_map();
    (void)state;
    expect_text(&desc, "map 2x3x4 a12x4x1 b0x4x1 o20x5x1 table");
    desc.map.out_stride[1] = 4;
    expect_text(&desc, "map 2x12 a12x1 b0x1 o20x1 table");
    desc.map = (struct qdot_map){.rank = 4,
                                 .dims = {1 << 10, 1, 1 << 10, 1 << 20},
                                 .a_stride = {(size_t)1 << 30, 7, 1 << 20, 1},
                                 .out_stride = {(size_t)1 << 30, 0, 1 << 20, 1}};
    expect_text(&desc, "map 1099511627776 a1 o1");
    for (size_t i = 0; i < 6; i++) {
        desc.map.dims[i] = 2;
        desc.map.a_stride[i] = ((size_t)1 << 59) - i;
        desc.map.out_stride[i] = (size_t)1 << (59 - i);
    }
    desc.map.rank = 6;
    char text[192];
    struct qdot_error err = {0};
    assert_int_equal(qdot_problem_text(&desc, text, sizeof(text), &err), QDOT_OK);
    desc = good_pool();
    desc.conv.layout = QDOT_NCHW;
    expect_text(&desc, "max_pool 2x5x6x3 2x3 s1x1 p0x2 o4x6 nchw u8");
    desc = good_scaled();
    expect_text(&desc, "average_pool 2x5x6x3 2x3 s1x1 p0x2 o4x6 u8 scaled");
}

/* ---- the run --------------------------------------------------------------------------------- */

static void test_run_map(void **state)
{
    enum { A = 24, B = 12, OUT = 34 }; /* bytes from the first to the last */
    uint8_t a[A + OUT] = {0}, b[B] = {0}, out[OUT];
    struct qdot_op_desc desc = good_map();
    struct qdot_error err = {0};
    struct qdot_buffer *buffer;
    size_t bytes;
    (void)state;
    struct api_made made = api_make(&desc);
    const struct qdot_run good = {.size = sizeof(good), .a.host = a, .b.host = b, .out.host = out};
    assert_int_equal(qdot_op_run(made.op, &good, &err), QDOT_OK);
    API_BROKEN("a:", run.a.host = NULL)
    API_BROKEN("b:", run.b.host = NULL)
    API_BROKEN("out:", run.out.host = NULL)
    API_BROKEN("lda", run.lda = 4)
    API_BROKEN("ldo", run.ldo = 4)
    API_BROKEN("m:", run.m = 3)
    API_BROKEN("scale:", run.scale.host = scales)
    API_BROKEN("zero:", run.zero.host = zeros)
    API_BROKEN("a_zero", run.a_zero.host = zeros)
    API_BROKEN("row_scale", run.row_scale.host = scales)
    API_BROKEN("scale_out", run.scale_out.host = out)
    API_BROKEN("zero_out", run.zero_out.host = out)
    API_BROKEN("out:", run.out.host = a)
    API_BROKEN("out:", run.out.host = a + A - 1)
    API_BROKEN("out:", run.b.host = out + OUT - 1)
    assert_int_equal(qdot_buffer_create(made.device, A + OUT, NULL, &buffer, &err), QDOT_OK);
    API_BROKEN("a:", (run.a.host = NULL, run.a.buffer = buffer, run.a.offset_bytes = OUT + 1))
    API_BROKEN("out:", (run.out.host = NULL, run.out.buffer = buffer, run.out.offset_bytes = A + 1))
    struct qdot_run last = good;
    last.a = (struct qdot_input){.buffer = buffer};
    last.out = (struct qdot_output){.buffer = buffer, .offset_bytes = A};
    assert_int_equal(qdot_op_run(made.op, &last, &err), QDOT_OK);
    qdot_buffer_destroy(buffer);
    api_expect("packed", qdot_op_packed_bytes(made.op, &bytes, &err), QDOT_UNSUPPORTED, &err, "op");
    api_expect("pack", qdot_packed_bytes(made.device, &desc, &bytes, &err), QDOT_INVALID, &err,
               "b:");
    api_unmake(&made);
}

static void test_run_pool(void **state)
{
    enum { A = 2 * 5 * 6 * 3, OUT = 2 * 4 * 6 * 3 };
    uint8_t a[A + OUT] = {0}, out[OUT];
    struct qdot_op_desc desc = good_pool();
    struct qdot_error err = {0};
    (void)state;
    struct api_made made = api_make(&desc);
    const struct qdot_run good = {.size = sizeof(good), .a.host = a, .out.host = out};
    assert_int_equal(qdot_op_run(made.op, &good, &err), QDOT_OK);
    API_BROKEN("a:", run.a.host = NULL)
    API_BROKEN("out:", run.out.host = NULL)
    API_BROKEN("b:", run.b.host = a)
    API_BROKEN("m:", run.m = 3)
    API_BROKEN("lda", run.lda = 2)
    API_BROKEN("ldo", run.ldo = 2)
    API_BROKEN("scale:", run.scale.host = scales)
    API_BROKEN("a_zero", run.a_zero.host = zeros)
    API_BROKEN("out:", run.out.host = a + A - 1)
    api_unmake(&made);
}

/* ---- on the device --------------------------------------------------------------------------- */

/* A pool and a copy write the two parts of a Concat, whose channels a map then swaps and doubles: in one
 * buffer, without the host between, until an event is done. */
static void test_graph(void **state)
{
    enum { H = 6, W = 5, C = 3, OH = 3, OW = 3, D = 2, PIXELS = OH * OW };
    enum {
        IN = 0,
        SIDE = IN + H * W * C,
        BOTH = SIDE + PIXELS * D,
        LAST = BOTH + PIXELS * (C + D)
    };
    enum { BYTES = LAST + PIXELS * (C + D) };
    struct qdot_error err = {0};
    struct qdot_device *device = api_open();
    struct qdot_buffer *b = NULL;
    struct qdot_event *event = NULL;
    uint8_t memory[BYTES], doubled[256];
    (void)state;
    for (size_t i = 0; i < 256; i++)
        doubled[i] = (uint8_t)(2 * i);
    for (size_t i = 0; i < BYTES; i++)
        memory[i] = (uint8_t)(i * 37);
    const struct qdot_op_desc descs[3] = {
        {.size = sizeof(descs[0]),
         .kind = QDOT_MAX_POOL,
         .conv = {.height = H,
                  .width = W,
                  .channels = C,
                  .kernel_h = 2,
                  .kernel_w = 2,
                  .stride_h = 2,
                  .stride_w = 2,
                  .pad_right = 1}},
        {.size = sizeof(descs[0]),
         .kind = QDOT_MAP,
         .map = {.rank = 2, .dims = {PIXELS, D}, .a_stride = {D, 1}, .out_stride = {C + D, 1}}},
        {.size = sizeof(descs[0]),
         .kind = QDOT_MAP,
         .map = {.rank = 2,
                 .dims = {C + D, PIXELS},
                 .a_stride = {1, C + D},
                 .out_stride = {PIXELS, 1},
                 .table = doubled}}};
    const struct qdot_run runs[3] = {
        {.a = {.buffer = NULL, .offset_bytes = IN}, .out = {.offset_bytes = BOTH}, .ldo = C + D},
        {.a = {.buffer = NULL, .offset_bytes = SIDE}, .out = {.offset_bytes = BOTH + C}},
        {.a = {.buffer = NULL, .offset_bytes = BOTH}, .out = {.offset_bytes = LAST}}};
    struct qdot_op *ops[3];
    if (qdot_buffer_create(device, BYTES, NULL, &b, &err) ||
        qdot_buffer_write(b, 0, memory, BYTES, &err) || qdot_event_create(device, &event, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 3; i++) {
        struct qdot_run run = runs[i];
        run.a.buffer = run.out.buffer = b;
        run.event = i == 2 ? event : NULL;
        if (qdot_op_create(device, &descs[i], &ops[i], &err) || qdot_op_run(ops[i], &run, &err))
            fail_msg("%zu: %s", i, err.text);
    }
    if (qdot_event_wait(event, UINT64_MAX, &err) || qdot_buffer_read(b, 0, memory, BYTES, &err))
        fail_msg("%s", err.text);
    for (size_t y = 0; y < OH; y++)
        for (size_t x = 0; x < OW; x++)
            for (size_t c = 0; c < C + D; c++) {
                uint8_t want = memory[SIDE + (y * OW + x) * D + (c < C ? 0 : c - C)];
                for (size_t i = 0, most = 0; c < C && i < 4; i++) {
                    const size_t row = 2 * y + i / 2, column = 2 * x + i % 2;
                    const uint8_t v = column < W ? memory[IN + (row * W + column) * C + c] : 0;
                    want = (uint8_t)(most = v > most ? v : most);
                }
                assert_int_equal(memory[LAST + c * PIXELS + y * OW + x], (uint8_t)(2 * want));
            }
    for (size_t i = 0; i < 3; i++)
        qdot_op_destroy(ops[i]);
    qdot_event_destroy(event);
    qdot_buffer_destroy(b);
    qdot_close(device);
}

/* What a run counts may be the innermost of the output's dimensions: with fewer there are gaps. */
static void test_fewer(void **state)
{
    uint8_t a[6] = {1, 2, 3, 4, 5, 6}, out[6] = {9, 9, 9, 9, 9, 9};
    const uint8_t want[6] = {1, 3, 9, 2, 4, 9};
    const struct qdot_op_desc desc = {
        .size = sizeof(desc),
        .kind = QDOT_MAP,
        .map = {.rank = 2, .dims = {3, 2}, .a_stride = {2, 1}, .out_stride = {1, 3}}};
    struct qdot_error err = {0};
    (void)state;
    struct api_made made = api_make(&desc);
    const struct qdot_run run = {.size = sizeof(run), .m = 2, .a.host = a, .out.host = out};
    assert_int_equal(qdot_op_run(made.op, &run, &err), QDOT_OK);
    assert_memory_equal(out, want, sizeof(want));
    api_unmake(&made);
}

/* Windows of 4, 2 and 1 taps, by each formula, worked out by hand. Scales that differ by a power of two
 * give the same, to the ends of what floats are. */
static void test_averages(void **state)
{
    const uint8_t a[6] = {10, 20, 30, 13, 25, 255};
    const struct {
        struct qdot_op_desc desc;
        uint8_t want[6];
    } cases[] = {
        /* 10 + 20 + 13 + 25 = 68, 330, 285; 38, 280, 255 */
        {{.a_zero = 0}, {17, 83, 143, 19, 140, 255}},
        {{.average = {0.5f, 1, 0}, .a_zero = 10, .out_zero = 3}, {7, 39, 69, 7, 68, 125}},
        {{.average = {0.5f, 1, 0},
          .a_zero = 10,
          .out_zero = 3,
          .rounding = QDOT_ROUND_RNE_ZERO_FIRST},
         {6, 39, 69, 8, 68, 126}},
        {{.average = {0.5f, 1, 1}, .a_zero = 10, .clamp_lo = 2, .clamp_hi = 30},
         {4, 30, 30, 2, 30, 30}},
        {{.average = {1, 1, 0}, .a_zero = 100, .out_type = QDOT_S8, .out_zero = -7},
         {(uint8_t)-90, (uint8_t)-25, 35, (uint8_t)-88, 33, 127}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int power = -120; power <= 120; power += 60) {
            struct qdot_op_desc desc = cases[i].desc;
            struct qdot_error err = {0};
            uint8_t out[6] = {0};
            desc.kind = QDOT_AVERAGE_POOL;
            desc.conv = (struct qdot_conv){.height = 2,
                                           .width = 3,
                                           .channels = 1,
                                           .kernel_h = 2,
                                           .kernel_w = 2,
                                           .pad_bottom = 1,
                                           .pad_right = 1};
            desc.average.a_scale = ldexpf(desc.average.a_scale, power);
            desc.average.out_scale = ldexpf(desc.average.out_scale, power);
            struct api_made made = api_make(&desc);
            const struct qdot_run run = {.a.host = a, .out.host = out};
            assert_int_equal(qdot_op_run(made.op, &run, &err), QDOT_OK);
            assert_memory_equal(out, cases[i].want, sizeof(out));
            api_unmake(&made);
        }
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
    for (int kind = 0; kind < 3; kind++) {
        struct qdot_op_desc desc = kind == 2 ? good_scaled() : kind ? good_pool() : good_map();
        int status = QDOT_NO_MEMORY;
        desc.map.table = kind < 2 ? table : NULL;
        for (size_t n = 1; status == QDOT_NO_MEMORY && n < 200; n++) {
            struct qdot_op *op = NULL;
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

/* Of all devices' rows "auto" takes one by time, as for products. */
static void test_auto(void **state)
{
    struct qdot_device_desc open = {.size = sizeof(open), .cache_dir = "", .budget_us = 100000};
    struct qdot_device *device;
    struct qdot_error err = {0};
    (void)state;
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    for (int kind = 0; kind < 3; kind++) {
        const struct qdot_op_desc desc = kind == 2 ? good_scaled()
                                         : kind    ? good_pool()
                                                   : good_map();
        static const char *const rows[] = {"/map", "/max_pool", "/average_pool"};
        struct qdot_candidate candidates[64];
        size_t count = 0, chosen = 0;
        if (qdot_explain(device, &desc, candidates, 64, &count, &err))
            fail_msg("%s", err.text);
        for (size_t i = 0; i < count && i < 64; i++) {
            assert_non_null(strstr(candidates[i].row, rows[kind]));
            chosen += candidates[i].chosen != 0;
        }
        assert_int_equal(chosen, 1);
    }
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_texts),      cmocka_unit_test(test_run_map),
        cmocka_unit_test(test_run_pool),   cmocka_unit_test(test_graph),
        cmocka_unit_test(test_fewer),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_auto),       cmocka_unit_test(test_averages),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
