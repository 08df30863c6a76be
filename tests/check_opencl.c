/* Groups advertised, limits and build on OpenCL: what a device says of itself, tried. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "probe_opencl.h"

struct state {
    struct probe_cl cl;
    const struct check *checks;
};

struct check {
    const char *name;
    enum verdict (*run)(struct probe_cl *cl, const struct check *check, struct outcome *outcome);
    const char *extension, *options, *body; /* of an extension's probe */
    uint32_t answer;
};

#define CHECK(name)                                                          \
    static enum verdict name(struct probe_cl *cl, const struct check *check, \
                             struct outcome *outcome)
#define UNUSED (void)cl, (void)check, (void)outcome

/* Builds the source, runs "f" with words in and out, one buffer each. */
static cl_int build_and_run(struct probe_cl *cl, const char *source, const char *options,
                            uint32_t *in, uint32_t *out, size_t words, size_t global, size_t local,
                            size_t local_bytes, const char **call)
{
    cl_int code = CL_SUCCESS;
    *call = "clBuildProgram";
    cl_program program = probe_cl_build(cl, source, options, &code);
    if (!program)
        return code;
    const struct probe_cl_run run = {
        .kernel = "f",
        .buffers = {{in, words * 4}, {out, words * 4}},
        .buffer_count = 2,
        .count = (cl_uint)words,
        .global = global,
        .local = local,
        .local_bytes = local_bytes,
    };
    code = probe_cl_run(cl, program, &run, call);
    cl->clReleaseProgram(program);
    return code;
}

static enum verdict wrong_word(struct outcome *outcome, size_t i, uint32_t got, uint32_t expected)
{
    snprintf(outcome->index, sizeof(outcome->index), "[%zu]", i);
    snprintf(outcome->got, sizeof(outcome->got), "0x%08x", got);
    snprintf(outcome->expected, sizeof(outcome->expected), "0x%08x", expected);
    return check_fail(outcome, "a wrong value");
}

/* ---- advertised ------------------------------------------------------------------------------ */

/* x is 0x80ff7f01, y 0x01ff8002, and z an int of 2^31 - 1. */
#define PROBE(body)                                                    \
    "kernel void f(global const uint *in, global uint *out, uint n)\n" \
    "{\n"                                                              \
    "    const uint x = in[0], y = in[1];\n"                           \
    "    const int z = as_int(in[2]);\n"                               \
    "    out[0] = " body ";\n"                                         \
    "}\n"

CHECK(extension)
{
    uint32_t in[4] = {0x80ff7f01, 0x01ff8002, 0x7fffffff, 0}, out[4] = {0};
    const char *call = "";
    const bool listed = probe_cl_lists(cl, check->extension);
    const cl_int code = build_and_run(cl, check->body, check->options, in, out, 4, 1, 1, 0, &call);
    const bool works = code == CL_SUCCESS && out[0] == check->answer;
    if (listed && works)
        return VERDICT_PASS;
    if (works)
        return check_note(outcome, "works, and is not claimed");
    if (!listed)
        return VERDICT_PASS;
    if (code)
        return check_fail(outcome, "claimed, but %s: error %d %.300s", call, (int)code, cl->log);
    check_fail(outcome, "claimed");
    return wrong_word(outcome, 0, out[0], check->answer);
}

/* The version of OpenCL C that the device names. */
CHECK(language)
{
    UNUSED;
    char version[128] = "", options[32] = "";
    int major = 0, minor = 0;
    uint32_t in[1] = {1}, out[1] = {0};
    const char *call = "";
    cl->clGetDeviceInfo(cl->id, CL_DEVICE_OPENCL_C_VERSION, sizeof(version) - 1, version, NULL);
    if (sscanf(version, "OpenCL C %d.%d", &major, &minor) != 2)
        return check_fail(outcome, "CL_DEVICE_OPENCL_C_VERSION is '%s'", version);
    snprintf(options, sizeof(options), "-cl-std=CL%d.%d", major, minor);
    const cl_int code = build_and_run(cl, PROBE("n + x - 1"), options, in, out, 1, 1, 1, 0, &call);
    if (code)
        return check_fail(outcome, "%s: %s: error %d %.200s", options, call, (int)code, cl->log);
    return out[0] == 1 ? VERDICT_PASS : wrong_word(outcome, 0, out[0], 1);
}

