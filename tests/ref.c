#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ref.h"

enum { COLUMNS = 64 }; /* columns summed together, so that rows of B are read in order */

size_t ref_size(enum qdot_type type)
{
    return type == QDOT_S32 || type == QDOT_F32 ? 4 : 1;
}

static int64_t element(const void *matrix, enum qdot_type type, size_t i)
{
    return type == QDOT_U8 ? ((const uint8_t *)matrix)[i] : ((const int8_t *)matrix)[i];
}

static int64_t zero_at(const int32_t *zero, size_t count, size_t i)
{
    return count == 0 ? 0 : zero[count == 1 ? 0 : i];
}

static int32_t wrap(int64_t sum)
{
    uint32_t acc = (uint32_t)(uint64_t)sum;
    return acc <= INT32_MAX ? (int32_t)acc : -(int32_t)(~acc) - 1;
}

/* Each step goes through a volatile float: no fusing and no excess precision on any compiler. */
static float scaled(const struct ref_problem *p, int32_t acc, size_t column)
{
    volatile float value = (float)acc;
    if (p->scale_count > 0)
        value = value * p->scale[p->scale_count == 1 ? 0 : column];
    return value;
}

static float to_float(const struct ref_problem *p, int32_t acc, size_t row, size_t column)
{
    volatile float value = scaled(p, acc, column);
    if (p->row_scale)
        value = value * p->row_scale[row];
    if (p->bias_f)
        value = value + p->bias_f[column];
    return value;
}

/* Ties to even from floor alone, in binary64, where every binary32 value and its half are exact. */
static double to_even(double value)
{
    double below = floor(value);
    double rest = value - below;
    return rest > 0.5 || (rest == 0.5 && fmod(below, 2) != 0) ? below + 1 : below;
}

/* ---- integers, as those who define them do it, in 64 bits ------------------------------------- */

static int64_t floor_divide(int64_t x, int64_t divisor)
{
    return x / divisor - (x % divisor < 0);
}

static int64_t power(int exponent)
{
    return (int64_t)1 << exponent;
}

/* gemmlowp's SaturatingRoundingDoublingHighMul; of the two operands only one can be INT32_MIN. */
static int32_t doubling_high(int32_t a, int32_t b)
{
    int64_t product = (int64_t)a * b;
    int64_t nudge = product >= 0 ? power(30) : 1 - power(30);
    return (int32_t)((product + nudge) / power(31));
}

/* gemmlowp's RoundingDivideByPOT */
static int32_t divide_away(int32_t x, int exponent)
{
    int64_t below = floor_divide(x, power(exponent));
    int64_t remainder = x - below * power(exponent);
    int64_t threshold = (power(exponent) - 1) / 2 + (x < 0);
    return (int32_t)(below + (remainder > threshold));
}

static int32_t divide_up(int32_t x, int exponent)
{
    int64_t half = exponent > 0 ? power(exponent - 1) : 0;
    return (int32_t)floor_divide(x + half, power(exponent));
}

/* acc * 2^left of 32 bits that wrap. */
static int32_t shift_left(int32_t acc, int left)
{
    return wrap((int64_t)((uint64_t)acc << left));
}

static int64_t fixed(const struct ref_problem *p, int32_t acc, size_t column)
{
    size_t i = p->multiplier_count == 1 ? 0 : column;
    int32_t multiplier = p->multiplier[i];
    int shift = p->shift[i], left = shift > 0 ? shift : 0, right = shift < 0 ? -shift : 0;
    if (p->rounding == QDOT_ROUND_Q31_SINGLE_UP)
        return floor_divide((int64_t)acc * multiplier + power(30 - shift), power(31 - shift));
    int32_t high = doubling_high(shift_left(acc, left), multiplier);
    return p->rounding == QDOT_ROUND_Q31_DOUBLE_UP ? divide_up(high, right)
                                                   : divide_away(high, right);
}

/* The mantissa as an integer, and how far it is to be shifted. */
static int64_t by_mantissa(const struct ref_problem *p, int32_t acc, size_t column)
{
    float scale = p->scale_count == 0 ? 1.0f : p->scale[p->scale_count == 1 ? 0 : column];
    int exponent;
    int64_t mantissa = (int64_t)ldexp(frexp((double)scale, &exponent), 24);
    int right = 24 - exponent;
    return floor_divide(acc * mantissa + power(right - 1), power(right));
}

