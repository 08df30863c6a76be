/* Allocation by convolutions: a failure at any call leaves nothing behind, a run makes no call at all,
 * and the workspace is bounded. */
#include "api.h"
#include <malloc.h>

/* Geometries of each way to run: 1x1, 3x3, strided, grouped, depthwise, planes, transposed. */
enum { WAYS = 8, SIDE = 17, MANY = 96 };

static struct qdot_op_desc way(size_t i, const uint8_t *b)
{
    struct qdot_op_desc desc = {.size = sizeof(desc),
                                .kind = QDOT_CONV,
                                .conv = {.batch = 2,
                                         .height = SIDE,
                                         .width = SIDE,
                                         .channels = MANY,
                                         .out_channels = MANY,
                                         .kernel_h = i == 0 ? 1 : 3,
                                         .kernel_w = i == 0 ? 1 : 3,
                                         .pad_top = i % 3,
                                         .pad_left = i % 2,
                                         .stride_h = 1 + i / 2 % 2,
                                         .stride_w = 1 + i / 2 % 2,
                                         .groups = i == 3   ? 4
                                                   : i == 4 ? MANY
                                                   : i == 7 ? MANY
                                                            : 1,
                                         .layout = i == 5 || i == 7 ? QDOT_NCHW : QDOT_NHWC,
                                         .transposed = i == 6},
                                .b = b,
                                .a_zero = 7,
                                .out_type = i % 2 ? QDOT_U8 : QDOT_S32};
    return desc;
}

static struct qdot_device *open_counted(struct api_counter *counter, size_t threads)
{
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .thread_count = threads,
                                    .allocator = {counter, api_counted_alloc, api_counted_release}};
    struct qdot_device *device;
    struct qdot_error err = {0};
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    return device;
}

/* The largest of what the ways read and write: one image more than enough of each. */
static uint8_t *zeroed(size_t bytes)
{
    uint8_t *memory = calloc(bytes, 1);
    assert_non_null(memory);
    return memory;
}

static void test_run_allocates_nothing(void **state)
{
    (void)state;
    struct api_counter counter = {0};
    struct qdot_device *device = open_counted(&counter, 2);
    struct qdot_error err = {0};
    uint8_t *b = zeroed((size_t)MANY * MANY * 9), *a = zeroed((size_t)2 * SIDE * SIDE * MANY);
    uint8_t *out = zeroed((size_t)2 * 4 * (2 * SIDE + 4) * (2 * SIDE + 4) * MANY);
    for (size_t i = 0; i < WAYS; i++) {
        struct qdot_op_desc desc = way(i, b);
        struct qdot_op *op;
        if (qdot_op_create(device, &desc, &op, &err))
            fail_msg("way %zu: %s", i, err.text);
        struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out};
        assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK); /* stdio, pool: first use */
        size_t calls = counter.calls, heap = mallinfo2().uordblks;
        for (run.m = 1; run.m <= 2; run.m++)
            assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
        size_t grown = mallinfo2().uordblks - heap;
        assert_int_equal(counter.calls, calls);
        if (api_on_cpu()) /* drivers allocate on their own */
            assert_int_equal(grown, 0);
        qdot_op_destroy(op);
    }
    qdot_close(device);
    assert_int_equal(counter.live, 0);
    free(a);
    free(b);
    free(out);
}

