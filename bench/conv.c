/* qdot conv: one convolution on real data, .npy in and out. */
#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "files.h"

struct options {
    struct file_options files;
    const char *layout, *stride, *pad, *dilation, *output_pad;
    int64_t groups;
    bool transposed;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"-o", "Y.npy", OPT_TEXT, FILE_OPTION(output), 0, 0,
     "Where the output goes, in X's layout, C order. Needed. Written aside and renamed, so\n"
     "that it is there whole or not at all."},
    {"--layout", "NAME", OPT_TEXT, AT(layout), 0, 0,
     "nhwc (default): X is [N,H,W,I], W is [O,KH,KW,I/groups], Y is [N,OH,OW,O].\n"
     "nchw: X is [N,I,H,W], W is [O,I/groups,KH,KW], Y is [N,O,OH,OW]."},
    {"--stride", "H,W", OPT_TEXT, AT(stride), 0, 0,
     "Pixels from one output to the next; one number where H = W. Default: 1."},
    {"--pad", "T,L,B,R", OPT_TEXT, AT(pad), 0, 0,
     "Padding, of the value a-zero: top, left, bottom, right; or one number for all four.\n"
     "Default: 0."},
    {"--dilation", "H,W", OPT_TEXT, AT(dilation), 0, 0,
     "Pixels from one tap of the kernel to the next; one number where H = W. Default: 1."},
    {"--groups", "G", OPT_INT, AT(groups), 1, INT32_MAX,
     "Groups, a divisor of I and of O, from 1 (default) up."},
    {"--transposed", NULL, OPT_FLAG, AT(transposed), 0, 0,
     "Transposed convolution, as ONNX's ConvTranspose: the stride widens the output, the\n"
     "padding is cut off it. With nchw, W is [I,O/groups,KH,KW]."},
    {"--output-pad", "H,W", OPT_TEXT, AT(output_pad), 0, 0,
     "With --transposed: rows and columns that the output has more at its end, fewer than\n"
     "the stride or the dilation; one number where H = W. Default: 0."},
    {"--out", "TYPE", OPT_TEXT, FILE_OPTION(out), 0, 0,
     "The output: s32 (default), f32, s8 or u8.\n"
     "s32: acc. f32: (float)acc * scale[o] + bias_f[o].\n"
     "s8, u8: (float)acc * scale[o], rounded, + out_zero, clamped; others: see --rounding."},
    {"--a-zero", "Z", OPT_TEXT, FILE_OPTION(a_zero), 0, 0,
     "Zero point of X: a whole number in X's range, or a .npy of one. Default: 0."},
    {"--b-zero", "Z", OPT_TEXT, FILE_OPTION(b_zero), 0, 0,
     "Zero point of W: a whole number in W's range (default 0), or a .npy of one or of\n"
     "O values (int32, int8 or uint8), one an output channel."},
    {"--bias", "BIAS.npy", OPT_TEXT, FILE_OPTION(bias), 0, 0,
     "O int32 values, one an output channel, added to acc. Default: none."},
    {"--scale", "S", OPT_TEXT, FILE_OPTION(scale), 0, 0,
     "f32, s8 and u8: a number, or a .npy of one or of O float32 values, one an output\n"
     "channel. Each 0 or of a magnitude in [2^-126, 2^96). Default: 1."},
    {"--bias-f", "F.npy", OPT_TEXT, FILE_OPTION(bias_f), 0, 0,
     "f32: O finite float32 values, one an output channel. Default: none."},
    FILE_OPTIONS,
    {0},
};
#undef AT

static const struct opt_page page = {
    "conv",
    "one int8 convolution on real data",
    "X.npy W.npy -o Y.npy [options]",
    "Convolves X with the weights W, both int8 or uint8 in any combination:\n"
    "\n"
    "    acc[n][y][x][o] = sum over i, j, c of (X[n][y*SH + i*DH - T][x*SW + j*DW - L][c] - "
    "a_zero)\n"
    "                      * (W[o][i][j][c] - b_zero) + bias[o]\n"
    "\n"
    "modulo 2^32, where T and L are the padding at top and left, S the stride, D the dilation, c\n"
    "the input channels of o's group; outside X the difference is 0. Float steps are IEEE\n"
    "binary32, each rounded, in the order shown at --out. Every row of every device gives the\n"
    "same bits.\n"
    "\n"
    "X and W of three dimensions are a 1-D convolution: [N,W,I] and [O,KW,I/groups], with nchw\n"
    "[N,I,W] and [O,I/groups,KW]. Then --stride, --dilation and --output-pad take one number,\n"
    "--pad one or LEFT,RIGHT.\n"
    "\n"
    "Files are NumPy .npy, format 1.0 or 2.0, C or Fortran order, of int8, uint8, int32 or\n"
    "float32 (little-endian). Anything else is refused by name. Values one an output channel\n"
    "may have the shape [O], or more dimensions of 1.",
    options,
    "Y.npy: int32, float32, int8 or uint8. On stdout one line: device, row, shape as 'qdot\n"
    "bench' writes it, time of the run. The time includes copies to and from the device, not\n"
    "packing W nor choosing a row.",
    NULL,
    "qdot conv x.npy w.npy -o y.npy --pad 1\n"
    "qdot conv x.npy w.npy -o y.npy --layout nchw --stride 2 --pad 0,0,1,1 --groups 32 \\\n"
    "    --a-zero 128 --bias bias.npy --out u8 --scale scale.npy --out-zero 3\n"
    "qdot conv x.npy w.npy -o y.npy --transposed --stride 2,1 --device cpu",
};

