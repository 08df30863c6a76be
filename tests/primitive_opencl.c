/* Group primitive on OpenCL: the expressions, and the programs made of them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "primitive.h"
#include "probe_opencl.h"

/* In a text @ is the number of a vector's elements, or nothing. */

#define KHR "cl_khr_integer_dot_product"
#define ARM "cl_arm_integer_dot_product_int8"
#define ARM_ACC "cl_arm_integer_dot_product_accumulate_int8"
#define ARM_SAT "cl_arm_integer_dot_product_accumulate_saturate_int8"
#define QCOM "cl_qcom_dot_product8"

#define DOT(needs, text, r, sa, sb)                                        \
    {                                                                      \
        text, r, U32, U32, NONE, math_dot, (sa) | (sb), BYTES, true, needs \
    }
#define DOT_ACC(needs, text, r, sa, sb, how)                       \
    {                                                              \
        text, r, U32, U32, r, how, (sa) | (sb), BYTES, true, needs \
    }
#define P(text, r, a, b, c, expected, detail, domain)           \
    {                                                           \
        text, r, a, b, c, expected, detail, domain, false, NULL \
    }
#define SA SIGNED_A
#define SB SIGNED_B

static const struct primitive dots[] = {
    /* sums of four products, as compilers are given them to find an instruction */
    DOT(NULL,
        "(int)as_char4(a).x * as_char4(b).x + (int)as_char4(a).y * as_char4(b).y + "
        "(int)as_char4(a).z * as_char4(b).z + (int)as_char4(a).w * as_char4(b).w",
        S32, SA, SB),
    DOT(NULL,
        "(int)as_uchar4(a).x * as_uchar4(b).x + (int)as_uchar4(a).y * as_uchar4(b).y + "
        "(int)as_uchar4(a).z * as_uchar4(b).z + (int)as_uchar4(a).w * as_uchar4(b).w",
        S32, 0, 0),
    DOT(NULL,
        "(int)as_uchar4(a).x * as_char4(b).x + (int)as_uchar4(a).y * as_char4(b).y + "
        "(int)as_uchar4(a).z * as_char4(b).z + (int)as_uchar4(a).w * as_char4(b).w",
        S32, 0, SB),
    DOT(NULL,
        "((int)(a << 24) >> 24) * ((int)(b << 24) >> 24) + ((int)(a << 16) >> 24) * "
        "((int)(b << 16) >> 24) + ((int)(a << 8) >> 24) * ((int)(b << 8) >> 24) + "
        "((int)a >> 24) * ((int)b >> 24)",
        S32, SA, SB),
    DOT_ACC(NULL,
            "c + as_char4(a).x * as_char4(b).x + as_char4(a).y * as_char4(b).y + "
            "as_char4(a).z * as_char4(b).z + as_char4(a).w * as_char4(b).w",
            S32, SA, SB, math_dot_add),
    DOT(KHR, "dot_4x8packed_uu_uint(a, b)", U32, 0, 0),
    DOT(KHR, "dot_4x8packed_ss_int(a, b)", S32, SA, SB),
    DOT(KHR, "dot_4x8packed_us_int(a, b)", S32, 0, SB),
    DOT(KHR, "dot_4x8packed_su_int(a, b)", S32, SA, 0),
    DOT_ACC(KHR, "dot_acc_sat_4x8packed_uu_uint(a, b, c)", U32, 0, 0, math_dot_sat),
    DOT_ACC(KHR, "dot_acc_sat_4x8packed_ss_int(a, b, c)", S32, SA, SB, math_dot_sat),
    DOT_ACC(KHR, "dot_acc_sat_4x8packed_us_int(a, b, c)", S32, 0, SB, math_dot_sat),
    DOT_ACC(KHR, "dot_acc_sat_4x8packed_su_int(a, b, c)", S32, SA, 0, math_dot_sat),
    DOT(KHR " (char4)", "dot(as_uchar4(a), as_uchar4(b))", U32, 0, 0),
    DOT(KHR " (char4)", "dot(as_char4(a), as_char4(b))", S32, SA, SB),
    DOT(KHR " (char4)", "dot(as_uchar4(a), as_char4(b))", S32, 0, SB),
    DOT(KHR " (char4)", "dot(as_char4(a), as_uchar4(b))", S32, SA, 0),
    DOT_ACC(KHR " (char4)", "dot_acc_sat(as_uchar4(a), as_uchar4(b), c)", U32, 0, 0, math_dot_sat),
    DOT_ACC(KHR " (char4)", "dot_acc_sat(as_char4(a), as_char4(b), c)", S32, SA, SB, math_dot_sat),
    DOT_ACC(KHR " (char4)", "dot_acc_sat(as_uchar4(a), as_char4(b), c)", S32, 0, SB, math_dot_sat),
    DOT_ACC(KHR " (char4)", "dot_acc_sat(as_char4(a), as_uchar4(b), c)", S32, SA, 0, math_dot_sat),
    DOT(ARM, "arm_dot(as_uchar4(a), as_uchar4(b))", U32, 0, 0),
    DOT(ARM, "arm_dot(as_char4(a), as_char4(b))", S32, SA, SB),
    DOT_ACC(ARM_ACC, "arm_dot_acc(as_uchar4(a), as_uchar4(b), c)", U32, 0, 0, math_dot_add),
    DOT_ACC(ARM_ACC, "arm_dot_acc(as_char4(a), as_char4(b), c)", S32, SA, SB, math_dot_add),
    DOT_ACC(ARM_SAT, "arm_dot_acc_sat(as_uchar4(a), as_uchar4(b), c)", U32, 0, 0, math_dot_sat),
    DOT_ACC(ARM_SAT, "arm_dot_acc_sat(as_char4(a), as_char4(b), c)", S32, SA, SB, math_dot_sat),
    DOT_ACC(QCOM, "qcom_dot8_acc(a, b, c)", S32, SA, SB, math_dot_add),
    {.text = NULL},
};

