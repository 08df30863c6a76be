#!/usr/bin/env python3
"""Random models of every op that the execution provider claims, against ONNX Runtime's CPU provider:
no value may differ, and nothing may run elsewhere.

usage: ops.py LIBRARY [--values N] [--models N] [--seed S] [--threads T] [--device NAME] [NAME ...]
"""

import argparse
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
from onnx import TensorProto

from common import Graph, TYPES, differing, oracle_line, register, session

INT8 = (np.uint8, np.int8)


def values(rng, dtype, shape):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if rng.integers(4) == 0:  # extremes, whose products would saturate 16 bits
        return rng.choice(np.array([low, high, 0, high - 1], dtype), shape)
    return rng.integers(low, high, shape, dtype, endpoint=True)


def zero(rng, dtype):
    return np.array(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, endpoint=True), dtype)


def scale(rng, count=None):
    """Powers of two, which make ties, or anything."""
    if rng.integers(3) == 0:
        return np.exp2(np.asarray(rng.integers(-8, -1, count), np.float32))
    return np.asarray(rng.uniform(0.002, 0.2, count), np.float32)


def operands(rng):
    """Types that the CPU provider takes together."""
    a = INT8[rng.integers(2)]
    return a, np.int8 if a == np.int8 else INT8[rng.integers(2)]


def y_scale(rng, k, x_scale, w_scale):
    """Such that outputs fill their range, and some saturate; ties where the other scales are powers of two."""
    spread = np.sqrt(k) * 75 * 75 * float(np.mean(x_scale)) * float(np.mean(w_scale))
    last = np.float32(spread / 60 * 2.0 ** rng.integers(-1, 2))
    whole = all(np.all(np.frexp(s)[0] == 0.5) for s in (x_scale, w_scale))
    return np.exp2(np.rint(np.log2(last))) if whole else last


def ties_and_saturated(real, zero, dtype):
    """Of quotients before they are rounded."""
    ends = np.iinfo(dtype)
    outside = (np.rint(real) + zero < ends.min) | (np.rint(real) + zero > ends.max)
    finite = np.where(np.isfinite(real), real, 0)
    return np.array([np.count_nonzero(np.abs(finite - np.trunc(finite)) == 0.5), np.count_nonzero(outside)])


def elements(dtype):
    return TYPES[np.dtype(dtype)]


# ---- products ------------------------------------------------------------------------------------


def matrix_shapes(rng):
    m, k, n = (int(rng.integers(1, 97)) for _ in range(3))
    return rng.choice(["plain", "batch", "batches", "broadcast", "row"]), m, k, n


def shaped(kind, m, k, n):
    a = {"plain": (m, k), "batch": (2, 3, m, k), "batches": (2, m, k), "broadcast": (3, 1, m, k), "row": (k,)}
    b = {"plain": (k, n), "batch": (k, n), "batches": (2, k, n), "broadcast": (2, k, n), "row": (k, n)}
    return a[kind], b[kind]


def matmul_integer(rng):
    g = Graph()
    a, b = operands(rng)
    kind, m, k, n = matrix_shapes(rng)
    a_shape, b_shape = shaped(kind, m, k, n)
    dims = ["x"] * len(a_shape) if rng.integers(2) else a_shape
    dims = (*dims[:-1], k)
    x = g.input(values(rng, a, a_shape), dims)
    w = (g.constant if rng.integers(3) else g.input)(values(rng, b, b_shape))
    zeros = []
    if rng.integers(4):
        zeros = [(g.constant if rng.integers(2) else g.input)(zero(rng, a))]
        per_column = len(b_shape) == 2 and rng.integers(2)
        b_zero = np.array([zero(rng, b) for _ in range(n)], b) if per_column else zero(rng, b)
        zeros.append(g.constant(b_zero))
    y = g.node("MatMulInteger", [x, w, *zeros])
    return g, [(y, TensorProto.INT32)]


