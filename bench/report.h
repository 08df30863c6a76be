/* The lines of a benchmark: a table while it runs, JSON and CSV at its end. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include "measure.h"
#include "peak.h"
#include "qdot.h"
#include "setup.h"
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
    const struct bench_net *net;
    const char *layer;
    unsigned count;
    size_t repetition;    /* of report.repeat */
    size_t row;           /* which of qdot's that compete, from 0 */
    bool chosen;          /* the dispatcher chose it */
    size_t cache_percent; /* of the device's descriptor; 0: as it is */
    struct shape shape;
    enum qdot_type a_type, b_type, out_type;
    char kernel[64];
    const char *peer;  /* NULL: qdot */
    double peer_ratio; /* qdot's rate by the peer's; 0: none */
    enum line_state state;
    char reason[512]; /* or, for a peer, what was compared */
    struct contestant time;
    double create_ms;
    double stream; /* bytes a nanosecond, of a buffer as large as what it streams; 0: not known */
    struct setup setup;
};

/* One inference's layers of a network, by one row of a device or by a peer. */
struct report_total {
    size_t target;
    const struct bench_net *net;
    enum qdot_type a_type, b_type, out_type;
    char kernel[64];
    const char *peer; /* NULL: qdot */
    size_t cache_percent;
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
    size_t repeat;               /* lines a product */
    bool b_at_run;               /* B came with each run */
    enum qdot_rounding rounding; /* of s8 and u8 outputs */
    size_t shape_width;          /* of the table's column */
    bool no_memory;              /* a line was lost */
    bool wrong;                  /* some line of qdot's is not LINE_OK */
};

double line_gops(const struct report_line *line);
/* Of the peak; and of what the bytes that it streams allow, 0 where the peak is less. */
double line_peak(const struct report *report, const struct report_line *line);
double line_streamed(const struct report *report, const struct report_line *line);
/* ", 2 threads", ", caches of 50%" and such. */
void report_where(const struct report *report, size_t target, size_t cache_percent, char *text,
                  size_t bytes);
void bench_report_table_head(const struct report *report);
/* Keeps a copy and prints it. */
void bench_report_add(struct report *report, const struct report_line *line);
void bench_report_add_total(struct report *report, const struct report_total *total);
/* The classes of a target, when all its lines are there. */
void bench_report_classes(const struct report *report, size_t target);
struct cJSON;
void bench_classes_json(const struct report *report, struct cJSON *list);
void bench_report_left_out(struct report *report, const char *text);
int bench_report_add_target(struct report *report, const struct report_target *target);
void bench_report_add_peer(struct report *report, const char *name, const char *version);

/* Whole files or none; false after a line on stderr. */
bool bench_report_json(const struct report *report, const char *path, int argc, char **argv);
bool bench_report_csv(const struct report *report, const char *path);
void bench_report_free(struct report *report);

#endif
