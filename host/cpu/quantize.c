/*
 * Runs of the ops on elements. An item is a chunk of elements, done line by line, or what is in the
 * chunk of each; of dynamic quantize a row, or where rows are few a piece of one.
 */
#include "quantize.h"

/* Elements of an item, an even number: two 4-bit values share a byte. An element costs as much as so
 * many multiply-adds of the quickest tile. */
#define CHUNK ((size_t)16384)
#define ELEMENT_WORK 64
#define BYTES_AT_ONCE ((size_t)1024) /* 4-bit values on their way */

struct extent {
    float most, least;
};

struct elements_run {
    const struct qdot_op *op;
    size_t count;
    const uint8_t *x;
    const float *dy;
    uint8_t *out;
    const float *scale;
    const int32_t *zero;
    cpu_line_fn *line; /* for lines as they are, or of dynamic quantize */
    float *scale_out;
    int32_t *zero_out;
    size_t row, pieces; /* of dynamic quantize: elements of a row, pieces of each */
};

struct elements_op {
    struct elements_run run;
    size_t threads;
    struct extent *extents; /* of pieces of rows */
};

static bool four_bits(enum qdot_type type)
{
    return type == QDOT_S4 || type == QDOT_U4;
}

static size_t bytes_of(enum qdot_type type)
{
    return four_bits(type) ? 1 : qdot_type_bytes(type, 1);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static cpu_line_fn *line_of(const struct qdot_op *op)
{
    const struct cpu_elements_kernel *k = op->row->impl;
    const struct qdot_elements *e = &op->p.elements;
    switch (op->p.op) {
    case QDOT_DEQUANTIZE:
        return k->dequantize[e->type == QDOT_U4   ? QDOT_U8
                             : e->type == QDOT_S4 ? QDOT_S8
                                                  : e->type][e->each];
    case QDOT_FAKE_QUANTIZE:
        return k->fake[e->each][e->reciprocal];
    case QDOT_FAKE_QUANTIZE_GRADIENT:
        return k->gradient[e->each][e->reciprocal];
    case QDOT_DYNAMIC_QUANTIZE:
        return k->quantize[0][0][0];
    default:
        return k->quantize[bytes_of(e->type) - 1][e->each][e->reciprocal];
    }
}

/* Elements [begin, end), of which the operands are at x, dy and out. */
static void do_lines(const struct elements_run *run, size_t begin, size_t end, const uint8_t *x,
                     uint8_t *out)
{
    const struct qdot_problem *p = &run->op->p;
    const struct qdot_elements *e = &p->elements;
    const size_t x_bytes = bytes_of(p->a_type), out_bytes = bytes_of(p->out_type);
    size_t span = begin / e->span, in_span = begin % e->span;
    size_t line = in_span / e->line, in_line = in_span % e->line;
    for (size_t at = begin; at < end;) {
        const size_t line_begin = line * e->line;
        size_t length = e->span - line_begin < e->line ? e->span - line_begin : e->line;
        length -= in_line;
        if (length > end - at)
            length = end - at;
        const size_t parameter =
            span * e->span_step + line / e->repeat * e->step + (e->each ? in_line : 0);
        const struct cpu_line l = {.x = x + (at - begin) * x_bytes,
                                   .dy = run->dy ? run->dy + at : NULL,
                                   .out = out + (at - begin) * out_bytes,
                                   .count = length,
                                   .scale = run->scale + parameter,
                                   .zero = run->zero + parameter,
                                   .lo = p->clamp_lo,
                                   .hi = p->clamp_hi};
        run->line(&l);
        at += length;
        in_line = 0;
        if (line_begin + e->line >= e->span) {
            line = 0;
            span++;
        } else {
            line++;
        }
    }
}

static void do_four_bits(const struct elements_run *run, size_t begin, size_t end)
{
    const struct cpu_elements_kernel *k = run->op->row->impl;
    uint8_t bytes[BYTES_AT_ONCE];
    for (size_t at = begin, count; at < end; at += count) {
        count = end - at < BYTES_AT_ONCE ? end - at : BYTES_AT_ONCE;
        if (run->op->p.op == QDOT_DEQUANTIZE) {
            k->unpack(run->x + at / 2, count, bytes, run->op->p.a_type == QDOT_S4);
            do_lines(run, at, at + count, bytes, run->out + at * 4);
        } else {
            do_lines(run, at, at + count, run->x + at * 4, bytes);
            k->pack(bytes, count, run->out + at / 2);
        }
    }
}

static void do_chunk(void *arg, size_t thread, size_t chunk)
{
    (void)thread;
    const struct elements_run *run = arg;
    const struct qdot_problem *p = &run->op->p;
    const size_t begin = chunk * CHUNK;
    const size_t end = run->count - begin < CHUNK ? run->count : begin + CHUNK;
    if (four_bits(p->a_type) || four_bits(p->out_type))
        do_four_bits(run, begin, end);
    else
        do_lines(run, begin, end, run->x + begin * bytes_of(p->a_type),
                 run->out + begin * bytes_of(p->out_type));
}

/* ---- dynamic --------------------------------------------------------------------------------- */

static void quantize_piece(const struct elements_run *run, size_t row, size_t begin, size_t end)
{
    const struct cpu_line l = {.x = (const float *)(const void *)run->x + begin,
                               .out = run->out + begin,
                               .count = end - begin,
                               .scale = run->scale_out + row,
                               .zero = run->zero_out + row,
                               .hi = 255};
    run->line(&l);
}

static struct extent extent_of(const struct elements_run *run, size_t begin, size_t end)
{
    const struct cpu_elements_kernel *k = run->op->row->impl;
    struct extent x = {0, 0};
    k->range((const float *)(const void *)run->x + begin, end - begin, &x.most, &x.least);
    return x;
}

/* Rows that are items are in cache when they are read again. */
static void do_row(void *arg, size_t thread, size_t row)
{
    (void)thread;
    const struct elements_run *run = arg;
    const struct extent x = extent_of(run, row * run->row, (row + 1) * run->row);
    qdot_dynamic_parameters(x.most, x.least, &run->scale_out[row], &run->zero_out[row]);
    quantize_piece(run, row, row * run->row, (row + 1) * run->row);
}

static size_t piece_at(const struct elements_run *run, size_t item)
{
    const size_t piece = item % run->pieces, each = run->row / run->pieces;
    const size_t more = run->row % run->pieces;
    return item / run->pieces * run->row + piece * each + (piece < more ? piece : more);
}

static size_t piece_end(const struct elements_run *run, size_t item)
{
    return (item + 1) % run->pieces ? piece_at(run, item + 1) : (item / run->pieces + 1) * run->row;
}

static void find_extent(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct elements_run *run = arg;
    struct elements_op *impl = run->op->impl;
    impl->extents[item] = extent_of(run, piece_at(run, item), piece_end(run, item));
}

static void find_parameters(void *arg, size_t thread, size_t row)
{
    (void)thread;
    const struct elements_run *run = arg;
    const struct elements_op *impl = run->op->impl;
    struct extent all = {0, 0};
    for (size_t i = 0; i < run->pieces; i++) {
        const struct extent *x = &impl->extents[row * run->pieces + i];
        all.most = x->most > all.most ? x->most : all.most;
        all.least = x->least > all.least ? x->least : all.least;
    }
    qdot_dynamic_parameters(all.most, all.least, &run->scale_out[row], &run->zero_out[row]);
}

static void quantize_item(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct elements_run *run = arg;
    quantize_piece(run, item / run->pieces, piece_at(run, item), piece_end(run, item));
}

static void run_dynamic(struct qdot_op *op, struct elements_run *run, size_t threads)
{
    const size_t rows = qdot_parameters(&op->p, run->count / op->p.elements.unit);
    run->row = run->count / rows;
    run->pieces = threads > 1 && rows < 4 * threads ? threads : 1;
    if (run->pieces > run->row)
        run->pieces = 1;
    if (run->pieces == 1) {
        cpu_share(op, threads, rows, do_row, run);
        return;
    }
    cpu_share(op, threads, rows * run->pieces, find_extent, run);
    cpu_share(op, 1, rows, find_parameters, run);
    cpu_share(op, threads, rows * run->pieces, quantize_item, run);
}

/* ---- ops ------------------------------------------------------------------------------------- */

int cpu_elements_prepare(struct qdot_op *op, struct qdot_error *err)
{
    const struct qdot_problem *p = &op->p;
    struct elements_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    impl->run.op = op;
    impl->run.line = line_of(op);
    impl->threads = op->threads.parallel_for && op->threads.threads > 1 ? op->threads.threads : 1;
    if (p->op != QDOT_DYNAMIC_QUANTIZE || impl->threads == 1)
        return QDOT_OK;
    /* A run may have fewer rows than the op, but is cut only where they are few: run_dynamic. */
    const size_t few = 4 * impl->threads;
    const size_t rows = p->elements.parameters < few ? p->elements.parameters : few;
    op->workspace_bytes = rows * impl->threads * sizeof(*impl->extents);
    impl->extents = qdot_alloc(op->device, op->workspace_bytes);
    if (!impl->extents)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the ranges of %zu pieces",
                         rows * impl->threads);
    return QDOT_OK;
}

