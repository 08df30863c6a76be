/* What an op costs before its runs. */
#ifndef BENCH_SETUP_H
#define BENCH_SETUP_H

#include "verify.h"

/* Least times, in ns; 0: not measured, or there is no such thing. */
struct setup {
    double create;     /* with packing B */
    double transposed; /* the same, B given as [n,k] */
    double load;       /* from a packed B */
    double first_run;  /* of the op, its output's pages there already */
    double cold, warm; /* creation by a device that was just opened: compiled; from the cache */
    size_t packed_bytes;
};

/* row: "backend/row". */
int setup_measure(struct qdot_device *device, const struct product *p, const char *row,
                  struct setup *setup, struct qdot_error *err);
/* Only cold and warm, once, with a cache of their own. */
int setup_compile(const char *device, const struct product *p, const char *row, struct setup *setup,
                  struct qdot_error *err);

#endif
