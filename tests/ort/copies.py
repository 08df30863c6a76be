#!/usr/bin/env python3
"""On a device with memory of its own: what crosses between it and the host in one run of a model. Only the graph's
inputs and outputs may, and no value may differ from ONNX Runtime's CPU provider. Of the models given, or of one with
every op that has a form on a device; outputs bound to device memory do not cross.

usage: copies.py LIBRARY --device NAME [MODEL ...]
"""

import argparse
import os
import re
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from common import NAME, Graph, differing, register
from ops import Quantised, weights

LINE = re.compile(r"copied so far: (\d+) tensors of (\d+) bytes in, (\d+) of (\d+) out")
HOST = re.compile(r"note\] (\S+: \d+ bytes to the host)")


class Log:
    """What is written to stderr meanwhile; the runtime's log goes there."""

    def __enter__(self):
        self.file, self.kept = tempfile.TemporaryFile(), os.dup(2)
        os.dup2(self.file.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self.kept, 2)
        self.file.seek(0)
        self.text = self.file.read().decode(errors="replace")


def session(model, devices):
    o = ort.SessionOptions()
    o.log_severity_level = 0 if devices else 3
    o.add_session_config_entry("session.qdqisint8allowed", "1")
    if devices:
        o.add_provider_for_devices(devices, {})
    return ort.InferenceSession(model, o, providers=None if devices else ["CPUExecutionProvider"])


def totals(log):
    found = LINE.findall(log.text)
    if not found:
        sys.exit(f"no line of {NAME} in the session's log")
    return np.array([int(v) for v in found[-1]])


def crossing(mine, feeds):
    """Of a second run: tensors and bytes in, tensors and bytes out; which steps took tensors to the host."""
    with Log() as first:
        mine.run(None, feeds)
    with Log() as second:
        got = mine.run(None, feeds)
    return got, totals(second) - totals(first), HOST.findall(second.text)


def check(name, model, feeds, devices):
    with Log():
        mine = session(model, devices)
    want = session(model, None).run(None, feeds)
    got, (n_in, bytes_in, n_out, bytes_out), steps = crossing(mine, feeds)
    wrong, total = differing(got, want)
    extra = (n_in - len(feeds), n_out - len(want))
    print(f"{name:24} {n_in} in of {bytes_in} bytes, {n_out} out of {bytes_out}; {wrong} of {total} values differ", flush=True)
    for step in sorted(set(steps)):
        print(f"    {steps.count(step)} x {step}")
    return wrong != 0 or extra != (0, 0)


def bound(model, feeds, devices):
    """Input and output bound to device memory do not cross, but where they are filled and read."""
    with Log():
        mine = session(model, devices)
    want = mine.run(None, feeds)[0]
    there = {"memory_info": devices[0].memory_info(ort.OrtDeviceMemoryType.DEFAULT)}
    ((name, value),) = feeds.items()
    x = ort.OrtValue.ortvalue_from_shape_and_type(value.shape, value.dtype, **there)
    y = ort.OrtValue.ortvalue_from_shape_and_type(want.shape, want.dtype, **there)
    x.update_inplace(value)
    binding = mine.io_binding()
    binding.bind_ortvalue_input(name, x)
    binding.bind_ortvalue_output(mine.get_outputs()[0].name, y)
    with Log() as first:
        mine.run_with_iobinding(binding)
    with Log() as second:
        mine.run_with_iobinding(binding)
    crossed = totals(second) - totals(first)
    again = ort.OrtValue.ortvalue_from_shape_and_type(want.shape, want.dtype, **there)
    ort.copy_tensors([y], [again])
    wrong = sum(differing([v.numpy()], [want])[0] for v in (y, again))
    print(f"{'bound to the device':24} {crossed[0]} in, {crossed[2]} out; {wrong} of {want.size} values differ")
    return crossed.any() or wrong != 0


