/* qdot quantize and qdot dequantize: one array, .npy in and out. */
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
    const char *output, *scale, *zero, *type, *range, *gradient, *scale_out, *zero_out;
    const char *device, *kernel, *tuning, *json;
    int64_t axis, group, threads;
    bool reciprocal, dynamic, fake;
};

#define OPTION(field) offsetof(struct options, field)
enum { NO_AXIS = 99 };

/* clang-format off */ /* it would give each value a line */
#define SHARED_OPTIONS                                                                            \
    {"--axis", "A", OPT_INT, OPTION(axis), -4, 3,                                                 \
     "One scale and zero for each index of this axis, negative ones counted from the last.\n"    \
     "Default: one for all."},                                                                    \
    {"--group", "G", OPT_INT, OPTION(group), 1, INT32_MAX,                                        \
     "With --axis: one for each G neighbours along it, and each index of the other axes; the\n"   \
     "scales have the array's shape, with ceil(size / G) along that axis."},                      \
    {"--device", "D", OPT_TEXT, OPTION(device), 0, 0,                                             \
     "cpu, opencl:N, vulkan:N, a backend's name (its first device), or auto (default):\n"         \
     "every device that opens, chosen by measured time."},                                        \
    {"--kernel", "ROW", OPT_TEXT, OPTION(kernel), 0, 0,                                           \
     "A row as 'qdot devices' prints it. It runs or it is an error; it is never replaced.\n"      \
     "Default: what the dispatcher chooses."},                                                    \
    {"--tuning", "FILE", OPT_TEXT, OPTION(tuning), 0, 0,                                          \
     "Times and overrides for that choice, as 'qdot tune' writes them."},                         \
    {"--threads", "N", OPT_INT, OPTION(threads), 1, 1024,                                         \
     "CPU threads, 1 to 1024. Default: one a processor. The result never depends on it."},        \
    {"--json", "FILE", OPT_TEXT, OPTION(json), 0, 0,                                              \
     "Write device, kernel, shape, type and times as JSON."},                                     \
    {0}
/* clang-format on */

static const struct opt quantize_options[] = {
    {"-o", "Q.npy", OPT_TEXT, OPTION(output), 0, 0,
     "Where the result goes, in X's shape. Needed. Written aside and renamed, so that it is\n"
     "there whole or not at all."},
    {"--type", "T", OPT_TEXT, OPTION(type), 0, 0,
     "u8 (default), s8, u16, s16, u4 or s4. Of the last two a value is a byte of Q.npy, as\n"
     "NumPy has no smaller one."},
    {"--scale", "S", OPT_TEXT, OPTION(scale), 0, 0,
     "A number, or a .npy of float32: one value, or as --axis and --group say. Each positive,\n"
     "from 2^-126 on. Default: 1."},
    {"--zero", "Z", OPT_TEXT, OPTION(zero), 0, 0,
     "Zero point: a whole number in the type's range, or a .npy of integers likewise. Default:\n"
     "0."},
    {"--range", "LO,HI", OPT_TEXT, OPTION(range), 0, 0,
     "Bounds of the quantised values, inside the type's; not 0,0. Default: the type's.\n"
     "-127,127 is what TensorFlow Lite's weights have."},
    {"--reciprocal", NULL, OPT_FLAG, OPTION(reciprocal), 0, 0,
     "Multiply by 1 / scale, rounded to float32, instead of dividing: oneDNN, PyTorch."},
    {"--dynamic", NULL, OPT_FLAG, OPTION(dynamic), 0, 0,
     "u8 with scales and zeros of the range of X (ONNX DynamicQuantizeLinear), or with\n"
     "--axis 0 of the range of each of its rows."},
    {"--scale-out", "S.npy", OPT_TEXT, OPTION(scale_out), 0, 0,
     "--dynamic: where the scales go, float32, [1] or [rows]. Needed with it."},
    {"--zero-out", "Z.npy", OPT_TEXT, OPTION(zero_out), 0, 0,
     "--dynamic: where the zeros go, uint8, likewise. Needed with it."},
    {"--fake", NULL, OPT_FLAG, OPTION(fake), 0, 0,
     "Q.npy is float32: what dequantize makes of the quantised values."},
    {"--gradient", "DY.npy", OPT_TEXT, OPTION(gradient), 0, 0,
     "Q.npy is float32: DY, of X's shape, where X is inside the range, else 0 (the\n"
     "straight-through gradient of --fake)."},
    SHARED_OPTIONS,
};

