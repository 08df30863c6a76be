/* The arguments of 'qdot conform'. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"

const char options_help[] =
    "Usage: qdot conform [options]\n"
    "\n"
    "Checks every row of every device against an independent reference, bit for bit. Each row\n"
    "runs in a child process with a time limit, so that a crash or a hang is that row's result.\n"
    "tests/ref.c is compared with kernels_cl/reference.cl first (device \"reference\").\n"
    "\n"
    "  --device D[,D]    only devices that match a D: a name, a backend or a pattern\n"
    "  --kernel P[,P]    only rows that match a P, such as 'cpu/*vnni'\n"
    "  --group G[,G]     only these groups of cases (--list shows them)\n"
    "  --require P[,P]   each pattern must match a row, and a matching row that does not run is\n"
    "                    a failure; \"reference/*\" is the comparison of the references\n"
    "  --seed S          another choice of random cases (default 1)\n"
    "  --cases N         at most N cases a group, spread over it\n"
    "  --long            20,000 random convolutions a CPU row, 1,000 a GPU row; else 500 and 50\n"
    "  --case G:I        the one case I of group G: what a failure's replay line has\n"
    "  --small           small shapes only, for interpreters and checking layers\n"
    "  --threads N       CPU threads (default: one a processor)\n"
    "  --tasks           CPU threads of this program's own, through parallel_for\n"
    "  --timeout SEC     time limit of one row of one device (default 600)\n"
    "  --json FILE       write the results as JSON\n"
    "  --junit FILE      write the results for CI systems\n"
    "  --list            print devices, rows and groups, run nothing\n"
    "  --help\n"
    "\n"
    "Prints a line a group of cases: pass, fail, crash, timeout or not_run, and a last line\n"
    "'N passed, N failed, N skipped'. Exit status: 0 when rows ran and none failed,\n"
    "1 when one failed or none ran, 2 bad usage.\n";

static bool parse_number(const char *text, uint64_t lo, uint64_t hi, uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value >= lo && *value <= hi;
}

int options_usage(const char *name, const char *value, const char *expected)
{
    fprintf(stderr, "qdot conform: %s%s%s: expected %s\n", name, value ? " " : "",
            value ? value : "", expected);
    return 2;
}

bool options_listed(const char *patterns, const char *name)
{
    for (const char *at = patterns; at && *at;) {
        size_t length = strcspn(at, ",");
        char pattern[128];
        snprintf(pattern, sizeof(pattern), "%.*s", (int)length, at);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static const char *geometry_prefix(const struct geometry *g)
{
    return g->depthwise               ? "depthwise_"
           : g->kind == QDOT_CONV     ? "conv_"
           : g->kind == QDOT_QUANTIZE ? "quantize_"
                                      : "";
}

bool geometry_parse(const char *text, struct geometry *g)
{
    char extra;
    g->depthwise = strncmp(text, "depthwise_", 10) == 0;
    g->kind = g->depthwise || strncmp(text, "conv_", 5) == 0 ? QDOT_CONV
              : strncmp(text, "quantize_", 9) == 0           ? QDOT_QUANTIZE
                                                             : QDOT_GEMM;
    text += strlen(geometry_prefix(g));
    return sscanf(text, "%zux%zux%zu%c", &g->mr, &g->nr, &g->kr, &extra) == 3 && g->mr && g->nr &&
           g->kr;
}

void geometry_print(const struct geometry *g, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s%zux%zux%zu", geometry_prefix(g), g->mr, g->nr, g->kr);
}

static bool known_groups(const char *list)
{
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        bool known = false;
        for (size_t i = 0; i < conform_group_count; i++)
            known |= strlen(conform_groups[i].name) == length &&
                     strncmp(conform_groups[i].name, at, length) == 0;
        if (!known)
            return false;
        at += length + (at[length] == ',');
    }
    return list[0] != '\0';
}

static bool known_case(const char *text)
{
    size_t length = strcspn(text, ":");
    char name[24];
    uint64_t index;
    snprintf(name, sizeof(name), "%.*s", (int)length, text);
    return text[length] == ':' && known_groups(name) &&
           parse_number(text + length + 1, 0, 1000000, &index);
}

static bool known_fault(const char *text)
{
    static const char *const names[] = {"wrong", "outside", "crash", "hang", "exit"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

int options_parse(int argc, char **argv, struct options *o)
{
    struct {
        const char *name;
        const char **value;
    } texts[] = {
        {"--device", &o->device},   {"--kernel", &o->kernel}, {"--group", &o->group},
        {"--require", &o->require}, {"--json", &o->json},     {"--junit", &o->junit},
        {"--case", &o->only},       {"--child", &o->child},   {"--from", &o->from},
        {"--fault", &o->fault},
    };
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t number;
        if (strcmp(name, "--list") == 0 || strcmp(name, "--small") == 0 ||
            strcmp(name, "--tasks") == 0 || strcmp(name, "--long") == 0) {
            *(name[3] == 'i'   ? &o->list
              : name[3] == 'm' ? &o->small
              : name[3] == 'a' ? &o->tasks
                               : &o->all) = true;
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            if (strcmp(name, texts[j].name) == 0) {
                *texts[j].value = value;
                known = true;
            }
        bool is_number = strcmp(name, "--seed") == 0 || strcmp(name, "--cases") == 0 ||
                         strcmp(name, "--threads") == 0 || strcmp(name, "--timeout") == 0;
        if (!known && !is_number && strcmp(name, "--geometry") != 0)
            return options_usage(name, NULL, "an option that 'qdot conform --help' lists");
        if (!value)
            return options_usage(name, NULL, "a value after it");
        i++;
        if (strcmp(name, "--seed") == 0) {
            if (!parse_number(value, 0, UINT64_MAX, &o->seed))
                return options_usage(name, value, "a number below 2^64");
        } else if (is_number) {
            if (!parse_number(value, 1, 1000000, &number))
                return options_usage(name, value, "a number from 1 to 1000000");
            *(name[2] == 'c' ? &o->cases : name[3] == 'h' ? &o->threads : &o->timeout) = number;
        } else if (!known && !geometry_parse(value, &o->geometry)) {
            return options_usage(name, value, "a tile such as 6x64x4");
        }
    }
    if (o->group && !known_groups(o->group))
        return options_usage("--group", o->group, "names that 'qdot conform --list' shows");
    if (o->only && !known_case(o->only))
        return options_usage("--case", o->only, "a group and a number, such as edge:17");
    if (o->fault && !known_fault(o->fault))
        return options_usage("--fault", o->fault, "wrong, outside, crash, hang or exit");
    o->geometry.small = o->small;
    return 0;
}
