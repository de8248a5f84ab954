# SPDX-License-Identifier: MIT
"""groupmems(8). Hot path."""

from __future__ import annotations

import posix

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.cli.setuid import is_root
from accounts.edit.members import add_member, get_pair, put_pair, remove_member, set_admins, set_members
from accounts.errors import (
    AccountsError,
    AlreadyMember,
    BadArgument,
    BadOption,
    DuplicateRow,
    GroupFileError,
    GroupRefusal,
    NoSuchGroup,
    NoSuchUser,
    NotMember,
    NotPermitted,
    Usage,
)  # fmt: skip
from accounts.model.database import Database
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# BadOption: no -g, and the caller has no group of the own name.
STATUSES: dict[type[AccountsError], int] = {
    Usage: 1, GroupFileError: 2, GroupRefusal: 2, BadArgument: 3, NotPermitted: 3, BadOption: 5, NotMember: 6,
    AlreadyMember: 7, NoSuchUser: 8, NoSuchGroup: 9, DuplicateRow: 13,
}  # fmt: skip
USAGE = """\
Usage: groupmems [options] [action]

Options:
  -g, --group groupname         change groupname instead of the user's group
                                (root only)
  -R, --root CHROOT_DIR         directory to chroot into

Actions:
  -a, --add username            add username to the members of the group
  -d, --delete username         remove username from the members of the group
  -h, --help                    display this help message and exit
  -p, --purge                   purge all members from the group
  -l, --list                    list the members of the group
"""
LONG = {
    "add=": "a", "delete=": "d", "group=": "g", "help": "h", "list": "l", "purge": "p", "root=": "R",
    "prefix=": "P",
}  # fmt: skip
FILES = ("group", "gshadow")


class Request:
    """What the command line asks for; None where nothing."""

    name: bytes | None = None
    add: bytes | None = None
    delete: bytes | None = None
    purge = False
    list = False


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and NoSuchUser, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    actions = 0
    for option, value in scan(argv, "a:d:g:hlpR:P:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        actions += option in "adlp"
        if option == "a":
            request.add = value
        elif option == "d":
            request.delete = value
        elif option == "g":
            request.name = value
        elif option == "l":
            request.list = True
        elif option == "p":
            request.purge = True
    if actions > 1 or operands:
        raise Usage
    if request.add is not None and session.find_user(session.store.load(("passwd",)), request.add) is None:
        raise NoSuchUser(f"user '{fsdecode(request.add)}' does not exist")
    return request


def own_group(session: Session) -> bytes:
    """The name of the caller's group where that is the caller's name too. Raises BadOption."""
    database = session.store.load(("passwd", "group"))
    user = database.passwd.get_id(posix.getuid())
    group = database.group.get_id(posix.getgid())
    if user is None or group is None or user.name != group.name:
        raise BadOption("your groupname does not match your username")
    name: bytes = group.name
    return name


def edit(database: Database, request: Request, name: bytes) -> None:
    """Change the members as asked. Raises AlreadyMember, NotMember and GroupRefusal."""
    pair = get_pair(database, name)
    assert pair is not None
    shown = fsdecode(name)
    if request.add is not None:
        if request.add in pair[0].members:
            raise AlreadyMember(f"user '{fsdecode(request.add)}' is already a member of '{shown}'")
        put_pair(database, add_member(pair, request.add))
    elif request.delete is not None:
        if request.delete not in pair[0].members:
            raise NotMember(f"user '{fsdecode(request.delete)}' is not a member of '{shown}'")
        put_pair(database, remove_member(pair, request.delete, admin_too=True))
    elif request.purge:
        put_pair(database, set_admins(set_members(pair, ()), ()))


def body(session: Session, argv: list[bytes]) -> int:
    """Run groupmems; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    name = request.name if request.name is not None else own_group(session)
    if not request.list and not is_root():
        # The real one asks PAM, which lets root only pass.
        raise NotPermitted("only root can use the -g/--group option" if request.name else "Permission denied.")
    database = session.store.load(FILES, FILES) if request.list else session.store.open(FILES)
    group = database.group.get(name)
    if group is None:
        path = session.target.shown("group")
        raise NoSuchGroup(f"group '{fsdecode(name)}' does not exist in {path}")
    if request.list:
        if group.members:
            session.print("  ".join(map(fsdecode, group.members)) + " \n")
        return 0
    edit(database, request, name)
    session.commit(database)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("groupmems", body, STATUSES, USAGE)
