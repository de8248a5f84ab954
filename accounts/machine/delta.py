# SPDX-License-Identifier: MIT
"""What each row of the local layer is, compared with the image's row of its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from accounts.machine.words import ORDER
from accounts.model.database import KINDS, Database, Layered
from accounts.model.policy import DATABASES
from accounts.model.records import Group, Gshadow, Passwd, Record, Shadow, Subid, parse_id
from accounts.model.table import Table

# A line that is not longer is within every parser's limits.
MAX_PLAIN_LINE = 1000
_NAME = rb"^([^+\-:\n][^:\n]*):[^:\n]*:"
_PLAIN: dict[type[Any], re.Pattern[bytes]] = {
    Passwd: re.compile(_NAME + rb"[0-9]{1,9}:[0-9]{1,9}:[^:\n]*:[^:\n]*:[^:\n]*$", re.MULTILINE),
    Group: re.compile(_NAME + rb"[0-9]{1,9}:[^:\n]*$", re.MULTILINE),
    Shadow: re.compile(_NAME + rb"(?:[0-9]{0,9}:){6}[0-9]{0,9}$", re.MULTILINE),
    Gshadow: re.compile(_NAME + rb"[^:\n]*:[^:\n]*$", re.MULTILINE),
    Subid: re.compile(rb"^([^+\-:\n][^:\n]*):(?:0|[1-9][0-9]{0,8}):(?:0|[1-9][0-9]{0,8})$", re.MULTILINE),
}
# In shadow's order of locking.
FILES = ("passwd", "group", "gshadow", "shadow", "subuid", "subgid")


class Kind(StrEnum):
    """The forms of docs/contract.md, and those that a minimal delta has not."""

    OWN = "own"
    MEMBERS = "members"
    OVERRIDE = "override"
    EQUAL = "equal"
    # Behind a row of the same name: neither NSS nor an edit sees it.
    REPEATED = "repeated"


class LocalRow:
    """A valid row of /etc. position: in its table; kind: its form over the image.

    Rows are parsed when they are asked for: of 100,000 most are as the image has them.
    """

    __slots__ = ("_image", "_image_line", "_line", "_local", "_parse", "database", "kind", "name", "position")

    def __init__(
        self, database: str, merge: bool, name: bytes, position: int, line: bytes, image_line: bytes | None
    ) -> None:
        self.database = database
        self.name = name
        self.position = position
        self._parse = KINDS[database].parse_line
        self._line, self._image_line = line, image_line
        self._local: Record | None = None
        self._image: Record | None = None
        if image_line is None:
            self.kind = Kind.OWN
        elif line == image_line:
            self.kind = Kind.EQUAL
        else:
            self.kind = classify(merge, self.local, self.image)

    @property
    def local(self) -> Any:
        """The row as a Record."""
        if self._local is None:
            self._local = self._parse(self._line)
        return self._local

    @property
    def image(self) -> Any:
        """The image's row of that name, a Record, or None."""
        if self._image is None and self._image_line is not None:
            self._image = self._parse(self._image_line)
        return self._image

    @property
    def id(self) -> int:
        """The UID or GID of a row of passwd or group."""
        return parse_id(self._line.split(b":", 3)[2]) or 0

    @property
    def is_bare(self) -> bool:
        """Whether the line ends in an empty field: a group without members."""
        return self._line.endswith(b":")

    @property
    def members(self) -> tuple[bytes, ...]:
        """The members that the row adds to the image's (none for a database without members)."""
        theirs = set(getattr(self.image, "members", ()))
        return tuple(dict.fromkeys(user for user in getattr(self.local, "members", ()) if user not in theirs))


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field, as records name it, with the image's value and the one in force: bytes, int, None or tuples."""

    field: str
    image: Any
    local: Any


def local_rows(layered: Layered) -> Iterable[LocalRow]:
    """All valid rows of a database's local file, in its order, as they are when this is called."""
    local, image = layered.local, layered.image
    if local.changed or image.changed:
        return _compare(layered.name, layered.merge, valid_lines(local), first_lines(image))
    return _compare_files(layered.name, layered.merge, local.data, image.data)


@lru_cache(maxsize=8)
def _compare_files(database: str, merge: bool, local: bytes, image: bytes) -> list[LocalRow]:
    kind: Any = KINDS[database]
    images: dict[bytes, bytes] = {}
    for _, name, line in _parse_file(kind, image):
        images.setdefault(name, line)
    return _compare(database, merge, _parse_file(kind, local), images)


