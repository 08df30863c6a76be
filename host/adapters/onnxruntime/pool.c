/*
 * MaxPool, QLinearAveragePool, QLinearGlobalAveragePool, and the three of quantised tensors.
 *
 * The greatest of integers is the greatest of what they stand for, so MaxPool compares integers.
 * An average is the runtime's, which the library has; of a whole picture, an integer sum times one factor.
 */
#include "window.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"
#include "product.h"
#include "record.h"
#include "round.h"
#include "table.h"

enum { COLUMNS = 512 };     /* channels summed at once */
enum { MOST_TAPS = 65536 }; /* of an average */

struct pool {
    struct window window;
    bool count_padding, ceiling;
};

/* One call: pictures of h x w become pictures of oh x ow. */
struct pictures {
    const struct window *window;
    size_t channels, h, w, oh, ow, top, left;
    size_t count; /* of what they become */
    struct linear linear;
};

/* ---- what is claimed --------------------------------------------------------------------------- */

static OrtStatus *read_attributes(const struct group *g, struct pool *p, bool *fit)
{
    int64_t ceiling = 0, count = 0, last = 0;
    *fit = g->values[X].rank >= 3;
    if (!*fit)
        return NULL;
    TRY(window_read(g, g->values[X].rank - 2, &p->window, fit));
    TRY(group_int(g, "ceil_mode", &ceiling));
    TRY(group_int(g, "count_include_pad", &count));
    TRY(group_int(g, "channels_last", &last));
    p->ceiling = ceiling != 0;
    p->count_padding = count != 0;
    const int64_t *kernel = p->window.kernel;
    *fit = *fit && kernel[0] > 0 && kernel[1] > 0 && (!last || g->channels_last);
    return NULL;
}

static OrtStatus *claims_max(const struct group *g, bool *yes)
{
    struct pool p;
    size_t outputs = 1;
    if (g->core)
        TRY(g->ort->Node_GetNumOutputs(g->core, &outputs));
    *yes = linear_fits(g) && outputs == 1;
    return *yes ? read_attributes(g, &p, yes) : NULL;
}

/* The library averages by normal numbers; what calls give is not known. */
static OrtStatus *scale_fits(const struct group *g, size_t slot, bool *fit)
{
    const struct value *v = &g->values[slot];
    struct tensor t;
    float scale = 1;
    if (!v->constant)
        return NULL;
    if (g->record)
        t = g->record->constants[slot];
    else
        TRY(value_constant(g->ort, v->info, &t));
    if (t.data && t.count == 1)
        memcpy(&scale, t.data, sizeof(scale));
    *fit = *fit && scale >= FLT_MIN && scale <= FLT_MAX;
    return NULL;
}

static OrtStatus *claims_average(const struct group *g, bool *yes)
{
    struct pool p;
    *yes = linear_fits(g) && g->values[X].type == g->out.type && g->values[X_SCALE].info;
    if (*yes)
        TRY(read_attributes(g, &p, yes));
    TRY(scale_fits(g, X_SCALE, yes));
    TRY(scale_fits(g, Y_SCALE, yes));
    *yes = *yes && p.window.dilations[0] == 1 && p.window.dilations[1] == 1 &&
           p.window.kernel[0] <= MOST_TAPS / p.window.kernel[1];
    return NULL;
}

static OrtStatus *claims_global(const struct group *g, bool *yes)
{
    int64_t last = 0;
    TRY(group_int(g, "channels_last", &last));
    *yes = linear_fits(g) && g->values[X].type == g->out.type && g->values[X_SCALE].info &&
           (!last || g->channels_last) && g->values[X].rank >= 3;
    return NULL;
}

static OrtStatus *compile(struct step *s, const struct group *g)
{
    bool fit;
    s->impl = calloc(1, sizeof(struct pool));
    if (!s->impl)
        return fail(g->ort, "no memory for a pool");
    return read_attributes(g, s->impl, &fit);
}

static void release(struct step *s)
{
    free(s->impl);
}

/* ---- a call ------------------------------------------------------------------------------------ */

/* Outputs in one dimension. Rounded up, a last window that lies wholly behind the input is dropped. */
static size_t outputs(const struct pool *p, size_t i, size_t size, size_t before, size_t after)
{
    const size_t stride = (size_t)p->window.strides[i];
    const size_t span = (size_t)((p->window.kernel[i] - 1) * p->window.dilations[i]) + 1;
    if (size + before + after < span) /* the runtime divides, towards zero, what lacks */
        return span - size - before - after < stride ? 1 : 0;
    const size_t rest = size + before + after - span;
    size_t count = rest / stride + 1;
    if (p->ceiling && rest % stride && count * stride < size + before)
        count++;
    return count;
}

