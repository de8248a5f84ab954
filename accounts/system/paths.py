# SPDX-License-Identifier: MIT
"""Every path of a target root goes through here. Hot path: imports only posix, _stat, errno, and shield.

The rule (docs/decisions/paths.md): a path of a target is resolved below the root's descriptor as chroot(2), or
openat2(2) with RESOLVE_IN_ROOT, would: absolute links start again at the root, ".." stops there, nothing leaves
it. Nobody else opens, stats, lists, renames, links or removes what a target's path names; who has a descriptor
from here may work on single names in it. On the live root the kernel's own walk is the same thing, and
system.target asks it directly. tests/lint/test_paths.py holds all that.

Two kinds of paths, two answers to "whose link is it?":
  - Configuration and account files: any link. As far as the root is somebody else's, it is all theirs, and on
    one's own machine they are where only root writes.
  - Homes, mail spools, logs: a link is followed only where no ordinary user can have put it, so that root never
    acts on a file that a user has chosen: /home -> var/home works, /home/alice -> /etc made by alice does not.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.system.shield import REFUSED, refuse_special
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# As the kernel's MAXSYMLINKS, path_resolution(7).
MAX_LINKS = 40
DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_EXCLUSIVE = posix.O_CREAT | posix.O_EXCL
_PIN = posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
_READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY


def split_path(path: bytes) -> list[bytes]:
    """The components of an absolute path without empty ones and "."; ".." is kept.

    Raises FileNotFoundError for a relative or empty path, which has no meaning inside a root, and for a NUL.
    """
    if not path.startswith(b"/") or b"\0" in path:
        raise _error(errno.ENOENT, path)
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def shown_path(path: bytes, prefix: bytes = b"") -> str:
    """path as shadow's messages show it: behind --prefix and a slash where one was given."""
    return fsdecode(prefix + b"/" + path if prefix else path)


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0o600, any_link: bool = False) -> int:
    """Open an absolute path inside the directory root; returns a descriptor that is closed on exec.

    flags and mode as open(2); with O_NOFOLLOW, or O_CREAT and O_EXCL, a link in the last place is not
    followed. any_link: also links that an ordinary user may have made. Devices, FIFOs and sockets are never
    opened, but for O_PATH. Raises OSError: EACCES for a link that is not to be followed, ELOOP for more than
    40 links or O_NOFOLLOW on one, ENXIO for a device or FIFO, and what openat(2) raises.
    """
    follow = not flags & posix.O_NOFOLLOW and flags & _EXCLUSIVE != _EXCLUSIVE
    parent, name, _ = _walk(root, path, follow, any_link)
    try:
        if not flags & (posix.O_PATH | posix.O_EXCL | posix.O_DIRECTORY):
            refuse_special(name, parent)
        # Where links are followed _walk has done so; a link that appears since then must fail.
        if flags & posix.O_PATH:
            return _pin(name, flags, parent)
        return posix.open(name, flags | posix.O_NOFOLLOW | posix.O_CLOEXEC, mode, dir_fd=parent)
    finally:
        posix.close(parent)


def stat_beneath(root: int, path: bytes, any_link: bool = False) -> posix.stat_result:
    """stat(2) of an absolute path inside the directory root. Raises OSError as open_beneath."""
    fd = open_beneath(root, path, posix.O_PATH, any_link=any_link)
    try:
        return posix.fstat(fd)
    finally:
        posix.close(fd)


def stat_each(root: int, paths: Iterable[bytes]) -> Iterator[posix.stat_result]:
    """stat(2) of those of many absolute paths that are there, whatever links lead to them."""
    # Sixty walks of ours take a millisecond, the kernel's a tenth.
    own = posix.fstat(root)[1:3] == posix.stat(b"/")[1:3]
    for path in paths:
        try:
            yield posix.stat(path) if own else stat_beneath(root, path, any_link=True)
        except OSError:
            continue


def open_directory(
    root: int, path: bytes, make: Callable[[int, bytes, list[bytes]], None] | None = None
) -> tuple[int, bytes]:
    """(descriptor of a directory, its path inside the root without links), whatever links lead to it.

    make: called with descriptor, name and path of the parent to make a directory that is missing. Raises OSError.
    """
    parent, name, place = _walk(root, path, True, True, make)
    try:
        try:
            fd = posix.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if make is None:
                raise
            make(parent, name, place)
            fd = posix.open(name, DIRECTORY, dir_fd=parent)
    finally:
        posix.close(parent)
    return fd, b"/" + b"/".join(place if name == b"." else [*place, name])


