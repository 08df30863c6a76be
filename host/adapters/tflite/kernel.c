/* A part of the graph that was taken: its steps in order. Tensors that do not leave it have no memory of
 * the runtime's; here those that live at different times share it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "delegate.h"

enum { ALIGNMENT = 64 };

/* Memory for one tensor at a time. */
struct room {
    size_t bytes;
    int last_use; /* the step after which it is free */
    int8_t *memory;
};

/* A tensor between two steps. */
struct inner {
    int tensor;
    size_t room;
};

struct kernel {
    struct step *steps;
    size_t count;
    struct room *rooms;
    size_t room_count;
    struct inner *inner;
    size_t inner_count;
    int8_t *memory; /* the rooms, then the workspace */
};

/* ---- what kinds share -------------------------------------------------------------------------- */

bool is_quantised(const TfLiteTensor *t, int dims)
{
    if (!t || t->type != kTfLiteInt8 || !t->dims || t->dims->size != dims ||
        t->quantization.type != kTfLiteAffineQuantization || !(t->params.scale > 0))
        return false;
    for (int i = 0; i < dims; i++)
        if (t->dims->data[i] < 1)
            return false;
    return true;
}

bool is_constant(const TfLiteTensor *t)
{
    return t && t->allocation_type == kTfLiteMmapRo && t->data.data;
}

static int32_t quantised(const TfLiteTensor *t, float value)
{
    return t->params.zero_point + (int32_t)roundf(value / t->params.scale);
}

static int32_t clamped(int32_t value)
{
    return value < -128 ? -128 : value > 127 ? 127 : value;
}

bool activation_range(TfLiteFusedActivation activation, const TfLiteTensor *out, int32_t *lo,
                      int32_t *hi)
{
    *lo = -128;
    *hi = 127;
    switch (activation) {
    case kTfLiteActNone:
        break;
    case kTfLiteActRelu:
        *lo = clamped(quantised(out, 0));
        break;
    case kTfLiteActRelu6:
        *lo = clamped(quantised(out, 0));
        *hi = clamped(quantised(out, 6));
        break;
    case kTfLiteActReluN1To1:
        *lo = clamped(quantised(out, -1));
        *hi = clamped(quantised(out, 1));
        break;
    default:
        return false;
    }
    return *lo || *hi; /* from 0 to 0 is everything, to the library */
}

void padding_of(TfLitePadding padding, int size, int window, int stride, int dilation,
                size_t *before, size_t *behind)
{
    const int out = (size + stride - 1) / stride;
    const int need = (out - 1) * stride + (window - 1) * dilation + 1 - size;
    const size_t total = padding == kTfLitePaddingSame && need > 0 ? (size_t)need : 0;
    *before = total / 2;
    *behind = total - *before;
}

TfLiteStatus op_make(struct step *s, TfLiteContext *context, const struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    struct qdot_op *op;
    if (qdot_op_create(s->delegate->device, desc, &op, &err)) {
        context->ReportError(context, "qdot: %s", err.text);
        return kTfLiteDelegateError;
    }
    s->impl = op;
    s->workspace_bytes = desc->workspace_at_run ? qdot_op_workspace_bytes(op) : 0;
    return kTfLiteOk;
}

TfLiteStatus op_run(struct step *s, TfLiteContext *context, const int8_t *const *in, int8_t *out)
{
    struct qdot_error err = {0};
    const struct qdot_run r = {.a.host = in[0],
                               .b.host = in[1],
                               .out.host = out,
                               .workspace = s->workspace_bytes ? s->workspace : NULL,
                               .workspace_bytes = s->workspace_bytes};
    if (!qdot_op_run(s->impl, &r, &err))
        return kTfLiteOk;
    context->ReportError(context, "qdot: %s", err.text);
    return kTfLiteDelegateError;
}

void op_release(struct step *s)
{
    qdot_op_destroy(s->impl);
}

/* ---- memory between steps ---------------------------------------------------------------------- */

static bool leaves(const TfLiteDelegateParams *params, int tensor)
{
    for (int i = 0; i < params->output_tensors->size; i++)
        if (params->output_tensors->data[i] == tensor)
            return true;
    return false;
}

static int last_use(const struct kernel *k, int tensor)
{
    int last = 0;
    for (size_t i = 0; i < k->count; i++)
        if (k->steps[i].in[0] == tensor || k->steps[i].in[1] == tensor)
            last = (int)i;
    return last;
}

/* The room that is free at this step and fits best, or a new one. */
static void find_room(struct kernel *k, int step, int tensor, size_t bytes)
{
    struct room *best = NULL;
    for (size_t i = 0; i < k->room_count; i++) {
        struct room *r = &k->rooms[i];
        const bool closer =
            !best || (r->bytes < bytes ? r->bytes > best->bytes
                                       : best->bytes < bytes || r->bytes < best->bytes);
        if (r->last_use < step && closer)
            best = r;
    }
    if (!best)
        best = &k->rooms[k->room_count++];
    best->bytes = best->bytes < bytes ? bytes : best->bytes;
    best->last_use = last_use(k, tensor);
    k->inner[k->inner_count++] = (struct inner){tensor, (size_t)(best - k->rooms)};
}

