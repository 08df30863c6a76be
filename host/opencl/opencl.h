/*
 * The OpenCL backend.
 *
 *   loader.c   libOpenCL and CLBlast, opened at run time; names of error codes
 *   device.c   enumeration, open and close, buffers; the backend's table of hooks
 *   rows.c     the rows
 *   text.c     the text of each, and its options
 *   program.c  texts to programs, their cache
 *   plan.c     sizes of one op, limits of a device
 *   launch.c   kernels, their arguments and launches
 *   gemm.c     a slab of a matrix product
 *   conv.c     a slab of a convolution
 *   elements.c quantize and its kin
 *   bytes.c    maps and max pools
 *   op.c       prepare and run
 *   event.c    events of runs
 *   interop.c  qdot_opencl.h: a host's context, queue, buffers and events
 */
#ifndef QDOT_OPENCL_INTERNAL_H
#define QDOT_OPENCL_INTERNAL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>
#include "internal.h"

/* ---- loader.c -------------------------------------------------------------------------------- */

#define OCL_FUNCTIONS(X)            \
    X(clGetPlatformIDs)             \
    X(clGetPlatformInfo)            \
    X(clGetDeviceIDs)               \
    X(clGetDeviceInfo)              \
    X(clCreateContext)              \
    X(clGetContextInfo)             \
    X(clRetainContext)              \
    X(clReleaseContext)             \
    X(clRetainDevice)               \
    X(clReleaseDevice)              \
    X(clCreateCommandQueue)         \
    X(clGetCommandQueueInfo)        \
    X(clRetainCommandQueue)         \
    X(clReleaseCommandQueue)        \
    X(clFlush)                      \
    X(clFinish)                     \
    X(clWaitForEvents)              \
    X(clGetEventInfo)               \
    X(clReleaseEvent)               \
    X(clEnqueueMarkerWithWaitList)  \
    X(clEnqueueBarrierWithWaitList) \
    X(clCreateBuffer)               \
    X(clGetMemObjectInfo)           \
    X(clRetainMemObject)            \
    X(clReleaseMemObject)           \
    X(clCreateProgramWithSource)    \
    X(clCreateProgramWithBinary)    \
    X(clBuildProgram)               \
    X(clGetProgramInfo)             \
    X(clGetProgramBuildInfo)        \
    X(clReleaseProgram)             \
    X(clCreateKernel)               \
    X(clReleaseKernel)              \
    X(clSetKernelArg)               \
    X(clGetKernelWorkGroupInfo)     \
    X(clEnqueueNDRangeKernel)       \
    X(clEnqueueReadBuffer)          \
    X(clEnqueueReadBufferRect)      \
    X(clEnqueueWriteBuffer)         \
    X(clEnqueueWriteBufferRect)     \
    X(clEnqueueFillBuffer)

/* CLBlast's C interface, the two functions used. */
enum { CLBLAST_ROW_MAJOR = 101, CLBLAST_NO = 111, CLBLAST_YES = 112 };
typedef int ocl_clblast_sgemm(int layout, int a_transpose, int b_transpose, size_t m, size_t n,
                              size_t k, float alpha, cl_mem a, size_t a_offset, size_t a_ld,
                              cl_mem b, size_t b_offset, size_t b_ld, float beta, cl_mem c,
                              size_t c_offset, size_t c_ld, cl_command_queue *queue,
                              cl_event *event);
typedef int ocl_clblast_clear(void);

struct ocl_api {
#define X(name) __typeof__(name) *name;
    OCL_FUNCTIONS(X)
#undef X
    ocl_clblast_sgemm *sgemm; /* NULL: no CLBlast here */
    ocl_clblast_clear *clear_cache;
};

/* False and a reason when there is no loader. Libraries stay loaded: PoCL crashes when unloaded. */
bool ocl_load(struct ocl_api *api, char *reason, size_t reason_bytes);
void ocl_load_clblast(struct ocl_api *api);
/* QDOT_OK for CL_SUCCESS; else err names the call and its code. */
int ocl_check(cl_int code, const char *call, struct qdot_error *err);

/* ---- device.c -------------------------------------------------------------------------------- */

