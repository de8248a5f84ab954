# SPDX-License-Identifier: MIT
"""`accounts export` and `import-delta`: a machine's delta as a text that goes to another machine. Pure.

A line is KIND DATABASE ROW, sorted, between HEADER and END: own, members, override and copy rows of /etc, base rows
that overrides were made from, hide NAME. It holds the hashes of /etc/shadow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from accounts.errors import BadArgument, Refusal
from accounts.machine.delta import FILES, Kind, id_names, is_materialized, local_rows, valid_lines
from accounts.machine.errors import Contradicted
from accounts.machine.merge import Merged, merge_member_row, merge_row
from accounts.machine.words import describe_change, describe_value, shown
from accounts.model.database import ID_FIELDS, KINDS, Database, Layered
from accounts.model.records import Subid

HEADER, END = b"# accounts delta 1\n", b"# end\n"
OWN, MEMBERS, OVERRIDE, COPY, BASE_ROW, HIDE = "own", "members", "override", "copy", "base", "hide"
# Hide rows first: they make room for own rows.
_ORDER = (HIDE, BASE_ROW, OWN, MEMBERS, OVERRIDE, COPY)
_SUBIDS = ("subuid", "subgid")
_WORDS = {"passwd": "user", "shadow": "shadow row", "group": "group", "gshadow": "gshadow row"}


@dataclass(frozen=True)
class DeltaLine:
    """One line. row: of the file, for hide the name."""

    kind: str
    database: str
    row: bytes

    @property
    def name(self) -> bytes:
        """Whose it is."""
        return self.row.split(b":", 1)[0]

    def format(self) -> bytes:
        """With its newline."""
        return b"%s %s %s\n" % (self.kind.encode(), self.database.encode(), self.row)


@dataclass(frozen=True)
class Contradiction:
    """What the target contradicts. text: a sentence, never with a hash."""

    database: str
    name: bytes
    text: str

    def __str__(self) -> str:
        return f"{self.database} {shown(self.name)}: {self.text}"

    def to_json(self) -> dict[str, str]:
        """As docs/schemas/import-delta.json."""
        return {"database": self.database, "name": shown(self.name), "text": self.text}


# Writing


def format_delta(database: Database) -> bytes:
    """The whole delta of a machine. Comments, broken rows and rows behind one of their name are none of it."""
    lines = sorted(
        set(_lines(database)),
        key=lambda line: (FILES.index(line.database), line.name, _ORDER.index(line.kind), line.row),
    )
    return HEADER + b"".join(line.format() for line in lines) + END


def _lines(database: Database) -> Iterator[DeltaLine]:
    bases = database.base.lines()
    for name in FILES:
        layered = database.tables[name]
        if name in _SUBIDS:
            image = {line for _, _, line in valid_lines(layered.image)}
            for _, _, line in valid_lines(layered.local):
                if line not in image:
                    yield DeltaLine(OWN, name, line)
            continue
        for row in local_rows(layered):
            kind = {Kind.OWN: OWN, Kind.MEMBERS: MEMBERS, Kind.OVERRIDE: OVERRIDE}.get(row.kind)
            if row.kind == Kind.EQUAL and is_materialized(database, name, row.name):
                kind = COPY
            if kind is None:
                continue
            yield DeltaLine(kind, name, row.local.format_line())
            if (name, row.name) in bases:
                yield DeltaLine(BASE_ROW, name, bases[name, row.name])
    for name, account in database.hides.rows:
        yield DeltaLine(HIDE, name, account)


# Reading


def parse_delta(data: bytes, source: str) -> list[DeltaLine]:
    """The lines of an export. Raises BadArgument, "SOURCE:LINE: what is wrong"; no row is in the message."""
    if not data.startswith(HEADER):
        raise BadArgument(
            f"{source}:1: not an export of accounts: it begins with '{HEADER.decode().strip()}'; see accounts export"
        )
    if not data.endswith(END):
        raise BadArgument(f"{source}: its end is missing; see accounts export")
    lines: dict[DeltaLine, None] = {}
    for number, text in enumerate(data.removesuffix(END).split(b"\n")[1:-1], 2):
        words = text.split(b" ", 2)
        kind, database = (
            (words[0].decode("ascii", "replace"), words[1].decode("ascii", "replace")) if words[2:] else ("", "")
        )
        if kind not in _ORDER or database not in KINDS or (database in _SUBIDS and kind not in (OWN, HIDE)):
            raise BadArgument(f"{source}:{number}: not KIND DATABASE ROW")
        line = DeltaLine(kind, database, words[2])
        if kind == HIDE:
            valid = bool(line.row) and b":" not in line.row and not _has_control(line.row)
        else:
            record: Any = KINDS[database].parse_line(line.row)
            # What no tool would write is not written here, either.
            valid = record is not None and bool(line.name) and record.is_writable() and line.row[:1] not in b"+-#"
            valid = valid and not _has_control(line.row)
        if not valid:
            raise BadArgument(f"{source}:{number}: not a row of {database}")
        lines[line] = None
    _check_twice(list(lines), source)
    return list(lines)


def _has_control(text: bytes) -> bool:
    return any(byte < 32 or byte == 127 for byte in text)


def _check_twice(lines: list[DeltaLine], source: str) -> None:
    seen: set[tuple[bool, str, bytes]] = set()
    for line in lines:
        if line.kind == HIDE or line.database in _SUBIDS:
            continue
        key = (line.kind == BASE_ROW, line.database, line.name)
        if key in seen:
            raise BadArgument(f"{source}: {line.database} {shown(line.name)} is there twice")
        seen.add(key)


@dataclass
class Import:
    """One import into a database, which is edited. done: a sentence for each row."""

    database: Database
    lines: list[DeltaLine]
    done: list[str] = field(default_factory=list)
    conflicts: list[Contradiction] = field(default_factory=list)

    def run(self) -> Import:
        """Take all of it. Raises Contradicted."""
        self._bases: dict[tuple[str, bytes], Any] = {
            (line.database, line.name): KINDS[line.database].parse_line(line.row)
            for line in self.lines
            if line.kind == BASE_ROW
        }
        self._hidden = {(line.database, line.name) for line in self.lines if line.kind == HIDE}
        tables = self.database.tables
        self._ids = {
            name: {**id_names(tables[name].image), **id_names(tables[name].local)} for name in ID_FIELDS
        }  # fmt: skip
        take: dict[str, Callable[[Layered, DeltaLine], None]] = {
            HIDE: self._hide, OWN: self._add, MEMBERS: self._merge, OVERRIDE: self._merge, COPY: self._copy,
        }  # fmt: skip
        ranges = [line for line in self.lines if line.database in _SUBIDS and line.kind == OWN]
        for kind in _ORDER:
            for line in self.lines:
                if line.kind == kind and kind in take and line not in ranges:
                    take[kind](tables[line.database], line)
        for name in _SUBIDS:
            self._add_ranges(name, [line for line in ranges if line.database == name])
        if self.conflicts:
            raise Contradicted(self.conflicts)
        return self

    def _refuse(self, line: DeltaLine, text: str) -> None:
        self.conflicts.append(Contradiction(line.database, line.name, text))

    def _tell(self, line: DeltaLine, text: str) -> None:
        self.done.append(f"{line.database} {shown(line.name)}: {text}")

    def _base_on(self, line: DeltaLine, row: bytes) -> None:
        self.database.base.lines()[line.database, line.name] = row

    # Rows of the image that are not to be seen

    def _hide(self, layered: Layered, line: DeltaLine) -> None:
        if layered.is_hidden(line.row):
            return
        image = layered.image_row(line.row)
        base = self._bases.get((line.database, line.row))
        if image is None:
            # There is nothing that could be seen.
            return
        if base is not None and base != image:
            self._refuse(
                line, f"the image's {_WORDS.get(layered.name, 'row')} is another one than the one that was hidden"
            )
            return
        if layered.local.find(line.row) is not None and not self._is_there(layered, line.row):
            self._refuse(line, "this machine has changed what is to be hidden")
            return
        try:
            layered.hide(line.row)
        except Refusal as error:
            self._refuse(line, error.lines()[0])
            return
        self._tell(line, "is not seen any more")

    def _is_there(self, layered: Layered, name: bytes) -> bool:
        """Whether the local row is the one that the delta has."""
        row: Any = layered.local.get(name)
        return any(
            line.row == row.format_line()
            for line in self.lines
            if line.kind == OWN and line.database == layered.name and line.name == name
        )

    # Rows of names that the image has not

    def _add(self, layered: Layered, line: DeltaLine) -> None:
        record = KINDS[line.database].parse_line(line.row)
        assert record is not None
        image, mine = layered.image.get(line.name), layered.local.get(line.name)
        if image is not None and (image != record or mine is not None):
            self._refuse(line, f"the image has a {_WORDS[line.database]} of that name")
            return
        if image is not None or mine == record:
            return
        if mine is not None:
            self._refuse(line, f"this machine has another {_WORDS[line.database]} of that name")
            return
        if line.database in ID_FIELDS:
            key = ID_FIELDS[line.database]
            owner = self._ids[line.database].get(getattr(record, key))
            if owner is not None and owner != line.name:
                self._refuse(line, f"{key.upper()} {getattr(record, key)} is that of '{shown(owner)}' here")
                return
        layered.local.put(record)
        base = self._bases.get((line.database, line.name))
        if base is not None:
            self._base_on(line, base.format_line())
        self._tell(line, "added")

    # Rows over the image's

    def _merge(self, layered: Layered, line: DeltaLine) -> None:
        record: Any = KINDS[line.database].parse_line(line.row)
        image, mine = layered.image.get(line.name), layered.local.get(line.name)
        if image is None:
            why = (
                "this machine hides it"
                if layered.is_hidden(line.name)
                else f"the image has no such {_WORDS[line.database]}"
            )
            self._refuse(line, why)
            return
        base = self._bases.get((line.database, line.name))
        if line.kind == MEMBERS or (layered.merge and record.gid == (base or image).gid):
            merged = merge_member_row(record, image, base)
            if line.kind == MEMBERS and mine is not None and mine.passwd == image.passwd:
                # What others have joined here stays.
                members = mine.members + tuple(user for user in merged.record.members if user not in mine.members)
                merged = Merged(merged.record.replace(members=members), merged.base, merged.taken, merged.conflicts)
        else:
            merged = merge_row(line.database, record, image, base)
        for one in merged.conflicts:
            before, after = describe_change(one.field, one.image, one.local)
            was = describe_value(one.field, one.base)
            self._refuse(line, f"{one.field} was {was}; the image has {before}, the delta {after}")
        if not merged.conflicts:
            self._put(layered, line, merged, image, mine)

    def _put(self, layered: Layered, line: DeltaLine, merged: Merged, image: Any, mine: Any | None) -> None:
        record = merged.record
        if line.kind == MEMBERS and not layered.merge:
            record = image.replace(members=tuple(dict.fromkeys((*image.members, *record.members))))
        if mine == record or (mine is None and record == image):
            return
        if mine is not None and not (line.kind == MEMBERS and layered.merge):
            self._refuse(line, "this machine has changed it in another way")
            return
        layered.local.put(record)
        if (line.database, line.name) in self._bases or line.kind == OVERRIDE:
            self._base_on(line, merged.base.format_line())
        elif not layered.merge:
            self._base_on(line, image.format_line())
        self._tell(line, "members added" if line.kind == MEMBERS else "changed")

    def _copy(self, layered: Layered, line: DeltaLine) -> None:
        if layered.local.find(line.name) is not None:
            return
        if not layered.materialize(line.name):
            self._refuse(line, f"the image has no such {_WORDS[line.database]}")
            return
        self._tell(line, "copied from the image")

    # Subordinate ids

    def _add_ranges(self, name: str, lines: list[DeltaLine]) -> None:
        layered = self.database.tables[name]
        taken = [(row.start, row.count, row.name) for table in (layered.local, layered.image) for row in table]
        here = set(taken)
        taken.sort()
        for line in lines:
            row: Any = Subid.parse_line(line.row)
            if (row.start, row.count, row.name) in here:
                continue
            other = _overlapping(taken, row)
            if other is not None:
                self._refuse(line, f"{row.start}-{row.start + row.count - 1} belongs to '{shown(other)}' here")
                continue
            layered.local.add(row)
            self._tell(line, f"{row.start}-{row.start + row.count - 1} added")


def _overlapping(taken: list[tuple[int, int, bytes]], row: Any) -> bytes | None:
    """Another owner of some of a range."""
    for start, count, owner in taken:
        if start >= row.start + row.count:
            return None
        if row.start < start + count and owner != row.name:
            return owner
    return None
