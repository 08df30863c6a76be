#!/bin/sh
# Installs what building and running qdot needs on Debian 12 and 13, and only what is missing.
#   ci/install.sh           the library, the command, the devices' drivers, the benchmark's peers
#   ci/install.sh --tests   what the tests need as well
set -eu

die()
{
    echo "ci/install.sh: $*" >&2
    exit 1
}

tests=no
for argument; do
    case $argument in
    --tests) tests=yes ;;
    *)
        echo "ci/install.sh: unknown argument '$argument': expected --tests or nothing" >&2
        exit 2
        ;;
    esac
done

command -v dpkg-query >/dev/null || die "no dpkg-query: this script knows Debian only; README.md lists what is needed"

installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

known() # to apt: in some release and not in others
{
    apt-cache show "$1" >/dev/null 2>&1
}

packages='gcc cmake make pkg-config libc6-dev ocl-icd-opencl-dev pocl-opencl-icd libclblast-dev
    libvulkan-dev mesa-vulkan-drivers spirv-tools libpthreadpool-dev libcjson-dev
    libjansson-dev'
test_packages='dpkg-dev libcmocka-dev vulkan-validationlayers python3 python3-numpy python3-venv lintian ccache g++'

missing=
want()
{
    installed "$1" || missing="$missing $1"
}
for package in $packages; do
    # Debian 13 has pkgconf in its place.
    [ "$package" = pkg-config ] && command -v pkg-config >/dev/null && continue
    want "$package"
done
# Either compiler of shaders will do; glslc is the first choice.
shader=
if ! installed glslc && ! installed glslang-tools; then
    shader=glslc
fi
if [ $tests = yes ]; then
    for package in $test_packages; do
        want "$package"
    done
fi
optional=
unknown=no
if [ $tests = yes ]; then
    # for ci/codegen.sh; for tests/oracles.sh
    codegen='clang-15 clang-19 libclc-15'
    oracles='libgemmlowp-dev libdnnl-dev libxnnpack-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user'
    for package in oclgrind valgrind $codegen $oracles; do
        installed $package || optional="$optional $package"
        installed $package || known $package || unknown=yes
    done
fi
[ -n "$missing$shader$optional" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        die "as root, or with sudo, install:$missing${shader:+ $shader}"
    as_root=sudo
fi
run_apt()
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2
}

# Not on every release: only where apt has it, and then nothing else may be missing.
if [ -n "$missing$shader" ] || [ $unknown = yes ]; then
    run_apt update || die "apt-get update failed"
fi
[ -z "$shader" ] || known "$shader" || shader=glslang-tools
missing="$missing${shader:+ $shader}"
for package in $optional; do
    ! known "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "ci/install.sh: installing$missing"
# shellcheck disable=SC2086 # a list of words
run_apt install -y --no-install-recommends $missing || die "apt-get could not install$missing"
