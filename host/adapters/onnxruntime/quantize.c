/*
 * QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear:
 *   y = sat(rne(x / scale) + zero)       a true division, saturation before the conversion
 *   x = (y - zero) * scale
 *   scale = (max(0, max x) - min(0, min x)) / 255,  zero = rne(sat(0 - min(0, min x) / scale))
 * NaN becomes the least value, as in the runtime's vector code.
 */
#include <stdlib.h>
#include <string.h>
#include "device.h"
#include "product.h"
#include "round.h"
#include "table.h"

/* Elements that are worth a thread's waking. */
#define GRAIN 32768

/* By tensor, or by the index of one dimension: [outer, channels, inner]. */
struct spread {
    size_t outer, channels, inner;
};

struct quantize {
    int64_t axis;
};

/* ---- what is claimed --------------------------------------------------------------------------- */

static OrtStatus *scale_fits(const struct group *g, const struct value *scale, bool *fit)
{
    int64_t block = 0, precision = 0;
    TRY(group_int(g, "block_size", &block));
    TRY(group_int(g, "precision", &precision));
    *fit = block == 0 && precision == 0 && scale->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT &&
           scale->rank <= 1;
    return NULL;
}

static OrtStatus *claims_quantize(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    TRY(scale_fits(g, &v[Y_SCALE], yes));
    *yes = *yes && v[X].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && is_int8(g->out.type) &&
           (!v[Y_ZERO].info || v[Y_ZERO].type == g->out.type);
    return NULL;
}

static OrtStatus *claims_dequantize(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    TRY(scale_fits(g, &v[X_SCALE], yes));
    *yes = *yes && g->out.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT &&
           (is_int8(v[X].type) || v[X].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) &&
           (!v[X_ZERO].info || v[X_ZERO].type == v[X].type);
    return NULL;
}

static OrtStatus *claims_dynamic(const struct group *g, bool *yes)
{
    *yes = g->values[X].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT &&
           g->out.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    return NULL;
}

static OrtStatus *compile(struct step *s, const struct group *g)
{
    struct quantize *p = s->impl = calloc(1, sizeof(*p));
    if (!p)
        return fail(g->ort, "no memory for a step");
    p->axis = 1;
    return group_int(g, "axis", &p->axis);
}

static void release(struct step *s)
{
    free(s->impl);
}

/* ---- which scale is whose ---------------------------------------------------------------------- */

static OrtStatus *spread_of(const struct step *s, const struct tensor *x,
                            const struct tensor *scale, const struct tensor *zero,
                            struct spread *out)
{
    const struct quantize *p = s->impl;
    const OrtApi *ort = s->provider->ort;
    *out = (struct spread){1, 1, x->count};
    if (zero->type && zero->count != scale->count)
        return fail(ort, "%s: expected %zu zero points, got %zu", s->op->name, scale->count,
                    zero->count);
    if (scale->count == 1)
        return NULL;
    const int64_t axis = p->axis < 0 ? p->axis + (int64_t)x->rank : p->axis;
    if (axis < 0 || (size_t)axis >= x->rank || (size_t)x->dims[axis] != scale->count)
        return fail(ort, "%s: %zu scales do not fit axis %lld of X", s->op->name, scale->count,
                    (long long)p->axis);
    out->channels = scale->count;
    out->inner = 1;
    for (size_t i = 0; i < x->rank; i++) {
        out->outer *= i < (size_t)axis ? (size_t)x->dims[i] : 1;
        out->inner *= i > (size_t)axis ? (size_t)x->dims[i] : 1;
    }
    return NULL;
}

/* ---- lines ------------------------------------------------------------------------------------- */

WIDE void quantize_line(const float *x, uint8_t *y, size_t count, float scale, int32_t zero,
                        int32_t least)
{
    const float low = (float)(least - zero), high = (float)(least + 255 - zero);
    for (size_t i = 0; i < count; i++) {
        y[i] = (uint8_t)(round_even(bound(x[i] / scale, low, high)) + zero);
    }
}

WIDE static void dequantize_u8(const uint8_t *x, float *y, size_t count, float scale, int32_t zero)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

WIDE static void dequantize_s8(const int8_t *x, float *y, size_t count, float scale, int32_t zero)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

