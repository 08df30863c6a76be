/* What a row compiles: the texts, and the options that make them its own. */
#include <stdio.h>
#include "opencl.h"

#define EMBEDDED(name)                 \
    extern const unsigned char name[]; \
    extern const size_t name##_size
EMBEDDED(qdot_cl_output);
EMBEDDED(qdot_cl_emulate);
EMBEDDED(qdot_cl_tile);
EMBEDDED(qdot_cl_pack);
EMBEDDED(qdot_cl_gemm);
EMBEDDED(qdot_cl_gemv);
EMBEDDED(qdot_cl_tiled);
EMBEDDED(qdot_cl_block);
EMBEDDED(qdot_cl_units);
EMBEDDED(qdot_cl_mma);
EMBEDDED(qdot_cl_sums);
EMBEDDED(qdot_cl_float);
EMBEDDED(qdot_cl_conv_input);
EMBEDDED(qdot_cl_slide);
EMBEDDED(qdot_cl_conv);
EMBEDDED(qdot_cl_depthwise);
EMBEDDED(qdot_cl_elements);
EMBEDDED(qdot_cl_map);
EMBEDDED(qdot_cl_pool);

static void add_text(struct ocl_source *source, const unsigned char *text, size_t bytes)
{
    source->text[source->count] = (const char *)text;
    source->bytes[source->count++] = bytes;
}
#define ADD(name) add_text(&source, qdot_cl_##name, qdot_cl_##name##_size)

struct ocl_source ocl_source(const struct qdot_row *row)
{
    const struct ocl_row *impl = row->impl;
    struct ocl_source source = {.count = 0};
    switch (impl->kind) {
    case OCL_ROW_ELEMENTS:
        ADD(elements);
        return source;
    case OCL_ROW_MAP:
        ADD(map);
        return source;
    case OCL_ROW_POOL:
        ADD(pool);
        return source;
    default:
        break;
    }
    ADD(output);
#ifdef QDOT_EMULATE
    ADD(emulate);
#endif
    ADD(tile);
    if (row->op == QDOT_CONV) {
        ADD(conv_input);
        ADD(slide);
    } else {
        ADD(pack);
    }
    if (impl->lanes[0] && impl->kind != OCL_ROW_GEMV)
        ADD(tiled);
    switch (impl->kind) {
    case OCL_ROW_FLOAT:
        ADD(float);
        break;
    case OCL_ROW_DEPTHWISE:
        ADD(depthwise);
        break;
    case OCL_ROW_GEMV:
        ADD(gemv);
        break;
    case OCL_ROW_BLOCK:
        ADD(block);
        break;
    case OCL_ROW_MMA:
        ADD(units);
        ADD(mma);
        break;
    default:
        row->op == QDOT_CONV ? ADD(conv) : ADD(gemm);
    }
    if (impl->kind == OCL_ROW_FLOAT || impl->split)
        ADD(sums);
    return source;
}

void ocl_options(const struct qdot_row *row, enum qdot_type out_type, enum qdot_rounding rounding,
                 bool flushes, char options[OCL_OPTIONS])
{
    const struct ocl_row *impl = row->impl;
#ifdef QDOT_EMULATE
    const bool dpas = false; /* another compiler's option */
#else
    const bool dpas = impl->unit == OCL_UNIT_DPAS8 || impl->unit == OCL_UNIT_DPAS16;
#endif
    char other[16] = "";
    if (rounding != QDOT_ROUND_RNE)
        snprintf(other, sizeof(other), " -DROUNDING=%d", (int)rounding);
    /* Rows that need no more ask for 1.2: what drivers add or drop later does not touch them. */
    snprintf(options, OCL_OPTIONS,
             "-cl-std=%s -DROW=%d -DDOT=%d -DUNIT=%d -DMR=%u -DNR=%u -DKR=%u -DA_FORM=%d "
             "-DB_FORM=%d -DOUT=%d%s%s%s%s%s%s",
             impl->dot == OCL_DOT_KHR ? "CL3.0" : "CL1.2", (int)impl->kind, (int)impl->dot,
             (int)impl->unit, row->mr, row->nr, row->kr, (int)row->a_form, (int)row->b_form,
             (int)out_type, other, row->op == QDOT_CONV ? " -DCONV" : "",
             row->op == QDOT_AVERAGE_POOL ? " -DAVERAGE" : "", impl->split ? " -DSPLIT" : "",
             dpas ? " -cl-intel-256-GRF-per-thread" : "", /* with 128 they spill */
             flushes ? " -DFLUSHES" : "");
}
