/*
 * qdot: int8 matrix multiplication and convolution on whatever is in the machine, the same bits
 * everywhere.
 *
 *   acc[m][n] = sum over k of (a[m][k] - a_zero[m]) * (b[k][n] - b_zero[n]) + bias[n]   (mod 2^32)
 *
 * A convolution is the same sum: m counts the output pixels (image, row, column), n the output
 * channels, k the taps of the kernel times the channels of a group; a is the input under that tap,
 * or a_zero where the tap lies in the padding. So bias, zero points, scales and outputs mean the
 * same for both.
 *
 *   out s32:  acc
 *   out f32:  (float)acc * scale[n] (* row_scale[m]) (+ bias_f[n])   each step rounded, in order
 *   out u8, s8:  by one of the roundings below
 *
 * Float arithmetic is IEEE binary32 without fused multiply-add. Every kernel on every device gives
 * the same bits; results never depend on threads, tiles, device or run.
 *
 * Beside products there is the way to and from them: quantize, dequantize, dynamic quantize, fake
 * quantize and its gradient (struct qdot_quantize); and what lies between them, so that tensors stay on
 * their device: functions of one or two 8-bit tensors by a table, copies and moves of such
 * (struct qdot_map), and pooling. With the same bits everywhere as well.
 *
 * What qdot does not do: it chooses no scales but dynamic ones, does not sparsify, has no tensors
 * and no graph, never prints, never aborts, keeps no global state, and never substitutes another
 * kernel for one that was asked for by name.
 *
 * Conventions. Every function that can fail returns an enum qdot_status and writes one line about a
 * failure into 'err' (caller-owned, may be NULL). Descriptors begin with 'size', set to sizeof the
 * structure (0 is taken as today's size); every other field may be 0, meaning its default. Sizes
 * and leading dimensions are in elements unless their name ends in _bytes. Matrices are row-major.
 *
 * Thread safety, per handle:
 *   device  open, close and buffer calls: one thread at a time. Ops of one device may be created
 *           and run from several threads at once. Different devices are independent.
 *   op      one thread at a time (an op owns the workspace of its runs).
 *   buffer  as the ops that use it: two runs that touch one buffer need an order, which the calls
 *           of one thread on one device have.
 *   event   waited for by any threads at once, given to one run at a time and while none waits.
 *   qdot_sync, qdot_flush: from any thread.
 */
#ifndef QDOT_H
#define QDOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(QDOT_BUILD) && defined(__GNUC__)
#define QDOT_API __attribute__((visibility("default")))
#else
#define QDOT_API
#endif

#define QDOT_VERSION_MAJOR 0
#define QDOT_VERSION_MINOR 2
#define QDOT_VERSION_PATCH 0

enum qdot_status {
    QDOT_OK = 0,
    QDOT_INVALID = 1,       /* an argument is wrong; the text names it and what was expected */
    QDOT_UNSUPPORTED = 2,   /* a right request that this device or row cannot serve */
    QDOT_NO_DEVICE = 3,     /* no such device in this machine */
    QDOT_NO_MEMORY = 4,     /* host or device memory */
    QDOT_DEVICE_FAILED = 5, /* a driver call failed; the text has the call and its code */
    QDOT_BAD_PACKED = 6,    /* a packed B is damaged or of another layout */
    QDOT_END = 7,           /* an index past the last item of an enumeration */
    QDOT_TIMEOUT = 8,       /* an event was not done in time */
};

struct qdot_error {
    int status; /* enum qdot_status of the call that wrote it */
    char text[508];
};

/* s16 to u4 are of struct qdot_quantize only. Two values of 4 bits are a byte, the first in its low
 * half, as in ONNX: values are packed without gaps, and of an odd number of them the last byte's high
 * half is 0. */
enum qdot_type {
    QDOT_TYPE_DEFAULT = 0,
    QDOT_U8 = 1,
    QDOT_S8 = 2,
    QDOT_S32 = 3,
    QDOT_F32 = 4,
    QDOT_S16 = 5,
    QDOT_U16 = 6,
    QDOT_S4 = 7,
    QDOT_U4 = 8,
};
enum qdot_op_kind {
    QDOT_GEMM = 0,
    QDOT_CONV = 1,
    QDOT_QUANTIZE = 2, /* this and the next four: struct qdot_quantize */
    QDOT_DEQUANTIZE = 3,
    QDOT_DYNAMIC_QUANTIZE = 4,
    QDOT_FAKE_QUANTIZE = 5,
    QDOT_FAKE_QUANTIZE_GRADIENT = 6,
    QDOT_MAP = 7, /* struct qdot_map */
    QDOT_MAX_POOL = 8,
    QDOT_AVERAGE_POOL = 9, /* struct qdot_average */
};
enum qdot_layout { QDOT_NHWC = 0, QDOT_NCHW = 1 };

