/*
 * The ONNX Runtime plugin execution provider: what its files share. The way of a model:
 *
 *   factory.c   the exports of the library, the factory, options -> a provider with an open device
 *   provider.c  the provider: its options, what the runtime asks of it
 *   match.c     which nodes are a group, to become one step: an integer op alone, or a float op
 *               with the DequantizeLinear nodes before it and the QuantizeLinear behind it
 *   claim.c     GetCapability: all groups, and those without another's node between as one fused node
 *   part.c      Compile: a fused node's steps, in order; Compute: a call of them all
 *   record.c    a group as bytes; context.c: EPContext nodes, which hold them
 *   graph.c     what the C API says of nodes, attributes and values
 *   shared.c    packed weights, one copy for all sessions
 *   call.c      a step in a call: inputs, outputs, scratch memory, the runtime's threads
 *   memory.c    tensors in a device's memory; transfer.c: to it, from it
 *   product.c conv.c ...   the kinds of steps; device.c: those that are ops of the library by call
 *
 * Every step gives the bits of the integer kernels of ONNX Runtime's own CPU provider; a node of which
 * that is not known to hold is not claimed. (On x86 that provider computes groups of signed operands as
 * floats unless the session says session.qdqisint8allowed; it is those kernels that are meant.)
 *
 * The runtime knows the provider as several devices: one on host memory, which computes on whatever
 * device of qdot the options say, and each OpenCL and Vulkan device with its own memory, in which
 * tensors between steps stay. A kind that does not say so (kind.anywhere) sees them on the host.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qdot.h"

/* The oldest interface that has all that is used here; newer runtimes serve it as well. */
#define ADAPTER_API 23

enum {
    MAX_RANK = 8,
    MAX_PARTS = 32,                 /* of a Concat */
    MAX_VALUES = 2 + 3 * MAX_PARTS, /* inputs of a node of ours */
    MAX_OUTPUTS = 3,
};
#define NONE SIZE_MAX /* instead of an index */

/* Loops that are compiled for several instruction sets, the right one taken when the library loads.
 * None fuses a multiplication and an addition: the build says so. Sanitizers do not take choices that
 * are made before they are there themselves. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

/* Ends the calling function with the status of what failed. */
#define TRY(call)                          \
    do {                                   \
        OrtStatus *const status_ = (call); \
        if (status_)                       \
            return status_;                \
    } while (0)

/* What a computation is given, by its meaning; ops differ in the order. Of Concat the parts follow:
 * of each part its values, scale and zero point. */
enum slot {
    X,
    X_SCALE,
    X_ZERO,
    W, /* weights, or the other operand */
    W_SCALE,
    W_ZERO,
    BIAS,
    Y_SCALE,
    Y_ZERO,
    SLOTS,
    LOW = W, /* of Clip */
    HIGH = BIAS,
    FACTOR = SLOTS, /* of a product's sums as floats, along the last dimension */
    FACTOR_ONE,     /* of that factor: one value */
    ADDEND,
    OFFSET =
        SLOTS, /* of a normalisation: the term after the factor, W; with a scale and a zero point */
    MEAN = SLOTS + 3,
    VARIANCE,
    MAX_SLOTS = SLOTS + 3 * MAX_PARTS,
};

/* In the list of an op's inputs by slot. */
enum { RAW = 0x80, SKIP = 0x7e, NO_SLOT = 0x7f }; /* RAW: of a float op, and yet not dequantised */

/* As known of the model: type 0 and rank 0 where nothing is known; a dimension not known is -1. */
struct value {
    const OrtValueInfo *info; /* NULL: not given */
    ONNXTensorElementDataType type;
    size_t rank;
    int64_t dims[MAX_RANK];
    bool constant;
};

struct tensor {
    ONNXTensorElementDataType type; /* 0: not given */
    size_t rank;
    int64_t dims[MAX_RANK];
    size_t count;     /* of elements */
    const void *data; /* NULL: a constant that was given up, see struct step; or in 'buffer' */
    struct qdot_buffer *buffer; /* NULL: on the host */
    size_t offset;              /* in bytes */
};

struct kind;

/* One op that can be the core of a group. */
struct op {
    const char *domain, *name;
    const struct kind *kind;
    const uint8_t *slots; /* of its inputs, ends with NO_SLOT; NULL: parts, as Concat has them */
    bool floating;        /* between DequantizeLinear and QuantizeLinear */
    int variant;          /* for its kind to tell it from others */
};

/* The nodes that become one step, and what they take and give. */
struct group {
    const OrtApi *ort;
    const struct op *op;
    const OrtNode *core;
    const OrtNode *nodes[3 + MAX_PARTS + 2];
    size_t node_count;
    struct value values[MAX_SLOTS];
    size_t slot_count;     /* SLOTS, or more of a Concat */
    bool channels_last;    /* the runtime has put X and the output in that order; weights never */
    const OrtNode *w_from; /* the DequantizeLinear of W, if any: for its axis */
    const struct record *record; /* of an EPContext node, where core, nodes and w_from are not */
    struct value out;            /* the first output, of the last node */
};

