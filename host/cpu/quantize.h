/* The ops on elements: what quantize.c wants of the lines of each instruction set. */
#ifndef QDOT_CPU_QUANTIZE_H
#define QDOT_CPU_QUANTIZE_H

#include "cpu.h"

/* Neighbours whose parameters are neighbours too, or the same. */
struct cpu_line {
    const void *x;
    const float *dy; /* of a gradient */
    void *out;
    size_t count;
    const float *scale;
    const int32_t *zero;
    int32_t lo, hi;
};
typedef void cpu_line_fn(const struct cpu_line *l);

struct cpu_elements_kernel {
    /* By 'each' and 'reciprocal' of struct qdot_elements; 4-bit values are bytes here. */
    cpu_line_fn *quantize[2][2][2]; /* to 1 or 2 bytes */
    cpu_line_fn *dequantize[QDOT_U16 + 1][2];
    cpu_line_fn *fake[2][2], *gradient[2][2];
    /* Raises *most and *least to the largest of x and of -x. */
    void (*range)(const float *x, size_t count, float *most, float *least);
    /* Two values a byte, from and to bytes. */
    void (*pack)(const uint8_t *values, size_t count, uint8_t *packed);
    void (*unpack)(const uint8_t *packed, size_t count, uint8_t *values, bool is_signed);
};

extern const struct cpu_elements_kernel cpu_elements;
#if defined(__x86_64__)
extern const struct cpu_elements_kernel cpu_elements_avx2, cpu_elements_avx512;
#endif

int cpu_elements_prepare(struct qdot_op *op, struct qdot_error *err);
void cpu_elements_unprepare(struct qdot_op *op);
void cpu_elements_run(struct qdot_op *op, const struct qdot_run *args);

#endif
