# SPDX-License-Identifier: MIT
"""The order of the rows of a table, as shadow's tools sort their files. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from accounts.model.records import Row
    from accounts.model.table import Table


def sort_rows(table: Table[Row], key: Callable[[Row], Any]) -> None:
    """Order the rows by key as shadow's commonio_sort: broken rows last, NIS rows and all behind stay."""
    lines = table.render().split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    stop = next((i for i, line in enumerate(lines) if line[:1] in (b"+", b"-")), len(lines))
    rows = []
    broken = []
    for line in lines[:stop]:
        record = table.parse(line)
        if record is None:
            broken.append(line)
        else:
            rows.append((key(record), line))
    ordered = [line for _, line in sorted(rows, key=lambda row: row[0])] + broken
    if ordered != lines[:stop]:
        table.replace_text(b"".join(line + b"\n" for line in ordered + lines[stop:]))


def sort_rows_like(table: Table, names: Iterable[bytes]) -> None:
    """Order the rows as names are (commonio_sort_wrt): first those named, then all other lines as they were."""
    lines = table.render().split(b"\n")
    if not lines[-1]:
        lines.pop()
    places: dict[bytes, list[int]] = {}
    for place, line in enumerate(lines):
        record = table.parse(line)
        if record is not None:
            places.setdefault(record.name, []).append(place)
    first = [places[name].pop(0) for name in names if places.get(name)]
    rest = sorted(set(range(len(lines))).difference(first))
    ordered = [lines[place] for place in first + rest]
    if ordered != lines:
        table.replace_text(b"".join(line + b"\n" for line in ordered))
