#!/bin/sh
# Another release of Debian in a directory, to build and run in. Needs root and debootstrap.
#
#   ci/chroot.sh SUITE DIRECTORY [PACKAGE...]         makes it where there is none, installs what is missing
#   ci/chroot.sh run DIRECTORY [--bind DIR] COMMAND...  runs a command in it
#
# The command sees this source tree, and each DIR, under the same path as here, starts in the current
# directory where there is one of that name, and has this environment. /proc, /dev and /sys are there
# while it runs. All mounts are in a namespace of the command's own and go with its last process,
# however it ends: nothing is left to unmount, and removing DIRECTORY removes nothing else.
# DEBIAN_MIRROR: where packages come from.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

die()
{
    echo "ci/chroot.sh: $*" >&2
    exit 1
}

usage()
{
    echo "ci/chroot.sh: $*: expected 'SUITE DIRECTORY [PACKAGE...]' or 'run DIRECTORY [--bind DIR]... COMMAND...'" >&2
    exit 2
}

# Its first words are $root and the directories to show in it, one a line; then the command.
# shellcheck disable=SC2016 # for the shell that is started
inside='
    root=$1 shown=$2
    shift 2
    for at in /proc /dev /sys; do
        [ ! -d $at ] || mount --rbind $at "$root$at" || exit 125
    done
    echo "$shown" | while read -r at; do
        mkdir -p "$root$at" && mount --bind "$at" "$root$at" || exit 125
    done || exit 125
    exec chroot "$root" /bin/sh -c '\''cd "$1" 2>/dev/null || cd /; shift; exec "$@"'\'' chroot.sh "$PWD" "$@"'

enter() # enter ROOT DIRECTORIES COMMAND...: in place of this shell
{
    exec env -u TMPDIR HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        unshare --mount /bin/sh -c "$inside" chroot.sh "$@"
}

# The line that says what went wrong, of many.
complaint()
{
    { grep -E '^(E|W|dpkg): ' "$1" || tail -n 1 "$1"; } | tail -n 1
}

quietly() # quietly WHAT COMMAND...
{
    what=$1
    shift
    ("$@") >"$log" 2>&1 </dev/null || die "$what: $(complaint "$log")"
}

bootstrap()
{
    command -v debootstrap >/dev/null || die "no debootstrap: apt-get install debootstrap"
    rm -rf "$root.part" # of a run that was killed
    echo "ci/chroot.sh: $suite from $mirror into $root"
    quietly "debootstrap of $suite" unshare --mount debootstrap --variant=minbase "$suite" "$root.part" "$mirror"
    printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d" # no service is started in it
    chmod +x "$root.part/usr/sbin/policy-rc.d"
    mv "$root.part" "$root" || die "cannot make $root"
}

check_suite()
{
    [ -x "$root/usr/bin/dpkg" ] || die "$root: expected a Debian or nothing"
    # shellcheck source=/dev/null
    found=$(. "$root/usr/lib/os-release" && echo "${VERSION_CODENAME:-}")
    case $suite in sid | unstable) case $(cat "$root/etc/debian_version") in */sid) found=$suite ;; esac ;; esac
    [ "$found" = "$suite" ] || die "$root: expected $suite, found ${found:-no name of a release}"
}

missing_of()
{
    for package; do
        # shellcheck disable=SC2016 # dpkg's own
        state=$(chroot "$root" dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
        [ "$state" = installed ] || printf ' %s' "$package"
    done
}

install_missing()
{
    missing=$(missing_of "$@")
    [ -n "$missing" ] || return 0
    echo "ci/chroot.sh: installing$missing in $root"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    export DEBIAN_FRONTEND=noninteractive
    quietly "apt-get update in $root" enter "$root" "$here" apt-get -q update
    # shellcheck disable=SC2086 # words
    quietly "apt-get install in $root" enter "$root" "$here" apt-get -q -y \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends install $missing
    chroot "$root" apt-get clean
}

[ $# -ge 2 ] || usage "$# arguments"
suite=$1 root=$2
shift 2
case $root in "" | / | -*) usage "directory '$root'" ;; /*) ;; *) root=$PWD/$root ;; esac
[ "$(id -u)" = 0 ] || die "must be run as root"
if [ "$suite" = run ]; then
    shown=$here
    while [ "${1:-}" = --bind ]; do
        [ -d "${2:-}" ] || usage "--bind '${2:-}'"
        shown="$shown
$(cd "$2" && pwd)"
        shift 2
    done
    [ $# -gt 0 ] || usage 'no command'
    [ -x "$root/bin/sh" ] || die "$root: there is no system in it: ci/chroot.sh SUITE $root makes one"
    enter "$root" "$shown" "$@"
fi
log=$(mktemp "${TMPDIR:-/tmp}/qdot-chroot.XXXXXX") || exit 1
trap 'rm -rf "$log" "$root.part"' EXIT
mkdir -p "$(dirname "$root")"
# Another run may be at it; programs started here hold the lock as well, as they may outlive this shell.
exec 9>"$root.lock"
flock 9
[ -e "$root" ] || bootstrap
check_suite
# A mirror may be older than a list of unstable's packages says it is valid.
[ -e "$root/etc/apt/apt.conf.d/90chroot" ] ||
    echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90chroot"
install_missing "$@"