/* How a sum becomes a u8 or s8 output. rne rounds to the nearest integer, ties to even; sat clamps
 * to [clamp_lo, clamp_hi]; >> of integers rounds down; M, S are multiplier[n] and shift[n], L and R
 * the parts of S to the left and to the right: max(S, 0) and max(-S, 0).
 *
 *   RNE              sat(rne((float)acc * scale[n]) + out_zero): ONNX, ONNX Runtime
 *   RNE_ZERO_FIRST   sat(rne((float)acc * scale[n] + out_zero)): oneDNN
 *   Q31_DOUBLE_AWAY  sat(y + out_zero), with x = ((acc << L) * M + 2^30) >> 31, and y = x / 2^R to
 *                    the nearest, ties away from 0; acc << L wraps: gemmlowp, TensorFlow Lite's
 *                    reference kernels
 *   Q31_DOUBLE_UP    the same with ties up, y = (x + 2^(R - 1)) >> R where R is not 0: TensorFlow
 *                    Lite on x86 and ARM
 *   Q31_SINGLE_UP    sat(((acc * M + 2^(30 - S)) >> (31 - S)) + out_zero): TensorFlow Lite and
 *                    CMSIS-NN built for single rounding
 *   MANT24_UP        sat(((acc * m + 2^(s - 1)) >> s) + out_zero), with scale[n] = m / 2^s and m in
 *                    [2^23, 2^24): XNNPACK's rndnu
 *
 * But for acc << L integers are as wide as they need to be: what others leave to overflow saturates.
 * An s32 or f32 output has no rounding to choose. */
enum qdot_rounding {
    QDOT_ROUND_RNE = 0,
    QDOT_ROUND_RNE_ZERO_FIRST = 1,
    QDOT_ROUND_Q31_DOUBLE_AWAY = 2,
    QDOT_ROUND_Q31_DOUBLE_UP = 3,
    QDOT_ROUND_Q31_SINGLE_UP = 4,
    QDOT_ROUND_MANT24_UP = 5,
};

struct qdot_device; /* opaque: one device, or "auto": all of them */
struct qdot_op;     /* opaque: one operation, its packed B and its workspace */
struct qdot_buffer; /* opaque: memory of one device */
struct qdot_event;  /* opaque: when a run of one device is done */

/* Runs task(arg, i) once for each i in [0, count), on any threads, and returns when all are done.
 * count never exceeds 'threads' (0 is taken as 1). Called by create and run, from several threads
 * at once when ops run so. Tasks do not wait for one another: any order will do, or one thread. */
struct qdot_threads {
    size_t threads;
    void *ctx;
    void (*parallel_for)(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count);
};

/* alloc returns memory aligned to 'alignment' (a power of two), or NULL. Called from the calling
 * thread, so from several at once when ops are created so; by every function but qdot_op_run,
 * qdot_sync and the reads and writes of buffers. Drivers and the thread pool allocate on their own.
 */
struct qdot_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes, size_t alignment);
    void (*release)(void *ctx, void *memory);
};

/* Packed B that the caller keeps for several ops, devices or processes. 'key' is a text of less than
 * QDOT_KEY_BYTES letters, digits and dashes, good as a file's name: the row's layout and its version,
 * type, shape and order of B, and 128 bits of a hash of its bytes, which is one against accidents, not
 * against who makes two B's of one key on purpose. Where keys are equal the packed bytes are.
 *
 *   look_up   the packed B of this key, or NULL
 *   insert    one that was packed just now: NULL, or memory with the same bytes that the op uses
 *             in place of its own; the caller copies it, or gives what another thread inserted
 *   release   ends one use of what look_up or insert gave, when the op goes, or earlier; NULL: none
 *
 * What they give must not change and must stay until it is released; without release until the device
 * is closed. It need not be aligned, but at a multiple of 64 kernels read it quicker. It is verified
 * as 'packed' of a descriptor is: what is damaged, or of another length, is packed anew. Called by
 * qdot_op_create, in which ops given 'packed' take no part, and release by qdot_op_destroy; from the
 * calling thread, so from several at once when ops are created so. */
