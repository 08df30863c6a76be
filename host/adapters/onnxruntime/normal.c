/*
 * BatchNormalization of quantised tensors, its parameters constants of the model. The runtime dequantises, computes floats
 * and quantises, each operation rounded:
 *   factor = (1 / sqrt(variance + epsilon)) * scale      term = bias - mean * factor
 *   y = sat(rne(((x - x_zero) * x_scale * factor + term) / y_scale) + y_zero)
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"
#include "memory.h"
#include "round.h"
#include "table.h"

#define GRAIN 16384
#define LINE_VALUES 512

struct normal {
    size_t channels,
        line;             /* line: a multiple of channels, of which a loop is worth its beginning */
    float *factor, *term; /* by channel, over and over, in one piece */
};

/* ---- what is claimed --------------------------------------------------------------------------- */

#define REAL ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT

static bool is_by_channel(const struct value *v, int64_t channels)
{
    return v->constant && v->rank == 1 && v->dims[0] == channels;
}

/* Floats, or integers with one scale and zero point. */
static bool is_parameter(const struct value *v, int64_t channels)
{
    const bool quantised = is_int8(v->type) || v->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    const bool linear =
        quantised && v[1].constant && v[1].type == REAL && value_may_be_one(&v[1]) &&
        (!v[2].info || (v[2].constant && v[2].type == v->type && value_may_be_one(&v[2])));
    return is_by_channel(v, channels) && (linear || (v->type == REAL && !v[1].info));
}

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values, *x = &v[X];
    const int64_t channels = v[MEAN].dims[0];
    int64_t training = 0, spatial = 1;
    size_t outputs = 1;
    TRY(group_int(g, "training_mode", &training));
    TRY(group_int(g, "spatial", &spatial));
    if (g->core)
        TRY(g->ort->Node_GetNumOutputs(g->core, &outputs));
    *yes = !training && spatial == 1 && outputs == 1 && linear_fits(g) && v[X_SCALE].info &&
           x->rank >= 2 && v[MEAN].type == REAL && v[VARIANCE].type == REAL && channels > 0 &&
           is_by_channel(&v[MEAN], channels) && is_by_channel(&v[VARIANCE], channels) &&
           is_parameter(&v[W], channels) && is_parameter(&v[OFFSET], channels);
    const int64_t given = *yes ? x->dims[g->channels_last ? x->rank - 1 : 1] : 0;
    *yes = *yes && (given == channels || given < 0);
    return NULL;
}

/* ---- parameters -------------------------------------------------------------------------------- */

static float parameter(const struct source *in, size_t i)
{
    if (in[0].tensor.type == REAL)
        return ((const float *)in[0].tensor.data)[i];
    const struct tensor *zero = &in[2].tensor;
    const uint32_t less = zero->type ? (uint32_t)tensor_int(zero, 0) : 0;
    const int32_t value = (int32_t)((uint32_t)tensor_int(&in[0].tensor, i) - less);
    return (float)value * *(const float *)in[1].tensor.data;
}

static OrtStatus *compile(struct step *s, const struct group *g)
{
    struct normal *p = s->impl = calloc(1, sizeof(*p));
    const struct source *in = s->in;
    float epsilon = 1e-5f;
    if (!p)
        return fail(g->ort, "no memory for a step");
    p->channels = in[MEAN].tensor.count;
    p->line = (LINE_VALUES + p->channels - 1) / p->channels * p->channels;
    p->factor = calloc(2 * p->line, sizeof(*p->factor));
    if (!p->factor)
        return fail(g->ort, "no memory for %zu channels", p->channels);
    p->term = p->factor + p->line;
    TRY(group_float(g, "epsilon", &epsilon));
    for (size_t i = 0; i < p->channels; i++) {
        const float mean = ((const float *)in[MEAN].tensor.data)[i];
        const float variance = ((const float *)in[VARIANCE].tensor.data)[i];
        p->factor[i] = 1 / sqrtf(variance + epsilon) * parameter(&in[W], i);
        p->term[i] = parameter(&in[OFFSET], i) - mean * p->factor[i];
    }
    for (size_t i = p->channels; i < p->line; i++) {
        p->factor[i] = p->factor[i - p->channels];
        p->term[i] = p->term[i - p->channels];
    }
    return NULL;
}

static void release(struct step *s)
{
    struct normal *p = s->impl;
    if (p)
        free(p->factor);
    free(p);
}

/* ---- a call ------------------------------------------------------------------------------------ */

struct job {
    const struct normal *normal;
    const uint8_t *x;
    uint8_t *y;
    size_t inner; /* neighbours of one channel; 1: channels are last */
    struct linear linear;
    void (*line)(const struct job *j, size_t at, size_t channel, size_t count, size_t step);
};

/* 'count' values from 'at' on, the first of this channel, each next one's 'step' further. */
#define LINE(name, type)                                                                     \
    WIDE static void name(const struct job *j, size_t at, size_t channel, size_t count,      \
                          size_t step)                                                       \
    {                                                                                        \
        const struct linear l = j->linear;                                                   \
        const int32_t least = least_of(l.y_type);                                            \
        const float low = (float)(least - l.y_zero), high = (float)(least + 255 - l.y_zero); \
        const type *const x = (const type *)j->x + at;                                       \
        const float *const factor = j->normal->factor + channel;                             \
        const float *const term = j->normal->term + channel;                                 \
        uint8_t *const y = j->y + at;                                                        \
        if (step)                                                                            \
            for (size_t i = 0; i < count; i++)                                               \
                y[i] = VALUE(factor[i], term[i]);                                            \
        else                                                                                 \
            for (size_t i = 0; i < count; i++)                                               \
                y[i] = VALUE(factor[0], term[0]);                                            \
    }
