# SPDX-License-Identifier: MIT
"""Remove and re-own directory trees that a hostile user may be changing meanwhile. Hot path.

Every step is relative to a directory descriptor and never follows a link. One descriptor goes down and up a
tree, however deep it is; on the way up ".." must be the directory that was left, or the walk ends (ESTALE).
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.system.paths import DIRECTORY

# "This id does not change", as in chown(2) and shadow.
KEEP = -1


class Ids:
    """Which owners change to what: shadow's old_uid, new_uid, old_gid, new_gid.

    Files of old_uid (of anybody when KEEP) go to new_uid (stay as they are when KEEP); the same for groups.
    """

    __slots__ = ("new_gid", "new_uid", "old_gid", "old_uid")

    def __init__(self, old_uid: int, new_uid: int, old_gid: int, new_gid: int) -> None:
        self.old_uid = old_uid
        self.new_uid = new_uid
        self.old_gid = old_gid
        self.new_gid = new_gid

    def change(self, status: posix.stat_result) -> tuple[int, int]:
        """(uid, gid) for chown(2) of a file; KEEP where it stays."""
        uid = self.new_uid if self.old_uid in (KEEP, status.st_uid) else KEEP
        gid = self.new_gid if self.old_gid in (KEEP, status.st_gid) else KEEP
        return uid, gid

    def owner(self, status: posix.stat_result) -> tuple[int, int]:
        """(uid, gid) that a copy of a file gets."""
        uid, gid = self.change(status)
        return status.st_uid if uid == KEEP else uid, status.st_gid if gid == KEEP else gid

    def set_ids_of_others(self, owner: tuple[int, int]) -> int:
        """The set-id bits with which a copy that belongs to owner would act for anybody but the user."""
        uid = self.old_uid if self.new_uid == KEEP else self.new_uid
        gid = self.old_gid if self.new_gid == KEEP else self.new_gid
        return (owner[0] != uid) * stat.S_ISUID | (owner[1] != gid) * stat.S_ISGID


class Cursor:
    """A directory descriptor that moves down and up a tree, with the names still to do on each level."""

    def __init__(self, fd: int) -> None:
        """Takes fd over."""
        self.fd = fd
        self._above: list[tuple[int, int]] = []

    def enter(self, name: str) -> None:
        fd = posix.open(name, DIRECTORY, dir_fd=self.fd)
        here = posix.fstat(self.fd)
        self._above.append((here.st_dev, here.st_ino))
        self._replace(fd)

    def leave(self) -> None:
        fd = posix.open("..", DIRECTORY, dir_fd=self.fd)
        above = posix.fstat(fd)
        if (above.st_dev, above.st_ino) != self._above.pop():
            posix.close(fd)
            raise OSError(errno.ESTALE, "directory was moved while it was being walked")
        self._replace(fd)

    def _replace(self, fd: int) -> None:
        posix.close(self.fd)
        self.fd = fd

    def close(self) -> None:
        posix.close(self.fd)


def remove_tree(parent: int, name: bytes) -> None:
    """Remove the directory name in the directory parent with all it holds.

    What is mounted somewhere below it is left alone (a bind mount in a home may show anything). Goes on after
    a failure, to remove what can be removed. Raises the OSError of the first failure; ENOTDIR or ELOOP when
    name is no directory.
    """
    failure: OSError | None = None
    cursor = Cursor(posix.open(name, DIRECTORY, dir_fd=parent))
    try:
        todo = [posix.listdir(cursor.fd)]
        entered: list[str] = []
        while todo:
            if todo[-1]:
                entry = todo[-1].pop()
                try:
                    if not _unlink(cursor.fd, entry):
                        cursor.enter(entry)
                        entered.append(entry)
                        todo.append([])
                        todo[-1] += posix.listdir(cursor.fd)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    failure = failure or error
                continue
            todo.pop()
            if todo:
                cursor.leave()
                try:
                    posix.rmdir(entered.pop(), dir_fd=cursor.fd)
                except OSError as error:
                    failure = failure or error
    finally:
        cursor.close()
    try:
        posix.rmdir(name, dir_fd=parent)
    except OSError as error:
        failure = failure or error
    if failure is not None:
        raise failure


def _unlink(directory: int, entry: str) -> bool:
    """Remove a file or an empty directory; False for a directory that must be emptied first."""
    try:
        posix.unlink(entry, dir_fd=directory)
    except IsADirectoryError:
        # rmdir(2) says EBUSY of a mount point before it says ENOTEMPTY: what is mounted is never entered.
        try:
            posix.rmdir(entry, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
    return True


def chown_tree(parent: int, name: bytes, ids: Ids) -> None:
    """Change the owners of the directory name in parent and of all it holds, as ids says.

    Raises the OSError of the first failure and stops there, as shadow's chown_tree().
    """
    cursor = Cursor(posix.open(name, DIRECTORY, dir_fd=parent))
    try:
        todo = [posix.listdir(cursor.fd)]
        while todo:
            if todo[-1]:
                entry = todo[-1].pop()
                status = posix.stat(entry, dir_fd=cursor.fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    cursor.enter(entry)
                    todo.append(posix.listdir(cursor.fd))
                elif ids.change(status) != (KEEP, KEEP):
                    _chown_entry(cursor.fd, entry, ids)
                continue
            todo.pop()
            change = ids.change(posix.fstat(cursor.fd))
            if change != (KEEP, KEEP):
                posix.fchown(cursor.fd, *change)
            if todo:
                cursor.leave()
    finally:
        cursor.close()


def _chown_entry(directory: int, entry: str, ids: Ids) -> None:
    # What is checked is what is changed: a user who puts a hard link to another's file in place of his own
    # between the two must not be given it. chown by the /proc name of a descriptor acts on just that file.
    fd = posix.open(entry, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=directory)
    try:
        change = ids.change(posix.fstat(fd))
        if change == (KEEP, KEEP):
            return
        try:
            posix.chown(f"/proc/self/fd/{fd}", *change)
        except FileNotFoundError:
            # No /proc, as in a bare chroot of an image build.
            posix.chown(entry, *change, dir_fd=directory, follow_symlinks=False)
    finally:
        posix.close(fd)
