# SPDX-License-Identifier: MIT
"""Keeps what a tool inherits from its caller away from the account files: signals, closed descriptors 0-2,
a small RLIMIT_FSIZE. Here is also what holds for every system call that the real tools do without:

**What only hardens us never makes a tool fail where the real one works.** A call that is refused (REFUSED) is done
another way that gives the same guarantee; where there is none we go on without it, and docs/decisions says what is
lost. tests/faults refuses every call of every tool, beside the real one. What the change itself is made of (open,
write, rename of an account file) fails as the real tool fails, with nothing changed.

Hot path: imports only posix, errno, fcntl, _stat and _signal (the signal module would bring enum).

A signal that would end the process must neither strand lock files nor stop a commit half way, so between
begin() and end() (Locks calls them) it raises Interrupted instead, and inside hold() ... let_go() it waits.
Callers unwind with try/finally; end() then lets the signal do what it was sent to do. System calls that it
interrupts are taken up again (PEP 475), because the handler returns normally inside hold().
"""

from __future__ import annotations

import _stat as stat
import errno
import fcntl
import posix

from accounts.errors import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType
    from typing import Any
else:
    import _signal

# What a kernel, a file system, a sandbox or a preloaded library says of a call that it does not do, or not for us.
# A disk that fails says something else (EIO, ENOSPC), and that is always an error.
REFUSED = (
    errno.ENOSYS,
    errno.EINVAL,
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EXDEV,
    errno.ENOTTY,
    errno.EMLINK,
)
SIGNALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGALRM, _signal.SIGTERM)


_users = 0
_depth = 0
_caught = 0
_saved: dict[int, Any] = {}


def _record(number: int, _frame: FrameType | None) -> None:
    # Only the first signal raises: a second one must not cut short the clean-up that the first one started.
    global _caught
    if _caught:
        return
    _caught = number
    if not _depth:
        raise Interrupted(number)


def begin() -> None:
    """Start catching the signals that would kill the process; ignored and handled ones stay so."""
    global _users
    _users += 1
    if _users > 1:
        return
    for number in SIGNALS:
        disposition = _signal.getsignal(number)
        if disposition != _signal.SIG_DFL and disposition is not _signal.default_int_handler:
            continue
        try:
            _signal.signal(number, _record)
        except (ValueError, OSError):
            return  # refused, or not the main thread, which alone may set handlers and alone runs them
        _saved[number] = disposition


def end() -> None:
    """Stop catching signals; one that came in between now takes effect and ends the process here."""
    global _users, _caught
    _users -= 1
    if _users:
        return
    while _saved:
        _signal.signal(*_saved.popitem())
    if _caught:
        number, _caught = _caught, 0
        # Python's own SIGINT handler would print a traceback; die of the signal, as the real tools do.
        _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)


def hold() -> None:
    """Make signals wait; nests."""
    global _depth
    _depth += 1


def let_go() -> None:
    """End the innermost hold(). Raises Interrupted when a signal came meanwhile and no hold() is left."""
    global _depth
    _depth -= 1
    if not _depth:
        check()


def check() -> None:
    """Raise Interrupted when a signal has come; for places inside hold() where it is safe to give up."""
    if _caught:
        raise Interrupted(_caught)


def open_file(name: str, flags: int, dir_fd: int, mode: int = 0o600) -> int:
    """open(2) without following a symbolic link; the descriptor is close-on-exec and above 2.

    With descriptors 0-2 closed by the caller, a file opened as 2 would receive any message printed later.
    Raises OSError; ENXIO for a device, FIFO or socket: opening one can be an act already, or wait for ever.
    """
    if not flags & (posix.O_EXCL | posix.O_DIRECTORY):
        refuse_special(name, dir_fd)
    fd = posix.open(name, flags | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NOCTTY, mode, dir_fd=dir_fd)
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        close(fd)


def refuse_special(name: str | bytes, dir_fd: int) -> None:
    """Raise OSError (ENXIO) when a name is there and is a device, FIFO or socket."""
    try:
        kind = stat.S_IFMT(posix.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except OSError:
        return  # not there, or open(2) has the same to say
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise OSError(errno.ENXIO, "not a regular file")


def status_of(fd: int, name: str | bytes, dir_fd: int) -> posix.stat_result:
    """fstat(2), or where that is refused lstat(2) of the name that fd was opened by. Raises OSError."""
    try:
        return posix.fstat(fd)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        return posix.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def close(fd: int) -> None:
    """close(2). An error is of no interest: what had to reach the disk was fsynced before."""
    try:
        posix.close(fd)
    except OSError:
        pass


def remove(name: str, dir_fd: int) -> bool:
    """Whether the file is gone. A second try, because a leftover outlives the cause of a passing error."""
    for _ in range(2):
        try:
            posix.unlink(name, dir_fd=dir_fd)
        except FileNotFoundError:
            return True
        except OSError:
            continue
        return True
    return False


def remove_directory(name: str, dir_fd: int) -> None:
    """Remove a directory, if it is empty; tried twice, too."""
    for _ in range(2):
        try:
            posix.rmdir(name, dir_fd=dir_fd)
        except OSError:
            continue  # not empty, or never made
        return


def sync(fd: int) -> None:
    """fsync(2) of a directory or journal, where that is possible. Raises OSError when the disk fails.

    FAT by FUSE, vboxsf and 9p say EINVAL, of an O_PATH descriptor (Target.etc) it is EBADF; the real tools fsync
    files only.
    """
    try:
        posix.fsync(fd)
    except OSError as error:
        if error.errno not in (*REFUSED, errno.EBADF):
            raise


def write_all(fd: int, data: bytes) -> None:
    """Write all of data; raises the soft RLIMIT_FSIZE when that is in the way. Raises OSError.

    Python starts with SIGXFSZ ignored, so hitting the limit is an EFBIG.
    """
    view = memoryview(data)
    lifted = False
    while view:
        try:
            written = posix.write(fd, view)
        except OSError as error:
            if error.errno != errno.EFBIG or lifted:
                raise
            _lift_file_size_limit()
            lifted = True
            continue
        if not written:
            raise OSError(errno.ENOSPC, posix.strerror(errno.ENOSPC))
        view = view[written:]


def _lift_file_size_limit() -> None:
    import resource  # 2 ms, needed once in a blue moon

    unlimited = resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    except (OSError, ValueError):  # no CAP_SYS_RESOURCE: as far as the hard limit goes
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
