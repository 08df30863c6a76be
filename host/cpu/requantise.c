/*
 * The roundings that tiles do not have, of sums in memory: in plain C.
 *
 * Those by integers are one shift. With P = (acc << L) * M and R = -shift where that is positive, the
 * second rounding divides what the first has rounded down to an integer, so that only the last
 * rounding down counts:
 *
 *   single up     (P + 2^(30 + R)) >> (31 + R)     with shift - L for -R, so that L = 0
 *   double up     (((P + 2^30) >> 31) + 2^(R - 1)) >> R = (P + 2^30 + 2^(30 + R)) >> (31 + R)
 *   double away   the same less 2^31 where (P + 2^30) >> 31 is negative, which makes a tie below 0
 *                 round down. That is where acc << L is negative: M is at least 2^30, or 0, and where
 *                 the result of the first rounding is 0 nevertheless, so is that of the second.
 *
 * |P| <= 2^62, and what is added is less than 2^62.
 */
#include <string.h>
#include "cpu.h"

/* Of columns: (acc << left) * multiplier + add, less 'below' if negative, shifted right. */
struct columns {
    int64_t add[CPU_MAX_NR], below[CPU_MAX_NR];
    int32_t multiplier[CPU_MAX_NR];
    uint8_t left[CPU_MAX_NR], right[CPU_MAX_NR];
};

static void set_column(struct columns *c, size_t j, enum qdot_rounding rounding, int32_t shift)
{
    const bool once = rounding == QDOT_ROUND_Q31_SINGLE_UP, twice = !once && shift < 0;
    const int64_t one = 1;
    c->left[j] = (uint8_t)(!once && shift > 0 ? shift : 0);
    c->right[j] = (uint8_t)(once || twice ? 31 - shift : 31);
    c->add[j] = (once ? 0 : one << 30) + (once || twice ? one << (30 - shift) : 0);
    c->below[j] = twice && rounding == QDOT_ROUND_Q31_DOUBLE_AWAY ? one << 31 : 0;
}

static void by_integers(const struct cpu_sums *s)
{
    const struct cpu_output *o = s->output;
    const int64_t lo = o->clamp_lo - o->zero, hi = o->clamp_hi - o->zero;
    const int32_t zero = o->zero;
    struct columns c;
    uint8_t narrow[CPU_MAX_NR];
    for (size_t j = 0; j < s->columns; j++) {
        set_column(&c, j, o->rounding, o->shift[s->column + j]);
        c.multiplier[j] = o->multiplier[s->column + j];
    }
    for (size_t i = 0; i < s->rows; i++) {
        const int32_t *sum = s->sum + i * s->step;
        for (size_t j = 0; j < s->columns; j++) {
            const int32_t acc = (int32_t)((uint32_t)sum[j] << c.left[j]);
            const int64_t x = (int64_t)acc * c.multiplier[j] + c.add[j];
            /* No branches: signs and sizes of sums cannot be predicted. */
            int64_t y = (x - (c.below[j] & ((int64_t)acc >> 63))) >> c.right[j];
            y = y < lo ? lo : y;
            y = y > hi ? hi : y;
            narrow[j] = (uint8_t)((int32_t)y + zero);
        }
        memcpy(s->out + s->out_rows[i], narrow, s->columns);
    }
}

/* As in output.c, where rounding by addition is explained, but the zero point is added first. */
static void zero_first(const struct cpu_sums *s)
{
    const struct cpu_output *o = s->output;
    const float *scale = o->scale + s->column;
    const float zero = (float)o->zero, lo = (float)o->clamp_lo, hi = (float)o->clamp_hi;
    uint8_t narrow[CPU_MAX_NR];
    for (size_t i = 0; i < s->rows; i++) {
        const int32_t *sum = s->sum + i * s->step;
        for (size_t j = 0; j < s->columns; j++) {
            float x = (float)sum[j] * scale[j];
            x = x + zero;
            x = x < lo ? lo : x;
            x = x > hi ? hi : x;
            x += CPU_ROUND_MAGIC;
            int32_t bits;
            memcpy(&bits, &x, 4);
            narrow[j] = (uint8_t)(bits - CPU_ROUND_BITS);
        }
        memcpy(s->out + s->out_rows[i], narrow, s->columns);
    }
}

void cpu_requantise(const struct cpu_sums *s)
{
    if (s->output->rounding == QDOT_ROUND_RNE_ZERO_FIRST)
        zero_first(s);
    else
        by_integers(s);
}

/* Takes zero points of B, or of A by row, off. */
static void correct(const struct cpu_sums *s)
{
    const struct cpu_output *o = s->output;
    for (size_t i = 0; i < s->rows; i++) {
        int32_t *sum = s->sum + i * s->step;
        const uint32_t a_zero = o->a_zero ? (uint32_t)o->a_zero[s->row + i] : 0;
        const uint32_t by_neg = o->b_neg ? (uint32_t)s->row_sum[i] - o->k * a_zero : 0;
        for (size_t j = 0; o->b_neg && j < s->columns; j++)
            sum[j] = (int32_t)((uint32_t)sum[j] + by_neg * (uint32_t)o->b_neg[s->column + j]);
        for (size_t j = 0; o->a_zero && j < s->columns; j++)
            sum[j] = (int32_t)((uint32_t)sum[j] - a_zero * (uint32_t)o->col_sum[s->column + j]);
    }
}

void cpu_finish_sums(cpu_requantise_fn *requantise, const struct cpu_sums *s)
{
    if (s->output->b_neg || s->output->a_zero)
        correct(s);
    requantise(s);
}
