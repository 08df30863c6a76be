/*
 * AVX-512 VNNI micro-kernel: 6 x 64. 24 accumulators, 4 registers of B, 1 broadcast of A, 1 of what
 * it is XORed with: 30 of 32 zmm. A group of 4 k is 24 vpdpbusd (12 clocks on two ports) against 4
 * loads of B and 6 broadcasts: 256 bytes of B in 12 clocks, which L2 delivers with the prefetch
 * ahead. vpdpbusd multiplies u8 x s8 and adds four products into 32 bits without saturation.
 */
#include <immintrin.h>
#include <string.h>
#include "column_avx512vnni.h"
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define MR 6
#define TALL CPU_TALL_MR
#define LEAST_ROWS 4    /* of a column's tiles */
#define MOST_ROWS 8     /* likewise */
#define LEAST_GROUPS 10 /* of a column: with fewer the output stage is most of the work */
#define TAIL_GROUPS 8   /* COLUMN_NEAR in groups */
#define FAR_BYTES 16384 /* of B that are prefetched ahead where it is not in L2 */

/* A copy for each height, width and output; but where a sanitizer would take minutes over them. */
#if defined(__SANITIZE_ADDRESS__)
#define FOR_EACH static __attribute__((noinline))
#else
#define FOR_EACH static inline __attribute__((always_inline))
#endif

static inline __attribute__((always_inline)) TARGET __mmask16 mask_of(size_t columns, int j)
{
    const size_t first = (size_t)j * 16;
    return columns >= first + 16 ? 0xffff
           : columns <= first    ? 0
                                 : (__mmask16)((1u << (columns - first)) - 1);
}

/* Masked-off columns are not touched. cvtepi32_ps and cvtps_epi32 round to nearest even, the mode
 * cpu.c sets. */
static inline __attribute__((always_inline)) TARGET void finish_wide(const struct cpu_tile *t,
                                                                     const int i, const int vectors,
                                                                     const enum qdot_type type,
                                                                     const __m512i *c)
{
    const struct cpu_output *o = t->output;
    const size_t row = t->row + (size_t)i;
    uint8_t *out = t->out + t->out_rows[i];
    UNROLL(4)
    for (int j = 0; j < vectors; j++) {
        __m512i v = c[j];
        if (type == QDOT_F32) {
            const size_t column = t->column + (size_t)j * 16;
            const __m512 factor = _mm512_set1_ps(o->row_scale ? o->row_scale[row] : 1.0f);
            const __m512 x =
                _mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_loadu_ps(o->scale + column));
            v = _mm512_castps_si512(
                _mm512_add_ps(_mm512_mul_ps(x, factor), _mm512_loadu_ps(o->bias_f + column)));
        }
        _mm512_mask_storeu_epi32(out + j * 64, mask_of(t->columns, j), v);
    }
}

/* What narrowing needs of struct cpu_output, in registers: stores of bytes could alias it. */
struct narrowing {
    __m512i zero, lo, hi; /* of 16, 8 and 8 bits */
    const float *scale;
    uint8_t *out;
    const ptrdiff_t *rows; /* the tile's out_rows */
    __mmask64 mask;        /* of a row's columns */
};

/*
 * Four vectors to 64 bytes. Per vector only convert, multiply, convert and, unless no sum comes near,
 * the bound above which the last would give INT_MIN (as it does for what is far below, rightly):
 * packing saturates to 16 bits, the zero point is added with saturation, packing saturates to 8 bits,
 * and a clamp that is narrower is one of bytes. Each saturation is monotonic and lies outside the
 * clamp, so the result is clamp(rne(x) + zero).
 */
