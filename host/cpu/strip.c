/* The input of a convolution on the CPU: strips, and what is gathered where there is none. */
#include <string.h>
#include "conv.h"

/* ---- the points under the taps --------------------------------------------------------------- */

/* Is this point an input pixel? Sets *pixel. Along one axis. */
static bool point_inside(ptrdiff_t point, size_t insert, size_t size, size_t *pixel)
{
    if (point < 0 || (size_t)point % insert)
        return false;
    *pixel = (size_t)point / insert;
    return *pixel < size;
}

/* 'count' points of a line of the strip hold padding. */
static void fill_points(const struct conv_run *run, uint8_t *to, size_t count)
{
    const size_t elements = count * run->impl->point_bytes / a_bytes(run->op->row);
    if (a_bytes(run->op->row) == 1) {
        memset(to, run->fill, elements);
    } else {
        const int16_t value = run->is_signed ? (int8_t)run->fill : run->fill;
        for (size_t i = 0; i < elements; i++)
            memcpy(to + 2 * i, &value, 2);
    }
}

static void put_element(const struct conv_run *run, uint8_t *to, uint8_t byte)
{
    byte ^= run->flip;
    if (a_bytes(run->op->row) == 1) {
        *to = byte;
    } else {
        const int16_t value = run->is_signed ? (int8_t)byte : byte;
        memcpy(to, &value, 2);
    }
}

/* Pixels [x, x + count) of an input line, 'channels' from channel 'first' on, to points that are
 * 'step' apart. It may write up to 63 bytes behind each. */
static void copy_pixels(const struct conv_run *run, uint8_t *to, size_t image, size_t y, size_t x,
                        size_t count, size_t first, size_t channels, size_t step)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const struct qdot_row *row = run->op->row;
    const size_t bytes = a_bytes(row), multiplier = row->depthwise ? g->og : 1;
    if (g->nchw && bytes == 1 && multiplier == 1) {
        const uint8_t *from = run->a + ((image * g->c + first) * g->h + y) * g->w + x;
        cpu_transpose(from, g->h * g->w, channels, count, to, step, run->flip);
        return;
    }
    if (g->nchw) {
        for (size_t c = 0; c < channels; c++) {
            const uint8_t *from =
                run->a + ((image * g->c + (first + c) / multiplier) * g->h + y) * g->w + x;
            for (size_t i = 0; i < count; i++)
                put_element(run, to + i * step + c * bytes, from[i]);
        }
        return;
    }
    const uint8_t *from = run->a + ((image * g->h + y) * g->w + x) * run->lda;
    if (multiplier > 1) {
        for (size_t i = 0; i < count; i++)
            for (size_t c = 0; c < channels; c++)
                put_element(run, to + i * step + c, from[i * run->lda + (first + c) / multiplier]);
        return;
    }
    const bool together = channels == run->lda && step == channels * bytes;
    const struct cpu_stage s = {
        .staged = to,
        .stride = step,
        .a = from + first,
        .lda = run->lda,
        .rows = together ? 1 : count,
        .count = together ? count * channels : channels,
        .padded = together ? count * channels : channels,
        .flip = run->flip,
        .is_signed = run->is_signed,
    };
    if (row->depthwise)
        cpu_stage_bytes(&s);
    else
        tiles_of(row)->stage(&s);
}

/* The strip under one item: points from left to right, so that what copy_pixels writes too much is
 * overwritten. */
void cpu_fill_strip(const struct conv_run *run, uint8_t *strip, const struct part *part,
                    size_t first, size_t channels)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const struct conv_op *impl = run->impl;
    const size_t lines = points_under(part->lines, g->stride_h, g->kh, g->dilation_h);
    const size_t points = points_under(part->columns, g->stride_w, g->kw, g->dilation_w);
    const size_t step = impl->point_bytes;
    const ptrdiff_t top = (ptrdiff_t)(part->line * g->stride_h) - g->pad_top;
    const ptrdiff_t left = (ptrdiff_t)(part->column * g->stride_w) - g->pad_left;
    /* The first pixel that a point falls on, and that point. */
    const size_t x0 = left < 0 ? 0 : ((size_t)left + g->insert_w - 1) / g->insert_w;
    const size_t before = min((size_t)((ptrdiff_t)(x0 * g->insert_w) - left), points);
    for (size_t i = 0; i < lines; i++) {
        uint8_t *to = strip + i * impl->line_bytes;
        size_t y, x = x0, done = before;
        if (!point_inside(top + (ptrdiff_t)i, g->insert_h, g->h, &y)) {
            fill_points(run, to, points);
            continue;
        }
        fill_points(run, to, before);
        if (g->insert_w == 1) {
            const size_t count = x < g->w ? min(g->w - x, points - done) : 0;
            if (count)
                copy_pixels(run, to + done * step, part->image, y, x, count, first, channels, step);
            done += count;
        }
        for (; g->insert_w > 1 && x < g->w && done < points; x++) {
            const size_t gap = min(g->insert_w - 1, points - done - 1);
            copy_pixels(run, to + done * step, part->image, y, x, 1, first, channels, step);
            fill_points(run, to + (done + 1) * step, gap);
            done += 1 + gap;
        }
        fill_points(run, to + done * step, points - done);
    }
}

