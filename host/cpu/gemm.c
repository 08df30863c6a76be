/*
 * GEMM on the CPU.
 *
 * A run is cut into items: a block of rows of A times a range of B's panels. A thread stages its
 * block of A into its own scratch, then walks the panels: per panel the micro-kernel goes down the
 * block's tiles, so that a panel of B stays in L2 while it is used and each tile of A is read from
 * L2 once a panel. Where K is so long that a panel would not stay in half of L2, K is cut, and the
 * block's sums wait in the scratch between the cuts.
 */
#include <string.h>
#include "cpu.h"

/* Workspace of all threads together stays under 4 MiB, whatever the shape. */
#define SCRATCH_LIMIT (3u << 20)
#define PACK_FACTOR 16   /* a byte packed takes as long as so many multiply-adds */
#define STREAM_ROWS 8    /* and one of B read as long as with so many rows of A */
#define FEW_ROWS 16      /* up to so many have few tiles in which to prefetch another panel */
#define PART_BYTES 16384 /* of A, staged for one panel alone: it stays in L1 */

/* What a run is made of. Most of it is the same in every run and set when the op is prepared. */
struct gemm_run {
    const struct qdot_op *op;
    const struct gemm_op *impl;
    const struct cpu_kernel *kernel;
    const uint8_t *a;
    size_t lda;
    const uint8_t *panels, *last_panel; /* the last may lie elsewhere */
    struct cpu_output output;
    size_t m, block_rows, row_blocks;
    size_t panel_count, panel_chunks;
    size_t chunk_panels; /* of an item, at most */
    size_t whole_panels; /* of nr columns, that can go together where each has one tile */
    bool is_signed, sums;
    bool in_place; /* A is read where it lies: no widening, flips only by the tile */
    bool ragged;   /* K is no multiple of kr */
    uint8_t flip;
    cpu_requantise_fn *requantise; /* of the sums that tiles leave in acc; NULL: they finish */
    const void *b;                 /* B of this run, to be packed */
};

struct gemm_op {
    size_t threads;
    size_t cut_groups;   /* groups of a cut of K */
    size_t stage_groups; /* groups staged at once: all of K, or one cut when K is enormous */
    size_t stage_stride; /* bytes between staged rows */
    size_t block_rows;   /* rows of A in a block, at most; a multiple of mr */
    size_t part_rows;    /* of them that are staged at once for one panel alone; likewise */
    bool far;            /* A or B does not stay in L2 */
    size_t scratch_bytes;
    /* The workspace: pieces of scratch, and where B comes with the run panels, col_sum and bias. */
    void *own;        /* NULL: of each run */
    uint8_t *scratch; /* a piece for each thread: staged A | acc | row_sum | row_add */
    size_t acc_offset, sum_offset, add_offset;
    /* Lists of block_rows rows, for struct cpu_tile: staged ones, in acc, in place, of the output. */
    ptrdiff_t *staged_rows, *acc_rows, *a_rows, *out_rows;
    size_t lda, ldo_bytes; /* that the last two are for */
    /* Only when B comes with the run: */
    uint8_t *panels;
    int32_t *col_sum, *bias;
    struct gemm_run run;  /* of one run at a time, as the scratch is */
    struct cpu_tile tile; /* what all tiles have in common */
    bool one_column;      /* of tiles, of A in place: 'tile' lacks only A and the output */
};

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Who makes outputs of the sums, where tiles do not. */
static cpu_requantise_fn *requantise_for(const struct qdot_op *op)
{
    const struct cpu_kernel *kernel = op->row->impl;
    return op->p.rounding != QDOT_ROUND_RNE ? kernel->requantise : NULL;
}

