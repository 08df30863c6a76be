/* How long a row takes for a problem, here and now. */
#include <string.h>
#include <time.h>
#include "internal.h"

uint64_t qdot_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Operands of a measured run. Their values do not matter to the time; zeros are valid everywhere.
 * The declared M may be far more than any run has, and memory for it more than there is: only so
 * many rows are measured, and of a convolution images. */
#define TRIAL_BYTES ((size_t)128 << 20)
#define TRIAL_ROWS_MIN ((size_t)32)

static size_t trial_least(const struct qdot_problem *p)
{
    return p->op != QDOT_GEMM ? 1 : TRIAL_ROWS_MIN;
}

void qdot_trial_free(struct qdot_device *device, struct qdot_trial *t)
{
    void *const memory[] = {t->a, t->out, t->a_zero, t->row_scale, t->b};
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        qdot_release(device, memory[i]);
    for (size_t i = 0; i < sizeof(t->buffers) / sizeof(t->buffers[0]); i++)
        qdot_buffer_destroy(t->buffers[i]);
    memset(t, 0, sizeof(*t));
}

/* Zeros, in host memory or in that of the resident device. */
static bool operand(struct qdot_device *device, struct qdot_trial *t, size_t i, size_t bytes,
                    void **host)
{
    *host = qdot_alloc(device, bytes);
    if (!*host || !t->resident)
        return *host != NULL;
    const bool good =
        qdot_buffer_create(t->resident, bytes, NULL, &t->buffers[i], NULL) == QDOT_OK &&
        qdot_buffer_write(t->buffers[i], 0, *host, bytes, NULL) == QDOT_OK;
    qdot_release(device, *host);
    *host = NULL;
    return good;
}

bool qdot_trial_make(struct qdot_device *device, bool resident, const struct qdot_problem *p,
                     struct qdot_trial *t)
{
    const size_t out_bytes = p->unit_rows * p->n * p->out_bytes;
    const bool map = p->op == QDOT_MAP;
    memset(t, 0, sizeof(*t));
    t->resident = resident ? device : NULL;
    /* a_bytes and out_bytes are below 2^63 each: no overflow */
    t->m = TRIAL_BYTES / (p->a_bytes + out_bytes + 8);
    t->m = t->m < trial_least(p) ? trial_least(p) : t->m;
    t->m = t->m > p->units ? p->units : t->m;
    const struct qdot_mapping run = qdot_map_of_run(p, t->m);
    const size_t by_row = qdot_served_by(p->op) == QDOT_QUANTIZE ? qdot_parameters(p, t->m) : t->m;
    const size_t b_bytes = p->op == QDOT_FAKE_QUANTIZE_GRADIENT ? t->m * p->a_bytes
                           : map                                ? qdot_map_bytes(&run, QDOT_MAP_B)
                           : p->b_at_run ? p->ldb * (p->b_transposed ? p->n : p->k)
                                         : 0;
    const size_t a_all = map ? qdot_map_bytes(&run, QDOT_MAP_A) : t->m * p->a_bytes;
    const size_t out_all = map ? qdot_map_bytes(&run, QDOT_MAP_OUT) : t->m * out_bytes;
    t->a_zero = qdot_alloc(device, by_row * 4);
    t->row_scale = qdot_alloc(device, by_row * 4);
    return t->a_zero && t->row_scale && operand(device, t, 0, a_all, &t->a) &&
           operand(device, t, 1, out_all, &t->out) &&
           (!b_bytes || operand(device, t, 2, b_bytes, &t->b));
}

static uint64_t time_run(struct qdot_op *op, const struct qdot_trial *t, size_t m,
                         struct qdot_error *err)
{
    struct qdot_run run = {.m = m,
                           .a = {.host = t->a, .buffer = t->buffers[0]},
                           .out = {.host = t->out, .buffer = t->buffers[1]},
                           .b = {.host = t->b, .buffer = t->buffers[2]}};
    if (op->p.a_zero_per_row)
        run.a_zero.host = t->a_zero;
    if (op->p.row_scale)
        run.row_scale.host = t->row_scale;
    if (op->p.op == QDOT_DYNAMIC_QUANTIZE) {
        run.scale_out.host = t->row_scale;
        run.zero_out.host = t->a_zero;
    }
    if (op->p.elements.scale_at_run)
        run.scale.host = t->row_scale; /* zeros: whatever comes out, it takes as long */
    if (op->p.elements.zero_at_run)
        run.zero.host = t->a_zero;
    const uint64_t start = qdot_now_ns();
    if (qdot_op_run(op, &run, err) != QDOT_OK ||
        (t->resident && qdot_sync(t->resident, err) != QDOT_OK))
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
static uint64_t least_time(struct qdot_op *op, const struct qdot_trial *t, size_t m, int runs,
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

/* A slow device never runs all of it: M grows from 32 rows or one image, and what is three times
 * slower than the best stops there, by extrapolation. */
uint64_t qdot_measure(struct qdot_device *device, const struct qdot_row *row,
                      const struct qdot_op_desc *desc, const struct qdot_problem *p,
                      const struct qdot_trial *t, uint64_t best, struct qdot_error *err)
{
    struct qdot_op_desc own = *desc;
    struct qdot_op *op;
    own.workspace_at_run = 0;
    if (qdot_op_build(device, row, &own, p, &op, err) != QDOT_OK)
        return 0;
    size_t m = t->m < trial_least(p) ? t->m : trial_least(p);
    uint64_t once = time_run(op, t, m, err), before = 0, estimate = 0;
    if (once == 0)
        goto done;
    /* The first run may have compiled: slow as it is, one more tells. */
    int runs = best && once / 10 > best ? 1 : 3;
    for (size_t m_before = 0;; before = once, m_before = m, m = m > t->m / 8 ? t->m : m * 8) {
        once = least_time(op, t, m, runs, err);
        runs = 3;
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
