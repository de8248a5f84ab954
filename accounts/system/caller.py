# SPDX-License-Identifier: MIT
"""Whom passwd, chsh, chfn, expiry and groupmems mean: the account that is named, or the caller's own. Hot path."""

from __future__ import annotations

import posix

from accounts.errors import E_NOPERM, E_NOT_PRIMARY, E_NOTFOUND, Fail
from accounts.model.database import Database
from accounts.model.names import is_valid_upn, is_valid_user_name
from accounts.model.records import Passwd
from accounts.model.release import Release
from accounts.system.known import Facts
from accounts.system.notify import LOG_WARN, syslog
from accounts.text import fsdecode, fsencode


def find_caller(database: Database) -> Passwd:
    """The row of the name logged in with if its UID is the caller's, else the first row of that UID. Raises Fail."""
    uid = posix.getuid()
    try:
        row: Passwd | None = database.passwd.get(fsencode(posix.getlogin()))
    except OSError:
        row = None
    if row is None or row.uid != uid:
        row = database.passwd.get_id(uid)
    if row is None:
        syslog(LOG_WARN, f"Cannot determine the user name of the caller (UID {uid})")
        raise Fail(E_NOPERM, "Cannot determine your user name.")
    return row


def name_caller(facts: Facts) -> bytes:
    """The name of find_caller(); below --prefix, who calls is an account of this system. Raises Fail."""
    if not facts.target.prefix:
        return find_caller(facts.view(("passwd",))).name
    import pwd

    try:
        return fsencode(pwd.getpwuid(posix.getuid()).pw_name)
    except KeyError:
        raise Fail(E_NOPERM, "Cannot determine your user name.") from None


def own_group(facts: Facts) -> bytes:
    """The name of the caller's group where that is the caller's name too. Raises Fail."""
    database = facts.view(("passwd", "group"))
    user = database.passwd.get_id(posix.getuid())
    group = database.group.get_id(posix.getgid())
    if user is None or group is None or user.name != group.name:
        raise Fail(E_NOT_PRIMARY, "your groupname does not match your username")
    name: bytes = group.name
    return name


def check_named(release: Release, operands: list[bytes], domains: bool = False) -> None:
    """Whether the first operand could be a user's name, as is looked at since 4.17. Raises Fail.

    domains: whether user@domain is fine, too, in a release that has it.
    """
    if release < (4, 17) or not operands:
        return
    name, bad = operands[0], release >= (4, 19)
    if is_valid_user_name(name, bad, release) or (domains and release >= (4, 20) and is_valid_upn(name)):
        return
    raise Fail(E_NOTFOUND, "Provided user name is not a valid name")


def find_account(facts: Facts, operands: list[bytes]) -> Passwd:
    """The row of the first operand, without one the caller's; maybe one that only NSS knows. Raises Fail."""
    check_named(facts.release, operands)
    if not operands:
        return find_caller(facts.view(("passwd",)))
    name = operands[0]
    row: Passwd | None = facts.view(("passwd",)).passwd.get(name)
    if row is None:
        rows = facts.user_rows(name)
        if rows is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist")
        row = rows[0]
    return row
