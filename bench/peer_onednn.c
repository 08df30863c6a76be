/*
 * oneDNN on the CPU. A plain product: matmul with weights packed beforehand, or its gemm call,
 * whichever is faster for the shape; where B comes with each run, the call. A convolution: its
 * primitive, direct, with NHWC input and output and weights packed beforehand. u8 and s8 outputs:
 * the same with oneDNN's bias and scale a channel. The 2.x and 3.x interfaces differ in how
 * descriptors are passed; 3.x takes a bias only behind the scale, which is another sum, so there
 * such outputs are not compared.
 */
#include <stdio.h>
#include "peers.h"

#ifdef BENCH_ONEDNN

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
#define VERSION_FUNCTIONS(X)             \
    X(dnnl_memory_desc_create_with_tag)  \
    X(dnnl_memory_desc_destroy)          \
    X(dnnl_matmul_primitive_desc_create) \
    X(dnnl_convolution_forward_primitive_desc_create)
#else
#define DESC(d) (&(d))
typedef const dnnl_memory_desc_t *desc_view;
#define VERSION_FUNCTIONS(X)                      \
    X(dnnl_memory_desc_init_by_tag)               \
    X(dnnl_matmul_desc_init)                      \
    X(dnnl_dilated_convolution_forward_desc_init) \
    X(dnnl_primitive_desc_create)                 \
    X(dnnl_primitive_attr_set_output_scales)
#endif

#define FUNCTIONS(X)                      \
    VERSION_FUNCTIONS(X)                  \
    X(dnnl_version)                       \
    X(dnnl_engine_create)                 \
    X(dnnl_engine_destroy)                \
    X(dnnl_stream_create)                 \
    X(dnnl_stream_wait)                   \
    X(dnnl_stream_destroy)                \
    X(dnnl_primitive_attr_create)         \
    X(dnnl_primitive_attr_destroy)        \
    X(dnnl_primitive_desc_query)          \
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
    dnnl_memory_t a, b, bias, c;
    dnnl_primitive_t primitive;
    void *out;
    bool gemm; /* the call, not the primitive */
    char how[64];
};

static bool onednn_present(char *reason, size_t reason_bytes)
{
    return peer_library_present(LIBRARY, "libdnnl-dev", reason, reason_bytes);
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
    void (*set_threads)(int) = NULL;
    const struct peer_symbol symbols[] = {
#define X(name) {#name, &p->name},
        FUNCTIONS(X)
#undef X
        /* Of the OpenMP that it is linked with; another threading has no such number. */
        {"omp_set_num_threads", &set_threads},
    };
    const int status =
        peer_library_load(LIBRARY, symbols, sizeof(symbols) / sizeof(symbols[0]), err);
    if (status == QDOT_OK)
        set_threads((int)threads);
    return status;
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
    if (w->primitive)
        w->peer->dnnl_primitive_destroy(w->primitive);
    if (w->a)
        w->peer->dnnl_memory_destroy(w->a);
    if (w->b)
        w->peer->dnnl_memory_destroy(w->b);
    if (w->bias)
        w->peer->dnnl_memory_destroy(w->bias);
    if (w->c)
        w->peer->dnnl_memory_destroy(w->c);
    free(w->out);
    free(w);
}

struct descs {
    dnnl_memory_desc_t a, b_plain, b, bias, c; /* b: laid out as the primitive likes it */
};

static bool make_desc(struct onednn *p, dnnl_memory_desc_t *desc, int ndims, const dnnl_dims_t dims,
                      dnnl_data_type_t type, dnnl_format_tag_t tag)
{
#if DNNL_VERSION_MAJOR >= 3
    return p->dnnl_memory_desc_create_with_tag(desc, ndims, dims, type, tag) == dnnl_success;
#else
    return p->dnnl_memory_desc_init_by_tag(desc, ndims, dims, type, tag) == dnnl_success;
#endif
}

static dnnl_data_type_t data_type(enum qdot_type type)
{
    return type == QDOT_U8 ? dnnl_u8 : type == QDOT_S8 ? dnnl_s8 : dnnl_s32;
}