static int32_t to_int8(const struct ref_problem *p, int32_t acc, size_t column)
{
    int32_t type_lo = p->out_type == QDOT_U8 ? 0 : -128;
    int32_t type_hi = p->out_type == QDOT_U8 ? 255 : 127;
    int type_range = p->clamp_lo == 0 && p->clamp_hi == 0;
    double lo = type_range ? type_lo : p->clamp_lo;
    double hi = type_range ? type_hi : p->clamp_hi;

    volatile float with_zero;
    double rounded;
    switch (p->rounding) {
    case QDOT_ROUND_RNE:
        rounded = to_even((double)scaled(p, acc, column)) + p->out_zero;
        break;
    case QDOT_ROUND_RNE_ZERO_FIRST:
        with_zero = scaled(p, acc, column);
        with_zero = with_zero + (float)p->out_zero;
        rounded = to_even((double)with_zero);
        break;
    case QDOT_ROUND_MANT24_UP:
        rounded = (double)(by_mantissa(p, acc, column) + p->out_zero);
        break;
    default:
        rounded = (double)(fixed(p, acc, column) + p->out_zero);
    }
    return (int32_t)(rounded < lo ? lo : rounded > hi ? hi : rounded);
}

static void store(const struct ref_problem *p, void *out, size_t i, int32_t acc, size_t row,
                  size_t column)
{
    switch (p->out_type) {
    case QDOT_F32:
        ((float *)out)[i] = to_float(p, acc, row, column);
        break;
    case QDOT_U8:
        ((uint8_t *)out)[i] = (uint8_t)to_int8(p, acc, column);
        break;
    case QDOT_S8:
        ((int8_t *)out)[i] = (int8_t)to_int8(p, acc, column);
        break;
    default:
        ((int32_t *)out)[i] = acc;
    }
}

/* |sum| < 2^16 * K: exact in 64 bits for any K that fits in memory; then reduced mod 2^32. */
static void gemm(const struct ref_problem *p, void *out, size_t ldo)
{
    size_t row_step = p->b_transposed ? 1 : p->ldb;
    size_t column_step = p->b_transposed ? p->ldb : 1;

    for (size_t row = 0; row < p->m; row++) {
        int64_t a_zero = zero_at(p->a_zero, p->a_zero_count, row);
        for (size_t begin = 0; begin < p->n; begin += COLUMNS) {
            size_t columns = p->n - begin < COLUMNS ? p->n - begin : COLUMNS;
            int64_t sum[COLUMNS] = {0}, b_zero[COLUMNS];
            for (size_t j = 0; j < columns; j++)
                b_zero[j] = zero_at(p->b_zero, p->b_zero_count, begin + j);
            for (size_t k = 0; k < p->k; k++) {
                int64_t a = element(p->a, p->a_type, row * p->lda + k) - a_zero;
                for (size_t j = 0; j < columns; j++) {
                    size_t i = k * row_step + (begin + j) * column_step;
                    sum[j] += a * (element(p->b, p->b_type, i) - b_zero[j]);
                }
            }
            for (size_t j = 0; j < columns; j++) {
                int64_t bias = p->bias ? p->bias[begin + j] : 0;
                store(p, out, row * ldo + begin + j, wrap(sum[j] + bias), row, begin + j);
            }
        }
    }
}

/* ---- convolution ----------------------------------------------------------------------------- */

static size_t extent(size_t size, size_t kernel, size_t stride, size_t dilation, size_t pads,
                     int transposed, size_t output_pad)
{
    size_t span = (kernel - 1) * dilation + 1;
    if (transposed) {
        size_t whole = (size - 1) * stride + span + output_pad;
        return whole > pads ? whole - pads : 0;
    }
    return size + pads < span ? 0 : (size + pads - span) / stride + 1;
}

void ref_conv_output(const struct qdot_conv *c, size_t *height, size_t *width)
{
    *height = extent(c->height, c->kernel_h, c->stride_h, c->dilation_h, c->pad_top + c->pad_bottom,
                     c->transposed, c->output_pad_h);
    *width = extent(c->width, c->kernel_w, c->stride_w, c->dilation_w, c->pad_left + c->pad_right,
                    c->transposed, c->output_pad_w);
}

