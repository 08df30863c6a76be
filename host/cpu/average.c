/*
 * Runs of average pools. Of many channels that lie side by side a pixel of the output is done by itself, its
 * sums in registers. Else a tile of the output is: what the rows of the input below it add to sums is made
 * once, with zeros where the padding is, and taken at every tap of the kernel.
 */
#include <string.h>
#include "bytes.h"

#define CHUNK ((size_t)65536) /* taps of all outputs in an item */
#define LINE ((size_t)4096)   /* elements of the input in a tile */
#define MOST ((size_t)1024)   /* outputs of a tile */
#define MANY ((size_t)16)     /* channels */
#define SLACK ((size_t)16)    /* lanes of a vector that are beyond the end */

struct average_run {
    const struct qdot_op *op;
    struct cpu_average values;
    const uint8_t *a;
    uint8_t *out;
    size_t planes, pixel; /* images, and bytes of a pixel; in NCHW planes of single bytes */
    size_t lda, ldo;
    size_t each;                          /* rows of the output, or planes of a tile, in an item */
    size_t height, width, columns, tiles; /* of a tile, and how many: across, and at all */
    size_t pitch, phases;                 /* of struct tile's arrays: columns of a row, phases */
    size_t band;                          /* rows of the input in it */
    bool whole;                           /* the input's rows lie in it without gaps */
    size_t *taps;                         /* of a row of the kernel: where in it */
};

struct average_op {
    struct average_run run;
    size_t threads;
    size_t taps[];
};

static const struct cpu_average_kernel *kernel_of(const struct average_run *run)
{
    return run->op->row->impl;
}

static float divisor(const struct average_run *run, size_t rows, size_t columns)
{
    const struct qdot_problem *p = &run->op->p;
    return (float)(p->average.count_padding ? p->k : rows * columns);
}

static struct cpu_span rows_of(const struct average_run *run, size_t y)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    return cpu_span_of(y, g->h, g->kh, g->stride_h, g->dilation_h, g->pad_top);
}

static struct cpu_span columns_of(const struct average_run *run, size_t x)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    return cpu_span_of(x, g->w, g->kw, g->stride_w, g->dilation_w, g->pad_left);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

/* ---- pixel by pixel -------------------------------------------------------------------------- */

static void do_pixels(const struct average_run *run, const uint8_t *plane, struct cpu_span y,
                      uint8_t *out)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    for (size_t column = 0; column < g->ow; column++) {
        const struct cpu_span x = columns_of(run, column);
        const struct cpu_taps taps = {.from = plane + (y.first * g->w + x.first) * run->lda,
                                      .rows = y.taps,
                                      .columns = x.taps,
                                      .row_step = g->dilation_h * g->w * run->lda,
                                      .column_step = g->dilation_w * run->lda,
                                      .to = out + column * run->ldo,
                                      .count = run->pixel};
        kernel_of(run)->pixel(&run->values, &taps, divisor(run, y.taps, x.taps));
    }
}

static void do_rows(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct average_run *run = arg;
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t lines = run->planes * g->oh;
    const size_t end = least(lines, (item + 1) * run->each);
    for (size_t line = item * run->each; line < end; line++)
        do_pixels(run, run->a + line / g->oh * g->h * g->w * run->lda, rows_of(run, line % g->oh),
                  run->out + line * g->ow * run->ldo);
}

/* ---- tile by tile ---------------------------------------------------------------------------- */

/* A part of the output of some planes, and what it is made in. Columns of the input that outputs of
 * neighbouring columns take under the same tap are neighbours in it. What is not of the input is zero points
 * there, which change no sum, from the first plane on. */
struct tile {
    uint8_t bytes[LINE];       /* [phase of the stride][row][column] */
    float terms[LINE + SLACK]; /* of these */
    float sums[MOST + SLACK], taps[MOST + SLACK];
    uint8_t out[MOST];
    size_t y, x, height, width; /* of the output */
};

/* Of a row of the input the columns of one phase: where they are, and where they go. */
struct stretch {
    size_t first, at, count;
};

static struct stretch stretch_of(const struct average_run *run, const struct tile *t, size_t phase)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const ptrdiff_t begin = (ptrdiff_t)(t->x * g->stride_w + phase) - g->pad_left;
    struct stretch c = {.at = begin < 0 ? divide_up((size_t)-begin, g->stride_w) : 0};
    c.first = (size_t)(begin + (ptrdiff_t)(c.at * g->stride_w));
    if (c.first < g->w && c.at < run->pitch)
        c.count = least(divide_up(g->w - c.first, g->stride_w), run->pitch - c.at);
    return c;
}

