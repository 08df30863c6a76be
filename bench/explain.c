/* qdot explain: what the dispatcher would choose for one op, and why not the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "options.h"
#include "progress.h"
#include "qdot.h"
#include "save.h"
#include "shape.h"
#include "spec.h"

struct options {
    const char *shape, *conv, *elements, *layout, *output_pad, *types, *out, *device, *kernel,
        *tuning, *json;
    int64_t budget;
    bool transposed, b_transposed, one_shot;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"--shape", "MxNxK", OPT_TEXT, AT(shape), 0, 0,
     "A matrix product: A is [M,K], B is [K,N]; each at least 1."},
    {"--conv", "SPEC", OPT_TEXT, AT(conv), 0, 0,
     "Or a convolution: \"1x56x56x64 64x3x3 s1 p1 d1 g1\" is an input of 1 x 56 x 56 x 64\n"
     "(batch, height, width, channels), 64 output channels of 3x3, stride 1, padding 1,\n"
     "dilation 1, one group. s, p, d and g may be left out; s2x1 is height x width,\n"
     "p0x0x1x1 top x left x bottom x right. 1-D: a height of 1."},
    {"--elements", "SPEC", OPT_TEXT, AT(elements), 0, 0,
     "Or an op on elements: \"quantize 1x64x100 u8 axis\" is the op (quantize, dequantize,\n"
     "dynamic_quantize, fake_quantize or fake_quantize_gradient), outer x axis x inner, the\n"
     "type (u8, s8, u16, s16, u4, s4; of dequantize s32 too), and perhaps reciprocal (a\n"
     "product with 1 / scale), and axis (scales along it) or group32 (one for 32 neighbours).\n"
     "\"map 2x12 a12x1 o20x1 table\" is a map: dimensions, strides of the operand (two: a12x1\n"
     "b0x1) and of the result, perhaps a table. \"max_pool 1x56x56x64 3x3 u8 s2 p1\" is a max\n"
     "pool: its input, the window, the type, and perhaps s, p and d as of --conv, nchw, table;\n"
     "average_pool likewise, with scaled where it has scales."},
    {"--layout", "NAME", OPT_TEXT, AT(layout), 0, 0,
     "With --conv, how input, weights and output lie in memory: nhwc (default) or nchw."},
    {"--transposed", NULL, OPT_FLAG, AT(transposed), 0, 0,
     "With --conv: transposed convolution, as ONNX's ConvTranspose."},
    {"--output-pad", "H,W", OPT_TEXT, AT(output_pad), 0, 0,
     "With --transposed: rows and columns that the output has more at its end; one number\n"
     "where H = W. Default: 0."},
    {"--types", "AB", OPT_TEXT, AT(types), 0, 0,
     "Of a product or convolution, types of A and B: u8s8 (default), s8s8, u8u8 or s8u8."},
    {"--out", "TYPE", OPT_TEXT, AT(out), 0, 0,
     "Likewise, the output: s32 (default), f32, s8 or u8."},
    {"--b-transposed", NULL, OPT_FLAG, AT(b_transposed), 0, 0,
     "With --shape: B is given as [N,K]."},
    {"--one-shot", NULL, OPT_FLAG, AT(one_shot), 0, 0,
     "With --shape: B is given with each run, so that packing it is part of the time."},
    {"--device", "D", OPT_TEXT, AT(device), 0, 0,
     "cpu, opencl:N, vulkan:N, a backend's name (its first device), or auto (default)."},
    {"--kernel", "ROW", OPT_TEXT, AT(kernel), 0, 0,
     "Only this row, as 'qdot devices' prints it. Default: all."},
    {"--tuning", "FILE", OPT_TEXT, AT(tuning), 0, 0,
     "Times and overrides that come before what is measured, as 'qdot tune' writes them."},
    {"--budget", "MS", OPT_INT, AT(budget), 1, 3600000,
     "Time that measuring may take, in milliseconds, 1 to 3600000. Default: 300."},
    {"--json", "FILE", OPT_TEXT, AT(json), 0, 0, "Write the same as JSON."},
    {0},
};
#undef AT

static const struct opt_page page = {
    "explain",
    "what the dispatcher would choose for one op, and why not the others",
    "--shape MxNxK | --conv SPEC | --elements SPEC [options]",
    "Asks the dispatcher for every candidate, device and row, for an op of this shape, and\n"
    "measures as creating the op would: with --device auto the op itself, on one OpenCL or Vulkan\n"
    "device its class of shapes. Times are kept in the cache, for this device, driver and "
    "version;\n"
    "a later call shows what was kept. On the CPU alone the first admitted row that suits the\n"
    "shape is chosen, unless it has times.",
    options,
    "The op as a tuning file calls it, then a line a candidate: '*' marks the chosen one; device,\n"
    "row, time of a run ('-': not measured) and of what it is, then why it was refused or how it\n"
    "was chosen. 'exact': of this op, its data on the device; 'copies': of this op, with copies "
    "to\n"
    "and from the device; 'class': of the first op of its class; 'override': a tuning file names "
    "it.\n"
    "JSON: {qdot, shape, types, out, b_transposed, one_shot (of a product), layout, transposed,\n"
    "output_pad (of a convolution), problem, candidates: [{device, kernel, chosen, seconds "
    "(absent\n"
    "when not measured), basis, reason}]}. Of an op on elements problem and candidates.",
    "0  one candidate was chosen\n"
    "1  none serves this op, or a device failed\n"
    "2  bad usage; one line on stderr names the argument and what was expected",
    "qdot explain --shape 1024x1024x1024\n"
    "qdot explain --shape 1x4096x4096 --types u8s8 --out f32 --device cpu\n"
    "qdot explain --shape 196x256x1152 --device opencl:0 --json why.json\n"
    "qdot explain --conv '1x112x112x32 32x3x3 p1 g32' --out u8\n"
    "qdot explain --elements 'dynamic_quantize 1x128x768 u8 axis' --device cpu\n"
    "qdot explain --elements 'max_pool 1x112x112x64 3x3 u8 s2 p1'",
};

struct named {
    const char *name;
    enum qdot_type first, second;
};

static const struct named type_pairs[] = {
    {"u8s8", QDOT_U8, QDOT_S8},
    {"s8s8", QDOT_S8, QDOT_S8},
    {"u8u8", QDOT_U8, QDOT_U8},
    {"s8u8", QDOT_S8, QDOT_U8},
};
static const struct named outputs[] = {
    {"s32", QDOT_S32, QDOT_TYPE_DEFAULT},
    {"f32", QDOT_F32, QDOT_TYPE_DEFAULT},
    {"s8", QDOT_S8, QDOT_TYPE_DEFAULT},
    {"u8", QDOT_U8, QDOT_TYPE_DEFAULT},
};

static const char *types_of(const struct options *o)
{
    return o->types ? o->types : "u8s8";
}

static const char *out_of(const struct options *o)
{
    return o->out ? o->out : "s32";
}

static const struct named *find(const struct named four[4], const char *name)
{
    for (size_t i = 0; i < 4; i++)
        if (strcmp(four[i].name, name) == 0)
            return &four[i];
    return NULL;
}

static int describe_product(const struct options *o, struct shape *shape, struct qdot_op_desc *d)
{
    size_t sizes[3];
    char reason[80];
    if (o->layout || o->transposed || o->output_pad)
        return opt_error("explain", "%s: expected only with --conv",
                         o->layout       ? "--layout"
                         : o->transposed ? "--transposed"
                                         : "--output-pad");
    if (!opt_shape(o->shape, sizes))
        return opt_error("explain", "--shape '%s': expected MxNxK, three numbers from 1 up",
                         o->shape);
    *shape = (struct shape){.kind = QDOT_GEMM, .m = sizes[0], .n = sizes[1], .k = sizes[2]};
    if (!shape_complete(shape, reason, sizeof(reason)))
        return opt_error("explain", "--shape '%s': %s", o->shape, reason);
    d->m = shape->m;
    d->n = shape->n;
    d->k = shape->k;
    d->b_transposed = o->b_transposed;
    return EXIT_OK;
}

static int describe_conv(const struct options *o, struct shape *shape, struct qdot_op_desc *d)
{
    struct qdot_conv *c = &shape->conv;
    char reason[512];
    if (o->b_transposed || o->one_shot)
        return opt_error("explain", "%s: expected only with --shape",
                         o->b_transposed ? "--b-transposed" : "--one-shot");
    if (!shape_parse_conv(o->conv, shape))
        return opt_error("explain",
                         "--conv '%s': expected BxHxWxC OxKHxKW and perhaps s, p, d, g, as in "
                         "\"1x56x56x64 64x3x3 s1 p1 g1\"",
                         o->conv);
    if (o->layout && strcmp(o->layout, "nhwc") != 0 && strcmp(o->layout, "nchw") != 0)
        return opt_error("explain", "--layout '%s': expected nhwc or nchw", o->layout);
    c->layout = o->layout && strcmp(o->layout, "nchw") == 0 ? QDOT_NCHW : QDOT_NHWC;
    c->transposed = o->transposed;
    if (o->output_pad) {
        int64_t v[2];
        const size_t count = opt_numbers(o->output_pad, 0, INT32_MAX, v, 2);
        if (!o->transposed)
            return opt_error("explain", "--output-pad: expected none without --transposed");
        if (count == 0)
            return opt_error("explain",
                             "--output-pad '%s': expected H,W or one number from 0 to %d",
                             o->output_pad, INT32_MAX);
        c->output_pad_h = (size_t)v[0];
        c->output_pad_w = (size_t)v[count - 1];
    }
    if (!shape_complete(shape, reason, sizeof(reason))) {
        static const char prefix[] = "conv."; /* of the library's fields */
        const size_t skip = strncmp(reason, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
        return opt_error("explain", "--conv '%s': %s", o->conv, reason + skip);
    }
    d->kind = QDOT_CONV;
    d->conv = *c;
    return EXIT_OK;
}

