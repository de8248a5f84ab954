# SPDX-License-Identifier: MIT
"""gpasswd(1), for root; other callers get the distribution's set-uid program. Hot path."""

from __future__ import annotations

import posix

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.cli.setuid import hand_over
from accounts.edit.members import (
    add_member,
    get_pair,
    put_pair,
    remove_member,
    set_admins,
    set_members,
    set_password,
)  # fmt: skip
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    GroupFileError,
    GroupRefusal,
    NotMember,
    NotPermitted,
    Usage,
)  # fmt: skip
from accounts.model.database import Database
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.edit.members import Pair

# BadOption: -A without gshadow, shadow's E_GSHADOW_NOTFOUND.
STATUSES: dict[type[AccountsError], int] = {
    NotPermitted: 1, GroupFileError: 1, GroupRefusal: 1, Usage: 2, BadArgument: 3, BadOption: 17,
}  # fmt: skip
USAGE = """\
Usage: gpasswd [option] GROUP

Options:
  -a, --add USER                add USER to GROUP
  -d, --delete USER             remove USER from GROUP
  -h, --help                    display this help message and exit
  -Q, --root CHROOT_DIR         directory to chroot into
  -r, --remove-password         remove the GROUP's password
  -R, --restrict                restrict access to GROUP to its members
  -M, --members USER,...        set the list of members of GROUP
  -A, --administrators ADMIN,...
                                set the list of administrators for GROUP
Except for the -A and -M options, the options cannot be combined.
"""
LONG = {
    "add=": "a", "administrators=": "A", "delete=": "d", "help": "h", "members=": "M", "root=": "Q",
    "prefix=": "P", "remove-password": "r", "restrict": "R",
}  # fmt: skip
TRIES = 3


class Request:
    """What the command line asks for; None where nothing."""

    name = b""
    add: bytes | None = None
    delete: bytes | None = None
    members: bytes | None = None
    admins: bytes | None = None
    remove_password = False
    restrict = False
    # An encrypted password, once it has been asked for.
    passwd: bytes | None = None


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Users are looked up on the way. Raises Usage, BadArgument, BadOption; Done after -h."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "a:A:d:ghM:Q:P:rR", LONG, operands):
        if option == "a":
            check_users(session, [value])
            request.add = value
        elif option == "A":
            if not session.store.is_present("gshadow"):
                raise BadOption("shadow group passwords required for -A")
            check_users(session, value.removesuffix(b",").split(b",") if value else [])
            request.admins = value
        elif option == "d":
            request.delete = value
        elif option == "h":
            session.print(USAGE)
            raise Done
        elif option == "M":
            check_users(session, value.removesuffix(b",").split(b",") if value else [])
            request.members = value
        elif option == "r":
            request.remove_password = True
        elif option == "R":
            request.restrict = True
    actions = (
        request.add is not None, request.delete is not None, request.remove_password, request.restrict,
        request.admins is not None or request.members is not None,
    )  # fmt: skip
    if sum(actions) > 1 or len(operands) != 1:
        raise Usage
    request.name = operands[0]
    return request


def check_users(session: Session, users: list[bytes]) -> None:
    """Raises BadArgument with a line for each user that does not exist."""
    database = session.store.load(("passwd",))
    lines = [
        f"user '{fsdecode(user)}' does not exist"
        for user in users
        if session.find_user(database, user) is None
    ]
    if lines:
        raise BadArgument(None, tuple(lines))


def find_pair(session: Session, database: Database, name: bytes) -> Pair:
    """The group's rows as they are. Raises BadArgument."""
    pair = get_pair(database, name)
    if pair is None:
        path = session.target.shown("group")
        raise BadArgument(f"group '{fsdecode(name)}' does not exist in {path}")
    return pair


