#!/bin/sh
# The SPIR-V of the shaders for matrix units. Debian 12's compilers do not know them, so it is kept in
# the repository as Debian 13's make it, and every build embeds that.
#
#   ci/coop_spirv.sh [--write] [ROOT]
#
# Without --write: is what is kept made of the sources as they are (shaders/coop.sha256 says so), and,
# with Debian 13's glslc here or under ROOT (a chroot, see $QDOT_TRIXIE), do they make the same bytes,
# which its spirv-val accepts? With --write they are made anew. Last line: "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../shaders" || exit 2
write=no
[ "${1:-}" != --write ] || { write=yes; shift; }
root=${1:-${QDOT_TRIXIE:-}}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/qdot-spirv.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

tool() # a program of Debian 13, from stdin to stdout: nothing of here need be seen there
{
    if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi
}

sources() # what a shader is made of: itself and what it includes, itself or through others
{
    for file; do
        echo "$file"
        # shellcheck disable=SC2046 # names without blanks
        sources $(sed -n 's/^#include "\(.*\)"$/\1/p' "$file")
    done
}

one_text() # a shader with its includes in it
{
    while IFS= read -r line; do
        case $line in
        '#include "'*)
            name=${line#*\"}
            one_text "${name%\"}"
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <"$1"
}

compile() # compile NAME: into the scratch directory
{
    one_text "$1.comp" | tool glslc --target-env=vulkan1.2 -fshader-stage=compute -o - - >"$scratch/raw" &&
        tool spirv-opt -O --strip-debug - -o - <"$scratch/raw" >"$scratch/$1.spv" &&
        tool spirv-val --target-env vulkan1.2 - <"$scratch/$1.spv"
}

report() # report WHAT COMMAND...
{
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
    fi
}

version=$(tool glslc --version 2>/dev/null | sed -n '1s/^shaderc //p')
case $version in
2025.2*)
    for name in gemm_coop conv_coop; do
        report "$name.spv is valid" compile $name
        [ $write = no ] || cp "$scratch/$name.spv" $name.spv
        report "$name.spv is what Debian 13 makes" cmp "$scratch/$name.spv" $name.spv
    done
    if [ $write = yes ]; then
        # shellcheck disable=SC2046
        sha256sum $(sources gemm_coop.comp conv_coop.comp | sort -u) ./*_coop.spv >coop.sha256
    fi
    ;;
*)
    [ $write = no ] || { echo "ci/coop_spirv.sh: no glslc of Debian 13, name its root directory"; exit 2; }
    skipped=1
    echo "skip rebuilding: no glslc of Debian 13 (2025.2) here, there is '${version:-none}'"
    ;;
esac
report "the SPIR-V kept is of these sources (else: ci/coop_spirv.sh --write)" \
    sha256sum --quiet -c coop.sha256
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
