# SPDX-License-Identifier: MIT
"""Both layers of a root directory as tables, for the build: nothing is locked, no link leaves the root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from accounts import progress
from accounts.errors import BadArgument
from accounts.image.ledger import PATH as LEDGER
from accounts.image.ledger import Key, Ledger, RangeKey, parse_text
from accounts.image.tree import Tree, refuse_inside_etc
from accounts.model.database import ID_FIELDS, KINDS, Database
from accounts.model.policy import DATABASES, SUBIDS, default_policy
from accounts.model.records import MAX_ID
from accounts.model.table import Table
from accounts.system.locks import Locks
from accounts.system.logindefs import LoginDefs
from accounts.system.store import FACTORY, recover
from accounts.system.target import VENDOR_DIRS, Target

_FACTORY = "/" + os.fsdecode(FACTORY.rstrip(b"/"))

DIRECTORIES = ("/etc", *("/" + os.fsdecode(path) for path in VENDOR_DIRS))


class KnownTable(Table):
    """A table that is gone through again and again: its rows are parsed once, as long as nothing changes."""

    __slots__ = ("_rows",)

    def __init__(self, kind: type[Any], data: bytes = b"", present: bool = True) -> None:
        super().__init__(kind, data, present)
        self._rows: _Rows | None = None

    def _parsed(self) -> _Rows:
        if self._rows is None:
            kind: Any = self.kind
            self._rows = _parse(kind, self.data)
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        """All valid records in file order."""
        return super().__iter__() if self.changed else iter(self._parsed().records)

    def get(self, name: bytes) -> Any | None:
        """The first valid row of that name, as a Record, or None."""
        return super().get(name) if self.changed else self._parsed().by_name.get(name)

    def find(self, name: bytes, after: int | None = None) -> int | None:
        """The position of the first valid row of that name (after another position of it), or None."""
        if not self.changed and self.get(name) is None:
            return None
        return super().find(name, after)


class _Rows(NamedTuple):
    records: list[Any]
    by_name: dict[bytes, Any]


# One command reads the same files more than once, before and after it has their locks. Nobody changes a Record.
@lru_cache(maxsize=16)
def _parse(kind: Any, data: bytes) -> _Rows:
    """The valid rows of a file, and the first one of each name, as Table has them."""
    lines = data.split(b"\n")
    if any(mark in b"\n" + data for mark in (b"\0", b"\n+", b"\n-")):
        lines = [line for line in lines if line[:1] not in (b"+", b"-") and 0 not in line]
    records = [record for record in map(kind.parse_line, lines) if record is not None]
    return _Rows(records, {record.name: record for record in reversed(records)})


def lines(table: Table) -> Iterator[tuple[int, bytes, Any | None]]:
    """(number, text, its record or None) of each line of the file as it was read, but for blank ones and comments."""
    valid = dict(table.entries())
    position = 0
    for number, line in enumerate(table.data.split(b"\n"), 1):
        if line.strip() and not line.startswith(b"#"):
            yield number, line, valid.get(position)
        position += len(line) + 1


def broken_lines(table: Table) -> Iterator[tuple[int, bytes]]:
    """(number, text) of each line that is no valid row, but for blank ones and comments."""
    data = table.data
    if len(list(table)) == data.count(b"\n") + (not data.endswith(b"\n") and data != b""):
        return
    for number, line, record in lines(table):
        if record is None:
            yield number, line


class Layers:
    """The account files of a root that a tree holds open.

    root: the path of the same directory. etc: where its local layer is. image_dir: IMAGE_DIR of its
    accounts.conf, absolute inside the root. local, image: tables by database.
    Raises BadArgument for an account file that is no regular file, OSError.
    """

    def __init__(self, tree: Tree, root: Path, etc: str = "/etc") -> None:
        self.tree = tree
        self.etc = etc
        target = Target(os.fsencode(root))
        try:
            self.image_dir = "/" + os.fsdecode(target.image_dir())
        finally:
            target.close()
        self.local = {name: read_table(tree, f"{etc}/{name}", name) for name in DATABASES}
        self.image = {name: read_table(tree, f"{self.image_dir}/{name}", name) for name in DATABASES}

    def paths(self, name: str) -> list[tuple[str, Table]]:
        """(path, table) of a database's files that are there, the local one first."""
        both = ((f"{self.etc}/{name}", self.local[name]), (f"{self.image_dir}/{name}", self.image[name]))
        return [(path, table) for path, table in both if table.present]

    @cached_property
    def view(self) -> Database:
        """What NSS answers once the root is wired."""
        return Database(self.local, self.image, default_policy())

    @cached_property
    def ids(self) -> list[Key]:
        """(database, name, id) of each user and group of the view, in order."""
        return [
            (name, row.name, getattr(row, attribute))
            for name, attribute in ID_FIELDS.items() for row in self.view.tables[name]
        ]  # fmt: skip

    @cached_property
    def ranges(self) -> list[RangeKey]:
        """(database, owner, first, last) of all subordinate ids: the image's, /etc's and those of the factory."""
        return [span for top in (self.image_dir, self.etc, _FACTORY) for span in self._ranges(top)]

    @cached_property
    def image_ranges(self) -> list[RangeKey]:
        """The same of the image: those of the image layer and of the factory."""
        return [span for top in (self.image_dir, _FACTORY) for span in self._ranges(top)]

    def _ranges(self, top: str) -> Iterator[RangeKey]:
        for name in SUBIDS:
            for row in read_table(self.tree, f"{top}/{name}", name):
                if row.count and row.start + row.count - 1 <= MAX_ID and row.name:
                    yield name, row.name, row.start, row.start + row.count - 1

    @cached_property
    def ledger(self) -> Ledger | None:
        """The root's own id ledger, or None. Raises BadArgument, OSError."""
        if self.tree.lstat(LEDGER) is None:
            return None
        return parse_text(self.tree.read(LEDGER), LEDGER)

    @cached_property
    def image_ids(self) -> list[Key]:
        """(database, name, id) of each user and group of the image layer, in order."""
        return [
            (name, row.name, getattr(row, attribute))
            for name, attribute in ID_FIELDS.items() for row in self.image[name]
        ]  # fmt: skip

    @cached_property
    def defs(self) -> LoginDefs:
        """The root's login.defs."""
        return LoginDefs(read_layered(self.tree, "login.defs") or b"", lambda _: None)


