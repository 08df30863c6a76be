/* qdot tune: the fastest row for each shape, each result verified; a tuning file of them. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"
#include "peak.h"
#include "progress.h"
#include "request.h"
#include "save.h"
#include "subject.h"

enum { MAX_ROWS = 64, MAX_FILES = 64, FINALISTS = 5, ROUNDS = 11, ROUNDS_TO_WIN = 10 };
#define GAIN 1.03          /* as much faster a row has to be to be taken: less is noise */
#define HOPELESS 2.0       /* as much slower in its first runs, a row is not run again */
#define SCREEN_NS 5e6      /* of those first runs, where one is shorter */
#define BATCH_NS 2e6       /* of a round, at least */
#define LEAST_SECONDS 0.05 /* of the samples of a finalist */
#define MOST_SECONDS 1.0

struct options {
    const char *suite, *shape, *conv, *types, *out, *threads, *device, *tuning, *output;
    double budget;
    bool merge;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"--suite", "S[,S]", OPT_TEXT, AT(suite), 0, 0,
     "Shapes of these networks, as 'qdot bench' has them; its default is the default here."},
    {"--shape", "MxNxK[,...]", OPT_TEXT, AT(shape), 0, 0,
     "Products of these sizes, instead of the default suites or in addition to --suite."},
    {"--conv", "SPEC[,...]", OPT_TEXT, AT(conv), 0, 0,
     "Convolutions likewise: \"1x56x56x64 64x3x3 s1 p1 g1\"."},
    {"--types", "AB[,AB]", OPT_TEXT, AT(types), 0, 0,
     "Types of A and B: u8s8 (default), s8s8, u8u8, s8u8."},
    {"--out", "TYPE[,TYPE]", OPT_TEXT, AT(out), 0, 0, "Outputs: s32 (default), s8, u8, f32."},
    {"--threads", "N", OPT_TEXT, AT(threads), 0, 0,
     "Threads of the CPU backend; times hold for so many. Default: one a processor."},
    {"--device", "D[,D]", OPT_TEXT, AT(device), 0, 0,
     "cpu, opencl:N, vulkan:N, or a backend's name (its first device). Default: every device."},
    {"--budget", "SECONDS", OPT_REAL, AT(budget), 1, 1000000,
     "Time for a device, its rows' self-tests aside; shapes that do not fit stay as they are.\n"
     "Default: 600."},
    {"--tuning", "FILE", OPT_TEXT, AT(tuning), 0, 0,
     "What is known already: it is where the search begins, and is in the new file too."},
    {"-o", "FILE", OPT_TEXT, AT(output), 0, 0,
     "The tuning file to write, for --tuning and tuning_file. Default: the times are kept in the\n"
     "cache, where every later run finds them."},
    {"--merge", NULL, OPT_FLAG, AT(merge), 0, 0,
     "Measures nothing: joins the files that are named into one. Of two times of the same row,\n"
     "problem, device and driver the shorter is taken; overrides are tried in the files' order."},
    {0},
};
#undef AT

