/*
 * QLinearAdd and QLinearMul, and Add and Mul of quantised tensors: of one shape, or with one that is
 * repeated along the first and the last dimensions (a value, a value a channel).
 *
 *   Add: fixed = y_zero - fma(ra, a_zero, rb * b_zero)     ra = a_scale / y_scale, likewise rb
 *        y = sat(rne(fma(a, ra, fma(b, rb, fixed))))
 *   Mul: y = sat(rne((a - a_zero) * (b - b_zero) * r + y_zero))    r = a_scale * b_scale / y_scale
 *
 * That is what the runtime computes, Add where it has AVX2 and FMA; elsewhere, and for a single value,
 * its formulas are others and nothing is claimed.
 */
#include <math.h>
#include <string.h>
#include "device.h"
#include "pairs_lines.h"
#include "round.h"
#include "table.h"

#define GRAIN 65536

static bool is_known(int variant)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return variant == PAIR_MUL || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#elif defined(__aarch64__)
    return variant == PAIR_MUL;
#else
    (void)variant;
    return false;
#endif
}

/* ---- shapes ------------------------------------------------------------------------------------ */

/* Which operand is repeated, the other one seen as [outer, middle, inner]: it has 'middle' values. Of
 * operands of one shape none is: they are [1, count, 1]. */
struct spread {
    enum { NEITHER, FIRST, SECOND } repeated;
    size_t middle, inner;
    size_t rank;
    int64_t dims[MAX_RANK]; /* of the result */
};

/* The i-th from the last, 1 where there is none. */
static int64_t dim_of(const int64_t *dims, size_t rank, size_t i)
{
    return i < rank ? dims[rank - 1 - i] : 1;
}

/* False where both are repeated, or one along dimensions between others. A dimension that is not known (-1)
 * is taken as equal to another one but 1: a call knows better. */
static bool spread_of(const int64_t *a, size_t a_rank, const int64_t *b, size_t b_rank,
                      struct spread *s)
{
    bool first = false, second = false;
    *s = (struct spread){.middle = 1, .inner = 1, .rank = a_rank > b_rank ? a_rank : b_rank};
    for (size_t i = 0; i < s->rank; i++) {
        const int64_t da = dim_of(a, a_rank, i), db = dim_of(b, b_rank, i);
        if (da != db && da != 1 && db != 1 && da >= 0 && db >= 0)
            return false;
        first = first || (da == 1 && db != 1);
        second = second || (db == 1 && da != 1);
        s->dims[s->rank - 1 - i] = da == 1 || da < 0 ? db : da;
    }
    s->repeated = first ? FIRST : second ? SECOND : NEITHER;
    enum { INNER, MIDDLE, OUTER } at = s->repeated == NEITHER ? MIDDLE : INNER;
    for (size_t i = 0; i < s->rank; i++) {
        const int64_t all = s->dims[s->rank - 1 - i];
        const int64_t small = first ? dim_of(a, a_rank, i) : dim_of(b, b_rank, i);
        if (all == 1)
            continue;
        if (small == 1)
            at = at == MIDDLE ? OUTER : at;
        else if (at == INNER)
            at = MIDDLE;
        if (small != 1 && at == OUTER)
            return false;
        if (at != OUTER)
            *(at == INNER ? &s->inner : &s->middle) *= (size_t)all;
    }
    return !(first && second);
}

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values, *a = &v[X], *b = &v[W];
    const ONNXTensorElementDataType type = a->type, real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    struct spread s;
    *yes = is_known(g->op->variant) && is_int8(type) && b->type == type && g->out.type == type &&
           (a->rank > 0 || b->rank > 0) && spread_of(a->dims, a->rank, b->dims, b->rank, &s) &&
           !value_may_be_one(s.repeated == FIRST ? b : a);
    for (size_t i = 0; i < 3; i++) {
        const size_t scale = i == 0 ? X_SCALE : i == 1 ? W_SCALE : Y_SCALE;
        *yes = *yes && v[scale].type == real && value_may_be_one(&v[scale]) &&
               value_may_be_one(&v[scale + 1]) && (!v[scale + 1].info || v[scale + 1].type == type);
    }
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------ */

