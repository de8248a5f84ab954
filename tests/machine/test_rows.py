# SPDX-License-Identifier: MIT
"""The columns of an account file have the rows that its table has, whatever is in a line."""

from __future__ import annotations

import random

import pytest

from accounts.machine.rows import read_rows
from accounts.model.records import Group, Gshadow, Passwd, Record, Shadow, Subid
from accounts.model.table import Table

ROWS: dict[type[Record], bytes] = {
    Passwd: b"ann:x:1000:1000:Ann:/home/ann:/bin/sh",
    Group: b"crew:x:1000:ann,bob",
    Shadow: b"ann:*:19000:0:99999:7:::",
    Gshadow: b"crew:!:ann:ann,bob",
    Subid: b"ann:100000:65536",
}
ODD = (b"\0", b":", b",", b"+", b"-", b" ", b"\r", b"\n", b"0", b"#", b"\xff", b"x" * 1000)


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_those_of_the_table(kind: type[Record]) -> None:
    chance = random.Random(kind.__name__)
    for _ in range(1500):
        lines = [ROWS[kind]] * 3
        for _ in range(chance.randrange(3)):
            at = chance.randrange(3)
            place = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + chance.choice(ODD) + lines[at][place + chance.randrange(2) :]
        data = b"\n".join(lines) + chance.choice((b"", b"\n"))
        table, rows = Table(kind, data), read_rows(Table(kind, data))
        assert [(at, row.name) for at, row in table.entries()] == list(zip(rows.starts, rows.names, strict=False)), data
        for (_, row), line, index in zip(table.entries(), rows.lines, range(len(rows.lines)), strict=True):
            # What is not odd is written as we write it.
            assert kind.parse_line(line) == row and (index in rows.odd or row.format_line() == line), data
