/*
 * Lines of max pools for one instruction set. Who includes it has defined TARGET; KERNEL, the name of
 * its struct cpu_pool_kernel; VECTOR, of LANES bytes, unaligned LOAD and STORE of it, its MAX, unsigned,
 * XOR, EACH(byte) of all lanes, and FEWER, which does lines shorter than a vector.
 */
#include "bytes.h"

static inline __attribute__((always_inline)) TARGET void largest_vector(const struct cpu_taps *t,
                                                                        size_t j)
{
    const VECTOR flip = EACH(t->flip);
    VECTOR most = EACH(0);
    for (size_t row = 0; row < t->rows; row++) {
        const uint8_t *from = t->from + row * t->row_step + j;
        for (size_t column = 0; column < t->columns; column++, from += t->column_step)
            most = MAX(most, XOR(LOAD(from), flip));
    }
    STORE(t->to + j, XOR(most, EACH(t->flip_back)));
}

/* The last vector begins where it ends with the line: some bytes are made twice. */
TARGET static void largest(const struct cpu_taps *t)
{
    if (t->count < LANES) {
        FEWER(t);
        return;
    }
    for (size_t j = 0; j + LANES <= t->count; j += LANES)
        largest_vector(t, j);
    if (t->count % LANES)
        largest_vector(t, t->count - LANES);
}

const struct cpu_pool_kernel KERNEL = {largest};