static const struct opt_page page = {
    "tune",
    "the fastest row for each shape, each result verified",
    "[--suite S | --shape MxNxK | --conv SPEC] [options]\n"
    "    qdot tune --merge FILE FILE... -o FILE",
    "Runs every admitted row that can compute a shape, also those that the dispatcher would not\n"
    "consider, proves each result before it is timed, and times the best in turns with the\n"
    "present choice. A row takes its place only where it is faster by 3% in 10 of 11 rounds of\n"
    "both: no shape gets slower. Ctrl-C ends the search; what is known by then is written.",
    options,
    "A line a shape: the row that the dispatcher took and its time, the best row and its time,\n"
    "and how many times faster that is. The file is described in docs/tuning.md.",
    "0  the shapes were tuned, as far as the budget reached\n"
    "1  a result was wrong (the row is named, and not used), a device failed, or nothing was "
    "tuned\n"
    "2  bad usage or a bad file; one line on stderr names it and what was expected",
    "qdot tune --device vulkan:0 --suite resnet50,bert_base --budget 120 -o a770.json\n"
    "qdot bench --device vulkan:0 --suite resnet50 --tuning a770.json --untuned\n"
    "qdot tune --merge a770.json rx7600.json -o all.json",
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* ---- one shape -------------------------------------------------------------------------------- */

struct entrant {
    struct subject subject;
    double screened_ns;
    double ns; /* the shortest of the samples */
    char row[64];
};

struct tuner {
    const struct request *request;
    struct qdot_device *device;
    struct qdot_device_info info;
    struct qdot_row_info rows[MAX_ROWS];
    size_t row_count;
    struct progress *progress;
    uint64_t begin;
    double budget;       /* seconds */
    size_t shapes, done; /* of this device */
    double share;        /* seconds for the present shape */
    size_t improved, kept, left_out;
    double log_ratios;
    bool wrong;
};

/* The first is the dispatcher's row. */
struct field {
    struct product product;
    struct entrant entrants[FINALISTS + 1];
    size_t count;
    double best_ns; /* screened */
};

static double elapsed(const struct tuner *t)
{
    return (double)(bench_now_ns() - t->begin) / 1e9;
}

static bool over(const struct tuner *t)
{
    return interrupted || elapsed(t) > t->budget;
}

static void show(const struct tuner *t, const char *row)
{
    enum { WIDTH = 20 };
    char text[160], bar[WIDTH + 1];
    const double left = t->budget - elapsed(t);
    const size_t full = t->done * WIDTH / t->shapes;
    memset(bar, '.', WIDTH);
    memset(bar, '#', full);
    bar[WIDTH] = '\0';
    snprintf(text, sizeof(text), "%s [%s] shape %zu of %zu, %s, at most %.0f s left", t->info.name,
             bar, t->done + 1, t->shapes, row, left > 0 ? left : 0);
    progress_text(t->progress, text);
}

/* A failure of one row is told, and the search goes on. */
static void complain(struct tuner *t, const struct product *p, const char *row, const char *what)
{
    char shape[SHAPE_TEXT];
    shape_text(&p->shape, shape, sizeof(shape));
    opt_error("tune", "%s: %s: %s: %s", t->info.name, shape, row, what);
    t->wrong = true;
}

/* The time of a run, from few. */
static int screen(struct entrant *e, struct qdot_error *err)
{
    size_t batch = 1;
    e->screened_ns = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t begin = bench_now_ns();
        const int status = subject_run(&e->subject, batch, err);
        if (status != QDOT_OK)
            return status;
        const double ns = (double)(bench_now_ns() - begin) / (double)batch;
        e->screened_ns = i == 0 || ns < e->screened_ns ? ns : e->screened_ns;
        if (ns * (double)batch > 4 * SCREEN_NS)
            break; /* long enough to tell */
        batch = ns * (double)batch < SCREEN_NS ? (size_t)(SCREEN_NS / (ns + 1)) + 1 : batch;
    }
    return QDOT_OK;
}

/* Creates and proves it; row NULL: the dispatcher's. False: it does not compete. */
static bool enter(struct tuner *t, struct product *p, const char *row, struct entrant *e)
{
    struct qdot_error err = {0};
    char reason[256] = "";
    bool good = false;
    show(t, row ? row : "the dispatcher's row");
    memset(e, 0, sizeof(*e));
    int status = subject_create(&e->subject, t->device, p, row, &err);
    if (status == QDOT_UNSUPPORTED && row)
        return false;
    if (status == QDOT_OK) {
        snprintf(e->row, sizeof(e->row), "%s", e->subject.row);
        status = subject_verify(&e->subject, p, &good, reason, sizeof(reason), &err);
    }
    if (status == QDOT_OK && good)
        status = screen(e, &err);
    if (status == QDOT_OK && good)
        return true;
    complain(t, p, *e->row ? e->row : row ? row : "any row", status == QDOT_OK ? reason : err.text);
    subject_destroy(&e->subject);
    return false;
}

