/* EPContext nodes: the model that ONNX Runtime writes when a session says "ep.context_enable", whose nodes
 * hold what steps are made of, packed weights instead of weights. With "ep.context_embed_mode" in the
 * model itself, else in a file beside it, which is mapped: packed weights are read where they lie, and
 * processes that use the model share them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "context.h"

#define DOMAIN_NAME "com.microsoft"
#define FILE_SUFFIX ".qdot"

OrtStatus *context_is_ours(const OrtApi *ort, const OrtNode *node, bool *ours)
{
    char source[64] = "";
    TRY(node_is(ort, node, DOMAIN_NAME, "EPContext", ours));
    if (*ours)
        TRY(node_string(ort, node, "source", source, sizeof(source)));
    *ours = *ours && strcmp(source, provider_name) == 0;
    return NULL;
}

/* ---- paths ------------------------------------------------------------------------------------- */

static OrtStatus *model_path(const struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                             const char **path)
{
    TRY(ort->Graph_GetModelPath(graph, path));
    if (!*path || !**path)
        *path = c->path;
    return **path ? NULL
                  : fail(ort, "ep.context_file_path: expected the path of the EPContext model");
}

/* Of the model that is written: the one given, or as the runtime makes it. */
static OrtStatus *written_path(const struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                               char *path, size_t bytes)
{
    const char *of = c->path, *more = "";
    if (!*of) {
        TRY(model_path(c, ort, graph, &of));
        more = "_ctx.onnx";
    }
    const size_t length = strlen(of), tail = strlen(".onnx");
    const bool ends = *more && length > tail && strcmp(of + length - tail, ".onnx") == 0;
    const int stem = (int)(ends ? length - tail : length);
    const int got = snprintf(path, bytes, "%.*s%s" FILE_SUFFIX, stem, of, more);
    return got >= 0 && (size_t)got < bytes ? NULL : fail(ort, "%s: too long a path", of);
}

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* Appends to the file beside the model; 'where' becomes what finds it again. */
static OrtStatus *append(struct contexts *c, const OrtApi *ort, const char *path,
                         const void *record, size_t size, char *where, size_t where_bytes)
{
    static const char zeros[RECORD_ALIGNMENT];
    if (!c->file) {
        c->file = fopen(path, c->written ? "ab" : "wb");
        if (!c->file)
            return fail(ort, "%s: cannot be written: %s", path, strerror(errno));
    }
    const size_t gap = (RECORD_ALIGNMENT - c->written % RECORD_ALIGNMENT) % RECORD_ALIGNMENT;
    if (fwrite(zeros, 1, gap, c->file) != gap || fwrite(record, 1, size, c->file) != size)
        return fail(ort, "%s: cannot be written: %s", path, strerror(errno));
    c->written += gap;
    snprintf(where, where_bytes, "%" PRIu64 " %zu", c->written, size);
    c->written += size;
    return NULL;
}

OrtStatus *context_written(struct contexts *c, const OrtApi *ort)
{
    const bool good = !c->file || fclose(c->file) == 0;
    c->file = NULL;
    return good ? NULL : fail(ort, "the file of contexts cannot be written: %s", strerror(errno));
}

struct attributes {
    OrtOpAttr *list[8];
    size_t count;
};

static OrtStatus *add(const OrtApi *ort, struct attributes *a, const char *name, const void *data,
                      size_t bytes, OrtOpAttrType type)
{
    if (bytes > INT_MAX)
        return fail(ort, "%zu bytes are too many for a model: ep.context_embed_mode 0 takes them",
                    bytes);
    TRY(ort->CreateOpAttr(name, data, (int)bytes, type, &a->list[a->count]));
    a->count++;
    return NULL;
}

static OrtStatus *add_text(const OrtApi *ort, struct attributes *a, const char *name,
                           const char *text)
{
    return add(ort, a, name, text, strlen(text), ORT_OP_ATTR_STRING);
}

static OrtStatus *names_of(const OrtApi *ort, const OrtValueInfo *const *values, size_t count,
                           const char **names)
{
    for (size_t i = 0; i < count; i++)
        TRY(ort->GetValueInfoName(values[i], &names[i]));
    return NULL;
}

static OrtStatus *make_node(const OrtApi *ort, const OrtNode *fused, struct attributes *a,
                            OrtNode **node)
{
    const OrtValueInfo *inputs[MAX_VALUES] = {NULL}, *outputs[4] = {NULL};
    const char *in[MAX_VALUES], *out[4], *name;
    size_t in_count, out_count;
    TRY(ort->Node_GetName(fused, &name));
    TRY(node_inputs(ort, fused, inputs, MAX_VALUES, &in_count));
    TRY(node_outputs(ort, fused, outputs, 4, &out_count));
    if (in_count > MAX_VALUES || out_count > 4)
        return fail(ort, "%s: too many inputs or outputs", name);
    TRY(names_of(ort, inputs, in_count, in));
    TRY(names_of(ort, outputs, out_count, out));
    const OrtModelEditorApi *editor = ort->GetModelEditorApi();
    if (!editor)
        return fail(ort, "this runtime cannot make models");
    return editor->CreateNode("EPContext", DOMAIN_NAME, name, in, in_count, out, out_count, a->list,
                              a->count, node);
}

