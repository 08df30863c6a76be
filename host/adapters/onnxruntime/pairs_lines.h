/* Sums and products of two lines of quantised values, by instructions that compilers do not find. */
#ifndef ADAPTER_PAIRS_LINES_H
#define ADAPTER_PAIRS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The formulas of pairs.c; what is rounded is less than 2^31. */
struct pairs {
    const uint8_t *a, *b;
    uint8_t *y;
    float ra, rb, fixed;
    float a_zero, b_zero; /* of a product */
};

typedef void pair_line(const struct pairs *p, size_t count);

/* For this processor; NULL: none. one: b is one value for the whole line. */
pair_line *fast_pair_line(bool product, bool is_signed, bool one);

#endif
