# SPDX-License-Identifier: MIT
"""grpconv(8) and grpunconv(8): group passwords to gshadow and back."""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.gshadow import shadow_groups, unshadow_groups
from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    GroupLockError,
    GroupOpenError,
    GroupRefusal,
    Usage,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    GroupOpenError: 1, Usage: 2, BadArgument: 3, GroupFileError: 3, GroupRefusal: 3, GroupLockError: 5,
}  # fmt: skip
USAGE = """\
Usage: {} [options]

Options:
  -h, --help                    display this help message and exit
  -R, --root CHROOT_DIR         directory to chroot into

"""
LONG = {"help": "h", "root=": "R", "prefix=": "P"}
FILES = ("group", "gshadow")


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
    """Run grpconv; the exit status."""
    session.select_root(argv)
    parse_arguments(session, argv)
    database = session.store.open(FILES, create=("gshadow",))
    shadow_groups(database)
    session.commit(database)
    return 0


def convert_back(session: Session, argv: list[bytes]) -> int:
    """Run grpunconv; the exit status."""
    session.select_root(argv)
    parse_arguments(session, argv)
    if session.store.is_present("gshadow"):
        database = session.store.open(FILES)
        unshadow_groups(database)
        session.commit(database)
    return 0


def main() -> NoReturn:
    """Entry point of the shim of grpconv."""
    run("grpconv", convert, STATUSES, USAGE.format("grpconv"))


def main_back() -> NoReturn:
    """Entry point of the shim of grpunconv."""
    run("grpunconv", convert_back, STATUSES, USAGE.format("grpunconv"))
