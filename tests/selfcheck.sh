#!/bin/sh
# Does 'qdot conform' report what goes wrong? Faults planted in its children, and bad arguments. And
# 'qdot tune', with what reads its files.
# usage: selfcheck.sh QDOT-COMMAND; prints a line a check and "N passed, N failed, N skipped".
set -u
qdot=$1
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
verb=conform
passed=0
failed=0

last_row() { # of the CPU, for this kind of op
    "$qdot" conform --list | awk -v p="cpu/$1_" '$1 == "row" && index($3, p) == 1 { row = $3 } END { print row }'
}

# check NAME STATUS STDOUT-PATTERN STDERR-PATTERN ARGUMENTS...
check() {
    name=$1 status=$2 out=$3 err=$4
    shift 4
    "$qdot" $verb "$@" >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ "$got" -ne "$status" ]; then
        echo "FAIL $name: exit status $got, expected $status"
    elif [ -n "$out" ] && ! grep -q -e "$out" "$tmp/out"; then
        echo "FAIL $name: no '$out' in its output"
    elif [ -n "$err" ] && ! grep -q -e "$err" "$tmp/err"; then
        echo "FAIL $name: no '$err' in its errors"
    else
        echo "ok   $name"
        passed=$((passed + 1))
        return
    fi
    head -n 5 "$tmp/out" "$tmp/err"
    failed=$((failed + 1))
}

# planted KIND FIRST: on the last row for this kind of op, whose first output is called so
planted() {
    kind=$1 first=$2
    row=$(last_row "$kind")
    some="--device cpu --kernel $row --group edge,packed --cases 3 --shrink 0"

    # shellcheck disable=SC2086 # $some is several words
    {
        check "$kind: nothing planted" 0 '^[1-9][0-9]* passed, 0 failed' '' $some
        check "$kind: a wrong byte" 1 "^fail .*$row .*a wrong value at run 0, out$first: got .*--case edge:0" \
            '' $some --fault wrong
        check "$kind: a byte outside" 1 "^fail .*$row .*next to an operand" '' $some --fault outside
        check "$kind: a crash" 1 "^crash .*$row .*edge .*signal 11.*--case edge:0" '' $some --fault crash
        check "$kind: a crash does not end the run" 1 "^crash .*$row .*packed" '' $some --fault crash
        check "$kind: leaving early is no pass" 1 "^crash .*$row .*left before" '' $some --fault exit
        check "$kind: a hang" 1 "^timeout .*$row .*edge" '' $some --fault hang --timeout 1
        check "$kind: what a hang leaves undone" 1 "^not_run .*$row" '' $some --fault hang --timeout 1
        check "$kind: a required row that is not there" 1 "^not_run .*required, but no device has a row" '' \
            $some --require "$row,vulkan/nonsense"
        check "$kind: a required row that is there" 0 ' passed, 0 failed' '' $some --require "$row"
        check "$kind: a case that is not there" 3 '^not_run .*no such case' 'nothing ran' \
            --device cpu --kernel "$row" --case edge:99999
        check "$kind: one case" 0 "^pass .*$row .* 1 cases" '' --device cpu --kernel "$row" --case edge:7
        check "$kind: json and junit" 1 'fail' '' $some --fault wrong --json "$tmp/j" --junit "$tmp/x"
    }
    replay=$(sed -n 's/^[[:space:]]*"replay":[[:space:]]*"qdot conform \(.*\)"$/\1/p' "$tmp/j" | tail -n 1)
    eval "set -- ${replay:-no replay line}"
    check "$kind: the replay line fails again" 1 "^fail .*$row" '' "$@" --fault wrong
    check "$kind: the replay line passes without the fault" 0 "^pass .*$row .* 1 cases" '' "$@"
    for word in '"status":[[:space:]]*"fail"' '"got":' '"expected":' '"index":' '"seed":'; do
        if grep -q -e "$word" "$tmp/j"; then
            passed=$((passed + 1))
        else
            echo "FAIL --json has no $word"
            failed=$((failed + 1))
        fi
    done
    if grep -q '<failure message=' "$tmp/x" && grep -q '</testsuite>' "$tmp/x"; then
        passed=$((passed + 1))
    else
        echo "FAIL --junit has no failure"
        failed=$((failed + 1))
    fi
}
# A defect of sums of 38 products (or of 38 elements) or more: whatever fails first, the smallest case has
# 38 of them, and a line that runs just that one.
smallest() { # smallest KIND ROW GROUP PROBLEM VALUES
    kind=$1 row=$2 problem=$4 values=$5
    some="--device cpu --kernel $row --group $3 --cases 40"
    # shellcheck disable=SC2086 # $some is several words
    check "$kind: the smallest wrong one" 1 "smallest: $problem: a wrong value at run 0, out.*$values" '' \
        $some --fault wrong@38 --json "$tmp/j"
    replay=$(sed -n 's/^[[:space:]]*"replay":[[:space:]]*"qdot conform \(.*--problem.*\)"$/\1/p' "$tmp/j" | tail -n 1)
    eval "set -- ${replay:-no replay line}"
    check "$kind: its replay line fails" 1 "^fail .*$row .*$values" '' "$@" --fault wrong@38 --shrink 0
    check "$kind: and 37 products pass" 0 "^pass .*$row .* 1 cases" '' --device cpu --kernel "$row" --fault wrong@38 \
        --problem "$(echo "$problem" | sed 's/38/37/')"
}
check 'map: a problem of most words' 0 '^pass .* 1 cases' '' --device cpu --kernel cpu/map \
    --problem 'map 2x3 a0x2 b4x1 o9x3 table a=small b=counted place=shared runs=3 threads=2'