enum {
    OCL_KHR_DOT = 1,
    OCL_CLBLAST = 2,
    OCL_GPU = 4,
    OCL_ARM_DOT = 8,
    OCL_QCOM_DOT = 16,
    OCL_AMD_DOT = 32,
    OCL_DP4A = 64,
    OCL_MMA = 128,
    OCL_AMD_MATRIX = 256, /* some form of it: the compiler knows */
    OCL_DPAS8 = 512,
    OCL_DPAS16 = 1024,
    OCL_INSTRUCTIONS = OCL_KHR_DOT | OCL_ARM_DOT | OCL_QCOM_DOT | OCL_AMD_DOT | OCL_DP4A | OCL_MMA |
                       OCL_AMD_MATRIX | OCL_DPAS8 | OCL_DPAS16,
};

struct ocl_program {
    struct ocl_program *next;
    const struct qdot_row *row;
    enum qdot_type out_type;
    enum qdot_rounding rounding;
    cl_program program;
};

struct ocl_device {
    struct ocl_api cl;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_device_id retained;  /* NULL: not a host's */
    cl_command_queue queue; /* in order, shared by all ops: OpenCL's queues are thread-safe */
    pthread_mutex_t lock;   /* programs, clblast_used */
    struct ocl_program *programs;
    bool clblast_used;
    bool flushes;     /* subnormals */
    char defect[128]; /* why no row can run here; empty: none */
    size_t max_group, max_item[2];
    uint64_t max_alloc, max_local;
};

/* ---- rows.c, text.c -------------------------------------------------------------------------- */

enum ocl_kind { /* -D ROW= of kernels_cl */
                OCL_ROW_TILE,
                OCL_ROW_FLOAT,
                OCL_ROW_DEPTHWISE,
                OCL_ROW_GEMV,
                OCL_ROW_BLOCK,
                OCL_ROW_MMA,
                OCL_ROW_ELEMENTS,
                OCL_ROW_MAP,
                OCL_ROW_POOL,
};

enum ocl_dot { /* -D DOT= of kernels_cl */
               OCL_DOT_PLAIN,
               OCL_DOT_KHR,
               OCL_DOT_ARM,
               OCL_DOT_QCOM,
               OCL_DOT_AMD,
               OCL_DOT_NVIDIA,
};

enum ocl_unit { /* -D UNIT= of kernels_cl */
                OCL_UNIT_NONE,
                OCL_UNIT_NVIDIA,
                OCL_UNIT_WMMA,
                OCL_UNIT_MFMA,
                OCL_UNIT_DPAS8,
                OCL_UNIT_DPAS16,
};

struct ocl_row {
    enum ocl_kind kind;
    enum ocl_dot dot;
    enum ocl_unit unit;
    bool split;              /* slices of k are work-groups of their own: for few tiles */
    size_t a_bytes, b_bytes; /* of one element in the device's panels; 0: A is not packed */
    size_t lanes[2];         /* the work-group of a tile; 0, 0: a work-item computes one alone */
};

enum { OCL_ROWS = 49 };
extern const struct qdot_row ocl_rows[OCL_ROWS];

enum { OCL_TEXTS = 9, OCL_OPTIONS = 256 };

struct ocl_source {
    const char *text[OCL_TEXTS];
    size_t bytes[OCL_TEXTS];
    cl_uint count;
};

struct ocl_source ocl_source(const struct qdot_row *row);
void ocl_options(const struct qdot_row *row, enum qdot_type out_type, enum qdot_rounding rounding,
                 bool flushes, char options[OCL_OPTIONS]);

/* ---- program.c ------------------------------------------------------------------------------- */

/* The program of a row, an output type and a rounding, built once a device; it lives as the device. */
int ocl_program(struct qdot_device *device, const struct qdot_row *row, enum qdot_type out_type,
                enum qdot_rounding rounding, cl_program *program, struct qdot_error *err);
void ocl_programs_free(struct qdot_device *device);

/* ---- plan.c ---------------------------------------------------------------------------------- */