static inline __attribute__((always_inline)) TARGET __m512i narrow(const struct narrowing *w,
                                                                   const __m512 *x, const bool u8,
                                                                   const bool plain)
{
    const __m512 bound = _mm512_set1_ps(65536.0f);
    /* Packs work within 128-bit lanes: the lanes' four-column pieces are put in order at the end. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i v[4], bytes;
    UNROLL(4)
    for (int j = 0; j < 4; j++)
        v[j] = _mm512_cvtps_epi32(plain ? x[j] : _mm512_min_ps(x[j], bound));
    v[0] = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), w->zero);
    v[2] = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), w->zero);
    bytes = u8 ? _mm512_packus_epi16(v[0], v[2]) : _mm512_packs_epi16(v[0], v[2]);
    if (!plain && u8)
        bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, w->lo), w->hi);
    else if (!plain)
        bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, w->lo), w->hi);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* As many rows as fill four vectors, or one, from row i on. */
static inline __attribute__((always_inline)) TARGET void
finish_narrow(const struct narrowing *w, const int i, const int rows, const int vectors,
              __m512i (*c)[4], const bool u8, const bool plain)
{
    const int at_once = vectors > 2 ? 1 : 4 / vectors;
    __m512 x[4];
    UNROLL(4)
    for (int q = 0; q < 4; q++) {
        const int r = vectors > 2 ? 0 : q / vectors, j = vectors > 2 ? q : q % vectors;
        x[q] = _mm512_setzero_ps();
        if (j < vectors && i + r < rows)
            x[q] =
                _mm512_mul_ps(_mm512_cvtepi32_ps(c[i + r][j]), _mm512_loadu_ps(w->scale + j * 16));
    }
    const __m512i bytes = narrow(w, x, u8, plain);
    uint8_t *const out = w->out;
    const ptrdiff_t *const at = w->rows + i;
    if (at_once == 1) {
        _mm512_mask_storeu_epi8(out + at[0], w->mask, bytes);
    } else if (at_once == 2) {
        const __mmask32 mask = (__mmask32)w->mask;
        _mm256_mask_storeu_epi8(out + at[0], mask, _mm512_castsi512_si256(bytes));
        if (i + 1 < rows)
            _mm256_mask_storeu_epi8(out + at[1], mask, _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        const __mmask16 mask = (__mmask16)w->mask;
        _mm_mask_storeu_epi8(out + at[0], mask, _mm512_castsi512_si128(bytes));
        if (i + 1 < rows)
            _mm_mask_storeu_epi8(out + at[1], mask, _mm512_extracti32x4_epi32(bytes, 1));
        if (i + 2 < rows)
            _mm_mask_storeu_epi8(out + at[2], mask, _mm512_extracti32x4_epi32(bytes, 2));
        if (i + 3 < rows)
            _mm_mask_storeu_epi8(out + at[3], mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
}

FOR_EACH TARGET void finish_rows(const struct cpu_tile *t, const int rows, const int vectors,
                                 const enum qdot_type type, const bool plain, __m512i (*c)[4])
{
    const struct cpu_output *o = t->output;
    const bool wide = type == QDOT_S32 || type == QDOT_F32;
    const int at_once = wide || vectors > 2 ? 1 : 4 / vectors;
    const struct narrowing w = {
        .zero = _mm512_set1_epi16((int16_t)o->zero),
        .lo = _mm512_set1_epi8((char)o->clamp_lo),
        .hi = _mm512_set1_epi8((char)o->clamp_hi),
        .scale = o->scale + t->column,
        .out = t->out,
        .rows = t->out_rows,
        .mask = t->columns >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << t->columns) - 1,
    };
    UNROLL(12)
    for (int i = 0; i < rows; i += at_once) {
        if (wide)
            finish_wide(t, i, vectors, type, c[i]);
        else
            finish_narrow(&w, i, rows, vectors, c, type == QDOT_U8, plain);
    }
}

/* The same where zero points of B, or of A by row, are to be taken off: rare enough for one text. */
static __attribute__((noinline)) TARGET void
finish_corrected(const struct cpu_tile *t, const int rows, const int vectors, __m512i (*c)[4])
{
    const struct cpu_output *o = t->output;
    for (int i = 0; i < rows; i++) {
        const int32_t a_zero = o->a_zero ? o->a_zero[t->row + (size_t)i] : 0;
        const uint32_t sum = o->b_neg ? (uint32_t)t->row_sum[i] - o->k * (uint32_t)a_zero : 0;
        const __m512i by_neg = _mm512_set1_epi32((int32_t)sum), by_sum = _mm512_set1_epi32(-a_zero);
        for (int j = 0; j < vectors; j++) {
            const size_t column = t->column + (size_t)j * 16;
            if (o->b_neg)
                c[i][j] = _mm512_add_epi32(
                    c[i][j], _mm512_mullo_epi32(by_neg, _mm512_loadu_si512(o->b_neg + column)));
            if (o->a_zero)
                c[i][j] = _mm512_add_epi32(
                    c[i][j], _mm512_mullo_epi32(by_sum, _mm512_loadu_si512(o->col_sum + column)));
        }
        for (int j = vectors; j < 4; j++)
            c[i][j] = _mm512_setzero_si512();
        struct cpu_tile row = *t;
        row.row += (size_t)i;
        row.out_rows += i;
        if (vectors > 3)
            finish_rows(&row, 1, 4, o->type, false, c + i);
        else
            finish_rows(&row, 1, 3, o->type, false, c + i);
    }
}

FOR_EACH TARGET void finish(const struct cpu_tile *t, const int rows, const int vectors,
                            __m512i (*c)[4])
{
    const struct cpu_output *o = t->output;
    if (o->b_neg || o->a_zero) {
        __m512i memory[TALL][4]; /* a copy, so that c itself can live in registers */
        UNROLL(12)
        for (int i = 0; i < rows; i++) {
            UNROLL(4)
            for (int j = 0; j < vectors; j++)
                memory[i][j] = c[i][j];
        }
        finish_corrected(t, rows, vectors, memory);
    } else if (o->type == QDOT_U8 && o->plain)
        finish_rows(t, rows, vectors, QDOT_U8, true, c);
    else if (o->type == QDOT_U8)
        finish_rows(t, rows, vectors, QDOT_U8, false, c);
    else if (o->type == QDOT_S8 && o->plain)
        finish_rows(t, rows, vectors, QDOT_S8, true, c);
    else if (o->type == QDOT_S8)
        finish_rows(t, rows, vectors, QDOT_S8, false, c);
    else if (o->type == QDOT_S32)
        finish_rows(t, rows, vectors, QDOT_S32, false, c);
    else
        finish_rows(t, rows, vectors, QDOT_F32, false, c);
}

static const int32_t no_add[TALL];

/*
 * gcc likes to keep what the inner loop leaves no general register for in vector and mask registers.
 * Coming back from there it waits for all products before it, and with it the loads of the next
 * tile: some 60 clocks a tile. What is read through 'place' is in memory.
 */
FOR_EACH TARGET void tile(const struct cpu_tile *t, const int rows, const int vectors)
{
    const struct cpu_tile *volatile const place = t;
    /* vpdpbusd takes 4 or 5 clocks and two begin in each: fewer than 9 sums wait for each other. One
     * or two rows read B as fast as it comes, and hardware does that best: nothing is prefetched. */
    const int chains = rows > MR || rows * vectors > 8 ? 1 : rows * vectors > 4 ? 2 : 4;
    const ptrdiff_t prefetch = rows < LEAST_ROWS && t->far ? FAR_BYTES : COLUMN_NEAR;
    __m512i c[TALL][4], d[3][TALL][4];
    const uint8_t *a[TALL], *volatile high[MR], *b = t->b, *next = t->next, *next_a = t->next_a;
    const size_t next_step = t->next_step, b_step = t->b_step;
    const __m512i flips = _mm512_set1_epi8((char)t->flip);
    const int32_t *from = t->more ? t->acc : t->output->bias + t->column;
    const int32_t *add = t->more || !t->row_add ? no_add : t->row_add;
    const size_t from_step = t->more ? t->nr : 0;
    UNROLL(12)
    for (int i = 0; i < rows; i++, from += from_step) {
        if (i < MR)
            a[i] = t->a + t->a_rows[i];
        else
            high[i - MR] = t->a + t->a_rows[i];
        __asm__("" : "+r"(from)); /* one after another, in one register */
        UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            c[i][j] =
                _mm512_add_epi32(_mm512_loadu_si512(from + j * 16), _mm512_set1_epi32(add[i]));
            OWN_REGISTER(c[i][j]);
            UNROLL(3)
            for (int s = 1; s < chains; s++) {
                d[s - 1][i][j] = _mm512_setzero_si512();
                OWN_REGISTER(d[s - 1][i][j]);
            }
        }
    }
    volatile size_t left = t->run_count;
    const ptrdiff_t *volatile runs = t->runs;
    while (left) {
        const struct cpu_tile *const now = place;
        ptrdiff_t at = *runs++;
        const ptrdiff_t end = at + (ptrdiff_t)now->groups * 4;
        left = left - 1;
        const ptrdiff_t whole = end - (ptrdiff_t)(now->groups % (size_t)chains) * 4;
        for (; chains > 1 && at != whole; at += 4 * chains, b += (size_t)chains * b_step) {
            UNROLL(4)
            for (int s = 0; s < chains; s++) {
                __m512i bj[4];
                UNROLL(4)
                for (int j = 0; j < vectors; j++)
                    bj[j] = _mm512_loadu_si512(b + (size_t)s * b_step + j * 64);
                UNROLL(12)
                for (int i = 0; i < rows; i++) {
                    int32_t group;
                    memcpy(&group, a[i] + at + 4 * s, 4);
                    const __m512i ai = _mm512_xor_si512(_mm512_set1_epi32(group), flips);
                    UNROLL(4)
                    for (int j = 0; j < vectors; j++) {
                        __m512i *sum = s ? &d[s - 1][i][j] : &c[i][j];
                        *sum = _mm512_dpbusd_epi32(*sum, ai, bj[j]);
                    }
                }
            }
        }
        for (; at != end; at += 4, b += b_step) {
            __m512i bj[4];
            UNROLL(4)
            for (int j = 0; j < vectors; j++) {
                bj[j] = _mm512_loadu_si512(b + j * 64);
                _mm_prefetch((const char *)b + prefetch + j * 64, _MM_HINT_T0);
            }
            if (vectors > 2) { /* few columns have few panels, and no time for more instructions */
                _mm_prefetch((const char *)next, _MM_HINT_T1);
                _mm_prefetch((const char *)next + 64, _MM_HINT_T1);
                next += next_step;
                _mm_prefetch((const char *)next_a, _MM_HINT_T0);
                next_a += 32;
            }
            UNROLL(12)
            for (int i = 0; i < rows; i++) {
                int32_t group;
                memcpy(&group, (i < MR ? a[i % MR] : high[i % MR]) + at, 4);
                const __m512i ai = _mm512_xor_si512(_mm512_set1_epi32(group), flips);
                UNROLL(4)
                for (int j = 0; j < vectors; j++)
                    c[i][j] = _mm512_dpbusd_epi32(c[i][j], ai, bj[j]);
            }
        }
        b += now->b_skip;
    }
    UNROLL(12)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            UNROLL(3)
            for (int s = 1; s < chains; s++)
                c[i][j] = _mm512_add_epi32(c[i][j], d[s - 1][i][j]);
        }
    }
    t = place;
    if (!t->last) {
        int32_t *acc = t->acc;
        UNROLL(12)
        for (int i = 0; i < rows; i++, acc += t->nr) {
            UNROLL(4)
            for (int j = 0; j < vectors; j++)
                _mm512_storeu_si512(acc + j * 16, c[i][j]);
        }
    } else {
        finish(t, rows, vectors, c);
    }
}

