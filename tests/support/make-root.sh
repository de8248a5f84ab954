#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a Debian 12 root directory that tests copy from, once, and prints its path.
#
#   make-root.sh NAME [DIR]      NAME is one of the roots in the table below
#
# Idempotent: a root that is there is used as it is. Atomic: it is built beside its place and renamed, so
# whoever finds it finds it whole; a lock makes the second of two callers wait for the first.
# DIR defaults to $ACCOUNTS_TEST_CACHE or /var/tmp/accounts-test. Needs root, debootstrap and a Debian mirror.
set -eu

name=${1:?usage: make-root.sh NAME [DIR]}
cache=${2:-${ACCOUNTS_TEST_CACHE:-/var/tmp/accounts-test}}
mirror=${ACCOUNTS_TEST_MIRROR:-http://deb.debian.org/debian}

case $name in
debian-12-minbase) include= ;;
debian-12-systemd-ssh) include=systemd,systemd-sysv,dbus,libpam-systemd,kmod,udev,openssh-server,sudo ;;
# The same with an interpreter, for our tools to run inside.
debian-12-systemd-ssh-python)
    include=systemd,systemd-sysv,dbus,libpam-systemd,kmod,udev,openssh-server,sudo,python3 ;;
*) echo "make-root.sh: no root is called $name" >&2; exit 2 ;;
esac

root=$cache/$name
if [ ! -d "$root" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/.$name.lock"
    flock 9
    if [ ! -d "$root" ]; then
        work=$(mktemp -d "$cache/.$name.XXXXXX")
        trap 'rm -rf --one-file-system "$work"' EXIT
        trap 'exit 1' HUP INT TERM
        log=$work/make-root.log
        # Services must not start in the build; debootstrap's own stand-in for start-stop-daemon sees to that.
        debootstrap --variant=minbase ${include:+--include="$include"} bookworm "$work/root" "$mirror" \
            >"$log" 2>&1 9>&- || { cat "$log" >&2; exit 1; }
        chroot "$work/root" apt-get clean 9>&-
        rm -rf "$work/root/var/lib/apt/lists" "$work/root/debootstrap"
        mkdir -p "$work/root/var/lib/apt/lists/partial"
        chmod 755 "$work/root"
        mv "$work/root" "$root"
    fi
fi
printf '%s\n' "$root"
