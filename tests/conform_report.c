#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cjson/cJSON.h>
#include "conform.h"
#include "save.h"

struct result *report_add(struct report *report)
{
    if (report->count == report->capacity) {
        size_t capacity = report->capacity ? 2 * report->capacity : 64;
        struct result *grown = realloc(report->results, capacity * sizeof(*grown));
        if (!grown)
            return NULL;
        report->results = grown;
        report->capacity = capacity;
    }
    struct result *result = &report->results[report->count++];
    *result = (struct result){.status = STATUS_NOT_RUN};
    return result;
}

/* Bytes of the UTF-8 character that begins here, 0: none does. */
static size_t character(const unsigned char *c)
{
    size_t bytes = c[0] < 0x80                   ? 1
                   : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                   : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                   : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                 : 0;
    for (size_t i = 1; i < bytes; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, halves of surrogates, what is past the last plane */
    bool bad = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) ||
               (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] >= 0x90);
    return bad ? 0 : bytes;
}

void text_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c;) {
        size_t bytes = character(c);
        if (bytes == 0 || *c < 32 || *c == 127) {
            *c = bytes ? ' ' : '?';
            bytes = 1;
        }
        c += bytes;
    }
}

const char *status_name(enum status status)
{
    static const char *const names[STATUSES] = {"pass",    "fail",    "crash",
                                                "timeout", "refused", "not_run"};
    return names[status];
}

bool status_named(const char *name, enum status *status)
{
    for (size_t i = 0; i < STATUSES; i++)
        if (strcmp(status_name((enum status)i), name) == 0) {
            *status = (enum status)i;
            return true;
        }
    return false;
}

const char *verdict_name(enum outcome_of_all verdict)
{
    return verdict == ALL_PASS ? "pass" : verdict == ALL_FAIL ? "fail" : "incomplete";
}

bool result_failed(const struct result *r)
{
    bool idle = r->status == STATUS_NOT_RUN || r->status == STATUS_REFUSED;
    return idle ? r->required : r->status != STATUS_PASS && !r->known[0];
}

/* What any case of this run needs besides, to run again. */
static void print_way(FILE *file, const struct options *o)
{
    fprintf(file, "%s", o->tasks ? " --tasks" : "");
    if (o->threads)
        fprintf(file, " --threads %zu", o->threads);
}

void replay_case(struct result *r, const struct options *o)
{
    if (o->problem) {
        replay_problem(&r->replay, o, r, o->problem, o->seed);
        return;
    }
    FILE *file = fmemopen(r->replay, sizeof(r->replay), "w");
    if (!file)
        return;
    fprintf(file, "qdot conform --device %s --kernel '%s' --case %s --seed %llu%s", r->device,
            r->kernel, r->first_case, (unsigned long long)o->seed, o->small ? " --small" : "");
    print_way(file, o);
    fclose(file);
}

void replay_problem(char (*text)[REPLAY_TEXT], const struct options *o, const struct result *r,
                    const char *problem, uint64_t seed)
{
    FILE *file = fmemopen(*text, sizeof(*text), "w");
    if (!file)
        return;
    fprintf(file, "qdot conform --device %s --kernel '%s' --problem '%s' --seed %llu", r->device,
            r->kernel, problem, (unsigned long long)seed);
    print_way(file, o);
    fclose(file);
}

static void print_mismatch(const char *index, const char *got, const char *expected)
{
    if (*index)
        printf(" at %s: got %s, expected %s", index, got, expected);
}

static void print_smallest(const struct shrunk *s)
{
    if (!s->problem[0])
        return;
    if (!s->again) {
        printf("         %s: %s\n", s->reason, s->problem);
        return;
    }
    printf("         smallest%s: %s: %s", s->complete ? "" : " found in the time", s->problem,
           s->reason);
    print_mismatch(s->index, s->got, s->expected);
    printf(" (%zu tries, %.1f s)\n         replay: %s\n", s->tries, s->seconds, s->replay);
}

void report_line(const struct result *r)
{
    printf("%-7s  %-9s  %-34s  %-9s  %5zu cases  %6.2f s", status_name(r->status), r->device,
           r->kernel, r->group, r->cases, r->seconds);
    if (r->known[0])
        printf("  known: %s;", r->known);
    if (r->reason[0])
        printf("  %s%s", r->required ? "required, but " : "", r->reason);
    print_mismatch(r->index, r->got, r->expected);
    if (r->replay[0])
        printf("; replay: %s", r->replay);
    printf("\n");
    print_smallest(&r->smallest);
    fflush(stdout);
}

