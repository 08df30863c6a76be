/*
 * Runs of maps. Two of the dimensions are gone through in blocks, so that what a transposition reads a
 * cache line of is read up while it is there; items are some blocks.
 */
#include <string.h>
#include "bytes.h"

/* Elements of an item. A byte from a table costs as much as so many multiply-adds of the quickest tile;
 * and a copied one. */
#define CHUNK ((size_t)16384)
#define SIDE ((size_t)64) /* of a block where lines have gaps */
#define SHORT ((size_t)32)
#define WOVEN ((size_t)256) /* lines for which weaving is worth its beginning */
#define LONG ((size_t)4096) /* side of a block that has few lines */
enum { TABLE_WORK = 128, COPY_WORK = 32 };

struct map_run {
    const struct qdot_op *op;
    struct qdot_mapping s;
    const uint8_t *from[2];
    uint8_t *out;
    size_t x, y; /* the dimensions of blocks; y: SIZE_MAX where there is one */
    enum {
        BY_LINES,
        ALONG_X,
        ALONG_Y
    } turned;                   /* the output's neighbours are along x, a's along y, or
                                                   the other way round */
    size_t block[2], blocks[2]; /* their sides, and how many of them */
    size_t count, each;         /* blocks at all, blocks of an item */
};

struct map_op {
    struct map_run run;
    size_t threads;
};

/* ---- lines ----------------------------------------------------------------------------------- */

static void copy_bytes(const struct cpu_bytes *b)
{
    const uint8_t *from = b->from;
    uint8_t *to = b->to;
    if (b->to_step == 1 && b->from_step <= 1) {
        if (b->from_step)
            memcpy(to, from, b->count);
        else
            memset(to, *from, b->count);
        return;
    }
    for (size_t i = 0; i < b->count; i++, from += b->from_step, to += b->to_step)
        *to = *from;
}

static void look_up(const uint8_t *table, const uint8_t *from, uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = table[from[i]];
}

const struct cpu_map_kernel cpu_map = {look_up, NULL};

void cpu_map_bytes(const struct cpu_bytes *b, const struct cpu_map_kernel *kernel)
{
    const uint8_t *table = b->table, *from = b->from;
    uint8_t *to = b->to;
    if (!table || b->from_step == 0) { /* of one element the entry is looked up once */
        struct cpu_bytes copy = *b;
        const uint8_t one = table ? table[*from] : *from;
        if (b->from_step == 0)
            copy.from = &one;
        copy_bytes(&copy);
    } else if (b->from_step == 1 && b->to_step == 1) {
        kernel->look_up(table, from, to, b->count);
    } else {
        for (size_t i = 0; i < b->count; i++, from += b->from_step, to += b->to_step)
            *to = table[*from];
    }
}

static const struct cpu_map_kernel *kernel_of(const struct map_run *run)
{
    return run->op->row->impl;
}

/* 256 * a + b; of an operand that is repeated it is a table of the other. */
static void do_pairs(const struct map_run *run, const uint8_t *a, const uint8_t *b, uint8_t *out,
                     size_t count)
{
    const size_t a_step = run->s.stride[QDOT_MAP_A][run->x];
    const size_t b_step = run->s.stride[QDOT_MAP_B][run->x];
    const size_t out_step = run->s.stride[QDOT_MAP_OUT][run->x];
    const uint8_t *table = run->op->table;
    if (a_step == 0) {
        const struct cpu_bytes bytes = {b, out, b_step, out_step, count, table + 256 * *a};
        cpu_map_bytes(&bytes, kernel_of(run));
    } else if (a_step == 1 && b_step == 1 && out_step == 1) {
        for (size_t i = 0; i < count; i++)
            out[i] = table[256 * a[i] + b[i]];
    } else {
        for (size_t i = 0; i < count; i++, a += a_step, b += b_step, out += out_step)
            *out = table[256 * *a + *b];
    }
}

