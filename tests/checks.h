/*
 * Checks of a device as a whole, beside those of its rows: "device/NAME" stands where a row's name
 * would, and its groups are listed and selected as those of rows are.
 *
 *   checks.c              the table, the runs, one child process after another
 *   primitive*.c          group primitive: arithmetic by kernels of the tests' own, of the CPU moves
 *                         through memory as well
 *   check_load_*.c        the same of loads from memory
 *   check_opencl.c, check_vulkan.c   groups advertised, limits and build
 *   check_api.c           groups build and concurrency, through qdot.h
 */
#ifndef CHECKS_H
#define CHECKS_H

#include "conform.h"

/* Of a child: the device that is checked. */
struct check_target {
    const char *device; /* "opencl:0" */
    size_t index;       /* 0 */
    uint64_t seed;
    bool small, alone; /* alone: each case compiled for itself */
    bool tasks;        /* of struct options */
    const void *cases; /* of the set, as 'open' understands them */
};

struct check_set {
    const char *name; /* "device/integer" */
    const char *group, *about;
    const char *backends; /* "opencl", "cpu opencl vulkan" */
    /* What its cases share; NULL and a reason when there is none. */
    void *(*open)(const struct check_target *target, char *reason, size_t reason_bytes);
    const char *(*name_of)(void *state, size_t index); /* of a case; NULL past the last */
    enum verdict (*run)(void *state, size_t index, struct outcome *outcome);
    void (*close)(void *state);
    const void *cases; /* given to 'open' */
};

extern const struct check_set check_primitive_cpu[], check_primitive_opencl[],
    check_primitive_vulkan[];
extern const struct check_set check_load_opencl[], check_load_vulkan[];
extern const struct check_set check_opencl[], check_vulkan[], check_api[];

/* ---- of conform.c and conform_options.c ------------------------------------------------------ */

bool checks_have_group(const char *name);         /* not ended by '\0' */
const char *checks_group_about(const char *name); /* NULL: none of checks */
void checks_list(const struct options *o);
/* Runs what the options select on this device; false: out of memory. */
bool checks_run(const struct options *o, const char *device, struct report *report);
int checks_child(const struct options *o, int fd);

/* ---- of the checks --------------------------------------------------------------------------- */

enum verdict check_fail(struct outcome *outcome, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum verdict check_refuse(struct outcome *outcome, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum verdict check_pass(struct outcome *outcome); /* whatever was said before */
/* Passed, with something to know. */
enum verdict check_note(struct outcome *outcome, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
