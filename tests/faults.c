/*
 * Every driver call that the library makes fails once: in open, create, run (host and buffer
 * operands), sync, read, save, destroy and close, for products and convolutions. Each time there
 * must be a status and a text, no object and no memory left behind, and a handle that works when the
 * same is asked for again; or, where the device is lost from that call on, errors and nothing else.
 *
 * usage: faults DEVICE [--every] [--kernel ROW] [SCENARIO...]
 * By default one call of each chain of callers fails, once in all scenarios; --every: each call
 * there is. Prints a line a
 * scenario and kind of fault, and last "N passed, N failed, N skipped"; what is counted is calls.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "fault_layer.h"
#include "faults_host.h"
#include "qdot.h"

enum { CALLS_MAX = 8192, SECONDS = 60, PAD = 5 };

struct scenario {
    const char *name;
    enum qdot_op_kind kind;
    struct qdot_conv conv;
    size_t m, n, k; /* rows, columns and row length of the operands; of a convolution its pixels */
    enum qdot_type out_type;
    bool at_run, cached, adopted; /* adopted: a host's device and buffers */
    bool measured, flushed; /* rows are chosen by times, not by order; Vulkan's memory is flushed */
};

static const struct scenario scenarios[] = {
    {"gemm", QDOT_GEMM, .m = 37, .n = 70, .k = 131, .out_type = QDOT_U8, .cached = true},
    {"gemm_once", QDOT_GEMM, .m = 9, .n = 33, .k = 68, .out_type = QDOT_F32, .at_run = true},
    {"conv",
     QDOT_CONV,
     {.batch = 2,
      .height = 9,
      .width = 7,
      .channels = 6,
      .out_channels = 20,
      .kernel_h = 3,
      .kernel_w = 3,
      .pad_top = 1,
      .pad_left = 1,
      .pad_bottom = 1,
      .pad_right = 1},
     .m = 2 * 9 * 7,
     .n = 20,
     .k = 6,
     .out_type = QDOT_S8},
    {"depthwise",
     QDOT_CONV,
     {.batch = 1,
      .height = 6,
      .width = 6,
      .channels = 18,
      .out_channels = 18,
      .kernel_h = 3,
      .kernel_w = 3,
      .pad_top = 1,
      .pad_left = 1,
      .pad_bottom = 1,
      .pad_right = 1,
      .groups = 18},
     .m = 36,
     .n = 18,
     .k = 18,
     .out_type = QDOT_S32,
     .cached = true},
    {"adopted",
     QDOT_CONV,
     {.batch = 1,
      .height = 4,
      .width = 5,
      .channels = 8,
      .out_channels = 12,
      .kernel_h = 3,
      .kernel_w = 1,
      .pad_top = 1,
      .pad_bottom = 1},
     .m = 4 * 5,
     .n = 12,
     .k = 8,
     .out_type = QDOT_S32,
     .adopted = true},
    /* a row of A is n floats */
    {"dynamic", QDOT_DYNAMIC_QUANTIZE, .m = 9, .n = 130, .k = 520, .out_type = QDOT_U8},
    {"flushed", QDOT_GEMM, .m = 17, .n = 30, .k = 40, .out_type = QDOT_S32, .flushed = true},
    {"measured", QDOT_GEMM, .m = 9, .n = 33, .k = 68, .out_type = QDOT_S32, .measured = true},
};
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]), BYTES = 1 << 15 };

/* One life of a device and an op. */
struct life {
    const struct scenario *s;
    const char *device_name, *kernel, *cache_dir;
    enum fault_kind kind;
    struct qdot_device *device;
    struct qdot_op *op;
    struct qdot_buffer *in, *out;
    struct qdot_event *event;
    size_t packed_bytes, out_bytes;
    bool again;  /* the second try of a step */
    bool dead;   /* the device is lost, and said so */
    size_t live; /* allocations */
    char now[64], why[800];
};

static _Alignas(4) uint8_t a[BYTES], b[BYTES], got[BYTES], want[BYTES], packed[BYTES * 4],
    want_packed[BYTES * 4];
