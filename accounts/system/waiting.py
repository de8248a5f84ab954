# SPDX-License-Identifier: MIT
"""Waits for a lock that somebody else holds: filelock's polling loop around one try of ours.

Imported only on contention, because importing filelock costs more than a whole useradd
(docs/decisions/filelock-on-contention.md).
"""

from __future__ import annotations

from collections.abc import Callable

from accounts.system.deps import look_in_build

try:
    from filelock import BaseFileLock, Timeout
except ModuleNotFoundError:
    look_in_build()
    from filelock import BaseFileLock, Timeout

POLL_SECONDS = 0.02


class _Polled(BaseFileLock):
    """A filelock whose lock is whatever attempt() takes, and keeps when filelock has let go."""

    attempt: Callable[[], bool]
    fd: int

    def _acquire(self) -> None:
        if self.attempt():
            # Means "held" to filelock, which leaves the descriptor to _release.
            self._context.lock_file_fd = self.fd

    def _release(self) -> None:
        self._context.lock_file_fd = None


def wait_for(attempt: Callable[[], bool], path: str, fd: int, timeout: float) -> bool:
    """Call attempt until it returns True or timeout seconds have passed; whether it did.

    path: names the lock. fd: any descriptor that stays open meanwhile.
    """
    lock = _Polled(path, timeout=timeout)
    lock.attempt = attempt
    lock.fd = fd
    try:
        lock.acquire(poll_interval=POLL_SECONDS)
    except Timeout:
        return False
    lock.release()
    return True
