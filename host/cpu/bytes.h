/* Ops on bytes, maps and pools: what map.c, pool.c and average.c want of the lines of each instruction set. */
#ifndef QDOT_CPU_BYTES_H
#define QDOT_CPU_BYTES_H

#include "cpu.h"

/* Bytes that lie side by side, and so under each tap: to[j] = the largest of (from[...][j] ^ flip), then
 * ^ flip_back. */
struct cpu_taps {
    const uint8_t *from; /* the first tap */
    size_t rows, columns;
    size_t row_step, column_step; /* bytes between taps */
    uint8_t *to;
    size_t count;
    uint8_t flip, flip_back;
};

struct cpu_pool_kernel {
    void (*largest)(const struct cpu_taps *t);
};

extern const struct cpu_pool_kernel cpu_pool;
#if defined(__x86_64__)
extern const struct cpu_pool_kernel cpu_pool_avx2, cpu_pool_avx512;
#endif

/* ---- averages -------------------------------------------------------------------------------- */

/* out = sum / taps / out_scale + zero_first, between lo and hi, to the nearest integer, + zero_behind.
 * Without scales sum has half of taps more, away from 0, and is truncated. */
struct cpu_average {
    bool scaled;
    uint8_t flip; /* what is 0 to the lines is a_zero of the bytes with that */
    float a_scale, a_zero, out_scale;
    float zero_first, lo, hi;
    int32_t zero_behind;
};

/* sums[j] = 0, or itself where 'more', + from[row * row_step + taps[i] + j] of each row and in it of each
 * tap. Of both arrays up to 15 more may be read, of sums written. */
struct cpu_average_sums {
    const float *from;
    size_t rows, row_step;
    const size_t *taps;
    size_t columns; /* taps of a row */
    float *sums;
    size_t count;
    bool more;
};

struct cpu_average_kernel {
    /* to[j] of the elements from[...][j]; 'flip' of t is not looked at. */
    void (*pixel)(const struct cpu_average *v, const struct cpu_taps *t, float taps);
    /* The same in three steps: what elements are in a sum; sums; outputs, sums[j] over taps[j]. */
    void (*terms)(const struct cpu_average *v, const uint8_t *from, size_t count, float *terms);
    void (*add)(const struct cpu_average_sums *s);
    void (*finish)(const struct cpu_average *v, const float *sums, const float *taps, size_t count,
                   uint8_t *to);
};

extern const struct cpu_average_kernel cpu_average;
#if defined(__x86_64__)
extern const struct cpu_average_kernel cpu_average_avx2, cpu_average_avx512;
#endif

/* ---- what pools share ------------------------------------------------------------------------ */

/* Taps of a window along one axis that are in the input: the first pixel, and how many. */
struct cpu_span {
    size_t first, taps;
};

static inline struct cpu_span cpu_span_of(size_t output, size_t size, size_t kernel, size_t stride,
                                          size_t dilation, ptrdiff_t pad)
{
    const ptrdiff_t begin = (ptrdiff_t)(output * stride) - pad;
    const size_t before =
        begin < 0 ? ((size_t)-begin + dilation - 1) / dilation : 0; /* taps in the padding */
    const size_t first = (size_t)(begin + (ptrdiff_t)(before * dilation));
    const size_t inside = (size - 1 - first) / dilation + 1; /* were the kernel that long */
    return (struct cpu_span){first, kernel - before < inside ? kernel - before : inside};
}

/* Pixels of the input under so many neighbouring windows. */
static inline size_t cpu_windows_width(const struct qdot_geometry *g, size_t windows)
{
    return (windows - 1) * g->stride_w + (g->kw - 1) * g->dilation_w + 1;
}

/* ---- maps ------------------------------------------------------------------------------------ */

struct cpu_map_kernel {
    /* to[i] = table[from[i]], of 256 entries. */
    void (*look_up)(const uint8_t *table, const uint8_t *from, uint8_t *to, size_t count);
    /* to[i * count + j] = from[j * from_step + i] of i < lines, j < count, which is 2, 3 or 4: planes
     * become pixels. NULL: none. */
    void (*weave)(const uint8_t *from, size_t from_step, uint8_t *to, size_t lines, size_t count);
};

extern const struct cpu_map_kernel cpu_map;
#if defined(__x86_64__)
extern const struct cpu_map_kernel cpu_map_avx512vbmi;
#endif

/* to[i * to_step] = table[from[i * from_step]]; without a table a copy. */
struct cpu_bytes {
    const uint8_t *from;
    uint8_t *to;
    size_t from_step, to_step, count;
    const uint8_t *table;
};
void cpu_map_bytes(const struct cpu_bytes *b, const struct cpu_map_kernel *kernel);

int cpu_map_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_map_run(struct qdot_op *op, const struct qdot_run *args);
int cpu_pool_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_pool_run(struct qdot_op *op, const struct qdot_run *args);
int cpu_average_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_average_run(struct qdot_op *op, const struct qdot_run *args);

#endif
