/* The exports of the library and the factory of providers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "transfer.h"

#define EXPORT __attribute__((visibility("default")))

const char provider_name[] = "QdotExecutionProvider";

struct factory {
    OrtEpFactory base; /* first: the runtime's pointer to it is ours */
    const OrtApi *ort;
    const OrtEpApi *ep;
    struct shared *shared;
    struct memories memories;
};

static const char *ORT_API_CALL get_name(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return provider_name;
}

static const char *ORT_API_CALL get_vendor(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return "qdot";
}

static uint32_t ORT_API_CALL get_vendor_id(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return 0; /* no PCI vendor */
}

static const char *ORT_API_CALL get_version(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return qdot_version();
}

/* ---- devices ----------------------------------------------------------------------------------- */

/* In the metadata of a device: "cpu", "opencl:0" ... */
static const char device_key[] = "device";

/* One more device: on the memory of the host, or with its own. */
static OrtStatus *add_device(struct factory *f, const OrtHardwareDevice *hardware,
                             const struct memory *memory, OrtEpDevice **device)
{
    OrtKeyValuePairs *metadata = NULL;
    f->ort->CreateKeyValuePairs(&metadata);
    f->ort->AddKeyValuePair(metadata, device_key, memory ? memory_name(memory) : "cpu");
    OrtStatus *status = f->ep->CreateEpDevice(&f->base, hardware, metadata, NULL, device);
    f->ort->ReleaseKeyValuePairs(metadata);
    if (!status && memory) {
        status = f->ep->EpDevice_AddAllocatorInfo(*device, memory_info(memory));
        if (status)
            f->ep->ReleaseEpDevice(*device);
    }
    return status;
}

/* The machine's OpenCL and Vulkan devices, in the order of 'qdot devices'; none is opened yet. */
static OrtStatus *find_memories(struct factory *f)
{
    struct qdot_device_info infos[32];
    size_t count;
    if (f->memories.count || qdot_devices(infos, sizeof(infos) / sizeof(*infos), &count, NULL))
        return NULL;
    for (size_t i = 0; i < count && i < sizeof(infos) / sizeof(*infos); i++) {
        struct memories *const all = &f->memories;
        if (!infos[i].available || strcmp(infos[i].backend, "cpu") == 0 ||
            all->count == MAX_MEMORIES)
            continue;
        TRY(memory_create(f->ort, infos[i].name, (int32_t)all->count, f->shared,
                          &all->list[all->count]));
        all->count++;
    }
    return NULL;
}

/* All are said to be on the machine's CPU: which hardware the others are the library does not know. */
static OrtStatus *ORT_API_CALL get_devices(OrtEpFactory *base,
                                           const OrtHardwareDevice *const *devices, size_t count,
                                           OrtEpDevice **ep_devices, size_t capacity,
                                           size_t *ep_count) NO_EXCEPTION
{
    struct factory *f = (struct factory *)base;
    const OrtHardwareDevice *cpu = NULL;
    OrtStatus *status = NULL;
    *ep_count = 0;
    for (size_t i = 0; i < count && !cpu; i++)
        if (f->ort->HardwareDevice_Type(devices[i]) == OrtHardwareDeviceType_CPU)
            cpu = devices[i];
    if (!cpu || capacity == 0)
        return NULL;
    TRY(find_memories(f));
    for (size_t i = 0; i <= f->memories.count && i < capacity && !status; i++) {
        status = add_device(f, cpu, i ? f->memories.list[i - 1] : NULL, &ep_devices[i]);
        *ep_count += !status;
    }
    return status;
}

/* Of one device; NULL: on the memory of the host. */
static struct memory *memory_named(const struct factory *f, const OrtKeyValuePairs *metadata)
{
    const char *name = metadata ? f->ort->GetKeyValue(metadata, device_key) : NULL;
    for (size_t i = 0; i < f->memories.count && name; i++)
        if (strcmp(memory_name(f->memories.list[i]), name) == 0)
            return f->memories.list[i];
    return NULL;
}

static OrtStatus *ORT_API_CALL create_ep(OrtEpFactory *base,
                                         const OrtHardwareDevice *const *devices,
                                         const OrtKeyValuePairs *const *metadata, size_t count,
                                         const OrtSessionOptions *options, const OrtLogger *logger,
                                         OrtEp **ep) NO_EXCEPTION
{
    const struct factory *f = (const struct factory *)base;
    struct provider *provider = NULL;
    (void)devices;
    *ep = NULL;
    if (count != 1)
        return fail(f->ort, "expected one device (by '%s' in its ep_metadata), got %zu", device_key,
                    count);
    TRY(provider_create(f->ort, options, logger, f->shared, memory_named(f, metadata[0]),
                        &provider));
    *ep = &provider->base;
    return NULL;
}