#define ELEMENTS                                                                                  \
    "expected an op, OUTERxAXISxINNER and a type, and perhaps reciprocal, axis or groupN, as in " \
    "\"quantize 1x64x100 u8 axis\", or \"map 2x12 a12x1 o20x1\", \"max_pool 1x8x8x64 2x2 u8 s2\""

/* Scales are given at run, so that there is nothing to make up; *table is the caller's to free. */
static int describe_elements(const struct options *o, struct qdot_op_desc *d, unsigned char **table)
{
    const struct {
        const char *name;
        bool given;
    } others[] = {{"--types", o->types},           {"--out", o->out},
                  {"--layout", o->layout},         {"--transposed", o->transposed},
                  {"--output-pad", o->output_pad}, {"--b-transposed", o->b_transposed},
                  {"--one-shot", o->one_shot}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (others[i].given)
            return opt_error("explain", "%s: expected none with --elements", others[i].name);
    bool by_table;
    if (!spec_parse(o->elements, d, &by_table))
        return opt_error("explain", "--elements '%s': " ELEMENTS, o->elements);
    d->kernel = o->kernel;
    *table = by_table ? calloc(65536, 1) : NULL;
    d->map.table = *table;
    return by_table && !*table ? opt_error("explain", "--elements: out of memory") : EXIT_OK;
}

/* The descriptor, with a B of any values unless one-shot; *b is the caller's to free. */
static int describe(const struct options *o, struct shape *shape, struct qdot_op_desc *d,
                    unsigned char **b)
{
    if (!!o->shape + !!o->conv + !!o->elements != 1)
        return opt_error("explain", "--shape, --conv, --elements: expected one of them, such as "
                                    "--shape 1024x1024x1024");
    if (o->elements)
        return describe_elements(o, d, b);
    const struct named *pair = find(type_pairs, types_of(o)), *out = find(outputs, out_of(o));
    if (!pair)
        return opt_error("explain", "--types '%s': expected u8s8, s8s8, u8u8 or s8u8", o->types);
    if (!out)
        return opt_error("explain", "--out '%s': expected s32, f32, s8 or u8", o->out);
    *d = (struct qdot_op_desc){
        .a_type = pair->first, .b_type = pair->second, .out_type = out->first, .kernel = o->kernel};
    const int status = o->conv ? describe_conv(o, shape, d) : describe_product(o, shape, d);
    if (status != EXIT_OK || o->one_shot)
        return status;
    const size_t bytes = shape->n * shape->k;
    *b = malloc(bytes);
    if (!*b)
        return opt_error("explain", "%s: out of memory for %zu bytes of %s",
                         o->conv ? "--conv" : "--shape", bytes, o->conv ? "weights" : "B");
    for (size_t i = 0; i < bytes; i++)
        (*b)[i] = (unsigned char)(i * 37 % 251);
    d->b = *b;
    return EXIT_OK;
}

static struct qdot_candidate *find_candidates(const struct options *o, const struct qdot_op_desc *d,
                                              size_t *count, int *status)
{
    const struct qdot_device_desc device_desc = {
        .device = o->device, .budget_us = (uint64_t)o->budget * 1000, .tuning_file = o->tuning};
    struct qdot_error error = {0};
    struct qdot_device *device = NULL;
    struct qdot_candidate *candidates = NULL;
    struct qdot_row_info row;
    size_t capacity = 0;
    *status = EXIT_OK;
    if (qdot_open(&device_desc, &device, &error) != QDOT_OK) {
        *status = opt_failed("explain", &error);
        return NULL;
    }
    /* Every candidate is a row of an opened device; a call to count them would measure twice. */
    bool known = !o->kernel;
    while (qdot_device_row(device, capacity, &row, &error) == QDOT_OK) {
        known = known || strcmp(row.name, o->kernel) == 0 ||
                strcmp(strchr(row.name, '/') + 1, o->kernel) == 0;
        capacity++;
    }
    if (!known) {
        *status = opt_error("explain",
                            "--kernel '%s': expected a row of '%s' as 'qdot devices' "
                            "prints it",
                            o->kernel, o->device);
        qdot_close(device);
        return NULL;
    }
    candidates = calloc(capacity ? capacity : 1, sizeof(*candidates));
    if (!candidates)
        *status = opt_error("explain", "out of memory for %zu candidates", capacity);
    else if (qdot_explain(device, d, candidates, capacity, count, &error) != QDOT_OK)
        *status = opt_failed("explain", &error);
    qdot_close(device);
    if (*count > capacity)
        *count = capacity;
    if (*status == EXIT_OK)
        return candidates;
    free(candidates);
    return NULL;
}

static const char *basis_text(enum qdot_basis basis)
{
    static const char *const texts[] = {"table", "class", "copies", "exact", "override"};
    return texts[basis];
}

static void print_candidates(const struct qdot_candidate *candidates, size_t count)
{
    size_t device_width = 6, row_width = 3;
    for (size_t i = 0; i < count; i++) {
        const size_t device = strlen(candidates[i].device), row = strlen(candidates[i].row);
        device_width = device > device_width ? device : device_width;
        row_width = row > row_width ? row : row_width;
    }
    printf("  %-*s  %-*s  %12s  %-8s  %s\n", (int)device_width, "device", (int)row_width, "row",
           "time", "of", "reason");
    for (size_t i = 0; i < count; i++) {
        const struct qdot_candidate *c = &candidates[i];
        char time[24] = "-";
        if (c->time_ns)
            snprintf(time, sizeof(time), "%.1f us", (double)c->time_ns / 1e3);
        printf("%c %-*s  %-*s  %12s  %-8s  %s\n", c->chosen ? '*' : ' ', (int)device_width,
               c->device, (int)row_width, c->row, time,
               c->basis == QDOT_BY_TABLE ? "-" : basis_text(c->basis), c->reason);
    }
}

static void add_shape(const struct options *o, const struct shape *shape, cJSON *root)
{
    const struct qdot_conv *conv = &shape->conv;
    char text[SHAPE_TEXT];
    shape_text(shape, text, sizeof(text));
    cJSON_AddStringToObject(root, "shape", text);
    cJSON_AddStringToObject(root, "types", types_of(o));
    cJSON_AddStringToObject(root, "out", out_of(o));
    if (shape->kind == QDOT_CONV) {
        cJSON_AddStringToObject(root, "layout", conv->layout == QDOT_NCHW ? "nchw" : "nhwc");
        cJSON_AddBoolToObject(root, "transposed", conv->transposed);
        cJSON *pads = cJSON_AddArrayToObject(root, "output_pad");
        cJSON_AddItemToArray(pads, cJSON_CreateNumber((double)conv->output_pad_h));
        cJSON_AddItemToArray(pads, cJSON_CreateNumber((double)conv->output_pad_w));
    } else {
        cJSON_AddBoolToObject(root, "b_transposed", o->b_transposed);
        cJSON_AddBoolToObject(root, "one_shot", o->one_shot);
    }
}

static cJSON *to_json(const struct options *o, const struct shape *shape, const char *problem,
                      const struct qdot_candidate *candidates, size_t count)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "qdot", qdot_version());
    if (!o->elements)
        add_shape(o, shape, root);
    cJSON_AddStringToObject(root, "problem", problem);
    cJSON *list = cJSON_AddArrayToObject(root, "candidates");
    for (size_t i = 0; i < count; i++) {
        const struct qdot_candidate *c = &candidates[i];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "device", c->device);
        cJSON_AddStringToObject(entry, "kernel", c->row);
        cJSON_AddBoolToObject(entry, "chosen", c->chosen);
        if (c->time_ns)
            cJSON_AddNumberToObject(entry, "seconds", (double)c->time_ns * 1e-9);
        cJSON_AddStringToObject(entry, "basis", basis_text(c->basis));
        cJSON_AddStringToObject(entry, "reason", c->reason);
        cJSON_AddItemToArray(list, entry);
    }
    return root;
}

