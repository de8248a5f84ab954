# SPDX-License-Identifier: MIT
"""Locks the account files so that shadow-utils, glibc and this program exclude one another.

Hot path: imports only posix, sys, errno, fcntl, _stat; filelock only when somebody else holds a lock.

Three locks, outermost first (docs/decisions/lock.md). Each is on a file that only root can open, because whoever
can open a file for reading can hold a shared lock on it and make everybody wait:
  - lckpwdf(3): an fcntl record lock on .pwd.lock. Not used below --prefix, as in shadow.
  - .accounts.lock: between processes of this program, which share the journal and accounts/base whatever files
    they lock. It is there only while somebody holds it.
  - NAME.lock: a hard link to a file that holds the owner's PID (shadow's lib/commonio.c), here .accounts.lock.
"""

from __future__ import annotations

import _stat as stat
import errno
import fcntl
import posix
import sys

from accounts.errors import Interrupted, LockError
from accounts.system import shield
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# struct flock { short l_type; short l_whence; off_t l_start; off_t l_len; pid_t l_pid; }: a write lock on
# the whole file has zeros in every field but the first, which makes the layout the same on every machine.
_WRITE_LOCK = fcntl.F_WRLCK.to_bytes(2, sys.byteorder) + bytes(30)
# Where a stale lock is moved to be looked at. Left by a killed process together with _OWN, and removed with it.
_OWN = ".accounts.lock"
_ASIDE = ".accounts.stale"