/* Dimensions are in oneDNN's order whatever the layout is: a tag tells that. */
static bool make_descs(struct onednn *p, const struct product *q, struct descs *d)
{
    const struct qdot_conv *c = &q->shape.conv;
    const dnnl_dim_t m = (dnnl_dim_t)q->shape.m, n = (dnnl_dim_t)q->shape.n;
    const dnnl_dim_t k = (dnnl_dim_t)q->shape.k, groups = (dnnl_dim_t)c->groups;
    const dnnl_data_type_t a_type = data_type(q->a_type), c_type = data_type(q->out_type);
    memset(d, 0, sizeof(*d));
    if (q->shape.kind == QDOT_GEMM) {
        const dnnl_dims_t a = {m, k}, b = {k, n}, bias = {1, n}, out = {m, n};
        return make_desc(p, &d->a, 2, a, a_type, dnnl_ab) &&
               make_desc(p, &d->b_plain, 2, b, dnnl_s8, dnnl_ab) &&
               make_desc(p, &d->b, 2, b, dnnl_s8, dnnl_format_tag_any) &&
               (!q->bias || make_desc(p, &d->bias, 2, bias, dnnl_s32, dnnl_ab)) &&
               make_desc(p, &d->c, 2, out, c_type, dnnl_ab);
    }
    const dnnl_dim_t batch = (dnnl_dim_t)c->batch, channels = (dnnl_dim_t)c->channels;
    const dnnl_dim_t kh = (dnnl_dim_t)c->kernel_h, kw = (dnnl_dim_t)c->kernel_w;
    const dnnl_dims_t a = {batch, channels, (dnnl_dim_t)c->height, (dnnl_dim_t)c->width};
    const dnnl_dims_t b = {n, channels, kh, kw};
    const dnnl_dims_t b_grouped = {groups, n / groups, channels / groups, kh, kw};
    const dnnl_dims_t out = {batch, n, (dnnl_dim_t)q->shape.out_h, (dnnl_dim_t)q->shape.out_w};
    const dnnl_dims_t bias = {n};
    const bool grouped = groups > 1;
    const int ndims = grouped ? 5 : 4;
    return make_desc(p, &d->a, 4, a, a_type, dnnl_nhwc) &&
           make_desc(p, &d->b_plain, ndims, grouped ? b_grouped : b, dnnl_s8,
                     grouped ? dnnl_gohwi : dnnl_ohwi) &&
           make_desc(p, &d->b, ndims, grouped ? b_grouped : b, dnnl_s8, dnnl_format_tag_any) &&
           (!q->bias || make_desc(p, &d->bias, 1, bias, dnnl_s32, dnnl_x)) &&
           make_desc(p, &d->c, 4, out, c_type, dnnl_nhwc);
}

static void free_descs(struct onednn *p, struct descs *d)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t all[] = {d->a, d->b_plain, d->b, d->bias, d->c};
    for (int i = 0; i < 5; i++)
        if (all[i])
            p->dnnl_memory_desc_destroy(all[i]);
#else
    (void)p;
    (void)d;
#endif
}

static bool describe_matmul(struct onednn *p, const struct product *q, struct descs *d,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
#if DNNL_VERSION_MAJOR >= 3
    return p->dnnl_matmul_primitive_desc_create(pd, p->engine, d->a, d->b, q->bias ? d->bias : NULL,
                                                d->c, attr) == dnnl_success;
#else
    dnnl_matmul_desc_t matmul;
    return p->dnnl_matmul_desc_init(&matmul, &d->a, &d->b, q->bias ? &d->bias : NULL, &d->c) ==
               dnnl_success &&
           p->dnnl_primitive_desc_create(pd, &matmul, attr, p->engine, NULL) == dnnl_success;
#endif
}

static bool describe_conv(struct onednn *p, const struct product *q, struct descs *d,
                          dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
    const struct qdot_conv *c = &q->shape.conv;
    const dnnl_dims_t strides = {(dnnl_dim_t)c->stride_h, (dnnl_dim_t)c->stride_w};
    const dnnl_dims_t dilates = {(dnnl_dim_t)c->dilation_h - 1, (dnnl_dim_t)c->dilation_w - 1};
    const dnnl_dims_t before = {(dnnl_dim_t)c->pad_top, (dnnl_dim_t)c->pad_left};
    const dnnl_dims_t after = {(dnnl_dim_t)c->pad_bottom, (dnnl_dim_t)c->pad_right};
#if DNNL_VERSION_MAJOR >= 3
    return p->dnnl_convolution_forward_primitive_desc_create(
               pd, p->engine, dnnl_forward_inference, dnnl_convolution_direct, d->a, d->b,
               q->bias ? d->bias : NULL, d->c, strides, dilates, before, after,
               attr) == dnnl_success;
#else
    dnnl_convolution_desc_t conv;
    return p->dnnl_dilated_convolution_forward_desc_init(
               &conv, dnnl_forward_inference, dnnl_convolution_direct, &d->a, &d->b,
               q->bias ? &d->bias : NULL, &d->c, strides, dilates, before, after) == dnnl_success &&
           p->dnnl_primitive_desc_create(pd, &conv, attr, p->engine, NULL) == dnnl_success;
#endif
}

