/* qdot conform: the verb. Only children touch devices; this process survives all of them. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conform.h"
#include "conform_process.h"

enum { DEVICES_MAX = 64, ROWS_MAX = 256 };

struct device {
    char name[24], backend[16], reason[160], description[300];
    bool available;
};

struct row {
    char device[24], kernel[64], reason[200];
    struct geometry geometry;
    bool admitted;
};

struct session {
    struct options options;
    struct report report;
    struct device devices[DEVICES_MAX];
    size_t device_count;
    struct row rows[ROWS_MAX];
    size_t row_count;
    const char *device; /* whose rows are being enumerated */
    size_t next;        /* index of the row whose enumeration began last */
    size_t printed;     /* results that have their line */
    bool out_of_memory;
};

static enum fault fault_of(const char *name)
{
    if (!name)
        return FAULT_NONE;
    return strcmp(name, "wrong") == 0     ? FAULT_WRONG
           : strcmp(name, "outside") == 0 ? FAULT_OUTSIDE
           : strcmp(name, "crash") == 0   ? FAULT_CRASH
           : strcmp(name, "hang") == 0    ? FAULT_HANG
                                          : FAULT_EXIT;
}

static int child_main(const struct options *o)
{
    struct child_options child = {
        .device = o->device,
        .kernel = o->kernel,
        .group = o->group,
        .from = o->from,
        .only = o->only,
        .cases = o->cases,
        .threads = o->threads,
        .tasks = o->tasks,
        .all = o->all,
        .seed = o->seed,
        .geometry = o->geometry,
        .fault = fault_of(o->fault),
        .fd = CONFORM_FD,
    };
    if (strcmp(o->child, "devices") == 0)
        return conform_child_devices(CONFORM_FD);
    if (strcmp(o->child, "rows") == 0 && o->device)
        return conform_child_rows(o->device, o->kernel, o->from ? strtoul(o->from, NULL, 10) : 0,
                                  CONFORM_FD);
    if (strcmp(o->child, "cases") == 0 && o->device && o->kernel && o->geometry.mr)
        return conform_child_cases(&child);
    return options_usage("--child", o->child, "nothing: it is for conform's own use");
}

/* ---- devices and rows ------------------------------------------------------------------------ */

static size_t split(char *line, char **fields, size_t capacity)
{
    size_t count = 0;
    for (char *at = line; at && count < capacity; count++) {
        fields[count] = at;
        at = strchr(at, '\t');
        if (at)
            *at++ = '\0';
    }
    return count;
}

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

static void take_device(void *context, char *line)
{
    struct session *s = context;
    char *f[6];
    if (split(line, f, 6) != 6 || strcmp(f[0], "device") != 0 || s->device_count == DEVICES_MAX)
        return;
    struct device *d = &s->devices[s->device_count++];
    COPY(d->name, f[1]);
    COPY(d->backend, f[2]);
    d->available = f[3][0] == '1';
    COPY(d->reason, f[4]);
    COPY(d->description, f[5]);
}

static void take_row(void *context, char *line)
{
    struct session *s = context;
    char *f[5];
    size_t count = split(line, f, 5);
    if (count == 2 && strcmp(f[0], "begin") == 0)
        s->next = strtoul(f[1], NULL, 10);
    struct geometry g = {.small = s->options.small};
    if (count != 5 || strcmp(f[0], "row") != 0 || s->row_count == ROWS_MAX ||
        !geometry_parse(f[2], &g))
        return;
    struct row *row = &s->rows[s->row_count++];
    COPY(row->device, s->device);
    COPY(row->kernel, f[1]);
    row->geometry = g;
    row->admitted = f[3][0] == '1';
    COPY(row->reason, f[4]);
}

static struct result *add(struct session *s, const char *device, const char *kernel,
                          const char *group, enum status status, const char *reason)
{
    struct result *result = report_add(&s->report);
    if (!result) {
        s->out_of_memory = true;
        return NULL;
    }
    COPY(result->device, device);
    COPY(result->kernel, kernel);
    COPY(result->group, group);
    COPY(result->reason, reason);
    result->status = status;
    return result;
}

static void print_new(struct session *s)
{
    for (; s->printed < s->report.count; s->printed++) {
        struct result *r = &s->report.results[s->printed];
        r->required = r->status == STATUS_NOT_RUN && options_listed(s->options.require, r->kernel);
        report_line(r);
    }
}

static bool matches(const char *patterns, const char *name)
{
    return !patterns || options_listed(patterns, name);
}

static bool device_wanted(const struct session *s, const struct device *d)
{
    return matches(s->options.device, d->name) || matches(s->options.device, d->backend);
}