def open_parent(root: int, path: bytes) -> tuple[int, bytes]:
    """(descriptor of the directory that holds the last component, that component), which need not exist.

    The descriptor is O_PATH: good for dir_fd, not for reading. Trailing slashes are ignored. Raises OSError
    as open_beneath, and EINVAL for a path without a last name: "/", or one that ends in "..".
    """
    parts = split_path(path)
    if not parts or parts[-1] == b"..":
        raise _error(errno.EINVAL, path)
    return _walk(root, path, False)[:2]


def real_path(root: int, path: bytes, any_link: bool = False) -> bytes:
    """path inside the root without links, ".." and empty components. Raises OSError as open_beneath."""
    parent, name, place = _walk(root, path, True, any_link)
    posix.close(parent)
    return b"/" + b"/".join(place if name == b"." else [*place, name])


def _walk(
    root: int,
    path: bytes,
    follow_last: bool,
    any_link: bool = False,
    make: Callable[[int, bytes, list[bytes]], None] | None = None,
) -> tuple[int, bytes, list[bytes]]:
    """(the last directory, the name to open in it, the path of that directory).

    The name is "." where the path ends at the root or in "..". make: as open_directory().
    """
    # Names still to go, last first. The directories passed are kept open, so ".." needs no trust in the disk.
    todo = split_path(path)[::-1]
    passed = [_pin(b".", posix.O_DIRECTORY, root)]
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
            if todo:
                try:
                    try:
                        passed.append(_pin(name, posix.O_DIRECTORY, passed[-1]))
                    except FileNotFoundError:
                        if make is None:
                            raise
                        make(passed[-1], name, place)
                        passed.append(_pin(name, posix.O_DIRECTORY, passed[-1]))
                except NotADirectoryError:  # which is what Linux says of a link, too
                    target = _read_link(passed[-1], name, path, any_link)
                    if target is None:
                        raise
                else:
                    place.append(name)
                    continue
            else:
                target = _read_link(passed[-1], name, path, any_link) if follow_last else None
                if target is None:
                    return passed.pop(), name, place
            links += 1
            if links > MAX_LINKS:
                raise _error(errno.ELOOP, path)
            if target.startswith(b"/"):
                while place:
                    place.pop()
                    posix.close(passed.pop())
            todo += [part for part in target.split(b"/") if part not in (b"", b".")][::-1]
        return passed.pop(), b".", place
    finally:
        for fd in passed:
            posix.close(fd)


def _pin(name: bytes, flags: int, dir_fd: int) -> int:
    """open(2) with O_PATH, which no link gets past; for reading, which does as much, where that is refused."""
    try:
        return posix.open(name, flags | _PIN, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        refuse_special(name, dir_fd)
        return posix.open(name, flags & ~posix.O_PATH | _READ, dir_fd=dir_fd)


def _read_link(directory: int, name: bytes, path: bytes, any_link: bool) -> bytes | None:
    """Where the link name points to, or None when it is no link (or not there). EACCES when not trusted."""
    try:
        target = posix.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        # Refused: what only a link can stop goes on.
        status = posix.stat(name, dir_fd=directory, follow_symlinks=False) if error.errno in REFUSED else None
        if status is not None and not stat.S_ISLNK(status.st_mode):
            return None
        raise
    trusted = (0, posix.geteuid())
    holder = posix.fstat(directory)
    if any_link or (holder.st_uid in trusted and not holder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return target
    # Where others can write, a link of root's is trusted; a descriptor pins what is checked and read.
    link = posix.open(name, _PIN, dir_fd=directory)
    try:
        status = posix.fstat(link)
        if not stat.S_ISLNK(status.st_mode) or status.st_uid not in trusted:
            raise _error(errno.EACCES, path)
        return posix.readlink(b"", dir_fd=link)
    finally:
        posix.close(link)


def _error(number: int, path: bytes) -> OSError:
    return OSError(number, posix.strerror(number), path)
