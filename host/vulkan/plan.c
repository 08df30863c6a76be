/* The Vulkan rows; what one op needs of a device, and whether the device has it. */
#include <stdio.h>
#include "vk.h"

static const struct vk_row gemv_int_dot = {VK_SHADER_GEMV_DOT, .columns = 16, .local = 64};
static const struct vk_row gemv = {VK_SHADER_GEMV, .columns = 16, .local = 64};
static const struct vk_row gemm_float = {VK_SHADER_GEMM_FLOAT, .columns = 8};
static const struct vk_row int_dot = {VK_SHADER_GEMM_INT_DOT, .columns = 4};
static const struct vk_row portable = {VK_SHADER_GEMM, .columns = 4};
static const struct vk_row depthwise = {.shader = VK_SHADER_DEPTHWISE};
static const struct vk_row conv_int_dot = {.shader = VK_SHADER_CONV_INT_DOT};
static const struct vk_row conv = {.shader = VK_SHADER_CONV};
static const struct vk_row elements = {.shader = VK_SHADER_ELEMENTS};
static const struct vk_row map = {.shader = VK_SHADER_MAP};
static const struct vk_row pool = {.shader = VK_SHADER_POOL};

/* ---- niches ---------------------------------------------------------------------------------- */

static bool few_rows(const struct qdot_problem *p)
{
    return p->m <= 4;
}

static bool many_tiles(const struct qdot_problem *p)
{
    return p->m > 16 && p->n > 128;
}

/* Tiles enough for a GPU's processors? */
static bool tiles(const struct qdot_problem *p, size_t side, size_t least)
{
    const size_t down = (p->m + side - 1) / side, across = (p->n + side - 1) / side;
    return down >= least || across >= least || down * across >= least;
}

/* Where tiles are too few for that, k is cut into so many slices of at least SLICE. */
#define ENOUGH_TILES ((size_t)64)
#define SLICE ((size_t)512)
static size_t slices(const struct qdot_problem *p, size_t mr, size_t nr)
{
    const size_t down = (p->m + mr - 1) / mr, across = (p->n + nr - 1) / nr, most = p->k / SLICE;
    if (down >= ENOUGH_TILES || across >= ENOUGH_TILES || down * across >= ENOUGH_TILES ||
        most <= 1)
        return 1;
    const size_t wanted = (ENOUGH_TILES + down * across - 1) / (down * across);
    return wanted < most ? wanted : most;
}

static bool tiles_128(const struct qdot_problem *p)
{
    return p->m > 64 && p->n > 64 && tiles(p, 128, 96);
}

static bool tiles_64(const struct qdot_problem *p)
{
    return p->m > 32 && p->n > 32 && (tiles(p, 64, 48) || slices(p, 64, 64) > 1);
}

static bool tiles_32(const struct qdot_problem *p)
{
    return p->m > 8 && p->n > 16;
}

/* Groups of few channels would leave most of a tile's columns empty. */
static bool conv_tiles_64(const struct qdot_problem *p)
{
    return p->conv.og > 32 && p->m > 32 && tiles(p, 64, 48);
}

static bool conv_tiles_32(const struct qdot_problem *p)
{
    return p->conv.og > 16 && p->m > 16;
}

static const struct qdot_niche few_gpu = {few_rows, .with = VK_GPU, .text = "for m <= 4 on a GPU"};
static const struct qdot_niche few_gpu_dot = {few_rows, .with = VK_GPU, .hint = VK_SIGNED_DOT,
                                              .text = "for m <= 4 on a GPU with signed_dot"};
static const struct qdot_niche many_cpu = {many_tiles, .with = VK_CPU,
                                           .text = "for m > 16, n > 128 on a CPU"};

/* Tiles; those in the form that the device has an instruction for. */
static const struct qdot_niche ss_128 = {tiles_128, .with = VK_GPU, .hint = VK_SIGNED_DOT,
                                         .text = "for 96 tiles on a GPU with signed_dot"};
static const struct qdot_niche ss_64 = {tiles_64, .with = VK_GPU, .hint = VK_SIGNED_DOT,
                                        .text = "for 48 tiles on a GPU with signed_dot"};
