#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a shell command in a root directory as on a machine of its own, mounts and namespaces included.
#
#   run-in-root.sh ROOT COMMAND     ROOT is a directory that may be written, such as a copy of one of make-root.sh
#
# pivot_root(8) and not chroot(8), below which neither a mount namespace nor an overlay of "/" works. Devices, /sys
# and the network are this machine's; so is the cache of roots, ACCOUNTS_TEST_CACHE. Needs root.
set -eu

root=$(readlink -f "${1:?usage: run-in-root.sh ROOT COMMAND}") command=${2:?usage: run-in-root.sh ROOT COMMAND}
cache=${ACCOUNTS_TEST_CACHE:-/var/tmp/accounts-test}
mkdir -p "$cache" "$root/var/tmp/accounts-test"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
# What this machine trusts, for pip and git behind its proxy.
bundle=/etc/ssl/certs/ca-certificates.crt
[ ! -f $bundle ] || { mkdir -p "$root/etc/ssl/certs" && cp $bundle "$root$bundle"; }
# A mirror may be a snapshot, whose Release file of unstable is good for a week.
[ ! -d "$root/etc/apt" ] || echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90snapshot"

# shellcheck disable=SC2016
exec unshare -m -p -f --kill-child sh -euc '
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount --rbind /dev "$1/dev"
    mount --rbind /sys "$1/sys"
    mount --bind "$2" "$1/var/tmp/accounts-test"
    mount -t proc proc "$1/proc"
    mount -t tmpfs -o mode=755 tmpfs "$1/run"
    mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
    cd "$1"
    pivot_root . mnt
    umount -l /mnt
    unset ACCOUNTS_TEST_CACHE
    exec env -- PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb /bin/sh -euc "$3"
' sh "$root" "$cache" "$command" </dev/null
