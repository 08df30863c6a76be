/*
 * The output stage of the CPU rows: one text, compiled for three instruction sets so that the
 * compiler vectorises it. acc becomes the output one row of a tile at a time.
 *
 * Rounding: after clamping, |x| <= 511 < 2^22, and x + 1.5 * 2^23 in binary32 has its last bit at
 * 1: the sum is x rounded to nearest, ties to even, in the low bits. cpu.c sets that rounding mode.
 */
#include <string.h>
#include "cpu.h"

#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define ROUND_BITS 0x4b400000

static inline __attribute__((always_inline)) void finish(const struct cpu_output *o,
                                                         const int32_t *acc, size_t rows,
                                                         size_t columns, size_t row, size_t column,
                                                         const int32_t *row_sum)
{
    const size_t nr = o->nr;
    const int32_t *bias = o->bias + column;
    const float *scale = o->scale + column;
    for (size_t r = 0; r < rows; r++, acc += nr) {
        _Alignas(64) uint32_t sum[CPU_MAX_NR];
        _Alignas(64) float real[CPU_MAX_NR];
        _Alignas(64) uint8_t narrow[CPU_MAX_NR];
        uint8_t *out = o->out + (row + r) * o->ldo_bytes;
        for (size_t j = 0; j < nr; j++)
            sum[j] = (uint32_t)acc[j] + (uint32_t)bias[j];
        if (o->b_neg) {
            uint32_t factor = (uint32_t)row_sum[r];
            if (o->a_zero)
                factor -= o->k * (uint32_t)o->a_zero[row + r];
            for (size_t j = 0; j < nr; j++)
                sum[j] += factor * (uint32_t)o->b_neg[column + j];
        }
        if (o->a_zero) {
            const uint32_t factor = 0u - (uint32_t)o->a_zero[row + r];
            for (size_t j = 0; j < nr; j++)
                sum[j] += factor * (uint32_t)o->col_sum[column + j];
        }
        if (o->type == QDOT_S32) {
            memcpy(out + column * 4, sum, columns * 4);
            continue;
        }
        for (size_t j = 0; j < nr; j++)
            real[j] = (float)(int32_t)sum[j] * scale[j];
        if (o->type == QDOT_F32) {
            const float factor = o->row_scale ? o->row_scale[row + r] : 1.0f;
            for (size_t j = 0; j < nr; j++) {
                const float product = real[j] * factor;
                real[j] = product + o->bias_f[column + j];
            }
            memcpy(out + column * 4, real, columns * 4);
            continue;
        }
        for (size_t j = 0; j < nr; j++) {
            float x = real[j];
            x = x < o->lo ? o->lo : x;
            x = x > o->hi ? o->hi : x;
            x += ROUND_MAGIC;
            int32_t bits;
            memcpy(&bits, &x, 4);
            narrow[j] = (uint8_t)(bits - ROUND_BITS + o->zero);
        }
        memcpy(out + column, narrow, columns);
    }
}

#define VARIANT(name, attributes)                                                           \
    attributes void name(const struct cpu_output *o, const int32_t *acc, size_t rows,       \
                         size_t columns, size_t row, size_t column, const int32_t *row_sum) \
    {                                                                                       \
        finish(o, acc, rows, columns, row, column, row_sum);                                \
    }

VARIANT(cpu_output_base, )
#if defined(__x86_64__)
VARIANT(cpu_output_avx2, __attribute__((target("avx2"))))
VARIANT(cpu_output_avx512, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))))
#endif
