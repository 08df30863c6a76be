/* qdot conform: the verb. Only children touch devices; this process survives all of them. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checks.h"
#include "conform.h"
#include "conform_compare.h"
#include "conform_process.h"
#include "conform_shrink.h"

enum { DEVICES_MAX = 64, ROWS_MAX = 256 };

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
    struct device *device; /* whose rows are being enumerated */
    size_t next;           /* index of the row whose enumeration began last */
    size_t printed;        /* results that have their line */
    double shrink_left;    /* seconds */
    struct known_list known;
    bool out_of_memory;
};

static enum fault fault_of(const char *name)
{
    if (!name)
        return FAULT_NONE;
    return strncmp(name, "wrong", 5) == 0     ? FAULT_WRONG
           : strncmp(name, "outside", 7) == 0 ? FAULT_OUTSIDE
           : strncmp(name, "crash", 5) == 0   ? FAULT_CRASH
           : strncmp(name, "hang", 4) == 0    ? FAULT_HANG
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
        .seconds = o->timeout,
        .seed = o->seed,
        .geometry = o->geometry,
        .given = o->problem ? &o->given : NULL,
        .fault = fault_of(o->fault),
        .fault_k =
            o->fault && strchr(o->fault, '@') ? strtoul(strchr(o->fault, '@') + 1, NULL, 10) : 0,
        .fd = CONFORM_FD,
    };
    if (strcmp(o->child, "devices") == 0)
        return conform_child_devices(CONFORM_FD);
    if (strcmp(o->child, "rows") == 0 && o->device)
        return conform_child_rows(o->device, o->kernel, o->from ? strtoul(o->from, NULL, 10) : 0,
                                  CONFORM_FD);
    if (strcmp(o->child, "checks") == 0 && o->device && o->kernel)
        return checks_child(o, CONFORM_FD);
    if (strcmp(o->child, "cases") == 0 && o->device && o->kernel && o->geometry.mr)
        return conform_child_cases(&child);
    return options_usage("--child", o->child, "nothing: it is for conform's own use");
}

/* ---- devices and rows ------------------------------------------------------------------------ */

/* What drivers say goes into reports. */
#define COPY(to, from) (snprintf(to, sizeof(to), "%s", from), text_clean(to))

static void take_device(void *context, char *line)
{
    struct session *s = context;
    char *f[9];
    if (line_split(line, f, 9) != 9 || strcmp(f[0], "device") != 0 ||
        s->device_count == DEVICES_MAX)
        return;
    struct device *d = &s->devices[s->device_count++];
    COPY(d->name, f[1]);
    COPY(d->backend, f[2]);
    d->available = f[3][0] == '1';
    COPY(d->reason, f[4]);
    COPY(d->description, f[5]);
    COPY(d->driver, f[6]);
    d->compute_units = strtoul(f[7], NULL, 10);
    d->memory_bytes = strtoull(f[8], NULL, 10);
}

