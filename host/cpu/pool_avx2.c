/* Lines of max pools, by AVX2. */
#include <immintrin.h>
#define TARGET __attribute__((target("avx2")))
#define KERNEL cpu_pool_avx2
#define LANES 32
#define VECTOR __m256i
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(const void *)(from))
#define STORE(to, value) _mm256_storeu_si256((__m256i *)(void *)(to), value)
#define MAX(a, b) _mm256_max_epu8(a, b)
#define XOR(a, b) _mm256_xor_si256(a, b)
#define EACH(byte) _mm256_set1_epi8((char)(byte))
#define FEWER(t) cpu_pool.largest(t)
#include "pool_lines.h"
