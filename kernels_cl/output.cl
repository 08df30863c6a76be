/*
 * The output stage of every row: 16 accumulators of one row of C, plus the terms of
 * host/internal.h, to the output type. First in every program's text.
 *
 * -D OUT=3 s32, 4 f32, 2 s8, 1 u8 (enum qdot_type); -D ROUNDING of the last two (enum qdot_rounding);
 * -D FLUSHES where the device has no subnormals.
 */
#pragma OPENCL FP_CONTRACT OFF

#if OUT == 1
typedef uchar out_t;
typedef uchar16 out16_t;
#elif OUT == 2
typedef char out_t;
typedef char16 out16_t;
#elif OUT == 3
typedef int out_t;
typedef int16 out16_t;
#else
typedef float out_t;
typedef float16 out16_t;
#endif

#define RNE 0
#define RNE_ZERO_FIRST 1
#define Q31_DOUBLE_AWAY 2
#define Q31_DOUBLE_UP 3
#define Q31_SINGLE_UP 4
#ifndef ROUNDING
#define ROUNDING RNE
#endif

/* Arrays of one buffer, each of terms_ld ints; terms_ld is n rounded up to 16. Roundings by integers
 * have their multipliers for scales and their shifts for bias_f. */
enum { TERM_BIAS, TERM_B_NEG, TERM_COL_SUM, TERM_SCALE, TERM_BIAS_F, TERM_BIAS_GIVEN };
enum { WITH_ROW_SUM = 1, WITH_A_ZERO = 2, WITH_ROW_SCALE = 4 };

#define STAGE_PARAMETERS                                                                           \
    global out_t *out, ulong out_offset, ulong ldo, uint m, uint n, uint k, uint with,             \
        global const int *terms, ulong terms_ld, global const uint *row_sum,                       \
        global const int *a_zero, ulong a_zero_offset, global const float *row_scale,              \
        ulong row_scale_offset, int lo, int hi, int zero
#define STAGE                                                                                      \
    {out + out_offset, ldo,  n,  k, with, terms, terms_ld, row_sum, a_zero + a_zero_offset,        \
     row_scale + row_scale_offset, lo, hi, zero}

struct stage {
    global out_t *out;
    ulong ldo;
    uint n, k, with;
    global const int *terms;
    ulong terms_ld;
    global const uint *row_sum;
    global const int *a_zero;
    global const float *row_scale;
    int lo, hi, zero; /* lo and hi less zero: bounds before zero is added */
};

#if OUT == 4
#ifdef FLUSHES
/*
 * Float product and sum where a subnormal operand or result would be flushed to zero. Bits of a
 * float are read as mantissa * 2^(exponent - 150); for subnormals the exponent is 1 and the hidden
 * bit 0, so that mantissa + ((exponent - 1) << 23) gives the bits back for both, carries included.
 */
float multiply(float x, float y)
{
    const uint a = as_uint(x), b = as_uint(y), sign = (a ^ b) & 0x80000000;
    const int a_exponent = a >> 23 & 255, b_exponent = b >> 23 & 255;
    const ulong product = (ulong) ((a & 0x7fffff) | (a_exponent ? 0x800000 : 0)) *
                          ((b & 0x7fffff) | (b_exponent ? 0x800000 : 0));
    if (product == 0)
        return as_float(sign);
    /* The value is product * 2^(e - 150), e the exponent of a mantissa of ulp 2^(e - 150). */
    int e = max(a_exponent, 1) + max(b_exponent, 1) - 150;
    int shift = max(40 - (int) clz(product), 1 - e); /* 24 bits stay, or fewer below 2^-126 */
    ulong mantissa;
    if (shift <= 0) {
        mantissa = product << -shift;
    } else if (shift > 49) {
        mantissa = 0; /* product < 2^48 is less than half of the last place */
    } else {
        const ulong middle = (ulong) 1 << (shift - 1), rest = product & (2 * middle - 1);
        mantissa = product >> shift;
        mantissa += rest > middle || (rest == middle && (mantissa & 1));
    }
    e += shift;
    const ulong bits = mantissa + ((ulong) (e - 1) << 23);
    return as_float(sign | (bits < 0x7f800000 ? (uint) bits : 0x7f800000));
}

/* As a multiple of 2^-149; exact for |x| < 2^-87. */
long to_units(float x)
{
    const uint a = as_uint(x), exponent = a >> 23 & 255;
    const ulong mantissa = (a & 0x7fffff) | (exponent ? 0x800000 : 0);
    const long units = mantissa << (max(exponent, 1u) - 1);
    return a & 0x80000000 ? -units : units;
}

/* From 2^-87 on in one operand, a subnormal other one is under a quarter of its last place, and a
 * difference is a multiple of 2^-110: the device's own sum is right. */
float add(float x, float y)
{
    const float limit = 0x1p-87f;
    if (fabs(x) >= limit || fabs(y) >= limit)
        return x + y;
    const long sum = to_units(x) + to_units(y);
    const uint sign = sum < 0 ? 0x80000000 : sum ? 0 : as_uint(x) & as_uint(y) & 0x80000000;
    const ulong units = sum < 0 ? -sum : sum;
    if (units < 0x1000000)
        return as_float(sign | (uint) units);
    return as_float(sign | (as_uint(convert_float_rte(units)) - (149u << 23)));
}

