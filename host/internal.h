/*
 * What the files of the library share. The way of a call, one direction only:
 *
 *   device.c   open: backends[], features, the pool, the cache
 *   op.c       create: check the descriptor -> struct qdot_problem -> select.c -> weights.c -> backend
 *              run: check the run -> backend
 *   event.c    events: created once, left behind by runs, waited for
 *   conv.c     the geometry of a convolution, and its weights put in one order
 *   quantize.c descriptor and run of the ops on elements: quantize and its kin
 *   map.c      descriptor and run of maps: tensors of bytes
 *   pool.c     descriptor and run of pools
 *   select.c   which row (and, on "auto", which device): admission, self-test, tune.c, measure.c
 *   weights.c  where packed B comes from: packed here, or the caller's; its saved form
 *   pack.c     the only file that knows the packed layout of B and the folding of zero points
 *   cpu/ opencl/ vulkan/   one table of rows each, and how to launch them
 *
 * The sum that kernels and output stages compute, all mod 2^32:
 *
 *   acc[m][n] = sum_k a'[m][k] * b'[k][n] + bias'[n]
 *               + row_sum[m] * b_neg[n] + row_neg[m] * col_sum[n]
 *
 * a' and b' are A and B moved to the row's operand forms (u8 or s8: a flip of the top bit adds or
 * subtracts 128), za' and zb' the zero points moved along with them, and
 *   b_neg[n]   = -zb'[n]
 *   col_sum[n] = sum_k b'[k][n]
 *   bias'[n]   = bias[n] - za' * col_sum[n] + K * za' * zb'[n]     (za' of the descriptor's a_zero)
 *   row_sum[m] = sum_k a'[m][k] - K * a_zero[m]                     (a_zero[m] only when per row)
 *   row_neg[m] = -a_zero[m]                                         (0 unless per row)
 * With a_zero per row the descriptor's a_zero is 0, so za' is the flip alone. Derivation: expand
 * (a' - za' - a_zero[m]) * (b' - zb'). row_sum is needed when some b_neg is not 0, row_neg when
 * a_zero is per row; a backend may skip what is not needed or compute with the zeros.
 *
 * A convolution is that sum for each of its groups, with m = (image, output row, output column),
 * n = an output channel of the group, k = (tap row, tap column, channel of the group). A tap in the
 * padding has a' = za'. K is cut into runs of k that lie side by side in the input (struct
 * qdot_packed); each run is padded to kr, where b' is 0, so that any a' will do there.
 */
#ifndef QDOT_INTERNAL_H
#define QDOT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qdot.h"

#define QDOT_ALIGNMENT 64 /* of every host allocation: one cache line, one zmm register */

struct qdot_problem;

/* ---- rows ------------------------------------------------------------------------------------ */

/* A row that can do every problem but is worth it for some only, or on some devices. For others it
 * is taken when asked for by name or when the tuning has its time, and not measured. */
struct qdot_niche {
    bool (*suits)(const struct qdot_problem *p); /* NULL: none */
    uint32_t with;    /* features without which the row runs but does not pay */
    uint32_t hint;    /* likewise, but as a device advertises itself: a measurement knows better */
    const char *text; /* "for n <= 8" */
};

/* Some groups of a panel, and the B that goes into them. */
struct qdot_piece {
    const uint8_t *b; /* element (k, n) of the piece is b[k * ldb + n], transposed b[n * ldb + k] */
    size_t ldb, k;    /* k: may be less than the groups have; the rest is zeros already */
    uint8_t flip;
    size_t kr, columns, groups;
    uint8_t *to;
    size_t group_bytes; /* from one group to the next */
    bool is_signed;     /* what is packed */
    int32_t *col_sum;   /* of the first column */
};

/* How pieces are packed, of B as it is and transposed, and how their columns' sums are added to
 * col_sum. */
struct qdot_packer {
    void (*rows)(const struct qdot_piece *p);
    void (*columns)(const struct qdot_piece *p);
    void (*add_sums)(const struct qdot_piece *p);
};

