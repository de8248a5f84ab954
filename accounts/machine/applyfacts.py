# SPDX-License-Identifier: MIT
"""Facts for thousands of requests on one database: what is asked by id is kept in sets, not searched for each time."""

from __future__ import annotations

from accounts.machine.applied import Memory
from accounts.model.database import Database
from accounts.model.ids import IdPool
from accounts.system import nss
from accounts.system.known import Facts

_TABLES = {"UID": "passwd", "GID": "group"}
_ASK = {"UID": nss.has_uid, "GID": nss.has_gid}


class BatchFacts(Facts):
    """Facts of an open database. Ids that memory has, and those reserved, are given to nobody else.

    owner: the account that the next free_id() is for, which gets back what it had.
    """

    def __init__(self, facts: Facts, database: Database, memory: Memory, reserved: dict[str, set[int]]) -> None:
        vars(self).update(vars(facts))
        self.owner = b""
        self._memory = memory
        self._taken = {kind: database.tables[name].ids() for kind, name in _TABLES.items()}
        self._remembered = {kind: memory.ids(name) for kind, name in _TABLES.items()}
        self._reserved = reserved
        self._asks = {kind: self.target.asks_nss(name) for kind, name in _TABLES.items()}
        self._pools: dict[tuple[str, bool], IdPool] = {}

    def has_uid(self, uid: int) -> bool:
        """Whether a UID is taken."""
        return self._is_taken("UID", uid)

    def has_gid(self, gid: int) -> bool:
        """Whether a GID is taken."""
        return self._is_taken("GID", gid)

    def _is_taken(self, kind: str, number: int) -> bool:
        return number in self._taken[kind] or (self._asks[kind] and _ASK[kind](number))

    def take(self, kind: str, number: int) -> None:
        """An account has got the id."""
        self._taken[kind].add(number)
        for (one, _), pool in self._pools.items():
            if one == kind:
                pool.add(number)

    def give_back(self, kind: str, number: int) -> None:
        """An account with the id is gone; it is only remembered now."""
        self._taken[kind].discard(number)

    def former(self, kind: str, name: bytes) -> int | None:
        """The id that an account of that name had, where nobody has it."""
        number = self._memory.id_of(_TABLES[kind], name)
        return None if number is None or self._is_taken(kind, number) else number

    def former_owner(self, kind: str, number: int, name: bytes) -> bytes | None:
        """Another account that had an id which is nobody's now."""
        others = self._remembered[kind].get(number, set()) - {name}
        return None if not others or self._is_taken(kind, number) else min(others)

    def free_id(self, kind: str, system: bool, preferred: int | None = None) -> int:
        """As Facts.free_id(); a UID that is preferred for a GID is taken although it is reserved for the user."""
        number = self.former(kind, self.owner)
        if number is not None:
            return number
        if preferred is not None and preferred in self._reserved[kind] and not self._is_taken(kind, preferred):
            preferred = None
        pool = self._pools.get((kind, system))
        if pool is None:
            pool = self._pools[kind, system] = self.id_pool(kind, system)
            pool.used |= self._remembered[kind].keys() | self._reserved[kind] | self._taken[kind]
        return pool.find(preferred)
