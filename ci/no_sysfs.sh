# shellcheck shell=sh
# To be sourced. Where /sys is not mounted (a chroot), hwloc finds no memory and PoCL, asked for its
# devices, ends the process. Then tell hwloc what the machine has.
if [ ! -e /sys/devices/system/cpu ] && [ -z "${HWLOC_SYNTHETIC:-}${HWLOC_XMLFILE:-}" ]; then
    HWLOC_SYNTHETIC="numa:1(memory=$(($(getconf _PHYS_PAGES) * $(getconf PAGESIZE)))) core:$(nproc) pu:1"
    export HWLOC_SYNTHETIC
fi