#define QDOT_KEY_BYTES 128
struct qdot_packed_cache {
    void *ctx;
    const void *(*look_up)(void *ctx, const char *key, size_t bytes);
    const void *(*insert)(void *ctx, const char *key, const void *packed, size_t bytes);
    void (*release)(void *ctx, const void *packed);
};

struct qdot_device_info {
    size_t size;
    char name[24];         /* what qdot_open accepts: "cpu", "opencl:0", "vulkan:1" */
    char backend[16];      /* "cpu", "opencl", "vulkan" */
    char description[128]; /* the device's own name */
    char driver[128];      /* driver or platform and its version */
    char features[512];    /* names of features found that some row needs, separated by spaces */
    size_t compute_units;  /* cores, compute units; 0 = unknown */
    uint64_t memory_bytes; /* 0 = unknown */
    int available;         /* 0: listed only to say, in 'reason', why a backend has no device */
    char reason[128];
};

struct qdot_device_desc {
    size_t size;
    const char *device;  /* a name from qdot_devices, a backend's name (its first device), or
                            "auto" (default): every device that opens, chosen per op by time */
    const char *disable; /* features to treat as absent, separated by commas (tests, benchmarks) */
    const char *cache_dir; /* compiled programs, tuning file; default: the user's cache directory;
                              "": read and write no file. A directory that cannot be made or
                              written is no error: nothing is kept */
    size_t thread_count;   /* CPU threads when 'threads' is not given, at most 1024; 0 = one a
                              processor; without pthreadpool there is one */
    size_t cache_percent;  /* CPU: work is cut for caches of so many percent of those that open
                              finds, 1 to 1000; 0 = 100. Never changes a result (tests, benchmarks) */
    struct qdot_threads threads;     /* the caller's pool; default: a pool of the device's own */
    struct qdot_allocator allocator; /* default: aligned_alloc and free */
    uint64_t budget_us; /* bound on the time one qdot_op_create spends measuring, on "auto", OpenCL
                           and Vulkan devices; checked between measurements. 0 = 300,000; 1: on one
                           device none */
    const char *tuning_file; /* times and overrides (docs/tuning.md) that come before what is
                                measured; NULL: none. To be there, and right */
    struct qdot_packed_cache packed_cache; /* the caller's; default: none */
};

/* The geometry of a 2-D convolution (1-D: a height of 1). Input [batch, height, width, channels],
 * weights [out_channels, kernel_h, kernel_w, channels / groups]; in QDOT_NCHW
 * [batch, channels, height, width] and [out_channels, channels / groups, kernel_h, kernel_w].
 * Output pixel (y, x) takes input pixel (y * stride_h + i * dilation_h - pad_top, likewise x) under
 * tap (i, j). The output has (height + pad_top + pad_bottom - (kernel_h - 1) * dilation_h - 1) /
 * stride_h + 1 rows, rounded down, which must be at least 1.
 *
 * 'transposed' (ONNX ConvTranspose) is its gradient: input pixel (y, x) is added under tap (i, j)
 * to output pixel (y * stride_h + i * dilation_h - pad_top, likewise x), of (height - 1) * stride_h
 * + (kernel_h - 1) * dilation_h + 1 + output_pad_h - pad_top - pad_bottom rows. Its weights in
 * QDOT_NCHW are ONNX's [channels, out_channels / groups, kernel_h, kernel_w]; in QDOT_NHWC as
 * above. */
struct qdot_conv {
    size_t batch, height, width, channels; /* batch: the largest of any run; 0 = 1 */
    size_t out_channels, kernel_h, kernel_w;
    size_t stride_h, stride_w, dilation_h, dilation_w; /* 0 = 1 */
    size_t pad_top, pad_left, pad_bottom, pad_right;
    size_t groups;                     /* divides channels and out_channels; 0 = 1 */
    int transposed;                    /* 1: transposed convolution */
    size_t output_pad_h, output_pad_w; /* transposed: less than the stride or the dilation */
    enum qdot_layout layout;
};

