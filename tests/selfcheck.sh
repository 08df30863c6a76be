#!/bin/sh
# Does 'qdot conform' report what goes wrong? Faults planted in its children, and bad arguments.
# usage: selfcheck.sh QDOT-COMMAND; prints a line a check and "N passed, N failed, N skipped".
set -u
qdot=$1
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
passed=0
failed=0
row=$("$qdot" conform --list | awk '$1 == "row" && $2 == "cpu" { row = $3 } END { print row }')

# check NAME STATUS STDOUT-PATTERN STDERR-PATTERN ARGUMENTS...
check() {
    name=$1 status=$2 out=$3 err=$4
    shift 4
    "$qdot" conform "$@" >"$tmp/out" 2>"$tmp/err"
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

some="--device cpu --kernel $row --group edge,packed --cases 3"

# shellcheck disable=SC2086 # $some is several words
{
check "nothing planted" 0 '^[1-9][0-9]* passed, 0 failed' '' $some
check "a wrong byte" 1 "^fail .*$row .*a wrong value at run 0, out\[0\]\[0\]: got .*--case edge:0" \
    '' $some --fault wrong
check "a byte outside" 1 "^fail .*$row .*next to an operand" '' $some --fault outside
check "a crash" 1 "^crash .*$row .*edge .*signal 11.*--case edge:0" '' $some --fault crash
check "a crash does not end the run" 1 "^crash .*$row .*packed" '' $some --fault crash
check "leaving early is no pass" 1 "^crash .*$row .*left before" '' $some --fault exit
check "a hang" 1 "^timeout .*$row .*edge" '' $some --fault hang --timeout 1
check "what a hang leaves undone" 1 "^not_run .*$row" '' $some --fault hang --timeout 1
check "a required row that is not there" 1 "^not_run .*required, but no device has a row" '' \
    $some --require "$row,vulkan/nonsense"
check "a required row that is there" 0 ' passed, 0 failed' '' $some --require "$row"
check "a case that is not there" 1 '^not_run .*no such case' 'nothing ran' \
    --device cpu --kernel "$row" --case edge:99999
check "one case" 0 "^pass .*$row .* 1 cases" '' --device cpu --kernel "$row" --case edge:7
check "json and junit" 1 'fail' '' $some --fault wrong --json "$tmp/j" --junit "$tmp/x"
}
replay=$(sed -n 's/^[[:space:]]*"replay":[[:space:]]*"qdot conform \(.*\)"$/\1/p' "$tmp/j" | tail -n 1)
eval "set -- ${replay:-no replay line}"
check "the replay line fails again" 1 "^fail .*$row" '' "$@" --fault wrong
check "the replay line passes without the fault" 0 "^pass .*$row .* 1 cases" '' "$@"
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

usage() {
    check "usage: $*" 2 '' "$1" "$@"
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

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