def dynamic_product(rng):
    """As dynamic quantisation leaves a MatMul and the bias behind it; sometimes what must not be taken together."""
    g = Graph()
    kind, m, k, n = matrix_shapes(rng)
    a_shape, b_shape = shaped(kind, m, k, n)
    x = g.input(rng.normal(0, 2, a_shape).astype(np.float32))
    per_column = len(b_shape) == 2 and rng.integers(2)
    w_scale = g.constant(scale(rng, n if per_column else None))
    y, x_scale, x_zero = g.node("DynamicQuantizeLinear", [x], outputs=3)
    sums = g.node("MatMulInteger", [y, g.constant(values(rng, np.int8, b_shape)), x_zero])
    pair = [g.node("Cast", [sums], to=TensorProto.FLOAT), g.node("Mul", [x_scale, w_scale])]
    y = g.node("Mul", pair[:: rng.choice([1, -1])])
    sort = rng.integers(4)
    if sort:
        shape = {1: (n,), 2: (1,), 3: (1, 1, 1, 1, 1)}[sort]
        pair = [y, g.constant(rng.normal(0, 1, shape).astype(np.float32))]
        y = g.node("Add", pair[:: rng.choice([1, -1])])
    g.whole = sort != 3
    return g, [(y, TensorProto.FLOAT)]


def qlinear_matmul(rng):
    g = Graph()
    a, b = operands(rng)
    kind, m, k, n = matrix_shapes(rng)
    a_shape, b_shape = shaped(kind, m, k, n)
    per_column = len(b_shape) == 2 and rng.integers(2)
    x_scale, w_scale = scale(rng), scale(rng, n if per_column else None)
    w_zero = np.full(n, zero(rng, b), b) if per_column else zero(rng, b)
    give = g.constant if rng.integers(4) else g.input
    x, x_zero, w = values(rng, a, a_shape), zero(rng, a), values(rng, b, b_shape)
    last, y_zero = y_scale(rng, k, x_scale, w_scale), zero(rng, a)
    inputs = [
        g.input(x), g.constant(x_scale), give(x_zero), give(w), give(w_scale), give(w_zero), give(last), g.constant(y_zero)
    ]  # fmt: skip
    sums = (x.astype(np.int64) - x_zero) @ (w.astype(np.int64) - w_zero)
    g.edges = ties_and_saturated(sums.astype(np.float32) * (x_scale * w_scale / last), y_zero, a)
    return g, [(g.node("QLinearMatMul", inputs), elements(a))]


def qgemm(rng):
    g = Graph()
    a, b = operands(rng)
    m, k, n = (int(rng.integers(1, 97)) for _ in range(3))
    trans = int(rng.integers(2))
    per_column = rng.integers(2)
    x_scale, w_scale = scale(rng), scale(rng, n if per_column else None)
    w_zero = np.full(n, zero(rng, b), b) if per_column else zero(rng, b)
    x = g.input(values(rng, a, (m, k)), ("m", k))
    w = g.constant(values(rng, b, (n, k) if trans else (k, n)))
    bias = g.constant(rng.integers(-9999, 9999, n, np.int32)) if rng.integers(2) else ""
    inputs = [x, g.constant(x_scale), g.constant(zero(rng, a)), w, g.constant(w_scale), g.constant(w_zero), bias]
    floats = rng.integers(3) == 0
    if not floats:
        inputs += [g.constant(y_scale(rng, k, x_scale, w_scale)), g.constant(zero(rng, a))]
    alpha = float(rng.choice([1.0, 0.7]))
    y = g.node("QGemm", inputs, "com.microsoft", transB=trans, alpha=alpha)
    return g, [(y, TensorProto.FLOAT if floats else elements(a))]


# ---- convolutions --------------------------------------------------------------------------------


