/*
 * MaxPool, QLinearAveragePool, QLinearGlobalAveragePool, and the three of quantised tensors.
 *
 * The greatest of integers is the greatest of what they stand for, so MaxPool compares integers.
 * An average is the runtime's: floats summed by rows, then by columns, divided by their number, and
 * quantised with the zero point added before the rounding; of a whole picture, an integer sum times
 * one factor.
 */
#include "window.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "table.h"

/* Columns of the output done at once, and as many of the input as they may need. */
enum { COLUMNS = 512, SPAN = 4096 };

struct pool {
    struct window window;
    bool count_padding, ceiling;
};

/* One call: pictures of h x w become pictures of oh x ow. */
struct pictures {
    const struct window *window;
    const uint8_t *x;
    uint8_t *y;
    size_t h, w, oh, ow, top, left;
    bool count_padding;
    struct linear linear;
    const uint8_t *table; /* after the greatest was found; NULL: none */
};

/* ---- what is claimed --------------------------------------------------------------------------- */

static OrtStatus *read_attributes(const struct group *g, struct pool *p, bool *fit)
{
    int64_t ceiling = 0, count = 0, last = 0;
    *fit = g->values[X].rank >= 3;
    if (!*fit)
        return NULL;
    TRY(window_read(g, g->values[X].rank - 2, &p->window, fit));
    TRY(node_int(g->ort, g->core, "ceil_mode", &ceiling));
    TRY(node_int(g->ort, g->core, "count_include_pad", &count));
    TRY(node_int(g->ort, g->core, "channels_last", &last));
    p->ceiling = ceiling != 0;
    p->count_padding = count != 0;
    const int64_t *kernel = p->window.kernel, *dilations = p->window.dilations;
    *fit = *fit && kernel[0] > 0 && kernel[1] > 0 && !last && kernel[1] * dilations[1] < SPAN / 2 &&
           p->window.strides[1] < SPAN / 2;
    return NULL;
}

static OrtStatus *claims_max(const struct group *g, bool *yes)
{
    struct pool p;
    size_t outputs;
    TRY(g->ort->Node_GetNumOutputs(g->core, &outputs));
    *yes = linear_fits(g) && outputs == 1;
    return *yes ? read_attributes(g, &p, yes) : NULL;
}

static OrtStatus *claims_average(const struct group *g, bool *yes)
{
    struct pool p;
    *yes = linear_fits(g) && g->values[X].type == g->out.type && g->values[X_SCALE].info;
    if (*yes)
        TRY(read_attributes(g, &p, yes));
    *yes = *yes && p.window.dilations[0] == 1 && p.window.dilations[1] == 1;
    return NULL;
}

static OrtStatus *claims_global(const struct group *g, bool *yes)
{
    int64_t last = 0;
    TRY(node_int(g->ort, g->core, "channels_last", &last));
    *yes = linear_fits(g) && g->values[X].type == g->out.type && g->values[X_SCALE].info && !last &&
           g->values[X].rank >= 3;
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

/* ---- the greatest ------------------------------------------------------------------------------ */

/* Where tap (0, 0) of output line or column i is; may lie before the input. */
static ptrdiff_t first_tap(size_t i, int64_t stride, size_t before)
{
    return (ptrdiff_t)i * (ptrdiff_t)stride - (ptrdiff_t)before;
}

WIDE static void greatest_of_rows(uint8_t *most, const uint8_t *x, size_t count, uint8_t flip)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t v = x[i] ^ flip;
        most[i] = v > most[i] ? v : most[i];
    }
}

/* most[i] of x[i * stride]; a stride known to the compiler makes vectors. */
WIDE static void greatest_of_columns(uint8_t *most, const uint8_t *x, size_t count, size_t stride)
{
    if (stride == 1)
        for (size_t i = 0; i < count; i++)
            most[i] = x[i] > most[i] ? x[i] : most[i];
    else if (stride == 2)
        for (size_t i = 0; i < count; i++)
            most[i] = x[2 * i] > most[i] ? x[2 * i] : most[i];
    else
        for (size_t i = 0; i < count; i++)
            most[i] = x[stride * i] > most[i] ? x[stride * i] : most[i];
}

/* Columns [first, first + count) of a line of the output. The rows of the window become one, in which
 * what lies in the padding is the least value; then its columns. */
