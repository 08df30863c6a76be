#!/usr/bin/env python3
"""'qdot conv' compared with NumPy, byte for byte, on every row of every device.

usage: python3 tests/conv_numpy.py path/to/qdot [--cases N] [--seed S]

Random convolutions: all sign mixes, both layouts, 1-D and 2-D, groups, depthwise, strides,
dilation, four pads, transposed with output padding, zero points, bias, every output, C and Fortran
order. NumPy sums in int64 straight from the formula, a tap at a time, wraps to int32, and takes
each float step in float32. Then what must be refused: exit status 2, one line on stderr that names
the argument, no output file. Needs only the command and NumPy. Last line: N passed, N failed, N
skipped.
"""
import argparse
import os
import sys
import tempfile

from numpy_check import Case, Check, np, wrap


class Geometry:
    """One convolution's sizes, heights before widths."""

    def __init__(self, rng):
        self.rng = rng
        self.flat = rng.random() < 0.12  # 1-D
        self.transposed = rng.random() < 0.25
        self.layout = str(rng.choice(["nhwc", "nchw"]))
        while True:
            self.choose()
            if self.flat:
                self.size[0] = self.kernel[0] = self.stride[0] = self.dilation[0] = 1
                self.before[0] = self.after[0] = self.output_pad[0] = 0
            self.outputs = [self.count(axis) for axis in range(2)]
            if min(self.outputs) >= 1:
                break

    def choose(self):
        some = lambda lo, hi: [int(x) for x in self.rng.integers(lo, hi + 1, 2)]
        one = lambda lo, hi: int(self.rng.integers(lo, hi + 1))
        kind = self.rng.random()
        self.batch = one(1, 3)
        self.size = some(1, 13)
        self.kernel = some(1, 4)
        self.stride = some(1, 3)
        self.dilation = some(1, 3) if self.rng.random() < 0.4 else [1, 1]
        self.before, self.after = some(0, 3), some(0, 3)
        self.groups, self.cg, self.og = one(1, 4), one(1, 9), one(1, 9)
        if kind < 0.15:  # 1x1
            self.kernel = [1, 1]
            self.groups, self.cg, self.og = 1, one(1, 80), one(1, 80)
        elif kind < 0.4:  # depthwise, with a multiplier now and then
            self.groups, self.cg, self.og = one(1, 70), 1, one(1, 10) // 9 + 1
            self.kernel = [3, 3] if self.rng.random() < 0.6 else some(1, 5)
        elif kind < 0.5:  # a first layer
            self.size, self.kernel, self.stride = some(9, 25), [7, 7], [2, 2]
            self.groups, self.cg, self.og = 1, one(1, 4), one(1, 70)
        elif kind < 0.6:  # wide
            self.kernel, self.dilation = [3, 3], [1, 1]
            self.groups, self.cg, self.og = one(1, 2), one(16, 70), one(16, 70)
        elif kind < 0.7:  # the kernel is larger than the input, one output
            self.size = some(1, 4)
            self.before, self.after = some(0, 4), some(0, 4)
            self.kernel = [s + b + a for s, b, a in zip(self.size, self.before, self.after)]
            self.dilation = [1, 1]
        self.output_pad = [0, 0]
        if self.transposed and self.rng.random() < 0.5:
            self.output_pad = [one(0, max(s, d) - 1) for s, d in zip(self.stride, self.dilation)]

    def span(self, axis):
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def count(self, axis):
        pads = self.before[axis] + self.after[axis]
        if self.transposed:
            return ((self.size[axis] - 1) * self.stride[axis] + self.span(axis) +
                    self.output_pad[axis] - pads)
        padded = self.size[axis] + pads
        return (padded - self.span(axis)) // self.stride[axis] + 1 if padded >= self.span(axis) else 0

    def text(self):
        pair = lambda letter, h, w: "%s%d" % (letter, h) if h == w else "%s%dx%d" % (letter, h, w)
        pads = [*self.before, *self.after]
        words = ["%dx%dx%dx%d" % (self.batch, *self.size, self.groups * self.cg),
                 "%dx%dx%d" % (self.groups * self.og, *self.kernel), pair("s", *self.stride)]
        words.append("p%d" % pads[0] if len(set(pads)) == 1 else "p%dx%dx%dx%d" % tuple(pads))
        if self.dilation != [1, 1]:
            words.append(pair("d", *self.dilation))
        return " ".join([*words, "g%d" % self.groups])

    def arguments(self):
        """The options, those of defaults left out or not, one number for several or not."""
        given = []

        def say(option, values, default):
            """values in the command's order; in 1-D only those of the width"""
            if self.flat:
                values = values[1::2]
            if all(v == default for v in values) and self.rng.random() < 0.7:
                return
            if len(set(values)) == 1 and self.rng.random() < 0.6:
                values = values[:1]
            given.extend([option, ",".join(str(v) for v in values)])

        say("--stride", self.stride, 1)
        say("--dilation", self.dilation, 1)
        say("--pad", [*self.before, *self.after], 0)
        if self.transposed:
            given.append("--transposed")
            say("--output-pad", self.output_pad, 0)
        if self.groups != 1 or self.rng.random() < 0.3:
            given.append("--groups=%d" % self.groups)
        if self.layout != "nhwc" or self.rng.random() < 0.3:
            given += ["--layout", self.layout]
        return given


