/*
 * The smallest case that fails as a given one does. Greedy and deterministic: everything that is not
 * as usual at once, then by part and word; sizes to their least, else by halves to where the failure
 * begins. Passes over all of it until one changes nothing, a bound on tries, or the time is used up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform_problem.h"
#include "conform_process.h"
#include "conform_shrink.h"

enum { TRIES_MOST = 200, ALONE_TRIES = 3 };

/* What one try said. */
struct answer {
    bool began;
    enum status status;
    char reason[256], index[128], got[48], expected[48];
};

struct shrinking {
    const struct options *options;
    const struct result *result; /* the failure that is to be had again */
    double until, case_limit;    /* when to stop; seconds of one case */
    double deadline;             /* of the try that runs */
    struct conform_case best;
    struct answer answer, first; /* of the last try; of the first that failed */
    uint64_t tried[TRIES_MOST];  /* hashes of texts */
    size_t tries;
    bool over;
};

/* ---- one try --------------------------------------------------------------------------------- */

static void take_line(void *context, char *line)
{
    struct shrinking *s = context;
    struct answer *a = &s->answer;
    char *f[10];
    size_t count = line_split(line, f, 10);
    if (count == 3 && strcmp(f[0], "case") == 0) {
        a->began = true;
        s->deadline = process_now() + s->case_limit;
    }
    if (count != 10 || strcmp(f[0], "result") != 0 || !status_named(f[3], &a->status))
        return;
    const char *first = strstr(f[4], CONFORM_FIRST);
    snprintf(a->reason, sizeof(a->reason), "%s", first ? first + strlen(CONFORM_FIRST) : f[4]);
    snprintf(a->index, sizeof(a->index), "%s", f[5]);
    snprintf(a->got, sizeof(a->got), "%s", f[6]);
    snprintf(a->expected, sizeof(a->expected), "%s", f[7]);
}

static void run_try(struct shrinking *s, const char *problem)
{
    const struct options *o = s->options;
    struct arguments a = {.count = 0};
    char reason[128];
    arguments_add(&a, "qdot");
    arguments_add(&a, "conform");
    const struct {
        const char *name, *value;
    } texts[] = {{"--child", "cases"},
                 {"--device", s->result->device},
                 {"--kernel", s->result->kernel},
                 {"--problem", problem},
                 {"--fault", o->fault}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].value) {
            arguments_add(&a, "%s", texts[i].name);
            arguments_add(&a, "%s", texts[i].value);
        }
    arguments_add(&a, "--geometry");
    arguments_add(&a, "1x1x1"); /* a problem needs none */
    arguments_add(&a, "--seed");
    arguments_add(&a, "%llu", (unsigned long long)s->best.data);
    if (o->threads) {
        arguments_add(&a, "--threads");
        arguments_add(&a, "%zu", o->threads);
    }
    if (o->tasks)
        arguments_add(&a, "--tasks");
    s->answer = (struct answer){.status = STATUS_CRASH};
    s->deadline = s->until + s->case_limit; /* of opening the device */
    enum process_end end = process_run(&a, &s->deadline, take_line, s, reason, sizeof(reason));
    if (end == PROCESS_ENDED)
        return;
    s->answer.status = end == PROCESS_LATE ? STATUS_TIMEOUT : STATUS_CRASH;
    if (end == PROCESS_LATE && s->answer.began)
        snprintf(reason, sizeof(reason), "not finished after %.3g s", s->case_limit);
    snprintf(s->answer.reason, sizeof(s->answer.reason), "%s", reason);
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

/* The kind of a failure is its reason up to what differs from case to case. */
static bool same_way(const struct answer *a, const struct answer *b)
{
    return a->status == b->status && a->began == b->began &&
           (a->status == STATUS_TIMEOUT ||
            (strcspn(a->reason, ":") == strcspn(b->reason, ":") &&
             strncmp(a->reason, b->reason, strcspn(a->reason, ":")) == 0));
}

