/* What column_avx512vnni.S, a column of tiles, is told. Read by C and by the assembler. */
#ifndef QDOT_COLUMN_AVX512VNNI_H
#define QDOT_COLUMN_AVX512VNNI_H

#define COLUMN_AHEAD 3 /* groups of the next tile that are done while a tile is finished */

#define COLUMN_A 0
#define COLUMN_A_ROWS 8
#define COLUMN_OUT 16
#define COLUMN_OUT_ROWS 24
#define COLUMN_COUNT 32
#define COLUMN_RUNS 40
#define COLUMN_RUN_COUNT 48
#define COLUMN_RUN_BYTES 56
#define COLUMN_B 64
#define COLUMN_B_SKIP 72
#define COLUMN_FROM 80
#define COLUMN_FROM_STEP 88
#define COLUMN_SCALE 96
#define COLUMN_NEXT 104
#define COLUMN_NEXT_STEP 112
#define COLUMN_NEXT_END 120
#define COLUMN_ZERO 128
#define COLUMN_FLIPS 132

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* 'count' tiles of 6 x 64 below each other, all 64 columns of which exist. The members are those of
 * struct cpu_tile, but for the ones with a comment. */
struct column {
    const uint8_t *a;
    const ptrdiff_t *a_rows; /* 6 * count */
    uint8_t *out;
    const ptrdiff_t *out_rows; /* likewise; used up by the call */
    size_t count;              /* likewise */
    const ptrdiff_t *runs;
    size_t run_count;
    size_t run_bytes; /* of A: 4 a group, and more than COLUMN_AHEAD groups */
    const uint8_t *b;
    size_t b_skip;
    const int32_t *from; /* what sums begin as: 64 values a row, from_step bytes apart */
    size_t from_step;
    const float *scale; /* by column of the tile; of u8 and s8 */
    const uint8_t *next;
    size_t next_step;
    const uint8_t *next_end;
    uint32_t zero;  /* the output's zero point, twice in 16 bits; of u8 and s8 */
    uint32_t flips; /* four times 'flip' */
};

#define COLUMN_PLACE(member, place) \
    _Static_assert(offsetof(struct column, member) == (place), "the assembler has another place")
COLUMN_PLACE(a, COLUMN_A);
COLUMN_PLACE(a_rows, COLUMN_A_ROWS);
COLUMN_PLACE(out, COLUMN_OUT);
COLUMN_PLACE(out_rows, COLUMN_OUT_ROWS);
COLUMN_PLACE(count, COLUMN_COUNT);
COLUMN_PLACE(runs, COLUMN_RUNS);
COLUMN_PLACE(run_count, COLUMN_RUN_COUNT);
COLUMN_PLACE(run_bytes, COLUMN_RUN_BYTES);
COLUMN_PLACE(b, COLUMN_B);
COLUMN_PLACE(b_skip, COLUMN_B_SKIP);
COLUMN_PLACE(from, COLUMN_FROM);
COLUMN_PLACE(from_step, COLUMN_FROM_STEP);
COLUMN_PLACE(scale, COLUMN_SCALE);
COLUMN_PLACE(next, COLUMN_NEXT);
COLUMN_PLACE(next_step, COLUMN_NEXT_STEP);
COLUMN_PLACE(next_end, COLUMN_NEXT_END);
COLUMN_PLACE(zero, COLUMN_ZERO);
COLUMN_PLACE(flips, COLUMN_FLIPS);
#undef COLUMN_PLACE

typedef void column_fn(struct column *c);
/* The outputs' types; without and with flips. */
extern column_fn cpu_column_s32, cpu_column_u8, cpu_column_s8;
extern column_fn cpu_column_s32_flip, cpu_column_u8_flip, cpu_column_s8_flip;
#endif

#endif
