/*
 * One expression of a device's arithmetic on operands a, b, c, and what it must give by plain C.
 *
 * primitive_opencl.c and primitive_vulkan.c have the expressions, as texts of the tests' own and not
 * of the library's; primitive_cpu.c and primitive_x86.c instructions; primitive.c the operands, the expected values and the comparison;
 * primitive_math.c the arithmetic.
 */
#ifndef PRIMITIVE_H
#define PRIMITIVE_H

#include "conform.h"

enum scalar { NONE, S8, U8, S16, U16, S32, U32, S64, U64, F32 };

/* What operands are tried, beside the extremes of their types. */
enum domain {
    ANY,    /* any value; all pairs of bytes, all values of 16 bits */
    BYTES,  /* words of four bytes, most of them extreme */
    FINITE, /* floats without infinities */
    NEAR,   /* floats about the limits of integers, and half-way between two */
    SMALL,  /* integers of 24 bits */
    SHIFT,  /* b is a number of bits */
    BYTE_OF /* a is a word of four bytes, b is the first bit of one */
};

/* Values are sign or zero extended, floats are their bits. */
struct primitive {
    const char *text;
    enum scalar r, a, b, c; /* the result's type, and the operands' */
    int64_t (*expected)(const struct primitive *p, int64_t a, int64_t b, int64_t c);
    int detail; /* of 'expected': a rounding, or signs */
    enum domain domain;
    bool single;       /* has no form for vectors */
    const char *needs; /* an extension or feature; NULL: none */
};

enum { FOLDED = 24 }; /* operands that are also given as constants */

/* Operands of expressions with the same a, b, c and domain. */
struct operands {
    size_t count;    /* a multiple of 16 */
    void *memory[3]; /* of a, b, c; NULL: none */
    int64_t folded[FOLDED][3];
};

size_t scalar_bytes(enum scalar type);
bool scalar_signed(enum scalar type);
int64_t scalar_load(const void *memory, size_t i, enum scalar type);
void scalar_print(int64_t value, enum scalar type, char *text, size_t bytes);

/* False: out of memory. 'subnormals': floats may be subnormal. */
bool operands_make(struct operands *o, const struct primitive *p, uint64_t seed, bool small,
                   bool subnormals);
void operands_free(struct operands *o);

enum form { FORM_SCALAR, FORM_VECTOR, FORM_FOLDED, FORMS };

/* 'count' results of one form against C. False at the first that differs, and the outcome says so. */
bool primitive_compare(const struct primitive *p, const struct operands *o, enum form form,
                       const void *results, size_t count, bool subnormals, struct outcome *outcome);

/* ---- primitive_math.c ------------------------------------------------------------------------ */

typedef int64_t expected_value(const struct primitive *p, int64_t a, int64_t b, int64_t c);

/* Results are cut to p->r by whoever compares; those that saturate do it to the range of p->r. */
expected_value math_add, math_sub, math_mul, math_mad, math_mad_high, math_mul_high, math_half_add,
    math_half_add_up, math_abs, math_abs_diff, math_min, math_max, math_clamp, math_left,
    math_right, math_rotate, math_bits, math_zeros, math_upsample, math_same;
expected_value math_add_sat, math_sub_sat, math_mad_sat, math_mul_sat, math_abs_sat, math_sat;
expected_value math_product_right, math_fixed; /* (a * b) >> 31, and with 2^30 added */
expected_value math_sum_if_negative;           /* of 64 bits in two halves */
/* Of the lower halves of a and b: the product, (a * b + 2^30) >> 31 in 32 bits; the sum of a's halves;
 * the differences of their bytes, added up; and c where a is negative, else b. */
expected_value math_words_product, math_words_fixed, math_words_sum, math_bytes_apart,
    math_if_negative;
/* By any number of bits, more than there are too; by 'detail' bits, logically. */
expected_value math_left_past, math_right_past, math_right_by;
/* Entry a, modulo 'detail', of a table of bytes, of which p->r takes as many as it has. */
#define PRIMITIVE_ENTRY(byte) ((uint8_t)((byte)*151 + 43))
expected_value math_entry;

/* Floats: as bits. detail is a rounding. */
enum { TO_NEAREST, TO_ZERO, UPWARD, DOWNWARD };
expected_value math_float, math_to_int_sat, math_rint, math_trunc, math_floor, math_fadd, math_fmul,
    math_fmul_fadd, math_fma, math_requantise, math_fdiv;
/* As x86 has them: b unless a is less (more); the least integer for what no integer is near. */
expected_value math_fmin_or_second, math_fmax_or_second, math_to_int_or_least;

/* Sums of four products of bytes; detail says whose are signed. */
enum { SIGNED_NONE = 0, SIGNED_A = 1, SIGNED_B = 2, SIGNED_BOTH = 3 };
expected_value math_dot, math_dot_sat, math_dot_add, math_byte;
/* Of two products of signed words, and c. */
expected_value math_words_dot, math_words_dot_sat;

#endif
