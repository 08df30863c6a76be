/* One op of qdot on one product: created, verified, then a contestant. */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stdbool.h>
#include "verify.h"

struct subject {
    struct qdot_device *device;
    struct qdot_op *op;
    struct qdot_buffer *a, *b, *out; /* on devices that are not the CPU: data stay there */
    void *host_out;                  /* poisoned before each check */
    size_t out_bytes;
    struct qdot_run run;
    double create_ms;
    char row[64]; /* "backend/row" */
};

/* kernel: NULL for the dispatcher's. */
int subject_create(struct subject *s, struct qdot_device *device, const struct product *p,
                   const char *kernel, struct qdot_error *err);
void subject_destroy(struct subject *s); /* a zeroed one is fine */

/* The accumulators of this product, from this row, proven. */
int subject_prove(struct qdot_device *device, struct product *p, const char *kernel, bool *good,
                  char *reason, size_t reason_bytes, struct qdot_error *err);
/* Runs once over a poisoned output and proves the result. QDOT_OK with *good = false: it is wrong,
 * for this reason. */
int subject_verify(struct subject *s, struct product *p, bool *good, char *reason,
                   size_t reason_bytes, struct qdot_error *err);
int subject_poison(struct subject *s, struct qdot_error *err);
/* The output that the last run left, once more. */
int subject_check(struct subject *s, const struct product *p, bool *good, char *reason,
                  size_t reason_bytes, struct qdot_error *err);
int subject_run(void *subject, size_t runs, struct qdot_error *err); /* a contestant's */

#endif
