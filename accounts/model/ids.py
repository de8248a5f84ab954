# SPDX-License-Identifier: MIT
"""Allocation of UIDs, GIDs and subordinate ranges as a release of shadow does it. Pure.

Source: libmisc/find_new_uid.c, find_new_gid.c, find_new_sub_uids.c, lib/subordinateio.c; but with a set
instead of a look-up in the whole file for each candidate, which makes the real tools quadratic.
"""

from __future__ import annotations

from accounts.errors import NoId
from accounts.model.records import MAX_ID, Subid, parse_id
from accounts.model.release import DEFAULT
from accounts.model.table import Table

# -1 of a 16 and of a 32 bit id: system calls take them for "no change".
NEVER = frozenset((0xFFFF, MAX_ID))

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from accounts.model.database import Database
    from accounts.model.release import Release

    class IdDefs(Protocol):
        """What is needed of login.defs."""

        def get_ulong(self, name: str, default: int) -> int: ...
        def get_bool(self, name: str) -> bool: ...


def id_range(kind: str, system: bool, defs: IdDefs) -> tuple[int, int]:
    """(lowest, highest) id to allocate. kind: "UID" or "GID". Raises NoId when login.defs makes no sense."""
    if not system:
        low = defs.get_ulong(f"{kind}_MIN", 1000) & MAX_ID
        high = defs.get_ulong(f"{kind}_MAX", 60000) & MAX_ID
        if high < low:
            raise NoId(f"Invalid configuration: {kind}_MIN ({low}), {kind}_MAX ({high})")
        return low, high
    low = defs.get_ulong(f"SYS_{kind}_MIN", 101) & MAX_ID
    human = defs.get_ulong(f"{kind}_MIN", 1000)
    high = defs.get_ulong(f"SYS_{kind}_MAX", (human - 1) & MAX_ID) & MAX_ID
    if high < low:
        raise NoId(f"Invalid configuration: SYS_{kind}_MIN ({low}), {kind}_MIN ({human}), SYS_{kind}_MAX ({high})")
    return low or 1, high


def allocate_id(
    kind: str,
    system: bool,
    defs: IdDefs,
    used: set[int],
    is_taken: Callable[[int], bool],
    preferred: int | None = None,
) -> int:
    """A free UID or GID.

    used: the ids of the layers, the image's ledger and so on; is_taken: asks for one id more widely (NSS).
    preferred: taken when it is free (a user's own group gets the UID). System ids are searched from the
    lowest used one downwards, others from the highest used one upwards; when that end is reached, the whole
    range is searched from the other end. Raises NoId with shadow's words.
    """
    return IdPool(kind, system, defs, used, is_taken).find(preferred)


class IdPool:
    """Ids to be found and used one after the other, each as allocate_id() would do it (newusers)."""

    def __init__(self, kind: str, system: bool, defs: IdDefs, used: set[int], is_taken: Callable[[int], bool]) -> None:
        """used is added to. Raises nothing: login.defs is read when the first id is asked for."""
        self.used = used
        self._kind = kind
        self._system = system
        self._defs = defs
        self._is_taken = is_taken
        self._range: tuple[int, int] | None = None
        # The used id that is farthest on the way, and where to look for gaps: all before it are known as used.
        self._farthest = 0
        self._gap = 0

    def find(self, preferred: int | None = None) -> int:
        """A free id. Raises NoId."""
        low, high = self._load_range()
        first = 1 if self._system else low
        usable = preferred is not None and first <= preferred <= high and preferred not in NEVER
        if preferred is not None and usable and self._is_free(preferred):
            return preferred
        return self._search(low, high)

    def add(self, number: int) -> None:
        """The id is used from now on."""
        self.used.add(number)
        if self._range is not None and self._range[0] <= number <= self._range[1]:
            self._farthest = (min if self._system else max)(self._farthest, number)

    def has(self, number: int) -> bool:
        """Whether the id is used."""
        return not self._is_free(number)

    def _is_free(self, number: int) -> bool:
        return number not in self.used and not self._is_taken(number)

    def _load_range(self) -> tuple[int, int]:
        if self._range is None:
            low, high = self._range = id_range(self._kind, self._system, self._defs)
            inside = [number for number in self.used if low <= number <= high]
            if self._system:
                self._farthest, self._gap = min(inside, default=high + 1), high
            else:
                self._farthest, self._gap = max(inside, default=low - 1), low
        return self._range

    def _search(self, low: int, high: int) -> int:
        step, end = (-1, low - 1) if self._system else (1, high + 1)
        used = self.used  # not _is_free(): up to 60,000 calls
        for number in range(self._farthest + step, end, step):
            if number not in used and number not in NEVER and not self._is_taken(number):
                return number
        for number in range(self._gap, end, step):
            if number not in used and number not in NEVER and not self._is_taken(number):
                self._gap = number
                return number
        raise NoId(f"Can't get unique {self._kind} (no more available {self._kind}s)")