static const struct file_names names = {"conv", "X", "W", "Y", NULL, "output channel"};

/* An array of 3 or 4 dimensions as [first, height, width, channels]; 3: the height is 1. */
static void unfold(const struct npy *array, bool nchw, size_t shape[4])
{
    const size_t dims = array->dims, *s = array->shape;
    shape[0] = s[0];
    shape[1] = dims == 3 ? 1 : s[nchw ? 2 : 1];
    shape[2] = s[nchw ? dims - 1 : dims - 2];
    shape[3] = s[nchw ? 1 : dims - 1];
}

/* "2", "2,1"; of a 1-D convolution only one number, which is not the height's. */
static int read_pair(const char *option, const char *text, bool flat, int64_t lo, size_t *h,
                     size_t *w)
{
    int64_t v[2];
    if (!text)
        return EXIT_OK;
    const size_t count = opt_numbers(text, lo, INT32_MAX, v, flat ? 1 : 2);
    if (count == 0)
        return opt_error(names.verb, "%s '%s': expected %s from %d to %d", option, text,
                         flat ? "one number (X has 3 dimensions)" : "H,W or one number", (int)lo,
                         INT32_MAX);
    if (!flat)
        *h = (size_t)v[0];
    *w = (size_t)v[count - 1];
    return EXIT_OK;
}

static int read_pad(const char *text, bool flat, struct qdot_conv *c)
{
    int64_t v[4];
    if (!text)
        return EXIT_OK;
    const size_t count = opt_numbers(text, 0, INT32_MAX, v, flat ? 2 : 4);
    if (count != 1 && count != (flat ? 2 : 4))
        return opt_error(names.verb, "--pad '%s': expected %s or one number from 0 to %d", text,
                         flat ? "LEFT,RIGHT (X has 3 dimensions)" : "TOP,LEFT,BOTTOM,RIGHT",
                         INT32_MAX);
    c->pad_left = (size_t)v[flat || count == 1 ? 0 : 1];
    c->pad_right = (size_t)v[count - 1];
    if (!flat) {
        c->pad_top = (size_t)v[0];
        c->pad_bottom = (size_t)v[count == 1 ? 0 : 2];
    }
    return EXIT_OK;
}

/* What the library found wrong, which names the descriptor's field, with the name that the user
 * knows: an option, or a file and its dimension. */
static int say(const char *const paths[2], const char *reason)
{
    static const struct {
        const char *field, *name, *dimension;
    } fields[] = {
        {"conv.batch: ", "X", "N: "},
        {"conv.height: ", "X", "H: "},
        {"conv.width: ", "X", "W: "},
        {"conv.channels: ", "X", "I: "},
        {"conv.out_channels: ", "W", "O: "},
        {"conv.kernel_h: ", "W", "KH: "},
        {"conv.kernel_w: ", "W", "KW: "},
        {"conv.groups: ", "--groups", ""},
        {"conv.output_pad_h: ", "--output-pad", "H: "},
        {"conv.output_pad_w: ", "--output-pad", "W: "},
        {"conv: ", "-o", ""}, /* too large: X and W are there */
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const size_t length = strlen(fields[i].field);
        const char *name = fields[i].name;
        if (strncmp(reason, fields[i].field, length) != 0)
            continue;
        if (name[0] == '-')
            return opt_error(names.verb, "%s: %s%s", name, fields[i].dimension, reason + length);
        return opt_error(names.verb, "%s '%s': %s%s", name, paths[name[0] == 'X' ? 0 : 1],
                         fields[i].dimension, reason + length);
    }
    return opt_error(names.verb, "-o: %s", reason);
}

static const char *weights_layout(bool nchw, bool transposed, bool flat)
{
    if (nchw && transposed)
        return flat ? "[I,O/groups,KW]" : "[I,O/groups,KH,KW]";
    if (nchw)
        return flat ? "[O,I/groups,KW]" : "[O,I/groups,KH,KW]";
    return flat ? "[O,KW,I/groups]" : "[O,KH,KW,I/groups]";
}

