/* qdot gemm: one product on real data, .npy in and out. */
#include "files.h"

struct options {
    struct file_options files;
    bool b_transposed;
};

static const struct opt options[] = {
    {"-o", "C.npy", OPT_TEXT, FILE_OPTION(output), 0, 0,
     "Where the product goes, [M,N], C order. Needed. Written aside and renamed, so\n"
     "that it is there whole or not at all."},
    {"--out", "TYPE", OPT_TEXT, FILE_OPTION(out), 0, 0,
     "The output: s32 (default), f32, s8 or u8.\n"
     "s32: acc. f32: (float)acc * scale[n] * row_scale[m] + bias_f[n].\n"
     "s8, u8: (float)acc * scale[n], rounded, + out_zero, clamped; others: see --rounding."},
    {"--a-zero", "Z", OPT_TEXT, FILE_OPTION(a_zero), 0, 0,
     "Zero point of A: a whole number in A's range (default 0), or a .npy of one or of\n"
     "M values (int32, int8 or uint8), one a row."},
    {"--b-zero", "Z", OPT_TEXT, FILE_OPTION(b_zero), 0, 0,
     "Zero point of B: a whole number in B's range (default 0), or a .npy of one or of\n"
     "N values (int32, int8 or uint8), one a column."},
    {"--bias", "BIAS.npy", OPT_TEXT, FILE_OPTION(bias), 0, 0,
     "N int32 values, one a column, added to acc. Default: none."},
    {"--scale", "S", OPT_TEXT, FILE_OPTION(scale), 0, 0,
     "f32, s8 and u8: a number, or a .npy of one or of N float32 values, one a column.\n"
     "Each 0 or of a magnitude in [2^-126, 2^96). Default: 1."},
    {"--row-scale", "F.npy", OPT_TEXT, FILE_OPTION(row_scale), 0, 0,
     "f32: M finite float32 values, one a row. Default: none."},
    {"--bias-f", "F.npy", OPT_TEXT, FILE_OPTION(bias_f), 0, 0,
     "f32: N finite float32 values, one a column. Default: none."},
    {"--b-transposed", NULL, OPT_FLAG, offsetof(struct options, b_transposed), 0, 0,
     "B is [N,K] instead of [K,N]."},
    FILE_OPTIONS,
    {0},
};

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

static const struct file_names names = {"gemm", "A", "B", "C", "row", "column"};

static int read_matrices(struct files *f, const char *const paths[2], bool b_transposed)
{
    const char *layout = b_transposed ? "[N,K]" : "[K,N]";
    int status = files_read_operand(f, names.a, paths[0], 2, 2, "[M,K]", &f->a);
    if (status == EXIT_OK)
        status = files_read_operand(f, names.b, paths[1], 2, 2, layout, &f->b);
    if (status != EXIT_OK)
        return status;
    const size_t n = f->b.shape[b_transposed ? 0 : 1], b_k = f->b.shape[b_transposed ? 1 : 0];
    f->shape = (struct shape){.kind = QDOT_GEMM, .m = f->a.shape[0], .n = n, .k = f->a.shape[1]};
    if (b_k != f->shape.k)
        return opt_error(names.verb,
                         "B '%s': shape [%zu,%zu]: expected %s with K = %zu, as A has%s", paths[1],
                         f->b.shape[0], f->b.shape[1], layout, f->shape.k,
                         n != f->shape.k ? ""
                         : b_transposed  ? " (without --b-transposed?)"
                                         : " (--b-transposed?)");
    f->out_dims = 2;
    f->out_shape[0] = f->shape.m;
    f->out_shape[1] = n;
    return EXIT_OK;
}

int gemm_main(int argc, char **argv)
{
    struct options o = {0};
    struct files f = {.names = &names};
    const char *paths[2];
    const enum opt_result parsed = files_parse(&f, &page, argc, argv, &o.files, paths);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    int status = read_matrices(&f, paths, o.b_transposed);
    if (status == EXIT_OK)
        status = files_read_terms(&f);
    if (status == EXIT_OK) {
        f.desc.m = f.shape.m;
        f.desc.n = f.shape.n;
        f.desc.k = f.shape.k;
        f.desc.a_type = f.a.type;
        f.desc.b_type = f.b.type;
        f.desc.b = f.b.data;
        f.desc.b_transposed = o.b_transposed;
        status = files_compute(&f, NULL);
    }
    files_release(&f);
    return status;
}
