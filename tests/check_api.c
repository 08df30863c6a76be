/* Groups build, limits and concurrency of a device through qdot.h: caches, memory past the limit,
 * several threads and handles, many runs in flight, runs that share buffers. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checks.h"

enum { THREADS = 2 };

struct state {
    char name[24]; /* of the device */
    uint64_t seed;
    bool small, tasks;
    const struct check *checks;
};

struct check {
    const char *name;
    enum verdict (*run)(struct state *s, struct outcome *outcome);
};

#define CHECK(name) static enum verdict name(struct state *s, struct outcome *outcome)

/* ---- a product with its right result --------------------------------------------------------- */

struct product {
    size_t m, n, k;
    enum qdot_type out_type;
    int8_t *a, *b;
    uint8_t *expected, *got; /* [m][n] of out_type */
};

/* Of s8, a rounding by integers: every device has those. */
static const int32_t multiplier = 0x60000000, shift = -6; /* 0.75 / 2^6 */

static size_t out_bytes(const struct product *p)
{
    return p->m * p->n * ref_size(p->out_type);
}

static bool narrow(const struct product *p)
{
    return p->out_type == QDOT_S8;
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->expected);
    free(p->got);
    *p = (struct product){0};
}

static bool reference(const struct product *p, const int8_t *a, void *out)
{
    const struct ref_problem problem = {.m = p->m,
                                        .n = p->n,
                                        .k = p->k,
                                        .a_type = QDOT_S8,
                                        .b_type = QDOT_S8,
                                        .out_type = p->out_type,
                                        .a = a,
                                        .b = p->b,
                                        .lda = p->k,
                                        .ldb = p->n,
                                        .rounding = narrow(p) ? QDOT_ROUND_Q31_SINGLE_UP : 0,
                                        .multiplier = &multiplier,
                                        .shift = &shift,
                                        .multiplier_count = narrow(p)};
    return ref_run(&problem, out, p->n) == 0;
}

static bool product_make(struct product *p, struct random *r, size_t m, size_t n, size_t k,
                         enum qdot_type out_type)
{
    *p = (struct product){.m = m, .n = n, .k = k, .out_type = out_type};
    p->a = malloc(m * k);
    p->b = malloc(k * n);
    p->expected = malloc(out_bytes(p));
    p->got = calloc(out_bytes(p), 1);
    if (!p->a || !p->b || !p->expected || !p->got)
        return false;
    fill_bytes(r, p->a, m * k, QDOT_S8, FILL_MIXED, 0);
    fill_bytes(r, p->b, k * n, QDOT_S8, FILL_MIXED, 0);
    return reference(p, p->a, p->expected);
}

static int make_op(struct qdot_device *device, const struct product *p, struct qdot_op **op,
                   struct qdot_error *err)
{
    const struct qdot_op_desc desc = {.size = sizeof(desc),
                                      .m = p->m,
                                      .n = p->n,
                                      .k = p->k,
                                      .a_type = QDOT_S8,
                                      .b_type = QDOT_S8,
                                      .out_type = p->out_type,
                                      .b = p->b,
                                      .rounding = narrow(p) ? QDOT_ROUND_Q31_SINGLE_UP : 0,
                                      .multiplier = narrow(p) ? &multiplier : NULL,
                                      .shift = narrow(p) ? &shift : NULL,
                                      .multiplier_count = narrow(p)};
    return qdot_op_create(device, &desc, op, err);
}

static int run_op(struct qdot_op *op, struct product *p, struct qdot_error *err)
{
    const struct qdot_run run = {.size = sizeof(run), .a.host = p->a, .out.host = p->got};
    memset(p->got, 0xaa, out_bytes(p));
    return qdot_op_run(op, &run, err);
}