/* Elements [outer, axis, inner], without gaps: the last dimensions of a tensor are one, so are the
 * first. rne and sat as for enum qdot_rounding; / is the IEEE quotient, correctly rounded.
 *
 *   QUANTIZE         f32 to 'type': sat(rne(x / scale) + zero), NaN becoming clamp_lo
 *   DEQUANTIZE       'type' to f32: (float)(q - zero) * scale
 *   DYNAMIC_QUANTIZE f32 to u8, of scales and zeros that the run finds and gives (ONNX):
 *                    scale = (max(0, max x) - min(0, min x)) / 255, zero = sat(rne(-min / scale)).
 *                    NaN has no part in the range; infinities count as the largest finite numbers,
 *                    and so does a range that overflows; below 2^-118 a range counts as 0. Of a
 *                    range of 0 the scale is 1 and the zero 0. (ONNX Runtime gives infinite and
 *                    subnormal scales there, with which nothing can be computed.)
 *   FAKE_QUANTIZE    f32 to f32: what dequantize makes of what quantize makes of x
 *   FAKE_QUANTIZE_GRADIENT
 *                    f32 to f32: dy where rne(x / scale) + zero is in [clamp_lo, clamp_hi], else
 *                    +0 (the straight-through estimator). A NaN is outside
 *
 * Scales and zeros are one for all; or one for each index of axis (ONNX: per axis); or with 'group'
 * one for each 'group' neighbours along axis and each outer and inner index, [outer, ceil(axis /
 * group), inner] (ONNX: blocked). Given here, or with each run. The scale is positive, finite and not
 * subnormal, the zero in the type's range; of those of a run that is the caller's promise, which if
 * broken gives any values.
 *
 * Of struct qdot_op_desc these ops have clamp_lo and clamp_hi (in quantised values; not of
 * DEQUANTIZE and DYNAMIC_QUANTIZE) and 'kernel'; all else is left 0. */
struct qdot_quantize {
    enum qdot_type type; /* u8 (default), s8, u16, s16, u4, s4; DEQUANTIZE: s32 too, with no zero */
    size_t outer, axis,
        inner;           /* 0 = 1; outer, or axis where outer is 1, is the largest of any run */
    size_t group;        /* 0: none */
    const float *scale;  /* scale_count values; NULL: given with each run */
    size_t scale_count;  /* 0 (the scale is 1; of a dynamic one as 1), 1, or as said above;
                                  of a dynamic one 1, or axis with outer 1 */
    const int32_t *zero; /* zero_count values; NULL: given with each run */
    size_t zero_count;   /* 0 (the zero is 0), or scale_count; of a dynamic one 0 */
    int reciprocal;      /* 1: x * (1 / scale) for x / scale, each rounded; not of a dynamic one */
};

/* Tensors of bytes, element by element:
 *
 *   one operand    out = table[a], of 256 entries; without a table out = a
 *   two operands   out = table[256 * a + b], of 65,536 entries
 *
 * A table's index is the byte as an unsigned number, of s8 too. So any function of one or two 8-bit
 * tensors (Add, Mul, Relu, Clip, another scale), by whatever formula a runtime has it, is exact on every
 * device: the caller makes the table. Strides and a buffer's offset do the rest: broadcasting,
 * Transpose, Slice, each part of a Concat, copies within a device.
 *
 * Of struct qdot_op_desc this op has 'kernel'; all else is left 0. Bytes of 'out' between its elements
 * stay untouched; from the first to the last they are apart from those of the operands. */
#define QDOT_MAP_RANK 6
struct qdot_map {
    size_t rank; /* 1 to QDOT_MAP_RANK; what is beyond it in the arrays is not read */
    size_t dims[QDOT_MAP_RANK]; /* of the result; dims[0] is the largest of any run */
    /* Bytes between neighbours along each dimension. An operand's may be 0: repeated. No two elements
     * of out share a byte: of those dimensions that are more than 1, each stride is larger than all
     * smaller ones together reach. */
    size_t a_stride[QDOT_MAP_RANK], b_stride[QDOT_MAP_RANK], out_stride[QDOT_MAP_RANK];
    int operands;         /* 1 (also 0) or 2 */
    const uint8_t *table; /* copied */
};

