/*
 * Tuning: which row to take for a problem, by times and overrides. Two tables of a device: what its
 * caller named (tuning_file, qdot_tuning_read, qdot_tuning_add), and what it measured on its own,
 * kept in the cache in a file of the library's version, so that a new one measures anew. Both under
 * the lock of the device that was opened, which on "auto" is all devices'.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tune.h"

/* ---- a table --------------------------------------------------------------------------------- */

static const char *basis_code(enum qdot_basis basis)
{
    return basis == QDOT_BY_TIME ? "t" : basis == QDOT_BY_COPIES ? "p" : "c";
}

static void clean(char *text)
{
    for (; *text; text++)
        if (*text < 32 || *text > 126)
            *text = '?';
}

/* Fields with tabs between, in the order that a file is sorted by. */
static size_t make_key(const struct tune_entry *e, char key[TUNE_KEY])
{
    char fields[4][192];
    const char *const texts[4] = {e->device, e->driver, e->problem, e->row};
    for (size_t i = 0; i < 4; i++) {
        snprintf(fields[i], sizeof(fields[i]), "%s", texts[i]);
        clean(fields[i]);
    }
    return (size_t)snprintf(key, TUNE_KEY, "%.127s\t%.127s\t%s\t%s\t%zu\t%.63s", fields[0],
                            fields[1], fields[2], basis_code(e->basis), e->threads, fields[3]);
}

/* Where in the index the key is, or may be put. */
static size_t find_slot(const struct qdot_tuning *t, const char *key, uint64_t hash)
{
    size_t slot = (size_t)hash & (t->index_size - 1);
    for (; t->index[slot]; slot = (slot + 1) & (t->index_size - 1)) {
        const struct tune_time *time = &t->times[t->index[slot] - 1];
        if (time->hash == hash && strcmp(t->text + time->key, key) == 0)
            break;
    }
    return slot;
}

/* Memory for 'bytes' instead of that for 'used', which are copied. */
static void *grown(const struct qdot_device *device, void *old, size_t used, size_t bytes)
{
    void *memory = qdot_alloc(device, bytes);
    if (memory && used > 0)
        memcpy(memory, old, used);
    if (memory)
        qdot_release(device, old);
    return memory;
}

static bool grow_index(const struct qdot_device *device, struct qdot_tuning *t)
{
    const size_t size = t->index_size ? t->index_size * 2 : 64;
    struct tune_time *times =
        grown(device, t->times, t->count * sizeof(*times), size / 2 * sizeof(*times));
    if (!times)
        return false;
    t->times = times;
    uint32_t *index = qdot_alloc(device, size * sizeof(*index));
    if (!index)
        return false;
    qdot_release(device, t->index);
    t->index = index;
    t->index_size = size;
    for (size_t i = 0; i < t->count; i++) {
        size_t slot = (size_t)times[i].hash & (size - 1);
        while (index[slot])
            slot = (slot + 1) & (size - 1);
        index[slot] = (uint32_t)(i + 1);
    }
    return true;
}

bool tune_put(const struct qdot_device *device, struct qdot_tuning *t,
              const struct tune_entry *entry, bool least)
{
    char key[TUNE_KEY];
    const size_t bytes = make_key(entry, key) + 1;
    const uint64_t hash = qdot_hash(key, bytes, 0);
    if (t->count > 0) {
        const size_t slot = find_slot(t, key, hash);
        if (t->index[slot]) {
            struct tune_time *time = &t->times[t->index[slot] - 1];
            if (!least || time->ns == 0 || entry->ns < time->ns) /* 0: forgotten */
                time->ns = entry->ns;
            return true;
        }
    }
    if (t->count == TUNE_TIMES || (t->count >= t->index_size / 2 && !grow_index(device, t)))
        return false;
    if (t->text_bytes + bytes > t->text_capacity) {
        const size_t capacity = t->text_capacity * 2 + 8192;
        char *text = grown(device, t->text, t->text_bytes, capacity);
        if (!text)
            return false;
        t->text = text;
        t->text_capacity = capacity;
    }
    memcpy(t->text + t->text_bytes, key, bytes);
    t->times[t->count] = (struct tune_time){hash, entry->ns, t->text_bytes};
    t->text_bytes += bytes;
    t->index[find_slot(t, key, hash)] = (uint32_t)++t->count;
    t->any_driver = t->any_driver || !*entry->driver;
    return true;
}

