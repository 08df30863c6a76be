/* Roundings of narrow outputs by name, and what they give: for command lines and for the proof. */
#ifndef BENCH_ROUNDING_H
#define BENCH_ROUNDING_H

#include <stdbool.h>
#include <stdint.h>
#include "qdot.h"

/* "rne, rne-zero-first, ...": all of them, for help pages and error lines. */
#define ROUNDING_NAMES \
    "rne, rne-zero-first, q31-double-away, q31-double-up, q31-single-up or mant24-up"

bool rounding_parse(const char *text, enum qdot_rounding *rounding);
const char *rounding_text(enum qdot_rounding rounding);
/* Has it multipliers and shifts instead of scales? */
bool rounding_is_q31(enum qdot_rounding rounding);

/* The output before it is clamped, by the formulas of qdot.h and not by the library. scale: what
 * roundings with multipliers do not look at, and multiplier and shift what the others do not. */
double rounding_output(enum qdot_rounding rounding, int32_t acc, float scale, int32_t multiplier,
                       int32_t shift, int32_t zero);

#endif