struct qdot_row {
    const char *name; /* <op>_<MR>x<NR>[k<KR>][_<feature>], unique in its backend */
    enum qdot_op_kind op;
    bool depthwise; /* a convolution whose groups have one input channel: k is the tap, n any output
                       channel, and all groups are packed as one */
    bool lines; /* a convolution: where dilation_w and groups are 1 a run is a line of the kernel,
                       kw * c long; else (and when false) a tap, cg long. Depthwise: a line, kw */
    uint32_t needs;        /* bits of the backend's features */
    bool tight;            /* the last panel of a part need not have nr columns */
    uint16_t mr, nr, kr;   /* tile, and packing geometry of B: panels of nr columns, groups of kr */
    uint16_t pass;         /* k that the work-items of a tile take at a time; 0: no more than kr */
    enum qdot_type a_form; /* QDOT_U8, QDOT_S8: what the kernel multiplies; 0: either, as given */
    enum qdot_type b_form; /* QDOT_U8 or QDOT_S8 */
    const struct qdot_packer *packer; /* NULL: pack.c's */
    const struct qdot_niche *niche;   /* NULL: for every problem */
    const void *impl;                 /* the backend's own launch data */
};

/* ---- the checked descriptor ------------------------------------------------------------------ */

/* Tap (i, j) of output pixel (y, x) is under the point (y * stride_h + i * dilation_h - pad_top,
 * likewise x), which is input pixel (point / insert) where it divides and lies inside, else padding.
 * Weights are OHWI: [o][kh][kw][cg]; output channel o belongs to group o / og. */
struct qdot_geometry {
    size_t batch, h, w, c; /* input */
    size_t oh, ow, o;      /* output */
    size_t kh, kw;
    size_t stride_h, stride_w, dilation_h, dilation_w;
    size_t insert_h, insert_w;   /* more than 1 only when transposed */
    ptrdiff_t pad_top, pad_left; /* negative only when transposed */
    size_t groups, cg, og;       /* channels and output channels of a group */
    bool nchw;                   /* input and output: [batch][c][h][w] */
    bool transposed;             /* said already in the other fields */
};

/* Elements [outer][axis][inner] as lines of equal length, the last of each 'span' elements perhaps
 * shorter. Line i of span o takes parameter o * span_step + i / repeat * step and the next ones; 'each':
 * its elements have one each, else all of them share the first. */
struct qdot_elements {
    enum qdot_type type; /* quantised */
    size_t outer, axis, inner, group;
    size_t unit;       /* elements in what a run counts: problem.units of them */
    size_t parameters; /* scales, and zeros */
    size_t span, line, repeat, span_step, step;
    bool each;
    bool reciprocal, scale_at_run, zero_at_run, zeros; /* zeros: there are some, here or at a run */
};

/* Dimensions of a map by falling stride of the output, those of 1 left out and neighbours made one where
 * all strides allow it. dims[counted] is what a run counts: a run of m has m * per there. */
enum { QDOT_MAP_A, QDOT_MAP_B, QDOT_MAP_OUT, QDOT_MAP_TENSORS };
struct qdot_mapping {
    size_t rank, counted, per;
    size_t dims[QDOT_MAP_RANK];
    size_t stride[QDOT_MAP_TENSORS][QDOT_MAP_RANK];
    int operands;
};

/* Without scales they are 1. */
struct qdot_averaging {
    bool scaled, count_padding;
    float a_scale,
        out_scale; /* times a power of two: a_scale in [1, 2), out_scale in [2^-64, 2^65) */
};
#define QDOT_AVERAGE_TAPS 65536 /* sums of so many integers are exact in binary32 */

struct qdot_problem {
    enum qdot_op_kind
        op; /* of the ops on elements only elements, units, types, bounds have a meaning;
                             a_bytes and out_bytes: of a unit, unit_rows and n 1. Of a map map and
                             units, a_bytes and out_bytes as if it had no gaps. Of a pool conv and
                             all sizes as those of a convolution; of an average zeros and bounds */
    struct qdot_geometry conv;
    struct qdot_elements elements;
    struct qdot_mapping map;
    struct qdot_averaging average;
    size_t table;            /* entries; 0: none */
    size_t m, n, k;          /* of a convolution: batch * oh * ow, o, kh * kw * cg */
    size_t units, unit_rows; /* what a run counts, and rows of A in each: m and 1, or images */
    size_t a_bytes;          /* of A, one unit with the default leading dimension */
    enum qdot_type a_type, b_type, out_type;
    size_t ldb;
    bool b_transposed;
    bool b_at_run;
    bool a_zero_per_row;
    bool row_scale;
    int32_t a_zero;
    int32_t out_zero, clamp_lo, clamp_hi; /* clamp inside the output type's range */
    enum qdot_rounding rounding;          /* QDOT_ROUND_MANT24_UP has become Q31_SINGLE_UP */
    size_t out_bytes;                     /* of one output element */
};

