# SPDX-License-Identifier: MIT
"""Locks the account files so that shadow-utils, glibc and this program exclude one another.

Hot path: imports only posix, sys, errno, fcntl; filelock only when somebody else holds a lock.

Three locks, outermost first (docs/decisions/lock.md):
  - flock(2) on the root, the directory above /etc: between processes of this program, which share the journal
    and accounts/base whatever files they lock. It leaves nothing behind. Not on /etc itself: OpenEmbedded
    calls the tools under `flock -x $root/etc`.
  - lckpwdf(3): an fcntl record lock on .pwd.lock. Not used below --prefix, as in shadow.
  - NAME.lock: a hard link to a file that holds the owner's PID (shadow's lib/commonio.c).
"""

from __future__ import annotations

import errno
import fcntl
import posix
import sys

from accounts.errors import AccountsError
from accounts.system import shield
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# struct flock { short l_type; short l_whence; off_t l_start; off_t l_len; pid_t l_pid; }: a write lock on
# the whole file has zeros in every field but the first, which makes the layout the same on every machine.
_WRITE_LOCK = fcntl.F_WRLCK.to_bytes(2, sys.byteorder) + bytes(30)
# The file that lock files are links of. The lock on the root makes one name enough, and so whatever a
# killed process left under it is gone after the next acquire().
_OWN = ".accounts.lock"


class LockError(AccountsError):
    """A database cannot be locked; details are shadow's own lines about the reason."""


