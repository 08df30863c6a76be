/* Layers of real networks as matrix products. */
#ifndef BENCH_SUITES_H
#define BENCH_SUITES_H

#include <stddef.h>

struct bench_layer {
    const char *name;
    size_t m, n, k;
    unsigned count; /* how often one inference computes it */
};

struct bench_net {
    const char *suite;  /* what --suite accepts; a suite may have several networks */
    const char *name;   /* of the network and the case */
    const char *source; /* where the shapes are from, and what is left out; for --help */
    const struct bench_layer *layers;
    size_t count;
    int whole; /* the layers add up to one inference, so a total means something */
};

extern const struct bench_net bench_nets[];
extern const size_t bench_net_count;

#endif
