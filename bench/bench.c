/* qdot bench: throughput on every device, each result verified before it is timed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"
#include "request.h"
#include "rounding.h"

struct options {
    const char *suite, *shape, *conv, *types, *out, *rounding, *threads, *caches, *device, *kernel,
        *tuning, *peer, *json, *csv;
    double min_time, budget;
    int64_t repeat;
    bool all_rows, untuned, setup, b_at_run;
};

#define AT(field) offsetof(struct options, field)
static const struct opt options[] = {
    {"--suite", "S[,S]", OPT_TEXT, AT(suite), 0, 0,
     "Layers of networks: resnet50, mobilenet_v2, mobilenet_v1, efficientnet_lite0, yolov8n,\n"
     "bert_base, llama2_7b (the default: all of these), deepbench, smoke. gemm: products in\n"
     "classes, from large ones over few rows to tiny ones. Or one network or class alone:\n"
     "llama2_7b_decode, square."},
    {"--shape", "MxNxK[,...]", OPT_TEXT, AT(shape), 0, 0,
     "Products of these sizes, instead of the default suites or in addition to --suite."},
    {"--conv", "SPEC[,...]", OPT_TEXT, AT(conv), 0, 0,
     "Convolutions likewise: \"1x56x56x64 64x3x3 s1 p1 g1\" is NHWC input of 1 x 56 x 56 x 64,\n"
     "64 output channels of 3x3, stride 1, padding 1, one group. s, p, d (dilation) and g may be\n"
     "left out; s2x1 is height x width, p0x0x1x1 top x left x bottom x right."},
    {"--types", "AB[,AB]", OPT_TEXT, AT(types), 0, 0,
     "Types of A and B: u8s8 (default), s8s8, u8u8, s8u8."},
    {"--out", "TYPE[,TYPE]", OPT_TEXT, AT(out), 0, 0,
     "Outputs: s32 (default): the plain product. s8, u8, f32: a quantised layer, with a zero\n"
     "point of A, a bias and a scale a column."},
    {"--rounding", "NAME", OPT_TEXT, AT(rounding), 0, 0,
     "Of s8 and u8 outputs: " ROUNDING_NAMES ".\n"
     "'qdot help gemm' says which is whose. Default: rne, which is also what peers are for."},
    {"--threads", "N[,N]", OPT_TEXT, AT(threads), 0, 0,
     "Threads of the CPU backend, 1 to 1024. Default: one a processor. Other devices use what\n"
     "their drivers take."},
    {"--cache-percent", "P[,P]", OPT_TEXT, AT(caches), 0, 0,
     "Work of the CPU backend is cut for caches of so many percent of those found, 1 to 1000;\n"
     "of each a line. What would a wrong guess cost? Default: as found."},
    {"--device", "D[,D]", OPT_TEXT, AT(device), 0, 0,
     "cpu, opencl:N, vulkan:N, or a backend's name (its first device). Default: every device."},
    {"--kernel", "ROW", OPT_TEXT, AT(kernel), 0, 0,
     "Only this row, as 'qdot devices' prints it, on the devices that have it. Default: the\n"
     "dispatcher's row for each shape and device."},
    {"--all-rows", NULL, OPT_FLAG, AT(all_rows), 0, 0, "Every row that is admitted."},
    {"--tuning", "FILE", OPT_TEXT, AT(tuning), 0, 0,
     "Times and overrides, as 'qdot tune' writes them, for the dispatcher's choice."},
    {"--untuned", NULL, OPT_FLAG, AT(untuned), 0, 0,
     "With --tuning: also the dispatcher's row without it, in turns with the other."},
    {"--peer", "P[,P]|all", OPT_TEXT, AT(peer), 0, 0,
     "Other libraries on the same layers and devices: clblast (float, OpenCL; products and 1x1\n"
     "convolutions, s32), onednn (CPU; products and convolutions; s32, u8, s8), onnxruntime (CPU;\n"
     "products and 1x1 convolutions; s32), openblas (float, CPU; as clblast), xnnpack (CPU;\n"
     "products and convolutions; s8s8 to s8, u8u8 to u8); all: those that are here."},
    {"--min-time", "SECONDS", OPT_REAL, AT(min_time), 0, 3600,
     "Samples of a line, at least, 0 to 3600. Default: 0.2."},
    {"--repeat", "N", OPT_INT, AT(repeat), 1, 1000,
     "Lines a layer, each with samples of its own, 1 to 1000: how much the machine varies.\n"
     "Totals take their mean. Default: 1."},
    {"--budget", "SECONDS", OPT_REAL, AT(budget), 0, 1000000,
     "Time for a device and network; lines take shorter samples, and layers that do not fit are\n"
     "listed as left out. Default: 0, no limit."},
    {"--b-at-run", NULL, OPT_FLAG, AT(b_at_run), 0, 0,
     "B comes with each run, which packs it, as where it is an activation too. Products with s32\n"
     "outputs; of peers, oneDNN's gemm call."},
    {"--setup", NULL, OPT_FLAG, AT(setup), 0, 0,
     "Also the least times of: creating the op from B, from B as [n,k], from packed B; its first\n"
     "run. And the packed bytes, as a multiple of B's. Of a peer, what its first time took. Once\n"
     "for each OpenCL and Vulkan row: creation by a device just opened, compiling it, and again\n"
     "with what the cache then has."},
    {"--json", "FILE", OPT_TEXT, AT(json), 0, 0, "Write Google Benchmark's JSON."},
    {"--csv", "FILE", OPT_TEXT, AT(csv), 0, 0, "Write the lines as CSV."},
    {0},
};
#undef AT

static const struct opt_page page = {
    "bench",
    "throughput on every device, each result verified before it is timed",
    "[--suite S | --shape MxNxK | --conv SPEC] [options]",
    "Computes each layer on each device, proves the result, then times it. An int32 result is\n"
    "proven by whole rows against plain 64-bit sums and in full by Freivalds' check modulo 2^32;\n"
    "other outputs are recomputed, every value, from the proven accumulators. After the timing\n"
    "the output that the last run left is checked again. B is packed once, before the timing, but\n"
    "for --b-at-run.\n"
    "On devices other than the CPU, A and the output stay in the device's memory.\n"
    "\n"
    "A convolution has NHWC input, in place, and weights packed once; taps in the padding count "
    "as\n"
    "operations. resnet50 (v1.5), mobilenet_v1, mobilenet_v2 and efficientnet_lite0 at 224x224 "
    "and\n"
    "yolov8n at 640x640 have all their convolutions and the fully connected layer; bert_base and\n"
    "llama2_7b leave attention's own products out (and llama2_7b the output head).",
    options,
    "A line a layer: device, row, shape, types, output, threads, median time of a run, GOPS\n"
    "(10^9 operations per second; a multiply-add is 2), percent of the device's peak, whether\n"
    "the result was right, and the layer. A peer's line ends with how many times faster qdot is.\n"
    "'total' is one inference: each layer as often as the network has it; a peer's, with qdot's\n"
    "time for the same layers and how many times faster that is.\n"
    "'class' has geometric means over the shapes of a class of suite gemm, and the last over all\n"
    "classes: percent of peak; qdot's rate by that of the best peer of each shape. Products of "
    "few\n"
    "rows or columns wait for their larger operand: where it is larger than a core's own caches,\n"
    "there is also the percent of what reading so much memory allows, measured just before.\n"
    "The peak is measured in the same run: the CPU's with a loop of its dot-product instruction\n"
    "in registers, OpenCL's and Vulkan's with loops of products without memory, the fastest of\n"
    "several kinds. Where the best product observed is faster, it is that product, and says so.\n"
    "JSON: {context, benchmarks: [{name, real_time, time_unit, items_per_second, device, kernel,\n"
    "shape, types, out, threads, verified, peak_fraction, create_ms, peer, ...}], networks, "
    "classes}.",
    "0  every result of qdot's was right; a peer's may be WRONG\n"
    "1  one of qdot's was wrong, a device failed, or nothing was measured\n"
    "2  bad usage; one line on stderr names the argument and what was expected",
    "qdot bench --suite resnet50 --peer all\n"
    "qdot bench --suite mobilenet_v2 --out u8 --threads 1 --peer onednn\n"
    "qdot bench --shape 1024x1024x1024 --device cpu --threads 1,2\n"
    "qdot bench --conv \"1x56x56x64 64x3x3 p1\" --all-rows\n"
    "qdot bench --suite llama2_7b --types s8s8 --out s32,s8 --json llama.json",
};

static int parse_rounding(const struct options *o, struct bench_plan *plan)
{
    bool narrow = plan->out_count > 0;
    if (!rounding_parse(o->rounding, &plan->rounding))
        return opt_error("bench", "--rounding %s: expected " ROUNDING_NAMES, o->rounding);
    for (size_t i = 0; i < plan->out_count; i++)
        narrow = narrow && (plan->outs[i] == QDOT_U8 || plan->outs[i] == QDOT_S8);
    if (plan->rounding != QDOT_ROUND_RNE && (!narrow || o->peer))
        return opt_error("bench", "--rounding %s: expected %s", o->rounding,
                         narrow ? "without --peer" : "with --out u8 or s8");
    return EXIT_OK;
}

static int parse_caches(const struct options *o, struct bench_plan *plan)
{
    int64_t values[PLAN_CACHES];
    if (!o->caches)
        return EXIT_OK;
    plan->cache_count = opt_numbers(o->caches, 1, 1000, values, PLAN_CACHES);
    for (size_t i = 0; i < plan->cache_count; i++)
        plan->caches[i] = (size_t)values[i];
    if (plan->cache_count == 0)
        return opt_error("bench", "--cache-percent %s: expected up to %d numbers from 1 to 1000",
                         o->caches, PLAN_CACHES);
    return EXIT_OK;
}

static int unknown_peer(const char *item)
{
    char names[256] = "";
    for (size_t i = 0, at = 0; peers[i] && at < sizeof(names); i++)
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s, ", peers[i]->name);
    return opt_error("bench", "--peer %s: expected %sor all", item, names);
}

static int parse_peers(const struct options *o, struct bench_plan *plan)
{
    const char *list = o->peer;
    const bool all = list && strcmp(list, "all") == 0;
    char item[32], reason[160];
    for (size_t i = 0; all && peers[i] && plan->peer_count < PLAN_PEERS; i++) {
        if (peers[i]->present(reason, sizeof(reason)))
            plan->peers[plan->peer_count++] = peers[i];
        else
            printf("no peer %s: %s\n", peers[i]->name, reason);
    }
    while (!all && request_item(&list, item, sizeof(item))) {
        const struct peer *peer = peer_named(item, strlen(item));
        if (!peer || plan->peer_count == PLAN_PEERS)
            return unknown_peer(item);
        if (!peer->present(reason, sizeof(reason)))
            return opt_error("bench", "--peer %s: %s", item, reason);
        plan->peers[plan->peer_count++] = peer;
    }
    for (size_t i = 0; i < plan->peer_count && !all; i++) {
        const struct peer *peer = plan->peers[i];
        bool compared = false;
        for (size_t j = 0; j < plan->out_count; j++)
            compared |= plan->outs[j] == QDOT_S32 ? !peer->no_sums
                                                  : peer->quantised && plan->outs[j] != QDOT_F32;
        if (!compared)
            return opt_error("bench", "--peer %s: expected %s in --out", peer->name,
                             peer->no_sums     ? "u8 or s8"
                             : peer->quantised ? "s32, u8 or s8"
                                               : "s32");
    }
    return EXIT_OK;
}

/* It is for products with s32 outputs, and for peers that have such a way. */
static int parse_b_at_run(const struct options *o, struct bench_plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->net_count; i++)
        for (size_t j = 0; j < plan->nets[i]->count; j++)
            if (plan->nets[i]->layers[j].shape.kind != QDOT_GEMM)
                return opt_error("bench", "--b-at-run: expected products, but %s has convolutions",
                                 plan->nets[i]->name);
    if (plan->out_count != 1 || plan->outs[0] != QDOT_S32 || o->setup)
        return opt_error("bench", "--b-at-run: expected %s",
                         o->setup ? "without --setup" : "with --out s32");
    for (size_t i = 0; i < plan->peer_count; i++) {
        if (plan->peers[i]->b_at_run)
            plan->peers[kept++] = plan->peers[i];
        else if (strcmp(o->peer, "all") != 0)
            return opt_error("bench", "--peer %s: expected onednn with --b-at-run",
                             plan->peers[i]->name);
    }
    plan->peer_count = kept;
    plan->b_at_run = true;
    return EXIT_OK;
}