/* Into the finalists, in the place of the slowest where there are enough. The first stays. */
static void admit(struct field *f, struct entrant *e)
{
    f->best_ns = f->best_ns > 0 && f->best_ns < e->screened_ns ? f->best_ns : e->screened_ns;
    if (f->count <= FINALISTS && e->screened_ns <= f->best_ns * HOPELESS) {
        f->entrants[f->count++] = *e;
        return;
    }
    struct entrant *slowest = &f->entrants[1];
    for (size_t i = 2; i < f->count; i++)
        if (f->entrants[i].screened_ns > slowest->screened_ns)
            slowest = &f->entrants[i];
    if (f->count > 1 && e->screened_ns < slowest->screened_ns) {
        const struct entrant loser = *slowest;
        *slowest = *e;
        *e = loser;
    }
    subject_destroy(&e->subject);
}

/* Times these entrants in turns. */
static int time_entrants(struct tuner *t, struct entrant *const *entrants, size_t count,
                         double seconds, struct qdot_error *err)
{
    struct contestant contestants[FINALISTS + 1];
    show(t, "the best in turns");
    for (size_t i = 0; i < count; i++)
        contestants[i] = (struct contestant){.run = subject_run, .self = &entrants[i]->subject};
    const int status = measure(contestants, count, seconds, err);
    for (size_t i = 0; status == QDOT_OK && i < count; i++)
        entrants[i]->ns = contestants[i].min_ns;
    return status;
}

static int time_batch(struct entrant *e, size_t batch, double *ns, struct qdot_error *err)
{
    const uint64_t begin = bench_now_ns();
    const int status = subject_run(&e->subject, batch, err);
    *ns = (double)(bench_now_ns() - begin) / (double)batch;
    return status;
}

/* Is it clearly faster? In rounds of one batch of each, of which nearly all have to say so: what else
 * runs on the machine may slow down most of one's samples, but not all of one's side by side with
 * the other's. */
static int duel(struct entrant *before, struct entrant *challenger, bool *wins,
                struct qdot_error *err)
{
    struct entrant *const both[] = {before, challenger};
    double best[2] = {INFINITY, INFINITY}, ns[2];
    const size_t batch = before->ns < BATCH_NS ? (size_t)(BATCH_NS / (before->ns + 1)) + 1 : 1;
    int status = QDOT_OK, rounds = 0;
    for (int i = 0; status == QDOT_OK && i < ROUNDS; i++) {
        for (int j = 0; status == QDOT_OK && j < 2; j++) {
            const int who = i % 2 ? 1 - j : j;
            status = time_batch(both[who], batch, &ns[who], err);
            best[who] = status == QDOT_OK && ns[who] < best[who] ? ns[who] : best[who];
        }
        rounds += status == QDOT_OK && ns[1] * GAIN < ns[0];
    }
    *wins = status == QDOT_OK && rounds >= ROUNDS_TO_WIN && best[1] * GAIN < best[0];
    for (int i = 0; status == QDOT_OK && i < 2; i++)
        both[i]->ns = best[i];
    return status;
}

/* The fastest, where it wins against the first side by side; else the first. */
static int decide(struct tuner *t, struct field *f, struct entrant **winner, struct qdot_error *err)
{
    struct entrant *all[FINALISTS + 1], *fastest = &f->entrants[0];
    double seconds = t->share / (4 * (double)(f->count + 2));
    bool wins = false;
    seconds = seconds < LEAST_SECONDS ? LEAST_SECONDS : seconds;
    seconds = seconds > MOST_SECONDS ? MOST_SECONDS : seconds;
    for (size_t i = 0; i < f->count; i++)
        all[i] = &f->entrants[i];
    int status = time_entrants(t, all, f->count, seconds, err);
    for (size_t i = 1; status == QDOT_OK && i < f->count; i++)
        if (all[i]->ns < fastest->ns)
            fastest = all[i];
    if (status == QDOT_OK && fastest->ns * GAIN < f->entrants[0].ns)
        status = duel(&f->entrants[0], fastest, &wins, err);
    *winner = wins ? fastest : &f->entrants[0];
    return status;
}

