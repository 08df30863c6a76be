/* Ops on files: reads the operands and the values beside them, computes, saves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cjson/cJSON.h>
#include "files.h"
#include "progress.h"
#include "save.h"

static bool is_int8(const struct npy *array)
{
    return array->type == QDOT_S8 || array->type == QDOT_U8;
}

static bool in_range(enum qdot_type type, int64_t value)
{
    return type == QDOT_U8 ? value >= 0 && value <= 255 : value >= -128 && value <= 127;
}

static const char *range_text(enum qdot_type type)
{
    return type == QDOT_U8 ? "0 to 255" : "-128 to 127";
}

/* ---- the command line ------------------------------------------------------------------------ */

/* What belongs to which output, and its ranges. */
static int check_output(const struct file_options *o, const char *verb, struct qdot_op_desc *d)
{
    static const char *const names[] = {"s32", "f32", "s8", "u8"};
    static const enum qdot_type types[] = {QDOT_S32, QDOT_F32, QDOT_S8, QDOT_U8};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(o->out, names[i]) == 0)
            d->out_type = types[i];
    if (d->out_type == QDOT_TYPE_DEFAULT)
        return opt_error(verb, "--out '%s': expected s32, f32, s8 or u8", o->out);
    const bool narrow = d->out_type == QDOT_S8 || d->out_type == QDOT_U8;
    if (o->scale && d->out_type == QDOT_S32)
        return opt_error(verb, "--scale: expected none with --out s32");
    if ((o->row_scale || o->bias_f) && d->out_type != QDOT_F32)
        return opt_error(verb, "%s: expected none without --out f32",
                         o->row_scale ? "--row-scale" : "--bias-f");
    if ((o->out_zero || o->clamp || o->rounding) && !narrow)
        return opt_error(verb, "%s: expected none without --out s8 or u8",
                         o->clamp      ? "--clamp"
                         : o->rounding ? "--rounding"
                                       : "--out-zero");
    if (o->rounding && !rounding_parse(o->rounding, &d->rounding))
        return opt_error(verb, "--rounding '%s': expected " ROUNDING_NAMES, o->rounding);
    const bool q31 = rounding_is_q31(d->rounding);
    if (q31 && o->scale)
        return opt_error(verb, "--scale: expected none with --rounding %s: it has --multiplier",
                         o->rounding);
    if (q31 && (!o->multiplier || !o->shift))
        return opt_error(verb, "%s: expected with --rounding %s",
                         o->multiplier ? "--shift" : "--multiplier", o->rounding);
    if (!q31 && (o->multiplier || o->shift))
        return opt_error(verb, "%s: expected none without a q31 --rounding",
                         o->multiplier ? "--multiplier" : "--shift");
    if (narrow && !in_range(d->out_type, o->out_zero))
        return opt_error(verb, "--out-zero %d: expected %s", (int)o->out_zero,
                         range_text(d->out_type));
    d->out_zero = (int32_t)o->out_zero;
    if (o->clamp) {
        int64_t v[2];
        /* The library takes 0,0 as no clamp. */
        if (opt_numbers(o->clamp, -128, 255, v, 2) != 2 || v[0] > v[1] ||
            !in_range(d->out_type, v[0]) || !in_range(d->out_type, v[1]) ||
            (v[0] == 0 && v[1] == 0))
            return opt_error(verb, "--clamp '%s': expected LO,HI with LO <= HI within %s, not 0,0",
                             o->clamp, range_text(d->out_type));
        d->clamp_lo = (int32_t)v[0];
        d->clamp_hi = (int32_t)v[1];
    }
    return EXIT_OK;
}

