#!/bin/sh
# On a device with little, rows that need more are refused before anything is compiled: drivers may end
# the process otherwise. Where there is just enough they run. oclgrind plays the device, and is strict.
#
# usage: small_device.sh BUILD_DIRECTORY
# Last line: "N passed, N failed, N skipped".
set -u
build=${1:?usage: small_device.sh BUILD_DIRECTORY}
passed=0 failed=0

explained() { # explained ROW REASON LIMIT...
    row=$1 reason=$2
    shift 2
    line=$(oclgrind "$@" "$build/qdot" explain --device opencl:0 --kernel "opencl/$row" --shape 64x64x64 2>&1 |
        grep "opencl/$row ")
    case $line in
    *"$reason"*) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        echo "FAIL $row with $*: '$line', expected '$reason'"
        ;;
    esac
}

if ! command -v oclgrind >/dev/null; then
    echo 'skip: no oclgrind'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
explained gemv_4x16k4 'needs 20480 bytes of local memory, the device has 20479' --local-mem-size 20479
explained gemm_64x64k4 'needs 16384 bytes of local memory, the device has 16383' --local-mem-size 16383
explained gemv_4x16k4 'asked for by name' --local-mem-size 20480 --max-wgsize 256
explained gemm_64x64k4 'asked for by name' --local-mem-size 16384 --max-wgsize 256
explained gemv_4x16k4 'needs work-groups of 256 x 1' --max-wgsize 255
explained gemm_64x64k4 'needs work-groups of 16 x 16' --max-wgsize 255
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
