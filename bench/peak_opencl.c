/* Loops of multiply-adds on an OpenCL device, three ways to sum 8-bit products exactly. */
#include <stdio.h>
#include <string.h>
#include "opencl_device.h"
#include "peak.h"

#ifdef BENCH_OPENCL

enum { ACCUMULATORS = 10, CPU_LANES = 16, GPU_LANES = 4 };
#define TARGET_NS 60000000u /* of one launch */

/* FLOAT: products of bytes are exact in binary32. INT: pairs of 16-bit products, what compilers
 * make into one instruction where there is one. DOT: the extension's four bytes at a time. b
 * changes in every step, because an integer product that does not would be computed once. */
static const char source[] =
    "#define CAT_(a, b) a##b\n"
    "#define CAT(a, b) CAT_(a, b)\n"
    "#ifdef KIND_FLOAT\n"
    "typedef CAT(float, LANES) vec;\n"
    "typedef vec in;\n"
    "#ifdef FP_FAST_FMAF\n"
    "#define STEP(c, a, b) c = fma(a, b, c)\n"
    "#else\n"
    "#define STEP(c, a, b) c = mad(a, b, c)\n"
    "#endif\n"
    "#define LOAD(i) ((in)(x[i]))\n"
    "#define CHANGE(b) b = -b\n"
    "#elif defined(KIND_INT)\n"
    "typedef CAT(int, HALF) vec;\n"
    "typedef CAT(short, LANES) in;\n"
    "#define WIDE CAT(convert_int, HALF)\n"
    "#define STEP(c, a, b) c += WIDE(a.even) * WIDE(b.even) + WIDE(a.odd) * WIDE(b.odd)\n"
    "#define LOAD(i) ((in)(x[i]))\n"
    "#define CHANGE(b) b ^= (in)(21)\n"
    "#else\n"
    "#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable\n"
    "typedef int vec;\n"
    "typedef uint in;\n"
    "#define STEP(c, a, b) c += dot_4x8packed_ss_int(a, b)\n"
    "#define LOAD(i) ((in)(x[i]))\n"
    "#define CHANGE(b) b ^= 0x15151515u\n"
    "#endif\n"
    "__kernel void peak(__global const char *x, __global vec *out, int steps)\n"
    "{\n"
    "    const in a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3), a4 = LOAD(4);\n"
    "    in b = LOAD(get_global_id(0) & 7);\n"
    "    vec c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0, c8 = 0, c9 = 0;\n"
    "    for (int i = 0; i < steps; i++) {\n"
    "        STEP(c0, a0, b); STEP(c1, a1, b); STEP(c2, a2, b); STEP(c3, a3, b);\n"
    "        STEP(c4, a4, b);\n"
    "        CHANGE(b);\n"
    "        STEP(c5, a0, b); STEP(c6, a1, b); STEP(c7, a2, b); STEP(c8, a3, b);\n"
    "        STEP(c9, a4, b);\n"
    "        CHANGE(b);\n"
    "    }\n"
    "    out[get_global_id(0)] = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9;\n"
    "}\n";

struct kind {
    const char *option, *name;
    const char *extension; /* NULL: needs none */
    double lane_ops;       /* of one step, a lane */
};

static const struct kind kinds[] = {
    {"KIND_FLOAT", "float multiply-add", NULL, ACCUMULATORS * 2.0},
    {"KIND_INT", "16-bit multiply, 32-bit add", NULL, ACCUMULATORS * 2.0},
    {"KIND_DOT", "dot_4x8packed_ss_int", "cl_khr_integer_dot_product", ACCUMULATORS * 8.0},
};

struct launch {
    struct opencl_device *cl;
    cl_kernel kernel;
    size_t items;
};

/* Time of one launch; 0: it failed. */
static uint64_t launch(struct launch *l, cl_int steps)
{
    if (l->cl->clSetKernelArg(l->kernel, 2, sizeof(steps), &steps) != CL_SUCCESS)
        return 0;
    const uint64_t begin = bench_now_ns();
    if (l->cl->clEnqueueNDRangeKernel(l->cl->queue, l->kernel, 1, NULL, &l->items, NULL, 0, NULL,
                                      NULL) != CL_SUCCESS ||
        l->cl->clFinish(l->cl->queue) != CL_SUCCESS)
        return 0;
    return bench_now_ns() - begin;
}

