/* Layers of real networks, and classes of matrix products. */
#ifndef BENCH_SUITES_H
#define BENCH_SUITES_H

#include "shape.h"

struct bench_layer {
    const char *name;
    unsigned count;     /* how often one inference computes it */
    struct shape shape; /* not completed */
};

enum bench_sum {
    SUM_NOTHING,
    SUM_INFERENCE, /* the layers add up to one inference, so a total means something */
    SUM_CLASS      /* they are one class of shapes, of which geometric means are told */
};

struct bench_net {
    const char *suite;  /* what --suite accepts; a suite may have several networks */
    const char *name;   /* of the network and the case */
    const char *source; /* where the shapes are from, and what is left out; for --help */
    const struct bench_layer *layers;
    size_t count;
    enum bench_sum sum;
};

extern const struct bench_net bench_nets[];
extern const size_t bench_net_count;

#endif
