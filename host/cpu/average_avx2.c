/* Lines of average pools, by AVX2. */
#include <immintrin.h>
#define TARGET __attribute__((target("avx2")))
#define KERNEL cpu_average_avx2
#define LANES 8
#define VECTOR __m256
#define INTEGERS __m256i
#define LOAD(from) _mm256_loadu_ps(from)
#define STORE(to, value) _mm256_storeu_ps(to, value)
#define EACH(value) _mm256_set1_ps(value)
#define BYTES(from, flip)                                  \
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_xor_si128( \
        _mm_loadl_epi64((const __m128i *)(const void *)(from)), _mm_set1_epi8((char)(flip)))))
#define MIN(a, b) _mm256_min_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define AWAY(sum, half) \
    ((sum) + _mm256_blendv_ps(-(half), half, _mm256_cmp_ps(sum, EACH(0), _CMP_GT_OQ)))
#define TRUNCATE(x) _mm256_cvttps_epi32(x)
#define TO_EVEN(x, more) _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(more))
#define STORE_BYTES(to, integers) store_bytes(to, integers)

/* The low byte of each. */
static inline __attribute__((always_inline, target("avx2"))) void store_bytes(unsigned char *to,
                                                                              __m256i integers)
{
    const __m256i low = _mm256_shuffle_epi8(
        integers, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,
                                   4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    _mm_storel_epi64((__m128i *)(void *)to, _mm_unpacklo_epi32(_mm256_castsi256_si128(low),
                                                               _mm256_extracti128_si256(low, 1)));
}
#include "average_lines.h"
