/* The results as one page for people, that needs nothing besides and works from a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"

enum { GROUPS_MAX = 64 };

/* ---- text ------------------------------------------------------------------------------------ */

static void put(FILE *file, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<'    ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '&'  ? "&amp;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        if (entity)
            fputs(entity, file);
        else
            fputc(*text, file);
    }
}

/* <tag>text</tag>, the tag with attributes or without. */
static void put_in(FILE *file, const char *tag, const char *text)
{
    fprintf(file, "<%s>", tag);
    put(file, text);
    fprintf(file, "</%.*s>\n", (int)strcspn(tag, " "), tag);
}

/* 12345 as 12,345 */
static void put_number(FILE *file, size_t number)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%zu", number);
    for (int i = 0; i < length; i++)
        fprintf(file, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", text[i]);
}

static void put_count(FILE *file, size_t number, const char *one)
{
    put_number(file, number);
    fprintf(file, " %s%s", one, number == 1 ? "" : "s");
}

static const struct {
    const char *symbol, *meaning;
} marks[STATUSES] = {
    [STATUS_PASS] = {"✓", "pass: every case has the reference's bits"},
    [STATUS_FAIL] = {"✗", "fail: wrong bits, or a call that failed"},
    [STATUS_CRASH] = {"‼", "crash: the process ended"},
    [STATUS_TIMEOUT] = {"∞", "timeout: a case did not end"},
    [STATUS_REFUSED] = {"–", "refused: not offered on this device, or not fit for it"},
    [STATUS_NOT_RUN] = {"?", "not run, though it should have been"},
};

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--page:#fff;--soft:#f3f4f6;--line:#c9ced6;"
    "--pass:#cdeed6;--fail:#ffb3ad;--crash:#ff9d6f;--timeout:#f5c46b;--refused:#e4e6ea;"
    "--not_run:#fff0a8}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--page:#15181c;--soft:#21262d;"
    "--line:#3d444d;--pass:#1d4a2b;--fail:#8c1d18;--crash:#8a3c10;--timeout:#6d4c06;"
    "--refused:#2d333b;--not_run:#5a5010}}\n"
    "body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--page);"
    "margin:2em auto;padding:0 1em;max-width:75em}\n"
    "h1{font-size:1.6em}h2{font-size:1.3em;margin-top:2em;border-top:1px solid var(--line);"
    "padding-top:1em}h3{font-size:1.05em}\n"
    "code{font:0.9em ui-monospace,monospace;overflow-wrap:anywhere}\n"
    "pre{background:var(--soft);padding:.6em;overflow-x:auto;white-space:pre-wrap}\n"
    ".verdict{font-size:1.15em;font-weight:600;padding:.6em .8em;border:1px solid var(--line)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;margin:.6em 0}\n"
    "th,td{border:1px solid var(--line);padding:.2em .5em;text-align:left;vertical-align:top}\n"
    ".matrix td{text-align:center;min-width:1.4em}.matrix thead th{vertical-align:bottom}\n"
    ".matrix thead span{writing-mode:vertical-rl;transform:rotate(180deg)}\n"
    ".pass{background:var(--pass)}.fail{background:var(--fail);font-weight:700}"
    ".crash{background:var(--crash);font-weight:700}"
    ".timeout{background:var(--timeout);font-weight:700}.refused{background:var(--refused)}"
    ".not_run,.incomplete{background:var(--not_run)}\n"
    ".number td+td{text-align:right}article{border-left:4px solid var(--fail);padding-left:1em;"
    "margin:1em 0}dt{font-weight:600}dd{margin:0 0 .4em 1em}\n"
    "@media print{body{margin:0;max-width:none;font-size:10px}td,th,p,.verdict{"
    "print-color-adjust:exact;-webkit-print-color-adjust:exact}article,tr{break-inside:avoid}"
    ".wide{overflow:visible}}\n";

/* ---- one device ------------------------------------------------------------------------------ */