/* Is this case one, not tried yet, and does it fail in the same way? Then it is the best. */
static bool fails(struct shrinking *s, const struct conform_case *candidate)
{
    struct conform_case c = *candidate;
    char text[PROBLEM_TEXT], wrong[128];
    if (!problem_settle(&c, wrong, sizeof(wrong)))
        return false;
    problem_print(&c, text, sizeof(text));
    const uint64_t hash = hash_of(text);
    for (size_t i = 0; i < s->tries; i++)
        if (s->tried[i] == hash)
            return false;
    s->over = s->over || s->tries == TRIES_MOST || process_now() > s->until;
    if (s->over)
        return false;
    s->tried[s->tries++] = hash;
    run_try(s, text);
    if (!same_way(&s->answer, &s->first))
        return false;
    s->best = c;
    s->first = s->answer;
    return true;
}

/* ---- what is made simpler -------------------------------------------------------------------- */

static void plain_output(struct conform_case *c)
{
    if (case_is_product(c))
        c->out_type = QDOT_S32;
    for (size_t i = 0; i < problem_words(); i++)
        if (problem_part(i) == PART_OUTPUT)
            problem_usual(c, i);
}

static void usual_windows(struct conform_case *c)
{
    for (size_t i = 0; i < problem_words(); i++)
        if (problem_part(i) == PART_CONV)
            problem_usual(c, i);
}

static bool usual_part(struct shrinking *s, enum problem_part part)
{
    struct conform_case c = s->best;
    for (size_t i = 0; i < problem_words(); i++)
        if (problem_part(i) == part)
            problem_usual(&c, i);
    return fails(s, &c);
}

static bool usual_words(struct shrinking *s)
{
    struct conform_case all = s->best;
    bool changed = false;
    plain_output(&all);
    for (size_t i = 0; i < problem_words(); i++)
        if (problem_part(i) < PART_CONV)
            problem_usual(&all, i);
    changed |= fails(s, &all);
    struct conform_case plain = s->best;
    plain_output(&plain);
    changed |= fails(s, &plain);
    for (enum problem_part part = PART_RUNS; part <= PART_CONV; part++)
        changed |= usual_part(s, part);
    for (size_t i = 0; i < problem_words(); i++) {
        struct conform_case c = s->best;
        if (problem_part(i) < PART_FILLS)
            problem_usual(&c, i);
        changed |= fails(s, &c);
    }
    return changed;
}

/* Values a person can add up: all one, or small; of the usual types. */
static bool small_elements(struct shrinking *s)
{
    struct conform_case c = s->best;
    c.elements.type = QDOT_U8;
    bool changed = fails(s, &c);
    c = s->best;
    c.elements.steps = STEPS_POWERS;
    changed |= fails(s, &c);
    c = s->best;
    c.elements.values = VALUES_SMALL;
    return fails(s, &c) || changed;
}

static bool small_values(struct shrinking *s)
{
    static const enum fill order[] = {FILL_CONSTANT, FILL_SMALL};
    struct conform_case types = s->best;
    if (s->best.kind == QDOT_QUANTIZE)
        return small_elements(s);
    types.a_type = QDOT_U8;
    types.b_type = QDOT_S8;
    bool changed = fails(s, &types);
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
            struct conform_case c = s->best;
            enum fill *fill = which ? &c.b_fill : &c.a_fill;
            uint8_t *byte = which ? &c.b_byte : &c.a_byte;
            if (i > 0 && (*fill == FILL_CONSTANT || *fill == order[i]))
                break;
            *fill = order[i];
            *byte = 1;
            changed |= fails(s, &c);
        }
    return changed;
}

/* A size to be made small, of any member: channels are counted in a group. */
enum dim {
    DIM_RUNS,
    DIM_M,
    DIM_N,
    DIM_K,
    DIM_OUTER,
    DIM_AXIS,
    DIM_INNER,
    DIM_GROUP,
    DIM_BATCH,
    DIM_HEIGHT,
    DIM_WIDTH,
    DIM_GROUPS,
    DIM_OUT,
    DIM_KERNEL_H,
    DIM_KERNEL_W,
    DIM_IN,
    DIM_MAP, /* and the next ones: of a map's dimensions, then of the strides of each tensor */
    DIMS = DIM_MAP + 4 * QDOT_MAP_RANK
};

