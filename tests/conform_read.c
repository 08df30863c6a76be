/* Reports read again, by jansson; docs/report.md has the format. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform_read.h"
#include "../host/json_line.h"

void seen_free(struct seen *seen)
{
    free(seen->devices);
    free(seen->results);
    *seen = (struct seen){0};
}

#ifdef QDOT_HAVE_JANSSON
#include <jansson.h>

enum { FILE_MOST = 64 << 20, DEVICES_MOST = 256, RESULTS_MOST = 16384, CASES_MOST = 1000000000 };

/* ---- errors ---------------------------------------------------------------------------------- */

struct file {
    const char *name, *text;
    size_t bytes;
    char *wrong;
    size_t wrong_bytes;
};

static bool wrong_at(const struct file *f, const char *list, size_t index, const char *field,
                     const char *expected)
{
    snprintf(f->wrong, f->wrong_bytes, "%s: line %zu: %s[%zu]%s%s: expected %s", f->name,
             json_line_of(f->text, f->bytes, list, index), list, index, *field ? "." : "", field,
             expected);
    return false;
}

static bool wrong_root(const struct file *f, const char *expected)
{
    snprintf(f->wrong, f->wrong_bytes, "%s: line 1: expected %s", f->name, expected);
    return false;
}

/* ---- members --------------------------------------------------------------------------------- */

/* A text into memory of so many bytes; "" when it may be absent and is. */
static bool get_text(json_t *object, const char *field, bool needed, char *to, size_t bytes)
{
    json_t *value = json_object_get(object, field);
    const char *text = json_string_value(value);
    to[0] = '\0';
    if (!value)
        return !needed;
    if (!text || strlen(text) >= bytes)
        return false;
    memcpy(to, text, strlen(text) + 1);
    return true;
}

static bool item_text(const struct file *f, const char *list, size_t index, json_t *object,
                      const char *field, bool needed, char *to, size_t bytes)
{
    char expected[64];
    if (get_text(object, field, needed, to, bytes))
        return true;
    snprintf(expected, sizeof(expected), "a text of at most %zu bytes", bytes - 1);
    return wrong_at(f, list, index, field, expected);
}

typedef bool read_item(const struct file *f, size_t index, json_t *object, void *item);

static bool read_device(const struct file *f, size_t i, json_t *object, void *item)
{
    struct seen_device *d = item;
    json_t *available = json_object_get(object, "available");
    const struct {
        const char *field;
        char *to;
        size_t bytes;
    } texts[] = {{"name", d->name, sizeof(d->name)},
                 {"backend", d->backend, sizeof(d->backend)},
                 {"description", d->description, sizeof(d->description)},
                 {"driver", d->driver, sizeof(d->driver)}};
    for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
        if (!item_text(f, "devices", i, object, texts[j].field, j < 2, texts[j].to, texts[j].bytes))
            return false;
    if (!json_is_boolean(available))
        return wrong_at(f, "devices", i, "available", "true or false");
    d->available = json_is_true(available);
    return true;
}

static bool read_result(const struct file *f, size_t i, json_t *object, void *item)
{
    struct seen_result *r = item;
    char status[16];
    json_t *cases = json_object_get(object, "cases");
    const struct {
        const char *field;
        char *to;
        size_t bytes;
    } texts[] = {{"device", r->device, sizeof(r->device)},
                 {"kernel", r->kernel, sizeof(r->kernel)},
                 {"group", r->group, sizeof(r->group)},
                 {"status", status, sizeof(status)},
                 {"reason", r->reason, sizeof(r->reason)}};
    for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
        if (!item_text(f, "results", i, object, texts[j].field, j < 4, texts[j].to, texts[j].bytes))
            return false;
    if (!status_named(status, &r->status))
        return wrong_at(f, "results", i, "status",
                        "pass, fail, crash, timeout, refused or not_run");
    if (!json_is_integer(cases) || json_integer_value(cases) < 0 ||
        json_integer_value(cases) > CASES_MOST)
        return wrong_at(f, "results", i, "cases", "a whole number from 0 to 1000000000");
    r->cases = (size_t)json_integer_value(cases);
    return true;
}