/* Each peer needs a device that it can be compared on. */
static int match_peers(const struct options *o, struct request *r)
{
    for (size_t i = 0; i < r->plan.peer_count; i++) {
        const struct peer *peer = r->plan.peers[i];
        bool found = false;
        for (size_t j = 0; j < r->device_count; j++)
            found |= strcmp(r->devices[j].backend, peer->backend) == 0;
        if (!found && strcmp(o->peer, "all") != 0)
            return opt_error("bench", "--peer %s: expected a device of %s to compare it on",
                             peer->name, peer->backend);
        if (!found)
            printf("no peer %s: no device of %s to compare it on\n", peer->name, peer->backend);
    }
    return EXIT_OK;
}

static int plan_request(const struct options *o, struct request *r)
{
    int status = request_suites(r, o->suite, o->shape, o->conv);
    if (status == EXIT_OK)
        status = request_types(r, o->types, o->out);
    if (status == EXIT_OK)
        status = parse_rounding(o, &r->plan);
    if (status == EXIT_OK)
        status = request_threads(r, o->threads);
    if (status == EXIT_OK)
        status = parse_caches(o, &r->plan);
    if (status == EXIT_OK && o->kernel && o->all_rows)
        status = opt_error("bench", "--all-rows: expected without --kernel");
    if (status == EXIT_OK && o->untuned && (!o->tuning || o->kernel || o->all_rows))
        status = opt_error("bench", "--untuned: expected %s",
                           !o->tuning  ? "with --tuning"
                           : o->kernel ? "without --kernel"
                                       : "without --all-rows");
    if (status == EXIT_OK && (!request_writable("bench", "--json", o->json) ||
                              !request_writable("bench", "--csv", o->csv)))
        status = EXIT_USAGE;
    if (status == EXIT_OK)
        status = parse_peers(o, &r->plan);
    if (status == EXIT_OK && o->b_at_run)
        status = parse_b_at_run(o, &r->plan);
    if (status == EXIT_OK)
        status = request_tuning(r, o->tuning);
    if (status == EXIT_OK)
        status = request_devices(r, o->device);
    if (status == EXIT_OK)
        status = match_peers(o, r);
    r->plan.tuning = o->tuning;
    r->plan.untuned = o->untuned;
    r->plan.kernel = o->kernel;
    r->plan.all_rows = o->all_rows;
    r->plan.setup = o->setup;
    r->plan.min_time = o->min_time;
    r->plan.repeat = (size_t)o->repeat;
    r->plan.budget = o->budget;
    return status;
}

