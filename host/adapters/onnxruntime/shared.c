/* Packed weights that the sessions of a process share: one copy, for as long as a session uses it. */
#include <stdlib.h>
#include <string.h>
#include "adapter.h"

enum { ALIGNMENT = 64 };

/* In front of the bytes themselves. */
struct entry {
    _Alignas(ALIGNMENT) struct entry *next;
    struct entry **link; /* what points to this one */
    size_t bytes, uses;
    char key[QDOT_KEY_BYTES];
};

struct shared {
    pthread_mutex_t lock;
    struct entry *entries;
};

struct shared *shared_create(void)
{
    struct shared *s = calloc(1, sizeof(*s));
    if (s && pthread_mutex_init(&s->lock, NULL)) {
        free(s);
        s = NULL;
    }
    return s;
}

void shared_release(struct shared *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock); /* sessions are gone before it, and with them the entries */
    free(s);
}

/* With one more use of it; the lock is held. */
static struct entry *find(struct shared *s, const char *key, size_t bytes)
{
    struct entry *e = s->entries;
    while (e && (e->bytes != bytes || strcmp(e->key, key) != 0))
        e = e->next;
    if (e)
        e->uses++;
    return e;
}

static struct entry *copy_of(const char *key, const void *packed, size_t bytes)
{
    if (strlen(key) >= QDOT_KEY_BYTES || bytes > SIZE_MAX / 2)
        return NULL;
    const size_t whole = (sizeof(struct entry) + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct entry *e = aligned_alloc(ALIGNMENT, whole);
    if (!e)
        return NULL;
    memset(e, 0, sizeof(*e));
    strcpy(e->key, key);
    e->bytes = bytes;
    e->uses = 1;
    memcpy(e + 1, packed, bytes);
    return e;
}

static const void *look_up(void *ctx, const char *key, size_t bytes)
{
    struct shared *s = ctx;
    pthread_mutex_lock(&s->lock);
    const struct entry *e = find(s, key, bytes);
    pthread_mutex_unlock(&s->lock);
    return e ? e + 1 : NULL;
}

static const void *insert(void *ctx, const char *key, const void *packed, size_t bytes)
{
    struct shared *s = ctx;
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, key, bytes);
    if (!e) {
        e = copy_of(key, packed, bytes);
        if (e) {
            e->next = s->entries;
            e->link = &s->entries;
            if (e->next)
                e->next->link = &e->next;
            s->entries = e;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return e ? e + 1 : NULL;
}

static void release(void *ctx, const void *packed)
{
    struct shared *s = ctx;
    struct entry *e = (struct entry *)(uintptr_t)packed - 1;
    pthread_mutex_lock(&s->lock);
    if (--e->uses == 0) {
        *e->link = e->next;
        if (e->next)
            e->next->link = e->link;
        free(e);
    }
    pthread_mutex_unlock(&s->lock);
}

struct qdot_packed_cache shared_cache(struct shared *s)
{
    return (struct qdot_packed_cache){s, look_up, insert, release};
}
