/*
 * The tuning file: times of rows on problems, by device and driver. In memory and on disk it is
 * text, one line a measurement:
 *
 *   device name | driver | row | problem | nanoseconds
 *
 * with tabs between. It lives in the cache under a key with the library's version, so that a new
 * version measures anew. Reading, adding and saving happen under the root device's lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define LINE_BYTES 768
#define FILE_BYTES_MAX (4u << 20)

struct qdot_tuning {
    char *text; /* ends with '\0'; NULL when empty */
    size_t bytes;
};

static void cache_key(char *key, size_t bytes)
{
    snprintf(key, bytes, "tuning %s", qdot_version());
}

struct qdot_tuning *qdot_tuning_load(const struct qdot_device *device)
{
    struct qdot_tuning *tuning = qdot_alloc(device, sizeof(*tuning));
    char key[64];
    void *data;
    size_t bytes;
    cache_key(key, sizeof(key));
    if (tuning && qdot_cache_read(device, key, &data, &bytes)) {
        if (bytes > 0 && ((char *)data)[bytes - 1] == '\0') {
            tuning->text = data;
            tuning->bytes = bytes;
        } else {
            qdot_release(device, data);
        }
    }
    return tuning;
}

void qdot_tuning_free(const struct qdot_device *device, struct qdot_tuning *tuning)
{
    if (tuning)
        qdot_release(device, tuning->text);
    qdot_release(device, tuning);
}

static const char *type_name(enum qdot_type type)
{
    static const char *const names[] = {"", "u8", "s8", "s32", "f32"};
    return names[type];
}

/* The line up to its time; no tab or newline from a driver's text gets in. */
static void line_key(const struct qdot_device *device, const struct qdot_row *row,
                     const struct qdot_problem *p, char line[LINE_BYTES])
{
    char name[260];
    snprintf(name, sizeof(name), "%s\t%s", device->info.description, device->info.driver);
    for (char *c = name; *c; c++)
        if (*c == '\n' || (*c == '\t' && c != name + strlen(device->info.description)))
            *c = ' ';
    char shape[160];
    const struct qdot_geometry *g = &p->conv;
    if (p->op == QDOT_CONV)
        snprintf(shape, sizeof(shape),
                 "conv %zux%zux%zux%zu %zux%zux%zu s%zu,%zu d%zu,%zu i%zu,%zu p%td,%td o%zu,%zu "
                 "g%zu%s",
                 g->batch, g->h, g->w, g->c, g->o, g->kh, g->kw, g->stride_h, g->stride_w,
                 g->dilation_h, g->dilation_w, g->insert_h, g->insert_w, g->pad_top, g->pad_left,
                 g->oh, g->ow, g->groups, g->nchw ? " nchw" : "");
    else
        snprintf(shape, sizeof(shape), "gemm %zux%zux%zu%s%s", p->m, p->n, p->k,
                 p->b_transposed ? "T" : "", p->b_at_run ? " once" : "");
    char rounding[16] = "";
    if (p->rounding != QDOT_ROUND_RNE)
        snprintf(rounding, sizeof(rounding), " r%d", (int)p->rounding);
    snprintf(line, LINE_BYTES, "%s\t%s/%s\t%s %s%s %s%s%s%s t%zu\t", name, device->backend->name,
             row->name, shape, type_name(p->a_type), type_name(p->b_type), type_name(p->out_type),
             rounding, p->a_zero_per_row ? " az" : "", p->row_scale ? " rs" : "",
             device->threads.threads);
}

static const char *find_line(const char *text, const char *key)
{
    const size_t length = strlen(key);
    while (text && *text) {
        if (strncmp(text, key, length) == 0)
            return text;
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return NULL;
}

uint64_t qdot_tuning_get(struct qdot_device *root, const struct qdot_device *device,
                         const struct qdot_row *row, const struct qdot_problem *p)
{
    char key[LINE_BYTES];
    uint64_t time_ns = 0;
    if (!root->tuning)
        return 0;
    pthread_mutex_lock(&root->lock);
    if (root->tuning->text) {
        line_key(device, row, p, key);
        const char *line = find_line(root->tuning->text, key);
        if (line)
            time_ns = strtoull(line + strlen(key), NULL, 10);
    }
    pthread_mutex_unlock(&root->lock);
    return time_ns;
}

/* Appends lines to the text; false when out of memory or over the size limit. */
static bool append(const struct qdot_device *device, struct qdot_tuning *tuning, const char *lines)
{
    const size_t old = tuning->text ? strlen(tuning->text) : 0, add = strlen(lines);
    if (old + add + 1 > FILE_BYTES_MAX)
        return false;
    char *text = qdot_alloc(device, old + add + 1);
    if (!text)
        return false;
    if (old)
        memcpy(text, tuning->text, old);
    memcpy(text + old, lines, add + 1);
    qdot_release(device, tuning->text);
    tuning->text = text;
    tuning->bytes = old + add + 1;
    return true;
}

void qdot_tuning_put(struct qdot_device *root, const struct qdot_device *device,
                     const struct qdot_row *row, const struct qdot_problem *p, uint64_t time_ns)
{
    char line[LINE_BYTES + 32];
    if (!root->tuning)
        return;
    line_key(device, row, p, line);
    const size_t length = strlen(line);
    snprintf(line + length, sizeof(line) - length, "%llu\n", (unsigned long long)time_ns);
    pthread_mutex_lock(&root->lock);
    append(root, root->tuning, line);
    pthread_mutex_unlock(&root->lock);
}

/* Lines that another process saved since we loaded are kept. */
void qdot_tuning_save(struct qdot_device *root)
{
    char key[64], line[LINE_BYTES + 32];
    if (!root->tuning || !root->cache_dir)
        return;
    cache_key(key, sizeof(key));
    struct qdot_tuning *disk = qdot_tuning_load(root);
    pthread_mutex_lock(&root->lock);
    for (const char *text = disk ? disk->text : NULL; text && *text;) {
        const size_t length = strcspn(text, "\n");
        if (length < sizeof(line) - 1) {
            memcpy(line, text, length);
            line[length] = '\0';
            char *tab = strrchr(line, '\t');
            if (tab) {
                tab[1] = '\0';
                const bool known = find_line(root->tuning->text, line) != NULL;
                snprintf(line, sizeof(line), "%.*s\n", (int)length, text);
                if (!known)
                    append(root, root->tuning, line);
            }
        }
        text += length + (text[length] == '\n');
    }
    if (root->tuning->text)
        qdot_cache_write(root, key, root->tuning->text, root->tuning->bytes);
    pthread_mutex_unlock(&root->lock);
    qdot_tuning_free(root, disk);
}
