#!/usr/bin/env python3
"""'qdot quantize' and 'qdot dequantize' against ONNX Runtime's CPU provider: QuantizeLinear, DequantizeLinear
and DynamicQuantizeLinear of random arrays, by tensor, by axis and by block. No value may differ.

usage: quantize.py QDOT [--values N] [--seed S] [--device D[,D]]

Each type of each op and granularity is compared at N values (100,000) or more, ties, values next to ties and
saturation included. By blocks and of 4 bits quotients stay below 2^31: from there on the runtime's plain loops
overflow in the conversion to int32, where the operator saturates. 4-bit values go through the runtime as (q - 0) * 1, as NumPy has no such type.
Needs the Python environment of ci/onnxruntime.sh.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common import oracle_line

TYPES = {"u8": (TensorProto.UINT8, np.uint8, 0, 255), "s8": (TensorProto.INT8, np.int8, -128, 127),
         "u16": (TensorProto.UINT16, np.uint16, 0, 65535), "s16": (TensorProto.INT16, np.int16, -32768, 32767),
         "u4": (TensorProto.UINT4, np.uint8, 0, 15), "s4": (TensorProto.INT4, np.int8, -8, 7),
         "s32": (TensorProto.INT32, np.int32, -(2**31), 2**31 - 1)}  # fmt: skip
SPREADS = ("tensor", "axis", "block")


def integers(name, type_name, values):
    """An initializer; two values a byte where they have 4 bits."""
    kind, dtype, _, _ = TYPES[type_name]
    if kind in (TensorProto.UINT4, TensorProto.INT4):
        nibbles = values.reshape(-1).astype(np.uint8) & 15
        nibbles = np.append(nibbles, np.zeros(nibbles.size % 2, np.uint8))
        packed = nibbles[::2] | nibbles[1::2] << 4
        return helper.make_tensor(name, kind, values.shape, packed.astype(np.uint8).tobytes(), raw=True)
    return numpy_helper.from_array(values.astype(dtype), name)


def run(nodes, feeds, constants, outputs):
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feeds.items()]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info(n, t, None) for n, t in outputs],
                              constants)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


class Check:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.passed = self.failed = 0

    def path(self, name):
        return os.path.join(self.folder, name + ".npy")

    def save(self, name, array):
        np.save(self.path(name), array)
        return self.path(name)

    def qdot(self, *arguments):
        done = subprocess.run([self.options.qdot, *arguments, "-o", self.path("out")], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)}: {done.stderr}")
        return np.load(self.path("out"))

    def compare(self, what, pairs, ties=None, saturated=None):
        """Of (got, expected): bits are compared."""
        count = sum(e.size for _, e in pairs)
        unlike = 0
        for got, expected in pairs:
            if got.dtype != expected.dtype or got.size != expected.size:
                unlike += expected.size
            else:
                bits = f"u{got.itemsize}"
                unlike += int(np.count_nonzero(got.reshape(-1).view(bits) != expected.reshape(-1).view(bits)))
        oracle_line(f"ONNX Runtime {ort.__version__}", what, count, ties, saturated, unlike)
        if unlike or ties == 0 or saturated == 0:
            print(f"FAIL {what}")
            self.failed += 1
        else:
            self.passed += 1


def parameters(rng, spread, shape, type_name):
    """Scales and zeros as the runtime takes them, as NumPy spreads them, and options of the command."""
    _, _, lo, hi = TYPES[type_name]
    block = 16
    sizes = {"tensor": (), "axis": (shape[1],), "block": (shape[0], shape[1] // block, shape[2])}[spread]
    scale = rng.uniform(0.001, 2, sizes).astype(np.float32)
    if rng.random() < 0.5:  # ties that are exact
        scale = np.exp2(np.rint(np.log2(scale))).astype(np.float32)
    zero = rng.integers(lo, hi + 1, sizes) if type_name != "s32" else np.zeros(sizes, np.int64)
    attributes = {"tensor": {}, "axis": {"axis": 1}, "block": {"axis": 1, "block_size": block}}[spread]
    extra = {"tensor": [], "axis": ["--axis", "1"], "block": ["--axis", "1", "--group", str(block)]}[spread]

    def wide(a):
        if spread == "axis":
            return np.broadcast_to(a.reshape(1, -1, 1), shape)
        return np.repeat(a, block, 1) if spread == "block" else np.broadcast_to(a, shape)

    return scale, zero, wide, attributes, extra


def numbers(rng, shape, scale, zero, lo, hi):
    whole = rng.uniform(lo - zero - (hi - lo) / 4, hi - zero + (hi - lo) / 4)
    ties = np.floor(whole) + 0.5
    x = (np.where(rng.random(shape) < 0.5, ties, whole) * scale).astype(np.float32)
    beside = np.nextafter(x, np.where(rng.random(shape) < 0.5, np.inf, -np.inf).astype(np.float32))
    x = np.where(rng.random(shape) < 0.3, beside, x)
    special = rng.choice(np.array([np.inf, -np.inf, 0, -0.0, 3e38, -3e38, 1e-45, 1e-38], np.float32), shape)
    return np.where(rng.random(shape) < 0.01, special, x).astype(np.float32)


def linear(check, rng, device, type_name, spread, back):
    kind, dtype, lo, hi = TYPES[type_name]
    shape = (5, 64, 101)
    four, pairs = type_name in ("u4", "s4"), []
    ties = saturated = 0
    while sum(e.size for _, e in pairs) < check.options.values:
        scale, zero, wide, attributes, extra = parameters(rng, spread, shape, type_name)
        constants = [numpy_helper.from_array(scale, "scale"), integers("zero", type_name, zero)]
        files = ["--scale", check.save("scale", scale), "--device", device, *extra]
        if type_name != "s32":
            files += ["--zero", check.save("zero", zero.astype(np.int32)), "--type", type_name]
        if back:
            q = rng.integers(lo, hi + 1, shape)
            constants.append(integers("q", type_name, q))
            names = ["q", "scale"] + ([] if type_name == "s32" else ["zero"])
            node = helper.make_node("DequantizeLinear", names, ["y"], **attributes)
            want = run([node], {}, constants if type_name != "s32" else [constants[0], constants[2]],
                       [("y", TensorProto.FLOAT)])[0]  # fmt: skip
            got = check.qdot("dequantize", check.save("q", q.astype(dtype)), *files)
        else:
            x = numbers(rng, shape, wide(scale), wide(zero), lo, hi)
            if spread == "block" or four:
                x = np.where(np.abs(x / wide(scale)) < 2.0**31, x, np.float32(1))
            quotients = x / wide(scale)
            ties += int(np.count_nonzero(np.abs(quotients - np.trunc(quotients)) == 0.5))
            rounded = np.rint(quotients) + wide(zero)
            saturated += int(np.count_nonzero((rounded < lo) | (rounded > hi)))
            nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"], **attributes)]
            outputs = [("y", kind)]
            if four:
                one = numpy_helper.from_array(np.float32(1), "one")
                constants += [one, integers("none", type_name, np.zeros((), np.int64))]
                nodes.append(helper.make_node("DequantizeLinear", ["y", "one", "none"], ["z"]))
                outputs = [("z", TensorProto.FLOAT)]
            want = run(nodes, {"x": x}, constants, outputs)[0].astype(dtype)
            got = check.qdot("quantize", check.save("x", x), *files)
        pairs.append((got, want))
    name = "DequantizeLinear" if back else "QuantizeLinear"
    check.compare(f"{name} {type_name} by {spread} on {device}", pairs, *([] if back else [ties, saturated]))


def dynamic(check, rng, device):
    pairs = []
    while sum(e.size for _, e in pairs) < check.options.values:
        shape = (int(rng.integers(1, 40)), int(rng.integers(1, 1000)))
        x = rng.normal(rng.choice([0, 3, -3, 30]), rng.uniform(0.01, 10), shape).astype(np.float32)
        if rng.random() < 0.05:
            x[:] = 0
        node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"])
        outputs = [("y", TensorProto.UINT8), ("scale", TensorProto.FLOAT), ("zero", TensorProto.UINT8)]
        want = run([node], {"x": x}, [], outputs)
        got = check.qdot("quantize", check.save("x", x), "--dynamic", "--scale-out", check.path("s"), "--zero-out",
                         check.path("z"), "--device", device)  # fmt: skip
        pairs += zip([got, np.load(check.path("s")), np.load(check.path("z"))], want, strict=True)
    check.compare(f"DynamicQuantizeLinear on {device}", pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdot")
    parser.add_argument("--values", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu,opencl:0,vulkan:0")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        check = Check(options, folder)
        for device in options.device.split(","):
            for spread in SPREADS:
                for type_name in TYPES:
                    if type_name != "s32":
                        linear(check, rng, device, type_name, spread, False)
                    linear(check, rng, device, type_name, spread, True)
            dynamic(check, rng, device)
    print(f"{check.passed} passed, {check.failed} failed, 0 skipped")
    return check.failed > 0


if __name__ == "__main__":
    sys.exit(main())