struct job {
    const uint8_t *a, *b;
    uint8_t *y;
    size_t middle, inner;
    bool a_repeated; /* not b, if any */
    void (*line)(const struct job *j, size_t y, size_t a, size_t b, size_t count, size_t step);
    float ra, rb, fixed;    /* of Mul ra is r, fixed y_zero */
    int32_t a_zero, b_zero; /* of Mul */
    bool large;      /* results may be too large to be rounded as they are: they are bounded */
    pair_line *fast; /* instead of line, where there is one */
};

static inline uint8_t finish(const struct job *j, float v, int32_t least)
{
    return saturate(round_even(j->large ? bound(v, -ROUND_LIMIT, ROUND_LIMIT) : v), least);
}

/* Values from y on, of those from a on and of those from b on, or of the one there (step 0). */
#define LINE(name, type, least, one, each)                                                   \
    WIDE static void name(const struct job *given, size_t y_at, size_t a_at, size_t b_at,    \
                          size_t count, size_t step)                                         \
    {                                                                                        \
        const struct job j = *given;                                                         \
        const type *const a = (const type *)j.a + a_at, *const b = (const type *)j.b + b_at; \
        uint8_t *const y = j.y + y_at;                                                       \
        if (step) {                                                                          \
            for (size_t i = 0; i < count; i++)                                               \
                y[i] = finish(&j, each(a[i], one(b[i])), least);                             \
        } else {                                                                             \
            const float fixed = one(b[0]);                                                   \
            for (size_t i = 0; i < count; i++)                                               \
                y[i] = finish(&j, each(a[i], fixed), least);                                 \
        }                                                                                    \
    }
#define ADDED(b) fmaf(b, j.rb, j.fixed)
#define ADD(a, b) fmaf(a, j.ra, b)
#define FACTOR(b) (float)((b)-j.b_zero)
#define MULTIPLY(a, b) ((float)((a)-j.a_zero) * (b)*j.ra + j.fixed) /* the product is exact */
LINE(line_add_u8, uint8_t, 0, ADDED, ADD)
LINE(line_add_s8, int8_t, -128, ADDED, ADD)
LINE(line_mul_u8, uint8_t, 0, FACTOR, MULTIPLY)
LINE(line_mul_s8, int8_t, -128, FACTOR, MULTIPLY)

/* Lines of values that go on beside each other, or beside one. */
static void do_part(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    const size_t step = j->inner == 1, length = step ? j->middle : j->inner;
    while (begin < end) {
        const size_t line = begin / length, within = begin % length;
        const size_t left = length - within, count = left < end - begin ? left : end - begin;
        const size_t small = step ? within : line % j->middle;
        const size_t a = j->a_repeated ? small : begin, b = j->a_repeated ? begin : small;
        if (j->fast) {
            const struct pairs p = {j->a + a, j->b + b, j->y + begin,     j->ra,
                                    j->rb,    j->fixed, (float)j->a_zero, (float)j->b_zero};
            j->fast(&p, count);
        } else {
            j->line(j, begin, a, b, count, step);
        }
        begin += count;
    }
}

static float scale_of(const struct tensor *t)
{
    return *(const float *)t->data;
}

static int32_t zero_of(const struct tensor *t)
{
    return t->type ? tensor_int(t, 0) : 0;
}

/* Of all values of both operands: table[256 * b + a]. */
static void fill_table(struct qdot_op_desc *desc, const void *more, void *room)
{
    struct job job = *(const struct job *)more;
    uint8_t values[256];
    for (int i = 0; i < 256; i++)
        values[i] = (uint8_t)i;
    job.a = job.b = values;
    job.y = room;
    for (size_t b = 0; b < 256; b++)
        job.line(&job, 256 * b, 0, b, 256, 0);
    desc->map.table = room;
}

