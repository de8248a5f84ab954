# SPDX-License-Identifier: MIT
"""`accounts rebase`: account files, and where that is asked for the files of ids that move, up to an updated image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.change import Change
from accounts.machine import reown
from accounts.machine.delta import refuse_unknown
from accounts.machine.edits import Written, edit_files, read
from accounts.machine.merge import Take
from accounts.machine.movelocal import Move, Pick, move_local
from accounts.machine.rebase import RebaseReport, RebaseStep, rebase
from accounts.machine.words import root_option
from accounts.model.database import Database
from accounts.model.ids import IdPool
from accounts.system.reown import Reowned
from accounts.text import fsdecode


@dataclass
class Updated:
    """What came of it. walk: what became of files, None where no file had to change hands."""

    report: RebaseReport
    written: Written
    walk: Reowned | None = None

    def to_json(self) -> dict[str, Any]:
        """As docs/schemas/rebase.json."""
        walk = self.walk
        notes = None if walk is None else walk.notes
        files = None if walk is None else {"seen": walk.seen, "changed": walk.changed, "notes": notes}
        return {"steps": self.report.to_json(), "files": files, **self.written.to_json()}


def update(
    change: Change,
    take: Take | None = None,
    names: Collection[bytes] = (),
    *,
    move: bool = False,
    paths: Sequence[str] | None = None,
    previous: Path | None = None,
    dry_run: bool = False,
) -> Updated:
    """Rebase; move: collisions end, too, and files follow; paths: where files follow ids that the image has changed.

    paths: RE_OWN of accounts.conf when empty, and for move alone the root's file system; None for no walk but that.
    previous: the root of the earlier image, in place of what this machine remembers. A walk that was interrupted is
    ended first. Raises AccountsError, OSError: what was committed by then is taken up by the next run.
    """
    walks = paths is not None or move
    done: list[Reowned] = []
    if walks and not dry_run:
        done += _finish(change)
    elif reown.find_unfinished(change):
        command = f"accounts rebase{root_option(change)} --re-own"
        change.listener.warn(f"files are left of ids that have changed: {command} goes on with them")
    remembered, known = reown.read_ids(change), None
    if paths is not None:
        known = remembered if previous is None else reown.read_previous(previous)
        paths = paths or fsdecode(change.target.setting(b"RE_OWN", b"")).split()
    where = reown.resolve_paths(change, paths or (("/",) if move else ()))
    planned: list[Move] = []

    def act(database: Database) -> RebaseReport:
        refuse_unknown(database, names)
        report = rebase(database, take, names, remembered)
        if move:
            planned.extend(move_local(database, report, _picker(change), names))
        changed = reown.changed_ids(database, known or {})
        if where or not changed:
            planned.extend(changed)
        report.steps += [_tell(one, bool(where)) for one in changed]
        if planned:
            reown.refuse_shared(database, planned)
            reown.refuse_busy(change, planned)
            reown.refuse_homes_elsewhere(change, database, planned, where)
            if not dry_run:
                reown.begin(change, planned, where)
        return report

    report, written = edit_files(change, "rebase", act, RebaseReport.to_log, dry_run)
    if not dry_run and planned:
        done += _finish(change)
    if not dry_run and paths is not None and not any(step.what == "renumbered" for step in report.steps):
        reown.write_ids(change, read(change))
    if not dry_run and report.settled & (remembered or {}).keys():
        reown.forget_ids(change, report.settled)
    return Updated(report, written, _join(done))


def _finish(change: Change) -> list[Reowned]:
    done = reown.finish(change, lambda: _read_whole(change))
    return [] if done is None else [done]


def _read_whole(change: Change) -> Database:
    """Both layers, after the end of a change that was interrupted: whether a walk counts is told by the rows.

    Else its journal would be dropped for rows that are still the old ones, and the next lock give them the new ids.
    """
    edit_files(change, "rebase", lambda database: None, lambda _: ())
    return read(change)


def _join(walks: Sequence[Reowned]) -> Reowned | None:
    if not walks:
        return None
    notes = [note for walk in walks for note in walk.notes]
    more = sum(walk.more for walk in walks)
    return Reowned(sum(walk.seen for walk in walks), sum(walk.changed for walk in walks), notes, more)


def _tell(move: Move, follows: bool) -> RebaseStep:
    kind = {"passwd": "UID", "group": "GID"}.get(move.database, "ids from")
    text = f"the image has {kind} {move.new} in place of {move.old}"
    if follows:
        return RebaseStep("moved", move.database, move.name, f"{text}; files follow")
    return RebaseStep("renumbered", move.database, move.name, f"{text}, which files here are of: --re-own PATH...")


def _picker(change: Change) -> Pick:
    """Gives ids that nobody has, and nobody has had."""
    facts = change.facts
    pools: dict[tuple[str, bool], IdPool] = {}
    remembered = reown.read_ids(change) or {}

    def pick(database: str, old: int, preferred: int | None) -> int:
        kind = "UID" if database == "passwd" else "GID"
        system = old < facts.defs.get_ulong(f"{kind}_MIN", 1000)
        if (kind, system) not in pools:
            pools[kind, system] = facts.id_pool(kind, system)
            pools[kind, system].used |= {number for (name, _), (number, _) in remembered.items() if name == database}
        number = pools[kind, system].find(preferred)
        pools[kind, system].add(number)
        return number

    return pick