def sums(g, x, w):
    """x [N,H,W,C] and w [O,KH,KW,C/groups], both less their zero points: the sums without bias,
    [N,OH,OW,O]. A tap of all pixels at once."""
    n, h, width, _ = x.shape
    oh, ow = g.outputs
    x = x.reshape(n, h, width, g.groups, g.cg)
    w = w.reshape(g.groups, g.og, *g.kernel, g.cg)

    def window(axis, tap, count):
        """'count' places, a stride apart, from that of this tap"""
        start = tap * g.dilation[axis]
        return slice(start, start + (count - 1) * g.stride[axis] + 1, g.stride[axis])

    def product(pixels, i, j):
        return np.einsum("nhwgc,goc->nhwgo", pixels, w[:, :, i, j, :])

    taps = [(i, j) for i in range(g.kernel[0]) for j in range(g.kernel[1])]
    if g.transposed:
        whole = [o + b + a for o, b, a in zip(g.outputs, g.before, g.after)]
        acc = np.zeros((n, *whole, g.groups, g.og), np.int64)
        for i, j in taps:
            acc[:, window(0, i, h), window(1, j, width)] += product(x, i, j)
        acc = acc[:, g.before[0]:g.before[0] + oh, g.before[1]:g.before[1] + ow]
    else:
        pads = [(0, 0), *zip(g.before, g.after), (0, 0), (0, 0)]
        x = np.pad(x, pads)
        acc = np.zeros((n, oh, ow, g.groups, g.og), np.int64)
        for i, j in taps:
            acc += product(x[:, window(0, i, oh), window(1, j, ow)], i, j)
    return acc.reshape(n, oh, ow, g.groups * g.og)


