/* Staging of A: flipped and widened once, K padded with zeros. */
#include <string.h>
#include "cpu.h"

/* Sum of 'count' bytes after the flip. Signed bytes are summed as unsigned ones 128 higher. */
static uint32_t sum_bytes(const uint8_t *a, size_t count, uint8_t flip, bool is_signed)
{
    uint32_t sum = 0;
    const uint8_t to_unsigned = is_signed ? flip ^ 0x80 : flip;
    for (size_t i = 0; i < count; i++)
        sum += (uint8_t)(a[i] ^ to_unsigned);
    return is_signed ? sum - 128u * (uint32_t)count : sum;
}

uint32_t cpu_stage_bytes(void *staged, const uint8_t *a, size_t count, size_t padded, uint8_t flip,
                         bool is_signed)
{
    uint8_t *target = staged;
    for (size_t i = 0; i < count; i++)
        target[i] = a[i] ^ flip;
    memset(target + count, 0, padded - count);
    return sum_bytes(a, count, flip, is_signed);
}

uint32_t cpu_stage_shorts(void *staged, const uint8_t *a, size_t count, size_t padded, uint8_t flip,
                          bool is_signed)
{
    int16_t *target = staged;
    if (is_signed)
        for (size_t i = 0; i < count; i++)
            target[i] = (int8_t)(a[i] ^ flip);
    else
        for (size_t i = 0; i < count; i++)
            target[i] = a[i] ^ flip;
    memset(target + count, 0, (padded - count) * sizeof(*target));
    return sum_bytes(a, count, flip, is_signed);
}
