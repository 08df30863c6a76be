/* Lines of elements, by AVX-512. */
#if defined(__clang__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"), min_vector_width(512)))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")))
#endif
#define KERNEL cpu_elements_avx512
#define LANES 64
#include "quantize_lines.h"
