/*
 * Where packed B comes from: packed here, or bytes of the caller's, which are copied, or read where they
 * lie, or are in the caller's cache; and its saved form.
 */
#include <stdio.h>
#include <string.h>
#include "internal.h"

/* ---- packing --------------------------------------------------------------------------------- */

struct pack_job {
    const struct qdot_op *op;
    const void *b;
    size_t panels, tasks;
};

static void pack_task(void *arg, size_t i)
{
    const struct pack_job *job = arg;
    const struct qdot_op *op = job->op;
    qdot_pack_b(op->row, &op->p, &op->packed, job->b, job->panels * i / job->tasks,
                job->panels * (i + 1) / job->tasks, qdot_packed_panels(&op->packed),
                op->terms.col_sum);
}

/* Packs B, or the weights, on all threads. */
static int pack(struct qdot_op *op, const void *b, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_threads *threads = &op->device->threads;
    struct pack_job job = {op, b, op->packed.n_pad / op->row->nr, 1};
    void *ordered = NULL;
    if (p->op == QDOT_CONV && !qdot_weights_in_order(&p->conv)) {
        ordered = qdot_alloc_raw(op->device, p->n * p->k);
        if (!ordered)
            return qdot_fail(err, QDOT_NO_MEMORY, "no memory for %zu bytes of weights",
                             p->n * p->k);
        qdot_order_weights(&p->conv, b, ordered);
        job.b = ordered;
    }
    /* Below some 256 KiB waking a thread costs more than packing. */
    if (threads->parallel_for && op->packed.panels_bytes >= 262144)
        job.tasks = job.panels < threads->threads ? job.panels : threads->threads;
    if (job.tasks > 1)
        threads->parallel_for(threads->ctx, pack_task, &job, job.tasks);
    else
        pack_task(&job, 0);
    qdot_release(op->device, ordered);
    return QDOT_OK;
}

/* ---- the blob -------------------------------------------------------------------------------- */

void qdot_packed_drop(const struct qdot_device *device, struct qdot_packed *packed)
{
    const struct qdot_packed_cache *cache = &device->packed_cache;
    if (packed->blob && packed->owner == QDOT_BLOB_CACHES && cache->release)
        cache->release(cache->ctx, packed->blob);
    if (packed->owner == QDOT_BLOB_OURS)
        qdot_release(device, packed->blob);
    qdot_release(device, packed->last_panel);
    packed->blob = packed->last_panel = NULL;
    packed->owner = QDOT_BLOB_OURS;
}

static int make_room(const struct qdot_op *op, struct qdot_packed *packed, struct qdot_error *err)
{
    packed->blob = qdot_alloc_raw(op->device, packed->blob_bytes + QDOT_PANELS_SLACK);
    if (!packed->blob)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for %zu bytes of packed B",
                         packed->blob_bytes);
    memset((char *)packed->blob + packed->blob_bytes, 0, QDOT_PANELS_SLACK);
    return QDOT_OK;
}

/* A copy of another's blob in memory of ours. */
static int copy_blob(struct qdot_op *op, const void *blob, enum qdot_blob_owner owner,
                     struct qdot_error *err)
{
    const struct qdot_packed_cache *cache = &op->device->packed_cache;
    struct qdot_packed *packed = &op->packed;
    const int status = make_room(op, packed, err);
    if (status == QDOT_OK)
        memcpy(packed->blob, blob, packed->blob_bytes);
    packed->owner = status == QDOT_OK ? QDOT_BLOB_OURS : owner;
    if (status != QDOT_OK)
        packed->blob = (void *)(uintptr_t)blob;
    else if (owner == QDOT_BLOB_CACHES && cache->release)
        cache->release(cache->ctx, blob);
    return status;
}

/* A verified blob of another's, where it lies. The last panel, if it is narrow, is read beyond its end:
 * it is copied; where parts are so small that others are read beyond the end as well, all are. */
static int keep(struct qdot_op *op, const void *blob, enum qdot_blob_owner owner,
                struct qdot_error *err)
{
    struct qdot_packed *packed = &op->packed;
    packed->blob = (void *)(uintptr_t)blob; /* only read, but where it is ours */
    packed->owner = owner;
    if (packed->last_columns == op->row->nr)
        return QDOT_OK;
    if (packed->parts > 1 && packed->part_bytes < QDOT_PANELS_SLACK)
        return copy_blob(op, blob, owner, err);
    const size_t panel = packed->parts * packed->part_panels - 1;
    const size_t bytes = packed->k_groups * packed->last_columns * op->row->kr;
    const uint8_t *from = qdot_panel(packed, panel);
    packed->last_panel = qdot_alloc_raw(op->device, bytes + QDOT_PANELS_SLACK);
    if (!packed->last_panel)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for %zu bytes of packed B", bytes);
    memcpy(packed->last_panel, from, bytes);
    memset(packed->last_panel + bytes, 0, QDOT_PANELS_SLACK);
    return QDOT_OK;
}

