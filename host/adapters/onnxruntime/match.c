/*
 * Which nodes of a graph are one step. Integer ops are one by themselves. A float op is one together
 * with the DequantizeLinear nodes of all its inputs and the QuantizeLinear of its output, and with a
 * Relu or Clip between the two where saturation does the same: those are the groups for which the
 * runtime's CPU provider has a quantised kernel, and only so are its bits ours. A MatMulInteger is one with
 * the Cast to floats, the Mul and the Add behind it, as dynamic quantisation leaves them.
 */
#include <float.h>
#include <string.h>
#include "table.h"

#define SLOTS_OF(...) ((const uint8_t[]){__VA_ARGS__, NO_SLOT})
#define LINEAR X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO
#define UNARY SLOTS_OF(X, X_SCALE, X_ZERO, Y_SCALE, Y_ZERO)

static const struct op ops[] = {
    {"", "MatMulInteger", &matrix_kind, SLOTS_OF(X, W, X_ZERO, W_ZERO), false, PRODUCT_SCALED},
    {"", "MatMulInteger", &matrix_kind, SLOTS_OF(X, W, X_ZERO, W_ZERO), false, PRODUCT},
    {"", "QLinearMatMul", &matrix_kind, SLOTS_OF(LINEAR, Y_SCALE, Y_ZERO), false, PRODUCT},
    {"com.microsoft", "QGemm", &matrix_kind, SLOTS_OF(LINEAR, BIAS, Y_SCALE, Y_ZERO), false,
     PRODUCT_GEMM},
    {"", "MatMul", &matrix_kind, SLOTS_OF(X, W), true, PRODUCT},
    {"", "Gemm", &matrix_kind, SLOTS_OF(X, W, BIAS), true, PRODUCT_GEMM},
    {"", "ConvInteger", &conv_integer_kind, SLOTS_OF(X, W, X_ZERO, W_ZERO), false, 0},
    {"", "QLinearConv", &conv_kind, SLOTS_OF(LINEAR, Y_SCALE, Y_ZERO, BIAS), false, 0},
    {"", "Conv", &conv_kind, SLOTS_OF(X, W, BIAS), true, 0},
    {"", "QuantizeLinear", &quantize_kind, SLOTS_OF(X, Y_SCALE, Y_ZERO), false, 0},
    {"com.microsoft", "QuantizeLinear", &quantize_kind, SLOTS_OF(X, Y_SCALE, Y_ZERO), false, 0},
    {"", "DequantizeLinear", &dequantize_kind, SLOTS_OF(X, X_SCALE, X_ZERO), false, 0},
    {"com.microsoft", "DequantizeLinear", &dequantize_kind, SLOTS_OF(X, X_SCALE, X_ZERO), false, 0},
    {"", "DynamicQuantizeLinear", &dynamic_kind, SLOTS_OF(X), false, 0},
    {"com.microsoft", "QLinearAdd", &pair_kind, SLOTS_OF(LINEAR, Y_SCALE, Y_ZERO), false, PAIR_ADD},
    {"", "Add", &pair_kind, SLOTS_OF(X, W), true, PAIR_ADD},
    {"com.microsoft", "QLinearMul", &pair_kind, SLOTS_OF(LINEAR, Y_SCALE, Y_ZERO), false, PAIR_MUL},
    {"", "Mul", &pair_kind, SLOTS_OF(X, W), true, PAIR_MUL},
    {"", "BatchNormalization", &normal_kind, SLOTS_OF(X, W, OFFSET, RAW | MEAN, RAW | VARIANCE),
     true, 0},
    {"", "BatchNormalization", &normal_kind,
     SLOTS_OF(X, RAW | W, RAW | OFFSET, RAW | MEAN, RAW | VARIANCE), true, 0},
    {"", "MaxPool", &pool_kind, SLOTS_OF(X), true, 0},
    {"", "MaxPool", &pool_kind, SLOTS_OF(X), false, 0},
    {"com.microsoft", "QLinearAveragePool", &average_kind, UNARY, false, 0},
    {"", "AveragePool", &average_kind, SLOTS_OF(X), true, 0},
    {"com.microsoft", "QLinearGlobalAveragePool", &global_kind, UNARY, false, 0},
    {"", "GlobalAveragePool", &global_kind, SLOTS_OF(X), true, 0},
    {"", "Relu", &table_kind, SLOTS_OF(X), true, TABLE_RELU},
    {"", "Clip", &table_kind, SLOTS_OF(X, RAW | LOW, RAW | HIGH), true, TABLE_CLIP},
    {"", "Div", &table_kind, SLOTS_OF(X, RAW | LOW), true, TABLE_DIVIDE},
    {"", "Reshape", &table_kind, SLOTS_OF(X, SKIP), true, TABLE_COPY},
    {"", "Flatten", &table_kind, SLOTS_OF(X), true, TABLE_COPY},
    {"", "Squeeze", &table_kind, SLOTS_OF(X, SKIP), true, TABLE_COPY},
    {"", "Unsqueeze", &table_kind, SLOTS_OF(X, SKIP), true, TABLE_COPY},
    {"", "Transpose", &transpose_kind, SLOTS_OF(X), true, 0},
    {"", "Transpose", &transpose_kind, SLOTS_OF(X), false, 0},
    {"com.microsoft", "QLinearConcat", &concat_kind, NULL, false, 0},
    {"", "Concat", &concat_kind, NULL, true, 0},
};

