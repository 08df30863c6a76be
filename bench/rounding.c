#include <math.h>
#include <string.h>
#include "rounding.h"

static const char *const names[] = {"rne",           "rne-zero-first", "q31-double-away",
                                    "q31-double-up", "q31-single-up",  "mant24-up"};

bool rounding_parse(const char *text, enum qdot_rounding *rounding)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], text) == 0) {
            *rounding = (enum qdot_rounding)i;
            return true;
        }
    return false;
}

const char *rounding_text(enum qdot_rounding rounding)
{
    return names[rounding];
}

bool rounding_is_q31(enum qdot_rounding rounding)
{
    return rounding == QDOT_ROUND_Q31_DOUBLE_AWAY || rounding == QDOT_ROUND_Q31_DOUBLE_UP ||
           rounding == QDOT_ROUND_Q31_SINGLE_UP;
}

/* x / 2^bits, from 0 bits on, ties up. */
static int64_t shift_up(int64_t x, int bits)
{
    return bits ? (x + ((int64_t)1 << (bits - 1))) >> bits : x;
}

static int64_t twice(int32_t acc, int32_t multiplier, int32_t shift, bool away)
{
    const int left = shift > 0 ? shift : 0, right = shift < 0 ? -shift : 0;
    const int32_t moved = (int32_t)((uint32_t)acc << left);
    const int64_t x = shift_up((int64_t)moved * multiplier, 31);
    return away && x < 0 ? -shift_up(-x, right) : shift_up(x, right);
}

double rounding_output(enum qdot_rounding rounding, int32_t acc, float scale, int32_t multiplier,
                       int32_t shift, int32_t zero)
{
    const float real = (float)acc * scale;
    int exponent;
    switch (rounding) {
    case QDOT_ROUND_RNE_ZERO_FIRST:
        return (double)rintf(real + (float)zero);
    case QDOT_ROUND_Q31_DOUBLE_AWAY:
    case QDOT_ROUND_Q31_DOUBLE_UP:
        return (double)(twice(acc, multiplier, shift, rounding == QDOT_ROUND_Q31_DOUBLE_AWAY) +
                        zero);
    case QDOT_ROUND_Q31_SINGLE_UP:
        return (double)(shift_up((int64_t)acc * multiplier, 31 - shift) + zero);
    case QDOT_ROUND_MANT24_UP:
        multiplier = (int32_t)(frexpf(scale, &exponent) * 0x1p24f);
        return (double)(shift_up((int64_t)acc * multiplier, 24 - exponent) + zero);
    case QDOT_ROUND_RNE:
        break;
    }
    return (double)(rintf(real) + (float)zero);
}