static OrtStatus *on_device(struct step *s, struct call *c, const struct spread *spread,
                            const struct job *job, size_t count, const struct tensor *a,
                            const struct tensor *b, bool *done)
{
    const size_t dims[] = {count / (job->middle * job->inner), job->middle, job->inner};
    const size_t whole[] = {job->middle * job->inner, job->inner, 1}, small[] = {0, 1, 0};
    const bool b_repeated = spread->repeated != NEITHER && !job->a_repeated;
    struct qdot_output out;
    struct wanted w;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_MAP;
    w.desc.map.rank = 3;
    w.desc.map.operands = 2;
    for (size_t i = 0; i < 3; i++) {
        w.desc.map.dims[i] = dims[i];
        w.desc.map.a_stride[i] = b_repeated ? small[i] : whole[i];
        w.desc.map.b_stride[i] = job->a_repeated ? small[i] : whole[i];
        w.desc.map.out_stride[i] = whole[i];
    }
    w.more = job;
    w.more_bytes = sizeof(*job);
    w.room = 65536;
    w.fill = fill_table;
    TRY(call_place(c, 0, spread->dims, spread->rank, &out));
    const struct qdot_run run = {
        .size = sizeof(run), .a = input_at(b, 0), .b = input_at(a, 0), .out = out};
    return device_run(s, c, 0, &w, &run, done);
}

static OrtStatus *compute(struct step *s, struct call *c)
{
    const struct tensor *in = c->in;
    const bool is_signed = in[X].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    struct spread spread;
    size_t count = 1;
    bool done;
    void *y;
    if (!spread_of(in[X].dims, in[X].rank, in[W].dims, in[W].rank, &spread))
        return fail(c->ort,
                    "%s: expected two tensors of one shape, or one that is repeated along the "
                    "first and the last dimensions",
                    s->op->name);
    for (size_t i = 0; i < spread.rank; i++)
        count *= (size_t)spread.dims[i];
    TRY(call_fetch(s, c, 1u << X | 1u << W));
    if (!count)
        return call_output(c, 0, spread.dims, spread.rank, &y);
    /* The runtime changes the operands' places where the first one is one value for a line. */
    const bool change = spread.repeated == FIRST && spread.inner > 1;
    const size_t a = change ? W : X, b = change ? X : W;
    struct job job;
    memset(&job, 0, sizeof(job)); /* it is compared byte by byte */
    const float y_scale = scale_of(&in[Y_SCALE]), y_zero = (float)zero_of(&in[Y_ZERO]);
    job.middle = spread.middle;
    job.inner = spread.inner;
    job.a_repeated = spread.repeated == FIRST && !change;
    job.a_zero = zero_of(&in[a + 2]);
    job.b_zero = zero_of(&in[b + 2]);
    if (s->op->variant == PAIR_MUL) {
        job.line = is_signed ? line_mul_s8 : line_mul_u8;
        job.ra = scale_of(&in[X_SCALE]) * scale_of(&in[W_SCALE]) / y_scale;
        job.fixed = y_zero;
        job.large = !(255 * 255 * fabsf(job.ra) + 255 < ROUND_LIMIT);
    } else {
        job.line = is_signed ? line_add_s8 : line_add_u8;
        job.ra = scale_of(&in[a + 1]) / y_scale;
        job.rb = scale_of(&in[b + 1]) / y_scale;
        job.fixed = y_zero - fmaf(job.ra, (float)job.a_zero, job.rb * (float)job.b_zero);
        job.large = !(255 * fabsf(job.ra) + 255 * fabsf(job.rb) + fabsf(job.fixed) < ROUND_LIMIT);
    }
    if (c->provider->memory) {
        TRY(on_device(s, c, &spread, &job, count, &in[a], &in[b], &done));
        if (done)
            return NULL;
        TRY(call_fetch(s, c, 0));
    }
    TRY(call_output(c, 0, spread.dims, spread.rank, &y));
    job.a = in[a].data;
    job.b = in[b].data;
    job.y = y;
    if (!job.large)
        job.fast = fast_pair_line(s->op->variant == PAIR_MUL, is_signed, job.inner > 1);
    return call_share(c, count, GRAIN, do_part, &job);
}

const struct kind pair_kind = {.claims = claims, .compute = compute, .anywhere = true};
