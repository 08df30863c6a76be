/* What peers that are loaded at run time share. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "peak.h"
#include "peers.h"

/* It stays: other libraries' threads and exit handlers may outlive a peer. */
static void *library(const char *name)
{
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

bool peer_library_present(const char *name, const char *package, char *reason, size_t reason_bytes)
{
    if (library(name))
        return true;
    snprintf(reason, reason_bytes, "no %s: install %s", name, package);
    return false;
}

int peer_library_load(const char *name, const struct peer_symbol *symbols, size_t count,
                      struct qdot_error *err)
{
    void *handle = library(name);
    if (!handle)
        return bench_fail(err, QDOT_UNSUPPORTED, "no %s", name);
    for (size_t i = 0; i < count; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (!symbol)
            return bench_fail(err, QDOT_UNSUPPORTED, "%s has no %s", name, symbols[i].name);
        memcpy(symbols[i].function, &symbol, sizeof(symbol));
    }
    return QDOT_OK;
}
