/* Which nodes of a graph are the provider's. */
#ifndef ADAPTER_CLAIM_H
#define ADAPTER_CLAIM_H

#include "adapter.h"

/* Tells the runtime which nodes are to be fused. */
OrtStatus *claim_graph(const struct provider *p, const OrtGraph *graph,
                       OrtEpGraphSupportInfo *support);

/* The groups of a fused graph, in no order; g->op is NULL of an EPContext node, its only one. */
typedef OrtStatus *take_group(void *arg, struct group *g);
OrtStatus *claim_groups(const struct provider *p, const OrtGraph *graph, take_group *take,
                        void *arg);

#endif