check 'max_pool: likewise' 0 '^pass .* 1 cases' '' --device cpu --kernel cpu/max_pool \
    --problem 'max_pool 2x9x8x5 3x2 s8 s2x1 p1x0x1x1 d2x1 nchw table a=extreme runs=2'
check 'max_pool: with gaps' 0 '^pass .* 1 cases' '' --device cpu --kernel cpu/max_pool \
    --problem 'max_pool 2x9x8x5 3x2 u8 gaps=3,1 a=x07 place=buffers'
check 'average_pool: likewise' 0 '^pass .* 1 cases' '' --device cpu --kernel cpu/average_pool \
    --problem 'average_pool 2x9x8x5 3x2 s8 u8 s2x1 p1x0x1x1 round=rne-zero-first scale=one count-padding zero=9 clamp=1,99 a-zero=low gaps=1,2'
smallest map cpu/map random 'map 38 a1 o1 a=x01' 'got 0x00, expected 0x01'
smallest max_pool cpu/max_pool strides 'max_pool 1x1x1x38 1x1 u8 a=x01' 'got 0x00, expected 0x01'
smallest average_pool cpu/average_pool strides 'average_pool 1x1x1x38 1x1 u8 u8 a=x01' 'got 0x00, expected 0x01'
smallest quantize cpu/quantize parameters 'quantize 1x1x38 u8 x=small' 'a = .*: got [01], expected [01]'
smallest conv "$(last_row conv)" edge 'conv 1x1x1x38 1x1x1 u8s8 s32 a=x01 b=x01' 'got 39, expected 38'
smallest gemm "$(last_row gemm)" edge 'gemm 1x1x38 u8s8 s32 a=x01 b=x01' 'got 39, expected 38'
# shellcheck disable=SC2086 # $some is several words
{
    check 'gemm: the smallest crash' 1 "smallest: $problem: ended by signal 11" '' $some --fault crash@38
    check 'gemm: the smallest hang' 1 "smallest: $problem: not finished" '' --device cpu --kernel "$row" \
        --case-timeout 1 --problem 'gemm 1x2x41 u8s8 s32' --fault hang@38
    check 'gemm: no time to look for it' 1 '^fail ' '' $some --fault wrong@38 --shrink 0
}
if grep -q smallest "$tmp/out"; then
    echo 'FAIL with --shrink 0 there is a smallest case'
    failed=$((failed + 1))
fi

planted gemm '\[0\]\[0\]'
planted conv '\[0\]\[0\]\[0\]\[0\]'
check 'time that is used up: incomplete' 3 '^not_run .*time limit was used up' '' --device cpu \
    --kernel "$(last_row conv)" --group random --long --timeout 1
check 'time that is used up: the rest is named' 3 '^not_run .* layers .*time limit was used up' '' --device cpu \
    --kernel "$(last_row conv)" --group random,layers --long --timeout 1
