/* The ops of a step. They are of one shape and one table; where a call has others they are
 * made anew. */
#include "device.h"
#include <stdlib.h>
#include <string.h>

struct kept {
    struct qdot_op *op; /* NULL with a key: the device takes no such op */
    struct qdot_device *device;
    uint8_t *key; /* the descriptor, then 'more'; NULL: nothing was made yet */
    size_t key_bytes;
};

struct device_ops {
    pthread_mutex_t lock; /* an op serves one call at a time */
    size_t count;
    struct kept *list;
};

OrtStatus *device_start(struct step *s)
{
    struct device_ops *ops = calloc(1, sizeof(*ops));
    if (!ops)
        return fail(s->provider->ort, "no memory for a step");
    pthread_mutex_init(&ops->lock, NULL);
    s->device_ops = ops;
    return NULL;
}

static void release_kept(struct kept *k)
{
    qdot_op_destroy(k->op);
    free(k->key);
}

void device_release(struct step *s)
{
    struct device_ops *ops = s->device_ops;
    if (!ops)
        return;
    for (size_t i = 0; i < ops->count; i++)
        release_kept(&ops->list[i]);
    pthread_mutex_destroy(&ops->lock);
    free(ops->list);
    free(ops);
}

static OrtStatus *make_room(const struct step *s, struct device_ops *ops, size_t count)
{
    if (count <= ops->count)
        return NULL;
    struct kept *more = realloc(ops->list, count * sizeof(*more));
    if (!more)
        return fail(s->provider->ort, "%s: no memory for %zu ops", s->op->name, count);
    memset(more + ops->count, 0, (count - ops->count) * sizeof(*more));
    ops->list = more;
    ops->count = count;
    return NULL;
}

static bool is_kept(const struct kept *k, const struct qdot_device *device, const struct wanted *w)
{
    return k->key && k->device == device && k->key_bytes == sizeof(w->desc) + w->more_bytes &&
           memcmp(k->key, &w->desc, sizeof(w->desc)) == 0 &&
           (!w->more_bytes || memcmp(k->key + sizeof(w->desc), w->more, w->more_bytes) == 0);
}

static OrtStatus *make(const struct step *s, struct qdot_device *device, struct kept *k,
                       const struct wanted *w)
{
    const OrtApi *ort = s->provider->ort;
    struct qdot_op_desc desc = w->desc;
    struct qdot_error err = {0};
    qdot_op_destroy(k->op);
    free(k->key);
    k->op = NULL;
    k->device = device;
    k->key_bytes = sizeof(w->desc) + w->more_bytes;
    k->key = malloc(k->key_bytes);
    void *room = malloc(w->room ? w->room : 1);
    if (!k->key || !room) {
        free(k->key);
        free(room);
        k->key = NULL;
        return fail(ort, "%s: no memory for its op", s->op->name);
    }
    memcpy(k->key, &w->desc, sizeof(w->desc));
    if (w->more_bytes)
        memcpy(k->key + sizeof(w->desc), w->more, w->more_bytes);
    if (w->fill)
        w->fill(&desc, w->more, room);
    const int status = qdot_op_create(device, &desc, &k->op, &err);
    free(room);
    if (status != QDOT_OK && status != QDOT_UNSUPPORTED && status != QDOT_INVALID) {
        free(k->key); /* the next call may do better */
        k->key = NULL;
        return fail(ort, "%s: %s", s->op->name, err.text);
    }
    if (status != QDOT_OK)
        note(s->provider, "%s: not as one op: %s", s->op->name, err.text);
    return NULL;
}

static OrtStatus *run_kept(struct step *s, struct call *c, struct kept *k,
                           struct qdot_device *device, const struct wanted *w,
                           const struct qdot_run *run, bool *done)
{
    struct qdot_run with_pool = *run;
    struct qdot_error err = {0};
    with_pool.threads_ctx = c;
    if (!is_kept(k, device, w))
        TRY(make(s, device, k, w));
    *done = k->op != NULL;
    if (k->op && qdot_op_run(k->op, &with_pool, &err))
        return fail(c->ort, "%s: %s", s->op->name, err.text);
    return NULL;
}

OrtStatus *device_run(struct step *s, struct call *c, size_t index, const struct wanted *wanted,
                      const struct qdot_run *run, bool *done)
{
    const bool there = run->a.buffer || run->b.buffer || run->out.buffer || run->scale_out.buffer ||
                       run->zero_out.buffer;
    struct qdot_device *const device = there ? s->provider->device : s->provider->host;
    struct device_ops *ops = s->device_ops;
    struct kept own = {.op = NULL};
    OrtStatus *status;
    *done = false;
    if (there) {
        pthread_mutex_lock(&ops->lock);             /* its device does one run after another */
    } else if (pthread_mutex_trylock(&ops->lock)) { /* another call has them */
        status = run_kept(s, c, &own, device, wanted, run, done);
        release_kept(&own);
        return status;
    }
    /* Of each index one on the device, one on the host. */
    status = make_room(s, ops, 2 * index + 2);
    if (!status)
        status = run_kept(s, c, &ops->list[2 * index + !there], device, wanted, run, done);
    pthread_mutex_unlock(&ops->lock);
    return status;
}

OrtStatus *device_place(struct step *s, struct call *c, bool on_host, const int64_t *dims,
                        size_t rank, struct qdot_output *out)
{
    if (!on_host)
        return call_place(c, 0, dims, rank, out);
    *out = (struct qdot_output){.host = NULL};
    TRY(call_fetch(s, c, 0));
    return call_output(c, 0, dims, rank, &out->host);
}

OrtStatus *device_refused(const struct step *s)
{
    return fail(s->provider->ort, "%s: no op of the library takes these sizes", s->op->name);
}

/* ---- maps -------------------------------------------------------------------------------------- */

void device_table(struct qdot_op_desc *desc, const void *more, void *room)
{
    (void)room;
    desc->map.table = more;
}

struct qdot_map device_line(size_t count)
{
    return (struct qdot_map){.rank = 1, .dims = {count}, .a_stride = {1}, .out_stride = {1}};
}

OrtStatus *device_map(struct step *s, struct call *c, size_t index, const struct qdot_map *map,
                      const uint8_t *table, const struct qdot_input *x,
                      const struct qdot_output *out, bool *done)
{
    struct wanted w;
    memset(&w, 0, sizeof(w));
    w.desc.size = sizeof(w.desc);
    w.desc.kind = QDOT_MAP;
    w.desc.map.rank = map->rank;
    for (size_t i = 0; i < map->rank; i++) {
        w.desc.map.dims[i] = map->dims[i];
        w.desc.map.a_stride[i] = map->a_stride[i];
        w.desc.map.out_stride[i] = map->out_stride[i];
    }
    if (table) {
        w.more = table;
        w.more_bytes = 256;
        w.fill = device_table;
    }
    const struct qdot_run run = {.size = sizeof(run), .a = *x, .out = *out};
    return device_run(s, c, index, &w, &run, done);
}
