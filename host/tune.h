/*
 * Times of rows on problems, and overrides, in memory: what tune.c looks up and tune_json.c reads
 * and prints. docs/tuning.md has the file.
 */
#ifndef QDOT_TUNE_H
#define QDOT_TUNE_H

#include "internal.h"

/* Limits of a file, and of a table. */
#define TUNE_FILE_BYTES ((size_t)16 << 20)
#define TUNE_TIMES ((size_t)1 << 16)
#define TUNE_OVERRIDES ((size_t)1 << 10)
#define TUNE_NS_MOST 1000000000000000u /* 11 days */
#define TUNE_THREADS_MOST 1024
#define TUNE_KEY 640

/* Of what a time is. Texts of at most 127, 127, 63 and 191 characters of ASCII, without controls. */
struct tune_entry {
    const char *device, *driver; /* driver "": any */
    const char *row;             /* "backend/row" */
    const char *problem;         /* or, with QDOT_BY_CLASS, the class */
    size_t threads;              /* 0 where it is not the CPU */
    enum qdot_basis basis;       /* QDOT_BY_CLASS, QDOT_BY_COPIES or QDOT_BY_TIME */
    uint64_t ns;
};

struct tune_override {
    char problem[192], device[128]; /* patterns: '*' is any text; device "": any */
    char row[64];
};

/* A time under the text of its entry; the index hashes those texts. 0: forgotten, and not to be
 * looked for elsewhere. */
struct tune_time {
    uint64_t hash, ns;
    size_t key; /* offset in 'text' */
};

struct qdot_tuning {
    struct tune_time *times;
    uint32_t *index; /* 1 + which time; 0: free. As many as a power of two, half of them free */
    char *text;
    struct tune_override *overrides;
    size_t count, index_size, text_bytes, text_capacity, override_count;
    bool any_driver; /* some time is without a driver */
};

/* Adds, or replaces the time; with 'least' only by a smaller one. False: no memory, or too many. */
bool tune_put(const struct qdot_device *device, struct qdot_tuning *t,
              const struct tune_entry *entry, bool least);
/* The first to say something of a problem and device wins: one that is there already stays. */
bool tune_override(const struct qdot_device *device, struct qdot_tuning *t,
                   const struct tune_override *override);
void tune_clear(const struct qdot_device *device, struct qdot_tuning *t);
/* Numbers of the times in the order of their keys, for qdot_release; NULL: no memory. */
size_t *tune_order(const struct qdot_device *device, const struct qdot_tuning *t);
/* The i-th as it was put; its texts are in 'key'. */
struct tune_entry tune_entry_at(const struct qdot_tuning *t, size_t i, char key[TUNE_KEY]);

/* ---- tune_json.c ----------------------------------------------------------------------------- */

#define TUNE_NO_JANSSON "this library was built without jansson (libjansson-dev)"
bool tune_has_files(void);
/* QDOT_INVALID: "NAME: line L: ..."; the table may have a part of it then. QDOT_UNSUPPORTED: built
 * without jansson. */
int tune_parse(const struct qdot_device *device, struct qdot_tuning *t, const char *text,
               size_t bytes, const char *name, struct qdot_error *err);
/* The text of a table, for qdot_release. QDOT_NO_MEMORY, or QDOT_UNSUPPORTED: without jansson. */
int tune_print(const struct qdot_device *device, const struct qdot_tuning *t, char **text,
               size_t *bytes, struct qdot_error *err);

#endif