# Checks of the device itself, each in the child of its set.
device="--device cpu --kernel device/concurrency"
# shellcheck disable=SC2086 # $device is several words
{
    check 'device: nothing planted' 0 '^pass .*device/concurrency .* 5 cases' '' $device
    check 'device: a failure' 1 '^fail .*device/concurrency .*an op each: a planted failure.*--case concurrency:1' '' $device --fault wrong
    check 'device: a crash' 1 '^crash .*device/concurrency .*an op each: .*signal 11.*--case concurrency:1' '' $device --fault crash
    check 'device: leaving early is no pass' 1 '^crash .*device/concurrency .*left before' '' $device --fault exit
    check 'device: a hang' 1 '^timeout .*device/concurrency .*time limit' '' $device --fault hang --timeout 1
    check 'device: one case' 0 '^pass .*device/concurrency .* 1 cases' '' $device --case concurrency:2
    check 'device: a case that is not there' 3 '^not_run .*no such case' 'nothing ran' $device --case concurrency:99
    check 'device: instructions' 0 '^pass .*device/dot ' '' --device cpu --kernel 'device/*' --group primitive \
        --require device/dot,device/integer,device/saturate,device/float,device/load
    check 'device: an instruction that fails' 1 '^fail .*device/saturate .*C: a from -128 to 127: a planted.*--case primitive:0' '' \
        --device cpu --kernel device/saturate --fault wrong
    check 'device: a group of no device' 0 '^pass .*device/memory ' '' --device cpu --group limits --require device/memory
    printf '# all\n\n* | device/* | *an op each: a planted* | by --fault\n' >"$tmp/known"
    check 'device: a failure that is known, among others' 1 '^fail .*known: by --fault;.*an op each' '' $device --fault wrong --known "$tmp/known"
    check 'device: one that is known fails nothing' 3 ', 0 failed, 1 skipped' 'nothing ran' $device --fault wrong --case concurrency:1 --known "$tmp/known"
    echo '* | device/* | anything' >"$tmp/known"
    check 'device: a line of --known that is none' 2 '' "line 1: expected DRIVER" $device --known "$tmp/known"
    check 'device: a file of --known that is not there' 2 '' "$tmp/none" $device --known "$tmp/none"
}

usage() {
    check "usage: $*" 2 '' "$1" "$@"
}
bad() { # bad STDERR-PATTERN ARGUMENTS...
    pattern=$1
    shift
    check "usage: $*" 2 '' "$pattern" "$@"
}
usage --bogus
usage --seed -1
usage --seed 99999999999999999999
usage --cases 0
usage --cases
usage --timeout soon
usage --threads 1.5
usage --group edges
usage --case edge
usage --device nonsense
usage --kernel nonsense
usage --fault typo
usage --problem 'gemm 3x4 u8s8 s32'
usage --problem 'gemm 3x4x5 u8s9 s32'
usage --problem 'gemm 3x4x5 u8s8 s32 s2x2'
usage --problem 'gemm 3x4x5 u8s8 s32 zero=3'
usage --problem 'gemm 3x4x99999999 u8s8 s32'
usage --problem 'gemm 3x4x5 u8s8 s32' --group edge
usage --problem 'conv 1x4x4x6 8x3x3 u8s8 s32 g4'
usage --problem 'conv 1x2x2x6 8x3x3 u8s8 s32'
usage --problem 'quantize 1x2x3 u9'
usage --problem 'quantize 1x2x3 s32'
usage --problem 'quantize 1x2x3 u8 bias'
usage --problem 'requantize 1x2x3 u8'
usage --problem 'map 2x3 a3x1 o2x1'
usage --problem 'map 2x3 a3 o3x1'
usage --problem 'map 2x3 o3x1'
usage --problem 'map 2x3 a3x1 o3x1 nchw'
usage --problem 'map 1x1x1x1x1x1x1 a1x1x1x1x1x1x1 o1x1x1x1x1x1x1'
usage --problem 'max_pool 1x4x4x6 3x3 s16'
usage --problem 'max_pool 1x4x4x6 8x3x3 u8'
usage --problem 'max_pool 1x4x4x6 5x5 u8'
usage --problem 'max_pool 1x4x4x6 3x3 u8 scale=one'
usage --problem 'average_pool 1x4x4x6 3x3 u8'
usage --problem 'average_pool 1x4x4x6 3x3 u8 u8 scale=one round=mant24-up'
usage --problem 'max_pool 1x4x4x6 3x3 u8 p0x0x9x0'
usage --problem 'dynamic_quantize 1x2x3 s8'

# ---- tune ----------------------------------------------------------------------------------------

