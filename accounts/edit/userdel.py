# SPDX-License-Identifier: MIT
"""A user is removed: passwd and shadow, memberships, subordinate ids, its own group. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import E_NOTFOUND, E_USER_BUSY, Fail, FileError
from accounts.model.records import MAX_ULONG, Passwd, drop_member
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database


class RemoveUser(Request):
    """A user is removed. files_too: home and mail spool; selinux: the mapping to an SELinux user.

    force: also a user who is logged in, files that are not the user's, a group that is another user's primary one.
    """

    __slots__ = ("files_too", "force", "name", "selinux")
    DEFAULTS: ClassVar[dict[str, Any]] = {"force": False, "files_too": False, "selinux": False}
    HOOKS = "userdel"
    COVERS_STEPS = False
    name: bytes
    force: bool
    files_too: bool
    selinux: bool

    def look(self, facts: Facts, report: Report) -> int:
        """The UID."""
        report.kind = "DEL_USER"
        try:
            user = facts.view(("passwd",), ("passwd",)).passwd.get(self.name)
        except FileError:
            user = None
        if user is None:
            report.if_failed("deleting user not found", self.name)
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist")
        # The real tool, started with --root, does not ask.
        pid = facts.find_process(user.name, user.uid) if facts.live else None
        if pid is not None:
            busy = f"user {fsdecode(self.name)} is currently used by process {pid}"
            if not self.force:
                report.if_failed("deleting user logged in", self.name)
                raise Fail(E_USER_BUSY, busy)
            report.warnings.append(busy)
        report.if_failed("deleting user", self.name, user.uid)
        uid: int = user.uid
        return uid

    def files(self, plan: int, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("passwd", "shadow", "group", "gshadow", "subuid", "subgid"), ()

    def check(self, facts: Facts, report: Report, looked: int) -> Passwd:
        """The row of the user."""
        report.if_failed("deleting user", self.name, looked)
        passwd = facts.view(("passwd",)).passwd
        user: Passwd | None = passwd.get(self.name)
        if user is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist")
        # Before shadow's warnings about groups, which would be about nothing.
        passwd.may_lose_root = self.force
        passwd.check_removal(self.name)
        return user

    def edit(self, database: Database, plan: Passwd, facts: Facts, report: Report) -> None:
        report.uid = plan.uid
        delete_user(database, self.name, self.force, facts.defs.get_bool("USERGROUPS_ENAB"), report)
        # crontab -r -u and the like need the account, so this comes before the commit.
        report.before.append(("run_userdel_cmd", (self.name,)))
        if self.files_too:
            others = [(row.name, row.home) for row in database.passwd]
            report.steps.append(("remove_files", (plan, self.force, others)))
        if self.selinux:
            report.steps.append(("map_selinux_user", (self.name, b"")))


def delete_user(database: Database, name: bytes, force: bool, private_groups: bool, report: Report) -> None:
    """Remove a user and its memberships, and with private_groups (USERGROUPS_ENAB) its own group.

    force: also when it is another user's primary group. Raises Fail, FileError and Refusal.
    """
    from accounts.model.ids import remove_subid_range, retire_ranges

    user = database.passwd.get(name)
    if user is None:
        raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist")
    database.passwd.may_lose_root = force
    if not database.passwd.remove(name):
        raise FileError("passwd", "remove", name)
    database.shadow.remove(name)
    for ranges in (database.tables["subuid"], database.tables["subgid"]):
        ranges.take_over(name, 0, MAX_ULONG)
        retire_ranges(database, ranges.name, name)
        remove_subid_range(ranges.local, name, 0, MAX_ULONG)
    who = fsdecode(name)
    report.done(f"delete user '{who}'", "deleting user entries")
    for row in database.group.rows_about(name):
        if name in row.members:
            database.group.put(row.replace(members=drop_member(row.members, name)))
            text = f"delete '{who}' from group '{fsdecode(row.name)}'"
            report.done(text, "deleting user from group", group=row.name)
    if private_groups:
        _delete_private_group(database, user, force, report)
    for shadow in database.gshadow.rows_about(name):
        if name in shadow.members or name in shadow.admins:
            members, admins = drop_member(shadow.members, name), drop_member(shadow.admins, name)
            database.gshadow.put(shadow.replace(members=members, admins=admins))
            text = f"delete '{who}' from shadow group '{fsdecode(shadow.name)}'"
            report.done(text, "deleting user from shadow group", group=shadow.name)


def _delete_private_group(database: Database, user: Passwd, force: bool, report: Report) -> None:
    group = database.group.get(user.name)
    if group is None:
        return
    name = fsdecode(user.name)
    if group.gid != user.gid:
        report.warnings.append(f"group {name} not removed because it is not the primary group of user {name}.")
    elif group.members:
        report.warnings.append(f"group {name} not removed because it has other members.")
    elif not force and any(other.name != user.name for other in database.primary_users(group.gid)):
        report.warnings.append(f"group {name} is the primary group of another user and is not removed.")
    else:
        database.group.remove(user.name)
        text = f"removed group '{name}' owned by '{name}'"
        report.done(text, "deleting group", user.name, "DEL_GROUP", group=user.name)
        if database.gshadow.remove(user.name):
            text = f"removed shadow group '{name}' owned by '{name}'"
            report.done(text, "deleting shadow group", user.name, "DEL_GROUP", group=user.name)
