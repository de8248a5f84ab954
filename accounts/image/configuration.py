# SPDX-License-Identifier: MIT
"""The part of `accounts image seed` that is not rows: login.defs and its like, subordinate ids, leftovers.

The tmpfiles.d line that brings a path back at boot is written, and on the disk, before anything leaves that
path: a seed that was killed is completed by running it again.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from accounts.image import tmpfiles
from accounts.image.module import SUBID_PLUGIN, find_libraries
from accounts.image.tree import Tree
from accounts.model.policy import DATABASES
from accounts.system.commit import TEMPORARY

if TYPE_CHECKING:
    from accounts.image.seed import Seeded

SUBIDS = ("subuid", "subgid")
# Configuration that the tools read from the vendor directory too, and what programs that know only /etc get.
CONFIGURATION = {
    "login.defs": "link",
    "shells": "link",
    "securetty": "link",
    "default/useradd": "",
    # systemd-homed and cp -r would copy the link itself, or the links in a directory of them.
    "skel": "copy",
}
VENDOR = "/usr/share/accounts"
FACTORY = "/usr/share/factory/etc"
TMPFILES = "/usr/lib/tmpfiles.d/accounts-image.conf"
# What tools leave beside the account files.
LEFTOVERS = tuple(
    f"{name}{tail}"
    for name in (*DATABASES, *SUBIDS)
    for tail in ("-", "+", ".lock", ".org", ".dpkg-old", ".dpkg-new", ".rpmsave", ".rpmnew")
) + (".pwd.lock",)


def move_subids(tree: Tree, image_dir: str, result: Seeded) -> None:
    """Move subordinate ids to the image layer where libsubid will find them (`subid: altfiles`, which wire sets).

    Else newuidmap reads /etc/subuid only: the image's rows become a factory file that tmpfiles copies there.
    """
    if find_libraries(tree, SUBID_PLUGIN):
        _layer_subids(tree, image_dir, result)
        return
    there = [name for name in SUBIDS if any(tree.lstat(f"{top}/{name}") is not None for top in ("/etc", FACTORY))]
    _add_lines(tree, [tmpfiles.format_copy(f"/etc/{name}") for name in there])
    for name in there:
        path, factory = f"/etc/{name}", f"{FACTORY}/{name}"
        if tree.lstat(path) is None:
            continue
        rows = {line for line in tree.read(path).split(b"\n") if line}
        if tree.lstat(factory) is not None:
            rows |= {line for line in tree.read(factory).split(b"\n") if line}
        tree.write(factory, b"".join(line + b"\n" for line in sorted(rows)))
        tree.settle()
        tree.remove(path)
        result.removed.append(path)


def _layer_subids(tree: Tree, image_dir: str, result: Seeded) -> None:
    """Rows of /etc, and of a factory that an earlier seed has made, behind those that the image has."""
    for name in SUBIDS:
        path, image = f"/etc/{name}", f"{image_dir}/{name}"
        found = [one for one in (image, path, f"{FACTORY}/{name}") if tree.lstat(one) is not None]
        if not found:
            continue
        rows = {line for one in found for line in tree.read(one).split(b"\n") if line}
        # Until 4.18 libsubid asks nobody when there is no file.
        _add_lines(tree, [tmpfiles.format_empty(path)])
        tree.write(image, b"".join(line + b"\n" for line in sorted(rows)))
        tree.settle()
        for one in found[image in found :]:
            tree.remove(one)
            result.removed.append(one)


def move_configuration(tree: Tree, result: Seeded) -> None:
    """Move what the tools find in the vendor directory as well; lead programs that do not there by links."""
    found = {name: tree.lstat(f"/etc/{name}") for name in CONFIGURATION}
    lines = []
    for name, style in CONFIGURATION.items():
        path, vendor = f"/etc/{name}", f"{VENDOR}/{name}"
        moved = tree.lstat(vendor) is not None and (found[name] is not None or _has_line(tree, path))
        if style and (_is_own(found[name]) or moved):
            link = tmpfiles.format_link(path, "../" * (path.count("/") - 1) + vendor[1:])
            lines.append(tmpfiles.format_copy(path, vendor) if style == "copy" else link)
    _add_lines(tree, lines)
    for name, status in found.items():
        if status is None or not _is_own(status):
            continue
        path, vendor = f"/etc/{name}", f"{VENDOR}/{name}"
        if stat.S_ISDIR(status.st_mode):
            _move_directory(tree, path, vendor)
        else:
            tree.move(path, vendor)
        result.removed.append(path)


def remove_leftovers(tree: Tree, result: Seeded) -> None:
    """Remove locks and backups of account files."""
    for name in LEFTOVERS:
        path = posixpath.join("/etc", name)
        status = tree.lstat(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            tree.remove(path)
            result.removed.append(path)


def interrupted_files(tree: Tree) -> list[str]:
    """What changes that were killed, or set aside because somebody else wrote the files since, left in /etc."""
    return [f"/etc/{name}" for name in tree.names("/etc") if name.startswith(TEMPORARY)]


def _is_own(status: os.stat_result | None) -> bool:
    """Whether there is something to move; a link leads to where it has gone already."""
    return status is not None and not stat.S_ISLNK(status.st_mode)


def _has_line(tree: Tree, path: str) -> bool:
    if tree.lstat(TMPFILES) is None:
        return False
    text = tree.read(TMPFILES).decode("utf-8", "surrogateescape")
    return any(line is not None and line.path == path for line in map(tmpfiles.parse_line, text.split("\n")))


def _add_lines(tree: Tree, lines: list[str]) -> None:
    """Add lines to our tmpfiles.d file, sorted, one for each path, and have them on the disk."""
    header = "# Made by accounts image seed: what programs read from /etc only.\n"
    old = tree.read(TMPFILES).decode() if tree.lstat(TMPFILES) is not None else ""
    paths = {line.split()[1] for line in lines}
    kept = {line for line in old.split("\n") if line and not line.startswith("#") and line.split()[1] not in paths}
    wanted = sorted(kept | set(lines))
    if wanted:
        tree.write(TMPFILES, (header + "\n".join(wanted) + "\n").encode())
        tree.settle()


def _move_directory(tree: Tree, old: str, new: str) -> None:
    """Move a directory with all that is in it, merging it into one that is there."""
    fd, _ = tree.open_directory(new, create=True)
    os.close(fd)
    # First, so that whoever finds it half moved finds it with its mode.
    tree.copy_directory_metadata(old, new)
    with tree.directory(old) as directory:
        status = os.fstat(directory)
        names = sorted(os.listdir(directory))
    for name in names:
        below = tree.lstat(f"{old}/{name}")
        if below is not None and stat.S_ISDIR(below.st_mode):
            _move_directory(tree, f"{old}/{name}", f"{new}/{name}")
        else:
            tree.move(f"{old}/{name}", f"{new}/{name}")
    tree.set_times(new, status)
    tree.remove_directory(old)