class Convolution(Case):
    """Operands, arguments and what NumPy gives."""

    verb = "conv"

    def __init__(self, rng, folder):
        super().__init__(rng, folder)
        g = self.geometry = Geometry(rng)
        columns = g.groups * g.og
        x = self.operand(self.types[0], (g.batch, *g.size, g.groups * g.cg))
        w = self.operand(self.types[1], (columns, *g.kernel, g.cg))
        a_zero = self.zero("--a-zero", self.types[0], 1, True)
        b_zero = self.zero("--b-zero", self.types[1], columns, False).reshape(-1, 1, 1, 1)
        acc = sums(g, x.astype(np.int64) - a_zero, w.astype(np.int64) - b_zero)
        y = self.output(wrap(acc + self.bias(columns)))
        self.expected = self.laid_out(y)
        self.report = {"shape": g.text(), "layout": g.layout, "transposed": g.transposed,
                       "output_pad": g.output_pad, "output": list(self.expected.shape)}
        self.arguments += g.arguments()
        self.finish([self.save("x", self.laid_out(x)), self.save("w", self.weights(w))])

    def laid_out(self, array):
        """[N,H,W,C] in the case's layout and number of dimensions"""
        array = array[:, 0] if self.geometry.flat else array
        return np.moveaxis(array, -1, 1) if self.geometry.layout == "nchw" else array

    def weights(self, w):
        g = self.geometry
        if g.layout == "nchw" and g.transposed:  # ONNX's: [C, O/groups, KH, KW]
            w = w.reshape(g.groups, g.og, *g.kernel, g.cg).transpose(0, 4, 1, 2, 3)
            w = w.reshape(g.groups * g.cg, g.og, *g.kernel)
        elif g.layout == "nchw":
            w = np.moveaxis(w, -1, 1)
        if not g.flat:
            return w
        return w[:, :, 0] if g.layout == "nchw" else w[:, 0]

    def spread(self, values, per_row):
        """The same values in one of the shapes that are accepted."""
        shapes = [(-1,), (1, -1), (-1, 1, 1, 1), (1, -1, 1, 1)]
        if values.size == 1:
            shapes.append(())
        return values.reshape(shapes[self.rng.integers(0, len(shapes))])

    def serves(self, row):
        name = row.split("/")[1]
        return name.startswith("conv_") or (name.startswith("depthwise_") and self.geometry.cg == 1)