int32_t cpu_sum_runs(const struct conv_run *run, const uint8_t *a, const ptrdiff_t *runs,
                     uint8_t flip)
{
    const struct qdot_packed *packed = &run->op->packed;
    const uint8_t sign = run->is_signed ? 0x80 : 0; /* signed bytes as unsigned ones 128 higher */
    uint32_t sum = 0;
    for (size_t r = 0; r < packed->runs; r++) {
        const uint8_t *from = a + runs[r];
        if (a_bytes(run->op->row) == 1) {
            uint32_t of_run;
            tiles_of(run->op->row)->sum(from, 0, 1, packed->run, flip ^ sign, &of_run);
            sum += of_run - (uint32_t)sign * (uint32_t)packed->run;
        } else {
            for (size_t i = 0; i < packed->run; i++) {
                int16_t value;
                memcpy(&value, from + 2 * i, 2);
                sum += (uint32_t)value;
            }
        }
    }
    return (int32_t)sum;
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* Elements [from, to) of run r under one output pixel, staged. */
static void gather_run(const struct conv_run *run, uint8_t *staged, size_t image, size_t y,
                       size_t x, size_t group, size_t r, size_t from, size_t to, int32_t *sum)
{
    const struct qdot_geometry *g = &run->op->p.conv;
    const struct qdot_packed *packed = &run->op->packed;
    const size_t bytes = a_bytes(run->op->row), taps = packed->run / g->cg; /* in a run: kw or 1 */
    while (from < to) {
        const size_t tap = r * taps + from / g->cg, c = from % g->cg;
        const size_t count = min(to - from, g->cg - c);
        size_t iy, ix;
        const bool inside =
            point_inside((ptrdiff_t)(y * g->stride_h + tap / g->kw * g->dilation_h) - g->pad_top,
                         g->insert_h, g->h, &iy) &&
            point_inside((ptrdiff_t)(x * g->stride_w + tap % g->kw * g->dilation_w) - g->pad_left,
                         g->insert_w, g->w, &ix);
        for (size_t i = 0; i < count; i++, staged += bytes) {
            const size_t channel = group * g->cg + c + i;
            uint8_t byte = run->fill ^ run->flip;
            if (inside)
                byte = g->nchw ? run->a[((image * g->c + channel) * g->h + iy) * g->w + ix]
                               : run->a[((image * g->h + iy) * g->w + ix) * run->lda + channel];
            put_element(run, staged, byte);
            byte ^= run->flip;
            *sum = (int32_t)((uint32_t)*sum +
                             (uint32_t)(run->is_signed ? (int8_t)byte : (int32_t)byte));
        }
        from += count;
    }
}

void cpu_gather(const struct conv_run *run, uint8_t *staged, const struct part *part, size_t pixel,
                size_t conv_group, size_t from, size_t to, int32_t *sum)
{
    const struct qdot_packed *packed = &run->op->packed;
    const size_t kr = run->op->row->kr, bytes = a_bytes(run->op->row);
    const size_t y = part->line + pixel / part->columns;
    const size_t x = part->column + pixel % part->columns;
    while (from < to) {
        const size_t r = from / packed->run_groups, group = from % packed->run_groups;
        const size_t count = min(to - from, packed->run_groups - group);
        const size_t begin = group * kr, end = min(begin + count * kr, packed->run);
        gather_run(run, staged, part->image, y, x, conv_group, r, begin, end, sum);
        memset(staged + (end - begin) * bytes, 0, (begin + count * kr - end) * bytes);
        staged += count * kr * bytes;
        from += count;
    }
}