/* What is to be padded behind the input so that a window has so many places. */
static size_t pad_behind(const struct window *v, size_t i, size_t places, size_t size,
                         size_t before)
{
    const size_t span = (size_t)((v->kernel[i] - 1) * v->dilations[i]) + 1;
    const size_t end = (places - 1) * (size_t)v->strides[i] + span;
    return end > size + before ? end - size - before : 0;
}

static void set_windows(const struct step *s, const struct tensor *x, const struct pictures *p,
                        struct qdot_conv *g)
{
    const struct window *v = p->window;
    g->layout = s->channels_last ? QDOT_NHWC : QDOT_NCHW;
    g->batch = (size_t)x->dims[0];
    g->channels = p->channels;
    g->height = p->h;
    g->width = p->w;
    g->kernel_h = (size_t)v->kernel[0];
    g->kernel_w = (size_t)v->kernel[1];
    g->stride_h = (size_t)v->strides[0];
    g->stride_w = (size_t)v->strides[1];
    g->dilation_h = (size_t)v->dilations[0];
    g->dilation_w = (size_t)v->dilations[1];
    g->pad_top = p->top;
    g->pad_left = p->left;
    g->pad_bottom = pad_behind(v, 0, p->oh, p->h, p->top);
    g->pad_right = pad_behind(v, 1, p->ow, p->w, p->left);
}

/* The pictures of a call, and the shape of what they become. */
static OrtStatus *find_pictures(struct step *s, struct call *c, struct pictures *p, int64_t *dims)
{
    const struct pool *pool = s->impl;
    const struct tensor *x = &c->in[X];
    const size_t dimensions = pool->window.dimensions;
    size_t bottom, right;
    *p = (struct pictures){.window = &pool->window};
    if (x->rank != dimensions + 2)
        return fail(c->ort, "%s: expected X of rank %zu, got %zu", s->op->name, dimensions + 2,
                    x->rank);
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &p->linear));
    const int64_t *sizes = x->dims + (s->channels_last ? 1 : 2);
    p->channels = (size_t)x->dims[s->channels_last ? x->rank - 1 : 1];
    p->h = dimensions == 2 ? (size_t)sizes[0] : 1;
    p->w = (size_t)sizes[dimensions - 1];
    window_pads(&pool->window, 0, (int64_t)p->h, pool->window.kernel[0], &p->top, &bottom);
    window_pads(&pool->window, 1, (int64_t)p->w, pool->window.kernel[1], &p->left, &right);
    p->oh = outputs(pool, 0, p->h, p->top, bottom);
    p->ow = outputs(pool, 1, p->w, p->left, right);
    p->count = (size_t)x->dims[0] * p->channels * p->oh * p->ow;
    window_shape(&pool->window, s->channels_last, (size_t)x->dims[0], p->channels, p->oh, p->ow,
                 dims);
    return NULL;
}

/* 'w' is all but the windows. Not 'done': there is a window without a tap, and 'out' is on the host. */
static OrtStatus *run_pool(struct step *s, struct call *c, const struct pictures *p,
                           const int64_t *dims, struct wanted *w, struct qdot_output *out,
                           bool *done)
{
    const struct tensor *x = &c->in[X];
    *done = false;
    for (int on_host = 0; on_host < 2 && !*done; on_host++) {
        TRY(device_place(s, c, on_host, dims, x->rank, out));
        *done = p->count == 0;
        if (*done)
            return NULL;
        set_windows(s, x, p, &w->desc.conv);
        const struct qdot_run run = {.size = sizeof(run), .a = input_at(x, 0), .out = *out};
        TRY(device_run(s, c, 0, w, &run, done));
    }
    return NULL;
}

/* The greatest under the window of one output; the least there is, if no tap is in the picture. */
static uint8_t greatest(const struct pictures *p, const uint8_t *x, size_t pixel, size_t row,
                        size_t column, uint8_t flip)
{
    const struct window *v = p->window;
    uint8_t most = 0;
    for (int64_t i = 0; i < v->kernel[0]; i++)
        for (int64_t j = 0; j < v->kernel[1]; j++) {
            const int64_t y = (int64_t)row * v->strides[0] + i * v->dilations[0] - (int64_t)p->top;
            const int64_t z =
                (int64_t)column * v->strides[1] + j * v->dilations[1] - (int64_t)p->left;
            if (y < 0 || y >= (int64_t)p->h || z < 0 || z >= (int64_t)p->w)
                continue;
            const uint8_t value = x[((size_t)y * p->w + (size_t)z) * pixel] ^ flip;
            most = value > most ? value : most;
        }
    return most ^ flip;
}