/* The items of a list of the root, to be freed; NULL: an error. */
static void *read_list(const struct file *f, json_t *root, const char *name, size_t most,
                       size_t item_bytes, read_item *read, size_t *count)
{
    json_t *list = json_object_get(root, name);
    char expected[64];
    *count = json_array_size(list);
    if (!json_is_array(list) || *count > most) {
        snprintf(expected, sizeof(expected), "\"%s\": a list of at most %zu", name, most);
        wrong_root(f, expected);
        return NULL;
    }
    char *items = calloc(*count ? *count : 1, item_bytes);
    if (!items)
        snprintf(f->wrong, f->wrong_bytes, "%s: no memory", f->name);
    for (size_t i = 0; items && i < *count; i++) {
        json_t *object = json_array_get(list, i);
        if (json_is_object(object) ? read(f, i, object, items + i * item_bytes)
                                   : wrong_at(f, name, i, "", "an object"))
            continue;
        free(items);
        return NULL;
    }
    return items;
}

static bool read_root(const struct file *f, json_t *root, struct seen *seen)
{
    json_t *schema = json_object_get(root, "schema"), *context = json_object_get(root, "context");
    if (!json_is_integer(schema) || json_integer_value(schema) != CONFORM_SCHEMA)
        return wrong_root(f, "an object with \"schema\": 1, as qdot conform --json writes it");
    if (!get_text(context, "qdot", true, seen->qdot, sizeof(seen->qdot)) ||
        !get_text(context, "date", true, seen->date, sizeof(seen->date)) ||
        !get_text(context, "verdict", true, seen->verdict, sizeof(seen->verdict)))
        return wrong_root(f, "a \"context\" with \"qdot\", \"date\" and \"verdict\"");
    seen->devices = read_list(f, root, "devices", DEVICES_MOST, sizeof(*seen->devices), read_device,
                              &seen->device_count);
    if (seen->devices)
        seen->results = read_list(f, root, "results", RESULTS_MOST, sizeof(*seen->results),
                                  read_result, &seen->result_count);
    return seen->devices && seen->results;
}

bool seen_parse(const char *text, size_t bytes, const char *name, struct seen *seen, char *wrong,
                size_t wrong_bytes)
{
    const struct file f = {name, text, bytes, wrong, wrong_bytes};
    json_error_t error;
    *seen = (struct seen){0};
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        snprintf(wrong, wrong_bytes, "%s: line %d: %s", name, error.line > 0 ? error.line : 1,
                 error.text);
        return false;
    }
    bool good = read_root(&f, root, seen);
    json_decref(root);
    return good;
}

/* ---- the file -------------------------------------------------------------------------------- */

static char *read_all(FILE *file, size_t *bytes)
{
    char *text = NULL;
    size_t capacity = 0;
    for (*bytes = 0; *bytes < FILE_MOST;) {
        if (*bytes == capacity) {
            capacity = capacity ? 2 * capacity : 1 << 16;
            char *grown = realloc(text, capacity);
            if (!grown)
                break;
            text = grown;
        }
        size_t got = fread(text + *bytes, 1, capacity - *bytes, file);
        *bytes += got;
        if (got == 0 && !ferror(file))
            return text;
        if (got == 0)
            break;
    }
    if (!ferror(file))
        errno = *bytes < FILE_MOST ? ENOMEM : EFBIG;
    free(text);
    return NULL;
}

bool seen_read(const char *path, struct seen *seen, char *wrong, size_t wrong_bytes)
{
    FILE *file = fopen(path, "rb");
    size_t bytes = 0;
    char *text = file ? read_all(file, &bytes) : NULL;
    *seen = (struct seen){0};
    if (!text)
        snprintf(wrong, wrong_bytes, "%s: cannot be read: %s", path, strerror(errno));
    if (file)
        fclose(file);
    bool good = text && seen_parse(text, bytes, path, seen, wrong, wrong_bytes);
    free(text);
    return good;
}

#else

bool seen_parse(const char *text, size_t bytes, const char *name, struct seen *seen, char *wrong,
                size_t wrong_bytes)
{
    (void)text;
    (void)bytes;
    *seen = (struct seen){0};
    snprintf(wrong, wrong_bytes, "%s: this program was built without jansson (libjansson-dev)",
             name);
    return false;
}

bool seen_read(const char *path, struct seen *seen, char *wrong, size_t wrong_bytes)
{
    return seen_parse(NULL, 0, path, seen, wrong, wrong_bytes);
}

#endif
