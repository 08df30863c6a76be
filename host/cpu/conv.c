/*
 * Convolution on the CPU: the GEMM of its groups without an im2col matrix.
 *
 * An item is some lines of one image's output, or a part of one line, times a range of panels, which
 * may be of several groups. Its A is read in one of three ways:
 *
 *   in place   where no padding is reached and the tile takes the bytes as they are, or flips them:
 *              the taps of output pixel p are at fixed distances (runs) from its first input byte
 *   strip      else the input lines under the item are copied into the thread's scratch once,
 *              flipped and widened as the row wants, with the padding around them and the gaps of a
 *              transposed convolution filled with the zero point; from there on as in place
 *   gather     where not even a few pixels' strip fits into the scratch: tile by tile, a cut of K at
 *              a time, each row of the tile is put together
 *
 * A tile's rows are neighbouring output pixels, over the ends of lines as well. Near the border an
 * item falls into patches of pixels that have the same taps inside the input: the others' runs, or
 * parts of runs, are left out, and what they add to the sum, the zero point times their weights,
 * comes with the bias. Depthwise rows do one block of nr channels at a time, in place as well where
 * padding is reached: they know where it is. Outputs in NCHW go through a buffer of one panel.
 */
#include <stdio.h>
#include <string.h>
#include "conv.h"

#define SCRATCH_MAX (((size_t)1 << 20) - 65536) /* of one thread: 1 MiB with all the rest */
#define BLOCK_PIXELS 240   /* wanted in an item: a panel of B serves them all */
#define LINE_PIXELS 1024   /* an item of a longer line is a part of it */
#define GATHER_BYTES 8192  /* of one row of a gathered tile */
#define DEPTHWISE_FACTOR 5 /* a multiply-add takes so many times as long as in a tile */

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Which columns of the op a panel has. */
struct place {
    size_t group, column, columns;
};

static struct place place_of(const struct conv_run *run, size_t panel)
{
    const struct qdot_packed *packed = &run->op->packed;
    const size_t group = panel / run->part_panels, nr = run->op->row->nr;
    const size_t in_part = panel % run->part_panels * nr;
    return (struct place){group, group * packed->part_columns + in_part,
                          min(packed->part_columns - in_part, nr)};
}

/* The output of one panel: its terms begin at the panel's first column, rows at the item's first
 * pixel. In NCHW it is the buffer. */
static struct cpu_output output_of(const struct conv_run *run, const struct part *part,
                                   size_t panel, size_t column, uint8_t *buffer)
{
    const struct qdot_op *op = run->op;
    const struct qdot_geometry *g = &op->p.conv;
    struct cpu_output o = run->output;
    const size_t padded = panel * op->row->nr;
    o.bias += padded;
    o.scale += padded;
    o.bias_f += padded;
    o.multiplier += padded;
    o.shift += padded;
    if (o.b_neg)
        o.b_neg += padded;
    if (g->nchw) {
        o.out = buffer;
        o.ldo_bytes = op->row->nr * op->p.out_bytes;
    } else {
        const size_t pixel = (part->image * g->oh + part->line) * g->ow + part->column;
        o.out += pixel * o.ldo_bytes + column * op->p.out_bytes;
    }
    return o;
}

static bool requantises(const struct conv_run *run)
{
    return run->impl->keeps_sums;
}

/* The sums of 'rows' pixels by one panel, to the output. */
static void finish_sums(const struct conv_run *run, const struct cpu_output *o, int32_t *sum,
                        size_t rows, size_t columns, const int32_t *row_sum, uint8_t *out,
                        const ptrdiff_t *out_rows)
{
    const struct cpu_sums sums = {
        .output = o,
        .sum = sum,
        .step = run->op->row->nr,
        .rows = rows,
        .columns = columns,
        .row_sum = row_sum,
        .out = out,
        .out_rows = out_rows,
    };
    cpu_finish_sums(requantise_of(run->op->row), &sums);
}

/* [pixels][nr] of the buffer to [columns][pixels] of the output. */
static void scatter(const struct conv_run *run, const struct part *part, const uint8_t *buffer,
                    size_t column, size_t columns)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t bytes = run->op->p.out_bytes, nr = run->op->row->nr, plane = g->oh * g->ow;
    const size_t first = (part->image * g->o + column) * plane + part->line * g->ow + part->column;
    uint8_t *to = run->output.out + first * bytes;
    if (bytes == 1) {
        cpu_transpose(buffer, nr, part->pixels, columns, to, plane, 0);
        return;
    }
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < part->pixels; i++)
            memcpy(to + (j * plane + i) * 4, buffer + (i * nr + j) * 4, 4);
}