/* Buffers of an op, in bytes; 0: not needed. */
enum ocl_memory {
    OCL_A_IN, /* operands of a run given as host memory */
    OCL_B_IN,
    OCL_A_ZERO,
    OCL_ROW_SCALE,
    OCL_OUT,
    OCL_A,       /* packed, one slab; of a convolution the padded copy of the input */
    OCL_B,       /* packed */
    OCL_TERMS,   /* arrays by column, as kernels_cl/output.cl numbers them */
    OCL_TAPS,    /* of a tile of a convolution: kernels_cl/tiled.cl */
    OCL_ROW_SUM, /* of a convolution: of each pixel of the copy, a group */
    OCL_C,       /* CLBlast: sums of one chunk of k, one slab */
    OCL_ACC,     /* CLBlast: sums of all chunks, one slab; sums of each slice of k */
    OCL_MEMORIES
};

/* k of an entry of OCL_TAPS */
#define OCL_TAP(row) ((row)->kr < 16 ? (row)->kr : 16u)

/* The padded copy of a convolution's input: [image][line][column][group][word], 4 channels a word.
 * Depthwise there is one group, of a channel for each padded output channel. */
struct ocl_copy {
    size_t lines, columns, groups, words;
    size_t channels;                /* of a group */
    size_t multiplier;              /* channels of the copy for each of the input */
    size_t line_cells, image_cells; /* a cell: one group of one pixel */
};

struct ocl_plan {
    size_t groups;   /* of 4 k; not of a convolution */
    size_t slices;   /* of k, that are summed up apart */
    size_t taps;     /* entries of OCL_TAPS */
    size_t terms_ld; /* columns padded, rounded up to 16 */
    size_t slab;     /* rows of A, or images, at a time */
    struct ocl_copy copy;
    size_t bytes[OCL_MEMORIES];
};

/* What an op of this row needs; false and a reason where that is beyond the kernels' counting. */
bool ocl_plan(const struct qdot_row *row, const struct qdot_problem *p, struct ocl_plan *plan,
              char *reason, size_t reason_bytes);
bool ocl_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
              char *reason, size_t reason_bytes);

/* ---- launch.c -------------------------------------------------------------------------------- */

struct ocl_kernel {
    cl_kernel handle;
    const char *name;
    size_t local[2];
    cl_uint arguments; /* set so far */
    cl_int code;       /* of the first clSetKernelArg that failed */
};

enum ocl_kernels {
    OCL_PACK_A,
    OCL_PACK_B,
    OCL_FOLD_BIAS,
    OCL_COPY_INPUT,
    OCL_SUM_INPUT,
    OCL_ACCUMULATE,
    OCL_MULTIPLY,
    OCL_OUTPUT, /* of sums that others left */
    OCL_ELEMENTS,
    OCL_RANGE,
    OCL_PARAMETERS,
    OCL_BYTES, /* a map or a max pool */
    OCL_KERNELS
};

struct ocl_op {
    struct ocl_plan plan;
    struct ocl_kernel kernels[OCL_KERNELS]; /* an op's own: arguments are state of the kernel */
    cl_mem memory[OCL_MEMORIES];
    uint8_t *gaps; /* host memory for a map's output that has some */
};

/* Where a matrix lies on the device, in elements. */
struct ocl_place {
    cl_mem memory;
    size_t offset, ld;
};

struct ocl_slab {
    size_t begin, end; /* rows, or images */
    struct ocl_place a, out, a_zero, row_scale;
    cl_uint with;
};

/* As in output.cl. */
enum {
    OCL_TERM_BIAS,
    OCL_TERM_B_NEG,
    OCL_TERM_COL_SUM,
    OCL_TERM_SCALE,
    OCL_TERM_BIAS_F,
    OCL_TERM_BIAS_GIVEN,
    OCL_TERM_COUNT
};
enum { OCL_WITH_ROW_SUM = 1, OCL_WITH_A_ZERO = 2, OCL_WITH_ROW_SCALE = 4 };

/* Work-groups of at most x by y, fewer where the device or the kernel has less. */
int ocl_kernel_make(const struct ocl_device *ocl, cl_program program, const char *name, size_t x,
                    size_t y, struct ocl_kernel *kernel, struct qdot_error *err);

void ocl_argument(const struct ocl_device *ocl, struct ocl_kernel *kernel, size_t bytes,
                  const void *value);
#define ARGUMENT(type, value) ocl_argument(ocl, kernel, sizeof(type), &(const type){value})

/* The value of a byte is (byte ^ flip) - sign in the operand's form, sign = 128 for s8, else 0. */
cl_uint ocl_flip(enum qdot_type type, enum qdot_type form);
void ocl_set_form(const struct ocl_device *ocl, struct ocl_kernel *kernel, enum qdot_type type,
                  enum qdot_type form);
