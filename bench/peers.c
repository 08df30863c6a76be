#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peers.h"

#define FLOAT_EXACT (1 << 24) /* integers up to here are binary32 values */

const struct peer *peer_named(const char *name, size_t length)
{
    for (size_t i = 0; peers[i]; i++)
        if (strlen(peers[i]->name) == length && strncmp(peers[i]->name, name, length) == 0)
            return peers[i];
    return NULL;
}

bool peer_check(const struct peer *peer, void *work, const struct product *p, char *note,
                size_t note_bytes)
{
    const size_t count = p->m * p->n;
    size_t beyond = 0;
    struct qdot_error err = {0};
    int32_t *c = verify_alloc(count, sizeof(*c));
    if (!c) {
        snprintf(note, note_bytes, "no memory to verify the result");
        return false;
    }
    memset(c, VERIFY_POISON, count * sizeof(*c));
    if (peer->read(work, c, &err) != QDOT_OK) {
        snprintf(note, note_bytes, "%s", err.text);
        free(c);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (c[i] == p->acc[i])
            continue;
        if (peer->floating && (p->acc[i] >= FLOAT_EXACT || p->acc[i] <= -FLOAT_EXACT)) {
            beyond++;
            continue;
        }
        snprintf(note, note_bytes, "c[%zu][%zu] is %d, expected %d", i / p->n, i % p->n, (int)c[i],
                 (int)p->acc[i]);
        free(c);
        return false;
    }
    free(c);
    if (beyond)
        snprintf(note, note_bytes, "%zu of %zu values equal, the others beyond 2^24 in binary32",
                 count - beyond, count);
    else
        snprintf(note, note_bytes, "all %zu values equal", count);
    return true;
}

const struct peer *const peers[] = {&peer_clblast, &peer_onednn, NULL};