static const struct primitive integers[] = {
    P("a * b", S8, S8, S8, NONE, math_mul, 0, ANY),
    P("a + b", S8, S8, S8, NONE, math_add, 0, ANY),
    P("convert_short@(a) * convert_short@(b)", S16, S8, S8, NONE, math_mul, 0, ANY),
    P("convert_int@(a) * convert_int@(b)", S32, S8, S8, NONE, math_mul, 0, ANY),
    P("min(a, b)", S8, S8, S8, NONE, math_min, 0, ANY),
    P("hadd(a, b)", S8, S8, S8, NONE, math_half_add, 0, ANY),
    P("rhadd(a, b)", S8, S8, S8, NONE, math_half_add_up, 0, ANY),
    P("mul_hi(a, b)", S8, S8, S8, NONE, math_mul_high, 0, ANY),

    P("a * b", U8, U8, U8, NONE, math_mul, 0, ANY),
    P("convert_ushort@(a) * convert_ushort@(b)", U16, U8, U8, NONE, math_mul, 0, ANY),
    P("convert_int@(a) * convert_int@(b)", S32, U8, U8, NONE, math_mul, 0, ANY),
    P("abs_diff(a, b)", U8, U8, U8, NONE, math_abs_diff, 0, ANY),
    P("max(a, b)", U8, U8, U8, NONE, math_max, 0, ANY),
    P("rhadd(a, b)", U8, U8, U8, NONE, math_half_add_up, 0, ANY),
    P("rotate(a, b)", U8, U8, U8, NONE, math_rotate, 0, ANY),
    P("a >> (b & (uchar@)(7))", U8, U8, U8, NONE, math_right, 0, ANY),

    P("convert_int@(a) * convert_int@(b)", S32, U8, S8, NONE, math_mul, 0, ANY),
    P("convert_short@(a) * convert_short@(b)", S16, U8, S8, NONE, math_mul, 0, ANY),
    P("upsample(b, a)", S16, U8, S8, NONE, math_upsample, 0, ANY),

    P("a * b", S16, S16, S16, NONE, math_mul, 0, ANY),
    P("a + b", S16, S16, S16, NONE, math_add, 0, ANY),
    P("convert_int@(a) * convert_int@(b)", S32, S16, S16, NONE, math_mul, 0, ANY),
    P("mul_hi(a, b)", S16, S16, S16, NONE, math_mul_high, 0, ANY),
    P("a >> (b & (short@)(15))", S16, S16, S16, NONE, math_right, 0, ANY),

    P("a + b", S32, S32, S32, NONE, math_add, 0, ANY),
    P("a - b", S32, S32, S32, NONE, math_sub, 0, ANY),
    P("a * b", S32, S32, S32, NONE, math_mul, 0, ANY),
    P("mul_hi(a, b)", S32, S32, S32, NONE, math_mul_high, 0, ANY),
    P("convert_int@((convert_long@(a) * convert_long@(b)) >> 31)", S32, S32, S32, NONE,
      math_product_right, 0, ANY),
    P("convert_int@((convert_long@(a) * convert_long@(b) + (1L << 30)) >> 31)", S32, S32, S32, NONE,
      math_fixed, 0, ANY),
    P("a << b", S32, S32, S32, NONE, math_left, 0, ANY),
    P("a >> b", S32, S32, S32, NONE, math_right, 0, ANY),
    P("min(a, b)", S32, S32, S32, NONE, math_min, 0, ANY),
    P("max(a, b)", S32, S32, S32, NONE, math_max, 0, ANY),
    P("abs_diff(a, b)", U32, S32, S32, NONE, math_abs_diff, 0, ANY),
    P("hadd(a, b)", S32, S32, S32, NONE, math_half_add, 0, ANY),
    P("rhadd(a, b)", S32, S32, S32, NONE, math_half_add_up, 0, ANY),
    P("abs(a)", U32, S32, NONE, NONE, math_abs, 0, ANY),
    P("popcount(a)", S32, S32, NONE, NONE, math_bits, 0, ANY),
    P("clz(a)", S32, S32, NONE, NONE, math_zeros, 0, ANY),
    P("as_int@(as_uint@(a))", S32, S32, NONE, NONE, math_same, 0, ANY),

    P("mul24(a, b)", S32, S32, S32, NONE, math_mul, 0, SMALL),
    P("mad24(a, b, c)", S32, S32, S32, S32, math_mad, 0, SMALL),

    P("mad_hi(a, b, c)", S32, S32, S32, S32, math_mad_high, 0, ANY),
    P("a * b + c", S32, S32, S32, S32, math_mad, 0, ANY),
    P("clamp(a, min(b, c), max(b, c))", S32, S32, S32, S32, math_clamp, 0, ANY),

    P("mul_hi(a, b)", U32, U32, U32, NONE, math_mul_high, 0, ANY),
    P("a >> b", U32, U32, U32, NONE, math_right, 0, ANY),
    P("rotate(a, b)", U32, U32, U32, NONE, math_rotate, 0, ANY),
    P("a * b", U32, U32, U32, NONE, math_mul, 0, ANY),

    P("a * b", S64, S64, S64, NONE, math_mul, 0, ANY),
    P("mul_hi(a, b)", S64, S64, S64, NONE, math_mul_high, 0, ANY),
    P("a >> b", S64, S64, S64, NONE, math_right, 0, ANY),
    P("a + b", S64, S64, S64, NONE, math_add, 0, ANY),
    P("mul_hi(a, b)", U64, U64, U64, NONE, math_mul_high, 0, ANY),
    P("a >> b", U64, U64, U64, NONE, math_right, 0, ANY),
    {.text = NULL},
};

