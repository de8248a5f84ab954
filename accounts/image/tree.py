# SPDX-License-Identifier: MIT
"""A root directory as a handle: every path is resolved inside it, whatever its symbolic links say.

A built rootfs is full of absolute links (/lib, /usr/bin/awk -> /etc/alternatives/awk). They are relative to
that root, never to this machine, so nothing here hands a path of more than one component to the kernel.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # as the kernel's path walk, path_resolution(7)
Inode = tuple[int, int]


def point_at(directory: str, link: str) -> str:
    """Return the absolute path inside the root that a link `link` in `directory` names, lexically."""
    path = posixpath.normpath(posixpath.join(directory, link))
    return "/" + path.lstrip("/")


class Tree:
    """An open root directory. Paths are absolute and inside the root; relative ones start at the root too.

    root: a directory, or a descriptor of one (duplicated, so the caller keeps its own).
    source_date_epoch: seconds; the modification time of what is written and of directories that change.
    None leaves the clock's.
    """

    def __init__(self, root: int | Path, source_date_epoch: int | None = None) -> None:
        self.fd = os.dup(root) if isinstance(root, int) else os.open(root, _DIR & ~os.O_NOFOLLOW)
        self.source_date_epoch = source_date_epoch
        self._changed: set[str] = set()
        self._copied: dict[Inode, tuple[str, str]] = {}

    def close(self) -> None:
        """Close the root. Directories changed since opening get the source date first."""
        if self.source_date_epoch is not None:
            for path in sorted(self._changed):
                try:
                    with self.directory(path) as fd:
                        self._stamp(fd)
                except FileNotFoundError:
                    continue  # changed, then removed
        self._changed.clear()
        os.close(self.fd)

    def has_changed(self, path: str) -> bool:
        """Whether entries of directory `path` have been written, moved or removed through this tree."""
        return path in self._changed

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_directory(self, path: str, create: bool = False) -> tuple[int, str]:
        """Open directory `path` and return its descriptor and its real path inside the root.

        create: make missing directories, 0755. Raises FileNotFoundError, NotADirectoryError, OSError ELOOP.
        """
        todo = deque(path.split("/"))
        fds = [os.dup(self.fd)]
        names: list[str] = []
        links = 0
        try:
            while todo:
                name = todo.popleft()
                if name in ("", "."):
                    continue
                if name == "..":
                    if names:
                        os.close(fds.pop())
                        names.pop()
                    continue
                try:
                    fds.append(os.open(name, _DIR, dir_fd=fds[-1]))
                except FileNotFoundError:
                    if not create:
                        raise
                    self._make_directory(fds[-1], name, "/" + "/".join(names))
                    fds.append(os.open(name, _DIR, dir_fd=fds[-1]))
                except OSError as error:
                    # A link opened with O_DIRECTORY|O_NOFOLLOW is ENOTDIR on Linux, ELOOP elsewhere.
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    link = _readlink(name, fds[-1])
                    if link is None:
                        raise
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                    if link.startswith("/"):
                        while len(fds) > 1:
                            os.close(fds.pop())
                        names.clear()
                    todo.extendleft(reversed(link.split("/")))
                    continue
                names.append(name)
            return fds.pop(), "/" + "/".join(names)
        finally:
            for fd in fds:
                os.close(fd)

    @contextmanager
    def directory(self, path: str, create: bool = False) -> Iterator[int]:
        """Like open_directory(), for the length of a with block and without the real path."""
        fd, _ = self.open_directory(path, create)
        try:
            yield fd
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """The names in directory `path`, sorted; none when it is no directory or not there."""
        try:
            with self.directory(path) as fd:
                return sorted(os.listdir(fd))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def real_parent(self, path: str, create: bool = False) -> str:
        """Return `path` with its parent directory resolved; the last component is not followed.

        A parent that does not exist yet (and is not to be created) is taken as it is written.
        """
        head, name = posixpath.split(path)
        try:
            fd, head = self.open_directory(head, create)
            os.close(fd)
        except FileNotFoundError:
            pass
        return posixpath.join(head, name)

    def lstat(self, path: str) -> os.stat_result | None:
        """Return the status of `path` without following its last component; None when it is not there."""
        head, name = posixpath.split(path)
        try:
            with self.directory(head) as fd:
                return os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def readlink(self, path: str) -> str | None:
        """Return the text of symbolic link `path`; None when that is no link or not there."""
        head, name = posixpath.split(path)
        try:
            with self.directory(head) as fd:
                return _readlink(name, fd)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> bytes:
        """Return the content of regular file `path`; links are followed inside the root. Raises OSError."""
        for _ in range(_MAX_LINKS):
            head, name = posixpath.split(path)
            fd, head = self.open_directory(head)
            try:
                link = _readlink(name, fd)
                if link is None:
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                    with open(os.open(name, flags, dir_fd=fd), "rb") as stream:
                        return stream.read()
            finally:
                os.close(fd)
            path = point_at(head, link)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> bool:
        """Replace file `path` by `content`, making its directories; return whether that changed anything.

        Owner, mode and extended attributes of an existing file stay; a new file gets `mode`.
        """
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head, create=True)
        try:
            try:
                old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except FileNotFoundError:
                old = -1
            temporary = f".{name}.accounts-tmp"
            new = -1
            try:
                if old >= 0:
                    with open(old, "rb", closefd=False) as stream:
                        if stream.read() == content:
                            return False
                _unlink(temporary, fd)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                new = os.open(temporary, flags, 0o600, dir_fd=fd)
                with open(new, "wb", closefd=False) as stream:
                    stream.write(content)
                if old >= 0:
                    _copy_metadata(old, new)
                else:
                    os.fchmod(new, mode)
                self._stamp(new)
                os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
                self._changed.add(head)
                return True
            finally:
                for file in (old, new):
                    if file >= 0:
                        os.close(file)
        finally:
            os.close(fd)

    def symlink(self, text: str, path: str) -> None:
        """Make symbolic link `path`, atomically replacing what is there; a replaced link's times stay."""
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head, create=True)
        try:
            try:
                old: os.stat_result | None = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                old = None
            temporary = f".{name}.accounts-tmp"
            _unlink(temporary, fd)
            os.symlink(text, temporary, dir_fd=fd)
            if old is not None and stat.S_ISLNK(old.st_mode):
                os.chown(temporary, old.st_uid, old.st_gid, dir_fd=fd, follow_symlinks=False)
                os.utime(temporary, ns=(old.st_atime_ns, old.st_mtime_ns), dir_fd=fd, follow_symlinks=False)
            elif self.source_date_epoch is not None:
                when = self.source_date_epoch
                os.utime(temporary, (when, when), dir_fd=fd, follow_symlinks=False)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            self._changed.add(head)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        """Remove what is not a directory."""
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head)
        try:
            os.unlink(name, dir_fd=fd)
            self._changed.add(head)
        finally:
            os.close(fd)

    def remove_directory(self, path: str) -> bool:
        """Remove directory `path`; return False when it is not empty."""
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head)
        try:
            os.rmdir(name, dir_fd=fd)
            self._changed.add(head)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                return False
            raise
        finally:
            os.close(fd)
        return True

    def move(self, old: str, new: str) -> None:
        """Move what is not a directory to `new`, replacing what is there; all of its inode stays as it is.

        Across file systems it is copied: content, owner, mode, extended attributes, times, and hard links
        among all that one Tree moves.
        """
        old_head, old_name = posixpath.split(old)
        new_head, new_name = posixpath.split(new)
        source, old_head = self.open_directory(old_head)
        try:
            target, new_head = self.open_directory(new_head, create=True)
            try:
                try:
                    os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
                    # rename(2) of two names of one inode does nothing at all.
                    if _exists(old_name, source):
                        os.unlink(old_name, dir_fd=source)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    self._copy(source, old_name, target, new_name, new)
                    os.unlink(old_name, dir_fd=source)
                self._changed |= {old_head, new_head}
            finally:
                os.close(target)
        finally:
            os.close(source)

    def copy_directory_metadata(self, old: str, new: str) -> None:
        """Give directory `new` the owner, mode, extended attributes and times of `old`."""
        with self.directory(old) as source:
            target, path = self.open_directory(new)
            try:
                _copy_metadata(source, target)
                status = os.fstat(source)
                os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
                self._changed.discard(path)
            finally:
                os.close(target)

    def walk_links(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of every symbolic link of the root's own file system, in stable order."""
        device = os.fstat(self.fd).st_dev
        for head, directories, files, fd in os.fwalk(".", dir_fd=self.fd, follow_symlinks=False):
            head = point_at("/", head)
            directories.sort()
            inside = []
            for name in directories:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    files.append(name)  # fwalk lists a link to a directory as a directory
                elif status.st_dev == device:
                    inside.append(name)
            directories[:] = inside
            for name in sorted(files):
                link = _readlink(name, fd)
                if link is not None:
                    yield posixpath.join(head, name), link

    def _stamp(self, fd: int) -> None:
        if self.source_date_epoch is not None:
            os.utime(fd, (self.source_date_epoch, self.source_date_epoch))

    def _make_directory(self, parent: int, name: str, path: str) -> None:
        os.mkdir(name, 0o755, dir_fd=parent)
        fd = os.open(name, _DIR, dir_fd=parent)
        try:
            os.fchmod(fd, 0o755)  # whatever the umask
            self._stamp(fd)
        finally:
            os.close(fd)
        self._changed.add(path)

    def _copy(self, source: int, old: str, target: int, new: str, new_path: str) -> None:
        status = os.stat(old, dir_fd=source, follow_symlinks=False)
        temporary = f".{new}.accounts-tmp"
        _unlink(temporary, target)
        inode = (status.st_dev, status.st_ino)
        first = self._copied.get(inode)
        if first is not None and self.lstat(first[0]) is not None:
            with self.directory(posixpath.dirname(first[0])) as fd:
                os.link(first[1], temporary, src_dir_fd=fd, dst_dir_fd=target, follow_symlinks=False)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(old, dir_fd=source), temporary, dir_fd=target)
            os.chown(temporary, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            reader = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            writer = os.open(temporary, flags, 0o600, dir_fd=target)
            try:
                with open(reader, "rb", closefd=False) as old_file, open(writer, "wb", closefd=False) as file:
                    shutil.copyfileobj(old_file, file)
                _copy_metadata(reader, writer)
            finally:
                os.close(reader)
                os.close(writer)
        else:
            os.mknod(temporary, status.st_mode, status.st_rdev, dir_fd=target)
            os.chown(temporary, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
            os.chmod(temporary, stat.S_IMODE(status.st_mode), dir_fd=target)
        os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        os.rename(temporary, new, src_dir_fd=target, dst_dir_fd=target)
        if status.st_nlink > 1:
            self._copied[inode] = (new_path, new)


def _readlink(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _unlink(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


def _copy_metadata(source: int, target: int) -> None:
    """Copy owner, mode and extended attributes, in the order that keeps set-id bits and file capabilities."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        os.setxattr(target, name, os.getxattr(source, name))
