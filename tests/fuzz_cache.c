/*
 * Any bytes as a tuning file: refused with a text, or read, asked, added to and saved, and an op of
 * a device that has read it is right. The first byte says whether it is the file of the descriptor
 * or a file of the cache.
 */
#include "fuzz.h"
#include <dirent.h>
#include <unistd.h>
#include "internal.h"

static char dir[] = "/tmp/qdot-fuzz.XXXXXX", kept[] = "kept";
static char path[64];
static struct qdot_device *keeper; /* writes files of the cache */

static void remove_dir(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0)
        perror(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc desc = {.device = "cpu", .cache_dir = dir, .thread_count = 1};
    (void)argc;
    (void)argv;
    EXPECT(mkdtemp(dir));
    EXPECT(qdot_open(&desc, &keeper, NULL) == QDOT_OK);
    snprintf(path, sizeof(path), "%s/tuning", dir);
    atexit(remove_dir);
    return 0;
}

static void write_file(const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    EXPECT(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 2, 3, 4, 5, 6};
    struct qdot_device_desc desc = {
        .device = "auto", .cache_dir = dir, .thread_count = 1, .budget_us = 1};
    const struct qdot_op_desc op_desc = {.m = 2, .n = 2, .k = 3, .b = b};
    struct qdot_device *device;
    struct qdot_op *op;
    int32_t out[4];
    struct qdot_error err = {0};
    char problem[QDOT_PROBLEM_BYTES];
    void *read;
    size_t bytes;
    if (size > 0 && data[0] % 4 == 0) {
        if (qdot_cache_write(keeper, kept, data + 1, size - 1)) {
            EXPECT(qdot_cache_read(keeper, kept, &read, &bytes) && bytes == size - 1);
            EXPECT(bytes == 0 || memcmp(read, data + 1, bytes) == 0);
            qdot_release(keeper, read);
        }
        return 0;
    }
    write_file(data + (size > 0), size - (size > 0));
    desc.tuning_file = path;
    const int status = qdot_open(&desc, &device, &err);
    if (status != QDOT_OK) {
        EXPECT(!device && err.status == status && err.text[0] && !strchr(err.text, '\n'));
        return 0;
    }
    EXPECT(qdot_op_create(device, &op_desc, &op, NULL) == QDOT_OK);
    const struct qdot_run run = {.a = {.host = a}, .out = {.host = out}};
    EXPECT(qdot_op_run(op, &run, NULL) == QDOT_OK);
    EXPECT(out[0] == 22 && out[1] == 28 && out[2] == 49 && out[3] == 64);
    qdot_problem_name(&op->p, problem);
    qdot_tuning_put(op->device, op->row, QDOT_BY_TIME, problem, 123);
    qdot_tuning_save(device);
    qdot_op_destroy(op);
    qdot_close(device);
    return 0;
}
