/* oneDNN's gemm call on the CPU: s32 only, both matrices as they lie in memory, packed in every
 * call. What a program gets that cannot keep packed weights. Of convolutions, those that are
 * products. */
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

struct onednn {
    __typeof__(dnnl_version) *dnnl_version;
    __typeof__(dnnl_gemm_u8s8s32) *dnnl_gemm_u8s8s32;
    __typeof__(dnnl_gemm_s8s8s32) *dnnl_gemm_s8s8s32;
    void (*omp_set_num_threads)(int);
};

struct work {
    struct onednn *peer;
    const struct product *p;
    int32_t *c;
};

static void *library(void)
{
    return dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static bool onednn_gemm_present(char *reason, size_t reason_bytes)
{
    if (library())
        return true;
    snprintf(reason, reason_bytes, "no " LIBRARY ": install libdnnl-dev");
    return false;
}

static int load(struct onednn *p, struct qdot_error *err)
{
    void *handle = library(), *symbol;
    if (!handle)
        return bench_fail(err, QDOT_UNSUPPORTED, "no " LIBRARY);
#define X(name)                                                             \
    symbol = dlsym(handle, #name);                                          \
    if (!symbol)                                                            \
        return bench_fail(err, QDOT_UNSUPPORTED, LIBRARY " has no " #name); \
    memcpy(&p->name, &symbol, sizeof(symbol));
    X(dnnl_version)
    X(dnnl_gemm_u8s8s32)
    X(dnnl_gemm_s8s8s32)
    X(omp_set_num_threads) /* of the OpenMP that it is linked with */
#undef X
    return QDOT_OK;
}

static int onednn_gemm_open(const char *device, size_t threads, void **peer, char *version,
                            size_t version_bytes, struct qdot_error *err)
{
    (void)device;
    struct onednn *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onednn_gemm");
    const int status = load(p, err);
    if (status != QDOT_OK) {
        free(p);
        return status;
    }
    p->omp_set_num_threads((int)threads);
    const dnnl_version_t *v = p->dnnl_version();
    snprintf(version, version_bytes, "%d.%d.%d", v->major, v->minor, v->patch);
    *peer = p;
    return QDOT_OK;
}

static void onednn_gemm_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    free(w->c);
    free(w);
}

static int onednn_gemm_prepare(void *peer, const struct product *p, void **work,
                               struct qdot_error *err)
{
    const size_t count = p->shape.m * p->shape.n;
    *work = NULL;
    if (!shape_is_product(&p->shape) || p->out_type != QDOT_S32)
        return bench_fail(err, QDOT_UNSUPPORTED, "only plain products");
    if (p->b_type != QDOT_S8)
        return bench_fail(err, QDOT_UNSUPPORTED, "only B of s8");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onednn_gemm");
    *w = (struct work){.peer = peer, .p = p, .c = verify_alloc(count, sizeof(*w->c))};
    if (!w->c) {
        onednn_gemm_destroy(w);
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for the output of onednn_gemm");
    }
    memset(w->c, VERIFY_POISON, count * sizeof(*w->c));
    *work = w;
    return QDOT_OK;
}

static dnnl_status_t run_once(const struct work *w)
{
    const struct product *p = w->p;
    const dnnl_dim_t m = (dnnl_dim_t)p->shape.m, n = (dnnl_dim_t)p->shape.n;
    const dnnl_dim_t k = (dnnl_dim_t)p->shape.k;
    /* A convolution's weights are [n,k]. */
    const bool transposed = p->shape.kind == QDOT_CONV;
    const char trans = transposed ? 'T' : 'N';
    const dnnl_dim_t ldb = transposed ? k : n;
    const int8_t *b = (const int8_t *)p->b;
    const int32_t offset = 0;
    if (p->a_type == QDOT_U8)
        return w->peer->dnnl_gemm_u8s8s32('N', trans, 'F', m, n, k, 1.0f, p->a, k, 0, b, ldb, 0,
                                          0.0f, w->c, n, &offset);
    return w->peer->dnnl_gemm_s8s8s32('N', trans, 'F', m, n, k, 1.0f, (const int8_t *)p->a, k, 0, b,
                                      ldb, 0, 0.0f, w->c, n, &offset);
}

static int onednn_gemm_run(void *work, size_t runs, struct qdot_error *err)
{
    for (size_t i = 0; i < runs; i++) {
        const dnnl_status_t status = run_once(work);
        if (status != dnnl_success)
            return bench_fail(err, QDOT_DEVICE_FAILED, "dnnl_gemm: %d", (int)status);
    }
    return QDOT_OK;
}

static int onednn_gemm_read(void *work, void *out, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    memcpy(out, w->c, w->p->shape.m * w->p->shape.n * sizeof(*w->c));
    return QDOT_OK;
}

static const char *onednn_gemm_how(void *work)
{
    const struct work *w = work;
    return w->p->a_type == QDOT_U8 ? "onednn dnnl_gemm_u8s8s32" : "onednn dnnl_gemm_s8s8s32";
}

const struct peer peer_onednn_gemm = {
    .name = "onednn_gemm",
    .backend = "cpu",
    .present = onednn_gemm_present,
    .open = onednn_gemm_open,
    .close = free,
    .prepare = onednn_gemm_prepare,
    .run = onednn_gemm_run,
    .read = onednn_gemm_read,
    .how = onednn_gemm_how,
    .destroy = onednn_gemm_destroy,
};

#else

static bool onednn_gemm_absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes, "not built: install libdnnl-dev and build again");
    return false;
}
const struct peer peer_onednn_gemm = {
    .name = "onednn_gemm", .backend = "cpu", .present = onednn_gemm_absent};

#endif
