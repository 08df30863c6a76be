#!/bin/sh
# Do the checks notice a defect? Each mutant is one defect planted by sed in a copy of the source
# tree, built and run against the check that ought to see it. A mutant that passes its check or that
# does not build is a failure of this script, as is one whose sed matches nothing: that, before the rest.
#
# usage: tests/mutants.sh [--quick | NAME...]
# Prints a line a mutant, and last "N passed, N failed, N skipped": passed = caught.
set -u
cd "$(dirname "$0")/.." || exit 2
source=$PWD
scratch=$(mktemp -d "${TMPDIR:-/tmp}/qdot-mutants.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
tree=$scratch/tree
build=$tree/build
clean=$scratch/clean
jobs=$(nproc 2>/dev/null || echo 2)
quick="cpu_tile_edge cpu_read_past_k pack_lost_zero_point cpu_ties_away op_wrong_scale"
quick="$quick opencl_tail opencl_race vulkan_no_barrier vulkan_hazard"
passed=0
failed=0
skipped=0
wanted=$*
[ "$wanted" = "--quick" ] && wanted=$quick

mkdir -p "$tree"
tar -C "$source" --exclude='./build*' --exclude=./.git -cf - . | tar -C "$tree" -xf - || exit 2
export XDG_CACHE_HOME="$scratch/cache" # a program compiled from a mutant must not outlive it
export CCACHE_BASEDIR="$tree"          # in this tree a source is what it was in that which tests/run.sh built

# As it was before a mutant: its file, and all that was built of it, with their times, so that nothing is built again.
restore() { # restore FILE
    cp -p "$scratch/original" "$tree/$1"
    find "$build" -type f -newer "$scratch/planted" | while read -r built; do
        if [ -e "$clean/${built#"$build"/}" ]; then
            cp -p "$clean/${built#"$build"/}" "$built"
        else
            rm "$built"
        fi
    done
}

# Before anything is built: does every sed still match?
mutant() {
    sed "$3" "$tree/$2" | cmp -s - "$tree/$2" && echo "$1 $2: NOT APPLIED: its sed matches nothing"
}
# shellcheck source=tests/mutants.list
stale=$(set +u; . "$tree/tests/mutants.list")
if [ -n "$stale" ]; then
    echo "$stale"
    exit 1
fi

# ---- checks: each must pass on the tree as it is, and fail on its mutants -----------------------

conform() {
    timeout 300 "$build/qdot" conform --timeout 120 --shrink 0 "$@"
}
cpu() { # cpu ROW-PATTERN GROUPS
    conform --device cpu --kernel "$1" --require "$1" --group "$2"
}
races() { # likewise; threads that had to wait for a processor may not have met
    cpu "$@" && cpu "$@" && cpu "$@"
}
opencl() { # opencl ROW-PATTERN GROUPS
    conform --device opencl:0 --kernel "$1" --require "$1" --group "$2"
}
# A race between work-items may give right values on a CPU: oclgrind looks for the race itself.
opencl_races() { # opencl_races ROW GROUPS
    timeout 300 oclgrind --data-races "$build/qdot" conform --device opencl:0 --small --cases 4 --shrink 0 \
        --kernel "$1" --group "$2" 2>"$scratch/races" || return 1
    [ ! -s "$scratch/races" ] || { head -n 3 "$scratch/races"; return 1; }
}
vulkan() { # vulkan ROW-PATTERN GROUPS
    conform --device vulkan:0 --kernel "$1" --require "$1" --group "$2"
}
# With memory of which host and device each see their own copy until told.
vulkan_shadow() {
    LD_PRELOAD=$build/fault_layer/libvulkan.so.1 QDOT_FAULT_LIES=shadow=1 vulkan "$@"
}
opencl_faults() { # opencl_faults FUNCTION SCENARIO: its calls fail, one at a time
    QDOT_FAULT_CALL=$1 timeout 300 "$build/faults" opencl:0 "$2"
}
vulkan_faults() {
    QDOT_FAULT_CALL=$1 timeout 300 "$build/faults" vulkan:0 "$2"
}
# A barrier that lacks between dispatches is seen by the validation layer, not by a CPU's values.
layered() { # layered COMMAND...
    sync=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
    VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SYNCVAL_SHADER_ACCESSES_HEURISTIC=1 \
        VK_LAYER_ENABLES=$sync:VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT \
        timeout 300 "$@" >"$scratch/layer" 2>&1 || { cat "$scratch/layer"; return 1; }
    if grep -m 1 -E -o '(SYNC-HAZARD|UNASSIGNED|VUID)-[A-Za-z0-9-]*' "$scratch/layer"; then
        return 1
    fi
}
vulkan_layer() { # vulkan_layer ROW-PATTERN GROUPS
    layered "$build/qdot" conform --device vulkan:0 --cases 5 --shrink 0 --kernel "$1" \
        --require "$1" --group "$2"
}
# Runs on their way together, a host's commands around them.
vulkan_program() { # vulkan_program TEST
    QDOT_TEST_DEVICE=vulkan:0 layered "$build/$1"
}
any_program() { # any_program TEST
    timeout 120 "$build/$1"
}
device() { # device DEVICE CHECKS: those of the device itself
    conform --device "$1" --kernel "$2" --require "$2" --known "$tree/tests/known.txt"
}
opencl_small() {
    sh "$tree/tests/small_device.sh" "$build"
}
# The smallest case of a defect planted in sums of 38 products (or in 38 elements) or more.
smallest() { # smallest ROW GROUP PROBLEM
    "$build/qdot" conform --device cpu --kernel "$1" --group "$2" --cases 40 --fault wrong@38 >"$scratch/smallest"
    grep -q "smallest: $3: a wrong value" "$scratch/smallest" || {
        echo "FAIL $(grep -m 1 -o 'smallest.*' "$scratch/smallest")"
        return 1
    }
}
reports() {
    sh "$tree/tests/reports.sh" "$build/qdot"
}
bench() { # bench SUITES
    timeout 120 "$build/qdot" bench --device cpu --suite "$1" --threads 1 --min-time 0.01 \
        --cache-percent 100,50 --json "$scratch/bench.json" >/dev/null &&
        /usr/bin/python3 "$tree/tests/bench_report.py" "$scratch/bench.json"
}
codegen() { # codegen TARGET
    sh "$tree/ci/codegen.sh" "$build" opencl --targets "$1"
}
counted() {
    sh "$tree/tests/counted.sh" "$build"
}
api() {
    timeout 120 "$build/api_$1"
}
opencl_api() {
    QDOT_TEST_DEVICE=opencl:0 timeout 120 "$build/api_$1"
}

# ---- mutants ------------------------------------------------------------------------------------

compile() { # compile TARGET...
    cmake --build "$build" -j "$jobs" ${1:+--target "$@"} >"$scratch/build.log" 2>&1
}

# What a check runs; linking all the rest for each mutant would take minutes.
target_of() {
    case $1 in
    api | opencl_api) echo "api_$2" ;;
    *_program) echo "$2" ;;
    counted) echo counted ;;
    codegen) echo opencl_texts ;;
    *_faults) echo faults ;;
    *) echo qdot_command ;;
    esac
}