/* What belongs to EPContext models; context.c. */
struct contexts {
    bool enabled, embed;
    char path[1024]; /* of the model; empty: not given */
    void *file;      /* a FILE that is being written */
    uint64_t written;
    struct mapped *mapped; /* files that were read */
};

struct provider {
    OrtEp base; /* first: the runtime's pointer to it is ours */
    const OrtApi *ort;
    const OrtEpApi *ep;
    struct qdot_device *device;
    struct qdot_device *host; /* the CPU, for steps whose tensors are there; perhaps the same */
    struct memory *memory;    /* of 'device', which is its then; NULL: tensors are on the host */
    const OrtLogger *logger;
    size_t most_bytes; /* of an operand of one run; more are several runs */
    size_t threads;
    struct contexts contexts;
    _Atomic(OrtAllocator *) arena; /* of scratch memory; NULL until a call wanted some */
};

/* An input of a step: a constant of the model, an input of the fused node, or what another step made. */
struct source {
    bool given, constant;
    bool borrowed;        /* data is the runtime's: until compile has ended */
    bool given_up;        /* calls do not read it: data is NULL once compile has ended */
    size_t index, value;  /* NONE: it is not that */
    struct tensor tensor; /* of a constant */
};

/* An output of a step: a value, which is an output of the fused node, or between steps, or both. */
struct target {
    ONNXTensorElementDataType type;
    size_t output, value; /* NONE: it is no such; nobody takes it */
};

struct step {
    struct provider *provider;
    const struct op *op;
    bool channels_last;
    size_t slot_count;
    struct source *in; /* slot_count of them */
    struct target targets[MAX_OUTPUTS];
    ONNXTensorElementDataType out_type;
    const void *packed; /* of an EPContext node: weights as its op takes them; NULL: none */
    size_t packed_bytes;
    void *memory;                  /* in which they lie; NULL: not the step's */
    void *impl;                    /* the kind's; one call at a time where it has one op */
    struct device_ops *device_ops; /* device.c's */
};

/* What a step of this call made. */
struct made {
    struct tensor tensor;
    void *memory; /* NULL: none of ours */
};

struct call {
    const OrtApi *ort;
    struct provider *provider;
    OrtKernelContext *context;
    struct tensor *in;            /* as step->in */
    const struct target *targets; /* step->targets */
    struct made *values;          /* of all steps */
    uint32_t unused[MAX_OUTPUTS]; /* of those that are single values and nobody takes */
    OrtAllocator *allocator; /* of scratch memory and values on the host; NULL before the first */
    void *scratch[MAX_OUTPUTS + 4];
    size_t scratch_count;
    void *apart; /* scratch memory of the device; NULL: none */
    struct {
        const void *data; /* an output on the host that is to go to 'buffer'; NULL: none */
        struct qdot_buffer *buffer;
        size_t offset, bytes;
    } made[MAX_OUTPUTS];
};

/* A sort of computation. */
struct kind {
    /* Would the result be right? From what is known of types and shapes. */
    OrtStatus *(*claims)(const struct group *g, bool *yes);
    /* Makes step->impl of the attributes and constants; NULL: there is nothing to make. */
    OrtStatus *(*compile)(struct step *s, const struct group *g);
    OrtStatus *(*compute)(struct step *s, struct call *c);
    void (*release)(struct step *s); /* takes a half-made impl; NULL: nothing to release */
    bool channels_last;              /* it can, and prefers it */
    bool anywhere; /* compute takes inputs and makes outputs where they are, on a device too */
};

extern const struct kind matrix_kind, conv_kind, quantize_kind, dequantize_kind, dynamic_kind;
extern const struct kind conv_integer_kind, pair_kind, pool_kind, average_kind, global_kind,
    table_kind;
extern const struct kind transpose_kind, concat_kind, normal_kind;

enum { PRODUCT, PRODUCT_GEMM, PRODUCT_SCALED }; /* variants of matrix_kind */
enum { PAIR_ADD, PAIR_MUL };                    /* of pair_kind */

/* ---- factory.c, provider.c, match.c ------------------------------------------------------------ */

extern const char provider_name[];
struct shared;
struct memory;
/* memory: the device's whose tensors they are, or NULL */
OrtStatus *provider_create(const OrtApi *ort, const OrtSessionOptions *options,
                           const OrtLogger *logger, struct shared *shared, struct memory *memory,
                           struct provider **provider);
void provider_release(struct provider *provider);

/* Is the order of dimensions of this op's tensors to be changed to channels last? */
bool prefers_channels_last(const char *domain, const char *name);
/* Or NULL. */
const struct op *op_named(const char *domain, const char *name, bool floating, int variant);
/* The group of which this node is the core, of the whole graph; g->op is NULL if there is none. */
OrtStatus *match(const OrtApi *ort, const OrtNode *core, struct group *g);

/* ---- record.c ---------------------------------------------------------------------------------- */

