/* The attributes of a window that goes over pictures, or over lines: those are pictures of one row. */
#ifndef ADAPTER_WINDOW_H
#define ADAPTER_WINDOW_H

#include "adapter.h"

enum padding { PAD_GIVEN, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };

struct window {
    enum padding padding;
    size_t dimensions;                           /* 1 or 2 */
    int64_t kernel[2], strides[2], dilations[2]; /* kernel 0: not given */
    int64_t pads[4];                             /* top, left, bottom, right */
};

/* 'fit' is false for what no window of ours can be. */
OrtStatus *window_read(const struct group *g, size_t dimensions, struct window *w, bool *fit);
/* Padding before and after in dimension i of an input of this size. */
void window_pads(const struct window *w, size_t i, int64_t size, int64_t kernel, size_t *before,
                 size_t *after);
/* The shape of pictures, or lines, in the order that the runtime has them in. */
void window_shape(const struct window *w, bool channels_last, size_t batch, size_t channels,
                  size_t height, size_t width, int64_t *dims);

#endif
