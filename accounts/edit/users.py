# SPDX-License-Identifier: MIT
"""Edits of users: passwd and shadow kept in step, and their memberships in group and gshadow. Pure.

What there is to say is collected in a Report: shadow's warnings and its syslog lines, in its order.
"""

from __future__ import annotations

from accounts.errors import NameInUse, NoSuchUser, PasswdFileError, Refusal
from accounts.model.database import Database
from accounts.model.records import MAX_ULONG, SHADOWED, Passwd, Shadow, drop_member, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from accounts.edit.request import Report

DAY = 86400
_PASSWORDLESS = (
    "unlocking the user's password would result in a passwordless account.\n"
    "You should set a password with usermod -p to unlock this user's password."
)


# -- usermod -------------------------------------------------------------------------------------------------


class Change:
    """What usermod is to change; None and False stay as they are.

    passwd: encrypted. expire: days since the epoch, -1 for never; inactive: days, -1 for never. groups: the
    names after -G; append and remove: what to do with them. subids: (table, whether to add, first, last) of
    the ranges to add and remove, in order. today: days since the epoch. ageing: the PASS_MIN_DAYS,
    PASS_MAX_DAYS and PASS_WARN_AGE of a shadow row that has to be made.
    """

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
    groups: list[bytes] | None = None
    append = False
    remove = False
    subids: Sequence[tuple[str, bool, int, int]] = ()
    today = 0
    ageing: Callable[[], tuple[int, int, int]]

    def touches_passwd(self) -> bool:
        """Whether the passwd row is written."""
        texts = (self.name, self.uid, self.gid, self.gecos, self.home, self.shell, self.passwd)
        return self.lock or self.unlock or any(value is not None for value in texts)

    def touches_shadow(self) -> bool:
        """Whether the shadow row is written."""
        values = (self.name, self.passwd, self.expire, self.inactive)
        return self.lock or self.unlock or any(value is not None for value in values)


def change_user(database: Database, name: bytes, change: Change, shown: Callable[[str], str], report: Report) -> None:
    """Apply a Change to a user. shown: file name -> its path in messages.

    Raises NoSuchUser, NameInUse, PasswdFileError and Refusal.
    """
    try:
        if change.touches_passwd() or change.touches_shadow():
            _change_rows(database, name, change, shown, report)
        if change.groups is not None or change.name is not None:
            _change_groups(database, name, change, report)
            if database.gshadow.present:
                _change_gshadow(database, name, change, report)
    except Refusal:
        if report.unwritable:
            # What fails without an image fails in the same way with one.
            raise PasswdFileError(f"failure while writing changes to {shown('passwd')}") from None
        raise
    if not change.subids:
        return
    from accounts.model.ids import add_subid_range, remove_subid_range

    for table, add, first, last in change.subids:
        edit = add_subid_range if add else remove_subid_range
        edit(database.tables[table].local, name, first, (last - first + 1) & MAX_ULONG)


def _change_rows(database: Database, name: bytes, change: Change, shown: Callable[[str], str], report: Report) -> None:
    old = database.passwd.get(name)
    if old is None:
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist in {shown('passwd')}")
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
    if change.name is not None and database.passwd.image.find(name) is not None:
        from accounts.model.refusals import refuse_rename

        raise refuse_rename("passwd", name)
    if change.touches_passwd():
        _replace(database, "passwd", name, user, shown)
    if shadow is not None and change.touches_shadow():
        _replace(database, "shadow", name, shadow, shown)


def _check_free(database: Database, table: str, change: Change, shown: Callable[[str], str]) -> None:
    if change.name is not None and database.tables[table].get(change.name) is not None:
        raise NameInUse(f"user '{fsdecode(change.name)}' already exists in {shown(table)}")


def _replace(database: Database, table: str, name: bytes, row: Any, shown: Callable[[str], str]) -> None:
    layered = database.tables[table]
    layered.put(row)
    if row.name != name and not layered.remove(name):
        raise PasswdFileError(f"cannot remove entry '{fsdecode(name)}' from {shown(table)}")


def _changed_user(old: Passwd, change: Change, shadow_in_use: bool, report: Report) -> Passwd:
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
        user.home = change.home[:-1] if len(change.home) > 1 and change.home.endswith(b"/") else change.home
    if change.shell is not None:
        shells = f"from '{fsdecode(old.shell)}' to '{fsdecode(change.shell)}'"
        done(f"change user '{who}' shell {shells}", "changing user shell")
        user.shell = change.shell
    return user


def _changed_shadow(old: Shadow, change: Change, name: bytes, report: Report) -> Shadow:
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


def _changed_password(passwd: bytes, change: Change, who: str, report: Report) -> bytes:
    if change.lock and not passwd.startswith(b"!"):
        # A success that shadow audits as failed, and so the next.
        report.done(f"lock user '{who}' password", "updating passwd", success=False)
        return b"!" + passwd
    if change.unlock and passwd.startswith(b"!"):
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


def _affected(layered: Any, user: bytes, names: Iterable[bytes]) -> Iterator[Any]:
    """The rows of the groups that list user and of those named, all rows of a name, local ones in file order."""

    def place(name: bytes) -> tuple[bool, int]:
        position: int | None = layered.local.find(name)
        return position is None, position or 0

    for name in sorted(dict.fromkeys((*layered.names_with_member(user), *names)), key=place):
        yield from layered.rows_named(name)


