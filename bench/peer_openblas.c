/* OpenBLAS's sgemm on the CPU: what 8-bit data cost when computed as float. Of convolutions, those
 * that are products. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peak.h"
#include "peers.h"

#define LIBRARY "libopenblas.so.0"

/* Of cblas.h, which need not be there; int is what a library of this name counts with. */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
typedef void sgemm_function(int layout, int a_transpose, int b_transpose, int m, int n, int k,
                            float alpha, const float *a, int a_ld, const float *b, int b_ld,
                            float beta, float *c, int c_ld);

struct openblas {
    sgemm_function *cblas_sgemm;
    void (*openblas_set_num_threads)(int);
    int (*openblas_get_num_threads)(void);
    char *(*openblas_get_config)(void);
};

struct work {
    struct openblas *peer;
    int m, n, k;
    bool b_transposed;
    float *a, *b, *c;
};

static bool openblas_present(char *reason, size_t reason_bytes)
{
    return peer_library_present(LIBRARY, "libopenblas0-pthread", reason, reason_bytes);
}

static int load(struct openblas *p, struct qdot_error *err)
{
    const struct peer_symbol symbols[] = {
        {"cblas_sgemm", &p->cblas_sgemm},
        {"openblas_set_num_threads", &p->openblas_set_num_threads},
        {"openblas_get_num_threads", &p->openblas_get_num_threads},
        {"openblas_get_config", &p->openblas_get_config},
    };
    return peer_library_load(LIBRARY, symbols, sizeof(symbols) / sizeof(symbols[0]), err);
}

static int openblas_open(const char *device, size_t threads, void **peer, char *version,
                         size_t version_bytes, struct qdot_error *err)
{
    (void)device;
    struct openblas *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for openblas");
    int status = load(p, err);
    if (status == QDOT_OK) {
        p->openblas_set_num_threads((int)threads);
        /* It takes no more than it was built for. */
        if (p->openblas_get_num_threads() != (int)threads)
            status = bench_fail(err, QDOT_UNSUPPORTED, LIBRARY " takes %d threads, not %zu",
                                p->openblas_get_num_threads(), threads);
    }
    if (status != QDOT_OK) {
        free(p);
        return status;
    }
    /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    const char *config = p->openblas_get_config();
    const char *space = config ? strchr(config, ' ') : NULL;
    snprintf(version, version_bytes, "%.*s", space ? (int)strcspn(space + 1, " ") : 7,
             space ? space + 1 : "unknown");
    *peer = p;
    return QDOT_OK;
}

static void openblas_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    free(w->a);
    free(w->b);
    free(w->c);
    free(w);
}

/* 'count' floats with these bytes as values. */
static float *floats(const uint8_t *bytes, bool is_signed, size_t count)
{
    float *values = verify_alloc(count, sizeof(*values));
    for (size_t i = 0; values && i < count; i++)
        values[i] = is_signed ? (float)(int8_t)bytes[i] : (float)bytes[i];
    return values;
}

static int openblas_prepare(void *peer, const struct product *p, void **work,
                            struct qdot_error *err)
{
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k;
    *work = NULL;
    if (!shape_is_product(&p->shape) || p->out_type != QDOT_S32)
        return bench_fail(err, QDOT_UNSUPPORTED, "only plain products");
    if (m > INT_MAX || n > INT_MAX || k > INT_MAX)
        return bench_fail(err, QDOT_UNSUPPORTED, "a size beyond int");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for openblas");
    *w = (struct work){.peer = peer,
                       .m = (int)m,
                       .n = (int)n,
                       .k = (int)k,
                       .b_transposed = p->shape.kind == QDOT_CONV};
    w->a = floats(p->a, p->a_type == QDOT_S8, m * k);
    w->b = floats(p->b, p->b_type == QDOT_S8, k * n);
    w->c = verify_alloc(m * n, sizeof(*w->c));
    if (!w->a || !w->b || !w->c) {
        openblas_destroy(w);
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for the floats of openblas");
    }
    memset(w->c, VERIFY_POISON, m * n * sizeof(*w->c));
    *work = w;
    return QDOT_OK;
}

static int openblas_run(void *work, size_t runs, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    for (size_t i = 0; i < runs; i++)
        w->peer->cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, w->b_transposed ? TRANSPOSE : NO_TRANSPOSE,
                             w->m, w->n, w->k, 1.0f, w->a, w->k, w->b,
                             w->b_transposed ? w->k : w->n, 0.0f, w->c, w->n);
    return QDOT_OK;
}

static int openblas_read(void *work, void *out, struct qdot_error *err)
{
    int32_t *c = out;
    const struct work *w = work;
    const size_t count = (size_t)w->m * (size_t)w->n;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        const bool fits = w->c[i] > -2147483648.0f && w->c[i] < 2147483648.0f;
        const int32_t integer = fits ? (int32_t)w->c[i] : INT32_MIN;
        c[i] = fits && (float)integer == w->c[i] ? integer : INT32_MIN;
    }
    return QDOT_OK;
}

static const char *openblas_how(void *work)
{
    (void)work;
    return "openblas sgemm (float)";
}

const struct peer peer_openblas = {
    .name = "openblas",
    .backend = "cpu",
    .floating = true,
    .present = openblas_present,
    .open = openblas_open,
    .close = free,
    .prepare = openblas_prepare,
    .run = openblas_run,
    .read = openblas_read,
    .how = openblas_how,
    .destroy = openblas_destroy,
};
