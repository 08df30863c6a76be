#!/bin/sh
# Every software device that Debian and PyPI have, each in a system of its own, through 'qdot conform'.
# Needs root, debootstrap, python3; pip for Intel's runtime.
#
#   ci/stacks.sh            all of them, and writes docs/stacks.md
#   ci/stacks.sh NAME...    these; patterns are taken ('lavapipe*')
#   ci/stacks.sh --list     their names
#
# A system is a chroot that ci/chroot.sh makes, and qdot is built in each, as its users would: another
# compiler, another compiler of shaders, other headers. Results are in build-stacks (QDOT_STACKS), a
# chroot is in build-chroots/SUITE (QDOT_CHROOTS); both are used again. A stack that cannot be brought
# up is reported as skipped with its reason, never as passed.
# Last line: "N passed, N failed, N skipped", over stacks.
set -u
cd "$(dirname "$0")/.." || exit 2
source=$PWD
out=${QDOT_STACKS:-$source/build-stacks}
chroots=${QDOT_CHROOTS:-$source/build-chroots}
case $out in /*) ;; *) out=$source/$out ;; esac
jobs=$(nproc)

# Rows that must run; a pattern of rows, without the backend.
floor='gemm_8x16k4,conv_8x16k4,depthwise_*,quantize,map,max_pool,average_pool'
blocks="$floor,gemm_64x64k4,gemv_4x16k4"
khr="$floor,*_khrdot"
dots="*dot,*_float,*k4,depthwise_*,quantize,map,max_pool,average_pool"
coop="$dots,*_coop"

# SwiftShader cannot pin the rounding of floats: rows refuse some cases, so that nothing of them can be required.
# name | suite | driver | what makes it another device | rows that must run | options of conform
stacks="
pocl-3.1           | bookworm | pocl        |                                                              | $blocks | --cases 10
pocl-3.1-group64   | bookworm | pocl        | POCL_MAX_WORK_GROUP_SIZE=64                                  | $floor  | --cases 10
oclgrind           | bookworm | oclgrind    |                                                              | $floor  | --cases 4 --small --timeout 1200
oclgrind-small     | bookworm | oclgrind    | OCLGRIND_MAX_WGSIZE=64 OCLGRIND_LOCAL_MEM_SIZE=16384         | $floor  | --cases 4 --small --timeout 1200
rusticl-22         | bookworm | rusticl     |                                                              | $floor  | --cases 6 --small
intel-cpu          | bookworm | intel       |                                                              | $blocks,*_khrdot | --cases 10
lavapipe-22-128    | bookworm | lavapipe    | LP_NATIVE_VECTOR_WIDTH=128                                   | $dots   | --cases 6
lavapipe-22-256    | bookworm | lavapipe    | LP_NATIVE_VECTOR_WIDTH=256                                   | $dots   | --cases 6
lavapipe-22-512    | bookworm | lavapipe    | LP_NATIVE_VECTOR_WIDTH=512                                   | $dots   | --cases 6
swiftshader        | bookworm | swiftshader |                                                              | quantize,map,max_pool | --cases 6 --small
pocl-6             | trixie   | pocl        |                                                              | $blocks | --cases 10
pocl-6-small       | trixie   | pocl        | POCL_MAX_WORK_GROUP_SIZE=64 POCL_CPU_LOCAL_MEM_SIZE=16384    | $floor  | --cases 10
pocl-6-local16k    | trixie   | pocl        | POCL_CPU_LOCAL_MEM_SIZE=16384                                | $floor  | --cases 10
rusticl-25         | trixie   | rusticl     |                                                              | $khr    | --cases 6 --small
lavapipe-25        | trixie   | lavapipe    |                                                              | $dots   | --cases 6
pocl-7             | sid      | pocl        |                                                              | $blocks | --cases 10
rusticl-26         | sid      | rusticl     |                                                              | $khr    | --cases 6 --small
lavapipe-26-128    | sid      | lavapipe    | LP_NATIVE_VECTOR_WIDTH=128                                   | $floor  | --cases 6
lavapipe-26        | sid      | lavapipe    |                                                              | $coop   | --cases 6
lavapipe-26-512    | sid      | lavapipe    | LP_NATIVE_VECTOR_WIDTH=512                                   | $floor  | --cases 6
"

in_chroot() { # in_chroot SUITE COMMAND...
    in_suite=$1
    shift
    mkdir -p "$out"
    sh "$source/ci/chroot.sh" run "$chroots/$in_suite" --bind "$out" "$@"
}

absent() { # the reason that the stack cannot be brought up
    printf 'absent\t%s\n' "$*" >>"$out/$name.stack"
    echo "skip  $name: $*"
    skipped=$((skipped + 1))
}

# ---- systems -----------------------------------------------------------------------------------

# A system with qdot built in it, once a run; $problem says why there is none.
bring_up() { # bring_up SUITE
    case " $ready " in *" $1 "*) return 0 ;; esac
    case " $broken " in *" $1 "*) problem="no system $1, as said above"; return 1 ;; esac
    log=$out/$1.log
    if ! sh ci/chroot.sh "$1" "$chroots/$1" ca-certificates >"$log" 2>&1 ||
        ! in_chroot "$1" sh ci/install.sh >>"$log" 2>&1; then
        problem=$(grep -E '^ci/' "$log" | tail -n 1)
    elif ! in_chroot "$1" cmake -S . -B "$out/build-$1" -DCMAKE_BUILD_TYPE=Release >>"$log" 2>&1 ||
        ! in_chroot "$1" cmake --build "$out/build-$1" -j "$jobs" --target qdot_command >>"$log" 2>&1; then
        problem="qdot does not build: $log"
        failed=$((failed + 1))
    else
        ready="$ready $1"
        return 0
    fi
    broken="$broken $1"
    return 1
}

packages() { # packages SUITE PACKAGE...
    suite=$1
    shift
    problem=$(sh ci/chroot.sh "$suite" "$chroots/$suite" "$@" 2>&1 >/dev/null)
}

# Debian's Chromium comes with SwiftShader; the package alone, without what it depends on.
swiftshader() {
    to=$out/swiftshader
    [ -e "$to/usr/lib/chromium/vk_swiftshader_icd.json" ] && return
    problem='apt-get download chromium-common failed'
    mkdir -p "$to"
    # shellcheck disable=SC2016 # for the shell in there
    in_chroot "$1" sh -c 'cd "$0" && apt-get -q update && apt-get -q download chromium-common && dpkg -x chromium-common_*.deb . &&
        dpkg-deb -f chromium-common_*.deb Version >version && rm chromium-common_*.deb' "$to" >"$to.log" 2>&1
}

intel() {
    to=$out/intel
    [ -e "$to/intel.icd" ] && return
    problem='pip download intel-opencl-rt intel-cmplr-lib-rt tbb failed'
    rm -rf "$to"
    mkdir -p "$to"
    python3 -m pip download -q --no-deps -d "$to" intel-opencl-rt intel-cmplr-lib-rt tbb >"$to.log" 2>&1 || return 1
    for wheel in "$to"/*.whl; do
        python3 -m zipfile -e "$wheel" "$to" && rm "$wheel" || return 1
    done
    rm -f "$to"/*.data/data/lib/libOpenCL.so* # Debian's loader finds the ICD file
    # shellcheck disable=SC2012
    ls -d "$to"/intel_opencl_rt-*.data/data/lib/libintelocl.so >"$to/intel.icd"
}

# Packages of a driver beyond what qdot itself asks for, and $settings that leave it the only one.
driver() { # driver NAME SUITE
    none='VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent'
    backend=opencl prefix=
    case $1 in
    pocl) settings="OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd $none" ;;
    rusticl)
        packages "$2" mesa-opencl-icd || return 1
        settings="OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd RUSTICL_ENABLE=llvmpipe $none"
        ;;
    oclgrind)
        packages "$2" oclgrind || return 1
        # The other checks of the device provoke errors, which oclgrind would report.
        settings="OCL_ICD_VENDORS=/nonexistent $none" prefix='oclgrind --data-races'
        options="$options --kernel opencl/*,device/dot,device/integer,device/saturate,device/float,device/load"
        ;;
    intel)
        intel || return 1
        # shellcheck disable=SC2012
        settings="OCL_ICD_VENDORS=$out/intel/intel.icd LD_LIBRARY_PATH=$(ls -d "$out"/intel/*.data/data/lib | paste -sd:) $none"
        ;;
    lavapipe)
        backend=vulkan
        # shellcheck disable=SC2012
        icd=$(ls "$chroots/$2"/usr/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -n 1)
        problem='mesa-vulkan-drivers has no lvp_icd'
        [ -n "$icd" ] || return 1
        settings="OCL_ICD_VENDORS=/nonexistent VK_ICD_FILENAMES=${icd#"$chroots/$2"}"
        ;;
    swiftshader)
        backend=vulkan
        swiftshader "$2" || return 1
        settings="OCL_ICD_VENDORS=/nonexistent VK_ICD_FILENAMES=$out/swiftshader/usr/lib/chromium/vk_swiftshader_icd.json"
        ;;
    esac
}

# ---- one stack ---------------------------------------------------------------------------------

run_stack() { # run_stack NAME SUITE DRIVER SETTINGS REQUIRED OPTIONS
    name=$1 suite=$2 driver=$3 extra=$4 options=$6
    rm -f "$out/$name".*
    printf 'suite\t%s\ndriver\t%s\nsettings\t%s\noptions\t%s\n' "$suite" "$driver" "$extra" "$options" >"$out/$name.stack"
    if ! bring_up "$suite" || ! driver "$driver" "$suite"; then
        absent "$problem"
        return
    fi
    required=$(echo "$5" | sed "s|\\([^,]*\\)|$backend/\\1|g")
    begin=$(date +%s)
    # shellcheck disable=SC2086 # words
    device=$(in_stack $prefix "$out/build-$suite/qdot" conform --list --device cpu 2>&1 | sed -n "s/^device  $backend:0 *//p")
    printf 'device\t%s\n' "$device" >>"$out/$name.stack"
    # shellcheck disable=SC2086
    in_stack timeout "${QDOT_STACK_SECONDS:-3600}" $prefix "$out/build-$suite/qdot" conform --device "$backend:0" --require "$required" --known tests/known.txt \
        --json "$out/$name.json" $options >"$out/$name.out" 2>"$out/$name.err"
    status=$?
    # oclgrind leaves with 0 whatever it finds.
    [ "$driver" != oclgrind ] || [ ! -s "$out/$name.err" ] || status="$status, oclgrind complains"
    seconds=$(($(date +%s) - begin))
    printf 'status\t%s\nseconds\t%s\n' "$status" "$seconds" >>"$out/$name.stack"
    counts=$(tail -n 1 "$out/$name.out")
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        echo "pass  $name: $counts in $seconds s"
        return
    fi
    failed=$((failed + 1))
    [ "$status" != 3 ] || status='3, incomplete,'
    echo "FAIL  $name: exit status $status after $seconds s; $counts"
    grep -a -E '^(fail|crash|timeout|not_run)|required, but' "$out/$name.out" | head -n 8
    echo "    $out/$name.out"
}