static int save(const struct options *o, const struct shape *shape, const char *problem,
                const struct qdot_candidate *candidates, size_t count)
{
    struct save file;
    if (!save_json(&file, "explain", "--json", o->json,
                   to_json(o, shape, problem, candidates, count)))
        return EXIT_USAGE;
    const bool good = save_commit(&file, "explain", "--json");
    save_discard(&file);
    return good ? EXIT_OK : EXIT_USAGE;
}

int explain_main(int argc, char **argv)
{
    struct options o = {.device = "auto", .budget = 300};
    const enum opt_result parsed = opt_parse(&page, argc, argv, &o, NULL, 0, NULL);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    struct qdot_op_desc d;
    struct shape shape;
    unsigned char *b = NULL;
    int status = describe(&o, &shape, &d, &b);
    if (status != EXIT_OK)
        return status;
    size_t count = 0;
    struct progress *progress = progress_start("explain", "measuring");
    struct qdot_candidate *candidates = find_candidates(&o, &d, &count, &status);
    progress_stop(progress);
    char problem[192] = "";
    qdot_problem_text(&d, problem, sizeof(problem), NULL);
    free(b);
    if (!candidates)
        return status;
    printf("%s\n", problem);
    print_candidates(candidates, count);
    bool chosen = false;
    for (size_t i = 0; i < count; i++)
        chosen |= candidates[i].chosen != 0;
    if (o.json)
        status = save(&o, &shape, problem, candidates, count);
    free(candidates);
    if (status == EXIT_OK && !chosen) {
        opt_error("explain", "%s: no row of '%s' serves it", problem, o.device);
        status = EXIT_WRONG;
    }
    return status;
}
