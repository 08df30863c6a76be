/* A table of 256 bytes in four registers: one instruction looks 64 bytes up in two of them, by the lowest
 * 7 bits; the highest says which two. And few planes that become pixels. */
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

/* 64 lines become 'count' vectors; a vector's bytes come from two pairs of planes. */
TARGET static void weave(const uint8_t *from, size_t from_step, uint8_t *to, size_t lines,
                         size_t count)
{
    __m512i index[4];
    __mmask64 second[4];
    size_t line = 0;
    for (size_t v = 0; v < count; v++) {
        uint8_t bytes[LANES];
        second[v] = 0;
        for (size_t i = 0; i < LANES; i++) {
            const size_t at = v * LANES + i, plane = at % count;
            bytes[i] = (uint8_t)(at / count + (plane % 2 ? LANES : 0));
            second[v] |= (__mmask64)(plane >= 2) << i;
        }
        index[v] = _mm512_loadu_si512(bytes);
    }
    for (; line + LANES <= lines; line += LANES, to += LANES * count) {
        __m512i plane[4];
        for (size_t j = 0; j < 4; j++) /* what is not there is in no byte */
            plane[j] = _mm512_loadu_si512(from + (j < count ? j : 0) * from_step + line);
        for (size_t v = 0; v < count; v++) {
            const __m512i low = _mm512_permutex2var_epi8(plane[0], index[v], plane[1]);
            const __m512i high = _mm512_permutex2var_epi8(plane[2], index[v], plane[3]);
            _mm512_storeu_si512(to + v * LANES, _mm512_mask_blend_epi8(second[v], low, high));
        }
    }
    for (; line < lines; line++)
        for (size_t j = 0; j < count; j++)
            *to++ = from[j * from_step + line];
}

const struct cpu_map_kernel cpu_map_avx512vbmi = {look_up, weave};
