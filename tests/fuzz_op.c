/* Products and convolutions: fuzz_ops.h says what is tried. */
#include "fuzz_ops.h"

enum { ROWS_MAX = 64 };

static char names[ROWS_MAX][64]; /* of rows */
static size_t name_count;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc desc = {.device = "cpu",
                                    .cache_dir = "",
                                    .cache_percent = 5, /* so that small shapes are cut as well */
                                    .threads = {3, NULL, backwards}};
    struct qdot_row_info info;
    (void)argc;
    (void)argv;
    EXPECT(qdot_open(&desc, &device, NULL) == QDOT_OK);
    for (size_t i = 0; name_count < ROWS_MAX && qdot_device_row(device, i, &info, NULL) == QDOT_OK;
         i++)
        if (info.admitted)
            memcpy(names[name_count++], info.name, sizeof(info.name));
    return 0;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static void *contents(struct input *in, size_t bytes)
{
    static const uint8_t ends[4] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t *memory = keep(in, bytes);
    for (size_t i = 0; i < bytes; i++) {
        const uint32_t r = next(in);
        memory[i] = r & 1 ? (uint8_t)(r >> 4) : ends[r >> 2 & 3];
    }
    return memory;
}

/* Mostly inside the range of a type. */
static int32_t zero_of(struct input *in, enum qdot_type type)
{
    const uint32_t how = take(&in->from, 1);
    if (how == 255)
        return (int32_t)take(&in->from, 4);
    return type == QDOT_S8 ? (int8_t)how : (int32_t)how;
}

static size_t count_of(struct input *in, size_t n)
{
    const uint32_t how = take(&in->from, 1);
    return how < 80 ? 0 : how < 140 ? 1 : how < 250 ? n : below(&in->from, 70);
}

static float scale_of(struct input *in)
{
    const uint32_t bits = take(&in->from, 4);
    float value = (float)(bits & 0xffff) * 0x1p-22f;
    if (bits >> 28 == 15)
        memcpy(&value, &bits, 4);
    return bits >> 20 & 1 ? -value : value;
}

static void take_conv(struct input *in, struct qdot_conv *c)
{
    struct bytes *b = &in->from;
    const size_t groups = 1 + (take(b, 1) % 4 == 0 ? below(b, 5) : 0);
    *c = (struct qdot_conv){.batch = below(b, 4),
                            .height = below(b, 12),
                            .width = below(b, 12),
                            .channels = groups * (1 + below(b, 20)) + (take(b, 1) == 7),
                            .out_channels = groups * (1 + below(b, 30)),
                            .kernel_h = below(b, 5),
                            .kernel_w = below(b, 5),
                            .stride_h = below(b, 4),
                            .stride_w = below(b, 4),
                            .dilation_h = below(b, 4),
                            .dilation_w = below(b, 4),
                            .pad_top = below(b, 5),
                            .pad_left = below(b, 5),
                            .pad_bottom = below(b, 5),
                            .pad_right = below(b, 5),
                            .groups = groups,
                            .transposed = take(b, 1) % 5 == 0,
                            .layout = take(b, 1) % 3 == 0 ? QDOT_NCHW : QDOT_NHWC};
    if (c->transposed) {
        c->output_pad_h = below(b, 3);
        c->output_pad_w = below(b, 3);
    }
    if (take(b, 1) == 200)
        c->width = c->pad_left = SIZE_MAX - take(b, 2);
}

static bool is_q31(enum qdot_rounding rounding)
{
    return rounding == QDOT_ROUND_Q31_DOUBLE_AWAY || rounding == QDOT_ROUND_Q31_DOUBLE_UP ||
           rounding == QDOT_ROUND_Q31_SINGLE_UP;
}

/* Of narrow outputs: instead of scales the Q31 roundings take multipliers and shifts. */
static void take_rounding(struct input *in, size_t n)
{
    struct qdot_op_desc *d = &in->d;
    const bool narrow = d->out_type == QDOT_U8 || d->out_type == QDOT_S8;
    if (narrow || take(&in->from, 1) == 3)
        d->rounding = (enum qdot_rounding)(take(&in->from, 1) % 7);
    if (!is_q31(d->rounding) || take(&in->from, 1) == 3)
        return;
    d->scale_count = take(&in->from, 1) == 3;
    d->multiplier_count = count_of(in, n);
    int32_t *multipliers = keep(in, d->multiplier_count * 4);
    int32_t *shifts = keep(in, d->multiplier_count * 4);
    for (size_t i = 0; i < d->multiplier_count; i++) {
        const uint32_t bits = take(&in->from, 2);
        multipliers[i] =
            bits == 7 ? (int32_t)take(&in->from, 4) : (int32_t)(0x40000000 | bits << 14);
        shifts[i] = (int32_t)(bits % 50) - 31 + (bits == 9 ? 99 : 0);
    }
    d->multiplier = d->multiplier_count ? multipliers : NULL;
    d->shift = d->multiplier_count ? shifts : NULL;
}

