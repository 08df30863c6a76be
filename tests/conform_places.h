/*
 * The operands of a case that is no product: where each run's lie, the buffers for them, what is
 * expected there afterwards, and the comparison. Each in host memory against an unmapped page; or in
 * one device buffer for all, at any offsets; or in a buffer over that host memory.
 */
#ifndef CONFORM_PLACES_H
#define CONFORM_PLACES_H

#include "conform.h"
#include "guard.h"

enum { PLACES_PARTS = 7 }; /* operands of a run, at most */

struct place_of {
    struct guarded g; /* of host memory; of a device buffer what it is written from and read into */
    uint8_t *expected;
    size_t bytes, offset;       /* in the buffer */
    struct qdot_buffer *buffer; /* over g */
};

struct places {
    const struct conform_case *c;
    struct outcome *outcome;
    const char *const *names; /* of the parts */
    size_t parts, out;        /* how many; from 'out' on they are written */
    struct place_of of[RUNS_MAX][PLACES_PARTS];
    struct guarded whole; /* of the device buffer for all */
    size_t whole_bytes;
    struct qdot_buffer *buffer;
    struct qdot_device *own; /* of the case's threads */
};

bool places_at_end(const struct conform_case *c); /* of host memory, before the unmapped page */
/* In the order of runs and parts; 0 bytes: the run has no such part. False without memory. */
bool places_add(struct places *p, struct random *r, size_t run, size_t part, size_t bytes,
                size_t alignment);
bool places_complete(struct places *p, struct random *r);

/* On this device, or one of the case's own: it is *device then. */
enum verdict places_open(struct places *p, const struct target *target,
                         struct qdot_device **device);
enum verdict places_make_buffers(struct places *p, struct qdot_device *device);
struct qdot_output places_output(const struct places *p, size_t run, size_t part);
struct qdot_input places_input(const struct places *p, size_t run, size_t part);
/* Waits for the runs, and reads what is in buffers. */
enum verdict places_fetch(struct places *p, struct qdot_device *device);

void places_plant(struct places *p, enum fault fault); /* in the output of the first run */
/* Everything is as expected, and all around as it was. 'say' tells the outcome of a first byte 'at'
 * that is not. */
enum verdict places_compare(struct places *p, void *ctx,
                            void (*say)(void *ctx, size_t run, size_t part, const uint8_t *got,
                                        size_t at));
void places_free(struct places *p);

#endif
