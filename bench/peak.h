/*
 * What a device can do at most: its fastest instruction for exact sums of 8-bit products, in a loop
 * without memory. peak_cpu.c has register loops, peak_opencl.c has kernels; for the others bench.c
 * takes the best product that it observed and says so.
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

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
int peak_opencl(const char *device, struct peak *peak, struct qdot_error *err);

#endif
