/* Inside a child process: whatever may crash or hang, with a line written before each step. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "conform.h"

/* A field never holds what separates fields or lines. */
static const char *field(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\t' || *c == '\n' || *c == '\r')
            *c = ' ';
    return text;
}

static void line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(int fd, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text) - 1, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(text) - 1)
        length = (int)sizeof(text) - 2;
    text[length++] = '\n';
    for (int sent = 0; sent < length;) {
        ssize_t n = write(fd, text + sent, (size_t)(length - sent));
        if (n <= 0)
            _exit(3); /* the parent is gone */
        sent += (int)n;
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int complain(const char *call, const struct qdot_error *err)
{
    fprintf(stderr, "qdot conform: %s: %s\n", call, err->text);
    return 1;
}

int conform_child_devices(int fd)
{
    struct qdot_error err = {0};
    size_t count = 0;
    if (qdot_devices(NULL, 0, &count, &err))
        return complain("qdot_devices", &err);
    struct qdot_device_info *infos = calloc(count ? count : 1, sizeof(*infos));
    if (!infos)
        return 1;
    size_t again = 0;
    if (qdot_devices(infos, count, &again, &err)) {
        free(infos);
        return complain("qdot_devices", &err);
    }
    for (size_t i = 0; i < count && i < again; i++)
        line(fd, "device\t%s\t%s\t%d\t%s\t%s\t%s\t%zu\t%llu", infos[i].name, infos[i].backend,
             infos[i].available, field(infos[i].reason), field(infos[i].description),
             field(infos[i].driver), infos[i].compute_units,
             (unsigned long long)infos[i].memory_bytes);
    free(infos);
    line(fd, "end");
    return 0;
}

struct task {
    void (*run)(void *arg, size_t i);
    void *arg;
    size_t i;
    pthread_t thread;
    bool started;
};

static void *run_task(void *arg)
{
    const struct task *t = arg;
    t->run(t->arg, t->i);
    return NULL;
}

void conform_parallel_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    enum { TASKS = 64 };
    struct task tasks[TASKS];
    (void)ctx;
    for (size_t begin = 0; begin < count; begin += TASKS) {
        size_t end = count - begin < TASKS ? count : begin + TASKS;
        for (size_t i = begin; i < end; i++) {
            struct task *t = &tasks[i - begin];
            *t = (struct task){.run = task, .arg = arg, .i = i};
            t->started = pthread_create(&t->thread, NULL, run_task, t) == 0;
            if (!t->started)
                task(arg, i);
        }
        for (size_t i = begin; i < end; i++)
            if (tasks[i - begin].started)
                pthread_join(tasks[i - begin].thread, NULL);
    }
}

static int open_device(const char *name, size_t threads, bool tasks, struct qdot_device **device)
{
    struct qdot_error err = {0};
    struct qdot_device_desc desc = {.size = sizeof(desc), .device = name, .thread_count = threads};
    if (tasks)
        desc.threads = (struct qdot_threads){threads ? threads : 2, NULL, conform_parallel_for};
    return qdot_open(&desc, device, &err) ? complain("qdot_open", &err) : 0;
}

int conform_child_rows(const char *name, const char *kernels, size_t from, int fd)
{
    struct qdot_device *device = NULL;
    struct qdot_error err = {0};
    struct qdot_device_info opened = {.size = sizeof(opened)};
    if (open_device(name, 0, false, &device))
        return 1;
    if (qdot_device_info(device, &opened, NULL) == QDOT_OK)
        line(fd, "features\t%s", field(opened.features));
    for (size_t i = from;; i++) {
        struct qdot_row_info info = {.size = sizeof(info)};
        line(fd, "begin\t%zu", i);
        int status = qdot_device_row_name(device, i, info.name, &err);
        if (status == QDOT_OK && kernels && !options_listed(kernels, info.name))
            continue; /* its self-test may take a while */
        if (status == QDOT_OK)
            status = qdot_device_row(device, i, &info, &err);
        if (status == QDOT_END)
            break;
        if (status) {
            qdot_close(device);
            return complain("qdot_device_row", &err);
        }
        struct geometry g = {.kind = info.kind,
                             .depthwise = info.depthwise != 0,
                             .mr = info.mr,
                             .nr = info.nr,
                             .kr = info.kr};
        char tile[64];
        geometry_print(&g, tile, sizeof(tile));
        line(fd, "row\t%s\t%s\t%d\t%s", info.name, tile, info.admitted, field(info.reason));
    }
    qdot_close(device);
    line(fd, "end");
    return 0;
}

bool group_selected(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return list == NULL;
}

struct tally {
    size_t passed, failed, refused, not_run;
    size_t first; /* case of the first failure */
    struct outcome failure, refusal, absence;
};

