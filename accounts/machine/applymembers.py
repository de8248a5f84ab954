# SPDX-License-Identifier: MIT
"""Memberships of a declaration, group by group: each row is written once, however many join."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.edit.request import Report
from accounts.errors import AccountsError
from accounts.machine.words import shown
from accounts.text import fsdecode

if TYPE_CHECKING:
    from accounts.machine.apply import Convergence
    from accounts.machine.declaration import DeclaredAccount
    from accounts.model.database import Layered

Pair = tuple[bytes, bytes]


class Members:
    """Those of one run. What an entry lists is added; what apply has added and nothing lists any more is taken out."""

    def __init__(self, run: Convergence) -> None:
        self._run = run
        self._database = run.database
        # (user, group) -> the entry that says so, and its key.
        self._wanted: dict[Pair, tuple[DeclaredAccount, str]] = {}
        self._added: set[Pair] = set()

    def converge(self) -> None:
        """Change the rows of all groups. Raises BadArgument."""
        run = self._run
        for entry in run.declaration.users.values():
            for group in entry.values.get("groups", ()):
                self._wanted.setdefault((entry.name, group), (entry, "groups"))
        for entry in run.declaration.groups.values():
            for user in entry.values.get("members", ()):
                self._wanted.setdefault((user, entry.name), (entry, "members"))
        groups: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
        for user, group in self._wanted:
            if group not in groups:
                self._check_group(user, group)
                groups[group] = [], []
            self._check_user(user, group)
            groups[group][0].append(user)
        for (user, group), origin in sorted(run.memory.members.items()):
            if (user, group) not in self._wanted and run.is_ours(origin):
                groups.setdefault(group, ([], []))[1].append(user)
        for group, (joining, leaving) in groups.items():
            self._change(group, joining, leaving)

    def remember(self) -> None:
        """What apply has added, as far as it is declared."""
        run = self._run
        kept = {pair: origin for pair, origin in run.memory.members.items() if not run.is_ours(origin)}
        for pair, (entry, _) in self._wanted.items():
            if pair in self._added or pair in run.memory.members:
                kept[pair] = run.origin(entry)
        run.memory.members = kept

    def _check_group(self, user: bytes, group: bytes) -> None:
        entry, key = self._wanted[user, group]
        if self._database.group.get(group) is None:
            raise self._run.fault(entry, key, f"group '{shown(group)}' does not exist: declare it")

    def _check_user(self, user: bytes, group: bytes) -> None:
        entry, key = self._wanted[user, group]
        if key == "members" and self._run.facts.find_user(user) is None:
            raise self._run.fault(entry, key, f"user '{shown(user)}' does not exist: declare it")

    def _change(self, group: bytes, joining: list[bytes], leaving: list[bytes]) -> None:
        row = self._database.group.get(group)
        if row is None:
            return
        there = set(row.members)
        new = [user for user in joining if user not in there]
        gone = {user for user in leaving if user in there}
        if not new and not gone:
            return
        try:
            tables: tuple[Layered, ...] = (self._database.group, self._database.gshadow)
            for layered in tables:
                one = layered.get(group) if layered.present else None
                if one is not None:
                    there = set(one.members)
                    members = tuple(user for user in one.members if user not in gone)
                    layered.put(one.replace(members=members + tuple(user for user in new if user not in there)))
        except AccountsError as error:
            entry, key = self._wanted.get(((*new, *gone)[0], group), (None, ""))
            raise self._run.located(entry, error, key) from None
        self._added |= {(user, group) for user in new}
        self._tell(group, new, sorted(gone))

    def _tell(self, group: bytes, new: list[bytes], gone: list[bytes]) -> None:
        outcome, report = self._run.outcome, Report("USER_CHAUTHTOK")
        name = fsdecode(group)
        for user in new:
            report.done(f"add '{fsdecode(user)}' to group '{name}'", "adding user to group", user)
            outcome.note("joined", "user", user, f"joins group {shown(group)}")
        for user in gone:
            report.done(f"delete '{fsdecode(user)}' from group '{name}'", "removing group member", user)
            outcome.note("left", "user", user, f"leaves group {shown(group)}")
        self._run.report.log += report.log
        self._run.report.audit += report.audit