def _compare(
    database: str, merge: bool, rows: Iterable[tuple[int, bytes, bytes]], images: dict[bytes, bytes]
) -> list[LocalRow]:
    seen: set[bytes] = set()
    compared = []
    for position, name, line in rows:
        row = LocalRow(database, merge, name, position, line, images.get(name))
        if name in seen:
            row.kind = Kind.REPEATED
        seen.add(name)
        compared.append(row)
    return compared


def valid_lines(table: Table, raw: bool = False) -> Iterable[tuple[int, bytes, bytes]]:
    """(position, name, line) of each row that parses, edits included; with raw as the file has it, hidden rows too."""
    if table.changed and not raw:
        return ((position, record.name, record.format_line()) for position, record in table.entries())
    # Rows of gshadow have four fields here, whatever a release of shadow-utils makes of others.
    kind: Any = next(base for base in table.kind.__mro__ if base in _PLAIN)
    return _parse_file(kind, table.data)


# Each file is gone through several times by one command.
@lru_cache(maxsize=16)
def _parse_file(kind: Any, data: bytes) -> list[tuple[int, bytes, bytes]]:
    """The valid rows of a file. Those of plain form, which most are, are found without parsing them."""
    rows: list[tuple[int, bytes, bytes]] = []
    position = 0
    for match in _PLAIN[kind].finditer(data):
        start, end = match.span()
        if position < start or end - start > MAX_PLAIN_LINE:
            rows += _parse_lines(kind, data, position, start if end - start <= MAX_PLAIN_LINE else end)
        if end - start <= MAX_PLAIN_LINE:
            rows.append((start, match[1], match[0]))
        position = end + 1
    rows += _parse_lines(kind, data, position, len(data))
    return rows


def _parse_lines(kind: type[Any], data: bytes, position: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    for line in data[position:end].split(b"\n") if position < end else ():
        if line and line[:1] not in b"+-":
            record = kind.parse_line(line)
            if record is not None:
                yield position, record.name, line
        position += len(line) + 1


def first_lines(table: Table, raw: bool = False) -> dict[bytes, bytes]:
    """Name -> the line of the first valid row of that name; raw as valid_lines()."""
    lines: dict[bytes, bytes] = {}
    for _, name, line in valid_lines(table, raw):
        lines.setdefault(name, line)
    return lines


def id_names(table: Table, *, of: set[int] | None = None) -> dict[int, bytes]:
    """Id -> the first name with it, of a passwd or group table; of some ids only, if given."""
    names: dict[int, bytes] = {}
    for _, name, line in valid_lines(table):
        number = parse_id(line.split(b":", 3)[2])
        if number is not None and (of is None or number in of):
            names.setdefault(number, name)
    return names


def classify(merge: bool, local: Any, image: Any) -> Kind:
    """The form of a local row over the image's row of its name. merge: whether NSS merges rows of the database."""
    if not (merge and local.gid == image.gid):
        return Kind.EQUAL if local == image else Kind.OVERRIDE
    if local.passwd != image.passwd:
        return Kind.OVERRIDE
    known = set(image.members)
    return Kind.MEMBERS if any(user not in known for user in local.members) else Kind.EQUAL


def is_materialized(database: Database, name: str, account: bytes) -> bool:
    """Whether a row that says what the image says is there on purpose: docs/decisions/expired.md."""
    return name in ("passwd", "shadow") and (name, account) in database.base.lines()


def merges(layered: Layered, local: Any, image: Any) -> bool:
    """Whether NSS joins the two rows of a group: only when the GIDs agree."""
    return layered.merge and image is not None and local.gid == image.gid


def changed_fields(layered: Layered, row: LocalRow) -> list[FieldChange]:
    """The fields in which the view differs from the image; the members of a merged group are left out."""
    skipped = ("members",) if merges(layered, row.local, row.image) else ()
    changes = []
    for field in ORDER[row.database]:
        ours, theirs = getattr(row.local, field), getattr(row.image, field)
        if isinstance(ours, tuple):
            # Their order says nothing.
            ours, theirs = tuple(sorted(set(ours))), tuple(sorted(set(theirs)))
        if ours != theirs and field not in skipped:
            changes.append(FieldChange(field, theirs, ours))
    return changes


def has_image(database: Database) -> bool:
    """Whether the root has an image layer that NSS reads."""
    return any(database.tables[name].image.present for name in DATABASES)