/* A rectangle of output pixels whose taps inside the input are lines [top, bottom) and, of each,
 * taps [left, right). */
struct patch {
    size_t line, lines, column, columns;
    size_t top, bottom, left, right;
};

/* How many taps of output 'at' lie before point 'limit', counted from where the padding begins. */
static size_t taps_before(size_t limit, size_t at, size_t stride, size_t taps, size_t dilation)
{
    const size_t first = at * stride;
    return limit > first ? min((limit - first + dilation - 1) / dilation, taps) : 0;
}

/* [*from, *to) of the taps of output 'at' are inside the input; returns the first output after it,
 * not beyond 'end', for which they are others. */
static size_t taps_inside(size_t at, size_t end, size_t pad, size_t size, size_t stride,
                          size_t taps, size_t dilation, size_t *from, size_t *to)
{
    *from = taps_before(pad, at, stride, taps, dilation);
    *to = taps_before(pad + size, at, stride, taps, dilation);
    for (at++; at < end; at++)
        if (taps_before(pad, at, stride, taps, dilation) != *from ||
            taps_before(pad + size, at, stride, taps, dilation) != *to)
            break;
    return at;
}

/* The patch that begins at this line and column of the part. */
static struct patch patch_at(const struct conv_run *run, const struct part *part, size_t line,
                             size_t column)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const size_t end_line = part->line + part->lines, end_column = part->column + part->columns;
    struct patch p = {line, end_line - line, column, end_column - column, 0, g->kh, 0, g->kw};
    if (run->trims)
        p.lines = taps_inside(line, end_line, (size_t)g->pad_top, g->h, g->stride_h, g->kh,
                              g->dilation_h, &p.top, &p.bottom) -
                  line;
    /* Not in the corners, and not for a tile of one or two rows. */
    if (run->trims && run->impl->splits && p.top == 0 && p.bottom == g->kh && p.lines > 2)
        p.columns = taps_inside(column, end_column, (size_t)g->pad_left, g->w, g->stride_w, g->kw,
                                g->dilation_w, &p.left, &p.right) -
                    column;
    return p;
}

/* The rows of the part's tiles, patch by patch: at[pixel], of all pixels in their order, to 'rows'. */
static void list_patch(const struct part *part, const struct patch *patch, const ptrdiff_t *at,
                       ptrdiff_t *rows)
{
    at += (patch->line - part->line) * part->columns + patch->column - part->column;
    for (size_t i = 0; i < patch->lines; i++, at += part->columns, rows += patch->columns)
        memcpy(rows, at, patch->columns * sizeof(*rows));
}

/* The bias with what the taps outside would have added. */
static const int32_t *patch_bias(const struct conv_run *run, size_t panel,
                                 const struct patch *patch, const int32_t *bias, uint8_t *scratch)
{
    const struct qdot_op *op = run->op;
    const struct qdot_geometry *g = &op->p.conv;
    const size_t nr = op->row->nr, pieces = run->impl->line_pieces;
    const size_t left = pieces > 1 ? patch->left : 0, right = pieces > 1 ? patch->right : 1;
    int32_t *trimmed = (int32_t *)(void *)(scratch + run->impl->bias_offset);
    if (!run->impl->tap_sums ||
        (patch->top == 0 && patch->bottom == g->kh && left == 0 && right == pieces))
        return bias;
    const uint32_t zero = (uint32_t)(op->p.a_zero + qdot_shift(op->p.a_type, op->row->a_form));
    memcpy(trimmed, bias, nr * sizeof(*bias));
    for (size_t i = 0; i < g->kh; i++)
        for (size_t q = 0; q < pieces; q++) {
            const int32_t *sums =
                run->impl->tap_sums + (i * pieces + q) * op->packed.n_pad + panel * nr;
            if (i >= patch->top && i < patch->bottom && q >= left && q < right)
                continue;
            for (size_t j = 0; j < nr; j++)
                trimmed[j] = (int32_t)((uint32_t)trimmed[j] + zero * (uint32_t)sums[j]);
        }
    return trimmed;
}

