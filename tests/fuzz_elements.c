/* Quantize and its kin: fuzz_ops.h says what is tried. */
#include "fuzz_ops.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc desc = {
        .device = "cpu", .cache_dir = "", .threads = {3, NULL, backwards}};
    (void)argc;
    (void)argv;
    EXPECT(qdot_open(&desc, &device, NULL) == QDOT_OK);
    return 0;
}

/* Half of them ordinary, half any bits. */
static float *numbers(struct input *in, size_t count, bool positive)
{
    float *memory = keep(in, count * 4);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = next(in) << 16 ^ next(in);
        const bool any = next(in) & 1;
        if (positive)
            memory[i] = any ? 0x1p-126f * (1 + (float)(bits & 7)) : (float)(1 + (bits & 255)) / 64;
        else if (any)
            memcpy(&memory[i], &bits, 4);
        else
            memory[i] = (float)((int)(bits & 4095) - 2048) / 8;
    }
    return memory;
}

static int32_t *zeros_of(struct input *in, size_t count, enum qdot_type type)
{
    int32_t lo, hi, *memory = keep(in, count * 4);
    ref_range(type, &lo, &hi);
    for (size_t i = 0; i < count; i++)
        memory[i] = lo + (int32_t)(next(in) % (uint32_t)(hi - lo + 1));
    return memory;
}

static enum qdot_type type_of(const struct qdot_op_desc *d)
{
    return d->quantize.type ? d->quantize.type : QDOT_U8;
}

static bool is_type(enum qdot_type type)
{
    return type > QDOT_TYPE_DEFAULT && type <= QDOT_U4 && type != QDOT_F32;
}

/* Right ones mostly. */
static void take_desc(struct input *in)
{
    struct bytes *b = &in->from;
    struct qdot_op_desc *d = &in->d;
    struct qdot_quantize *q = &d->quantize;
    d->kind = (enum qdot_op_kind)(QDOT_QUANTIZE + below(b, 5));
    q->type = (enum qdot_type)below(b, 11);
    q->outer = below(b, 4);
    q->axis = below(b, 40);
    q->inner = below(b, 90);
    if (take(b, 1) == 200)
        q->inner = SIZE_MAX - take(b, 2);
    const size_t outer = q->outer ? q->outer : 1, axis = q->axis ? q->axis : 1;
    const size_t inner = q->inner ? q->inner : 1;
    const uint32_t how = take(b, 1) % 4;
    q->group = how == 3 ? 1 + below(b, axis) : 0;
    q->scale_count = how == 3 ? outer * ((axis - 1) / q->group + 1) * inner : how == 2 ? axis : how;
    q->zero_count = take(b, 1) % 2 ? q->scale_count : 0;
    if (take(b, 1) == 77)
        q->scale_count = below(b, 100);
    const bool dynamic = d->kind == QDOT_DYNAMIC_QUANTIZE;
    in->state = take(b, 2);
    if (q->scale_count && q->scale_count < 100000 && !dynamic && take(b, 1) % 3)
        q->scale = numbers(in, q->scale_count, take(b, 1) != 9);
    if (dynamic && take(b, 1) != 9)
        q->zero_count = 0;
    if (q->zero_count && q->zero_count < 100000 && is_type(type_of(d)) && type_of(d) != QDOT_S32 &&
        take(b, 1) % 3)
        q->zero = zeros_of(in, q->zero_count, type_of(d));
    if (d->kind != QDOT_DEQUANTIZE && !dynamic) {
        q->reciprocal = take(b, 1) % 2;
        d->clamp_lo = take(b, 1) % 3 ? 0 : (int8_t)take(b, 1);
        d->clamp_hi = d->clamp_lo ? (int32_t)take(b, 1) : 0;
    }
    static const char *const rows[] = {NULL, "quantize", "quantize_avx2", "gemm_12x16"};
    d->kernel = rows[below(b, 4)];
}

static size_t bytes_of(enum qdot_type type, size_t count)
{
    return (count * ref_bits(type) + 7) / 8;
}

static void run(struct input *in, struct qdot_op *op)
{
    const struct qdot_op_desc *d = &in->d;
    const struct qdot_quantize *q = &d->quantize;
    const bool dynamic = d->kind == QDOT_DYNAMIC_QUANTIZE, back = d->kind == QDOT_DEQUANTIZE;
    struct ref_elements e = {.kind = d->kind,
                             .type = type_of(d),
                             .outer = q->outer ? q->outer : 1,
                             .axis = q->axis ? q->axis : 1,
                             .inner = q->inner ? q->inner : 1,
                             .group = q->group,
                             .each = q->scale_count > 1,
                             .reciprocal = q->reciprocal,
                             .clamp_lo = d->clamp_lo,
                             .clamp_hi = d->clamp_hi};
    if (!d->clamp_lo && !d->clamp_hi)
        ref_range(e.type, &e.clamp_lo, &e.clamp_hi);
    size_t *units = e.outer > 1 ? &e.outer : &e.axis;
    struct qdot_run r = {.m = below(&in->from, *units + 1)};
    *units = r.m ? r.m : *units;
    const size_t count = e.outer * e.axis * e.inner, parameters = ref_parameters(&e);
    const bool whole = d->kind == QDOT_QUANTIZE || dynamic;
    const size_t out_bytes = whole ? bytes_of(e.type, count) : count * 4;
    if (back) {
        uint8_t *bytes = keep(in, bytes_of(e.type, count));
        for (size_t i = 0; i < bytes_of(e.type, count); i++)
            bytes[i] = (uint8_t)next(in);
        e.x = r.a.host = bytes;
    } else {
        e.x = r.a.host = numbers(in, count, false);
    }
    if (d->kind == QDOT_FAKE_QUANTIZE_GRADIENT)
        e.dy = r.b.host = numbers(in, count, false);
    e.scale = q->scale;
    e.zero = q->zero;
    if (q->scale_count && !q->scale && !dynamic)
        e.scale = r.scale.host = numbers(in, parameters, true);
    if (q->zero_count && !q->zero)
        e.zero = r.zero.host = zeros_of(in, parameters, e.type);
    uint8_t *out = keep(in, out_bytes), *want = keep(in, out_bytes);
    float *scales = keep(in, parameters * 4), *want_scales = keep(in, parameters * 4);
    int32_t *zeros = keep(in, parameters * 4), *want_zeros = keep(in, parameters * 4);
    memset(want, 0, out_bytes);
    r.out.host = out;
    if (dynamic) {
        r.scale_out.host = scales;
        r.zero_out.host = zeros;
    }
    EXPECT(qdot_op_run(op, &r, NULL) == QDOT_OK);
    ref_elements_run(&e, want, want_scales, want_zeros);
    EXPECT(memcmp(out, want, out_bytes) == 0);
    EXPECT(!dynamic || memcmp(scales, want_scales, parameters * 4) == 0);
    EXPECT(!dynamic || memcmp(zeros, want_zeros, parameters * 4) == 0);
}
