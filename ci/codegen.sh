#!/bin/sh
# What the OpenCL rows become on real GPUs, by compilers that need none: clang for AMD; clang and
# NVIDIA's ptxas. Prints a table, and fails where a row that claims an instruction has none on a target
# that owns it, where a kernel spills, or where a control does not show what it must.
#
# usage: ci/codegen.sh BUILD_DIRECTORY     (needs Debian's clang-15, clang-19 and libclc-15; ptxas where there is one)
#
# Columns: hardware dot or matrix instructions in the kernel, and in the innermost loop with the most of
# them, of so many instructions there (of NVIDIA in PTX, not in machine code); registers of a work-item;
# spills; bytes of local memory of a work-group. Nothing runs: this proves no result and no speed.
set -u
build=${1:?usage: codegen.sh BUILD_DIRECTORY}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/qdot-codegen.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
nvidia='sm_75 sm_80 sm_90'
amd='gfx906 gfx90a gfx1030 gfx1100'
library=/usr/lib/clc
passed=0 failed=0 skipped=0

skip() {
    skipped=$((skipped + 1))
    echo "skip $1: $2"
}

verdict() { # verdict TRUE? WHAT
    if [ "$1" = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $2"
    fi
}

# The text of a row with the library's own options; clang's strict mode has 'asm' under another name.
front() { # front ROW TARGET OPTIONS...
    row=$1 target=$2
    shift 2
    # The older one gives GFX11 no more than 128 registers, and knows neither GFX94 nor GFX12.
    compiler=clang-15
    case $row in *_wmma | *_mfma | *_128x128k4_amddot) compiler=clang-19 ;; esac
    options=$(sed -n '1s/^\/\/ [0-9]* //p;q' "$scratch/$row.cl")
    case $target in
    # clang-15 does not know sm_90; ptxas takes what is for sm_80
    sm_*)
        [ "$target" = sm_90 ] && target=sm_80
        set -- -target nvptx64--nvidiacl -Xclang -target-cpu -Xclang "$target" -Xclang -target-feature \
        -Xclang +ptx70 -Xclang -mlink-builtin-bitcode -Xclang $library/nvptx64--nvidiacl.bc "$@" ;;
    *) set -- -target amdgcn-amd-amdhsa -mcpu="$target" -nogpulib -Xclang -mlink-builtin-bitcode \
        -Xclang $library/amdgcn--amdhsa.bc "$@" ;;
    esac
    # shellcheck disable=SC2086 # words
    "$compiler" -x cl $options -Dasm=__asm__ -O3 "$@" -S -o "$scratch/out.s" "$scratch/$row.cl" \
        >"$scratch/front" 2>&1
}

# Dots in all, in the loop, instructions of the loop: of function $1 in assembly whose dots match $2.
loops() {
    awk -v want="$1" -v product="$2" '
        $0 ~ "^(.visible .entry )?" want "[(:]" { on = 1; n = 0; next }
        on && /^(}|\.Lfunc_end)/ { on = 0 }
        on && $1 ~ /^[$.]L.*:$/ { place[substr($1, 1, length($1) - 1)] = n; next }
        on && $1 ~ /^[a-z@]/ {
            n++
            hit[n] = $0 ~ product
            total += hit[n]
            to = $NF; sub(/;$/, "", to)
            if ($0 ~ /bra/ && (to in place)) { begin[++loops] = place[to] + 1; end[loops] = n }
        }
        END {
            for (i = 1; i <= loops; i++) {
                inner = 1
                for (j = 1; j <= loops; j++)
                    if (j != i && begin[j] >= begin[i] && end[j] < end[i]) inner = 0
                dots = 0
                for (k = begin[i]; k <= end[i]; k++) dots += hit[k]
                if (inner && dots > most) { most = dots; size = end[i] - begin[i] + 1 }
            }
            print total + 0, most + 0, size + 0
        }' "$scratch/out.s"
}

# Instructions with opcode $2 in kernel $1 of a cubin: 16 bytes each, the opcode in the low 9 bits.
machine_code() {
    # shellcheck disable=SC2046 # words
    set -- $(readelf -W -S "$scratch/cubin" 2>/dev/null | sed 's/^ *\[ *[0-9]*\] //' |
        awk -v name=".text.$1" '$1 == name { print $4, $5 }') "$2"
    [ $# -eq 3 ] || { echo 0; return; }
    od -An -v -t x8 -w16 -j $((0x$1)) -N $((0x$2)) "$scratch/cubin" | awk -v want="$3" '
        { low = substr($1, 14); if (sprintf("%s", low) ~ "[02468ace]" want "$") n++ } END { print n + 0 }'
}

# "kernel registers spills local" of every kernel compiled.
resources() { # resources TARGET OPTIONS-OF-PTXAS...
    case $1 in
    sm_*)
        arch=$1
        shift
        ptxas -v -arch="$arch" "$@" "$scratch/out.s" -o "$scratch/cubin" >"$scratch/ptxas" 2>&1 || return 1
        awk '/Compiling entry function/ { gsub(/\047/, ""); split($0, w, "function "); split(w[2], name, " ") }
             /spill stores/ { for (i = 1; i <= NF; i++) if ($(i + 1) ~ /^bytes$/ && $(i + 2) == "spill") spills += $i }
             /Used .* registers/ {
                 shared = 0
                 for (i = 1; i <= NF; i++) {
                     if ($(i + 1) ~ /^registers/) registers = $i
                     if ($(i + 2) ~ /^smem/) shared = $i
                 }
                 print name[1], registers, spills + 0, shared; spills = 0
             }' "$scratch/ptxas" ;;
    *) # scalar registers spill to lanes of vector registers: no matter
        awk '$1 == ".group_segment_fixed_size:" { shared = $2 } $1 == ".name:" && !/SGPR/ { name = $2 }
             $1 == ".vgpr_count:" { registers = $2 }
             $1 == ".vgpr_spill_count:" { print name, registers, $2, shared }' "$scratch/out.s" ;;
    esac
}

