#!/usr/bin/env python3
"""Random models of every op that the delegate takes, and stacks of them, in the interpreters of the PyPI
packages tflite-runtime and ai-edge-litert: for each rounding, how many values differ from TensorFlow Lite's
own kernels, the reference ones and the optimised ones. For each op one rounding must give no difference from
the reference kernels. Stacks of ops must then equal both with the rounding that each op was found to have.

usage: ops.py LIBRARY [NAME ...] [--models N] [--values N] [--seed S] [--package tflite_runtime|ai_edge_litert] [--device D]
"""

import argparse
import importlib
import sys
import zlib

import numpy as np

from model import Model, options, s

ROUNDINGS = ("q31-double-away", "q31-double-up", "q31-single-up")
ACTIVATIONS = (s.ActivationFunctionType.NONE, s.ActivationFunctionType.RELU, s.ActivationFunctionType.RELU6,
               s.ActivationFunctionType.RELU_N1_TO_1)  # fmt: skip


def scale(rng, low=0.005, high=0.2):
    return np.float32(rng.uniform(low, high))


def zero(rng):
    return int(rng.integers(-128, 128))


def activation(rng):
    return ACTIVATIONS[rng.integers(4)] if rng.integers(2) else ACTIVATIONS[0]


def weights(rng, m, shape, axis):
    """Per tensor or per channel, [-127, 127]; the index and the scales."""
    count = shape[axis] if rng.integers(2) else 1
    scales = rng.uniform(0.002, 0.05, count).astype(np.float32)
    data = rng.integers(-127, 128, shape)
    return m.tensor(shape, scales, np.zeros(count), axis=axis, data=data), scales


def bias(rng, m, n, x_scale, scales, none=None):
    """One, or where the op can do without, what says so."""
    if none is not None and rng.integers(4) == 0:
        return list(none)
    return [m.tensor((n,), x_scale * scales, np.zeros(len(scales)), np.int32, data=rng.integers(-5000, 5000, n))]


def out_scale(rng, k, x_scale, scales):
    return np.float32(np.sqrt(k) * 75 * 75 * x_scale * float(np.mean(scales)) / 60 * rng.uniform(0.7, 2))


