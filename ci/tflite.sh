#!/bin/sh
# What the TensorFlow Lite delegate needs beyond ci/install.sh, without a change to the system:
#   ci/tflite.sh DIRECTORY           unpacks there the headers, from Debian unstable's libtensorflow-lite-dev
#   ci/tflite.sh DIRECTORY --tests   and makes a Python environment in DIRECTORY/python, with the interpreters
#                                    of the packages tflite-runtime and ai-edge-litert
set -eu

die()
{
    echo "ci/tflite.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || die "expected a directory"
mkdir -p "$1" || die "cannot make $1"
directory=$(cd "$1" && pwd)
[ $# -lt 2 ] || [ "$2" = --tests ] || die "unknown argument '$2': expected --tests or nothing"

[ -e "$directory/usr/include/tensorflow/lite/core/c/common.h" ] ||
    sh "$(dirname "$0")/unstable.sh" "$directory" libtensorflow-lite-dev || die "no libtensorflow-lite-dev"
[ $# -lt 2 ] || [ -e "$directory/python/complete" ] || {
    /usr/bin/python3 -m venv "$directory/python" || die "no Python environment: install python3-venv"
    # The first was built for NumPy 1; of the second it is pip's word that it wants 2, and works with 1.
    "$directory/python/bin/pip" install -q --retries 1 ai-edge-litert==2.3.0 tflite-runtime==2.14.0 ||
        die "pip could not install the interpreters"
    "$directory/python/bin/pip" install -q --retries 1 'numpy<2' || die "pip could not install numpy"
    touch "$directory/python/complete"
}
