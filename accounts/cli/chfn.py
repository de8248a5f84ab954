# SPDX-License-Identifier: MIT
"""chfn(1), for root; other callers get the distribution's set-uid program. Hot path."""

from __future__ import annotations

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
Usage: chfn [options] [LOGIN]

Options:
  -f, --full-name FULL_NAME     change user's full name
  -h, --home-phone HOME_PHONE   change user's home phone number
  -o, --other OTHER_INFO        change user's other GECOS information
  -r, --room ROOM_NUMBER        change user's room number
  -R, --root CHROOT_DIR         directory to chroot into
  -u, --help                    display this help message and exit
  -w, --work-phone WORK_PHONE   change user's office phone number

"""
LONG = {
    "full-name=": "f", "home-phone=": "h", "other=": "o", "room=": "r", "root=": "R", "prefix=": "P", "help": "u",
    "work-phone=": "w",
}  # fmt: skip
# The parts of the GECOS field in their order; what is left over and what holds a "=" is the last.
PARTS = "frwho"
LABELS = {"f": "Full Name", "r": "Room Number", "w": "Work Phone", "h": "Home Phone", "o": "Other"}
# How messages call a part, and whether bytes that are not ASCII are only warned about.
CHECKS = (
    ("f", "name", True), ("r", "room number", True), ("w", "work phone", False), ("h", "home phone", False),
)  # fmt: skip
MAX_LENGTH = 80


class Request:
    """What the command line asks for. parts: letter of PARTS -> text."""

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.parts: dict[str, bytes] = {}


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and NotPermitted, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "f:h:o:r:R:P:uw:", LONG, operands):
        if option == "u":
            session.print(USAGE)
            raise Done
        if option in LABELS:
            if option == "o" and len(value) > MAX_LENGTH:
                raise NotPermitted("fields too long")
            request.parts[option] = value
    # Operands behind the first are passed over, as in 4.13.
    request.name = operands[0] if operands else None
    return request


def split_gecos(gecos: bytes, given: dict[str, bytes]) -> dict[str, bytes]:
    """The parts of a GECOS field, those given in place of the old ones.

    A piece with "=" goes to the last part wherever it stands.
    """
    parts = dict.fromkeys(PARTS, b"") | given
    other = [parts["o"]] if parts["o"] else []
    rest: list[bytes] = gecos.split(b",")
    for letter in PARTS[:-1]:
        while rest and b"=" in rest[0]:
            other.append(rest.pop(0))
        if rest:
            piece = rest.pop(0)
            if letter not in given:
                parts[letter] = piece
    if rest and "o" not in given:
        other.append(b",".join(rest))
    parts["o"] = b",".join(other)
    return parts


def join_gecos(parts: dict[str, bytes]) -> bytes:
    """The GECOS field of the parts."""
    return b",".join(parts[letter] for letter in PARTS if letter != "o" or parts["o"])


def ask_parts(session: Session, name: bytes, parts: dict[str, bytes]) -> dict[str, bytes]:
    """All parts, asked for one by one."""
    from accounts.system.terminal import change_field

    session.print(f"Changing the user information for {fsdecode(name)}\n")
    session.print("Enter the new value, or press ENTER for the default\n")
    return {letter: change_field(LABELS[letter], parts[letter]) for letter in PARTS}


def check_parts(session: Session, parts: dict[str, bytes]) -> None:
    """Whether the parts may stand in passwd(5). Raises NotPermitted."""
    for letter, what, foreign in CHECKS:
        shown = fsdecode(parts[letter])
        valid = valid_field(parts[letter], b":,=\n")
        if valid < 0 or (valid > 0 and not foreign):
            raise NotPermitted(f"invalid {what}: '{shown}'")
        if valid > 0:
            session.warn(f"{what} with non-ASCII characters: '{shown}'")
    shown = fsdecode(parts["o"])
    valid = valid_field(parts["o"], b":\n")
    if valid < 0:
        raise NotPermitted(f"'{shown}' contains illegal characters")
    if valid > 0:
        session.warn(f"'{shown}' contains non-ASCII characters")
    if sum(map(len, parts.values())) > MAX_LENGTH:
        raise NotPermitted("fields too long")


def body(session: Session, argv: list[bytes]) -> int:
    """Run chfn; the exit status."""
    hand_over(session.tool, session.prog, argv)
    session.select_root(argv)
    request = parse_arguments(session, argv)
    user = find_account(session, session.store.load(("passwd",)), request.name)
    parts = split_gecos(user.gecos, request.parts)
    if not request.parts:
        parts = ask_parts(session, user.name, parts)
    check_parts(session, parts)
    change_user(session, user.name, gecos=join_gecos(parts))
    session.log(f"changed user '{fsdecode(user.name)}' information")
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("chfn", body, STATUSES, USAGE)
