/* Threads: two devices, two ops of one device, the caller's pool. */
#include "api.h"
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { M = 61, N = 75, K = 130, RUNS = 40, POOL = 4 };

struct problem {
    uint8_t a[M * K], b[K * N];
    int32_t want[M * N];
};

/* Every worker its own data, so that a workspace shared by mistake shows. */
static struct problem *problem_new(unsigned seed)
{
    struct problem *p = malloc(sizeof(*p));
    assert_non_null(p);
    for (size_t i = 0; i < sizeof(p->a); i++)
        p->a[i] = (uint8_t)(i * (seed + 3) + seed);
    for (size_t i = 0; i < sizeof(p->b); i++)
        p->b[i] = (uint8_t)(i * (seed + 5) + i / 7);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            int32_t sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += p->a[i * K + k] * (int8_t)p->b[k * N + j];
            p->want[i * N + j] = sum;
        }
    return p;
}

struct worker {
    struct qdot_device *device; /* NULL: opens its own */
    unsigned seed;
    char error[256]; /* empty: all went well */
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct qdot_error err = {0};
    struct qdot_device *own = NULL;
    struct problem *p = problem_new(w->seed);
    int32_t *got = malloc(sizeof(p->want));
    if (!got)
        return NULL;
    if (!w->device) {
        struct qdot_device_desc open = {.size = sizeof(open),
                                        .device = api_device(),
                                        .cache_dir = "",
                                        .budget_us = 1,
                                        .thread_count = api_threads()};
        if (qdot_open(&open, &own, &err))
            snprintf(w->error, sizeof(w->error), "open: %.200s", err.text);
    }
    for (int i = 0; i < RUNS && !w->error[0]; i++) {
        struct qdot_op_desc desc = {.size = sizeof(desc), .m = M, .n = N, .k = K, .b = p->b};
        struct qdot_op *op;
        if (qdot_op_create(own ? own : w->device, &desc, &op, &err)) {
            snprintf(w->error, sizeof(w->error), "create: %.200s", err.text);
            break;
        }
        for (int j = 0; j < 3 && !w->error[0]; j++) {
            struct qdot_run run = {.size = sizeof(run), .a.host = p->a, .out.host = got};
            memset(got, 0xAA, sizeof(p->want));
            if (qdot_op_run(op, &run, &err))
                snprintf(w->error, sizeof(w->error), "run: %.200s", err.text);
            else if (memcmp(got, p->want, sizeof(p->want)) != 0)
                snprintf(w->error, sizeof(w->error), "wrong values in run %d of op %d", j, i);
        }
        qdot_op_destroy(op);
    }
    qdot_close(own);
    free(got);
    free(p);
    return NULL;
}

static void run_workers(struct worker *workers, size_t count)
{
    pthread_t threads[8];
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < count; i++)
        if (workers[i].error[0])
            fail_msg("worker %zu: %s", i, workers[i].error);
}

static void test_two_devices(void **state)
{
    (void)state;
    struct worker workers[2] = {{.seed = 1}, {.seed = 2}};
    run_workers(workers, 2);
}

static void test_ops_of_one_device(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct worker workers[3] = {{.device = device, .seed = 3},
                                {.device = device, .seed = 4},
                                {.device = device, .seed = 5}};
    run_workers(workers, 3);
    qdot_close(device);
}

/* ---- the caller's pool ----------------------------------------------------------------------- */

struct pool {
    size_t calls, tasks, most;
};

struct task {
    void (*run)(void *arg, size_t i);
    void *arg;
    size_t i;
};

static void *run_task(void *arg)
{
    const struct task *t = arg;
    t->run(t->arg, t->i);
    return NULL;
}