class SubidPool:
    """Subordinate ranges to be given to one owner after the other (newusers).

    kind: "UID" or "GID". image: the ranges of the image layer, which are not free either.
    """

    def __init__(
        self,
        table: Table,
        kind: str,
        defs: IdDefs,
        image: Table | None = None,
        release: Release = DEFAULT,
        reserved: Iterable[tuple[int, int, bytes]] = (),
    ) -> None:
        """reserved: ranges that the ledgers know (parse_ranges()), which are never given again."""
        self._defs = defs
        self._release = release
        self._by_uid = release >= (4, 20) and defs.get_bool(f"SUB_{kind}_STORE_BY_UID")
        self._determined = release >= (4, 20) and defs.get_bool(f"SUB_{kind}_DETERMINISTIC")
        self.count = defs.get_ulong(f"SUB_{kind}_COUNT", 65536)
        self._table = table
        self._image = image
        self._reserved = reserved
        self._kind = kind
        self._min = defs.get_ulong(f"SUB_{kind}_MIN", 100000)
        self._high = defs.get_ulong(f"SUB_{kind}_MAX", 600100000)
        # Where the gap may begin, and the ranges behind it, the last first: read when the first gap is looked for.
        self._low = self._min
        self._ahead: list[tuple[int, int, bytes]] | None = None
        self._given: list[Subid] = []
        self._owners: set[bytes] = set()

    def find(self, uid: int) -> tuple[int, int]:
        """(start, count) of the first free range, or of the one that is the UID's. Raises NoId."""
        if self._determined:
            return self._calculate(uid), self.count
        low, high, count = self._min, self._high, self.count
        if self._release >= (4, 20):
            if low > high or not 0 < count <= high - low + 1:
                raise NoId("Numerical result out of range")
        elif low > high or count >= high or low + count - 1 > high:
            raise NoId(
                f"Invalid configuration: SUB_{self._kind}_MIN ({low}), SUB_{self._kind}_MAX ({high}), "
                f"SUB_{self._kind}_COUNT ({count})"
            )
        if self._ahead is None:
            sorted_rows = _sort_ranges(self._table) if count else []
            self._ahead = sorted_rows[::-1]
            if count and self._image is not None and self._image.data:
                # A hidden row's too: its owner's files are in the image, or on the disk.
                self._ahead += _all_ranges(self._image)
            if count and self._reserved:
                self._ahead += self._reserved
            if len(self._ahead) > len(sorted_rows):
                self._ahead.sort(reverse=True)
            if self._release >= (4, 20):
                self._ahead = [row for row in self._ahead if row[1] and row[0] + row[1] - 1 <= MAX_ID]
        ahead = self._ahead
        while ahead and min(ahead[-1][0], high + 1) - self._low < count:
            start, size, _ = ahead.pop()
            self._low = max(self._low, start + size)
            if self._low > high:
                break
        if not count or high - self._low + 1 < count:
            many = self._release >= (4, 20)
            raise NoId("Too many users" if many else f"Can't get unique subordinate {self._kind} range")
        return self._low, count

    def _calculate(self, uid: int) -> int:
        """The start of the range that is the UID's, whoever else was there before."""
        defs, kind = self._defs, self._kind
        uid_min = defs.get_ulong("UID_MIN", 1000)
        low = defs.get_ulong(f"SUB_{kind}_MIN", 65536)
        high = defs.get_ulong(f"SUB_{kind}_MAX", MAX_ID)
        if uid < uid_min:
            who = f"UID {uid} is less than UID_MIN {uid_min}"
            raise NoId(f"{who}, cannot calculate deterministic subordinate {kind}s")
        if low > high or not self.count:
            given = f"SUB_{kind}_MIN ({low}), SUB_{kind}_MAX ({high}), SUB_{kind}_COUNT ({self.count})"
            raise NoId(f"Invalid configuration: {given}")
        slots = (high - low + 1) // self.count
        if not slots:
            given = f"SUB_{kind}_MIN={low}, SUB_{kind}_MAX={high}, SUB_{kind}_COUNT={self.count}"
            raise NoId(f"Not enough space for any subordinate {kind}s ({given})")
        slot = uid - uid_min
        if slot >= slots:
            if not defs.get_bool(f"UNSAFE_SUB_{kind}_DETERMINISTIC_WRAP"):
                raise NoId(f"Deterministic subordinate {kind} range for UID {uid} exceeds SUB_{kind}_MAX ({high})")
            slot %= slots
        return low + slot * self.count

    def owns(self, name: bytes, uid: int, is_known: bool) -> bool:
        """Whether a user has a range already, by name or, since 4.20, by UID.

        is_known: whether the user was there before; 4.20 asks NSS who the owners are, and so finds no new one.
        """
        if self._release >= (4, 20) and not is_known:
            return False
        names = (name, b"%d" % uid) if self._release >= (4, 20) else (name,)
        tables = (self._table,) if self._image is None else (self._table, self._image)
        return name in self._owners or any(table.find(owner) is not None for owner in names for table in tables)

    def owner(self, name: bytes, uid: int) -> bytes:
        """What a new row calls a user."""
        return b"%d" % uid if self._by_uid else name

    def give(self, name: bytes, uid: int, is_known: bool = True) -> None:
        """Give the user a range unless there is one already. is_known: as owns(). Raises NoId."""
        if not self.owns(name, uid, is_known):
            start, count = self.find(uid)
            self._given.append(Subid(self.owner(name, uid), start, count))
            self._owners.add(name)
            if not self._determined:
                self._low += count

    def write(self) -> None:
        """Put the given ranges into the table, which shadow sorts before it adds each of them."""
        rows = self._given
        if rows:
            self._table.extend(rows[:-1])
            from accounts.model.order import sort_rows

            sort_rows(self._table, lambda row: (row.start, row.count, row.name))
            self._table.extend(rows[-1:])