void cpu_elements_unprepare(struct qdot_op *op)
{
    const struct elements_op *impl = op->impl;
    qdot_release(op->device, impl->extents);
}

void cpu_elements_run(struct qdot_op *op, const struct qdot_run *args)
{
    const struct qdot_elements *e = &op->p.elements;
    struct elements_op *impl = op->impl;
    struct elements_run *run = &impl->run;
    run->count = args->m * e->unit;
    run->x = cpu_input(&args->a);
    run->dy = op->p.op == QDOT_FAKE_QUANTIZE_GRADIENT ? cpu_input(&args->b) : NULL;
    run->out = cpu_output_memory(&args->out);
    run->scale = e->scale_at_run ? cpu_input(&args->scale) : op->scale;
    run->zero = e->zero_at_run ? cpu_input(&args->zero) : op->zero;
    const size_t threads = cpu_threads_for(impl->threads, run->count, 1, 1, ELEMENT_WORK);
    if (op->p.op == QDOT_DYNAMIC_QUANTIZE) {
        run->scale_out = cpu_output_memory(&args->scale_out);
        run->zero_out = cpu_output_memory(&args->zero_out);
        run_dynamic(op, run, threads);
        return;
    }
    cpu_share(op, threads, run->count / CHUNK + (run->count % CHUNK != 0), do_chunk, run);
}