/* All versions that it lists: one of 3.0 does, others may. qdot uses 1.2, and 3.0 for dot products. */
CHECK(languages)
{
    UNUSED;
    enum { ALL_VERSIONS = 0x1066, MOST = 64 };
    static const unsigned tried[][2] = {{1, 1}, {1, 2}, {2, 0}, {3, 0}};
    struct {
        cl_uint version; /* 10 bits, 10 bits, 12 bits */
        char name[64];
    } list[MOST];
    size_t bytes = 0;
    char unlisted[64] = "";
    if (cl->clGetDeviceInfo(cl->id, ALL_VERSIONS, sizeof(list), list, &bytes) != CL_SUCCESS)
        return VERDICT_PASS;
    for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
        uint32_t in[1] = {1}, out[1] = {0};
        const char *call = "";
        char options[32];
        bool listed = false;
        for (size_t j = 0; j < bytes / sizeof(list[0]); j++)
            listed = listed || list[j].version >> 12 == (tried[i][0] << 10 | tried[i][1]);
        snprintf(options, sizeof(options), "-cl-std=CL%u.%u", tried[i][0], tried[i][1]);
        const cl_int code =
            build_and_run(cl, PROBE("n + x - 1"), options, in, out, 1, 1, 1, 0, &call);
        const bool works = code == CL_SUCCESS && out[0] == 1;
        if (listed && !works)
            return check_fail(outcome, "%s is listed; %s: error %d, %u", options, call, (int)code,
                              out[0]);
        if (works && !listed)
            snprintf(unlisted + strlen(unlisted), sizeof(unlisted) - strlen(unlisted), " %u.%u",
                     tried[i][0], tried[i][1]);
    }
    return unlisted[0] ? check_note(outcome, "works, and is not listed:%s", unlisted)
                       : VERDICT_PASS;
}

/* Half of the smallest normal, by a product of numbers that are normal. */
CHECK(subnormals)
{
    UNUSED;
    uint32_t in[2] = {0x00800000, 0x3f000000}, out[2] = {0};
    const char *call = "";
    const cl_int code = build_and_run(cl, PROBE("as_uint(as_float(x) * as_float(y)) + z * 0"),
                                      "-cl-std=CL1.2", in, out, 2, 1, 1, 0, &call);
    if (code)
        return check_fail(outcome, "%s: error %d", call, (int)code);
    const bool kept = out[0] == 0x00400000;
    if (kept && !cl->subnormals)
        return check_note(outcome, "kept, and CL_FP_DENORM is not claimed");
    if (!kept && cl->subnormals)
        return wrong_word(outcome, 0, out[0], 0x00400000);
    return VERDICT_PASS;
}

CHECK(bits_of_address)
{
    UNUSED;
    uint32_t in[1] = {0}, out[1] = {0};
    const char *call = "";
    const uint32_t claimed = (uint32_t)probe_cl_number(cl, CL_DEVICE_ADDRESS_BITS, 4);
    const cl_int code = build_and_run(cl, PROBE("8 * (uint)sizeof(size_t)"), "-cl-std=CL1.2", in,
                                      out, 1, 1, 1, 0, &call);
    if (code)
        return check_fail(outcome, "%s: error %d", call, (int)code);
    return out[0] == claimed ? VERDICT_PASS : wrong_word(outcome, 0, out[0], claimed);
}