/* The buffer of row sums, or, where none are needed, any other: the kernels do not look at it. */
cl_mem ocl_row_sums(const struct ocl_op *impl);
/* STAGE_PARAMETERS of output.cl; n columns and up to row m. */
void ocl_set_stage(const struct qdot_op *op, const struct ocl_slab *s, size_t m, size_t n,
                   struct ocl_kernel *kernel);
/* Of at least x by y work-items; the kernels return beyond. */
int ocl_launch(const struct ocl_device *ocl, struct ocl_kernel *kernel, size_t x, size_t y,
               struct qdot_error *err);
int ocl_fill(const struct qdot_op *op, enum ocl_memory memory, size_t offset, size_t bytes,
             struct qdot_error *err);

/* ---- gemm.c ---------------------------------------------------------------------------------- */

/* CLBlast compiles on its first use of a device, which is not to be a run's. */
int ocl_warm_clblast(struct qdot_op *op, struct qdot_error *err);
/* 'type' is that of the bytes given, which are already in the row's form when B was packed here. */
int ocl_pack_b(struct qdot_op *op, const struct ocl_place *b, bool transposed, enum qdot_type type,
               bool sums, struct qdot_error *err);
/* B of a run: its panels, col_sum and bias'. */
int ocl_take_b(struct qdot_op *op, const struct ocl_place *b, struct qdot_error *err);
int ocl_gemm(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err);

/* ---- conv.c ---------------------------------------------------------------------------------- */

int ocl_upload_taps(struct qdot_op *op, struct qdot_error *err);
int ocl_conv(struct qdot_op *op, const struct ocl_slab *s, struct qdot_error *err);

/* ---- elements.c ------------------------------------------------------------------------------ */

bool ocl_plan_elements(const struct qdot_problem *p, struct ocl_plan *plan, char *reason,
                       size_t reason_bytes);
/* The name in the program; NULL: the op has none of this kind. */
const char *ocl_elements_kernel(const struct qdot_op *op, enum ocl_kernels kernel);
int ocl_upload_parameters(struct qdot_op *op, struct qdot_error *err);
int ocl_run_elements(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);

/* ---- bytes.c --------------------------------------------------------------------------------- */

bool ocl_plan_bytes(const struct qdot_problem *p, struct ocl_plan *plan, char *reason,
                    size_t reason_bytes);
const char *ocl_bytes_kernel(const struct qdot_op *op, enum ocl_kernels kernel);
int ocl_upload_table(struct qdot_op *op, struct qdot_error *err);
int ocl_run_map(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
int ocl_pool(struct qdot_op *op, size_t m, const struct ocl_place *a, const struct ocl_place *out,
             struct qdot_error *err);

/* ---- op.c ------------------------------------------------------------------------------------ */

int ocl_prepare(struct qdot_op *op, struct qdot_error *err);
void ocl_unprepare(struct qdot_op *op);
int ocl_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
/* Where an input of rows x columns elements is: in the caller's buffer, or copied from host memory
 * into the op's. */
int ocl_take_input(const struct qdot_op *op, const struct qdot_input *in, enum ocl_memory memory,
                   size_t rows, size_t columns, size_t ld, size_t bytes, struct ocl_place *place,
                   struct qdot_error *err);
int ocl_read_packed(struct qdot_op *op, void *panels, struct qdot_error *err);

/* ---- event.c --------------------------------------------------------------------------------- */

/* An event of all that the queue has. */
int ocl_mark(const struct ocl_device *ocl, cl_event *event, struct qdot_error *err);
int ocl_event_set(struct qdot_event *event, struct qdot_error *err);
int ocl_event_wait(const struct qdot_event *event, uint64_t timeout_ns, struct qdot_error *err);
void ocl_event_release(struct qdot_event *event);

/* ---- interop.c ------------------------------------------------------------------------------- */

/* Of a struct qdot_opencl_desc, checked and retained; without a queue there is none yet. */
int ocl_take_handles(struct qdot_device *device, const void *host, struct qdot_error *err);
int ocl_buffer_wrap(struct qdot_buffer *buffer, void *handle, struct qdot_error *err);

#endif
