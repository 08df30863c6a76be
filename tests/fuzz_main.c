/* The fuzz targets without libFuzzer: the files given, or random inputs. */
#include "fuzz.h"

enum { INPUTS = 20000, BYTES = 4096 };

static int run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: expected a readable file\n", path);
        return 1;
    }
    const size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t data[BYTES];
    uint32_t state = 1;
    int status = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        status |= run_file(argv[i]);
    for (size_t i = 0; argc < 2 && i < INPUTS; i++) {
        const size_t size = i % 3 ? i % 97 : i % BYTES;
        for (size_t j = 0; j < size; j++) {
            state = state * 1664525u + 1013904223u;
            data[j] = (uint8_t)(state >> 24);
        }
        LLVMFuzzerTestOneInput(data, size);
    }
    return status;
}