/* Terms by padded column, part_pad of each part, n_pad entries each, zero where there is no column.
 * Host memory in one allocation. */
struct qdot_terms {
    int32_t *bias; /* bias' when B was given at creation; the caller's bias when B comes at run */
    int32_t *b_neg;
    int32_t *col_sum; /* zero when B comes at run */
    float *scale;
    float *bias_f; /* -0 when absent: adding -0 changes no bit of any float */
    /* Of a fixed-point rounding, in the memory of scale and bias_f, for which it has no use: */
    int32_t *multiplier, *shift;
    bool shifts_right; /* by 2 or more, all columns */
    bool any_b_neg;    /* some are not 0 */
    bool one_b_neg;    /* they are all the same */
    float most;        /* no |acc * scale| of any column is larger */
};

/* Whose memory a blob is: who else's than ours is read only, and may end at a page that is not mapped. */
enum qdot_blob_owner { QDOT_BLOB_OURS = 0, QDOT_BLOB_CALLERS, QDOT_BLOB_CACHES };

/* Packed B: header and panels; pack.c has the layout. */
struct qdot_packed {
    void *blob; /* NULL once a backend has its own copy, and when B comes at run */
    size_t blob_bytes;
    enum qdot_blob_owner owner; /* of blob */
    /* The last panel, if it is narrow and the blob not ours: a copy with what tiles read behind it. */
    uint8_t *last_panel;
    size_t parts;           /* groups of a convolution that are packed one after another, or 1 */
    size_t part_columns;    /* columns of each */
    size_t part_pad;        /* padded to nr */
    size_t part_panels;     /* panels of each */
    size_t runs, run;       /* of k: how many, and of how many k each; 1 and k for a GEMM */
    size_t run_groups;      /* groups of kr in each */
    size_t n_pad, k_groups; /* columns padded: parts * part_pad; groups: runs * run_groups */
    size_t last_columns;    /* in memory, of a part's last panel; at most nr */
    size_t panel_bytes;     /* any panel but those: k_groups * nr * kr */
    size_t part_bytes;      /* all panels of a part */
    size_t panels_bytes;    /* of all parts */
};

/* Tiles read whole groups of nr columns, of narrower panels beyond the end of the last one; what they
 * find there they do not use. So many bytes are behind panels in memory of our own. */
#define QDOT_PANELS_SLACK 256

struct qdot_op {
    struct qdot_device *device;
    const struct qdot_row *row;
    char name[64]; /* "backend/row" */
    struct qdot_problem p;
    struct qdot_packed packed;
    struct qdot_terms terms;
    float *scale; /* of elements: parameters, in one allocation; NULL: given with each run */
    int32_t *zero;
    uint8_t *table;              /* of a map or pool: p.table entries, or NULL */
    struct qdot_threads threads; /* the device's, its ctx that of the run */
    size_t workspace_bytes;      /* set by the backend's prepare, as is: */
    size_t run_bytes;            /* of them, what comes with each run where workspace_at_run */
    bool workspace_at_run;
    void *impl; /* the backend's */
};

/* ---- devices and backends -------------------------------------------------------------------- */

enum qdot_verdict { QDOT_UNKNOWN = 0, QDOT_ADMITTED, QDOT_REFUSED };

struct qdot_row_state {
    enum qdot_verdict verdict;
    bool failed; /* a driver call of the self-test: once that may pass */
    char reason[192];
};

struct qdot_tuning;