/* NULL: the table does not have it. */
static const struct tune_time *find(const struct qdot_tuning *t, const struct tune_entry *entry)
{
    char key[TUNE_KEY];
    struct tune_entry wanted = *entry;
    for (int any = 0; t->count > 0 && any <= t->any_driver; any++, wanted.driver = "") {
        const size_t bytes = make_key(&wanted, key) + 1;
        const size_t slot = find_slot(t, key, qdot_hash(key, bytes, 0));
        if (t->index[slot])
            return &t->times[t->index[slot] - 1];
    }
    return NULL;
}

bool tune_override(const struct qdot_device *device, struct qdot_tuning *t,
                   const struct tune_override *override)
{
    for (size_t i = 0; i < t->override_count; i++)
        if (strcmp(t->overrides[i].problem, override->problem) == 0 &&
            strcmp(t->overrides[i].device, override->device) == 0 &&
            strcmp(t->overrides[i].row, override->row) == 0)
            return true;
    if (t->override_count == TUNE_OVERRIDES)
        return false;
    if (t->override_count % 16 == 0) {
        const size_t used = t->override_count * sizeof(*override);
        struct tune_override *all =
            grown(device, t->overrides, used, used + 16 * sizeof(*override));
        if (!all)
            return false;
        t->overrides = all;
    }
    t->overrides[t->override_count] = *override;
    clean(t->overrides[t->override_count].problem);
    clean(t->overrides[t->override_count++].device);
    return true;
}

void tune_clear(const struct qdot_device *device, struct qdot_tuning *t)
{
    qdot_release(device, t->times);
    qdot_release(device, t->index);
    qdot_release(device, t->text);
    qdot_release(device, t->overrides);
    memset(t, 0, sizeof(*t));
}

static int compare_keys(const void *a, const void *b, void *table)
{
    const struct qdot_tuning *t = table;
    return strcmp(t->text + t->times[*(const size_t *)a].key,
                  t->text + t->times[*(const size_t *)b].key);
}

size_t *tune_order(const struct qdot_device *device, const struct qdot_tuning *t)
{
    size_t *order = qdot_alloc(device, t->count * sizeof(*order));
    for (size_t i = 0; order && i < t->count; i++)
        order[i] = i;
    if (order)
        qsort_r(order, t->count, sizeof(*order), compare_keys, (void *)(uintptr_t)t);
    return order;
}

struct tune_entry tune_entry_at(const struct qdot_tuning *t, size_t i, char key[TUNE_KEY])
{
    const char *fields[6];
    snprintf(key, TUNE_KEY, "%s", t->text + t->times[i].key);
    for (size_t f = 0; f < 6; f++) {
        char *end = key + strcspn(key, "\t");
        fields[f] = key;
        key = end + (*end != '\0');
        *end = '\0';
    }
    return (struct tune_entry){.device = fields[0],
                               .driver = fields[1],
                               .problem = fields[2],
                               .basis = *fields[3] == 't'   ? QDOT_BY_TIME
                                        : *fields[3] == 'p' ? QDOT_BY_COPIES
                                                            : QDOT_BY_CLASS,
                               .threads = (size_t)strtoul(fields[4], NULL, 10),
                               .row = fields[5],
                               .ns = t->times[i].ns};
}

/* ---- problems as texts ----------------------------------------------------------------------- */

static const char *type_name(enum qdot_type type)
{
    static const char *const names[] = {"", "u8", "s8", "s32", "f32", "s16", "u16", "s4", "u4"};
    return names[type];
}

static void append(char *text, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t bytes, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, bytes - used, format, args);
    va_end(args);
}

static void append_types(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    append(text, QDOT_PROBLEM_BYTES, " %s%s %s", type_name(p->a_type), type_name(p->b_type),
           type_name(p->out_type));
}

/* The power of four that is nearest: from half of it, up to twice. */
static size_t rounded(size_t size)
{
    size_t power = 1;
    while (size >= 2 * power)
        power *= 4;
    return power;
}

