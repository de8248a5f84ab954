# SPDX-License-Identifier: MIT
"""Edits of groups and their members: group and gshadow kept in step. Pure.

A pair is what shadow works on: the group row and, where gshadow is in use, its gshadow row.
"""

from __future__ import annotations

from accounts.errors import DuplicateRow, MissingRow, NotMember, UnwritableRow
from accounts.model.database import Database
from accounts.model.records import SHADOWED, Group, Gshadow, drop_member, join_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


    Pair = tuple[Group, Gshadow | None]



def add_group(
    database: Database, name: bytes, gid: int, passwd: bytes | None, members: tuple[bytes, ...]
) -> None:
    """Add a group, and its gshadow row where gshadow is in use.

    passwd: already encrypted; None for none. As in shadow 4.13, members go to the group row only.
    """
    shadowed = database.gshadow.present
    group_passwd = SHADOWED if passwd is None or shadowed else passwd
    database.group.put(Group(name, group_passwd, gid, join_members((), members)))
    if shadowed:
        database.gshadow.put(Gshadow(name, b"!" if passwd is None else passwd, (), ()))


def change_group(
    database: Database,
    name: bytes,
    new_name: bytes | None = None,
    gid: int | None = None,
    passwd: bytes | None = None,
    members: tuple[bytes, ...] | None = None,
) -> None:
    """Rename an existing group, change its GID (for its primary users too), password or members.

    What is None stays. passwd: already encrypted; members: the complete new list, which as in shadow 4.13
    goes to the group row only. Raises GroupRefusal for the name and GID of an image group, MissingRow where
    there is no gshadow row to rename.
    """
    group = database.group.get(name)
    assert group is not None
    shadowed = database.gshadow.present
    changes: dict[str, Any] = {}
    if passwd is not None and (not shadowed or group.passwd != SHADOWED):
        # The group row does not get a shadow password that it did not have.
        changes["passwd"] = passwd
    if members is not None:
        changes["members"] = members
    if new_name is not None:
        if database.group.image.find(name) is not None:
            from accounts.model.refusals import refuse_rename

            raise refuse_rename("group", name) if group.replace(**changes).is_writable() else UnwritableRow("group")
        changes["name"] = new_name
    if gid is not None:
        changes["gid"] = gid
        for user in database.primary_users(group.gid):
            database.passwd.put(user.replace(gid=gid))
    changed = group.replace(**changes)
    database.group.put(changed)
    if new_name is not None:
        try:
            database.group.remove(name)
        except DuplicateRow as error:
            error.told = new_name  # so does shadow
            raise
    if shadowed and (passwd is not None or new_name is not None):
        _change_gshadow(database, name, changed, group.members, passwd)


def _change_gshadow(
    database: Database, name: bytes, group: Group, members: tuple[bytes, ...], passwd: bytes | None
) -> None:
    row = database.gshadow.get(name)
    if row is None:
        if passwd is None or group.passwd != SHADOWED:
            return
        row = Gshadow(group.name, passwd, (), members)
    elif passwd is not None:
        row = row.replace(passwd=passwd)
    database.gshadow.put(row.replace(name=group.name))
    if group.name != name and not database.gshadow.remove(name):
        raise MissingRow("gshadow", name)


def delete_group(database: Database, name: bytes) -> bool:
    """Remove a group and its gshadow row; False when there is no such group row. Raises GroupRefusal."""
    removed = database.group.remove(name)
    if removed and database.gshadow.present:
        database.gshadow.remove(name)
    return removed


# -- pairs -------------------------------------------------------------------------------------------------


def get_pair(database: Database, name: bytes) -> Pair | None:
    """The rows of a group, as gpasswd and groupmems start from; None when there is no such group.

    Where gshadow is in use and has no row for the group, a new one takes over the password and the members.
    """
    group = database.group.get(name)
    if group is None:
        return None
    if not database.gshadow.present:
        return group, None
    shadow = database.gshadow.get(name)
    if shadow is None:
        shadow = Gshadow(name, group.passwd, (), group.members)
        group = group.replace(passwd=SHADOWED)
    return group, shadow