static const struct opt_page quantize_page = {
    "quantize",
    "real numbers to integers of 16, 8 or 4 bits",
    "X.npy -o Q.npy [options]",
    "    q = clamp(round(x / scale) + zero)\n"
    "\n"
    "of float32 numbers, 1 to 4 dimensions: a true division, rounded to float32, then to the\n"
    "nearest integer, ties to even. A NaN becomes the least value. Every row of every device\n"
    "gives the same bits.",
    quantize_options,
    "Q.npy: uint8, int8, uint16 or int16; float32 with --fake and --gradient. On stdout one\n"
    "line: device, row, shape, time of the run.",
    NULL,
    "qdot quantize x.npy -o q.npy --scale 0.05 --zero 128\n"
    "qdot quantize w.npy -o q.npy --type s8 --scale s.npy --axis 0 --range -127,127\n"
    "qdot quantize x.npy -o q.npy --dynamic --axis 0 --scale-out s.npy --zero-out z.npy",
};

static const struct opt dequantize_options[] = {
    {"-o", "X.npy", OPT_TEXT, OPTION(output), 0, 0,
     "Where the result goes, float32, in Q's shape. Needed. Written aside and renamed, so\n"
     "that it is there whole or not at all."},
    {"--type", "T", OPT_TEXT, OPTION(type), 0, 0,
     "What Q's values are: u4 of uint8, s4 of int8. Default: as Q's dtype, uint8, int8,\n"
     "uint16, int16 or int32."},
    {"--scale", "S", OPT_TEXT, OPTION(scale), 0, 0,
     "A number, or a .npy of float32: one value, or as --axis and --group say. Default: 1."},
    {"--zero", "Z", OPT_TEXT, OPTION(zero), 0, 0,
     "Zero point: a whole number in the type's range, or a .npy of integers likewise; of an\n"
     "int32 Q none. Default: 0."},
    SHARED_OPTIONS,
};

static const struct opt_page dequantize_page = {
    "dequantize",
    "integers to the real numbers that they stand for",
    "Q.npy -o X.npy [options]",
    "    x = (float)(q - zero) * scale\n"
    "\n"
    "each step rounded to float32. Every row of every device gives the same bits.",
    dequantize_options,
    "X.npy: float32. On stdout one line: device, row, shape, time of the run.",
    NULL,
    "qdot dequantize q.npy -o x.npy --scale 0.05 --zero 128\n"
    "qdot dequantize q.npy -o x.npy --type s4 --scale s.npy --axis 1 --group 32",
};

/* ---- types ----------------------------------------------------------------------------------- */

static const struct type {
    enum qdot_type type, file; /* file: of the .npy */
    const char *name;
    int32_t lo, hi;
} types[] = {
    {QDOT_U8, QDOT_U8, "u8", 0, 255},
    {QDOT_S8, QDOT_S8, "s8", -128, 127},
    {QDOT_U16, QDOT_U16, "u16", 0, 65535},
    {QDOT_S16, QDOT_S16, "s16", -32768, 32767},
    {QDOT_U4, QDOT_U8, "u4", 0, 15},
    {QDOT_S4, QDOT_S8, "s4", -8, 7},
    {QDOT_S32, QDOT_S32, "s32", INT32_MIN, INT32_MAX},
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

static bool four_bits(const struct type *type)
{
    return type->type == QDOT_U4 || type->type == QDOT_S4;
}

static int32_t integer_at(const struct npy *array, size_t i)
{
    switch (array->type) {
    case QDOT_U8:
        return ((const uint8_t *)array->data)[i];
    case QDOT_S8:
        return ((const int8_t *)array->data)[i];
    case QDOT_U16:
        return ((const uint16_t *)array->data)[i];
    case QDOT_S16:
        return ((const int16_t *)array->data)[i];
    default:
        return ((const int32_t *)array->data)[i];
    }
}

/* Bytes that hold a value each, to two in a byte, and back, in place. */
static void pack(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t value = bytes[i] & 15;
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] | value << 4 : value);
    }
}