/* Flags that say a dot product is quick cannot be proven here; a contradiction can. */
CHECK(dot_flags)
{
    UNUSED;
    enum { CAPABILITIES = 0x1073, FLAGS_8BIT = 0x1074, FLAGS_PACKED = 0x1075 };
    cl_ulong capabilities = 0;
    const cl_int answer = cl->clGetDeviceInfo(cl->id, CAPABILITIES, 8, &capabilities, NULL);
    cl_bool flags[2][6] = {{0},
                           {0}}; /* cl_device_integer_dot_product_acceleration_properties_khr */
    size_t fast = 0;
    for (size_t i = 0; i < 2; i++) {
        cl->clGetDeviceInfo(cl->id, i ? FLAGS_PACKED : FLAGS_8BIT, sizeof(flags[i]), flags[i],
                            NULL);
        for (size_t j = 0; j < 6; j++)
            fast += flags[i][j] != 0;
    }
    if (!probe_cl_lists(cl, "cl_khr_integer_dot_product"))
        return answer == CL_SUCCESS ? check_note(outcome,
                                                 "answered without the extension: "
                                                 "capabilities %llu, %zu of 12 flags",
                                                 (unsigned long long)capabilities, fast)
                                    : VERDICT_PASS;
    if (!(capabilities & 1))
        return check_fail(outcome,
                          "the extension is listed without packed bytes, which it requires");
    return check_note(outcome, "%zu of 12 dot products are claimed to be accelerated", fast);
}

#define EXTENSION(name, options, body, answer)              \
    {                                                       \
        name, extension, name, options, PROBE(body), answer \
    }
#define ENABLED(name, options, body, answer)                                   \
    {                                                                          \
        name, extension, name, options,                                        \
            "#pragma OPENCL EXTENSION " name " : enable\n" PROBE(body), answer \
    }

/* x . y of signed bytes is 1 * 2 + 127 * -128 + 1 + -128, of unsigned 2 + 16256 + 65025 + 128. */
static const struct check advertised[] = {
    {"OpenCL C of the version claimed", language, NULL, NULL, NULL, 0},
    {"versions of OpenCL C that are listed", languages, NULL, NULL, NULL, 0},
    {"subnormal floats", subnormals, NULL, NULL, NULL, 0},
    {"bits of an address", bits_of_address, NULL, NULL, NULL, 0},
    {"cl_khr_integer_dot_product: flags", dot_flags, NULL, NULL, NULL, 0},
    ENABLED(
        "cl_khr_integer_dot_product", "-cl-std=CL3.0",
        "as_uint(dot_4x8packed_ss_int(x, y)) + (uint)(dot_acc_sat_4x8packed_ss_int(x, x, z) != z)",
        (uint32_t)(2 - 127 * 128 + 1 - 128)),
    ENABLED("cl_arm_integer_dot_product_int8", "-cl-std=CL1.2",
            "as_uint(arm_dot(as_char4(x), as_char4(y)))", (uint32_t)(2 - 127 * 128 + 1 - 128)),
    ENABLED("cl_arm_integer_dot_product_accumulate_int8", "-cl-std=CL1.2",
            "arm_dot_acc(as_uchar4(x), as_uchar4(y), 1u)", 1 + 2 + 127 * 128 + 255 * 255 + 128),
    ENABLED("cl_arm_integer_dot_product_accumulate_saturate_int8", "-cl-std=CL1.2",
            "as_uint(arm_dot_acc_sat(as_char4(x), as_char4(x), z))", 0x7fffffff),
    ENABLED("cl_khr_fp16", "-cl-std=CL1.2", "(uint)(convert_half(2047.0f) + convert_half(1.0f))",
            2048),
    ENABLED("cl_khr_fp64", "-cl-std=CL1.2", "(uint)((double)z * (double)z / (double)z)",
            0x7fffffff),
    ENABLED("cl_khr_subgroups", "-cl-std=CL3.0", "sub_group_reduce_add(x)", 0x80ff7f01),
    EXTENSION("cl_intel_subgroups", "-cl-std=CL1.2", "sub_group_broadcast(x, 0)", 0x80ff7f01),
    EXTENSION("cl_khr_extended_bit_ops", "-cl-std=CL3.0",
              "bit_reverse(x) + as_uint(bitfield_extract_signed(y, 8u, 8u))", 0x80feff01u - 128),
    EXTENSION("cl_khr_global_int32_base_atomics", "-cl-std=CL1.2",
              "(atomic_add(&out[1], 7), atomic_add(&out[1], 7))", 7),
    EXTENSION("cl_khr_byte_addressable_store", "-cl-std=CL1.2",
              "(((global uchar *)out)[5] = 9, out[1])", 9 << 8),
    {NULL, NULL, NULL, NULL, NULL, 0},
};

