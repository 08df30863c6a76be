#!/bin/sh
# From a bare Debian to the numbers: installs what is missing, builds into build/, lists the
# devices, and benchmarks the layers of real networks on each of them, every result verified, at
# most 15 s a network and device (on a slow one with shorter samples, or not all of the layers).
# Arguments go to 'qdot bench'; without any, other libraries that are here are measured beside it.
#   sh bench/run.sh
#   sh bench/run.sh --suite resnet50 --device cpu --peer all
# The table is printed; build/bench.json has the same and more.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/build

for argument; do
    case $argument in
    -h | --help)
        echo "usage: sh bench/run.sh [options of 'qdot bench']"
        [ ! -x "$build/qdot" ] || exec "$build/qdot" bench --help
        exit 0
        ;;
    esac
done

sh "$root/ci/install.sh"

log=$build/build.log
mkdir -p "$build"
echo "building into $build"
if ! { cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release &&
    cmake --build "$build" --target qdot_command --parallel "$(nproc)"; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "bench/run.sh: the build failed; all of it is in $log" >&2
    exit 1
fi
grep '^-- qdot:' "$log" || true # what is switched off, and what to install
if [ ! -x "$build/qdot" ]; then
    echo "bench/run.sh: no qdot command was built; $log says why" >&2
    exit 1
fi

# shellcheck source=../ci/no_sysfs.sh
. "$root/ci/no_sysfs.sh"
"$build/qdot" devices
echo
# An option given twice: the last one counts.
[ $# -gt 0 ] || set -- --peer all
exec "$build/qdot" bench --budget 15 --json "$build/bench.json" "$@"
