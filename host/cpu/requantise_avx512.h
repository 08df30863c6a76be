/* Roundings by integers of 16 sums in a register, all shifted right by 2 or more. The text that
 * includes this defines INLINE. requantise_avx2.c, which does the same with half as wide vectors,
 * says why it is right. */
#ifndef QDOT_REQUANTISE_AVX512_H
#define QDOT_REQUANTISE_AVX512_H

#include <immintrin.h>
#include "cpu.h"

/* Of 16 columns. */
struct cpu_fixed {
    __m512i multiplier, multiplier_odd, add, shift;
};

INLINE struct cpu_fixed fixed_of(__m512i multiplier, __m512i shift)
{
    const __m512i one = _mm512_set1_epi32(1),
                  right = _mm512_sub_epi32(_mm512_setzero_si512(), shift);
    return (struct cpu_fixed){multiplier, _mm512_srli_epi64(multiplier, 32),
                              _mm512_sllv_epi32(one, _mm512_sub_epi32(right, _mm512_set1_epi32(2))),
                              _mm512_sub_epi32(right, one)};
}

INLINE __m512i rounded(__m512i acc, const struct cpu_fixed *f, const enum qdot_rounding rounding)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
    const __m512i negative = _mm512_set1_epi64((int64_t)1 << 31);
    const __m512i acc_odd = _mm512_srli_epi64(acc, 32);
    __m512i even = _mm512_mul_epi32(acc, f->multiplier);
    __m512i odd = _mm512_mul_epi32(acc_odd, f->multiplier_odd);
    if (rounding != QDOT_ROUND_Q31_SINGLE_UP) {
        even = _mm512_add_epi64(even, half);
        odd = _mm512_add_epi64(odd, half);
    }
    if (rounding == QDOT_ROUND_Q31_DOUBLE_AWAY) {
        even = _mm512_sub_epi64(even, _mm512_and_si512(acc, negative));
        odd = _mm512_sub_epi64(odd, _mm512_and_si512(acc_odd, negative));
    }
    const __m512i high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
    return _mm512_srav_epi32(_mm512_add_epi32(high, f->add), f->shift);
}

#endif
