"""Models of TensorFlow Lite, made tensor by tensor with the schema that the package ai-edge-litert has."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s

TYPES = {np.dtype(np.int8): s.TensorType.INT8, np.dtype(np.int32): s.TensorType.INT32}


class Model:
    def __init__(self):
        self.model = s.ModelT()
        self.model.version = 3
        self.graph = s.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs = [self.graph]
        self.model.operatorCodes, self.model.buffers = [], [s.BufferT()]

    def tensor(self, shape, scale, zero, dtype=np.int8, axis=0, data=None):
        """The index of a tensor; a constant where there is data."""
        t = s.TensorT()
        t.shape, t.type = [int(d) for d in shape], TYPES[np.dtype(dtype)]
        t.name = f"t{len(self.graph.tensors)}"
        t.quantization = s.QuantizationParametersT()
        t.quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
        t.quantization.zeroPoint = np.atleast_1d(np.asarray(zero, np.int64))
        t.quantization.quantizedDimension = axis
        t.buffer = 0
        if data is not None:
            t.buffer = len(self.model.buffers)
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def node(self, op, inputs, output, options):
        code = s.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, op)
        code.version = 3
        self.model.operatorCodes.append(code)
        o = s.OperatorT()
        o.opcodeIndex = len(self.model.operatorCodes) - 1
        o.inputs, o.outputs = inputs, [output]
        o.builtinOptions = options
        o.builtinOptionsType = getattr(s.BuiltinOptions, type(options).__name__[:-1])
        self.graph.operators.append(o)
        return output

    def bytes(self, inputs, outputs):
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(name, **fields):
    o = getattr(s, name + "T")()
    for field, value in fields.items():
        assert hasattr(o, field), field
        setattr(o, field, value)
    return o
