/*
 * The command line: the input is a verb and its arguments, with a newline or a zero between them, in
 * a directory with a few .npy files. No argument leads out of it, and benchmarks end where they
 * would begin to measure, at a device that is not there.
 */
#include "fuzz.h"
#include <fcntl.h>
#include <unistd.h>
#include "conform.h"
#include "npy.h"
#include "options.h"

enum { ARGUMENTS = 24 };

static void write_npy(const char *name, enum qdot_type type, size_t dims, const size_t *shape)
{
    char header[NPY_HEADER];
    FILE *file = fopen(name, "wb");
    size_t bytes = npy_item_bytes(type);
    npy_header(type, dims, shape, header);
    for (size_t i = 0; i < dims; i++)
        bytes *= shape[i];
    EXPECT(file && fwrite(header, 1, sizeof(header), file) == sizeof(header));
    for (size_t i = 0; i < bytes; i++)
        EXPECT(fputc((int)(i * 7 & 63), file) != EOF);
    EXPECT(fclose(file) == 0);
}

static void make_files(void)
{
    write_npy("a", QDOT_U8, 2, (const size_t[]){3, 5});
    write_npy("b", QDOT_S8, 2, (const size_t[]){5, 4});
    write_npy("x", QDOT_U8, 4, (const size_t[]){1, 6, 6, 4});
    write_npy("w", QDOT_S8, 4, (const size_t[]){4, 3, 3, 4});
    write_npy("z", QDOT_S32, 1, (const size_t[]){4});
    write_npy("f", QDOT_F32, 1, (const size_t[]){4});
}

/* ---- a directory of its own ------------------------------------------------------------------ */

static char dir[] = "/tmp/qdot-fuzz.XXXXXX";
static int home, inside; /* libFuzzer's files are where it was started */

static void remove_dir(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0)
        perror(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    home = open(".", O_RDONLY | O_DIRECTORY);
    EXPECT(home >= 0 && mkdtemp(dir) && setenv("XDG_CACHE_HOME", dir, 1) == 0);
    inside = open(dir, O_RDONLY | O_DIRECTORY);
    EXPECT(inside >= 0);
    atexit(remove_dir);
    return 0;
}

static void run(int argc, char **argv)
{
    struct options options = {0};
    static char device[] = "--device", nothing[] = "opencl:77";
    const char *verb = argv[0];
    if (strcmp(verb, "gemm") == 0) {
        gemm_main(argc, argv);
    } else if (strcmp(verb, "conv") == 0) {
        conv_main(argc, argv);
    } else if (strcmp(verb, "devices") == 0) {
        devices_main(argc, argv);
    } else if (strcmp(verb, "conform") == 0) {
        options_parse(argc, argv, &options);
    } else if (strcmp(verb, "bench") == 0 || strcmp(verb, "explain") == 0) {
        argv[argc++] = device;
        argv[argc++] = nothing;
        *(argv + argc) = NULL;
        (strcmp(verb, "bench") == 0 ? bench_main : explain_main)(argc, argv);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static size_t runs;
    char *argv[ARGUMENTS + 3], *text = malloc(size + 1);
    int argc = 0;
    EXPECT(text);
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n')
            text[i] = '\0';
        else if (text[i] == '/')
            text[i] = '_';
    for (size_t at = 0; at < size && argc < ARGUMENTS; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    argv[argc] = NULL;
    if (argc > 0) {
        EXPECT(fchdir(inside) == 0);
        if (runs++ % 64 == 0) /* an output may have replaced one */
            make_files();
        run(argc, argv);
        EXPECT(fchdir(home) == 0);
    }
    free(text);
    return 0;
}
