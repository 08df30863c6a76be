/* Classes of shapes: geometric means of what is in the lines. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <cjson/cJSON.h>
#include "report.h"

/* One class by one row, or all classes by it. */
struct class {
    const struct report_line *line; /* its first: target, network, types, row */
    size_t lines, compared, streamed;
    double peak;  /* sum of logarithms of parts of the peak */
    double limit; /* the same of the peak, or of what streaming allows, where that is less */
    double ratio; /* likewise to the best peer of each shape */
};

static bool same_row(const struct report_line *x, const struct report_line *y)
{
    return x->target == y->target && x->row == y->row && x->a_type == y->a_type &&
           x->b_type == y->b_type && x->out_type == y->out_type;
}

/* The best rate of a peer at the shape of line i: lines of a layer follow one another. */
static double best_peer(const struct report *report, size_t i)
{
    const struct report_line *line = &report->lines[i];
    double best = 0;
    for (size_t j = i + 1; j < report->line_count; j++) {
        const struct report_line *other = &report->lines[j];
        if (other->layer != line->layer || other->repetition != line->repetition)
            break;
        if (other->peer)
            best = fmax(best, line_gops(other));
        else if (other->row <= line->row)
            break; /* other types of the same layer */
    }
    return best;
}

static void add_line(const struct report *report, size_t i, struct class *c)
{
    const struct report_line *line = &report->lines[i];
    const double peak = line_peak(report, line), streamed = line_streamed(report, line);
    const double best = best_peer(report, i);
    c->lines++;
    c->streamed += streamed > 0;
    c->compared += best > 0;
    c->peak += log(peak);
    c->limit += log(streamed > 0 ? streamed : peak);
    c->ratio += best > 0 ? log(line_gops(line) / best) : 0;
}

/* Those of a target, in the order of its lines; for free(). NULL: no memory, or no lines. */
static struct class *find_classes(const struct report *report, size_t target, size_t *count)
{
    struct class *classes = calloc(report->line_count, sizeof(*classes));
    *count = 0;
    for (size_t i = 0; classes && i < report->line_count; i++) {
        const struct report_line *line = &report->lines[i];
        size_t at = 0;
        if (line->target != target || line->peer || line->state != LINE_OK ||
            line->net->sum != SUM_CLASS)
            continue;
        while (at < *count &&
               !(classes[at].line->net == line->net && same_row(classes[at].line, line)))
            at++;
        if (at == *count)
            classes[(*count)++].line = line;
        add_line(report, i, &classes[at]);
    }
    return classes;
}

static double mean(double logarithms, size_t count)
{
    return count ? exp(logarithms / (double)count) : 0;
}

/* A class as one value of all of them. */
static struct class as_one(const struct class *c)
{
    return (struct class){.line = c->line,
                          .lines = 1,
                          .compared = c->compared > 0,
                          .streamed = c->streamed > 0,
                          .peak = log(mean(c->peak, c->lines)),
                          .limit = log(mean(c->limit, c->lines)),
                          .ratio = log(mean(c->ratio, c->compared))};
}

/* By the best peer, or where there is none by the limit. */
static bool worse(const struct class *x, const struct class *y)
{
    if (x->compared && y->compared)
        return mean(x->ratio, x->compared) < mean(y->ratio, y->compared);
    return !y->compared && (x->compared || mean(x->limit, x->lines) < mean(y->limit, y->lines));
}

/* The geometric mean over the classes from the first on by the same row. */
static struct class all_classes(const struct class *first, size_t count, const struct class **worst)
{
    struct class all = as_one(first);
    *worst = first;
    for (size_t i = 1; i < count; i++) {
        if (!same_row(first[i].line, first->line))
            continue;
        const struct class one = as_one(&first[i]);
        all.lines++;
        all.compared += one.compared;
        all.streamed += one.streamed;
        all.peak += one.peak;
        all.limit += one.limit;
        all.ratio += one.compared ? one.ratio : 0;
        if (worse(&first[i], *worst))
            *worst = &first[i];
    }
    return all;
}

