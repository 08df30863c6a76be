/* Ops on bytes, maps and max pools: what map.c and pool.c want of the lines of each instruction set. */
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

#endif
