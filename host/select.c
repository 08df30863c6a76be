/*
 * The dispatcher: which device and row an op gets, and why not the others.
 *
 * Every (device, row) is a candidate. A candidate is refused for a missing feature, a limit, a
 * failed self-test, another name asked for, or another packed layout. Of the others an override of
 * the tuning decides; else the fastest by times for this problem; else the fastest by times for its
 * class; else the first in the table that the problem suits. Who has no time of the best kind that
 * there is, loses to those who have.
 *
 * Times are measured within the budget where they are not known: on "auto" those of the problem,
 * with copies to and from each device; on one device of a backend that measures, those of the class,
 * once. The first problem of a class is what the others' times are of: rows that join later are
 * measured beside the fastest known, and their times brought to scale.
 */
#include <stdio.h>
#include <string.h>
#include "internal.h"

struct candidate {
    struct qdot_device *device;
    const struct qdot_row *row;
    bool eligible;
    bool suits;            /* the problem is in its niche: the table's order may take it */
    bool may_suit;         /* so but for what the device advertises: to be measured */
    size_t override;       /* 1 + which names it; 0: none */
    enum qdot_basis basis; /* of what time_ns is */
    int refusal;           /* why not eligible, where that is not QDOT_UNSUPPORTED */
    uint64_t time_ns;      /* 0: none */
    char reason[192];
};

/* What is selected for. */
struct request {
    struct qdot_device *root; /* as the caller has it: one device or "auto" */
    const struct qdot_op_desc *desc;
    const struct qdot_problem *p;
    char problem[QDOT_PROBLEM_BYTES], class[QDOT_PROBLEM_BYTES]; /* "": no tuning has any */
    struct candidate *list;
    size_t count;
    char missed[64]; /* a row that an override names and no device has; "": none */
};

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
                 : row->op == QDOT_QUANTIZE
                     ? qdot_selftest_elements(device, row, state->reason, sizeof(state->reason))
                 : row->op == QDOT_GEMM
                     ? qdot_selftest(device, row, state->reason, sizeof(state->reason))
                     : qdot_selftest_map(device, row, state->reason, sizeof(state->reason));
        /* a lack of memory may pass, and once what the driver failed at: another row may be none */
        const bool may_pass =
            status == QDOT_NO_MEMORY || (status == QDOT_DEVICE_FAILED && !state->failed);
        state->failed = status == QDOT_DEVICE_FAILED;
        if (!may_pass)
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

/* ---- judging --------------------------------------------------------------------------------- */

static bool name_matches(const struct qdot_device *device, const struct qdot_row *row,
                         const char *name)
{
    const size_t length = strlen(device->backend->name);
    if (strncmp(name, device->backend->name, length) == 0 && name[length] == '/')
        name += length + 1;
    return strcmp(name, row->name) == 0;
}

const struct qdot_row *qdot_row_named(const struct qdot_device *device, const char *name)
{
    for (size_t r = 0; r < device->backend->row_count; r++)
        if (name_matches(device, &device->backend->rows[r], name))
            return &device->backend->rows[r];
    return NULL;
}

static bool in_niche(const struct candidate *c, const struct qdot_problem *p, bool as_advertised)
{
    const struct qdot_niche *niche = c->row->niche;
    if (!niche)
        return true;
    const uint32_t needed = niche->with | (as_advertised ? niche->hint : 0);
    return niche->suits && niche->suits(p) && (needed & ~c->device->features) == 0;
}

/* Its best time: on "auto" only one with copies, which the CPU has none of. */
static void find_time(const struct request *r, struct candidate *c)
{
    const bool several = !r->root->backend, measures = c->device->backend->measures;
    c->basis = QDOT_BY_TABLE;
    if (!*r->problem)
        return;
    c->basis = several ? QDOT_BY_COPIES : QDOT_BY_TIME;
    c->time_ns =
        several && measures ? 0 : qdot_tuning_get(c->device, c->row, QDOT_BY_TIME, r->problem);
    if (!c->time_ns) {
        c->basis = QDOT_BY_COPIES;
        c->time_ns = qdot_tuning_get(c->device, c->row, QDOT_BY_COPIES, r->problem);
    }
    if (!c->time_ns && !several && measures) {
        c->basis = QDOT_BY_CLASS;
        c->time_ns = qdot_tuning_get(c->device, c->row, QDOT_BY_CLASS, r->class);
    }
    if (!c->time_ns)
        c->basis = QDOT_BY_TABLE;
}

/* Is this candidate able and allowed to take the op, self-test aside? Fills reason when not. Rows
 * with a niche need something that speaks for them elsewhere: their name, or a time. */
