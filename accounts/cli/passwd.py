# SPDX-License-Identifier: MIT
"""passwd(1), for root; other callers get the distribution's set-uid program. Hot path.

Setting a password speaks as Debian's passwd with pam_unix does.
"""

from __future__ import annotations

import time

from accounts.cli.options import scan
from accounts.cli.session import DAY, Done, Session, run
from accounts.cli.setuid import hand_over
from accounts.cli.userargs import find_caller
from accounts.edit.passwords import StatusChange, can_set_token, change_status, expiry_state, set_token
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    DuplicateRow,
    NoSuchUser,
    NotPermitted,
    PasswdFileError,
    PasswdLockError,
    PasswdOpenError,
    ShadowOpenError,
    Usage,
    UserRefusal,
)  # fmt: skip
from accounts.model.dates import format_day
from accounts.model.records import parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Database
    from accounts.model.records import Passwd


class WrongUse(Usage):
    """Options that do not go together (shadow's E_USAGE; a bad value is its E_BAD_ARG)."""


class TokenError(AccountsError):
    """The password was not set (what shadow says of a failure of PAM)."""


STATUSES: dict[type[AccountsError], int] = {
    NotPermitted: 1, NoSuchUser: 1, WrongUse: 2, BadArgument: 3, PasswdFileError: 3, UserRefusal: 3,
    DuplicateRow: 3, PasswdOpenError: 4, ShadowOpenError: 3, PasswdLockError: 5, Usage: 6, BadOption: 6, TokenError: 10,
}  # fmt: skip
USAGE = """\
Usage: passwd [options] [LOGIN]

Options:
  -a, --all                     report password status on all accounts
  -d, --delete                  delete the password for the named account
  -e, --expire                  force expire the password for the named account
  -h, --help                    display this help message and exit
  -k, --keep-tokens             change password only if expired
  -i, --inactive INACTIVE       set password inactive after expiration
                                to INACTIVE
  -l, --lock                    lock the password of the named account
  -n, --mindays MIN_DAYS        set minimum number of days before password
                                change to MIN_DAYS
  -q, --quiet                   quiet mode
  -r, --repository REPOSITORY   change password in REPOSITORY repository
  -R, --root CHROOT_DIR         directory to chroot into
  -S, --status                  report password status on the named account
  -u, --unlock                  unlock the password of the named account
  -w, --warndays WARN_DAYS      set expiration warning days to WARN_DAYS
  -x, --maxdays MAX_DAYS        set maximum number of days before password
                                change to MAX_DAYS

"""
LONG = {
    "all": "a", "delete": "d", "expire": "e", "help": "h", "inactive=": "i", "keep-tokens": "k", "lock": "l",
    "mindays=": "n", "quiet": "q", "repository=": "r", "root=": "R", "prefix=": "P", "status": "S", "stdin": "s",
    "unlock": "u", "warndays=": "w", "maxdays=": "x",
}  # fmt: skip
DAYS = {"i": "inactive", "n": "min", "w": "warn", "x": "max"}
FLAGS = {"d": "delete", "e": "expire", "l": "lock", "u": "unlock"}
TRIES = 3


