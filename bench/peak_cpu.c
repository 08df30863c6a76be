/* Register loops, one for each level of instructions that the rows use; the fastest counts. And a
 * loop that reads memory. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peak.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum {
    ACCUMULATORS = 12, /* more than latency times ports of any of these instructions */
    CHUNK = 2000,      /* steps between two looks at the clock */
    REPEATS = 5,       /* the best counts: whatever else runs only lowers it */
};
#define PEAK_NS 30000000u
#define WARM_NS 10000000u
#define SLICE_NS 1000000u /* the best counts, as of the repeats; the scheduler breaks into few */

struct loop {
    const char *name;
    double ops; /* of one step: ACCUMULATORS instructions */
    int (*usable)(void);
    int32_t (*run)(size_t steps, int32_t seed);
};

/* Opaque to the compiler, which would otherwise compute the product of constants once. */
#define CHANGED(x) __asm__ volatile("" : "+x"(x))

#if defined(__x86_64__)

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static int has_avxvnni(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
           (a & 1u << 4);
}

static int has_avx512vnni(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

#define LOOP(name, features, vector, set, zero, step)                                 \
    __attribute__((target(features))) static int32_t name(size_t steps, int32_t seed) \
    {                                                                                 \
        vector a = set(seed), b = set(seed + 1), acc[ACCUMULATORS];                   \
        int32_t lanes[16] = {0};                                                      \
        for (int i = 0; i < ACCUMULATORS; i++)                                        \
            acc[i] = zero();                                                          \
        for (size_t s = 0; s < steps; s++) {                                          \
            _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++)           \
            {                                                                         \
                CHANGED(b);                                                           \
                acc[i] = step(acc[i], a, b);                                          \
            }                                                                         \
        }                                                                             \
        for (int i = 0; i < ACCUMULATORS; i++)                                        \
            a = acc[i] ^ a;                                                           \
        __builtin_memcpy(lanes, &a, sizeof(a));                                       \
        return lanes[0] ^ lanes[3];                                                   \
    }

#define MADD(acc, a, b) _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))
LOOP(loop_avx2, "avx2", __m256i, _mm256_set1_epi32, _mm256_setzero_si256, MADD)

LOOP(loop_avxvnni, "avx2,avxvnni", __m256i, _mm256_set1_epi32, _mm256_setzero_si256,
     _mm256_dpbusd_avx_epi32)

LOOP(loop_avx512vnni, "avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi32,
     _mm512_setzero_si512, _mm512_dpbusd_epi32)

#endif

static int always(void)
{
    return 1;
}

/* Plain C, as the portable row is: what the compiler makes of a dot product by fours for this
 * machine's baseline. */
static int32_t loop_portable(size_t steps, int32_t seed)
{
    int32_t acc[ACCUMULATORS] = {0};
    int8_t a[ACCUMULATORS * 4], b[4];
    for (int i = 0; i < ACCUMULATORS * 4; i++)
        a[i] = (int8_t)(seed + i);
    for (size_t s = 0; s < steps; s++) {
        for (int l = 0; l < 4; l++)
            b[l] = (int8_t)(s + (size_t)l);
        __asm__ volatile("" : : "r"(a) : "memory");
        for (int i = 0; i < ACCUMULATORS; i++)
            for (int l = 0; l < 4; l++)
                acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)(a[i * 4 + l] * b[l]));
    }
    for (int i = 1; i < ACCUMULATORS; i++)
        acc[0] ^= acc[i];
    return acc[0];
}

static const struct loop loops[] = {
#if defined(__x86_64__)
    {"vpdpbusd zmm", ACCUMULATORS * 128.0, has_avx512vnni, loop_avx512vnni},
    {"vpdpbusd ymm (AVX-VNNI)", ACCUMULATORS * 64.0, has_avxvnni, loop_avxvnni},
    {"vpmaddwd + vpaddd ymm", ACCUMULATORS * 32.0, has_avx2, loop_avx2},
#endif
    {"portable C", ACCUMULATORS * 8.0, always, loop_portable},
};

