/*
 * ONNX Runtime on the CPU: a model in memory of one MatMulInteger, s32, whose B is a constant, so
 * that it is packed beforehand. Of convolutions, those that are products. BENCH_ONNXRUNTIME is the
 * library's name.
 */
#include <stdio.h>
#include "peers.h"

#ifdef BENCH_ONNXRUNTIME

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <onnxruntime_c_api.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "peak.h"

#define LIBRARY BENCH_ONNXRUNTIME

typedef const OrtApiBase *base_function(void);

struct onnxruntime {
    const OrtApi *api;
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
};

struct work {
    struct onnxruntime *peer;
    const struct product *p;
    OrtSession *session;
    OrtValue *a, *c;
    int32_t *out;
};

static const OrtApiBase *base(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
    base_function *get;
    memcpy(&get, &symbol, sizeof(get));
    return get ? get() : NULL;
}

static bool onnxruntime_present(char *reason, size_t reason_bytes)
{
    const OrtApiBase *found = base();
    if (found && found->GetApi(ORT_API_VERSION))
        return true;
    if (found)
        snprintf(reason, reason_bytes, LIBRARY " is %s, older than what this was built with",
                 found->GetVersionString());
    else
        snprintf(reason, reason_bytes, "no " LIBRARY ": install libonnxruntime-dev");
    return false;
}

/* Takes the status. */
static int result(const struct onnxruntime *p, OrtStatus *status, struct qdot_error *err)
{
    if (!status)
        return QDOT_OK;
    const bool lacks = p->api->GetErrorCode(status) == ORT_NOT_IMPLEMENTED;
    const int code = bench_fail(err, lacks ? QDOT_UNSUPPORTED : QDOT_DEVICE_FAILED,
                                "ONNX Runtime: %s", p->api->GetErrorMessage(status));
    p->api->ReleaseStatus(status);
    return code;
}

static void onnxruntime_close(void *peer)
{
    struct onnxruntime *p = peer;
    if (p->memory)
        p->api->ReleaseMemoryInfo(p->memory);
    if (p->options)
        p->api->ReleaseSessionOptions(p->options);
    if (p->env)
        p->api->ReleaseEnv(p->env);
    free(p);
}

/* ---- the model -------------------------------------------------------------------------------- */

/* A message of Protocol Buffers. All but B itself is small. */
struct message {
    uint8_t bytes[256];
    size_t count;
};

/* Values of ONNX's TensorProto.DataType. */
static int element_type(enum qdot_type type)
{
    return type == QDOT_U8 ? 2 : type == QDOT_S8 ? 3 : 6;
}

static void put_varint(struct message *to, uint64_t value)
{
    for (; value > 127; value >>= 7)
        to->bytes[to->count++] = (uint8_t)(value | 128);
    to->bytes[to->count++] = (uint8_t)value;
}

static void put_number(struct message *to, unsigned field, uint64_t value)
{
    put_varint(to, field << 3);
    put_varint(to, value);
}

/* Before 'length' bytes, which are a text, a message or data. */
static void put_length(struct message *to, unsigned field, size_t length)
{
    put_varint(to, field << 3 | 2);
    put_varint(to, length);
}

