/* The provider: what it claims of a graph, the steps it makes of that, and their calls. */
#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "context.h"
#include "device.h"
#include "memory.h"

/* ---- what is claimed --------------------------------------------------------------------------- */

/* A graph's nodes and which of them belong to a group already. */
struct claim {
    const OrtApi *ort;
    const OrtNode **nodes;
    bool *taken;
    size_t count;
};

static bool is_taken(const struct claim *c, const OrtNode *node)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->nodes[i] == node)
            return c->taken[i];
    return false;
}

static OrtStatus *is_named(const struct claim *c, const OrtNode *node, const char *name, bool *is)
{
    const char *type;
    TRY(c->ort->Node_GetOperatorType(node, &type));
    *is = strcmp(type, name) == 0;
    return NULL;
}

/* A node that is not ours, with DequantizeLinear before it: the runtime may have a quantised kernel
 * for it, which needs its DequantizeLinear and QuantizeLinear nodes left where they are. */
static OrtStatus *has_dequantized(const struct claim *c, const OrtNode *node, bool *has)
{
    const OrtValueInfo *inputs[MAX_VALUES] = {NULL};
    size_t count;
    TRY(node_inputs(c->ort, node, inputs, MAX_VALUES, &count));
    *has = false;
    for (size_t i = 0; i < count && i < MAX_VALUES && !*has; i++) {
        const OrtNode *before;
        TRY(value_producer(c->ort, inputs[i], &before));
        if (before)
            TRY(is_named(c, before, "DequantizeLinear", has));
    }
    return NULL;
}

static OrtStatus *quantize_is_ours(const struct claim *c, const struct group *g, bool *ours)
{
    const OrtNode *before;
    bool has = false;
    TRY(value_producer(c->ort, g->values[X].info, &before));
    if (before && !is_taken(c, before))
        TRY(has_dequantized(c, before, &has));
    *ours = !has;
    return NULL;
}

static OrtStatus *dequantize_is_ours(const struct claim *c, const struct group *g, bool *ours)
{
    const OrtNode *after[64] = {NULL};
    int64_t inputs[64];
    size_t count;
    *ours = false;
    TRY(c->ort->ValueInfo_GetValueNumConsumers(g->out.info, &count));
    if (count > 64)
        return NULL;
    TRY(c->ort->ValueInfo_GetValueConsumers(g->out.info, after, inputs, count));
    *ours = true;
    for (size_t i = 0; i < count && *ours; i++) {
        TRY(is_named(c, after[i], "QuantizeLinear", ours));
        *ours = *ours || is_taken(c, after[i]);
    }
    return NULL;
}

static OrtStatus *claim_group(struct claim *c, const struct provider *p, const struct group *g,
                              OrtEpGraphSupportInfo *support)
{
    const OrtNodeFusionOptions options = {ADAPTER_API, true};
    for (size_t i = 0; i < g->node_count; i++)
        if (is_taken(c, g->nodes[i]))
            return NULL;
    TRY(p->ep->EpGraphSupportInfo_AddNodesToFuse(support, g->nodes, g->node_count, &options));
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; j < g->node_count; j++)
            if (c->nodes[i] == g->nodes[j])
                c->taken[i] = true;
    return NULL;
}

static OrtStatus *claim_node(struct claim *c, const struct provider *p, const OrtNode *node,
                             bool edges, OrtEpGraphSupportInfo *support)
{
    struct group g = {.nodes = {node}, .node_count = 1};
    bool ours = true;
    TRY(context_is_ours(c->ort, node, &ours));
    if (ours)
        return claim_group(c, p, &g, support);
    ours = true;
    TRY(match(c->ort, node, &g));
    if (!g.op)
        return NULL;
    const bool quantize = g.op->kind == &quantize_kind;
    const bool dequantize = g.op->kind == &dequantize_kind;
    if ((quantize || dequantize) != edges)
        return NULL;
    if (quantize)
        TRY(quantize_is_ours(c, &g, &ours));
    if (dequantize)
        TRY(dequantize_is_ours(c, &g, &ours));
    return ours ? claim_group(c, p, &g, support) : NULL;
}

/* Groups first; then the QuantizeLinear and DequantizeLinear nodes that are left at their edges. */
static OrtStatus *claim_all(struct claim *c, const struct provider *p,
                            OrtEpGraphSupportInfo *support)
{
    for (int edges = 0; edges < 2; edges++)
        for (size_t i = 0; i < c->count; i++)
            if (!c->taken[i])
                TRY(claim_node(c, p, c->nodes[i], edges, support));
    return NULL;
}

