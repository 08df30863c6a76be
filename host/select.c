/*
 * The dispatcher: which device and row an op gets, and why not the others.
 *
 * Every (device, row) is a candidate. A candidate is refused for a missing feature, a limit, a
 * failed self-test, another name asked for, or another packed layout. On one device the fastest
 * measured candidate wins if the tuning file has any for this problem, else the first in the table.
 * On "auto" candidates without a time are measured first, within the budget.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "internal.h"

struct candidate {
    struct qdot_device *device;
    const struct qdot_row *row;
    bool eligible;
    int refusal;      /* why not eligible, where that is not QDOT_UNSUPPORTED */
    uint64_t time_ns; /* 0: none */
    char reason[192];
};

uint64_t qdot_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- admission ------------------------------------------------------------------------------- */

static bool has_features(const struct qdot_device *device, uint32_t features, char *reason,
                         size_t reason_bytes)
{
    const uint32_t missing = features & ~device->features;
    for (const struct qdot_feature *f = device->backend->features; missing && f->name; f++) {
        if (missing & f->bit) {
            snprintf(reason, reason_bytes, "needs %s", f->name);
            return false;
        }
    }
    return missing == 0;
}

int qdot_admit(struct qdot_device *device, const struct qdot_row *row, char *reason,
               size_t reason_bytes)
{
    struct qdot_row_state *state = &device->row_state[row - device->backend->rows];
    if (!has_features(device, row->needs, reason, reason_bytes) ||
        !device->backend->fits(device, row, NULL, reason, reason_bytes))
        return QDOT_UNSUPPORTED;
    pthread_mutex_lock(&device->lock);
    int status = state->verdict == QDOT_ADMITTED ? QDOT_OK : QDOT_UNSUPPORTED;
    if (state->verdict == QDOT_UNKNOWN) {
        status = row->op == QDOT_CONV
                     ? qdot_selftest_conv(device, row, state->reason, sizeof(state->reason))
                     : qdot_selftest(device, row, state->reason, sizeof(state->reason));
        if (status != QDOT_NO_MEMORY) /* a lack of memory may pass */
            state->verdict = status == QDOT_OK ? QDOT_ADMITTED : QDOT_REFUSED;
    }
    if (status != QDOT_OK)
        snprintf(reason, reason_bytes, "%s", state->reason);
    pthread_mutex_unlock(&device->lock);
    return status == QDOT_OK || status == QDOT_NO_MEMORY ? status : QDOT_UNSUPPORTED;
}

static int row_info(struct qdot_device *device, const struct qdot_row *row,
                    struct qdot_row_info *info)
{
    size_t used = 0;
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    snprintf(info->name, sizeof(info->name), "%s/%s", device->backend->name, row->name);
    for (const struct qdot_feature *f = device->backend->features; f->name; f++)
        if ((row->needs & f->bit) && used < sizeof(info->features))
            used += (size_t)snprintf(info->features + used, sizeof(info->features) - used, "%s%s",
                                     used ? " " : "", f->name);
    info->kind = row->op;
    info->depthwise = row->depthwise;
    info->mr = row->mr;
    info->nr = row->nr;
    info->kr = row->kr;
    info->admitted = qdot_admit(device, row, info->reason, sizeof(info->reason)) == QDOT_OK;
    return QDOT_OK;
}

/* The index-th row and its device; NULL past the last. */
static const struct qdot_row *find_row(struct qdot_device *device, size_t index,
                                       struct qdot_device **owner)
{
    for (size_t i = 0; (*owner = qdot_device_child(device, i)) != NULL; i++) {
        if (index < (*owner)->backend->row_count)
            return &(*owner)->backend->rows[index];
        index -= (*owner)->backend->row_count;
    }
    return NULL;
}

int qdot_device_row(struct qdot_device *device, size_t index, struct qdot_row_info *info,
                    struct qdot_error *err)
{
    struct qdot_device *owner;
    if (!device || !info)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         device ? "info" : "device");
    const struct qdot_row *row = find_row(device, index, &owner);
    return row ? row_info(owner, row, info) : QDOT_END;
}

