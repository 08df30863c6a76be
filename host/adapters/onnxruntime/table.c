/*
 * Relu, Clip and the division by a constant between other quantisations, and ops that only rename what
 * lies in memory: Reshape, Flatten, Squeeze, Unsqueeze. The runtime dequantises, computes floats and quantises: a function of
 * single values, so a table.
 */
#include "table.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"

/* ---- tables ------------------------------------------------------------------------------------ */

bool linear_fits(const struct group *g)
{
    const struct value *v = g->values;
    const ONNXTensorElementDataType real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    const bool scales = v[X_SCALE].info && v[Y_SCALE].info && v[X_SCALE].type == real &&
                        v[Y_SCALE].type == real && value_may_be_one(&v[X_SCALE]) &&
                        value_may_be_one(&v[X_ZERO]) && value_may_be_one(&v[Y_SCALE]) &&
                        value_may_be_one(&v[Y_ZERO]);
    const bool none = !v[X_SCALE].info && !v[Y_SCALE].info && v[X].type == g->out.type;
    return is_int8(v[X].type) && is_int8(g->out.type) && (scales || none) &&
           (!v[X_ZERO].info || v[X_ZERO].type == v[X].type) &&
           (!v[Y_ZERO].info || v[Y_ZERO].type == g->out.type);
}

static OrtStatus *one_of(const struct call *c, const struct step *s, const struct tensor *t)
{
    return t->count == 1 ? NULL
                         : fail(c->ort, "%s: expected one scale and zero point, got %zu",
                                s->op->name, t->count);
}

OrtStatus *linear_of(const struct call *c, const struct step *s, struct linear *l)
{
    const struct tensor *in = c->in;
    *l = (struct linear){1, 1, 0, 0, in[X].type, s->out_type};
    if (in[X_SCALE].type) {
        TRY(one_of(c, s, &in[X_SCALE]));
        TRY(one_of(c, s, &in[Y_SCALE]));
        l->x_scale = *(const float *)in[X_SCALE].data;
        l->y_scale = *(const float *)in[Y_SCALE].data;
    }
    if (in[X_ZERO].type) {
        TRY(one_of(c, s, &in[X_ZERO]));
        l->x_zero = tensor_int(&in[X_ZERO], 0);
    }
    if (in[Y_ZERO].type) {
        TRY(one_of(c, s, &in[Y_ZERO]));
        l->y_zero = tensor_int(&in[Y_ZERO], 0);
    }
    return NULL;
}

bool table_make(const struct linear *l, float divisor, float low, float high, uint8_t table[256])
{
    float values[256];
    for (int i = 0; i < 256; i++) {
        const int32_t x = least_of(l->x_type) && i > 127 ? i - 256 : i;
        const float v = (float)(x - l->x_zero) * l->x_scale / divisor;
        values[i] = v < low ? low : v > high ? high : v;
    }
    quantize_line(values, table, 256, l->y_scale, l->y_zero, least_of(l->y_type));
    for (int i = 0; i < 256; i++)
        if (table[i] != i)
            return true;
    return false;
}

/* ---- the ops ----------------------------------------------------------------------------------- */

static OrtStatus *claims(const struct group *g, bool *yes)
{
    const struct value *v = g->values;
    const ONNXTensorElementDataType real = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    size_t unknown = 0;
    bool empty = false;
    for (size_t i = 0; i < g->out.rank; i++) {
        unknown += g->out.dims[i] < 0;
        empty = empty || g->out.dims[i] == 0;
    }
    *yes = linear_fits(g);
    if (g->op->variant == TABLE_COPY) /* one dimension follows from how many values there are */
        *yes = *yes && g->out.rank > 0 && unknown <= 1 && !empty;
    else
        *yes = *yes && (!v[LOW].info || v[LOW].type == real) &&
               (!v[HIGH].info || v[HIGH].type == real);
    if (g->op->variant == TABLE_DIVIDE) /* the result has the shape of X */
        *yes = *yes && v[LOW].constant && value_may_be_one(&v[LOW]) && v[LOW].rank <= v[X].rank;
    return NULL;
}

struct shape {
    size_t rank;
    int64_t dims[MAX_RANK];
};

static OrtStatus *compile(struct step *s, const struct group *g)
{
    struct shape *shape = s->impl = calloc(1, sizeof(*shape));
    if (!shape)
        return fail(g->ort, "no memory for a shape");
    shape->rank = g->out.rank;
    memcpy(shape->dims, g->out.dims, sizeof(shape->dims));
    return NULL;
}

static void release(struct step *s)
{
    free(s->impl);
}

/* The model's, and the dimension that it leaves open. */
static OrtStatus *shape_for(const struct step *s, const struct call *c, struct shape *shape)
{
    size_t known = 1, open = MAX_RANK;
    *shape = *(const struct shape *)s->impl;
    for (size_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0)
            open = i;
        else
            known *= (size_t)shape->dims[i];
    if (open < MAX_RANK)
        shape->dims[open] = (int64_t)(c->in[X].count / known);
    if (open < MAX_RANK ? c->in[X].count % known : c->in[X].count != known)
        return fail(c->ort, "%s: %zu values do not fit the shape that the model says", s->op->name,
                    c->in[X].count);
    return NULL;
}

static float bound_of(const struct tensor *t, float none)
{
    return t->type && t->count == 1 ? *(const float *)t->data : none;
}

static OrtStatus *compute(struct step *s, struct call *c)
{
    const struct tensor *in = c->in;
    struct linear l;
    struct shape shape = {in[X].rank, {0}};
    const struct qdot_map map = device_line(in[X].count);
    struct qdot_output out;
    uint8_t table[256];
    bool done = false;
    TRY(call_fetch(s, c, 1u << X));
    TRY(linear_of(c, s, &l));
    memcpy(shape.dims, in[X].dims, sizeof(shape.dims));
    if (s->op->variant == TABLE_COPY)
        TRY(shape_for(s, c, &shape));
    const bool relu = s->op->variant == TABLE_RELU, divide = s->op->variant == TABLE_DIVIDE;
    const float low = relu ? 0 : divide ? -FLT_MAX : bound_of(&in[LOW], -FLT_MAX);
    const float high = bound_of(&in[HIGH], FLT_MAX), divisor = divide ? bound_of(&in[LOW], 1) : 1;
    const bool changes = table_make(&l, divisor, low, high, table);
    for (int on_host = 0; on_host < 2 && !done; on_host++) {
        TRY(device_place(s, c, on_host, shape.dims, shape.rank, &out));
        if (in[X].count == 0)
            return NULL;
        const struct qdot_input x = input_at(&in[X], 0);
        TRY(device_map(s, c, 0, &map, changes ? table : NULL, &x, &out, &done));
    }
    return done ? NULL : device_refused(s);
}

const struct kind table_kind = {
    .claims = claims, .compile = compile, .compute = compute, .release = release, .anywhere = true};