def refusals(check, cpu_rows):
    rng = np.random.default_rng(7)
    made = {
        "x": rng.integers(0, 255, (2, 5, 6, 4)).astype(np.uint8),
        "w": rng.integers(-128, 127, (6, 3, 2, 4)).astype(np.int8),
        "x_nchw": rng.integers(0, 255, (2, 4, 5, 6)).astype(np.uint8),
        "w_onnx": rng.integers(-128, 127, (4, 6, 3, 2)).astype(np.int8),
        "x_flat": rng.integers(0, 255, (2, 6, 4)).astype(np.uint8),
        "w_flat": rng.integers(-128, 127, (6, 2, 4)).astype(np.int8),
        "matrix": np.zeros((5, 6), np.uint8),
        "x_i32": np.zeros((2, 5, 6, 4), np.int32),
        "x_none": np.zeros((2, 0, 6, 4), np.uint8),
        "w_none": np.zeros((0, 3, 2, 4), np.int8),
        "w_f32": np.zeros((6, 3, 2, 4), np.float32),
        "w_three": np.zeros((6, 3, 2, 3), np.int8),
        "w_tall": np.zeros((6, 6, 2, 4), np.int8),
        "w_wide": np.zeros((6, 3, 7, 4), np.int8),
        "bias": np.zeros(6, np.int32),
        "bias7": np.zeros(7, np.int32),
        "bias_f32": np.zeros(6, np.float32),
        "grid": np.zeros((2, 3), np.int32),
        "zeros200": np.full(6, 200, np.uint8),
        "scale_nan": np.full(6, np.nan, np.float32),
        "pixels": np.zeros(2 * 3 * 5, np.int32),
    }
    file = {name: check.path(name + ".npy") for name in made}
    for name, array in made.items():
        np.save(file[name], array)
    x, w = file["x"], file["w"]

    def conv(name, named, *arguments, x=x, w=w):
        check.refuse(name, named, ["conv", x, w, "-o", "OUT", *arguments])

    def good(name, *arguments, x=x, w=w):
        done = check.run("conv", x, w, "-o", check.path("good.npy"), "--device", "cpu", *arguments)
        check.result("good: " + name, done.returncode and done.stderr)

    good("the arguments that refusals start from")
    good("an output of one pixel", "--dilation", "2,5")
    good("nchw, transposed", "--layout", "nchw", "--transposed", x=file["x_nchw"], w=file["w_onnx"])
    good("1-D", "--pad", "1,0", x=file["x_flat"], w=file["w_flat"])
    check.refuse_damaged("conv", [("X", x), ("W", w)], [x, w])

    check.refuse("no files", "X.npy", ["conv", "-o", "OUT"])
    check.refuse("one file", "W.npy", ["conv", x, "-o", "OUT"])
    check.refuse("no output", "Y.npy", ["conv", x, w])
    conv("no such file", "X '/nonexistent.npy'", x="/nonexistent.npy")
    conv("X of two dimensions", "shape [5,6]: expected [N,H,W,I] or [N,W,I]", x=file["matrix"])
    conv("X int32", "dtype int32", x=file["x_i32"])
    conv("X without rows", "at least 1", x=file["x_none"])
    conv("W without channels", "at least 1", w=file["w_none"])
    conv("W float32", "dtype float32", w=file["w_f32"])
    conv("W of two dimensions", "W '%s'" % file["matrix"], w=file["matrix"])
    conv("X 1-D, W not", "expected [O,KW,I/groups]", x=file["x_flat"])
    conv("W 1-D, X not", "expected [O,KH,KW,I/groups]", w=file["w_flat"])
    conv("W of other channels", "I/groups = 4", w=file["w_three"])
    conv("W of no group's channels", "I/groups = 2", "--groups", "2")
    conv("the other layout", "I/groups = 5", "--layout", "nchw")
    conv("ONNX's transposed weights", "I = 4", "--layout", "nchw", "--transposed", x=file["x_nchw"],
         w=file["w"])
    conv("groups no divisor of I", "--groups: ", "--groups", "3")
    conv("groups no divisor of O", "--groups: ", "--groups", "4")
    conv("an empty output, rows", "X '%s': H: the output is empty" % x, w=file["w_tall"])
    conv("an empty output, columns", "X '%s': W: the output is empty" % x, w=file["w_wide"])
    conv("an empty output, dilated", "H: the output is empty", "--dilation", "3")
    conv("an empty output, transposed", "W: the output is empty", "--transposed", "--pad", "0,4,0,4")
    conv("too large an output", "-o: ", "--pad", "2147483647")
    conv("more than fits in memory", "-o: ", "--pad", "200000000")
    conv("--layout", "--layout 'hwcn'", "--layout", "hwcn")
    for option in ("--stride", "--dilation"):
        for bad in ("0", "-1", "1,0", "1,2,3", "1,", ",1", "x", "1x1", "2147483648", "1 1"):
            conv("%s %s" % (option, bad), "%s '%s'" % (option, bad), option + "=" + bad)
        conv(option + " of two numbers, 1-D", "one number", option, "1,2", x=file["x_flat"],
             w=file["w_flat"])
    for bad in ("-1", "1,1", "1,1,1", "1,1,1,1,1", "1,1,1,", "x", "0,0,0,2147483648"):
        conv("--pad " + bad, "--pad '%s'" % bad, "--pad=" + bad)
    conv("--pad of four numbers, 1-D", "LEFT,RIGHT", "--pad", "1,1,1,1", x=file["x_flat"],
         w=file["w_flat"])
    for bad in ("0", "-2", "1,1", "x", "2147483648"):
        conv("--groups " + bad, "--groups '%s'" % bad, "--groups=" + bad)
    conv("--output-pad, not transposed", "--transposed", "--output-pad", "1")
    conv("--output-pad as the stride", "--output-pad: H: ", "--transposed", "--output-pad", "2",
         "--stride", "2")
    conv("--output-pad as the stride, columns", "--output-pad: W: ", "--transposed", "--output-pad",
         "1,3", "--stride", "2,3")
    conv("--output-pad -1", "--output-pad '-1'", "--transposed", "--output-pad=-1")
    conv("--a-zero out of range", "--a-zero", "--a-zero", "256")
    conv("--a-zero a pixel", "expected 1 value", "--a-zero", file["pixels"])
    conv("--b-zero out of range", "--b-zero", "--b-zero", "128")
    conv("--b-zero uint8 out of int8's range", "value 0 is 200", "--b-zero", file["zeros200"])
    conv("--b-zero of another length", "1 or 6 values, one an output channel", "--b-zero", file["bias7"])
    conv("--bias of another length", "6 values, one an output channel", "--bias", file["bias7"])
    conv("--bias of two dimensions", "shape [2,3]", "--bias", file["grid"])
    conv("--bias float32", "float32", "--bias", file["bias_f32"])
    conv("--scale with s32", "--scale", "--scale", "2")
    conv("--scale nan", "value 0 is nan", "--out", "u8", "--scale", file["scale_nan"])
    conv("--scale int32", "int32", "--out", "u8", "--scale", file["bias"])
    conv("--bias-f without f32", "--bias-f", "--out", "u8", "--bias-f", file["bias_f32"])
    conv("--row-scale is not of a convolution", "--row-scale", "--out", "f32", "--row-scale", "2")
    conv("--clamp", "--clamp", "--out", "u8", "--clamp", "5,4")
    conv("--device", "nope", "--device", "nope")
    conv("--kernel, none such", "conv_none", "--kernel", "cpu/conv_none")
    for row in cpu_rows:
        if not row.startswith("cpu/conv_"):
            conv("--kernel of other ops: " + row, row, "--device", "cpu", "--kernel", row)
    conv("--json is -o", "--json", "--json", "OUT")
    conv("--json in no directory", "--json", "--json", "/nonexistent/x.json")
    check.refuse("-o in no directory", "-o", ["conv", x, w, "-o", "/nonexistent/y.npy"])
    check.refuse("-o a full device", "-o '/dev/full'", ["conv", x, w, "-o", "/dev/full"])

    def explain(name, named, *arguments):
        check.refuse("explain " + name, named, ["explain", *arguments])

    spec = "1x5x6x4 6x3x2 p1"
    done = check.run("explain", "--device", "cpu", "--conv", spec, "--layout", "nchw")
    chosen = [line for line in done.stdout.splitlines() if line.startswith("* cpu  ")]
    check.result("explain --conv", (done.returncode or len(chosen) != 1) and done.stdout + done.stderr)
    for bad in ("1x5x6", "1x5x6x4", "1x5x6x4 6x3", "1x5x6x4 6x3x2 q1", "1x5x6x4 6x3x2 p1,1", "x y"):
        explain("--conv " + bad, "--conv '%s'" % bad, "--conv", bad)
    explain("groups", "groups: ", "--conv", spec + " g3")
    explain("an empty output", "the output is empty", "--conv", "1x5x6x4 6x9x2")
    explain("a shape and a convolution", "--conv", "--conv", spec, "--shape", "2x2x2")
    explain("--layout", "--layout 'hwcn'", "--conv", spec, "--layout", "hwcn")
    explain("--layout of a product", "--layout", "--shape", "2x2x2", "--layout", "nchw")
    explain("--transposed of a product", "--transposed", "--shape", "2x2x2", "--transposed")
    explain("--one-shot of a convolution", "--one-shot", "--conv", spec, "--one-shot")
    explain("--output-pad, not transposed", "--transposed", "--conv", spec, "--output-pad", "1")
    explain("--output-pad", "output_pad", "--conv", spec, "--transposed", "--output-pad", "1")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    parser.add_argument("--cases", type=int, default=200, help="random convolutions (default 200)")
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
            check.everywhere(i, Convolution(rng, operands), devices)
        refusals(check, dict(devices).get("cpu", []))
        return check.finish() if devices else 1


if __name__ == "__main__":
    sys.exit(main())