static void ORT_API_CALL release_ep(OrtEpFactory *factory, OrtEp *ep) NO_EXCEPTION
{
    (void)factory;
    provider_release((struct provider *)ep);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* NULL: on the host, where the runtime's own will do. */
static OrtStatus *ORT_API_CALL create_allocator(OrtEpFactory *base, const OrtMemoryInfo *info,
                                                const OrtKeyValuePairs *options,
                                                OrtAllocator **allocator) NO_EXCEPTION
{
    const struct factory *f = (const struct factory *)base;
    (void)options;
    *allocator = NULL;
    for (size_t i = 0; i < f->memories.count && info; i++) {
        int differs = 0;
        TRY(f->ort->CompareMemoryInfo(info, memory_info(f->memories.list[i]), &differs));
        if (!differs)
            *allocator = memory_allocator(f->memories.list[i]);
    }
    return NULL;
}

/* They are the factory's. */
static void ORT_API_CALL release_allocator(OrtEpFactory *factory,
                                           OrtAllocator *allocator) NO_EXCEPTION
{
    (void)factory;
    (void)allocator;
}

static OrtStatus *ORT_API_CALL create_transfer(OrtEpFactory *base,
                                               OrtDataTransferImpl **transfer) NO_EXCEPTION
{
    const struct factory *f = (const struct factory *)base;
    return transfer_create(f->ort, &f->memories, transfer);
}

/* The device does what it is given in one order, which is that of the runtime's calls. */
static bool ORT_API_CALL is_stream_aware(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return false;
}

/* ---- the exports ------------------------------------------------------------------------------- */

EXPORT OrtStatus *CreateEpFactories(const char *registered_name, const OrtApiBase *base,
                                    const OrtLogger *logger, OrtEpFactory **factories,
                                    size_t capacity, size_t *count);
EXPORT OrtStatus *ReleaseEpFactory(OrtEpFactory *factory);

OrtStatus *CreateEpFactories(const char *registered_name, const OrtApiBase *base,
                             const OrtLogger *logger, OrtEpFactory **factories, size_t capacity,
                             size_t *count)
{
    const OrtApi *ort = base->GetApi(ADAPTER_API);
    (void)registered_name;
    (void)logger;
    *count = 0;
    if (!ort) { /* only the interface of old runtimes can say so */
        char text[160];
        snprintf(text, sizeof(text), "%s: expected ONNX Runtime 1.%d or newer, got %s",
                 provider_name, ADAPTER_API, base->GetVersionString());
        ort = base->GetApi(1);
        return ort ? ort->CreateStatus(ORT_NOT_IMPLEMENTED, text) : NULL;
    }
    if (capacity < 1)
        return fail(ort, "expected room for one factory, got none");
    struct factory *f = calloc(1, sizeof(*f));
    struct shared *shared = shared_create();
    if (!f || !shared) {
        free(f);
        shared_release(shared);
        return fail(ort, "no memory for the factory");
    }
    f->base.ort_version_supported = ADAPTER_API;
    f->base.GetName = get_name;
    f->base.GetVendor = get_vendor;
    f->base.GetVendorId = get_vendor_id;
    f->base.GetVersion = get_version;
    f->base.GetSupportedDevices = get_devices;
    f->base.CreateEp = create_ep;
    f->base.ReleaseEp = release_ep;
    f->base.CreateAllocator = create_allocator;
    f->base.ReleaseAllocator = release_allocator;
    f->base.CreateDataTransfer = create_transfer;
    f->base.IsStreamAware = is_stream_aware;
    f->ort = ort;
    f->ep = ort->GetEpApi();
    f->shared = shared;
    factories[0] = &f->base;
    *count = 1;
    return NULL;
}

OrtStatus *ReleaseEpFactory(OrtEpFactory *base)
{
    struct factory *f = (struct factory *)base;
    for (size_t i = 0; f && i < f->memories.count; i++)
        memory_release(f->memories.list[i]);
    if (f)
        shared_release(f->shared);
    free(f);
    return NULL;
}
