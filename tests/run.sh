#!/bin/sh
# The tests, set-up included: installs what is missing, builds, and runs everything that a change
# must pass. Prints a line a step; the output of a step is in its log, whose end is shown when it
# fails. Last line: "N passed, N failed, N skipped" over all steps; exit 0 when nothing failed.
#
# QDOT_BUILD: build directory (default build-tests). QDOT_STEPS: only steps whose names match one
# of these patterns, separated by spaces; "everyday" is those that take no more than minutes.
set -u
everyday='install build symbols inner-loops counted selfcheck reports api-* conform-cpu conform-opencl codegen*
    coop-spirv cache *-numpy onnxruntime tflite small-device consumer packages bench'
cd "$(dirname "$0")/.." || exit 2
source=$PWD
build=${QDOT_BUILD:-build-tests}
case $build in /*) ;; *) build=$source/$build ;; esac
logs=$build/logs
mkdir -p "$logs" || exit 2
set -f
steps=
for pattern in ${QDOT_STEPS:-}; do
    [ "$pattern" != everyday ] || pattern=$everyday
    steps="$steps $pattern"
done
jobs=$(nproc 2>/dev/null || echo 2)
# Programs that drivers compile are kept beside the build: a second run need not compile them again.
export XDG_CACHE_HOME="$build/cache" POCL_CACHE_DIR="$build/cache/pocl" MESA_SHADER_CACHE_DIR="$build/cache"
mkdir -p "$POCL_CACHE_DIR"
# Nor need a step compile what another has compiled (tests/steps.sh).
export CCACHE_DIR="$build/cache/ccache" CCACHE_BASEDIR="$source"
# shellcheck source=../ci/no_sysfs.sh
. "$source/ci/no_sysfs.sh"
# Steps run side by side, as many as there are tokens in the pipe. Each adds a line of counts.
slots=$((jobs < 4 ? jobs : 4))
rm -f "$logs/slots" "$logs/counts"
mkfifo "$logs/slots" || exit 2
exec 9<>"$logs/slots"
for i in $(seq $slots); do echo "$i" >&9; done

# step NAME SECONDS COMMAND...: adds up the lines of counts in its log, or counts itself as one. In a
# shell of its own, so that the time of its children is that of the step.
step() (
    name=$1 limit=$2
    shift 2
    wanted "$name" || return 0
    log=$logs/$name.log
    begin=$(date +%s)
    timeout -k 10 "$limit" sh -c '. "$0"; "$@"' "$source/tests/steps.sh" "$@" >"$log" 2>&1 </dev/null 9>&-
    status=$?
    counts=$(awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5; n++ }
                  END { if (n) print p, f, s }' "$log")
    # shellcheck disable=SC2086 # three words
    set -- ${counts:-0 0 0}
    if [ $status -ne 0 ] && [ "$2" -eq 0 ]; then
        set -- "$1" 1 "$3" # it failed, whatever it counted
    elif [ $status -eq 0 ] && [ -z "$counts" ]; then
        set -- 1 0 0
    fi
    times >"$log.times"
    cpu=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, "[ms]"); s += 60 * t[1] + t[2] } printf("%.0f", s) }' "$log.times")
    echo "$1 $2 $3 $cpu" >>"$logs/counts"
    say "$@" >"$log.said"
    cat "$log.said"
    [ "$2" -eq 0 ]
)

say() { # say PASSED FAILED SKIPPED
    printf '%-18s %5s passed  %3s failed  %3s skipped  %4s s  %4s s of CPU\n' "$name" "$1" "$2" "$3" \
        $(($(date +%s) - begin)) "$cpu"
    if [ "$2" -gt 0 ]; then
        [ $status -eq 124 ] && echo "    time limit of $limit s"
        grep -a -E '^(fail|crash|timeout|(not_run|refused).*required|FAIL|not ok)' "$log" | head -n 20
        tail -n 20 "$log" | sed 's/^/    /'
        echo "    log: $log"
    fi
    grep -a -E '^(not_run|refused|skip)|# SKIP' "$log" | sort -u | head -n 12 | sed 's/^/    /'
}

# One that needs no other but those above it.
beside() {
    read -r slot <&9
    (step "$@"; echo "$slot" >&9) &
}

wanted() {
    [ -n "$steps" ] || return 0
    for pattern in $steps; do
        # shellcheck disable=SC2254 # a pattern it is
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}

finish() {
    wait
    awk '{ p += $1; f += $2; s += $3; cpu += $4 }
         END { printf("%d s of CPU\n%d passed, %d failed, %d skipped\n", cpu, p, f, s); exit f > 0 || !p }' "$logs/counts"
    exit
}

export source build jobs
step install 900 install_packages || finish
step build 600 build_all || finish
# The longest ones first.
beside mutants 1500 mutants
beside emulate 600 emulate
beside conform-vulkan 600 conform_vulkan
beside oclgrind 600 oclgrind_races
beside fuzz 1200 fuzz
beside symbols 30 symbols
beside inner-loops 60 inner_loops
beside counted 60 counted
beside selfcheck 600 selfcheck
beside reports 300 reports
beside api-cpu 400 api cpu
beside api-opencl 600 api opencl
beside api-vulkan 600 api vulkan
beside conform-cpu 400 conform_cpu
beside conform-opencl 900 conform_opencl
beside codegen 600 codegen
beside codegen-vulkan 600 codegen_vulkan
beside coop-spirv 60 coop_spirv
beside cache 600 cache
beside gemm-numpy 600 gemm_numpy
beside conv-numpy 600 conv_numpy
beside quantize-numpy 600 quantize_numpy
beside oracles 600 oracles
beside onnxruntime 1200 onnxruntime
beside tflite 900 tflite
beside sanitize 900 sanitize
beside threads 900 thread_sanitizer
beside small-device 60 small_device
beside validation 600 validation
beside faults 600 driver_faults
beside consumer 400 consumer
beside packages 120 packages
beside bench 300 bench_smoke
finish
