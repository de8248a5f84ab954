#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds RPM packages of this tree: rpm.sh DIRECTORY [OPTION...], with options of rpmbuild; DIRECTORY gets the source
# package and the others.
#
# Needs rpmbuild, gcc, make, the headers of libpam and crypt(3), passlib and filelock >= 3.12 for /usr/bin/python3. Where
# they come from packages that rpm does not know (Debian's), they are taken for granted.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd) into=$(mkdir -p "${1:?usage: rpm.sh DIRECTORY [OPTION...]}" && cd "$1" && pwd)
shift
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$top/accounts/version.py")
version=${RPM_VERSION:-$(printf '%s' "$version" | sed 's/\.dev/~dev/')}
# DIRECTORY, passlib's and filelock's version.
found=$(/usr/bin/python3 -c 'import os, passlib, filelock
print(os.path.dirname(os.path.dirname(passlib.__file__)), passlib.__version__, filelock.__version__)')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/SOURCES" "$work/SPECS"
tar -C "$top" --exclude=./.git --exclude=./.venv --exclude=./build --exclude='*/build' --exclude=__pycache__ \
    --transform "s|^\.|stateless-accounts-$version|" -czf "$work/SOURCES/stateless-accounts-$version.tar.gz" .
deps=${found%% *} filelock=${found##* } passlib=${found% *}
passlib=${passlib#* }
sed -e "s|@VERSION@|$version|; s|@SHADOW_COMPAT@|$("$top/packaging/find-shadow")|" \
    -e "s|@DEPS@|$deps|; s|@PASSLIB@|$passlib|; s|@FILELOCK@|$filelock|" \
    -e "s|@DATE@|$(LC_ALL=C date -u -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$top/CHANGELOG.md")}" '+%a %b %d %Y')|" \
    "$top/packaging/rpm/stateless-accounts.spec.in" >"$work/SPECS/stateless-accounts.spec"
nodeps=
rpm -q rpm >/dev/null 2>&1 || nodeps=--nodeps
rpmbuild -ba $nodeps "$@" --define "_topdir $work" "$work/SPECS/stateless-accounts.spec"
find "$work/RPMS" "$work/SRPMS" -name '*.rpm' -exec cp {} "$into" \;
