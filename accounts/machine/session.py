# SPDX-License-Identifier: MIT
"""The one way in which everything here reads and changes the accounts of a root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from accounts.errors import BadArgument
from accounts.machine.compare import FileDiff, diff_changes
from accounts.machine.delta import FILES
from accounts.model.database import Database
from accounts.system.logindefs import LoginDefs
from accounts.system.notify import flush_caches
from accounts.system.store import Store
from accounts.system.target import Target

Warn = Callable[[str], None]


def _ignore(_: str) -> None:
    """A line nobody has to read."""


class Machine:
    """A root directory. target: its descriptors and settings; defs: its login.defs; warn: gets lines of a recovery.

    Raises BadArgument when the root cannot be opened.
    """

    def __init__(self, root: Path = Path("/"), warn: Warn = _ignore) -> None:
        self.root = root
        self.warn = warn
        try:
            self.target = Target(os.fsencode(root.absolute()))
        except OSError as error:
            raise BadArgument(f"{root}: {error.strerror}") from None

    @cached_property
    def defs(self) -> LoginDefs:
        """login.defs(5) of the root."""
        return LoginDefs(self.target.read_layered(b"login.defs") or b"", _ignore)

    def read(self) -> Database:
        """Both layers of all files, unlocked. Raises the error classes of the files."""
        return Store(self.target, self.warn).load(FILES, FILES)

    @contextmanager
    def locked(self, dry_run: bool = False) -> Iterator[Database]:
        """Both layers of all files, locked and recovered for a with block; with dry_run only read."""
        with self._open(dry_run) as (_, database):
            yield database

    @contextmanager
    def change(self, dry_run: bool = False) -> Iterator[Edit]:
        """Lock, recover, read; what the with block edits is written as one when it ends without an error.

        dry_run: nothing is locked, recovered or written; Edit.diffs tells what would be.
        """
        with self._open(dry_run) as (store, database):
            edit = Edit(database)
            yield edit
            changes = database.render_changes()
            edit.diffs = diff_changes(changes)
            edit.changed = bool(changes)
            if not dry_run and store.commit(database):
                store.close()
                flush_caches(self.target.live, self.warn)

    @contextmanager
    def _open(self, dry_run: bool) -> Iterator[tuple[Store, Database]]:
        # MAX_MEMBERS_PER_GROUP splits rows, which is no concern of a merge: it goes by rows.
        store = Store(self.target, self.warn)
        try:
            yield store, store.load(FILES, FILES) if dry_run else store.open(FILES, create=FILES)
        finally:
            store.close()

    def close(self) -> None:
        """Give the descriptors back."""
        self.target.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Edit:
    """A change under way. diffs, changed: what it wrote, or would have; known behind the with block."""

    database: Database
    diffs: list[FileDiff] = field(default_factory=list)
    changed: bool = False

    def to_json(self) -> dict[str, Any]:
        """changed and diffs as in docs/schemas."""
        return {"changed": self.changed, "diffs": [diff.to_json() for diff in self.diffs]}
