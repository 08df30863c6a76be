/*
 * What a run of a convolution records. Slab by slab of images: the input is copied with its padding
 * written out, windows are summed where zero points of B need it, and the kernel multiplies.
 */
#include "vk.h"

/* Push constants of the shaders. */
struct input_arguments {
    uint32_t offset, image_step, line_step, column_step, channel_step;
    uint32_t height, width;
    uint32_t images, lines, columns, parts, words;
    uint32_t channels;
    uint32_t multiplier;
    int32_t pad_top, pad_left;
    uint32_t insert_h, insert_w;
    uint32_t flip, zero;
};
struct conv_arguments {
    struct vk_output_arguments output;
    uint32_t pixels, plane, width;
    uint32_t image_step, line_step, column_step;
    uint32_t kernel_h, kernel_w, tap_h, tap_w;
    uint32_t part_words;
    uint32_t parts, part_quads, part_pad;
    uint32_t store_n;
    uint32_t out_pixel;
    uint32_t out_image, out_column;
    uint32_t first_tile;
};
_Static_assert(sizeof(struct input_arguments) <= VK_PUSH_BYTES, "the layout has room for them");
_Static_assert(sizeof(struct conv_arguments) <= VK_PUSH_BYTES, "the layout has room for them");

static bool sums_windows(const struct qdot_op *op)
{
    return op->terms.any_b_neg && !op->row->depthwise;
}

static size_t part_quads(const struct qdot_op *op)
{
    return vk_divide_up(op->packed.part_columns, 4);
}

void vk_conv_steps(struct qdot_op *op, struct vk_step_pipeline *steps)
{
    struct vk_op *impl = op->impl;
    const struct vk_row *row = op->row->impl;
    /* Invocations of a work-group side by side share the words of A of a tile of pixels; there are
     * few widths, because each is a pipeline of its own. */
    const size_t quads = part_quads(op) * op->packed.parts;
    const uint32_t x = quads <= VK_LOCAL / 16                           ? VK_LOCAL / 16
                       : quads % VK_LOCAL == 0 || quads >= 2 * VK_LOCAL ? VK_LOCAL
                                                                        : VK_LOCAL / 4;
    const uint32_t local = vk_local(op->device, op->row);
    impl->group_quads = local ? row->columns / 4 : x;
    impl->group_tiles = local ? 1 : VK_LOCAL / x;
    steps[VK_PACK_A] = (struct vk_step_pipeline){VK_SHADER_INPUT, {VK_LOCAL, 1}, true};
    steps[VK_SUMS_A] =
        (struct vk_step_pipeline){VK_SHADER_WINDOW_SUMS, {VK_LOCAL, 1}, sums_windows(op)};
    steps[VK_MULTIPLY] =
        (struct vk_step_pipeline){row->shader,
                                  {local ? local : x, local ? 1 : VK_LOCAL / x, op->p.out_type,
                                   FORM_SS, op->row->mr, row->depth},
                                  true};
    vk_coop_constants(op, steps[VK_MULTIPLY].constants);
}

/* Images [begin, begin + images) of the run. Numbers that do not fit in 32 bits are distances that
 * are never gone, because there is but one of what they are between. */
static void copy_input(const struct qdot_op *op, const struct vk_place *a, size_t begin,
                       size_t images)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const struct vk_copy *copy = &((const struct vk_op *)op->impl)->plan.copy;
    const size_t image = g->nchw ? g->c * g->h * g->w : g->h * g->w * a->ld;
    const uint8_t zero = (uint8_t)(p->a_zero + qdot_shift(p->a_type, op->row->a_form));
    const struct input_arguments arguments = {
        .offset = (uint32_t)(a->offset + begin * image),
        .image_step = (uint32_t)image,
        .line_step = (uint32_t)(g->nchw ? g->w : g->w * a->ld),
        .column_step = (uint32_t)(g->nchw ? 1 : a->ld),
        .channel_step = (uint32_t)(g->nchw ? g->h * g->w : 1),
        .height = (uint32_t)g->h,
        .width = (uint32_t)g->w,
        .images = (uint32_t)images,
        .lines = (uint32_t)copy->lines,
        .columns = (uint32_t)copy->columns,
        .parts = (uint32_t)copy->parts,
        .words = (uint32_t)copy->words,
        .channels = (uint32_t)copy->channels,
        .multiplier = (uint32_t)copy->multiplier,
        .pad_top = (int32_t)g->pad_top,
        .pad_left = (int32_t)g->pad_left,
        .insert_h = (uint32_t)g->insert_h,
        .insert_w = (uint32_t)g->insert_w,
        .flip = qdot_flip(p->a_type, op->row->a_form) * 0x01010101u,
        .zero = zero * 0x01010101u,
    };
    vk_op_barrier(op);
    vk_dispatch(op, VK_PACK_A, VK_SET_A, &arguments, sizeof(arguments),
                vk_divide_up(copy->image_words / copy->lines, VK_LOCAL), images * copy->lines, 1);
}

