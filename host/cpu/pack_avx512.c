/* Packing for the AVX-512 VNNI rows of groups of 4 k: pieces of B, 64 or 16 columns at a time, with
 * masks where there are fewer. vpdpbusd sums the columns up. */
#include <immintrin.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define PREFETCH_COLUMNS 64 /* the next panel's, of the same rows */

/* One group of up to 64 columns from 'depth' rows of B; zeros instead of the others. */
INLINE void rows_group(const struct qdot_piece *p, const uint8_t *b, uint8_t *to,
                       const size_t depth, const bool whole, size_t columns)
{
    /* Unpacking works within 128-bit lanes: pieces of four columns are put where it needs them. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i flips = _mm512_set1_epi8((char)p->flip);
    const __mmask64 mask = whole ? ~(__mmask64)0 : ((__mmask64)1 << columns) - 1;
    __m512i v[4], low[2], high[2];
    UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
        v[i] = _mm512_setzero_si512();
        if (i < depth) {
            const uint8_t *row = b + i * p->ldb;
            v[i] = whole ? _mm512_loadu_si512(row) : _mm512_maskz_loadu_epi8(mask, row);
            v[i] = _mm512_permutexvar_epi32(order, _mm512_xor_si512(v[i], flips));
            _mm_prefetch((const char *)row + PREFETCH_COLUMNS, _MM_HINT_T0);
        }
    }
    UNROLL(2)
    for (size_t i = 0; i < 2; i++) {
        low[i] = _mm512_unpacklo_epi8(v[2 * i], v[2 * i + 1]);
        high[i] = _mm512_unpackhi_epi8(v[2 * i], v[2 * i + 1]);
    }
    v[0] = _mm512_unpacklo_epi16(low[0], low[1]);
    v[1] = _mm512_unpackhi_epi16(low[0], low[1]);
    v[2] = _mm512_unpacklo_epi16(high[0], high[1]);
    v[3] = _mm512_unpackhi_epi16(high[0], high[1]);
    UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
        if (whole)
            _mm512_storeu_si512(to + i * 64, v[i]);
        else
            _mm512_mask_storeu_epi32(to + i * 64, (__mmask16)(mask >> i * 16), v[i]);
    }
}

INLINE void rows_panel(const struct qdot_piece *p, size_t first, const bool whole)
{
    const size_t columns = p->columns - first;
    const uint8_t *b = p->b + first;
    uint8_t *to = p->to + first * 4;
    size_t k = 0;
    for (; k + 4 <= p->k; k += 4, b += 4 * p->ldb, to += p->group_bytes)
        rows_group(p, b, to, 4, whole, columns);
    if (p->k - k == 3)
        rows_group(p, b, to, 3, whole, columns);
    else if (p->k - k == 2)
        rows_group(p, b, to, 2, whole, columns);
    else if (p->k - k == 1)
        rows_group(p, b, to, 1, whole, columns);
}

static TARGET void pack_rows(const struct qdot_piece *p)
{
    size_t j = 0;
    for (; j + 64 <= p->columns; j += 64)
        rows_panel(p, j, true);
    if (j < p->columns)
        rows_panel(p, j, false);
}

/* 16 registers of 16 dwords, transposed: first within lanes, then the lanes. */
INLINE void transpose(__m512i *v)
{
    __m512i w[16];
    UNROLL(8)
    for (size_t i = 0; i < 16; i += 2) {
        w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL(4)
    for (size_t i = 0; i < 16; i += 4) { /* lane l of v[i + j]: dword 4 l + j of four registers */
        v[i] = _mm512_unpacklo_epi64(w[i], w[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(w[i], w[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(w[i + 1], w[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(w[i + 1], w[i + 3]);
    }
    UNROLL(4)
    for (size_t j = 0; j < 4; j++) {
        const __m512i even0 = _mm512_shuffle_i32x4(v[j], v[j + 4], 0x88);
        const __m512i even1 = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0x88);
        const __m512i odd0 = _mm512_shuffle_i32x4(v[j], v[j + 4], 0xdd);
        const __m512i odd1 = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0xdd);
        v[j] = _mm512_shuffle_i32x4(even0, even1, 0x88);
        v[j + 4] = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
        v[j + 8] = _mm512_shuffle_i32x4(even0, even1, 0xdd);
        v[j + 12] = _mm512_shuffle_i32x4(odd0, odd1, 0xdd);
    }
}

/* 16 columns of 64 k. */
INLINE void whole_block(const struct qdot_piece *p, const uint8_t *b, uint8_t *to)
{
    const __m512i flips = _mm512_set1_epi8((char)p->flip);
    __m512i v[16];
    UNROLL(16)
    for (size_t i = 0; i < 16; i++)
        v[i] = _mm512_xor_si512(_mm512_loadu_si512(b + i * p->ldb), flips);
    transpose(v);
    UNROLL(16)
    for (size_t g = 0; g < 16; g++)
        _mm512_storeu_si512(to + g * p->group_bytes, v[g]);
}

/* Fewer columns, or k, or of both. */
static TARGET void ragged_block(const struct qdot_piece *p, const uint8_t *b, uint8_t *to,
                                size_t columns, size_t k)
{
    const __mmask64 mask = ~(__mmask64)0 >> (64 - k);
    const __m512i flips = _mm512_maskz_set1_epi8(mask, (char)p->flip);
    __m512i v[16];
    for (size_t i = 0; i < 16; i++)
        v[i] = i < columns ? _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, b + i * p->ldb), flips)
                           : _mm512_setzero_si512();
    transpose(v);
    for (size_t g = 0; g * 4 < k; g++)
        _mm512_mask_storeu_epi32(to + g * p->group_bytes, (__mmask16)((1u << columns) - 1), v[g]);
}

static TARGET void pack_columns(const struct qdot_piece *p)
{
    for (size_t j = 0; j < p->columns; j += 16) {
        const size_t columns = p->columns - j < 16 ? p->columns - j : 16;
        const uint8_t *b = p->b + j * p->ldb;
        uint8_t *to = p->to + j * 4;
        size_t k = 0;
        for (; columns == 16 && k + 64 <= p->k; k += 64)
            whole_block(p, b + k, to + k / 4 * p->group_bytes);
        for (; k < p->k; k += 64)
            ragged_block(p, b + k, to + k / 4 * p->group_bytes, columns,
                         p->k - k < 64 ? p->k - k : 64);
    }
}

/* Up to 64 columns. */
INLINE void sum_panel(const struct qdot_piece *p, size_t first, const bool whole)
{
    const __m512i ones = _mm512_set1_epi8(1);
    const size_t columns = whole ? 64 : p->columns - first;
    const __mmask64 mask = whole ? ~(__mmask64)0 : ((__mmask64)1 << columns) - 1;
    const uint8_t *group = p->to + first * 4;
    int32_t *sums = p->col_sum + first;
    __m512i sum[4];
    UNROLL(4)
    for (size_t i = 0; i < 4; i++)
        sum[i] = _mm512_maskz_loadu_epi32((__mmask16)(mask >> i * 16), sums + i * 16);
    for (size_t g = 0; g < p->groups; g++, group += p->group_bytes) {
        UNROLL(4)
        for (size_t i = 0; i < 4; i++) {
            const __m512i v = _mm512_maskz_loadu_epi32((__mmask16)(mask >> i * 16), group + i * 64);
            sum[i] = _mm512_dpbusd_epi32(sum[i], ones, v);
        }
    }
    UNROLL(4)
    for (size_t i = 0; i < 4; i++)
        _mm512_mask_storeu_epi32(sums + i * 16, (__mmask16)(mask >> i * 16), sum[i]);
}

static TARGET void add_sums(const struct qdot_piece *p)
{
    size_t j = 0;
    for (; j + 64 <= p->columns; j += 64)
        sum_panel(p, j, true);
    if (j < p->columns)
        sum_panel(p, j, false);
}

const struct qdot_packer cpu_packer_k4_avx512vnni = {pack_rows, pack_columns, add_sums};
