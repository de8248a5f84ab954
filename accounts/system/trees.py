# SPDX-License-Identifier: MIT
"""Copy, remove and re-own directory trees that a hostile user may be changing meanwhile. Hot path.

Every step is relative to a directory descriptor and never follows a link. One descriptor goes down and up a
tree, however deep it is; on the way up ".." must be the directory that was left, or the walk ends (ESTALE).
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.system.paths import DIRECTORY
from accounts.text import fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# "This id does not change", as in chown(2) and shadow.
KEEP = -1
_SEEK_SET = 0
_CHUNK = 1 << 24


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


class _Cursor:
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
    cursor = _Cursor(posix.open(name, DIRECTORY, dir_fd=parent))
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
    cursor = _Cursor(posix.open(name, DIRECTORY, dir_fd=parent))
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


class Copy:
    """One copy of a tree: the owners it gives, the links it rewrites, the hard links it has seen."""

    def __init__(self, ids: Ids, source: bytes, target: bytes) -> None:
        """source, target: the paths that symbolic links name; a link into source is made one into target."""
        self._ids = ids
        self._source = source.rstrip(b"/")
        self._target = target.rstrip(b"/")
        # (device, inode) of a source file with several names: the place and (device, inode) of its copy.
        self._linked: dict[tuple[int, int], tuple[tuple[str, ...], str, tuple[int, int]]] = {}
        self._root = -1

    def fill(self, source: int, target: int) -> None:
        """Copy all that the directory source holds into the directory target; both descriptors stay open.

        Nothing in target is ever overwritten: a name that is there already raises FileExistsError. Owners,
        modes, times, ACLs and user.* attributes are kept. New directories belong to root and are closed to
        others until they are complete. Raises the first OSError.
        """
        self._root = target
        reader = _Cursor(posix.open(".", DIRECTORY, dir_fd=source))
        try:
            writer = _Cursor(posix.open(".", DIRECTORY, dir_fd=target))
            try:
                self._walk(reader, writer)
            finally:
                writer.close()
        finally:
            reader.close()

    def _walk(self, reader: _Cursor, writer: _Cursor) -> None:
        todo = [posix.listdir(reader.fd)]
        place: list[str] = []
        while todo:
            if todo[-1]:
                entry = todo[-1].pop()
                try:
                    status = posix.stat(entry, dir_fd=reader.fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    posix.mkdir(entry, 0o700, dir_fd=writer.fd)
                    reader.enter(entry)
                    writer.enter(entry)
                    place.append(entry)
                    todo.append(posix.listdir(reader.fd))
                else:
                    self._copy_entry(reader.fd, writer.fd, entry, status, place)
                continue
            todo.pop()
            if todo:
                self.finish(reader.fd, writer.fd)
                place.pop()
                reader.leave()
                writer.leave()

    def finish(self, source: int, target: int) -> None:
        """Give a filled directory the owner, mode, attributes and times of its source."""
        status = posix.fstat(source)
        _set_status(source, target, status, self._ids.owner(status))

    def _copy_entry(
        self, source: int, target: int, entry: str, status: posix.stat_result, place: list[str]
    ) -> None:
        times = (status.st_atime_ns, status.st_mtime_ns)
        owner = self._ids.owner(status)
        if stat.S_ISLNK(status.st_mode):
            text = self._rewrite(posix.readlink(fsencode(entry), dir_fd=source))
            posix.symlink(text, fsencode(entry), dir_fd=target)
            posix.chown(entry, *owner, dir_fd=target, follow_symlinks=False)
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in self._linked:
            self._link(target, entry, self._linked[status.st_dev, status.st_ino])
            return
        elif stat.S_ISREG(status.st_mode):
            self._copy_file(source, target, entry)
        else:
            mask = posix.umask(0)
            try:
                posix.mknod(entry, status.st_mode & ~0o7000, status.st_rdev, dir_fd=target)
            finally:
                posix.umask(mask)
            posix.chown(entry, *owner, dir_fd=target, follow_symlinks=False)
        posix.utime(entry, ns=times, dir_fd=target, follow_symlinks=False)
        if status.st_nlink > 1:
            made = posix.stat(entry, dir_fd=target, follow_symlinks=False)
            here = (made.st_dev, made.st_ino)
            self._linked[status.st_dev, status.st_ino] = (tuple(place), entry, here)

    def _rewrite(self, text: bytes) -> bytes:
        # Unlike shadow only at a component boundary: a link to /home/alice2 is none into /home/alice.
        if self._source and (text + b"/").startswith(self._source + b"/"):
            return self._target + text[len(self._source) :]
        return text

    def _link(self, target: int, entry: str, made: tuple[tuple[str, ...], str, tuple[int, int]]) -> None:
        place, name, identity = made
        fd = posix.open(".", DIRECTORY, dir_fd=self._root)
        try:
            for step in place:
                below = posix.open(step, DIRECTORY, dir_fd=fd)
                posix.close(fd)
                fd = below
            posix.link(name, entry, src_dir_fd=fd, dst_dir_fd=target, follow_symlinks=False)
        finally:
            posix.close(fd)
        status = posix.stat(entry, dir_fd=target, follow_symlinks=False)
        if (status.st_dev, status.st_ino) != identity:
            raise OSError(errno.ESTALE, "file was replaced while it was being linked")

    def _copy_file(self, source: int, target: int, entry: str) -> None:
        flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
        reader = posix.open(entry, flags, dir_fd=source)
        try:
            # Of the file that is open now, not of what had its name a moment ago.
            status = posix.fstat(reader)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ESTALE, "file was replaced while it was being copied")
            create = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
            writer = posix.open(entry, create, 0o600, dir_fd=target)
            try:
                for start, end in _data_ranges(reader, status.st_size):
                    posix.lseek(writer, start, _SEEK_SET)
                    while start < end:
                        count = posix.sendfile(writer, reader, start, min(end - start, _CHUNK))
                        if not count:
                            break
                        start += count
                posix.ftruncate(writer, status.st_size)
                _set_status(reader, writer, status, self._ids.owner(status))
            finally:
                posix.close(writer)
        finally:
            posix.close(reader)


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes: a sparse file of a terabyte must not fill the disk."""
    end = 0
    while end < size:
        try:
            start = posix.lseek(fd, end, posix.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = posix.lseek(fd, start, posix.SEEK_HOLE)
        yield start, min(end, size)


def _set_status(source: int, target: int, status: posix.stat_result, owner: tuple[int, int]) -> None:
    # chown first: it clears the set-id bits, which then come back for the new owner only.
    posix.fchown(target, *owner)
    posix.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in _attributes(source):
        try:
            posix.setxattr(target, name, posix.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENODATA):
                raise
    posix.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _attributes(fd: int) -> list[str]:
    """ACLs and user.*: labels belong to the place, capabilities to who gave them."""
    try:
        names = posix.listxattr(fd)
    except OSError:
        return []
    return [name for name in names if name.startswith(("system.posix_acl_", "user."))]
