/*
 * Ops: A is packed on the device, then multiplied; B too when it comes with the run. One command
 * buffer a run, recorded again each time, because operands may lie anywhere.
 */
#include <string.h>
#include "vk.h"

#define LOCAL 64 /* invocations of every work-group */

/* As in output.glsl. */
enum { WITH_ROW_SUM = 1, WITH_A_ZERO = 2, WITH_ROW_SCALE = 4 };

enum pipeline { PACK_A, PACK_B, SUMS_A, SUMS_B, FOLD, MULTIPLY, PIPELINES };
enum set { SET_A, SET_B, SET_MULTIPLY, SETS };

struct vk_op {
    struct vk_plan plan;
    VkBuffer buffers[VK_BUFFERS];
    size_t offsets[VK_BUFFERS]; /* in their memory */
    struct vk_memory memory[2]; /* under device and host buffers */
    VkPipeline pipelines[PIPELINES];
    VkDescriptorPool pool;
    VkDescriptorSet sets[SETS];
    struct vk_commands commands;
    uint32_t local_x, local_y; /* of MULTIPLY */
};

/* Push constants of the shaders. */
struct pack_arguments {
    uint32_t offset, row_stride, k_stride;
    uint32_t rows, rows_pad, k, groups;
    uint32_t flip;
};
struct sums_arguments {
    uint32_t rows, groups;
    uint32_t target;
};
struct fold_arguments {
    uint32_t n, k, terms_ld;
    uint32_t a_zero;
};
struct gemm_arguments {
    uint32_t m, n, k, groups;
    uint32_t first_tile;
    uint32_t terms_ld, rows_ld;
    uint32_t out_offset, ldo;
    uint32_t store_n;
    uint32_t with;
    int32_t lo, hi, zero;
};
_Static_assert(sizeof(struct gemm_arguments) <= VK_PUSH_BYTES, "the layout has room for them");

/* Where a matrix lies on the device: a window that a shader sees, and in it the first byte. */
struct place {
    VkDescriptorBufferInfo window;
    size_t offset; /* bytes */
    size_t ld;     /* elements */
};