def window(rng, size):
    kernel, stride = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    dilation = int(rng.integers(1, 3)) if stride == 1 else 1
    kernel = min(kernel, (size - 1) // dilation + 1)
    return kernel, stride, dilation, int(rng.integers(2))


def outer(size, kernel, stride, dilation, padding):
    if padding == s.Padding.SAME:
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


class Value:
    """What a layer takes and gives."""

    def __init__(self, tensor, shape, scale, zero):
        self.tensor, self.shape, self.scale, self.zero = tensor, shape, scale, zero


def given(rng, m, shape):
    sc, z = scale(rng), zero(rng)
    return Value(m.tensor(shape, sc, z), shape, sc, z)


def picture(rng):
    return tuple(int(v) for v in (rng.integers(1, 3), rng.integers(8, 20), rng.integers(8, 20), rng.integers(1, 40)))


def conv(rng, m, x):
    n, h, w, c = x.shape
    kernel, stride, dilation, padding = window(rng, min(h, w))
    o = int(rng.integers(1, 70))
    wt, scales = weights(rng, m, (o, kernel, kernel, c), 0)
    shape = (n, outer(h, kernel, stride, dilation, padding), outer(w, kernel, stride, dilation, padding), o)
    sc, z = out_scale(rng, kernel * kernel * c, x.scale, scales), zero(rng)
    out = m.tensor(shape, sc, z)
    m.node("CONV_2D", [x.tensor, wt, *bias(rng, m, o, x.scale, scales)], out,
           options("Conv2DOptions", padding=padding, strideH=stride, strideW=stride, dilationHFactor=dilation,
                   dilationWFactor=dilation, fusedActivationFunction=activation(rng)))  # fmt: skip
    return Value(out, shape, sc, z)


def depthwise(rng, m, x):
    n, h, w, c = x.shape
    kernel, stride, dilation, padding = window(rng, min(h, w))
    times = int(rng.choice([1, 1, 2, 3]))
    wt, scales = weights(rng, m, (1, kernel, kernel, c * times), 3)
    shape = (n, outer(h, kernel, stride, dilation, padding), outer(w, kernel, stride, dilation, padding), c * times)
    sc, z = out_scale(rng, kernel * kernel, x.scale, scales), zero(rng)
    out = m.tensor(shape, sc, z)
    m.node("DEPTHWISE_CONV_2D", [x.tensor, wt, *bias(rng, m, c * times, x.scale, scales)], out,
           options("DepthwiseConv2DOptions", padding=padding, strideH=stride, strideW=stride, depthMultiplier=times,
                   dilationHFactor=dilation, dilationWFactor=dilation,
                   fusedActivationFunction=activation(rng)))  # fmt: skip
    return Value(out, shape, sc, z)


def connected(rng, m, x):
    k = int(np.prod(x.shape[1:]))
    o = int(rng.integers(1, 70))
    count = 1  # the runtime's kernels of one scale a channel are newer
    scales = rng.uniform(0.002, 0.05, count).astype(np.float32)
    wt = m.tensor((o, k), scales, np.zeros(count), data=rng.integers(-127, 128, (o, k)))
    shape = (x.shape[0], o)
    sc, z = out_scale(rng, k, x.scale, scales), zero(rng)
    out = m.tensor(shape, sc, z)
    m.node("FULLY_CONNECTED", [x.tensor, wt, *bias(rng, m, o, x.scale, scales, (-1,))], out,
           options("FullyConnectedOptions", fusedActivationFunction=activation(rng)))  # fmt: skip
    return Value(out, shape, sc, z)


def add(rng, m, x):
    other = given(rng, m, x.shape)
    m.graph.inputs.append(other.tensor)
    sc, z = np.float32((x.scale + other.scale) * rng.uniform(0.5, 1.2)), zero(rng)
    out = m.tensor(x.shape, sc, z)
    m.node("ADD", [x.tensor, other.tensor], out, options("AddOptions", fusedActivationFunction=activation(rng)))
    return Value(out, x.shape, sc, z)


def pool(op):
    def make(rng, m, x):
        n, h, w, c = x.shape
        kernel, stride, _, padding = window(rng, min(h, w))
        shape = (n, outer(h, kernel, stride, 1, padding), outer(w, kernel, stride, 1, padding), c)
        out = m.tensor(shape, x.scale, x.zero)
        m.node(op, [x.tensor], out,
               options("Pool2DOptions", padding=padding, strideH=stride, strideW=stride, filterHeight=kernel,
                       filterWidth=kernel, fusedActivationFunction=activation(rng)))  # fmt: skip
        return Value(out, shape, x.scale, x.zero)

    return make


average, greatest = pool("AVERAGE_POOL_2D"), pool("MAX_POOL_2D")


def one(layer, shape=picture):
    def make(rng, m):
        x = given(rng, m, shape(rng))
        m.graph.inputs.append(x.tensor)
        return [layer(rng, m, x).tensor]

    return make


def stack(rng, m):
    """Layers one after another, some with two uses, two of them outputs."""
    x = given(rng, m, (1, 24, 24, int(rng.integers(1, 20))))
    m.graph.inputs.append(x.tensor)
    for _ in range(4):
        layers = [depthwise, conv, average, greatest, add]
        x = layers[rng.integers(5)](rng, m, x)
        if min(x.shape[1:3]) < 10:
            break
    y, side = conv(rng, m, x), greatest(rng, m, x)
    z = connected(rng, m, y)
    return [z.tensor, side.tensor]


def vectors(rng):
    return int(rng.integers(1, 40)), int(rng.integers(1, 300))


MODELS = {
    "CONV_2D": one(conv),
    "DEPTHWISE_CONV_2D": one(depthwise),
    "FULLY_CONNECTED": one(connected, vectors),
    "ADD": one(add),
    "AVERAGE_POOL_2D": one(average),
    "MAX_POOL_2D": one(greatest),
}


class Runner:
    def __init__(self, package, library):
        self.module = importlib.import_module(package + ".interpreter")
        self.library = library

    def run(self, model, feeds, resolver, delegate=None):
        kind = getattr(self.module.OpResolverType, resolver)
        delegates = [self.module.load_delegate(self.library, delegate)] if delegate else None
        i = self.module.Interpreter(model_content=model, num_threads=2, experimental_op_resolver_type=kind,
                                    experimental_delegates=delegates)  # fmt: skip
        i.allocate_tensors()
        for _ in range(2):
            for detail, feed in zip(i.get_input_details(), feeds, strict=True):
                i.set_tensor(detail["index"], feed)
            i.invoke()
        taken = [d["op_name"] for d in i._get_ops_details()] if delegate else []
        return [i.get_tensor(d["index"]) for d in i.get_output_details()], taken


RESOLVERS = {"reference": "BUILTIN_REF", "optimised": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}


def compare(name, make, args, runner, roundings):
    """How many values differ by rounding and resolver; of how many; models not all taken."""
    differ = {(r, k): 0 for r in roundings for k in RESOLVERS}
    total = left = case = 0
    while case < args.models or total < args.values:
        rng = np.random.default_rng([args.seed, case, zlib.crc32(name.encode())])
        m = Model()
        outputs = make(rng, m)
        inputs = m.graph.inputs
        model = m.bytes(inputs, outputs)
        feeds = [rng.integers(-128, 128, m.graph.tensors[i].shape).astype(np.int8) for i in inputs]
        want = {k: runner.run(model, feeds, r)[0] for k, r in RESOLVERS.items()}
        for r in roundings:
            got, taken = runner.run(model, feeds, RESOLVERS["optimised"], {"rounding": r, "device": args.device})
            left += "DELEGATE" not in taken
            for k in RESOLVERS:
                differ[r, k] += sum(int(np.count_nonzero(a != b)) for a, b in zip(got, want[k], strict=True))
        total += sum(v.size for v in want["reference"])
        case += 1
    return differ, total, left


def check_op(name, make, args, runner):
    """Prints which roundings give no difference; returns the first for each resolver, or None."""
    differ, total, left = compare(name, make, args, runner, ROUNDINGS)
    equal = {k: next((r for r in ROUNDINGS if differ[r, k] == 0), None) for k in RESOLVERS}
    good = equal["reference"] and not left
    texts = [f"{k} {', '.join(f'{r} {differ[r, k]}' for r in ROUNDINGS)}" for k in RESOLVERS]
    print(f"{'' if good else 'FAIL '}{name:18} {total:8} values; that differ from {'; from '.join(texts)}"
          f"{f'; {left} not taken' if left else ''}", flush=True)  # fmt: skip
    return equal, good


def check_stack(args, runner, equal):
    """Models of all ops, each rounded as its own check found."""
    good = True
    for k in RESOLVERS:
        missing = [n for n, e in equal.items() if e[k] is None]
        if missing:
            print(f"stack              {k}: no rounding equals {', '.join(missing)}")
            continue
        rounding = ",".join(f"{n}={e[k]}" for n, e in equal.items())
        differ, total, left = compare("stack", stack, args, runner, [rounding])
        bad = differ[rounding, k]
        good = good and not bad and not left
        print(f"{'FAIL ' if bad or left else ''}stack              {total:8} values; {bad} differ from {k} "
              f"with {rounding}{f'; {left} not taken' if left else ''}", flush=True)  # fmt: skip
    return good


def check_options(runner):
    """A wrong option is an error of one line."""
    failed = 0
    for name, value, wanted in (
        ("rounding", "rne", "q31-double-away"),
        ("rounding", "CONV=q31-double-up", "q31-double-away"),
        ("threads", "-1", "0 to 1024"),
        ("devices", "cpu", "device, rounding"),
    ):
        try:
            runner.module.load_delegate(runner.library, {name: value})
            text = "there was none"
        except ValueError as error:
            text = str(error)
        if wanted not in text:
            print(f"FAIL {name} {value}: expected an error with '{wanted}': {text}")
            failed += 1
    return failed == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--values", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--package", default="tflite_runtime", choices=("tflite_runtime", "ai_edge_litert"))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    runner = Runner(args.package, args.library)
    wanted = {n: f for n, f in MODELS.items() if not args.names or n in args.names}
    found = {name: check_op(name, make, args, runner) for name, make in wanted.items()}
    results = [good for _, good in found.values()]
    if not args.names:
        results.append(check_stack(args, runner, {n: equal for n, (equal, _) in found.items()}))
        results.append(check_options(runner))
    print(f"{sum(map(bool, results))} passed, {sum(not r for r in results)} failed, 0 skipped")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
