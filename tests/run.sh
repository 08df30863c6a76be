#!/bin/sh
# The tests, set-up included: installs what is missing, builds, and runs everything that a change
# must pass. Prints a line a step; the output of a step is in its log, whose end is shown when it
# fails. Last line: "N passed, N failed, N skipped" over all steps; exit 0 when nothing failed.
#
# QDOT_BUILD: build directory (default build-tests). QDOT_STEPS: only steps whose names match one
# of these patterns, separated by spaces.
set -u
cd "$(dirname "$0")/.." || exit 2
source=$PWD
build=${QDOT_BUILD:-build-tests}
case $build in /*) ;; *) build=$source/$build ;; esac
logs=$build/logs
mkdir -p "$logs" || exit 2
jobs=$(nproc 2>/dev/null || echo 2)
# Programs that drivers compile are kept beside the build: a second run need not compile them again.
export XDG_CACHE_HOME="$build/cache" POCL_CACHE_DIR="$build/cache/pocl"
mkdir -p "$POCL_CACHE_DIR"
# shellcheck source=../ci/no_sysfs.sh
. "$source/ci/no_sysfs.sh"
all_passed=0
all_failed=0
all_skipped=0

# step NAME SECONDS COMMAND...: adds up the lines of counts in its log, or counts itself as one.
step() {
    name=$1 limit=$2
    shift 2
    wanted "$name" || return 0
    log=$logs/$name.log
    begin=$(date +%s)
    timeout -k 10 "$limit" sh -c '. "$0"; "$@"' "$source/tests/steps.sh" "$@" >"$log" 2>&1 </dev/null
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
    all_passed=$((all_passed + $1))
    all_failed=$((all_failed + $2))
    all_skipped=$((all_skipped + $3))
    printf '%-18s %5s passed  %3s failed  %3s skipped  %4s s\n' "$name" "$1" "$2" "$3" \
        $(($(date +%s) - begin))
    if [ "$2" -gt 0 ]; then
        [ $status -eq 124 ] && echo "    time limit of $limit s"
        grep -a -E '^(fail|crash|timeout|not_run.*required|FAIL|not ok)' "$log" | head -n 20
        tail -n 20 "$log" | sed 's/^/    /'
        echo "    log: $log"
    fi
    grep -a -E '^(not_run|skip)|# SKIP' "$log" | sort -u | head -n 12 | sed 's/^/    /'
    [ "$2" -eq 0 ]
}

wanted() {
    [ -n "${QDOT_STEPS:-}" ] || return 0
    for pattern in $QDOT_STEPS; do
        # shellcheck disable=SC2254 # a pattern it is
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}

finish() {
    echo "$all_passed passed, $all_failed failed, $all_skipped skipped"
    [ "$all_failed" -eq 0 ] && [ "$all_passed" -gt 0 ]
    exit
}

export source build jobs
step install 900 install_packages || finish
step build 600 build_all || finish
step symbols 30 symbols
step inner-loops 60 inner_loops
step counted 60 counted
step selfcheck 240 selfcheck
step api-cpu 240 api cpu
step api-opencl 400 api opencl
step api-vulkan 400 api vulkan
step conform-cpu 240 conform_cpu
step conform-opencl 400 conform_opencl
step emulate 400 emulate
step codegen 300 codegen
step conform-vulkan 400 conform_vulkan
step codegen-vulkan 300 codegen_vulkan
step coop-spirv 60 coop_spirv
step cache 300 cache
step gemm-numpy 300 gemm_numpy
step conv-numpy 300 conv_numpy
step oracles 300 oracles
step sanitize 600 sanitize
step threads 600 thread_sanitizer
step small-device 60 small_device
step oclgrind 300 oclgrind_races
step validation 300 validation
step faults 300 driver_faults
step fuzz 600 fuzz
step consumer 120 consumer
step bench 120 bench_smoke
step mutants 1200 mutants
finish