/* The member; of channels as many as all groups have. */
static size_t *member(struct conform_case *c, enum dim dim)
{
    struct qdot_conv *v = &c->conv;
    struct elements_case *e = &c->elements;
    struct qdot_map *m = &c->map;
    if (dim >= DIM_MAP) {
        const size_t i = (size_t)(dim - DIM_MAP);
        size_t *const arrays[] = {m->dims, m->a_stride, m->b_stride, m->out_stride};
        return arrays[i / QDOT_MAP_RANK] + i % QDOT_MAP_RANK;
    }
    return (size_t *const[DIM_MAP]){
        &c->runs,         &c->m,        &c->n,        &c->k,       &e->outer, &e->axis,
        &e->inner,        &e->group,    &v->batch,    &v->height,  &v->width, &v->groups,
        &v->out_channels, &v->kernel_h, &v->kernel_w, &v->channels}[dim];
}

static bool in_groups(enum dim dim)
{
    return dim == DIM_OUT || dim == DIM_IN;
}

static bool has_windows(const struct conform_case *c)
{
    return c->kind == QDOT_CONV || c->kind == QDOT_MAX_POOL || c->kind == QDOT_AVERAGE_POOL;
}

static bool has_dim(const struct conform_case *c, enum dim dim)
{
    const size_t of_map = (size_t)(dim >= DIM_MAP ? dim - DIM_MAP : 0) % QDOT_MAP_RANK;
    return dim == DIM_RUNS                       ? true
           : dim <= DIM_K                        ? c->kind == QDOT_GEMM
           : dim < DIM_GROUP                     ? c->kind == QDOT_QUANTIZE
           : dim == DIM_GROUP                    ? c->kind == QDOT_QUANTIZE && c->elements.group
           : dim == DIM_GROUPS || dim == DIM_OUT ? c->kind == QDOT_CONV
           : dim < DIM_MAP                       ? has_windows(c)
                                                 : c->kind == QDOT_MAP && of_map < c->map.rank;
}

static size_t size_of(const struct conform_case *c, enum dim dim)
{
    struct conform_case copy = *c;
    return !has_dim(c, dim) ? 1 : *member(&copy, dim) / (in_groups(dim) ? c->conv.groups : 1);
}

static struct conform_case with_size(const struct conform_case *from, enum dim dim, size_t value)
{
    struct conform_case c = *from;
    *member(&c, dim) = value * (in_groups(dim) ? c.conv.groups : 1);
    if (dim == DIM_GROUPS) {
        c.conv.channels = value * size_of(from, DIM_IN);
        c.conv.out_channels = value * size_of(from, DIM_OUT);
    }
    return c;
}

/* To 1, else to where failures begin, as if all larger ones failed. 0 is a stride of what repeats. */
static bool small_size(struct shrinking *s, enum dim dim)
{
    size_t below = 1, above = size_of(&s->best, dim);
    bool changed = false;
    if (above <= 1)
        return false;
    struct conform_case c = with_size(&s->best, dim, 1);
    if (fails(s, &c))
        return true;
    while (above - below > 1 && !s->over) {
        size_t middle = below + (above - below) / 2;
        c = with_size(&s->best, dim, middle);
        if (fails(s, &c)) {
            above = middle;
            changed = true;
        } else {
            below = middle;
        }
    }
    return changed;
}