static TfLiteStatus make_rooms(struct kernel *k, const TfLiteContext *context,
                               const TfLiteDelegateParams *params)
{
    size_t total = 0, workspace = 0;
    for (size_t i = 0; i < k->count; i++) {
        const struct step *s = &k->steps[i];
        workspace = s->workspace_bytes > workspace ? s->workspace_bytes : workspace;
        if (!leaves(params, s->out))
            find_room(k, (int)i, s->out, context->tensors[s->out].bytes);
    }
    for (size_t i = 0; i < k->room_count; i++)
        total += (k->rooms[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    workspace = (workspace + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    k->memory = aligned_alloc(ALIGNMENT, total + workspace + ALIGNMENT);
    if (!k->memory)
        return kTfLiteDelegateError;
    int8_t *at = k->memory;
    for (size_t i = 0; i < k->room_count; i++) {
        k->rooms[i].memory = at;
        at += (k->rooms[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    for (size_t i = 0; i < k->count; i++)
        k->steps[i].workspace = at;
    return kTfLiteOk;
}

static int8_t *data_of(const struct kernel *k, const TfLiteContext *context, int tensor)
{
    for (size_t i = 0; i < k->inner_count; i++)
        if (k->inner[i].tensor == tensor)
            return k->rooms[k->inner[i].room].memory;
    return context->tensors[tensor].data.int8;
}

/* ---- the kernel -------------------------------------------------------------------------------- */

static void kernel_free(TfLiteContext *context, void *buffer)
{
    struct kernel *k = buffer;
    (void)context;
    if (!k)
        return;
    for (size_t i = 0; k->steps && i < k->count; i++)
        if (k->steps[i].kind)
            k->steps[i].kind->release(&k->steps[i]);
    free(k->steps);
    free(k->rooms);
    free(k->inner);
    free(k->memory);
    free(k);
}

static TfLiteStatus make_step(struct step *s, TfLiteContext *context, int index)
{
    TfLiteNode *node;
    TfLiteRegistration *registration;
    TRY(context->GetNodeAndRegistration(context, index, &node, &registration));
    s->kind = kind_of(context, node, registration);
    if (!s->kind)
        return kTfLiteDelegateError;
    s->in[0] = node->inputs->data[0];
    s->in[1] = s->kind == &add_kind ? node->inputs->data[1] : -1;
    s->out = node->outputs->data[0];
    return s->kind->make(s, context, node);
}

static TfLiteStatus make(struct kernel *k, TfLiteContext *context,
                         const TfLiteDelegateParams *params)
{
    k->count = (size_t)params->nodes_to_replace->size;
    k->steps = calloc(k->count, sizeof(*k->steps));
    k->rooms = calloc(k->count, sizeof(*k->rooms));
    k->inner = calloc(k->count, sizeof(*k->inner));
    if (!k->steps || !k->rooms || !k->inner)
        return kTfLiteDelegateError;
    for (size_t i = 0; i < k->count; i++) {
        k->steps[i].delegate = (struct delegate *)params->delegate;
        TRY(make_step(&k->steps[i], context, params->nodes_to_replace->data[i]));
    }
    return make_rooms(k, context, params);
}

static void *kernel_init(TfLiteContext *context, const char *buffer, size_t length)
{
    const TfLiteDelegateParams *params = (const TfLiteDelegateParams *)(const void *)buffer;
    struct kernel *k = calloc(1, sizeof(*k));
    (void)length;
    if (k && make(k, context, params) != kTfLiteOk) {
        kernel_free(context, k);
        k = NULL;
    }
    if (!k)
        context->ReportError(context, "qdot: no kernel for %d nodes",
                             params->nodes_to_replace->size);
    return k;
}

static TfLiteStatus kernel_prepare(TfLiteContext *context, TfLiteNode *node)
{
    (void)context;
    return node->user_data ? kTfLiteOk : kTfLiteDelegateError;
}

static TfLiteStatus kernel_invoke(TfLiteContext *context, TfLiteNode *node)
{
    const struct kernel *k = node->user_data;
    for (size_t i = 0; i < k->count; i++) {
        struct step *s = &k->steps[i];
        const int8_t *const in[2] = {data_of(k, context, s->in[0]),
                                     s->in[1] < 0 ? NULL : data_of(k, context, s->in[1])};
        TRY(s->kind->run(s, context, in, data_of(k, context, s->out)));
    }
    return kTfLiteOk;
}

TfLiteRegistration kernel_registration(void)
{
    return (TfLiteRegistration){.init = kernel_init,
                                .free = kernel_free,
                                .prepare = kernel_prepare,
                                .invoke = kernel_invoke,
                                .custom_name = "qdot",
                                .version = 1};
}