/* One invocation for each window and part, in as many lines of work-groups as the device needs. */
static void sum_windows(const struct qdot_op *op, const struct conv_arguments *arguments)
{
    const struct vk_device *vkd = op->device->impl;
    const size_t sums = (size_t)arguments->pixels * arguments->parts;
    const size_t groups = vk_divide_up(sums, VK_LOCAL); /* at most 2^31 / 64 */
    vk_op_barrier(op);
    vk_dispatch(op, VK_SUMS_A, VK_SET_A, arguments, sizeof(*arguments), groups,
                vk_divide_up(groups, vkd->limits.maxComputeWorkGroupCount[0]), 1);
}

static void multiply(const struct qdot_op *op, const struct vk_place *out, size_t begin,
                     size_t images, bool whole_words)
{
    const struct qdot_problem *p = &op->p;
    const struct qdot_geometry *g = &p->conv;
    const struct vk_plan *plan = &((const struct vk_op *)op->impl)->plan;
    const struct vk_copy *copy = &plan->copy;
    const size_t pixel = copy->parts * copy->words, line = copy->columns * pixel;
    /* Images of one pixel are the same in both layouts. */
    const bool planes = g->nchw && p->unit_rows > 1;
    const size_t out_image = p->unit_rows * (planes ? p->n : out->ld);
    struct conv_arguments arguments = {
        .output = vk_output_arguments(op),
        .pixels = (uint32_t)(images * p->unit_rows),
        .plane = (uint32_t)p->unit_rows,
        .width = (uint32_t)g->ow,
        .image_step = (uint32_t)copy->image_words,
        .line_step = (uint32_t)(g->stride_h * line),
        .column_step = (uint32_t)(g->stride_w * pixel),
        .kernel_h = (uint32_t)g->kh,
        .kernel_w = (uint32_t)g->kw,
        .tap_h = (uint32_t)(g->dilation_h * line),
        .tap_w = (uint32_t)(g->dilation_w * pixel),
        .part_words = (uint32_t)copy->words,
        .parts = (uint32_t)op->packed.parts,
        .part_quads = (uint32_t)part_quads(op),
        .part_pad = (uint32_t)op->packed.part_pad,
        .store_n = (uint32_t)(whole_words ? plan->out_ld : op->packed.part_columns),
        .out_pixel = (uint32_t)out->ld,
        .out_image = (uint32_t)out_image,
        .out_column = (uint32_t)(planes ? p->unit_rows : 1),
    };
    arguments.output.out_offset = (uint32_t)(out->offset / p->out_bytes + begin * out_image);
    if (sums_windows(op))
        sum_windows(op, &arguments);
    else
        arguments.output.with = 0;
    vk_multiply(op, &arguments, sizeof(arguments), &arguments.first_tile,
                vk_divide_up(arguments.pixels, op->row->mr),
                vk_local(op->device, op->row) ? op->packed.n_pad / 4
                                              : part_quads(op) * op->packed.parts);
}

void vk_conv_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_place *a,
                    const struct vk_place *out)
{
    const struct vk_op *impl = op->impl;
    const size_t slab = impl->plan.copy.images;
    /* In the op's own output the rest of a pixel's last word is padding. */
    const bool whole_words = !run->out.buffer && !op->p.conv.nchw && op->packed.parts == 1;
    for (size_t begin = 0; begin < run->m; begin += slab) {
        const size_t images = run->m - begin < slab ? run->m - begin : slab;
        copy_input(op, a, begin, images);
        multiply(op, out, begin, images, whole_words);
    }
}
