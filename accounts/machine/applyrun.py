# SPDX-License-Identifier: MIT
"""`accounts apply` on a machine: read, commit; or only tell, or write the files elsewhere."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.change import Change
from accounts.edit.request import Report
from accounts.errors import BadArgument
from accounts.machine.apply import Action, ActionLog, ApplyDeclaration, FinishHomes
from accounts.machine.applysources import check_owner, credentials, read_sources
from accounts.machine.compare import FileDiff, diff_changes
from accounts.machine.delta import FILES
from accounts.machine.edits import read
from accounts.machine.source import Placed, write_files
from accounts.model.database import APPLIED, BASE, HIDDEN, LEDGER, Database
from accounts.model.release import NO_MIN
from accounts.system.target import MAX_ACCOUNT_FILE, NOT_THERE, READ, read_fd
from accounts.system.unfinished import is_unfinished


@dataclass
class Applied:
    """What apply did, or would do. notes: of the declaration. files: those written with --to, a sentence each."""

    actions: list[Action] = field(default_factory=list)
    diffs: list[FileDiff] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    changed: bool = False

    def to_json(self) -> dict[str, Any]:
        """As docs/schemas/apply.json."""
        return {
            "actions": [action.to_json() for action in self.actions],
            "changed": self.changed,
            "diffs": [diff.to_json() for diff in self.diffs],
            "files": self.files,
            "notes": self.notes,
        }


class Apply:
    """One run on the root of a change."""

    def __init__(
        self,
        change: Change,
        directories: Sequence[Path] = (),
        extra: Sequence[Path] = (),
        *,
        has_credentials: bool = False,
    ) -> None:
        """Reads the declaration. Raises BadArgument, "FILE:LINE: what is wrong"; OSError.

        extra: further drop-ins, for tell() and write(). has_credentials: as ApplyDeclaration's; where systemd gives
        some, they are all.
        """
        self._change = change
        self._target = change.target
        sources = read_sources(self._target, directories, extra)
        self.result = Applied(notes=sources.declaration.notes)
        self._outcome = ActionLog(self.result.actions)
        self._request = ApplyDeclaration(
            declaration=sources.declaration,
            passwords=sources.passwords,
            read_memory=self._read_memory,
            is_there=self._is_there,
            is_unfinished=lambda home: is_unfinished(self._target.root, home),
            outcome=self._outcome,
            named=bool(directories),
            has_credentials=has_credentials or (credentials() is not None and not directories),
        )

    def _read_memory(self) -> bytes | None:
        try:
            fd = self._target.open(b"etc/" + APPLIED.encode(), READ)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise BadArgument(f"/etc/{APPLIED}: {error.strerror}") from None
        try:
            # Who may write it says whom to remove.
            check_owner(os.fstat(fd), f"/etc/{APPLIED}")
        except BadArgument:
            os.close(fd)
            raise
        return read_fd(fd, MAX_ACCOUNT_FILE)

    def _is_there(self, path: bytes) -> bool:
        try:
            self._target.stat(path.lstrip(b"/") or b".")
        except OSError as error:
            return error.errno not in NOT_THERE
        return True

    def run(self) -> Applied:
        """Make it true. Raises AccountsError; a home that could not be made comes after the commit."""
        alone = self._wait_for_others()
        try:
            report = self._change.do(self._request)
        finally:
            self._finish_homes()
            if alone is not None:
                os.close(alone)
        self.result.changed = report.changed or bool(report.steps)
        return self.result

    def _wait_for_others(self) -> int | None:
        """A descriptor that is locked until it is closed: homes are made behind the locks of the files.

        Another run would take those under way for left unfinished. flock(2) and lckpwdf(3) do not see each other's
        locks, and only root can open the file. None where there cannot be one: then the commit says why.
        """
        try:
            fd = self._target.open(b"etc/.pwd.lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def _finish_homes(self) -> None:
        """Remember which homes are done: of the others the next run knows that they may be half made."""
        root, done = self._target.root, []
        for step, arguments in self._change.report.steps:
            for name, home, ids, *_ in arguments[0] if step == "create_homes" else ():
                if self._is_there(home) and (ids[0] == 0 or not is_unfinished(root, home)):
                    done.append(name)
        if done:
            self._change.do(FinishHomes(names=done, read_memory=self._read_memory))

    def tell(self) -> Applied:
        """What run() would do; nothing is locked or written."""
        database, report = self._edit()
        changes = database.render_changes()
        self.result.diffs = diff_changes(changes)
        self.result.changed = bool(changes) or bool(report.steps)
        return self.result

    def write(self, directory: Path, dry_run: bool = False) -> Applied:
        """Write the files of /etc that would change into a directory: the upper one of an overlay, a confext's etc.

        Homes are not made. Of our files there those that would not change are removed. Raises BadArgument, OSError.
        """
        database, _ = self._edit()
        self.result.actions[:] = [action for action in self.result.actions if action.what != "home"]
        changes = database.render_changes()
        self.result.diffs = diff_changes(changes)
        files = {}
        for name, _, new in changes:
            mode, _, gid = self._mode(name, database)
            # An empty file says there what no file says in /etc: it hides the one below.
            files[name] = Placed(new or b"", mode, gid)
        ours = (*FILES, BASE, HIDDEN, APPLIED, LEDGER)
        self.result.files = write_files(directory, files, ours, dry_run)
        self.result.changed = bool(self.result.files)
        return self.result

    def _mode(self, name: str, database: Database) -> tuple[int, int, int]:
        """(mode, UID, GID): as /etc has it, else as a commit makes it."""
        try:
            status = self._target.stat(b"etc/" + os.fsencode(name))
        except OSError:
            return self._change.store.new_file_mode(name, database)
        return status.st_mode & 0o7777, status.st_uid, status.st_gid

    def _edit(self) -> tuple[Database, Report]:
        """The database with all edits, unlocked."""
        facts, report = self._change.facts, Report()
        database = facts.database = read(self._change)
        database.shadow.drops_min = facts.release >= NO_MIN
        try:
            self._request.edit(database, None, facts, report)
            bad = database.find_unwritable()
            if bad is not None:
                raise BadArgument(f"a row of {bad} could not be written")
        finally:
            facts.forget()
        return database, report
