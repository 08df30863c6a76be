/*
 * QLinearAdd, and Add of quantised tensors of one shape (residuals):
 *   fixed = y_zero - (ra * a_zero + rb * b_zero)      ra = a_scale / y_scale, likewise rb
 *   y = sat(rne(fma(a, ra, fma(b, rb, fixed))))
 * That is what the runtime computes where it has AVX2 and FMA; elsewhere its formula is another and
 * nothing is claimed.
 */
#include <math.h>
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
           same_shape(&v[X], &v[W]);
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
    bool is_signed, alone;
};

/* Beyond this all values saturate, and before it rounding by adding works. */
#define LIMIT 1048576.0f
#define ROUND 0x1.8p23f

static inline uint8_t finish(float v, int32_t least)
{
    v = v > -LIMIT ? v : -LIMIT;
    v = v < LIMIT ? v : LIMIT;
    const int32_t i = (int32_t)(v + ROUND - ROUND);
    return (uint8_t)(i < least ? least : i > least + 255 ? least + 255 : i);
}

WIDE static void add_u8(const struct job *j, size_t begin, size_t end)
{
    const float ra = j->ra, rb = j->rb, fixed = j->fixed;
    const uint8_t *const a = j->a, *const b = j->b;
    uint8_t *const y = j->y;
    for (size_t i = begin; i < end; i++)
        y[i] = finish(fmaf(a[i], ra, fmaf(b[i], rb, fixed)), 0);
}

WIDE static void add_s8(const struct job *j, size_t begin, size_t end)
{
    const float ra = j->ra, rb = j->rb, fixed = j->fixed;
    const int8_t *const a = (const int8_t *)j->a, *const b = (const int8_t *)j->b;
    uint8_t *const y = j->y;
    for (size_t i = begin; i < end; i++)
        y[i] = finish(fmaf(a[i], ra, fmaf(b[i], rb, fixed)), -128);
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
        zero_of(&in[Y_ZERO]) - (job.ra * zero_of(&in[X_ZERO]) + job.rb * zero_of(&in[W_ZERO]));
    return x->count ? call_share(c, x->count, GRAIN, do_part, &job) : NULL;
}

const struct kind add_kind = {claims, NULL, compute, NULL};
