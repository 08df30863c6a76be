/*
 * The operand forms of a row, and its product of 4 k.
 *
 * -D ROW=0 tile, 1 float (CLBlast; panels of one row are plain rows), 2 depthwise, 3 GEMV, 4 block,
 * 5 matrix units; CONV: a convolution; SPLIT: tiled.cl; UNIT: units.cl; MR, NR, KR: the row's; DOT=0 plain C, 1 khr, 2 arm, 3 qcom, 4 amd,
 * 5 nvidia; A_FORM, B_FORM of what the product takes: 1 u8, 2 s8. Plain C takes s8.
 */
#if ROW == 1
typedef float4 a_group;
#define MAKE_A(v) convert_float4(v)
typedef float4 b_group;
#define MAKE_B(v) convert_float4(v)
#else
typedef uint b_group;
#define MAKE_B(v) as_uint(convert_uchar4(v & 255))
#if ROW == 0 && DOT == 0
/* A is read once a row and group by every column: widened, so that it needs no unpacking there. */
typedef int4 a_group;
#define MAKE_A(v) (v)
#define WIDEN_A(a) (a)
#define STORE_A4(v, to) vstore16(v, 0, (global int *) (to))
#else
typedef uint a_group;
#define MAKE_A(v) as_uint(convert_uchar4(v & 255))
#define WIDEN_A(a) WIDEN(a)
#define STORE_A4(v, to) vstore4(as_uint4(convert_uchar16(v & 255)), 0, to)
#endif
#endif

/* Of kernels whose sums fill registers. Intel's GPUs with this extension have sub-groups of 16 and 32:
 * with 32 the compiler spills. */
#if defined(cl_intel_subgroup_2d_block_io) && defined(cl_intel_required_subgroup_size)
#define SUB_GROUPS __attribute__((intel_reqd_sub_group_size(16)))
#else
#define SUB_GROUPS
#endif

/* DOT4(a, b, acc): acc + the product of 4 k, all words. Never a saturating one. */
#if DOT == 1
#ifdef cl_khr_integer_dot_product
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
#endif
#if A_FORM == 2 && B_FORM == 2
#define DOT4(a, b, acc) ((acc) + as_uint(dot_4x8packed_ss_int(a, b)))
#elif A_FORM == 2
#define DOT4(a, b, acc) ((acc) + as_uint(dot_4x8packed_su_int(a, b)))
#elif B_FORM == 2
#define DOT4(a, b, acc) ((acc) + as_uint(dot_4x8packed_us_int(a, b)))
#else
#define DOT4(a, b, acc) ((acc) + dot_4x8packed_uu_uint(a, b))
#endif
#elif DOT == 2
#ifdef cl_arm_integer_dot_product_accumulate_int8
#pragma OPENCL EXTENSION cl_arm_integer_dot_product_accumulate_int8 : enable
#define DOT4(a, b, acc) as_uint(arm_dot_acc(as_char4(a), as_char4(b), as_int(acc)))
#else
#pragma OPENCL EXTENSION cl_arm_integer_dot_product_int8 : enable
#define DOT4(a, b, acc) ((acc) + as_uint(arm_dot(as_char4(a), as_char4(b))))
#endif
#elif DOT == 3 /* s8 by u8 */
#pragma OPENCL EXTENSION cl_qcom_dot_product8 : enable
#define DOT4(a, b, acc) as_uint(qcom_dot8_acc(a, b, as_int(acc)))
#elif DOT == 4
#if __has_builtin(__builtin_amdgcn_sudot4) /* first: from GFX11 on the other one is not there */
#define DOT4(a, b, acc)                                                                            \
    as_uint(__builtin_amdgcn_sudot4(A_FORM == 2, as_int(a), B_FORM == 2, as_int(b), as_int(acc), 0))
#else
#define DOT4(a, b, acc) as_uint(__builtin_amdgcn_sdot4(as_int(a), as_int(b), as_int(acc), 0))
#endif
#elif DOT == 5 && defined(EMULATE)
#define DOT4(a, b, acc) as_uint(emulated(a, b, A_FORM == 2, B_FORM == 2, as_int(acc)))
#elif DOT == 5
uint dot_ptx(uint a, uint b, uint acc)
{
    uint sum;
#if A_FORM == 2 && B_FORM == 2
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
#elif A_FORM == 2
    asm("dp4a.s32.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
#elif B_FORM == 2
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
#else
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
#endif
    return sum;
}
#define DOT4(a, b, acc) dot_ptx(a, b, acc)
#endif

/* One group of A with 16 columns, with 4, and with ones. Plain C takes A widened: WIDEN(word). */
#if DOT == 0
typedef int4 wide_group;
#define WIDEN(a) convert_int4(as_char4(a))
#define PLAIN(a, w)                                                                                \
    ((a).x * ((w) << 24 >> 24) + (a).y * ((w) << 16 >> 24) + (a).z * ((w) << 8 >> 24) +            \
     (a).w * ((w) >> 24))
uint16 dot16(int4 a, uint16 b, uint16 acc)
{
    const int16 w = as_int16(b);
    return acc + as_uint16(PLAIN(a, w));
}

uint4 dot4(int4 a, uint4 b, uint4 acc)
{
    const int4 w = as_int4(b);
    return acc + as_uint4(PLAIN(a, w));
}

uint sum4(int4 a, uint acc)
{
    return acc + as_uint(a.x + a.y + a.z + a.w);
}
#else
typedef uint wide_group;
#define WIDEN(a) (a)
#define AT(j) DOT4(a, b.s##j, acc.s##j)
uint16 dot16(uint a, uint16 b, uint16 acc)
{
    return (uint16) (AT(0), AT(1), AT(2), AT(3), AT(4), AT(5), AT(6), AT(7), AT(8), AT(9), AT(a),
                     AT(b), AT(c), AT(d), AT(e), AT(f));
}

uint4 dot4(uint a, uint4 b, uint4 acc)
{
    return (uint4) (AT(0), AT(1), AT(2), AT(3));
}

uint sum4(uint a, uint acc)
{
    return DOT4(a, 0x01010101u, acc);
}
#endif

/* Written out, not looped: a sum must have a name of its own to be sure to stay in registers. */
#define ROWS_1(X) X(0)
#define ROWS_2(X) X(0) X(1)
#define ROWS_4(X) X(0) X(1) X(2) X(3)
#define ROWS_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