/* One patch times one panel, or a cut of its runs: t has what all tiles of the panel share. */
static void patch_tiles(const struct conv_run *run, struct cpu_tile *t, const struct patch *patch,
                        const uint8_t *a, const uint8_t *panel, const ptrdiff_t *runs, size_t cut)
{
    const struct qdot_op *op = run->op;
    const struct qdot_packed *packed = &op->packed;
    const size_t kr = op->row->kr;
    const size_t line_runs = packed->runs / op->p.conv.kh;
    const size_t tap_groups = packed->run_groups * line_runs / op->p.conv.kw;
    const size_t first = run->trims ? patch->top * line_runs : cut;
    const size_t last =
        run->trims ? patch->bottom * line_runs : min(cut + run->cut_runs, packed->runs);
    size_t left_out = 0;
    if (run->impl->splits) {
        left_out = patch->left * tap_groups;
        t->groups = (patch->right - patch->left) * tap_groups;
        t->b_skip = (packed->run_groups - t->groups) * t->b_step;
    }
    t->a = a + left_out * kr * a_bytes(op->row);
    t->run_count = last - first;
    t->runs = runs + first;
    t->b = panel + (first * packed->run_groups + left_out) * t->b_step;
    t->more = first > 0 && !run->trims;
    t->last = (last == packed->runs || run->trims) && !requantises(run);
    cpu_tiles(op->row, t, patch->lines * patch->columns);
}

/* For each patch of a part. */
#define EACH_PATCH(p, run, part)                                                              \
    for (size_t y = (part)->line; y < (part)->line + (part)->lines; y += (p).lines)           \
        for (size_t x = (part)->column;                                                       \
             x < (part)->column + (part)->columns && ((p) = patch_at(run, part, y, x), true); \
             x += (p).columns)

/* 'a': where the first pixel lies in the strip or the input. */
static void tiles(const struct conv_run *run, const struct part *part, const uint8_t *a,
                  uint8_t *scratch)
{
    const struct qdot_op *op = run->op;
    const struct conv_op *impl = run->impl;
    const struct qdot_packed *packed = &op->packed;
    const struct qdot_geometry *g = &op->p.conv;
    const bool lies = run->way == WAY_IN_PLACE;
    const ptrdiff_t *a_rows = lies ? impl->lie_rows : impl->strip_rows, *out_rows = impl->out_rows;
    const ptrdiff_t *const runs = impl->runs + (lies ? packed->runs : 0);
    int32_t *const sums = (int32_t *)(void *)(scratch + impl->sum_offset);
    int32_t *const adds = (int32_t *)(void *)(scratch + impl->add_offset);
    uint8_t *const buffer = scratch + impl->out_offset;
    const uint8_t *const panels = qdot_packed_panels(packed);
    size_t summed = SIZE_MAX; /* the group that the sums are of */
    struct patch p = {0};
    if (run->trims) {
        ptrdiff_t *const listed_a = (ptrdiff_t *)(void *)(scratch + impl->list_offset);
        ptrdiff_t *const listed_out = listed_a + part->pixels;
        size_t listed = 0;
        EACH_PATCH(p, run, part)
        {
            list_patch(part, &p, a_rows, listed_a + listed);
            list_patch(part, &p, out_rows, listed_out + listed);
            listed += p.lines * p.columns;
        }
        a_rows = listed_a;
        out_rows = listed_out;
    }
    for (size_t panel = part->first; panel < part->last; panel++) {
        const struct place place = place_of(run, panel);
        const uint8_t *group = a + place.group * g->cg * a_bytes(op->row);
        struct cpu_output o = output_of(run, part, panel, place.column, buffer);
        const int32_t *const bias = o.bias;
        for (size_t i = 0; run->sums && summed != place.group && i < part->pixels; i++)
            sums[i] = cpu_sum_runs(run, group + a_rows[i], runs, lies ? run->flip : 0);
        for (size_t i = 0; run->one_neg && summed != place.group && i < part->pixels; i++)
            adds[i] = (int32_t)((uint32_t)op->terms.b_neg[0] * (uint32_t)sums[i]);
        summed = place.group;
        const size_t b_step = qdot_panel_columns(packed, op->row->nr, panel) * op->row->kr;
        const uint8_t *b = qdot_panel(packed, panel);
        struct cpu_tile t = {
            .groups = packed->run_groups,
            .b_step = b_step,
            .nr = op->row->nr,
            .out = o.out,
            .flip = lies ? run->flip : 0,
            .output = &o,
            .columns = place.columns,
            .next = b + packed->k_groups * b_step,
            .next_end = panels + qdot_panel_at(packed, part->last),
        };
        t.next_step = panel + 1 == part->last ? 0 : part->pixels < 4u * op->row->mr ? 128 : 64;
        for (size_t cut = 0; cut < packed->runs; cut += run->cut_runs) {
            t.a_rows = a_rows;
            t.out_rows = out_rows;
            t.acc = (int32_t *)(void *)(scratch + impl->acc_offset);
            t.acc_rows = impl->acc_rows;
            t.row_add = run->one_neg ? adds : NULL;
            t.row_sum = sums;
            EACH_PATCH(p, run, part)
            {
                o.bias = patch_bias(run, panel, &p, bias, scratch);
                patch_tiles(run, &t, &p, group, b, runs, cut);
            }
        }
        if (requantises(run)) {
            o.bias = bias;
            finish_sums(run, &o, (int32_t *)(void *)(scratch + impl->acc_offset), part->pixels,
                        place.columns, sums, o.out, out_rows);
        }
        if (g->nchw)
            scatter(run, part, buffer, place.column, place.columns);
    }
}

