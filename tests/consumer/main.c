/* An example of a program that uses an installed qdot: a product of two small matrices. */
#include <qdot.h>
#include <stdio.h>
#ifdef __has_include /* of backends that were built */
#if __has_include(<qdot_opencl.h>)
#define CL_TARGET_OPENCL_VERSION 120
#include <qdot_opencl.h>
#endif
#if __has_include(<qdot_vulkan.h>)
#include <qdot_vulkan.h>
#endif
#endif

int main(void)
{
    const unsigned char a[2 * 3] = {1, 2, 3, 4, 5, 255};
    const signed char b[3 * 2] = {1, -1, 2, -2, 3, -128};
    const int expected[2 * 2] = {14, -389, 779, -32654};
    int out[2 * 2];

    struct qdot_device_desc where = {.size = sizeof(where), .device = "cpu"};
    struct qdot_device *device;
    struct qdot_error err;
    if (qdot_open(&where, &device, &err)) {
        fprintf(stderr, "qdot_open: %s\n", err.text);
        return 1;
    }
    struct qdot_op_desc what = {.size = sizeof(what), .m = 2, .n = 2, .k = 3, .b = b};
    struct qdot_op *op;
    if (qdot_op_create(device, &what, &op, &err)) {
        fprintf(stderr, "qdot_op_create: %s\n", err.text);
        qdot_close(device);
        return 1;
    }
    struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out};
    int status = qdot_op_run(op, &run, &err);
    if (status)
        fprintf(stderr, "qdot_op_run: %s\n", err.text);
    for (int i = 0; i < 4 && status == QDOT_OK; i++)
        if (out[i] != expected[i]) {
            fprintf(stderr, "out[%d]: got %d, expected %d\n", i, out[i], expected[i]);
            status = QDOT_DEVICE_FAILED;
        }
    printf("qdot %s, %s: %d %d %d %d\n", qdot_version(), qdot_op_row(op), out[0], out[1], out[2],
           out[3]);
    qdot_op_destroy(op);
    qdot_close(device);
    return status != QDOT_OK;
}
