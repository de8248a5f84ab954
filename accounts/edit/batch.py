# SPDX-License-Identifier: MIT
"""Passwords of many accounts in one transaction, as chpasswd(8) and chgpasswd(8) set them. Pure.

A row is (line of the input, name, encrypted password).
"""

from __future__ import annotations

from accounts.edit import gshadow, passwords
from accounts.edit.request import Request
from accounts.errors import E_FAILURE, DuplicateRow, Fail, FileError
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

    Row = tuple[int, bytes, bytes]

USER_FILES = ("passwd", "shadow")
GROUP_FILES = ("group", "gshadow")


class SetPasswords(Request):
    """All passwords are set, or none when anything is wrong. problems: line -> what to say of it."""

    __slots__ = ("problems", "rows")
    rows: Sequence[Row]
    problems: Mapping[int, str]

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return USER_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        today = facts.today() if self.rows else 0
        found: dict[int, str | DuplicateRow] = dict(self.problems)
        for number, name, passwd in self.rows:
            try:
                if not passwords.update_password(database, name, passwd, today, facts.defs.ageing):
                    found[number] = f"line {number}: user '{fsdecode(name)}' does not exist"
            except DuplicateRow as error:
                found[number] = error
        _tell(found, facts)


class SetGroupPasswords(Request):
    """All passwords are set, or none when anything is wrong. read: gives the rows, under the locks."""

    __slots__ = ("read",)
    read: Callable[[Database], Sequence[Row]]

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return GROUP_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        found: dict[int, str | DuplicateRow] = {}
        for number, name, passwd in self.read(database):
            try:
                gshadow.update_password(database, name, passwd)
            except DuplicateRow as error:
                found[number] = error
        _tell(found, facts)


class SetTokens(Request):
    """Passwords are set as pam_unix(8) sets them, each by itself. apply: sets those that can be set."""

    __slots__ = ("apply",)
    apply: Callable[[Database], None]

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return USER_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self.apply(database)

    def no_backup(self, report: Report) -> Collection[str]:
        # pam_unix keeps none.
        return USER_FILES


def _tell(found: Mapping[int, str | DuplicateRow], facts: Facts) -> None:
    """Say what is wrong, in the order of the lines. Raises Fail when anything is."""
    for number, problem in sorted(found.items(), key=lambda item: item[0]):
        if isinstance(problem, DuplicateRow):
            facts.complain(problem.text_for(facts.shown))
            problem = f"line {number}: {FileError(problem.database, 'put', problem.name).lines(facts.shown)[0]}"
        facts.warn(problem)
    if found:
        raise Fail(E_FAILURE, "error detected, changes ignored")
