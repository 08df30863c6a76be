#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "progress.h"
#include "runner.h"
#include "subject.h"

enum { MAX_ROWS = 64, MAX_SLOTS = MAX_ROWS + PLAN_PEERS };
#define LEAST_SECONDS 0.01 /* of samples, however small the budget */

struct open_peer {
    const struct peer *peer;
    void *state;
};

/* A row that competes: of one kind of shapes, or the dispatcher's choice for any. */
struct competing_row {
    struct qdot_device *device;
    size_t cache_percent; /* of it; 0: as it is */
    char name[64];        /* "": the dispatcher's */
    enum qdot_op_kind kind;
    bool depthwise;
};

/* A device that is open, and who competes on it. */
struct target {
    const struct bench_plan *plan;
    struct report *report;
    size_t index; /* in the report */
    struct qdot_device *device;
    struct qdot_device *cached[PLAN_CACHES]; /* the same with other caches */
    struct qdot_device *untuned;             /* the same without the tuning file */
    const char *backend;
    size_t threads;
    struct competing_row rows[MAX_ROWS];
    size_t row_count;
    char compiled[MAX_ROWS][64]; /* rows whose compilation was timed */
    size_t compiled_count;
    struct open_peer peers[PLAN_PEERS];
    size_t peer_count;
    double gops; /* of the slowest contestant of the last layer, for the budget; 0: unknown */
};

/* One contestant of one layer. */
struct slot {
    struct subject subject;
    const struct open_peer *peer; /* NULL: it is the subject */
    void *work;
    struct report_line line;
    bool competes;
    bool listed; /* the line is worth printing */
};

struct layer_run {
    struct target *target;
    const struct bench_net *net;
    const struct bench_layer *layer;
    struct product product;
    struct product peers; /* what they compute: the product without zero points; shares its data */
    struct slot slots[MAX_SLOTS];
    size_t slot_count;
};

static void failed(struct slot *slot, enum line_state state, const char *reason)
{
    slot->line.state = state;
    slot->competes = false;
    slot->listed = true;
    snprintf(slot->line.reason, sizeof(slot->line.reason), "%s", reason);
}

static struct slot *add_slot(struct layer_run *run)
{
    struct slot *slot = &run->slots[run->slot_count++];
    memset(slot, 0, sizeof(*slot));
    slot->line = (struct report_line){
        .target = run->target->index,
        .net = run->net,
        .layer = run->layer->name,
        .count = run->layer->count,
        .shape = run->product.shape,
        .a_type = run->product.a_type,
        .b_type = run->product.b_type,
        .out_type = run->product.out_type,
    };
    return slot;
}

static bool row_takes(const struct competing_row *row, const struct shape *s)
{
    if (!row->name[0])
        return true;
    return row->kind == s->kind && (!row->depthwise || s->conv.groups == s->conv.channels);
}

/* Once for each row: of a GPU, what compiling it costs. */
static int time_compiling(struct layer_run *run, const char *row, struct setup *setup,
                          struct qdot_error *err)
{
    struct target *t = run->target;
    for (size_t i = 0; i < t->compiled_count; i++)
        if (strcmp(t->compiled[i], row) == 0)
            return QDOT_OK;
    if (t->threads || t->compiled_count == MAX_ROWS)
        return QDOT_OK;
    snprintf(t->compiled[t->compiled_count++], sizeof(t->compiled[0]), "%s", row);
    return setup_compile(t->report->targets[t->index].info.name, &run->product, row, setup, err);
}

