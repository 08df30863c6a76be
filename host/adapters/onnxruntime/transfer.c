/* Copies that the runtime asks for, at the edges of what the provider was given of a graph. */
#include "transfer.h"
#include <stdlib.h>
#include <string.h>

struct transfer {
    OrtDataTransferImpl base; /* first: the runtime's pointer to it is ours */
    const OrtApi *ort;
    const OrtEpApi *ep;
    const struct memories *all;
};

static bool is_host(const struct transfer *t, const OrtMemoryDevice *device)
{
    return t->ep->MemoryDevice_GetDeviceType(device) == OrtMemoryInfoDeviceType_CPU;
}

/* NULL: not ours */
static struct memory *memory_of(const struct transfer *t, const OrtMemoryDevice *device)
{
    for (size_t i = 0; i < t->all->count; i++) {
        const OrtMemoryInfo *info = memory_info(t->all->list[i]);
        if (t->ep->MemoryDevice_AreEqual(device, t->ep->MemoryInfo_GetMemoryDevice(info)))
            return t->all->list[i];
    }
    return NULL;
}

static bool ORT_API_CALL can_copy(const OrtDataTransferImpl *base, const OrtMemoryDevice *from,
                                  const OrtMemoryDevice *to) NO_EXCEPTION
{
    const struct transfer *t = (const struct transfer *)base;
    const struct memory *source = memory_of(t, from), *target = memory_of(t, to);
    return (source && is_host(t, to)) || (target && is_host(t, from)) ||
           (source && source == target);
}

/* Where a tensor is: a buffer of 'memory', or on the host. */
static OrtStatus *find(const struct transfer *t, const OrtValue *value, struct memory **memory,
                       struct qdot_output *place)
{
    memset(place, 0, sizeof(*place));
    TRY(t->ort->GetTensorMutableData((OrtValue *)(uintptr_t)value, &place->host));
    *memory = memory_of(t, t->ep->Value_GetMemoryDevice(value));
    if (!*memory)
        return NULL;
    if (!memory_find(*memory, place->host, &place->buffer, &place->offset_bytes))
        return fail(t->ort, "an address that is none of device %s", memory_name(*memory));
    place->host = NULL;
    return NULL;
}

static OrtStatus *copy(const struct transfer *t, const OrtValue *from, OrtValue *to)
{
    struct memory *source, *target;
    struct qdot_output in, out;
    size_t bytes, room;
    TRY(t->ort->GetTensorSizeInBytes(from, &bytes));
    TRY(t->ort->GetTensorSizeInBytes(to, &room));
    if (bytes != room)
        return fail(t->ort, "a copy: expected %zu bytes, got %zu", room, bytes);
    if (bytes == 0)
        return NULL;
    TRY(find(t, from, &source, &in));
    TRY(find(t, to, &target, &out));
    if (source && target)
        return memory_copy(source, out.buffer, out.offset_bytes, in.buffer, in.offset_bytes, bytes);
    if (source)
        return memory_read(source, in.buffer, in.offset_bytes, out.host, bytes);
    if (target)
        return memory_write(target, out.buffer, out.offset_bytes, in.host, bytes);
    memcpy(out.host, in.host, bytes);
    return NULL;
}

static OrtStatus *ORT_API_CALL copy_tensors(OrtDataTransferImpl *base, const OrtValue **from,
                                            OrtValue **to, OrtSyncStream **streams,
                                            size_t count) NO_EXCEPTION
{
    (void)streams;
    for (size_t i = 0; i < count; i++)
        TRY(copy((const struct transfer *)base, from[i], to[i]));
    return NULL;
}

static void ORT_API_CALL release(OrtDataTransferImpl *base) NO_EXCEPTION
{
    free(base);
}

OrtStatus *transfer_create(const OrtApi *ort, const struct memories *all,
                           OrtDataTransferImpl **transfer)
{
    struct transfer *t = calloc(1, sizeof(*t));
    *transfer = NULL;
    if (!t)
        return fail(ort, "no memory for copies");
    t->base.ort_version_supported = ADAPTER_API;
    t->base.Release = release;
    t->base.CanCopy = can_copy;
    t->base.CopyTensors = copy_tensors;
    t->ort = ort;
    t->ep = ort->GetEpApi();
    t->all = all;
    *transfer = &t->base;
    return NULL;
}
