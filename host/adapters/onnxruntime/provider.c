/* The provider: its options, its device, and what the runtime asks of it. */
#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "claim.h"
#include "context.h"
#include "memory.h"
#include "part.h"

/* ---- the provider ------------------------------------------------------------------------------ */

static OrtStatus *ORT_API_CALL get_capability(OrtEp *base, const OrtGraph *graph,
                                              OrtEpGraphSupportInfo *support) NO_EXCEPTION
{
    return claim_graph((const struct provider *)base, graph, support);
}

static OrtStatus *ORT_API_CALL compile(OrtEp *base, const OrtGraph **graphs, const OrtNode **fused,
                                       size_t count, OrtNodeComputeInfo **infos,
                                       OrtNode **context_nodes) NO_EXCEPTION
{
    struct provider *p = (struct provider *)base;
    OrtStatus *status = NULL;
    memset(infos, 0, count * sizeof(*infos));
    for (size_t i = 0; i < count && !status; i++)
        status = part_make(p, graphs[i], fused[i], &infos[i], &context_nodes[i]);
    if (!status)
        status = context_written(&p->contexts, p->ort);
    for (size_t i = 0; i < count && status; i++) {
        part_release(infos[i]);
        infos[i] = NULL;
    }
    return status;
}

static void ORT_API_CALL release_parts(OrtEp *base, OrtNodeComputeInfo **infos,
                                       size_t count) NO_EXCEPTION
{
    (void)base;
    for (size_t i = 0; i < count; i++)
        part_release(infos[i]);
}

static const char *ORT_API_CALL get_name(const OrtEp *ep) NO_EXCEPTION
{
    (void)ep;
    return provider_name;
}

/* Channels last: a pixel is a row of a product. The runtime inserts what transposes are needed. */
static OrtStatus *ORT_API_CALL get_layout(OrtEp *ep, OrtEpDataLayout *layout) NO_EXCEPTION
{
    (void)ep;
    *layout = OrtEpDataLayout_NHWC;
    return NULL;
}

static OrtStatus *ORT_API_CALL converts_layout(OrtEp *ep, const char *domain, const char *name,
                                               OrtEpDataLayout layout, int *converts) NO_EXCEPTION
{
    (void)ep;
    *converts = layout == OrtEpDataLayout_NHWC && prefers_channels_last(domain, name);
    return NULL;
}

/* What went between host and device until now, for who reads the session's log. */
static OrtStatus *ORT_API_CALL end_run(OrtEp *base, const OrtRunOptions *options,
                                       bool sync) NO_EXCEPTION
{
    const struct provider *p = (const struct provider *)base;
    const struct copies all = memory_copies(p->memory);
    (void)options;
    (void)sync;
    note(p,
         "%s: copied so far: %" PRIu64 " tensors of %" PRIu64 " bytes in, %" PRIu64 " of %" PRIu64
         " out",
         memory_name(p->memory), all.in, all.bytes_in, all.out, all.bytes_out);
    return NULL;
}

/* Options come as entries of the session's: "ep.qdotexecutionprovider.device". */
struct options {
    char device[24], threads[24], cache_dir[512];
};

static OrtStatus *read_option(const OrtApi *ort, struct options *o, const char *name,
                              const char *value)
{
    const struct {
        const char *name;
        char *text;
        size_t bytes;
    } known[] = {{"device", o->device, sizeof(o->device)},
                 {"threads", o->threads, sizeof(o->threads)},
                 {"cache_dir", o->cache_dir, sizeof(o->cache_dir)}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(name, known[i].name) == 0) {
            const int length = snprintf(known[i].text, known[i].bytes, "%s", value);
            return length >= 0 && (size_t)length < known[i].bytes
                       ? NULL
                       : fail(ort, "option %s: expected at most %zu characters", name,
                              known[i].bytes - 1);
        }
    return fail(ort, "option '%s': expected device, threads or cache_dir", name);
}

/* What the session says of EPContext models. */
static OrtStatus *read_context_option(const OrtApi *ort, struct contexts *c, const char *name,
                                      const char *value)
{
    if (strcmp(name, "ep.context_enable") == 0)
        c->enabled = strcmp(value, "1") == 0;
    else if (strcmp(name, "ep.context_embed_mode") == 0)
        c->embed = strcmp(value, "1") == 0;
    else if (strcmp(name, "ep.context_file_path") == 0 &&
             snprintf(c->path, sizeof(c->path), "%s", value) >= (int)sizeof(c->path))
        return fail(ort, "ep.context_file_path: expected at most %zu characters",
                    sizeof(c->path) - 1);
    return NULL;
}

