# SPDX-License-Identifier: MIT
"""/etc/accounts/applied: what `accounts apply` has made, so that it can be undone, and no id given twice. Pure.

A line is DATABASE:NAME:ID:STATE:FLAGS:EXPIRE or member:USER:GROUP:FLAGS. STATE is present, locked or removed; EXPIRE
is the expiry of shadow(5) that a lock has replaced. useradd avoids these ids (accounts.model.ids.parse_ledger).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounts.model.database import ID_FIELDS
from accounts.model.records import parse_id, parse_integer

HEADER = b"# What accounts apply has made: see machine.md. Do not edit.\n"
PRESENT, LOCKED, REMOVED = "present", "locked", "removed"
# made: the account was not there before. remove, keep: what the entry said of `remove`. held: the password was locked
# before apply did. home: the home is being made, or was when apply was killed.
FLAGS = ("made", "remove", "keep", "held", "home", "passed", "named")
# Of these, where it was declared: only by a credential; in a directory that was named.
ORIGINS = frozenset(("passed", "named"))


@dataclass
class MemoryLine:
    """What is remembered of an account. id: UID or GID; expire: days since the epoch or -1, of a locked one."""

    id: int
    state: str = PRESENT
    flags: frozenset[str] = frozenset()
    expire: int = -1

    @property
    def made(self) -> bool:
        """Whether apply has made it."""
        return "made" in self.flags


@dataclass
class Memory:
    """The file. lines: (database, name) -> what is there; removed: the same -> former ids.

    members: (user, group) -> where it was declared, of ORIGINS.
    """

    lines: dict[tuple[str, bytes], MemoryLine] = field(default_factory=dict)
    removed: dict[tuple[str, bytes], set[int]] = field(default_factory=dict)
    members: dict[tuple[bytes, bytes], frozenset[str]] = field(default_factory=dict)

    def ids(self, database: str) -> dict[int, set[bytes]]:
        """Id -> whose it is or was."""
        owners: dict[int, set[bytes]] = {}
        for (kind, name), line in self.lines.items():
            if kind == database:
                owners.setdefault(line.id, set()).add(name)
        for (kind, name), numbers in self.removed.items():
            for number in numbers if kind == database else ():
                owners.setdefault(number, set()).add(name)
        return owners

    def id_of(self, database: str, name: bytes) -> int | None:
        """The id that an account of that name had last."""
        line = self.lines.get((database, name))
        if line is not None:
            return line.id
        return max(self.removed.get((database, name), ()), default=None)

    def retire(self, database: str, name: bytes, number: int) -> None:
        """An id is not used any more, and is nobody else's."""
        self.removed.setdefault((database, name), set()).add(number)

    def bury(self, database: str, name: bytes) -> None:
        """The account is gone; its id is retired."""
        line = self.lines.pop((database, name), None)
        if line is not None:
            self.retire(database, name, line.id)


def parse_memory(text: bytes) -> Memory:
    """The file's bytes; lines that say nothing are passed over."""
    memory = Memory()
    for raw in text.split(b"\n"):
        fields = raw.split(b":")
        if fields[0] == b"member" and len(fields) == 4 and all(fields[:3]):
            memory.members[fields[1], fields[2]] = _parse_flags(fields[3]) & ORIGINS
            continue
        database = fields[0].decode("ascii", "replace")
        if database not in ID_FIELDS or len(fields) != 6 or not fields[1]:
            continue
        number, expire = parse_id(fields[2]), parse_integer(fields[5] or b"-1")
        state = fields[3].decode("ascii", "replace")
        if number is None or expire is None:
            continue
        if state == REMOVED:
            memory.retire(database, fields[1], number)
        elif state in (PRESENT, LOCKED):
            memory.lines[database, fields[1]] = MemoryLine(number, state, _parse_flags(fields[4]), expire)
    return memory


def _parse_flags(text: bytes) -> frozenset[str]:
    return frozenset(text.decode("ascii", "replace").split(",")) & frozenset(FLAGS)


def format_memory(memory: Memory) -> bytes:
    """The file's bytes, sorted; b"" for nothing to remember."""
    lines = [
        b"%s:%s:%d:%s:%s:%s" % (database.encode(), name, line.id, line.state.encode(), _flags(line.flags), _day(line))
        for (database, name), line in memory.lines.items()
    ]
    for (database, name), numbers in memory.removed.items():
        lines += [b"%s:%s:%d:removed::" % (database.encode(), name, number) for number in numbers]
    lines += [b"member:%s:%s:%s" % (*pair, _flags(flags)) for pair, flags in memory.members.items()]
    return HEADER + b"".join(line + b"\n" for line in sorted(lines)) if lines else b""


def _flags(flags: Iterable[str]) -> bytes:
    return ",".join(sorted(flags)).encode()


def _day(line: MemoryLine) -> bytes:
    return b"%d" % line.expire if line.state == LOCKED and line.expire >= 0 else b""
