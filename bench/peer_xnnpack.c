/*
 * XNNPACK on the CPU: s8 x s8 to s8 and u8 x u8 to u8, weights packed beforehand; it has neither
 * other types nor sums as a result.
 *
 * s8: a scale a channel. Of the first versions only their convolution has that, and a product is
 * one with a kernel of 1x1. u8: one scale for all channels, which costs the same. Scales of 1 for
 * input and output leave the weights' as the factor; then it rounds as qdot.h says, and results are
 * compared bit by bit.
 *
 * BENCH_XNNPACK is the library's name, BENCH_XNNPACK_RESHAPE what later versions have: setting up is
 * two calls, and other names and arguments.
 */
#include <stdio.h>
#include "peers.h"

#ifdef BENCH_XNNPACK

#include <pthreadpool.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>
#include "peak.h"

#define LIBRARY BENCH_XNNPACK

#ifdef BENCH_XNNPACK_RESHAPE
#define VERSION_FUNCTIONS(X)                   \
    X(xnn_create_convolution2d_nhwc_qs8_qc8w)  \
    X(xnn_reshape_convolution2d_nhwc_qs8_qc8w) \
    X(xnn_setup_convolution2d_nhwc_qs8_qc8w)   \
    X(xnn_create_fully_connected_nc_qs8_qc8w)  \
    X(xnn_reshape_fully_connected_nc_qs8_qc8w) \
    X(xnn_setup_fully_connected_nc_qs8_qc8w)   \
    X(xnn_reshape_convolution2d_nhwc_qu8)      \
    X(xnn_reshape_fully_connected_nc_qu8)
#define CACHES NULL, NULL,
#else
#define VERSION_FUNCTIONS(X)             \
    X(xnn_create_convolution2d_nhwc_qc8) \
    X(xnn_setup_convolution2d_nhwc_qc8)
#define CACHES
#endif

#define FUNCTIONS(X)                     \
    VERSION_FUNCTIONS(X)                 \
    X(xnn_initialize)                    \
    X(xnn_deinitialize)                  \
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
    void *a, *out, *workspace;
    int32_t *bias;          /* of u8 */
    struct one_scale terms; /* of u8 */
    const char *how;
};

static bool xnnpack_present(char *reason, size_t reason_bytes)
{
    return peer_library_present(LIBRARY, "libxnnpack-dev", reason, reason_bytes);
}

/* The thread pool's are found in the library that XNNPACK is linked with. */
static int load(struct xnnpack *p, struct qdot_error *err)
{
#define X(name) {#name, &p->name},
    const struct peer_symbol symbols[] = {FUNCTIONS(X)};
#undef X
    return peer_library_load(LIBRARY, symbols, sizeof(symbols) / sizeof(symbols[0]), err);
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
    /* It does not tell its version; the name of its file may: libXNNPACK.so.0.20241108 */
    snprintf(version, version_bytes, "%s", LIBRARY);
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
    free(w->bias);
    free(w->out);
    free(w->workspace);
    free(w);
}

#define GEOMETRY(c)                                                                    \
    (uint32_t)(c)->pad_top, (uint32_t)(c)->pad_right, (uint32_t)(c)->pad_bottom,       \
        (uint32_t)(c)->pad_left, (uint32_t)(c)->kernel_h, (uint32_t)(c)->kernel_w,     \
        (uint32_t)(c)->stride_h, (uint32_t)(c)->stride_w, (uint32_t)(c)->dilation_h,   \
        (uint32_t)(c)->dilation_w, (uint32_t)(c)->groups, (c)->channels / (c)->groups, \
        (c)->out_channels / (c)->groups, (c)->channels, (c)->out_channels

/* After it is created: what it computes on. */
static enum xnn_status set_up_conv(struct work *w, const struct qdot_conv *c)
{
    const struct xnnpack *x = w->peer;
    const bool is_signed = w->p->a_type == QDOT_S8;
#ifdef BENCH_XNNPACK_RESHAPE
    size_t bytes = 0, alignment, height, width;
    const enum xnn_status status = (is_signed ? x->xnn_reshape_convolution2d_nhwc_qs8_qc8w
                                              : x->xnn_reshape_convolution2d_nhwc_qu8)(
        w->op, c->batch, c->height, c->width, &bytes, &alignment, &height, &width, x->pool);
    if (status != xnn_status_success)
        return status;
    w->workspace = verify_alloc(bytes, 1);
    if (!w->workspace)
        return xnn_status_out_of_memory;
    return is_signed ? x->xnn_setup_convolution2d_nhwc_qs8_qc8w(w->op, w->workspace, w->a, w->out)
                     : x->xnn_setup_convolution2d_nhwc_qu8(w->op, w->workspace, w->a, w->out);
#else
    return is_signed ? x->xnn_setup_convolution2d_nhwc_qc8(w->op, c->batch, c->height, c->width,
                                                           w->a, w->out, x->pool)
                     : x->xnn_setup_convolution2d_nhwc_qu8(w->op, c->batch, c->height, c->width,
                                                           w->a, w->out, x->pool);
#endif
}