/* A row whose enumeration crashes is reported, and the rows after it are still looked at. */
static void find_rows(struct session *s, const struct device *d)
{
    s->device = d->name;
    s->next = 0;
    for (size_t from = 0; from < ROWS_MAX;) {
        struct arguments a = {.count = 0};
        char reason[128], kernel[64];
        arguments_add(&a, "qdot");
        arguments_add(&a, "conform");
        arguments_add(&a, "--child");
        arguments_add(&a, "rows");
        arguments_add(&a, "--device");
        arguments_add(&a, "%s", d->name);
        arguments_add(&a, "--from");
        arguments_add(&a, "%zu", from);
        if (s->options.kernel) {
            arguments_add(&a, "--kernel");
            arguments_add(&a, "%s", s->options.kernel);
        }
        s->next = SIZE_MAX;
        enum process_end end = process_run(&a, process_now() + (double)s->options.timeout, take_row,
                                           s, reason, sizeof(reason));
        if (end == PROCESS_ENDED)
            return;
        if (end == PROCESS_LATE && s->next != SIZE_MAX && s->next > from) {
            from = s->next; /* the rows before it spent the time */
            continue;
        }
        snprintf(kernel, sizeof(kernel), "%s/#%zu", d->backend, s->next == SIZE_MAX ? 0 : s->next);
        add(s, d->name, kernel, s->next == SIZE_MAX ? "open" : "self-test",
            end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH, reason);
        if (s->next == SIZE_MAX)
            return;
        from = s->next + 1;
    }
}

static void find_devices(struct session *s)
{
    struct arguments a = {.count = 0};
    char reason[128];
    arguments_add(&a, "qdot");
    arguments_add(&a, "conform");
    arguments_add(&a, "--child");
    arguments_add(&a, "devices");
    enum process_end end = process_run(&a, process_now() + (double)s->options.timeout, take_device,
                                       s, reason, sizeof(reason));
    if (end != PROCESS_ENDED)
        add(s, "all", "*", "devices", end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH, reason);
    for (size_t i = 0; i < s->device_count; i++) {
        const struct device *d = &s->devices[i];
        if (!device_wanted(s, d))
            continue;
        char kernel[64];
        snprintf(kernel, sizeof(kernel), "%s/*", d->backend);
        if (d->available)
            find_rows(s, d);
        else if (!s->options.kernel)
            add(s, d->name[0] ? d->name : d->backend, kernel, "all", STATUS_NOT_RUN, d->reason);
    }
}

/* ---- running rows ---------------------------------------------------------------------------- */

struct listening {
    struct session *session;
    const struct row *row;
    char group[24]; /* of the case that began last, until its group's result came */
    size_t index;
    bool running;
    size_t first; /* of this row's results in the report */
};

/* A command that runs this one case again. */
static void set_replay(struct result *r, const struct listening *l, size_t index)
{
    const struct options *o = &l->session->options;
    char threads[32] = "";
    if (o->threads)
        snprintf(threads, sizeof(threads), " --threads %zu", o->threads);
    snprintf(r->replay, sizeof(r->replay),
             "qdot conform --device %s --kernel '%s' --case %s:%zu"
             " --seed %llu%s%s%s",
             r->device, r->kernel, r->group, index, (unsigned long long)o->seed,
             o->small ? " --small" : "", o->tasks ? " --tasks" : "", threads);
}

static void progress(const struct listening *l)
{
    if (isatty(2))
        fprintf(stderr, "\r\033[K%s %s:%zu", l->row->kernel, l->group, l->index);
}

static void take_result(void *context, char *line)
{
    static const char *const names[] = {"pass", "fail", "not_run"};
    static const enum status statuses[] = {STATUS_PASS, STATUS_FAIL, STATUS_NOT_RUN};
    struct listening *l = context;
    char *f[10];
    size_t count = split(line, f, 10);
    if (count == 3 && strcmp(f[0], "case") == 0) {
        COPY(l->group, f[1]);
        l->index = strtoul(f[2], NULL, 10);
        l->running = true;
        progress(l);
        return;
    }
    if (count != 10 || strcmp(f[0], "result") != 0)
        return;
    l->running = false;
    struct result *r = add(l->session, l->row->device, l->row->kernel, f[1], STATUS_CRASH, f[4]);
    if (!r)
        return;
    for (size_t i = 0; i < 3; i++)
        if (strcmp(f[3], names[i]) == 0)
            r->status = statuses[i];
    r->cases = strtoul(f[2], NULL, 10);
    COPY(r->index, f[5]);
    COPY(r->got, f[6]);
    COPY(r->expected, f[7]);
    r->seconds = strtod(f[9], NULL);
    if (r->status == STATUS_FAIL)
        set_replay(r, l, strtoul(f[8], NULL, 10));
}

