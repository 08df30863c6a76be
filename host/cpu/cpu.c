/*
 * The CPU backend: its table of rows, and the run of one GEMM over blocks and threads.
 *
 * A run is cut into items: a block of rows of A times a range of B's panels. Threads take items
 * from a counter; a thread stages its block of A into its own scratch, then walks the panels: per
 * panel the micro-kernel goes down the block's tiles, so that a panel of B stays in L2 while it is
 * used and each tile of A is read from L2 once a panel. Where K is so long that a panel would not
 * stay in half of L2, K is cut, and the block's sums wait in the scratch between the cuts.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "cpu.h"

static const struct qdot_feature features[] = {
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
static const struct qdot_niche few = {few_columns, "for n <= 8 and k >= 128"};
#endif

static const struct qdot_row rows[] = {
#if defined(__x86_64__)
    {.name = "gemm_4x4k64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .mr = 4,
     .nr = 4,
     .kr = 64,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .niche = &few,
     .impl = &cpu_kernel_4x4k64_avx512vnni},
    {.name = "gemm_6x64_avx512vnni",
     .needs = CPU_AVX512VNNI,
     .mr = 6,
     .nr = 64,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x64_avx512vnni},
    {.name = "gemm_6x16_avxvnni",
     .needs = CPU_AVXVNNI,
     .mr = 6,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_U8,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avxvnni},
    {.name = "gemm_6x16_avx2",
     .needs = CPU_AVX2,
     .mr = 6,
     .nr = 16,
     .kr = 2,
     .b_form = QDOT_S8,
     .impl = &cpu_kernel_6x16_avx2},
#endif
    {.name = "gemm_4x16", .mr = 4, .nr = 16, .kr = 1, .b_form = QDOT_S8, .impl = &cpu_kernel_4x16},
};

/* Workspace of all threads together stays under 4 MiB, whatever the shape. */
#define SCRATCH_LIMIT (3u << 20)
/* An item below this many multiply-adds is not worth a thread of its own (about 1 us). */
#define ITEM_PRODUCTS ((size_t)1 << 18)

struct cpu_device {
    size_t l2_bytes;
};

struct cpu_op {
    size_t threads;
    size_t cut_groups;   /* groups of a cut of K */
    size_t stage_groups; /* groups staged at once: all of K, or one cut when K is enormous */
    size_t stage_stride; /* bytes between staged rows */
    size_t block_rows;   /* rows of A in a block, at most; a multiple of mr */
    size_t scratch_bytes;
    uint8_t *scratch; /* a piece for each thread: staged A | acc | row_sum */
    size_t acc_offset, sum_offset;
    /* Only when B comes with the run: */
    void *panels;
    int32_t *col_sum, *bias;
};

struct cpu_run {
    const struct qdot_op *op;
    const struct cpu_op *impl;
    const struct cpu_kernel *kernel;
    const uint8_t *a;
    size_t lda;
    const uint8_t *panels;
    struct cpu_output output;
    size_t m, block_rows, row_blocks;
    size_t panel_count, panel_chunks;
    bool is_signed, sums;
    bool in_place; /* A is read where it lies: no flip, no widening, no row sums */
    uint8_t flip;
    atomic_size_t next;
    const void *b; /* B of this run, to be packed */
};

/* ---- device ---------------------------------------------------------------------------------- */

static int cpu_describe(size_t index, struct qdot_device_info *info, struct qdot_error *err)
{
    (void)err;
    if (index > 0)
        return QDOT_END;
    info->available = 1;
    snprintf(info->description, sizeof(info->description), "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file && fgets(line, sizeof(line), file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(info->description, sizeof(info->description), "%s", value + 2);
            break;
        }
    }
    if (file)
        fclose(file);
    snprintf(info->driver, sizeof(info->driver), "qdot %s", qdot_version());
    const long units = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES);
    info->compute_units = units > 0 ? (size_t)units : 0;
    info->memory_bytes = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    return QDOT_OK;
}

