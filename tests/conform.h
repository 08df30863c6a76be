/*
 * The device conformance run, 'qdot conform': what its files share.
 *
 *   conform.c          the verb: options, devices and rows, one child process each
 *   conform_options.c  the arguments
 *   conform_process.c  a child process: its lines, its end
 *   conform_child.c    inside a child: cases of one row, results as lines on a pipe
 *   conform_cases.c    the table of case groups: what is tried, as a function of (row's tile, seed,
 *                      index)
 *   conform_gemm.c     the cases of GEMM rows
 *   conform_conv.c     the cases of convolution rows
 *   conform_geometry.c the geometries of those
 *   conform_quantize.c the cases of rows for quantize and its kin
 *   conform_bytes.c    the cases of rows for maps and pools
 *   conform_repeat.c   cases that run an op again and again
 *   conform_data.c     random and constructed operands of one case
 *   conform_layout.c   one case: operands in guarded memory or buffers, and the reference's results
 *   conform_run.c      one case: the run and the comparison
 *   conform_quantize_run.c  the same for quantize and its kin
 *   conform_bytes_run.c     the same for maps and pools
 *   conform_problem.c  a case as a text, for --problem
 *   conform_shrink.c   the smallest case that fails
 *   conform_known.c    failures that are known
 *   conform_report.c   stdout, --json, --junit
 *   conform_html.c     --html
 *   conform_read.c     what --json wrote, read again
 *   conform_compare.c  --compare: two of those
 *   checks.c           checks of a device beside those of its rows (checks.h)
 *
 * A case is a pure function of the row's tile, the seed, the group and an index, so that any case
 * replays alone. Everything about devices and rows comes from qdot.h.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qdot.h"
#include "ref.h"

/* ---- random numbers -------------------------------------------------------------------------- */

struct random {
    uint64_t state;
};

uint64_t random_next(struct random *r);
size_t random_below(struct random *r, size_t bound);                 /* [0, bound) */
size_t random_between(struct random *r, size_t lo, size_t hi);       /* [lo, hi] */
uint64_t random_seed(uint64_t seed, const char *name, size_t index); /* of one case */

/* ---- cases ----------------------------------------------------------------------------------- */

enum { RUNS_MAX = 4 };

/* What a row is to the makers of cases. As text 6x64x4, conv_6x64x4, depthwise_1x16x4. */
struct geometry {
    enum qdot_op_kind kind;
    bool depthwise;
    size_t mr, nr, kr;
    bool small; /* interpreters and validation layers: shapes of at most about 40 */
};

enum fill {
    FILL_MIXED,   /* half extremes, half anything */
    FILL_EXTREME, /* 0x80, 0x7f, 0x00, 0xff at random */
    FILL_ANY,
    FILL_SMALL,   /* -3 .. 3, unsigned 0 .. 6 */
    FILL_COUNTED, /* 0, 1, 2 ... */
    FILL_CONSTANT /* one byte everywhere */
};

enum zero { ZERO_NONE, ZERO_ONE, ZERO_LOW, ZERO_HIGH, ZERO_EACH /* per row or column */ };

enum scales {
    SCALE_NONE,
    SCALE_ONE,     /* one, any mantissa; brings most accumulators into the output's range */
    SCALE_EACH,    /* the same per column, of both signs */
    SCALE_HALF,    /* per column +-1/2, 1/4, 3/2, 5/2 ...: ties */
    SCALE_EXTREME, /* per column 0, -0, 2^-126, just under 2^96 ..., or what the rounding has */
};

enum floats { FLOATS_NONE, FLOATS_ANY, FLOATS_EXTREME /* subnormals, -0, the largest */ };

enum place {
    PLACE_HOST_END,    /* host pointers; each operand ends at an unmapped page */
    PLACE_HOST_START,  /* each begins right after one */
    PLACE_BUFFERS,     /* one device buffer an operand kind, odd offsets, one sync after all runs */
    PLACE_SHARED,      /* one device buffer for everything */
    PLACE_WRAPPED_END, /* buffers made from host memory that ends at an unmapped page */
    PLACE_WRAPPED_START,
};

