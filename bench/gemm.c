/* qdot gemm: one product on real data, .npy in and out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cjson/cJSON.h>
#include "npy.h"
#include "options.h"
#include "progress.h"
#include "qdot.h"
#include "save.h"

struct options {
    const char *output, *device, *kernel, *a_zero, *b_zero, *bias, *out, *scale, *row_scale,
        *bias_f;
    const char *clamp, *rounding, *json;
    int64_t threads, out_zero;
    bool b_transposed;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"-o", "C.npy", OPT_TEXT, AT(output), 0, 0,
     "Where the product goes, [M,N], C order. Needed. Written aside and renamed, so\n"
     "that it is there whole or not at all."},
    {"--out", "TYPE", OPT_TEXT, AT(out), 0, 0,
     "The output: s32 (default), f32, s8 or u8.\n"
     "s32: acc. f32: (float)acc * scale[n] * row_scale[m] + bias_f[n].\n"
     "s8, u8: (float)acc * scale[n], rounded, + out_zero, clamped."},
    {"--a-zero", "Z", OPT_TEXT, AT(a_zero), 0, 0,
     "Zero point of A: a whole number in A's range (default 0), or a .npy of one or of\n"
     "M values (int32, int8 or uint8), one a row."},
    {"--b-zero", "Z", OPT_TEXT, AT(b_zero), 0, 0,
     "Zero point of B: a whole number in B's range (default 0), or a .npy of one or of\n"
     "N values (int32, int8 or uint8), one a column."},
    {"--bias", "BIAS.npy", OPT_TEXT, AT(bias), 0, 0,
     "N int32 values, one a column, added to acc. Default: none."},
    {"--scale", "S", OPT_TEXT, AT(scale), 0, 0,
     "f32, s8 and u8: a number, or a .npy of one or of N float32 values, one a column.\n"
     "Each 0 or of a magnitude in [2^-126, 2^96). Default: 1."},
    {"--row-scale", "F.npy", OPT_TEXT, AT(row_scale), 0, 0,
     "f32: M finite float32 values, one a row. Default: none."},
    {"--bias-f", "F.npy", OPT_TEXT, AT(bias_f), 0, 0,
     "f32: N finite float32 values, one a column. Default: none."},
    {"--out-zero", "Z", OPT_INT, AT(out_zero), -128, 255,
     "s8, u8: the output's zero point, -128 to 127 for s8, 0 to 255 for u8. Default: 0."},
    {"--clamp", "LO,HI", OPT_TEXT, AT(clamp), 0, 0,
     "s8, u8: bounds of the output, inside its range; not 0,0. Default: the range."},
    {"--rounding", "NAME", OPT_TEXT, AT(rounding), 0, 0,
     "s8, u8: rne (default), to nearest, ties to even, then the zero point."},
    {"--b-transposed", NULL, OPT_FLAG, AT(b_transposed), 0, 0, "B is [N,K] instead of [K,N]."},
    {"--device", "D", OPT_TEXT, AT(device), 0, 0,
     "cpu, opencl:N, vulkan:N, a backend's name (its first device), or auto (default):\n"
     "every device that opens, chosen by measured time."},
    {"--kernel", "ROW", OPT_TEXT, AT(kernel), 0, 0,
     "A row as 'qdot devices' prints it. It runs or it is an error; it is never replaced.\n"
     "Default: what the dispatcher chooses."},
    {"--threads", "N", OPT_INT, AT(threads), 1, 1024,
     "CPU threads, 1 to 1024. Default: one a processor. The result never depends on it."},
    {"--json", "FILE", OPT_TEXT, AT(json), 0, 0,
     "Write device, kernel, shape, types and times as JSON."},
    {0},
};
#undef AT

static const struct opt_page page = {
    "gemm",
    "one int8 matrix product on real data",
    "A.npy B.npy -o C.npy [options]",
    "Multiplies A [M,K] by B [K,N] (or [N,K] with --b-transposed), both int8 or uint8 in any\n"
    "combination:\n"
    "\n"
    "    acc[m][n] = sum over k of (A[m][k] - a_zero) * (B[k][n] - b_zero) + bias[n]\n"
    "\n"
    "modulo 2^32. Float steps are IEEE binary32, each rounded, in the order shown at --out.\n"
    "Every row of every device gives the same bits.\n"
    "\n"
    "Files are NumPy .npy, format 1.0 or 2.0, C or Fortran order, of int8, uint8, int32 or\n"
    "float32 (little-endian). Anything else is refused by name. Values one a row may have the\n"
    "shape [M] or [M,1], values one a column [N] or [1,N], single values [], [1] or [1,1].",
    options,
    "C.npy: int32, float32, int8 or uint8. On stdout one line: device, row, shape, time of the\n"
    "run. The time includes copies to and from the device, not packing B nor choosing a row.",
    NULL,
    "qdot gemm a.npy b.npy -o c.npy\n"
    "qdot gemm a.npy w.npy -o y.npy --b-transposed --a-zero 128 --bias bias.npy \\\n"
    "    --out u8 --scale scale.npy --out-zero 3 --clamp 3,255\n"
    "qdot gemm a.npy b.npy -o c.npy --device cpu --kernel cpu/gemm_6x16_avx2",
};

/* The files of one product. Of each .npy only data that the library may read is kept here. */
struct product {
    struct npy a, b, a_zero, b_zero, bias, scale, row_scale, bias_f;
    int32_t one_b_zero;
    float one_scale;
    size_t m, n, k;
    void *out;
};

