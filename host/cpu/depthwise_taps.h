/* Depthwise convolution tap by tap, 16 channels at a time: what its two files share. */
#ifndef QDOT_DEPTHWISE_TAPS_H
#define QDOT_DEPTHWISE_TAPS_H

#include "cpu.h"

#define CPU_TAPS_NR 16

/* Neighbouring outputs of a line whose taps are at the same distances: output q has NR channels of
 * tap t, still to be flipped, at taps[t] + q * step. The last tap is there twice,
 * for kernels that take pairs. */
struct cpu_windows {
    const struct cpu_depthwise *d;
    const uint8_t *const *taps;
    size_t step, count;
    size_t pixel; /* of the first output */
};
typedef void cpu_windows_fn(const struct cpu_windows *w);

/* Calls 'windows' for all outputs. It uses the first taps_bytes of the scratch. */
void cpu_depthwise_by_taps(const struct cpu_depthwise *d, cpu_windows_fn *windows);
size_t cpu_depthwise_taps_bytes(size_t kh, size_t kw); /* whole cache lines; SIZE_MAX: too many */

/* The out_rows of a tile of one row. */
static const ptrdiff_t cpu_one_row = 0;

/* Where the channels of output q go. */
static inline uint8_t *cpu_depthwise_out(const struct cpu_windows *w, size_t q)
{
    return w->d->output->out + (w->pixel + q) * w->d->output->ldo_bytes;
}

/* The term of the weights' zero points: b_neg by the sum of output q's window, by channel. */
void cpu_depthwise_add_b_neg(const struct cpu_windows *w, size_t q, uint32_t *sum);

#endif