static double time_kernel(struct launch *l, double ops_a_step)
{
    cl_int steps = 256;
    uint64_t time, best = UINT64_MAX;
    do {
        time = launch(l, steps);
        if (time == 0)
            return 0;
    } while (time < TARGET_NS && steps < 1 << 26 && (steps *= 2));
    for (int i = 0; i < 3; i++) {
        time = launch(l, steps);
        if (time == 0)
            return 0;
        best = time < best ? time : best;
    }
    return ops_a_step * (double)steps * (double)l->items / (double)best;
}

/* 0 when this way does not work here: the other ways remain. */
static double measure(struct opencl_device *cl, const struct kind *kind, cl_uint units)
{
    const int lanes = kind->extension ? 1 : cl->is_cpu ? CPU_LANES : GPU_LANES;
    const size_t items = (size_t)units * (cl->is_cpu ? 64 : 2048);
    const char *text = source;
    static const signed char bytes[8] = {3, -5, 7, 11, -13, 17, 19, -23};
    struct launch l = {.cl = cl, .items = items};
    char options[96];
    double gops = 0;
    cl_int code;
    cl_mem x, out = NULL;
    snprintf(options, sizeof(options), "-D%s -DLANES=%d -DHALF=%d", kind->option, lanes, lanes / 2);
    cl_program program = cl->clCreateProgramWithSource(cl->context, 1, &text, NULL, &code);
    if (code != CL_SUCCESS)
        return 0;
    x = cl->clCreateBuffer(cl->context, CL_MEM_READ_ONLY, sizeof(bytes), NULL, &code);
    if (code == CL_SUCCESS)
        out = cl->clCreateBuffer(cl->context, CL_MEM_WRITE_ONLY, items * 64, NULL, &code);
    if (code == CL_SUCCESS)
        code =
            cl->clEnqueueWriteBuffer(cl->queue, x, CL_TRUE, 0, sizeof(bytes), bytes, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        code = cl->clBuildProgram(program, 1, &cl->id, options, NULL, NULL);
    if (code == CL_SUCCESS)
        l.kernel = cl->clCreateKernel(program, "peak", &code);
    if (code == CL_SUCCESS)
        code = cl->clSetKernelArg(l.kernel, 0, sizeof(x), &x);
    if (code == CL_SUCCESS)
        code = cl->clSetKernelArg(l.kernel, 1, sizeof(out), &out);
    if (code == CL_SUCCESS)
        gops = time_kernel(&l, kind->lane_ops * lanes);
    if (l.kernel)
        cl->clReleaseKernel(l.kernel);
    if (out)
        cl->clReleaseMemObject(out);
    if (x)
        cl->clReleaseMemObject(x);
    cl->clReleaseProgram(program);
    return gops;
}

int peak_opencl(const char *device, struct peak *peak, struct qdot_error *err)
{
    struct opencl_device cl;
    cl_uint units = 1;
    char extensions[16384] = "";
    peak->gops = 0;
    const int status = opencl_open(device, &cl, err);
    if (status != QDOT_OK)
        return status;
    cl.clGetDeviceInfo(cl.id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    cl.clGetDeviceInfo(cl.id, CL_DEVICE_EXTENSIONS, sizeof(extensions) - 1, extensions, NULL);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].extension && !strstr(extensions, kinds[i].extension))
            continue;
        const double gops = measure(&cl, &kinds[i], units);
        if (gops > peak->gops) {
            peak->gops = gops;
            snprintf(peak->name, sizeof(peak->name), "%s", kinds[i].name);
        }
    }
    opencl_close(&cl);
    return QDOT_OK;
}

#else

int peak_opencl(const char *device, struct peak *peak, struct qdot_error *err)
{
    (void)device;
    (void)err;
    peak->gops = 0;
    return QDOT_OK;
}

#endif