static const struct qdot_niche ss_32 = {tiles_32, .with = VK_GPU, .hint = VK_SIGNED_DOT,
                                        .text = "for m > 8, n > 16 on a GPU with signed_dot"};
static const struct qdot_niche us_64 = {tiles_64, .with = VK_GPU, .hint = VK_MIXED_DOT,
                                        .text = "for 48 tiles on a GPU with mixed_dot"};
static const struct qdot_niche us_32 = {tiles_32, .with = VK_GPU, .hint = VK_MIXED_DOT,
                                        .text = "for m > 8, n > 16 on a GPU with mixed_dot"};
static const struct qdot_niche uu_64 = {tiles_64, .with = VK_GPU, .hint = VK_UNSIGNED_DOT,
                                        .text = "for 48 tiles on a GPU with unsigned_dot"};
static const struct qdot_niche floats_64 = {tiles_64, .with = VK_GPU,
                                            .text = "for 48 tiles on a GPU"};

static const struct qdot_niche conv_64 = {conv_tiles_64, .with = VK_GPU, .hint = VK_SIGNED_DOT,
                                          .text = "for 48 tiles on a GPU with signed_dot"};
static const struct qdot_niche conv_32 = {
    conv_tiles_32, .with = VK_GPU, .hint = VK_SIGNED_DOT,
    .text = "for more than 16 channels of a group on a GPU with signed_dot"};
/* Matrix units. */
static bool tiles_256(const struct qdot_problem *p)
{
    return p->m > 128 && p->n > 64 && tiles(p, 256, 128);
}

static bool conv_tiles_128(const struct qdot_problem *p)
{
    return p->conv.og > 64 && p->m > 64 && tiles(p, 128, 96);
}
static const struct qdot_niche matrix_256 = {tiles_256, .with = VK_GPU,
                                             .text = "for 128 tiles of 256 on a GPU"};
static const struct qdot_niche matrix_128 = {tiles_128, .with = VK_GPU,
                                             .text = "for 96 tiles on a GPU"};
static const struct qdot_niche matrix_64 = {tiles_32, .with = VK_GPU,
                                            .text = "for m > 8, n > 16 on a GPU"};
static const struct qdot_niche conv_matrix_128 = {conv_tiles_128, .with = VK_GPU,
                                                  .text = "for 96 tiles on a GPU"};
static const struct qdot_niche conv_matrix_64 = {
    conv_tiles_32, .with = VK_GPU, .text = "for more than 16 channels of a group on a GPU"};

static const struct qdot_niche conv_floats = {conv_tiles_64, .with = VK_GPU,
                                              .text = "for 48 tiles on a GPU"};

/* ---- rows ------------------------------------------------------------------------------------ */

/* A work-group of tiles: an invocation has edge * edge of side * side outputs; shared memory holds
 * 'depth' groups of k at a time. */
#define TILED(op, side, edge, groups)                                                         \
    {                                                                                         \
        VK_SHADER_##op##_TILED_DOT_##edge, side, (side) / (edge) * ((side) / (edge)), groups, \
            false                                                                             \
    }
static const struct vk_row tiled_128x8 = TILED(GEMM, 128, 8, 8);
static const struct vk_row tiled_128x16 = TILED(GEMM, 128, 8, 16);
static const struct vk_row tiled_128x32 = TILED(GEMM, 128, 8, 32);
static const struct vk_row tiled_64x8 = TILED(GEMM, 64, 8, 8);
static const struct vk_row tiled_64x16 = TILED(GEMM, 64, 8, 16);
static const struct vk_row tiled_64x32 = TILED(GEMM, 64, 4, 32);
static const struct vk_row tiled_32x16 = TILED(GEMM, 32, 4, 16);
static const struct vk_row tiled_float = {VK_SHADER_GEMM_TILED, .columns = 64, .local = 256,
                                          .depth = 16};
static const struct vk_row conv_64x16 = TILED(CONV, 64, 8, 16);
static const struct vk_row conv_32x16 = TILED(CONV, 32, 4, 16);
static const struct vk_row conv_float = {VK_SHADER_CONV_TILED, .columns = 64, .local = 256,
                                         .depth = 16};