/* Times of those that are no faster than the winner, and none of others: that row will be taken. */
static int keep(struct tuner *t, struct field *f, const struct entrant *winner,
                struct qdot_error *err)
{
    struct qdot_op_desc desc;
    int status = QDOT_OK;
    product_describe(&f->product, false, &desc);
    for (size_t i = 0; status == QDOT_OK && i < t->row_count; i++)
        if (t->rows[i].kind == f->product.shape.kind)
            status = qdot_tuning_add(t->device, &desc, t->rows[i].name, 0, err);
    for (size_t i = 0; status == QDOT_OK && i < f->count; i++) {
        const struct entrant *e = &f->entrants[i];
        if (e == winner || e->ns > winner->ns)
            status = qdot_tuning_add(t->device, &desc, e->row, (uint64_t)e->ns + 1, err);
    }
    return status;
}

static void print_line(struct tuner *t, const struct field *f, const struct entrant *winner)
{
    const struct product *p = &f->product;
    const struct entrant *before = &f->entrants[0];
    const double ratio = before->ns / winner->ns;
    char shape[SHAPE_TEXT];
    shape_text(&p->shape, shape, sizeof(shape));
    printf("%-*s %s%s %-3s  %-28s %9.1f us  %-28s %9.1f us  %5.2fx %s\n",
           (int)request_widest(&t->request->plan), shape, type_text(p->a_type),
           type_text(p->b_type), type_text(p->out_type), before->row, before->ns / 1e3, winner->row,
           winner->ns / 1e3, ratio, winner == before ? "kept" : "improved");
    fflush(stdout);
    *(winner == before ? &t->kept : &t->improved) += 1;
    t->log_ratios += log(ratio);
}

/* Every row that takes it, as far as the shape's share of the time goes. */
static void find_entrants(struct tuner *t, struct field *f)
{
    const uint64_t begin = bench_now_ns();
    struct entrant e;
    for (size_t i = 0; i < t->row_count && !over(t); i++) {
        const struct qdot_row_info *row = &t->rows[i];
        const struct shape *s = &f->product.shape;
        if (row->kind != s->kind || strcmp(row->name, f->entrants[0].row) == 0 ||
            (row->depthwise && s->conv.groups != s->conv.channels))
            continue;
        if ((double)(bench_now_ns() - begin) / 1e9 > 2 * t->share)
            return;
        if (enter(t, &f->product, row->name, &e))
            admit(f, &e);
    }
}

static void tune_shape(struct tuner *t, const struct product *what)
{
    struct field f = {.product = *what};
    struct qdot_error err = {0};
    struct entrant *winner = NULL;
    int status = product_create(&f.product, &err);
    if (status != QDOT_OK) {
        complain(t, what, "any row", err.text);
        return;
    }
    t->progress = progress_start("tune", "");
    if (enter(t, &f.product, NULL, &f.entrants[0])) {
        f.count = 1;
        f.best_ns = f.entrants[0].screened_ns;
        find_entrants(t, &f);
        status = decide(t, &f, &winner, &err);
        if (status == QDOT_OK)
            status = keep(t, &f, winner, &err);
    }
    progress_stop(t->progress);
    if (status != QDOT_OK)
        complain(t, what, f.entrants[0].row, err.text);
    else if (winner)
        print_line(t, &f, winner);
    for (size_t i = 0; i < f.count; i++)
        subject_destroy(&f.entrants[i].subject);
    product_free(&f.product);
}

/* ---- one device ------------------------------------------------------------------------------ */

