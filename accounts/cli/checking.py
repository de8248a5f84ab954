# SPDX-License-Identifier: MIT
"""What pwck and grpck have in common: the console, the files to check, the closing line."""

from __future__ import annotations

from accounts.cli.session import Session
from accounts.system.files import NamedFiles
from accounts.system.terminal import yes_or_no

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.edit.checks import Checks
    from accounts.model.database import Database

FOUND = 2


class CheckRequest:
    """What the command line asks for. files: one or two, in place of the system's."""

    read_only = False
    sort = False
    quiet = False
    badname = False
    files: tuple[bytes, ...] = ()


class SessionConsole:
    """Findings to standard output, answers from standard input, deletions to syslog."""

    def __init__(self, session: Session, read_only: bool) -> None:
        self._session = session
        self._read_only = read_only

    def say(self, text: str) -> None:
        self._session.print(text + "\n")

    def ask(self, question: str, repairable: bool) -> bool:
        self._session.print(question)
        return yes_or_no(self._read_only or not repairable)

    def log(self, text: str) -> None:
        self._session.log(text)


def run_checks(
    session: Session,
    request: CheckRequest,
    names: tuple[str, str],
    others: tuple[str, ...],
    check: Callable[[Database, Database], Checks | None],
) -> int:
    """Check (and repair) the named files or the system's; the exit status.

    names: the databases of the files; others: what is looked at besides, in the system's own files. check
    gets the database to check and the one with the others; it answers None when it has sorted. Raises the
    errors of the store.
    """
    store = session.store
    if request.files:
        files = NamedFiles(session.target, dict(zip(names, request.files, strict=False)))
        try:
            database = files.open(request.read_only)
            checks = check(database, store.load(others))
            if checks is None or checks.changed:
                files.commit(database)
        finally:
            files.close()
    else:
        database = store.load((*names, *others), names) if request.read_only else store.open(names, read=others)
        first = database.tables[names[0]]
        if request.read_only and not first.present:
            raise store.open_error(names[0])
        checks = check(database, database)
        if checks is None or checks.changed:
            session.commit(database)
    if checks is None or not checks.errors:
        return 0
    done = "the files have been updated" if checks.changed else "no changes"
    session.print(f"{session.prog}: {done}\n")
    return FOUND