static void add_row(struct layer_run *run, const struct competing_row *competing)
{
    struct slot *slot = add_slot(run);
    struct setup *setup = run->target->plan->setup ? &slot->line.setup : NULL;
    struct qdot_error err = {0};
    char reason[256] = "";
    bool good = false;
    const char *row = competing->name;
    if (!row_takes(competing, &run->product.shape))
        return;
    slot->line.row = (size_t)(competing - run->target->rows);
    slot->line.chosen = !row[0];
    slot->line.cache_percent = competing->cache_percent;
    snprintf(slot->line.kernel, sizeof(slot->line.kernel), "%s", row[0] ? row : "(any)");
    int status =
        subject_create(&slot->subject, competing->device, &run->product, row[0] ? row : NULL, &err);
    if (status == QDOT_UNSUPPORTED) {
        char text[768];
        snprintf(text, sizeof(text), "%s/%s: %s: %s", run->net->name, run->layer->name,
                 slot->line.kernel, err.text);
        bench_report_left_out(run->target->report, text);
        return;
    }
    if (status != QDOT_OK) {
        failed(slot, LINE_FAILED, err.text);
        return;
    }
    snprintf(slot->line.kernel, sizeof(slot->line.kernel), "%s", slot->subject.row);
    slot->line.create_ms = slot->subject.create_ms;
    status = subject_verify(&slot->subject, &run->product, &good, reason, sizeof(reason), &err);
    if (status == QDOT_OK && good && setup)
        status = setup_measure(competing->device, &run->product, slot->line.kernel, setup, &err);
    if (status == QDOT_OK && good && setup)
        status = time_compiling(run, slot->line.kernel, setup, &err);
    if (status != QDOT_OK)
        failed(slot, LINE_FAILED, err.text);
    else if (!good)
        failed(slot, LINE_WRONG, reason);
    else
        slot->competes = slot->listed = true;
}

static void add_peer(struct layer_run *run, const struct open_peer *peer)
{
    struct slot *slot = add_slot(run);
    struct qdot_error err = {0};
    char note[256] = "";
    slot->peer = peer;
    slot->line.peer = peer->peer->name;
    snprintf(slot->line.kernel, sizeof(slot->line.kernel), "%s", peer->peer->name);
    measure_settle(); /* a peer may time its ways to compute it */
    uint64_t begin = bench_now_ns();
    int status = peer->peer->prepare(peer->state, &run->peers, &slot->work, &err);
    if (status == QDOT_UNSUPPORTED)
        return;
    if (status != QDOT_OK) {
        failed(slot, LINE_FAILED, err.text);
        return;
    }
    const double create = (double)(bench_now_ns() - begin);
    slot->line.create_ms = create / 1e6;
    snprintf(slot->line.kernel, sizeof(slot->line.kernel), "%s", peer->peer->how(slot->work));
    begin = bench_now_ns();
    status = peer->peer->run(slot->work, 1, &err);
    if (run->target->plan->setup)
        slot->line.setup =
            (struct setup){.create = create, .first_run = (double)(bench_now_ns() - begin)};
    if (status != QDOT_OK)
        failed(slot, LINE_FAILED, err.text);
    else if (!peer_check(peer->peer, slot->work, &run->peers, note, sizeof(note)))
        failed(slot, LINE_WRONG, note);
    else {
        snprintf(slot->line.reason, sizeof(slot->line.reason), "%s", note);
        slot->competes = slot->listed = true;
    }
}

/* All peers. With zero points oneDNN would leave its fastest kernels; without, and for nothing else,
 * the accumulators of a quantised layer are others. */
static void add_peers(struct layer_run *run)
{
    struct target *t = run->target;
    struct product *p = &run->peers;
    struct qdot_error err = {0};
    char reason[256] = "";
    bool good = true;
    *p = run->product;
    if (t->peer_count == 0 || !run->product.acc)
        return;
    if (p->a_zero || p->out_zero) {
        p->a_zero = p->out_zero = 0;
        p->acc = NULL;
        if (subject_prove(t->device, p, NULL, &good, reason, sizeof(reason), &err) != QDOT_OK ||
            !good)
            failed(add_slot(run), LINE_FAILED, good ? err.text : reason);
    }
    for (size_t i = 0; p->acc && i < t->peer_count; i++)
        add_peer(run, &t->peers[i]);
}