/* By matrix units: 4 groups of 16 k in shared memory. */
#define MATRIX(op, side, invocations)                                                            \
    {                                                                                            \
        VK_SHADER_##op##_COOP, .columns = side, .local = invocations, .depth = 4, .matrix = true \
    }
static const struct vk_row coop_256x128 = MATRIX(GEMM, 128, 256);
static const struct vk_row coop_128x128 = MATRIX(GEMM, 128, 256);
static const struct vk_row coop_64x64 = MATRIX(GEMM, 64, 128);
static const struct vk_row conv_coop_128x128 = MATRIX(CONV, 128, 256);
static const struct vk_row conv_coop_64x64 = MATRIX(CONV, 64, 128);

#define GEMM(row_name, features, rows, columns, a, b, why, how)                               \
    {                                                                                         \
        .name = row_name, .needs = features, .mr = rows, .nr = columns, .kr = 4, .a_form = a, \
        .b_form = b, .niche = why, .impl = how                                                \
    }
#define SS(name, side, why, how) GEMM(name, VK_INT_DOT, side, side, QDOT_S8, QDOT_S8, why, how)
#define US(name, side, why, how) GEMM(name, VK_INT_DOT, side, side, QDOT_U8, QDOT_S8, why, how)
#define UU(name, side, why, how) GEMM(name, VK_INT_DOT, side, side, QDOT_U8, QDOT_U8, why, how)
#define PLAIN(name, mr, nr, why, how) GEMM(name, 0, mr, nr, QDOT_S8, QDOT_S8, why, how)

#define COOP(row_name, kind, rows, columns, why, how)                                        \
    {                                                                                        \
        .name = row_name, .op = kind, .needs = VK_COOP, .mr = rows, .nr = columns, .kr = 16, \
        .pass = 64, .a_form = QDOT_S8, .b_form = QDOT_S8, .niche = why, .impl = how          \
    }

#define CONV(row_name, features, rows, columns, why, how)                                         \
    {                                                                                             \
        .name = row_name, .op = QDOT_CONV, .needs = features, .mr = rows, .nr = columns, .kr = 4, \
        .a_form = QDOT_S8, .b_form = QDOT_S8, .niche = why, .impl = how                           \
    }

/* kN of the tiles' names: bytes of k that shared memory holds at a time. */
const struct qdot_row vk_rows[VK_ROWS] = {
    GEMM("gemv_4x16k4_dot", VK_INT_DOT, 4, 16, QDOT_S8, QDOT_S8, &few_gpu_dot, &gemv_int_dot),
    PLAIN("gemv_4x16k4", 4, 16, &few_gpu, &gemv),
    COOP("gemm_256x128k64_coop", QDOT_GEMM, 256, 128, &matrix_256, &coop_256x128),
    COOP("gemm_128x128k64_coop", QDOT_GEMM, 128, 128, &matrix_128, &coop_128x128),
    COOP("gemm_64x64k64_coop", QDOT_GEMM, 64, 64, &matrix_64, &coop_64x64),
    SS("gemm_128x128k64_dot", 128, &ss_128, &tiled_128x16),
    SS("gemm_128x128k128_dot", 128, &ss_128, &tiled_128x32),
    SS("gemm_128x128k32_dot", 128, &ss_128, &tiled_128x8),
    SS("gemm_64x64k64_dot", 64, &ss_64, &tiled_64x16),
    SS("gemm_64x64k128_dot", 64, &ss_64, &tiled_64x32),
    SS("gemm_64x64k32_dot", 64, &ss_64, &tiled_64x8),
    US("gemm_64x64k64_usdot", 64, &us_64, &tiled_64x16),
    UU("gemm_64x64k64_udot", 64, &uu_64, &tiled_64x16),
    SS("gemm_32x32k64_dot", 32, &ss_32, &tiled_32x16),
    US("gemm_32x32k64_usdot", 32, &us_32, &tiled_32x16),
    PLAIN("gemm_64x64k64_float", 64, 64, &floats_64, &tiled_float),
    PLAIN("gemm_16x16k4_float", 16, 16, &many_cpu, &gemm_float),
    /* Signed by signed is the form that devices accelerate first. */
    GEMM("gemm_8x16k4_dot", VK_INT_DOT, 8, 16, QDOT_S8, QDOT_S8, NULL, &int_dot),
    PLAIN("gemm_8x16k4", 8, 16, NULL, &portable),
    {.name = "depthwise_4x16",
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 4,
     .nr = 16,
     .kr = 1,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &depthwise},
    COOP("conv_128x128k64_coop", QDOT_CONV, 128, 128, &conv_matrix_128, &conv_coop_128x128),
    COOP("conv_64x64k64_coop", QDOT_CONV, 64, 64, &conv_matrix_64, &conv_coop_64x64),
    CONV("conv_64x64k64_dot", VK_INT_DOT, 64, 64, &conv_64, &conv_64x16),
    CONV("conv_32x32k64_dot", VK_INT_DOT, 32, 32, &conv_32, &conv_32x16),
    CONV("conv_64x64k64_float", 0, 64, 64, &conv_floats, &conv_float),
    CONV("conv_8x16k4_dot", VK_INT_DOT, 8, 16, NULL, &conv_int_dot),
    CONV("conv_8x16k4", 0, 8, 16, NULL, &conv),
    {.name = "quantize", .op = QDOT_QUANTIZE, .mr = 1, .nr = 4, .kr = 1, .impl = &elements},
    {.name = "map", .op = QDOT_MAP, .mr = 1, .nr = 16, .kr = 1, .impl = &map},
    {.name = "max_pool", .op = QDOT_MAX_POOL, .mr = 1, .nr = 4, .kr = 1, .impl = &pool},
    {.name = "average_pool", .op = QDOT_AVERAGE_POOL, .mr = 1, .nr = 4, .kr = 1, .impl = &pool},
};

