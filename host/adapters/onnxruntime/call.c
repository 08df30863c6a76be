/* One call of a step. */
#include "adapter.h"

OrtStatus *call_output(struct call *c, size_t index, const int64_t *dims, size_t rank, void **data)
{
    OrtValue *value = NULL;
    if (c->outputs[index] == NO_OUTPUT) {
        size_t bytes = sizeof(c->unused[index]);
        for (size_t i = 0; i < rank; i++)
            bytes *= (size_t)dims[i];
        *data = &c->unused[index];
        return rank ? call_scratch(c, bytes, data) : NULL;
    }
    TRY(c->ort->KernelContext_GetOutput(c->context, c->outputs[index], dims, rank, &value));
    return c->ort->GetTensorMutableData(value, data);
}

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
    void *const piece = c->scratch_count < sizeof(c->scratch) / sizeof(*c->scratch)
                            ? c->allocator->Alloc(c->allocator, bytes + alignment)
                            : NULL;
    if (!piece)
        return fail(c->ort, "no memory for %zu bytes", bytes);
    c->scratch[c->scratch_count++] = piece;
    *memory = (char *)piece + (alignment - (uintptr_t)piece % alignment) % alignment;
    return NULL;
}

void call_end(struct call *c)
{
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
