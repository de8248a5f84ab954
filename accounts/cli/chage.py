# SPDX-License-Identifier: MIT
"""chage(1), for root; other callers get the distribution's set-uid program. Hot path."""

from __future__ import annotations

import time

from accounts.cli.options import scan
from accounts.cli.session import DAY, Done, Session, run
from accounts.cli.setuid import hand_over
from accounts.edit.passwords import NEVER, change_ageing
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    NoSuchUser,
    NotPermitted,
    PasswdFileError,
    Usage,
    UserRefusal,
)  # fmt: skip
from accounts.model.dates import format_day, parse_day
from accounts.model.records import LONG_MAX, Shadow, parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Database
    from accounts.model.records import Passwd

# BadOption: there is no shadow file, shadow's E_SHADOW_NOTFOUND.
STATUSES: dict[type[AccountsError], int] = {
    NotPermitted: 1, NoSuchUser: 1, PasswdFileError: 1, UserRefusal: 1, Usage: 2, BadArgument: 3, BadOption: 15,
}  # fmt: skip
USAGE = """\
Usage: chage [options] LOGIN

Options:
  -d, --lastday LAST_DAY        set date of last password change to LAST_DAY
  -E, --expiredate EXPIRE_DATE  set account expiration date to EXPIRE_DATE
  -h, --help                    display this help message and exit
  -i, --iso8601                 use YYYY-MM-DD when printing dates
  -I, --inactive INACTIVE       set password inactive after expiration
                                to INACTIVE
  -l, --list                    show account aging information
  -m, --mindays MIN_DAYS        set minimum number of days before password
                                change to MIN_DAYS
  -M, --maxdays MAX_DAYS        set maximum number of days before password
                                change to MAX_DAYS
  -R, --root CHROOT_DIR         directory to chroot into
  -W, --warndays WARN_DAYS      set expiration warning days to WARN_DAYS

"""
LONG = {
    "lastday=": "d", "expiredate=": "E", "help": "h", "inactive=": "I", "list": "l", "mindays=": "m",
    "maxdays=": "M", "root=": "R", "prefix=": "P", "warndays=": "W", "iso8601": "i",
}  # fmt: skip
AUDIT = "USER_CHAUTHTOK"
# Fields and what shadow's audit calls them, in its order.
AUDITED = {
    "max": "change max age", "min": "change min age", "lstchg": "change last change date",
    "warn": "change passwd warning", "inactive": "change inactive days", "expire": "change passwd expiration",
}  # fmt: skip
DATES = {"d": "lstchg", "E": "expire"}
NUMBERS = {"I": "inactive", "m": "min", "M": "max", "W": "warn"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MUST_CHANGE = "password must be changed"


class Request:
    """What the command line asks for. changes: fields of shadow(5) -> days."""

    def __init__(self) -> None:
        self.name = b""
        self.list = False
        self.iso = False
        self.changes: dict[str, int] = {}


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "d:E:hiI:lm:M:R:P:W:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option in DATES:
            day = parse_day(value)
            if day < -1:
                raise Usage(f"invalid date '{fsdecode(value)}'")
            request.changes[DATES[option]] = day
        elif option in NUMBERS:
            days = parse_long(value)
            if days is None or days < -1:
                raise Usage(f"invalid numeric argument '{fsdecode(value)}'")
            request.changes[NUMBERS[option]] = days
        elif option == "i":
            request.iso = True
        elif option == "l":
            request.list = True
    if len(operands) != 1:
        raise Usage
    if request.list and request.changes:
        raise Usage('do not include "l" with other flags')
    request.name = operands[0]
    return request


def find_ageing(session: Session, database: Database, name: bytes) -> tuple[Passwd, Shadow]:
    """The user's passwd and shadow rows, the latter with nothing set if there is none. Raises NoSuchUser."""
    user = database.passwd.get(name)
    if user is None:
        path = session.target.shown("passwd")
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist in {path}")
    return user, database.shadow.get(name) or Shadow(name, b"")


def list_lines(row: Shadow, iso: bool) -> str:
    """What -l prints."""
    expires = inactive = "never"
    if row.lstchg == 0:
        expires = inactive = MUST_CHANGE
    elif row.lstchg > 0 and 0 <= row.max < NEVER:
        expires = show_day(row.lstchg + row.max, iso)
        if row.inactive >= 0:
            inactive = show_day(row.lstchg + row.max + row.inactive, iso)
    changed = "never" if row.lstchg < 0 else show_day(row.lstchg, iso) if row.lstchg else MUST_CHANGE
    return (
        f"Last password change\t\t\t\t\t: {changed}\n"
        f"Password expires\t\t\t\t\t: {expires}\n"
        f"Password inactive\t\t\t\t\t: {inactive}\n"
        f"Account expires\t\t\t\t\t\t: {show_day(row.expire, iso) if row.expire >= 0 else 'never'}\n"
        f"Minimum number of days between password change\t\t: {row.min}\n"
        f"Maximum number of days between password change\t\t: {row.max}\n"
        f"Number of days of warning before password expires\t: {row.warn}\n"
    )


def show_day(day: int, iso: bool) -> str:
    """A day since the epoch as -l shows it, with -i as YYYY-MM-DD."""
    if iso:
        return format_day(day)
    date = time.gmtime(day * DAY)
    return f"{MONTHS[date.tm_mon - 1]} {date.tm_mday:02}, {date.tm_year}"


def ask_changes(session: Session, row: Shadow) -> dict[str, int]:
    """All fields, asked for one by one. Raises NotPermitted for an answer that is none."""
    session.print(f"Changing the aging information for {fsdecode(row.name)}\n")
    session.print("Enter the new value, or press ENTER for the default\n\n")
    return {
        "min": ask_number("Minimum Password Age", row.min),
        "max": ask_number("Maximum Password Age", row.max),
        "lstchg": ask_date("Last Password Change (YYYY-MM-DD)", row.lstchg),
        "warn": ask_number("Password Expiration Warning", row.warn),
        "inactive": ask_number("Password Inactive", row.inactive),
        "expire": ask_date("Account Expiration Date (YYYY-MM-DD)", row.expire),
    }


def ask_number(label: str, current: int) -> int:
    """An answer that is a number of days. Raises NotPermitted."""
    from accounts.system.terminal import change_field

    days = parse_long(change_field(label, b"%d" % current))
    if days is None or days < -1:
        raise NotPermitted("error changing fields")
    return days


def ask_date(label: str, current: int) -> int:
    """An answer that is a day since the epoch, -1 for none. Raises NotPermitted."""
    from accounts.system.terminal import change_field

    shown = "-1" if current == -1 or current > LONG_MAX // DAY else format_day(current)
    answer = change_field(label, shown.encode())
    day = parse_day(answer)
    if day <= -1 and answer != b"-1":
        raise NotPermitted("error changing fields")
    return day


def body(session: Session, argv: list[bytes]) -> int:
    """Run chage; the exit status."""
    hand_over(session.tool, session.prog, argv)
    session.select_root(argv)
    request = parse_arguments(session, argv)
    store = session.store
    if not store.is_present("shadow"):
        raise BadOption("the shadow password file is not present")
    files = ("passwd", "shadow")
    uid: int | None = None
    try:
        database = store.load(files, files) if request.list else store.open(files)
        user, row = find_ageing(session, database, request.name)
        uid = user.uid
        if request.list:
            session.audit(AUDIT, "display aging info", request.name, uid)
            session.print(list_lines(row, request.iso))
            return 0
        changes = request.changes or ask_changes(session, row)
        change_ageing(database, user, row.replace(**changes), int(time.time()) // DAY)
        session.commit(database)
    except AccountsError:
        # Without an id shadow has no name yet, either.
        session.audit(AUDIT, "change age", b"", uid, success=False)
        raise
    if request.changes:
        for field, operation in AUDITED.items():
            if field in changes:
                session.audit(AUDIT, operation, request.name, uid)
    else:
        session.audit(AUDIT, "change all aging information", request.name, uid)
    session.log(f"changed password expiry for {fsdecode(request.name)}")
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("chage", body, STATUSES, USAGE)