#define MAX_SIZE (((size_t)1 << 31) - 64) /* shaders count rows, columns and k in 32 bits */

/* llvmpipe ends loops without a word after 65535 iterations, counted over all loops of a shader,
 * and may sit unseen under another driver. The loops over groups of k and over taps are those that
 * come near; what is left of 65535 is for the loops beside them. */
#define MAX_GROUPS ((size_t)65000)

/* Images are taken in slabs whose copy, and what else they need, is about this much. */
#define SLAB_BYTES ((size_t)64 << 20)

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

static bool gemm_plan(const struct qdot_row *row, const struct qdot_problem *p,
                      struct vk_plan *plan)
{
    size_t *bytes = plan->bytes;
    const size_t k_pad = round_up(p->k, row->kr), words = round_up(p->k, 4);
    plan->terms_ld = round_up(p->n, row->nr);
    plan->rows_ld = p->m;
    plan->a_ld = words; /* rows begin at whole words */
    plan->b_ld = p->b_transposed ? words : round_up(p->n, 4);
    plan->out_ld = p->out_bytes == 1 ? round_up(p->n, 4) : p->n;

    /* Slices are whole fills of shared memory: 128 k are, of every row. */
    if (((const struct vk_row *)row->impl)->depth > 0) {
        const size_t each = round_up(vk_divide_up(p->k, slices(p, row->mr, row->nr)), 128);
        plan->slices = vk_divide_up(p->k, each);
        plan->slice = each / row->kr;
        bytes[VK_PARTS] = plan->slices > 1 ? plan->slices * p->m * round_up(p->n, 4) * 4 : 0;
    }
    bytes[VK_TERMS] = (plan->terms_ld * TERMS + p->m * ROW_ARRAYS) * 4;
    bytes[VK_ROWS_IN] = p->a_zero_per_row || p->row_scale ? p->m * 2 * 4 : 0;
    return qdot_mul_size(round_up(p->m, row->mr), k_pad, &bytes[VK_A]) &&
           qdot_mul_size(plan->terms_ld, k_pad, &bytes[VK_B]) &&
           qdot_mul_size(p->m, plan->a_ld, &bytes[VK_A_IN]) &&
           qdot_mul_size(p->b_at_run ? (p->b_transposed ? p->n : p->k) : 0, plan->b_ld,
                         &bytes[VK_B_IN]) &&
           qdot_mul_size(p->m * p->out_bytes, plan->out_ld, &bytes[VK_OUT]);
}

