/* The case groups of GEMM rows. */
#include "conform_make.h"

enum { DEPTHS = 6 };

static size_t depth(const struct geometry *g, size_t i)
{
    const size_t depths[DEPTHS] = {1, g->kr, g->kr + 1, 67, 256, 4 * g->kr - 1};
    size_t k = depths[i];
    return g->small && k > 40 ? 37 : k;
}

/* A shape of a few tiles with all three edges ragged. */
static void ragged(const struct geometry *g, struct random *r, struct conform_case *c)
{
    size_t limit = g->small ? 24 : 200;
    c->m = random_between(r, 1, 2 * g->mr + 3);
    c->n = random_between(r, 1, 2 * g->nr + 3);
    c->k = random_between(r, 1, limit);
    if (g->small) {
        c->m = c->m > 40 ? 40 : c->m;
        c->n = c->n > 40 ? 40 : c->n;
    }
}

/* ---- the groups ------------------------------------------------------------------------------ */

bool gemm_edge(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * DEPTHS)
        return false;
    c->m = make_edge(g->mr, index % EDGES);
    c->n = make_edge(g->nr, index / EDGES % EDGES);
    c->k = depth(g, index / (EDGES * EDGES) % DEPTHS);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    return true;
}

bool gemm_signs(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= SIGNS)
        return false;
    ragged(g, r, c);
    make_signs(r, c, index);
    return true;
}

bool gemm_zeros(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const enum zero modes[5] = {ZERO_NONE, ZERO_ONE, ZERO_LOW, ZERO_HIGH, ZERO_EACH};
    if (index >= 5 * 5 * 4 * 2)
        return false;
    ragged(g, r, c);
    c->a_zero = modes[index % 5];
    c->b_zero = modes[index / 5 % 5];
    size_t signs = index / 25 % 4;
    make_types(c, signs + 4 * random_below(r, 4));
    make_output(r, c);
    c->bias = index / 100;
    c->b_transposed = random_below(r, 2);
    c->a_fill = c->b_fill = random_below(r, 2) ? FILL_MIXED : FILL_EXTREME;
    return true;
}

bool gemm_output(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 4 * OUTPUTS * 3)
        return false;
    size_t kind = index / 4 % OUTPUTS;
    ragged(g, r, c);
    if (make_few_products(kind))
        c->k = random_between(r, 1, 5);
    make_rounding(r, c, index & 3, kind);
    return true;
}

bool gemm_strides(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 8 * 2 * 4)
        return false;
    ragged(g, r, c);
    make_types(c, index % 16);
    make_output(r, c);
    c->a_gap = index & 1 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->b_gap = index & 2 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->out_gap = index & 4 ? PICK(r, 1, 3, 7, 64, 129) : 0;
    c->b_transposed = index / 8 % 2;
    c->a_zero = make_zero(r);
    c->b_zero = make_zero(r);
    c->place = index / 16 % 2 ? PLACE_HOST_END : PLACE_HOST_START;
    return true;
}

bool gemm_one_shot(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 16 * 3)
        return false;
    if (index < 16) {
        c->m = make_edge(g->mr, index % EDGES);
        c->n = make_edge(g->nr, index / 3 % EDGES);
        c->k = depth(g, index % DEPTHS);
    } else {
        ragged(g, r, c);
    }
    make_types(c, index % 16);
    make_rest(r, c);
    c->b_at_run = true;
    c->runs = random_between(r, 1, 3);
    if (index >= 32)
        c->place = index % 2 ? PLACE_BUFFERS : PLACE_SHARED;
    return true;
}

/* Accumulators past 2^24, where (float)acc itself rounds, and past 2^32, where they wrap. */
bool gemm_large(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 16 * 2 + 4)
        return false;
    make_types(c, index < 32 ? index % 16 : index - 32);
    c->m = random_between(r, 1, g->mr < 8 ? g->mr + 1 : 8);
    c->n = random_between(r, 1, g->nr < 16 ? g->nr + 1 : 16);
    c->k = index < 16 ? random_between(r, 2000, 5000) : 70000;
    if (index == 31)
        c->k = 250000; /* compilers of shaders have been seen to end loops early */
    if (index >= 32)
        c->k = 65536 - index % 2;
    if (g->small)
        c->k = 601;
    c->a_fill = c->b_fill = index < 16 ? FILL_ANY : index < 32 ? FILL_CONSTANT : FILL_EXTREME;
    c->a_byte = c->a_type == QDOT_U8 ? 0xff : 0x80;
    c->b_byte = c->b_type == QDOT_U8 ? 0xff : 0x80;
    c->bias = c->wide_bias = true;
    c->a_zero = index < 16 ? make_zero(r) : (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH);
    c->b_zero = index < 16 ? make_zero(r) : (enum zero)PICK(r, ZERO_NONE, ZERO_LOW, ZERO_HIGH);
    make_output(r, c);
    if (c->out_type != QDOT_S32 && index % 2)
        c->scale = ref_size(c->out_type) == 1 ? SCALE_ONE : SCALE_NONE;
    return true;
}

bool gemm_runs(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 24)
        return false;
    ragged(g, r, c);
    c->m += g->small ? 2 : g->mr;
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    c->runs = RUNS_MAX;
    return true;
}

bool gemm_buffers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 48)
        return false;
    ragged(g, r, c);
    make_types(c, index % 16);
    make_rest(r, c);
    c->place = index / 16 % 2 ? PLACE_SHARED : PLACE_BUFFERS;
    c->runs = random_between(r, 1, RUNS_MAX);
    c->b_at_run = index % 5 == 4;
    return true;
}

