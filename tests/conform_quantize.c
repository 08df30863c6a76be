/* The case groups of rows for quantize and its kin. */
#include "conform_make.h"

/* ---- makers ---------------------------------------------------------------------------------- */

static const enum qdot_type types[] = {QDOT_U8, QDOT_S8, QDOT_U16, QDOT_S16,
                                       QDOT_U4, QDOT_S4, QDOT_S32};
enum { TYPES = 6, KINDS = 5 }; /* s32: to dequantize only */

static void make_kind(struct random *r, struct elements_case *e, size_t kind, size_t type)
{
    e->kind = (enum qdot_op_kind)(QDOT_QUANTIZE + kind % KINDS);
    e->type = types[type % TYPES];
    if (e->kind == QDOT_DYNAMIC_QUANTIZE)
        e->type = QDOT_U8;
    if (e->kind == QDOT_DEQUANTIZE && random_below(r, 7) == 0)
        e->type = QDOT_S32;
}

void elements_settle(struct elements_case *e)
{
    const bool dynamic = e->kind == QDOT_DYNAMIC_QUANTIZE;
    if (e->kind == QDOT_DEQUANTIZE || dynamic)
        e->reciprocal = e->narrow = false;
    if (dynamic) {
        e->group = 0;
        e->outer = e->each ? 1 : e->outer;
        e->zero = false;
    }
    e->scale = !dynamic && (e->scale || e->group || e->each || e->zero);
    if (e->type == QDOT_S32)
        e->zero = false;
    e->group = e->group > e->axis ? e->axis : e->group;
    e->each &= !e->group;
    if (!dynamic && e->values == VALUES_ONE)
        e->values = VALUES_MIXED;
    e->scale_at_run &= e->scale;
    e->zero_at_run &= e->zero;
}

static void make_shape(const struct geometry *g, struct random *r, struct elements_case *e,
                       size_t most)
{
    most = g->small && most > 9 ? 9 : most;
    e->outer = random_between(r, 1, 3);
    e->axis = random_between(r, 1, most);
    e->inner = random_below(r, 2) ? 1 : random_between(r, 1, most);
    const size_t how = random_below(r, 4);
    e->each = how == 1;
    e->group = how == 2 ? random_between(r, 1, e->axis) : 0;
}

static void make_values(struct random *r, struct elements_case *e)
{
    e->reciprocal = random_below(r, 3) == 0;
    e->scale = random_below(r, 8) != 0;
    e->zero = random_below(r, 3) != 0;
    e->scale_at_run = random_below(r, 3) == 0;
    e->zero_at_run = random_below(r, 3) == 0;
    e->narrow = random_below(r, 4) == 0;
    e->values = (enum values)random_below(r, VALUES_ONE);
    e->steps = (enum steps)random_below(r, STEPS_EXTREME + 1);
}

bool elements_values(const struct geometry *g, size_t index, struct random *r,
                     struct conform_case *c)
{
    struct elements_case *e = &c->elements;
    if (index >= KINDS * TYPES * 2 * 3 * 3)
        return false;
    make_kind(r, e, index, index / KINDS);
    *e = (struct elements_case){.kind = e->kind,
                                .type = e->type,
                                .outer = 1,
                                .axis = 7,
                                .inner = g->small ? 9 : 150,
                                .each = true,
                                .scale = true,
                                .zero = random_below(r, 2),
                                .reciprocal = index / (KINDS * TYPES) % 2,
                                .values = (enum values)(index / (KINDS * TYPES * 2) % 3),
                                .steps = (enum steps)(index / (KINDS * TYPES * 2 * 3))};
    elements_settle(e);
    return true;
}

bool elements_parameters(const struct geometry *g, size_t index, struct random *r,
                         struct conform_case *c)
{
    if (index >= KINDS * TYPES * 5)
        return false;
    struct elements_case *e = &c->elements;
    make_kind(r, e, index, index / KINDS);
    make_shape(g, r, e, 70);
    make_values(r, e);
    const size_t how = index / (KINDS * TYPES);
    e->each = how == 1 || how == 2;
    e->group = how > 2 ? random_between(r, 1, e->axis) : 0;
    e->inner = how % 2 ? 1 : random_between(r, 2, g->small ? 5 : 40);
    elements_settle(e);
    return true;
}

bool elements_tails(const struct geometry *g, size_t index, struct random *r,
                    struct conform_case *c)
{
    struct elements_case *e = &c->elements;
    const size_t most = g->small ? 20 : 2 * g->nr + 20;
    if (index >= 2 * most)
        return false;
    make_kind(r, e, random_below(r, KINDS), random_below(r, TYPES));
    make_values(r, e);
    e->outer = 1;
    e->axis = index < most ? 1 : 3;
    e->inner = index % most + 1;
    e->each = index >= most;
    elements_settle(e);
    return true;
}

bool elements_dynamic(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    struct elements_case *e = &c->elements;
    if (index >= 60)
        return false;
    e->kind = QDOT_DYNAMIC_QUANTIZE;
    e->type = QDOT_U8;
    e->outer = 1;
    e->axis = random_between(r, 1, 20);
    e->inner = random_between(r, 1, g->small ? 30 : index % 2 ? 3000 : 300);
    e->each = index / 2 % 2;
    e->values = (enum values)(index / 4 % 4);
    e->steps = (enum steps)(index / 16 % 3);
    if (!e->each)
        e->outer = random_between(r, 1, 3);
    return true;
}

static void make_any(const struct geometry *g, struct random *r, struct conform_case *c)
{
    struct elements_case *e = &c->elements;
    make_kind(r, e, random_below(r, KINDS), random_below(r, TYPES));
    make_shape(g, r, e, 60);
    make_values(r, e);
    elements_settle(e);
}

bool elements_memory(const struct geometry *g, size_t index, struct random *r,
                     struct conform_case *c)
{
    if (index >= 80)
        return false;
    make_any(g, r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

bool elements_buffers(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    if (index >= 60)
        return false;
    make_any(g, r, c);
    c->place = index % 3 ? PLACE_BUFFERS : PLACE_SHARED;
    c->runs = random_between(r, 1, RUNS_MAX);
    return true;
}

bool elements_wrapped(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    if (index >= 40)
        return false;
    make_any(g, r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = random_between(r, 1, 2);
    return true;
}

bool elements_random(const struct geometry *g, size_t index, struct random *r,
                     struct conform_case *c)
{
    if (index >= 300)
        return false;
    make_any(g, r, c);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_between(r, 1, 3);
    return true;
}

/* Large enough that all 7 threads have a part; pieces of rows, and rows. */
bool elements_threads(const struct geometry *g, size_t index, struct random *r,
                      struct conform_case *c)
{
    struct elements_case *e = &c->elements;
    if (g->small || index >= 40)
        return false;
    make_any(g, r, c);
    make_kind(r, e, index / 4, index / 4 + index / 20);
    e->outer = 1;
    e->axis = (const size_t[]){1, 3, 40, 200}[index % 4];
    e->inner = 120001 / e->axis;
    e->group = e->group > e->axis ? e->axis : e->group;
    elements_settle(e);
    c->threads = (const size_t[]){1, 2, 3, 7}[index / 4 % 4];
    c->runs = 2;
    return true;
}
