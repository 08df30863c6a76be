/*
 * The reference: what every kernel must give, by the formula at the top of qdot.h, from unpacked
 * operands. It shares nothing with the library but the enums of qdot.h.
 */
#ifndef REF_H
#define REF_H

#include <stddef.h>
#include <stdint.h>
#include "qdot.h"

struct ref_problem {
    const struct qdot_conv *conv; /* NULL: a GEMM. Else m counts images, n is out_channels, k is not
                                     read, lda and ldo are between pixels (NCHW: not read), B lies
                                     as qdot.h says; none of its fields is left to its default */
    size_t m, n, k;
    enum qdot_type a_type, b_type, out_type; /* none of them the default */
    const void *a, *b;
    size_t lda, ldb;
    int b_transposed;
    const int32_t *a_zero; /* a_zero_count: 0, 1 or m */
    size_t a_zero_count;
    const int32_t *b_zero; /* b_zero_count: 0, 1 or n */
    size_t b_zero_count;
    const int32_t *bias; /* n, or NULL */
    const float *scale;  /* scale_count: 0, 1 or n */
    size_t scale_count;
    enum qdot_rounding rounding;
    const int32_t *multiplier,
        *shift; /* multiplier_count: 1 or n where the rounding is a Q31 one */
    size_t multiplier_count;
    const float *row_scale;               /* m, or NULL */
    const float *bias_f;                  /* n, or NULL */
    int32_t out_zero, clamp_lo, clamp_hi; /* both clamps 0: the type's range */
};

size_t ref_size(enum qdot_type type);
/* Rows and columns of a convolution's output; 0 where it is empty. */
void ref_conv_output(const struct qdot_conv *c, size_t *height, size_t *width);
int ref_run(const struct ref_problem *p, void *out, size_t ldo); /* 0, or -1: out of memory */

/* The ops on elements. Parameters: one; 'each': one an index of axis; or 'group' as in qdot.h. */
struct ref_elements {
    enum qdot_op_kind kind;
    enum qdot_type type;
    size_t outer, axis, inner, group; /* none of the sizes 0 */
    int each, reciprocal;
    const void *x;
    const void *dy;
    const float *scale;  /* NULL: 1 */
    const int32_t *zero; /* NULL: 0 */
    int32_t clamp_lo, clamp_hi;
};

size_t ref_bits(enum qdot_type type);
void ref_range(enum qdot_type type, int32_t *lo, int32_t *hi);
size_t ref_parameters(const struct ref_elements *e);          /* how many */
size_t ref_parameter(const struct ref_elements *e, size_t i); /* which is that of element i */
int32_t ref_get(const void *memory, enum qdot_type type, size_t i);
void ref_put(void *memory, enum qdot_type type, size_t i, int32_t value);
/* scale_out and zero_out: of QDOT_DYNAMIC_QUANTIZE. */
void ref_elements_run(const struct ref_elements *e, void *out, float *scale_out, int32_t *zero_out);

/* The first 'units' of dims[0]. */
void ref_map(const struct qdot_map *m, size_t units, const uint8_t *a, const uint8_t *b,
             uint8_t *out);

struct ref_pool {
    struct qdot_conv conv; /* with no field at its default 0 */
    enum qdot_type type;
    const uint8_t *a, *table; /* table: NULL: none */
    size_t lda;
    /* of an average */
    int averages;
    struct qdot_average average;
    enum qdot_type out_type;
    enum qdot_rounding rounding;
    int32_t a_zero, out_zero, clamp_lo, clamp_hi; /* clamps as they are, not 0, 0 */
};

int ref_pool_valid(const struct qdot_conv *conv); /* has every window an element of the input? */
void ref_pool_run(const struct ref_pool *p, uint8_t *out, size_t ldo);

/* ref_run by kernels_cl/reference.cl, on the first OpenCL device that keeps subnormals and rounds
 * to nearest. Open gives NULL and the reason when there is none; device gets its name. */
struct ref_opencl;
struct ref_opencl *ref_opencl_open(char *device, size_t device_bytes, char *reason,
                                   size_t reason_bytes);
int ref_opencl_run(struct ref_opencl *r, const struct ref_problem *p, void *out, size_t ldo,
                   char *reason, size_t reason_bytes); /* 0, or -1 and the reason */
void ref_opencl_close(struct ref_opencl *r);

#endif
