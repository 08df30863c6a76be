/* oneDNN on the CPU: matmul with weights packed beforehand, or its gemm call, whichever is faster
 * for the shape. The 2.x and 3.x interfaces differ in how descriptors are passed. */
#include <stdio.h>
#include "peers.h"

#ifdef BENCH_ONEDNN

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>
#include "peak.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

#if DNNL_VERSION_MAJOR >= 3
#define DESC(d) (d)
typedef const_dnnl_memory_desc_t desc_view;
#define DESC_FUNCTIONS(X)               \
    X(dnnl_memory_desc_create_with_tag) \
    X(dnnl_memory_desc_destroy)         \
    X(dnnl_matmul_primitive_desc_create)
#else
#define DESC(d) (&(d))
typedef const dnnl_memory_desc_t *desc_view;
#define DESC_FUNCTIONS(X)           \
    X(dnnl_memory_desc_init_by_tag) \
    X(dnnl_matmul_desc_init)        \
    X(dnnl_primitive_desc_create)
#endif

#define FUNCTIONS(X)                      \
    DESC_FUNCTIONS(X)                     \
    X(dnnl_version)                       \
    X(dnnl_engine_create)                 \
    X(dnnl_engine_destroy)                \
    X(dnnl_stream_create)                 \
    X(dnnl_stream_wait)                   \
    X(dnnl_stream_destroy)                \
    X(dnnl_primitive_desc_query_md)       \
    X(dnnl_primitive_desc_destroy)        \
    X(dnnl_primitive_create)              \
    X(dnnl_primitive_execute)             \
    X(dnnl_primitive_destroy)             \
    X(dnnl_memory_create)                 \
    X(dnnl_memory_destroy)                \
    X(dnnl_reorder_primitive_desc_create) \
    X(dnnl_gemm_u8s8s32)                  \
    X(dnnl_gemm_s8s8s32)