/* 'count' pixels that are a stride apart. */
static void pick(const struct average_run *run, const uint8_t *from, size_t count, uint8_t *to)
{
    const size_t pixel = run->pixel, step = run->op->p.conv.stride_w * pixel;
    if (step == pixel)
        memcpy(to, from, count * pixel);
    else if (step == 2)
        for (size_t i = 0; i < count; i++)
            to[i] = from[2 * i];
    else
        for (size_t i = 0; i < count; i++)
            for (size_t c = 0; c < pixel; c++)
                to[i * pixel + c] = from[i * step + c];
}

/* 'rows' rows of the input from 'row' on, 'step' apart, become the tile's first ones. */
static void take_rows(const struct average_run *run, struct tile *t, const uint8_t *plane,
                      size_t row, size_t step, size_t rows)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const struct cpu_average_kernel *kernel = kernel_of(run);
    const size_t pixel = run->pixel, row_bytes = g->w * pixel;
    const uint8_t *first = plane + row * row_bytes;
    const bool whole = run->whole && step == 1; /* rows without gaps are one */
    const size_t all = ((run->phases - 1) * run->band + rows) * run->pitch * pixel;
    if (whole && g->stride_w == 1) {
        kernel->terms(&run->values, first, all, t->terms);
        return;
    }
    for (size_t phase = 0; phase < run->phases; phase++) {
        const struct stretch c = stretch_of(run, t, phase);
        uint8_t *to = t->bytes + (phase * run->band * run->pitch + c.at) * pixel;
        for (size_t i = 0; i < (whole ? 1 : rows); i++)
            pick(run, first + i * step * row_bytes + c.first * pixel,
                 whole ? rows * run->pitch : c.count, to + i * run->pitch * pixel);
    }
    kernel->terms(&run->values, t->bytes, all, t->terms);
}

/* All rows of the input at once. Vectors at the end of a row of sums write into the next one, which is
 * made later. */
static void add_rows(const struct average_run *run, struct tile *t, const uint8_t *plane)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    size_t first = SIZE_MAX, end = 0;
    for (size_t y = t->y; y < t->y + t->height; y++) {
        const struct cpu_span rows = rows_of(run, y);
        const size_t behind = rows.first + (rows.taps - 1) * g->dilation_h + 1;
        first = least(first, rows.first);
        end = behind > end ? behind : end;
    }
    take_rows(run, t, plane, first, 1, end - first);
    for (size_t i = 0; i < t->height; i++) {
        const struct cpu_span rows = rows_of(run, t->y + i);
        kernel_of(run)->add(&(struct cpu_average_sums){
            .from = t->terms + (rows.first - first) * run->pitch * run->pixel,
            .rows = rows.taps,
            .row_step = g->dilation_h * run->pitch * run->pixel,
            .taps = run->taps,
            .columns = g->kw,
            .sums = t->sums + i * t->width * run->pixel,
            .count = t->width * run->pixel});
    }
}

/* Of one row of the output, as many rows of the input at a time as there is room for. */
static void add_bands(const struct average_run *run, struct tile *t, const uint8_t *plane)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const struct cpu_span rows = rows_of(run, t->y);
    for (size_t done = 0, count; done < rows.taps; done += count) {
        count = least(rows.taps - done, run->band);
        take_rows(run, t, plane, rows.first + done * g->dilation_h, g->dilation_h, count);
        kernel_of(run)->add(&(struct cpu_average_sums){.from = t->terms,
                                                       .rows = count,
                                                       .row_step = run->pitch * run->pixel,
                                                       .taps = run->taps,
                                                       .columns = g->kw,
                                                       .sums = t->sums,
                                                       .count = t->width * run->pixel,
                                                       .more = done > 0});
    }
}

/* By what sums are divided, and zeros. */
static void begin_tile(const struct average_run *run, struct tile *t)
{
    const struct qdot_problem *p = &run->op->p;
    const size_t pixel = run->pixel, used = run->phases * run->band * run->pitch * pixel;
    memset(t->bytes, (uint8_t)p->a_zero, used);
    memset(t->terms + used, 0, SLACK * sizeof(t->terms[0]));
    for (size_t i = 0; i < t->height * t->width; i++) {
        const size_t rows = rows_of(run, t->y + i / t->width).taps;
        const float taps = divisor(run, rows, columns_of(run, t->x + i % t->width).taps);
        for (size_t c = 0; c < pixel; c++)
            t->taps[i * pixel + c] = taps;
    }
    for (size_t i = 0; i < SLACK; i++)
        t->taps[t->height * t->width * pixel + i] = 1;
}

static void finish_tile(const struct average_run *run, struct tile *t, uint8_t *out)
{
    const size_t pixel = run->pixel, count = t->height * t->width;
    const bool gaps = run->ldo != pixel;
    kernel_of(run)->finish(&run->values, t->sums, t->taps, count * pixel, gaps ? t->out : out);
    for (size_t i = 0; i < count && gaps; i++)
        memcpy(out + i * run->ldo, t->out + i * pixel, pixel);
}