/* Of channel 'channel' of the group of output channel o. */
static size_t weight_at(const struct qdot_conv *c, size_t o, size_t channel, size_t i, size_t j)
{
    size_t cg = c->channels / c->groups, og = c->out_channels / c->groups;
    if (c->layout == QDOT_NHWC)
        return ((o * c->kernel_h + i) * c->kernel_w + j) * cg + channel;
    size_t plane = c->transposed ? (o / og * cg + channel) * og + o % og : o * cg + channel;
    return (plane * c->kernel_h + i) * c->kernel_w + j;
}

/* All products of input pixel (y, x) with tap (i, j) of output channel o. */
static int64_t tap(const struct ref_problem *p, size_t image, size_t y, size_t x, size_t o,
                   size_t i, size_t j)
{
    const struct qdot_conv *c = p->conv;
    size_t cg = c->channels / c->groups, begin = o / (c->out_channels / c->groups) * cg;
    int64_t a_zero = zero_at(p->a_zero, p->a_zero_count, 0);
    int64_t b_zero = zero_at(p->b_zero, p->b_zero_count, o), sum = 0;
    for (size_t channel = 0; channel < cg; channel++) {
        size_t at = ((image * c->height + y) * c->width + x) * p->lda + begin + channel;
        if (c->layout == QDOT_NCHW)
            at = ((image * c->channels + begin + channel) * c->height + y) * c->width + x;
        sum += (element(p->a, p->a_type, at) - a_zero) *
               (element(p->b, p->b_type, weight_at(c, o, channel, i, j)) - b_zero);
    }
    return sum;
}

/* The sums of one output channel of one image, in the order of qdot.h's sentences: output pixels
 * gather from the input, or, transposed, input pixels are added to the output. Padding is a_zero,
 * whose products are 0. */
static void convolve(const struct ref_problem *p, size_t image, size_t o, int64_t *sums,
                     size_t out_h, size_t out_w)
{
    const struct qdot_conv *c = p->conv;
    size_t from_h = c->transposed ? c->height : out_h, from_w = c->transposed ? c->width : out_w;
    size_t to_h = c->transposed ? out_h : c->height, to_w = c->transposed ? out_w : c->width;
    for (size_t i = 0; i < c->kernel_h; i++) {
        for (size_t y = 0; y < from_h; y++) {
            size_t point_y = y * c->stride_h + i * c->dilation_h;
            if (point_y < c->pad_top || point_y - c->pad_top >= to_h)
                continue;
            size_t to_y = point_y - c->pad_top;
            for (size_t j = 0; j < c->kernel_w; j++) {
                for (size_t x = 0; x < from_w; x++) {
                    size_t point_x = x * c->stride_w + j * c->dilation_w;
                    if (point_x < c->pad_left || point_x - c->pad_left >= to_w)
                        continue;
                    size_t to_x = point_x - c->pad_left;
                    if (c->transposed)
                        sums[to_y * out_w + to_x] += tap(p, image, y, x, o, i, j);
                    else
                        sums[y * out_w + x] += tap(p, image, to_y, to_x, o, i, j);
                }
            }
        }
    }
}

static int conv(const struct ref_problem *p, void *out, size_t ldo)
{
    const struct qdot_conv *c = p->conv;
    size_t out_h, out_w;
    ref_conv_output(c, &out_h, &out_w);
    size_t pixels = out_h * out_w;
    int64_t *sums = malloc(pixels * sizeof(*sums));
    if (!sums)
        return -1;
    for (size_t image = 0; image < p->m; image++) {
        for (size_t o = 0; o < c->out_channels; o++) {
            int64_t bias = p->bias ? p->bias[o] : 0;
            memset(sums, 0, pixels * sizeof(*sums));
            convolve(p, image, o, sums, out_h, out_w);
            for (size_t pixel = 0; pixel < pixels; pixel++) {
                size_t at = (image * pixels + pixel) * ldo + o;
                if (c->layout == QDOT_NCHW)
                    at = (image * c->out_channels + o) * pixels + pixel;
                store(p, out, at, wrap(sums[pixel] + bias), 0, o);
            }
        }
    }
    free(sums);
    return 0;
}

int ref_run(const struct ref_problem *p, void *out, size_t ldo)
{
    if (p->conv)
        return conv(p, out, ldo);
    gemm(p, out, ldo);
    return 0;
}