class Locks:
    """The locks that one run of a tool holds on the databases of one directory.

    Usage: `locks = Locks(etc)`, then `try:` acquire, read, commit, `finally: locks.release()`. While any
    lock is held, HUP, INT, QUIT, ALRM and TERM raise shield.Interrupted; release() lets them take effect.

    etc: descriptor of the target's /etc.
    passwd_lock: take lckpwdf(3) first; False below --prefix, where shadow does not use it.
    path: what messages call the directory.
    timeout: seconds to wait; glibc and shadow wait 15.
    """

    def __init__(
        self, etc: int, *, passwd_lock: bool = True, path: str = "/etc", timeout: float = 15.0
    ) -> None:
        self._etc = etc
        self._passwd_lock = passwd_lock
        self._path = path
        self._timeout = timeout
        self._shielded = False
        self._root_fd = -1
        self._passwd_fd = -1
        # Of the file that the held locks are links of.
        self._inode = 0
        self._held: list[str] = []

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the databases that are locked, in the order in which they were."""
        return tuple(self._held)

    def acquire(self, name: str) -> None:
        """Lock the database name ("passwd", "group", ...). Raises LockError; what was held stays held."""
        if name in self._held:
            return
        if not self._shielded:
            self._shielded = True
            shield.begin()
        shield.hold()
        # .pwd.lock stays behind: its mode must not be what the caller's umask makes of it.
        umask = posix.umask(0o077)
        details = ["Permission denied."] if posix.geteuid() else []  # all that shadow says of lckpwdf(3)
        try:
            taken = self._take_shared_locks() and self._take_lock(name, details)
            if not taken:
                raise LockError(f"cannot lock {self._path}/{name}; try again later.", tuple(details))
            self._held.append(name)
        finally:
            posix.umask(umask)
            shield.let_go()

    def release(self) -> None:
        """Release everything, in reverse order. May be called at any time and more than once."""
        if not self._shielded:
            return
        shield.hold()
        try:
            while self._held:
                self._remove(f"{self._held.pop()}.lock")
            if self._passwd_fd >= 0:
                shield.close(self._passwd_fd)
            if self._root_fd >= 0:
                shield.close(self._root_fd)
            self._passwd_fd = self._root_fd = -1
            self._shielded = False
        finally:
            shield.end()
            shield.let_go()

    def _wait(self, attempt: Callable[[], bool], name: str) -> bool:
        """Whether attempt succeeds, at once or within the timeout."""
        if attempt():
            return True
        from accounts.system.waiting import wait_for

        def attempt_or_give_up() -> bool:
            shield.check()
            return attempt()

        return wait_for(attempt_or_give_up, f"{self._path}/{name}", self._etc, self._timeout)

    def _take_shared_locks(self) -> bool:
        """Take the locks that do not depend on the database, unless they are held."""
        if self._root_fd < 0:
            self._root_fd = self._open_locked("..", posix.O_RDONLY | posix.O_DIRECTORY, _try_flock)
        if self._passwd_fd < 0 and self._passwd_lock and self._root_fd >= 0:
            self._passwd_fd = self._open_locked(".pwd.lock", posix.O_WRONLY | posix.O_CREAT, _try_record_lock)
        return self._root_fd >= 0 and (self._passwd_fd >= 0 or not self._passwd_lock)

    def _open_locked(self, name: str, flags: int, try_lock: Callable[[int], bool]) -> int:
        """Descriptor of the file with the lock on it, -1 when it cannot be had."""
        try:
            fd = shield.open_file(name, flags, self._etc)
        except OSError:
            return -1
        taken = False
        try:
            taken = self._wait(lambda: try_lock(fd), name)
        except OSError:
            pass  # the file system cannot lock
        finally:
            if not taken:
                shield.close(fd)
        return fd if taken else -1

    def _take_lock(self, name: str, details: list[str]) -> bool:
        """Take NAME.lock; on failure details says why."""

        def attempt() -> bool:
            details.clear()
            return self._link_lock(name, details)

        if self._passwd_lock:
            # Whoever holds lckpwdf(3) expects no competitor, so shadow tries this once.
            return attempt()
        if posix.geteuid():
            if attempt():
                return True
            details[:] = ["Permission denied."]
            return False

        failed = False

        def attempt_while_busy() -> bool:
            # Only a live owner is worth waiting for. True ends the wait.
            nonlocal failed
            taken = attempt()
            failed = not taken and " already used by PID " not in details[-1]
            return taken or failed

        return self._wait(attempt_while_busy, f"{name}.lock") and not failed

    def _link_lock(self, name: str, details: list[str]) -> bool:
        """One try of shadow's do_lock_file(); on failure details says why in its words."""
        lock = f"{name}.lock"
        # The locks of one process are links of one file.
        source = f"{self._held[0]}.lock" if self._held else _OWN
        for _ in range(2):
            if source == _OWN:
                try:
                    self._write_own()
                except OSError as error:
                    # shadow names its own file, NAME.PID, which a killed process would leave behind for good.
                    details.append(f"{self._path}/{name}.{posix.getpid()}: {error.strerror}")
                    return False
            try:
                if self._link(source, lock):
                    return True
                if not self._break_stale(lock, details):
                    return False
            except OSError as error:
                details.append(f"cannot get lock {self._path}/{lock}: {error.strerror}")
                return False
            finally:
                if source == _OWN:
                    self._remove(_OWN)
        details.append(f"cannot get lock {self._path}/{lock}: {posix.strerror(errno.EEXIST)}")
        return False

    def _write_own(self) -> None:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL
        try:
            fd = shield.open_file(_OWN, flags, self._etc)
        except FileExistsError:
            # Left by a killed process. Not truncated: it may be a link of the lock that process held.
            posix.unlink(_OWN, dir_fd=self._etc)
            fd = shield.open_file(_OWN, flags, self._etc)
        try:
            # As in shadow the terminating NUL belongs to it. No fdatasync: after a crash of the machine
            # the owner is dead, whatever the file says.
            shield.write_all(fd, b"%d\0" % posix.getpid())
            self._inode = posix.fstat(fd).st_ino
        except BaseException:
            self._remove(_OWN)
            raise
        finally:
            shield.close(fd)

    def _link(self, source: str, lock: str) -> bool:
        """link(2); False when the lock exists. Raises OSError."""
        try:
            posix.link(source, lock, src_dir_fd=self._etc, dst_dir_fd=self._etc, follow_symlinks=False)
        except FileExistsError:
            return False
        try:
            # As shadow's test of the link count: nobody has broken the lock again in this moment.
            return posix.stat(lock, dir_fd=self._etc, follow_symlinks=False).st_ino == self._inode
        except OSError:
            self._remove(lock)
            raise

    def _break_stale(self, lock: str, details: list[str]) -> bool:
        """Whether the lock is free again; a lock of a dead process is removed."""
        path = f"{self._path}/{lock}"
        try:
            fd = shield.open_file(lock, posix.O_RDWR | posix.O_NONBLOCK, self._etc)
        except FileNotFoundError:
            return True
        except OSError as error:
            details.append(f"{path}: {error.strerror}")
            return False
        try:
            try:
                content = posix.read(fd, 31)
            except BlockingIOError:
                content = b""
            if not content:
                details.append(f"existing lock file {path} without a PID")
                return False
            text = content.partition(b"\0")[0]
            pid = _parse_pid(text)
            if pid is None:
                details.append(f"existing lock file {path} with an invalid PID '{fsdecode(text)}'")
                return False
            if _is_alive(pid):
                details.append(f"lock {path} already used by PID {pid % 2**64}")
                return False
            return self._remove_stale(fd, lock, details)
        finally:
            shield.close(fd)

    def _remove_stale(self, fd: int, lock: str, details: list[str]) -> bool:
        """Remove the lock, but only if it is still the file open as fd. Raises OSError.

        shadow's plain unlink(2) can hit the fresh lock of another breaker. Moved aside, the file can be
        looked at, and a fresh one is put back: its owner's link count is right all the while.
        """
        posix.rename(lock, _OWN, src_dir_fd=self._etc, dst_dir_fd=self._etc)
        found = posix.stat(_OWN, dir_fd=self._etc, follow_symlinks=False)
        mine = posix.fstat(fd)
        same = (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
        if not same:
            posix.link(_OWN, lock, src_dir_fd=self._etc, dst_dir_fd=self._etc, follow_symlinks=False)
        self._remove(_OWN)
        if same:
            return True
        details.append(f"cannot get lock {self._path}/{lock}: {posix.strerror(errno.EEXIST)}")
        return False

    def _remove(self, name: str) -> None:
        shield.remove(name, self._etc)


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Network file systems may not lock directories; the locks shared with shadow still hold.
        return error.errno != errno.EWOULDBLOCK
    return True


def _try_record_lock(fd: int) -> bool:
    try:
        # F_OFD_SETLK conflicts with glibc's F_SETLKW both ways. A classic record lock would be lost as soon
        # as any descriptor of the file is closed anywhere in the process.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE_LOCK)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _parse_pid(text: bytes) -> int | None:
    """shadow's get_pid(): what strtoll(3) takes, to its end, in the range of pid_t."""
    digits = text.lstrip(b" \t\n\v\f\r")
    if digits[:1] in (b"+", b"-"):
        digits = digits[1:]
    if not digits.isdigit():
        return None
    pid = int(text)
    return pid if -(2**31) <= pid < 2**31 else None


def _is_alive(pid: int) -> bool:
    try:
        posix.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