/* ---- limits ---------------------------------------------------------------------------------- */

/* Each item hands its number to the next through local memory. */
#define ROTATE                                                                           \
    "kernel %s void f(global const uint *in, global uint *out, uint n, local uint *l)\n" \
    "{\n"                                                                                \
    "    const uint i = get_local_id(0), all = get_local_size(0);\n"                     \
    "    l[i] = in[0] + i;\n"                                                            \
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"                                                \
    "    out[i] = l[(i + 1) %% all];\n"                                                  \
    "}\n"

static size_t largest_group(struct probe_cl *cl)
{
    size_t items[16] = {0};
    const size_t group = (size_t)probe_cl_number(cl, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    cl->clGetDeviceInfo(cl->id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(items), items, NULL);
    return items[0] < group ? items[0] : group;
}

static enum verdict rotate(struct probe_cl *cl, size_t group, const char *attribute, cl_int *code,
                           const char **call, struct outcome *outcome)
{
    char source[512];
    uint32_t *in = calloc(group, 4), *out = calloc(group, 4);
    enum verdict verdict = VERDICT_PASS;
    snprintf(source, sizeof(source), ROTATE, attribute);
    if (!in || !out) {
        free(in);
        free(out);
        *call = "calloc";
        *code = CL_OUT_OF_HOST_MEMORY;
        return check_fail(outcome, "out of memory");
    }
    in[0] = 0x01020304;
    *code =
        build_and_run(cl, source, "-cl-std=CL1.2", in, out, group, group, group, 4 * group, call);
    for (size_t i = 0; i < group && !*code && verdict == VERDICT_PASS; i++)
        if (out[i] != in[0] + (i + 1) % group)
            verdict = wrong_word(outcome, i, out[i], in[0] + (uint32_t)((i + 1) % group));
    free(in);
    free(out);
    return *code ? check_fail(outcome, "%s: error %d %.200s", *call, (int)*code, cl->log) : verdict;
}

CHECK(group_at_limit)
{
    UNUSED;
    const char *call = "";
    cl_int code = CL_SUCCESS;
    const size_t group = largest_group(cl);
    return group ? rotate(cl, group, "", &code, &call, outcome)
                 : check_fail(outcome, "the device reports work-groups of no items");
}

CHECK(group_required)
{
    UNUSED;
    char attribute[80];
    const char *call = "";
    cl_int code = CL_SUCCESS;
    const size_t group = largest_group(cl);
    snprintf(attribute, sizeof(attribute), "__attribute__((reqd_work_group_size(%zu, 1, 1)))",
             group);
    return rotate(cl, group, attribute, &code, &call, outcome);
}

/* What is asked about a kernel that says how large its groups are is no less. */
CHECK(group_of_kernel)
{
    UNUSED;
    char source[600], attribute[80];
    const size_t group = largest_group(cl);
    size_t claimed = 0;
    cl_int code = CL_SUCCESS;
    snprintf(attribute, sizeof(attribute), "__attribute__((reqd_work_group_size(%zu, 1, 1)))",
             group);
    snprintf(source, sizeof(source), ROTATE, attribute);
    cl_program program = probe_cl_build(cl, source, "-cl-std=CL1.2", &code);
    if (!program)
        return check_fail(outcome, "does not compile, error %d: %.200s", (int)code, cl->log);
    cl_kernel kernel = cl->clCreateKernel(program, "f", &code);
    if (!code) {
        code = cl->clGetKernelWorkGroupInfo(kernel, cl->id, CL_KERNEL_WORK_GROUP_SIZE,
                                            sizeof(claimed), &claimed, NULL);
        cl->clReleaseKernel(kernel);
    }
    cl->clReleaseProgram(program);
    if (code)
        return check_fail(outcome, "clCreateKernel or clGetKernelWorkGroupInfo: error %d",
                          (int)code);
    return claimed >= group ? VERDICT_PASS
                            : check_fail(outcome,
                                         "CL_KERNEL_WORK_GROUP_SIZE is %zu of a kernel that "
                                         "requires %zu, which the device allows",
                                         claimed, group);
}

CHECK(group_past_limit)
{
    UNUSED;
    const char *call = "";
    cl_int code = CL_SUCCESS;
    const size_t group =
        (size_t)probe_cl_number(cl, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t)) + 1;
    rotate(cl, group, "", &code, &call, outcome);
    return code ? check_pass(outcome)
                : check_fail(outcome, "a work-group of %zu runs, the device says %zu", group,
                             group - 1);
}