static enum verdict compare(const struct product *p, const void *got, const char *what,
                            struct outcome *outcome)
{
    const size_t bytes = ref_size(p->out_type);
    for (size_t i = 0; i < p->m * p->n; i++) {
        int32_t x = 0, y = 0;
        if (memcmp((const uint8_t *)got + i * bytes, p->expected + i * bytes, bytes) == 0)
            continue;
        memcpy(&x, (const uint8_t *)got + i * bytes, bytes);
        memcpy(&y, p->expected + i * bytes, bytes);
        snprintf(outcome->index, sizeof(outcome->index), "out[%zu][%zu]", i / p->n, i % p->n);
        snprintf(outcome->got, sizeof(outcome->got), "%d", bytes == 1 ? (int8_t)x : x);
        snprintf(outcome->expected, sizeof(outcome->expected), "%d", bytes == 1 ? (int8_t)y : y);
        return check_fail(outcome, "a wrong value, %s", what);
    }
    return VERDICT_PASS;
}

static enum verdict failed(struct outcome *outcome, const char *call, const struct qdot_error *err)
{
    return check_fail(outcome, "%s: %s", call, err->text);
}

/* No tuning is read or measured: what is tried is not which row is taken. */
static struct qdot_device *open_device(const struct state *s, const char *cache,
                                       struct outcome *outcome)
{
    struct qdot_error err = {0};
    struct qdot_device *device = NULL;
    struct qdot_device_desc desc = {
        .size = sizeof(desc), .device = s->name, .cache_dir = cache, .budget_us = 1};
    if (s->tasks)
        desc.threads = (struct qdot_threads){THREADS, NULL, conform_parallel_for};
    if (qdot_open(&desc, &device, &err))
        failed(outcome, "qdot_open", &err);
    return device;
}

/* One product from the beginning to the end. */
static enum verdict whole(struct qdot_device *device, struct product *p, const char *what,
                          struct outcome *outcome)
{
    struct qdot_error err = {0};
    struct qdot_op *op = NULL;
    enum verdict verdict = VERDICT_PASS;
    if (make_op(device, p, &op, &err))
        return failed(outcome, "qdot_op_create", &err);
    if (run_op(op, p, &err))
        verdict = failed(outcome, "qdot_op_run", &err);
    qdot_op_destroy(op);
    return verdict == VERDICT_PASS ? compare(p, p->got, what, outcome) : verdict;
}

/* ---- build: the library's cache -------------------------------------------------------------- */

/* Each file in the directory, and in those in it, loses its end, or gets a wrong byte, or goes. */
static size_t spoil(const char *directory, int how)
{
    size_t count = 0;
    DIR *dir = opendir(directory);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        char path[512];
        struct stat info;
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path) ||
            lstat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode)) {
            count += spoil(path, how);
            if (how == 2)
                rmdir(path);
            continue;
        }
        count++;
        if (how == 0 && truncate(path, info.st_size / 2) != 0)
            count--;
        if (how == 2)
            unlink(path);
        FILE *file = how == 1 ? fopen(path, "r+b") : NULL;
        for (long at = (long)info.st_size / 4; file && at < (long)info.st_size; at += 61)
            if (fseek(file, at, SEEK_SET) == 0)
                fputc(0x5a, file);
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return count;
}

static enum verdict with_cache(const struct state *s, const char *cache, const char *what,
                               struct product *p, struct outcome *outcome)
{
    struct qdot_device *device = open_device(s, cache, outcome);
    if (!device)
        return VERDICT_FAIL;
    const enum verdict verdict = whole(device, p, what, outcome);
    qdot_close(device);
    return verdict;
}

CHECK(cache)
{
    char directory[] = "/tmp/qdot-conform-XXXXXX";
    struct product p = {0};
    struct random r = {s->seed};
    if (!product_make(&p, &r, 21, 37, 45, QDOT_S8) || !mkdtemp(directory)) {
        product_free(&p);
        return check_fail(outcome, "no memory, or no directory in /tmp");
    }
    enum verdict verdict = with_cache(s, directory, "from source", &p, outcome);
    if (verdict == VERDICT_PASS)
        verdict = with_cache(s, directory, "from the cache", &p, outcome);
    for (int how = 0; how < 2 && verdict == VERDICT_PASS; how++) {
        spoil(directory, how);
        verdict = with_cache(s, directory,
                             how ? "from a cache with wrong bytes" : "from a cache of half files",
                             &p, outcome);
    }
    spoil(directory, 2);
    rmdir(directory);
    product_free(&p);
    return verdict;
}