def conv_shape(rng):
    """Shapes and attributes: plain, grouped, depthwise; one or two dimensions."""
    sort = rng.integers(4)
    groups = int(rng.integers(1, 4)) if sort == 1 else 1
    channels = groups * int(rng.integers(1, 9 if groups > 1 else 33))
    out = groups * int(rng.integers(1, 9 if groups > 1 else 33))
    if sort == 2:  # depthwise
        groups = channels = int(rng.integers(1, 33))
        out = channels * int(rng.integers(1, 3))
    rank = 1 if rng.integers(5) == 0 else 2
    kernel = [int(rng.integers(1, 4)) for _ in range(rank)]
    strides = [int(rng.integers(1, 3)) for _ in range(rank)]
    dilations = [int(rng.integers(1, 3)) for _ in range(rank)]
    size = [int(rng.integers(7, 20)) for _ in range(rank)]
    attributes = {"group": groups}
    mode = rng.integers(4)
    if mode == 0:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        dilations = [1] * rank
    elif mode == 1:
        attributes["pads"] = [int(rng.integers(0, 3)) for _ in range(2 * rank)]
    if rng.integers(2):
        attributes["kernel_shape"] = kernel
    attributes["strides"], attributes["dilations"] = strides, dilations
    batch = int(rng.integers(1, 4))
    return (batch, channels, *size), (out, channels // groups, *kernel), attributes


def batch_dims(rng, shape, sorts=3):
    """What the model knows: all, all but the batch, or only the channels."""
    sort = rng.integers(sorts)
    if sort == 0:
        return shape
    return ("n", *shape[1:]) if sort == 1 else ("n", *shape[1:2], *[f"s{i}" for i in range(len(shape) - 2)])


def conv_integer(rng):
    g = Graph()
    x_shape, w_shape, attributes = conv_shape(rng)
    x = g.input(values(rng, np.uint8, x_shape), batch_dims(rng, x_shape))
    b = np.uint8  # the CPU provider has no other
    w = (g.constant if rng.integers(3) else g.input)(values(rng, b, w_shape))
    zeros = []
    if rng.integers(4):
        zeros = [(g.constant if rng.integers(2) else g.input)(zero(rng, np.uint8)), g.constant(zero(rng, b))]
    y = g.node("ConvInteger", [x, w, *zeros], **attributes)
    return g, [(y, TensorProto.INT32)]


def qlinear_conv(rng):
    g = Graph()
    a, b = operands(rng)
    x_shape, w_shape, attributes = conv_shape(rng)
    n = w_shape[0]
    per_channel = rng.integers(2)
    x_scale, w_scale = scale(rng), scale(rng, n if per_channel else None)
    w_zero = np.full(n, zero(rng, b), b) if per_channel else zero(rng, b)
    give = g.constant if rng.integers(4) else g.input
    x, x_zero, w = values(rng, a, x_shape), zero(rng, a), values(rng, b, w_shape)
    last, y_zero = y_scale(rng, int(np.prod(w_shape[1:])), x_scale, w_scale), zero(rng, a)
    inputs = [
        g.input(x, batch_dims(rng, x_shape)), give(x_scale), give(x_zero), give(w), give(w_scale), g.constant(w_zero),
        g.constant(last), g.constant(y_zero),
    ]  # fmt: skip
    bias = rng.integers(-9999, 9999, n, np.int32) if rng.integers(2) else np.zeros(0, np.int32)
    if bias.size:
        inputs.append(give(bias))
    channel = (-1, *[1] * (w.ndim - 2))
    wide = w.astype(np.float32) - np.broadcast_to(w_zero, n).reshape(-1, 1, *channel[1:])
    sums = float_conv(x.astype(np.float32) - x_zero, wide, attributes) + (bias.reshape(channel) if bias.size else 0)
    scales = np.broadcast_to(x_scale * w_scale / last, n).reshape(channel)
    g.edges = ties_and_saturated(sums.astype(np.float32) * scales, y_zero, a)
    return g, [(g.node("QLinearConv", inputs, **attributes), elements(a))]


def float_conv(x, w, attributes):
    """Sums, exact below 2^24, of which ties are counted."""
    g = Graph()
    y = g.node("Conv", [g.input(x), g.input(w)], **attributes)
    return session(g.model([(y, TensorProto.FLOAT)]), threads=1).run(None, g.feeds)[0]


# ---- quantisation --------------------------------------------------------------------------------


def real(rng, shape, steps):
    x = rng.normal(0, 10.0 ** rng.integers(-3, 4), shape).astype(np.float32)
    if rng.integers(3) == 0:  # ties
        x = (rng.integers(-600, 600, shape) * 0.5 * steps).astype(np.float32)
    if x.size > 4 and rng.integers(3) == 0:
        x.reshape(-1)[:4] = [np.inf, -np.inf, 0.0, -0.0]
    return x


def any_shape(rng):
    return tuple(int(rng.integers(1, 24)) for _ in range(rng.integers(0, 5)))


def axis_of(rng, shape):
    if not shape or rng.integers(2):
        return None, None
    axis = int(rng.integers(-len(shape), len(shape)))
    return axis, shape[axis]


def quantize_linear(rng):
    g = Graph()
    a = INT8[rng.integers(2)]
    shape = any_shape(rng)
    axis, count = axis_of(rng, shape)
    y_scale, y_zero = scale(rng, count), np.array(0)
    along = [count if axis is not None and i == axis % len(shape) else 1 for i in range(len(shape))]
    wide = y_scale if axis is None else y_scale.reshape(along)
    x = real(rng, shape, wide)
    inputs = [g.input(x), g.constant(y_scale)]
    if count is not None or rng.integers(4):
        y_zero = values(rng, a, (count,)) if count is not None else zero(rng, a)
        inputs.append(g.constant(y_zero))
    else:
        a = np.uint8
    attributes = {} if axis is None else {"axis": axis}
    g.edges = ties_and_saturated(x / wide, y_zero.astype(np.int64).reshape(along if y_zero.ndim else ()), a)
    return g, [(g.node("QuantizeLinear", inputs, **attributes), elements(a))]


def dequantize_linear(rng):
    g = Graph()
    a = (np.uint8, np.int8, np.int32)[rng.integers(3)]
    shape = any_shape(rng)
    axis, count = axis_of(rng, shape)
    inputs = [g.input(values(rng, a, shape)), g.constant(scale(rng, count))]
    if a != np.int32:
        inputs.append(g.constant(values(rng, a, (count,)) if count is not None else zero(rng, a)))
    attributes = {} if axis is None else {"axis": axis}
    return g, [(g.node("DequantizeLinear", inputs, **attributes), TensorProto.FLOAT)]


def dynamic_quantize(rng):
    g = Graph()
    shape = any_shape(rng) if rng.integers(8) else (300, 300)
    x = rng.normal(rng.normal(), 10.0 ** rng.integers(-3, 4), shape).astype(np.float32)
    if rng.integers(4) == 0:
        x = np.abs(x)
    if rng.integers(16) == 0:
        x = np.zeros_like(x)
    if rng.integers(4) == 0 and x.size > 2:  # a range of 255 halves or quarters, in steps of half as much: ties
        x = np.clip(np.rint(x), -100, 155)
        x.reshape(-1)[:2] = -100, 155
        x = ((x + rng.choice([0, 0.5], x.shape) * (np.abs(x) < 99)) * 2.0 ** rng.integers(-2, 0)).astype(np.float32)
    step = np.float32(max(0, x.max()) - min(0, x.min())) / np.float32(255)
    low = np.float32(min(0, x.min()))
    g.edges = ties_and_saturated(x / step, np.rint(-low / step), np.uint8) if step else np.zeros(2, np.int64)
    y = g.node("DynamicQuantizeLinear", [g.input(x)], outputs=3)
    return g, [(y[0], TensorProto.UINT8), (y[1], TensorProto.FLOAT), (y[2], TensorProto.UINT8)]


# ---- groups of DequantizeLinear, a float op, QuantizeLinear ----------------------------------------


class Quantised:
    """A scale and a zero point, and the nodes that use them."""

    def __init__(self, rng, graph, dtype, q_scale=None, q_zero=None):
        self.graph, self.dtype = graph, dtype
        self.scale = scale(rng) if q_scale is None else np.float32(q_scale)
        self.zero = zero(rng, dtype) if q_zero is None else np.array(q_zero, dtype)

    def wide(self, x, **attributes):
        g = self.graph
        return g.node("DequantizeLinear", [x, g.constant(self.scale), g.constant(self.zero)], **attributes)

    def narrow(self, x):
        g = self.graph
        y = g.node("QuantizeLinear", [x, g.constant(self.scale), g.constant(self.zero)])
        return [(y, elements(self.dtype))]


def weights(rng, g, dtype, shape, axis):
    """Dequantised weights, by tensor or by channel; and their scale."""
    count = shape[axis] if rng.integers(2) else None
    w_scale = scale(rng, count)
    w_zero = np.zeros(count, dtype) if count else zero(rng, dtype)
    inputs = [g.constant(values(rng, dtype, shape)), g.constant(w_scale), g.constant(w_zero)]
    return g.node("DequantizeLinear", inputs, axis=axis), w_scale


def bias_of(rng, g, n, x_scale, w_scale):
    steps = np.broadcast_to(x_scale * w_scale, n).astype(np.float32)
    inputs = [g.constant(rng.integers(-9999, 9999, n, np.int32)), g.constant(steps)]
    return g.node("DequantizeLinear", inputs, axis=0)


def product_out(rng, g, y, dtype, k, x_scale, w_scale):
    """Relu or Clip now and then, of which saturation does the same."""
    last = y_scale(rng, k, x_scale, w_scale)
    cut = rng.integers(3)
    if cut == 0:
        y = g.node("Relu", [y])
    elif cut == 1:
        y = g.node("Clip", [y, g.constant(np.float32(0)), g.constant(np.float32(last * 256))])
    out = Quantised(rng, g, dtype, last, np.iinfo(dtype).min if cut < 2 else None)
    return out.narrow(y)


def qdq_conv(rng):
    g = Graph()
    a, b = operands(rng)
    x_shape, w_shape, attributes = conv_shape(rng)
    x = Quantised(rng, g, a)
    w, w_scale = weights(rng, g, b, w_shape, 0)
    inputs = [x.wide(g.input(values(rng, a, x_shape), batch_dims(rng, x_shape))), w]
    if rng.integers(2):
        inputs.append(bias_of(rng, g, w_shape[0], x.scale, w_scale))
    y = g.node("Conv", inputs, **attributes)
    return g, product_out(rng, g, y, a, np.prod(w_shape[1:]), x.scale, w_scale)


def qdq_matmul(rng):
    g = Graph()
    a, b = operands(rng)
    kind, m, k, n = matrix_shapes(rng)
    a_shape, b_shape = shaped(kind, m, k, n)
    x = Quantised(rng, g, a)
    if len(b_shape) == 2:
        w, w_scale = weights(rng, g, b, b_shape, 1)
    else:
        other = Quantised(rng, g, b)
        w, w_scale = other.wide(g.input(values(rng, b, b_shape))), other.scale
    y = g.node("MatMul", [x.wide(g.input(values(rng, a, a_shape))), w])
    return g, product_out(rng, g, y, a, k, x.scale, w_scale)


def qdq_gemm(rng):
    g = Graph()
    a, b = operands(rng)
    m, k, n = (int(rng.integers(1, 97)) for _ in range(3))
    trans = int(rng.integers(2))
    x = Quantised(rng, g, a)
    w, w_scale = weights(rng, g, b, (n, k) if trans else (k, n), 0 if trans else 1)
    inputs = [x.wide(g.input(values(rng, a, (m, k)))), w]
    if rng.integers(2):
        inputs.append(bias_of(rng, g, n, x.scale, w_scale))
    y = g.node("Gemm", inputs, transB=trans)
    return g, product_out(rng, g, y, a, k, x.scale, w_scale)


def left_alone(rng):
    """A Relu that cuts more than saturation does: the runtime computes the group as floats, and is left to."""
    g = Graph()
    x_shape, w_shape, attributes = conv_shape(rng)
    x = Quantised(rng, g, np.uint8)
    w, w_scale = weights(rng, g, np.int8, w_shape, 0)
    y = g.node("Relu", [g.node("Conv", [x.wide(g.input(values(rng, np.uint8, x_shape))), w], **attributes)])
    g.whole = False
    k = np.prod(w_shape[1:])
    return g, Quantised(rng, g, np.uint8, y_scale(rng, k, x.scale, w_scale), 99).narrow(y)


# ---- what is between products ----------------------------------------------------------------------


def picture(rng):
    rank = 1 if rng.integers(5) == 0 else 2
    return (int(rng.integers(1, 4)), int(rng.integers(1, 20)), *(int(rng.integers(5, 40)) for _ in range(rank)))


def pool_attributes(rng, rank, dilated):
    kernel = [int(rng.integers(1, 6)) for _ in range(rank)]
    attributes = {"kernel_shape": kernel, "strides": [int(rng.integers(1, 4)) for _ in range(rank)]}
    if rng.integers(4) == 0:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes["strides"] = [min(s, k) for s, k in zip(attributes["strides"], kernel)]
    else:
        attributes["pads"] = [int(rng.integers(0, kernel[i % rank])) for i in range(2 * rank)]
        attributes["ceil_mode"] = int(rng.integers(2))
        if dilated and rng.integers(4) == 0:
            attributes["kernel_shape"] = [min(k, 3) for k in kernel]  # still no larger than the picture
            attributes["dilations"] = [2] * rank
            attributes["pads"] = [0] * (2 * rank)
    return attributes


def unary(rng, op, shape, extra=(), sorts=3, **attributes):
    """Between two quantisations, which are one and the same or not."""
    g = Graph()
    a = INT8[rng.integers(2)]
    x = Quantised(rng, g, a)
    out = x if rng.integers(2) else Quantised(rng, g, a)
    y = g.node(op, [x.wide(g.input(values(rng, a, shape), batch_dims(rng, shape, sorts))), *[g.constant(e) for e in extra]],
               **attributes)  # fmt: skip
    return g, out.narrow(y)


def max_pool(rng):
    shape = picture(rng)
    attributes = pool_attributes(rng, len(shape) - 2, True)
    if rng.integers(3):
        return unary(rng, "MaxPool", shape, **attributes)
    g = Graph()
    a = INT8[rng.integers(2)]
    return g, [(g.node("MaxPool", [g.input(values(rng, a, shape))], **attributes), elements(a))]


def linear_unary(rng, op, shape, **attributes):
    g = Graph()
    a = INT8[rng.integers(2)]
    q = [g.constant(v) for v in (scale(rng), zero(rng, a), scale(rng), zero(rng, a))]
    y = g.node(op, [g.input(values(rng, a, shape)), *q], "com.microsoft", **attributes)
    return g, [(y, elements(a))]


def average_pool(rng):
    shape = picture(rng)
    attributes = pool_attributes(rng, len(shape) - 2, False)
    attributes["count_include_pad"] = int(rng.integers(2))
    if rng.integers(2):
        return unary(rng, "AveragePool", shape, **attributes)
    return linear_unary(rng, "QLinearAveragePool", shape, **attributes)


def global_average(rng):
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 300)), int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    if rng.integers(2):
        return unary(rng, "GlobalAveragePool", shape)
    return linear_unary(rng, "QLinearGlobalAveragePool", shape)


