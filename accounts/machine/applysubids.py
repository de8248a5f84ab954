# SPDX-License-Identifier: MIT
"""Subordinate ids of a declaration: those that are declared, and for new users free ones, as useradd gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from accounts.edit.useradd import subid_failure
from accounts.errors import E_SUB_GID_UPDATE, E_SUB_UID_UPDATE, NoId
from accounts.machine.words import shown
from accounts.model.ids import SubidPool
from accounts.model.records import MAX_ID, Subid

if TYPE_CHECKING:
    from accounts.machine.apply import Convergence
    from accounts.machine.declaration import DeclaredAccount

_KINDS = {"subuid": ("UID", "user", E_SUB_UID_UPDATE), "subgid": ("GID", "group", E_SUB_GID_UPDATE)}


class Subids:
    """Those of one run."""

    def __init__(self, run: Convergence) -> None:
        self._run = run
        self._pools: dict[str, SubidPool] = {}

    def declare(self) -> None:
        """Give the users the ranges that their entries list, and no others. Raises BadArgument."""
        for name in _KINDS:
            entries = [entry for entry in self._run.declaration.users.values() if name in entry.values]
            if entries:
                self._declare(name, entries)

    def _declare(self, name: str, entries: list[DeclaredAccount]) -> None:
        layered = self._run.database.tables[name]
        rows: dict[bytes, list[tuple[int, Any]]] = {}
        for position, row in layered.local.entries():
            rows.setdefault(row.name, []).append((position, row))
        images: dict[bytes, set[tuple[int, int]]] = {}
        for row in layered.image:
            images.setdefault(row.name, set()).add((row.start, row.count))
        for entry in entries:
            declared = dict.fromkeys(entry.values[name])
            given = images.get(entry.name, set())
            for start, count in given - set(declared):
                text = f"the image gives '{shown(entry.name)}' {start}-{start + count - 1} as well: list that, too"
                raise self._run.fault(entry, name, text)
            mine = rows.get(entry.name, [])
            missing = [one for one in declared if one not in given]
            if [(row.start, row.count) for _, row in mine] == missing:
                continue
            for position, _ in mine:
                layered.local.remove_at(position)
            for start, count in missing:
                layered.local.add(Subid(entry.name, start, count))
            ranges = ", ".join(f"{start}-{start + count - 1}" for start, count in declared) or "none"
            self._run.outcome.note("changed", "user", entry.name, f"{name} {ranges}")
        self._check_overlaps(name, {entry.name: entry for entry in entries})

    def _check_overlaps(self, name: str, entries: dict[bytes, DeclaredAccount]) -> None:
        """Two owners of one id would be able to become each other. Raises BadArgument."""
        before: tuple[int, int, bytes] | None = None
        for start, count, owner in sorted(self._ranges(name)):
            last = start + count - 1
            if last >= MAX_ID and owner in entries:
                raise self._run.fault(entries[owner], name, f"{start}-{last} goes beyond {MAX_ID - 1}")
            if before is not None and start <= before[1] and owner != before[2]:
                for one, other in ((owner, before[2]), (before[2], owner)):
                    if one in entries:
                        text = f"{start}-{min(last, before[1])} belongs to '{shown(other)}' as well"
                        raise self._run.fault(entries[one], name, text)
            if before is None or last > before[1]:
                before = (start, last, owner)

    def _ranges(self, name: str) -> Iterator[tuple[int, int, bytes]]:
        layered = self._run.database.tables[name]
        for table in (layered.local, layered.image):
            for row in table:
                yield row.start, row.count, row.name

    def give(self, entry: DeclaredAccount, uid: int, wanted: list[str]) -> None:
        """Free ranges for a new user, where nothing is declared. wanted: of subuid and subgid. Raises BadArgument."""
        run = self._run
        for name in wanted:
            if name in entry.values:
                continue
            kind, words, why = _KINDS[name]
            pool = self._pools.get(name)
            if pool is None:
                table, reserved = run.database.tables[name], run.facts.reserved_ranges(name)
                pool = SubidPool(table.local, kind, run.facts.defs, table.image, run.facts.release, reserved)
                self._pools[name] = pool
            try:
                pool.give(entry.name, uid, False)
            except NoId as error:
                failure = subid_failure(why, f"can't create subordinate {words} IDs", error, run.facts.release)
                raise run.located(entry, failure) from None

    def finish(self) -> None:
        """Put what was given where it belongs."""
        for pool in self._pools.values():
            pool.write()