CHECK(group_indivisible)
{
    UNUSED;
    uint32_t in[24] = {0}, out[24] = {0};
    const char *call = "";
    const cl_int code =
        build_and_run(cl, PROBE("x"), "-cl-std=CL1.2", in, out, 24, 24, 16, 0, &call);
    return code ? VERDICT_PASS
                : check_fail(outcome, "24 work-items in groups of 16 run, as OpenCL 1.2 has none");
}

/* All of the local memory that the device says it has, and 'more' bytes: by one group of 16. */
static enum verdict fill_local(struct probe_cl *cl, bool dynamic, size_t more, cl_int *code,
                               struct outcome *outcome)
{
    static const char begin_static[] =
        "kernel void f(global const uint *in, global uint *out, uint n)\n"
        "{\n"
        "    local uint l[WORDS];\n";
    static const char begin_dynamic[] =
        "kernel void f(global const uint *in, global uint *out, uint n, local uint *l)\n"
        "{\n";
    static const char rest[] = "    for (uint i = get_local_id(0); i < WORDS; i += 16)\n"
                               "        l[i] = in[0] + i;\n"
                               "    barrier(CLK_LOCAL_MEM_FENCE);\n"
                               "    uint sum = 0;\n"
                               "    for (uint i = get_local_id(0); i < WORDS; i += 16)\n"
                               "        sum += l[WORDS - 1 - i];\n"
                               "    out[get_local_id(0)] = sum;\n"
                               "}\n";
    char source[1024], options[64];
    const char *call = "";
    const uint32_t words =
        (uint32_t)((probe_cl_number(cl, CL_DEVICE_LOCAL_MEM_SIZE, 8) + more) / 4);
    uint32_t in[16] = {77}, out[16] = {0};
    snprintf(source, sizeof(source), "%s%s", dynamic ? begin_dynamic : begin_static, rest);
    snprintf(options, sizeof(options), "-cl-std=CL1.2 -DWORDS=%u", words);
    *code = build_and_run(cl, source, options, in, out, 16, 16, 16, dynamic ? 4 * words : 0, &call);
    if (*code)
        return check_fail(outcome, "%u bytes: %s: error %d %.200s", 4 * words, call, (int)*code,
                          cl->log);
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t sum = 0;
        for (uint32_t j = i; j < words; j += 16)
            sum += 77 + words - 1 - j;
        if (out[i] != sum)
            return wrong_word(outcome, i, out[i], sum);
    }
    return VERDICT_PASS;
}

CHECK(local_at_limit)
{
    UNUSED;
    cl_int code = CL_SUCCESS;
    return fill_local(cl, false, 0, &code, outcome);
}

CHECK(local_argument_at_limit)
{
    UNUSED;
    cl_int code = CL_SUCCESS;
    return fill_local(cl, true, 0, &code, outcome);
}