static bool judge(const struct request *r, struct candidate *c)
{
    const struct qdot_op_desc *desc = r->desc;
    if (desc->kernel && !name_matches(c->device, c->row, desc->kernel)) {
        snprintf(c->reason, sizeof(c->reason), "another row was asked for by name");
        return false;
    }
    if (c->row->depthwise && r->p->conv.cg != 1) {
        snprintf(c->reason, sizeof(c->reason), "for groups of one input channel only");
        return false;
    }
    if (!has_features(c->device, c->row->needs, c->reason, sizeof(c->reason)) ||
        !c->device->backend->fits(c->device, c->row, r->p, c->reason, sizeof(c->reason)))
        return false;
    if (desc->packed && !qdot_packed_is_for(c->row, desc->packed, desc->packed_bytes)) {
        snprintf(c->reason, sizeof(c->reason), "the packed B given has another layout");
        c->refusal = QDOT_BAD_PACKED;
        return false;
    }
    find_time(r, c);
    c->suits = desc->kernel || in_niche(c, r->p, true);
    c->may_suit = c->suits || in_niche(c, r->p, false);
    const bool measured = c->may_suit && r->root->backend && c->device->backend->measures;
    if (!c->suits && !c->time_ns && !c->override && !measured) {
        snprintf(c->reason, sizeof(c->reason), "%s; else taken by name", c->row->niche->text);
        return false;
    }
    c->reason[0] = '\0'; /* a backend may have written its limits there */
    return true;
}

/* Does 'a' go before 'b'? Overrides in their order, better times, shorter ones; else as listed. */
static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->override || b->override)
        return a->override && (!b->override || a->override < b->override);
    if (a->basis != b->basis)
        return a->basis > b->basis;
    return a->time_ns < b->time_ns;
}

/* The one to take; 'count' when there is none. */
static size_t choose(const struct candidate *list, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        const struct candidate *c = &list[i];
        if (c->eligible && (c->override || c->time_ns || c->suits) &&
            (best == count || better(c, &list[best])))
            best = i;
    }
    return best;
}

/* ---- measuring ------------------------------------------------------------------------------- */

struct ranking {
    struct request *r;
    enum qdot_basis basis;
    const char *problem; /* or the class, under which times are kept */
    struct qdot_trial trial;
    uint64_t begin, longest; /* of one candidate so far */
    uint64_t best;           /* the shortest time */
    double scale;            /* from times here to those kept */
    bool ready, measured;
};

/* Of one device the last word is the table's: what would not fit is not begun. */
static bool spent(const struct ranking *k)
{
    const struct qdot_device *root = k->r->root;
    const uint64_t next = root->backend ? k->longest : 0;
    return qdot_now_ns() - k->begin + next > root->budget_ns;
}

/* The candidate's time on this problem, or 0 with the reason in it. Of one device it need not be
 * admitted yet: a self-test compiles more than the op does, and only who would win has to pass it. */
static uint64_t measure_one(struct ranking *k, struct candidate *c)
{
    struct request *r = k->r;
    struct qdot_error err = {0};
    const uint64_t begin = qdot_now_ns();
    if (spent(k)) {
        snprintf(c->reason, sizeof(c->reason), "not measured: the budget of %llu ms was spent",
                 (unsigned long long)(r->root->budget_ns / 1000000));
        return 0;
    }
    if (!k->ready &&
        !(k->ready = qdot_trial_make(r->root, k->basis == QDOT_BY_CLASS, r->p, &k->trial))) {
        snprintf(c->reason, sizeof(c->reason), "not measured: no memory for its operands");
        qdot_trial_free(r->root, &k->trial); /* what there was; the next candidate tries again */
        return 0;
    }
    const uint64_t time = qdot_measure(c->device, c->row, r->desc, r->p, &k->trial, k->best, &err);
    if (!time) {
        snprintf(c->reason, sizeof(c->reason), "measuring failed: %.150s", err.text);
        c->refusal = err.status;
        c->eligible = false;
    }
    const uint64_t took = qdot_now_ns() - begin;
    k->longest = took > k->longest ? took : k->longest;
    return time;
}

static void keep_time(struct ranking *k, struct candidate *c, uint64_t time)
{
    const double scaled = (double)time * k->scale;
    k->best = k->best && k->best < time ? k->best : time;
    k->measured = true;
    c->basis = k->basis;
    c->time_ns = scaled < 1 ? 1 : scaled < 0x1p62 ? (uint64_t)scaled : (uint64_t)1 << 62;
    qdot_tuning_put(c->device, c->row, k->basis, k->problem, c->time_ns);
}

/* Those without a time of this kind: first those that suit, best of the table first, then those that
 * only do not advertise it. */
static void measure_rest(struct ranking *k)
{
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < k->r->count; i++) {
            struct candidate *c = &k->r->list[i];
            if (!c->eligible || c->basis >= k->basis || c->suits == (last == 1) ||
                (k->basis == QDOT_BY_CLASS && !c->may_suit))
                continue;
            const uint64_t time = measure_one(k, c);
            if (time)
                keep_time(k, c, time);
        }
}

