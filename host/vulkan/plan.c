/* The Vulkan rows; what one op needs of a device, and whether the device has it. */
#include <stdio.h>
#include "vk.h"

static const struct vk_row portable = {VK_SHADER_GEMM};
static const struct vk_row int_dot = {VK_SHADER_GEMM_INT_DOT};

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
};

#define MAX_SIZE (((size_t)1 << 31) - 64) /* shaders count rows, columns and k in 32 bits */

/* llvmpipe ends loops without a word after 65535 iterations, counted over all loops of a shader,
 * and may sit unseen under another driver. The loop over groups of k is the one that comes near;
 * what is left of 65535 is for the loops beside it. */
#define MAX_GROUPS ((size_t)65000)

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* The arguments are below 2^31, the factors are a few at most, so only products of two sizes can
 * overflow. */
bool vk_plan(const struct qdot_row *row, const struct qdot_problem *p, struct vk_plan *plan)
{
    size_t *bytes = plan->bytes;
    *plan = (struct vk_plan){0};
    if (p->m > MAX_SIZE || p->n > MAX_SIZE || p->k > MAX_SIZE)
        return false;
    const size_t k_pad = round_up(p->k, 4);
    plan->terms_ld = round_up(p->n, row->nr);
    plan->a_ld = k_pad;
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

bool vk_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
             char *reason, size_t reason_bytes)
{
    static const char *const names[VK_BUFFERS] = {
        "packed A", "packed B", "terms", "A", "B", "zero points and factors of rows", "the output",
    };
    const struct vk_device *vkd = device->impl;
    const VkPhysicalDeviceLimits *limits = &vkd->limits;
    struct vk_plan plan;
    if (!p)
        return true;
    if (!vk_plan(row, p, &plan)) {
        snprintf(reason, reason_bytes, "m, n, k: at most %zu, and products below 2^63", MAX_SIZE);
        return false;
    }
    if ((p->k + 3) / 4 > MAX_GROUPS) {
        snprintf(reason, reason_bytes, "k: %zu, shaders sum at most %zu", p->k, MAX_GROUPS * 4);
        return false;
    }
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
    /* The narrowest work-group is 16 x 4 columns. Rows take as many dispatches as they need. */
    const size_t groups = (p->n + 63) / 64;
    if (groups > limits->maxComputeWorkGroupCount[0]) {
        snprintf(reason, reason_bytes, "n: %zu work-groups, a dispatch has at most %u", groups,
                 limits->maxComputeWorkGroupCount[0]);
        return false;
    }
    return true;
}