static enum verdict past_limit(struct probe_cl *cl, bool dynamic, struct outcome *outcome)
{
    cl_int code = CL_SUCCESS;
    const unsigned long long limit = probe_cl_number(cl, CL_DEVICE_LOCAL_MEM_SIZE, 8);
    const enum verdict verdict = fill_local(cl, dynamic, 64, &code, outcome);
    if (code)
        return check_pass(outcome);
    return check_fail(outcome, "%llu bytes are taken%s, the device says %llu", limit + 64,
                      verdict == VERDICT_PASS ? "" : " and give wrong values", limit);
}

CHECK(local_past_limit)
{
    UNUSED;
    return past_limit(cl, false, outcome);
}

CHECK(local_argument_past_limit)
{
    UNUSED;
    return past_limit(cl, true, outcome);
}

/* Only asked for: memory of the limit's size is not touched. */
CHECK(buffer_past_limit)
{
    UNUSED;
    const cl_ulong limit = probe_cl_number(cl, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 8);
    cl_int code = CL_SUCCESS;
    if (limit >= SIZE_MAX)
        return check_refuse(outcome, "the device says there is no limit");
    cl_mem memory =
        cl->clCreateBuffer(cl->context, CL_MEM_READ_WRITE, (size_t)limit + 1, NULL, &code);
    if (memory)
        cl->clReleaseMemObject(memory);
    return code ? VERDICT_PASS
                : check_fail(outcome, "a buffer of %llu bytes is made, the device says %llu",
                             (unsigned long long)limit + 1, (unsigned long long)limit);
}

CHECK(buffer_of_nothing)
{
    UNUSED;
    cl_int code = CL_SUCCESS;
    cl_mem memory = cl->clCreateBuffer(cl->context, CL_MEM_READ_WRITE, 0, NULL, &code);
    if (memory)
        cl->clReleaseMemObject(memory);
    return code ? VERDICT_PASS : check_fail(outcome, "a buffer of no bytes is made");
}

#define PLAIN(name, run)               \
    {                                  \
        name, run, NULL, NULL, NULL, 0 \
    }

static const struct check limits[] = {
    PLAIN("the largest work-group", group_at_limit),
    PLAIN("the largest work-group, required by the kernel", group_required),
    PLAIN("what is said of a kernel that requires it", group_of_kernel),
    PLAIN("a work-group of one more", group_past_limit),
    PLAIN("work-items that groups do not divide", group_indivisible),
    PLAIN("all local memory", local_at_limit),
    PLAIN("all local memory, as an argument", local_argument_at_limit),
    PLAIN("local memory past the limit", local_past_limit),
    PLAIN("local memory past the limit, as an argument", local_argument_past_limit),
    PLAIN("a buffer past the limit", buffer_past_limit),
    PLAIN("a buffer of nothing", buffer_of_nothing),
    PLAIN(NULL, NULL),
};

/* ---- build ----------------------------------------------------------------------------------- */

/* A source that is wrong is refused with the right code, and the log says something. */
static enum verdict refused(struct probe_cl *cl, const char *source, const char *options,
                            const char *word, struct outcome *outcome)
{
    cl_int code = CL_SUCCESS;
    cl_program program = probe_cl_build(cl, source, options, &code);
    if (program) {
        cl->clReleaseProgram(program);
        return check_fail(outcome, "it compiles");
    }
    if (code != CL_BUILD_PROGRAM_FAILURE)
        return check_fail(outcome, "error %d, expected CL_BUILD_PROGRAM_FAILURE (%d)", (int)code,
                          CL_BUILD_PROGRAM_FAILURE);
    if (!strstr(cl->log, word))
        return check_fail(outcome, "the log does not name '%s': %.300s", word, cl->log);
    return VERDICT_PASS;
}

CHECK(bad_syntax)
{
    UNUSED;
    return refused(cl, "kernel void f(global int *a) { a[0] = planted_name; }", "-cl-std=CL1.2",
                   "planted_name", outcome);
}

