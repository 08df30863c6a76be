#!/usr/bin/env python3
"""'qdot gemm' compared with NumPy, byte for byte, on every row of every device.

usage: python3 tests/gemm_numpy.py path/to/qdot [--cases N] [--seed S]

Random products: all sign mixes, zero points (none, scalar, per row, per column), bias, every output,
clamps, C and Fortran order, B transposed. NumPy computes in int64, wraps to int32, and takes each
float step in float32. Then what must be refused: exit status 2, one line on stderr that names the
argument, no output file. Needs only the command and NumPy. Last line: N passed, N failed, N skipped.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from numpy.lib import format as npy_format
except ImportError:
    sys.exit("gemm_numpy.py: no numpy for %s: install python3-numpy" % sys.executable)

RANGE = {"u8": (0, 255), "s8": (-128, 127)}
DTYPE = {"u8": np.uint8, "s8": np.int8, "s32": np.int32, "f32": np.float32}


def wrap(values):
    """int64 to int32, modulo 2^32."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


class Case:
    """One product: operands, arguments and what NumPy gives."""

    def __init__(self, rng, folder):
        self.rng = rng
        self.folder = folder
        self.arguments = []
        self.shape = self.choose_shape()
        m, n, k = self.shape
        self.types = [rng.choice(["u8", "s8"]) for _ in range(2)]
        self.out = rng.choice(["s32", "f32", "s8", "u8"])
        a = self.matrix(self.types[0], (m, k))
        b = self.matrix(self.types[1], (k, n))
        a_zero = self.zero("--a-zero", self.types[0], m, True)
        b_zero = self.zero("--b-zero", self.types[1], n, False)
        acc = (a.astype(np.int64) - a_zero) @ (b.astype(np.int64) - b_zero)
        acc = acc + self.bias(n)
        self.expected = self.output(wrap(acc))
        transposed = rng.random() < 0.4
        if transposed:
            self.arguments.append("--b-transposed")
        files = [self.save("a", a), self.save("b", b.T if transposed else b)]
        self.arguments = files + self.arguments + ["--out", self.out]
        if self.out == "s32" and rng.random() < 0.5:
            self.arguments = self.arguments[:-2]  # the default

    def choose_shape(self):
        kind = self.rng.random()
        if kind < 0.1:
            return tuple(int(self.rng.choice([1, 2, 150, 300])) for _ in range(3))
        return tuple(int(x) for x in self.rng.integers(1, 70, 3))

    def matrix(self, name, shape):
        lo, hi = RANGE[name]
        if self.rng.random() < 0.3:
            return self.rng.choice([lo, hi], shape).astype(DTYPE[name])
        return self.rng.integers(lo, hi + 1, shape).astype(DTYPE[name])

    def save(self, name, array):
        path = os.path.join(self.folder, name + ".npy")
        array = np.asarray(array)
        if array.ndim == 2:
            order = np.asfortranarray if self.rng.random() < 0.5 else np.ascontiguousarray
            array = order(array)
        version = (1, 0) if self.rng.random() < 0.5 else (2, 0)
        with open(path, "wb") as file:
            npy_format.write_array(file, array, version=version)
        return path

    def spread(self, values, per_row):
        """The same values in one of the shapes that are accepted."""
        kind = self.rng.integers(0, 3)
        if kind == 0:
            return values.reshape((-1, 1) if per_row else (1, -1))
        if kind == 1 and values.size == 1:
            return values.reshape(())
        return values

    def zero(self, option, type_name, count, per_row):
        lo, hi = RANGE[type_name]
        kind = self.rng.integers(0, 4)
        if kind == 0:
            return 0
        values = self.rng.integers(lo, hi + 1, count)
        if self.rng.random() < 0.2:
            values = self.rng.choice([lo, hi], count)
        if kind < 3:
            values = values[:1]
        if kind == 1:
            self.arguments.append("%s=%d" % (option, values[0]))
            return int(values[0])
        dtype = np.int32 if self.rng.random() < 0.5 else DTYPE[type_name]
        stored = self.spread(values.astype(dtype), per_row)
        self.arguments += [option, self.save(option[2:], stored)]
        return values.astype(np.int64).reshape((-1, 1) if per_row else (1, -1))

    def bias(self, n):
        if self.rng.random() < 0.5:
            return 0
        size = 2**31 if self.rng.random() < 0.3 else 10000
        values = self.rng.integers(-size, size, n).astype(np.int32)
        self.arguments += ["--bias", self.save("bias", self.spread(values, False))]
        return values.astype(np.int64)

    def floats(self, option, count, per_row, lo, hi):
        values = (self.rng.uniform(lo, hi, count) * self.rng.choice([-1, 1], count)).astype(np.float32)
        self.arguments += [option, self.save(option[2:], self.spread(values, per_row))]
        return values.reshape((-1, 1) if per_row else (1, -1))

    def scale(self, size):
        kind = self.rng.integers(0, 4)
        if kind == 0:
            return np.float32(1)
        if kind == 1:
            value = np.float32(self.rng.uniform(0.1, 3) * size)
            self.arguments += ["--scale", repr(float(value))]
            return value
        if kind == 2:  # powers of two: ties in the rounding
            value = np.float32(2.0 ** np.floor(np.log2(size)))
            self.arguments += ["--scale", repr(float(value))]
            return value
        return self.floats("--scale", self.shape[1], False, 0.1 * size, 3 * size)

    def output(self, acc):
        """The stages of qdot.h, each step a float32 operation."""
        if self.out == "s32":
            return acc
        size = 100.0 / max(1.0, float(np.abs(acc.astype(np.float64)).mean()))
        scaled = acc.astype(np.float32) * self.scale(size if self.out != "f32" else 1e-3)
        if self.out == "f32":
            if self.rng.random() < 0.5:
                scaled = scaled * self.floats("--row-scale", self.shape[0], True, 0.01, 2)
            if self.rng.random() < 0.5:
                scaled = scaled + self.floats("--bias-f", self.shape[1], False, 0, 1000)
            return scaled.astype(np.float32)
        lo, hi = RANGE[self.out]
        zero = 0
        if self.rng.random() < 0.6:
            zero = int(self.rng.integers(lo, hi + 1))
            self.arguments += ["--out-zero", str(zero)]
        if self.rng.random() < 0.4:
            lo, hi = sorted(int(x) for x in self.rng.integers(lo, hi + 1, 2))
            if lo == 0 and hi == 0:
                hi = 1
            self.arguments += ["--clamp", "%d,%d" % (lo, hi)]
        if self.rng.random() < 0.3:
            self.arguments += ["--rounding", "rne"]
        # float64 holds every rounded float32 product plus a zero point that does not saturate.
        rounded = np.rint(scaled.astype(np.float32)).astype(np.float64) + zero
        return np.clip(rounded, lo, hi).astype(DTYPE[self.out])


