/* What the files of the CPU backend share. */
#ifndef QDOT_CPU_H
#define QDOT_CPU_H

#include "../internal.h"

enum {
    CPU_AVX2 = 1u << 0,
    CPU_AVXVNNI = 1u << 1,
    CPU_AVX512VNNI = 1u << 2, /* the bundle F, BW, VL, DQ, VNNI, and an OS that saves zmm */
    CPU_AVX512VBMI = 1u << 3, /* that bundle and VBMI */
};

uint32_t cpu_features(void);
/* What the processor calls itself; empty where it does not say. */
#define CPU_NAME_BYTES 64
void cpu_name(char name[CPU_NAME_BYTES]);

struct cpu_device {
    size_t l2_bytes;
};

/* Unrolls the loop that follows, so that an array indexed by its counter lives in registers. */
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define UNROLL(count) PRAGMA(clang loop unroll(full))
#else
#define UNROLL(count) PRAGMA(GCC unroll count)
#endif

/* Makes the compiler forget where a register's value came from. Sums that all begin as the same
 * zero otherwise share its register, and gcc copies each of them once a loop. */
#define OWN_REGISTER(x) __asm__("" : "+v"(x))

#define CPU_MAX_MR 12
#define CPU_TALL_MR 12 /* of a tile that has few columns, where a kernel has one */
#define CPU_MAX_NR 64

/* Added to a float of less than 2^22, it rounds to nearest even, into the low bits: output.c. */
#define CPU_ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define CPU_ROUND_BITS 0x4b400000

/* The output stage of one run: what the sums need to become the output. */
struct cpu_output {
    enum qdot_type type;
    const int32_t *bias;    /* bias' by column; this and the others by column have n_pad entries */
    const int32_t *b_neg;   /* NULL: all are 0, or are in the tiles' row_add already */
    const int32_t *col_sum; /* NULL unless a_zero is per row */
    const int32_t *a_zero;  /* by row; NULL likewise */
    uint32_t k;
    const float *scale, *bias_f;
    const float *row_scale; /* NULL: 1 */
    float lo, hi;           /* clamp, before the zero point is added */
    int32_t zero;
    int32_t clamp_lo, clamp_hi; /* after */
    bool plain; /* every acc * scale fits into 32 bits, and the clamp is the type's range */
    enum qdot_rounding rounding; /* of other ones than QDOT_ROUND_RNE the sums go to requantise */
    const int32_t *multiplier, *shift; /* of integer ones, by column */
    bool shifts_right;                 /* by 2 or more, all of them */
    uint8_t *out;
    size_t ldo_bytes;
};

/* One tile: run_count runs of 'groups' groups of K. Its rows are fixed by the function, its columns
 * are the row's nr, of which 'columns' exist and the others' sums are not used. */
struct cpu_tile {
    size_t groups, run_count;
    const uint8_t *a;
    const ptrdiff_t *a_rows; /* of all rows, in bytes: run r of row i begins at */
    const ptrdiff_t *runs;   /* a + a_rows[i] + runs[r] */
    uint8_t *out;
    const ptrdiff_t *out_rows; /* likewise: row i begins at out + out_rows[i] */
    uint8_t flip;              /* still to be done by the tile */
    const uint8_t *b;          /* a packed panel, at the first group */
    size_t b_step, b_skip;     /* bytes of a group of B; left out behind each run */
    size_t nr;                 /* columns of the panel, existing or not */
    int32_t *acc;              /* [rows][nr]: sums of the cuts of K before this one; or NULL */
    const ptrdiff_t *acc_rows; /* where they begin: i * nr * 4; a column wants it unless last */
    bool last;                 /* the last cut: finish into the output; else leave sums in acc */
    bool more;                 /* add to what acc holds; else the sums begin with row_add */
    const struct cpu_output *output;
    const uint8_t *next_a; /* A of the tile to come, prefetched into L1 */
    /* Of B: prefetched into L2, next_step bytes (64 or 128) a group, by the tiles that come before
     * next_end is reached. */
    const uint8_t *next, *next_end;
    size_t next_step;
    bool far; /* what is read once, B by a panel's first tile or A by a panel alone, is not in L2:
               * it is prefetched further ahead */
    size_t row, column, columns; /* where a_zero, row_scale and the arrays by column begin */
    const int32_t *row_add;      /* by row of the tile: added to the sums of all columns; NULL: 0 */
    const int32_t *row_sum;      /* likewise, of A; wanted with b_neg; or NULL */
};

/* A micro-kernel: sum over groups of a[i] * b[j], mod 2^32, then the output stage. */
typedef void cpu_tile_fn(const struct cpu_tile *t);