static bool of_device(const struct result *r, const char *device)
{
    return strcmp(r->device, device) == 0;
}

static bool ran(const struct result *r)
{
    return r->status != STATUS_REFUSED && r->status != STATUS_NOT_RUN;
}

/* Is this the first result of its device and kernel that 'which' is true of? */
static bool first_of_row(const struct report *report, size_t index,
                         bool (*which)(const struct result *r))
{
    const struct result *r = &report->results[index];
    if (!which(r))
        return false;
    for (size_t i = 0; i < index; i++) {
        const struct result *other = &report->results[i];
        if (of_device(other, r->device) && strcmp(other->kernel, r->kernel) == 0 && which(other))
            return false;
    }
    return true;
}

static size_t count_rows(const struct report *report, const char *device,
                         bool (*which)(const struct result *r))
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += of_device(&report->results[i], device) && first_of_row(report, i, which);
    return count;
}

static bool is_wrong(const struct result *r)
{
    return r->status == STATUS_FAIL;
}

/* Offered by the driver, and wrong: the library found that out, and does not use it. */
static bool is_kept_out(const struct result *r)
{
    return r->status == STATUS_REFUSED && strncmp(r->reason, "self-test: ", 11) == 0;
}

static bool is_not_offered(const struct result *r)
{
    return r->status == STATUS_REFUSED && !is_kept_out(r);
}

static bool is_not_run(const struct result *r)
{
    return r->status == STATUS_NOT_RUN;
}

static bool is_broken(const struct result *r)
{
    return r->status == STATUS_CRASH || r->status == STATUS_TIMEOUT;
}

/* The sentence that a manager reads. */
static void put_verdict(FILE *file, const struct report *report, const char *device)
{
    const struct totals totals = report_totals(report, device);
    const enum outcome_of_all verdict = totals_verdict(&totals);
    const size_t rows = count_rows(report, device, ran);
    const size_t wrong = count_rows(report, device, is_wrong);
    const size_t broken = count_rows(report, device, is_broken);
    const size_t kept_out = count_rows(report, device, is_kept_out);
    fprintf(file, "<p class=\"verdict %s\">", verdict_name(verdict));
    if (verdict == ALL_PASS) {
        fprintf(file, "✓ int8 is right on this device%s: ",
                report->partial ? ", in the part of the checks that was asked for" : "");
        put_count(file, rows, "row");
        fputs(", ", file);
        put_count(file, totals.cases, "case");
        fputs(", 0 wrong.", file);
    } else if (wrong > 0) {
        fputs("✗ WRONG results on this device: ", file);
        fprintf(file, "%zu of %zu rows", wrong, rows);
        if (broken > 0)
            fprintf(file, "; %zu crash or hang", broken);
        fputs(".", file);
    } else if (broken > 0) {
        fprintf(file, "✗ int8 is not safe on this device: %zu of %zu rows crash or hang.", broken,
                rows);
    } else if (verdict == ALL_FAIL) {
        fputs("✗ What was required of this device did not run.", file);
    } else if (totals.passed == 0) {
        fputs("? Nothing ran on this device, so nothing is known about it.", file);
    } else {
        fputs("? Incomplete: nothing was wrong in ", file);
        put_count(file, totals.cases, "case");
        fputs(", but something that should have run did not.", file);
    }
    if (kept_out > 0)
        fprintf(file,
                " Beside these %zu that the driver offers failed the library's own test, and %s "
                "never used.",
                kept_out, kept_out == 1 ? "is" : "are");
    fputs("</p>\n", file);
}

