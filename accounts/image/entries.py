# SPDX-License-Identifier: MIT
"""What is in an image's /etc, and the rule that takes it. Reads only."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

from accounts.image.rules import Match, Rules
from accounts.image.tree import Tree


@dataclass(frozen=True)
class Entry:
    """One entry of /etc. path: relative to it. link: the text of a symbolic link. match: its rule."""

    path: str
    status: os.stat_result
    link: str | None
    match: Match | None

    @property
    def directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def kind(self) -> str:
        return "" if self.match is None else self.match.rule.kind

    @property
    def old(self) -> str:
        return f"/etc/{self.path}"

    @property
    def new(self) -> str | None:
        """Where a rule moves it, to its target or to the factory; None when it does not move."""
        if self.match is None or self.kind not in ("mv", "factory"):
            return None
        return self.match.rule.destination(self.match.top, self.path)


def leftovers(root: int | Path, rules: Rules) -> list[str]:
    """Return what of ROOT/etc no `keep` rule allows, in order; an empty directory ends with a slash."""
    with Tree(root) as tree:
        return left_over(scan_etc(tree, rules))


def left_over(entries: list[Entry]) -> list[str]:
    """What of a scan no `keep` rule allows, as leftovers()."""
    parents = {posixpath.dirname(entry.path) for entry in entries}
    return [
        entry.old + "/" * entry.directory
        for entry in entries
        if entry.kind != "keep" and not (entry.directory and entry.path in parents)
    ]


def scan_etc(tree: Tree, rules: Rules) -> list[Entry]:
    """All entries of /etc, parents before what is in them. Raises OSError."""
    entries = []

    def scan(path: str) -> None:
        with tree.directory(posixpath.join("/etc", path)) as fd:
            found = []
            for name in sorted(os.listdir(fd)):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                link = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else None
                below = posixpath.join(path, name)
                found.append(Entry(below, status, link, rules.find(below)))
        for entry in found:
            entries.append(entry)
            if entry.directory:
                scan(entry.path)

    try:
        scan("")
    except FileNotFoundError:
        if entries:
            raise
    return entries
