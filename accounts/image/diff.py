# SPDX-License-Identifier: MIT
"""`accounts image diff OLD NEW`: what of an update a machine sees, and what its /etc hides. Changes nothing.

What the image keeps below /usr changes with the image. What a machine has in /etc does not: a factory copy
(a C line of tmpfiles.d), a link to a place that the image has left, or a file that an overlay copied up
stays as it was made, whatever NEW says.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

from accounts.image.reader import point_at
from accounts.image.tmpfiles import TmpfilesLine, parse_line
from accounts.image.tree import Tree

# Directories of tmpfiles.d(5) in an image; of files with the same name the first directory's counts.
_TMPFILES_DIRS = ("/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d")
# Where programs that look in /etc first look next; the first that has the file counts.
_VENDOR_DIRS = ("/usr/lib", "/usr/share/accounts", "/usr/share")


@dataclass(frozen=True)
class Difference:
    """One difference between two images.

    path: in /etc for what machines have there, "/usr/lib/passwd: NAME" for an account. what: added, removed
    or changed. effect: visible (at once or from the next boot), hidden (a copy that nobody edited keeps the
    old state) or replaced (this machine's own state stands in front of it). why: a sentence.
    """

    path: str
    what: str
    effect: str
    why: str

    def __str__(self) -> str:
        return f"{self.effect}: {self.path} {self.what}: {self.why}"


@dataclass(frozen=True)
class _Item:
    """What an image puts at a path of /etc. how: kept, copy or link. text: a link's. content: as read."""

    how: str
    text: str | None
    content: bytes | None
    forced: bool = False


def diff_images(old: int | Path, new: int | Path, *, etc: int | Path | None = None) -> list[Difference]:
    """Return how image `new` differs from `old` in /etc and the accounts, sorted by path.

    etc: a machine's /etc, or the upper directory of an overlay on it, whose copies are then looked at;
    without it the answer is for a machine that has booted OLD and edited nothing. Raises OSError.
    """
    with Tree(old) as before, Tree(new) as after:
        if etc is None:
            changes = _compare(before, after, None)
        else:
            with Tree(etc) as machine:
                changes = _compare(before, after, machine)
    return sorted(changes, key=lambda change: (change.path, change.what))


def _compare(before: Tree, after: Tree, machine: Tree | None) -> list[Difference]:
    changes = []
    old_items, new_items = _items(before), _items(after)
    for path in old_items.keys() | new_items.keys():
        old, new = old_items.get(path), new_items.get(path)
        if old == new:
            continue
        what = "added" if old is None else "removed" if new is None else "changed"
        changes.append(Difference(path, what, *_judge(path, old, new, after, machine)))
    if machine is not None:
        for path in _names(machine, "/"):
            was, now = _vendor(before, path), _vendor(after, path)
            if was != now and f"/etc{path}" not in old_items.keys() | new_items.keys():
                what = "added" if was is None else "removed" if now is None else "changed"
                place = (now or was or ("", b""))[0]
                changes.append(Difference(f"/etc{path}", what, "replaced", f"stands in front of {place}"))
    return changes + _accounts(before, after, machine)


def _judge(path: str, old: _Item | None, new: _Item | None, after: Tree, machine: Tree | None) -> tuple[str, str]:
    """Return effect and reason of a change of what the images put at `path`; old and new differ."""
    if machine is not None:
        own = _own(machine, path.removeprefix("/etc"))
        if own is None:
            return "visible", "this machine has none of its own"
        if own != _fingerprint(old):
            if own == _fingerprint(new) and own != b"":
                return "visible", "this machine has it already"
            return "replaced", "removed on this machine" if own == b"" else "this machine has its own"
    if old is None:
        return "visible", "kept in the image's /etc" if new and new.how == "kept" else "made at the next boot"
    if new is not None and new.forced:
        return "visible", "made anew at each boot"
    if old.how == "link" and new is not None and (new.how, new.text) == ("link", old.text):
        return "visible", "a link into the image"
    if old.how == "link":
        place = point_at(posixpath.dirname(path), old.text or "")
        there = "which the new image no longer has" if after.lstat(place) is None else "not the new place"
        return "hidden", f"the link to {place} stays, {there}"
    if old.how == "copy":
        return "hidden", "the factory's copy was made at the first boot and stays"
    return "hidden", "hidden where an overlay or a persistent /etc has copied it"


def _fingerprint(item: _Item | None) -> bytes | None:
    if item is None:
        return None
    if item.text is not None:
        return b"link " + os.fsencode(item.text)
    return b"file " + (item.content or b"")


def _own(machine: Tree, path: str) -> bytes | None:
    """What the machine has at `path` as _fingerprint() tells it; b"" for an overlay's whiteout."""
    status = machine.lstat(path)
    if status is None:
        return None
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return b""
    text = machine.readlink(path)
    if text is not None:
        return b"link " + os.fsencode(text)
    return b"file " + (machine.read(path) if stat.S_ISREG(status.st_mode) else b"")


def _items(tree: Tree) -> dict[str, _Item]:
    """What a machine with an empty /etc gets there from this image, by path; directories left out."""
    items = {}
    for path, line in _lines(tree).items():
        forced = "+" in line.type
        source = line.argument or f"/usr/share/factory{path}"
        if line.type[0] == "L":
            text = line.argument or source
            items[path] = _Item("link", text, _read(tree, point_at(posixpath.dirname(path), text)), forced)
        else:
            for name in _names(tree, source):
                text_or_none = tree.readlink(source + name)
                content = None if text_or_none is not None else _read(tree, source + name)
                items[path + name] = _Item("copy", text_or_none, content)
    for name in _names(tree, "/etc"):
        path = "/etc" + name
        text_or_none = tree.readlink(path)
        items[path] = _Item("kept", text_or_none, None if text_or_none is not None else _read(tree, path))
    return items


def _lines(tree: Tree) -> dict[str, TmpfilesLine]:
    """The C and L lines of tmpfiles.d for /etc, by path; of two for one path the first counts."""
    files: dict[str, str] = {}
    for directory in _TMPFILES_DIRS:
        for name in _names(tree, directory):
            if name.endswith(".conf") and name.count("/") == 1:
                files.setdefault(name, directory + name)
    lines: dict[str, TmpfilesLine] = {}
    for _, path in sorted(files.items()):
        for text in (_read(tree, path) or b"").decode("utf-8", "surrogateescape").splitlines():
            line = parse_line(text)
            if line is not None and line.type[0] in "CL" and line.path.startswith("/etc/"):
                lines.setdefault(line.path, line)
    return lines


def _names(tree: Tree, top: str) -> list[str]:
    """Return all that is not a directory at or below `top`, as "/NAME" relative to it, "" for top itself."""
    status = tree.lstat(top)
    if status is None:
        return []
    if not stat.S_ISDIR(status.st_mode):
        return [""]
    with tree.directory(top) as fd:
        names = sorted(os.listdir(fd))
    top = top.rstrip("/")
    return [f"/{name}{below}" for name in names for below in _names(tree, f"{top}/{name}")]


def _read(tree: Tree, path: str) -> bytes | None:
    """What a program reads at `path` of the image: None without a file, of a directory the names in it."""
    try:
        status = tree.lstat(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return "\n".join(_names(tree, path)).encode("utf-8", "surrogateescape")
        return tree.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _vendor(tree: Tree, path: str) -> tuple[str, bytes] | None:
    """The image's file that one at `path` of /etc stands in front of: where, and its content."""
    for directory in _VENDOR_DIRS:
        status = tree.lstat(directory + path)
        if status is not None and stat.S_ISREG(status.st_mode):
            return directory + path, _read(tree, directory + path) or b""
    return None


def _accounts(before: Tree, after: Tree, machine: Tree | None) -> list[Difference]:
    """The rows of the image layer; the machine's own rows stand in front of passwd's."""
    changes = []
    for name in ("passwd", "group"):
        old, new = _rows(before, f"/usr/lib/{name}"), _rows(after, f"/usr/lib/{name}")
        own = _rows(machine, f"/{name}") if machine is not None and name == "passwd" else {}
        for account in old.keys() | new.keys():
            if old.get(account) == new.get(account):
                continue
            what = "added" if account not in old else "removed" if account not in new else "changed"
            path = f"/usr/lib/{name}: {account.decode('utf-8', 'surrogateescape')}"
            if account in own:
                effect, why = "replaced", "this machine has a row of its own: see accounts check"
            else:
                effect, why = "visible", "the image layer, read at once"
            changes.append(Difference(path, what, effect, why))
    return changes


def _rows(tree: Tree, path: str) -> dict[bytes, bytes]:
    lines = (_read(tree, path) or b"").split(b"\n")
    return {line.partition(b":")[0]: line for line in lines if b":" in line and not line.startswith(b"#")}
