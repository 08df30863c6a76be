#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "report.h"
#include "rounding.h"
#include "save.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

double line_gops(const struct report_line *line)
{
    return line->state == LINE_OK ? shape_ops(&line->shape) / line->time.median_ns : 0;
}

double line_peak(const struct report *report, const struct report_line *line)
{
    const double peak = report->targets[line->target].peak.gops;
    return peak > 0 ? line_gops(line) / peak : 0;
}

double line_streamed(const struct report *report, const struct report_line *line)
{
    if (line->stream <= 0)
        return 0;
    const double limit =
        shape_ops(&line->shape) / (double)shape_streamed(&line->shape) * line->stream;
    return limit < report->targets[line->target].peak.gops ? line_gops(line) / limit : 0;
}

void report_where(const struct report *report, size_t target, size_t cache_percent, char *text,
                  size_t bytes)
{
    const struct report_target *t = &report->targets[target];
    char threads[40] = "", caches[40] = "";
    if (t->threads)
        snprintf(threads, sizeof(threads), ", %zu thread%s", t->threads, t->threads > 1 ? "s" : "");
    if (cache_percent)
        snprintf(caches, sizeof(caches), ", caches of %zu%%", cache_percent);
    snprintf(text, bytes, "%s%s%s", t->info.name, threads, caches);
}

static void types_text(const struct report_line *line, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s%s", type_text(line->a_type), type_text(line->b_type));
}

static void time_text(double ns, char *text, size_t bytes)
{
    if (ns < 1e3)
        snprintf(text, bytes, "%.1f ns", ns);
    else if (ns < 1e6)
        snprintf(text, bytes, "%.2f us", ns / 1e3);
    else if (ns < 1e9)
        snprintf(text, bytes, "%.2f ms", ns / 1e6);
    else
        snprintf(text, bytes, "%.2f s", ns / 1e9);
}

void bench_report_table_head(const struct report *report)
{
    printf("%-10s %-28s %-*s %-5s %-3s %3s %10s %8s %6s %-8s  %s\n", "device", "row",
           (int)report->shape_width, "shape", "types", "out", "thr", "time", "GOPS", "peak",
           "verified", "layer");
}

/* The row without its backend, which the device's name has. */
static const char *row_name(const struct report_line *line)
{
    const char *slash = strchr(line->kernel, '/');
    return slash ? slash + 1 : line->kernel;
}

/* One part of a line about set-up: what, how long, and how fast where that is so many bytes. */
static void print_cost(const char *before, double ns, double bytes)
{
    char text[24];
    if (ns <= 0)
        return;
    time_text(ns, text, sizeof(text));
    printf("%s%s", before, text);
    if (bytes > 0)
        printf(" (%.1f GB/s)", bytes / ns);
}

static void print_setup(const struct report_line *line)
{
    const struct setup *s = &line->setup;
    const double weights = (double)line->shape.n * (double)line->shape.k;
    printf("%-10s %-28s", "  set-up", line->peer ? line->peer : "");
    print_cost("  created in ", s->create, line->peer ? 0 : weights);
    print_cost(", of B as [n,k] in ", s->transposed, weights);
    print_cost(", from packed B in ", s->load, weights);
    if (s->packed_bytes)
        printf(", packed to %.2fx", (double)s->packed_bytes / weights);
    print_cost(", first run ", s->first_run, 0);
    print_cost("; by a device just opened: compiled in ", s->cold, 0);
    print_cost(", from the cache in ", s->warm, 0);
    putchar('\n');
}