/* Every device, the CPU once for each number of threads. */
static int run_devices(struct request *r, struct report *report)
{
    int result = EXIT_OK;
    size_t without_row = 0;
    for (size_t i = 0; i < r->device_count; i++) {
        const bool cpu = strcmp(r->devices[i].backend, "cpu") == 0;
        for (size_t j = 0; j < (cpu ? r->thread_count : 1); j++) {
            struct qdot_error err = {0};
            const int status =
                runner_run(&r->plan, report, r->devices[i].name, cpu ? r->threads[j] : 0, &err);
            if (status == QDOT_OK)
                continue;
            if (status == QDOT_UNSUPPORTED && r->plan.kernel) {
                without_row += j == 0;
                continue;
            }
            fprintf(stderr, "qdot bench: %s: %s\n", r->devices[i].name, err.text);
            result = EXIT_WRONG;
        }
    }
    if (r->plan.kernel && without_row == r->device_count)
        return opt_error("bench", "--kernel %s: no such row; 'qdot devices' lists them",
                         r->plan.kernel);
    return result;
}

static int finish(const struct options *o, const struct report *report, int argc, char **argv)
{
    for (size_t i = 0; i < report->target_count; i++)
        if (report->targets[i].peak.gops > 0)
            printf("%s%s: peak %.0f GOPS: %s\n", i ? "" : "\n", report->targets[i].info.name,
                   report->targets[i].peak.gops, report->targets[i].peak.name);
    if (o->json && !bench_report_json(report, o->json, argc, argv))
        return EXIT_WRONG;
    if (o->csv && !bench_report_csv(report, o->csv))
        return EXIT_WRONG;
    if (report->no_memory)
        fprintf(stderr, "qdot bench: no memory: lines were lost\n");
    else if (report->wrong)
        fprintf(stderr, "qdot bench: a result is wrong or a call failed: see the table\n");
    else if (report->line_count == 0)
        fprintf(stderr, "qdot bench: nothing was measured\n");
    else
        return EXIT_OK;
    return EXIT_WRONG;
}

int bench_main(int argc, char **argv)
{
    struct options o = {.types = "u8s8",
                        .out = "s32",
                        .rounding = "rne",
                        .min_time = 0.2,
                        .repeat = 1}; /* the help pages say the same */
    const enum opt_result parsed = opt_parse(&page, argc, argv, &o, NULL, 0, NULL);
    struct report report = {0};
    if (parsed != OPT_RUN)
        return parsed == OPT_HELP ? EXIT_OK : EXIT_USAGE;
    struct request *r = calloc(1, sizeof(*r));
    if (!r) {
        fprintf(stderr, "qdot bench: no memory\n");
        return EXIT_WRONG;
    }
    r->verb = "bench";
    int result = plan_request(&o, r);
    report.repeat = r->plan.repeat;
    report.b_at_run = r->plan.b_at_run;
    report.rounding = r->plan.rounding;
    if (result == EXIT_OK) {
        report.shape_width = request_widest(&r->plan);
        bench_report_table_head(&report);
        result = run_devices(r, &report);
        if (result != EXIT_USAGE) {
            const int finished = finish(&o, &report, argc, argv);
            result = finished != EXIT_OK ? finished : result;
        }
    }
    bench_report_free(&report);
    free(r);
    return result;
}