/* Strides and such that could not be as usual, each by itself. */
static bool simple_axes(struct shrinking *s)
{
    const size_t usual[] = {1, 1, 1, 1, 0, 0, 0, 0, 0, 0};
    bool changed = false;
    if (!has_windows(&s->best))
        return false;
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        struct conform_case c = s->best;
        struct qdot_conv *w = &c.conv;
        size_t *const axes[] = {&w->stride_h,     &w->stride_w,    &w->dilation_h, &w->dilation_w,
                                &w->pad_top,      &w->pad_left,    &w->pad_bottom, &w->pad_right,
                                &w->output_pad_h, &w->output_pad_w};
        *axes[i] = usual[i];
        changed |= fails(s, &c); /* which has tried it, if that is what it was */
    }
    return changed;
}

/* As many elements in one line, whose length can be any number of them. */
static void elements_in_line(struct elements_case *e)
{
    e->inner *= e->outer * e->axis;
    e->outer = e->axis = 1;
    e->each = false;
    e->group = 0;
}

static void map_in_line(struct qdot_map *m)
{
    for (size_t d = 1; d < m->rank; d++)
        m->dims[0] *= m->dims[d];
    m->rank = m->a_stride[0] = m->b_stride[0] = m->out_stride[0] = 1;
}

/* Channels of one pixel. */
static void pool_in_line(struct conform_case *c)
{
    struct qdot_conv *v = &c->conv;
    size_t height, width;
    if (qdot_conv_output(v, &height, &width, NULL))
        return;
    usual_windows(c);
    v->channels *= v->batch * height * width;
    v->batch = v->height = v->width = v->kernel_h = v->kernel_w = 1;
}

static bool one_line(struct shrinking *s)
{
    struct conform_case c = s->best;
    if (c.kind == QDOT_QUANTIZE)
        elements_in_line(&c.elements);
    else if (c.kind == QDOT_MAP)
        map_in_line(&c.map);
    else if (c.kind == QDOT_MAX_POOL || c.kind == QDOT_AVERAGE_POOL)
        pool_in_line(&c);
    return fails(s, &c); /* of others it is the best one, which has been tried */
}

static bool one_operand(struct shrinking *s)
{
    struct conform_case c = s->best;
    c.map.operands = 1;
    c.table = false;
    return c.kind == QDOT_MAP && fails(s, &c);
}

/* Without a dimension; from the last one on, so that what runs have less of stays. */
static bool fewer_dimensions(struct shrinking *s)
{
    bool changed = false;
    if (s->best.kind != QDOT_MAP)
        return false;
    for (size_t d = s->best.map.rank; s->best.map.rank > 1 && d-- > 0;) {
        struct conform_case c = s->best;
        struct qdot_map *m = &c.map;
        m->rank--;
        for (size_t i = d; i < m->rank; i++) {
            m->dims[i] = m->dims[i + 1];
            m->a_stride[i] = m->a_stride[i + 1];
            m->b_stride[i] = m->b_stride[i + 1];
            m->out_stride[i] = m->out_stride[i + 1];
        }
        changed |= fails(s, &c);
    }
    return changed;
}

/* Without gaps: dimensions in the order in which they lie, or as they are counted. What repeats, does. */
static void close_gaps(const struct qdot_map *m, size_t *stride, bool as_counted)
{
    bool done[QDOT_MAP_RANK] = {false};
    for (size_t i = 0, reach = 1; i < m->rank; i++) {
        size_t next = m->rank;
        for (size_t d = m->rank; d-- > 0;)
            if (!done[d] && (next == m->rank || (!as_counted && stride[d] < stride[next])))
                next = d;
        done[next] = true;
        if (stride[next]) {
            stride[next] = reach;
            reach *= m->dims[next];
        }
    }
}

static bool simple_strides(struct shrinking *s)
{
    bool changed = false;
    if (s->best.kind != QDOT_MAP)
        return false;
    for (size_t i = 0; i < 8; i++) {
        struct conform_case c = s->best;
        struct qdot_map *m = &c.map;
        size_t *const strides[] = {m->a_stride, m->b_stride, m->out_stride};
        for (size_t t = 0; t < 3; t++) /* of all, then of each */
            if (i / 2 == 0 || t == i / 2 - 1)
                close_gaps(m, strides[t], i % 2 == 0);
        changed |= fails(s, &c);
    }
    return changed;
}

