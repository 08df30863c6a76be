/*
 * Ops: prepare and run. One command buffer a run, recorded again each time, because operands may
 * lie anywhere: A is brought into the kernels' form on the device, then multiplied. Runs of an op
 * share its workspace on the device, in order; command buffers and descriptors it has for VK_SLOTS of
 * them, host buffers for one.
 */
#include <string.h>
#include "vk.h"

static struct vk_device *device_of(const struct qdot_op *op)
{
    return op->device->impl;
}

/* ---- prepare --------------------------------------------------------------------------------- */

static int make_pipelines(struct qdot_op *op, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    struct vk_step_pipeline steps[VK_STEPS] = {0};
    int status = QDOT_OK;
    if (op->row->op == QDOT_QUANTIZE)
        vk_elements_steps(op, steps);
    else if (!qdot_is_product(op->row->op))
        vk_bytes_steps(op, steps);
    else if (op->p.op == QDOT_CONV)
        vk_conv_steps(op, steps);
    else
        vk_gemm_steps(op, steps);
    steps[VK_MULTIPLY].constants[CONSTANT_ROUNDING] = (uint32_t)op->p.rounding;
    steps[VK_REDUCE].constants[CONSTANT_ROUNDING] = (uint32_t)op->p.rounding;
    for (size_t i = 0; i < VK_STEPS && status == QDOT_OK; i++)
        if (steps[i].needed)
            status = vk_pipeline(op->device, &steps[i], &impl->pipelines[i], err);
    return status;
}

int vk_sets_create(struct qdot_device *device, size_t count, VkDescriptorPool *pool,
                   VkDescriptorSet (*sets)[VK_SETS], struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const uint32_t all = (uint32_t)count * VK_SETS;
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, all * VK_BINDINGS};
    const VkDescriptorPoolCreateInfo pool_info = {.sType =
                                                      VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                  .maxSets = all,
                                                  .poolSizeCount = 1,
                                                  .pPoolSizes = &size};
    VkDescriptorSetLayout layouts[VK_SLOTS * VK_SETS];
    VkDescriptorPool made;
    int status = vk_check(vkd->vk.vkCreateDescriptorPool(vkd->device, &pool_info, NULL, &made),
                          "vkCreateDescriptorPool", err);
    if (status != QDOT_OK)
        return status;
    *pool = made;
    for (size_t i = 0; i < all; i++)
        layouts[i] = vkd->set_layout;
    const VkDescriptorSetAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = made,
                                              .descriptorSetCount = all,
                                              .pSetLayouts = layouts};
    return vk_check(vkd->vk.vkAllocateDescriptorSets(vkd->device, &info, sets[0]),
                    "vkAllocateDescriptorSets", err);
}

static int make_buffers(struct qdot_op *op, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    int status = QDOT_OK;
    for (size_t i = 0; i < VK_BUFFERS && status == QDOT_OK; i++) {
        if (impl->plan.bytes[i] == 0)
            continue;
        status = vk_buffer_create(op->device, impl->plan.bytes[i], &impl->buffers[i], err);
        /* Packed B and the terms of columns do not count. */
        if (i != VK_B)
            op->workspace_bytes +=
                impl->plan.bytes[i] - (i == VK_TERMS ? impl->plan.terms_ld * TERMS * 4 : 0);
    }
    if (status == QDOT_OK)
        status = vk_memory_create(op->device, VK_KIND_DEVICE, impl->buffers, VK_FIRST_HOST,
                                  impl->offsets, &impl->memory[0], err);
    if (status == QDOT_OK)
        status = vk_memory_create(op->device, VK_KIND_HOST, impl->buffers + VK_FIRST_HOST,
                                  VK_BUFFERS - VK_FIRST_HOST, impl->offsets + VK_FIRST_HOST,
                                  &impl->memory[1], err);
    return status;
}

static int upload(struct qdot_op *op, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const struct qdot_terms *t = &op->terms;
    const size_t bytes = impl->plan.terms_ld * 4;
    const void *const arrays[TERMS] = {t->bias, t->b_neg, t->col_sum, t->scale, t->bias_f, t->bias};
    int status = QDOT_OK;
    for (size_t i = 0; i < TERMS && status == QDOT_OK; i++)
        status = vk_upload(op->device, impl->buffers[VK_TERMS], i * bytes, arrays[i], bytes, err);
    if (status != QDOT_OK || op->p.b_at_run)
        return status;
    status = vk_upload(op->device, impl->buffers[VK_B], 0, qdot_packed_panels(&op->packed),
                       op->packed.panels_bytes, err);
    if (status == QDOT_OK)
        qdot_packed_drop(op->device, &op->packed);
    return status;
}

