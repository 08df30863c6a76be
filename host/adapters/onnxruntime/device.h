/* Steps that are ops of the library, made once and kept: on the device in whose memory the tensors are,
 * or on the host. */
#ifndef ADAPTER_DEVICE_H
#define ADAPTER_DEVICE_H

#include "adapter.h"

/* An op that a step needs. All is zeroed before it is set: it is compared byte by byte. */
struct wanted {
    struct qdot_op_desc desc; /* without what its pointers point to */
    const void *more;         /* from which 'fill' makes that */
    size_t more_bytes;
    size_t room; /* bytes that fill may use until the op is made */
    void (*fill)(struct qdot_op_desc *desc, const void *more, void *room); /* NULL: nothing */
};

/* Room for the ops of a step. */
OrtStatus *device_start(struct step *s);
void device_release(struct step *s);

/* Runs the step's op of this index, made first unless it is the one that is wanted. Not 'done' where the
 * device takes no such op. */
OrtStatus *device_run(struct step *s, struct call *c, size_t index, const struct wanted *wanted,
                      const struct qdot_run *run, bool *done);

/* Output 0, where it is; or on the host, to which the inputs are brought: for a second try, when the
 * device takes no such op. */
OrtStatus *device_place(struct step *s, struct call *c, bool on_host, const int64_t *dims,
                        size_t rank, struct qdot_output *out);
/* The host does not either. */
OrtStatus *device_refused(const struct step *s);

/* out = table[x], or x without a table, moved: QDOT_MAP of one operand, for output 0. */
OrtStatus *device_map(struct step *s, struct call *c, size_t index, const struct qdot_map *map,
                      const uint8_t *table, const struct qdot_input *x,
                      const struct qdot_output *out, bool *done);
/* Bytes one after the other. */
struct qdot_map device_line(size_t count);
/* desc->map.table is 'more'. */
void device_table(struct qdot_op_desc *desc, const void *more, void *room);

#endif
