/* What column_avx512vnni.S, a column of tiles, is told. Read by C and by the assembler. */
#ifndef QDOT_COLUMN_AVX512VNNI_H
#define QDOT_COLUMN_AVX512VNNI_H

#define COLUMN_AHEAD 3 /* groups of the next tile that are done while a tile is finished */

#define COLUMN_NEAR 2048 /* bytes of B that are prefetched ahead, from L2 */

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
#define COLUMN_ADD 96
#define COLUMN_SCALE 104
#define COLUMN_NEXT 112
#define COLUMN_NEXT_STEP 120
#define COLUMN_NEXT_END 128
#define COLUMN_TAIL 136
#define COLUMN_FAR 144
#define COLUMN_RUN 152
#define COLUMN_LEFT 160
#define COLUMN_ZERO 168
#define COLUMN_FLIPS 172

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* 'count' tiles below each other, of 'rows' rows and 64 columns, or with more than 6 rows 48, all of
 * which exist. The members are those of struct cpu_tile, but for the ones with a comment. */
struct column {
    const uint8_t *a;
    const ptrdiff_t *a_rows; /* rows * count; used up by the call */
    uint8_t *out;
    const ptrdiff_t *out_rows; /* likewise; used up by the call */
    size_t count;              /* likewise */
    const ptrdiff_t *runs;
    size_t run_count;
    size_t run_bytes; /* of A: 4 a group, of which there are COLUMN_AHEAD and two more at least */
    const uint8_t *b;
    size_t b_skip;
    const int32_t *from; /* what sums begin as: a value a column, from_step bytes between rows */
    size_t from_step;
    const int32_t *add; /* a value a row, with which they begin as well; of '_adds' alone */
    const float *scale; /* by column of the tile; of u8 and s8 */
    const uint8_t *next;
    size_t next_step;
    const uint8_t *next_end;
    size_t tail; /* bytes of A at the end of the last run under which the panel's first groups are
                  * prefetched */
    size_t far;  /* bytes of B that the first tile prefetches ahead */
    const ptrdiff_t *run; /* for the callee's use */
    size_t left;          /* likewise */
    uint32_t zero;        /* the output's zero point, twice in 16 bits; of u8 and s8 */
    uint32_t flips;       /* four times 'flip' */
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
COLUMN_PLACE(add, COLUMN_ADD);
COLUMN_PLACE(scale, COLUMN_SCALE);
COLUMN_PLACE(next, COLUMN_NEXT);
COLUMN_PLACE(next_step, COLUMN_NEXT_STEP);
COLUMN_PLACE(next_end, COLUMN_NEXT_END);
COLUMN_PLACE(tail, COLUMN_TAIL);
COLUMN_PLACE(far, COLUMN_FAR);
COLUMN_PLACE(run, COLUMN_RUN);
COLUMN_PLACE(left, COLUMN_LEFT);
COLUMN_PLACE(zero, COLUMN_ZERO);
COLUMN_PLACE(flips, COLUMN_FLIPS);
#undef COLUMN_PLACE

typedef void column_fn(struct column *c);
/* By rows and type of output; with flips; with 'add'; with both. */
#define COLUMN_FNS(rows, type)                                                      \
    extern column_fn cpu_column_##rows##_##type, cpu_column_##rows##_##type##_flip; \
    extern column_fn cpu_column_##rows##_##type##_adds, cpu_column_##rows##_##type##_flip_adds
COLUMN_FNS(4, s32);
COLUMN_FNS(4, u8);
COLUMN_FNS(4, s8);
COLUMN_FNS(5, s32);
COLUMN_FNS(5, u8);
COLUMN_FNS(5, s8);
COLUMN_FNS(6, s32);
COLUMN_FNS(6, u8);
COLUMN_FNS(6, s8);
COLUMN_FNS(7, s32);
COLUMN_FNS(7, u8);
COLUMN_FNS(7, s8);
COLUMN_FNS(8, s32);
COLUMN_FNS(8, u8);
COLUMN_FNS(8, s8);
#undef COLUMN_FNS
#endif

#endif