static struct vk_device *device_of(const struct qdot_op *op)
{
    return op->device->impl;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* ---- prepare --------------------------------------------------------------------------------- */

static int make_pipelines(struct qdot_op *op, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    const struct vk_row *row = op->row->impl;
    const struct qdot_problem *p = &op->p;
    /* A work-group is one tile of rows, whose words of A all its invocations share; or four tiles,
     * where there are too few columns for all of them. */
    const bool wide = p->n > 128 || p->m <= op->row->mr;
    impl->local_x = wide ? LOCAL : LOCAL / 4;
    impl->local_y = wide ? 1 : 4;
    /* The packing invocations of a work-group walk along what lies side by side in memory. */
    const uint32_t b_x = p->b_transposed ? LOCAL : 1, b_y = p->b_transposed ? 1 : LOCAL;
    const uint32_t mr = op->row->mr, nr = op->row->nr;
    const struct {
        enum vk_shader shader;
        uint32_t local_x, local_y, constant;
        bool needed;
    } wanted[PIPELINES] = {
        [PACK_A] = {VK_SHADER_PACK, LOCAL, 1, mr, true},
        [PACK_B] = {VK_SHADER_PACK, b_x, b_y, nr, p->b_at_run},
        [SUMS_A] = {VK_SHADER_SUMS, LOCAL, 1, mr, op->terms.any_b_neg},
        [SUMS_B] = {VK_SHADER_SUMS, LOCAL, 1, nr, p->b_at_run},
        [FOLD] = {VK_SHADER_FOLD, LOCAL, 1, 0, p->b_at_run},
        [MULTIPLY] = {row->shader, impl->local_x, impl->local_y, p->out_type, true},
    };
    int status = QDOT_OK;
    for (size_t i = 0; i < PIPELINES && status == QDOT_OK; i++)
        if (wanted[i].needed)
            status = vk_pipeline(op->device, wanted[i].shader, wanted[i].local_x, wanted[i].local_y,
                                 wanted[i].constant, &impl->pipelines[i], err);
    return status;
}

static int make_sets(struct qdot_op *op, struct qdot_error *err)
{
    const struct vk_device *vkd = device_of(op);
    struct vk_op *impl = op->impl;
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS * VK_BINDINGS};
    const VkDescriptorPoolCreateInfo pool_info = {.sType =
                                                      VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                  .maxSets = SETS,
                                                  .poolSizeCount = 1,
                                                  .pPoolSizes = &size};
    VkDescriptorPool pool;
    int status = vk_check(vkd->vk.vkCreateDescriptorPool(vkd->device, &pool_info, NULL, &pool),
                          "vkCreateDescriptorPool", err);
    if (status != QDOT_OK)
        return status;
    impl->pool = pool;
    const VkDescriptorSetLayout layouts[SETS] = {vkd->set_layout, vkd->set_layout, vkd->set_layout};
    const VkDescriptorSetAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = pool,
                                              .descriptorSetCount = SETS,
                                              .pSetLayouts = layouts};
    return vk_check(vkd->vk.vkAllocateDescriptorSets(vkd->device, &info, impl->sets),
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
        if (i != VK_B && i != VK_TERMS)
            op->workspace_bytes += impl->plan.bytes[i];
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
    if (status == QDOT_OK) {
        qdot_release(op->device, op->packed.blob);
        op->packed.blob = NULL;
    }
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
        !vk_plan(op->row, &op->p, &impl->plan))
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %s", op->name, reason);
    int status = make_pipelines(op, err);
    if (status == QDOT_OK)
        status = make_sets(op, err);
    if (status == QDOT_OK)
        status = vk_commands_create(op->device, &impl->commands, err);
    if (status == QDOT_OK)
        status = make_buffers(op, err);
    if (status == QDOT_OK)
        status = upload(op, err);
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

int vk_read_packed(struct qdot_op *op, void *panels, int32_t *col_sum, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    memcpy(col_sum, op->terms.col_sum, op->packed.n_pad * sizeof(*col_sum));
    return vk_download(op->device, impl->buffers[VK_B], 0, panels, op->packed.panels_bytes, err);
}

/* ---- operands of a run ----------------------------------------------------------------------- */

static uint8_t *mapped(const struct vk_op *impl, enum vk_buffer buffer)
{
    return (uint8_t *)impl->memory[1].mapped + impl->offsets[buffer];
}

static VkDescriptorBufferInfo whole(const struct vk_op *impl, enum vk_buffer buffer)
{
    return (VkDescriptorBufferInfo){impl->buffers[buffer], 0, VK_WHOLE_SIZE};
}

/* A matrix in the caller's buffer. Windows begin where the device allows it and end with a word,
 * which buffers have whole. */
static int find_place(const struct qdot_op *op, const char *name, const struct qdot_buffer *buffer,
                      size_t offset, size_t rows, size_t columns, size_t ld, size_t bytes,
                      struct place *place, struct qdot_error *err)
{
    const VkPhysicalDeviceLimits *limits = &device_of(op)->limits;
    const size_t least = (size_t)limits->minStorageBufferOffsetAlignment;
    const size_t alignment = least > 4 ? least : 4;
    *place = (struct place){
        {vk_handle(buffer), offset / alignment * alignment, 0}, offset % alignment, ld};
    const size_t end = place->offset + ((rows - 1) * ld + columns) * bytes;
    place->window.range = (end + 3) / 4 * 4;
    if (place->window.range > limits->maxStorageBufferRange)
        return qdot_fail(err, QDOT_UNSUPPORTED, "%s: %zu bytes, a shader sees at most %u", name,
                         (size_t)place->window.range, limits->maxStorageBufferRange);
    return QDOT_OK;
}

