/* A host runtime on OpenCL: its context, queues, buffers, kernels and events around qdot's runs. */
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include "interop.h"
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include "qdot_opencl.h"

static const char kernels[] =
    "kernel void produce(global uint *a, uint at) {"
    "    const uint i = get_global_id(0);"
    "    a[at + i] = i * 2654435761u ^ (i >> 5);"
    "}"
    "kernel void consume(global const uint *from, uint at, global uint *to) {"
    "    const uint i = get_global_id(0);"
    "    to[i] = from[at + i] ^ 0x5a5a5a5au;"
    "}";

struct host {
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_mem a, out, consumed;
};

/* 8 bytes before and behind what qdot sees of each buffer. */
enum { GUARD = 8 };

static void check(cl_int code, const char *call)
{
    if (code != CL_SUCCESS)
        fail_msg("%s: %d", call, (int)code);
}
#define CHECK(call) check(call, #call)

static cl_mem memory_new(cl_context context, size_t bytes)
{
    cl_int code;
    cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    check(code, "clCreateBuffer");
    return memory;
}

static void host_open(struct host *h)
{
    const char *text = kernels;
    cl_int code;
    memset(h, 0, sizeof(*h));
    CHECK(clGetPlatformIDs(1, &h->platform, NULL));
    CHECK(clGetDeviceIDs(h->platform, CL_DEVICE_TYPE_ALL, 1, &h->id, NULL));
    h->context = clCreateContext(NULL, 1, &h->id, NULL, NULL, &code);
    check(code, "clCreateContext");
    h->queue = clCreateCommandQueue(h->context, h->id, 0, &code);
    check(code, "clCreateCommandQueue");
    h->program = clCreateProgramWithSource(h->context, 1, &text, NULL, &code);
    check(code, "clCreateProgramWithSource");
    CHECK(clBuildProgram(h->program, 1, &h->id, "", NULL, NULL));
    h->a = memory_new(h->context, INTEROP_A + 2 * GUARD);
    h->out = memory_new(h->context, INTEROP_OUT + 2 * GUARD);
    h->consumed = memory_new(h->context, INTEROP_OUT);
}

static void host_close(struct host *h)
{
    CHECK(clReleaseMemObject(h->a));
    CHECK(clReleaseMemObject(h->out));
    CHECK(clReleaseMemObject(h->consumed));
    CHECK(clReleaseProgram(h->program));
    CHECK(clReleaseCommandQueue(h->queue));
    CHECK(clReleaseContext(h->context));
}

/* Reference counts of all that is given to qdot. */
struct counts {
    cl_uint device, context, queue, a, out;
};

static void fill(const struct host *h, cl_mem memory, size_t bytes)
{
    const cl_uint rubbish = 0x77777777;
    CHECK(clEnqueueFillBuffer(h->queue, memory, &rubbish, 4, 0, bytes, 0, NULL, NULL));
}

static void begin(const struct host *h)
{
    fill(h, h->a, INTEROP_A + 2 * GUARD);
    fill(h, h->out, INTEROP_OUT + 2 * GUARD);
    fill(h, h->consumed, INTEROP_OUT);
    CHECK(clFinish(h->queue));
}

/* Drivers hold on to the last command of a queue and of a buffer (PoCL): here those are the same. */
static struct counts counts_now(const struct host *h)
{
    struct counts c;
    begin(h);
    CHECK(clGetDeviceInfo(h->id, CL_DEVICE_REFERENCE_COUNT, sizeof(cl_uint), &c.device, NULL));
    CHECK(clGetContextInfo(h->context, CL_CONTEXT_REFERENCE_COUNT, sizeof(cl_uint), &c.context,
                           NULL));
    CHECK(
        clGetCommandQueueInfo(h->queue, CL_QUEUE_REFERENCE_COUNT, sizeof(cl_uint), &c.queue, NULL));
    CHECK(clGetMemObjectInfo(h->a, CL_MEM_REFERENCE_COUNT, sizeof(cl_uint), &c.a, NULL));
    CHECK(clGetMemObjectInfo(h->out, CL_MEM_REFERENCE_COUNT, sizeof(cl_uint), &c.out, NULL));
    return c;
}

