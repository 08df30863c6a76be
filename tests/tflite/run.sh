#!/bin/sh
# The TensorFlow Lite delegate, in the interpreters that users install. Downloads some 100 MB from a Debian mirror and
# PyPI at first; where these cannot be reached, all is skipped. Last line: "N passed, N failed, N skipped".
#
# usage: tests/tflite/run.sh [BUILD]      BUILD: default build
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
# shellcheck source=tests/adapters.sh
. tests/adapters.sh
set_up tflite TFLITE_HEADERS qdot_tflite
for package in tflite_runtime ai_edge_litert; do
    echo "$package:"
    run tests/tflite/ops.py "$build/libqdot_tflite.so" --package $package
done
total
