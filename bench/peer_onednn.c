#include <stdio.h>
#include "peers.h"
static bool absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes, "not built: install libdnnl-dev and build again");
    return false;
}
const struct peer peer_onednn = {.name = "onednn", .backend = "cpu", .present = absent};