static void put_identity(FILE *file, const struct device *d)
{
    fputs("<table><tbody>\n", file);
    const struct {
        const char *name, *value;
    } facts[] = {{"device", d->description},
                 {"driver", d->driver},
                 {"features that rows need", d->features[0] ? d->features : "none"}};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        fprintf(file, "<tr><th>%s</th>", facts[i].name);
        put_in(file, "td", facts[i].value);
        fputs("</tr>\n", file);
    }
    if (d->compute_units)
        fprintf(file, "<tr><th>compute units</th><td>%zu</td></tr>\n", d->compute_units);
    if (d->memory_bytes)
        fprintf(file, "<tr><th>memory</th><td>%.1f GiB</td></tr>\n",
                (double)d->memory_bytes / (1 << 30));
    fputs("</tbody></table>\n", file);
}

static void put_counts(FILE *file, const struct report *report, const char *device)
{
    size_t counts[STATUSES] = {0};
    for (size_t i = 0; i < report->count; i++)
        if (of_device(&report->results[i], device))
            counts[report->results[i].status]++;
    fputs("<p>Groups of cases:", file);
    for (size_t i = 0; i < STATUSES; i++)
        if (counts[i])
            fprintf(file, " <span class=\"%s\">%s %zu %s</span>", status_name((enum status)i),
                    marks[i].symbol, counts[i], status_name((enum status)i));
    fputs("</p>\n", file);
}

/* ---- rows x groups --------------------------------------------------------------------------- */

/* Groups of this device's rows, in the order in which they ran; a row that was refused has none. */
static size_t list_groups(const struct report *report, const char *device,
                          const char *groups[GROUPS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        bool known = !of_device(r, device) || strcmp(r->group, "all") == 0;
        for (size_t j = 0; j < count && !known; j++)
            known = strcmp(groups[j], r->group) == 0;
        if (!known && count < GROUPS_MAX)
            groups[count++] = r->group;
    }
    return count;
}

static bool has_group(const struct result *r)
{
    return strcmp(r->group, "all") != 0;
}

/* Of a group that some cases passed and others were refused: what matters more. */
static const struct result *worst(const struct report *report, const struct result *row,
                                  const char *group)
{
    static const int weight[STATUSES] = {
        [STATUS_PASS] = 2,    [STATUS_FAIL] = 5,    [STATUS_CRASH] = 6,
        [STATUS_TIMEOUT] = 4, [STATUS_REFUSED] = 1, [STATUS_NOT_RUN] = 3};
    const struct result *found = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        if (of_device(r, row->device) && strcmp(r->kernel, row->kernel) == 0 &&
            strcmp(r->group, group) == 0 && (!found || weight[r->status] > weight[found->status]))
            found = r;
    }
    return found;
}

static void put_cell(FILE *file, const struct result *r)
{
    if (!r) {
        fputs("<td></td>", file);
        return;
    }
    fprintf(file, "<td class=\"%s\" title=\"%s %s: %zu cases", status_name(r->status),
            status_name(r->status), r->group, r->cases);
    if (r->reason[0]) {
        fputs("; ", file);
        put(file, r->reason);
    }
    fprintf(file, "\">%s</td>", marks[r->status].symbol);
}

