# SPDX-License-Identifier: MIT
"""What the checks of pwck and grpck have in common: findings, questions, deletions. Pure.

They talk through a CheckConsole, in the words and order of shadow 4.13's pwck.c and grpck.c: all lines of the local
file, then those of the image's. What is said of a row of the image ends in "(image)"; such a row is never
repaired. What only two layers can get wrong is said of the local row, and is no error to shadow.
"""

from __future__ import annotations

from accounts.edit.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database, Layered
    from accounts.model.records import Row
    from accounts.model.table import Table

    class CheckConsole(Protocol):
        """Where findings go and answers come from."""

        def say(self, text: str) -> None:
            """One line, without newline."""

        def ask(self, question: str, repairable: bool) -> bool:
            """Whether to do it; always False when not repairable."""

        def log(self, text: str) -> None:
            """One line to syslog."""


# How a file's lines are called: broken or repeated ones in findings, deleted ones in syslog.
ENTRIES = {
    "passwd": "password file entry",
    "shadow": "shadow password file entry",
    "group": "group file entry",
    "gshadow": "shadow group file entry",
}
LOGGED = {"passwd": "passwd", "shadow": "shadow", "group": "group", "gshadow": "shadow"}


class CheckFiles(Request):
    """What pwck and grpck look at, and repair as the answers are. facts.ask: the CheckConsole.

    shown: what to call the two files. sort: order their rows, nothing else. The report's result: Checks, or None.
    """

    FILES: tuple[str, str]
    OTHERS: tuple[str, ...]
    shown: tuple[str, str]
    sort: bool

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.FILES, self.OTHERS

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        report.result = self.check_files(database, database, facts, facts.ask)

    def check_files(self, database: Database, others: Database, facts: Facts, console: CheckConsole) -> Checks | None:
        """Check the files of a database, repair them as the console answers. others: has the databases in OTHERS."""
        raise NotImplementedError


class Checks:
    """One run. errors: how many were found; changed: whether anything is to be written."""

    def __init__(self, database: Database, console: CheckConsole) -> None:
        self.errors = 0
        self.changed = False
        self._database = database
        self._console = console

    def _rows(self, layered: Layered, image: bool) -> Iterator[tuple[int, bytes, Any]]:
        """(position, line, record) of the lines of a layer; broken ones are reported and passed over."""
        table = _table(layered, image)
        for position, line, row in lines_of(table):
            if row is not None:
                yield position, line, row
            elif line[:1] not in (b"+", b"-") or layered.name == "gshadow":
                # grpck.c offers the NIS lines of gshadow for deletion too.
                self._offer_deletion(layered, position, line, f"invalid {ENTRIES[layered.name]}", image)

    def _report(self, finding: str, image: bool) -> None:
        self._console.say(finding + " (image)" * image)
        self.errors += 1

    def _offer_deletion(self, layered: Layered, position: int, line: bytes, finding: str, image: bool) -> bool:
        """Whether the line has been deleted."""
        self._report(finding, image)
        if not self._console.ask(f"delete line '{text_of(line)}'? ", not image):
            return False
        self._console.log(f"delete {LOGGED[layered.name]} line '{text_of(line)}'")
        self.changed = True
        layered.local.remove_at(position)
        name = line.partition(b":")[0]
        if layered.local.find(name) is None:
            self._database.base.forget(layered.name, name)
        return True

    def _is_deleted_duplicate(self, layered: Layered, position: int, line: bytes, name: bytes, image: bool) -> bool:
        """Ask once for each other row of the name in that layer; whether this one has been deleted."""
        table = _table(layered, image)
        if not is_duplicate(table, name):
            return False
        finding = f"duplicate {ENTRIES[layered.name].replace(' file', '')}"
        others, at = -1, table.find(name)
        while at is not None:
            others, at = others + 1, table.find(name, at)
        return any(self._offer_deletion(layered, position, line, finding, image) for _ in range(others))


def _table(layered: Layered, image: bool) -> Table:
    return layered.image if image else layered.local


def lines_of(table: Table[Row]) -> Iterator[tuple[int, bytes, Row | None]]:
    """All lines, broken ones too, that have not been removed: (position, bytes, record or None).

    What is changed while this runs is seen where it lies ahead.
    """
    data, position = table.data, 0
    while position < len(data):
        end = data.find(b"\n", position)
        line = data[position : end if end >= 0 else None]
        if table.edits.get(position, position) is not None:
            yield position, line, table.at(position)
        position += len(line) + 1
    for position, record in table.added_entries():
        yield position, record.format_line(), record


def is_duplicate(table: Table, name: bytes) -> bool:
    """Whether more than one valid row has the name."""
    first = table.find(name)
    return first is not None and table.find(name, first) is not None


def text_of(data: bytes) -> str:
    """Bytes of an account file as messages hold them."""
    return data.decode(errors="surrogateescape")
