#!/bin/sh
# The micro-kernels' loops, read from the object code: only the products, the loads they need, the
# prefetches and the loop's own counters; no spill, no shuffle, no shift of A; and no more
# instructions than recorded here, so that a slowdown is seen without a clock.
# usage: inner_loops.sh BUILD_DIRECTORY
set -eu
build=${1:?usage: inner_loops.sh BUILD_DIRECTORY}
objects=$build/CMakeFiles/qdot.dir/host/cpu
passed=0 failed=0

# check FILE FUNCTION PRODUCT COUNT MOST [STACK]: the smallest loop of COUNT instructions PRODUCT has at
# most MOST instructions, and none that shuffles or shifts; STACK of them, or none, read the stack.
check() {
    text=$(objdump -d --no-show-raw-insn "$objects/$1".[cS].o | awk -v want="$2" -v product="$3" -v count="$4" -v allowed="${6:-0}" '
        $0 ~ "^[0-9a-f]+ <" want ">:" { on = 1; n = 0; next }
        on && NF == 0 { on = 0 }
        on && $1 ~ /:$/ {
            address = substr($1, 1, length($1) - 1)
            line[n] = $0; place[address] = n; name[n] = $2 == "{vex}" ? $3 : $2
            if ($2 ~ /^j/ && ($3 in place)) {        # a backward jump closes a loop
                products = stack = 0; bad = ""
                for (i = place[$3]; i <= n; i++) {
                    if (name[i] == product) products++
                    if (line[i] ~ /%[re]sp|%[re]bp\)/ && ++stack > allowed) bad = bad " stack"
                    if (name[i] ~ /^vp?(shuf|perm|unpck|align|sll|srl|sra)/) bad = bad " " name[i]
                }
                size = n - place[$3] + 1
                if (products == count && (!least || size < least)) { least = size; why = bad }
            }
            n++
        }
        END { print least + 0, why }')
    # shellcheck disable=SC2086
    set -- "$1 $2" "$3" "$4" "$5" $text
    if [ $# -eq 5 ] && [ "$5" -gt 0 ] && [ "$5" -le "$4" ]; then
        passed=$((passed + 1))
        echo "pass $1: $3 $2 in a loop of $5 instructions"
    else
        failed=$((failed + 1))
        echo "FAIL $1: expected $3 $2 in at most $4 instructions and no stack or shuffle; found: $text (length, trouble)"
    fi
}

check tile_avx512vnni tile_6 vpdpbusd 24 48
# the one of the stack is what it was told
check column_avx512vnni cpu_column_6_s32 vpdpbusd 24 47 1
check column_avx512vnni cpu_column_6_u8_flip_adds vpdpbusd 24 47 1
check column_avx512vnni cpu_column_8_s32 vpdpbusd 24 47 1
check column_avx512vnni cpu_column_8_u8_flip_adds vpdpbusd 24 47 1
# six of its twelve pointers to rows have no register
check tile_avx512vnni tile_12 vpdpbusd 24 55 6
# 2 loads, 6 broadcasts, 6 flips, 2 prefetches, 3 pointers, 3 for the loop
check tile_avxvnni tile_6 vpdpbusd 12 35
# the same with 12 additions and no flips, on bytes of B and on widened ones
check tile_avx2 tile_6 vpmaddwd 12 41
check tile_avx2 wide_tile vpmaddwd 12 41
# plain C, as the compiler made it: a block of 2 x 4 sums
check tile_c tile pmaddwd 8 32
check tile_avx512dot tile_4 vpdpbusd 16 36
# eight outputs of half the channels: a quad read serves two of them
check depthwise_avx512_line line_u8_plain_2 vpdpbusd 16 33
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
