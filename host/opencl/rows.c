/* The OpenCL rows. */
#include "opencl.h"

static const struct ocl_row portable = {.a_bytes = 4, .b_bytes = 1}; /* A is widened to int */
static const struct ocl_row khr_dot = {.dot = OCL_DOT_KHR, .a_bytes = 1, .b_bytes = 1};
/* CLBlast compiles its kernels in its first call, for many seconds. */
static const struct qdot_niche slow_start = {.text = "its first use compiles for seconds"};
static const struct ocl_row clblast = {.kind = OCL_ROW_FLOAT, .a_bytes = 4, .b_bytes = 4};
static const struct ocl_row depthwise = {.kind = OCL_ROW_DEPTHWISE, .a_bytes = 1, .b_bytes = 1};

static const struct ocl_row elements = {.kind = OCL_ROW_ELEMENTS};
static const struct ocl_row map = {.kind = OCL_ROW_MAP};
static const struct ocl_row pool = {.kind = OCL_ROW_POOL};

static bool few_rows(const struct qdot_problem *p)
{
    return p->m <= 4;
}
static const struct qdot_niche few = {few_rows, .with = OCL_GPU, .text = "for m <= 4 on a GPU"};

static bool every(const struct qdot_problem *p)
{
    (void)p;
    return true;
}
static const struct qdot_niche gpu = {every, .with = OCL_GPU, .text = "on a GPU"};

/* Few tiles, so that slices of k pay for the way of their sums through memory. */
static bool few_tiles(const struct qdot_problem *p)
{
    return p->m > 4 && p->m < 1024 && p->m * p->n <= 1 << 19 && p->k >= 1024;
}
static const struct qdot_niche deep = {few_tiles, .with = OCL_GPU,
                                       .text = "for m * n <= 2^19 and k >= 1024 on a GPU"};

static bool many_tiles(const struct qdot_problem *p)
{
    return p->n >= 64 && p->m >= ((size_t)1 << 20) / p->n &&
           (p->op != QDOT_CONV || p->conv.og >= 64);
}
static const struct qdot_niche large = {
    many_tiles, .with = OCL_GPU, .text = "for m * n >= 2^20 and 64 columns a group on a GPU"};

static bool many_channels(const struct qdot_problem *p)
{
    return p->conv.og >= 32;
}
static const struct qdot_niche channels = {many_channels, .with = OCL_GPU,
                                           .text = "for 32 output channels a group on a GPU"};

/* Runs of k are of whole 16 channels. */
static bool many_of_both(const struct qdot_problem *p)
{
    return p->conv.og >= 64 && p->conv.cg >= 12;
}
static const struct qdot_niche both = {
    many_of_both, .with = OCL_GPU, .text = "for 12 input and 64 output channels a group on a GPU"};

/* Rows for GPUs, one for each way to a dot product. Signed by signed is the form that devices
 * accelerate first; Qualcomm's has one form only. */
#define DOTS(X)                                             \
    X("_dp4a", OCL_DP4A, OCL_DOT_NVIDIA, QDOT_S8),          \
        X("_amddot", OCL_AMD_DOT, OCL_DOT_AMD, QDOT_S8),    \
        X("_armdot", OCL_ARM_DOT, OCL_DOT_ARM, QDOT_S8),    \
        X("_qcomdot", OCL_QCOM_DOT, OCL_DOT_QCOM, QDOT_U8), \
        X("_khrdot", OCL_KHR_DOT, OCL_DOT_KHR, QDOT_S8), X("", 0, OCL_DOT_PLAIN, QDOT_S8)
#define GEMV(suffix, bits, by, form)                                                           \
    {                                                                                          \
        .name = "gemv_4x16k4" suffix, .needs = bits, .mr = 4, .nr = 16, .kr = 4, .pass = 1024, \
        .a_form = QDOT_S8, .b_form = form, .niche = &few, .impl = &(const struct ocl_row)      \
        {                                                                                      \
            .kind = OCL_ROW_GEMV, .dot = by, .b_bytes = 1, .lanes = { 256, 1 }                 \
        }                                                                                      \
    }
#define BLOCK_IMPL(by, slices)                                                                    \
    .pass = 64, .a_form = QDOT_S8, .impl = &(const struct ocl_row)                                \
    {                                                                                             \
        .kind = OCL_ROW_BLOCK, .dot = by, .split = slices, .a_bytes = 1, .b_bytes = 1, .lanes = { \
            16,                                                                                   \
            16                                                                                    \
        }                                                                                         \
    }
#define BLOCK(suffix, bits, by, form)                                                              \
    {                                                                                              \
        .name = "gemm_64x64k4" suffix, .needs = bits, .mr = 64, .nr = 64, .kr = 4, .b_form = form, \
        .niche = &gpu, BLOCK_IMPL(by, false)                                                       \
    }
#define SPLIT_BLOCK(suffix, bits, by, form)                                              \
    {                                                                                    \
        .name = "gemm_64x64k4_split" suffix, .needs = bits, .mr = 64, .nr = 64, .kr = 4, \
        .b_form = form, .niche = &deep, BLOCK_IMPL(by, true)                             \
    }
