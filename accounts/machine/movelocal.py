# SPDX-License-Identifier: MIT
"""`accounts rebase --move-local`: local accounts make place for those of the image that have their ids. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from accounts.machine.delta import Kind, local_rows
from accounts.machine.rebase import RebaseReport, RebaseStep, colliding_ids
from accounts.machine.words import shown
from accounts.model.database import ID_FIELDS, Database


@dataclass(frozen=True)
class Move:
    """An id that changes. database: passwd or group, subuid or subgid for count ids; layer: whose account it is."""

    database: str
    name: bytes
    old: int
    new: int
    layer: str
    count: int = 1


# Database, old id, the id to take if it is free (None: any) -> the new one.
Pick = Callable[[str, int, int | None], int]


def move_local(database: Database, report: RebaseReport, pick: Pick, names: Collection[bytes] = ()) -> list[Move]:
    """Give own accounts whose id the image has another one; the ids that move. What becomes of it is in the report.

    names: of which accounts, empty for all. Members are names and stay; users whose primary group moves, and
    subordinate ranges whose owner is a UID, follow.
    """
    moves: list[Move] = []
    # Accounts that share an id go on doing so.
    given: dict[tuple[str, int], int] = {}
    users: dict[bytes, int] = {}
    for name, own, other in list(colliding_ids(database)):
        if names and own.name not in names:
            continue
        key = ID_FIELDS[name]
        old = getattr(own, key)
        if (name, old) not in given:
            # A user's own group gets the user's number, as from useradd.
            given[name, old] = pick(name, old, users.get(own.name) if name == "group" else None)
        new = given[name, old]
        if name == "passwd":
            users[own.name] = new
        layered = database.tables[name]
        position = layered.local.find(own.name)
        assert position is not None
        layered.local.replace_at(position, own.replace(**{key: new}))
        moves.append(Move(name, own.name, old, new, "local"))
        text = f"{key.upper()} {old} -> {new}; {old} is the image's '{shown(other)}'"
        report.steps = [
            step for step in report.steps if (step.what, step.database, step.name) != ("collision", name, own.name)
        ]
        report.steps.append(RebaseStep("moved", name, own.name, text))
    _move_primary(database, {move.old: move for move in reversed(moves) if move.database == "group"}, report)
    _move_owners(database, {b"%d" % move.old: move for move in reversed(moves) if move.database == "passwd"}, report)
    return moves


def _move_primary(database: Database, groups: dict[int, Move], report: RebaseReport) -> None:
    """Local rows of users whose primary group has moved; of an image's user that means the image's group."""
    for row in local_rows(database.passwd) if groups else ():
        move = groups.get(row.local.gid)
        if move is None or row.kind == Kind.EQUAL or (row.image is not None and row.image.gid == row.local.gid):
            continue
        database.passwd.local.replace_at(row.position, row.local.replace(gid=move.new))
        text = f"primary group '{shown(move.name)}' has GID {move.new} now"
        report.steps.append(RebaseStep("moved", "passwd", row.name, text))


def _move_owners(database: Database, users: dict[bytes, Move], report: RebaseReport) -> None:
    for name in ("subuid", "subgid") if users else ():
        table = database.tables[name].local
        for row in list(local_rows(database.tables[name])):
            move = users.get(row.name)
            if move is not None:
                table.replace_at(row.position, row.local.replace(name=b"%d" % move.new))
                report.steps.append(
                    RebaseStep("moved", name, move.name, f"the range of UID {move.old} is of {move.new} now")
                )
