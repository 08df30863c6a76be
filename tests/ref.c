#include <math.h>
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
static int32_t to_int8(const struct ref_problem *p, int32_t acc, size_t column)
{
    int32_t type_lo = p->out_type == QDOT_U8 ? 0 : -128;
    int32_t type_hi = p->out_type == QDOT_U8 ? 255 : 127;
    int type_range = p->clamp_lo == 0 && p->clamp_hi == 0;
    double lo = type_range ? type_lo : p->clamp_lo;
    double hi = type_range ? type_hi : p->clamp_hi;

    double value = scaled(p, acc, column);
    double below = floor(value);
    double rest = value - below;
    double rounded = below;
    if (rest > 0.5 || (rest == 0.5 && fmod(below, 2) != 0))
        rounded += 1;
    rounded += p->out_zero;
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
void ref_gemm(const struct ref_problem *p, void *out, size_t ldo)
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
                uint32_t acc = (uint32_t)(uint64_t)(sum[j] + bias);
                int32_t wrapped = acc <= INT32_MAX ? (int32_t)acc : -(int32_t)(~acc) - 1;
                store(p, out, row * ldo + begin + j, wrapped, row, begin + j);
            }
        }
    }
}