def normalisation(rng):
    """Its scale and bias dequantised, as ONNX Runtime's quantiser makes them, or floats."""
    g = Graph()
    a = INT8[rng.integers(2)]
    shape = picture(rng)
    if rng.integers(4) == 0:  # more channels than a table on a device has
        shape = (1, int(rng.integers(257, 600)), *shape[2:])
    x = Quantised(rng, g, a)
    inputs = [x.wide(g.input(values(rng, a, shape), batch_dims(rng, shape)))]
    parameters = rng.normal(0, 3, (2, shape[1])).astype(np.float32)
    sort = rng.integers(3)
    for p, dtype in zip(parameters, (np.int8, np.int32)):
        if sort == 0:
            inputs.append(g.constant(p))
            continue
        dtype = dtype if sort == 1 else np.uint8
        q = Quantised(rng, g, dtype, np.abs(p).max() / 100 + 1e-6, 0 if dtype == np.int32 else None)
        inputs.append(q.wide(g.constant(np.round(p / q.scale + q.zero).clip(-128, 127).astype(dtype))))
    inputs += [g.constant(p) for p in rng.gamma(1, 9, (2, shape[1])).astype(np.float32)]
    y = g.node("BatchNormalization", inputs, epsilon=float(rng.choice([1e-5, 0.1])))
    if rng.integers(2):
        return g, Quantised(rng, g, a).narrow(y)
    return g, Quantised(rng, g, a, None, np.iinfo(a).min).narrow(g.node("Relu", [y]))


