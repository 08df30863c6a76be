/*
 * Faults in drivers, for the tests only: a shared object that stands between a program and libOpenCL
 * and libvulkan, linked to tests/faults.c or put before any program by LD_PRELOAD.
 *
 *   fault_layer.c    what is to go wrong, and at which call; objects that are alive
 *   fault_opencl.c   the functions of OpenCL: found by the library's look into the process, before
 *                    any libOpenCL is opened
 *   fault_vulkan.c   vkGetInstanceProcAddr: the object is named libvulkan.so.1 inside, so that who
 *                    opens that gets this one
 *
 * Without the functions below a program is told what goes wrong by its environment:
 *   QDOT_FAULT=KIND:N[:CODE]   KIND as fault_kinds names them
 *   QDOT_FAULT_CALL=NAME       only calls of this function count
 *   QDOT_FAULT_LIES=NAME=VALUE[,...]   limits that devices report, as 'lie' is asked for them
 */
#ifndef FAULT_LAYER_H
#define FAULT_LAYER_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_WATCH,   /* nothing; where calls come from is noted */
    FAULT_FAIL,    /* the n-th call returns the code and does nothing */
    FAULT_LOSE,    /* it, and all after it */
    FAULT_HANG,    /* the n-th call does not return */
    FAULT_CORRUPT, /* from the n-th on a bit is wrong in each result that comes back */
    FAULT_DROP     /* from the n-th on no kernel runs, and each launch says that it did */
};

/* Counts from 1 again, with nothing to go wrong until then. */
void fault_set(enum fault_kind kind, size_t at, int code);
size_t fault_calls(void);    /* counted since then */
const char *fault_hit(void); /* the function whose call went wrong first, NULL: none yet */
/* Calls since fault_set whose chain of callers none had before, in this process. */
size_t fault_sites(size_t *calls, size_t capacity);
size_t fault_live(void);           /* objects created and not released */
size_t fault_misused(void);        /* releases of what is not alive */
const char *fault_live_name(void); /* the function that made one of those alive */

/* ---- of the wrappers ------------------------------------------------------------------------- */

/* A call that can fail: true and a code when this one is to. Does not return for one that hangs. */
bool fault_here(const char *call, int *code);
bool fault_now(enum fault_kind kind); /* FAULT_CORRUPT, FAULT_DROP: is this the one? */
void fault_add(const void *object, const char *maker);
void fault_remove(const void *object);
bool lie(const char *name, unsigned long long *value);
const char *lie_text(const char *name); /* up to the next comma is its value; NULL: none */

#endif