WIDE static void dequantize_s32(const int32_t *x, float *y, size_t count, float scale, int32_t zero)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(int32_t)((uint32_t)x[i] - (uint32_t)zero) * scale;
}

/* ---- a call ------------------------------------------------------------------------------------ */

struct job {
    const struct tensor *x, *scale, *zero;
    struct spread spread;
    void *y;
    bool quantize;
    int32_t least;
};

static void do_line(const struct job *j, size_t channel, size_t at, size_t count)
{
    const float scale = ((const float *)j->scale->data)[channel];
    const int32_t zero = j->zero->type ? tensor_int(j->zero, channel) : 0;
    if (j->quantize)
        quantize_line((const float *)j->x->data + at, (uint8_t *)j->y + at, count, scale, zero,
                      j->least);
    else if (j->x->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8)
        dequantize_u8((const uint8_t *)j->x->data + at, (float *)j->y + at, count, scale, zero);
    else if (j->x->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8)
        dequantize_s8((const int8_t *)j->x->data + at, (float *)j->y + at, count, scale, zero);
    else
        dequantize_s32((const int32_t *)j->x->data + at, (float *)j->y + at, count, scale, zero);
}

/* Elements [begin, end), in pieces of one channel. */
static void do_part(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    while (begin < end) {
        const size_t line = begin / j->spread.inner;
        const size_t stop = (line + 1) * j->spread.inner < end ? (line + 1) * j->spread.inner : end;
        do_line(j, line % j->spread.channels, begin, stop - begin);
        begin = stop;
    }
}

/* ---- on a device ------------------------------------------------------------------------------- */

/* 'more' is the scales and behind them the zero points, if any. */
static void fill_parameters(struct qdot_op_desc *desc, const void *more, void *room)
{
    struct qdot_quantize *const q = &desc->quantize;
    (void)room;
    q->scale = more;
    if (q->zero_count)
        q->zero = (const int32_t *)more + q->scale_count;
}

/* A zero point of 32 bits the library does not have, but 0. */
static bool has_zeros(const struct job *j)
{
    bool any = j->zero->type != ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    if (any && j->zero->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) {
        any = false;
        for (size_t i = 0; i < j->zero->count; i++)
            any = any || tensor_int(j->zero, i) != 0;
    }
    return any;
}

static OrtStatus *on_device(struct step *s, struct call *c, const struct job *j, bool *done)
{
    const size_t count = j->scale->count, zeros = has_zeros(j) ? count : 0;
    struct qdot_output out;
    struct wanted w;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = j->quantize ? QDOT_QUANTIZE : QDOT_DEQUANTIZE;
    w.desc.quantize.type = type_for_qdot(j->quantize ? s->out_type : j->x->type);
    w.desc.quantize.outer = j->spread.outer;
    w.desc.quantize.axis = count == 1 ? j->spread.inner : count;
    w.desc.quantize.inner = count == 1 ? 1 : j->spread.inner;
    w.desc.quantize.scale_count = count;
    w.desc.quantize.zero_count = zeros;
    w.more_bytes = (count + zeros) * sizeof(float);
    w.fill = fill_parameters;
    TRY(call_place(c, 0, j->x->dims, j->x->rank, &out));
    int32_t *const more = malloc(w.more_bytes);
    if (!more)
        return fail(c->ort, "no memory for %zu scales", count);
    memcpy(more, j->scale->data, count * sizeof(float));
    for (size_t i = 0; i < zeros; i++)
        more[count + i] = tensor_int(j->zero, i);
    w.more = more;
    const struct qdot_run run = {.size = sizeof(run), .a = input_at(j->x, 0), .out = out};
    OrtStatus *const status = device_run(s, c, 0, &w, &run, done);
    free(more);
    return status;
}

