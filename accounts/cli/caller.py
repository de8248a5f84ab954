# SPDX-License-Identifier: MIT
"""Who calls: the user that passwd, chsh, chfn and expiry mean when none is named. Hot path."""

from __future__ import annotations

import os

from accounts.errors import NotPermitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.run import Session
    from accounts.model.database import Database
    from accounts.model.records import Passwd


def find_caller(session: Session, database: Database) -> Passwd:
    """The row of the name logged in with if its UID is the caller's, else the first row of that UID.

    Raises NotPermitted.
    """
    uid = os.getuid()
    try:
        row: Passwd | None = database.passwd.get(os.fsencode(os.getlogin()))
    except OSError:
        row = None
    if row is None or row.uid != uid:
        row = database.passwd.get_id(uid)
    if row is None:
        session.log(f"Cannot determine the user name of the caller (UID {uid})", 4)
        raise NotPermitted("Cannot determine your user name.")
    return row
