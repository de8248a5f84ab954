# SPDX-License-Identifier: MIT
"""The boot units that an image gets: which, enabled where, and whether they are as they should be.

They are enabled by links in /usr: they are there for the boot with an empty /etc, or with that of an older image.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from accounts.image.reader import Reader, point_at
from accounts.image.tree import Tree

NSSWITCH_UNIT = "accounts-nsswitch.service"
WANTS = "sysinit.target.wants"
DIRECTORIES = ("/usr/lib/systemd/system", "/lib/systemd/system")
SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
PROGRAM = "/usr/bin/accounts"
# Unit -> the directory of links that enables it, "" for one that a socket starts: of those that run the program.
PROGRAM_UNITS = {
    "accounts-rebase.service": WANTS,
    "accounts-reown.service": WANTS,
    "accounts-sysusers.service": WANTS,
    "accounts-apply.service": WANTS,
    "accounts-reset.service": "factory-reset.target.wants",
    "accounts-check.service": "multi-user.target.wants",
    "accounts-self.service": "",
    "accounts-self.socket": "sockets.target.wants",
    "accounts-pwaccess.socket": "sockets.target.wants",
}


def units_of(tree: Reader) -> dict[str, str]:
    """The units that a root should have: the first one in any case, the others where their program is."""
    return {NSSWITCH_UNIT: WANTS} | (PROGRAM_UNITS if tree.lstat(PROGRAM) is not None else {})


def install(
    tree: Tree, read: Callable[[str], bytes], changed: Callable[[str], None], note: Callable[[str], None]
) -> None:
    """Install and enable the units, unless the root has some of that name. read: a unit of ours. Raises OSError."""
    directory = next((path for path in DIRECTORIES if tree.lstat(f"{path}/sysinit.target") is not None), DIRECTORIES[0])
    for unit, wants in units_of(tree).items():
        if tree.lstat(f"{directory}/{unit}") is None:
            tree.write(f"{directory}/{unit}", read(unit))
            changed(f"{directory}/{unit}")
        if wants and tree.lstat(f"{directory}/{wants}/{unit}") is None:
            tree.symlink(f"../{unit}", f"{directory}/{wants}/{unit}")
            changed(f"{directory}/{wants}/{unit}")
        if (mask := tree.readlink(f"/etc/systemd/system/{unit}")) is not None:
            note(f"/etc/systemd/system/{unit} is a link to {mask}: the unit will not run")


def find_faults(tree: Reader) -> Iterator[tuple[str, str, str]]:
    """(unit, what is wrong with it, its path or "") of each that will not run. Raises OSError."""
    places = ("/etc/systemd/system", *DIRECTORIES)
    for unit, wants in units_of(tree).items():
        path = next((f"{one}/{unit}" for one in places if tree.lstat(f"{one}/{unit}") is not None), None)
        if path is None:
            yield unit, f"there is no {unit}", ""
            continue
        link = tree.readlink(path)
        if link is not None and point_at(posixpath.dirname(path), link) == "/dev/null":
            yield unit, f"{path} is masked", path
        elif wants and not any(tree.lstat(f"{one}/{wants}/{unit}") for one in places):
            yield unit, f"{path} is not enabled", path