/* Blocking: see the top of the file. All divisions of K are by whole groups. */
static void choose_blocks(const struct qdot_op *op, struct gemm_op *impl, size_t l2)
{
    const struct qdot_row *row = op->row;
    const struct cpu_kernel *kernel = row->impl;
    const size_t groups = op->packed.k_groups, mr = row->mr;
    const size_t group_bytes = row->kr * kernel->a_bytes;
    const size_t panel_groups = l2 / 2 / ((size_t)row->nr * row->kr);
    const size_t cuts = (groups + panel_groups - 1) / panel_groups;
    const size_t budget = SCRATCH_LIMIT / impl->threads;
    impl->far = op->p.m * op->p.k > l2 || op->packed.panels_bytes > l2;
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
    impl->part_rows = larger(PART_BYTES / impl->stage_stride / mr, 1) * mr;
    const bool keeps_sums = impl->cut_groups < groups || requantise_for(op);
    const size_t acc_rows = keeps_sums ? impl->block_rows : 0;
    impl->acc_offset = impl->stage_stride * impl->block_rows;
    impl->sum_offset = impl->acc_offset + acc_rows * row->nr * sizeof(int32_t);
    impl->add_offset = impl->sum_offset + impl->block_rows * sizeof(int32_t);
    impl->scratch_bytes =
        round_up(impl->add_offset + impl->block_rows * sizeof(int32_t), QDOT_ALIGNMENT);
}

/* The parts of a run that are the same in every one. */
static void set_run(const struct qdot_op *op, struct gemm_op *impl)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_row *row = op->row;
    struct gemm_run *run = &impl->run;
    run->op = op;
    run->impl = impl;
    run->kernel = row->impl;
    run->panel_count = op->packed.n_pad / row->nr;
    run->panels = p->b_at_run ? impl->panels : qdot_packed_panels(&op->packed);
    run->last_panel = p->b_at_run ? impl->panels + qdot_panel_at(&op->packed, run->panel_count - 1)
                                  : qdot_panel(&op->packed, run->panel_count - 1);
    run->output = cpu_output_of(op);
    if (p->b_at_run)
        run->output.bias = impl->bias;
    if (p->b_at_run && p->a_zero_per_row)
        run->output.col_sum = impl->col_sum;
    run->requantise = requantise_for(op);
    run->sums = op->terms.any_b_neg;
    if (op->terms.one_b_neg)
        run->output.b_neg = NULL; /* in row_add */
    run->is_signed = (row->a_form ? row->a_form : p->a_type) == QDOT_S8;
    run->flip = qdot_flip(p->a_type, row->a_form);
    /* Whatever takes a division: that is as long as a small product. */
    if (run->kernel->together && impl->cut_groups == op->packed.k_groups && !run->requantise)
        run->whole_panels = p->n / row->nr;
    run->ragged = p->k % row->kr != 0;
    run->in_place = run->kernel->a_bytes == 1 && (run->flip == 0 || run->kernel->flips) &&
                    (!run->ragged || p->k >= row->kr); /* run_item says why */
}

static void set_tile(const struct qdot_op *op, struct gemm_op *impl)
{
    static const ptrdiff_t no_offset = 0;
    const struct gemm_run *run = &impl->run;
    const size_t groups = op->packed.k_groups, nr = op->row->nr, kr = op->row->kr;
    const uint8_t *const end = run->last_panel + groups * op->packed.last_columns * kr;
    struct cpu_tile *t = &impl->tile;
    *t = (struct cpu_tile){
        .run_count = 1,
        .runs = &no_offset,
        .nr = nr,
        .output = &run->output,
        .acc_rows = impl->acc_rows,
        /* And in an op of one column: */
        .groups = groups,
        .a_rows = impl->a_rows,
        .out_rows = impl->out_rows,
        .flip = run->flip,
        .b = run->last_panel,
        .b_step = op->packed.last_columns * kr,
        .next = end,
        .next_end = end,
        .far = impl->far,
        .last = true,
        .columns = op->p.n,
    };
    impl->one_column = run->in_place && !run->ragged && !run->sums && !run->requantise &&
                       run->panel_count == 1 && impl->cut_groups == groups &&
                       op->p.m <= impl->block_rows;
}

void cpu_gemm_unprepare(struct qdot_op *op)
{
    struct gemm_op *impl = op->impl;
    qdot_release(op->device, impl->own);
    qdot_release(op->device, impl->staged_rows);
}

/* Of a B that comes with the run. */
static size_t panels_room(const struct qdot_op *op)
{
    return round_up(op->packed.panels_bytes + QDOT_PANELS_SLACK, QDOT_ALIGNMENT);
}