def edit(pair: Pair, request: Request) -> Pair:
    """The group's rows as they are to be. Raises BadArgument."""
    if request.remove_password:
        return set_password(pair, b"")
    if request.restrict:
        return set_password(pair, b"!")
    if request.add is not None:
        return add_member(pair, request.add)
    if request.delete is not None:
        try:
            return remove_member(pair, request.delete)
        except NotMember:
            user, group = fsdecode(request.delete), fsdecode(request.name)
            raise BadArgument(f"user '{user}' is not a member of '{group}'") from None
    if request.admins is not None:
        pair = set_admins(pair, tuple(request.admins.split(b",")) if request.admins else ())
    if request.members is not None:
        pair = set_members(pair, tuple(request.members.split(b",")) if request.members else ())
    if request.passwd is not None:
        pair = set_password(pair, request.passwd)
    return pair


def ask_password(session: Session, group: str) -> bytes:
    """A new password from the terminal, typed twice, encrypted. Raises NotPermitted."""
    from accounts.system.coredump import forbid_core_dumps
    from accounts.system.hashing import hash_password, settings_from, wipe
    from accounts.system.terminal import read_password

    if not (posix.isatty(0) and posix.isatty(1)):
        raise NotPermitted("Not a tty")
    forbid_core_dumps()
    session.print(f"Changing the password for group {group}\n")
    for turn in range(TRIES):
        first = read_password("New Password: ")
        if first is None:
            raise NotPermitted
        second = read_password("Re-enter new password: ")
        try:
            if second is None:
                raise NotPermitted
            if first == second:
                settings = settings_from(session.defs)
                session.print_error("".join(settings.notes))
                return hash_password(first, settings)
        finally:
            wipe(first)
            wipe(second or bytearray())
        if turn + 1 < TRIES:
            session.print("They don't match; try again\n")
    raise NotPermitted("Try again later")


def describe(request: Request) -> list[tuple[str, str]]:
    """(what was done, what failed) for syslog and audit."""
    group = fsdecode(request.name)
    if request.add is not None:
        user = fsdecode(request.add)
        return [(f"user {user} added by root to group {group}", f"failed to add user {user} to group {group}")]
    if request.delete is not None:
        user = fsdecode(request.delete)
        return [
            (f"user {user} removed by root from group {group}", f"failed to remove user {user} from group {group}")
        ]
    if request.remove_password:
        return [(f"password of group {group} removed by root", f"failed to remove password of group {group}")]
    if request.restrict:
        return [(f"access to group {group} restricted by root", f"failed to restrict access to group {group}")]
    if request.passwd is not None:
        return [(f"password of group {group} changed by root", f"failed to change password of group {group}")]
    lists = (("administrators", request.admins), ("members", request.members))
    return [
        (
            f"{what} of group {group} set by root to {fsdecode(users)}",
            f"failed to set the {what} of group {group} to {fsdecode(users)}",
        )
        for what, users in lists
        if users is not None
    ]


def body(session: Session, argv: list[bytes]) -> int:
    """Run gpasswd; the exit status."""
    hand_over(session.tool, session.prog, argv)
    session.select_root(argv, letter=b"-Q")
    request = parse_arguments(session, argv)
    group = fsdecode(request.name)
    store = session.store
    files = ("group", "gshadow")
    pair = find_pair(session, store.load(files, files), request.name)
    if request.add is not None:
        session.print(f"Adding user {fsdecode(request.add)} to group {group}\n")
    elif request.delete is not None:
        session.print(f"Removing user {fsdecode(request.delete)} from group {group}\n")
    edit(pair, request)
    if not describe(request):
        request.passwd = ask_password(session, group)
    paths: list[str] = []
    about_users = not (request.remove_password or request.restrict or request.passwd is not None)
    kind = "USER_ACCT" if about_users else "USER_CHAUTHTOK"
    try:
        database = store.open(files)
        paths = session.group_paths(database)
        put_pair(database, edit(find_pair(session, database, request.name), request))
        session.commit(database)
    except AccountsError:
        for _, failed in describe(request):
            session.log(f"root {failed}", 3)
        for path in paths:
            for _, failed in describe(request):
                session.audit(kind, f"root {failed} in {path}", request.name, success=False)
        raise
    for done, _ in describe(request):
        session.log(done)
        session.audit(kind, done, request.name)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("gpasswd", body, STATUSES, USAGE)
