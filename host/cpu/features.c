/* What this processor and its operating system can do, in the bundles that rows ask for. */
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t cpu_features(void)
{
    unsigned a, b, c, d, a1, b1, c1, d1;
    uint32_t found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    const uint64_t state = enabled_state();
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0; /* the system does not save ymm */
    if (!(b & bit_AVX2))
        return 0;
    found |= CPU_AVX2;
    if (a >= 1 && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && (a1 & 1u << 4))
        found |= CPU_AVXVNNI;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((state & 0xe6) == 0xe6 && (b & avx512) == avx512 && (c & bit_AVX512VNNI))
        found |= CPU_AVX512VNNI;
    return found;
}
#else
uint32_t cpu_features(void)
{
    return 0;
}
#endif
