#!/usr/bin/env python3
"""'qdot gemm' compared with NumPy, byte for byte, on every row of every device.

usage: python3 tests/gemm_numpy.py path/to/qdot [--cases N] [--seed S]

Random products: all sign mixes, zero points (none, scalar, per row, per column), bias, every output and
rounding, clamps, C and Fortran order, B transposed. NumPy computes in int64, wraps to int32, and takes each
float step in float32. Then what must be refused: exit status 2, one line on stderr that names the
argument, no output file. Needs only the command and NumPy. Last line: N passed, N failed, N skipped.
"""
import argparse
import os
import sys
import tempfile

from numpy_check import Case, Check, np, wrap


class Product(Case):
    """Operands, arguments and what NumPy gives."""

    verb = "gemm"

    def __init__(self, rng, folder):
        super().__init__(rng, folder)
        m, n, k = self.choose_shape()
        a = self.operand(self.types[0], (m, k))
        b = self.operand(self.types[1], (k, n))
        a_zero = self.zero("--a-zero", self.types[0], m, True).reshape(-1, 1)
        b_zero = self.zero("--b-zero", self.types[1], n, False).reshape(1, -1)
        acc = (a.astype(np.int64) - a_zero) @ (b.astype(np.int64) - b_zero)
        self.expected = self.output(wrap(acc + self.bias(n)), m)
        self.report = {"shape": "%dx%dx%d" % (m, n, k)}
        transposed = rng.random() < 0.4
        if transposed:
            self.arguments.append("--b-transposed")
        self.finish([self.save("a", a), self.save("b", b.T if transposed else b)])

    def choose_shape(self):
        if self.rng.random() < 0.1:
            return tuple(int(self.rng.choice([1, 2, 150, 300])) for _ in range(3))
        return tuple(int(x) for x in self.rng.integers(1, 70, 3))

    def spread(self, values, per_row):
        """The same values in one of the shapes that are accepted."""
        kind = self.rng.integers(0, 3)
        if kind == 0:
            return values.reshape((-1, 1) if per_row else (1, -1))
        if kind == 1 and values.size == 1:
            return values.reshape(())
        return values

    def serves(self, row):
        return row.split("/")[1].startswith("gemm_")


