# SPDX-License-Identifier: MIT
"""Account files at paths of the caller's (grpck FILE, pwck FILE): lock, read, commit; no layers."""

from __future__ import annotations

import os

from accounts.errors import CommitError, FileError, LockError
from accounts.model.database import Database, kinds
from accounts.model.policy import default_policy
from accounts.model.table import Table
from accounts.system import shield
from accounts.system.commit import commit
from accounts.system.contents import FileChange
from accounts.system.locks import Locks
from accounts.system.store import FILE_MODE, recover
from accounts.system.target import READ, read_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accounts.model.release import Release
    from accounts.system.target import Target


class NamedFiles:
    """The files of a Database at other places than /etc."""

    def __init__(
        self, target: Target, paths: Mapping[str, bytes], warn: Callable[[str], None], release: Release
    ) -> None:
        """paths: database name ("group", ...) -> path, as the caller names it (Target.open_named).

        warn, release: as Store's.
        """
        self._kinds = kinds(release)
        self._warn = warn
        self._target = target
        self._paths = paths
        self._directories: dict[bytes, int] = {}
        # By (device, inode): two paths of one directory have one lock.
        self._locks: dict[tuple[int, int], Locks] = {}

    def open(self, read_only: bool) -> Database:
        """Read the files; lock them first unless read_only. A missing one is empty unless read_only.

        Raises FileError, in shadow's words.
        """
        if not read_only:
            for name, path in self._paths.items():
                self._lock(name, path)
            self._recover()
        tables = {name: self._read(name, path, read_only) for name, path in self._paths.items()}
        return Database(tables, {}, default_policy())

    def _lock(self, name: str, path: bytes) -> None:
        directory, file = os.path.split(path)
        shown = os.fsdecode(path)
        try:
            fd = self._open_directory(directory)
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            if identity not in self._locks:
                where = os.fsdecode(directory) or "."
                self._locks[identity] = Locks(fd, passwd_lock=False, path=where)
            self._locks[identity].acquire(os.fsdecode(file))
        except LockError as error:
            raise _lock_error(name, shown, error.details) from None
        except OSError as error:
            why = f"{shown}.{os.getpid()}: {error.strerror}"
            raise _lock_error(name, shown, (why,)) from None

    def _recover(self) -> None:
        for name, path in self._paths.items():
            try:
                for line in recover(self._open_directory(os.path.dirname(path))):
                    self._warn(line)
            except CommitError as error:
                message = f"cannot open {os.fsdecode(path)}: {error.message}"
                raise FileError(name, "open", message=message) from None

    def _open_directory(self, directory: bytes) -> int:
        if directory not in self._directories:
            self._directories[directory] = self._target.open_named(directory or b".", os.O_RDONLY | os.O_DIRECTORY)
        return self._directories[directory]

    def _read(self, name: str, path: bytes, read_only: bool) -> Table:
        directory, file = os.path.split(path)
        try:
            fd = self._open_directory(directory)
            return Table(self._kinds[name], read_fd(shield.open_file(os.fsdecode(file), READ, fd)))
        except FileNotFoundError:
            if not read_only:
                return Table(self._kinds[name], present=False)
        except OSError:
            pass
        raise FileError(name, "open", message=f"cannot open {os.fsdecode(path)}")

    def commit(self, database: Database) -> None:
        """Write what has changed, with backups."""
        for name, old, new in database.render_changes():
            directory, file = os.path.split(self._paths[name])
            mode = FILE_MODE if name in ("passwd", "group") else 0o400
            change = FileChange(os.fsdecode(file), old, new, mode, backup=True)
            try:
                commit(self._directories[directory], [change])
            except CommitError as error:
                if not error.failed:
                    raise
                shown = os.fsdecode(self._paths[name])
                message = f"failure while writing changes to {shown}"
                raise FileError(name, "write", message=message) from None

    def close(self) -> None:
        """Release the locks."""
        for locks in self._locks.values():
            locks.release()
        for fd in self._directories.values():
            os.close(fd)
        self._locks, self._directories = {}, {}


def _lock_error(name: str, shown: str, details: tuple[str, ...]) -> FileError:
    return FileError(name, "lock", details=details, message=f"cannot lock {shown}; try again later.")