def put_pair(database: Database, pair: Pair) -> None:
    """Write both rows back. Raises GroupRefusal."""
    group, shadow = pair
    database.group.put(group)
    if shadow is not None:
        database.gshadow.put(shadow)


def set_password(pair: Pair, passwd: bytes) -> Pair:
    """The pair with another (encrypted, empty or locked) password, in gshadow where that is in use."""
    group, shadow = pair
    if shadow is None:
        return group.replace(passwd=passwd), None
    return group.replace(passwd=SHADOWED), shadow.replace(passwd=passwd)


def add_member(pair: Pair, user: bytes) -> Pair:
    """The pair with one more member."""
    group, shadow = pair
    group = group.replace(members=join_members(group.members, (user,)))
    if shadow is not None:
        shadow = shadow.replace(members=join_members(shadow.members, (user,)))
    return group, shadow


def remove_member(pair: Pair, user: bytes, admin_too: bool = False) -> Pair:
    """The pair without a member (and administrator). Raises NotMember when no row lists the user."""
    group, shadow = pair
    if user not in group.members and (shadow is None or user not in shadow.members):
        raise NotMember
    group = group.replace(members=drop_member(group.members, user))
    if shadow is not None:
        shadow = shadow.replace(members=drop_member(shadow.members, user))
        if admin_too:
            shadow = shadow.replace(admins=drop_member(shadow.admins, user))
    return group, shadow


def set_members(pair: Pair, members: tuple[bytes, ...]) -> Pair:
    """The pair with another list of members."""
    group, shadow = pair
    return group.replace(members=members), shadow and shadow.replace(members=members)


def set_admins(pair: Pair, admins: tuple[bytes, ...]) -> Pair:
    """The pair with another list of administrators, which only gshadow has."""
    group, shadow = pair
    return group, shadow and shadow.replace(admins=admins)


# -- many groups -------------------------------------------------------------------------------------------


def update_password(database: Database, name: bytes, passwd: bytes) -> bool:
    """Give a group another encrypted password as chgpasswd does; False when there is no such group.

    It goes to gshadow where the group has a row there or its password field is "x", and to the group row
    unless that field is "x".
    """
    group = database.group.get(name)
    if group is None:
        return False
    shadow = database.gshadow.get(name) if database.gshadow.present else None
    if shadow is None and database.gshadow.present and group.passwd == SHADOWED:
        shadow = Gshadow(name, passwd, (), group.members)
    if shadow is not None:
        database.gshadow.put(shadow.replace(passwd=passwd))
    if shadow is None or group.passwd != SHADOWED:
        database.group.put(group.replace(passwd=passwd))
    return True


def shadow_groups(database: Database) -> None:
    """Move all group passwords to gshadow (grpconv): a gshadow row for each group, and no others.

    Raises GroupRefusal for a gshadow row of the image that has no group.
    """
    for row in list(database.gshadow):
        if database.group.get(row.name) is None:
            database.gshadow.remove(row.name)
    for group in list(database.group):
        shadow = database.gshadow.get(group.name) or Gshadow(group.name, group.passwd, (), ())
        passwd = shadow.passwd if group.passwd == SHADOWED else group.passwd
        members = group.members
        if database.group.origin(group.name) == "both" and set(members) == set(shadow.members):
            # A merged group has no order of its own.
            members = shadow.members
        database.gshadow.put(shadow.replace(passwd=passwd, members=members))
        database.group.put(group.replace(passwd=SHADOWED))


def unshadow_groups(database: Database) -> None:
    """Move all group passwords from gshadow to group and remove gshadow (grpunconv).

    Raises GroupRefusal when the image has gshadow rows.
    """
    for row in database.gshadow.image:
        database.gshadow.remove(row.name)
    for group in list(database.group):
        shadow = database.gshadow.get(group.name)
        if shadow is not None and group.passwd == SHADOWED:
            database.group.put(group.replace(passwd=shadow.passwd))
    database.gshadow.local.delete_file()
