# SPDX-License-Identifier: MIT
"""groupadd(8). Hot path."""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.run import Done, Session, free_id, run
from accounts.edit.groups import add_group
from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    GroupRefusal,
    IdInUse,
    NameInUse,
    NoId,
    Usage,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.names import is_valid_group_name
from accounts.model.records import parse_id
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    Usage: 2, BadArgument: 3, IdInUse: 4, NoId: 4, NameInUse: 9, GroupFileError: 10, GroupRefusal: 10,
}  # fmt: skip
USAGE = """\
Usage: groupadd [options] GROUP

Options:
  -f, --force                   exit successfully if the group already exists,
                                and cancel -g if the GID is already used
  -g, --gid GID                 use GID for the new group
  -h, --help                    display this help message and exit
  -K, --key KEY=VALUE           override /etc/login.defs defaults
  -o, --non-unique              allow to create groups with duplicate
                                (non-unique) GID
  -p, --password PASSWORD       use this encrypted password for the new group
  -r, --system                  create a system account
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DI        directory prefix
  -U, --users USERS             list of user members of this group

"""
LONG = {
    "force": "f", "gid=": "g", "help": "h", "key=": "K", "non-unique": "o", "password=": "p", "system": "r",
    "root=": "R", "prefix=": "P", "users=": "U",
}  # fmt: skip


class Request:
    """What the command line asks for."""

    name = b""
    gid: int | None = None
    force = False
    non_unique = False
    system = False
    passwd: bytes | None = None
    users: bytes | None = None


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and BadArgument, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, "fg:hK:op:rR:P:U:", LONG, operands):
        if option == "f":
            request.force = True
        elif option == "g":
            request.gid = parse_id(value)
            if request.gid is None or request.gid == 0xFFFFFFFF:
                raise BadArgument(f"invalid group ID '{fsdecode(value)}'")
        elif option == "h":
            session.print(USAGE)
            raise Done
        elif option == "K":
            session.override_key(value)
        elif option == "o":
            request.non_unique = True
        elif option == "p":
            request.passwd = value
        elif option == "r":
            request.system = True
        elif option == "U":
            request.users = value
    if len(operands) != 1 or (request.non_unique and request.gid is None):
        raise Usage
    request.name = operands[0]
    if not is_valid_group_name(request.name):
        raise BadArgument(f"'{fsdecode(request.name)}' is not a valid group name")
    return request


def check(session: Session, database: Database, request: Request) -> int | None:
    """Whether name and GID are free; the GID to use, None for any. Raises NameInUse, IdInUse, or Done."""
    if session.find_group(database, request.name) is not None:
        if request.force:
            raise Done
        raise NameInUse(f"group '{fsdecode(request.name)}' already exists")
    gid = request.gid
    if gid is not None and not request.non_unique and session.has_gid(database, gid):
        if not request.force:
            raise IdInUse(f"GID '{gid}' already exists")
        return None
    return gid


def body(session: Session, argv: list[bytes]) -> int:
    """Run groupadd; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    store = session.store
    # As the real tool: what exists already is said before any lock is taken. It is checked again under it.
    check(session, store.load(("group",)), request)
    database = store.open(("group", "gshadow"), read=("passwd",) if request.users else ())
    gid = check(session, database, request)
    paths: list[str] = []
    try:
        if gid is None:
            gid = free_id(session, "GID", request.system, database)
        paths = session.group_paths(database)
        users = tuple(user for user in (request.users or b"").split(b",") if user)
        for user in users:
            if session.find_user(database, user) is None:
                # The real tool says this without its name in front.
                session.print_error(f"Invalid member username {fsdecode(user)}\n")
                raise GroupFileError
        add_group(database, request.name, gid, request.passwd, users)
        session.commit(database)
    except AccountsError:
        for path in reversed(paths):
            session.audit("ADD_GROUP", f"adding group to {path}", request.name, success=False)
        session.audit("ADD_GROUP", "", request.name, success=False)
        raise
    name = fsdecode(request.name)
    for path, number in zip(paths, (f", GID={gid}", ""), strict=False):
        session.log(f"group added to {path}: name={name}{number}")
        session.audit("ADD_GROUP", f"adding group to {path}", request.name, gid)
    session.log(f"new group: name={name}, GID={gid}")
    session.audit("ADD_GROUP", "", request.name, gid)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("groupadd", body, STATUSES, USAGE)