struct qdot_device {
    const struct qdot_backend *backend; /* NULL: this is "auto", which only has children */
    struct qdot_device *parent;         /* "auto", of a child */
    struct qdot_device **children;
    size_t child_count;
    struct qdot_device_info info;
    uint32_t features; /* found by the backend, less what 'disable' names */
    struct qdot_allocator allocator;
    struct qdot_packed_cache packed_cache; /* the caller's; look_up is NULL: none */
    struct qdot_threads threads;
    void *pool;      /* pthreadpool_t when 'threads' is ours */
    char *cache_dir; /* NULL: no files */
    uint64_t budget_ns;
    size_t cache_percent;
    pthread_mutex_t lock;             /* row_state, named, measured */
    pthread_mutex_t measuring;        /* one op at a time measures */
    struct qdot_row_state *row_state; /* one a row of the backend */
    struct qdot_tuning *named;        /* the caller's tuning; NULL where there is a parent */
    struct qdot_tuning *measured;     /* the library's own, and the cache's; likewise */
    void *impl;                       /* the backend's */
};

/* When a run is done, as its backend knows it; zeros: no run yet. */
struct qdot_event {
    struct qdot_device *device;
    uint64_t batch; /* Vulkan */
    void *impl;     /* OpenCL: cl_event */
};

struct qdot_buffer {
    struct qdot_device *device;
    size_t bytes;
    bool owned; /* false: impl is, or wraps, the caller's memory */
    void *impl; /* the backend's; on the CPU the memory itself */
    /* Of a backend's handle that the caller made: where the buffer begins in it, and what kernels may
     * do with it. */
    size_t base;
    bool wrapped, read_only, write_only;
};

struct qdot_feature {
    uint32_t bit;
    const char *name;
};

/* What a backend is. All hooks return enum qdot_status with err filled; arguments are already
 * checked by device.c and op.c. */
struct qdot_backend {
    const char *name;
    const struct qdot_row *rows; /* best first; the last needs nothing */
    size_t row_count;
    const struct qdot_feature *features; /* newest first, ends with a NULL name */
    bool measures; /* ops of one such device get the fastest measured row, not the table's first */

    /* The index-th device, QDOT_END past the last. When a backend has no device at all, index 0
     * gives an entry with available = 0 and the reason. Opens nothing that lasts. */
    int (*describe)(size_t index, struct qdot_device_info *info, struct qdot_error *err);
    /* device->info is filled; sets device->impl and device->features. */
    int (*open)(struct qdot_device *device, size_t index, struct qdot_error *err);
    /* Likewise of a host's handles; fills device->info as well. */
    int (*adopt)(struct qdot_device *device, const void *host, struct qdot_error *err);
    void (*close)(struct qdot_device *device);
    int (*sync)(struct qdot_device *device, struct qdot_error *err);
    /* Runs so far begin without anyone waiting; NULL: they do anyway. */
    int (*flush)(struct qdot_device *device, struct qdot_error *err);
    /* What the last run with this event left in it is done, or QDOT_TIMEOUT; NULL: it is. */
    int (*event_wait)(const struct qdot_event *event, uint64_t timeout_ns, struct qdot_error *err);
    void (*event_release)(struct qdot_event *event); /* what the run left; NULL: nothing */

    /* Limits of the device that no feature bit says: false and a reason when the row cannot run
     * here at all (p is NULL), or not for this problem. Cheap; compiles nothing. */
    bool (*fits)(struct qdot_device *device, const struct qdot_row *row,
                 const struct qdot_problem *p, char *reason, size_t reason_bytes);

