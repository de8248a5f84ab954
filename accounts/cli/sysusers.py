# SPDX-License-Identifier: MIT
"""`accounts sysusers`: the memberships of sysusers.d(5) that systemd-sysusers has lost.

systemd-sysusers adds a member (`m USER GROUP`) only to a group that has a row in /etc/group, and says nothing of one
that the image has. accounts-sysusers.service runs this behind it.
"""

from __future__ import annotations

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.members import add_member, get_pair, put_pair
from accounts.errors import AccountsError, Usage
from accounts.image.reader import Reader
from accounts.image.sysusers import parse_lines
from accounts.image.uses import read_all
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Database

    Membership = tuple[bytes, bytes]

STATUSES: dict[type[AccountsError], int] = {Usage: 2}
USAGE = """\
Usage: accounts sysusers [options]

Add the members (m lines) of sysusers.d that are not in their groups yet, where
the user and the group exist.

Options:
  -h, --help                    display this help message and exit
  -P, --prefix PREFIX_DIR       directory prefix
  -R, --root CHROOT_DIR         directory to chroot into
"""
LONG = {"help": "h", "prefix=": "P", "root=": "R"}


def listed_memberships(root: int) -> list[Membership]:
    """(user, group) of each m line in effect below an open root, in the order in which systemd-sysusers reads them."""
    with Reader(root) as tree:
        lines = [line for _, text in read_all(tree, "sysusers.d", (".conf",)) for line in parse_lines(text)]
    return [(fsencode(line.name), fsencode(line.id)) for line in lines if line.kind == "m"]


def missing_memberships(database: Database, listed: list[Membership]) -> list[Membership]:
    """Those whose user and group exist and are not joined."""
    missing = []
    for user, group in listed:
        row = database.group.get(group)
        if row is not None and user not in row.members and database.passwd.get(user) is not None:
            missing.append((user, group))
    return missing


def body(session: Session, argv: list[bytes]) -> int:
    """Run the command; the exit status."""
    session.select_root(argv)
    operands: list[bytes] = []
    for option, _ in scan(argv, "hP:R:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
    if operands:
        raise Usage
    listed = listed_memberships(session.target.root)
    if not missing_memberships(session.store.load(("passwd", "group")), listed):
        return 0
    database = session.store.open(("group", "gshadow"), read=("passwd",))
    missing = missing_memberships(database, listed)
    for user, group in missing:
        pair = get_pair(database, group)
        # The same line may be there twice.
        if pair is not None and user not in pair[0].members:
            put_pair(database, add_member(pair, user))
    session.commit(database)
    for user, group in missing:
        session.log(f"sysusers.d: user '{fsdecode(user)}' added to group '{fsdecode(group)}'")
    return 0


def main(argv: list[str]) -> NoReturn:
    """Entry point: argv with the command's name."""
    run("accounts sysusers", body, STATUSES, USAGE, argv[1:])
