/* Checks of a device as a whole: the table, and a child process for each entry of it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checks.h"
#include "conform_process.h"

enum { RETRIES = 1000 }; /* of a set whose cases crash one after another */

/* ---- verdicts -------------------------------------------------------------------------------- */

#define SAY(outcome, format)                                               \
    va_list list;                                                          \
    va_start(list, format);                                                \
    vsnprintf((outcome)->reason, sizeof((outcome)->reason), format, list); \
    va_end(list)

enum verdict check_fail(struct outcome *outcome, const char *format, ...)
{
    SAY(outcome, format);
    return VERDICT_FAIL;
}

enum verdict check_refuse(struct outcome *outcome, const char *format, ...)
{
    SAY(outcome, format);
    return VERDICT_REFUSED;
}

enum verdict check_pass(struct outcome *outcome)
{
    *outcome = (struct outcome){{0}, {0}, {0}, {0}};
    return VERDICT_PASS;
}

enum verdict check_note(struct outcome *outcome, const char *format, ...)
{
    SAY(outcome, format);
    return VERDICT_PASS;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct check_set *const tables[] = {
    check_api,
    check_primitive_cpu,
#ifdef CONFORM_OPENCL
    check_primitive_opencl,
    check_load_opencl,
    check_opencl,
#endif
#ifdef CONFORM_VULKAN
    check_primitive_vulkan,
    check_load_vulkan,
    check_vulkan,
#endif
};

/* The i-th set of all tables, NULL past the last. */
static const struct check_set *set_at(size_t i)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct check_set *set = tables[t]; set->name; set++)
            if (i-- == 0)
                return set;
    return NULL;
}