/* QDOT_MAX_POOL: the largest element of each channel under a window, a_type u8 (default) or s8 saying
 * what is larger; then, with map.table of 256 entries, that entry of it (indexed as above). The geometry
 * is 'conv', out_channels 0 or as channels, without groups and not transposed. Padding has no part in
 * it: every window has an element of the input. (ONNX's ceil_mode: more pad_bottom and pad_right.) Of
 * struct qdot_op_desc this op has conv, a_type, out_type (default: a_type, which it must be), map.table
 * and 'kernel'; all else is left 0. */

/* QDOT_AVERAGE_POOL: the average of each channel's elements under a window, of at most 65,536 taps. The
 * geometry is that of a QDOT_MAX_POOL, padding has no part in the sum here either; 'taps' are those on the
 * input, or where count_padding is 1 all of the window.
 *
 *   with scales      sum, from 0, of a_scale * (float)(a - a_zero), by rows and in them by columns
 *     RNE              sat(rne(sum / taps / out_scale) + out_zero)
 *     RNE_ZERO_FIRST   sat(rne(sum / taps / out_scale + out_zero)): ONNX Runtime's QLinearAveragePool
 *   without          sat(sum / taps), the sum of a divided exactly, then to the nearest integer, ties away
 *                    from 0: TensorFlow Lite's AVERAGE_POOL_2D
 *
 * Each product, sum and quotient is rounded to binary32 in this order, as if exponents had no bounds:
 * scales times a power of two give the same. Of struct qdot_op_desc this op has conv, average, a_type,
 * out_type (default: a_type), clamp_lo, clamp_hi and 'kernel'; with scales a_zero, out_zero and
 * 'rounding', one of those two; all else is left 0. */
struct qdot_average {
    float a_scale, out_scale; /* positive, finite, not subnormal; both 0: none */
    int count_padding;        /* with scales */
};

struct qdot_op_desc {
    size_t size;
    enum qdot_op_kind kind; /* QDOT_GEMM: A [m,k] times B [k,n]; QDOT_CONV: as 'conv' says, with
                               m, n, k, ldb and b_transposed left 0 and B the weights; others: as
                               'quantize', 'map', QDOT_MAX_POOL and 'average' say */
    struct qdot_conv conv;
    struct qdot_quantize quantize;
    struct qdot_map map;
    struct qdot_average average;
    size_t m, n, k; /* m: the largest of any run. Each at least 1; m*k, k*n and m*n times 4
                               must fit in 63 bits */
    enum qdot_type a_type, b_type, out_type; /* u8 or s8 (default u8), u8 or s8 (default s8),
                                                s32 (default), f32, s8 or u8 */
    const void *b;      /* host memory, [k,n], packed now and not referenced afterwards;
                           NULL (and no 'packed'): B is given with each run (not of a conv) */
    size_t ldb;         /* elements between rows of B; default n, or k when transposed */
    int b_transposed;   /* B is given as [n,k] */
    const void *packed; /* instead of b: bytes from qdot_pack or qdot_op_save_packed, of this row's
                           layout and of this type, n and k */
    size_t packed_bytes;
    int packed_keep;    /* 0: 'packed' is copied. 1: it outlives the op unchanged, as a mapped file
                        may; the CPU reads it in place, on a GPU it may go after create. No byte
                        around it is read. Best at a multiple of 64 */
    int32_t a_zero;     /* zero point of A, in A's range */
    int a_zero_per_row; /* 1: m zero points are given with each run instead; not of a conv */
    const int32_t *b_zero;     /* zero points of B, in B's range */
    size_t b_zero_count;       /* 0 (B's zero point is 0), 1, or n (a conv's out_channels) */
    const int32_t *bias;       /* n values, or NULL */
    const float *scale;        /* f32, s8, u8 outputs: |scale| zero or in [2^-126, 2^96); with
                              QDOT_ROUND_MANT24_UP in [2^-32, 2^8), with Q31 roundings none */
    size_t scale_count;        /* 0 (scale is 1), 1, or n */
    const int32_t *multiplier; /* Q31 roundings, instead of scale: 0 or in [2^30, 2^31), for a */
    const int32_t *shift;      /* scale of multiplier * 2^(shift - 31), shift in [-31, 30]; as */
    size_t multiplier_count;   /* qdot_multiplier gives them. Of both: 1, or n */
    int row_scale;             /* f32 output, 1: m factors are given with each run; not of a conv */
    const float *bias_f;       /* f32 output: n finite values, or NULL */
    int32_t out_zero;          /* s8, u8 outputs, in the output's range */
    int32_t clamp_lo, clamp_hi;  /* s8, u8 outputs, in output values; both 0: the type's range */
    enum qdot_rounding rounding; /* of s8, u8 outputs */
    int workspace_at_run; /* 1: the op keeps no workspace in host memory; each run brings one */
    const char *kernel;   /* a row by name, "gemm_..." or "cpu/gemm_..."; NULL: the dispatcher's */
};

