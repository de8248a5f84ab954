# SPDX-License-Identifier: MIT
"""The walk that gives files to the new ids of their owners: one for a machine, one for an image that is being built.

Every file is changed exactly once, whatever stops the walk and however often: docs/decisions/re-own.md says how.
Steps are relative to directory descriptors and follow no link; what is mounted below a path is another file system
and is not entered. While a walk runs the working directory of the process moves with it.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

from accounts.progress import Descent, begin
from accounts.system.errors import ReadOnly
from accounts.system.kernel import MOUNT_ROOT, read_attributes, sync_file_system
from accounts.system.owners import ATTRIBUTES, OF_A_FILE, Owners, is_special, read_all
from accounts.system.paths import DIRECTORY
from accounts.system.walklog import Key, Log, Planned, Progress, read_progress
from accounts.text import fsdecode, fsencode

# Directories that are kept open on the way down a tree of any depth, and for the files of a batch.
_MAX_OPEN = 100
# Files of a batch; seconds between two cursors.
_BATCH = 4096
_INTERVAL = 2.0
# Sentences that are kept.
_MAX_NOTES = 1000
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass
class Reowned:
    """What a walk has done. seen, changed: files; notes: what it could not do, in sentences; more: notes left out."""

    seen: int = 0
    changed: int = 0
    notes: list[str] = field(default_factory=list)
    more: int = 0

    def tell(self, text: str) -> None:
        """Add a sentence."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(text)
        else:
            self.more += 1


@dataclass
class _Level:
    """A directory on the way down. fd: -1 while it is closed; todo: names of directories in it, the last one first.

    on_path: whether the cursor of an earlier run is further down.
    """

    fd: int
    inode: tuple[int, int]
    names: tuple[bytes, ...]
    on_path: bool = False
    todo: list[bytes] = field(default_factory=list)


