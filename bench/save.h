/* Files written whole or not at all: aside in the same directory, then renamed. */
#ifndef BENCH_SAVE_H
#define BENCH_SAVE_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

struct save {
    char *path;  /* where to; a symbolic link is followed */
    char *aside; /* NULL: 'path' is a device or a pipe, written in place at commit */
    const void *parts[2];
    size_t bytes[2];
    char *text; /* owned: the printed JSON */
};

/* Write aside. Both return false after a line on stderr, with nothing left on the disk. 'option'
 * and 'path' are for that line: "qdot gemm: --json out.json: ...". The parts of save_bytes must
 * live until the commit. save_json takes and deletes 'root', NULL being out of memory. */
bool save_bytes(struct save *save, const char *verb, const char *option, const char *path,
                const void *head, size_t head_bytes, const void *body, size_t body_bytes);
bool save_json(struct save *save, const char *verb, const char *option, const char *path,
               struct cJSON *root);

/* Makes it visible; false after a line on stderr. Then, or instead, discard: it frees, and removes
 * what was not committed. A zeroed struct save may be discarded. */
bool save_commit(struct save *save, const char *verb, const char *option);
void save_discard(struct save *save);

#endif
