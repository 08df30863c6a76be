/*
 * The fuzz targets, each a function of bytes that must return whatever they are:
 *
 *   fuzz_op.c       a descriptor, its op and a run, against the reference (fuzz_ops.h)
 *   fuzz_elements.c the same of quantize and its kin
 *   fuzz_bytes.c    the same of maps and max pools
 *   fuzz_packed.c   packed weights as they may come from a file
 *   fuzz_npy.c      .npy files
 *   fuzz_cache.c    tuning files, files of the cache
 *   fuzz_cli.c      the command line
 *   fuzz_conform.c  reports and problems of 'qdot conform'
 *
 * Built by -DQDOT_FUZZ=ON. With clang they are libFuzzer's programs; with another compiler
 * fuzz_main.c runs the files given to it, or some thousand random inputs.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input; zeros after its end. */
struct bytes {
    const uint8_t *at;
    size_t left;
};

static inline uint32_t take(struct bytes *b, size_t count)
{
    uint32_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | (b->left ? *b->at : 0);
        b->at += b->left > 0;
        b->left -= b->left > 0;
    }
    return value;
}

static inline size_t below(struct bytes *b, size_t bound)
{
    return take(b, bound > 256 ? 4 : 1) % bound;
}

/* A finding. */
#define EXPECT(condition)                                                           \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#endif