enum opt_result files_parse(struct files *f, const struct opt_page *page, int argc, char **argv,
                            struct file_options *o, const char *paths[2])
{
    const struct file_names *names = f->names;
    size_t count = 0;
    o->out = "s32";
    o->device = "auto";
    f->options = o;
    const enum opt_result parsed = opt_parse(page, argc, argv, o, paths, 2, &count);
    if (parsed != OPT_RUN)
        return parsed;
    int status = EXIT_OK;
    if (count < 2)
        status = opt_error(names->verb, "%s: expected two files, %s.npy and %s.npy",
                           count == 0 ? "no file" : "one file", names->a, names->b);
    else if (!o->output)
        status =
            opt_error(names->verb, "-o: expected, with the name of the output, %s.npy", names->c);
    else if (o->json && strcmp(o->json, o->output) == 0)
        status = opt_error(names->verb, "--json '%s': expected another file than -o", o->json);
    else
        status = check_output(o, names->verb, &f->desc);
    f->desc.kernel = o->kernel;
    return status == EXIT_OK ? OPT_RUN : OPT_ERROR;
}

/* ---- operands and values --------------------------------------------------------------------- */

static int read_file(const char *verb, const char *name, const char *path, struct npy *array)
{
    char reason[NPY_TEXT];
    if (npy_read(path, array, reason))
        return EXIT_OK;
    return opt_error(verb, "%s '%s': %s", name, path, reason);
}

int files_read_operand(const struct files *f, const char *name, const char *path, size_t least_dims,
                       size_t most_dims, const char *layouts, struct npy *array)
{
    const char *verb = f->names->verb;
    char shape[NPY_SHAPE];
    int status = read_file(verb, name, path, array);
    if (status != EXIT_OK)
        return status;
    npy_shape_text(array, shape);
    if (!is_int8(array))
        return opt_error(verb, "%s '%s': dtype %s: expected int8 or uint8", name, path,
                         npy_type_name(array->type));
    if (array->dims < least_dims || array->dims > most_dims || array->count == 0)
        return opt_error(verb, "%s '%s': shape %s: expected %s, each at least 1", name, path, shape,
                         layouts);
    return EXIT_OK;
}

/* Do the values stand where they are taken from? With rows and columns, those of rows in the first
 * dimension and those of columns in the last of two; else in any one dimension. */
static bool in_line(const struct files *f, bool per_row, const struct npy *array)
{
    if (f->names->row)
        return array->dims < 2 || (array->dims == 2 && array->shape[per_row ? 1 : 0] == 1);
    size_t longer = 0;
    for (size_t i = 0; i < array->dims; i++)
        longer += array->shape[i] != 1;
    return longer <= 1;
}

/* One value a row or a column, or (where 'single') one for all. */
static int read_values(const struct files *f, const char *option, const char *path, bool per_row,
                       bool single, struct npy *array)
{
    const char *verb = f->names->verb;
    const char *one = per_row ? f->names->row : f->names->column;
    const size_t count = !per_row ? f->shape.n : one ? f->shape.m : 1;
    char shape[NPY_SHAPE];
    int status = read_file(verb, option, path, array);
    if (status != EXIT_OK)
        return status;
    npy_shape_text(array, shape);
    if (in_line(f, per_row, array) && (array->count == count || (single && array->count == 1)))
        return EXIT_OK;
    if (!one)
        return opt_error(verb, "%s '%s': shape %s: expected 1 value", option, path, shape);
    return opt_error(verb, "%s '%s': shape %s: expected %s%zu values, one a%s %s", option, path,
                     shape, single ? "1 or " : "", count, strchr("aeiou", one[0]) ? "n" : "", one);
}

static int read_floats(const struct files *f, const char *option, const char *path, bool per_row,
                       bool single, struct npy *array)
{
    const char *verb = f->names->verb;
    int status = read_values(f, option, path, per_row, single, array);
    if (status != EXIT_OK)
        return status;
    if (array->type != QDOT_F32)
        return opt_error(verb, "%s '%s': dtype %s: expected float32", option, path,
                         npy_type_name(array->type));
    const float *values = array->data;
    for (size_t i = 0; i < array->count; i++)
        if (!isfinite(values[i]))
            return opt_error(verb, "%s '%s': value %zu is %g: expected a finite one", option, path,
                             i, (double)values[i]);
    return EXIT_OK;
}