static void lower(cl_uint *count, cl_uint other)
{
    *count = other < *count ? other : *count;
}

/* And their threads release what commands held some time after they are done, so it is the least of many. */
static struct counts counts_of(const struct host *h)
{
    struct counts c = counts_now(h);
    for (int i = 0; i < 30; i++) {
        nanosleep(&(const struct timespec){0, 5000000}, NULL);
        const struct counts now = counts_now(h);
        lower(&c.device, now.device);
        lower(&c.context, now.context);
        lower(&c.queue, now.queue);
        lower(&c.a, now.a);
        lower(&c.out, now.out);
    }
    return c;
}

static void check_counts(const struct host *h, const struct counts *before)
{
    const struct counts after = counts_of(h);
    assert_int_equal(after.device, before->device);
    assert_int_equal(after.context, before->context);
    assert_int_equal(after.queue, before->queue);
    assert_int_equal(after.a, before->a);
    assert_int_equal(after.out, before->out);
}

static cl_kernel kernel_of(const struct host *h, const char *name)
{
    cl_int code;
    cl_kernel kernel = clCreateKernel(h->program, name, &code);
    check(code, "clCreateKernel");
    return kernel;
}

static void produce(const struct host *h, cl_command_queue queue, cl_uint wait_count,
                    const cl_event *waits, cl_event *event)
{
    const size_t words = INTEROP_A / 4;
    const cl_uint at = GUARD / 4;
    cl_kernel kernel = kernel_of(h, "produce");
    CHECK(clSetKernelArg(kernel, 0, sizeof(h->a), &h->a));
    CHECK(clSetKernelArg(kernel, 1, sizeof(at), &at));
    CHECK(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &words, NULL, wait_count, waits, event));
    CHECK(clReleaseKernel(kernel));
}

static void consume(const struct host *h, cl_command_queue queue, cl_uint wait_count,
                    const cl_event *waits)
{
    const size_t words = INTEROP_OUT / 4;
    const cl_uint at = GUARD / 4;
    cl_kernel kernel = kernel_of(h, "consume");
    CHECK(clSetKernelArg(kernel, 0, sizeof(h->out), &h->out));
    CHECK(clSetKernelArg(kernel, 1, sizeof(at), &at));
    CHECK(clSetKernelArg(kernel, 2, sizeof(h->consumed), &h->consumed));
    CHECK(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &words, NULL, wait_count, waits, NULL));
    CHECK(clReleaseKernel(kernel));
}

/* The result as the consumer has it, and nothing else written. */
static void finish(const struct host *h, cl_command_queue queue, const struct interop_problem *p)
{
    static uint8_t got[INTEROP_OUT], out[INTEROP_OUT + 2 * GUARD];
    CHECK(clEnqueueReadBuffer(queue, h->consumed, CL_TRUE, 0, sizeof(got), got, 0, NULL, NULL));
    CHECK(clEnqueueReadBuffer(queue, h->out, CL_TRUE, 0, sizeof(out), out, 0, NULL, NULL));
    interop_check(p, got);
    for (size_t i = 0; i < sizeof(out); i++)
        if ((i < GUARD || i >= GUARD + p->out_bytes) && out[i] != 0x77)
            fail_msg("byte %zu beside the output was written", i);
}

static struct qdot_device *adopt(const struct host *h, cl_command_queue queue)
{
    const struct qdot_opencl_desc opencl = {
        .size = sizeof(opencl), .context = h->context, .device = h->id, .queue = queue};
    const struct qdot_device_desc desc = {.size = sizeof(desc), .cache_dir = "", .budget_us = 1};
    struct qdot_device *device;
    struct qdot_error err = {0};
    interop_must(qdot_opencl_adopt(&opencl, &desc, &device, &err), &err, "qdot_opencl_adopt");
    return device;
}

struct scene {
    struct qdot_op *op;
    struct qdot_buffer *a, *out;
    struct qdot_run run;
};

