/* A table of 256 bytes in four registers: one instruction looks 64 bytes up in two of them, by the lowest
 * 7 bits; the highest says which two. */
#include <immintrin.h>
#include "bytes.h"
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vbmi")))

enum { LANES = 64 };

struct table {
    __m512i part[4];
};

static inline __attribute__((always_inline)) TARGET __m512i entries(const struct table *t,
                                                                    __m512i index)
{
    const __m512i low = _mm512_permutex2var_epi8(t->part[0], index, t->part[1]);
    const __m512i high = _mm512_permutex2var_epi8(t->part[2], index, t->part[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
}

TARGET static void look_up(const uint8_t *table, const uint8_t *from, uint8_t *to, size_t count)
{
    struct table t;
    size_t i = 0;
    for (size_t part = 0; part < 4; part++)
        t.part[part] = _mm512_loadu_si512(table + part * LANES);
    for (; i + LANES <= count; i += LANES)
        _mm512_storeu_si512(to + i, entries(&t, _mm512_loadu_si512(from + i)));
    if (i < count) {
        const __mmask64 left = ((__mmask64)1 << (count - i)) - 1;
        _mm512_mask_storeu_epi8(to + i, left, entries(&t, _mm512_maskz_loadu_epi8(left, from + i)));
    }
}

const struct cpu_map_kernel cpu_map_avx512vbmi = {look_up};
