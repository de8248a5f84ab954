#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds Debian's packages of this tree where they are built: deb.sh DIRECTORY, which gets the .deb files.
#
# Needs debhelper, dh-python, dpkg-dev, libpam0g-dev, python3-passlib and python3-filelock. The tree is copied, without what is built.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd) into=$(mkdir -p "${1:?usage: deb.sh DIRECTORY}" && cd "$1" && pwd)
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$top/accounts/version.py")
version=${DEB_VERSION:-$(printf '%s' "$version" | sed 's/\.dev/~dev/')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/stateless-accounts-$version
mkdir "$tree"
tar -C "$top" --exclude=./.git --exclude=./.venv --exclude=./build --exclude='*/build' --exclude=__pycache__ -c . | tar -C "$tree" -x
cp -R "$top/packaging/debian/source" "$tree/debian"
cat >"$tree/debian/changelog" <<EOF
stateless-accounts ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- stateless-accounts developers <accounts@example.org>  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$top/CHANGELOG.md")}")
EOF
cd "$tree"
dpkg-buildpackage -us -uc -b --no-sign
cp ../*.deb "$into"
