/* The CPU backend: its table of rows, the device, buffers; and how a run is shared by threads. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "bytes.h"
#include "cpu.h"
#include "quantize.h"

static const struct qdot_feature features[] = {
    {CPU_AVX512VBMI, "avx512vbmi"},
    {CPU_AVX512VNNI, "avx512vnni"},
    {CPU_AVXVNNI, "avxvnni"},
    {CPU_AVX2, "avx2"},
    {0, NULL},
};

#if defined(__x86_64__)
/* Summing along K pays for long groups and for adding up lanes, against a panel that is mostly
 * padding. */
static bool few_columns(const struct qdot_problem *p)
{
    return p->n <= 8 && p->k >= 128;
}

/* One tile of 8 rows, so that B passes by once; with 64 columns it would take two of 4. Two of 8 pay
 * against three only where B comes from beyond L2. What is packed in the run is in cache, and packed
 * quicker by whole cache lines. */
static bool eight_rows(const struct qdot_problem *p)
{
    const bool one = p->m == 7 || p->m == 8, two = p->m >= 13 && p->m <= 16;
    return !p->b_at_run && p->n >= 256 && (one || (two && p->n * p->k > (size_t)1 << 20));
}
static const struct qdot_niche eight = {
    .suits = eight_rows,
    .text = "for m of 7 and 8, 13 to 16 with a B above 1 MiB, n >= 256, B packed before"};
static const struct qdot_niche few = {.suits = few_columns, .text = "for n <= 8 and k >= 128"};
#endif

static const struct qdot_row rows[] = {
#if defined(__x86_64__)
    {.name = "gemm_4x4k64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .tight = true,
     .mr = 4,
     .nr = 4,
     .kr = 64,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .niche = &few,
     .impl = &cpu_kernel_4x4k64_avx512vnni},
    {.name = "gemm_8x48_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .tight = true,
     .mr = 8,
     .nr = 48,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .packer = &cpu_packer_k4_avx512vnni,
     .niche = &eight,
     .impl = &cpu_kernel_8x48_avx512vnni},
    {.name = "gemm_6x64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .tight = true,
     .mr = 6,
     .nr = 64,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .packer = &cpu_packer_k4_avx512vnni,
     .impl = &cpu_kernel_6x64_avx512vnni},
    {.name = "gemm_6x16_avxvnni",
     .needs = CPU_AVXVNNI,
     .tight = true,
     .mr = 6,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avxvnni},
    {.name = "gemm_6x16_avx2",
     .needs = CPU_AVX2,
     .tight = true,
     .mr = 6,
     .nr = 16,
     .kr = 2,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avx2},
#endif
    {.name = "gemm_12x16",
     .tight = true,
     .mr = 12,
     .nr = 16,
     .kr = 8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_12x16},

#if defined(__x86_64__)
    {.name = "depthwise_2x64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 2,
     .nr = 64,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .packer = &cpu_packer_k4_avx512vnni,
     .impl = &cpu_depthwise_2x64_avx512vnni},
    {.name = "depthwise_1x16_avx2",
     .needs = CPU_AVX2,
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 1,
     .nr = 16,
     .kr = 1,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_depthwise_1x16_avx2},
#endif
    {.name = "depthwise_1x16",
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 1,
     .nr = 16,
     .kr = 1,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_depthwise_1x16},

#if defined(__x86_64__)
    {.name = "conv_6x64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .op = QDOT_CONV,
     .lines = true,
     .tight = true,
     .mr = 6,
     .nr = 64,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .packer = &cpu_packer_k4_avx512vnni,
     .impl = &cpu_kernel_6x64_avx512vnni},
    {.name = "conv_6x16_avxvnni",
     .needs = CPU_AVXVNNI,
     .op = QDOT_CONV,
     .lines = true,
     .tight = true,
     .mr = 6,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avxvnni},
    {.name = "conv_6x16_avx2",
     .needs = CPU_AVX2,
     .op = QDOT_CONV,
     .lines = true,
     .tight = true,
     .mr = 6,
     .nr = 16,
     .kr = 2,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avx2},
#endif
    {.name = "conv_12x16",
     .op = QDOT_CONV,
     .lines = true,
     .tight = true,
     .mr = 12,
     .nr = 16,
     .kr = 8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_12x16},

#if defined(__x86_64__)
    {.name = "quantize_avx512",
     .op = QDOT_QUANTIZE,
     .needs = CPU_AVX512VNNI,
     .mr = 1,
     .nr = 64,
     .kr = 1,
     .impl = &cpu_elements_avx512},
    {.name = "quantize_avx2",
     .op = QDOT_QUANTIZE,
     .needs = CPU_AVX2,
     .mr = 1,
     .nr = 32,
     .kr = 1,
     .impl = &cpu_elements_avx2},
#endif
    {.name = "quantize", .op = QDOT_QUANTIZE, .mr = 1, .nr = 16, .kr = 1, .impl = &cpu_elements},

#if defined(__x86_64__)
    {.name = "map_avx512vbmi",
     .op = QDOT_MAP,
     .needs = CPU_AVX512VBMI,
     .mr = 1,
     .nr = 64,
     .kr = 1,
     .impl = &cpu_map_avx512vbmi},
#endif
    {.name = "map", .op = QDOT_MAP, .mr = 1, .nr = 64, .kr = 1, .impl = &cpu_map},

#if defined(__x86_64__)
    {.name = "max_pool_avx512",
     .op = QDOT_MAX_POOL,
     .needs = CPU_AVX512VNNI,
     .mr = 1,
     .nr = 64,
     .kr = 1,
     .impl = &cpu_pool_avx512},
    {.name = "max_pool_avx2",
     .op = QDOT_MAX_POOL,
     .needs = CPU_AVX2,
     .mr = 1,
     .nr = 32,
     .kr = 1,
     .impl = &cpu_pool_avx2},
#endif
    {.name = "max_pool", .op = QDOT_MAX_POOL, .mr = 1, .nr = 16, .kr = 1, .impl = &cpu_pool},
#if defined(__x86_64__)
    {.name = "average_pool_avx512",
     .op = QDOT_AVERAGE_POOL,
     .needs = CPU_AVX512VNNI,
     .mr = 1,
     .nr = 64,
     .kr = 1,
     .impl = &cpu_average_avx512},
    {.name = "average_pool_avx2",
     .op = QDOT_AVERAGE_POOL,
     .needs = CPU_AVX2,
     .mr = 1,
     .nr = 32,
     .kr = 1,
     .impl = &cpu_average_avx2},
#endif
    {.name = "average_pool",
     .op = QDOT_AVERAGE_POOL,
     .mr = 1,
     .nr = 16,
     .kr = 1,
     .impl = &cpu_average},
};

