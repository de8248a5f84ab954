# SPDX-License-Identifier: MIT
"""Edits of groups and their members: group and gshadow kept in step. Pure."""

from __future__ import annotations

from accounts.model.database import Database
from accounts.model.records import Group, Gshadow


def add_group(database: Database, name: bytes, gid: int, passwd: bytes | None, members: tuple[bytes, ...]) -> None:
    """Add a group, and its gshadow row where gshadow is in use.

    passwd: already encrypted; None for none. As in shadow 4.13, members go to the group row only.
    """
    shadowed = database.gshadow.present
    database.group.put(Group(name, b"x" if passwd is None or shadowed else passwd, gid, members))
    if shadowed:
        database.gshadow.put(Gshadow(name, b"!" if passwd is None else passwd, (), ()))
