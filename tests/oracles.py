#!/usr/bin/env python3
"""The roundings of qdot.h compared with those who define them, on every device.

usage: python3 tests/oracles.py path/to/qdot [--gemmlowp PROGRAM] [--neon PROGRAM] [--onednn PROGRAM]
                                             [--xnnpack PROGRAM] [--xnnpack-conv PROGRAM] [--xnnpack-conv-arm PROGRAM]

A line of the table of oracles each: oracle, stage, how many values were compared, how many of them are ties, how many
saturate, how many differ; fewer than 100,000 values, or none that is a tie or saturates, is a failure as well. Each PROGRAM is one of tests/oracles/, built by tests/oracles.sh, perhaps with an emulator before it.
What is missing is skipped by name. Needs the command and NumPy. Last line: N passed, N failed, N skipped.
"""
import argparse
import subprocess
import sys
import tempfile

from numpy_check import Check, np, wrap

COUNT = 1 << 17  # of values a stage and run


class Oracles(Check):
    def ask(self, program, *arrays, dtype=np.int32):
        data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        done = subprocess.run(program, input=data, capture_output=True, timeout=300)
        if done.returncode:
            raise SystemExit("%s: exit status %d: %s" % (" ".join(program), done.returncode, done.stderr[-300:]))
        return np.frombuffer(done.stdout, dtype)

    def gemm(self, device, a, b, rounding, zero, **values):
        """u8 output where A is u8, as all here want it; s8 where it is s8."""
        arguments = []
        for name, array in dict(values, a=a, b=b).items():
            path = self.path(name + ".npy")
            np.save(path, array)
            arguments += [path] if name in "ab" else ["--" + name, path]
        arguments = arguments[-2:] + arguments[:-2]
        out = "u8" if a.dtype == np.uint8 else "s8"
        done = self.run("gemm", *arguments, "-o", self.path("c.npy"), "--out", out, "--rounding", rounding,
                        "--out-zero=%d" % zero, "--device", device)
        if done.returncode:
            raise SystemExit("qdot gemm: " + done.stderr)
        return np.load(self.path("c.npy"))

    def compare(self, rounding, oracle, device, got, expected, ties, notes=""):
        differ = int(np.count_nonzero(got.reshape(-1) != expected.reshape(-1)))
        ends = np.iinfo(expected.dtype)
        saturated = int(np.count_nonzero((expected == ends.min) | (expected == ends.max)))
        print("oracle   %-26s %-42s %8d values %8d ties %8d saturated %5d differ"
              % (oracle, "%s on %s%s" % (rounding, device, notes), expected.size, ties, saturated, differ), flush=True)
        few = expected.size < 100000 or not ties or not saturated
        error = "%d values differ" % differ if differ else "too little was compared" if few else None
        self.result("%s as %s, %s" % (rounding, oracle, device), error)


def sums(rng, count):
    """Any, of every size, and the ends."""
    acc = rng.integers(-(2**31), 2**31, count) >> rng.integers(0, 31, count)
    ends = rng.random(count) < 0.02
    return np.where(ends, rng.choice([-(2**31), 2**31 - 1, -1, 0, 1], count), acc)


def bits_of(acc):
    return np.ceil(np.log2(np.abs(acc) + 1.0)).astype(np.int64)


def q31_cases(rng, most):
    """Multipliers and shifts, of at most 'most', that bring most sums into 8 bits, any, and exact ties."""
    acc = sums(rng, COUNT)
    multiplier = rng.integers(2**30, 2**31, COUNT)
    special = rng.random(COUNT) < 0.3
    multiplier[special] = rng.choice([0, 2**30, 2**30 + 1, 3 * 2**29, 2**31 - 1], COUNT)[special]
    shift = np.clip(8 - bits_of(acc) + rng.integers(-2, 3, COUNT), -31, 30)
    anywhere = rng.random(COUNT) < 0.2
    shift[anywhere] = rng.integers(-31, 31, COUNT)[anywhere]
    ties = rng.random(COUNT) < 0.3
    right = rng.integers(max(0, -most), 23, COUNT)
    acc[ties] = ((2 * rng.integers(-150, 150, COUNT) + 1) << right)[ties]
    multiplier[ties] = 2**30
    shift[ties] = -right[ties]
    return acc, multiplier, np.minimum(shift, most)


def count_ties(product, right):
    return int(np.count_nonzero((product & ((1 << right) - 1)) == 1 << (right - 1)))


def q31(check, rng, devices, rounding, oracle, program):
    """Any shifts; and those right by 2 or more, for which kernels may be quicker."""
    for most in (30, -2):
        q31_run(check, rng, devices, rounding, oracle, program, most)


