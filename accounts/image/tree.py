# SPDX-License-Identifier: MIT
"""A root directory that is changed: files written, moved and removed inside it, and put on the disk."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.inodes import Inode, copy_inode, copy_metadata, unlink_if_there
from accounts.image.reader import Reader, names_path
from accounts.system.paths import DIRECTORY


def refuse_inside_etc(tree: Tree, paths: Iterable[str]) -> None:
    """Raise BadArgument when one of the directories is /etc, or inside of it: what moves there would not leave
    /etc, and what is then removed from /etc would be the only copy. Links and mounts are looked through."""
    etc = tree.real_directory("/etc")
    status = tree.lstat(etc)
    for path in paths:
        real = tree.real_directory(path)
        there = tree.lstat(real)
        same = status is not None and there is not None and os.path.samestat(status, there)
        if same or real == etc or real.startswith(f"{etc}/"):
            raise BadArgument(f"{path} is {'' if same or real == etc else 'inside of '}/etc: nothing can move there")


class Tree(Reader):
    """An open root directory that is changed.

    source_date_epoch: seconds; the modification time of what is written and of directories that change.
    None leaves the clock's.
    """

    def __init__(self, root: int | Path, source_date_epoch: int | None = None) -> None:
        super().__init__(root)
        self.source_date_epoch = source_date_epoch
        self._changed: set[str] = set()
        self._unsettled: set[str] = set()
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
        super().close()

    def settle(self) -> None:
        """Put the entries of all changed directories on the disk: to be called before the only other copy goes."""
        for path in sorted(self._unsettled):
            try:
                with self.directory(path) as fd:
                    os.fsync(fd)
            except FileNotFoundError:
                continue  # changed, then removed
            except OSError as error:
                # Some file systems of build machines cannot sync a directory; that must not fail a build.
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                    raise
        self._unsettled.clear()

    def has_changed(self, path: str) -> bool:
        """Whether entries of directory `path` have been written, moved or removed through this tree."""
        return path in self._changed

    @names_path
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
                unlink_if_there(temporary, fd)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                new = os.open(temporary, flags, 0o600, dir_fd=fd)
                with open(new, "wb", closefd=False) as stream:
                    stream.write(content)
                if old >= 0:
                    copy_metadata(old, new)
                else:
                    os.fchmod(new, mode)
                self._stamp(new)
                os.fsync(new)
                os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
                self._note_change(head)
                return True
            finally:
                for file in (old, new):
                    if file >= 0:
                        os.close(file)
        finally:
            os.close(fd)

    @names_path
    def set_owner(self, path: str, gid: int, mode: int) -> None:
        """root:gid and mode for regular file `path`."""
        head, name = posixpath.split(path)
        with self.directory(head) as directory:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                os.fchown(file, 0, gid)
                os.fchmod(file, mode)
                os.fsync(file)
            finally:
                os.close(file)

    @names_path
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
            unlink_if_there(temporary, fd)
            os.symlink(text, temporary, dir_fd=fd)
            if old is not None and stat.S_ISLNK(old.st_mode):
                os.chown(temporary, old.st_uid, old.st_gid, dir_fd=fd, follow_symlinks=False)
                os.utime(temporary, ns=(old.st_atime_ns, old.st_mtime_ns), dir_fd=fd, follow_symlinks=False)
            elif self.source_date_epoch is not None:
                when = self.source_date_epoch
                os.utime(temporary, (when, when), dir_fd=fd, follow_symlinks=False)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            self._note_change(head)
        finally:
            os.close(fd)

    @names_path
    def remove(self, path: str) -> None:
        """Remove what is not a directory."""
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head)
        try:
            os.unlink(name, dir_fd=fd)
            self._note_change(head)
        finally:
            os.close(fd)

    def remove_directory(self, path: str) -> bool:
        """Remove directory `path`; return False when it is not empty."""
        head, name = posixpath.split(path)
        fd, head = self.open_directory(head)
        try:
            os.rmdir(name, dir_fd=fd)
            self._note_change(head)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                return False
            raise
        finally:
            os.close(fd)
        return True

    @names_path
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
                if old_name == new_name and os.path.samestat(os.fstat(source), os.fstat(target)):
                    return  # one place by two paths: what moves onto itself is there already
                try:
                    os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
                    # rename(2) of two names of one inode does nothing at all.
                    if _exists(old_name, source):
                        os.unlink(old_name, dir_fd=source)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    self._copy(source, old_name, target, new_name, new)
                    os.fsync(target)
                    os.unlink(old_name, dir_fd=source)
                self._note_change(old_head, new_head)
            finally:
                os.close(target)
        finally:
            os.close(source)

    @names_path
    def copy_directory_metadata(self, old: str, new: str) -> None:
        """Give directory `new` the owner, mode, extended attributes and times of `old`."""
        with self.directory(old) as source:
            with self.directory(new) as target:
                copy_metadata(source, target)
            self.set_times(new, os.fstat(source))

    @names_path
    def set_times(self, path: str, status: os.stat_result) -> None:
        """Give directory `path` the times of another one, which then stay."""
        fd, path = self.open_directory(path)
        try:
            os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            self._changed.discard(path)
        finally:
            os.close(fd)

    def _copy(self, source: int, old: str, target: int, new: str, new_path: str) -> None:
        """Copy across file systems; names of one inode that this tree moves stay names of one inode."""
        status = os.stat(old, dir_fd=source, follow_symlinks=False)
        inode = (status.st_dev, status.st_ino)
        first = self._copied.get(inode)
        if first is not None and self.lstat(first[0]) is not None:
            with self.directory(posixpath.dirname(first[0])) as fd:
                copy_inode(source, old, target, new, status, (fd, first[1]))
        else:
            copy_inode(source, old, target, new, status)
        if status.st_nlink > 1:
            self._copied[inode] = (new_path, new)

    def _note_change(self, *paths: str) -> None:
        self._changed.update(paths)
        self._unsettled.update(paths)

    def _stamp(self, fd: int) -> None:
        if self.source_date_epoch is not None:
            os.utime(fd, (self.source_date_epoch, self.source_date_epoch))

    def _make_directory(self, parent: int, name: str, path: str) -> None:
        os.mkdir(name, 0o755, dir_fd=parent)
        fd = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            os.fchmod(fd, 0o755)  # whatever the umask
            self._stamp(fd)
        finally:
            os.close(fd)
        self._note_change(path)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