class Check:
    def __init__(self, qdot, folder):
        self.qdot = qdot
        self.folder = folder
        self.passed = self.failed = self.skipped = 0

    def run(self, *arguments):
        return subprocess.run([self.qdot, *arguments], capture_output=True, text=True, timeout=300,
                              errors="replace")

    def result(self, name, problem):
        if problem:
            self.failed += 1
            print("FAIL %s: %s" % (name, problem))
        else:
            self.passed += 1

    def path(self, name):
        return os.path.join(self.folder, name)

    def devices(self):
        """(device, rows admitted there) of every available device."""
        path = self.path("devices.json")
        done = self.run("devices", "--json", path)
        if done.returncode != 0:
            sys.exit("qdot devices: exit status %d: %s" % (done.returncode, done.stderr))
        with open(path) as file:
            listed = json.load(file)["devices"]
        found = []
        for device in listed:
            if not device["available"]:
                self.skipped += 1
                print("skip %s: %s" % (device["name"], device["reason"]))
                continue
            rows = [row["name"] for row in device["rows"] if row["admitted"]]
            if not rows:
                self.result(device["name"], "a device without an admitted row")
                continue
            found.append((device["name"], rows))
        return found

    def compare(self, case, name, extra):
        out, report = self.path("c.npy"), self.path("c.json")
        for path in (out, report):
            if os.path.exists(path):
                os.unlink(path)
        arguments = ["gemm", *case.arguments, "-o", out, "--json", report, *extra]
        done = self.run(*arguments)
        said = " ".join([os.path.basename(self.qdot), *arguments])
        if done.returncode != 0:
            return self.result(name, "exit status %d: %s: %s" % (done.returncode, done.stderr, said))
        got = np.load(out)
        want = np.ascontiguousarray(case.expected)
        problem = None
        if got.dtype != want.dtype or got.shape != want.shape:
            problem = "%s %s, expected %s %s" % (got.dtype, got.shape, want.dtype, want.shape)
        elif got.tobytes() != want.tobytes():
            unlike = np.flatnonzero(got.view("u%d" % got.itemsize) != want.view("u%d" % got.itemsize))
            at = np.unravel_index(unlike[0], got.shape)
            problem = "%d of %d values differ, the first at %s: got %r, expected %r: %s" % (
                len(unlike), got.size, at, got[at], want[at], said)
        else:
            problem = self.report_problem(report, case, extra)
        self.result(name, problem)

    @staticmethod
    def report_problem(path, case, extra):
        with open(path) as file:
            report = json.load(file)
        given = dict(zip(extra[::2], extra[1::2]))
        wanted = {"shape": "%dx%dx%d" % case.shape, "types": "".join(case.types), "out": case.out}
        if "--kernel" in given:
            wanted.update(kernel=given["--kernel"], device=given["--device"])
        for key, value in wanted.items():
            if report.get(key) != value:
                return "--json: %s is %r, expected %r" % (key, report.get(key), value)
        if not report["seconds"] > 0:
            return "--json: seconds is %r" % report["seconds"]
        return None

    def refuse(self, name, named, arguments, output="refused.npy"):
        """Exit status 2, one line that names 'named', nothing written."""
        before = sorted(os.listdir(self.folder))
        done = self.run(*[self.path(output) if a == "OUT" else a for a in arguments])
        lines = done.stderr.splitlines()
        problem = None
        if done.returncode != 2:
            problem = "exit status %d, expected 2: %s" % (done.returncode, done.stderr)
        elif len(lines) != 1 or not lines[0].startswith("qdot %s: " % arguments[0]):
            problem = "expected one line 'qdot %s: ...', got %r" % (arguments[0], done.stderr)
        elif named not in lines[0]:
            problem = "expected %r in %r" % (named, lines[0])
        elif sorted(os.listdir(self.folder)) != before:
            problem = "files left: %r" % sorted(set(os.listdir(self.folder)) - set(before))
        self.result("refusal: " + name, problem)


