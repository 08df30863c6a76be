#!/bin/sh
# Debian's XNNPACK for arm64 and what it needs, unpacked into a directory: for tests/oracles.sh, which
# runs it by qemu-aarch64. Installs nothing; fetches about 3 MB and 9 MB of package lists.
#   ci/arm64.sh DIRECTORY
set -eu
mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial"
cd "$1"
touch apt/status
cat >apt/conf <<END
APT::Architecture "arm64";
APT::Architectures {"arm64";};
APT::Sandbox::User "root";
Dir::State::Lists "$PWD/apt/lists";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt/cache";
END
export APT_CONFIG="$PWD/apt/conf"
apt-get -qq update
apt-get -qq download libxnnpack0 libpthreadpool0 libcpuinfo0 libc6 libstdc++6 libgcc-s1
for package in *.deb; do
    dpkg -x "$package" .
    rm "$package"
done
rm -r apt