static int take_matrix(const struct qdot_op *op, const char *name, const struct qdot_input *in,
                       enum vk_buffer buffer, size_t rows, size_t columns, size_t ld, size_t own_ld,
                       struct place *place, struct qdot_error *err)
{
    const struct vk_op *impl = op->impl;
    if (in->buffer)
        return find_place(op, name, in->buffer, in->offset_bytes, rows, columns, ld, 1, place, err);
    *place = (struct place){whole(impl, buffer), 0, own_ld};
    uint8_t *to = mapped(impl, buffer);
    if (ld == own_ld && columns == ld) {
        memcpy(to, in->host, rows * columns);
        return QDOT_OK;
    }
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * own_ld, (const uint8_t *)in->host + i * ld, columns);
    return QDOT_OK;
}

/* An array by row into the terms. */
static void take_rows(const struct qdot_op *op, const struct qdot_input *in, size_t m, size_t array)
{
    const struct vk_device *vkd = device_of(op);
    const struct vk_op *impl = op->impl;
    const size_t staged = array == ROW_SCALE ? op->p.m * 4 : 0;
    VkBufferCopy region = {staged, (impl->plan.terms_ld * TERMS + op->p.m * array) * 4, m * 4};
    VkBuffer from = impl->buffers[VK_ROWS_IN];
    if (in->buffer) {
        from = vk_handle(in->buffer);
        region.srcOffset = in->offset_bytes;
    } else {
        memcpy(mapped(impl, VK_ROWS_IN) + staged, in->host, m * 4);
    }
    vkd->vk.vkCmdCopyBuffer(impl->commands.buffer, from, impl->buffers[VK_TERMS], 1, &region);
}

/* ---- recording ------------------------------------------------------------------------------- */

