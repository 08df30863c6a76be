/* What 'qdot gemm' and 'qdot conv' share: the operands, the values beside them and the output are
 * .npy files. */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include "npy.h"
#include "options.h"
#include "qdot.h"
#include "rounding.h"
#include "shape.h"

struct cJSON;

/* The first member of each verb's struct of options. */
struct file_options {
    const char *output, *device, *kernel, *a_zero, *b_zero, *bias, *out, *scale, *row_scale,
        *bias_f;
    const char *multiplier, *shift;
    const char *clamp, *rounding, *tuning, *json;
    int64_t threads, out_zero;
};

/* Entries of a verb's table: what reads the same for all. */
#define FILE_OPTION(field) offsetof(struct file_options, field)
/* clang-format off */ /* it would give each value a line */
#define FILE_OPTIONS                                                                              \
    {"--out-zero", "Z", OPT_INT, FILE_OPTION(out_zero), -128, 255,                                \
     "s8, u8: the output's zero point, -128 to 127 for s8, 0 to 255 for u8. Default: 0."},        \
    {"--clamp", "LO,HI", OPT_TEXT, FILE_OPTION(clamp), 0, 0,                                      \
     "s8, u8: bounds of the output, inside its range; not 0,0. Default: the range."},             \
    {"--rounding", "NAME", OPT_TEXT, FILE_OPTION(rounding), 0, 0,                                 \
     "s8, u8: how the scaled sum becomes an integer. rne (default): to nearest, ties to even,\n"  \
     "then the zero point is added, as ONNX Runtime does. rne-zero-first: then it is in the sum\n" \
     "already: oneDNN. mant24-up: by the 24 bits of the scale's mantissa, ties up: XNNPACK.\n"    \
     "q31-double-away, q31-double-up, q31-single-up: by --multiplier and --shift, rounded twice\n" \
     "or once, ties away from 0 or up: gemmlowp and TensorFlow Lite."},                           \
    {"--multiplier", "M", OPT_TEXT, FILE_OPTION(multiplier), 0, 0,                                \
     "q31 roundings, instead of --scale: 0 or from 2^30 to 2^31 - 1, a number or a .npy of one\n" \
     "int32 value or of one for each output channel (column)."},                                  \
    {"--shift", "S", OPT_TEXT, FILE_OPTION(shift), 0, 0,                                          \
     "With --multiplier, for a scale of M * 2^(S - 31): -31 to 30, likewise."},                   \
    {"--device", "D", OPT_TEXT, FILE_OPTION(device), 0, 0,                                        \
     "cpu, opencl:N, vulkan:N, a backend's name (its first device), or auto (default):\n"         \
     "every device that opens, chosen by measured time."},                                        \
    {"--kernel", "ROW", OPT_TEXT, FILE_OPTION(kernel), 0, 0,                                      \
     "A row as 'qdot devices' prints it. It runs or it is an error; it is never replaced.\n"      \
     "Default: what the dispatcher chooses."},                                                    \
    {"--tuning", "FILE", OPT_TEXT, FILE_OPTION(tuning), 0, 0,                                     \
     "Times and overrides for that choice, as 'qdot tune' writes them."},                         \
    {"--threads", "N", OPT_INT, FILE_OPTION(threads), 1, 1024,                                    \
     "CPU threads, 1 to 1024. Default: one a processor. The result never depends on it."},        \
    {"--json", "FILE", OPT_TEXT, FILE_OPTION(json), 0, 0,                                         \
     "Write device, kernel, shape, types and times as JSON."}
/* clang-format on */

/* How a verb's page calls what it computes with. */
struct file_names {
    const char *verb;      /* "gemm" */
    const char *a, *b, *c; /* operands and output: "A", "B", "C" */
    const char *row;    /* what the rows of A are: "row"; NULL: none can have values of its own */
    const char *column; /* "column" */
};

/* One op. Of each .npy only data that the library may read is kept here. */
struct files {
    const struct file_names *names;
    const struct file_options *options;
    struct npy a, b, a_zero, b_zero, bias, scale, multiplier, shift, row_scale, bias_f;
    int32_t one_b_zero, one_multiplier, one_shift;
    float one_scale;
    struct qdot_op_desc desc;
    struct shape shape;
    size_t out_dims, out_shape[NPY_DIMS];
    void *out;
};

/* Sets the defaults, and from the command line the verb's struct of options, which begins with
 * *options, the operands' paths, and the descriptor's fields that need no file: the output's type
 * and range, the kernel. */
enum opt_result files_parse(struct files *f, const struct opt_page *page, int argc, char **argv,
                            struct file_options *options, const char *paths[2]);
/* An operand of int8 or uint8, not empty; f->a or f->b. 'layouts' is for the error line. */
int files_read_operand(const struct files *f, const char *name, const char *path, size_t least_dims,
                       size_t most_dims, const char *layouts, struct npy *array);
/* Zero points, bias and scales into the descriptor, for an output of [shape.m, shape.n]. */
int files_read_terms(struct files *f);
/* Computes f->desc, saves out_shape and prints its line. 'add' adds to the JSON; NULL: nothing. */
int files_compute(struct files *f, void (*add)(const struct files *f, struct cJSON *root));
void files_release(struct files *f);

#endif