struct onednn {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct work {
    struct onednn *peer;
    const struct product *p;
    dnnl_memory_t a, b, c;
    dnnl_primitive_t matmul;
    int32_t *out;
    bool gemm; /* the call, not the primitive */
};

static void *library(void)
{
    return dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static bool onednn_present(char *reason, size_t reason_bytes)
{
    if (library())
        return true;
    snprintf(reason, reason_bytes, "no " LIBRARY ": install libdnnl-dev");
    return false;
}

static void onednn_close(void *peer)
{
    struct onednn *p = peer;
    if (p->stream)
        p->dnnl_stream_destroy(p->stream);
    if (p->engine)
        p->dnnl_engine_destroy(p->engine);
    free(p);
}

static int load(struct onednn *p, size_t threads, struct qdot_error *err)
{
    void *handle = library(), *symbol;
    void (*set_threads)(int);
    if (!handle)
        return bench_fail(err, QDOT_UNSUPPORTED, "no " LIBRARY);
#define X(name)                                                             \
    symbol = dlsym(handle, #name);                                          \
    if (!symbol)                                                            \
        return bench_fail(err, QDOT_UNSUPPORTED, LIBRARY " has no " #name); \
    memcpy(&p->name, &symbol, sizeof(symbol));
    FUNCTIONS(X)
#undef X
    /* Of the OpenMP that it is linked with; another threading has no such number. */
    symbol = dlsym(handle, "omp_set_num_threads");
    if (!symbol)
        return bench_fail(err, QDOT_UNSUPPORTED, LIBRARY " is not built with OpenMP");
    memcpy(&set_threads, &symbol, sizeof(symbol));
    set_threads((int)threads);
    return QDOT_OK;
}

static int onednn_open(const char *device, size_t threads, void **peer, char *version,
                       size_t version_bytes, struct qdot_error *err)
{
    (void)device;
    struct onednn *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onednn");
    int status = load(p, threads, err);
    if (status == QDOT_OK &&
        (p->dnnl_engine_create(&p->engine, dnnl_cpu, 0) != dnnl_success ||
         p->dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) != dnnl_success))
        status = bench_fail(err, QDOT_DEVICE_FAILED, "oneDNN has no CPU engine");
    if (status != QDOT_OK) {
        onednn_close(p);
        return status;
    }
    const dnnl_version_t *v = p->dnnl_version();
    snprintf(version, version_bytes, "%d.%d.%d", v->major, v->minor, v->patch);
    *peer = p;
    return QDOT_OK;
}

static void onednn_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    if (w->matmul)
        w->peer->dnnl_primitive_destroy(w->matmul);
    if (w->a)
        w->peer->dnnl_memory_destroy(w->a);
    if (w->b)
        w->peer->dnnl_memory_destroy(w->b);
    if (w->c)
        w->peer->dnnl_memory_destroy(w->c);
    free(w->out);
    free(w);
}

struct descs {
    dnnl_memory_desc_t a, b_plain, b, c; /* b: laid out as the primitive likes it */
};

static bool make_desc(struct onednn *p, dnnl_memory_desc_t *desc, size_t rows, size_t columns,
                      dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
#if DNNL_VERSION_MAJOR >= 3
    return p->dnnl_memory_desc_create_with_tag(desc, 2, dims, type, tag) == dnnl_success;
#else
    return p->dnnl_memory_desc_init_by_tag(desc, 2, dims, type, tag) == dnnl_success;
#endif
}

static bool make_descs(struct onednn *p, const struct product *q, struct descs *d)
{
    const dnnl_data_type_t a_type = q->a_type == QDOT_U8 ? dnnl_u8 : dnnl_s8;
    memset(d, 0, sizeof(*d));
    return make_desc(p, &d->a, q->m, q->k, a_type, dnnl_ab) &&
           make_desc(p, &d->b_plain, q->k, q->n, dnnl_s8, dnnl_ab) &&
           make_desc(p, &d->b, q->k, q->n, dnnl_s8, dnnl_format_tag_any) &&
           make_desc(p, &d->c, q->m, q->n, dnnl_s32, dnnl_ab);
}

static void free_descs(struct onednn *p, struct descs *d)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t all[] = {d->a, d->b_plain, d->b, d->c};
    for (int i = 0; i < 4; i++)
        if (all[i])
            p->dnnl_memory_desc_destroy(all[i]);
#else
    (void)p;
    (void)d;
#endif
}

static bool describe_matmul(struct onednn *p, struct descs *d, dnnl_primitive_desc_t *pd)
{
#if DNNL_VERSION_MAJOR >= 3
    return p->dnnl_matmul_primitive_desc_create(pd, p->engine, d->a, d->b, NULL, d->c, NULL) ==
           dnnl_success;
#else
    dnnl_matmul_desc_t matmul;
    return p->dnnl_matmul_desc_init(&matmul, &d->a, &d->b, NULL, &d->c) == dnnl_success &&
           p->dnnl_primitive_desc_create(pd, &matmul, NULL, p->engine, NULL) == dnnl_success;
#endif
}

/* B into the primitive's layout: not timed. */
static bool pack(struct work *w, struct descs *d, desc_view packed)
{
    struct onednn *p = w->peer;
    dnnl_memory_t plain = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    bool good =
        p->dnnl_memory_create(&w->b, packed, p->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success &&
        p->dnnl_memory_create(&plain, DESC(d->b_plain), p->engine, w->p->b) == dnnl_success &&
        p->dnnl_reorder_primitive_desc_create(&pd, DESC(d->b_plain), p->engine, packed, p->engine,
                                              NULL) == dnnl_success &&
        p->dnnl_primitive_create(&reorder, pd) == dnnl_success;
    if (good) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, w->b}};
        good = p->dnnl_primitive_execute(reorder, p->stream, 2, args) == dnnl_success &&
               p->dnnl_stream_wait(p->stream) == dnnl_success;
    }
    if (reorder)
        p->dnnl_primitive_destroy(reorder);
    if (pd)
        p->dnnl_primitive_desc_destroy(pd);
    if (plain)
        p->dnnl_memory_destroy(plain);
    return good;
}

static bool make_matmul(struct work *w)
{
    struct onednn *p = w->peer;
    struct descs d;
    dnnl_primitive_desc_t pd = NULL;
    bool good = make_descs(p, w->p, &d) && describe_matmul(p, &d, &pd);
    if (good) {
        desc_view packed = p->dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        good = packed && pack(w, &d, packed) &&
               p->dnnl_memory_create(&w->a, DESC(d.a), p->engine, w->p->a) == dnnl_success &&
               p->dnnl_memory_create(&w->c, DESC(d.c), p->engine, w->out) == dnnl_success &&
               p->dnnl_primitive_create(&w->matmul, pd) == dnnl_success;
    }
    if (pd)
        p->dnnl_primitive_desc_destroy(pd);
    free_descs(p, &d);
    return good;
}