static const struct primitive saturating[] = {
    P("add_sat(a, b)", S8, S8, S8, NONE, math_add_sat, 0, ANY),
    P("sub_sat(a, b)", S8, S8, S8, NONE, math_sub_sat, 0, ANY),
    P("convert_char@_sat(convert_short@(a) * convert_short@(b))", S8, S8, S8, NONE, math_mul_sat, 0,
      ANY),
    P("convert_uchar@_sat(a)", U8, S8, NONE, NONE, math_sat, 0, ANY),
    P("convert_ushort@_sat(a)", U16, S8, NONE, NONE, math_sat, 0, ANY),
    P("add_sat(a, b)", U8, U8, U8, NONE, math_add_sat, 0, ANY),
    P("sub_sat(a, b)", U8, U8, U8, NONE, math_sub_sat, 0, ANY),
    P("convert_char@_sat(a)", S8, U8, NONE, NONE, math_sat, 0, ANY),

    P("add_sat(a, b)", S16, S16, S16, NONE, math_add_sat, 0, ANY),
    P("sub_sat(a, b)", S16, S16, S16, NONE, math_sub_sat, 0, ANY),
    P("convert_char@_sat(a)", S8, S16, NONE, NONE, math_sat, 0, ANY),
    P("convert_uchar@_sat(a)", U8, S16, NONE, NONE, math_sat, 0, ANY),
    P("convert_ushort@_sat(a)", U16, S16, NONE, NONE, math_sat, 0, ANY),
    P("convert_char@_sat(a)", S8, U16, NONE, NONE, math_sat, 0, ANY),
    P("convert_uchar@_sat(a)", U8, U16, NONE, NONE, math_sat, 0, ANY),
    P("convert_short@_sat(a)", S16, U16, NONE, NONE, math_sat, 0, ANY),

    P("convert_char@_sat(a)", S8, S32, NONE, NONE, math_sat, 0, ANY),
    P("convert_uchar@_sat(a)", U8, S32, NONE, NONE, math_sat, 0, ANY),
    P("convert_short@_sat(a)", S16, S32, NONE, NONE, math_sat, 0, ANY),
    P("convert_ushort@_sat(a)", U16, S32, NONE, NONE, math_sat, 0, ANY),
    P("convert_uint@_sat(a)", U32, S32, NONE, NONE, math_sat, 0, ANY),
    P("convert_char@(a)", S8, S32, NONE, NONE, math_same, 0, ANY),
    P("convert_uchar@(a)", U8, S32, NONE, NONE, math_same, 0, ANY),
    P("convert_ushort@(a)", U16, S32, NONE, NONE, math_same, 0, ANY),
    /* the absolute value of the least integer, taken as signed, is itself */
    P("convert_char@_sat(as_int@(abs(a)))", S8, S32, NONE, NONE, math_abs_sat, 0, ANY),
    P("convert_uchar@_sat(as_int@(abs(a)))", U8, S32, NONE, NONE, math_abs_sat, 0, ANY),
    P("convert_short@_sat(as_int@(abs(a)))", S16, S32, NONE, NONE, math_abs_sat, 0, ANY),
    P("convert_ushort@_sat(as_int@(abs(a)))", U16, S32, NONE, NONE, math_abs_sat, 0, ANY),
    P("add_sat(a, b)", S32, S32, S32, NONE, math_add_sat, 0, ANY),
    P("sub_sat(a, b)", S32, S32, S32, NONE, math_sub_sat, 0, ANY),
    P("mad_sat(a, b, c)", S32, S32, S32, S32, math_mad_sat, 0, ANY),

    P("convert_char@_sat(a)", S8, U32, NONE, NONE, math_sat, 0, ANY),
    P("convert_uchar@_sat(a)", U8, U32, NONE, NONE, math_sat, 0, ANY),
    P("convert_int@_sat(a)", S32, U32, NONE, NONE, math_sat, 0, ANY),
    P("convert_ushort@_sat(a)", U16, U32, NONE, NONE, math_sat, 0, ANY),
    P("convert_int@_sat(a)", S32, S64, NONE, NONE, math_sat, 0, ANY),
    P("convert_char@_sat(a)", S8, S64, NONE, NONE, math_sat, 0, ANY),
    P("convert_uchar@_sat(a)", U8, S64, NONE, NONE, math_sat, 0, ANY),
    {.text = NULL},
};