int vk_prepare(struct qdot_op *op, struct qdot_error *err)
{
    char reason[192];
    struct vk_op *impl = qdot_alloc(op->device, sizeof(*impl));
    if (!impl)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the op");
    op->impl = impl;
    /* Self-test and measurement build ops without asking fits first. */
    if (!vk_fits(op->device, op->row, &op->p, reason, sizeof(reason)) ||
        !vk_plan(op->row, &op->p, &impl->plan, reason, sizeof(reason)))
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %s", op->name, reason);
    int status = make_pipelines(op, err);
    if (status == QDOT_OK)
        status = vk_sets_create(op->device, VK_SLOTS, &impl->pool, impl->sets, err);
    if (status == QDOT_OK)
        status = vk_commands_create(op->device, &impl->commands, err);
    if (status == QDOT_OK)
        status = make_buffers(op, err);
    if (status == QDOT_OK)
        status = op->row->op == QDOT_QUANTIZE   ? vk_elements_upload(op, err)
                 : qdot_is_product(op->row->op) ? upload(op, err)
                                                : vk_bytes_upload(op, err);
    return status;
}

void vk_unprepare(struct qdot_op *op)
{
    const struct vk_device *vkd = device_of(op);
    struct vk_op *impl = op->impl;
    if (!impl)
        return;
    vk_commands_destroy(op->device, &impl->commands);
    if (impl->pool)
        vkd->vk.vkDestroyDescriptorPool(vkd->device, impl->pool, NULL);
    for (size_t i = 0; i < VK_BUFFERS; i++)
        if (impl->buffers[i])
            vkd->vk.vkDestroyBuffer(vkd->device, impl->buffers[i], NULL);
    vk_memory_destroy(op->device, &impl->memory[0]);
    vk_memory_destroy(op->device, &impl->memory[1]);
    qdot_release(op->device, impl);
    op->impl = NULL;
}

int vk_read_packed(struct qdot_op *op, void *panels, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    return vk_download(op->device, impl->buffers[VK_B], 0, panels, op->packed.panels_bytes, err);
}

/* ---- operands of a run ----------------------------------------------------------------------- */

uint8_t *vk_mapped(const struct qdot_op *op, enum vk_buffer buffer)
{
    const struct vk_op *impl = op->impl;
    return (uint8_t *)impl->memory[1].mapped + impl->offsets[buffer];
}

static VkDescriptorBufferInfo whole(const struct vk_op *impl, enum vk_buffer buffer)
{
    return (VkDescriptorBufferInfo){impl->buffers[buffer], 0, VK_WHOLE_SIZE};
}

/* A matrix in the caller's buffer. Windows begin where the device allows it and end with a word,
 * which buffers have whole. */
int vk_find_place(const struct qdot_op *op, const char *name, const struct qdot_buffer *buffer,
                  size_t offset, size_t rows, size_t columns, size_t ld, size_t bytes,
                  struct vk_place *place, struct qdot_error *err)
{
    const VkPhysicalDeviceLimits *limits = &device_of(op)->limits;
    const size_t least = (size_t)limits->minStorageBufferOffsetAlignment;
    const size_t alignment = least > 4 ? least : 4, at = buffer->base + offset;
    *place =
        (struct vk_place){{vk_handle(buffer), at / alignment * alignment, 0}, at % alignment, ld};
    const size_t end = place->offset + ((rows - 1) * ld + columns) * bytes;
    place->window.range = (end + 3) / 4 * 4;
    if (place->window.range > limits->maxStorageBufferRange)
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %zu bytes, a shader sees at most %u", name,
                         (size_t)place->window.range, limits->maxStorageBufferRange);
    return QDOT_OK;
}

int vk_take_matrix(const struct qdot_op *op, const char *name, const struct qdot_input *in,
                   enum vk_buffer buffer, size_t rows, size_t columns, size_t ld, size_t own_ld,
                   struct vk_place *place, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    if (in->buffer)
        return vk_find_place(op, name, in->buffer, in->offset_bytes, rows, columns, ld, 1, place,
                             err);
    *place = (struct vk_place){whole(impl, buffer), 0, own_ld};
    uint8_t *to = vk_mapped(op, buffer);
    if (ld == own_ld && columns == ld) {
        memcpy(to, in->host, rows * columns);
        return QDOT_OK;
    }
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * own_ld, (const uint8_t *)in->host + i * ld, columns);
    return QDOT_OK;
}

/* ---- recording ------------------------------------------------------------------------------- */