verb=tune
shape="--device cpu --shape 64x48x80"
last=$(last_row gemm)
f=$tmp/f.json
export XDG_CACHE_HOME="$tmp/cache" # only now: listing rows above compiles those of GPUs
# shellcheck disable=SC2086 # $shape is several words
{
    check 'tune: a shape and a convolution' 0 '^cpu: [0-9]* improved, [0-9]* kept, 0 left out' '' \
        $shape --conv '1x9x8x16 20x3x3 p1,1x9x8x16 20x3x3 p1' --budget 20 -o "$f"
    check 'tune: adds to a file' 0 ' 1 kept\| 1 improved' '' $shape --out u8 --tuning "$f" -o "$f"
    check 'tune: into the cache' 0 ' 0 left out' '' $shape --types s8s8
    usage --merge "$f"
    usage --merge -o "$tmp/g"
    bad none.json --merge "$tmp/none.json" -o "$tmp/g"
    usage --budget 0
    bad only.with.--merge $shape "$f"
    bad --threads $shape --threads 1,2
    bad nonsense $shape --device nonsense
    bad "--tuning $tmp/none.json" $shape --tuning "$tmp/none.json"
    bad "-o '$tmp'" $shape -o "$tmp"
    # Interrupted behind its first shape it writes what it knows.
    "$qdot" tune --device cpu --suite resnet50 -o "$tmp/i" >"$tmp/interrupted" 2>&1 &
    tuner=$!
    while kill -0 $tuner && ! grep -q ' kept\| improved' "$tmp/interrupted"; do sleep 0.1; done
    kill -INT $tuner
    wait $tuner && grep -q ' [1-9][0-9]* left out; .*; interrupted$' "$tmp/interrupted" ||
        { echo 'FAIL tune: interrupted'; cat "$tmp/interrupted"; failed=$((failed + 1)); }
    check 'tune: the file of a run that was interrupted' 0 '' '' --merge "$tmp/i" "$tmp/i" -o "$tmp/g"
    check 'tune: merges' 0 '' '' --merge "$f" "$f" -o "$tmp/g"
    cmp -s "$f" "$tmp/g" || { echo 'FAIL merged with itself a file is another'; failed=$((failed + 1)); }
    verb=explain
    check 'explain: an exact time' 0 '^\* cpu .* exact .*chosen: the fastest measured' '' \
        --device cpu --shape 64x48x80 --tuning "$tmp/g"
    echo '{"qdot_tuning": 1, "overrides": [{"problem": "gemm 64x48x80 *", "row": "'"$last"'"},
        {"problem": "conv *", "row": "cpu/none"}]}' >"$f"
    check 'explain: an override' 0 "^\* cpu *$last .* override .*chosen" '' --device cpu \
        --shape 64x48x80 --tuning "$f"
    check 'explain: an override without a row' 0 '^\* cpu .*no row of it: cpu/none' '' --device cpu \
        --conv '1x9x8x16 20x3x3' --tuning "$f"
    check 'explain: an op on elements' 0 '^\* cpu .*chosen' '' --device cpu --elements 'quantize 2x64x10 s4 group32 reciprocal' --json "$tmp/j"
    check 'explain: a map' 0 '^map 2x12 a12x1 b0x1 o20x1 table$' '' --device cpu --elements 'map 2x12 a12x1 b0x1 o20x1'
    check 'explain: a pool' 0 '^max_pool 1x9x9x3 2x2 s2x2 p1x1 o5x5 nchw s8 table$' '' --device cpu \
        --elements 'max_pool 1x9x9x3 2x2 s8 s2 p1 nchw table'
    check 'explain: an average' 0 '^average_pool 1x9x9x3 2x2 s1x1 p0x0 o8x8 u8 scaled$' '' --device cpu \
        --elements 'average_pool 1x9x9x3 2x2 u8 scaled'
    bad 'expected an op' --elements 'map 2x12 a12x1'
    bad 'expected an op' --elements 'max_pool 1x9x9x3 2x2 s8 g1'
    bad 'map.out_stride' --elements 'map 2x12 a12x1 o3x1'
    bad 'expected an op' --elements 'quantize 2x64'
    bad 'expected an op' --elements 'quantize 2x64x10 u8 axis group3'
    bad 'quantize.type' --elements 'quantize 2x64x10 s32'
    bad 'expected none with --elements' --elements 'quantize 2x64x10 u8' --out s8
    bad 'expected one of them' --elements 'quantize 2x64x10 u8' --shape 3x4x5
    verb=bench
    check 'bench: with an override and without' 0 "${last#cpu/} .* yes " '' --device cpu \
        --shape 64x48x80 --tuning "$f" --untuned --min-time 0.01
    bad --untuned --shape 64x48x80 --untuned
    printf '{"qdot_tuning": 1,\n"times": [{"ns": 1}]}' >"$f"
    for verb in bench explain tune; do
        check "$verb: a wrong file" 2 '' "$f: line 2: times\[0\]\.device: expected" \
            --device cpu --shape 64x48x80 --tuning "$f"
    done
}

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
