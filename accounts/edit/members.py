# SPDX-License-Identifier: MIT
"""Edits of the members, administrators and password of a group: group and gshadow kept in step. Pure.

A pair is what shadow works on: the group row and, where gshadow is in use, its gshadow row.
"""

from __future__ import annotations

from accounts.errors import NotMember
from accounts.model.database import Database
from accounts.model.records import SHADOWED, Group, Gshadow, drop_member, join_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    Pair = tuple[Group, Gshadow | None]


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