static dnnl_status_t run_gemm(const struct work *w)
{
    const struct product *q = w->p;
    const dnnl_dim_t m = (dnnl_dim_t)q->m, n = (dnnl_dim_t)q->n, k = (dnnl_dim_t)q->k;
    const int8_t *b = (const int8_t *)q->b;
    const int32_t offset = 0;
    if (q->a_type == QDOT_U8)
        return w->peer->dnnl_gemm_u8s8s32('N', 'N', 'F', m, n, k, 1.0f, q->a, k, 0, b, n, 0, 0.0f,
                                          w->out, n, &offset);
    return w->peer->dnnl_gemm_s8s8s32('N', 'N', 'F', m, n, k, 1.0f, (const int8_t *)q->a, k, 0, b,
                                      n, 0, 0.0f, w->out, n, &offset);
}

static int onednn_run(void *work, size_t runs, struct qdot_error *err)
{
    struct work *w = work;
    struct onednn *p = w->peer;
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, w->a}, {DNNL_ARG_WEIGHTS, w->b}, {DNNL_ARG_DST, w->c}};
    for (size_t i = 0; i < runs; i++) {
        const dnnl_status_t status =
            w->gemm ? run_gemm(w) : p->dnnl_primitive_execute(w->matmul, p->stream, 3, args);
        if (status != dnnl_success)
            return bench_fail(err, QDOT_DEVICE_FAILED, "oneDNN %s: %d", w->gemm ? "gemm" : "matmul",
                              (int)status);
    }
    const dnnl_status_t status = p->dnnl_stream_wait(p->stream);
    return status == dnnl_success
               ? QDOT_OK
               : bench_fail(err, QDOT_DEVICE_FAILED, "dnnl_stream_wait: %d", (int)status);
}

/* The faster way for this shape: the better of a few runs of each. */
static int choose(struct work *w, struct qdot_error *err)
{
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    for (int i = 0; i < 10; i++) {
        w->gemm = i % 2;
        const uint64_t begin = bench_now_ns();
        const int status = onednn_run(w, 1, err);
        if (status != QDOT_OK)
            return status;
        const uint64_t time = bench_now_ns() - begin;
        if (time < best[i % 2])
            best[i % 2] = time;
    }
    w->gemm = best[1] < best[0];
    memset(w->out, VERIFY_POISON, w->p->m * w->p->n * sizeof(*w->out));
    return QDOT_OK;
}

static int onednn_prepare(void *peer, const struct product *p, void **work, struct qdot_error *err)
{
    int status;
    *work = NULL;
    if (p->b_type != QDOT_S8)
        return bench_fail(err, QDOT_UNSUPPORTED, "oneDNN takes s8 weights");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onednn");
    w->peer = peer;
    w->p = p;
    w->out = verify_alloc(p->m * p->n, sizeof(*w->out));
    if (!w->out)
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the output of onednn");
    else if (!make_matmul(w))
        status = bench_fail(err, QDOT_DEVICE_FAILED, "oneDNN cannot make a matmul");
    else
        status = choose(w, err);
    if (status != QDOT_OK)
        onednn_destroy(w);
    else
        *work = w;
    return status;
}

static int onednn_read(void *work, int32_t *c, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    memcpy(c, w->out, w->p->m * w->p->n * sizeof(*c));
    return QDOT_OK;
}

static const char *onednn_how(void *work)
{
    return ((const struct work *)work)->gemm ? "onednn gemm" : "onednn matmul";
}

const struct peer peer_onednn = {
    .name = "onednn",
    .backend = "cpu",
    .present = onednn_present,
    .open = onednn_open,
    .close = onednn_close,
    .prepare = onednn_prepare,
    .run = onednn_run,
    .read = onednn_read,
    .how = onednn_how,
    .destroy = onednn_destroy,
};

#else

static bool onednn_absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes, "not built: install libdnnl-dev and build again");
    return false;
}
const struct peer peer_onednn = {.name = "onednn", .backend = "cpu", .present = onednn_absent};

#endif
