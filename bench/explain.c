/* qdot explain: what the dispatcher would choose for one product, and why not the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "options.h"
#include "progress.h"
#include "qdot.h"
#include "save.h"

struct options {
    const char *shape, *types, *out, *device, *kernel, *json;
    int64_t budget;
    bool b_transposed, one_shot;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"--shape", "MxNxK", OPT_TEXT, AT(shape), 0, 0,
     "A is [M,K], B is [K,N]; each at least 1. Needed."},
    {"--types", "AB", OPT_TEXT, AT(types), 0, 0,
     "Types of A and B: u8s8 (default), s8s8, u8u8 or s8u8."},
    {"--out", "TYPE", OPT_TEXT, AT(out), 0, 0, "The output: s32 (default), f32, s8 or u8."},
    {"--b-transposed", NULL, OPT_FLAG, AT(b_transposed), 0, 0, "B is given as [N,K]."},
    {"--one-shot", NULL, OPT_FLAG, AT(one_shot), 0, 0,
     "B is given with each run, so that packing it is part of the time."},
    {"--device", "D", OPT_TEXT, AT(device), 0, 0,
     "cpu, opencl:N, vulkan:N, a backend's name (its first device), or auto (default)."},
    {"--kernel", "ROW", OPT_TEXT, AT(kernel), 0, 0,
     "Only this row, as 'qdot devices' prints it. Default: all."},
    {"--budget", "MS", OPT_INT, AT(budget), 1, 3600000,
     "Time that measuring may take, in milliseconds, 1 to 3600000. Default: 300."},
    {"--json", "FILE", OPT_TEXT, AT(json), 0, 0, "Write the same as JSON."},
    {0},
};
#undef AT

static const struct opt_page page = {
    "explain",
    "what the dispatcher would choose for one product, and why not the others",
    "--shape MxNxK [options]",
    "Asks the dispatcher for every candidate, device and row, for a product of this shape, and\n"
    "measures as creating the op would. With --device auto the fastest is chosen and remembered\n"
    "in the tuning file, for this device, driver and version; a later call shows what was\n"
    "remembered. On one device the first admitted row that fits the shape is chosen.",
    options,
    "A line a candidate: '*' marks the chosen one; device, row, time of a run with copies to\n"
    "and from the device ('-': not measured), and why it was refused or how it was chosen.\n"
    "JSON: {qdot, shape, types, out, b_transposed, one_shot, candidates: [{device, kernel,\n"
    "chosen, seconds (absent when not measured), reason}]}.",
    "0  one candidate was chosen\n"
    "1  none serves this product, or a device failed\n"
    "2  bad usage; one line on stderr names the argument and what was expected",
    "qdot explain --shape 1024x1024x1024\n"
    "qdot explain --shape 1x4096x4096 --types u8s8 --out f32 --device cpu\n"
    "qdot explain --shape 196x256x1152 --device opencl:0 --json why.json",
};

struct named {
    const char *name;
    enum qdot_type first, second;
};

static const struct named type_pairs[] = {
    {"u8s8", QDOT_U8, QDOT_S8},
    {"s8s8", QDOT_S8, QDOT_S8},
    {"u8u8", QDOT_U8, QDOT_U8},
    {"s8u8", QDOT_S8, QDOT_U8},
};
static const struct named outputs[] = {
    {"s32", QDOT_S32, QDOT_TYPE_DEFAULT},
    {"f32", QDOT_F32, QDOT_TYPE_DEFAULT},
    {"s8", QDOT_S8, QDOT_TYPE_DEFAULT},
    {"u8", QDOT_U8, QDOT_TYPE_DEFAULT},
};

static const struct named *find(const struct named four[4], const char *name)
{
    for (size_t i = 0; i < 4; i++)
        if (strcmp(four[i].name, name) == 0)
            return &four[i];
    return NULL;
}

/* The descriptor, with a B of any values unless one-shot; *b is the caller's to free. */
static int describe(const struct options *o, struct qdot_op_desc *d, unsigned char **b)
{
    size_t shape[3];
    ptrdiff_t bytes;
    if (!o->shape)
        return opt_error("explain", "--shape: expected, such as 1024x1024x1024");
    if (!opt_shape(o->shape, shape))
        return opt_error("explain", "--shape '%s': expected MxNxK, three numbers from 1 up",
                         o->shape);
    const struct named *pair = find(type_pairs, o->types), *out = find(outputs, o->out);
    if (!pair)
        return opt_error("explain", "--types '%s': expected u8s8, s8s8, u8u8 or s8u8", o->types);
    if (!out)
        return opt_error("explain", "--out '%s': expected s32, f32, s8 or u8", o->out);
    *d = (struct qdot_op_desc){.m = shape[0],
                               .n = shape[1],
                               .k = shape[2],
                               .a_type = pair->first,
                               .b_type = pair->second,
                               .out_type = out->first,
                               .b_transposed = o->b_transposed,
                               .kernel = o->kernel};
    if (o->one_shot)
        return EXIT_OK;
    if (__builtin_mul_overflow(shape[1], shape[2], &bytes))
        return opt_error("explain", "--shape '%s': expected N x K below 2^63", o->shape);
    *b = malloc((size_t)bytes);
    if (!*b)
        return opt_error("explain", "--shape '%s': out of memory for %td bytes of B", o->shape,
                         bytes);
    for (ptrdiff_t i = 0; i < bytes; i++)
        (*b)[i] = (unsigned char)(i * 37 % 251);
    d->b = *b;
    return EXIT_OK;
}