static int cpu_open(struct qdot_device *device, size_t index, struct qdot_error *err)
{
    (void)index;
    struct cpu_device *impl = qdot_alloc(device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    impl->l2_bytes = l2 >= 1 << 18 ? (size_t)l2 : 1u << 20;
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
    (void)device, (void)row, (void)p, (void)reason, (void)reason_bytes;
    return true;
}

/* ---- prepare --------------------------------------------------------------------------------- */

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* Blocking: see the top of the file. All divisions of K are by whole groups. */
static void choose_blocks(const struct qdot_op *op, struct cpu_op *impl, size_t l2)
{
    const struct qdot_row *row = op->row;
    const struct cpu_kernel *kernel = row->impl;
    const size_t groups = op->packed.k_groups, mr = row->mr;
    const size_t group_bytes = row->kr * kernel->a_bytes;
    const size_t panel_groups = l2 / 2 / ((size_t)row->nr * row->kr);
    const size_t cuts = (groups + panel_groups - 1) / panel_groups;
    const size_t budget = SCRATCH_LIMIT / impl->threads;
    impl->cut_groups = (groups + cuts - 1) / cuts;
    impl->stage_groups = groups;
    if (groups > budget / mr / group_bytes) { /* not one tile of A fits: stage it cut by cut */
        const size_t most = budget / mr / group_bytes;
        if (impl->cut_groups > most)
            impl->cut_groups = most;
        impl->stage_groups = impl->cut_groups;
        impl->block_rows = mr;
    } else {
        const size_t tiles = budget / mr / (groups * group_bytes);
        impl->block_rows = (tiles < 1 ? 1 : tiles > 40 ? 40 : tiles) * mr;
    }
    if (impl->block_rows > round_up(op->p.m, mr))
        impl->block_rows = round_up(op->p.m, mr);
    /* An odd number of cache lines, so that the rows of a tile fall into different sets. */
    impl->stage_stride = round_up(impl->stage_groups * group_bytes, QDOT_ALIGNMENT);
    if (impl->stage_stride / QDOT_ALIGNMENT % 2 == 0)
        impl->stage_stride += QDOT_ALIGNMENT;
    const size_t acc_rows = impl->cut_groups < groups ? impl->block_rows : 0;
    impl->acc_offset = impl->stage_stride * impl->block_rows;
    impl->sum_offset = impl->acc_offset + acc_rows * row->nr * sizeof(int32_t);
    impl->scratch_bytes =
        round_up(impl->sum_offset + impl->block_rows * sizeof(int32_t), QDOT_ALIGNMENT);
}

static void cpu_unprepare(struct qdot_op *op)
{
    struct cpu_op *impl = op->impl;
    if (!impl)
        return;
    qdot_release(op->device, impl->scratch);
    qdot_release(op->device, impl->panels);
    qdot_release(op->device, impl->col_sum);
    qdot_release(op->device, impl);
    op->impl = NULL;
}

static int cpu_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct cpu_device *device = op->device->impl;
    struct cpu_op *impl = qdot_alloc(op->device, sizeof(*impl));
    op->impl = impl;
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    /* More than 64 threads would leave each too little of the 4 MiB. */
    impl->threads = op->device->threads.threads < 64 ? op->device->threads.threads : 64;
    choose_blocks(op, impl, device->l2_bytes);
    impl->scratch = qdot_alloc_raw(op->device, impl->scratch_bytes * impl->threads);
    op->workspace_bytes = impl->scratch_bytes * impl->threads;
    if (op->p.b_at_run) {
        impl->panels = qdot_alloc_raw(op->device, op->packed.panels_bytes);
        impl->col_sum = qdot_alloc(op->device, 2 * op->packed.n_pad * sizeof(int32_t));
        op->workspace_bytes += op->packed.panels_bytes + 2 * op->packed.n_pad * sizeof(int32_t);
        if (impl->col_sum)
            impl->bias = impl->col_sum + op->packed.n_pad;
    }
    if (!impl->scratch || (op->p.b_at_run && (!impl->panels || !impl->col_sum)))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a workspace of %zu bytes",
                         op->workspace_bytes);
    return QDOT_OK;
}

/* ---- run ------------------------------------------------------------------------------------- */

/* The output stage needs round-to-nearest and no flush to zero, whatever the caller's mode. */
static unsigned float_state_enter(void)
{
#if defined(__x86_64__)
    const unsigned state = _mm_getcsr();
    if (state != 0x1f80)
        _mm_setcsr(0x1f80);
    return state;
#else
    return 0;
#endif
}

static void float_state_leave(unsigned state)
{
#if defined(__x86_64__)
    if (state != 0x1f80)
        _mm_setcsr(state);
#else
    (void)state;
#endif
}

/* Stages rows [row, row + count) of A, K from group to group + groups. */
static void stage(const struct cpu_run *run, uint8_t *staged, size_t row, size_t count,
                  size_t group, size_t groups, int32_t *row_sum)
{
    const size_t kr = run->op->row->kr, first = group * kr, k = run->op->p.k - first;
    const struct cpu_stage s = {
        .staged = staged,
        .stride = run->impl->stage_stride,
        .a = run->a + row * run->lda + first,
        .lda = run->lda,
        .rows = count,
        .count = k < groups * kr ? k : groups * kr,
        .padded = groups * kr,
        .flip = run->flip,
        .is_signed = run->is_signed,
        .row_sum = run->sums ? row_sum : NULL,
    };
    run->kernel->stage(&s);
}

