/*
 * XNNPACK on the CPU: s8 x s8 to s8 and u8 x u8 to u8, weights packed beforehand; it has neither
 * other types nor sums as a result.
 *
 * s8: its convolution with a scale a channel (qc8), also of a product, which is one with a kernel
 * of 1x1: its fully connected layer has only one scale. u8: fully connected layer and convolution,
 * with one scale for all channels, which costs the same. Scales of 1 for input and output leave
 * the weights' as the factor; then it rounds as qdot.h says, and results are compared bit by bit.
 */
#include <stdio.h>
#include "peers.h"

#ifdef BENCH_XNNPACK

#include <dlfcn.h>
#include <pthreadpool.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>
#include "peak.h"

#define LIBRARY "libXNNPACK.so.0"

#define FUNCTIONS(X)                     \
    X(xnn_initialize)                    \
    X(xnn_deinitialize)                  \
    X(xnn_create_convolution2d_nhwc_qc8) \
    X(xnn_setup_convolution2d_nhwc_qc8)  \
    X(xnn_create_convolution2d_nhwc_qu8) \
    X(xnn_setup_convolution2d_nhwc_qu8)  \
    X(xnn_create_fully_connected_nc_qu8) \
    X(xnn_setup_fully_connected_nc_qu8)  \
    X(xnn_run_operator)                  \
    X(xnn_delete_operator)               \
    X(pthreadpool_create)                \
    X(pthreadpool_destroy)

struct xnnpack {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
    pthreadpool_t pool; /* NULL: the caller's thread alone */
};

struct work {
    struct xnnpack *peer;
    const struct product *p;
    xnn_operator_t op;
    void *a, *out;
    void *b;                /* of products of s8; NULL: the product's own */
    int32_t *bias;          /* of u8 */
    struct one_scale terms; /* of u8 */
    const char *how;
};

