/* Allocation: a failure at any call leaves nothing behind, and a run makes no call at all. */
#include "api.h"
#include <malloc.h>

enum { M = 37, N = 130, K = 65 };

struct fixture {
    struct api_counter counter;
    uint8_t a[M * K], b[K * N];
    int32_t zeros[N];
    float scale[N];
    uint8_t out[M * N];
    void *packed;
    size_t packed_bytes;
    struct qdot_device *device;
    char row[64]; /* that an op gets when no allocation fails */
};

static struct qdot_device_desc device_desc(struct fixture *f)
{
    return (struct qdot_device_desc){
        .size = sizeof(struct qdot_device_desc),
        .device = api_device(),
        .cache_dir = "",
        .budget_us = 1,
        .thread_count = 2,
        .allocator = {&f->counter, api_counted_alloc, api_counted_release}};
}

static struct qdot_op_desc op_desc(struct fixture *f)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .m = M,
                                 .n = N,
                                 .k = K,
                                 .out_type = QDOT_U8,
                                 .b = f->b,
                                 .a_zero = 3,
                                 .b_zero = f->zeros,
                                 .b_zero_count = N,
                                 .bias = f->zeros,
                                 .scale = f->scale,
                                 .scale_count = N};
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    for (size_t i = 0; i < sizeof(f->a); i++)
        f->a[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof(f->b); i++)
        f->b[i] = (uint8_t)(i * 11);
    for (size_t i = 0; i < N; i++) {
        f->zeros[i] = (int32_t)i % 100;
        f->scale[i] = 0.001f;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->packed);
    free(f);
    return 0;
}

/* Tries a step with the n-th allocation failing, n = 1, 2 ... until it succeeds. Once before that
 * nothing fails: what a device keeps until it is closed, such as a pipeline, is no leak. */
static size_t until_success(struct fixture *f,
                            int (*step)(struct fixture *f, struct qdot_error *err))
{
    struct qdot_error first = {0};
    if (step(f, &first))
        fail_msg("%s", first.text);
    for (size_t n = 1; n < 1000; n++) {
        struct qdot_error err = {0};
        size_t live = f->counter.live;
        f->counter.calls = 0;
        f->counter.fail_at = n;
        int status = step(f, &err);
        f->counter.fail_at = 0;
        assert_int_equal(f->counter.live, live);
        if (status == QDOT_OK && f->counter.calls < n)
            return n;
        if (status != QDOT_OK) /* a cache that could not be read is no failure */
            api_expect("allocation failed", status, QDOT_NO_MEMORY, &err, "memory");
    }
    fail_msg("never succeeded");
    return 0;
}

static int step_open(struct fixture *f, struct qdot_error *err)
{
    struct qdot_device_desc desc = device_desc(f);
    struct qdot_device *device;
    int status = qdot_open(&desc, &device, err);
    if (status)
        assert_null(device);
    qdot_close(device);
    return status;
}

/* A device opened beforehand, since its first op allocates for the row's self-test as well. */
static struct qdot_device *open_counted(struct fixture *f)
{
    struct qdot_device_desc desc = device_desc(f);
    struct qdot_device *device;
    struct qdot_error err = {0};
    if (qdot_open(&desc, &device, &err))
        fail_msg("%s", err.text);
    return device;
}

static int create_with(struct fixture *f, const struct qdot_op_desc *desc, struct qdot_error *err)
{
    struct qdot_op *op;
    int status = qdot_op_create(f->device, desc, &op, err);
    if (status)
        assert_null(op);
    qdot_op_destroy(op);
    return status;
}

static int step_create(struct fixture *f, struct qdot_error *err)
{
    struct qdot_op_desc desc = op_desc(f);
    return create_with(f, &desc, err);
}

static int step_create_without_b(struct fixture *f, struct qdot_error *err)
{
    struct qdot_op_desc desc = op_desc(f);
    desc.b = NULL;
    return create_with(f, &desc, err);
}

static int step_create_from_packed(struct fixture *f, struct qdot_error *err)
{
    struct qdot_op_desc desc = op_desc(f);
    desc.b = NULL;
    desc.packed = f->packed;
    desc.packed_bytes = f->packed_bytes;
    return create_with(f, &desc, err);
}

static int step_buffer(struct fixture *f, struct qdot_error *err)
{
    struct qdot_buffer *buffer;
    int status = qdot_buffer_create(f->device, 1000, NULL, &buffer, err);
    if (status)
        assert_null(buffer);
    qdot_buffer_destroy(buffer);
    return status;
}

static void test_failing_open(void **state)
{
    struct fixture *f = *state;
    assert_true(until_success(f, step_open) > 1);
    assert_int_equal(f->counter.live, 0);
}

static void test_failing_create(void **state)
{
    struct fixture *f = *state;
    struct qdot_error err = {0};
    struct qdot_op *op;
    f->device = open_counted(f);
    struct qdot_op_desc desc = op_desc(f);
    if (qdot_op_create(f->device, &desc, &op, &err))
        fail_msg("%s", err.text);
    assert_int_equal(qdot_op_packed_bytes(op, &f->packed_bytes, &err), QDOT_OK);
    f->packed = malloc(f->packed_bytes);
    assert_non_null(f->packed);
    assert_int_equal(qdot_op_save_packed(op, f->packed, f->packed_bytes, &err), QDOT_OK);
    qdot_op_destroy(op);

    assert_true(until_success(f, step_create) > 1);
    assert_true(until_success(f, step_create_without_b) > 1);
    assert_true(until_success(f, step_create_from_packed) > 1);
    assert_true(until_success(f, step_buffer) > 1);
    qdot_close(f->device);
    assert_int_equal(f->counter.live, 0);
}