def pair(rng, op):
    """Of one shape, or with one operand that is repeated along the first and the last dimensions."""
    g = Graph()
    a = INT8[rng.integers(2)]
    shape = (*any_shape(rng)[:2], int(rng.integers(2, 300)), int(rng.integers(1, 30)))
    shapes = [shape, shape]
    kind = rng.integers(5)
    if kind:
        first, last = ((0, 0), (1, 2), (1, 4), (2, 4), (1, 3))[kind]
        small = [d if first <= i < last else 1 for i, d in enumerate(shape)]
        shapes[rng.integers(2)] = small[rng.integers(first + 1):] if rng.integers(2) else small
    if rng.integers(6) == 0:
        shapes[1] = [(), (1,), (1, 1, 1, 1)][rng.integers(3)]
    g.whole = np.broadcast(*[np.empty(s) for s in shapes]).size > 1  # of one value the formula is another
    q = [Quantised(rng, g, a) for _ in range(3)]
    x = [g.input(values(rng, a, s)) for s in shapes]
    if rng.integers(2):
        y = g.node(op, [q[0].wide(x[0]), q[1].wide(x[1])])
        return g, q[2].narrow(y)
    given = [[g.constant(p.scale), g.constant(p.zero)] for p in q]
    y = g.node("QLinear" + op, [x[0], *given[0], x[1], *given[1], *given[2]], "com.microsoft")
    return g, [(y, elements(a))]