main_kernel() { # of a row
    case $1 in
    gemv_*) echo gemv ;;
    *_64x64k4* | *_128x128k4*) echo block ;;
    *_mma | *_wmma | *_mfma | *_dpas*) echo mma ;;
    gemm_clblast) echo accumulate ;;
    *) echo "${1%%_*}" ;;
    esac
}

line() { # line ROW TARGET INSTRUCTION-OR-NONE
    kernel=$(main_kernel "$1")
    if ! front "$1" "$2"; then
        verdict no "$1 $2: $(grep -m 1 -E 'error|fatal' "$scratch/front")"
        return
    fi
    case $2 in
    sm_*)
        if ! command -v ptxas >/dev/null; then
            skip "$1 $2" "no ptxas"
            return
        fi
        case $1 in *_mma) product=mma.sync opcode=37 ;; *) product=dp4a opcode=26 ;; esac ;;
    *) case $1 in *_wmma) product=v_wmma ;; *_mfma) product=v_mfma ;; *) product=v_dot4 ;; esac ;;
    esac
    if ! resources "$2" >"$scratch/resources"; then
        verdict no "$1 $2: $(head -n 1 "$scratch/ptxas")"
        return
    fi
    # shellcheck disable=SC2046 # words
    set -- "$1" "$2" "$3" $(loops "$kernel" "$product") $(awk -v k="$kernel" '$1 == k { print $2, $3, $4 }' "$scratch/resources")
    case $2 in sm_*) total=$(machine_code "$kernel" "$opcode") ;; *) total=$4 ;; esac
    printf '%-26s %-8s %6s %6s of %-5s %9s %7s %8s\n' "$1" "$2" "$total" "$5" "$6" "$7" "$8" "$9"
    ok=yes
    [ "$3" = none ] || { [ "$total" -gt 0 ] && [ "$5" -gt 0 ]; } || ok=no
    verdict $ok "$1 $2: claims $3, and has none"
    ok=$(awk '$3 > 0 { bad = bad " " $1 } END { print bad ? bad : "yes" }' "$scratch/resources")
    case $1 in
    *_8x16*) [ "$ok" = yes ] || skip "$1 $2" "spills in$ok: a tile for CPUs, taken on GPUs where no other is" ;;
    *) verdict "$ok" "$1 $2: spills in$ok" ;;
    esac
}

for tool in clang-15 "$build/opencl_texts"; do
    command -v "$tool" >/dev/null || { skip everything "no $tool"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done
[ -e $library/amdgcn--amdhsa.bc ] ||
    { skip everything 'no libclc-15'; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
"$build/opencl_texts" u8 "$scratch" || exit 1

printf '%-26s %-8s %6s %15s %9s %7s %8s\n' row target 'dots' 'in the loop' registers spills local
for file in "$scratch"/*.cl; do
    row=$(basename "$file" .cl)
    case $row in
    *_dp4a) for target in $nvidia; do line "$row" "$target" dp4a; done ;;
    *_mma) for target in sm_80 sm_90; do line "$row" "$target" mma.sync; done ;;
    *_wmma | *_mfma | *_128x128k4_amddot)
        instruction=v_${row##*_}
        case $row in
        *_wmma) targets='gfx1100 gfx1200' ;;
        *_mfma) targets='gfx908 gfx90a gfx942' ;;
        *) targets=$amd instruction=v_dot4 ;;
        esac
        command -v clang-19 >/dev/null || { skip "$row" 'no clang-19'; continue; }
        for target in $targets; do line "$row" "$target" $instruction; done ;;
    *_dpas*) skip "$row" 'ci/codegen_intel.sh' ;;
    *_amddot) for target in $amd; do line "$row" "$target" v_dot4; done ;;
    *_khrdot | *_armdot | *_qcomdot) skip "$row" 'no compiler here that knows the extension' ;;
    *) for target in sm_80 gfx1030; do line "$row" "$target" none; done ;;
    esac
done

# Controls: what is looked for is not found where it cannot be.
dots=none
front gemm_64x64k4 gfx1030 && dots=$(loops block v_dot4)
verdict "$([ "${dots%% *}" = 0 ] && echo yes)" "control: plain C has dot instructions on gfx1030: $dots"
verdict "$(front gemm_64x64k4_amddot gfx1010 || echo yes)" 'control: gfx1010 has no dot instruction, and took it'
spills=
front gemm_64x64k4_amddot gfx1030 '-Dkernel=__kernel __attribute__((amdgpu_num_vgpr(24)))' &&
    spills=$(resources gfx1030 | awk '$1 == "block" && $3 > 0 { print "yes" }')
verdict "$spills" 'control: 24 registers on gfx1030 do not show as spills'
if command -v ptxas >/dev/null; then
    front gemm_64x64k4 sm_80 && resources sm_80 -maxrregcount=24 >"$scratch/resources"
    verdict "$([ "$(machine_code block 26)" = 0 ] && echo yes)" 'control: plain C has dp4a on sm_80'
    verdict "$(awk '$1 == "block" && $3 > 0 { print "yes" }' "$scratch/resources")" \
        'control: 24 registers on sm_80 do not show as spills'
    front gemm_128x128k16_mma sm_75
    verdict "$(resources sm_75 >"$scratch/resources" || echo yes)" 'control: sm_75 has no mma of 32 k, and took it'
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