static void update_sets(const struct qdot_op *op, const struct place *a, const struct place *b,
                        const struct place *out)
{
    const struct vk_device *vkd = device_of(op);
    const struct vk_op *impl = op->impl;
    const VkDescriptorBufferInfo packed_a = whole(impl, VK_A), packed_b = whole(impl, VK_B);
    const VkDescriptorBufferInfo terms = whole(impl, VK_TERMS);
    /* Bindings that a shader does not have are given the terms. */
    const VkDescriptorBufferInfo windows[SETS][VK_BINDINGS] = {
        [SET_A] = {a->window, packed_a, terms, terms},
        [SET_B] = {b->window, packed_b, terms, terms},
        [SET_MULTIPLY] = {packed_a, packed_b, terms, out->window},
    };
    VkWriteDescriptorSet writes[SETS];
    uint32_t count = 0;
    for (size_t i = 0; i < SETS; i++) {
        if (i == SET_B && !op->p.b_at_run)
            continue;
        writes[count++] =
            (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                   .dstSet = impl->sets[i],
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

/* Work-groups beyond the device's limit are left out: loops of the shaders stride over the grid. */
static void dispatch(const struct qdot_op *op, enum pipeline pipeline, enum set set,
                     const void *arguments, size_t bytes, size_t x, size_t y)
{
    const struct vk_device *vkd = device_of(op);
    const struct vk_op *impl = op->impl;
    const VkCommandBuffer buffer = impl->commands.buffer;
    const uint32_t *limits = vkd->limits.maxComputeWorkGroupCount;
    vkd->vk.vkCmdBindPipeline(buffer, VK_PIPELINE_BIND_POINT_COMPUTE, impl->pipelines[pipeline]);
    vkd->vk.vkCmdBindDescriptorSets(buffer, VK_PIPELINE_BIND_POINT_COMPUTE, vkd->layout, 0, 1,
                                    &impl->sets[set], 0, NULL);
    vkd->vk.vkCmdPushConstants(buffer, vkd->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, (uint32_t)bytes,
                               arguments);
    vkd->vk.vkCmdDispatch(buffer, at_most(x, limits[0]), at_most(y, limits[1]), 1);
}

static void barrier(const struct qdot_op *op)
{
    const struct vk_op *impl = op->impl;
    vk_barrier(device_of(op), impl->commands.buffer, false);
}

static void pack_a(const struct qdot_op *op, const struct place *a, size_t m)
{
    const struct qdot_problem *p = &op->p;
    const size_t groups = op->packed.k_groups, rows_pad = divide_up(m, op->row->mr) * op->row->mr;
    const struct pack_arguments arguments = {.offset = (uint32_t)a->offset,
                                             .row_stride = (uint32_t)a->ld,
                                             .k_stride = 1,
                                             .rows = (uint32_t)m,
                                             .rows_pad = (uint32_t)rows_pad,
                                             .k = (uint32_t)p->k,
                                             .groups = (uint32_t)groups,
                                             .flip = qdot_flip(p->a_type, op->row->a_form) *
                                                     0x01010101u};
    dispatch(op, PACK_A, SET_A, &arguments, sizeof(arguments), divide_up(groups, LOCAL), rows_pad);
}

static void pack_b(const struct qdot_op *op, const struct place *b)
{
    const struct qdot_problem *p = &op->p;
    const bool t = p->b_transposed;
    const size_t groups = op->packed.k_groups, n_pad = op->packed.n_pad;
    const struct pack_arguments arguments = {.offset = (uint32_t)b->offset,
                                             .row_stride = t ? (uint32_t)b->ld : 1,
                                             .k_stride = t ? 1 : (uint32_t)b->ld,
                                             .rows = (uint32_t)p->n,
                                             .rows_pad = (uint32_t)n_pad,
                                             .k = (uint32_t)p->k,
                                             .groups = (uint32_t)groups,
                                             .flip = qdot_flip(p->b_type, op->row->b_form) *
                                                     0x01010101u};
    dispatch(op, PACK_B, SET_B, &arguments, sizeof(arguments),
             t ? divide_up(groups, LOCAL) : groups, t ? n_pad : divide_up(n_pad, LOCAL));
}

static void sums(const struct qdot_op *op, enum pipeline pipeline, enum set set, size_t rows,
                 size_t target)
{
    const struct sums_arguments arguments = {(uint32_t)rows, (uint32_t)op->packed.k_groups,
                                             (uint32_t)target};
    barrier(op);
    dispatch(op, pipeline, set, &arguments, sizeof(arguments), rows, 1);
}

static void fold(const struct qdot_op *op)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_op *impl = op->impl;
    const struct fold_arguments arguments = {
        (uint32_t)p->n, (uint32_t)p->k, (uint32_t)impl->plan.terms_ld,
        (uint32_t)(p->a_zero + qdot_shift(p->a_type, op->row->a_form))};
    barrier(op);
    dispatch(op, FOLD, SET_B, &arguments, sizeof(arguments), divide_up(p->n, LOCAL), 1);
}

static void multiply(const struct qdot_op *op, const struct place *out, size_t m, size_t store_n)
{
    const struct qdot_problem *p = &op->p;
    const struct vk_op *impl = op->impl;
    const size_t tiles = divide_up(m, op->row->mr);
    const size_t most = (size_t)device_of(op)->limits.maxComputeWorkGroupCount[1] * impl->local_y;
    struct gemm_arguments arguments = {.m = (uint32_t)m,
                                       .n = (uint32_t)p->n,
                                       .k = (uint32_t)p->k,
                                       .groups = (uint32_t)op->packed.k_groups,
                                       .terms_ld = (uint32_t)impl->plan.terms_ld,
                                       .rows_ld = (uint32_t)p->m,
                                       .out_offset = (uint32_t)(out->offset / p->out_bytes),
                                       .ldo = (uint32_t)out->ld,
                                       .store_n = (uint32_t)store_n,
                                       .with = (op->terms.any_b_neg ? WITH_ROW_SUM : 0u) |
                                               (p->a_zero_per_row ? WITH_A_ZERO : 0u) |
                                               (p->row_scale ? WITH_ROW_SCALE : 0u),
                                       .lo = p->clamp_lo - p->out_zero,
                                       .hi = p->clamp_hi - p->out_zero,
                                       .zero = p->out_zero};
    for (size_t first = 0; first < tiles; first += most) {
        const size_t count = tiles - first < most ? tiles - first : most;
        arguments.first_tile = (uint32_t)first;
        barrier(op);
        dispatch(op, MULTIPLY, SET_MULTIPLY, &arguments, sizeof(arguments),
                 divide_up(p->n, 4 * (size_t)impl->local_x), divide_up(count, impl->local_y));
    }
}

/* ---- run ------------------------------------------------------------------------------------- */

static int give_output(const struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    const size_t row_bytes = op->p.n * op->p.out_bytes;
    int status = vk_commands_wait(op->device, &impl->commands, err);
    if (status == QDOT_OK)
        status = vk_memory_invalidate(op->device, &impl->memory[1], err);
    if (status != QDOT_OK)
        return status;
    const uint8_t *from = mapped(impl, VK_OUT);
    if (run->ldo == op->p.n && impl->plan.out_ld == op->p.n) {
        memcpy(run->out.host, from, run->m * row_bytes);
        return QDOT_OK;
    }
    for (size_t i = 0; i < run->m; i++)
        memcpy((uint8_t *)run->out.host + i * run->ldo * op->p.out_bytes,
               from + i * impl->plan.out_ld * op->p.out_bytes, row_bytes);
    return QDOT_OK;
}

int vk_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    struct vk_op *impl = op->impl;
    const struct qdot_problem *p = &op->p;
    const struct vk_plan *plan = &impl->plan;
    struct place a, b = {0}, out = {whole(impl, VK_OUT), 0, plan->out_ld};
    /* The host's memory and the descriptors belong to the run before until it is done. */
    int status = vk_commands_wait(op->device, &impl->commands, err);
    if (status == QDOT_OK)
        status =
            take_matrix(op, "a", &run->a, VK_A_IN, run->m, p->k, run->lda, plan->a_ld, &a, err);
    if (status == QDOT_OK && p->b_at_run)
        status = take_matrix(op, "b", &run->b, VK_B_IN, p->b_transposed ? p->n : p->k,
                             p->b_transposed ? p->k : p->n, p->ldb, plan->b_ld, &b, err);
    if (status == QDOT_OK && run->out.buffer)
        status = find_place(op, "out", run->out.buffer, run->out.offset_bytes, run->m, p->n,
                            run->ldo, p->out_bytes, &out, err);
    if (status == QDOT_OK)
        status = vk_commands_begin(op->device, &impl->commands, err);
    if (status != QDOT_OK)
        return status; /* nothing fails from here to the end of recording */
    update_sets(op, &a, &b, &out);
    if (p->a_zero_per_row)
        take_rows(op, &run->a_zero, run->m, ROW_A_ZERO);
    if (p->row_scale)
        take_rows(op, &run->row_scale, run->m, ROW_SCALE);
    pack_a(op, &a, run->m);
    if (p->b_at_run) {
        pack_b(op, &b);
        sums(op, SUMS_B, SET_B, p->n, TERM_COL_SUM * plan->terms_ld);
        fold(op);
    }
    if (op->terms.any_b_neg)
        sums(op, SUMS_A, SET_A, run->m, plan->terms_ld * TERMS + p->m * ROW_SUM);
    multiply(op, &out, run->m, run->out.buffer ? p->n : plan->out_ld);
    if (!run->out.buffer)
        vk_barrier(device_of(op), impl->commands.buffer, true);
    status = vk_memory_flush(op->device, &impl->memory[1], err);
    if (status == QDOT_OK)
        status = vk_commands_submit(op->device, &impl->commands, err);
    if (status == QDOT_OK && !run->out.buffer)
        status = give_output(op, run, err);
    return status;
}
