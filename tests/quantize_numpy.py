#!/usr/bin/env python3
"""'qdot quantize' and 'qdot dequantize' compared with NumPy, byte for byte, on every row of every device.

usage: python3 tests/quantize_numpy.py path/to/qdot [--cases N] [--seed S]

Random arrays: all ops and types, scales and zeros for all, by axis, by group; ranges; ties; what is no number.
NumPy takes each step in float32. Then what must be refused: exit status 2, one line on stderr that names the
argument, no output file. Needs only the command and NumPy. Last line: N passed, N failed, N skipped.
"""
import argparse
import json
import os
import sys
import tempfile

from numpy_check import Case, Check, np

DTYPE = {"u8": np.uint8, "s8": np.int8, "u16": np.uint16, "s16": np.int16, "u4": np.uint8, "s4": np.int8,
         "s32": np.int32}
RANGE = {"u8": (0, 255), "s8": (-128, 127), "u16": (0, 65535), "s16": (-32768, 32767), "u4": (0, 15),
         "s4": (-8, 7), "s32": (-(2**31), 2**31 - 1)}
OPS = ["quantize", "dequantize", "dynamic_quantize", "fake_quantize", "fake_quantize_gradient"]


class Elements(Case):
    """Operands, arguments and what NumPy gives."""

    def __init__(self, rng, folder):
        super().__init__(rng, folder)
        self.op = str(rng.choice(OPS))
        self.verb = "dequantize" if self.op == "dequantize" else "quantize"
        self.type = str(rng.choice(list(RANGE)[: 7 if self.op == "dequantize" else 6]))
        if self.op == "dynamic_quantize":
            self.type = "u8"
        self.shape = tuple(int(x) for x in rng.integers(1, 12, rng.integers(1, 5)))
        self.report = {"op": self.op, "type": self.type, "shape": "x".join(map(str, self.shape))}
        self.more = {}
        self.choose_parameters()
        if self.op == "dequantize":
            self.dequantize()
        elif self.op == "dynamic_quantize":
            self.dynamic()
        else:
            self.quantize()
        if self.type != "u8" or rng.random() < 0.3:
            self.arguments += ["--type", self.type]

    def serves(self, row):
        return row.split("/")[1].startswith("quantize")

    def choose_parameters(self):
        """Scales and zeros, in a shape that goes with the array's."""
        self.spread_shape = (1,) * len(self.shape)
        self.repeats = 1
        axis = int(self.rng.integers(0, len(self.shape)))
        kind = self.rng.integers(0, 3)
        if self.op == "dynamic_quantize":
            axis, kind = 0, self.rng.integers(0, 2)
        if kind > 0:
            self.spread_shape = tuple(s if i == axis else 1 for i, s in enumerate(self.shape))
            self.arguments += ["--axis", str(axis - (len(self.shape) if self.rng.random() < 0.3 else 0))]
        if kind == 2:
            self.repeats = int(self.rng.integers(1, self.shape[axis] + 1))
            self.spread_shape = tuple(-(-s // self.repeats) if i == axis else s
                                      for i, s in enumerate(self.shape))
            self.arguments += ["--group", str(self.repeats)]
        self.axis = axis
        self.scale = np.ones(self.spread_shape, np.float32)
        self.zero = np.zeros(self.spread_shape, np.int64)
        if self.op == "dynamic_quantize":
            return
        if self.rng.random() < 0.9:
            self.scale = self.given("--scale", self.rng.uniform(0.01, 3, self.spread_shape).astype(np.float32))
        lo, hi = RANGE[self.type]
        if self.type != "s32" and self.rng.random() < 0.7:
            values = self.rng.integers(lo, hi + 1, self.spread_shape)
            self.zero = self.given("--zero", values.astype(DTYPE[self.type])).astype(np.int64)

    def given(self, option, values):
        """As an option: a number or a file of one value for all, or a file of all."""
        kind = self.rng.integers(0, 3)
        if kind < 2:
            values = np.full_like(values, values.flat[0])
        if kind == 0:
            self.arguments.append("%s=%s" % (option, repr(values.flat[0].item())))
        elif kind == 1:
            self.arguments += [option, self.save(option[2:], values.reshape(-1)[:1])]
        else:
            self.arguments += [option, self.save(option[2:], values)]
        return values

    def at(self, parameters):
        """The parameter of each element."""
        wide = np.repeat(parameters, self.repeats, self.axis)
        wide = np.take(wide, range(min(wide.shape[self.axis], self.shape[self.axis])), self.axis)
        return np.broadcast_to(wide, self.shape)

    def numbers(self):
        lo, hi = RANGE[self.type]
        scale, zero = self.at(self.scale), self.at(self.zero)
        whole = self.rng.uniform(lo - zero - (hi - lo) / 8, hi - zero + (hi - lo) / 8)
        ties = np.floor(whole) + 0.5
        x = (np.where(self.rng.random(self.shape) < 0.5, whole, ties) * scale).astype(np.float32)
        special = np.array([np.nan, np.inf, -np.inf, -0.0, 3e38, 1e-40], np.float32)
        return np.where(self.rng.random(self.shape) < 0.05, self.rng.choice(special, self.shape), x).astype(
            np.float32)

    @staticmethod
    def nearest(x, scale, reciprocal=False):
        """A NaN is less than everything."""
        scale = np.asarray(scale, np.float32)
        quotient = (x * (np.float32(1) / scale) if reciprocal else x / scale).astype(np.float32)
        return np.nan_to_num(np.rint(quotient).astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)

    def quantize(self):
        lo, hi = RANGE[self.type]
        x = self.numbers()
        scale, zero = self.at(self.scale), self.at(self.zero)
        reciprocal = self.rng.random() < 0.3
        if reciprocal:
            self.arguments.append("--reciprocal")
        if self.rng.random() < 0.3:
            lo, hi = lo + (hi - lo) // 8 + 1, hi - (hi - lo) // 4
            self.arguments += ["--range", "%d,%d" % (lo, hi)]
        whole = self.nearest(x, scale, reciprocal) + zero
        q = np.clip(whole, lo, hi)
        if self.op == "fake_quantize_gradient":
            dy = self.rng.normal(size=self.shape).astype(np.float32)
            self.arguments += ["--gradient", self.save("dy", dy)]
            self.expected = np.where((whole >= lo) & (whole <= hi), dy, np.float32(0))
        elif self.op == "fake_quantize":
            self.arguments.append("--fake")
            self.expected = ((q - zero).astype(np.float32) * scale).astype(np.float32)
        else:
            self.expected = q.astype(DTYPE[self.type])
        self.arguments.insert(0, self.save("x", x))

    def dequantize(self):
        lo, hi = RANGE[self.type]
        q = self.rng.integers(lo, hi + 1, self.shape).astype(DTYPE[self.type])
        whole = (q.astype(np.int64) - self.at(self.zero)).astype(np.float32)
        self.expected = (whole * self.at(self.scale)).astype(np.float32)
        self.arguments.insert(0, self.save("q", q))

    def dynamic(self):
        x = self.rng.normal(self.rng.uniform(-3, 3), 2, self.shape).astype(np.float32)
        if self.rng.random() < 0.2:
            x.flat[0] = np.nan
        rows = x.reshape(self.spread_shape[0], -1)
        most = np.fmax(np.nanmax(rows, 1, initial=0), 0).astype(np.float32)
        least = np.fmin(np.nanmin(rows, 1, initial=0), 0).astype(np.float32)
        scale = ((most - least) / np.float32(255)).astype(np.float32)
        scale = np.where(scale == 0, np.float32(1), scale).astype(np.float32)
        zero = np.clip(np.rint((-least / scale).astype(np.float32)), 0, 255)
        whole = self.nearest(rows, scale.reshape(-1, 1)) + zero.reshape(-1, 1)
        self.expected = np.clip(whole, 0, 255).astype(np.uint8).reshape(self.shape)
        paths = [os.path.join(self.folder, name) for name in ("scales.npy", "zeros.npy")]
        self.arguments += ["--dynamic", "--scale-out", paths[0], "--zero-out", paths[1]]
        self.arguments.insert(0, self.save("x", x))
        self.more = {paths[0]: scale, paths[1]: zero.astype(np.uint8)}


class QuantizeCheck(Check):
    @staticmethod
    def report_problem(path, case, extra):
        case.types, case.out = [], None
        for file, expected in case.more.items():
            got = np.load(file)
            if got.dtype != expected.dtype or got.tobytes() != expected.tobytes():
                return "%s: %r, expected %r" % (file, got, expected)
        with open(path) as file:
            report = json.load(file)
        given = dict(zip(extra[::2], extra[1::2]))
        wanted = dict(case.report)
        if "--kernel" in given:
            wanted.update(kernel=given["--kernel"], device=given["--device"])
        for key, value in wanted.items():
            if report.get(key) != value:
                return "--json: %s is %r, expected %r" % (key, report.get(key), value)
        return None


def refusals(check):
    rng = np.random.default_rng(7)
    made = {
        "x": rng.normal(size=(4, 6)).astype(np.float32),
        "q": rng.integers(0, 255, (4, 6)).astype(np.uint8),
        "q16": np.zeros((4, 6), np.uint16),
        "q32": np.zeros((4, 6), np.int32),
        "number": np.zeros((), np.float32),
        "none": np.zeros((0, 6), np.float32),
        "scales": np.ones(6, np.float32),
        "scales4": np.ones(4, np.float32),
        "scale_zero": np.zeros(1, np.float32),
        "scale_nan": np.full(6, np.nan, np.float32),
        "zeros": np.full(6, 300, np.int32),
        "dy": np.ones((6, 4), np.float32),
    }
    file = {name: check.path(name + ".npy") for name in made}
    for name, array in made.items():
        np.save(file[name], array)
    x, q, out = ["quantize", file["x"], "-o", "OUT"], ["dequantize", file["q"], "-o", "OUT"], check.path("s.npy")
    dynamic = [*x, "--dynamic", "--scale-out", out, "--zero-out", check.path("z.npy")]
    for name, named, arguments in [
        ("no file", "no file", ["quantize"]),
        ("no output", "-o", ["quantize", file["x"]]),
        ("two files", "'%s'" % file["q"], [*x, file["q"]]),
        ("no such file", "X 'nothing.npy'", ["quantize", "nothing.npy", "-o", "OUT"]),
        ("X of bytes", "dtype uint8", ["quantize", file["q"], "-o", "OUT"]),
        ("X of no dimension", "dimensions", ["quantize", file["number"], "-o", "OUT"]),
        ("X of no value", "dimensions", ["quantize", file["none"], "-o", "OUT"]),
        ("Q of floats", "dtype float32", ["dequantize", file["x"], "-o", "OUT"]),
        ("type", "--type 's9'", [*x, "--type", "s9"]),
        ("type s32", "--type 's32'", [*x, "--type", "s32"]),
        ("another type", "dtype uint8", [*q, "--type", "s4"]),
        ("too large for 4 bits", "value", [*q, "--type", "u4"]),
        ("axis", "--axis", [*x, "--axis", "2"]),
        ("axis from the last", "--axis", [*x, "--axis", "-3"]),
        ("axis of no number", "--axis", [*x, "--axis", "one"]),
        ("group without axis", "--group", [*x, "--group", "2"]),
        ("group beyond", "--group 7", [*x, "--axis", "1", "--group", "7"]),
        ("scale", "--scale 'zero'", [*x, "--scale", "zero"]),
        ("scale of 0", "--scale '0'", [*x, "--scale", "0"]),
        ("scale below 0", "--scale '-1'", [*x, "--scale=-1"]),
        ("subnormal scale", "--scale '1e-40'", [*x, "--scale", "1e-40"]),
        ("infinite scale", "--scale '1e39'", [*x, "--scale", "1e39"]),
        ("scale file of 0", "--scale", [*x, "--scale", file["scale_zero"]]),
        ("scale NaN", "value 0 is nan", [*x, "--scale", file["scale_nan"], "--axis", "1"]),
        ("scales without axis", "expected 1 value", [*x, "--scale", file["scales"]]),
        ("scales of another axis", "expected 1 or 6 values", [*x, "--scale", file["scales4"], "--axis", "1"]),
        ("scale of bytes", "dtype uint8", [*x, "--scale", file["q"]]),
        ("zero", "--zero '256'", [*x, "--zero", "256"]),
        ("zero of s8", "--zero '128'", [*x, "--type", "s8", "--zero", "128"]),
        ("zero file", "value 0 is 300", [*x, "--zero", file["zeros"], "--axis", "1"]),
        ("zero of floats", "dtype float32", [*x, "--zero", file["scales"], "--axis", "1"]),
        ("zero of s32", "--zero", ["dequantize", file["q32"], "-o", "OUT", "--zero", "1"]),
        ("range", "--range '3'", [*x, "--range", "3"]),
        ("range in disorder", "--range", [*x, "--range", "3,2"]),
        ("range beyond", "--range", [*x, "--range", "0,256"]),
        ("range of 0", "--range", [*x, "--range", "0,0"]),
        ("gradient's shape", "--gradient", [*x, "--gradient", file["dy"]]),
        ("gradient's dtype", "--gradient", [*x, "--gradient", file["q"]]),
        ("fake and gradient", "--gradient", [*x, "--fake", "--gradient", file["x"]]),
        ("fake and dynamic", "--fake", [*dynamic, "--fake"]),
        ("dynamic with a scale", "--scale", [*dynamic, "--scale", "1"]),
        ("dynamic with a zero", "--zero", [*dynamic, "--zero", "1"]),
        ("dynamic with a range", "--range", [*dynamic, "--range", "0,9"]),
        ("dynamic s8", "--type s8", [*dynamic, "--type", "s8"]),
        ("dynamic by column", "--axis", [*dynamic, "--axis", "1"]),
        ("dynamic by group", "--group", [*dynamic, "--axis", "0", "--group", "2"]),
        ("dynamic without outputs", "--scale-out", [*x, "--dynamic"]),
        ("outputs without dynamic", "--zero-out", [*x, "--zero-out", out]),
        ("one file for two", "--json", [*dynamic, "--json", out]),
        ("dequantize has no range", "--range", [*q, "--range", "0,9"]),
        ("device", "nowhere", [*x, "--device", "nowhere"]),
        ("kernel", "gemm_12x16", [*x, "--device", "cpu", "--kernel", "gemm_12x16"]),
        ("an unwritable place", "-o", ["quantize", file["x"], "-o", "/nonexistent/q.npy"]),
    ]:
        check.refuse(name, named, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    parser.add_argument("--cases", type=int, default=60, help="random arrays (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        check = QuantizeCheck(options.qdot, folder)
        devices = check.devices()
        for i in range(options.cases):
            check.everywhere(i, Elements(np.random.default_rng((options.seed, i)), folder), devices)
        refusals(check)
        return check.finish()


if __name__ == "__main__":
    sys.exit(main())
