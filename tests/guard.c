#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "guard.h"

bool guarded_alloc(struct guarded *g, size_t bytes, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t page_bytes = (bytes + page - 1) / page * page;
    if (page_bytes == 0)
        page_bytes = page;
    *g = (struct guarded){.bytes = bytes, .page_bytes = page_bytes};
    g->map_bytes = page_bytes + 2 * page;
    void *map = mmap(NULL, g->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    g->map = map;
    g->pages = (uint8_t *)map + page;
    if (mprotect(g->pages, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        guarded_free(g);
        return false;
    }
    memset(g->pages, GUARD_POISON, page_bytes);
    g->memory = at_end ? g->pages + page_bytes - bytes : g->pages;
    return true;
}

void guarded_free(struct guarded *g)
{
    if (g->map)
        munmap(g->map, g->map_bytes);
    *g = (struct guarded){0};
}
