/* A fused node: steps one after another, and the values between them. */
#ifndef ADAPTER_PART_H
#define ADAPTER_PART_H

#include "adapter.h"

/* *context: of a session that writes an EPContext model, the node that stands for this one. */
OrtStatus *part_make(struct provider *p, const OrtGraph *graph, const OrtNode *fused,
                     OrtNodeComputeInfo **info, OrtNode **context);
void part_release(OrtNodeComputeInfo *info); /* NULL: nothing to release */

#endif
