# SPDX-License-Identifier: MIT
"""`accounts materialize`: rows of image users in /etc, for programs that read /etc/passwd and /etc/shadow only.

--expired is the helper of pam_exec(8) (docs/decisions/expired.md): it runs as root at every login, with the name in
PAM_USER, and must neither print nor change anything unless that user of the image has to change the password.
"""

from __future__ import annotations

import posix
import time

from accounts.cli.options import scan
from accounts.cli.session import DAY, Done, Session, run
from accounts.edit.passwords import materialize, must_change
from accounts.errors import AccountsError, NoSuchUser, Usage
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Database

STATUSES: dict[type[AccountsError], int] = {Usage: 2}
USAGE = """\
Usage: accounts materialize [options] USER...
       accounts materialize --expired

Copy the passwd and shadow rows of users of the image to /etc; `accounts revert USER` undoes it.

Options:
  --expired                     the user that PAM_USER names, if the password
                                has expired: for pam_exec(8)
  -h, --help                    display this help message and exit
  -P, --prefix PREFIX_DIR       directory prefix
  -R, --root CHROOT_DIR         directory to chroot into
"""
LONG = {"expired": "e", "help": "h", "prefix=": "P", "root=": "R"}
FILES = ("passwd", "shadow")


def body(session: Session, argv: list[bytes]) -> int:
    """Run the command; the exit status."""
    session.select_root(argv)
    names: list[bytes] = []
    expired = False
    for option, _ in scan(argv, "hP:R:", LONG, names):
        if option == "h":
            session.print(USAGE)
            raise Done
        expired = expired or option == "e"
    if expired == bool(names):
        raise Usage
    if expired:
        names = expired_users(session.store.load(FILES), posix.environ.get(b"PAM_USER", b""))
        if not names or posix.geteuid():
            return 0
    database = session.store.open(FILES)
    copied = []
    for name in names:
        if database.passwd.get(name) is None:
            raise NoSuchUser(f"user '{fsdecode(name)}' does not exist")
        if materialize(database, name):
            copied.append(name)
    session.commit(database)
    for name in copied:
        session.log(f"copied the rows of image user '{fsdecode(name)}' to {session.target.shown('')}")
    return 0


def expired_users(database: Database, name: bytes) -> list[bytes]:
    """That user, if the image has it, its password has expired, and a local row is missing; else nobody."""
    if database.passwd.image.find(name) is None:
        return []
    shadow = database.shadow.get(name)
    # The clock, and not SOURCE_DATE_EPOCH: the environment comes from PAM, and pam_unix goes by the clock.
    if shadow is None or not must_change(shadow, int(time.time()) // DAY):
        return []
    return [name] if any(database.tables[table].local.find(name) is None for table in FILES) else []


def main(argv: list[str]) -> NoReturn:
    """Entry point: argv with the command's name."""
    run("accounts materialize", body, STATUSES, USAGE, argv[1:])
