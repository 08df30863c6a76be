#!/usr/bin/env python3
"""The ONNX project's own node tests (Debian's libonnx-testdata) of the quantised operators: those whose types the
execution provider takes on it alone, on each device; QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear also by 'qdot quantize'
and 'qdot dequantize' on each device, which has 16 and 4 bits and blocks too.

usage: nodes.py LIBRARY QDOT DIRECTORY [--device D[,D]]      DIRECTORY has data/node
"""

import argparse
import glob
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from common import oracle_line, devices_of, session

OPS = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "DequantizeLinear",
       "DynamicQuantizeLinear")  # fmt: skip
ONE_BY_ONE = OPS[4:]
PROVIDER = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.FLOAT)
COMMAND = {TensorProto.UINT8: "u8", TensorProto.INT8: "s8", TensorProto.UINT16: "u16", TensorProto.INT16: "s16",
           TensorProto.UINT4: "u4", TensorProto.INT4: "s4", TensorProto.INT32: "s32", TensorProto.FLOAT: "f32"}  # fmt: skip
# Expected values that wrap where the operator saturates; corrected by the project in 2026.
WRONG = {f"test_qlinearmatmul_{d}_int8_{t}" for d in ("2D", "3D") for t in ("float16", "float32")}


def read(path):
    tensor = onnx.TensorProto()
    with open(path, "rb") as f:
        tensor.ParseFromString(f.read())
    return numpy_helper.to_array(tensor)


def arrays(directory, sort):
    paths = glob.glob(os.path.join(directory, f"{sort}_*.pb"))
    return [read(p) for p in sorted(paths, key=lambda p: int(p.rsplit("_", 1)[1][:-3]))]


def types_of(model):
    return {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}


class Command:
    """A node by the command, which knows nothing of models: its files and options."""

    def __init__(self, program, device, folder):
        self.program, self.device, self.folder = program, device, folder

    def path(self, name):
        return os.path.join(self.folder, name + ".npy")

    def save(self, name, array, dtype):
        np.save(self.path(name), np.asarray(array).astype(dtype))
        return self.path(name)

    def run(self, model, given):
        node = model.graph.node[0]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        axis, block = attributes.pop("axis", 1), attributes.pop("block_size", 0)
        kind = COMMAND[attributes.pop("output_dtype", model.graph.output[0].type.tensor_type.elem_type)]
        if attributes:
            raise ValueError(f"attributes that are not known here: {', '.join(attributes)}")
        back = node.op_type == "DequantizeLinear"
        if back:
            kind = COMMAND[model.graph.input[0].type.tensor_type.elem_type]
        out = ["-o", self.path("out"), "--device", self.device]
        x = self.save("x", given[0], np.dtype(f"{'i' if kind[0] == 's' else 'u'}{max(1, int(kind[1:]) // 8)}") if back else np.float32)
        if node.op_type == "DynamicQuantizeLinear":
            self.call("quantize", x, "--dynamic", "--scale-out", self.path("scale"), "--zero-out", self.path("zero"), *out)
            return [np.load(self.path(n)) for n in ("out", "scale", "zero")]
        if given[1].ndim or block:
            out += ["--axis", str(axis % given[0].ndim)] + (["--group", str(block)] if block else [])
        out += ["--scale", self.save("scale", given[1], np.float32)]
        out += ["--zero", self.save("zero", given[2], np.int32)] if len(given) > 2 else []
        out += [] if kind == "s32" else ["--type", kind]
        self.call("dequantize" if back else "quantize", x, *out)
        return [np.load(self.path("out"))]

    def call(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip())


def unlike(got, want):
    """A text where they differ. The command has no type of 4 bits, nor arrays without dimensions."""
    if want.dtype.name in ("int4", "uint4"):
        want = want.astype(got.dtype)
    if got.dtype == want.dtype and got.size == want.size and np.array_equal(got.reshape(want.shape), want):
        return None
    return f"got {got.reshape(-1)[:8]}, expected {want.reshape(-1)[:8]}"


class Tests:
    def __init__(self, options, folder):
        wanted, devices = options.device.split(","), devices_of(options.library)
        self.providers = {d: [devices[d]] for d in wanted if d in devices}
        self.commands = [Command(options.qdot, d, folder) for d in wanted]
        self.directory = options.directory
        self.passed = self.failed = self.skipped = self.values = 0
        self.others = {}

    def runners(self, model):
        """Who can run it: pairs of a name and what takes arrays and gives arrays."""
        types, node = types_of(model), model.graph.node[0]
        found = []
        if types <= set(PROVIDER) and not any(a.name == "block_size" and a.i for a in node.attribute):
            names = [i.name for i in model.graph.input]
            for device, devices in self.providers.items():
                mine = session(model, devices)
                found.append((f"the provider, {device}",
                              lambda given, s=mine: s.run(None, dict(zip(names, given, strict=True)))))  # fmt: skip
        if node.op_type in ONE_BY_ONE and types <= set(COMMAND):
            found += [(c.device, lambda given, c=c: c.run(model, given)) for c in self.commands]
        return found

    def test(self, name):
        path = os.path.join(self.directory, "data/node", name)
        model = onnx.load(os.path.join(path, "model.onnx"))
        ops = [n.op_type for n in model.graph.node]
        if not (len(ops) == 1 and ops[0] in OPS) and not (ops == ["MaxPool"] and types_of(model) <= set(PROVIDER[:2])):
            return
        if name in WRONG:
            self.skipped += 1
            print(f"skip {name}: its expected values wrap where the operator saturates")
            return
        runners = self.runners(model)
        if not runners:
            strange = "/".join(sorted(TensorProto.DataType.Name(t) for t in types_of(model) - set(PROVIDER)))
            self.others.setdefault(strange, []).append(name)
        for who, run in runners:
            self.one(f"{name} on {who}", run, path)

    def one(self, what, run, path):
        error = None
        try:
            for data in sorted(glob.glob(os.path.join(path, "test_data_set_*"))):
                for got, want in zip(run(arrays(data, "input")), arrays(data, "output"), strict=True):
                    error = error or unlike(np.asarray(got), want)
                    self.values += want.size
        except Exception as e:  # what the runtime raises has no class of its own
            error = str(e).splitlines()[0]
        self.passed, self.failed = self.passed + (error is None), self.failed + (error is not None)
        print(f"ok {what}" if error is None else f"FAIL {what}: {error}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("qdot")
    parser.add_argument("directory")
    parser.add_argument("--device", default="cpu,opencl:0,vulkan:0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(options, folder)
        for path in sorted(glob.glob(os.path.join(options.directory, "data/node/test_*"))):
            tests.test(os.path.basename(path))
    for strange, names in sorted(tests.others.items()):
        print(f"no types of ours, {strange}: {', '.join(names)}")
    oracle_line("ONNX node tests", f"{tests.passed} runs", tests.values, None, None, tests.failed)
    print(f"{tests.passed} passed, {tests.failed} failed, {tests.skipped} skipped")
    return 1 if tests.failed or not tests.passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
