# SPDX-License-Identifier: MIT
"""`accounts image seed`: move the accounts of a built rootfs from ROOT/etc to the image layer.

The image layer is complete, and on the disk, before the first row leaves /etc, so a crash in between is
repaired by running it again. Idempotent; the same packages in any order give the same bytes.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts import progress
from accounts.errors import BadArgument
from accounts.image.configuration import (
    FACTORY,
    TMPFILES,
    VENDOR,
    move_configuration,
    move_subids,
    remove_leftovers,
)
from accounts.image.index import write_indexes
from accounts.image.layers import broken_lines, locked, read_table
from accounts.image.tree import Tree, refuse_inside_etc
from accounts.model.database import APPLIED, BASE, KINDS, Base, Database
from accounts.model.policy import DATABASES, default_policy
from accounts.model.records import Group, Gshadow, Passwd, Shadow
from accounts.model.table import Table
from accounts.system.logindefs import LoginDefs
from accounts.system.target import Target

DAY = 86400


@dataclass
class Seeded:
    """What seed did: names by database that moved, names that stay local, files removed, lines to tell."""

    moved: dict[str, list[str]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def seed(
    root: Path,
    *,
    keep: Iterable[str] = (),
    keep_human: bool = False,
    configuration: bool = True,
    source_date_epoch: int | None = None,
    save_names: Path | None = None,
) -> Seeded:
    """Move the account rows of root/etc to root's image layer (IMAGE_DIR of its accounts.conf).

    keep: names or fnmatch patterns of users and groups that stay in /etc; keep_human: also those whose id is
    in UID_MIN..UID_MAX or GID_MIN..GID_MAX. configuration: move login.defs and so on to the vendor directory.
    source_date_epoch: seconds; the last change of locked passwords becomes its day, without it empty.
    save_names: a directory outside of the root that gets a passwd/group pair of all names, for pseudo
    (PSEUDO_PASSWD), fakeroot and later chown calls of the build.

    An interrupted change of the account files is finished or undone first.

    Raises BadArgument for rows that cannot be parsed or contradict the image, and where the image layer would
    be in /etc, before anything changes; OSError.
    """
    result = Seeded()
    with Tree(root, source_date_epoch) as tree:
        if tree.lstat("/etc") is None:
            raise BadArgument(f"{root} has no /etc")
        refuse_inside_etc(tree, (VENDOR, FACTORY, posixpath.dirname(TMPFILES)))
        with locked(tree, root) as (target, notes):
            result.notes += notes
            _Seeding(tree, target, result, source_date_epoch).run(tuple(keep), keep_human, save_names)
            move_subids(tree, "/" + os.fsdecode(target.image_dir()), result)
            if configuration:
                move_configuration(tree, result)
        remove_leftovers(tree, result)
    return result


class _Seeding:
    """The move of the four databases."""

    def __init__(self, tree: Tree, target: Target, result: Seeded, epoch: int | None) -> None:
        self.tree = tree
        self.target = target
        self.result = result
        # Day 0 would mean "change the password at once" (shadow(5)).
        self.day = -1 if epoch is None else epoch // DAY or -1
        self.shadow_gid = 0
        self.image_dir = "/" + os.fsdecode(target.image_dir())

    def run(self, keep: tuple[str, ...], keep_human: bool, save_names: Path | None) -> None:
        """Merge, split, normalise, write the image layer, then what stays in /etc."""
        local = {name: self._table(f"/etc/{name}", name) for name in DATABASES}
        image = {name: self._table(f"{self.image_dir}/{name}", name) for name in DATABASES}
        for name in DATABASES:
            self._refuse_contradictions(name, local[name], image[name])
        for name in ("passwd", "group"):
            self._keep_shadowed(name, local[name], image[name])
        view = Database(local, image, default_policy())
        stays = self._choose(view, keep, keep_human)
        rows = {name: list(view.tables[name]) for name in DATABASES}
        shipped = self._shipped(rows, stays, view)
        for name in DATABASES:
            # A row that the image has already is mostly the very same object.
            new = shipped[name]
            if image[name].present:
                new = [row for row in new if (other := image[name].get(row.name)) is not row and other != row]
            self.result.moved[name] = sorted(os.fsdecode(row.name) for row in new)
        tracked = progress.track(DATABASES, "moving accounts")
        layer = {name: Table(KINDS[name], format_rows(shipped[name])) for name in tracked}
        self._write_image(layer, view)
        self._write_local(layer, rows, stays, local)
        if save_names is not None:
            save_names.mkdir(parents=True, exist_ok=True)
            for name in ("passwd", "group"):
                (save_names / name).write_bytes(format_rows(sort_rows(name, rows[name])))

    def _table(self, path: str, name: str) -> Table:
        table = read_table(self.tree, path, name)
        for number, line in broken_lines(table):
            if line[:1] in (b"+", b"-"):
                self.result.notes.append(f"{path}:{number}: NIS row dropped")
            else:
                raise BadArgument(f"{path}:{number}: not a valid row; mend it with pwck or grpck first")
        return table

    def _refuse_contradictions(self, name: str, local: Table, image: Table) -> None:
        seen = set()
        for row in local:
            if row.name in seen:
                shown = os.fsdecode(row.name)
                raise BadArgument(f"/etc/{name}: '{shown}' is there twice; mend it with pwck or grpck first")
            seen.add(row.name)
        for row in local if image.present else ():
            other = image.get(row.name)
            if other is None:
                continue
            for attribute in ("uid", "gid") if name == "passwd" else ("gid",) if name == "group" else ():
                if getattr(row, attribute) != getattr(other, attribute):
                    if name == "passwd" and attribute == "gid":
                        continue  # the primary group of an image user may be overridden
                    shown = os.fsdecode(row.name)
                    raise BadArgument(
                        f"/etc/{name}: '{shown}' has {attribute.upper()} {getattr(row, attribute)}, "
                        f"the image {getattr(other, attribute)}; run accounts image pin first"
                    )

    def _keep_shadowed(self, name: str, local: Table, image: Table) -> None:
        """A row with "*" where the image has "x" hides the image's password, and locks root out.

        base-passwd makes such rows (passwd.master) when it finds /etc/passwd without them.
        """
        for position, row in list(local.entries()) if image.present else ():
            other = image.get(row.name)
            if other is not None and row.passwd == b"*" and other.passwd == b"x":
                local.replace_at(position, row.replace(passwd=other.passwd))
                self.result.notes.append(f"/etc/{name}: the '*' of '{os.fsdecode(row.name)}' would hide its password")

    def _choose(self, view: Database, keep: tuple[str, ...], keep_human: bool) -> dict[str, set[bytes]]:
        """The names that stay local: "user" -> names, "group" -> names."""
        defs = LoginDefs(self.target.read_layered(b"login.defs") or b"", lambda _: None)
        stays: dict[str, set[bytes]] = {"user": set(), "group": set()}
        for kind, layered, attribute in (("user", view.passwd, "uid"), ("group", view.group, "gid")):
            low = defs.get_ulong(f"{attribute.upper()}_MIN", 1000)
            high = defs.get_ulong(f"{attribute.upper()}_MAX", 60000)
            for row in layered.local if keep or keep_human else ():
                named = any(fnmatch.fnmatchcase(os.fsdecode(row.name), pattern) for pattern in keep)
                human = keep_human and low <= getattr(row, attribute) <= high
                if (named or human) and layered.image.find(row.name) is None:
                    stays[kind].add(row.name)
        known = {os.fsdecode(name) for names in stays.values() for name in names}
        for pattern in keep:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in known):
                self.result.notes.append(f"--keep {pattern}: no such local user or group")
        self.result.kept = sorted(known)
        return stays

    def _shipped(
        self, rows: dict[str, list[Any]], stays: dict[str, set[bytes]], view: Database
    ) -> dict[str, list[Any]]:
        """The rows of the image layer, normalised and in order."""
        users = [row for row in rows["passwd"] if row.name not in stays["user"]]
        groups = [self._ship_members(row, stays["user"]) for row in rows["group"] if row.name not in stays["group"]]
        users, groups = sort_rows("passwd", users), sort_rows("group", groups)
        shipped: dict[str, list[Any]] = {"passwd": users, "group": groups, "shadow": [], "gshadow": []}
        for user in users:
            row = view.shadow.get(user.name)
            if row is None and user.passwd == b"x":
                # PAM denies an account without a shadow row every service (coreos/rpm-ostree#3459).
                row = Shadow(user.name, b"*")
                self.result.notes.append(f"user '{os.fsdecode(user.name)}' had no shadow row: locked")
            if row is not None:
                shipped["shadow"].append(self._undate(row))
        if view.gshadow.present:
            for group in groups:
                secret = view.gshadow.get(group.name) or Gshadow(group.name, b"!", (), ())
                if secret.admins:
                    admins = _sort_names(secret.admins, stays["user"])
                    secret = secret if secret.admins == admins else secret.replace(admins=admins)
                shipped["gshadow"].append(self._ship_members(secret, stays["user"]))
        return shipped

    def _ship_members(self, row: Any, local: set[bytes]) -> Any:
        """A group's row with its members in order, without those that stay local."""
        members = _sort_names(row.members, local) if row.members else ()
        return row if row.members == members else row.replace(members=members)

    def _undate(self, row: Shadow) -> Shadow:
        """Locked passwords were "changed" when the build ran: the same bytes need the same day."""
        return row.replace(lstchg=self.day) if row.passwd[:1] in (b"!", b"*") and row.lstchg != self.day else row

    def _write_image(self, layer: dict[str, Table], view: Database) -> None:
        group = view.group.get(b"shadow")
        self.shadow_gid = 0 if group is None else group.gid
        data = {name: table.data for name, table in layer.items()}
        write_layer(self.tree, self.image_dir, data, self.shadow_gid)

    def _write_local(
        self,
        layer: dict[str, Table],
        rows: dict[str, list[Any]],
        stays: dict[str, set[bytes]],
        local: dict[str, Table],
    ) -> None:
        """What stays in /etc: own rows of kept names, and member rows of kept users in image groups."""
        empty = {name: Table(KINDS[name], present=False) for name in DATABASES}
        delta = Database(empty, layer, default_policy(), Base())
        kinds = {"passwd": "user", "shadow": "user", "group": "group", "gshadow": "group"}
        for name in DATABASES:
            # Without local users and groups there is nothing to keep.
            for row in rows[name] if any(stays.values()) else ():
                kept = row.name in stays[kinds[name]]
                joined = not kept and isinstance(row, Group | Gshadow) and any(
                    member in stays["user"] for member in row.members
                )  # fmt: skip
                if kept or joined:
                    delta.tables[name].put(row)
        changes = {name: new for name, _, new in delta.render_changes()}
        # From here on the image layer is the only copy of what leaves /etc.
        self.tree.settle()
        base = changes.get(BASE)
        if base is not None:
            self.tree.write(f"/etc/{BASE}", base, 0o600)
        for name in DATABASES:
            new = changes.get(name)
            if new is None:
                if local[name].present:
                    self.tree.remove(f"/etc/{name}")
            else:
                self.tree.write(f"/etc/{name}", new, 0o640 if "shadow" in name else 0o644)
                if local[name].present is False and "shadow" in name:
                    self.tree.set_owner(f"/etc/{name}", self.shadow_gid, 0o640 if self.shadow_gid else 0)
        # What apply made is the image's from now on, and in the ledger.
        for path in ([f"/etc/{BASE}"] if base is None else []) + [f"/etc/{APPLIED}"]:
            if self.tree.lstat(path) is not None:
                self.tree.remove(path)


