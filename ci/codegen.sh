#!/bin/sh
# What the OpenCL and Vulkan rows become on real GPUs, by compilers that need none: ci/codegen/codegen.py.
# docs/codegen.md says what is looked for, and has the tables. Nothing runs: this proves no result and no speed.
#
#   ci/codegen.sh BUILD [opencl|vulkan]    with what Debian 12 has: clang-15, clang-19, libclc-15, RADV; ptxas where it is
#   ... --more                             also NVIDIA before Volta, Intel, Adreno, newer AMD: Debian unstable in the directory
#                                          QDOT_CODEGEN_CHROOT (default BUILD-sid; root), ptxas from PyPI; Mesa's Intel driver
#                                          with QDOT_INTEL_SHIM=libintel_noop_drm_shim.so (ci/codegen/intel_shim.sh makes it)
#   ... --targets NAME,NAME                only these
#   ... --record                           what is found is what is expected from now on
#   ci/codegen.sh BUILD --table            only writes the tables of docs/codegen.md
#
# Last line: "N passed, N failed, N skipped".
set -eu
if ! [ -x /usr/bin/python3 ]; then
    echo "skip: no python3"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
exec /usr/bin/python3 -B "$(dirname "$0")/codegen/codegen.py" "$@"