static void put_bytes(struct message *to, const void *bytes, size_t count)
{
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

static void put_text(struct message *to, unsigned field, const char *text)
{
    put_length(to, field, strlen(text));
    put_bytes(to, text, strlen(text));
}

static void put_message(struct message *to, unsigned field, const struct message *m)
{
    put_length(to, field, m->count);
    put_bytes(to, m->bytes, m->count);
}

/* ValueInfoProto: a matrix that goes in or out. */
static void put_matrix(struct message *graph, unsigned field, const char *name, enum qdot_type type,
                       size_t rows, size_t columns)
{
    struct message row = {.count = 0}, column = {.count = 0}, shape = {.count = 0};
    struct message tensor = {.count = 0}, any = {.count = 0}, info = {.count = 0};
    put_number(&row, 1, rows);
    put_number(&column, 1, columns);
    put_message(&shape, 1, &row);
    put_message(&shape, 1, &column);
    put_number(&tensor, 1, (uint64_t)element_type(type));
    put_message(&tensor, 2, &shape);
    put_message(&any, 1, &tensor);
    put_text(&info, 1, name);
    put_message(&info, 2, &any);
    put_message(graph, field, &info);
}

/* A ModelProto up to the bytes of B [k,n], which end each of the messages that they are in. */
static void describe(const struct product *p, struct message *model)
{
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k, data = k * n;
    struct message node = {.count = 0}, b = {.count = 0}, graph = {.count = 0};
    struct message operators = {.count = 0};
    put_text(&node, 1, "a");
    put_text(&node, 1, "b");
    put_text(&node, 2, "c");
    put_text(&node, 4, "MatMulInteger");
    put_number(&b, 1, k);
    put_number(&b, 1, n);
    put_number(&b, 2, (uint64_t)element_type(p->b_type));
    put_text(&b, 8, "b");
    put_length(&b, 9, data);
    put_message(&graph, 1, &node);
    put_text(&graph, 2, "product");
    put_matrix(&graph, 11, "a", p->a_type, m, k);
    put_matrix(&graph, 12, "c", QDOT_S32, m, n);
    put_length(&graph, 5, b.count + data);
    put_bytes(&graph, b.bytes, b.count);
    put_number(&operators, 2, 10); /* the set that has MatMulInteger */
    model->count = 0;
    put_number(model, 1, 5); /* of the format, as old as that set */
    put_message(model, 8, &operators);
    put_length(model, 7, graph.count + data);
    put_bytes(model, graph.bytes, graph.count);
}

static int make_session(struct work *w, struct qdot_error *err)
{
    const struct product *p = w->p;
    const size_t n = p->shape.n, k = p->shape.k;
    struct message head;
    describe(p, &head);
    uint8_t *model = verify_alloc(head.count + k * n, 1);
    if (!model)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for the model of onnxruntime");
    uint8_t *b = model + head.count;
    memcpy(model, head.bytes, head.count);
    if (p->shape.kind == QDOT_GEMM) {
        memcpy(b, p->b, k * n);
    } else { /* a convolution's weights are [n,k] */
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < k; l++)
                b[l * n + j] = p->b[j * k + l];
    }
    const struct onnxruntime *o = w->peer;
    const int status = result(
        o,
        o->api->CreateSessionFromArray(o->env, model, head.count + k * n, o->options, &w->session),
        err);
    free(model);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* With its first session Debian's build complains of each of ONNX's operators, a thousand lines on
 * stderr, that it is known already. So the first is here, where nothing else writes there. */
static int first_session(struct onnxruntime *p, struct qdot_error *err)
{
    uint8_t b = 1;
    const struct product least = {.shape = {.kind = QDOT_GEMM, .m = 1, .n = 1, .k = 1},
                                  .a_type = QDOT_U8,
                                  .b_type = QDOT_S8,
                                  .out_type = QDOT_S32,
                                  .b = &b};
    struct work w = {.peer = p, .p = &least};
    fflush(stderr);
    const int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept >= 0 && nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    const int status = make_session(&w, err);
    if (kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
    }
    if (nowhere >= 0)
        close(nowhere);
    if (w.session)
        p->api->ReleaseSession(w.session);
    return status;
}

static int onnxruntime_open(const char *device, size_t threads, void **peer, char *version,
                            size_t version_bytes, struct qdot_error *err)
{
    (void)device;
    const OrtApiBase *found = base();
    struct onnxruntime *p = calloc(1, sizeof(*p));
    *peer = NULL;
    if (!p)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onnxruntime");
    p->api = found ? found->GetApi(ORT_API_VERSION) : NULL;
    if (!p->api) {
        free(p);
        return bench_fail(err, QDOT_UNSUPPORTED, "no " LIBRARY);
    }
    const OrtApi *api = p->api;
    int status = result(p, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "qdot", &p->env), err);
    if (status == QDOT_OK)
        status = result(p, api->CreateSessionOptions(&p->options), err);
    if (status == QDOT_OK)
        status = result(p, api->SetIntraOpNumThreads(p->options, (int)threads), err);
    if (status == QDOT_OK)
        status = result(
            p, api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &p->memory), err);
    if (status == QDOT_OK)
        status = first_session(p, err);
    if (status != QDOT_OK) {
        onnxruntime_close(p);
        return status;
    }
    snprintf(version, version_bytes, "%s", found->GetVersionString());
    *peer = p;
    return QDOT_OK;
}