static OrtStatus *read_options(const OrtApi *ort, const OrtSessionOptions *options,
                               struct options *o, struct contexts *c)
{
    static const char prefix[] = "ep.qdotexecutionprovider.";
    OrtKeyValuePairs *entries = NULL;
    const char *const *keys, *const *values;
    size_t count;
    OrtStatus *status = NULL;
    TRY(ort->GetSessionOptionsConfigEntries(options, &entries));
    ort->GetKeyValuePairs(entries, &keys, &values, &count);
    for (size_t i = 0; i < count && !status; i++)
        if (strncmp(keys[i], prefix, sizeof(prefix) - 1) == 0)
            status = read_option(ort, o, keys[i] + sizeof(prefix) - 1, values[i]);
        else
            status = read_context_option(ort, c, keys[i], values[i]);
    ort->ReleaseKeyValuePairs(entries);
    return status;
}

static size_t usable_processors(void)
{
    cpu_set_t set;
    const int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > 1024 ? 1024 : (size_t)count;
}

/* What every Vulkan and OpenCL device takes as one operand; the CPU has no limit. */
#define DEVICE_BYTES ((size_t)1 << 27)

static OrtStatus *open_device(struct provider *p, const struct options *o, struct shared *shared)
{
    struct qdot_error err = {0};
    const char *cache_dir = o->cache_dir[0] ? o->cache_dir : NULL;
    char *end;
    const unsigned long threads = strtoul(o->threads, &end, 10);
    if (*end || (o->threads[0] && !isdigit((unsigned char)o->threads[0])) || threads > 1024)
        return fail(p->ort, "option threads: expected 0 to 1024, got '%s'", o->threads);
    /* How many the runtime's pool has it does not say: by default one a processor. */
    p->threads = threads ? threads : usable_processors();
    p->most_bytes =
        p->memory || (o->device[0] && strcmp(o->device, "cpu") != 0) ? DEVICE_BYTES : SIZE_MAX;
    if (p->memory && o->device[0] && strcmp(o->device, memory_name(p->memory)) != 0)
        return fail(p->ort, "option device: the session's device is %s, got '%s'",
                    memory_name(p->memory), o->device);
    struct qdot_device_desc desc = {
        .size = sizeof(desc),
        .device = "cpu",
        .cache_dir = cache_dir,
        .threads = {p->threads, NULL, call_parallel_for},
        .packed_cache = shared_cache(shared),
    };
    if (qdot_open(&desc, &p->host, &err))
        return fail_qdot(p->ort, &err);
    if (p->memory)
        return memory_device(p->memory, cache_dir, &p->device);
    p->device = p->host;
    if (!o->device[0] || strcmp(o->device, "cpu") == 0)
        return NULL;
    desc.device = o->device;
    return qdot_open(&desc, &p->device, &err) ? fail_qdot(p->ort, &err) : NULL;
}

OrtStatus *provider_create(const OrtApi *ort, const OrtSessionOptions *options,
                           const OrtLogger *logger, struct shared *shared, struct memory *memory,
                           struct provider **out)
{
    struct options o = {0};
    struct contexts contexts = {0};
    *out = NULL;
    TRY(read_options(ort, options, &o, &contexts));
    struct provider *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(ort, "no memory for the provider");
    p->base.ort_version_supported = ADAPTER_API;
    p->base.GetName = get_name;
    p->base.GetCapability = get_capability;
    p->base.Compile = compile;
    p->base.ReleaseNodeComputeInfos = release_parts;
    p->base.GetPreferredDataLayout = get_layout;
    p->base.ShouldConvertDataLayoutForOp = converts_layout;
    p->ort = ort;
    p->ep = ort->GetEpApi();
    p->contexts = contexts;
    p->logger = logger;
    p->memory = memory;
    if (memory)
        p->base.OnRunEnd = end_run;
    OrtStatus *const status = open_device(p, &o, shared);
    if (status)
        provider_release(p);
    else
        *out = p;
    return status;
}

void provider_release(struct provider *p)
{
    if (!p)
        return;
    if (p->arena)
        p->ort->ReleaseAllocator(p->arena);
    if (!p->memory && p->device != p->host)
        qdot_close(p->device);
    qdot_close(p->host);
    context_release(&p->contexts);
    free(p);
}