class Request:
    """What the command line asks for. given: the letters of the options; change: None when none of them is."""

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.change = StatusChange()
        self.names: list[bytes] = []

    @property
    def changes_status(self) -> bool:
        """Whether any of -d -e -i -l -n -u -w -x is given."""
        return not self.given.isdisjoint(DAYS.keys() | FLAGS.keys())


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and BadOption, or Done after --help."""
    request = Request()
    for option, value in scan(argv, "adehi:kln:qr:R:P:sSuw:x:", LONG, request.names):
        request.given.add(option)
        if option == "h":
            session.print(USAGE)
            raise Done
        if option in DAYS:
            days = parse_long(value)
            if days is None or days < -1:
                raise Usage(f"invalid numeric argument '{fsdecode(value)}'")
            setattr(request.change, DAYS[option], days)
        elif option in FLAGS:
            setattr(request.change, FLAGS[option], True)
        elif option == "r" and value != b"files":
            raise BadOption(f"repository {fsdecode(value)} not supported")
    return request


def check_options(request: Request) -> None:
    """Whether the options go together. Raises WrongUse."""
    given, change = request.given, request.changes_status
    if len(request.names) > 1:
        raise WrongUse
    if "a" in given:
        if change or "S" not in given or request.names:
            raise WrongUse
    elif (
        (change and not request.names)
        or ("S" in given and "k" in given)
        or (change and not given.isdisjoint("Sk"))
        or ("s" in given and (change or not given.isdisjoint("Sk")))
    ):
        raise WrongUse


# -- status ------------------------------------------------------------------------------------------------


def status_line(database: Database, user: Passwd) -> str:
    """The line of -S."""
    shadow = database.shadow.get(user.name)
    name = fsdecode(user.name)
    if shadow is None:
        return f"{name} {kind_of(user.passwd)}\n"
    day = format_day(shadow.lstchg)
    return (
        f"{name} {kind_of(shadow.passwd)} {day} {shadow.min} {shadow.max} {shadow.warn} {shadow.inactive}\n"
    )


def kind_of(passwd: bytes) -> str:
    """L for locked, NP for no password, P for a password."""
    return "L" if passwd[:1] in (b"*", b"!") else "P" if passwd else "NP"


# -- changes -----------------------------------------------------------------------------------------------


def change_account(session: Session, name: bytes, change: StatusChange, in_image: bool) -> None:
    """-d -e -i -l -n -u -w -x. Raises AccountsErrors of STATUSES."""
    store = session.store
    database = None
    if store.is_present("shadow"):
        # An expired password of an image user takes a row in passwd, too.
        locked = ("passwd", "shadow") if in_image and change.can_expire else ("shadow",)
        database = store.open(locked, read=("passwd",))
        if database.shadow.get(name) is None:
            # As in shadow, the password in passwd is meant then.
            store.close()
            database = None
    if database is None:
        database = store.open(("passwd", "shadow"))
    # The day by the clock, which is what PAM goes by.
    if not change_status(database, name, change, int(time.time()) // DAY):
        path = session.target.shown("passwd")
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist in {path}")
    session.commit(database)


def set_password(session: Session, name: bytes, from_stdin: bool) -> None:
    """Ask for a new password and set it. Raises TokenError and others of STATUSES."""
    from accounts.system.coredump import forbid_core_dumps
    from accounts.system.hashing import hash_password, wipe
    from accounts.system.pam import settings_for

    store = session.store
    if not can_set_token(store.load(("passwd", "shadow")), name):
        raise token_error()
    forbid_core_dumps()
    password = read_stdin(session) if from_stdin else ask_password(session)
    if password is None:
        raise token_error()
    try:
        hashed = hash_password(password, settings_for(session.target, session.tool, session.defs))
    except BadArgument as error:
        raise TokenError("password unchanged", (error.message or "",)) from None
    finally:
        wipe(password)
    database = store.open(("passwd", "shadow"))
    if not can_set_token(database, name):
        raise token_error()
    set_token(database, name, hashed, session.today())
    # pam_unix keeps no backups.
    session.commit(database, no_backup=("passwd", "shadow"))
    session.warn("password updated successfully")


def token_error() -> TokenError:
    """The error that says what PAM said."""
    return TokenError("password unchanged", ("Authentication token manipulation error",))


def ask_password(session: Session) -> bytearray | None:
    """A password typed twice, never an empty one; None when it was not."""
    from accounts.system.hashing import wipe
    from accounts.system.terminal import converse

    for _ in range(TRIES):
        first = converse("New password: ")
        second = None if first is None else converse("Retype new password: ")
        if first is not None and first == second:
            wipe(second)
            if first:
                return first
            session.print_error("No password has been supplied.\n")
            continue
        aborted = second is None
        wipe(first or bytearray())
        wipe(second or bytearray())
        session.print_error(
            "Password change has been aborted.\n" if aborted else "Sorry, passwords do not match.\n"
        )
        return None
    return None


def read_stdin(session: Session) -> bytearray | None:
    """The first line of standard input; None when there is no password in it."""
    from accounts.system.terminal import converse

    password = converse("")
    if not password:
        session.print_error("No password has been supplied.\n")
        return None
    return password


def body(session: Session, argv: list[bytes]) -> int:
    """Run passwd; the exit status."""
    hand_over(session.tool, session.prog, argv)
    session.select_root(argv)
    request = parse_arguments(session, argv)
    given = request.given
    database = session.store.load(("passwd", "shadow"))
    caller = find_caller(session, database).name
    check_options(request)
    if "a" in given:
        session.print("".join(status_line(database, user) for user in database.passwd))
        return 0
    name = request.names[0] if request.names else caller
    shown = fsdecode(name)
    user = database.passwd.get(name)
    if user is None:
        raise NoSuchUser(f"user '{shown}' does not exist")
    if "S" in given:
        session.print(status_line(database, user))
        return 0
    if request.changes_status:
        change_account(session, name, request.change, database.passwd.image.find(name) is not None)
        if "q" not in given:
            session.print(f"{session.prog}: password changed.\n")
    elif "k" in given and not expiry_state(user, database.shadow.get(name), session.today()):
        return 0
    else:
        set_password(session, name, "s" in given)
    session.log(f"password for '{shown}' changed by '{fsdecode(caller)}'")
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("passwd", body, STATUSES, USAGE)
