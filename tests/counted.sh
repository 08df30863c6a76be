#!/bin/sh
# Instructions of one run, or of one creation, counted by valgrind, which has no clock to be wrong and
# no AVX-512: the AVX2 and the portable row, and what is around every row's kernel. No more than
# recorded here (gcc 12, -O3; a fifth to spare), so that a slowdown is seen without a clock.
# usage: counted.sh BUILD_DIRECTORY
set -u
build=${1:?usage: counted.sh BUILD_DIRECTORY}
passed=0 failed=0 skipped=0

if ! command -v valgrind >/dev/null; then
    echo "skip counted instructions: no valgrind"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# count run|create MOST ROW M N K
count() {
    what=$1 most=$2
    shift 2
    if ! "$build/counted" "$@" 2>/dev/null; then # conformance requires the rows that this CPU can run
        skipped=$((skipped + 1))
        echo "skip $what $*: this CPU has no such row"
        return
    fi
    number=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect="counted_$what" "$build/counted" "$@" 2>&1 |
        sed -n 's/^.*Collected : \([0-9]*\)$/\1/p')
    if [ "${number:-0}" -gt 0 ] && [ "$number" -le "$most" ]; then
        passed=$((passed + 1))
        echo "pass $what $*: $number instructions"
    else
        failed=$((failed + 1))
        echo "FAIL $what $*: expected at most $most instructions, got '$number'"
    fi
}

# 15.7 million multiply-adds: 4.4 and 1.8 of them an instruction
count run 4290000 gemm_6x16_avx2 240 256 256
count run 10270000 gemm_12x16 240 256 256
# of which the kernel is the least part
count run 1420 gemm_6x16_avx2 1 16 16
count run 2050 gemm_12x16 1 16 16
# packing 256 KiB; and what there is besides
count create 573000 gemm_6x16_avx2 1 512 512
count create 11500 gemm_6x16_avx2 1 16 16
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