static void unpack(uint8_t *bytes, size_t count, bool is_signed)
{
    for (size_t i = count; i-- > 0;) {
        const uint8_t value = bytes[i / 2] >> (i % 2 ? 4 : 0) & 15;
        bytes[i] = (uint8_t)(is_signed && value > 7 ? value | 0xf0 : value);
    }
}

/* ---- the operands ---------------------------------------------------------------------------- */

struct work {
    const char *verb;
    const struct options *o;
    enum qdot_op_kind kind;
    const struct type *type;
    struct npy x, dy;
    struct qdot_op_desc desc;
    size_t parameters;
    float *scale; /* of the descriptor, or found */
    int32_t *zero;
    uint8_t *zero_bytes; /* found, as they are saved */
    void *out;
    enum qdot_type out_file;
    double create_seconds, seconds;
};

static int read_file(const struct work *w, const char *name, const char *path, struct npy *array)
{
    char reason[NPY_TEXT];
    if (npy_read(path, array, reason))
        return EXIT_OK;
    return opt_error(w->verb, "%s '%s': %s", name, path, reason);
}

static int choose_type(struct work *w, const char *path)
{
    const char *name = w->o->type;
    const bool back = w->kind == QDOT_DEQUANTIZE;
    for (size_t i = 0; i < TYPES; i++)
        if (name ? strcmp(types[i].name, name) == 0
                 : types[i].file == (back ? w->x.type : QDOT_U8)) {
            w->type = &types[i];
            break;
        }
    if (name && (!w->type || (w->type->type == QDOT_S32 && !back)))
        return opt_error(w->verb, "--type '%s': expected u8, s8, u16, s16, u4%s s4%s", name,
                         back ? "," : " or", back ? " or s32" : "");
    if (w->kind == QDOT_DYNAMIC_QUANTIZE && w->type->type != QDOT_U8)
        return opt_error(w->verb, "--type %s: expected u8 with --dynamic", name);
    if (back && (!w->type || w->x.type != w->type->file))
        return opt_error(w->verb, "Q '%s': dtype %s: expected %s", path, npy_type_name(w->x.type),
                         w->type ? npy_type_name(w->type->file)
                                 : "int8, uint8, int16, uint16 or int32");
    if (!back && w->x.type != QDOT_F32)
        return opt_error(w->verb, "X '%s': dtype %s: expected float32", path,
                         npy_type_name(w->x.type));
    for (size_t i = 0; i < w->x.count && back && four_bits(w->type); i++) {
        const int32_t value = integer_at(&w->x, i);
        if (value < w->type->lo || value > w->type->hi)
            return opt_error(w->verb, "Q '%s': value %zu is %d: expected %d to %d with --type %s",
                             path, i, (int)value, (int)w->type->lo, (int)w->type->hi, name);
    }
    return EXIT_OK;
}

