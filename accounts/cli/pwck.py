# SPDX-License-Identifier: MIT
"""pwck(8): check passwd and shadow of both layers and their join, and repair the local one."""

from __future__ import annotations

import posix
import time

from accounts.cli.checking import CheckRequest, SessionConsole, run_checks
from accounts.cli.options import scan
from accounts.cli.session import DAY, Done, Session, run
from accounts.edit.passwdck import PasswdCheck, System, sort_users
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    PasswdFileError,
    PasswdLockError,
    PasswdOpenError,
    Usage,
    UserRefusal,
)  # fmt: skip
from accounts.model.records import Shadow
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.edit.checks import Checks
    from accounts.model.database import Database

# PasswdFileError: a file cannot be written.
STATUSES: dict[type[AccountsError], int] = {
    Usage: 1, BadOption: 1, BadArgument: 3, PasswdOpenError: 3, PasswdLockError: 4, PasswdFileError: 5,
    UserRefusal: 5,
}  # fmt: skip
USAGE = """\
Usage: pwck [options] [passwd [shadow]]

Options:
  -b, --badname                 allow bad names
  -h, --help                    display this help message and exit
  -q, --quiet                   report errors only
  -r, --read-only               display errors and warnings
                                but do not change files
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --sort                    sort entries by UID

"""
LONG = {
    "badname": "b", "help": "h", "quiet": "q", "read-only": "r", "root=": "R", "prefix=": "P", "sort": "s",
}  # fmt: skip


def parse_arguments(session: Session, argv: list[bytes]) -> CheckRequest:
    """argv -> CheckRequest. Raises Usage and BadOption, or Done after --help."""
    request = CheckRequest()
    operands: list[bytes] = []
    for option, _ in scan(argv, "behqrR:P:s", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option == "b":
            request.badname = True
        elif option in ("e", "q"):
            request.quiet = True
        elif option == "r":
            request.read_only = True
        elif option == "s":
            request.sort = True
    if request.sort and request.read_only:
        raise BadOption("-s and -r are incompatible")
    if len(operands) > 2:
        raise Usage
    request.files = tuple(operands)
    return request


def surroundings(session: Session, groups: Database) -> System:
    """What the checks ask besides the two files."""
    system = System()
    defs = session.defs
    gids = groups.group.ids()
    system.has_gid = lambda gid: gid in gids or session.has_gid(groups, gid)
    system.exists = lambda path: session.target.is_accessible(path, posix.F_OK)
    system.new_row = lambda name: Shadow(name, b"", session.today() or -1, *defs.ageing())
    # shadow does not look at SOURCE_DATE_EPOCH here.
    system.today = int(time.time()) // DAY
    system.system_uids = range(defs.get_ulong("SYS_UID_MIN", 101), defs.get_ulong("SYS_UID_MAX", 999) + 1)
    system.nonexistent = defs.get("NONEXISTENT")
    return system


def body(session: Session, argv: list[bytes]) -> int:
    """Run pwck; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    names = [session.target.shown("passwd"), session.target.shown("shadow")]
    names[: len(request.files)] = map(fsdecode, request.files)

    def check(database: Database, groups: Database) -> Checks | None:
        if request.sort:
            sort_users(database)
            return None
        system = surroundings(session, groups)
        system.passwd_file, system.shadow_file = names
        console = SessionConsole(session, request.read_only)
        checks = PasswdCheck(
            database, console, system, request.quiet, request.badname, database.shadow.present
        )
        checks.run()
        return checks

    return run_checks(session, request, ("passwd", "shadow"), ("group",), check)


def main() -> NoReturn:
    """Entry point of the shim."""
    run("pwck", body, STATUSES, USAGE)
