/*
 * Matrix products: one slab of rows of A at a time is packed on the device and multiplied.
 */
#include "opencl.h"

#define CHUNK 1024 /* k of one sgemm: sums of 1024 products of at most 2^14 are exact in float */
#define SEGMENT 16 /* groups that a work-item packs: pack.cl */

static int pack_a(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_PACK_A];
    const size_t mr = op->row->mr, padded = (s->end - s->begin + mr - 1) / mr * mr;
    ARGUMENT(cl_mem, s->a.memory);
    ARGUMENT(cl_ulong, s->a.offset);
    ARGUMENT(cl_ulong, s->a.ld);
    ARGUMENT(cl_ulong, 1);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    ARGUMENT(cl_uint, (cl_uint)s->end);
    ARGUMENT(cl_uint, (cl_uint)(s->begin + padded));
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    ocl_set_form(ocl, kernel, op->p.a_type, op->row->a_form);
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_mem, ocl_row_sums(impl));
    ARGUMENT(cl_ulong, 0);
    ARGUMENT(cl_uint, op->terms.any_b_neg);
    return ocl_launch(ocl, kernel, padded, (impl->plan.groups + SEGMENT - 1) / SEGMENT, err);
}

int ocl_pack_b(struct qdot_op *op, const struct ocl_place *b, bool transposed, enum qdot_type type,
               bool sums, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_PACK_B];
    ARGUMENT(cl_mem, b->memory);
    ARGUMENT(cl_ulong, b->offset);
    ARGUMENT(cl_ulong, transposed ? b->ld : 1);
    ARGUMENT(cl_ulong, transposed ? 1 : b->ld);
    ARGUMENT(cl_uint, 0);
    ARGUMENT(cl_uint, (cl_uint)op->p.n);
    ARGUMENT(cl_uint, (cl_uint)op->packed.n_pad);
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    ocl_set_form(ocl, kernel, type, op->row->b_form);
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, OCL_TERM_COL_SUM * impl->plan.terms_ld);
    ARGUMENT(cl_uint, sums);
    return ocl_launch(ocl, kernel, op->packed.n_pad, (impl->plan.groups + SEGMENT - 1) / SEGMENT,
                      err);
}

int ocl_take_b(struct qdot_op *op, const struct ocl_place *b, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_FOLD_BIAS];
    const size_t ld = impl->plan.terms_ld;
    int status = ocl_fill(op, OCL_TERMS, OCL_TERM_COL_SUM * ld * 4, ld * 4, err);
    if (status == QDOT_OK)
        status = ocl_pack_b(op, b, op->p.b_transposed, op->p.b_type, true, err);
    if (status != QDOT_OK)
        return status;
    ARGUMENT(cl_mem, impl->memory[OCL_TERMS]);
    ARGUMENT(cl_ulong, ld);
    ARGUMENT(cl_uint, (cl_uint)op->p.n);
    ARGUMENT(cl_uint, (cl_uint)op->p.k);
    ARGUMENT(cl_int, op->p.a_zero + qdot_shift(op->p.a_type, op->row->a_form));
    return ocl_launch(ocl, kernel, op->p.n, 1, err);
}

int ocl_warm_clblast(struct qdot_op *op, struct qdot_error *err)
{
    struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    pthread_mutex_lock(&ocl->lock);
    ocl->clblast_used = true;
    pthread_mutex_unlock(&ocl->lock);
    int status = ocl_fill(op, OCL_A, 0, 4, err);
    if (status == QDOT_OK)
        status = ocl_fill(op, OCL_B, 0, 4, err);
    if (status == QDOT_OK)
        status = ocl_fill(op, OCL_C, 0, impl->plan.bytes[OCL_C], err);
    if (status != QDOT_OK)
        return status;
    status = ocl_check(ocl->cl.sgemm(CLBLAST_ROW_MAJOR, CLBLAST_NO, CLBLAST_YES, 1, 1, 1, 1.0f,
                                     impl->memory[OCL_A], 0, 1, impl->memory[OCL_B], 0, 1, 0.0f,
                                     impl->memory[OCL_C], 0, 1, &ocl->queue, NULL),
                       "CLBlastSgemm", err);
    if (status == QDOT_OK)
        status = ocl_check(ocl->cl.clFinish(ocl->queue), "clFinish", err);
    return status;
}

/* ---- one slab -------------------------------------------------------------------------------- */

