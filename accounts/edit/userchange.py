# SPDX-License-Identifier: MIT
"""What a change of a user does to the rows, once it is decided: passwd and shadow in step. Pure. Hot path."""

from __future__ import annotations

from accounts.errors import (
    E_NAME_IN_USE,
    E_NOTFOUND,
    E_PASSWORDLESS,
    Fail,
    FileError,
    Refusal,
)  # fmt: skip
from accounts.model.records import MAX_ULONG, SHADOWED, Passwd, Shadow
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from accounts.edit.request import Report
    from accounts.model.database import Database

    # Table, whether to add, first, last.
    Range = tuple[str, bool, int, int]

DAY = 86400
_PASSWORDLESS = (
    "unlocking the user's password would result in a passwordless account.\n"
    "You should set a password with usermod -p to unlock this user's password."
)


class UserChange:
    """What a ChangeUser comes to; None and False stay as they are.

    old_uid, old_gid, old_home: what the user has (None: only NSS knows it). today: days since the epoch. ageing: the
    PASS_MIN_DAYS, PASS_MAX_DAYS and PASS_WARN_AGE of a shadow row that has to be made.
    """

    old_uid = old_gid = 0
    old_home: bytes | None = None
    name: bytes | None = None
    uid: int | None = None
    gid: int | None = None
    gecos: bytes | None = None
    home: bytes | None = None
    shell: bytes | None = None
    passwd: bytes | None = None
    lock = False
    unlock = False
    expire: int | None = None
    inactive: int | None = None
    groups: Sequence[bytes] | None = None
    append = False
    remove = False
    subids: Sequence[Range] = ()
    refuses_passwordless = False
    strips_slashes = False
    today = 0
    ageing: Callable[[], tuple[int, int, int]]

    @property
    def moves(self) -> bool:
        """Whether a process of the user would be left behind."""
        return self.uid is not None or self.name is not None or self.home is not None

    def touches_passwd(self) -> bool:
        """Whether the passwd row is written."""
        texts = (self.name, self.uid, self.gid, self.gecos, self.home, self.shell, self.passwd)
        return self.lock or self.unlock or any(value is not None for value in texts)

    def touches_shadow(self) -> bool:
        """Whether the shadow row is written."""
        values = (self.name, self.passwd, self.expire, self.inactive)
        return self.lock or self.unlock or any(value is not None for value in values)


def change_user(
    database: Database, name: bytes, change: UserChange, shown: Callable[[str], str], report: Report
) -> None:
    """Apply a UserChange to a user. shown: file name -> its path in messages. Raises Fail, FileError and Refusal."""
    try:
        if change.touches_passwd() or change.touches_shadow():
            _change_rows(database, name, change, shown, report)
        if change.groups is not None or change.name is not None:
            from accounts.edit.memberships import change_groups, change_gshadow

            change_groups(database, name, change, report)
            if database.gshadow.present:
                change_gshadow(database, name, change, report)
    except Refusal:
        if report.unwritable:
            # What fails without an image fails in the same way with one.
            raise FileError("passwd", "write") from None
        raise
    if not change.subids:
        return
    from accounts.model.ids import add_subid_range, remove_subid_range

    for table, add, first, last in change.subids:
        layered, count = database.tables[table], (last - first + 1) & MAX_ULONG
        if add:
            add_subid_range(layered.local, name, first, count, layered.image)
        else:
            layered.take_over(name, first, last)
            remove_subid_range(layered.local, name, first, count)


def _change_rows(
    database: Database, name: bytes, change: UserChange, shown: Callable[[str], str], report: Report
) -> None:
    old = database.passwd.get(name)
    if old is None:
        raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist in {shown('passwd')}")
    _check_free(database, "passwd", change, shown)
    shadow_in_use = database.shadow.present
    user = _changed_user(old, change, shadow_in_use, report)
    shadow = database.shadow.get(name) if shadow_in_use else None
    if shadow is None and shadow_in_use and (
        (change.passwd is not None and user.passwd == SHADOWED)
        or change.expire is not None
        or change.inactive is not None
    ):  # fmt: skip
        # What is asked for can only be kept in shadow, so a row is made that takes over the password.
        shadow = Shadow(name, user.passwd, _shadow_day(change.today), *change.ageing())
        user = user.replace(passwd=SHADOWED)
    if shadow is not None:
        _check_free(database, "shadow", change, shown)
        shadow = _changed_shadow(shadow, change, user.name, report)
    report.unwritable = change.touches_passwd() and not user.is_writable()
    if change.name is not None and not database.passwd.may_remove(name):
        from accounts.model.refusals import refuse_rename

        raise refuse_rename("passwd", name)
    if change.touches_passwd():
        _replace(database, "passwd", name, user)
    if shadow is not None and change.touches_shadow():
        _replace(database, "shadow", name, shadow)


