#!/bin/sh
# Unpacks packages of Debian unstable in a directory, without a change to the system:
#   ci/unstable.sh DIRECTORY PACKAGE...
# They come by apt from the Debian mirror that this machine uses already; apt checks their signatures.
set -eu

die()
{
    echo "ci/unstable.sh: $*" >&2
    exit 1
}

[ $# -ge 2 ] || die "expected a directory and packages"
mkdir -p "$1" || die "cannot make $1"
directory=$(cd "$1" && pwd)
shift

# A list, a state and a cache of our own: the system's sources and packages stay as they are.
unstable()
{
    apt-get -qq -o Dir::Etc::SourceList="$directory/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$directory/apt/state" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$directory/apt/cache" -o APT::Sandbox::User=root \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" >&2
}

# shellcheck disable=SC2016 # apt's own words
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
[ -n "$mirror" ] || die "no Debian mirror is known: run apt-get update"
rm -rf "$directory/apt"
mkdir -p "$directory/apt/state/lists/partial" "$directory/apt/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror unstable main" \
    >"$directory/apt/sources.list"
unstable update || die "apt-get update failed"
(cd "$directory/apt" && unstable download "$@") || die "apt-get could not download $*"
for package in "$directory"/apt/*.deb; do
    dpkg -x "$package" "$directory"
done
rm -rf "$directory/apt"