enum { OPS = sizeof(ops) / sizeof(*ops) };

static OrtStatus *is_quantisation(const OrtApi *ort, const OrtNode *node, const char *name,
                                  bool *is)
{
    TRY(node_is(ort, node, "", name, is));
    if (!*is)
        TRY(node_is(ort, node, "com.microsoft", name, is));
    int64_t block = 0;
    if (*is)
        TRY(node_int(ort, node, "block_size", &block));
    *is = *is && block == 0;
    return NULL;
}

/* ---- before the op ----------------------------------------------------------------------------- */

/* The DequantizeLinear whose output goes to this input and nowhere else, or NULL. */
static OrtStatus *dequantize_of(const OrtApi *ort, const OrtValueInfo *info, const OrtNode **node)
{
    bool leaves = true, is = false;
    size_t consumers = 0;
    TRY(value_producer(ort, info, node));
    if (*node)
        TRY(is_quantisation(ort, *node, "DequantizeLinear", &is));
    if (is)
        TRY(ort->ValueInfo_IsGraphOutput(info, &leaves));
    if (!leaves)
        TRY(ort->ValueInfo_GetValueNumConsumers(info, &consumers));
    if (consumers != 1)
        *node = NULL;
    return NULL;
}

/* Values, scale and zero point of a quantised input go to this slot and the next two; of a bias only
 * its values, as the runtime takes it. */
static OrtStatus *take_input(struct group *g, const OrtValueInfo *info, size_t slot, bool *taken)
{
    const OrtNode *node;
    const OrtValueInfo *inputs[3] = {NULL};
    size_t count;
    TRY(dequantize_of(g->ort, info, &node));
    *taken = node != NULL;
    if (!node)
        return NULL;
    TRY(node_inputs(g->ort, node, inputs, 3, &count));
    for (size_t i = 0; i < (slot == BIAS ? 1 : 3); i++)
        TRY(value_of(g->ort, inputs[i], &g->values[slot + i]));
    g->nodes[g->node_count++] = node;
    if (slot == W)
        g->w_from = node;
    return NULL;
}

/* ---- behind the op ----------------------------------------------------------------------------- */

static OrtStatus *constant_float(const OrtApi *ort, const OrtValueInfo *info, float *value,
                                 bool *known)
{
    struct value v;
    struct tensor t;
    TRY(value_of(ort, info, &v));
    *known = v.constant && v.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && value_may_be_one(&v);
    if (!*known)
        return NULL;
    TRY(value_constant(ort, info, &t));
    memcpy(value, t.data, sizeof(*value));
    return NULL;
}

/* Does quantisation by Y_SCALE and Y_ZERO saturate all that a Relu or Clip would cut? */
static OrtStatus *is_redundant(const struct group *g, const OrtNode *node, bool relu, bool *is)
{
    const struct value *scale = &g->values[Y_SCALE], *zero = &g->values[Y_ZERO];
    const OrtValueInfo *inputs[3] = {NULL};
    struct tensor t = {0};
    float step, low = 0, high = FLT_MAX;
    size_t count;
    bool known = true;
    *is = false;
    TRY(constant_float(g->ort, scale->info, &step, &known));
    if (!known || !zero->constant || !is_int8(zero->type) || !value_may_be_one(zero))
        return NULL;
    TRY(value_constant(g->ort, zero->info, &t));
    if (!relu) {
        low = -FLT_MAX;
        TRY(node_inputs(g->ort, node, inputs, 3, &count));
        if (inputs[1])
            TRY(constant_float(g->ort, inputs[1], &low, &known));
        if (known && inputs[2])
            TRY(constant_float(g->ort, inputs[2], &high, &known));
    }
    const int32_t least = zero->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? -128 : 0;
    const int32_t z = tensor_int(&t, 0);
    *is = known && low <= (float)(least - z) * step && high >= (float)(least + 255 - z) * step;
    return NULL;
}