bool gemm_chain(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 12)
        return false;
    ragged(g, r, c);
    make_types(c, (index & 3) + 8 + 4 * (index / 4 % 2));
    make_rest(r, c);
    c->scale = SCALE_ONE;
    c->clamp_lo = c->clamp_hi = 0;
    c->a_gap = c->out_gap = 0;
    c->place = PLACE_BUFFERS;
    c->chain = true;
    c->runs = 2;
    return true;
}

/* Nothing is read or written outside any operand, all kinds of operands present. */
static void memory_case(const struct geometry *g, size_t index, struct random *r,
                        struct conform_case *c)
{
    c->m = make_edge(g->mr, index % EDGES);
    c->n = make_edge(g->nr, index / EDGES % EDGES);
    c->k = depth(g, index % DEPTHS);
    make_types(c, index % 16);
    make_rest(r, c);
    c->a_zero = index % 3 ? ZERO_EACH : ZERO_NONE;
    c->b_zero = index % 2 ? ZERO_EACH : ZERO_ONE;
    c->bias = true;
    if (c->out_type == QDOT_F32)
        c->row_scale = c->bias_f = FLOATS_ANY;
    if (c->out_type != QDOT_S32)
        c->scale = SCALE_EACH;
    c->b_at_run = index % 4 == 3;
    c->a_gap = index % 7 == 6 ? 5 : 0;
    c->out_gap = index % 7 == 5 ? 5 : 0;
}

bool gemm_memory(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_HOST_START : PLACE_HOST_END;
    return true;
}

bool gemm_wrapped(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 2 * EDGES * EDGES * 2)
        return false;
    memory_case(g, index / 2, r, c);
    c->place = index % 2 ? PLACE_WRAPPED_START : PLACE_WRAPPED_END;
    c->runs = 1 + index % 3 / 2;
    return true;
}

/* Everything at random, to reach the combinations that nobody thought of. */
bool gemm_random(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 600)
        return false;
    ragged(g, r, c);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, true);
    c->place = (enum place)random_below(r, PLACE_SHARED + 1);
    c->runs = random_between(r, 1, 3);
    c->b_at_run = random_below(r, 4) == 0;
    c->wide_bias = random_below(r, 4) == 0;
    c->packed = !c->b_at_run && random_below(r, 4) == 0;
    return true;
}

bool gemm_packed(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 16)
        return false;
    ragged(g, r, c);
    make_types(c, index);
    make_rest(r, c);
    c->packed = true;
    return true;
}

bool gemm_threads(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const size_t threads[4] = {1, 2, 3, 7};
    if (index >= 4 * 6)
        return false;
    size_t shape = index / 4;
    /* most of them large enough that a row would want all 7 threads */
    c->m = g->small ? 21 : (const size_t[]){1, 5 * g->mr + 1, 333, 64, 37, 200}[shape];
    c->n = g->small ? 37 : (const size_t[]){997, 7 * g->nr + 1, 129, 256, 1, 65}[shape];
    c->k = g->small ? 19 : (const size_t[]){3000, 2001, 300, 512, 777, 400}[shape];
    make_types(c, shape * 3 + index % 4);
    make_rest(r, c);
    make_any_rounding(r, c, false);
    c->b_at_run = shape % 2;
    c->threads = threads[index % 4];
    c->runs = 2;
    return true;
}

/* Each dimension in turn past what a kernel is likely to block by, the others a few ragged tiles.
 */
bool gemm_blocks(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (g->small || index >= 12)
        return false;
    ragged(g, r, c);
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, true);
    if (index % 3 == 0)
        c->m = random_between(r, 600, 1500);
    else if (index % 3 == 1)
        c->n = random_between(r, 3000, 6000);
    else
        c->k = random_between(r, 3000, 9000);
    c->b_at_run = index / 3 % 2;
    return true;
}

/* Shapes that are cut only where caches are small: several blocks of rows, several cuts of K. */
bool gemm_caches(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    if (index >= 32)
        return false;
    ragged(g, r, c);
    if (!g->small) {
        c->m = random_between(r, 1, 9 * g->mr);
        c->k = random_between(r, 100, 1200);
    }
    make_types(c, random_below(r, 16));
    make_rest(r, c);
    make_any_rounding(r, c, false);
    c->b_at_run = index / 4 % 4 == 3;
    make_caches(r, c, index);
    return true;
}

/* ResNet-50: first convolution, a 1x1, a 3x3 and the classifier, as GEMMs of their im2col form.
 * BERT base: a projection and the two halves of a feed-forward block. M is cut to keep it short. */
bool gemm_layers(const struct geometry *g, size_t index, struct random *r, struct conform_case *c)
{
    static const size_t layers[][3] = {{196, 64, 147},  {49, 512, 256},  {49, 128, 1152},
                                       {1, 1000, 2048}, {128, 768, 768}, {16, 3072, 768},
                                       {16, 768, 3072}};
    if (g->small || index >= sizeof(layers) / sizeof(layers[0]))
        return false;
    c->m = layers[index][0];
    c->n = layers[index][1];
    c->k = layers[index][2];
    make_types(c, (index & 1) + 4 * (index % 4));
    c->a_fill = FILL_ANY;
    c->b_fill = FILL_ANY;
    c->a_zero = c->a_type == QDOT_U8 ? ZERO_ONE : ZERO_NONE;
    c->bias = true;
    make_output(r, c);
    return true;
}