/* Whichever allocation of a creation fails, nothing is left behind. */
static void test_failing_create(void **state)
{
    (void)state;
    struct api_counter counter = {0};
    struct qdot_device *device = open_counted(&counter, 2);
    struct qdot_error err = {0};
    uint8_t *b = zeroed((size_t)MANY * MANY * 9);
    for (size_t i = 0; i < WAYS; i++) {
        struct qdot_op_desc desc = way(i, b);
        struct qdot_op *op;
        if (qdot_op_create(device, &desc, &op, &err)) /* what a device keeps is no leak */
            fail_msg("way %zu: %s", i, err.text);
        qdot_op_destroy(op);
        size_t live = counter.live, failures = 0;
        for (int status = QDOT_NO_MEMORY; status != QDOT_OK; failures++) {
            assert_true(failures < 200);
            counter.calls = 0;
            counter.fail_at = failures + 1;
            status = qdot_op_create(device, &desc, &op, &err);
            counter.fail_at = 0;
            if (status == QDOT_OK)
                qdot_op_destroy(op);
            else
                api_expect("an allocation fails", status, QDOT_NO_MEMORY, &err, "memory");
            assert_int_equal(counter.live, live);
        }
        assert_true(failures > 1);
    }
    qdot_close(device);
    assert_int_equal(counter.live, 0);
    free(b);
}

/* A CPU run needs at most 1 MiB a thread beyond input, packed weights and output. */
static void test_workspace(void **state)
{
    /* height, width, channels, out channels, groups, kernel, layout */
    static const size_t shapes[][7] = {
        {1, 1, 1, 1, 1, 1, 0},        {56, 56, 64, 64, 1, 3, 0},
        {224, 224, 3, 64, 1, 7, 0},   {7, 7, 2048, 512, 1, 1, 0},
        {3, 3, 40000, 2, 1, 3, 0},    {1, 20000, 512, 2, 1, 1, 0},
        {300, 3000, 3, 8, 1, 3, 0},   {112, 112, 960, 960, 960, 3, 0},
        {9, 50000, 64, 64, 64, 9, 0}, {14, 14, 512, 512, 32, 3, 0},
        {56, 56, 64, 64, 1, 3, 1},    {14, 14, 960, 960, 960, 5, 1},
        {31, 31, 1024, 8, 1, 31, 0},  {31, 31, 256, 256, 256, 31, 0},
        {200, 200, 1, 1, 1, 200, 0},
    };
    (void)state;
    for (size_t threads = 1; threads <= 16; threads *= 4) {
        struct api_counter counter = {0};
        struct qdot_device *device = open_counted(&counter, threads);
        struct qdot_error err = {0};
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            const size_t *s = shapes[i];
            struct qdot_op_desc desc = {.size = sizeof(desc),
                                        .kind = QDOT_CONV,
                                        .conv = {.height = s[0],
                                                 .width = s[1],
                                                 .channels = s[2],
                                                 .out_channels = s[3],
                                                 .groups = s[4],
                                                 .kernel_h = s[5],
                                                 .kernel_w = s[5] < s[1] ? s[5] : s[1],
                                                 .pad_top = s[5] / 2,
                                                 .pad_left = s[5] / 2,
                                                 .layout = s[6] ? QDOT_NCHW : QDOT_NHWC},
                                        .out_type = i % 2 ? QDOT_S8 : QDOT_S32};
            uint8_t *b = zeroed(s[3] * s[5] * s[5] * s[2] / s[4]);
            struct qdot_op *op;
            desc.b = b;
            if (qdot_op_create(device, &desc, &op, &err))
                fail_msg("shape %zu: %s", i, err.text);
            size_t packed = 0;
            assert_int_equal(qdot_op_packed_bytes(op, &packed, &err), QDOT_OK);
            assert_in_range(qdot_op_workspace_bytes(op), 0, packed + (threads << 20));
            qdot_op_destroy(op);
            free(b);
        }
        qdot_close(device);
        assert_int_equal(counter.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_allocates_nothing),
        cmocka_unit_test(test_failing_create),
    };
    const struct CMUnitTest cpu_tests[] = {
        cmocka_unit_test(test_workspace),
    };
    int failed = cmocka_run_group_tests_name("memory of convolution", tests, NULL, NULL);
    if (api_on_cpu())
        failed += cmocka_run_group_tests_name("its workspace on the CPU", cpu_tests, NULL, NULL);
    return failed;
}