# What a failing check said about it: the first line that is not a pass.
caught_by() {
    awk '/^refused .*self-test/ { print "self-test refuses " $3; exit }
         /^(fail|crash|timeout|refused|not_run) / { print $1 " " $3 " " $4; exit }
         /^FAIL / { print $2 " " $3 " " $4; exit }
         /Failure!|FAILED|ERROR:/ { sub(/^.*\] /, ""); print; exit }
         /wrong or missing/ { print; exit }
         /data race|Invalid|Error|SYNC-HAZARD|UNASSIGNED|VUID/ { print; exit }' "$scratch/check.log" | cut -c 1-70
}

bad() {
    printf '%-24s %-34s %s\n' "$1" "$2" "$3"
    failed=$((failed + 1))
}

# mutant NAME FILE SED-SCRIPT CHECK ARGUMENTS...
mutant() {
    name=$1 file=$2 script=$3
    shift 3
    case " $wanted " in
    "  " | *" $name "*) ;;
    *) return ;;
    esac
    case $1 in
    opencl*) [ -n "$portable" ] || { skip "$name" "$file" "no OpenCL device"; return; } ;;
    vulkan*) [ "$have_vulkan" = yes ] || { skip "$name" "$file" "no Vulkan device"; return; } ;;
    esac
    case $1 in
    cpu | opencl | vulkan) admitted "$2" || { skip "$name" "$file" "no $2 here"; return; } ;;
    *_faults | *_shadow) [ -x "$build/faults" ] || { skip "$name" "$file" "no fault layer"; return; } ;;
    esac
    if { [ "$1" = vulkan_layer ] || [ "$1" = vulkan_program ]; } && ! [ -x "$build/vk_hazard" ]; then
        skip "$name" "$file" "no validation layer"
        return
    fi
    if { [ "$1" = opencl_races ] || [ "$1" = opencl_small ]; } && ! command -v oclgrind >/dev/null; then
        skip "$name" "$file" "no oclgrind"
        return
    fi
    case $1 in
    *_program) [ -x "$build/$2" ] || { skip "$name" "$file" "no $2"; return; } ;;
    esac
    if [ "$1" = counted ] && ! command -v valgrind >/dev/null; then
        skip "$name" "$file" "no valgrind"
        return
    fi
    ran="$ran $name"
    if ! baseline "$@"; then
        cat "$scratch/check.log"
        echo "the tree as it is fails '$*': nothing can be said about mutants"
        exit 1
    fi
    cp -p "$tree/$file" "$scratch/original"
    touch "$scratch/planted"
    sed "$script" "$scratch/original" >"$tree/$file"
    if ! compile "$(target_of "$@")"; then
        bad "$name" "$file" "DOES NOT BUILD: $(grep -m 1 'error' "$scratch/build.log" | cut -c 1-90)"
    elif "$@" >"$scratch/check.log" 2>&1; then
        bad "$name" "$file" "SURVIVED '$*'"
    else
        printf '%-24s %-34s %s\n' "$name" "$file" "$(caught_by)"
        passed=$((passed + 1))
    fi
    restore "$file"
}

