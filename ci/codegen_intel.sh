#!/bin/sh
# What the OpenCL rows become on Intel's GPUs, by Intel's own compiler, which needs none: a table as that of
# ci/codegen.sh. Fails where a row that claims an instruction has none on a target that owns it, where a
# kernel spills, or where a control does not show what it must.
#
# usage: ci/codegen_intel.sh BUILD_DIRECTORY     (needs ocloc as of Debian unstable's intel-ocloc: Debian
# 12's leaves dot products as calls, and has no DPAS. Made there, or where BUILD_DIRECTORY is seen there.)
set -u
build=${1:?usage: codegen_intel.sh BUILD_DIRECTORY}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/qdot-codegen.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

verdict() { # verdict TRUE? WHAT
    if [ "$1" = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $2"
    fi
}

# To $scratch/out: the assembly of each kernel, and .ze_info.
front() { # front ROW TARGET OPTIONS...
    row=$1 target=$2
    options=$(sed -n '1s/^\/\/ [0-9]* //p;q' "$scratch/$row.cl")
    shift 2
    rm -rf "$scratch/out" "$scratch/binary"
    ocloc compile -file "$scratch/$row.cl" -device "$target" -out_dir "$scratch/binary" -output k -output_no_suffix \
        -options "$options $*" >"$scratch/front" 2>&1 &&
        ocloc disasm -file "$scratch/binary/k.bin" -device "$target" -dump "$scratch/out" >>"$scratch/front" 2>&1
}

count() { # count KERNEL INSTRUCTION
    grep -c "$2" "$scratch/out/.text.$1.asm"
}

# "kernel registers spills local lanes" of every kernel compiled. Spills are in bytes.
resources() {
    awk '/^ *- *name: / { flush(); name = $NF } /^functions:|^kernels_misc_info:/ { flush() }
         /grf_count:/ { registers = $2 } /spill_size:/ { spills = $2 } /slm_size:/ { shared = $2 }
         / simd_size:/ { lanes = $2 }
         function flush() {
             if (registers) print name, registers, spills + 0, shared + 0, lanes
             registers = spills = shared = 0
         }
         END { flush() }' "$scratch/out/.ze_info"
}

line() { # line ROW TARGET INSTRUCTION KERNEL
    if ! front "$1" "$2"; then
        verdict no "$1 $2: $(grep -m 1 -E 'error' "$scratch/front")"
        return
    fi
    resources >"$scratch/resources"
    total=$(count "$4" "$3")
    # shellcheck disable=SC2046 # words
    printf '%-26s %-10s %6s %9s %7s %8s %6s\n' "$1" "$2" "$total" \
        $(awk -v k="$4" '$1 == k { print $2, $3, $4, $5 }' "$scratch/resources")
    verdict "$([ "${total:-0}" -ge 16 ] && echo yes)" "$1 $2: claims $3, and has $total in its loop of 16 at least"
    verdict "$(awk '$3 > 0 { bad = bad " " $1 } END { print bad ? bad : "yes" }' "$scratch/resources")" "$1 $2: spills"
}

command -v ocloc >/dev/null || { echo "0 passed, 0 failed, 1 skipped (no ocloc)"; exit 0; }
"$build/opencl_texts" u8 "$scratch" || exit 1
printf '%-26s %-10s %6s %9s %7s %8s %6s\n' row target found registers spills local lanes
for file in "$scratch"/*.cl; do
    row=$(basename "$file" .cl)
    case $row in
    *_dpas8) for target in dg2 arl-h; do line "$row" $target dpas mma; done ;;
    *_dpas16) for target in pvc bmg lnl-m ptl-h; do line "$row" $target dpas mma; done ;;
    # Of PVC the compiler takes 32 lanes with registers for 16, and spills: there DPAS is first.
    *_64x64k4*_khrdot) for target in tgllp dg2 mtl-u bmg; do line "$row" $target dp4a block; done ;;
    gemv_*_khrdot) for target in tgllp dg2 bmg; do line "$row" $target dp4a gemv; done ;;
    esac
done

# Controls: what is looked for is not found where it cannot be.
verdict "$(front gemm_128x128k32_dpas8 tgllp || echo yes)" 'control: Tiger Lake has no DPAS, and took it'
verdict "$(front gemm_128x128k32_dpas8 dg2 -cl-intel-128-GRF-per-thread && resources | awk '$1 == "mma" && $3 > 0 { print "yes" }')" \
    'control: 128 registers do not show as spills'
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
