/* Instructions of processors on arrays of operands: the tables, and who runs them. */
#ifndef PRIMITIVE_CPU_H
#define PRIMITIVE_CPU_H

#include "primitive.h"

/* Fills 'bytes' of r, a multiple of 64. */
typedef void instruction_fn(const uint8_t *a, const uint8_t *b, const uint8_t *c, uint8_t *r,
                            size_t bytes);

struct instruction {
    struct primitive p; /* needs: a feature of the device */
    instruction_fn *run;
};

/* A move of 'count' elements through a vector that may have more: those are masked, in memory too. */
typedef void move_fn(const uint8_t *from, uint8_t *to, size_t count);

struct move {
    const char *text, *needs;
    size_t element, least, most; /* bytes; counts */
    move_fn *run;
};

/* Each ends with an entry without a text. */
extern const struct instruction x86_dots[], x86_integers[], x86_saturating[], x86_floats[];
extern const struct move x86_moves[];

#endif