static void elements_name(const struct qdot_problem *p, bool class, char text[QDOT_PROBLEM_BYTES])
{
    static const char *const names[] = {
        [QDOT_QUANTIZE] = "quantize",
        [QDOT_DEQUANTIZE] = "dequantize",
        [QDOT_DYNAMIC_QUANTIZE] = "dynamic_quantize",
        [QDOT_FAKE_QUANTIZE] = "fake_quantize",
        [QDOT_FAKE_QUANTIZE_GRADIENT] = "fake_quantize_gradient",
    };
    const struct qdot_elements *e = &p->elements;
    const size_t bytes = QDOT_PROBLEM_BYTES;
    *text = '\0';
    append(text, bytes, "%s ", names[p->op]);
    if (class)
        append(text, bytes, "%zu", rounded(e->outer * e->axis * e->inner));
    else
        append(text, bytes, "%zux%zux%zu", e->outer, e->axis, e->inner);
    append(text, bytes, " %s%s", type_name(e->type), e->reciprocal ? " reciprocal" : "");
    if (e->group && !class)
        append(text, bytes, " group%zu", e->group);
    else if (e->parameters > 1)
        append(text, bytes, "%s", e->each ? " each" : " axis");
}

/* Merged dimensions and their strides; where those are too long for a text, their hash. */
static void map_name(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    static const char *const tensors[] = {" a", " b", " o"};
    const struct qdot_mapping *s = &p->map;
    char all[(QDOT_MAP_TENSORS + 1) * QDOT_MAP_RANK * 24] = "";
    for (size_t d = 0; d < s->rank; d++)
        append(all, sizeof(all), "%s%zu", d ? "x" : " ", s->dims[d]);
    for (int t = 0; t < QDOT_MAP_TENSORS; t++)
        for (size_t d = 0; d < s->rank && (t != QDOT_MAP_B || s->operands == 2); d++)
            append(all, sizeof(all), "%s%zu", d ? "x" : tensors[t], s->stride[t][d]);
    *text = '\0';
    append(text, QDOT_PROBLEM_BYTES, "map");
    if (strlen(all) + 16 < QDOT_PROBLEM_BYTES)
        append(text, QDOT_PROBLEM_BYTES, "%s", all);
    else
        append(text, QDOT_PROBLEM_BYTES, " #%016llx",
               (unsigned long long)qdot_hash(all, strlen(all), 0));
    append(text, QDOT_PROBLEM_BYTES, "%s", p->table ? " table" : "");
}

static void map_class(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    const struct qdot_mapping *s = &p->map;
    *text = '\0';
    append(text, QDOT_PROBLEM_BYTES, "map %zu %s%s%s", rounded(p->units * p->a_bytes),
           s->operands == 2 ? "ab" : "a", qdot_map_is_line(s) ? "" : " strided",
           p->table ? " table" : "");
}

static const char *pool_kind(const struct qdot_problem *p)
{
    return p->op == QDOT_MAX_POOL ? "max_pool" : "average_pool";
}

static void pool_name(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    const struct qdot_geometry *g = &p->conv;
    const size_t bytes = QDOT_PROBLEM_BYTES;
    *text = '\0';
    append(text, bytes, "%s %zux%zux%zux%zu %zux%zu s%zux%zu p%tdx%td o%zux%zu", pool_kind(p),
           g->batch, g->h, g->w, g->c, g->kh, g->kw, g->stride_h, g->stride_w, g->pad_top,
           g->pad_left, g->oh, g->ow);
    if (g->dilation_h != 1 || g->dilation_w != 1)
        append(text, bytes, " d%zux%zu", g->dilation_h, g->dilation_w);
    append(text, bytes, "%s %s%s", g->nchw ? " nchw" : "", type_name(p->a_type),
           p->table            ? " table"
           : p->average.scaled ? " scaled"
                               : "");
}

static void pool_class(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    *text = '\0';
    append(text, QDOT_PROBLEM_BYTES, "%s %zux%zux%zu%s%s", pool_kind(p), rounded(p->m),
           rounded(p->n), rounded(p->k), p->conv.nchw ? " nchw" : "", p->table ? " table" : "");
}

/* How B lies matters only where runs pack it. */
void qdot_problem_name(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    const struct qdot_geometry *g = &p->conv;
    const size_t bytes = QDOT_PROBLEM_BYTES;
    if (qdot_served_by(p->op) == QDOT_QUANTIZE) {
        elements_name(p, false, text);
        return;
    }
    if (!qdot_is_product(p->op)) {
        p->op == QDOT_MAP ? map_name(p, text) : pool_name(p, text);
        return;
    }
    *text = '\0';
    if (p->op == QDOT_CONV) {
        append(text, bytes, "conv %zux%zux%zux%zu %zux%zux%zu s%zux%zu p%tdx%td o%zux%zu", g->batch,
               g->h, g->w, g->c, g->o, g->kh, g->kw, g->stride_h, g->stride_w, g->pad_top,
               g->pad_left, g->oh, g->ow);
        if (g->dilation_h != 1 || g->dilation_w != 1)
            append(text, bytes, " d%zux%zu", g->dilation_h, g->dilation_w);
        if (g->insert_h != 1 || g->insert_w != 1)
            append(text, bytes, " i%zux%zu", g->insert_h, g->insert_w);
        if (g->groups != 1)
            append(text, bytes, " g%zu", g->groups);
        append(text, bytes, "%s", g->nchw ? " nchw" : "");
    } else {
        append(text, bytes, "gemm %zux%zux%zu%s%s", p->m, p->n, p->k, p->b_at_run ? " once" : "",
               p->b_at_run && p->b_transposed ? " transposed" : "");
    }
    append_types(p, text);
    if (p->rounding != QDOT_ROUND_RNE)
        append(text, bytes, " r%d", (int)p->rounding);
    append(text, bytes, "%s%s", p->a_zero_per_row ? " az" : "", p->row_scale ? " rs" : "");
}