/* Lines and columns as far as taps reach. The sizes of a geometry are below 2^31, so a sum of two
 * products of two of them does not overflow. */
static bool conv_plan(const struct qdot_row *row, const struct qdot_problem *p,
                      struct vk_plan *plan)
{
    const struct qdot_geometry *g = &p->conv;
    struct vk_copy *copy = &plan->copy;
    struct qdot_packed packed;
    size_t *bytes = plan->bytes, sums;
    copy->lines = (g->oh - 1) * g->stride_h + (g->kh - 1) * g->dilation_h + 1;
    copy->columns = (g->ow - 1) * g->stride_w + (g->kw - 1) * g->dilation_w + 1;
    copy->parts = row->depthwise ? 1 : g->groups;
    copy->channels = row->depthwise ? g->o : g->cg;
    copy->multiplier = row->depthwise ? g->og : 1;
    copy->words = row->kr == 1 ? (copy->channels + 3) / 4 : round_up(copy->channels, row->kr) / 4;
    if (!qdot_packed_layout(row, p, &packed) ||
        !qdot_mul_size(copy->lines, copy->columns, &copy->image_words) ||
        !qdot_mul_size(copy->image_words, copy->parts * copy->words, &copy->image_words) ||
        copy->image_words > MAX_SIZE || packed.n_pad > MAX_SIZE)
        return false;
    /* The sums of windows, which the depthwise kernel does without. */
    if (!qdot_mul_size(p->unit_rows, row->depthwise ? 0 : copy->parts, &sums) || sums > MAX_SIZE)
        return false;
    copy->images = SLAB_BYTES / 4 / (copy->image_words + sums);
    copy->images = copy->images < 1 ? 1 : copy->images > g->batch ? g->batch : copy->images;

    plan->terms_ld = packed.n_pad;
    plan->rows_ld = copy->images * p->unit_rows;
    plan->a_ld = g->c;
    plan->out_ld = p->out_bytes == 1 && !g->nchw ? round_up(p->n, 4) : p->n;
    bytes[VK_A] = copy->images * copy->image_words * 4;
    bytes[VK_B] = packed.panels_bytes;
    bytes[VK_TERMS] = (plan->terms_ld * TERMS + copy->images * sums) * 4;
    return qdot_mul_size(p->units, p->a_bytes, &bytes[VK_A_IN]) &&
           qdot_mul_size(p->m * p->out_bytes, plan->out_ld, &bytes[VK_OUT]);
}

bool vk_plan(const struct qdot_row *row, const struct qdot_problem *p, struct vk_plan *plan,
             char *reason, size_t reason_bytes)
{
    *plan = (struct vk_plan){.slices = 1};
    if (row->op == QDOT_QUANTIZE) {
        vk_elements_plan(p, plan); /* what fits into a buffer can be counted */
        return true;
    }
    if (!qdot_is_product(row->op))
        return vk_bytes_plan(p, plan, reason, reason_bytes);
    if (p->m <= MAX_SIZE && p->n <= MAX_SIZE && p->k <= MAX_SIZE &&
        (p->op == QDOT_CONV ? conv_plan(row, p, plan) : gemm_plan(row, p, plan)))
        return true;
    const struct vk_copy *copy = &plan->copy;
    if (copy->lines > 0)
        snprintf(reason, reason_bytes,
                 "conv: %zu x %zu pixels of %zu channels with the padding, at most %zu words, and "
                 "as many windows",
                 copy->lines, copy->columns, copy->parts * copy->channels, MAX_SIZE);
    else
        snprintf(reason, reason_bytes,
                 "m, n, k = %zu, %zu, %zu: at most %zu, and products below 2^63", p->m, p->n, p->k,
                 MAX_SIZE);
    return false;
}