static int32_t zeros[256], row_zeros[256];
static float scales[256], row_scales[256];

static void *counted_alloc(void *ctx, size_t bytes, size_t alignment)
{
    void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory) {
        memset(memory, 0xaa, bytes);
        __atomic_add_fetch(&((struct life *)ctx)->live, 1, __ATOMIC_RELAXED);
    }
    return memory;
}

static void counted_release(void *ctx, void *memory)
{
    __atomic_sub_fetch(&((struct life *)ctx)->live, 1, __ATOMIC_RELAXED);
    free(memory);
}

static void wrong(struct life *l, const char *what)
{
    if (!l->why[0])
        snprintf(l->why, sizeof(l->why), "%s: %s", l->now, what);
}

/* Time as the library sees it goes on by a microsecond with each look at it: what depends on how long
 * something takes is the same each time. Drivers have the true one. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    static atomic_size_t looks;
    Dl_info caller;
    if (!dladdr(__builtin_return_address(0), &caller) || !strstr(caller.dli_fname, "libqdot"))
        return (int)syscall(SYS_clock_gettime, clock, time);
    const size_t now = ++looks;
    *time = (struct timespec){.tv_sec = (time_t)(now / 1000000),
                              .tv_nsec = (long)(now % 1000000 * 1000)};
    return 0;
}

/* ---- steps: each may be tried again ---------------------------------------------------------- */

static int step_open(struct life *l, struct qdot_error *err)
{
    const struct qdot_device_desc desc = {.size = sizeof(desc),
                                          .device = l->device_name,
                                          .cache_dir = l->s->cached ? l->cache_dir : "",
                                          .thread_count = 1,
                                          .budget_us = l->s->measured ? 0 : 1,
                                          .allocator = {l, counted_alloc, counted_release}};
    struct qdot_device_desc of_host = desc;
    of_host.device = NULL;
    const bool adopts = l->s->adopted && strcmp(l->device_name, "cpu") != 0;
    const int status =
        adopts ? host_adopt(&of_host, &l->device, err) : qdot_open(&desc, &l->device, err);
    if (status && l->device)
        wrong(l, "failed, but there is a device");
    return status;
}

static bool is_product(const struct life *l)
{
    return l->s->kind == QDOT_GEMM || l->s->kind == QDOT_CONV;
}

static struct qdot_op_desc dynamic_desc(const struct life *l)
{
    const struct scenario *s = l->s;
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = s->kind,
                                 .quantize = {.axis = s->m, .inner = s->n, .scale_count = s->m},
                                 .kernel = l->kernel};
}

static struct qdot_op_desc product_desc(const struct life *l)
{
    const struct scenario *s = l->s;
    const bool conv = s->kind == QDOT_CONV, floating = s->out_type == QDOT_F32;
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = s->kind,
                                 .conv = s->conv,
                                 .m = conv ? 0 : s->m,
                                 .n = conv ? 0 : s->n,
                                 .k = conv ? 0 : s->k,
                                 .out_type = s->out_type,
                                 .b = s->at_run ? NULL : b,
                                 .a_zero = conv ? 7 : 0,
                                 .a_zero_per_row = !conv,
                                 .b_zero = zeros,
                                 .b_zero_count = s->n,
                                 .bias = zeros,
                                 .scale = s->out_type == QDOT_S32 ? NULL : scales,
                                 .scale_count = s->out_type == QDOT_S32 ? 0 : s->n,
                                 .row_scale = floating,
                                 .kernel = l->kernel};
}

static int step_create(struct life *l, struct qdot_error *err)
{
    const struct qdot_op_desc desc = is_product(l) ? product_desc(l) : dynamic_desc(l);
    const int status = qdot_op_create(l->device, &desc, &l->op, err);
    if (status && l->op)
        wrong(l, "failed, but there is an op");
    return status;
}

