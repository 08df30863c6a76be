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

static bool same_sums(const struct peer *peer, const struct product *p, const int32_t *c,
                      char *note, size_t note_bytes)
{
    const size_t n = p->shape.n, count = p->shape.m * n;
    size_t beyond = 0;
    for (size_t i = 0; i < count; i++) {
        if (c[i] == p->acc[i])
            continue;
        if (peer->floating && (p->acc[i] >= FLOAT_EXACT || p->acc[i] <= -FLOAT_EXACT)) {
            beyond++;
            continue;
        }
        snprintf(note, note_bytes, "c[%zu][%zu] is %d, expected %d", i / n, i % n, (int)c[i],
                 (int)p->acc[i]);
        return false;
    }
    if (beyond)
        snprintf(note, note_bytes, "%zu of %zu values equal, the others beyond 2^24 in binary32",
                 count - beyond, count);
    else
        snprintf(note, note_bytes, "all %zu values equal", count);
    return true;
}

static bool same_with_one_scale(const struct product *p, struct one_scale terms, const void *out,
                                char *note, size_t note_bytes)
{
    const size_t n = p->shape.n, count = p->shape.m * n;
    struct product one = *p;
    bool good = false;
    one.scale = verify_alloc(n, sizeof(*one.scale));
    one.acc = verify_alloc(count, sizeof(*one.acc));
    if (!one.scale || !one.acc) {
        snprintf(note, note_bytes, "no memory to verify the result");
    } else {
        for (size_t j = 0; j < n; j++)
            one.scale[j] = terms.scale;
        for (size_t i = 0; i < count; i++)
            one.acc[i] = (int32_t)((uint32_t)p->acc[i] + (uint32_t)terms.shift);
        good = product_check(&one, out, note, note_bytes);
    }
    if (good)
        snprintf(note, note_bytes, "with one scale for all channels; all %zu values equal", count);
    free(one.scale);
    free(one.acc);
    return good;
}

bool peer_check(const struct peer *peer, void *work, const struct product *p, char *note,
                size_t note_bytes)
{
    const size_t count = p->shape.m * p->shape.n, bytes = count * type_bytes(p->out_type);
    struct qdot_error err = {0};
    struct one_scale terms;
    void *out = verify_alloc(bytes, 1);
    bool good = false;
    if (!out) {
        snprintf(note, note_bytes, "no memory to verify the result");
        return false;
    }
    memset(out, VERIFY_POISON, bytes);
    if (peer->read(work, out, &err) != QDOT_OK) {
        snprintf(note, note_bytes, "%s", err.text);
    } else if (p->out_type == QDOT_S32) {
        good = same_sums(peer, p, out, note, note_bytes);
    } else if (peer->one_scale && peer->one_scale(work, &terms)) {
        good = same_with_one_scale(p, terms, out, note, note_bytes);
    } else {
        good = product_check(p, out, note, note_bytes);
        if (good)
            snprintf(note, note_bytes, "all %zu values equal", count);
    }
    free(out);
    return good;
}

const struct peer *const peers[] = {&peer_clblast,  &peer_onednn,  &peer_onnxruntime,
                                    &peer_openblas, &peer_xnnpack, NULL};
