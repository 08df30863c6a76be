/*
 * The command line of the qdot command: a table of options is both the parser and the help page,
 * so that the two cannot disagree. Every verb has one table, and one struct that it fills.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_OK = 0, EXIT_WRONG = 1, EXIT_USAGE = 2 };

enum opt_kind {
    OPT_FLAG, /* bool, no value */
    OPT_TEXT, /* const char * */
    OPT_INT,  /* int64_t in [lo, hi] */
    OPT_REAL, /* double in [lo, hi] */
};

/* Set values to their defaults before the parse; an option given twice: the last one counts. */
struct opt {
    const char *name;  /* "--threads", or "-o"; NULL ends the table */
    const char *value; /* how the help calls the value: "N" */
    enum opt_kind kind;
    size_t offset; /* of the value in the verb's struct */
    int64_t lo, hi;
    const char *help; /* with default and range; '\n' begins a new line */
};

/* The texts of one verb's help page, in this order. */
struct opt_page {
    const char *verb;     /* "gemm" */
    const char *summary;  /* after "qdot gemm - " */
    const char *synopsis; /* after "qdot gemm " */
    const char *description;
    const struct opt *options;
    const char *output;
    const char *status; /* exit status; NULL: the usual one */
    const char *examples;
};

enum opt_result { OPT_RUN, OPT_HELP /* printed: exit 0 */, OPT_ERROR /* said: exit 2 */ };

/* argv[0] is the verb. Arguments that are no options go to 'operands', at most 'capacity';
 * operands and count may be NULL when capacity is 0. "--" ends the options, "--name=value" works as
 * well as "--name value". */
enum opt_result opt_parse(const struct opt_page *page, int argc, char **argv, void *values,
                          const char **operands, size_t capacity, size_t *count);

/* "qdot VERB: ..." on stderr, one line; returns EXIT_USAGE. */
int opt_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A whole number with sign in [lo, hi]; a finite number; "MxNxK" of numbers from 1 up. False: it is
 * something else, and nothing is stored. */
bool opt_integer(const char *text, int64_t lo, int64_t hi, int64_t *value);
bool opt_real(const char *text, double *value);
bool opt_shape(const char *text, size_t shape[3]);
/* Whole numbers in [lo, hi] with commas between them: how many, or 0 when it is something else or
 * more than 'capacity'. */
size_t opt_numbers(const char *text, int64_t lo, int64_t hi, int64_t *values, size_t capacity);

/* The status of a failed library call, with its line on stderr: EXIT_USAGE where the request was
 * wrong, EXIT_WRONG where the machine failed. */
struct qdot_error;
int opt_failed(const char *verb, const struct qdot_error *error);

/* The verbs; argv[0] is the verb's name. */
int bench_main(int argc, char **argv);
int conform_main(int argc, char **argv);
int conv_main(int argc, char **argv);
int dequantize_main(int argc, char **argv);
int devices_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int gemm_main(int argc, char **argv);
int quantize_main(int argc, char **argv);
int tune_main(int argc, char **argv);

#endif
