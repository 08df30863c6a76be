/*
 * Lines of average pools for one instruction set. Who includes it has defined TARGET; KERNEL, the name of
 * its struct cpu_average_kernel; VECTOR, of LANES floats, with the operators of C; unaligned LOAD and STORE of
 * it; EACH(float) of all lanes; BYTES(from, flip), LANES bytes with 'flip' in each as floats; MIN and MAX;
 * TO_EVEN and TRUNCATE, to integers as INTEGERS; STORE_BYTES(to, integers), their low bytes; and
 * AWAY(sum, half), sum + half where sum is positive, else sum - half, of vectors.
 */
#include <string.h>
#include "bytes.h"

#define INLINE static inline __attribute__((always_inline)) TARGET
#define BLOCK 4 /* vectors of which sums are in registers */

/* Every product and every sum is rounded: none is fused, by what the compiler is told. */
INLINE VECTOR term_of(const struct cpu_average *v, VECTOR x)
{
    return EACH(v->a_scale) * (x - EACH(v->a_zero));
}

/* Half of taps, rounded down, is what the quarter less is nearest to. */
INLINE INTEGERS output_of(const struct cpu_average *v, VECTOR sum, VECTOR taps)
{
    const VECTOR lo = EACH(v->lo), hi = EACH(v->hi), magic = EACH(CPU_ROUND_MAGIC);
    if (!v->scaled) {
        const VECTOR half = taps * EACH(0.5f) - EACH(0.25f) + magic - magic;
        return TRUNCATE(MIN(MAX(AWAY(sum, half) / taps, lo), hi));
    }
    const VECTOR x = sum / taps / EACH(v->out_scale) + EACH(v->zero_first);
    return TO_EVEN(MIN(MAX(x, lo), hi), v->zero_behind);
}

/* 'many' vectors from lane j on. */
INLINE void pixel_vectors(const struct cpu_average *v, const struct cpu_taps *t, float taps,
                          size_t j, const size_t many)
{
    VECTOR sums[BLOCK];
    for (size_t i = 0; i < many; i++)
        sums[i] = EACH(0);
    for (size_t row = 0; row < t->rows; row++) {
        const uint8_t *from = t->from + row * t->row_step + j;
        for (size_t column = 0; column < t->columns; column++, from += t->column_step)
            for (size_t i = 0; i < many; i++)
                sums[i] += term_of(v, BYTES(from + i * LANES, v->flip));
    }
    for (size_t i = 0; i < many; i++)
        STORE_BYTES(t->to + j + i * LANES, output_of(v, sums[i], EACH(taps)));
}

/* Of fewer lanes than a vector has. */
TARGET static void pixel_lanes(const struct cpu_average *v, const struct cpu_taps *t, float taps)
{
    VECTOR sum = EACH(0);
    uint8_t bytes[LANES] = {0};
    for (size_t row = 0; row < t->rows; row++) {
        const uint8_t *from = t->from + row * t->row_step;
        for (size_t column = 0; column < t->columns; column++, from += t->column_step) {
            for (size_t i = 0; i < t->count; i++)
                bytes[i] = from[i];
            sum += term_of(v, BYTES(bytes, v->flip));
        }
    }
    STORE_BYTES(bytes, output_of(v, sum, EACH(taps)));
    memcpy(t->to, bytes, t->count);
}

/* The last vector begins where it ends with the line: some outputs are made twice. */
TARGET static void pixel(const struct cpu_average *v, const struct cpu_taps *t, float taps)
{
    size_t j = 0;
    if (t->count < LANES) {
        pixel_lanes(v, t, taps);
        return;
    }
    for (; j + BLOCK * LANES <= t->count; j += BLOCK * LANES)
        pixel_vectors(v, t, taps, j, BLOCK);
    for (; j + LANES <= t->count; j += LANES)
        pixel_vectors(v, t, taps, j, 1);
    if (j < t->count)
        pixel_vectors(v, t, taps, t->count - LANES, 1);
}

TARGET static void terms(const struct cpu_average *v, const uint8_t *from, size_t count, float *to)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        STORE(to + i, term_of(v, BYTES(from + i, v->flip)));
    if (i < count) {
        uint8_t bytes[LANES] = {0};
        float few[LANES];
        memcpy(bytes, from + i, count - i);
        STORE(few, term_of(v, BYTES(bytes, v->flip)));
        memcpy(to + i, few, (count - i) * sizeof(float));
    }
}

TARGET static void add(const struct cpu_average_sums *s)
{
    for (size_t j = 0; j < s->count; j += LANES) {
        VECTOR sum = s->more ? LOAD(s->sums + j) : EACH(0);
        for (size_t row = 0; row < s->rows; row++)
            for (size_t i = 0; i < s->columns; i++)
                sum += LOAD(s->from + row * s->row_step + s->taps[i] + j);
        STORE(s->sums + j, sum);
    }
}

TARGET static void finish(const struct cpu_average *v, const float *sums, const float *taps,
                          size_t count, uint8_t *to)
{
    size_t j = 0;
    for (; j + LANES <= count; j += LANES)
        STORE_BYTES(to + j, output_of(v, LOAD(sums + j), LOAD(taps + j)));
    if (j < count) {
        uint8_t bytes[LANES];
        STORE_BYTES(bytes, output_of(v, LOAD(sums + j), LOAD(taps + j)));
        memcpy(to + j, bytes, count - j);
    }
}

const struct cpu_average_kernel KERNEL = {pixel, terms, add, finish};