int qdot_device_row_name(struct qdot_device *device, size_t index, char name[64],
                         struct qdot_error *err)
{
    struct qdot_device *owner;
    if (!device || !name)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         device ? "name" : "device");
    const struct qdot_row *row = find_row(device, index, &owner);
    if (!row)
        return QDOT_END;
    snprintf(name, 64, "%s/%s", owner->backend->name, row->name);
    return QDOT_OK;
}

/* ---- measurement ----------------------------------------------------------------------------- */

/* Operands of a measured run. Their values do not matter to the time; zeros are valid everywhere.
 * The declared M may be far more than any run has, and memory for it more than there is: only so
 * many rows are measured, and of a convolution images. */
#define TRIAL_BYTES ((size_t)128 << 20)
#define TRIAL_ROWS_MIN ((size_t)32)

static size_t trial_least(const struct qdot_problem *p)
{
    return p->op == QDOT_CONV ? 1 : TRIAL_ROWS_MIN;
}

struct trial {
    size_t m;
    void *a, *out, *a_zero, *row_scale, *b;
};

static void trial_free(const struct qdot_device *device, struct trial *t)
{
    qdot_release(device, t->a);
    qdot_release(device, t->out);
    qdot_release(device, t->a_zero);
    qdot_release(device, t->row_scale);
    qdot_release(device, t->b);
    memset(t, 0, sizeof(*t));
}

static bool trial_make(const struct qdot_device *device, const struct qdot_problem *p,
                       struct trial *t)
{
    const size_t out_bytes = p->unit_rows * p->n * p->out_bytes;
    memset(t, 0, sizeof(*t));
    /* a_bytes and out_bytes are below 2^63 each: no overflow */
    t->m = TRIAL_BYTES / (p->a_bytes + out_bytes + 8);
    t->m = t->m < trial_least(p) ? trial_least(p) : t->m;
    t->m = t->m > p->units ? p->units : t->m;
    t->a = qdot_alloc(device, t->m * p->a_bytes);
    t->out = qdot_alloc(device, t->m * out_bytes);
    t->a_zero = qdot_alloc(device, t->m * 4);
    t->row_scale = qdot_alloc(device, t->m * 4);
    t->b = p->b_at_run ? qdot_alloc(device, p->ldb * (p->b_transposed ? p->n : p->k)) : NULL;
    return t->a && t->out && t->a_zero && t->row_scale && (t->b || !p->b_at_run);
}

static uint64_t time_run(struct qdot_op *op, const struct trial *t, size_t m,
                         struct qdot_error *err)
{
    struct qdot_run run = {.m = m, .a = {.host = t->a}, .out = {.host = t->out}};
    if (op->p.a_zero_per_row)
        run.a_zero.host = t->a_zero;
    if (op->p.row_scale)
        run.row_scale.host = t->row_scale;
    run.b.host = t->b;
    const uint64_t start = qdot_now_ns();
    if (qdot_op_run(op, &run, err) != QDOT_OK)
        return 0;
    return qdot_now_ns() - start + 1;
}

/* The time of 'all' rows from that of m and of fewer before (0: none). What does not grow with the
 * rows (a launch, waking threads) is most of a short run: only the difference is proportional. */
static uint64_t extrapolate(uint64_t once, size_t m, uint64_t before, size_t m_before, size_t all)
{
    const double slope = before && once > before ? (double)(once - before) / (double)(m - m_before)
                                                 : (double)once / (double)m;
    const double time = (double)once + slope * (double)(all - m);
    return m == all ? once : time < 0x1p63 ? (uint64_t)time : UINT64_MAX / 2;
}

/* The least of a few runs: the machine is shared, and no run is faster than the row is. */
static uint64_t least_time(struct qdot_op *op, const struct trial *t, size_t m, int runs,
                           struct qdot_error *err)
{
    const uint64_t start = qdot_now_ns();
    uint64_t least = 0;
    for (int i = 0; i < runs && (i == 0 || qdot_now_ns() - start < 50000000); i++) {
        const uint64_t once = time_run(op, t, m, err);
        if (once == 0)
            return 0;
        if (least == 0 || once < least)
            least = once;
    }
    return least;
}

/* Time of one run of the whole problem, or 0. A slow device never runs all of it: M grows from 32
 * rows or one image, and a candidate already three times slower than the best stops there, by
 * extrapolation. */