static const struct primitive floats[] = {
    P("convert_float@(a)", F32, S32, NONE, NONE, math_float, TO_NEAREST, ANY),
    P("convert_float@_rte(a)", F32, S32, NONE, NONE, math_float, TO_NEAREST, ANY),
    P("convert_float@_rtz(a)", F32, S32, NONE, NONE, math_float, TO_ZERO, ANY),
    P("convert_float@_rtp(a)", F32, S32, NONE, NONE, math_float, UPWARD, ANY),
    P("convert_float@_rtn(a)", F32, S32, NONE, NONE, math_float, DOWNWARD, ANY),
    P("convert_float@(a)", F32, U32, NONE, NONE, math_float, TO_NEAREST, ANY),
    P("convert_float@(a)", F32, S8, NONE, NONE, math_float, TO_NEAREST, ANY),
    P("convert_float@(a)", F32, U8, NONE, NONE, math_float, TO_NEAREST, ANY),
    P("convert_float@(a)", F32, S16, NONE, NONE, math_float, TO_NEAREST, ANY),

    P("convert_char@_sat_rte(a)", S8, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_uchar@_sat_rte(a)", U8, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_short@_sat_rte(a)", S16, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_ushort@_sat_rte(a)", U16, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_int@_sat_rte(a)", S32, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_uint@_sat_rte(a)", U32, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("convert_char@_sat(a)", S8, F32, NONE, NONE, math_to_int_sat, TO_ZERO, NEAR),
    P("convert_uchar@_sat_rtz(a)", U8, F32, NONE, NONE, math_to_int_sat, TO_ZERO, NEAR),
    P("convert_char@_sat_rtp(a)", S8, F32, NONE, NONE, math_to_int_sat, UPWARD, NEAR),
    P("convert_uchar@_sat_rtn(a)", U8, F32, NONE, NONE, math_to_int_sat, DOWNWARD, NEAR),
    P("convert_int@_sat(a)", S32, F32, NONE, NONE, math_to_int_sat, TO_ZERO, NEAR),
    P("convert_int@_sat_rte(rint(a))", S32, F32, NONE, NONE, math_to_int_sat, TO_NEAREST, NEAR),
    P("rint(a)", F32, F32, NONE, NONE, math_rint, 0, NEAR),
    P("trunc(a)", F32, F32, NONE, NONE, math_trunc, 0, NEAR),
    P("floor(a)", F32, F32, NONE, NONE, math_floor, 0, NEAR),
    P("as_int@(a)", S32, F32, NONE, NONE, math_same, 0, NEAR),

    P("a + b", F32, F32, F32, NONE, math_fadd, 0, ANY),
    P("a * b", F32, F32, F32, NONE, math_fmul, 0, ANY),
    P("a * b + c", F32, F32, F32, F32, math_fmul_fadd, 0, ANY),
    P("fma(a, b, c)", F32, F32, F32, F32, math_fma, 0, ANY),
    P("convert_char@_sat_rte(convert_float@(a) * b)", S8, S32, F32, NONE, math_requantise,
      TO_NEAREST, FINITE),
    P("convert_uchar@_sat_rte(convert_float@(a) * b)", U8, S32, F32, NONE, math_requantise,
      TO_NEAREST, FINITE),
    {.text = NULL},
};

/* ---- sources --------------------------------------------------------------------------------- */

static const char *type_name(enum scalar type)
{
    static const char *const names[] = {
        [S8] = "char",  [U8] = "uchar", [S16] = "short", [U16] = "ushort", [S32] = "int",
        [U32] = "uint", [S64] = "long", [U64] = "ulong", [F32] = "float",
    };
    return names[type];
}

/* The text with each @ as the number of elements, where there is more than one. */
static void put_expression(FILE *f, const char *text, bool vector)
{
    for (; *text; text++)
        if (*text != '@')
            fputc(*text, f);
        else if (vector)
            fputs("16", f);
}

/* "a", "b", "c" of these types, from memory. */
static void put_operands(FILE *f, const struct primitive *p, bool vector)
{
    const enum scalar types[3] = {p->a, p->b, p->c};
    for (size_t j = 0; j < 3 && types[j]; j++) {
        const char *type = type_name(types[j]);
        if (vector)
            fprintf(f, "    const %s16 %c = vload16(i, (global const %s *)%c);\n", type, "abc"[j],
                    type, "ABC"[j]);
        else
            fprintf(f, "    const %s %c = ((global const %s *)%c)[i];\n", type, "abc"[j], type,
                    "ABC"[j]);
    }
}

/* One result, or 16, as the i-th of those that begin at R + k * 8 * n. */
static void put_result(FILE *f, const struct primitive *p, size_t k, bool vector, const char *i)
{
    const char *type = type_name(p->r);
    fprintf(f,
            vector ? "    vstore16(" : "    ((global %s *)(R + %zu * 8 * (size_t)n))[%s] = ", type,
            k, i);
    put_expression(f, p->text, vector);
    if (vector)
        fprintf(f, ", %s, (global %s *)(R + %zu * 8 * (size_t)n))", i, type, k);
    fputs(";\n", f);
}

static void put_constant(FILE *f, enum scalar type, int64_t value)
{
    static const char *const unsigned_names[] = {
        [1] = "uchar", [2] = "ushort", [4] = "uint", [8] = "ulong"};
    const size_t bytes = scalar_bytes(type);
    const uint64_t mask = bytes == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * bytes) - 1;
    fprintf(f, "as_%s((%s)0x%" PRIx64 "UL)", type_name(type), unsigned_names[bytes],
            (uint64_t)value & mask);
}

