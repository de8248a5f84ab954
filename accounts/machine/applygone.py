# SPDX-License-Identifier: MIT
"""What apply has made and is declared no more: users are locked, or removed where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from accounts.edit.ageing import SetAgeing
from accounts.edit.groupdel import RemoveGroup
from accounts.edit.userdel import RemoveUser
from accounts.edit.usermod import ChangeUser
from accounts.errors import E_GROUP_BUSY, E_USER_BUSY, AccountsError, Fail
from accounts.machine.applied import LOCKED, MemoryLine
from accounts.machine.applyusers import EXPIRED, is_locked
from accounts.machine.words import shown
from accounts.model.database import ID_FIELDS
from accounts.text import fsdecode

if TYPE_CHECKING:
    from accounts.machine.apply import Convergence
    from accounts.machine.declaration import DeclaredAccount


class Removal:
    """One run. An account that apply has only changed, and one of the image, stays as it is."""

    def __init__(self, run: Convergence) -> None:
        self._run = run
        self._database = run.database
        # Group -> the first user whose entry lists it.
        self._needed: dict[bytes, bytes] = {}

    def end_users(self) -> None:
        """Before anything is made: a group that goes with its user may be declared. Raises AccountsError."""
        self._end_all("passwd", self._run.declaration.users)

    def end_groups(self) -> None:
        """When nobody needs them any more: not those that a user is declared to be in. Raises AccountsError."""
        for user in self._run.declaration.users.values():
            for group in user.values.get("groups", ()):
                self._needed.setdefault(group, user.name)
        self._end_all("group", self._run.declaration.groups)

    def _end_all(self, database: str, entries: Mapping[bytes, DeclaredAccount]) -> None:
        lines = self._run.memory.lines
        for name in sorted(name for one, name in lines if one == database and name not in entries):
            if self._run.is_ours(lines[database, name].flags):
                self._end(database, name, lines[database, name])

    def _end(self, database: str, name: bytes, line: MemoryLine) -> None:
        layered, memory = self._database.tables[database], self._run.memory
        row = layered.get(name)
        self._run.forget_changed(database, name, None if row is None else getattr(row, ID_FIELDS[database]))
        if (database, name) not in memory.lines:
            return
        if not line.made or layered.origin(name) != "local":
            # An image has taken it over, or had it before.
            del memory.lines[database, name]
            return
        remove = "remove" in line.flags or (self._run.declaration.remove and "keep" not in line.flags)
        if database == "group":
            if remove and not self._is_private(name):
                self._remove_group(name)
        elif not (remove and self._remove_user(name)) and line.state != LOCKED:
            self._lock(name, line)

    def _is_private(self, group: bytes) -> bool:
        """Whether it is the own group of a user who stays: that it was not declared by itself says nothing."""
        user = self._database.passwd.get(group)
        return user is not None and user.gid == self._run.group(group).gid

    def _remove_user(self, name: bytes) -> bool:
        """Remove a user, not its home; False for one who is logged in, and goes in a later run."""
        row = self._run.user(name)
        try:
            self._run.do(RemoveUser(name=name), None)
        except Fail as error:
            if error.why != E_USER_BUSY:
                raise
            self._run.outcome.note("kept", "user", name, f"not removed yet: {error.message}")
            return False
        self._run.memory.bury("passwd", name)
        self._run.facts.give_back("UID", row.uid)
        if self._database.group.get(name) is None:
            self._run.memory.bury("group", name)
            self._run.facts.give_back("GID", row.gid)
        self._run.outcome.note("removed", "user", name, "removed; files stay")
        return True

    def _remove_group(self, name: bytes) -> None:
        if name in self._needed:
            user = shown(self._needed[name])
            self._run.outcome.note("kept", "group", name, f"not removed: user {user} is to be in it")
            return
        try:
            self._run.do(RemoveGroup(name=name), None)
        except Fail as error:
            if error.why != E_GROUP_BUSY:
                raise
            self._run.outcome.note("kept", "group", name, f"not removed: {error.message}")
            return
        self._run.memory.bury("group", name)
        self._run.outcome.note("removed", "group", name, "removed")

    def _lock(self, name: bytes, line: MemoryLine) -> None:
        database = self._database
        shadow = database.shadow.get(name) if database.shadow.present else None
        row = self._run.user(name)
        current = row.passwd if shadow is None else shadow.passwd
        try:
            if not current.startswith(b"!"):
                self._run.do(ChangeUser(name=name, lock=True), None)
            expire = -1 if shadow is None else shadow.expire
            if database.shadow.present and expire != EXPIRED:
                self._run.do(SetAgeing(name=name, days={"expire": EXPIRED}, today=self._run.facts.today()), None)
        except AccountsError as error:
            error.message = f"{fsdecode(name)}, which is declared no more, cannot be locked: {error}"
            raise
        line.state, line.expire = LOCKED, expire
        line.flags |= {"held"} if is_locked(current) else set()
        self._run.outcome.note("locked", "user", name, "locked: it is declared no more")
