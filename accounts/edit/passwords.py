# SPDX-License-Identifier: MIT
"""Edits of passwords and their ageing: shadow where it is in use, else passwd. Pure.

For a user of the image that is one shadow row in the local layer; the passwd row is not copied, but for a password
that has expired (docs/decisions/expired.md). Back at what the image says, the row goes again (accounts.model.database).
"""

from __future__ import annotations

from accounts.errors import DuplicateRow
from accounts.model.database import Database
from accounts.model.records import SHADOWED, Passwd, Shadow
from accounts.model.release import NO_NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from accounts.edit.request import Facts
    from accounts.model.release import Release

    # PASS_MIN_DAYS, PASS_MAX_DAYS and PASS_WARN_AGE of login.defs(5), asked for when a row is made.
    Ageing = Callable[[], tuple[int, int, int]]

# Days from which on a password never expired.
NEVER = 10000


def shadow_day(today: int) -> int:
    """The day of a password change for shadow(5). Day 0 would force a change; no ageing is better."""
    return today or -1


def can_set_token(database: Database, name: bytes) -> bool:
    """Whether pam_unix(8) would change the password of that user, if it got one."""
    user = None if name[:1] in (b"+", b"-") else database.passwd.get(name)
    return user is not None and (not _is_shadowed(user) or database.shadow.present)


def set_token(database: Database, name: bytes, passwd: bytes, today: int) -> None:
    """Set an encrypted password as pam_unix(8) does for passwd, chpasswd and newusers.

    Only where passwd(5) says "x" it goes to shadow, where a missing row is made without ageing. Of rows with
    the same name the first one is meant. Does nothing for an unknown user.
    """
    user = database.passwd.get(name)
    if user is None:
        return
    if _is_shadowed(user):
        shadow = database.shadow.get(name) or Shadow(name, b"")
        _put_first(database, "shadow", shadow.replace(passwd=passwd, lstchg=shadow_day(today)))
    else:
        _put_first(database, "passwd", user.replace(passwd=passwd))


def token_of(database: Database, name: bytes) -> bytes | None:
    """The password field that counts for pam_unix(8); None where there is no such row."""
    user = database.passwd.get(name)
    if user is None or not _is_shadowed(user):
        return None if user is None else user.passwd
    shadow = database.shadow.get(name)
    return None if shadow is None else shadow.passwd


def _is_shadowed(user: Passwd) -> bool:
    return user.passwd == SHADOWED or user.passwd.startswith(b"##")


def _put_first(database: Database, table: str, row: Any) -> None:
    layered = database.tables[table]
    try:
        layered.put_as_is(row)
    except DuplicateRow:
        position = layered.local.find(row.name)
        if position is not None:
            layered.local.replace_at(position, row)


# chpasswd


def update_password(database: Database, name: bytes, passwd: bytes, today: int, ageing: Ageing) -> bool:
    """Set an encrypted password as chpasswd -e does; False when there is no such user.

    It goes to shadow where the user has a row there or the password field of passwd is "x", and to passwd
    unless that field is "x". Raises DuplicateRow.
    """
    user = database.passwd.get(name)
    if user is None:
        return False
    shadow = database.shadow.get(name) if database.shadow.present else None
    if shadow is None and database.shadow.present and user.passwd == SHADOWED:
        shadow = Shadow(name, passwd, -1, *ageing())
    if shadow is not None:
        database.shadow.put(shadow.replace(passwd=passwd, lstchg=shadow_day(today)))
    if shadow is None or user.passwd != SHADOWED:
        database.passwd.put(user.replace(passwd=passwd))
    return True


# chage, expiry


def change_ageing(database: Database, user: Passwd, ageing: Shadow, today: int, facts: Facts) -> None:
    """Give a user the days of a Shadow row (its password does not matter), as chage does.

    Without a row in shadow one is made that takes over the password of passwd. today: by the clock that PAM reads.
    """
    shadow = database.shadow.get(user.name)
    if shadow is None:
        database.passwd.put(user.replace(passwd=SHADOWED))
        shadow = Shadow(user.name, user.passwd)
    put_ageing(database, shadow, ageing.replace(passwd=shadow.passwd, flag=shadow.flag), today, facts)