/* A block with the operands from the i-th on as constants: 16 of them, or one. */
static void put_folded(FILE *f, const struct primitive *all, const struct primitive *p, size_t k,
                       const struct operands *o, size_t i, bool vector)
{
    const enum scalar types[3] = {all->a, all->b, all->c};
    char index[24];
    fputs("    {\n", f);
    for (size_t j = 0; j < 3 && types[j]; j++) {
        fprintf(f, "    const %s%s %c = (%s%s)(", type_name(types[j]), vector ? "16" : "", "abc"[j],
                type_name(types[j]), vector ? "16" : "");
        for (size_t at = i; at < i + (vector ? 16 : 1); at++) {
            fputs(at > i ? ", " : "", f);
            put_constant(f, types[j], o->folded[at][j]);
        }
        fputs(");\n", f);
    }
    snprintf(index, sizeof(index), "%zu", vector ? i / 16 : i);
    put_result(f, p, k, vector, index);
    fputs("    }\n", f);
}

/* The vectors' kernel also has the constants, whose results lie behind: a kernel costs time, not what
 * is in it. */
static void put_kernel(FILE *f, const struct primitive *all, const struct primitive *p,
                       size_t count, const struct operands *o, bool vector)
{
    fprintf(f,
            "kernel void %s(global const uchar *A, global const uchar *B, global const uchar *C, "
            "global uchar *R, uint n)\n{\n    const size_t i = get_global_id(0);\n",
            vector ? "vector" : "scalar");
    put_operands(f, all, vector);
    for (size_t k = 0; k < count; k++)
        if (!vector || !p[k].single)
            put_result(f, &p[k], k, vector, "i");
    if (vector)
        fprintf(f, "    if (i > 0)\n        return;\n    R += %zu * 8 * (size_t)n;\n    n = %d;\n",
                count, FOLDED);
    for (size_t k = 0; k < count && vector; k++) {
        const size_t in_vectors = p[k].single ? 0 : 16;
        if (in_vectors)
            put_folded(f, all, &p[k], k, o, 0, true);
        for (size_t at = in_vectors; at < FOLDED; at++)
            put_folded(f, all, &p[k], k, o, at, false);
    }
    fputs("}\n", f);
}

