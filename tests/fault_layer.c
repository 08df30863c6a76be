/* What goes wrong, and at which call; objects that are alive. */
#include "fault_layer.h"
#include <execinfo.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES = 12, SITES_MAX = 4096 };

struct object {
    const void *handle;
    const char *maker;
};

/* Of the process, as the drivers are. */
static struct {
    pthread_mutex_t lock;
    enum fault_kind kind;
    const char *only, *hit;
    size_t at, calls, others; /* others: results, or launches */
    int code;
    uint64_t sites[SITES_MAX];
    size_t site_calls[SITES_MAX], site_count, site_first; /* first: since fault_set */
    struct object *objects;
    size_t object_count, object_capacity, misused;
} layer = {.lock = PTHREAD_MUTEX_INITIALIZER};

void fault_set(enum fault_kind kind, size_t at, int code)
{
    pthread_mutex_lock(&layer.lock);
    layer.kind = kind;
    layer.at = at;
    layer.code = code;
    layer.calls = layer.others = 0;
    layer.site_first = layer.site_count;
    layer.hit = NULL;
    pthread_mutex_unlock(&layer.lock);
}

__attribute__((constructor)) static void from_environment(void)
{
    static const char *const kinds[] = {
        [FAULT_FAIL] = "fail", [FAULT_LOSE] = "lose",       [FAULT_HANG] = "hang",
        [FAULT_DROP] = "drop", [FAULT_CORRUPT] = "corrupt",
    };
    const char *text = getenv("QDOT_FAULT");
    char kind[16];
    size_t at = 0;
    int code = -5; /* OpenCL's of resources; Vulkan's of no meaning here */
    layer.only = getenv("QDOT_FAULT_CALL");
    if (!text)
        return;
    if (sscanf(text, "%15[a-z]:%zu:%d", kind, &at, &code) >= 2)
        for (size_t i = FAULT_FAIL; i <= FAULT_DROP; i++)
            if (strcmp(kinds[i], kind) == 0)
                fault_set((enum fault_kind)i, at, code);
    if (layer.kind == FAULT_NONE) {
        fprintf(stderr, "QDOT_FAULT=%s: expected fail, lose, hang, corrupt or drop, :N[:CODE]\n",
                text);
        _exit(2);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* The chain of callers, as a number. */
static uint64_t site(void)
{
    void *frames[FRAMES];
    uint64_t hash = 0;
    const int count = backtrace(frames, FRAMES);
    for (int i = 0; i < count; i++)
        hash = (hash ^ (uintptr_t)frames[i]) * 0x9e3779b97f4a7c15u;
    return hash;
}

static void note_site(uint64_t here)
{
    for (size_t i = 0; i < layer.site_count; i++)
        if (layer.sites[i] == here)
            return;
    if (layer.site_count == SITES_MAX)
        return;
    layer.sites[layer.site_count] = here;
    layer.site_calls[layer.site_count++] = layer.calls;
}

bool fault_here(const char *call, int *code)
{
    if (layer.only && strcmp(layer.only, call) != 0)
        return false;
    const uint64_t here = layer.kind == FAULT_WATCH ? site() : 0;
    pthread_mutex_lock(&layer.lock);
    const size_t n = ++layer.calls;
    const bool it = layer.kind == FAULT_LOSE ? n >= layer.at : n == layer.at;
    const bool hangs = it && layer.kind == FAULT_HANG;
    const bool fails = it && (layer.kind == FAULT_FAIL || layer.kind == FAULT_LOSE);
    if (layer.kind == FAULT_WATCH)
        note_site(here);
    if ((hangs || fails) && !layer.hit)
        layer.hit = call;
    *code = layer.code;
    pthread_mutex_unlock(&layer.lock);
    while (hangs)
        pause();
    return fails;
}

bool fault_now(enum fault_kind kind)
{
    pthread_mutex_lock(&layer.lock);
    const bool it = layer.kind == kind && ++layer.others >= layer.at;
    pthread_mutex_unlock(&layer.lock);
    return it;
}

size_t fault_calls(void)
{
    return layer.calls;
}

const char *fault_hit(void)
{
    return layer.hit;
}

size_t fault_sites(size_t *calls, size_t capacity)
{
    const size_t found = layer.site_count - layer.site_first;
    const size_t count = found < capacity ? found : capacity;
    memcpy(calls, layer.site_calls + layer.site_first, count * sizeof(*calls));
    return count;
}

/* ---- objects --------------------------------------------------------------------------------- */

void fault_add(const void *object, const char *maker)
{
    pthread_mutex_lock(&layer.lock);
    if (layer.object_count == layer.object_capacity) {
        const size_t capacity = layer.object_capacity ? 2 * layer.object_capacity : 256;
        struct object *objects = realloc(layer.objects, capacity * sizeof(*objects));
        if (!objects)
            abort();
        layer.objects = objects;
        layer.object_capacity = capacity;
    }
    layer.objects[layer.object_count++] = (struct object){object, maker};
    pthread_mutex_unlock(&layer.lock);
}

void fault_remove(const void *object)
{
    pthread_mutex_lock(&layer.lock);
    size_t i = layer.object_count;
    while (i > 0 && layer.objects[i - 1].handle != object)
        i--;
    if (i > 0)
        layer.objects[i - 1] = layer.objects[--layer.object_count];
    else
        layer.misused++;
    pthread_mutex_unlock(&layer.lock);
}

size_t fault_live(void)
{
    return layer.object_count;
}

size_t fault_misused(void)
{
    return layer.misused;
}

const char *fault_live_name(void)
{
    return layer.object_count ? layer.objects[layer.object_count - 1].maker : "nothing";
}

/* ---- lies ------------------------------------------------------------------------------------ */

const char *lie_text(const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = getenv("QDOT_FAULT_LIES"); at && *at;) {
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
        at += strcspn(at, ",");
        at += *at == ',';
    }
    return NULL;
}

bool lie(const char *name, unsigned long long *value)
{
    const char *text = lie_text(name);
    if (text)
        *value = strtoull(text, NULL, 0);
    return text != NULL;
}
