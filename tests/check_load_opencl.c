/* Group primitive on OpenCL: vectors from memory at every alignment that the standard allows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "probe_opencl.h"

enum { ITEMS = 256, LOCAL = 64, LANES_MAX = 16 };

static const struct {
    const char *type;
    size_t bytes;
} types[] = {{"char", 1}, {"short", 2}, {"int", 4}};
enum { TYPES = sizeof(types) / sizeof(types[0]), WIDTHS = 5, PAD = 1 };
static const size_t widths[WIDTHS] = {2, 3, 4, 8, 16};

/* The i-th item takes N elements from the i-th on: to aligned memory, to memory that is off by one
 * element, and the same from local memory. The results of each N lie behind those of the last. */
static const char source[] =
    "#define STEP(N)                                             \\\n"
    "    vstore##N(vload##N(0, a + i), i, r);                    \\\n"
    "    vstore##N(vload##N(0, a + i), i, r + N * n + 1);        \\\n"
    "    vstore##N(vload##N(0, l + j), i, r + 2 * N * n + 1);    \\\n"
    "    r += 3 * N * n + 1;\n"
    "kernel void load(global const T *a, global T *r, uint n, local T *l)\n"
    "{\n"
    "    const uint i = get_global_id(0), j = get_local_id(0);\n"
    "    for (uint k = j; k < 64 + 16; k += 64)\n"
    "        l[k] = a[i - j + k];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    STEP(2) STEP(3) STEP(4) STEP(8) STEP(16)\n"
    "}\n";
enum { RESULTS = 3 * ITEMS * (2 + 3 + 4 + 8 + 16) + WIDTHS * PAD };

struct state {
    struct probe_cl cl;
    uint64_t seed;
    char name[64];
};

static const char *name_of(void *state, size_t index)
{
    struct state *s = state;
    if (index >= TYPES)
        return NULL;
    snprintf(s->name, sizeof(s->name), "vload and vstore of %s", types[index].type);
    return s->name;
}

/* What vectors of one width left at r. */
static enum verdict compare(size_t bytes, size_t lanes, const uint8_t *a, const uint8_t *r,
                            struct outcome *outcome)
{
    static const char *const places[] = {"to an aligned place", "to one that is off by an element",
                                         "from local memory"};
    for (size_t place = 0; place < 3; place++)
        for (size_t i = 0; i < ITEMS * lanes; i++) {
            const size_t at = place * lanes * ITEMS + (place > 0) + i;
            const size_t from = i / lanes + i % lanes;
            if (memcmp(r + at * bytes, a + from * bytes, bytes) == 0)
                continue;
            uint32_t got = 0, expected = 0;
            memcpy(&got, r + at * bytes, bytes);
            memcpy(&expected, a + from * bytes, bytes);
            snprintf(outcome->index, sizeof(outcome->index), "element %zu of %zu from byte %zu on",
                     i % lanes, lanes, i / lanes * bytes);
            snprintf(outcome->got, sizeof(outcome->got), "0x%x", got);
            snprintf(outcome->expected, sizeof(outcome->expected), "0x%x", expected);
            return check_fail(outcome, "a wrong value, %s", places[place]);
        }
    return VERDICT_PASS;
}

static enum verdict compare_all(size_t bytes, const uint8_t *a, const uint8_t *r,
                                struct outcome *outcome)
{
    enum verdict verdict = VERDICT_PASS;
    for (size_t i = 0; i < WIDTHS && verdict == VERDICT_PASS; i++) {
        verdict = compare(bytes, widths[i], a, r, outcome);
        r += (3 * ITEMS * widths[i] + PAD) * bytes;
    }
    return verdict;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct state *s = state;
    const size_t bytes = types[index].bytes;
    uint8_t a[(ITEMS + LANES_MAX) * 4], *r = calloc(RESULTS, 4);
    struct random random = {random_seed(s->seed, "load", index)};
    char options[64];
    const char *call = "";
    cl_int code = CL_SUCCESS;
    if (!r)
        return check_fail(outcome, "out of memory");
    fill_bytes(&random, a, sizeof(a), QDOT_U8, FILL_ANY, 0);
    snprintf(options, sizeof(options), "-cl-std=CL1.2 -DT=%s", types[index].type);
    cl_program program = probe_cl_build(&s->cl, source, options, &code);
    const struct probe_cl_run args = {
        .kernel = "load",
        .buffers = {{a, sizeof(a)}, {r, RESULTS * 4}},
        .buffer_count = 2,
        .count = ITEMS,
        .global = ITEMS,
        .local = LOCAL,
        .local_bytes = (LOCAL + LANES_MAX) * bytes,
    };
    if (program)
        code = probe_cl_run(&s->cl, program, &args, &call);
    enum verdict verdict =
        !program ? check_fail(outcome, "does not compile, error %d: %.300s", (int)code, s->cl.log)
        : code   ? check_fail(outcome, "%s: error %d", call, (int)code)
                 : compare_all(bytes, a, r, outcome);
    if (program)
        s->cl.clReleaseProgram(program);
    free(r);
    return verdict;
}

static void *open_device(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s || !probe_cl_open(&s->cl, target->index, reason, reason_bytes)) {
        free(s);
        return NULL;
    }
    s->seed = target->seed;
    return s;
}

static void close_device(void *state)
{
    struct state *s = state;
    probe_cl_close(&s->cl);
    free(s);
}

const struct check_set check_load_opencl[] = {
    {"device/load", "primitive", "vectors from memory at every alignment", "opencl", open_device,
     name_of, run, close_device, NULL},
    {.name = NULL},
};
