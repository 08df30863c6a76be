#!/bin/sh
# The TensorFlow Lite delegate, in the interpreters that users install. By hand: it downloads some 100 MB of
# Python packages at first.
#
# usage: tests/tflite/run.sh [BUILD]      BUILD: default build
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
sh ci/tflite.sh "$build/tflite" --tests
cmake -S . -B "$build" >/dev/null
cmake --build "$build" --target qdot_tflite -j "$(nproc)" >/dev/null
status=0
for package in tflite_runtime ai_edge_litert; do
    echo "$package:"
    "$build/tflite/python/bin/python" tests/tflite/ops.py "$build/libqdot_tflite.so" --package $package || status=1
done
exit $status