/* Iterations of the loops of the kernels that sum. */
static bool loops_fit(const struct qdot_row *row, const struct qdot_problem *p,
                      const struct vk_plan *plan, char *reason, size_t reason_bytes)
{
    const struct qdot_geometry *g = &p->conv;
    if (row->op == QDOT_QUANTIZE || row->op == QDOT_MAP)
        return true;
    if (p->op == QDOT_GEMM) {
        /* Tiles take two groups a turn, and turns around those; blocks of floats are few. */
        const size_t groups = (p->k + 3) / 4;
        if (groups + groups / 128 <= MAX_GROUPS)
            return true;
        snprintf(reason, reason_bytes, "k: %zu, shaders sum at most %zu", p->k,
                 MAX_GROUPS / 129 * 128 * 4);
        return false;
    }
    /* Each loop takes one more, to find that it is at its end; k is at most 2^31. */
    const bool windows = qdot_is_pool(row->op); /* of four windows */
    const size_t tap = row->depthwise || windows ? 1 : plan->copy.words + 2;
    const size_t loops = (g->kh * (g->kw * tap + 2) + 1) * (windows ? 4 : 1);
    if (loops <= MAX_GROUPS)
        return true;
    snprintf(reason, reason_bytes,
             "conv: a kernel of %zu x %zu and %zu channels takes %zu steps, shaders take at most "
             "%zu",
             g->kh, g->kw, g->cg, loops, MAX_GROUPS);
    return false;
}

uint32_t vk_local(const struct qdot_device *device, const struct qdot_row *row)
{
    const struct vk_row *impl = row->impl;
    if (!impl->matrix || ((const struct vk_device *)device->impl)->coop.subgroup >= 32)
        return impl->local;
    /* Where subgroups are small, so are the registers of an invocation. */
    const uint32_t least = (uint32_t)row->mr * row->nr / 64;
    return impl->local > least ? impl->local : least;
}

/* Shared memory of a row with a work-group of its own: A and B, or sums on their way to the output,
 * of matrix units from 'down' subgroups one above the other. */
static uint32_t shared_bytes(const struct vk_device *vkd, const struct qdot_row *row, uint32_t down)
{
    const struct vk_row *impl = row->impl;
    if (!impl->matrix)
        return 2u * row->mr * impl->depth * 4; /* 0 for most */
    const uint32_t operands = (row->mr + row->nr) * (impl->depth * 16 + 16u);
    const uint32_t sums = down * vkd->coop.m * (row->nr * 4u + 16);
    const uint32_t windows = row->op == QDOT_CONV ? row->mr * 4u : 0;
    return (operands > sums ? operands : sums) + windows;
}

/* How so many subgroups share a tile: parts of whole products, with as few edges as there is memory
 * for. 0: not at all. */
static uint32_t subgroups_down(const struct vk_device *vkd, const struct qdot_row *row,
                               uint32_t subgroups)
{
    uint32_t best = 0, best_edges = UINT32_MAX;
    for (uint32_t down = 1; down <= subgroups; down *= 2) {
        const uint32_t across = subgroups / down, edges = row->mr / down + row->nr / across;
        if (row->mr % (down * vkd->coop.m) == 0 && row->nr % (across * vkd->coop.n) == 0 &&
            shared_bytes(vkd, row, down) <= vkd->limits.maxComputeSharedMemorySize &&
            edges < best_edges) {
            best = down;
            best_edges = edges;
        }
    }
    return best;
}

void vk_coop_constants(const struct qdot_op *op, uint32_t *constants)
{
    const struct vk_row *row = op->row->impl;
    if (!row->matrix)
        return;
    const struct vk_device *vkd = op->device->impl;
    const struct vk_coop *coop = &vkd->coop;
    const uint32_t subgroups = vk_local(op->device, op->row) / coop->subgroup;
    constants[CONSTANT_WIDE] = op->row->nr;
    constants[CONSTANT_DOWN] = subgroups_down(vkd, op->row, subgroups);
    constants[CONSTANT_ACROSS] = subgroups / constants[CONSTANT_DOWN];
    constants[CONSTANT_M] = coop->m;
    constants[CONSTANT_N] = coop->n;
    constants[CONSTANT_K] = coop->k;
}

