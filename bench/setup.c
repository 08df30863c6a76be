#include <stdlib.h>
#include <string.h>
#include "peak.h"
#include "setup.h"
#include "subject.h"

enum { LEAST_TURNS = 3 };
#define SETUP_NS 50000000u /* of turns, where one is short */

static void keep_least(double *least, uint64_t begin)
{
    const double ns = (double)(bench_now_ns() - begin);
    if (*least <= 0 || ns < *least)
        *least = ns;
}

/* Creates the op once and destroys it. */
static int time_create(struct qdot_device *device, const struct qdot_op_desc *desc, double *least,
                       struct qdot_error *err)
{
    struct qdot_op *op;
    const uint64_t begin = bench_now_ns();
    const int status = qdot_op_create(device, desc, &op, err);
    if (status != QDOT_OK)
        return status;
    keep_least(least, begin);
    qdot_op_destroy(op);
    return QDOT_OK;
}

static int time_first_run(struct qdot_device *device, const struct product *p, const char *row,
                          double *least, struct qdot_error *err)
{
    struct subject s;
    int status = subject_create(&s, device, p, row, err);
    if (status != QDOT_OK)
        return status;
    status = subject_poison(&s, err);
    const uint64_t begin = bench_now_ns();
    if (status == QDOT_OK)
        status = subject_run(&s, 1, err);
    if (status == QDOT_OK)
        keep_least(least, begin);
    subject_destroy(&s);
    return status;
}

/* The packed B, for free(). */
static int save_packed(struct qdot_device *device, const struct qdot_op_desc *desc, void **packed,
                       size_t *bytes, struct qdot_error *err)
{
    struct qdot_op *op;
    int status = qdot_op_create(device, desc, &op, err);
    if (status != QDOT_OK)
        return status;
    status = qdot_op_packed_bytes(op, bytes, err);
    *packed = status == QDOT_OK ? verify_alloc(*bytes, 1) : NULL;
    if (status == QDOT_OK && !*packed)
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the packed B");
    if (status == QDOT_OK)
        status = qdot_op_save_packed(op, *packed, *bytes, err);
    qdot_op_destroy(op);
    return status;
}

int setup_measure(struct qdot_device *device, const struct product *p, const char *row,
                  struct setup *setup, struct qdot_error *err)
{
    struct qdot_op_desc given, transposed, packed;
    void *memory = NULL;
    memset(setup, 0, sizeof(*setup));
    product_describe(p, false, &given);
    given.kernel = row;
    transposed = packed = given;
    transposed.b_transposed = 1; /* of the same bytes: another B, which takes as long */
    int status = save_packed(device, &given, &memory, &setup->packed_bytes, err);
    packed.b = NULL;
    packed.packed = memory;
    packed.packed_bytes = setup->packed_bytes;
    const uint64_t begin = bench_now_ns();
    for (int i = 0; status == QDOT_OK && (i < LEAST_TURNS || bench_now_ns() - begin < SETUP_NS);
         i++) {
        status = time_create(device, &given, &setup->create, err);
        if (status == QDOT_OK && p->shape.kind == QDOT_GEMM)
            status = time_create(device, &transposed, &setup->transposed, err);
        if (status == QDOT_OK)
            status = time_create(device, &packed, &setup->load, err);
        if (status == QDOT_OK)
            status = time_first_run(device, p, row, &setup->first_run, err);
    }
    free(memory);
    return status;
}