def header_bytes(text, major=1, minor=0):
    head = text.encode("latin1")
    pad = -(10 + len(head) + 1) % 64
    head += b" " * pad + b"\n"
    return b"\x93NUMPY" + bytes([major, minor]) + len(head).to_bytes(2 if major == 1 else 4, "little") + head


def damaged_files():
    """(name, bytes, what the error must say) of files that are no [4,4] int8 array."""
    data = bytes(range(16))
    good = "{'descr': '|i1', 'fortran_order': False, 'shape': (4, 4), }"
    whole = header_bytes(good) + data
    yield "empty", b"", "not a .npy file"
    yield "magic", b"\x93NUMPZ" + whole[6:], "not a .npy file"
    yield "text", b"1 2 3\n4 5 6\n", "not a .npy file"
    yield "version 3.0", header_bytes(good, 3, 0) + data, "version 3.0"
    yield "version 1.1", header_bytes(good, 1, 1) + data, "version 1.1"
    yield "cut in the header", whole[:40], "truncated"
    yield "cut before the header", whole[:9], "truncated"
    yield "cut in the data", whole[:-1], "truncated"
    yield "trailing byte", whole + b"\0", "1 bytes after"
    yield "huge header", b"\x93NUMPY\2\0\xff\xff\xff\xff" + whole[10:], "a header of 4294967295 bytes"
    shapes = {
        "overflowing shape": ("(4294967296, 4294967296)", "overflows"),
        "overflowing number": ("(99999999999999999999, 1)", "overflows"),
        "a shape beyond the file": ("(4, 5)", "truncated"),
        "a shape far beyond the file": ("(1000000000, 1000000000)", "truncated"),
        "a shape short of the file": ("(4, 3)", "4 bytes after"),
        "three dimensions": ("(2, 2, 4)", "2 dimensions"),
        "one dimension": ("(16,)", "shape [16]"),
        "negative shape": ("(-4, -4)", "shape"),
        "no tuple": ("16", "shape"),
        "no rows": ("(0, 4)", "after"),
    }
    for name, (shape, says) in shapes.items():
        yield name, header_bytes(good.replace("(4, 4)", shape)) + data, says
    for descr in (">i4", "<i8", "<f8", "|b1", "<u4", ">f4", "<f2", "|O"):
        yield "dtype " + descr, header_bytes(good.replace("|i1", descr)) + data, descr
    headers = {
        "no dictionary": "[1, 2]",
        "unknown key": good.replace("shape", "shapes"),
        "no order": "{'descr': '|i1', 'shape': (4, 4), }",
        "a key twice": good.replace("}", "'descr': '|i1', }"),
        "order neither True nor False": good.replace("False", "0"),
        "after the dictionary": good + " 1",
        "an open dictionary": good[:-1],
        "structured dtype": good.replace("'|i1'", "[('a', '|i1')]"),
        "a zero byte": good + "\0",
    }
    for name, header in headers.items():
        yield name, header_bytes(header) + data, "header"