/* ---- gathered tiles -------------------------------------------------------------------------- */

static void gathered_tiles(const struct conv_run *run, const struct part *part, uint8_t *scratch)
{
    static const ptrdiff_t no_offset = 0;
    const struct qdot_op *op = run->op;
    const struct conv_op *impl = run->impl;
    const struct cpu_kernel *kernel = tiles_of(op->row);
    const struct qdot_packed *packed = &op->packed;
    const size_t nr = op->row->nr, mr = op->row->mr, kr = op->row->kr;
    int32_t *const sums = (int32_t *)(void *)(scratch + impl->sum_offset);
    uint8_t *const buffer = scratch + impl->out_offset;
    for (size_t panel = part->first; panel < part->last; panel++) {
        const struct place place = place_of(run, panel);
        const struct cpu_output o = output_of(run, part, panel, place.column, buffer);
        const uint8_t *b = qdot_panel(packed, panel);
        for (size_t top = 0; top < part->pixels; top += mr) {
            const size_t rows = min(part->pixels - top, mr);
            ptrdiff_t a_rows[CPU_MAX_MR], out_rows[CPU_MAX_MR];
            struct cpu_tile t = {
                .a = scratch,
                .a_rows = a_rows,
                .run_count = 1,
                .runs = &no_offset,
                .b_step = qdot_panel_columns(packed, nr, panel) * kr,
                .nr = nr,
                .out = o.out + top * o.ldo_bytes,
                .out_rows = out_rows,
                .output = &o,
                .columns = place.columns,
                .acc = (int32_t *)(void *)(scratch + impl->acc_offset),
                .row_sum = sums,
                .next_a = scratch,
            };
            memset(sums, 0, rows * sizeof(*sums));
            for (size_t group = 0; group < packed->k_groups; group += impl->gather_groups) {
                t.groups = min(packed->k_groups - group, impl->gather_groups);
                t.b = b + group * t.b_step;
                t.next = t.b;
                t.more = group > 0;
                t.last = group + t.groups == packed->k_groups && !requantises(run);
                for (size_t i = 0; i < rows; i++) {
                    a_rows[i] = (ptrdiff_t)(i * GATHER_BYTES);
                    out_rows[i] = (ptrdiff_t)(i * o.ldo_bytes);
                    cpu_gather(run, scratch + i * GATHER_BYTES, part, top + i, place.group, group,
                               group + t.groups, &sums[i]);
                }
                kernel->tile[rows - 1](&t);
            }
            if (requantises(run))
                finish_sums(run, &o, t.acc, rows, place.columns, sums, t.out, out_rows);
        }
        if (op->p.conv.nchw)
            scatter(run, part, buffer, place.column, place.columns);
    }
}

/* ---- depthwise ------------------------------------------------------------------------------- */

/* Pixels follow one another, so the list of a few will do for all. */
static void finish_depthwise(const struct conv_run *run, const struct part *part,
                             const struct cpu_output *o, size_t channels, uint8_t *scratch)
{
    enum { AT_ONCE = 64 };
    const size_t nr = run->op->row->nr;
    int32_t *const sum = (int32_t *)(void *)(scratch + run->impl->acc_offset);
    struct cpu_output done = *o;
    ptrdiff_t rows[AT_ONCE];
    done.b_neg = NULL;
    for (size_t i = 0; i < AT_ONCE; i++)
        rows[i] = (ptrdiff_t)(i * o->ldo_bytes);
    for (size_t i = 0; i < part->pixels; i += AT_ONCE)
        finish_sums(run, &done, sum + i * nr, min(part->pixels - i, AT_ONCE), channels, NULL,
                    o->out + i * o->ldo_bytes, rows);
}

