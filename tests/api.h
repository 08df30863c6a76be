/* What the API tests share. They run on the device that QDOT_TEST_DEVICE names, else on the CPU. */
#ifndef API_H
#define API_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "qdot.h"

static inline const char *api_device(void)
{
    const char *name = getenv("QDOT_TEST_DEVICE");
    return name && *name ? name : "cpu";
}

static inline int api_on_cpu(void)
{
    return strcmp(api_device(), "cpu") == 0;
}

/* CPU threads of a device; a thread sanitizer wants 1: it does not see into the pool's. */
static inline size_t api_threads(void)
{
    const char *count = getenv("QDOT_TEST_THREADS");
    return count && *count ? (size_t)strtoul(count, NULL, 10) : 2;
}

/* Without measuring: rows by their order, and no time spent. */
static inline struct qdot_device *api_open(void)
{
    struct qdot_device_desc desc = {.size = sizeof(desc),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .thread_count = api_threads()};
    struct qdot_device *device = NULL;
    struct qdot_error err = {0};
    if (qdot_open(&desc, &device, &err))
        fail_msg("qdot_open(%s): %s", api_device(), err.text);
    return device;
}

/* An allocator that counts, fills with rubbish, and fails at will. */
struct api_counter {
    size_t calls, live;
    size_t fail_at; /* the number of a call; 0: never */
};

static inline void *api_counted_alloc(void *ctx, size_t bytes, size_t alignment)
{
    struct api_counter *c = (struct api_counter *)ctx;
    if (++c->calls == c->fail_at)
        return NULL;
    assert_int_equal(alignment & (alignment - 1), 0);
    void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    assert_non_null(memory);
    memset(memory, 0xAA, bytes);
    c->live++;
    return memory;
}

static inline void api_counted_release(void *ctx, void *memory)
{
    struct api_counter *c = (struct api_counter *)ctx;
    assert_non_null(memory);
    c->live--;
    free(memory);
}

/* A failure has a status, one line of text, and the text names the culprit. */
static inline void api_expect(const char *what, int status, int expected,
                              const struct qdot_error *err, const char *field)
{
    if (status != expected)
        fail_msg("%s: status %d (%s), expected %d; text '%s'", what, status,
                 qdot_status_text(status), expected, err->text);
    if (err->status != expected)
        fail_msg("%s: err.status %d, expected %d", what, err->status, expected);
    if (!strstr(err->text, field) || strchr(err->text, '\n'))
        fail_msg("%s: '%s' is not one line that names '%s'", what, err->text, field);
}

/* An op of this descriptor on a device of its own. */
struct api_made {
    struct qdot_device *device;
    struct qdot_op *op;
};

static inline struct api_made api_make(const struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    struct api_made made = {.device = api_open()};
    if (qdot_op_create(made.device, desc, &made.op, &err))
        fail_msg("%s", err.text);
    return made;
}

static inline void api_unmake(struct api_made *made)
{
    qdot_op_destroy(made->op);
    qdot_close(made->device);
}

/* The run 'good' of 'made' with a rule broken, in a copy named run. */
#define API_BROKEN(field, what)                                                             \
    {                                                                                       \
        struct qdot_run run = good;                                                         \
        struct qdot_error error = {0};                                                      \
        what;                                                                               \
        api_expect(field, qdot_op_run(made.op, &run, &error), QDOT_INVALID, &error, field); \
    }

#endif