static void take_row(void *context, char *line)
{
    struct session *s = context;
    char *f[5];
    size_t count = line_split(line, f, 5);
    if (count == 2 && strcmp(f[0], "begin") == 0)
        s->next = strtoul(f[1], NULL, 10);
    if (count == 2 && strcmp(f[0], "features") == 0)
        COPY(s->device->features, f[1]);
    struct geometry g = {.small = s->options.small};
    if (count != 5 || strcmp(f[0], "row") != 0 || s->row_count == ROWS_MAX ||
        !geometry_parse(f[2], &g))
        return;
    struct row *row = &s->rows[s->row_count++];
    COPY(row->device, s->device->name);
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

/* Why a failure is none, says --known; by what the device and its driver are called. */
static void look_up(const struct session *s, struct result *r)
{
    char text[300] = "";
    for (size_t i = 0; i < s->device_count; i++)
        if (strcmp(s->devices[i].name, r->device) == 0)
            snprintf(text, sizeof(text), "%s, %s", s->devices[i].description, s->devices[i].driver);
    const char *why = known_why(&s->known, text, r);
    if (why)
        COPY(r->known, why);
}

static void print_new(struct session *s)
{
    for (; s->printed < s->report.count; s->printed++) {
        struct result *r = &s->report.results[s->printed];
        if (r->status == STATUS_FAIL || r->status == STATUS_CRASH || r->status == STATUS_TIMEOUT)
            look_up(s, r);
        r->required = (r->status == STATUS_NOT_RUN || r->status == STATUS_REFUSED) &&
                      options_listed(s->options.require, r->kernel);
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
static void find_rows(struct session *s, struct device *d)
{
    s->device = d;
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
        double deadline = process_now() + (double)s->options.timeout;
        enum process_end end = process_run(&a, &deadline, take_row, s, reason, sizeof(reason));
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

/* Is there a group among those selected that rows have? Their self-tests take a while. */
static bool rows_wanted(const struct session *s)
{
    for (size_t i = 0; i < conform_group_count; i++)
        if (group_selected(s->options.group, conform_groups[i].name))
            return true;
    return false;
}

static void find_devices(struct session *s)
{
    struct arguments a = {.count = 0};
    char reason[128];
    arguments_add(&a, "qdot");
    arguments_add(&a, "conform");
    arguments_add(&a, "--child");
    arguments_add(&a, "devices");
    double deadline = process_now() + (double)s->options.timeout;
    enum process_end end = process_run(&a, &deadline, take_device, s, reason, sizeof(reason));
    if (end != PROCESS_ENDED)
        add(s, "all", "*", "devices", end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH, reason);
    for (size_t i = 0; i < s->device_count; i++) {
        struct device *d = &s->devices[i];
        d->wanted = device_wanted(s, d);
        if (!d->wanted)
            continue;
        char kernel[64];
        snprintf(kernel, sizeof(kernel), "%s/*", d->backend);
        if (d->available && rows_wanted(s))
            find_rows(s, d);
        else if (!d->available && !s->options.kernel)
            add(s, d->name[0] ? d->name : d->backend, kernel, "all",
                s->options.device ? STATUS_NOT_RUN : STATUS_REFUSED, d->reason);
    }
}

/* ---- running rows ---------------------------------------------------------------------------- */

struct listening {
    struct session *session;
    const struct row *row;
    char group[24]; /* of the case that began last, until its group's result came */
    size_t index;
    bool running;
    double deadline; /* of the case, while one is running */
    size_t first;    /* of this row's results in the report */
};

/* What failed first, and a command that runs this one case again. */
static void set_replay(struct result *r, const struct listening *l, size_t index)
{
    snprintf(r->first_case, sizeof(r->first_case), "%s:%zu", r->group, index);
    replay_case(r, &l->session->options);
}

static void progress(const struct listening *l)
{
    if (isatty(2))
        fprintf(stderr, "\r\033[K%s %s:%zu", l->row->kernel, l->group, l->index);
}

static size_t case_limit(const struct options *o)
{
    return o->case_timeout < o->timeout ? o->case_timeout : o->timeout;
}

static void take_result(void *context, char *line)
{
    struct listening *l = context;
    char *f[10];
    size_t count = line_split(line, f, 10);
    l->deadline = process_now() + (double)case_limit(&l->session->options);
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
    status_named(f[3], &r->status);
    r->cases = strtoul(f[2], NULL, 10);
    COPY(r->index, f[5]);
    COPY(r->got, f[6]);
    COPY(r->expected, f[7]);
    r->seconds = strtod(f[9], NULL);
    if (r->status == STATUS_FAIL)
        set_replay(r, l, strtoul(f[8], NULL, 10));
}

static bool group_of_row(const char *name, const struct row *row, const char *backend)
{
    for (size_t i = 0; i < conform_group_count; i++)
        if (strcmp(conform_groups[i].name, name) == 0 &&
            conform_group_applies(&conform_groups[i], &row->geometry, backend))
            return true;
    return false;
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

static bool references_only(const struct options *o)
{
    return o->device && strcmp(o->device, "reference") == 0;
}

static void case_arguments(struct arguments *a, const struct options *o, const struct row *row,
                           const char *from, size_t seconds)
{
    char tile[64];
    bool faulty = references_only(o) || strcmp(row->device, "reference") != 0;
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
    arguments_add(a, "--timeout");
    arguments_add(a, "%zu", seconds);
    const struct {
        const char *name, *value;
    } texts[] = {{"--group", o->group},
                 {"--case", o->only},
                 {"--problem", o->problem},
                 {"--fault", faulty ? o->fault : NULL},
                 {"--from", from}};
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

/* The groups of a row that its time did not reach. */
static void add_unreached(struct session *s, const struct row *row, const char *group)
{
    char backend[16];
    snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(row->device, ":"), row->device);
    for (; group; group = group_after(group, row->geometry.kind))
        if (group_selected(s->options.group, group) && group_of_row(group, row, backend))
            add(s, row->device, row->kernel, group, STATUS_NOT_RUN, CONFORM_NO_TIME);
}

/* A child that did not end as it should: what it is called, and the group to go on with. */
static const char *take_end(struct listening *l, enum process_end end, char *reason, size_t bytes)
{
    struct session *s = l->session;
    const char *group = l->running ? l->group : l->group[0] ? "close" : "open";
    if (end == PROCESS_LATE && l->running)
        snprintf(reason, bytes, "not finished after %zu s", case_limit(&s->options));
    struct result *r = add(s, l->row->device, l->row->kernel, group,
                           end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH, reason);
    if (r && l->running)
        set_replay(r, l, l->index);
    return l->running && !s->options.only ? group_after(l->group, l->row->geometry.kind) : NULL;
}

/* The first case of a group that failed, as it is made. */
static bool first_case(const struct session *s, const struct row *row, const struct result *r,
                       struct conform_case *c)
{
    if (s->options.problem) {
        *c = s->options.given;
        return true;
    }
    size_t index = strtoul(r->first_case + strcspn(r->first_case, ":") + 1, NULL, 10);
    for (size_t i = 0; i < conform_group_count; i++)
        if (conform_groups[i].kind == row->geometry.kind &&
            strcmp(conform_groups[i].name, r->group) == 0)
            return conform_make(&conform_groups[i], &row->geometry, s->options.seed, index, c);
    return false;
}

/* The groups of a row have --shrink seconds together, and all rows ten times that. Returns how many
 * it took, which are not of the row's time limit. */
static double shrink_new(struct session *s, const struct row *row, double *row_left)
{
    const double begin = process_now();
    for (size_t i = s->printed; i < s->report.count; i++) {
        struct result *r = &s->report.results[i];
        double left = *row_left < s->shrink_left ? *row_left : s->shrink_left;
        struct conform_case c;
        if (!r->first_case[0] || left < 1 || !first_case(s, row, r, &c))
            continue;
        if (isatty(2))
            fprintf(stderr, "\r\033[K%s %s: looking for the smallest case", row->kernel,
                    r->first_case);
        shrink(&s->options, &c, left, r);
        *row_left -= r->smallest.seconds;
        s->shrink_left -= r->smallest.seconds;
    }
    return process_now() - begin;
}

static void run_row(struct session *s, const struct row *row)
{
    const char *from = NULL;
    double shrink_left = (double)s->options.shrink;
    double begin = process_now(), limit = (double)s->options.timeout;
    struct listening l = {.session = s, .row = row, .first = s->report.count};
    do {
        struct arguments a = {.count = 0};
        char reason[128];
        double left = begin + limit - process_now();
        if (left < 0) {
            add_unreached(s, row, from);
            break;
        }
        case_arguments(&a, &s->options, row, from, (size_t)left + 1);
        l.running = false;
        l.group[0] = '\0';
        l.deadline = begin + limit;
        enum process_end end =
            process_run(&a, &l.deadline, take_result, &l, reason, sizeof(reason));
        from = end == PROCESS_ENDED ? NULL : take_end(&l, end, reason, sizeof(reason));
        begin += shrink_new(s, row, &shrink_left);
        if (isatty(2))
            fprintf(stderr, "\r\033[K");
        print_new(s);
    } while (from);
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

/* Does --group have cases for this row, or --problem one? "one_shot" has none for convolutions. */
static bool has_group(const struct session *s, const struct geometry *g, const char *backend)
{
    if (s->options.problem && s->options.given.kind != g->kind)
        return false;
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

/* ---- devices as a whole ---------------------------------------------------------------------- */

static void run_checks(struct session *s)
{
    for (size_t i = 0; i < s->device_count; i++) {
        const struct device *d = &s->devices[i];
        if (d->available && d->wanted && !checks_run(&s->options, d->name, &s->report))
            s->out_of_memory = true;
        print_new(s);
    }
}

/* ---- the whole run --------------------------------------------------------------------------- */

static void list_device(const struct device *d)
{
    printf("device  %-10s  ", d->name[0] ? d->name : d->backend);
    if (d->available)
        printf("%s, %s\n", d->description, d->driver);
    else
        printf("not available: %s\n", d->reason);
}

static void list(const struct session *s)
{
    for (size_t i = 0; i < s->device_count; i++)
        list_device(&s->devices[i]);
    for (size_t i = 0; i < s->row_count; i++)
        printf("row     %-10s  %-36s  %s%s\n", s->rows[i].device, s->rows[i].kernel,
               s->rows[i].admitted ? "admitted" : "refused: ", s->rows[i].reason);
    for (size_t i = 0; i < conform_group_count; i++) {
        const struct conform_group *group = &conform_groups[i];
        struct geometry example = {.kind = group->kind, .mr = 4, .nr = 16, .kr = 4};
        size_t cases = conform_count(group, &example), limit = conform_limit(group, "cpu", false);
        if (!group_selected(s->options.group, group->name))
            continue;
        static const char *const kinds[] = {"gemm", "conv", "quantize"};
        printf("group   %-8s  %-10s  %s; %zu cases%s\n", kinds[group->kind], group->name,
               group->about, limit < cases ? limit : cases,
               group->cpu_only ? ", CPU rows only"
               : group->wraps  ? ", CPU and OpenCL rows only"
               : group->gpu    ? ", fewer on a GPU"
                               : "");
    }
    checks_list(&s->options);
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
    const struct totals totals = report_totals(&s->report, NULL);
    int status = totals_verdict(&totals);
    if (s->out_of_memory) {
        fprintf(stderr, "qdot conform: out of memory: results are missing\n");
        status = ALL_FAIL;
    }
    s->report.device_count = s->device_count;
    if (s->options.json && report_json(&s->report, s->options.json))
        status = 2;
    if (s->options.junit && report_junit(&s->report, s->options.junit))
        status = 2;
    if (s->options.html && report_html(&s->report, s->options.html))
        status = 2;
    if (totals.passed + totals.failed == 0)
        fprintf(stderr, "qdot conform: nothing ran\n");
    printf("%s: %zu cases; groups of them: %zu passed, %zu failed, %zu refused, %zu not run",
           verdict_name(totals_verdict(&totals)), totals.cases, totals.passed, totals.failed,
           totals.refused, totals.not_run);
    if (totals.known)
        printf(", %zu known to fail", totals.known);
    printf("\n");
    printf("%zu passed, %zu failed, %zu skipped\n", totals.passed, totals.failed,
           totals.refused + totals.not_run + totals.known);
    return status;
}

static int run(struct session *s)
{
    const struct options *o = &s->options;
    bool device_known = !o->device || references_only(o);
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
    if (!references_only(o) && !o->problem)
        run_checks(s);
    run_references(s);
    for (size_t i = 0; i < s->row_count && !references_only(o); i++) {
        const struct row *row = &s->rows[i];
        if (row_wanted(s, row))
            run_row(s, row);
        else if (row_named(s, row))
            add(s, row->device, row->kernel, "all", STATUS_REFUSED, row->reason);
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
    struct options options = {.seed = 1, .timeout = 600, .case_timeout = 120, .shrink = 30};
    int status = options_parse(argc, argv, &options);
    if (status == 0 && options.compare[0])
        return compare_main(options.compare[0], options.compare[1], options.json);
    if (status || options.child)
        return status ? status : child_main(&options);
    struct session *s = calloc(1, sizeof(*s));
    if (!s) {
        fprintf(stderr, "qdot conform: out of memory\n");
        return 1;
    }
    s->options = options;
    s->report.seed = options.seed;
    s->shrink_left = 10 * (double)options.shrink;
    s->report.devices = s->devices;
    s->report.partial = options.kernel || options.group || options.only || options.problem ||
                        options.cases || options.small;
    report_began(&s->report, argc, argv);
    if (options.known)
        status = known_read(options.known, &s->known);
    if (status == 0)
        status = run(s);
    free(s->known.all);
    free(s->report.results);
    free(s);
    return status;
}
