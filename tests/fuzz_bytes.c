/* Maps and pools: fuzz_ops.h says what is tried. */
#include "fuzz_ops.h"

enum { MOST = 1 << 16 }; /* bytes of an operand that a run gets memory for */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc desc = {
        .device = "cpu", .cache_dir = "", .threads = {3, NULL, backwards}};
    (void)argc;
    (void)argv;
    EXPECT(qdot_open(&desc, &device, NULL) == QDOT_OK);
    return 0;
}

static uint8_t *contents(struct input *in, size_t bytes)
{
    uint8_t *memory = keep(in, bytes);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (uint8_t)next(in);
    return memory;
}

static size_t stride(struct bytes *b)
{
    const uint32_t how = take(b, 1);
    return how == 255 ? SIZE_MAX - take(b, 1) : how == 254 ? (size_t)1 << below(b, 64) : how % 64;
}

static void take_map(struct input *in)
{
    struct bytes *b = &in->from;
    struct qdot_map *m = &in->d.map;
    size_t reach = 1;
    m->rank = below(b, 8);
    m->operands = (int)below(b, 4);
    for (size_t d = QDOT_MAP_RANK; d-- > 0;) {
        m->dims[d] = below(b, 7);
        m->a_stride[d] = stride(b);
        m->b_stride[d] = m->operands == 2 || take(b, 1) == 9 ? stride(b) : 0;
        m->out_stride[d] = take(b, 1) % 8 ? reach + below(b, 3) : stride(b);
        if (d < m->rank)
            reach += m->out_stride[d] * (m->dims[d] - 1);
    }
    if (take(b, 1) == 77)
        m->dims[below(b, QDOT_MAP_RANK)] = SIZE_MAX >> below(b, 64);
}

static void take_pool(struct input *in)
{
    struct bytes *b = &in->from;
    struct qdot_conv *v = &in->d.conv;
    size_t *const fields[] = {&v->height,     &v->width,    &v->channels, &v->kernel_h,
                              &v->kernel_w,   &v->stride_h, &v->stride_w, &v->dilation_h,
                              &v->dilation_w, &v->pad_top,  &v->pad_left, &v->pad_bottom,
                              &v->pad_right};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        *fields[i] = below(b, i < 2 ? 24 : i == 2 ? 90 : 5);
    v->batch = below(b, 4);
    v->out_channels = take(b, 1) == 3 ? below(b, 90) : 0;
    v->layout = (enum qdot_layout)(take(b, 1) % 2);
    in->d.a_type = (enum qdot_type)below(b, 3);
    if (take(b, 1) == 77) /* of what a loop over windows is short */
        *fields[below(b, 3)] = (size_t)INT32_MAX - below(b, 4);
}

static void take_average(struct input *in)
{
    struct bytes *b = &in->from;
    struct qdot_op_desc *d = &in->d;
    const uint32_t scales[2] = {take(b, 4), take(b, 4)};
    if (take(b, 1) % 4)
        memcpy(&d->average, scales, sizeof(scales)); /* any bits, of which half are right */
    d->average.count_padding = take(b, 1) % 8 == 1;
    d->out_type = (enum qdot_type)below(b, 4);
    d->rounding = (enum qdot_rounding)(take(b, 1) % 16 == 9 ? below(b, 9) : below(b, 2));
    d->a_zero = (int32_t)take(b, 1) % 256 - (d->a_type == QDOT_S8 ? 128 : 0);
    d->out_zero = (int32_t)take(b, 1) % 256 - (d->a_type == QDOT_S8 ? 128 : 0);
    d->clamp_lo = (int32_t)below(b, 4) - (int32_t)below(b, 4);
    d->clamp_hi = (int32_t)below(b, 300);
}

static void take_desc(struct input *in)
{
    static const char *const rows[] = {NULL,  NULL,         "max_pool",     "max_pool_avx2",
                                       "map", "gemm_12x16", "average_pool", "average_pool_avx2"};
    struct bytes *b = &in->from;
    in->state = take(b, 2);
    in->d.kind = (enum qdot_op_kind)(QDOT_MAP + below(b, 3));
    if (take(b, 1) % 2 && in->d.kind != QDOT_AVERAGE_POOL)
        in->d.map.table = contents(in, 65536);
    in->d.kernel = rows[below(b, 8)];
    if (in->d.kind == QDOT_MAP)
        take_map(in);
    else
        take_pool(in);
    if (in->d.kind == QDOT_AVERAGE_POOL)
        take_average(in);
}