static struct qdot_candidate *find_candidates(const struct options *o, const struct qdot_op_desc *d,
                                              size_t *count, int *status)
{
    const struct qdot_device_desc device_desc = {.device = o->device,
                                                 .budget_us = (uint64_t)o->budget * 1000};
    struct qdot_error error = {0};
    struct qdot_device *device = NULL;
    struct qdot_candidate *candidates = NULL;
    struct qdot_row_info row;
    size_t capacity = 0;
    *status = EXIT_OK;
    if (qdot_open(&device_desc, &device, &error) != QDOT_OK) {
        *status = opt_failed("explain", &error);
        return NULL;
    }
    /* Every candidate is a row of an opened device; a call to count them would measure twice. */
    bool known = !o->kernel;
    while (qdot_device_row(device, capacity, &row, &error) == QDOT_OK) {
        known = known || strcmp(row.name, o->kernel) == 0 ||
                strcmp(strchr(row.name, '/') + 1, o->kernel) == 0;
        capacity++;
    }
    if (!known) {
        *status = opt_error("explain",
                            "--kernel '%s': expected a row of '%s' as 'qdot devices' "
                            "prints it",
                            o->kernel, o->device);
        qdot_close(device);
        return NULL;
    }
    candidates = calloc(capacity ? capacity : 1, sizeof(*candidates));
    if (!candidates)
        *status = opt_error("explain", "out of memory for %zu candidates", capacity);
    else if (qdot_explain(device, d, candidates, capacity, count, &error) != QDOT_OK)
        *status = opt_failed("explain", &error);
    qdot_close(device);
    if (*count > capacity)
        *count = capacity;
    if (*status == EXIT_OK)
        return candidates;
    free(candidates);
    return NULL;
}

static void print_candidates(const struct qdot_candidate *candidates, size_t count)
{
    size_t device_width = 6, row_width = 3;
    for (size_t i = 0; i < count; i++) {
        const size_t device = strlen(candidates[i].device), row = strlen(candidates[i].row);
        device_width = device > device_width ? device : device_width;
        row_width = row > row_width ? row : row_width;
    }
    printf("  %-*s  %-*s  %12s  %s\n", (int)device_width, "device", (int)row_width, "row", "time",
           "reason");
    for (size_t i = 0; i < count; i++) {
        const struct qdot_candidate *c = &candidates[i];
        char time[24] = "-";
        if (c->time_ns)
            snprintf(time, sizeof(time), "%.1f us", (double)c->time_ns / 1e3);
        printf("%c %-*s  %-*s  %12s%s%s\n", c->chosen ? '*' : ' ', (int)device_width, c->device,
               (int)row_width, c->row, time, c->reason[0] ? "  " : "", c->reason);
    }
}

static cJSON *to_json(const struct options *o, const struct qdot_candidate *candidates,
                      size_t count)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    cJSON_AddStringToObject(root, "shape", o->shape);
    cJSON_AddStringToObject(root, "types", o->types);
    cJSON_AddStringToObject(root, "out", o->out);
    cJSON_AddBoolToObject(root, "b_transposed", o->b_transposed);
    cJSON_AddBoolToObject(root, "one_shot", o->one_shot);
    cJSON *list = cJSON_AddArrayToObject(root, "candidates");
    for (size_t i = 0; i < count; i++) {
        const struct qdot_candidate *c = &candidates[i];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "device", c->device);
        cJSON_AddStringToObject(entry, "kernel", c->row);
        cJSON_AddBoolToObject(entry, "chosen", c->chosen);
        if (c->time_ns)
            cJSON_AddNumberToObject(entry, "seconds", (double)c->time_ns * 1e-9);
        cJSON_AddStringToObject(entry, "reason", c->reason);
        cJSON_AddItemToArray(list, entry);
    }
    return root;
}

static int save(const struct options *o, const struct qdot_candidate *candidates, size_t count)
{
    struct save file;
    if (!save_json(&file, "explain", "--json", o->json, to_json(o, candidates, count)))
        return EXIT_USAGE;
    const bool good = save_commit(&file, "explain", "--json");
    save_discard(&file);
    return good ? EXIT_OK : EXIT_USAGE;
}

int explain_main(int argc, char **argv)
{
    struct options o = {.types = "u8s8", .out = "s32", .device = "auto", .budget = 300};
    const enum opt_result parsed = opt_parse(&page, argc, argv, &o, NULL, 0, NULL);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    struct qdot_op_desc d;
    unsigned char *b = NULL;
    int status = describe(&o, &d, &b);
    if (status != EXIT_OK)
        return status;
    size_t count = 0;
    struct progress *progress = progress_start("explain", "measuring");
    struct qdot_candidate *candidates = find_candidates(&o, &d, &count, &status);
    progress_stop(progress);
    free(b);
    if (!candidates)
        return status;
    print_candidates(candidates, count);
    bool chosen = false;
    for (size_t i = 0; i < count; i++)
        chosen |= candidates[i].chosen != 0;
    if (o.json)
        status = save(&o, candidates, count);
    free(candidates);
    if (status == EXIT_OK && !chosen) {
        opt_error("explain", "--shape %s: no row of '%s' serves it", o.shape, o.device);
        status = EXIT_WRONG;
    }
    return status;
}
