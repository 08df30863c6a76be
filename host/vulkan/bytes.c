/* Maps and pools: what an op needs, what its runs record. */
#include <string.h>
#include "vk.h"

/* Push constants of the shaders. */
struct map_arguments {
    uint32_t count, a_offset, b_offset, out_offset, whole, rank;
    uint32_t dims[QDOT_MAP_RANK], stride[QDOT_MAP_TENSORS][QDOT_MAP_RANK];
};
struct pool_arguments {
    uint32_t count, a_offset, out_offset;
    uint32_t pixel, lda, ldo;
    uint32_t h, w, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    uint32_t flip;
    float a_scale;
    int32_t a_zero;
    uint32_t taps;
    int32_t least;
    uint32_t half_more;
};
enum { STEPS = 256 }; /* of an average */

/* ---- creation -------------------------------------------------------------------------------- */

bool vk_bytes_plan(const struct qdot_problem *p, struct vk_plan *plan, char *reason,
                   size_t reason_bytes)
{
    size_t bytes[QDOT_MAP_TENSORS];
    const bool fit = qdot_bytes_fit(p, bytes, reason, reason_bytes);
    plan->a_ld = p->conv.c; /* of a pool's own buffers: no gaps */
    plan->out_ld = p->n;
    plan->bytes[VK_A_IN] = bytes[QDOT_MAP_A];
    plan->bytes[VK_B_IN] = bytes[QDOT_MAP_B];
    plan->bytes[VK_OUT] = bytes[QDOT_MAP_OUT];
    plan->bytes[VK_TERMS] = p->op == QDOT_AVERAGE_POOL ? STEPS * 4
                            : p->table                 ? p->table
                                                       : 4; /* shaders are given one */
    return fit;
}

void vk_bytes_steps(struct qdot_op *op, struct vk_step_pipeline *steps)
{
    const struct qdot_problem *p = &op->p;
    const bool map = p->op == QDOT_MAP;
    const bool other = map ? qdot_map_is_line(&p->map) : p->op == QDOT_AVERAGE_POOL;
    steps[VK_BYTES] = (struct vk_step_pipeline){
        map ? VK_SHADER_MAP : VK_SHADER_POOL, {VK_LOCAL, 1, (uint32_t)p->table, other}, true};
}

int vk_bytes_upload(struct qdot_op *op, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const VkBuffer terms = impl->buffers[VK_TERMS];
    int32_t steps[STEPS];
    if (op->p.op == QDOT_AVERAGE_POOL) {
        qdot_average_steps(&op->p, steps);
        return vk_upload(op->device, terms, 0, steps, sizeof(steps), err);
    }
    return op->table ? vk_upload(op->device, terms, 0, op->table, op->p.table, err) : QDOT_OK;
}

/* ---- recording ------------------------------------------------------------------------------- */

static void update_set(const struct qdot_op *op, const struct vk_operands *o)
{
    const struct vk_device *vkd = op->device->impl;
    const struct vk_op *impl = op->impl;
    const VkDescriptorBufferInfo windows[VK_BINDINGS] = {
        o->a.window, o->b.window, {impl->buffers[VK_TERMS], 0, VK_WHOLE_SIZE}, o->out.window};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = impl->target.sets[VK_SET_MULTIPLY],
                                        .descriptorCount = VK_BINDINGS,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = windows};
    vkd->vk.vkUpdateDescriptorSets(vkd->device, 1, &write, 0, NULL);
}

static void record_map(const struct qdot_op *op, size_t m, const struct vk_operands *o)
{
    const struct qdot_mapping s = qdot_map_of_run(&op->p, m);
    struct map_arguments arguments = {
        .count = 1,
        .a_offset = (uint32_t)o->a.offset,
        .b_offset = (uint32_t)o->b.offset,
        .out_offset = (uint32_t)o->out.offset,
        .whole = qdot_map_is_whole(&s),
        .rank = (uint32_t)s.rank,
    };
    for (size_t d = 0; d < s.rank; d++) {
        arguments.count *= (uint32_t)s.dims[d];
        arguments.dims[d] = (uint32_t)s.dims[d];
        for (int t = 0; t < QDOT_MAP_TENSORS; t++)
            arguments.stride[t][d] = (uint32_t)s.stride[t][d];
    }
    const size_t each =
        qdot_map_is_line(&op->p.map) ? 16 : 4; /* and one for a part of a word at either end */
    vk_dispatch(op, VK_BYTES, VK_SET_MULTIPLY, &arguments, sizeof(arguments),
                vk_divide_up(arguments.count / each + 2, VK_LOCAL), 1, 1);
}