def read_table(tree: Tree, path: str, name: str) -> Table:
    """The account file at a path; not present where there is none. Raises BadArgument for what is no file."""
    status = tree.lstat(path)
    if status is None:
        return KnownTable(KINDS[name], present=False)
    if not stat.S_ISREG(status.st_mode):
        raise BadArgument(f"{path} is not a regular file")
    return KnownTable(KINDS[name], tree.read(path))


@contextmanager
def locked(tree: Tree, root: Path, *, passwd_lock: bool = False) -> Iterator[tuple[Target, list[str]]]:
    """Hold the locks of a root's account files for a with block; their coming and going leaves no trace.

    Yields the target, and a sentence for each change of a killed tool that was finished or undone: whatever
    changes a root has to begin with that, as every account tool has.
    passwd_lock: hold lckpwdf(3) too, which leaves its lock file: on a machine that runs.
    Raises BadArgument where IMAGE_DIR is in /etc, LockError, CommitError, FileError when the root has no
    /etc, OSError.
    """
    target = Target(os.fsencode(root))
    try:
        refuse_inside_etc(tree, ["/" + os.fsdecode(target.image_dir())])
        status = os.fstat(target.etc)
        locks = Locks(target.etc, passwd_lock=passwd_lock)
        notes: list[str] = []
        try:
            for name in ("passwd", "group", "gshadow", "shadow"):
                locks.acquire(name)
            notes += recover(target.etc)
            yield target, notes
        finally:
            locks.release()
            if not notes and not tree.has_changed("/etc"):
                with suppress(OSError):  # a read-only root: whatever failed before says so better
                    os.utime(target.etc, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        target.close()


def read_layered(tree: Tree, name: str) -> bytes | None:
    """The bytes of /etc/NAME, else of the vendor's copy of it, or None."""
    for directory in DIRECTORIES:
        try:
            return tree.read(f"{directory}/{name}")
        except OSError:
            continue
    return None


def walk(root: int) -> Iterator[tuple[int, str, str, os.stat_result]]:
    """Every entry below a directory, on its own file system, in stable order; first the directory as ".".

    Yields (descriptor of the directory it is in, path of that directory from the root, name, status); links
    are not followed. Raises OSError, not for what vanishes meanwhile.
    """
    top = os.fstat(root)
    yield root, "/", ".", top
    stack = [(os.dup(root), "/", _list(root))]
    descent = progress.Descent()
    _tell(descent, 0, stack[0][2])
    try:
        while stack:
            fd, path, entries = stack[-1]
            if not entries:
                os.close(stack.pop()[0])
                continue
            entry = entries.pop()
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            directory = stat.S_ISDIR(status.st_mode)
            # Of an overlay file system only directories tell the device.
            if directory and status.st_dev != top.st_dev:
                continue
            yield fd, path, entry.name, status
            if directory:
                below = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                stack.append((below, f"{path}{entry.name}/", _list(below)))
                _tell(descent, len(stack) - 1, stack[-1][2])
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _tell(descent: progress.Descent, depth: int, entries: list[os.DirEntry[str]]) -> None:
    if progress.is_shown():
        descent.enter(depth, sum(entry.is_dir(follow_symlinks=False) for entry in entries))


def _list(fd: int) -> list[os.DirEntry[str]]:
    """The entries of a directory, the last one first."""
    with os.scandir(fd) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)
