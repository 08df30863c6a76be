/* What a step does in a call: where its tensors are, memory, threads. */
#include "memory.h"

/* ---- values ------------------------------------------------------------------------------------ */

static OrtStatus *find_allocator(struct call *c);

/* Where the values between steps are. */
static OrtStatus *allocator_of_values(struct call *c, OrtAllocator **allocator)
{
    struct memory *const memory = c->provider->memory;
    if (!memory)
        TRY(find_allocator(c));
    *allocator = memory ? memory_allocator(memory) : c->allocator;
    return NULL;
}

/* Not by the allocator's own function: the runtime's throws. */
static OrtStatus *allocate(const struct call *c, OrtAllocator *allocator, size_t bytes,
                           void **memory)
{
    TRY(c->ort->AllocatorAlloc(allocator, bytes ? bytes : 1, memory));
    return *memory ? NULL : fail(c->ort, "no memory for %zu bytes", bytes);
}

static OrtStatus *make_value(struct call *c, const struct target *t, const struct tensor *tensor)
{
    struct made *const made = &c->values[t->value];
    OrtValue *value = NULL;
    OrtAllocator *allocator;
    void *data = made->memory;
    if (t->output != NONE) {
        TRY(c->ort->KernelContext_GetOutput(c->context, t->output, tensor->dims, tensor->rank,
                                            &value));
        TRY(c->ort->GetTensorMutableData(value, &data));
    } else if (!data) { /* the first try */
        const size_t bytes = tensor->count * type_bytes(t->type);
        TRY(allocator_of_values(c, &allocator));
        TRY(allocate(c, allocator, bytes, &data));
        made->memory = data;
    }
    made->tensor = *tensor;
    made->tensor.data = data;
    return NULL;
}

void call_drop(struct call *c, size_t value)
{
    struct made *const made = &c->values[value];
    struct memory *const memory = c->provider->memory;
    OrtAllocator *const allocator = memory ? memory_allocator(memory) : c->allocator;
    if (made->memory)
        allocator->Free(allocator, made->memory);
    made->memory = NULL;
}

OrtStatus *call_place(struct call *c, size_t index, const int64_t *dims, size_t rank,
                      struct qdot_output *place)
{
    const struct target *t = &c->targets[index];
    struct memory *const memory = c->provider->memory;
    struct tensor tensor = {.type = t->type, .rank = rank, .count = 1};
    if (rank > MAX_RANK)
        return fail(c->ort, "expected an output of rank %d at most, got %zu", MAX_RANK, rank);
    bool fits = true;
    for (size_t i = 0; i < rank; i++) {
        tensor.dims[i] = dims[i];
        fits = fits && dims[i] >= 0 &&
               !__builtin_mul_overflow(tensor.count, (size_t)dims[i], &tensor.count);
    }
    if (!fits || tensor.count > SIZE_MAX / 8)
        return fail(c->ort, "an output that is larger than memory can be");
    *place = (struct qdot_output){.host = &c->unused[index]};
    if (t->value == NONE)
        return rank ? call_scratch(c, tensor.count * sizeof(c->unused[index]), &place->host) : NULL;
    TRY(make_value(c, t, &tensor));
    place->host = (void *)(uintptr_t)c->values[t->value].tensor.data;
    if (memory && memory_find(memory, place->host, &place->buffer, &place->offset_bytes)) {
        place->host = NULL;
        c->made[index].bytes = tensor.count * type_bytes(t->type);
    }
    return NULL;
}

OrtStatus *call_output(struct call *c, size_t index, const int64_t *dims, size_t rank, void **data)
{
    struct qdot_output place;
    TRY(call_place(c, index, dims, rank, &place));
    *data = place.host;
    if (!place.buffer)
        return NULL;
    TRY(call_scratch(c, c->made[index].bytes, data));
    c->made[index].data = *data;
    c->made[index].buffer = place.buffer;
    c->made[index].offset = place.offset_bytes;
    return NULL;
}

/* ---- between device and host ------------------------------------------------------------------- */

static size_t bytes_of(const struct tensor *t)
{
    return t->count * type_bytes(t->type);
}

static bool is_wanted(const struct call *c, size_t slot, uint32_t leave)
{
    return c->in[slot].buffer && !(slot < 32 && leave >> slot & 1);
}

OrtStatus *call_fetch(struct step *s, struct call *c, uint32_t leave)
{
    const size_t alignment = 64;
    size_t bytes = 0;
    void *memory;
    if (!c->provider->memory)
        return NULL;
    for (size_t i = 0; i < s->slot_count; i++)
        if (is_wanted(c, i, leave))
            bytes += bytes_of(&c->in[i]) + alignment;
    if (bytes == 0)
        return NULL;
    note(c->provider, "%s: %zu bytes to the host", s->op->name, bytes);
    TRY(call_scratch(c, bytes, &memory));
    char *to = memory;
    for (size_t i = 0; i < s->slot_count; i++) {
        struct tensor *const t = &c->in[i];
        if (!is_wanted(c, i, leave))
            continue;
        TRY(memory_read(c->provider->memory, t->buffer, t->offset, to, bytes_of(t)));
        t->buffer = NULL;
        t->data = to;
        to += (bytes_of(t) + alignment - 1) / alignment * alignment;
    }
    return NULL;
}