static void record_pool(const struct qdot_op *op, size_t m, const struct vk_operands *o)
{
    const struct qdot_geometry *g = &op->p.conv;
    const struct qdot_averaging *v = &op->p.average;
    const size_t count = qdot_pool_items(&op->p, m);
    const struct pool_arguments arguments = {
        .count = (uint32_t)count,
        .a_offset = (uint32_t)o->a.offset,
        .out_offset = (uint32_t)o->out.offset,
        .pixel = g->nchw ? 1 : (uint32_t)g->c,
        .lda = g->nchw ? 1 : (uint32_t)o->a.ld,
        .ldo = g->nchw ? 1 : (uint32_t)o->out.ld,
        .h = (uint32_t)g->h,
        .w = (uint32_t)g->w,
        .oh = (uint32_t)g->oh,
        .ow = (uint32_t)g->ow,
        .kh = (uint32_t)g->kh,
        .kw = (uint32_t)g->kw,
        .stride_h = (uint32_t)g->stride_h,
        .stride_w = (uint32_t)g->stride_w,
        .dilation_h = (uint32_t)g->dilation_h,
        .dilation_w = (uint32_t)g->dilation_w,
        .pad_top = (int32_t)g->pad_top,
        .pad_left = (int32_t)g->pad_left,
        .flip = op->p.a_type == QDOT_S8 ? 0x80808080u : 0,
        .a_scale = v->a_scale,
        .a_zero = op->p.a_zero + (op->p.a_type == QDOT_S8 ? 128 : 0),
        .taps = v->count_padding ? (uint32_t)op->p.k : 0,
        .least = op->p.clamp_lo,
        .half_more = !v->scaled,
    };
    vk_dispatch(op, VK_BYTES, VK_SET_MULTIPLY, &arguments, sizeof(arguments),
                vk_divide_up(count, VK_LOCAL), 1, 1);
}

void vk_bytes_record(const struct qdot_op *op, const struct qdot_run *run,
                     const struct vk_operands *o)
{
    update_set(op, o);
    if (op->p.op == QDOT_MAP)
        record_map(op, run->m, o);
    else
        record_pool(op, run->m, o);
}

/* ---- run ------------------------------------------------------------------------------------- */

int vk_map_operands(const struct qdot_op *op, const struct qdot_run *run, struct vk_operands *o,
                    struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const struct qdot_mapping s = qdot_map_of_run(&op->p, run->m);
    const size_t a = qdot_map_bytes(&s, QDOT_MAP_A), b = qdot_map_bytes(&s, QDOT_MAP_B);
    const size_t out = qdot_map_bytes(&s, QDOT_MAP_OUT);
    *o = (struct vk_operands){.out = {{impl->buffers[VK_OUT], 0, VK_WHOLE_SIZE}, 0, 0}};
    int status = vk_take_matrix(op, "a", &run->a, VK_A_IN, 1, a, a, a, &o->a, err);
    o->b = o->a;
    if (status == QDOT_OK && b)
        status = vk_take_matrix(op, "b", &run->b, VK_B_IN, 1, b, b, b, &o->b, err);
    if (status == QDOT_OK && run->out.buffer)
        status = vk_find_place(op, "out", run->out.buffer, run->out.offset_bytes, 1, out, out, 1,
                               &o->out, err);
    return status;
}

void vk_map_output(const struct qdot_op *op, const struct qdot_run *run)
{
    const struct qdot_mapping s = qdot_map_of_run(&op->p, run->m);
    qdot_map_copy(&s, vk_mapped(op, VK_OUT), run->out.host);
}
