# SPDX-License-Identifier: MIT
"""What people change about themselves besides the password: login shell and GECOS field. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import E_NOTFOUND, Fail
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database


class _SetField(Request):
    """One field of a user's passwd row."""

    __slots__ = ()

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("passwd",), ()

    def _put(self, database: Database, facts: Facts, **fields: bytes) -> None:
        row = database.passwd.get(self.name)
        if row is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist in {facts.shown('passwd')}")
        database.passwd.put(row.replace(**fields))


class SetShell(_SetField):
    """The login shell of a user, as chsh(1) sets it."""

    __slots__ = ("name", "shell")
    name: bytes
    shell: bytes

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self._put(database, facts, shell=self.shell)
        report.log.append(f"changed user '{fsdecode(self.name)}' shell to '{fsdecode(self.shell)}'")


class SetGecos(_SetField):
    """The GECOS field of a user, as chfn(1) sets it."""

    __slots__ = ("gecos", "name")
    name: bytes
    gecos: bytes

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self._put(database, facts, gecos=self.gecos)
        report.log.append(f"changed user '{fsdecode(self.name)}' information")
