/* Quantize and its kin: what an op needs, what its runs record. */
#include <string.h>
#include "vk.h"

#define PIECES ((size_t)1024) /* of a row, at most: each is a work-group of shaders/range.comp */
#define PIECE ((size_t)4096)  /* elements of one, at least */

/* Push constants of the shaders. */
struct elements_arguments {
    uint32_t count;
    uint32_t in_offset, dy_offset, out_offset;
    uint32_t zeros;
    int32_t lo, hi;
    uint32_t reciprocal;
    uint32_t span, line, repeat, span_step, step, each;
};
struct range_arguments {
    uint32_t offset, row;
    uint32_t rows, pieces;
};
struct parameters_arguments {
    uint32_t rows, pieces;
    uint32_t zeros;
};

static size_t pieces_of(const struct qdot_problem *p, size_t m)
{
    const size_t row = m * p->elements.unit / qdot_parameters(p, m);
    const size_t pieces = row / PIECE + 1;
    return pieces < PIECES ? pieces : PIECES;
}

static bool is_dynamic(const struct qdot_op *op)
{
    return op->p.op == QDOT_DYNAMIC_QUANTIZE;
}

/* ---- creation -------------------------------------------------------------------------------- */

void vk_elements_plan(const struct qdot_problem *p, struct vk_plan *plan)
{
    const struct qdot_elements *e = &p->elements;
    const size_t count = p->units * e->unit, parameters = e->parameters * 4;
    const bool dynamic = p->op == QDOT_DYNAMIC_QUANTIZE;
    plan->bytes[VK_A_IN] = qdot_type_bytes(p->a_type, count);
    plan->bytes[VK_B_IN] = p->op == QDOT_FAKE_QUANTIZE_GRADIENT ? count * 4 : 0;
    plan->bytes[VK_OUT] = qdot_type_bytes(p->out_type, count);
    plan->bytes[VK_TERMS] = 2 * parameters;
    plan->bytes[VK_ROWS_IN] = dynamic || e->scale_at_run || e->zero_at_run ? 2 * parameters : 0;
    plan->bytes[VK_PARTS] = dynamic ? e->parameters * pieces_of(p, p->units) * 8 : 0;
}

void vk_elements_steps(struct qdot_op *op, struct vk_step_pipeline *steps)
{
    const struct qdot_problem *p = &op->p;
    const enum qdot_op_kind kind = is_dynamic(op) ? QDOT_QUANTIZE : p->op;
    const uint32_t rounds = (op->device->features & VK_FLOAT_CONTROLS) != 0;
    steps[VK_ELEMENTS] = (struct vk_step_pipeline){
        VK_SHADER_ELEMENTS, {VK_LOCAL, 1, p->elements.type, kind, rounds}, true};
    steps[VK_RANGE] = (struct vk_step_pipeline){VK_SHADER_RANGE, {VK_LOCAL, 1}, is_dynamic(op)};
    steps[VK_PARAMETERS] =
        (struct vk_step_pipeline){VK_SHADER_PARAMETERS, {VK_LOCAL, 1}, is_dynamic(op)};
}

int vk_elements_upload(struct qdot_op *op, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const size_t bytes = op->p.elements.parameters * 4;
    int status = QDOT_OK;
    if (op->scale)
        status = vk_upload(op->device, impl->buffers[VK_TERMS], 0, op->scale, bytes, err);
    if (status == QDOT_OK && op->zero)
        status = vk_upload(op->device, impl->buffers[VK_TERMS], bytes, op->zero, bytes, err);
    return status;
}

/* ---- recording ------------------------------------------------------------------------------- */

static void copy(const struct qdot_op *op, VkBuffer from, size_t from_at, VkBuffer to, size_t to_at,
                 size_t bytes)
{
    const struct vk_device *vkd = op->device->impl;
    const struct vk_op *impl = op->impl;
    const VkBufferCopy region = {from_at, to_at, bytes};
    vkd->vk.vkCmdCopyBuffer(impl->target.buffer, from, to, 1, &region);
}

