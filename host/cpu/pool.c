/*
 * Runs of max pools. An item is some rows of the output. Of many channels that lie side by side a pixel
 * is done by itself; else a row is, down and then across, at every column of the input, and those that
 * the stride takes are picked.
 */
#include <string.h>
#include "bytes.h"

#define CHUNK ((size_t)16384) /* bytes of the output in an item */
#define LINE ((size_t)8192)   /* bytes of a row at a time */
#define MANY ((size_t)32)     /* channels */

struct pool_run {
    const struct qdot_op *op;
    const uint8_t *a;
    uint8_t *out;
    size_t planes, pixel; /* images, and bytes of a pixel; in NCHW planes of single bytes */
    size_t lda, ldo;
    size_t lines, each; /* rows of all planes, and of an item */
    bool by_row;
    uint8_t flip;
};

struct pool_op {
    struct pool_run run;
    size_t threads;
};

/* ---- windows --------------------------------------------------------------------------------- */

static const struct cpu_pool_kernel *kernel_of(const struct pool_run *run)
{
    return run->op->row->impl;
}

static void look_up(const struct pool_run *run, uint8_t *bytes, size_t count)
{
    const struct cpu_bytes b = {bytes, bytes, 1, 1, count, run->op->table};
    if (b.table)
        cpu_map_bytes(&b, &cpu_map);
}

/* A row, pixel by pixel. */
static void do_pixels(const struct pool_run *run, const uint8_t *plane, struct cpu_span y,
                      uint8_t *out)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    for (size_t column = 0; column < g->ow; column++) {
        const struct cpu_span x =
            cpu_span_of(column, g->w, g->kw, g->stride_w, g->dilation_w, g->pad_left);
        const struct cpu_taps taps = {.from = plane + (y.first * g->w + x.first) * run->lda,
                                      .rows = y.taps,
                                      .columns = x.taps,
                                      .row_step = g->dilation_h * g->w * run->lda,
                                      .column_step = g->dilation_w * run->lda,
                                      .to = out + column * run->ldo,
                                      .count = run->pixel,
                                      .flip = run->flip,
                                      .flip_back = run->flip};
        kernel_of(run)->largest(&taps);
        look_up(run, out + column * run->ldo, run->pixel);
    }
}

/* 'count' pixels from output column 'column' on. */
static void do_piece(const struct pool_run *run, const uint8_t *plane, struct cpu_span y,
                     size_t column, size_t count, uint8_t *out)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t pixel = run->pixel, width = cpu_windows_width(g, count),
                 step = g->stride_w * pixel;
    uint8_t down[LINE], across[LINE];
    const ptrdiff_t begin = (ptrdiff_t)(column * g->stride_w) - g->pad_left;
    const size_t before = begin < 0 ? (size_t)-begin : 0, first = begin < 0 ? 0 : (size_t)begin;
    const size_t inside = g->w - first < width - before ? g->w - first : width - before;
    memset(down, 0, before * pixel); /* less than anything */
    memset(down + (before + inside) * pixel, 0, (width - before - inside) * pixel);
    struct cpu_taps taps = {.from = plane + (y.first * g->w + first) * pixel,
                            .rows = y.taps,
                            .columns = 1,
                            .row_step = g->dilation_h * g->w * pixel,
                            .to = down + before * pixel,
                            .count = inside * pixel,
                            .flip = run->flip};
    kernel_of(run)->largest(&taps);
    taps = (struct cpu_taps){.from = down,
                             .rows = 1,
                             .columns = g->kw,
                             .column_step = g->dilation_w * pixel,
                             .to = across,
                             .count = ((count - 1) * g->stride_w + 1) * pixel,
                             .flip_back = run->flip};
    kernel_of(run)->largest(&taps);
    if (pixel == 1) {
        const struct cpu_bytes picked = {across, out, step, run->ldo, count, run->op->table};
        cpu_map_bytes(&picked, &cpu_map);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(out + i * run->ldo, across + i * step, pixel);
        look_up(run, out + i * run->ldo, pixel);
    }
}

static void do_rows(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct pool_run *run = arg;
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t end =
        run->lines - item * run->each < run->each ? run->lines : (item + 1) * run->each;
    for (size_t line = item * run->each; line < end; line++) {
        const uint8_t *plane = run->a + line / g->oh * g->h * g->w * run->lda;
        uint8_t *out = run->out + line * g->ow * run->ldo;
        const struct cpu_span y =
            cpu_span_of(line % g->oh, g->h, g->kh, g->stride_h, g->dilation_h, g->pad_top);
        if (!run->by_row) {
            do_pixels(run, plane, y, out);
            continue;
        }
        const size_t most = (LINE / run->pixel - cpu_windows_width(g, 1)) / g->stride_w + 1;
        for (size_t at = 0; at < g->ow; at += most)
            do_piece(run, plane, y, at, g->ow - at < most ? g->ow - at : most, out + at * run->ldo);
    }
}

/* ---- ops ------------------------------------------------------------------------------------- */

int cpu_pool_prepare(struct qdot_op *op, struct qdot_error *err)
{
    struct pool_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    impl->run.op = op;
    impl->run.flip = op->p.a_type == QDOT_S8 ? 0x80 : 0;
    impl->threads = op->threads.parallel_for && op->threads.threads > 1 ? op->threads.threads : 1;
    return QDOT_OK;
}

void cpu_pool_run(struct qdot_op *op, const struct qdot_run *args)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    struct pool_op *impl = op->impl;
    struct pool_run *run = &impl->run;
    run->a = cpu_input(&args->a);
    run->out = cpu_output_memory(&args->out);
    run->planes = g->nchw ? args->m * g->c : args->m;
    run->pixel = g->nchw ? 1 : g->c;
    run->lda = g->nchw ? 1 : args->lda;
    run->ldo = g->nchw ? 1 : args->ldo;
    run->by_row = run->pixel < MANY && run->lda == run->pixel &&
                  cpu_windows_width(g, 1) <= LINE / 2 / run->pixel;
    run->lines = run->planes * g->oh;
    run->each = CHUNK / (g->ow * run->pixel);
    run->each = run->each ? run->each : 1;
    const size_t threads = cpu_threads_for(impl->threads, args->m * p->unit_rows, p->n, p->k, 4);
    cpu_share(op, threads, (run->lines - 1) / run->each + 1, do_rows, run);
}
