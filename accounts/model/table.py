# SPDX-License-Identifier: MIT
"""One account file as a lossless table: every line that is not changed survives byte for byte. Pure.

The rows are never split up front. A table keeps the bytes of the file and finds the few rows that a command
needs with bytes.find, so that a command over 100,000 rows costs milliseconds and little memory; only when a
command asks for many names (newusers, chpasswd) an index of all names is built.

The rules are those of shadow's commonio.c: rows that do not parse and rows that begin with + or - (NIS) do
not exist; new rows go before the first NIS row; a name that occurs twice can be neither changed nor removed.
"""

from __future__ import annotations

from accounts.errors import DuplicateName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

# After this many searches of the bytes an index of all names pays.
INDEX_AFTER = 48


class Table:
    """The rows of one file. data: its bytes; present: whether the file exists (an absent one is empty).

    kind is the Record class. A row is addressed by its position: the offset of its line in data, or -1, -2,
    ... for the rows added since. append(), extend(), sort(), sort_like(), replace_text() and split_groups() rebuild
    data: a position from before means nothing after them, nor does an iterator.
    """

    __slots__ = (
        "_added", "_added_names", "_edits", "_finds", "_index", "_loaded", "_max_members", "_nis",
        "_repeated",
        "data", "deleted", "kind", "original", "present",
    )  # fmt: skip

    def __init__(self, kind: type[Any], data: bytes = b"", present: bool = True) -> None:
        self.kind = kind
        self.data = data
        self.original = self._loaded = data
        self._max_members = 0
        self.present = present
        self.deleted = False
        # Position in data -> the record that replaces the row there, or None when it is removed.
        self._edits: dict[int, Any] = {}
        self._added: list[Any] = []
        self._added_names: dict[bytes, int] = {}
        self._finds = 0
        self._index: dict[bytes, int] | None = None
        # The names that the index has more than once.
        self._repeated: set[bytes] = set()
        self._nis: int | None = None

    def split_groups(self, max_members: int) -> None:
        """Honour MAX_MEMBERS_PER_GROUP of login.defs(5) in a group table, before anything else is done with it.

        Rows that agree in name, password and GID become one record, as shadow's gr_open() has it, and a
        record that is written with more members than that becomes several rows.
        """
        if 0 in self.data:
            return
        self._max_members = max_members
        rows: dict[Any, list[bytes]] = {}
        for line in self.data.split(b"\n"):
            record = self._parse(line)
            # What does not parse stays alone, whatever it equals.
            key = (len(rows),) if record is None else (record.name, record.passwd, record.gid)
            rows.setdefault(key, []).append(line)
        if any(len(lines) > 1 for lines in rows.values()):
            # A NUL stands for the newlines inside of a record; see _parse.
            self._reset(b"\n".join(b"\0".join(lines) for lines in rows.values()))
            self._loaded = self.data

    # Looking up

    def get(self, name: bytes) -> Any | None:
        """The first valid row of that name, as a Record, or None."""
        position = self.find(name)
        return None if position is None else self.at(position)

    def find(self, name: bytes, after: int | None = None) -> int | None:
        """The position of the first valid row of that name (after another position of it), or None."""
        if after is None or after >= 0:
            position = self._find_in_data(name, -1 if after is None else after)
            if position is not None:
                return position
            after = 0
        added = self._added_names.get(name)
        if added is None or after == added:
            return None
        return added

    def at(self, position: int) -> Any | None:
        """The record at a position, or None when it has been removed or does not parse."""
        if position < 0:
            return self._added[-position - 1]
        if position in self._edits:
            return self._edits[position]
        end = self.data.find(b"\n", position)
        return self._parse(self.data[position : end if end >= 0 else None])

    def is_duplicate(self, name: bytes) -> bool:
        """Whether more than one valid row has the name."""
        first = self.find(name)
        return first is not None and self.find(name, first) is not None

    def entries(self) -> Iterator[tuple[int, Any]]:
        """All valid rows in file order: (position, record)."""
        data, position, size = self.data, 0, len(self.data)
        insert_at = self._insert_offset() if self._added else size
        pending = bool(self._added)
        while position < size:
            if pending and position >= insert_at:
                pending = False
                yield from self._added_entries()
            end = data.find(b"\n", position)
            if end < 0:
                end = size
            record = self._edits[position] if position in self._edits else self._parse(data[position:end])
            if record is not None:
                yield position, record
            position = end + 1
        if pending:
            yield from self._added_entries()

    def lines(self) -> Iterator[tuple[int, bytes, Any | None]]:
        """All lines, broken ones too, that have not been removed: (position, bytes, record or None).

        What is changed while this runs is seen where it lies ahead.
        """
        data, position = self.data, 0
        while position < len(data):
            end = data.find(b"\n", position)
            line = data[position : end if end >= 0 else None]
            record = self.at(position)
            if record is not None or position not in self._edits:
                yield position, line, record
            position += len(line) + 1
        for position, record in self._added_entries():
            yield position, record.format_line(), record

    def __iter__(self) -> Iterator[Any]:
        """All valid records in file order."""
        for _, record in self.entries():
            yield record

    def entries_with(self, token: bytes) -> Iterator[tuple[int, Any]]:
        """The valid rows whose line contains token, in file order: a fast filter for members and ids."""
        data, position = self.data, 0
        while True:
            hit = data.find(token, position)
            if hit < 0:
                break
            start = data.rfind(b"\n", 0, hit) + 1
            end = data.find(b"\n", hit)
            position = end + 1 if end >= 0 else len(data)
            if start in self._edits:
                continue
            record = self._parse(data[start : end if end >= 0 else None])
            if record is not None:
                yield start, record
        for position, record in sorted(self._edits.items(), key=_first):
            if record is not None and token in record.format_line():
                yield position, record
        for position, record in self._added_entries():
            if token in record.format_line():
                yield position, record

    def first_with_id(self, attribute: str, value: int) -> Any | None:
        """The first valid row whose uid or gid (attribute) is value, or None."""
        best: tuple[int, Any] | None = None
        # The plain number, and the odd spellings that strtoll takes too: 0042, +42, " 42".
        for prefix in (b":", b"0", b"+", b" ", b"\t"):
            for position, record in self.entries_with(b"%s%d:" % (prefix, value)):
                if getattr(record, attribute) == value:
                    order = position if position >= 0 else len(self.data) - position
                    if best is None or order < best[0]:
                        best = (order, record)
                    break
        return None if best is None else best[1]

    def ids(self) -> set[int]:
        """All ids (third field) of the valid rows of a passwd or group table."""
        attribute = "uid" if self.kind.__name__ == "Passwd" else "gid"
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        try:
            texts = [line.split(b":", 3)[2] for line in lines]
        except IndexError:
            # Comments and the like.
            fields = (line.split(b":", 3) for line in lines)
            texts = [parts[2] for parts in fields if len(parts) > 2]
        plain = attribute == "gid" or self.data.count(b":") == 6 * len(texts)
        try:
            if self._edits or not plain or not b"".join(texts or (b"0",)).isdigit():
                raise ValueError
            found = set(map(int, texts))
        except ValueError:
            # Odd numbers, broken or changed rows: rare, so be exact and slow.
            return {getattr(record, attribute) for record in self}
        for record in self._added:
            if record is not None:
                found.add(getattr(record, attribute))
        return found

    # Changing

    def put(self, record: Any) -> None:
        """Replace the row of record's name, or add it before the NIS rows. Raises DuplicateName."""
        position = self.find(record.name)
        if position is None:
            self.add(record)
            return
        if self.find(record.name, position) is not None:
            raise DuplicateName(record.name)
        self.replace_at(position, record)

    def add(self, record: Any) -> None:
        """Add a row, whatever names there are: before the first NIS row, or at the end."""
        self._added.append(record)
        self._added_names.setdefault(record.name, -len(self._added))

    def append(self, record: Any) -> None:
        """Add a row behind all others, NIS rows included (shadow's commonio_append, for subordinate ids)."""
        self.extend((record,))

    def extend(self, records: Iterable[Any]) -> None:
        """Add rows behind all others."""
        rows = b"".join(self._format(record) + b"\n" for record in records)
        self._reset(_complete(self.render()) + rows)

    def replace_at(self, position: int, record: Any) -> None:
        """Replace the row at a position; its name must stay."""
        if position < 0:
            self._added[-position - 1] = record
        else:
            self._edits[position] = record

    def remove_at(self, position: int) -> None:
        """Remove the row at a position."""
        if position < 0:
            record = self._added[-position - 1]
            self._added[-position - 1] = None
            self._added_names.pop(record.name, None)
        else:
            self._edits[position] = None

    def remove(self, name: bytes) -> bool:
        """Remove the row of that name; False when there is none. Raises DuplicateName."""
        position = self.find(name)
        if position is None:
            return False
        if self.find(name, position) is not None:
            raise DuplicateName(name)
        self.remove_at(position)
        return True

    def hide(self, name: bytes) -> None:
        """Let all rows of that name be as if they were not there (the image's, which are never written)."""
        for position in self._rows_of(name):
            self._edits[position] = None

    def show(self, name: bytes) -> None:
        """Undo hide()."""
        for position in self._rows_of(name):
            self._edits.pop(position, None)

    def _rows_of(self, name: bytes) -> list[int]:
        """The positions of all lines that begin with a name and a colon."""
        prefix = name + b":"
        found = [0] if self.data.startswith(prefix) else []
        hit = self.data.find(b"\n" + prefix)
        while hit >= 0:
            found.append(hit + 1)
            hit = self.data.find(b"\n" + prefix, hit + 1)
        return found

    def sort(self, key: Callable[[Any], Any]) -> None:
        """Order the rows by key as shadow's commonio_sort: broken rows last, NIS rows and all behind stay."""
        lines = self.render().split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        stop = next((i for i, line in enumerate(lines) if line[:1] in (b"+", b"-")), len(lines))
        rows = []
        broken = []
        for line in lines[:stop]:
            record = self._parse(line)
            if record is None:
                broken.append(line)
            else:
                rows.append((key(record), line))
        ordered = [line for _, line in sorted(rows, key=_first)] + broken
        if ordered != lines[:stop]:
            self._reset(b"".join(line + b"\n" for line in ordered + lines[stop:]))

    def sort_like(self, names: Iterable[bytes]) -> None:
        """Order the rows as names are (commonio_sort_wrt): first those named, then all other lines as they were."""
        lines = self.render().split(b"\n")
        if not lines[-1]:
            lines.pop()
        places: dict[bytes, list[int]] = {}
        for place, line in enumerate(lines):
            record = self._parse(line)
            if record is not None:
                places.setdefault(record.name, []).append(place)
        first = [places[name].pop(0) for name in names if places.get(name)]
        rest = sorted(set(range(len(lines))).difference(first))
        ordered = [lines[place] for place in first + rest]
        if ordered != lines:
            self._reset(b"".join(line + b"\n" for line in ordered))

    # Writing

    @property
    def changed(self) -> bool:
        """Whether anything was put, added or removed; render() may still equal the file."""
        return self.deleted or bool(self._edits or self._added) or self.data is not self._loaded

    def written(self) -> Iterator[Any]:
        """The records that were put or added."""
        for record in (*self._edits.values(), *self._added):
            if record is not None:
                yield record

    def replace_text(self, data: bytes) -> None:
        """Let the file have other bytes altogether (vipw)."""
        self._reset(data)

    def delete_file(self) -> None:
        """Empty the table and have its file removed, without a backup (pwunconv, grpunconv)."""
        self._reset(b"")
        self.deleted = True

    def render(self) -> bytes:
        """The bytes of the file with all changes."""
        data = self.data
        added = b"".join(self._format(record) + b"\n" for record in self._added if record is not None)
        insert_at = self._insert_offset() if added else len(data)
        pieces = []
        position = 0
        edits: list[tuple[int, Any]] = sorted(self._edits.items(), key=_first)
        if added:
            edits.append((insert_at, added))
            edits.sort(key=_first)
        for start, change in edits:
            if position < start:
                pieces.append(data[position:start])
                position = start
            if isinstance(change, bytes):
                # The last line may lack its newline, and may be kept, changed or removed.
                if pieces and not pieces[-1].endswith(b"\n"):
                    pieces.append(b"\n")
                pieces.append(change)
                continue
            end = data.find(b"\n", start)
            position = end + 1 if end >= 0 else len(data)
            if change is not None:
                pieces.append(self._format(change) + b"\n")
        pieces.append(data[position:])
        text = b"".join(pieces)
        return text.replace(b"\0", b"\n") if self._max_members else text

    # Inside

    def _parse(self, line: bytes) -> Any | None:
        if line[:1] in (b"+", b"-"):
            return None
        if 0 in line:
            return self._parse_split(line.split(b"\0")) if self._max_members else None
        return self.kind.parse_line(line)

    def _parse_split(self, lines: list[bytes]) -> Any:
        first, *others = (self.kind.parse_line(line) for line in lines)
        more = (member for other in others for member in other.members if member not in first.members)
        return first.replace(members=first.members + tuple(dict.fromkeys(more)))

    def _format(self, record: Any) -> bytes:
        limit = self._max_members
        if not limit or len(record.members) <= limit:
            line: bytes = record.format_line()
            return line
        chunks = [record.members[at : at + limit] for at in range(0, len(record.members), limit)]
        return b"\n".join(record.replace(members=chunk).format_line() for chunk in chunks)

    def _added_entries(self) -> Iterator[tuple[int, Any]]:
        for number, record in enumerate(self._added, 1):
            if record is not None:
                yield -number, record

    def _find_in_data(self, name: bytes, after: int) -> int | None:
        """The first valid row of that name in data that begins behind the offset after."""
        if not name or 0x0A in name or 0x3A in name:
            return None
        data = self.data
        prefix = name + b":"
        if after >= 0 and self._index is not None and name not in self._repeated:
            return None
        if after < 0:
            self._finds += 1
            if self._finds > INDEX_AFTER and self._index is None:
                self._index = self._build_index()
            if self._index is not None:
                position = self._index.get(name)
                if position is None or self.at(position) is not None:
                    return position
                # The first row of that name is broken or removed: look further the slow way.
                after = position
            elif data.startswith(prefix) and self.at(0) is not None:
                return 0
        search = max(after, 0)
        while True:
            hit = data.find(b"\n" + prefix, search)
            if hit < 0:
                return None
            if self.at(hit + 1) is not None:
                return hit + 1
            search = hit + 1

    def _build_index(self) -> dict[bytes, int]:
        index: dict[bytes, int] = {}
        repeated = set()
        position = 0
        for line in self.data.split(b"\n"):
            colon = line.find(b":")
            if colon > 0:
                name = line[:colon]
                if index.setdefault(name, position) != position:
                    repeated.add(name)
            position += len(line) + 1
        self._repeated = repeated
        return index

    def _insert_offset(self) -> int:
        """Where new rows go: the offset of the first NIS row, else the end."""
        if self._nis is None:
            if self.data[:1] in (b"+", b"-"):
                self._nis = 0
            else:
                hits = [hit + 1 for hit in (self.data.find(b"\n+"), self.data.find(b"\n-")) if hit >= 0]
                self._nis = min(hits, default=len(self.data))
        return self._nis

    def _reset(self, data: bytes) -> None:
        self.data = data
        self._edits = {}
        self._added = []
        self._added_names = {}
        self._index = None
        self._nis = None


def _complete(data: bytes) -> bytes:
    return data + b"\n" if data and not data.endswith(b"\n") else data


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]