/* Scales or zeros of the run into the terms. */
static void take_parameters(const struct qdot_op *op, const struct qdot_input *in, size_t at,
                            size_t bytes)
{
    const struct vk_op *impl = op->impl;
    if (!in->buffer)
        memcpy(vk_mapped(op, VK_ROWS_IN) + at, in->host, bytes);
    copy(op, in->buffer ? vk_handle(in->buffer) : impl->buffers[VK_ROWS_IN],
         in->buffer ? in->buffer->base + in->offset_bytes : at, impl->buffers[VK_TERMS], at, bytes);
}

/* And those that it found, from there. */
static void give_parameters(const struct qdot_op *op, const struct qdot_output *out, size_t at,
                            size_t bytes)
{
    const struct vk_op *impl = op->impl;
    copy(op, impl->buffers[VK_TERMS], at,
         out->buffer ? vk_handle(out->buffer) : impl->buffers[VK_ROWS_IN],
         out->buffer ? out->buffer->base + out->offset_bytes : at, bytes);
}

static void find_parameters(const struct qdot_op *op, const struct vk_place *x, size_t m)
{
    const size_t rows = qdot_parameters(&op->p, m), pieces = pieces_of(&op->p, m);
    const struct range_arguments range = {(uint32_t)(x->offset / 4),
                                          (uint32_t)(m * op->p.elements.unit / rows),
                                          (uint32_t)rows, (uint32_t)pieces};
    const struct parameters_arguments parameters = {(uint32_t)rows, (uint32_t)pieces,
                                                    (uint32_t)op->p.elements.parameters};
    vk_dispatch(op, VK_RANGE, VK_SET_A, &range, sizeof(range), rows * pieces, 1, 1);
    vk_op_barrier(op);
    vk_dispatch(op, VK_PARAMETERS, VK_SET_B, &parameters, sizeof(parameters),
                vk_divide_up(rows, VK_LOCAL), 1, 1);
}

static void compute(const struct qdot_op *op, const struct vk_place *x, const struct vk_place *dy,
                    const struct vk_place *out, size_t count)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_elements *e = &p->elements;
    const size_t x_bytes = p->a_type == QDOT_F32 || p->a_type == QDOT_S32 ? 4 : 1;
    const size_t words = vk_divide_up(out->offset % 4 + qdot_type_bytes(p->out_type, count), 4);
    const struct elements_arguments arguments = {
        .count = (uint32_t)count,
        .in_offset = (uint32_t)(x->offset / x_bytes),
        .dy_offset = (uint32_t)(dy->offset / 4),
        .out_offset = (uint32_t)out->offset,
        .zeros = (uint32_t)e->parameters,
        .lo = p->clamp_lo,
        .hi = p->clamp_hi,
        .reciprocal = e->reciprocal,
        .span = (uint32_t)e->span,
        .line = (uint32_t)e->line,
        .repeat = (uint32_t)e->repeat,
        .span_step = (uint32_t)e->span_step,
        .step = (uint32_t)e->step,
        .each = e->each,
    };
    vk_dispatch(op, VK_ELEMENTS, VK_SET_MULTIPLY, &arguments, sizeof(arguments),
                vk_divide_up(words + out->offset / 4, VK_LOCAL), 1, 1);
}