def _sort_names(names: tuple[bytes, ...], local: set[bytes]) -> tuple[bytes, ...]:
    """Members or administrators in order, each once, without those that are local."""
    return tuple(sorted(set(names) - local))


def sort_rows(name: str, rows: list[Any]) -> list[Any]:
    """passwd and group rows by id, then name: an order that does not depend on that of the packages."""
    key: Callable[[Any], Any] = (lambda row: (row.uid, row.name)) if name == "passwd" else (
        lambda row: (row.gid, row.name)
    )  # fmt: skip
    return sorted(rows, key=key)


def format_rows(rows: Iterable[Passwd | Shadow | Group | Gshadow]) -> bytes:
    """The rows as a file."""
    return b"".join(row.format_line() + b"\n" for row in rows)


def write_layer(tree: Tree, image_dir: str, files: dict[str, bytes], shadow_gid: int) -> None:
    """Write the image layer's files, database -> content, and their indexes; one without rows goes.

    shadow_gid: the group that may read shadow and gshadow, 0 for nobody but root.
    """
    for name, data in files.items():
        path = f"{image_dir}/{name}"
        if not data:
            if tree.lstat(path) is not None:
                tree.remove(path)
            continue
        mode, gid = 0o644, 0
        if name in ("shadow", "gshadow"):
            mode, gid = (0o640, shadow_gid) if shadow_gid else (0, 0)
        tree.write(path, data, 0o600)
        tree.set_owner(path, gid, mode)
    write_indexes(tree, image_dir)