/* Zero points as int32, whatever the file's type. */
static int widen(const char *verb, struct npy *array)
{
    if (!is_int8(array))
        return EXIT_OK;
    int32_t *wide = malloc(array->count * sizeof(*wide));
    if (!wide)
        return opt_error(verb, "out of memory for %zu zero points", array->count);
    for (size_t i = 0; i < array->count; i++)
        wide[i] = array->type == QDOT_U8 ? ((const uint8_t *)array->data)[i]
                                         : ((const int8_t *)array->data)[i];
    free(array->data);
    array->data = wide;
    array->type = QDOT_S32;
    return EXIT_OK;
}

/* A zero point: a number into *one, or a file. What has the form of a number is one. */
static int read_zero(const struct files *f, const char *option, const char *text,
                     enum qdot_type type, bool per_row, int32_t *one, struct npy *array)
{
    const char *verb = f->names->verb;
    int64_t value;
    if (opt_integer(text, INT32_MIN, INT32_MAX, &value)) {
        *one = (int32_t)value;
        if (in_range(type, value))
            return EXIT_OK;
        return opt_error(verb, "%s %s: expected %s", option, text, range_text(type));
    }
    int status = read_values(f, option, text, per_row, true, array);
    if (status != EXIT_OK)
        return status;
    if (array->type != QDOT_S32 && !is_int8(array))
        return opt_error(verb, "%s '%s': dtype %s: expected int32, int8 or uint8", option, text,
                         npy_type_name(array->type));
    status = widen(verb, array);
    const int32_t *values = array->data;
    for (size_t i = 0; status == EXIT_OK && i < array->count; i++)
        if (!in_range(type, values[i]))
            status = opt_error(verb, "%s '%s': value %zu is %d: expected %s", option, text, i,
                               (int)values[i], range_text(type));
    return status;
}

static int read_scale(struct files *f, const char *text)
{
    double value;
    if (!opt_real(text, &value))
        return read_floats(f, "--scale", text, false, true, &f->scale);
    f->one_scale = (float)value;
    /* Conversion may round to 0 or to infinity what is neither. */
    if (!isfinite(f->one_scale) || (f->one_scale == 0.0f && value != 0))
        return opt_error(f->names->verb,
                         "--scale %s: expected 0 or a magnitude in [2^-126, 2^96), or a .npy",
                         text);
    return EXIT_OK;
}

/* A number, or int32 values one a column; the library looks at their range. */
static int read_integers(const struct files *f, const char *option, const char *text, int32_t *one,
                         struct npy *array)
{
    int64_t value;
    if (opt_integer(text, INT32_MIN, INT32_MAX, &value)) {
        *one = (int32_t)value;
        return EXIT_OK;
    }
    const int status = read_values(f, option, text, false, true, array);
    if (status == EXIT_OK && array->type != QDOT_S32)
        return opt_error(f->names->verb, "%s '%s': dtype %s: expected int32", option, text,
                         npy_type_name(array->type));
    return status;
}

/* Both with as many values: what is one for all stands there for each. */
static int read_multipliers(struct files *f)
{
    const struct file_options *o = f->options;
    struct qdot_op_desc *d = &f->desc;
    int status =
        read_integers(f, "--multiplier", o->multiplier, &f->one_multiplier, &f->multiplier);
    if (status == EXIT_OK)
        status = read_integers(f, "--shift", o->shift, &f->one_shift, &f->shift);
    if (status != EXIT_OK)
        return status;
    const size_t multipliers = f->multiplier.data ? f->multiplier.count : 1;
    const size_t shifts = f->shift.data ? f->shift.count : 1;
    if (multipliers != shifts)
        return opt_error(f->names->verb,
                         "--shift '%s': expected as many values as --multiplier has, "
                         "%zu, got %zu",
                         o->shift, multipliers, shifts);
    d->multiplier = f->multiplier.data ? f->multiplier.data : &f->one_multiplier;
    d->shift = f->shift.data ? f->shift.data : &f->one_shift;
    d->multiplier_count = multipliers;
    return EXIT_OK;
}

