/* Roundings of narrow outputs, and the multipliers of those that do without floats. */
#include <math.h>
#include <string.h>
#include "internal.h"

static const char *name_of(enum qdot_rounding rounding)
{
    static const char *const names[] = {
        "QDOT_ROUND_RNE",           "QDOT_ROUND_RNE_ZERO_FIRST", "QDOT_ROUND_Q31_DOUBLE_AWAY",
        "QDOT_ROUND_Q31_DOUBLE_UP", "QDOT_ROUND_Q31_SINGLE_UP",  "QDOT_ROUND_MANT24_UP"};
    return names[rounding];
}

static int check_multipliers(const struct qdot_op_desc *d, const struct qdot_problem *p,
                             struct qdot_error *err)
{
    if (d->scale_count)
        return qdot_fail(err, QDOT_INVALID, "scale: expected none with %s, which takes multiplier",
                         name_of(d->rounding));
    if (d->multiplier_count != 1 && d->multiplier_count != p->n)
        return qdot_fail(err, QDOT_INVALID,
                         "multiplier_count: expected 1 or n = %zu with %s, got %zu", p->n,
                         name_of(d->rounding), d->multiplier_count);
    if (!d->multiplier || !d->shift)
        return qdot_fail(err, QDOT_INVALID, "%s: expected multiplier_count = %zu values, got NULL",
                         d->multiplier ? "shift" : "multiplier", d->multiplier_count);
    for (size_t j = 0; j < d->multiplier_count; j++) {
        if (d->multiplier[j] != 0 && d->multiplier[j] < 1 << 30)
            return qdot_fail(err, QDOT_INVALID,
                             "multiplier[%zu]: expected 0 or a value in [2^30, 2^31), got %d", j,
                             (int)d->multiplier[j]);
        if (d->shift[j] < -31 || d->shift[j] > 30)
            return qdot_fail(err, QDOT_INVALID, "shift[%zu]: expected -31 to 30, got %d", j,
                             (int)d->shift[j]);
    }
    return QDOT_OK;
}

/* check_scale of op.c has passed: these are neither NaN nor subnormal. */
static int check_scales(const struct qdot_op_desc *d, struct qdot_error *err)
{
    for (size_t j = 0; j < d->scale_count; j++)
        if (!(d->scale[j] >= 0x1p-32f && d->scale[j] < 0x1p8f))
            return qdot_fail(err, QDOT_INVALID,
                             "scale[%zu]: expected a value in [2^-32, 2^8) with %s, got %g", j,
                             name_of(d->rounding), (double)d->scale[j]);
    return QDOT_OK;
}

int qdot_check_rounding(const struct qdot_op_desc *d, struct qdot_problem *p,
                        struct qdot_error *err)
{
    const bool narrow = p->out_type == QDOT_U8 || p->out_type == QDOT_S8;
    /* As a number: callers may have given any. */
    const int rounding = (int)d->rounding;
    if (rounding < QDOT_ROUND_RNE || rounding > QDOT_ROUND_MANT24_UP)
        return qdot_fail(err, QDOT_INVALID, "rounding: expected a QDOT_ROUND_ value, got %d",
                         rounding);
    if (!narrow && rounding != QDOT_ROUND_RNE)
        return qdot_fail(err, QDOT_INVALID,
                         "rounding: expected 0 without an s8 or u8 output, got %d", rounding);
    p->rounding = rounding == QDOT_ROUND_MANT24_UP ? QDOT_ROUND_Q31_SINGLE_UP : d->rounding;
    if (qdot_is_fixed(p) && rounding != QDOT_ROUND_MANT24_UP)
        return check_multipliers(d, p, err);
    if (d->multiplier || d->shift || d->multiplier_count)
        return qdot_fail(err, QDOT_INVALID, "%s: expected none with %s",
                         d->multiplier ? "multiplier"
                         : d->shift    ? "shift"
                                       : "multiplier_count",
                         name_of(d->rounding));
    return rounding == QDOT_ROUND_MANT24_UP ? check_scales(d, err) : QDOT_OK;
}

/* scale = mantissa * 2^(exponent - 150), and as 31 bits (mantissa << 7) * 2^(shift - 31): the 7 bits
 * of 0 change neither the sum, which has room for them, nor what it rounds to. */
static void split_scales(struct qdot_terms *t, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        uint32_t bits;
        memcpy(&bits, &t->multiplier[j], sizeof(bits));
        t->multiplier[j] = bits ? (int32_t)((bits & 0x7fffff) | 0x800000) << 7 : 0;
        t->shift[j] = (int32_t)(bits >> 23) - 126;
    }
}

void qdot_fixed_terms(const struct qdot_op_desc *desc, struct qdot_terms *t, size_t n_pad)
{
    if (desc->rounding == QDOT_ROUND_MANT24_UP)
        split_scales(t, n_pad);
    t->shifts_right = true;
    for (size_t j = 0; j < n_pad; j++) {
        if (t->multiplier[j] == 0)
            t->shift[j] = -31;
        t->shifts_right = t->shifts_right && t->shift[j] <= -2;
    }
}

int qdot_multiplier(double scale, int32_t *multiplier, int32_t *shift, struct qdot_error *err)
{
    if (!multiplier || !shift)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         multiplier ? "shift" : "multiplier");
    if (!(scale >= 0 && scale < 0x1p30))
        return qdot_fail(err, QDOT_INVALID, "scale: expected a value in [0, 2^30), got %g", scale);
    int exponent;
    int64_t rounded = (int64_t)(frexp(scale, &exponent) * 0x1p31 + 0.5); /* this sum is exact */
    if (rounded == (int64_t)1 << 31) {
        rounded /= 2;
        exponent++;
    }
    if (exponent < -31 || rounded == 0)
        rounded = exponent = 0;
    if (exponent > 30) { /* rounded up to 2^30: the largest there is */
        rounded = INT32_MAX;
        exponent = 30;
    }
    *multiplier = (int32_t)rounded;
    *shift = exponent;
    return QDOT_OK;
}
