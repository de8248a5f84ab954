# SPDX-License-Identifier: MIT
"""A declaration is made true, in one commit: the request of `accounts apply`.

It is made of the requests of the tools: AddGroup, ChangeGroup, AddUser, ChangeUser, SetAgeing, RemoveUser, RemoveGroup,
with their rules. What is not declared stays; what was, and is no more, is locked, or removed (docs/machine.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from accounts import progress
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupmod import ChangeGroup
from accounts.edit.request import Report, Request
from accounts.errors import E_GID_IN_USE, E_UID_IN_USE, AccountsError, BadArgument, Done
from accounts.machine.applied import ORIGINS, PRESENT, Memory, MemoryLine, format_memory, parse_memory
from accounts.machine.applyfacts import BatchFacts
from accounts.machine.applygone import Removal
from accounts.machine.applymembers import Members
from accounts.machine.applysubids import Subids
from accounts.machine.applyusers import Users
from accounts.machine.declaration import Declaration, DeclaredAccount
from accounts.machine.delta import FILES
from accounts.machine.edits import EditAll
from accounts.machine.words import shown
from accounts.model.database import APPLIED, Database
from accounts.model.records import Group, Passwd
from accounts.system.known import Facts

# What a request's failure is about.
_KEYS = {E_UID_IN_USE: "uid", E_GID_IN_USE: "gid"}


@dataclass(frozen=True)
class Action:
    """One thing that was done, or would be. what: made, changed, joined, left, locked, unlocked, removed, home or kept.

    kind: user or group; text: what happened to it.
    """

    what: str
    kind: str
    name: bytes
    text: str

    def to_json(self) -> dict[str, str]:
        """As docs/schemas/apply.json."""
        return {"what": self.what, "kind": self.kind, "name": shown(self.name), "text": self.text}

    def __str__(self) -> str:
        return f"{self.kind} {shown(self.name)}: {self.text}"


@dataclass
class ActionLog:
    """What came of a declaration, in order."""

    actions: list[Action] = field(default_factory=list)

    def note(self, what: str, kind: str, name: bytes, text: str) -> None:
        """One more action."""
        self.actions.append(Action(what, kind, name, text))


class ApplyDeclaration(Request):
    """Make a declaration true.

    passwords: name of a user -> its hash; read_memory: gives the bytes of /etc/accounts/applied, None for no file;
    is_there, is_unfinished: whether a path exists in the root, or is a home that was not finished; outcome: is filled.
    has_credentials: whether what only credentials declared once, and is declared no more, is gone: else nobody knows.
    named: whether it comes from directories that were named; it has nothing to do with what the standard ones declare.
    """

    __slots__ = (
        "declaration",
        "has_credentials",
        "is_there",
        "is_unfinished",
        "named",
        "outcome",
        "passwords",
        "read_memory",
    )
    declaration: Declaration
    passwords: Mapping[bytes, bytes]
    read_memory: Callable[[], bytes | None]
    is_there: Callable[[bytes], bool]
    is_unfinished: Callable[[bytes], bool]
    outcome: ActionLog
    has_credentials: bool
    named: bool

    @property
    def CREATES(self) -> tuple[str, ...]:  # type: ignore[override]
        """Subordinate ids that are declared need no file that is there already."""
        entries = self.declaration.users.values()
        return tuple(name for name in ("subuid", "subgid") if any(entry.values.get(name) for entry in entries))

    def look(self, facts: Any, report: Report) -> None:
        """What is wrong before the locks has been found by who has read the declaration."""

    def files(self, plan: None, facts: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def edit(self, database: Database, plan: None, facts: Any, report: Report) -> None:
        Convergence(self, database, facts, report).run()


class Convergence:
    """One run over an open database."""

    def __init__(self, request: ApplyDeclaration, database: Database, facts: Facts, report: Report) -> None:
        self.declaration = request.declaration
        self.passwords = request.passwords
        self.is_there, self.is_unfinished = request.is_there, request.is_unfinished
        self.outcome = request.outcome
        self.database = database
        self.report = report
        self._old = request.read_memory()
        self.memory = parse_memory(self._old or b"")
        self._named, self._has_credentials = request.named, request.has_credentials
        self.facts = BatchFacts(facts, database, self.memory, self._reserved())
        # The reports of requests whose steps come after the commit, and homes: arguments of publish.create_home.
        self.followed: list[Report] = []
        self.homes: list[tuple[Any, ...]] = []
        report.kind = "ADD_USER"

    def run(self) -> None:
        """All of it. Raises AccountsError, which names the place in the declaration."""
        gone = Removal(self)
        gone.end_users()
        for entry in self._in_order(self.declaration.groups, "gid"):
            self._converge_group(entry)
        subids = Subids(self)
        subids.declare()
        users = Users(self, subids)
        for entry in progress.track(self._in_order(self.declaration.users, "uid"), "declaring users"):
            users.converge(entry)
        members = Members(self)
        members.converge()
        gone.end_groups()
        users.remember()
        self._remember_groups()
        members.remember()
        subids.finish()
        put_memory(self.database, self._old, self.memory)
        if self.followed:
            self.report.steps.append(("run_all_steps", (self.followed,)))
        if self.homes:
            self.report.steps.append(("create_homes", (self.homes,)))

    def do(
        self, request: Request, entry: DeclaredAccount | None, key: str = "", tune: Callable[[Any], None] | None = None
    ) -> Report:
        """A request of a tool, as accounts.change takes it; its steps come after the commit.

        key: what of the entry it is about; tune: gets the plan before it is edited. Raises BadArgument with the place.
        """
        sub = Report()
        facts: Any = self.facts
        try:
            request.validate(facts)
            plan = request.look(facts, sub)
            request.files(plan, facts)
            if tune is None:
                plan = request.check(facts, sub, plan)
            else:
                tune(plan)
            request.edit(self.database, plan, facts, sub)
        except Done:
            return sub
        except AccountsError as error:
            self.report.failed += sub.failed
            raise self.located(entry, error, key) from None
        for name in ("warnings", "log", "audit", "before"):
            getattr(self.report, name).extend(getattr(sub, name))
        if sub.steps:
            self.followed.append(sub)
        return sub

    def located(self, entry: DeclaredAccount | None, error: AccountsError, key: str = "") -> AccountsError:
        """The error with the place of the entry, or of the key that it is about."""
        if entry is None:
            return error
        place = entry.where(key or _KEYS.get(error.why, ""))
        return BadArgument(f"{place}: {'; '.join(str(error).split(chr(10)))}")

    def fault(self, entry: DeclaredAccount, key: str, text: str) -> BadArgument:
        """An error about a key."""
        return BadArgument(f"{entry.where(key)}: {text}")

    def _in_order(self, entries: Mapping[bytes, DeclaredAccount], key: str) -> list[DeclaredAccount]:
        """Those with fixed ids first: nobody else gets one."""
        return sorted(entries.values(), key=lambda entry: key not in entry.values)

    def _reserved(self) -> dict[str, set[int]]:
        users, groups = self.declaration.users.values(), self.declaration.groups.values()
        return {
            "UID": {entry.values["uid"] for entry in users if "uid" in entry.values},
            "GID": {entry.values["gid"] for entry in groups if "gid" in entry.values},
        }

    def check_former(self, entry: DeclaredAccount, key: str, number: int) -> None:
        """An id that was another account's is never given again. Raises BadArgument."""
        kind = key.upper()
        other = self.facts.former_owner(kind, number, entry.name)
        if other is not None:
            text = f"{kind} {number} was that of '{shown(other)}', and files may have it still: take another one"
            raise self.fault(entry, key, text)

    def _converge_group(self, entry: DeclaredAccount) -> None:
        name, gid = entry.name, entry.values.get("gid")
        row = self.database.group.get(name)
        self.forget_changed("group", name, None if row is None else row.gid)
        if row is None:
            self.facts.owner = name
            if gid is None:
                gid = self.facts.former("GID", name)
            else:
                self.check_former(entry, "gid", gid)
            system = bool(entry.get("system", False))
            self.do(AddGroup(name=name, gid=gid, system=system), entry)
            gid = self.group(name).gid
            self.facts.take("GID", gid)
            self.made("group", name, gid)
            self.outcome.note("made", "group", name, f"made, GID {gid}")
        elif gid is not None and gid != row.gid:
            self.check_former(entry, "gid", gid)
            self.do(ChangeGroup(name=name, gid=gid), entry, "gid")
            self.facts.take("GID", gid)
            self.renumber("group", name, gid)
            self.outcome.note("changed", "group", name, f"GID {row.gid} -> {gid}")

    def user(self, name: bytes) -> Passwd:
        """The row of a user who is there."""
        row: Passwd | None = self.database.passwd.get(name)
        assert row is not None
        return row

    def group(self, name: bytes) -> Group:
        """The row of a group that is there."""
        row: Group | None = self.database.group.get(name)
        assert row is not None
        return row

    # Memory

    def made(self, database: str, name: bytes, number: int) -> None:
        """An account is new: of apply."""
        self.memory.lines[database, name] = MemoryLine(number, flags=frozenset(("made",)))

    def renumber(self, database: str, name: bytes, number: int) -> None:
        """An account has another id; the old one is not given again."""
        line = self.memory.lines.get((database, name))
        if line is not None:
            self.memory.retire(database, name, line.id)
            line.id = number

    def forget_changed(self, database: str, name: bytes, number: int | None) -> None:
        """What somebody has removed, or made anew with another id, is not apply's any more. number: its id now."""
        line = self.memory.lines.get((database, name))
        if line is not None and line.id != number:
            self.memory.bury(database, name)

    def finish_home(self, name: bytes) -> None:
        """The home is there."""
        finish_home(self.memory, name)

    def origin(self, entry: DeclaredAccount) -> frozenset[str]:
        """Where an entry comes from, as memory has it."""
        return frozenset(("passed",) * entry.passed + ("named",) * self._named)

    def is_ours(self, origin: frozenset[str]) -> bool:
        """Whether this run has read where something was declared once: what it does not find there is gone."""
        return ("named" in origin) == self._named and ("passed" not in origin or self._has_credentials)

    def flag(self, database: str, entry: DeclaredAccount) -> None:
        """Remember what an entry says of `remove`, and where it comes from."""
        line = self.memory.lines.get((database, entry.name))
        if line is not None:
            said = {True: {"remove"}, False: {"keep"}, None: set[str]()}[entry.values.get("remove")]
            line.flags = line.flags - {"remove", "keep"} - ORIGINS | said | self.origin(entry)

    def _remember_groups(self) -> None:
        for entry in self.declaration.groups.values():
            self.flag("group", entry)


class FinishHomes(EditAll):
    """The homes of some users have been made. Arguments as ApplyDeclaration's."""

    __slots__ = ("names", "read_memory")
    names: Collection[bytes]
    read_memory: Callable[[], bytes | None]

    def edit(self, database: Database, plan: None, facts: Any, report: Report) -> None:
        old = self.read_memory()
        memory = parse_memory(old or b"")
        for name in self.names:
            finish_home(memory, name)
        put_memory(database, old, memory)


def finish_home(memory: Memory, name: bytes) -> None:
    """Forget that a home is being made, and all of an account of which there is nothing else to remember."""
    line = memory.lines.get(("passwd", name))
    if line is not None and "home" in line.flags:
        line.flags -= {"home"}
        if not line.made and line.state == PRESENT:
            del memory.lines["passwd", name]


def put_memory(database: Database, old: bytes | None, memory: Memory) -> None:
    """Have the memory written with the rows, where it has changed."""
    new = format_memory(memory)
    if new != (old or b""):
        database.others.append((APPLIED, old, new or None))
