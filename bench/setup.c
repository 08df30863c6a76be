#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
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

/* Creates the op on a device that is opened for it, as a new process would. */
static int create_anew(const struct qdot_device_desc *open, const struct qdot_op_desc *desc,
                       double *ns, struct qdot_error *err)
{
    struct qdot_device *device;
    int status = qdot_open(open, &device, err);
    if (status != QDOT_OK)
        return status;
    status = time_create(device, desc, ns, err);
    qdot_close(device); /* which may write to the cache */
    return status;
}

static void remove_directory(const char *path)
{
    char name[512];
    const struct dirent *entry;
    DIR *directory = opendir(path);
    while (directory && (entry = readdir(directory)) != NULL) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        unlink(name); /* not '.' and '..' */
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

int setup_compile(const char *device, const struct product *p, const char *row, struct setup *setup,
                  struct qdot_error *err)
{
    char cache[] = "/tmp/qdot_setup_XXXXXX";
    const struct qdot_device_desc open = {.device = device, .cache_dir = cache};
    struct qdot_op_desc desc;
    product_describe(p, false, &desc);
    desc.kernel = row;
    if (!mkdtemp(cache))
        return bench_fail(err, QDOT_DEVICE_FAILED, "no directory for a cache in /tmp");
    int status = create_anew(&open, &desc, &setup->cold, err);
    if (status == QDOT_OK)
        status = create_anew(&open, &desc, &setup->warm, err);
    remove_directory(cache);
    return status;
}
