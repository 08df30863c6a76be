/*
 * C = A * B from packed panels: a work-item computes MR rows of 16 columns. Both rows of the table
 * are this text; they differ in the type of a group of A (pack.cl) and in dot4.
 */
#if ROW == 0
uint16 dot4(int4 a, uint16 b)
{
    const int16 w = as_int16(b);
    return as_uint16(a.x * (w << 24 >> 24) + a.y * (w << 16 >> 24) + a.z * (w << 8 >> 24) +
                     a.w * (w >> 24));
}
#else
#ifdef cl_khr_integer_dot_product
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
#endif
#define DOT(j) dot_4x8packed_ss_int(a, b.s##j)
uint16 dot4(uint a, uint16 b)
{
    return as_uint16((int16) (DOT(0), DOT(1), DOT(2), DOT(3), DOT(4), DOT(5), DOT(6), DOT(7),
                              DOT(8), DOT(9), DOT(a), DOT(b), DOT(c), DOT(d), DOT(e), DOT(f)));
}
#endif

/* Written out, not looped: a sum must have a name of its own to be sure to stay in registers. */
#define ROWS_1(X) X(0)
#define ROWS_4(X) X(0) X(1) X(2) X(3)
#define ROWS_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define STEP(i) acc##i += dot4(a[i], w);
#define MULTIPLY(ROWS)                                                                             \
    for (uint g = 0; g < groups; g++, a += MR, b += NR) {                                          \
        const uint16 w = vload16(0, b);                                                            \
        ROWS(STEP)                                                                                 \
    }

kernel void gemm(global const a_group *packed_a, global const uint *packed_b, uint begin,
                 STAGE_PARAMETERS)
{
    const uint column = get_global_id(0) * NR, row = begin + get_global_id(1) * MR;
    if (column >= n || row >= m)
        return;
    const uint groups = (k + 3) / 4, rows = min(m - row, (uint) MR);
    global const a_group *a = packed_a + get_global_id(1) * groups * MR;
    global const uint *b = packed_b + get_global_id(0) * groups * NR;
    uint16 acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0, acc4 = 0, acc5 = 0, acc6 = 0, acc7 = 0;
    if (rows > 4) {
        MULTIPLY(ROWS_8)
    } else if (rows > 1) {
        MULTIPLY(ROWS_4)
    } else {
        MULTIPLY(ROWS_1)
    }
    const uint16 acc[MR] = {acc0, acc1, acc2, acc3, acc4, acc5, acc6, acc7};
    const struct stage stage = STAGE;
    for (uint i = 0; i < rows; i++)
        store16(&stage, acc[i], row + i, column);
}