    /* prepare: op is complete but for impl; allocate every workspace, compile, upload. It may take
     * packed.blob's panels to the device and drop the blob (qdot_packed_drop). unprepare undoes it
     * and accepts a half-prepared op. */
    int (*prepare)(struct qdot_op *op, struct qdot_error *err);
    void (*unprepare)(struct qdot_op *op); /* after waiting for its runs */
    int (*run)(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
    /* Copies the panels back to host memory; NULL when blob is always kept */
    int (*read_packed)(struct qdot_op *op, void *panels, struct qdot_error *err);

    int (*buffer_create)(struct qdot_buffer *buffer, void *host, struct qdot_error *err);
    int (*buffer_wrap)(struct qdot_buffer *buffer, void *handle, struct qdot_error *err);
    int (*buffer_write)(struct qdot_buffer *buffer, size_t offset, const void *memory, size_t bytes,
                        struct qdot_error *err);
    int (*buffer_read)(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                       struct qdot_error *err);
    void (*buffer_destroy)(struct qdot_buffer *buffer);
};

extern const struct qdot_backend qdot_cpu_backend;
extern const struct qdot_backend qdot_opencl_backend; /* stubs.c when not built */
extern const struct qdot_backend qdot_vulkan_backend;

/* ---- device.c -------------------------------------------------------------------------------- */

/* Fills err (if not NULL) and returns status, so that a failure is one statement. */
int qdot_fail(struct qdot_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

extern const struct qdot_allocator qdot_default_allocator;

/* Memory from the device's allocator, zero-filled or as it comes (what is large and written anyway),
 * or NULL; qdot_release takes NULL. */
void *qdot_alloc(const struct qdot_device *device, size_t bytes);
void *qdot_alloc_raw(const struct qdot_device *device, size_t bytes);
void qdot_release(const struct qdot_device *device, void *memory);

/* qdot_open, and what the headers of backends open with a host's handles. */
int qdot_adopt(const struct qdot_backend *backend, const void *host,
               const struct qdot_device_desc *desc, struct qdot_device **device,
               struct qdot_error *err);
int qdot_buffer_wrap(struct qdot_device *device, const struct qdot_backend *backend,
                     const char *name, void *handle, size_t offset, size_t bytes,
                     struct qdot_buffer **buffer, struct qdot_error *err);

/* ---- threads.c ------------------------------------------------------------------------------- */

/* Processors this process may run on: in a container fewer than the machine has. */
size_t qdot_usable_processors(void);
int qdot_threads_open(struct qdot_device *device, const struct qdot_device_desc *desc,
                      struct qdot_error *err);
void qdot_threads_close(struct qdot_device *device);

/* ---- op.c ------------------------------------------------------------------------------------ */

/* Is this operand of so many bytes there, and inside? 'alignment': a power of two. */
int qdot_check_memory(const struct qdot_op *op, const char *name, const void *host,
                      const struct qdot_buffer *buffer, size_t offset, size_t bytes,
                      size_t alignment, struct qdot_error *err);
/* Descriptor to problem; everything a caller can get wrong is found here. */
int qdot_check_desc(const struct qdot_op_desc *desc, struct qdot_problem *p,
                    struct qdot_error *err);
/* The op for one device and one row, without admission: select.c's self-test and measurement. */
int qdot_op_build(struct qdot_device *device, const struct qdot_row *row,
                  const struct qdot_op_desc *desc, const struct qdot_problem *p,
                  struct qdot_op **op, struct qdot_error *err);

/* The run with its defaults filled in, checked; its waits are over. */
int qdot_check_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_run *full,
                   struct qdot_error *err);

/* ---- event.c --------------------------------------------------------------------------------- */

/* The events of a run: of another device they are waited for here; of its own the order is enough. */
int qdot_check_events(const struct qdot_device *device, const struct qdot_run *run,
                      struct qdot_error *err);

/* ---- fixed.c --------------------------------------------------------------------------------- */

/* Is p->rounding by integers, and has multiplier and shift instead of scale? */
static inline bool qdot_is_fixed(const struct qdot_problem *p)
{
    return p->rounding >= QDOT_ROUND_Q31_DOUBLE_AWAY;
}
int qdot_check_rounding(const struct qdot_op_desc *desc, struct qdot_problem *p,
                        struct qdot_error *err);
/* Makes terms->multiplier and shift of what the caller gave, by padded column; where that are scales
 * (QDOT_ROUND_MANT24_UP) of those in terms->scale. A multiplier of 0 gets a shift that any stage is
 * quick with. */
void qdot_fixed_terms(const struct qdot_op_desc *desc, struct qdot_terms *terms, size_t n_pad);

/* ---- conv.c ---------------------------------------------------------------------------------- */

int qdot_check_conv(const struct qdot_conv *conv, struct qdot_geometry *g, struct qdot_error *err);
bool qdot_weights_in_order(const struct qdot_geometry *g); /* OHWI as they are given? */
void qdot_order_weights(const struct qdot_geometry *g, const uint8_t *weights, uint8_t *ordered);

/* ---- quantize.c ------------------------------------------------------------------------------ */

/* Rows of QDOT_QUANTIZE serve all ops on elements. */
static inline enum qdot_op_kind qdot_served_by(enum qdot_op_kind kind)
{
    return kind > QDOT_QUANTIZE && kind < QDOT_MAP ? QDOT_QUANTIZE : kind;
}
static inline bool qdot_is_product(enum qdot_op_kind kind)
{
    return kind <= QDOT_CONV;
}
static inline bool qdot_is_pool(enum qdot_op_kind kind)
{
    return kind == QDOT_MAX_POOL || kind == QDOT_AVERAGE_POOL;
}
/* What only products have is 0. */
int qdot_check_no_product(const struct qdot_op_desc *d, struct qdot_error *err);
/* Outputs, the first so many, overlap nothing. */
struct qdot_memory {
    const char *name;
    const void *host;
    const struct qdot_buffer *buffer;
    size_t offset, bytes; /* bytes 0: none */
};
int qdot_check_apart(const struct qdot_memory *memory, size_t outputs, size_t count,
                     struct qdot_error *err);
/* An operand of so many bytes where it is wanted, else none. */
int qdot_check_input(const struct qdot_op *op, const char *name, bool wanted,
                     const struct qdot_input *in, size_t bytes, size_t alignment,
                     struct qdot_error *err);
int qdot_check_elements(const struct qdot_op_desc *desc, struct qdot_problem *p,
                        struct qdot_error *err);
int qdot_check_elements_run(const struct qdot_op *op, const struct qdot_run *run,
                            struct qdot_error *err);
/* op->scale and op->zero; NULL there: not given at creation. */
int qdot_take_parameters(struct qdot_op *op, const struct qdot_op_desc *desc,
                         struct qdot_error *err);
/* Of m units: parameters, and bytes of so many elements of a type. */
size_t qdot_parameters(const struct qdot_problem *p, size_t m);
size_t qdot_type_bytes(enum qdot_type type, size_t count);
/* What dynamic quantize makes of the range of x: the most of max(0, x), and of max(0, -x). */
void qdot_dynamic_parameters(float most, float least, float *scale, int32_t *zero);

/* ---- map.c ----------------------------------------------------------------------------------- */

int qdot_check_map(const struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err);
int qdot_check_map_run(const struct qdot_op *op, const struct qdot_run *run,
                       struct qdot_error *err);
int qdot_take_table(struct qdot_op *op, const struct qdot_op_desc *desc, struct qdot_error *err);
/* The map of a run of m; bytes of a tensor of it from the first element to the last, 0 without. */
struct qdot_mapping qdot_map_of_run(const struct qdot_problem *p, size_t m);
size_t qdot_map_bytes(const struct qdot_mapping *map, int tensor);
/* The dimensions that out needs alone. */
struct qdot_mapping qdot_map_output(const struct qdot_mapping *map);
bool qdot_map_is_line(const struct qdot_mapping *map);  /* neighbours in all tensors? */
bool qdot_map_is_whole(const struct qdot_mapping *map); /* has out no gaps? */
/* The elements of out, from memory that has them at the same places. */
void qdot_map_copy(const struct qdot_mapping *map, const uint8_t *from, uint8_t *out);
/* Bytes of the tensors of a map or a pool, which has no b; false and a reason where that is more than
 * kernels of GPUs count, in 32 bits. */
bool qdot_bytes_fit(const struct qdot_problem *p, size_t bytes[QDOT_MAP_TENSORS], char *reason,
                    size_t reason_bytes);

/* ---- pool.c ---------------------------------------------------------------------------------- */

int qdot_check_pool(const struct qdot_op_desc *desc, struct qdot_problem *p,
                    struct qdot_error *err);
/* Of a run, which is otherwise checked as that of a convolution. */
int qdot_check_pool_apart(const struct qdot_op *op, const struct qdot_run *run,
                          struct qdot_error *err);
/* Of m images: fours of neighbouring channels, or of columns where channels are planes. */
size_t qdot_pool_items(const struct qdot_problem *p, size_t m);
/* What divides averages of different outputs, for devices that find their place among these: steps[i] is
 * the least sum / taps in binary32 whose output is above clamp_lo + i, as an integer with the bits of its
 * magnitude and its sign; where there is none, more than any. Without scales the sum has half of taps more,
 * away from 0. */
void qdot_average_steps(const struct qdot_problem *p, int32_t steps[256]);

/* ---- measure.c ------------------------------------------------------------------------------- */

/* Operands of measured runs: host memory, or in memory of one device where 'resident' is it. */
struct qdot_trial {
    struct qdot_device *resident;
    size_t m;
    void *a, *out, *a_zero, *row_scale, *b;
    struct qdot_buffer *buffers[3];
};

uint64_t qdot_now_ns(void);
/* False without memory; free it either way. A zeroed one may be freed. */
bool qdot_trial_make(struct qdot_device *device, bool resident, const struct qdot_problem *p,
                     struct qdot_trial *trial);
void qdot_trial_free(struct qdot_device *device, struct qdot_trial *trial);
/* Time of one run of the whole problem, or 0. 'best': of the fastest known, or 0; what is clearly
 * slower is told early, by extrapolation. */
uint64_t qdot_measure(struct qdot_device *device, const struct qdot_row *row,
                      const struct qdot_op_desc *desc, const struct qdot_problem *p,
                      const struct qdot_trial *trial, uint64_t best, struct qdot_error *err);

/* ---- select.c, selftest*.c ------------------------------------------------------------------- */

int qdot_select(struct qdot_device *device, const struct qdot_op_desc *desc,
                const struct qdot_problem *p, struct qdot_device **chosen,
                const struct qdot_row **row, struct qdot_error *err);
/* Admission of one row: features, limits, self-test; the verdict is kept. QDOT_OK, or
 * QDOT_UNSUPPORTED, or QDOT_NO_MEMORY, which is no verdict. */
int qdot_admit(struct qdot_device *device, const struct qdot_row *row, char *reason,
               size_t reason_bytes);
int qdot_selftest(struct qdot_device *device, const struct qdot_row *row, char *reason,
                  size_t reason_bytes);
int qdot_selftest_elements(struct qdot_device *device, const struct qdot_row *row, char *reason,
                           size_t reason_bytes);
int qdot_selftest_map(struct qdot_device *device, const struct qdot_row *row, char *reason,
                      size_t reason_bytes);
int qdot_selftest_conv(struct qdot_device *device, const struct qdot_row *row, char *reason,
                       size_t reason_bytes);
/* "gemm_..." or "cpu/gemm_..."; NULL: none */
const struct qdot_row *qdot_row_named(const struct qdot_device *device, const char *name);

/* ---- weights.c ------------------------------------------------------------------------------- */

/* op->packed's blob and what else is made of B, from what the descriptor gives. */
int qdot_packed_make(struct qdot_op *op, const struct qdot_op_desc *desc, bool cache,
                     struct qdot_error *err);
void qdot_packed_drop(const struct qdot_device *device, struct qdot_packed *packed);
/* The caller's packed B, which may go after create, becomes the op's own. */
int qdot_packed_own(struct qdot_op *op, struct qdot_error *err);

/* ---- pack.c ---------------------------------------------------------------------------------- */

static inline uint8_t qdot_flip(enum qdot_type type, enum qdot_type form)
{
    return form && type != form ? 0x80 : 0; /* XOR mask from a given byte to the row's form */
}
static inline int32_t qdot_shift(enum qdot_type type, enum qdot_type form)
{
    return !form || type == form ? 0 : form == QDOT_U8 ? 128 : -128; /* what the flip adds */
}

/* false on overflow of 63 bits */
static inline bool qdot_mul_size(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product) && *product <= (size_t)PTRDIFF_MAX;
}
/* Sizes of packed B for this row; false when they overflow. */
bool qdot_packed_layout(const struct qdot_row *row, const struct qdot_problem *p,
                        struct qdot_packed *packed);