CHECK(created_twice)
{
    struct product p = {0};
    struct random r = {s->seed};
    struct qdot_device *device = open_device(s, "", outcome);
    if (!device)
        return VERDICT_FAIL;
    enum verdict verdict = product_make(&p, &r, 33, 40, 64, QDOT_S32)
                               ? whole(device, &p, "of the first op", outcome)
                               : check_fail(outcome, "out of memory");
    if (verdict == VERDICT_PASS)
        verdict = whole(device, &p, "of the second op", outcome);
    product_free(&p);
    qdot_close(device);
    return verdict;
}

static const struct check builds[] = {
    {"the library's cache: missed, hit, damaged", cache},
    {"an op created twice", created_twice},
    {NULL, NULL},
};

/* ---- limits ---------------------------------------------------------------------------------- */

CHECK(memory_past_limit)
{
    struct product p = {0};
    struct random r = {s->seed};
    struct qdot_error err = {0};
    struct qdot_buffer *buffer = NULL;
    struct qdot_device *device = open_device(s, "", outcome);
    if (!device)
        return VERDICT_FAIL;
    enum verdict verdict = VERDICT_PASS;
    const size_t sizes[] = {(size_t)1 << 62, (size_t)1 << 48, 0};
    for (size_t i = 0; i < 3 && verdict == VERDICT_PASS; i++) {
        const int status = qdot_buffer_create(device, sizes[i], NULL, &buffer, &err);
        if (status == QDOT_OK)
            qdot_buffer_destroy(buffer);
        if (status == QDOT_OK || !err.text[0])
            verdict = check_fail(outcome, "a buffer of %zu bytes: status %d", sizes[i], status);
    }
    if (verdict == VERDICT_PASS)
        verdict = product_make(&p, &r, 9, 17, 33, QDOT_S32)
                      ? whole(device, &p, "after the refusal", outcome)
                      : check_fail(outcome, "out of memory");
    product_free(&p);
    qdot_close(device);
    return verdict;
}

static const struct check limits[] = {
    {"buffers past every limit, and one of nothing", memory_past_limit},
    {NULL, NULL},
};

/* ---- concurrency ----------------------------------------------------------------------------- */

/* What one thread does: an op of its own, run again and again; or ops made and destroyed. */
struct worker {
    struct qdot_device *device;
    struct product product;
    size_t runs;
    bool creates;
    struct outcome outcome;
    enum verdict verdict;
    pthread_t thread;
    bool started;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    struct qdot_error err = {0};
    struct qdot_op *op = NULL;
    w->verdict = VERDICT_PASS;
    if (!w->creates && make_op(w->device, &w->product, &op, &err))
        w->verdict = failed(&w->outcome, "qdot_op_create", &err);
    for (size_t i = 0; i < w->runs && w->verdict == VERDICT_PASS; i++) {
        if (w->creates)
            w->verdict = whole(w->device, &w->product, "of an op made meanwhile", &w->outcome);
        else if (run_op(op, &w->product, &err))
            w->verdict = failed(&w->outcome, "qdot_op_run", &err);
        else
            w->verdict = compare(&w->product, w->product.got, "in a thread", &w->outcome);
    }
    qdot_op_destroy(op);
    return NULL;
}