static enum xnn_status signed_conv(struct work *w, const struct qdot_conv *c, const int8_t *b)
{
    const struct xnnpack *x = w->peer;
    const struct product *p = w->p;
#ifdef BENCH_XNNPACK_RESHAPE
    __typeof__(x->xnn_create_convolution2d_nhwc_qs8_qc8w) create =
        x->xnn_create_convolution2d_nhwc_qs8_qc8w;
#else
    __typeof__(x->xnn_create_convolution2d_nhwc_qc8) create = x->xnn_create_convolution2d_nhwc_qc8;
#endif
    w->how = "xnnpack qc8 convolution";
    const enum xnn_status status = create(GEOMETRY(c), 0, 1.0f, p->scale, b, p->bias, 0, 1.0f,
                                          INT8_MIN, INT8_MAX, 0, CACHES & w->op);
    return status == xnn_status_success ? set_up_conv(w, c) : status;
}

#ifdef BENCH_XNNPACK_RESHAPE
static enum xnn_status signed_product(struct work *w)
{
    const struct xnnpack *x = w->peer;
    const struct product *p = w->p;
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k;
    w->how = "xnnpack qc8 fully connected";
    enum xnn_status status = x->xnn_create_fully_connected_nc_qs8_qc8w(
        k, n, k, n, 0, 1.0f, p->scale, (const int8_t *)p->b, p->bias, 0, 1.0f, INT8_MIN, INT8_MAX,
        XNN_FLAG_TRANSPOSE_WEIGHTS, CACHES & w->op);
    if (status == xnn_status_success)
        status = x->xnn_reshape_fully_connected_nc_qs8_qc8w(w->op, m, x->pool);
    return status == xnn_status_success
               ? x->xnn_setup_fully_connected_nc_qs8_qc8w(w->op, w->a, w->out)
               : status;
}
#else
/* A convolution of m pixels. */
static enum xnn_status signed_product(struct work *w)
{
    const size_t m = w->p->shape.m, n = w->p->shape.n, k = w->p->shape.k;
    const struct qdot_conv c = {.batch = 1,
                                .height = m,
                                .width = 1,
                                .channels = k,
                                .out_channels = n,
                                .kernel_h = 1,
                                .kernel_w = 1,
                                .stride_h = 1,
                                .stride_w = 1,
                                .dilation_h = 1,
                                .dilation_w = 1,
                                .groups = 1};
    uint8_t *b = verify_alloc(k * n, 1); /* [n,k] */
    if (!b)
        return xnn_status_out_of_memory;
    for (size_t l = 0; l < k; l++)
        for (size_t j = 0; j < n; j++)
            b[j * k + l] = w->p->b[l * n + j];
    const enum xnn_status status = signed_conv(w, &c, (const int8_t *)b);
    free(b); /* it has packed a copy */
    return status;
}
#endif

static enum xnn_status unsigned_conv(struct work *w)
{
    const struct xnnpack *x = w->peer;
    const struct qdot_conv *c = &w->p->shape.conv;
    w->how = "xnnpack qu8 convolution";
    const enum xnn_status status =
        x->xnn_create_convolution2d_nhwc_qu8(GEOMETRY(c), 0, 1.0f, 0, w->terms.scale, w->p->b,
                                             w->bias, 0, 1.0f, 0, UINT8_MAX, 0, CACHES & w->op);
    return status == xnn_status_success ? set_up_conv(w, c) : status;
}

static enum xnn_status unsigned_product(struct work *w)
{
    const struct xnnpack *x = w->peer;
    const size_t m = w->p->shape.m, n = w->p->shape.n, k = w->p->shape.k;
    w->how = "xnnpack qu8 fully connected";
    enum xnn_status status = x->xnn_create_fully_connected_nc_qu8(
        k, n, k, n, 0, 1.0f, 0, w->terms.scale, w->p->b, w->bias, 0, 1.0f, 0, UINT8_MAX,
        XNN_FLAG_TRANSPOSE_WEIGHTS, CACHES & w->op);
    if (status != xnn_status_success)
        return status;
#ifdef BENCH_XNNPACK_RESHAPE
    status = x->xnn_reshape_fully_connected_nc_qu8(w->op, m, x->pool);
    return status == xnn_status_success ? x->xnn_setup_fully_connected_nc_qu8(w->op, w->a, w->out)
                                        : status;
#else
    return x->xnn_setup_fully_connected_nc_qu8(w->op, m, w->a, w->out, x->pool);
#endif
}

static enum xnn_status make(struct work *w)
{
    const struct shape *s = &w->p->shape;
    if (w->p->a_type == QDOT_S8)
        return s->kind == QDOT_GEMM ? signed_product(w)
                                    : signed_conv(w, &s->conv, (const int8_t *)w->p->b);
    return s->kind == QDOT_GEMM ? unsigned_product(w) : unsigned_conv(w);
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
    if (!w->out || !copy_a(w) || (p->a_type == QDOT_U8 && !spread(w))) {
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the matrices of xnnpack");
    } else {
        memset(w->out, VERIFY_POISON, count);
        const enum xnn_status made = make(w);
        if (made == xnn_status_unsupported_parameter || made == xnn_status_unsupported_hardware)
            status = bench_fail(err, QDOT_UNSUPPORTED, "%s: not supported", w->how);
        else if (made != xnn_status_success)
            status = bench_fail(err, QDOT_DEVICE_FAILED, "%s: %d", w->how, (int)made);
    }
    free(w->bias); /* it has packed a copy */
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
    snprintf(reason, reason_bytes, "not built: install libxnnpack-dev and build again");
    return false;
}
const struct peer peer_xnnpack = {.name = "xnnpack", .backend = "cpu", .present = xnnpack_absent};

#endif