int files_read_terms(struct files *f)
{
    const struct file_options *o = f->options;
    struct qdot_op_desc *d = &f->desc;
    int status = EXIT_OK;
    if (o->a_zero)
        status = read_zero(f, "--a-zero", o->a_zero, f->a.type, true, &d->a_zero, &f->a_zero);
    if (status == EXIT_OK && o->b_zero)
        status = read_zero(f, "--b-zero", o->b_zero, f->b.type, false, &f->one_b_zero, &f->b_zero);
    if (status == EXIT_OK && o->bias)
        status = read_values(f, "--bias", o->bias, false, false, &f->bias);
    if (status == EXIT_OK && o->bias && f->bias.type != QDOT_S32)
        status = opt_error(f->names->verb, "--bias '%s': dtype %s: expected int32", o->bias,
                           npy_type_name(f->bias.type));
    if (status == EXIT_OK && o->scale)
        status = read_scale(f, o->scale);
    if (status == EXIT_OK && o->multiplier)
        status = read_multipliers(f);
    if (status == EXIT_OK && o->row_scale)
        status = read_floats(f, "--row-scale", o->row_scale, true, false, &f->row_scale);
    if (status == EXIT_OK && o->bias_f)
        status = read_floats(f, "--bias-f", o->bias_f, false, false, &f->bias_f);
    if (status != EXIT_OK)
        return status;

    if (f->a_zero.data && f->a_zero.count == 1)
        d->a_zero = *(const int32_t *)f->a_zero.data;
    else
        d->a_zero_per_row = f->a_zero.data != NULL;
    if (o->b_zero) {
        d->b_zero = f->b_zero.data ? f->b_zero.data : &f->one_b_zero;
        d->b_zero_count = f->b_zero.data ? f->b_zero.count : 1;
    }
    if (o->scale) {
        d->scale = f->scale.data ? f->scale.data : &f->one_scale;
        d->scale_count = f->scale.data ? f->scale.count : 1;
    }
    d->bias = f->bias.data;
    d->row_scale = f->row_scale.data != NULL;
    d->bias_f = f->bias_f.data;
    return EXIT_OK;
}

