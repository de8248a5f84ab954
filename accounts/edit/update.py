# SPDX-License-Identifier: MIT
"""Fields of the rows of a user that there is, as a service of root's sets them. Pure."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import E_NOTFOUND, BadArgument, Fail
from accounts.model.records import Shadow
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

FILES = ("passwd", "shadow")


class UpdateRows(Request):
    """Fields of a user's passwd and shadow rows. user: those of passwd, bytes; shadow: the password and days."""

    __slots__ = ("name", "shadow", "user")
    DEFAULTS: ClassVar[dict[str, Any]] = {"user": {}, "shadow": {}}
    name: bytes
    user: Mapping[str, Any]
    shadow: Mapping[str, Any]

    def validate(self, facts: Facts) -> None:
        for field, value in (*self.user.items(), *self.shadow.items()):
            if isinstance(value, bytes) and (b":" in value or b"\n" in value):
                raise BadArgument(f"invalid field '{field}'")

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        row = database.passwd.get(self.name)
        if row is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist in {facts.shown('passwd')}")
        if self.user:
            database.passwd.put(row.replace(**self.user))
        if self.shadow:
            shadow = database.shadow.get(self.name) or Shadow(self.name, b"")
            database.shadow.put(shadow.replace(**self.shadow))
        report.log.append(f"updated the rows of user '{fsdecode(self.name)}'")