def divide(rng):
    g = Graph()
    a = INT8[rng.integers(2)]
    q = [Quantised(rng, g, a) for _ in range(2)]
    by = np.array(rng.choice([6, 3, -0.7, 1, 255]), np.float32).reshape(rng.choice([0, 1]) * (1,))
    shape = any_shape(rng)
    g.whole = by.ndim <= len(shape)
    x = q[0].wide(g.input(values(rng, a, shape)))
    return g, q[1].narrow(g.node("Div", [x, g.constant(by)]))


def concat(rng):
    g = Graph()
    a = INT8[rng.integers(2)]
    shape = list(any_shape(rng) or (3,))
    axis = int(rng.integers(0, len(shape)))
    out = Quantised(rng, g, a)
    parts = []
    for _ in range(int(rng.integers(1, 6))):
        shape[axis] = int(rng.integers(1, 24))
        q = out if rng.integers(3) == 0 else Quantised(rng, g, a)
        parts.append((q, g.input(values(rng, a, tuple(shape)))))
    axis = axis - len(shape) if rng.integers(2) else axis
    if rng.integers(2):
        return g, out.narrow(g.node("Concat", [q.wide(x) for q, x in parts], axis=axis))
    given = [[x, g.constant(q.scale), g.constant(q.zero)] for q, x in parts]
    inputs = [g.constant(out.scale), g.constant(out.zero), *[v for p in given for v in p]]
    return g, [(g.node("QLinearConcat", inputs, "com.microsoft", axis=axis), elements(a))]


