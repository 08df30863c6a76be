/*
 * Other libraries, timed on the same products and convolutions beside qdot. A peer is one entry of
 * the table in peers.c: open it for a device, prepare a product (packing and compiling are not
 * timed), run it, read its result for verification.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "verify.h"

/* Of a peer with one scale for all channels: sat(rne((acc + shift) * scale)) is its output. */
struct one_scale {
    int32_t shift; /* added mod 2^32 */
    float scale;
};

struct peer {
    const char *name;    /* what --peer accepts */
    const char *backend; /* the kind of devices it can be compared on */
    bool floating;       /* it computes in binary32: exact up to 2^24 */
    bool quantised;      /* it has u8 and s8 outputs */
    bool no_sums;        /* it has no s32 output */
    bool b_at_run;       /* it takes B with each run: s32 outputs */
    /* Is it built and installed? False and one line that says what to install. */
    bool (*present)(char *reason, size_t reason_bytes);
    /* device: as qdot names it; threads: on the CPU. QDOT_UNSUPPORTED: not on this device. */
    int (*open)(const char *device, size_t threads, void **peer, char *version,
                size_t version_bytes, struct qdot_error *err);
    void (*close)(void *peer);
    /* p: proven, without zero points. QDOT_UNSUPPORTED: not this kind of shape, types or output. */
    int (*prepare)(void *peer, const struct product *p, void **work, struct qdot_error *err);
    int (*run)(void *work, size_t runs, struct qdot_error *err); /* returns when all are done */
    /* out: m * n of the product's output; a value that is no int32 becomes INT32_MIN. */
    int (*read)(void *work, void *out, struct qdot_error *err);
    const char *(*how)(void *work); /* which of its ways it took: the row's name */
    /* u8 and s8 outputs: does it compute this instead? NULL: never. */
    bool (*one_scale)(void *work, struct one_scale *terms);
    void (*destroy)(void *work); /* NULL is fine */
};

/* A library that is loaded at run time, with what it is linked with, and some of its functions. */
struct peer_symbol {
    const char *name;
    void *function; /* where the pointer to it goes */
};
bool peer_library_present(const char *name, const char *package, char *reason, size_t reason_bytes);
int peer_library_load(const char *name, const struct peer_symbol *symbols, size_t count,
                      struct qdot_error *err);

extern const struct peer *const peers[]; /* ends with NULL */
const struct peer *peer_named(const char *name, size_t length);

/* The last run's result against the proven accumulators. 'note' says what was compared, or where
 * it is wrong. */
bool peer_check(const struct peer *peer, void *work, const struct product *p, char *note,
                size_t note_bytes);

extern const struct peer peer_clblast, peer_onednn, peer_onnxruntime, peer_openblas, peer_xnnpack;

#endif