/* Rows of a device are listed best first. Where one further down was faster, something may have run
 * beside the first one: it gets a second chance before the times are kept. */
static void measure_again(struct ranking *k)
{
    struct candidate *list = k->r->list;
    const size_t fastest = choose(list, k->r->count);
    for (size_t i = 0; i < fastest && fastest < k->r->count; i++) {
        struct candidate *c = &list[i];
        struct qdot_error err = {0};
        if (c->device != list[fastest].device || !c->eligible || c->basis != k->basis)
            continue;
        const uint64_t time =
            qdot_measure(c->device, c->row, k->r->desc, k->r->p, &k->trial, k->best, &err);
        if (time && (double)time * k->scale < (double)c->time_ns)
            keep_time(k, c, time);
        return;
    }
}

/* Candidates that may be chosen and have no time of this kind, while there is a choice at all. Among
 * those with one, the fastest is in *known. */
static size_t unmeasured(const struct ranking *k, struct candidate **known)
{
    size_t eligible = 0, missing = 0;
    *known = NULL;
    for (size_t i = 0; i < k->r->count; i++) {
        struct candidate *c = &k->r->list[i];
        if (!c->eligible)
            continue;
        if (c->override || c->basis > k->basis)
            return 0; /* something better decides */
        eligible++;
        if (c->basis == k->basis)
            *known = !*known || c->time_ns < (*known)->time_ns ? c : *known;
        else
            missing += k->basis != QDOT_BY_CLASS || c->may_suit;
    }
    return eligible > 1 ? missing : 0;
}

static void measure_all(struct request *r)
{
    const bool one = r->root->backend != NULL;
    struct qdot_device *lock = r->root->parent ? r->root->parent : r->root;
    struct candidate *known;
    struct ranking k = {.r = r,
                        .basis = one ? QDOT_BY_CLASS : QDOT_BY_COPIES,
                        .problem = one ? r->class : r->problem,
                        .longest = 1000000, /* before any was measured */
                        .scale = 1};
    if (r->desc->kernel && one)
        return;
    if (unmeasured(&k, &known) == 0)
        return;
    pthread_mutex_lock(&lock->measuring);
    for (size_t i = 0; i < r->count; i++) /* another thread may have been here */
        if (r->list[i].eligible)
            find_time(r, &r->list[i]);
    k.begin = qdot_now_ns();
    if (unmeasured(&k, &known) > 0) {
        if (known && !one)
            k.best = known->time_ns;
        const uint64_t here = known && one ? measure_one(&k, known) : 0;
        if (here) {
            k.best = here;
            k.scale = (double)known->time_ns / (double)here;
        }
        if (!known || !one || here)
            measure_rest(&k);
        if (k.measured && !spent(&k))
            measure_again(&k);
        if (k.measured)
            qdot_tuning_save(r->root);
        qdot_trial_free(r->root, &k.trial);
    }
    pthread_mutex_unlock(&lock->measuring);
}

/* ---- selecting ------------------------------------------------------------------------------- */

/* Which override names which candidates, of a device. */
static void find_overrides(struct request *r, struct qdot_device *device, struct candidate *list,
                           size_t count)
{
    char row[64];
    for (size_t i = 0; qdot_tuning_override(device, r->problem, &i, row);) {
        bool found = false;
        for (size_t c = 0; c < count; c++)
            if (name_matches(device, list[c].row, row)) {
                list[c].override = list[c].override ? list[c].override : i;
                found = true;
            }
        if (!found && !r->missed[0])
            snprintf(r->missed, sizeof(r->missed), "%s", row);
    }
}

/* All candidates in order: devices as listed, rows best first. False when out of memory. With
 * 'admit' every able one is self-tested; else that is left to the caller. */
static bool judge_all(struct request *r, bool admit)
{
    struct qdot_device *device;
    size_t total = 0;
    const bool measures = !r->root->backend || r->root->backend->measures;
    if (measures || !qdot_tuning_is_empty(r->root)) { /* a small op on the CPU notices two texts */
        qdot_problem_name(r->p, r->problem);
        qdot_problem_class(r->p, r->class);
    }
    for (size_t i = 0; (device = qdot_device_child(r->root, i)) != NULL; i++)
        total += device->backend->row_count;
    r->list = qdot_alloc_raw(r->root, (total + 1) * sizeof(*r->list));
    if (!r->list)
        return false;
    for (size_t i = 0; (device = qdot_device_child(r->root, i)) != NULL; i++) {
        struct candidate *first = &r->list[r->count];
        for (size_t row = 0; row < device->backend->row_count; row++)
            if (device->backend->rows[row].op == qdot_served_by(r->p->op))
                r->list[r->count++] =
                    (struct candidate){.device = device, .row = &device->backend->rows[row]};
        struct candidate *end = &r->list[r->count];
        if (!r->desc->kernel && *r->problem)
            find_overrides(r, device, first, (size_t)(end - first));
        for (struct candidate *c = first; c < end; c++) {
            c->eligible = judge(r, c);
            if (c->eligible && admit) {
                c->refusal = qdot_admit(device, c->row, c->reason, sizeof(c->reason));
                c->eligible = c->refusal == QDOT_OK;
            }
        }
    }
    if (measures)
        measure_all(r);
    return true;
}

