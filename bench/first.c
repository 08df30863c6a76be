/* What the first result of a new process costs, from main() on: qdot_first [DEVICE]. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include "qdot.h"

enum { M = 64, N = 256, K = 256 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    static uint8_t a[M * K];
    static int8_t b[K * N];
    static int32_t c[M * N];
    struct qdot_error err;
    struct qdot_device *device;
    struct qdot_op *op;
    const struct qdot_device_desc open = {.device = argc > 1 ? argv[1] : "cpu"};
    const struct qdot_op_desc desc = {.m = M, .n = N, .k = K, .b = b};
    const struct qdot_run run = {.a = {.host = a}, .out = {.host = c}};
    double at[5] = {now_us()};
    int status = qdot_open(&open, &device, &err);
    at[1] = now_us();
    if (status == QDOT_OK)
        status = qdot_op_create(device, &desc, &op, &err);
    at[2] = now_us();
    for (int i = 3; i < 5 && status == QDOT_OK; i++) {
        status = qdot_op_run(op, &run, &err);
        at[i] = now_us();
    }
    if (status != QDOT_OK) {
        fprintf(stderr, "qdot_first: %s\n", err.text);
        return 1;
    }
    printf("%s: %dx%dx%d after %.0f us: open %.0f, create %.0f, run %.1f; the next run %.1f\n",
           qdot_op_row(op), M, N, K, at[3] - at[0], at[1] - at[0], at[2] - at[1], at[3] - at[2],
           at[4] - at[3]);
    qdot_op_destroy(op);
    qdot_close(device);
    return 0;
}
