#!/usr/bin/env python3
"""The ONNX project's own node tests (Debian's libonnx-testdata) of the ops that the execution provider
claims, on it alone. A test of another type than 8-bit integers and float32 is no test of ours.

usage: nodes.py LIBRARY DIRECTORY [DEVICE]      DIRECTORY has data/node; DEVICE: 'opencl:0' ..., tensors in its memory
"""

import glob
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from common import register, session

OPS = ("convinteger", "dequantizelinear", "dynamicquantizelinear", "matmulinteger", "qlinearconv",
       "qlinearmatmul", "quantizelinear")  # fmt: skip
# Expected values that wrap where the operator saturates; corrected by the project in 2026.
WRONG = {f"test_qlinearmatmul_{d}_int8_{t}" for d in ("2D", "3D") for t in ("float16", "float32")}
OTHER = ("e4m3fn", "e5m2", "float4", "int2", "int4", "int16", "blocked", "float16", "expanded")


def read(path):
    tensor = onnx.TensorProto()
    with open(path, "rb") as f:
        tensor.ParseFromString(f.read())
    return numpy_helper.to_array(tensor)


def arrays(directory, sort):
    paths = glob.glob(os.path.join(directory, f"{sort}_*.pb"))
    return [read(p) for p in sorted(paths, key=lambda p: int(p.rsplit("_", 1)[1][:-3]))]


def run(path, devices):
    model = onnx.load(os.path.join(path, "model.onnx"))
    mine = session(model, devices)
    for data in sorted(glob.glob(os.path.join(path, "test_data_set_*"))):
        given = dict(zip([i.name for i in model.graph.input], arrays(data, "input"), strict=True))
        for got, want in zip(mine.run(None, given), arrays(data, "output"), strict=True):
            if got.dtype != want.dtype or not np.array_equal(got, want):
                return f"got {got.reshape(-1)[:8]}, expected {want.reshape(-1)[:8]}"
    return None


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    devices = register(sys.argv[1], *sys.argv[3:])
    names = [os.path.basename(p) for p in sorted(glob.glob(os.path.join(sys.argv[2], "data/node/test_*")))]
    names = [n for n in names if n.split("_")[1] in OPS and not any(o in n for o in OTHER if n not in WRONG)]
    passed = failed = skipped = 0
    for name in names:
        if name in WRONG:
            skipped += 1
            print(f"skip {name}: its expected values wrap where the operator saturates")
            continue
        try:
            error = run(os.path.join(sys.argv[2], "data/node", name), devices)
        except Exception as e:  # what the runtime raises has no class of its own
            error = str(e).splitlines()[0]
        passed, failed = passed + (error is None), failed + (error is not None)
        print(f"ok {name}" if error is None else f"FAIL {name}: {error}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
