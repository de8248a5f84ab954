# SPDX-License-Identifier: MIT
"""Edits of the members, administrators and password of a group: group and gshadow kept in step. Pure.

A pair is what shadow works on: the group row and, where gshadow is in use, its gshadow row.
"""

from __future__ import annotations

from accounts.edit.groups import group_paths
from accounts.edit.request import Request
from accounts.errors import (
    E_BAD_ARG,
    E_INVALID_GROUP,
    E_INVALID_USER,
    E_MEMBER_EXISTS,
    E_NOPERM,
    E_NOT_MEMBER,
    Fail,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.records import SHADOWED, Group, Gshadow, drop_member, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Record, Report

    Pair = tuple[Group, Gshadow | None]

LOG_ERR = 3
FILES = ("group", "gshadow")


class ChangeMembers(Request):
    """What gpasswd(1) changes of a group: one thing, or its members and administrators.

    add, remove: a user; members, administrators: the new list, joined with commas; no_password: whether the password
    is taken away; restrict: whether it is locked; passwd: a new one, already encrypted. caller: who asks, who has to be
    an administrator of the group unless it is root.
    """

    __slots__ = ("add", "administrators", "caller", "members", "name", "no_password", "passwd", "remove", "restrict")
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "add": None, "remove": None, "members": None, "administrators": None, "no_password": False, "restrict": False,
        "passwd": None, "caller": b"root",
    }  # fmt: skip
    name: bytes
    add: bytes | None
    remove: bytes | None
    members: bytes | None
    administrators: bytes | None
    no_password: bool
    restrict: bool
    passwd: bytes | None
    caller: bytes

    def look(self, facts: Facts, report: Report) -> None:
        """What is wrong before the locks is found by who asks: the tool speaks in between."""
        self._note_failure(facts, report, [])

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def check(self, facts: Facts, report: Report, looked: None) -> Pair:
        """The rows as they are to be."""
        database = facts.view(FILES)
        self._note_failure(facts, report, group_paths(database, facts))
        pair = find_pair(database, self.name, facts)
        self.check_caller(pair)
        return self.apply(pair)

    def check_caller(self, pair: Pair) -> None:
        """Whether the caller may change the group. Raises Fail."""
        if self.caller == b"root":
            return
        shadow = pair[1]
        # As gpasswd.c has it: who may be an administrator, and the whole list of members, is root's to say.
        lists = self.administrators is not None or self.members is not None
        if lists or shadow is None or self.caller not in shadow.admins:
            raise Fail(E_NOPERM, "Permission denied.")

    def edit(self, database: Database, plan: Pair, facts: Facts, report: Report) -> None:
        put_pair(database, plan)
        report.log += [done for done, _ in self._describe()]
        if facts.release < (4, 17):
            report.audit += [(self._kind(), done, self.name, None, True, b"") for done in report.log]
        else:
            report.audit += self._records(True)

    def apply(self, pair: Pair) -> Pair:
        """The rows as they are to be, of those that are there. Raises Fail."""
        if self.no_password:
            return set_password(pair, b"")
        if self.restrict:
            return set_password(pair, b"!")
        if self.add is not None:
            return add_member(pair, self.add)
        if self.remove is not None:
            left = remove_member(pair, self.remove)
            if left is None:
                user = fsdecode(self.remove)
                raise Fail(E_BAD_ARG, f"user '{user}' is not a member of '{fsdecode(self.name)}'")
            return left
        if self.administrators is not None:
            pair = set_admins(pair, _split(self.administrators))
        if self.members is not None:
            pair = set_members(pair, _split(self.members))
        return pair if self.passwd is None else set_password(pair, self.passwd)

    def _note_failure(self, facts: Facts, report: Report, paths: list[str]) -> None:
        """What syslog and audit are told of a failure, last one first. paths: of the files, once they are open."""
        failures = [f"{fsdecode(self.caller)} {failed}" for _, failed in self._describe()]
        for path in reversed(paths):
            if facts.release >= (4, 17):
                report.failed += reversed(self._records(False))
                continue
            for failed in reversed(failures):
                report.if_failed(f"{failed} in {path}", self.name, kind=self._kind())
        report.failed += [(LOG_ERR, failed, False) for failed in reversed(failures)]

    def _kind(self) -> str:
        about_users = not (self.no_password or self.restrict or self.passwd is not None)
        return "USER_ACCT" if about_users else "USER_CHAUTHTOK"

    def _records(self, success: bool) -> list[Record]:
        """The audit records since 4.17."""
        told: list[tuple[str, str, bytes]] = []
        if self.add is not None:
            told.append(("USER_MGMT", "add-user-to-group", self.add))
        elif self.remove is not None:
            told.append(("USER_MGMT", "delete-user-from-group", self.remove))
        elif self.no_password:
            told.append(("GRP_CHAUTHTOK", "delete-group-password", self.caller))
        elif self.restrict:
            told.append(("GRP_MGMT", "restrict-group", self.caller))
        elif self.passwd is not None:
            told.append(("GRP_CHAUTHTOK", "change-password", self.caller))
        else:
            if self.administrators is not None:
                told.append(("GRP_MGMT", "set-admins-of-group", self.administrators))
            if self.members is not None:
                told.append(("USER_MGMT", "add-users-to-group", self.members))
        return [(kind, operation, who, None, success, self.name) for kind, operation, who in told]

    def _describe(self) -> list[tuple[str, str]]:
        """(what was done, what failed) for syslog and audit."""
        group, who = fsdecode(self.name), fsdecode(self.caller)
        if self.add is not None:
            user = fsdecode(self.add)
            return [(f"user {user} added by {who} to group {group}", f"failed to add user {user} to group {group}")]
        if self.remove is not None:
            user = fsdecode(self.remove)
            done = f"user {user} removed by {who} from group {group}"
            return [(done, f"failed to remove user {user} from group {group}")]
        if self.no_password:
            return [(f"password of group {group} removed by {who}", f"failed to remove password of group {group}")]
        if self.restrict:
            return [(f"access to group {group} restricted by {who}", f"failed to restrict access to group {group}")]
        if self.passwd is not None:
            return [(f"password of group {group} changed by {who}", f"failed to change password of group {group}")]
        lists = (("administrators", self.administrators), ("members", self.members))
        return [
            (
                f"{what} of group {group} set by {who} to {fsdecode(users)}",
                f"failed to set the {what} of group {group} to {fsdecode(users)}",
            )
            for what, users in lists
            if users is not None
        ]


