# SPDX-License-Identifier: MIT
"""chsh(1), for root; other callers get the distribution's set-uid program. Hot path."""

from __future__ import annotations

import posix

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.cli.setuid import hand_over
from accounts.cli.userargs import change_user, find_account
from accounts.errors import (
    AccountsError,
    BadArgument,
    NoSuchUser,
    NotPermitted,
    PasswdFileError,
    Usage,
    UserRefusal,
)  # fmt: skip
from accounts.model.names import valid_field
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    NotPermitted: 1, NoSuchUser: 1, PasswdFileError: 1, UserRefusal: 1, Usage: 2, BadArgument: 3,
}  # fmt: skip
USAGE = """\
Usage: chsh [options] [LOGIN]

Options:
  -h, --help                    display this help message and exit
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --shell SHELL             new login shell for the user account

"""
LONG = {"help": "h", "root=": "R", "prefix=": "P", "shell=": "s"}


class Request:
    """What the command line asks for; None where nothing."""

    name: bytes | None = None
    shell: bytes | None = None


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "hR:P:s:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option == "s":
            request.shell = value
    if len(operands) > 1:
        raise Usage
    request.name = operands[0] if operands else None
    return request


def ask_shell(session: Session, name: bytes, current: bytes) -> bytes:
    """The shell typed at the terminal."""
    from accounts.system.terminal import change_field

    session.print(f"Changing the login shell for {fsdecode(name)}\n")
    session.print("Enter the new value, or press ENTER for the default\n")
    return change_field("Login Shell", current)


def body(session: Session, argv: list[bytes]) -> int:
    """Run chsh; the exit status."""
    hand_over(session.tool, session.prog, argv)
    session.select_root(argv)
    request = parse_arguments(session, argv)
    user = find_account(session, session.store.load(("passwd",)), request.name)
    shell = ask_shell(session, user.name, user.shell) if request.shell is None else request.shell
    shown = fsdecode(shell)
    if valid_field(shell, b":,=\n") != 0:
        raise NotPermitted(f"Invalid entry: {shown}")
    if not session.target.is_accessible(shell, posix.F_OK):
        session.warn(f"Warning: {shown} does not exist")
    elif not session.target.is_accessible(shell, posix.X_OK):
        session.warn(f"Warning: {shown} is not executable")
    change_user(session, user.name, shell=shell)
    session.log(f"changed user '{fsdecode(user.name)}' shell to '{shown}'")
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("chsh", body, STATUSES, USAGE)
