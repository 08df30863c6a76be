/*
 * mant24-up by XNNPACK, of which builds for ARM round so: a fully connected layer without inputs that
 * count, whose sums are its biases. On stdin int32 zero, count of scales and of sums for each; the
 * scales; the sums. On stdout int8 outputs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <xnnpack.h>

static int layer(const int32_t *sums, size_t count, float scale, int8_t zero, int8_t *weights)
{
    static int8_t input[1 + XNN_EXTRA_BYTES];
    xnn_operator_t op = NULL;
    int8_t *out = malloc(count + XNN_EXTRA_BYTES);
    int good =
        out &&
        xnn_create_fully_connected_nc_qs8(1, count, 1, count, 0, scale, 1.0f, weights, sums, zero,
                                          1.0f, INT8_MIN, INT8_MAX, 0, &op) == xnn_status_success &&
        xnn_setup_fully_connected_nc_qs8(op, 1, input, out, NULL) == xnn_status_success &&
        xnn_run_operator(op, NULL) == xnn_status_success && fwrite(out, 1, count, stdout) == count;
    xnn_delete_operator(op);
    free(out);
    return good;
}

int main(void)
{
    int32_t head[3];
    if (xnn_initialize(NULL) != xnn_status_success || fread(head, sizeof(head), 1, stdin) != 1)
        return 1;
    const size_t scale_count = (size_t)head[1], count = (size_t)head[2];
    float *scales = calloc(scale_count, sizeof(*scales));
    int32_t *sums = calloc(count, sizeof(*sums));
    int8_t *weights = calloc(count, 1);
    int good = scales && sums && weights &&
               fread(scales, sizeof(*scales), scale_count, stdin) == scale_count;
    for (size_t i = 0; good && i < scale_count; i++)
        good = fread(sums, sizeof(*sums), count, stdin) == count &&
               layer(sums, count, scales[i], (int8_t)head[0], weights);
    free(scales);
    free(sums);
    free(weights);
    return !good;
}