static void depthwise(const struct conv_run *run, const struct part *part, uint8_t *scratch)
{
    const struct qdot_op *op = run->op;
    const struct conv_op *impl = run->impl;
    const struct qdot_geometry *g = &op->p.conv;
    const struct qdot_packed *packed = &op->packed;
    const struct cpu_depthwise_kernel *kernel = op->row->impl;
    const size_t nr = op->row->nr;
    uint8_t *const buffer = scratch + impl->out_offset;
    for (size_t panel = part->first; panel < part->last; panel++) {
        const size_t column = panel * nr, channels = min(g->o - column, nr);
        const struct cpu_output o = output_of(run, part, panel, column, buffer);
        struct cpu_output direct = o;
        if (requantises(run)) {
            direct.type = QDOT_S32;
            direct.rounding = QDOT_ROUND_RNE;
            direct.out = scratch + impl->acc_offset;
            direct.ldo_bytes = nr * sizeof(int32_t);
        }
        struct cpu_depthwise d = {
            .kh = g->kh,
            .kw = g->kw,
            .stride_h = g->stride_h,
            .stride_w = g->stride_w,
            .dilation_h = g->dilation_h,
            .dilation_w = g->dilation_w,
            .lines = part->lines,
            .columns = part->columns,
            .weights = (const uint8_t *)qdot_packed_panels(packed) + panel * packed->panel_bytes,
            .run_groups = packed->run_groups,
            .channels = channels,
            .output = &direct,
            .scratch = scratch + impl->kernel_offset,
            .fill = run->fill,
        };
        if (run->way == WAY_IN_PLACE) {
            const ptrdiff_t top = g->pad_top - (ptrdiff_t)(part->line * g->stride_h);
            const ptrdiff_t left = g->pad_left - (ptrdiff_t)(part->column * g->stride_w);
            const size_t y = top < 0 ? (size_t)-top : 0, x = left < 0 ? (size_t)-left : 0;
            d.input = run->a + ((part->image * g->h + y) * g->w + x) * run->lda + column;
            d.line_bytes = g->w * run->lda;
            d.point_bytes = run->lda;
            d.top = top < 0 ? 0 : (size_t)top;
            d.left = left < 0 ? 0 : (size_t)left;
            d.bottom = d.top + (g->h > y ? g->h - y : 0);
            d.right = d.left + (g->w > x ? g->w - x : 0);
            d.flip = run->flip;
        } else {
            cpu_fill_strip(run, scratch, part, column, channels);
            d.input = scratch;
            d.line_bytes = impl->line_bytes;
            d.point_bytes = impl->point_bytes;
            d.bottom = points_under(part->lines, g->stride_h, g->kh, g->dilation_h);
            d.right = points_under(part->columns, g->stride_w, g->kw, g->dilation_w);
        }
        kernel->run(&d);
        if (requantises(run))
            finish_depthwise(run, part, &o, channels, scratch);
        if (g->nchw)
            scatter(run, part, buffer, column, channels);
    }
}

/* ---- run ------------------------------------------------------------------------------------- */

/* An item's pixels, from its first one on. */
static void place_rows(ptrdiff_t *rows, const struct conv_op *impl, size_t step, size_t line_step)
{
    for (size_t y = 0; y < impl->lines; y++)
        for (size_t x = 0; x < impl->columns; x++)
            *rows++ = (ptrdiff_t)(y * line_step + x * step);
}

/* Where the runs of K begin, from the first byte under a pixel. */
static void place_runs(ptrdiff_t *runs, const struct qdot_geometry *g,
                       const struct qdot_packed *packed, size_t line_bytes, size_t point_bytes)
{
    const size_t taps = g->kh * g->kw / packed->runs; /* in a run */
    for (size_t r = 0; r < packed->runs; r++) {
        const size_t y = r * taps / g->kw * g->dilation_h, x = r * taps % g->kw * g->dilation_w;
        runs[r] = (ptrdiff_t)(y * line_bytes + x * point_bytes);
    }
}

static void run_one(void *arg, size_t thread, size_t item)
{
    const struct conv_run *run = arg;
    const struct conv_op *impl = run->impl;
    const struct qdot_geometry *g = &run->op->p.conv;
    uint8_t *scratch = impl->scratch + thread * impl->scratch_bytes;
    const size_t chunk = item % run->panel_chunks;
    item /= run->panel_chunks;
    const size_t column = item % run->column_blocks * impl->columns;
    item /= run->column_blocks;
    const size_t line = item % run->line_blocks * run->lines;
    struct part part = {
        .image = item / run->line_blocks,
        .line = line,
        .lines = min(g->oh - line, run->lines),
        .column = column,
        .columns = min(g->ow - column, impl->columns),
        .first = chunk * run->chunk_panels,
        .last = min(run->panels, (chunk + 1) * run->chunk_panels),
    };
    part.pixels = part.lines * part.columns;
    if (run->op->row->depthwise) {
        depthwise(run, &part, scratch);
    } else if (run->way == WAY_GATHER) {
        gathered_tiles(run, &part, scratch);
    } else if (run->way == WAY_STRIP) {
        cpu_fill_strip(run, scratch, &part, 0, g->c);
        tiles(run, &part, scratch, scratch);
    } else {
        const size_t y = line * g->stride_h, x = column * g->stride_w;
        tiles(run, &part, run->a + ((part.image * g->h + y) * g->w + x) * run->lda, scratch);
    }
}