/* The node that alone takes this value, as its first input, or NULL. */
static OrtStatus *next_of(const OrtApi *ort, const OrtValueInfo *value, const OrtNode **node)
{
    int64_t input = 0;
    TRY(value_only_consumer(ort, value, node, &input));
    if (input != 0)
        *node = NULL;
    return NULL;
}

/* The QuantizeLinear that alone takes the output of the core, a Relu or Clip between them or not. */
static OrtStatus *take_output(struct group *g, bool *taken)
{
    const OrtValueInfo *value = NULL, *inputs[3] = {NULL};
    const OrtNode *node, *between = NULL;
    size_t count;
    bool relu = false, clip = false;
    *taken = false;
    TRY(node_outputs(g->ort, g->core, &value, 1, &count));
    TRY(next_of(g->ort, value, &node));
    if (node) {
        TRY(node_is(g->ort, node, "", "Relu", &relu));
        TRY(node_is(g->ort, node, "", "Clip", &clip));
    }
    if (relu || clip) {
        between = node;
        TRY(node_outputs(g->ort, between, &value, 1, &count));
        TRY(next_of(g->ort, value, &node));
        g->nodes[g->node_count++] = between;
    }
    if (node)
        TRY(is_quantisation(g->ort, node, "QuantizeLinear", taken));
    if (!*taken)
        return NULL;
    TRY(node_inputs(g->ort, node, inputs, 3, &count));
    TRY(value_of(g->ort, inputs[1], &g->values[Y_SCALE]));
    TRY(value_of(g->ort, inputs[2], &g->values[Y_ZERO]));
    g->nodes[g->node_count++] = node;
    TRY(node_outputs(g->ort, node, &value, 1, &count));
    TRY(value_of(g->ort, value, &g->out));
    return between ? is_redundant(g, between, relu, taken) : NULL;
}

/* Floats that go along the last dimension of the output, or one of them. */
static bool goes_along(const struct group *g, const struct value *v)
{
    bool fits = v->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && v->rank <= g->out.rank;
    for (size_t i = 0; i < v->rank && fits; i++)
        fits = v->dims[i] == 1 ||
               (i + 1 == v->rank && v->dims[i] > 0 && v->dims[i] == g->out.dims[g->out.rank - 1]);
    return fits;
}

/* Takes the Mul or Add that alone follows, with its other operand, if that goes along. */
static OrtStatus *take_scaling(struct group *g, const char *name, size_t slot, bool *taken)
{
    const OrtValueInfo *inputs[2] = {NULL}, *output = NULL;
    const OrtNode *node;
    int64_t input = 0;
    size_t count;
    *taken = false;
    TRY(value_only_consumer(g->ort, g->out.info, &node, &input));
    if (node)
        TRY(node_is(g->ort, node, "", name, taken));
    if (!*taken)
        return NULL;
    TRY(node_inputs(g->ort, node, inputs, 2, &count));
    TRY(value_of(g->ort, inputs[1 - input], &g->values[slot]));
    *taken = goes_along(g, &g->values[slot]);
    if (!*taken) {
        g->values[slot] = (struct value){0};
        return NULL;
    }
    TRY(node_outputs(g->ort, node, &output, 1, &count));
    TRY(value_of(g->ort, output, &g->out));
    g->nodes[g->node_count++] = node;
    return NULL;
}

/* The Mul of which FACTOR alone comes: of a value and what goes along. */
static OrtStatus *take_factors(struct group *g)
{
    const OrtValueInfo *inputs[2] = {NULL};
    const OrtNode *node, *after = NULL;
    struct value v[2];
    int64_t input;
    size_t count;
    bool is = false;
    TRY(value_producer(g->ort, g->values[FACTOR].info, &node));
    if (node)
        TRY(node_is(g->ort, node, "", "Mul", &is));
    if (is)
        TRY(value_only_consumer(g->ort, g->values[FACTOR].info, &after, &input));
    if (!after)
        return NULL;
    TRY(node_inputs(g->ort, node, inputs, 2, &count));
    for (size_t i = 0; i < 2; i++)
        TRY(value_of(g->ort, inputs[i], &v[i]));
    if (!goes_along(g, &v[0]) || !goes_along(g, &v[1]))
        return NULL;
    const size_t one = value_may_be_one(&v[0]) ? 0 : 1;
    if (!value_may_be_one(&v[one]))
        return NULL;
    g->values[FACTOR_ONE] = v[one];
    g->values[FACTOR] = v[1 - one];
    g->nodes[g->node_count++] = node;
    return NULL;
}