/* The axis and its neighbours, and how many scales there are. */
static int choose_axis(struct work *w)
{
    struct qdot_quantize *q = &w->desc.quantize;
    const struct npy *x = &w->x;
    const int64_t dims = (int64_t)x->dims;
    const int64_t axis = w->o->axis < 0 ? w->o->axis + dims : w->o->axis;
    w->parameters = 1;
    q->inner = x->count;
    if (w->o->axis == NO_AXIS)
        return w->o->group ? opt_error(w->verb, "--group: expected none without --axis") : EXIT_OK;
    if (axis < 0 || axis >= dims)
        return opt_error(w->verb, "--axis %d: expected -%zu to %zu", (int)w->o->axis, x->dims,
                         x->dims - 1);
    q->outer = q->inner = 1;
    q->axis = x->shape[axis];
    for (size_t i = 0; i < x->dims; i++) {
        q->outer *= i < (size_t)axis ? x->shape[i] : 1;
        q->inner *= i > (size_t)axis ? x->shape[i] : 1;
    }
    w->parameters = q->axis;
    if (w->o->group) {
        q->group = (size_t)w->o->group;
        if (q->group > q->axis)
            return opt_error(w->verb, "--group %zu: expected at most %zu, the size of the axis",
                             q->group, q->axis);
        w->parameters = q->outer * ((q->axis - 1) / q->group + 1) * q->inner;
    }
    if (w->kind == QDOT_DYNAMIC_QUANTIZE && (q->outer > 1 || q->group))
        return opt_error(w->verb, "%s: expected %s with --dynamic", q->group ? "--group" : "--axis",
                         q->group ? "none" : "that of the rows, 0");
    return EXIT_OK;
}

static int check_count(const struct work *w, const char *option, const char *path,
                       const struct npy *array)
{
    char shape[NPY_SHAPE];
    npy_shape_text(array, shape);
    if (array->count == 1 || array->count == w->parameters)
        return EXIT_OK;
    return opt_error(w->verb, "%s '%s': shape %s: expected %s%zu value%s", option, path, shape,
                     w->parameters > 1 ? "1 or " : "", w->parameters, w->parameters > 1 ? "s" : "");
}

static int read_scale(struct work *w)
{
    struct npy array = {0};
    double value = 1;
    const char *text = w->o->scale;
    int status = EXIT_OK;
    if (!opt_real(text, &value)) {
        status = read_file(w, "--scale", text, &array);
        if (status == EXIT_OK && array.type != QDOT_F32)
            status = opt_error(w->verb, "--scale '%s': dtype %s: expected float32", text,
                               npy_type_name(array.type));
        if (status == EXIT_OK)
            status = check_count(w, "--scale", text, &array);
    }
    for (size_t i = 0; i < w->parameters && status == EXIT_OK; i++) {
        const float one =
            array.data ? ((const float *)array.data)[array.count == 1 ? 0 : i] : (float)value;
        w->scale[i] = one;
        if (!(one >= 0x1p-126f) || !isfinite(one))
            status = opt_error(w->verb,
                               "--scale '%s': value %zu is %g: expected a number from "
                               "2^-126 on",
                               text, i, (double)one);
    }
    npy_free(&array);
    return status;
}

static int read_zero(struct work *w)
{
    struct npy array = {0};
    int64_t value = 0;
    const char *text = w->o->zero;
    int status = EXIT_OK;
    if (w->type->type == QDOT_S32)
        return opt_error(w->verb, "--zero: expected none with an int32 Q");
    if (!opt_integer(text, INT32_MIN, INT32_MAX, &value)) {
        status = read_file(w, "--zero", text, &array);
        if (status == EXIT_OK && array.type == QDOT_F32)
            status = opt_error(w->verb, "--zero '%s': dtype float32: expected integers", text);
        if (status == EXIT_OK)
            status = check_count(w, "--zero", text, &array);
    }
    for (size_t i = 0; i < w->parameters && status == EXIT_OK; i++) {
        w->zero[i] = array.data ? integer_at(&array, array.count == 1 ? 0 : i) : (int32_t)value;
        if (w->zero[i] < w->type->lo || w->zero[i] > w->type->hi)
            status = opt_error(w->verb, "--zero '%s': value %zu is %d: expected %d to %d", text, i,
                               (int)w->zero[i], (int)w->type->lo, (int)w->type->hi);
    }
    npy_free(&array);
    return status;
}

static int read_range(struct work *w)
{
    int64_t v[2];
    if (opt_numbers(w->o->range, w->type->lo, w->type->hi, v, 2) != 2 || v[0] > v[1] ||
        (v[0] == 0 && v[1] == 0)) /* the library takes 0,0 as no range */
        return opt_error(w->verb,
                         "--range '%s': expected LO,HI with LO <= HI within %d to %d, not "
                         "0,0",
                         w->o->range, (int)w->type->lo, (int)w->type->hi);
    w->desc.clamp_lo = (int32_t)v[0];
    w->desc.clamp_hi = (int32_t)v[1];
    return EXIT_OK;
}