/* Of the rows whose work-groups have a size of their own; any device has VK_LOCAL invocations. */
static bool work_group_fits(const struct qdot_device *device, const struct qdot_row *row,
                            char *reason, size_t reason_bytes)
{
    const struct vk_device *vkd = device->impl;
    const VkPhysicalDeviceLimits *limits = &vkd->limits;
    const struct vk_coop *coop = &vkd->coop;
    const bool matrix = ((const struct vk_row *)row->impl)->matrix;
    const uint32_t local = vk_local(device, row), subgroups = matrix ? local / coop->subgroup : 0;
    const uint32_t down = subgroups_down(vkd, row, subgroups);
    const uint32_t shared = shared_bytes(vkd, row, down);
    if (local > limits->maxComputeWorkGroupInvocations ||
        local > limits->maxComputeWorkGroupSize[0]) {
        snprintf(reason, reason_bytes, "a work-group of %u invocations, the device has at most %u",
                 local, limits->maxComputeWorkGroupInvocations);
        return false;
    }
    if (shared > limits->maxComputeSharedMemorySize) {
        snprintf(reason, reason_bytes, "%u bytes of shared memory, the device has %u", shared,
                 limits->maxComputeSharedMemorySize);
        return false;
    }
    if (matrix && (down == 0 || (coop->asks && subgroups > coop->most_subgroups))) {
        snprintf(reason, reason_bytes, "%u subgroups cannot share the tile in products of %u x %u",
                 subgroups, coop->m, coop->n);
        return false;
    }
    return true;
}

bool vk_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
             char *reason, size_t reason_bytes)
{
    const char *const names[VK_BUFFERS] = {
        p && p->op == QDOT_CONV ? "the padded input" : "packed A",
        "packed B",
        "terms",
        "sums of slices",
        "A",
        "B",
        "zero points and factors of rows",
        "the output",
    };
    const struct vk_device *vkd = device->impl;
    const VkPhysicalDeviceLimits *limits = &vkd->limits;
    struct vk_plan plan;
    if (!p)
        return work_group_fits(device, row, reason, reason_bytes);
    const bool integers =
        p->op == QDOT_AVERAGE_POOL
            ? !p->average.scaled
            : p->out_type == QDOT_S32 || !qdot_is_product(row->op) ||
                  (p->out_type != QDOT_F32 && p->rounding >= QDOT_ROUND_Q31_DOUBLE_AWAY);
    if (!integers && !(device->features & VK_FLOAT_CONTROLS)) {
        snprintf(
            reason, reason_bytes,
            "needs float_controls for f32 outputs, roundings and averages of floats: the device "
            "may round otherwise than to nearest");
        return false;
    }
    if (!vk_plan(row, p, &plan, reason, reason_bytes) ||
        !loops_fit(row, p, &plan, reason, reason_bytes))
        return false;
    uint64_t total[2] = {0, 0}; /* of the two allocations, alignment (at most 64 KiB) included */
    for (size_t i = 0; i < VK_BUFFERS; i++) {
        if (round_up(plan.bytes[i], 4) > limits->maxStorageBufferRange) {
            snprintf(reason, reason_bytes, "%s: %zu bytes, a shader sees at most %u", names[i],
                     plan.bytes[i], limits->maxStorageBufferRange);
            return false;
        }
        total[i >= VK_FIRST_HOST] += plan.bytes[i] + 65536;
    }
    for (size_t i = 0; i < 2; i++) {
        if (total[i] > vkd->max_alloc) {
            snprintf(reason, reason_bytes, "%llu bytes, the device allocates at most %llu",
                     (unsigned long long)total[i], (unsigned long long)vkd->max_alloc);
            return false;
        }
    }
    if (!qdot_is_product(row->op))
        return true;
    /* The narrowest work-group is 16 x 4 columns, unless one has them all or the row says so;
     * columns are counted in fours, of each part. Rows take as many dispatches as they need. */
    const struct vk_row *impl = row->impl;
    const size_t parts = p->op == QDOT_CONV ? plan.copy.parts : 1;
    const size_t groups = vk_local(device, row) ? plan.terms_ld / impl->columns
                                                : (p->n / parts + 3) / 4 * parts / 16 + 1;
    if (groups > limits->maxComputeWorkGroupCount[0]) {
        snprintf(reason, reason_bytes, "n: %zu work-groups, a dispatch has at most %u", groups,
                 limits->maxComputeWorkGroupCount[0]);
        return false;
    }
    return true;
}