static void report(int fd, const char *group, const struct tally *t, double seconds)
{
    struct outcome o = t->failure, refusal = t->refusal, absence = t->absence;
    if (t->failed > 0)
        line(fd,
             "result\t%s\t%zu\tfail\t%zu of %zu cases" CONFORM_FIRST "%s\t%s\t%s\t%s\t%zu\t%.3f",
             group, t->passed + t->failed, t->failed, t->passed + t->failed, field(o.reason),
             field(o.index), field(o.got), field(o.expected), t->first, seconds);
    else if (t->passed > 0)
        line(fd, "result\t%s\t%zu\tpass\t\t\t\t\t0\t%.3f", group, t->passed, seconds);
    if (t->refused > 0)
        line(fd, "result\t%s\t%zu\trefused\t%s\t\t\t\t0\t%.3f", group, t->refused,
             field(refusal.reason), seconds);
    if (t->not_run > 0)
        line(fd, "result\t%s\t%zu\tnot_run\t%s\t\t\t\t0\t%.3f", group, t->not_run,
             field(absence.reason), seconds);
}

static void run_case(const struct child_options *o, const struct target *target, const char *group,
                     size_t index, const struct conform_case *c, struct tally *t)
{
    struct outcome outcome;
    line(o->fd, "case\t%s\t%zu", group, index);
    switch (conform_run(target, c, &outcome)) {
    case VERDICT_PASS:
        t->passed++;
        break;
    case VERDICT_REFUSED:
        if (t->refused++ == 0)
            t->refusal = outcome;
        break;
    case VERDICT_NOT_RUN:
        if (t->not_run++ == 0)
            t->absence = outcome;
        break;
    case VERDICT_FAIL:
        if (t->failed++ == 0) {
            t->failure = outcome;
            t->first = index;
        }
    }
}

static void run_one(const struct child_options *o, const struct target *target,
                    const struct conform_group *group, size_t index, struct tally *t)
{
    struct conform_case c;
    if (conform_make(group, &o->geometry, o->seed, index, &c))
        run_case(o, target, group->name, index, &c, t);
}

static void run_groups(const struct child_options *o, const struct target *target)
{
    const char *backend = o->device;
    char name[24];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(backend, ":"), backend);
    bool begun = o->from == NULL;
    double until = now() + (double)o->seconds;
    for (size_t i = 0; i < conform_group_count; i++) {
        const struct conform_group *group = &conform_groups[i];
        if (!conform_group_applies(group, &o->geometry, name))
            continue;
        begun = begun || strcmp(o->from, group->name) == 0;
        if (!begun || !group_selected(o->group, group->name))
            continue;
        size_t only = 0, colon = o->only ? strcspn(o->only, ":") : 0;
        if (o->only) {
            if (strlen(group->name) != colon || strncmp(o->only, group->name, colon) != 0)
                continue;
            only = strtoul(o->only + colon + 1, NULL, 10);
        }
        struct tally t = {0};
        double start = now();
        size_t total = conform_count(group, &o->geometry);
        size_t cases = o->cases > 0 && o->cases < total ? o->cases : total;
        size_t limit = conform_limit(group, name, o->all);
        cases = limit < cases ? limit : cases;
        if (o->only)
            run_one(o, target, group, only, &t);
        else
            for (size_t j = 0; j < cases; j++) { /* a limit is spread over the whole group */
                if (now() > until) {
                    t.not_run = cases - j;
                    snprintf(t.absence.reason, sizeof(t.absence.reason), "%s", CONFORM_NO_TIME);
                    break;
                }
                run_one(o, target, group, j * total / cases, &t);
            }
        report(o->fd, group->name, &t, now() - start);
    }
}

static void run_given(const struct child_options *o, const struct target *target)
{
    struct tally t = {0};
    double start = now();
    run_case(o, target, CONFORM_GIVEN, 0, o->given, &t);
    report(o->fd, CONFORM_GIVEN, &t, now() - start);
}

int conform_child_cases(const struct child_options *o)
{
    struct target target = {.fault = o->fault, .fault_k = o->fault_k, .tasks = o->tasks};
    char reason[256] = "", device[128] = "";
    if (strcmp(o->device, "reference") == 0) {
        target.opencl = ref_opencl_open(device, sizeof(device), reason, sizeof(reason));
        if (!target.opencl) {
            line(o->fd, "result\tall\t0\trefused\t%s\t\t\t\t0\t0", field(reason));
            line(o->fd, "end");
            return 0;
        }
    } else {
        snprintf(target.kernel, sizeof(target.kernel), "%s", o->kernel);
        if (open_device(o->device, o->threads, o->tasks, &target.device))
            return 1;
    }
    if (o->given)
        run_given(o, &target);
    else
        run_groups(o, &target);
    qdot_close(target.device);
    ref_opencl_close(target.opencl);
    line(o->fd, "end");
    return 0;
}