def put_ageing(database: Database, old: Shadow, new: Shadow, today: int, facts: Facts) -> None:
    """Put a shadow row; when that makes the password expire, an image user gets a local passwd row as well.

    Not where PAM changes passwords by pam_accounts, which needs none.
    """
    database.shadow.put(new)
    expires = must_change(new, today) and not must_change(old, today)
    if expires and database.passwd.image.find(new.name) is not None and not facts.has_pam_accounts():
        materialize(database, new.name)


def must_change(shadow: Shadow, today: int) -> bool:
    """Whether pam_unix(8) lets a user in only with a new password (its check_shadow_expiry())."""
    return shadow.lstchg == 0 or (0 < shadow.lstchg <= today and 0 <= shadow.max < today - shadow.lstchg)


def materialize(database: Database, name: bytes) -> bool:
    """Copy a user's passwd and shadow rows from the image to the local layer; False when both are there already."""
    return bool(database.passwd.materialize(name) | database.shadow.materialize(name))


def is_endless(days: int, release: Release) -> bool:
    """Whether a password that is good for so many days never expires."""
    return days < 0 or (days >= NEVER and release < NO_NEVER)


def expiry_state(user: Passwd, shadow: Shadow | None, today: int, release: Release) -> int:
    """0: not expired; 1: the password has to be changed; 2: it is inactive; 3: the account has expired."""
    if shadow is None:
        return 0
    if 0 < shadow.expire <= today:
        return 3
    if shadow.lstchg == 0 and user.passwd == SHADOWED:
        return 1
    ends = shadow.lstchg + shadow.max
    if shadow.lstchg > 0 and shadow.max >= 0 and shadow.inactive >= 0 and today >= ends + shadow.inactive:
        return 2
    if shadow.lstchg == -1 or shadow.max == -1 or (shadow.max >= 0 and is_endless(shadow.max, release)):
        return 0
    return 1 if today >= ends else 0


def expiry_warning(shadow: Shadow, today: int) -> str:
    """What expiry -c prints of a password that ends soon (shadow's agecheck)."""
    if -1 in (shadow.lstchg, shadow.max, shadow.warn):
        return ""
    if shadow.lstchg == 0:
        return "You must change your password.\n"
    left = shadow.lstchg + shadow.max - today
    if left > shadow.warn or left < 0:
        return ""
    when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
    return f"Your password will expire {when}.\n"


# pwconv, pwunconv


def shadow_users(database: Database, today: int, ageing: Ageing) -> None:
    """Move all passwords to shadow (pwconv): a shadow row for each user, and no others.

    Raises Refusal for a shadow row of the image that has no user, and DuplicateRow.
    """
    for row in list(database.shadow):
        if database.passwd.get(row.name) is None:
            database.shadow.remove(row.name)
    for user in list(database.passwd):
        shadow = database.shadow.get(user.name)
        if shadow is None:
            shadow = Shadow(user.name, b"", -1, *ageing())
        elif user.passwd == SHADOWED:
            continue
        database.shadow.put(shadow.replace(passwd=user.passwd, lstchg=shadow_day(today)))
        database.passwd.put(user.replace(passwd=SHADOWED))


def unshadow_users(database: Database) -> None:
    """Move all passwords from shadow to passwd and remove shadow (pwunconv).

    Raises Refusal when the image has shadow rows that cannot be hidden, and DuplicateRow.
    """
    for row in database.shadow.image:
        database.shadow.check_removal(row.name)
    for user in list(database.passwd):
        shadow = database.shadow.get(user.name)
        if shadow is not None:
            database.passwd.put(user.replace(passwd=shadow.passwd if user.passwd == SHADOWED else user.passwd))
    database.shadow.hide_image()
    database.shadow.local.delete_file()
