/* The tuning file: JSON in and out of a table, by jansson; docs/tuning.md has the format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json_line.h"
#include "tune.h"

#ifdef QDOT_HAVE_JANSSON
#include <jansson.h>

#define FORMAT 1 /* of "qdot_tuning" */

bool tune_has_files(void)
{
    return true;
}

/* ---- in -------------------------------------------------------------------------------------- */

struct file {
    const char *name, *text;
    size_t bytes;
    struct qdot_error *err;
};

static int wrong(const struct file *f, const char *list, size_t index, const char *field,
                 const char *expected)
{
    return qdot_fail(f->err, QDOT_INVALID, "%s: line %zu: %s[%zu]%s%s: expected %s", f->name,
                     json_line_of(f->text, f->bytes, list, index), list, index, *field ? "." : "",
                     field, expected);
}

/* A member that is a text of fewer than 'bytes' bytes; "" when it may be absent and is. */
static int get_text(const struct file *f, const char *list, size_t index, json_t *object,
                    const char *field, bool needed, size_t bytes, const char **text)
{
    json_t *value = json_object_get(object, field);
    char expected[64];
    *text = value ? json_string_value(value) : "";
    if ((value || !needed) && *text && strlen(*text) < bytes && (**text || !needed))
        return QDOT_OK;
    snprintf(expected, sizeof(expected), "a text of 1 to %zu bytes", bytes - 1);
    return wrong(f, list, index, field, expected);
}

static int get_number(const struct file *f, const char *list, size_t index, json_t *object,
                      const char *field, uint64_t least, uint64_t most, uint64_t *number)
{
    json_t *value = json_object_get(object, field);
    const json_int_t got = json_integer_value(value);
    char expected[64];
    *number = value ? (uint64_t)got : 0;
    if (value ? json_is_integer(value) && got >= (json_int_t)least && got <= (json_int_t)most
              : least == 0)
        return QDOT_OK;
    snprintf(expected, sizeof(expected), "a whole number from %llu to %llu",
             (unsigned long long)least, (unsigned long long)most);
    return wrong(f, list, index, field, expected);
}

static int get_basis(const struct file *f, size_t index, json_t *object, enum qdot_basis *basis)
{
    const char *kind;
    const int status = get_text(f, "times", index, object, "kind", false, 16, &kind);
    if (status != QDOT_OK)
        return status;
    *basis = strcmp(kind, "class") == 0    ? QDOT_BY_CLASS
             : strcmp(kind, "copies") == 0 ? QDOT_BY_COPIES
                                           : QDOT_BY_TIME;
    if (*basis == QDOT_BY_TIME && *kind)
        return wrong(f, "times", index, "kind", "\"class\", \"copies\" or none");
    return QDOT_OK;
}

static int read_time(const struct qdot_device *device, struct qdot_tuning *t, const struct file *f,
                     size_t i, json_t *object)
{
    struct tune_entry e;
    uint64_t threads = 0;
    int status = get_text(f, "times", i, object, "device", true, 128, &e.device);
    if (status == QDOT_OK)
        status = get_text(f, "times", i, object, "driver", false, 128, &e.driver);
    if (status == QDOT_OK)
        status = get_text(f, "times", i, object, "row", true, 64, &e.row);
    if (status == QDOT_OK)
        status = get_text(f, "times", i, object, "problem", true, QDOT_PROBLEM_BYTES, &e.problem);
    if (status == QDOT_OK)
        status = get_number(f, "times", i, object, "threads", 0, TUNE_THREADS_MOST, &threads);
    if (status == QDOT_OK)
        status = get_number(f, "times", i, object, "ns", 1, TUNE_NS_MOST, &e.ns);
    if (status == QDOT_OK)
        status = get_basis(f, i, object, &e.basis);
    e.threads = (size_t)threads;
    if (status == QDOT_OK && !tune_put(device, t, &e, true))
        return qdot_fail(f->err, QDOT_NO_MEMORY, "%s: no memory", f->name);
    return status;
}

static int read_override(const struct qdot_device *device, struct qdot_tuning *t,
                         const struct file *f, size_t i, json_t *object)
{
    struct tune_override o;
    const char *problem, *row = "", *on = "";
    int status = get_text(f, "overrides", i, object, "problem", true, sizeof(o.problem), &problem);
    if (status == QDOT_OK)
        status = get_text(f, "overrides", i, object, "row", true, sizeof(o.row), &row);
    if (status == QDOT_OK)
        status = get_text(f, "overrides", i, object, "device", false, sizeof(o.device), &on);
    if (status != QDOT_OK)
        return status;
    snprintf(o.problem, sizeof(o.problem), "%s", problem);
    snprintf(o.row, sizeof(o.row), "%s", row);
    snprintf(o.device, sizeof(o.device), "%s", on);
    if (!tune_override(device, t, &o))
        return qdot_fail(f->err, QDOT_NO_MEMORY, "%s: no memory", f->name);
    return QDOT_OK;
}

typedef int read_item(const struct qdot_device *device, struct qdot_tuning *t, const struct file *f,
                      size_t index, json_t *object);