static enum verdict work_all(struct state *s, struct worker *workers, struct outcome *outcome)
{
    struct random r = {s->seed};
    enum verdict verdict = VERDICT_PASS;
    bool made = true;
    for (size_t i = 0; i < THREADS; i++)
        made = product_make(&workers[i].product, &r, 20 + 13 * i, 50 - 7 * i, 40 + 31 * i,
                            i % 2 ? QDOT_S8 : QDOT_S32) &&
               made;
    for (size_t i = 0; i < THREADS && made; i++) {
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
        if (!workers[i].started)
            verdict = check_fail(outcome, "no thread can be started");
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        if (workers[i].started && workers[i].verdict != VERDICT_PASS) {
            verdict = workers[i].verdict;
            *outcome = workers[i].outcome;
        }
        product_free(&workers[i].product);
    }
    return made ? verdict : check_fail(outcome, "out of memory");
}

CHECK(opened_twice)
{
    struct worker workers[THREADS] = {{.runs = s->small ? 5 : 40}, {.runs = s->small ? 5 : 40}};
    bool opened = true;
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].device = open_device(s, "", outcome);
        opened = opened && workers[i].device;
    }
    const enum verdict verdict = opened ? work_all(s, workers, outcome) : VERDICT_FAIL;
    for (size_t i = 0; i < THREADS; i++)
        qdot_close(workers[i].device);
    return verdict;
}

static enum verdict one_device(struct state *s, bool creates, struct outcome *outcome)
{
    struct qdot_device *device = open_device(s, "", outcome);
    if (!device)
        return VERDICT_FAIL;
    const size_t runs = s->small ? 5 : 40;
    struct worker workers[THREADS] = {
        {.device = device, .runs = runs},
        {.device = device, .runs = creates ? runs / 5 : runs, .creates = creates}};
    const enum verdict verdict = work_all(s, workers, outcome);
    qdot_close(device);
    return verdict;
}

CHECK(two_threads)
{
    return one_device(s, false, outcome);
}

CHECK(made_meanwhile)
{
    return one_device(s, true, outcome);
}

static int make_buffer(struct qdot_device *device, const void *memory, size_t bytes,
                       struct qdot_buffer **buffer, struct qdot_error *err)
{
    const int status = qdot_buffer_create(device, bytes, NULL, buffer, err);
    return status || !memory ? status : qdot_buffer_write(*buffer, 0, memory, bytes, err);
}

/* Each run has its own place in one buffer of results; all are waited for once. */
CHECK(in_flight)
{
    struct product p = {0};
    struct random r = {s->seed};
    struct qdot_error err = {0};
    struct qdot_op *op = NULL;
    struct qdot_buffer *a = NULL, *out = NULL;
    struct qdot_device *device = open_device(s, "", outcome);
    const size_t runs = s->small ? 20 : 200;
    if (!device)
        return VERDICT_FAIL;
    bool made = product_make(&p, &r, 5, 19, 23, QDOT_S32);
    uint8_t *results = made ? calloc(runs, out_bytes(&p)) : NULL;
    enum verdict verdict = results ? VERDICT_PASS : check_fail(outcome, "out of memory");
    if (results &&
        (make_op(device, &p, &op, &err) || make_buffer(device, p.a, p.m * p.k, &a, &err) ||
         make_buffer(device, results, runs * out_bytes(&p), &out, &err)))
        verdict = failed(outcome, "qdot_op_create or qdot_buffer_create", &err);
    for (size_t i = 0; i < runs && verdict == VERDICT_PASS; i++) {
        const struct qdot_run run = {.size = sizeof(run),
                                     .a.buffer = a,
                                     .out = {.buffer = out, .offset_bytes = i * out_bytes(&p)}};
        if (qdot_op_run(op, &run, &err))
            verdict = failed(outcome, "qdot_op_run", &err);
    }
    if (verdict == VERDICT_PASS &&
        (qdot_sync(device, &err) || qdot_buffer_read(out, 0, results, runs * out_bytes(&p), &err)))
        verdict = failed(outcome, "qdot_sync or qdot_buffer_read", &err);
    for (size_t i = 0; i < runs && verdict == VERDICT_PASS; i++) {
        char what[40];
        snprintf(what, sizeof(what), "of run %zu", i);
        verdict = compare(&p, results + i * out_bytes(&p), what, outcome);
    }
    qdot_op_destroy(op);
    qdot_buffer_destroy(a);
    qdot_buffer_destroy(out);
    free(results);
    product_free(&p);
    qdot_close(device);
    return verdict;
}

