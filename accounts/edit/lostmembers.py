# SPDX-License-Identifier: MIT
"""Memberships that were asked for and have got lost (sysusers.d(5)). Pure."""

from __future__ import annotations

from accounts.edit.members import add_member, get_pair, put_pair
from accounts.edit.request import Request
from accounts.errors import Done
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

    Membership = tuple[bytes, bytes]


class AddLostMembers(Request):
    """Users become members of groups as far as both are there and not joined. listed: (user, group)."""

    __slots__ = ("listed",)
    listed: tuple[Membership, ...]

    def files(self, plan: list[Membership], facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("group", "gshadow"), ("passwd",)

    def check(self, facts: Facts, report: Report, looked: Any) -> list[Membership]:
        """What is missing."""
        database = facts.view(("passwd", "group"))
        missing = []
        for user, group in self.listed:
            row = database.group.get(group)
            if row is not None and user not in row.members and database.passwd.get(user) is not None:
                missing.append((user, group))
        if not missing:
            raise Done
        return missing

    def edit(self, database: Database, plan: list[Membership], facts: Facts, report: Report) -> None:
        for user, group in plan:
            pair = get_pair(database, group)
            # The same line may be there twice.
            if pair is not None and user not in pair[0].members:
                put_pair(database, add_member(pair, user))
            report.log.append(f"sysusers.d: user '{fsdecode(user)}' added to group '{fsdecode(group)}'")