/* As many products by a kernel of 1x1, whose channels can have any number of them. */
static bool one_tap(struct shrinking *s)
{
    struct conform_case c = s->best;
    struct qdot_conv *v = &c.conv;
    if (c.kind != QDOT_CONV || v->kernel_h * v->kernel_w == 1)
        return false;
    usual_windows(&c);
    v->batch = v->height = v->width = v->kernel_h = v->kernel_w = v->out_channels = 1;
    v->channels = s->best.k;
    return fails(s, &c);
}

static void reduce(struct shrinking *s)
{
    for (bool changed = true; changed && !s->over;) {
        changed = usual_words(s);
        changed |= one_tap(s);
        changed |= one_line(s);
        changed |= one_operand(s);
        changed |= fewer_dimensions(s);
        for (enum dim dim = DIM_RUNS; dim < DIMS; dim++)
            changed |= small_size(s, dim);
        changed |= simple_strides(s);
        changed |= simple_axes(s);
        changed |= small_values(s);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* As it failed, but alone: what depends on cases before it, or on chance, has no smallest case. */
static bool fails_alone(struct shrinking *s)
{
    char text[PROBLEM_TEXT];
    problem_print(&s->best, text, sizeof(text));
    for (size_t i = 0; i < ALONE_TRIES; i++) {
        s->tried[s->tries++] = hash_of(text);
        run_try(s, text);
        s->first = s->answer;
        if (s->answer.status == s->result->status && s->answer.began)
            return true;
        if (process_now() > s->until)
            break;
    }
    return false;
}

/* A small limit takes what is slow, for what a driver compiles, for what hangs: a larger one knows. */
static bool hangs(struct shrinking *s, double limit)
{
    char text[PROBLEM_TEXT];
    problem_print(&s->best, text, sizeof(text));
    s->case_limit = limit;
    run_try(s, text);
    s->first = s->answer;
    return s->answer.status == STATUS_TIMEOUT && s->answer.began;
}

static void tell(const struct shrinking *s, struct shrunk *to, bool again, double seconds)
{
    const struct answer *a = &s->first;
    problem_print(&s->best, to->problem, sizeof(to->problem));
    to->tries = s->tries;
    to->complete = again && !s->over;
    to->again = again;
    to->seconds = seconds;
    if (!again) {
        snprintf(to->reason, sizeof(to->reason),
                 s->result->status == STATUS_TIMEOUT ? "alone, or made smaller, this case ends"
                                                     : "alone, this case does not fail");
        return;
    }
    snprintf(to->reason, sizeof(to->reason), "%s", a->reason);
    snprintf(to->index, sizeof(to->index), "%s", a->index);
    snprintf(to->got, sizeof(to->got), "%s", a->got);
    snprintf(to->expected, sizeof(to->expected), "%s", a->expected);
}

void shrink(const struct options *o, const struct conform_case *c, double seconds,
            struct result *result)
{
    const double begin = process_now();
    const double most = (double)o->case_timeout;
    /* A hang costs its limit each time that it is found again. */
    const double limit = result->status == STATUS_TIMEOUT ? seconds / 10 : seconds;
    struct shrinking s = {.options = o,
                          .result = result,
                          .until = begin + seconds,
                          .case_limit = limit < 1      ? 1
                                        : limit < most ? limit
                                                       : most,
                          .best = *c};
    char wrong[128];
    if (!problem_settle(&s.best, wrong, sizeof(wrong)))
        return; /* a case that --problem does not take */
    bool again = fails_alone(&s);
    if (again)
        reduce(&s);
    if (again && result->status == STATUS_TIMEOUT &&
        !hangs(&s, seconds / 2 < most ? seconds / 2 : most)) {
        again = false;
        s.best = *c;
    }
    tell(&s, &result->smallest, again, process_now() - begin);
    if (again)
        replay_problem(&result->smallest.replay, o, result, result->smallest.problem, s.best.data);
}
