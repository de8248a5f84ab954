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

from accounts.errors import AccountsError, BadArgument
from accounts.image.reader import point_at
from accounts.image.rules import DOC_DIR, FACTORY_DIR, Match, Rules
from accounts.image.tmpfiles import Line, disable_lines, format_copy, format_directory, format_link, parse_line
from accounts.image.tree import Tree

TMPFILES_DIR = "/usr/lib/tmpfiles.d"
TMPFILES = f"{TMPFILES_DIR}/accounts-etc.conf"
ORDERING = "/usr/lib/systemd/system/systemd-tmpfiles-setup.service.d/accounts-etc.conf"
_HEADER = "# Made by `accounts image stateless`: what programs need in /etc, made at boot when missing.\n"
_WHY_DISABLED = "disabled by accounts image stateless"
CHECKS = ("no", "warn", "error")


class Conflict(AccountsError):
    """A rule cannot be carried out on this root; nothing has been changed."""


@dataclass
class Report:
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


@dataclass(frozen=True)
class _Entry:
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


def apply_rules(
    root: int | Path, rules: Rules, *, check_empty: str = "no", source_date_epoch: int | None = None
) -> Report:
    """Carry out the rules on the rootfs `root` and report; doing it again changes nothing.

    check_empty: no, warn or error; with error Report.failed tells whether something is left.
    source_date_epoch: seconds, the time that written files and changed directories get.
    Raises Conflict before anything changes, BadArgument for a check_empty it does not know, OSError.
    """
    if check_empty not in CHECKS:
        raise BadArgument(f"check-empty is {', '.join(CHECKS[:-1])} or {CHECKS[-1]}, not {check_empty!r}")
    with Tree(root, source_date_epoch) as tree:
        run = _Run(tree, rules, Report(check_empty))
        run.check_targets()
        run.make_directories()
        run.move_entries()
        run.remove_directories()
        run.write_files()
        run.write_tmpfiles()
        run.follow_moves()
        run.report.removed.sort()
        run.report.left = _left(_scan(tree, rules))
        return run.report


def leftovers(root: int | Path, rules: Rules) -> list[str]:
    """Return what of ROOT/etc no `keep` rule allows, in order; an empty directory ends with a slash."""
    with Tree(root) as tree:
        return _left(_scan(tree, rules))


def _left(entries: list[_Entry]) -> list[str]:
    parents = {posixpath.dirname(entry.path) for entry in entries}
    return [
        entry.old + "/" * entry.directory
        for entry in entries
        if entry.kind != "keep" and not (entry.directory and entry.path in parents)
    ]


def _scan(tree: Tree, rules: Rules) -> list[_Entry]:
    """Return all entries of /etc, parents before what is in them."""
    entries = []

    def scan(path: str) -> None:
        with tree.directory(posixpath.join("/etc", path)) as fd:
            found = []
            for name in sorted(os.listdir(fd)):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                link = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else None
                below = posixpath.join(path, name)
                found.append(_Entry(below, status, link, rules.find(below)))
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