static int step_buffers(struct life *l, struct qdot_error *err)
{
    int status = QDOT_OK;
    if (!l->in)
        status = l->s->adopted ? host_wrap(l->device, 0, sizeof(a), &l->in, err)
                               : qdot_buffer_create(l->device, sizeof(a), NULL, &l->in, err);
    if (status == QDOT_OK && !l->out)
        status = l->s->adopted ? host_wrap(l->device, 1, sizeof(got), &l->out, err)
                               : qdot_buffer_create(l->device, sizeof(got), NULL, &l->out, err);
    if (status == QDOT_OK)
        status = qdot_buffer_write(l->in, 0, a, sizeof(a), err);
    return status;
}

static struct qdot_run run_of(const struct life *l)
{
    static float found_scales[256];
    static int32_t found_zeros[256];
    struct qdot_run run = {.size = sizeof(run)};
    if (!is_product(l)) {
        run.scale_out.host = found_scales;
        run.zero_out.host = found_zeros;
    }
    if (l->s->kind == QDOT_GEMM)
        run.a_zero.host = row_zeros;
    if (l->s->out_type == QDOT_F32)
        run.row_scale.host = row_scales;
    if (l->s->at_run)
        run.b.host = b;
    return run;
}

/* Rows of A and of the output have 'gap' elements between them. */
static void compare(struct life *l, size_t gap)
{
    const size_t element = l->out_bytes / (l->s->m * l->s->n), row = l->s->n * element;
    for (size_t i = 0; i < l->s->m; i++)
        if (memcmp(got + i * (row + gap * element), want + i * row, row) != 0) {
            wrong(l, "a wrong result, and QDOT_OK");
            return;
        }
}

static int run_host(struct life *l, size_t gap, struct qdot_error *err)
{
    static _Alignas(4) uint8_t spaced[BYTES];
    const struct scenario *s = l->s;
    const size_t length = s->k + gap;
    struct qdot_run run = run_of(l);
    for (size_t i = 0; i < s->m; i++)
        memcpy(spaced + i * length, a + i * s->k, s->k);
    memset(got, 0x55, sizeof(got));
    run.a.host = spaced;
    run.lda = is_product(l) ? length : 0;
    run.out.host = got;
    run.ldo = is_product(l) ? s->n + gap : 0;
    const int status = qdot_op_run(l->op, &run, err);
    if (status == QDOT_OK)
        compare(l, gap);
    return status;
}

static int step_run(struct life *l, struct qdot_error *err)
{
    return run_host(l, 0, err);
}

static int step_run_gaps(struct life *l, struct qdot_error *err)
{
    return run_host(l, is_product(l) ? PAD : 0, err);
}

static int step_run_buffers(struct life *l, struct qdot_error *err)
{
    struct qdot_run run = run_of(l);
    run.a.buffer = l->in;
    run.out.buffer = l->out;
    memset(got, 0x55, sizeof(got));
    int status = qdot_op_run(l->op, &run, err);
    if (status == QDOT_OK)
        status = qdot_sync(l->device, err);
    if (status == QDOT_OK)
        status = qdot_buffer_read(l->out, 0, got, sizeof(got), err);
    if (status == QDOT_OK)
        compare(l, 0);
    return status;
}

/* Several on their way, more than an op has command buffers, and one event. */
static int step_run_events(struct life *l, struct qdot_error *err)
{
    struct qdot_run run = run_of(l);
    int status = QDOT_OK;
    run.a.buffer = l->in;
    run.out.buffer = l->out;
    memset(got, 0x55, sizeof(got));
    if (!l->event)
        status = qdot_event_create(l->device, &l->event, err);
    for (size_t i = 0; i < 6 && status == QDOT_OK; i++) {
        run.event = i == 5 ? l->event : NULL;
        status = qdot_op_run(l->op, &run, err);
    }
    if (status == QDOT_OK) {
        status = qdot_event_wait(l->event, 0, err);
        if (status == QDOT_OK || status == QDOT_TIMEOUT)
            status = qdot_event_wait(l->event, UINT64_MAX, err);
    }
    if (status == QDOT_OK)
        status = qdot_buffer_read(l->out, 0, got, sizeof(got), err);
    if (status == QDOT_OK)
        compare(l, 0);
    else
        qdot_sync(l->device, NULL); /* runs that were dropped with the one that failed */
    return status;
}

