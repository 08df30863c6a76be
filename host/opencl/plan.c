/* The OpenCL rows; what one op needs of a device, and whether the device has it. */
#include <stdio.h>
#include "opencl.h"

static const struct ocl_row portable = {OCL_ROW_PORTABLE, 4, 1}; /* A is widened to int */
static const struct ocl_row khr_dot = {OCL_ROW_KHR_DOT, 1, 1};
/* CLBlast compiles its kernels in its first call, for many seconds. */
static const struct qdot_niche slow_start = {NULL, "its first use compiles for seconds"};
static const struct ocl_row clblast = {OCL_ROW_FLOAT, 4, 4};

const struct qdot_row ocl_rows[OCL_ROWS] = {
    /* Signed by signed is the form that devices accelerate first. */
    {.name = "gemm_8x16k4_khrdot",
     .needs = OCL_KHR_DOT,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &khr_dot},
    /* Exact only in the s8 forms: 1024 products of at most 2^14 reach 2^24. */
    {.name = "gemm_clblast",
     .needs = OCL_CLBLAST,
     .mr = 1,
     .nr = 1,
     .kr = 1,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .niche = &slow_start,
     .impl = &clblast},
    {.name = "gemm_8x16k4", .mr = 8, .nr = 16, .kr = 4, .b_form = QDOT_S8, .impl = &portable},
};

#define SLAB_BYTES ((size_t)64 << 20)     /* bounds the memory of packed A whatever m is */
#define MAX_SIZE (((size_t)1 << 31) - 64) /* kernels count rows, columns and k in 32 bits */

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* The arguments are below 2^31, the factors are a few at most, so only products of two sizes can
 * overflow. */
bool ocl_plan(const struct qdot_row *row, const struct qdot_problem *p, struct ocl_plan *plan)
{
    const struct ocl_row *impl = row->impl;
    const bool is_float = impl->kind == OCL_ROW_FLOAT;
    size_t *bytes = plan->bytes;
    *plan = (struct ocl_plan){0};
    if (p->m > MAX_SIZE || p->n > MAX_SIZE || p->k > MAX_SIZE)
        return false;
    plan->groups = (p->k + 3) / 4;
    plan->terms_ld = round_up(p->n, 16);

    const size_t a_row = plan->groups * 4 * impl->a_bytes, c_row = plan->terms_ld * 4;
    const size_t widest = is_float && c_row > a_row ? c_row : a_row;
    plan->slab = round_up(SLAB_BYTES / widest + 1, 64);
    if (plan->slab > round_up(p->m, row->mr))
        plan->slab = round_up(p->m, row->mr);

    bytes[OCL_A_ZERO] = p->a_zero_per_row ? p->m * 4 : 0;
    bytes[OCL_ROW_SCALE] = p->row_scale ? p->m * 4 : 0;
    bytes[OCL_ROW_SUM] = p->m * 4;
    bytes[OCL_TERMS] = plan->terms_ld * 4 * 6;
    bytes[OCL_A] = plan->slab * a_row;
    bytes[OCL_C] = is_float ? plan->slab * c_row : 0;
    bytes[OCL_ACC] = bytes[OCL_C];
    bytes[OCL_B_IN] = p->b_at_run ? p->n * p->k : 0;
    return qdot_mul_size(p->m, p->k, &bytes[OCL_A_IN]) &&
           qdot_mul_size(p->m * p->out_bytes, p->n, &bytes[OCL_OUT]) &&
           qdot_mul_size(round_up(p->n, row->nr) * impl->b_bytes, plan->groups * 4, &bytes[OCL_B]);
}

bool ocl_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
              char *reason, size_t reason_bytes)
{
    static const char *const names[OCL_MEMORIES] = {
        "A",        "B",     "zero points of A", "factors of rows", "the output", "packed A",
        "packed B", "terms", "sums of rows",     "sums in float",   "sums",
    };
    const struct ocl_device *ocl = device->impl;
    struct ocl_plan plan;
    if (ocl->defect[0]) {
        snprintf(reason, reason_bytes, "%s", ocl->defect);
        return false;
    }
    if (!p)
        return true;
    if (!ocl_plan(row, p, &plan)) {
        snprintf(reason, reason_bytes, "m, n, k: at most %zu, and products below 2^63", MAX_SIZE);
        return false;
    }
    for (size_t i = 0; i < OCL_MEMORIES; i++) {
        if (plan.bytes[i] > ocl->max_alloc) {
            snprintf(reason, reason_bytes, "%s: %zu bytes, the device allocates at most %llu",
                     names[i], plan.bytes[i], (unsigned long long)ocl->max_alloc);
            return false;
        }
    }
    return true;
}
