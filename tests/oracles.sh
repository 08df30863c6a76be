#!/bin/sh
# The roundings of qdot.h compared with gemmlowp, oneDNN, XNNPACK and ARM's instructions: builds
# tests/oracles/ as far as there are the packages, and runs tests/oracles.py, which prints the table.
#   tests/oracles.sh BUILD [ARM64]
# ARM64 is a directory with Debian's libxnnpack0 for arm64 and what it needs, as ci/arm64.sh makes it:
# XNNPACK rounds as mant24-up only there. Default: the system, where that architecture is installed.
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
build=$1
arm64=${2:-/}
to=$build/oracles
cc=aarch64-linux-gnu-gcc
library=$arm64/usr/lib/aarch64-linux-gnu/libXNNPACK.so.0
mkdir -p "$to"
set --

has()
{
    command -v "$1" >/dev/null
}

has_xnnpack() # of Debian 12: later ones have another interface
{
    [ -e /usr/include/xnnpack.h ] && ! grep -q xnn_reshape_convolution2d_nhwc_qs8 /usr/include/xnnpack.h
}

if has g++ && [ -e /usr/include/gemmlowp/fixedpoint/fixedpoint.h ]; then
    g++ -O2 -I/usr/include/gemmlowp -o "$to/gemmlowp" "$source/tests/oracles/gemmlowp.cpp" || exit 1
    set -- "$@" --gemmlowp "$to/gemmlowp"
fi
if has g++ && [ -e /usr/include/oneapi/dnnl/dnnl.hpp ]; then
    g++ -O2 -o "$to/onednn" "$source/tests/oracles/onednn.cpp" -ldnnl || exit 1
    set -- "$@" --onednn "$to/onednn"
fi
if has $cc && has qemu-aarch64 && [ -d /usr/aarch64-linux-gnu/include ]; then
    $cc -O2 -static -o "$to/neon" "$source/tests/oracles/neon.c" || exit 1
    set -- "$@" --neon "qemu-aarch64 $to/neon"
    # The headers are no architecture's; those that xnnpack.h wants lie with it.
    if [ -e "$library" ] && has_xnnpack; then
        $cc -O2 -idirafter /usr/include -o "$to/xnnpack" "$source/tests/oracles/xnnpack.c" "$library" \
            -Wl,--allow-shlib-undefined || exit 1
        set -- "$@" --xnnpack "qemu-aarch64 -L $arm64 $to/xnnpack"
        $cc -O2 -idirafter /usr/include -o "$to/xnnpack_conv_arm" "$source/tests/oracles/xnnpack_conv.c" "$library" \
            -Wl,--allow-shlib-undefined || exit 1
        set -- "$@" --xnnpack-conv-arm "qemu-aarch64 -L $arm64 $to/xnnpack_conv_arm"
    fi
fi
if has_xnnpack; then
    cc -O2 -o "$to/xnnpack_conv" "$source/tests/oracles/xnnpack_conv.c" -lXNNPACK || exit 1
    set -- "$@" --xnnpack-conv "$to/xnnpack_conv"
fi
/usr/bin/python3 "$source/tests/oracles.py" "$build/qdot" "$@"
