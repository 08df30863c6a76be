/* What is computed: a matrix product, or a convolution with NHWC input. */
#ifndef BENCH_SHAPE_H
#define BENCH_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include "qdot.h"

enum { SHAPE_TEXT = 96 };

struct shape {
    enum qdot_op_kind kind;
    /* Of a convolution, set by shape_complete: output pixels, output channels, and kh * kw * the
     * channels of a group, so that 2 * m * n * k operations and m * n outputs hold for both. */
    size_t m, n, k;
    struct qdot_conv conv; /* QDOT_CONV; by shape_complete with its defaults filled in */
    size_t out_h, out_w;
};

/* False, and one line, when it is no shape or its matrices do not fit in memory. */
bool shape_complete(struct shape *shape, char *reason, size_t reason_bytes);
/* "1x56x56x64 64x3x3 s1 p1 g1": batch x height x width x channels, output channels x kernel,
 * stride, padding, dilation (when not 1), groups; "s2x1": height x width; "p0x0x1x1": top x left x
 * bottom x right. In any order after the first two, and what is not there is the default. */
bool shape_parse_conv(const char *text, struct shape *shape);
/* One of its words, "s2", "p1", "d1x2" or "g32", as far as its end or a blank. */
bool shape_parse_letter(const char **text, struct qdot_conv *c);
/* "2x3x4": how many, or 0 when it is something else or more than 'capacity'. */
size_t shape_numbers(const char *text, size_t *values, size_t capacity);
/* That text, or "MxNxK". */
void shape_text(const struct shape *shape, char *text, size_t bytes);
size_t shape_inputs(const struct shape *shape); /* elements of A */
/* A matrix product, or a convolution that is one of its input [m,k] and its weights [n,k]. */
bool shape_is_product(const struct shape *shape);
/* Operations: a multiply-add is 2. Taps in the padding count, as they do in everybody's figures. */
double shape_ops(const struct shape *shape);
/* Of a product, the elements of the larger operand, which the other's rows or columns share. */
size_t shape_streamed(const struct shape *shape);
/* The part of them that is in the padding, 0 to 1. */
double shape_padding(const struct shape *shape);

#endif