/* ---- the cases ------------------------------------------------------------------------------- */

enum { BUNCH = 12 };

struct arithmetic {
    struct probe_cl cl;
    const struct primitive *list;
    struct check_target target;
    size_t first, count;  /* of the expressions that were computed together */
    struct primitive all; /* the first, with the operands of all of them */
    struct operands operands;
    uint8_t *results[2]; /* of scalars; of vectors, and behind them of constants */
};

/* NULL: may be tried. Else why not. */
static const char *not_offered(const struct probe_cl *cl, const char *needs)
{
    if (!needs)
        return NULL;
    if (strncmp(needs, KHR, strlen(KHR)) == 0) {
        const cl_ulong packed = 1, vectors = 2, queried = 0x1073; /* ..._CAPABILITIES_KHR */
        const cl_ulong wanted = strcmp(needs, KHR) == 0 ? packed : vectors;
        return probe_cl_lists(cl, KHR) && (probe_cl_number(cl, (cl_device_info)queried, 8) & wanted)
                   ? NULL
                   : needs;
    }
    return probe_cl_lists(cl, needs) ? NULL : needs;
}

/* Words are tried one by one only where there is one operand. */
static bool all_values(const struct primitive *p)
{
    return p->domain == ANY && p->b == NONE && scalar_bytes(p->a) == 2;
}

