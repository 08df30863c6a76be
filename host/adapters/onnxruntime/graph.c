/* What the runtime's C interface says of nodes, attributes and values, in our terms. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter.h"

OrtStatus *fail(const OrtApi *ort, const char *format, ...)
{
    char text[640];
    const int length = snprintf(text, sizeof(text), "%s: ", provider_name);
    va_list args;
    va_start(args, format);
    vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
    va_end(args);
    return ort->CreateStatus(ORT_EP_FAIL, text);
}

void note(const struct provider *p, const char *format, ...)
{
    char text[640];
    OrtLoggingLevel level = ORT_LOGGING_LEVEL_FATAL;
    OrtStatus *status = p->ort->Logger_GetLoggingSeverityLevel(p->logger, &level);
    if (!status && level == ORT_LOGGING_LEVEL_VERBOSE) {
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        status = p->ort->Logger_LogMessage(p->logger, level, text, ORT_FILE, __LINE__, __func__);
    }
    if (status)
        p->ort->ReleaseStatus(status);
}

OrtStatus *fail_qdot(const OrtApi *ort, const struct qdot_error *err)
{
    return fail(ort, "%s: %s", qdot_status_text(err->status), err->text);
}

/* ---- nodes ------------------------------------------------------------------------------------- */

OrtStatus *graph_nodes(const OrtApi *ort, const OrtGraph *graph, const OrtNode ***nodes,
                       size_t *count)
{
    TRY(ort->Graph_GetNumNodes(graph, count));
    *nodes = calloc(*count + 1, sizeof(**nodes));
    if (!*nodes)
        return fail(ort, "no memory for %zu nodes", *count);
    OrtStatus *const status = ort->Graph_GetNodes(graph, *nodes, *count);
    if (status) {
        free(*nodes);
        *nodes = NULL;
    }
    return status;
}

OrtStatus *node_is(const OrtApi *ort, const OrtNode *node, const char *domain, const char *name,
                   bool *is)
{
    const char *type, *from;
    TRY(ort->Node_GetOperatorType(node, &type));
    TRY(ort->Node_GetDomain(node, &from));
    if (strcmp(from, "ai.onnx") == 0)
        from = "";
    *is = strcmp(type, name) == 0 && strcmp(from, domain) == 0;
    return NULL;
}

typedef OrtStatusPtr(ORT_API_CALL *values_fn)(const OrtNode *node, const OrtValueInfo **values,
                                              size_t count);

static OrtStatus *node_values(const OrtApi *ort, const OrtNode *node, values_fn get, size_t total,
                              const OrtValueInfo **values, size_t capacity)
{
    const OrtValueInfo **all = calloc(total + 1, sizeof(*all)); /* they are all given or none */
    if (!all)
        return fail(ort, "no memory for %zu values", total);
    OrtStatus *const status = get(node, all, total);
    if (!status)
        memcpy(values, all, (total < capacity ? total : capacity) * sizeof(*values));
    free(all);
    return status;
}

OrtStatus *node_inputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values,
                       size_t capacity, size_t *count)
{
    TRY(ort->Node_GetNumInputs(node, count));
    return node_values(ort, node, ort->Node_GetInputs, *count, values, capacity);
}

OrtStatus *node_outputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values,
                        size_t capacity, size_t *count)
{
    TRY(ort->Node_GetNumOutputs(node, count));
    return node_values(ort, node, ort->Node_GetOutputs, *count, values, capacity);
}

/* ---- attributes -------------------------------------------------------------------------------- */

/* NULL when the node has none of this name, which some versions call an error. */
static OrtStatus *attribute(const OrtApi *ort, const OrtNode *node, const char *name,
                            const OrtOpAttr **attr)
{
    *attr = NULL;
    OrtStatus *const status = ort->Node_GetAttributeByName(node, name, attr);
    if (status && ort->GetErrorCode(status) == ORT_NOT_FOUND) {
        ort->ReleaseStatus(status);
        *attr = NULL;
        return NULL;
    }
    return status;
}

static OrtStatus *read_attribute(const OrtApi *ort, const OrtNode *node, const char *name,
                                 OrtOpAttrType type, void *data, size_t bytes, size_t *got)
{
    const OrtOpAttr *attr;
    *got = 0;
    TRY(attribute(ort, node, name, &attr));
    return attr ? ort->ReadOpAttr(attr, type, data, bytes, got) : NULL;
}

OrtStatus *node_int(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *value)
{
    size_t got;
    return read_attribute(ort, node, name, ORT_OP_ATTR_INT, value, sizeof(*value), &got);
}

OrtStatus *node_float(const OrtApi *ort, const OrtNode *node, const char *name, float *value)
{
    size_t got;
    return read_attribute(ort, node, name, ORT_OP_ATTR_FLOAT, value, sizeof(*value), &got);
}

