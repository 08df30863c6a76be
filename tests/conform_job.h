/* One case being run: its operands in memory and what they must hold in the end. */
#ifndef CONFORM_JOB_H
#define CONFORM_JOB_H

#include "conform.h"
#include "guard.h"

enum slot { SLOT_A, SLOT_A_ZERO, SLOT_ROW_SCALE, SLOT_B, SLOT_OUT, SLOT_OUT2, SLOTS };

/* Memory that holds one or several operands, and what it must hold after the runs. */
struct area {
    struct guarded g;
    size_t bytes;
    uint8_t *expected;
    uint8_t *got; /* of a device buffer: what was read back */
    struct qdot_buffer *buffer;
};

struct part {
    size_t area, offset, bytes; /* bytes 0: absent */
};

struct run {
    size_t m;
    struct part parts[SLOTS];
};

struct job {
    const struct target *target;
    const struct conform_case *c;
    struct outcome *outcome;
    size_t a_rows, a_columns, out_rows; /* rows of A and of out a unit of m: an image's pixels */
    size_t out_h, out_w;                /* of a convolution */
    size_t lda, ldb, ldo;
    struct random random;
    struct area areas[RUNS_MAX * SLOTS];
    size_t area_count;
    struct run runs[RUNS_MAX];
    struct guarded b, b_zero, bias, bias_f; /* of the descriptor */
    struct guarded scale, shift;            /* scales, or multipliers, and what goes with these */
    int32_t a_zero;
    struct guarded b2; /* chain: B of the second op, [n, n2], or its 1x1 weights */
    struct qdot_conv conv2;
    size_t n2;
    struct qdot_device *own; /* opened for this case's threads and caches */
    struct qdot_op *op, *op2;
};

static inline bool job_on_host(const struct conform_case *c)
{
    return c->place == PLACE_HOST_END || c->place == PLACE_HOST_START;
}

static inline bool job_wrapped(const struct conform_case *c)
{
    return c->place == PLACE_WRAPPED_END || c->place == PLACE_WRAPPED_START;
}

static inline bool job_at_end(const struct conform_case *c)
{
    return c->place == PLACE_HOST_END || c->place == PLACE_WRAPPED_END;
}

/* Fills the outcome's reason and returns VERDICT_FAIL, so that a failure is one statement. */
enum verdict job_fail(struct job *job, const char *what, const char *why);

/* ---- conform_layout.c, in this order --------------------------------------------------------- */

void job_plan(struct job *job);     /* shapes, and which operand lies where */
bool job_allocate(struct job *job); /* false: out of memory */
void job_fill(struct job *job);
enum verdict job_reference(struct job *job); /* what all areas must hold in the end */
uint8_t *job_memory(const struct job *job, const struct part *part); /* NULL: absent */

#endif