static OrtStatus *add_all(struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                          const OrtNode *fused, const void *record, size_t size,
                          struct attributes *a)
{
    const int64_t one = 1, embed = c->embed;
    char path[4096], where[64];
    const char *name;
    TRY(ort->Node_GetName(fused, &name));
    TRY(add(ort, a, "main_context", &one, 1, ORT_OP_ATTR_INT));
    TRY(add(ort, a, "embed_mode", &embed, 1, ORT_OP_ATTR_INT));
    TRY(add_text(ort, a, "source", provider_name));
    TRY(add_text(ort, a, "ep_sdk_version", qdot_version()));
    TRY(add_text(ort, a, "partition_name", name));
    if (c->embed)
        return add(ort, a, "ep_cache_context", record, size, ORT_OP_ATTR_STRING);
    TRY(written_path(c, ort, graph, path, sizeof(path)));
    TRY(append(c, ort, path, record, size, where, sizeof(where)));
    TRY(add_text(ort, a, "ep_cache_context", name_in(path)));
    return add_text(ort, a, "notes", where);
}

OrtStatus *context_save(struct contexts *c, const struct group *g, const struct step *s,
                        const OrtGraph *graph, const OrtNode *fused, OrtNode **node)
{
    struct attributes a = {.count = 0};
    void *record;
    size_t size;
    TRY(record_write(g, s, &record, &size));
    OrtStatus *status = add_all(c, g->ort, graph, fused, record, size, &a);
    if (!status)
        status = make_node(g->ort, fused, &a, node);
    for (size_t i = 0; i < a.count; i++)
        g->ort->ReleaseOpAttr(a.list[i]);
    free(record);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct mapped {
    struct mapped *next;
    void *bytes;
    size_t size;
    char path[];
};

static OrtStatus *map(const OrtApi *ort, const char *path, struct mapped **out)
{
    struct stat status;
    struct mapped *m = NULL;
    void *bytes = MAP_FAILED;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0)
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int reason = errno;
    if (fd >= 0)
        close(fd);
    if (bytes == MAP_FAILED)
        return fail(ort, "%s: cannot be read: %s", path, fd < 0 ? strerror(reason) : "not a file");
    m = malloc(sizeof(*m) + strlen(path) + 1);
    if (!m) {
        munmap(bytes, (size_t)status.st_size);
        return fail(ort, "%s: no memory for it", path);
    }
    m->bytes = bytes;
    m->size = (size_t)status.st_size;
    strcpy(m->path, path);
    *out = m;
    return NULL;
}

/* The file of this name beside the model, mapped once. */
static OrtStatus *mapped_file(struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                              const char *name, const struct mapped **out)
{
    char path[4096];
    const char *model;
    struct mapped *m = c->mapped;
    TRY(model_path(c, ort, graph, &model));
    const int directory = (int)(name_in(model) - model);
    const int length = snprintf(path, sizeof(path), "%.*s%s", directory, model, name);
    if (!*name || strchr(name, '/') || length < 0 || (size_t)length >= sizeof(path))
        return fail(ort, "ep_cache_context: expected a name of a file beside the model, got '%s'",
                    name);
    while (m && strcmp(m->path, path) != 0)
        m = m->next;
    if (!m) {
        TRY(map(ort, path, &m));
        m->next = c->mapped;
        c->mapped = m;
    }
    *out = m;
    return NULL;
}

static OrtStatus *from_file(struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                            const OrtNode *node, const void **bytes, size_t *size)
{
    char name[256] = "", notes[64] = "";
    uint64_t at = 0, count = 0;
    const struct mapped *m;
    TRY(node_string(ort, node, "ep_cache_context", name, sizeof(name)));
    TRY(node_string(ort, node, "notes", notes, sizeof(notes)));
    TRY(mapped_file(c, ort, graph, name, &m));
    if (sscanf(notes, "%" SCNu64 " %" SCNu64, &at, &count) != 2 || at % RECORD_ALIGNMENT ||
        at > m->size || count > m->size - at)
        return fail(ort, "%s: expected %" PRIu64 " bytes at %" PRIu64 " of it, it has %zu: damaged",
                    m->path, count, at, m->size);
    *bytes = (const uint8_t *)m->bytes + at;
    *size = (size_t)count;
    return NULL;
}

/* 'memory' is to be freed. */
static OrtStatus *from_model(const OrtApi *ort, const OrtNode *node, void **memory, size_t *size)
{
    const OrtOpAttr *attr = NULL;
    char none;
    size_t need = 0;
    TRY(ort->Node_GetAttributeByName(node, "ep_cache_context", &attr));
    if (!attr)
        return fail(ort, "an EPContext node without ep_cache_context");
    OrtStatus *const asked = ort->ReadOpAttr(attr, ORT_OP_ATTR_STRING, &none, 0, &need);
    if (asked) /* which says how much there is */
        ort->ReleaseStatus(asked);
    *memory = aligned_alloc(RECORD_ALIGNMENT, (need / RECORD_ALIGNMENT + 1) * RECORD_ALIGNMENT);
    if (!*memory)
        return fail(ort, "no memory for a context of %zu bytes", need);
    return ort->ReadOpAttr(attr, ORT_OP_ATTR_STRING, *memory, need, size);
}

OrtStatus *context_load(struct contexts *c, const OrtApi *ort, const OrtGraph *graph,
                        const OrtNode *node, struct record *r, struct group *g, void **memory)
{
    int64_t embed = 1;
    const void *bytes;
    size_t size = 0;
    *memory = NULL;
    TRY(node_int(ort, node, "embed_mode", &embed));
    if (embed) {
        TRY(from_model(ort, node, memory, &size));
        bytes = *memory;
    } else {
        TRY(from_file(c, ort, graph, node, &bytes, &size));
    }
    return record_read(ort, node, bytes, size, r, g);
}

void context_release(struct contexts *c)
{
    if (c->file)
        fclose(c->file);
    while (c->mapped) {
        struct mapped *m = c->mapped;
        c->mapped = m->next;
        munmap(m->bytes, m->size);
        free(m);
    }
}
