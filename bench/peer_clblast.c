/* CLBlast's float sgemm on the same OpenCL device: what 8-bit data cost when computed as float. Of
 * convolutions, those that are products. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "opencl_device.h"
#include "peak.h"
#include "peers.h"

#ifdef BENCH_OPENCL

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 }; /* CLBlast's C interface */
typedef int sgemm_function(int layout, int a_transpose, int b_transpose, size_t m, size_t n,
                           size_t k, float alpha, cl_mem a, size_t a_offset, size_t a_ld, cl_mem b,
                           size_t b_offset, size_t b_ld, float beta, cl_mem c, size_t c_offset,
                           size_t c_ld, cl_command_queue *queue, cl_event *event);

struct clblast {
    struct opencl_device cl;
    sgemm_function *sgemm;
};

struct work {
    struct clblast *peer;
    size_t m, n, k;
    bool b_transposed;
    cl_mem a, b, c;
};

static sgemm_function *find_sgemm(void)
{
    void *library = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, "CLBlastSgemm") : NULL;
    sgemm_function *sgemm;
    memcpy(&sgemm, &symbol, sizeof(sgemm));
    return sgemm;
}

static bool clblast_present(char *reason, size_t reason_bytes)
{
    if (find_sgemm())
        return true;
    snprintf(reason, reason_bytes, "no libclblast.so.1: install libclblast1");
    return false;
}

static int clblast_open(const char *device, size_t threads, void **peer, char *version,
                        size_t version_bytes, struct qdot_error *err)
{
    (void)threads;
    Dl_info where = {0};
    char real[4096] = "";
    struct clblast *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for clblast");
    p->sgemm = find_sgemm();
    const int status = p->sgemm ? opencl_open(device, &p->cl, err)
                                : bench_fail(err, QDOT_UNSUPPORTED, "no libclblast.so.1");
    if (status != QDOT_OK) {
        free(p);
        return status;
    }
    /* CLBlast does not tell its version; the name of its file does: libclblast.so.1.5.3 */
    void *symbol;
    memcpy(&symbol, &p->sgemm, sizeof(symbol));
    const char *suffix = NULL;
    if (dladdr(symbol, &where) && where.dli_fname && realpath(where.dli_fname, real))
        suffix = strstr(real, ".so.");
    snprintf(version, version_bytes, "%s", suffix ? suffix + 4 : "unknown");
    *peer = p;
    return QDOT_OK;
}

static void clblast_close(void *peer)
{
    struct clblast *p = peer;
    opencl_close(&p->cl);
    free(p);
}

static void clblast_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    struct opencl_device *cl = &w->peer->cl;
    cl->clFinish(cl->queue);
    if (w->a)
        cl->clReleaseMemObject(w->a);
    if (w->b)
        cl->clReleaseMemObject(w->b);
    if (w->c)
        cl->clReleaseMemObject(w->c);
    free(w);
}

/* A buffer of 'count' floats with these bytes as values; bytes NULL: poison. */
static cl_mem upload(struct opencl_device *cl, const uint8_t *bytes, bool is_signed, size_t count)
{
    cl_int code;
    float *values = verify_alloc(count, sizeof(*values));
    if (!values)
        return NULL;
    if (bytes)
        for (size_t i = 0; i < count; i++)
            values[i] = is_signed ? (float)(int8_t)bytes[i] : (float)bytes[i];
    else
        memset(values, VERIFY_POISON, count * sizeof(*values));
    cl_mem buffer =
        cl->clCreateBuffer(cl->context, CL_MEM_READ_WRITE, count * sizeof(*values), NULL, &code);
    if (code == CL_SUCCESS &&
        cl->clEnqueueWriteBuffer(cl->queue, buffer, CL_TRUE, 0, count * sizeof(*values), values, 0,
                                 NULL, NULL) != CL_SUCCESS) {
        cl->clReleaseMemObject(buffer);
        code = CL_OUT_OF_RESOURCES;
    }
    free(values);
    return code == CL_SUCCESS ? buffer : NULL;
}