/* Rows [row, row + count) of A times panels [first, last). */
static void run_item(const struct cpu_run *run, uint8_t *scratch, size_t row, size_t count,
                     size_t first, size_t last)
{
    const struct cpu_op *impl = run->impl;
    const struct qdot_row *r = run->op->row;
    const size_t groups = run->op->packed.k_groups, n = run->op->p.n;
    const size_t group_bytes = r->kr * run->kernel->a_bytes, b_bytes = (size_t)r->nr * r->kr;
    int32_t *const acc = (int32_t *)(void *)(scratch + impl->acc_offset);
    int32_t *const row_sum = (int32_t *)(void *)(scratch + impl->sum_offset);
    /* Tiles of equal height: 8 rows are 4 + 4, not 6 + 2. */
    const size_t tiles = (count + r->mr - 1) / r->mr;
    /* Rows read in place. Where K is no multiple of kr the last group reads on into the next row of
     * A (no further: K >= kr), against zeros of B; behind A's last row there is nothing, so its
     * tile is staged. */
    size_t in_place = run->in_place ? count : 0;
    if (in_place && run->op->p.k % r->kr && row + count == run->m)
        in_place = count * (tiles - 1) / tiles;
    const bool stage_by_cut = impl->stage_groups < groups;
    /* One panel alone reads each tile once: staged just before, it is still in L1. */
    const bool stage_by_tile = last - first == 1 && impl->cut_groups == groups;
    struct cpu_tile t = {
        .output = &run->output,
        /* A panel's successor is prefetched whole while the panel's tiles run, if there are two. */
        .next_step = tiles < 4 ? 128 : 64,
    };
    memset(row_sum, 0, count * sizeof(*row_sum));
    if (!stage_by_cut && !stage_by_tile)
        stage(run, scratch + in_place * impl->stage_stride, row + in_place, count - in_place, 0,
              groups, row_sum + in_place);
    for (size_t panel = first; panel < last; panel++) {
        t.column = panel * r->nr;
        t.columns = n - t.column < r->nr ? n - t.column : r->nr;
        for (size_t group = 0; group < groups; group += impl->cut_groups) {
            t.groups = groups - group < impl->cut_groups ? groups - group : impl->cut_groups;
            t.b = run->panels + panel * run->op->packed.panel_bytes + group * b_bytes;
            t.next = t.b + t.groups * b_bytes;
            t.more = group > 0;
            t.last = group + t.groups == groups;
            if (stage_by_cut) {
                if (group == 0)
                    memset(row_sum, 0, count * sizeof(*row_sum));
                stage(run, scratch + in_place * impl->stage_stride, row + in_place,
                      count - in_place, group, t.groups, row_sum + in_place);
            }
            for (size_t i = 0; i < tiles; i++) {
                const size_t top = count * i / tiles, bottom = count * (i + 1) / tiles;
                const bool staged = bottom > in_place;
                t.a_stride = staged ? impl->stage_stride : run->lda;
                t.a = (staged ? scratch : run->a + row * run->lda) + top * t.a_stride;
                t.flip = staged ? 0 : run->flip;
                if (staged && stage_by_tile) {
                    stage(run, scratch, row + top, bottom - top, 0, groups, row_sum + top);
                    t.a = scratch;
                }
                if (!staged || !stage_by_cut)
                    t.a += group * group_bytes;
                t.next_a = stage_by_tile ? run->a + (row + bottom) * run->lda
                                         : t.a + (bottom - top) * t.a_stride;
                t.acc = acc + top * r->nr;
                t.row = row + top;
                t.row_sum = row_sum + top;
                run->kernel->tile[bottom - top - 1](&t);
                t.next += t.groups * t.next_step;
            }
        }
    }
}

static void run_task(void *arg, size_t i)
{
    struct cpu_run *run = arg;
    uint8_t *scratch = run->impl->scratch + i * run->impl->scratch_bytes;
    const size_t items = run->row_blocks * run->panel_chunks;
    const unsigned state = float_state_enter();
    for (;;) {
        const size_t item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (item >= items)
            break;
        const size_t block = item / run->panel_chunks, chunk = item % run->panel_chunks;
        const size_t row = block * run->block_rows;
        const size_t count = run->m - row < run->block_rows ? run->m - row : run->block_rows;
        run_item(run, scratch, row, count, run->panel_count * chunk / run->panel_chunks,
                 run->panel_count * (chunk + 1) / run->panel_chunks);
    }
    float_state_leave(state);
}

