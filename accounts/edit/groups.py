# SPDX-License-Identifier: MIT
"""Groups are made, changed and deleted: group and gshadow kept in step. Pure."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import (
    E_BAD_ARG,
    E_GID_IN_USE,
    E_GROUP_BUSY,
    E_GRP_UPDATE,
    E_NAME_IN_USE,
    E_NOTFOUND,
    Done,
    DuplicateRow,
    Fail,
    FileError,
    NoId,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.names import is_valid_group_name
from accounts.model.records import SHADOWED, Group, Gshadow, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report

    # The group's GID, its new name or None, its new GID or None.
    GroupPlan = tuple[int, bytes | None, int | None]

class AddGroup(Request):
    """A new group. gid: None for the next free one; passwd: already encrypted; users: its members.

    system: whether a free GID is one for system groups. force: fine if the group is there, and another GID if that is
    taken. non_unique: fine if the GID is taken.
    """

    __slots__ = ("force", "gid", "name", "non_unique", "passwd", "system", "users")
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
            raise Fail(E_NAME_IN_USE, f"group '{fsdecode(self.name)}' already exists")
        if self.gid is not None and not self.non_unique and facts.has_gid(self.gid):
            if not self.force:
                raise Fail(E_GID_IN_USE, f"GID '{self.gid}' already exists")
            return None
        return self.gid

    def edit(self, database: Database, plan: int | None, facts: Facts, report: Report) -> None:
        report.kind = "ADD_GROUP"
        report.if_failed("", self.name)
        try:
            gid = facts.free_id("GID", self.system) if plan is None else plan
        except NoId as error:
            raise Fail(E_GID_IN_USE, str(error)) from None
        paths = group_paths(database, facts)
        for path in paths:
            report.if_failed(f"adding group to {path}", self.name)
        check_members(self.users, facts)
        add_group(database, self.name, gid, self.passwd, self.users)
        name = fsdecode(self.name)
        report.uid = gid
        for path, number in zip(paths, (f", GID={gid}", ""), strict=False):
            report.done(f"group added to {path}: name={name}{number}", f"adding group to {path}")
        report.done(f"new group: name={name}, GID={gid}", "")


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
        return self._touched(name, gid), ("gshadow", "passwd")

    def _touched(self, name: bytes | None, gid: int | None) -> list[str]:
        gshadow = self.passwd is not None or name is not None
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
        members = None
        if self.users is not None:
            check_members(self.users, facts)
            members = join_members(group.members if self.append else (), self.users)
        change_group(database, self.name, name, gid, self.passwd, members)
        for path, change in changes:
            report.done(f"group changed in {path} ({change})", f"changing {path}; {change}", self.name)
        report.done("", "modifying group", self.name)

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
        files = self._touched(name, gid)
        return [(facts.shown(file), changes[file]) for file in files if file == "group" or facts.is_present(file)]


class RemoveGroup(Request):
    """A group is deleted. force: also when it is a user's primary group."""

    __slots__ = ("force", "name")
    DEFAULTS: ClassVar[dict[str, Any]] = {"force": False}
    name: bytes
    force: bool

    def files(self, plan: int, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("group", "gshadow"), ("passwd",)

    def check(self, facts: Facts, report: Report, looked: Any) -> int:
        """The GID of the group."""
        database = facts.view(("passwd", "group"))
        gid = facts.find_group(self.name)
        if gid is None:
            raise Fail(E_NOTFOUND, f"group '{fsdecode(self.name)}' does not exist")
        if not self.force:
            for user in database.primary_users(gid)[:1]:
                raise Fail(E_GROUP_BUSY, f"cannot remove the primary group of user '{fsdecode(user.name)}'")
        return gid

    def edit(self, database: Database, plan: int, facts: Facts, report: Report) -> None:
        report.kind, report.uid = "DEL_GROUP", plan
        report.if_failed("", self.name)
        paths = group_paths(database, facts)
        for path in paths:
            # The type of these is as odd in shadow.
            report.if_failed(f"removing group from {path}", self.name, kind="ADD_GROUP")
        if not delete_group(database, self.name):
            # Only another NSS service has it.
            raise FileError("group", "remove", self.name)
        name = fsdecode(self.name)
        for path in paths:
            report.done(f"group '{name}' removed from {path}", f"removing group from {path}")
        report.done(f"group '{name}' removed", "")


def group_paths(database: Database, facts: Facts) -> list[str]:
    """The paths, for messages, of the files that a group is in: group, and gshadow where that is in use."""
    return [facts.shown(name) for name in ("group", "gshadow")[: 1 + database.gshadow.present]]


def check_members(users: Iterable[bytes], facts: Facts) -> None:
    """Whether all users exist. Raises Fail."""
    for user in users:
        if facts.find_user(user) is None:
            # The real tool says this without its name in front.
            raise Fail(E_GRP_UPDATE, text=f"Invalid member username {fsdecode(user)}\n")

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
    goes to the group row only. Raises GroupRefusal for the name and GID of an image group, FileError where
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


def delete_group(database: Database, name: bytes) -> bool:
    """Remove a group and its gshadow row; False when there is no such group row. Raises GroupRefusal."""
    removed = database.group.remove(name)
    if removed and database.gshadow.present:
        database.gshadow.remove(name)
    return removed