static void scene_open(struct scene *s, struct qdot_device *device, const struct host *h,
                       const struct interop_problem *p)
{
    struct qdot_error err = {0};
    interop_must(qdot_op_create(device, &p->desc, &s->op, &err), &err, "qdot_op_create");
    interop_must(qdot_opencl_buffer(device, h->a, GUARD, p->a_bytes, &s->a, &err), &err, "a");
    interop_must(qdot_opencl_buffer(device, h->out, GUARD, p->out_bytes, &s->out, &err), &err,
                 "out");
    s->run = (struct qdot_run){.size = sizeof(s->run), .a.buffer = s->a, .out.buffer = s->out};
}

static void scene_close(struct scene *s)
{
    qdot_buffer_destroy(s->a);
    qdot_buffer_destroy(s->out);
    qdot_op_destroy(s->op);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_one_queue(void **state)
{
    struct host h;
    struct qdot_error err = {0};
    (void)state;
    host_open(&h);
    const struct counts before = counts_of(&h);
    struct qdot_device *device = adopt(&h, h.queue);
    for (size_t i = 0; i < INTEROP_PROBLEMS; i++) {
        static struct interop_problem p;
        struct scene s;
        interop_problem(i, &p);
        scene_open(&s, device, &h, &p);
        begin(&h);
        produce(&h, h.queue, 0, NULL, NULL);
        interop_must(qdot_op_run(s.op, &s.run, &err), &err, "qdot_op_run");
        consume(&h, h.queue, 0, NULL);
        finish(&h, h.queue, &p);
        scene_close(&s);
    }
    qdot_close(device);
    check_counts(&h, &before);
    host_close(&h);
}

/* qdot's queue is its own. Nothing begins before the user event, so that no call may have waited, and
 * only events hold the three queues together. */
static void test_events(void **state)
{
    struct host h;
    struct qdot_error err = {0};
    cl_int code, status;
    (void)state;
    host_open(&h);
    const struct counts before = counts_of(&h);
    struct qdot_device *device = adopt(&h, NULL);
    assert_ptr_not_equal(qdot_opencl_queue(device), h.queue);
    cl_command_queue last = clCreateCommandQueue(h.context, h.id, 0, &code);
    check(code, "clCreateCommandQueue");
    for (size_t i = 0; i < INTEROP_PROBLEMS; i++) {
        static struct interop_problem p;
        struct scene s;
        cl_event produced, done, go = clCreateUserEvent(h.context, &code);
        struct qdot_event *event;
        check(code, "clCreateUserEvent");
        interop_problem(i, &p);
        scene_open(&s, device, &h, &p);
        interop_must(qdot_event_create(device, &event, &err), &err, "qdot_event_create");
        begin(&h);
        produce(&h, h.queue, 1, &go, &produced);
        CHECK(clFlush(h.queue));
        s.run.event = event;
        interop_must(qdot_opencl_run(s.op, &s.run, &produced, 1, &done, &err), &err,
                     "qdot_opencl_run");
        CHECK(
            clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
        assert_int_not_equal(status, CL_COMPLETE);
        assert_int_equal(qdot_event_wait(event, 20000000, &err), QDOT_TIMEOUT);
        consume(&h, last, 1, &done);
        CHECK(clFlush(last));
        CHECK(clSetUserEventStatus(go, CL_COMPLETE));
        interop_must(qdot_event_wait(event, UINT64_MAX, &err), &err, "qdot_event_wait");
        finish(&h, last, &p);
        CHECK(clReleaseEvent(done));
        CHECK(clReleaseEvent(produced));
        CHECK(clReleaseEvent(go));
        qdot_event_destroy(event);
        scene_close(&s);
    }
    qdot_close(device);
    CHECK(clReleaseCommandQueue(last));
    check_counts(&h, &before);
    host_close(&h);
}

/* The same through an event of host memory, reads and writes of a part, and a sub-buffer. */
static void test_parts(void **state)
{
    static struct interop_problem p;
    static uint8_t got[INTEROP_OUT], a[INTEROP_A];
    struct host h;
    struct scene s;
    struct qdot_error err = {0};
    cl_int code;
    cl_uint align = 0;
    (void)state;
    host_open(&h);
    const struct counts before = counts_of(&h);
    struct qdot_device *device = adopt(&h, h.queue);
    interop_problem(0, &p);
    for (uint32_t i = 0; i < INTEROP_A / 4; i++)
        memcpy(a + 4 * i, &(const uint32_t){interop_word(i)}, 4);
    scene_open(&s, device, &h, &p);
    begin(&h);
    /* An odd offset within the part, which the run's counts from. */
    struct qdot_buffer *odd, *sub;
    interop_must(qdot_opencl_buffer(device, h.a, 1, p.a_bytes + 4, &odd, &err), &err, "odd");
    interop_must(qdot_buffer_write(odd, 2, a, p.a_bytes, &err), &err, "write");
    s.run.a.buffer = odd;
    s.run.a.offset_bytes = 2;
    interop_must(qdot_op_run(s.op, &s.run, &err), &err, "qdot_op_run");
    interop_must(qdot_buffer_read(s.out, 0, got, p.out_bytes, &err), &err, "read");
    assert_memory_equal(got, p.want, p.out_bytes);
    consume(&h, h.queue, 0, NULL);
    finish(&h, h.queue, &p);
    CHECK(clGetDeviceInfo(h.id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(align), &align, NULL));
    const cl_buffer_region region = {align / 8, p.out_bytes};
    cl_mem part =
        clCreateSubBuffer(h.out, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    check(code, "clCreateSubBuffer");
    interop_must(qdot_opencl_buffer(device, part, 0, p.out_bytes, &sub, &err), &err, "sub");
    assert_ptr_equal(qdot_opencl_memory(sub), part);
    CHECK(clReleaseMemObject(part)); /* qdot has it */
    s.run.out.buffer = sub;
    interop_must(qdot_op_run(s.op, &s.run, &err), &err, "qdot_op_run");
    interop_must(qdot_buffer_read(sub, 0, got, p.out_bytes, &err), &err, "read");
    assert_memory_equal(got, p.want, p.out_bytes);
    qdot_buffer_destroy(sub);
    qdot_buffer_destroy(odd);
    scene_close(&s);
    qdot_close(device);
    check_counts(&h, &before);
    host_close(&h);
}

/* A host that has no context takes qdot's. */
static void test_qdots_handles(void **state)
{
    static struct interop_problem p;
    struct qdot_device *device, *cpu;
    struct qdot_error err = {0};
    const struct qdot_device_desc desc = {.device = "opencl:0", .cache_dir = "", .budget_us = 1},
                                  on_cpu = {.device = "cpu", .cache_dir = ""};
    struct host h = {0};
    uint8_t got[64];
    cl_int code;
    (void)state;
    interop_must(qdot_open(&desc, &device, &err), &err, "qdot_open");
    interop_must(qdot_open(&on_cpu, &cpu, &err), &err, "qdot_open");
    h.context = qdot_opencl_context(device);
    assert_non_null(h.context);
    assert_non_null(qdot_opencl_device(device));
    assert_non_null(qdot_opencl_queue(device));
    assert_null(qdot_opencl_context(cpu));
    assert_null(qdot_opencl_device(NULL));
    assert_null(qdot_opencl_queue(cpu));
    assert_null(qdot_opencl_memory(NULL));
    cl_mem memory = memory_new(h.context, 64);
    struct qdot_buffer *buffer;
    interop_must(qdot_opencl_buffer(device, memory, 0, 64, &buffer, &err), &err, "buffer");
    const cl_uint value = 0x01020304;
    cl_event filled;
    CHECK(
        clEnqueueFillBuffer(qdot_opencl_queue(device), memory, &value, 4, 0, 64, 0, NULL, &filled));
    interop_must(qdot_buffer_read(buffer, 4, got, 4, &err), &err, "read");
    assert_memory_equal(got, &value, 4);
    CHECK(clReleaseEvent(filled));
    /* Waiting with host memory, and wrong ops. */
    interop_problem(0, &p);
    struct qdot_op *op, *other;
    static uint8_t a[INTEROP_A], out[INTEROP_OUT];
    for (uint32_t i = 0; i < INTEROP_A / 4; i++)
        memcpy(a + 4 * i, &(const uint32_t){interop_word(i)}, 4);
    interop_must(qdot_op_create(device, &p.desc, &op, &err), &err, "op");
    interop_must(qdot_op_create(cpu, &p.desc, &other, &err), &err, "op");
    struct qdot_run run = {.a.host = a, .out.host = out};
    cl_event done = clCreateUserEvent(h.context, &code);
    check(code, "clCreateUserEvent");
    CHECK(clSetUserEventStatus(done, CL_COMPLETE));
    const cl_event waits[1] = {done};
    interop_must(qdot_opencl_run(op, &run, waits, 1, &done, &err), &err, "run");
    assert_memory_equal(out, p.want, p.out_bytes);
    api_expect("an op of the CPU", qdot_opencl_run(other, &run, NULL, 0, NULL, &err), QDOT_INVALID,
               &err, "op");
    api_expect("no waits", qdot_opencl_run(op, &run, NULL, 1, NULL, &err), QDOT_INVALID, &err,
               "waits");
    api_expect("no op", qdot_opencl_run(NULL, &run, NULL, 0, NULL, &err), QDOT_INVALID, &err, "op");
    CHECK(clReleaseEvent(waits[0]));
    CHECK(clReleaseEvent(done));
    qdot_op_destroy(op);
    qdot_op_destroy(other);
    qdot_buffer_destroy(buffer);
    CHECK(clReleaseMemObject(memory));
    qdot_close(cpu);
    qdot_close(device);
}

static void test_wrong_handles(void **state)
{
    static struct interop_problem p;
    struct host h, stranger;
    struct qdot_device *device;
    struct qdot_buffer *buffer;
    struct scene s;
    struct qdot_error err = {0};
    cl_int code;
    (void)state;
    host_open(&h);
    host_open(&stranger);
    const struct counts before = counts_of(&h), before_stranger = counts_of(&stranger);
    cl_command_queue unordered =
        clCreateCommandQueue(h.context, h.id, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    struct qdot_opencl_desc bad = {.context = h.context, .device = h.id, .queue = stranger.queue};
    const struct qdot_device_desc named = {.device = "opencl:0"};
#define REFUSED(status, field) \
    api_expect("adopt", qdot_opencl_adopt(&bad, NULL, &device, &err), status, &err, field)
    REFUSED(QDOT_INVALID, "queue");
    if (code == CL_SUCCESS) {
        bad.queue = unordered;
        REFUSED(QDOT_UNSUPPORTED, "queue");
        CHECK(clReleaseCommandQueue(unordered));
    }
    bad.queue = NULL;
    bad.size = 1;
    REFUSED(QDOT_INVALID, "size");
    bad.size = 0;
    bad.device = NULL;
    REFUSED(QDOT_INVALID, "device");
    bad.device = h.id;
    bad.context = NULL;
    REFUSED(QDOT_INVALID, "context");
#undef REFUSED
    bad.context = h.context;
    assert_null(device);
    api_expect("a name", qdot_opencl_adopt(&bad, &named, &device, &err), QDOT_INVALID, &err,
               "device");
    api_expect("NULL", qdot_opencl_adopt(NULL, NULL, &device, &err), QDOT_INVALID, &err, "opencl");
    api_expect("NULL", qdot_opencl_adopt(&bad, NULL, NULL, &err), QDOT_INVALID, &err, "device");

    device = adopt(&h, h.queue);
    struct qdot_device_info info;
    interop_must(qdot_device_info(device, &info, &err), &err, "qdot_device_info");
    assert_string_equal(info.backend, "opencl");
    assert_string_equal(info.name, "opencl:0");
    assert_true(info.description[0] && info.driver[0]);
    api_expect("another context's", qdot_opencl_buffer(device, stranger.a, 0, 8, &buffer, &err),
               QDOT_INVALID, &err, "memory");
    api_expect("too long", qdot_opencl_buffer(device, h.a, 8, INTEROP_A + 9, &buffer, &err),
               QDOT_INVALID, &err, "bytes");
    api_expect("too far", qdot_opencl_buffer(device, h.a, SIZE_MAX, 8, &buffer, &err), QDOT_INVALID,
               &err, "offset_bytes");
    api_expect("nothing", qdot_opencl_buffer(device, h.a, 8, 0, &buffer, &err), QDOT_INVALID, &err,
               "bytes");
    api_expect("NULL", qdot_opencl_buffer(device, NULL, 8, 8, &buffer, &err), QDOT_INVALID, &err,
               "memory");
    assert_null(buffer);

    interop_problem(1, &p);
    scene_open(&s, device, &h, &p);
    cl_event other = clCreateUserEvent(stranger.context, &code);
    check(code, "clCreateUserEvent");
    CHECK(clSetUserEventStatus(other, CL_COMPLETE));
    api_expect("another context's event", qdot_opencl_run(s.op, &s.run, &other, 1, NULL, &err),
               QDOT_INVALID, &err, "waits");
    CHECK(clReleaseEvent(other));
    cl_mem constant = clCreateBuffer(h.context, CL_MEM_READ_ONLY, INTEROP_OUT, NULL, &code);
    check(code, "clCreateBuffer");
    interop_must(qdot_opencl_buffer(device, constant, 0, INTEROP_OUT, &buffer, &err), &err, "");
    CHECK(clReleaseMemObject(constant));
    s.run.out.buffer = buffer;
    api_expect("to read only", qdot_op_run(s.op, &s.run, &err), QDOT_INVALID, &err, "out");
    qdot_buffer_destroy(buffer);
    /* Also where the output goes to the host. */
    static uint8_t host[INTEROP_OUT];
    struct qdot_run out_of_write_only = s.run;
    cl_mem sink = clCreateBuffer(h.context, CL_MEM_WRITE_ONLY, INTEROP_OUT, NULL, &code);
    check(code, "clCreateBuffer");
    interop_must(qdot_opencl_buffer(device, sink, 0, INTEROP_OUT, &buffer, &err), &err, "");
    CHECK(clReleaseMemObject(sink));
    out_of_write_only.a.buffer = buffer;
    out_of_write_only.out = (struct qdot_output){.host = host};
    api_expect("to write only", qdot_op_run(s.op, &out_of_write_only, &err), QDOT_INVALID, &err,
               "a");
    qdot_buffer_destroy(buffer);
    /* Sums are aligned in the whole memory. */
    interop_must(qdot_opencl_buffer(device, h.out, 2, p.out_bytes, &buffer, &err), &err, "");
    s.run.out.buffer = buffer;
    api_expect("alignment", qdot_op_run(s.op, &s.run, &err), QDOT_INVALID, &err, "out");
    qdot_buffer_destroy(buffer);
    scene_close(&s);
    qdot_close(device);
    check_counts(&h, &before);
    check_counts(&stranger, &before_stranger);
    host_close(&stranger);
    host_close(&h);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct worker {
    struct qdot_device *device;
    struct host h; /* buffers of its own, the rest is shared */
    struct interop_problem p;
    struct scene s;
    int status;
    struct qdot_error err;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 25 && w->status == QDOT_OK; i++) {
        cl_event done;
        w->status = qdot_opencl_run(w->s.op, &w->s.run, NULL, 0, &done, &w->err);
        if (w->status == QDOT_OK) {
            clWaitForEvents(1, &done);
            clReleaseEvent(done);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    enum { THREADS = INTEROP_PROBLEMS };
    static struct worker workers[THREADS];
    struct host h;
    pthread_t threads[THREADS];
    (void)state;
    host_open(&h);
    const struct counts before = counts_of(&h);
    struct qdot_device *device = adopt(&h, h.queue);
    for (size_t i = 0; i < THREADS; i++) {
        struct worker *w = &workers[i];
        w->h = h;
        w->h.a = memory_new(h.context, INTEROP_A + 2 * GUARD);
        w->h.out = memory_new(h.context, INTEROP_OUT + 2 * GUARD);
        begin(&w->h);
        produce(&w->h, h.queue, 0, NULL, NULL);
        interop_problem(i, &w->p);
        scene_open(&w->s, device, &w->h, &w->p);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        struct worker *w = &workers[i];
        interop_must(w->status, &w->err, "qdot_opencl_run");
        consume(&w->h, h.queue, 0, NULL);
        finish(&w->h, h.queue, &w->p);
        scene_close(&w->s);
        CHECK(clReleaseMemObject(w->h.a));
        CHECK(clReleaseMemObject(w->h.out));
    }
    qdot_close(device);
    check_counts(&h, &before);
    host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_queue),     cmocka_unit_test(test_events),
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_qdots_handles),
        cmocka_unit_test(test_wrong_handles), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("interop_opencl", tests, NULL, NULL);
}