/* Staging: rows of A, 'count' elements of each, copied with their bytes flipped by XOR, widened to
 * the kernel's element size, and followed by zeros up to 'padded' elements. */
struct cpu_stage {
    uint8_t *staged;
    size_t stride; /* bytes between staged rows: whole cache lines */
    const uint8_t *a;
    size_t lda, rows;
    size_t count, padded; /* 'padded' - 'count' is less than a group */
    uint8_t flip;
    bool is_signed; /* the values after the flip */
};
typedef void cpu_stage_fn(const struct cpu_stage *s);
/* sum[i] = the sum of 'count' bytes of row i, flipped and taken as unsigned, mod 2^32. */
typedef void cpu_sum_fn(const uint8_t *a, size_t lda, size_t rows, size_t count, uint8_t flip,
                        uint32_t *sum);

/* Sums of rows by one panel, which are complete but for zero points by row, to a rounding that no
 * tile has. */
struct cpu_sums {
    const struct cpu_output *output;
    int32_t *sum; /* [rows][step], of which 'columns' columns exist; zero points are taken off */
    size_t step, rows, columns;
    size_t row, column;     /* where a_zero and the arrays by column begin */
    const int32_t *row_sum; /* of A; wanted with b_neg */
    uint8_t *out;
    const ptrdiff_t *out_rows; /* row i begins at out + out_rows[i] */
};
typedef void cpu_requantise_fn(const struct cpu_sums *s);

/* By the row's function, zero points included. */
void cpu_finish_sums(cpu_requantise_fn *requantise, const struct cpu_sums *s);

extern cpu_requantise_fn cpu_requantise;
#if defined(__x86_64__)
extern cpu_requantise_fn cpu_requantise_avx2, cpu_requantise_avx512;
#endif

struct cpu_kernel {
    cpu_tile_fn *tile[CPU_MAX_MR]; /* tile[i] does i + 1 rows, up to mr */
    size_t tall_columns;           /* up to so many columns all of them are there; else 0 */
    /* 'count' tiles of 'height' rows, of which t is the first: below each other, and t goes on behind
     * them; or where panel_bytes is not 0 beside each other, in whole panels so far apart. False, and
     * nothing done, where it cannot. NULL: never. */
    bool (*together)(struct cpu_tile *t, size_t height, size_t count, size_t panel_bytes);
    cpu_requantise_fn *requantise; /* NULL: tiles have all roundings */
    cpu_stage_fn *stage;
    cpu_sum_fn *sum;
    size_t a_bytes; /* of one staged element; 1: A that needs no flip can be read in place */
    bool flips;     /* the tile flips A by t->flip itself, so that it always can */
};

/* Depthwise convolution of one block of nr channels, over some output lines of one image. */
struct cpu_depthwise {
    /* Output (y, x) takes point (y * stride_h + i * dilation_h, x * stride_w + j * dilation_w) under
     * tap (i, j). Point (y, x) with top <= y < bottom and left <= x < right is input: its channels are
     * the bytes at input + (y - top) * line_bytes + (x - left) * point_bytes, XORed with flip. Every
     * other point is padding: bytes of 'fill'. No byte but those of input points may be read. */
    const uint8_t *input;
    size_t line_bytes, point_bytes;
    size_t top, bottom, left, right;
    uint8_t flip, fill;
    size_t kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    size_t lines, columns;  /* of the output */
    const uint8_t *weights; /* the block's panel: kh lines of run_groups groups of kr taps */
    size_t run_groups;
    size_t channels; /* of the block that exist; at most nr */
    /* Arrays by column begin at the block's first channel, out at its first pixel and channel;
     * ldo_bytes between pixels, lines follow one another. row_sum of the formula is the sum of the
     * window of that channel; a_zero and col_sum are NULL. */
    const struct cpu_output *output;
    void *scratch; /* the kernel's scratch_bytes, aligned to 64 */
};
typedef void cpu_depthwise_fn(const struct cpu_depthwise *d);

struct cpu_depthwise_kernel {
    cpu_depthwise_fn *run;
    /* Of sums, for roundings that run need not have: all but QDOT_ROUND_RNE; or, where it 'rounds',
     * those by integers of which not all shift right. */
    cpu_requantise_fn *requantise;
    bool rounds;
    /* Of scratch for a kernel of kh x kw, when 'columns' outputs a line are computed. */
    size_t (*scratch_bytes)(size_t kh, size_t kw, size_t columns);
};

/* All tiles of 'rows' rows times one panel, or a cut of it. t is the first one's; what it has of rows
 * goes on to the one behind the last. next_a need not be set. */
