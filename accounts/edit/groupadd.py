# SPDX-License-Identifier: MIT
"""A new group: group and gshadow. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.groups import check_members, group_paths, lists_in_gshadow
from accounts.edit.request import Request
from accounts.errors import E_BAD_ARG, E_GID_IN_USE, E_NAME_IN_USE, AccountsError, Done, Fail, FileError, NoId
from accounts.model.names import is_valid_group_name
from accounts.model.records import SHADOWED, Group, Gshadow, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database


class AddGroup(Request):
    """A new group. gid: None for the next free one; passwd: already encrypted; users: its members.

    system: whether a free GID is one for system groups. force: fine if the group is there, and another GID if that is
    taken. non_unique: fine if the GID is taken.
    """

    __slots__ = ("force", "gid", "name", "non_unique", "passwd", "system", "users")
    HOOKS = "groupadd"
    HOOKS_SINCE = (4, 14)
    HOOKS_LATE = True
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "gid": None, "passwd": None, "users": (), "system": False, "force": False, "non_unique": False,
    }  # fmt: skip
    name: bytes
    gid: int | None
    passwd: bytes | None
    users: tuple[bytes, ...]
    system: bool
    force: bool
    non_unique: bool

    def validate(self, facts: Facts) -> None:
        if not is_valid_group_name(self.name, release=facts.release):
            raise Fail(E_BAD_ARG, f"'{fsdecode(self.name)}' is not a valid group name")

    def files(self, plan: int | None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("group", "gshadow"), ("passwd",) if self.users else ()

    def check(self, facts: Facts, report: Report, looked: Any) -> int | None:
        """The GID to use, None for any."""
        if facts.find_group(self.name) is not None:
            if self.force:
                raise Done
            report.if_failed("refusing group", self.name, kind="ADD_GROUP")
            raise Fail(E_NAME_IN_USE, f"group '{fsdecode(self.name)}' already exists")
        if self.gid is not None and not self.non_unique and facts.has_gid(self.gid):
            if not self.force:
                report.if_failed("refusing group", self.name, kind="ADD_GROUP")
                raise Fail(E_GID_IN_USE, f"GID '{self.gid}' already exists")
            return None
        return self.gid

    def give_up(self, error: AccountsError, locked: bool, facts: Facts, report: Report) -> None:
        # groupadd alone, of all tools.
        if facts.release >= (4, 15) and isinstance(error, FileError) and error.event == "open":
            error.tells_reason = True

    def edit(self, database: Database, plan: int | None, facts: Facts, report: Report) -> None:
        report.kind = "ADD_GROUP"
        report.if_failed("", self.name)
        try:
            gid = facts.free_id("GID", self.system) if plan is None else plan
        except NoId as error:
            report.if_failed("refusing group", self.name)
            raise Fail(E_GID_IN_USE, str(error)) from None
        if plan is not None:
            facts.check_overlap("GID", gid, f"groupadd warning: {fsdecode(self.name)}'s gid")
        paths = group_paths(database, facts)
        for path in paths:
            report.if_failed(f"adding group to {path}", self.name)
        check_members(self.users, facts)
        report.if_failed("refusing group", self.name)
        add_group(database, self.name, gid, self.passwd, self.users, self.users if lists_in_gshadow(facts) else ())
        name = fsdecode(self.name)
        report.uid = gid
        for path, number in zip(paths, (f", GID={gid}", ""), strict=False):
            report.done(f"group added to {path}: name={name}{number}", f"adding group to {path}")
        report.done(f"new group: name={name}, GID={gid}", "")


def add_group(
    database: Database,
    name: bytes,
    gid: int,
    passwd: bytes | None,
    members: tuple[bytes, ...],
    shadow_members: tuple[bytes, ...] = (),
) -> None:
    """Add a group, and its gshadow row where gshadow is in use. passwd: already encrypted; None for none."""
    shadowed = database.gshadow.present
    group_passwd = SHADOWED if passwd is None or shadowed else passwd
    database.group.put(Group(name, group_passwd, gid, join_members((), members)))
    if shadowed:
        database.gshadow.put(Gshadow(name, b"!" if passwd is None else passwd, (), join_members((), shadow_members)))