static int step_run_of_host(struct life *l, struct qdot_error *err)
{
    struct qdot_run run = run_of(l);
    run.a.buffer = l->in;
    run.out.buffer = l->out;
    memset(got, 0x55, sizeof(got));
    int status = host_run(l->op, &run, err);
    if (status == QDOT_OK)
        status = qdot_buffer_read(l->out, 0, got, sizeof(got), err);
    if (status == QDOT_OK)
        compare(l, 0);
    return status;
}

static int step_save(struct life *l, struct qdot_error *err)
{
    int status = qdot_op_packed_bytes(l->op, &l->packed_bytes, err);
    memset(packed, 0, sizeof(packed));
    if (status == QDOT_OK && l->packed_bytes > sizeof(packed))
        wrong(l, "more packed bytes than this program has room for");
    if (status == QDOT_OK && !l->why[0])
        status = qdot_op_save_packed(l->op, packed, l->packed_bytes, err);
    return status;
}

/* A row that failed its self-test stays refused, and another packs otherwise. */
static void compare_packed(struct life *l, const char *row)
{
    if (strcmp(qdot_op_row(l->op), row) == 0 && memcmp(packed, want_packed, l->packed_bytes) != 0)
        wrong(l, "packed B differs");
}

/* ---- a life ---------------------------------------------------------------------------------- */

static void check_text(struct life *l, int status, const struct qdot_error *err)
{
    char text[640];
    if (err->status == status && err->text[0] && !strchr(err->text, '\n') &&
        strcmp(qdot_status_text(status), "unknown status") != 0)
        return;
    snprintf(text, sizeof(text), "status %d, err.status %d and the text '%s'", status, err->status,
             err->text);
    wrong(l, text);
}

/* False when the device is lost or something is wrong. */
static bool step(struct life *l, const char *name,
                 int (*what)(struct life *l, struct qdot_error *err))
{
    for (int i = 0; i < 2 && !l->why[0]; i++) {
        char text[640];
        struct qdot_error err = {0};
        snprintf(l->now, sizeof(l->now), "%s%s", name, i ? ", tried again" : "");
        const bool before = fault_hit() != NULL;
        const int status = what(l, &err);
        if (status == QDOT_OK) {
            if (l->dead)
                wrong(l, "succeeded on a lost device");
            return !l->why[0];
        }
        check_text(l, status, &err);
        if (!fault_hit() || (l->kind == FAULT_FAIL && (i > 0 || before))) {
            snprintf(text, sizeof(text), "failed with nothing to make it fail: %.500s", err.text);
            wrong(l, text);
        }
    }
    l->dead = !l->why[0];
    return false;
}

/* A lost device has errors for everything, and is closed all the same. */
static void live(struct life *l, char *row, size_t row_bytes)
{
    static const struct {
        const char *name;
        int (*what)(struct life *l, struct qdot_error *err);
    } runs[] = {{"run", step_run},
                {"run with gaps", step_run_gaps},
                {"run on buffers", step_run_buffers},
                {"run with events", step_run_events},
                {"run of the host", step_run_of_host}};
    const size_t run_count = sizeof(runs) / sizeof(runs[0]) - !l->s->adopted;
    struct qdot_error err = {0};
    if (step(l, "open", step_open) && step(l, "create", step_create)) {
        if (!row[0])
            snprintf(row, row_bytes, "%s", qdot_op_row(l->op));
        if (step(l, "buffers", step_buffers) || (l->in && l->out))
            for (size_t i = 0; i < run_count && !l->why[0]; i++)
                step(l, runs[i].name, runs[i].what);
        if (!l->why[0] && is_product(l) && !l->s->at_run && step(l, "save", step_save))
            compare_packed(l, row);
        if (l->dead && !l->why[0] && qdot_sync(l->device, &err) == QDOT_OK)
            wrong(l, "sync of a lost device succeeded");
    }
    snprintf(l->now + strlen(l->now), sizeof(l->now) - strlen(l->now), ", destroy and close");
    qdot_op_destroy(l->op);
    qdot_event_destroy(l->event);
    qdot_buffer_destroy(l->in);
    qdot_buffer_destroy(l->out);
    qdot_close(l->device);
    char text[128];
    snprintf(text, sizeof(text), "%zu objects of %s and others, %zu allocations left behind",
             fault_live(), fault_live_name(), l->live);
    if (fault_live() || l->live)
        wrong(l, text);
    if (fault_misused())
        wrong(l, "something was released that was not alive");
}

