# SPDX-License-Identifier: MIT
"""Changes of a group: group and gshadow kept in step. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.groups import check_members, lists_in_gshadow
from accounts.edit.request import Request
from accounts.errors import (
    E_BAD_ARG,
    E_GID_IN_USE,
    E_GRP_UPDATE,
    E_NAME_IN_USE,
    E_NOTFOUND,
    DuplicateRow,
    Fail,
    FileError,
)  # fmt: skip
from accounts.model.names import is_valid_group_name
from accounts.model.records import SHADOWED, Group, Gshadow, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database

    # The group's GID, its new name or None, its new GID or None.
    GroupPlan = tuple[int, bytes | None, int | None]


class ChangeGroup(Request):
    """Changes of a group; what is None stays. passwd: already encrypted; users: its members, with append further ones.

    non_unique: fine if the GID is taken.
    """

    __slots__ = ("append", "gid", "name", "new_name", "non_unique", "passwd", "users")
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "new_name": None, "gid": None, "passwd": None, "users": None, "append": False, "non_unique": False,
    }  # fmt: skip
    name: bytes
    new_name: bytes | None
    gid: int | None
    passwd: bytes | None
    users: tuple[bytes, ...] | None
    append: bool
    non_unique: bool

    def files(self, plan: GroupPlan, facts: Facts) -> tuple[list[str], tuple[str, ...]]:
        """As in shadow, only what is going to be changed is locked."""
        _, name, gid = plan
        return self._touched(name, gid, facts), ("gshadow", "passwd")

    def _touched(self, name: bytes | None, gid: int | None, facts: Facts) -> list[str]:
        gshadow = self.passwd is not None or name is not None or (self.users is not None and lists_in_gshadow(facts))
        return ["group", *["gshadow"] * gshadow, *["passwd"] * (gid is not None)]

    def check(self, facts: Facts, report: Report, looked: Any) -> GroupPlan:
        old_gid = facts.find_group(self.name)
        if old_gid is None:
            raise Fail(E_NOTFOUND, f"group '{fsdecode(self.name)}' does not exist")
        gid = None if self.gid == old_gid else self.gid
        if gid is not None and not self.non_unique and facts.has_gid(gid):
            raise Fail(E_GID_IN_USE, f"GID '{gid}' already exists")
        name = None if self.new_name == self.name else self.new_name
        if name is not None:
            if not is_valid_group_name(name, release=facts.release):
                raise Fail(E_BAD_ARG, f"invalid group name '{fsdecode(name)}'")
            if facts.find_group(name) is not None:
                raise Fail(E_NAME_IN_USE, f"group '{fsdecode(name)}' already exists")
        return old_gid, name, gid

    def edit(self, database: Database, plan: GroupPlan, facts: Facts, report: Report) -> None:
        old_gid, name, gid = plan
        changes = self._describe(old_gid, name, gid, facts)
        report.kind = "USER_ACCT"
        for path, change in changes:
            report.if_failed(f"changing {path}; {change}", self.name)
        group = database.group.get(self.name)
        if group is None:
            raise Fail(E_GRP_UPDATE, f"group '{fsdecode(self.name)}' does not exist in {facts.shown('group')}")
        if gid is not None:
            facts.check_overlap("GID", gid, f"groupmod warning: {fsdecode(self.name)}'s gid")
        members = None
        if self.users is not None:
            check_members(self.users, facts)
            members = join_members(group.members if self.append else (), self.users)
        change_group(database, self.name, name, gid, self.passwd, members)
        if self.users is not None and lists_in_gshadow(facts):
            self._list_in_gshadow(database, self.name if name is None else name)
        for path, change in changes:
            report.done(f"group changed in {path} ({change})", f"changing {path}; {change}", self.name)
        report.done("", "modifying group", self.name)

    def _list_in_gshadow(self, database: Database, name: bytes) -> None:
        row = database.gshadow.get(name)
        if row is not None:
            members = join_members(row.members if self.append else (), self.users or ())
            database.gshadow.put(row.replace(members=members))

    def _describe(self, old_gid: int, name: bytes | None, gid: int | None, facts: Facts) -> list[tuple[str, str]]:
        """(path, what changes in it) of each file."""
        renamed = f", new name: {fsdecode(name)}" if name is not None else ""
        renumbered = f", new gid: {gid}" if gid is not None else ""
        passwd = ", new password" if self.passwd is not None else ""
        group = f"group {fsdecode(self.name)}"
        changes = {
            "group": f"{group}/{old_gid}{renamed}{passwd}{renumbered}",
            "gshadow": f"{group}{renamed}{passwd}",
            "passwd": f"{group}/{old_gid}{renamed}{renumbered}",
        }
        files = self._touched(name, gid, facts)
        return [(facts.shown(file), changes[file]) for file in files if file == "group" or facts.is_present(file)]


def change_group(
    database: Database,
    name: bytes,
    new_name: bytes | None = None,
    gid: int | None = None,
    passwd: bytes | None = None,
    members: tuple[bytes, ...] | None = None,
) -> None:
    """Rename an existing group, change its GID (for its primary users too), password or members.

    What is None stays. passwd: already encrypted; members: the complete new list of the group row. Raises Refusal for
    the name and GID of an image group, FileError where there is no gshadow row to rename.
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
        if not database.group.may_remove(name):
            from accounts.model.refusals import refuse_rename

            # A row that no tool would write anywhere is worse than one that cannot be here.
            writable = group.replace(**changes).is_writable()
            raise refuse_rename("group", name) if writable else FileError("group", "write")
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
        except DuplicateRow:
            # shadow names the new one.
            raise DuplicateRow("group", name, True, new_name) from None
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
        raise FileError("gshadow", "remove", name)
