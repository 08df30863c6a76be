/* Copies that the runtime asks for: between the host and devices, and within a device. */
#ifndef ADAPTER_TRANSFER_H
#define ADAPTER_TRANSFER_H

#include "memory.h"

/* Devices with memory of their own: with the one on the host no more than a runtime takes (8). */
#define MAX_MEMORIES 7

struct memories {
    struct memory *list[MAX_MEMORIES];
    size_t count;
};

/* It releases itself; 'all' outlives it. */
OrtStatus *transfer_create(const OrtApi *ort, const struct memories *all,
                           OrtDataTransferImpl **transfer);

#endif
