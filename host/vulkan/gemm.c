/* What a run of a GEMM records: A is packed, and B when it comes with the run, then multiplied. */
#include <string.h>
#include "vk.h"

/* Push constants of the shaders. */
struct pack_arguments {
    uint32_t offset, row_stride, k_stride;
    uint32_t rows, rows_pad, k, words;
    uint32_t flip;
};
struct sums_arguments {
    uint32_t rows, words;
    uint32_t target;
};
struct fold_arguments {
    uint32_t n, k, terms_ld;
    uint32_t a_zero;
};
struct gemm_arguments {
    struct vk_output_arguments output;
    uint32_t m, n, k, groups;
    uint32_t first_tile;
    uint32_t ldo;
    uint32_t store_n;
    uint32_t slice;
};
_Static_assert(sizeof(struct gemm_arguments) <= VK_PUSH_BYTES, "the layout has room for them");

/* What shaders/interface.glsl calls the form of two operands. */
static uint32_t form_of(enum qdot_type a, enum qdot_type b)
{
    return a == QDOT_S8 ? FORM_SS : b == QDOT_S8 ? FORM_US : FORM_UU;
}

/* Of a packed row. */
static size_t row_words(const struct qdot_op *op)
{
    return op->packed.k_groups * op->row->kr / 4;
}

void vk_gemm_steps(struct qdot_op *op, struct vk_step_pipeline *steps)
{
    struct vk_op *impl = op->impl;
    const struct vk_row *row = op->row->impl;
    const struct qdot_problem *p = &op->p;
    const uint32_t mr = op->row->mr, nr = op->row->nr, group = op->row->kr / 4u;
    const uint32_t local = vk_local(op->device, op->row);
    const bool sliced = impl->plan.slices > 1;
    /* Without a size of its own, a work-group is one tile of rows, whose words of A all its
     * invocations share; or four tiles, where there are too few columns for all of them. */
    const bool wide = local || p->n > 128 || p->m <= mr;
    const uint32_t x = local ? local : wide ? VK_LOCAL : VK_LOCAL / 4, y = wide ? 1 : 4;
    impl->group_quads = row->columns / 4 * (local ? 1 : x);
    impl->group_tiles = y;
    /* The packing invocations of a work-group walk along what lies side by side in memory. */
    const uint32_t b_x = p->b_transposed ? VK_LOCAL : 1, b_y = p->b_transposed ? 1 : VK_LOCAL;
    const uint32_t a_form = form_of(op->row->a_form, op->row->a_form);
    const uint32_t b_form = form_of(op->row->b_form, op->row->b_form);
    steps[VK_PACK_A] = (struct vk_step_pipeline){
        VK_SHADER_PACK, {VK_LOCAL, 1, mr, [CONSTANT_GROUP] = group}, true};
    steps[VK_PACK_B] = (struct vk_step_pipeline){
        VK_SHADER_PACK, {b_x, b_y, nr, [CONSTANT_GROUP] = group}, p->b_at_run};
    steps[VK_SUMS_A] = (struct vk_step_pipeline){
        VK_SHADER_SUMS, {VK_LOCAL, 1, mr, a_form, [CONSTANT_GROUP] = group}, op->terms.any_b_neg};
    steps[VK_SUMS_B] = (struct vk_step_pipeline){
        VK_SHADER_SUMS, {VK_LOCAL, 1, nr, b_form, [CONSTANT_GROUP] = group}, p->b_at_run};
    steps[VK_FOLD] = (struct vk_step_pipeline){VK_SHADER_FOLD, {VK_LOCAL, 1}, p->b_at_run};
    steps[VK_MULTIPLY] =
        (struct vk_step_pipeline){row->shader,
                                  {x, y, sliced ? OUT_PARTIAL : p->out_type,
                                   form_of(op->row->a_form, op->row->b_form), mr, row->depth},
                                  true};
    vk_coop_constants(op, steps[VK_MULTIPLY].constants);
    steps[VK_REDUCE] =
        (struct vk_step_pipeline){VK_SHADER_REDUCE, {VK_LOCAL, 1, p->out_type}, sliced};
}

/* An array by row into the terms. */
static void take_rows(const struct qdot_op *op, const struct qdot_input *in, size_t m, size_t array)
{
    const struct vk_device *vkd = op->device->impl;
    const struct vk_op *impl = op->impl;
    const size_t staged = array == ROW_SCALE ? op->p.m * 4 : 0;
    VkBufferCopy region = {staged, (impl->plan.terms_ld * TERMS + op->p.m * array) * 4, m * 4};
    VkBuffer from = impl->buffers[VK_ROWS_IN];
    if (in->buffer) {
        from = vk_handle(in->buffer);
        region.srcOffset = in->buffer->base + in->offset_bytes;
    } else {
        memcpy(vk_mapped(op, VK_ROWS_IN) + staged, in->host, m * 4);
    }
    vkd->vk.vkCmdCopyBuffer(impl->target.buffer, from, impl->buffers[VK_TERMS], 1, &region);
}

