"""What gemm_numpy.py and conv_numpy.py share: random operands in .npy files, the output stages in
NumPy, runs of the command on every device, refusals, damaged files."""
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True

try:
    import numpy as np
    from numpy.lib import format as npy_format
except ImportError:
    sys.exit("no numpy for %s: install python3-numpy" % sys.executable)

RANGE = {"u8": (0, 255), "s8": (-128, 127)}
DTYPE = {"u8": np.uint8, "s8": np.int8, "s32": np.int32, "f32": np.float32}


def wrap(values):
    """int64 to int32, modulo 2^32."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


ROUNDINGS = ["rne", "rne-zero-first", "q31-double-away", "q31-double-up", "q31-single-up", "mant24-up"]


def double_rounding(acc, multiplier, shift, away):
    """gemmlowp's two steps, in int64: SaturatingRoundingDoublingHighMul, RoundingDivideByPOT."""
    right = np.maximum(-shift, 0)
    product = wrap(acc << np.maximum(shift, 0)).astype(np.int64) * multiplier
    nudged = product + np.where(product >= 0, 2**30, 1 - 2**30)
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    if not away:
        return (high + ((1 << right) >> 1)) >> right
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


class Case:
    """One op: its arguments and files. A subclass sets arguments, expected, report (fields of the
    JSON), and says in spread() which shapes the values beside the operands may have. Columns
    (output channels) are the last dimension."""

    verb = ""

    def __init__(self, rng, folder):
        self.rng = rng
        self.folder = folder
        self.arguments = []
        self.types = [rng.choice(["u8", "s8"]) for _ in range(2)]
        self.out = rng.choice(["s32", "f32", "s8", "u8"])

    def spread(self, values, per_row):
        raise NotImplementedError

    def serves(self, row):
        """Can the command be asked for this row?"""
        raise NotImplementedError

    def finish(self, files):
        """The operands, and the output's type, which may be left out where it is the default."""
        self.arguments = files + self.arguments
        if self.out != "s32" or self.rng.random() < 0.5:
            self.arguments += ["--out", self.out]

    def operand(self, name, shape):
        lo, hi = RANGE[name]
        if self.rng.random() < 0.3:
            return self.rng.choice([lo, hi], shape).astype(DTYPE[name])
        return self.rng.integers(lo, hi + 1, shape).astype(DTYPE[name])

    def save(self, name, array):
        path = os.path.join(self.folder, name + ".npy")
        array = np.asarray(array)
        if array.ndim >= 2:
            order = np.asfortranarray if self.rng.random() < 0.5 else np.ascontiguousarray
            array = order(array)
        version = (1, 0) if self.rng.random() < 0.5 else (2, 0)
        with open(path, "wb") as file:
            npy_format.write_array(file, array, version=version)
        return path

    def zero(self, option, type_name, count, per_row):
        """0 or 1 or 'count' zero points, as int64."""
        lo, hi = RANGE[type_name]
        kind = self.rng.integers(0, 4)
        if kind == 0:
            return np.zeros(1, np.int64)
        values = self.rng.integers(lo, hi + 1, count)
        if self.rng.random() < 0.2:
            values = self.rng.choice([lo, hi], count)
        if kind < 3:
            values = values[:1]
        if kind == 1:
            self.arguments.append("%s=%d" % (option, values[0]))
            return values
        dtype = np.int32 if self.rng.random() < 0.5 else DTYPE[type_name]
        stored = self.spread(values.astype(dtype), per_row)
        self.arguments += [option, self.save(option[2:], stored)]
        return values.astype(np.int64)

    def bias(self, columns):
        if self.rng.random() < 0.5:
            return 0
        size = 2**31 if self.rng.random() < 0.3 else 10000
        values = self.rng.integers(-size, size, columns).astype(np.int32)
        self.arguments += ["--bias", self.save("bias", self.spread(values, False))]
        return values.astype(np.int64)

    def floats(self, option, count, per_row, lo, hi, positive=False):
        signs = 1 if positive else self.rng.choice([-1, 1], count)
        values = (self.rng.uniform(lo, hi, count) * signs).astype(np.float32)
        self.arguments += [option, self.save(option[2:], self.spread(values, per_row))]
        return values

    def scale(self, size, columns, positive=False):
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
        return self.floats("--scale", columns, False, 0.1 * size, 3 * size, positive)

    def output(self, acc, rows=None):
        """The stages of qdot.h, each step a float32 operation; rows: that may have a scale each."""
        if self.out == "s32":
            return acc
        columns = acc.shape[-1]
        size = 100.0 / max(1.0, float(np.abs(acc.astype(np.float64)).mean()))
        if self.out == "f32":
            scaled = acc.astype(np.float32) * self.scale(1e-3, columns)
            if rows and self.rng.random() < 0.5:
                scaled = scaled * self.floats("--row-scale", rows, True, 0.01, 2).reshape(-1, 1)
            if self.rng.random() < 0.5:
                scaled = scaled + self.floats("--bias-f", columns, False, 0, 1000)
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
        return np.clip(self.rounded(acc, size, zero), lo, hi).astype(DTYPE[self.out])

    def multipliers(self, size, columns):
        """One for all or one a column: any, the ends of the range, and 0; the scale is about 'size'."""
        count = columns if self.rng.random() < 0.5 else 1
        multiplier = self.rng.integers(2**30, 2**31, count)
        if self.rng.random() < 0.3:
            multiplier = self.rng.choice([0, 2**30, 3 * 2**29, 2**31 - 1], count)
        shift = int(np.floor(np.log2(size))) + self.rng.integers(-1, 3, count)
        if self.rng.random() < 0.2:
            shift = self.rng.integers(-31, 31, count)
        shift = np.clip(shift, -31, 30)
        for option, values in (("--multiplier", multiplier), ("--shift", shift)):
            text = str(values[0])
            if count > 1 or self.rng.random() < 0.5:
                text = self.save(option[2:], self.spread(values.astype(np.int32), False))
            self.arguments += ["%s=%s" % (option, text)]
        return multiplier.astype(np.int64), shift.astype(np.int64)

    def rounded(self, acc, size, zero):
        """By one of the roundings of qdot.h; integers in int64."""
        columns = acc.shape[-1]
        name = self.rng.choice(ROUNDINGS)
        if name != "rne" or self.rng.random() < 0.3:
            self.arguments += ["--rounding", name]
        wide = acc.astype(np.int64)
        if name.startswith("q31"):
            multiplier, shift = self.multipliers(size, columns)
            if name == "q31-single-up":
                return ((wide * multiplier + (1 << (30 - shift))) >> (31 - shift)) + zero
            return double_rounding(wide, multiplier, shift, name == "q31-double-away") + zero
        if name == "mant24-up":
            scale = self.scale(min(max(size, 2.0**-30), 64), columns, positive=True)
            bits = np.asarray(scale, np.float32).view(np.int32).astype(np.int64)
            mantissa, right = bits & 0x7FFFFF | 0x800000, 150 - (bits >> 23)
            return ((wide * mantissa + (1 << (right - 1))) >> right) + zero
        scaled = (acc.astype(np.float32) * self.scale(size, columns)).astype(np.float32)
        if name == "rne-zero-first":
            return np.rint((scaled + np.float32(zero)).astype(np.float32))
        # float64 holds every rounded float32 product plus a zero point that does not saturate.
        return np.rint(scaled).astype(np.float64) + zero


