#!/usr/bin/env python3
"""Whole models on the ONNX Runtime execution provider and on ONNX Runtime's own CPU provider, side by side.

The graphs are those of the ONNX project (Debian's libonnx-testdata, data/light), whose weights are left out
there: here they are random, and quantised by onnxruntime.quantization with random pictures. So the numbers
tell of speed and of equal bits, not of accuracy.

usage: models.py LIBRARY TESTDATA WORK [--models NAMES] [--threads N[,N]] [--runs N] [--types u8s8,s8s8]
"""

import argparse
import json
import os
import sys
import time

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference, version_converter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/ort"))
from common import NAME, register  # noqa: E402

import onnxruntime as ort  # noqa: E402
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402

MODELS = "resnet50,squeezenet,inception_v1,densenet121"


# ---- making a model --------------------------------------------------------------------------------


def weight(rng, name, shape):
    """Such that values keep their size from layer to layer; a batch normalisation changes nothing much."""
    if len(shape) > 1:
        fan = int(np.prod(shape[1:]))
        return rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
    ending = name.rstrip("0123456789").rstrip("_").rsplit("_", 1)[-1]
    if ending in ("s", "riv", "scale", "var"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    return rng.normal(0, 0.05, shape).astype(np.float32)


def fill(model, rng):
    """Random weights in place of the nodes that fill them with one value."""
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    filled = [n for n in graph.node if n.op_type == "ConstantOfShape"]
    for node in filled:
        array = weight(rng, node.output[0], tuple(int(d) for d in shapes[node.input[0]]))
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)
    for node in graph.node:
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
    used = {i for n in graph.node for i in n.input}
    for i in [i for i in graph.initializer if i.name not in used]:
        graph.initializer.remove(i)
    known = {i.name for i in graph.initializer} | set(shapes)
    for i in [i for i in graph.input if i.name in known]:
        graph.input.remove(i)
    model.ir_version = 8


class Pictures(CalibrationDataReader):
    def __init__(self, rng, name, shape, count):
        self.left = [{name: rng.normal(0, 1, shape).astype(np.float32)} for _ in range(count)]

    def get_next(self):
        return self.left.pop() if self.left else None


def input_of(path):
    i = onnx.load(path, load_external_data=False).graph.input[0]
    return i.name, [d.dim_value or 1 for d in i.type.tensor_type.shape.dim]


def make(name, types, testdata, work):
    """The path of the quantised model, made unless it is there."""
    path = os.path.join(work, f"{name}_{types}.onnx")
    if os.path.exists(path):
        return path
    rng = np.random.default_rng(1)
    model = onnx.load(os.path.join(testdata, "data/light", f"light_{name}.onnx"))
    fill(model, rng)
    model = shape_inference.infer_shapes(version_converter.convert_version(model, 13))
    whole, folded = os.path.join(work, f"{name}.onnx"), os.path.join(work, f"{name}_folded.onnx")
    onnx.save(model, whole)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = folded
    ort.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    activations = QuantType.QUInt8 if types == "u8s8" else QuantType.QInt8
    quantize_static(folded, path + ".new", Pictures(rng, *input_of(folded), 4), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=activations, weight_type=QuantType.QInt8)  # fmt: skip
    os.rename(path + ".new", path)
    return path


# ---- measuring -------------------------------------------------------------------------------------


def sessions(path, devices, threads):
    """On our provider, and on the runtime's with its integer kernels and as it is."""
    made = []
    for provider, signed in ((True, "1"), (False, "1"), (False, "0")):
        o = ort.SessionOptions()
        o.log_severity_level = 3
        o.intra_op_num_threads = threads
        o.add_session_config_entry("session.qdqisint8allowed", signed)
        if provider:
            o.add_provider_for_devices(devices, {"threads": str(threads)})
        made.append(ort.InferenceSession(path, o, providers=None if provider else ["CPUExecutionProvider"]))
    return made


def share(path, devices, work):
    """Nodes of ours among all that the runtime runs."""
    o = ort.SessionOptions()
    o.log_severity_level = 3
    o.enable_profiling = True
    o.profile_file_prefix = os.path.join(work, "profile")
    o.add_provider_for_devices(devices, {})
    s = ort.InferenceSession(path, o)
    name, shape = input_of(path)
    s.run(None, {name: np.zeros(shape, np.float32)})
    profile = s.end_profiling()
    with open(profile) as f:
        events = [e for e in json.load(f) if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    os.remove(profile)
    ours = sum(e["args"].get("provider") == NAME for e in events)
    return ours, len(events)


def measure(made, feeds, runs):
    """Least time of each, in turns; the first runs are not counted."""
    best = [float("inf")] * len(made)
    for i in range(runs + 2):
        for j, s in enumerate(made):
            begin = time.perf_counter()
            s.run(None, feeds)
            took = time.perf_counter() - begin
            best[j] = min(best[j], took) if i >= 2 else best[j]
    return best


def row(name, types, threads, path, devices, args):
    made = sessions(path, devices, threads)
    picture, shape = input_of(path)
    wrong = total = 0
    for seed in range(3):
        feeds = {picture: np.random.default_rng(seed + 9).normal(0, 1, shape).astype(np.float32)}
        mine, theirs = (s.run(None, feeds)[0].reshape(-1) for s in made[:2])
        wrong += int(np.count_nonzero(mine.view(np.uint32) != theirs.view(np.uint32)))
        total += mine.size
    times = measure(made, feeds, args.runs)
    ours, nodes = share(path, devices, args.work)
    print(f"{name:14} {types} {threads:7} {wrong:6}/{total:<6} {ours:4}/{nodes:<4} {times[0] * 1e3:8.2f}"
          f" {times[1] * 1e3:8.2f} {times[2] * 1e3:8.2f} {times[1] / times[0]:6.2f} {times[2] / times[0]:6.2f}",
          flush=True)  # fmt: skip
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("testdata")
    parser.add_argument("work")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--types", default="u8s8,s8s8")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    devices = register(args.library)
    print("model          types threads differing/of  nodes      qdot      cpu  cpu as is  ratios   (ms)")
    wrong = 0
    for name in args.models.split(","):
        for types in args.types.split(","):
            path = make(name, types, args.testdata, args.work)
            for threads in args.threads.split(","):
                wrong += row(name, types, int(threads), path, devices, args)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