/* Two ops take turns over two buffers: each reads what the other has just written. */
CHECK(shared_buffers)
{
    enum { SIDE = 24 };
    struct product p[2];
    struct random r = {s->seed};
    struct qdot_error err = {0};
    struct qdot_op *ops[2] = {NULL, NULL};
    struct qdot_buffer *buffers[2] = {NULL, NULL};
    struct qdot_device *device = open_device(s, "", outcome);
    const size_t turns = s->small ? 10 : 60;
    if (!device)
        return VERDICT_FAIL;
    bool made = true;
    for (size_t i = 0; i < 2; i++)
        made = product_make(&p[i], &r, SIDE, SIDE, SIDE, QDOT_S8) && made;
    enum verdict verdict = made ? VERDICT_PASS : check_fail(outcome, "out of memory");
    for (size_t i = 0; i < 2 && verdict == VERDICT_PASS; i++)
        if (make_op(device, &p[i], &ops[i], &err) ||
            make_buffer(device, p[0].a, SIDE * SIDE, &buffers[i], &err))
            verdict = failed(outcome, "qdot_op_create or qdot_buffer_create", &err);
    for (size_t i = 0; i < turns && verdict == VERDICT_PASS; i++) {
        const struct qdot_run run = {
            .size = sizeof(run), .a.buffer = buffers[i % 2], .out.buffer = buffers[(i + 1) % 2]};
        if (qdot_op_run(ops[i % 2], &run, &err))
            verdict = failed(outcome, "qdot_op_run", &err);
    }
    if (verdict == VERDICT_PASS &&
        qdot_buffer_read(buffers[turns % 2], 0, p[0].got, SIDE * SIDE, &err))
        verdict = failed(outcome, "qdot_buffer_read", &err);
    for (size_t i = 0; i < turns && verdict == VERDICT_PASS; i++) {
        if (!reference(&p[i % 2], p[0].a, p[0].expected))
            verdict = check_fail(outcome, "out of memory");
        memcpy(p[0].a, p[0].expected, SIDE * SIDE);
    }
    if (verdict == VERDICT_PASS)
        verdict = compare(&p[0], p[0].got, "after all turns", outcome);
    for (size_t i = 0; i < 2; i++) {
        qdot_op_destroy(ops[i]);
        qdot_buffer_destroy(buffers[i]);
        product_free(&p[i]);
    }
    qdot_close(device);
    return verdict;
}

static const struct check concurrency[] = {
    {"the device opened twice, a thread each", opened_twice},
    {"two threads, an op each", two_threads},
    {"ops made while others run", made_meanwhile},
    {"many runs in flight before one sync", in_flight},
    {"ops that take turns over two buffers", shared_buffers},
    {NULL, NULL},
};

/* ---- the sets -------------------------------------------------------------------------------- */

static const char *name_of(void *state, size_t index)
{
    const struct state *s = state;
    return s->checks[index].name;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct state *s = state;
    return s->checks[index].run(s, outcome);
}

static void *open_checks(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    snprintf(s->name, sizeof(s->name), "%s", target->device);
    s->seed = target->seed;
    s->small = target->small;
    s->tasks = target->tasks;
    s->checks = target->cases;
    return s;
}

const struct check_set check_api[] = {
    {"device/cache", "build", "programs from the cache are those from source", "cpu opencl vulkan",
     open_checks, name_of, run, free, builds},
    {"device/memory", "limits", "memory past every limit is refused", "cpu opencl vulkan",
     open_checks, name_of, run, free, limits},
    {"device/concurrency", "concurrency", "threads, handles, runs in flight, shared buffers",
     "cpu opencl vulkan", open_checks, name_of, run, free, concurrency},
    {.name = NULL},
};