/* Attributes of the core, as below those of nodes. */
OrtStatus *group_int(const struct group *g, const char *name, int64_t *value);
OrtStatus *group_float(const struct group *g, const char *name, float *value);
OrtStatus *group_ints(const struct group *g, const char *name, int64_t *values, size_t *count);
OrtStatus *group_string(const struct group *g, const char *name, char *text, size_t bytes);
#define W_AXIS "qdot.w_axis" /* in a record: the axis of w_from */

/* ---- shared.c ---------------------------------------------------------------------------------- */

struct shared *shared_create(void); /* NULL without memory */
void shared_release(struct shared *s);
struct qdot_packed_cache shared_cache(struct shared *s);

/* ---- graph.c ----------------------------------------------------------------------------------- */

OrtStatus *fail(const OrtApi *ort, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Into the session's log, where it is verbose. */
void note(const struct provider *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a failed call of the library. */
OrtStatus *fail_qdot(const OrtApi *ort, const struct qdot_error *err);

OrtStatus *graph_nodes(const OrtApi *ort, const OrtGraph *graph, const OrtNode ***nodes,
                       size_t *count); /* to be freed */
OrtStatus *node_is(const OrtApi *ort, const OrtNode *node, const char *domain, const char *name,
                   bool *is);
/* Inputs or outputs: at most 'capacity' are stored, absent ones as NULL; *count is how many there are. */
OrtStatus *node_inputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values,
                       size_t capacity, size_t *count);
OrtStatus *node_outputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values,
                        size_t capacity, size_t *count);
OrtStatus *node_int(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *value);
OrtStatus *node_float(const OrtApi *ort, const OrtNode *node, const char *name, float *value);
/* *count: capacity before, how many there are after, 0 when there is no such attribute. */
OrtStatus *node_ints(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *values,
                     size_t *count);
OrtStatus *node_string(const OrtApi *ort, const OrtNode *node, const char *name, char *text,
                       size_t bytes); /* unchanged when there is no such attribute */

OrtStatus *value_of(const OrtApi *ort, const OrtValueInfo *info, struct value *value);
OrtStatus *value_constant(const OrtApi *ort, const OrtValueInfo *info, struct tensor *tensor);
OrtStatus *value_producer(const OrtApi *ort, const OrtValueInfo *info, const OrtNode **node);
/* The only consumer and which of its inputs it is; NULL if there are others, or the value is an output. */
OrtStatus *value_only_consumer(const OrtApi *ort, const OrtValueInfo *info, const OrtNode **node,
                               int64_t *input);
OrtStatus *tensor_of(const OrtApi *ort, const OrtValue *value, struct tensor *tensor);

static inline bool is_int8(ONNXTensorElementDataType type)
{
    return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ||
           type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
}
/* May it be one value? True as well when nothing is known. */
bool value_may_be_one(const struct value *v);
/* u8, s8 or s32, whichever it is. */
int32_t tensor_int(const struct tensor *t, size_t i);
size_t type_bytes(ONNXTensorElementDataType type);

/* ---- call.c ------------------------------------------------------------------------------------ */

/* The inputs are the step's, where they are; of a kind that is not 'anywhere' on the host. */
OrtStatus *call_compute(struct step *s, struct call *c);
/* Inputs on the host, but for those whose bits are set in 'leave'. */
OrtStatus *call_fetch(struct step *s, struct call *c, uint32_t leave);
/* Memory of an output on the host, which goes to its place on a device when the step ends. */
OrtStatus *call_output(struct call *c, size_t index, const int64_t *dims, size_t rank, void **data);
/* An output where it is. */
OrtStatus *call_place(struct call *c, size_t index, const int64_t *dims, size_t rank,
                      struct qdot_output *place);
static inline struct qdot_input input_at(const struct tensor *t, size_t bytes)
{
    return t->buffer ? (struct qdot_input){.buffer = t->buffer, .offset_bytes = t->offset + bytes}
           : t->data ? (struct qdot_input){.host = (const char *)t->data + bytes}
                     : (struct qdot_input){.host = NULL};
}
static inline struct qdot_output output_at(const struct qdot_output *place, size_t bytes)
{
    return place->buffer ? (struct qdot_output){.buffer = place->buffer,
                                                .offset_bytes = place->offset_bytes + bytes}
                         : (struct qdot_output){.host = (char *)place->host + bytes};
}
/* The value is taken no more. */
void call_drop(struct call *c, size_t value);
/* Memory of the runtime until the step ends, at a multiple of 64; three pieces a step, beside its outputs. */
OrtStatus *call_scratch(struct call *c, size_t bytes, void **memory);
/* One piece a step of a device's memory. */
OrtStatus *call_scratch_apart(struct call *c, size_t bytes, struct qdot_output *place);
void call_end(struct call *c);
/* Does parts of [0, count), none much smaller than 'grain', on the runtime's threads. */
OrtStatus *call_share(struct call *c, size_t count, size_t grain,
                      void (*part)(void *arg, size_t begin, size_t end), void *arg);
/* The library's parallel_for: ctx is the call, or NULL while ops are made. */
void call_parallel_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count);

#endif
