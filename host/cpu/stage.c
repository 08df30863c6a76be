/* Staging of A: the rows of a micro-kernel's tile side by side, flipped once, K padded with zeros.
 */
#include <string.h>
#include "cpu.h"

/* Sum of 'count' bytes after the flip, which maps u8 to s8 or back: as unsigned, then corrected. */
static uint32_t sum_bytes(const uint8_t *a, size_t count, uint8_t flip, bool is_signed)
{
    uint32_t sum = 0;
    const uint8_t bias = is_signed ? flip ^ 0x80 : flip; /* to unsigned order */
    for (size_t i = 0; i < count; i++)
        sum += (uint8_t)(a[i] ^ bias);
    return is_signed ? sum - 128u * (uint32_t)count : sum;
}

void cpu_stage_bytes(void *panel, const uint8_t *a, size_t lda, size_t rows, size_t k0,
                     size_t groups, size_t k, uint8_t flip, bool is_signed, int32_t *row_sum)
{
    const size_t valid = k - k0 < groups * 4 ? k - k0 : groups * 4;
    const size_t whole = valid / 4;
    const uint32_t flips = flip * 0x01010101u;
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *source = a + r * lda + k0;
        uint8_t *target = (uint8_t *)panel + r * 4;
        for (size_t g = 0; g < whole; g++) {
            uint32_t word;
            memcpy(&word, source + g * 4, 4);
            word ^= flips;
            memcpy(target + g * rows * 4, &word, 4);
        }
        if (whole < groups) {
            uint8_t tail[4] = {0, 0, 0, 0};
            for (size_t i = whole * 4; i < valid; i++)
                tail[i - whole * 4] = source[i] ^ flip;
            memcpy(target + whole * rows * 4, tail, 4);
        }
        if (row_sum)
            row_sum[r] =
                (int32_t)((uint32_t)row_sum[r] + sum_bytes(source, valid, flip, is_signed));
    }
}

void cpu_stage_shorts(void *panel, const uint8_t *a, size_t lda, size_t rows, size_t k0,
                      size_t groups, size_t k, uint8_t flip, bool is_signed, int32_t *row_sum)
{
    const size_t valid = k - k0 < groups * 2 ? k - k0 : groups * 2;
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *source = a + r * lda + k0;
        int16_t *target = (int16_t *)panel + r * 2;
        for (size_t g = 0; g < groups; g++) {
            for (size_t i = 0; i < 2; i++) {
                const uint8_t byte = g * 2 + i < valid ? source[g * 2 + i] ^ flip : 0;
                target[g * rows * 2 + i] = is_signed ? (int8_t)byte : byte;
            }
        }
        if (row_sum)
            row_sum[r] =
                (int32_t)((uint32_t)row_sum[r] + sum_bytes(source, valid, flip, is_signed));
    }
}
