/* qdot devices: every device of every backend, its rows, and why a row or a device is not there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "options.h"
#include "progress.h"
#include "qdot.h"
#include "save.h"

struct options {
    const char *json;
};

static const struct opt options[] = {
    {"--json", "FILE", OPT_TEXT, offsetof(struct options, json), 0, 0, "Write the same as JSON."},
    {0},
};

static const struct opt_page page = {
    "devices",
    "every device of every backend, its rows, and why one is refused",
    "[--json FILE]",
    "Opens each device and asks for its rows, best first. A row is admitted when the device has\n"
    "the features it needs, its limits suffice and a known-answer self-test passes there; on a\n"
    "GPU that compiles it, which takes a while the first time and is kept in the cache.\n"
    "A backend without a device is listed with the reason.",
    options,
    "A block a device: name and description; driver, compute units, memory, features; its rows,\n"
    "each 'admitted' or 'refused' with the reason.\n"
    "JSON: {qdot, devices: [{name, backend, description, driver, compute_units, memory_bytes,\n"
    "features: [], available, reason, rows: [{name, features: [], mr, nr, kr, admitted,\n"
    "reason}]}]}; mr x nr outputs are a tile, K is padded to a multiple of kr.",
    "0  the devices were listed, whatever was refused\n"
    "1  a device that is there failed to open, or to list its rows\n"
    "2  bad usage; one line on stderr names the argument and what was expected",
    "qdot devices\n"
    "qdot devices --json devices.json",
};

/* The words of a text that spaces separate. */
static void add_words(cJSON *object, const char *name, const char *text)
{
    cJSON *words = cJSON_AddArrayToObject(object, name);
    while (*text) {
        char word[128];
        const size_t length = strcspn(text, " ");
        snprintf(word, sizeof(word), "%.*s", (int)length, text);
        if (length)
            cJSON_AddItemToArray(words, cJSON_CreateString(word));
        text += length + (text[length] == ' ');
    }
}

static void print_device(const struct qdot_device_info *info)
{
    if (!info->available) {
        printf("%s  not available: %s\n", info->name, info->reason);
        return;
    }
    printf("%s  %s\n    driver    %s\n", info->name, info->description, info->driver);
    if (info->compute_units)
        printf("    units     %zu\n", info->compute_units);
    if (info->memory_bytes)
        printf("    memory    %.1f GiB\n", (double)info->memory_bytes / (1024.0 * 1024 * 1024));
    printf("    features  %s\n", info->features[0] ? info->features : "none that a row needs");
}

static void add_row(cJSON *rows, const struct qdot_row_info *row)
{
    printf("    %-36s %s%s\n", row->name,
           row->admitted ? "admitted" : "refused: ", row->admitted ? "" : row->reason);
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "name", row->name);
    add_words(entry, "features", row->features);
    cJSON_AddNumberToObject(entry, "mr", (double)row->mr);
    cJSON_AddNumberToObject(entry, "nr", (double)row->nr);
    cJSON_AddNumberToObject(entry, "kr", (double)row->kr);
    cJSON_AddBoolToObject(entry, "admitted", row->admitted);
    cJSON_AddStringToObject(entry, "reason", row->admitted ? "" : row->reason);
    cJSON_AddItemToArray(rows, entry);
}

/* The status that ended the enumeration; QDOT_END is the good one. */
static int list_rows(struct qdot_device *device, const char *name, cJSON *rows,
                     struct qdot_error *error)
{
    int status = QDOT_OK;
    for (size_t i = 0; status == QDOT_OK; i++) {
        struct qdot_row_info row = {0};
        char text[64];
        snprintf(text, sizeof(text), "%s: row %zu", name, i);
        struct progress *progress = progress_start("devices", text);
        status = qdot_device_row(device, i, &row, error);
        progress_stop(progress);
        if (status == QDOT_OK)
            add_row(rows, &row);
        fflush(stdout);
    }
    return status;
}

/* Opened, a device knows more of itself than its listing has. */
static int list_open(struct qdot_device_info *info, cJSON *rows, struct qdot_error *error)
{
    const struct qdot_device_desc desc = {.device = info->name};
    struct qdot_device *device = NULL;
    int status = qdot_open(&desc, &device, error);
    if (status == QDOT_OK)
        status = qdot_device_info(device, info, error);
    print_device(info);
    if (status == QDOT_OK)
        status = list_rows(device, info->name, rows, error);
    qdot_close(device);
    return status == QDOT_END ? QDOT_OK : status;
}

/* False after a line on stderr. */
static bool list_device(struct qdot_device_info *info, cJSON *devices)
{
    struct qdot_error error = {0};
    cJSON *rows = cJSON_CreateArray();
    bool good = true;
    if (!info->available) {
        print_device(info);
    } else if (list_open(info, rows, &error) != QDOT_OK) {
        good = false;
        printf("    failed: %s\n", error.text);
        opt_failed("devices", &error);
    }
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "name", info->name);
    cJSON_AddStringToObject(entry, "backend", info->backend);
    cJSON_AddStringToObject(entry, "description", info->description);
    cJSON_AddStringToObject(entry, "driver", info->driver);
    cJSON_AddNumberToObject(entry, "compute_units", (double)info->compute_units);
    cJSON_AddNumberToObject(entry, "memory_bytes", (double)info->memory_bytes);
    add_words(entry, "features", info->features);
    cJSON_AddBoolToObject(entry, "available", info->available && good);
    cJSON_AddStringToObject(entry, "reason", good ? info->reason : error.text);
    cJSON_AddItemToObject(entry, "rows", rows);
    cJSON_AddItemToArray(devices, entry);
    return good;
}

/* NULL after a line on stderr. */
static struct qdot_device_info *find_devices(size_t *count)
{
    struct qdot_error error = {0};
    struct qdot_device_info *infos = NULL;
    size_t capacity = 0;
    for (;;) { /* again when one appeared in between */
        if (qdot_devices(infos, capacity, count, &error) != QDOT_OK) {
            opt_failed("devices", &error);
            free(infos);
            return NULL;
        }
        if (infos && *count <= capacity)
            return infos;
        free(infos);
        capacity = *count + 1;
        infos = calloc(capacity, sizeof(*infos));
        if (!infos) {
            opt_error("devices", "out of memory");
            return NULL;
        }
    }
}

int devices_main(int argc, char **argv)
{
    struct options o = {0};
    const enum opt_result parsed = opt_parse(&page, argc, argv, &o, NULL, 0, NULL);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    size_t count = 0;
    struct qdot_device_info *infos = find_devices(&count);
    if (!infos)
        return EXIT_WRONG;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    cJSON *devices = cJSON_AddArrayToObject(root, "devices");
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        if (i)
            printf("\n");
        good &= list_device(&infos[i], devices);
    }
    free(infos);
    int status = good ? EXIT_OK : EXIT_WRONG;
    if (o.json) {
        struct save save;
        if (!save_json(&save, "devices", "--json", o.json, root))
            return EXIT_USAGE;
        if (!save_commit(&save, "devices", "--json"))
            status = EXIT_USAGE;
        save_discard(&save);
    } else {
        cJSON_Delete(root);
    }
    return status;
}