static uint64_t measure(struct candidate *c, const struct qdot_op_desc *desc,
                        const struct qdot_problem *p, const struct trial *t, uint64_t best,
                        struct qdot_error *err)
{
    struct qdot_op *op;
    if (qdot_op_build(c->device, c->row, desc, p, &op, err) != QDOT_OK)
        return 0;
    size_t m = t->m < trial_least(p) ? t->m : trial_least(p);
    uint64_t once = 0, before = 0, estimate = 0;
    if (time_run(op, t, m, err) == 0) /* the first run warms caches, pools and pipelines */
        goto done;
    for (size_t m_before = 0;; before = once, m_before = m, m = m > t->m / 8 ? t->m : m * 8) {
        once = least_time(op, t, m, 3, err);
        estimate = once ? extrapolate(once, m, before, m_before, p->units) : 0;
        const bool hopeless = best && once > 200000 && (before ? estimate : once) / 3 > best;
        if (once == 0 || m == t->m || hopeless || once > 50000000)
            break;
    }
    if (once && m == t->m) {
        once = least_time(op, t, m, 10, err);
        const uint64_t time = once ? extrapolate(once, m, 0, 0, p->units) : 0;
        estimate = time < estimate ? time : estimate;
    }
done:
    qdot_op_destroy(op);
    return estimate;
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool name_matches(const struct qdot_device *device, const struct qdot_row *row,
                         const char *name)
{
    const size_t length = strlen(device->backend->name);
    if (strncmp(name, device->backend->name, length) == 0 && name[length] == '/')
        name += length + 1;
    return strcmp(name, row->name) == 0;
}

static bool in_niche(const struct qdot_device *device, const struct qdot_niche *niche,
                     const struct qdot_problem *p)
{
    return niche->suits && niche->suits(p) && (niche->with & ~device->features) == 0;
}

/* Is this candidate able and allowed to take the op, self-test aside? Fills reason when not. Rows
 * with a niche need something that speaks for them elsewhere: their name, or a time. */
static bool judge(struct qdot_device *root, struct candidate *c, const struct qdot_op_desc *desc,
                  const struct qdot_problem *p)
{
    if (desc->kernel && !name_matches(c->device, c->row, desc->kernel)) {
        snprintf(c->reason, sizeof(c->reason), "another row was asked for by name");
        return false;
    }
    if (c->row->depthwise && p->conv.cg != 1) {
        snprintf(c->reason, sizeof(c->reason), "for groups of one input channel only");
        return false;
    }
    if (!has_features(c->device, c->row->needs, c->reason, sizeof(c->reason)) ||
        !c->device->backend->fits(c->device, c->row, p, c->reason, sizeof(c->reason)))
        return false;
    if (desc->packed && !qdot_packed_is_for(c->row, desc->packed, desc->packed_bytes)) {
        snprintf(c->reason, sizeof(c->reason), "the packed B given has another layout");
        c->refusal = QDOT_BAD_PACKED;
        return false;
    }
    c->time_ns = qdot_tuning_get(root, c->device, c->row, p);
    const struct qdot_niche *niche = c->row->niche;
    if (niche && !desc->kernel && !c->time_ns && !in_niche(c->device, niche, p)) {
        snprintf(c->reason, sizeof(c->reason), "%s; else taken by name", niche->text);
        return false;
    }
    c->reason[0] = '\0'; /* a backend may have written its limits there */
    return true;
}

/* The fastest with a time, else the first eligible; 'count' when there is none. */
static size_t choose(const struct candidate *list, size_t count)
{
    size_t first = count, fastest = count;
    for (size_t i = 0; i < count; i++) {
        if (!list[i].eligible)
            continue;
        if (first == count)
            first = i;
        if (list[i].time_ns && (fastest == count || list[i].time_ns < list[fastest].time_ns))
            fastest = i;
    }
    return fastest < count ? fastest : first;
}

/* Rows of a device are listed best first. Where one further down was faster, something may have run
 * beside the first one: it gets a second chance before the times are kept. */
static void measure_again(struct qdot_device *root, struct candidate *list, size_t count,
                          const struct qdot_op_desc *desc, const struct qdot_problem *p,
                          const struct trial *trial)
{
    const size_t fastest = choose(list, count);
    for (size_t i = 0; i < fastest && fastest < count; i++) {
        struct candidate *c = &list[i];
        struct qdot_error err = {0};
        if (c->device != list[fastest].device || !c->eligible || !c->time_ns)
            continue;
        const uint64_t time = measure(c, desc, p, trial, list[fastest].time_ns, &err);
        if (time && time < c->time_ns) {
            c->time_ns = time;
            qdot_tuning_put(root, c->device, c->row, p, time);
        }
        return;
    }
}

/* Times of the eligible candidates of "auto" that have none yet. */
static void measure_all(struct qdot_device *root, struct candidate *list, size_t count,
                        const struct qdot_op_desc *desc, const struct qdot_problem *p)
{
    struct trial trial = {0};
    const uint64_t start = qdot_now_ns();
    size_t eligible = 0;
    uint64_t best = 0;
    bool ready = false, measured = false;
    for (size_t i = 0; i < count; i++) {
        eligible += list[i].eligible;
        if (list[i].eligible && list[i].time_ns && (!best || list[i].time_ns < best))
            best = list[i].time_ns;
    }
    for (size_t i = 0; i < count && eligible > 1; i++) {
        struct candidate *c = &list[i];
        struct qdot_error err = {0};
        if (!c->eligible || c->time_ns)
            continue;
        if (qdot_now_ns() - start > root->budget_ns) {
            snprintf(c->reason, sizeof(c->reason), "not measured: the budget of %llu ms was spent",
                     (unsigned long long)(root->budget_ns / 1000000));
            continue;
        }
        if (!ready && !(ready = trial_make(root, p, &trial))) {
            snprintf(c->reason, sizeof(c->reason), "not measured: no memory for its operands");
            trial_free(root, &trial); /* what there was of it; the next candidate tries again */
            continue;
        }
        c->time_ns = measure(c, desc, p, &trial, best, &err);
        if (!c->time_ns) {
            snprintf(c->reason, sizeof(c->reason), "measuring failed: %.150s", err.text);
            c->refusal = err.status;
            c->eligible = false;
            continue;
        }
        if (!best || c->time_ns < best)
            best = c->time_ns;
        qdot_tuning_put(root, c->device, c->row, p, c->time_ns);
        measured = true;
    }
    if (measured && qdot_now_ns() - start <= root->budget_ns)
        measure_again(root, list, count, desc, p, &trial);
    if (measured)
        qdot_tuning_save(root);
    trial_free(root, &trial);
}

/* All candidates in order: devices as listed, rows best first. NULL when out of memory. With
 * 'admit' every able one is self-tested, as measuring needs; else that is left to the caller. */
static struct candidate *judge_all(struct qdot_device *root, const struct qdot_op_desc *desc,
                                   const struct qdot_problem *p, bool admit, size_t *count)
{
    struct qdot_device *device;
    size_t total = 0, used = 0;
    for (size_t i = 0; (device = qdot_device_child(root, i)) != NULL; i++)
        total += device->backend->row_count;
    struct candidate *list = qdot_alloc(root, (total + 1) * sizeof(*list));
    if (!list)
        return NULL;
    for (size_t i = 0; (device = qdot_device_child(root, i)) != NULL; i++) {
        for (size_t r = 0; r < device->backend->row_count; r++) {
            if (device->backend->rows[r].op != p->op)
                continue;
            struct candidate *c = &list[used++];
            c->device = device;
            c->row = &device->backend->rows[r];
            c->eligible = judge(root, c, desc, p);
            if (c->eligible && admit) {
                c->refusal = qdot_admit(device, c->row, c->reason, sizeof(c->reason));
                c->eligible = c->refusal == QDOT_OK;
            }
        }
    }
    if (!root->backend)
        measure_all(root, list, used, desc, p);
    *count = used;
    return list;
}

static int nobody(struct qdot_device *root, const struct candidate *list, size_t count,
                  const struct qdot_op_desc *desc, struct qdot_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct candidate *c = &list[i];
        if (desc->kernel ? name_matches(c->device, c->row, desc->kernel)
                         : c->refusal == QDOT_NO_MEMORY)
            return qdot_fail(err, c->refusal ? c->refusal : QDOT_UNSUPPORTED, "%s: %s/%s on %s: %s",
                             c->refusal == QDOT_BAD_PACKED ? "packed" : "kernel",
                             c->device->backend->name, c->row->name, c->device->info.name,
                             c->reason);
    }
    /* No candidate, but perhaps a row for another kind of op. */
    const struct qdot_device *device;
    for (size_t i = 0; desc->kernel && (device = qdot_device_child(root, i)) != NULL; i++)
        for (size_t r = 0; r < device->backend->row_count; r++)
            if (name_matches(device, &device->backend->rows[r], desc->kernel))
                return qdot_fail(
                    err, QDOT_UNSUPPORTED, "kernel: '%s' is a row for %s", desc->kernel,
                    device->backend->rows[r].op == QDOT_CONV ? "convolutions" : "matrix products");
    if (desc->kernel)
        return qdot_fail(err, QDOT_INVALID, "kernel: '%s' is no row of device %s", desc->kernel,
                         root->info.name);
    if (desc->packed)
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: not a packed B for any row of device %s",
                         root->info.name);
    return qdot_fail(err, QDOT_UNSUPPORTED, "no row of device %s takes this op; %s: %s",
                     root->info.name, count ? list[count - 1].row->name : "it has no rows",
                     count ? list[count - 1].reason : "");
}

