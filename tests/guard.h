/* Memory between two unmapped pages, so that a read or write outside it faults. */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GUARD_POISON = 0xAA };

struct guarded {
    uint8_t *memory; /* the bytes asked for: up against the page after them, or the one before */
    size_t bytes;
    uint8_t *pages; /* what is mapped around them, poisoned */
    size_t page_bytes;
    void *map;
    size_t map_bytes;
};

bool guarded_alloc(struct guarded *g, size_t bytes, bool at_end);
void guarded_free(struct guarded *g); /* zeroed is fine */

#endif