static bool fits(enum scalar type, enum scalar other)
{
    return type == other || type == NONE || other == NONE;
}

/* Can q be computed with these operands, and maybe one more? */
static bool joins(struct primitive *all, const struct primitive *q)
{
    if (all->a != q->a || !fits(all->b, q->b) || !fits(all->c, q->c) || all->domain != q->domain ||
        all->needs != q->needs || all_values(all) != all_values(q))
        return false;
    all->b = all->b ? all->b : q->b;
    all->c = all->c ? all->c : q->c;
    return true;
}

static void forget(struct arithmetic *s)
{
    operands_free(&s->operands);
    for (size_t i = 0; i < 2; i++) {
        free(s->results[i]);
        s->results[i] = NULL;
    }
    s->count = 0;
}

static cl_program compile(struct arithmetic *s, struct outcome *outcome)
{
    const struct primitive *p = &s->list[s->first];
    char *text = NULL;
    size_t bytes = 0;
    cl_int code = CL_SUCCESS;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) {
        check_fail(outcome, "out of memory");
        return NULL;
    }
    fputs("#pragma OPENCL FP_CONTRACT OFF\n", f);
    if (p->needs)
        fprintf(f, "#pragma OPENCL EXTENSION %.*s : enable\n", (int)strcspn(p->needs, " "),
                p->needs);
    put_kernel(f, &s->all, p, s->count, &s->operands, false);
    put_kernel(f, &s->all, p, s->count, &s->operands, true);
    cl_program program = NULL;
    if (fclose(f) != 0)
        check_fail(outcome, "out of memory");
    else if (!(program = probe_cl_build(&s->cl, text,
                                        p->needs && strncmp(p->needs, KHR, strlen(KHR)) == 0
                                            ? "-cl-std=CL3.0"
                                            : "-cl-std=CL1.2",
                                        &code)))
        check_fail(outcome, "does not compile, error %d: %.400s", (int)code, s->cl.log);
    free(text);
    return program;
}

static bool launch(struct arithmetic *s, cl_program program, bool vector, struct outcome *outcome)
{
    const enum scalar types[3] = {s->all.a, s->all.b, s->all.c};
    const size_t n = s->operands.count, bytes = s->count * 8 * (n + (vector ? FOLDED : 0));
    uint64_t none = 0;
    const char *call = "";
    s->results[vector] = calloc(bytes, 1);
    if (!s->results[vector]) {
        check_fail(outcome, "out of memory");
        return false;
    }
    struct probe_cl_run run = {
        .kernel = vector ? "vector" : "scalar",
        .buffers[3] = {s->results[vector], bytes},
        .buffer_count = 4,
        .count = (cl_uint)n,
        .global = vector ? n / 16 : n,
    };
    for (size_t j = 0; j < 3; j++) {
        const bool given = types[j] != NONE;
        run.buffers[j].memory = given ? s->operands.memory[j] : &none;
        run.buffers[j].bytes = given ? s->operands.count * scalar_bytes(types[j]) : sizeof(none);
    }
    const cl_int code = probe_cl_run(&s->cl, program, &run, &call);
    if (code)
        check_fail(outcome, "%s: error %d", call, (int)code);
    return code == CL_SUCCESS;
}

