/*
 * The output stage in plain C, one row of a tile at a time.
 *
 * Rounding: after clamping, |x| <= 511 < 2^22, and x + 1.5 * 2^23 in binary32 has its last bit at
 * 1: the sum is x rounded to nearest, ties to even, in the low bits. cpu.c sets that rounding mode.
 */
#include <string.h>
#include "cpu.h"

/* A size that is known saves the call. */
static void copy_words(uint8_t *out, const void *words, size_t count)
{
    if (count == 16)
        memcpy(out, words, 64);
    else
        memcpy(out, words, count * 4);
}

/* A row's sums with what is by column and by row. */
static void complete(const struct cpu_tile *t, size_t i, const uint32_t *acc, size_t nr,
                     uint32_t *sum)
{
    const struct cpu_output *o = t->output;
    const size_t row = t->row + i, column = t->column;
    for (size_t j = 0; j < nr; j++)
        sum[j] = acc[j] + (uint32_t)o->bias[column + j];
    if (o->b_neg) {
        uint32_t factor = (uint32_t)t->row_sum[i];
        if (o->a_zero)
            factor -= o->k * (uint32_t)o->a_zero[row];
        for (size_t j = 0; j < nr; j++)
            sum[j] += factor * (uint32_t)o->b_neg[column + j];
    }
    if (o->a_zero) {
        const uint32_t factor = 0u - (uint32_t)o->a_zero[row];
        for (size_t j = 0; j < nr; j++)
            sum[j] += factor * (uint32_t)o->col_sum[column + j];
    }
}

void cpu_finish_row(const struct cpu_tile *t, size_t i, const uint32_t *acc, size_t nr)
{
    const struct cpu_output *o = t->output;
    const float *scale = o->scale + t->column;
    const size_t row = t->row + i, column = t->column;
    uint32_t sum[CPU_MAX_NR];
    float real[CPU_MAX_NR];
    uint8_t narrow[CPU_MAX_NR];
    uint8_t *out = t->out + t->out_rows[i];
    complete(t, i, acc, nr, sum);
    if (o->type == QDOT_S32) {
        copy_words(out, sum, t->columns);
        return;
    }
    for (size_t j = 0; j < nr; j++)
        real[j] = (float)(int32_t)sum[j] * scale[j];
    if (o->type == QDOT_F32) {
        const float factor = o->row_scale ? o->row_scale[row] : 1.0f;
        for (size_t j = 0; j < nr; j++) {
            const float product = real[j] * factor;
            real[j] = product + o->bias_f[column + j];
        }
        copy_words(out, real, t->columns);
        return;
    }
    for (size_t j = 0; j < nr; j++) {
        float x = real[j];
        x = x < o->lo ? o->lo : x;
        x = x > o->hi ? o->hi : x;
        x += CPU_ROUND_MAGIC;
        int32_t bits;
        memcpy(&bits, &x, 4);
        narrow[j] = (uint8_t)(bits - CPU_ROUND_BITS + o->zero);
    }
    memcpy(out, narrow, t->columns);
}

void cpu_finish_rows(const struct cpu_tile *t, size_t first, size_t rows, uint32_t *acc, size_t nr)
{
    const struct cpu_output *o = t->output;
    if (o->rounding == QDOT_ROUND_RNE) {
        for (size_t i = 0; i < rows; i++)
            cpu_finish_row(t, first + i, acc + i * nr, nr);
        return;
    }
    const struct cpu_sums sums = {
        .output = o,
        .sum = (int32_t *)acc,
        .step = nr,
        .rows = rows,
        .columns = t->columns,
        .column = t->column,
        .out = t->out,
        .out_rows = t->out_rows + first,
    };
    for (size_t i = 0; i < rows; i++)
        complete(t, first + i, acc + i * nr, nr, acc + i * nr);
    cpu_requantise(&sums);
}