static void print_class(const struct report *report, const struct class *c, const char *name)
{
    const struct report_line *line = c->line;
    char where[96];
    report_where(report, line->target, line->cache_percent, where, sizeof(where));
    printf("class      %-28s %s, %s%s %s, on %s: %.1f%% of peak",
           line->chosen ? "(dispatcher's rows)" : line->kernel, name, type_text(line->a_type),
           type_text(line->b_type), type_text(line->out_type), where,
           100 * mean(c->peak, c->lines));
    if (c->streamed)
        printf(", %.1f%% of the limit by streaming", 100 * mean(c->limit, c->lines));
    if (c->compared)
        printf("; qdot / best peer %.2f", mean(c->ratio, c->compared));
}

/* Is this the first class by its row? */
static bool leads(const struct class *classes, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (same_row(classes[j].line, classes[i].line))
            return false;
    return true;
}

void bench_report_classes(const struct report *report, size_t target)
{
    size_t count;
    struct class *classes = find_classes(report, target, &count);
    for (size_t first = 0; first < count; first++) {
        const struct class *worst;
        char text[64];
        if (!leads(classes, first))
            continue;
        for (size_t i = first; i < count; i++) {
            if (!same_row(classes[i].line, classes[first].line))
                continue;
            const size_t shapes = classes[i].line->net->count, lines = shapes * report->repeat;
            print_class(report, &classes[i], classes[i].line->net->name);
            if (classes[i].compared && classes[i].compared < classes[i].lines)
                printf(" where there is one");
            if (classes[i].lines < lines)
                printf(" for %zu of %zu shapes", classes[i].lines / report->repeat, shapes);
            putchar('\n');
        }
        const struct class all = all_classes(&classes[first], count - first, &worst);
        if (all.lines == 1)
            continue;
        snprintf(text, sizeof(text), "all %zu classes", all.lines);
        print_class(report, &all, text);
        printf("; the worst is %s with %.3g%s\n", worst->line->net->name,
               worst->compared ? mean(worst->ratio, worst->compared)
                               : 100 * mean(worst->limit, worst->lines),
               worst->compared ? "" : "%");
    }
    free(classes);
}

static cJSON *json_class(const struct report *report, const struct class *c, const char *name)
{
    const struct report_line *line = c->line;
    const struct report_target *t = &report->targets[line->target];
    char types[8];
    cJSON *entry = cJSON_CreateObject();
    snprintf(types, sizeof(types), "%s%s", type_text(line->a_type), type_text(line->b_type));
    cJSON_AddStringToObject(entry, "class", name);
    cJSON_AddStringToObject(entry, "device", t->info.name);
    cJSON_AddStringToObject(entry, "kernel", line->chosen ? "(dispatcher's rows)" : line->kernel);
    cJSON_AddStringToObject(entry, "types", types);
    cJSON_AddStringToObject(entry, "out", type_text(line->out_type));
    cJSON_AddNumberToObject(entry, "threads", (double)(t->threads ? t->threads : 1));
    if (line->cache_percent)
        cJSON_AddNumberToObject(entry, "cache_percent", (double)line->cache_percent);
    cJSON_AddNumberToObject(entry, "peak_fraction", mean(c->peak, c->lines));
    cJSON_AddNumberToObject(entry, "limit_fraction", mean(c->limit, c->lines));
    if (c->compared)
        cJSON_AddNumberToObject(entry, "qdot_to_best_peer", mean(c->ratio, c->compared));
    return entry;
}

void bench_classes_json(const struct report *report, cJSON *list)
{
    for (size_t target = 0; target < report->target_count; target++) {
        size_t count;
        struct class *classes = find_classes(report, target, &count);
        for (size_t first = 0; first < count; first++) {
            const struct class *worst;
            if (!leads(classes, first))
                continue;
            for (size_t i = first; i < count; i++) {
                const struct report_line *line = classes[i].line;
                if (!same_row(line, classes[first].line))
                    continue;
                cJSON *entry = json_class(report, &classes[i], line->net->name);
                cJSON_AddNumberToObject(entry, "shapes_measured",
                                        (double)(classes[i].lines / report->repeat));
                cJSON_AddNumberToObject(entry, "shapes", (double)line->net->count);
                cJSON_AddItemToArray(list, entry);
            }
            const struct class all = all_classes(&classes[first], count - first, &worst);
            cJSON *entry = json_class(report, &all, "all");
            cJSON_AddNumberToObject(entry, "classes", (double)all.lines);
            cJSON_AddStringToObject(entry, "worst", worst->line->net->name);
            cJSON_AddItemToArray(list, entry);
        }
        free(classes);
    }
}