/* Computes the expressions from the index-th on that go together; alone: only it. */
static bool compute(struct arithmetic *s, size_t index, bool alone, struct outcome *outcome)
{
    const struct primitive *p = &s->list[index];
    forget(s);
    s->first = index;
    s->all = *p;
    for (s->count = 1;
         !alone && s->count < BUNCH && p[s->count].text && joins(&s->all, &p[s->count]);)
        s->count++;
    if (!operands_make(&s->operands, &s->all, s->target.seed, s->target.small, s->cl.subnormals)) {
        check_fail(outcome, "out of memory");
        return false;
    }
    cl_program program = compile(s, outcome);
    const bool done =
        program && launch(s, program, false, outcome) && launch(s, program, true, outcome);
    if (program)
        s->cl.clReleaseProgram(program);
    if (!done)
        forget(s);
    return done;
}

static enum verdict compare(const struct arithmetic *s, size_t index, struct outcome *outcome)
{
    const struct primitive *p = &s->list[index];
    for (enum form form = 0; form < FORMS; form++) {
        const size_t n = form == FORM_FOLDED ? FOLDED : s->operands.count;
        const uint8_t *results = s->results[form != FORM_SCALAR] + (index - s->first) * 8 * n;
        if (form == FORM_FOLDED)
            results += s->count * 8 * s->operands.count;
        if (form == FORM_VECTOR && p->single)
            continue;
        if (!primitive_compare(p, &s->operands, form, results, n, s->cl.subnormals, outcome))
            return VERDICT_FAIL;
    }
    return VERDICT_PASS;
}

/* What one expression does wrong may take others of its kernel with it: each is looked at alone. */
static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct arithmetic *s = state;
    const char *missing = not_offered(&s->cl, s->list[index].needs);
    if (missing)
        return check_refuse(outcome, "needs %s", missing);
    const bool have = index >= s->first && index - s->first < s->count;
    if (!have && !compute(s, index, s->target.alone, outcome) && !compute(s, index, true, outcome))
        return VERDICT_FAIL;
    struct outcome together = {{0}, {0}, {0}, {0}};
    enum verdict verdict = compare(s, index, &together);
    if (verdict == VERDICT_PASS)
        return check_pass(outcome);
    if (s->count > 1 && !compute(s, index, true, outcome))
        return VERDICT_FAIL;
    verdict = compare(s, index, outcome);
    if (verdict == VERDICT_PASS) {
        *outcome = together;
        return check_fail(outcome, "%.100s, but not when it is alone in its kernel",
                          together.reason);
    }
    return verdict;
}

static void *open_list(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct arithmetic *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    s->list = target->cases;
    s->target = *target;
    if (probe_cl_open(&s->cl, target->index, reason, reason_bytes))
        return s;
    free(s);
    return NULL;
}

static void close_list(void *state)
{
    struct arithmetic *s = state;
    forget(s);
    probe_cl_close(&s->cl);
    free(s);
}

static const char *name_of(void *state, size_t index)
{
    const struct arithmetic *s = state;
    return s->list[index].text;
}

#define SET(name, about, list)                                                                  \
    {                                                                                           \
        "device/" name, "primitive", about, "opencl", open_list, name_of, run, close_list, list \
    }

const struct check_set check_primitive_opencl[] = {
    SET("dot", "sums of four products of bytes, plain and saturating", dots),
    SET("integer", "integers: products, sums, high words, shifts", integers),
    SET("saturate", "conversions and sums that saturate", saturating),
    SET("float", "floats: conversions, rounding, nothing fused", floats),
    {.name = NULL},
};