/* One operand of a run: host memory, or 'offset_bytes' into a buffer of the op's device. Where host
 * is set, buffer must be NULL. 4-byte elements are aligned: host memory, also that of a buffer made
 * over it, and offsets are multiples of 4. */
struct qdot_input {
    const void *host;
    struct qdot_buffer *buffer;
    size_t offset_bytes;
};
struct qdot_output {
    void *host;
    struct qdot_buffer *buffer;
    size_t offset_bytes;
};

struct qdot_run {
    size_t size;
    size_t m;                 /* rows of this run; 0 = the descriptor's m, not none.
                                    Of a conv or pool: its images; 0 = the descriptor's batch. Of
                                    elements: outer, or axis where the descriptor's outer is 1. Of
                                    a map: its dims[0] */
    struct qdot_input a;      /* m rows of k elements; a conv's input */
    size_t lda;               /* elements between rows of A; default k. Of a conv or pool: between
                                    pixels, default channels; in QDOT_NCHW only 0 */
    struct qdot_output out;   /* m rows of n elements; must not overlap an input */
    size_t ldo;               /* elements between rows of out, or pixels; default n; gaps stay
                                    untouched; as lda in QDOT_NCHW */
    struct qdot_input a_zero; /* int32 [m], when a_zero_per_row; each in A's range */
    struct qdot_input row_scale; /* float [m], when row_scale; finite values */
    struct qdot_input b;         /* when the op was created without B; layout as in its descriptor.
                            FAKE_QUANTIZE_GRADIENT: dy. A map of two operands: the second */
    struct qdot_input scale; /* float, when quantize.scale is NULL and scale_count is not 0: as many
                                as m needs, from the first on */
    struct qdot_input zero;  /* int32, likewise */
    struct qdot_output scale_out, zero_out; /* of a dynamic one, float and int32: as 'out'. What it
                                puts into buffers can be another run's scale, zero, row_scale, a_zero */
    void *threads_ctx; /* given to the caller's parallel_for in place of the device's ctx, for a
                            pool that comes with each call; NULL: the device's. Ignored without
                            a caller's parallel_for */
    void *workspace;   /* when workspace_at_run: qdot_op_workspace_bytes of host memory, or more,
                            at a multiple of 64, of any content; free when run returns */
    size_t workspace_bytes;
    struct qdot_event *const *waits; /* begin after the runs that these were given to. Of other */
    size_t wait_count;               /* devices: the call waits for them */
    struct qdot_event *event; /* of the op's device, or NULL: from now on it is of this run */
};

struct qdot_row_info {
    size_t size;
    char name[64];          /* "cpu/gemm_6x64_avx512vnni" */
    enum qdot_op_kind kind; /* the ops it serves; QDOT_QUANTIZE: those of struct qdot_quantize */
    int depthwise;          /* QDOT_CONV: only those with one input channel a group */
    char features[128];     /* features it needs, separated by spaces; empty for the last row */
    size_t mr, nr, kr;      /* outputs a tile (rows, columns); K, of a conv each of its runs of
                           neighbours in memory, is padded to a multiple of kr */
    int admitted;           /* features, limits and known-answer self-test passed on this device */
    char reason[192];       /* why not */
};

/* What speaks for a row, the better the later. */
enum qdot_basis {
    QDOT_BY_TABLE = 0,   /* its place among the rows */
    QDOT_BY_CLASS = 1,   /* a time of its class of problems, without copies */
    QDOT_BY_COPIES = 2,  /* a time of this problem, host-device copies included */
    QDOT_BY_TIME = 3,    /* a time of this problem, data on the device */
    QDOT_BY_OVERRIDE = 4 /* the tuning file names it */
};