/* Where taps are further apart than the picture is long some windows may have none, which the library does
 * not take: one by one. */
static void greatest_of_few(const struct pictures *p, bool channels_last, const uint8_t *x,
                            uint8_t *out, const uint8_t *table)
{
    const uint8_t flip = least_of(p->linear.x_type) ? 0x80 : 0;
    const size_t channels = p->channels, area = p->h * p->w;
    for (size_t i = 0; i < p->count; i++) {
        const size_t at = channels_last ? i / channels : i, column = at % p->ow;
        const size_t row = at / p->ow % p->oh, picture = at / p->ow / p->oh;
        const size_t pixel = channels_last ? channels : 1;
        const uint8_t *const from = x + picture * area * pixel + (channels_last ? i % channels : 0);
        const uint8_t most = greatest(p, from, pixel, row, column, flip);
        out[i] = table ? table[most] : most;
    }
}

static OrtStatus *compute_max(struct step *s, struct call *c)
{
    struct qdot_output out;
    struct pictures p;
    struct wanted w;
    uint8_t table[256];
    int64_t dims[4];
    bool done;
    TRY(find_pictures(s, c, &p, dims));
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_MAX_POOL;
    w.desc.a_type = type_for_qdot(c->in[X].type);
    if (table_make(&p.linear, 1, -FLT_MAX, FLT_MAX, table)) {
        w.more = table;
        w.more_bytes = 256;
        w.fill = device_table;
    }
    TRY(run_pool(s, c, &p, dims, &w, &out, &done));
    if (!done)
        greatest_of_few(&p, s->channels_last, c->in[X].data, out.host, w.more);
    return NULL;
}

static OrtStatus *compute_average(struct step *s, struct call *c)
{
    const struct pool *pool = s->impl;
    struct qdot_output out;
    struct pictures p;
    struct wanted w;
    int64_t dims[4];
    bool done;
    TRY(find_pictures(s, c, &p, dims));
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_AVERAGE_POOL;
    w.desc.a_type = type_for_qdot(c->in[X].type);
    w.desc.a_zero = p.linear.x_zero;
    w.desc.out_zero = p.linear.y_zero;
    w.desc.rounding = QDOT_ROUND_RNE_ZERO_FIRST;
    w.desc.average.a_scale = p.linear.x_scale;
    w.desc.average.out_scale = p.linear.y_scale;
    w.desc.average.count_padding = pool->count_padding;
    TRY(run_pool(s, c, &p, dims, &w, &out, &done));
    return done ? NULL : device_refused(s);
}

/* ---- of a whole picture ------------------------------------------------------------------------ */

struct whole {
    const uint8_t *x;
    uint8_t *y;
    size_t channels, size;
    float scale;
    struct linear linear;
};

WIDE static uint32_t sum_of(const uint8_t *x, size_t count, uint8_t flip)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint8_t)(x[i] ^ flip);
    return sum;
}

WIDE static void add_pixel(uint32_t *sums, const uint8_t *x, size_t count, uint8_t flip)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += (uint8_t)(x[i] ^ flip);
}

static void finish_whole(const struct whole *p, const uint32_t *sums, size_t count, uint8_t *y)
{
    const struct linear *l = &p->linear;
    const uint32_t zero = (uint32_t)p->size * (uint32_t)(least_of(l->x_type) - l->x_zero);
    const float low = (float)(least_of(l->y_type) - l->y_zero), high = low + 255;
    for (size_t i = 0; i < count; i++) {
        const float v = (float)(int32_t)(sums[i] + zero) * p->scale;
        y[i] = (uint8_t)(round_even(bound(v, low, high)) + l->y_zero);
    }
}

static void do_planes(void *arg, size_t begin, size_t end)
{
    const struct whole *p = arg;
    const uint8_t flip = least_of(p->linear.x_type) ? 0x80 : 0; /* the least value becomes zero */
    for (size_t i = begin; i < end; i++) {
        const uint32_t sum = sum_of(p->x + i * p->size, p->size, flip);
        finish_whole(p, &sum, 1, p->y + i);
    }
}