void cpu_conv_run(struct qdot_op *op, const struct qdot_run *args)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const struct qdot_row *row = op->row;
    const struct qdot_packed *packed = &op->packed;
    struct conv_op *impl = op->impl;
    const enum qdot_type form = row->a_form ? row->a_form : p->a_type;
    if (op->workspace_at_run)
        impl->scratch = args->workspace;
    struct conv_run run = {
        .op = op,
        .impl = impl,
        .way = impl->gathers ? WAY_GATHER : WAY_STRIP,
        .a = cpu_input(&args->a),
        .lda = args->lda,
        .output = cpu_output_of(op),
        .panels = packed->n_pad / row->nr,
        .part_panels = packed->part_pad / row->nr,
        .sums = op->terms.any_b_neg,
        .flip = qdot_flip(p->a_type, row->a_form),
        .fill = (uint8_t)(p->a_zero + qdot_shift(p->a_type, row->a_form)),
        .is_signed = form == QDOT_S8,
    };
    cpu_output_at(&run.output, op, args);
    if (row->depthwise && impl->may_lie)
        run.way = WAY_IN_PLACE;
    /* A run that is a line of the kernel needs its pixels side by side. */
    const bool side_by_side = g->groups == 1 && args->lda == g->c;
    if (!row->depthwise && impl->may_lie && (packed->runs == g->kh * g->kw || side_by_side)) {
        run.way = WAY_IN_PLACE;
        if (impl->lda != args->lda) {
            place_runs(impl->runs + packed->runs, g, packed, g->w * args->lda, args->lda);
            place_rows(impl->lie_rows, impl, g->stride_w * args->lda,
                       g->stride_h * g->w * args->lda);
            impl->lda = args->lda;
        }
    }
    const size_t ldo = g->nchw ? row->nr * p->out_bytes : run.output.ldo_bytes;
    if (!row->depthwise && impl->ldo_bytes != ldo) {
        place_rows(impl->out_rows, impl, ldo, impl->columns * ldo);
        impl->ldo_bytes = ldo;
    }
    run.cut_runs = run.way == WAY_IN_PLACE && impl->gathers ? packed->runs : impl->cut_runs;
    run.trims = run.way == WAY_STRIP && impl->trims;
    run.one_neg = run.sums && op->terms.one_b_neg && run.way != WAY_GATHER && !row->depthwise;
    if (run.one_neg)
        run.output.b_neg = NULL; /* in row_add */
    const size_t images = args->m, pixels = images * g->oh * g->ow;
    const size_t threads =
        cpu_threads_for(impl->threads, pixels, p->n, p->k, row->depthwise ? DEPTHWISE_FACTOR : 1);
    /* Pieces of lines, and where there are not enough of them, of panels. */
    run.column_blocks = (g->ow + impl->columns - 1) / impl->columns;
    run.lines = cpu_piece(g->oh, impl->lines, images * run.column_blocks, threads);
    run.line_blocks = (g->oh + run.lines - 1) / run.lines;
    const size_t items = images * run.column_blocks * run.line_blocks;
    run.chunk_panels = items < 2 * threads || (items < 16 * threads && items % threads)
                           ? cpu_piece(run.panels, run.panels, items, threads)
                           : run.panels;
    run.panel_chunks = (run.panels + run.chunk_panels - 1) / run.chunk_panels;
    cpu_share(op, threads, items * run.panel_chunks, run_one, &run);
}

/* ---- prepare --------------------------------------------------------------------------------- */

/* Does a depthwise row read the input where it lies? */
static bool depthwise_lies(const struct qdot_geometry *g)
{
    return !g->nchw && g->og == 1 && g->insert_h == 1 && g->insert_w == 1;
}

/* Lays the scratch of one thread out for items of so many lines and columns; false when it would be
 * too large. A strip gets no more than strip_max. */