/* Along x, line by line along y. */
static void do_lines(const struct map_run *run, const size_t at[QDOT_MAP_TENSORS],
                     const size_t size[2])
{
    size_t next[QDOT_MAP_TENSORS] = {0};
    for (int t = 0; t < QDOT_MAP_TENSORS && run->y != SIZE_MAX; t++)
        next[t] = run->s.stride[t][run->y];
    uint8_t *out = run->out + at[QDOT_MAP_OUT];
    const uint8_t *a = run->from[0] + at[QDOT_MAP_A];
    if (run->s.operands == 2) {
        const uint8_t *b = run->from[1] + at[QDOT_MAP_B];
        for (size_t i = 0; i < size[1]; i++)
            do_pairs(run, a + i * next[QDOT_MAP_A], b + i * next[QDOT_MAP_B],
                     out + i * next[QDOT_MAP_OUT], size[0]);
        return;
    }
    struct cpu_bytes bytes = {a,
                              out,
                              run->s.stride[QDOT_MAP_A][run->x],
                              run->s.stride[QDOT_MAP_OUT][run->x],
                              size[0],
                              run->op->table};
    for (size_t i = 0; i < size[1]; i++) {
        cpu_map_bytes(&bytes, kernel_of(run));
        bytes.from += next[QDOT_MAP_A];
        bytes.to += next[QDOT_MAP_OUT];
    }
}

/* ---- turned blocks --------------------------------------------------------------------------- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Interleaved four times, each with that 8 behind. */
static inline void turn_16(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step)
{
    bytes16 v[16], t[16];
    for (size_t i = 0; i < 16; i++)
        memcpy(&v[i], from + i * from_step, 16);
    for (int pass = 0; pass < 4; pass++) {
        for (size_t i = 0; i < 8; i++) {
            t[2 * i] = __builtin_shufflevector(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                               21, 6, 22, 7, 23);
            t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                   28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, t, sizeof(v));
    }
    for (size_t i = 0; i < 16; i++)
        memcpy(to + i * to_step, &v[i], 16);
}

/* to[i * to_step + j] = from[j * from_step + i] of so many lines i, 16 x 16 where there are as many. */
static void turn(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step, size_t lines,
                 size_t count)
{
    const size_t whole_lines = lines & ~(size_t)15, whole = count & ~(size_t)15;
    for (size_t j = 0; j < whole; j += 16)
        for (size_t i = 0; i < whole_lines; i += 16)
            turn_16(from + j * from_step + i, from_step, to + i * to_step + j, to_step);
    for (size_t j = 0; j < count; j++)
        for (size_t i = j < whole ? whole_lines : 0; i < lines; i++)
            to[i * to_step + j] = from[j * from_step + i];
}

