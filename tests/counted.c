/* One op whose instructions tests/counted.sh counts: counted ROW M N K. It is created twice and run
 * twice; the second time of each is the one that is counted, by the names of these functions. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "qdot.h"

#define COUNTED static __attribute__((noinline))

COUNTED int counted_create(struct qdot_device *d, const struct qdot_op_desc *desc,
                           struct qdot_op **op, struct qdot_error *err)
{
    return qdot_op_create(d, desc, op, err);
}

COUNTED int counted_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    return qdot_op_run(op, run, err);
}

int main(int argc, char **argv)
{
    size_t sizes[3] = {0};
    for (int i = 2; i < argc && i < 5; i++)
        sizes[i - 2] = strtoul(argv[i], NULL, 10);
    const size_t m = sizes[0], n = sizes[1], k = sizes[2];
    void *a = calloc(m, k), *b = calloc(k, n), *c = calloc(m, n * 4);
    const struct qdot_device_desc open = {.device = "cpu", .thread_count = 1, .cache_dir = ""};
    const struct qdot_op_desc desc = {
        .m = m, .n = n, .k = k, .b = b, .kernel = argc > 1 ? argv[1] : NULL};
    const struct qdot_run run = {.a = {.host = a}, .out = {.host = c}};
    struct qdot_error err = {.text = "usage: counted ROW M N K"};
    struct qdot_device *device = NULL;
    struct qdot_op *ops[2] = {NULL, NULL};
    const bool right = argc == 5 && a && b && c && !qdot_open(&open, &device, &err) &&
                       !qdot_op_create(device, &desc, &ops[0], &err) &&
                       !counted_create(device, &desc, &ops[1], &err) &&
                       !qdot_op_run(ops[1], &run, &err) && !counted_run(ops[1], &run, &err);
    if (!right)
        fprintf(stderr, "%s\n", err.text);
    qdot_op_destroy(ops[0]);
    qdot_op_destroy(ops[1]);
    qdot_close(device);
    free(a);
    free(b);
    free(c);
    return right ? 0 : 1;
}