/* Its parts, and what points to them. */
static void place_workspace(const struct qdot_op *op, struct gemm_op *impl, void *workspace)
{
    impl->scratch = workspace;
    if (op->p.b_at_run) {
        impl->panels = impl->scratch + impl->scratch_bytes * impl->threads;
        impl->col_sum = (int32_t *)(void *)(impl->panels + panels_room(op));
        impl->bias = impl->col_sum + op->packed.n_pad;
    }
    set_run(op, impl);
    set_tile(op, impl);
}

int cpu_gemm_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct cpu_device *device = op->device->impl;
    struct gemm_op *impl = qdot_alloc(op->device, sizeof(*impl));
    op->impl = impl;
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    /* More than 64 threads would leave each too little of the 4 MiB. */
    impl->threads = op->device->threads.threads < 64 ? op->device->threads.threads : 64;
    choose_blocks(op, impl, device->l2_bytes);
    op->run_bytes = impl->scratch_bytes * impl->threads;
    if (op->p.b_at_run)
        op->run_bytes += panels_room(op) + 2 * op->packed.n_pad * sizeof(int32_t);
    op->workspace_bytes = op->run_bytes;
    if (!op->workspace_at_run)
        impl->own = qdot_alloc_raw(op->device, op->run_bytes);
    impl->staged_rows = qdot_alloc_raw(op->device, 4 * impl->block_rows * sizeof(ptrdiff_t));
    op->workspace_bytes += 4 * impl->block_rows * sizeof(ptrdiff_t);
    if (impl->staged_rows) {
        impl->acc_rows = impl->staged_rows + impl->block_rows;
        impl->a_rows = impl->acc_rows + impl->block_rows;
        impl->out_rows = impl->a_rows + impl->block_rows;
        for (size_t i = 0; i < impl->block_rows; i++) {
            impl->staged_rows[i] = (ptrdiff_t)(i * impl->stage_stride);
            impl->acc_rows[i] = (ptrdiff_t)(i * op->row->nr * sizeof(int32_t));
        }
    }
    if (!impl->staged_rows || (!op->workspace_at_run && !impl->own))
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a workspace of %zu bytes",
                         op->workspace_bytes);
    if (impl->own)
        place_workspace(op, impl, impl->own);
    return QDOT_OK;
}

/* ---- run ------------------------------------------------------------------------------------- */

/* Stages rows [row, row + count) of A, K from group to group + groups. */
static void stage(const struct gemm_run *run, uint8_t *staged, size_t row, size_t count,
                  size_t group, size_t groups)
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
    };
    run->kernel->stage(&s);
}

/* The terms by row, for zero points of B: the sums of A, or where those points are all the same what
 * a sum is to be multiplied with, the product. */
static void sum_rows(const struct gemm_run *run, size_t row, size_t count, int32_t *row_sum,
                     int32_t *row_add)
{
    const struct qdot_op *op = run->op;
    const uint32_t k = (uint32_t)op->p.k, signs = run->is_signed ? 128 * k : 0;
    const uint32_t neg = (uint32_t)op->terms.b_neg[0];
    uint32_t *const sum = (uint32_t *)row_sum;
    run->kernel->sum(run->a + row * run->lda, run->lda, count, op->p.k,
                     run->is_signed ? run->flip ^ 0x80 : run->flip, sum);
    for (size_t i = 0; i < count; i++) {
        sum[i] -= signs;
        if (op->terms.one_b_neg)
            row_add[i] = (int32_t)(neg * (run->output.a_zero
                                              ? sum[i] - k * (uint32_t)run->output.a_zero[row + i]
                                              : sum[i]));
    }
}

/* Some rows times this panel, and if they are one tile times those up to 'whole' as well; returns how
 * many more panels these were. */
static size_t do_tiles(const struct gemm_run *run, struct cpu_tile *t, size_t rows, size_t panel,
                       size_t whole)
{
    if (rows && panel + 1 < whole &&
        run->kernel->together(t, rows, whole - panel, run->op->packed.panel_bytes))
        return whole - 1 - panel;
    cpu_tiles(run->op->row, t, rows);
    return 0;
}