static void turn_block(const struct map_run *run, const size_t at[QDOT_MAP_TENSORS],
                       const size_t size[2])
{
    const bool x = run->turned == ALONG_X;
    const size_t from_step = run->s.stride[QDOT_MAP_A][x ? run->x : run->y];
    const size_t to_step = run->s.stride[QDOT_MAP_OUT][x ? run->y : run->x];
    const size_t count = size[x ? 0 : 1], lines = size[x ? 1 : 0];
    const uint8_t *from = run->from[0] + at[QDOT_MAP_A], *table = run->op->table;
    uint8_t *to = run->out + at[QDOT_MAP_OUT];
    if (kernel_of(run)->weave && count >= 2 && count <= 4 && to_step == count && lines >= WOVEN) {
        kernel_of(run)->weave(from, from_step, to, lines, count);
        if (table)
            kernel_of(run)->look_up(table, to, to, lines * count);
        return;
    }
    if (table && count < 16) {
        for (size_t j = 0; j < count; j++)
            for (size_t i = 0; i < lines; i++)
                to[i * to_step + j] = table[from[j * from_step + i]];
        return;
    }
    turn(from, from_step, to, to_step, lines, count);
    for (size_t i = 0; i < lines && table; i++, to += to_step)
        kernel_of(run)->look_up(table, to, to, count);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static size_t extent(const struct map_run *run, size_t d)
{
    return d == SIZE_MAX ? 1 : run->s.dims[d];
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void do_block(const struct map_run *run, size_t index)
{
    const struct qdot_mapping *s = &run->s;
    size_t at[QDOT_MAP_TENSORS] = {0};
    size_t begin[2], size[2];
    const size_t sides[2] = {run->x, run->y};
    for (size_t i = 0; i < 2; i++) {
        begin[i] = index % run->blocks[i] * run->block[i];
        size[i] = least(run->block[i], extent(run, sides[i]) - begin[i]);
        index /= run->blocks[i];
        for (int t = 0; t < QDOT_MAP_TENSORS && begin[i]; t++)
            at[t] += begin[i] * s->stride[t][sides[i]];
    }
    for (size_t d = s->rank; d-- > 0 && index;) {
        if (d == run->x || d == run->y)
            continue;
        const size_t i = index % s->dims[d];
        index /= s->dims[d];
        for (int t = 0; t < QDOT_MAP_TENSORS; t++)
            at[t] += i * s->stride[t][d];
    }
    if (run->turned == BY_LINES)
        do_lines(run, at, size);
    else
        turn_block(run, at, size);
}

static void do_item(void *arg, size_t thread, size_t item)
{
    (void)thread;
    const struct map_run *run = arg;
    const size_t end = least(run->count, (item + 1) * run->each);
    for (size_t i = item * run->each; i < end; i++)
        do_block(run, i);
}

/* The nearest neighbours of any tensor along a dimension. */
static size_t nearest(const struct qdot_mapping *s, size_t d)
{
    size_t found = SIZE_MAX;
    for (int t = 0; t < QDOT_MAP_TENSORS; t++)
        if (s->stride[t][d])
            found = least(found, s->stride[t][d]);
    return found;
}

/* Lines are along the output's, or where that are short along the longest dimension; y is where
 * neighbours are near. */
static void choose_blocks(struct map_run *run)
{
    const struct qdot_mapping *s = &run->s;
    run->x = s->rank - 1;
    run->y = SIZE_MAX;
    for (size_t d = s->rank; d-- > 0 && s->dims[s->rank - 1] < SHORT;)
        if (s->dims[d] > s->dims[run->x])
            run->x = d;
    for (size_t d = s->rank; d-- > 0;)
        if (d != run->x && (run->y == SIZE_MAX || nearest(s, d) < nearest(s, run->y)))
            run->y = d;
    bool whole = s->stride[QDOT_MAP_OUT][run->x] == 1; /* lines without gaps */
    for (int t = 0; t < s->operands; t++)
        whole = whole && s->stride[t][run->x] <= 1;
    run->turned = BY_LINES;
    if (s->operands == 1 && run->y != SIZE_MAX && !whole) {
        const size_t *out = s->stride[QDOT_MAP_OUT], *a = s->stride[QDOT_MAP_A];
        if (out[run->x] == 1 && a[run->y] == 1)
            run->turned = ALONG_X;
        else if (out[run->y] == 1 && a[run->x] == 1)
            run->turned = ALONG_Y;
    }
    run->block[0] = least(s->dims[run->x], whole ? CHUNK : SIDE);
    run->block[1] = least(extent(run, run->y), whole ? CHUNK / run->block[0] : SIDE);
    for (size_t i = 0; i < 2 && run->turned != BY_LINES; i++)
        if (run->block[1 - i] < 16)
            run->block[i] = least(s->dims[i ? run->y : run->x], LONG);
    run->count = 1;
    const size_t sides[2] = {run->x, run->y};
    for (size_t i = 0; i < 2; i++) {
        run->blocks[i] = (extent(run, sides[i]) - 1) / run->block[i] + 1;
        run->count *= run->blocks[i];
    }
    for (size_t d = 0; d < s->rank; d++)
        if (d != run->x && d != run->y)
            run->count *= s->dims[d];
    run->each = CHUNK / (run->block[0] * run->block[1]);
    run->each = run->each ? run->each : 1;
}

/* ---- ops ------------------------------------------------------------------------------------- */

int cpu_map_prepare(struct qdot_op *op, struct qdot_error *err)
{
    struct map_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    impl->run.op = op;
    impl->threads = op->threads.parallel_for && op->threads.threads > 1 ? op->threads.threads : 1;
    return QDOT_OK;
}

void cpu_map_run(struct qdot_op *op, const struct qdot_run *args)
{
    struct map_op *impl = op->impl;
    struct map_run *run = &impl->run;
    run->s = qdot_map_of_run(&op->p, args->m);
    run->from[0] = cpu_input(&args->a);
    run->from[1] = run->s.operands == 2 ? cpu_input(&args->b) : NULL;
    run->out = cpu_output_memory(&args->out);
    choose_blocks(run);
    const size_t threads = cpu_threads_for(impl->threads, args->m, op->p.a_bytes, 1,
                                           op->p.table ? TABLE_WORK : COPY_WORK);
    cpu_share(op, threads, (run->count - 1) / run->each + 1, do_item, run);
}
