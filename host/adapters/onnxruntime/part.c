/*
 * A fused node: its steps in an order in which each finds what it takes, the values between them, and
 * calls of them all.
 */
#include "part.h"
#include <stdlib.h>
#include <string.h>
#include "claim.h"
#include "context.h"
#include "device.h"
#include "memory.h"

struct part {
    OrtNodeComputeInfo base; /* first: the runtime's pointer to it is ours */
    struct provider *provider;
    struct step **steps;
    size_t count, room;
    size_t value_count;
    size_t *last; /* of each value the step after which nobody takes it */
};

/* While it is made: what values are called, by number. */
struct names {
    const char **list;
    size_t count, room;
    const OrtValueInfo **inputs, **outputs; /* of the fused node */
    size_t input_count, output_count;
};

struct making {
    struct part *part;
    struct names names;
    const OrtGraph *graph;
    const OrtNode *fused;
    OrtNode **context;
};

/* ---- names ------------------------------------------------------------------------------------- */

/* NONE: it is not among them. */
static OrtStatus *find_name(const OrtApi *ort, const OrtValueInfo *const *values, size_t count,
                            const char *wanted, size_t *index)
{
    *index = NONE;
    for (size_t i = 0; i < count && *index == NONE; i++) {
        const char *name;
        if (!values[i])
            continue;
        TRY(ort->GetValueInfoName(values[i], &name));
        if (strcmp(name, wanted) == 0)
            *index = i;
    }
    return NULL;
}

static OrtStatus *number_of(const OrtApi *ort, struct names *n, const char *name, size_t *number)
{
    for (*number = 0; *number < n->count; ++*number)
        if (strcmp(n->list[*number], name) == 0)
            return NULL;
    if (n->count == n->room) {
        const size_t room = 2 * n->room + 16;
        const char **more = realloc(n->list, room * sizeof(*more));
        if (!more)
            return fail(ort, "no memory for %zu names", room);
        n->list = more;
        n->room = room;
    }
    n->list[n->count++] = name;
    return NULL;
}

static OrtStatus *start_names(const OrtApi *ort, const OrtNode *fused, struct names *n)
{
    TRY(ort->Node_GetNumInputs(fused, &n->input_count));
    TRY(ort->Node_GetNumOutputs(fused, &n->output_count));
    n->inputs = calloc(n->input_count + 1, sizeof(*n->inputs));
    n->outputs = calloc(n->output_count + 1, sizeof(*n->outputs));
    if (!n->inputs || !n->outputs)
        return fail(ort, "no memory for %zu values", n->input_count + n->output_count);
    TRY(ort->Node_GetInputs(fused, n->inputs, n->input_count));
    return ort->Node_GetOutputs(fused, n->outputs, n->output_count);
}

