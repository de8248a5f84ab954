# SPDX-License-Identifier: MIT
"""`accounts image pin`: give the accounts of a root the ids that are known of them, and their files with them.

All files are walked before the account files are written, so a run that was interrupted is finished by the
next one; but where an id is both given up and taken (two accounts that swap theirs) the files that were
done could not be told from the others, so a marker then refuses the half-done root.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.index import write_indexes
from accounts.image.layers import Layers, locked, walk
from accounts.image.ledger import Key, Ledger
from accounts.image.pins import Pins, gather
from accounts.image.tree import Tree
from accounts.model.database import ID_FIELDS
from accounts.model.ids import allocate_id

MARKER = "/usr/share/accounts/pin-in-progress"
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_CAPABILITY = "security.capability"
# linux/posix_acl_xattr.h: a version, then tag, permissions and id of each entry, little-endian.
_ACL_VERSION = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_DATABASES = {0x02: "passwd", 0x08: "group"}
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

    Raises BadArgument where two accounts share an id that only one of them is to keep, or an earlier run was
    interrupted half way through a swap; OSError.
    """
    result = Pinned()
    with Tree(root, source_date_epoch) as tree, locked(tree, root) as (_, notes):
        result.notes += notes
        if tree.lstat(MARKER) is not None:
            raise BadArgument(f"an earlier accounts image pin of {root} was interrupted: unpack the root again")
        layers = Layers(tree, root)
        wanted = choose_ids(layers, gather(layers, shared, previous, pins))
        _apply(layers, wanted, result)
    if shared is not None:
        shared.register((database, name, id) for (database, name), id in wanted.items())
    return result


def choose_ids(layers: Layers, known: Pins) -> dict[tuple[str, bytes], int]:
    """(database, name) -> the id that it is to have, for all accounts of a root."""
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
    """One id for each name; the image's where the layers differ, since that has been shipped."""
    found: dict[tuple[str, bytes], int] = {}
    for database, attribute in ID_FIELDS.items():
        for table in (layers.image[database], layers.local[database]):
            for row in table:
                found.setdefault((database, row.name), getattr(row, attribute))
    # By id, so that what is allocated does not depend on the order of the packages.
    return sorted(((database, name, id) for (database, name), id in found.items()), key=lambda key: (key[2], key[1]))


def _apply(layers: Layers, wanted: dict[tuple[str, bytes], int], result: Pinned) -> None:
    mapping = _map_ids(layers, wanted, result)
    if not result.changes:
        return
    tree = layers.tree
    tangled = any(set(moves) & set(moves.values()) for moves in mapping.values())
    if tangled:
        tree.write(MARKER, b"")
    if any(mapping.values()):
        result.files = _give_files(tree, mapping)
    for database, attribute in ID_FIELDS.items():
        for path, table in layers.paths(database):
            for position, row in list(table.entries()):
                changes = {attribute: wanted[database, row.name]}
                if database == "passwd":
                    changes["gid"] = mapping["group"].get(row.gid, row.gid)
                if any(getattr(row, name) != id for name, id in changes.items()):
                    table.replace_at(position, row.replace(**changes))
            tree.write(path, table.render())
    write_indexes(tree, layers.image_dir)
    if tangled:
        tree.remove(MARKER)
    _note_numeric_owners(tree, mapping, result)


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


def _give_files(tree: Tree, mapping: Mapping) -> int:
    """Change owners, groups and ACL entries of all files; how many files changed."""
    users, groups = mapping["passwd"], mapping["group"]
    linked: set[tuple[int, int]] = set()
    count = 0
    for fd, _, name, status in walk(tree.fd):
        kind = stat.S_IFMT(status.st_mode)
        uid, gid = users.get(status.st_uid, status.st_uid), groups.get(status.st_gid, status.st_gid)
        changes = (uid, gid) != (status.st_uid, status.st_gid)
        if kind != stat.S_IFDIR and status.st_nlink > 1:
            inode = status.st_dev, status.st_ino
            if inode in linked:
                continue
            linked.add(inode)
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
            try:
                if changes:
                    _chown(file, status, uid, gid)
                changes = _map_acls(file, mapping) or changes
            finally:
                os.close(file)
        elif changes:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
        count += changes
    return count


def _chown(file: int, status: os.stat_result, uid: int, gid: int) -> None:
    """chown(2) that keeps what the kernel drops with the owner: set-id bits and file capabilities."""
    try:
        capability = os.getxattr(file, _CAPABILITY)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        capability = None
    os.fchown(file, uid, gid)
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        os.fchmod(file, stat.S_IMODE(status.st_mode))
    if capability is not None:
        os.setxattr(file, _CAPABILITY, capability)


def _map_acls(file: int, mapping: Mapping) -> bool:
    """Change the named entries of a file's ACLs; whether there were any to change."""
    changed = False
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return False
        raise
    for name in _ACLS:
        if name in names:
            old = os.getxattr(file, name)
            new = map_acl(old, mapping)
            if new != old:
                os.setxattr(file, name, new)
                changed = True
    return changed


def map_acl(acl: bytes, mapping: Mapping) -> bytes:
    """The bytes of an ACL attribute with the ids of its named entries changed; entries stay sorted."""
    entries = []
    for tag, permissions, id in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION.size :]):
        if tag in _ACL_DATABASES:
            id = mapping[_ACL_DATABASES[tag]].get(id, id)
        entries.append((tag, id, permissions))
    body = b"".join(_ACL_ENTRY.pack(tag, permissions, id) for tag, id, permissions in sorted(entries))
    return acl[: _ACL_VERSION.size] + body


def _note_numeric_owners(tree: Tree, mapping: Mapping, result: Pinned) -> None:
    """subuid(5) owners are names, or UIDs, which then mean somebody else now."""
    for path in ("/etc/subuid", "/etc/subgid"):
        if tree.lstat(path) is None:
            continue
        for line in tree.read(path).split(b"\n"):
            owner = line.partition(b":")[0]
            if owner.isdigit() and int(owner) in mapping["passwd"]:
                result.notes.append(f"{path}: '{os.fsdecode(line)}' names UID {int(owner)}, which has changed")