static bool has_word(const char *words, const char *word, size_t length)
{
    for (const char *at = words; (at = strstr(at, word)) != NULL; at++)
        if (strncmp(at, word, length) == 0 && (at == words || at[-1] == ' ') &&
            (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static bool applies(const struct check_set *set, const char *device)
{
    char backend[24];
    snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(device, ":"), device);
    return has_word(set->backends, backend, strlen(backend));
}

bool checks_have_group(const char *name)
{
    const size_t length = strcspn(name, ",:");
    const struct check_set *set;
    for (size_t i = 0; (set = set_at(i)) != NULL; i++)
        if (strlen(set->group) == length && strncmp(set->group, name, length) == 0)
            return true;
    return false;
}

const char *checks_group_about(const char *name)
{
    static const struct {
        const char *name, *about;
    } groups[] = {
        {"primitive", "arithmetic of the device by kernels of the tests' own"},
        {"advertised", "what the device claims, tried"},
        {"limits", "at each limit it runs, past it it is refused"},
        {"build", "errors of the compiler, two builds, the cache"},
        {"concurrency", "threads, handles, many runs in flight, shared buffers"},
    };
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (strcmp(groups[i].name, name) == 0)
            return groups[i].about;
    return NULL;
}

void checks_list(const struct options *o)
{
    const struct check_set *set;
    for (size_t i = 0; (set = set_at(i)) != NULL; i++)
        if (group_selected(o->group, set->group))
            printf("group   %-18s  %-11s  %s: %s\n", set->name, set->group, set->backends,
                   set->about);
}

static bool selected(const struct options *o, const struct check_set *set, const char *device)
{
    char group[32] = "";
    if (o->only)
        snprintf(group, sizeof(group), "%.*s", (int)strcspn(o->only, ":"), o->only);
    return applies(set, device) && (!o->kernel || options_listed(o->kernel, set->name)) &&
           group_selected(o->group, set->group) && (!o->only || strcmp(group, set->group) == 0);
}

/* ---- a child --------------------------------------------------------------------------------- */

static void put_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_line(int fd, const char *format, ...)
{
    char text[2048];
    va_list list;
    va_start(list, format);
    const int length = vsnprintf(text, sizeof(text) - 1, format, list);
    va_end(list);
    size_t bytes = length < 0 ? 0 : (size_t)length;
    bytes = bytes < sizeof(text) - 1 ? bytes : sizeof(text) - 2;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    text[bytes++] = '\n';
    for (size_t sent = 0; sent < bytes;) {
        const ssize_t n = write(fd, text + sent, bytes - sent);
        if (n <= 0)
            _exit(3); /* the parent is gone */
        sent += (size_t)n;
    }
}

/* Tabs separate fields; none is left in a text. */
static const char *field(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\t')
            *c = ' ';
    return text;
}

static enum verdict run_case(const struct check_set *set, void *state, size_t index,
                             const char *fault, struct outcome *o)
{
    if (fault && strcmp(fault, "crash") == 0)
        *(volatile char *)(uintptr_t)getpid() = 0; /* a true one: no page is there */
    if (fault && strcmp(fault, "hang") == 0)
        for (;;)
            pause();
    if (fault && strcmp(fault, "exit") == 0)
        _exit(0);
    const enum verdict verdict = set->run(state, index, o);
    return verdict == VERDICT_PASS && fault ? check_fail(o, "a planted failure") : verdict;
}

static void run_cases(const struct options *o, const struct check_set *set, void *state, int fd)
{
    static const char *const words[] = {"pass", "fail", "refused", "not_run"};
    const size_t from = o->from ? strtoul(o->from, NULL, 10) : 0;
    const size_t only = o->only ? strtoul(o->only + strcspn(o->only, ":") + 1, NULL, 10) : 0;
    const char *name;
    for (size_t i = from; (name = set->name_of(state, i)) != NULL; i++) {
        if (o->only && i != only)
            continue;
        struct outcome out = {{0}, {0}, {0}, {0}};
        char text[200];
        snprintf(text, sizeof(text), "%s", name);
        put_line(fd, "case\t%zu\t%s", i, field(text));
        const enum verdict verdict = run_case(set, state, i, o->fault, &out);
        put_line(fd, "check\t%s\t%s\t%s\t%s\t%s", words[verdict], field(out.reason),
                 field(out.index), field(out.got), field(out.expected));
    }
}

int checks_child(const struct options *o, int fd)
{
    const struct check_set *set;
    size_t i = 0;
    char reason[400] = "";
    while ((set = set_at(i)) != NULL &&
           !(strcmp(set->name, o->kernel) == 0 && selected(o, set, o->device)))
        i++;
    if (!set)
        return 2;
    const struct check_target target = {
        .device = o->device,
        .index = strtoul(o->device + strcspn(o->device, ":0123456789") + 1, NULL, 10),
        .seed = o->seed,
        .small = o->small,
        .alone = o->alone,
        .tasks = o->tasks,
        .cases = set->cases,
    };
    void *state = set->open(&target, reason, sizeof(reason));
    if (state) {
        run_cases(o, set, state, fd);
        set->close(state);
    } else {
        put_line(fd, "check\tnot_run\t%s\t\t\t", field(reason));
    }
    put_line(fd, "end");
    return 0;
}

/* ---- the parent ------------------------------------------------------------------------------ */

struct run {
    const struct options *options;
    const struct check_set *set;
    const char *device;
    struct report *report;
    size_t index; /* of the case that began last */
    char name[200];
    bool running, out_of_memory;
    size_t passed, refused;
    char refusal[640];
    double deadline; /* of the case */
    double begin;    /* of the set */
};

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

static struct result *add(struct run *r, enum status status, size_t cases, const char *reason)
{
    struct result *result = report_add(r->report);
    r->out_of_memory |= !result;
    if (!result)
        return NULL;
    COPY(result->device, r->device);
    COPY(result->kernel, r->set->name);
    COPY(result->group, r->set->group);
    COPY(result->reason, reason);
    result->status = status;
    result->cases = cases;
    return result;
}

/* A result of the case that began last, with its name and what repeats it. */
static struct result *add_case(struct run *r, enum status status, const char *reason)
{
    char text[640];
    snprintf(text, sizeof(text), "%.200s: %.430s", r->name, reason);
    struct result *result = add(r, status, 1, text);
    if (result && status != STATUS_PASS) {
        snprintf(result->first_case, sizeof(result->first_case), "%s:%zu", r->set->group, r->index);
        replay_case(result, r->options);
    }
    return result;
}

/* Each reason once. */
static void add_refusal(struct run *r, const char *reason)
{
    const size_t used = strlen(r->refusal);
    if (!strstr(r->refusal, reason))
        snprintf(r->refusal + used, sizeof(r->refusal) - used, "%s%s", used ? "; " : "", reason);
}

/* Of a set, and of each of its cases. */
static void more_time(struct run *r)
{
    const struct options *o = r->options;
    r->deadline =
        process_now() + (double)(o->case_timeout < o->timeout ? o->case_timeout : o->timeout);
}

static void take_line(void *context, char *line)
{
    struct run *r = context;
    char *f[6];
    const size_t count = line_split(line, f, 6);
    more_time(r);
    if (count == 3 && strcmp(f[0], "case") == 0) {
        r->index = strtoul(f[1], NULL, 10);
        COPY(r->name, f[2]);
        r->running = true;
        if (isatty(2))
            fprintf(stderr, "\r\033[K%s %s", r->set->name, r->name);
    }
    if (count != 6 || strcmp(f[0], "check") != 0)
        return;
    r->running = false;
    if (strcmp(f[1], "fail") == 0) {
        struct result *result = add_case(r, STATUS_FAIL, f[2]);
        if (!result)
            return;
        COPY(result->index, f[3]);
        COPY(result->got, f[4]);
        COPY(result->expected, f[5]);
    } else if (strcmp(f[1], "refused") == 0) {
        r->refused++;
        add_refusal(r, f[2]);
    } else if (strcmp(f[1], "not_run") == 0) {
        add(r, STATUS_NOT_RUN, 0, f[2]);
    } else if (f[2][0]) {
        add_case(r, STATUS_PASS, f[2]);
    } else {
        r->passed++;
    }
}

static void case_arguments(struct arguments *a, const struct run *r, size_t from, bool alone)
{
    const struct options *o = r->options;
    arguments_add(a, "qdot");
    arguments_add(a, "conform");
    arguments_add(a, "--child");
    arguments_add(a, "checks");
    arguments_add(a, "--device");
    arguments_add(a, "%s", r->device);
    arguments_add(a, "--kernel");
    arguments_add(a, "%s", r->set->name);
    arguments_add(a, "--group");
    arguments_add(a, "%s", r->set->group);
    arguments_add(a, "--from");
    arguments_add(a, "%zu", from);
    arguments_add(a, "--seed");
    arguments_add(a, "%llu", (unsigned long long)o->seed);
    if (o->only) {
        arguments_add(a, "--case");
        arguments_add(a, "%s", o->only);
    }
    if (o->fault) {
        arguments_add(a, "--fault");
        arguments_add(a, "%s", o->fault);
    }
    if (o->small)
        arguments_add(a, "--small");
    if (o->tasks)
        arguments_add(a, "--tasks");
    if (alone)
        arguments_add(a, "--alone");
}

/* Cases are compiled together; where that ends the process, from there on one by one, so that it is
 * seen which. */
static void run_set(struct run *r)
{
    bool alone = false;
    size_t from = 0;
    for (size_t tries = 0; tries < RETRIES; tries++) {
        struct arguments a = {.count = 0};
        char reason[128];
        case_arguments(&a, r, from, alone);
        r->running = false;
        r->name[0] = '\0';
        more_time(r);
        const enum process_end end =
            process_run(&a, &r->deadline, take_line, r, reason, sizeof(reason));
        if (end == PROCESS_ENDED)
            return;
        const bool crashed = end == PROCESS_CRASHED;
        if (!r->running) {
            add(r, crashed ? STATUS_CRASH : STATUS_TIMEOUT, 0, reason);
            return;
        }
        if (crashed && !alone) {
            alone = true;
            from = r->index;
            continue;
        }
        add_case(r, crashed ? STATUS_CRASH : STATUS_TIMEOUT, reason);
        if (!crashed || r->options->only)
            return;
        alone = false;
        from = r->index + 1;
    }
}

bool checks_run(const struct options *o, const char *device, struct report *report)
{
    const struct check_set *set;
    bool out_of_memory = false;
    for (size_t i = 0; (set = set_at(i)) != NULL; i++) {
        if (!selected(o, set, device))
            continue;
        struct run r = {
            .options = o, .set = set, .device = device, .report = report, .begin = process_now()};
        const size_t first = report->count;
        run_set(&r);
        if (isatty(2))
            fprintf(stderr, "\r\033[K");
        if (r.passed > 0)
            add(&r, STATUS_PASS, r.passed, "");
        if (r.refused > 0)
            add(&r, STATUS_REFUSED, r.refused, r.refusal);
        if (report->count == first)
            add(&r, STATUS_NOT_RUN, 0, "no such case of these checks");
        if (report->count > first)
            report->results[report->count - 1].seconds = process_now() - r.begin;
        out_of_memory |= r.out_of_memory;
    }
    return !out_of_memory;
}
