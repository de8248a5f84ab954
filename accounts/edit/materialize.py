# SPDX-License-Identifier: MIT
"""Rows of image users are copied to the local layer. Pure."""

from __future__ import annotations

from accounts.edit.passwords import materialize, must_change
from accounts.edit.request import Request
from accounts.errors import E_NOTFOUND, Fail
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

FILES = ("passwd", "shadow")


class CopyUsers(Request):
    """The passwd and shadow rows of users become local ones. names: of the users."""

    __slots__ = ("names",)
    names: tuple[bytes, ...]

    def look(self, facts: Facts, report: Report) -> None:
        """Who asks has looked."""

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def check(self, facts: Facts, report: Report, looked: Any) -> None:
        passwd = facts.view(FILES).passwd
        for name in self.names:
            if passwd.get(name) is None:
                raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist")

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        for name in self.names:
            if materialize(database, name):
                report.log.append(f"copied the rows of image user '{fsdecode(name)}' to {facts.shown('')}")


class DropCopies(Request):
    """Rows that were copied for a while go again, unless they say something else by now. tables: of which files."""

    __slots__ = ("name", "tables")
    name: bytes
    tables: tuple[str, ...]

    def look(self, facts: Facts, report: Report) -> None:
        """Who asks has looked."""

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        for table in self.tables:
            layered = database.tables[table]
            row = layered.local.get(self.name)
            if row is not None and row == layered.image_row(self.name):
                layered.local.remove(self.name)
                database.base.forget(table, self.name)


def expired_users(database: Database, name: bytes, today: int) -> list[bytes]:
    """That user, if the image has it, its password has expired, and a local row is missing; else nobody."""
    if database.passwd.image.find(name) is None:
        return []
    shadow = database.shadow.get(name)
    if shadow is None or not must_change(shadow, today):
        return []
    return [name] if any(database.tables[table].local.find(name) is None for table in FILES) else []