static bool is_int8(const struct npy *array)
{
    return array->type == QDOT_S8 || array->type == QDOT_U8;
}

static int read_file(const char *option, const char *path, struct npy *array)
{
    char reason[NPY_TEXT];
    if (npy_read(path, array, reason))
        return EXIT_OK;
    return opt_error("gemm", "%s '%s': %s", option, path, reason);
}

static void shape_text(const struct npy *array, char text[64])
{
    if (array->dims == 0)
        snprintf(text, 64, "[]");
    else if (array->dims == 1)
        snprintf(text, 64, "[%zu]", array->shape[0]);
    else
        snprintf(text, 64, "[%zu,%zu]", array->shape[0], array->shape[1]);
}

static int read_matrix(const char *name, const char *path, const char *layout, struct npy *array)
{
    int status = read_file(name, path, array);
    if (status != EXIT_OK)
        return status;
    char shape[64];
    shape_text(array, shape);
    if (!is_int8(array))
        return opt_error("gemm", "%s '%s': dtype %s: expected int8 or uint8", name, path,
                         npy_type_name(array->type));
    if (array->dims != 2 || array->count == 0)
        return opt_error("gemm", "%s '%s': shape %s: expected %s, each at least 1", name, path,
                         shape, layout);
    return EXIT_OK;
}

/* One value a row or a column: 'count' of them, or (where 'single') one for all. 'column' is which
 * dimension of a 2-D array holds them. */
static int read_values(const char *option, const char *path, size_t count, bool per_row,
                       bool single, struct npy *array)
{
    int status = read_file(option, path, array);
    if (status != EXIT_OK)
        return status;
    char shape[64];
    shape_text(array, shape);
    const bool flat = array->dims < 2 || array->shape[per_row ? 1 : 0] == 1;
    if (flat && (array->count == count || (single && array->count == 1)))
        return EXIT_OK;
    return opt_error("gemm", "%s '%s': shape %s: expected %s%zu values, one a %s", option, path,
                     shape, single ? "1 or " : "", count, per_row ? "row" : "column");
}

static int read_floats(const char *option, const char *path, size_t count, bool per_row,
                       bool single, struct npy *array)
{
    int status = read_values(option, path, count, per_row, single, array);
    if (status != EXIT_OK)
        return status;
    if (array->type != QDOT_F32)
        return opt_error("gemm", "%s '%s': dtype %s: expected float32", option, path,
                         npy_type_name(array->type));
    const float *values = array->data;
    for (size_t i = 0; i < array->count; i++)
        if (!isfinite(values[i]))
            return opt_error("gemm", "%s '%s': value %zu is %g: expected a finite one", option,
                             path, i, (double)values[i]);
    return EXIT_OK;
}

static bool in_range(enum qdot_type type, int64_t value)
{
    return type == QDOT_U8 ? value >= 0 && value <= 255 : value >= -128 && value <= 127;
}

static const char *range_text(enum qdot_type type)
{
    return type == QDOT_U8 ? "0 to 255" : "-128 to 127";
}

/* Zero points as int32, whatever the file's type. */
static int widen(struct npy *array)
{
    if (!is_int8(array))
        return EXIT_OK;
    int32_t *wide = malloc(array->count * sizeof(*wide));
    if (!wide)
        return opt_error("gemm", "out of memory for %zu zero points", array->count);
    for (size_t i = 0; i < array->count; i++)
        wide[i] = array->type == QDOT_U8 ? ((const uint8_t *)array->data)[i]
                                         : ((const int8_t *)array->data)[i];
    free(array->data);
    array->data = wide;
    array->type = QDOT_S32;
    return EXIT_OK;
}