/* A true thread a task, started in reverse: no order and no thread may be counted on. */
static void caller_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    struct pool *pool = ctx;
    pthread_t threads[POOL];
    struct task tasks[POOL];
    pool->calls++;
    pool->tasks += count;
    pool->most = count > pool->most ? count : pool->most;
    assert_in_range(count, 1, POOL);
    for (size_t i = count; i-- > 0;) {
        tasks[i] = (struct task){task, arg, i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_task, &tasks[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_callers_pool(void **state)
{
    enum { BIG_M = 301, BIG_N = 203, BIG_K = 500 };
    (void)state;
    struct pool pool = {0};
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = "cpu",
                                    .cache_dir = "",
                                    .threads = {POOL, &pool, caller_for}};
    struct qdot_device_desc alone = {
        .size = sizeof(alone), .device = "cpu", .cache_dir = "", .thread_count = 1};
    struct qdot_device *devices[2];
    struct qdot_error err = {0};
    assert_int_equal(qdot_open(&open, &devices[0], &err), QDOT_OK);
    assert_int_equal(qdot_open(&alone, &devices[1], &err), QDOT_OK);
    uint8_t *a = malloc(BIG_M * BIG_K), *b = malloc(BIG_K * BIG_N);
    int32_t *out[2];
    assert_non_null(a);
    assert_non_null(b);
    for (size_t i = 0; i < BIG_M * BIG_K; i++)
        a[i] = (uint8_t)(i * 31 + i / 257);
    for (size_t i = 0; i < BIG_K * BIG_N; i++)
        b[i] = (uint8_t)(i * 17 + i / 253);
    for (size_t d = 0; d < 2; d++) {
        struct qdot_op_desc desc = {
            .size = sizeof(desc), .m = BIG_M, .n = BIG_N, .k = BIG_K, .b = b};
        struct qdot_op *op;
        out[d] = malloc(BIG_M * BIG_N * sizeof(int32_t));
        assert_non_null(out[d]);
        struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out[d]};
        if (qdot_op_create(devices[d], &desc, &op, &err) || qdot_op_run(op, &run, &err))
            fail_msg("%s", err.text);
        qdot_op_destroy(op);
    }
    assert_memory_equal(out[0], out[1], BIG_M * BIG_N * sizeof(int32_t));
    assert_true(pool.calls > 0);
    assert_int_equal(pool.most, POOL);
    for (size_t d = 0; d < 2; d++) {
        free(out[d]);
        qdot_close(devices[d]);
    }
    free(a);
    free(b);
}

/* A run may bring the context of its own pool; the next without one has the device's again. */
static void test_context_of_a_run(void **state)
{
    enum { BIG = 256 };
    (void)state;
    struct pool of_device = {0}, of_run = {0};
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = "cpu",
                                    .cache_dir = "",
                                    .threads = {POOL, &of_device, caller_for}};
    struct qdot_device_desc own = {
        .size = sizeof(own), .device = "cpu", .cache_dir = "", .thread_count = api_threads()};
    uint8_t *a = calloc(BIG, BIG), *b = calloc(BIG, BIG);
    int32_t *out = malloc(BIG * BIG * sizeof(int32_t));
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = BIG, .n = BIG, .k = BIG, .b = b};
    struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out};
    struct qdot_error err = {0};
    struct qdot_device *device;
    struct qdot_op *op;
    assert_true(a && b && out);
    if (qdot_open(&open, &device, &err) || qdot_op_create(device, &desc, &op, &err))
        fail_msg("%s", err.text);
    const size_t before = of_device.calls;
    run.threads_ctx = &of_run;
    assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
    assert_true(of_run.calls > 0);
    assert_int_equal(of_device.calls, before);
    const size_t once = of_run.calls;
    run.threads_ctx = NULL;
    assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
    assert_int_equal(of_run.calls, once);
    assert_true(of_device.calls > before);
    qdot_op_destroy(op);
    qdot_close(device);
    /* A pool of the device's own takes no notice. */
    if (qdot_open(&own, &device, &err) || qdot_op_create(device, &desc, &op, &err))
        fail_msg("%s", err.text);
    run.threads_ctx = &of_run;
    assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
    assert_int_equal(of_run.calls, once);
    qdot_op_destroy(op);
    qdot_close(device);
    free(a);
    free(b);
    free(out);
}

/* ---- the caller's float mode ----------------------------------------------------------------- */

/* A thread may round upwards and flush subnormals: the result is the same, and so is its mode. */
static void test_callers_float_mode(void **state)
{
    (void)state;
    const float scale = 0x1p-126f, row_scale[1] = {0.3f};
    const uint8_t a[1] = {3}, b[1] = {1};
    struct qdot_device *device = api_open();
    struct qdot_op_desc desc = {.size = sizeof(desc),
                                .m = 1,
                                .n = 1,
                                .k = 1,
                                .out_type = QDOT_F32,
                                .b = b,
                                .scale = &scale,
                                .scale_count = 1,
                                .row_scale = 1};
    struct qdot_error err = {0};
    struct qdot_op *op;
    volatile float want = 3.0f * scale;
    want = want * row_scale[0]; /* 0x1.ccccc..p-127: subnormal, and rounded */
    float got = 0;
    struct qdot_run run = {
        .size = sizeof(run), .a.host = a, .out.host = &got, .row_scale.host = row_scale};
    assert_int_equal(fesetround(FE_UPWARD), 0);
#if defined(__x86_64__)
    unsigned before = _mm_getcsr() | 0x8040; /* flush to zero, denormals are zero */
    _mm_setcsr(before);
#endif
    const float subnormal = 0x1p-127f;
    desc.scale = &subnormal;
    const int refused = qdot_op_create(device, &desc, &op, NULL);
    desc.scale = &scale;
    int status = qdot_op_create(device, &desc, &op, &err); /* the first: self-tests the row */
    if (status == QDOT_OK)
        status = qdot_op_run(op, &run, &err);
#if defined(__x86_64__)
    unsigned after = _mm_getcsr();
    _mm_setcsr(0x1f80);
    assert_int_equal(after & ~0x3fu, before & ~0x3fu); /* but for the sticky flags */
#else
    assert_int_equal(fegetround(), FE_UPWARD);
#endif
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    if (status)
        fail_msg("%s", err.text);
    assert_int_equal(refused, QDOT_INVALID);
    float wanted = want;
    assert_memory_equal(&got, &wanted, sizeof(got));
    qdot_op_destroy(op);
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_ops_of_one_device),
        cmocka_unit_test(test_callers_float_mode),
    };
    const struct CMUnitTest cpu_tests[] = {cmocka_unit_test(test_callers_pool),
                                           cmocka_unit_test(test_context_of_a_run)};
    int failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
    if (api_on_cpu())
        failed += cmocka_run_group_tests_name("threads of the CPU", cpu_tests, NULL, NULL);
    return failed;
}
