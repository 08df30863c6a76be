#!/bin/sh
# The reports of 'qdot conform': do JSON, page and JUnit say the same, is the JSON as its schema says, and
# does --compare see what changed? Faults are planted in conform's children.
# usage: reports.sh QDOT-COMMAND; prints a line a check and "N passed, N failed, N skipped".
set -u
qdot=$1
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

good() {
    echo "ok   $1"
    passed=$((passed + 1))
}
bad() {
    echo "FAIL $*"
    failed=$((failed + 1))
}

# ---- one run, three reports ----------------------------------------------------------------------

hostile='x/<script src="http://x">&'
last=$("$qdot" conform --list | awk '$1 == "row" && $3 ~ "^cpu/gemm_" { row = $3 } END { print row }')
report() { # report NAME STATUS ARGUMENTS...
    name=$1 status=$2
    shift 2
    "$qdot" conform --kernel "$last,cpu/conv_*,*/depthwise_8x16" --cases 3 --group edge,packed,one_shot,wrapped,threads \
        --shrink 2 --json "$tmp/$name.json" --html "$tmp/$name.html" --junit "$tmp/$name.xml" "$@" \
        >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ $got -ne "$status" ]; then
        bad "$name: exit status $got, expected $status"
        tail -n 5 "$tmp/out" "$tmp/err"
    elif /usr/bin/python3 "$here/conform_report.py" "$here/../docs/conform.schema.json" "$tmp/$name.json" \
        "$tmp/$name.html" "$tmp/$name.xml" >"$tmp/out"; then
        good "$name: $(cat "$tmp/out")"
    else
        bad "$name:"
        cat "$tmp/out"
    fi
}
report right 0
report wrong 1 --fault wrong@30
report crash 1 --fault crash --group edge
report hang 1 --fault hang@900 --case-timeout 1 --group large --kernel "$last"
report required 1 --require "$hostile"
report incomplete 3 --case edge:1000000
report used_up 3 --group edge,random --long --cases 20000 --timeout 1 --kernel cpu/conv_12x16
report fewer 0 --kernel "$last"

# ---- two reports ---------------------------------------------------------------------------------

compare() { # compare STATUS PATTERN OLD NEW
    "$qdot" conform --compare "$tmp/$3.json" "$tmp/$4.json" --json "$tmp/c.json" >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ $got -eq "$1" ] && cat "$tmp/out" "$tmp/err" | grep -q -e "$2"; then
        good "$3 to $4: $2"
    else
        bad "$3 to $4: exit status $got, expected $1 and '$2'"
        head -n 5 "$tmp/out" "$tmp/err"
    fi
}
compare 0 '^0 worse, 0 better, 0 other' right right
compare 1 "worse  *pass -> fail: .*edge.* of .*$last" right wrong
compare 0 "better  *fail -> pass: .*edge.* of .*$last" wrong right
compare 1 'worse  *runs -> absent: .*cpu/conv_' right fewer
compare 0 'other  *absent -> runs: .*cpu/conv_' fewer right
/usr/bin/python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
print("%(worse)d worse, %(better)d better, %(other)d other" % report)' "$tmp/c.json" >"$tmp/counts"
if [ "$(cat "$tmp/counts")" = "$(tail -n 1 "$tmp/out")" ]; then
    good 'the comparison as JSON'
else
    bad 'the comparison as JSON has other counts'
fi
# a driver that has one row less, and says why
sed "s|\"kernel\":\t\"$last\"|\"kernel\":\t\"cpu/gemm_other\"|; s|\"driver\":\t\"qdot|\"driver\":\t\"other|" "$tmp/right.json" >"$tmp/other.json"
compare 1 '^  new  *cpu: .*, other' right other
sed '/"status"/s/pass/passed/' "$tmp/right.json" >"$tmp/bad1.json"
compare 2 'bad1.json: line [1-9][0-9]*: results\[0\].status: expected pass' right bad1
head -n 30 "$tmp/right.json" >"$tmp/bad2.json"
compare 2 'bad2.json: line 3[01]: ' bad2 right
echo '{"schema": 2}' >"$tmp/bad3.json"
compare 2 'bad3.json: line 1: expected an object with "schema": 1' right bad3
compare 2 'cannot be read' right none

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
