/*
 * Any bytes as an .npy file, or as the text of its header and what comes behind. What is read,
 * written again, reads as the same.
 */
#include "fuzz.h"
#include <sys/mman.h>
#include <unistd.h>
#include "npy.h"

static int fd;
static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fd = memfd_create("fuzz.npy", 0);
    EXPECT(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return 0;
}

static bool read_back(const void *head, size_t head_bytes, const void *body, size_t body_bytes,
                      struct npy *array, char reason[NPY_TEXT])
{
    EXPECT(ftruncate(fd, 0) == 0);
    EXPECT(pwrite(fd, head, head_bytes, 0) == (ssize_t)head_bytes);
    if (body_bytes)
        EXPECT(pwrite(fd, body, body_bytes, (off_t)head_bytes) == (ssize_t)body_bytes);
    return npy_read(path, array, reason);
}

/* Behind its first byte the input is a whole file, or after the first line what follows a header of
 * that line. */
static bool read_input(const uint8_t *data, size_t size, struct npy *array, char reason[NPY_TEXT])
{
    static const char magic[8] = "\x93NUMPY\1";
    static uint8_t head[10 + 4096];
    const uint8_t *text = data + (size > 0), *end = data + size;
    if (size == 0 || data[0] % 4 == 0)
        return read_back(text, (size_t)(end - text), NULL, 0, array, reason);
    const uint8_t *line = memchr(text, '\n', (size_t)(end - text));
    size_t length = (size_t)((line ? line + 1 : end) - text);
    length = length < 4096 ? length : 4096;
    memcpy(head, magic, 8);
    head[8] = (uint8_t)length;
    head[9] = (uint8_t)(length >> 8);
    memcpy(head + 10, text, length);
    return read_back(head, 10 + length, text + length, (size_t)(end - text) - length, array,
                     reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy array = {0}, again = {0};
    char reason[NPY_TEXT] = "", header[NPY_HEADER];
    if (!read_input(data, size, &array, reason)) {
        EXPECT(reason[0] && !strchr(reason, '\n') && !array.data);
        return 0;
    }
    const size_t bytes = array.count * npy_item_bytes(array.type);
    if (array.dims > 0) {
        npy_header(array.type, array.dims, array.shape, header);
        EXPECT(read_back(header, sizeof(header), array.data, bytes, &again, reason));
        EXPECT(again.type == array.type && again.dims == array.dims &&
               memcmp(again.shape, array.shape, array.dims * sizeof(size_t)) == 0 &&
               (bytes == 0 || memcmp(again.data, array.data, bytes) == 0));
    }
    npy_free(&array);
    npy_free(&again);
    return 0;
}