static void take_desc(struct input *in)
{
    struct bytes *b = &in->from;
    struct qdot_op_desc *d = &in->d;
    const bool conv = take(b, 1) % 2;
    d->kind = conv ? QDOT_CONV : QDOT_GEMM;
    d->a_type = (enum qdot_type)(take(b, 1) % 20 == 0 ? take(b, 1) % 7 : take(b, 1) % 3);
    d->b_type = (enum qdot_type)(take(b, 1) % 20 == 0 ? take(b, 1) % 7 : take(b, 1) % 3);
    d->out_type = (enum qdot_type)(take(b, 1) % 5);
    size_t n, k;
    if (conv) {
        take_conv(in, &d->conv);
        n = d->conv.out_channels;
        k = d->conv.kernel_h * d->conv.kernel_w * (d->conv.channels / d->conv.groups);
    } else {
        const size_t wide = take(b, 1) % 8 == 0 ? 200 : 40;
        d->m = below(b, wide);
        n = d->n = below(b, wide);
        k = d->k = below(b, wide);
        d->b_transposed = take(b, 1) % 2;
        d->ldb = take(b, 1) % 3 == 0 ? (d->b_transposed ? k : n) + below(b, 9) : 0;
    }
    const size_t rows = d->b_transposed ? n : k, columns = d->b_transposed ? k : n;
    const size_t ldb = d->ldb ? d->ldb : columns;
    if (conv || take(b, 1) % 3)
        d->b = contents(in, conv ? n * k : rows ? (rows - 1) * ldb + columns : 0);
    const enum qdot_type a_type = d->a_type ? d->a_type : QDOT_U8;
    const enum qdot_type b_type = d->b_type ? d->b_type : QDOT_S8;
    d->a_zero = zero_of(in, a_type);
    d->a_zero_per_row = !conv && take(b, 1) % 4 == 0;
    if (d->a_zero_per_row && take(b, 1) != 9)
        d->a_zero = 0;
    d->b_zero_count = count_of(in, n);
    int32_t *zeros = d->b_zero_count ? keep(in, d->b_zero_count * 4) : NULL;
    for (size_t i = 0; i < d->b_zero_count; i++)
        zeros[i] = zero_of(in, b_type);
    d->b_zero = zeros;
    if (take(b, 1) % 2)
        d->bias = contents(in, n * 4);
    const bool floating =
        d->out_type >= QDOT_F32 || d->out_type == QDOT_U8 || d->out_type == QDOT_S8;
    if (floating || take(b, 1) == 3)
        d->scale_count = count_of(in, n);
    take_rounding(in, n);
    float *scales = d->scale_count ? keep(in, d->scale_count * 4) : NULL;
    for (size_t i = 0; i < d->scale_count; i++)
        scales[i] = scale_of(in);
    d->scale = scales;
    if (d->out_type == QDOT_F32 || take(b, 1) == 3) {
        d->row_scale = !conv && take(b, 1) % 2;
        float *bias_f = take(b, 1) % 2 ? keep(in, n * 4) : NULL;
        for (size_t i = 0; bias_f && i < n; i++)
            bias_f[i] = scale_of(in) * 1000;
        d->bias_f = bias_f;
    }
    if (d->out_type == QDOT_U8 || d->out_type == QDOT_S8 || take(b, 1) == 3) {
        d->out_zero = zero_of(in, d->out_type);
        d->clamp_lo = take(b, 1) % 3 ? 0 : zero_of(in, d->out_type);
        d->clamp_hi = d->clamp_lo ? zero_of(in, d->out_type) : 0;
    }
    const size_t row = below(b, 2 * ROWS_MAX);
    d->kernel = row < name_count ? names[row] : NULL;
    in->state = take(b, 2);
}

