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
#define COLUMN_LIST_STEP 40
#define COLUMN_PANEL_STEP 48
#define COLUMN_OUT_STEP 56
#define COLUMN_TERM_STEP 64
#define COLUMN_RUNS 72
#define COLUMN_RUN_COUNT 80
#define COLUMN_RUN_BYTES 88
#define COLUMN_B 96
#define COLUMN_B_SKIP 104
#define COLUMN_FROM 112
#define COLUMN_FROM_STEP 120
#define COLUMN_ADD 128
#define COLUMN_SCALE 136
#define COLUMN_NEXT 144
#define COLUMN_NEXT_STEP 152
#define COLUMN_NEXT_END 160
#define COLUMN_TAIL 168
#define COLUMN_FIRST 176
#define COLUMN_THEN 184
#define COLUMN_RUN 192
#define COLUMN_LEFT 200
#define COLUMN_ZERO 208
#define COLUMN_FLIPS 212

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* 'count' tiles, of 'rows' rows and 64 columns, or with more than 6 rows 48, all of which exist. The
 * members are those of struct cpu_tile for the first one, but for those with a comment. The callee
 * uses it up. */
struct column {
    const uint8_t *a;
    const ptrdiff_t *a_rows;
    uint8_t *out;
    const ptrdiff_t *out_rows;
    size_t count;
    /* From tile to tile, in bytes; in a column the first of these is not 0, in a line the others: */
    size_t list_step; /* of a_rows and out_rows, and twice of add */
    size_t panel_step, out_step;
    size_t term_step; /* of from and scale */
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
    size_t first, then;   /* bytes of B prefetched ahead by the first tile, and by the others */
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
COLUMN_PLACE(list_step, COLUMN_LIST_STEP);
COLUMN_PLACE(panel_step, COLUMN_PANEL_STEP);
COLUMN_PLACE(out_step, COLUMN_OUT_STEP);
COLUMN_PLACE(term_step, COLUMN_TERM_STEP);
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
COLUMN_PLACE(first, COLUMN_FIRST);
COLUMN_PLACE(then, COLUMN_THEN);
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
