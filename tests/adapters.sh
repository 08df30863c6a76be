# shellcheck shell=sh disable=SC2154
# To be sourced by tests/ort/run.sh and tests/tflite/run.sh, which run in the source tree with 'build' set.

# What the tests of an adapter need, fetched and built. Where it cannot be had, they count as skipped.
set_up() { # set_up NAME CACHED TARGET...: CACHED is what cmake has of the headers
    name=$1 cached=$2
    shift 2
    mkdir -p "$build"
    if ! sh "ci/$name.sh" "$build/$name" --tests >"$build/$name.log" 2>&1; then
        cat "$build/$name.log"
        echo "skip: $(grep -m 1 '^ci/' "$build/$name.log" || tail -n 1 "$build/$name.log")"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
    # Not again where it is configured: other tests may be using it.
    grep -q "^$cached:PATH=/" "$build/CMakeCache.txt" 2>/dev/null || cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null
    cmake --build "$build" --target "$@" -j "$(nproc)" >/dev/null
    python=$build/$name/python/bin/python counts=$build/$name.counts
    : >"$counts"
}

# A test's lines, but for its counts, the last one. One that ends without them is a failure.
run() { # run SCRIPT ARGUMENTS...
    status=0
    "$python" "$@" >"$counts.log" 2>&1 || status=$?
    said=$(tail -n 1 "$counts.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    sed '$d' "$counts.log"
    if [ -z "$said" ]; then
        tail -n 1 "$counts.log"
        echo "FAIL $1: exit status $status"
        said='0 1 0'
    fi
    echo "$said" >>"$counts"
}

total() {
    awk '{ p += $1; f += $2; s += $3 }
         END { printf("%d passed, %d failed, %d skipped\n", p, f, s); exit f > 0 || !p }' "$counts"
}