/* ---- all faults of a scenario ---------------------------------------------------------------- */

static char current[256]; /* for the handler */

static void report_crash(int signal_number)
{
    static const char late[] = "FAIL hangs: ", crash[] = "FAIL crash: ";
    const char *what = signal_number == SIGALRM ? late : crash;
    if (write(1, what, sizeof(crash) - 1) < 0 || write(1, current, strlen(current)) < 0 ||
        write(1, "\n", 1) < 0)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

struct totals {
    size_t passed, failed;
};

static struct life life_of(const struct scenario *s, const char *device, const char *kernel,
                           const char *cache_dir)
{
    return (struct life){.s = s, .device_name = device, .kernel = kernel, .cache_dir = cache_dir};
}

/* The right answer, by the CPU, whose backend calls no driver; then by the device. */
static bool baseline(const struct scenario *s, const char *device, const char *kernel,
                     const char *cache_dir, char *row, size_t row_bytes)
{
    struct life cpu = life_of(s, "cpu", NULL, cache_dir);
    struct life first = life_of(s, device, kernel, cache_dir);
    struct qdot_error err = {0};
    cpu.out_bytes = s->m * s->n * (s->out_type == QDOT_U8 || s->out_type == QDOT_S8 ? 1 : 4);
    memset(want, 0x55, sizeof(want)); /* what it is compared with, for now, is not looked at */
    if (step_open(&cpu, &err) || step_create(&cpu, &err) || run_host(&cpu, 0, &err)) {
        printf("FAIL %s: the CPU: %s\n", s->name, err.text);
        return false;
    }
    qdot_op_destroy(cpu.op);
    qdot_close(cpu.device);
    memcpy(want, got, sizeof(want));
    first.out_bytes = cpu.out_bytes;
    row[0] = '\0';
    memcpy(want_packed, packed, sizeof(packed));
    live(&first, row, row_bytes);
    if (strstr(first.why, "packed B differs")) /* the first time there is nothing to compare with */
        first.why[0] = '\0';
    memcpy(want_packed, packed, sizeof(packed));
    if (first.why[0])
        printf("FAIL %s on %s, nothing planted: %s\n", s->name, device, first.why);
    return !first.why[0];
}

static void one_fault(const struct scenario *s, const struct life *model, char *row,
                      enum fault_kind kind, size_t at, int code, struct totals *totals)
{
    struct life l = *model;
    l.s = s;
    l.kind = kind;
    snprintf(current, sizeof(current), "%s on %s, %s call %zu with %d", s->name, l.device_name,
             kind == FAULT_FAIL ? "failing" : "lost from", at, code);
    alarm(SECONDS);
    fault_set(kind, at, code);
    live(&l, row, 64);
    const char *hit = fault_hit();
    alarm(0);
    if (l.why[0]) {
        printf("FAIL %s (%s): %s\n", current, hit ? hit : "not reached", l.why);
        totals->failed++;
    } else {
        totals->passed++;
    }
}

static void all_faults(const struct scenario *s, const char *device, const char *kernel,
                       const char *cache_dir, bool every, struct totals *totals)
{
    /* Memory, resources, what was not expected; and a device that is gone. */
    static const int opencl[] = {-6, -5, -36}, vulkan[] = {-1, -13, -4};
    const int *codes = strncmp(device, "vulkan", 6) == 0 ? vulkan : opencl;
    static size_t calls[CALLS_MAX];
    char row[64];
    struct totals before = *totals;
    struct life model = life_of(s, device, kernel, cache_dir);
    /* Once more than once: the first fills the cache. */
    if (!baseline(s, device, kernel, cache_dir, row, sizeof(row))) {
        totals->failed++;
        return;
    }
    model.out_bytes = s->m * s->n * (s->out_type == QDOT_U8 || s->out_type == QDOT_S8 ? 1 : 4);
    fault_set(FAULT_WATCH, 0, 0);
    struct life again = model;
    live(&again, row, sizeof(row));
    size_t count = fault_sites(calls, CALLS_MAX);
    const size_t total = fault_calls();
    if (again.why[0])
        printf("FAIL %s on %s, nothing planted: %s\n", s->name, device, again.why);
    totals->failed += again.why[0] != '\0';
    for (count = every ? total : count; every && count > 0 && calls[count - 1] != count;)
        for (size_t i = 0; i < count && i < CALLS_MAX; i++)
            calls[i] = i + 1;
    for (size_t i = 0; i < count; i++) {
        one_fault(s, &model, row, FAULT_FAIL, calls[i], codes[i % 2], totals);
        if (every)
            one_fault(s, &model, row, FAULT_FAIL, calls[i], codes[(i + 1) % 2], totals);
        if (!getenv("QDOT_FAULT_CALL") && (every || i % 4 == 0)) /* all calls, or none */
            one_fault(s, &model, row, FAULT_LOSE, calls[i], codes[2], totals);
    }
    fault_set(FAULT_NONE, 0, 0);
    printf("%-10s %-9s %-28s %5zu calls, %4zu from different places: %zu faults, %zu wrong\n",
           s->name, device, row, total, count,
           totals->passed + totals->failed - before.passed - before.failed,
           totals->failed - before.failed);
    fflush(stdout);
}

static void fill(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        a[i] = (uint8_t)(state >> 16);
        b[i] = (uint8_t)(state >> 24);
    }
    for (size_t i = 0; i < 256; i++) {
        zeros[i] = (int32_t)(i % 120);
        row_zeros[i] = (int32_t)(i * 5 % 250);
        scales[i] = 0.0005f * (float)(1 + i % 7);
        row_scales[i] = 0.37f * (float)(1 + i % 5);
    }
}

