# SPDX-License-Identifier: MIT
"""The id ledger: every user and group that an image has ever shipped with its id, removed ones included.

docs/ledger.md describes the file. An id in it is never given to another name, neither by a build nor by
useradd on a machine (model/ids.py reads the same file).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.errors import LedgerBusy
from accounts.model.records import parse_id

PATH = "/usr/share/accounts/ids"
DATABASES = ("passwd", "group")
RANGES = ("subuid", "subgid")
STATES = (b"present", b"removed")
LOCK_SECONDS = 120.0
# A line as format_text() writes it.
_PLAIN = re.compile(rb"^(passwd|group):([^:\n]+):(0|[1-9][0-9]{0,8}):(present|removed)$", re.MULTILINE)
HEADER = b"# Ids of this image, kept by accounts image seed: DATABASE:NAME:ID:STATE. See docs/ledger.md.\n"
# (database, name, id)
Key = tuple[str, bytes, int]
# (database, owner, first, last)
RangeKey = tuple[str, bytes, int, int]


@dataclass(frozen=True)
class IdConflict:
    """Two sources give a name different ids: `id` is taken, `other` is what `source` says."""

    database: str
    name: bytes
    id: int
    other: int
    source: str


@dataclass
class Ledger:
    """Names and ids, owners and ranges of subordinate ids.

    entries: (database, name, id) -> whether the account is present with that id; a name has at most one such
    id. ranges: (database, owner, first, last) -> whether the owner has it. comments: the comment lines above an
    entry, with newlines, which travel with it; header, footer: the other ones.
    """

    entries: dict[Key, bool] = field(default_factory=dict)
    comments: dict[Key | RangeKey, bytes] = field(default_factory=dict)
    header: bytes = HEADER
    footer: bytes = b""
    ranges: dict[RangeKey, bool] = field(default_factory=dict)
    # Name -> the id that it is present with; made when asked for: all ids of each name, all names of each id.
    _pins: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _former: dict[tuple[str, bytes], list[int]] | None = None
    _holders: dict[tuple[str, int], list[bytes]] | None = None

    def __bool__(self) -> bool:
        return bool(self.entries or self.ranges)

    def record(self, database: str, name: bytes, id: int, present: bool = True) -> None:
        """Record an id; a present one makes the name's other ids removed ones."""
        key = (database, name, id)
        if key not in self.entries:
            self._former = self._holders = None
        if present:
            old = self._pins.setdefault((database, name), id)
            if old != id:
                self.entries[database, name, old] = False
                self._pins[database, name] = id
        elif self._pins.get((database, name)) == id:
            del self._pins[database, name]
        self.entries[key] = present

    def pin(self, database: str, name: bytes) -> int | None:
        """The id that the name has or, when it was removed, would have again; None for an unknown name."""
        found = self._pins.get((database, name))
        if found is not None:
            return found
        if self._former is None:
            self._former = {}
            for kind, known, id in self.entries:
                self._former.setdefault((kind, known), []).append(id)
        return min(self._former.get((database, name), ()), default=None)

    def holders(self, database: str, id: int) -> list[bytes]:
        """The names that the id belongs or belonged to."""
        if self._holders is None:
            self._holders = {}
            for kind, name, known in self.entries:
                self._holders.setdefault((kind, known), []).append(name)
        return sorted(self._holders.get((database, id), ()))

    def ids(self, database: str) -> set[int]:
        """All ids of a database, those of removed names included."""
        return {id for kind, _, id in self.entries if kind == database}

    def merge(self, other: Ledger, source: str) -> list[IdConflict]:
        """Add what another ledger knows. An id that a name has here stays; the other's is kept as removed.

        Returns the conflicts between present ids; source names the other in them.
        """
        for key, present in other.ranges.items():
            self.ranges[key] = present or self.ranges.get(key, False)
            if key in other.comments:
                self.comments.setdefault(key, other.comments[key])
        if not self.entries:  # as of the first of several sources: nothing to compare
            self.entries, self._pins = dict(other.entries), dict(other._pins)
            self.comments = other.comments | self.comments
            return []
        conflicts = []
        for (database, name, id), present in other.entries.items():
            mine = self._pins.get((database, name))
            if present and mine is not None and mine != id:
                conflicts.append(IdConflict(database, name, mine, id, source))
                present = False
            if not self.entries.get((database, name, id)):
                self.record(database, name, id, present)
            if (database, name, id) in other.comments:
                self.comments.setdefault((database, name, id), other.comments[database, name, id])
        return conflicts

    def register(self, rows: Iterable[Key]) -> None:
        """Record the accounts of an image as present, and no other name's state."""
        rows = list(rows)
        pins = {(database, name): id for database, name, id in rows}
        if not self._pins and len(pins) == len(rows):  # as of a whole image: no name has another id
            self.entries |= dict.fromkeys(rows, True)
            self._pins = pins
            self._former = self._holders = None
            return
        for database, name, id in rows:
            self.record(database, name, id)

    def register_ranges(self, ranges: Iterable[RangeKey]) -> None:
        """Record the subordinate ids of an image as present, and no other range's state."""
        self.ranges |= dict.fromkeys(ranges, True)

    def describe(self, rows: Iterable[Key], ranges: Iterable[RangeKey] | None = None) -> Ledger:
        """The same names and ids as one image has them: its rows are present, all others removed.

        ranges: those of the image, likewise; None leaves them as they are.
        """
        result = Ledger(dict.fromkeys(self.entries, False), dict(self.comments), self.header, self.footer)
        result.register(rows)
        result.ranges = dict(self.ranges) if ranges is None else dict.fromkeys(self.ranges, False)
        result.register_ranges(ranges or ())
        return result

    def format_text(self) -> bytes:
        """The file: by database, id and name, whatever the order in which the entries came."""
        lines = [self.header]
        for database in DATABASES:
            prefix = database.encode()
            for id, name in sorted((id, name) for kind, name, id in self.entries if kind == database):
                key = database, name, id
                if key in self.comments:
                    lines.append(self.comments[key])
                lines.append(b"%s:%s:%d:%s\n" % (prefix, name, id, STATES[0] if self.entries[key] else STATES[1]))
        for span in sorted(self.ranges, key=lambda key: (key[0] == "subgid", key[2], key[3], key[1])):
            database, name, first, last = span
            state = STATES[0] if self.ranges[span] else STATES[1]
            lines.append(self.comments.get(span, b""))
            lines.append(b"%s:%s:%d-%d:%s\n" % (database.encode(), name, first, last, state))
        return b"".join(lines) + self.footer