void *qdot_packed_panels(const struct qdot_packed *packed);
/* Where a panel begins among all, and the columns it has in memory. */
static inline size_t qdot_panel_at(const struct qdot_packed *packed, size_t panel)
{
    return panel / packed->part_panels * packed->part_bytes +
           panel % packed->part_panels * packed->panel_bytes;
}
static inline const uint8_t *qdot_panel(const struct qdot_packed *packed, size_t panel)
{
    if (packed->last_panel && panel + 1 == packed->parts * packed->part_panels)
        return packed->last_panel;
    return (const uint8_t *)qdot_packed_panels(packed) + qdot_panel_at(packed, panel);
}
static inline size_t qdot_panel_columns(const struct qdot_packed *packed, size_t nr, size_t panel)
{
    return (panel + 1) % packed->part_panels ? nr : packed->last_columns;
}
/* Packs panels [panel_begin, panel_end) of B into panels and col_sum (both of the whole). */
void qdot_pack_b(const struct qdot_row *row, const struct qdot_problem *p,
                 const struct qdot_packed *packed, const void *b, size_t panel_begin,
                 size_t panel_end, void *panels, int32_t *col_sum);
void qdot_packed_seal(const struct qdot_row *row, const struct qdot_problem *p,
                      struct qdot_packed *packed); /* header and checksum */
