/* Attributes of Conv and of pools. */
#include "window.h"
#include <string.h>

static OrtStatus *read_pair(const struct group *g, const char *name, size_t dimensions,
                            int64_t none, int64_t *pair, bool *fit)
{
    int64_t given[4] = {none, none};
    size_t count = 4;
    TRY(group_ints(g, name, given, &count));
    pair[0] = dimensions == 1 ? 1 : given[0];
    pair[1] = given[dimensions - 1];
    *fit = *fit && (count == 0 || count == dimensions) && pair[0] >= none && pair[1] >= none;
    return NULL;
}

OrtStatus *window_read(const struct group *g, size_t dimensions, struct window *w, bool *fit)
{
    int64_t pads[8] = {0};
    size_t count = 8;
    char mode[16] = "NOTSET";
    memset(w, 0, sizeof(*w));
    *fit = dimensions == 1 || dimensions == 2;
    if (!*fit)
        return NULL;
    w->dimensions = dimensions;
    TRY(read_pair(g, "kernel_shape", dimensions, 0, w->kernel, fit));
    TRY(read_pair(g, "strides", dimensions, 1, w->strides, fit));
    TRY(read_pair(g, "dilations", dimensions, 1, w->dilations, fit));
    TRY(group_ints(g, "pads", pads, &count));
    TRY(group_string(g, "auto_pad", mode, sizeof(mode)));
    *fit = *fit && (count == 0 || count == 2 * dimensions);
    for (size_t i = 0; i < dimensions; i++) {
        const size_t to = i + 2 - dimensions;
        w->pads[to] = pads[i];
        w->pads[to + 2] = pads[i + dimensions];
        *fit = *fit && pads[i] >= 0 && pads[i + dimensions] >= 0;
    }
    w->padding = strcmp(mode, "VALID") == 0        ? PAD_VALID
                 : strcmp(mode, "SAME_UPPER") == 0 ? PAD_SAME_UPPER
                 : strcmp(mode, "SAME_LOWER") == 0 ? PAD_SAME_LOWER
                                                   : PAD_GIVEN;
    return NULL;
}

void window_pads(const struct window *w, size_t i, int64_t size, int64_t kernel, size_t *before,
                 size_t *after)
{
    *before = *after = 0;
    if (w->padding == PAD_GIVEN) {
        *before = (size_t)w->pads[i];
        *after = (size_t)w->pads[i + 2];
    } else if (w->padding != PAD_VALID) {
        const int64_t out = (size + w->strides[i] - 1) / w->strides[i];
        const int64_t need = (out - 1) * w->strides[i] + (kernel - 1) * w->dilations[i] + 1 - size;
        const size_t total = need > 0 ? (size_t)need : 0;
        *before = w->padding == PAD_SAME_LOWER ? (total + 1) / 2 : total / 2;
        *after = total - *before;
    }
}

void window_shape(const struct window *w, bool channels_last, size_t batch, size_t channels,
                  size_t height, size_t width, int64_t *dims)
{
    *dims++ = (int64_t)batch;
    if (!channels_last)
        *dims++ = (int64_t)channels;
    if (w->dimensions == 2)
        *dims++ = (int64_t)height;
    *dims++ = (int64_t)width;
    if (channels_last)
        *dims++ = (int64_t)channels;
}