/* Of a quantised layer: scales along the second dimension of the output. */
static bool set_scales(struct onednn *p, const struct product *q, dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
    (void)p;
    (void)attr;
    return !q->scale;
#else
    return !q->scale || p->dnnl_primitive_attr_set_output_scales(attr, (dnnl_dim_t)q->shape.n, 2,
                                                                 q->scale) == dnnl_success;
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

static bool make_memories(struct work *w, struct descs *d, desc_view packed)
{
    struct onednn *p = w->peer;
    const struct product *q = w->p;
    return pack(w, d, packed) &&
           p->dnnl_memory_create(&w->a, DESC(d->a), p->engine, q->a) == dnnl_success &&
           (!q->bias ||
            p->dnnl_memory_create(&w->bias, DESC(d->bias), p->engine, q->bias) == dnnl_success) &&
           p->dnnl_memory_create(&w->c, DESC(d->c), p->engine, w->out) == dnnl_success;
}

/* "brgconv:avx512_core_vnni" -> "onednn brgconv" */
static void note_how(struct work *w, const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    if (w->peer->dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) !=
            dnnl_success ||
        !name)
        name = "primitive";
    const char *isa = strstr(name, ":avx");
    snprintf(w->how, sizeof(w->how), "onednn %.*s", (int)(isa ? isa - name : 40), name);
}

static bool make_primitive(struct work *w)
{
    struct onednn *p = w->peer;
    const struct product *q = w->p;
    struct descs d;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    bool good = make_descs(p, q, &d) && p->dnnl_primitive_attr_create(&attr) == dnnl_success &&
                set_scales(p, q, attr) &&
                (q->shape.kind == QDOT_CONV ? describe_conv(p, q, &d, attr, &pd)
                                            : describe_matmul(p, q, &d, attr, &pd));
    if (good) {
        desc_view packed = p->dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        note_how(w, pd);
        good = packed && make_memories(w, &d, packed) &&
               p->dnnl_primitive_create(&w->primitive, pd) == dnnl_success;
    }
    if (pd)
        p->dnnl_primitive_desc_destroy(pd);
    if (attr)
        p->dnnl_primitive_attr_destroy(attr);
    free_descs(p, &d);
    return good;
}

static dnnl_status_t run_gemm(const struct work *w)
{
    const struct product *q = w->p;
    const dnnl_dim_t m = (dnnl_dim_t)q->shape.m, n = (dnnl_dim_t)q->shape.n;
    const dnnl_dim_t k = (dnnl_dim_t)q->shape.k;
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
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, w->a},
                                    {DNNL_ARG_WEIGHTS, w->b},
                                    {DNNL_ARG_DST, w->c},
                                    {DNNL_ARG_BIAS, w->bias}};
    const int count = w->bias ? 4 : 3;
    for (size_t i = 0; i < runs; i++) {
        const dnnl_status_t status =
            w->gemm ? run_gemm(w) : p->dnnl_primitive_execute(w->primitive, p->stream, count, args);
        if (status != dnnl_success)
            return bench_fail(err, QDOT_DEVICE_FAILED, "%s: %d", w->how, (int)status);
    }
    const dnnl_status_t status = p->dnnl_stream_wait(p->stream);
    return status == dnnl_success
               ? QDOT_OK
               : bench_fail(err, QDOT_DEVICE_FAILED, "dnnl_stream_wait: %d", (int)status);
}

static size_t out_bytes(const struct product *p)
{
    return p->shape.m * p->shape.n * type_bytes(p->out_type);
}

static int use_gemm(struct work *w)
{
    w->gemm = true;
    snprintf(w->how, sizeof(w->how), "onednn gemm");
    return QDOT_OK;
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
    w->gemm = false;
    if (best[1] < best[0])
        use_gemm(w);
    memset(w->out, VERIFY_POISON, out_bytes(w->p));
    return QDOT_OK;
}

static int onednn_prepare(void *peer, const struct product *p, void **work, struct qdot_error *err)
{
    int status;
    *work = NULL;
    if (p->b_type != QDOT_S8)
        return bench_fail(err, QDOT_UNSUPPORTED, "oneDNN takes s8 weights");
    if (p->a_zero || p->out_zero)
        return bench_fail(err, QDOT_UNSUPPORTED, "zero points");
    if (p->out_type == QDOT_F32 || (p->out_type != QDOT_S32 && DNNL_VERSION_MAJOR >= 3))
        return bench_fail(err, QDOT_UNSUPPORTED, "not this output");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onednn");
    w->peer = peer;
    w->p = p;
    w->out = verify_alloc(out_bytes(p), 1);
    if (!w->out)
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the output of onednn");
    else if (p->b_at_run)
        status = use_gemm(w);
    else if (!make_primitive(w))
        status = bench_fail(err, QDOT_DEVICE_FAILED, "oneDNN cannot make a primitive for it");
    else
        status = p->shape.kind == QDOT_GEMM && !p->scale ? choose(w, err) : QDOT_OK;
    if (status != QDOT_OK)
        onednn_destroy(w);
    else
        *work = w;
    return status;
}

static int onednn_read(void *work, void *out, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    memcpy(out, w->out, out_bytes(w->p));
    return QDOT_OK;
}

static const char *onednn_how(void *work)
{
    return ((const struct work *)work)->how;
}

const struct peer peer_onednn = {
    .name = "onednn",
    .backend = "cpu",
    .quantised = DNNL_VERSION_MAJOR < 3,
    .b_at_run = true,
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