static const char *group_after(const char *name, enum qdot_op_kind kind)
{
    bool found = false;
    for (size_t i = 0; i < conform_group_count; i++) {
        const struct conform_group *group = &conform_groups[i];
        if (group->kind == kind && found)
            return group->name;
        found |= group->kind == kind && strcmp(group->name, name) == 0;
    }
    return NULL;
}

static void case_arguments(struct arguments *a, const struct options *o, const struct row *row,
                           const char *from)
{
    char tile[64];
    geometry_print(&row->geometry, tile, sizeof(tile));
    arguments_add(a, "qdot");
    arguments_add(a, "conform");
    arguments_add(a, "--child");
    arguments_add(a, "cases");
    arguments_add(a, "--device");
    arguments_add(a, "%s", row->device);
    arguments_add(a, "--kernel");
    arguments_add(a, "%s", row->kernel);
    arguments_add(a, "--geometry");
    arguments_add(a, "%s", tile);
    arguments_add(a, "--seed");
    arguments_add(a, "%llu", (unsigned long long)o->seed);
    const struct {
        const char *name, *value;
    } texts[] = {
        {"--group", o->group}, {"--case", o->only}, {"--fault", o->fault}, {"--from", from}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].value) {
            arguments_add(a, "%s", texts[i].name);
            arguments_add(a, "%s", texts[i].value);
        }
    if (o->cases) {
        arguments_add(a, "--cases");
        arguments_add(a, "%zu", o->cases);
    }
    if (o->threads) {
        arguments_add(a, "--threads");
        arguments_add(a, "%zu", o->threads);
    }
    if (o->small)
        arguments_add(a, "--small");
    if (o->tasks)
        arguments_add(a, "--tasks");
    if (o->all)
        arguments_add(a, "--long");
}

static void run_row(struct session *s, const struct row *row)
{
    const char *from = NULL;
    double deadline = process_now() + (double)s->options.timeout;
    struct listening l = {.session = s, .row = row, .first = s->report.count};
    for (bool more = true; more;) {
        struct arguments a = {.count = 0};
        char reason[128];
        case_arguments(&a, &s->options, row, from);
        l.running = false;
        l.group[0] = '\0';
        enum process_end end = process_run(&a, deadline, take_result, &l, reason, sizeof(reason));
        more = false;
        if (end != PROCESS_ENDED) {
            enum status status = end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH;
            const char *group = l.running ? l.group : l.group[0] ? "close" : "open";
            struct result *r = add(s, row->device, row->kernel, group, status, reason);
            if (r && l.running)
                set_replay(r, &l, l.index);
            from = l.running ? group_after(l.group, row->geometry.kind) : NULL;
            more = end == PROCESS_CRASHED && from && !s->options.only;
            if (end == PROCESS_LATE && from)
                add(s, row->device, row->kernel, "the rest", STATUS_NOT_RUN,
                    "the row's time limit was used up");
        }
        if (isatty(2))
            fprintf(stderr, "\r\033[K");
        print_new(s);
    }
    /* A row none of whose cases exist (a group it has not) must not look as if it had passed. */
    if (s->report.count == l.first)
        add(s, row->device, row->kernel, "all", STATUS_NOT_RUN, "no such case for this row");
    print_new(s);
}

/* ---- the references against each other ------------------------------------------------------- */

/* Rows of the device "reference" are tiles, since a tile decides which cases there are. */
static void run_reference(struct session *s, const struct geometry *g)
{
    struct row row = {.geometry = *g, .admitted = true};
    char tile[48];
    COPY(row.device, "reference");
    geometry_print(g, tile, sizeof(tile));
    snprintf(row.kernel, sizeof(row.kernel), "reference/%s", tile);
    run_row(s, &row);
}

static bool same_geometry(const struct geometry *a, const struct geometry *b)
{
    return a->kind == b->kind && a->depthwise == b->depthwise && a->mr == b->mr && a->nr == b->nr &&
           a->kr == b->kr;
}

/* Does --group have cases for this row? "one_shot" has none for convolutions. */
static bool has_group(const struct session *s, const struct geometry *g, const char *backend)
{
    for (size_t i = 0; i < conform_group_count; i++)
        if (conform_group_applies(&conform_groups[i], g, backend) &&
            group_selected(s->options.group, conform_groups[i].name))
            return true;
    return false;
}

static bool row_named(const struct session *s, const struct row *row)
{
    char backend[64];
    snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(row->kernel, "/"), row->kernel);
    return matches(s->options.kernel, row->kernel) && has_group(s, &row->geometry, backend);
}

static bool row_wanted(const struct session *s, const struct row *row)
{
    return row->admitted && row_named(s, row);
}

