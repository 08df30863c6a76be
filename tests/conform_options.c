/* The arguments of 'qdot conform'. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "conform_problem.h"

const char options_help[] =
    "Usage: qdot conform [options]\n"
    "       qdot conform --compare OLD.json NEW.json [--json FILE]\n"
    "\n"
    "Does this device compute int8 right? Every row (a kernel on a device) is compared with an\n"
    "independent reference, bit for bit, over groups of cases. Each row runs in a child process\n"
    "with a time limit, so that a crash or a hang is that row's result. A failure is printed with\n"
    "a command that repeats it; of products, convolutions and quantize and its kin the smallest\n"
    "failing case is looked for first.\n"
    "tests/ref.c is compared with kernels_cl/reference.cl first (device \"reference\").\n"
    "\n"
    "What to run:\n"
    "  --list            print devices, rows and groups with their meaning, run nothing\n"
    "  --device D[,D]    only devices that match a D: a name (opencl:0), a backend (vulkan) or a\n"
    "                    pattern. Default: all\n"
    "  --kernel P[,P]    only rows that match a P, such as 'cpu/*vnni'. The device itself, its\n"
    "                    arithmetic, limits, claims and compiler, are rows named 'device/...'\n"
    "  --group G[,G]     only these groups of cases, of every sort of row that has one of\n"
    "                    that name\n"
    "  --case G:I        only case I of group G: what a failure's replay line has\n"
    "  --problem TEXT    only this case, such as 'gemm 1x1x38 u8s8 s32 b-zero=each', its data "
    "made\n"
    "                    from --seed: the replay line of a smallest case. docs/report.md has the\n"
    "                    words\n"
    "  --cases N         at most N cases a row and group, spread over it\n"
    "  --long            20,000 random convolutions a CPU row, 1,000 a GPU row; else 500 and 50\n"
    "  --small           small shapes only, for interpreters and checking layers\n"
    "  --seed S          another choice of random cases (default 1)\n"
    "  --threads N       CPU threads (default: one a processor)\n"
    "  --tasks           CPU threads of this program's own, through parallel_for\n"
    "\n"
    "Limits:\n"
    "  --timeout SEC     of one row of one device, after which none of its cases begins (600)\n"
    "  --case-timeout SEC  a case that takes longer hangs (120)\n"
    "  --shrink SEC      to look for the smallest failing cases of a row, and ten times that in\n"
    "                    the whole run; 0: not (30)\n"
    "\n"
    "Results:\n"
    "  --require P[,P]   each pattern must match a row, and a matching row that does not run is\n"
    "                    a failure; \"reference/*\" is the comparison of the references\n"
    "  --known FILE      failures that its lines list are reported and fail nothing; a line is\n"
    "                    DEVICE AND DRIVER | ROW | CASE | WHY, the first three patterns\n"
    "  --json FILE       write the results as JSON (docs/report.md)\n"
    "  --junit FILE      write them for CI systems\n"
    "  --html FILE       write them as one page for people\n"
    "  --compare OLD NEW what changed from one --json to another: of two drivers, two machines,\n"
    "                    two versions\n"
    "  --help\n"
    "\n"
    "Prints a line a row and group, and a last line 'N passed, N failed, N skipped':\n"
    "  pass      every case has the reference's bits\n"
    "  fail      wrong bits, or a call that failed\n"
    "  crash     the process ended\n"
    "  timeout   a case did not end\n"
    "  refused   not offered on this device; the reason is the library's or the driver's\n"
    "  not_run   should have run and did not: time used up, no memory, no such case or device\n"
    "\n"
    "Exit status: 0 pass; 1 something failed, or what --require names did not run; 2 bad usage;\n"
    "3 incomplete: nothing failed, but something was not_run, or nothing ran at all.\n"
    "Of --compare: 0 nothing got worse, 1 something did, 2 bad usage or a file that is no "
    "report.\n";

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
    return g->depthwise                   ? "depthwise_"
           : g->kind == QDOT_CONV         ? "conv_"
           : g->kind == QDOT_QUANTIZE     ? "quantize_"
           : g->kind == QDOT_MAP          ? "map_"
           : g->kind == QDOT_MAX_POOL     ? "max_pool_"
           : g->kind == QDOT_AVERAGE_POOL ? "average_pool_"
                                          : "";
}

bool geometry_parse(const char *text, struct geometry *g)
{
    char extra;
    g->depthwise = strncmp(text, "depthwise_", 10) == 0;
    g->kind = g->depthwise || strncmp(text, "conv_", 5) == 0 ? QDOT_CONV
              : strncmp(text, "quantize_", 9) == 0           ? QDOT_QUANTIZE
              : strncmp(text, "map_", 4) == 0                ? QDOT_MAP
              : strncmp(text, "max_pool_", 9) == 0           ? QDOT_MAX_POOL
              : strncmp(text, "average_pool_", 13) == 0      ? QDOT_AVERAGE_POOL
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
        bool known = checks_have_group(at);
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
    const size_t length = strcspn(text, "@"); /* "@K": in sums of K products or more */
    uint64_t k;
    if (text[length] && !parse_number(text + length + 1, 1, 1000000, &k))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == length && strncmp(text, names[i], length) == 0)
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
        {"--known", &o->known},     {"--fault", &o->fault},   {"--problem", &o->problem},
        {"--html", &o->html},
    };
    const struct {
        const char *name;
        size_t *value;
    } numbers[] = {{"--cases", &o->cases},
                   {"--threads", &o->threads},
                   {"--timeout", &o->timeout},
                   {"--case-timeout", &o->case_timeout},
                   {"--shrink", &o->shrink}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t number;
        if (strcmp(name, "--list") == 0 || strcmp(name, "--small") == 0 ||
            strcmp(name, "--tasks") == 0 || strcmp(name, "--long") == 0 ||
            strcmp(name, "--alone") == 0) {
            *(name[2] == 'a'   ? &o->alone
              : name[3] == 'i' ? &o->list
              : name[3] == 'm' ? &o->small
              : name[3] == 'a' ? &o->tasks
                               : &o->all) = true;
            continue;
        }
        if (strcmp(name, "--compare") == 0) {
            if (i + 2 >= argc)
                return options_usage(name, NULL, "two reports after it");
            o->compare[0] = argv[++i];
            o->compare[1] = argv[++i];
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            if (strcmp(name, texts[j].name) == 0) {
                *texts[j].value = value;
                known = true;
            }
        size_t *to = NULL;
        for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++)
            if (strcmp(name, numbers[j].name) == 0)
                to = numbers[j].value;
        bool seed = strcmp(name, "--seed") == 0;
        if (!known && !to && !seed && strcmp(name, "--geometry") != 0)
            return options_usage(name, NULL, "an option that 'qdot conform --help' lists");
        if (!value)
            return options_usage(name, NULL, "a value after it");
        i++;
        if (seed) {
            if (!parse_number(value, 0, UINT64_MAX, &o->seed))
                return options_usage(name, value, "a number below 2^64");
        } else if (to) {
            const uint64_t least = to == &o->shrink ? 0 : 1;
            if (!parse_number(value, least, 1000000, &number))
                return options_usage(name, value,
                                     least ? "a number from 1 to 1000000"
                                           : "a number from 0 to 1000000");
            *to = (size_t)number;
        } else if (!known && !geometry_parse(value, &o->geometry)) {
            return options_usage(name, value, "a tile such as 6x64x4");
        }
    }
    if (o->compare[0])
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            if (*texts[j].value && texts[j].value != &o->json)
                return options_usage(texts[j].name, NULL, "only --json with --compare");
    if (o->group && !known_groups(o->group))
        return options_usage("--group", o->group, "names that 'qdot conform --list' shows");
    if (o->only && !known_case(o->only))
        return options_usage("--case", o->only, "a group and a number, such as edge:17");
    if (o->fault && !known_fault(o->fault))
        return options_usage("--fault", o->fault, "wrong, outside, crash, hang or exit");
    char wrong[192];
    if (o->problem && (o->group || o->only))
        return options_usage("--problem", NULL, "neither --group nor --case with it");
    if (o->problem && !problem_parse(o->problem, &o->given, wrong, sizeof(wrong)))
        return options_usage("--problem", o->problem, wrong);
    o->given.data = o->seed;
    o->geometry.small = o->small;
    return 0;
}