def parse_text(text: bytes, source: str) -> Ledger:
    """Parse a ledger. Comments above a blank line, or at the very top, are the header.

    Raises BadArgument, "SOURCE:LINE: what is wrong".
    """
    ledger = _parse_plain(text)
    if ledger is not None:
        return ledger
    ledger = Ledger(header=b"")
    above = b""
    for number, raw in enumerate(text.split(b"\n"), 1):
        line = raw.strip()
        if line.startswith(b"#"):
            above += line + b"\n"
            if above == HEADER:
                ledger.header, above = above, b""
            continue
        if not line:
            if not ledger and above:
                ledger.header += above + b"\n"
                above = b""
            continue
        fields = line.split(b":")
        where = f"{source}:{number}"
        kinds = (*DATABASES, *RANGES)
        if len(fields) != 4 or fields[0].decode("latin-1") not in kinds or fields[3] not in STATES:
            raise BadArgument(
                f"{where}: not DATABASE:NAME:ID:STATE ({', '.join(kinds)}; present or removed); see accounts-ids(5)"
            )
        database, name = fields[0].decode(), fields[1]
        present = fields[3] == STATES[0]
        if database in RANGES:
            first, last = map(parse_id, fields[2].partition(b"-")[::2])
            if not name or first is None or last is None or first > last:
                raise BadArgument(f"{where}: not an owner and a range FIRST-LAST")
            span = (database, name, first, last)
            ledger.ranges[span] = present or ledger.ranges.get(span, False)
            if above:
                ledger.comments[span] = above
                above = b""
            continue
        id = parse_id(fields[2])
        if not name or id is None:
            raise BadArgument(f"{where}: not a name and an id")
        pinned = ledger._pins.get((database, name))
        if present and pinned is not None and pinned != id:
            raise BadArgument(f"{where}: '{os.fsdecode(name)}' is present with {pinned} already")
        if present or (database, name, id) not in ledger.entries:
            ledger.record(database, name, id, present)
        if above:
            ledger.comments[database, name, id] = above
            above = b""
    ledger.header, ledger.footer = ledger.header or HEADER, above
    return ledger


def _parse_plain(text: bytes) -> Ledger | None:
    """parse_text() of a ledger as format_text() writes it, each id of a name once and no comments; else None."""
    rows = _PLAIN.findall(text, len(HEADER))
    if not text.startswith(HEADER) or text.count(b"\n") != len(rows) + 1 or not text.endswith(b"\n"):
        return None
    names = {database.encode(): database for database in DATABASES}
    entries = {(names[kind], name, int(id)): state == STATES[0] for kind, name, id, state in rows}
    present = [key for key, there in entries.items() if there]
    pins = {(database, name): id for database, name, id in present}
    if len(entries) != len(rows) or len(pins) != len(present):
        return None
    return Ledger(entries, _pins=pins)


def load(path: Path) -> Ledger:
    """Read a ledger. One that is not there yet is empty. Raises BadArgument, OSError."""
    _refuse_odd(path)
    try:
        return parse_text(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Ledger()


def _refuse_odd(path: Path) -> None:
    """A ledger is written again, which neither a pipe nor a device is for; and to read one may have no end."""
    if path.exists() and not path.is_file():
        raise BadArgument(f"{path} is not a regular file")


@contextmanager
def open_shared(path: Path, timeout: float = LOCK_SECONDS) -> Iterator[Ledger]:
    """A ledger that parallel builds share, locked (PATH.lock) for a with block; changes are saved at its end.

    Nothing is written when the block raises. timeout: seconds to wait for other builds. Raises LedgerBusy,
    BadArgument, OSError.
    """
    from filelock import FileLock, Timeout

    # Before there is a lock file: filelock would make the directory of a path that somebody has misspelt, too.
    path.parent.stat()
    _refuse_odd(path)
    lock = FileLock(f"{path}.lock", timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise LedgerBusy(f"{path} is locked by another build for more than {timeout:g} seconds") from None
    try:
        ledger = load(path)
        before = ledger.format_text()
        yield ledger
        if ledger.format_text() != before or not path.exists():
            save(path, ledger)
    finally:
        lock.release()


def save(path: Path, ledger: Ledger) -> None:
    """Replace the file in one step: a reader without the lock sees the old one or the new one."""
    try:
        mode = path.stat().st_mode & 0o7777
    except FileNotFoundError:
        mode = 0o644
    temporary = path.with_name(f".{path.name}.accounts-tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as stream:
        stream.write(ledger.format_text())
        os.fchmod(fd, mode)
        stream.flush()
        os.fsync(fd)
    os.rename(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
