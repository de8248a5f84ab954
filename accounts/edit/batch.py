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
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

    Row = tuple[int, bytes, bytes]
    # Line of the input, user, and a hash, or what pam_unix says in place of setting one.
    Token = tuple[int, bytes, bytes | str]
    # User, and what pam_unix says of it.
    Failure = tuple[bytes, str]

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
    """All passwords are set, or none when anything is wrong.

    lines: "group:password", None for one that is too long. hashes: whether they are in clear, to be hashed by method
    and rounds, as facts.hash_all() has them.
    """

    __slots__ = ("hashes", "lines", "method", "rounds")
    lines: Sequence[bytes | None]
    hashes: bool
    method: bytes | None
    rounds: int | None

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return GROUP_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        found: dict[int, str | DuplicateRow] = {}
        for number, name, passwd in self._rows(database, facts):
            try:
                gshadow.update_password(database, name, passwd)
            except DuplicateRow as error:
                found[number] = error
        _tell(found, facts)

    def _rows(self, database: Database, facts: Facts) -> list[Row]:
        rows = []
        for number, line in enumerate(self.lines, 1):
            name, colon, passwd = (line or b"").partition(b":")
            if line is None:
                problem = "line too long"
            elif not colon:
                problem = "missing new password"
            elif database.group.get(name) is None:
                problem = f"group '{fsdecode(name)}' does not exist"
            else:
                rows.append((number, name, passwd))
                continue
            facts.warn(f"line {number}: {problem}")
        if len(rows) < len(self.lines):
            raise Fail(E_FAILURE, "error detected, changes ignored")
        if not self.hashes:
            return rows
        made = facts.hash_all([plain for _, _, plain in rows], self.method, self.rounds, len(rows))
        return [(number, name, passwd) for (number, name, _), passwd in zip(rows, made, strict=True)]


class SetTokens(Request):
    """Passwords are set as pam_unix(8) sets them, each by itself. The report's result: line -> Failure."""

    __slots__ = ("tokens",)
    tokens: Sequence[Token]

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return USER_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        report.result = set_tokens(database, self.tokens, facts)

    def no_backup(self, report: Report) -> Collection[str]:
        # pam_unix keeps none.
        return USER_FILES


def parse_lines(lines: Iterable[bytes | None]) -> tuple[list[Row], dict[int, str]]:
    """(the rows of "user:password" lines; line -> what to say of it, for the others). None is a line too long."""
    entries = []
    problems = {}
    for number, line in enumerate(lines, 1):
        name, colon, password = (line or b"").partition(b":")
        if colon:
            entries.append((number, name, password))
        else:
            problems[number] = f"line {number}: {'line too long' if line is None else 'missing new password'}"
    return entries, problems


def check_hashes(entries: list[Row], problems: dict[int, str]) -> list[Row]:
    """The entries whose passwords can be hashes; the others go to problems."""
    from accounts.model.hashes import is_valid_hash

    good = []
    for number, name, password in entries:
        if is_valid_hash(password):
            good.append((number, name, password))
        else:
            problems[number] = f"(line {number}, user {fsdecode(name)}) invalid password hash"
    return good


def set_tokens(database: Database, tokens: Sequence[Token], facts: Facts, stops: bool = False) -> dict[int, Failure]:
    """Set those that can be set; line -> Failure of the others. stops: at the first of these."""
    failures = {}
    today = facts.today() if tokens else 0
    for number, name, token in tokens:
        settable = passwords.can_set_token(database, name)
        if settable and isinstance(token, bytes):
            passwords.set_token(database, name, token, today)
            continue
        failures[number] = name, token if settable and isinstance(token, str) else ""
        if stops:
            break
    return failures


def _tell(found: Mapping[int, str | DuplicateRow], facts: Facts) -> None:
    """Say what is wrong, in the order of the lines. Raises Fail when anything is."""
    for number, problem in sorted(found.items(), key=lambda item: item[0]):
        if isinstance(problem, DuplicateRow):
            facts.complain(problem.text_for(facts.shown))
            problem = f"line {number}: {FileError(problem.database, 'put', problem.name).lines(facts.shown)[0]}"
        facts.warn(problem)
    if found:
        raise Fail(E_FAILURE, "error detected, changes ignored")
