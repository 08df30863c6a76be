/* The qdot command: finds the verb. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "options.h"
#include "qdot.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} verbs[] = {
    {"devices", devices_main, "every device of every backend, its rows, and why a row is refused"},
    {"gemm", gemm_main, "one matrix product on real data, .npy in and out"},
    {"conv", conv_main, "one convolution on real data, .npy in and out"},
    {"quantize", quantize_main, "real numbers to 16, 8 or 4 bits: true, dynamic, fake; .npy"},
    {"dequantize", dequantize_main, "and back"},
    {"bench", bench_main, "throughput on every device, each result verified before it is timed"},
    {"conform", conform_main, "the device conformance run: is every row of every device right?"},
    {"tune", tune_main, "the fastest row for each shape, verified; kept, or in a file to share"},
    {"explain", explain_main, "what the dispatcher would choose for one op, and why"},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(void)
{
    printf("qdot - int8 matrix multiplication and convolution on whatever is in the machine, the "
           "same bits everywhere\n"
           "\n"
           "SYNOPSIS\n"
           "    qdot VERB [options]\n"
           "    qdot help [VERB]\n"
           "    qdot --version\n"
           "\n"
           "VERBS\n");
    for (size_t i = 0; i < VERBS; i++)
        printf("    %-12s%s\n", verbs[i].name, verbs[i].about);
    printf(
        "\n"
        "NUMBERS\n"
        "    acc[m][n] = sum over k of (A[m][k] - a_zero) * (B[k][n] - b_zero) + bias[n], modulo\n"
        "    2^32. A and B are u8 or s8 in any combination. The output is acc itself (s32), or\n"
        "    scaled to f32, u8 or s8. Every row of every device gives the same bits.\n"
        "\n"
        "NAMES\n"
        "    A device is 'cpu', 'opencl:N' or 'vulkan:N', as 'qdot devices' prints it. A "
        "backend's\n"
        "    name alone is its first device; 'auto' is all of them, chosen by measured time.\n"
        "    A row is one kernel of one backend, written 'backend/row'. What a verb prints as a\n"
        "    row is what --kernel accepts.\n"
        "\n"
        "FILES\n"
        "    Compiled GPU programs and measured times are kept in $XDG_CACHE_HOME/qdot, or\n"
        "    ~/.cache/qdot. They may be removed at any time. 'qdot tune' writes tuning files, "
        "which\n"
        "    --tuning reads.\n"
        "\n"
        "EXIT STATUS\n"
        "    0  success\n"
        "    1  something is wrong in the result, or a device failed\n"
        "    2  bad usage or bad input; one line on stderr names the argument and what was "
        "expected\n"
        "    3  conform: nothing failed, but not all that should have run did\n"
        "\n"
        "EXAMPLES\n"
        "    qdot devices\n"
        "    qdot gemm a.npy b.npy -o c.npy\n"
        "    qdot help gemm\n");
}

static int run_verb(const char *name, int argc, char **argv)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return verbs[i].run(argc, argv);
    fprintf(stderr,
            "qdot: verb '%s': expected devices, gemm, conv, quantize, dequantize, bench, conform, "
            "tune, explain or help\n",
            name);
    return EXIT_USAGE;
}

static int run_help(int argc, char **argv)
{
    char option[] = "--help";
    if (argc > 2)
        return opt_error("help", "'%s': expected one verb", argv[2]);
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], option) == 0) {
        print_help();
        return EXIT_OK;
    }
    char *arguments[] = {argv[1], option, NULL};
    return run_verb(argv[1], 2, arguments);
}

int main(int argc, char **argv)
{
    int status;
    signal(SIGXFSZ, SIG_IGN); /* past a file size limit: a failed write, not a half file */
    if (argc < 2) {
        fprintf(
            stderr,
            "qdot: no verb: expected devices, gemm, conv, quantize, dequantize, bench, conform, "
            "tune, explain or help\n");
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("qdot %s\n", qdot_version());
        status = EXIT_OK;
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
               strcmp(argv[1], "help") == 0) {
        status = run_help(argc - 1, argv + 1);
    } else {
        status = run_verb(argv[1], argc - 1, argv + 1);
    }
    /* A full disk or a closed pipe shows only here. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_OK) {
        fprintf(stderr, "qdot: stdout: expected to be writable\n");
        status = EXIT_WRONG;
    }
    return status;
}
