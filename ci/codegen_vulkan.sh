#!/bin/sh
# What the Vulkan rows become on AMD's GPUs, by a compiler that needs none: Mesa's RADV takes a family
# by name. A table a family (tests/vk_codegen.c says what is a failure): of each row the dot products of
# packed bytes, registers, spills, shared memory, and the subgroups that a SIMD has room for. Families
# without a dot product are the control: none may be found there. Nothing runs: this proves no result
# and no speed.
#
# usage: ci/codegen_vulkan.sh BUILD_DIRECTORY     (needs Debian's mesa-vulkan-drivers)
# Last line: "N passed, N failed, N skipped", over families.
set -u
build=${1:?usage: codegen_vulkan.sh BUILD_DIRECTORY}
driver=/usr/share/vulkan/icd.d/radeon_icd.x86_64.json
scratch=$(mktemp "${TMPDIR:-/tmp}/qdot-codegen.XXXXXX") || exit 2
trap 'rm -f "$scratch"' EXIT
# Names are of one Mesa or another: 22.3 has gfx1100 and aldebaran, 25.0 navi31 and mi200.
owners='vega20 navi14 navi21 gfx1100|navi31 aldebaran|mi200'
controls='vega10 navi10'
passed=0 failed=0 skipped=0

compile() { # compile FAMILY: 134, an abort, says that this Mesa does not know the name
    VK_ICD_FILENAMES=$driver RADV_FORCE_FAMILY=$1 "$build/vk_codegen" >"$scratch" 2>&1
}

family() { # family NAME|NAME... EXPECTED: dots or none
    for name in $(echo "$1" | tr '|' ' '); do
        compile "$name"
        status=$?
        [ $status -eq 134 ] || break
    done
    if [ $status -eq 134 ]; then
        skipped=$((skipped + 1))
        echo "skip $1: this Mesa has no family of this name"
        return
    fi
    cat "$scratch"
    dots=$(awk '$1 ~ /_(us|u)?dot$/ { sum += $2 } END { print sum + 0 }' "$scratch")
    if [ $status -ne 0 ]; then
        echo "FAIL $name: exit status $status"
    elif [ "$2" = none ] && [ "$dots" -ne 0 ]; then
        echo "FAIL $name: $dots dot products where there is no such instruction"
    elif [ "$2" = dots ] && [ "$dots" -eq 0 ]; then
        echo "FAIL $name: no dot product in any row"
    else
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
}

if ! [ -r "$driver" ] || ! [ -x "$build/vk_codegen" ]; then
    echo "skip: no $driver (install mesa-vulkan-drivers) or no $build/vk_codegen"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
for names in $owners; do
    family "$names" dots
done
for name in $controls; do
    family "$name" none
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