/* Of the ops on elements; places, runs and threads are as of any case. */
struct elements_case {
    enum qdot_op_kind kind;
    enum qdot_type type;
    size_t outer, axis, inner, group;
    bool each, reciprocal, scale, zero; /* each: parameters by axis */
    bool scale_at_run, zero_at_run;
    bool narrow; /* a range within the type's */
    /* VALUES_ONE: of dynamic quantize. VALUES_SMALL, which a person can follow, no group makes. */
    enum values { VALUES_MIXED, VALUES_NEAR_TIES, VALUES_BITS, VALUES_ONE, VALUES_SMALL } values;
    enum steps { STEPS_ANY, STEPS_POWERS, STEPS_EXTREME } steps; /* scales */
};

struct conform_case {
    struct elements_case elements; /* of QDOT_QUANTIZE */
    struct qdot_map map;           /* of QDOT_MAP, but for its table */
    bool table;                    /* of one operand, or of a max pool */
    bool count_padding;            /* of an average pool */
    enum qdot_op_kind kind;
    struct qdot_conv conv; /* of QDOT_CONV, with no field at its default 0; m is then its batch, n
                              its output channels, k the products of a sum. Of pools too */
    size_t m, n, k;        /* m: of the descriptor */
    enum qdot_type a_type, b_type, out_type;
    enum fill a_fill, b_fill;
    uint8_t a_byte, b_byte; /* FILL_CONSTANT */
    enum zero a_zero, b_zero;
    bool b_transposed, b_at_run, bias;
    bool wide_bias;               /* biases of any 32 bits instead of about the sum's size */
    size_t a_gap, b_gap, out_gap; /* leading dimension less the row's length */
    enum scales scale;
    enum floats row_scale, bias_f;
    int32_t out_zero, clamp_lo, clamp_hi;
    enum qdot_rounding rounding; /* a Q31 one has multipliers for scales */
    enum place place;
    size_t repeats;       /* of all the runs, after the first; on host memory, without gaps */
    size_t runs;          /* of one op, with m varying; at most RUNS_MAX */
    bool packed;          /* the op is made from another one's packed B */
    bool chain;           /* two ops, one reading what the other wrote, without a sync between */
    size_t threads;       /* other than 0: of a device of the case's own */
    size_t cache_percent; /* of that device */
    uint64_t data;        /* seed of the contents */
};

static inline bool case_has_multipliers(const struct conform_case *c)
{
    return c->rounding >= QDOT_ROUND_Q31_DOUBLE_AWAY && c->rounding <= QDOT_ROUND_Q31_SINGLE_UP;
}

static inline bool case_is_product(const struct conform_case *c)
{
    return c->kind == QDOT_GEMM || c->kind == QDOT_CONV;
}

struct conform_group {
    enum qdot_op_kind kind;
    const char *name; /* unique in its kind */
    const char *about;
    /* The index-th case of this group; false past the last. */
    bool (*make)(const struct geometry *g, size_t index, struct random *r, struct conform_case *c);
    size_t cpu, gpu; /* at most so many cases of a row, spread over the group; 0: all */
    bool cpu_only;   /* what it tries is documented for the CPU alone */
    bool wraps;      /* buffers over host memory: documented for the CPU and OpenCL */
};

extern const struct conform_group conform_groups[];
extern const size_t conform_group_count;

/* What the groups of this name try, "" where a kind of op has none; false: there is none. */
bool group_about(const char *name, const char **products, const char **convolutions);
void elements_settle(struct elements_case *e); /* makes it one that qdot.h allows */
/* From the first byte of so many units of a map's tensor to its last. */
size_t map_reach(const struct qdot_map *map, const size_t *stride, size_t units);
bool conform_group_applies(const struct conform_group *group, const struct geometry *g,
                           const char *backend);
bool conform_make(const struct conform_group *group, const struct geometry *g, uint64_t seed,
                  size_t index, struct conform_case *c);
size_t conform_count(const struct conform_group *group, const struct geometry *g);
size_t conform_limit(const struct conform_group *group, const char *backend, bool all);

/* ---- the operands of one case ---------------------------------------------------------------- */

void fill_bytes(struct random *r, void *memory, size_t bytes, enum qdot_type type, enum fill fill,
                uint8_t constant);
void fill_zeros(struct random *r, int32_t *zeros, size_t count, enum qdot_type type,
                enum zero mode);
void fill_bias(struct random *r, int32_t *bias, size_t count, bool wide);
void fill_scales(struct random *r, float *scales, size_t count, const struct conform_case *c);
void fill_multipliers(struct random *r, int32_t *multipliers, int32_t *shifts, size_t count,
                      const struct conform_case *c);