static int clblast_run(void *work, size_t runs, struct qdot_error *err)
{
    struct work *w = work;
    struct opencl_device *cl = &w->peer->cl;
    for (size_t i = 0; i < runs; i++) {
        const int code =
            w->peer->sgemm(ROW_MAJOR, NO_TRANSPOSE, w->b_transposed ? TRANSPOSE : NO_TRANSPOSE,
                           w->m, w->n, w->k, 1.0f, w->a, 0, w->k, w->b, 0,
                           w->b_transposed ? w->k : w->n, 0.0f, w->c, 0, w->n, &cl->queue, NULL);
        if (code != 0)
            return bench_fail(err, QDOT_DEVICE_FAILED, "CLBlastSgemm: %d", code);
    }
    const cl_int code = cl->clFinish(cl->queue);
    return code == CL_SUCCESS ? QDOT_OK : bench_fail(err, QDOT_DEVICE_FAILED, "clFinish: %d", code);
}

static int clblast_prepare(void *peer, const struct product *p, void **work, struct qdot_error *err)
{
    struct clblast *c = peer;
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k;
    *work = NULL;
    if (!shape_is_product(&p->shape) || p->out_type != QDOT_S32)
        return bench_fail(err, QDOT_UNSUPPORTED, "only plain products");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for clblast");
    *w = (struct work){
        .peer = c, .m = m, .n = n, .k = k, .b_transposed = p->shape.kind == QDOT_CONV};
    w->a = upload(&c->cl, p->a, p->a_type == QDOT_S8, m * k);
    w->b = upload(&c->cl, p->b, p->b_type == QDOT_S8, k * n);
    w->c = upload(&c->cl, NULL, false, m * n);
    int status = w->a && w->b && w->c
                     ? clblast_run(w, 1, err) /* compiles */
                     : bench_fail(err, QDOT_NO_MEMORY, "no device memory for clblast");
    if (status != QDOT_OK)
        clblast_destroy(w);
    else
        *work = w;
    return status;
}

static int clblast_read(void *work, void *out, struct qdot_error *err)
{
    int32_t *c = out;
    struct work *w = work;
    struct opencl_device *cl = &w->peer->cl;
    const size_t count = w->m * w->n;
    float *values = verify_alloc(count, sizeof(*values));
    if (!values)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for the result of clblast");
    const cl_int code = cl->clEnqueueReadBuffer(cl->queue, w->c, CL_TRUE, 0, count * sizeof(float),
                                                values, 0, NULL, NULL);
    for (size_t i = 0; code == CL_SUCCESS && i < count; i++) {
        const bool fits = values[i] > -2147483648.0f && values[i] < 2147483648.0f;
        const int32_t integer = fits ? (int32_t)values[i] : INT32_MIN;
        c[i] = fits && (float)integer == values[i] ? integer : INT32_MIN;
    }
    free(values);
    return code == CL_SUCCESS
               ? QDOT_OK
               : bench_fail(err, QDOT_DEVICE_FAILED, "clEnqueueReadBuffer: %d", code);
}

static const char *clblast_how(void *work)
{
    (void)work;
    return "clblast sgemm (float)";
}

const struct peer peer_clblast = {
    .name = "clblast",
    .backend = "opencl",
    .floating = true,
    .present = clblast_present,
    .open = clblast_open,
    .close = clblast_close,
    .prepare = clblast_prepare,
    .run = clblast_run,
    .read = clblast_read,
    .how = clblast_how,
    .destroy = clblast_destroy,
};

#else

static bool clblast_absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes, "not built: install ocl-icd-opencl-dev and build again");
    return false;
}
const struct peer peer_clblast = {
    .name = "clblast", .backend = "opencl", .present = clblast_absent};

#endif