struct qdot_candidate {
    char device[24];
    char row[64];          /* "backend/row" */
    int chosen;            /* the one qdot_op_create would take */
    uint64_t time_ns;      /* 0 = not measured */
    enum qdot_basis basis; /* what time_ns is of, or QDOT_BY_OVERRIDE */
    char reason[192];      /* why it was refused, or how it was chosen */
};

/* Devices. qdot_devices stores at most 'capacity' entries and sets *count to how many there are;
 * infos may be NULL when capacity is 0. It opens and compiles nothing. The 'size' of structures
 * that the library fills (info, row_info) is set by it. */
QDOT_API int qdot_devices(struct qdot_device_info *infos, size_t capacity, size_t *count,
                          struct qdot_error *err);
QDOT_API int qdot_open(const struct qdot_device_desc *desc, struct qdot_device **device,
                       struct qdot_error *err);
QDOT_API void qdot_close(struct qdot_device *device); /* after its ops and buffers; NULL is fine */
QDOT_API int qdot_sync(struct qdot_device *device, struct qdot_error *err); /* all its runs done */
/* All runs so far go to the device; does not wait for them. */
QDOT_API int qdot_flush(struct qdot_device *device, struct qdot_error *err);

/* The i-th opened device of "auto", or for i = 0 the device itself; NULL past the last. */
QDOT_API struct qdot_device *qdot_device_child(struct qdot_device *device, size_t i);
QDOT_API int qdot_device_info(const struct qdot_device *device, struct qdot_device_info *info,
                              struct qdot_error *err);

/* Rows of one device, best first; QDOT_END past the last. The first call for a row runs its
 * self-test, which on a GPU compiles it. On "auto" the children's rows follow one another. */
QDOT_API int qdot_device_row(struct qdot_device *device, size_t index, struct qdot_row_info *info,
                             struct qdot_error *err);
/* Only its name, as in row_info, and no self-test. */
QDOT_API int qdot_device_row_name(struct qdot_device *device, size_t index, char name[64],
                                  struct qdot_error *err);

/* Every candidate for this op with its time or the reason it was refused; measures as
 * qdot_op_create would. Stores at most 'capacity', sets *count to how many there are. */
QDOT_API int qdot_explain(struct qdot_device *device, const struct qdot_op_desc *desc,
                          struct qdot_candidate *candidates, size_t capacity, size_t *count,
                          struct qdot_error *err);

/* Tuning: times and overrides, docs/tuning.md. A device begins with tuning_file's; 'read' adds those
 * of another file (of two times for the same the shorter, of two overrides the first), 'add' a time
 * that the caller measured with data on the device, for this op and row of one device, in the place
 * of a former one; 0 forgets that. The tuning as
 * the text of a file: at most 'capacity' bytes of it, and in *bytes how many there are (no '\0').
 * 'keep' puts the times into the cache's file, which every later open reads. Files need jansson:
 * QDOT_UNSUPPORTED where the library was built without. */
QDOT_API int qdot_tuning_read(struct qdot_device *device, const char *path, struct qdot_error *err);
QDOT_API int qdot_tuning_add(struct qdot_device *device, const struct qdot_op_desc *desc,
                             const char *row, uint64_t time_ns, struct qdot_error *err);
QDOT_API int qdot_tuning_text(struct qdot_device *device, char *text, size_t capacity,
                              size_t *bytes, struct qdot_error *err);
QDOT_API int qdot_tuning_keep(struct qdot_device *device, struct qdot_error *err);

/* The op as a tuning file calls it: "gemm 196x256x1152 u8s8 s32". 192 bytes are enough. */
QDOT_API int qdot_problem_text(const struct qdot_op_desc *desc, char *text, size_t bytes,
                               struct qdot_error *err);

/* Rows and columns of a convolution's output; errors as qdot_op_create gives for its geometry. */
QDOT_API int qdot_conv_output(const struct qdot_conv *conv, size_t *height, size_t *width,
                              struct qdot_error *err);

/* A scale as the Q31 roundings take it, rounded as TensorFlow Lite's QuantizeMultiplier does: ties
 * away from 0; scales below 2^-32, which give no more than 0, become 0. TensorFlow Lite's scale is
 * (double)input_scale * (double)weight_scale / (double)output_scale. 0 <= scale < 2^30. */
QDOT_API int qdot_multiplier(double scale, int32_t *multiplier, int32_t *shift,
                             struct qdot_error *err);

