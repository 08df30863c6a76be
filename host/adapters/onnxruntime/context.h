/* EPContext nodes, made of steps and the other way round. */
#ifndef ADAPTER_CONTEXT_H
#define ADAPTER_CONTEXT_H

#include "record.h"

OrtStatus *context_is_ours(const OrtApi *ort, const OrtNode *node, bool *ours);
/* The node for a step that was made of the group; *node becomes the runtime's. */
OrtStatus *context_save(struct contexts *c, const struct group *g, const struct step *s,
                        const OrtGraph *graph, const OrtNode *fused, OrtNode **node);
OrtStatus *context_written(struct contexts *c, const OrtApi *ort); /* all of a graph are saved */
/* The group of a node. *memory, which may be NULL, is to be freed after the step, also on failure. */
OrtStatus *context_load(struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                        const OrtNode *node, struct record *r, struct group *g, void **memory);
void context_release(struct contexts *c);

#endif
