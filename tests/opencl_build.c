/* Builds a text that opencl_texts wrote by the first device of the first platform, and makes its kernels: for drivers
 * that print what they make of them (ci/codegen.sh). Leaves with 1 and the driver's words when it does not build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "opencl/opencl.h"

enum { LONGEST = 1 << 20 };

static void check(cl_int code, const char *call)
{
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "opencl_build: %s: error %d\n", call, (int)code);
    exit(1);
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(LONGEST);
    *bytes = file && text ? fread(text, 1, LONGEST, file) : 0;
    if (*bytes == 0 || *bytes == LONGEST) {
        fprintf(stderr, "opencl_build: %s: expected a text of less than %d bytes\n", path, LONGEST);
        exit(2);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    struct ocl_api cl;
    char reason[128], name[128] = "";
    cl_platform_id platform;
    cl_device_id device;
    cl_int code;
    size_t bytes;
    if (argc != 3 || !ocl_load(&cl, reason, sizeof(reason))) {
        fprintf(stderr, "opencl_build: %s\n",
                argc != 3 ? "usage: opencl_build FILE OPTIONS" : reason);
        return 2;
    }
    char *text = read_file(argv[1], &bytes);
    const char *source = text;
    check(cl.clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(cl.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
    check(cl.clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof(name) - 1, name, NULL),
          "clGetDeviceInfo");
    cl_context context = cl.clCreateContext(NULL, 1, &device, NULL, NULL, &code);
    check(code, "clCreateContext");
    cl_program program = cl.clCreateProgramWithSource(context, 1, &source, &bytes, &code);
    check(code, "clCreateProgramWithSource");
    code = cl.clBuildProgram(program, 1, &device, argv[2], NULL, NULL);
    if (code != CL_SUCCESS) {
        static char log[1 << 16];
        cl.clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof(log) - 1, log, NULL);
        fprintf(stderr, "%s\n", log);
    }
    check(code, "clBuildProgram");
    fflush(stderr);
    printf("\ndevice %s\n", name);
    cl.clReleaseProgram(program);
    cl.clReleaseContext(context);
    free(text);
    return 0;
}
