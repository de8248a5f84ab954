# SPDX-License-Identifier: MIT
"""Empties a built rootfs' /etc by rules: move, remove, factory, keep. Idempotent and reproducible.

Works inside the root only (tree.py). What the rules of rules.py say is planned from one scan of /etc,
checked, and then carried out; docs/rules.md describes it for users.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.bootlines import BootLines
from accounts.image.entries import Entry, left_over, scan_etc
from accounts.image.errors import RuleConflict
from accounts.image.reader import point_at
from accounts.image.rules import DOC_DIR, FACTORY_DIR, Rules
from accounts.image.tree import Tree

CHECKS = ("no", "warn", "error")


@dataclass
class StatelessReport:
    """What apply_rules() did; paths are absolute inside the root, lists in stable order.

    moved: (old, new). removed: directories end with a slash. factory: the tmpfiles.d lines in force. kept:
    what `keep` rules hold. links: (link, new text) of links set right. masks: (link to /dev/null that was
    dropped, the vendor's file it masked, "" without one). replaced: vendor files that /etc's replaced.
    disabled: "FILE: LINE" of tmpfiles.d lines put out of action. written: files that changed by `write`
    rules or hold the lines. unused: rules that match nothing here. dangling: links elsewhere to what /etc
    no longer has. left: entries of /etc that no keep rule allows. check_empty: as given.
    """

    check_empty: str = "no"
    moved: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    factory: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    masks: list[tuple[str, str]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the build has to fail: something is left and the check is `error`."""
        return self.check_empty == "error" and bool(self.left)


def apply_rules(
    root: int | Path, rules: Rules, *, check_empty: str = "no", source_date_epoch: int | None = None
) -> StatelessReport:
    """Carry out the rules on the rootfs `root` and report; doing it again changes nothing.

    check_empty: no, warn or error; with error StatelessReport.failed tells whether something is left.
    source_date_epoch: seconds, the time that written files and changed directories get.
    Raises RuleConflict before anything changes, BadArgument for a check_empty it does not know, OSError.
    """
    if check_empty not in CHECKS:
        raise BadArgument(f"check-empty is {', '.join(CHECKS[:-1])} or {CHECKS[-1]}, not {check_empty!r}")
    with Tree(root, source_date_epoch) as tree:
        run = _Run(tree, rules, StatelessReport(check_empty))
        run.check_targets()
        run.make_directories()
        run.move_entries()
        run.remove_directories()
        run.write_files()
        run.write_tmpfiles()
        run.follow_moves()
        run.report.removed.sort()
        run.report.left = left_over(scan_etc(tree, rules))
        return run.report


class _Run:
    """One application of rules: the steps of apply_rules(), which share the scan and the report."""

    def __init__(self, tree: Tree, rules: Rules, report: StatelessReport) -> None:
        self.tree = tree
        self.rules = rules
        self.report = report
        self.entries = scan_etc(tree, rules)
        self.boot = BootLines(tree, rules)
        self.moved: dict[str, str] = {}
        matched = {entry.match.order for entry in self.entries if entry.match is not None}
        report.unused = [
            str(rule) for order, rule in enumerate(rules.entries) if rule.patterns and order not in matched
        ]
        report.kept = [entry.old for entry in self.entries if entry.kind == "keep"]

    # Planning

    def check_targets(self) -> None:
        """Refuse what would lose a file: two things with one target, a directory in place of a file."""
        sources: dict[str, str] = {}
        for entry in self.entries:
            new = entry.new
            if new is None:
                continue
            if not entry.directory:
                if new in sources:
                    raise RuleConflict(f"{sources[new]} and {entry.old} would both become {new}")
                sources[new] = entry.old
            there = self.tree.lstat(new)
            if there is None or self._points_into_etc(new):
                continue
            is_directory = stat.S_ISDIR(there.st_mode)
            if stat.S_ISLNK(there.st_mode) and entry.directory:
                try:
                    with self.tree.directory(new):
                        is_directory = True
                except OSError:
                    is_directory = False
            if entry.directory != is_directory:
                what = ("directory", "a non-directory") if entry.directory else ("file", "a directory")
                raise RuleConflict(f"cannot move {what[0]} {entry.old}: {new} is {what[1]}")

    def _points_into_etc(self, path: str) -> bool:
        """Whether `path` is a link to /etc: it is in the way of what moves there and gives way to it."""
        link = self.tree.readlink(path)
        return link is not None and point_at(posixpath.dirname(path), link).startswith("/etc/")

    def _is_mask(self, entry: Entry) -> bool:
        return (
            entry.kind == "mv"
            and entry.link is not None
            and point_at(posixpath.dirname(entry.old), entry.link) == "/dev/null"
        )

    def _is_stored(self, entry: Entry) -> bool:
        """Whether the entry itself ends up below /usr. A factory link lives in its tmpfiles.d line only."""
        if entry.directory or self._is_mask(entry):
            return False
        return entry.kind == "mv" or (entry.kind == "factory" and entry.link is None)

    # Doing

    def make_directories(self) -> None:
        """Make the directories that files move into, like the ones that they come from."""
        by_path = {entry.path: entry for entry in self.entries}
        stored = {entry.path for entry in self.entries if self._is_stored(entry)}
        needed = {path[:n] for path in stored for n, c in enumerate(path) if c == "/"}
        wanted: dict[str, str] = {}
        for entry in self.entries:
            new = entry.new
            if new is None or entry.match is None:
                continue
            if entry.directory and (entry.path in needed or entry.match.rule.target is not None):
                wanted.setdefault(new, entry.path)
            if entry.path in stored and new.startswith((DOC_DIR + "/", FACTORY_DIR + "/")):
                self._mirror(entry.path, new, wanted)
        for new, path in sorted(wanted.items()):
            if self._points_into_etc(new):
                self.tree.remove(new)
            if self.tree.lstat(new) is None:
                fd, _ = self.tree.open_directory(new, create=True)
                os.close(fd)
                self.tree.copy_directory_metadata(by_path[path].old, new)

    @staticmethod
    def _mirror(path: str, new: str, wanted: dict[str, str]) -> None:
        """Add the directories above a file of /usr/share/doc/etc or the factory: they mirror those of /etc,
        whose modes may be all that protects the file."""
        while path and new.endswith("/" + path) and "/" in path:
            path, new = posixpath.dirname(path), posixpath.dirname(new)
            wanted.setdefault(new, path)

    def move_entries(self) -> None:
        """Move and remove all that is not a directory, links made right, masks dropped."""
        for entry in self.entries:
            if entry.kind == "mv" and entry.match is not None and not entry.match.rule.comes_back:
                self.moved[entry.old] = self.tree.real_parent(entry.new or "")
        for entry in self.entries:
            if entry.match is None or entry.kind in ("keep", "d"):
                self._set_link(entry)
            elif entry.kind == "factory":
                self._make_factory(entry, entry.match.rule.link)
            elif entry.directory:
                continue
            elif entry.kind == "rm":
                self.tree.remove(entry.old)
                self.report.removed.append(entry.old)
            elif self._is_mask(entry):
                self._drop_mask(entry)
            else:
                self._move(entry)
        self.boot.add_moved(self.entries)

    def _move(self, entry: Entry) -> None:
        new = entry.new or ""
        if self.tree.lstat(new) is not None:
            self.report.replaced.append(new)
        if entry.link is not None:
            text = self._retarget(entry, posixpath.dirname(self.tree.real_parent(new)))
            if text != entry.link:
                self.tree.symlink(text, entry.old)
                self.report.links.append((new, text))
        self.tree.move(entry.old, new)
        self.report.moved.append((entry.old, new))

    def _drop_mask(self, entry: Entry) -> None:
        """Drop a link to /dev/null and the vendor's file that it makes void."""
        new = entry.new or ""
        there = self.tree.lstat(new) is not None
        if there:
            self.tree.remove(new)
        self.tree.remove(entry.old)
        self.report.masks.append((entry.old, new if there else ""))

    def _make_factory(self, entry: Entry, link: bool) -> None:
        self.boot.add_parents(entry.path, self.entries)
        if entry.directory:
            self.boot.add_directory(entry)
        elif entry.link is not None:
            self.boot.add_link(entry.old, self._retarget(entry, posixpath.dirname(entry.old)))
            self.tree.remove(entry.old)
            self.report.removed.append(entry.old)
        else:
            new = entry.new or ""
            self.tree.move(entry.old, new)
            self.report.moved.append((entry.old, new))
            self.boot.add_file(entry.old, new, copy=not link)

    def _set_link(self, entry: Entry) -> None:
        if entry.link is not None:
            text = self._retarget(entry, posixpath.dirname(entry.old))
            if text != entry.link:
                self.tree.symlink(text, entry.old)
                self.report.links.append((entry.old, text))

    def _retarget(self, entry: Entry, new_directory: str) -> str:
        """Return the text of a link that will stand in `new_directory` and mean what it means now."""
        link = entry.link or ""
        old_directory = posixpath.dirname(entry.old)
        meant = point_at(old_directory, link)
        now = self._new_place(meant)
        match = entry.match
        if match is not None and match.rule.kind == "mv" and meant.startswith(f"/etc/{match.top}/"):
            # It moves along, even if as=link leaves the old path usable.
            now = self.tree.real_parent(match.rule.destination(match.top, meant.removeprefix("/etc/")))
        if link.startswith("/"):
            return link if now == meant else now
        if point_at(new_directory, link) == now:
            return link
        return posixpath.relpath(now, new_directory)

    def _new_place(self, path: str) -> str:
        above = path
        while above.startswith("/etc/"):
            if above in self.moved:
                return self.moved[above] + path[len(above) :]
            above = posixpath.dirname(above)
        return path

    def remove_directories(self) -> None:
        """Remove the directories that are empty now but for kept ones; `d` has them made at boot."""
        for entry in reversed(self.entries):
            if entry.directory and entry.kind != "keep" and self.tree.remove_directory(entry.old):
                self.report.removed.append(entry.old + "/")
                if entry.kind == "d":
                    self.boot.add_directory(entry)

    def write_files(self) -> None:
        """Write the files of `write` rules; remove what `rm` names outside of /etc."""
        for rule in self.rules.entries:
            for path in rule.outside:
                if self.tree.lstat(path) is not None:
                    self.tree.remove(path)
                    self.report.removed.append(path)
            text = rule.text.encode("utf-8", "surrogateescape")
            if rule.kind == "write" and rule.target and self.tree.write(rule.target, text):
                self.report.written.append(rule.target)

    def write_tmpfiles(self) -> None:
        """Write what is made in /etc at boot."""
        self.boot.write(old for old in self.moved if not self._is_directory(old))
        self.report.factory = self.boot.ordered
        self.report.written += self.boot.written
        self.report.disabled += self.boot.disabled

    def _is_directory(self, path: str) -> bool:
        status = self.tree.lstat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def follow_moves(self) -> None:
        """Have links elsewhere follow what `relink=yes` rules moved; name those that point to nothing now."""
        for path, link in list(self.tree.walk_links()):
            meant = point_at(posixpath.dirname(path), link)
            if not meant.startswith("/etc/"):
                continue
            match = self.rules.find(meant.removeprefix("/etc/"))
            if match is None or match.rule.kind not in ("rm", "mv") or self.tree.lstat(meant) is not None:
                continue
            new = match.rule.destination(match.top, meant.removeprefix("/etc/"))
            if match.rule.relink and self.tree.lstat(new) is not None:
                relative = posixpath.relpath(new, posixpath.dirname(self.tree.real_parent(path)))
                text = new if link.startswith("/") else relative
                self.tree.symlink(text, path)
                self.report.links.append((path, text))
            elif not (match.rule.link or match.rule.copy):
                self.report.dangling.append(f"{path} -> {link}")
