# SPDX-License-Identifier: MIT
"""Edits of group passwords: chgpasswd, grpconv and grpunconv. Pure."""

from __future__ import annotations

from accounts.model.database import Database
from accounts.model.records import SHADOWED, Gshadow


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

    Raises Refusal for a gshadow row of the image that has no group.
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

    Raises Refusal when the image has gshadow rows that cannot be hidden.
    """
    for row in database.gshadow.image:
        database.gshadow.check_removal(row.name)
    for group in list(database.group):
        shadow = database.gshadow.get(group.name)
        if shadow is not None and group.passwd == SHADOWED:
            database.group.put(group.replace(passwd=shadow.passwd))
    database.gshadow.hide_image()
    database.gshadow.local.delete_file()
