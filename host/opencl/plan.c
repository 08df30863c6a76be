/* What one op needs of a device, and whether the device has it. */
#include <stdio.h>
#include "opencl.h"

/* Bounds the memory of packed A whatever m is, and of padded images, of which one at least is there
 * at a time. */
#define SLAB_BYTES ((size_t)64 << 20)
#define MAX_SIZE (((size_t)1 << 31) - 64) /* kernels count rows, columns and k in 32 bits */

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* Slices of k so that all tiles together are some 2^21 sums: work-groups that fill a large device, and
 * no more than 8 MB that are written and read again. Each slice has whole passes. */
static size_t slices_of(const struct qdot_row *row, const struct qdot_problem *p)
{
    const size_t passes = round_up(p->k, row->pass) / row->pass;
    const size_t tiles = round_up(p->m, row->mr) / row->mr * (round_up(p->n, row->nr) / row->nr);
    size_t slices = ((size_t)1 << 21) / (tiles * row->mr * row->nr);
    if (slices > passes)
        slices = passes;
    if (slices <= 1)
        return 1;
    const size_t each = (passes + slices - 1) / slices;
    return (passes + each - 1) / each;
}

/* Sizes are below 2^31, the factors a few at most, so that only products of two sizes overflow. */
static bool plan_gemm(const struct qdot_row *row, const struct qdot_problem *p,
                      struct ocl_plan *plan)
{
    const struct ocl_row *impl = row->impl;
    const bool is_float = impl->kind == OCL_ROW_FLOAT;
    size_t *bytes = plan->bytes;
    plan->groups = round_up(p->k, row->kr > 4 ? row->kr : 4) / 4;

    plan->slices = impl->split ? slices_of(row, p) : 1;
    const bool sums = is_float || impl->split;
    const size_t a_row = plan->groups * 4 * impl->a_bytes;
    const size_t c_row = plan->terms_ld * 4 * plan->slices;
    const size_t widest = sums && c_row > a_row ? c_row : a_row;
    plan->slab = widest ? round_up(SLAB_BYTES / widest + 1, 64) : SIZE_MAX;
    if (plan->slab > round_up(p->m, row->mr))
        plan->slab = round_up(p->m, row->mr);

    bytes[OCL_A_ZERO] = p->a_zero_per_row ? p->m * 4 : 0;
    bytes[OCL_ROW_SCALE] = p->row_scale ? p->m * 4 : 0;
    bytes[OCL_ROW_SUM] = a_row ? p->m * 4 : 0;
    bytes[OCL_A] = plan->slab * a_row;
    bytes[OCL_C] = is_float ? plan->slab * c_row : 0;
    bytes[OCL_ACC] = sums ? plan->slab * c_row : 0;
    bytes[OCL_B_IN] = p->b_at_run ? p->n * p->k : 0;
    return qdot_mul_size(round_up(p->n, row->nr) * impl->b_bytes, plan->groups * 4, &bytes[OCL_B]);
}

/* Kernels count the words of an image's padded copy in 32 bits, and the tiles of a slab. */
static bool plan_conv(const struct qdot_row *row, const struct qdot_problem *p,
                      const struct qdot_packed *packed, struct ocl_plan *plan, char *reason,
                      size_t reason_bytes)
{
    const struct ocl_row *impl = row->impl;
    const struct qdot_geometry *g = &p->conv;
    struct ocl_copy *c = &plan->copy;
    /* Each of these products is below 2^62. */
    c->lines = (g->oh - 1) * g->stride_h + (g->kh - 1) * g->dilation_h + 1;
    c->columns = (g->ow - 1) * g->stride_w + (g->kw - 1) * g->dilation_w + 1;
    c->groups = row->depthwise ? 1 : g->groups;
    c->channels = row->depthwise ? p->n : g->cg;
    c->words = row->depthwise ? packed->n_pad / 4 : round_up(g->cg, row->kr) / 4;
    c->multiplier = row->depthwise ? g->og : 1;
    size_t image_words;
    if (!qdot_mul_size(c->groups, c->columns, &c->line_cells) ||
        !qdot_mul_size(c->line_cells, c->lines, &c->image_cells) ||
        !qdot_mul_size(c->image_cells, c->words, &image_words) || image_words > MAX_SIZE) {
        snprintf(reason, reason_bytes,
                 "a padded image of %zu x %zu pixels of %zu words: at most %zu words", c->lines,
                 c->columns, c->groups * c->words, MAX_SIZE);
        return false;
    }
    const size_t tiles = (p->unit_rows / row->mr + 1) * (packed->n_pad / row->nr);
    if (tiles > MAX_SIZE) {
        snprintf(reason, reason_bytes, "an output image of %zu tiles: at most %zu", tiles,
                 MAX_SIZE);
        return false;
    }
    const size_t image_bytes = image_words * 4 * impl->a_bytes;
    plan->slab = SLAB_BYTES / image_bytes;
    if (plan->slab > MAX_SIZE / tiles)
        plan->slab = MAX_SIZE / tiles;
    if (plan->slab > p->units)
        plan->slab = p->units;
    if (plan->slab == 0)
        plan->slab = 1;
    plan->bytes[OCL_A] = plan->slab * image_bytes;
    plan->bytes[OCL_ROW_SUM] = row->depthwise ? 0 : plan->slab * c->image_cells * 4;
    plan->bytes[OCL_B] = packed->panels_bytes;
    plan->taps =
        impl->lanes[0] ? round_up(packed->k_groups * row->kr, row->pass) / OCL_TAP(row) : 0;
    plan->bytes[OCL_TAPS] = plan->taps * 4;
    return true;
}

