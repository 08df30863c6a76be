#!/bin/sh
# The ONNX Runtime execution provider, in the wheel that users install: random models of every op and random graphs of
# many, EPContext models, what crosses between device and host, and the ONNX project's node tests, on each device; and 'qdot quantize' against the runtime. Downloads some 100 MB from a Debian
# mirror and PyPI at first; where these cannot be reached, all is skipped. Lines that begin with 'oracle' are a table of
# who was compared with, for what, and how many values differ; the last line is "N passed, N failed, N skipped".
#
# usage: tests/ort/run.sh [BUILD]      BUILD: default build
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
# shellcheck source=tests/adapters.sh
. tests/adapters.sh
set_up onnxruntime ORT_HEADERS qdot_ort_ep qdot_command
library=$build/libqdot_ort_ep.so
# The devices with memory of their own have fewer models: what they compute is the library's, tested there.
for device in $("$python" tests/ort/common.py "$library"); do
    if [ "$device" = cpu ]; then
        run tests/ort/ops.py "$library"
        run tests/ort/graphs.py "$library"
        run tests/ort/context.py "$library"
    else
        run tests/ort/ops.py "$library" --device "$device" --models 6 --values 5000
        run tests/ort/graphs.py "$library" --device "$device" --graphs 12
        run tests/ort/context.py "$library" --device "$device" --layers 4
        run tests/ort/copies.py "$library" --device "$device"
    fi
done
run tests/ort/nodes.py "$library" "$build/qdot" "$build/onnxruntime/usr/share/libonnx-testdata"
run tests/ort/quantize.py "$build/qdot"
total
