# SPDX-License-Identifier: MIT
"""A root directory as a handle, for reading: every path is resolved inside it, whatever its links say.

A built rootfs is full of absolute links (/lib, /usr/bin/awk -> /etc/alternatives/awk). They are relative to
that root, never to this machine, so nothing here hands a path of more than one component to the kernel.
Every error names the path inside the root that it is about.
"""

from __future__ import annotations

import errno
import functools
import os
import posixpath
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_LINKS = 40  # as the kernel's path walk, path_resolution(7)
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
                    fds.append(os.open(name, DIRECTORY, dir_fd=fds[-1]))
                except FileNotFoundError:
                    if not create:
                        raise
                    self._make_directory(fds[-1], name, "/" + "/".join(names))
                    fds.append(os.open(name, DIRECTORY, dir_fd=fds[-1]))
                except OSError as error:
                    # A link opened with DIRECTORY|O_NOFOLLOW is ENOTDIR on Linux, ELOOP elsewhere.
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    link = _readlink(name, fds[-1])
                    if link is None:
                        raise
                    links += 1
                    if links > MAX_LINKS:
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
        for _ in range(MAX_LINKS):
            text = self.readlink(path)
            if text is None:
                return self.lstat(path)
            path = point_at(posixpath.dirname(self.real_parent(path)), text)
        return None

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
        for _ in range(MAX_LINKS):
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

    def _make_directory(self, parent: int, name: str, path: str) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _readlink(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