def _check_free(database: Database, table: str, change: UserChange, shown: Callable[[str], str]) -> None:
    if change.name is not None and database.tables[table].get(change.name) is not None:
        raise Fail(E_NAME_IN_USE, f"user '{fsdecode(change.name)}' already exists in {shown(table)}")


def _replace(database: Database, table: str, name: bytes, row: Any) -> None:
    layered = database.tables[table]
    layered.put(row)
    if row.name != name and not layered.remove(name):
        raise FileError(table, "remove", name)


def _changed_user(old: Passwd, change: UserChange, shadow_in_use: bool, report: Report) -> Passwd:
    user = old.replace()
    done = report.done
    if change.name is not None:
        done(f"change user name '{fsdecode(old.name)}' to '{fsdecode(change.name)}'", "changing name")
        user.name = change.name
    who = fsdecode(user.name)
    if not shadow_in_use or old.passwd != SHADOWED:
        user.passwd = _changed_password(old.passwd, change, who, report)
    if change.uid is not None:
        done(f"change user '{who}' UID from '{_c_int(old.uid)}' to '{_c_int(change.uid)}'", "changing uid")
        user.uid = change.uid
    if change.gid is not None:
        done(f"change user '{who}' GID from '{_c_int(old.gid)}' to '{_c_int(change.gid)}'", "changing primary group")
        user.gid = change.gid
    if change.gecos is not None:
        done("", "changing comment")
        user.gecos = change.gecos
    if change.home is not None:
        homes = f"from '{fsdecode(old.home)}' to '{fsdecode(change.home)}'"
        done(f"change user '{who}' home {homes}", "changing home directory")
        user.home = (
            change.home[:1] + change.home[1:].rstrip(b"/")
            if change.strips_slashes
            else (change.home[:-1] if len(change.home) > 1 and change.home.endswith(b"/") else change.home)
        )
    if change.shell is not None:
        shells = f"from '{fsdecode(old.shell)}' to '{fsdecode(change.shell)}'"
        done(f"change user '{who}' shell {shells}", "changing user shell")
        user.shell = change.shell
    return user


def _changed_shadow(old: Shadow, change: UserChange, name: bytes, report: Report) -> Shadow:
    shadow = old.replace(name=name)
    who = fsdecode(name)
    if change.inactive is not None:
        days = f"from '{old.inactive}' to '{change.inactive}'"
        report.done(f"change user '{who}' inactive {days}", "changing inactive days")
        shadow.inactive = change.inactive
    if change.expire is not None:
        was, now = _format_day(old.expire), _format_day(change.expire)
        report.done(f"change user '{who}' expiration from '{was}' to '{now}'", "changing expiration date")
        shadow.expire = change.expire
    shadow.passwd = _changed_password(old.passwd, change, who, report)
    if change.passwd is not None:
        shadow.lstchg = _shadow_day(change.today)
    return shadow


def _changed_password(passwd: bytes, change: UserChange, who: str, report: Report) -> bytes:
    if change.lock and not passwd.startswith(b"!"):
        # A success that shadow audits as failed, and so the next.
        report.done(f"lock user '{who}' password", "updating passwd", success=False)
        return b"!" + passwd
    if change.unlock and passwd.startswith(b"!"):
        if passwd == b"!" and change.refuses_passwordless:
            raise Fail(E_PASSWORDLESS, _PASSWORDLESS)
        if passwd == b"!":
            report.warnings.append(_PASSWORDLESS)
            return passwd
        report.done(f"unlock user '{who}' password", "updating password", success=False)
        return passwd[1:]
    if change.passwd is not None:
        report.done(f"change user '{who}' password", "changing password")
        return change.passwd
    return passwd


def _shadow_day(today: int) -> int:
    # Day 0 would mean that the password has to be changed; no ageing is better.
    return today or -1


def _c_int(value: int) -> int:
    """As printf's %d shows an id."""
    return value - 0x100000000 if value > 0x7FFFFFFF else value


def _format_day(day: int) -> str:
    """date_to_str(): 2030-12-31, or "never"."""
    import time

    if day < 0:
        return "never"
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(day * DAY))
    except (OverflowError, ValueError, OSError):
        return "future"