/* A zero point: a number into *one, or a file. What has the form of a number is one. */
static int read_zero(const char *option, const char *text, enum qdot_type type, size_t count,
                     bool per_row, int32_t *one, struct npy *array)
{
    int64_t value;
    if (opt_integer(text, INT32_MIN, INT32_MAX, &value)) {
        *one = (int32_t)value;
        if (in_range(type, value))
            return EXIT_OK;
        return opt_error("gemm", "%s %s: expected %s", option, text, range_text(type));
    }
    int status = read_values(option, text, count, per_row, true, array);
    if (status != EXIT_OK)
        return status;
    if (array->type == QDOT_F32)
        return opt_error("gemm", "%s '%s': dtype float32: expected int32, int8 or uint8", option,
                         text);
    status = widen(array);
    const int32_t *values = array->data;
    for (size_t i = 0; status == EXIT_OK && i < array->count; i++)
        if (!in_range(type, values[i]))
            status = opt_error("gemm", "%s '%s': value %zu is %d: expected %s", option, text, i,
                               (int)values[i], range_text(type));
    return status;
}

static int read_scale(const struct options *o, struct product *p)
{
    double value;
    if (!opt_real(o->scale, &value))
        return read_floats("--scale", o->scale, p->n, false, true, &p->scale);
    p->one_scale = (float)value;
    /* Conversion may round to 0 or to infinity what is neither. */
    if (!isfinite(p->one_scale) || (p->one_scale == 0.0f && value != 0))
        return opt_error(
            "gemm", "--scale %s: expected 0 or a magnitude in [2^-126, 2^96), or a .npy", o->scale);
    return EXIT_OK;
}

static int read_matrices(const struct options *o, const char *a_path, const char *b_path,
                         struct product *p)
{
    int status = read_matrix("A", a_path, "[M,K]", &p->a);
    if (status == EXIT_OK)
        status = read_matrix("B", b_path, o->b_transposed ? "[N,K]" : "[K,N]", &p->b);
    if (status != EXIT_OK)
        return status;
    p->m = p->a.shape[0];
    p->k = p->a.shape[1];
    p->n = p->b.shape[o->b_transposed ? 0 : 1];
    const size_t b_k = p->b.shape[o->b_transposed ? 1 : 0];
    if (b_k != p->k)
        return opt_error(
            "gemm", "B '%s': shape [%zu,%zu]: expected %s with K = %zu, as A has%s", b_path,
            p->b.shape[0], p->b.shape[1], o->b_transposed ? "[N,K]" : "[K,N]", p->k,
            p->b.shape[o->b_transposed ? 0 : 1] == p->k
                ? (o->b_transposed ? " (without --b-transposed?)" : " (--b-transposed?)")
                : "");
    return EXIT_OK;
}

static int read_terms(const struct options *o, struct product *p, struct qdot_op_desc *d)
{
    int status = EXIT_OK;
    if (o->a_zero)
        status = read_zero("--a-zero", o->a_zero, p->a.type, p->m, true, &d->a_zero, &p->a_zero);
    if (status == EXIT_OK && o->b_zero)
        status =
            read_zero("--b-zero", o->b_zero, p->b.type, p->n, false, &p->one_b_zero, &p->b_zero);
    if (status == EXIT_OK && o->bias)
        status = read_values("--bias", o->bias, p->n, false, false, &p->bias);
    if (status == EXIT_OK && o->bias && p->bias.type != QDOT_S32)
        status = opt_error("gemm", "--bias '%s': dtype %s: expected int32", o->bias,
                           npy_type_name(p->bias.type));
    if (status == EXIT_OK && o->scale)
        status = read_scale(o, p);
    if (status == EXIT_OK && o->row_scale)
        status = read_floats("--row-scale", o->row_scale, p->m, true, false, &p->row_scale);
    if (status == EXIT_OK && o->bias_f)
        status = read_floats("--bias-f", o->bias_f, p->n, false, false, &p->bias_f);
    if (status != EXIT_OK)
        return status;

    if (p->a_zero.data && p->a_zero.count == 1)
        d->a_zero = *(const int32_t *)p->a_zero.data;
    else
        d->a_zero_per_row = p->a_zero.data != NULL;
    if (o->b_zero) {
        d->b_zero = p->b_zero.data ? p->b_zero.data : &p->one_b_zero;
        d->b_zero_count = p->b_zero.data ? p->b_zero.count : 1;
    }
    if (o->scale) {
        d->scale = p->scale.data ? p->scale.data : &p->one_scale;
        d->scale_count = p->scale.data ? p->scale.count : 1;
    }
    d->bias = p->bias.data;
    d->row_scale = p->row_scale.data != NULL;
    d->bias_f = p->bias_f.data;
    return EXIT_OK;
}