static int read_list(const struct qdot_device *device, struct qdot_tuning *t, const struct file *f,
                     json_t *root, const char *name, size_t most, read_item *read)
{
    json_t *list = json_object_get(root, name);
    char expected[48];
    int status = QDOT_OK;
    if (list && (!json_is_array(list) || json_array_size(list) > most)) {
        snprintf(expected, sizeof(expected), "at most %zu, in a list", most);
        return wrong(f, name, 0, "", expected);
    }
    for (size_t i = 0; status == QDOT_OK && i < json_array_size(list); i++) {
        json_t *object = json_array_get(list, i);
        status = json_is_object(object) ? read(device, t, f, i, object)
                                        : wrong(f, name, i, "", "an object");
    }
    return status;
}

int tune_parse(const struct qdot_device *device, struct qdot_tuning *t, const char *text,
               size_t bytes, const char *name, struct qdot_error *err)
{
    const struct file f = {name, text, bytes, err};
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return qdot_fail(err,
                         json_error_code(&error) == json_error_out_of_memory ? QDOT_NO_MEMORY
                                                                             : QDOT_INVALID,
                         "%s: line %d: %s", name, error.line > 0 ? error.line : 1, error.text);
    json_t *format = json_object_get(root, "qdot_tuning");
    int status = QDOT_OK;
    if (!json_is_integer(format) || json_integer_value(format) != FORMAT)
        status = qdot_fail(err, QDOT_INVALID,
                           "%s: line 1: expected an object with \"qdot_tuning\": %d", name, FORMAT);
    if (status == QDOT_OK)
        status = read_list(device, t, &f, root, "times", TUNE_TIMES, read_time);
    if (status == QDOT_OK)
        status = read_list(device, t, &f, root, "overrides", TUNE_OVERRIDES, read_override);
    json_decref(root);
    return status;
}

/* ---- out ------------------------------------------------------------------------------------- */

struct printer {
    FILE *stream;
    const char *separator; /* before the next item */
    bool failed;
};

/* A line an item, so that files are compared by line. Takes the item. */
static void print_item(struct printer *p, json_t *item)
{
    char *line = item ? json_dumps(item, JSON_COMPACT) : NULL;
    if (line)
        fprintf(p->stream, "%s\n  %s", p->separator, line);
    else
        p->failed = true;
    p->separator = ",";
    free(line);
    json_decref(item);
}

static void print_time(struct printer *p, const struct tune_entry *e)
{
    json_t *item = json_pack("{ss ss ss ss}", "device", e->device, "driver", e->driver, "problem",
                             e->problem, "row", e->row);
    bool good = item && json_object_set_new(item, "ns", json_integer((json_int_t)e->ns)) == 0;
    if (good && !*e->driver)
        good = json_object_del(item, "driver") == 0;
    if (good && e->threads)
        good = json_object_set_new(item, "threads", json_integer((json_int_t)e->threads)) == 0;
    if (good && e->basis != QDOT_BY_TIME)
        good = json_object_set_new(
                   item, "kind", json_string(e->basis == QDOT_BY_CLASS ? "class" : "copies")) == 0;
    p->failed = p->failed || !good;
    print_item(p, item);
}

static void print_override(struct printer *p, const struct tune_override *o)
{
    json_t *item = json_pack("{ss ss}", "problem", o->problem, "row", o->row);
    if (item && *o->device && json_object_set_new(item, "device", json_string(o->device)) != 0)
        p->failed = true;
    print_item(p, item);
}

static void print_all(struct printer *p, const struct qdot_tuning *t, const size_t *order)
{
    char key[TUNE_KEY];
    fprintf(p->stream, "{\"qdot_tuning\": %d, \"qdot\": \"%s\",\n \"overrides\": [", FORMAT,
            qdot_version());
    p->separator = "";
    for (size_t i = 0; i < t->override_count; i++)
        print_override(p, &t->overrides[i]);
    fprintf(p->stream, "],\n \"times\": [");
    p->separator = "";
    for (size_t i = 0; i < t->count; i++) {
        const struct tune_entry entry = tune_entry_at(t, order[i], key);
        if (entry.ns) /* else forgotten */
            print_time(p, &entry);
    }
    fprintf(p->stream, "]}\n");
}

int tune_print(const struct qdot_device *device, const struct qdot_tuning *t, char **text,
               size_t *bytes, struct qdot_error *err)
{
    char *printed = NULL;
    size_t *order = tune_order(device, t);
    struct printer p = {.stream = open_memstream(&printed, bytes), .failed = !order};
    if (p.stream && order)
        print_all(&p, t, order);
    if (!p.stream || fclose(p.stream) != 0)
        p.failed = true;
    *text = p.failed ? NULL : qdot_alloc(device, *bytes);
    if (*text)
        memcpy(*text, printed, *bytes);
    free(printed);
    qdot_release(device, order);
    return *text ? QDOT_OK : qdot_fail(err, QDOT_NO_MEMORY, "no memory for the tuning's text");
}

#else

bool tune_has_files(void)
{
    return false;
}

int tune_parse(const struct qdot_device *device, struct qdot_tuning *t, const char *text,
               size_t bytes, const char *name, struct qdot_error *err)
{
    (void)device;
    (void)t;
    (void)text;
    (void)bytes;
    return qdot_fail(err, QDOT_UNSUPPORTED, "%s: " TUNE_NO_JANSSON, name);
}

int tune_print(const struct qdot_device *device, const struct qdot_tuning *t, char **text,
               size_t *bytes, struct qdot_error *err)
{
    (void)device;
    (void)t;
    (void)bytes;
    *text = NULL;
    return qdot_fail(err, QDOT_UNSUPPORTED, TUNE_NO_JANSSON);
}

#endif