def q31_run(check, rng, devices, rounding, oracle, program, most):
    acc, multiplier, shift = q31_cases(rng, most)
    b = rng.integers(-128, 128, COUNT).astype(np.int8)
    zero = int(rng.integers(-100, 100)) | 1
    answers = check.ask(program, np.stack([acc, multiplier, shift], axis=1).astype(np.int32))
    expected = np.clip(answers.astype(np.int64) + zero, -128, 127).astype(np.int8)
    ties = count_ties(acc * multiplier, 31 - shift)
    for device, _ in devices:
        got = check.gemm(device, np.ones((1, 1), np.int8), b.reshape(1, -1), rounding, zero, bias=wrap(acc - b),
                         multiplier=multiplier.astype(np.int32), shift=shift.astype(np.int32))
        check.compare(rounding, oracle, device, got, expected, ties, ", 2^%d" % most)


def mant24(check, rng, devices, oracle, program):
    for most in (8, -2):
        mant24_run(check, rng, devices, oracle, program, most)


def mant24_run(check, rng, devices, oracle, program, most):
    """Scales below 2^most."""
    scale_count = 64
    each = COUNT // scale_count
    exponents = rng.integers(-32, most, scale_count)
    scales = np.ldexp(rng.uniform(1, 2, scale_count), exponents).astype(np.float32)
    scales[:20] = np.ldexp(1.0, exponents[:20])  # ties
    scales[20:22] = 2.0**-32, np.nextafter(np.float32(2.0**most), np.float32(0))
    scale = np.repeat(scales, each)
    acc = sums(rng, COUNT)
    fitting = rng.random(COUNT) < 0.7
    acc[fitting] = np.clip(np.rint(rng.uniform(-300, 300, COUNT) / scale), -(2**31), 2**31 - 1)[fitting]
    zero = int(rng.integers(-100, 100)) | 1
    head = np.array([zero, scale_count, each], np.int32)
    expected = check.ask(program, head, scales, acc.astype(np.int32), dtype=np.int8)
    bits = scale.view(np.int32).astype(np.int64)
    ties = count_ties(acc * (bits & 0x7FFFFF | 0x800000), 150 - (bits >> 23))
    for device, _ in devices:
        got = check.gemm(device, np.zeros((1, 1), np.int8), np.zeros((1, COUNT), np.int8), "mant24-up", zero,
                         bias=acc.astype(np.int32), scale=scale)
        check.compare("mant24-up", oracle, device, got, expected, ties, ", 2^%d" % most)


def zero_first(check, rng, devices, program):
    m, n = 256, COUNT // 256
    for k, zero in ((6, 3), (64, 129), (4096, 77)):
        # Below 128, so that oneDNN is exact where it has no VNNI. The last sums pass 2^24, where a float
        # no longer holds them.
        a = rng.integers(0, 128, (m, k)).astype(np.uint8)
        b = rng.integers(-128, 128, (k, n)).astype(np.int8)
        if k == 4096:
            a[:, :] = 127
            b[:, : n // 2] = 127
        size = 100 / (60 * 74 * np.sqrt(k))
        scales = (size * rng.uniform(0.3, 3, n)).astype(np.float32)
        scales[::2] = np.exp2(np.floor(np.log2(scales[::2])))  # ties
        head = np.array([m, n, k, zero], np.int32)
        expected = check.ask(program, head, a, b, scales, dtype=np.uint8)
        real = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.float32) * scales
        ties = np.count_nonzero(np.abs(real - np.trunc(real)) == 0.5)
        apart = np.count_nonzero(np.clip(np.rint(real) + zero, 0, 255) != expected.reshape(m, n))
        for device, _ in devices:
            got = check.gemm(device, a, b, "rne-zero-first", zero, scale=scales)
            check.compare("rne-zero-first", "oneDNN", device, got, expected, ties, ", %d not as rne" % apart)


# ---- convolutions ---------------------------------------------------------------------------------

# batch, height, width; channels and outputs of a group, groups; kernel; stride, dilation; pads
CONVS = (
    (2, 28, 28, 16, 64, 1, 3, 3, 1, 1, (1, 1, 1, 1)),
    (1, 57, 41, 3, 48, 1, 5, 3, 2, 1, (2, 1, 0, 1)),
    (1, 33, 30, 5, 11, 4, 3, 3, 1, 2, (2, 0, 2, 1)),
    (1, 40, 40, 1, 1, 40, 3, 3, 1, 1, (1, 1, 1, 1)),
    (1, 24, 24, 96, 33, 1, 1, 1, 1, 1, (0, 0, 0, 0)),
    (1, 20, 20, 130, 17, 1, 2, 2, 1, 1, (0, 0, 0, 0)),
)


