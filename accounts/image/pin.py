# SPDX-License-Identifier: MIT
"""`accounts image pin`: give the accounts of a root the ids that are known of them, and their files with them.

All files are walked (accounts.system.reown) before the account files are written; the journal of the walk has what
these will be, so that a run which was interrupted is finished by the next one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.idsources import Pins, gather
from accounts.image.index import write_indexes
from accounts.image.layers import Layers, locked
from accounts.image.ledger import Key, Ledger
from accounts.image.tree import Tree
from accounts.model.database import ID_FIELDS
from accounts.model.ids import allocate_id
from accounts.model.moves import single_moves
from accounts.system.paths import DIRECTORY
from accounts.system.reown import Walk
from accounts.system.walklog import Log, Plan, create, open_log

JOURNAL = "/usr/share/accounts/pin-in-progress"
# database -> old id -> new id
Mapping = dict[str, dict[int, int]]


@dataclass
class Pinned:
    """What pin did: (database, name, old id, new id) that changed, files given to others, lines to tell."""

    changes: list[tuple[str, str, int, int]] = field(default_factory=list)
    files: int = 0
    notes: list[str] = field(default_factory=list)


def pin(
    root: Path,
    *,
    shared: Ledger | None = None,
    previous: Iterable[str] = (),
    pins: Iterable[str] = (),
    source_date_epoch: int | None = None,
) -> Pinned:
    """Give each user and group of both layers its known id, and its files in the root with it.

    Sources as in pins.gather(). A name that no source knows keeps its id, unless that is reserved for
    another: then it gets a free one, of UID_MIN..UID_MAX only when it had one of these. shared
    receives the ids of all accounts of the root. Owners, groups and ACL entries change; set-id bits, file
    capabilities and times stay. subuid and subgid are left alone.
    source_date_epoch: seconds, the time that written files get.

    Raises BadArgument where two accounts share an id that only one of them is to keep, or a name has two ids in a file;
    OSError: the next run goes on.
    """
    result = Pinned()
    with Tree(root, source_date_epoch) as tree, locked(tree, root) as (_, notes):
        result.notes += notes
        _finish(tree, Layers(tree, root).image_dir, result)
        layers = Layers(tree, root)
        wanted = choose_ids(layers, gather(layers, shared, previous, pins))
        _apply(layers, wanted, result)
    if shared is not None:
        shared.register((database, name, id) for (database, name), id in wanted.items())
    return result


def choose_ids(layers: Layers, known: Pins) -> dict[tuple[str, bytes], int]:
    """(database, name) -> the id that it is to have, for all accounts of a root. Raises BadArgument."""
    wanted: dict[tuple[str, bytes], int] = {}
    rows = _current_ids(layers)
    for database in ID_FIELDS:
        names = {name: id for (kind, name, id) in rows if kind == database}
        fixed = {name: id for name in names if (id := known.ledger.pin(database, name)) is not None}
        used = known.ledger.ids(database) | set(fixed.values())
        free: dict[bytes, int] = {}
        clashing = []
        for name, id in names.items():
            if name in fixed:
                continue
            if id in used:
                clashing.append(name)
            else:
                free[name] = id
        used |= set(free.values())
        for name in clashing:
            kind = "UID" if database == "passwd" else "GID"
            low, high = layers.defs.get_ulong(f"{kind}_MIN", 1000), layers.defs.get_ulong(f"{kind}_MAX", 60000)
            # What is above the range of people is not of people either: nobody, nogroup, DynamicUser=.
            system = not low <= names[name] <= high
            # A user's own group goes with the user.
            own = wanted.get(("passwd", name)) if database == "group" else None
            free[name] = allocate_id(kind, system, layers.defs, used, lambda _: False, own)
            used.add(free[name])
        for name in names:
            wanted[database, name] = fixed.get(name, free.get(name, names[name]))
    return wanted


def _current_ids(layers: Layers) -> list[Key]:
    """One id for each name; the image's where the layers differ, since that has been shipped. Raises BadArgument."""
    found: dict[tuple[str, bytes], int] = {}
    for database, attribute in ID_FIELDS.items():
        for path, table in reversed(layers.paths(database)):
            own: dict[bytes, int] = {}
            for row in table:
                id = getattr(row, attribute)
                # Files of either id would become those of one account. A group in two rows of one GID is a long one.
                if own.setdefault(row.name, id) != id:
                    name = os.fsdecode(row.name)
                    raise BadArgument(f"{path}: '{name}' is there twice, with the ids {own[row.name]} and {id}")
                found.setdefault((database, row.name), id)
    # By id, so that what is allocated does not depend on the order of the packages.
    return sorted(((database, name, id) for (database, name), id in found.items()), key=lambda key: (key[2], key[1]))


