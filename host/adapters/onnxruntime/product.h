/* What matrix products and convolutions share: an op of the library and what it was made of. */
#ifndef ADAPTER_PRODUCT_H
#define ADAPTER_PRODUCT_H

#include "adapter.h"

/* Zero points, scales and bias as an op takes them; the arrays are one allocation. */
struct parameters {
    int32_t a_zero, out_zero;
    size_t n, scale_count, b_zero_count;
    float *scale;
    int32_t *b_zero, *bias; /* bias: n, or NULL */
};

struct product {
    pthread_mutex_t lock; /* an op serves one call at a time */
    struct qdot_op *op;
    struct qdot_op_desc shape; /* that op was made with, its pointers left NULL */
    struct parameters parameters;
    bool fixed; /* weights and parameters are constants: op is right for every call of its shape */
    float alpha;
    float *bias_f; /* n, of an op with f32 output; NULL: none */
};

enum qdot_type type_for_qdot(ONNXTensorElementDataType type);
/* The types of both operands, of what belongs to them and of the output. */
OrtStatus *product_types_fit(const struct group *g, int64_t axis, bool *fit);
/* May these be 'n' values, or one? n < 0: not known. */
bool product_counts_fit(const struct group *g, int64_t n);
/* Are weights and all else that an op is made of constants? The zero point of A may be given by call
 * when 'a_zero_by_call'. */
bool product_is_constant(const struct step *s, bool a_zero_by_call);
/* At most 'most', and no more than one run takes where one is so many elements of X and outputs. */
size_t product_units(const struct step *s, size_t most, size_t x, size_t outputs);
void product_start(struct product *p);
void product_release(struct product *p);
void product_set_types(struct qdot_op_desc *shape, const struct step *s, const struct tensor *in);
/* Makes the op for this shape, weights and the parameters in 'in', unless it is there already. */
OrtStatus *product_make(struct product *p, const struct step *s, const struct tensor *in,
                        const struct qdot_op_desc *shape, size_t n, const void *weights, bool anew);
bool product_is(const struct op *op);
/* Of a step of such an op; NULL: not made yet. */
struct qdot_op *product_op(const struct step *s);
/* The workspace for runs of a call, from the runtime. */
OrtStatus *product_workspace(const struct product *p, struct call *c, struct qdot_run *run);

#endif