void qdot_problem_class(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES])
{
    const struct qdot_geometry *g = &p->conv;
    if (qdot_served_by(p->op) == QDOT_QUANTIZE) {
        elements_name(p, true, text);
        return;
    }
    if (!qdot_is_product(p->op)) {
        p->op == QDOT_MAP ? map_class(p, text) : pool_class(p, text);
        return;
    }
    *text = '\0';
    if (p->op == QDOT_CONV) {
        const char *kind = g->cg == 1 && g->groups > 1 ? "depthwise"
                           : g->groups > 1             ? "grouped"
                           : g->kh == 1 && g->kw == 1  ? "pointwise"
                                                       : "dense";
        const bool steps = g->stride_h != 1 || g->stride_w != 1;
        append(text, QDOT_PROBLEM_BYTES, "conv %zux%zux%zu %s%s%s", rounded(p->m),
               rounded(g->cg == 1 ? p->n : g->og), rounded(p->k), kind, steps ? " strided" : "",
               g->nchw ? " nchw" : "");
    } else {
        append(text, QDOT_PROBLEM_BYTES, "gemm %zux%zux%zu%s", rounded(p->m), rounded(p->n),
               rounded(p->k), p->b_at_run ? " once" : "");
    }
    append_types(p, text);
}

int qdot_problem_text(const struct qdot_op_desc *desc, char *text, size_t bytes,
                      struct qdot_error *err)
{
    struct qdot_problem p;
    char name[QDOT_PROBLEM_BYTES];
    if (!text)
        return qdot_fail(err, QDOT_INVALID, "text: expected a pointer, got NULL");
    const int status = qdot_check_desc(desc, &p, err);
    if (status != QDOT_OK)
        return status;
    qdot_problem_name(&p, name);
    if (strlen(name) >= bytes)
        return qdot_fail(err, QDOT_INVALID, "bytes: expected at least %zu, got %zu",
                         strlen(name) + 1, bytes);
    memcpy(text, name, strlen(name) + 1);
    return QDOT_OK;
}

/* ---- of a device ----------------------------------------------------------------------------- */

/* The device that was opened. */
static struct qdot_device *top(struct qdot_device *device)
{
    return device->parent ? device->parent : device;
}

static struct tune_entry entry_of(const struct qdot_device *device, const char *row,
                                  enum qdot_basis basis, const char *problem, uint64_t ns)
{
    return (struct tune_entry){.device = device->info.description,
                               .driver = device->info.driver,
                               .row = row,
                               .problem = problem,
                               .threads = device->threads.threads,
                               .basis = basis,
                               .ns = ns};
}

static void row_name(const struct qdot_device *device, const struct qdot_row *row, char name[64])
{
    snprintf(name, 64, "%s/%s", device->backend->name, row->name);
}

bool qdot_tuning_is_empty(struct qdot_device *device)
{
    struct qdot_device *root = top(device);
    pthread_mutex_lock(&root->lock);
    const bool empty =
        root->named->count + root->named->override_count + root->measured->count == 0;
    pthread_mutex_unlock(&root->lock);
    return empty;
}

uint64_t qdot_tuning_get(struct qdot_device *device, const struct qdot_row *row,
                         enum qdot_basis basis, const char *problem)
{
    struct qdot_device *root = top(device);
    char name[64];
    row_name(device, row, name);
    const struct tune_entry entry = entry_of(device, name, basis, problem, 0);
    pthread_mutex_lock(&root->lock);
    const struct tune_time *time = find(root->named, &entry);
    time = time ? time : find(root->measured, &entry);
    const uint64_t ns = time ? time->ns : 0;
    pthread_mutex_unlock(&root->lock);
    return ns;
}

