/* The exports of the library, the delegate and its options, and which nodes it takes. */
#include "delegate.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT TfLiteDelegate *tflite_plugin_create_delegate(const char *const *keys,
                                                     const char *const *values, size_t count,
                                                     void (*report_error)(const char *));
EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate);

/* ---- which nodes ------------------------------------------------------------------------------- */

static const struct kind *const kinds[] = {&conv_kind, &depthwise_kind, &connected_kind,
                                           &add_kind,  &average_kind,   &max_kind};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

const struct kind *kind_of(TfLiteContext *context, const TfLiteNode *node,
                           const TfLiteRegistration *registration)
{
    for (size_t i = 0; i < KINDS; i++)
        if (registration->builtin_code == kinds[i]->op && !registration->custom_name)
            return kinds[i]->claims(context, node) ? kinds[i] : NULL;
    return NULL;
}

static TfLiteStatus find_nodes(TfLiteContext *context, TfLiteIntArray *taken)
{
    TfLiteIntArray *plan;
    TRY(context->GetExecutionPlan(context, &plan));
    for (int i = 0; i < plan->size; i++) {
        TfLiteNode *node;
        TfLiteRegistration *registration;
        TRY(context->GetNodeAndRegistration(context, plan->data[i], &node, &registration));
        if (kind_of(context, node, registration))
            taken->data[taken->size++] = plan->data[i];
    }
    return kTfLiteOk;
}

/* ---- the delegate ------------------------------------------------------------------------------ */

static TfLiteStatus open_device(struct delegate *d, TfLiteContext *context)
{
    struct qdot_error err = {0};
    const int wanted = context->recommended_num_threads;
    const struct qdot_device_desc desc = {
        .device = d->device_name[0] ? d->device_name : "cpu",
        .cache_dir = d->cache_dir[0] ? d->cache_dir : NULL,
        .thread_count = d->threads                     ? d->threads
                        : wanted > 0 && wanted <= 1024 ? (size_t)wanted
                                                       : 0,
    };
    if (d->device || !qdot_open(&desc, &d->device, &err))
        return kTfLiteOk;
    context->ReportError(context, "qdot: %s", err.text);
    return kTfLiteDelegateError;
}

static TfLiteStatus prepare(TfLiteContext *context, TfLiteDelegate *delegate)
{
    struct delegate *d = (struct delegate *)delegate;
    TfLiteIntArray *plan;
    TRY(open_device(d, context));
    TRY(context->GetExecutionPlan(context, &plan));
    TfLiteIntArray *taken = calloc(1, sizeof(*taken) + (size_t)plan->size * sizeof(int));
    if (!taken)
        return kTfLiteDelegateError;
    TfLiteStatus status = find_nodes(context, taken);
    if (status == kTfLiteOk && taken->size)
        status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel_registration(),
                                                                taken, delegate);
    free(taken);
    return status;
}

/* ---- options ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum qdot_rounding rounding;
} roundings[] = {
    {"q31-double-away", QDOT_ROUND_Q31_DOUBLE_AWAY},
    {"q31-double-up", QDOT_ROUND_Q31_DOUBLE_UP},
    {"q31-single-up", QDOT_ROUND_Q31_SINGLE_UP},
};

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && strncmp(text, word, length) == 0;
}

/* "NAME", of all ops, or "OP=NAME". */
static bool set_one_rounding(struct delegate *d, const char *text, size_t length)
{
    const char *const equals = memchr(text, '=', length);
    const char *const name = equals ? equals + 1 : text;
    bool known_op = !equals, known = false;
    for (size_t i = 0; i < sizeof(roundings) / sizeof(*roundings); i++) {
        if (!is_word(name, length - (size_t)(name - text), roundings[i].name))
            continue;
        known = true;
        for (size_t k = 0; k < KINDS; k++)
            if (!equals || is_word(text, (size_t)(equals - text), kinds[k]->name)) {
                d->rounding[kinds[k]->op] = roundings[i].rounding;
                known_op = true;
            }
    }
    return known && known_op;
}

static bool set_rounding(struct delegate *d, const char *value)
{
    bool good = true;
    while (good) {
        const size_t length = strcspn(value, ",");
        good = set_one_rounding(d, value, length);
        if (!value[length])
            break;
        value += length + 1;
    }
    return good;
}

static bool set_text(char *text, size_t bytes, const char *value)
{
    const int length = snprintf(text, bytes, "%s", value);
    return length >= 0 && (size_t)length < bytes;
}

/* NULL, or what was expected. */
static const char *set_option(struct delegate *d, const char *name, const char *value)
{
    if (strcmp(name, "device") == 0)
        return set_text(d->device_name, sizeof(d->device_name), value) ? NULL : "a device";
    if (strcmp(name, "cache_dir") == 0)
        return set_text(d->cache_dir, sizeof(d->cache_dir), value) ? NULL : "a shorter path";
    if (strcmp(name, "rounding") == 0)
        return set_rounding(d, value)
                   ? NULL
                   : "q31-double-away, q31-double-up or q31-single-up, or OP=one of them, ...";
    if (strcmp(name, "threads") != 0)
        return "device, rounding, threads or cache_dir";
    char *end;
    d->threads = strtoul(value, &end, 10);
    return *value >= '0' && *value <= '9' && !*end && d->threads <= 1024 ? NULL : "0 to 1024";
}

TfLiteDelegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values,
                                              size_t count, void (*report_error)(const char *))
{
    struct delegate *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    set_rounding(d, "q31-double-away");
    for (size_t i = 0; i < count; i++) {
        const char *expected = set_option(d, keys[i], values[i]);
        if (!expected)
            continue;
        char text[256];
        snprintf(text, sizeof(text), "qdot: option %.32s: expected %s, got '%.64s'", keys[i],
                 expected, values[i]);
        if (report_error)
            report_error(text);
        free(d);
        return NULL;
    }
    d->base.data_ = d;
    d->base.Prepare = prepare;
    d->base.flags = kTfLiteDelegateFlagsNone;
    return &d->base;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate)
{
    struct delegate *d = (struct delegate *)delegate;
    if (!d)
        return;
    qdot_close(d->device);
    free(d);
}
