#!/bin/sh
# Whole models on the ONNX Runtime execution provider and on ONNX Runtime's own CPU provider, side by side: equal
# bits, the share of nodes, times, memory, answers. Set-up included; it downloads some 200 MB of Python packages at first.
#
# usage: bench/models.sh [OPTIONS of models.py]      QDOT_BUILD: build directory (default build)
set -eu
cd "$(dirname "$0")/.."
build=${QDOT_BUILD:-build}
sh ci/onnxruntime.sh "$build/onnxruntime" --models
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$build" --target qdot_ort_ep -j "$(nproc)" >/dev/null
exec "$build/onnxruntime/python/bin/python" bench/models.py "$build/libqdot_ort_ep.so" \
    "$build/onnxruntime/usr/share/libonnx-testdata" "$build/onnxruntime/models" "$build/models" "$@"