static OrtStatus *ORT_API_CALL get_capability(OrtEp *base, const OrtGraph *graph,
                                              OrtEpGraphSupportInfo *support) NO_EXCEPTION
{
    const struct provider *p = (const struct provider *)base;
    struct claim c = {.ort = p->ort};
    TRY(graph_nodes(p->ort, graph, &c.nodes, &c.count));
    c.taken = calloc(c.count + 1, sizeof(*c.taken));
    OrtStatus *const status =
        c.taken ? claim_all(&c, p, support) : fail(p->ort, "no memory for %zu nodes", c.count);
    free(c.taken);
    free(c.nodes);
    return status;
}

/* ---- steps ------------------------------------------------------------------------------------- */

static void release_step(struct step *s)
{
    if (!s)
        return;
    if (s->op && s->op->kind->release)
        s->op->kind->release(s);
    device_release(s);
    for (size_t i = 0; s->in && i < s->slot_count; i++)
        if (s->in[i].constant && !s->in[i].borrowed)
            free((void *)(uintptr_t)s->in[i].tensor.data);
    free(s->in);
    free(s->memory);
    free(s);
}

static OrtStatus *find_input(const struct step *s, const OrtNode *fused, const OrtValueInfo *info,
                             size_t *index)
{
    const OrtApi *ort = s->provider->ort;
    const OrtValueInfo *inputs[MAX_VALUES] = {NULL};
    const char *wanted, *name;
    size_t count;
    TRY(ort->GetValueInfoName(info, &wanted));
    TRY(node_inputs(ort, fused, inputs, MAX_VALUES, &count));
    for (size_t i = 0; i < count && i < MAX_VALUES; i++) {
        TRY(ort->GetValueInfoName(inputs[i], &name));
        *index = i;
        if (strcmp(name, wanted) == 0)
            return NULL;
    }
    return fail(ort, "'%s' is no input of the fused node", wanted);
}

/* Where each value of the group comes from. The data of constants is the runtime's for now. */
static OrtStatus *set_sources(struct step *s, const struct group *g, const OrtNode *fused)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        struct source *in = &s->in[i];
        const struct value *v = &g->values[i];
        in->given = v->info != NULL;
        if (in->given && v->constant) {
            if (g->record)
                in->tensor = g->record->constants[i];
            else
                TRY(value_constant(g->ort, v->info, &in->tensor));
            in->constant = in->borrowed = true;
        } else if (in->given) {
            TRY(find_input(s, fused, v->info, &in->index));
        }
    }
    return NULL;
}

/* The runtime orders the outputs of a fused node as it likes. */
static OrtStatus *set_outputs(struct step *s, const struct group *g, const OrtNode *fused)
{
    const OrtApi *ort = g->ort;
    const OrtValueInfo *ours[MAX_OUTPUTS] = {NULL}, *theirs[MAX_OUTPUTS] = {NULL};
    const char *wanted, *name;
    size_t our_count = 1, count;
    if (g->record)
        memcpy(ours, g->record->outputs, sizeof(ours));
    if (g->record)
        our_count = MAX_OUTPUTS;
    else if (g->node_count == 1)
        TRY(node_outputs(ort, g->core, ours, MAX_OUTPUTS, &our_count));
    else
        ours[0] = g->out.info;
    TRY(node_outputs(ort, fused, theirs, MAX_OUTPUTS, &count));
    for (size_t i = 0; i < MAX_OUTPUTS; i++) {
        s->outputs[i] = NO_OUTPUT;
        if (i >= our_count || !ours[i])
            continue;
        TRY(ort->GetValueInfoName(ours[i], &wanted));
        for (size_t j = 0; j < count && j < MAX_OUTPUTS; j++) {
            TRY(ort->GetValueInfoName(theirs[j], &name));
            if (strcmp(name, wanted) == 0)
                s->outputs[i] = j;
        }
    }
    return NULL;
}

/* The runtime drops its constants: what calls will read is copied. */
static OrtStatus *keep_constants(struct step *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        struct source *in = &s->in[i];
        if (!in->constant)
            continue;
        const size_t bytes = in->tensor.count * type_bytes(in->tensor.type);
        const void *data = in->tensor.data;
        in->tensor.data = NULL;
        in->borrowed = false;
        if (in->given_up)
            continue;
        if (bytes && !data)
            return fail(s->provider->ort, "%s: a context without its weights", s->op->name);
        void *copy = malloc(bytes ? bytes : 1);
        if (!copy)
            return fail(s->provider->ort, "no memory for %zu bytes of constants", bytes);
        memcpy(copy, data, bytes);
        in->tensor.data = copy;
    }
    return NULL;
}

static OrtStatus *compute_step(struct step *s, struct call *c)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        const OrtValue *value = NULL;
        c->in[i] = s->in[i].tensor;
        if (!s->in[i].given || s->in[i].constant)
            continue;
        TRY(c->ort->KernelContext_GetInput(c->context, s->in[i].index, &value));
        TRY(tensor_of(c->ort, value, &c->in[i]));
    }
    return call_compute(s, c);
}

