#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a Debian root directory that tests copy from, once, and prints its path.
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
# Packages that are installed into the finished root, and others that only wait in apt's cache, with all they need.
install='' download=''
# A directory of packages that is unpacked into the root; what they need is not fetched then.
unpack=''

case $name in
debian-12-*) suite=bookworm ;;
debian-13-*) suite=trixie ;;
debian-unstable-*) suite=unstable ;;
esac
case $name in
debian-12-minbase | debian-13-minbase) include= ;;
# The real tools of shadow-utils 4.17 and 4.20, with the interpreter that their distribution has.
debian-13-python | debian-unstable-python) include=python3,passwd,login ;;
# A fresh system that a checkout is cloned and tested in (run-in-root.sh).
debian-13-test | debian-unstable-test) include=python3,python3-venv,passwd,login,gcc,libc6-dev,make,git,ca-certificates ;;
# For a machine with a younger one: the machine of shadow-utils 4.13.
debian-12-test) include=python3,passwd,login,strace ;;
# Ubuntu Core's second layer.
debian-12-extrausers)
    include=passwd
    install='libnss-extrausers' ;;
# Rootless containers; busybox is what runs in them.
debian-12-podman | debian-13-podman)
    include=uidmap,passwd
    install='busybox-static crun podman' ;;
# The fuzzers of tests/support/fuzz-long.sh.
debian-12-fuzz)
    include=python3,libc6-dev
    install='afl++ clang gcc libclang-rt-14-dev' ;;
# What `make install` needs, to build the module and the byte code where they run.
debian-13-build) include=python3,passwd,login,gcc,libc6-dev,make ;;
debian-12-systemd-ssh) include=systemd,systemd-sysv,dbus,libpam-systemd,kmod,udev,openssh-server,sudo ;;
# A dracut that copies rows out of /etc/passwd and /etc/group.
debian-13-dracut) include=dracut-core,systemd,dbus,udev,kmod,cpio ;;
# An rpm that reads account files itself, and rpmbuild.
debian-13-rpm) include=rpm ;;
# What RPM packages of ours are installed over, as the packages of a distribution.
debian-13-rpm-python) include=rpm,python3,passwd,login ;;
# The same with an interpreter, for our tools to run inside.
debian-12-systemd-ssh-python | debian-13-systemd-ssh-python)
    include=systemd,systemd-sysv,dbus,libpam-systemd,kmod,udev,openssh-server,sudo,python3 ;;
# And with a module that has a say in new passwords.
debian-12-passwdqc | debian-13-passwdqc)
    include=systemd,systemd-sysv,dbus,libpam-systemd,kmod,udev,openssh-server,python3,libpam-passwdqc ;;
# Where Debian's packages are built, and looked at.
debian-12-packaging | debian-13-packaging)
    include=python3,passwd,login,gcc,libc6-dev,make,dpkg-dev,fakeroot,libpam0g-dev
    # Debian 12's filelock is too old: pip gets one.
    case $name in debian-12-*) include=$include,python3-venv,ca-certificates ;; esac
    install='build-essential debhelper dh-python python3-passlib python3-filelock lintian' ;;
# Where RPM packages are built, and installed into other roots by dnf.
debian-13-rpmbuild)
    include=python3,passwd,login,gcc,libc6-dev,make,libpam0g-dev
    install='createrepo-c dnf python3-passlib python3-filelock rpm' ;;
# Where images are made of packages, and booted.
debian-13-imagers)
    include=python3,systemd,systemd-sysv,dbus,udev,kmod,passwd,login
    install='buildah ca-certificates cpio crun dosfstools e2fsprogs fuse-overlayfs git mkosi mtools netavark ovmf qemu-system-x86 reprepro
        squashfs-tools systemd-boot-efi systemd-boot-tools systemd-container systemd-repart systemd-ukify zstd debian-archive-keyring' ;;
# What OpenEmbedded's metadata is parsed in: its HOSTTOOLS, and the locale that BitBake asks for.
debian-13-openembedded)
    include=python3,passwd,login
    install='build-essential chrpath cpio diffstat file gawk git libarchive-tools locales lz4 procps rpcsvc-proto wget xz-utils zstd' ;;
# The clients of the account tools, and the packages whose maintainer scripts call them.
debian-12-clients)
    include=adduser
    install='ansible-core dbus libpam-systemd openssl perl python3 systemd systemd-sysv'
    download='avahi-daemon chrony dnsmasq dovecot-core mariadb-server memcached mosquitto nsd openssh-server plocate
        postfix postgresql prometheus-node-exporter redis-server rpcbind stunnel4 sudo tcpdump unbound usbmuxd vsftpd' ;;
# What packages of Debian 13 have in sysusers.d, and systemd 257's reader of it.
debian-13-sysusers)
    include=systemd-standalone-sysusers unpack=usr/lib/sysusers.d
    download='aide-common amavisd-new axfrdns bcron binkd certspotter clamav-base cloudflare-ddns cron-daemon-common
        dbus-system-bus-common dnscache flatpak fort-validator fwupd galileo-daemon gnome-remote-desktop hitch
        laurel mimic openbgpd openssh-server openvpn3-client polkitd pound prometheus-varnish-exporter
        qemu-web-desktop rbldns rbldnsd rpki-client sddm sispmctl slurm-wlm-basic-plugins socklog-run
        speakersafetyd stunnel4 swupdate systemd systemd-coredump systemd-cron systemd-journal-remote
        systemd-oomd systemd-resolved systemd-timesyncd tinydns tuptime udev uuid-runtime varnish walldns
        xrootd-server' ;;
# Debian 13, whose dpkg reads /etc/passwd itself, with packages that bring users, groups and statoverrides.
debian-13-packages)
    include=adduser
    install='python3'
    download='at base-passwd chrony cron dbus dnsmasq openssh-server plocate polkitd rpcbind tcpdump uuid-runtime' ;;
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
        debootstrap --variant=minbase ${include:+--include="$include"} "$suite" "$work/root" "$mirror" \
            >"$log" 2>&1 9>&- || { cat "$log" >&2; exit 1; }
        rm -rf "$work/root/debootstrap"
        inside() {
            DEBIAN_FRONTEND=noninteractive LC_ALL=C unshare -m -p -f --kill-child --mount-proc --root="$work/root" --wd=/ \
                "$@" >>"$log" 2>&1 9>&- || { cat "$log" >&2; exit 1; }
        }
        if [ -n "$unpack" ]; then
            inside apt-get -q update
            # shellcheck disable=SC2016,SC2086
            inside sh -euc 'mkdir /debs; cd /debs; apt-get -q download "$@"
                for deb in *.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C / --wildcards "./$0/*"; done
                rm -r /debs' "$unpack" $download
        elif [ -n "$install" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
            chmod 755 "$work/root/usr/sbin/policy-rc.d"
            inside apt-get -q update
            # shellcheck disable=SC2086
            inside apt-get -q install -y --no-install-recommends $install
            inside apt-get clean
            # shellcheck disable=SC2086
            inside apt-get -q install -y --no-install-recommends --reinstall --download-only $download
        else
            inside apt-get clean
            rm -rf "$work/root/var/lib/apt/lists"
            mkdir -p "$work/root/var/lib/apt/lists/partial"
        fi
        chmod 755 "$work/root"
        mv "$work/root" "$root"
    fi
fi
printf '%s\n' "$root"
