# SPDX-License-Identifier: MIT
"""Paths inside a target root, walked by directory descriptors. Hot path: imports only posix, _stat, errno.

A path is resolved as if the root were "/": absolute link targets start again at the root and ".." stops
there. A symbolic link is followed only where no ordinary user can have put it, so that root never acts on a
file that a user has chosen: /home -> var/home works, /home/alice -> /etc made by alice does not.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.text import fsdecode

# As the kernel's MAXSYMLINKS, path_resolution(7).
MAX_LINKS = 40
DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_EXCLUSIVE = posix.O_CREAT | posix.O_EXCL
_STEP = posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def split_path(path: bytes) -> list[bytes]:
    """The components of an absolute path without empty ones and "."; ".." is kept.

    Raises FileNotFoundError for a relative or empty path: it has no meaning inside a root.
    """
    if not path.startswith(b"/"):
        raise _error(errno.ENOENT, path)
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def shown_path(path: bytes, prefix: bytes = b"") -> str:
    """path as shadow's messages show it: behind --prefix and a slash where one was given."""
    return fsdecode(prefix + b"/" + path if prefix else path)


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0o600) -> int:
    """Open an absolute path inside the directory root; returns a descriptor that is closed on exec.

    flags and mode as open(2); with O_NOFOLLOW, or O_CREAT and O_EXCL, a link in the last place is not
    followed. Raises OSError: EACCES for a link that an ordinary user may have made, ELOOP for more than 40
    links or O_NOFOLLOW on one, and what openat(2) raises.
    """
    follow = not flags & posix.O_NOFOLLOW and flags & _EXCLUSIVE != _EXCLUSIVE
    parent, name, _ = _walk(root, path, follow)
    try:
        # Where links are followed _walk has done so; a link that appears since then must fail.
        return posix.open(name, flags | posix.O_NOFOLLOW | posix.O_CLOEXEC, mode, dir_fd=parent)
    finally:
        posix.close(parent)


def open_parent(root: int, path: bytes) -> tuple[int, bytes]:
    """(descriptor of the directory that holds the last component, that component), which need not exist.

    The descriptor is O_PATH: good for dir_fd, not for reading. Trailing slashes are ignored. Raises OSError
    as open_beneath, and EINVAL for a path without a last name: "/", or one that ends in "..".
    """
    parts = split_path(path)
    if not parts or parts[-1] == b"..":
        raise _error(errno.EINVAL, path)
    return _walk(root, path, False)[:2]


def real_path(root: int, path: bytes) -> bytes:
    """path inside the root without links, ".." and empty components. Raises OSError as open_beneath."""
    parent, name, place = _walk(root, path, True)
    posix.close(parent)
    return b"/" + b"/".join(place if name == b"." else [*place, name])


def _walk(root: int, path: bytes, follow_last: bool) -> tuple[int, bytes, list[bytes]]:
    """(the last directory, the name to open in it, the path of that directory).

    The name is "." where the path ends at the root or in "..".
    """
    # Names still to go, last first. The directories passed are kept open, so ".." needs no trust in the disk.
    todo = split_path(path)[::-1]
    passed = [posix.open(b".", _STEP, dir_fd=root)]
    place: list[bytes] = []
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name == b"..":
                if place:
                    place.pop()
                    posix.close(passed.pop())
                continue
            target = None
            if todo or follow_last:
                target = _read_link(passed[-1], name, path)
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise _error(errno.ELOOP, path)
                if target.startswith(b"/"):
                    while place:
                        place.pop()
                        posix.close(passed.pop())
                todo += [part for part in target.split(b"/") if part not in (b"", b".")][::-1]
            elif not todo:
                return passed.pop(), name, place
            else:
                passed.append(posix.open(name, _STEP, dir_fd=passed[-1]))
                place.append(name)
        return passed.pop(), b".", place
    finally:
        for fd in passed:
            posix.close(fd)


def _read_link(directory: int, name: bytes, path: bytes) -> bytes | None:
    """Where the link name points to, or None when it is no link (or not there). EACCES when not trusted."""
    try:
        target = posix.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
    trusted = (0, posix.geteuid())
    holder = posix.fstat(directory)
    if holder.st_uid in trusted and not holder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return target
    # Where others can write, a link of root's is trusted; a descriptor pins what is checked and read.
    link = posix.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=directory)
    try:
        status = posix.fstat(link)
        if not stat.S_ISLNK(status.st_mode) or status.st_uid not in trusted:
            raise _error(errno.EACCES, path)
        return posix.readlink(b"", dir_fd=link)
    finally:
        posix.close(link)


def _error(number: int, path: bytes) -> OSError:
    return OSError(number, posix.strerror(number), path)