/* Packs this run's B and folds its bias; items are single panels. */
static void pack_task(void *arg, size_t i)
{
    (void)i;
    struct cpu_run *run = arg;
    const struct qdot_op *op = run->op;
    const struct cpu_op *impl = run->impl;
    for (;;) {
        const size_t panel = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (panel >= run->panel_count)
            break;
        const size_t column = panel * op->row->nr;
        qdot_pack_b(op->row, &op->p, &op->packed, run->b, panel, panel + 1, impl->panels,
                    impl->col_sum);
        qdot_fold_bias(op->row, &op->p, op->terms.bias, op->terms.b_neg, impl->col_sum, impl->bias,
                       column, column + op->row->nr);
    }
}

static void parallel(const struct qdot_op *op, void (*task)(void *, size_t), struct cpu_run *run,
                     size_t items, size_t products)
{
    const struct qdot_threads *threads = &op->device->threads;
    const struct cpu_op *impl = op->impl;
    size_t tasks = impl->threads < items ? impl->threads : items;
    if (tasks > products / ITEM_PRODUCTS)
        tasks = products / ITEM_PRODUCTS;
    atomic_init(&run->next, 0);
    if (tasks > 1)
        threads->parallel_for(threads->ctx, task, run, tasks);
    else
        task(run, 0);
}

static const void *input(const struct qdot_input *in)
{
    return in->buffer ? (const char *)in->buffer->impl + in->offset_bytes : in->host;
}

static int cpu_run(struct qdot_op *op, const struct qdot_run *args, struct qdot_error *err)
{
    (void)err;
    const struct qdot_problem *p = &op->p;
    const struct qdot_row *row = op->row;
    struct cpu_op *impl = op->impl;
    const size_t nr = row->nr;
    struct cpu_run run = {
        .op = op,
        .impl = impl,
        .kernel = row->impl,
        .a = input(&args->a),
        .lda = args->lda,
        .m = args->m,
        .panel_count = op->packed.n_pad / nr,
        .sums = op->terms.any_b_neg,
        .is_signed = (row->a_form ? row->a_form : p->a_type) == QDOT_S8,
        .flip = qdot_flip(p->a_type, row->a_form),
    };
    run.in_place = run.kernel->a_bytes == 1 && (run.flip == 0 || run.kernel->flips) && !run.sums &&
                   (p->k % row->kr == 0 || p->k >= row->kr); /* run_item says why */
    const size_t products = p->n > SIZE_MAX / p->k / args->m ? SIZE_MAX : args->m * p->n * p->k;
    const int32_t *bias = op->terms.bias, *col_sum = op->terms.col_sum;
    run.panels = p->b_at_run ? impl->panels : qdot_packed_panels(&op->packed);
    if (p->b_at_run) {
        run.b = input(&args->b);
        bias = impl->bias;
        col_sum = impl->col_sum;
        parallel(op, pack_task, &run, run.panel_count, p->n * p->k);
    }
    run.output = (struct cpu_output){
        .type = p->out_type,
        .bias = bias,
        .b_neg = op->terms.any_b_neg ? op->terms.b_neg : NULL,
        .col_sum = p->a_zero_per_row ? col_sum : NULL,
        .a_zero = p->a_zero_per_row ? input(&args->a_zero) : NULL,
        .k = (uint32_t)p->k,
        .scale = op->terms.scale,
        .bias_f = op->terms.bias_f,
        .row_scale = p->row_scale ? input(&args->row_scale) : NULL,
        .lo = (float)(p->clamp_lo - p->out_zero),
        .hi = (float)(p->clamp_hi - p->out_zero),
        .zero = p->out_zero,
        .out = args->out.buffer ? (uint8_t *)args->out.buffer->impl + args->out.offset_bytes
                                : args->out.host,
        .ldo_bytes = args->ldo * p->out_bytes,
    };
    /* Blocks of equal height; columns are cut as well until there are four items a thread. */
    run.row_blocks = (run.m + impl->block_rows - 1) / impl->block_rows;
    run.block_rows = round_up((run.m + run.row_blocks - 1) / run.row_blocks, row->mr);
    run.row_blocks = (run.m + run.block_rows - 1) / run.block_rows;
    run.panel_chunks = 1;
    if (impl->threads > 1 && run.row_blocks < 4 * impl->threads)
        run.panel_chunks = (4 * impl->threads + run.row_blocks - 1) / run.row_blocks;
    if (run.panel_chunks > run.panel_count)
        run.panel_chunks = run.panel_count;
    parallel(op, run_task, &run, run.row_blocks * run.panel_chunks, products);
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