void cpu_tiles(const struct qdot_row *row, struct cpu_tile *t, size_t rows);

/* From a tile to the one 'tiles' further down, after so many rows. */
void cpu_go_on(struct cpu_tile *t, size_t nr, size_t rows, size_t tiles);

extern cpu_stage_fn cpu_stage_bytes, cpu_stage_shorts;
extern cpu_sum_fn cpu_sum;
#if defined(__x86_64__)
extern cpu_stage_fn cpu_stage_bytes_avx2, cpu_stage_shorts_avx2;
extern cpu_stage_fn cpu_stage_bytes_avx512;
extern cpu_sum_fn cpu_sum_avx2, cpu_sum_avx512;
#endif

/* to[j * to_ld + i] = from[i * from_ld + j] ^ flip, of so many rows i and columns j. */
void cpu_transpose(const uint8_t *from, size_t from_ld, size_t rows, size_t columns, uint8_t *to,
                   size_t to_ld, uint8_t flip);

/* The output stage of a tile in plain C, for the rows that have none of their own: row i of it, but
 * only by QDOT_ROUND_RNE; or some rows by any rounding, whose sums are overwritten. */
void cpu_finish_row(const struct cpu_tile *t, size_t i, const uint32_t *sum, size_t nr);
void cpu_finish_rows(const struct cpu_tile *t, size_t first, size_t rows, uint32_t *sum, size_t nr);

/* ---- runs ------------------------------------------------------------------------------------ */

/* How many of the threads a * b * c multiply-adds are worth, each of which costs 'factor' times what
 * it costs the quickest tile. */
size_t cpu_threads_for(size_t threads, size_t a, size_t b, size_t c, size_t factor);
/* 'others' things of 'count' parts each are cut into pieces, so that the threads end together: the
 * size of a piece, at most 'most' parts. */
size_t cpu_piece(size_t count, size_t most, size_t others, size_t threads);
/* Does 'count' items on at most so many threads; 'thread' is the number of the one that does it. */
typedef void cpu_item_fn(void *run, size_t thread, size_t item);
void cpu_share(const struct qdot_op *op, size_t threads, size_t count, cpu_item_fn *item,
               void *run);

static inline const void *cpu_input(const struct qdot_input *in)
{
    return in->buffer ? (const char *)in->buffer->impl + in->offset_bytes : in->host;
}
static inline void *cpu_output_memory(const struct qdot_output *out)
{
    return out->buffer ? (char *)out->buffer->impl + out->offset_bytes : out->host;
}
/* The output stage of an op, and what it takes from one run. */
struct cpu_output cpu_output_of(const struct qdot_op *op);
static inline void cpu_output_at(struct cpu_output *o, const struct qdot_op *op,
                                 const struct qdot_run *args)
{
    o->a_zero = op->p.a_zero_per_row ? cpu_input(&args->a_zero) : NULL;
    o->row_scale = op->p.row_scale ? cpu_input(&args->row_scale) : NULL;
    o->out = args->out.buffer ? (uint8_t *)args->out.buffer->impl + args->out.offset_bytes
                              : args->out.host;
    o->ldo_bytes = args->ldo * op->p.out_bytes;
}

int cpu_gemm_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_gemm_unprepare(struct qdot_op *op);
void cpu_gemm_run(struct qdot_op *op, const struct qdot_run *args);
/* false and a reason: this row cannot do that convolution */
bool cpu_conv_fits(const struct qdot_row *row, const struct qdot_problem *p, size_t l2,
                   char *reason, size_t reason_bytes);
int cpu_conv_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_conv_unprepare(struct qdot_op *op);
void cpu_conv_run(struct qdot_op *op, const struct qdot_run *args);

/* ---- kernels --------------------------------------------------------------------------------- */

extern const struct cpu_kernel cpu_kernel_12x16;
extern const struct cpu_depthwise_kernel cpu_depthwise_1x16;
#if defined(__x86_64__)
extern const struct cpu_kernel cpu_kernel_6x16_avx2;
extern const struct cpu_kernel cpu_kernel_6x16_avxvnni;
extern const struct cpu_kernel cpu_kernel_6x64_avx512vnni;
extern const struct cpu_kernel cpu_kernel_8x48_avx512vnni;
extern const struct cpu_kernel cpu_kernel_4x4k64_avx512vnni;
extern const struct qdot_packer cpu_packer_k4_avx512vnni;
extern const struct cpu_depthwise_kernel cpu_depthwise_2x64_avx512vnni;
extern const struct cpu_depthwise_kernel cpu_depthwise_1x16_avx2;
#endif

#endif
