/* Lines of elements, by AVX2. */
#define TARGET __attribute__((target("avx2")))
#define KERNEL cpu_elements_avx2
#define LANES 32
#include "quantize_lines.h"
