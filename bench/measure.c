#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "measure.h"
#include "peak.h"

enum {
    TURNS = 4,
    SAMPLES = 256,   /* kept by a contestant; a sample is a batch of runs */
    MIN_SAMPLES = 3, /* a median of fewer says little */
};
/* At most, of a batch: shorter than what the scheduler gives a process, so that another process
 * breaks into few samples, which the median drops, instead of into each. */
#define SAMPLE_NS 2e6
#define SETTLE_NS 2000000     /* a look at what runs */
#define SETTLE_IDLE_NS 100000 /* of processor time in that: nothing runs */
enum { SETTLE_LOOKS = 60 };   /* then whatever runs is there to stay */

struct state {
    double sample[SAMPLES]; /* ns of one run */
    size_t samples;
    size_t batch;
    double cpu_ns;
};

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int bench_fail(struct qdot_error *err, int status, const char *format, ...)
{
    if (err) {
        va_list list;
        err->status = status;
        va_start(list, format);
        vsnprintf(err->text, sizeof(err->text), format, list);
        va_end(list);
    }
    return status;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void measure_settle(void)
{
    const struct timespec look = {0, SETTLE_NS};
    for (int i = 0; i < SETTLE_LOOKS; i++) {
        const uint64_t begin = cpu_now_ns();
        nanosleep(&look, NULL);
        if (cpu_now_ns() - begin < SETTLE_IDLE_NS)
            return;
    }
}

/* Runs a batch as long as a sample should be. */
static int warm_up(struct contestant *c, struct state *s, double sample_ns, struct qdot_error *err)
{
    double ns = 0;
    for (s->batch = 1;;) {
        const uint64_t begin = bench_now_ns();
        const int status = c->run(c->self, s->batch, err);
        if (status != QDOT_OK)
            return status;
        ns = (double)(bench_now_ns() - begin);
        if (ns * 2 >= sample_ns || s->batch > SIZE_MAX / 64)
            break;
        const double factor = ns > 0 ? sample_ns / ns : 16;
        s->batch *= factor > 16 ? 16 : factor < 2 ? 2 : (size_t)factor;
    }
    return QDOT_OK;
}

/* Past SAMPLES a new sample takes the place of the oldest. */
static int turn(struct contestant *c, struct state *s, double turn_ns, double sample_ns,
                struct qdot_error *err)
{
    double spent = 0;
    /* A batch brings its data back into the caches first; a long run has no use for that. */
    int status = s->batch > 1 ? c->run(c->self, 1, err) : QDOT_OK;
    while (status == QDOT_OK && spent < turn_ns) {
        const uint64_t cpu = cpu_now_ns(), begin = bench_now_ns();
        status = c->run(c->self, s->batch, err);
        const double ns = (double)(bench_now_ns() - begin);
        s->cpu_ns += (double)(cpu_now_ns() - cpu);
        spent += ns;
        s->sample[s->samples++ % SAMPLES] = ns / (double)s->batch;
        c->iterations += s->batch;
        /* Whoever takes the processors away may make runs many times longer than the warm-up's:
         * then a batch sized by it would outlast any budget. */
        if (ns > 4 * sample_ns && s->batch > 1)
            s->batch = s->batch / 4 + 1;
    }
    return status;
}

static void summarise(struct contestant *c, struct state *s)
{
    const size_t count = s->samples < SAMPLES ? s->samples : SAMPLES;
    qsort(s->sample, count, sizeof(s->sample[0]), compare);
    c->min_ns = s->sample[0];
    c->median_ns =
        count % 2 ? s->sample[count / 2] : (s->sample[count / 2 - 1] + s->sample[count / 2]) / 2;
    c->cpu_ns = s->cpu_ns / (double)c->iterations;
}

int measure(struct contestant *contestants, size_t count, double seconds, struct qdot_error *err)
{
    const double total_ns = seconds * 1e9;
    const double sample_ns = total_ns / 16 < SAMPLE_NS ? total_ns / 16 : SAMPLE_NS;
    int status = QDOT_OK;
    if (count == 0)
        return QDOT_OK;
    struct state *states = calloc(count, sizeof(*states));
    if (!states)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for samples");
    for (size_t i = 0; status == QDOT_OK && i < count; i++) {
        contestants[i].iterations = 0;
        if (count > 1)
            measure_settle();
        status = warm_up(&contestants[i], &states[i], sample_ns, err);
    }
    for (int t = 0; status == QDOT_OK && t < TURNS; t++)
        for (size_t i = 0; status == QDOT_OK && i < count; i++) {
            if (count > 1)
                measure_settle();
            status = turn(&contestants[i], &states[i], total_ns / TURNS, sample_ns, err);
        }
    for (size_t i = 0; status == QDOT_OK && i < count; i++) {
        while (status == QDOT_OK && states[i].samples < MIN_SAMPLES)
            status = turn(&contestants[i], &states[i], 1, sample_ns, err);
        if (status == QDOT_OK)
            summarise(&contestants[i], &states[i]);
    }
    free(states);
    return status;
}
