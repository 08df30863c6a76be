"""What the tests of the execution provider share: sessions on it and on ONNX Runtime's own CPU provider."""

import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

NAME = "QdotExecutionProvider"
TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.float32): TensorProto.FLOAT,
}


def devices_of(path):
    """By name: 'cpu', on the host's memory, and those with memory of their own."""
    ort.register_execution_provider_library("qdot", os.path.abspath(path))
    return {d.ep_metadata["device"]: d for d in ort.get_ep_devices() if d.ep_name == NAME}


def register(path, device="cpu"):
    devices = devices_of(path)
    if device not in devices:
        sys.exit(f"expected a device of {NAME}, one of {', '.join(devices)}; got {device}")
    return [devices[device]]


def session(model, devices=None, threads=0, whole=True, options=None, entries=None):
    """On the provider (every node: 'whole'), or without devices on the runtime's CPU provider."""
    o = ort.SessionOptions()
    o.log_severity_level = 3
    o.intra_op_num_threads = threads
    # Groups of signed activations by the runtime's integer kernels; by itself it takes floats on x86.
    o.add_session_config_entry("session.qdqisint8allowed", "1")
    for key, value in (entries or {}).items():
        o.add_session_config_entry(key, value)
    if devices:
        given = dict(options or {})
        if threads:
            given.setdefault("threads", str(threads))
        o.add_provider_for_devices(devices, given)
        if whole:
            o.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    data = model if isinstance(model, (str, bytes)) else model.SerializeToString()
    made = ort.InferenceSession(data, o, providers=None if devices else ["CPUExecutionProvider"])
    made.disable_fallback()  # to the CPU provider, when a run fails
    return made


def info(name, array, dims=None):
    shape = array.shape if dims is None else dims
    return helper.make_tensor_value_info(name, TYPES[array.dtype], shape)


class Graph:
    """A model made node by node; inputs and constants are arrays."""

    def __init__(self):
        self.nodes, self.inputs, self.constants, self.feeds = [], [], [], {}
        self.count = 0
        self.whole = True  # the provider must take every node
        self.edges = None  # how many values are ties, and how many saturate; not for every op

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def input(self, array, dims=None):
        array = np.asarray(array)
        name = self.name()
        self.inputs.append(info(name, array, dims))
        self.feeds[name] = array
        return name

    def constant(self, array):
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, inputs, domain="", outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, outputs, opset=21):
        """outputs: pairs of a name and an element type."""
        values = [helper.make_tensor_value_info(n, t, None) for n, t in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, values, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def oracle_line(oracle, stage, values, ties, saturated, differ):
    """A line of the table of oracles, as tests/oracles.py prints them; None: the stage has none."""
    ties, saturated = ("-" if n is None else n for n in (ties, saturated))
    print(f"oracle   {oracle:26} {stage:42} {values:8} values {ties:>8} ties {saturated:>8} saturated {differ:5} differ", flush=True)


def differing(a, b):
    """Values whose bits differ, of two lists of arrays; NaN is equal to itself."""
    count = total = 0
    for x, y in zip(a, b, strict=True):
        if x.dtype != y.dtype or x.shape != y.shape:
            sys.exit(f"{x.dtype}{x.shape} against {y.dtype}{y.shape}")
        raw = [np.ascontiguousarray(v).reshape(-1).view(f"u{v.dtype.itemsize}") for v in (x, y)]
        count += int(np.count_nonzero(raw[0] != raw[1]))
        total += x.size
    return count, total


if __name__ == "__main__":
    print("\n".join(devices_of(sys.argv[1])))