/* A word of each cache line brings in all of it. */
static int32_t read_lines(const uint8_t *memory, size_t bytes, size_t ahead)
{
    int32_t sum = 0;
    for (size_t i = 0; i < bytes; i += 64) {
        int32_t word;
        __builtin_prefetch(memory + i + ahead);
        memcpy(&word, memory + i, sizeof(word));
        sum ^= word;
    }
    return sum;
}

enum { WAIT, GO, LEAVE };

/* What all workers do: a loop in registers, or reading memory, each its own part. */
struct job {
    const struct loop *loop;
    const uint8_t *memory; /* NULL: the loop */
    size_t part_bytes, ahead;
};

struct worker {
    pthread_t thread;
    atomic_int *signal;
    const struct job *job;
    size_t number;
    double rate; /* the best: operations or bytes a nanosecond */
    int32_t sink;
};

/* One step: how many operations or bytes it was. */
static double step(struct worker *w)
{
    const struct job *job = w->job;
    if (job->memory) {
        w->sink ^=
            read_lines(job->memory + w->number * job->part_bytes, job->part_bytes, job->ahead);
        return (double)job->part_bytes;
    }
    w->sink ^= job->loop->run(CHUNK, w->sink);
    return CHUNK * job->loop->ops;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    uint64_t begin, now;
    int signal;
    while ((signal = atomic_load(w->signal)) == WAIT)
        sched_yield();
    if (signal == LEAVE)
        return NULL;
    for (begin = bench_now_ns(); (now = bench_now_ns()) - begin < WARM_NS;)
        step(w);
    for (begin = now; now - begin < PEAK_NS;) {
        const uint64_t slice = now;
        double done = 0;
        while ((now = bench_now_ns()) - slice < SLICE_NS)
            done += step(w);
        const double rate = done / (double)(now - slice);
        if (rate > w->rate)
            w->rate = rate;
    }
    return NULL;
}

/* The sum over 'threads' threads that run at the same time. */
static int measure(const struct job *job, size_t threads, double *rate, struct qdot_error *err)
{
    struct worker *workers = calloc(threads, sizeof(*workers));
    atomic_int signal;
    size_t started = 1; /* the caller is worker 0 */
    *rate = 0;
    if (!workers)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for %zu threads", threads);
    atomic_init(&signal, WAIT);
    for (size_t i = 0; i < threads; i++)
        workers[i] =
            (struct worker){.signal = &signal, .job = job, .number = i, .sink = (int32_t)i};
    for (; started < threads; started++)
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
    atomic_store(&signal, started == threads ? GO : LEAVE);
    work(&workers[0]);
    *rate = workers[0].rate;
    for (size_t i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        *rate += workers[i].rate;
    }
    free(workers);
    if (started < threads)
        return bench_fail(err, QDOT_NO_MEMORY, "cannot start %zu threads", threads);
    return QDOT_OK;
}

int peak_cpu(size_t threads, struct peak *peak, struct qdot_error *err)
{
    peak->gops = 0;
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        const struct job job = {.loop = &loops[i]};
        if (!loops[i].usable())
            continue;
        for (int repeat = 0; repeat < REPEATS; repeat++) {
            double gops;
            const int status = measure(&job, threads, &gops, err);
            if (status != QDOT_OK)
                return status;
            if (gops > peak->gops) {
                peak->gops = gops;
                snprintf(peak->name, sizeof(peak->name), "%s", loops[i].name);
            }
        }
    }
    return QDOT_OK;
}

int peak_cpu_stream(size_t threads, size_t bytes, double *rate, struct qdot_error *err)
{
    static const size_t ahead[] = {512, 8192}; /* suits caches; suits memory */
    struct job job = {.part_bytes = bytes / threads / 64 * 64};
    uint8_t *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    int status = QDOT_OK;
    *rate = 0;
    if (!memory)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory for %zu bytes", bytes);
    memset(memory, 1, bytes);
    job.memory = memory;
    for (int i = 0; status == QDOT_OK && i < 2 * REPEATS; i++) {
        double found;
        job.ahead = ahead[i % 2];
        status = measure(&job, threads, &found, err);
        if (found > *rate)
            *rate = found;
    }
    free(memory);
    return status;
}
