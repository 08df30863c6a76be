#!/usr/bin/env python3
"""Random graphs of ops that the execution provider claims and of some that it does not, against ONNX Runtime's CPU
provider: no value may differ. What follows one another without a node of the runtime's between must be one fused node,
also where values between are outputs of the model.

usage: graphs.py LIBRARY [--device NAME] [--graphs N] [--seed N]
"""

import argparse
import sys

import numpy as np
import onnx

from common import NAME, Graph, differing, register, session
from ops import Quantised, weights

CHANNELS = 24


class Net:
    """Values of one shape and quantisation, each made of some before."""

    def __init__(self, rng, dtype):
        self.rng, self.g = rng, Graph()
        self.q = Quantised(rng, self.g, dtype, 0.05)
        self.shape = (int(rng.integers(1, 4)), CHANNELS, int(rng.integers(1, 20)), int(rng.integers(1, 20)))
        dims = [None, *self.shape[1:]] if rng.integers(2) else None
        x = self.g.input(self.data(self.shape[0]), dims)
        self.values = [self.q.narrow(x)[0][0]]
        self.outside = 0  # nodes that are the runtime's

    def data(self, batch):
        return self.rng.normal(0, 2, (batch, *self.shape[1:])).astype(np.float32)

    def wide(self):
        """Mostly of the newest, so that graphs are deep."""
        back = min(int(self.rng.geometric(0.5)), len(self.values))
        return self.q.wide(self.values[-back])

    def conv(self, x, channels, kernel):
        w = weights(self.rng, self.g, np.int8, (CHANNELS, channels, kernel, kernel), 0)[0]
        return self.g.node("Conv", [x, w], pads=[kernel // 2] * 4)

    def add_one(self):
        g, op = self.g, self.rng.integers(9)
        if op < 2:
            y = self.conv(self.wide(), CHANNELS, 1 + 2 * int(op))
        elif op < 4:
            y = g.node(["Add", "Mul"][op - 2], [self.wide(), self.wide()])
        elif op == 4:
            y = g.node("Relu", [self.wide()])
        elif op == 5:
            y = g.node("MaxPool", [self.wide()], kernel_shape=[3, 3], pads=[1] * 4)
        elif op == 6:
            both = g.node("Concat", [self.wide(), self.wide()], axis=1)
            y = self.conv(self.q.wide(self.q.narrow(both)[0][0]), 2 * CHANNELS, 1)
        elif op == 7:
            y = g.node("AveragePool", [self.wide()], kernel_shape=[3, 3], pads=[1] * 4)
        else:
            self.outside += 1
            y = g.node("Sin", [self.wide()])
        self.values.append(self.q.narrow(y)[0][0])

    def model(self):
        """The last value is an output, so are some before; and a dynamic product, whose step makes three values."""
        some = [v for v in self.values[1:-1] if self.rng.integers(5) == 0]
        kind = onnx.TensorProto.UINT8 if self.q.dtype == np.uint8 else onnx.TensorProto.INT8
        outputs = [(v, kind) for v in [*some, self.values[-1]]]
        y, _, zero = self.g.node("DynamicQuantizeLinear", [self.q.wide(self.values[-1])], outputs=3)
        w = self.g.constant(self.rng.integers(-128, 128, (self.shape[3], 17)).astype(np.int8))
        outputs.append((self.g.node("MatMulInteger", [y, w, zero]), onnx.TensorProto.INT32))
        return self.g.model(outputs)


def fused(mine):
    """How many nodes of ours the runtime has."""
    return sum(part.ep_name == NAME for part in mine.get_provider_graph_assignment_info())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--graphs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    devices = register(args.library, args.device)
    failed = total = steps = nodes = 0
    for index in range(args.graphs):
        net = Net(np.random.default_rng([args.seed, index]), np.uint8 if index % 2 else np.int8)
        for _ in range(int(net.rng.integers(1, 30))):
            net.add_one()
        model = net.model()
        entries = {"session.record_ep_graph_assignment_info": "1"}
        mine = session(model, devices, whole=False, entries=entries)
        theirs = session(model)
        (name, given), = net.g.feeds.items()
        good = True
        for batch in (given, given, net.data(net.shape[0] + 1)):
            if batch.shape != given.shape and model.graph.input[0].type.tensor_type.shape.dim[0].dim_value:
                continue
            wrong, count = differing(mine.run(None, {name: batch}), theirs.run(None, {name: batch}))
            total += count
            if wrong:
                print(f"FAIL graph {index}: {wrong} of {count} values differ")
                good = False
        # A way through the graph leaves us at each node that is not ours, and before the dynamic product.
        parts = fused(mine)
        steps, nodes = steps + len(net.values), nodes + parts
        if parts > net.outside + 2:
            print(f"FAIL graph {index}: {parts} nodes of ours, with {net.outside} between")
            good = False
        failed += not good
    print(f"{args.graphs} graphs of {steps} ops in {nodes} nodes of ours, {total} values")
    print(f"{args.graphs - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
