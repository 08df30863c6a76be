/*
 * Convolutions: the images of a slab are copied with their padding, in the kernels' form, and
 * multiplied where they lie.
 */
#include "opencl.h"

#define SEGMENT 16 /* words that a work-item copies: conv_input.cl */

/* ---- the padded copy ------------------------------------------------------------------------- */

static int copy_input(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_COPY_INPUT];
    const struct qdot_geometry *g = &op->p.conv;
    struct ocl_copy copy = impl->plan.copy, *c = &copy;
    if (c->channels == c->words * 4) { /* words of its groups lie as those of one group */
        c->channels *= c->groups;
        c->words *= c->groups;
        c->line_cells /= c->groups;
        c->groups = 1;
    }
    const size_t pixel = g->nchw ? 1 : s->a.ld, channel = g->nchw ? g->h * g->w : 1;
    const size_t image = g->h * g->w * (g->nchw ? g->c : pixel);
    ARGUMENT(cl_mem, s->a.memory);
    ARGUMENT(cl_ulong, s->a.offset);
    ARGUMENT(cl_ulong, image);
    ARGUMENT(cl_ulong, g->w * pixel);
    ARGUMENT(cl_ulong, pixel);
    ARGUMENT(cl_ulong, channel);
    ARGUMENT(cl_uint, (cl_uint)g->h);
    ARGUMENT(cl_uint, (cl_uint)g->w);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    ARGUMENT(cl_uint, (cl_uint)(s->end - s->begin));
    ARGUMENT(cl_uint, (cl_uint)c->lines);
    ARGUMENT(cl_uint, (cl_uint)c->columns);
    ARGUMENT(cl_uint, (cl_uint)c->groups);
    ARGUMENT(cl_uint, (cl_uint)c->words);
    ARGUMENT(cl_uint, (cl_uint)c->channels);
    ARGUMENT(cl_uint, (cl_uint)c->multiplier);
    ARGUMENT(cl_int, (cl_int)g->pad_top);
    ARGUMENT(cl_int, (cl_int)g->pad_left);
    ARGUMENT(cl_uint, (cl_uint)g->insert_h);
    ARGUMENT(cl_uint, (cl_uint)g->insert_w);
    ocl_set_form(ocl, kernel, op->p.a_type, op->row->a_form);
    ARGUMENT(cl_int, op->p.a_zero + qdot_shift(op->p.a_type, op->row->a_form));
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    return ocl_launch(ocl, kernel, c->line_cells * ((c->words + SEGMENT - 1) / SEGMENT),
                      (s->end - s->begin) * c->lines, err);
}

static int sum_input(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_SUM_INPUT];
    const struct ocl_copy *c = &impl->plan.copy;
    const size_t cells = (s->end - s->begin) * c->image_cells;
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_uint, (cl_uint)c->words);
    ARGUMENT(cl_ulong, cells);
    ARGUMENT(cl_mem, impl->memory[OCL_ROW_SUM]);
    return ocl_launch(ocl, kernel, cells, 1, err);
}

/* ---- the window ------------------------------------------------------------------------------ */

int ocl_upload_taps(struct qdot_op *op, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const struct qdot_geometry *g = &op->p.conv;
    const struct ocl_copy *c = &impl->plan.copy;
    const size_t bytes = impl->plan.taps * sizeof(cl_uint);
    cl_uint *taps = qdot_alloc(op->device, bytes); /* past the last: any word, which meets zeros */
    if (!taps)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the distances of %zu taps",
                         impl->plan.taps);
    size_t at = 0;
    for (size_t i = 0; i < g->kh; i++)
        for (size_t j = 0; j < g->kw; j++)
            for (size_t word = 0; word < c->words; word += OCL_TAP(op->row) / 4) {
                const size_t cells =
                    i * g->dilation_h * c->line_cells + j * g->dilation_w * c->groups;
                taps[at++] = (cl_uint)(cells * c->words + word);
            }
    int status = ocl_check(ocl->cl.clEnqueueWriteBuffer(ocl->queue, impl->memory[OCL_TAPS], CL_TRUE,
                                                        0, bytes, taps, 0, NULL, NULL),
                           "clEnqueueWriteBuffer", err);
    qdot_release(op->device, taps);
    return status;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* SLIDE_PARAMETERS of slide.cl. A step along an axis of one output or tap is not taken, so that it
 * may be cut to 32 bits. */
static void set_slide(const struct qdot_op *op, const struct ocl_slab *s, struct ocl_kernel *kernel)
{
    const struct ocl_device *ocl = op->device->impl;
    const struct ocl_op *impl = op->impl;
    const struct qdot_geometry *g = &op->p.conv;
    const struct ocl_copy *c = &impl->plan.copy;
    const size_t out_pixels = g->oh * g->ow;
    ARGUMENT(cl_uint, (cl_uint)(op->packed.n_pad / op->row->nr));
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    ARGUMENT(cl_uint, (cl_uint)g->oh);
    ARGUMENT(cl_uint, (cl_uint)g->ow);
    ARGUMENT(cl_uint, (cl_uint)c->words);
    ARGUMENT(cl_uint, (cl_uint)c->image_cells);
    ARGUMENT(cl_uint, (cl_uint)(g->stride_h * c->line_cells));
    ARGUMENT(cl_uint, (cl_uint)(g->stride_w * c->groups));
    ARGUMENT(cl_uint, (cl_uint)g->kh);
    ARGUMENT(cl_uint, (cl_uint)g->kw);
    ARGUMENT(cl_uint, (cl_uint)(g->dilation_h * c->line_cells));
    ARGUMENT(cl_uint, (cl_uint)(g->dilation_w * c->groups));
    ARGUMENT(cl_ulong, out_pixels * (g->nchw ? g->o : s->out.ld));
    ARGUMENT(cl_ulong, g->nchw ? out_pixels : 1);
}

static int multiply(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_MULTIPLY];
    const struct qdot_packed *packed = &op->packed;
    const size_t pixels = (s->end - s->begin) * op->p.unit_rows, mr = op->row->mr;
    struct ocl_slab stage = *s;
    if (op->p.conv.nchw)
        stage.out.ld = 1;
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    if (!op->row->depthwise) {
        ARGUMENT(cl_mem, ocl_row_sums(impl));
        if (impl->plan.taps)
            ARGUMENT(cl_mem, impl->memory[OCL_TAPS]);
        ARGUMENT(cl_uint, (cl_uint)(packed->part_pad / op->row->nr));
    } else {
        stage.with = 0; /* zero points of B are in the product */
    }
    set_slide(op, s, kernel);
    ocl_set_stage(op, &stage, pixels, packed->part_columns, kernel);
    const size_t *lanes = ((const struct ocl_row *)op->row->impl)->lanes;
    const size_t tiles = (pixels + mr - 1) / mr * (packed->n_pad / op->row->nr);
    return ocl_launch(ocl, kernel, tiles * (lanes[0] ? lanes[0] : 1), lanes[1] ? lanes[1] : 1, err);
}

int ocl_conv(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    int status = copy_input(op, s, err);
    if (status == QDOT_OK && (s->with & OCL_WITH_ROW_SUM) && !op->row->depthwise)
        status = sum_input(op, s, err);
    if (status == QDOT_OK)
        status = multiply(op, s, err);
    return status;
}
