/* The text of an op that is no product, as a tuning file and 'qdot conform --problem' call it. */
#ifndef BENCH_SPEC_H
#define BENCH_SPEC_H

#include <stdbool.h>
#include "qdot.h"

/* "quantize 1x64x100 u8 axis" (dequantize ...), "map 2x12 a12x1 b0x1 o12x1", "max_pool 1x56x56x64 3x3 u8
 * s2 p1 nchw table". 'by_table': it has a map.table, which is left to the caller. False: it is no such
 * text; that the op is one that there is, is not checked. */
bool spec_parse(const char *text, struct qdot_op_desc *d, bool *by_table);

#endif