/* ---- device ---------------------------------------------------------------------------------- */

static int cpu_describe(size_t index, struct qdot_device_info *info, struct qdot_error *err)
{
    (void)err;
    if (index > 0)
        return QDOT_END;
    info->available = 1;
    char name[CPU_NAME_BYTES];
    cpu_name(name);
    snprintf(info->description, sizeof(info->description), "%s",
             *name ? name : "unknown processor");
    snprintf(info->driver, sizeof(info->driver), "qdot %s", qdot_version());
    const long pages = sysconf(_SC_PHYS_PAGES);
    info->compute_units = qdot_usable_processors();
    info->memory_bytes = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    return QDOT_OK;
}

/* The size of a cache as the caller wants it taken; 'usual' where the system knows of less than
 * 'least'. */
static size_t cache_bytes(const struct qdot_device *device, int name, long least, size_t usual)
{
    const long found = sysconf(name);
    return (found >= least ? (size_t)found : usual) * device->cache_percent / 100;
}

static int cpu_open(struct qdot_device *device, size_t index, struct qdot_error *err)
{
    (void)index;
    struct cpu_device *impl = qdot_alloc(device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    impl->l2_bytes = cache_bytes(device, _SC_LEVEL2_CACHE_SIZE, 1 << 18, 1u << 20);
    device->impl = impl;
    device->features = cpu_features();
    return QDOT_OK;
}

static void cpu_close(struct qdot_device *device)
{
    qdot_release(device, device->impl);
}

static int cpu_sync(struct qdot_device *device, struct qdot_error *err)
{
    (void)device, (void)err; /* a run is complete when it returns */
    return QDOT_OK;
}

static bool cpu_fits(struct qdot_device *device, const struct qdot_row *row,
                     const struct qdot_problem *p, char *reason, size_t reason_bytes)
{
    const struct cpu_device *impl = device->impl;
    return !p || row->op != QDOT_CONV ||
           cpu_conv_fits(row, p, impl->l2_bytes, reason, reason_bytes);
}

/* ---- work ------------------------------------------------------------------------------------ */

/* In multiply-adds of the quickest tile. Below so many (about 2 us) an op is not worth a second
 * thread; above, each thread has at least so many. */
#define FORK_WORK ((size_t)1 << 20)
#define THREAD_WORK ((size_t)1 << 18)

/* The output stage needs round-to-nearest and no flush to zero, whatever the caller's mode; flags of
 * what happened before, the low six bits, are no mode. */
#define FLOAT_MODE 0x1f80u
#define FLOAT_FLAGS 0x3fu

static unsigned float_state_enter(void)
{
#if defined(__x86_64__)
    const unsigned state = _mm_getcsr();
    if ((state & ~FLOAT_FLAGS) != FLOAT_MODE)
        _mm_setcsr(FLOAT_MODE);
    return state;
#elif defined(__aarch64__)
    uint64_t state; /* 0: as IEEE 754 has it */
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    if (state != 0)
        __asm__ volatile("msr fpcr, xzr");
    return (unsigned)state;
#else
    return 0;
#endif
}

static void float_state_leave(unsigned state)
{
#if defined(__x86_64__)
    if ((state & ~FLOAT_FLAGS) != FLOAT_MODE)
        _mm_setcsr(state);
#elif defined(__aarch64__)
    if (state != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)state));