void qdot_tuning_put(struct qdot_device *device, const struct qdot_row *row, enum qdot_basis basis,
                     const char *problem, uint64_t ns)
{
    struct qdot_device *root = top(device);
    char name[64];
    row_name(device, row, name);
    ns = ns > TUNE_NS_MOST ? TUNE_NS_MOST : ns;
    const struct tune_entry entry = entry_of(device, name, basis, problem, ns);
    pthread_mutex_lock(&root->lock);
    tune_put(root, root->measured, &entry, false); /* without memory it is measured again */
    pthread_mutex_unlock(&root->lock);
}

/* Does the text match, where '*' is any text? Backs up to the last star only: no pattern is slow. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = text;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool qdot_tuning_override(struct qdot_device *device, const char *problem, size_t *i, char row[64])
{
    struct qdot_device *root = top(device);
    char description[128];
    bool found = false;
    snprintf(description, sizeof(description), "%s", device->info.description);
    clean(description);
    pthread_mutex_lock(&root->lock);
    const struct qdot_tuning *t = root->named;
    for (; !found && *i < t->override_count; ++*i) {
        const struct tune_override *o = &t->overrides[*i];
        found = matches(o->problem, problem) && (!*o->device || matches(o->device, description));
        if (found)
            snprintf(row, 64, "%s", o->row);
    }
    pthread_mutex_unlock(&root->lock);
    return found;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool cache_path(const struct qdot_device *root, char *path, size_t bytes)
{
    if (!root->cache_dir)
        return false;
    const int length = snprintf(path, bytes, "%s/tuning-%s.json", root->cache_dir, qdot_version());
    return length > 0 && (size_t)length < bytes;
}

/* The cache's table: empty where there is no file or it is damaged. */
static void read_cache(const struct qdot_device *root, struct qdot_tuning *t)
{
    char path[4096];
    void *text;
    size_t bytes;
    if (!cache_path(root, path, sizeof(path)) ||
        qdot_file_read(root, path, TUNE_FILE_BYTES, &text, &bytes, NULL) != QDOT_OK)
        return;
    if (tune_parse(root, t, text, bytes, path, NULL) != QDOT_OK)
        tune_clear(root, t);
    qdot_release(root, text);
}

/* What of 'from' is not in 't', as far as there is room; false without memory. */
static bool add_missing(const struct qdot_device *root, struct qdot_tuning *t,
                        const struct qdot_tuning *from)
{
    char key[TUNE_KEY];
    bool good = true;
    for (size_t i = 0; good && i < from->count && t->count < TUNE_TIMES; i++) {
        const struct tune_entry entry = tune_entry_at(from, i, key);
        if (!find(t, &entry))
            good = tune_put(root, t, &entry, false);
    }
    return good;
}

/* Times that another process saved since we loaded are kept. */
bool qdot_tuning_save(struct qdot_device *device)
{
    struct qdot_device *root = top(device);
    struct qdot_tuning disk = {0};
    char path[4096];
    char *text = NULL;
    size_t bytes;
    if (!cache_path(root, path, sizeof(path)))
        return false;
    const int lock = qdot_file_lock(path);
    read_cache(root, &disk);
    pthread_mutex_lock(&root->lock);
    bool good = add_missing(root, root->measured, &disk) &&
                tune_print(root, root->measured, &text, &bytes, NULL) == QDOT_OK;
    pthread_mutex_unlock(&root->lock);
    good = good && qdot_file_write(path, text, bytes);
    qdot_file_unlock(lock);
    qdot_release(root, text);
    tune_clear(root, &disk);
    return good;
}

int qdot_tuning_open(struct qdot_device *device, const char *file, struct qdot_error *err)
{
    device->named = qdot_alloc(device, sizeof(*device->named));
    device->measured = qdot_alloc(device, sizeof(*device->measured));
    if (!device->named || !device->measured)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    read_cache(device, device->measured);
    if (!file)
        return QDOT_OK;
    struct qdot_error read = {0};
    const int status = qdot_tuning_read(device, file, &read);
    return status == QDOT_OK ? QDOT_OK : qdot_fail(err, status, "tuning_file: %.490s", read.text);
}

void qdot_tuning_close(struct qdot_device *device)
{
    struct qdot_tuning *const tables[] = {device->named, device->measured};
    for (size_t i = 0; i < 2; i++) {
        if (tables[i])
            tune_clear(device, tables[i]);
        qdot_release(device, tables[i]);
    }
}