/* The last panel may have few columns: only their registers are computed. */
#define TILE(rows)                                           \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        if (t->columns > 48)                                 \
            tile(t, rows, 4);                                \
        else if (t->columns > 32)                            \
            tile(t, rows, 3);                                \
        else if (t->columns > 16)                            \
            tile(t, rows, 2);                                \
        else                                                 \
            tile(t, rows, 1);                                \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

/* Up to 48 columns leave room for 8 rows, */
#define HIGH_TILE(rows)                                      \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        if (t->columns > 32)                                 \
            tile(t, rows, 3);                                \
        else if (t->columns > 16)                            \
            tile(t, rows, 2);                                \
        else                                                 \
            tile(t, rows, 1);                                \
    }
HIGH_TILE(7)
HIGH_TILE(8)

/* up to 32 for 12. */
#define TALL_TILE(rows)                                      \
    TARGET static void tile_##rows(const struct cpu_tile *t) \
    {                                                        \
        if (t->columns > 16)                                 \
            tile(t, rows, 2);                                \
        else                                                 \
            tile(t, rows, 1);                                \
    }
TALL_TILE(9)
TALL_TILE(10)
TALL_TILE(11)
TALL_TILE(12)

#define COLUMNS_OF(rows, type)                                                        \
    {                                                                                 \
        cpu_column_##rows##_##type, cpu_column_##rows##_##type##_flip,                \
            cpu_column_##rows##_##type##_adds, cpu_column_##rows##_##type##_flip_adds \
    }
