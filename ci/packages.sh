#!/bin/sh
# The Debian packages, from nothing, and a proof that they work: built and looked at by lintian on Debian
# 12, then on bare systems of Debian 12 and 13 installed, used and purged. Needs root and debootstrap; the
# systems are directories (ci/chroot.sh), and this machine stays as it is. Takes minutes, less the next time.
#
#   ci/packages.sh DIRECTORY [SUITE...]   works in DIRECTORY and leaves the packages in DIRECTORY/packages
#
# SUITE: where they are tried (default: bookworm trixie).
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)

die()
{
    echo "ci/packages.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || die "expected a directory"
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- bookworm trixie
work=$directory/work
packages=$directory/packages
log=$directory/log
trap 'rm -rf "$directory/tried"' EXIT

# In a system: its command's output goes to the log, whose end is shown when it fails.
within() # within SYSTEM COMMAND...
{
    system=$directory/$1
    shift
    sh "$source/ci/chroot.sh" run "$system" --bind "$work" "$@" >"$log" 2>&1 </dev/null || {
        tail -n 30 "$log" >&2
        die "in $system: $* failed"
    }
}

build()
{
    echo "building on Debian 12"
    sh "$source/ci/chroot.sh" bookworm "$directory/build" gcc cmake make pkg-config libc6-dev dpkg-dev file \
        libvulkan-dev ocl-icd-opencl-dev glslc libpthreadpool-dev libcjson-dev libjansson-dev lintian
    sh "$source/ci/onnxruntime.sh" "$work/onnxruntime" || echo "no headers of ONNX Runtime: no package qdot-onnxruntime"
    sh "$source/ci/tflite.sh" "$work/tflite" || echo "no headers of TensorFlow Lite: no package qdot-tflite"
    within build cmake -S "$source" -B "$work/build" -DCMAKE_INSTALL_PREFIX=/usr -DQDOT_TESTS=OFF \
        -DQDOT_ORT_INCLUDE="$work/onnxruntime/usr/include/onnxruntime" -DQDOT_TFLITE_INCLUDE="$work/tflite/usr/include"
    within build cmake --build "$work/build" -j "$(nproc)"
    rm -f "$work"/build/*.deb
    within build sh -c "cd '$work/build' && cpack"
    rm -rf "$packages"
    mkdir -p "$packages"
    cp "$work"/build/*.deb "$packages"
    # shellcheck disable=SC2016 # for the shell in there
    within build sh -c 'cd "$1" && lintian --allow-root --fail-on error,warning ./*.deb' sh "$work/build"
    cat "$log"
    echo "lintian: no error, no warning"
}

# shellcheck disable=SC2016 # for the shell in there
# What runs in a bare system. First the library, the command and the adapter alone.
use='
    set -e
    cd "$1"
    source=$2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    find / -xdev -name "*qdot*" -not -path "/proc/*" -not -path "$1/*" -not -path "$source/*" | LC_ALL=C sort >/tmp/before
    apt-get -q -y --no-install-recommends install $(ls ./*.deb | grep -v -e -dev_)
    qdot devices
    npy() { printf "\\223NUMPY\\001\\000v\\000%-117s\n" "{\"descr\": \"$1\", \"fortran_order\": False, \"shape\": $2, }" | tr "\"" "\047"; }
    { npy "|u1" "(2, 3)"; printf "\\001\\002\\003\\004\\005\\006"; } >/tmp/a.npy
    { npy "|i1" "(3, 2)"; printf "\\001\\377\\002\\376\\003\\375"; } >/tmp/b.npy
    qdot gemm /tmp/a.npy /tmp/b.npy -o /tmp/c.npy --device cpu
    [ "$(tail -c 16 /tmp/c.npy | od -A n -t d4 | tr -s " ")" = " 14 -14 32 -32" ]
    ! ldd /usr/lib/*/qdot/*.so | grep "not found" || exit 1
    gzip -dc /usr/share/man/man1/qdot.1.gz 2>/dev/null | grep -q "^.TH QDOT" || echo "manual pages are not installed here"

    # Then with what compiling takes: the program of README.md and the runtime of docs/runtime.md with that alone.
    apt-get -q -y --no-install-recommends install gcc libc6-dev pkg-config make cmake ./libqdot-dev_*.deb
    qdot=$(pkg-config --cflags --libs qdot)
    programs() { awk -v to="/tmp/$1" "/^\`\`\`c$/ { on = ++n; next } /^\`\`\`$/ { on = 0 } on { print > (to on \".c\") }" "$2"; }
    programs readme "$source/README.md"
    programs runtime "$source/docs/runtime.md"
    programs interop "$source/docs/interop.md"
    cc -std=c99 -Wall -Wextra -Werror /tmp/readme1.c -o /tmp/readme $qdot
    /tmp/readme
    cat /tmp/runtime[0-9]*.c >/tmp/runtime.c
    cc -std=c11 -pthread -Wall -Wextra -Werror /tmp/runtime.c -o /tmp/runtime $qdot
    /tmp/runtime cpu

    # With the headers that libqdot-dev suggests: a host of OpenCL, which has no device here (77), one of Vulkan.
    apt-get -q -y --no-install-recommends install ocl-icd-opencl-dev libvulkan-dev
    cc -std=c99 -Wall -Wextra -Werror /tmp/interop1.c -o /tmp/interop $qdot -lOpenCL
    /tmp/interop || [ $? -eq 77 ]
    cc -std=c99 -Wall -Wextra -Werror -c /tmp/interop2.c -o /tmp/interop2.o $qdot
    cc -std=c99 "$source/tests/consumer/main.c" -o /tmp/consumer $qdot
    /tmp/consumer
    cmake -S "$source/tests/consumer" -B /tmp/consumer-cmake
    cmake --build /tmp/consumer-cmake
    /tmp/consumer-cmake/consumer

    rm -rf /root/.cache/qdot # the user has it: times that were measured
    apt-get -q -y purge $(dpkg-query -W -f "\${Package} " "*qdot*")
    ldconfig
    find / -xdev -name "*qdot*" -not -path "/proc/*" -not -path "$1/*" -not -path "$source/*" | LC_ALL=C sort >/tmp/after
    diff /tmp/before /tmp/after
    ! ldconfig -p | grep qdot || exit 1'

try() # try SUITE
{
    sh "$source/ci/chroot.sh" "$1" "$directory/bare-$1"
    rm -rf "$directory/tried"
    cp -a "$directory/bare-$1" "$directory/tried"
    rm -rf "$work/packages"
    cp -r "$packages" "$work/packages"
    within tried sh -c "$use" sh "$work/packages" "$source"
    grep -E '^(cpu|opencl|vulkan)' "$log" | head -n 3
    echo "$1: installed, used, compiled against, purged without a trace"
}

mkdir -p "$work"
build
for suite; do
    try "$suite"
done
ls -l "$packages"
