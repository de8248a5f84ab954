# SPDX-License-Identifier: MIT
"""A group is removed: group and gshadow. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.groups import group_paths
from accounts.edit.request import Request
from accounts.errors import E_GROUP_BUSY, E_NOTFOUND, Fail, FileError
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database


class RemoveGroup(Request):
    """A group is deleted. force: also when it is a user's primary group."""

    __slots__ = ("force", "name")
    HOOKS = "groupdel"
    HOOKS_SINCE = (4, 14)
    HOOKS_LATE = True
    DEFAULTS: ClassVar[dict[str, Any]] = {"force": False}
    name: bytes
    force: bool

    def files(self, plan: int, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("group", "gshadow"), ("passwd",)

    def check(self, facts: Facts, report: Report, looked: Any) -> int:
        """The GID of the group."""
        database = facts.view(("passwd", "group"))
        gid = facts.find_group(self.name)
        report.if_failed("keeping group", self.name, kind="DEL_GROUP")
        if gid is None:
            raise Fail(E_NOTFOUND, f"group '{fsdecode(self.name)}' does not exist")
        if not self.force:
            for user in database.primary_users(gid)[:1]:
                raise Fail(E_GROUP_BUSY, f"cannot remove the primary group of user '{fsdecode(user.name)}'")
        return gid

    def edit(self, database: Database, plan: int, facts: Facts, report: Report) -> None:
        report.kind, report.uid = "DEL_GROUP", plan
        report.failed.clear()
        report.if_failed("", self.name)
        paths = group_paths(database, facts)
        for path in paths:
            # The type of these is as odd in shadow.
            report.if_failed(f"removing group from {path}", self.name, kind="ADD_GROUP")
        report.if_failed("keeping group", self.name)
        if not delete_group(database, self.name):
            # Only another NSS service has it.
            raise FileError("group", "remove", self.name)
        name = fsdecode(self.name)
        for path in paths:
            report.done(f"group '{name}' removed from {path}", f"removing group from {path}")
        report.done(f"group '{name}' removed", "")


def delete_group(database: Database, name: bytes) -> bool:
    """Remove a group and its gshadow row; False when there is no such group row. Raises Refusal."""
    removed = database.group.remove(name)
    if removed and database.gshadow.present:
        database.gshadow.remove(name)
    return removed