class Locks:
    """The locks that one run of a tool holds on the databases of one directory.

    Usage: `locks = Locks(etc)`, then `try:` acquire, read, commit, `finally: locks.release()`. While any
    lock is held, HUP, INT, QUIT, ALRM and TERM raise Interrupted; release() lets them take effect.

    etc: descriptor of the target's /etc.
    passwd_lock: take lckpwdf(3) first; False below --prefix, where shadow does not use it.
    path: what messages call the directory.
    timeout: seconds to wait; glibc and shadow wait 15.
    """

    def __init__(self, etc: int, *, passwd_lock: bool = True, path: str = "/etc", timeout: float = 15.0) -> None:
        self._etc = etc
        self._passwd_lock = passwd_lock
        self._path = path
        self._timeout = timeout
        self._shielded = False
        self._passwd_fd = -1
        self._own_fd = -1
        # Of the file that the held locks are links of.
        self._inode = 0
        # What could not be done with that file, in shadow's words.
        self._failed = ""
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
            taken = self._take_passwd_lock() and self._take_own_lock(name, details) and self._take_lock(name, details)
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
            if self._own_fd >= 0:
                self._remove(_OWN)
                shield.close(self._own_fd)
            if self._passwd_fd >= 0:
                shield.close(self._passwd_fd)
            self._passwd_fd = self._own_fd = -1
            self._shielded = False
        finally:
            shield.end()
            try:
                shield.let_go()
            except Interrupted:
                pass  # whoever else holds locks has yet to release them; then the signal takes effect

    def _wait(self, attempt: Callable[[], bool], name: str) -> bool:
        """Whether attempt succeeds, at once or within the timeout."""
        if attempt():
            return True
        from accounts.system.waiting import wait_for

        def attempt_or_give_up() -> bool:
            shield.check()
            return attempt()

        return wait_for(attempt_or_give_up, f"{self._path}/{name}", self._etc, self._timeout)

    def _take_passwd_lock(self) -> bool:
        """lckpwdf(3), unless it is held or not used."""
        if self._passwd_fd >= 0 or not self._passwd_lock:
            return True
        try:
            fd = shield.open_file(".pwd.lock", posix.O_WRONLY | posix.O_CREAT, self._etc)
        except OSError:
            return False
        taken = False
        try:
            taken = self._wait(lambda: _try_record_lock(fd), ".pwd.lock")
        except OSError:
            pass  # the file system cannot lock: lckpwdf(3) fails as well
        finally:
            if taken:
                self._passwd_fd = fd
            else:
                shield.close(fd)
        return taken

    def _take_own_lock(self, name: str, details: list[str]) -> bool:
        """The lock between our own kind, unless it is held; on failure details says why."""
        if self._own_fd >= 0:
            return True
        try:
            return self._wait(self._try_own_lock, _OWN)
        except OSError as error:
            # shadow names its own file, NAME.PID, which a killed process would leave behind for good.
            details[:] = [f"{self._path}/{name}.{posix.getpid()}{self._failed}: {error.strerror}"]
            return False

    def _try_own_lock(self) -> bool:
        """Make .accounts.lock, or take it over from a dead process. Raises OSError."""
        for again in (True, False):
            fd = self._open_own()
            if fd < 0:
                continue
            try:
                if not _try_own_record_lock(fd):
                    return False
                status = shield.status_of(fd, _OWN, self._etc)
                if not self._is_own(status):
                    continue
                if not status.st_size:
                    self._write_own(fd)
                    self._inode = status.st_ino
                    self._own_fd = fd
                    return True
                # A dead process has left it. Not written to: it may be a link of a lock that process held.
                self._remove(_ASIDE)
                posix.unlink(_OWN, dir_fd=self._etc)
            except OSError:
                if not again:
                    raise
            finally:
                if self._own_fd != fd:
                    shield.close(fd)
        return False

    def _write_own(self, fd: int) -> None:
        try:
            # As in shadow the terminating NUL belongs to it. No fdatasync: after a crash of the machine the
            # owner is dead, whatever the file says.
            shield.write_all(fd, b"%d\0" % posix.getpid())
        except BaseException:
            self._failed = " file write error"
            self._remove(_OWN)
            raise

    def _open_own(self) -> int:
        """Descriptor of .accounts.lock, made if need be; -1 when it has gone in this moment. Raises OSError."""
        flags = posix.O_RDWR | posix.O_NONBLOCK
        try:
            return shield.open_file(_OWN, flags | posix.O_CREAT | posix.O_EXCL, self._etc)
        except FileExistsError:
            pass
        try:
            if stat.S_ISREG(posix.stat(_OWN, dir_fd=self._etc, follow_symlinks=False).st_mode):
                return shield.open_file(_OWN, flags, self._etc)
            posix.unlink(_OWN, dir_fd=self._etc)
        except FileNotFoundError:
            pass
        return -1

    def _is_own(self, status: posix.stat_result) -> bool:
        """Whether .accounts.lock is that file, still or again."""
        try:
            found = posix.stat(_OWN, dir_fd=self._etc, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)

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
        for _ in range(2):
            try:
                if self._link(lock):
                    return True
                if not self._break_stale(lock, details):
                    return False
            except OSError as error:
                details.append(f"cannot get lock {self._path}/{lock}: {error.strerror}")
                return False
        details.append(f"cannot get lock {self._path}/{lock}: {posix.strerror(errno.EEXIST)}")
        return False

    def _link(self, lock: str) -> bool:
        """link(2); False when the lock exists. Raises OSError."""
        try:
            posix.link(_OWN, lock, src_dir_fd=self._etc, dst_dir_fd=self._etc, follow_symlinks=False)
        except FileExistsError:
            return False
        try:
            # As shadow's test of the link count: nobody has broken the lock again in this moment.
            return posix.stat(lock, dir_fd=self._etc, follow_symlinks=False).st_ino == self._inode
        except OSError as error:
            if error.errno in shield.REFUSED:
                return True
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
            pid = parse_pid(text)
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
        posix.rename(lock, _ASIDE, src_dir_fd=self._etc, dst_dir_fd=self._etc)
        found = posix.stat(_ASIDE, dir_fd=self._etc, follow_symlinks=False)
        mine = posix.fstat(fd)
        same = (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
        if not same:
            posix.link(_ASIDE, lock, src_dir_fd=self._etc, dst_dir_fd=self._etc, follow_symlinks=False)
        self._remove(_ASIDE)
        if same:
            return True
        details.append(f"cannot get lock {self._path}/{lock}: {posix.strerror(errno.EEXIST)}")
        return False

    def _remove(self, name: str) -> None:
        shield.remove(name, self._etc)


def _try_record_lock(fd: int) -> bool:
    """Whether a write lock on the whole file is ours now. Raises OSError where files cannot be locked."""
    try:
        # F_OFD_SETLK conflicts with glibc's F_SETLKW both ways. A classic record lock would be lost as soon
        # as any descriptor of the file is closed anywhere in the process.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE_LOCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        # Kernels before 3.15, WSL 1, some sandboxes. No second descriptor of these files is ever opened here.
        try:
            fcntl.fcntl(fd, fcntl.F_SETLK, _WRITE_LOCK)
        except OSError as refusal:
            if refusal.errno == errno.EAGAIN:
                return False
            raise
    return True


def _try_own_record_lock(fd: int) -> bool:
    """As _try_record_lock(); where files cannot be locked, whether the process that wrote the file is gone."""
    try:
        return _try_record_lock(fd)
    except OSError:
        # Only below a prefix: lckpwdf(3) needs such locks, too.
        pid = parse_pid(posix.pread(fd, 31, 0).partition(b"\0")[0])
        return pid is None or not _is_alive(pid)


def parse_pid(text: bytes) -> int | None:
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
