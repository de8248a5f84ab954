# SPDX-License-Identifier: MIT
"""The valid rows of an account file as columns, and those of /etc beside the image's: for 100,000 of them. Pure.

What is compared is lines. A row becomes an object only where its fields matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

from accounts.model.records import Group, Gshadow, Passwd, Shadow, Subid, parse_id
from accounts.model.table import Table

# A line that is not longer is within every parser's limits.
MAX_PLAIN_LINE = 1000
_NAME = rb"^([^+\-:\n\0][^:\n\0]*):[^:\n\0]*:"
_ID = rb"(?:0|[1-9][0-9]{0,8})"
_DAY = rb"(?:0|[1-9][0-9]{0,8})?"
# Rows in the one way in which we write them: two such lines differ where their records do, and only there.
_PLAIN: dict[type[Any], re.Pattern[bytes]] = {
    Passwd: re.compile(_NAME + _ID + rb":" + _ID + rb":[^:\n\0]*:[^:\n\0]*:[^:\n\0]*$", re.MULTILINE),
    Group: re.compile(_NAME + _ID + rb":(?:[^:\n\0]*[^:,\n\0])?$", re.MULTILINE),
    Shadow: re.compile(_NAME + rb"(?:" + _DAY + rb":){6}" + _DAY + rb"$", re.MULTILINE),
    Gshadow: re.compile(_NAME + rb"(?:[^:\n\0]*[^:,\n\0])?:(?:[^:\n\0]*[^:,\n\0])?$", re.MULTILINE),
    Subid: re.compile(rb"^([^+\-:\n\0][^:\n\0]*):" + _ID + rb":" + _ID + rb"$", re.MULTILINE),
}


class FileRows:
    """Valid rows in file order. starts: offsets of the lines; odd: the indexes of rows that are written otherwise."""

    def __init__(
        self,
        names: list[bytes],
        lines: list[bytes],
        starts: Sequence[int] | None = None,
        odd: frozenset[int] = frozenset(),
    ) -> None:
        """starts: may be left out when the lines are the whole file."""
        self.names = names
        self.lines = lines
        self.odd = odd
        self._starts = starts

    @cached_property
    def starts(self) -> Sequence[int]:
        if self._starts is None:
            self._starts = [0, *accumulate(len(line) + 1 for line in self.lines)]
        return self._starts

    @cached_property
    def first(self) -> dict[bytes, bytes]:
        """Name -> the line of the first row of that name, in file order. Not to be changed."""
        lines = dict(zip(self.names, self.lines, strict=True))
        if len(lines) != len(self.names):
            lines = {}
            for name, line in zip(self.names, self.lines, strict=True):
                lines.setdefault(name, line)
        return lines

    @cached_property
    def odd_names(self) -> frozenset[bytes]:
        """The names of the rows that are written otherwise."""
        return frozenset(self.names[index] for index in self.odd)

    @cached_property
    def ids(self) -> list[int]:
        """The third field of each row: the UID or GID."""
        texts = [line.split(b":", 3)[2] for line in self.lines]
        return [parse_id(text) or 0 for text in texts] if self.odd else [*map(int, texts)]

    @cached_property
    def repeated(self) -> frozenset[int]:
        """The indexes of the rows behind one of their name."""
        if len(self.first) == len(self.names):
            return frozenset()
        seen: set[bytes] = set()
        return frozenset(index for index, name in enumerate(self.names) if name in seen or seen.add(name))  # type: ignore[func-returns-value]


# Each file is gone through several times by one command.
@lru_cache(maxsize=24)
def parse_rows(kind: Any, data: bytes) -> FileRows:
    """The valid rows of a file of this Record class."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    names = _PLAIN[kind].findall(data)
    if len(names) == len(lines) and (not lines or max(map(len, lines)) <= MAX_PLAIN_LINE):
        return FileRows(names, lines)
    return _parse_mixed(kind, data)


def _parse_mixed(kind: Any, data: bytes) -> FileRows:
    found: list[tuple[int, bytes, bytes]] = []
    odd: set[int] = set()

    def add_odd(position: int, end: int) -> None:
        for row in _parse_lines(kind, data, position, end):
            odd.add(len(found))
            found.append(row)

    position = 0
    for match in _PLAIN[kind].finditer(data):
        start, end = match.span()
        short = end - start <= MAX_PLAIN_LINE
        if position < start or not short:
            add_odd(position, start if short else end)
        if short:
            found.append((start, match[1], match[0]))
        position = end + 1
    add_odd(position, len(data))
    starts, names, lines = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
    return FileRows(names, lines, starts, frozenset(odd))


def _parse_lines(kind: type[Any], data: bytes, position: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    for line in data[position:end].split(b"\n") if position < end else ():
        # A NUL ends the line for whoever reads it as a string: no row, as in Table.
        if line and line[:1] not in b"+-" and 0 not in line:
            record = kind.parse_line(line)
            if record is not None:
                yield position, record.name, line
        position += len(line) + 1


def read_rows(table: Table, raw: bool = False) -> FileRows:
    """The valid rows of a table, edits included; with raw as the file has it, hidden rows too."""
    # Rows of gshadow have four fields here, whatever a release of shadow-utils makes of others.
    kind: Any = next(base for base in table.kind.__mro__ if base in _PLAIN)
    rows = parse_rows(kind, table.data)
    if raw or not table.changed:
        return rows
    if next(table.added_entries(), None) is not None:
        entries = [(position, record.name, record.format_line()) for position, record in table.entries()]
        starts, names, lines = (list(column) for column in zip(*entries, strict=True))
        return FileRows(names, lines, starts, frozenset(range(len(lines))))
    if not table.edits:
        return rows
    edits, old = table.edits, rows.starts
    if all(record is None for record in edits.values()):
        kept = [index for index in range(len(rows.names)) if old[index] not in edits]
        odd = frozenset(at for at, index in enumerate(kept) if index in rows.odd) if rows.odd else rows.odd
        return FileRows([rows.names[i] for i in kept], [rows.lines[i] for i in kept], [old[i] for i in kept], odd)
    new: list[tuple[int, bytes, bytes, bool]] = [
        (start, name, line, index in rows.odd)
        for index, (start, name, line) in enumerate(zip(old, rows.names, rows.lines, strict=False))
        if start not in edits
    ]
    new += [(start, record.name, record.format_line(), True) for start, record in edits.items() if record is not None]
    new.sort()
    odd = frozenset(index for index, row in enumerate(new) if row[3])
    return FileRows([row[1] for row in new], [row[2] for row in new], [row[0] for row in new], odd)