static OrtStatus *ORT_API_CALL create_state(OrtNodeComputeInfo *info,
                                            OrtNodeComputeContext *context, void **state)
{
    (void)context;
    *state = info;
    return NULL;
}

static void ORT_API_CALL release_state(OrtNodeComputeInfo *info, void *state)
{
    (void)info;
    (void)state;
}

static OrtStatus *ORT_API_CALL compute(OrtNodeComputeInfo *info, void *state,
                                       OrtKernelContext *context)
{
    struct step *s = (struct step *)info;
    struct tensor in[MAX_SLOTS];
    struct call c = {.ort = s->provider->ort,
                     .provider = s->provider,
                     .context = context,
                     .in = in,
                     .outputs = s->outputs};
    (void)state;
    OrtStatus *const status = compute_step(s, &c);
    call_end(&c);
    return status;
}

/* 'memory' is the step's then, also on failure. */
static OrtStatus *make_step(struct provider *p, const struct group *g, const OrtNode *fused,
                            void *memory, struct step **out)
{
    struct step *s = calloc(1, sizeof(*s));
    *out = s;
    if (!s) {
        free(memory);
        return fail(p->ort, "no memory for a step");
    }
    s->memory = memory;
    if (g->record) {
        s->packed = g->record->packed;
        s->packed_bytes = g->record->packed_bytes;
    }
    s->base.ort_version_supported = ADAPTER_API;
    s->base.CreateState = create_state;
    s->base.Compute = compute;
    s->base.ReleaseState = release_state;
    s->provider = p;
    s->op = g->op;
    s->channels_last = g->channels_last;
    s->slot_count = g->slot_count;
    s->out_type = g->out.type;
    s->in = calloc(s->slot_count, sizeof(*s->in));
    if (!s->in)
        return fail(p->ort, "no memory for a step");
    TRY(device_start(s));
    TRY(set_sources(s, g, fused));
    TRY(set_outputs(s, g, fused));
    if (g->op->kind->compile)
        TRY(g->op->kind->compile(s, g));
    return keep_constants(s);
}

/* The group that is the whole of this graph. */
static OrtStatus *group_of(struct provider *p, const OrtGraph *graph, struct record *r,
                           struct group *g, void **memory)
{
    const OrtNode **nodes = NULL;
    size_t count = 0;
    bool found = false;
    OrtStatus *status = graph_nodes(p->ort, graph, &nodes, &count);
    *memory = NULL;
    if (!status && count == 1)
        status = context_is_ours(p->ort, nodes[0], &found);
    if (!status && found)
        status = context_load(&p->contexts, p->ort, graph, nodes[0], r, g, memory);
    for (size_t i = 0; i < count && !status && !found; i++) {
        status = match(p->ort, nodes[i], g);
        found = !status && g->op && g->node_count == count;
    }
    free(nodes);
    if (!status && !found)
        status = fail(p->ort, "a fused graph of %zu nodes is not one that was claimed", count);
    return status;
}

static void ORT_API_CALL release_steps(OrtEp *base, OrtNodeComputeInfo **infos,
                                       size_t count) NO_EXCEPTION
{
    (void)base;
    for (size_t i = 0; i < count; i++)
        release_step((struct step *)infos[i]);
}

static OrtStatus *ORT_API_CALL compile(OrtEp *base, const OrtGraph **graphs, const OrtNode **fused,
                                       size_t count, OrtNodeComputeInfo **infos,
                                       OrtNode **context_nodes) NO_EXCEPTION
{
    struct provider *p = (struct provider *)base;
    OrtStatus *status = NULL;
    for (size_t i = 0; i < count && !status; i++) {
        struct record record;
        struct group g;
        struct step *s = NULL;
        void *memory;
        status = group_of(p, graphs[i], &record, &g, &memory);
        if (!status)
            status = make_step(p, &g, fused[i], memory, &s);
        else
            free(memory);
        if (!status && p->contexts.enabled && !g.record)
            status = context_save(&p->contexts, &g, s, graphs[i], fused[i], &context_nodes[i]);
        infos[i] = s ? &s->base : NULL;
    }
    if (!status)
        status = context_written(&p->contexts, p->ort);
    if (status) {
        for (size_t i = 0; i < count; i++)
            if (infos[i])
                release_step((struct step *)infos[i]);
        memset(infos, 0, count * sizeof(*infos));
    }
    return status;
}

/* ---- the provider ------------------------------------------------------------------------------ */

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
    p->base.ReleaseNodeComputeInfos = release_steps;
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
