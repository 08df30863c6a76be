/*
 * The reference in OpenCL C 1.2: one output a work-item, straight from the formula, on unpacked
 * operands. The checks compare tests/ref.c with it before they compare anything with either.
 */
#pragma OPENCL FP_CONTRACT OFF

#define U8 1 /* enum qdot_type */
#define S8 2
#define S32 3
#define F32 4

#define RNE 0 /* enum qdot_rounding */
#define RNE_ZERO_FIRST 1
#define Q31_DOUBLE_AWAY 2
#define Q31_DOUBLE_UP 3
#define Q31_SINGLE_UP 4
#define MANT24_UP 5

static long element(global const uchar *matrix, int type, long i)
{
    uchar byte = matrix[i];
    return type == U8 ? (long) byte : (long) as_char(byte);
}

/* value / 2^bits to the nearest; ties go away from 0, or up. */
static long divide_away(long value, int bits)
{
    long magnitude = (long) ((abs(value) + (1UL << bits) / 2) >> bits);
    return value < 0 ? -magnitude : magnitude;
}

static long divide_up(long value, int bits)
{
    return bits == 0 ? value : ((value >> (bits - 1)) + 1) >> 1;
}

/* The roundings by integers: two of them in turn, or one. The multiplier is not negative, and the
 * first of two, on the high half of a doubled product, has ties up whatever the second has. */
static long fixed_point(int acc, int rounding, int multiplier, int shift)
{
    if (rounding == Q31_SINGLE_UP)
        return divide_up((long) acc * multiplier, 31 - shift);
    long moved = (long) as_int(as_uint(acc) << max(shift, 0));
    long high = divide_up(moved * multiplier, 31);
    return rounding == Q31_DOUBLE_UP ? divide_up(high, max(-shift, 0))
                                     : divide_away(high, max(-shift, 0));
}

/* A normal positive scale is its mantissa's 24 bits divided by a power of 2. */
static long mantissa_point(int acc, uint scale)
{
    long mantissa = (scale & 0x7fffff) + 0x800000;
    return divide_up(acc * mantissa, 150 - (int) (scale >> 23));
}

/* The output stage of one sum. Counts of 0 mean that the term is absent, of 1 that all share it;
 * 'scale' is the multipliers of roundings that have some. */
static void store(long sum, long row, long column, global const float *scale,
                  global const int *shift, global const float *row_scale,
                  global const float *bias_f, global uchar *out, long at, int4 types, int4 counts,
                  int4 present, int4 output)
{
    int acc = as_int((uint) (sum & 0xffffffffL));
    if (types.s2 == S32) {
        ((global int *) out)[at] = acc;
        return;
    }
    int rounding = types.s3;
    long at_scale = counts.s2 == 1 ? 0 : column;
    float factor = counts.s2 > 0 ? scale[at_scale] : 1.0f;
    float value = convert_float_rte(acc);
    if (types.s2 == F32) {
        if (counts.s2 > 0)
            value = value * factor;
        if (present.s1)
            value = value * row_scale[row];
        if (present.s2)
            value = value + bias_f[column];
        ((global float *) out)[at] = value;
        return;
    }
    long rounded;
    if (rounding == RNE)
        rounded = (long) convert_int_sat(rint(value * factor)) + output.s0;
    else if (rounding == RNE_ZERO_FIRST)
        rounded = (long) convert_int_sat(rint(value * factor + (float) output.s0));
    else if (rounding == MANT24_UP)
        rounded = mantissa_point(acc, as_uint(factor)) + output.s0;
    else
        rounded = fixed_point(acc, rounding, ((global const int *) scale)[at_scale],
                              shift[at_scale]) +
                  output.s0;
    out[at] = (uchar) (clamp(rounded, (long) output.s1, (long) output.s2) & 0xff);
}

/* Shapes and steps are in elements. */
kernel void reference_gemm(global const uchar *a, global const uchar *b, global const int *a_zero,
                           global const int *b_zero, global const int *bias,
                           global const float *scale, global const int *shift,
                           global const float *row_scale, global const float *bias_f,
                           global uchar *out, int4 types, int4 counts, int4 present, int4 output,
                           long4 shape, long4 steps)
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
    store(sum, row, column, scale, shift, row_scale, bias_f, out, row * ldo + column, types,
          counts, present, output);
}

/* The input coordinate that output coordinate 'at' has under a tap, or -1. Of a transposed
 * convolution it is the one that is added to 'at'. */
static long source(long at, long tap, long stride, long dilation, long pad, long size,
                   int transposed)
{
    long point = transposed ? at + pad - tap * dilation : at * stride + tap * dilation - pad;
    if (point < 0 || (transposed && point % stride != 0))
        return -1;
    point = transposed ? point / stride : point;
    return point < size ? point : -1;
}

/* Height before width; in: height, width, channels, lda; outs the same; kernels: height, width,
 * channels and output channels of a group; steps: stride, dilation; pads: top, left; form: NCHW?
 * transposed? */
kernel void reference_conv(global const uchar *a, global const uchar *b, global const int *a_zero,
                           global const int *b_zero, global const int *bias,
                           global const float *scale, global const int *shift,
                           global const float *row_scale, global const float *bias_f,
                           global uchar *out, int4 types, int4 counts, int4 present, int4 output,
                           long4 in, long4 outs, long4 kernels, long4 steps, long2 pads, int2 form)
{
    long o = get_global_id(0), pixel = get_global_id(1);
    if (o >= outs.s2)
        return;
    long x = pixel % outs.s1, y = pixel / outs.s1 % outs.s0, image = pixel / outs.s1 / outs.s0;
    long cg = kernels.s2, og = kernels.s3, group = o / og;

    long za = counts.s0 == 0 ? 0 : a_zero[0];
    long zb = counts.s1 == 0 ? 0 : b_zero[counts.s1 == 1 ? 0 : o];
    long sum = present.s0 ? (long) bias[o] : 0;
    for (long c = 0; c < cg; c++)
        for (long i = 0; i < kernels.s0; i++)
            for (long j = 0; j < kernels.s1; j++) {
                long from_y = source(y, i, steps.s0, steps.s2, pads.s0, in.s0, form.s1);
                long from_x = source(x, j, steps.s1, steps.s3, pads.s1, in.s1, form.s1);
                if (from_y < 0 || from_x < 0)
                    continue;
                long channel = group * cg + c;
                long from = ((image * in.s0 + from_y) * in.s1 + from_x) * in.s3 + channel;
                long weight = ((o * kernels.s0 + i) * kernels.s1 + j) * cg + c;
                if (form.s0) {
                    from = ((image * in.s2 + channel) * in.s0 + from_y) * in.s1 + from_x;
                    weight = form.s1 ? channel * og + o % og : o * cg + c;
                    weight = (weight * kernels.s0 + i) * kernels.s1 + j;
                }
                sum += (element(a, types.s0, from) - za) * (element(b, types.s1, weight) - zb);
            }
    long at = pixel * outs.s3 + o;
    if (form.s0)
        at = ((image * outs.s2 + o) * outs.s0 + y) * outs.s1 + x;
    store(sum, 0, o, scale, shift, row_scale, bias_f, out, at, types, counts, present, output);
}