static int read_gradient(struct work *w)
{
    const char *path = w->o->gradient;
    int status = read_file(w, "--gradient", path, &w->dy);
    if (status != EXIT_OK)
        return status;
    if (w->dy.type != QDOT_F32)
        return opt_error(w->verb, "--gradient '%s': dtype %s: expected float32", path,
                         npy_type_name(w->dy.type));
    if (w->dy.dims != w->x.dims || memcmp(w->dy.shape, w->x.shape, sizeof(w->x.shape)) != 0) {
        char shape[NPY_SHAPE], expected[NPY_SHAPE];
        npy_shape_text(&w->dy, shape);
        npy_shape_text(&w->x, expected);
        return opt_error(w->verb, "--gradient '%s': shape %s: expected %s as X", path, shape,
                         expected);
    }
    return EXIT_OK;
}

static int read_all(struct work *w, const char *path)
{
    const struct options *o = w->o;
    const bool dynamic = w->kind == QDOT_DYNAMIC_QUANTIZE, back = w->kind == QDOT_DEQUANTIZE;
    const char *name = back ? "Q" : "X";
    struct qdot_quantize *q = &w->desc.quantize;
    int status = read_file(w, name, path, &w->x);
    if (status == EXIT_OK && (w->x.dims == 0 || w->x.count == 0))
        status =
            opt_error(w->verb, "%s '%s': expected 1 to 4 dimensions, each at least 1", name, path);
    if (status == EXIT_OK)
        status = choose_type(w, path);
    if (status == EXIT_OK)
        status = choose_axis(w);
    if (status != EXIT_OK)
        return status;
    w->scale = malloc(w->parameters * sizeof(*w->scale));
    w->zero = malloc(w->parameters * sizeof(*w->zero));
    w->zero_bytes = malloc(w->parameters);
    if (!w->scale || !w->zero || !w->zero_bytes)
        return opt_error(w->verb, "out of memory for %zu scales", w->parameters);
    for (size_t i = 0; i < w->parameters; i++)
        w->scale[i] = 1;
    if (o->scale)
        status = read_scale(w);
    if (status == EXIT_OK && o->zero)
        status = read_zero(w);
    if (status == EXIT_OK && o->range)
        status = read_range(w);
    if (status == EXIT_OK && o->gradient)
        status = read_gradient(w);
    q->type = w->type->type;
    q->scale_count = w->parameters;
    q->scale = dynamic ? NULL : w->scale;
    q->zero = o->zero ? w->zero : NULL;
    q->zero_count = o->zero ? w->parameters : 0;
    q->reciprocal = o->reciprocal;
    return status;
}