static bool same(const struct product *a, const struct product *b)
{
    char one[SHAPE_TEXT], other[SHAPE_TEXT];
    shape_text(&a->shape, one, sizeof(one));
    shape_text(&b->shape, other, sizeof(other));
    return a->shape.kind == b->shape.kind && strcmp(one, other) == 0 && a->a_type == b->a_type &&
           a->b_type == b->b_type && a->out_type == b->out_type;
}

/* The distinct shapes of all networks, types and outputs, for free(). */
static struct product *find_products(const struct bench_plan *plan, size_t *count)
{
    size_t total = 0;
    char reason[256];
    for (size_t i = 0; i < plan->net_count; i++)
        total += plan->nets[i]->count * plan->type_count * plan->out_count;
    struct product *all = calloc(total + 1, sizeof(*all));
    *count = 0;
    for (size_t i = 0; all && i < total; i++) {
        size_t at = i / (plan->type_count * plan->out_count), net = 0;
        for (; at >= plan->nets[net]->count; net++)
            at -= plan->nets[net]->count;
        const enum qdot_type *types = plan->types[i / plan->out_count % plan->type_count];
        struct product *p = &all[*count];
        *p = (struct product){.shape = plan->nets[net]->layers[at].shape,
                              .a_type = types[0],
                              .b_type = types[1],
                              .out_type = plan->outs[i % plan->out_count]};
        bool known = !shape_complete(&p->shape, reason, sizeof(reason));
        for (size_t j = 0; !known && j < *count; j++)
            known = same(&all[j], p);
        *count += !known;
    }
    return all;
}

static int find_rows(struct tuner *t, struct qdot_error *err)
{
    int status = QDOT_OK;
    t->progress = progress_start("tune", "its rows' self-tests");
    for (size_t i = 0; status == QDOT_OK && t->row_count < MAX_ROWS; i++) {
        struct qdot_row_info *row = &t->rows[t->row_count];
        status = qdot_device_row(t->device, i, row, err);
        t->row_count += status == QDOT_OK && row->admitted;
    }
    progress_stop(t->progress);
    return status == QDOT_END ? QDOT_OK : status;
}

/* Writes what is known: to the file, or the cache. */
static int write_tuning(struct qdot_device *device, const char *path)
{
    struct qdot_error err = {0};
    struct save save = {0};
    size_t bytes = 0;
    int status =
        path ? qdot_tuning_text(device, NULL, 0, &bytes, &err) : qdot_tuning_keep(device, &err);
    if (status != QDOT_OK || !path)
        return status == QDOT_OK ? EXIT_OK : opt_failed("tune", &err);
    char *text = malloc(bytes);
    if (!text)
        return opt_error("tune", "-o '%s': out of memory for %zu bytes", path, bytes);
    status = qdot_tuning_text(device, text, bytes, &bytes, &err);
    const bool good = status == QDOT_OK &&
                      save_bytes(&save, "tune", "-o", path, text, bytes, NULL, 0) &&
                      save_commit(&save, "tune", "-o");
    save_discard(&save);
    free(text);
    return status != QDOT_OK ? opt_failed("tune", &err) : good ? EXIT_OK : EXIT_USAGE;
}

static void print_summary(const struct tuner *t)
{
    const size_t tuned = t->improved + t->kept;
    printf("%s: %zu improved, %zu kept, %zu left out; %.2fx in the mean (geometric)%s\n",
           t->info.name, t->improved, t->kept, t->left_out,
           tuned ? exp(t->log_ratios / (double)tuned) : 1.0, interrupted ? "; interrupted" : "");
}