static void end_names(struct names *n)
{
    free(n->outputs);
    free(n->inputs);
    free(n->list);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static void release_step(struct step *s)
{
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

/* Where each value of the group comes from. The data of constants is the runtime's for now. */
static OrtStatus *set_sources(struct step *s, const struct group *g, struct names *n)
{
    const char *name;
    for (size_t i = 0; i < s->slot_count; i++) {
        struct source *in = &s->in[i];
        const struct value *v = &g->values[i];
        in->given = v->info != NULL;
        in->index = in->value = NONE;
        if (in->given && v->constant) {
            if (g->record)
                in->tensor = g->record->constants[i];
            else
                TRY(value_constant(g->ort, v->info, &in->tensor));
            in->constant = in->borrowed = true;
        } else if (in->given) {
            TRY(g->ort->GetValueInfoName(v->info, &name));
            TRY(find_name(g->ort, n->inputs, n->input_count, name, &in->index));
            if (in->index == NONE)
                TRY(number_of(g->ort, n, name, &in->value));
        }
    }
    return NULL;
}

/* The runtime orders the outputs of a fused node as it likes. */
static OrtStatus *set_targets(struct step *s, const struct group *g, struct names *n)
{
    const OrtValueInfo *ours[MAX_OUTPUTS] = {NULL};
    const char *name;
    size_t count = 1;
    if (g->record)
        memcpy(ours, g->record->outputs, sizeof(ours));
    if (g->record)
        count = MAX_OUTPUTS;
    else if (g->node_count == 1)
        TRY(node_outputs(g->ort, g->core, ours, MAX_OUTPUTS, &count));
    else
        ours[0] = g->out.info;
    for (size_t i = 0; i < MAX_OUTPUTS; i++) {
        struct target *t = &s->targets[i];
        /* Those of more than one are dynamic quantisations: values, scale, zero point. */
        t->type = i == 0   ? s->out_type
                  : i == 1 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                           : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
        t->output = t->value = NONE;
        if (i >= count || !ours[i])
            continue;
        TRY(g->ort->GetValueInfoName(ours[i], &name));
        TRY(find_name(g->ort, n->outputs, n->output_count, name, &t->output));
        TRY(number_of(g->ort, n, name, &t->value));
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

/* 'memory' is the step's then, also on failure; so is the step the part's. */
static OrtStatus *make_step(struct making *m, const struct group *g, void *memory,
                            struct step **out)
{
    struct part *part = m->part;
    const OrtApi *ort = part->provider->ort;
    struct step *s = calloc(1, sizeof(*s));
    if (s && part->count == part->room) {
        const size_t room = 2 * part->room + 1;
        struct step **more = realloc(part->steps, room * sizeof(*more));
        if (more) {
            part->steps = more;
            part->room = room;
        }
    }
    if (!s || part->count == part->room) {
        free(s);
        free(memory);
        return fail(ort, "no memory for a step");
    }
    part->steps[part->count++] = s;
    *out = s;
    s->memory = memory;
    if (g->record) {
        s->packed = g->record->packed;
        s->packed_bytes = g->record->packed_bytes;
    }
    s->provider = part->provider;
    s->op = g->op;
    s->channels_last = g->channels_last;
    s->slot_count = g->slot_count;
    s->out_type = g->out.type;
    s->in = calloc(s->slot_count, sizeof(*s->in));
    if (!s->in)
        return fail(ort, "no memory for a step");
    TRY(device_start(s));
    TRY(set_sources(s, g, &m->names));
    TRY(set_targets(s, g, &m->names));
    if (g->op->kind->compile)
        TRY(g->op->kind->compile(s, g));
    return keep_constants(s);
}

static OrtStatus *take(void *arg, struct group *g)
{
    struct making *m = arg;
    struct provider *p = m->part->provider;
    struct record record;
    struct step *s = NULL;
    void *memory = NULL;
    if (!g->op) {
        OrtStatus *const status =
            context_load(&p->contexts, p->ort, m->graph, g->nodes[0], &record, g, &memory);
        if (status) {
            free(memory);
            return status;
        }
    }
    TRY(make_step(m, g, memory, &s));
    if (!p->contexts.enabled || g->record)
        return NULL;
    return context_save(&p->contexts, g, s, m->graph, m->fused, m->context);
}

/* ---- their order ------------------------------------------------------------------------------- */

/* Does it find what it takes, of values that are there? */
static bool is_ready(const struct step *s, const bool *there)
{
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->in[i].value != NONE && !there[s->in[i].value])
            return false;
    return true;
}

static OrtStatus *order_steps(struct part *part, bool *there)
{
    for (size_t i = 0; i < part->count; i++) {
        size_t next = i;
        while (next < part->count && !is_ready(part->steps[next], there))
            next++;
        if (next == part->count)
            return fail(part->provider->ort, "%s: nobody makes what it takes",
                        part->steps[i]->op->name);
        struct step *const s = part->steps[next];
        memmove(&part->steps[i + 1], &part->steps[i], (next - i) * sizeof(s));
        part->steps[i] = s;
        for (size_t j = 0; j < MAX_OUTPUTS; j++)
            if (s->targets[j].value != NONE)
                there[s->targets[j].value] = true;
    }
    return NULL;
}

/* Values that nobody takes are none. */
static void find_last(struct part *part, bool *taken)
{
    for (size_t i = 0; i < part->count; i++)
        for (size_t j = 0; j < part->steps[i]->slot_count; j++) {
            const size_t value = part->steps[i]->in[j].value;
            if (value != NONE) {
                part->last[value] = i;
                taken[value] = true;
            }
        }
    for (size_t i = 0; i < part->count; i++)
        for (size_t j = 0; j < MAX_OUTPUTS; j++) {
            struct target *t = &part->steps[i]->targets[j];
            if (t->value != NONE && t->output == NONE && !taken[t->value])
                t->value = NONE;
        }
}

static OrtStatus *finish(struct making *m)
{
    struct part *part = m->part;
    part->value_count = m->names.count;
    part->last = calloc(part->value_count + 1, sizeof(*part->last));
    bool *flags = calloc(2 * part->value_count + 1, sizeof(*flags));
    OrtStatus *status = NULL;
    if (!part->last || !flags)
        status = fail(part->provider->ort, "no memory for %zu values", part->value_count);
    if (!status)
        status = order_steps(part, flags);
    if (!status)
        find_last(part, flags + part->value_count);
    free(flags);
    return status;
}

/* ---- calls ------------------------------------------------------------------------------------- */

static OrtStatus *compute_step(struct step *s, struct call *c)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        const struct source *in = &s->in[i];
        const OrtValue *value = NULL;
        c->in[i] = in->value != NONE ? c->values[in->value].tensor : in->tensor;
        if (in->index == NONE)
            continue;
        TRY(c->ort->KernelContext_GetInput(c->context, in->index, &value));
        TRY(tensor_of(c->ort, value, &c->in[i]));
    }
    return call_compute(s, c);
}

static OrtStatus *compute_steps(const struct part *part, struct call *c)
{
    for (size_t i = 0; i < part->count; i++) {
        struct step *s = part->steps[i];
        c->targets = s->targets;
        memset(c->made, 0, sizeof(c->made));
        OrtStatus *const status = compute_step(s, c);
        call_end(c);
        if (status)
            return status;
        for (size_t j = 0; j < s->slot_count; j++)
            if (s->in[j].value != NONE && part->last[s->in[j].value] == i)
                call_drop(c, s->in[j].value);
    }
    return NULL;
}

static OrtStatus *ORT_API_CALL compute(OrtNodeComputeInfo *info, void *state,
                                       OrtKernelContext *context)
{
    const struct part *part = (const struct part *)info;
    struct tensor in[MAX_SLOTS];
    struct call c = {
        .ort = part->provider->ort, .provider = part->provider, .context = context, .in = in};
    (void)state;
    c.values = calloc(part->value_count + 1, sizeof(*c.values));
    if (!c.values)
        return fail(c.ort, "no memory for %zu values", part->value_count);
    OrtStatus *const status = compute_steps(part, &c);
    for (size_t i = 0; i < part->value_count; i++)
        call_drop(&c, i);
    free(c.values);
    return status;
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

/* ---- the part ---------------------------------------------------------------------------------- */

OrtStatus *part_make(struct provider *p, const OrtGraph *graph, const OrtNode *fused,
                     OrtNodeComputeInfo **info, OrtNode **context)
{
    struct part *part = calloc(1, sizeof(*part));
    struct making m = {.part = part, .graph = graph, .fused = fused, .context = context};
    if (!part)
        return fail(p->ort, "no memory for a node");
    *info = &part->base;
    part->provider = p;
    part->base.ort_version_supported = ADAPTER_API;
    part->base.CreateState = create_state;
    part->base.Compute = compute;
    part->base.ReleaseState = release_state;
    OrtStatus *status = start_names(p->ort, fused, &m.names);
    if (!status)
        status = claim_groups(p, graph, take, &m);
    if (!status)
        status = finish(&m);
    end_names(&m.names);
    return status;
}

void part_release(OrtNodeComputeInfo *info)
{
    struct part *part = (struct part *)info;
    if (!part)
        return;
    for (size_t i = 0; i < part->count; i++)
        release_step(part->steps[i]);
    free(part->last);
    free(part->steps);
    free(part);
}
