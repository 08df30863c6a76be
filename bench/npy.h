/* NumPy .npy files, formats 1.0 and 2.0: arrays of 0 to 4 dimensions of |i1, |u1, <i2, <u2, <i4, <f4. */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include "qdot.h"

enum { NPY_DIMS = 4, NPY_TEXT = 200, NPY_HEADER = 192, NPY_SHAPE = 96 };

struct npy {
    enum qdot_type type;
    size_t dims; /* 0 to NPY_DIMS */
    size_t shape[NPY_DIMS];
    size_t count; /* elements; 1 for 0 dimensions */
    void *data;   /* C order, whatever the file's order; owned */
};

/* Reads 'path' whole. On failure 'reason' is what was found and what was expected, without the
 * path, and nothing is left to free. */
bool npy_read(const char *path, struct npy *array, char reason[NPY_TEXT]);
void npy_free(struct npy *array); /* a zeroed struct is fine */

/* The header of a C-order array of at least 1 dimension: NPY_HEADER bytes. */
void npy_header(enum qdot_type type, size_t dims, const size_t *shape, char header[NPY_HEADER]);
/* "[5,6]" */
void npy_shape_text(const struct npy *array, char text[NPY_SHAPE]);

size_t npy_item_bytes(enum qdot_type type);
const char *npy_type_name(enum qdot_type type); /* "uint8" */

#endif
