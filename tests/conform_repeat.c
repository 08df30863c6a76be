/* The case groups that run an op again and again, and with each number of threads: one result. */
#include "conform_make.h"

enum { RUNS = 100, FEW_RUNS = 10, THREADS = 16, CASES = 2 };

static size_t capped(const struct geometry *g, size_t x)
{
    return g->small && x > 40 ? 40 : x;
}

/* Several tiles each way, so that threads have something to share. */
static void make_shape(const struct geometry *g, struct random *r, struct conform_case *c)
{
    c->m = capped(g, 3 * g->mr + random_between(r, 1, 9));
    c->n = capped(g, 2 * g->nr + random_between(r, 1, 9));
    c->k = g->small ? 37 : random_between(r, 100, 300);
}

/* One with sums as they are, one made into bytes. */
static void make_sort(struct random *r, struct conform_case *c, size_t index)
{
    make_types(c, random_below(r, 4) + (index % CASES ? 8 + 4 * random_below(r, 2) : 0));
    make_output(r, c);
    c->a_zero = make_zero(r);
    c->b_zero = make_zero(r);
    c->bias = true;
}

static void repeat(const struct geometry *g, struct conform_case *c)
{
    c->repeats = (g->small ? FEW_RUNS : RUNS) - 1;
}

bool gemm_repeat(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= CASES)
        return false;
    make_shape(g, r, c);
    make_sort(r, c, index);
    repeat(g, c);
    return true;
}

bool conv_repeat(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= CASES)
        return false;
    geometry_any(g, r, &c->conv);
    make_sort(r, c, index);
    repeat(g, c);
    return true;
}

/* 1, 2, ... threads, each against the reference. */
static bool make_counts(size_t index, struct conform_case *c)
{
    if (index >= THREADS)
        return false;
    c->threads = 1 + index;
    c->repeats = FEW_RUNS - 1;
    return true;
}

bool gemm_counts(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (!make_counts(index, c))
        return false;
    make_shape(g, r, c);
    make_sort(r, c, index);
    return true;
}

bool conv_counts(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (!make_counts(index, c))
        return false;
    geometry_any(g, r, &c->conv);
    make_sort(r, c, index);
    return true;
}