def relu(rng):
    return unary(rng, "Relu", picture(rng))


def clip(rng):
    low, high = sorted(rng.normal(0, 5, 2).astype(np.float32))
    return unary(rng, "Clip", picture(rng), (low, high))


def transpose(rng):
    shape = any_shape(rng) or (5,)
    return unary(rng, "Transpose", shape, perm=[int(i) for i in rng.permutation(len(shape))])


def reshape(rng):
    shape = picture(rng)
    sort = rng.integers(4)
    if sort == 0:
        return unary(rng, "Flatten", shape, sorts=2)
    if sort == 1:
        return unary(rng, "Unsqueeze", shape, (np.array([1], np.int64),), 2)
    if sort == 2:
        return unary(rng, "Squeeze", (shape[0], 1, *shape[1:]), (np.array([1], np.int64),), 2)
    return unary(rng, "Reshape", shape, (np.array([0, -1], np.int64),), 2)


OPS = {
    "MatMulInteger": matmul_integer,
    "dynamic product": dynamic_product,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "ConvInteger": conv_integer,
    "QLinearConv": qlinear_conv,
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize,
    "Conv": qdq_conv,
    "MatMul": qdq_matmul,
    "Gemm": qdq_gemm,
    "BatchNormalization": normalisation,
    "Add": lambda rng: pair(rng, "Add"),
    "Mul": lambda rng: pair(rng, "Mul"),
    "Div": divide,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average,
    "Relu": relu,
    "Clip": clip,
    "Concat": concat,
    "Transpose": transpose,
    "Reshape": reshape,
    "Conv, Relu": left_alone,
}