/* ---- the run --------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compute(struct work *w, struct qdot_device *device, struct qdot_op **op)
{
    struct qdot_error error = {0};
    struct qdot_run run = {.a.host = w->x.data, .out.host = w->out, .b.host = w->dy.data};
    const size_t count = w->x.count;
    if (w->kind == QDOT_DYNAMIC_QUANTIZE) {
        run.scale_out.host = w->scale;
        run.zero_out.host = w->zero;
    }
    if (w->kind == QDOT_DEQUANTIZE && four_bits(w->type))
        pack(w->x.data, count);
    const double start = now();
    if (qdot_op_create(device, &w->desc, op, &error) != QDOT_OK)
        return opt_failed(w->verb, &error);
    const double middle = now();
    if (qdot_op_run(*op, &run, &error) != QDOT_OK)
        return opt_failed(w->verb, &error);
    w->create_seconds = middle - start;
    w->seconds = now() - middle;
    if (w->kind == QDOT_QUANTIZE && four_bits(w->type))
        unpack(w->out, count, w->type->type == QDOT_S4);
    for (size_t i = 0; i < w->parameters; i++)
        w->zero_bytes[i] = (uint8_t)w->zero[i];
    return EXIT_OK;
}

static void shape_of(const struct npy *x, char text[NPY_SHAPE])
{
    size_t length = 0;
    for (size_t i = 0; i < x->dims && length < NPY_SHAPE; i++)
        length +=
            (size_t)snprintf(text + length, NPY_SHAPE - length, "%s%zu", i ? "x" : "", x->shape[i]);
}

static cJSON *to_json(const struct work *w, const struct qdot_op *op)
{
    static const char *const names[] = {[QDOT_QUANTIZE] = "quantize",
                                        [QDOT_DEQUANTIZE] = "dequantize",
                                        [QDOT_DYNAMIC_QUANTIZE] = "dynamic_quantize",
                                        [QDOT_FAKE_QUANTIZE] = "fake_quantize",
                                        [QDOT_FAKE_QUANTIZE_GRADIENT] = "fake_quantize_gradient"};
    struct qdot_device_info info = {0};
    char shape[NPY_SHAPE];
    cJSON *root = cJSON_CreateObject();
    if (!root || qdot_device_info(qdot_op_device(op), &info, NULL) != QDOT_OK)
        return root;
    shape_of(&w->x, shape);
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    cJSON_AddStringToObject(root, "device", info.name);
    cJSON_AddStringToObject(root, "description", info.description);
    cJSON_AddStringToObject(root, "driver", info.driver);
    cJSON_AddStringToObject(root, "kernel", qdot_op_row(op));
    cJSON_AddStringToObject(root, "op", names[w->kind]);
    cJSON_AddStringToObject(root, "shape", shape);
    cJSON_AddStringToObject(root, "type", w->type->name);
    cJSON_AddNumberToObject(root, "scales", (double)w->parameters);
    cJSON_AddNumberToObject(root, "group", (double)w->desc.quantize.group);
    cJSON_AddNumberToObject(root, "create_seconds", w->create_seconds);
    cJSON_AddNumberToObject(root, "seconds", w->seconds);
    return root;
}

/* All files, or none. */
static int save_all(const struct work *w, const struct qdot_op *op)
{
    const struct options *o = w->o;
    const bool dynamic = w->kind == QDOT_DYNAMIC_QUANTIZE;
    struct save saves[4] = {0};
    static const char *const options[4] = {"-o", "--scale-out", "--zero-out", "--json"};
    char headers[3][NPY_HEADER];
    npy_header(w->out_file, w->x.dims, w->x.shape, headers[0]);
    npy_header(QDOT_F32, 1, &w->parameters, headers[1]);
    npy_header(QDOT_U8, 1, &w->parameters, headers[2]);
    bool good = save_bytes(&saves[0], w->verb, options[0], o->output, headers[0], NPY_HEADER,
                           w->out, w->x.count * npy_item_bytes(w->out_file));
    if (good && dynamic)
        good = save_bytes(&saves[1], w->verb, options[1], o->scale_out, headers[1], NPY_HEADER,
                          w->scale, w->parameters * 4) &&
               save_bytes(&saves[2], w->verb, options[2], o->zero_out, headers[2], NPY_HEADER,
                          w->zero_bytes, w->parameters);
    if (good && o->json)
        good = save_json(&saves[3], w->verb, options[3], o->json, to_json(w, op));
    for (size_t i = 0; i < 4; i++)
        if (good && (i == 0 || (i == 3 ? o->json != NULL : dynamic)))
            good = save_commit(&saves[i], w->verb, options[i]);
    for (size_t i = 0; i < 4; i++)
        save_discard(&saves[i]);
    return good ? EXIT_OK : EXIT_USAGE;
}

