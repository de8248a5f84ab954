# SPDX-License-Identifier: MIT
"""A root directory as a handle, for reading: every path is resolved inside it, whatever its links say.

A built rootfs is full of absolute links (/lib, /usr/bin/awk -> /etc/alternatives/awk). They are relative to
that root, never to this machine: accounts.system.paths walks.
Every error names the path inside the root that it is about.
"""

from __future__ import annotations

import errno
import functools
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from accounts.system import paths
from accounts.system.paths import DIRECTORY
from accounts.system.target import READ, read_fd

P = ParamSpec("P")
R = TypeVar("R")


def point_at(directory: str, link: str) -> str:
    """Return the absolute path inside the root that a link `link` in `directory` names, lexically."""
    path = posixpath.normpath(posixpath.join(directory, link))
    return "/" + path.lstrip("/")


def names_path(method: Callable[P, R]) -> Callable[P, R]:
    """Have the OSErrors of a method name its path: the kernel is given single names, or descriptors."""

    @functools.wraps(method)
    def named(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return method(*arguments, **options)
        except OSError as error:
            path = arguments[2] if method.__name__ in ("symlink", "move") else arguments[1]
            if error.filename == path:
                raise
            raise OSError(error.errno, error.strerror, path) from None

    return named


class Reader:
    """An open root directory. Paths are absolute and inside the root; relative ones start at the root too.

    root: a directory, or a descriptor of one (duplicated, so the caller keeps its own).
    """

    def __init__(self, root: int | Path) -> None:
        self.fd = os.dup(root) if isinstance(root, int) else os.open(root, DIRECTORY & ~os.O_NOFOLLOW)

    def close(self) -> None:
        """Close the root."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @names_path
    def open_directory(self, path: str, create: bool = False) -> tuple[int, str]:
        """Open directory `path` and return its descriptor and its real path inside the root.

        create: make missing directories, which only a Tree can. Raises FileNotFoundError, NotADirectoryError,
        OSError ELOOP.
        """
        fd, real = paths.open_directory(self.fd, _encode(path), self._make_missing if create else None)
        return fd, os.fsdecode(real)

    @contextmanager
    def directory(self, path: str, create: bool = False) -> Iterator[int]:
        """Like open_directory(), for the length of a with block and without the real path."""
        fd, _ = self.open_directory(path, create)
        try:
            yield fd
        finally:
            os.close(fd)

    def real_directory(self, path: str) -> str:
        """Return `path` with its links resolved, as far as it exists."""
        rest = ""
        while path.strip("/"):
            try:
                fd, real = self.open_directory(path)
            except FileNotFoundError:
                path, name = posixpath.split(path.rstrip("/"))
                rest = posixpath.join(name, rest) if rest else name
                continue
            os.close(fd)
            return posixpath.join(real, rest) if rest else real
        return "/" + rest

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

    @names_path
    def lstat(self, path: str) -> os.stat_result | None:
        """Return the status of `path` without following its last component; None when it is not there."""
        head, name = posixpath.split(path)
        try:
            with self.directory(head) as fd:
                return os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @names_path
    def stat(self, path: str) -> os.stat_result | None:
        """Return the status of what `path` leads to, links followed inside the root; None when that is nothing."""
        try:
            return paths.stat_beneath(self.fd, _encode(path), any_link=True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    @names_path
    def readlink(self, path: str) -> str | None:
        """Return the text of symbolic link `path`; None when that is no link or not there."""
        head, name = posixpath.split(path)
        try:
            with self.directory(head) as fd:
                return _readlink(name, fd)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @names_path
    def read(self, path: str) -> bytes:
        """Return the content of regular file `path`; links are followed inside the root. Raises OSError."""
        return read_fd(paths.open_beneath(self.fd, _encode(path), READ, any_link=True))

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

    def _make_missing(self, parent: int, name: bytes, place: list[bytes]) -> None:
        self._make_directory(parent, os.fsdecode(name), "/" + os.fsdecode(b"/".join(place)))

    def _make_directory(self, parent: int, name: str, path: str) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _encode(path: str) -> bytes:
    return b"/" + os.fsencode(path)


def _readlink(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
