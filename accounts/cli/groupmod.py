# SPDX-License-Identifier: MIT
"""groupmod(8). Hot path."""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.run import Done, Session, run
from accounts.edit.groups import change_group
from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    IdInUse,
    NameInUse,
    NoSuchGroup,
    PasswdFileError,
    Refusal,
    Usage,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.names import is_valid_group_name
from accounts.model.records import MAX_ID, join_members, parse_id
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    Usage: 2, BadArgument: 3, IdInUse: 4, NoSuchGroup: 6, NameInUse: 9, GroupFileError: 10,
    PasswdFileError: 10, Refusal: 10,
}  # fmt: skip
USAGE = """\
Usage: groupmod [options] GROUP

Options:
  -a, --append                  append the users mentioned by -U option to the group \n\
                                without removing existing user members
  -g, --gid GID                 change the group ID to GID
  -h, --help                    display this help message and exit
  -n, --new-name NEW_GROUP      change the name to NEW_GROUP
  -o, --non-unique              allow to use a duplicate (non-unique) GID
  -p, --password PASSWORD       change the password to this (encrypted)
                                PASSWORD
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -U, --users USERS             list of user members of this group

"""
LONG = {
    "append": "a", "gid=": "g", "help": "h", "new-name=": "n", "non-unique": "o", "password=": "p", "root=": "R",
    "prefix=": "P", "users=": "U",
}  # fmt: skip


class Request:
    """What the command line asks for; None where nothing."""

    name = b""
    append = False
    gid: int | None = None
    new_name: bytes | None = None
    non_unique = False
    passwd: bytes | None = None
    users: bytes | None = None


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and BadArgument, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "ag:hn:op:R:P:U:", LONG, operands):
        if option == "a":
            request.append = True
        elif option == "g":
            request.gid = parse_id(value)
            if request.gid is None or request.gid == MAX_ID:
                raise BadArgument(f"invalid group ID '{fsdecode(value)}'")
        elif option == "h":
            session.print(USAGE)
            raise Done
        elif option == "n":
            request.new_name = value
        elif option == "o":
            request.non_unique = True
        elif option == "p":
            request.passwd = value
        elif option == "U":
            request.users = value
    if len(operands) != 1 or (request.non_unique and request.gid is None):
        raise Usage
    request.name = operands[0]
    return request


def check(session: Session, database: Database, request: Request) -> tuple[int, bytes | None, int | None]:
    """(the group's GID, its new name or None, its new GID or None).

    Raises NoSuchGroup, IdInUse, NameInUse and BadArgument.
    """
    old_gid = session.find_group(database, request.name)
    if old_gid is None:
        raise NoSuchGroup(f"group '{fsdecode(request.name)}' does not exist")
    gid, name = request.gid, request.new_name
    if gid == old_gid:
        gid = None
    if gid is not None and not request.non_unique and session.has_gid(database, gid):
        raise IdInUse(f"GID '{gid}' already exists")
    if name == request.name:
        name = None
    if name is not None:
        if not is_valid_group_name(name):
            raise BadArgument(f"invalid group name '{fsdecode(name)}'")
        if session.find_group(database, name) is not None:
            raise NameInUse(f"group '{fsdecode(name)}' already exists")
    return old_gid, name, gid


def new_members(session: Session, database: Database, request: Request) -> tuple[bytes, ...] | None:
    """The complete list of members that -U asks for, None without it. Raises GroupFileError."""
    if request.users is None:
        return None
    users = [user for user in request.users.split(b",") if user]
    for user in users:
        if session.find_user(database, user) is None:
            # The real tool says this without its name in front.
            session.print_error(f"Invalid member username {fsdecode(user)}\n")
            raise GroupFileError
    group = database.group.get(request.name)
    return join_members(group.members if request.append and group is not None else (), users)


def body(session: Session, argv: list[bytes]) -> int:
    """Run groupmod; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    store = session.store
    _, name, gid = check(session, store.load(("group",)), request)
    # As in shadow, only what is going to be changed is locked.
    files = ["group"]
    if request.passwd is not None or name is not None:
        files.append("gshadow")
    if gid is not None:
        files.append("passwd")
    database = store.open(files, read=("gshadow", "passwd"))
    old_gid, name, gid = check(session, database, request)
    changes = describe(session, request, old_gid, name, gid, files)
    try:
        if database.group.get(request.name) is None:
            path = session.target.shown("group")
            raise GroupFileError(f"group '{fsdecode(request.name)}' does not exist in {path}")
        members = new_members(session, database, request)
        change_group(database, request.name, name, gid, request.passwd, members)
        session.commit(database)
    except AccountsError:
        for path, change in reversed(changes):
            session.audit("USER_ACCT", f"changing {path}; {change}", request.name, success=False)
        raise
    for path, change in changes:
        session.log(f"group changed in {path} ({change})")
        session.audit("USER_ACCT", f"changing {path}; {change}", request.name)
    session.audit("USER_ACCT", "modifying group", request.name)
    return 0


def describe(
    session: Session, request: Request, old_gid: int, name: bytes | None, gid: int | None, files: list[str]
) -> list[tuple[str, str]]:
    """(path, what changes in it) of each file."""
    renamed = f", new name: {fsdecode(name)}" if name is not None else ""
    renumbered = f", new gid: {gid}" if gid is not None else ""
    passwd = ", new password" if request.passwd is not None else ""
    group = f"group {fsdecode(request.name)}"
    changes = {
        "group": f"{group}/{old_gid}{renamed}{passwd}{renumbered}",
        "gshadow": f"{group}{renamed}{passwd}",
        "passwd": f"{group}/{old_gid}{renamed}{renumbered}",
    }
    return [
        (session.target.shown(file), changes[file])
        for file in files
        if file == "group" or session.store.is_present(file)
    ]


def main() -> NoReturn:
    """Entry point of the shim."""
    run("groupmod", body, STATUSES, USAGE)
