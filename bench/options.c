/* The table-driven command line: parse, help page, error lines. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"
#include "qdot.h"

int opt_error(const char *verb, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c; c++) /* a file name may hold a newline: the error is one line */
        if ((unsigned char)*c < 32)
            *c = '?';
    fprintf(stderr, "qdot %s: %s\n", verb, text);
    return EXIT_USAGE;
}

int opt_failed(const char *verb, const struct qdot_error *error)
{
    static const char field[] = "tuning_file: "; /* of the descriptor: here it is an option */
    const bool tuning = strncmp(error->text, field, strlen(field)) == 0;
    const char *text = tuning ? error->text + strlen(field) : error->text;
    opt_error(verb, "%s%s", tuning ? "--tuning " : "",
              text[0] ? text : qdot_status_text(error->status));
    return error->status == QDOT_DEVICE_FAILED || error->status == QDOT_NO_MEMORY ? EXIT_WRONG
                                                                                  : EXIT_USAGE;
}

bool opt_integer(const char *text, int64_t lo, int64_t hi, int64_t *value)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    char *end;
    errno = 0;
    if (digits[0] < '0' || digits[0] > '9')
        return false;
    long long parsed = strtoll(text, &end, 10);
    if (errno || *end || parsed < lo || parsed > hi)
        return false;
    *value = parsed;
    return true;
}

bool opt_real(const char *text, double *value)
{
    char *end;
    if (!text[0] || strchr(" \t\n", text[0]))
        return false;
    double parsed = strtod(text, &end);
    if (*end || end == text || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool opt_shape(const char *text, size_t shape[3])
{
    size_t parsed[3];
    for (int i = 0; i < 3; i++) {
        char *end;
        errno = 0;
        if (text[0] < '0' || text[0] > '9')
            return false;
        unsigned long long number = strtoull(text, &end, 10);
        if (errno || number == 0 || number > SIZE_MAX || *end != (i < 2 ? 'x' : '\0'))
            return false;
        parsed[i] = (size_t)number;
        text = end + 1;
    }
    memcpy(shape, parsed, sizeof(parsed));
    return true;
}

size_t opt_numbers(const char *text, int64_t lo, int64_t hi, int64_t *values, size_t capacity)
{
    for (size_t count = 0; count < capacity; count++) {
        char number[24];
        const size_t length = strcspn(text, ",");
        if (length >= sizeof(number))
            return 0;
        memcpy(number, text, length);
        number[length] = '\0';
        if (!opt_integer(number, lo, hi, &values[count]))
            return 0;
        if (!text[length])
            return count + 1;
        text += length + 1;
    }
    return 0;
}

static void print_indented(const char *text, int indent)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("%*s%.*s\n", length ? indent : 0, "", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_page(const struct opt_page *page)
{
    printf("qdot %s - %s\n\nSYNOPSIS\n", page->verb, page->summary);
    printf("    qdot %s %s\n\nDESCRIPTION\n", page->verb, page->synopsis);
    print_indented(page->description, 4);
    printf("\nOPTIONS\n");
    for (const struct opt *o = page->options; o->name; o++) {
        printf("    %s%s%s\n", o->name, o->value ? " " : "", o->value ? o->value : "");
        print_indented(o->help, 8);
    }
    printf("    --help\n        Print this page.\n\nOUTPUT\n");
    print_indented(page->output, 4);
    printf("\nEXIT STATUS\n");
    print_indented(page->status ? page->status
                                : "0  success\n"
                                  "1  a device or a driver failed\n"
                                  "2  bad usage or bad input; one line on stderr names the "
                                  "argument and what was expected",
                   4);
    printf("\nEXAMPLES\n");
    print_indented(page->examples, 4);
}

static bool store(const struct opt_page *page, const struct opt *o, const char *text, void *values)
{
    void *target = (char *)values + o->offset;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)target = true;
        return true;
    case OPT_TEXT:
        *(const char **)target = text;
        if (text[0])
            return true;
        opt_error(page->verb, "%s: the value is empty: expected %s", o->name, o->value);
        return false;
    case OPT_INT:
        if (opt_integer(text, o->lo, o->hi, target))
            return true;
        opt_error(page->verb, "%s '%s': expected a whole number from %lld to %lld", o->name, text,
                  (long long)o->lo, (long long)o->hi);
        return false;
    case OPT_REAL:
        if (opt_real(text, target) && *(double *)target >= (double)o->lo &&
            *(double *)target <= (double)o->hi)
            return true;
        opt_error(page->verb, "%s '%s': expected a number from %lld to %lld", o->name, text,
                  (long long)o->lo, (long long)o->hi);
    }
    return false;
}

static const struct opt *find(const struct opt *options, const char *name, size_t length)
{
    for (const struct opt *o = options; o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

enum opt_result opt_parse(const struct opt_page *page, int argc, char **argv, void *values,
                          const char **operands, size_t capacity, size_t *count)
{
    bool options = true;
    size_t found = 0;
    /* Help is asked for by people who do not know the rest: it wins over any error. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_page(page);
            return OPT_HELP;
        }
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (options && strcmp(argument, "--") == 0) {
            options = false;
            continue;
        }
        if (!options || argument[0] != '-' || !argument[1]) {
            if (found == capacity) {
                opt_error(page->verb, "'%s': expected an option that 'qdot help %s' lists",
                          argument, page->verb);
                return OPT_ERROR;
            }
            operands[found++] = argument;
            continue;
        }
        size_t length = strcspn(argument, "=");
        const struct opt *o = find(page->options, argument, length);
        if (!o) {
            opt_error(page->verb, "'%.*s': expected an option that 'qdot help %s' lists",
                      (int)length, argument, page->verb);
            return OPT_ERROR;
        }
        const char *value = argument[length] ? argument + length + 1 : NULL;
        if (o->kind == OPT_FLAG ? value != NULL : !value && i + 1 == argc) {
            if (o->kind == OPT_FLAG)
                opt_error(page->verb, "%s: expected no value", o->name);
            else
                opt_error(page->verb, "%s: expected %s after it", o->name, o->value);
            return OPT_ERROR;
        }
        if (o->kind != OPT_FLAG && !value)
            value = argv[++i];
        if (!store(page, o, value, values))
            return OPT_ERROR;
    }
    if (count)
        *count = found;
    return OPT_RUN;
}