/* The Cast to floats and the Mul, and the Add if there is one. */
static OrtStatus *take_scaled(struct group *g, bool *taken)
{
    const OrtValueInfo *output = NULL;
    const OrtNode *cast;
    size_t count;
    bool addend;
    *taken = false;
    TRY(next_of(g->ort, g->out.info, &cast));
    if (cast)
        TRY(node_is(g->ort, cast, "", "Cast", taken));
    if (!*taken)
        return NULL;
    TRY(node_outputs(g->ort, cast, &output, 1, &count));
    TRY(value_of(g->ort, output, &g->out));
    *taken = g->out.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && g->out.rank > 0;
    g->nodes[g->node_count++] = cast;
    if (*taken)
        TRY(take_scaling(g, "Mul", FACTOR, taken));
    if (*taken)
        TRY(take_scaling(g, "Add", ADDEND, &addend));
    if (*taken)
        TRY(take_factors(g));
    g->slot_count = ADDEND + 1;
    return NULL;
}

/* ---- the group --------------------------------------------------------------------------------- */

/* The slot of the i-th input. Of QLinearConcat the output's scale and zero point come first. */
static size_t slot_of(const struct op *op, size_t i)
{
    if (op->slots)
        return op->slots[i];
    if (op->floating)
        return SLOTS + 3 * i;
    return i < 2 ? Y_SCALE + i : SLOTS + i - 2;
}

/* All inputs by their slots; 'whole' is false when one of a float op is not dequantised. */
static OrtStatus *take_inputs(struct group *g, bool *whole)
{
    const OrtValueInfo *inputs[MAX_VALUES] = {NULL};
    size_t count;
    TRY(node_inputs(g->ort, g->core, inputs, MAX_VALUES, &count));
    *whole = g->op->slots || count <= (g->op->floating ? MAX_PARTS : MAX_VALUES);
    for (size_t i = 0; i < count && *whole; i++) {
        const size_t slot = slot_of(g->op, i), to = slot & ~(size_t)RAW;
        if (slot == NO_SLOT)
            break;
        if (!inputs[i] || slot == SKIP)
            continue;
        if (g->op->floating && !(slot & RAW))
            TRY(take_input(g, inputs[i], to, whole));
        else
            TRY(value_of(g->ort, inputs[i], &g->values[to]));
        if (to >= SLOTS)
            g->slot_count = SLOTS + (to - SLOTS + 3) / 3 * 3;
    }
    return NULL;
}

static OrtStatus *match_op(const OrtApi *ort, const OrtNode *core, const struct op *op,
                           bool channels_last, struct group *g)
{
    const OrtValueInfo *output = NULL;
    size_t count;
    bool whole;
    memset(g, 0, sizeof(*g));
    g->ort = ort;
    g->op = op;
    g->core = core;
    g->channels_last = channels_last;
    g->nodes[g->node_count++] = core;
    g->slot_count = SLOTS;
    TRY(node_outputs(ort, core, &output, 1, &count));
    TRY(value_of(ort, output, &g->out));
    TRY(take_inputs(g, &whole));
    if (whole && op->floating)
        TRY(take_output(g, &whole));
    else if (whole && op->kind == &matrix_kind && op->variant == PRODUCT_SCALED)
        TRY(take_scaled(g, &whole));
    if (whole)
        TRY(op->kind->claims(g, &whole));
    if (!whole)
        g->op = NULL;
    return NULL;
}

/* The runtime moves ops whose order of dimensions it has changed to a domain of its own. */
static const char channels_last_domain[] = "com.ms.internal.nhwc";

OrtStatus *match(const OrtApi *ort, const OrtNode *core, struct group *g)
{
    g->op = NULL;
    for (size_t i = 0; i < OPS && !g->op; i++) {
        bool is, last = false;
        TRY(node_is(ort, core, ops[i].domain, ops[i].name, &is));
        if (!is && ops[i].kind->channels_last)
            TRY(node_is(ort, core, channels_last_domain, ops[i].name, &last));
        if (is || last)
            TRY(match_op(ort, core, &ops[i], last, g));
    }
    return NULL;
}

const struct op *op_named(const char *domain, const char *name, bool floating, int variant)
{
    for (size_t i = 0; i < OPS; i++)
        if (strcmp(ops[i].domain, domain) == 0 && strcmp(ops[i].name, name) == 0 &&
            ops[i].floating == floating && ops[i].variant == variant)
            return &ops[i];
    return NULL;
}

bool prefers_channels_last(const char *domain, const char *name)
{
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    for (size_t i = 0; i < OPS; i++)
        if (strcmp(ops[i].domain, domain) == 0 && strcmp(ops[i].name, name) == 0)
            return ops[i].kind->channels_last;
    return false;
}
