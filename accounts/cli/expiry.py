# SPDX-License-Identifier: MIT
"""expiry(1), for root; other callers get the distribution's set-gid program."""

from __future__ import annotations

import os

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.cli.setuid import hand_over
from accounts.cli.userargs import find_caller
from accounts.edit.passwords import expiry_state
from accounts.errors import AccountsError, NotPermitted, PasswdFileError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.records import Passwd, Shadow

STATUSES: dict[type[AccountsError], int] = {Usage: 2, NotPermitted: 10, PasswdFileError: 10}
USAGE = """\
Usage: expiry [options]

Options:
  -c, --check                   check the user's password expiration
  -f, --force                   force password change if the user's password
                                is expired
  -h, --help                    display this help message and exit

"""
LONG = {"check": "c", "force": "f", "help": "h"}
STATES = ("", "Your password has expired.", "Your password is inactive.", "Your login has expired.")
PASSWD = "/bin/passwd"


def parse_arguments(session: Session, argv: list[bytes]) -> str:
    """argv -> "c" or "f". Raises Usage, or Done after --help."""
    given = set()
    operands: list[bytes] = []
    for option, _ in scan(argv, "cfh", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        given.add(option)
    if not given:
        raise Usage
    if len(given) > 1:
        raise Usage("options -c and -f conflict")
    if operands:
        raise Usage(f"unexpected argument: {os.fsdecode(operands[0])}")
    return given.pop()


def warning(shadow: Shadow, today: int) -> str:
    """What -c prints of a password that ends soon (shadow's agecheck)."""
    if -1 in (shadow.lstchg, shadow.max, shadow.warn):
        return ""
    if shadow.lstchg == 0:
        return "You must change your password.\n"
    left = shadow.lstchg + shadow.max - today
    if left > shadow.warn or left < 0:
        return ""
    when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
    return f"Your password will expire {when}.\n"


def force_change(session: Session, user: Passwd, shadow: Shadow, state: int) -> int:
    """-f for an expired account: passwd, where that can help; the exit status."""
    session.print(STATES[state])
    if state > 1 or shadow.max < shadow.min:
        session.print("  Contact the system administrator.\n")
        return 1
    session.print("  Choose a new password.\n")
    status = os.spawnv(os.P_WAIT, PASSWD, [PASSWD, os.fsdecode(user.name)])
    return 0 if status == 0 else 1


def body(session: Session, argv: list[bytes]) -> int:
    """Run expiry; the exit status."""
    hand_over(session.tool, session.prog, argv)
    action = parse_arguments(session, argv)
    database = session.store.load(("passwd", "shadow"))
    user = find_caller(session, database)
    shadow = database.shadow.get(user.name)
    if shadow is None:
        return 0
    today = session.today()
    state = expiry_state(user, shadow, today)
    if action == "c":
        session.print(warning(shadow, today))
        return state
    return force_change(session, user, shadow, state) if state else 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("expiry", body, STATUSES, USAGE)
