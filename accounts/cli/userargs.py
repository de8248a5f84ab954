# SPDX-License-Identifier: MIT
"""What passwd, chsh, chfn, expiry and pwck share: whom they mean, and paths of the target. Hot path."""

from __future__ import annotations

import posix

from accounts.errors import NoSuchUser, NotPermitted
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.session import Session
    from accounts.model.database import Database
    from accounts.model.records import Passwd


def find_caller(session: Session, database: Database) -> Passwd:
    """The row of the name logged in with if its UID is the caller's, else the first row of that UID.

    Raises NotPermitted.
    """
    uid = posix.getuid()
    try:
        row: Passwd | None = database.passwd.get(fsencode(posix.getlogin()))
    except OSError:
        row = None
    if row is None or row.uid != uid:
        row = database.passwd.get_id(uid)
    if row is None:
        session.log(f"Cannot determine the user name of the caller (UID {uid})", 4)
        raise NotPermitted("Cannot determine your user name.")
    return row


def find_account(session: Session, database: Database, name: bytes | None) -> Passwd:
    """The row of that name, without one the caller's. Raises NoSuchUser and NotPermitted."""
    if name is None:
        return find_caller(session, database)
    row: Passwd | None = database.passwd.get(name)
    if row is None:
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist")
    return row


def change_user(session: Session, name: bytes, **fields: bytes) -> None:
    """Change fields of a user's passwd row. Raises PasswdFileError, NoSuchUser and UserRefusal."""
    database = session.store.open(("passwd",))
    row = database.passwd.get(name)
    if row is None:
        path = session.target.shown("passwd")
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist in {path}")
    database.passwd.put(row.replace(**fields))
    session.commit(database)