int qdot_packed_own(struct qdot_op *op, struct qdot_error *err)
{
    return op->packed.owner == QDOT_BLOB_CALLERS
               ? copy_blob(op, op->packed.blob, op->packed.owner, err)
               : QDOT_OK;
}

static void sum_columns(struct qdot_op *op)
{
    qdot_sum_pieces(op->row, &op->packed, qdot_packed_panels(&op->packed), 1, op->terms.col_sum);
}

static int load(struct qdot_op *op, const struct qdot_op_desc *d, struct qdot_error *err)
{
    struct qdot_packed *packed = &op->packed;
    int status = qdot_packed_verify(op->row, &op->p, packed, d->packed, d->packed_bytes, err);
    if (status == QDOT_OK && d->packed_keep) {
        status = keep(op, d->packed, QDOT_BLOB_CALLERS, err);
    } else if (status == QDOT_OK) {
        status = copy_blob(op, d->packed, QDOT_BLOB_CALLERS, err);
    }
    if (status == QDOT_OK)
        sum_columns(op);
    return status;
}

static int pack_own(struct qdot_op *op, const void *b, struct qdot_error *err)
{
    int status = make_room(op, &op->packed, err);
    return status == QDOT_OK ? pack(op, b, err) : status;
}

/* ---- the caller's cache ---------------------------------------------------------------------- */

/* Two hashes of a B as it is given, without what lies between its rows. */
static void hash_b(const struct qdot_problem *p, const uint8_t *b, uint64_t hash[2])
{
    const size_t rows = p->b_transposed ? p->n : p->k, columns = p->b_transposed ? p->k : p->n;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < 2; i++)
            hash[i] = qdot_hash(b + row * p->ldb, columns, hash[i]);
}

static void make_key(const struct qdot_op *op, const void *b, char key[QDOT_KEY_BYTES])
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    /* What says in which order the bytes of B are. */
    const uint64_t order[] = {p->op, p->b_transposed, g->nchw, g->transposed,
                              g->kh, g->kw,           g->cg,   g->groups};
    uint64_t hash[2] = {1, 2};
    hash_b(p, b, hash);
    snprintf(key, QDOT_KEY_BYTES, "qdot-%ux%u-%zux%zu-%016llx-%016llx-%016llx%016llx", op->row->nr,
             op->row->kr, p->k, p->n,
             (unsigned long long)qdot_packed_shape(op->row, p, &op->packed),
             (unsigned long long)qdot_hash(order, sizeof(order), 0), (unsigned long long)hash[0],
             (unsigned long long)hash[1]);
}

/* Offers the blob that was packed just now; what the cache gives for it takes its place. */
static int offer(struct qdot_op *op, const char *key, struct qdot_error *err)
{
    const struct qdot_packed_cache *cache = &op->device->packed_cache;
    struct qdot_packed *packed = &op->packed;
    qdot_packed_seal(op->row, &op->p, packed);
    const void *shared = cache->insert(cache->ctx, key, packed->blob, packed->blob_bytes);
    if (!shared)
        return QDOT_OK;
    if (memcmp(shared, packed->blob, packed->blob_bytes) != 0) {
        if (cache->release)
            cache->release(cache->ctx, shared);
        return QDOT_OK;
    }
    qdot_packed_drop(op->device, packed);
    return keep(op, shared, QDOT_BLOB_CACHES, err);
}

static int make_shared(struct qdot_op *op, const void *b, struct qdot_error *err)
{
    const struct qdot_packed_cache *cache = &op->device->packed_cache;
    struct qdot_packed *packed = &op->packed;
    char key[QDOT_KEY_BYTES];
    make_key(op, b, key);
    const void *found = cache->look_up(cache->ctx, key, packed->blob_bytes);
    if (found && qdot_packed_verify(op->row, &op->p, packed, found, packed->blob_bytes, NULL)) {
        if (cache->release)
            cache->release(cache->ctx, found);
        found = NULL;
    }
    if (found) {
        const int status = keep(op, found, QDOT_BLOB_CACHES, err);
        if (status == QDOT_OK)
            sum_columns(op);
        return status;
    }
    const int status = pack_own(op, b, err);
    return status == QDOT_OK ? offer(op, key, err) : status;
}