int qdot_select(struct qdot_device *root, const struct qdot_op_desc *desc,
                const struct qdot_problem *p, struct qdot_device **chosen,
                const struct qdot_row **row, struct qdot_error *err)
{
    size_t count;
    const bool measures = !root->backend;
    struct candidate *list = judge_all(root, desc, p, measures, &count);
    if (!list)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of candidates");
    /* One device needs one row: only candidates that would win are self-tested. */
    size_t i = choose(list, count);
    int status = QDOT_UNSUPPORTED;
    for (; i < count; i = choose(list, count)) {
        status = qdot_admit(list[i].device, list[i].row, list[i].reason, sizeof(list[i].reason));
        if (status == QDOT_OK || status == QDOT_NO_MEMORY)
            break;
        list[i].eligible = false;
    }
    if (i == count) {
        status = nobody(root, list, count, desc, err);
    } else if (status == QDOT_NO_MEMORY) {
        qdot_fail(err, status, "%s/%s: %s", list[i].device->backend->name, list[i].row->name,
                  list[i].reason);
    } else {
        *chosen = list[i].device;
        *row = list[i].row;
    }
    qdot_release(root, list);
    return status;
}

int qdot_explain(struct qdot_device *device, const struct qdot_op_desc *desc,
                 struct qdot_candidate *candidates, size_t capacity, size_t *count,
                 struct qdot_error *err)
{
    struct qdot_problem p;
    if (!device || !count || (!candidates && capacity > 0))
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         !device  ? "device"
                         : !count ? "count"
                                  : "candidates");
    int status = qdot_check_desc(desc, &p, err);
    if (status != QDOT_OK)
        return status;
    size_t total;
    struct candidate *list = judge_all(device, desc, &p, true, &total);
    if (!list)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of candidates");
    const size_t best = choose(list, total);
    for (size_t i = 0; i < total && i < capacity; i++) {
        struct qdot_candidate *c = &candidates[i];
        memset(c, 0, sizeof(*c));
        snprintf(c->device, sizeof(c->device), "%s", list[i].device->info.name);
        snprintf(c->row, sizeof(c->row), "%s/%s", list[i].device->backend->name, list[i].row->name);
        c->chosen = i == best;
        c->time_ns = list[i].eligible ? list[i].time_ns : 0;
        if (*list[i].reason)
            snprintf(c->reason, sizeof(c->reason), "%s", list[i].reason);
        else if (c->chosen)
            snprintf(c->reason, sizeof(c->reason), "%s",
                     desc->kernel      ? "chosen: asked for by name"
                     : list[i].time_ns ? "chosen: the fastest measured"
                                       : "chosen: the first of the table that takes it");
        else
            snprintf(c->reason, sizeof(c->reason), "%s",
                     list[i].time_ns ? "slower" : "able; comes later in the table");
    }
    *count = total;
    qdot_release(device, list);
    return QDOT_OK;
}
