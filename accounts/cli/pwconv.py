# SPDX-License-Identifier: MIT
"""pwconv(8) and pwunconv(8): passwords to shadow and back."""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.passwords import shadow_users, unshadow_users
from accounts.errors import (
    AccountsError,
    BadArgument,
    PasswdFileError,
    PasswdLockError,
    PasswdOpenError,
    ShadowOpenError,
    Usage,
    UserRefusal,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    Usage: 2, BadArgument: 3, PasswdFileError: 3, PasswdOpenError: 4, ShadowOpenError: 3,
    UserRefusal: 3, PasswdLockError: 5,
}  # fmt: skip
# pwunconv has other statuses for a file that it cannot open.
STATUSES_BACK = STATUSES | {PasswdOpenError: 1, ShadowOpenError: 1}
USAGE = """\
Usage: {} [options]

Options:
  -h, --help                    display this help message and exit
  -R, --root CHROOT_DIR         directory to chroot into

"""
LONG = {"help": "h", "root=": "R", "prefix=": "P"}
FILES = ("passwd", "shadow")


def parse_arguments(session: Session, argv: list[bytes]) -> None:
    """There is nothing to ask for. Raises Usage, or Done after --help."""
    operands: list[bytes] = []
    for option, _ in scan(argv, "hR:P:", LONG, operands):
        if option == "h":
            session.print(USAGE.format(session.prog))
            raise Done
    if operands:
        raise Usage


def convert(session: Session, argv: list[bytes]) -> int:
    """Run pwconv; the exit status."""
    session.select_root(argv)
    parse_arguments(session, argv)
    # A new shadow file belongs to the group of that name.
    database = session.store.open(FILES, read=("group",), create=("shadow",))
    shadow_users(database, session.today(), session.defs.ageing)
    session.commit(database)
    # The backup may hold passwords.
    session.store.hide_backup("passwd")
    return 0


def convert_back(session: Session, argv: list[bytes]) -> int:
    """Run pwunconv; the exit status."""
    session.select_root(argv)
    parse_arguments(session, argv)
    if session.store.is_present("shadow"):
        database = session.store.open(FILES)
        unshadow_users(database)
        session.commit(database)
    return 0


def main() -> NoReturn:
    """Entry point of the shim of pwconv."""
    run("pwconv", convert, STATUSES, USAGE.format("pwconv"))


def main_back() -> NoReturn:
    """Entry point of the shim of pwunconv."""
    run("pwunconv", convert_back, STATUSES_BACK, USAGE.format("pwunconv"))