struct totals report_totals(const struct report *report, const char *device)
{
    struct totals totals = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        if (device && strcmp(device, r->device) != 0)
            continue;
        if (result_failed(r))
            totals.failed++;
        else if (r->known[0])
            totals.known++;
        else if (r->status == STATUS_REFUSED)
            totals.refused++;
        else if (r->status == STATUS_NOT_RUN)
            totals.not_run++;
        else
            totals.passed++;
        if (r->status == STATUS_PASS || r->status == STATUS_FAIL)
            totals.cases += r->cases;
    }
    return totals;
}

/* A refusal is a device's right; that nothing ran, or what should have run did not, is no pass. */
enum outcome_of_all totals_verdict(const struct totals *t)
{
    if (t->failed)
        return ALL_FAIL;
    return t->not_run || !t->passed ? ALL_INCOMPLETE : ALL_PASS;
}

/* As a shell reads it. */
static void put_argument(FILE *file, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:,=+%@";
    if (*text && text[strspn(text, plain)] == '\0') {
        fprintf(file, " %s", text);
        return;
    }
    fputs(" '", file);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", file);
        else
            fputc((unsigned char)*text < 32 ? ' ' : *text, file);
    fputc('\'', file);
}

/* Whoever reads a report wants to know when, and how to have it again. */
void report_began(struct report *report, int argc, char **argv)
{
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(report->date, sizeof(report->date), "%Y-%m-%dT%H:%M:%SZ", &utc);
    FILE *file = fmemopen(report->command, sizeof(report->command) - 1, "w");
    if (!file)
        return;
    fputs("qdot conform", file);
    for (int i = 1; i < argc; i++)
        put_argument(file, argv[i]);
    fclose(file);
}

int report_write(const char *option, const char *path, const char *text)
{
    struct save save;
    bool good = save_bytes(&save, "conform", option, path, text, strlen(text), NULL, 0) &&
                save_commit(&save, "conform", option);
    save_discard(&save);
    return good ? 0 : -1;
}

int report_write_json(cJSON *root, const char *path)
{
    struct save save;
    bool good = save_json(&save, "conform", "--json", path, root) &&
                save_commit(&save, "conform", "--json");
    save_discard(&save);
    return good ? 0 : -1;
}

static cJSON *device_json(const struct device *d)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "name", d->name);
    cJSON_AddStringToObject(entry, "backend", d->backend);
    cJSON_AddBoolToObject(entry, "available", d->available);
    if (d->available) {
        cJSON_AddStringToObject(entry, "description", d->description);
        cJSON_AddStringToObject(entry, "driver", d->driver);
        cJSON_AddStringToObject(entry, "features", d->features);
        cJSON_AddNumberToObject(entry, "compute_units", (double)d->compute_units);
        cJSON_AddNumberToObject(entry, "memory_bytes", (double)d->memory_bytes);
    } else {
        cJSON_AddStringToObject(entry, "reason", d->reason);
    }
    return entry;
}

static void add_mismatch(cJSON *entry, const char *index, const char *got, const char *expected)
{
    if (!*index)
        return;
    cJSON *first = cJSON_AddObjectToObject(entry, "mismatch");
    cJSON_AddStringToObject(first, "index", index);
    cJSON_AddStringToObject(first, "got", got);
    cJSON_AddStringToObject(first, "expected", expected);
}

static cJSON *smallest_json(const struct shrunk *s)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "problem", s->problem);
    cJSON_AddBoolToObject(entry, "again", s->again);
    cJSON_AddBoolToObject(entry, "complete", s->complete);
    cJSON_AddNumberToObject(entry, "tries", (double)s->tries);
    cJSON_AddStringToObject(entry, "reason", s->reason);
    add_mismatch(entry, s->index, s->got, s->expected);
    if (s->replay[0])
        cJSON_AddStringToObject(entry, "replay", s->replay);
    return entry;
}

