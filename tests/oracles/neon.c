/*
 * Roundings by ARM's instructions, which define them: on stdin triples of int32 (acc, multiplier,
 * shift), on stdout results, saturated to 32 bits.
 *
 *   double   vshl, vqrdmulh, vrshl: what TensorFlow Lite's kernels for NEON do
 *   single   vmull, vrshl of 64 bits, vqmovn
 */
#include <arm_neon.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const int twice = argc > 1 && strcmp(argv[1], "double") == 0;
    int32_t in[3], out;
    while (fread(in, sizeof(in), 1, stdin) == 1) {
        const int32_t left = in[2] > 0 ? in[2] : 0, right = in[2] < 0 ? -in[2] : 0;
        const int32x2_t acc = vdup_n_s32(in[0]), multiplier = vdup_n_s32(in[1]);
        int32x2_t result;
        if (twice)
            result = vrshl_s32(vqrdmulh_s32(vshl_s32(acc, vdup_n_s32(left)), multiplier),
                               vdup_n_s32(-right));
        else
            result = vqmovn_s64(vrshlq_s64(vmull_s32(acc, multiplier), vdupq_n_s64(in[2] - 31)));
        out = vget_lane_s32(result, 0);
        if (fwrite(&out, sizeof(out), 1, stdout) != 1)
            return 1;
    }
    return 0;
}