CHECK(bad_type)
{
    UNUSED;
    return refused(cl, "kernel void f(global int *a) { char4 planted = a; a[0] = planted.x; }",
                   "-cl-std=CL1.2", "char4", outcome);
}

CHECK(error_directive)
{
    UNUSED;
    return refused(cl, "#ifdef WANTED\n#error planted text\n#endif\nkernel void f(void) {}",
                   "-cl-std=CL1.2 -DWANTED", "planted text", outcome);
}

CHECK(bad_option)
{
    UNUSED;
    cl_int code = CL_SUCCESS;
    cl_program program =
        probe_cl_build(cl, "kernel void f(void) {}", "-cl-std=CL1.2 -no-such-option-of-any", &code);
    if (program)
        cl->clReleaseProgram(program);
    return program ? check_fail(outcome, "it is taken") : VERDICT_PASS;
}

CHECK(bad_name)
{
    UNUSED;
    cl_int code = CL_SUCCESS;
    cl_program program = probe_cl_build(cl, PROBE("x"), "-cl-std=CL1.2", &code);
    if (!program)
        return check_fail(outcome, "a right program: error %d", (int)code);
    cl_kernel kernel = cl->clCreateKernel(program, "g", &code);
    if (kernel)
        cl->clReleaseKernel(kernel);
    cl->clReleaseProgram(program);
    return code ? VERDICT_PASS
                : check_fail(outcome, "clCreateKernel finds a kernel that is not there");
}

/* Arithmetic whose result depends on all of the input, for builds to be compared by. */
#define MIXED                                                                              \
    "kernel void f(global const uint *in, global uint *out, uint n)\n"                     \
    "{\n"                                                                                  \
    "    const uint i = get_global_id(0);\n"                                               \
    "    uint x = in[i];\n"                                                                \
    "    for (uint k = 0; k < 9; k++)\n"                                                   \
    "        x = x * 0x01000193u + as_uint(convert_int4_sat(as_char4(x)).z) + (x >> 7);\n" \
    "    out[i] = x;\n"                                                                    \
    "}\n"

enum { WORDS = 256 };

static enum verdict run_mixed(struct probe_cl *cl, cl_program program, uint32_t *out,
                              struct outcome *outcome)
{
    uint32_t in[WORDS];
    const char *call = "";
    for (uint32_t i = 0; i < WORDS; i++) {
        in[i] = i * 2654435761u;
        uint32_t x = in[i];
        for (int k = 0; k < 9; k++) {
            const uint32_t byte = x >> 16 & 0xff;
            x = x * 0x01000193u + (byte > 127 ? byte | 0xffffff00u : byte) + (x >> 7);
        }
        out[i] = ~x;
    }
    uint32_t expected[WORDS];
    memcpy(expected, out, sizeof(expected));
    const struct probe_cl_run run = {.kernel = "f",
                                     .buffers = {{in, sizeof(in)}, {out, WORDS * 4}},
                                     .buffer_count = 2,
                                     .count = WORDS,
                                     .global = WORDS,
                                     .local = 64};
    const cl_int code = probe_cl_run(cl, program, &run, &call);
    if (code)
        return check_fail(outcome, "%s: error %d", call, (int)code);
    for (uint32_t i = 0; i < WORDS; i++)
        if (out[i] != ~expected[i])
            return wrong_word(outcome, i, out[i], ~expected[i]);
    return VERDICT_PASS;
}

CHECK(built_twice)
{
    UNUSED;
    uint32_t out[WORDS];
    enum verdict verdict = VERDICT_PASS;
    for (int i = 0; i < 2 && verdict == VERDICT_PASS; i++) {
        cl_int code = CL_SUCCESS;
        cl_program program = probe_cl_build(cl, MIXED, "-cl-std=CL1.2", &code);
        if (!program)
            return check_fail(outcome, "does not compile, error %d: %.300s", (int)code, cl->log);
        verdict = run_mixed(cl, program, out, outcome);
        cl->clReleaseProgram(program);
    }
    return verdict;
}

