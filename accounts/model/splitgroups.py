# SPDX-License-Identifier: MIT
"""Groups in several rows, as MAX_MEMBERS_PER_GROUP of login.defs(5) has them: shadow's gr_open(). Pure.

In a Table such a group is one line, in which a NUL stands for the newlines between its rows.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def join_rows(data: bytes, parse: Callable[[bytes], Any]) -> bytes | None:
    """The file with the rows that agree in name, password and GID joined; None when no two do."""
    rows: dict[Any, list[bytes]] = {}
    for line in data.split(b"\n"):
        record = parse(line)
        # What does not parse stays alone, whatever it equals.
        key = (len(rows),) if record is None else (record.name, record.passwd, record.gid)
        rows.setdefault(key, []).append(line)
    if all(len(lines) == 1 for lines in rows.values()):
        return None
    return b"\n".join(b"\0".join(lines) for lines in rows.values())


def parse_rows(kind: type[Any], line: bytes) -> Any:
    """The one record of joined rows."""
    first, *others = (kind.parse_line(row) for row in line.split(b"\0"))
    more = (member for other in others for member in other.members if member not in first.members)
    return first.replace(members=first.members + tuple(dict.fromkeys(more)))


def format_rows(record: Any, limit: int) -> bytes:
    """The rows of a group, each with at most limit members."""
    if len(record.members) <= limit:
        line: bytes = record.format_line()
        return line
    chunks = [record.members[at : at + limit] for at in range(0, len(record.members), limit)]
    return b"\n".join(record.replace(members=chunk).format_line() for chunk in chunks)
