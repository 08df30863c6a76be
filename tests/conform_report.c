#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "conform.h"

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

const char *status_name(enum status status)
{
    static const char *const names[] = {"pass", "fail", "crash", "timeout", "not_run"};
    return names[status];
}

bool result_failed(const struct result *r)
{
    return r->status == STATUS_NOT_RUN ? r->required : r->status != STATUS_PASS;
}

void report_line(const struct result *r)
{
    printf("%-7s  %-9s  %-34s  %-9s  %5zu cases  %6.2f s", status_name(r->status), r->device,
           r->kernel, r->group, r->cases, r->seconds);
    if (r->reason[0])
        printf("  %s%s", r->required ? "required, but " : "", r->reason);
    if (r->index[0])
        printf(" at %s: got %s, expected %s", r->index, r->got, r->expected);
    if (r->replay[0])
        printf("; replay: %s", r->replay);
    printf("\n");
    fflush(stdout);
}

void report_totals(const struct report *report, size_t *passed, size_t *failed, size_t *skipped)
{
    *passed = *failed = *skipped = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        if (result_failed(r))
            ++*failed;
        else if (r->status == STATUS_NOT_RUN)
            ++*skipped;
        else
            ++*passed;
    }
}

/* Written aside and renamed: whoever reads the file sees all of it or none. */
static int write_file(const char *path, const char *text)
{
    size_t bytes = strlen(path) + 32;
    char *aside = malloc(bytes);
    if (!aside) {
        fprintf(stderr, "qdot conform: out of memory\n");
        return -1;
    }
    snprintf(aside, bytes, "%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(aside, "w");
    int failed = !file || fputs(text, file) < 0;
    if (file)
        failed |= fclose(file) != 0;
    failed = failed || rename(aside, path) != 0;
    if (failed) {
        fprintf(stderr, "qdot conform: cannot write '%s': %s\n", path, strerror(errno));
        unlink(aside);
    }
    free(aside);
    return failed ? -1 : 0;
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
    if (r->index[0]) {
        cJSON *first = cJSON_AddObjectToObject(entry, "mismatch");
        cJSON_AddStringToObject(first, "index", r->index);
        cJSON_AddStringToObject(first, "got", r->got);
        cJSON_AddStringToObject(first, "expected", r->expected);
    }
    if (r->replay[0]) {
        char text[24]; /* a string: 64 bits do not fit in a JSON number */
        snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
        cJSON_AddStringToObject(entry, "seed", text);
        cJSON_AddStringToObject(entry, "replay", r->replay);
    }
    return entry;
}

int report_json(const struct report *report, const char *path)
{
    size_t passed, failed, skipped;
    report_totals(report, &passed, &failed, &skipped);
    cJSON *root = cJSON_CreateObject();
    cJSON *context = cJSON_AddObjectToObject(root, "context");
    char seed[24];
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)report->seed);
    cJSON_AddStringToObject(context, "qdot", qdot_version());
    cJSON_AddStringToObject(context, "seed", seed);
    cJSON_AddNumberToObject(context, "passed", (double)passed);
    cJSON_AddNumberToObject(context, "failed", (double)failed);
    cJSON_AddNumberToObject(context, "skipped", (double)skipped);
    cJSON *results = cJSON_AddArrayToObject(root, "results");
    for (size_t i = 0; i < report->count; i++)
        cJSON_AddItemToArray(results, result_json(&report->results[i], report->seed));
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) {
        fprintf(stderr, "qdot conform: out of memory for '%s'\n", path);
        return -1;
    }
    int failure = write_file(path, text);
    cJSON_free(text);
    return failure;
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
    put_xml(file, r->replay);
    fprintf(file, "</%s>\n  </testcase>\n", kind);
}

int report_junit(const struct report *report, const char *path)
{
    char *text = NULL;
    size_t bytes = 0, passed, failed, skipped;
    FILE *file = open_memstream(&text, &bytes);
    if (!file) {
        fprintf(stderr, "qdot conform: out of memory for '%s'\n", path);
        return -1;
    }
    report_totals(report, &passed, &failed, &skipped);
    fprintf(file,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"qdot conform\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n",
            report->count, failed, skipped);
    for (size_t i = 0; i < report->count; i++)
        put_case(file, &report->results[i]);
    fputs("</testsuite>\n", file);
    int failure = fclose(file) != 0 || write_file(path, text);
    free(text);
    return failure ? -1 : 0;
}