class Check:
    def __init__(self, qdot, folder):
        self.qdot = os.path.abspath(qdot)
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
            found.append((device["name"], [row["name"] for row in device["rows"] if row["admitted"]]))
        return found

    def everywhere(self, i, case, devices):
        """A case on every device, by a row that goes round; now and then by choice."""
        for name, rows in devices:
            rows = [row for row in rows if case.serves(row)]
            if not rows:
                self.result(name, "a device without an admitted row")
                continue
            extra = ["--device", name, "--kernel", rows[i % len(rows)]]
            if i % 7 == 6:
                extra = ["--device", name]
            if name == "cpu":
                extra += ["--threads", str(1 + i % 3)]
            self.compare(case, "case %d, %s" % (i, " ".join(extra)), extra)
        if i % 10 == 0:
            self.compare(case, "case %d, auto" % i, ["--device", "auto"])

    def compare(self, case, name, extra):
        out, report = self.path("out.npy"), self.path("out.json")
        for path in (out, report):
            if os.path.exists(path):
                os.unlink(path)
        arguments = [case.verb, *case.arguments, "-o", out, "--json", report, *extra]
        done = self.run(*arguments)
        said = " ".join([os.path.basename(self.qdot), *arguments])
        if done.returncode != 0:
            return self.result(name, "exit status %d: %s: %s" % (done.returncode, done.stderr, said))
        try:
            got = np.load(out)
        except ValueError as error:
            return self.result(name, "NumPy cannot read its output: %s: %s" % (error, said))
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
        wanted = {"types": "".join(case.types), "out": case.out, **case.report}
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

    def refuse_damaged(self, verb, operands, good):
        """Damaged files in the place of each operand, (name, path) twice, and of the bias."""
        for name, content, says in damaged_files():
            path = self.path("damaged.npy")
            with open(path, "wb") as out:
                out.write(content)
            for place, _ in operands:
                files = [path if other == place else whole for other, whole in operands]
                self.refuse("%s: %s" % (place, name), says, [verb, *files, "-o", "OUT"])
                self.refuse("%s: %s: which" % (place, name), "%s '%s'" % (place, path),
                            [verb, *files, "-o", "OUT"])
            self.refuse("--bias: " + name, "--bias '%s'" % path,
                        [verb, *good, "-o", "OUT", "--bias", path])
            os.unlink(path)

    def finish(self):
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        return 0 if self.failed == 0 and self.passed > 0 else 1


def header_bytes(text, major=1, minor=0):
    head = text.encode("latin1")
    pad = -(10 + len(head) + 1) % 64
    head += b" " * pad + b"\n"
    return b"\x93NUMPY" + bytes([major, minor]) + len(head).to_bytes(2 if major == 1 else 4, "little") + head


def damaged_files():
    """(name, bytes, what the error must say) of files that are no array of 16 int8 values."""
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
        "overflowing shape of four": ("(65536, 65536, 65536, 65536)", "overflows"),
        "overflowing number": ("(99999999999999999999, 1)", "overflows"),
        "a shape beyond the file": ("(4, 5)", "truncated"),
        "a shape far beyond the file": ("(1000000000, 1000000000)", "truncated"),
        "a shape short of the file": ("(2, 1, 2, 3)", "4 bytes after"),
        "five dimensions": ("(1, 2, 2, 2, 2)", "4 dimensions"),
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
