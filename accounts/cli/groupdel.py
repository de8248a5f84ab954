# SPDX-License-Identifier: MIT
"""groupdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.run import Done, Session, run
from accounts.edit.groups import delete_group
from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    GroupRefusal,
    MissingRow,
    NoSuchGroup,
    PrimaryGroup,
    Usage,
)  # fmt: skip
from accounts.model.database import Database
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    Usage: 2, BadArgument: 3, NoSuchGroup: 6, PrimaryGroup: 8, GroupFileError: 10, GroupRefusal: 10,
}  # fmt: skip
USAGE = """\
Usage: groupdel [options] GROUP

Options:
  -h, --help                    display this help message and exit
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -f, --force                   delete group even if it is the primary group of a user

"""
LONG = {"help": "h", "force": "f", "root=": "R", "prefix=": "P"}


class Request:
    """What the command line asks for."""

    name = b""
    force = False


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, _ in scan(argv, "hfR:P:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option == "f":
            request.force = True
    if len(operands) != 1:
        raise Usage
    request.name = operands[0]
    return request


def check(session: Session, database: Database, request: Request) -> int:
    """Whether the group may be deleted; its GID. Raises NoSuchGroup and PrimaryGroup."""
    gid = session.find_group(database, request.name)
    if gid is None:
        raise NoSuchGroup(f"group '{fsdecode(request.name)}' does not exist")
    if not request.force:
        for user in database.primary_users(gid)[:1]:
            raise PrimaryGroup(f"cannot remove the primary group of user '{fsdecode(user.name)}'")
    return gid


def body(session: Session, argv: list[bytes]) -> int:
    """Run groupdel; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    store = session.store
    check(session, store.load(("passwd", "group")), request)
    database = store.open(("group", "gshadow"), read=("passwd",))
    gid = check(session, database, request)
    paths = session.group_paths(database)
    try:
        if not delete_group(database, request.name):
            # Only another NSS service has it.
            raise MissingRow("group", request.name)
        session.commit(database)
    except AccountsError:
        # The type of these is as odd in shadow.
        for path in reversed(paths):
            session.audit("ADD_GROUP", f"removing group from {path}", request.name, success=False)
        session.audit("DEL_GROUP", "", request.name, success=False)
        raise
    name = fsdecode(request.name)
    for path in paths:
        session.log(f"group '{name}' removed from {path}")
        session.audit("DEL_GROUP", f"removing group from {path}", request.name, gid)
    session.log(f"group '{name}' removed")
    session.audit("DEL_GROUP", "", request.name, gid)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("groupdel", body, STATUSES, USAGE)