class Walk:
    """One walk over the paths of a journal's plan.

    quiet: nobody else is at work in the root, as while an image is built: what chown(2) takes away is given back
    without looking whether somebody has written meanwhile. foreign: the new ids may be others' on this system, so that
    nothing is given back. skip: paths that are not entered.
    """

    def __init__(self, log: Log, *, quiet: bool = False, foreign: bool = False, skip: Collection[bytes] = ()) -> None:
        self.done = Reowned()
        self._log = log
        self._moves = log.plan.moves
        self._owners = Owners(self._moves, quiet, foreign, self.done.tell)
        self._skip = frozenset(skip)
        # Owner -> the new one, None for one that stays.
        self._new: dict[tuple[int, int], tuple[int, int] | None] = {}
        self._fs: dict[int, int] = {}
        self._progress = Progress()
        # What is planned and not done yet: directory, its path, name, inode, key, plan.
        self._batch: list[tuple[int, tuple[bytes, ...], bytes, tuple[int, ...], Key, Planned]] = []
        self._held: list[int] = []
        # The descriptor for the batch of the directory at work, -1 before it has a file there.
        self._holding = -1
        self._index = 0
        self._top = b""
        self._descent = Descent()

    def run(self, open_path: Callable[[str], int]) -> Reowned:
        """Walk all paths, from where an earlier run has got to. The journal is for the caller to remove.

        open_path: opens a directory of the plan by its path. Raises OSError of what is not about one file: then the
        journal stays, and the next run goes on.
        """
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        # Comes when a lease is asked back, and would end the process.
        handler = signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            begin("giving files to their owners")
            self._progress = read_progress(self._log)
            first, names = self._progress.cursor or (0, ())
            cursor = tuple(map(fsencode, names))
            for index, path in enumerate(self._log.plan.paths):
                if index < first:
                    continue
                self._index, self._top = index, fsencode(path).rstrip(b"/")
                try:
                    fd = open_path(path)
                except OSError as error:
                    if error.errno not in _NOT_THERE:
                        raise
                    continue
                try:
                    self._descent = Descent(index / len(self._log.plan.paths), 1 / len(self._log.plan.paths))
                    self._walk(fd, cursor if index == first else ())
                    self._flush()
                    sync_file_system(fd)
                except ReadOnly:
                    self._drop_batch()
                    self.done.tell(f"{path} is on a read-only file system: nothing in it has changed hands")
                finally:
                    os.close(fd)
        finally:
            self._drop_batch()
            os.fchdir(here)
            os.close(here)
            signal.signal(signal.SIGIO, handler)
        return self.done

    # Down and up

    def _walk(self, top: int, cursor: tuple[bytes, ...]) -> None:
        """All of a directory; what sorts before the cursor has been done. Raises OSError, ReadOnly."""
        status = os.fstat(top)
        os.fchdir(top)
        self._holding = -1
        self._look(top, b".", (), status)
        levels = [_Level(os.dup(top), (status.st_dev, status.st_ino), (), bool(cursor))]
        saved = time.monotonic()
        try:
            self._enter(levels[0], cursor)
            while levels:
                level = levels[-1]
                if not level.todo:
                    self._leave(levels)
                    continue
                name = level.todo.pop()
                below = self._open_below(level, name)
                if below is None:
                    continue
                depth = len(below.names)
                below.on_path = level.on_path and len(cursor) > depth and name == cursor[depth - 1]
                level.on_path = False
                levels.append(below)
                # The top stays open.
                if len(levels) > _MAX_OPEN + 1 and (above := levels[-1 - _MAX_OPEN]).fd >= 0:
                    os.close(above.fd)
                    above.fd = -1
                self._enter(below, cursor)
                if time.monotonic() - saved > _INTERVAL:
                    self._flush()
                    saved = time.monotonic()
                    if self._progress.unsure:
                        continue  # a cursor would say that these are done
                    sync_file_system(top)
                    self._log.note_cursor(self._index, list(map(fsdecode, below.names)))
        finally:
            for level in levels:
                if level.fd >= 0:
                    os.close(level.fd)

    def _enter(self, level: _Level, cursor: tuple[bytes, ...]) -> None:
        """Do the files of a directory, on the way to a cursor once more, and note the directories in it."""
        os.fchdir(level.fd)
        self._holding = -1
        try:
            level.todo = self._do_entries(level.fd, level.names)
        except OSError as error:
            if error.errno not in OF_A_FILE:
                raise
            self.done.tell(f"{self._path(level.names)}: {error.strerror}")
        if level.on_path:
            level.todo = [name for name in level.todo if name >= cursor[len(level.names)]]
        self._descent.enter(len(level.names), len(level.todo))
        if len(self._held) >= _MAX_OPEN:
            self._flush()

    def _open_below(self, level: _Level, name: bytes) -> _Level | None:
        """A directory to go into, or None where it is not to be entered."""
        names = (*level.names, name)
        if self._skip and b"/".join((self._top, *names)) in self._skip:
            return None
        attributes, known = read_attributes(level.fd, name)
        if attributes & MOUNT_ROOT:
            return None
        try:
            fd = os.open(name, DIRECTORY, dir_fd=level.fd)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                self.done.tell(f"{self._path(names)}: {error.strerror}")
            return None
        status = os.fstat(fd)
        if not known & MOUNT_ROOT and status.st_dev != level.inode[0]:
            os.close(fd)
            return None
        return _Level(fd, (status.st_dev, status.st_ino), names)

    def _leave(self, levels: list[_Level]) -> None:
        """Back to the directory above, which in a deep tree has been closed."""
        left = levels.pop()
        try:
            if levels and (above := levels[-1]).fd < 0:
                fd = os.open("..", DIRECTORY, dir_fd=left.fd)
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) == above.inode:
                    above.fd = fd
                    return
                os.close(fd)
                # Somebody has moved it. The way goes on at the next one that is open.
                while levels[-1].fd < 0:
                    lost = self._path(levels.pop().names)
                    self.done.tell(f"{lost} was moved meanwhile: not all of it has changed hands")
        finally:
            os.close(left.fd)

    def _path(self, names: tuple[bytes, ...], name: bytes = b".") -> str:
        return fsdecode(b"/".join((self._top, *names) if name == b"." else (self._top, *names, name)) or b"/")

    # The files of a directory

    def _do_entries(self, fd: int, names: tuple[bytes, ...]) -> list[bytes]:
        """Look at all entries of the working directory; the directories among them, the last one first."""
        directories = []
        get_new, unsure, look = self._new.get, self._progress.unsure, self._look
        read_status, list_attributes, is_disjoint = os.lstat, os.listxattr, ATTRIBUTES.isdisjoint
        names_here = os.listdir(b".")
        for name in names_here:
            try:
                status = read_status(name)
                # A million times: a file that stays as it is must not cost more than its lstat(2) and this.
                # [4:6] is (st_uid, st_gid), [0] st_mode. Bytes save a conversion for each of the calls.
                if (
                    get_new(status[4:6], 0) is not None
                    or ((there := list_attributes(name, follow_symlinks=False)) and not is_disjoint(there))
                    or unsure
                ):
                    look(fd, name, names, status)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in OF_A_FILE:
                    raise
                if error.errno != errno.EOPNOTSUPP:
                    self.done.tell(f"{self._path(names, name)}: {error.strerror}")
            if status[0] & 0o170000 == stat.S_IFDIR:
                directories.append(name)
        self.done.seen += len(names_here)
        directories.sort(reverse=True)
        return directories

    def _map_owner(self, old: tuple[int, int]) -> tuple[int, int] | None:
        """The new owner of files of this one, None where they stay."""
        if old not in self._new:
            new = self._moves.users.get(old[0]), self._moves.groups.get(old[1])
            self._new[old] = None if new == old else new
        return self._new[old]

    def _look(self, directory: int, name: bytes, names: tuple[bytes, ...], status: os.stat_result) -> None:
        """A file that may have to change: at once where that can be repeated, else with its batch.

        Raises OSError, ReadOnly.
        """
        old = status.st_uid, status.st_gid
        new = self._map_owner(old)
        attributes = read_all(name)
        wanted = new is not None or any(acl and self._moves.map_acl(acl) != acl for acl in attributes[1:])
        progress = self._progress
        if not wanted and not progress.unsure:
            return
        planned: Planned = (*old, *(new or old), status.st_mode, attributes)
        logged = self._moves.tangled or is_special(status.st_mode, attributes)
        if not logged and not progress.unsure:
            self.done.changed += self._owners.change(name, status[1:3], lambda: self._path(names, name), planned)
            return
        key = self._key(directory, status)
        if key in progress.done:
            return
        unsure = progress.unsure.pop(key, None)
        if unsure is not None:
            progress.done.add(key)
            self.done.changed += self._owners.finish(name, status, lambda: self._path(names, name), unsure)
            return
        if not wanted:
            return
        if not logged:
            self.done.changed += self._owners.change(name, status[1:3], lambda: self._path(names, name), planned)
            return
        progress.done.add(key)
        if self._holding < 0:
            self._holding = os.dup(directory)
            self._held.append(self._holding)
        self._batch.append((self._holding, names, name, status[1:3], key, planned))
        if len(self._batch) >= _BATCH:
            self._flush()

    def _key(self, directory: int, status: os.stat_result) -> Key:
        """What a file is known by after a reboot, too: device numbers may be others then."""
        device = status.st_dev
        if device not in self._fs:
            same = os.fstat(directory).st_dev == device
            self._fs[device] = os.statvfs(directory).f_fsid if same else device
        return self._fs[device], status.st_ino

    def _flush(self) -> None:
        """Do the batch; the working directory stays. Raises OSError, ReadOnly."""
        if not self._batch:
            return
        # With what is unsure from an earlier run: only the last batch is known as that.
        self._log.plan_batch([*((entry[4], entry[5]) for entry in self._batch), *self._progress.unsure.items()])
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        skipped = []
        try:
            at = -1
            for directory, names, name, inode, key, planned in self._batch:
                if directory != at:
                    os.fchdir(directory)
                    at = directory
                if self._owners.change(name, inode, partial(self._path, names, name), planned):
                    self.done.changed += 1
                else:
                    # It may be met again under another name.
                    self._progress.done.discard(key)
                    skipped.append(key)
        finally:
            os.fchdir(here)
            os.close(here)
        if skipped:
            self._log.note_skipped(skipped)
        # Before the next batch says that this one is done.
        sync_file_system(self._batch[0][0])
        self._drop_batch()

    def _drop_batch(self) -> None:
        self._batch.clear()
        self._holding = -1
        while self._held:
            os.close(self._held.pop())