static void max_line(const struct pictures *p, const uint8_t *x, size_t line, size_t first,
                     size_t count, uint8_t *y)
{
    const struct window *v = p->window;
    const uint8_t flip = least_of(p->linear.x_type) ? 0x80 : 0;
    const size_t stride = (size_t)v->strides[1];
    const size_t span = (count - 1) * stride + (size_t)((v->kernel[1] - 1) * v->dilations[1]) + 1;
    const ptrdiff_t left = first_tap(first, v->strides[1], p->left);
    const ptrdiff_t end = left + (ptrdiff_t)span;
    const size_t from = left < 0 ? 0 : (size_t)left;
    const size_t to = end < (ptrdiff_t)p->w ? (size_t)(end < 0 ? 0 : end) : p->w;
    uint8_t rows[SPAN] = {0}, most[COLUMNS] = {0};
    memset(rows, 0, span);
    for (int64_t i = 0; i < v->kernel[0]; i++) {
        const ptrdiff_t row = first_tap(line, v->strides[0], p->top) + i * v->dilations[0];
        if (row >= 0 && row < (ptrdiff_t)p->h && from < to)
            greatest_of_rows(rows + ((ptrdiff_t)from - left), x + (size_t)row * p->w + from,
                             to - from, flip);
    }
    for (int64_t j = 0; j < v->kernel[1]; j++)
        greatest_of_columns(most, rows + j * v->dilations[1], count, stride);
    for (size_t i = 0; i < count; i++)
        y[i] = most[i] ^ flip;
    if (p->table)
        table_apply(p->table, y, y, count);
}

/* ---- averages ---------------------------------------------------------------------------------- */

WIDE static void add_u8(float *sum, const uint8_t *x, size_t count, size_t stride, float scale,
                        int32_t zero)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += scale * (float)(x[i * stride] - zero);
}

WIDE static void add_s8(float *sum, const int8_t *x, size_t count, size_t stride, float scale,
                        int32_t zero)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += scale * (float)(x[i * stride] - zero);
}

/* How many taps of a window that begins at 'first' are inside [0, size). */
static int64_t inside(ptrdiff_t first, int64_t kernel, size_t size)
{
    const int64_t end = first + kernel < (int64_t)size ? first + kernel : (int64_t)size;
    return end - (first < 0 ? 0 : first);
}

/* Adds a tap to the columns for which it is inside. */
static void add_tap(const struct pictures *p, const uint8_t *row, ptrdiff_t left, size_t count,
                    float *sum)
{
    const size_t stride = (size_t)p->window->strides[1];
    const struct linear *l = &p->linear;
    size_t from = left < 0 ? ((size_t)-left + stride - 1) / stride : 0;
    size_t to =
        left >= (ptrdiff_t)p->w ? 0 : ((size_t)((ptrdiff_t)p->w - left) + stride - 1) / stride;
    to = to < count ? to : count;
    if (from >= to)
        return;
    const uint8_t *x = row + (left + (ptrdiff_t)(from * stride));
    if (least_of(l->x_type))
        add_s8(sum + from, (const int8_t *)x, to - from, stride, l->x_scale, l->x_zero);
    else
        add_u8(sum + from, x, to - from, stride, l->x_scale, l->x_zero);
}

#define LIMIT 1048576.0f
#define ROUND 0x1.8p23f

static uint8_t quantize_zero_first(float v, const struct linear *l)
{
    const int32_t least = least_of(l->y_type);
    v = v / l->y_scale + (float)l->y_zero;
    v = v > -LIMIT ? v : -LIMIT;
    v = v < LIMIT ? v : LIMIT;
    const int32_t i = (int32_t)(v + ROUND - ROUND);
    return (uint8_t)(i < least ? least : i > least + 255 ? least + 255 : i);
}

static void average_line(const struct pictures *p, const uint8_t *x, size_t line, size_t first,
                         size_t count, uint8_t *y)
{
    const struct window *v = p->window;
    const ptrdiff_t top = first_tap(line, v->strides[0], p->top);
    const ptrdiff_t left = first_tap(first, v->strides[1], p->left);
    float sum[COLUMNS] = {0};
    for (int64_t i = 0; i < v->kernel[0]; i++)
        for (int64_t j = 0; j < v->kernel[1] && top + i >= 0 && top + i < (ptrdiff_t)p->h; j++)
            add_tap(p, x + (size_t)(top + i) * p->w, left + j, count, sum);
    const int64_t rows = inside(top, v->kernel[0], p->h);
    for (size_t i = 0; i < count; i++) {
        const ptrdiff_t at = left + (ptrdiff_t)i * (ptrdiff_t)v->strides[1];
        const int64_t taps =
            p->count_padding ? v->kernel[0] * v->kernel[1] : rows * inside(at, v->kernel[1], p->w);
        y[i] = quantize_zero_first(sum[i] / (float)taps, &p->linear);
    }
}

/* ---- a call ------------------------------------------------------------------------------------ */

/* Outputs in one dimension. Rounded up, a last window that lies wholly behind the input is dropped. */
static size_t outputs(const struct pool *p, size_t i, size_t size, size_t before, size_t after)
{
    const size_t stride = (size_t)p->window.strides[i];
    const size_t span = (size_t)((p->window.kernel[i] - 1) * p->window.dilations[i]) + 1;
    if (size + before + after < span)
        return 0;
    const size_t rest = size + before + after - span;
    size_t count = rest / stride + 1;
    if (p->ceiling && rest % stride && count * stride < size + before)
        count++;
    return count;
}