static void *library(void)
{
    return dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static bool xnnpack_present(char *reason, size_t reason_bytes)
{
    if (library())
        return true;
    snprintf(reason, reason_bytes, "no " LIBRARY ": install libxnnpack-dev");
    return false;
}

static int load(struct xnnpack *p, struct qdot_error *err)
{
    void *handle = library(), *symbol;
    if (!handle)
        return bench_fail(err, QDOT_UNSUPPORTED, "no " LIBRARY);
        /* The thread pool's are found in the library that XNNPACK is linked with. */
#define X(name)                                                             \
    symbol = dlsym(handle, #name);                                          \
    if (!symbol)                                                            \
        return bench_fail(err, QDOT_UNSUPPORTED, LIBRARY " has no " #name); \
    memcpy(&p->name, &symbol, sizeof(symbol));
    FUNCTIONS(X)
#undef X
    return QDOT_OK;
}

static int xnnpack_open(const char *device, size_t threads, void **peer, char *version,
                        size_t version_bytes, struct qdot_error *err)
{
    (void)device;
    struct xnnpack *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for xnnpack");
    int status = load(p, err);
    if (status == QDOT_OK && p->xnn_initialize(NULL) != xnn_status_success)
        status = bench_fail(err, QDOT_UNSUPPORTED, "XNNPACK does not know this processor");
    if (status != QDOT_OK) {
        free(p);
        return status;
    }
    if (threads > 1)
        p->pool = p->pthreadpool_create(threads);
    if (threads > 1 && !p->pool) {
        p->xnn_deinitialize();
        free(p);
        return bench_fail(err, QDOT_NO_MEMORY, "no thread pool for xnnpack");
    }
    snprintf(version, version_bytes, LIBRARY); /* it tells no other */
    *peer = p;
    return QDOT_OK;
}

static void xnnpack_close(void *peer)
{
    struct xnnpack *p = peer;
    if (p->pool)
        p->pthreadpool_destroy(p->pool);
    p->xnn_deinitialize();
    free(p);
}

static void xnnpack_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    if (w->op)
        w->peer->xnn_delete_operator(w->op);
    free(w->a);
    free(w->b);
    free(w->bias);
    free(w->out);
    free(w);
}

/* The product as a convolution of m pixels; a convolution as it is. */
static struct qdot_conv as_conv(const struct shape *s)
{
    if (s->kind == QDOT_CONV)
        return s->conv;
    return (struct qdot_conv){.batch = 1,
                              .height = s->m,
                              .width = 1,
                              .channels = s->k,
                              .out_channels = s->n,
                              .kernel_h = 1,
                              .kernel_w = 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .groups = 1};
}

#define GEOMETRY(c)                                                                    \
    (uint32_t)(c)->pad_top, (uint32_t)(c)->pad_right, (uint32_t)(c)->pad_bottom,       \
        (uint32_t)(c)->pad_left, (uint32_t)(c)->kernel_h, (uint32_t)(c)->kernel_w,     \
        (uint32_t)(c)->stride_h, (uint32_t)(c)->stride_w, (uint32_t)(c)->dilation_h,   \
        (uint32_t)(c)->dilation_w, (uint32_t)(c)->groups, (c)->channels / (c)->groups, \
        (c)->out_channels / (c)->groups, (c)->channels, (c)->out_channels

static enum xnn_status make_signed(struct work *w)
{
    struct xnnpack *x = w->peer;
    const struct product *p = w->p;
    const struct qdot_conv c = as_conv(&p->shape);
    const int8_t *b = (const int8_t *)(w->b ? w->b : p->b);
    w->how = p->shape.kind == QDOT_CONV ? "xnnpack qc8 convolution" : "xnnpack qc8 1x1 convolution";
    const enum xnn_status status = x->xnn_create_convolution2d_nhwc_qc8(
        GEOMETRY(&c), 0, 1.0f, p->scale, b, p->bias, 0, 1.0f, INT8_MIN, INT8_MAX, 0, &w->op);
    return status != xnn_status_success
               ? status
               : x->xnn_setup_convolution2d_nhwc_qc8(w->op, c.batch, c.height, c.width, w->a,
                                                     w->out, x->pool);
}

static enum xnn_status make_unsigned(struct work *w)
{
    struct xnnpack *x = w->peer;
    const struct product *p = w->p;
    const struct qdot_conv *c = &p->shape.conv;
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k;
    enum xnn_status status;
    if (p->shape.kind == QDOT_CONV) {
        w->how = "xnnpack qu8 convolution";
        status = x->xnn_create_convolution2d_nhwc_qu8(GEOMETRY(c), 0, 1.0f, 0, w->terms.scale, p->b,
                                                      w->bias, 0, 1.0f, 0, UINT8_MAX, 0, &w->op);
        return status != xnn_status_success
                   ? status
                   : x->xnn_setup_convolution2d_nhwc_qu8(w->op, c->batch, c->height, c->width, w->a,
                                                         w->out, x->pool);
    }
    w->how = "xnnpack qu8 fully connected";
    status = x->xnn_create_fully_connected_nc_qu8(k, n, k, n, 0, 1.0f, 0, w->terms.scale, p->b,
                                                  w->bias, 0, 1.0f, 0, UINT8_MAX,
                                                  XNN_FLAG_TRANSPOSE_WEIGHTS, &w->op);
    return status != xnn_status_success
               ? status
               : x->xnn_setup_fully_connected_nc_qu8(w->op, m, w->a, w->out, x->pool);
}

/* It reads some bytes behind its input. */
static bool copy_a(struct work *w)
{
    const size_t bytes = shape_inputs(&w->p->shape);
    w->a = verify_alloc(bytes + XNN_EXTRA_BYTES, 1);
    if (!w->a)
        return false;
    memcpy(w->a, w->p->a, bytes);
    memset((uint8_t *)w->a + bytes, 0, XNN_EXTRA_BYTES);
    return true;
}

/* Of a product, B [k,n] as a convolution's weights, [n,k]. */
static bool transpose_b(struct work *w)
{
    const size_t n = w->p->shape.n, k = w->p->shape.k;
    uint8_t *b = verify_alloc(k * n, 1);
    for (size_t l = 0; b && l < k; l++)
        for (size_t j = 0; j < n; j++)
            b[j * k + l] = w->p->b[l * n + j];
    w->b = b;
    return b;
}

/* All of u8 x u8 is positive and far beyond u8 with the product's scales: a bias and a scale with
 * which outputs use their whole range and some are clamped at either end. */
static bool spread(struct work *w)
{
    const struct product *p = w->p;
    const size_t n = p->shape.n, count = p->shape.m * n;
    int32_t lo = p->acc[0], hi = p->acc[0];
    for (size_t i = 1; i < count; i++) {
        lo = p->acc[i] < lo ? p->acc[i] : lo;
        hi = p->acc[i] > hi ? p->acc[i] : hi;
    }
    const int64_t range = (int64_t)hi - lo;
    w->terms.scale = range > 320 ? 320.0f / (float)range : 1.0f;
    w->terms.shift = (int32_t)(uint32_t) - (lo + range / 10);
    w->bias = verify_alloc(n, sizeof(*w->bias));
    for (size_t j = 0; w->bias && j < n; j++)
        w->bias[j] = (int32_t)((uint32_t)p->bias[j] + (uint32_t)w->terms.shift);
    return w->bias;
}

static int xnnpack_prepare(void *peer, const struct product *p, void **work, struct qdot_error *err)
{
    const bool is_signed = p->a_type == QDOT_S8;
    const size_t count = p->shape.m * p->shape.n;
    int status = QDOT_OK;
    *work = NULL;
    if (p->a_type != p->b_type || p->a_type != p->out_type)
        return bench_fail(err, QDOT_UNSUPPORTED, "only s8s8 to s8 and u8u8 to u8");
    if (p->a_zero || p->out_zero)
        return bench_fail(err, QDOT_UNSUPPORTED, "zero points");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for xnnpack");
    *w = (struct work){.peer = peer, .p = p, .out = verify_alloc(count, 1)};
    if (!w->out || !copy_a(w) || (is_signed && p->shape.kind == QDOT_GEMM && !transpose_b(w)) ||
        (!is_signed && !spread(w))) {
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the matrices of xnnpack");
    } else {
        memset(w->out, VERIFY_POISON, count);
        const enum xnn_status made = is_signed ? make_signed(w) : make_unsigned(w);
        if (made == xnn_status_unsupported_parameter || made == xnn_status_unsupported_hardware)
            status = bench_fail(err, QDOT_UNSUPPORTED, "%s: not supported", w->how);
        else if (made != xnn_status_success)
            status = bench_fail(err, QDOT_DEVICE_FAILED, "%s: %d", w->how, (int)made);
    }
    /* It has packed its own copies. */
    free(w->b);
    free(w->bias);
    w->b = NULL;
    w->bias = NULL;
    if (status != QDOT_OK)
        xnnpack_destroy(w);
    else
        *work = w;
    return status;
}

static int xnnpack_run(void *work, size_t runs, struct qdot_error *err)
{
    const struct work *w = work;
    for (size_t i = 0; i < runs; i++) {
        const enum xnn_status status = w->peer->xnn_run_operator(w->op, w->peer->pool);
        if (status != xnn_status_success)
            return bench_fail(err, QDOT_DEVICE_FAILED, "%s: %d", w->how, (int)status);
    }
    return QDOT_OK;
}

static int xnnpack_read(void *work, void *out, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    memcpy(out, w->out, w->p->shape.m * w->p->shape.n);
    return QDOT_OK;
}

static const char *xnnpack_how(void *work)
{
    return ((const struct work *)work)->how;
}

static bool xnnpack_one_scale(void *work, struct one_scale *terms)
{
    const struct work *w = work;
    *terms = w->terms;
    return w->p->a_type == QDOT_U8;
}

const struct peer peer_xnnpack = {
    .name = "xnnpack",
    .backend = "cpu",
    .quantised = true,
    .no_sums = true,
    .present = xnnpack_present,
    .open = xnnpack_open,
    .close = xnnpack_close,
    .prepare = xnnpack_prepare,
    .run = xnnpack_run,
    .read = xnnpack_read,
    .how = xnnpack_how,
    .one_scale = xnnpack_one_scale,
    .destroy = xnnpack_destroy,
};

#else

static bool xnnpack_absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes,
             "not built: install libxnnpack-dev (of Debian 12) and build again");
    return false;
}
const struct peer peer_xnnpack = {.name = "xnnpack", .backend = "cpu", .present = xnnpack_absent};

#endif