/* The binary of a built program; NULL: none is to be had. */
static unsigned char *read_binary(struct probe_cl *cl, size_t *bytes)
{
    cl_int code = CL_SUCCESS;
    unsigned char *binary = NULL;
    cl_program program = probe_cl_build(cl, MIXED, "-cl-std=CL1.2", &code);
    *bytes = 0;
    if (!program)
        return NULL;
    if (!cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(*bytes), bytes, NULL) &&
        *bytes > 0)
        binary = malloc(*bytes);
    if (binary &&
        cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL)) {
        free(binary);
        binary = NULL;
    }
    cl->clReleaseProgram(program);
    return binary;
}

static cl_program from_binary(struct probe_cl *cl, const unsigned char *binary, size_t bytes,
                              cl_int *code)
{
    cl_int loaded = CL_SUCCESS;
    cl_program program =
        cl->clCreateProgramWithBinary(cl->context, 1, &cl->id, &bytes, &binary, &loaded, code);
    *code = *code ? *code : loaded;
    if (!*code)
        *code = cl->clBuildProgram(program, 1, &cl->id, "", NULL, NULL);
    if (*code && program)
        cl->clReleaseProgram(program);
    return *code ? NULL : program;
}

CHECK(binary_equals_source)
{
    UNUSED;
    size_t bytes;
    uint32_t out[WORDS];
    cl_int code = CL_SUCCESS;
    unsigned char *binary = read_binary(cl, &bytes);
    if (!binary)
        return check_refuse(outcome, "the driver gives no binary of a program");
    cl_program program = from_binary(cl, binary, bytes, &code);
    free(binary);
    if (!program)
        return check_fail(outcome, "its own binary: error %d", (int)code);
    const enum verdict verdict = run_mixed(cl, program, out, outcome);
    cl->clReleaseProgram(program);
    return verdict;
}

CHECK(binary_of_nothing)
{
    UNUSED;
    static const unsigned char text[] = "this is no program";
    cl_int code = CL_SUCCESS;
    cl_program program = from_binary(cl, text, sizeof(text), &code);
    if (program)
        cl->clReleaseProgram(program);
    return program ? check_fail(outcome, "a text is taken as a program's binary") : VERDICT_PASS;
}

static const struct check builds[] = {
    PLAIN("a name that is not there", bad_syntax),
    PLAIN("types that do not fit", bad_type),
    PLAIN("#error, reached by an option", error_directive),
    PLAIN("an option that no compiler has", bad_option),
    PLAIN("a kernel that is not there", bad_name),
    PLAIN("a program built twice", built_twice),
    PLAIN("a program from its binary", binary_equals_source),
    PLAIN("a binary that is none", binary_of_nothing),
    PLAIN(NULL, NULL),
};

/* ---- the sets -------------------------------------------------------------------------------- */

static const char *name_of(void *state, size_t index)
{
    const struct state *s = state;
    return s->checks[index].name;
}

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    struct state *s = state;
    return s->checks[index].run(&s->cl, &s->checks[index], outcome);
}

static void *open_checks(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s || !probe_cl_open(&s->cl, target->index, reason, reason_bytes)) {
        free(s);
        return NULL;
    }
    s->checks = target->cases;
    return s;
}

static void close_checks(void *state)
{
    struct state *s = state;
    probe_cl_close(&s->cl);
    free(s);
}

const struct check_set check_opencl[] = {
    {"device/advertised", "advertised", "what is claimed, tried; what works and is not claimed",
     "opencl", open_checks, name_of, run, close_checks, advertised},
    {"device/limits", "limits", "at each limit it runs, past it it is refused", "opencl",
     open_checks, name_of, run, close_checks, limits},
    {"device/build", "build", "errors are told, two builds and a binary are the same", "opencl",
     open_checks, name_of, run, close_checks, builds},
    {.name = NULL},
};
