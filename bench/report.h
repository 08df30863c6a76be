/* The lines of a benchmark: a table while it runs, JSON and CSV at its end. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include "measure.h"
#include "peak.h"
#include "qdot.h"
#include "suites.h"
#include "verify.h"

/* A device as it was opened: on the CPU, with a number of threads. */
struct report_target {
    struct qdot_device_info info;
    size_t threads; /* 0: not the CPU */
    struct peak peak;
};

struct report_peer {
    const char *name;
    char version[64];
};

enum line_state { LINE_OK, LINE_WRONG, LINE_FAILED /* a call failed; reason has it */ };

struct report_line {
    size_t target; /* index of targets */
    const char *net, *layer;
    unsigned count;
    size_t repetition; /* of report.repeat */
    struct shape shape;
    enum qdot_type a_type, b_type, out_type;
    char kernel[64];
    const char *peer;  /* NULL: qdot */
    double peer_ratio; /* qdot's rate by the peer's; 0: none */
    enum line_state state;
    char reason[512]; /* or, for a peer, what was compared */
    struct contestant time;
    double create_ms;
};

/* One inference's layers of a network, by one row of a device or by a peer. */
struct report_total {
    size_t target;
    const struct bench_net *net;
    enum qdot_type a_type, b_type, out_type;
    char kernel[64];
    const char *peer; /* NULL: qdot */
    double ns, ops;
    double qdot_ns; /* of a peer: qdot's best, over the layers that the peer has */
    size_t layers;  /* measured, of net->count */
};

struct report {
    struct report_target *targets;
    size_t target_count;
    struct report_line *lines;
    size_t line_count;
    struct report_total *totals;
    size_t total_count;
    struct report_peer peers[8];
    size_t peer_count;
    char **left_out; /* lines of text: what the budget did not reach */
    size_t left_out_count;
    size_t repeat;      /* lines a product */
    size_t shape_width; /* of the table's column */
    bool no_memory;     /* a line was lost */
    bool wrong;         /* some line of qdot's is not LINE_OK */
};

double line_gops(const struct report_line *line);
void bench_report_table_head(const struct report *report);
/* Keeps a copy and prints it. */
void bench_report_add(struct report *report, const struct report_line *line);
void bench_report_add_total(struct report *report, const struct report_total *total);
void bench_report_left_out(struct report *report, const char *text);
int bench_report_add_target(struct report *report, const struct report_target *target);
void bench_report_add_peer(struct report *report, const char *name, const char *version);

/* Whole files or none; false after a line on stderr. */
bool bench_report_json(const struct report *report, const char *path, int argc, char **argv);
bool bench_report_csv(const struct report *report, const char *path);
void bench_report_free(struct report *report);

#endif
