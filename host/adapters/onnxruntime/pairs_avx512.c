/*
 * Lines by AVX-512, 64 values at a time. Compilers take twice the instructions: they widen bytes in two
 * steps and have no saturating packs.
 */
#include "pairs_lines.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 16, WHOLE = 4 * LANES };

/* Packs go by 128 bits: there the 4 values of each of 4 vectors are beside each other. */
INLINE __m512i pack(__m512i a, __m512i b, __m512i c, __m512i d, bool is_signed)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_packs_epi32(a, b), high = _mm512_packs_epi32(c, d);
    const __m512i bytes =
        is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* Of the values that are left. */
INLINE __mmask16 first_of(size_t left)
{
    return left < LANES ? (__mmask16)((1u << left) - 1) : 0xffff;
}

INLINE __m512 load(const uint8_t *from, __mmask16 mask, bool is_signed)
{
    const __m128i bytes = _mm_maskz_loadu_epi8(mask, from);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes)
                                        : _mm512_cvtepu8_epi32(bytes));
}

INLINE __m512i sum(const struct sums s, size_t i, __mmask16 mask, bool is_signed)
{
    const __m512 ra = _mm512_set1_ps(s.ra), rb = _mm512_set1_ps(s.rb);
    const __m512 b = _mm512_fmadd_ps(load(s.b + i, mask, is_signed), rb, _mm512_set1_ps(s.fixed));
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(load(s.a + i, mask, is_signed), ra, b));
}

INLINE void add(const struct sums s, size_t count, bool is_signed)
{
    const __mmask16 all = 0xffff;
    size_t i = 0;
    for (; i + WHOLE <= count; i += WHOLE)
        _mm512_storeu_si512(s.y + i,
                            pack(sum(s, i, all, is_signed), sum(s, i + LANES, all, is_signed),
                                 sum(s, i + 2 * LANES, all, is_signed),
                                 sum(s, i + 3 * LANES, all, is_signed), is_signed));
    for (; i < count; i += LANES) {
        const __mmask16 mask = first_of(count - i);
        const __m512i bytes = pack(sum(s, i, mask, is_signed), _mm512_setzero_si512(),
                                   _mm512_setzero_si512(), _mm512_setzero_si512(), is_signed);
        _mm_mask_storeu_epi8(s.y + i, mask, _mm512_castsi512_si128(bytes));
    }
}

TARGET static void add_u8(const struct sums *s, size_t count)
{
    add(*s, count, false);
}

TARGET static void add_s8(const struct sums *s, size_t count)
{
    add(*s, count, true);
}

add_line *fast_add_line(bool is_signed)
{
    const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl");
    return !has ? NULL : is_signed ? add_s8 : add_u8;
}

#else
add_line *fast_add_line(bool is_signed)
{
    (void)is_signed;
    return NULL;
}
#endif
