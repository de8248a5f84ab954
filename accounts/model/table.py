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
from accounts.model.records import OfRows, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# After this many searches of the bytes an index of all names pays.
INDEX_AFTER = 48


class Table(OfRows[Row]):
    """The rows of one file. data: its bytes; present: whether the file exists (an absent one is empty).

    kind is the Record class. A row is addressed by its position: the offset of its line in data, or -1, -2,
    ... for the rows added since. append(), extend(), replace_text() and split_groups() rebuild data:
    a position from before means nothing after them, nor does an iterator.
    """

    __slots__ = (
        "_added", "_added_names", "_edits", "_finds", "_index", "_loaded", "_max_members", "_nis",
        "_repeated",
        "data", "deleted", "kind", "original", "present",
    )  # fmt: skip

    def __init__(self, kind: type[Row], data: bytes = b"", present: bool = True) -> None:
        self.kind = kind
        self.original = self._loaded = data
        self._max_members = 0
        self.present = present
        self.deleted = False
        self._finds = 0
        # The names that the index has more than once.
        self._repeated: set[bytes] = set()
        self._reset(data)

    def _reset(self, data: bytes) -> None:
        self.data = data
        # Position in data -> the record that replaces the row there, or None when it is removed.
        self._edits: dict[int, Row | None] = {}
        self._added: list[Row | None] = []
        self._added_names: dict[bytes, int] = {}
        self._index: dict[bytes, int] | None = None
        self._nis: int | None = None

    def split_groups(self, max_members: int) -> None:
        """Honour MAX_MEMBERS_PER_GROUP of login.defs(5) in a group table, before anything else is done with it.

        Rows that agree in name, password and GID become one record, as shadow's gr_open() has it, and a
        record that is written with more members than that becomes several rows.
        """
        if 0 in self.data:
            return
        from accounts.model.splitgroups import join_rows

        self._max_members = max_members
        data = join_rows(self.data, self.parse)
        if data is not None:
            self._reset(data)
            self._loaded = data

    # Looking up

    def get(self, name: bytes) -> Row | None:
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

    def at(self, position: int) -> Row | None:
        """The record at a position, or None when it has been removed or does not parse."""
        if position < 0:
            return self._added[-position - 1]
        if position in self._edits:
            return self._edits[position]
        end = self.data.find(b"\n", position)
        return self.parse(self.data[position : end if end >= 0 else None])

    @property
    def edits(self) -> Mapping[int, Row | None]:
        """Position in data -> the record that is there now, None for a row that has been removed."""
        return self._edits

    def entries(self) -> Iterator[tuple[int, Row]]:
        """All valid rows in file order: (position, record)."""
        data, position, size = self.data, 0, len(self.data)
        insert_at = self._insert_offset() if self._added else size
        pending = bool(self._added)
        while position < size:
            if pending and position >= insert_at:
                pending = False
                yield from self.added_entries()
            end = data.find(b"\n", position)
            if end < 0:
                end = size
            record = self._edits[position] if position in self._edits else self.parse(data[position:end])
            if record is not None:
                yield position, record
            position = end + 1
        if pending:
            yield from self.added_entries()

    def __iter__(self) -> Iterator[Row]:
        """All valid records in file order."""
        for _, record in self.entries():
            yield record

    def entries_with(self, token: bytes) -> Iterator[tuple[int, Row]]:
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
            record = self.parse(data[start : end if end >= 0 else None])
            if record is not None:
                yield start, record
        for position, record in sorted(self._edits.items(), key=lambda edit: edit[0]):
            if record is not None and token in record.format_line():
                yield position, record
        for position, record in self.added_entries():
            if token in record.format_line():
                yield position, record

    def first_with_id(self, attribute: str, value: int) -> Row | None:
        """The first valid row whose uid or gid (attribute) is value, or None."""
        best: tuple[int, Row] | None = None
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

    def put(self, record: Row) -> None:
        """Replace the row of record's name, or add it before the NIS rows. Raises DuplicateName."""
        position = self.find(record.name)
        if position is None:
            self.add(record)
            return
        if self.find(record.name, position) is not None:
            raise DuplicateName(record.name)
        self.replace_at(position, record)

    def add(self, record: Row) -> None:
        """Add a row, whatever names there are: before the first NIS row, or at the end."""
        self._added.append(record)
        self._added_names.setdefault(record.name, -len(self._added))

    def append(self, record: Row) -> None:
        """Add a row behind all others, NIS rows included (shadow's commonio_append, for subordinate ids)."""
        self.extend((record,))

    def extend(self, records: Iterable[Row]) -> None:
        """Add rows behind all others."""
        rows = b"".join(self._format(record) + b"\n" for record in records)
        self._reset(_complete(self.render()) + rows)

    def replace_at(self, position: int, record: Row) -> None:
        """Replace the row at a position; its name must stay."""
        if position < 0:
            self._added[-position - 1] = record
        else:
            self._edits[position] = record

    def remove_at(self, *positions: int) -> None:
        """Remove the rows at these positions."""
        for position in positions:
            if position >= 0:
                self._edits[position] = None
                continue
            record, self._added[-position - 1] = self._added[-position - 1], None
            if record is not None:
                self._added_names.pop(record.name, None)

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
        from accounts.model.hidden import lines_named

        for position in lines_named(self.data, name):
            self._edits[position] = None

    def show(self, name: bytes) -> None:
        """Undo hide()."""
        from accounts.model.hidden import lines_named

        for position in lines_named(self.data, name):
            self._edits.pop(position, None)

    # Writing

    @property
    def changed(self) -> bool:
        """Whether anything was put, added or removed; render() may still equal the file."""
        return self.deleted or bool(self._edits or self._added) or self.data is not self._loaded

    def written(self) -> Iterator[Row]:
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
        edits: list[tuple[int, Row | bytes | None]] = [*self._edits.items()]
        if added:
            edits.append((insert_at, added))
        edits.sort(key=lambda edit: edit[0])
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

    def parse(self, line: bytes) -> Row | None:
        """The record of a line of data, None when it is no row."""
        if line[:1] in (b"+", b"-"):
            return None
        if 0 in line:
            if not self._max_members:
                return None
            from accounts.model.splitgroups import parse_rows

            joined: Row = parse_rows(self.kind, line)
            return joined
        return self.kind.parse_line(line)

    def _format(self, record: Row) -> bytes:
        if not self._max_members:
            return record.format_line()
        from accounts.model.splitgroups import format_rows

        return format_rows(record, self._max_members)

    def added_entries(self) -> Iterator[tuple[int, Row]]:
        """The rows that were added: (position, record)."""
        for number, record in enumerate(self._added, 1):
            if record is not None:
                yield -number, record

    def _find_in_data(self, name: bytes, after: int) -> int | None:
        """The first valid row of that name in data that begins behind the offset after."""
        if 0x0A in name or 0x3A in name:
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
            elif (data.startswith((prefix, name + b"\n")) or data == name) and self.at(0) is not None:
                return 0
        search = max(after, 0)
        while True:
            hit = data.find(b"\n" + prefix, search)
            if self.kind.ONE_FIELD:
                hit = self._find_lone(name, search, hit)
            if hit < 0:
                return None
            if self.at(hit + 1) is not None:
                return hit + 1
            search = hit + 1

    def _find_lone(self, name: bytes, start: int, other: int) -> int:
        """The newline before the next line that is nothing but a name, or other, where that is not before it."""
        text = self.data if self.data.endswith(b"\n") else self.data + b"\n"
        hit = text.find(b"\n" + name + b"\n", start)
        return hit if 0 <= hit < len(text) - 1 and not 0 <= other < hit else other

    def _build_index(self) -> dict[bytes, int]:
        index: dict[bytes, int] = {}
        repeated = set()
        position = 0
        for line in self.data.split(b"\n"):
            name, colon, _ = line.partition(b":")
            is_row = (colon or self.kind.ONE_FIELD) and position < len(self.data)
            if is_row and index.setdefault(name, position) != position:
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


def _complete(data: bytes) -> bytes:
    return data + b"\n" if data and not data.endswith(b"\n") else data