/* The library's zero point has 32 bits, whose lowest are the runtime's. */
static OrtStatus *dynamic_on_device(struct step *s, struct call *c, const struct tensor *x,
                                    bool *done)
{
    const struct qdot_map one = device_line(1);
    struct qdot_output y, scale, zero, wide;
    struct wanted w;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_DYNAMIC_QUANTIZE;
    w.desc.quantize.axis = x->count;
    TRY(call_place(c, 0, x->dims, x->rank, &y));
    TRY(call_place(c, 1, NULL, 0, &scale));
    TRY(call_place(c, 2, NULL, 0, &zero));
    TRY(call_scratch_apart(c, sizeof(int32_t), &wide));
    const struct qdot_run run = {
        .size = sizeof(run), .a = input_at(x, 0), .out = y, .scale_out = scale, .zero_out = wide};
    TRY(device_run(s, c, 0, &w, &run, done));
    const struct qdot_input from = {.buffer = wide.buffer, .offset_bytes = wide.offset_bytes};
    return *done ? device_map(s, c, 1, &one, NULL, &from, &zero, done) : NULL;
}

/* ---- steps ------------------------------------------------------------------------------------- */

static OrtStatus *compute_linear(struct step *s, struct call *c, const struct tensor *scale,
                                 const struct tensor *zero, bool quantize)
{
    struct job job = {.x = &c->in[X], .scale = scale, .zero = zero, .quantize = quantize};
    bool done;
    job.least = least_of(s->out_type);
    TRY(call_fetch(s, c, 1u << X));
    TRY(spread_of(s, job.x, scale, zero, &job.spread));
    if (c->provider->memory && job.x->count) {
        TRY(on_device(s, c, &job, &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, job.x->dims, job.x->rank, &job.y));
    return job.x->count ? call_share(c, job.x->count, GRAIN, do_part, &job) : NULL;
}

static OrtStatus *compute_quantize(struct step *s, struct call *c)
{
    return compute_linear(s, c, &c->in[Y_SCALE], &c->in[Y_ZERO], true);
}

static OrtStatus *compute_dequantize(struct step *s, struct call *c)
{
    return compute_linear(s, c, &c->in[X_SCALE], &c->in[X_ZERO], false);
}

/* ---- dynamic ----------------------------------------------------------------------------------- */

/* Side by side, so that compilers take vectors: the order of comparisons does not matter. */
#define RANGES 64

WIDE static void find_range(const float *x, size_t count, float *least, float *most)
{
    float low[RANGES] = {0}, high[RANGES] = {0};
    size_t i = 0;
    for (; i + RANGES <= count; i += RANGES)
        for (size_t j = 0; j < RANGES; j++) {
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        }
    for (size_t j = 0; i + j < count; j++) {
        low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
        high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
    }
    *least = *most = 0;
    for (size_t j = 0; j < RANGES; j++) {
        *least = low[j] < *least ? low[j] : *least;
        *most = high[j] > *most ? high[j] : *most;
    }
}

static OrtStatus *compute_dynamic(struct step *s, struct call *c)
{
    const struct tensor *x = &c->in[X];
    float least, most;
    bool done;
    void *y, *scale_out, *zero_out;
    if (c->provider->memory && x->count) {
        TRY(dynamic_on_device(s, c, x, &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, x->dims, x->rank, &y));
    TRY(call_output(c, 1, NULL, 0, &scale_out));
    TRY(call_output(c, 2, NULL, 0, &zero_out));
    find_range(x->data, x->count, &least, &most);
    const float scale = most == least ? 1.0f : (most - least) / 255.0f;
    const uint8_t zero = (uint8_t)round_even(bound(0.0f - least / scale, 0, 255));
    memcpy(scale_out, &scale, sizeof(scale));
    memcpy(zero_out, &zero, sizeof(zero));
    const struct tensor scales = {.count = 1, .data = &scale};
    const struct tensor zeros = {
        .type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, .count = 1, .data = &zero};
    struct job job = {.x = x,
                      .scale = &scales,
                      .zero = &zeros,
                      .spread = {1, 1, x->count},
                      .y = y,
                      .quantize = true};
    return x->count ? call_share(c, x->count, GRAIN, do_part, &job) : NULL;
}

const struct kind quantize_kind = {.claims = claims_quantize,
                                   .compile = compile,
                                   .compute = compute_quantize,
                                   .release = release,
                                   .anywhere = true};
const struct kind dequantize_kind = {.claims = claims_dequantize,
                                     .compile = compile,
                                     .compute = compute_dequantize,
                                     .release = release,
                                     .anywhere = true};
const struct kind dynamic_kind = {
    .claims = claims_dynamic, .compute = compute_dynamic, .anywhere = true};