static void print_line(const struct report *report, const struct report_line *line)
{
    const struct report_target *t = &report->targets[line->target];
    char shape[SHAPE_TEXT], types[8], thr[24] = "-", ns[24] = "-", gops[24] = "-", part[24] = "-";
    shape_text(&line->shape, shape, sizeof(shape));
    types_text(line, types, sizeof(types));
    if (t->threads)
        snprintf(thr, sizeof(thr), "%zu", t->threads);
    if (line->state == LINE_OK) {
        const double rate = line_gops(line);
        time_text(line->time.median_ns, ns, sizeof(ns));
        snprintf(gops, sizeof(gops), rate < 100 ? "%.1f" : "%.0f", rate);
        if (t->peak.gops > 0)
            snprintf(part, sizeof(part), "%.0f%%", 100 * line_peak(report, line));
    }
    printf("%-10s %-28s %-*s %-5s %-3s %3s %10s %8s %6s %-8s  %s", t->info.name, row_name(line),
           (int)report->shape_width, shape, types, type_text(line->out_type), thr, ns, gops, part,
           line->state == LINE_OK      ? "yes"
           : line->state == LINE_WRONG ? "WRONG"
                                       : "FAILED",
           line->layer);
    if (report->rounding != QDOT_ROUND_RNE)
        printf("  %s", rounding_text(report->rounding));
    if (line->cache_percent)
        printf("  caches of %zu%%", line->cache_percent);
    if (line_streamed(report, line) > 0)
        printf("  %.0f%% of streaming %.1f GB/s", 100 * line_streamed(report, line), line->stream);
    if (line->peer_ratio > 0)
        printf("  qdot/%s %.2f", line->peer, line->peer_ratio);
    if (line->state != LINE_OK || (line->peer && strncmp(line->reason, "all ", 4) != 0))
        printf("  (%s)", line->reason);
    putchar('\n');
    if (line->setup.create > 0 && line->repetition == 0)
        print_setup(line);
    fflush(stdout);
}

static void *grown(void *array, size_t count, size_t size)
{
    /* Powers of two: grow when count is one. */
    if (count & (count - 1))
        return array;
    return reallocarray(array, count ? count * 2 : 1, size);
}

void bench_report_add(struct report *report, const struct report_line *line)
{
    struct report_line *lines = grown(report->lines, report->line_count, sizeof(*lines));
    struct report_target *t = &report->targets[line->target];
    const double rate = line_gops(line);
    if (!lines) {
        report->no_memory = true;
        return;
    }
    report->lines = lines;
    lines[report->line_count++] = *line;
    report->wrong |= !line->peer && line->state != LINE_OK;
    /* A product faster than the loop: then the loop was not the peak. But a row may skip what is in
     * the padding. */
    if (rate > t->peak.gops && shape_padding(&line->shape) <= 0) {
        char shape[SHAPE_TEXT];
        shape_text(&line->shape, shape, sizeof(shape));
        t->peak.gops = rate;
        snprintf(t->peak.name, sizeof(t->peak.name), "best observed: %.40s", shape);
    }
    print_line(report, line);
}

void bench_report_add_total(struct report *report, const struct report_total *total)
{
    struct report_total *totals = grown(report->totals, report->total_count, sizeof(*totals));
    const struct report_target *t = &report->targets[total->target];
    char ns[24], where[96];
    if (!totals) {
        report->no_memory = true;
        return;
    }
    report->totals = totals;
    totals[report->total_count++] = *total;
    time_text(total->ns, ns, sizeof(ns));
    report_where(report, total->target, total->cache_percent, where, sizeof(where));
    printf("total      %-28s %s, %s%s %s, on %s: %s, %.0f GOPS", total->kernel, total->net->name,
           type_text(total->a_type), type_text(total->b_type), type_text(total->out_type), where,
           ns, total->ops / total->ns);
    if (t->peak.gops > 0)
        printf(", %.0f%% of peak", 100 * total->ops / total->ns / t->peak.gops);
    if (total->qdot_ns > 0) {
        time_text(total->qdot_ns, ns, sizeof(ns));
        printf("; qdot %s, ratio %.2f", ns, total->ns / total->qdot_ns);
    }
    if (total->layers < total->net->count)
        printf(" for %zu of %zu layers, no whole inference", total->layers, total->net->count);
    putchar('\n');
    fflush(stdout);
}

void bench_report_left_out(struct report *report, const char *text)
{
    char **list = grown(report->left_out, report->left_out_count, sizeof(*list));
    if (list)
        report->left_out = list;
    char *copy = list ? strdup(text) : NULL;
    if (copy)
        report->left_out[report->left_out_count++] = copy;
    else
        report->no_memory = true;
    printf("left out: %s\n", text);
}

int bench_report_add_target(struct report *report, const struct report_target *target)
{
    struct report_target *targets = grown(report->targets, report->target_count, sizeof(*targets));
    if (!targets)
        return QDOT_NO_MEMORY;
    report->targets = targets;
    targets[report->target_count++] = *target;
    return QDOT_OK;
}

void bench_report_add_peer(struct report *report, const char *name, const char *version)
{
    for (size_t i = 0; i < report->peer_count; i++)
        if (strcmp(report->peers[i].name, name) == 0)
            return;
    if (report->peer_count == sizeof(report->peers) / sizeof(report->peers[0]))
        return;
    struct report_peer *peer = &report->peers[report->peer_count++];
    peer->name = name;
    snprintf(peer->version, sizeof(peer->version), "%s", version);
}

