# SPDX-License-Identifier: MIT
"""grpck(8): check group and gshadow of both layers and their join, and repair the local one."""

from __future__ import annotations

import os

from accounts.cli.options import scan
from accounts.cli.run import Done, Session, run
from accounts.edit.groupck import GroupCheck, sort_groups
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    GroupFileError,
    GroupLockError,
    GroupOpenError,
    GroupRefusal,
    Usage,
)  # fmt: skip
from accounts.system.files import NamedFiles
from accounts.system.terminal import yes_or_no

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Database

# GroupFileError: a file cannot be written.
STATUSES: dict[type[AccountsError], int] = {
    Usage: 1, BadOption: 1, BadArgument: 3, GroupOpenError: 3, GroupLockError: 4, GroupFileError: 5, GroupRefusal: 5,
}  # fmt: skip
FOUND = 2
USAGE = """\
Usage: grpck [options] [group [gshadow]]

Options:
  -h, --help                    display this help message and exit
  -r, --read-only               display errors and warnings
                                but do not change files
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --sort                    sort entries by UID
  -S, --silence-warnings        silence controversial/paranoid warnings

"""
LONG = {
    "help": "h", "quiet": "q", "read-only": "r", "root=": "R", "prefix=": "P", "silence-warnings": "S", "sort": "s",
}  # fmt: skip


class Request:
    """What the command line asks for. files: group, or group and gshadow, instead of the system's."""

    read_only = False
    sort = False
    quiet = False
    files: tuple[bytes, ...] = ()


class Console:
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


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and BadOption, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, _ in scan(argv, "hqrR:P:sS", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option == "r":
            request.read_only = True
        elif option == "s":
            request.sort = True
        elif option == "S":
            request.quiet = True
    if request.sort and request.read_only:
        raise BadOption("-s and -r are incompatible")
    if len(operands) > 2:
        raise Usage
    request.files = tuple(operands)
    return request


def check(session: Session, database: Database, users: Database, request: Request) -> tuple[int, bool]:
    """(number of errors, whether to write). users: where members are looked up."""
    if request.sort:
        sort_groups(database)
        return 0, True
    names = [session.target.shown("group"), session.target.shown("gshadow")]
    names[: len(request.files)] = map(os.fsdecode, request.files)
    run_of_checks = GroupCheck(
        database,
        Console(session, request.read_only),
        lambda name: session.find_user(users, name) is not None,
        names[0],
        names[1],
        request.quiet,
    )
    run_of_checks.run()
    return run_of_checks.errors, run_of_checks.changed


def open_system(session: Session, read_only: bool) -> Database:
    """The system's files of both layers, locked unless read_only. Raises GroupOpenError."""
    names = ("group", "gshadow")
    database = session.store.load((*names, "passwd")) if read_only else session.store.open(names, read=("passwd",))
    if read_only and not database.group.present:
        raise GroupOpenError(f"cannot open {session.target.shown('group')}")
    return database


def body(session: Session, argv: list[bytes]) -> int:
    """Run grpck; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    if request.files:
        files = NamedFiles(dict(zip(("group", "gshadow"), request.files, strict=False)))
        try:
            database = files.open(request.read_only)
            errors, changed = check(session, database, session.store.load(("passwd",)), request)
            if changed:
                files.commit(database)
        finally:
            files.close()
    else:
        database = open_system(session, request.read_only)
        errors, changed = check(session, database, database, request)
        if changed:
            session.commit(database)
    if errors:
        done = "the files have been updated" if changed else "no changes"
        session.print(f"{session.prog}: {done}\n")
    return FOUND if errors else 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("grpck", body, STATUSES, USAGE)