static bool lay_out(struct conv_op *impl, const struct qdot_row *row, const struct qdot_problem *p,
                    const struct qdot_packed *packed, size_t lines, size_t columns,
                    size_t strip_max)
{
    const struct qdot_geometry *g = &p->conv;
    const size_t pixels = lines * columns;
    const size_t points = points_under(columns, g->stride_w, g->kw, g->dilation_w);
    size_t at = row->mr * (GATHER_BYTES + 64);
    impl->lines = lines;
    impl->columns = columns;
    impl->point_bytes = (row->depthwise ? row->nr : g->c) * a_bytes(row);
    if (row->depthwise && depthwise_lies(g)) {
        at = 0;
    } else if (!impl->gathers) {
        const size_t strip_lines = points_under(lines, g->stride_h, g->kh, g->dilation_h);
        if (!qdot_mul_size(points, impl->point_bytes, &impl->line_bytes) ||
            !qdot_mul_size(impl->line_bytes, strip_lines, &at) || at > strip_max)
            return false;
        at += 64; /* behind the end tiles read a group and stages write 63 bytes */
    }
    impl->sum_offset = at = round_up(at, 64);
    at += (impl->gathers ? row->mr : pixels) * sizeof(int32_t);
    impl->add_offset = at;
    at += (impl->gathers ? row->mr : pixels) * sizeof(int32_t);
    impl->list_offset = at = round_up(at, 64);
    at += impl->gathers || row->depthwise ? 0 : 2 * pixels * sizeof(ptrdiff_t);
    impl->acc_offset = at = round_up(at, 64);
    if (impl->gathers || impl->cut_runs < packed->runs || impl->keeps_sums)
        at += (impl->gathers ? row->mr : pixels) * row->nr * sizeof(int32_t);
    if (row->depthwise && lines > 1 && at - impl->acc_offset > strip_max)
        return false;
    impl->out_offset = at = round_up(at, 64);
    if (g->nchw)
        at += pixels * row->nr * p->out_bytes;
    impl->bias_offset = at = round_up(at, 64);
    at += row->nr * sizeof(int32_t);
    impl->kernel_offset = at = round_up(at, 64);
    if (row->depthwise) {
        const struct cpu_depthwise_kernel *kernel = row->impl;
        const size_t bytes = kernel->scratch_bytes(g->kh, g->kw, columns);
        at += min(bytes, SCRATCH_MAX);
    }
    impl->scratch_bytes = round_up(at, 64);
    return impl->scratch_bytes <= SCRATCH_MAX;
}

/* The largest items of which a strip stays in a quarter of L2 and that are not more than wanted;
 * else, smaller ones whose strip fits at all; else there will be no strip. */
static void choose_items(struct conv_op *impl, const struct qdot_row *row,
                         const struct qdot_problem *p, const struct qdot_packed *packed, size_t l2)
{
    const struct qdot_geometry *g = &p->conv;
    const size_t run_bytes = packed->run_groups * row->kr * row->nr;
    const size_t blocks = (g->ow + LINE_PIXELS - 1) / LINE_PIXELS;
    size_t columns = (g->ow + blocks - 1) / blocks;
    size_t lines = row->depthwise ? g->oh : (BLOCK_PIXELS + columns - 1) / columns;
    impl->gathers = false;
    impl->cut_runs = l2 / 2 / run_bytes;
    impl->cut_runs = row->depthwise        ? packed->runs
                     : impl->cut_runs == 0 ? 1
                                           : min(impl->cut_runs, packed->runs);
    lines = columns < g->ow ? 1 : min(lines, g->oh);
    while (lines > 1 && !lay_out(impl, row, p, packed, lines, columns, l2 / 4))
        lines = (lines + 1) / 2;
    while (columns > 1 && !lay_out(impl, row, p, packed, lines, columns, SCRATCH_MAX))
        columns = (columns + 1) / 2;
    if (!lay_out(impl, row, p, packed, lines, columns, SCRATCH_MAX)) {
        impl->gathers = true;
        impl->gather_groups = GATHER_BYTES / (row->kr * a_bytes(row));
        columns = min(g->ow, BLOCK_PIXELS);
        lay_out(impl, row, p, packed, 1, columns, 0);
    }
}

bool cpu_conv_fits(const struct qdot_row *row, const struct qdot_problem *p, size_t l2,
                   char *reason, size_t reason_bytes)
{
    struct qdot_packed packed;
    struct conv_op impl = {.keeps_sums = p->rounding != QDOT_ROUND_RNE};
    if (!row->depthwise || p->conv.cg != 1 || !qdot_packed_layout(row, p, &packed))
        return true;
    choose_items(&impl, row, p, &packed, l2);
    if (impl.gathers)
        snprintf(reason, reason_bytes,
                 "a kernel of %zu x %zu, dilated by %zu, %zu, takes more than "
                 "%zu bytes of scratch",
                 p->conv.kh, p->conv.kw, p->conv.dilation_h, p->conv.dilation_w, SCRATCH_MAX);
    return !impl.gathers;
}

