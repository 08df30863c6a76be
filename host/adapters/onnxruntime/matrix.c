/* Matrix products: MatMulInteger, alone or with its sums scaled as floats, QLinearMatMul, QGemm, and MatMul and
 * Gemm of quantised operands. */
#include <stdlib.h>
#include <string.h>
#include "product.h"

/* Of a product whose rows are not known beforehand; more are several runs. */
#define ROWS 65536

struct matrix {
    struct product product; /* first: product_op */
    bool transposed;        /* W is [n,k] */
    bool gemm;
    bool a_zero_per_row; /* it is given by call, or has several values */
    bool scales;         /* the op itself scales its sums: the output is in a device's memory */
};

/* The sizes of one call. X is 'batches' of [m,k] and W of [k,n], one of them perhaps repeated. */
struct sizes {
    size_t m, k, n;
    size_t rank,
        batches; /* of the output, but for its last two dimensions; batches: their product */
    int64_t dims[MAX_RANK + 2];
    int64_t x_step[MAX_RANK],
        w_step[MAX_RANK]; /* matrices from one index of a dimension to the next */
};

/* ---- what is claimed --------------------------------------------------------------------------- */

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    const bool gemm = g->op->variant == PRODUCT_GEMM;
    int64_t trans_a = 0, trans_b = 0;
    float beta = 1;
    if (gemm) {
        TRY(group_int(g, "transA", &trans_a));
        TRY(group_int(g, "transB", &trans_b));
        TRY(group_float(g, "beta", &beta));
    }
    const size_t last = v[W].rank ? v[W].rank - 1 : 0;
    TRY(product_types_fit(g, trans_b ? 0 : (int64_t)last, yes));
    const int64_t n = v[W].rank == 2 ? v[W].dims[trans_b ? 0 : 1]
                      : v[W].rank    ? v[W].dims[last]
                                     : -1;
    const bool bias_by_row = v[BIAS].rank == 2 && v[BIAS].dims[0] != 1;
    const bool float_out = (gemm && !v[Y_SCALE].info) || g->op->variant == PRODUCT_SCALED;
    *yes =
        *yes && !trans_a && !(v[BIAS].info && beta != 1) && !bias_by_row &&
        product_counts_fit(g, n) && (!gemm || (v[X].rank == 2 && v[W].rank == 2)) &&
        (is_int8(g->out.type) || g->out.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 || float_out);
    return NULL;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

/* Dimension i of 'rank' leading ones, as if there were ones before the tensor's own. */
static int64_t leading(const struct tensor *t, size_t own, size_t rank, size_t i)
{
    return i + own < rank ? 1 : t->dims[i + own - rank];
}

/* NumPy's rules: leading dimensions are broadcast, a vector is a row on the left, a column on the right. */
static OrtStatus *sizes_of(const struct step *s, const struct tensor *in, bool transposed,
                           struct sizes *z)
{
    const struct tensor *x = &in[X], *w = &in[W];
    const OrtApi *ort = s->provider->ort;
    if (x->rank < 1 || w->rank < 1)
        return fail(ort, "%s: expected matrices, got a scalar", s->op->name);
    memset(z, 0, sizeof(*z));
    const bool row = x->rank == 1, column = w->rank == 1;
    const size_t x_own = row ? 0 : x->rank - 2, w_own = column ? 0 : w->rank - 2;
    z->rank = x_own > w_own ? x_own : w_own;
    z->m = row ? 1 : (size_t)x->dims[x_own];
    z->k = (size_t)x->dims[x->rank - 1];
    z->n = column ? 1 : (size_t)w->dims[transposed ? w_own : w_own + 1];
    const size_t k = (size_t)w->dims[column ? 0 : transposed ? w_own + 1 : w_own];
    if (k != z->k)
        return fail(ort, "%s: expected W of %zu rows, got %zu", s->op->name, z->k, k);
    z->batches = 1;
    int64_t x_step = 1, w_step = 1;
    for (size_t i = z->rank; i-- > 0;) {
        const int64_t a = leading(x, x_own, z->rank, i), b = leading(w, w_own, z->rank, i);
        if (a != b && a != 1 && b != 1)
            return fail(ort, "%s: %lld and %lld cannot be broadcast", s->op->name, (long long)a,
                        (long long)b);
        z->dims[i] = a == 1 ? b : a;
        z->x_step[i] = a == 1 ? 0 : x_step;
        z->w_step[i] = b == 1 ? 0 : w_step;
        x_step *= a;
        w_step *= b;
        z->batches *= (size_t)z->dims[i];
    }
    return NULL;
}