static void put_matrix(FILE *file, const struct report *report, const char *device)
{
    const char *groups[GROUPS_MAX];
    const size_t count = list_groups(report, device, groups);
    if (count == 0)
        return;
    fputs("<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th>row</th>", file);
    for (size_t i = 0; i < count; i++) {
        fputs("<th><span>", file);
        put(file, groups[i]);
        fputs("</span></th>", file);
    }
    fputs("</tr></thead>\n<tbody>\n", file);
    for (size_t i = 0; i < report->count; i++) {
        const struct result *row = &report->results[i];
        if (!of_device(row, device) || !first_of_row(report, i, has_group))
            continue;
        fputs("<tr><th><code>", file);
        put(file, row->kernel);
        fputs("</code></th>", file);
        for (size_t j = 0; j < count; j++)
            put_cell(file, worst(report, row, groups[j]));
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
}

/* ---- what did not pass ----------------------------------------------------------------------- */

static void put_mismatch(FILE *file, const char *index, const char *got, const char *expected)
{
    if (!*index)
        return;
    fputs("<dt>first mismatch</dt><dd><code>", file);
    put(file, index);
    fputs("</code>: got <code>", file);
    put(file, got);
    fputs("</code>, expected <code>", file);
    put(file, expected);
    fputs("</code></dd>\n", file);
}

static void put_failure(FILE *file, const struct result *r)
{
    const struct shrunk *s = &r->smallest;
    fprintf(file, "<article>\n<h4><span class=\"%s\">%s %s</span> <code>", status_name(r->status),
            marks[r->status].symbol, status_name(r->status));
    put(file, r->kernel);
    fputs("</code>, group ", file);
    put(file, r->group);
    fputs("</h4>\n<dl>\n<dt>what</dt>", file);
    put_in(file, "dd", r->reason);
    if (s->again) {
        fprintf(file, "<dt>smallest case%s</dt><dd><code>",
                s->complete ? "" : " found in the time given");
        put(file, s->problem);
        fputs("</code>: ", file);
        put(file, s->reason);
        fputs("</dd>\n", file);
        put_mismatch(file, s->index, s->got, s->expected);
    } else {
        put_mismatch(file, r->index, r->got, r->expected);
        if (s->problem[0]) {
            fputs("<dt>smallest case</dt>", file);
            put_in(file, "dd", s->reason);
        }
    }
    fputs("</dl>\n", file);
    if (r->replay[0]) {
        fputs("<p>This runs it again:</p>\n", file);
        put_in(file, "pre", s->again ? s->replay : r->replay);
    }
    fputs("</article>\n", file);
}

static void put_failures(FILE *file, const struct report *report, const char *device)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        if (!of_device(r, device) || !result_failed(r))
            continue;
        if (!any)
            fputs("<h3>Failures</h3>\n", file);
        any = true;
        put_failure(file, r);
    }
}

/* A reason once, with its rows. */
static void put_idle(FILE *file, const struct report *report, const char *device,
                     bool (*which)(const struct result *r), const char *title)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct result *r = &report->results[i];
        bool seen = !which(r) || !of_device(r, device);
        for (size_t j = 0; j < i && !seen; j++) {
            const struct result *other = &report->results[j];
            seen =
                which(other) && of_device(other, device) && strcmp(other->reason, r->reason) == 0;
        }
        if (seen)
            continue;
        if (!any)
            fprintf(file,
                    "<h3>%s</h3>\n<table>\n<thead><tr><th>why</th><th>rows</th></tr></thead>\n"
                    "<tbody>\n",
                    title);
        any = true;
        fputs("<tr>", file);
        put_in(file, "td", r->reason);
        fputs("<td><code>", file);
        for (size_t j = i; j < report->count; j++) {
            const struct result *other = &report->results[j];
            if (!which(other) || !of_device(other, device) || strcmp(other->reason, r->reason) != 0)
                continue;
            fputs(j > i ? ", " : "", file);
            put(file, other->kernel);
            if (strcmp(other->group, "all") != 0) {
                fputs(" ", file);
                put(file, other->group);
            }
        }
        fputs("</code></td></tr>\n", file);
    }
    if (any)
        fputs("</tbody></table>\n", file);
}

static void put_results(FILE *file, const struct report *report, const char *device)
{
    put_counts(file, report, device);
    put_matrix(file, report, device);
    put_failures(file, report, device);
    put_idle(file, report, device, is_kept_out,
             "Offered, but wrong: refused by the library's test");
    put_idle(file, report, device, is_not_offered, "Not offered by this device");
    put_idle(file, report, device, is_not_run, "Should have run, and did not");
}