static void update_sets(const struct qdot_op *op, const struct vk_place *a,
                        const struct vk_place *b, const struct vk_place *out)
{
    const struct vk_device *vkd = device_of(op);
    const struct vk_op *impl = op->impl;
    const VkDescriptorBufferInfo packed_a = whole(impl, VK_A), packed_b = whole(impl, VK_B);
    const VkDescriptorBufferInfo terms = whole(impl, VK_TERMS), parts = whole(impl, VK_PARTS);
    const bool sliced = impl->plan.slices > 1;
    /* Bindings that a shader does not have are given the terms. */
    const VkDescriptorBufferInfo windows[VK_SETS][VK_BINDINGS] = {
        [VK_SET_A] = {a->window, packed_a, terms, terms},
        [VK_SET_B] = {b->window, packed_b, terms, terms},
        [VK_SET_MULTIPLY] = {packed_a, packed_b, terms, sliced ? parts : out->window},
        [VK_SET_REDUCE] = {parts, packed_b, terms, out->window},
    };
    VkWriteDescriptorSet writes[VK_SETS];
    uint32_t count = 0;
    for (size_t i = 0; i < VK_SETS; i++) {
        if ((i == VK_SET_B && !op->p.b_at_run) || (i == VK_SET_REDUCE && !sliced))
            continue;
        writes[count++] =
            (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                   .dstSet = impl->target.sets[i],
                                   .descriptorCount = VK_BINDINGS,
                                   .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                   .pBufferInfo = windows[i]};
    }
    vkd->vk.vkUpdateDescriptorSets(vkd->device, count, writes, 0, NULL);
}

static uint32_t at_most(size_t count, uint32_t limit)
{
    return count < limit ? (uint32_t)count : limit;
}

void vk_dispatch(const struct qdot_op *op, enum vk_step step, enum vk_set set,
                 const void *arguments, size_t bytes, size_t x, size_t y, size_t z)
{
    const struct vk_device *vkd = device_of(op);
    const struct vk_op *impl = op->impl;
    const VkCommandBuffer buffer = impl->target.buffer;
    const uint32_t *limits = vkd->limits.maxComputeWorkGroupCount;
    vkd->vk.vkCmdBindPipeline(buffer, VK_PIPELINE_BIND_POINT_COMPUTE, impl->pipelines[step]);
    vkd->vk.vkCmdBindDescriptorSets(buffer, VK_PIPELINE_BIND_POINT_COMPUTE, vkd->layout, 0, 1,
                                    &impl->target.sets[set], 0, NULL);
    vkd->vk.vkCmdPushConstants(buffer, vkd->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, (uint32_t)bytes,
                               arguments);
    vkd->vk.vkCmdDispatch(buffer, at_most(x, limits[0]), at_most(y, limits[1]),
                          at_most(z, limits[2]));
}

void vk_op_barrier(const struct qdot_op *op)
{
    const struct vk_op *impl = op->impl;
    vk_barrier(device_of(op), impl->target.buffer, false);
}

void vk_multiply(const struct qdot_op *op, void *arguments, size_t bytes, uint32_t *first_tile,
                 size_t tiles, size_t quads)
{
    const struct vk_op *impl = op->impl;
    const size_t most =
        (size_t)device_of(op)->limits.maxComputeWorkGroupCount[1] * impl->group_tiles;
    for (size_t first = 0; first < tiles; first += most) {
        const size_t count = tiles - first < most ? tiles - first : most;
        *first_tile = (uint32_t)first;
        vk_op_barrier(op);
        vk_dispatch(op, VK_MULTIPLY, VK_SET_MULTIPLY, arguments, bytes,
                    vk_divide_up(quads, impl->group_quads), vk_divide_up(count, impl->group_tiles),
                    impl->plan.slices);
    }
}

struct vk_output_arguments vk_output_arguments(const struct qdot_op *op)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_op *impl = op->impl;
    return (struct vk_output_arguments){.terms_ld = (uint32_t)impl->plan.terms_ld,
                                        .rows_ld = (uint32_t)impl->plan.rows_ld,
                                        .with = (op->terms.any_b_neg ? WITH_ROW_SUM : 0u) |
                                                (p->a_zero_per_row ? WITH_A_ZERO : 0u) |
                                                (p->row_scale ? WITH_ROW_SCALE : 0u),
                                        .lo = p->clamp_lo - p->out_zero,
                                        .hi = p->clamp_hi - p->out_zero,
                                        .zero = p->out_zero};
}

/* ---- run ------------------------------------------------------------------------------------- */

static int give_output(const struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    const size_t rows = run->m * op->p.unit_rows, row_bytes = op->p.n * op->p.out_bytes;
    int status = vk_wait(op->device, impl->host_batch, UINT64_MAX, err);
    if (status == QDOT_OK)
        status = vk_memory_invalidate(op->device, &impl->memory[1], err);
    if (status != QDOT_OK)
        return status;
    if (op->row->op == QDOT_QUANTIZE) {
        vk_elements_output(op, run);
        return QDOT_OK;
    }
    if (op->row->op == QDOT_MAP) {
        vk_map_output(op, run);
        return QDOT_OK;
    }
    const uint8_t *from = vk_mapped(op, VK_OUT);
    if (run->ldo == op->p.n && impl->plan.out_ld == op->p.n) {
        memcpy(run->out.host, from, rows * row_bytes);
        return QDOT_OK;
    }
    for (size_t i = 0; i < rows; i++)
        memcpy((uint8_t *)run->out.host + i * run->ldo * op->p.out_bytes,
               from + i * impl->plan.out_ld * op->p.out_bytes, row_bytes);
    return QDOT_OK;
}

