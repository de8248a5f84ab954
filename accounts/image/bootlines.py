# SPDX-License-Identifier: MIT
"""The tmpfiles.d lines by which systemd-tmpfiles makes at boot what programs need in /etc."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable

from accounts.image.entries import Entry
from accounts.image.rules import Rules
from accounts.image.tmpfiles import TmpfilesLine, disable_lines, format_copy, format_directory, format_link, parse_line
from accounts.image.tree import Tree

TMPFILES_DIR = "/usr/lib/tmpfiles.d"
TMPFILES = f"{TMPFILES_DIR}/accounts-etc.conf"
ORDERING = "/usr/lib/systemd/system/systemd-tmpfiles-setup.service.d/accounts-etc.conf"
_HEADER = "# Made by `accounts image stateless`: what programs need in /etc, made at boot when missing.\n"
_WHY_DISABLED = "disabled by accounts image stateless"


class BootLines:
    """Lines by the path that they make, gathered by one run of stateless.apply_rules().

    written: files that write() changed. disabled: "FILE: LINE" of tmpfiles.d lines that it put out of action.
    """

    def __init__(self, tree: Tree, rules: Rules) -> None:
        self.tree = tree
        self.rules = rules
        self.lines: dict[str, str] = {}
        self.written: list[str] = []
        self.disabled: list[str] = []

    @property
    def ordered(self) -> list[str]:
        """The lines, by path."""
        return [line for _, line in sorted(self.lines.items())]

    def add_directory(self, entry: Entry) -> None:
        """Have a directory made, with its mode and owner of now."""
        self.lines[entry.old] = _format_directory(entry)

    def add_link(self, path: str, text: str) -> None:
        """Have a link with this text made."""
        self.lines[path] = format_link(path, text)

    def add_file(self, old: str, new: str, *, copy: bool) -> None:
        """Have a copy of, or a link to, `new` made at `old`."""
        if copy:
            self.lines[old] = format_copy(old, "" if new == f"/usr/share/factory{old}" else new)
        else:
            self.add_link(old, posixpath.relpath(new, posixpath.dirname(old)))

    def add_parents(self, path: str, entries: list[Entry]) -> None:
        """Have the directories above a path of /etc made as they are; else tmpfiles makes them 0755."""
        above = {posixpath.dirname(path)}
        while "" not in above:
            above.add(posixpath.dirname(min(above, key=len)))
        for other in entries:
            status = other.status
            if other.path in above and (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (0o755, 0, 0):
                self.lines.setdefault(other.old, _format_directory(other))

    def add_moved(self, entries: list[Entry]) -> None:
        """Have the old path of each `mv … as=` made a link or copy, also of what an earlier run or seed moved."""
        moved = [
            (rule, pattern.text)
            for rule in self.rules.entries if rule.comes_back
            for pattern in rule.patterns if pattern.literal
        ]  # fmt: skip
        moved += [
            (entry.match.rule, entry.match.top)
            for entry in entries if entry.match is not None and entry.match.rule.comes_back
        ]  # fmt: skip
        for rule, top in moved:
            new = rule.destination(top, top)
            if self.tree.lstat(new) is not None:
                self.add_file(f"/etc/{top}", new, copy=rule.copy)

    def write(self, moved: Iterable[str]) -> None:
        """Write the lines and the ordering, merged with those of earlier runs; disable what says otherwise.

        moved: paths of files that left /etc.
        """
        for line in self._read(TMPFILES).splitlines():
            known = parse_line(line)
            if known is not None and self._still_holds(known):
                self.lines.setdefault(known.path, line)
        if self.lines or self.tree.lstat(TMPFILES) is not None:
            self._write(TMPFILES, _HEADER + "".join(line + "\n" for line in self.ordered))
        units = set()
        for path in self.lines:
            match = self.rules.find(path.removeprefix("/etc/"))
            units |= set(match.rule.before if match is not None else ())
        for line in self._read(ORDERING).splitlines():
            if line.startswith("Before="):
                units |= set(line.removeprefix("Before=").split())
        if units:
            self._write(ORDERING, f"[Unit]\nBefore={' '.join(sorted(units))}\n")
        self._disable_clashes({**dict.fromkeys(moved), **self.lines})

    def _still_holds(self, line: TmpfilesLine) -> bool:
        """Whether a line of an earlier run is to stay: its source is there and no rule now says otherwise."""
        source = line.argument or f"/usr/share/factory{line.path}"
        if line.type.startswith("C") and self.tree.lstat(source) is None:
            return False
        match = self.rules.find(line.path.removeprefix("/etc/"))
        return match is None or match.rule.kind in ("factory", "d") or match.rule.comes_back

    def _disable_clashes(self, lines: dict[str, str | None]) -> None:
        """Put out of action what other tmpfiles.d files say otherwise of our paths: the file that sorts
        first would win, and what was moved would come back and hide its new place."""
        for name in self.tree.names(TMPFILES_DIR):
            path = f"{TMPFILES_DIR}/{name}"
            status = self.tree.lstat(path)
            if path == TMPFILES or not name.endswith(".conf"):
                continue
            if status is None or not stat.S_ISREG(status.st_mode):
                continue  # a link to /dev/null, say
            text, disabled = disable_lines(self._read(path), lines, _WHY_DISABLED)
            if disabled:
                self._write(path, text)
                self.disabled += [f"{path}: {line}" for line in disabled]

    def _read(self, path: str) -> str:
        try:
            return self.tree.read(path).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    def _write(self, path: str, text: str) -> None:
        if self.tree.write(path, text.encode("utf-8", "surrogateescape")):
            self.written.append(path)


def _format_directory(entry: Entry) -> str:
    status = entry.status
    return format_directory(entry.old, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
