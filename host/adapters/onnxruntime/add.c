/*
 * QLinearAdd, and Add of quantised tensors of one shape (residuals):
 *   fixed = y_zero - fma(ra, a_zero, rb * b_zero)     ra = a_scale / y_scale, likewise rb
 *   y = sat(rne(fma(a, ra, fma(b, rb, fixed))))
 * That is what the runtime computes where it has AVX2 and FMA; elsewhere, and for a single value, its
 * formula is another and nothing is claimed.
 */
#include <math.h>
#include "round.h"
#include "table.h"

#define GRAIN 65536

static bool has_fma(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

static bool same_shape(const struct value *a, const struct value *b)
{
    bool same = a->rank == b->rank && a->rank > 0;
    for (size_t i = 0; i < a->rank && same; i++)
        same = a->dims[i] == b->dims[i];
    return same;
}

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    const ONNXTensorElementDataType type = v[X].type, real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    *yes = has_fma() && is_int8(type) && v[W].type == type && g->out.type == type &&
           same_shape(&v[X], &v[W]) && !value_may_be_one(&v[X]);
    for (size_t i = 0; i < 3; i++) {
        const size_t scale = i == 0 ? X_SCALE : i == 1 ? W_SCALE : Y_SCALE;
        *yes = *yes && v[scale].type == real && value_may_be_one(&v[scale]) &&
               value_may_be_one(&v[scale + 1]) && (!v[scale + 1].info || v[scale + 1].type == type);
    }
    return NULL;
}

struct job {
    const uint8_t *a, *b;
    uint8_t *y;
    float ra, rb, fixed;
    bool is_signed, large;
};

/* Where ratios of scales are so large that sums may not be rounded as they are, they are bounded. */
static inline uint8_t finish(const struct job *j, float v, int32_t least)
{
    return saturate(round_even(j->large ? bound(v, -ROUND_LIMIT, ROUND_LIMIT) : v), least);
}

WIDE static void add_u8(const struct job *given, size_t begin, size_t end)
{
    const struct job j = *given;
    for (size_t i = begin; i < end; i++)
        j.y[i] = finish(&j, fmaf(j.a[i], j.ra, fmaf(j.b[i], j.rb, j.fixed)), 0);
}

WIDE static void add_s8(const struct job *given, size_t begin, size_t end)
{
    const struct job j = *given;
    const int8_t *const a = (const int8_t *)j.a, *const b = (const int8_t *)j.b;
    for (size_t i = begin; i < end; i++)
        j.y[i] = finish(&j, fmaf(a[i], j.ra, fmaf(b[i], j.rb, j.fixed)), -128);
}

static void do_part(void *arg, size_t begin, size_t end)
{
    if (((const struct job *)arg)->is_signed)
        add_s8(arg, begin, end);
    else
        add_u8(arg, begin, end);
}

static float scale_of(const struct tensor *t)
{
    return *(const float *)t->data;
}

static float zero_of(const struct tensor *t)
{
    return t->type ? (float)tensor_int(t, 0) : 0;
}

static OrtStatus *compute(struct step *s, struct call *c)
{
    const struct tensor *in = c->in, *x = &in[X];
    struct job job = {.a = x->data, .b = in[W].data};
    void *y;
    for (size_t i = 0; i < x->rank; i++)
        if (x->rank != in[W].rank || x->dims[i] != in[W].dims[i])
            return fail(c->ort, "%s: expected two tensors of one shape", s->op->name);
    TRY(call_output(c, 0, x->dims, x->rank, &y));
    job.y = y;
    job.is_signed = x->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    job.ra = scale_of(&in[X_SCALE]) / scale_of(&in[Y_SCALE]);
    job.rb = scale_of(&in[W_SCALE]) / scale_of(&in[Y_SCALE]);
    job.fixed =
        zero_of(&in[Y_ZERO]) - fmaf(job.ra, zero_of(&in[X_ZERO]), job.rb * zero_of(&in[W_ZERO]));
    job.large = !(255 * fabsf(job.ra) + 255 * fabsf(job.rb) + fabsf(job.fixed) < ROUND_LIMIT);
    return x->count ? call_share(c, x->count, GRAIN, do_part, &job) : NULL;
}

const struct kind add_kind = {claims, NULL, compute, NULL, false};