static void line_name(const struct report *report, const struct report_line *line, char *name,
                      size_t bytes)
{
    const struct report_target *t = &report->targets[line->target];
    char types[8], threads[32] = "", caches[32] = "", rounding[32] = "";
    types_text(line, types, sizeof(types));
    if (t->threads)
        snprintf(threads, sizeof(threads), "/threads:%zu", t->threads);
    if (line->cache_percent)
        snprintf(caches, sizeof(caches), "/caches:%zu", line->cache_percent);
    if (report->rounding != QDOT_ROUND_RNE)
        snprintf(rounding, sizeof(rounding), "/%s", rounding_text(report->rounding));
    snprintf(name, bytes, "%s/%s/%s/%s/%s/%s%s%s%s%s", line->net->name, line->layer, t->info.name,
             line->peer ? line->kernel : row_name(line), types, type_text(line->out_type), rounding,
             threads, caches, report->b_at_run ? "/b_at_run" : "");
}

/* What runs on the CPU: "model name", or "" where the system does not say. */
static void cpu_model(char *text, size_t bytes)
{
    char row[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    text[0] = '\0';
    while (file && fgets(row, sizeof(row), file))
        if (strncmp(row, "model name", 10) == 0 && strchr(row, ':')) {
            snprintf(text, bytes, "%s", strchr(row, ':') + 2);
            text[strcspn(text, "\n")] = '\0';
            break;
        }
    if (file)
        fclose(file);
}

static cJSON *json_context(const struct report *report, int argc, char **argv)
{
    char date[64] = "", host[256] = "", cpu[256];
    const time_t now = time(NULL);
    struct tm local;
    cJSON *context = cJSON_CreateObject();
    if (localtime_r(&now, &local))
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S%z", &local);
    gethostname(host, sizeof(host) - 1);
    cpu_model(cpu, sizeof(cpu));
    cJSON_AddStringToObject(context, "date", date);
    cJSON_AddStringToObject(context, "host_name", host);
    cJSON_AddStringToObject(context, "executable", "qdot bench");
    cJSON_AddNumberToObject(context, "num_cpus", (double)sysconf(_SC_NPROCESSORS_ONLN));
    cJSON_AddStringToObject(context, "library_build_type", "release");
    cJSON_AddStringToObject(context, "qdot_version", qdot_version());
    cJSON_AddStringToObject(context, "commit", BENCH_COMMIT);
    cJSON_AddStringToObject(context, "cpu", cpu);
    cJSON *command = cJSON_AddArrayToObject(context, "command_line");
    for (int i = 0; i < argc; i++)
        cJSON_AddItemToArray(command, cJSON_CreateString(argv[i]));
    cJSON *devices = cJSON_AddArrayToObject(context, "devices");
    for (size_t i = 0; i < report->target_count; i++) {
        const struct report_target *t = &report->targets[i];
        cJSON *device = cJSON_CreateObject();
        cJSON_AddItemToArray(devices, device);
        cJSON_AddStringToObject(device, "device", t->info.name);
        cJSON_AddStringToObject(device, "description", t->info.description);
        cJSON_AddStringToObject(device, "driver", t->info.driver);
        cJSON_AddStringToObject(device, "features", t->info.features);
        if (t->threads)
            cJSON_AddNumberToObject(device, "threads", (double)t->threads);
        cJSON_AddNumberToObject(device, "peak_ops_per_second", t->peak.gops * 1e9);
        cJSON_AddStringToObject(device, "peak_of", t->peak.name);
    }
    cJSON *peer_list = cJSON_AddArrayToObject(context, "peers");
    for (size_t i = 0; i < report->peer_count; i++) {
        cJSON *peer = cJSON_CreateObject();
        cJSON_AddItemToArray(peer_list, peer);
        cJSON_AddStringToObject(peer, "name", report->peers[i].name);
        cJSON_AddStringToObject(peer, "version", report->peers[i].version);
    }
    cJSON *left_out = cJSON_AddArrayToObject(context, "left_out");
    for (size_t i = 0; i < report->left_out_count; i++)
        cJSON_AddItemToArray(left_out, cJSON_CreateString(report->left_out[i]));
    return context;
}

static cJSON *json_setup(const struct setup *s)
{
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddNumberToObject(entry, "create", s->create);
    if (s->transposed > 0)
        cJSON_AddNumberToObject(entry, "create_transposed", s->transposed);
    if (s->load > 0)
        cJSON_AddNumberToObject(entry, "create_packed", s->load);
    if (s->packed_bytes)
        cJSON_AddNumberToObject(entry, "packed_bytes", (double)s->packed_bytes);
    cJSON_AddNumberToObject(entry, "first_run", s->first_run);
    if (s->cold > 0) {
        cJSON_AddNumberToObject(entry, "create_cold", s->cold);
        cJSON_AddNumberToObject(entry, "create_warm", s->warm);
    }
    return entry;
}

static cJSON *json_line(const struct report *report, const struct report_line *line)
{
    const struct report_target *t = &report->targets[line->target];
    char name[256], shape[SHAPE_TEXT], types[8];
    cJSON *entry = cJSON_CreateObject();
    line_name(report, line, name, sizeof(name));
    shape_text(&line->shape, shape, sizeof(shape));
    types_text(line, types, sizeof(types));
    cJSON_AddStringToObject(entry, "name", name);
    cJSON_AddStringToObject(entry, "run_name", name);
    cJSON_AddStringToObject(entry, "run_type", "iteration");
    cJSON_AddNumberToObject(entry, "repetitions", (double)report->repeat);
    cJSON_AddNumberToObject(entry, "repetition_index", (double)line->repetition);
    cJSON_AddNumberToObject(entry, "iterations", (double)line->time.iterations);
    cJSON_AddNumberToObject(entry, "real_time", line->time.median_ns);
    cJSON_AddNumberToObject(entry, "min_time", line->time.min_ns);
    cJSON_AddNumberToObject(entry, "cpu_time", line->time.cpu_ns);
    cJSON_AddStringToObject(entry, "time_unit", "ns");
    cJSON_AddNumberToObject(entry, "items_per_second", line_gops(line) * 1e9);
    cJSON_AddStringToObject(entry, "device", t->info.name);
    cJSON_AddStringToObject(entry, "kernel", line->kernel);
    cJSON_AddStringToObject(entry, "shape", shape);
    cJSON_AddStringToObject(entry, "types", types);
    cJSON_AddStringToObject(entry, "out", type_text(line->out_type));
    if (report->rounding != QDOT_ROUND_RNE)
        cJSON_AddStringToObject(entry, "rounding", rounding_text(report->rounding));
    cJSON_AddNumberToObject(entry, "threads", (double)(t->threads ? t->threads : 1));
    cJSON_AddStringToObject(entry, "network", line->net->name);
    cJSON_AddStringToObject(entry, "layer", line->layer);
    cJSON_AddNumberToObject(entry, "layer_count", line->count);
    cJSON_AddBoolToObject(entry, "verified", line->state == LINE_OK);
    cJSON_AddNumberToObject(entry, "peak_fraction", line_peak(report, line));
    cJSON_AddNumberToObject(entry, "padding", shape_padding(&line->shape));
    cJSON_AddNumberToObject(entry, "create_ms", line->create_ms);
    if (report->b_at_run)
        cJSON_AddTrueToObject(entry, "b_at_run");
    if (line->cache_percent)
        cJSON_AddNumberToObject(entry, "cache_percent", (double)line->cache_percent);
    if (line->stream > 0)
        cJSON_AddNumberToObject(entry, "stream_bytes_per_second", line->stream * 1e9);
    if (line_streamed(report, line) > 0)
        cJSON_AddNumberToObject(entry, "stream_fraction", line_streamed(report, line));
    if (line->setup.create > 0)
        cJSON_AddItemToObject(entry, "setup", json_setup(&line->setup));
    if (line->peer) {
        cJSON_AddStringToObject(entry, "peer", line->peer);
        cJSON_AddNumberToObject(entry, "qdot_to_peer", line->peer_ratio);
        cJSON_AddStringToObject(entry, "compared", line->reason);
    }
    if (line->state != LINE_OK) {
        cJSON_AddBoolToObject(entry, "error_occurred", true);
        cJSON_AddStringToObject(entry, "error_message", line->reason);
    }
    return entry;
}

static cJSON *json_total(const struct report *report, const struct report_total *total)
{
    const struct report_target *t = &report->targets[total->target];
    char types[8];
    cJSON *entry = cJSON_CreateObject();
    snprintf(types, sizeof(types), "%s%s", type_text(total->a_type), type_text(total->b_type));
    cJSON_AddStringToObject(entry, "network", total->net->name);
    cJSON_AddStringToObject(entry, "device", t->info.name);
    cJSON_AddStringToObject(entry, "kernel", total->kernel);
    cJSON_AddStringToObject(entry, "types", types);
    cJSON_AddStringToObject(entry, "out", type_text(total->out_type));
    if (report->rounding != QDOT_ROUND_RNE)
        cJSON_AddStringToObject(entry, "rounding", rounding_text(report->rounding));
    cJSON_AddNumberToObject(entry, "threads", (double)(t->threads ? t->threads : 1));
    if (total->cache_percent)
        cJSON_AddNumberToObject(entry, "cache_percent", (double)total->cache_percent);
    cJSON_AddNumberToObject(entry, "real_time", total->ns);
    cJSON_AddStringToObject(entry, "time_unit", "ns");
    cJSON_AddNumberToObject(entry, "items_per_second", total->ops / total->ns * 1e9);
    if (total->peer)
        cJSON_AddStringToObject(entry, "peer", total->peer);
    if (total->qdot_ns > 0)
        cJSON_AddNumberToObject(entry, "qdot_to_peer", total->ns / total->qdot_ns);
    cJSON_AddNumberToObject(entry, "layers_measured", (double)total->layers);
    cJSON_AddNumberToObject(entry, "layers", (double)total->net->count);
    return entry;
}

bool bench_report_json(const struct report *report, const char *path, int argc, char **argv)
{
    struct save save = {0};
    cJSON *root = cJSON_CreateObject();
    cJSON_AddItemToObject(root, "context", json_context(report, argc, argv));
    cJSON *list = cJSON_AddArrayToObject(root, "benchmarks");
    for (size_t i = 0; i < report->line_count; i++)
        cJSON_AddItemToArray(list, json_line(report, &report->lines[i]));
    list = cJSON_AddArrayToObject(root, "networks");
    for (size_t i = 0; i < report->total_count; i++)
        cJSON_AddItemToArray(list, json_total(report, &report->totals[i]));
    bench_classes_json(report, cJSON_AddArrayToObject(root, "classes"));
    const bool saved =
        save_json(&save, "bench", "--json", path, root) && save_commit(&save, "bench", "--json");
    save_discard(&save);
    return saved;
}

bool bench_report_csv(const struct report *report, const char *path)
{
    struct save save = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) {
        fprintf(stderr, "qdot bench: --csv %s: no memory\n", path);
        return false;
    }
    fprintf(out, "name,iterations,real_time,cpu_time,time_unit,items_per_second,device,kernel,"
                 "shape,types,out,threads,verified,peak_fraction,create_ms,peer,qdot_to_peer,"
                 "stream_fraction\n");
    for (size_t i = 0; i < report->line_count; i++) {
        const struct report_line *line = &report->lines[i];
        const struct report_target *t = &report->targets[line->target];
        char name[256], shape[SHAPE_TEXT], types[8];
        shape_text(&line->shape, shape, sizeof(shape));
        line_name(report, line, name, sizeof(name));
        types_text(line, types, sizeof(types));
        fprintf(out, "\"%s\",%llu,%.1f,%.1f,ns,%.6g,%s,%s,%s,%s,%s,%zu,%s,%.4f,%.3f,%s,%.4f,%.4f\n",
                name, (unsigned long long)line->time.iterations, line->time.median_ns,
                line->time.cpu_ns, line_gops(line) * 1e9, t->info.name, line->kernel, shape, types,
                type_text(line->out_type), t->threads ? t->threads : 1,
                line->state == LINE_OK ? "true" : "false", line_peak(report, line), line->create_ms,
                line->peer ? line->peer : "", line->peer_ratio, line_streamed(report, line));
    }
    bool saved = fclose(out) == 0;
    if (!saved)
        fprintf(stderr, "qdot bench: --csv %s: no memory\n", path);
    saved = saved && save_bytes(&save, "bench", "--csv", path, text, bytes, NULL, 0) &&
            save_commit(&save, "bench", "--csv");
    save_discard(&save);
    free(text);
    return saved;
}

void bench_report_free(struct report *report)
{
    for (size_t i = 0; i < report->left_out_count; i++)
        free(report->left_out[i]);
    free(report->left_out);
    free(report->targets);
    free(report->lines);
    free(report->totals);
}
