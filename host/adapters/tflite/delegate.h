/*
 * The TensorFlow Lite external delegate: what its files share. The way of a model:
 *
 *   delegate.c   the exports, options, and which nodes are taken
 *   kernel.c     a part of the graph that was taken: its steps, the memory between them, its calls
 *   product.c    CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED: an op of the library
 *   pair.c       ADD
 *   pool.c       AVERAGE_POOL_2D, MAX_POOL_2D
 *
 * All of s8 with s8 weights. Every step gives the bits of TensorFlow Lite's own kernels, where the option
 * 'rounding' names the stage that those have: ops, builds of it and processors differ in that.
 */
#ifndef DELEGATE_H
#define DELEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tensorflow/lite/core/c/builtin_op_data.h>
#include <tensorflow/lite/core/c/common.h>
#include "qdot.h"

/* Ends the calling function with the status of what failed. */
#define TRY(call)                            \
    do {                                     \
        const TfLiteStatus status_ = (call); \
        if (status_ != kTfLiteOk)            \
            return status_;                  \
    } while (0)

/* No operator's number, as the header for that is C++'s in some versions. */
enum {
    OP_ADD = 0,
    OP_AVERAGE_POOL_2D = 1,
    OP_CONV_2D = 3,
    OP_DEPTHWISE_CONV_2D = 4,
    OP_FULLY_CONNECTED = 9,
    OP_MAX_POOL_2D = 17,
    OPS
};

struct delegate {
    TfLiteDelegate base; /* first: the runtime's pointer to it is ours */
    struct qdot_device *device;
    char device_name[24], cache_dir[512];
    size_t threads;                   /* 0: as many as the interpreter says */
    enum qdot_rounding rounding[OPS]; /* of each op */
};

struct step;

/* A sort of node. */
struct kind {
    const char *name; /* as the schema has it */
    int op;
    /* Is it right for this node? What is not known to be is not taken. */
    bool (*claims)(TfLiteContext *context, const TfLiteNode *node);
    /* Makes step->impl of the node. */
    TfLiteStatus (*make)(struct step *s, TfLiteContext *context, const TfLiteNode *node);
    TfLiteStatus (*run)(struct step *s, TfLiteContext *context, const int8_t *const *in,
                        int8_t *out);
    void (*release)(struct step *s); /* takes a half-made impl */
};

struct step {
    const struct kind *kind;
    struct delegate *delegate;
    int in[2], out; /* tensors; in[1] is -1 where there is one input */
    size_t workspace_bytes;
    void *workspace; /* of each run, from the kernel */
    void *impl;      /* of most an op of the library */
};

extern const struct kind conv_kind, depthwise_kind, connected_kind, add_kind, average_kind,
    max_kind;

/* ---- delegate.c -------------------------------------------------------------------------------- */

/* The kind of this node, or NULL: it stays with the runtime. */
const struct kind *kind_of(TfLiteContext *context, const TfLiteNode *node,
                           const TfLiteRegistration *registration);

/* ---- kernel.c ---------------------------------------------------------------------------------- */

TfLiteRegistration kernel_registration(void);

/* ---- what kinds share, kernel.c ---------------------------------------------------------------- */

static inline const TfLiteTensor *tensor_at(const TfLiteContext *context,
                                            const TfLiteIntArray *list, int i)
{
    return i < list->size && list->data[i] >= 0 ? &context->tensors[list->data[i]] : NULL;
}
/* s8 with one scale and zero point, of so many dimensions, each at least 1. */
bool is_quantised(const TfLiteTensor *t, int dims);
bool is_constant(const TfLiteTensor *t);
/* The bounds of an activation in the output's values; false for those that are none. */
bool activation_range(TfLiteFusedActivation activation, const TfLiteTensor *out, int32_t *lo,
                      int32_t *hi);
/* Padding before and behind, of a window over 'size'. */
void padding_of(TfLitePadding padding, int size, int window, int stride, int dilation,
                size_t *before, size_t *behind);

/* An op of the library as a step: made, run on what the step is given, released. */
TfLiteStatus op_make(struct step *s, TfLiteContext *context, const struct qdot_op_desc *desc);
TfLiteStatus op_run(struct step *s, TfLiteContext *context, const int8_t *const *in, int8_t *out);
void op_release(struct step *s);

#endif