def refusals(check):
    rng = np.random.default_rng(7)
    made = {
        "a": rng.integers(0, 255, (5, 6)).astype(np.uint8),
        "b": rng.integers(-128, 127, (6, 7)).astype(np.int8),
        "bt": rng.integers(-128, 127, (7, 6)).astype(np.int8),
        "i32": np.zeros((5, 6), np.int32),
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

    for name, content, says in damaged_files():
        path = check.path("damaged.npy")
        with open(path, "wb") as out:
            out.write(content)
        for place, files in (("A", [path, b]), ("B", [a, path])):
            check.refuse("%s: %s" % (place, name), says, ["gemm", *files, "-o", "OUT"])
            check.refuse("%s: %s: which" % (place, name), "%s '%s'" % (place, path),
                         ["gemm", *files, "-o", "OUT"])
        gemm("--bias: " + name, "--bias '%s'" % path, "--bias", path)
        os.unlink(path)

    check.refuse("no such file", "A '/nonexistent.npy'", ["gemm", "/nonexistent.npy", b, "-o", "OUT"])
    check.refuse("a directory", "A '/'", ["gemm", "/", b, "-o", "OUT"])
    check.refuse("a device", "not a regular file", ["gemm", a, "/dev/zero", "-o", "OUT"])
    check.refuse("A int32", "int32", ["gemm", file["i32"], b, "-o", "OUT"])
    check.refuse("A without rows", "at least 1", ["gemm", file["none"], b, "-o", "OUT"])
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
        check = Check(os.path.abspath(options.qdot), results)
        devices = check.devices()
        for i in range(options.cases):
            case = Case(rng, operands)
            # Each case on every device, by a row that goes round; now and then by choice.
            for name, rows in devices:
                extra = ["--device", name, "--kernel", rows[i % len(rows)]]
                if i % 7 == 6:
                    extra = ["--device", name]
                if name == "cpu":
                    extra += ["--threads", str(1 + i % 3)]
                check.compare(case, "case %d, %s" % (i, " ".join(extra)), extra)
            if i % 10 == 0:
                check.compare(case, "case %d, auto" % i, ["--device", "auto"])
        refusals(check)
        print("%d passed, %d failed, %d skipped" % (check.passed, check.failed, check.skipped))
        return 0 if check.failed == 0 and check.passed > 0 and devices else 1


if __name__ == "__main__":
    sys.exit(main())