/* ---- the run --------------------------------------------------------------------------------- */

static struct ref_problem reference_of(const struct qdot_op_desc *d, struct qdot_conv *conv)
{
    struct ref_problem p = {.m = d->m,
                            .n = d->n,
                            .k = d->k,
                            .a_type = d->a_type ? d->a_type : QDOT_U8,
                            .b_type = d->b_type ? d->b_type : QDOT_S8,
                            .out_type = d->out_type ? d->out_type : QDOT_S32,
                            .b = d->b,
                            .ldb = d->ldb            ? d->ldb
                                   : d->b_transposed ? d->k
                                                     : d->n,
                            .b_transposed = d->b_transposed,
                            .a_zero = &d->a_zero,
                            .a_zero_count = 1,
                            .b_zero = d->b_zero,
                            .b_zero_count = d->b_zero_count,
                            .bias = d->bias,
                            .scale = d->scale,
                            .scale_count = d->scale_count,
                            .bias_f = d->bias_f,
                            .rounding = d->rounding,
                            .multiplier = d->multiplier,
                            .shift = d->shift,
                            .multiplier_count = d->multiplier_count,
                            .out_zero = d->out_zero,
                            .clamp_lo = d->clamp_lo,
                            .clamp_hi = d->clamp_hi};
    if (d->kind == QDOT_GEMM)
        return p;
    size_t *const ones[] = {&conv->batch,      &conv->stride_h,   &conv->stride_w,
                            &conv->dilation_h, &conv->dilation_w, &conv->groups};
    *conv = d->conv;
    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
        *ones[i] = *ones[i] ? *ones[i] : 1;
    p.conv = conv;
    p.n = conv->out_channels;
    p.m = conv->batch;
    return p;
}

static void run(struct input *in, struct qdot_op *op)
{
    const struct qdot_op_desc *d = &in->d;
    struct qdot_conv conv;
    struct ref_problem p = reference_of(d, &conv);
    const bool nchw = p.conv && conv.layout == QDOT_NCHW;
    size_t oh = 1, ow = 1, pixels = 1, columns = p.k;
    if (p.conv) {
        EXPECT(qdot_conv_output(&conv, &oh, &ow, NULL) == QDOT_OK);
        pixels = conv.height * conv.width;
        columns = conv.channels;
    }
    struct qdot_run r = {.m = below(&in->from, p.m + 1)};
    const size_t m = p.m = r.m ? r.m : p.m;
    const size_t gap = nchw || take(&in->from, 1) % 3 ? 0 : 1 + below(&in->from, 7);
    const size_t out_gap = nchw || take(&in->from, 1) % 3 ? 0 : 1 + below(&in->from, 7);
    const size_t size = ref_size(p.out_type);
    p.lda = columns + gap;
    r.lda = gap ? p.lda : 0;
    const size_t ldo = p.n + out_gap;
    r.ldo = out_gap ? ldo : 0;
    const size_t out_bytes = ((m * oh * ow - 1) * ldo + p.n) * size;
    p.a = r.a.host = contents(in, (m * pixels - 1) * p.lda + columns);
    if (!d->b) {
        const size_t b_rows = d->b_transposed ? p.n : p.k, b_columns = d->b_transposed ? p.k : p.n;
        p.b = r.b.host = contents(in, (b_rows - 1) * p.ldb + b_columns);
    }
    if (d->a_zero_per_row) {
        int32_t *zeros = keep(in, m * 4);
        for (size_t i = 0; i < m; i++)
            zeros[i] = p.a_type == QDOT_U8 ? (int32_t)(next(in) & 255) : (int8_t)next(in);
        p.a_zero = r.a_zero.host = zeros;
        p.a_zero_count = m;
    }
    if (d->row_scale) {
        float *factors = keep(in, m * 4);
        for (size_t i = 0; i < m; i++)
            factors[i] = (float)(next(in) & 4095) * 0x1p-9f;
        p.row_scale = r.row_scale.host = factors;
    }
    uint8_t *out = keep(in, out_bytes), *want = keep(in, out_bytes);
    memset(out, 0x5a, out_bytes);
    memset(want, 0x5a, out_bytes);
    r.out.host = out;
    EXPECT(qdot_op_run(op, &r, NULL) == QDOT_OK);
    EXPECT(ref_run(&p, want, ldo) == 0);
    EXPECT(memcmp(out, want, out_bytes) == 0);
}