static void put_device(FILE *file, const struct report *report, const struct device *d)
{
    fputs("<section>\n<h2>", file);
    put(file, d->name[0] ? d->name : d->backend);
    if (!d->available) {
        fputs("</h2>\n", file);
        fputs("<p class=\"verdict refused\">– Not available: ", file);
        put(file, d->reason);
        fputs("</p>\n</section>\n", file);
        return;
    }
    fputs(": ", file);
    put(file, d->description);
    fputs("</h2>\n", file);
    put_verdict(file, report, d->name);
    put_identity(file, d);
    put_results(file, report, d->name);
    fputs("</section>\n", file);
}

/* Results of no device: the references, patterns of --require that match nothing. */
static void put_others(FILE *file, const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const char *name = report->results[i].device;
        bool known = false;
        for (size_t j = 0; j < report->device_count && !known; j++) {
            const struct device *d = &report->devices[j];
            known = strcmp(d->name, name) == 0 || strcmp(d->backend, name) == 0;
        }
        for (size_t j = 0; j < i && !known; j++)
            known = of_device(&report->results[j], name);
        if (known)
            continue;
        fputs("<section>\n<h2>", file);
        if (strcmp(name, "reference") == 0)
            fputs("The references compared with each other", file);
        else
            fputs("Beside the devices", file);
        fputs("</h2>\n", file);
        if (strcmp(name, "reference") == 0)
            fputs("<p>What devices are compared with is computed twice, by two programs.</p>\n",
                  file);
        put_results(file, report, name);
        fputs("</section>\n", file);
    }
}

/* ---- the page -------------------------------------------------------------------------------- */

static void put_legend(FILE *file, const struct report *report)
{
    fputs("<section>\n<h2>What the signs and groups mean</h2>\n<ul>\n", file);
    for (size_t i = 0; i < STATUSES; i++)
        fprintf(file, "<li><span class=\"%s\">%s</span> %s</li>\n", status_name((enum status)i),
                marks[i].symbol, marks[i].meaning);
    fputs("</ul>\n<p>A row is one kernel on one device. A case is one product or convolution, "
          "compared byte for byte with an independent computation. Cases come in groups:</p>\n"
          "<dl>\n",
          file);
    for (size_t i = 0; i < report->count; i++) {
        const char *name = report->results[i].group, *products, *convolutions;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(report->results[j].group, name) == 0;
        if (seen || !group_about(name, &products, &convolutions))
            continue;
        put_in(file, "dt", name);
        fputs("<dd>", file);
        put(file, products);
        if (*convolutions && strcmp(products, convolutions) != 0) {
            fputs(*products ? "; of convolutions: " : "of convolutions: ", file);
            put(file, convolutions);
        }
        fputs("</dd>\n", file);
    }
    fputs("</dl>\n</section>\n", file);
}

static void put_page(FILE *file, const struct report *report)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<title>int8 conformance, qdot ",
          file);
    put(file, qdot_version());
    fprintf(file, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>int8 conformance</h1>\n",
            style);
    for (size_t i = 0; i < report->device_count; i++) {
        const struct device *d = &report->devices[i];
        if (!d->wanted || !d->available)
            continue;
        fputs("<h3>", file);
        put(file, d->name);
        fputs(": ", file);
        put(file, d->description);
        fputs("</h3>\n", file);
        put_verdict(file, report, d->name);
    }
    fputs("<p>By qdot ", file);
    put(file, qdot_version());
    fputs(", ", file);
    put(file, report->date);
    fputs(", with <code>", file);
    put(file, report->command);
    fputs("</code></p>\n", file);
    for (size_t i = 0; i < report->device_count; i++)
        if (report->devices[i].wanted)
            put_device(file, report, &report->devices[i]);
    put_others(file, report);
    put_legend(file, report);
    fputs("</body>\n</html>\n", file);
}

int report_html(const struct report *report, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    if (file)
        put_page(file, report);
    if (!file || fclose(file) != 0) {
        fprintf(stderr, "qdot conform: out of memory for '%s'\n", path);
        free(text);
        return -1;
    }
    int failure = report_write("--html", path, text);
    free(text);
    return failure;
}