static column_fn *const columns[MOST_ROWS - LEAST_ROWS + 1][3][4] = {
    {COLUMNS_OF(4, s32), COLUMNS_OF(4, u8), COLUMNS_OF(4, s8)},
    {COLUMNS_OF(5, s32), COLUMNS_OF(5, u8), COLUMNS_OF(5, s8)},
    {COLUMNS_OF(6, s32), COLUMNS_OF(6, u8), COLUMNS_OF(6, s8)},
    {COLUMNS_OF(7, s32), COLUMNS_OF(7, u8), COLUMNS_OF(7, s8)},
    {COLUMNS_OF(8, s32), COLUMNS_OF(8, u8), COLUMNS_OF(8, s8)},
};

/* Whole panels, outputs that need no more than column_avx512vnni.S has. In a line panels are
 * 'panel_bytes' apart; 0: a column. */
static bool tiles_together(struct cpu_tile *t, size_t height, size_t count, size_t panel_bytes)
{
    const struct cpu_output *o = t->output;
    const size_t nr = height > MR ? 48 : 64;
    const bool wide = !t->last || o->type == QDOT_S32;
    const bool adds = t->row_add && !t->more;
    if (t->columns < nr || t->groups < COLUMN_AHEAD + 2 ||
        t->groups * t->run_count < LEAST_GROUPS ||
        (t->last && (o->b_neg || o->a_zero || !(wide || o->plain))))
        return false;
    struct column c = {
        .a = t->a,
        .a_rows = t->a_rows,
        .out = t->last ? t->out : (uint8_t *)t->acc,
        .out_rows = t->last ? t->out_rows : t->acc_rows,
        .count = count,
        .list_step = panel_bytes ? 0 : height * sizeof(ptrdiff_t),
        .panel_step = panel_bytes,
        .out_step = panel_bytes ? nr * (wide ? sizeof(int32_t) : 1) : 0,
        .term_step = panel_bytes ? nr * sizeof(int32_t) : 0,
        .runs = t->runs,
        .run_count = t->run_count,
        .run_bytes = t->groups * 4,
        .b = t->b,
        .b_skip = t->b_skip,
        .from = t->more ? t->acc : o->bias + t->column,
        .from_step = t->more ? nr * sizeof(int32_t) : 0,
        .add = t->row_add,
        .scale = o->scale + t->column,
        .next = t->next,
        .next_end = t->next_end,
        .next_step = t->next_step,
        .tail = t->groups - COLUMN_AHEAD > TAIL_GROUPS ? 4 * TAIL_GROUPS : 4,
        .first = t->far ? FAR_BYTES : COLUMN_NEAR,
        .then = t->far && panel_bytes ? FAR_BYTES : COLUMN_NEAR,
        .zero = (uint16_t)o->zero * 0x10001u,
        .flips = t->flip * 0x1010101u,
    };
    const size_t type = wide ? 0 : o->type == QDOT_U8 ? 1 : 2;
    columns[height - LEAST_ROWS][type][(adds ? 2 : 0) + (t->flip ? 1 : 0)](&c);
    if (!panel_bytes)
        cpu_go_on(t, nr, height * count, count);
    return true;
}

/* Tiles of 7 and 8 rows by 64 columns do not exist, nor of 4 to 6 by 48. */
static bool together_64(struct cpu_tile *t, size_t height, size_t count, size_t panel_bytes)
{
    return height >= LEAST_ROWS && height <= MR && tiles_together(t, height, count, panel_bytes);
}

static bool together_48(struct cpu_tile *t, size_t height, size_t count, size_t panel_bytes)
{
    return height > MR && tiles_together(t, height, count, panel_bytes);
}

const struct cpu_kernel cpu_kernel_6x64_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10,
             tile_11, tile_12},
    .tall_columns = 32,
    .together = together_64,
    .requantise = cpu_requantise_avx512,
    .stage = cpu_stage_bytes_avx512,
    .sum = cpu_sum_avx512,
    .a_bytes = 1,
    .flips = true,
};

const struct cpu_kernel cpu_kernel_8x48_avx512vnni = {
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8},
    .together = together_48,
    .requantise = cpu_requantise_avx512,
    .stage = cpu_stage_bytes_avx512,
    .sum = cpu_sum_avx512,
    .a_bytes = 1,
    .flips = true,
};