/* ---- the run --------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct times {
    double create, run;
};

static int compute(const struct files *f, struct qdot_device *device, struct qdot_op **op,
                   struct times *times)
{
    struct qdot_error error = {0};
    struct qdot_run run = {.a.host = f->a.data,
                           .out.host = f->out,
                           .a_zero.host = f->desc.a_zero_per_row ? f->a_zero.data : NULL,
                           .row_scale.host = f->row_scale.data};
    const double start = seconds();
    if (qdot_op_create(device, &f->desc, op, &error) != QDOT_OK)
        return opt_failed(f->names->verb, &error);
    const double middle = seconds();
    if (qdot_op_run(*op, &run, &error) != QDOT_OK)
        return opt_failed(f->names->verb, &error);
    times->create = middle - start;
    times->run = seconds() - middle;
    return EXIT_OK;
}

static cJSON *to_json(const struct files *f, struct qdot_op *op, const struct times *times,
                      void (*add)(const struct files *f, cJSON *root))
{
    const struct qdot_op_desc *d = &f->desc;
    struct qdot_device_info info = {0};
    char shape[SHAPE_TEXT], types[8];
    cJSON *root = cJSON_CreateObject();
    if (!root || qdot_device_info(qdot_op_device(op), &info, NULL) != QDOT_OK)
        return root;
    shape_text(&f->shape, shape, sizeof(shape));
    snprintf(types, sizeof(types), "%s%s", d->a_type == QDOT_U8 ? "u8" : "s8",
             d->b_type == QDOT_U8 ? "u8" : "s8");
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    cJSON_AddStringToObject(root, "device", info.name);
    cJSON_AddStringToObject(root, "description", info.description);
    cJSON_AddStringToObject(root, "driver", info.driver);
    cJSON_AddStringToObject(root, "kernel", qdot_op_row(op));
    cJSON_AddStringToObject(root, "shape", shape);
    if (add)
        add(f, root);
    cJSON_AddNumberToObject(root, "m", (double)f->shape.m);
    cJSON_AddNumberToObject(root, "n", (double)f->shape.n);
    cJSON_AddNumberToObject(root, "k", (double)f->shape.k);
    cJSON_AddStringToObject(root, "types", types);
    cJSON_AddStringToObject(root, "out",
                            d->out_type == QDOT_S32   ? "s32"
                            : d->out_type == QDOT_F32 ? "f32"
                            : d->out_type == QDOT_S8  ? "s8"
                                                      : "u8");
    cJSON_AddStringToObject(root, "rounding", rounding_text(d->rounding));
    cJSON_AddNumberToObject(root, "create_seconds", times->create);
    cJSON_AddNumberToObject(root, "seconds", times->run);
    return root;
}

/* Both files, or none. */
static int save_all(const struct files *f, struct qdot_op *op, const struct times *times,
                    size_t out_bytes, void (*add)(const struct files *f, cJSON *root))
{
    const char *verb = f->names->verb;
    const struct file_options *o = f->options;
    struct save c = {0}, json = {0};
    char header[NPY_HEADER];
    npy_header(f->desc.out_type, f->out_dims, f->out_shape, header);
    bool good = save_bytes(&c, verb, "-o", o->output, header, sizeof(header), f->out, out_bytes);
    if (good && o->json)
        good = save_json(&json, verb, "--json", o->json, to_json(f, op, times, add));
    good = good && save_commit(&c, verb, "-o");
    if (good && o->json)
        good = save_commit(&json, verb, "--json");
    save_discard(&c);
    save_discard(&json);
    return good ? EXIT_OK : EXIT_USAGE;
}

int files_compute(struct files *f, void (*add)(const struct files *f, cJSON *root))
{
    const char *verb = f->names->verb;
    struct qdot_device_desc device_desc = {.device = f->options->device,
                                           .thread_count = (size_t)f->options->threads,
                                           .tuning_file = f->options->tuning};
    struct qdot_device *device = NULL;
    struct qdot_op *op = NULL;
    struct qdot_error error = {0};
    struct times times = {0};
    size_t bytes;
    if (__builtin_mul_overflow(f->shape.m, f->shape.n, &bytes) ||
        __builtin_mul_overflow(bytes, npy_item_bytes(f->desc.out_type), &bytes))
        return opt_error(verb, "-o: an output of %zu x %zu values overflows", f->shape.m,
                         f->shape.n);
    f->out = malloc(bytes);
    if (!f->out)
        return opt_error(verb, "-o: out of memory for an output of %zu bytes", bytes);
    if (qdot_open(&device_desc, &device, &error) != QDOT_OK)
        return opt_failed(verb, &error);
    struct progress *progress = progress_start(verb, "computing");
    int status = compute(f, device, &op, &times);
    progress_stop(progress);
    if (status == EXIT_OK)
        status = save_all(f, op, &times, bytes, add);
    if (status == EXIT_OK) {
        struct qdot_device_info info = {0};
        char shape[SHAPE_TEXT];
        qdot_device_info(qdot_op_device(op), &info, NULL);
        shape_text(&f->shape, shape, sizeof(shape));
        printf("%s  %s  %s  %.6f s\n", info.name, qdot_op_row(op), shape, times.run);
    }
    qdot_op_destroy(op);
    qdot_close(device);
    return status;
}

void files_release(struct files *f)
{
    struct npy *arrays[] = {&f->a,     &f->b,          &f->a_zero, &f->b_zero,    &f->bias,
                            &f->scale, &f->multiplier, &f->shift,  &f->row_scale, &f->bias_f};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        npy_free(arrays[i]);
    free(f->out);
}
