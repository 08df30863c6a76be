/* What the files of the CPU backend share. */
#ifndef QDOT_CPU_H
#define QDOT_CPU_H

#include "../internal.h"

enum {
    CPU_AVX2 = 1u << 0,
    CPU_AVXVNNI = 1u << 1,
    CPU_AVX512VNNI = 1u << 2, /* the bundle F, BW, VL, DQ, VNNI, and an OS that saves zmm */
};

uint32_t cpu_features(void);

#define CPU_MAX_MR 6
#define CPU_MAX_NR 64

/*
 * A micro-kernel: acc[i][j] (+)= sum over 'groups' groups of kr of a[i] * b[j], for the tile's rows
 * and nr columns, mod 2^32. a is one staged panel, b one packed panel, acc is [rows][nr]. With
 * 'more' the sums are added to what acc holds, else they replace it. Rows are fixed by the
 * function.
 */
typedef void cpu_tile_fn(size_t groups, const void *a, const void *b, int32_t *acc, bool more);

/*
 * Staging: 'rows' rows of A, columns [k0, k0 + groups * kr) of k, into a panel of
 *   [group][row][kr] elements
 * with A's bytes flipped by XOR, zero past k, and the row sums of the staged values added to
 * row_sum (unless NULL).
 */
typedef void cpu_stage_fn(void *panel, const uint8_t *a, size_t lda, size_t rows, size_t k0,
                          size_t groups, size_t k, uint8_t flip, bool is_signed, int32_t *row_sum);

/* The output stage of one run: what acc needs to become the output. */
struct cpu_output {
    enum qdot_type type;
    size_t nr;
    const int32_t *bias;    /* bias' by column */
    const int32_t *b_neg;   /* NULL when all are 0 */
    const int32_t *col_sum; /* NULL unless a_zero is per row */
    const int32_t *a_zero;  /* by row; NULL likewise */
    uint32_t k;
    const float *scale, *bias_f;
    const float *row_scale; /* NULL: 1 */
    float lo, hi;           /* clamp, before the zero point is added */
    int32_t zero;
    uint8_t *out;
    size_t ldo_bytes;
};

/* Finishes a tile: rows x columns of acc [rows][nr], whose first element is output (row, column).
 * row_sum has the tile's rows. */
typedef void cpu_output_fn(const struct cpu_output *o, const int32_t *acc, size_t rows,
                           size_t columns, size_t row, size_t column, const int32_t *row_sum);

struct cpu_kernel {
    cpu_tile_fn *tile[CPU_MAX_MR]; /* tile[i] does i + 1 rows */
    cpu_stage_fn *stage;
    size_t a_bytes; /* of one staged element */
    cpu_output_fn *output;
};

extern cpu_stage_fn cpu_stage_bytes;  /* kr = 4, one byte an element */
extern cpu_stage_fn cpu_stage_shorts; /* kr = 2, two bytes an element, sign or zero extended */

extern cpu_output_fn cpu_output_base;
extern const struct cpu_kernel cpu_kernel_4x16;
#if defined(__x86_64__)
extern cpu_output_fn cpu_output_avx2;
extern cpu_output_fn cpu_output_avx512;
extern const struct cpu_kernel cpu_kernel_6x16_avx2;
extern const struct cpu_kernel cpu_kernel_6x16_avxvnni;
extern const struct cpu_kernel cpu_kernel_6x64_avx512vnni;
#endif

#endif