/* Of the output; where W is one matrix all rows of X are one product. */
static size_t finish_sizes(struct sizes *z, const struct tensor *in)
{
    size_t rank = z->rank;
    if (in[X].rank > 1)
        z->dims[rank++] = (int64_t)z->m;
    if (in[W].rank > 1)
        z->dims[rank++] = (int64_t)z->n;
    bool one = true;
    for (size_t i = 0; i < z->rank; i++)
        one = one && (z->w_step[i] == 0 && (z->x_step[i] != 0 || z->dims[i] == 1));
    if (one) {
        z->m *= z->batches;
        z->batches = 1;
        z->rank = 0;
    }
    return rank;
}

/* ---- the op ------------------------------------------------------------------------------------ */

static OrtStatus *make(const struct step *s, const struct tensor *in, size_t k, size_t n,
                       size_t rows, const void *weights)
{
    struct matrix *p = s->impl;
    struct qdot_op_desc shape;
    memset(&shape, 0, sizeof(shape));
    product_set_types(&shape, s, in);
    if (s->op->variant == PRODUCT_SCALED && !p->scales)
        shape.out_type = QDOT_S32;
    shape.row_scale = p->scales;
    shape.m = rows;
    shape.n = n;
    shape.k = k;
    shape.b_transposed = p->transposed;
    shape.a_zero_per_row = p->a_zero_per_row;
    return product_make(&p->product, s, in, &shape, n, weights, false);
}

/* On a device the op scales its sums, if one factor, which calls give, and constants are all it takes: sums *
 * factor + addend, each rounded, is an output of the library. Else, also where the device does not give that
 * output, sums are scaled on the host. */
static OrtStatus *make_scaling(struct step *s, const struct tensor *in, size_t k, size_t n,
                               size_t rows, const void *weights)
{
    struct matrix *p = s->impl;
    if (!s->provider->memory || s->op->variant != PRODUCT_SCALED)
        return NULL; /* the others have no factor */
    const struct source *addend = &s->in[ADDEND];
    const size_t count = addend->tensor.count;
    if (!s->in[FACTOR].constant || s->in[FACTOR].tensor.count != 1 ||
        (addend->given && (!addend->constant || (count != 1 && count != n))))
        return NULL;
    if (addend->given) {
        p->product.bias_f = calloc(n, sizeof(float));
        if (!p->product.bias_f)
            return fail(s->provider->ort, "no memory for %zu addends", n);
        const float *const values = addend->tensor.data;
        for (size_t i = 0; i < n; i++)
            p->product.bias_f[i] = values[count == 1 ? 0 : i];
    }
    p->scales = true;
    OrtStatus *const status = make(s, in, k, n, rows, weights);
    if (!status)
        return NULL;
    note(s->provider, "%s: scaled on the host: %s", s->op->name,
         s->provider->ort->GetErrorMessage(status));
    s->provider->ort->ReleaseStatus(status);
    p->scales = false;
    free(p->product.bias_f);
    p->product.bias_f = NULL;
    return NULL;
}

static OrtStatus *compile(struct step *s, const struct group *g)
{
    struct matrix *p = s->impl = calloc(1, sizeof(*p));
    if (!p)
        return fail(g->ort, "no memory for a product");
    product_start(&p->product);
    int64_t transposed = 0;
    p->gemm = g->op->variant == PRODUCT_GEMM;
    if (p->gemm) {
        TRY(group_int(g, "transB", &transposed));
        TRY(group_float(g, "alpha", &p->product.alpha));
    }
    p->transposed = transposed != 0;
    const struct source *zero = &s->in[X_ZERO];
    p->a_zero_per_row = zero->given && (!zero->constant || zero->tensor.count > 1);
    const struct tensor *w = &s->in[W].tensor;
    if (!product_is_constant(s, true) || w->rank != 2 || w->count == 0)
        return NULL;
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < g->values[X].rank && rows > 0; i++)
        rows = g->values[X].dims[i] > 0 ? rows * g->values[X].dims[i] : -1;
    rows = rows > 0 && rows < ROWS && g->values[X].rank ? rows : ROWS;
    struct tensor in[SLOTS];
    for (size_t i = 0; i < SLOTS; i++)
        in[i] = s->in[i].tensor;
    in[X].type = g->values[X].type;
    if (p->a_zero_per_row)
        in[X_ZERO].type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    const size_t k = (size_t)w->dims[transposed ? 1 : 0], n = (size_t)w->dims[transposed ? 0 : 1];
    const size_t units = product_units(s, (size_t)rows, k, n);
    TRY(make_scaling(s, in, k, n, units, w->data));
    if (!p->scales)
        TRY(make(s, in, k, n, units, w->data));
    p->product.fixed = true;
    s->in[W].given_up = true;
    return NULL;
}