/* ---- the caller's ---------------------------------------------------------------------------- */

int qdot_tuning_read(struct qdot_device *device, const char *path, struct qdot_error *err)
{
    void *text;
    size_t bytes;
    if (!device || !path)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         device ? "path" : "device");
    struct qdot_device *root = top(device);
    int status = qdot_file_read(root, path, TUNE_FILE_BYTES, &text, &bytes, err);
    if (status != QDOT_OK)
        return status;
    struct qdot_tuning read = {0}; /* whole or not at all */
    status = tune_parse(root, &read, text, bytes, path, err);
    qdot_release(root, text);
    char key[TUNE_KEY];
    bool good = status == QDOT_OK;
    pthread_mutex_lock(&root->lock);
    for (size_t i = 0; good && i < read.count; i++) {
        const struct tune_entry entry = tune_entry_at(&read, i, key);
        good = tune_put(root, root->named, &entry, true);
    }
    for (size_t i = 0; good && i < read.override_count; i++)
        good = tune_override(root, root->named, &read.overrides[i]);
    pthread_mutex_unlock(&root->lock);
    tune_clear(root, &read);
    if (status == QDOT_OK && !good)
        status = qdot_fail(err, QDOT_NO_MEMORY, "%s: no memory, or more than %zu times in all",
                           path, TUNE_TIMES);
    return status;
}

int qdot_tuning_add(struct qdot_device *device, const struct qdot_op_desc *desc, const char *row,
                    uint64_t time_ns, struct qdot_error *err)
{
    struct qdot_problem p;
    char problem[QDOT_PROBLEM_BYTES], name[64];
    if (!device || !row)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         device ? "row" : "device");
    if (!device->backend)
        return qdot_fail(err, QDOT_INVALID, "device: expected one device, got auto");
    if (time_ns > TUNE_NS_MOST)
        return qdot_fail(err, QDOT_INVALID, "time_ns: expected at most %llu",
                         (unsigned long long)TUNE_NS_MOST);
    const int status = qdot_check_desc(desc, &p, err);
    if (status != QDOT_OK)
        return status;
    const struct qdot_row *found = qdot_row_named(device, row);
    if (!found || found->op != qdot_served_by(p.op))
        return qdot_fail(err, QDOT_INVALID, "row: '%s' is no row of device %s for this op", row,
                         device->info.name);
    struct qdot_device *root = top(device);
    qdot_problem_name(&p, problem);
    row_name(device, found, name);
    const struct tune_entry entry = entry_of(device, name, QDOT_BY_TIME, problem, time_ns);
    pthread_mutex_lock(&root->lock);
    const bool good = tune_put(root, root->named, &entry, false);
    pthread_mutex_unlock(&root->lock);
    return good ? QDOT_OK : qdot_fail(err, QDOT_NO_MEMORY, "no memory for the time");
}

int qdot_tuning_text(struct qdot_device *device, char *text, size_t capacity, size_t *bytes,
                     struct qdot_error *err)
{
    if (!device || !bytes || (!text && capacity > 0))
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         !device  ? "device"
                         : !bytes ? "bytes"
                                  : "text");
    struct qdot_device *root = top(device);
    pthread_mutex_lock(&root->lock);
    char *all;
    const int status = tune_print(root, root->named, &all, bytes, err);
    pthread_mutex_unlock(&root->lock);
    if (status != QDOT_OK)
        return status;
    if (capacity > 0)
        memcpy(text, all, *bytes < capacity ? *bytes : capacity);
    qdot_release(root, all);
    return QDOT_OK;
}

int qdot_tuning_keep(struct qdot_device *device, struct qdot_error *err)
{
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected a pointer, got NULL");
    struct qdot_device *root = top(device);
    char key[TUNE_KEY];
    bool good = true;
    pthread_mutex_lock(&root->lock);
    for (size_t i = 0; good && i < root->named->count; i++) {
        const struct tune_entry entry = tune_entry_at(root->named, i, key);
        good = tune_put(root, root->measured, &entry, false);
    }
    pthread_mutex_unlock(&root->lock);
    if (!good)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the times");
    if (!qdot_tuning_save(root))
        return qdot_fail(err, QDOT_UNSUPPORTED,
                         "cache_dir: %s: no tuning file can be written there%s",
                         root->cache_dir ? root->cache_dir : "none",
                         tune_has_files() ? "" : ": " TUNE_NO_JANSSON);
    return QDOT_OK;
}