static int nobody(const struct request *r, struct qdot_error *err)
{
    struct qdot_device *root = r->root;
    const struct qdot_op_desc *desc = r->desc;
    const struct candidate *list = r->list;
    const size_t count = r->count;
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
    const struct qdot_row *other;
    for (size_t i = 0; desc->kernel && (device = qdot_device_child(root, i)) != NULL; i++)
        if ((other = qdot_row_named(device, desc->kernel)) != NULL)
            return qdot_fail(err, QDOT_UNSUPPORTED, "kernel: '%s' is a row for %s", desc->kernel,
                             other->op == QDOT_CONV           ? "convolutions"
                             : other->op == QDOT_QUANTIZE     ? "quantize and its kin"
                             : other->op == QDOT_MAP          ? "maps"
                             : other->op == QDOT_MAX_POOL     ? "max pools"
                             : other->op == QDOT_AVERAGE_POOL ? "average pools"
                                                              : "matrix products");
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
    struct request r = {.root = root, .desc = desc, .p = p};
    if (!judge_all(&r, !root->backend)) /* "auto" compares devices that work */
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of candidates");
    /* One device needs one row: only candidates that would win are self-tested. */
    struct candidate *list = r.list;
    size_t i = choose(list, r.count);
    int status = QDOT_UNSUPPORTED;
    for (; i < r.count; i = choose(list, r.count)) {
        status = qdot_admit(list[i].device, list[i].row, list[i].reason, sizeof(list[i].reason));
        if (status == QDOT_OK || status == QDOT_NO_MEMORY)
            break;
        list[i].eligible = false;
    }
    if (i == r.count) {
        status = nobody(&r, err);
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

/* ---- explaining ------------------------------------------------------------------------------ */

static void explain_chosen(const struct request *r, const struct candidate *c, char *reason,
                           size_t bytes)
{
    const bool class = c->basis == QDOT_BY_CLASS;
    if (r->desc->kernel)
        snprintf(reason, bytes, "chosen: asked for by name");
    else if (c->override)
        snprintf(reason, bytes, "chosen: the tuning file's override");
    else
        snprintf(reason, bytes, "chosen: the %s%s%.60s%s%.30s",
                 c->basis == QDOT_BY_TABLE ? "first of the table that takes it"
                                           : "fastest measured",
                 class ? " of its class, " : "", class ? r->class : "",
                 r->missed[0] ? "; an override names no row of it: " : "", r->missed);
}

static void explain_one(const struct request *r, const struct candidate *c,
                        const struct candidate *best, struct qdot_candidate *out)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->device, sizeof(out->device), "%s", c->device->info.name);
    snprintf(out->row, sizeof(out->row), "%s/%s", c->device->backend->name, c->row->name);
    out->chosen = c == best;
    out->time_ns = c->eligible ? c->time_ns : 0;
    out->basis = !c->eligible ? QDOT_BY_TABLE : c->override ? QDOT_BY_OVERRIDE : c->basis;
    if (!c->eligible && c->override)
        snprintf(out->reason, sizeof(out->reason), "its override does not apply: %.150s",
                 c->reason);
    else if (*c->reason)
        snprintf(out->reason, sizeof(out->reason), "%s", c->reason);
    else if (out->chosen)
        explain_chosen(r, c, out->reason, sizeof(out->reason));
    else
        snprintf(out->reason, sizeof(out->reason), "%s",
                 c->override                      ? "a later override"
                 : best && best->override         ? "another row's override decides"
                 : best && best->basis > c->basis ? "others have better times"
                 : c->time_ns                     ? "slower"
                 : c->suits                       ? "able; comes later in the table"
                                                  : c->row->niche->text);
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
    struct request r = {.root = device, .desc = desc, .p = &p};
    if (!judge_all(&r, true))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the list of candidates");
    const size_t chosen = choose(r.list, r.count);
    const struct candidate *best = chosen < r.count ? &r.list[chosen] : NULL;
    for (size_t i = 0; i < r.count && i < capacity; i++)
        explain_one(&r, &r.list[i], best, &candidates[i]);
    *count = r.count;
    qdot_release(device, r.list);
    return QDOT_OK;
}