/* Rows [row, row + count) of A times panels [first, last). */
static void run_item(const struct gemm_run *run, uint8_t *scratch, size_t row, size_t count,
                     size_t first, size_t last)
{
    const struct gemm_op *impl = run->impl;
    const struct qdot_row *r = run->op->row;
    const struct qdot_packed *packed = &run->op->packed;
    const size_t groups = packed->k_groups, n = run->op->p.n;
    const size_t group_bytes = r->kr * run->kernel->a_bytes;
    const size_t ldo = run->output.ldo_bytes;
    int32_t *const acc = (int32_t *)(void *)(scratch + impl->acc_offset);
    int32_t *const row_sum = (int32_t *)(void *)(scratch + impl->sum_offset);
    int32_t *const row_add = (int32_t *)(void *)(scratch + impl->add_offset);
    /* Rows read in place. Where K is no multiple of kr the last group reads on into the next row of
     * A (no further: K >= kr), against zeros of B; behind A's last row there is nothing, so the last
     * rows are staged. */
    size_t in_place = run->in_place ? count : 0;
    if (in_place && run->ragged && row + count == run->m)
        in_place = count > r->mr ? count - r->mr : 0;
    const bool stage_by_cut = impl->stage_groups < groups;
    /* One panel alone reads each tile once: staged just before, it is still in L1. */
    const bool stage_by_part = last - first == 1 && impl->cut_groups == groups;
    struct cpu_tile t = impl->tile;
    if (last < run->panel_count)
        t.next_end = run->panels + last * packed->panel_bytes;
    if (run->sums)
        sum_rows(run, row, count, row_sum, row_add);
    if (!stage_by_cut && !stage_by_part)
        stage(run, scratch + in_place * impl->stage_stride, row + in_place, count - in_place, 0,
              groups);
    /* One tile a panel: whole panels, up to this one, can go together. */
    size_t whole = 0;
    if (count <= r->mr)
        whole = run->whole_panels < last ? run->whole_panels : last;
    for (size_t panel = first; panel < last; panel++) {
        t.column = panel * r->nr;
        t.columns = n - t.column < r->nr ? n - t.column : r->nr;
        t.b_step = (panel + 1 < run->panel_count ? r->nr : packed->last_columns) * r->kr;
        t.out = run->output.out + row * ldo + t.column * run->op->p.out_bytes;
        for (size_t group = 0; group < groups; group += impl->cut_groups) {
            t.groups = groups - group < impl->cut_groups ? groups - group : impl->cut_groups;
            t.b = panel + 1 < run->panel_count ? run->panels + panel * packed->panel_bytes
                                               : run->last_panel;
            t.b += group * t.b_step;
            t.next = t.b + t.groups * t.b_step;
            t.far = impl->far && (count <= FEW_ROWS || panel == first);
            /* A panel's successor is prefetched while the panel's tiles run, if there are two. */
            t.next_step = t.next == t.next_end || count <= FEW_ROWS ? 0 : 64;
            t.more = group > 0;
            t.last = group + t.groups == groups && !run->requantise;
            if (stage_by_cut)
                stage(run, scratch + in_place * impl->stage_stride, row + in_place,
                      count - in_place, group, t.groups);
            t.a = run->a + row * run->lda + group * group_bytes;
            t.a_rows = impl->a_rows;
            t.out_rows = impl->out_rows;
            t.flip = run->flip;
            t.row = row;
            t.row_add = run->sums && run->op->terms.one_b_neg ? row_add : NULL;
            t.row_sum = row_sum;
            t.acc = acc;
            panel += do_tiles(run, &t, in_place, panel, whole);
            t.flip = 0;
            t.a = scratch + (stage_by_cut ? 0 : group * group_bytes);
            t.a_rows = impl->staged_rows + in_place;
            for (size_t top = in_place, rows; top < count; top += rows) {
                rows = count - top;
                if (stage_by_part && rows > impl->part_rows)
                    rows = impl->part_rows;
                if (stage_by_part) {
                    stage(run, scratch, row + top, rows, 0, groups);
                    t.a_rows = impl->staged_rows;
                }
                panel += do_tiles(run, &t, rows, panel, whole);
            }
        }
        if (run->requantise) {
            const struct cpu_sums sums = {
                .output = &run->output,
                .sum = acc,
                .step = r->nr,
                .rows = count,
                .columns = t.columns,
                .row = row,
                .column = t.column,
                .row_sum = row_sum,
                .out = t.out,
                .out_rows = impl->out_rows,
            };
            cpu_finish_sums(run->requantise, &sums);
        }
    }
}