static int run(struct work *w)
{
    struct qdot_device_desc device_desc = {
        .device = w->o->device, .thread_count = (size_t)w->o->threads, .tuning_file = w->o->tuning};
    struct qdot_device *device = NULL;
    struct qdot_op *op = NULL;
    struct qdot_error error = {0};
    w->desc.kind = w->kind;
    w->desc.kernel = w->o->kernel;
    w->out_file =
        w->kind == QDOT_QUANTIZE || w->kind == QDOT_DYNAMIC_QUANTIZE ? w->type->file : QDOT_F32;
    w->out = malloc(w->x.count * npy_item_bytes(w->out_file));
    if (!w->out)
        return opt_error(w->verb, "-o: out of memory for an output of %zu values", w->x.count);
    if (qdot_open(&device_desc, &device, &error) != QDOT_OK)
        return opt_failed(w->verb, &error);
    struct progress *progress = progress_start(w->verb, "computing");
    int status = compute(w, device, &op);
    progress_stop(progress);
    if (status == EXIT_OK)
        status = save_all(w, op);
    if (status == EXIT_OK) {
        struct qdot_device_info info = {0};
        char shape[NPY_SHAPE];
        qdot_device_info(qdot_op_device(op), &info, NULL);
        shape_of(&w->x, shape);
        printf("%s  %s  %s %s  %.6f s\n", info.name, qdot_op_row(op), shape, w->type->name,
               w->seconds);
    }
    qdot_op_destroy(op);
    qdot_close(device);
    return status;
}

/* ---- the command line ------------------------------------------------------------------------ */

/* What belongs to which op; no two outputs are one file. */
static int check_options(struct work *w, size_t files)
{
    const struct options *o = w->o;
    const char *verb = w->verb, *const outputs[] = {o->output, o->scale_out, o->zero_out, o->json};
    if (files == 0)
        return opt_error(verb, "no file: expected %s.npy", w->kind == QDOT_DEQUANTIZE ? "Q" : "X");
    if (!o->output)
        return opt_error(verb, "-o: expected, with the name of the output");
    if (o->dynamic + o->fake + (o->gradient != NULL) > 1)
        return opt_error(verb, "%s: expected only one of --dynamic, --fake and --gradient",
                         o->gradient ? "--gradient" : "--fake");
    if (o->dynamic && (o->scale || o->zero || o->range || o->reciprocal))
        return opt_error(verb, "%s: expected none with --dynamic",
                         o->scale   ? "--scale"
                         : o->zero  ? "--zero"
                         : o->range ? "--range"
                                    : "--reciprocal");
    if (o->dynamic != (o->scale_out != NULL) || o->dynamic != (o->zero_out != NULL))
        return opt_error(verb, "%s: expected %s --dynamic",
                         o->dynamic != (o->scale_out != NULL) ? "--scale-out" : "--zero-out",
                         o->dynamic ? "with" : "none without");
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            if (outputs[i] && outputs[j] && strcmp(outputs[i], outputs[j]) == 0)
                return opt_error(verb, "%s '%s': expected a file of its own",
                                 i == 3   ? "--json"
                                 : i == 2 ? "--zero-out"
                                          : "--scale-out",
                                 outputs[i]);
    if (o->dynamic)
        w->kind = QDOT_DYNAMIC_QUANTIZE;
    else if (o->fake)
        w->kind = QDOT_FAKE_QUANTIZE;
    else if (o->gradient)
        w->kind = QDOT_FAKE_QUANTIZE_GRADIENT;
    return EXIT_OK;
}

static int verb_main(const struct opt_page *page, enum qdot_op_kind kind, int argc, char **argv)
{
    struct options o = {.device = "auto", .axis = NO_AXIS};
    struct work w = {.verb = page->verb, .o = &o, .kind = kind};
    const char *path;
    size_t files = 0;
    const enum opt_result parsed = opt_parse(page, argc, argv, &o, &path, 1, &files);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    int status = check_options(&w, files);
    if (status == EXIT_OK)
        status = read_all(&w, path);
    if (status == EXIT_OK)
        status = run(&w);
    npy_free(&w.x);
    npy_free(&w.dy);
    free(w.scale);
    free(w.zero);
    free(w.zero_bytes);
    free(w.out);
    return status;
}

int quantize_main(int argc, char **argv)
{
    return verb_main(&quantize_page, QDOT_QUANTIZE, argc, argv);
}

int dequantize_main(int argc, char **argv)
{
    return verb_main(&dequantize_page, QDOT_DEQUANTIZE, argc, argv);
}
