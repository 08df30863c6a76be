/* Eight bits in, eight bits out: what a step does to single values, tabulated. */
#ifndef ADAPTER_TABLE_H
#define ADAPTER_TABLE_H

#include "adapter.h"

enum { TABLE_COPY, TABLE_RELU, TABLE_CLIP, TABLE_DIVIDE };

/* Scales and zero points of one tensor in and one out. */
struct linear {
    float x_scale, y_scale;
    int32_t x_zero, y_zero;
    ONNXTensorElementDataType x_type, y_type;
};

/* Types, and one scale and zero point each; of an op that is given no scales there need be none. */
bool linear_fits(const struct group *g);
OrtStatus *linear_of(const struct call *c, const struct step *s, struct linear *l);
/* table[byte of X] is a byte of Y, of X / divisor bounded; false when that is the same byte always. */
bool table_make(const struct linear *l, float divisor, float low, float high, uint8_t table[256]);

static inline int32_t least_of(ONNXTensorElementDataType type)
{
    return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? -128 : 0;
}

/* quantize.c: y = sat(rne(x / scale) + zero), from 'least' to 255 more */
void quantize_line(const float *x, uint8_t *y, size_t count, float scale, int32_t zero,
                   int32_t least);

#endif