#define CONV_BLOCK(suffix, bits, by, form)                                                 \
    {                                                                                      \
        .name = "conv_64x64k4" suffix, .op = QDOT_CONV, .needs = bits, .mr = 64, .nr = 64, \
        .kr = 4, .b_form = form, .niche = &channels, BLOCK_IMPL(by, false)                 \
    }

/* Tiles with more products for a word of local memory, of which devices need many; for those without
 * matrix units, whose compilers show that the sums stay in registers. */
#define LARGE_DOTS(X) \
    X("_dp4a", OCL_DP4A, OCL_DOT_NVIDIA, QDOT_S8), X("_amddot", OCL_AMD_DOT, OCL_DOT_AMD, QDOT_S8)
#define LARGE_BLOCK(suffix, bits, by, form)                                            \
    {                                                                                  \
        .name = "gemm_128x128k4" suffix, .needs = bits, .mr = 128, .nr = 128, .kr = 4, \
        .b_form = form, .niche = &large, BLOCK_IMPL(by, false)                         \
    }
#define LARGE_CONV_BLOCK(suffix, bits, by, form)                                               \
    {                                                                                          \
        .name = "conv_128x128k4" suffix, .op = QDOT_CONV, .needs = bits, .mr = 128, .nr = 128, \
        .kr = 4, .b_form = form, .niche = &large, BLOCK_IMPL(by, false)                        \
    }

/* Matrix units, signed by signed: the form that all of them have. */
#define UNITS(X)                                                                                  \
    X("k16_mma", 16, OCL_MMA, OCL_UNIT_NVIDIA), X("k16_wmma", 16, OCL_AMD_MATRIX, OCL_UNIT_WMMA), \
        X("k16_mfma", 16, OCL_AMD_MATRIX, OCL_UNIT_MFMA),                                         \
        X("k32_dpas8", 32, OCL_DPAS8, OCL_UNIT_DPAS8),                                            \
        X("k32_dpas16", 32, OCL_DPAS16, OCL_UNIT_DPAS16)
#define UNIT_IMPL(bits, by, slices)                                                              \
    .needs = bits, .mr = 128, .nr = 128, .pass = 64, .a_form = QDOT_S8, .b_form = QDOT_S8,       \
    .impl = &(const struct ocl_row)                                                              \
    {                                                                                            \
        .kind = OCL_ROW_MMA, .unit = by, .split = slices, .a_bytes = 1, .b_bytes = 1, .lanes = { \
            256,                                                                                 \
            1                                                                                    \
        }                                                                                        \
    }
#define UNIT(suffix, group, bits, by)                                                         \
    {                                                                                         \
        .name = "gemm_128x128" suffix, .kr = group, .niche = &gpu, UNIT_IMPL(bits, by, false) \
    }
#define CONV_UNIT(suffix, group, bits, by)                                           \
    {                                                                                \
        .name = "conv_128x128" suffix, .op = QDOT_CONV, .kr = group, .niche = &both, \
        UNIT_IMPL(bits, by, false)                                                   \
    }

const struct qdot_row ocl_rows[OCL_ROWS] = {
    DOTS(GEMV),
    {.name = "gemm_128x128k16_split_mma",
     .kr = 16,
     .niche = &deep,
     UNIT_IMPL(OCL_MMA, OCL_UNIT_NVIDIA, true)},
    DOTS(SPLIT_BLOCK),
    UNITS(UNIT),
    LARGE_DOTS(LARGE_BLOCK),
    DOTS(BLOCK),
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
    {.name = "depthwise_8x16",
     .op = QDOT_CONV,
     .depthwise = true,
     .mr = 8,
     .nr = 16,
     .kr = 1,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &depthwise},
    UNITS(CONV_UNIT),
    LARGE_DOTS(LARGE_CONV_BLOCK),
    DOTS(CONV_BLOCK),
    {.name = "conv_8x16k4_khrdot",
     .op = QDOT_CONV,
     .needs = OCL_KHR_DOT,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .a_form = QDOT_S8,
     .b_form = QDOT_S8,
     .impl = &khr_dot},
    {.name = "conv_8x16k4",
     .op = QDOT_CONV,
     .mr = 8,
     .nr = 16,
     .kr = 4,
     .b_form = QDOT_S8,
     .impl = &portable},
    {.name = "quantize", .op = QDOT_QUANTIZE, .mr = 1, .nr = 4, .kr = 1, .impl = &elements},
    {.name = "map", .op = QDOT_MAP, .mr = 1, .nr = 16, .kr = 1, .impl = &map},
    {.name = "max_pool", .op = QDOT_MAX_POOL, .mr = 1, .nr = 4, .kr = 1, .impl = &pool},
    {.name = "average_pool", .op = QDOT_AVERAGE_POOL, .mr = 1, .nr = 4, .kr = 1, .impl = &pool},
};
