/* Asynchronous runs: events, many runs on their way at once, runs of several threads. */
#include "api.h"
#include <pthread.h>
#include <stdio.h>

enum { M = 24, N = 40, K = 33, FOR_EVER_RUNS = 700, OPS = 5, THREADS = 3 };

struct scene {
    struct qdot_device *device;
    struct qdot_op *ops[OPS];
    struct qdot_buffer *in, *out;
    uint8_t a[M * K], b[OPS][K * N];
    int32_t want[OPS][M * N];
};

static struct qdot_op *op_of(struct qdot_device *device, const uint8_t *b)
{
    const struct qdot_op_desc desc = {.size = sizeof(desc), .m = M, .n = N, .k = K, .b = b};
    struct qdot_op *op;
    struct qdot_error err = {0};
    if (qdot_op_create(device, &desc, &op, &err))
        fail_msg("qdot_op_create: %s", err.text);
    return op;
}

static void must(int status, const struct qdot_error *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static struct scene *scene_new(struct qdot_device *device, unsigned seed)
{
    struct qdot_error err = {0};
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->device = device;
    for (size_t i = 0; i < sizeof(s->a); i++)
        s->a[i] = (uint8_t)(i * 7 + seed);
    for (size_t o = 0; o < OPS; o++) {
        for (size_t i = 0; i < K * N; i++)
            s->b[o][i] = (uint8_t)(i * (o + 3) + seed + i / 11);
        for (size_t i = 0; i < M * N; i++)
            for (size_t k = 0; k < K; k++)
                s->want[o][i] += s->a[i / N * K + k] * (int8_t)s->b[o][k * N + i % N];
        s->ops[o] = op_of(device, s->b[o]);
    }
    must(qdot_buffer_create(device, sizeof(s->a), NULL, &s->in, &err), &err);
    must(qdot_buffer_create(device, sizeof(s->want), NULL, &s->out, &err), &err);
    must(qdot_buffer_write(s->in, 0, s->a, sizeof(s->a), &err), &err);
    return s;
}

static void scene_free(struct scene *s)
{
    for (size_t o = 0; o < OPS; o++)
        qdot_op_destroy(s->ops[o]);
    qdot_buffer_destroy(s->in);
    qdot_buffer_destroy(s->out);
    free(s);
}

static struct qdot_run run_of(const struct scene *s, size_t o)
{
    return (struct qdot_run){.size = sizeof(struct qdot_run),
                             .a.buffer = s->in,
                             .out.buffer = s->out,
                             .out.offset_bytes = o * sizeof(s->want[0])};
}

static void check(const struct scene *s)
{
    static int32_t got[OPS][M * N];
    struct qdot_error err = {0};
    must(qdot_buffer_read(s->out, 0, got, sizeof(got), &err), &err);
    assert_memory_equal(got, s->want, sizeof(got));
}

/* One that no run has is done; a run's is after a wait, and so is what it left. */
static void test_of_a_run(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct scene *s = scene_new(device, 1);
    struct qdot_event *event;
    struct qdot_error err = {0};
    must(qdot_event_create(device, &event, &err), &err);
    must(qdot_event_wait(event, 0, &err), &err);
    for (size_t o = 0; o < OPS; o++) {
        struct qdot_run run = run_of(s, o);
        run.event = event;
        must(qdot_op_run(s->ops[o], &run, &err), &err);
    }
    int status;
    while ((status = qdot_event_wait(event, 1000, &err)) == QDOT_TIMEOUT)
        api_expect("a short wait", status, QDOT_TIMEOUT, &err, "1000");
    must(status, &err);
    must(qdot_event_wait(event, UINT64_MAX, &err), &err);
    must(qdot_event_wait(event, 0, &err), &err);
    check(s);
    qdot_event_destroy(event);
    qdot_event_destroy(NULL);
    scene_free(s);
    qdot_close(device);
}

/* More than any backend holds back, of the same op and of several; outputs are there by order alone. */
static void test_many(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct scene *s = scene_new(device, 2);
    struct qdot_event *first;
    struct qdot_error err = {0};
    must(qdot_event_create(device, &first, &err), &err);
    for (size_t i = 0; i < FOR_EVER_RUNS; i++) {
        struct qdot_run run = run_of(s, i % OPS);
        run.event = i == 40 ? first : NULL; /* long overtaken when it is waited for */
        must(qdot_op_run(s->ops[i % OPS], &run, &err), &err);
    }
    for (size_t i = 0; i < 20; i++) {
        struct qdot_run run = run_of(s, 1);
        must(qdot_op_run(s->ops[1], &run, &err), &err);
    }
    must(qdot_flush(device, &err), &err);
    must(qdot_event_wait(first, UINT64_MAX, &err), &err);
    must(qdot_sync(device, &err), &err);
    must(qdot_sync(device, &err), &err);
    check(s);
    qdot_event_destroy(first);
    scene_free(s);
    qdot_close(device);
}

/* A chain over buffers: each op reads what the one before wrote, host memory in between. */
static void test_host_inputs(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct scene *s = scene_new(device, 3);
    struct qdot_error err = {0};
    uint8_t a[sizeof(s->a)];
    for (size_t i = 0; i < 60; i++) {
        struct qdot_run run = run_of(s, i % OPS);
        memcpy(a, s->a, sizeof(a));
        if (i % 2 == 0)
            run.a = (struct qdot_input){.host = a};
        must(qdot_op_run(s->ops[i % OPS], &run, &err), &err);
        memset(a, 0xee, sizeof(a)); /* it may be changed as soon as run returns */
    }
    check(s);
    scene_free(s);
    qdot_close(device);
}

/* Destroyed with runs on their way that no one waited for. */
static void test_destroyed_early(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    for (int i = 0; i < 3; i++) {
        struct scene *s = scene_new(device, 4);
        struct qdot_event *event;
        must(qdot_event_create(device, &event, &err), &err);
        for (size_t o = 0; o < OPS; o++) {
            struct qdot_run run = run_of(s, o);
            run.event = o == 3 ? event : NULL;
            must(qdot_op_run(s->ops[o], &run, &err), &err);
        }
        qdot_event_destroy(event);
        scene_free(s);
    }
    qdot_close(device);
}

/* The device waits for the CPU's event and the other way round; the same device's costs nothing. */
static void test_waits(void **state)
{
    (void)state;
    struct qdot_device *device = api_open(), *cpu;
    const struct qdot_device_desc desc = {
        .size = sizeof(desc), .device = "cpu", .cache_dir = "", .thread_count = 1};
    struct qdot_error err = {0};
    must(qdot_open(&desc, &cpu, &err), &err);
    struct scene *s = scene_new(device, 5), *there = scene_new(cpu, 5);
    struct qdot_event *events[2], *bad[2];
    must(qdot_event_create(device, &events[0], &err), &err);
    must(qdot_event_create(cpu, &events[1], &err), &err);
    for (size_t o = 0; o < OPS; o++) {
        struct qdot_run run = run_of(s, o), other = run_of(there, o);
        run.event = events[0];
        run.waits = other.waits = events;
        run.wait_count = other.wait_count = 2;
        other.event = events[1];
        must(qdot_op_run(s->ops[o], &run, &err), &err);
        must(qdot_op_run(there->ops[o], &other, &err), &err);
    }
    check(s);
    check(there);
    struct qdot_run run = run_of(s, 0);
    run.event = events[1];
    if (device != cpu && !api_on_cpu())
        api_expect("another device's event", qdot_op_run(s->ops[0], &run, &err), QDOT_INVALID, &err,
                   "event");
    run.event = NULL;
    run.wait_count = 2;
    api_expect("no waits", qdot_op_run(s->ops[0], &run, &err), QDOT_INVALID, &err, "waits");
    bad[0] = events[0];
    bad[1] = NULL;
    run.waits = bad;
    api_expect("a wait that is NULL", qdot_op_run(s->ops[0], &run, &err), QDOT_INVALID, &err,
               "waits[1]");
    qdot_event_destroy(events[0]);
    qdot_event_destroy(events[1]);
    scene_free(there);
    scene_free(s);
    qdot_close(cpu);
    qdot_close(device);
}

static void test_wrong_calls(void **state)
{
    (void)state;
    struct qdot_device *device = api_open(), *all;
    const struct qdot_device_desc desc = {.size = sizeof(desc), .cache_dir = ""};
    struct qdot_event *event;
    struct qdot_error err = {0};
    must(qdot_open(&desc, &all, &err), &err);
    api_expect("create", qdot_event_create(device, NULL, &err), QDOT_INVALID, &err, "event");
    api_expect("create", qdot_event_create(NULL, &event, &err), QDOT_INVALID, &err, "device");
    api_expect("create", qdot_event_create(all, &event, &err), QDOT_INVALID, &err, "device");
    assert_null(event);
    api_expect("wait", qdot_event_wait(NULL, 0, &err), QDOT_INVALID, &err, "event");
    api_expect("flush", qdot_flush(NULL, &err), QDOT_INVALID, &err, "device");
    must(qdot_flush(all, &err), &err);
    qdot_close(all);
    qdot_close(device);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct worker {
    struct scene *s;
    struct qdot_event *event;
    char error[256];
};

/* cmocka's assertions are not for threads. */
static void *work(void *arg)
{
    struct worker *w = arg;
    struct qdot_error err = {0};
    for (size_t i = 0; i < 200 && !w->error[0]; i++) {
        struct qdot_run run = run_of(w->s, i % OPS);
        run.event = i % 9 == 5 ? w->event : NULL;
        int status = qdot_op_run(w->s->ops[i % OPS], &run, &err);
        if (status == QDOT_OK && i % 23 == 0)
            status = qdot_event_wait(w->event, UINT64_MAX, &err);
        if (status == QDOT_OK && i % 70 == 69)
            status = qdot_sync(w->s->device, &err);
        if (status)
            snprintf(w->error, sizeof(w->error), "run %zu: %.200s", i, err.text);
    }
    return NULL;
}

static void *wait(void *arg)
{
    struct worker *w = arg;
    struct qdot_error err = {0};
    int status = QDOT_TIMEOUT;
    while (status == QDOT_TIMEOUT)
        status = qdot_event_wait(w->event, 100000, &err);
    if (status)
        snprintf(w->error, sizeof(w->error), "%.200s", err.text);
    return NULL;
}

static void run_threads(struct worker *workers, void *(*what)(void *))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, what, &workers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        if (workers[i].error[0])
            fail_msg("thread %zu: %s", i, workers[i].error);
}

static void test_threads(void **state)
{
    (void)state;
    struct qdot_device *device = api_open();
    struct worker workers[THREADS] = {0};
    struct qdot_error err = {0};
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].s = scene_new(device, 6 + (unsigned)i);
        must(qdot_event_create(device, &workers[i].event, &err), &err);
    }
    run_threads(workers, work);
    for (size_t i = 0; i < THREADS; i++)
        check(workers[i].s);
    /* One event, waited for by all of them. */
    struct qdot_run run = run_of(workers[0].s, 0);
    struct worker waiters[THREADS] = {0};
    run.event = workers[0].event;
    must(qdot_op_run(workers[0].s->ops[0], &run, &err), &err);
    for (size_t i = 0; i < THREADS; i++)
        waiters[i].event = workers[0].event;
    run_threads(waiters, wait);
    for (size_t i = 0; i < THREADS; i++) {
        qdot_event_destroy(workers[i].event);
        scene_free(workers[i].s);
    }
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_a_run),    cmocka_unit_test(test_many),
        cmocka_unit_test(test_host_inputs), cmocka_unit_test(test_destroyed_early),
        cmocka_unit_test(test_waits),       cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