void fill_floats(struct random *r, float *values, size_t count, enum floats mode, int exponent);

/* ---- running one case ------------------------------------------------------------------------ */

enum fault { FAULT_NONE, FAULT_WRONG, FAULT_OUTSIDE, FAULT_CRASH, FAULT_HANG, FAULT_EXIT };

struct target {
    struct qdot_device *device; /* NULL: compare ref.c with reference.cl instead */
    struct ref_opencl *opencl;
    char kernel[64];
    enum fault fault; /* planted, to prove that conform reports it */
    size_t fault_k;   /* only in sums of so many products, or of so many elements, or more */
    bool tasks;       /* of struct options */
};

/* 'got': what the run left; 'out': where it, or what it is copied from, lies. */
struct guarded;
void conform_plant(enum fault fault, const struct guarded *out, bool at_end, uint8_t *got);

/* A parallel_for that starts a thread a task. */
void conform_parallel_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count);

/* Refused: the library says that it cannot, and why. Not run: this program could not try. */
enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_REFUSED, VERDICT_NOT_RUN };

struct outcome {
    char reason[640];
    char index[128], got[48], expected[48]; /* of the first mismatch */
};

enum verdict conform_fail(struct outcome *outcome, const char *what, const char *why);
/* Of a failed call. A refusal is not a failure, and not a pass. */
enum verdict conform_refused(struct outcome *outcome, const char *call,
                             const struct qdot_error *err);
/* A device of the case's own threads and caches, if it has any: else *own stays as it is. */
enum verdict conform_open_own(const struct target *target, const struct conform_case *c,
                              struct qdot_device **own, struct outcome *outcome);

enum verdict conform_run(const struct target *target, const struct conform_case *c,
                         struct outcome *outcome);
enum verdict conform_run_elements(const struct target *target, const struct conform_case *c,
                                  struct outcome *outcome);

enum verdict conform_run_bytes(const struct target *target, const struct conform_case *c,
                               struct outcome *outcome);

/* ---- results --------------------------------------------------------------------------------- */

enum status {
    STATUS_PASS,
    STATUS_FAIL,    /* wrong bits, or a call that failed */
    STATUS_CRASH,   /* the process ended */
    STATUS_TIMEOUT, /* a case did not end */
    STATUS_REFUSED, /* not offered here; the reason is the library's or the driver's */
    STATUS_NOT_RUN, /* should have run and did not */
    STATUSES
};

/* What a run says as a whole, and its exit status. */
enum outcome_of_all { ALL_PASS = 0, ALL_FAIL = 1, ALL_INCOMPLETE = 3 };

struct device {
    char name[24], backend[16], reason[160], description[128], driver[128], features[512];
    size_t compute_units;
    uint64_t memory_bytes;
    bool available;
    bool wanted; /* by --device */
};

enum { PROBLEM_TEXT = 512, REPLAY_TEXT = 1024 };

/* The smallest case that fails as a result's first failing one does. */
struct shrunk {
    char problem[PROBLEM_TEXT]; /* as --problem takes it; empty: nothing was tried */
    char reason[256], index[128], got[48], expected[48];
    char replay[REPLAY_TEXT];
    size_t tries;
    bool again;    /* alone, it failed as it had */
    bool complete; /* nothing about it could be made simpler; else time or tries were used up */
    double seconds;
};

struct result {
    char device[24], kernel[64], group[24];
    size_t cases;
    enum status status;
    bool required;   /* what did not run, and --require turns into a failure */
    char known[160]; /* of a failure: why it is none, says --known */
    char reason[640];
    char index[128], got[48], expected[48];
    char first_case[40];      /* that failed, as --case takes it; empty when none did */
    char replay[REPLAY_TEXT]; /* command line; empty likewise */
    struct shrunk smallest;
    double seconds;
};

/* Failures that --known lists. */
struct known {
    char driver[128], kernel[64], what[256], why[160];
};

struct known_list {
    struct known *all;
    size_t count;
};

int known_read(const char *path,
               struct known_list *list); /* 0, or a status with a line on stderr */
const char *known_why(const struct known_list *list, const char *driver, const struct result *r);

enum { CONFORM_SCHEMA = 1 }; /* of --json; docs/report.md says what changes it */

