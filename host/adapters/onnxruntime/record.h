/* A group as bytes: all that the graph says of it, and packed weights in the place of its weights, so
 * that a step is made of them as of the graph. In an EPContext node, or a file beside the model. */
#ifndef ADAPTER_RECORD_H
#define ADAPTER_RECORD_H

#include "adapter.h"

enum { MAX_ATTRIBUTES = 24, MAX_NAME = 32, RECORD_ALIGNMENT = 64 };

struct attribute {
    const char *name;
    OrtOpAttrType type; /* int, ints, float or string */
    const void *data;
    size_t bytes;
};

/* What a group has of its record; points into the record's bytes. */
struct record {
    struct attribute attributes[MAX_ATTRIBUTES];
    size_t attribute_count;
    const OrtValueInfo *outputs[MAX_OUTPUTS]; /* of the step, in its order; NULL: nobody takes it */
    struct tensor constants[MAX_SLOTS]; /* data is NULL where the packed weights are in its place */
    const void *packed;
    size_t packed_bytes;
};

/* To be freed. The packed weights begin at a multiple of 64. */
OrtStatus *record_write(const struct group *g, const struct step *s, void **bytes, size_t *size);
/* The group of this EPContext node; it and 'r' point into 'bytes', which begin at a multiple of 64. */
OrtStatus *record_read(const OrtApi *ort, const OrtNode *node, const void *bytes, size_t size,
                       struct record *r, struct group *g);

#endif