#else
    (void)state;
#endif
}

/* Each thread has items of its own, the same in every run, so that what it wrote and packed last time
 * is still in its caches; when it is done it takes from the others. */
enum { SHARES = 64 };
struct share {
    _Alignas(64) atomic_size_t next;
    size_t end;
};
struct work {
    cpu_item_fn *item;
    void *run;
    size_t shares;
    struct share *share;
};

static void work_task(void *arg, size_t thread)
{
    const struct work *work = arg;
    const unsigned state = float_state_enter();
    for (size_t i = 0; i < work->shares; i++) {
        struct share *share = &work->share[(thread + i) % work->shares];
        for (;;) {
            const size_t item = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
            if (item >= share->end)
                break;
            work->item(work->run, thread, item);
        }
    }
    float_state_leave(state);
}

/* Small ops are done before an atomic addition is. */
static void work_alone(size_t count, cpu_item_fn *item, void *run)
{
    const unsigned state = float_state_enter();
    for (size_t i = 0; i < count; i++)
        item(run, 0, i);
    float_state_leave(state);
}

size_t cpu_threads_for(size_t threads, size_t a, size_t b, size_t c, size_t factor)
{
    size_t work;
    if (threads == 1)
        return 1;
    if (!qdot_mul_size(a, b, &work) || !qdot_mul_size(work, c, &work) ||
        !qdot_mul_size(work, factor, &work))
        work = SIZE_MAX;
    if (work < FORK_WORK)
        return 1;
    return threads < work / THREAD_WORK ? threads : work / THREAD_WORK;
}

size_t cpu_piece(size_t count, size_t most, size_t others, size_t threads)
{
    size_t best = most, least = SIZE_MAX;
    if (threads == 1)
        return most;
    for (size_t pieces = (count + most - 1) / most; pieces <= count; pieces++) {
        const size_t size = (count + pieces - 1) / pieces;
        const size_t items = others * ((count + size - 1) / size);
        /* What the busiest thread does, with a little for each item's beginning. */
        const size_t time = (items + threads - 1) / threads * (32 * size + 1);
        if (time < least) {
            least = time;
            best = size;
        }
        if (items >= 4 * threads)
            break;
    }
    return best;
}

static void work_together(const struct qdot_threads *pool, size_t threads, size_t count,
                          cpu_item_fn *item, void *run)
{
    struct share share[SHARES];
    struct work work = {
        .item = item, .run = run, .shares = threads < SHARES ? threads : SHARES, .share = share};
    for (size_t i = 0; i < work.shares; i++) {
        atomic_init(&share[i].next, count * i / work.shares);
        share[i].end = count * (i + 1) / work.shares;
    }
    pool->parallel_for(pool->ctx, work_task, &work, threads);
}

void cpu_share(const struct qdot_op *op, size_t threads, size_t count, cpu_item_fn *item, void *run)
{
    if (threads > count)
        threads = count;
    if (threads > 1)
        work_together(&op->threads, threads, count, item, run);
    else
        work_alone(count, item, run);
}

