# SPDX-License-Identifier: MIT
"""Copies trees that a hostile user may be changing meanwhile, as accounts.system.hometree walks them. Hot path.

What is refused (shield.REFUSED) is done in a plainer way: a file system that does not tell where its holes are, or
cannot send a file, is read and written.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.system import shield
from accounts.system.hometree import Cursor, Ids
from accounts.system.paths import DIRECTORY
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SEEK_SET = 0
_CHUNK = 1 << 24
_SET_ID = stat.S_ISUID | stat.S_ISGID
# Seconds that a copy waits, in all, for users who hold leases on their files; the kernel breaks one after 45.
_LEASE_WAIT = 60.0


class Copy:
    """One copy of a tree: the owners it gives, the links it rewrites, the hard links it has seen."""

    def __init__(self, ids: Ids, source: bytes, target: bytes, warn: Callable[[str], None]) -> None:
        """source, target: the paths that symbolic links name; a link into source is made one into target.

        warn gets a line (without "PROG: ") for each thing that is not copied as it is.
        """
        self._ids = ids
        self._source = source.rstrip(b"/")
        self._target = target.rstrip(b"/")
        self._warn = warn
        # (device, inode) of a source file with several names: the place and (device, inode) of its copy.
        self._linked: dict[tuple[int, int], tuple[tuple[str, ...], str, tuple[int, int]]] = {}
        self._root = -1
        self._patience = _LEASE_WAIT

    def fill(self, source: int, target: int, merge: bool = False) -> None:
        """Copy all that the directory source holds into the directory target; both descriptors stay open.

        Nothing in target is ever overwritten: a name that is there already raises FileExistsError; with merge it stays,
        and what is missing of a directory comes into it. Nobody else may reach the target then. Owners,
        modes, times, ACLs and user.* attributes are kept. New directories belong to root and are closed to
        others until they are complete. What a mount option kept dead stays so: a device node from a nodev file
        system is left out, and a file from a nosuid one loses set-id bits of others. Raises the first OSError.
        """
        self._root = target
        reader = Cursor(posix.open(".", DIRECTORY, dir_fd=source))
        try:
            writer = Cursor(posix.open(".", DIRECTORY, dir_fd=target))
            try:
                self._walk(reader, writer, merge)
            finally:
                writer.close()
        finally:
            reader.close()

    def _walk(self, reader: Cursor, writer: Cursor, merge: bool) -> None:
        todo = [posix.listdir(reader.fd)]
        place: list[str] = []
        # Of the directories on the way: whether they are new.
        new = [False]
        while todo:
            if todo[-1]:
                entry = todo[-1].pop()
                try:
                    status = posix.stat(entry, dir_fd=reader.fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                is_directory = stat.S_ISDIR(status.st_mode)
                stays = merge and _is_there(writer.fd, entry, is_directory)
                if not is_directory:
                    if not stays:
                        self._copy_entry(reader.fd, writer.fd, entry, status, place)
                    continue
                if not stays:
                    posix.mkdir(entry, 0o700, dir_fd=writer.fd)
                reader.enter(entry)
                writer.enter(entry)
                place.append(entry)
                new.append(not stays)
                todo.append(posix.listdir(reader.fd))
                continue
            todo.pop()
            if todo:
                if new.pop():
                    self.finish(reader.fd, writer.fd)
                place.pop()
                reader.leave()
                writer.leave()

    def finish(self, source: int, target: int) -> None:
        """Give a filled directory the owner, mode, attributes and times of its source."""
        status = posix.fstat(source)
        _set_status(source, target, status, self._ids.owner(status))

    def _copy_entry(self, source: int, target: int, entry: str, status: posix.stat_result, place: list[str]) -> None:
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
            self._copy_file(source, target, entry, place)
        elif _is_device(status) and _is_freed(source, target, posix.ST_NODEV):
            self._warn(f"warning: {self._shown(place, entry)} not copied: its file system does not allow device nodes")
            return
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

    def _shown(self, place: list[str], entry: str) -> str:
        return "/".join((fsdecode(self._source), *place, entry))

    def _copy_file(self, source: int, target: int, entry: str, place: list[str]) -> None:
        reader = self._open_file(source, entry)
        try:
            # Of the file that is open now, not of what had its name a moment ago.
            status = posix.fstat(reader)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ESTALE, "file was replaced while it was being copied")
            create = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
            writer = posix.open(entry, create, 0o600, dir_fd=target)
            try:
                _copy_content(reader, writer, status.st_size)
                owner = self._ids.owner(status)
                dropped = 0
                if status.st_mode & _SET_ID and _is_freed(reader, writer, posix.ST_NOSUID):
                    dropped = status.st_mode & self._ids.set_ids_of_others(owner)
                _set_status(reader, writer, status, owner, dropped)
            finally:
                posix.close(writer)
        finally:
            posix.close(reader)
        if dropped:
            self._warn(
                f"warning: {self._shown(place, entry)} copied without its set-id bits: "
                "its file system does not honour them"
            )

    def _open_file(self, directory: int, entry: str) -> int:
        """Open a file for reading. A FIFO in its place does not hold us up, and a lease of its owner not for long."""
        flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
        while True:
            try:
                return posix.open(entry, flags, dir_fd=directory)
            except BlockingIOError:
                if self._patience <= 0:
                    raise
            import time

            time.sleep(0.1)
            self._patience -= 0.1


def _is_there(directory: int, entry: str, as_directory: bool) -> bool:
    """Whether a name is taken; of a directory whether by a directory, too."""
    try:
        mode = posix.stat(entry, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(mode) or not as_directory


def _is_device(status: posix.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)


def _is_freed(source: int, target: int, flag: int) -> bool:
    """Whether a mount option (of statvfs(3)) holds for the source and not for the target."""
    try:
        return bool(posix.fstatvfs(source).f_flag & ~posix.fstatvfs(target).f_flag & flag)
    except OSError:
        return False


def _copy_content(reader: int, writer: int, size: int) -> None:
    position = 0
    for start, end in _data_ranges(reader, size):
        if start != position:
            posix.lseek(writer, start, _SEEK_SET)
        position = start
        while position < end:
            count = _copy_piece(reader, writer, position, min(end - position, _CHUNK))
            if not count:
                break
            position += count
    if position != size:
        try:
            posix.ftruncate(writer, size)
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
            posix.pwrite(writer, b"\0", size - 1)


def _copy_piece(reader: int, writer: int, position: int, count: int) -> int:
    """Copy up to count bytes to where the writer stands; how many."""
    try:
        return posix.sendfile(writer, reader, position, count)
    except OSError as error:
        if error.errno not in shield.REFUSED:
            raise
    # Some FUSE file systems, old kernels and sandboxes.
    piece = posix.pread(reader, min(count, 1 << 20), position)
    shield.write_all(writer, piece)
    return len(piece)


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes: a sparse file of a terabyte must not fill the disk."""
    end = 0
    while end < size:
        start = end
        try:
            start = posix.lseek(fd, end, posix.SEEK_DATA)
            end = posix.lseek(fd, start, posix.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno not in shield.REFUSED:
                raise
            # The file system does not tell.
            end = size
        yield start, min(end, size)


def _set_status(source: int, target: int, status: posix.stat_result, owner: tuple[int, int], dropped: int = 0) -> None:
    # chown first: it clears the set-id bits, which then come back for the new owner only.
    posix.fchown(target, *owner)
    posix.fchmod(target, stat.S_IMODE(status.st_mode) & ~dropped)
    for name in _attributes(source):
        try:
            posix.setxattr(target, name, posix.getxattr(source, name))
        except OSError as error:
            if error.errno not in (*shield.REFUSED, errno.ENODATA):
                raise
    posix.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _attributes(fd: int) -> list[str]:
    """ACLs and user.*: labels belong to the place, capabilities to who gave them."""
    try:
        names = posix.listxattr(fd)
    except OSError:
        return []
    return [name for name in names if name.startswith(("system.posix_acl_", "user."))]
