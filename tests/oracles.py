#!/usr/bin/env python3
"""The roundings of qdot.h compared with those who define them, on every device.

usage: python3 tests/oracles.py path/to/qdot [--gemmlowp PROGRAM] [--neon PROGRAM] [--onednn PROGRAM]
                                             [--xnnpack PROGRAM]

Each PROGRAM is one of tests/oracles/, built by tests/oracles.sh, perhaps with an emulator before it.
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

    def compare(self, rounding, oracle, device, got, expected, notes):
        differ = int(np.count_nonzero(got.reshape(-1) != expected.reshape(-1)))
        ends = np.iinfo(expected.dtype)
        saturated = int(np.count_nonzero((expected == ends.min) | (expected == ends.max)))
        print("%-16s %-24s %-9s %d values, %d saturated, %s: %d differ"
              % (rounding, oracle, device, expected.size, saturated, notes, differ))
        self.result("%s as %s, %s" % (rounding, oracle, device), differ and "%d values differ" % differ)


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
    notes = "%d ties" % count_ties(acc * multiplier, 31 - shift)
    for device, _ in devices:
        got = check.gemm(device, np.ones((1, 1), np.int8), b.reshape(1, -1), rounding, zero, bias=wrap(acc - b),
                         multiplier=multiplier.astype(np.int32), shift=shift.astype(np.int32))
        check.compare(rounding, oracle, device, got, expected, notes)


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
    notes = "%d ties" % count_ties(acc * (bits & 0x7FFFFF | 0x800000), 150 - (bits >> 23))
    for device, _ in devices:
        got = check.gemm(device, np.zeros((1, 1), np.int8), np.zeros((1, COUNT), np.int8), "mant24-up", zero,
                         bias=acc.astype(np.int32), scale=scale)
        check.compare("mant24-up", oracle, device, got, expected, notes)


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
            check.compare("rne-zero-first", "oneDNN", device, got, expected,
                          "%d ties, %d not as rne" % (ties, apart))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    for name in ("gemmlowp", "neon", "onednn", "xnnpack"):
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
        return check.finish() if devices else 1


if __name__ == "__main__":
    sys.exit(main())