int vk_find_operands(const struct qdot_op *op, const struct qdot_run *run, struct vk_operands *o,
                     struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const struct vk_plan *plan = &impl->plan;
    const bool conv = p->op != QDOT_GEMM; /* a pool is laid out as one */
    if (op->row->op == QDOT_QUANTIZE)
        return vk_elements_operands(op, run, o, err);
    if (op->row->op == QDOT_MAP)
        return vk_map_operands(op, run, o, err);
    *o = (struct vk_operands){.out = {whole(impl, VK_OUT), 0, plan->out_ld}};
    int status = vk_take_matrix(op, "a", &run->a, VK_A_IN, conv ? run->m * g->h * g->w : run->m,
                                conv ? g->c : p->k, run->lda, plan->a_ld, &o->a, err);
    if (status == QDOT_OK && p->b_at_run)
        status = vk_take_matrix(op, "b", &run->b, VK_B_IN, p->b_transposed ? p->n : p->k,
                                p->b_transposed ? p->k : p->n, p->ldb, plan->b_ld, &o->b, err);
    if (status == QDOT_OK && run->out.buffer)
        status = vk_find_place(op, "out", run->out.buffer, run->out.offset_bytes,
                               run->m * p->unit_rows, p->n, run->ldo, p->out_bytes, &o->out, err);
    if (qdot_is_pool(p->op))
        o->b = o->a; /* any: there is none */
    return status;
}

void vk_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_operands *o)
{
    if (op->row->op == QDOT_QUANTIZE) {
        vk_elements_record(op, run, o);
        return;
    }
    if (!qdot_is_product(op->row->op)) {
        vk_bytes_record(op, run, o);
        return;
    }
    update_sets(op, &o->a, &o->b, &o->out);
    if (op->p.op == QDOT_CONV)
        vk_conv_record(op, run, &o->a, &o->out);
    else
        vk_gemm_record(op, run, &o->a, &o->b, &o->out);
}

/* Multiply-adds, or what takes a GPU as long: an element that only passes through memory as some. */
static double work_of(const struct qdot_op *op, const struct qdot_run *run)
{
    const struct qdot_problem *p = &op->p;
    const double outputs = (double)(run->m * p->unit_rows) * (double)p->n;
    if (op->row->op == QDOT_MAP)
        return (double)run->m * (double)p->a_bytes * 64;
    return outputs * (op->row->op == QDOT_QUANTIZE ? 64 : (double)p->k);
}

int vk_run_with(struct qdot_op *op, const struct qdot_run *run, const struct vk_points *points,
                struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    struct vk_operands operands;
    const bool elements = op->row->op == QDOT_QUANTIZE;
    const bool to_host = elements ? vk_elements_to_host(op, run) : run->out.host != NULL;
    const bool on_host = to_host || run->a.host || run->b.host || run->a_zero.host ||
                         run->row_scale.host || run->scale.host || run->zero.host;
    int status = QDOT_OK;
    if (on_host)
        status = vk_settle(op->device, impl->host_batch, err);
    if (status == QDOT_OK)
        status = vk_find_operands(op, run, &operands, err);
    if (status == QDOT_OK)
        status = vk_commands_begin(op->device, &impl->commands, err);
    if (status != QDOT_OK)
        return status; /* nothing fails from here to the end of recording */
    impl->target.buffer = vk_buffer_of(&impl->commands);
    memcpy(impl->target.sets, impl->sets[impl->commands.at], sizeof(impl->target.sets));
    vk_record(op, run, &operands);
    if (to_host)
        vk_barrier(device_of(op), impl->target.buffer, true);
    if (on_host)
        status = vk_memory_flush(op->device, &impl->memory[1], err);
    if (status != QDOT_OK)
        vk_commands_cancel(op->device, &impl->commands);
    else
        status = vk_commands_submit(op->device, &impl->commands, work_of(op, run),
                                    to_host || run->event, points, err);
    if (on_host)
        impl->host_batch = vk_batch_of(&impl->commands);
    if (status == QDOT_OK && run->event)
        run->event->batch = vk_batch_of(&impl->commands);
    if (status == QDOT_OK && to_host)
        status = give_output(op, run, err);
    return status;
}

int vk_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    return vk_run_with(op, run, NULL, err);
}