OrtStatus *call_compute(struct step *s, struct call *c)
{
    struct memory *const memory = c->provider->memory;
    if (!memory)
        return s->op->kind->compute(s, c);
    for (size_t i = 0; i < s->slot_count; i++) {
        struct tensor *const t = &c->in[i];
        if (s->in[i].constant || !t->data)
            continue;
        if (memory_find(memory, t->data, &t->buffer, &t->offset))
            t->data = NULL;
        else /* the runtime has it on the host: a run brings it */
            memory_count(memory, bytes_of(t));
    }
    if (!s->op->kind->anywhere)
        TRY(call_fetch(s, c, 0));
    TRY(s->op->kind->compute(s, c));
    for (size_t i = 0; i < MAX_OUTPUTS; i++)
        if (c->made[i].data)
            TRY(memory_write(memory, c->made[i].buffer, c->made[i].offset, c->made[i].data,
                             c->made[i].bytes));
    return NULL;
}

/* ---- scratch memory ---------------------------------------------------------------------------- */

/* The arena of the session, asked for once: that costs as much as a small step. */
static OrtStatus *find_allocator(struct call *c)
{
    struct provider *const p = c->provider;
    OrtMemoryInfo *info = NULL;
    OrtAllocator *none = NULL;
    c->allocator = atomic_load(&p->arena);
    if (c->allocator)
        return NULL;
    TRY(c->ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &info));
    OrtStatus *const status = c->ort->KernelContext_GetAllocator(c->context, info, &c->allocator);
    c->ort->ReleaseMemoryInfo(info);
    if (!status && !atomic_compare_exchange_strong(&p->arena, &none, c->allocator)) {
        c->ort->ReleaseAllocator(c->allocator); /* another call was quicker */
        c->allocator = none;
    }
    return status;
}

OrtStatus *call_scratch(struct call *c, size_t bytes, void **memory)
{
    const size_t alignment = 64;
    *memory = NULL;
    TRY(find_allocator(c));
    void *piece;
    if (c->scratch_count == sizeof(c->scratch) / sizeof(*c->scratch) || bytes > SIZE_MAX / 2)
        return fail(c->ort, "no memory for %zu bytes", bytes);
    TRY(allocate(c, c->allocator, bytes + alignment, &piece));
    c->scratch[c->scratch_count++] = piece;
    *memory = (char *)piece + (alignment - (uintptr_t)piece % alignment) % alignment;
    return NULL;
}

OrtStatus *call_scratch_apart(struct call *c, size_t bytes, struct qdot_output *place)
{
    struct memory *const memory = c->provider->memory;
    OrtAllocator *const allocator = memory_allocator(memory);
    *place = (struct qdot_output){.host = NULL};
    TRY(allocate(c, allocator, bytes, &c->apart));
    if (!memory_find(memory, c->apart, &place->buffer, &place->offset_bytes))
        return fail(c->ort, "no memory for %zu bytes on the device", bytes);
    return NULL;
}

/* What the device still does with its memory comes before what the next owner does. */
void call_end(struct call *c)
{
    if (c->apart)
        memory_allocator(c->provider->memory)
            ->Free(memory_allocator(c->provider->memory), c->apart);
    c->apart = NULL;
    while (c->scratch_count > 0)
        c->allocator->Free(c->allocator, c->scratch[--c->scratch_count]);
}

/* ---- threads ----------------------------------------------------------------------------------- */

struct share {
    size_t count, parts;
    void (*part)(void *arg, size_t begin, size_t end);
    void *arg;
};

static void do_share(void *arg, size_t i)
{
    const struct share *s = arg;
    s->part(s->arg, s->count * i / s->parts, s->count * (i + 1) / s->parts);
}

OrtStatus *call_share(struct call *c, size_t count, size_t grain,
                      void (*part)(void *arg, size_t begin, size_t end), void *arg)
{
    struct share s = {count, count / grain, part, arg};
    if (s.parts > c->provider->threads)
        s.parts = c->provider->threads;
    if (s.parts > 1)
        return c->ort->KernelContext_ParallelFor(c->context, do_share, s.parts, s.parts, &s);
    part(arg, 0, count);
    return NULL;
}

void call_parallel_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    const struct call *c = ctx;
    OrtStatus *status = NULL;
    if (c)
        status = c->ort->KernelContext_ParallelFor(c->context, task, count, count, arg);
    if (c && !status)
        return;
    if (status)
        c->ort->ReleaseStatus(status);
    for (size_t i = 0; i < count; i++) /* when an op is made there is no call, and no pool */
        task(arg, i);
}
