# SPDX-License-Identifier: MIT
"""The text of a local file as a person has edited it, as with vipw(8). Pure."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import E_FAILURE, Done, Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database


class EditText(Request):
    """Another text for the local file of a database. copy: the path of what was edited, for syslog.

    Under the lock facts.ask gets the layers, and gives the text, or None for no change.
    """

    __slots__ = ("copy", "database")
    database: str
    copy: str

    def look(self, facts: Facts, report: Report) -> None:
        if not facts.is_present(self.database):
            raise Fail(E_FAILURE, f"{facts.shown(self.database)}: No such file or directory")

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.database,), ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        layered = database.tables[self.database]
        text = facts.ask(layered)
        if text is None:
            raise Done
        layered.replace_text(text)
        report.log.append(f"file {self.copy} edited")