skip() {
    printf '%-24s %-34s %s\n' "$1" "$2" "skipped: $3"
    skipped=$((skipped + 1))
    ran="$ran $1"
}

# The same check on the unmutated tree, once.
proven=""
baseline() {
    case $proven in
    *"[$*]"*) return 0 ;;
    esac
    compile "$(target_of "$@")" && "$@" >"$scratch/check.log" 2>&1 && proven="${proven}[$*]"
}

admitted() { # is there an admitted row that matches this pattern?
    while read -r row; do
        # shellcheck disable=SC2254 # a pattern it is
        case $row in $1) return 0 ;; esac
    done <"$scratch/rows"
    return 1
}

if ! cmake -S "$tree" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$scratch/build.log" 2>&1 ||
    ! compile; then
    tail -n 20 "$scratch/build.log"
    echo "the tree as it is does not build"
    exit 1
fi
cp -a "$build" "$clean" || exit 2
"$build/qdot" conform --list >"$scratch/list"
awk '$1 == "row" && $4 == "admitted" { print $3 }' "$scratch/list" >"$scratch/rows"
portable=$(awk '$1 == "row" && $3 ~ "^opencl/gemm" { row = $3 } END { print row }' "$scratch/list")
# shellcheck disable=SC2034 # for the list
opencl_conv=$(awk '$1 == "row" && $3 ~ "^opencl/conv" { row = $3 } END { print row }' "$scratch/list")
have_vulkan=no
grep -q '^row  *vulkan:0' "$scratch/list" && have_vulkan=yes
# shellcheck disable=SC2034 # for the list
portable_cpu=$(awk '$1 == "row" && $3 ~ "^cpu/gemm" { row = $3 } END { print row }' "$scratch/list")
portable_conv=$(awk '$1 == "row" && $3 ~ "^cpu/conv" { row = $3 } END { print row }' "$scratch/list")
ran=""

# shellcheck source=tests/mutants.list
. "$tree/tests/mutants.list"

for name in $wanted; do
    case " $ran " in
    *" $name "*) ;;
    *) bad "$name" "-" "no mutant of this name" ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
