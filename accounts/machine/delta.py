# SPDX-License-Identifier: MIT
"""What each row of the local layer is, compared with the image's row of its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from heapq import merge as merge_sorted
from operator import eq
from typing import Any

from accounts.errors import BadArgument
from accounts.machine.rows import FileRows, parse_rows, read_rows
from accounts.machine.words import ORDER, shown
from accounts.model.database import KINDS, Database, Layered
from accounts.model.policy import DATABASES
from accounts.model.records import Record, parse_id
from accounts.model.table import Table

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
    """A valid row of /etc. position: in its table; line, image_line: as it is written, there and in the image.

    Rows are parsed when they are asked for: of 100,000 most are as the image has them. is_exact: whether both lines are
    such that rows which say the same are the same.
    """

    __slots__ = (
        "_image", "_kind", "_local", "_merge", "_parse", "database", "image_line", "is_exact", "line", "name",
        "position",
    )  # fmt: skip

    def __init__(
        self, database: str, merge: bool, name: bytes, position: int, line: bytes, image_line: bytes | None, exact: bool
    ) -> None:
        self.database = database
        self.name = name
        self.position = position
        self._merge, self.is_exact = merge, exact
        self._parse = KINDS[database].parse_line
        self.line, self.image_line = line, image_line
        self._local: Record | None = None
        self._image: Record | None = None
        self._kind: Kind | None = None

    @property
    def kind(self) -> Kind:
        """Its form over the image."""
        if self._kind is None:
            if self.image_line is None:
                self._kind = Kind.OWN
            elif self.line == self.image_line:
                self._kind = Kind.EQUAL
            elif self.is_exact and not self._merge:
                self._kind = Kind.OVERRIDE
            else:
                self._kind = classify(self._merge, self.local, self.image)
        return self._kind

    @kind.setter
    def kind(self, kind: Kind) -> None:
        self._kind = kind

    @property
    def local(self) -> Any:
        """The row as a Record."""
        if self._local is None:
            self._local = self._parse(self.line)
        return self._local

    @property
    def image(self) -> Any:
        """The image's row of that name, a Record, or None."""
        if self._image is None and self.image_line is not None:
            self._image = self._parse(self.image_line)
        return self._image

    @property
    def id(self) -> int:
        """The UID or GID of a row of passwd or group."""
        return parse_id(self.line.split(b":", 3)[2]) or 0

    @property
    def is_bare(self) -> bool:
        """Whether the line ends in an empty field: a group without members."""
        return self.line.endswith(b":")

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


class LocalRows:
    """The valid rows of a database's local file in its order. Iteration makes a LocalRow of each.

    own, equal, others: the indexes of the rows that the image has no row of, has the same line of, has another of;
    repeated: those behind a row of their name, which are in none of these. rows: the columns.
    """

    def __init__(self, database: str, merge: bool, local: FileRows, image: FileRows) -> None:
        self.database = database
        self.rows = local
        self._merge = merge
        self._image = image
        self._images: list[bytes | None] = [*map(image.first.get, local.names)]

    def __iter__(self) -> Iterator[LocalRow]:
        return map(self.row, range(len(self.rows.names)))

    def __len__(self) -> int:
        return len(self.rows.names)

    def row(self, index: int) -> LocalRow:
        """One of them."""
        rows, image = self.rows, self._image
        name = rows.names[index]
        exact = index not in rows.odd and name not in image.odd_names
        row = LocalRow(
            self.database, self._merge, name, rows.starts[index], rows.lines[index], self._images[index], exact
        )
        if index in rows.repeated:
            row.kind = Kind.REPEATED
        return row

    @property
    def repeated(self) -> list[int]:
        return sorted(self.rows.repeated)

    @cached_property
    def own(self) -> list[int]:
        return self._first(index for index, line in enumerate(self._images) if line is None)

    @cached_property
    def equal(self) -> list[int]:
        return self._first(index for index, same in enumerate(map(eq, self.rows.lines, self._images)) if same)

    @cached_property
    def others(self) -> list[int]:
        pairs = zip(self.rows.lines, self._images, strict=True)
        return self._first(index for index, (line, other) in enumerate(pairs) if line != other and other is not None)

    def _first(self, indexes: Iterable[int]) -> list[int]:
        repeated = self.rows.repeated
        return [index for index in indexes if index not in repeated] if repeated else [*indexes]

    def select(self, *kinds: Kind) -> Iterator[LocalRow]:
        """The rows of some kinds, in order; the others are not looked at where that can be."""
        sets: list[list[int]] = []
        for kind, indexes in ((Kind.OWN, self.own), (Kind.EQUAL, self.equal), (Kind.REPEATED, self.repeated)):
            if kind in kinds and indexes:
                sets.append(indexes)
        if set(kinds) & {Kind.MEMBERS, Kind.OVERRIDE, Kind.EQUAL}:
            sets.append(self.others)
        for index in merge_sorted(*sets) if len(sets) != 1 else sets[0]:
            row = self.row(index)
            if row.kind in kinds:
                yield row


def local_rows(layered: Layered) -> LocalRows:
    """All valid rows of a database's local file, in its order, as they are when this is called."""
    local, image = layered.local, layered.image
    if local.changed or image.changed:
        return LocalRows(layered.name, layered.merge, read_rows(local), read_rows(image))
    return _compare_files(layered.name, layered.merge, local.data, image.data)


@lru_cache(maxsize=8)
def _compare_files(database: str, merge: bool, local: bytes, image: bytes) -> LocalRows:
    kind: Any = KINDS[database]
    return LocalRows(database, merge, parse_rows(kind, local), parse_rows(kind, image))


def valid_lines(table: Table, raw: bool = False) -> Iterator[tuple[int, bytes, bytes]]:
    """(position, name, line) of each row that parses, edits included; with raw as the file has it, hidden rows too."""
    rows = read_rows(table, raw)
    return zip(rows.starts, rows.names, rows.lines, strict=False)


def first_lines(table: Table, raw: bool = False) -> dict[bytes, bytes]:
    """Name -> the line of the first valid row of that name, which is not to be changed; raw as valid_lines()."""
    return read_rows(table, raw).first


def id_names(table: Table) -> dict[int, bytes]:
    """Id -> the first name with it, of a passwd or group table."""
    rows = read_rows(table)
    return dict(zip(reversed(rows.ids), reversed(rows.names), strict=True))


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


def refuse_unknown(database: Database, names: Iterable[bytes]) -> None:
    """Raise BadArgument for a name of which neither layer has a row: a mistake in typing is no success."""
    for name in names:
        tables = (database.tables[one] for one in DATABASES)
        if not any(table.local.find(name) is not None or table.image_row(name) is not None for table in tables):
            raise BadArgument(f"'{shown(name)}' is nobody's account; see accounts status")


def has_image(database: Database) -> bool:
    """Whether the root has an image layer that NSS reads."""
    return any(database.tables[name].image.present for name in DATABASES)