float16 multiply16(float16 x, float y)
{
    float v[16];
    vstore16(x, 0, v);
    for (int j = 0; j < 16; j++)
        v[j] = multiply(v[j], y);
    return vload16(0, v);
}

float16 add16(float16 x, float16 y)
{
    float v[16], w[16];
    vstore16(x, 0, v);
    vstore16(y, 0, w);
    for (int j = 0; j < 16; j++)
        v[j] = add(v[j], w[j]);
    return vload16(0, v);
}
#else
#define multiply16(x, y) ((x) * (y))
#define add16(x, y) ((x) + (y))
#endif
#endif

#if OUT == 1 || OUT == 2
/* 16 sums to integers within the bounds; term: of the first column. */
int16 requantise16(const struct stage *s, int16 acc, global const int *term)
{
    const int16 multiplier = vload16(0, term + TERM_SCALE * s->terms_ld);
#if ROUNDING >= Q31_DOUBLE_AWAY
    /* One shift of 64 bits, which host/cpu/requantise.c proves right. oclgrind 21.10 has a wrong max of
     * integer vectors with a scalar. */
    const int16 shift = vload16(0, term + TERM_BIAS_F * s->terms_ld);
#if ROUNDING == Q31_SINGLE_UP
    const long16 bits = convert_long16(31 - shift);
    long16 x = convert_long16(acc) * convert_long16(multiplier) + ((long16) 1 << (bits - 1));
#else
    const int16 moved = as_int16(as_uint16(acc) << as_uint16(max(shift, (int16) 0)));
    const long16 bits = convert_long16(31 + max(-shift, (int16) 0)), twice = convert_long16(shift < 0);
    long16 x = convert_long16(moved) * convert_long16(multiplier) + ((long) 1 << 30);
    x += ((long16) 1 << (bits - 1)) & twice;
#if ROUNDING == Q31_DOUBLE_AWAY
    x -= convert_long16(moved < 0) & twice & ((long) 1 << 31);
#endif
#endif
    x = clamp(x >> bits, (long16) ((long) s->lo), (long16) ((long) s->hi));
    return convert_int16(x) + s->zero;
#else
    float16 x = convert_float16(acc) * as_float16(multiplier);
    int zero = 0; /* what is in x already */
#if ROUNDING == RNE_ZERO_FIRST
    zero = s->zero;
    x += (float) zero;
#endif
    /* Bounds are integers, so clamping first gives the same. Floats from 2^23 to 2^24 are the
     * integers, so that adding 1.5 * 2^23 rounds as rint does, and the result is in the low bits. */
    x = clamp(x, (float16) ((float) (s->lo + zero)), (float16) ((float) (s->hi + zero))) + 0x1.8p23f;
    return as_int16(x) - (as_int(0x1.8p23f) + zero - s->zero);
#endif
}
#endif

/* 16 sums of one row to the output type; 'column' is that of the terms. Sums are unsigned: signed
 * overflow is undefined in OpenCL C too. */
out16_t output16(const struct stage *s, uint16 acc, uint sum, uint row, uint column)
{
    global const int *term = s->terms + column;
    const ulong ld = s->terms_ld;
    acc += as_uint16(vload16(0, term + TERM_BIAS * ld));
    if (s->with & WITH_ROW_SUM) {
        if (s->with & WITH_A_ZERO)
            sum -= s->k * (uint) s->a_zero[row];
        acc += sum * as_uint16(vload16(0, term + TERM_B_NEG * ld));
    }
    if (s->with & WITH_A_ZERO)
        acc -= (uint) s->a_zero[row] * as_uint16(vload16(0, term + TERM_COL_SUM * ld));

#if OUT == 1
    return convert_uchar16(requantise16(s, as_int16(acc), term));
#elif OUT == 2
    return convert_char16(requantise16(s, as_int16(acc), term));
#elif OUT == 3
    return as_int16(acc);
#else
    float16 x = convert_float16(as_int16(acc)) *
                vload16(0, (global const float *) (term + TERM_SCALE * ld));
    if (s->with & WITH_ROW_SCALE)
        x = multiply16(x, s->row_scale[row]);
    return add16(x, vload16(0, (global const float *) (term + TERM_BIAS_F * ld)));
#endif
}

/* The first 'count' of 16 columns, 'step' elements apart. Where bytes are aligned they are stored as
 * words: compilers store a vector of bytes that need not be byte by byte. */
void put16(global out_t *out, ulong step, out16_t value, uint count)
{
    if (count >= 16 && step == 1) {
#if OUT == 1 || OUT == 2
        if (((size_t) out & 3) == 0)
            vstore4(as_uint4(value), 0, (global uint *) out);
        else
#endif
            vstore16(value, 0, out);
    } else {
        out_t values[16];
        vstore16(value, 0, values);
        for (uint j = 0; j < min(count, 16u); j++)
            out[j * step] = values[j];
    }
}

/* Columns [column, column + 16) of 'row' of a matrix; those from n on are not stored. */
void store16(const struct stage *s, uint16 acc, uint row, uint column)
{
    const uint sum = s->with & WITH_ROW_SUM ? s->row_sum[row] : 0;
    put16(s->out + row * s->ldo + column, 1, output16(s, acc, sum, row, column), s->n - column);
}