static void time_slots(struct layer_run *run, double seconds)
{
    struct contestant contestants[MAX_SLOTS];
    struct qdot_error err = {0};
    size_t count = 0;
    for (size_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        /* The timed runs are checked as well. */
        if (slot->competes && !slot->peer && subject_poison(&slot->subject, &err) != QDOT_OK)
            failed(slot, LINE_FAILED, err.text);
        if (slot->competes)
            contestants[count++] =
                slot->peer ? (struct contestant){.run = slot->peer->peer->run, .self = slot->work}
                           : (struct contestant){.run = subject_run, .self = &slot->subject};
    }
    const int status = measure(contestants, count, seconds, &err);
    count = 0;
    for (size_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        char reason[256] = "";
        bool good = true;
        if (!slot->competes)
            continue;
        slot->line.time = contestants[count++];
        if (status != QDOT_OK)
            failed(slot, LINE_FAILED, err.text);
        else if (slot->peer)
            continue;
        else if (subject_check(&slot->subject, &run->product, &good, reason, sizeof(reason),
                               &err) != QDOT_OK)
            failed(slot, LINE_FAILED, err.text);
        else if (!good)
            failed(slot, LINE_WRONG, reason);
    }
}

/* Lines of the layer to the report, and their times to the totals, one a slot. */
static void report_slots(struct layer_run *run, size_t repetition, struct report_total *totals)
{
    const double ops = shape_ops(&run->product.shape);
    double best = 0;
    run->target->gops = 0;
    for (size_t i = 0; i < run->slot_count; i++) {
        const double gops = line_gops(&run->slots[i].line);
        if (!run->slots[i].competes)
            continue;
        if (!run->slots[i].peer && gops > best)
            best = gops;
        if (run->target->gops <= 0 || gops < run->target->gops)
            run->target->gops = gops;
    }
    for (size_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        struct report_line *line = &slot->line;
        if (slot->peer && slot->competes && best > 0)
            line->peer_ratio = best / line_gops(line);
        line->repetition = repetition;
        if (slot->listed)
            bench_report_add(run->target->report, line);
        slot->listed = slot->competes; /* what failed is not repeated */
        /* A peer's total is of layers that qdot has as well. */
        if (!slot->competes || (slot->peer && best <= 0))
            continue;
        const double times = line->count / (double)run->target->plan->repeat;
        totals[i].ns += times * line->time.median_ns;
        totals[i].ops += times * ops;
        if (slot->peer) {
            totals[i].peer = line->peer;
            totals[i].qdot_ns += times * ops / best;
        }
        totals[i].layers += repetition == 0;
        totals[i].cache_percent = line->cache_percent;
        /* The dispatcher and a peer may take another way for each layer. */
        const char *who = slot->peer     ? line->peer
                          : line->chosen ? "(dispatcher's rows)"
                                         : line->kernel;
        snprintf(totals[i].kernel, sizeof(totals[i].kernel), "%s", who);
    }
}

/* How fast one reads what the shape streams, where no cache of a core's own holds it. */
static void find_stream(struct layer_run *run)
{
    const size_t threads = run->target->threads;
    const size_t bytes = threads ? shape_streamed(&run->product.shape) : 0;
    const long known = sysconf(_SC_LEVEL2_CACHE_SIZE);
    const size_t cache = known > 0 ? (size_t)known : (size_t)1 << 20;
    struct qdot_error err = {0};
    double rate = 0;
    if (!threads || bytes / threads <= cache)
        return;
    measure_settle();
    if (peak_cpu_stream(threads, bytes, &rate, &err) != QDOT_OK)
        return; /* there is no such limit to be told */
    for (size_t i = 0; i < run->slot_count; i++)
        run->slots[i].line.stream = rate;
}

static void run_layer(struct layer_run *run, double seconds, struct report_total *totals)
{
    struct target *t = run->target;
    struct qdot_error err = {0};
    char text[160];
    snprintf(text, sizeof(text), "%s/%s on %s", run->net->name, run->layer->name,
             t->report->targets[t->index].info.name);
    struct progress *progress = progress_start("bench", text);
    const bool made = product_create(&run->product, &err) == QDOT_OK;
    run->slot_count = 0;
    for (size_t i = 0; made && i < t->row_count; i++)
        add_row(run, &t->rows[i]);
    if (made) {
        add_peers(run);
        find_stream(run);
    }
    if (!made)
        failed(add_slot(run), LINE_FAILED, err.text);
    progress_stop(progress);
    for (size_t i = 0; i < t->plan->repeat; i++) {
        progress = progress_start("bench", text);
        time_slots(run, seconds);
        progress_stop(progress); /* before the lines are printed */
        report_slots(run, i, totals);
    }
    for (size_t i = 0; i < run->slot_count; i++) {
        if (run->slots[i].work)
            run->slots[i].peer->peer->destroy(run->slots[i].work);
        subject_destroy(&run->slots[i].subject);
    }
    if (made && run->peers.acc != run->product.acc)
        free(run->peers.acc);
    if (made)
        product_free(&run->product);
}

