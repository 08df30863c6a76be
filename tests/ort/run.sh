#!/bin/sh
# The ONNX Runtime execution provider, in the wheel that users install: random models of every op, also as EPContext
# models, and the ONNX project's node tests, on each device; what crosses between device and host; and 'qdot quantize' against the runtime. By hand: it downloads some 100 MB of
# Python packages at first.
#
# usage: tests/ort/run.sh [BUILD]      BUILD: default build
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
sh ci/onnxruntime.sh "$build/onnxruntime" --tests
cmake -S . -B "$build" >/dev/null
cmake --build "$build" --target qdot_ort_ep qdot_command -j "$(nproc)" >/dev/null
python=$build/onnxruntime/python/bin/python
library=$build/libqdot_ort_ep.so
status=0
# The devices with memory of their own have fewer models: what they compute is the library's, tested there.
for device in $("$python" tests/ort/common.py "$library"); do
    models=12
    [ "$device" = cpu ] && models=60
    "$python" tests/ort/ops.py "$library" --device "$device" --models "$models" || status=1
    "$python" tests/ort/context.py "$library" --device "$device" --layers 4 || status=1
    "$python" tests/ort/nodes.py "$library" "$build/onnxruntime/usr/share/libonnx-testdata" "$device" || status=1
    [ "$device" = cpu ] || "$python" tests/ort/copies.py "$library" --device "$device" || status=1
done
"$python" tests/ort/quantize.py "$build/qdot" || status=1
exit $status