/* The first op of a device also self-tests its row. Memory may fail there too, which must not count
 * against the row: the next op gets the row that it would have got. */
static int step_first_create(struct fixture *f, struct qdot_error *err)
{
    struct api_counter counter = f->counter;
    f->counter.fail_at = 0;
    f->device = open_counted(f);
    f->counter.fail_at = counter.fail_at;
    f->counter.calls = 0;
    int status = step_create(f, err);
    f->counter.fail_at = 0;
    size_t calls = f->counter.calls;

    struct qdot_op_desc desc = op_desc(f);
    struct qdot_error again = {0};
    struct qdot_op *op;
    if (qdot_op_create(f->device, &desc, &op, &again))
        fail_msg("after a failed allocation %zu: %s", counter.fail_at, again.text);
    assert_string_equal(qdot_op_row(op), f->row);
    struct qdot_row_info first = {.size = sizeof(first)};
    assert_int_equal(qdot_device_row(f->device, 0, &first, &again), QDOT_OK);
    if (strstr(first.reason, "memory"))
        fail_msg("a failed allocation was held against %s: %s", first.name, first.reason);
    qdot_op_destroy(op);
    qdot_close(f->device);
    f->counter.calls = calls;
    return status;
}

static void test_failing_first_create(void **state)
{
    struct fixture *f = *state;
    struct qdot_op_desc desc = op_desc(f);
    struct qdot_error err = {0};
    struct qdot_op *op;
    f->device = open_counted(f);
    if (qdot_op_create(f->device, &desc, &op, &err))
        fail_msg("%s", err.text);
    strcpy(f->row, qdot_op_row(op));
    qdot_op_destroy(op);
    qdot_close(f->device);
    assert_true(until_success(f, step_first_create) > 1);
    assert_int_equal(f->counter.live, 0);
}

/* "auto" measures as well, each time another m since times are kept. What memory is not there for it
 * does without, but leaves nothing behind. */
static int step_create_auto(struct fixture *f, struct qdot_error *err)
{
    struct qdot_op_desc desc = op_desc(f);
    desc.m = M + f->counter.fail_at;
    return create_with(f, &desc, err);
}

static void test_failing_create_auto(void **state)
{
    struct fixture *f = *state;
    struct qdot_device_desc open = device_desc(f);
    struct qdot_op_desc desc = op_desc(f);
    struct qdot_error err = {0};
    size_t count;
    open.device = "auto";
    open.budget_us = 60000000; /* so that nothing is left to be measured by what follows */
    if (qdot_open(&open, &f->device, &err) ||
        qdot_explain(f->device, &desc, NULL, 0, &count, &err)) /* admits and measures once */
        fail_msg("%s", err.text);
    assert_true(until_success(f, step_create_auto) > 1);
    qdot_close(f->device);
    assert_int_equal(f->counter.live, 0);
}

static void test_run_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    struct qdot_device *device = open_counted(f);
    struct qdot_error err = {0};
    for (int at_run = 0; at_run < 2; at_run++) {
        struct qdot_op_desc desc = op_desc(f);
        struct qdot_op *op;
        if (at_run)
            desc.b = NULL;
        if (qdot_op_create(device, &desc, &op, &err))
            fail_msg("%s", err.text);
        struct qdot_run run = {.size = sizeof(run), .a.host = f->a, .out.host = f->out};
        if (at_run)
            run.b.host = f->b;
        assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK); /* stdio, pool: first use */
        size_t calls = f->counter.calls, heap = mallinfo2().uordblks;
        for (size_t m = 1; m <= M; m++) {
            run.m = m;
            assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
        }
        size_t grown = mallinfo2().uordblks - heap;
        assert_int_equal(f->counter.calls, calls);
        if (api_on_cpu()) /* drivers allocate on their own */
            assert_int_equal(grown, 0);
        qdot_op_destroy(op);
    }
    qdot_close(device);
    assert_int_equal(f->counter.live, 0);
}

/* Beyond inputs, packed B and output a CPU run needs at most 4 MiB, whatever the shape. */
static void test_workspace(void **state)
{
    static const size_t shapes[][3] = {{1, 1, 1},       {4096, 64, 64},   {4096, 16, 20000},
                                       {64, 8192, 512}, {7, 16, 1000000}, {100000, 16, 16}};
    (void)state;
    for (size_t threads = 1; threads <= 64; threads *= 8) {
        struct qdot_device_desc open = {
            .size = sizeof(open), .device = "cpu", .cache_dir = "", .thread_count = threads};
        struct qdot_device *device;
        struct qdot_error err = {0};
        assert_int_equal(qdot_open(&open, &device, &err), QDOT_OK);
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            struct qdot_op_desc desc = {
                .size = sizeof(desc), .m = shapes[i][0], .n = shapes[i][1], .k = shapes[i][2]};
            uint8_t *b = calloc(desc.n, desc.k);
            assert_non_null(b);
            desc.b = b;
            struct qdot_op *op;
            if (qdot_op_create(device, &desc, &op, &err))
                fail_msg("%s", err.text);
            assert_in_range(qdot_op_workspace_bytes(op), 0, 4 << 20);
            qdot_op_destroy(op);
            free(b);
        }
        qdot_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_failing_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_first_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_run_allocates_nothing, setup, teardown),
    };
    const struct CMUnitTest cpu_tests[] = {
        cmocka_unit_test_setup_teardown(test_failing_create_auto, setup, teardown),
        cmocka_unit_test(test_workspace),
    };
    int failed = cmocka_run_group_tests_name("memory", tests, NULL, NULL);
    if (api_on_cpu())
        failed += cmocka_run_group_tests_name("memory of the CPU", cpu_tests, NULL, NULL);
    return failed;
}