static cJSON *result_json(const struct result *r, uint64_t seed)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "device", r->device);
    cJSON_AddStringToObject(entry, "kernel", r->kernel);
    cJSON_AddStringToObject(entry, "group", r->group);
    cJSON_AddNumberToObject(entry, "cases", (double)r->cases);
    cJSON_AddStringToObject(entry, "status", status_name(r->status));
    cJSON_AddBoolToObject(entry, "required", r->required);
    cJSON_AddStringToObject(entry, "reason", r->reason);
    cJSON_AddNumberToObject(entry, "seconds", r->seconds);
    if (r->known[0])
        cJSON_AddStringToObject(entry, "known", r->known);
    add_mismatch(entry, r->index, r->got, r->expected);
    if (r->first_case[0])
        cJSON_AddStringToObject(entry, "case", r->first_case);
    if (r->replay[0]) {
        char text[24]; /* a string: 64 bits do not fit in a JSON number */
        snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
        cJSON_AddStringToObject(entry, "seed", text);
        cJSON_AddStringToObject(entry, "replay", r->replay);
    }
    if (r->smallest.problem[0])
        cJSON_AddItemToObject(entry, "smallest", smallest_json(&r->smallest));
    return entry;
}

int report_json(const struct report *report, const char *path)
{
    const struct totals totals = report_totals(report, NULL);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "schema", CONFORM_SCHEMA);
    cJSON *context = cJSON_AddObjectToObject(root, "context");
    char seed[24];
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)report->seed);
    cJSON_AddStringToObject(context, "qdot", qdot_version());
    cJSON_AddStringToObject(context, "seed", seed);
    cJSON_AddStringToObject(context, "date", report->date);
    cJSON_AddStringToObject(context, "command", report->command);
    cJSON_AddBoolToObject(context, "partial", report->partial);
    cJSON_AddStringToObject(context, "verdict", verdict_name(totals_verdict(&totals)));
    cJSON_AddNumberToObject(context, "cases", (double)totals.cases);
    cJSON_AddNumberToObject(context, "passed", (double)totals.passed);
    cJSON_AddNumberToObject(context, "failed", (double)totals.failed);
    cJSON_AddNumberToObject(context, "refused", (double)totals.refused);
    cJSON_AddNumberToObject(context, "not_run", (double)totals.not_run);
    cJSON *devices = cJSON_AddArrayToObject(root, "devices");
    for (size_t i = 0; i < report->device_count; i++)
        if (report->devices[i].wanted)
            cJSON_AddItemToArray(devices, device_json(&report->devices[i]));
    cJSON *results = cJSON_AddArrayToObject(root, "results");
    for (size_t i = 0; i < report->count; i++)
        cJSON_AddItemToArray(results, result_json(&report->results[i], report->seed));
    return report_write_json(root, path);
}

static void put_xml(FILE *file, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        case '"':
            fputs("&quot;", file);
            break;
        default: /* XML 1.0 has no control characters */
            fputc((unsigned char)*text < 32 ? ' ' : *text, file);
        }
    }
}

static void put_attribute(FILE *file, const char *name, const char *value)
{
    fprintf(file, " %s=\"", name);
    put_xml(file, value);
    fputs("\"", file);
}

static void put_case(FILE *file, const struct result *r)
{
    fputs("  <testcase", file);
    char name[96];
    snprintf(name, sizeof(name), "%s %s", r->device, r->kernel);
    put_attribute(file, "classname", name);
    put_attribute(file, "name", r->group);
    fprintf(file, " time=\"%.3f\"", r->seconds);
    if (r->status == STATUS_PASS) {
        fputs("/>\n", file);
        return;
    }
    const char *kind = result_failed(r) ? "failure" : "skipped";
    fprintf(file, ">\n    <%s", kind);
    put_attribute(file, "message", r->reason);
    fputs(">", file);
    if (r->index[0]) {
        fputs("at ", file);
        put_xml(file, r->index);
        fputs(": got ", file);
        put_xml(file, r->got);
        fputs(", expected ", file);
        put_xml(file, r->expected);
        fputs("; ", file);
    }
    put_xml(file, r->smallest.replay[0] ? r->smallest.replay : r->replay);
    fprintf(file, "</%s>\n  </testcase>\n", kind);
}

int report_junit(const struct report *report, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    if (!file) {
        fprintf(stderr, "qdot conform: out of memory for '%s'\n", path);
        return -1;
    }
    const struct totals totals = report_totals(report, NULL);
    fprintf(file,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"qdot conform\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n",
            report->count, totals.failed, totals.refused + totals.not_run);
    for (size_t i = 0; i < report->count; i++)
        put_case(file, &report->results[i]);
    fputs("</testsuite>\n", file);
    int failure = fclose(file) != 0 || report_write("--junit", path, text);
    free(text);
    return failure ? -1 : 0;
}
