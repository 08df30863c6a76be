/* What this processor and its operating system can do, in the bundles that rows ask for. */
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdio.h>
#include <string.h>

static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Under a hypervisor each cpuid takes microseconds: none is asked twice. */
uint32_t cpu_features(void)
{
    unsigned a, b, c, d, a1, b1, c1, d1;
    uint32_t found = 0;
    const unsigned last = (unsigned)__get_cpuid_max(0, NULL);
    if (last < 7)
        return 0;
    __cpuid(1, a, b, c, d);
    if (!(c & bit_OSXSAVE))
        return 0;
    const uint64_t state = enabled_state();
    __cpuid_count(7, 0, a, b, c, d);
    if ((state & 0x6) != 0x6 || !(b & bit_AVX2))
        return 0; /* or the system does not save ymm */
    found |= CPU_AVX2;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((state & 0xe6) == 0xe6 && (b & avx512) == avx512 && (c & bit_AVX512VNNI))
        found |= CPU_AVX512VNNI | (c & bit_AVX512VBMI ? CPU_AVX512VBMI : 0);
    if (a >= 1) {
        __cpuid_count(7, 1, a1, b1, c1, d1);
        if (a1 & 1u << 4)
            found |= CPU_AVXVNNI;
    }
    return found;
}

void cpu_name(char name[CPU_NAME_BYTES])
{
    unsigned words[13] = {0};
    if ((unsigned)__get_cpuid_max(0x80000000, NULL) >= 0x80000004)
        for (unsigned i = 0; i < 3; i++)
            __cpuid(0x80000002 + i, words[4 * i], words[4 * i + 1], words[4 * i + 2],
                    words[4 * i + 3]);
    const char *text = (const char *)words;
    text += strspn(text, " ");
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ')
        length--;
    snprintf(name, CPU_NAME_BYTES, "%.*s", (int)length, text);
}
#else
uint32_t cpu_features(void)
{
    return 0;
}

void cpu_name(char name[CPU_NAME_BYTES])
{
    name[0] = '\0';
}
#endif