static void update_sets(const struct qdot_op *op, const struct vk_place *x,
                        const struct vk_place *dy, const struct vk_place *out)
{
    const struct vk_device *vkd = op->device->impl;
    const struct vk_op *impl = op->impl;
    const VkDescriptorBufferInfo terms = {impl->buffers[VK_TERMS], 0, VK_WHOLE_SIZE};
    const VkDescriptorBufferInfo parts = {impl->buffers[VK_PARTS], 0, VK_WHOLE_SIZE};
    /* Bindings that a shader does not have are given the terms. */
    const VkDescriptorBufferInfo windows[][VK_BINDINGS] = {
        {x->window, dy->window, terms, out->window},
        {x->window, terms, terms, parts},
        {parts, terms, terms, terms},
    };
    static const enum vk_set sets[] = {VK_SET_MULTIPLY, VK_SET_A, VK_SET_B};
    VkWriteDescriptorSet writes[3];
    const uint32_t count = is_dynamic(op) ? 3 : 1;
    for (size_t i = 0; i < count; i++)
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = impl->target.sets[sets[i]],
                                           .descriptorCount = VK_BINDINGS,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = windows[i]};
    vkd->vk.vkUpdateDescriptorSets(vkd->device, count, writes, 0, NULL);
}

void vk_elements_record(const struct qdot_op *op, const struct qdot_run *run,
                        const struct vk_operands *o)
{
    const struct qdot_elements *e = &op->p.elements;
    const size_t bytes = qdot_parameters(&op->p, run->m) * 4, zeros = e->parameters * 4;
    update_sets(op, &o->a, &o->b, &o->out);
    if (e->scale_at_run)
        take_parameters(op, &run->scale, 0, bytes);
    if (e->zero_at_run)
        take_parameters(op, &run->zero, zeros, bytes);
    if (is_dynamic(op))
        find_parameters(op, &o->a, run->m);
    if (is_dynamic(op) || e->scale_at_run || e->zero_at_run)
        vk_op_barrier(op);
    compute(op, &o->a, &o->b, &o->out, run->m * e->unit);
    if (is_dynamic(op)) {
        vk_op_barrier(op); /* they may lie in the output's last word */
        give_parameters(op, &run->scale_out, 0, bytes);
        give_parameters(op, &run->zero_out, zeros, bytes);
    }
}

/* ---- run ------------------------------------------------------------------------------------- */

int vk_elements_operands(const struct qdot_op *op, const struct qdot_run *run,
                         struct vk_operands *o, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    const size_t count = run->m * p->elements.unit;
    const size_t a_bytes = qdot_type_bytes(p->a_type, count);
    const size_t out_bytes = qdot_type_bytes(p->out_type, count);
    *o = (struct vk_operands){.out = {{impl->buffers[VK_OUT], 0, VK_WHOLE_SIZE}, 0, 0}};
    int status =
        vk_take_matrix(op, "a", &run->a, VK_A_IN, 1, a_bytes, a_bytes, a_bytes, &o->a, err);
    o->b = o->a;
    if (status == QDOT_OK && p->op == QDOT_FAKE_QUANTIZE_GRADIENT)
        status =
            vk_take_matrix(op, "b", &run->b, VK_B_IN, 1, a_bytes, a_bytes, a_bytes, &o->b, err);
    if (status == QDOT_OK && run->out.buffer)
        status = vk_find_place(op, "out", run->out.buffer, run->out.offset_bytes, 1, out_bytes,
                               out_bytes, 1, &o->out, err);
    return status;
}

bool vk_elements_to_host(const struct qdot_op *op, const struct qdot_run *run)
{
    return !run->out.buffer || (is_dynamic(op) && !(run->scale_out.buffer && run->zero_out.buffer));
}

void vk_elements_output(const struct qdot_op *op, const struct qdot_run *run)
{
    const struct qdot_elements *e = &op->p.elements;
    const size_t bytes = qdot_parameters(&op->p, run->m) * 4;
    if (run->out.host)
        memcpy(run->out.host, vk_mapped(op, VK_OUT),
               qdot_type_bytes(op->p.out_type, run->m * e->unit));
    if (run->scale_out.host)
        memcpy(run->scale_out.host, vk_mapped(op, VK_ROWS_IN), bytes);
    if (run->zero_out.host)
        memcpy(run->zero_out.host, vk_mapped(op, VK_ROWS_IN) + e->parameters * 4, bytes);
}