static void do_batch(void *arg, size_t begin, size_t end)
{
    const struct whole *p = arg;
    const uint8_t flip = least_of(p->linear.x_type) ? 0x80 : 0;
    for (size_t i = begin; i < end; i++)
        for (size_t first = 0; first < p->channels; first += COLUMNS) {
            const size_t left = p->channels - first, count = left < COLUMNS ? left : COLUMNS;
            uint32_t sums[COLUMNS] = {0};
            for (size_t j = 0; j < p->size; j++)
                add_pixel(sums, p->x + (i * p->size + j) * p->channels + first, count, flip);
            finish_whole(p, sums, count, p->y + i * p->channels + first);
        }
}

/* 'more': the scale. */
static void fill_ones(struct qdot_op_desc *desc, const void *more, void *room)
{
    memset(room, 1, desc->conv.channels * desc->conv.kernel_h);
    desc->b = room;
    desc->scale = more;
}

/* The integer sum times one factor is what a convolution with weights of 1 gives, of a kernel as large as
 * the picture, which is seen as one column. */
static OrtStatus *whole_on_device(struct step *s, struct call *c, const struct whole *p,
                                  const int64_t *dims, bool *done)
{
    const struct tensor *x = &c->in[X];
    struct qdot_output out;
    struct wanted w;
    *done = false;
    if (p->size > MOST_TAPS)
        return NULL;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_CONV;
    w.desc.a_type = type_for_qdot(x->type);
    w.desc.b_type = QDOT_S8;
    w.desc.out_type = type_for_qdot(s->out_type);
    w.desc.a_zero = p->linear.x_zero;
    w.desc.out_zero = p->linear.y_zero;
    w.desc.scale_count = 1;
    w.desc.conv.layout = s->channels_last ? QDOT_NHWC : QDOT_NCHW;
    w.desc.conv.batch = (size_t)x->dims[0];
    w.desc.conv.height = w.desc.conv.kernel_h = p->size;
    w.desc.conv.width = w.desc.conv.kernel_w = 1;
    w.desc.conv.channels = w.desc.conv.out_channels = w.desc.conv.groups = p->channels;
    w.more = &p->scale;
    w.more_bytes = sizeof(p->scale);
    w.room = p->channels * p->size;
    w.fill = fill_ones;
    TRY(call_place(c, 0, dims, x->rank, &out));
    const struct qdot_run run = {.size = sizeof(run), .a = input_at(x, 0), .out = out};
    return device_run(s, c, 0, &w, &run, done);
}

static OrtStatus *compute_global(struct step *s, struct call *c)
{
    const struct tensor *x = &c->in[X];
    struct whole p = {.size = 1};
    int64_t dims[MAX_RANK];
    bool done;
    void *y;
    if (x->rank < 3)
        return fail(c->ort, "%s: expected X of rank 3 and more, got %zu", s->op->name, x->rank);
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &p.linear));
    const size_t channel = s->channels_last ? x->rank - 1 : 1;
    p.channels = (size_t)x->dims[channel];
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = i == 0 || i == channel ? x->dims[i] : 1;
        p.size *= i == 0 || i == channel ? 1 : (size_t)x->dims[i];
    }
    p.scale = p.linear.x_scale / (p.linear.y_scale * (float)p.size);
    const size_t batch = (size_t)x->dims[0];
    if (c->provider->memory && x->count) {
        TRY(whole_on_device(s, c, &p, dims, &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, dims, x->rank, &y));
    p.x = x->data;
    p.y = y;
    if (batch * p.channels == 0)
        return NULL;
    if (p.size == 0)
        return fail(c->ort, "%s: expected values, got none", s->op->name);
    if (s->channels_last)
        return call_share(c, batch, 65536 / (p.size * p.channels) + 1, do_batch, &p);
    return call_share(c, batch * p.channels, 65536 / p.size + 1, do_planes, &p);
}

const struct kind pool_kind = {.claims = claims_max,
                               .compile = compile,
                               .compute = compute_max,
                               .release = release,
                               .channels_last = true,
                               .anywhere = true};
const struct kind average_kind = {.claims = claims_average,
                                  .compile = compile,
                                  .compute = compute_average,
                                  .release = release,
                                  .channels_last = true,
                                  .anywhere = true};
const struct kind global_kind = {
    .claims = claims_global, .compute = compute_global, .channels_last = true, .anywhere = true};