in_stack() {
    # shellcheck disable=SC2086 # words
    in_chroot "$suite" env HWLOC_HIDE_ERRORS=2 XDG_CACHE_HOME="$out/cache-$name" POCL_CACHE_DIR="$out/cache-$name/pocl" \
        MESA_SHADER_CACHE_DIR="$out/cache-$name" $settings $extra "$@" </dev/null
}

# ---- all of them -------------------------------------------------------------------------------

wanted() { # wanted NAME PATTERN...
    [ $# -gt 1 ] || return 0
    is=$1
    shift
    for pattern; do
        # shellcheck disable=SC2254 # a pattern it is
        case $is in $pattern) return 0 ;; esac
    done
    return 1
}

names=$(echo "$stacks" | sed -n 's/^\([^ |]*\) *|.*/\1/p')
for argument; do
    case $argument in
    --list) echo "$names"; exit 0 ;;
    *)
        found=
        for name in $names; do wanted "$name" "$argument" && found=yes; done
        [ -n "$found" ] || { echo "ci/stacks.sh: '$argument': expected a name that 'ci/stacks.sh --list' has" >&2; exit 2; }
        ;;
    esac
done
[ "$(id -u)" = 0 ] || { echo 'ci/stacks.sh: must be run as root' >&2; exit 1; }
mkdir -p "$out" || exit 2
echo "$names" >"$out/names"
passed=0 failed=0 skipped=0 ready='' broken='' problem=''
# shellcheck disable=SC2086,SC2116 # echo takes the spaces around away
while IFS='|' read -r name suite driver extra required options <&3; do
    name=$(echo $name)
    if [ -n "$name" ] && wanted "$name" "$@"; then
        run_stack "$name" "$(echo $suite)" "$(echo $driver)" "$(echo $extra)" "$(echo $required)" "$(echo $options)"
    fi
done 3<<END
$stacks
END
to=$out/stacks.md
[ $# -gt 0 ] || to=$source/docs/stacks.md
python3 ci/stacks.py "$out" "$to" || failed=$((failed + 1))
echo "$to"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
