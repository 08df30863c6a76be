/* Sums of two lines of quantised values, by instructions that compilers do not find. */
#ifndef ADAPTER_PAIRS_LINES_H
#define ADAPTER_PAIRS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y = sat(rne(fma(a, ra, fma(b, rb, fixed)))); what is rounded is less than 2^31. */
struct sums {
    const uint8_t *a, *b;
    uint8_t *y;
    float ra, rb, fixed;
};

typedef void add_line(const struct sums *s, size_t count);

/* For this processor; NULL: none. y is s8, or u8. */
add_line *fast_add_line(bool is_signed);

#endif