def _stays(change: Change, was_member: bool, group: bytes) -> bool:
    """Whether the user is to be a member afterwards, for a group that lists it or is named after -G."""
    if change.groups is None:
        return False
    wanted = (was_member and change.append) or group in change.groups
    return not wanted if change.remove else wanted


def _change_groups(database: Database, user: bytes, change: Change, report: Report) -> None:
    new_name = user if change.name is None else change.name
    who, new_who = fsdecode(user), fsdecode(new_name)
    for row in _affected(database.group, user, change.groups or ()):
        group = fsdecode(row.name)
        was_member = user in row.members
        stays = _stays(change, was_member, row.name)
        if was_member and (stays or change.groups is None):
            if change.name is None:
                continue
            members = join_members(drop_member(row.members, user), (new_name,))
            report.done(f"change '{who}' to '{new_who}' in group '{group}'", "changing group member", new_name)
        elif was_member:
            members = drop_member(row.members, user)
            report.done(f"delete '{who}' from group '{group}'", "removing group member", user)
        elif stays:
            members = join_members(row.members, (new_name,))
            report.done(f"add '{new_who}' to group '{group}'", "adding user to group", user)
        else:
            continue
        database.group.put(row.replace(members=members))


def _change_gshadow(database: Database, user: bytes, change: Change, report: Report) -> None:
    new_name = user if change.name is None else change.name
    who, new_who = fsdecode(user), fsdecode(new_name)
    for row in _affected(database.gshadow, user, change.groups or ()):
        group = fsdecode(row.name)
        admins, members = row.admins, row.members
        if user in admins and change.name is not None:
            admins = join_members(drop_member(admins, user), (new_name,))
            report.done(
                f"change admin '{who}' to '{new_who}' in shadow group '{group}'",
                "changing admin name in shadow group",
                user,
            )
        was_member = user in members
        stays = _stays(change, was_member, row.name)
        if was_member and (stays or change.groups is None):
            if change.name is not None:
                members = join_members(drop_member(members, user), (new_name,))
                report.done(
                    f"change '{who}' to '{new_who}' in shadow group '{group}'", "changing member in shadow group", user
                )
        elif was_member:
            members = drop_member(members, user)
            report.done(f"delete '{who}' from shadow group '{group}'", "removing user from shadow group", user)
        elif stays:
            members = join_members(members, (new_name,))
            report.done(f"add '{new_who}' to shadow group '{group}'", "adding user to shadow group", new_name)
        if (admins, members) != (row.admins, row.members):
            database.gshadow.put(row.replace(admins=admins, members=members))


# -- userdel -------------------------------------------------------------------------------------------------


def delete_user(
    database: Database, name: bytes, force: bool, private_groups: bool, shown: Callable[[str], str], report: Report
) -> None:
    """Remove a user and its memberships, and with private_groups (USERGROUPS_ENAB) its own group.

    force: also when it is another user's primary group. Raises PasswdFileError, NoSuchUser and Refusal.
    """
    from accounts.model.ids import remove_subid_range

    user = database.passwd.get(name)
    if user is None:
        raise NoSuchUser(f"user '{fsdecode(name)}' does not exist")
    if not database.passwd.remove(name):
        raise PasswdFileError(f"cannot remove entry '{fsdecode(name)}' from {shown('passwd')}")
    database.shadow.remove(name)
    for table in (database.subuid, database.subgid):
        remove_subid_range(table, name, 0, MAX_ULONG)
    who = fsdecode(name)
    report.done(f"delete user '{who}'", "deleting user entries")
    for row in _affected(database.group, name, ()):
        if name in row.members:
            database.group.put(row.replace(members=drop_member(row.members, name)))
            report.done(f"delete '{who}' from group '{fsdecode(row.name)}'", "deleting user from group")
    if private_groups:
        _delete_private_group(database, user, force, report)
    for row in _affected(database.gshadow, name, ()):
        if name in row.members or name in row.admins:
            members, admins = drop_member(row.members, name), drop_member(row.admins, name)
            database.gshadow.put(row.replace(members=members, admins=admins))
            report.done(f"delete '{who}' from shadow group '{fsdecode(row.name)}'", "deleting user from shadow group")


def _delete_private_group(database: Database, user: Passwd, force: bool, report: Report) -> None:
    group = database.group.get(user.name)
    if group is None:
        return
    name = fsdecode(user.name)
    if group.gid != user.gid:
        report.warnings.append(f"group {name} not removed because it is not the primary group of user {name}.")
    elif group.members:
        report.warnings.append(f"group {name} not removed because it has other members.")
    elif not force and any(other.name != user.name for other in database.primary_users(group.gid)):
        report.warnings.append(f"group {name} is the primary group of another user and is not removed.")
    else:
        database.group.remove(user.name)
        report.done(f"removed group '{name}' owned by '{name}'", "deleting group", user.name, "DEL_GROUP")
        if database.gshadow.remove(user.name):
            text = f"removed shadow group '{name}' owned by '{name}'"
            report.done(text, "deleting shadow group", user.name, "DEL_GROUP")