bool ocl_plan(const struct qdot_row *row, const struct qdot_problem *p, struct ocl_plan *plan,
              char *reason, size_t reason_bytes)
{
    struct qdot_packed packed;
    *plan = (struct ocl_plan){0};
    if (row->op == QDOT_QUANTIZE)
        return ocl_plan_elements(p, plan, reason, reason_bytes);
    if (!qdot_is_product(row->op))
        return ocl_plan_bytes(p, plan, reason, reason_bytes);
    snprintf(reason, reason_bytes, "%s = %zu, %zu, %zu: at most %zu, and products below 2^63",
             p->op == QDOT_CONV ? "output pixels, channels, taps" : "m, n, k", p->m, p->n, p->k,
             MAX_SIZE);
    if (p->m > MAX_SIZE || p->n > MAX_SIZE || p->k > MAX_SIZE ||
        !qdot_packed_layout(row, p, &packed) || packed.n_pad > MAX_SIZE ||
        !qdot_mul_size(p->units, p->a_bytes, &plan->bytes[OCL_A_IN]) ||
        !qdot_mul_size(p->m * p->out_bytes, p->n, &plan->bytes[OCL_OUT]))
        return false;
    plan->terms_ld = round_up(packed.n_pad, 16);
    plan->bytes[OCL_TERMS] = plan->terms_ld * 4 * OCL_TERM_COUNT;
    return p->op == QDOT_CONV ? plan_conv(row, p, &packed, plan, reason, reason_bytes)
                              : plan_gemm(row, p, plan);
}

/* Local memory of a work-group: the sums of its work-items, or two passes of both panels. Not all
 * drivers refuse what is too much; PoCL ends the process. */
static size_t local_bytes(const struct qdot_row *row)
{
    const struct ocl_row *impl = row->impl;
    const size_t items = impl->lanes[0] * impl->lanes[1];
    if (impl->kind == OCL_ROW_GEMV)
        return items * row->mr * 20;
    return items ? (size_t)2 * row->pass * (row->mr + row->nr) : 0;
}

bool ocl_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
              char *reason, size_t reason_bytes)
{
    static const char *const names[OCL_MEMORIES] = {
        "A",        "B",     "zero points of A",  "factors of rows", "the output",    "packed A",
        "packed B", "terms", "distances of taps", "sums of rows",    "sums in float", "sums",
    };
    const struct ocl_device *ocl = device->impl;
    struct ocl_plan plan;
    const struct ocl_row *impl = row->impl;
    const size_t *lanes = impl->lanes;
    if (ocl->defect[0]) {
        snprintf(reason, reason_bytes, "%s", ocl->defect);
        return false;
    }
    if (lanes[0] * lanes[1] > ocl->max_group || lanes[0] > ocl->max_item[0] ||
        lanes[1] > ocl->max_item[1]) {
        snprintf(reason, reason_bytes, "needs work-groups of %zu x %zu", lanes[0], lanes[1]);
        return false;
    }
    if (local_bytes(row) > ocl->max_local) {
        snprintf(reason, reason_bytes, "needs %zu bytes of local memory, the device has %llu",
                 local_bytes(row), (unsigned long long)ocl->max_local);
        return false;
    }
    if (!p)
        return true;
    if (!ocl_plan(row, p, &plan, reason, reason_bytes))
        return false;
    for (size_t i = 0; i < OCL_MEMORIES; i++) {
        if (plan.bytes[i] > ocl->max_alloc) {
            snprintf(reason, reason_bytes, "%s: %zu bytes, the device allocates at most %llu",
                     i == OCL_A && p->op == QDOT_CONV ? "the padded input" : names[i],
                     plan.bytes[i], (unsigned long long)ocl->max_alloc);
            return false;
        }
    }
    return true;
}