#define VALUE(factor, term)                                                                      \
    (uint8_t)(                                                                                   \
        round_even(bound(((float)(x[i] - l.x_zero) * l.x_scale * (factor) + (term)) / l.y_scale, \
                         low, high)) +                                                           \
        l.y_zero)
LINE(line_u8, uint8_t)
LINE(line_s8, int8_t)

static void do_part(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    const size_t channels = j->normal->channels, step = j->inner == 1;
    const size_t length = step ? j->normal->line : j->inner;
    while (begin < end) {
        const size_t within = begin % length, left = length - within;
        const size_t count = left < end - begin ? left : end - begin;
        j->line(j, begin, step ? within : begin / length % channels, count, step);
        begin += count;
    }
}

/* ---- on a device ------------------------------------------------------------------------------- */

/* Channels of one table. */
enum { PIECE = 256 };

struct piece {
    struct job job; /* without tensors */
    size_t first, count;
};

/* table[256 * channel of the piece + x] */
static void fill_table(struct qdot_op_desc *desc, const void *more, void *room)
{
    const struct piece *p = more;
    struct job job = p->job;
    uint8_t values[256];
    for (int i = 0; i < 256; i++)
        values[i] = (uint8_t)i;
    job.x = values;
    for (size_t i = 0; i < p->count; i++) {
        job.y = (uint8_t *)room + 256 * i;
        job.line(&job, 0, p->first + i, 256, 0);
    }
    memset((uint8_t *)room + 256 * p->count, 0, 256 * (PIECE - p->count));
    desc->map.table = room;
}

static OrtStatus *piece_on_device(struct step *s, struct call *c, const struct piece *p,
                                  struct qdot_buffer *bytes, const struct qdot_output *out,
                                  bool *done)
{
    const struct tensor *x = &c->in[X];
    const size_t inner = p->job.inner, picture = p->job.normal->channels * inner;
    const size_t dims[] = {x->count / picture, p->count, inner}, steps[] = {picture, inner, 1};
    const size_t at = p->first * inner;
    struct wanted w;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_MAP;
    w.desc.map.rank = 3;
    w.desc.map.operands = 2;
    for (size_t i = 0; i < 3; i++) {
        w.desc.map.dims[i] = dims[i];
        w.desc.map.b_stride[i] = w.desc.map.out_stride[i] = steps[i];
    }
    w.desc.map.a_stride[1] = 1;
    w.more = p;
    w.more_bytes = sizeof(*p);
    w.room = 256 * PIECE;
    w.fill = fill_table;
    const struct qdot_run run = {
        .size = sizeof(run), .a.buffer = bytes, .b = input_at(x, at), .out = output_at(out, at)};
    return device_run(s, c, p->first / PIECE, &w, &run, done);
}

/* A function of the value and its channel. */
static OrtStatus *on_device(struct step *s, struct call *c, const struct job *job, bool *done)
{
    const size_t channels = job->normal->channels;
    struct qdot_buffer *bytes;
    struct qdot_output out;
    TRY(memory_bytes(c->provider->memory, &bytes));
    TRY(call_place(c, 0, c->in[X].dims, c->in[X].rank, &out));
    *done = true;
    for (size_t first = 0; first < channels && *done; first += PIECE) {
        const size_t left = channels - first;
        struct piece p;
        memset(&p, 0, sizeof(p)); /* it is compared byte by byte */
        memcpy(&p.job, job, sizeof(*job));
        p.first = first;
        p.count = left < PIECE ? left : PIECE;
        TRY(piece_on_device(s, c, &p, bytes, &out, done));
    }
    return NULL;
}

/* ---- steps ------------------------------------------------------------------------------------- */

static OrtStatus *compute(struct step *s, struct call *c)
{
    const struct normal *p = s->impl;
    const struct tensor *x = &c->in[X];
    const size_t channel = s->channels_last ? x->rank - 1 : 1;
    struct job job;
    bool done;
    void *y;
    memset(&job, 0, sizeof(job));
    job.normal = p;
    job.inner = 1;
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &job.linear));
    if (x->rank < 2 || (size_t)x->dims[channel] != p->channels)
        return fail(c->ort, "%s: expected X of %zu channels", s->op->name, p->channels);
    for (size_t i = channel + 1; i < x->rank; i++)
        job.inner *= (size_t)x->dims[i];
    job.line = job.linear.x_type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? line_s8 : line_u8;
    if (c->provider->memory && x->count) {
        TRY(on_device(s, c, &job, &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, x->dims, x->rank, &y));
    job.x = x->data;
    job.y = y;
    return x->count ? call_share(c, x->count, GRAIN, do_part, &job) : NULL;
}

const struct kind normal_kind = {.claims = claims,
                                 .compile = compile,
                                 .compute = compute,
                                 .release = release,
                                 .channels_last = true,
                                 .anywhere = true};