/* ---- a call ------------------------------------------------------------------------------------ */

static OrtStatus *fill_zeros(struct call *c, size_t m, const int32_t **zeros)
{
    const struct tensor *t = &c->in[X_ZERO];
    void *memory;
    TRY(call_scratch(c, m * sizeof(int32_t), &memory));
    int32_t *const values = memory;
    if (t->count != 1 && (t->count == 0 || m % t->count))
        return fail(c->ort, "zero point of the input: expected 1 or %zu values, got %zu", m,
                    t->count);
    for (size_t i = 0; i < m; i++)
        values[i] = tensor_int(t, t->count == 1 ? 0 : i % t->count);
    *zeros = values;
    return NULL;
}

/* The factor of all sums. */
static float factor_of(const struct call *c)
{
    const struct tensor *one = &c->in[FACTOR_ONE];
    const float factor = *(const float *)c->in[FACTOR].data;
    return one->type ? *(const float *)one->data * factor : factor;
}

static OrtStatus *fill_factors(struct call *c, size_t m, const float **factors)
{
    void *memory;
    TRY(call_scratch(c, m * sizeof(float), &memory));
    float *const values = memory;
    for (size_t i = 0; i < m; i++)
        values[i] = factor_of(c);
    *factors = values;
    return NULL;
}

/* One product, in as many runs as its rows take; 'base' is what they have in common, x and out are where
 * its operands begin. */
static OrtStatus *run(const struct matrix *p, struct call *c, const struct sizes *z,
                      const struct qdot_run *base, size_t x, const int32_t *zeros,
                      const float *factors, const struct qdot_output *out, size_t at)
{
    const size_t most = p->product.shape.m;
    const size_t out_bytes =
        p->product.shape.out_type == QDOT_S32 || p->product.shape.out_type == QDOT_F32 ? 4 : 1;
    struct qdot_error err = {0};
    for (size_t row = 0; row < z->m; row += most) {
        struct qdot_run r = *base;
        r.m = z->m - row < most ? z->m - row : most;
        r.a = input_at(&c->in[X], x + row * z->k);
        r.out = output_at(out, at + row * z->n * out_bytes);
        r.a_zero.host = zeros ? zeros + row : NULL;
        r.row_scale.host = factors ? factors + row : NULL;
        if (qdot_op_run(p->product.op, &r, &err))
            return fail_qdot(c->ort, &err);
    }
    return NULL;
}

static OrtStatus *run_all(struct step *s, struct call *c, const struct sizes *z,
                          const struct qdot_output *out)
{
    struct matrix *p = s->impl;
    const int32_t *zeros = NULL;
    const float *factors = NULL;
    TRY(call_fetch(s, c, 1u << X | 1u << W));
    if (p->scales)
        TRY(fill_factors(c, z->m, &factors));
    if (p->a_zero_per_row)
        TRY(fill_zeros(c, z->m, &zeros));
    if (!p->product.fixed)
        TRY(make(s, c->in, z->k, z->n, product_units(s, z->m, z->k, z->n), NULL));
    struct qdot_run base = {.size = sizeof(base), .threads_ctx = c};
    TRY(product_workspace(&p->product, c, &base));
    const size_t out_bytes = type_bytes(s->out_type);
    for (size_t batch = 0; batch < z->batches; batch++) {
        size_t rest = batch, x_at = 0, w_at = 0;
        for (size_t i = z->rank; i-- > 0;) {
            const size_t index = rest % (size_t)z->dims[i];
            rest /= (size_t)z->dims[i];
            x_at += index * (size_t)z->x_step[i];
            w_at += index * (size_t)z->w_step[i];
        }
        if (!p->product.fixed)
            base.b = input_at(&c->in[W], w_at * z->k * z->n);
        TRY(run(p, c, z, &base, x_at * z->m * z->k, zeros, factors, out,
                batch * z->m * z->n * out_bytes));
    }
    return NULL;
}

