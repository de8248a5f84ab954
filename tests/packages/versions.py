# SPDX-License-Identifier: MIT
"""Other versions of Debian's packages, made of those that were built."""

from __future__ import annotations

from tests.packages.rootdir import PackagedRoot

PACKAGES = ("libnss-altfiles", "libpam-accounts", "libsubid-altfiles", "stateless-accounts", "stateless-accounts-tools")
# A shell of maintainer scripts that, where there is KILL_AT, numbers each simple command in /debs/count, over all
# scripts of a run, and writes "NUMBER SCRIPT LINE TOOL" to /debs/lines: the DEBUG trap runs before it. At that number
# dpkg, its scripts and what they run are killed at once, being one process group. tool is a variable of tools-links.
# LINENO is that of the command in the first line of the trap alone.
TRACED = """\
#!/bin/sh
[ -n "${KILL_AT-}" ] || exec /bin/sh "$@"
export BASH_ENV=/debs/trap
exec bash "$@"
"""
TRAP = """\
set -T
trap '_line=$LINENO; read -r _n </debs/count; _n=$((_n + 1)); echo $_n >/debs/count
_tool=${tool-}; _script=${0##*/}
[ "$_script" = tools-links ] || _script=$DPKG_MAINTSCRIPT_PACKAGE.$DPKG_MAINTSCRIPT_NAME
printf "%s %s %s %s\\n" "$_n" "$_script" "$_line" "${_tool##*/}" >>/debs/lines
[ "$_n" != "$KILL_AT" ] || kill -9 0' DEBUG
"""


def stamp_library(directory: str, version: str) -> str:
    """A shell command after which each module in a directory wants a library `accounts` of that version beside it."""
    stamp = f'from accounts.version import VERSION as _version\\nassert _version == "{version}", _version\\n'
    return (
        f"find {directory} -name '*.py' ! -path '*/accounts/version.py' | while read -r file; do "
        f"printf '{stamp}' >>$file; done; "
        f"find {directory} -path '*/accounts/version.py' -exec sed -i 's/^VERSION = .*/VERSION = \"{version}\"/' {{}} +"
    )


def repack(root: PackagedRoot, version: str, traced: bool = False, stamped: bool = False, without: str = "") -> None:
    """Other packages in /debs/VERSION of root: of that version.

    traced: their scripts run under a trap for every line. stamped: their library refuses modules of another version;
    the root has the tree in /root/tree. without: a tool that it has no more.
    """
    steps = []
    if traced:
        shells = "grep -lsx '#!/bin/sh.*' x/DEBIAN/* x/usr/lib/accounts/tools-links"
        steps.append(f"{shells} | xargs -r sed -i '1s|.*|#!/debs/traced|'")
    if stamped:
        pack = "python3 -ISXno_debug_ranges /root/tree/scripts/pack.py x/usr/lib/accounts /usr/lib/accounts"
        library = "x/usr/lib/accounts/accounts"
        stamp = f"{stamp_library(library, version)}; {stamp_library('x/usr/lib/accounts/passlib', version)}; {pack}"
        steps.append(f"if [ -d {library} ]; then {stamp}; fi")
    if without:
        steps.append(f"rm -f x/usr/lib/accounts/tools/{without}")
    root.run(
        f"cd /debs; mkdir {version}; for deb in *.deb; do rm -rf x; dpkg-deb -R $deb x; "
        f"sed -i 's/^Version: .*/Version: {version}/; s/(= [^)]*)/(= {version})/' x/DEBIAN/control; "
        f"{''.join(f'{step}; ' for step in steps)}dpkg-deb -Znone -b x {version}/$deb >/dev/null; done; rm -rf x"
    )