static void pack_a(const struct qdot_op *op, const struct vk_place *a, size_t m)
{
    const struct qdot_problem *p = &op->p;
    const size_t words = row_words(op), rows_pad = vk_divide_up(m, op->row->mr) * op->row->mr;
    const struct pack_arguments arguments = {.offset = (uint32_t)a->offset,
                                             .row_stride = (uint32_t)a->ld,
                                             .k_stride = 1,
                                             .rows = (uint32_t)m,
                                             .rows_pad = (uint32_t)rows_pad,
                                             .k = (uint32_t)p->k,
                                             .words = (uint32_t)words,
                                             .flip = qdot_flip(p->a_type, op->row->a_form) *
                                                     0x01010101u};
    vk_dispatch(op, VK_PACK_A, VK_SET_A, &arguments, sizeof(arguments),
                vk_divide_up(words, VK_LOCAL), rows_pad, 1);
}

static void pack_b(const struct qdot_op *op, const struct vk_place *b)
{
    const struct qdot_problem *p = &op->p;
    const bool t = p->b_transposed;
    const size_t words = row_words(op), n_pad = op->packed.n_pad;
    const struct pack_arguments arguments = {.offset = (uint32_t)b->offset,
                                             .row_stride = t ? (uint32_t)b->ld : 1,
                                             .k_stride = t ? 1 : (uint32_t)b->ld,
                                             .rows = (uint32_t)p->n,
                                             .rows_pad = (uint32_t)n_pad,
                                             .k = (uint32_t)p->k,
                                             .words = (uint32_t)words,
                                             .flip = qdot_flip(p->b_type, op->row->b_form) *
                                                     0x01010101u};
    vk_dispatch(op, VK_PACK_B, VK_SET_B, &arguments, sizeof(arguments),
                t ? vk_divide_up(words, VK_LOCAL) : words,
                t ? n_pad : vk_divide_up(n_pad, VK_LOCAL), 1);
}

static void sums(const struct qdot_op *op, enum vk_step step, enum vk_set set, size_t rows,
                 size_t target)
{
    const struct sums_arguments arguments = {(uint32_t)rows, (uint32_t)row_words(op),
                                             (uint32_t)target};
    vk_op_barrier(op);
    vk_dispatch(op, step, set, &arguments, sizeof(arguments), rows, 1, 1);
}

static void fold(const struct qdot_op *op)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_op *impl = op->impl;
    const struct fold_arguments arguments = {
        (uint32_t)p->n, (uint32_t)p->k, (uint32_t)impl->plan.terms_ld,
        (uint32_t)(p->a_zero + qdot_shift(p->a_type, op->row->a_form))};
    vk_op_barrier(op);
    vk_dispatch(op, VK_FOLD, VK_SET_B, &arguments, sizeof(arguments), vk_divide_up(p->n, VK_LOCAL),
                1, 1);
}

static void multiply(const struct qdot_op *op, const struct vk_place *out, size_t m, size_t store_n)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_plan *plan = &((const struct vk_op *)op->impl)->plan;
    const size_t quads = vk_divide_up(p->n, 4);
    struct gemm_arguments arguments = {.output = vk_output_arguments(op),
                                       .m = (uint32_t)m,
                                       .n = (uint32_t)p->n,
                                       .k = (uint32_t)p->k,
                                       .groups = (uint32_t)op->packed.k_groups,
                                       .ldo = (uint32_t)out->ld,
                                       .store_n = (uint32_t)store_n,
                                       .slice = (uint32_t)plan->slice};
    arguments.output.out_offset = (uint32_t)(out->offset / p->out_bytes);
    struct gemm_arguments parts = arguments;
    if (plan->slices > 1) {
        parts.output.with = parts.output.out_offset = 0;
        parts.ldo = parts.store_n = (uint32_t)quads * 4;
    }
    vk_multiply(op, &parts, sizeof(parts), &parts.first_tile, vk_divide_up(m, op->row->mr), quads);
    if (plan->slices == 1)
        return;
    arguments.groups = (uint32_t)plan->slices;
    vk_op_barrier(op);
    vk_dispatch(op, VK_REDUCE, VK_SET_REDUCE, &arguments, sizeof(arguments),
                vk_divide_up(quads, VK_LOCAL), m, 1);
}

void vk_gemm_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_place *a,
                    const struct vk_place *b, const struct vk_place *out)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_op *impl = op->impl;
    const struct vk_plan *plan = &impl->plan;
    if (p->a_zero_per_row)
        take_rows(op, &run->a_zero, run->m, ROW_A_ZERO);
    if (p->row_scale)
        take_rows(op, &run->row_scale, run->m, ROW_SCALE);
    pack_a(op, a, run->m);
    if (p->b_at_run) {
        pack_b(op, b);
        sums(op, VK_SUMS_B, VK_SET_B, p->n, TERM_COL_SUM * plan->terms_ld);
        fold(op);
    }
    if (op->terms.any_b_neg)
        sums(op, VK_SUMS_A, VK_SET_A, run->m, plan->terms_ld * TERMS + p->m * ROW_SUM);
    multiply(op, out, run->m, run->out.buffer ? p->n : plan->out_ld);
}
