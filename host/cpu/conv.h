/* What the two files of convolution share: conv.c has the items, strip.c their input. */
#ifndef QDOT_CPU_CONV_H
#define QDOT_CPU_CONV_H

#include "cpu.h"

enum way { WAY_IN_PLACE, WAY_STRIP, WAY_GATHER };

struct conv_op {
    size_t threads;
    bool may_lie;       /* in place is possible, run's pixel distance permitting */
    bool gathers;       /* no strip fits */
    bool trims;         /* taps outside the input are left out */
    bool keeps_sums;    /* tiles leave theirs to what comes after them */
    bool splits;        /* within runs, each being a line of taps, as well */
    size_t line_pieces; /* of a line of taps, that tap_sums has sums of */
    size_t lines;       /* of output in an item, at most */
    size_t columns;     /* likewise; less than all only where lines is 1 */
    size_t line_bytes;  /* of the strip */
    size_t point_bytes; /* of the strip: of one point's channels, all or those of a block */
    size_t cut_runs;    /* of K in one pass over the tiles; all but for huge panels */
    size_t gather_groups;
    size_t sum_offset, add_offset, list_offset, acc_offset, out_offset, bias_offset, kernel_offset,
        scratch_bytes;
    uint8_t *scratch;
    int32_t *tap_sums; /* qdot_sum_pieces; NULL when no taps are left out, or the zero point is 0 */
    ptrdiff_t *runs;   /* 2 x packed.runs: where runs begin, in the strip and in place */
    /* Where an item's pixels begin: in the strip, in place, in the output, among the sums of a cut.
     * Not of depthwise ones. */
    ptrdiff_t *strip_rows, *lie_rows, *out_rows, *acc_rows;
    size_t lda, ldo_bytes; /* that lie_rows and out_rows are for; 0: none yet */
};

struct conv_run {
    const struct qdot_op *op;
    const struct conv_op *impl;
    enum way way;
    const uint8_t *a;
    size_t lda;
    struct cpu_output output;
    size_t line_blocks, column_blocks; /* of an image's output */
    size_t lines;                      /* of an item, at most */
    size_t cut_runs;
    size_t panels, part_panels, panel_chunks; /* all, of one group, and pieces of all */
    size_t chunk_panels;                      /* of a piece, at most */
    bool sums;                                /* of A's rows are wanted, */
    bool one_neg;                             /* and are multiplied with the same for all columns */
    uint8_t flip, fill;                       /* of a byte of A; the zero point in the row's form */
    bool is_signed;                           /* that form */
    bool trims;                               /* taps outside the input are left out */
};

/* What of the output one item computes. */
struct part {
    size_t image, line, lines, column, columns;
    size_t pixels;
    size_t first, last; /* panels */
};

/* The points of the input that 'count' neighbouring outputs see along one axis. */
static inline size_t points_under(size_t count, size_t stride, size_t kernel, size_t dilation)
{
    return (count - 1) * stride + (kernel - 1) * dilation + 1;
}

static inline size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows of a convolution have a cpu_kernel, depthwise ones a cpu_depthwise_kernel. */
static inline const struct cpu_kernel *tiles_of(const struct qdot_row *row)
{
    return row->depthwise ? NULL : row->impl;
}

static inline size_t a_bytes(const struct qdot_row *row)
{
    return row->depthwise ? 1 : tiles_of(row)->a_bytes;
}

static inline cpu_requantise_fn *requantise_of(const struct qdot_row *row)
{
    const struct cpu_depthwise_kernel *depthwise = row->impl;
    return row->depthwise ? depthwise->requantise : tiles_of(row)->requantise;
}

/* The strip under one item, 'channels' of it from 'first' on. */
void cpu_fill_strip(const struct conv_run *run, uint8_t *strip, const struct part *part,
                    size_t first, size_t channels);
/* Sum of the elements under all taps, in the row's form, for one pixel of a strip, or of the input
 * with what is still to be flipped. */
int32_t cpu_sum_runs(const struct conv_run *run, const uint8_t *a, const ptrdiff_t *runs,
                     uint8_t flip);
/* Groups [from, to) of K under one pixel of the item, for one group of the convolution. */
void cpu_gather(const struct conv_run *run, uint8_t *staged, const struct part *part, size_t pixel,
                size_t conv_group, size_t from, size_t to, int32_t *sum);

#endif