def every_op():
    """A network whose every step has a form on a device."""
    rng = np.random.default_rng(7)
    g = Graph()
    q = Quantised(rng, g, np.uint8, 0.05)

    def conv(x, shape, **attributes):
        w = weights(rng, g, np.int8, shape, 0)[0]
        y = g.node("Conv", [q.wide(x), w], **attributes)
        return q.narrow(y)[0][0]

    x = g.input(rng.normal(0, 2, (1, 16, 24, 24)).astype(np.float32))
    y = q.narrow(x)[0][0]
    a = conv(y, (32, 16, 3, 3), pads=[1] * 4, strides=[2, 2])
    b = conv(a, (32, 1, 3, 3), pads=[1] * 4, group=32)
    y = q.narrow(g.node("Add", [q.wide(a), q.wide(b)]))[0][0]
    y = q.narrow(g.node("Relu", [q.wide(y)]))[0][0]
    y = conv(y, (320, 32, 1, 1))
    given = [g.constant(rng.uniform(0.5, 1.5, 320).astype(np.float32)) for _ in range(4)]
    y = q.narrow(g.node("BatchNormalization", [q.wide(y), *given]))[0][0]
    y = q.narrow(g.node("Concat", [q.wide(y), q.wide(a)], axis=1))[0][0]
    y = q.narrow(g.node("MaxPool", [q.wide(y)], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))[0][0]
    y = q.narrow(g.node("AveragePool", [q.wide(y)], kernel_shape=[3, 3], pads=[1] * 4))[0][0]
    y = q.narrow(g.node("GlobalAveragePool", [q.wide(y)]))[0][0]
    y = q.narrow(g.node("Flatten", [q.wide(y)]))[0][0]
    y = q.narrow(g.node("MatMul", [q.wide(y), weights(rng, g, np.int8, (352, 10), 1)[0]]))[0][0]
    return g.model([(q.wide(y), onnx.TensorProto.FLOAT)]).SerializeToString(), g.feeds


def dynamic(devices):
    """A dynamically quantised product with its Cast, Mul and Add: of it only the scale and the zero point cross."""
    rng = np.random.default_rng(8)
    g = Graph()
    y, step, zero = g.node("DynamicQuantizeLinear", [g.input(rng.normal(0, 2, (50, 64)).astype(np.float32))], outputs=3)
    sums = g.node("MatMulInteger", [y, g.constant(rng.integers(-128, 128, (64, 48)).astype(np.int8)), zero])
    factor = g.node("Mul", [step, g.constant(np.float32(0.01))])
    y = g.node("Mul", [g.node("Cast", [sums], to=onnx.TensorProto.FLOAT), factor])
    y = g.node("Add", [y, g.constant(rng.normal(0, 1, 48).astype(np.float32))])
    y = g.node("QuantizeLinear", [y, g.constant(np.float32(0.1)), g.constant(np.uint8(120))])
    model = g.model([(y, onnx.TensorProto.UINT8)]).SerializeToString()
    with Log():
        mine = session(model, devices)
    want = session(model, None).run(None, g.feeds)
    got, (n_in, _, n_out, bytes_out), _ = crossing(mine, g.feeds)
    wrong, total = differing(got, want)
    print(f"{'dynamic product':24} {n_in} in, {n_out} out of {bytes_out} bytes; {wrong} of {total} values differ", flush=True)
    return wrong != 0 or (n_in, n_out, bytes_out) != (1, 3, total + 5)


def by_call(devices):
    """A scale that each call brings: what was made for one must not serve another."""
    g = Graph()
    x = g.input(np.linspace(-9, 9, 1000, dtype=np.float32))
    scale = g.input(np.float32(0.05))
    model = g.model([(g.node("QuantizeLinear", [x, scale, g.constant(np.uint8(90))]), onnx.TensorProto.UINT8)])
    model = model.SerializeToString()
    with Log():
        mine = session(model, devices)
        theirs = session(model, None)
        wrong = 0
        for value in (0.05, 0.07, 0.05):
            feeds = {**g.feeds, scale: np.asarray(value, np.float32)}
            wrong += differing(mine.run(None, feeds), theirs.run(None, feeds))[0]
    print(f"{'a scale by call':24} {wrong} of 3000 values differ")
    return wrong != 0


def random_feeds(path):
    rng = np.random.default_rng(1)
    feeds = {}
    for value in onnx.load(path).graph.input:
        dims = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        feeds[value.name] = rng.normal(0, 1, dims).astype(np.float32)
    return feeds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--device", default="opencl:0")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    devices = register(args.library, args.device)
    failed, count = 0, len(args.models) or 4
    for path in args.models:
        failed += check(os.path.basename(path), path, random_feeds(path), devices)
    if not args.models:
        model, feeds = every_op()
        failed += check("every op", model, feeds, devices)
        failed += bound(model, feeds, devices)
        failed += dynamic(devices)
        failed += by_call(devices)
    print(f"{count - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
