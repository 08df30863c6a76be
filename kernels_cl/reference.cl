/*
 * The reference in OpenCL C 1.2: one output a work-item, straight from the formula, on unpacked
 * operands. The checks compare tests/ref.c with it before they compare anything with either.
 */
#pragma OPENCL FP_CONTRACT OFF

#define U8 1 /* enum qdot_type */
#define S8 2
#define S32 3
#define F32 4

static long element(global const uchar *matrix, int type, long i)
{
    uchar byte = matrix[i];
    return type == U8 ? (long) byte : (long) as_char(byte);
}

/* Shapes and steps are in elements; counts of 0 mean the term is absent, of 1 that all share it. */
kernel void reference(global const uchar *a, global const uchar *b, global const int *a_zero,
                      global const int *b_zero, global const int *bias, global const float *scale,
                      global const float *row_scale, global const float *bias_f,
                      global uchar *out, int4 types, long4 shape, long4 steps, int4 counts,
                      int4 present, int4 output)
{
    long row = get_global_id(1), column = get_global_id(0);
    long n = shape.s1, k = shape.s2;
    long lda = steps.s0, b_row_step = steps.s1, b_column_step = steps.s2, ldo = steps.s3;
    if (column >= n)
        return;

    long za = counts.s0 == 0 ? 0 : a_zero[counts.s0 == 1 ? 0 : row];
    long zb = counts.s1 == 0 ? 0 : b_zero[counts.s1 == 1 ? 0 : column];
    long sum = present.s0 ? (long) bias[column] : 0;
    for (long i = 0; i < k; i++)
        sum += (element(a, types.s0, row * lda + i) - za) *
               (element(b, types.s1, i * b_row_step + column * b_column_step) - zb);
    int acc = as_int((uint) (sum & 0xffffffffL));

    long at = row * ldo + column;
    if (types.s2 == S32) {
        ((global int *) out)[at] = acc;
        return;
    }
    float value = convert_float_rte(acc);
    if (counts.s2 > 0)
        value = value * scale[counts.s2 == 1 ? 0 : column];
    if (types.s2 == F32) {
        if (present.s1)
            value = value * row_scale[row];
        if (present.s2)
            value = value + bias_f[column];
        ((global float *) out)[at] = value;
        return;
    }
    long rounded = (long) convert_int_sat(rint(value)) + output.s0;
    out[at] = (uchar) (clamp(rounded, (long) output.s1, (long) output.s2) & 0xff);
}
