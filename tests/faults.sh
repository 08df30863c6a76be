#!/bin/sh
# Drivers that fail (tests/faults.c), and what 'qdot conform' makes of drivers that answer wrongly,
# hang, go away or lie about their limits (tests/fault_layer.h).
# usage: faults.sh BUILD; QDOT_FAULTS=--every: each call fails, not one of each place.
# Prints a line a check and "N passed, N failed, N skipped".
set -u
build=$1
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
layer=$build/fault_layer/libvulkan.so.1
if ! [ -f "$layer" ] || ! [ -x "$build/faults" ]; then
    echo "skip: no fault layer: it needs both backends, and libvulkan.so"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

bad() {
    echo "FAIL $*"
    failed=$((failed + 1))
}

# ---- is every function there? --------------------------------------------------------------------

# Those of Vulkan that return nothing cannot fail.
here=$(dirname "$0")
void='vkGet(Physical|Device|Buffer).*|vkCmd.*|vkUpdateDescriptorSets'
missing=$(sed -n 's/^ *X(\(\(cl\|vk\)[A-Za-z]*\)).*/\1/p' "$here/../host/opencl/opencl.h" "$here/../host/vulkan/vk.h" |
    grep -v -x -E "$void" | while read -r name; do
    kind=${name#vkCreate} kind=${kind#vkDestroy}
    grep -q -E "\(${name}[,)]|MAKER\(${kind}," "$here"/fault_opencl.c "$here"/fault_vulkan.c || echo "$name"
done)
if [ -z "$missing" ]; then
    echo "ok   each function that the library calls is in the layer"
    passed=$((passed + 1))
else
    bad "not in the layer: $missing"
fi

# ---- every call fails once -----------------------------------------------------------------------

every_call() { # every_call DEVICE
    # shellcheck disable=SC2086 # words, or none
    "$build/faults" "$1" ${QDOT_FAULTS:-} >"$tmp/$1" 2>&1
    echo $? >"$tmp/$1.status"
}
count_calls() {
    grep -v ' skipped$' "$tmp/$1"
    counts=$(tail -n 1 "$tmp/$1" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, 0 skipped$/\1 \2/p')
    # shellcheck disable=SC2086 # two words
    set -- "$1" ${counts:-0 1}
    passed=$((passed + $2)) failed=$((failed + $3))
    [ "$(cat "$tmp/$1.status")" -eq 0 ] || [ "$3" -gt 0 ] || bad "faults $1 left with a failure"
}

# ---- what conform says ---------------------------------------------------------------------------

# says WHAT STATUS PATTERN DEVICE KERNEL [VARIABLE...]: exit status and a line of the output
says() {
    what=$1 status=$2 pattern=$3 device=$4 kernel=$5
    shift 5
    env "$@" LD_PRELOAD="$layer" "$build/qdot" conform --device "$device" --kernel "$kernel" \
        --require "$kernel" --group "${group:-edge,buffers}" --cases 4 --timeout "${limit:-60}" --shrink "${shrink:-0}" \
        >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ $got -eq "$status" ] && grep -q -E "$pattern" "$tmp/out"; then
        echo "ok   $device: $what"
        passed=$((passed + 1))
    else
        bad "$device: $what: exit status $got, expected $status and '$pattern'"
        head -n 6 "$tmp/out" "$tmp/err"
    fi
}
right='^[1-9][0-9]* passed, 0 failed'

# conform opens devices and tests rows in the same children as cases: early faults meet the self-test
check_device() { # check_device DEVICE KERNEL
    says 'nothing planted' 0 "$right" "$1" "$2" QDOT_FAULT_LIES=
    says 'a result with a wrong bit' 1 "^fail .*$2 .*a wrong value at run" "$1" "$2" QDOT_FAULT="corrupt:$3"
    shrink=30 says 'the smallest case of it' 1 '^ *smallest: gemm 1x1x1 u8s8 s32 a=x01 b=x01' "$1" "$2" QDOT_FAULT="corrupt:$3"
    says 'a kernel that does not run' 1 "^fail .*$2 .*a wrong value at run|self-test: .* expected" "$1" "$2" \
        QDOT_FAULT="drop:$4"
    says 'a device that is lost' 1 "^(fail|refused|not_run) .*$2 " "$1" "$2" QDOT_FAULT="lose:$5:$6"
    limit=3 says 'a call that hangs' 1 '^timeout ' "$1" "$2" QDOT_FAULT="hang:$5"
}

# A row whose results are wrong when it is tuned is named, and not in the file; corrupted from the n-th
# result on: behind those of its self-test.
tuned() { # tuned N
    QDOT_FAULT=corrupt:$1 LD_PRELOAD=$layer "$build/qdot" tune --device opencl:0 --shape 33x17x40 -o "$tmp/tuned.json" \
        >"$tmp/out" 2>"$tmp/err"
    got=$?
    wrong=$(sed -n 's/^qdot tune: .*: \([a-z]*\/[a-z0-9_]*\): .*\(expected\|differ\).*/\1/p' "$tmp/err")
    if [ $got -eq 1 ] && [ -n "$wrong" ] && ! grep -q -F "$wrong" "$tmp/tuned.json"; then
        echo "ok   opencl:0: tuned, a wrong result"
        passed=$((passed + 1))
    else
        bad "opencl:0: tuned, a wrong result: exit status $got, '$wrong'"
        head -n 6 "$tmp/out" "$tmp/err"
    fi
}

limits_of_opencl() {
    says 'small work-groups' 0 "$right" opencl:0 'opencl/gemm_8x16k4' QDOT_FAULT_LIES=group=4,item=2
    says 'work-groups smaller than a row needs' 1 'needs work-groups of' opencl:0 'opencl/gemm_64x64k4' \
        QDOT_FAULT_LIES=group=64
    says 'kernels with smaller work-groups than the device' 1 'in work-groups of' opencl:0 \
        'opencl/gemm_64x64k4' QDOT_FAULT_LIES=kernel_group=64
    says 'little memory' 1 'allocates at most' opencl:0 'opencl/gemm_8x16k4' QDOT_FAULT_LIES=alloc=2000
    says 'flushed subnormals' 0 "$right" opencl:0 'opencl/gemm_8x16k4' QDOT_FAULT_LIES=floats=6
    says 'an extension that is not there' 1 'self-test: clBuildProgram' opencl:0 \
        'opencl/gemm_8x16k4_khrdot' QDOT_FAULT_LIES=extension=cl_khr_integer_dot_product,dot=3
    says 'one that is listed, and answers no question' 1 'needs khr_dot' opencl:0 \
        'opencl/gemm_8x16k4_khrdot' QDOT_FAULT_LIES=extension=cl_khr_integer_dot_product,dot=0
}

limits_of_vulkan() {
    says 'memory that must be flushed and invalidated' 0 "$right" vulkan:0 'vulkan/gemm_8x16k4' \
        QDOT_FAULT_LIES=shadow=1
    says 'few work-groups a dispatch' 0 "$right" vulkan:0 'vulkan/gemm_8x16k4' QDOT_FAULT_LIES=groups_down=1
    says 'the same of a convolution' 0 "$right" vulkan:0 'vulkan/conv_8x16k4' QDOT_FAULT_LIES=groups_down=1
    says 'buffers that begin every 256 bytes' 0 "$right" vulkan:0 'vulkan/gemm_8x16k4' QDOT_FAULT_LIES=align=256
    says 'little shared memory' 1 'bytes of shared memory, the device has 1024' vulkan:0 \
        'vulkan/gemm_64x64k64_float' QDOT_FAULT_LIES=shared=1024
    says 'small work-groups' 1 'a work-group of .* the device has at most 32' vulkan:0 \
        'vulkan/gemm_64x64k64_float' QDOT_FAULT_LIES=invocations=32
    says 'little memory' 1 'the device allocates at most 4096' vulkan:0 'vulkan/gemm_8x16k4' \
        QDOT_FAULT_LIES=alloc=4096
    says 'buffers of which shaders see little' 1 'a shader sees at most 256' vulkan:0 'vulkan/gemm_8x16k4' \
        QDOT_FAULT_LIES=range=256
    says 'a dot product that is not there' 1 'needs int_dot' vulkan:0 'vulkan/gemm_8x16k4_dot' \
        QDOT_FAULT_LIES=dot=0
}

# Each group of checks of the device itself, on a device that is wrong there.
checked() { # checked WHAT STATUS PATTERN DEVICE CHECKS [VARIABLE...]
    what=$1 status=$2 pattern=$3 device=$4 checks=$5
    shift 5
    env "$@" LD_PRELOAD="$layer" "$build/qdot" conform --device "$device" --kernel "$checks" \
        --require "$checks" --small --known "$here/known.txt" --timeout 60 >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ $got -eq "$status" ] && grep -q -E "$pattern" "$tmp/out"; then
        echo "ok   $device: $checks: $what"
        passed=$((passed + 1))
    else
        bad "$device: $checks: $what: exit status $got, expected $status and '$pattern'"
        head -n 6 "$tmp/out" "$tmp/err"
    fi
}
checks_of_both() { # checks_of_both DEVICE RESULT: one past those of the self-test
    checked 'arithmetic with a wrong bit' 1 '^fail .*device/integer .*a wrong value at \[0\], a = ' "$1" \
        device/integer QDOT_FAULT=corrupt:1
    checked 'loads that do not happen' 1 '^fail .*device/load .*a wrong value' "$1" device/load QDOT_FAULT=drop:1
    checked 'a build with a wrong result' 1 '^fail .*device/build .*twice: a wrong value' "$1" device/build \
        QDOT_FAULT=corrupt:1
    checked 'results that go wrong after a while' 1 '^fail .*device/concurrency ' "$1" device/concurrency \
        QDOT_FAULT=corrupt:40
    checked 'a cache of which nothing comes right' 1 '^fail .*device/cache ' "$1" device/cache QDOT_FAULT=corrupt:3
    group=determinism says 'a result that is another one later' 1 '^fail .*determinism .*, in repeat [0-9]' "$1" \
        "${1%%:*}/gemm_8x16k4" QDOT_FAULT="corrupt:$2"
}
checks_of_opencl() {
    checked 'nothing planted' 0 "$right" opencl:0 'device/advertised,device/limits,device/build' QDOT_FAULT_LIES=
    checked 'an extension that is not there' 1 '^fail .*dot_product: claimed, but clBuildProgram' opencl:0 \
        device/advertised QDOT_FAULT_LIES=extension=cl_khr_integer_dot_product,dot=3
    checked 'work-groups that do not run' 1 '^fail .*the largest work-group: ' opencl:0 device/limits \
        QDOT_FAULT_LIES=group=8192,item=8192
    checked 'kernels with smaller ones than the device' 1 '^fail .*CL_KERNEL_WORK_GROUP_SIZE is 64 ' opencl:0 \
        device/limits QDOT_FAULT_LIES=kernel_group=64
    checked 'local memory that is not there' 1 '^(crash|fail) .* all local memory: ' opencl:0 device/limits \
        QDOT_FAULT_LIES=local=16777216
    checked 'larger buffers than it says' 1 '^fail .*a buffer of 4097 bytes is made' opencl:0 device/limits \
        QDOT_FAULT_LIES=alloc=4096
    checked 'a compiler that fails' 1 '^fail .*a program built twice: does not compile' opencl:0 device/build \
        QDOT_FAULT=fail:6:-11 QDOT_FAULT_CALL=clBuildProgram
}
checks_of_vulkan() {
    checked 'nothing planted' 0 "$right" vulkan:0 'device/dot,device/advertised,device/build' QDOT_FAULT_LIES=
    checked 'another size of subgroups' 1 '^fail .*the size of a subgroup: a wrong value' vulkan:0 \
        device/advertised QDOT_FAULT=corrupt:1
    checked 'less than every device has' 1 '^fail .*maxStorageBufferRange is 256' vulkan:0 device/limits \
        QDOT_FAULT_LIES=range=256
    checked 'a compiler that fails' 1 '^fail .*vkCreateComputePipelines: error -5' vulkan:0 device/build \
        QDOT_FAULT=fail:2 QDOT_FAULT_CALL=vkCreateComputePipelines
}

"$build/qdot" conform --list >"$tmp/list"
have() {
    grep -q "^row  *$1 .*admitted" "$tmp/list" && return 0
    echo "skip: no $1"
    skipped=$((skipped + 1))
    return 1
}
have opencl:0 && opencl=yes || opencl=no
have vulkan:0 && vulkan=yes || vulkan=no
[ "$opencl" = no ] || every_call opencl:0 &
[ "$vulkan" = no ] || every_call vulkan:0 &
wait
if [ "$opencl" = yes ]; then
    count_calls opencl:0
    check_device opencl:0 'opencl/gemm_8x16k4' 4 9 400 -36
    limits_of_opencl
    tuned 14
    checks_of_both opencl:0 40
    checks_of_opencl
fi
if [ "$vulkan" = yes ]; then
    count_calls vulkan:0
    check_device vulkan:0 'vulkan/gemm_8x16k4' 23 12 150 -4
    limits_of_vulkan
    checks_of_both vulkan:0 120
    checks_of_vulkan
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