def check(name, make, args, devices):
    """Models until enough values were compared; the number of values that differ."""
    wrong = total = cases = 0
    edges = None  # ties and saturated values, where there may be any
    while total < args.values or cases < args.models:
        seed = [args.seed, cases, zlib.crc32(name.encode())]
        graph, outputs = make(np.random.default_rng(seed))
        model = graph.model(outputs)
        want = session(model, threads=args.threads).run(None, graph.feeds)
        mine = session(model, devices, args.threads, graph.whole)
        bad, count = differing(mine.run(None, graph.feeds), want)
        # Again, and at once: nothing may be left of the first run, nor be shared by the others.
        with ThreadPoolExecutor(3) as pool:
            for got in [pool.submit(mine.run, None, graph.feeds) for _ in range(3)]:
                bad += differing(got.result(), want)[0]
        if bad:
            print(f"FAIL {name} case {cases}: {bad} of {count} values differ: {model.graph.node}")
        wrong, total, cases = wrong + bad, total + count, cases + 1
        if graph.edges is not None:
            edges = graph.edges + (0 if edges is None else edges)
    oracle_line(f"ONNX Runtime {ort.__version__}", f"{name}, {cases} models", total, *([None] * 2 if edges is None else edges), wrong)
    if edges is not None and edges[0] == 0 and total >= 100000:
        print(f"FAIL {name}: no value was a tie")
        wrong += 1
    return wrong


def at_once(args, devices):
    """Long calls of one session from several threads, each with its own input."""
    rng = np.random.default_rng(args.seed)
    g = Graph()
    shape = (1, 64, 56, 56)
    q = [Quantised(rng, g, np.uint8) for _ in range(2)]
    w, w_scale = weights(rng, g, np.int8, (64, 64, 3, 3), 0)
    y = g.node("Conv", [q[0].wide(g.input(values(rng, np.uint8, shape))), w], pads=[1] * 4)
    y = g.node("MatMul", [q[1].wide(Quantised(rng, g, np.uint8, y_scale(rng, 576, q[0].scale, w_scale)).narrow(y)[0][0]),
                          weights(rng, g, np.int8, (56, 56), 1)[0]])  # fmt: skip
    model = g.model(Quantised(rng, g, np.uint8, 40.0).narrow(y))
    name = next(iter(g.feeds))
    feeds = [{name: values(rng, np.uint8, shape)} for _ in range(4)]
    theirs, mine = session(model, threads=args.threads), session(model, devices, args.threads)
    want = [theirs.run(None, f) for f in feeds]

    def repeat(i):
        return sum(differing(mine.run(None, feeds[i]), want[i])[0] for _ in range(20))

    with ThreadPoolExecutor(len(feeds)) as pool:
        wrong = sum(pool.map(repeat, range(len(feeds))))
    print(f"{'calls at once':22} {20 * len(feeds):5} calls  {wrong:4} differ")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--values", type=int, default=100000)
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="'opencl:0' ...: tensors in its memory")
    args = parser.parse_args()
    devices = register(args.library, args.device)
    failed = 0
    wanted = {n: f for n, f in OPS.items() if not args.names or n in args.names}
    for name, make in wanted.items():
        failed += check(name, make, args, devices) != 0
    if not args.names:
        wanted["calls at once"] = None
        failed += at_once(args, devices) != 0
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