int main(int argc, char **argv)
{
    const char *kernel = NULL;
    bool every = false, some = false;
    char cache_dir[] = "/tmp/qdot-faults.XXXXXX", command[64];
    struct totals totals = {0, 0};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--every") == 0)
            every = true;
        else if (strcmp(argv[i], "--kernel") == 0 && i + 1 < argc)
            kernel = argv[++i];
        else
            some = true;
    }
    if (argc < 2 || argv[1][0] == '-' || !mkdtemp(cache_dir)) {
        fprintf(stderr, "usage: faults DEVICE [--every] [--kernel ROW] [SCENARIO...]\n");
        return 2;
    }
    signal(SIGSEGV, report_crash);
    signal(SIGABRT, report_crash);
    signal(SIGBUS, report_crash);
    signal(SIGFPE, report_crash);
    signal(SIGALRM, report_crash);
    setvbuf(stdout, NULL, _IOLBF, 0);
    fill();
    for (size_t i = 0; i < SCENARIOS; i++) {
        bool wanted = !some;
        for (int j = 2; j < argc; j++)
            wanted = wanted || strcmp(argv[j], scenarios[i].name) == 0;
        if (scenarios[i].flushed && strncmp(argv[1], "vulkan", 6) != 0)
            continue;
        if (scenarios[i].flushed)
            setenv("QDOT_FAULT_LIES", "shadow=1", 1);
        if (wanted && scenarios[i].adopted && !host_open(argv[1])) {
            printf("FAIL %s: no host for %s\n", scenarios[i].name, argv[1]);
            totals.failed++;
        } else if (wanted)
            all_faults(&scenarios[i], argv[1], kernel, cache_dir, every, &totals);
        if (scenarios[i].flushed)
            unsetenv("QDOT_FAULT_LIES");
    }
    snprintf(command, sizeof(command), "rm -rf %s", cache_dir);
    if (system(command) != 0)
        totals.failed++;
    printf("%zu passed, %zu failed, 0 skipped\n", totals.passed, totals.failed);
    return totals.failed > 0 || totals.passed == 0;
}
