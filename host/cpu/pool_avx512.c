/* Lines of max pools, by AVX-512. */
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw")))
#define KERNEL cpu_pool_avx512
#define LANES 64
#define VECTOR __m512i
#define LOAD(from) _mm512_loadu_si512(from)
#define STORE(to, value) _mm512_storeu_si512(to, value)
#define MAX(a, b) _mm512_max_epu8(a, b)
#define XOR(a, b) _mm512_xor_si512(a, b)
#define EACH(byte) _mm512_set1_epi8((char)(byte))
#define FEWER(t) cpu_pool_avx2.largest(t)
#include "pool_lines.h"