/* What belongs to which output, and its ranges; needs no file. */
static int check_output(const struct options *o, struct qdot_op_desc *d)
{
    static const char *const names[] = {"s32", "f32", "s8", "u8"};
    static const enum qdot_type types[] = {QDOT_S32, QDOT_F32, QDOT_S8, QDOT_U8};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(o->out, names[i]) == 0)
            d->out_type = types[i];
    if (d->out_type == QDOT_TYPE_DEFAULT)
        return opt_error("gemm", "--out '%s': expected s32, f32, s8 or u8", o->out);
    const bool narrow = d->out_type == QDOT_S8 || d->out_type == QDOT_U8;
    if (o->scale && d->out_type == QDOT_S32)
        return opt_error("gemm", "--scale: expected none with --out s32");
    if ((o->row_scale || o->bias_f) && d->out_type != QDOT_F32)
        return opt_error("gemm", "%s: expected none without --out f32",
                         o->row_scale ? "--row-scale" : "--bias-f");
    if ((o->out_zero || o->clamp || o->rounding) && !narrow)
        return opt_error("gemm", "%s: expected none without --out s8 or u8",
                         o->clamp      ? "--clamp"
                         : o->rounding ? "--rounding"
                                       : "--out-zero");
    if (o->rounding && strcmp(o->rounding, "rne") != 0)
        return opt_error("gemm", "--rounding '%s': expected rne", o->rounding);
    if (narrow && !in_range(d->out_type, o->out_zero))
        return opt_error("gemm", "--out-zero %d: expected %s", (int)o->out_zero,
                         range_text(d->out_type));
    d->out_zero = (int32_t)o->out_zero;
    if (o->clamp) {
        char lo[16];
        const size_t length = strcspn(o->clamp, ",");
        int64_t low, high;
        snprintf(lo, sizeof(lo), "%.*s", (int)(length < 15 ? length : 15), o->clamp);
        /* The library takes 0,0 as no clamp. */
        if (length > 15 || !o->clamp[length] || !opt_integer(lo, -128, 255, &low) ||
            !opt_integer(o->clamp + length + 1, -128, 255, &high) || low > high ||
            !in_range(d->out_type, low) || !in_range(d->out_type, high) || (low == 0 && high == 0))
            return opt_error("gemm",
                             "--clamp '%s': expected LO,HI with LO <= HI within %s, not 0,0",
                             o->clamp, range_text(d->out_type));
        d->clamp_lo = (int32_t)low;
        d->clamp_hi = (int32_t)high;
    }
    return EXIT_OK;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct times {
    double create, run;
};

static int compute(struct qdot_device *device, const struct qdot_op_desc *desc, struct product *p,
                   struct qdot_op **op, struct times *times)
{
    struct qdot_error error = {0};
    struct qdot_run run = {.a.host = p->a.data,
                           .out.host = p->out,
                           .a_zero.host = desc->a_zero_per_row ? p->a_zero.data : NULL,
                           .row_scale.host = p->row_scale.data};
    const double start = seconds();
    if (qdot_op_create(device, desc, op, &error) != QDOT_OK)
        return opt_failed("gemm", &error);
    const double middle = seconds();
    if (qdot_op_run(*op, &run, &error) != QDOT_OK)
        return opt_failed("gemm", &error);
    times->create = middle - start;
    times->run = seconds() - middle;
    return EXIT_OK;
}

static cJSON *to_json(const struct qdot_op_desc *d, struct qdot_op *op, const struct times *times)
{
    struct qdot_device_info info = {0};
    char shape[80], types[8];
    cJSON *root = cJSON_CreateObject();
    if (!root || qdot_device_info(qdot_op_device(op), &info, NULL) != QDOT_OK)
        return root;
    snprintf(shape, sizeof(shape), "%zux%zux%zu", d->m, d->n, d->k);
    snprintf(types, sizeof(types), "%s%s", d->a_type == QDOT_U8 ? "u8" : "s8",
             d->b_type == QDOT_U8 ? "u8" : "s8");
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    cJSON_AddStringToObject(root, "device", info.name);
    cJSON_AddStringToObject(root, "description", info.description);
    cJSON_AddStringToObject(root, "driver", info.driver);
    cJSON_AddStringToObject(root, "kernel", qdot_op_row(op));
    cJSON_AddStringToObject(root, "shape", shape);
    cJSON_AddNumberToObject(root, "m", (double)d->m);
    cJSON_AddNumberToObject(root, "n", (double)d->n);
    cJSON_AddNumberToObject(root, "k", (double)d->k);
    cJSON_AddStringToObject(root, "types", types);
    cJSON_AddStringToObject(root, "out",
                            d->out_type == QDOT_S32   ? "s32"
                            : d->out_type == QDOT_F32 ? "f32"
                            : d->out_type == QDOT_S8  ? "s8"
                                                      : "u8");
    cJSON_AddNumberToObject(root, "create_seconds", times->create);
    cJSON_AddNumberToObject(root, "seconds", times->run);
    return root;
}