def _apply(layers: Layers, wanted: dict[tuple[str, bytes], int], result: Pinned) -> None:
    before = len(result.changes)
    mapping = _map_ids(layers, wanted, result)
    if len(result.changes) == before:
        return
    files = {}
    for database, attribute in ID_FIELDS.items():
        for path, table in layers.paths(database):
            for position, row in list(table.entries()):
                changes = {attribute: wanted[database, row.name]}
                if database == "passwd":
                    changes["gid"] = mapping["group"].get(row.gid, row.gid)
                if any(getattr(row, name) != id for name, id in changes.items()):
                    table.replace_at(position, row.replace(**changes))
            files[path] = table.render()
    accounts = tuple((*change, "image") for change in result.changes[before:])
    tree = layers.tree
    plan = Plan(single_moves(mapping), ("/",) if any(mapping.values()) else (), accounts, files)
    head, name = posixpath.split(JOURNAL)
    directory, _ = tree.open_directory(head, create=True)
    try:
        log = create(directory, name, plan)
        _walk(tree, layers.image_dir, log, result)
    finally:
        os.close(directory)
    _note_numeric_owners(tree, mapping, result)


def _finish(tree: Tree, image_dir: str, result: Pinned) -> None:
    """End what an earlier run has begun."""
    head, name = posixpath.split(JOURNAL)
    if tree.lstat(JOURNAL) is None:
        return
    with tree.directory(head) as directory:
        log = open_log(directory, name)
        if log is not None:
            result.changes += [(database, shown, old, new) for database, shown, old, new, _ in log.plan.accounts]
            _walk(tree, image_dir, log, result)


def _walk(tree: Tree, image_dir: str, log: Log, result: Pinned) -> None:
    try:
        done = Walk(log, quiet=True).run(lambda _: os.open(".", DIRECTORY, dir_fd=tree.fd))
        result.files += done.changed
        result.notes += done.notes
        for path, content in log.plan.files.items():
            tree.write(path, content)
        write_indexes(tree, image_dir)
        tree.settle()
        # By the tree, which then sees to the times of the directory.
        tree.remove(JOURNAL)
    finally:
        log.close()


def _map_ids(layers: Layers, wanted: dict[tuple[str, bytes], int], result: Pinned) -> Mapping:
    """Old id -> new id of files. Fills in result.changes and notes. Raises BadArgument."""
    mapping: Mapping = {}
    changes: dict[tuple[str, str, int, int], None] = {}
    for database, attribute in ID_FIELDS.items():
        moves: dict[int, dict[int, str]] = {}
        for _, table in layers.paths(database):
            for row in table:
                old, new = getattr(row, attribute), wanted[database, row.name]
                shown = os.fsdecode(row.name)
                moves.setdefault(old, {}).setdefault(new, shown)
                if old != new:
                    changes[database, shown, old, new] = None
        mapping[database] = {}
        for old, names in moves.items():
            if old in names:
                for new, shown in names.items():
                    if new != old:
                        result.notes.append(
                            f"files of {database} id {old} stay with '{names[old]}'; '{shown}' shared it, gets {new}"
                        )
            elif len(names) > 1:
                shown = " and ".join(repr(name) for name in names.values())
                raise BadArgument(f"{database}: {shown} share id {old}: whose files are they?")
            else:
                mapping[database][old] = next(iter(names))
    result.changes += changes
    return mapping


def _note_numeric_owners(tree: Tree, mapping: Mapping, result: Pinned) -> None:
    """subuid(5) owners are names, or UIDs, which then mean somebody else now."""
    for path in ("/etc/subuid", "/etc/subgid"):
        if tree.lstat(path) is None:
            continue
        for line in tree.read(path).split(b"\n"):
            owner = line.partition(b":")[0]
            if owner.isdigit() and int(owner) in mapping["passwd"]:
                result.notes.append(f"{path}: '{os.fsdecode(line)}' names UID {int(owner)}, which has changed")