/* Does the blob say that it was packed for rows of this layout? A look at its header only. */
bool qdot_packed_is_for(const struct qdot_row *row, const void *blob, size_t bytes);
/* Equal for packed B of the same layout and shape. */
uint64_t qdot_packed_shape(const struct qdot_row *row, const struct qdot_problem *p,
                           const struct qdot_packed *packed);
int qdot_packed_verify(const struct qdot_row *row, const struct qdot_problem *p,
                       const struct qdot_packed *layout, const void *blob, size_t bytes,
                       struct qdot_error *err);
/* sums[r * n_pad + column]: the part of col_sum that comes from the r-th of 'count' equal pieces of K,
 * each of whole groups. */
void qdot_sum_pieces(const struct qdot_row *row, const struct qdot_packed *packed, void *panels,
                     size_t count, int32_t *sums);
/* bias_out[j] = bias' for columns [begin, end), from the caller's bias_in and col_sum. */
void qdot_fold_bias(const struct qdot_row *row, const struct qdot_problem *p,
                    const int32_t *bias_in, const int32_t *b_neg, const int32_t *col_sum,
                    int32_t *bias_out, size_t begin, size_t end);

/* ---- cache.c --------------------------------------------------------------------------------- */

uint64_t qdot_hash(const void *memory, size_t bytes, uint64_t seed);
/* The user's cache directory for qdot ("$XDG_CACHE_HOME/qdot" or "$HOME/.cache/qdot"), or the one
 * given; NULL when there is none. Released by qdot_release. */