/* ---- a product -------------------------------------------------------------------------------- */

static void onnxruntime_destroy(void *work)
{
    struct work *w = work;
    if (!w)
        return;
    const OrtApi *api = w->peer->api;
    if (w->a)
        api->ReleaseValue(w->a);
    if (w->c)
        api->ReleaseValue(w->c);
    if (w->session)
        api->ReleaseSession(w->session);
    free(w->out);
    free(w);
}

static int make_values(struct work *w, struct qdot_error *err)
{
    const struct onnxruntime *o = w->peer;
    const struct product *p = w->p;
    const size_t m = p->shape.m, n = p->shape.n, k = p->shape.k;
    const int64_t a_shape[] = {(int64_t)m, (int64_t)k}, c_shape[] = {(int64_t)m, (int64_t)n};
    const ONNXTensorElementDataType a_type = p->a_type == QDOT_U8
                                                 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    const int status = result(
        o,
        o->api->CreateTensorWithDataAsOrtValue(o->memory, p->a, m * k, a_shape, 2, a_type, &w->a),
        err);
    if (status != QDOT_OK)
        return status;
    return result(
        o,
        o->api->CreateTensorWithDataAsOrtValue(o->memory, w->out, m * n * sizeof(*w->out), c_shape,
                                               2, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, &w->c),
        err);
}

static int onnxruntime_prepare(void *peer, const struct product *p, void **work,
                               struct qdot_error *err)
{
    const size_t count = p->shape.m * p->shape.n;
    *work = NULL;
    if (!shape_is_product(&p->shape) || p->out_type != QDOT_S32)
        return bench_fail(err, QDOT_UNSUPPORTED, "only plain products");
    if (p->shape.k * p->shape.n > INT_MAX - sizeof(struct message))
        return bench_fail(err, QDOT_UNSUPPORTED, "a model has at most 2 GiB");
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for onnxruntime");
    *w = (struct work){.peer = peer, .p = p, .out = verify_alloc(count, sizeof(*w->out))};
    int status = w->out
                     ? make_session(w, err)
                     : bench_fail(err, QDOT_NO_MEMORY, "no memory for the output of onnxruntime");
    if (status == QDOT_OK)
        status = make_values(w, err);
    if (status != QDOT_OK) {
        onnxruntime_destroy(w);
        return status;
    }
    memset(w->out, VERIFY_POISON, count * sizeof(*w->out));
    *work = w;
    return QDOT_OK;
}

static int onnxruntime_run(void *work, size_t runs, struct qdot_error *err)
{
    static const char *const a_name[] = {"a"}, *const c_name[] = {"c"};
    struct work *w = work;
    const OrtValue *const a[] = {w->a};
    OrtValue *c[] = {w->c};
    for (size_t i = 0; i < runs; i++) {
        OrtStatus *failure = w->peer->api->Run(w->session, NULL, a_name, a, 1, c_name, 1, c);
        if (failure)
            return result(w->peer, failure, err);
    }
    return QDOT_OK;
}

static int onnxruntime_read(void *work, void *out, struct qdot_error *err)
{
    const struct work *w = work;
    (void)err;
    memcpy(out, w->out, w->p->shape.m * w->p->shape.n * sizeof(*w->out));
    return QDOT_OK;
}

static const char *onnxruntime_how(void *work)
{
    (void)work;
    return "onnxruntime MatMulInteger";
}

const struct peer peer_onnxruntime = {
    .name = "onnxruntime",
    .backend = "cpu",
    .present = onnxruntime_present,
    .open = onnxruntime_open,
    .close = onnxruntime_close,
    .prepare = onnxruntime_prepare,
    .run = onnxruntime_run,
    .read = onnxruntime_read,
    .how = onnxruntime_how,
    .destroy = onnxruntime_destroy,
};

#else

static bool onnxruntime_absent(char *reason, size_t reason_bytes)
{
    snprintf(reason, reason_bytes,
             "not built: install libonnxruntime-dev (Debian 13) and build again");
    return false;
}
const struct peer peer_onnxruntime = {
    .name = "onnxruntime", .backend = "cpu", .present = onnxruntime_absent};

#endif
