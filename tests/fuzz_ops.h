/*
 * What fuzz_op.c, fuzz_elements.c and fuzz_bytes.c share: descriptor to op to run, against the reference. Right
 * descriptors and wrong ones; every operand in memory of its exact size, so that the address sanitizer
 * sees what is read or written beyond. Each defines take_desc and run.
 */
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <stdbool.h>
#include "fuzz.h"
#include "qdot.h"
#include "ref.h"

enum { TASKS_MAX = 64, OWNED = 16 };

struct input {
    struct bytes from;
    uint32_t state; /* of the operands' contents */
    struct qdot_op_desc d;
    void *owned[OWNED];
    size_t owned_count;
};

static void take_desc(struct input *in);
static void run(struct input *in, struct qdot_op *op);

static struct qdot_device *device;

/* Any order will do: the last first. */
static void backwards(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    (void)ctx;
    EXPECT(count <= TASKS_MAX);
    while (count > 0)
        task(arg, --count);
}

static void *keep(struct input *in, size_t bytes)
{
    EXPECT(in->owned_count < OWNED);
    void *memory = malloc(bytes ? bytes : 1);
    EXPECT(memory);
    return in->owned[in->owned_count++] = memory;
}

static uint32_t next(struct input *in)
{
    in->state = in->state * 1664525u + 1013904223u;
    return in->state >> 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.from = {data, size}};
    struct qdot_error err = {0};
    struct qdot_op *op;
    take_desc(&in);
    const int status = qdot_op_create(device, &in.d, &op, &err);
    if (status == QDOT_OK)
        run(&in, op);
    else
        EXPECT(!op && err.status == status && err.text[0] && !strchr(err.text, '\n') &&
               (status == QDOT_INVALID || status == QDOT_UNSUPPORTED || status == QDOT_NO_MEMORY));
    qdot_op_destroy(op);
    for (size_t i = 0; i < in.owned_count; i++)
        free(in.owned[i]);
    return 0;
}

#endif
