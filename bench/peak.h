/*
 * What a device can do at most: its fastest instruction for exact sums of 8-bit products, in a loop
 * without memory: registers on the CPU, kernels and shaders elsewhere. Where a loop gives 0, the
 * benchmark takes the best product that it observed and says so.
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qdot.h"

struct peak {
    double gops;   /* 1 multiply-add = 2 operations; 0: not known */
    char name[96]; /* of the loop or the product */
};

uint64_t bench_now_ns(void);
int bench_fail(struct qdot_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int peak_cpu(size_t threads, struct peak *peak, struct qdot_error *err);
/* How many bytes a nanosecond these threads read of a matrix of so many, each its own part, again and
 * again: from whichever cache or memory holds that much. */
int peak_cpu_stream(size_t threads, size_t bytes, double *rate, struct qdot_error *err);
int peak_opencl(const char *device, struct peak *peak, struct qdot_error *err);
int peak_vulkan(const char *device, struct peak *peak, struct qdot_error *err);

#endif