def _sort_ranges(table: Table) -> list[tuple[int, int, bytes]]:
    """Sort a subuid or subgid table as shadow does before it looks for a gap; (start, count, owner) of all."""
    try:
        # A hundred thousand rows are usual here, so the plain ones ("name:100000:65536") are read at once.
        fields = [line.split(b":") for line in table.render().rstrip(b"\n").split(b"\n") if line]
        ranges = [
            (int(start), int(size), owner)
            for owner, start, size in fields
            if start[:1] > b"0" and size[:1] > b"0" and start.isdigit() and size.isdigit()
            and len(start) < 19 > len(size) and owner[:1] > b"/" and len(owner) < 900
        ]  # fmt: skip
        if len(ranges) == len(fields) and sorted(ranges) == ranges:
            return ranges
    except ValueError:
        pass
    from accounts.model.order import sort_rows

    sort_rows(table, lambda row: (row.start, row.count, row.name))
    return [(row.start, row.count, row.name) for row in table]


def _all_ranges(image: Table) -> list[tuple[int, int, bytes]]:
    """(start, count, owner) of all rows of an image's file, hidden ones too."""
    rows = map(image.kind.parse_line, image.data.split(b"\n"))
    return [(row.start, row.count, row.name) for row in rows if row is not None]


def parse_ledger(text: bytes, database: str) -> set[int]:
    """The ids that the image's id ledger knows for "passwd" or "group", removed ones included.

    A line is DATABASE:NAME:ID:STATE (docs/ledger.md).
    """
    wanted = database.encode()
    found = set()
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 3 and fields[0] == wanted:
            number = parse_id(fields[2])
            if number is not None:
                found.add(number)
    return found


def parse_ranges(text: bytes, database: str) -> list[tuple[int, int, bytes]]:
    """(start, count, owner) of the ranges that an id ledger knows for "subuid" or "subgid", removed ones included.

    A line is DATABASE:OWNER:FIRST-LAST:STATE.
    """
    wanted = database.encode()
    found = []
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 3 and fields[0] == wanted:
            first, last = map(parse_id, fields[2].partition(b"-")[::2])
            if first is not None and last is not None and first <= last:
                found.append((first, last - first + 1, fields[1]))
    return found


def retire_ranges(database: Database, name: str, owner: bytes) -> None:
    """Have the ledger of this machine remember an owner's local rows of "subuid" or "subgid", which are to go.

    Only where the image has such rows, too (`subid: altfiles`); elsewhere shadow gives a range again.
    """
    if database.policy.image.get(name):
        known = parse_ranges(database.ledger, name)
        for row in database.tables[name].local:
            if row.name == owner and row.count and (row.start, row.count, owner) not in known:
                last = row.start + row.count - 1
                database.ledger += b"%s:%s:%d-%d:removed\n" % (name.encode(), owner, row.start, last)


def has_subid_range(table: Table, owner: bytes, start: int, count: int, image: Table | None = None) -> bool:
    """Whether the owner's rows, those in the image included, cover start..start+count-1 (have_range)."""
    if count == 0:
        return False
    last_wanted = start + count - 1
    while start <= last_wanted:
        row = next(
            (row for layer in (table, image) if layer is not None for _, row in layer.entries_with(owner + b":")
             if row.name == owner and row.start <= start <= row.start + row.count - 1),
            None,
        )  # fmt: skip
        if row is None:
            return False
        start = row.start + row.count
    return True


def add_subid_range(table: Table, owner: bytes, start: int, count: int, image: Table | None = None) -> None:
    """Append a range unless the owner has all of it, in the image or not."""
    if not has_subid_range(table, owner, start, count, image):
        table.append(Subid(owner, start, count))


def remove_subid_range(table: Table, owner: bytes, start: int, count: int) -> None:
    """Take start..start+count-1 from the owner's rows: drop, shorten or split them (remove_range)."""
    if count == 0:
        return
    end = start + count - 1
    tails = []
    for position, row in list(table.entries_with(owner + b":")):
        last = row.start + row.count - 1
        if row.name != owner or end < row.start or start > last:
            continue
        if start <= row.start:
            if end >= last:
                table.remove_at(position)
            else:
                table.replace_at(position, Subid(owner, end + 1, last - end))
        else:
            table.replace_at(position, Subid(owner, row.start, start - row.start))
            if end < last:
                tails.append(Subid(owner, end + 1, last - end))
    # Appending moves rows, so that their positions would be those of others.
    if tails:
        table.extend(tails)
