# SPDX-License-Identifier: MIT
"""Paths inside a target root, walked by directory descriptors. Hot path: imports only os, stat, errno.

A path is resolved as if the root were "/": absolute link targets start again at the root and ".." stops
there. A symbolic link is followed only where no ordinary user can have put it, so that root never acts on a
file that a user has chosen: /home -> var/home works, /home/alice -> /etc made by alice does not.
"""

from __future__ import annotations

import errno
import os
import stat

# As the kernel's MAXSYMLINKS, path_resolution(7).
MAX_LINKS = 40
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def split_path(path: bytes) -> list[bytes]:
    """The components of an absolute path without empty ones and "."; ".." is kept.

    Raises FileNotFoundError for a relative or empty path: it has no meaning inside a root.
    """
    if not path.startswith(b"/"):
        raise _error(errno.ENOENT, path)
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def shown_path(path: bytes, prefix: bytes = b"") -> str:
    """path as shadow's messages show it: behind --prefix and a slash where one was given."""
    return os.fsdecode(prefix + b"/" + path if prefix else path)


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0o600) -> int:
    """Open an absolute path inside the directory root; returns a descriptor that is closed on exec.

    flags and mode as open(2); with O_NOFOLLOW, or O_CREAT and O_EXCL, a link in the last place is not
    followed. Raises OSError: EACCES for a link that an ordinary user may have made, ELOOP for more than 40
    links or O_NOFOLLOW on one, and what openat(2) raises.
    """
    parent, name = _walk(root, path, not flags & os.O_NOFOLLOW and flags & (os.O_CREAT | os.O_EXCL) != _EXCLUSIVE)
    try:
        # _walk leaves a link in the last place only where it must not be followed, so this never follows.
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=parent)
    finally:
        os.close(parent)


_EXCLUSIVE = os.O_CREAT | os.O_EXCL


def open_parent(root: int, path: bytes) -> tuple[int, bytes]:
    """(descriptor of the directory that holds the last component, that component), which need not exist.

    The descriptor is O_PATH: good for dir_fd, not for reading. Trailing slashes are ignored. Raises OSError
    as open_beneath, and EINVAL for a path without a last name: "/", or one that ends in "..".
    """
    parts = split_path(path)
    if not parts or parts[-1] == b"..":
        raise _error(errno.EINVAL, path)
    return _walk(root, path, False)


def _walk(root: int, path: bytes, follow_last: bool) -> tuple[int, bytes]:
    """The directory and the name to open in it; the name is "." when the path ends at a directory itself."""
    # The names still to go, last first, and the directories passed, so that ".." needs no trust in the disk.
    todo = split_path(path)[::-1]
    passed = [os.open(b".", _STEP, dir_fd=root)]
    links = 0
    try:
        while todo:
            name = todo.pop()
            here = passed[-1]
            if name == b"..":
                if len(passed) > 1:
                    os.close(passed.pop())
                continue
            if not todo and not follow_last:
                return passed.pop(), name
            target = _read_link(here, name, path)
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise _error(errno.ELOOP, path)
                if target.startswith(b"/"):
                    while len(passed) > 1:
                        os.close(passed.pop())
                todo += [part for part in target.split(b"/") if part not in (b"", b".")][::-1]
            elif not todo:
                return passed.pop(), name
            else:
                passed.append(os.open(name, _STEP, dir_fd=here))
        return passed.pop(), b"."
    finally:
        for fd in passed:
            os.close(fd)


def _read_link(directory: int, name: bytes, path: bytes) -> bytes | None:
    """Where the link name points to, or None when it is no link (or not there). EACCES when not trusted."""
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
    # readlink before the check: a link that is swapped after the check was trusted can no longer matter when
    # the directory is root's; where it is not, only the owner of what was read counts, see below.
    holder = os.fstat(directory)
    if holder.st_uid == 0 and not holder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return target
    # In a directory that others write, a root-owned link is root's, if it is still the one that was read:
    # read it again through a descriptor that pins it.
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(link)
        if not stat.S_ISLNK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise _error(errno.EACCES, path)
        return os.readlink(b"", dir_fd=link)
    finally:
        os.close(link)


def _error(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), path)
