#!/bin/sh
# The ONNX Runtime execution provider, in the wheel that users install: random models of every op, also as EPContext
# models, and the ONNX project's node tests; and 'qdot quantize' against the runtime. By hand: it downloads some 100 MB of
# Python packages at first.
#
# usage: tests/ort/run.sh [BUILD]      BUILD: default build
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
sh ci/onnxruntime.sh "$build/onnxruntime" --tests
cmake -S . -B "$build" >/dev/null
cmake --build "$build" --target qdot_ort_ep qdot_command -j "$(nproc)" >/dev/null
status=0
for test in "ops.py $build/libqdot_ort_ep.so" "context.py $build/libqdot_ort_ep.so" \
    "nodes.py $build/libqdot_ort_ep.so $build/onnxruntime/usr/share/libonnx-testdata" \
    "quantize.py $build/qdot"; do
    # shellcheck disable=SC2086 # a list of words
    "$build/onnxruntime/python/bin/python" tests/ort/$test || status=1
done
exit $status