static void do_line(const struct pictures *p, size_t index, bool average)
{
    const size_t picture = index / p->oh, line = index % p->oh;
    const uint8_t *x = p->x + picture * p->h * p->w;
    uint8_t *y = p->y + index * p->ow;
    const size_t kernel = (size_t)((p->window->kernel[1] - 1) * p->window->dilations[1]) + 1;
    size_t most = (SPAN - kernel) / (size_t)p->window->strides[1];
    most = most < COLUMNS ? most : COLUMNS;
    for (size_t first = 0; first < p->ow; first += most) {
        const size_t count = p->ow - first < most ? p->ow - first : most;
        if (average)
            average_line(p, x, line, first, count, y + first);
        else
            max_line(p, x, line, first, count, y + first);
    }
}

static void do_max(void *arg, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        do_line(arg, i, false);
}

static void do_average(void *arg, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        do_line(arg, i, true);
}

static OrtStatus *compute_window(struct step *s, struct call *c, bool average)
{
    const struct pool *pool = s->impl;
    const struct tensor *x = &c->in[X];
    const size_t dimensions = pool->window.dimensions;
    struct pictures p = {
        .window = &pool->window, .x = x->data, .count_padding = pool->count_padding};
    size_t bottom, right;
    uint8_t table[256];
    void *y;
    if (x->rank != dimensions + 2)
        return fail(c->ort, "%s: expected X of rank %zu, got %zu", s->op->name, dimensions + 2,
                    x->rank);
    TRY(linear_of(c, s, &p.linear));
    p.h = dimensions == 2 ? (size_t)x->dims[2] : 1;
    p.w = (size_t)x->dims[x->rank - 1];
    window_pads(&pool->window, 0, (int64_t)p.h, pool->window.kernel[0], &p.top, &bottom);
    window_pads(&pool->window, 1, (int64_t)p.w, pool->window.kernel[1], &p.left, &right);
    p.oh = outputs(pool, 0, p.h, p.top, bottom);
    p.ow = outputs(pool, 1, p.w, p.left, right);
    int64_t dims[4] = {x->dims[0], x->dims[1], (int64_t)p.oh, (int64_t)p.ow};
    if (dimensions == 1)
        dims[2] = dims[3];
    TRY(call_output(c, 0, dims, x->rank, &y));
    p.y = y;
    if (!average && table_make(&p.linear, -FLT_MAX, FLT_MAX, table))
        p.table = table;
    const size_t lines = (size_t)(dims[0] * dims[1]) * p.oh;
    if (lines == 0 || p.ow == 0)
        return NULL;
    return call_share(c, lines, 8192 / p.ow + 1, average ? do_average : do_max, &p);
}

static OrtStatus *compute_max(struct step *s, struct call *c)
{
    return compute_window(s, c, false);
}

static OrtStatus *compute_average(struct step *s, struct call *c)
{
    return compute_window(s, c, true);
}

/* ---- of a whole picture ------------------------------------------------------------------------ */

struct whole {
    const uint8_t *x;
    uint8_t *y;
    size_t size;
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

static void do_whole(void *arg, size_t begin, size_t end)
{
    const struct whole *p = arg;
    const struct linear *l = &p->linear;
    const int32_t least = least_of(l->x_type); /* a flip takes it to zero */
    const float low = (float)(least_of(l->y_type) - l->y_zero), high = low + 255;
    for (size_t i = begin; i < end; i++) {
        const uint32_t sum = sum_of(p->x + i * p->size, p->size, least ? 0x80 : 0);
        const int32_t acc = (int32_t)(sum + (uint32_t)p->size * (uint32_t)(least - l->x_zero));
        float v = (float)acc * p->scale;
        v = v > low ? v : low;
        v = v < high ? v : high;
        p->y[i] = (uint8_t)((int32_t)(v + ROUND - ROUND) + l->y_zero);
    }
}

static OrtStatus *compute_global(struct step *s, struct call *c)
{
    const struct tensor *x = &c->in[X];
    struct whole p = {.x = x->data, .size = 1};
    int64_t dims[MAX_RANK];
    void *y;
    if (x->rank < 3)
        return fail(c->ort, "%s: expected X of rank 3 and more, got %zu", s->op->name, x->rank);
    TRY(linear_of(c, s, &p.linear));
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = i < 2 ? x->dims[i] : 1;
        p.size *= i < 2 ? 1 : (size_t)x->dims[i];
    }
    TRY(call_output(c, 0, dims, x->rank, &y));
    p.y = y;
    p.scale = p.linear.x_scale / (p.linear.y_scale * (float)p.size);
    const size_t pictures = (size_t)(dims[0] * dims[1]);
    if (x->count == 0)
        return pictures ? fail(c->ort, "%s: expected a picture of values", s->op->name) : NULL;
    return call_share(c, pictures, 65536 / p.size + 1, do_whole, &p);
}

const struct kind pool_kind = {claims_max, compile, compute_max, release};
const struct kind average_kind = {claims_average, compile, compute_average, release};
const struct kind global_kind = {claims_global, NULL, compute_global, NULL};