static void run_references(struct session *s)
{
    struct geometry g = {.small = s->options.small};
    const char *kernel = s->options.kernel;
    if (kernel && strncmp(kernel, "reference/", 10) == 0) {
        if (geometry_parse(kernel + 10, &g))
            run_reference(s, &g);
        return;
    }
    for (size_t i = 0; i < s->row_count; i++) {
        const struct geometry *mine = &s->rows[i].geometry;
        bool seen = !row_wanted(s, &s->rows[i]) || !has_group(s, mine, "reference");
        for (size_t j = 0; j < i && !seen; j++)
            seen = row_wanted(s, &s->rows[j]) && same_geometry(&s->rows[j].geometry, mine);
        if (!seen)
            run_reference(s, mine);
    }
}

/* ---- the whole run --------------------------------------------------------------------------- */

static void list(const struct session *s)
{
    for (size_t i = 0; i < s->device_count; i++)
        printf("device  %-10s  %s%s\n",
               s->devices[i].name[0] ? s->devices[i].name : s->devices[i].backend,
               s->devices[i].available ? "" : "not available: ",
               s->devices[i].available ? s->devices[i].description : s->devices[i].reason);
    for (size_t i = 0; i < s->row_count; i++)
        printf("row     %-10s  %-36s  %s%s\n", s->rows[i].device, s->rows[i].kernel,
               s->rows[i].admitted ? "admitted" : "refused: ", s->rows[i].reason);
    for (size_t i = 0; i < conform_group_count; i++) {
        const struct conform_group *group = &conform_groups[i];
        struct geometry example = {.kind = group->kind, .mr = 4, .nr = 16, .kr = 4};
        size_t cases = conform_count(group, &example), limit = conform_limit(group, "cpu", false);
        static const char *const kinds[] = {"gemm", "conv", "quantize"};
        printf("group   %-8s  %-10s  %s, %zu cases\n", kinds[group->kind], group->name,
               group->about, limit < cases ? limit : cases);
    }
}

/* Every pattern of --require must be the name of something that was looked at. */
static void check_required(struct session *s)
{
    for (const char *at = s->options.require; at && *at;) {
        size_t length = strcspn(at, ",");
        char pattern[64];
        snprintf(pattern, sizeof(pattern), "%.*s", (int)length, at);
        bool found = false;
        for (size_t i = 0; i < s->report.count && !found; i++)
            found = fnmatch(pattern, s->report.results[i].kernel, 0) == 0;
        if (!found)
            add(s, "-", pattern, "all", STATUS_NOT_RUN, "no device has a row of this name");
        at += length + (at[length] == ',');
    }
    print_new(s);
}

static int finish(struct session *s)
{
    size_t passed, failed, skipped;
    report_totals(&s->report, &passed, &failed, &skipped);
    int status = failed > 0 || passed == 0 || s->out_of_memory;
    if (s->out_of_memory)
        fprintf(stderr, "qdot conform: out of memory: results are missing\n");
    if (s->options.json && report_json(&s->report, s->options.json))
        status = 2;
    if (s->options.junit && report_junit(&s->report, s->options.junit))
        status = 2;
    if (passed + failed == 0)
        fprintf(stderr, "qdot conform: nothing ran\n");
    printf("%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
    return status;
}

static int run(struct session *s)
{
    const struct options *o = &s->options;
    bool references_only = o->device && strcmp(o->device, "reference") == 0;
    bool device_known = !o->device || references_only;
    find_devices(s);
    for (size_t i = 0; i < s->device_count; i++)
        device_known |= device_wanted(s, &s->devices[i]);
    if (!device_known)
        return options_usage("--device", o->device, "a device that 'qdot conform --list' shows");
    if (o->list) {
        list(s);
        return 0;
    }
    printf("qdot %s conform, seed %llu\n", qdot_version(), (unsigned long long)o->seed);
    print_new(s);
    run_references(s);
    for (size_t i = 0; i < s->row_count && !references_only; i++) {
        const struct row *row = &s->rows[i];
        if (row_wanted(s, row))
            run_row(s, row);
        else if (row_named(s, row))
            add(s, row->device, row->kernel, "all", STATUS_NOT_RUN, row->reason);
        print_new(s);
    }
    if (s->report.count == 0 && !o->require)
        return options_usage(o->kernel ? "--kernel" : "--device", o->kernel ? o->kernel : o->device,
                             "a row that 'qdot conform --list' shows, with such groups of cases");
    check_required(s);
    return finish(s);
}

int conform_main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            fputs(options_help, stdout);
            return 0;
        }
    struct options options = {.seed = 1, .timeout = 600};
    int status = options_parse(argc, argv, &options);
    if (status || options.child)
        return status ? status : child_main(&options);
    struct session *s = calloc(1, sizeof(*s));
    if (!s) {
        fprintf(stderr, "qdot conform: out of memory\n");
        return 1;
    }
    s->options = options;
    s->report.seed = options.seed;
    status = run(s);
    free(s->report.results);
    free(s);
    return status;
}