def refusals(check):
    rng = np.random.default_rng(7)
    made = {
        "a": rng.integers(0, 255, (5, 6)).astype(np.uint8),
        "b": rng.integers(-128, 127, (6, 7)).astype(np.int8),
        "bt": rng.integers(-128, 127, (7, 6)).astype(np.int8),
        "i32": np.zeros((5, 6), np.int32),
        "three": np.zeros((5, 2, 3), np.uint8),
        "none": np.zeros((0, 6), np.uint8),
        "bias": np.zeros(7, np.int32),
        "bias6": np.zeros(6, np.int32),
        "bias_f32": np.zeros(7, np.float32),
        "column": np.zeros((7, 1), np.int32),
        "rows": np.full(5, 300, np.int32),
        "rows_f": np.ones(5, np.float32),
        "rows_nan": np.full(5, np.nan, np.float32),
        "scale": np.ones(7, np.float32),
        "scale_inf": np.full(7, np.inf, np.float32),
        "scale_tiny": np.full(7, 1e-40, np.float32),
        "scale_huge": np.full(7, 1e30, np.float32),
        "zeros200": np.full(7, 200, np.uint8),
    }
    file = {name: check.path(name + ".npy") for name in made}
    for name, array in made.items():
        np.save(file[name], array)
    a, b = file["a"], file["b"]
    done = check.run("gemm", a, b, "-o", check.path("good.npy"))
    check.result("the arguments that refusals start from", done.returncode and done.stderr)

    def gemm(name, named, *arguments):
        check.refuse(name, named, ["gemm", a, b, "-o", "OUT", *arguments])

    check.refuse_damaged("gemm", [("A", a), ("B", b)], [a, b])
    check.refuse("no such file", "A '/nonexistent.npy'", ["gemm", "/nonexistent.npy", b, "-o", "OUT"])
    check.refuse("a directory", "A '/'", ["gemm", "/", b, "-o", "OUT"])
    check.refuse("a device", "not a regular file", ["gemm", a, "/dev/zero", "-o", "OUT"])
    check.refuse("A int32", "int32", ["gemm", file["i32"], b, "-o", "OUT"])
    check.refuse("A without rows", "at least 1", ["gemm", file["none"], b, "-o", "OUT"])
    check.refuse("A of three dimensions", "shape [5,2,3]", ["gemm", file["three"], b, "-o", "OUT"])
    check.refuse("K differs", "K = 6", ["gemm", a, file["bt"], "-o", "OUT"])
    gemm("K differs, transposed", "--b-transposed", "--b-transposed")
    check.refuse("no files", "A.npy", ["gemm", "-o", "OUT"])
    check.refuse("one file", "B.npy", ["gemm", a, "-o", "OUT"])
    check.refuse("no output", "-o", ["gemm", a, b])
    gemm("three files", "bias.npy", file["bias"])
    gemm("an unknown option", "--frobnicate", "--frobnicate")
    gemm("an option without value", "--scale", "--scale")
    gemm("a flag with a value", "--b-transposed", "--b-transposed=1")
    gemm("an empty value", "--bias", "--bias", "")
    gemm("--out", "--out 's16'", "--out", "s16")
    gemm("--threads 0", "--threads", "--threads", "0")
    gemm("--threads x", "--threads", "--threads", "2x")
    gemm("--device", "nope", "--device", "nope")
    gemm("--device opencl:99", "opencl:99", "--device", "opencl:99")
    gemm("--kernel", "gemm_none", "--kernel", "cpu/gemm_none")
    gemm("--a-zero out of range", "--a-zero", "--a-zero", "256")
    gemm("--b-zero out of range", "--b-zero", "--b-zero", "128")
    gemm("--a-zero neither number nor file", "--a-zero", "--a-zero", "1.5")
    gemm("--a-zero file out of range", "value 0 is 300", "--a-zero", file["rows"])
    gemm("--b-zero uint8 out of int8's range", "value 0 is 200", "--b-zero", file["zeros200"])
    gemm("--a-zero of another length", "--a-zero", "--a-zero", file["bias"])
    gemm("--b-zero of another length", "--b-zero", "--b-zero", file["bias6"])
    gemm("--b-zero one a row", "one a column", "--b-zero", file["column"])
    gemm("--a-zero float32", "float32", "--a-zero", file["rows_f"])
    gemm("--bias of another length", "--bias", "--bias", file["bias6"])
    gemm("--bias float32", "float32", "--bias", file["bias_f32"])
    gemm("--bias a column", "one a column", "--bias", file["column"])
    gemm("--scale with s32", "--scale", "--scale", "2")
    for bad in ("nan", "inf", "1e40", "1e-60", "-1e300", "x", "1e-40", "1e30"):
        gemm("--scale " + bad, "scale", "--out", "f32", "--scale=" + bad)
    for bad in ("scale_inf", "scale_tiny", "scale_huge", "rows_f", "bias"):
        gemm("--scale " + bad, "scale", "--out", "u8", "--scale", file[bad])
    gemm("--row-scale without f32", "--row-scale", "--row-scale", file["rows_f"])
    gemm("--row-scale of another length", "--row-scale", "--out", "f32", "--row-scale", file["scale"])
    gemm("--row-scale nan", "value 0 is nan", "--out", "f32", "--row-scale", file["rows_nan"])
    gemm("--bias-f without f32", "--bias-f", "--out", "u8", "--bias-f", file["scale"])
    gemm("--bias-f int32", "int32", "--out", "f32", "--bias-f", file["bias"])
    gemm("--out-zero with s32", "--out-zero", "--out-zero", "3")
    gemm("--out-zero out of range", "--out-zero", "--out", "u8", "--out-zero", "-1")
    gemm("--out-zero far out of range", "--out-zero", "--out", "u8", "--out-zero", "9999999999999999999")
    for bad in ("1", "1,", ",1", "5,4", "-1,4", "0,256", "0,0", "1,2,3", "a,b", "0,99999999999"):
        gemm("--clamp " + bad, "--clamp", "--out", "u8", "--clamp=" + bad)
    gemm("--clamp with f32", "--clamp", "--out", "f32", "--clamp", "1,2")
    gemm("--rounding", "--rounding", "--out", "u8", "--rounding", "up")
    gemm("--rounding with s32", "--rounding", "--rounding", "mant24-up")
    gemm("--multiplier without a rounding", "--multiplier", "--out", "u8", "--multiplier", "2000000000")
    q31 = ["--out", "s8", "--rounding", "q31-double-up"]
    gemm("--multiplier missing", "--multiplier", *q31, "--shift", "0")
    gemm("--shift missing", "--shift", *q31, "--multiplier", "2000000000")
    gemm("--scale with q31", "--scale", *q31, "--scale", "0.5", "--multiplier", "2000000000", "--shift", "0")
    gemm("--multiplier out of range", "multiplier", *q31, "--multiplier", "1000000000", "--shift", "0")
    gemm("--shift out of range", "shift", *q31, "--multiplier", "2000000000", "--shift=-32")
    gemm("--multiplier float32", "float32", *q31, "--multiplier", file["scale"], "--shift", file["bias"])
    gemm("--multiplier of another length", "--multiplier", *q31, "--multiplier", file["bias6"], "--shift", "0")
    gemm("--shift of another length", "--shift", *q31, "--multiplier", "2000000000", "--shift", file["bias"])
    gemm("--scale 0 with mant24", "scale", "--out", "s8", "--rounding", "mant24-up", "--scale", "0")
    gemm("--json is -o", "--json", "--json", "OUT")
    gemm("--json in no directory", "--json", "--json", "/nonexistent/x.json")
    check.refuse("-o in no directory", "-o", ["gemm", a, b, "-o", "/nonexistent/c.npy"])
    check.refuse("-o a full device", "-o '/dev/full'", ["gemm", a, b, "-o", "/dev/full"])
    check.refuse("-o a directory", "-o", ["gemm", a, b, "-o", check.folder])
    check.refuse("explain without shape", "--shape", ["explain"])
    for bad in ("1x2", "0x1x1", "1x2x3x4", "-1x2x3", "1x2x", "99999999999999999999x1x1"):
        check.refuse("explain --shape " + bad, "--shape", ["explain", "--shape=" + bad])
    check.refuse("explain --kernel", "--kernel", ["explain", "--shape", "2x2x2", "--kernel", "none"])
    check.refuse("explain --types", "--types", ["explain", "--shape", "2x2x2", "--types", "u8"])
    check.refuse("devices with a word", "'all'", ["devices", "all"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    parser.add_argument("--cases", type=int, default=200, help="random products (default 200)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        operands = os.path.join(folder, "operands")
        results = os.path.join(folder, "results")
        os.mkdir(operands)
        os.mkdir(results)
        check = Check(options.qdot, results)
        devices = check.devices()
        for i in range(options.cases):
            check.everywhere(i, Product(rng, operands), devices)
        refusals(check)
        return check.finish() if devices else 1


if __name__ == "__main__":
    sys.exit(main())