char *qdot_cache_dir(const struct qdot_device *device, const char *given);
/* One verified file a key: whole and of this key, or not there. Written aside and renamed, so that
 * two processes at once each see a whole file. Failure to read or write is not an error: false. */
bool qdot_cache_read(const struct qdot_device *device, const char *key, void **data, size_t *bytes);
bool qdot_cache_write(const struct qdot_device *device, const char *key, const void *data,
                      size_t bytes);

/* Whole files. Reading: at most so many bytes; the text of an error begins with the path. */
int qdot_file_read(const struct qdot_device *device, const char *path, size_t most, void **data,
                   size_t *bytes, struct qdot_error *err);
bool qdot_file_write(const char *path, const void *data, size_t bytes);
/* One process at a time between the two, where the directory is there and can be written; beside it. */
int qdot_file_lock(const char *path);
void qdot_file_unlock(int lock);

/* ---- tune.c, tune_json.c --------------------------------------------------------------------- */

#define QDOT_PROBLEM_BYTES 192

/* The problem as a tuning file has it, and its class: sizes to the nearest power of four. */
void qdot_problem_name(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES]);
void qdot_problem_class(const struct qdot_problem *p, char text[QDOT_PROBLEM_BYTES]);
/* Of a device that was opened: its own table, the cache's, and the file (NULL: none). */
int qdot_tuning_open(struct qdot_device *device, const char *file, struct qdot_error *err);
void qdot_tuning_close(struct qdot_device *device);
/* Time of a row for a problem (QDOT_BY_CLASS: a class); 0: none. */
bool qdot_tuning_is_empty(struct qdot_device *device);
uint64_t qdot_tuning_get(struct qdot_device *device, const struct qdot_row *row,
                         enum qdot_basis basis, const char *problem);
void qdot_tuning_put(struct qdot_device *device, const struct qdot_row *row, enum qdot_basis basis,
                     const char *problem, uint64_t time_ns);
/* The next override for this problem and device from the *i-th on, of which *i is then behind. */
bool qdot_tuning_override(struct qdot_device *device, const char *problem, size_t *i, char row[64]);
bool qdot_tuning_save(struct qdot_device *device); /* to the cache; false: not written */

#endif
