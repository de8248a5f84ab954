# SPDX-License-Identifier: MIT
"""`accounts image thaw` and `freeze`: have /etc hold the image's rows while a program runs that reads /etc itself.

dpkg of Debian 13 looks users and groups up in /etc/passwd and /etc/group, not by NSS, and base-passwd's
scripts fill in what they miss there. Between the two commands every name has its row in /etc; what NSS
answers is the same before, in between and after.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from accounts.image.layers import Layers, locked
from accounts.image.tree import Tree
from accounts.model.database import BASE, Base, Database
from accounts.model.policy import DATABASES, default_policy
from accounts.model.records import Group
from accounts.system.commit import commit
from accounts.system.contents import FileChange


@dataclass
class Rows:
    """What thaw() and freeze() did: names by database that came into /etc or left it, sentences worth telling."""

    changed: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def thaw(root: Path, *, live: bool = False) -> Rows:
    """Append to the files of ROOT/etc the image's rows for the names that they do not have.

    All files change in one commit, no row is dropped, no backup is left. Doing it again changes nothing.
    live: the root is the machine that runs, so lckpwdf(3) is held against other writers.
    Raises BadArgument, LockError, CommitError, OSError.
    """
    result = Rows()
    with _database(root, live, result) as database:
        for name in DATABASES:
            table = database.tables[name]
            missing = [row for row in table.image if table.local.find(row.name) is None]
            table.local.extend(missing)
            result.changed[name] = [os.fsdecode(row.name) for row in missing]
    return result


def freeze(root: Path, *, live: bool = False) -> Rows:
    """Drop from the files of ROOT/etc the rows that say what the image says, and what remains empty of it.

    A row that differs stays, in its smallest form: of a group the members that the image does not have. What
    it was made from is recorded for rebase. live and errors as thaw().
    """
    result = Rows()
    with _database(root, live, result) as database:
        for name in DATABASES:
            table = database.tables[name]
            result.changed[name] = []
            for position, row in list(table.local.entries()):
                image = table.image.get(row.name) if table.image.present else None
                if image is None:
                    continue
                if isinstance(row, Group):
                    row = _missing_members(row, image, result)
                if row == image or (isinstance(row, Group) and row == image.replace(members=())):
                    table.local.remove_at(position)
                    database.base.forget(name, row.name)
                    result.changed[name].append(os.fsdecode(row.name))
                    continue
                if row != table.local.at(position):
                    table.local.replace_at(position, row)
                if not (isinstance(row, Group) and (row.gid, row.passwd) == (image.gid, image.passwd)):
                    database.base.record(name, image)
    return result


def _missing_members(row: Group, image: Group, result: Rows) -> Group:
    """The row with the members that NSS would not merge in from the image; all of them where it does not merge."""
    if row.gid != image.gid:
        return row
    lost = [os.fsdecode(member) for member in image.members if member not in row.members]
    # A member row has none of the image's; a full one that lacks some has lost them.
    if lost and any(member in image.members for member in row.members):
        result.notes.append(f"group '{os.fsdecode(row.name)}': {', '.join(lost)} stays a member, as in the image")
    return row.replace(members=tuple(member for member in row.members if member not in image.members))


@contextmanager
def _database(root: Path, live: bool, result: Rows) -> Iterator[Database]:
    """Both layers of a root, locked; what has changed at the end of the with block is committed."""
    with Tree(root) as tree, locked(tree, root, passwd_lock=live) as (target, notes):
        result.notes += notes
        layers = Layers(tree, root)
        try:
            base = Base(tree.read(f"/etc/{BASE}"))
        except FileNotFoundError:
            base = Base()
        # Whatever nsswitch.conf says: packages are installed before wire, too.
        database = Database(layers.local, layers.image, default_policy(), base)
        yield database
        changes = []
        for name, old, new in database.render_changes():
            status = None if name == BASE else tree.lstat(f"{layers.image_dir}/{name}")
            mode, gid = (0o600, 0) if status is None else (stat.S_IMODE(status.st_mode), status.st_gid)
            changes.append(FileChange(name, old, new, mode, 0, gid, False))
        if changes:
            commit(target.etc, changes)