/* ---- of an op -------------------------------------------------------------------------------- */

int qdot_packed_make(struct qdot_op *op, const struct qdot_op_desc *d, bool cache,
                     struct qdot_error *err)
{
    const struct qdot_terms *t = &op->terms;
    const int status = d->packed                                   ? load(op, d, err)
                       : cache && op->device->packed_cache.look_up ? make_shared(op, d->b, err)
                                                                   : pack_own(op, d->b, err);
    if (status == QDOT_OK)
        qdot_fold_bias(op->row, &op->p, t->bias, t->b_neg, t->col_sum, t->bias, 0,
                       op->packed.n_pad);
    return status;
}

/* ---- without an op --------------------------------------------------------------------------- */

/* An op of which there is only what packing needs. */
static int plan(struct qdot_device *device, const struct qdot_op_desc *desc, struct qdot_op *op,
                struct qdot_error *err)
{
    memset(op, 0, sizeof(*op));
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    int status = qdot_check_desc(desc, &op->p, err);
    if (status == QDOT_OK && !desc->b)
        status = qdot_fail(err, QDOT_INVALID, "b: expected what is to be packed, got NULL");
    if (status == QDOT_OK)
        status = qdot_select(device, desc, &op->p, &op->device, &op->row, err);
    if (status == QDOT_OK && !qdot_packed_layout(op->row, &op->p, &op->packed))
        status = qdot_fail(err, QDOT_INVALID, "k, n: packing %zu x %zu overflows 63 bits", op->p.k,
                           op->p.n);
    return status;
}

int qdot_packed_bytes(struct qdot_device *device, const struct qdot_op_desc *desc, size_t *bytes,
                      struct qdot_error *err)
{
    struct qdot_op op;
    if (!bytes)
        return qdot_fail(err, QDOT_INVALID, "bytes: expected a pointer, got NULL");
    const int status = plan(device, desc, &op, err);
    *bytes = status == QDOT_OK ? op.packed.blob_bytes : 0;
    return status;
}

int qdot_pack(struct qdot_device *device, const struct qdot_op_desc *desc, void *memory,
              size_t bytes, struct qdot_error *err)
{
    struct qdot_op op;
    int status = plan(device, desc, &op, err);
    if (status != QDOT_OK)
        return status;
    if (!memory || bytes != op.packed.blob_bytes)
        return qdot_fail(err, QDOT_INVALID, "memory, bytes: expected %zu bytes, got %zu%s",
                         op.packed.blob_bytes, bytes, memory ? "" : " at NULL");
    op.terms.col_sum = qdot_alloc_raw(op.device, op.packed.n_pad * sizeof(int32_t));
    if (!op.terms.col_sum)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the sums of %zu columns",
                         op.packed.n_pad);
    op.packed.blob = memory;
    status = pack(&op, desc->b, err);
    if (status == QDOT_OK)
        qdot_packed_seal(op.row, &op.p, &op.packed);
    qdot_release(op.device, op.terms.col_sum);
    return status;
}

/* ---- the saved form -------------------------------------------------------------------------- */

int qdot_op_packed_bytes(const struct qdot_op *op, size_t *bytes, struct qdot_error *err)
{
    if (!op || !bytes)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         op ? "bytes" : "op");
    if (op->p.b_at_run || !qdot_is_product(op->row->op))
        return qdot_fail(err, QDOT_UNSUPPORTED, "op: created without B, so it holds no packed B");
    *bytes = op->packed.blob_bytes;
    return QDOT_OK;
}

int qdot_op_save_packed(struct qdot_op *op, void *memory, size_t bytes, struct qdot_error *err)
{
    size_t need;
    int status = qdot_op_packed_bytes(op, &need, err);
    if (status != QDOT_OK)
        return status;
    if (!memory || bytes != need)
        return qdot_fail(err, QDOT_INVALID, "memory, bytes: expected %zu bytes, got %zu%s", need,
                         bytes, memory ? "" : " at NULL");
    struct qdot_packed copy = op->packed;
    copy.blob = memory;
    if (op->packed.blob) {
        memcpy(memory, op->packed.blob, need);
    } else {
        memset(memory, 0, need);
        status = op->device->backend->read_packed(op, qdot_packed_panels(&copy), err);
        if (status != QDOT_OK)
            return status;
    }
    qdot_packed_seal(op->row, &op->p, &copy);
    return QDOT_OK;
}