static int launch_tiles(struct qdot_op *op, const struct ocl_slab *s, struct ocl_kernel *kernel,
                        struct qdot_error *err)
{
    const struct ocl_op *impl = op->impl;
    const size_t *lanes = ((const struct ocl_row *)op->row->impl)->lanes;
    const size_t columns = op->packed.n_pad / op->row->nr * impl->plan.slices;
    const size_t rows = (s->end - s->begin + op->row->mr - 1) / op->row->mr;
    return ocl_launch(op->device->impl, kernel, columns * (lanes[0] ? lanes[0] : 1),
                      rows * (lanes[1] ? lanes[1] : 1), err);
}

/* Sums to outputs. */
static int finish(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_OUTPUT];
    ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
    ARGUMENT(cl_uint, (cl_uint)impl->plan.slices);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    ocl_set_stage(op, s, s->end, op->p.n, kernel);
    return ocl_launch(ocl, kernel, impl->plan.terms_ld / 16, s->end - s->begin, err);
}

static int multiply_packed(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_MULTIPLY];
    const bool split = ((const struct ocl_row *)op->row->impl)->split;
    ARGUMENT(cl_mem, impl->memory[OCL_A]);
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    ARGUMENT(cl_uint, (cl_uint)s->begin);
    if (split) {
        const size_t passes = (op->p.k + op->row->pass - 1) / op->row->pass;
        const size_t each = (passes + impl->plan.slices - 1) / impl->plan.slices;
        ARGUMENT(cl_uint, (cl_uint)(op->packed.n_pad / op->row->nr));
        ARGUMENT(cl_uint, (cl_uint)(each * op->row->pass / op->row->kr));
        ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
    }
    ocl_set_stage(op, s, s->end, op->p.n, kernel);
    const int status = launch_tiles(op, s, kernel, err);
    return status == QDOT_OK && split ? finish(op, s, err) : status;
}

/* A is read as it lies. */
static int multiply_few(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    struct ocl_kernel *kernel = &impl->kernels[OCL_MULTIPLY];
    ARGUMENT(cl_mem, s->a.memory);
    ARGUMENT(cl_ulong, s->a.offset);
    ARGUMENT(cl_ulong, s->a.ld);
    ARGUMENT(cl_uint, ocl_flip(op->p.a_type, op->row->a_form));
    ARGUMENT(cl_mem, impl->memory[OCL_B]);
    ocl_set_stage(op, s, s->end, op->p.n, kernel);
    return launch_tiles(op, s, kernel, err);
}

static int multiply_float(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    struct ocl_device *ocl = op->device->impl;
    struct ocl_op *impl = op->impl;
    const size_t rows = s->end - s->begin, k_ld = impl->plan.groups * 4, ld = impl->plan.terms_ld;
    struct ocl_kernel *kernel = &impl->kernels[OCL_ACCUMULATE];
    for (size_t k = 0; k < op->p.k; k += CHUNK) {
        const size_t depth = op->p.k - k < CHUNK ? op->p.k - k : CHUNK;
        int status =
            ocl_check(ocl->cl.sgemm(CLBLAST_ROW_MAJOR, CLBLAST_NO, CLBLAST_YES, rows, op->p.n,
                                    depth, 1.0f, impl->memory[OCL_A], k, k_ld, impl->memory[OCL_B],
                                    k, k_ld, 0.0f, impl->memory[OCL_C], 0, ld, &ocl->queue, NULL),
                      "CLBlastSgemm", err);
        if (status != QDOT_OK)
            return status;
        ARGUMENT(cl_mem, impl->memory[OCL_C]);
        ARGUMENT(cl_mem, impl->memory[OCL_ACC]);
        ARGUMENT(cl_uint, (cl_uint)rows);
        ARGUMENT(cl_ulong, ld);
        ARGUMENT(cl_uint, k == 0);
        status = ocl_launch(ocl, kernel, ld / 16, rows, err);
        if (status != QDOT_OK)
            return status;
    }
    return finish(op, s, err);
}

int ocl_gemm(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err)
{
    const struct ocl_row *row = op->row->impl;
    int status = QDOT_OK;
    if (row->kind == OCL_ROW_GEMV)
        return multiply_few(op, s, err);
    if (op->terms.any_b_neg) /* packing adds to them */
        status = ocl_fill(op, OCL_ROW_SUM, s->begin * 4, (s->end - s->begin) * 4, err);
    if (status == QDOT_OK)
        status = pack_a(op, s, err);
    if (status == QDOT_OK)
        status =
            row->kind == OCL_ROW_FLOAT ? multiply_float(op, s, err) : multiply_packed(op, s, err);
    return status;
}