/* Ops. Create checks the descriptor, selects a row, packs B and allocates all that runs will need;
 * on failure *op is NULL. Run allocates nothing and decides nothing. When 'out' is host memory it
 * holds the result on return; when it is a buffer the run is enqueued, in order on its device: wait
 * with qdot_sync, or read the buffer. Host inputs may be changed as soon as run returns. */
QDOT_API int qdot_op_create(struct qdot_device *device, const struct qdot_op_desc *desc,
                            struct qdot_op **op, struct qdot_error *err);
QDOT_API int qdot_op_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
/* Runs whose 'out' is a buffer are asynchronous: the call returns when the run is in the device's
 * order, and waits only where it must: for host inputs that an earlier run of this op has not read
 * yet, on OpenCL before any host input is copied, and where runs are far ahead of the device. Small
 * runs may be held back and go to the device together, many in one submission (Vulkan); qdot_sync,
 * qdot_flush, a run with an event, a read and a write make them go. A run that the device refused
 * only then is an error of that call.
 *
 * An event tells when the run is done that it was last given to; none yet: it is done. Wait for at
 * most so long (0 asks, UINT64_MAX waits for ever): QDOT_OK, or QDOT_TIMEOUT, or the device's failure.
 * Destroyed before its device, and while no one waits; the run goes on. Runs on the CPU, and those
 * to host memory, are done when the call returns. */
QDOT_API int qdot_event_create(struct qdot_device *device, struct qdot_event **event,
                               struct qdot_error *err);
QDOT_API int qdot_event_wait(const struct qdot_event *event, uint64_t timeout_ns,
                             struct qdot_error *err);
QDOT_API void qdot_event_destroy(struct qdot_event *event); /* NULL is fine */

QDOT_API void qdot_op_destroy(struct qdot_op *op);          /* waits for its runs; NULL is fine */
QDOT_API const char *qdot_op_row(const struct qdot_op *op); /* "backend/row"; lives as the op */
QDOT_API struct qdot_device *qdot_op_device(const struct qdot_op *op); /* never "auto" itself */
/* Memory beyond packed B and its terms; of a B given at run, its panels as well. With workspace_at_run
 * what each run is to be given: 0 on a GPU, whose workspace is device memory and stays the op's. */
QDOT_API size_t qdot_op_workspace_bytes(const struct qdot_op *op);

/* B in its packed form without an op: its size, and packed into the caller's memory, of exactly that
 * size. Both select the row that qdot_op_create would, and so may measure; name one to be sure of its
 * layout. desc->b is given, and read only to be packed. */
QDOT_API int qdot_packed_bytes(struct qdot_device *device, const struct qdot_op_desc *desc,
                               size_t *bytes, struct qdot_error *err);
QDOT_API int qdot_pack(struct qdot_device *device, const struct qdot_op_desc *desc, void *memory,
                       size_t bytes, struct qdot_error *err);

/* The packed form of an op's B: position-independent, good for any device whose row has the same
 * layout. QDOT_UNSUPPORTED for an op created without B. */
QDOT_API int qdot_op_packed_bytes(const struct qdot_op *op, size_t *bytes, struct qdot_error *err);
QDOT_API int qdot_op_save_packed(struct qdot_op *op, void *memory, size_t bytes,
                                 struct qdot_error *err);

/* Buffers of one device (not of "auto": use qdot_op_device). With 'host', memory that outlives the
 * buffer is used in place where device and host share memory (the CPU, OpenCL on the CPU), else
 * QDOT_UNSUPPORTED. Write and read wait for the runs before them. */
QDOT_API int qdot_buffer_create(struct qdot_device *device, size_t bytes, void *host,
                                struct qdot_buffer **buffer, struct qdot_error *err);
QDOT_API int qdot_buffer_write(struct qdot_buffer *buffer, size_t offset, const void *memory,
                               size_t bytes, struct qdot_error *err);
QDOT_API int qdot_buffer_read(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                              struct qdot_error *err);
QDOT_API void qdot_buffer_destroy(struct qdot_buffer *buffer); /* waits; NULL is fine */

QDOT_API const char *qdot_status_text(int status);
QDOT_API const char *qdot_version(void); /* "0.2.0" */

#ifdef __cplusplus
}
#endif

#endif
