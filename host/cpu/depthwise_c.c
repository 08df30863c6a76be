/*
 * Depthwise convolution tap by tap: the way through the outputs, and the sums in plain C.
 *
 * Where all of a window is input, its taps are at fixed distances from those of its left neighbour:
 * such outputs are handed on together. Elsewhere each output's taps are looked up, and padding is 16
 * bytes of its own. Blocks of less than 16 channels have their taps copied, as no byte behind them
 * may be read.
 */
#include <string.h>
#include "depthwise_taps.h"

#define NR CPU_TAPS_NR
#define KERNEL_MAX 4096 /* larger ones have no room anyway */

/* ---- the way --------------------------------------------------------------------------------- */

size_t cpu_depthwise_taps_bytes(size_t kh, size_t kw)
{
    if (kh > KERNEL_MAX || kw > KERNEL_MAX)
        return SIZE_MAX;
    return ((kh * kw + 1) * (sizeof(uint8_t *) + NR) + NR + 63) / 64 * 64;
}

/* Scratch: padding, copies of taps, and where taps are. */
struct taps {
    uint8_t *padding, (*copies)[NR];
    const uint8_t **list;
};

static void find_taps(const struct cpu_depthwise *d, const struct taps *taps, size_t y, size_t x)
{
    const size_t height = d->bottom - d->top, width = d->right - d->left;
    const uint8_t **tap = taps->list;
    for (size_t i = 0; i < d->kh; i++) {
        /* Of input lines and points; those before the first are huge. */
        const size_t line = y * d->stride_h + i * d->dilation_h - d->top;
        size_t point = x * d->stride_w - d->left;
        const size_t end = line < height ? width : 0;
        const ptrdiff_t start = (ptrdiff_t)line * (ptrdiff_t)d->line_bytes;
        for (size_t j = 0; j < d->kw; j++, point += d->dilation_w) {
            const ptrdiff_t at = start + (ptrdiff_t)point * (ptrdiff_t)d->point_bytes;
            *tap++ = point < end ? d->input + at : taps->padding;
        }
    }
    for (size_t t = 0; d->channels < NR && t < d->kh * d->kw; t++) {
        memcpy(taps->copies[t], taps->list[t], d->channels);
        taps->list[t] = taps->copies[t];
    }
}

/* So many outputs from (y, x) on have all of their windows inside the input. */
static size_t outputs_inside(const struct cpu_depthwise *d, size_t y, size_t x)
{
    const size_t top = y * d->stride_h, bottom = top + (d->kh - 1) * d->dilation_h;
    const size_t left = x * d->stride_w, right = left + (d->kw - 1) * d->dilation_w;
    if (top < d->top || bottom >= d->bottom || left < d->left || right >= d->right)
        return 0;
    const size_t count = (d->right - 1 - right) / d->stride_w + 1;
    return count < d->columns - x ? count : d->columns - x;
}

void cpu_depthwise_by_taps(const struct cpu_depthwise *d, cpu_windows_fn *windows)
{
    const size_t count = d->kh * d->kw;
    struct taps taps = {.list = d->scratch};
    taps.padding = (uint8_t *)(taps.list + count + 1);
    taps.copies = (uint8_t(*)[NR])(taps.padding + NR);
    memset(taps.padding, d->fill ^ d->flip, NR);
    if (d->channels < NR)
        memset(taps.copies, 0, count * NR);
    for (size_t y = 0; y < d->lines; y++) {
        for (size_t x = 0; x < d->columns;) {
            const size_t inside = d->channels == NR ? outputs_inside(d, y, x) : 0;
            const struct cpu_windows w = {
                .d = d,
                .taps = taps.list,
                .step = d->stride_w * d->point_bytes,
                .count = inside ? inside : 1,
                .pixel = y * d->columns + x,
            };
            find_taps(d, &taps, y, x);
            taps.list[count] = taps.list[count - 1];
            windows(&w);
            x += w.count;
        }
    }
}

void cpu_depthwise_add_b_neg(const struct cpu_windows *w, size_t q, uint32_t *sum)
{
    uint32_t window[NR] = {0};
    for (size_t t = 0; t < w->d->kh * w->d->kw; t++)
        for (size_t j = 0; j < NR; j++)
            window[j] += w->taps[t][q * w->step + j] ^ w->d->flip;
    for (size_t j = 0; j < NR; j++)
        sum[j] += window[j] * (uint32_t)w->d->output->b_neg[j];
}

/* ---- plain C --------------------------------------------------------------------------------- */

/* A product of a byte and a weight fits into 16 bits: it is at most 255 * 128. */
static void windows_c(const struct cpu_windows *w)
{
    const struct cpu_depthwise *d = w->d;
    const size_t count = d->kh * d->kw;
    const uint8_t flip = d->flip;
    struct cpu_output output = *d->output;
    struct cpu_tile t = {.output = &output, .columns = d->channels, .out_rows = &cpu_one_row};
    output.b_neg = NULL; /* done here */
    for (size_t q = 0; q < w->count; q++) {
        const int8_t *weights = (const int8_t *)d->weights;
        uint32_t sum[NR] = {0}, done[NR];
        for (size_t i = 0; i < count; i++, weights += NR) {
            const uint8_t *a = w->taps[i] + q * w->step;
            int16_t product[NR];
            for (size_t j = 0; j < NR; j++)
                product[j] = (int16_t)((a[j] ^ flip) * weights[j]);
            for (size_t j = 0; j < NR; j++)
                sum[j] += (uint32_t)product[j];
        }
        /* A copy that may have its address taken; the sums themselves stay in registers. */
        memcpy(done, sum, sizeof(done));
        if (d->output->b_neg)
            cpu_depthwise_add_b_neg(w, q, done);
        t.out = cpu_depthwise_out(w, q);
        cpu_finish_row(&t, 0, done, NR);
    }
}

static void run_c(const struct cpu_depthwise *d)
{
    cpu_depthwise_by_taps(d, windows_c);
}

static size_t scratch_bytes(size_t kh, size_t kw, size_t columns)
{
    (void)columns;
    return cpu_depthwise_taps_bytes(kh, kw);
}

const struct cpu_depthwise_kernel cpu_depthwise_1x16 = {
    .run = run_c,
    .requantise = cpu_requantise,
    .scratch_bytes = scratch_bytes,
};