class _Run:
    """One application of rules: the steps of apply_rules(), which share the scan and the report."""

    def __init__(self, tree: Tree, rules: Rules, report: Report) -> None:
        self.tree = tree
        self.rules = rules
        self.report = report
        self.entries = _scan(tree, rules)
        self.lines: dict[str, str] = {}
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
                    raise Conflict(f"{sources[new]} and {entry.old} would both become {new}")
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
                raise Conflict(f"cannot move {what[0]} {entry.old}: {new} is {what[1]}")

    def _points_into_etc(self, path: str) -> bool:
        """Whether `path` is a link to /etc: it is in the way of what moves there and gives way to it."""
        link = self.tree.readlink(path)
        return link is not None and point_at(posixpath.dirname(path), link).startswith("/etc/")

    def _is_mask(self, entry: _Entry) -> bool:
        return (
            entry.kind == "mv"
            and entry.link is not None
            and point_at(posixpath.dirname(entry.old), entry.link) == "/dev/null"
        )

    def _is_stored(self, entry: _Entry) -> bool:
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
        self._link_back()

    def _move(self, entry: _Entry) -> None:
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

    def _drop_mask(self, entry: _Entry) -> None:
        """Drop a link to /dev/null and the vendor's file that it makes void."""
        new = entry.new or ""
        there = self.tree.lstat(new) is not None
        if there:
            self.tree.remove(new)
        self.tree.remove(entry.old)
        self.report.masks.append((entry.old, new if there else ""))

    def _make_factory(self, entry: _Entry, link: bool) -> None:
        status = entry.status
        new = entry.new or ""
        self._restrict_parents(entry)
        if entry.directory:
            mode = stat.S_IMODE(status.st_mode)
            self.lines[entry.old] = format_directory(entry.old, mode, status.st_uid, status.st_gid)
            return
        if entry.link is not None:
            text = self._retarget(entry, posixpath.dirname(entry.old))
            self.lines[entry.old] = format_link(entry.old, text)
            self.tree.remove(entry.old)
            self.report.removed.append(entry.old)
            return
        self.tree.move(entry.old, new)
        self.report.moved.append((entry.old, new))
        self.lines[entry.old] = self._link_line(entry.old, new) if link else format_copy(entry.old)

    def _restrict_parents(self, entry: _Entry) -> None:
        """Have tmpfiles make the directories above a factory file as they are; else it makes them 0755."""
        above = {posixpath.dirname(entry.path)}
        while "" not in above:
            above.add(posixpath.dirname(min(above, key=len)))
        for other in self.entries:
            status = other.status
            mode = stat.S_IMODE(status.st_mode)
            if other.path in above and (mode, status.st_uid, status.st_gid) != (0o755, 0, 0):
                line = format_directory(other.old, mode, status.st_uid, status.st_gid)
                self.lines.setdefault(other.old, line)

    def _link_back(self) -> None:
        """Have the old path of each `mv … as=` made a link or copy, also of what an earlier run or seed moved."""
        for rule in self.rules.entries:
            if rule.comes_back:
                for pattern in rule.patterns:
                    new = rule.destination(pattern.text, pattern.text)
                    old = f"/etc/{pattern.text}"
                    if pattern.literal and self.tree.lstat(new) is not None:
                        self.lines[old] = format_copy(old, new) if rule.copy else self._link_line(old, new)
        for entry in self.entries:
            if entry.match is not None and entry.match.rule.comes_back and entry.kind == "mv":
                top = entry.match.top
                new = entry.match.rule.destination(top, top)
                if self.tree.lstat(new) is not None:
                    old = f"/etc/{top}"
                    self.lines[old] = format_copy(old, new) if entry.match.rule.copy else self._link_line(old, new)

    @staticmethod
    def _link_line(old: str, new: str) -> str:
        return format_link(old, posixpath.relpath(new, posixpath.dirname(old)))

    def _set_link(self, entry: _Entry) -> None:
        if entry.link is not None:
            text = self._retarget(entry, posixpath.dirname(entry.old))
            if text != entry.link:
                self.tree.symlink(text, entry.old)
                self.report.links.append((entry.old, text))

    def _retarget(self, entry: _Entry, new_directory: str) -> str:
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
                    status = entry.status
                    mode = stat.S_IMODE(status.st_mode)
                    self.lines[entry.old] = format_directory(entry.old, mode, status.st_uid, status.st_gid)

    def write_files(self) -> None:
        """Write the files of `write` rules; remove what `rm` names outside of /etc."""
        for rule in self.rules.entries:
            for path in rule.outside:
                if self.tree.lstat(path) is not None:
                    self.tree.remove(path)
                    self.report.removed.append(path)
            if rule.kind == "write" and rule.target:
                self._write(rule.target, rule.text)

    def _write(self, path: str, text: str) -> None:
        if self.tree.write(path, text.encode("utf-8", "surrogateescape")):
            self.report.written.append(path)

    def _read(self, path: str) -> str:
        try:
            return self.tree.read(path).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    def write_tmpfiles(self) -> None:
        """Write the tmpfiles.d lines and the ordering, merged with those of earlier runs; disable clashes."""
        for line in self._read(TMPFILES).splitlines():
            known = parse_line(line)
            if known is not None and self._still_holds(known):
                self.lines.setdefault(known.path, line)
        self.report.factory = [line for _, line in sorted(self.lines.items())]
        if self.lines or self.tree.lstat(TMPFILES) is not None:
            self._write(TMPFILES, _HEADER + "".join(line + "\n" for line in self.report.factory))
        units = set()
        for path in self.lines:
            match = self.rules.find(path.removeprefix("/etc/"))
            units |= set(match.rule.before if match is not None else ())
        for line in self._read(ORDERING).splitlines():
            if line.startswith("Before="):
                units |= set(line.removeprefix("Before=").split())
        if units:
            self._write(ORDERING, f"[Unit]\nBefore={' '.join(sorted(units))}\n")
        gone = {old for old in self.moved if not self._is_directory(old)}
        self._disable_clashes({**dict.fromkeys(gone), **self.lines})

    def _is_directory(self, path: str) -> bool:
        status = self.tree.lstat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _still_holds(self, line: Line) -> bool:
        """Whether a line of an earlier run is to stay: its source is there and no rule now says otherwise."""
        source = line.argument or f"/usr/share/factory{line.path}"
        if line.type.startswith("C") and self.tree.lstat(source) is None:
            return False
        match = self.rules.find(line.path.removeprefix("/etc/"))
        return match is None or match.rule.kind in ("factory", "d") or match.rule.comes_back

    def _disable_clashes(self, lines: dict[str, str | None]) -> None:
        """Put out of action what other tmpfiles.d files say otherwise of our paths: the file that sorts
        first would win, and what was moved would come back and hide its new place."""
        try:
            with self.tree.directory(TMPFILES_DIR) as fd:
                names = sorted(os.listdir(fd))
        except FileNotFoundError:
            return
        for name in names:
            path = f"{TMPFILES_DIR}/{name}"
            status = self.tree.lstat(path)
            if path == TMPFILES or not name.endswith(".conf"):
                continue
            if status is None or not stat.S_ISREG(status.st_mode):
                continue  # a link to /dev/null, say
            text, disabled = disable_lines(self._read(path), lines, _WHY_DISABLED)
            if disabled:
                self._write(path, text)
                self.report.disabled += [f"{path}: {line}" for line in disabled]

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
