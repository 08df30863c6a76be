// q31-double-away by gemmlowp: on stdin triples of int32 (acc, multiplier, shift), on stdout results.
#include <cstdint>
#include <cstdio>
#include <fixedpoint/fixedpoint.h>

int main()
{
    std::int32_t in[3];
    while (std::fread(in, sizeof(in), 1, stdin) == 1) {
        const int left = in[2] > 0 ? in[2] : 0, right = in[2] < 0 ? -in[2] : 0;
        const auto moved = static_cast<std::int32_t>(static_cast<std::uint32_t>(in[0]) << left);
        const std::int32_t out = gemmlowp::RoundingDivideByPOT(
            gemmlowp::SaturatingRoundingDoublingHighMul(moved, in[1]), right);
        if (std::fwrite(&out, sizeof(out), 1, stdout) != 1)
            return 1;
    }
    return 0;
}