/* Of sums of nothing. */
static OrtStatus *fill(struct step *s, struct call *c, void *out, size_t outputs)
{
    TRY(call_fetch(s, c, 0));
    if (c->in[BIAS].type)
        return fail(c->ort, "%s: expected at least one column of X", s->op->name);
    const bool narrow = type_bytes(s->out_type) == 1 && c->in[Y_ZERO].type;
    memset(out, narrow ? tensor_int(&c->in[Y_ZERO], 0) : 0, outputs * type_bytes(s->out_type));
    return NULL;
}

struct scaling {
    float *out; /* where the sums are */
    size_t n;
    float one;
    const struct tensor *factor, *addend;
};

static inline float sum_at(const float *memory)
{
    int32_t sum;
    memcpy(&sum, memory, sizeof(sum));
    return (float)sum;
}

/* Each step is rounded, as the runtime's are. */
WIDE static void scale_line(const struct scaling *given, size_t line)
{
    const struct scaling j = *given;
    float *const out = j.out + line * j.n;
    const float *const factor = j.factor->data, *const addend = j.addend->data;
    if (j.factor->count == 1)
        for (size_t i = 0; i < j.n; i++)
            out[i] = sum_at(&out[i]) * (j.one * factor[0]);
    else
        for (size_t i = 0; i < j.n; i++)
            out[i] = sum_at(&out[i]) * (j.one * factor[i]);
    if (j.addend->type && j.addend->count == 1)
        for (size_t i = 0; i < j.n; i++)
            out[i] += addend[0];
    else if (j.addend->type)
        for (size_t i = 0; i < j.n; i++)
            out[i] += addend[i];
}

static void scale_lines(void *arg, size_t begin, size_t end)
{
    for (size_t line = begin; line < end; line++)
        scale_line(arg, line);
}

static OrtStatus *scale(struct step *s, struct call *c, void *out, size_t n, size_t lines)
{
    const struct tensor *factor = &c->in[FACTOR], *addend = &c->in[ADDEND];
    struct scaling scaling = {out, n, 1, factor, addend};
    if (c->in[FACTOR_ONE].type)
        scaling.one = *(const float *)c->in[FACTOR_ONE].data;
    if ((factor->count != 1 && factor->count != n) ||
        (addend->type && addend->count != 1 && addend->count != n))
        return fail(c->ort, "%s: expected 1 or %zu factors", s->op->name, n);
    return call_share(c, lines, 65536 / n + 1, scale_lines, &scaling);
}

static OrtStatus *compute(struct step *s, struct call *c)
{
    struct matrix *p = s->impl;
    const bool scaled = s->op->variant == PRODUCT_SCALED && !p->scales;
    struct qdot_output out = {.host = NULL};
    struct sizes z;
    TRY(sizes_of(s, c->in, p->transposed, &z));
    const size_t rank = finish_sizes(&z, c->in);
    if (scaled || z.k == 0)
        TRY(call_output(c, 0, z.dims, rank, &out.host));
    else
        TRY(call_place(c, 0, z.dims, rank, &out));
    const size_t outputs = z.batches * z.m * z.n;
    if (outputs == 0)
        return NULL;
    if (z.k == 0) {
        TRY(fill(s, c, out.host, outputs));
    } else {
        pthread_mutex_lock(&p->product.lock);
        OrtStatus *const status = run_all(s, c, &z, &out);
        pthread_mutex_unlock(&p->product.lock);
        if (status)
            return status;
    }
    return scaled ? scale(s, c, out.host, z.n, outputs / z.n) : NULL;
}

static void release(struct step *s)
{
    struct matrix *p = s->impl;
    if (p)
        product_release(&p->product);
    free(p);
}

const struct kind matrix_kind = {
    .claims = claims, .compile = compile, .compute = compute, .release = release, .anywhere = true};
