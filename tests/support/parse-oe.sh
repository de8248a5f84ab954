#!/bin/sh
# SPDX-License-Identifier: MIT
# Parses an image with packaging/yocto in the metadata of OpenEmbedded-Core, inside a root (run-in-root.sh) like debian-13-openembedded.
#
#   parse-oe.sh LAYERS [IMAGE]   LAYERS is a directory with checkouts of openembedded-core, bitbake and meta-openembedded
#
# Prints what `bitbake -e` says of the class and what `bitbake -n` would run. Sources are not fetched, so nothing is built.
# BitBake refuses to be root's: it runs as a user that is made here.
set -eu

layers=$(readlink -f "${1:?usage: parse-oe.sh LAYERS [IMAGE]}") image=${2:-core-image-minimal}
top=$(cd "$(dirname "$0")/../.." && pwd)
id builder >/dev/null 2>&1 || useradd -m -s /bin/bash builder
build=/home/builder/build
install -d -o builder "$build" "$build/conf"
cat >"$build/conf/bblayers.conf" <<EOF
LCONF_VERSION = "7"
BBPATH = "\${TOPDIR}"
BBFILES ?= ""
BBLAYERS = "$layers/openembedded-core/meta $layers/meta-openembedded/meta-oe $layers/meta-openembedded/meta-python $top/packaging/yocto"
EOF
cat >"$build/conf/local.conf" <<'EOF'
MACHINE = "qemux86-64"
INIT_MANAGER = "systemd"
DISTRO_FEATURES:append = " pam usrmerge"
CONNECTIVITY_CHECK_URIS = ""
IMAGE_CLASSES += "stateless-accounts"
IMAGE_FEATURES += "stateless"
PREFERRED_RPROVIDER_shadow = "stateless-accounts"
EOF
chown -R builder "$build"
# All is the builder's: the state of our tree (externalsrc) is hashed by `git add` into its repository, and a BitBake that may
# not write beside its own files leaves a table of its parser in the build directory that the next one fails on.
chown -R builder "$top" "$layers"
# Git refuses checkouts of somebody else's, and layers ask it for their revision.
su builder -c "git config --global --add safe.directory '*'"

# Runs a command in the environment that OpenEmbedded makes.
inside() {
    su builder -s /bin/bash -c "export LC_ALL=en_US.UTF-8; . '$layers/openembedded-core/oe-init-build-env' '$build' '$layers/bitbake' >/dev/null && $1"
}
printf 'en_US.UTF-8 UTF-8\n' >/etc/locale.gen
locale-gen >/dev/null

inside "bitbake -e $image >$build/environment"
echo "== $image"
grep -E '^(IMAGE_FEATURES|IMAGE_CLASSES|PSEUDO_PASSWD|ROOTFS_POSTPROCESS_COMMAND|FEATURE_PACKAGES_stateless|PACKAGE_INSTALL|STATELESS_[A-Z_]*)=' "$build/environment"
echo "== do_rootfs"
for flag in postfuncs cleandirs depends; do
    printf '[%s]' $flag
    inside "bitbake-getvar --quiet --value -r $image -f $flag do_rootfs"
done
# Its status is that of an error, too, where the loader that a build begins with (uninative) cannot be fetched.
inside "bitbake -n $image" >"$build/dry-run" 2>&1 || :
echo "== tasks of ours, in the order of a build"
grep -E "Running .*(stateless-accounts|/$image).*:do_(compile|install|populate_sysroot|rootfs|image)\)" "$build/dry-run"
grep 'all succeeded' "$build/dry-run" || { tail -n 60 "$build/dry-run"; exit 1; }
