/* Lines of average pools, by AVX-512. */
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw")))
#define KERNEL cpu_average_avx512
#define LANES 16
#define VECTOR __m512
#define INTEGERS __m512i
#define LOAD(from) _mm512_loadu_ps(from)
#define STORE(to, value) _mm512_storeu_ps(to, value)
#define EACH(value) _mm512_set1_ps(value)
#define BYTES(from, flip)                                  \
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_xor_si128( \
        _mm_loadu_si128((const __m128i *)(const void *)(from)), _mm_set1_epi8((char)(flip)))))
#define MIN(a, b) _mm512_min_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define AWAY(sum, half) \
    ((sum) + _mm512_mask_blend_ps(_mm512_cmp_ps_mask(sum, EACH(0), _CMP_GT_OQ), -(half), half))
#define TRUNCATE(x) _mm512_cvttps_epi32(x)
#define TO_EVEN(x, more) _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(more))
#define STORE_BYTES(to, integers) \
    _mm_storeu_si128((__m128i *)(void *)(to), _mm512_cvtepi32_epi8(integers))
#include "average_lines.h"