struct options;

struct report {
    struct result *results;
    size_t count, capacity;
    uint64_t seed;
    const struct device *devices; /* all; those not wanted are not in the report */
    size_t device_count;
    char date[32], command[1024]; /* when it began, and as what */
    bool partial;                 /* not all cases of all rows were asked for */
};

struct totals {
    size_t passed, failed, known, refused, not_run; /* results */
    size_t cases;                                   /* that ran */
};

struct result *report_add(struct report *report); /* zeroed, or NULL: out of memory */
void text_clean(char *text); /* UTF-8 without control characters; what is not becomes '?' */
const char *status_name(enum status status);
bool status_named(const char *name, enum status *status);
bool result_failed(const struct result *result);
void report_line(const struct result *result);
/* The command line that runs one case again: "--case edge:17" or a problem and the seed of its data. */
void replay_case(struct result *r, const struct options *o);
void replay_problem(char (*text)[REPLAY_TEXT], const struct options *o, const struct result *r,
                    const char *problem, uint64_t seed);
void report_began(struct report *report, int argc, char **argv);
/* Of one device, or with NULL of all. */
struct totals report_totals(const struct report *report, const char *device);
enum outcome_of_all totals_verdict(const struct totals *totals);
const char *verdict_name(enum outcome_of_all verdict);
int report_json(const struct report *report, const char *path); /* 0, or -1 with a line on stderr */
int report_junit(const struct report *report, const char *path);
int report_html(const struct report *report, const char *path);
int report_write(const char *option, const char *path, const char *text); /* likewise */
struct cJSON;
int report_write_json(struct cJSON *root, const char *path); /* deletes root */

/* ---- processes ------------------------------------------------------------------------------- */

#define CONFORM_NO_TIME "the row's time limit was used up"
#define CONFORM_GIVEN "problem"       /* the group of a case that --problem gives */
#define CONFORM_FIRST ", the first: " /* between how many cases failed and how */

struct child_options {
    const char *device, *kernel;      /* device "reference": ref.c against reference.cl */
    const char *group;                /* names separated by commas; NULL: all */
    const char *from;                 /* begin with this group */
    const char *only;                 /* "group:index": one case */
    const struct conform_case *given; /* of --problem, or NULL */
    size_t cases, threads;            /* 0: all; the default */
    size_t seconds;                   /* after which no case begins */
    bool tasks, all;                  /* all: the long run */
    uint64_t seed;
    struct geometry geometry;
    enum fault fault;
    size_t fault_k; /* only in sums of so many products or more */
    int fd;         /* where the lines go */
};

/* Lines, fields separated by tabs:
 *   device NAME BACKEND AVAILABLE REASON DESCRIPTION DRIVER UNITS BYTES
 *   features TEXT                                of the device whose rows follow
 *   begin INDEX                                  the row enumeration is about to look at row INDEX
 *   row NAME GEOMETRY ADMITTED REASON
 *   case GROUP INDEX                             about to run
 *   result GROUP CASES STATUS REASON INDEX GOT EXPECTED CASE SECONDS
 *   end                                          nothing is missing
 */
int conform_child_devices(int fd);
int conform_child_rows(const char *device, const char *kernels, size_t from, int fd);
int conform_child_cases(const struct child_options *options);
bool group_selected(const char *list, const char *name);

/* ---- arguments ------------------------------------------------------------------------------- */

struct options {
    const char *device, *kernel, *group, *require, *json, *junit, *html, *only, *problem;
    const char *known;
    const char *compare[2];
    const char *child, *from, *fault;
    struct conform_case given; /* of --problem */
    size_t cases, threads, timeout, case_timeout, shrink;
    uint64_t seed;
    bool list, small, all;
    bool alone; /* of a child: checks compiled one by one */
    bool tasks; /* parallel_for of the run's own, which a thread sanitizer can see into */
    struct geometry geometry;
};

extern const char options_help[];
int options_parse(int argc, char **argv, struct options *o); /* 0, or 2 with a line on stderr */
bool options_listed(const char *patterns, const char *name); /* does one, of "P,P", match? */
int options_usage(const char *name, const char *value, const char *expected); /* 2 */
bool geometry_parse(const char *text, struct geometry *g);
void geometry_print(const struct geometry *g, char *text, size_t bytes);

int conform_main(int argc, char **argv);

#endif
