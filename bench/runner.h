/* What bench.c decided to measure, and its run over one device. */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include <stdbool.h>
#include "peers.h"
#include "report.h"
#include "suites.h"

enum { PLAN_NETS = 32, PLAN_TYPES = 8, PLAN_OUTS = 8, PLAN_PEERS = 8, PLAN_CACHES = 8 };

struct bench_plan {
    const struct bench_net *nets[PLAN_NETS];
    size_t net_count;
    enum qdot_type types[PLAN_TYPES][2]; /* of A and B */
    size_t type_count;
    enum qdot_type outs[PLAN_OUTS];
    size_t out_count;
    enum qdot_rounding rounding; /* of s8 and u8 outputs */
    const struct peer *peers[PLAN_PEERS];
    size_t peer_count;
    size_t caches[PLAN_CACHES]; /* percents, each with lines of its own on the CPU; else as it is */
    size_t cache_count;
    const char *tuning; /* a file; NULL: none */
    bool untuned;       /* also the dispatcher's rows without it */
    const char *kernel; /* NULL: the dispatcher's */
    bool all_rows;
    bool setup;      /* measure that too */
    bool b_at_run;   /* of products, s32 outputs */
    double min_time; /* seconds */
    size_t repeat;   /* lines a product, each with samples of its own; from 1 */
    double budget;   /* seconds a device and network; 0: none */
};

/* device: a name for qdot_open; threads: 0 where it is not the CPU. Lines go to the report; a
 * failure to open the device is the return value. QDOT_UNSUPPORTED: plan->kernel is no row of this
 * device. */
int runner_run(const struct bench_plan *plan, struct report *report, const char *device,
               size_t threads, struct qdot_error *err);

#endif
