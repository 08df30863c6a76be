/*
 * Files of the cache. Any bytes as a file; and any text as the content of a whole one, which is then
 * a tuning file: read, asked, added to and saved, and an op of a device that has read it is right.
 */
#include "fuzz.h"
#include <dirent.h>
#include <unistd.h>
#include "internal.h"

static char dir[] = "/tmp/qdot-fuzz.XXXXXX";
static char path[512];
static struct qdot_device *keeper; /* writes files */

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc desc = {.device = "cpu", .cache_dir = dir, .thread_count = 1};
    (void)argc;
    (void)argv;
    EXPECT(mkdtemp(dir));
    EXPECT(qdot_open(&desc, &keeper, NULL) == QDOT_OK);
    char key[64];
    snprintf(key, sizeof(key), "tuning %s", qdot_version());
    EXPECT(qdot_cache_write(keeper, key, "", 1));
    DIR *entries = opendir(dir);
    EXPECT(entries);
    for (struct dirent *e; (e = readdir(entries)) != NULL;)
        if (e->d_name[0] != '.')
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
    closedir(entries);
    EXPECT(path[0]);
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
    const bool whole = size > 0 && data[0] % 4;
    char key[64];
    snprintf(key, sizeof(key), "tuning %s", qdot_version());
    if (whole)
        EXPECT(qdot_cache_write(keeper, key, data + 1, size - 1));
    else
        write_file(data + (size > 0), size - (size > 0));
    EXPECT(qdot_open(&desc, &device, NULL) == QDOT_OK);
    EXPECT(qdot_op_create(device, &op_desc, &op, NULL) == QDOT_OK);
    const struct qdot_run run = {.a = {.host = a}, .out = {.host = out}};
    EXPECT(qdot_op_run(op, &run, NULL) == QDOT_OK);
    EXPECT(out[0] == 22 && out[1] == 28 && out[2] == 49 && out[3] == 64);
    qdot_tuning_put(device, op->device, op->row, &op->p, 123);
    qdot_tuning_save(device);
    qdot_op_destroy(op);
    qdot_close(device);
    return 0;
}