struct budget {
    uint64_t begin;
    double seconds; /* 0: none */
    size_t layers;  /* left, over all types and outputs */
};

static double remaining(const struct budget *b)
{
    return b->seconds - (double)(bench_now_ns() - b->begin) / 1e9;
}

/* Seconds of samples for the next layer; 0: leave it out. */
static double allot(const struct budget *b, const struct target *t, const struct shape *shape)
{
    const double slots = (double)(t->row_count + t->peer_count);
    const double repeat = (double)t->plan->repeat;
    if (b->seconds <= 0)
        return t->plan->min_time;
    const double left = remaining(b);
    if (left <= 0)
        return 0;
    /* At the rate of the layer before: to verify, to warm up, and the fewest samples. */
    if (t->gops > 0 && (2 + 3 * repeat) * slots * shape_ops(shape) / (t->gops * 1e9) > left)
        return 0;
    /* Half of what is left, evenly; the other half packs and verifies. */
    const double share = left / (2 * slots * repeat * (double)b->layers);
    return share < LEAST_SECONDS       ? LEAST_SECONDS
           : share < t->plan->min_time ? share
                                       : t->plan->min_time;
}

static void run_net_types(struct layer_run *run, const enum qdot_type types[2], enum qdot_type out,
                          struct budget *budget)
{
    struct target *t = run->target;
    const struct bench_net *net = run->net;
    struct report_total totals[MAX_SLOTS];
    char *left_out = NULL;
    size_t left_out_bytes = 0, left_out_count = 0;
    FILE *text = open_memstream(&left_out, &left_out_bytes);
    memset(totals, 0, sizeof(totals));
    if (text)
        fprintf(text, "%s on %s, %s%s %s, beyond the budget of %g s:", net->name,
                t->report->targets[t->index].info.name, type_text(types[0]), type_text(types[1]),
                type_text(out), budget->seconds);
    else
        t->report->no_memory = true;
    for (size_t i = 0; i < net->count; i++, budget->layers--) {
        const struct bench_layer *layer = &net->layers[i];
        struct shape shape = layer->shape;
        char reason[256];
        if (!shape_complete(&shape, reason, sizeof(reason))) {
            bench_report_left_out(t->report, reason);
            continue;
        }
        const double seconds = allot(budget, t, &shape);
        if (seconds <= 0) {
            left_out_count++;
            if (text)
                fprintf(text, " %s", layer->name);
            continue;
        }
        run->layer = layer;
        run->product = (struct product){.shape = shape,
                                        .a_type = types[0],
                                        .b_type = types[1],
                                        .out_type = out,
                                        .rounding = t->plan->rounding,
                                        .b_at_run = t->plan->b_at_run};
        run_layer(run, seconds, totals);
    }
    if (text && fclose(text) == 0 && left_out_count)
        bench_report_left_out(t->report, left_out);
    free(left_out);
    for (size_t i = 0; net->sum == SUM_INFERENCE && i < t->row_count + t->peer_count; i++)
        if (totals[i].layers) {
            totals[i].target = t->index;
            totals[i].net = net;
            totals[i].a_type = types[0];
            totals[i].b_type = types[1];
            totals[i].out_type = out;
            bench_report_add_total(t->report, &totals[i]);
        }
}

/* Once more for each network: what else runs, and the clock, change over minutes. */
static void renew_peak(struct target *t)
{
    struct peak peak = {0};
    struct peak *known = &t->report->targets[t->index].peak;
    if (t->threads && peak_cpu(t->threads, &peak, NULL) == QDOT_OK && peak.gops > known->gops)
        *known = peak;
}

