#!/bin/sh
# Mesa's libintel_noop_drm_shim.so, which lets Intel's Vulkan driver compile for GPUs that are not there and which no Debian
# package has: built of the source of Debian 13's Mesa in a Debian 13 chroot (root, minutes).
#
# usage: ci/codegen/intel_shim.sh CHROOT FILE
set -eu
[ $# -eq 2 ] || { echo "usage: intel_shim.sh CHROOT FILE" >&2; exit 2; }
chroot=$1 file=$2
script=$(cd "$(dirname "$0")/.." && pwd)/chroot.sh
sh "$script" trixie "$chroot" meson ninja-build gcc g++ pkg-config python3-mako python3-yaml python3-packaging bison flex \
    libdrm-dev libexpat1-dev zlib1g-dev libzstd-dev glslang-tools dpkg-dev ca-certificates
sh "$script" run "$chroot" sh -euc '
    cd /root
    if ! ls mesa-*/meson.build >/dev/null 2>&1; then
        sed -n "s/^deb /deb-src /p" /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
        apt-get -qq update
        apt-get -qq source --download-only mesa
        tar xf mesa_*.orig.tar.xz
    fi
    cd mesa-*/
    [ -d b ] || meson setup b -Dtools=drm-shim,intel -Dgallium-drivers= -Dvulkan-drivers= -Dplatforms= -Dglx=disabled \
        -Degl=disabled -Dgbm=disabled -Dopengl=false -Dllvm=disabled -Dvideo-codecs= -Dbuildtype=release
    ninja -C b src/intel/tools/libintel_noop_drm_shim.so' >&2
mkdir -p "$(dirname "$file")"
cp "$chroot"/root/mesa-*/b/src/intel/tools/libintel_noop_drm_shim.so "$file"
