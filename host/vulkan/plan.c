/* The Vulkan rows; what one op needs of a device, and whether the device has it. */
#include <stdio.h>
#include "vk.h"

static const struct vk_row portable = {VK_SHADER_GEMM};
static const struct vk_row int_dot = {VK_SHADER_GEMM_INT_DOT};
static const struct vk_row depthwise = {VK_SHADER_DEPTHWISE};
static const struct vk_row conv_int_dot = {VK_SHADER_CONV_INT_DOT};
static const struct vk_row conv = {VK_SHADER_CONV};

const struct qdot_row vk_rows[VK_ROWS] = {
    /* Signed by signed is the form that devices accelerate first. */
    {.name = "gemm_8x16k4_dot",
     .needs = VK_INT_DOT,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &int_dot},
    {.name = "gemm_8x16k4",
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &portable},
    {.name = "depthwise_4x16",
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 4,
     .nr = 16,
     .kr = 1,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &depthwise},
    {.name = "conv_8x16k4_dot",
     .op = QDOT_CONV,
     .needs = VK_INT_DOT,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &conv_int_dot},
    {.name = "conv_8x16k4",
     .op = QDOT_CONV,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &conv},
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
    const size_t k_pad = round_up(p->k, 4);
    plan->terms_ld = round_up(p->n, row->nr);
    plan->rows_ld = p->m;
    plan->a_ld = k_pad; /* rows begin at whole words */
    plan->b_ld = p->b_transposed ? k_pad : round_up(p->n, 4);
    plan->out_ld = p->out_bytes == 1 ? round_up(p->n, 4) : p->n;

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
    copy->words = (copy->channels + 3) / 4;
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
    *plan = (struct vk_plan){0};
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
    if (p->op == QDOT_GEMM) {
        if ((p->k + 3) / 4 <= MAX_GROUPS)
            return true;
        snprintf(reason, reason_bytes, "k: %zu, shaders sum at most %zu", p->k, MAX_GROUPS * 4);
        return false;
    }
    /* Each loop takes one more, to find that it is at its end; k is at most 2^31. */
    const size_t tap = row->depthwise ? 1 : plan->copy.words + 2;
    const size_t loops = g->kh * (g->kw * tap + 2) + 1;
    if (loops <= MAX_GROUPS)
        return true;
    snprintf(reason, reason_bytes,
             "conv: a kernel of %zu x %zu and %zu channels takes %zu steps, shaders take at most "
             "%zu",
             g->kh, g->kw, g->cg, loops, MAX_GROUPS);
    return false;
}

bool vk_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
             char *reason, size_t reason_bytes)
{
    const char *const names[VK_BUFFERS] = {
        p && p->op == QDOT_CONV ? "the padded input" : "packed A",
        "packed B",
        "terms",
        "A",
        "B",
        "zero points and factors of rows",
        "the output",
    };
    const struct vk_device *vkd = device->impl;
    const VkPhysicalDeviceLimits *limits = &vkd->limits;
    struct vk_plan plan;
    if (!p)
        return true;
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
    /* The narrowest work-group is 16 x 4 columns, unless one has them all; columns are counted in
     * fours, of each part. Rows take as many dispatches as they need. */
    const size_t parts = p->op == QDOT_CONV ? plan.copy.parts : 1;
    const size_t groups = (p->n / parts + 3) / 4 * parts / 16 + 1;
    if (groups > limits->maxComputeWorkGroupCount[0]) {
        snprintf(reason, reason_bytes, "n: %zu work-groups, a dispatch has at most %u", groups,
                 limits->maxComputeWorkGroupCount[0]);
        return false;
    }
    return true;
}