class ChangeOwnGroup(Request):
    """What groupmems(8) changes of a group: add or remove a member, or purge them all and the administrators."""

    __slots__ = ("add", "name", "purge", "remove")
    DEFAULTS: ClassVar[dict[str, Any]] = {"add": None, "remove": None, "purge": False}
    name: bytes
    add: bytes | None
    remove: bytes | None
    purge: bool

    def look(self, facts: Facts, report: Report) -> None:
        """Nothing is looked at before the locks."""

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        check_group(database, self.name, facts)
        pair = get_pair(database, self.name)
        assert pair is not None
        group = fsdecode(self.name)
        if self.add is not None:
            if self.add in pair[0].members:
                raise Fail(E_MEMBER_EXISTS, f"user '{fsdecode(self.add)}' is already a member of '{group}'")
            put_pair(database, add_member(pair, self.add))
        elif self.remove is not None:
            left = remove_member(pair, self.remove, admin_too=True) if self.remove in pair[0].members else None
            if left is None:
                raise Fail(E_NOT_MEMBER, f"user '{fsdecode(self.remove)}' is not a member of '{group}'")
            put_pair(database, left)
        elif self.purge:
            put_pair(database, set_admins(set_members(pair, ()), ()))


class ChangeMember(Request):
    """A user becomes a member of a group, or with remove no member and administrator any more: busybox's adduser."""

    __slots__ = ("name", "remove", "user")
    DEFAULTS: ClassVar[dict[str, Any]] = {"remove": False}
    name: bytes
    user: bytes
    remove: bool

    def look(self, facts: Facts, report: Report) -> None:
        """Nothing is looked at before the locks."""

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ("passwd",)

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        who, what = fsdecode(self.user), fsdecode(self.name)
        if facts.find_user(self.user) is None:
            raise Fail(E_INVALID_USER, f"unknown user {who}")
        pair = get_pair(database, self.name)
        if pair is None:
            raise Fail(E_INVALID_GROUP, f"unknown group {what}")
        changed = remove_member(pair, self.user, True) if self.remove else add_member(pair, self.user)
        if changed is None:
            raise Fail(E_NOT_MEMBER, f"can't find {who} in {facts.shown('group')}")
        put_pair(database, changed)
        done = "remove '{}' from group '{}'" if self.remove else "add '{}' to group '{}'"
        report.log.append(done.format(who, what))


def check_group(database: Database, name: bytes, facts: Facts) -> Group:
    """The row of a group that groupmems is to list or change. Raises Fail."""
    group: Group | None = database.group.get(name)
    if group is None:
        raise Fail(E_INVALID_GROUP, f"group '{fsdecode(name)}' does not exist in {facts.shown('group')}")
    return group


def find_pair(database: Database, name: bytes, facts: Facts) -> Pair:
    """The rows of a group that gpasswd is to change. Raises Fail."""
    pair = get_pair(database, name)
    if pair is None:
        raise Fail(E_BAD_ARG, f"group '{fsdecode(name)}' does not exist in {facts.shown('group')}")
    return pair


def _split(names: bytes) -> tuple[bytes, ...]:
    return tuple(names.split(b",")) if names else ()


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
    """Write both rows back. Raises Refusal."""
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


def remove_member(pair: Pair, user: bytes, admin_too: bool = False) -> Pair | None:
    """The pair without a member (and administrator); None when no row lists the user."""
    group, shadow = pair
    if user not in group.members and (shadow is None or user not in shadow.members):
        return None
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
