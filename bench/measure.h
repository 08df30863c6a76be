/* Timing of several ways to compute the same product, in turns. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include "qdot.h"

struct contestant {
    int (*run)(void *self, size_t runs, struct qdot_error *err); /* returns when all are done */
    void *self;
    double median_ns, min_ns, cpu_ns; /* of one run; cpu_ns: of all threads of this process */
    uint64_t iterations;
};

/* Each of them for at least 'seconds' of samples, after a warm-up, taking turns so that what the
 * machine does meanwhile meets all of them. */
int measure(struct contestant *contestants, size_t count, double seconds, struct qdot_error *err);

/* Waits until no thread of this process runs. A pool's idle threads spin for tens of milliseconds,
 * and would take processors from whoever is next. */
void measure_settle(void);

#endif
