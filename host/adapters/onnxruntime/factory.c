/* The exports of the library and the factory of providers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter.h"

#define EXPORT __attribute__((visibility("default")))

const char provider_name[] = "QdotExecutionProvider";

struct factory {
    OrtEpFactory base; /* first: the runtime's pointer to it is ours */
    const OrtApi *ort;
    const OrtEpApi *ep;
    struct shared *shared;
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

/* One provider a machine, on its CPU: which device of qdot it computes on is an option. */
static OrtStatus *ORT_API_CALL get_devices(OrtEpFactory *base,
                                           const OrtHardwareDevice *const *devices, size_t count,
                                           OrtEpDevice **ep_devices, size_t capacity,
                                           size_t *ep_count) NO_EXCEPTION
{
    const struct factory *f = (const struct factory *)base;
    *ep_count = 0;
    for (size_t i = 0; i < count && *ep_count < 1 && capacity > 0; i++) {
        if (f->ort->HardwareDevice_Type(devices[i]) != OrtHardwareDeviceType_CPU)
            continue;
        TRY(f->ep->CreateEpDevice(base, devices[i], NULL, NULL, &ep_devices[0]));
        *ep_count = 1;
    }
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
    (void)metadata;
    (void)logger;
    *ep = NULL;
    if (count != 1)
        return fail(f->ort, "expected one device, got %zu", count);
    TRY(provider_create(f->ort, options, f->shared, &provider));
    *ep = &provider->base;
    return NULL;
}

static void ORT_API_CALL release_ep(OrtEpFactory *factory, OrtEp *ep) NO_EXCEPTION
{
    (void)factory;
    provider_release((struct provider *)ep);
}

/* Tensors are host memory: the runtime's own allocators, no copies, no streams. */
static OrtStatus *ORT_API_CALL create_allocator(OrtEpFactory *factory, const OrtMemoryInfo *info,
                                                const OrtKeyValuePairs *options,
                                                OrtAllocator **allocator) NO_EXCEPTION
{
    (void)factory;
    (void)info;
    (void)options;
    *allocator = NULL;
    return NULL;
}

static void ORT_API_CALL release_allocator(OrtEpFactory *factory,
                                           OrtAllocator *allocator) NO_EXCEPTION
{
    (void)factory;
    (void)allocator;
}

static OrtStatus *ORT_API_CALL create_transfer(OrtEpFactory *factory,
                                               OrtDataTransferImpl **transfer) NO_EXCEPTION
{
    (void)factory;
    *transfer = NULL;
    return NULL;
}

static bool ORT_API_CALL is_stream_aware(const OrtEpFactory *factory) NO_EXCEPTION
{
    (void)factory;
    return false;
}

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

OrtStatus *ReleaseEpFactory(OrtEpFactory *factory)
{
    if (factory)
        shared_release(((struct factory *)factory)->shared);
    free(factory);
    return NULL;
}