static int tune_device(const struct options *o, const struct request *r, const char *name,
                       const char *known)
{
    const struct qdot_device_desc desc = {
        .device = name, .thread_count = r->threads[0], .tuning_file = known};
    struct qdot_error err = {0};
    struct tuner *t = calloc(1, sizeof(*t));
    struct product *products = t ? find_products(&r->plan, &t->shapes) : NULL;
    if (!products) {
        free(t);
        opt_error("tune", "out of memory");
        return EXIT_WRONG;
    }
    t->request = r;
    t->budget = o->budget;
    int status = qdot_open(&desc, &t->device, &err);
    if (status == QDOT_OK)
        status = qdot_device_info(t->device, &t->info, &err);
    if (status == QDOT_OK)
        status = find_rows(t, &err);
    if (status == QDOT_OK)
        printf("%s: %s, %s: %zu shapes\n", name, t->info.description, t->info.driver, t->shapes);
    t->begin = bench_now_ns();
    for (; status == QDOT_OK && t->done < t->shapes && !over(t); t->done++) {
        t->share = (t->budget - elapsed(t)) / (double)(t->shapes - t->done);
        tune_shape(t, &products[t->done]);
    }
    int result = status == QDOT_OK ? EXIT_OK : EXIT_WRONG;
    if (status == QDOT_OK) {
        t->left_out = t->shapes - t->done;
        print_summary(t);
        result = write_tuning(t->device, o->output);
    } else {
        opt_error("tune", "%s: %s", name, err.text);
    }
    if (result == EXIT_OK && (t->wrong || t->improved + t->kept == 0))
        result = EXIT_WRONG;
    qdot_close(t->device);
    free(products);
    free(t);
    return result;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int merge(const struct options *o, const char *const *files, size_t count)
{
    const struct qdot_device_desc desc = {.device = "cpu", .cache_dir = "", .thread_count = 1};
    struct qdot_device *device = NULL;
    struct qdot_error err = {0};
    if (count == 0 || !o->output)
        return opt_error("tune", "--merge: expected files to join and -o FILE");
    int status = qdot_open(&desc, &device, &err);
    for (size_t i = 0; status == QDOT_OK && i < count; i++)
        status = qdot_tuning_read(device, files[i], &err);
    int result = status == QDOT_OK ? write_tuning(device, o->output) : opt_failed("tune", &err);
    qdot_close(device);
    return result;
}

static int plan_request(const struct options *o, struct request *r)
{
    int status = request_suites(r, o->suite, o->shape, o->conv);
    if (status == EXIT_OK)
        status = request_types(r, o->types, o->out);
    if (status == EXIT_OK)
        status = request_threads(r, o->threads);
    if (status == EXIT_OK && r->thread_count > 1)
        status = opt_error("tune", "--threads %s: expected one number", o->threads);
    if (status == EXIT_OK && !request_writable("tune", "-o", o->output))
        status = EXIT_USAGE;
    if (status == EXIT_OK)
        status = request_tuning(r, o->tuning);
    return status == EXIT_OK ? request_devices(r, o->device) : status;
}

int tune_main(int argc, char **argv)
{
    struct options o = {.types = "u8s8", .out = "s32", .budget = 600};
    const char *files[MAX_FILES];
    size_t count = 0;
    const enum opt_result parsed = opt_parse(&page, argc, argv, &o, files, MAX_FILES, &count);
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    if (o.merge)
        return merge(&o, files, count);
    if (count > 0)
        return opt_error("tune", "'%s': expected files only with --merge", files[0]);
    struct request *r = calloc(1, sizeof(*r));
    if (!r) {
        opt_error("tune", "out of memory");
        return EXIT_WRONG;
    }
    r->verb = "tune";
    int result = plan_request(&o, r);
    const struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL); /* a second one ends the process */
    const char *known = o.tuning;
    if (result == EXIT_OK)
        for (size_t i = 0; i < r->device_count && !interrupted; i++) {
            const int tuned = tune_device(&o, r, r->devices[i].name, known);
            result = tuned > result ? tuned : result;
            known = o.output && tuned != EXIT_USAGE ? o.output : known; /* the next adds to it */
        }
    free(r);
    return result;
}