def conv_sums(x, w, groups, stride, dilation, pads, zero):
    """int64, NHWC, weights [out][kh][kw][in]; the padding adds nothing."""
    x = np.pad(x.astype(np.int64) - zero, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)))
    outs, kh, kw, channels = w.shape
    height, width = ((s - (k - 1) * dilation - 1) // stride + 1 for s, k in zip(x.shape[1:3], (kh, kw)))
    acc = np.zeros((x.shape[0], height, width, outs), np.int64)
    each = outs // groups
    for g in range(groups):
        mine = slice(g * each, (g + 1) * each)
        part = x[..., g * channels : (g + 1) * channels].astype(np.float64)
        for i in range(kh):
            for j in range(kw):
                seen = part[:, i * dilation :][:, : (height - 1) * stride + 1 : stride]
                seen = seen[:, :, j * dilation :][:, :, : (width - 1) * stride + 1 : stride]
                acc[..., mine] += np.rint(seen @ w[mine, i, j].T.astype(np.float64)).astype(np.int64)
    return acc


def conv(check, rng, devices, rounding, oracle, program):
    """Scales of which some are powers of two: ties."""
    expected, ties, got = [], 0, {device: [] for device, _ in devices}
    for n, h, w, c, o, groups, kh, kw, stride, dilation, pads in CONVS * 2:
        x = rng.integers(-128, 128, (n, h, w, c * groups)).astype(np.int8)
        weights = rng.integers(-127, 128, (o * groups, kh, kw, c)).astype(np.int8)
        bias = rng.integers(-(2**14), 2**14, o * groups).astype(np.int32)
        zero, out_zero = (int(v) for v in rng.integers(-60, 60, 2))
        scale = np.float32(60 / (75 * 75 * np.sqrt(c * kh * kw)) * rng.uniform(0.5, 2))
        if len(expected) < len(CONVS):
            scale = np.exp2(np.floor(np.log2(scale))).astype(np.float32)
        head = np.array([n, h, w, c, o, groups, kh, kw, stride, dilation, *pads, zero, out_zero], np.int32)
        expected.append(check.ask(program, head, scale, x, weights, bias, dtype=np.int8))
        real = (conv_sums(x, weights, groups, stride, dilation, pads, zero) + bias) * float(scale)
        ties += int(np.count_nonzero(np.abs(real - np.trunc(real)) == 0.5))
        for name, array in (("x", x), ("w", weights), ("bias", bias)):
            np.save(check.path(name + ".npy"), array)
        for device, _ in devices:
            done = check.run("conv", check.path("x.npy"), check.path("w.npy"), "-o", check.path("y.npy"), "--bias",
                             check.path("bias.npy"), "--out", "s8", "--rounding", rounding, "--scale", repr(float(scale)),
                             "--a-zero=%d" % zero, "--out-zero=%d" % out_zero, "--stride", "%d,%d" % (stride, stride),
                             "--dilation", "%d,%d" % (dilation, dilation), "--groups", str(groups),
                             "--pad", ",".join(map(str, pads)), "--device", device)
            if done.returncode:
                raise SystemExit("qdot conv: " + done.stderr)
            got[device].append(np.load(check.path("y.npy")).reshape(-1))
    for device, _ in devices:
        check.compare(rounding, oracle, device, np.concatenate(got[device]), np.concatenate(expected), ties)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    for name in ("gemmlowp", "neon", "onednn", "xnnpack", "xnnpack-conv", "xnnpack-conv-arm"):
        parser.add_argument("--" + name, type=str.split)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        check = Oracles(options.qdot, folder)
        devices = check.devices()

        def skip(name, reason):
            check.skipped += 1
            print("skipped %s: %s" % (name, reason))

        if options.onednn:
            zero_first(check, rng, devices, options.onednn)
        else:
            skip("rne-zero-first as oneDNN", "install libdnnl-dev and g++")
        if options.gemmlowp:
            q31(check, rng, devices, "q31-double-away", "gemmlowp", options.gemmlowp)
        else:
            skip("q31-double-away as gemmlowp", "install libgemmlowp-dev and g++")
        if options.neon:
            q31(check, rng, devices, "q31-double-up", "NEON vqrdmulh, vrshl", options.neon + ["double"])
            q31(check, rng, devices, "q31-single-up", "NEON vmull, vrshl", options.neon + ["single"])
        else:
            skip("q31-double-up and q31-single-up as NEON",
                 "install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user")
        if options.xnnpack:
            mant24(check, rng, devices, "XNNPACK for ARM", options.xnnpack)
        else:
            skip("mant24-up as XNNPACK", "its ARM build rounds so: tests/oracles.sh says how to get it")
        if options.xnnpack_conv:
            conv(check, rng, devices, "rne", "XNNPACK convolution", options.xnnpack_conv)
        else:
            skip("rne as XNNPACK's convolution", "install Debian 12's libxnnpack-dev")
        if options.xnnpack_conv_arm:
            conv(check, rng, devices, "mant24-up", "XNNPACK convolution, ARM", options.xnnpack_conv_arm)
        else:
            skip("mant24-up as XNNPACK's convolution", "as above")
        return check.finish() if devices else 1


if __name__ == "__main__":
    sys.exit(main())
