# SPDX-License-Identifier: MIT
"""The groups that list a user follow a change of the user: new groups, a new name. Pure."""

from __future__ import annotations

from accounts.model.records import drop_member, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.request import Report
    from accounts.edit.userchange import UserChange
    from accounts.model.database import Database


def _stays(change: UserChange, was_member: bool, group: bytes) -> bool:
    """Whether the user is to be a member afterwards, for a group that lists it or is named after -G."""
    if change.groups is None:
        return False
    wanted = (was_member and change.append) or group in change.groups
    return not wanted if change.remove else wanted


def change_groups(database: Database, user: bytes, change: UserChange, report: Report) -> None:
    """The rows of group."""
    new_name = user if change.name is None else change.name
    who, new_who = fsdecode(user), fsdecode(new_name)
    for row in database.group.rows_about(user, change.groups or ()):
        group = fsdecode(row.name)
        was_member = user in row.members
        stays = _stays(change, was_member, row.name)
        if was_member and (stays or change.groups is None):
            if change.name is None:
                continue
            members = join_members(drop_member(row.members, user), (new_name,))
            text = f"change '{who}' to '{new_who}' in group '{group}'"
            report.done(text, "changing group member", new_name, group=row.name)
        elif was_member:
            members = drop_member(row.members, user)
            report.done(f"delete '{who}' from group '{group}'", "removing group member", user, group=row.name)
        elif stays:
            members = join_members(row.members, (new_name,))
            report.done(f"add '{new_who}' to group '{group}'", "adding user to group", user, group=row.name)
        else:
            continue
        database.group.put(row.replace(members=members))


def change_gshadow(database: Database, user: bytes, change: UserChange, report: Report) -> None:
    """The rows of gshadow, members and administrators."""
    new_name = user if change.name is None else change.name
    who, new_who = fsdecode(user), fsdecode(new_name)
    for row in database.gshadow.rows_about(user, change.groups or ()):
        group = fsdecode(row.name)
        admins, members = row.admins, row.members
        if user in admins and change.name is not None:
            admins = join_members(drop_member(admins, user), (new_name,))
            report.done(
                f"change admin '{who}' to '{new_who}' in shadow group '{group}'",
                "changing admin name in shadow group",
                user,
                group=row.name,
            )
        was_member = user in members
        stays = _stays(change, was_member, row.name)
        if was_member and (stays or change.groups is None):
            if change.name is not None:
                members = join_members(drop_member(members, user), (new_name,))
                text = f"change '{who}' to '{new_who}' in shadow group '{group}'"
                report.done(text, "changing member in shadow group", user, group=row.name)
        elif was_member:
            members = drop_member(members, user)
            text = f"delete '{who}' from shadow group '{group}'"
            report.done(text, "removing user from shadow group", user, group=row.name)
        elif stays:
            members = join_members(members, (new_name,))
            text = f"add '{new_who}' to shadow group '{group}'"
            report.done(text, "adding user to shadow group", new_name, group=row.name)
        if (admins, members) != (row.admins, row.members):
            database.gshadow.put(row.replace(admins=admins, members=members))
