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

INLINE __m512 widen(__m128i bytes, bool is_signed)
{
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes)
                                        : _mm512_cvtepu8_epi32(bytes));
}

/* What the line's function makes of b alone. */
INLINE __m512 second(const struct pairs p, __m128i bytes, bool product, bool is_signed)
{
    const __m512 b = widen(bytes, is_signed);
    return product ? _mm512_sub_ps(b, _mm512_set1_ps(p.b_zero))
                   : _mm512_fmadd_ps(b, _mm512_set1_ps(p.rb), _mm512_set1_ps(p.fixed));
}

struct sort {
    bool product, is_signed, one;
};

INLINE __m512i result(const struct pairs p, const struct sort sort, __m512 fixed, size_t i,
                      __mmask16 mask)
{
    const __m512 a = widen(_mm_maskz_loadu_epi8(mask, p.a + i), sort.is_signed);
    const __m512 ra = _mm512_set1_ps(p.ra);
    const __m512 b =
        sort.one ? fixed
                 : second(p, _mm_maskz_loadu_epi8(mask, p.b + i), sort.product, sort.is_signed);
    if (!sort.product)
        return _mm512_cvtps_epi32(_mm512_fmadd_ps(a, ra, b));
    const __m512 v = _mm512_mul_ps(_mm512_sub_ps(a, _mm512_set1_ps(p.a_zero)), b);
    const __m512 scaled = _mm512_mul_ps(v, ra);
    return _mm512_cvtps_epi32(_mm512_add_ps(scaled, _mm512_set1_ps(p.fixed)));
}

INLINE void line(const struct pairs p, const struct sort sort, size_t count)
{
    const __mmask16 all = 0xffff;
    const __m512 fixed = second(p, _mm_set1_epi8((char)p.b[0]), sort.product, sort.is_signed);
    const __m512i none = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + WHOLE <= count; i += WHOLE) {
        const __m512i v = result(p, sort, fixed, i, all);
        const __m512i w = result(p, sort, fixed, i + LANES, all);
        const __m512i x = result(p, sort, fixed, i + 2 * LANES, all);
        const __m512i y = result(p, sort, fixed, i + 3 * LANES, all);
        _mm512_storeu_si512(p.y + i, pack(v, w, x, y, sort.is_signed));
    }
    for (; i < count; i += LANES) {
        const __mmask16 mask = first_of(count - i);
        const __m512i v = result(p, sort, fixed, i, mask);
        const __m128i bytes = _mm512_castsi512_si128(pack(v, none, none, none, sort.is_signed));
        _mm_mask_storeu_epi8(p.y + i, mask, bytes);
    }
}

#define LINE(name, ...)                                          \
    TARGET static void name(const struct pairs *p, size_t count) \
    {                                                            \
        line(*p, (struct sort){__VA_ARGS__}, count);             \
    }
LINE(add_u8, false, false, false)
LINE(add_u8_one, false, false, true)
LINE(add_s8, false, true, false)
LINE(add_s8_one, false, true, true)
LINE(mul_u8, true, false, false)
LINE(mul_u8_one, true, false, true)
LINE(mul_s8, true, true, false)
LINE(mul_s8_one, true, true, true)

pair_line *fast_pair_line(bool product, bool is_signed, bool one)
{
    static pair_line *const lines[2][2][2] = {
        {{add_u8, add_u8_one}, {add_s8, add_s8_one}},
        {{mul_u8, mul_u8_one}, {mul_s8, mul_s8_one}},
    };
    const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl");
    return has ? lines[product][is_signed][one] : NULL;
}

#else
pair_line *fast_pair_line(bool product, bool is_signed, bool one)
{
    (void)product;
    (void)is_signed;
    (void)one;
    return NULL;
}
#endif