static int save_all(const struct options *o, const struct qdot_op_desc *d, struct qdot_op *op,
                    const struct times *times, const struct product *p)
{
    struct save c = {0}, json = {0};
    char header[NPY_HEADER];
    npy_header(d->out_type, p->m, p->n, header);
    bool good = save_bytes(&c, "gemm", "-o", o->output, header, sizeof(header), p->out,
                           p->m * p->n * npy_item_bytes(d->out_type));
    if (good && o->json)
        good = save_json(&json, "gemm", "--json", o->json, to_json(d, op, times));
    good = good && save_commit(&c, "gemm", "-o");
    if (good && o->json)
        good = save_commit(&json, "gemm", "--json");
    save_discard(&c);
    save_discard(&json);
    return good ? EXIT_OK : EXIT_USAGE;
}

static int multiply(const struct options *o, struct qdot_op_desc *d, struct product *p)
{
    struct qdot_device_desc device_desc = {.device = o->device, .thread_count = (size_t)o->threads};
    struct qdot_device *device = NULL;
    struct qdot_op *op = NULL;
    struct qdot_error error = {0};
    struct times times = {0};
    size_t bytes;
    if (__builtin_mul_overflow(p->m, p->n, &bytes) ||
        __builtin_mul_overflow(bytes, npy_item_bytes(d->out_type), &bytes))
        return opt_error("gemm", "-o: an output of %zu x %zu values overflows", p->m, p->n);
    p->out = malloc(bytes);
    if (!p->out)
        return opt_error("gemm", "-o: out of memory for an output of %zu bytes", bytes);
    if (qdot_open(&device_desc, &device, &error) != QDOT_OK)
        return opt_failed("gemm", &error);
    struct progress *progress = progress_start("gemm", "computing");
    int status = compute(device, d, p, &op, &times);
    progress_stop(progress);
    if (status == EXIT_OK)
        status = save_all(o, d, op, &times, p);
    if (status == EXIT_OK) {
        struct qdot_device_info info = {0};
        qdot_device_info(qdot_op_device(op), &info, NULL);
        printf("%s  %s  %zux%zux%zu  %.6f s\n", info.name, qdot_op_row(op), p->m, p->n, p->k,
               times.run);
    }
    qdot_op_destroy(op);
    qdot_close(device);
    return status;
}

static void release(struct product *p)
{
    struct npy *arrays[] = {&p->a,    &p->b,     &p->a_zero,    &p->b_zero,
                            &p->bias, &p->scale, &p->row_scale, &p->bias_f};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        npy_free(arrays[i]);
    free(p->out);
}

int gemm_main(int argc, char **argv)
{
    struct options o = {.out = "s32", .device = "auto"};
    const char *files[2];
    size_t count = 0;
    enum opt_result parsed = opt_parse(&page, argc, argv, &o, files, 2, &count);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    if (count < 2)
        return opt_error("gemm", "%s: expected two files, A.npy and B.npy",
                         count == 0 ? "no file" : "one file");
    if (!o.output)
        return opt_error("gemm", "-o: expected, with the name of the output, C.npy");
    if (o.json && strcmp(o.json, o.output) == 0)
        return opt_error("gemm", "--json '%s': expected another file than -o", o.json);
    struct product p = {0};
    struct qdot_op_desc d = {.kernel = o.kernel, .b_transposed = o.b_transposed};
    int status = check_output(&o, &d);
    if (status == EXIT_OK)
        status = read_matrices(&o, files[0], files[1], &p);
    if (status == EXIT_OK)
        status = read_terms(&o, &p, &d);
    if (status == EXIT_OK) {
        d.m = p.m;
        d.n = p.n;
        d.k = p.k;
        d.a_type = p.a.type;
        d.b_type = p.b.type;
        d.b = p.b.data;
        status = multiply(&o, &d, &p);
    }
    release(&p);
    return status;
}
