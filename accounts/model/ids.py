# SPDX-License-Identifier: MIT
"""Allocation of UIDs, GIDs and subordinate ranges as shadow 4.13 does it. Pure.

Source: libmisc/find_new_uid.c, find_new_gid.c, find_new_sub_uids.c, lib/subordinateio.c; but with a set
instead of a look-up in the whole file for each candidate, which makes the real tools quadratic.
"""

from __future__ import annotations

from accounts.errors import NoId
from accounts.model.records import MAX_ID, Subid, parse_id
from accounts.model.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Defs(Protocol):
        """What is needed of login.defs."""

        def get_ulong(self, name: str, default: int) -> int: ...


def id_range(kind: str, system: bool, defs: Defs) -> tuple[int, int]:
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
    defs: Defs,
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
    low, high = id_range(kind, system, defs)
    first = 1 if system else low
    if preferred is not None and first <= preferred <= high and preferred not in used and not is_taken(preferred):
        return preferred
    inside = [number for number in used if low <= number <= high]
    if system:
        start = min(inside, default=high + 1) - 1
        if start < low:
            start = high
        turns = [range(start, low - 1, -1), range(high, low - 1, -1)]
    else:
        start = max(inside, default=low - 1) + 1
        if start > high:
            start = low
        turns = [range(start, high + 1), range(low, high + 1)]
    for turn in turns:
        for number in turn:
            if number not in used and not is_taken(number):
                return number
    raise NoId(f"Can't get unique {kind} (no more available {kind}s)")


def find_subid_range(table: Table, kind: str, defs: Defs) -> tuple[int, int]:
    """(start, count) of a free subordinate range; sorts the table as shadow does on the way.

    kind: "UID" or "GID". Raises NoId.
    """
    low = defs.get_ulong(f"SUB_{kind}_MIN", 100000)
    high = defs.get_ulong(f"SUB_{kind}_MAX", 600100000)
    count = defs.get_ulong(f"SUB_{kind}_COUNT", 65536)
    if low > high or count >= high or low + count - 1 > high:
        raise NoId(
            f"Invalid configuration: SUB_{kind}_MIN ({low}), SUB_{kind}_MAX ({high}), SUB_{kind}_COUNT ({count})"
        )
    start = _first_gap(_sort_ranges(table), low, high, count) if count else None
    if start is None:
        raise NoId(f"Can't get unique subordinate {kind} range")
    return start, count


def _first_gap(ranges: list[tuple[int, int, bytes]], low: int, high: int, count: int) -> int | None:
    for start, size, _ in ranges:
        if min(start, high + 1) - low >= count:
            return low
        low = max(low, start + size)
        if low > high:
            return None
    return low if high - low + 1 >= count else None


def _sort_ranges(table: Table) -> list[tuple[int, int, bytes]]:
    """Sort a subuid or subgid table as shadow does before it looks for a gap; (start, count, owner) of all."""
    try:
        # A hundred thousand rows are usual here, so the plain ones ("name:100000:65536") are read at once.
        fields = [line.split(b":") for line in table.render().rstrip(b"\n").split(b"\n") if line]
        if not any(start[:1] == b"0" or size[:1] == b"0" for _, start, size in fields):
            ranges = [(int(start), int(size), owner) for owner, start, size in fields]
            ordered = sorted(ranges)
            if ordered == ranges:
                return ranges
    except ValueError:
        pass
    table.sort(lambda row: (row.start, row.count, row.name))
    return [(row.start, row.count, row.name) for row in table]


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


def has_subid_range(table: Table, owner: bytes, start: int, count: int) -> bool:
    """Whether the owner's rows cover start..start+count-1 (have_range)."""
    if count == 0:
        return False
    last_wanted = start + count - 1
    while start <= last_wanted:
        row = next(
            (row for _, row in table.entries_with(owner + b":")
             if row.name == owner and row.start <= start <= row.start + row.count - 1),
            None,
        )  # fmt: skip
        if row is None:
            return False
        start = row.start + row.count
    return True


def add_subid_range(table: Table, owner: bytes, start: int, count: int) -> None:
    """Append a range unless the owner has all of it."""
    if not has_subid_range(table, owner, start, count):
        table.append(Subid(owner, start, count))


def remove_subid_range(table: Table, owner: bytes, start: int, count: int) -> None:
    """Take start..start+count-1 from the owner's rows: drop, shorten or split them (remove_range)."""
    if count == 0:
        return
    end = start + count - 1
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
                table.append(Subid(owner, end + 1, last - end))

