/*
 * The operand forms of a row, its product of 4 k, and its tile.
 *
 * -D ROW=0 portable, 1 khr_dot, 2 float (CLBlast; panels of one row are plain rows), 3 depthwise.
 */
#if ROW == 0
/* A is read once a row and group by every column: widened, so that it needs no unpacking there. */
typedef int4 a_group;
#define MAKE_A(v) (v)
#define STORE_A4(v, to) vstore16(v, 0, (global int *) (to))
#elif ROW == 2
typedef float4 a_group;
#define MAKE_A(v) convert_float4(v)
#else
typedef uint a_group;
#define MAKE_A(v) as_uint(convert_uchar4(v & 255))
#define STORE_A4(v, to) vstore4(as_uint4(convert_uchar16(v & 255)), 0, to)
#endif

#if ROW == 2
#define MR 1
#define NR 1
typedef float4 b_group;
#define MAKE_B(v) convert_float4(v)
#else
#define MR 8
#define NR 16
typedef uint b_group;
#define MAKE_B(v) as_uint(convert_uchar4(v & 255))
#endif

/* dot4: of one group of A with 16 columns; sum4: of it with ones. */
#if ROW == 0
uint16 dot4(int4 a, uint16 b)
{
    const int16 w = as_int16(b);
    return as_uint16(a.x * (w << 24 >> 24) + a.y * (w << 16 >> 24) + a.z * (w << 8 >> 24) +
                     a.w * (w >> 24));
}

uint sum4(int4 a)
{
    return as_uint(a.x + a.y + a.z + a.w);
}
#elif ROW == 1
#ifdef cl_khr_integer_dot_product
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
#endif
#define DOT(j) dot_4x8packed_ss_int(a, b.s##j)
uint16 dot4(uint a, uint16 b)
{
    return as_uint16((int16) (DOT(0), DOT(1), DOT(2), DOT(3), DOT(4), DOT(5), DOT(6), DOT(7),
                              DOT(8), DOT(9), DOT(a), DOT(b), DOT(c), DOT(d), DOT(e), DOT(f)));
}

uint sum4(uint a)
{
    return as_uint(dot_4x8packed_ss_int(a, 0x01010101));
}
#endif

/* Written out, not looped: a sum must have a name of its own to be sure to stay in registers. */
#define ROWS_1(X) X(0)
#define ROWS_4(X) X(0) X(1) X(2) X(3)
#define ROWS_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