/* Sizes of X and W into the geometry, which is checked. */
static int match(struct files *f, const char *const paths[2])
{
    struct qdot_conv *c = &f->shape.conv;
    const bool nchw = c->layout == QDOT_NCHW, swapped = nchw && c->transposed;
    size_t x[4], w[4];
    char shape[NPY_SHAPE], reason[512];
    unfold(&f->a, nchw, x);
    unfold(&f->b, nchw, w);
    c->batch = x[0];
    c->height = x[1];
    c->width = x[2];
    c->channels = x[3];
    c->kernel_h = w[1];
    c->kernel_w = w[2];
    c->out_channels = w[0];
    if (swapped && __builtin_mul_overflow(w[3], c->groups, &c->out_channels))
        c->out_channels = SIZE_MAX; /* the library refuses it */
    if (!shape_complete(&f->shape, reason, sizeof(reason)))
        return say(paths, reason);
    /* By which dimension W fits X. */
    const size_t given = w[swapped ? 0 : 3];
    const size_t needed = swapped ? c->channels : c->channels / c->groups;
    if (given != needed) {
        npy_shape_text(&f->b, shape);
        return opt_error(names.verb,
                         "W '%s': shape %s: expected %s with %s = %zu, as X has %zu channels and "
                         "--groups is %zu (--layout %s)",
                         paths[1], shape, weights_layout(nchw, c->transposed, f->b.dims == 3),
                         swapped ? "I" : "I/groups", needed, c->channels, c->groups,
                         nchw ? "nchw" : "nhwc");
    }
    f->out_dims = f->a.dims;
    f->out_shape[0] = c->batch;
    f->out_shape[nchw ? 1 : f->out_dims - 1] = c->out_channels;
    f->out_shape[nchw ? f->out_dims - 1 : f->out_dims - 2] = f->shape.out_w;
    if (f->out_dims == 4)
        f->out_shape[nchw ? 2 : 1] = f->shape.out_h;
    return EXIT_OK;
}

static int read_operands(struct files *f, const struct options *o, const char *const paths[2])
{
    struct qdot_conv *c = &f->shape.conv;
    const bool nchw = strcmp(o->layout, "nchw") == 0;
    if (!nchw && strcmp(o->layout, "nhwc") != 0)
        return opt_error(names.verb, "--layout '%s': expected nhwc or nchw", o->layout);
    int status = files_read_operand(f, names.a, paths[0], 3, 4,
                                    nchw ? "[N,I,H,W] or [N,I,W]" : "[N,H,W,I] or [N,W,I]", &f->a);
    const bool flat = f->a.dims == 3;
    if (status == EXIT_OK)
        status = files_read_operand(f, names.b, paths[1], f->a.dims, f->a.dims,
                                    weights_layout(nchw, o->transposed, flat), &f->b);
    if (status == EXIT_OK && o->output_pad && !o->transposed)
        status = opt_error(names.verb, "--output-pad: expected none without --transposed");
    f->shape.kind = QDOT_CONV;
    *c = (struct qdot_conv){.layout = nchw ? QDOT_NCHW : QDOT_NHWC,
                            .groups = (size_t)o->groups,
                            .transposed = o->transposed};
    if (status == EXIT_OK)
        status = read_pair("--stride", o->stride, flat, 1, &c->stride_h, &c->stride_w);
    if (status == EXIT_OK)
        status = read_pair("--dilation", o->dilation, flat, 1, &c->dilation_h, &c->dilation_w);
    if (status == EXIT_OK)
        status =
            read_pair("--output-pad", o->output_pad, flat, 0, &c->output_pad_h, &c->output_pad_w);
    if (status == EXIT_OK)
        status = read_pad(o->pad, flat, c);
    return status == EXIT_OK ? match(f, paths) : status;
}

static void add_sizes(cJSON *root, const char *name, const size_t *sizes, size_t count)
{
    cJSON *list = cJSON_AddArrayToObject(root, name);
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)sizes[i]));
}

/* What the shape's text does not say. */
static void add_geometry(const struct files *f, cJSON *root)
{
    const struct qdot_conv *c = &f->shape.conv;
    const size_t pads[] = {c->output_pad_h, c->output_pad_w};
    cJSON_AddStringToObject(root, "layout", c->layout == QDOT_NCHW ? "nchw" : "nhwc");
    cJSON_AddBoolToObject(root, "transposed", c->transposed);
    add_sizes(root, "output_pad", pads, 2);
    add_sizes(root, "output", f->out_shape, f->out_dims);
}

int conv_main(int argc, char **argv)
{
    struct options o = {.layout = "nhwc", .groups = 1};
    struct files f = {.names = &names};
    const char *paths[2];
    const enum opt_result parsed = files_parse(&f, &page, argc, argv, &o.files, paths);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    int status = read_operands(&f, &o, paths);
    if (status == EXIT_OK)
        status = files_read_terms(&f);
    if (status == EXIT_OK) {
        f.desc.kind = QDOT_CONV;
        f.desc.conv = f.shape.conv;
        f.desc.a_type = f.a.type;
        f.desc.b_type = f.b.type;
        f.desc.b = f.b.data;
        status = files_compute(&f, add_geometry);
    }
    files_release(&f);
    return status;
}
