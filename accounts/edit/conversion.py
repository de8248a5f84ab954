# SPDX-License-Identifier: MIT
"""Passwords to shadow and gshadow and back: pwconv(8) and its like. Pure."""

from __future__ import annotations

from accounts.edit.gshadow import shadow_groups, unshadow_groups
from accounts.edit.passwords import shadow_users, unshadow_users
from accounts.edit.request import Request
from accounts.errors import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

USER_FILES = ("passwd", "shadow")
GROUP_FILES = ("group", "gshadow")


class ShadowUsers(Request):
    """All passwords of users to shadow."""

    CREATES = ("shadow",)

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        # A new shadow file belongs to the group of that name.
        return USER_FILES, ("group",)

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        shadow_users(database, facts.today(), facts.defs.ageing)


class UnshadowUsers(Request):
    """All passwords of users back to passwd; nothing to do without shadow."""

    def look(self, facts: Facts, report: Report) -> None:
        if not facts.is_present("shadow"):
            raise Done

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return USER_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        unshadow_users(database)


class ShadowGroups(Request):
    """All passwords of groups to gshadow."""

    CREATES = ("gshadow",)

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return GROUP_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        shadow_groups(database)


class UnshadowGroups(Request):
    """All passwords of groups back to group; nothing to do without gshadow."""

    def look(self, facts: Facts, report: Report) -> None:
        if not facts.is_present("gshadow"):
            raise Done

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return GROUP_FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        unshadow_groups(database)
