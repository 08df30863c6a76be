/* The program of every OpenCL row with one output type, as the library compiles it, in a file of its
 * own in the directory given. Its first line is a comment: the features that the row needs, MR, NR,
 * 'pass' and work-items of a group (internal.h), "gpu" where the row is for those alone, the options. */
#include <stdio.h>
#include <string.h>
#include "opencl/opencl.h"

static const struct {
    enum qdot_type type;
    const char *name;
} outputs[] = {{QDOT_U8, "u8"}, {QDOT_S8, "s8"}, {QDOT_S32, "s32"}, {QDOT_F32, "f32"}};

static void write_needs(const struct qdot_row *row, FILE *file)
{
    const char *between = "// ";
    for (const struct qdot_feature *f = qdot_opencl_backend.features; f->name; f++)
        if (row->needs & f->bit) {
            fprintf(file, "%s%s", between, f->name);
            between = ",";
        }
    if (!row->needs)
        fputs("// none", file);
}

static bool write_row(const struct qdot_row *row, enum qdot_type out, const char *directory)
{
    char path[1024], options[OCL_OPTIONS];
    const struct ocl_source source = ocl_source(row);
    ocl_options(row, out, QDOT_ROUND_RNE, false, options);
    snprintf(path, sizeof(path), "%s/%s.cl", directory, row->name);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    write_needs(row, file);
    const size_t *lanes = ((const struct ocl_row *)row->impl)->lanes;
    fprintf(file, " %u %u %u %zu %s %s\n", row->mr, row->nr, row->pass, lanes[0] * lanes[1],
            row->niche && (row->niche->with & OCL_GPU) ? "gpu" : "any", options);
    for (size_t i = 0; i < source.count; i++)
        fwrite(source.text[i], 1, source.bytes[i], file);
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        if (strcmp(argv[1], outputs[i].name) != 0)
            continue;
        for (size_t r = 0; r < OCL_ROWS; r++)
            if (ocl_rows[r].op <= QDOT_CONV && /* no product, no inner loop to look at */
                !write_row(&ocl_rows[r], outputs[i].type, argv[2])) {
                perror(argv[2]);
                return 1;
            }
        return 0;
    }
    fprintf(stderr, "usage: opencl_texts u8|s8|s32|f32 DIRECTORY\n");
    return 2;
}