static size_t reach_of(const struct qdot_map *m, const size_t *strides, size_t units)
{
    size_t bytes = 1;
    for (size_t d = 0; d < m->rank; d++)
        bytes += ((d ? m->dims[d] : units) - 1) * strides[d];
    return bytes;
}

/* The output with its gaps, which have any bytes before and keep them. */
static void compare(struct qdot_op *op, struct qdot_run *r, size_t out_bytes,
                    const uint8_t *expected, uint8_t *out)
{
    r->out.host = out;
    EXPECT(qdot_op_run(op, r, NULL) == QDOT_OK);
    EXPECT(memcmp(out, expected, out_bytes) == 0);
}

static void run_map(struct input *in, struct qdot_op *op)
{
    const struct qdot_map *m = &in->d.map;
    struct qdot_run r = {.m = below(&in->from, m->dims[0] < 9 ? m->dims[0] + 1 : 1)};
    const size_t units = r.m ? r.m : m->dims[0];
    const size_t a = reach_of(m, m->a_stride, units), out_bytes = reach_of(m, m->out_stride, units);
    const size_t b = m->operands == 2 ? reach_of(m, m->b_stride, units) : 0;
    if (a > MOST || b > MOST || out_bytes > MOST)
        return;
    uint8_t *x = contents(in, a), *y = b ? contents(in, b) : NULL;
    uint8_t *want = contents(in, out_bytes), *out = keep(in, out_bytes);
    memcpy(out, want, out_bytes);
    ref_map(m, units, x, y, want);
    r.a.host = x;
    r.b.host = y;
    compare(op, &r, out_bytes, want, out);
}

static void run_pool(struct input *in, struct qdot_op *op)
{
    struct ref_pool p = {.conv = in->d.conv,
                         .type = in->d.a_type,
                         .table = in->d.map.table,
                         .averages = in->d.kind == QDOT_AVERAGE_POOL,
                         .average = in->d.average,
                         .out_type = in->d.out_type ? in->d.out_type : in->d.a_type,
                         .rounding = in->d.rounding,
                         .a_zero = in->d.a_zero,
                         .out_zero = in->d.out_zero,
                         .clamp_lo = in->d.clamp_lo,
                         .clamp_hi = in->d.clamp_hi};
    struct qdot_conv *v = &p.conv;
    if (p.clamp_lo == 0 && p.clamp_hi == 0)
        ref_range(p.out_type ? p.out_type : QDOT_U8, &p.clamp_lo, &p.clamp_hi);
    size_t *const ones[] = {&v->batch, &v->stride_h, &v->stride_w, &v->dilation_h, &v->dilation_w};
    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
        *ones[i] = *ones[i] ? *ones[i] : 1;
    if (v->height > 99 || v->width > 99 || v->channels > 99)
        return;
    EXPECT(ref_pool_valid(v));
    struct qdot_run r = {.m = below(&in->from, v->batch + 1)};
    const bool gaps = v->layout == QDOT_NHWC && take(&in->from, 1) % 2;
    r.lda = gaps ? v->channels + below(&in->from, 9) : 0;
    r.ldo = gaps ? v->channels + below(&in->from, 9) : 0;
    v->batch = r.m ? r.m : v->batch;
    p.lda = r.lda ? r.lda : v->channels;
    const size_t ldo = r.ldo ? r.ldo : v->channels;
    size_t oh, ow;
    ref_conv_output(v, &oh, &ow);
    const size_t out_bytes = (v->batch * oh * ow - 1) * ldo + v->channels;
    uint8_t *want = contents(in, out_bytes), *out = keep(in, out_bytes);
    memcpy(out, want, out_bytes);
    p.a = r.a.host = contents(in, (v->batch * v->height * v->width - 1) * p.lda + v->channels);
    ref_pool_run(&p, want, ldo);
    compare(op, &r, out_bytes, want, out);
}

static void run(struct input *in, struct qdot_op *op)
{
    if (in->d.kind == QDOT_MAP)
        run_map(in, op);
    else
        run_pool(in, op);
}
