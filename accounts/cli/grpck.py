# SPDX-License-Identifier: MIT
"""grpck(8): check group and gshadow of both layers and their join, and repair the local one."""

from __future__ import annotations

from accounts.cli.checking import CheckRequest, SessionConsole, run_checks
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
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
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.edit.checks import Checks
    from accounts.model.database import Database

# GroupFileError: a file cannot be written.
STATUSES: dict[type[AccountsError], int] = {
    Usage: 1, BadOption: 1, BadArgument: 3, GroupOpenError: 3, GroupLockError: 4, GroupFileError: 5, GroupRefusal: 5,
}  # fmt: skip
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


def parse_arguments(session: Session, argv: list[bytes]) -> CheckRequest:
    """argv -> CheckRequest. Raises Usage and BadOption, or Done after --help."""
    request = CheckRequest()
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


def body(session: Session, argv: list[bytes]) -> int:
    """Run grpck; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    names = [session.target.shown("group"), session.target.shown("gshadow")]
    names[: len(request.files)] = map(fsdecode, request.files)

    def check(database: Database, users: Database) -> Checks | None:
        if request.sort:
            sort_groups(database)
            return None
        checks = GroupCheck(
            database,
            SessionConsole(session, request.read_only),
            lambda name: session.find_user(users, name) is not None,
            names[0],
            names[1],
            request.quiet,
        )
        checks.run()
        return checks

    return run_checks(session, request, ("group", "gshadow"), ("passwd",), check)


def main() -> NoReturn:
    """Entry point of the shim."""
    run("grpck", body, STATUSES, USAGE)