struct cpu_output cpu_output_of(const struct qdot_op *op)
{
    const struct qdot_problem *p = &op->p;
    return (struct cpu_output){
        .type = p->out_type,
        .bias = op->terms.bias,
        .b_neg = op->terms.any_b_neg ? op->terms.b_neg : NULL,
        .col_sum = p->a_zero_per_row ? op->terms.col_sum : NULL,
        .k = (uint32_t)p->k,
        .scale = op->terms.scale,
        .bias_f = op->terms.bias_f,
        .lo = (float)(p->clamp_lo - p->out_zero),
        .hi = (float)(p->clamp_hi - p->out_zero),
        .zero = p->out_zero,
        .clamp_lo = p->clamp_lo,
        .clamp_hi = p->clamp_hi,
        .rounding = p->rounding,
        .multiplier = op->terms.multiplier,
        .shift = op->terms.shift,
        .shifts_right = op->terms.shifts_right,
        .plain = (p->out_type == QDOT_S8 || p->out_type == QDOT_U8) && op->terms.most < 0x1p31f &&
                 p->clamp_lo == (p->out_type == QDOT_S8 ? -128 : 0) &&
                 p->clamp_hi == (p->out_type == QDOT_S8 ? 127 : 255),
    };
}

/* ---- ops ------------------------------------------------------------------------------------- */

static int cpu_prepare(struct qdot_op *op, struct qdot_error *err)
{
    return op->row->op == QDOT_QUANTIZE       ? cpu_elements_prepare(op, err)
           : op->row->op == QDOT_MAP          ? cpu_map_prepare(op, err)
           : op->row->op == QDOT_MAX_POOL     ? cpu_pool_prepare(op, err)
           : op->row->op == QDOT_AVERAGE_POOL ? cpu_average_prepare(op, err)
           : op->p.op == QDOT_CONV            ? cpu_conv_prepare(op, err)
                                              : cpu_gemm_prepare(op, err);
}

static void cpu_unprepare(struct qdot_op *op)
{
    if (!op->impl)
        return;
    if (op->row->op == QDOT_QUANTIZE)
        cpu_elements_unprepare(op);
    else if (op->p.op == QDOT_CONV)
        cpu_conv_unprepare(op);
    else if (op->p.op == QDOT_GEMM)
        cpu_gemm_unprepare(op);
    qdot_release(op->device, op->impl);
    op->impl = NULL;
}

static int cpu_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    (void)err;
    if (op->row->op == QDOT_QUANTIZE)
        cpu_elements_run(op, run);
    else if (op->row->op == QDOT_MAP)
        cpu_map_run(op, run);
    else if (op->row->op == QDOT_MAX_POOL)
        cpu_pool_run(op, run);
    else if (op->row->op == QDOT_AVERAGE_POOL)
        cpu_average_run(op, run);
    else if (op->p.op == QDOT_CONV)
        cpu_conv_run(op, run);
    else
        cpu_gemm_run(op, run);
    return QDOT_OK;
}

/* ---- buffers: host memory -------------------------------------------------------------------- */

static int cpu_buffer_create(struct qdot_buffer *buffer, void *host, struct qdot_error *err)
{
    buffer->owned = !host;
    buffer->impl = host ? host : qdot_alloc_raw(buffer->device, buffer->bytes);
    if (!buffer->impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a buffer of %zu bytes", buffer->bytes);
    return QDOT_OK;
}

static int cpu_buffer_write(struct qdot_buffer *buffer, size_t offset, const void *memory,
                            size_t bytes, struct qdot_error *err)
{
    (void)err;
    memcpy((char *)buffer->impl + offset, memory, bytes);
    return QDOT_OK;
}

static int cpu_buffer_read(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                           struct qdot_error *err)
{
    (void)err;
    memcpy(memory, (const char *)buffer->impl + offset, bytes);
    return QDOT_OK;
}

static void cpu_buffer_destroy(struct qdot_buffer *buffer)
{
    if (buffer->owned)
        qdot_release(buffer->device, buffer->impl);
}

const struct qdot_backend qdot_cpu_backend = {
    .name = "cpu",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .features = features,
    .describe = cpu_describe,
    .open = cpu_open,
    .close = cpu_close,
    .sync = cpu_sync,
    .fits = cpu_fits,
    .prepare = cpu_prepare,
    .unprepare = cpu_unprepare,
    .run = cpu_run,
    .buffer_create = cpu_buffer_create,
    .buffer_write = cpu_buffer_write,
    .buffer_read = cpu_buffer_read,
    .buffer_destroy = cpu_buffer_destroy,
};