static void do_tile(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct average_run *run = arg;
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t at = item % run->tiles, begin = item / run->tiles * run->each;
    const size_t end = least(run->planes, begin + run->each);
    struct tile t;
    t.y = at / run->columns * run->height;
    t.x = at % run->columns * run->width;
    t.height = least(run->height, g->oh - t.y);
    t.width = least(run->width, g->ow - t.x);
    begin_tile(run, &t);
    for (size_t plane = begin; plane < end; plane++) {
        const uint8_t *from = run->a + plane * g->h * g->w * run->pixel;
        if (run->height > 1)
            add_rows(run, &t, from);
        else
            add_bands(run, &t, from);
        finish_tile(run, &t, run->out + ((plane * g->oh + t.y) * g->ow + t.x) * run->ldo);
    }
}

/* What fits; false: not even two windows. */
static bool choose_tile(struct average_run *run)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t span = (g->kw - 1) * g->dilation_w, behind = span / g->stride_w;
    const size_t high = (g->kh - 1) * g->dilation_h + 1;
    run->phases = least(g->stride_w, span + 1);
    const size_t most = LINE / run->pixel / run->phases; /* of a row */
    if (most < behind + least(g->ow, 2))
        return false;
    run->width = least(least(g->ow, MOST / run->pixel), most - behind);
    run->pitch = run->width + behind;
    run->whole = run->width == g->ow && g->pad_left == 0 && g->w % g->stride_w == 0 &&
                 g->w / g->stride_w >= run->pitch && g->w / g->stride_w <= most;
    if (run->whole)
        run->pitch = g->w / g->stride_w;
    run->height = 1;
    run->band = least(g->kh, most / run->pitch);
    const size_t rows = most / run->pitch;
    if (run->width == g->ow && rows > high) {
        run->height =
            least(least(g->oh, MOST / run->pixel / g->ow), (rows - high) / g->stride_h + 1);
        run->band = (run->height - 1) * g->stride_h + high;
    }
    for (size_t j = 0; j < g->kw; j++) {
        const size_t at = j * g->dilation_w, phase = at % g->stride_w;
        run->taps[j] = (phase * run->band * run->pitch + at / g->stride_w) * run->pixel;
    }
    run->columns = divide_up(g->ow, run->width);
    run->tiles = divide_up(g->oh, run->height) * run->columns;
    return true;
}

/* ---- ops ------------------------------------------------------------------------------------- */

int cpu_average_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    struct average_op *impl =
        qdot_alloc(op->device, sizeof(*impl) + p->conv.kw * sizeof(impl->taps[0]));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    const bool first = p->rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    const int32_t behind = first ? 0 : p->out_zero;
    impl->run.op = op;
    impl->run.taps = impl->taps;
    impl->run.values = (struct cpu_average){
        .scaled = p->average.scaled,
        .flip = p->a_type == QDOT_S8 ? 0x80 : 0,
        .a_scale = p->average.a_scale,
        .a_zero = (float)(p->a_zero + (p->a_type == QDOT_S8 ? 128 : 0)),
        .out_scale = p->average.out_scale,
        .zero_first = first ? (float)p->out_zero : 0.0f,
        .lo = (float)(p->clamp_lo - behind),
        .hi = (float)(p->clamp_hi - behind),
        .zero_behind = behind,
    };
    impl->threads = op->threads.parallel_for && op->threads.threads > 1 ? op->threads.threads : 1;
    return QDOT_OK;
}

void cpu_average_run(struct qdot_op *op, const struct qdot_run *args)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    struct average_op *impl = op->impl;
    struct average_run *run = &impl->run;
    run->a = cpu_input(&args->a);
    run->out = cpu_output_memory(&args->out);
    run->planes = g->nchw ? args->m * g->c : args->m;
    run->pixel = g->nchw ? 1 : g->c;
    run->lda = g->nchw ? 1 : args->lda;
    run->ldo = g->nchw ? 1 : args->ldo;
    const bool by_tile = run->pixel < MANY && run->lda == run->pixel && choose_tile(run);
    const size_t lines = by_tile ? run->planes : run->planes * g->oh;
    const size_t outputs = by_tile ? run->height * run->width : g->ow;
    run->each = CHUNK / (outputs * run->pixel) / p->k;
    run->each = run->each ? run->each : 1;
    const size_t items = divide_up(lines, run->each) * (by_tile ? run->tiles : 1);
    const size_t threads = cpu_threads_for(impl->threads, args->m * p->unit_rows, p->n, p->k, 8);
    cpu_share(op, threads, items, by_tile ? do_tile : do_rows, run);
}
