/*
 * The data of one product or convolution and the proof of its result. Nothing here uses the
 * library's arithmetic.
 *
 * An int32 result is proven by whole rows (of a convolution: pixels, with all channels) summed in 64
 * bits by the formula, first, last and random ones, and, for all of it, by Freivalds' check mod
 * 2^32: C r == A (B r) + (bias . r). Of a convolution, B r is its weights combined into those of one
 * output channel, and A (B r) that convolution. A proven result is kept; every further one of the
 * same product is compared with it bit by bit. s8, u8 and f32 outputs are recomputed, every value,
 * from the proven accumulators by the formula of qdot.h.
 */
#ifndef BENCH_VERIFY_H
#define BENCH_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shape.h"

struct product {
    struct shape shape; /* completed */
    enum qdot_type a_type, b_type, out_type;
    enum qdot_rounding rounding; /* of s8 and u8 outputs */
    uint8_t *a, *b;              /* b: [k,n], or a convolution's weights, OHWI */
    bool b_at_run;               /* a product's B comes with each run, which packs it */
    /* s32 is the plain product A B, as the peers compute it. Other outputs are a quantised layer:
     * zero point of A (a convolution's padding), bias, a scale a column. */
    int32_t a_zero, out_zero;
    int32_t *bias;               /* NULL: none */
    float *scale, *bias_f;       /* NULL: none */
    int32_t *multiplier, *shift; /* of roundings that have these, made of scale; NULL: none */
    int32_t *acc;                /* proven; NULL: not yet */
};

enum { VERIFY_POISON = 0xA5 };

/* Memory aligned to 64 bytes for count * size; NULL when there is none. For free(). */
void *verify_alloc(size_t count, size_t size);
size_t type_bytes(enum qdot_type type);
const char *type_text(enum qdot_type type); /* "u8" */

/* Data depend on the shape and types only. */
int product_create(struct product *p, struct qdot_error *err);
void product_free(struct product *p);
/* The op of this product, or with 'twin' the one that gives its accumulators. */
void product_describe(const struct product *p, bool twin, struct qdot_op_desc *desc);

/* c: m * n accumulators. False and a reason when they are wrong; on success acc has a copy. */
bool product_prove(struct product *p, const int32_t *c, char *reason, size_t reason_bytes);
/* out: m * n values of out_type, compared with the proven accumulators. */
bool product_check(const struct product *p, const void *out, char *reason, size_t reason_bytes);

#endif
