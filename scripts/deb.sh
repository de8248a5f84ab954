#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds Debian's packages of this tree: deb.sh DIRECTORY, which gets the source package and the .deb files.
#
# Needs build-essential, debhelper, dh-python, libpam0g-dev, python3-passlib and python3-filelock; where that is older than
# 3.12 (Debian 12), python3-venv and pip's index instead: both libraries are then a part of the source package, debian/deps.
# The tree is copied, without what is built.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd) into=$(mkdir -p "${1:?usage: deb.sh DIRECTORY}" && cd "$1" && pwd)
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$top/accounts/version.py")
# Each release of Debian gets a source package of its own, older than that of the next one.
release=$(sed -n 's/^VERSION_ID="\?\([0-9.]*\)"\?$/~deb\1/p' /etc/os-release)
version=${DEB_VERSION:-$(printf '%s' "$version" | sed 's/\.dev/~dev/')$release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/stateless-accounts-$version
mkdir "$tree"
tar -C "$top" --exclude=./.git --exclude=./.venv --exclude=./build --exclude='*/build' --exclude=__pycache__ -c . | tar -C "$tree" -x
cp -R "$top/packaging/debian/source" "$tree/debian"
filelock=$(dpkg-query -W -f '${Version}' python3-filelock 2>/dev/null) || filelock=0
if dpkg --compare-versions "$filelock" lt 3.12; then
    make -s -C "$tree" build/deps PYTHON=/usr/bin/python3
    mv "$tree/build/deps" "$tree/debian/deps"
    rm -rf "$tree/build" "$tree"/debian/deps/*/tests "$tree/debian/source/lintian-overrides"
    # As the Makefile installs it (COPY_LIBRARY).
    rm -rf "$tree/debian/deps/passlib/_data" "$tree/debian/deps/passlib/ext"
    sed -i '/^Build-Depends:/s/, python3-filelock[^,]*, python3-passlib//' "$tree/debian/control"
fi
cat >"$tree/debian/changelog" <<EOF
stateless-accounts ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- stateless-accounts developers <accounts@example.org>  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$top/CHANGELOG.md")}")
EOF
cd "$tree"
export DEB_BUILD_OPTIONS="noautodbgsym ${DEB_BUILD_OPTIONS-}"
dpkg-buildpackage --no-sign
cp ../*.deb ../*.dsc ../*.tar.* ../*.changes ../*.buildinfo "$into"