static void run_net(struct target *t, const struct bench_net *net)
{
    const struct bench_plan *plan = t->plan;
    struct layer_run *run = calloc(1, sizeof(*run));
    struct budget budget = {.seconds = plan->budget,
                            .layers = net->count * plan->type_count * plan->out_count};
    if (!run) {
        t->report->no_memory = true;
        return;
    }
    run->target = t;
    run->net = net;
    if (net != plan->nets[0])
        renew_peak(t);
    budget.begin = bench_now_ns();
    for (size_t i = 0; i < plan->type_count; i++)
        for (size_t o = 0; o < plan->out_count; o++)
            run_net_types(run, plan->types[i], plan->outs[o], &budget);
    free(run);
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* Is this how --kernel may call the row: with its backend or without? */
static bool row_is(const char *row, const char *kernel)
{
    const char *slash = strchr(row, '/');
    return strcmp(row, kernel) == 0 || (slash && strcmp(slash + 1, kernel) == 0);
}

static int find_rows(struct target *t, struct qdot_device *device, size_t cache_percent,
                     struct qdot_error *err)
{
    const char *kernel = t->plan->kernel;
    const size_t before = t->row_count;
    if (t->row_count == MAX_ROWS)
        return bench_fail(err, QDOT_NO_MEMORY, "more than %d rows", MAX_ROWS);
    if (!kernel && !t->plan->all_rows) {
        t->rows[t->row_count++] =
            (struct competing_row){.device = device, .cache_percent = cache_percent};
        return QDOT_OK;
    }
    for (size_t i = 0;; i++) {
        struct qdot_row_info info = {.size = sizeof(info)};
        const int status = qdot_device_row(device, i, &info, err);
        if (status == QDOT_END)
            break;
        if (status != QDOT_OK)
            return status;
        if (kernel && !row_is(info.name, kernel))
            continue;
        if (!info.admitted) {
            if (kernel)
                return bench_fail(err, QDOT_DEVICE_FAILED, "row '%s' is refused: %s", info.name,
                                  info.reason);
            continue;
        }
        if (t->row_count == MAX_ROWS)
            return bench_fail(err, QDOT_NO_MEMORY, "more than %d rows", MAX_ROWS);
        struct competing_row *row = &t->rows[t->row_count++];
        *row = (struct competing_row){.device = device,
                                      .cache_percent = cache_percent,
                                      .kind = info.kind,
                                      .depthwise = info.depthwise != 0};
        snprintf(row->name, sizeof(row->name), "%s", info.name);
    }
    if (t->row_count > before)
        return QDOT_OK;
    return kernel ? bench_fail(err, QDOT_UNSUPPORTED, "no row '%s'", kernel)
                  : bench_fail(err, QDOT_DEVICE_FAILED, "no row is admitted");
}

/* Who competes: the rows of the device, or of the same with each of the caches that were asked for. */
static int find_competitors(struct target *t, const struct qdot_device_desc *desc,
                            struct qdot_error *err)
{
    const struct bench_plan *plan = t->plan;
    int status = QDOT_OK;
    if (!t->threads || plan->cache_count == 0) {
        status = find_rows(t, t->device, 0, err);
        struct qdot_device_desc without = *desc;
        without.tuning_file = NULL;
        if (status == QDOT_OK && plan->untuned)
            status = qdot_open(&without, &t->untuned, err);
        return status == QDOT_OK && t->untuned ? find_rows(t, t->untuned, 0, err) : status;
    }
    for (size_t i = 0; status == QDOT_OK && i < plan->cache_count; i++) {
        struct qdot_device_desc cached = *desc;
        cached.cache_percent = plan->caches[i];
        status = qdot_open(&cached, &t->cached[i], err);
        if (status == QDOT_OK)
            status = find_rows(t, t->cached[i], plan->caches[i], err);
    }
    return status;
}

/* A large product, for devices without a loop of their own. */
static int observe_peak(struct target *t, struct peak *peak, struct qdot_error *err)
{
    struct product p = {.shape = {.kind = QDOT_GEMM, .m = 1024, .n = 1024, .k = 1024},
                        .a_type = QDOT_U8,
                        .b_type = QDOT_S8,
                        .out_type = QDOT_S32};
    struct subject subject = {0};
    struct contestant c = {.run = subject_run, .self = &subject};
    char reason[256] = "";
    bool good = false;
    int status = product_create(&p, err);
    if (status != QDOT_OK)
        return status;
    status = subject_create(&subject, t->device, &p, NULL, err);
    if (status == QDOT_OK)
        status = subject_verify(&subject, &p, &good, reason, sizeof(reason), err);
    if (status == QDOT_OK && good)
        status = measure(&c, 1, t->plan->min_time, err);
    if (status == QDOT_OK && good) {
        peak->gops = shape_ops(&p.shape) / c.median_ns;
        snprintf(peak->name, sizeof(peak->name), "best observed: 1024x1024x1024");
    }
    subject_destroy(&subject);
    product_free(&p);
    return status;
}

static int find_peak(struct target *t, const char *name, struct peak *peak, struct qdot_error *err)
{
    peak->gops = 0;
    if (strcmp(t->backend, "cpu") == 0)
        return peak_cpu(t->threads, peak, err);
    const int status = strcmp(t->backend, "opencl") == 0 ? peak_opencl(name, peak, err)
                                                         : peak_vulkan(name, peak, err);
    if (status != QDOT_OK || peak->gops > 0)
        return status;
    return observe_peak(t, peak, err);
}

static void open_peers(struct target *t, const char *name)
{
    for (size_t i = 0; i < t->plan->peer_count; i++) {
        struct open_peer *open = &t->peers[t->peer_count];
        char version[64] = "";
        struct qdot_error err = {0};
        open->peer = t->plan->peers[i];
        if (strcmp(open->peer->backend, t->backend) != 0)
            continue;
        if (open->peer->open(name, t->threads, &open->state, version, sizeof(version), &err) !=
            QDOT_OK) {
            fprintf(stderr, "qdot bench: peer %s on %s: %s\n", open->peer->name, name, err.text);
            continue;
        }
        bench_report_add_peer(t->report, open->peer->name, version);
        t->peer_count++;
    }
}

int runner_run(const struct bench_plan *plan, struct report *report, const char *device,
               size_t threads, struct qdot_error *err)
{
    const struct qdot_device_desc desc = {.size = sizeof(desc),
                                          .device = device,
                                          .thread_count = threads,
                                          .tuning_file = plan->tuning};
    struct report_target target = {.info = {.size = sizeof(target.info)}, .threads = threads};
    struct target *t = calloc(1, sizeof(*t));
    if (!t)
        return bench_fail(err, QDOT_NO_MEMORY, "no memory");
    *t = (struct target){.plan = plan, .report = report, .threads = threads};
    struct progress *progress = progress_start("bench", device);
    int status = qdot_open(&desc, &t->device, err);
    if (status == QDOT_OK)
        status = qdot_device_info(t->device, &target.info, err);
    t->backend = target.info.backend;
    if (status == QDOT_OK)
        status = find_competitors(t, &desc, err);
    if (status == QDOT_OK)
        status = find_peak(t, target.info.name, &target.peak, err);
    progress_stop(progress);
    if (status == QDOT_OK) {
        t->index = report->target_count;
        status = bench_report_add_target(report, &target);
    }
    if (status == QDOT_OK) {
        char peak[64] = "unknown";
        if (target.peak.gops > 0)
            snprintf(peak, sizeof(peak), "%.0f GOPS (%.40s)", target.peak.gops, target.peak.name);
        printf("%s: %s, %s; peak %s\n", target.info.name, target.info.description,
               target.info.driver, peak);
        open_peers(t, target.info.name);
        for (size_t i = 0; i < plan->net_count; i++)
            run_net(t, plan->nets[i]);
        bench_report_classes(report, t->index);
    }
    for (size_t i = 0; i < t->peer_count; i++)
        t->peers[i].peer->close(t->peers[i].state);
    for (size_t i = 0; i < plan->cache_count; i++)
        qdot_close(t->cached[i]);
    qdot_close(t->untuned);
    qdot_close(t->device);
    free(t);
    return status;
}