static void run_one(void *arg, size_t thread, size_t item)
{
    const struct gemm_run *run = arg;
    uint8_t *scratch = run->impl->scratch + thread * run->impl->scratch_bytes;
    const size_t chunks = run->panel_chunks;
    const size_t block = chunks > 1 ? item / chunks : item, chunk = item - block * chunks;
    const size_t row = block * run->block_rows;
    const size_t count = run->m - row < run->block_rows ? run->m - row : run->block_rows;
    const size_t first = chunk * run->chunk_panels, left = run->panel_count - first;
    run_item(run, scratch, row, count, first,
             first + (left < run->chunk_panels ? left : run->chunk_panels));
}

/* All of an op of one column of tiles: what is around so small a product counts. */
static void run_column(void *arg, size_t thread, size_t item)
{
    (void)thread;
    (void)item;
    const struct gemm_run *run = arg;
    struct cpu_tile t = run->impl->tile;
    t.a = run->a;
    t.out = run->output.out;
    cpu_tiles(run->op->row, &t, run->m);
}

/* Packs one panel of this run's B and folds its bias. */
static void pack_one(void *arg, size_t thread, size_t panel)
{
    (void)thread;
    const struct gemm_run *run = arg;
    const struct qdot_op *op = run->op;
    const struct gemm_op *impl = run->impl;
    const size_t column = panel * op->row->nr;
    qdot_pack_b(op->row, &op->p, &op->packed, run->b, panel, panel + 1, impl->panels,
                impl->col_sum);
    qdot_fold_bias(op->row, &op->p, op->terms.bias, op->terms.b_neg, impl->col_sum, impl->bias,
                   column, column + op->row->nr);
}

/* Lists of the rows of A in place and of the output. */
static void set_rows(struct gemm_op *impl, size_t lda, size_t ldo_bytes)
{
    impl->lda = lda;
    impl->ldo_bytes = ldo_bytes;
    for (size_t i = 0; i < impl->block_rows; i++) {
        impl->a_rows[i] = (ptrdiff_t)(i * lda);
        impl->out_rows[i] = (ptrdiff_t)(i * ldo_bytes);
    }
}

void cpu_gemm_run(struct qdot_op *op, const struct qdot_run *args)
{
    const struct qdot_problem *p = &op->p;
    struct gemm_op *impl = op->impl;
    struct gemm_run *run = &impl->run;
    if (!impl->own && (!run->op || impl->scratch != args->workspace))
        place_workspace(op, impl, args->workspace);
    run->a = cpu_input(&args->a);
    run->lda = args->lda;
    run->m = args->m;
    cpu_output_at(&run->output, op, args);
    if (impl->lda != run->lda || impl->ldo_bytes != run->output.ldo_bytes)
        set_rows(impl, run->lda, run->output.ldo_bytes);
    if (p->b_at_run) {
        run->b = cpu_input(&args->b);
        cpu_share(op, cpu_threads_for(impl->threads, p->n, p->k, 1, PACK_FACTOR), run->panel_count,
                  pack_one, run);
    }
    if (impl->one_column) {
        cpu_share(op, 1, 1, run_column, run);
        return;
    }
    /* Blocks of equal height, and of each as many pieces as the threads want. */
    run->row_blocks = 1;
    run->block_rows = run->m;
    if (run->m > impl->block_rows) {
        run->row_blocks = (run->m + impl->block_rows - 1) / impl->block_rows;
        run->block_rows = round_up((run->m + run->row_blocks - 1) / run->row_blocks, op->row->mr);
        run->row_blocks = (run->m + run->block_rows - 1) / run->block_rows;
    }
    /* With few rows a run takes as long as it takes to read B. */
    const size_t threads =
        cpu_threads_for(impl->threads, larger(args->m, STREAM_ROWS), p->n, p->k, 1);
    run->chunk_panels = run->panel_count;
    run->panel_chunks = 1;
    if (threads > 1) {
        run->chunk_panels = cpu_piece(run->panel_count, run->panel_count, run->row_blocks, threads);
        run->panel_chunks = (run->panel_count + run->chunk_panels - 1) / run->chunk_panels;
    }
    cpu_share(op, threads, run->row_blocks * run->panel_chunks, run_one, run);
}