OrtStatus *node_ints(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *values,
                     size_t *count)
{
    const size_t bytes = *count * sizeof(*values);
    TRY(read_attribute(ort, node, name, ORT_OP_ATTR_INTS, values, bytes, count));
    *count /= sizeof(*values);
    return NULL;
}

OrtStatus *node_string(const OrtApi *ort, const OrtNode *node, const char *name, char *text,
                       size_t bytes)
{
    size_t got;
    char read[64] = {0};
    TRY(read_attribute(ort, node, name, ORT_OP_ATTR_STRING, read, sizeof(read) - 1, &got));
    if (got)
        snprintf(text, bytes, "%s", read);
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------ */

static OrtStatus *shape_of(const OrtApi *ort, const OrtTensorTypeAndShapeInfo *info,
                           ONNXTensorElementDataType *type, size_t *rank, int64_t *dims)
{
    TRY(ort->GetTensorElementType(info, type));
    TRY(ort->GetDimensionsCount(info, rank));
    if (*rank > MAX_RANK)
        return fail(ort, "a tensor of rank %zu: expected at most %d", *rank, MAX_RANK);
    return ort->GetDimensions(info, dims, *rank);
}

OrtStatus *value_of(const OrtApi *ort, const OrtValueInfo *info, struct value *value)
{
    const OrtTypeInfo *type;
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    memset(value, 0, sizeof(*value));
    value->info = info;
    if (!info)
        return NULL;
    TRY(ort->GetValueInfoTypeInfo(info, &type));
    TRY(ort->CastTypeInfoToTensorInfo(type, &shape));
    if (!shape)
        return NULL;
    size_t rank;
    TRY(ort->GetDimensionsCount(shape, &rank));
    if (rank > MAX_RANK)
        return NULL; /* of no type that anything accepts */
    TRY(shape_of(ort, shape, &value->type, &value->rank, value->dims));
    return ort->ValueInfo_IsConstantInitializer(info, &value->constant);
}

OrtStatus *tensor_of(const OrtApi *ort, const OrtValue *value, struct tensor *tensor)
{
    OrtTensorTypeAndShapeInfo *info = NULL;
    memset(tensor, 0, sizeof(*tensor));
    TRY(ort->GetTensorTypeAndShape(value, &info));
    OrtStatus *status = shape_of(ort, info, &tensor->type, &tensor->rank, tensor->dims);
    ort->ReleaseTensorTypeAndShapeInfo(info);
    if (!status)
        status = ort->GetTensorData(value, &tensor->data);
    tensor->count = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        tensor->count *= (size_t)tensor->dims[i];
    return status;
}

OrtStatus *value_constant(const OrtApi *ort, const OrtValueInfo *info, struct tensor *tensor)
{
    const OrtValue *value = NULL;
    TRY(ort->ValueInfo_GetInitializerValue(info, &value));
    return value ? tensor_of(ort, value, tensor) : fail(ort, "a constant without a value");
}

OrtStatus *value_producer(const OrtApi *ort, const OrtValueInfo *info, const OrtNode **node)
{
    size_t output;
    bool enters = true;
    *node = NULL;
    /* ONNX Runtime 1.23 does not look whether a producer belongs to the graph that was fused. */
    if (info)
        TRY(ort->ValueInfo_IsRequiredGraphInput(info, &enters));
    return enters ? NULL : ort->ValueInfo_GetValueProducer(info, node, &output);
}

OrtStatus *value_only_consumer(const OrtApi *ort, const OrtValueInfo *info, const OrtNode **node,
                               int64_t *input)
{
    size_t count;
    bool leaves;
    *node = NULL;
    TRY(ort->ValueInfo_IsGraphOutput(info, &leaves));
    if (leaves)
        return NULL;
    TRY(ort->ValueInfo_GetValueNumConsumers(info, &count));
    if (count != 1)
        return NULL;
    return ort->ValueInfo_GetValueConsumers(info, node, input, 1);
}

bool value_may_be_one(const struct value *v)
{
    for (size_t i = 0; i < v->rank; i++)
        if (v->dims[i] != 1 && v->dims[i] >= 0)
            return false;
    return true;
}

/* ---- tensors ----------------------------------------------------------------------------------- */

int32_t tensor_int(const struct tensor *t, size_t i)
{
    switch (t->type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
        return ((const uint8_t *)t->data)[i];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
        return ((const int8_t *)t->data)[i];
    default:
        return ((const int32_t *)t->data)[i];
    }
}

size_t type_bytes(ONNXTensorElementDataType type)
{
    switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
        return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
        return 4;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
        return 8;
    default:
        return 0;
    }
}