static bool keeps_sums(const struct qdot_op *op)
{
    const struct cpu_depthwise_kernel *depthwise = op->row->impl;
    if (op->p.rounding == QDOT_ROUND_RNE || !requantise_of(op->row))
        return false;
    return !op->row->depthwise || !depthwise->rounds ||
           (qdot_is_fixed(&op->p) && !op->terms.shifts_right);
}

void cpu_conv_unprepare(struct qdot_op *op)
{
    struct conv_op *impl = op->impl;
    if (!op->workspace_at_run)
        qdot_release(op->device, impl->scratch);
    qdot_release(op->device, impl->runs);
    qdot_release(op->device, impl->tap_sums);
}

int cpu_conv_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const struct qdot_packed *packed = &op->packed;
    const struct cpu_device *device = op->device->impl;
    struct conv_op *impl = qdot_alloc(op->device, sizeof(*impl));
    op->impl = impl;
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    impl->threads = op->device->threads.threads;
    impl->keeps_sums = keeps_sums(op);
    choose_items(impl, op->row, p, packed, device->l2_bytes);
    const bool padded = g->pad_top || g->pad_left ||
                        points_under(g->oh, g->stride_h, g->kh, g->dilation_h) > g->h ||
                        points_under(g->ow, g->stride_w, g->kw, g->dilation_w) > g->w;
    /* A run that ends within a group would be read beyond the input's end. */
    impl->may_lie = !op->row->depthwise && a_bytes(op->row) == 1 && !g->nchw && !padded &&
                    g->insert_h == 1 && g->insert_w == 1 &&
                    (qdot_flip(p->a_type, op->row->a_form) == 0 || tiles_of(op->row)->flips) &&
                    packed->run % op->row->kr == 0;
    if (op->row->depthwise)
        impl->may_lie = depthwise_lies(g);
    impl->trims = padded && !op->row->depthwise && !impl->gathers && g->insert_h == 1 &&
                  g->insert_w == 1 && g->pad_top >= 0 && g->pad_left >= 0 &&
                  impl->cut_runs == packed->runs;
    /* The sums of runs, and of single taps, must not take more than the panels do. */
    impl->trims = impl->trims && packed->run_groups * op->row->kr >= sizeof(int32_t);
    impl->splits =
        impl->trims && packed->runs == g->kh && g->kw > 1 && g->cg >= 4 && g->cg % op->row->kr == 0;
    impl->line_pieces = impl->splits ? g->kw : packed->runs / g->kh;
    size_t bytes = 0;
    const bool small = qdot_mul_size(impl->scratch_bytes, impl->threads, &bytes);
    if (small && !op->workspace_at_run)
        impl->scratch = qdot_alloc_raw(op->device, bytes);
    op->run_bytes = bytes;
    /* Not more of a list than a strip had pixels: the sizes cannot overflow. */
    const size_t pixels = op->row->depthwise ? 0 : impl->lines * impl->columns;
    const size_t listed = 2 * packed->runs + 4 * pixels;
    op->workspace_bytes = bytes + listed * sizeof(*impl->runs);
    impl->runs = qdot_alloc(op->device, listed * sizeof(*impl->runs));
    const bool sums = impl->trims && p->a_zero + qdot_shift(p->a_type, op->row->a_form) != 0;
    const size_t sums_bytes = g->kh * impl->line_pieces * packed->n_pad * sizeof(int32_t);
    if (sums) {
        impl->tap_sums = qdot_alloc(op->device, sums_bytes);
        op->workspace_bytes += sums_bytes;
    }
    if (!small || (!impl->scratch && !op->workspace_at_run) || !impl->runs ||
        (sums && !impl->tap_sums))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a workspace of %zu bytes",
                         op->workspace_bytes);
    impl->strip_rows = impl->runs + 2 * packed->runs;
    impl->lie_rows = impl->strip_rows + pixels;
    impl->out_rows = impl->lie_rows + pixels;
    impl->acc_rows = impl->out_rows + pixels;
    for (size_t i = 0; i < pixels; i++)
        impl->acc_rows[i] = (ptrdiff_t)(i * op->row->nr * sizeof(int32_t));
    if (!impl->gathers)
        place_runs(impl->runs, g, packed, impl->line_bytes, impl->point_bytes);
    if (!impl->gathers && pixels)
        place_rows(impl->strip_rows, impl, g->stride_w * impl->point_bytes,
                   g->stride_h * impl->line_bytes);
    if (sums)
        qdot_sum_pieces(op->row, packed, qdot_packed_panels(packed), g->kh * impl->line_pieces,
                        impl->tap_sums);
    return QDOT_OK;
}
