/*
 * What the provider claims of a graph: groups, which become steps; and the fused nodes, each of as many
 * groups as can be one after another without a node of somebody else's between them.
 */
#include "claim.h"
#include <stdlib.h>
#include <string.h>
#include "context.h"

/* ---- groups ------------------------------------------------------------------------------------ */

#define NO_GROUP SIZE_MAX

/* A graph's nodes, and the group of each, by number. */
struct claim {
    const OrtApi *ort;
    const OrtNode **nodes; /* before those that take what they make */
    size_t *group;         /* NO_GROUP: somebody else's, or nobody's yet */
    struct place {
        const OrtNode *node;
        size_t index;
    } * places;   /* by address */
    bool *theirs; /* another provider has it already */
    size_t count, groups;
};

static int by_address(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return ((uintptr_t)x->node > (uintptr_t)y->node) - ((uintptr_t)x->node < (uintptr_t)y->node);
}

/* NO_GROUP: of another graph. */
static size_t index_of(const struct claim *c, const OrtNode *node)
{
    const struct place wanted = {node, 0};
    const struct place *found =
        bsearch(&wanted, c->places, c->count, sizeof(*c->places), by_address);
    return found ? found->index : NO_GROUP;
}

static bool is_taken(const struct claim *c, const OrtNode *node)
{
    const size_t index = index_of(c, node);
    return index != NO_GROUP && c->group[index] != NO_GROUP;
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

static OrtStatus *claim_group(struct claim *c, struct group *g, take_group *take, void *arg)
{
    for (size_t i = 0; i < g->node_count; i++) {
        const size_t index = index_of(c, g->nodes[i]);
        if (index == NO_GROUP || c->group[index] != NO_GROUP || c->theirs[index])
            return NULL;
    }
    for (size_t i = 0; i < g->node_count; i++)
        c->group[index_of(c, g->nodes[i])] = c->groups;
    c->groups++;
    return take ? take(arg, g) : NULL;
}

static OrtStatus *claim_node(struct claim *c, const OrtNode *node, bool edges, take_group *take,
                             void *arg)
{
    struct group g = {.nodes = {node}, .node_count = 1};
    bool ours = true;
    TRY(context_is_ours(c->ort, node, &ours));
    if (ours)
        return claim_group(c, &g, take, arg);
    ours = true;
    TRY(match(c->ort, node, &g));
    if (!g.op)
        return NULL;
    const bool quantize = g.op->kind == &quantize_kind;
    const bool dequantize = g.op->kind == &dequantize_kind;
    if ((quantize || dequantize) != edges)
        return NULL;
    if (quantize && !take)
        TRY(quantize_is_ours(c, &g, &ours));
    if (dequantize && !take)
        TRY(dequantize_is_ours(c, &g, &ours));
    return ours ? claim_group(c, &g, take, arg) : NULL;
}

/* Groups first; then the QuantizeLinear and DequantizeLinear nodes that are left at their edges. Of a fused
 * graph (take) all nodes are ours. */
static OrtStatus *claim_all(struct claim *c, take_group *take, void *arg)
{
    for (int edges = 0; edges < 2; edges++)
        for (size_t i = 0; i < c->count; i++)
            if (c->group[i] == NO_GROUP)
                TRY(claim_node(c, c->nodes[i], edges, take, arg));
    return NULL;
}

static OrtStatus *claim_start(struct claim *c, const OrtGraph *graph)
{
    TRY(graph_nodes(c->ort, graph, &c->nodes, &c->count));
    c->group = calloc(c->count + 1, sizeof(*c->group));
    c->places = calloc(c->count + 1, sizeof(*c->places));
    c->theirs = calloc(c->count + 1, sizeof(*c->theirs));
    if (!c->group || !c->places || !c->theirs)
        return fail(c->ort, "no memory for %zu nodes", c->count);
    for (size_t i = 0; i < c->count; i++) {
        const char *provider;
        TRY(c->ort->Node_GetEpName(c->nodes[i], &provider));
        c->theirs[i] = provider && *provider && strcmp(provider, provider_name) != 0;
        c->group[i] = NO_GROUP;
        c->places[i] = (struct place){c->nodes[i], i};
    }
    qsort(c->places, c->count, sizeof(*c->places), by_address);
    return NULL;
}

static void claim_end(struct claim *c)
{
    free(c->theirs);
    free(c->places);
    free(c->group);
    free(c->nodes);
}

/* ---- fused nodes ------------------------------------------------------------------------------- */

/* How many times a way to a node comes from somebody else's into one of ours: nodes of ours of one depth
 * have none of theirs between them. Those of a group have one depth. */
struct depths {
    size_t *of_node, *of_group;
    bool changed;
};

static void deepen(const struct claim *c, struct depths *d, size_t node, size_t depth)
{
    size_t *const at =
        c->group[node] == NO_GROUP ? &d->of_node[node] : &d->of_group[c->group[node]];
    if (depth > *at) {
        *at = depth;
        d->changed = true;
    }
}

static void after(const struct claim *c, struct depths *d, size_t node, const OrtNode *producer)
{
    const size_t from = producer ? index_of(c, producer) : NO_GROUP;
    if (from == NO_GROUP || (c->group[from] == c->group[node] && c->group[node] != NO_GROUP))
        return;
    const bool theirs = c->group[from] == NO_GROUP;
    const size_t depth = theirs ? d->of_node[from] : d->of_group[c->group[from]];
    deepen(c, d, node, depth + (theirs && c->group[node] != NO_GROUP));
}

static OrtStatus *after_all(const struct claim *c, struct depths *d, size_t node)
{
    size_t count, implicit;
    TRY(c->ort->Node_GetNumInputs(c->nodes[node], &count));
    TRY(c->ort->Node_GetNumImplicitInputs(c->nodes[node], &implicit));
    const OrtValueInfo **values = calloc(count + implicit + 1, sizeof(*values));
    OrtStatus *status = values ? c->ort->Node_GetInputs(c->nodes[node], values, count)
                               : fail(c->ort, "no memory for %zu inputs", count);
    if (!status && implicit)
        status = c->ort->Node_GetImplicitInputs(c->nodes[node], values + count, implicit);
    for (size_t i = 0; i < count + implicit && !status; i++) {
        const OrtNode *producer = NULL;
        if (values[i])
            status = value_producer(c->ort, values[i], &producer);
        if (!status)
            after(c, d, node, producer);
    }
    free(values);
    return status;
}

/* Once for each part of the longest way, and once more. */
static OrtStatus *measure(const struct claim *c, struct depths *d)
{
    size_t passes = 0;
    do {
        d->changed = false;
        for (size_t i = 0; i < c->count; i++)
            TRY(after_all(c, d, i));
    } while (d->changed && ++passes <= c->count);
    return d->changed ? fail(c->ort, "a graph of %zu nodes goes in a circle", c->count) : NULL;
}

/* The groups of one depth; or one group, where 'each'. */
static OrtStatus *fuse(const struct claim *c, const struct provider *p, const struct depths *d,
                       bool each, const OrtNode **nodes, OrtEpGraphSupportInfo *support)
{
    const OrtNodeFusionOptions options = {ADAPTER_API, true};
    size_t given = 0, all = 0;
    for (size_t i = 0; i < c->count; i++)
        all += c->group[i] != NO_GROUP;
    for (size_t set = 0; given < all; set++) {
        size_t count = 0;
        for (size_t i = 0; i < c->count; i++)
            if (c->group[i] != NO_GROUP && (each ? c->group[i] : d->of_group[c->group[i]]) == set)
                nodes[count++] = c->nodes[i];
        given += count;
        if (count)
            TRY(p->ep->EpGraphSupportInfo_AddNodesToFuse(support, nodes, count, &options));
    }
    return NULL;
}

static OrtStatus *fuse_all(const struct claim *c, const struct provider *p,
                           OrtEpGraphSupportInfo *support)
{
    struct depths d = {calloc(c->count + 1, sizeof(*d.of_node)),
                       calloc(c->groups + 1, sizeof(*d.of_group)), false};
    const OrtNode **nodes = calloc(c->count + 1, sizeof(*nodes));
    OrtStatus *status = NULL;
    if (!d.of_node || !d.of_group || !nodes)
        status = fail(p->ort, "no memory for %zu nodes", c->count);
    /* A context is of one step. */
    if (!status && !p->contexts.enabled)
        status = measure(c, &d);
    if (!status)
        status = fuse(c, p, &d, p->contexts.enabled, nodes, support);
    free(nodes);
    free(d.of_group);
    free(d.of_node);
    return status;
}

/* ---- */

OrtStatus *claim_graph(const struct provider *p, const OrtGraph *graph,
                       OrtEpGraphSupportInfo *support)
{
    struct claim c = {.ort = p->ort};
    OrtStatus *status = claim_start(&c, graph);
    if (!status)
        status = claim_all(&c, NULL, NULL);
    if (!status)
        status = fuse_all(&c, p, support);
    claim_end(&c);
    return status;
}

OrtStatus *claim_groups(const struct provider *p, const OrtGraph *graph, take_group *take,
                        void *arg)
{
    struct claim c = {.ort = p->ort};
    OrtStatus *status = claim_start(&c, graph);
    if (!status)
        status = claim_all(&c, take, arg);
    for (size_t i = 0; i < c.count && !status; i++)
        if (c.group[i] == NO_GROUP)
            status =
                fail(p->ort, "a fused graph of %zu nodes is not one that was claimed", c.count);
    claim_end(&c);
    return status;
}
